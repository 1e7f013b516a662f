"""What a hundred stalled HTTP/2 streams cost, and that nobody waits for them (RFC 9113 5.2)."""

import pytest

from support.backend import response
from support.h2 import INITIAL_WINDOW_SIZE, h2_client
from support.unlade import release_binary, site

KB = 1024
STREAMS = 100
CONNECTIONS = 2
MOST = 512 * KB # a connection


def proportional_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))


@pytest.fixture
def released(start, port, backend, certificate):
    """Without sanitizers: they keep freed memory in quarantine."""
    config = site(port, backend.port, certificate, log={"access": "off"}, listener={"timeouts": {"body_rate": "off"}})
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
    before = proportional_bytes(released.worker)
    clients = [h2_client(port, pki, values={INITIAL_WINDOW_SIZE: 0}) for _ in range(CONNECTIONS)]
    for c in clients:
        c.window = False
        numbers = [c.open(f"/{i}", more=[("user-agent", "scenario/1.0"), ("accept", "*/*")]) for i in range(STREAMS)]
        c.wait(lambda c=c, numbers=numbers: answered(c, numbers), "the heads of all responses")
    cost = (proportional_bytes(released.worker) - before) / CONNECTIONS
    for c in clients:
        c.close()
    print(f"{cost / KB:.0f} KB")
    assert cost <= MOST
