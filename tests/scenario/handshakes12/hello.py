"""ClientHellos of TLS 1.2 and before (RFC 5246 7.4.1.2, 7.4.1.4, RFC 5746, 6066, 7301, 7507, 7627, 8422, 9155)."""
import struct

from handshakes12 import (
    DECODE_ERROR, ENDS, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, INAPPROPRIATE_FALLBACK, NO_APPLICATION_PROTOCOL, PROTOCOL_VERSION,
    RECORD_OVERFLOW, UNEXPECTED_MESSAGE, Other, row)
from support.client import get
from support.hello import record, vector
from support.records import APPLICATION_DATA
from support.tls12 import (
    AEAD_SUITES, CERTIFICATE_STATUS, DHE_AES_128, ECDSA_AES_128, EMPTY_RENEGOTIATION_INFO, FALLBACK, KRSA_AES_128, POINT_FORMATS,
    RENEGOTIATION_INFO, RSA_AES_128, RSA_AES_256, RSA_CBC_SHA, RSA_CBC_SHA256, RSA_CHACHA, ECDSA_AES_256, ECDSA_CHACHA, KRSA_CBC_SHA,
    KRSA_CBC_SHA256, encrypt_then_mac, extended_master_secret, is_ecdsa, is_rsa, point_formats, renegotiation_info, session_ticket)
from support.tls13 import pieces
from support.tls13_hello import (
    ALPN, EXTENDED_MASTER_SECRET, GREASE, SERVER_NAME, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, Extension, Vector, alpn, groups, numbers,
    padding, record_size_limit, server_name, signature_algorithms, status_request)
from support.tls13_keys import P256, P384, P521, X25519

MISSING_IN_HELLO = (DECODE_ERROR, ILLEGAL_PARAMETER)

# ---- what is chosen ----

for _name, _suite in (("ECDSA, AES-128-GCM", ECDSA_AES_128), ("ECDSA, AES-256-GCM", ECDSA_AES_256), ("ECDSA, ChaCha20", ECDSA_CHACHA),
                      ("RSA, AES-128-GCM", RSA_AES_128), ("RSA, AES-256-GCM", RSA_AES_256), ("RSA, ChaCha20", RSA_CHACHA),
                      ("DHE, AES-128-GCM", DHE_AES_128)):
    @row("5246 7.4.1.3", f"one suite: {_name}", None)
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.connect()
        assert is_ecdsa(c.certificates[0]) == (suite in (ECDSA_AES_128, ECDSA_AES_256, ECDSA_CHACHA))

for _name, _suite in (("ECDHE, CBC, SHA-1", RSA_CBC_SHA), ("ECDHE, CBC, SHA-256", RSA_CBC_SHA256), ("RSA, CBC, SHA-1", KRSA_CBC_SHA),
                      ("RSA, CBC, SHA-256", KRSA_CBC_SHA256), ("RSA, AES-128-GCM with RSA key exchange", KRSA_AES_128)):
    for _etm in (False, True):
        @row("7366 2", f"the old suite {_name}" + (", encrypt-then-MAC offered" if _etm else ""), None, at="old")
        def _(c, suite=_suite, etm=_etm):
            c.hello.suites = [suite]
            if etm:
                c.hello.put(encrypt_then_mac())
            c.connect()
            assert is_rsa(c.certificates[0])
            assert c.etm == (etm and suite != KRSA_AES_128), "encrypt-then-MAC is for CBC alone (RFC 7366 2)"

    @row("5246 7.4.1.3", f"the old suite {_name} where it is not spoken", HANDSHAKE_FAILURE)
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.send_hello()

for _group in (X25519, P256, P384):
    @row("8422 5.1.1", f"one group: {_group:#06x}", None)
    def _(c, group=_group):
        c.hello.put(groups([group]))
        c.connect()
        assert c.group == group


@row("8422 5.1.1", "no group in common, and suites that need one", HANDSHAKE_FAILURE)
def _(c):
    c.hello.put(groups([0x0009, 0x000A, 0x0016, P521]))
    c.send_hello()


@row("8422 5.1.1", "no group in common: a suite without one is chosen", None)
def _(c):
    c.hello.put(groups([0x0009, 0x000A]))
    c.hello.suites = [RSA_AES_128, DHE_AES_128]
    c.connect()
    assert c.suite == DHE_AES_128


@row("8422 5.1.1", "no group in common: RSA key exchange is chosen where it is spoken", None, at="old")
def _(c):
    c.hello.put(groups([0x0009, 0x000A]))
    c.hello.suites = [RSA_AES_128, KRSA_AES_128]
    c.connect()
    assert c.suite == KRSA_AES_128


@row("8422 4", "no groups named, and suites without one among those in common", None)
def _(c):
    c.hello.drop(SUPPORTED_GROUPS, POINT_FORMATS)
    c.hello.suites = [RSA_AES_128, DHE_AES_128]
    c.connect()
    assert c.suite == DHE_AES_128


@row("8422 4", "no groups named: the server chooses", None, excused=Other(HANDSHAKE_FAILURE, "OpenSSL is free to choose a group, and chooses none"))
def _(c):
    c.hello.drop(SUPPORTED_GROUPS, POINT_FORMATS)
    c.connect()


@row("5246 7.4.1.3", "unknown suites among those in common", None)
def _(c):
    c.hello.suites = [0x1301, 0x0000, *GREASE, 0xC0FF, 0xFFFF, *AEAD_SUITES]
    c.connect()


@row("5246 7.4.1.3", "every number as a suite", None)
def _(c):
    c.hello.suites = [n for n in range(1, 0x7000) if n not in (FALLBACK, 0x1301, 0x1302, 0x1303)] + [RSA_AES_128]
    c.send_hello()
    c.hello.suites = [RSA_AES_128, DHE_AES_128]
    c.read_flight().finish()


@row("5246 7.4.1.3", "unknown suites alone", HANDSHAKE_FAILURE)
def _(c):
    c.hello.suites = [0xC0FF, 0x0000, *GREASE]
    c.send_hello()


@row("5246 7.4.1.2", "suites of TLS 1.3 alone, and no supported_versions", HANDSHAKE_FAILURE)
def _(c):
    c.hello.suites = [0x1301, 0x1302, 0x1303]
    c.send_hello()


@row("5246 F.1.1.1", "anonymous and NULL suites", HANDSHAKE_FAILURE, at="old")
def _(c):
    c.hello.suites = [0x0001, 0x0002, 0x003B, 0x0018, 0x0034, 0xC015, 0xC018, 0x00A6]
    c.send_hello()


@row("9325 4.1", "RC4, 3DES, DES and export suites", HANDSHAKE_FAILURE, at="old")
def _(c):
    c.hello.suites = [0x0004, 0x0005, 0x000A, 0xC011, 0xC012, 0x0009, 0x0003, 0x0006, 0x0008, 0x0014]
    c.send_hello()

# ---- versions ----

for _version in (0x0000, 0x0002, 0x0200, 0x0300, 0x0301, 0x0302):
    @row("5246 E.1", f"client_version {_version:#06x}", PROTOCOL_VERSION)
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.send_hello()

for _version in (0x0304, 0x0305, 0x03FF, 0x0400, 0x7F17, 0xFFFF):
    @row("5246 E.1", f"client_version {_version:#06x}, above what is spoken", None)
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.connect()

for _version in (0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03FF):
    @row("5246 E.1", f"a record of version {_version:#06x} with the ClientHello", None)
    def _(c, version=_version):
        c.send_hello(version=version)
        c.read_flight().finish()

for _version in (0x0000, 0x0200, 0x0400, 0xFFFF):
    @row("5246 E.1", f"a record of version {_version:#06x}, which is not TLS's, with the ClientHello", (PROTOCOL_VERSION, UNEXPECTED_MESSAGE, DECODE_ERROR, ENDS))
    def _(c, version=_version):
        c.send_hello(version=version)


@row("8446 4.2.1", "supported_versions with TLS 1.2 alone", None)
def _(c):
    c.hello.put(Extension(43, Vector("versions", 1, numbers([0x0303]))))
    c.connect()


@row("8446 4.2.1", "supported_versions with TLS 1.1 and 1.0", PROTOCOL_VERSION)
def _(c):
    c.hello.put(Extension(43, Vector("versions", 1, numbers([0x0302, 0x0301]))))
    c.send_hello()


@row("8446 4.2.1", "TLS 1.2 where it is not spoken", PROTOCOL_VERSION, at="modern")
def _(c):
    c.send_hello()


@row("8446 4.1.3", "the mark of a server that could speak TLS 1.3", None)
def _(c):
    c.connect()
    assert c.server_random[-8:] == b"DOWNGRD\x01"


@row("8446 4.1.3", "no such mark where TLS 1.2 is the best that is spoken", None, at="only 1.2")
def _(c):
    c.connect()
    assert c.server_random[-8:-1] != b"DOWNGRD"


@row("8446 4.2.1", "TLS 1.3 offered, too, where TLS 1.2 is the best that is spoken", None, at="only 1.2")
def _(c):
    c.hello.put(Extension(43, Vector("versions", 1, numbers([GREASE[1], 0x0304, 0x0303, 0x0302]))))
    c.hello.suites[:0] = [0x1301, 0x1302]
    c.connect()
    assert c.server_random[-8:-1] != b"DOWNGRD"


@row("7507 3", "a fallback from TLS 1.3", INAPPROPRIATE_FALLBACK)
def _(c):
    c.hello.suites.append(FALLBACK)
    c.send_hello()


@row("7507 3", "no fallback where TLS 1.2 is the best that is spoken", None, at="only 1.2")
def _(c):
    c.hello.suites.append(FALLBACK)
    c.connect()


@row("6176 3", "a ClientHello of SSL 2 for TLS 1.2", (PROTOCOL_VERSION, UNEXPECTED_MESSAGE, DECODE_ERROR, ENDS))
def _(c):
    body = b"\x01\x03\x03" + struct.pack(">HHH", 9, 0, 16) + bytes.fromhex("00c02f00009c00003c") + bytes(16)
    c.send(struct.pack(">H", 0x8000 | len(body)) + body)


@row("6176 3", "a ClientHello of SSL 2 for SSL 2", (PROTOCOL_VERSION, UNEXPECTED_MESSAGE, DECODE_ERROR, ENDS))
def _(c):
    body = b"\x01\x00\x02" + struct.pack(">HHH", 3, 0, 16) + bytes.fromhex("010080") + bytes(16)
    c.send(struct.pack(">H", 0x8000 | len(body)) + body)


# ---- form ----

@row("5246 7.4.1.2", "no extensions at all", None, at="old")
def _(c):
    c.hello.extensions = None
    c.hello.suites = [KRSA_AES_128]
    c.connect()
    assert not c.server_extensions and not c.extended


@row("5246 7.4.1.2", "an empty list of extensions", None, at="old")
def _(c):
    c.hello.extensions = []
    c.hello.suites = [KRSA_AES_128]
    c.connect()
    assert not c.server_extensions


@row("5746 3.6", "the signalling suite and no other extension than one", None, at="old")
def _(c):
    c.hello.extensions = [signature_algorithms([0x0401])]
    c.hello.suites = [KRSA_AES_128, EMPTY_RENEGOTIATION_INFO]
    c.connect()
    assert c.server_extensions == {RENEGOTIATION_INFO: b"\0"}


for _suite in (KRSA_AES_128, KRSA_CBC_SHA, KRSA_CBC_SHA256):
    @row("5746 3.6", f"suites alone, as from clients of long ago: {_suite:#06x}", None, at="old")
    def _(c, suite=_suite):
        c.hello.extensions = None
        c.hello.suites = [suite, EMPTY_RENEGOTIATION_INFO]
        c.connect()
        assert c.server_extensions == {RENEGOTIATION_INFO: b"\0"}

for _suite in (RSA_AES_128, DHE_AES_128, RSA_CBC_SHA, ECDSA_AES_128):
    @row("9155 4", f"no signature_algorithms, and a suite that needs a signature: {_suite:#06x}", HANDSHAKE_FAILURE, at="old")
    def _(c, suite=_suite):
        c.hello.drop(SIGNATURE_ALGORITHMS)
        c.hello.suites = [suite]
        c.send_hello()


@row("9155 4", "no signature_algorithms, and a suite that needs none among those in common", None, at="old",
     excused=Other(HANDSHAKE_FAILURE, "OpenSSL chooses the suite first, and then finds that it cannot sign"))
def _(c):
    c.hello.drop(SIGNATURE_ALGORITHMS)
    c.hello.suites = [RSA_AES_128, KRSA_AES_128]
    c.connect()


@row("9155 4", "no signature_algorithms, which once meant SHA-1", HANDSHAKE_FAILURE)
def _(c):
    c.hello.drop(SIGNATURE_ALGORITHMS)
    c.send_hello()


@row("9155 3", "signatures with SHA-1 and MD5 alone", HANDSHAKE_FAILURE)
def _(c):
    c.hello.put(signature_algorithms([0x0201, 0x0203, 0x0101]))
    c.send_hello()


for _scheme, _rsa in ((0x0401, True), (0x0501, True), (0x0601, True), (0x0804, True), (0x0805, True), (0x0806, True), (0x0403, False)):
    @row("5246 7.4.1.4.1", f"one signature algorithm: {_scheme:#06x}", None)
    def _(c, scheme=_scheme, rsa=_rsa):
        c.hello.put(signature_algorithms([0xFEFE, 0x0909, scheme]))
        c.connect()
        assert c.scheme == scheme and is_rsa(c.certificates[0]) == rsa


@row("5246 7.4.1.4.1", "unknown signature algorithms alone", HANDSHAKE_FAILURE)
def _(c):
    c.hello.put(signature_algorithms([0xFEFE, 0x0909, 0x0008]))
    c.send_hello()


for _n in (1000, 20000):
    @row("5246 7.4.1.4.1", f"{_n} signature algorithms", None)
    def _(c, n=_n):
        c.hello.put(signature_algorithms([0xFE00 + i % 256 for i in range(n)] + [0x0401]))
        c.connect()

for _what, _path, _change in (
        ("suites of an odd size", "message/cipher_suites", -1), ("extensions cut short", "message/extensions", -1),
        ("extensions that go beyond the message", "message/extensions", 1), ("a message that is longer than its fields", "message", -1),
        ("a session id that goes beyond the message", "message/session_id", 200), ("groups of an odd size", "message/extensions/supported_groups/list", -1),
        ("signature algorithms of an odd size", "message/extensions/signature_algorithms/list", -1), ("a name beyond its list", "message/extensions/server_name/list/name", 1),
        ("a name short of its list", "message/extensions/server_name/list/name", -1), ("a list of names short of its extension", "message/extensions/server_name/list", -1),
        ("an ALPN name beyond its list", "message/extensions/alpn/list/name", 1), ("an ALPN list short of its extension", "message/extensions/alpn/list", -1),
        ("compression methods beyond the message", "message/compressions", 200)):
    @row("5246 7.4.1.2", _what, (DECODE_ERROR, UNEXPECTED_MESSAGE) if _path == "message" else (DECODE_ERROR, ILLEGAL_PARAMETER))
    def _(c, path=_path, change=_change):
        assert path in c.hello.paths(), c.hello.paths()
        c.hello.lengths[path] = change
        c.send_hello()


@row("5246 7.4.1.2", "no suites", MISSING_IN_HELLO)
def _(c):
    c.hello.suites = []
    c.send_hello()


@row("5246 7.4.1.2", "no compression method", MISSING_IN_HELLO)
def _(c):
    c.hello.compressions = b""
    c.send_hello()


@row("5246 7.4.1.2", "compression methods without the one that does nothing", MISSING_IN_HELLO)
def _(c):
    c.hello.compressions = b"\1"
    c.send_hello()


@row("5246 7.4.1.2", "compression methods with the one that does nothing among them", None)
def _(c):
    c.hello.compressions = b"\1\x40\0"
    c.connect()


for _size in (1, 31, 32):
    @row("5246 7.4.1.2", f"a session id of {_size} bytes that nobody knows", None)
    def _(c, size=_size):
        c.hello.session_id = bytes(range(size))
        c.connect()
        assert c.session_id != c.hello.session_id


@row("5246 7.4.1.2", "a session id of 33 bytes", MISSING_IN_HELLO)
def _(c):
    c.hello.session_id = bytes(33)
    c.send_hello()


@row("5246 7.4.1.2", "bytes behind the extensions", DECODE_ERROR)
def _(c):
    c.hello.tail = b"\0"
    c.send_hello()


for _cut in (1, 10, 38, 39, 41, 60):
    @row("5246 7.4.1.2", f"a ClientHello cut to {_cut} bytes", DECODE_ERROR)
    def _(c, cut=_cut):
        c.send(record(b"\1" + vector(c.hello.encode()[4:4 + cut], 3)))


@row("5246 7.4.1.2", "an empty ClientHello", DECODE_ERROR)
def _(c):
    c.send(record(b"\1\0\0\0"))


# ---- extensions ----

for _extension in (groups([P256]), signature_algorithms([0x0401]), server_name(b"a.test"), alpn(b"h2"), extended_master_secret(), session_ticket(),
                   renegotiation_info(), point_formats(0), Extension(0xABCD, b"")):
    @row("5246 7.4.1.4", f"two extensions of a type: {_extension.name}", MISSING_IN_HELLO)
    def _(c, extension=_extension):
        c.hello.put(extension)
        c.hello.extensions.append(extension)
        c.send_hello()


@row("5246 7.4.1.4", "extensions that nobody knows", None)
def _(c):
    c.hello.extensions[1:1] = [Extension(0xABCD, b"x" * 100), *(Extension(g, b"") for g in GREASE[:3]), Extension(0xFFFE, bytes(2000))]
    c.connect()


@row("7685 3", "ten kilobytes of padding", None)
def _(c):
    c.hello.put(padding(10_000))
    c.connect()


@row("5246 7.4.1.4", "a thousand extensions", None)
def _(c):
    c.hello.extensions += [Extension(0x4000 + i, b"") for i in range(1000)]
    c.connect()


for _name, _extension in (("extended_master_secret with content", extended_master_secret(b"\0")), ("encrypt_then_mac with content", encrypt_then_mac(b"\0"))):
    @row("7627 5.1", _name, MISSING_IN_HELLO, at="old")
    def _(c, extension=_extension):
        c.hello.suites = [RSA_CBC_SHA]
        c.hello.put(extension)
        c.send_hello()


@row("7627 5.2", "extended_master_secret is answered", None)
def _(c):
    c.connect()
    assert c.extended and c.server_extensions[EXTENDED_MASTER_SECRET] == b""


@row("7627 5.4", "no extended_master_secret", None)
def _(c):
    c.hello.drop(EXTENDED_MASTER_SECRET)
    c.connect()
    assert not c.extended


@row("5746 3.6", "renegotiation_info is answered", None)
def _(c):
    c.connect()
    assert c.server_extensions[RENEGOTIATION_INFO] == b"\0"


@row("5746 3.6", "neither renegotiation_info nor its suite: a client of before", None)
def _(c):
    c.hello.drop(RENEGOTIATION_INFO)
    c.connect()
    assert RENEGOTIATION_INFO not in c.server_extensions


@row("5746 3.6", "both renegotiation_info and its suite", None)
def _(c):
    c.hello.suites.insert(0, EMPTY_RENEGOTIATION_INFO)
    c.connect()


@row("5746 3.6", "renegotiation_info of a handshake that never was", HANDSHAKE_FAILURE)
def _(c):
    c.hello.put(renegotiation_info(b"123456789012"))
    c.send_hello()


for _name, _content in (("empty", b""), ("short of its length", b"\1"), ("longer than its length", b"\0\0")):
    @row("5746 3.6", f"renegotiation_info that is {_name}", (DECODE_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER))
    def _(c, content=_content):
        c.hello.put(Extension(RENEGOTIATION_INFO, content))
        c.send_hello()


@row("8422 5.1.2", "point formats without the uncompressed one", ILLEGAL_PARAMETER)
def _(c):
    c.hello.put(point_formats(1, 2))
    c.send_hello()


@row("8422 5.1.2", "point formats with the uncompressed one among them", None)
def _(c):
    c.hello.put(point_formats(2, 1, 0, 77))
    c.connect()


@row("8422 5.1.2", "no point formats in the list", DECODE_ERROR)
def _(c):
    c.hello.put(point_formats())
    c.send_hello()


@row("8422 5.1.1", "no groups in the list", (DECODE_ERROR, HANDSHAKE_FAILURE))
def _(c):
    c.hello.put(groups([]))
    c.send_hello()


@row("5246 7.4.1.4.1", "no signature algorithms in the list", DECODE_ERROR)
def _(c):
    c.hello.put(signature_algorithms([]))
    c.send_hello()


@row("7301 3.2", "ALPN: ours comes second", None)
def _(c):
    c.hello.put(alpn(b"no/such", b"http/1.1"))
    c.connect()
    assert c.server_extensions[ALPN] == vector(vector(b"http/1.1", 1))


@row("7301 3.2", "ALPN: nothing in common", NO_APPLICATION_PROTOCOL)
def _(c):
    c.hello.put(alpn(b"no/such", b"http/1.10", b"http/1."))
    c.send_hello()


for _name, _content in (("no names", b"\0\0"), ("an empty name", b"\0\1\0"), ("an empty name behind a good one", vector(vector(b"http/1.1", 1) + b"\0")), ("nothing", b"")):
    @row("7301 3.1", f"ALPN with {_name}", DECODE_ERROR)
    def _(c, content=_content):
        c.hello.put(Extension(ALPN, content))
        c.send_hello()


@row("6066 3", "a name that is acknowledged", None)
def _(c):
    c.connect()
    assert c.server_extensions[SERVER_NAME] == b""


@row("6066 3", "no name", None)
def _(c):
    c.hello.drop(SERVER_NAME)
    c.connect()
    assert SERVER_NAME not in c.server_extensions


for _name, _content in (("no names", b"\0\0"), ("nothing", b""), ("an empty name", vector(b"\0" + vector(b""))), ("two names of a kind", vector(2 * (b"\0" + vector(b"a.test")))),
                        ("a zero byte", vector(b"\0" + vector(b"a.test\0")))):
    @row("6066 3", f"server_name with {_name}", (DECODE_ERROR, ILLEGAL_PARAMETER, 112))
    def _(c, content=_content):
        c.hello.put(Extension(SERVER_NAME, content))
        c.send_hello()


@row("6520 2", "heartbeat, which is not spoken", None)
def _(c):
    c.hello.put(Extension(15, b"\1"))
    c.connect()
    assert 15 not in c.server_extensions


@row("8449 4", "record_size_limit, which TLS 1.2 is spoken without", None)
def _(c):
    c.hello.put(record_size_limit(1024))
    c.connect()
    assert 28 not in c.server_extensions


@row("6066 8", "status_request without a response to staple", None)
def _(c):
    c.hello.put(status_request())
    c.connect()
    assert 5 not in c.server_extensions and CERTIFICATE_STATUS not in c.seen


for _name, _content in (("no content", b""), ("a list that goes beyond it", b"\1\0\5\0\0"), ("bytes behind it", b"\1\0\0\0\0\0")):
    @row("6066 8", f"status_request with {_name}", DECODE_ERROR)
    def _(c, content=_content):
        c.hello.put(Extension(5, content))
        c.send_hello()


for _code, _bytes in ((1, 512), (2, 1024), (3, 2048), (4, 4096)):
    @row("6066 4", f"max_fragment_length {_code}", None)
    def _(c, code=_code):
        c.hello.put(Extension(1, bytes([code])))
        c.connect()
        assert c.server_extensions[1] == bytes([code])

    @row("6066 4", f"max_fragment_length {_code}: content over it", RECORD_OVERFLOW)
    def _(c, code=_code, size=_bytes):
        c.hello.put(Extension(1, bytes([code])))
        c.connect()
        c.send(c.seal(bytes(size + 1)))

    @row("6066 4", f"max_fragment_length {_code}: content that fills it, both ways", None)
    def _(c, code=_code, size=_bytes):
        c.hello.put(Extension(1, bytes([code])))
        c.connect()
        request = get(fields=[f"Content-Length: {size * 3}"], method="POST")
        c.send(*(c.seal(p) for p in pieces(request, size)), *(c.seal(bytes(size)) for _ in range(3)))
        kind, content = c.read_record()
        assert kind == APPLICATION_DATA and len(content) <= size
        c.collected = content
        c.read_content(len(c.answer))

for _name, _content in (("of an unknown number", b"\5"), ("0", b"\0"), ("255", b"\xff")):
    @row("6066 4", f"max_fragment_length {_name}", ILLEGAL_PARAMETER)
    def _(c, content=_content):
        c.hello.put(Extension(1, content))
        c.send_hello()


@row("6066 4", "max_fragment_length of two bytes", DECODE_ERROR)
def _(c):
    c.hello.put(Extension(1, b"\1\1"))
    c.send_hello()


@row("5246 7.4.1.3", "every random is another", None)
def _(c):
    from support.tls12 import Client  # pylint: disable=import-outside-toplevel
    c.connect()
    seen = {c.server_random[:24]}
    for _ in range(5):
        with Client(c.face.port) as other:
            other.send_hello()
            other.read_flight()
            seen.add(other.server_random[:24])
    assert len(seen) == 6


# ---- records that it comes in ----

for _size in (1, 2, 3, 5, 50, 512):
    @row("5246 6.2.1", f"a ClientHello in records of {_size} bytes", None)
    def _(c, size=_size):
        c.send_hello(size=size)
        c.read_flight().finish()


@row("5246 6.2.1", "a ClientHello of 40 KB in full records", None)
def _(c):
    c.hello.put(padding(40_000))
    c.connect()


@row("5246 6.2.1", "an empty record before the ClientHello", UNEXPECTED_MESSAGE)
def _(c):
    c.send(record(b""))
    c.send_hello()


@row("5246 6.2.1", "an empty record within the ClientHello", UNEXPECTED_MESSAGE)
def _(c):
    c.send_hello(size=100, between=record(b""))


@row("5246 6.2.1", "a ClientHello in a record over the limit", RECORD_OVERFLOW)
def _(c):
    c.hello.put(padding(17_000))
    c.send(record(c.hello.encode()))


for _kind in (0, 19, 24, 25, 63, 128, 255):
    @row("5246 6.2.1", f"a ClientHello in a record of the type {_kind}", (UNEXPECTED_MESSAGE, PROTOCOL_VERSION, DECODE_ERROR, ENDS))
    def _(c, kind=_kind):
        c.send(record(c.hello.encode(), kind))


@row("6520 4", "a heartbeat before the ClientHello", (UNEXPECTED_MESSAGE, ENDS))
def _(c):
    c.send(record(b"\1\x40\0", 24))
