"""Many connections that do nothing: they are held cheaply, served when they wake, and given back."""
import resource
import socket
import ssl

import pytest

from support import processes
from support.client import Client, connect, context, get, tls_client
from support.unlade import release_binary, site
from support.waiting import until

COUNT = 5000


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(hard, 2 * COUNT + 1000)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # root may raise the hard limit too
    except ValueError:
        pytest.fail(f"the limit of open files is too low for this: {hard}; {most} are needed (ulimit -Hn)")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.memory
def test_five_thousand_idle_connections_are_held_and_served(start, port, backend, certificate, many_files):
    """All over TLS, each after a request of its own; then some of them wake."""
    proxy = start({**site(port, backend.port, certificate, listener={"timeouts": {"idle": "10m"}}, log={"access": "off"}), "workers": 2},
                  program=release_binary())
    (worker,) = proxy.workers()
    c = context()
    session, clients, idle_bytes = None, [], []
    before = processes.own_bytes(worker), processes.open_files(worker)
    for i in range(COUNT):
        sock = c.wrap_socket(connect(port), server_hostname="a.test", session=session)
        client = Client(sock)
        assert client.request(get()).status == 200
        clients.append(client)
        session = session or sock.session
        if i + 1 in (COUNT // 2, COUNT):
            idle_bytes.append(processes.own_bytes(worker))
    assert len(backend.open_connections()) <= 10, "idle clients hold no server connections"
    per_connection = (idle_bytes[1] - idle_bytes[0]) / (COUNT // 2)
    assert per_connection < 64 * 1024, f"{per_connection / 1024:.1f} KB of memory for each idle connection"

    for client in clients[::97]:
        assert client.request(get()).status == 200
    with tls_client(port, name=None) as fresh:
        assert fresh.request(get()).status == 200

    for client in clients:
        client.close()
    until(lambda: processes.open_files(worker) <= before[1] + 20, "their descriptors to be given back")


def test_thousands_that_never_finish_their_handshake_do_not_keep_others_out(start, port, backend, certificate, many_files):
    start(site(port, backend.port, certificate))
    silent = [connect(port) for _ in range(2000)]
    for i, s in enumerate(silent):
        if i % 2:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
    with tls_client(port, name=None) as c:
        assert c.request(get()).status == 200
    for s in silent:
        s.close()


def test_an_idle_process_uses_no_cpu(start, port, backend, certificate, pki):
    import time
    proxy = start(site(port, backend.port, certificate))
    with tls_client(port, pki) as c:
        c.request(get())
        (worker,) = proxy.workers()
        used = processes.cpu_seconds(worker) + processes.cpu_seconds(proxy.process.pid)
        time.sleep(3)
        spent = processes.cpu_seconds(worker) + processes.cpu_seconds(proxy.process.pid) - used
    assert spent <= 0.15, f"{spent:.2f} s of CPU in 3 idle seconds"


def test_abrupt_ends_of_many_handshakes_leave_nothing_behind(start, port, backend, certificate, pki):
    proxy = start(site(port, backend.port, certificate))
    (worker,) = proxy.workers()
    with tls_client(port, pki) as c:
        c.request(get())
    before = processes.open_files(worker)
    c = context(pki)
    for i in range(300):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = c.wrap_bio(incoming, outgoing, server_hostname="a.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        s = connect(port)
        data = outgoing.read()
        s.sendall(data[:len(data) * (i % 11) // 10])
        if i % 3 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    until(lambda: processes.open_files(worker) <= before + 1, "descriptors to be given back")
    with tls_client(port, pki) as client:
        assert client.request(get()).status == 200
