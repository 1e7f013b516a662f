"""Long content goes from a plain server's socket to the client's within the kernel: to a plain client, and to one of TLS whose
records the kernel seals. Whatever the way, it arrives whole or is seen to be cut short."""
import contextlib
import hashlib
import os
import socket
import ssl
import threading

import pytest

from support.backend import response, standard_answer
from support.calls import Calls
from support.client import Closed, get, plain_client, tls_client
from support.raw import RawServer
from support.unlade import site
from support.waiting import LONG, until

MB = 1 << 20
BODY = hashlib.shake_128(b"content").digest(20 * MB)
KERNEL = os.environ.get("UNLADE_TEST_RECORDS") == "kernel"
records = pytest.mark.records


class Web:
    def __init__(self, start, port, backend, certificate, kind):
        secure = kind == "tls"
        self.proxy = start(site(port, backend.port, certificate if secure else None))
        (self.worker,) = self.proxy.workers()
        self.client = (lambda: tls_client(port, name=None)) if secure else (lambda: plain_client(port))


@pytest.fixture(params=["plain", "tls"])
def web(request, start, port, backend, certificate):
    backend.answer = lambda e: e.send(response(BODY if e.target == "/long" else b"short"))
    return Web(start, port, backend, certificate, request.param)


@contextlib.contextmanager
def small_window(web):
    """A client that takes little until it reads."""
    with web.client() as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        yield c


@records
def test_long_content_arrives_whole_and_both_connections_go_on(web, backend):
    with web.client() as c:
        for _ in range(3):
            assert c.request(get("/long")).body == BODY
            assert c.request(get("/")).body == b"short"
    assert len({e.connection.number for e in backend.exchanges}) == 1
    lengths = [r["response_bytes"] for r in web.proxy.access_records(6)]
    assert lengths == [len(BODY), 5] * 3


@records
def test_requests_that_came_meanwhile_are_answered_behind_it(web):
    with web.client() as c:
        c.send(get("/long") + get("/") + get("/long") + get("/"))
        assert [c.response().body for _ in range(4)] == [BODY, b"short"] * 2


@records
def test_a_head_alone_is_not_followed_by_content(web, backend):
    def answer(e):
        if e.target == "/none":
            e.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif e.method == "HEAD":
            e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n")
        else:
            e.send(response(b"next"))
    backend.answer = answer
    with web.client() as c:
        assert c.request(get(method="HEAD")).body == b""
        assert c.request(get()).body == b"next"
        assert c.request(get("/none")).status == 204
        assert c.request(get()).body == b"next"


@records
def test_a_reader_that_stalls_holds_up_the_server_and_then_gets_all(web, backend):
    taken = 0

    def answer(e):
        nonlocal taken
        e.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * len(BODY)))
        for at in range(0, 4 * len(BODY), MB):
            at %= len(BODY)
            e.send(BODY[at:at + MB])
            taken += MB
    backend.answer = answer
    with small_window(web) as c:
        c.send(get())
        c.response_head()
        before = -1
        while before != taken:  # until nothing moves any more
            before = taken
            threading.Event().wait(0.3)
        assert taken < 4 * len(BODY)
        assert c.read_exactly(4 * len(BODY)) == BODY * 4
        backend.answer = standard_answer
        assert c.request(get()).body == b"ok"


@records
def test_a_client_that_goes_away_in_the_middle_costs_only_itself(web, backend):
    for _ in range(4):
        with small_window(web) as c:
            c.send(get("/long"))
            c.read_exactly(MB)
            c.reset()
    with web.client() as c:
        assert c.request(get("/long")).body == BODY
    until(lambda: len(backend.open_connections()) <= 1, "the servers' connections are closed")
    assert web.proxy.access_records(5)[-1]["response_bytes"] == len(BODY)


@records
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("slow", [False, True])
def test_content_whose_server_dies_never_looks_whole(web, backend, how, slow):
    def answer(e):
        e.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:3 * MB])
        if how == "close":
            e.close()
        else:
            e.reset()
    backend.answer = answer
    with small_window(web) if slow else web.client() as c:
        with pytest.raises((Closed, OSError)):
            c.request(get())
    backend.answer = standard_answer
    with web.client() as c:
        assert c.request(get()).body == b"ok"
    assert web.proxy.access_records(2)[0]["error"]


@records
def test_it_is_not_read_into_our_memory(web):
    """Of a client whose records are not the kernel's, it is."""
    with web.client() as c:
        assert c.request(get("/")).body == b"short"
        with Calls(web.worker) as calls:
            assert c.request(get("/long")).body == BODY
    if isinstance(c.socket, ssl.SSLSocket) and not KERNEL:
        assert not calls.results("splice")
        return
    assert sum(n for n in calls.results("recvfrom", "recvmsg") if n > 0) < MB
    assert sum(n for n in calls.results("splice") if n > 0) >= 2 * (len(BODY) - MB)
    assert len(calls.results("pipe2")) == 1, "one pipe is used again"


def test_a_short_answer_needs_no_pipe(web):
    with web.client() as c, Calls(web.worker) as calls:
        for _ in range(3):
            assert c.request(get("/")).body == b"short"
    assert not calls.results("splice", "pipe2")


@records
@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_relay_passes_all_of_a_long_answer_and_goes_on(start, port, certificate, kind):
    def serve(peer):
        while what := peer.recv(1):
            peer.sendall(BODY if what == b"!" else what)
    with RawServer(serve) as server:
        proxy = start(site(port, server.port, certificate if kind == "tls" else None, listener={"protocol": "tcp"}))
        with (tls_client(port, name=None) if kind == "tls" else plain_client(port)) as c:
            for _ in range(2):
                c.send(b"!")
                assert c.read_exactly(len(BODY)) == BODY
                c.send(b"?")
                assert c.read_exactly(1) == b"?"
        assert proxy.access_records()[0]["response_bytes"] == 2 * len(BODY) + 2


def test_a_relay_of_bulk_between_plain_sockets_does_not_read_it_either_way(start, port):
    with RawServer() as server:
        proxy = start(site(port, server.port, listener={"protocol": "tcp"}))
        (worker,) = proxy.workers()
        with plain_client(port) as c, Calls(worker) as calls:
            up = threading.Thread(target=c.send, args=(BODY,))
            up.start()
            assert c.read_exactly(len(BODY)) == BODY
            up.join(LONG)
    assert sum(n for n in calls.results("recvfrom") if n > 0) < 2 * MB
