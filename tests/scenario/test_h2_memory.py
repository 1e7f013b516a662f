"""What a client over HTTP/2 can make us hold: measured at the worker of a binary without sanitizers, which keep freed memory."""
import itertools
import struct

import pytest

from support import processes
from support.h2 import (
    CANCEL, CONTINUATION, END_STREAM, H2, HEADERS, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, PING, PRIORITY_UPDATE, RST_STREAM, fields, frame, h2_client, literal, request, settings)
from support.unlade import release_binary, site

KB, MB = 1 << 10, 1 << 20
ENDLESS = 300000    # pieces; nobody gets that far


def ids():
    return itertools.count(1, 2)


def rapid_reset(number):
    return H2.headers_frame(number, request()) + frame(RST_STREAM, 0, number, struct.pack(">I", CANCEL))


@pytest.fixture
def released(start, port, nginx, certificate):
    proxy = start(site(port, nginx.port, certificate, listener={"timeouts": {"window": "300s"}}, log={"access": "off"}), program=release_binary())
    (proxy.worker,) = proxy.workers()
    proxy.nginx = nginx
    return proxy


STALLED, CONNECTIONS = 99, 8
PER_CONNECTION = 512 * KB


@pytest.mark.memory
@pytest.mark.parametrize("windows", ["of the streams", "of the connection"])
def test_a_hundred_stalled_responses_cost_at_most_512_KB_a_connection(released, port, pki, windows):
    """1 MB each, behind closed windows. A neighbour on the same connection goes on at full speed where its windows are
    open, another connection in any case; and when the windows open, every byte is right."""
    with open(released.nginx.file("1M"), "rb") as f:
        whole = f.read()
    values = {INITIAL_WINDOW_SIZE: 0} if windows == "of the streams" else {INITIAL_WINDOW_SIZE: LARGEST_WINDOW}
    with h2_client(port, pki, values={INITIAL_WINDOW_SIZE: 4 * MB}, window=False) as warm:
        warm.window_update(0, 1 << 30)
        for number in [warm.open("/100k") for _ in range(90)]:
            assert warm.response(number).status == 200
    before = processes.own_bytes(released.worker)
    clients = [h2_client(port, pki, values=values, window=False) for _ in range(CONNECTIONS)]
    try:
        for c in clients:
            for _ in range(STALLED):
                c.open("/1M")
        for c in clients:
            c.wait(lambda c=c: sum(s.status == 200 for s in c.streams.values()) == STALLED, "the heads")
            c.ping()
        peak = processes.own_bytes(released.worker)
        with h2_client(port, pki) as other:
            assert bytes(other.fetch("/1M").body) == whole
        if windows == "of the streams":
            clients[0].window_update(0, LARGEST_WINDOW - 65535)
            number = clients[0].open("/1M")
            clients[0].window_update(number, 2 * MB)
            assert bytes(clients[0].response(number).body) == whole
        peak = max(peak, processes.own_bytes(released.worker))
        assert peak - before <= CONNECTIONS * PER_CONNECTION, f"{(peak - before) / CONNECTIONS / KB:.0f} KB a connection"
        c = clients[-1]
        c.window_update(0, 1 << 30)
        c.settings({INITIAL_WINDOW_SIZE: 4 * MB})
        for number in list(c.streams):
            assert bytes(c.response(number).body) == whole, f"stream {number}"
    finally:
        for c in clients:
            c.close()


@pytest.mark.memory
def test_floods_leave_no_memory_behind(released, port, pki):
    """All kinds one after the other, several times: what the first rounds allocate is all there is."""
    floods = [lambda: (rapid_reset(n) for n in ids()), lambda: itertools.repeat(settings()), lambda: itertools.repeat(frame(PING, 0, 0, bytes(8))),
              lambda: (frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", n) + b"u=1") for n in ids()),
              lambda: (H2.headers_frame(n, fields(request()) + literal("x", f"{n}" * 500, kind="incremental")) for n in ids()),
              lambda: itertools.chain([frame(HEADERS, END_STREAM, 1, fields(request()))], itertools.repeat(frame(CONTINUATION, 0, 1, fields([("a", "b" * 9000)]))))]

    def rounds(count):
        for _ in range(count):
            for pieces in floods:
                with h2_client(port, pki) as c:
                    c.flood(itertools.islice(pieces(), ENDLESS))
                    assert c.drain()
        return processes.own_bytes(released.worker)

    first = rounds(10)
    assert rounds(10) - first < MB


@pytest.mark.memory
def test_ten_thousand_requests_on_a_connection_leave_no_memory_behind(released, port, pki):
    """One connection that stays: what it holds after the second ten thousand is what it held after the first."""
    with h2_client(port, pki) as c:
        def rounds(count):
            for _ in range(count // 50):
                for n in [c.open("/1k") for _ in range(50)]:
                    assert c.response(n).status == 200
            c.streams.clear()
            c.frames.clear()
            return processes.own_bytes(released.worker)

        first = rounds(10000)
        assert rounds(10000) - first < 100 * KB
