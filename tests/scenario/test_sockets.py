"""Sockets: their options as the kernel has them, Unix-domain sockets, sockets of a service manager, TCP Fast Open."""
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import tempfile

import pytest

from support import daemon
from support.backend import Backend
from support.client import Client, connect, context, get, plain_client, tls_client
from support.descriptors import option
from support.ports import free_port
from support.raw import RawServer
from support.unlade import ROOT, Unlade, command, environment, site
from support.waiting import LONG, until

TCP, SOL = socket.IPPROTO_TCP, socket.SOL_SOCKET
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@pytest.fixture
def folder():
    """A folder with a short name that the worker, whoever it runs as, may write to."""
    path = tempfile.mkdtemp(prefix="unlade-", dir="/tmp")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


# ---- options, as the worker's sockets have them ----

CHOSEN = {"keep_alive": "40s", "keep_alive_interval": "6s", "keep_alive_probes": 7, "user_timeout": "25s"}


def options_of(pid, **ports):
    names = {"keep_alive": (SOL, socket.SO_KEEPALIVE), "idle": (TCP, socket.TCP_KEEPIDLE), "interval": (TCP, socket.TCP_KEEPINTVL),
             "probes": (TCP, socket.TCP_KEEPCNT), "user_timeout": (TCP, socket.TCP_USER_TIMEOUT), "no_delay": (TCP, socket.TCP_NODELAY)}
    return {name: option(pid, level, number, **ports) for name, (level, number) in names.items()}


def test_connections_have_the_options_of_the_table(start, port, backend):
    proxy = start(site(port, backend.port, listener={"tcp": CHOSEN}, upstream={"tcp": {**CHOSEN, "keep_alive": "20s", "keep_alive_probes": 3}}))
    worker, = proxy.workers()
    with plain_client(port) as c:
        assert c.request(get()).status == 200
        own = c.socket.getsockname()[1]
        expected = {"keep_alive": 1, "idle": 40, "interval": 6, "probes": 7, "user_timeout": 25000, "no_delay": 1}
        assert options_of(worker, local=port, remote=own) == expected
        assert options_of(worker, remote=backend.port) == {**expected, "idle": 20, "probes": 3}


def test_the_defaults_are_those_of_the_reference(start, port, backend):
    proxy = start(site(port, backend.port))
    worker, = proxy.workers()
    with plain_client(port) as c:
        assert c.request(get()).status == 200
        expected = {"keep_alive": 1, "idle": 120, "interval": 30, "probes": 4, "user_timeout": 0, "no_delay": 1}
        assert options_of(worker, local=port, remote=c.socket.getsockname()[1]) == expected
        assert options_of(worker, remote=backend.port) == {**expected, "idle": 60, "interval": 15}


def test_off_is_off(start, port, backend):
    proxy = start(site(port, backend.port, listener={"tcp": {"keep_alive": "off"}}, upstream={"tcp": {"keep_alive": "off"}}))
    worker, = proxy.workers()
    with plain_client(port) as c:
        assert c.request(get()).status == 200
        assert option(worker, SOL, socket.SO_KEEPALIVE, local=port, remote=c.socket.getsockname()[1]) == 0
        assert option(worker, SOL, socket.SO_KEEPALIVE, remote=backend.port) == 0


def test_a_reload_gives_listeners_that_stay_their_new_options(start, port, backend):
    proxy = start(site(port, backend.port))
    worker, = proxy.workers()
    with plain_client(port) as old, plain_client(port) as _:
        assert old.request(get()).status == 200
        proxy.reload(site(port, backend.port, listener={"tcp": CHOSEN, "fast_open": 50}))
        assert proxy.workers() == [worker]
        assert option(worker, TCP, socket.TCP_FASTOPEN, local=port, listening=True) == 50
        with plain_client(port) as new:
            assert new.request(get()).status == 200
            assert options_of(worker, local=port, remote=new.socket.getsockname()[1])["idle"] == 40
        assert options_of(worker, local=port, remote=old.socket.getsockname()[1])["idle"] == 120


def test_a_reload_that_cannot_undo_a_size_says_so(start, port, backend):
    proxy = start(site(port, backend.port, listener={"tcp": {"receive_buffer": "64k"}}))
    worker, = proxy.workers()
    assert option(worker, SOL, socket.SO_RCVBUF, local=port, listening=True) == 2 * 65536
    proxy.reload(site(port, backend.port))
    proxy.wait_stderr(f"warning [^\n]*127.0.0.1:{port}: `send_buffer` and `receive_buffer` become the kernel's again only after a restart")


def test_ss_shows_the_timer_of_an_idle_client(start, port, backend):
    start(site(port, backend.port, listener={"tcp": {"keep_alive": "90s"}}))
    with plain_client(port) as c:
        assert c.request(get()).status == 200
        shown = subprocess.run(["ss", "-tno", "state", "established", f"( sport = :{port} )"], capture_output=True, text=True, check=True)
        assert re.search(r"timer:\(keepalive,1min(2\d|30)", shown.stdout), shown.stdout


@pytest.mark.parametrize("wrong, complaint", [
    ({"tcp": {"keep_alive": "10h"}}, "at most"), ({"tcp": {"keep_alive_probes": 0}}, "keep_alive_probes"), ({"fast_open": 100000}, "at most"),
    ({"address": {"endpoint": "unix:/tmp/x", "mode": "0999"}}, "octal"), ({"address": {"endpoint": "unix:/tmp/x", "mode": "1777"}}, "octal"),
    ({"address": {"endpoint": "unix:/tmp/x", "user": "nobody-at-all"}}, 'there is no user "nobody-at-all"'),
    ({"address": {"endpoint": "unix:/tmp/x", "group": "nobody-at-all"}}, 'there is no group "nobody-at-all"')])
def test_wrong_values_are_refused(tmp_path, port, wrong, complaint):
    proxy = Unlade(tmp_path, site(port, 1, listener=wrong))
    done = command("check", "-c", proxy.file)
    assert done.returncode != 0 and complaint in done.stderr, done.stderr


def test_a_mode_where_there_is_no_file_is_warned_of(tmp_path, port):
    proxy = Unlade(tmp_path, site(port, 1, listener={"address": {"endpoint": f"127.0.0.1:{port}", "mode": "0600"}}))
    done = command("check", "-c", proxy.file)
    assert done.returncode == 0 and "for the file of a Unix socket" in done.stderr


# ---- Unix-domain sockets ----

def unix_connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(LONG)
    sock.connect("\0" + path[1:] if path[0] == "@" else path)
    return sock


def unix_site(path, to, certificate=None, *, listener=None, upstream=None):
    config = site(1, to, certificate, listener={"address": f"unix:{path}", **(listener or {})}, upstream=upstream)
    return config


@pytest.mark.parametrize("name", ["in.sock", "@"])
@pytest.mark.parametrize("kind", ["http", "https", "tcp", "passthrough"])
def test_unix_sockets_on_both_sides_of_every_protocol(start, folder, pki, certificate, kind, name):
    path = f"@unlade-test-{os.getpid()}-{kind}" if name == "@" else os.path.join(folder, name)
    server_path = os.path.join(folder, "server.sock")
    if kind == "passthrough":
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(certificate.chain_file, certificate.key_file)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(server_path)
        listener.listen()
        os.chmod(server_path, 0o777)
    else:
        backend = Backend(server_path)
        os.chmod(server_path, 0o777)
    options = {} if kind in ("http", "https") else {"protocol": kind}
    proxy = start(unix_site(path, f"unix:{server_path}", None if kind in ("http", "passthrough") else certificate,
                            listener={**options, "tls": "off" if kind == "http" else "default"}))
    sock = unix_connect(path)
    if kind == "passthrough":
        import threading  # pylint: disable=import-outside-toplevel

        def serve():
            with server_context.wrap_socket(listener.accept()[0], server_side=True) as s:
                s.recv(100)
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        threading.Thread(target=serve, daemon=True).start()
    if kind != "http":
        sock = context(pki).wrap_socket(sock, server_hostname="a.test")
    with Client(sock) as c:
        assert c.request(get()).body == b"ok"
    if kind == "passthrough":
        listener.close()
    else:
        if kind in ("http", "https"):
            assert backend.only().field("x-forwarded-for") == "unknown"
        backend.stop()
    proxy.stop()
    assert name == "@" or not os.path.exists(path)


def test_http2_over_a_unix_socket(start, folder, backend, pki, certificate):
    path = os.path.join(folder, "in.sock")
    start(unix_site(path, backend.port, certificate))
    done = subprocess.run(["curl", "-sS", "--http2", "--unix-socket", path, "--cacert", pki.ca_file, "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                           "https://a.test/"], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.stdout == "2 200", done.stderr


@pytest.mark.parametrize("protocol, greeting, begin", [
    ("smtp", b"220 ", b"STARTTLS\r\n"), ("imap", b"* OK ", b"a STARTTLS\r\n"), ("pop3", b"+OK ", b"STLS\r\n"), ("postgres", b"", SSL_REQUEST)])
def test_protocols_that_begin_in_clear_over_unix_sockets(start, folder, pki, certificate, protocol, greeting, begin):
    path, server_path = os.path.join(folder, "in.sock"), os.path.join(folder, "server.sock")
    seen = []
    first = {"smtp": b"220 backend\r\n", "imap": b"* OK backend\r\n", "pop3": b"+OK backend\r\n", "postgres": b""}[protocol]

    def serve(c):
        c.sendall(first)
        seen.append(c.recv(100))
    with RawServer(serve, path=server_path):
        os.chmod(server_path, 0o777)
        start(unix_site(path, f"unix:{server_path}", certificate, listener={"protocol": protocol}))
        sock = unix_connect(path)
        assert not greeting or sock.recv(200).startswith(greeting)
        sock.sendall(begin)
        assert sock.recv(200)
        with context(pki).wrap_socket(sock, server_hostname="a.test") as tls:
            tls.sendall(struct.pack("!ii", 20, 196608) + b"user\0alice\0\0" if protocol == "postgres" else b"NOOP\r\n")
            until(lambda: seen, "the server to be spoken to")


def test_tls_to_a_server_on_a_unix_socket(start, folder, port, pki, certificate):
    path = os.path.join(folder, "nginx.sock")
    leaf = pki.leaf("backend.test")
    helper = free_port()
    http = (f"server {{ listen unix:{path} ssl; listen 127.0.0.1:{helper}; ssl_certificate {leaf.chain_file};"
            f" ssl_certificate_key {leaf.key_file}; return 200 ok; }}")
    with daemon.nginx(folder, helper, http=http):
        start(site(port, f"unix:{path}", certificate, upstream={"tls": {"ca": pki.ca_file, "name": "backend.test"}}))
        with tls_client(port, pki) as c:
            assert c.request(get()).body == b"ok"


def test_the_file_of_a_listener_has_its_mode_and_group_and_a_reload_changes_them(start, folder, backend):
    path = os.path.join(folder, "in.sock")
    group = grp.getgrnam("www-data" if os.getuid() == 0 else grp.getgrgid(os.getgid()).gr_name)

    def config(mode):
        return unix_site(path, backend.port, listener={"tls": "off", "address": {"endpoint": f"unix:{path}", "mode": mode, "group": group.gr_name}})
    proxy = start(to_yaml_safe(config("0640")))
    assert (stat.S_IMODE(os.stat(path).st_mode), os.stat(path).st_gid) == (0o640, group.gr_gid)
    proxy.reload(to_yaml_safe(config("0600")))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with Client(unix_connect(path)) as c:
        assert c.request(get()).status == 200


def test_the_capabilities_of_the_unit_are_enough_for_owners(start, folder, backend):
    if os.getuid() != 0:
        pytest.fail("this test gives capabilities up: run it as root")
    with open(os.path.join(ROOT, "packaging", "unlade.service"), encoding="ascii") as f:
        names = re.search(r"^CapabilityBoundingSet=(.*)$", f.read(), re.MULTILINE).group(1).lower().split()
    path = os.path.join(folder, "in.sock")

    def config(mode, user):
        return to_yaml_safe(unix_site(path, backend.port, listener={"tls": "off", "address": {"endpoint": f"unix:{path}", "mode": mode, "user": user}}))
    os.chmod(folder, 0o755)
    proxy = start(config("0600", "daemon"), wrapper=["setpriv", "--bounding-set=-all," + ",".join("+" + n.removeprefix("cap_") for n in names)])
    assert (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) == (pwd.getpwnam("daemon").pw_uid, 0o600)
    proxy.reload(config("0640", "nobody"))
    assert (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) == (pwd.getpwnam("nobody").pw_uid, 0o640)
    proxy.reload(config("0644", None))
    assert (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) == (0, 0o644)
    assert "refused an option" not in proxy.stderr
    proxy.stop()
    assert not os.path.exists(path)


def to_yaml_safe(config):
    """The harness looks at addresses as texts; a list of one mapping is left alone."""
    config["listeners"]["web"]["address"] = [config["listeners"]["web"]["address"]]
    return config


def test_who_may_not_write_to_the_file_may_not_connect(start, folder, backend):
    if os.getuid() != 0:
        pytest.fail("this test becomes another user: run it as root")
    path = os.path.join(folder, "in.sock")
    start(to_yaml_safe(unix_site(path, backend.port, listener={"tls": "off", "address": {"endpoint": f"unix:{path}", "mode": "0600"}})))
    attempt = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r})"
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", attempt],
                          capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
    with Client(unix_connect(path)) as c:
        assert c.request(get()).status == 200


# ---- sockets of a service manager ----

# Puts the descriptors that are named as arguments where systemd puts them, and becomes what follows "--".
LAUNCHER = """
import os, sys
at = sys.argv.index("--")
fds, names = [int(a) for a in sys.argv[2:at]], sys.argv[1]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.closerange(3 + len(fds), 4096)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execv(sys.argv[at + 1], sys.argv[at + 1:])
"""


def activated(start, config, names, *sockets):
    """An Unlade that was given these sockets."""
    for sock in sockets:
        os.set_inheritable(sock.fileno(), True)
    wrapper = [sys.executable, "-c", LAUNCHER, names, *[str(s.fileno()) for s in sockets], "--"]
    return start(config, wrapper=wrapper, pass_fds=[s.fileno() for s in sockets])


def tcp_listener(host, port, dual=False):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(SOL, socket.SO_REUSEADDR, 1)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    sock.bind((host, port))
    sock.listen(64)
    return sock


@pytest.mark.parametrize("workers", [1, 4])
def test_sockets_that_were_passed_are_used_and_get_their_options(start, port, folder, backend, pki, certificate, workers):
    path = os.path.join(folder, "activated.sock")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    unix.listen(64)
    config = site(port, backend.port, certificate, workers=workers, listener={"tcp": CHOSEN})
    config["listeners"]["local"] = {"address": f"unix:{path}", "tls": "off", "to": "app"}
    with tcp_listener("127.0.0.1", port) as tcp:
        proxy = activated(start, config, "web:local", tcp, unix)
        for _ in range(8):
            with tls_client(port, pki) as c, Client(unix_connect(path)) as u:
                assert c.request(get()).status == 200 and u.request(get()).status == 200
                assert options_of(proxy.workers()[0], local=port, remote=c.socket.getsockname()[1])["idle"] == 40
        assert "warning" not in proxy.stderr
        proxy.stop()
        assert os.path.exists(path)                     # the service manager's, which goes on listening
        waiting = connect(port)                         # and is served by the next one of us
        proxy = activated(start, config, "web:local", tcp, unix)
        with Client(context(pki).wrap_socket(waiting, server_hostname="a.test")) as c:
            assert c.request(get()).status == 200
    unix.close()


def test_a_crashed_worker_does_not_lose_passed_sockets(start, port, backend):
    with tcp_listener("127.0.0.1", port) as tcp:
        proxy = activated(start, site(port, backend.port), "", tcp)
        proxy.may_crash = True
        worker, = proxy.workers()
        os.kill(worker, signal.SIGKILL)
        with plain_client(port) as c:
            assert c.request(get()).status == 200


def test_one_socket_for_both_families_serves_an_address_of_a_port_alone(start, port, backend):
    config = site(port, backend.port)
    config["listeners"]["web"]["address"] = f":{port}"
    with tcp_listener("::", port, dual=True) as tcp:
        proxy = activated(start, config, "web", tcp)
        for host in ("127.0.0.1", "::1"):
            with plain_client(port, host) as c:
                assert c.request(get()).status == 200
        assert backend.exchanges[0].field("x-forwarded-for") == "127.0.0.1"
        assert "warning" not in proxy.stderr


def test_a_reload_may_give_a_passed_socket_up_and_take_it_again(start, port, backend):
    other = free_port()
    one, two = site(port, backend.port), site(other, backend.port)
    with tcp_listener("127.0.0.1", port) as tcp:
        proxy = activated(start, one, "web", tcp)
        proxy.reload(two)
        proxy.wait_stderr(f"inherited socket 127.0.0.1:{port} \\(web\\) belongs to no listener")
        with plain_client(other) as c:
            assert c.request(get()).status == 200
        proxy.reload(one)
        with plain_client(port) as c:
            assert c.request(get()).status == 200


def test_a_passed_socket_that_no_listener_names_is_told(start, port, backend):
    other = free_port()
    with tcp_listener("127.0.0.1", other) as tcp:
        proxy = activated(start, site(port, backend.port), "spare", tcp)
        proxy.wait_stderr(f"inherited socket 127.0.0.1:{other} \\(spare\\) belongs to no listener")


def test_systemd_starts_it_at_the_first_connection(tmp_path, port, backend, pki, certificate):
    """systemd-socket-activate is the service manager's part of it: it listens, waits, and hands over."""
    config = site(port, backend.port, certificate)
    names = [f"--setenv={name}" for name in environment() if re.search("SAN_OPTIONS|NOTIFY_SOCKET", name)]
    proxy = Unlade(tmp_path, config, wrapper=["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=web", "--setenv=NOTIFY_SOCKET", *names])
    proxy.start(wait=False)
    try:
        until(lambda: "Listening on" in proxy.stderr, "systemd-socket-activate to listen")
        assert not proxy.is_ready()
        with tls_client(port, pki) as c:
            assert c.request(get()).status == 200
        until(proxy.is_ready, "its word that it is ready")
    finally:
        proxy.stop()


def test_the_units_of_the_package_are_valid(tmp_path):
    for name in ("unlade.service", "unlade.socket"):
        with open(os.path.join(ROOT, "packaging", name), encoding="ascii") as f:
            (tmp_path / name).write_text(f.read().replace("@BINDIR@", "/usr/bin").replace("/usr/bin/unlade", "/usr/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / "unlade.socket", tmp_path / "unlade.service"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "unlade" not in done.stderr, done.stderr


# ---- TCP Fast Open ----

FAST_OPEN = """
import socket, subprocess, sys, time
def counters():
    with open("/proc/self/net/netstat") as f:
        lines = [l.split() for l in f if l.startswith("TcpExt:")]
    return {k: int(v) for k, v in zip(*lines) if k in ("TCPFastOpenActive", "TCPFastOpenPassive")}
def ask(port):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
    s.settimeout(30)
    s.connect(("127.0.0.1", port))
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: a.test\\r\\nConnection: close\\r\\n\\r\\n")
    data = b""
    while more := s.recv(65536):
        data += more
    assert data.startswith(b"HTTP/1.1 200"), data
port = int(sys.argv[1])
for i in range(4):
    ask(port)
    print(counters(), flush=True)
"""


def test_fast_open_on_both_sides_carries_data_with_the_syn(tmp_path, port, certificate):
    """In a network of its own, whose kernel settings allow it, before an nginx that speaks it too."""
    if os.getuid() != 0:
        pytest.fail("this test makes a network namespace: run it as root")
    helper = free_port()
    proxy = Unlade(tmp_path, site(port, helper, listener={"fast_open": 64}, upstream={"fast_open": True, "pool": {"idle": 0}}))
    web = daemon.nginx(tmp_path, helper, http=f"server {{ listen 127.0.0.1:{helper} fastopen=64; return 200 ok; }}")
    script = tmp_path / "ask.py"
    script.write_text(FAST_OPEN)
    inside = ("ip link set lo up && echo 3 >/proc/sys/net/ipv4/tcp_fastopen && "
              f"{' '.join(web.command)} 2>/dev/null & server=$!\n"
              "for i in $(seq 500); do grep -q ':%04X 00000000:0000 0A' /proc/net/tcp && break; sleep 0.02; done\n" % helper +
              f"{proxy.program} run -c {proxy.file} & proxy=$!\n"
              "for i in $(seq 1500); do grep -q ':%04X 00000000:0000 0A' /proc/net/tcp && break; sleep 0.02; done\n" % port +
              f"python3 {script} {port}; status=$?; kill -TERM $proxy; wait $proxy || status=1; kill $server; exit $status")
    os.chmod(tmp_path, 0o755)
    done = subprocess.run(["unshare", "--net", "sh", "-c", inside], capture_output=True, text=True, timeout=120, env=environment(), check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Sanitizer" not in done.stderr and "does not allow it" not in done.stderr
    last = eval(done.stdout.strip().splitlines()[-1])  # pylint: disable=eval-used
    # Four requests, each over two hops: all but the first connection, which fetched the cookie of 127.0.0.1, sent data with the SYN.
    assert last == {"TCPFastOpenActive": 7, "TCPFastOpenPassive": 7}, done.stdout


def test_a_kernel_that_forbids_fast_open_is_named(tmp_path, port):
    with open("/proc/sys/net/ipv4/tcp_fastopen", encoding="ascii") as f:
        allowed = int(f.read())
    proxy = Unlade(tmp_path, site(port, 1, listener={"fast_open": 64}, upstream={"fast_open": True}))
    done = command("check", "-c", proxy.file)
    assert done.returncode == 0
    assert done.stderr.count("net.ipv4.tcp_fastopen=3") == (not allowed & 2) + (not allowed & 1), done.stderr


def test_a_fast_open_server_that_is_not_there_is_another_try(start, port, backend):
    """Without a cookie it is an ordinary connection."""
    start(site(port, [f"127.0.0.1:{free_port()}", backend.address], upstream={"fast_open": True}))
    for _ in range(4):
        with plain_client(port) as c:
            assert c.request(get()).status == 200
