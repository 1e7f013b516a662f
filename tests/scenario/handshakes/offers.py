"""Lists of a ClientHello as odd clients make them: long, doubled, in another order, full of what nobody speaks any more
(RFC 8446 4.1.2, 4.2, 9.3). What of them can be used is used; where nothing can, the alert says why."""
import os

from handshakes import DECODE_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, MISSING_EXTENSION, NO_APPLICATION_PROTOCOL, Other, row
from handshakes.psk import unknown_ticket
from handshakes.retry import ask_for_retry
from support.tls13_hello import (
    ALPN, AUTHORITIES, COMPRESS_CERTIFICATE, EARLY_DATA, GREASE, KEY_SHARE, MAX_FRAGMENT_LENGTH, POST_HANDSHAKE_AUTH, SERVER_NAME,
    SIGNATURE_ALGORITHMS_CERT, SIGNATURES, STATUS_REQUEST, SUPPORTED_GROUPS, Extension, Vector, alpn, groups, key_share, pre_shared_key,
    psk_modes, record_size_limit, server_name, signature_algorithms, status_request)
from support.tls13_keys import AES_128_GCM_SHA256, AES_256_GCM_SHA384, P256, P384, X25519

NOT_KNOWN = "OpenSSL does not know this extension, or was built without it"
OBSOLETE = (*range(0x0001, 0x0017), 0x001A, 0x001B, 0x001C, 0xFF01, 0xFF02)     # B.3.1.4
FINITE_FIELDS = (0x0100, 0x0101, 0x0102, 0x0103, 0x0104)


def _hello(section, name, alert, change, *, enforces=(), openssl=None, at="plain"):
    """change(hello) before it is sent."""
    def run(c):
        change(c.hello)
        c.send_hello()
    row(section, name, alert, enforces=enforces, openssl=openssl, at=at)(run)


def _put(*extensions):
    return lambda h: h.put(*extensions)


# ---- groups and shares ----

def _shares(h, named, shared):
    """Shares of groups that this client does not speak are of random bytes."""
    h.put(groups(named), key_share(*((g, h.keys[g].public if g in h.keys else os.urandom(256 if 0x100 <= g < 0x105 else 32)) for g in shared)))


for _name, _groups in (("obsolete curves", OBSOLETE), ("finite fields", FINITE_FIELDS), ("GREASE", GREASE), ("X448 and P-521", (0x001E, 0x0019)),
                       ("curves of brainpool", (0x001F, 0x0020, 0x0021))):
    if _name not in ("X448 and P-521", "finite fields"):
        _hello("4.1.1", f"{_name} alone, with shares", HANDSHAKE_FAILURE, lambda h, g=_groups: _shares(h, g, g), enforces="4.1.1-common")
        _hello("4.1.1", f"{_name} alone, without a share", HANDSHAKE_FAILURE, lambda h, g=_groups: _shares(h, g, ()), enforces="4.1.1-common")
    _hello("4.2.7", f"{_name} before X25519, with a share of it", None, lambda h, g=_groups: _shares(h, (*g, X25519), (X25519,)), enforces="4.1.2-ignore")
    _hello("4.2.8", f"{_name} behind X25519, with a share of each", None, lambda h, g=_groups: _shares(h, (X25519, *g), (X25519, *g[:4])),
           enforces="4.2.8-order")
    _hello("4.2.7", f"{_name}, shares of them alone, and X25519 behind them: it is asked for", None, lambda h, g=_groups: _shares(h, (*g, X25519), g[:4]),
           enforces="4.1.1-retry")
    _hello("4.2.8", f"{_name} in shares, and not among the groups", ILLEGAL_PARAMETER, lambda h, g=_groups: _shares(h, (X25519,), (X25519, *g)),
           enforces="4.2.8-named", openssl=Other((ILLEGAL_PARAMETER, "completes"), "the check is the server's choice, and OpenSSL does not make it"))

_hello("4.2.8", "shares in another order than the groups", None, lambda h: (h.share(P256, X25519), h.put(groups([X25519, P256]))))
_hello("4.2.7", "groups twice in the list", None, _put(groups([X25519, P256, X25519, P256])))
_hello("4.2.7", "five thousand groups, the useful one last", None, lambda h: _shares(h, [0x2000 + i for i in range(5000)] + [X25519], (X25519,)))
_hello("9.2", "key_share without shares, and without supported_groups", MISSING_EXTENSION, lambda h: (h.put(key_share()), h.drop(SUPPORTED_GROUPS)),
       enforces="9.2-missing")
_hello("9.2", "sessions alone, without groups and shares, and psk_ke", MISSING_EXTENSION,
       lambda h: (h.drop(SUPPORTED_GROUPS, KEY_SHARE), h.put(psk_modes(0)), h.extensions.append(_unknown_session())), enforces="9.2-missing",
       openssl=Other((MISSING_EXTENSION, HANDSHAKE_FAILURE), "to OpenSSL it is a ClientHello with no group in common"))


def _unknown_session():
    return Extension(41, Vector("identities", 2, Vector("identity", 2, os.urandom(320)), bytes(4)), Vector("binders", 2, Vector("binder", 1, os.urandom(32))))


# ---- suites ----

_hello("4.1.2", "all suites of TLS 1.2 and those that there may be, before those that are spoken", None,
       lambda h: setattr(h, "suites", [*range(0x0001, 0x0100), *range(0xC001, 0xC0B5), *range(0x1304, 0x1400), *h.suites]), enforces="4.1.2-ignore")
_hello("4.1.2", "twenty thousand suites, the useful one last", None,
       lambda h: setattr(h, "suites", [*range(0x2000, 0x2000 + 20000), AES_128_GCM_SHA256]), enforces="4.1.2-ignore")
_hello("4.1.1", "suites of CCM alone", HANDSHAKE_FAILURE, lambda h: setattr(h, "suites", [0x1304, 0x1305]), enforces="4.1.1-common")
_hello("4.1.1", "suites of TLS 1.2 alone beside TLS 1.3", HANDSHAKE_FAILURE, lambda h: setattr(h, "suites", [0x0035, 0xC02B, 0xC02F, 0x00FF]),
       enforces="4.1.1-common")
_hello("4.1.1", "suites that have only been proposed", HANDSHAKE_FAILURE, lambda h: setattr(h, "suites", [0x1306, 0x1307, 0x13FF, 0x1300]),
       enforces="4.1.1-common")

# ---- signature algorithms ----

for _count in (213, 2353, 8130, 23752, 32000):
    _hello("4.2.3", f"dsa_sha1 {_count} times, then what is useful", None,
           _put(signature_algorithms([0x0202] * _count + [0x0403, 0x0804])), enforces="4.1.2-ignore")
_hello("4.2.3", "as many signature algorithms as extensions have room for", None,
       lambda h: h.put(signature_algorithms([0x0A0A + i % 2 for i in range((65535 - sum(len(e.encode()) for e in h.extensions)) // 2)] + list(SIGNATURES))))
_hello("4.2.3", "signature algorithms twice in the list", None, _put(signature_algorithms([0x0403, 0x0403, 0x0804, 0x0403, 0x0804])))
_hello("4.4.2.2", "algorithms of keys that the server has not, before one that it has", None, _put(signature_algorithms([0x0809, 0x0807, 0x0808, 0x0603, 0x0804])))
_hello("4.4.2.2", "hashes and signatures that no scheme puts together", HANDSHAKE_FAILURE,
       _put(signature_algorithms([0x0418, 0x1801, 0x0A0A, 0x0918, 0xFFFF])), enforces="4.1.1-common")
for _scheme, _title in ((0x0603, "ecdsa_secp521r1_sha512"), (0x080A, "rsa_pss_pss_sha384"), (0x080B, "rsa_pss_pss_sha512"), (0x0303, "ecdsa of SHA-224"),
                        (0x0101, "rsa of MD5"), (0x0840, "the first of no meaning behind rsa_pss"), (0x0708, "a scheme of SM2")):
    _hello("4.4.2.2", f"{_title} alone", HANDSHAKE_FAILURE, _put(signature_algorithms([_scheme])), enforces=("4.4.3-offered", "4.1.1-common"))
CHAINS = "it is about the chain, of which the server may send what it has (4.4.2.2); OpenSSL refuses what it cannot vouch for"
for _schemes, _title in (((0x0A0A, 0x7777), "what nobody knows"), ((0x0403,), "ECDSA alone"), ((0x0401, 0x0804), "RSA alone"), ((0x0201,), "SHA-1")):
    _hello("4.2.3", f"signature_algorithms_cert with {_title}", None, _put(signature_algorithms(_schemes, SIGNATURE_ALGORITHMS_CERT)),
           openssl=Other(("completes", HANDSHAKE_FAILURE), CHAINS))
_hello("4.2.3", "signature_algorithms_cert without signature_algorithms", MISSING_EXTENSION,
       lambda h: (h.put(signature_algorithms(SIGNATURES, SIGNATURE_ALGORITHMS_CERT)), h.drop(13)), enforces=("4.2.3-missing", "9.2-missing"))

# ---- extensions, many and large ----

for _first in (0x0040, 0x3000, 0xEF00):
    _hello("4.2", f"four thousand extensions without content from {_first:#06x} on", None,
           lambda h, first=_first: h.extensions.extend(Extension(first + i) for i in range(4096) if first + i not in (0xFF01, 0x3374, *GREASE)), enforces="4.2-unknown")
_hello("4.2", "a thousand extensions of sixty bytes", None,
       lambda h: h.extensions.extend(Extension(0x5000 + i, os.urandom(55)) for i in range(1000)), enforces="4.2-unknown")
for _size in (0x3F00, 0x3FFF, 0x4000, 0x4001, 0x8FF0, 0xF000):
    _hello("4.2", f"an extension of {_size} bytes", None, lambda h, n=_size: h.extensions.append(Extension(0x5000, bytes(n))), enforces="4.2-unknown")
_hello("4.2", "extensions of 65,535 bytes together", None,
       lambda h: h.extensions.append(Extension(0x5000, bytes(65535 - 4 - sum(len(e.encode()) for e in h.extensions)))), enforces="4.2-unknown")
_hello("4.2", "extensions of 65,535 bytes together, the last of them a byte too long", DECODE_ERROR,
       lambda h: (h.extensions.append(Extension(0x5000, bytes(65535 - 4 - sum(len(e.encode()) for e in h.extensions)))),
                  h.lengths.update({"message/extensions/extension_5000": 1})), enforces="6-decode")
_hello("4.2.6", "post_handshake_auth, which nobody asks for", None, _put(Extension(POST_HANDSHAKE_AUTH)), enforces="4.2-unknown")
_hello("4.2.6", "post_handshake_auth where a certificate is asked for within the handshake", None, _put(Extension(POST_HANDSHAKE_AUTH)), at="required",
       enforces="4.2-unknown")
_hello("4.2.4", "certificate_authorities, of which the server has none", None,
       _put(Extension(AUTHORITIES, Vector("authorities", 2, Vector("name", 2, bytes.fromhex("300f310d300b06035504030c0474657374"))))), enforces="4.2-unknown")

for _kind, _title in ((11, "ec_point_formats"), (22, "encrypt_then_mac"), (23, "extended_master_secret"), (0xFF01, "renegotiation_info")):
    for _content in (b"", b"\0", b"\1\1", b"\xff" * 5):
        _hello("4.2", f"{_title}, which TLS 1.3 does not know, of {len(_content)} bytes of {_content[:1].hex()}", None,
               lambda h, kind=_kind, content=_content: h.extensions.insert(0, Extension(kind, content)), enforces="4.2-unknown")

# ---- status_request, compress_certificate, sizes ----

_hello("RFC 6066 8", "status_request of another type than OCSP", None, _put(Extension(STATUS_REQUEST, b"\x02\0\0\0\0")))
_hello("RFC 6066 8", "status_request where no staple is there", None, _put(status_request()))
_hello("RFC 8879 3", "compress_certificate with one algorithm twice", None, _put(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\0\1\0\1"))))
_hello("RFC 8879 3", "compress_certificate with algorithms that nobody knows", None,
       _put(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"".join(bytes([0x40, i]) for i in range(127))))))
for _size in (64, 65, 512, 0x3FFF, 0x4000, 0x4001, 0x4002, 0xFFFF):
    _hello("RFC 8449 4", f"record_size_limit {_size}", None, _put(record_size_limit(_size)))
for _size in (0, 1, 62):
    _hello("RFC 8449 4", f"record_size_limit {_size}, which is too little", ILLEGAL_PARAMETER, _put(record_size_limit(_size)),
           openssl=Other(("completes", ILLEGAL_PARAMETER), NOT_KNOWN))
_hello("RFC 8449 4", "record_size_limit without content", DECODE_ERROR, _put(Extension(28)), openssl=Other(("completes", DECODE_ERROR), NOT_KNOWN))


@row("RFC 8449 5", "record_size_limit beside max_fragment_length: the former counts", None)
def _(c):
    c.hello.put(record_size_limit(200), Extension(MAX_FRAGMENT_LENGTH, b"\1"))
    c.send_hello()
    c.read_flight()
    if not c.lenient:   # OpenSSL knows the latter alone
        assert 28 in c.encrypted_extensions and MAX_FRAGMENT_LENGTH not in c.encrypted_extensions


for _code in (1, 2, 3, 4):
    @row("RFC 6066 4", f"max_fragment_length {_code} is answered with itself", None)
    def _(c, code=_code):
        c.hello.put(Extension(MAX_FRAGMENT_LENGTH, bytes([code])))
        c.send_hello()
        c.read_flight()
        assert c.encrypted_extensions.get(MAX_FRAGMENT_LENGTH) == bytes([code])


def _changed(name, first, second):
    @row("4.1.2", f"a second ClientHello with {name}", ILLEGAL_PARAMETER, enforces="4.1.2-same",
         openssl=Other(("completes", ILLEGAL_PARAMETER), "OpenSSL does not compare the two; it goes by the second"))
    def _(c):
        first(c.hello)
        ask_for_retry(c)
        c.answer_retry(second)


_changed("another record_size_limit", _put(record_size_limit(1000)), _put(record_size_limit(1001)))
_changed("a record_size_limit more", lambda h: None, _put(record_size_limit(1000)))
_changed("a record_size_limit less", _put(record_size_limit(1000)), lambda h: h.drop(28))
_changed("compress_certificate more", lambda h: None, _put(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\0\1"))))
_changed("post_handshake_auth more", lambda h: None, _put(Extension(POST_HANDSHAKE_AUTH)))
_changed("status_request less", _put(status_request()), lambda h: h.drop(STATUS_REQUEST))
_changed("other GREASE", _put(Extension(GREASE[3])), lambda h: (h.drop(GREASE[3]), h.put(Extension(GREASE[4]))))

# ---- names and protocols ----

for _bytes, _title in ((b"a.te\x07st", "a bell"), ("a.t\u0105st".encode(), "letters outside of ASCII"), (b"a.test\x1b[31mBAD", "an escape sequence"),
                       (b"a.te\xffst", "a byte of 255"), (b"a.te st", "a space")):
    _hello("RFC 6066 3", f"server_name with {_title}", ILLEGAL_PARAMETER, _put(server_name(_bytes)),
           openssl=Other(("completes", ILLEGAL_PARAMETER, 112), "OpenSSL looks for zero bytes alone"))
for _bytes, _title in ((b"www.a.test", "a name that the server has no certificate for"), (b"A.TEST", "capitals"), (b"a.test.", "a dot at its end"),
                       (b"x" * 63 + b".test", "a label of 63 bytes"), (b"_a.test", "an underscore"), (b"[::1]", "an address of IPv6")):
    _hello("RFC 6066 3", f"server_name with {_title}", None, _put(server_name(_bytes)))
AS_OTHERS = "either way it is refused, as by BoringSSL: no other type than host_name has ever been there"
for _entries, _title in ((((1, b"a.test"),), "a name of another type alone"), (((0, b"a.test"), (1, b"\0\1x")), "a name of another type behind a host's"),
                         (((255, b"x"), (0, b"a.test")), "a name of another type before a host's")):
    _hello("RFC 6066 3", f"server_name with {_title}", ILLEGAL_PARAMETER,
           _put(Extension(SERVER_NAME, Vector("list", 2, *(p for t, n in _entries for p in (bytes([t]), Vector("name", 2, n)))))),
           openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER), AS_OTHERS))
_hello("RFC 6066 3", "server_name with a byte behind its list", DECODE_ERROR,
       _put(Extension(SERVER_NAME, Vector("list", 2, b"\0", Vector("name", 2, b"a.test")), b"x")), enforces="6-decode")
_hello("RFC 6066 3", "server_name of bytes of 255", DECODE_ERROR, _put(Extension(SERVER_NAME, b"\xff" * 4)), enforces="6-decode")

for _names, _title in (((b"http/1.",), "one byte less"), ((b"http/1.X",), "one other byte"), ((b"http/1.1\0",), "one byte more"), ((b"HTTP/1.1",), "capitals"),
                       ((b"x" * 255,), "255 bytes"), ((b"\x0a\x0a",), "GREASE")):
    _hello("RFC 7301 3.2", f"a protocol with {_title} alone", NO_APPLICATION_PROTOCOL, _put(alpn(*_names)))
_hello("RFC 7301 3.2", "two thousand protocols, the known one last", None, _put(alpn(*(b"%04d" % i for i in range(2000)), b"http/1.1")))
_hello("RFC 7301 3.2", "one protocol twice", None, _put(alpn(b"http/1.1", b"http/1.1")))
_hello("RFC 7301 3.1", "alpn with an empty name before a known one", DECODE_ERROR, _put(alpn(b"", b"http/1.1")), enforces="6-decode")
_hello("RFC 7301 3.1", "alpn whose one name is empty", DECODE_ERROR, _put(alpn(b"")), enforces="6-decode")
_hello("RFC 7301 3.1", "alpn with a byte behind its list", DECODE_ERROR, _put(Extension(ALPN, Vector("list", 2, Vector("name", 1, b"http/1.1")), b"\0")),
       enforces="6-decode")

# ---- modes and sessions ----

_hello("4.2.9", "all modes that there can be", None, _put(psk_modes(*range(255))), enforces="4.2.9-unknown")
_hello("4.2.9", "one mode a hundred times", None, _put(psk_modes(*[1] * 100)))
_hello("4.2.10", "early_data without a session", None, lambda h: h.put(Extension(EARLY_DATA)))


@row("4.2.11", "two hundred and fifty sessions that nobody knows", None, enforces="4.2.11-unknown")
def _(c):
    c.offer(*(unknown_ticket() for _ in range(250)))
    c.send_hello()
    c.read_flight()
    assert not c.resumed


@row("4.2.11", "sessions of two hashes, the first not of the suite's", None, enforces="4.2.11-hash")
def _(c):
    c.hello.suites = [AES_128_GCM_SHA256]
    c.offer(c.face.ticket(AES_256_GCM_SHA384), c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.selected_identity in (None, 1)


@row("4.2.11", "an age that cannot be", None)
def _(c):
    c.tickets = [c.face.ticket()]
    c.hello.extensions.append(pre_shared_key([(c.tickets[0].identity, 0xFFFFFFFF)], [bytes(32)]))
    c.send_hello()
    c.read_flight()


@row("4.1.2", "a share of P-384 where the second ClientHello is asked for X25519", ILLEGAL_PARAMETER, enforces="4.2.8-retry",
     openssl=Other(("completes", ILLEGAL_PARAMETER), "OpenSSL does not compare the two; it goes by the second"))
def _(c):
    c.hello.put(groups([X25519, P256, P384]))
    ask_for_retry(c)
    c.answer_retry(lambda h: h.share(P384))
