"""HTTP/2 as RFC 9113 and RFC 7541 have it, section by section: each rule that a peer can break is broken in every way that
is told here, and the answer is the error that the RFC demands, of the stream or of the connection, and no other; and what
looks odd but is allowed is borne.

A case sends its frames on a connection whose SETTINGS are exchanged; what it is to lead to stands in its rule. Behind every
error of a stream, and all that is allowed, another request on the same connection is answered: the HPACK tables still
agree, and nothing else was hurt.

UNLADE_H2_TARGET=PORT runs the cases against another server on 127.0.0.1 (which passes on what it gets to port + 1), to test
the tests: haproxy passes all but those that it may answer otherwise."""
import contextlib
import os
import struct

import pytest

from support.backend import Backend, response
from support.h2 import (
    ACK, COMPRESSION_ERROR, DATA, DEFAULT_WINDOW, ENABLE_PUSH, END_HEADERS, END_STREAM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, H2, HEADERS, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, MAX_FRAME_SIZE,
    MAX_CONCURRENT_STREAMS, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
    STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY, fields, frame, h2_socket, indexed, literal, request, settings,
    table_size)
from support.unlade import Unlade, site
from support.ports import free_port

TARGET = int(os.environ.get("UNLADE_H2_TARGET", "0"))
BODY = b"0123456789" * 10

CASES = {}


class Rule:
    """What a case leads to. expect(c) judges."""

    def __init__(self, codes=(), stream=None, either=False, close=False):
        self.codes, self.stream, self.either, self.close = codes, stream, either, close

    def expect(self, c):
        if self.codes and self.stream is None:
            c.expect_connection_error(*self.codes, bare_close=self.close or bool(TARGET))
            return
        if self.codes:
            s = c.stream(self.stream)
            c.wait(lambda: s.reset is not None or c.goaway is not None, f"RST_STREAM on {self.stream}")
            if self.either and c.goaway is not None:
                c.expect_connection_error(*self.codes)
                return
            c.expect_stream_error(self.stream, *self.codes)
        works(c)


def works(c):
    """Another request is answered."""
    number = max([n for n in c.used if n % 2], default=-1) + 2
    c.headers(number, request("/after"))
    s = c.response(number)
    assert s.status == 200 and bytes(s.body) == BODY, (s.status, s.body)
    assert c.goaway is None, c.goaway


def connection_error(*codes, close=False):
    return Rule(codes, close=close)


def stream_error(stream, *codes):
    return Rule(codes, stream)


def stream_or_connection_error(stream, *codes):
    """RFC 9113 5.4 lets an endpoint treat any error of a stream as the connection's; said only where the RFC is of two minds."""
    return Rule(codes, stream, either=True)


ALLOWED = Rule()


def case(name, rule, **how):
    def keep(function):
        assert name not in CASES, name
        CASES[name] = (function, rule, how)
        return function
    return keep


class Connection(H2):
    """Remembers which streams were used, so that the request at the end takes a fresh one."""

    def __init__(self, *arguments, **how):
        super().__init__(*arguments, **how)
        self.used = set()

    def send(self, data):
        at = 0
        while len(data) - at >= 9 and not data.startswith(PREFACE):
            length, kind, stream = int.from_bytes(data[at:at + 3], "big"), data[at + 3], struct.unpack(">I", data[at + 5:at + 9])[0]
            if kind in (HEADERS, DATA, RST_STREAM, WINDOW_UPDATE):
                self.used.add(stream & LARGEST_WINDOW)
            at += 9 + length
        super().send(data)

    def answered(self, number, status=200):
        s = self.response(number)
        assert s.status == status, s
        return s

    def post(self, number=1, more=(), **how):
        """The head of a request whose content is to come."""
        self.headers(number, request(method="POST", more=more), 0, **how)

    def closed_by_end(self, number=1):
        """A stream on which both sides have ended in order."""
        self.headers(number, request())
        self.answered(number)

    def closed_by_reset(self, number=1):
        """A stream that we have reset; the answer to PING says that this was seen."""
        self.post(number)
        self.rst(number)
        self.ping()

    def half_closed(self, number=1):
        """A stream on which we have ended and the server has not: it waits for a window."""
        self.headers(number, request("/stalled"))
        self.wait(lambda: self.stream(number).status, "the head of the response")


# ---- RFC 9113 3.4: the preface ----

@case("3.4 a wrong preface ends the connection", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(b"INVALID CONNECTION PREFACE\r\n\r\n")


@case("3.4 HTTP/1.1 where h2 was chosen ends the connection", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")


@case("3.4 a preface that is wrong at its last byte ends the connection", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(PREFACE[:-1] + b"x" + settings())


@case("3.4 SETTINGS must be the first frame", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(PREFACE + frame(PING, 0, 0, b"12345678"))


@case("3.4 SETTINGS must be the first frame, not HEADERS", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(PREFACE)
    c.headers(1, request())


@case("3.4 an acknowledgement is no first SETTINGS", connection_error(PROTOCOL_ERROR, close=True), start=False)
def _(c):
    c.send(PREFACE + settings(flags=ACK))


@case("3.4 SETTINGS may be empty", ALLOWED, start=False)
def _(c):
    c.send(PREFACE + settings())


@case("3.4 the preface and requests may come in one piece", ALLOWED, start=False)
def _(c):
    c.send(PREFACE + settings() + frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(request())))
    c.used.add(1)
    c.answered(1)


@case("3.4 the preface may come byte by byte", ALLOWED, start=False)
def _(c):
    for byte in PREFACE + settings():
        c.send(bytes([byte]))


@case("3.4 the server's first frame is SETTINGS, and it acknowledges ours", ALLOWED)
def _(c):
    assert c.frames[0].kind == SETTINGS and not c.frames[0].flags & ACK
    assert c.settings_acks == 1


# ---- 4.1, 4.2: frames and their sizes ----

@case("4.1 a frame of an unknown type is ignored", ALLOWED)
def _(c):
    c.frame(0x16, 0, 0, bytes(8))
    c.frame(0xff, 0xff, 1, b"?")


@case("4.1 undefined flags are ignored", ALLOWED)
def _(c):
    c.frame(PING, 0x16, 0, b"undefine")
    c.wait(lambda: c.pongs == [b"undefine"], "the answer")
    c.headers(1, request(), END_STREAM | 0x02 | 0x10 | 0x40 | 0x80)
    c.answered(1)


@case("4.1 the reserved bit of a stream's identifier is ignored", ALLOWED)
def _(c):
    c.frame(PING, 0, 1 << 31, b"reserved")
    c.wait(lambda: c.pongs == [b"reserved"], "the answer")
    c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1 << 31 | 1, fields(request())))
    c.answered(1)


@case("4.1 frames may come byte by byte", ALLOWED)
def _(c):
    whole = c.headers_frame(1, request(method="POST"), END_HEADERS) + frame(DATA, 0, 1, b"abc") + frame(DATA, END_STREAM, 1)
    c.used.add(1)
    for byte in whole:
        c.send(bytes([byte]))
    c.answered(1)


@case("4.2 a DATA frame of 16384 bytes is taken", ALLOWED)
def _(c):
    c.post(1)
    c.data(1, bytes(16384), END_STREAM)
    c.answered(1)


@case("4.2 a HEADERS frame of 16384 bytes is taken", ALLOWED)
def _(c):
    section = fields(request())
    filler = fields([(f"x-{i}", "a" * 3900) for i in range(4)])
    last = 16384 - len(section) - len(filler) - len(literal("x-last", "")) - 2
    section += filler + literal("x-last", "b" * last)
    section += fields([("x", "y")] * 0)
    assert 16380 <= len(section) <= 16384, len(section)
    c.headers(1, section)
    c.answered(1)


@case("4.2 a DATA frame beyond SETTINGS_MAX_FRAME_SIZE", stream_or_connection_error(1, FRAME_SIZE_ERROR))
def _(c):
    c.post(1)
    c.data(1, bytes(c.peer_settings.get(MAX_FRAME_SIZE, 16384) + 1), END_STREAM)


@case("4.2 a HEADERS frame beyond SETTINGS_MAX_FRAME_SIZE", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.headers(1, request(more=[(f"x-{i}", "a" * 4000) for i in range(c.peer_settings.get(MAX_FRAME_SIZE, 16384) // 4000 + 1)]))


@case("4.2 a SETTINGS frame beyond SETTINGS_MAX_FRAME_SIZE", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.settings([(0xff00, i) for i in range(c.peer_settings.get(MAX_FRAME_SIZE, 16384) // 6 + 1)])


@case("4.2 an unknown frame beyond SETTINGS_MAX_FRAME_SIZE", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(0xee, 0, 0, bytes(c.peer_settings.get(MAX_FRAME_SIZE, 16384) + 1))


# ---- 4.3: field sections ----

@case("4.3 a field section that cannot be decoded", connection_error(COMPRESSION_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM | END_HEADERS, 1, literal(":method", "GET") + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")


@case("4.3 a field section that ends within a field", connection_error(COMPRESSION_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM | END_HEADERS, 1, fields(request())[:-1])


@case("4.3 PRIORITY within a field section", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.priority(1, 0)
    c.continuation(1, [("x", "y")])


@case("4.3 HEADERS of another stream within a field section", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.frame(HEADERS, END_STREAM | END_HEADERS, 3, fields(request()))
    c.continuation(1, [("x", "y")])


@case("4.3 PING within a field section", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.frame(PING, 0, 0, b"12345678")


@case("4.3 a field section of a refused stream keeps the tables in step", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.headers(1, literal("X-UPPER", "1") + fields(request()) + literal("x-kept", "value", kind="incremental"))
    c.headers(3, fields(request()) + indexed(62))
    c.answered(3)


# ---- 5.1: states of a stream ----

@case("5.1 idle: DATA", connection_error(PROTOCOL_ERROR))
def _(c):
    c.data(1, b"test", END_STREAM)


@case("5.1 idle: RST_STREAM", connection_error(PROTOCOL_ERROR))
def _(c):
    c.rst(1)


@case("5.1 idle: WINDOW_UPDATE", connection_error(PROTOCOL_ERROR))
def _(c):
    c.window_update(1, 100)


@case("5.1 idle: CONTINUATION", connection_error(PROTOCOL_ERROR))
def _(c):
    c.continuation(1, request())


@case("5.1 idle: PRIORITY is allowed", ALLOWED)
def _(c):
    c.priority(1)
    c.priority(101)


@case("5.1 idle, of the server's numbers: DATA", connection_error(PROTOCOL_ERROR))
def _(c):
    c.data(2, b"test", END_STREAM)


@case("5.1 idle, of the server's numbers: WINDOW_UPDATE", connection_error(PROTOCOL_ERROR))
def _(c):
    c.window_update(2, 1)


@case("5.1 half closed: DATA", stream_or_connection_error(1, STREAM_CLOSED), values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.data(1, b"test", END_STREAM)


@case("5.1 half closed: HEADERS", stream_or_connection_error(1, STREAM_CLOSED), values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.headers(1, request())


@case("5.1 half closed: trailers", stream_or_connection_error(1, STREAM_CLOSED), values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.headers(1, [("x-trailer", "1")])


@case("5.1 half closed: CONTINUATION", connection_error(STREAM_CLOSED, PROTOCOL_ERROR), values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.continuation(1, [("x", "y")])


@case("5.1 half closed: WINDOW_UPDATE is allowed", ALLOWED, values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.window_update(1, 100000)
    assert bytes(c.answered(1).body) == BODY
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})


@case("5.1 half closed: PRIORITY is allowed", ALLOWED, values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.priority(1)
    c.window_update(1, 100000)
    assert bytes(c.answered(1).body) == BODY
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})


@case("5.1 half closed: RST_STREAM is allowed", ALLOWED, values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.half_closed()
    c.rst(1)
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})


@case("5.1 closed by our RST_STREAM: DATA", stream_or_connection_error(1, STREAM_CLOSED))
def _(c):
    c.closed_by_reset()
    c.data(1, b"test", END_STREAM)


@case("5.1 closed by our RST_STREAM: HEADERS", stream_or_connection_error(1, STREAM_CLOSED))
def _(c):
    c.closed_by_reset()
    c.headers(1, request())


@case("5.1 closed by our RST_STREAM: CONTINUATION", connection_error(STREAM_CLOSED, PROTOCOL_ERROR))
def _(c):
    c.closed_by_reset()
    c.continuation(1, [("x", "y")])


@case("5.1 closed by our RST_STREAM: PRIORITY, WINDOW_UPDATE and RST_STREAM are allowed", ALLOWED)
def _(c):
    c.closed_by_reset()
    c.priority(1)
    c.window_update(1, 1)
    c.rst(1)


@case("5.1 closed in order: DATA", stream_or_connection_error(1, STREAM_CLOSED))
def _(c):
    c.closed_by_end()
    c.data(1, b"test", END_STREAM)


@case("5.1 closed in order: HEADERS", connection_error(STREAM_CLOSED))
def _(c):
    c.closed_by_end()
    c.headers(1, request())


@case("5.1 closed in order: CONTINUATION", connection_error(STREAM_CLOSED, PROTOCOL_ERROR))
def _(c):
    c.closed_by_end()
    c.continuation(1, [("x", "y")])


@case("5.1 closed in order: PRIORITY is allowed", ALLOWED)
def _(c):
    c.closed_by_end()
    c.priority(1, 0, 255)


@case("5.1 closed in order: WINDOW_UPDATE and RST_STREAM, just behind, are allowed", ALLOWED)
def _(c):
    c.closed_by_end()
    c.window_update(1, 1)
    c.rst(1)


@case("5.1 reset by the server: what was on its way is borne", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.headers(1, request(method="POST") + [("Upper", "1")], 0)
    c.data(1, b"on its way")
    c.window_update(1, 1)
    c.data(1, b"", END_STREAM)


@case("5.1 reset by the server: the trailers that were on their way keep the tables in step", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.headers(1, request(method="POST") + [("Upper", "1")], 0)
    c.headers(1, literal("x-trailer", "1", kind="incremental"))
    c.headers(3, fields(request()) + indexed(62))
    c.answered(3)


# ---- 5.1.1, 5.1.2: identifiers and how many ----

@case("5.1.1 an even identifier", connection_error(PROTOCOL_ERROR))
def _(c):
    c.headers(2, request())


@case("5.1.1 an identifier below one that was used", connection_error(PROTOCOL_ERROR, STREAM_CLOSED))
def _(c):
    c.headers(5, request())
    c.answered(5)
    c.headers(3, request())


@case("5.1.1 identifiers may be left out", ALLOWED)
def _(c):
    c.headers(101, request())
    c.answered(101)


@case("5.1.1 the last identifier of all may be used", ALLOWED)
def _(c):
    c.headers(LARGEST_WINDOW, request())
    c.answered(LARGEST_WINDOW)
    c.used.clear()
    c.no_more = True


@case("5.1.2 a stream beyond SETTINGS_MAX_CONCURRENT_STREAMS is refused",
      stream_or_connection_error(1 + 2 * 100, REFUSED_STREAM, PROTOCOL_ERROR), values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    most = c.peer_settings[MAX_CONCURRENT_STREAMS]
    c.send(b"".join(c.headers_frame(1 + 2 * i, request("/stalled")) for i in range(most + 1)))
    c.rule_stream = 1 + 2 * most
    c.wait(lambda: c.stream(c.rule_stream).reset is not None or c.goaway, "the stream to be refused")
    assert not [n for n, s in c.streams.items() if s.reset is not None and n != c.rule_stream]
    if c.goaway:
        return
    for i in range(most):
        c.rst(1 + 2 * i)
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})


# ---- 5.3: RFC 7540's priority, which is read past ----

@case("5.3.1 HEADERS with a priority", ALLOWED)
def _(c):
    c.headers(1, request(), priority=(0, 0, 255))
    c.answered(1)
    c.headers(3, request(), priority=(1, 1, 0))
    c.answered(3)


@case("5.3.1 HEADERS that depends on itself", stream_or_connection_error(1, PROTOCOL_ERROR))
def _(c):
    c.headers(1, request(), priority=(0, 1, 255))


@case("5.3.1 PRIORITY that depends on itself", stream_or_connection_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.priority(1, 1)


@case("5.3.1 PRIORITY that depends on a stream nobody has heard of is allowed", ALLOWED)
def _(c):
    c.priority(3, 1)
    c.priority(5, 3, exclusive=1)
    c.priority(7, 99)


# ---- 5.4, 5.5: errors, extensions ----

@case("5.4.1 an error of the connection is told by GOAWAY that names the last stream, and ends it", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.headers(1, request())
    c.answered(1)
    c.frame(PING, 0, 0, bytes(6))
    c.wait(lambda: c.goaway, "GOAWAY")
    assert c.goaway[0] == 1, c.goaway


@case("5.5 an unknown extension's frame on an idle stream is ignored", ALLOWED)
def _(c):
    c.frame(0xee, 0, 77, b"extension")


@case("5.5 an unknown extension's frame within a field section", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.frame(0xee, 0, 1, b"extension")
    c.continuation(1, [("x", "y")])


# ---- 6.1 DATA ----

@case("6.1 DATA on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.headers(1, request(), 0)
    c.data(0, b"test", END_STREAM)


@case("6.1 DATA whose padding is as long as the frame", connection_error(PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.frame(DATA, END_STREAM | PADDED, 1, b"\x06" + b"test" + b"\0")


@case("6.1 DATA whose padding is exactly too long by one", connection_error(PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.frame(DATA, END_STREAM | PADDED, 1, b"\x01")


@case("6.1 padded DATA without a byte", connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.frame(DATA, END_STREAM | PADDED, 1)


@case("6.1 several DATA frames, with and without padding", ALLOWED)
def _(c):
    c.post(1)
    c.data(1, b"abc", pad=3)
    c.data(1, b"", pad=255)
    c.data(1)
    c.data(1, b"def", END_STREAM, pad=0)
    assert c.answered(1).field("x-took") == "abcdef"


# ---- 6.2 HEADERS ----

@case("6.2 HEADERS on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.headers(0, request())


@case("6.2 HEADERS whose padding is as long as the frame", connection_error(PROTOCOL_ERROR))
def _(c):
    section = fields(request())
    c.frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, bytes([len(section) + 1]) + section)


@case("6.2 padded HEADERS without a byte", connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1)


@case("6.2 HEADERS with a priority that is cut short", connection_error(FRAME_SIZE_ERROR, PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, bytes(4))


@case("6.2 HEADERS with padding", ALLOWED)
def _(c):
    c.headers(1, request(), pad=200)
    c.answered(1)
    c.headers(3, request(), pad=7, priority=(0, 0, 15))
    c.answered(3)


# ---- 6.3 PRIORITY ----

@case("6.3 PRIORITY on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.priority(0, 1)


@case("6.3 PRIORITY that is not 5 bytes long", stream_or_connection_error(1, FRAME_SIZE_ERROR))
def _(c):
    c.post(1)
    c.frame(PRIORITY, 0, 1, bytes(4))


# ---- 6.4 RST_STREAM ----

@case("6.4 RST_STREAM on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.rst(0)


@case("6.4 RST_STREAM that is not 4 bytes long", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.post(1)
    c.frame(RST_STREAM, 0, 1, bytes(3))


@case("6.4 RST_STREAM that is longer than 4 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.post(1)
    c.frame(RST_STREAM, 0, 1, bytes(5))


@case("6.4 RST_STREAM cancels a request", ALLOWED)
def _(c):
    c.headers(1, request("/stalled"))
    c.rst(1)
    c.ping()


# ---- 6.5 SETTINGS ----

@case("6.5 SETTINGS with ACK and a payload", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.settings({INITIAL_WINDOW_SIZE: 1}, ACK)


@case("6.5 SETTINGS on a stream", connection_error(PROTOCOL_ERROR))
def _(c):
    c.send(settings(stream=1))


@case("6.5 SETTINGS whose length is no multiple of 6", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(SETTINGS, 0, 0, bytes(3))


@case("6.5 SETTINGS with a byte too many", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(SETTINGS, 0, 0, bytes([0, 4, 0, 0, 255, 255, 0]))


@case("6.5.2 SETTINGS_ENABLE_PUSH other than 0 and 1", connection_error(PROTOCOL_ERROR))
def _(c):
    c.settings({ENABLE_PUSH: 2})


@case("6.5.2 SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31 - 1", connection_error(FLOW_CONTROL_ERROR))
def _(c):
    c.settings({INITIAL_WINDOW_SIZE: 1 << 31})


@case("6.5.2 SETTINGS_MAX_FRAME_SIZE below 16384", connection_error(PROTOCOL_ERROR))
def _(c):
    c.settings({MAX_FRAME_SIZE: 16383})


@case("6.5.2 SETTINGS_MAX_FRAME_SIZE beyond 2^24 - 1", connection_error(PROTOCOL_ERROR))
def _(c):
    c.settings({MAX_FRAME_SIZE: 1 << 24})


@case("6.5.2 an unknown setting is ignored", ALLOWED)
def _(c):
    c.settings({0xff: 1, 0: 7})
    c.wait(lambda: c.settings_acks == 2, "the acknowledgement")


@case("8441 3 SETTINGS_ENABLE_CONNECT_PROTOCOL other than 0 and 1", Rule((PROTOCOL_ERROR,)))
def _(c):
    c.settings({8: 2})


@case("9218 2.1 SETTINGS_NO_RFC7540_PRIORITIES other than 0 and 1", Rule((PROTOCOL_ERROR,)))
def _(c):
    c.settings({9: 2})


@case("9218 2.1 SETTINGS_NO_RFC7540_PRIORITIES that changes behind the first SETTINGS is no worse than an error",
      Rule(()), values={9: 1})
def _(c):
    c.settings({8: 0})


@case("6.5.3 values are taken in the order in which they stand", ALLOWED)
def _(c):
    c.settings([(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)])
    c.wait(lambda: c.settings_acks == 2, "the acknowledgement")
    c.window = False
    c.headers(1, request())
    c.wait(lambda: len(c.stream(1).body) == 1, "one byte")
    c.silent(0.1)
    assert len(c.stream(1).body) == 1
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})
    assert bytes(c.answered(1).body) == BODY


@case("6.5.3 each SETTINGS is acknowledged", ALLOWED)
def _(c):
    for _ in range(5):
        c.settings()
    c.wait(lambda: c.settings_acks == 6, "the acknowledgements")


# ---- 6.6, 8.4 PUSH_PROMISE ----

@case("8.4 PUSH_PROMISE of a client", connection_error(PROTOCOL_ERROR))
def _(c):
    c.headers(1, request("/stalled"))
    c.frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + fields(request()))


@case("6.6 PUSH_PROMISE on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(PUSH_PROMISE, END_HEADERS, 0, struct.pack(">I", 2) + fields(request()))


@case("8.4 the server pushes nothing", ALLOWED, values={ENABLE_PUSH: 1})
def _(c):
    c.headers(1, request())
    c.answered(1)
    assert not [f for f in c.frames if f.kind == PUSH_PROMISE]


# ---- 6.7 PING ----

@case("6.7 PING is answered with its payload", ALLOWED)
def _(c):
    c.ping(b"\x00\x01\xfe\xff1234")


@case("6.7 PING's acknowledgement is not answered", ALLOWED)
def _(c):
    c.frame(PING, ACK, 0, b"nobody's")
    c.ping(b"the only")
    assert c.pongs == [b"the only"]


@case("6.7 PING on a stream", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(PING, 0, 1, bytes(8))


@case("6.7 PING that is shorter than 8 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(PING, 0, 0, bytes(6))


@case("6.7 PING that is longer than 8 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(PING, 0, 0, bytes(9))


@case("6.7 PING without a byte", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(PING, 0, 0)


# ---- 6.8 GOAWAY ----

@case("6.8 GOAWAY on a stream", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(GOAWAY, 0, 1, struct.pack(">II", 0, NO_ERROR))


@case("6.8 GOAWAY that is shorter than 8 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(GOAWAY, 0, 0, bytes(7))


# ---- 6.9 WINDOW_UPDATE ----

@case("6.9 WINDOW_UPDATE of 0 on the connection", connection_error(PROTOCOL_ERROR))
def _(c):
    c.window_update(0, 0)


@case("6.9 WINDOW_UPDATE of 0 on a stream", stream_or_connection_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.window_update(1, 0)


@case("6.9 the reserved bit of WINDOW_UPDATE is ignored", ALLOWED)
def _(c):
    c.window_update(0, 1 << 31 | 1)


@case("6.9 WINDOW_UPDATE whose increment is nothing but the reserved bit", connection_error(PROTOCOL_ERROR))
def _(c):
    c.window_update(0, 1 << 31)


@case("6.9 WINDOW_UPDATE that is shorter than 4 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(WINDOW_UPDATE, 0, 0, bytes(3))


@case("6.9 WINDOW_UPDATE that is longer than 4 bytes", connection_error(FRAME_SIZE_ERROR))
def _(c):
    c.frame(WINDOW_UPDATE, 0, 0, bytes(5))


@case("6.9.1 no more DATA than the window of the stream allows", ALLOWED, values={INITIAL_WINDOW_SIZE: 1})
def _(c):
    c.window = False
    c.headers(1, request())
    c.wait(lambda: c.stream(1).body, "a byte")
    c.silent(0.1)
    assert len(c.stream(1).body) == 1
    for i in range(2, 6):
        c.window_update(1, 1)
        c.wait(lambda n=i: len(c.stream(1).body) == n, "one more byte")
    c.window = True
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})
    assert bytes(c.answered(1).body) == BODY


@case("6.9.1 no more DATA than the window of the connection allows", ALLOWED, values={INITIAL_WINDOW_SIZE: 1 << 20})
def _(c):
    c.window = False
    c.headers(1, request("/size/70000"))
    c.wait(lambda: len(c.stream(1).body) == DEFAULT_WINDOW, "the window to be used up")
    c.silent(0.1)
    assert len(c.stream(1).body) == DEFAULT_WINDOW
    c.window_update(0, 1)
    c.wait(lambda: len(c.stream(1).body) == DEFAULT_WINDOW + 1, "one more byte")
    c.window_update(0, 1 << 20)
    assert len(c.answered(1).body) == 70000


@case("6.9.1 a window of the connection beyond 2^31 - 1", connection_error(FLOW_CONTROL_ERROR))
def _(c):
    c.window_update(0, LARGEST_WINDOW)
    c.window_update(0, LARGEST_WINDOW)


@case("6.9.1 a window of a stream beyond 2^31 - 1", stream_or_connection_error(1, FLOW_CONTROL_ERROR))
def _(c):
    c.post(1)
    c.window_update(1, LARGEST_WINDOW)
    c.window_update(1, LARGEST_WINDOW)


@case("6.9.1 a window of exactly 2^31 - 1 is allowed", ALLOWED)
def _(c):
    c.window_update(0, LARGEST_WINDOW - DEFAULT_WINDOW)
    c.window = False


@case("6.9.1 more DATA than our window of the stream allows", stream_or_connection_error(1, FLOW_CONTROL_ERROR))
def _(c):
    c.headers(1, request("/never", method="POST"), 0)
    most = c.peer_settings.get(INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)
    # Windows are opened as content is taken; /never takes none, so that they come to an end.
    c.flood((frame(DATA, 0, 1, bytes(16384)) for _ in range((most + (32 << 20)) // 16384)))


@case("6.9.2 SETTINGS_INITIAL_WINDOW_SIZE opens the windows of open streams", ALLOWED, values={INITIAL_WINDOW_SIZE: 0})
def _(c):
    c.window = False
    c.headers(1, request())
    c.wait(lambda: c.stream(1).status, "the head")
    c.settings({INITIAL_WINDOW_SIZE: 1})
    c.wait(lambda: len(c.stream(1).body) == 1, "a byte")
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})
    assert bytes(c.answered(1).body) == BODY


@case("6.9.2 content that was sent before the server's SETTINGS were known is taken, and its window opens again", ALLOWED, start=False)
def _(c):
    c.ack = False
    c.send(PREFACE + settings())
    c.post(1)
    for at in range(0, DEFAULT_WINDOW, 16384):
        c.data(1, bytes(min(16384, DEFAULT_WINDOW - at)))
    c.wait(lambda: c.peer_settings is not None, "SETTINGS")
    c.ping()
    c.settings(flags=ACK)
    change = c.peer_settings.get(INITIAL_WINDOW_SIZE, DEFAULT_WINDOW) - DEFAULT_WINDOW

    def windows():
        return [start + sum(f.number for f in c.frames if f.kind == WINDOW_UPDATE and f.stream == stream)
                for stream, start in ((0, 0), (1, change))]
    c.wait(lambda: min(windows()) > 0, "both windows to open")
    c.data(1, b"x", END_STREAM)
    c.answered(1)


@case("6.9.2 a window may become negative", ALLOWED, values={INITIAL_WINDOW_SIZE: 3})
def _(c):
    c.window = False
    c.headers(1, request())
    c.wait(lambda: len(c.stream(1).body) == 3, "three bytes")
    c.settings({INITIAL_WINDOW_SIZE: 2})
    c.window_update(1, 1)
    c.ping()
    c.silent(0.05)
    assert len(c.stream(1).body) == 3
    c.window_update(1, 1)
    c.wait(lambda: len(c.stream(1).body) == 4, "the fourth byte")
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW})
    assert bytes(c.answered(1).body) == BODY


@case("6.9.2 SETTINGS_INITIAL_WINDOW_SIZE that brings a stream's window beyond 2^31 - 1", stream_or_connection_error(1, FLOW_CONTROL_ERROR))
def _(c):
    c.post(1)
    c.window_update(1, LARGEST_WINDOW - DEFAULT_WINDOW)
    c.settings({INITIAL_WINDOW_SIZE: DEFAULT_WINDOW + 1})


# ---- 6.10 CONTINUATION ----

@case("6.10 several CONTINUATION frames", ALLOWED)
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.continuation(1, [("x-one", "1")], 0)
    c.continuation(1, [("x-two", "2")])
    c.answered(1)


@case("6.10 a field that is cut by CONTINUATION frames at every byte", ALLOWED)
def _(c):
    section = fields(request(more=[("x-cut", "value")]))
    c.frame(HEADERS, END_STREAM, 1, section[:1])
    for at in range(1, 8):
        c.continuation(1, section[at:at + 1], 0)
    c.continuation(1, section[8:])
    c.answered(1)


@case("6.10 CONTINUATION followed by another frame", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, 0, 1, fields(request(method="POST")))
    c.continuation(1, [("x", "y")], 0)
    c.data(1, b"test", END_STREAM)


@case("6.10 CONTINUATION on stream 0", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.continuation(0, [("x", "y")])


@case("6.10 CONTINUATION on another stream", connection_error(PROTOCOL_ERROR))
def _(c):
    c.frame(HEADERS, END_STREAM, 1, fields(request()))
    c.continuation(3, [("x", "y")])


@case("6.10 CONTINUATION behind HEADERS with END_HEADERS", connection_error(PROTOCOL_ERROR, STREAM_CLOSED))
def _(c):
    c.headers(1, request("/stalled"), 0)
    c.continuation(1, [("x", "y")])


@case("6.10 CONTINUATION behind CONTINUATION with END_HEADERS", connection_error(PROTOCOL_ERROR, STREAM_CLOSED))
def _(c):
    c.frame(HEADERS, 0, 1, fields(request("/stalled")))
    c.continuation(1, [("x", "y")])
    c.continuation(1, [("x", "z")])


@case("6.10 CONTINUATION behind DATA", connection_error(PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.data(1, b"test")
    c.continuation(1, [("x", "y")])


# ---- 7: error codes ----

@case("7 RST_STREAM with an unknown code", ALLOWED)
def _(c):
    c.post(1)
    c.rst(1, 0xff)


@case("7 GOAWAY with an unknown code is no error", Rule(), )
def _(c):
    c.headers(1, request())
    c.answered(1)
    c.frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xff))
    c.frame(PING, 0, 0, b"answered")
    # Either it is answered, or the connection ends in order: our GOAWAY said that we go.
    with contextlib.suppress(Exception):
        c.wait(lambda: c.pongs, "the answer to PING")
    assert c.goaway is None or c.goaway[1] == NO_ERROR, c.goaway
    assert c.pongs or c.closed
    c.no_more = True


# ---- 8.1: messages ----

@case("8.1 a second HEADERS without END_STREAM", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1)
    c.headers(1, [("x-trailer", "1")], 0)


@case("8.1 trailers are taken", ALLOWED)
def _(c):
    c.post(1)
    c.data(1, b"abc")
    c.headers(1, [("x-trailer", "1")])
    c.answered(1)


@case("8.1 trailers without content are taken", ALLOWED)
def _(c):
    c.post(1)
    c.headers(1, [("x-trailer", "1")])
    c.answered(1)


@case("8.1 empty trailers are taken", ALLOWED)
def _(c):
    c.post(1)
    c.data(1, b"abc")
    c.headers(1, b"")
    c.answered(1)


for _method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"):
    @case(f"8.3.1 {_method} is answered", ALLOWED)
    def _(c, method=_method):
        c.headers(1, request(method=method))
        s = c.answered(1)
        assert (bytes(s.body) == b"") == (method == "HEAD")


def malformed(name, section, end=END_STREAM):
    @case(name, stream_error(1, PROTOCOL_ERROR))
    def _(c):
        c.headers(1, section, end)


M, S, P, A = (":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.test")
GOOD = [M, S, P, A]

malformed("8.2.1 an upper-case letter in a name", GOOD + [("X-TEST", "ok")])
malformed("8.2.1 one upper-case letter in a name", GOOD + [("x-tesT", "ok")])
malformed("8.2.1 a space in a name", GOOD + [("x test", "ok")])
malformed("8.2.1 a colon in a name", GOOD + [("x:test", "ok")])
malformed("8.2.1 a colon at the end of a name", GOOD + [("x-test:", "ok")])
malformed("8.2.1 a control character in a name", GOOD + [("x\x01test", "ok")])
malformed("8.2.1 a line end in a name", GOOD + [("x-test: 1\r\nx-other", "ok")])
malformed("8.2.1 DEL in a name", GOOD + [("x\x7f", "ok")])
malformed("8.2.1 a byte beyond ASCII in a name", GOOD + [("x\xe4", "ok")])
malformed("8.2.1 an empty name", GOOD + [("", "ok")])
malformed("8.2.1 NUL in a value", GOOD + [("x-test", "a\0b")])
malformed("8.2.1 LF in a value", GOOD + [("x-test", "a\nb")])
malformed("8.2.1 CR in a value", GOOD + [("x-test", "a\rb")])
malformed("8.2.1 a request in a value", GOOD + [("x-test", "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")])
malformed("8.2.1 a value that begins with a space", GOOD + [("x-test", " a")])
malformed("8.2.1 a value that ends with a tab", GOOD + [("x-test", "a\t")])

malformed("8.2.2 Connection", GOOD + [("connection", "keep-alive")])
malformed("8.2.2 Connection: close", GOOD + [("connection", "close")])
malformed("8.2.2 Proxy-Connection", GOOD + [("proxy-connection", "keep-alive")])
malformed("8.2.2 Keep-Alive", GOOD + [("keep-alive", "timeout=5")])
malformed("8.2.2 Transfer-Encoding", GOOD + [("transfer-encoding", "chunked")], 0)
malformed("8.2.2 Transfer-Encoding on a request without content", GOOD + [("transfer-encoding", "chunked")])
malformed("8.2.2 Upgrade", GOOD + [("upgrade", "h2c")])
malformed("8.2.2 TE other than trailers", GOOD + [("te", "trailers, deflate")])
malformed("8.2.2 TE: gzip", GOOD + [("te", "gzip")])

malformed("8.3 an unknown pseudo-header field", GOOD + [(":test", "ok")])
malformed("8.3 a response's pseudo-header field", GOOD + [(":status", "200")])
malformed("8.3 a pseudo-header field behind a field", [M, S, ("x-test", "ok"), P, A])
malformed("8.3 :authority behind a field", [M, S, P, ("x-test", "ok"), A])
malformed("8.3 a pseudo-header field without a name", GOOD + [(":", "ok")])

malformed("8.3.1 no :method", [S, P, A])
malformed("8.3.1 no :scheme", [M, P, A])
malformed("8.3.1 no :path", [M, S, A])
malformed("8.3.1 nothing at all", b"")
malformed("8.3.1 no pseudo-header fields", [("x-test", "ok")])
malformed("8.3.1 :method twice", [M] + GOOD)
malformed("8.3.1 :scheme twice", [M, S, S, P, A])
malformed("8.3.1 :path twice", [M, S, P, P, A])
malformed("8.3.1 :authority twice", GOOD + [A])
malformed("8.3.1 an empty :path", [M, S, (":path", ""), A])
malformed("8.3.1 an empty :method", [(":method", ""), S, P, A])
malformed("8.3.1 an empty :scheme", [M, (":scheme", ""), P, A])
malformed("8.3.1 a :path without slash", [M, S, (":path", "a"), A])
malformed("8.3.1 a space in :path", [M, S, (":path", "/a b"), A])
malformed("8.3.1 a request line in :path", [M, S, (":path", "/a HTTP/1.1\r\nHost: b.test\r\n\r\nGET /smuggled"), A])
malformed("8.3.1 a tab in :path", [M, S, (":path", "/a\tb"), A])
malformed("8.3.1 a fragment in :path", [M, S, (":path", "/a#b"), A])
malformed("8.3.1 a byte beyond ASCII in :path", [M, S, (":path", "/\xe4"), A])
malformed("8.3.1 an absolute :path", [M, S, (":path", "https://a.test/"), A])
malformed("8.3.1 an asterisk with GET", [M, S, (":path", "*"), A])
malformed("8.3.1 a space in :method", [(":method", "GET /smuggled HTTP/1.1"), S, P, A])
malformed("8.3.1 a line end in :method", [(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"), S, P, A])
malformed("8.3.1 a space in :scheme", [M, (":scheme", "https ://"), P, A])
malformed("8.3.1 user information in :authority", [M, S, P, (":authority", "me@a.test")])
malformed("8.3.1 a space in :authority", [M, S, P, (":authority", "a.test b.test")])
malformed("8.3.1 a line end in :authority", [M, S, P, (":authority", "a.test\r\nX: y")])
malformed("8.3.1 a path in :authority", [M, S, P, (":authority", "a.test/x")])
malformed("8.3.1 an empty :authority", [M, S, P, (":authority", "")])
malformed("8.3.1 neither :authority nor Host", [M, S, P])
malformed("8.3.1 Host other than :authority", GOOD + [("host", "b.test")])
malformed("8.3.1 Host twice", [M, S, P, ("host", "a.test"), ("host", "a.test")])
malformed("8.3.1 Host twice beside :authority", GOOD + [("host", "a.test"), ("host", "b.test")])

malformed("8.5 CONNECT with :path", [(":method", "CONNECT"), P, A], 0)
malformed("8.5 CONNECT with :scheme", [(":method", "CONNECT"), S, A], 0)
malformed("8.5 CONNECT without :authority", [(":method", "CONNECT")], 0)
malformed("8441 4 :protocol without CONNECT", GOOD + [(":protocol", "websocket")])
malformed("8441 4 :protocol without :path", [(":method", "CONNECT"), S, A, (":protocol", "websocket")], 0)
malformed("8441 4 :protocol twice", [(":method", "CONNECT"), S, P, A, (":protocol", "websocket"), (":protocol", "websocket")], 0)

malformed("8.1.1 content-length twice", GOOD + [("content-length", "3"), ("content-length", "4")], 0)
malformed("8.1.1 a list of content-lengths", GOOD + [("content-length", "3, 3")], 0)
malformed("8.1.1 content-length with a sign", GOOD + [("content-length", "+3")], 0)
malformed("8.1.1 negative content-length", GOOD + [("content-length", "-1")], 0)
malformed("8.1.1 empty content-length", GOOD + [("content-length", "")], 0)
malformed("8.1.1 hexadecimal content-length", GOOD + [("content-length", "0x3")], 0)
malformed("8.1.1 content-length beyond 64 bits", GOOD + [("content-length", "18446744073709551616")], 0)
malformed("8.1.1 content-length without content", GOOD + [("content-length", "5")])


@case("8.1.1 content-length other than the DATA", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1, [("content-length", "1")])
    c.data(1, b"test", END_STREAM)


@case("8.1.1 content-length other than the sum of several DATA", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1, [("content-length", "10")])
    c.data(1, b"test")
    c.data(1, b"test", END_STREAM)


@case("8.1.1 content-length beyond the DATA before trailers", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1, [("content-length", "10")])
    c.data(1, b"test")
    c.headers(1, [("x-trailer", "1")])


@case("8.1.1 content-length below the DATA that has come, whose end has not", stream_error(1, PROTOCOL_ERROR))
def _(c):
    c.post(1, [("content-length", "3")])
    c.data(1, b"test")


# Where the answer was complete before the DATA came, the rest of the request is declined (RFC 9113 8.1).
@case("8.1.1 content-length 0 and DATA", stream_error(1, PROTOCOL_ERROR, NO_ERROR))
def _(c):
    c.post(1, [("content-length", "0")])
    c.data(1, b"test", END_STREAM)


@case("8.1.1 a content-length that is right", ALLOWED)
def _(c):
    c.post(1, [("content-length", "4")])
    c.data(1, b"te", pad=9)
    c.data(1, b"st", END_STREAM)
    assert c.answered(1).field("x-took") == "test"


@case("8.1.1 content-length 0 and an empty DATA", ALLOWED)
def _(c):
    c.post(1, [("content-length", "0")])
    c.data(1, b"", END_STREAM)
    c.answered(1)


def malformed_trailers(name, trailers):
    @case(name, stream_error(1, PROTOCOL_ERROR))
    def _(c):
        c.post(1)
        c.data(1, b"test")
        c.headers(1, trailers)


malformed_trailers("8.1 a pseudo-header field in trailers", [(":method", "POST")])
malformed_trailers("8.1 an unknown pseudo-header field in trailers", [("x-a", "1"), (":test", "1")])
malformed_trailers("8.2.1 an upper-case letter in trailers", [("X-Trailer", "1")])
malformed_trailers("8.2.1 a line end in a trailer", [("x-trailer", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")])
malformed_trailers("8.2.2 Connection in trailers", [("connection", "close")])
malformed_trailers("8.2.2 Transfer-Encoding in trailers", [("transfer-encoding", "chunked")])
malformed_trailers("8.1 content-length in trailers", [("content-length", "4")])
malformed_trailers("8.1 Host in trailers", [("host", "a.test")])


@case("8.2.2 TE: trailers is allowed", ALLOWED)
def _(c):
    c.headers(1, request(more=[("te", "trailers")]))
    c.answered(1)


@case("8.3.1 Host that equals :authority is allowed", ALLOWED)
def _(c):
    c.headers(1, request(more=[("host", "a.test")]))
    c.answered(1)


@case("8.3.1 Host in the place of :authority is allowed", ALLOWED)
def _(c):
    c.headers(1, [M, S, P, ("host", "a.test")])
    c.answered(1)


@case("8.3.1 pseudo-header fields in any order", ALLOWED)
def _(c):
    c.headers(1, [A, P, S, M])
    c.answered(1)


@case("8.3.1 OPTIONS *", ALLOWED)
def _(c):
    c.headers(1, [(":method", "OPTIONS"), S, (":path", "*"), A])
    c.answered(1)


@case("8.2.3 a cookie in crumbs", ALLOWED)
def _(c):
    c.headers(1, request(more=[("cookie", "a=1"), ("cookie", "b=2")]))
    c.answered(1)


# ---- RFC 7541: HPACK ----

def hpack_error(name, section, values=()):
    @case(name, connection_error(COMPRESSION_ERROR), values=values)
    def _(c):
        c.headers(1, section)


G = fields(GOOD)
hpack_error("7541 2.3.3 an indexed field beyond the tables", G + indexed(70))
hpack_error("7541 2.3.3 an index of 62 while the dynamic table is empty", G + indexed(62))
hpack_error("7541 2.3.3 a literal whose name's index is beyond the tables", G + literal("", "empty", index=70, kind="incremental"))
hpack_error("7541 2.3.3 an index of an entry that was evicted", G + literal("x-a", "1", kind="incremental") + literal(
    "x-big", "b" * 4040, kind="incremental") + indexed(63))
hpack_error("7541 4.2 a change of the table's size at the end of a field section", G + table_size(1))
hpack_error("7541 4.2 a change of the table's size between fields", G[:5] + table_size(0) + G[5:])
hpack_error("7541 5.2 EOS in a Huffman string", G + b"\x00\x85\xf2\xb2\x4a\x84\xff\x88\x49\x50\x9f\xff\xff\xff\xff\xff")
hpack_error("7541 5.2 padding of more than 7 bits", G + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f\xff")
hpack_error("7541 5.2 padding that is not EOS", G + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")
hpack_error("7541 6.1 an indexed field of index 0", G + indexed(0))
hpack_error("7541 6.3 a table beyond SETTINGS_HEADER_TABLE_SIZE", table_size(4097) + G)
hpack_error("7541 6.3 a table far beyond SETTINGS_HEADER_TABLE_SIZE", table_size(1 << 31) + G)
hpack_error("7541 5.1 an integer that does not end", G + b"\x7f" + b"\x80" * 20 + b"\x01")
hpack_error("7541 5.1 an integer beyond 32 bits", G + b"\xff\xff\xff\xff\xff\xff\x0f")
hpack_error("7541 5.2 a string that goes beyond the field section", G + b"\x00\x05x-abc\x7f\xff\xff\x03value")


def hpack_allowed(name, section, want=()):
    @case(name, ALLOWED)
    def _(c):
        c.headers(1, section)
        s = c.answered(1)
        for field, value in want:
            assert s.field("x-echo-" + field) == value


INDEXED = indexed(2) + indexed(7) + indexed(4) + literal("", "a.test", index=1)
hpack_allowed("7541 6.1 indexed fields", INDEXED)
for _kind in ("incremental", "without", "never"):
    for _huffman in (False, True):
        _text = " with Huffman codes" if _huffman else ""
        hpack_allowed(f"7541 6.2 a literal, {_kind}, with an indexed name{_text}",
                      INDEXED + literal("", "agent", index=58, kind=_kind, huffman=_huffman), [("user-agent", "agent")])
        hpack_allowed(f"7541 6.2 a literal, {_kind}, with a new name{_text}",
                      INDEXED + literal("x-test", "a value", kind=_kind, huffman=_huffman), [("x-test", "a value")])
hpack_allowed("7541 6.2 an empty value", INDEXED + literal("x-test", "", kind="incremental", huffman=True), [("x-test", "")])
hpack_allowed("7541 6.3 a change of the table's size", table_size(128) + INDEXED)
hpack_allowed("7541 6.3 several changes of the table's size", table_size(128) + table_size(4096) + INDEXED)
hpack_allowed("7541 6.3 a table of no bytes", table_size(0) + INDEXED + literal("x-test", "gone", kind="incremental"), [("x-test", "gone")])


@case("7541 2.3.3 an entry of the dynamic table is found again", ALLOWED)
def _(c):
    c.headers(1, INDEXED + literal("x-test", "kept", kind="incremental"))
    assert c.answered(1).field("x-echo-x-test") == "kept"
    c.headers(3, INDEXED + indexed(62))
    assert c.answered(3).field("x-echo-x-test") == "kept"
    c.headers(5, INDEXED + literal("", "other", index=62))
    assert c.answered(5).field("x-echo-x-test") == "other"


@case("7541 4.4 an entry larger than the table empties it", ALLOWED)
def _(c):
    c.headers(1, INDEXED + literal("x-test", "kept", kind="incremental") + literal("x-big", "b" * 5000, kind="incremental"))
    c.answered(1)
    c.headers(3, INDEXED + indexed(62))
    c.expect_connection_error(COMPRESSION_ERROR)
    c.no_more = True


@case("7541 4.2 a smaller SETTINGS_HEADER_TABLE_SIZE of ours is kept by the server", ALLOWED, values={HEADER_TABLE_SIZE: 0})
def _(c):
    c._decoder.max_allowed_table_size = 0
    for number in (1, 3, 5):
        c.headers(number, request())
        c.answered(number)


@case("7541 4.2 SETTINGS_HEADER_TABLE_SIZE that shrinks and grows again", ALLOWED)
def _(c):
    c.headers(1, request())
    c.answered(1)
    c.settings([(HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 4096)])
    c.wait(lambda: c.settings_acks == 2, "the acknowledgement")
    c.headers(3, request())
    c.answered(3)
    c.settings({HEADER_TABLE_SIZE: 1 << 31})
    c.headers(5, request())
    c.answered(5)


# ---- 3.3, 9: what carries it ----

@case("9.1 several requests at once are answered", ALLOWED)
def _(c):
    for number in range(1, 41, 2):
        c.headers(number, request())
    for number in range(1, 41, 2):
        assert bytes(c.answered(number).body) == BODY


# ---- the run ----

def answer(e):
    """What the server behind says: fields echoed, the content's beginning, bodies of any size; /never reads nothing."""
    if e.target == "/never":
        e.connection.wait_closed()
        return
    took = e.read_body()
    extra = [f"X-Echo-{n}: {v}" for n, v in e.fields if n.lower() in ("user-agent", "x-test")]
    if took and len(took) < 100:
        extra.append("X-Took: " + took.decode("latin-1"))
    body = BODY
    if e.target.startswith("/size/"):
        body = bytes(int(e.target.rpartition("/")[2]))
    if e.method == "HEAD":
        e.send(response(body, fields=extra)[:-len(body)])
    else:
        e.send(response(body, fields=extra))


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    if TARGET:
        backend = Backend(port=TARGET + 1)
        backend.answer = answer
        yield TARGET, backend
        backend.stop()
        return
    backend = Backend()
    backend.answer = answer
    port = free_port()
    with Unlade(tmp_path_factory.mktemp("h2"), site(port, backend.port, certificate)) as proxy:
        yield port, backend
        assert proxy.process.poll() is None, proxy.stderr
        assert not proxy.findings(), proxy.stderr
    backend.stop()


@pytest.mark.parametrize("name", CASES)
def test_rule(server, pki, name):
    port, backend = server
    function, rule, how = CASES[name]
    how = dict(how)
    start, values = how.pop("start", True), how.pop("values", ())
    sock = h2_socket(port, None if TARGET else pki)
    backend.exchanges.clear()
    with Connection(sock) as c:
        if start:
            c.send(PREFACE + settings(values))
            c.wait(lambda: c.peer_settings is not None and c.settings_acks, "the SETTINGS of the server")
        function(c)
        if getattr(c, "no_more", False):
            return
        if hasattr(c, "rule_stream"):
            rule = stream_or_connection_error(c.rule_stream, *rule.codes)
        rule.expect(c)
    assert not backend.garbage, backend.garbage
    assert "/smuggled" not in [e.target for e in backend.exchanges]
