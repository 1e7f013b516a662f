"""Edge-triggered events tell once: nothing that waits is forgotten, and nothing that was asked for happens twice.

The worker is stopped for a moment where several events are to reach it at once."""
import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from support.backend import response
from support.client import Client, connect, get, plain_client, tls_client
from support.unlade import site
from support.waiting import LONG, SHORT, until


@pytest.fixture
def plain(start, port, backend):
    proxy = start(site(port, backend.port))
    proxy.port = port
    (proxy.worker,) = proxy.workers()
    return proxy


@contextlib.contextmanager
def stopped(pid):
    """Stops a process while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
        time.sleep(SHORT)  # what was sent has arrived
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_body_of_a_pipelined_request_is_never_taken_for_a_request(plain, backend):
    """The first answer and the next request arrive in one turn of the loop, the answer first."""
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
    go = threading.Event()

    def answer(e):
        if e.target == "/first":
            go.wait(LONG)
        e.read_body()
        e.send(response(e.target.encode(), fields=["Connection: close"]))  # so that the next one has to connect first
        e.close()

    backend.answer = answer
    with plain_client(plain.port) as c:
        c.send(get("/first"))
        backend.wait_exchanges(1)
        c.send("P")
        time.sleep(SHORT)
        with stopped(plain.worker):
            go.set()
            until(lambda: backend.exchanges[0].complete.is_set(), "the answer")
            time.sleep(SHORT)
            c.send(get("/second", method="POST", fields=["Content-Length: %d" % (len(hidden) + 4)])[1:] + hidden)
        assert c.response().body == b"/first"
        time.sleep(SHORT)
        c.send(b"last")
        assert c.response().body == b"/second"
        assert [e.target for e in backend.exchanges] == ["/first", "/second"]
        assert backend.exchanges[1].body == hidden + b"last"


@pytest.mark.parametrize("piece", [1, 100, 4000, 5000])
def test_a_request_of_many_small_chunks_does_not_stall(plain, backend, piece):
    """All of it is there at once, so no event of the client comes to help."""
    count = 1_500_000 // (piece + 6)
    body = (b"%x\r\n" % piece + b"x" * piece + b"\r\n") * count + b"0\r\n\r\n"
    with plain_client(plain.port) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        with stopped(plain.worker):
            threading.Thread(target=c.send, args=(get(method="POST", fields=["Transfer-Encoding: chunked"]) + body,), daemon=True).start()
        began = time.monotonic()
        assert c.response().status == 200
        assert len(backend.only().body) == piece * count
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("piece", [1, 100, 4000, 5000])
def test_a_response_of_many_small_chunks_does_not_stall(plain, backend, piece):
    count = 1_500_000 // (piece + 6)
    body = (b"%x\r\n" % piece + b"x" * piece + b"\r\n") * count + b"0\r\n\r\n"
    backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with plain_client(plain.port) as c:
        c.send(get())
        with stopped(plain.worker):
            pass
        assert c.response().body == b"x" * (piece * count)


def test_an_answer_whose_head_found_no_room_leaves_when_there_is_some(plain, backend):
    """Pipelined: the client does not read until the answers fill everything; then it reads all of them."""
    filler = bytes(20000)
    backend.answer = lambda e: e.send(response(filler))
    count = 600
    with plain_client(plain.port) as c:
        threading.Thread(target=c.send, args=(get() * count,), daemon=True).start()
        before = -1
        while before != len(backend.exchanges):  # until nothing moves any more
            before = len(backend.exchanges)
            time.sleep(2 * SHORT)
        for _ in range(count):
            assert c.response().body == filler


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("extra", [0, 1, 200])
def test_a_request_behind_a_body_that_filled_the_buffers_is_seen(start, port, backend, certificate, pki, version, extra):
    """Under TLS the next request may be decrypted already, or wait in the record layer, while the socket is quiet."""
    proxy = start(site(port, backend.port, certificate))
    (worker,) = proxy.workers()
    with tls_client(port, pki, least=version, most=version) as c:
        c.request(get())
        for size in [*range(66800, 67100, 7), 16384 * 4, 16384 * 8, 16384 * 4 + 256 * 4 + 512, 16384 * 16, 16384 * 17, 16384 * 20, 16640 * 17 + 512, 16640 * 21 + 1024]:
            with stopped(worker) if size % 5 == 0 else contextlib.nullcontext():
                c.send(get("/body", method="POST", body=bytes(size + extra)) + get("/next"))
            assert c.response().status == 200
            assert c.response().status == 200


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_slow_reader_gets_the_whole_of_a_last_response(start, port, backend, certificate, secure):
    """What still lies in the proxy when the response is complete may take longer than the peer's farewell."""
    body = os.urandom(1 << 20) * 8
    proxy = start(site(port, backend.port, certificate if secure else None))
    backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\n\r\n" + body) or e.close()
    with (tls_client(port, name=None, receive_buffer=65536) if secure else Client(connect(port, receive_buffer=65536))) as c:
        c.send(get(version="HTTP/1.0"))
        whole = b""
        while not proxy.access_lines():  # until the proxy has all of it
            whole += c.socket.recv(16384)
        time.sleep(4)
        assert (whole + c.read_to_close()).split(b"\r\n\r\n", 1)[1] == body


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_client_that_ends_its_direction_behind_the_request_gets_all_answers(start, port, backend, certificate, secure):
    """With FIN alone, also under TLS; the answer is larger than what the sockets take."""
    body = os.urandom(1 << 20) * 4
    start(site(port, backend.port, certificate if secure else None))
    backend.answer = lambda e: (e.read_body(), e.send(response(body)))
    with (tls_client(port, name=None, receive_buffer=65536) if secure else Client(connect(port, receive_buffer=65536))) as c:
        c.send(get() + get(method="POST", body=b"x"))
        c.half_close()
        assert c.response().body == body
        time.sleep(2)
        assert c.response().body == body
        c.assert_closed()
