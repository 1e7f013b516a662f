"""A client that speaks HTTP/2 frame by frame, right or wrong, and keeps everything that comes back.

    with h2_client(port, pki) as c:                     # preface, SETTINGS and their acknowledgement are done
        c.headers(1, request("/"), END_STREAM)          # any frame, as a test wants it
        assert c.response(1).status == 200
        c.frame(PING, 0, 0, b"short")
        c.expect_connection_error(FRAME_SIZE_ERROR)

It shares nothing with the code under test: frames are written by hand, field sections too (fields()); what comes is read
by python3-hpack. What it does unasked (acknowledge SETTINGS and PING, open windows) can be switched off, one by one."""
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from support.client import Closed, connect, context
from support.waiting import LONG, ready

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
FRAME_NAMES = dict(enumerate("DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()))

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM,
 CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)
ERROR_NAMES = dict(enumerate(
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM "
    "CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED".split()))

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

DEFAULT_WINDOW, LARGEST_WINDOW = 65535, (1 << 31) - 1


# ---- what goes out ----

def frame(kind, flags, stream, payload=b"", length=None):
    """The bytes of a frame. length: a wrong one."""
    n = len(payload) if length is None else length
    return struct.pack(">BHBBI", n >> 16, n & 0xffff, kind, flags, stream) + payload


def settings(values=(), flags=0, stream=0):
    """values: a dict, or pairs where one comes twice."""
    pairs = values.items() if isinstance(values, dict) else values
    return frame(SETTINGS, flags, stream, b"".join(struct.pack(">HI", *p) for p in pairs))


def integer(prefix_bits, first, value):
    """An integer of HPACK (RFC 7541 5.1); first: the bits before the prefix."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def to_bytes(text):
    return text if isinstance(text, bytes) else str(text).encode("latin-1")


def string(text, huffman=False):
    text = to_bytes(text)
    if not huffman:
        return integer(7, 0, len(text)) + text
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return integer(7, 0x80, len(coded)) + coded


def indexed(index):
    return integer(7, 0x80, index)


def literal(name, value, *, index=0, kind="without", huffman=False):
    """A literal field. kind: "without" indexing, "never" indexed, "incremental"; index: of the name in a table."""
    first, bits = {"without": (0, 4), "never": (0x10, 4), "incremental": (0x40, 6)}[kind]
    return integer(bits, first, index) + (b"" if index else string(name, huffman)) + string(value, huffman)


def table_size(size):
    return integer(5, 0x20, size)


def fields(pairs):
    """A field section of literals that leave no trace in the table."""
    return b"".join(literal(name, value) for name, value in pairs)


def request(path="/", method="GET", authority="a.test", scheme="https", more=()):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more]


# ---- what comes in ----

@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    def __str__(self):
        return f"{FRAME_NAMES.get(self.kind, self.kind)} flags={self.flags:#x} stream={self.stream} {self.payload[:80]!r}"

    @property
    def number(self):
        """The 32 bits that RST_STREAM and WINDOW_UPDATE carry."""
        return struct.unpack(">I", self.payload)[0]

    @property
    def goaway(self):
        """(last stream, code, debug data)"""
        return *struct.unpack(">II", self.payload[:8]), self.payload[8:]


@dataclass
class Stream:
    """What came on one stream."""
    number: int
    status: int = None
    fields: list = field(default_factory=list)
    interim: list = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list = None
    ended: bool = False      # END_STREAM
    reset: int = None        # RST_STREAM's code

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def field(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def over(self):
        return self.ended or self.reset is not None


def _name(code):
    return ERROR_NAMES.get(code, code)


class H2:
    """A connection on which frames are sent and taken."""

    def __init__(self, sock, *, ack=True, pong=True, window=True):
        self.socket = sock
        self.ack, self.pong, self.window = ack, pong, window
        self.frames, self.streams = [], {}
        self.peer_settings, self.settings_acks, self.pongs = None, 0, []
        self.goaway, self.closed = None, False
        self.refused_bytes = False      # a send failed: the other side is gone
        self.stuck = False              # a flood ended because the other side took no more
        self._decoder, self._block = hpack.Decoder(), None
        self._decoder.max_header_list_size = 1 << 24
        self._input = bytearray()
        self._next = 1
        self._replies = None            # what is to be sent while a flood is under way: behind the present piece
        sock.settimeout(LONG)

    # ---- sending ----

    def send(self, data):
        """Bytes as they are. That the other side ended the connection meanwhile is seen when reading."""
        if self._replies is not None:
            self._replies += data
            return
        try:
            self.socket.settimeout(LONG)
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError, OSError) as error:
            if isinstance(error, socket.timeout):
                raise
            self.refused_bytes = True

    def frame(self, kind, flags, stream, payload=b"", length=None):
        self.send(frame(kind, flags, stream, payload, length))

    def headers(self, stream, section, flags=END_STREAM, *, pad=None, priority=None):
        """HEADERS with END_HEADERS. section: pairs, or bytes. priority: (exclusive, dependency, weight - 1)."""
        self.send(self.headers_frame(stream, section, flags | END_HEADERS, pad=pad, priority=priority))

    @staticmethod
    def headers_frame(stream, section, flags=END_STREAM | END_HEADERS, *, pad=None, priority=None):
        payload = section if isinstance(section, bytes) else fields(section)
        if priority is not None:
            flags |= WITH_PRIORITY
            payload = struct.pack(">IB", priority[0] << 31 | priority[1], priority[2]) + payload
        if pad is not None:
            flags |= PADDED
            payload = bytes([pad]) + payload + bytes(pad)
        return frame(HEADERS, flags, stream, payload)

    def continuation(self, stream, section=b"", flags=END_HEADERS):
        self.frame(CONTINUATION, flags, stream, section if isinstance(section, bytes) else fields(section))

    def data(self, stream, content=b"", flags=0, *, pad=None):
        if pad is not None:
            flags, content = flags | PADDED, bytes([pad]) + content + bytes(pad)
        self.frame(DATA, flags, stream, content)

    def rst(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def window_update(self, stream, increment):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))

    def priority(self, stream, dependency=0, weight=15, exclusive=0):
        self.frame(PRIORITY, 0, stream, struct.pack(">IB", exclusive << 31 | dependency, weight))

    def priority_update(self, stream, value):
        self.frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + to_bytes(value))

    def settings(self, values=(), flags=0):
        self.send(settings(values, flags))

    def open(self, path="/", *, end=True, flags=0, **how):
        """A request on the next stream; its number. how: of request()."""
        number, self._next = self._next, self._next + 2
        self.headers(number, request(path, **how), flags | (END_STREAM if end else 0))
        return number

    def next_stream(self):
        number, self._next = self._next, self._next + 2
        return number

    # ---- taking ----

    def stream(self, number):
        return self.streams.setdefault(number, Stream(number))

    def _read(self, timeout):
        """Some bytes into the input; False at the end of the connection. socket.timeout where none come."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(262144)
        except (ssl.SSLWantReadError, socket.timeout):
            raise socket.timeout("nothing came") from None
        except (ConnectionError, ssl.SSLError, OSError):
            data = b""
        if not data:
            self.closed = True
            return False
        self._input += data
        return True

    def _whole_frame(self):
        if len(self._input) < 9:
            return None
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self._input[:9])
        length = high << 16 | low
        assert length <= 16384, f"a frame of {length} bytes, though nobody allowed more than 16384"
        if len(self._input) < 9 + length:
            return None
        payload = bytes(self._input[9:9 + length])
        del self._input[:9 + length]
        assert not stream >> 31, "the reserved bit is set"
        return Frame(kind, flags, stream, payload)

    def take(self, timeout=LONG):
        """The next frame, or None where the connection has ended."""
        end = time.monotonic() + timeout
        while True:
            f = self._whole_frame()
            if f is not None:
                self.frames.append(f)
                self._process(f)
                return f
            if self.closed or not self._read(max(end - time.monotonic(), 0.001)):
                return None

    def _process(self, f):
        assert self._block is None or f.kind == CONTINUATION, f"{f} inside a field section"
        if f.kind == HEADERS:
            self._begin_block(f)
        elif f.kind == CONTINUATION:
            assert self._block is not None and self._block[0] == f.stream, f"{f} out of place"
            self._block[2].append(f.payload)
            self._end_block(f)
        elif f.kind == DATA:
            self._take_data(f)
        elif f.kind == RST_STREAM:
            s = self.stream(f.stream)
            assert s.reset is None, f"stream {f.stream} was reset twice"
            s.reset = f.number
        elif f.kind == SETTINGS:
            self._take_settings(f)
        elif f.kind == PING:
            if f.flags & ACK:
                self.pongs.append(f.payload)
            elif self.pong:
                self.frame(PING, ACK, 0, f.payload)
        elif f.kind == GOAWAY:
            self.goaway = f.goaway

    def _begin_block(self, f):
        payload = f.payload
        if f.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if f.flags & WITH_PRIORITY:
            payload = payload[5:]
        self._block = (f.stream, f.flags & END_STREAM, [payload])
        self._end_block(f)

    def _end_block(self, f):
        if not f.flags & END_HEADERS:
            return
        number, end, parts = self._block
        self._block = None
        pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in self._decoder.decode(b"".join(parts), raw=True)]
        s = self.stream(number)
        assert not s.over, f"HEADERS on stream {number}, which was over"
        if s.status is not None:
            assert end, "trailers without END_STREAM"
            s.trailers = pairs
        else:
            assert pairs and pairs[0][0] == ":status", pairs
            status = int(pairs[0][1])
            if status < 200:
                assert not end, f"{status} with END_STREAM"
                s.interim.append((status, pairs[1:]))
            else:
                s.status, s.fields = status, pairs[1:]
        s.ended = bool(end)

    def _take_data(self, f):
        s = self.stream(f.stream)
        assert s.status is not None and not s.over, f"DATA out of place on stream {f.stream}"
        payload = f.payload
        if f.flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        s.body += payload
        s.ended = bool(f.flags & END_STREAM)
        if self.window and f.payload:
            self.window_update(0, len(f.payload))
            if not s.ended:
                self.window_update(f.stream, len(f.payload))

    def _take_settings(self, f):
        if f.flags & ACK:
            self.settings_acks += 1
            return
        self.peer_settings = dict(self.peer_settings or {})
        for at in range(0, len(f.payload), 6):
            self.peer_settings.__setitem__(*struct.unpack(">HI", f.payload[at:at + 6]))
        if self.ack:
            self.frame(SETTINGS, ACK, 0)

    # ---- waiting ----

    def wait(self, condition, what, seconds=LONG):
        """Takes frames until condition() is true and returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if self.closed:
                raise Closed(f"closed while waiting for {what}; {self.told()}")
            try:
                self.take(max(end - time.monotonic(), 0.001))
            except socket.timeout:
                raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; {self.told()}") from None

    def told(self):
        last = "; ".join(str(f) for f in self.frames[-8:])
        return f"last frames: {last or 'none'}"

    def response(self, number, seconds=LONG):
        """The stream, once its response is whole."""
        s = self.stream(number)
        self.wait(lambda: s.over, f"the response on stream {number}", seconds)
        assert s.reset is None or s.ended, f"stream {number} was reset with {_name(s.reset)}"
        return s

    def fetch(self, path="/", *, body=None, **how):
        """A request on the next stream and its whole response."""
        number = self.open(path, end=body is None, **how)
        if body is not None:
            self.data(number, body, END_STREAM)
        return self.response(number)

    def ping(self, payload=b"are you?"):
        """A PING and its answer: everything sent before it was taken, what was due before it has come."""
        before = len(self.pongs)
        self.frame(PING, 0, 0, payload)
        self.wait(lambda: payload in self.pongs[before:], "the answer to PING")

    def drain(self, seconds=LONG):
        """Everything up to the end of the connection; whether it ended."""
        end = time.monotonic() + seconds
        try:
            while not self.closed:
                self.take(max(end - time.monotonic(), 0.001))
        except socket.timeout:
            return False
        return True

    def silent(self, seconds):
        """Takes what comes in this time; the connection has to stay."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                assert self.take(left) is not None, f"closed; {self.told()}"
        except socket.timeout:
            pass

    def expect_connection_error(self, *codes, bare_close=False):
        """GOAWAY with one of the codes, then the end. bare_close: the end alone will do. Returns GOAWAY's debug data."""
        ended = self.drain()
        if self.goaway is None:
            assert bare_close and ended, f"no GOAWAY with {[_name(c) for c in codes]}; {'closed' if ended else 'open'}; {self.told()}"
            return b""
        assert self.goaway[1] in codes, f"{_name(self.goaway[1])} {self.goaway[2]!r} instead of {[_name(c) for c in codes]}"
        assert ended, f"GOAWAY with {_name(self.goaway[1])}, but the connection stays; {self.told()}"
        return self.goaway[2]

    def expect_stream_error(self, number, *codes):
        """RST_STREAM with one of the codes, and the connection goes on."""
        s = self.stream(number)
        self.wait(lambda: s.reset is not None or self.goaway is not None, f"RST_STREAM with {[_name(c) for c in codes]} on stream {number}")
        assert s.reset is not None, f"GOAWAY with {_name(self.goaway[1])} {self.goaway[2]!r} instead of RST_STREAM"
        assert s.reset in codes, f"{_name(s.reset)} instead of {[_name(c) for c in codes]}"

    def alive(self):
        """The connection goes on: it answers PING and has not been told to end."""
        self.ping(b"alive?!!")
        assert self.goaway is None, f"GOAWAY {self.goaway}"

    # ---- floods ----

    def flood(self, pieces, *, read=True, seconds=LONG * 4):
        """Sends piece after piece while taking what comes (read), until they end, the other side ends the connection, or it
        takes nothing more for LONG. Returns the bytes that went out."""
        sent, waiting, moved = 0, b"", time.monotonic()
        pieces, end = iter(pieces), time.monotonic() + seconds
        self._replies = bytearray()
        while not self.closed and not self.refused_bytes and time.monotonic() < end and moved + LONG > time.monotonic():
            if not waiting:
                waiting = b"".join(p for _, p in zip(range(64), pieces))
                if not waiting and not self._replies:
                    break
            waiting, self._replies = waiting + self._replies, bytearray()
            taken = self._send_some(waiting)
            sent, waiting = sent + taken, waiting[taken:]
            received = read and self._receive_some()
            if taken or received:
                moved = time.monotonic()
            else:
                ready(self.socket, True, 0.02)
        self._replies = None
        self.stuck = bool(waiting) and not self.closed and not self.refused_bytes
        return sent

    def _send_some(self, data):
        try:
            self.socket.settimeout(0)
            return self.socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            return 0
        except (ConnectionError, ssl.SSLError, OSError):
            self.refused_bytes = True
            return 0

    def _receive_some(self):
        """Takes all that is there; whether something was."""
        received = False
        try:
            self.socket.settimeout(0)
            while data := self.socket.recv(262144):
                received = True
                self._input += data
                while (f := self._whole_frame()) is not None:
                    self.frames.append(f)
                    self._process(f)
            self.closed = True
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        except (ConnectionError, ssl.SSLError, OSError):
            self.closed = True
        return received

    # ---- the end ----

    def half_close(self):
        """Ends our direction alone: FIN, under TLS without close_notify."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def abort(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def h2_socket(port, pki=None, name="a.test", *, host="127.0.0.1", receive_buffer=None, certificate=None, alpn=("h2",)):
    """A TLS connection for which ALPN chose h2."""
    c = context(pki, alpn=list(alpn), certificate=certificate, verify=pki is not None and name is not None)
    sock = connect(port, host, receive_buffer)
    try:
        tls = c.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise
    assert tls.selected_alpn_protocol() == "h2", f"ALPN chose {tls.selected_alpn_protocol()}"
    return tls


def h2_client(port, pki=None, name="a.test", *, values=(), start=True, ack=True, pong=True, window=True, **how):
    """An H2 over TLS. values: of our SETTINGS; start: send preface and SETTINGS, and wait for the server's."""
    c = H2(h2_socket(port, pki, name, **how), ack=ack, pong=pong, window=window)
    if start:
        c.send(PREFACE + settings(values))
        c.wait(lambda: c.peer_settings is not None and c.settings_acks, "the server's SETTINGS and its acknowledgement of ours")
    return c
