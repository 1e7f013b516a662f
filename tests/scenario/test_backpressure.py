"""Memory stays constant whatever the size of a body and however slow its reader; who is slow holds up only himself."""
import contextlib
import hashlib
import os
import threading
import time

import pytest

from support import processes
from support.backend import response
from support.client import Closed, connect, context, get, plain_client, tls_client
from support.unlade import release_binary, site
from support.waiting import LONG, until

MB = 1 << 20


@pytest.fixture(params=["tls", "plain"])
def released(request, start, port, backend, certificate):
    """Without sanitizers: they keep freed memory in quarantine. With and without TLS."""
    secure = request.param == "tls"
    proxy = start(site(port, backend.port, certificate if secure else None, log={"access": "off"}), program=release_binary())
    proxy.client = (lambda **o: tls_client(port, name=None, **o)) if secure else (lambda **o: plain_client(port))
    (proxy.worker,) = proxy.workers()
    with proxy.client() as c:   # what the first request allocates once is not what is measured
        assert c.request(get()).status == 200
    return proxy


class Watch:
    """Keeps an eye on the resident size of a process, in a thread of its own."""

    def __init__(self, pid):
        self.pid, self.first = pid, processes.own_bytes(pid)
        self.highest = self.first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            self.highest = max(self.highest, processes.own_bytes(self.pid))

    def growth(self):
        self._stop.set()
        self._thread.join()
        return self.highest - self.first


@pytest.mark.memory
def test_a_slow_reader_of_a_gigabyte_costs_no_more_than_a_megabyte(released, backend):
    """The server could send a gigabyte at once; the client takes some, pauses, and then all of it."""
    size, block = 1 << 30, bytes(MB)
    sent = 0

    def answer(e):
        nonlocal sent
        e.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            e.send(block)
            sent += len(block)
    backend.answer = answer
    with released.client() as c:
        watch = Watch(released.worker)
        c.send(get())
        c.response_head()
        got, buffer = len(c._buffer), bytearray(256 * 1024)
        pause_at = [4 * MB, 64 * MB, 512 * MB]
        while got < size:
            if pause_at and got > pause_at[0]:
                pause_at.pop(0)
                settle(lambda: sent)
                assert sent - got < kernel_holds() + MB, "the server was not held up"
            n = c.socket.recv_into(buffer)
            assert n, f"closed after {got}"
            got += n
    assert watch.growth() <= MB, f"resident memory grew by {watch.growth() // 1024} KB"


def kernel_holds():
    """Bytes that the sockets of a server, the proxy and a client may hold between them at most."""
    most = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        with open(f"/proc/sys/net/ipv4/{name}", encoding="ascii") as f:
            most += int(f.read().split()[2])
    return 2 * most


def settle(value, seconds=0.5):
    """Waits until a number has not changed for half a second."""
    last, since, end = value(), time.monotonic(), time.monotonic() + LONG
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, "it never settles"
        time.sleep(0.02)
        if value() != last:
            last, since = value(), time.monotonic()


@pytest.mark.memory
def test_an_upload_to_a_slow_server_costs_no_more_than_a_megabyte(released, backend):
    size = 256 * MB
    go = threading.Event()
    taken = 0

    def count(data):
        nonlocal taken
        taken += len(data)
    backend.answer = lambda e: (go.wait(LONG), e.read_body(count), e.send(response()))
    with released.client() as c:
        watch = Watch(released.worker)
        c.send(get(method="POST", fields=[f"Content-Length: {size}"]))
        c.socket.settimeout(1)
        sent, block = 0, bytes(65536)
        try:
            while sent < size:
                c.socket.sendall(block)
                sent += len(block)
            raise AssertionError("the client was not held up")
        except TimeoutError:
            pass
        assert sent < kernel_holds() + MB
        assert watch.growth() <= MB
        # An SSL object is of no use after a write that timed out half-way: the rest is another connection's.
    go.set()


@pytest.mark.memory
def test_uploads_of_a_quarter_gigabyte_arrive_in_constant_memory(released, backend):
    size, sums = 256 * MB, []
    block = os.urandom(MB)

    def answer(e):
        h = hashlib.sha256()
        e.read_body(h.update)
        sums.append(h.digest())
        e.send(response())
    backend.answer = answer
    expected = hashlib.sha256()
    with released.client() as c:
        watch = Watch(released.worker)
        c.send(get(method="POST", fields=[f"Content-Length: {size}"]))
        for _ in range(size // MB):
            c.send(block)
            expected.update(block)
        assert c.response("POST").status == 200
    assert sums == [expected.digest()]
    assert watch.growth() <= MB


@pytest.mark.records
def test_slow_readers_hold_up_nobody_else(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate))

    def answer(e):
        if e.target == "/big":
            e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            try:
                while True:
                    e.send(bytes(MB))
            except OSError:
                return
        e.send(response())
    backend.answer = answer
    slow = [tls_client(port, pki, receive_buffer=4096) for _ in range(10)]
    for c in slow:
        c.send(get("/big"))
    backend.wait_exchanges(10)
    with tls_client(port, pki) as c:
        for _ in range(20):
            assert c.request(get("/small")).status == 200
    for c in slow:
        c.reset()
    until(lambda: not any(e.target == "/big" and not e.connection.ended.is_set() for e in backend.exchanges),
          "the servers to be told that their readers are gone")


@pytest.mark.records
def test_a_reader_that_takes_byte_by_byte_gets_everything(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate))
    body = os.urandom(300000)
    backend.answer = lambda e: e.send(response(body))
    with tls_client(port, pki, receive_buffer=2048) as c:
        c.send(get())
        r = c.response_head()
        got = [c._buffer]
        for size in (1,) * 1000 + (3, 7, 11) * 100:
            got.append(c.socket.recv(size))
        have = sum(map(len, got))
        while have < int(r.field("content-length")):
            got.append(c.socket.recv(65536))
            have += len(got[-1])
    assert b"".join(got) == body


@pytest.mark.records
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_that_sends_byte_by_byte_is_served(start, port, backend, certificate, pki, version):
    start(site(port, backend.port, certificate))
    body = b"5\r\nhello\r\n0\r\n\r\n"
    with tls_client(port, pki, least=version, most=version) as c:
        c.send_slowly(get(method="POST", fields=["Transfer-Encoding: chunked"]) + body)
        assert c.response("POST").status == 200
        c.send_slowly(get("/second"))
        assert c.response().status == 200
    assert [e.body for e in backend.exchanges] == [b"hello", b""]


@pytest.mark.records
def test_endless_pipelining_is_read_no_faster_than_it_is_answered(start, port, backend, certificate, pki):
    """A client that sends requests and takes no answers is held up, in bounded memory."""
    proxy = start(site(port, backend.port, certificate))
    backend.answer = lambda e: e.send(response(bytes(1000)))
    with tls_client(port, pki, receive_buffer=4096) as c:
        c.socket.settimeout(1)
        sent, block = 0, get() * 100
        with pytest.raises(TimeoutError):
            while sent < 256 * MB:
                c.socket.sendall(block)
                sent += len(block)
        assert sent < kernel_holds() + MB
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    assert proxy.process.poll() is None


def test_a_hundred_servers_that_die_in_their_answers_leave_nothing_behind(start, port, backend, certificate, pki):
    proxy = start(site(port, backend.port, certificate))
    (worker,) = proxy.workers()
    with tls_client(port, pki) as c:
        c.request(get())
    until(lambda: processes.open_files(worker), "the worker")
    before = processes.open_files(worker)
    backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 500), e.reset())
    c_context = context(pki)
    for i in range(100):
        with tls_client(port, ssl_context=c_context) as c:
            c.send(get())
            if i % 2:
                with contextlib.suppress(Closed):   # the reset may overtake what was sent before it
                    c.response_head()
    backend.answer = lambda e: e.send(response())
    until(lambda: processes.open_files(worker) <= before, f"{processes.open_files(worker)} descriptors to be {before} again")
    connect(port).close()
