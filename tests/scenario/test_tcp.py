"""TCP mode: TLS ends at the proxy, and what is inside is relayed both ways."""
import contextlib
import hashlib
import select
import socket
import ssl
import threading

import pytest

from support.client import connect, context, plain_client, tls_client
from support.ports import free_port
from support.raw import RawServer, digest_of, noise, read_all, read_exactly, reset
from support.unlade import site
from support.waiting import LONG, until


def relay(port, to, certificate=None, listener=None, **options):
    return site(port, to, certificate, listener={"protocol": "tcp", **(listener or {})}, **options)


@pytest.fixture
def server():
    with RawServer() as raw:
        yield raw


def close_notify(tls):
    """Ends our direction under TLS in order; the other one stays open."""
    try:
        tls.unwrap()
    except (ssl.SSLError, OSError):
        pass


class Memory:
    """TLS of a client by hand, so that its two directions can end by themselves."""

    def __init__(self, port, ssl_context, name="a.test"):
        self.sock = connect(port)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._pump(self.tls.do_handshake)

    def _flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def _pump(self, step):
        while True:
            try:
                result = step()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    self.incoming.write_eof()
                else:
                    self.incoming.write(data)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self._pump(lambda v=view: self.tls.write(v)):]

    def recv(self, most):
        """b"" after close_notify."""
        try:
            return self._pump(lambda: self.tls.read(most))
        except ssl.SSLZeroReturnError:
            return b""

    def end(self):
        """close_notify and FIN, while the other direction goes on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def duplex(self, blocks):
        """Sends the blocks and an end while it takes what comes; (SHA-256, size) of that."""
        digest, count, ended, waiting = hashlib.sha256(), 0, False, b""
        self.sock.setblocking(False)
        blocks = iter(blocks)
        while True:
            if not waiting and not ended:
                block = next(blocks, None)
                if block is None:
                    ended = True
                    with contextlib.suppress(ssl.SSLWantReadError):
                        self.tls.unwrap()
                else:
                    self.tls.write(block)
                waiting = self.outgoing.read()
            readable, writable, _ = select.select([self.sock], [self.sock] if waiting else [], [], LONG)
            assert readable or writable, "stuck"
            if writable:
                waiting = waiting[self.sock.send(waiting):]
            if readable:
                self.incoming.write(self.sock.recv(1 << 18))
                try:
                    while data := self.tls.read(1 << 18):
                        digest.update(data)
                        count += len(data)
                except ssl.SSLZeroReturnError:
                    return digest.hexdigest(), count
                except ssl.SSLWantReadError:
                    pass

    def close(self):
        self.sock.close()


def test_bytes_go_both_ways_under_tls(start, port, certificate, pki, server):
    start(relay(port, server.port, certificate))
    with tls_client(port, pki) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"
        assert c.socket.selected_alpn_protocol() is None


def test_bytes_go_both_ways_in_the_clear(start, port, server):
    start(relay(port, server.port))
    with plain_client(port) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"


@pytest.mark.parametrize("tls", [True, False])
def test_the_server_may_speak_first(start, port, certificate, pki, tls):
    with RawServer(lambda c: (c.sendall(b"220 ready\r\n"), read_all(c))) as server:
        start(relay(port, server.port, certificate if tls else None))
        with tls_client(port, pki) if tls else plain_client(port) as c:
            assert c.read_line() == b"220 ready"
            if tls:
                close_notify(c.socket)


@pytest.mark.parametrize("tls", [True, False])
def test_the_clients_end_reaches_the_server_and_the_other_direction_goes_on(start, port, certificate, pki, tls):
    def answer_at_the_end(c):
        c.sendall(hashlib.sha256(read_all(c)).hexdigest().encode())

    with RawServer(answer_at_the_end) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        c.sendall(b"x" * 100000)
        c.end() if tls else c.shutdown(socket.SHUT_WR)
        assert read_all(c) == hashlib.sha256(b"x" * 100000).hexdigest().encode()
        c.close()
        record = proxy.access_records()[0]
        assert record["request_bytes"] == 100000 and record["response_bytes"] == 64 and "error" not in record


@pytest.mark.parametrize("tls", [True, False])
def test_the_servers_end_reaches_the_client_and_the_other_direction_goes_on(start, port, certificate, pki, tls):
    got = []

    def end_first(c):
        c.sendall(b"bye")
        c.shutdown(socket.SHUT_WR)
        got.append(read_all(c))

    with RawServer(end_first) as server:
        start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        assert read_all(c) == b"bye"
        c.sendall(b"y" * 50000)
        c.end() if tls else c.shutdown(socket.SHUT_WR)
        until(lambda: got, "the server to see the end")
        assert got == [b"y" * 50000]
        c.close()


@pytest.mark.parametrize("tls", [True, False])
def plain_duplex(c, blocks):
    sender = threading.Thread(target=lambda: ([c.sendall(b) for b in blocks], c.shutdown(socket.SHUT_WR)))
    sender.start()
    result = digest_of(c)
    sender.join()
    return result


@pytest.mark.parametrize("tls", [True, False])
def test_large_streams_pass_whole_in_both_directions_at_once(start, port, certificate, pki, tls):
    count, block = 100, noise(1 << 20)
    expected = (hashlib.sha256(block * count).hexdigest(), count << 20)
    seen = []

    with RawServer(lambda c: seen.append(plain_duplex(c, [block] * count))) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        assert (c.duplex([block] * count) if tls else plain_duplex(c, [block] * count)) == expected
        until(lambda: seen, "the server to see the end")
        assert seen == [expected]
        c.close()
        record = proxy.access_records()[0]
        assert record["request_bytes"] == record["response_bytes"] == count << 20
        assert "error" not in record
