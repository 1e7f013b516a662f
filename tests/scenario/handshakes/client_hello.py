"""The first ClientHello: its lengths, its lists, its extensions, and what it lacks."""
import struct

from handshakes import (
    DECODE_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, MISSING_EXTENSION, NO_APPLICATION_PROTOCOL, PROTOCOL_VERSION, UNEXPECTED_MESSAGE,
    Other, row)
from handshakes import COMPLETES
from support.hello import record
from support.tls13_hello import (
    ALPN, COMPRESS_CERTIFICATE, EARLY_DATA, GREASE, KEY_SHARE, MAX_FRAGMENT_LENGTH, PSK_MODES, SERVER_NAME, SIGNATURE_ALGORITHMS,
    SIGNATURE_ALGORITHMS_CERT, STATUS_REQUEST, SUPPORTED_GROUPS, SUPPORTED_VERSIONS, Extension, Hello, Vector, alpn, groups, key_share,
    padding, psk_modes, record_size_limit, server_name, signature_algorithms, status_request, versions)
from support.tls13_keys import P256, P384, X25519

NOT_KNOWN = "OpenSSL does not know this extension, or was built without it"
NOT_LOOKED_AT = "OpenSSL does not read this extension where TLS 1.3 has no use for it"
SECONDARY = ("status_request", "compress_certificate")  # what stands in them has no bearing on whether the handshake can go on


def rich():
    """A ClientHello with every kind of vector in it."""
    hello = Hello(shares=(X25519, P256), protocols=(b"h2", b"http/1.1"))
    hello.put(signature_algorithms((0x0403, 0x0804, 0x0401), SIGNATURE_ALGORITHMS_CERT), status_request(),
              Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\0\1\0\2")), padding(20))
    return hello


# ---- every length, by one ----

def _length(path, delta, title=None):
    secondary = path.count("/") > 2 and path.split("/")[2] in SECONDARY

    def run(c):
        c.hello = rich()
        c.hello.session_id = b"\xff" * 32      # what is read as another length is none that fits
        c.hello.lengths[path] = delta
        c.send_hello()
    alert = (DECODE_ERROR, UNEXPECTED_MESSAGE) if path == "message" else DECODE_ERROR  # too short, it leaves a byte behind it
    if title and path.endswith("/padding"):
        alert = (DECODE_ERROR, ILLEGAL_PARAMETER)   # what was padding is an extension without content, and there twice
    row("6", f"{path}: its length {title or format(delta, '+')}", alert, enforces=("6-decode", "6-reject"),
        openssl=Other((COMPLETES, DECODE_ERROR), NOT_KNOWN if "compress" in path else NOT_LOOKED_AT) if secondary else None)(run)


for _path in rich().paths():
    for _delta in (1, -1):
        if (_path, _delta) != ("message", 1):   # it would be waited for
            _length(_path, _delta)
    _length(_path, lambda size: -1, "all ones")
    if _path.split("/")[-1] not in ("responders", "request_extensions"):    # which are empty
        _length(_path, lambda size: 0, "zero, before its content")
        _length(_path, lambda size: size // 2, "half of what it is")


@row("6", "a byte behind the extensions", DECODE_ERROR, enforces="6-decode")
def _(c):
    c.hello.tail = b"\0"
    c.send_hello()


@row("6", "a ClientHello that ends before its extensions do, in a record that ends there", DECODE_ERROR, enforces="6-decode")
def _(c):
    data = c.hello.encode()[:-1]
    c.send(record(b"\x01" + (len(data) - 4).to_bytes(3, "big") + data[4:]))


for _size in (0, 1, 2, 33, 34, 38, 70):
    @row("6", f"a ClientHello of {_size} bytes", DECODE_ERROR, enforces="6-decode")
    def _(c, size=_size):
        c.send(record(b"\x01" + size.to_bytes(3, "big") + c.hello.encode()[4:4 + size]))


@row("4.1.2", "a ClientHello of more bytes than are read of one", DECODE_ERROR)
def _(c):
    c.send(record(b"\x01\xff\xff\xff" + c.hello.encode()[4:]))


# ---- lists that are empty, or not of whole elements ----

def _hello_with(*extensions, section="6", name, alert=DECODE_ERROR, drop=(), openssl=None, enforces="6-decode"):
    def run(c):
        c.hello.drop(*drop)
        c.hello.put(*extensions)
        c.send_hello()
    row(section, name, alert, openssl=openssl, enforces=enforces)(run)


for _kind, _width in ((SUPPORTED_GROUPS, 2), (SIGNATURE_ALGORITHMS, 2), (SUPPORTED_VERSIONS, 1), (SIGNATURE_ALGORITHMS_CERT, 2)):
    _title = {10: "supported_groups", 13: "signature_algorithms", 43: "supported_versions", 50: "signature_algorithms_cert"}[_kind]
    _whole = {10: b"\0\x1d", 13: b"\x04\x03", 43: b"\x03\x04", 50: b"\x04\x03"}[_kind]
    _hello_with(Extension(_kind, Vector("list", _width)), name=f"{_title} with an empty list")
    _hello_with(Extension(_kind), name=f"{_title} without content")
    _hello_with(Extension(_kind, Vector("list", _width, _whole + b"\x03")), name=f"{_title} of one and a half elements")
    _hello_with(Extension(_kind, Vector("list", _width, _whole), b"\0"), name=f"{_title} with a byte behind its list")
_hello_with(Extension(KEY_SHARE), name="key_share without content")
_hello_with(Extension(KEY_SHARE, Vector("client_shares", 2, b"\0\x1d")), name="key_share with half an entry")
_hello_with(Extension(KEY_SHARE, Vector("client_shares", 2, b"\0\x1d\0\0")), name="key_share with an empty key_exchange")
_hello_with(Extension(PSK_MODES), name="psk_key_exchange_modes without content",
            openssl=Other((COMPLETES, DECODE_ERROR), NOT_LOOKED_AT))
_hello_with(Extension(PSK_MODES, Vector("modes", 1)), name="psk_key_exchange_modes with an empty list",
            openssl=Other((COMPLETES, DECODE_ERROR), NOT_LOOKED_AT))
_hello_with(Extension(PSK_MODES, Vector("modes", 1, b"\1"), b"\1"), name="psk_key_exchange_modes with a byte behind its list")
_hello_with(Extension(SERVER_NAME), name="server_name without content", section="RFC 6066 3")
_hello_with(Extension(SERVER_NAME, Vector("list", 2)), name="server_name with an empty list", section="RFC 6066 3")
_hello_with(server_name(b""), name="server_name with an empty name", section="RFC 6066 3")
_hello_with(Extension(ALPN), name="alpn without content", section="RFC 7301 3.1")
_hello_with(alpn(), name="alpn with an empty list", section="RFC 7301 3.1")
_hello_with(alpn(b"http/1.1", b""), name="alpn with an empty name", section="RFC 7301 3.1")
_hello_with(Extension(EARLY_DATA, b"\0"), name="early_data with content", enforces=("6-decode", "4.2.10-empty"))
_hello_with(Extension(28, b"\x40"), name="record_size_limit of one byte", section="RFC 8449 4", openssl=Other((COMPLETES, DECODE_ERROR), NOT_KNOWN))
_hello_with(Extension(28, b"\x40\0\0"), name="record_size_limit of three bytes", section="RFC 8449 4",
            openssl=Other((COMPLETES, DECODE_ERROR), NOT_KNOWN))
_hello_with(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1)), name="compress_certificate with an empty list", section="RFC 8879 3",
            openssl=Other((COMPLETES, DECODE_ERROR), NOT_KNOWN))
_hello_with(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\0\1\0")), name="compress_certificate of one and a half elements",
            section="RFC 8879 3", openssl=Other((COMPLETES, DECODE_ERROR), NOT_KNOWN))
_hello_with(Extension(STATUS_REQUEST), name="status_request without content", section="RFC 6066 8",
            openssl=Other((COMPLETES, DECODE_ERROR), NOT_LOOKED_AT))
_hello_with(record_size_limit(63), name="record_size_limit of less than 64", section="RFC 8449 4", alert=ILLEGAL_PARAMETER, enforces=(),
            openssl=Other((COMPLETES, ILLEGAL_PARAMETER), NOT_KNOWN))
_hello_with(Extension(MAX_FRAGMENT_LENGTH, b"\1\1"), name="max_fragment_length of two bytes", section="RFC 6066 4")
_hello_with(Extension(MAX_FRAGMENT_LENGTH, b"\5"), name="max_fragment_length of no value that there is", section="RFC 6066 4",
            alert=ILLEGAL_PARAMETER, enforces=())


@row("6", "an empty list of suites", DECODE_ERROR, enforces="6-decode")
def _(c):
    c.hello.suites = []
    c.send_hello()


@row("6", "one and a half suites", DECODE_ERROR, enforces="6-decode")
def _(c):
    data = c.hello.encode()
    at = 4 + 2 + 32 + 33
    body = data[4:at] + b"\0\3\x13\x01\x13" + data[at + 2 + 2 * len(c.hello.suites):]
    c.send(record(b"\x01" + len(body).to_bytes(3, "big") + body))


@row("6", "no compression method", DECODE_ERROR, enforces="6-decode")
def _(c):
    c.hello.compressions = b""
    c.send_hello()


@row("4.1.2", "a session id of 33 bytes", DECODE_ERROR, enforces="6-decode")
def _(c):
    c.hello.session_id = bytes(33)
    c.send_hello()


for _size in (0, 1, 31):
    @row("4.1.3", f"a session id of {_size} bytes is given back", None, enforces="4.1.3-echo")
    def _(c, size=_size):
        c.hello.session_id = bytes(range(size))
        c.send_hello()


# ---- versions ----

_ABOVE_AND_BELOW = {0x0301: None, 0x0302: None, 0x0304: None, 0x0305: None, 0x03FF: None}
for _version in _ABOVE_AND_BELOW:
    @row("4.2.1", f"legacy_version {_version:#06x} beside supported_versions", None, enforces="4.2.1-ignore")
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.send_hello()


for _version in (0x0300, 0x0002, 0x0000):
    @row("D.5", f"legacy_version {_version:#06x}", PROTOCOL_VERSION, enforces="D.5-ssl3",
         openssl=Other((COMPLETES, PROTOCOL_VERSION), "OpenSSL looks at supported_versions alone"))
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.send_hello()


for _list in ((0x0303,), (0x0302, 0x0301), (0x0305,), (0x7F1C,), GREASE[:2], (0x0403,)):
    @row("4.2.1", "supported_versions with " + ", ".join(f"{v:#06x}" for v in _list) + " where TLS 1.3 alone is spoken", PROTOCOL_VERSION, at="modern",
         enforces=("4.2.1-select", "4.1.3-abort"))
    def _(c, values=_list):
        c.hello.put(versions(values))
        c.send_hello()


for _list in ((0x0302, 0x0301), (0x0305,), GREASE[:1]):
    @row("4.2.1", "supported_versions with " + ", ".join(f"{v:#06x}" for v in _list), PROTOCOL_VERSION, enforces="4.2.1-select")
    def _(c, values=_list):
        c.hello.put(versions(values))
        c.send_hello()


for _version in (0x0303, 0x0304, 0x03FF):
    @row("4.2.1", f"no supported_versions, legacy_version {_version:#06x}, where TLS 1.3 alone is spoken", PROTOCOL_VERSION, at="modern",
         enforces="4.2.1-absent")
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.hello.drop(SUPPORTED_VERSIONS)
        c.send_hello()


@row("4.2.1", "no extensions at all where TLS 1.3 alone is spoken", PROTOCOL_VERSION, at="modern", enforces="4.2.1-absent")
def _(c):
    c.hello.extensions = None
    c.send(record(c.hello.encode()))


for _list in ((0x0304, 0x0303), (0x0303, 0x0304), (GREASE[3], 0x0305, 0x0304), (0x0304, 0x0304)):
    @row("4.2.1", "supported_versions with " + ", ".join(f"{v:#06x}" for v in _list) + " is TLS 1.3", None, enforces="4.2.1-unknown")
    def _(c, values=_list):
        c.hello.put(versions(values))
        c.send_hello()


# ---- compression ----

for _methods in (b"\1", b"\0\1", b"\1\0", b"\0\0", bytes(range(255))):
    @row("4.1.2", f"compression methods {list(_methods[:3])}" + (" and more" if len(_methods) > 3 else ""), ILLEGAL_PARAMETER, enforces="4.1.2-compression")
    def _(c, methods=_methods):
        c.hello.compressions = methods
        c.send_hello()


# ---- nothing in common ----

for _suites in ((0x1304, 0x1305), (0xC02B, 0xC02F), GREASE[:3], (0x00FF, 0x5600), (0x0000,)):
    @row("4.1.1", "suites " + ", ".join(f"{s:#06x}" for s in _suites) + " alone", HANDSHAKE_FAILURE, enforces="4.1.1-common")
    def _(c, suites=_suites):
        c.hello.suites = list(suites)
        c.send_hello()


for _groups in ((0x0100,), (0x0019,), (0x0016,), GREASE[4:6]):
    @row("4.1.1", "groups " + ", ".join(f"{g:#06x}" for g in _groups) + " alone", HANDSHAKE_FAILURE, enforces="4.1.1-common")
    def _(c, values=_groups):
        c.hello.put(groups(values), key_share())
        c.send_hello()


for _schemes, _what in (((0x0201, 0x0203), "of SHA-1"), ((0x0401, 0x0501, 0x0601), "of PKCS #1"), ((0x0503,), "of P-384 where keys are of P-256 and RSA"),
                        ((0x0807, 0x0808), "of Edwards curves where keys are of P-256 and RSA"), (GREASE[:2], "of no meaning"),
                        ((0x0402, 0x0202), "of DSA"), ((0x0809,), "of RSASSA-PSS keys where keys are of RSA")):
    @row("4.4.2.2", f"signature algorithms {_what} alone", HANDSHAKE_FAILURE, enforces=("4.4.3-offered", "4.1.1-common", "4.4.3-pss"))
    def _(c, schemes=_schemes):
        c.hello.put(signature_algorithms(schemes))
        c.send_hello()


@row("RFC 7301 3.2", "no protocol in common", NO_APPLICATION_PROTOCOL)
def _(c):
    c.hello.put(alpn(b"spdy/1", b"foo"))
    c.send_hello()


# ---- extensions that are missing, twice, or where they may not be ----

for _kind, _title in ((SUPPORTED_GROUPS, "supported_groups"), (KEY_SHARE, "key_share"), (SIGNATURE_ALGORITHMS, "signature_algorithms")):
    @row("9.2", f"{_title} is missing", MISSING_EXTENSION, enforces=("9.2-missing", "4.2.3-missing") if _kind == 13 else "9.2-missing")
    def _(c, kind=_kind):
        c.hello.drop(kind)
        c.send_hello()


@row("9.2", "supported_groups and key_share are missing", MISSING_EXTENSION, enforces="9.2-missing",
     openssl=Other((HANDSHAKE_FAILURE, MISSING_EXTENSION), "to OpenSSL it is a ClientHello with no group in common"))
def _(c):
    c.hello.drop(SUPPORTED_GROUPS, KEY_SHARE)
    c.send_hello()


@row("9.2", "supported_versions alone", MISSING_EXTENSION, enforces="9.2-missing",
     openssl=Other((HANDSHAKE_FAILURE, MISSING_EXTENSION), "to OpenSSL it is a ClientHello with no group in common"))
def _(c):
    c.hello.extensions = [c.hello.find(SUPPORTED_VERSIONS)]
    c.send_hello()


for _kind, _title in ((SERVER_NAME, "server_name"), (SUPPORTED_GROUPS, "supported_groups"), (SIGNATURE_ALGORITHMS, "signature_algorithms"),
                      (SUPPORTED_VERSIONS, "supported_versions"), (KEY_SHARE, "key_share"), (ALPN, "alpn"), (PSK_MODES, "psk_key_exchange_modes")):
    for _apart in (False, True):
        @row("4.2", f"{_title} twice, " + ("apart" if _apart else "side by side"), ILLEGAL_PARAMETER, enforces="4.2-twice")
        def _(c, kind=_kind, apart=_apart):
            at = c.hello.kinds().index(kind)
            c.hello.extensions.insert(len(c.hello.extensions) if apart else at, c.hello.extensions[at])
            c.send_hello()


@row("4.2", "an unknown extension twice", ILLEGAL_PARAMETER, enforces="4.2-twice")
def _(c):
    c.hello.extensions += [Extension(0x7A7B, b"x"), Extension(0x7A7B, b"y")]
    c.send_hello()


@row("4.2", "key_share twice, the second for another group", ILLEGAL_PARAMETER, enforces="4.2-twice")
def _(c):
    c.hello.extensions.append(key_share((P256, b"\4" + bytes(64))))
    c.send_hello()


for _names, _what in (((b"a.test", b"b.test"), "two names"), ((b"a.test", b"a.test"), "one name twice")):
    @row("RFC 6066 3", f"server_name with {_what}", ILLEGAL_PARAMETER,
         openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER), "OpenSSL's reader takes one entry and finds more behind it"))
    def _(c, names=_names):
        c.hello.put(server_name(*names))
        c.send_hello()


@row("RFC 6066 3", "server_name with a name that holds a zero byte", ILLEGAL_PARAMETER)
def _(c):
    c.hello.put(server_name(b"a.test\0.example"))
    c.send_hello()


# ---- what must be passed over ----

@row("4.1.2", "extensions, suites, groups, signature algorithms, versions, protocols and modes that nobody knows", None,
     enforces=("4.1.2-ignore", "4.2-unknown", "9.3-grease", "4.2.9-unknown"))
def _(c):
    h = c.hello
    h.suites = [GREASE[0], *h.suites, 0x5A5A, 0x1399]
    h.put(groups([GREASE[1], 0x7777, X25519, P256]), signature_algorithms([GREASE[2], 0x0403, 0x7788, 0x0804]), versions([GREASE[3], 0x0304, 0x0399]),
          alpn(struct.pack(">H", GREASE[4]), b"unheard-of", b"http/1.1"), psk_modes(0x0B, 1, 0x2A, 255),
          key_share((GREASE[1], b"\0"), (X25519, h.keys[X25519].public)))
    h.extensions.insert(0, Extension(GREASE[5]))
    h.extensions.append(Extension(GREASE[6], b"\0"))
    h.extensions.append(Extension(0x7777, bytes(1000)))
    c.send_hello()


@row("4.2", "extensions in another order", None, enforces="4.2-order")
def _(c):
    c.hello.extensions.reverse()
    c.send_hello()


@row("4.1.2", "suites twice in the list", None)
def _(c):
    c.hello.suites *= 2
    c.send_hello()


@row("4.1.2", "no server_name, no ALPN, no session id", None)
def _(c):
    c.hello.drop(SERVER_NAME, ALPN)
    c.hello.session_id = b""
    c.send_hello()


@row("RFC 6066 3", "server_name with an address", None)
def _(c):
    c.hello.put(server_name(b"127.0.0.1"))
    c.send_hello()


@row("4.2.7", "a group whose share is not there is asked for", None, enforces="4.1.1-retry")
def _(c):
    c.hello.put(groups([P384]), key_share())
    c.send_hello()


@row("4.1.2", "a ClientHello of sixty thousand bytes", None)
def _(c):
    c.hello.put(padding(59000))
    c.send_hello()


@row("4.2.3", "five hundred signature algorithms, the useful one last", None)
def _(c):
    c.hello.put(signature_algorithms([0x7000 + i for i in range(500)] + [0x0403]))
    c.send_hello()


@row("4.2.8", "fifty shares of groups that nobody knows before the useful one", None, enforces="4.2.8-order")
def _(c):
    unknown = [0x7000 + i for i in range(50)]
    c.hello.put(groups([*unknown, X25519]), key_share(*((g, bytes(32)) for g in unknown), (X25519, c.hello.keys[X25519].public)))
    c.send_hello()
