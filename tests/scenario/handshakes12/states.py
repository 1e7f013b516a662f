"""Messages of TLS 1.2 left out, doubled, out of order, and content and alerts between them (RFC 5246 7.1, 7.2, 7.3, 7.4)."""
from handshakes12 import (
    COMPLETES, BAD_RECORD_MAC, CLOSE_NOTIFY, DECODE_ERROR, DECRYPT_ERROR, ENDS, ILLEGAL_PARAMETER, RECORD_OVERFLOW, UNEXPECTED_MESSAGE,
    USER_CANCELED, Other, row)
from support.client import get
from support.hello import record
from support.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, WARNING
from support.tls12 import CCS, CERTIFICATE_VERIFY, message, session_of


def to_flight(c):
    c.send_hello()
    c.read_flight()


def to_exchange(c):
    to_flight(c)
    c.send_exchange()


def to_change(c):
    to_exchange(c)
    c.send(CCS)
    c.change_keys()


def to_end(c):
    c.connect()


EMPTY = Other((UNEXPECTED_MESSAGE, COMPLETES), "OpenSSL passes over some empty records; the RFC forbids to send them, not to take them")
AMID = Other((UNEXPECTED_MESSAGE,), "OpenSSL takes nothing but the Finished behind ChangeCipherSpec, where 7.4.9 says that it follows at once")
FIRST = Other((UNEXPECTED_MESSAGE, ENDS), "whoever begins with an alert has not begun a handshake, and is told so")
BEFORE = {"the ClientHello": lambda c: None, "ClientKeyExchange": to_flight, "ChangeCipherSpec": to_exchange, "the Finished": to_change}

# ---- left out, doubled ----


@row("5246 7.3", "no ClientKeyExchange", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.exchange()
    c.make_master()
    c.send_end()


@row("5246 7.3", "no ChangeCipherSpec", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC))
def _(c):
    to_exchange(c)
    c.change_keys()
    c.send_message(c.finished())


@row("5246 7.3", "a Finished in clear", UNEXPECTED_MESSAGE)
def _(c):
    to_exchange(c)
    c.send_message(c.finished())


@row("5246 7.3", "a Finished and nothing else", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_message(message(20, bytes(12)))


@row("5246 7.3", "ClientKeyExchange twice", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    first = c.exchange()
    c.send_message(first)
    c.make_master()
    c.send_message(first)


@row("5246 7.3", "ClientHello twice", UNEXPECTED_MESSAGE)
def _(c):
    c.send_hello()
    c.send_hello(version=0x0303)
    c.read_flight()


@row("5246 7.3", "a second ClientHello in the place of ClientKeyExchange", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_hello(version=0x0303)


@row("5246 7.3", "ClientHello twice in a record", (UNEXPECTED_MESSAGE, DECODE_ERROR))
def _(c):
    c.send(record(c.hello.encode() * 2))


@row("5246 7.3", "CertificateVerify without a certificate", UNEXPECTED_MESSAGE)
def _(c):
    to_exchange(c)
    c.send_message(message(CERTIFICATE_VERIFY, b"\4\3\0\x08" + bytes(8)))


@row("5246 7.4.6", "a Certificate that nobody asked for", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_message(c.certificate(c.face.badge))


@row("5246 7.4.6", "an empty Certificate that nobody asked for", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_message(c.certificate(None))


@row("5246 7.3", "the Finished twice", UNEXPECTED_MESSAGE)
def _(c):
    to_change(c)
    finished = c.finished()
    c.send_message(finished)
    c.read_end()
    c.connected = True
    c.send(c.record(finished))


for _name, _kind in (("HelloRequest", 0), ("ServerHello", 2), ("NewSessionTicket", 4), ("Certificate of the server", 11), ("ServerKeyExchange", 12),
                     ("CertificateRequest", 13), ("ServerHelloDone", 14), ("CertificateStatus", 22), ("NextProtocol", 67), ("KeyUpdate", 24), ("an unknown message", 99)):
    for _where, _go in BEFORE.items():
        @row("5246 7.4", f"{_name} before {_where}", (UNEXPECTED_MESSAGE, DECODE_ERROR) if _where == "the ClientHello" else UNEXPECTED_MESSAGE)
        def _(c, kind=_kind, go=_go):
            go(c)
            c.send(c.record(message(kind, b"" if kind in (0, 14) else bytes(8))))

for _name, _kind in (("ClientKeyExchange", 16), ("CertificateVerify", 15), ("Finished", 20)):
    @row("5246 7.4", f"{_name} in the place of the ClientHello", UNEXPECTED_MESSAGE)
    def _(c, kind=_kind):
        c.send(record(message(kind, bytes(12))))

# ---- ChangeCipherSpec ----


@row("5246 7.1", "ChangeCipherSpec before the ClientHello", UNEXPECTED_MESSAGE)
def _(c):
    c.send(CCS)
    c.send_hello()


@row("5246 7.1", "ChangeCipherSpec between ServerHelloDone and ClientKeyExchange: before there are keys", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send(CCS)


@row("5246 7.1", "ChangeCipherSpec behind the ClientHello, before the answer is read", UNEXPECTED_MESSAGE)
def _(c):
    c.send_hello()
    c.send(CCS)
    c.read_flight()


@row("5246 7.1", "ChangeCipherSpec within ClientKeyExchange", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_message(c.exchange(), size=20, between=CCS)


@row("5246 7.1", "ChangeCipherSpec twice, in clear", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC, DECODE_ERROR))
def _(c):
    to_exchange(c)
    c.send(CCS + CCS)
    c.change_keys()
    c.send_message(c.finished())


@row("5246 7.1", "ChangeCipherSpec twice, the second protected", UNEXPECTED_MESSAGE)
def _(c):
    to_change(c)
    c.send(c.record(b"\1", CHANGE_CIPHER_SPEC))


@row("5246 7.1", "ChangeCipherSpec behind the handshake, in clear", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC))
def _(c):
    to_end(c)
    c.send(CCS)


for _content in (b"\0", b"\2", b"\xff", b"\1\1", b"\1\0", b"\0\1"):
    @row("5246 7.1", f"ChangeCipherSpec of {_content.hex()}", (ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE, DECODE_ERROR))
    def _(c, content=_content):
        to_exchange(c)
        c.send(record(content, CHANGE_CIPHER_SPEC, 0x0303))


@row("5246 6.2.1", "an empty ChangeCipherSpec", (UNEXPECTED_MESSAGE, DECODE_ERROR, ILLEGAL_PARAMETER), excused=EMPTY)
def _(c):
    to_exchange(c)
    c.send(record(b"", CHANGE_CIPHER_SPEC, 0x0303))
    c.go_on()


@row("5246 7.1", "a message that goes across ChangeCipherSpec", UNEXPECTED_MESSAGE)
def _(c):
    to_flight(c)
    c.send_message(c.exchange() + b"\x14")
    c.make_master()
    c.send(CCS)
    c.change_keys()
    c.send(c.record(b"\0\0\x0c" + bytes(12)))


# ---- content before its time ----

for _where, _go in BEFORE.items():
    @row("5246 7", f"content before {_where}", (UNEXPECTED_MESSAGE, ENDS) if _where == "the ClientHello" else UNEXPECTED_MESSAGE)
    def _(c, go=_go):
        go(c)
        c.send(c.record(get(), APPLICATION_DATA))

    @row("5246 7", f"empty content before {_where}", (UNEXPECTED_MESSAGE, ENDS) if _where == "the ClientHello" else UNEXPECTED_MESSAGE)
    def _(c, go=_go):
        go(c)
        c.send(c.record(b"", APPLICATION_DATA), c.record(b"", APPLICATION_DATA) if c.write else b"")

    @row("6520 4", f"a heartbeat before {_where}, of a length beyond it", (UNEXPECTED_MESSAGE, ENDS) if _where == "the ClientHello" else UNEXPECTED_MESSAGE)
    def _(c, go=_go):
        go(c)
        c.send(c.record(b"\1\x40\0", 24))

    @row("5246 6.2.1", f"an empty handshake record before {_where}", UNEXPECTED_MESSAGE, excused=None if _where == "the ClientHello" else EMPTY)
    def _(c, go=_go):
        go(c)
        c.send(c.record(b"", HANDSHAKE))
        if c.suite is None:
            c.send_hello()
        else:
            c.go_on()

    @row("5246 6.2.1", f"empty handshake records without end before {_where}", UNEXPECTED_MESSAGE,
         excused=Other((UNEXPECTED_MESSAGE, BAD_RECORD_MAC), "OpenSSL counts them"))
    def _(c, go=_go):
        go(c)
        for _ in range(200):
            c.send(c.record(b"", HANDSHAKE))

    for _level, _alert in ((FATAL, 40), (FATAL, 10), (WARNING, CLOSE_NOTIFY), (FATAL, CLOSE_NOTIFY), (FATAL, 200)):
        @row("5246 7.2", f"alert {_level}, {_alert} before {_where}", (ENDS, CLOSE_NOTIFY) if _alert == CLOSE_NOTIFY else ENDS,
             excused={"the ClientHello": FIRST, "the Finished": AMID}.get(_where))
        def _(c, go=_go, level=_level, alert=_alert):
            go(c)
            c.send(c.record(bytes([level, alert]), ALERT))

    for _content in (b"", b"\1", b"\2", b"\1\0\0", b"\2\x28\2\x28"):
        @row("5246 7.2", f"an alert of the bytes {_content.hex() or 'none'} before {_where}", (DECODE_ERROR, UNEXPECTED_MESSAGE, ENDS) if _where == "the ClientHello" else (DECODE_ERROR, UNEXPECTED_MESSAGE))
        def _(c, go=_go, content=_content):
            go(c)
            c.send(c.record(content, ALERT))

    @row("5246 7.2", f"an alert of an unknown level before {_where}", (ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE, ENDS))
    def _(c, go=_go):
        go(c)
        c.send(c.record(bytes([3, 10]), ALERT))

    @row("5246 6.2.1", f"a record that says it is too long before {_where}", RECORD_OVERFLOW)
    def _(c, go=_go):
        go(c)
        c.send(b"\x16\x03\x03\xff\xff")

for _where, _go in list(BEFORE.items())[1:]:
    @row("5246 7.2", f"some warnings before {_where}", None, excused=AMID if _where == "the Finished" else None)
    def _(c, go=_go):
        go(c)
        for _ in range(3):
            c.send(c.record(bytes([WARNING, USER_CANCELED]), ALERT))
        c.go_on()

    @row("5246 7.2", f"warnings without end before {_where}", (UNEXPECTED_MESSAGE, ENDS))
    def _(c, go=_go):
        go(c)
        for _ in range(200):
            c.send(c.record(bytes([WARNING, USER_CANCELED]), ALERT))

    @row("5246 6.2.1", f"another version in a record before {_where}", (70, BAD_RECORD_MAC, UNEXPECTED_MESSAGE))
    def _(c, go=_go):
        go(c)
        c.send((c.record(b"\x10\0\0\1\0", HANDSHAKE)[:1] + b"\3\1" + c.record(b"\x10\0\0\1\0", HANDSHAKE)[3:]))

    @row("5246 7.4", f"a message that says it has 16 MB before {_where}", (ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE, 22))
    def _(c, go=_go):
        go(c)
        kind = {"ClientKeyExchange": 16, "ChangeCipherSpec": 15, "the Finished": 20}[next(n for n, f in BEFORE.items() if f is go)]
        c.send(c.record(bytes([kind]) + b"\xff\xff\xff" + bytes(1000)))


# ---- resumption ----

@row("5246 7.3", "a resumed session without our Finished, but content", UNEXPECTED_MESSAGE)
def _(c):
    c.offer(session_of(c.face.port))
    c.send_hello()
    c.read_flight()
    assert c.resumed
    c.send(CCS)
    c.change_keys()
    c.send(c.seal(get()))


@row("5246 7.3", "a resumed session: the Finished without ChangeCipherSpec", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC))
def _(c):
    c.offer(session_of(c.face.port))
    c.send_hello()
    c.read_flight()
    assert c.resumed
    c.send_message(c.finished())


@row("5246 7.3", "a resumed session: ClientKeyExchange all the same", UNEXPECTED_MESSAGE)
def _(c):
    c.offer(session_of(c.face.port))
    c.send_hello()
    c.read_flight()
    assert c.resumed
    c.send_message(message(16, bytes(33)))


@row("5246 7.4.9", "a resumed session: a wrong Finished", DECRYPT_ERROR)
def _(c):
    c.offer(session_of(c.face.port))
    c.send_hello()
    c.read_flight()
    c.send(CCS)
    c.change_keys()
    c.send_message(message(20, bytes(12)))


# ---- the client's flight as it comes ----

@row("5246 6.2.1", "the client's flight in one segment", None)
def _(c):
    to_flight(c)
    exchange = c.exchange()
    c.transcript += exchange
    c.make_master()
    flight = record(exchange, HANDSHAKE, 0x0303) + CCS
    c.change_keys()
    finished = c.finished()
    c.transcript += finished
    c.send(flight + c.record(finished))
    c.read_end()
    c.connected = True


@row("5246 6.2.1", "the client's flight byte by byte", None)
def _(c):
    to_flight(c)
    exchange = c.exchange()
    c.transcript += exchange
    c.make_master()
    flight = record(exchange, HANDSHAKE, 0x0303) + CCS
    c.change_keys()
    finished = c.finished()
    c.transcript += finished
    for byte in flight + c.record(finished):
        c.send(bytes([byte]))
    c.read_end()
    c.connected = True


@row("5246 7", "a request in one segment with the Finished", None)
def _(c):
    to_exchange(c)
    c.send(CCS)
    c.change_keys()
    finished = c.finished()
    c.transcript += finished
    c.send(c.record(finished) + c.seal(get()[:7]))
    c.read_end()
    c.connected = True
    c.send(c.seal(get()[7:]))
    c.read_content(len(c.answer))


@row("5246 7.3", "content behind our Finished, before the server's is read", None)
def _(c):
    to_exchange(c)
    c.send_end()
    c.send(c.seal(get()))
    c.read_end()
    c.connected = True
    c.read_content(len(c.answer))
