"""Versions that a client names, in every place where it can name one, and what it says of having named better ones before
(RFC 8446 4.2.1, 5.1, D.2, D.5; RFC 7507)."""
from handshakes import COMPLETES, INAPPROPRIATE_FALLBACK, PROTOCOL_VERSION, Other, row
from support.hello import record
from support.tls13_hello import GREASE, KEY_SHARE, SUPPORTED_VERSIONS, versions

FALLBACK = 0x5600   # TLS_FALLBACK_SCSV
LOOKS_AT_ONE = "OpenSSL looks at supported_versions alone"

for _version in (0x0400, 0x0401, 0x0603, 0x7F1C, 0xFEFE, 0xFFFF):
    @row("4.2.1", f"legacy_version {_version:#06x}, of no version that there is, beside supported_versions", None, enforces="4.2.1-ignore")
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.send_hello()

for _version in (0x0001, 0x0100, 0x0102, 0x0103, 0x0200, 0x02FF):
    @row("D.5", f"legacy_version {_version:#06x}, before SSL 3.0", PROTOCOL_VERSION, enforces="D.5-ssl3", openssl=Other((COMPLETES, PROTOCOL_VERSION), LOOKS_AT_ONE))
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.send_hello()

for _list in ((0x7F12, 0x7F17, 0x7F1A, 0x7F1C, 0x0304), (0x0300, 0x0304), (0x0304, 0x0300), (0x0002, 0x0304), (0xFEFD, 0x0304), (0x0305, 0x0309, 0x0304, 0x0303)):
    @row("4.2.1", "supported_versions with " + ", ".join(f"{v:#06x}" for v in _list) + ": the others do not matter", None, enforces="4.2.1-unknown")
    def _(c, values=_list):
        c.hello.put(versions(values))
        c.send_hello()

for _list in ((0x0300,), (0x0002,), (0x7F12, 0x7F17, 0x7F1A, 0x7F1C), (0x0309,), (0x0301,), (0x0302,)):
    @row("4.2.1", "supported_versions with " + ", ".join(f"{v:#06x}" for v in _list) + " alone", PROTOCOL_VERSION, enforces="4.2.1-select")
    def _(c, values=_list):
        c.hello.put(versions(values))
        c.send_hello()


@row("4.2.1", "as many versions as there is room for, the one that is spoken last", None, enforces="4.2.1-unknown")
def _(c):
    c.hello.put(versions([0x0500 + i for i in range(126)] + [0x0304]))
    c.send_hello()


@row("4.2.1", "GREASE and drafts without the version that is spoken", PROTOCOL_VERSION, at="modern", enforces="4.2.1-select")
def _(c):
    c.hello.put(versions([*GREASE, 0x7F1C, 0x0303]))
    c.send_hello()


for _version in (0x0301, 0x0302):
    @row("4.2.1", f"no supported_versions, and legacy_version {_version:#06x}", PROTOCOL_VERSION, enforces="4.2.1-absent")
    def _(c, version=_version):
        c.hello.legacy_version = version
        c.hello.suites += [0xC02B, 0xC02F, 0x009C]
        c.lenient = True    # of the alert's record version, which is the client's here (RFC 5246 E.1)
        c.hello.drop(SUPPORTED_VERSIONS)
        c.send_hello()


# ---- TLS_FALLBACK_SCSV ----

@row("RFC 7507 3", "TLS_FALLBACK_SCSV of a client that names the best version there is", None)
def _(c):
    c.hello.suites = [FALLBACK, *c.hello.suites]
    c.send_hello()


@row("RFC 7507 3", "TLS_FALLBACK_SCSV of a client that names a better version than there is", None)
def _(c):
    c.hello.suites.append(FALLBACK)
    c.hello.put(versions([0x0305, 0x0304, 0x0303]))
    c.send_hello()


@row("RFC 7507 3", "TLS_FALLBACK_SCSV of a client that names TLS 1.2 alone in supported_versions", INAPPROPRIATE_FALLBACK)
def _(c):
    c.hello.suites = [0xC02B, 0xC02F, FALLBACK]
    c.hello.put(versions([0x0303]))
    c.send_hello()


@row("RFC 7507 3", "TLS_FALLBACK_SCSV of a client that knows no supported_versions", INAPPROPRIATE_FALLBACK)
def _(c):
    c.hello.suites = [0xC02B, 0xC02F, FALLBACK]
    c.hello.drop(SUPPORTED_VERSIONS, KEY_SHARE)
    c.send_hello()


# ---- in records ----

for _version in (0x0300, 0x0301, 0x0304, 0x0305, 0x03FE):
    @row("5.1", f"a ClientHello in two records of version {_version:#06x}", None, enforces="5.1-version")
    def _(c, version=_version):
        c.transcript = c.hello.encode()
        c.send(record(c.transcript[:90], version=version), record(c.transcript[90:], version=version))

    @row("5.1", f"a second ClientHello in a record of version {_version:#06x}", None, enforces="5.1-version",
         openssl=Other((COMPLETES, PROTOCOL_VERSION), "OpenSSL looks at the version of all records but the first"))
    def _(c, version=_version):
        c.hello.share()
        c.send_hello()
        assert c.read_server_hello()
        whole, sent = c.send, []
        c.send = sent.append
        c.answer_retry()
        c.send = whole
        c.send(sent[0][:1] + version.to_bytes(2, "big") + sent[0][3:])

    @row("5.2", f"a Finished in a record of version {_version:#06x}", None, enforces="5.1-version",
         openssl=Other((COMPLETES, PROTOCOL_VERSION, 10, 20, 50), "OpenSSL looks at the version of all records but the first"))
    def _(c, version=_version):
        c.send_hello()
        c.read_flight()
        data = c.finished()
        c.transcript += data
        c.send(c.seal(data, 22, version=version.to_bytes(2, "big")))
        c.change_keys()
        c.send(c.seal(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"))
