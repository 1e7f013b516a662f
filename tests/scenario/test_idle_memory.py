"""What a connection costs that only waits for its client's next request."""
import gc

import pytest

from support import processes
from support.client import connect, context, get
from support.unlade import release_binary, site

KB = 1024
COUNT = 2000
MOST = 1536 # bytes a connection, of the worker's memory


def opened(port, shared, count):
    clients = []
    for _ in range(count):
        sock = shared.wrap_socket(connect(port), server_hostname="a.test") if shared else connect(port)
        sock.sendall(get("/1k"))
        clients.append(sock)
    for sock in clients: # the request behind a handshake, and its answer
        got = b""
        while got.count(b"\r\n\r\n") == 0 or len(got.partition(b"\r\n\r\n")[2]) < 1024:
            got += sock.recv(65536)
        assert got.startswith(b"HTTP/1.1 200")
    return clients


@pytest.mark.memory
@pytest.mark.parametrize("kind", ["1.3", "1.2", "plain"])
def test_an_idle_connection_costs_a_kilobyte_and_a_half(start, port, nginx, certificate, pki, kind):
    """HTTP/1.1, kept alive after a request; under TLS, and in clear."""
    proxy = start(site(port, nginx.port, None if kind == "plain" else certificate), program=release_binary())
    (worker,) = proxy.workers()
    shared = None
    if kind != "plain":
        shared = context(pki, least=kind, most=kind)
    warm = opened(port, shared, 1000) # what a thread takes once: buffers, connections to the server, lines of the log
    before = processes.own_bytes(worker)
    clients = opened(port, shared, COUNT)
    cost = (processes.own_bytes(worker) - before) / COUNT
    for c in clients + warm:
        c.close()
    gc.collect()
    print(f"{cost:.0f} bytes")
    assert cost <= MOST
