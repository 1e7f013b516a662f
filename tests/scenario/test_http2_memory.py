"""What a hundred stalled HTTP/2 streams cost, and that nobody waits for them (RFC 9113 5.2)."""
import socket
import threading

import pytest

from support import processes
from support.backend import response
from support.h2 import DATA, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, frame, h2_client
from support.ports import free_port
from support.unlade import release_binary, site

KB = 1024
STREAMS = 100
CONNECTIONS = 5
UPLOADERS = 8
MOST = 512 * KB # a connection
PATIENT = {"body_rate": "off", "idle": "1h"} # the last connection waits until the others were measured


@pytest.fixture
def released(start, port, backend, certificate):
    """Without sanitizers: they keep freed memory in quarantine."""
    config = site(port, backend.port, certificate, log={"access": "off"}, listener={"timeouts": PATIENT})
    proxy = start(config, program=release_binary())
    (proxy.worker,) = proxy.workers()
    return proxy


def answered(c, numbers):
    return all(c.stream(n).fields for n in numbers)


@pytest.mark.memory
def test_a_hundred_streams_with_closed_windows_cost_half_a_megabyte(released, backend, port, pki):
    """The servers could send 200 KB on each; the client takes the heads alone, and later everything."""
    content = bytes(range(256)) * 800
    backend.answer = lambda e: e.send(response(content))
    with h2_client(port, pki) as c:
        c.fetch("/")                     # what the first request allocates once is not what is measured
    before = processes.own_bytes(released.worker)
    clients = [h2_client(port, pki, values={INITIAL_WINDOW_SIZE: 0}) for _ in range(CONNECTIONS)]
    for c in clients:
        c.window = False
        numbers = [c.open(f"/{i}", more=[("user-agent", "scenario/1.0"), ("accept", "*/*")]) for i in range(STREAMS)]
        c.wait(lambda c=c, numbers=numbers: answered(c, numbers), "the heads of all responses")
    cost = (processes.own_bytes(released.worker) - before) / CONNECTIONS
    for c in clients:
        c.close()
    print(f"{cost / KB:.0f} KB")
    assert cost <= MOST


class Deaf:
    """A server that accepts and never reads, with little room for what is sent to it."""

    def __init__(self):
        self.port = free_port()
        self.kept = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(1024)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                self.kept.append(self.listener.accept()[0])
            except OSError:
                return

    def close(self):
        self.listener.close()
        for each in self.kept:
            each.close()


def fill(c, numbers):
    """Sends on each stream until the server lets no more come. Returns the bytes."""
    credit, looked, total = dict.fromkeys(numbers, c.peer_settings[INITIAL_WINDOW_SIZE]), len(c.frames), 0
    while True:
        pieces = []
        for n in numbers:
            while credit[n]:
                size = min(credit[n], 16384)
                pieces.append(frame(DATA, 0, n, bytes(size)))
                credit[n] -= size
                total += size
        c.send(b"".join(pieces))
        try:
            c.take(0.3)
        except socket.timeout:
            c.ping()                # all that was due has come
            if len(c.frames) == looked + 1:
                return total
        for f in c.frames[looked:]:
            if f.kind == WINDOW_UPDATE and f.stream in credit:
                credit[f.stream] += f.number
        looked = len(c.frames)
        assert not c.closed, f"the connection has ended: {c.goaway}"


@pytest.mark.memory
@pytest.mark.parametrize("how", ["length", "streamed"])
def test_a_hundred_uploads_that_the_server_does_not_take_cost_half_a_megabyte(start, backend, port, certificate, pki, how):
    deaf = Deaf()
    config = site(port, backend.port, certificate, log={"access": "off"}, listener={"timeouts": PATIENT})
    config["upstreams"]["deaf"] = {"servers": [f"127.0.0.1:{deaf.port}"], "timeouts": {"response_gap": "1h", "response_head": "1h"},
                                   "tcp": {"send_buffer": "16K"}} # else the kernel alone takes hundreds of megabytes
    config["listeners"]["web"]["routes"] = [{"path": "/deaf/", "to": "deaf"}]
    proxy = start(config, program=release_binary())
    (worker,) = proxy.workers()
    more = [("content-length", str(1 << 30))] if how == "length" else []
    with h2_client(port, pki) as c:
        fill(c, [c.open("/deaf/", method="POST", end=False, more=more) for _ in range(4)]) # what a thread keeps warm
    clients = [h2_client(port, pki) for _ in range(UPLOADERS)]
    before = processes.own_bytes(worker)
    for c in clients:
        numbers = [c.open("/deaf/", method="POST", end=False, more=more) for _ in range(STREAMS - 1)]
        assert fill(c, numbers) > STREAMS * 2048
    cost = (processes.own_bytes(worker) - before) / UPLOADERS # together: memory is taken from the kernel in chunks that several share
    for c in clients:
        assert c.fetch("/", body=b"y" * 1000).status == 200 # a neighbour of a hundred that stand still
        c.close()
    deaf.close()
    print(f"{cost / KB:.0f} KB")
    assert cost <= MOST
