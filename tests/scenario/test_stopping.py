"""How the service ends: in order on SIGTERM, at once on a second one."""
import signal
import threading
import time

import pytest

from support import processes
from support.backend import response
from support.client import Closed, connect, get, tls_client
from support.unlade import site
from support.waiting import LONG, SHORT, until


@pytest.fixture
def proxy(start, port, backend, certificate):
    p = start(site(port, backend.port, certificate))
    p.port = port
    return p


def held(backend):
    """Answers wait for the event."""
    go = threading.Event()
    backend.answer = lambda e: (e.read_body(), go.wait(LONG), e.send(response(b"late")))
    return go


@pytest.mark.parametrize("pause", [0, 0.005, 0.02, 0.05])
def test_a_reload_on_its_way_does_not_disturb_the_end(proxy, backend, pki, pause):
    go = held(backend)
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        proxy.signal(signal.SIGHUP)
        time.sleep(pause)
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        time.sleep(SHORT)
        go.set()
        assert c.response().body == b"late"
    assert proxy.wait() == 0


def test_it_can_be_stopped_before_it_is_ready(start, port, backend, certificate):
    for pause in (0, 0.01, 0.03, 0.1):
        proxy = start(site(port, backend.port, certificate), wait=False)
        proxy.expected_status = None    # before it catches signals, one ends it
        time.sleep(pause)
        proxy.signal(signal.SIGTERM)
        proxy.wait()
        proxy.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_with_status_0(proxy, pki, number):
    with tls_client(proxy.port, pki) as c:
        c.request(get())
    proxy.signal(number)
    assert proxy.wait() == 0


def test_a_running_request_is_finished_and_told_to_close(proxy, backend, pki):
    go = held(backend)
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        go.set()
        r = c.response()
        assert r.body == b"late" and r.field("connection") == "close"
        c.assert_closed()
    assert proxy.wait() == 0


def test_a_running_upload_and_download_are_finished(proxy, backend, pki):
    go = threading.Event()
    backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000), go.wait(LONG), e.send(b"x" * 999000))
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        assert c.response_head().status == 200
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        go.set()
        assert len(c.read_exactly(1000000)) == 1000000
    assert proxy.wait() == 0


def test_idle_connections_are_closed(proxy, pki):
    with tls_client(proxy.port, pki) as c:
        c.request(get())
        proxy.signal(signal.SIGTERM)
        c.assert_closed()
    assert proxy.wait() == 0


def test_new_connections_are_refused_while_it_drains(proxy, backend, pki):
    go = held(backend)
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        proxy.signal(signal.SIGTERM)

        def refused():
            try:
                connect(proxy.port).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                pass
        until(refused, "the listener to be closed")
        go.set()
        assert c.response().body == b"late"


def test_connections_that_are_queued_when_the_signal_comes_are_served(start, port, backend, certificate, pki):
    """The worker is held still, so that they are in the kernel's queue for certain."""
    proxy = start(site(port, backend.port, certificate))
    (worker,) = proxy.workers()
    import os
    os.kill(worker, signal.SIGSTOP)
    sockets = [connect(port) for _ in range(20)]
    proxy.signal(signal.SIGTERM)
    until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
    os.kill(worker, signal.SIGCONT)
    from support.client import Client, context
    c = context(pki)
    for s in sockets:
        with Client(c.wrap_socket(s, server_hostname="a.test")) as client:
            r = client.request(get())
            assert r.status == 200 and r.field("connection") == "close"
    assert proxy.wait() == 0


def test_a_second_signal_ends_it_at_once(proxy, backend, pki):
    held(backend)
    proxy.expected_status = None
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        time.sleep(SHORT)
        assert proxy.process.poll() is None
        start = time.monotonic()
        proxy.signal(signal.SIGTERM)
        proxy.wait(10)
        assert time.monotonic() - start < 8
        with pytest.raises((Closed, ConnectionError)):
            c.response()


def test_the_drain_has_a_limit(start, port, backend, certificate, pki):
    held(backend)
    proxy = start(site(port, backend.port, certificate, stop={"drain": "1s"}))
    with tls_client(port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
        assert 0.9 < time.monotonic() - began < 10
    assert "still open" in proxy.stderr


def test_a_handshake_under_way_is_finished_and_served(proxy, pki):
    from support.client import HelloClient, context
    sent = threading.Event()
    client = HelloClient(proxy.port, context(pki))
    original = client.raw.sendall

    def deliver(data):
        if not sent.is_set():
            original(data[:10])
            proxy.signal(signal.SIGTERM)
            until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
            sent.set()
            data = data[10:]
        original(data)
    client.deliver = deliver
    # The worker has taken the connection when it answers another one.
    with tls_client(proxy.port, pki) as c:
        c.request(get(fields=["Connection: close"]))
    with client.handshake():
        assert client.request(get()).field("connection") == "close"


def test_no_worker_outlives_the_supervisor(start, port, backend, certificate):
    proxy = start(site(port, backend.port, certificate))
    workers = proxy.workers()
    assert workers
    proxy.expected_status = -signal.SIGKILL
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    until(lambda: not any(map(processes.is_alive, workers)), "the worker to end", 10)
