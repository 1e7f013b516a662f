"""What requests and streams cost in system calls, counted by strace at a worker that runs as operators have it.

The access log is written by a thread of its own, which is woken at most twenty times a second: its calls are not counted."""
import threading

import pytest

from support.calls import Calls
from support.client import HelloClient, context, get, plain_client, tls_client
from support.h2 import h2_client
from support.unlade import release_binary, site

COUNT = 1000
BY_TIME = COUNT // 100 # what timers bring, on a machine so slow that they run out meanwhile: waits, and memory that is given back and taken anew
MB = 1 << 20
WRITES = ("sendto", "sendmsg") # of one piece; of what was collected and what stands elsewhere


def started(start, port, to, certificate):
    proxy = start(site(port, to, certificate), program=release_binary())
    (proxy.worker,) = proxy.workers()
    return proxy


def fetch(kind, port, pki):
    """A client of that kind, and what it does to GET 1 KB."""
    if kind == "h2":
        c = h2_client(port, pki, window=False) # its windows are wide from the beginning: it says nothing of them later
        c.window_update(0, 1 << 30)
        return c, lambda: c.fetch("/1k").body
    c = tls_client(port, pki) if kind == "tls" else plain_client(port)
    return c, lambda: c.request(get("/1k")).body


@pytest.mark.parametrize("kind", ["tls", "plain", "h2"])
def test_a_request_on_a_kept_connection_costs_two_reads_and_two_writes_and_nothing_else(start, port, nginx, certificate, pki, kind):
    """One request after the other on one connection: two events, so that twice is waited for one. Nothing is read in
    vain, no option set, no time asked for, no registration changed."""
    worker = started(start, port, nginx.port, None if kind == "plain" else certificate).worker
    c, get_it = fetch(kind, port, pki)
    with c:
        for _ in range(5):
            get_it()
        with Calls(worker) as calls:
            for _ in range(COUNT):
                assert len(get_it()) == 1024
    of_loop = calls.of_loop()
    assert of_loop.pop("getpid", 0) <= COUNT // 100 # the library's, when it makes random numbers ahead for many requests
    assert 2 * COUNT - 1 <= of_loop.pop("sendto") <= 2 * COUNT # the last may be under way yet
    assert 2 * COUNT - 1 <= of_loop.pop("recvfrom") <= 2 * COUNT
    assert of_loop.pop("epoll_wait") <= 2 * COUNT + BY_TIME
    assert of_loop.pop("mprotect", 0) <= BY_TIME
    assert not of_loop


@pytest.mark.parametrize("kind", ["tls", "plain", "h2"])
def test_with_many_connections_a_request_costs_less_than_one_wait_for_events(start, port, nginx, certificate, pki, kind):
    """Thirty-two that ask at once: what becomes ready meanwhile is told together."""
    together, rounds = 32, 20
    worker = started(start, port, nginx.port, None if kind == "plain" else certificate).worker
    clients = [fetch(kind, port, pki) for _ in range(together)]
    barrier = threading.Barrier(together)
    failures = []

    def run(get_it, times):
        try:
            for _ in range(times):
                barrier.wait()
                assert len(get_it()) == 1024
        except Exception as error: # pylint: disable=broad-except
            failures.append(error)
            barrier.abort()

    def all_of_them(times):
        threads = [threading.Thread(target=run, args=(get_it, times)) for _, get_it in clients]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures

    all_of_them(2)
    with Calls(worker) as calls:
        all_of_them(rounds)
    for c, _ in clients:
        c.close()
    of_loop, requests = calls.of_loop(), together * rounds
    assert of_loop["epoll_wait"] <= requests, of_loop
    assert of_loop["recvfrom"] <= 2 * requests + together, of_loop
    assert of_loop["sendto"] <= 2 * requests + together, of_loop
    assert of_loop["sendmsg"] == 0, of_loop


def test_a_connection_costs_an_accept_and_a_registration_beside_its_bytes(start, port, nginx, certificate, pki):
    """No option is set on what was accepted: listeners hand theirs down. Registered once, closed without being unregistered.
    Nobody asks for a further one behind each."""
    worker = started(start, port, nginx.port, certificate).worker
    for _ in range(3):
        with tls_client(port, pki) as c:
            c.request(get("/1k"))
    with Calls(worker) as calls:
        for _ in range(20):
            with tls_client(port, pki) as c:
                c.request(get("/1k"))
    of_loop = calls.of_loop()
    assert of_loop["epoll_ctl"] == 20, of_loop
    assert sum(r >= 0 for r in calls.results("accept4")) == 20
    assert of_loop["accept4"] <= 22, of_loop
    assert of_loop["setsockopt"] == of_loop["getsockopt"] == of_loop["getsockname"] == of_loop["getpeername"] == 0, of_loop



def test_tickets_and_the_end_cost_no_write_of_their_own(start, port, nginx, certificate, pki):
    """A visit of one request writes to the client twice: the flight of the handshake, and ticket, answer and end."""
    worker = started(start, port, nginx.port, certificate).worker
    visits, c = 20, context(pki, least="1.3")

    def visit():
        with HelloClient(port, c).handshake_with(get("/1k", fields=["Connection: close"])) as client:
            assert client.response().status == 200 and client.tls.session.has_ticket
            client.assert_closed()

    visit()
    with Calls(worker) as calls:
        for _ in range(visits):
            visit()
    assert calls.of_loop()["sendto"] == 3 * visits, calls.text() # one of them to the server


# ---- streams ----

SIZE = 20 * MB


def per_megabyte(calls, *names):
    return sum(1 for r in calls.results(*names) if r >= 0) / (SIZE / MB)


def test_a_download_is_read_and_written_in_quarters_of_a_megabyte(start, port, nginx, certificate, pki):
    """As far as the server is ahead: most of what is read fills its buffer. More than 64 KB a write, even where the client is slow."""
    worker = started(start, port, nginx.port, certificate).worker
    with tls_client(port, pki) as c:
        with Calls(worker) as calls:
            assert len(c.request(get("/20M")).body) == SIZE
    reads = calls.results("recvfrom")
    assert max(reads) == 262144
    assert sum(r for r in reads if r == 262144) >= SIZE / 2, calls.text(200)
    assert max(calls.results(*WRITES)) > 262144
    assert per_megabyte(calls, *WRITES) < 16


def test_a_download_without_tls_is_neither_read_nor_written_by_us(start, port, nginx):
    """It goes through a pipe, in large pieces where the server is ahead."""
    worker = started(start, port, nginx.port, None).worker
    with plain_client(port) as c:
        with Calls(worker) as calls:
            assert len(c.request(get("/20M")).body) == SIZE
    assert sum(r for r in calls.results("recvfrom") if r > 0) < MB
    assert sum(r for r in calls.results("splice") if r > 0) > 2 * (SIZE - MB), calls.text(200)
    assert per_megabyte(calls, "splice") < 40


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_an_upload_is_read_in_quarters_of_a_megabyte(start, port, nginx, certificate, how, pki):
    worker = started(start, port, nginx.port, certificate).worker
    chunk = 4 * MB
    fields = ["Transfer-Encoding: chunked"] if how == "chunked" else [f"Content-Length: {SIZE}"]
    with tls_client(port, pki) as c:
        c.request(get("/1k"))
        with Calls(worker) as calls:
            c.send(get("/upload", method="POST", fields=fields))
            for _ in range(SIZE // chunk):
                c.send(b"%x\r\n" % chunk + bytes(chunk) + b"\r\n" if how == "chunked" else bytes(chunk))
            c.send(b"0\r\n\r\n" if how == "chunked" else b"")
            assert c.response("POST").status == 200
    assert max(calls.results("recvfrom")) > 262144
    assert max(calls.results(*WRITES)) >= 262144
