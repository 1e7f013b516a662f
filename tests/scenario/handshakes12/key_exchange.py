"""ClientKeyExchange and what follows from it: points, shares, RSA's padding, the Finished (RFC 5246 7.4.7, 7.4.9, 8.1, RFC 8422 5.7, 5.11)."""
import os

from handshakes12 import (
    BAD_RECORD_MAC, DECODE_ERROR, DECRYPT_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, INTERNAL_ERROR, Other, row)
from support.tls12 import (
    CCS, CLIENT_KEY_EXCHANGE, DHE_AES_128, FINISHED, KRSA_AES_128, KRSA_CBC_SHA, RSA_AES_128, RSA_AES_256, RSA_CBC_SHA, RSA_CHACHA,
    message)
from support.tls13_hello import groups
from support.tls13_keys import P256, X25519, new_share

BAD_SHARE = (ILLEGAL_PARAMETER, DECODE_ERROR)


def answer(c, group=None, **exchange):
    """The client's flight with this ClientKeyExchange, as whoever knows no better would go on."""
    if group:
        c.hello.put(groups([group]))
    c.send_hello()
    c.read_flight()
    c.send_exchange(**exchange)
    c.send_end()


# ---- ECDHE ----

_point = new_share(P256).public
ODD_POINTS = {
    "compressed": Other((BAD_RECORD_MAC, *BAD_SHARE), "OpenSSL takes points in any form; this one is not ours"),
    "hybrid": Other((BAD_RECORD_MAC, *BAD_SHARE), "OpenSSL takes points in any form; this one is not ours"),
    "at infinity": Other((INTERNAL_ERROR, *BAD_SHARE), "OpenSSL takes the failure of its own exchange for an internal one"),
}
for _name, _group, _public in (
        ("not on the curve", P256, b"\4" + _point[1:33] + bytes(31) + b"\1"), ("compressed", P256, b"\2" + _point[1:33]), ("hybrid", P256, b"\6" + _point[1:]),
        ("cut short", P256, _point[:-1]), ("too long", P256, _point + b"\0"), ("without its form", P256, _point[1:]), ("all zero", P256, b"\4" + bytes(64)),
        ("at infinity", P256, b"\0"), ("beyond the field", P256, b"\4" + b"\xff" * 64), ("empty", P256, b""),
        ("of another curve", P256, new_share(X25519).public), ("X25519: of small order", X25519, bytes(32)), ("X25519: of order one", X25519, b"\1" + bytes(31)),
        ("X25519: of order eight", X25519, bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
        ("X25519: p itself", X25519, b"\xed" + b"\xff" * 30 + b"\x7f"), ("X25519: cut short", X25519, bytes(31)), ("X25519: too long", X25519, bytes(33)),
        ("X25519: empty", X25519, b"")):
    @row("8422 5.11", f"a point: {_name}", BAD_SHARE, excused=ODD_POINTS.get(_name))
    def _(c, group=_group, public=_public):
        answer(c, group, public=public)


@row("7748 5", "X25519: the highest bit does not count", None)
def _(c):
    c.hello.put(groups([X25519]))
    c.send_hello()
    c.read_flight()
    body = c.exchange()
    c.send_message(body[:-1] + bytes([body[-1] | 0x80]))
    c.make_master()
    c.send_end()
    c.read_end()
    c.connected = True


# ---- DHE ----

for _name, _make in (("0", lambda p: b"\0"), ("1", lambda p: b"\1"), ("p - 1", lambda p: (p - 1).to_bytes(256, "big")), ("p", lambda p: p.to_bytes(256, "big")),
                     ("p + 1", lambda p: (p + 1).to_bytes(256, "big")), ("empty", lambda p: b""), ("of 4 KB", lambda p: b"\1" * 4096)):
    @row("5246 F.1.1.3", f"a share of DHE: {_name}", (ILLEGAL_PARAMETER, DECODE_ERROR))
    def _(c, make=_make):
        c.hello.suites = [DHE_AES_128]
        c.send_hello()
        c.read_flight()
        c.send_exchange(public=make(c._dh.p))  # pylint: disable=protected-access
        c.send_end()


# ---- the message ----

for _suite, _at in ((RSA_AES_128, "plain"), (DHE_AES_128, "plain"), (KRSA_AES_128, "old")):
    _name = {RSA_AES_128: "ECDHE", DHE_AES_128: "DHE", KRSA_AES_128: "RSA"}[_suite]
    _wrong = (DECODE_ERROR, ILLEGAL_PARAMETER, BAD_RECORD_MAC) if _suite == KRSA_AES_128 else (DECODE_ERROR, ILLEGAL_PARAMETER)
    for _what, _alter in (("empty", lambda b: b""), ("with a byte behind it", lambda b: b + b"\0"), ("cut by a byte", lambda b: b[:-1]),
                          ("of a length beyond it", lambda b: bytes([b[0] + 1]) + b[1:]), ("of its first byte", lambda b: b[:1])):
        @row("5246 7.4.7", f"ClientKeyExchange of {_name} {_what}", _wrong, at=_at,
             excused=Other(HANDSHAKE_FAILURE, "OpenSSL takes it for a client with a fixed share, which it does not speak with") if (_name, _what) == ("ECDHE", "empty") else None)
        def _(c, suite=_suite, alter=_alter):
            c.hello.suites = [suite]
            c.send_hello()
            c.read_flight()
            whole = c.exchange()
            c.send_message(message(CLIENT_KEY_EXCHANGE, alter(whole[4:])))
            c.make_master()
            c.send_end()


# ---- RSA: whatever is wrong inside looks the same (7.4.7.1) ----

def padded(c, secret, head=b"\0\2", zero=b"\0", fill=None):
    """The bytes of PKCS #1 to be raised to the power, right or wrong."""
    numbers = c.certificates[0].public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    filling = bytes(1 + b % 255 for b in os.urandom(size - len(head) - len(zero) - len(secret)))
    block = head + (fill(filling) if fill else filling) + zero + secret
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(size, "big")


_secret = b"\3\3" + bytes(range(46))
_BLEICHENBACHER = {
    "the first byte not zero": lambda c: padded(c, _secret, head=b"\1\2"),
    "the second byte 1": lambda c: padded(c, _secret, head=b"\0\1"),
    "the second byte 3": lambda c: padded(c, _secret, head=b"\0\3"),
    "no zero byte at all": lambda c: padded(c, bytes(b or 1 for b in _secret), zero=b"\1"),
    "a zero byte at the beginning of the padding": lambda c: padded(c, _secret, fill=lambda f: b"\0" + f[1:]),
    "a zero byte in the padding": lambda c: padded(c, _secret, fill=lambda f: f[:20] + b"\0" + f[21:]),
    "a zero byte before the end of the padding": lambda c: padded(c, _secret, fill=lambda f: f[:-1] + b"\0"),
    "a secret of 0 bytes": lambda c: padded(c, b""),
    "a secret of 1 byte": lambda c: padded(c, b"\3"),
    "a secret of 47 bytes": lambda c: padded(c, _secret[:-1]),
    "a secret of 49 bytes": lambda c: padded(c, _secret + b"\0"),
    "a secret of 48 bytes and zeros": lambda c: padded(c, _secret + bytes(16)),
    "a secret of version 3.2": lambda c: padded(c, b"\3\2" + _secret[2:]),
    "a secret of version 3.1": lambda c: padded(c, b"\3\1" + _secret[2:]),
    "a secret of version 3.4": lambda c: padded(c, b"\3\4" + _secret[2:]),
    "a secret of version 0.0": lambda c: padded(c, b"\0\0" + _secret[2:]),
    "no padding, but zeros": lambda c: bytes(255) + b"\1",
    "another key's": lambda c: bytes(256),
}
for _suite in (KRSA_AES_128, KRSA_CBC_SHA):
    for _name, _make in _BLEICHENBACHER.items():
        @row("5246 7.4.7.1", f"RSA ({'GCM' if _suite == KRSA_AES_128 else 'CBC'}): {_name}", BAD_RECORD_MAC, at="old")
        def _(c, suite=_suite, make=_make):
            c.hello.suites = [suite]
            c.send_hello()
            c.read_flight()
            c.send_exchange(premaster=_secret, encrypted=make(c))
            c.send_end()


@row("5246 7.4.7.1", "RSA: the version of the ClientHello, not the one that was chosen, is in the secret", None, at="old")
def _(c):
    c.hello.suites = [KRSA_AES_128]
    c.hello.legacy_version = 0x0304
    c.connect()


@row("5246 7.4.7.1", "RSA: a number that is the key's modulus", (BAD_RECORD_MAC, DECRYPT_ERROR, DECODE_ERROR, ILLEGAL_PARAMETER), at="old")
def _(c):
    c.hello.suites = [KRSA_AES_128]
    c.send_hello()
    c.read_flight()
    numbers = c.certificates[0].public_key().public_numbers()
    c.send_exchange(premaster=_secret, encrypted=numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big"))
    c.send_end()


# ---- the Finished ----

_FINISHED = {
    "with its first bit changed": (lambda d: bytes([d[0] ^ 0x80]) + d[1:], DECRYPT_ERROR),
    "with its last bit changed": (lambda d: d[:-1] + bytes([d[-1] ^ 1]), DECRYPT_ERROR),
    "of zeros": (lambda d: bytes(12), DECRYPT_ERROR),
    "of 11 bytes": (lambda d: d[:-1], DECODE_ERROR),
    "of 13 bytes": (lambda d: d + b"\0", DECODE_ERROR),
    "of no bytes": (lambda d: b"", DECODE_ERROR),
    "of 36 bytes": (lambda d: d * 3, DECODE_ERROR),
}
for _suite, _at in ((RSA_AES_128, "plain"), (RSA_AES_256, "plain"), (RSA_CHACHA, "plain"), (RSA_CBC_SHA, "old"), (KRSA_AES_128, "old")):
    for _name, (_alter, _alert) in _FINISHED.items():
        @row("5246 7.4.9", f"a Finished {_name} ({_suite:#06x})", _alert, at=_at)
        def _(c, suite=_suite, alter=_alter):
            c.hello.suites = [suite]
            c.send_hello()
            c.read_flight().send_exchange()
            c.send(CCS)
            c.change_keys()
            c.send_message(message(FINISHED, alter(c.verify_data())))

    @row("5246 7.4.9", f"the server's own label in our Finished ({_suite:#06x})", DECRYPT_ERROR, at=_at)
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.send_hello()
        c.read_flight().send_exchange()
        c.send(CCS)
        c.change_keys()
        c.send_message(message(FINISHED, c.verify_data(b"server finished")))

    for _where in (0, 7, 9, -1):
        @row("5246 6.2.3", f"the Finished's record changed in byte {_where} ({_suite:#06x})", BAD_RECORD_MAC, at=_at)
        def _(c, suite=_suite, where=_where):
            c.hello.suites = [suite]
            c.send_hello()
            c.read_flight().send_exchange()
            c.send(CCS)
            c.change_keys()
            sealed = bytearray(c.record(c.finished()))
            sealed[where if where < 0 else 5 + where] ^= 0x10
            c.send(bytes(sealed))


@row("5246 7.4.9", "a Finished in records of one byte", None)
def _(c):
    c.send_hello()
    c.read_flight().send_exchange()
    c.send(CCS)
    c.change_keys()
    c.send_message(c.finished(), size=1)
    c.read_end()
    c.connected = True


@row("5246 7.4.7", "every message in records of one byte", None)
def _(c):
    c.send_hello(size=1)
    c.read_flight()
    c.send_message(c.exchange(), size=1)
    c.make_master()
    c.send_end()
    c.read_end()
    c.connected = True


@row("7627 4", "the master secret of before, where the extended one was agreed on", BAD_RECORD_MAC)
def _(c):
    c.send_hello()
    c.read_flight()
    c.extended = False
    c.send_exchange()
    c.send_end()
