"""Who keeps the proxy waiting for too long is let go, with a fitting word where one can still be said."""
import contextlib
import socket
import threading
import time

import pytest

from support.backend import response
from support.client import Closed, connect, get, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import LONG, until


def timed(start, backend, port, certificate, listener=None, upstream=None):
    to = backend if isinstance(backend, (str, int)) else backend.port
    return start(site(port, to, certificate, listener={"timeouts": listener or {}}, upstream={"timeouts": upstream or {}}))


class stopwatch:
    def __enter__(self):
        self.start = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.start


def test_a_handshake_that_does_not_come_to_its_end_is_closed(start, backend, port, certificate):
    proxy = timed(start, backend, port, certificate, {"handshake": "1s"})
    with connect(port) as s, stopwatch() as watch:
        s.sendall(b"\x16\x03\x01\x02")
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(100) == b""
    assert 0.9 < watch.seconds < 10
    proxy.wait_stderr("timeout_handshake|took too long")


def test_a_handshake_drip_fed_is_closed_all_the_same(start, backend, port, certificate):
    timed(start, backend, port, certificate, {"handshake": "1s"})
    with connect(port) as s:
        end = time.monotonic() + LONG
        try:
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500):
                s.sendall(bytes([byte]))
                time.sleep(0.1)
                assert time.monotonic() < end
            raise AssertionError("it was not closed")
        except (ConnectionResetError, BrokenPipeError):
            pass


def test_a_request_head_that_does_not_come_to_its_end_gets_408(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"request_head": "1s"})
    with tls_client(port, pki) as c, stopwatch() as watch:
        c.send(b"GET / HTTP/1.1\r\nHost: a.t")
        assert c.response().status == 408
        c.assert_closed()
    assert 0.9 < watch.seconds < 10


def test_a_request_head_drip_fed_gets_408(start, backend, port, certificate, pki):
    """The time runs from the head's first byte; each further one does not start it anew."""
    timed(start, backend, port, certificate, {"request_head": "1s"})
    with tls_client(port, pki) as c, stopwatch() as watch:
        try:
            for byte in get(fields=["X-Slow: " + "a" * 200]):
                c.send(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass
        try:
            assert c.response().status == 408
        except (ConnectionError, Closed):
            pass  # its last bytes came after the end and made the kernel reset
    assert watch.seconds < 30 and not backend.exchanges


def test_an_idle_connection_is_closed_without_a_word(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"idle": "1s"})
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
        with stopwatch() as watch:
            c.assert_closed()
    assert 0.9 < watch.seconds < 10


def test_a_connection_that_never_asks_is_closed(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"idle": "1s"})
    with tls_client(port, pki) as c:
        c.assert_closed()


def test_time_in_a_request_is_not_idle_time(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"idle": "1s"})
    backend.answer = lambda e: (time.sleep(2), e.send(response()))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200


def test_a_body_that_comes_too_slowly_gets_408(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"body_rate": "1000/s", "window": "1s"})
    with tls_client(port, pki) as c:
        c.send(get(method="POST", fields=["Content-Length: 1000000"]))
        try:
            for _ in range(300):
                c.send(b"x")
                time.sleep(0.05)
            raise AssertionError("it went on")
        except OSError:
            pass
    exchange = backend.wait_exchanges(1)[0]
    assert exchange.connection.ended.wait(LONG) and not exchange.complete.is_set()


def test_a_body_that_stops_gets_408(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"body_rate": "100/s", "window": "1s"})
    with tls_client(port, pki) as c:
        c.send(get(method="POST", fields=["Content-Length: 1000000"]) + b"x" * 10)
        assert c.response("POST").status == 408
        c.assert_closed()


def test_a_body_that_is_fast_enough_may_take_long(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"body_rate": "100/s", "window": "1s", "idle": "1s", "request_head": "1s"})
    with tls_client(port, pki) as c:
        c.send(get(method="POST", fields=["Content-Length: 15000"]))
        for _ in range(30):
            c.send(b"x" * 500)
            time.sleep(0.1)
        assert c.response("POST").status == 200


def test_a_slow_server_is_not_the_clients_fault(start, backend, port, certificate, pki):
    """While the server does not take the body, the client is not timed."""
    timed(start, backend, port, certificate, {"body_rate": "10000/s", "window": "1s"})
    backend.answer = lambda e: (time.sleep(4), e.read_body(), e.send(response()))
    with tls_client(port, pki) as c:
        assert c.request(get(method="POST", body=b"x" * (16 << 20))).status == 200


def test_a_client_that_takes_its_answer_too_slowly_is_let_go(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, {"body_rate": "1000/s", "window": "1s"})
    died = threading.Event()

    def answer(e):
        try:
            e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                e.send(b"x" * 65536)
        except OSError:
            died.set()
    backend.answer = answer
    with tls_client(port, pki, receive_buffer=4096) as c:
        c.send(get())
        assert died.wait(LONG)


def test_a_server_that_does_not_answer_gets_the_client_a_504(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, upstream={"response_head": "1s"})
    closed = threading.Event()
    backend.answer = lambda e: (e.read_body(), e.connection.wait_closed() and closed.set())
    with tls_client(port, pki) as c, stopwatch() as watch:
        assert c.request(get(method="POST", body=b"x")).status == 504
        assert closed.wait(LONG), "the server's connection was kept"
    assert 0.9 < watch.seconds < 10


def test_a_server_that_drips_its_head_gets_the_client_a_504(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, upstream={"response_head": "1s"})

    def answer(e):
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000:
            e.send(bytes([byte]))
            time.sleep(0.05)
    backend.answer = answer
    with tls_client(port, pki) as c:
        assert c.request(get(method="POST", body=b"x")).status == 504


def test_a_server_that_stops_in_its_answer_ends_the_client_connection(start, backend, port, certificate, pki):
    timed(start, backend, port, certificate, upstream={"response_gap": "1s"})
    closed = threading.Event()
    backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxx"),
                                e.connection.wait_closed() and closed.set())
    with tls_client(port, pki) as c, pytest.raises((Closed, ConnectionError)):
        c.request(get())
    assert closed.wait(LONG)


def test_a_server_that_cannot_be_connected_to_in_time_gets_the_client_a_504(start, port, certificate, pki):
    """A listening socket whose queue is full: the kernel answers no further SYN."""
    full = socket.socket()
    full.bind(("127.0.0.1", free_port()))
    full.listen(0)
    waiting = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        waiting.append(s)
    timed(start, full.getsockname()[1], port, certificate, upstream={"connect": "1s"})
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 504
    for s in [full, *waiting]:
        s.close()


def test_pooled_connections_are_closed_after_their_time(start, backend, port, certificate, pki):
    start(site(port, backend.port, certificate, upstream={"pool": {"idle_time": "1s"}}))
    with tls_client(port, pki) as c:
        c.request(get())
        until(lambda: not backend.open_connections(), "the pool to let go of its connection")
        assert c.request(get()).status == 200
