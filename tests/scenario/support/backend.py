"""A backend that does what a test tells it to: answers byte for byte, late, in pieces, wrongly, or dies in between.

    backend.answer = lambda exchange: exchange.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

`answer` is called, in the connection's own thread, once for each request whose head arrived; it reads the body if it
wants to (what it leaves is read after it), sends what it likes, and may close or reset the connection. Whatever arrives
is kept as it came: exchange.raw_head, and connection.received for all bytes of a connection. A head that even a lenient
parser cannot read is kept in backend.garbage: nothing that a proxy passes on may end there."""
import socket
import struct
import threading

from support.ports import free_port
from support.waiting import LONG, until

DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"


def response(body=b"ok", status="200 OK", fields=()):
    """A whole answer with Content-Length and Date, to which nothing need be added."""
    dated = [] if any(f.lower().startswith("date:") for f in fields) else [DATE]
    lines = [f"HTTP/1.1 {status}", *dated, f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def standard_answer(exchange):
    exchange.read_body()
    exchange.send(response())


class Gone(Exception):
    """The proxy closed the connection."""


class Exchange:
    """One request as it arrived, and the means to answer it."""

    def __init__(self, connection, raw_head):
        self.connection, self.raw_head = connection, raw_head
        lines = raw_head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.body, self.raw_body, self.trailers = b"", b"", []
        self.body_read = False
        self.complete = threading.Event()

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def field(self, name):
        """The field's value, None where it is missing; more than one fails the test."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def read_body(self, on_data=None):
        """Reads the rest of the body, by Content-Length or chunked. on_data takes it piece by piece instead."""
        if self.body_read:
            return self.body
        self.body_read = True
        take = on_data or self._keep
        if "chunked" in (self.field("transfer-encoding") or ""):
            self._read_chunked(take)
        else:
            left = int(self.field("content-length") or 0)
            while left:
                piece = self.connection.read_some(left)
                left -= len(piece)
                take(piece)
        self.complete.set()
        return self.body

    def _keep(self, data):
        self.body += data

    def _read_chunked(self, take):
        while True:
            line = self.connection.read_line()
            self.raw_body += line
            left = int(line.split(b";")[0], 16)
            if left == 0:
                break
            while left:
                piece = self.connection.read_some(left)
                left -= len(piece)
                take(piece)
            self.connection.read_line()
        while (line := self.connection.read_line()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers.append((name, value.strip()))

    def send(self, data):
        self.connection.send(data)

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.reset()


class Connection:
    """One connection that the proxy made."""

    def __init__(self, backend, sock, number):
        self.backend, self.socket, self.number = backend, sock, number
        self.received = b""
        self.received_bytes = 0
        self.exchanges = []
        self.ended = threading.Event()      # the proxy's end of it is known to be closed, or ours is
        self._buffer = b""

    def serve(self):
        try:
            while True:
                exchange = self._next_exchange()
                if exchange is None:
                    return
                with self.backend.lock:
                    self.exchanges.append(exchange)
                    self.backend.exchanges.append(exchange)
                self.backend.answer(exchange)
                exchange.read_body()
        except (Gone, OSError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.backend.failures.append(error)
        finally:
            self.close()

    def _next_exchange(self):
        while b"\r\n\r\n" not in self._buffer:
            try:
                self._fill()
            except Gone:
                if self._buffer:
                    self.backend.garbage.append(self._buffer)
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        try:
            return Exchange(self, head)
        except ValueError:
            self.backend.garbage.append(head)
            return None

    def _fill(self):
        data = self.socket.recv(262144)
        if not data:
            raise Gone
        self.received_bytes += len(data)
        if len(self.received) < 1 << 20:
            self.received += data
        self._buffer += data

    def read_some(self, most):
        if not self._buffer:
            self._fill()
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return piece

    def read_line(self):
        while b"\r\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    def wait_closed(self, seconds=LONG):
        """Waits for the proxy to close the connection; whether it did. For use in `answer`."""
        self.socket.settimeout(seconds)
        try:
            while True:
                self._fill()
        except Gone:
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.ended.set()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.ended.set()


class Backend:
    """path: a Unix socket instead of a port of 127.0.0.1 (`host`)."""

    connection_class = Connection

    def __init__(self, path=None, host="127.0.0.1", port=None):
        self.lock = threading.Lock()
        self.path, self.host = path, host
        self.port = None if path else port or free_port()
        self.listener = None
        self.reset_script()
        self.connections = []
        self.listen()

    @property
    def address(self):
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"

    def reset_script(self):
        """Forgets what arrived and answers 200 again; connections stay."""
        self.answer = standard_answer
        self.exchanges, self.garbage, self.failures = [], [], []

    def listen(self):
        if self.path:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(self.path)
        else:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            self.listener = socket.socket(family, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((self.host, self.port))
        self.listener.listen(4096)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if not self.path:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = self.connection_class(self, sock, len(self.connections))
                self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def stop_listening(self):
        """Further connections are refused; those that stand stay."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close_connections(self):
        for connection in list(self.connections):
            connection.close()

    def open_connections(self):
        return [c for c in self.connections if not c.ended.is_set()]

    def wait_exchanges(self, count, seconds=LONG):
        """The exchanges so far, once there are `count`."""
        until(lambda: len(self.exchanges) >= count, f"{count} requests to reach the backend", seconds)
        return self.exchanges

    def only(self):
        """The one request that arrived, with its body."""
        exchanges = self.wait_exchanges(1)
        assert len(exchanges) == 1, f"{len(exchanges)} requests: {[e.raw_head for e in exchanges]}"
        assert exchanges[0].complete.wait(LONG), "its body did not arrive"
        return exchanges[0]

    def stop(self):
        self.stop_listening()
        self.close_connections()
