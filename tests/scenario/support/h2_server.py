"""A server that speaks HTTP/2 in clear text with prior knowledge (or over TLS), and misbehaves as told.

    server = H2Server()
    server.on_end = lambda c, stream: c.respond(stream, body=b"...")   # of a request that is whole
    server.on_head = ...                                               # of a request's head
    server.on_connect = ...                                            # of a connection, behind our SETTINGS

Handlers run in the connection's thread; c.h2 is python-h2's machine, whose checks of what goes out are off; c.frame() sends
any frame, legal or not. What went wrong in a handler is in server.failures."""
import socket
import ssl
import threading
import traceback

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from support.ports import free_port
from support.waiting import LONG, until


class Stream:
    def __init__(self, number, headers):
        self.id, self.headers, self.trailers = number, [(bytes(k), bytes(v)) for k, v in headers], None
        self.body, self.ended, self.reset = b"", threading.Event(), None

    def value(self, name):
        """The only value of that field."""
        found = [v for k, v in self.headers if k == name]
        assert len(found) == 1, (name, self.headers)
        return found[0].decode()

    def names(self):
        return [k.decode() for k, _ in self.headers]


class Connection:
    def __init__(self, server, sock, number):
        self.server, self.sock, self.number = server, sock, number
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=False))
        self.streams, self.ended, self.goaway, self.pings = {}, threading.Event(), None, 0
        self.unread = {}            # by stream: bytes of content whose window was not given back
        self.lock = threading.RLock()

    # ---- what handlers say ----

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def head(self, stream, status=200, headers=(), end=False):
        with self.lock:
            self.h2.send_headers(stream.id, [(":status", str(status)), *headers], end_stream=end)
            self.flush()

    def data(self, stream, data, end=False):
        """All of it, as the peer's windows allow; only from a handler."""
        view = memoryview(data)
        while view or end:
            room = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size, len(view))
            if room == 0 and view:
                if stream.reset is not None or not self.receive():
                    return
                continue
            piece, view = view[:room], view[room:]
            last = end and not view
            self.h2.send_data(stream.id, bytes(piece), end_stream=last)
            self.flush()
            if last:
                return

    def trailers(self, stream, headers):
        self.h2.send_headers(stream.id, headers, end_stream=True)
        self.flush()

    def respond(self, stream, status=200, headers=(), body=b"hello"):
        self.head(stream, status, headers, end=not body)
        if body:
            self.data(stream, body, end=True)

    def reset(self, stream, code):
        self.h2.reset_stream(stream.id, code)
        self.flush()

    def go_away(self, last, code=0, keep=True):
        """GOAWAY; python-h2 takes the connection for over then, so that it is written by hand."""
        self.frame(7, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big"))
        if not keep:
            self.close()

    def frame(self, kind, flags, number, payload=b""):
        with self.lock:
            self.flush()
            self.sock.sendall(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # ---- life ----

    def serve(self):
        try:
            if self.server.tls:
                self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
                self.server.protocols.append(self.sock.selected_alpn_protocol())
                if self.sock.selected_alpn_protocol() != "h2":
                    self.server.on_h1(self)
                    return
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values=self.server.settings)
            self.h2.initiate_connection()
            self.flush()
            self.server.on_connect(self)
            while self.receive():
                pass
        except (OSError, ssl.SSLError):
            pass
        except Exception:
            self.server.failures.append(traceback.format_exc())
        finally:
            self.ended.set()
            self.close()
            self.sock.close()

    def receive(self):
        data = self.sock.recv(65536)
        if not data:
            return False
        with self.lock:
            events = self.h2.receive_data(data)
            self.flush()
        for event in events:
            self.take(event)
        return True

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Stream(event.stream_id, event.headers)
            self.server.requests.append((self, stream))
            self.server.on_head(self, stream)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.server.takes and event.flow_controlled_length and stream.reset is None:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.flush()
            self.server.on_data(self, stream)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = [(bytes(k), bytes(v)) for k, v in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended.set()
            self.server.on_end(self, stream)
        elif isinstance(event, h2.events.StreamReset):
            if stream:
                stream.reset = int(event.error_code)
                self.server.on_reset(self, stream)
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)


class H2Server:
    def __init__(self, port=None, tls=None, settings=None):
        """tls: an ssl.SSLContext of a server, its ALPN set."""
        self.port, self.tls = port or free_port(), tls
        self.settings = dict(settings or {})
        self.connections, self.requests, self.failures, self.protocols = [], [], [], []
        self.takes = True   # gives windows back for what arrives
        self.reset_script()
        self.listener = None
        self.listen()

    def reset_script(self):
        nothing = lambda *_: None
        self.on_connect = self.on_head = self.on_data = self.on_reset = self.on_h1 = nothing
        self.on_end = lambda c, stream: c.respond(stream)

    def listen(self):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(1024)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def wait_requests(self, count, seconds=LONG):
        until(lambda: len(self.requests) >= count, f"{count} requests to reach the server", seconds)
        return [stream for _, stream in self.requests]

    def only(self):
        """The one request that came, whole."""
        streams = self.wait_requests(1)
        assert len(streams) == 1, [s.headers for s in streams]
        assert streams[0].ended.wait(LONG), "its end did not arrive"
        return streams[0]

    def stop_listening(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def stop(self):
        self.stop_listening()
        for connection in self.connections:
            connection.close()
