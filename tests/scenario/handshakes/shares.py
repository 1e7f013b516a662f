"""Key shares: of the wrong size, off their curve, of low order, twice, for groups that were not named (RFC 8446 4.2.8, 7.4)."""
from handshakes import COMPLETES, ILLEGAL_PARAMETER, Other, row
from support.tls13_hello import groups, key_share
from support.tls13_keys import P256, P384, X25519, X25519MLKEM768

PRIME = 2**255 - 19
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
P384_PRIME = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF0000000000000000FFFFFFFF
TITLES = {X25519: "X25519", P256: "P-256", P384: "P-384", X25519MLKEM768: "X25519MLKEM768"}
POSTPONED = "OpenSSL finds out when it derives the secret, and calls that its own error"
NO_CHECK = "the check is the server's choice, and OpenSSL does not make it"


def _share(group, name, make, *, enforces="4.2.8-valid", alert=ILLEGAL_PARAMETER, openssl=None):
    """make(public) is what is sent instead of a good share."""
    def run(c):
        c.hello.put(groups([group]))
        c.hello.share(group)
        c.hello.put(key_share((group, make(c.hello.keys[group].public))))
        c.send_hello()
    row("4.2.8.2" if group in (P256, P384) else "4.2.8", f"a share of {TITLES[group]} {name}", alert, openssl=openssl, enforces=enforces,
        hybrid=group == X25519MLKEM768)(run)


for _group in TITLES:
    _share(_group, "that is one byte short", lambda p: p[:-1])
    _share(_group, "that is one byte long", lambda p: p + b"\0")
    _share(_group, "of one byte", lambda p: b"\4")
    _share(_group, "of the size of another group's", lambda p: bytes(65) if len(p) != 65 else bytes(97))
    _share(_group, "of many bytes", lambda p: p * 8)

for _group, _prime in ((P256, P256_PRIME), (P384, P384_PRIME)):
    _size = 32 if _group == P256 else 48
    _on_curve = ("4.2.8.2-valid", "4.2.8-valid")
    _share(_group, "in the compressed form", lambda p, s=_size: bytes([2 + p[-1] % 2]) + p[1:1 + s], enforces="4.2.8.2-form")
    _share(_group, "in the hybrid form", lambda p: bytes([6 + p[-1] % 2]) + p[1:], enforces="4.2.8.2-form")
    _share(_group, "whose form is 0", lambda p: b"\0" + p[1:], enforces="4.2.8.2-form")
    _share(_group, "whose form is 5", lambda p: b"\5" + p[1:], enforces="4.2.8.2-form")
    _share(_group, "that is the point at infinity", lambda p: b"\0", enforces=_on_curve)
    _share(_group, "of zeros", lambda p: b"\4" + bytes(len(p) - 1), enforces=_on_curve)
    _share(_group, "off the curve by one bit", lambda p: p[:-1] + bytes([p[-1] ^ 1]), enforces=_on_curve)
    _share(_group, "whose coordinates are exchanged", lambda p, s=_size: b"\4" + p[1 + s:] + p[1:1 + s], enforces=_on_curve)
    _share(_group, "whose x is the prime", lambda p, s=_size, q=_prime: b"\4" + q.to_bytes(s, "big") + p[1 + s:], enforces=_on_curve)
    _share(_group, "whose coordinates are all ones", lambda p: b"\4" + b"\xff" * (len(p) - 1), enforces=_on_curve)


# Points whose multiples by a scalar of X25519 are zero, and their other encodings (RFC 7748 6.1, 7).
LOW_ORDER = {
    "0": 0,
    "1": 1,
    "p - 1": PRIME - 1,
    "p": PRIME,
    "p + 1": PRIME + 1,
    "of order 8, the first": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "of order 8, the second": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
    "0, and the topmost bit, which does not count": 2**255,
    "1, and the topmost bit": 2**255 + 1,
    "p - 1, and the topmost bit": 2**255 + PRIME - 1,
    "p, and the topmost bit": 2**255 + PRIME,
    "p + 1, and the topmost bit": 2**255 + PRIME + 1,
}
for _name, _value in LOW_ORDER.items():
    _share(X25519, f"of low order: {_name}", lambda p, v=_value: v.to_bytes(32, "little"), enforces="7.4.2-zero",
           openssl=Other((ILLEGAL_PARAMETER, 80), POSTPONED))

_share(X25519, "whose topmost bit is set", lambda p: p[:-1] + bytes([p[-1] | 0x80]), alert=None, enforces=())
_share(X25519MLKEM768, "whose half of X25519 is zero", lambda p: p[:-32] + bytes(32), enforces="7.4.2-zero",
       openssl=Other((ILLEGAL_PARAMETER, 80), POSTPONED))
_share(X25519MLKEM768, "whose halves are exchanged", lambda p: p[-32:] + p[:-32], openssl=Other((ILLEGAL_PARAMETER, 80), POSTPONED))
_share(X25519MLKEM768, "with a coefficient that is not reduced", lambda p: b"\xff\xff" + p[2:], openssl=Other((ILLEGAL_PARAMETER, 80), POSTPONED))
_share(X25519MLKEM768, "with coefficients that are all the modulus", lambda p: b"\x01\x1d\xd0" * 384 + p[1152:],
       openssl=Other((ILLEGAL_PARAMETER, 80), POSTPONED))


@row("4.2.8", "two shares of one group", ILLEGAL_PARAMETER, enforces="4.2.8-once", openssl=Other((ILLEGAL_PARAMETER, COMPLETES), NO_CHECK))
def _(c):
    public = c.hello.keys[X25519].public
    c.hello.put(key_share((X25519, public), (X25519, public)))
    c.send_hello()


@row("4.2.8", "two shares of one group, apart", ILLEGAL_PARAMETER, enforces="4.2.8-once", openssl=Other((ILLEGAL_PARAMETER, COMPLETES), NO_CHECK))
def _(c):
    c.hello.share(X25519, P256)
    c.hello.put(key_share((X25519, c.hello.keys[X25519].public), (P256, c.hello.keys[P256].public), (X25519, c.hello.keys[X25519].public)))
    c.send_hello()


@row("4.2.8", "two shares of a group that nobody knows", ILLEGAL_PARAMETER, enforces="4.2.8-once", openssl=Other((ILLEGAL_PARAMETER, COMPLETES), NO_CHECK))
def _(c):
    c.hello.put(groups([0x7777, X25519]), key_share((0x7777, b"x"), (0x7777, b"y"), (X25519, c.hello.keys[X25519].public)))
    c.send_hello()


@row("4.2.8", "a share of a group that supported_groups does not name", ILLEGAL_PARAMETER, enforces="4.2.8-named",
     openssl=Other((ILLEGAL_PARAMETER, COMPLETES), NO_CHECK))
def _(c):
    c.hello.put(groups([P256]))
    c.send_hello()


@row("4.2.8", "a share of an unknown group that supported_groups does not name", ILLEGAL_PARAMETER, enforces="4.2.8-named",
     openssl=Other((ILLEGAL_PARAMETER, COMPLETES), NO_CHECK))
def _(c):
    c.hello.put(key_share((X25519, c.hello.keys[X25519].public), (0x7777, b"x")))
    c.send_hello()


for _group in TITLES:
    @row("4.2.8", f"a good share of {TITLES[_group]}", None, enforces=("4.2.8-valid", "9.1-groups") if _group != X25519MLKEM768 else (),
         hybrid=_group == X25519MLKEM768)
    def _(c, group=_group):
        c.hello.put(groups([group]))
        c.hello.share(group)
        c.send_hello()
