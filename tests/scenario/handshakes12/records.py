"""Records behind the handshake of TLS 1.2, and what asks for another handshake (RFC 5246 6, 7.2, 7.4.1.1, RFC 5746 4.5, RFC 5288, RFC 7905)."""
import os

from handshakes12 import (
    COMPLETES, BAD_RECORD_MAC, CLOSE_NOTIFY, DECODE_ERROR, ENDS, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, NO_RENEGOTIATION, PROTOCOL_VERSION,
    RECORD_OVERFLOW, UNEXPECTED_MESSAGE, Other, row)
from support.client import get
from support.hello import record
from support.records import ALERT, APPLICATION_DATA, FATAL, HANDSHAKE, PLAIN_MOST, WARNING
from support.tls12 import (
    HELLO_REQUEST, KRSA_CBC_SHA256, RSA_AES_128, RSA_AES_256, RSA_CBC_SHA, RSA_CBC_SHA256, RSA_CHACHA, Hello12, encrypt_then_mac, message,
    pieces, renegotiation_info)

NO_MORE = (NO_RENEGOTIATION, UNEXPECTED_MESSAGE, HANDSHAKE_FAILURE)
SUITES = ((RSA_AES_128, "plain"), (RSA_AES_256, "plain"), (RSA_CHACHA, "plain"), (RSA_CBC_SHA, "old"), (RSA_CBC_SHA256, "old"), (KRSA_CBC_SHA256, "old"))


def connect(c, suite, etm=False):
    c.hello.suites = [suite]
    if etm:
        c.hello.put(encrypt_then_mac())
    return c.connect()


def spoilt(record_, at):
    data = bytearray(record_)
    data[at] ^= 0x04
    return bytes(data)


# ---- what is protected ----

for _suite, _at in SUITES:
    for _where in (5, 12, 13, 21, 22, -17, -16, -1):
        @row("5246 6.2.3", f"content changed in byte {_where} ({_suite:#06x})", BAD_RECORD_MAC, at=_at)
        def _(c, suite=_suite, where=_where):
            connect(c, suite)
            c.send(spoilt(c.seal(get()), where))

    @row("5246 6.2.3", f"a handshake record as content ({_suite:#06x})", BAD_RECORD_MAC, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        sealed = c.seal(get())
        c.send(b"\x16" + sealed[1:])

    @row("5246 6.2.3.1", f"a record twice ({_suite:#06x})", BAD_RECORD_MAC, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        sealed = c.seal(get()[:5])
        c.send(sealed + sealed)

    for _size in (0, 1, 7, 8, 15, 16, 23, 24, 31, 32, 33, 48):
        @row("5246 6.2.3", f"a record of {_size} bytes of nothing ({_suite:#06x})", (BAD_RECORD_MAC, DECODE_ERROR, RECORD_OVERFLOW), at=_at,
             openssl=Other((BAD_RECORD_MAC, DECODE_ERROR, RECORD_OVERFLOW, UNEXPECTED_MESSAGE), "an empty record is one of the wrong kind to it"))
        def _(c, suite=_suite, size=_size):
            connect(c, suite)
            c.send(record(bytes(size), APPLICATION_DATA, 0x0303))

    @row("5246 6.2.1", f"empty content now and then ({_suite:#06x})", None, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        for byte in get():
            c.send(c.seal(b""), c.seal(bytes([byte])))
        c.read_content(len(c.answer))

    @row("5246 6.2.1", f"content of the greatest size ({_suite:#06x})", None, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(c.seal(get(method="POST", fields=["Content-Length: 32768"])), c.seal(bytes(PLAIN_MOST)), c.seal(bytes(PLAIN_MOST)))
        c.read_content(len(c.answer))

    @row("5246 6.2.1", f"content over the limit ({_suite:#06x})", RECORD_OVERFLOW, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(c.seal(bytes(PLAIN_MOST + 1)))

    @row("5246 6.2.3", f"a record that says it has 2048 bytes more than content may have, and one ({_suite:#06x})", RECORD_OVERFLOW, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(b"\x17\x03\x03" + (PLAIN_MOST + 2049).to_bytes(2, "big"))

    @row("5246 6.2.1", f"an alert in clear behind the handshake ({_suite:#06x})", (BAD_RECORD_MAC, DECODE_ERROR, RECORD_OVERFLOW, UNEXPECTED_MESSAGE), at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(record(bytes([FATAL, HANDSHAKE_FAILURE]), ALERT, 0x0303))

    @row("5246 7.2.1", f"close_notify is answered ({_suite:#06x})", CLOSE_NOTIFY, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT))

    @row("5246 7.2.1", f"content behind close_notify is not looked at ({_suite:#06x})", CLOSE_NOTIFY, at=_at)
    def _(c, suite=_suite):
        connect(c, suite)
        c.send(c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT), c.seal(get()), b"no record")


@row("5288 3", "explicit nonces that are no counter", None)
def _(c):
    connect(c, RSA_AES_128)
    w = c.write
    for piece in pieces(get(), 7):
        explicit = os.urandom(8)
        header = w.sequence.to_bytes(8, "big") + bytes([APPLICATION_DATA]) + b"\3\3" + len(piece).to_bytes(2, "big")
        c.send(record(explicit + w.cipher.encrypt(w.iv + explicit, piece, header), APPLICATION_DATA, 0x0303))
        w.sequence += 1
    c.read_content(len(c.answer))


@row("5288 3", "the server never uses a nonce twice", None)
def _(c):
    connect(c, RSA_AES_128)
    seen = set()
    for _ in range(20):
        c.send(c.seal(get()))
        c._fill(13)  # pylint: disable=protected-access
        nonce = c._received[5:13]  # pylint: disable=protected-access
        assert nonce not in seen
        seen.add(nonce)
        c.read_content(len(c.answer))


# ---- CBC ----

for _suite in (RSA_CBC_SHA, RSA_CBC_SHA256, KRSA_CBC_SHA256):
    for _etm in (False, True):
        _how = ", encrypt-then-MAC" if _etm else ""

        @row("5246 6.2.3.2", f"the longest padding ({_suite:#06x}{_how})", None, at="old")
        def _(c, suite=_suite, etm=_etm):
            connect(c, suite, etm)
            assert c.etm == etm
            request = get()

            def most(size):
                n = 255 - (size + 256) % 16
                return bytes([n]) * (n + 1)
            c.send(c.seal(request[:1], padding_=most), c.seal(request[1:], padding_=most))
            c.read_content(len(c.answer))

        for _name, _pad in (("random", lambda p: os.urandom(len(p) - 1) + p[-1:]), ("of zeros", lambda p: bytes(len(p) - 1) + p[-1:]),
                            ("with its first byte changed", lambda p: bytes([p[0] ^ 1]) + p[1:]), ("with its middle changed", lambda p: p[:100] + bytes([p[100] ^ 0x80]) + p[101:])):
            @row("5246 6.2.3.2", f"padding {_name} ({_suite:#06x}{_how})", BAD_RECORD_MAC, at="old")
            def _(c, suite=_suite, etm=_etm, pad=_pad):
                connect(c, suite, etm)

                def wrong(size):
                    n = 255 - (size + 256) % 16
                    return pad(bytes([n]) * (n + 1))
                c.send(c.seal(get(), padding_=wrong))

        @row("5246 6.2.3.2", f"padding longer than the record ({_suite:#06x}{_how})", BAD_RECORD_MAC, at="old")
        def _(c, suite=_suite, etm=_etm):
            connect(c, suite, etm)
            c.send(c.seal(b"x", padding_=lambda size: b"\xff" * (16 - size % 16)))

        for _n in (0, 10, -1):
            @row("5246 6.2.3.1", f"a MAC changed in byte {_n} ({_suite:#06x}{_how})", BAD_RECORD_MAC, at="old")
            def _(c, suite=_suite, etm=_etm, n=_n):
                connect(c, suite, etm)
                c.send(c.seal(get(), alter_mac=lambda m: spoilt(m, n)))

        @row("5246 6.2.3.1", f"no MAC ({_suite:#06x}{_how})", (BAD_RECORD_MAC, DECODE_ERROR), at="old")
        def _(c, suite=_suite, etm=_etm):
            connect(c, suite, etm)
            c.send(c.seal(get(), alter_mac=lambda m: b""))


# ---- another handshake ----

def hello_again(c):
    """As RFC 5746 3.5 wants it, so that nothing but the handshake itself is refused."""
    return Hello12().put(renegotiation_info(c.client_verify)).encode()


def remember(c):
    """connect(), and what renegotiation_info would have to hold."""
    c.send_hello()
    c.read_flight().send_exchange()
    c.client_verify = c.verify_data()
    c.send_end()
    c.read_end()
    c.connected = True


@row("5746 4.5", "a renegotiation", NO_MORE)
def _(c):
    remember(c)
    c.send(c.record(hello_again(c)))


@row("5746 4.5", "a renegotiation without renegotiation_info", NO_MORE)
def _(c):
    remember(c)
    c.send(c.record(Hello12().drop(0xFF01).encode()))


@row("5746 4.5", "a renegotiation in records of one byte", NO_MORE)
def _(c):
    remember(c)
    for piece in pieces(hello_again(c), 1):
        c.send(c.record(piece))


@row("5746 4.5", "a renegotiation while a request is on its way", NO_MORE)
def _(c):
    remember(c)
    c.send(c.seal(get()[:20]), c.record(hello_again(c)))


@row("5746 4.5", "a renegotiation behind a request, in one segment", NO_MORE)
def _(c):
    remember(c)
    c.send(c.seal(get()) + c.record(hello_again(c)))


@row("5246 6.2.1", "content between the parts of a ClientHello", (*NO_MORE,))
def _(c):
    remember(c)
    hello = hello_again(c)
    c.send(c.record(hello[:3]), c.seal(get()), c.record(hello[3:]))


@row("5246 6.2.1", "content between the bytes of a ClientHello's body", (*NO_MORE,))
def _(c):
    remember(c)
    hello = hello_again(c)
    c.send(c.record(hello[:50]), c.seal(get()), c.record(hello[50:]))


@row("5246 7.4.1.1", "a HelloRequest of the client", (UNEXPECTED_MESSAGE, *NO_MORE))
def _(c):
    c.connect()
    c.send(c.record(message(HELLO_REQUEST, b"")))


@row("5246 7.2", "an alert in two records", (DECODE_ERROR, UNEXPECTED_MESSAGE))
def _(c):
    c.connect()
    c.send(c.seal(b"\2", ALERT), c.seal(b"\x28", ALERT))


@row("5246 7.2", "an alert of an unknown level", (ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE, ENDS))
def _(c):
    c.connect()
    c.send(c.seal(b"\3\x28", ALERT))


@row("5246 6.2.1", "an empty handshake record behind the handshake", UNEXPECTED_MESSAGE,
     openssl=Other((UNEXPECTED_MESSAGE, COMPLETES), "OpenSSL passes over some empty records"))
def _(c):
    c.connect()
    c.send(c.seal(b"", HANDSHAKE), c.seal(get()))


@row("5246 6.2.1", "an empty alert behind the handshake", (UNEXPECTED_MESSAGE, DECODE_ERROR))
def _(c):
    c.connect()
    c.send(c.seal(b"", ALERT))


@row("6520 4", "a heartbeat behind the handshake", UNEXPECTED_MESSAGE)
def _(c):
    c.connect()
    c.send(c.seal(b"\1\x40\0", 24))


for _version in (b"\3\0", b"\3\1", b"\3\2", b"\3\4"):
    @row("5246 6.2.1", f"the version {_version.hex()} in a record behind the handshake", (PROTOCOL_VERSION, BAD_RECORD_MAC))
    def _(c, version=_version):
        c.connect()
        c.send(c.seal(get(), version=version))
