"""Processes: workers that crash, privileges, ports in use, the service manager, process 1."""
import os
import signal
import socket
import subprocess
import time

import pytest

from support import processes
from support.client import Closed, connect, get, tls_client
from support.ports import free_port
from support.unlade import Unlade, site
from support.waiting import until


@pytest.fixture
def proxy(start, port, backend, certificate):
    p = start(site(port, backend.port, certificate))
    p.port = port
    return p


def kill_worker(proxy, number=signal.SIGKILL):
    """Kills the worker and waits for the next one."""
    proxy.may_crash = True
    (old,) = proxy.workers()
    os.kill(old, number)
    return until(lambda: [w for w in proxy.workers() if w != old and not processes.is_alive(old)], "a new worker")[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSYS])
def test_a_worker_that_dies_is_reported_and_started_again(proxy, pki, number):
    kill_worker(proxy, number)
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200
    assert proxy.wait_stderr(r"worker ended.*")


def test_connections_made_while_no_worker_runs_are_served_by_the_next(proxy, pki):
    """The sockets belong to the supervisor: the kernel queues for them meanwhile."""
    proxy.may_crash = True
    (worker,) = proxy.workers()
    os.kill(worker, signal.SIGKILL)
    for _ in range(5):
        with tls_client(proxy.port, pki) as c:
            assert c.request(get()).status == 200


def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(proxy):
    times = []
    for _ in range(4):
        kill_worker(proxy)
        times.append(time.monotonic())
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[-1] > 1.5 * gaps[0], gaps


def test_clients_of_a_dead_worker_see_their_connection_end(proxy, backend, pki):
    backend.answer = lambda e: e.connection.wait_closed()
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        kill_worker(proxy)
        with pytest.raises((Closed, ConnectionError)):
            c.response()


def test_a_reload_works_after_a_crash(proxy, pki):
    kill_worker(proxy)
    proxy.reload()
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_it_can_be_stopped_while_no_worker_runs(proxy):
    for _ in range(3):
        kill_worker(proxy)
    (worker,) = proxy.workers()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not processes.is_alive(worker), "its end")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0


# ---- ports ----

@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "by a process that shares its port"])
def test_a_port_in_use_is_refused(start, port, backend, certificate, reuse):
    with socket.socket() as taken:
        if reuse:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        proxy = start(site(port, backend.port, certificate), wait=False)
        proxy.expected_status = 1
        assert proxy.wait() == 1
        assert str(port) in proxy.stderr and "in use" in proxy.stderr


def test_a_second_unlade_on_the_same_port_is_refused_and_the_first_goes_on(proxy, start, backend, certificate, pki):
    second = start(site(proxy.port, backend.port, certificate), wait=False)
    second.expected_status = 1
    assert second.wait() == 1
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_it_starts_again_at_once_on_the_port_of_one_that_ended(proxy, start, backend, certificate, pki):
    """Connections in TIME_WAIT are no reason to refuse."""
    with tls_client(proxy.port, pki) as c:
        c.request(get(fields=["Connection: close"]))
        c.assert_closed()
    proxy.stop()
    start(site(proxy.port, backend.port, certificate))
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_every_thread_listens_for_itself(start, port, backend, certificate, pki):
    start({**site(port, backend.port, certificate), "workers": 2})
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert len(listening.strip().splitlines()) == 2, listening
    for _ in range(20):
        with tls_client(port, pki) as c:
            assert c.request(get()).status == 200


def test_workers_are_as_many_threads_as_cores_by_default(start, port, backend, certificate):
    config = site(port, backend.port, certificate)
    del config["workers"]
    start(config)
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert len(listening.strip().splitlines()) == len(os.sched_getaffinity(0))


# ---- privileges (these run as root, as ./do test does in CI) ----

def needs_root():
    assert os.getuid() == 0, "this scenario changes users: run it as root"


def test_the_worker_runs_as_another_user_without_any_privilege(proxy):
    needs_root()
    (worker,) = proxy.workers()
    assert set(processes.status_field(worker, "Uid")) & {"0"} == set()
    assert set(processes.status_field(worker, "Gid")) & {"0"} == set()
    assert "0" not in processes.status_field(worker, "Groups")
    for capabilities in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(processes.status_field(worker, capabilities)[0], 16) == 0
    assert processes.status_field(worker, "NoNewPrivs") == ["1"]


def test_the_user_can_be_chosen(start, port, backend, certificate):
    needs_root()
    import pwd
    proxy = start({**site(port, backend.port, certificate), "user": "www-data"})
    (worker,) = proxy.workers()
    assert processes.status_field(worker, "Uid") == [str(pwd.getpwnam("www-data").pw_uid)] * 4


def test_an_unknown_user_is_refused(start, port, backend, certificate):
    needs_root()
    proxy = start({**site(port, backend.port, certificate), "user": "no-such-user"}, wait=False)
    proxy.expected_status = None
    assert proxy.wait() == 1
    assert "no-such-user" in proxy.stderr


def test_keys_that_only_root_may_read_are_reloaded_all_the_same(proxy, pki):
    needs_root()
    proxy.reload()
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_it_runs_without_root(port, backend, certificate, pki, tmp_path):
    """As an ordinary user, who may read the files: nothing is dropped, everything works."""
    needs_root()
    import shutil
    import tempfile
    directory = tempfile.mkdtemp(prefix="unlade-", dir="/tmp")
    for file in (certificate.chain_file, certificate.key_file):
        shutil.copy(file, directory)
    config = site(port, backend.port, certificate, log={"access": "off"})
    config["listeners"]["web"]["certificates"] = [{"certificate": f"{directory}/{os.path.basename(certificate.chain_file)}",
                                                   "key": f"{directory}/{os.path.basename(certificate.key_file)}"}]
    proxy = Unlade(directory, config, wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    subprocess.run(["chown", "-R", "65534:65534", directory], check=True)
    try:
        with proxy, tls_client(port, pki) as c:
            assert c.request(get()).status == 200
    finally:
        shutil.rmtree(directory)


# ---- the service manager, process 1 ----

def test_the_service_manager_is_told_when_it_is_ready_reloads_and_stops(proxy):
    assert "READY=1" in proxy.notifications()[0]
    proxy.reload()
    said = "\n".join(proxy.notifications())
    assert said.index("READY=1") < said.index("RELOADING=1") < said.rindex("READY=1")
    assert "MONOTONIC_USEC=" in said
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    assert "STOPPING=1" in "\n".join(proxy.notifications())


def test_a_service_manager_that_does_not_listen_holds_up_nothing(start, port, backend, certificate, pki, tmp_path):
    path = str(tmp_path / "deaf")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        deaf.bind(path)
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"x", path)
        proxy = start(site(port, backend.port, certificate), wait=False, env={"NOTIFY_SOCKET": path})
        proxy.wait_stderr("serving")
        kill_worker(proxy)
        proxy.signal(signal.SIGHUP)
        proxy.wait_stderr("configuration 2")
        with tls_client(port, pki) as c:
            assert c.request(get()).status == 200


def test_ready_means_ready(start, port, backend, certificate, pki):
    """When READY=1 has come, a connection is served at once."""
    for _ in range(3):
        proxy = start(site(port, backend.port, certificate))
        with tls_client(port, pki) as c:
            assert c.request(get()).status == 200
        proxy.stop()


def test_it_serves_and_reaps_as_process_1(start, port, backend, certificate, pki, tmp_path):
    """In a PID namespace of its own, where orphans become its children."""
    needs_root()
    proxy = start(site(port, backend.port, certificate), wrapper=[
        *processes.OWN_MOUNTS, 'exec unshare --pid --fork --kill-child=SIGTERM "$0" "$@"', "sh", "-c", 'mount -t proc proc /proc && exec "$0" "$@"'])
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    (first,) = processes.children_of(proxy.process.pid)
    assert processes.status_field(first, "NSpid")[-1] == "1"
    # An orphan: a shell in the namespace leaves a child behind, which becomes process 1's, and ends.
    subprocess.run(["nsenter", "--target", str(first), "--pid", "sh", "-c", "sleep 0.2 & exit 0"], check=True)
    time.sleep(0.5)
    zombies = [p for p in processes.children_of(first) if not processes.is_alive(p)]
    assert not zombies
    os.kill(first, signal.SIGTERM)
    assert proxy.wait() == 0


def test_connections_beyond_the_limit_wait_in_the_queue(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate, limits={"connections": 2}))
    with tls_client(port, pki) as a, tls_client(port, pki) as b:
        assert a.request(get()).status == 200 and b.request(get()).status == 200
        third = connect(port)
        third.sendall(b"\x16")
        third.settimeout(0.5)
        with pytest.raises(TimeoutError):
            third.recv(1)
    third.close()
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200


@pytest.mark.parametrize("asked, served", [("auto", 117), (180, 180), (280, 211)])
def test_so_many_clients_as_open_files_allow(start, port, backend, asked, served):
    """A client that waits needs one descriptor: a number that is asked for may exceed half of the 300 open files."""
    proxy = start(site(port, backend.port, limits={"connections": asked}), wrapper=["prlimit", "--nofile=300"])
    clients = [connect(port) for _ in range(served)]
    for c in clients:
        c.sendall(get())
        assert c.recv(12) == b"HTTP/1.1 200"
    with connect(port):
        proxy.wait_stderr(f"{served} connections are open, which is this thread's limit")
    for c in clients:
        c.close()


def test_a_port_that_needs_root_can_be_bound(start, backend, certificate, pki):
    """On a loopback address of its own, so that nobody else's port 443 is in the way."""
    needs_root()
    address = f"127.{free_port() % 200 + 20}.{free_port() % 250}.1"
    config = site(443, backend.port, certificate, host=address)
    start(config)
    with tls_client(443, name="a.test", host=address) as c:
        assert c.request(get()).status == 200
