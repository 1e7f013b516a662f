"""SIGHUP puts a new snapshot into use, and nobody notices but by what it serves."""
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from support.backend import Backend, response
from support.client import connect, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import LONG, until


@pytest.fixture
def proxy(start, port, backend, certificate):
    p = start(site(port, backend.port, certificate))
    p.port = port
    return p


@pytest.fixture
def other():
    server = Backend()
    server.answer = lambda e: (e.read_body(), e.send(response(b"other")))
    yield server
    server.stop()


def test_new_connections_use_the_new_configuration(proxy, other, certificate, pki):
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).body == b"ok"
    proxy.reload(site(proxy.port, other.port, certificate))
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).body == b"other"


def test_a_running_request_ends_under_the_configuration_that_it_began_with(proxy, backend, other, certificate, pki):
    go = threading.Event()
    backend.answer = lambda e: (e.read_body(), go.wait(LONG), e.send(response(b"old")))
    with tls_client(proxy.port, pki) as c:
        c.send(get())
        backend.wait_exchanges(1)
        proxy.reload(site(proxy.port, other.port, certificate))
        go.set()
        assert c.response().body == b"old"


def test_pooled_connections_outlive_a_reload(proxy, backend, certificate, pki):
    for _ in range(3):
        with tls_client(proxy.port, pki) as c:
            c.request(get())
        proxy.reload()
    assert len({e.connection.number for e in backend.exchanges}) == 1


@pytest.mark.parametrize("text, complaint", [
    ("listeners: [", r":1:|syntax|flow"), ("listeners: {web: {adress: ':1'}}", "did you mean"), ("", "."), (None, "No such file|cannot")],
    ids=["not YAML", "wrong", "empty", "gone"])
def test_a_broken_file_leaves_the_old_configuration_in_use_and_says_why(proxy, pki, text, complaint):
    before = len(proxy.stderr)
    config = proxy.config
    if text is None:
        os.unlink(proxy.file)
        proxy.reload()
    else:
        proxy.reload(text)
    said = proxy.stderr[before:]
    assert re.search(complaint, said) and "stays in use" in said, said
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200
    proxy.reload(config)
    assert "stays in use" not in proxy.stderr[before + len(said):], "a good file is taken again"


def test_a_key_that_does_not_fit_leaves_the_old_configuration_in_use(proxy, backend, pki, certificate):
    config = site(proxy.port, backend.port, certificate)
    config["listeners"]["web"]["certificates"][0]["key"] = pki.leaf("b.test").key_file
    proxy.reload(config)
    assert "stays in use" in proxy.stderr
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_a_name_that_cannot_be_resolved_leaves_the_old_configuration_in_use(proxy, pki, certificate):
    proxy.reload(site(proxy.port, ["nowhere.invalid:80"], certificate))
    assert "nowhere.invalid" in proxy.stderr and "stays in use" in proxy.stderr
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_listeners_come_and_go(proxy, backend, certificate, pki):
    second = free_port()
    config = site(proxy.port, backend.port, certificate)
    config["listeners"]["extra"] = {"address": f"127.0.0.1:{second}", "tls": "off", "to": "app"}
    with pytest.raises(ConnectionRefusedError):
        connect(second)
    proxy.reload(config)
    with plain_client(second) as c, tls_client(proxy.port, pki) as t:
        assert c.request(get()).status == 200 and t.request(get()).status == 200
    del config["listeners"]["extra"]
    proxy.reload(config)

    def refused():
        try:
            connect(second).close()
        except ConnectionRefusedError:
            return True
    until(refused, "the removed listener to be closed")
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_a_new_listener_on_a_taken_port_is_refused_and_the_old_ones_stay(proxy, backend, certificate, pki):
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = site(proxy.port, backend.port, certificate)
        config["listeners"]["extra"] = {"address": f"127.0.0.1:{taken.getsockname()[1]}", "tls": "off", "to": "app"}
        proxy.reload(config)
    assert "stays in use" in proxy.stderr
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_what_only_a_restart_can_change_is_told_and_left(proxy, backend, certificate, pki):
    proxy.reload({**site(proxy.port, backend.port, certificate), "workers": 2})
    assert re.search("`?workers.*restart", proxy.stderr)
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200


def test_snapshots_do_not_pile_up(proxy, pki):
    """Descriptors are as many after fifty reloads as after a few."""
    from support import processes
    (worker,) = proxy.workers()

    def files():
        return processes.open_files(worker) + processes.open_files(proxy.process.pid)
    for _ in range(3):
        proxy.reload()
    before = files()
    for _ in range(50):
        proxy.reload()
    with tls_client(proxy.port, pki) as c:
        assert c.request(get()).status == 200
    until(lambda: files() <= before + 2, f"descriptors to be {before} again, not {files()}")
    assert proxy.workers() == [worker], "nothing was restarted"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_reload_every_100_ms_under_load_fails_no_request(start, port, nginx, certificate, threads):
    proxy = start({**site(port, nginx.port, certificate, log={"access": "off"}), "workers": threads})
    seconds = 8
    wrk = subprocess.Popen(["wrk", "-t1", "-c32", f"-d{seconds}s", "--timeout", "20s", f"https://127.0.0.1:{port}/1k"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # Beside it, connections that are new each time: they meet the moments in which listeners change.
    failures, stop = [], threading.Event()

    def connect_again_and_again():
        while not stop.is_set():
            try:
                with tls_client(port, name=None) as c:
                    assert c.request(get("/1k", fields=["Connection: close"])).status == 200
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
    thread = threading.Thread(target=connect_again_and_again)
    thread.start()
    reloads = 0
    while wrk.poll() is None:
        proxy.signal(signal.SIGHUP)
        reloads += 1
        time.sleep(0.1)
    stop.set()
    thread.join()
    output = wrk.stdout.read()
    assert not failures, failures[:3]
    assert reloads >= seconds * 5
    assert "Socket errors" not in output and "Non-2xx" not in output, output
    assert int(re.search(r"(\d+) requests in", output).group(1)) > 100
    until(lambda: len([m for m in proxy.notifications() if "READY=1" in m]) > 5, "reloads to have happened")
