"""Backends and clients of no protocol: bytes, ends and resets as a test wants them.

    server = RawServer(lambda c: c.sendall(c.recv(100)))     # called for each connection, in a thread of its own"""
import hashlib
import random
import socket
import ssl
import struct
import threading

from support.ports import free_port
from support.waiting import LONG, until


def echo(c):
    """Gives back what comes, and ends when the other side did."""
    while data := c.recv(65536):
        c.sendall(data)


class RawServer:
    """handler(socket) has the connection to itself; what it leaves open is closed in order. tls: an ssl.SSLContext."""

    def __init__(self, handler=echo, *, tls=None, path=None):
        self.handler, self.tls = handler, tls
        self.connections = []   # all that were accepted
        self.failures = []      # what handlers threw
        self._stopping = False
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
        self.port = None if path else free_port()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(path or ("127.0.0.1", self.port))
        self._listener.listen(2048)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(LONG)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.handler(connection)
        except (ConnectionError, ssl.SSLError):
            pass
        except Exception as error:  # judged by the test
            if not self._stopping:
                self.failures.append(error)

    def wait_connections(self, count):
        until(lambda: len(self.connections) >= count, f"{count} connections to the backend")

    def stop(self):
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for c in self.connections:
            c.close()
        assert not self.failures, self.failures

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except AssertionError:
            if kind is None:
                raise


def reset(sock):
    """Ends the connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(sock) if isinstance(sock, ssl.SSLSocket) else sock.close()


def noise(size, seed=1):
    """So many bytes that do not repeat soon, the same for a seed."""
    return random.Random(seed).randbytes(size)


def digest_of(sock):
    """The SHA-256 of all that comes until the end, and how many bytes that were."""
    digest, count = hashlib.sha256(), 0
    while data := sock.recv(262144):
        digest.update(data)
        count += len(data)
    return digest.hexdigest(), count


def read_all(sock):
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def read_exactly(sock, size):
    parts = []
    while size:
        data = sock.recv(size)
        assert data, f"ended with {size} bytes missing"
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
