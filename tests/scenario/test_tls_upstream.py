"""TLS to the servers: whom we believe, what is kept, what changes with a reload."""
import hashlib
import os
import shutil
import socket
import subprocess
import threading

import pytest

from support.client import get, plain_client, tls_client
from support.ports import free_port
from support.tls_backend import SServer, TlsBackend, TlsNginx
from support.unlade import site
from support.waiting import until
from test_routing import short_directory  # noqa: F401  pylint: disable=unused-import


def tls_site(port, to, pki, *, pool=None, certificate=None, **tls):
    """Plain HTTP in front unless there is a certificate, TLS behind; `to` as in site()."""
    options = {"ca": pki.ca_file, **tls}
    upstream = {"tls": {k: v for k, v in options.items() if v is not None}}
    return site(port, to, certificate, upstream={**upstream, **({"pool": pool} if pool else {})})


@pytest.fixture
def nginx_tls(tmp_path):
    server = TlsNginx(tmp_path / "nginx")
    os.mkdir(server.directory)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server_certificate(pki):
    return pki.leaf("app.internal", "127.0.0.1")


def ask(port, count=1):
    """GET / so often, each on a connection of its own; the statuses."""
    statuses = []
    for _ in range(count):
        with plain_client(port) as c:
            statuses.append(c.request(get()).status)
    return statuses


# ---- whom we believe ----

def test_a_server_is_spoken_to_over_tls_and_its_connection_is_kept(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port, 20) == [200] * 20
    seen = nginx_tls.requests(there, 20)
    assert {r["connection"] for r in seen} == {seen[0]["connection"]} and seen[-1]["requests"] == "20"
    assert {r["version"] for r in seen} == {"TLSv1.3"}


@pytest.mark.parametrize("options, version", [({}, "TLSv1.3"), ({"max_version": "1.2"}, "TLSv1.2"), ({"profile": "modern"}, "TLSv1.3")])
def test_the_version_is_the_newest_that_both_speak(start, port, nginx_tls, pki, server_certificate, options, version):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    start(tls_site(port, there, pki, **options))
    assert ask(port) == [200]
    assert nginx_tls.requests(there)[0]["version"] == version


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_servers_have_keys_of_every_kind(start, port, pki, kind, nginx_tls):
    there = nginx_tls.add(pki.leaf("127.0.0.1", kind=kind))
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port) == [200]


def test_a_chain_with_an_intermediate_leads_to_the_root(start, port, nginx_tls, pki):
    middle = pki.authority("Scenario middle", issuer=pki.roots["ec"])
    there = nginx_tls.add(pki.leaf("127.0.0.1", issuer=middle))
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port) == [200]


def test_an_intermediate_or_the_servers_own_certificate_is_as_good_an_anchor_as_a_root(start, nginx_tls, pki):
    middle = pki.authority("Scenario anchor", issuer=pki.roots["ec"])
    leaf = pki.leaf("127.0.0.1", issuer=middle)
    there = nginx_tls.add(leaf)
    nginx_tls.start()
    for anchor in (middle, leaf):
        only = anchor.chain_file + ".only"
        with open(only, "wb") as f:
            f.write(pki._pem(anchor.certificate))  # pylint: disable=protected-access
        port = free_port()
        start(tls_site(port, there, pki, ca=only))
        assert ask(port) == [200]


def test_a_self_signed_certificate_is_believed_where_it_is_the_ca(start, port, nginx_tls, pki):
    alone = pki.self_signed("127.0.0.1")
    there = nginx_tls.add(alone)
    nginx_tls.start()
    start(tls_site(port, there, pki, ca=alone.chain_file))
    assert ask(port) == [200]


@pytest.mark.parametrize("names, options, host", [
    (["127.0.0.1"], {}, "127.0.0.1"),
    (["::1"], {}, "[::1]"),
    (["localhost"], {}, "localhost"),
    (["app.internal"], {"name": "app.internal"}, "127.0.0.1"),
    (["app.internal"], {"name": "APP.Internal"}, "127.0.0.1"),
    (["*.svc.internal"], {"name": "app.svc.internal"}, "127.0.0.1"),
    (["10.1.2.3"], {"name": "10.1.2.3"}, "127.0.0.1"),
    (["xn--mnchen-3ya.test"], {"name": "münchen.test"}, "127.0.0.1"),
], ids=["IPv4", "IPv6", "host name", "name", "letters of any size", "wildcard", "another address", "U-label"])
def test_the_certificate_must_have_the_name(start, port, nginx_tls, pki, names, options, host):
    there = nginx_tls.add(pki.leaf(*names, common_name="somebody"))
    nginx_tls.blocks[-1] = nginx_tls.blocks[-1].replace("listen 127.0.0.1:", "listen [::1]:" if "::1" in host else "listen 127.0.0.1:")
    nginx_tls.host = "::1" if "::1" in host else "127.0.0.1"
    nginx_tls.start()
    start(tls_site(port, f"{host}:{there}", pki, **options))
    assert ask(port) == [200]


@pytest.mark.parametrize("options, host, sni", [
    ({}, "localhost", "localhost"),
    ({}, "127.0.0.1", "-"),
    ({"name": "app.internal"}, "localhost", "app.internal"),
    ({"name": "127.0.0.1"}, "localhost", "-"),
    ({"sni": "front.test"}, "localhost", "front.test"),
    ({"name": "app.internal", "sni": "front.test"}, "127.0.0.1", "front.test"),
    ({"sni": "off"}, "localhost", "-"),
])
def test_servers_are_asked_for_the_name_that_is_verified_unless_told_otherwise(start, port, nginx_tls, pki, options, host, sni):
    there = nginx_tls.add(pki.leaf("app.internal", "127.0.0.1", "localhost"))
    nginx_tls.start()
    start(tls_site(port, f"{host}:{there}", pki, **options))
    assert ask(port) == [200]
    assert nginx_tls.requests(there)[0]["sni"] == sni


def test_each_server_of_an_upstream_must_have_its_own_name(start, port, nginx_tls, pki):
    """Two names of one address: each is verified as itself, and what is kept of one is not used for the other."""
    first = nginx_tls.add(pki.leaf("localhost"))
    second = nginx_tls.add(pki.leaf("127.0.0.1"))
    nginx_tls.start()
    start(tls_site(port, [f"localhost:{first}", f"127.0.0.1:{second}", f"127.0.0.1:{first}"], pki))
    for _ in range(12):
        assert ask(port) == [200]  # the third server's failures are retried elsewhere
    assert {r["sni"] for r in nginx_tls.requests(first)} == {"localhost"}


def test_the_system_store_is_believed_by_default(start, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    port, other = free_port(), free_port()
    start(tls_site(port, there, pki, ca=None), env={"SSL_CERT_FILE": pki.ca_file})
    assert ask(port) == [200]
    stranger = start(site(other, there, upstream={"tls": True}))
    assert ask(other) == [502]
    stranger.wait_stderr("unable to get local issuer certificate|unable to verify the first certificate")


def test_verify_off_is_what_it_says_and_warned_of_once(start, port, nginx_tls, pki):
    there = nginx_tls.add(pki.expired("somebody.else"))
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki, ca=None, verify=False))
    assert ask(port, 3) == [200] * 3
    assert proxy.stderr.count("not verified") == 1


def test_tls_off_is_plain(start, port, backend):
    start(site(port, backend.port, upstream={"tls": False}))
    assert ask(port) == [200]


# ---- our own certificate ----

@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_server_that_demands_a_certificate_gets_ours(start, port, nginx_tls, pki, server_certificate, version, kind):
    ours = pki.leaf(client=True, common_name="unlade", kind=kind)
    there = nginx_tls.add(server_certificate, f"ssl_verify_client on; ssl_client_certificate {pki.ca_file};")
    nginx_tls.start()
    start(site(port, there, upstream={"tls": {"ca": pki.ca_file, "certificate": ours.chain_file, "key": ours.key_file,
                                              "max_version": version}}))
    assert ask(port) == [200]
    assert nginx_tls.requests(there)[0]["client"] == "CN=unlade"


def test_key_and_certificate_may_share_a_file_and_the_chain_is_sent(start, port, pki, server_certificate):
    middle = pki.authority("Clients' middle", issuer=pki.roots["ec"])
    ours = pki.leaf(client=True, common_name="unlade", issuer=middle)
    server = TlsBackend(server_certificate, client_ca=pki.ca_file)
    start(site(port, server.port, upstream={"tls": {"ca": pki.ca_file, "certificate": ours.both_file}}))
    assert ask(port) == [200]
    server.stop()


# ---- resumption ----

@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("way", ["ssl_session_tickets on;", "ssl_session_tickets off; ssl_session_cache shared:a:1m;"],
                         ids=["tickets", "cache"])
def test_sessions_are_resumed(start, port, nginx_tls, pki, server_certificate, version, way):
    there = nginx_tls.add(server_certificate, way + " keepalive_timeout 0;", protocols=version)
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port, 10) == [200] * 10
    seen = nginx_tls.requests(there, 10)
    assert len({r["connection"] for r in seen}) == 10
    assert [r["reused"] for r in seen] == ["."] + ["r"] * 9


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_sessions_of_http_2_are_resumed_too(start, port, nginx_tls, pki, server_certificate, protocol):
    there = nginx_tls.add(server_certificate, "keepalive_requests 1;", http2=True)
    nginx_tls.start()
    config = tls_site(port, there, pki)
    config["upstreams"]["app"]["protocol"] = protocol
    start(config)
    assert ask(port, 6) == [200] * 6
    seen = nginx_tls.requests(there, 6)
    assert len({r["connection"] for r in seen}) == 6 and [r["reused"] for r in seen] == ["."] + ["r"] * 5


def test_sessions_are_not_resumed_where_that_is_off(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate, "keepalive_timeout 0;")
    nginx_tls.start()
    start(tls_site(port, there, pki, tickets=False))
    assert ask(port, 5) == [200] * 5
    assert {r["reused"] for r in nginx_tls.requests(there, 5)} == {"."}


def test_a_server_that_forgot_the_session_makes_a_new_one(start, port, nginx_tls, pki, server_certificate, tmp_path):
    key = tmp_path / "tickets.key"
    key.write_bytes(os.urandom(80))
    there = nginx_tls.add(server_certificate, f"keepalive_timeout 0; ssl_session_ticket_key {key};")
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port, 2) == [200] * 2
    nginx_tls.stop()
    key.write_bytes(os.urandom(80))
    nginx_tls.start()
    assert ask(port, 3) == [200] * 3
    assert [r["reused"] for r in nginx_tls.requests(there, 5)] == [".", "r", ".", "r", "r"]


# ---- reload ----

def test_a_reload_that_changes_nothing_keeps_connections(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki))
    assert ask(port, 2) == [200] * 2
    proxy.reload()
    assert ask(port, 2) == [200] * 2
    assert len({r["connection"] for r in nginx_tls.requests(there, 4)}) == 1


@pytest.mark.parametrize("protocol", ["http1", "h2", "auto"])
def test_connections_and_sessions_made_under_another_ca_are_not_used(start, port, nginx_tls, pki, server_certificate, tmp_path, protocol):
    there = nginx_tls.add(server_certificate, http2=protocol != "http1")
    nginx_tls.start()
    ca = tmp_path / "ca.pem"
    shutil.copy(pki.ca_file, ca)
    config = tls_site(port, there, pki, ca=str(ca))
    config["upstreams"]["app"]["protocol"] = protocol
    proxy = start(config)
    assert ask(port, 2) == [200] * 2
    shutil.copy(pki.authority("Somebody else").chain_file, ca)  # the same path, another content
    proxy.reload()
    assert ask(port) == [502]
    shutil.copy(pki.ca_file, ca)
    proxy.reload()
    assert ask(port, 2) == [200] * 2
    seen = nginx_tls.requests(there, 4)
    assert len({r["connection"] for r in seen}) == 2 and {r["reused"] for r in seen} == {"."}


@pytest.mark.parametrize("change", [{"name": "127.0.0.1"}, {"sni": "front.test"}, {"max_version": "1.2"}, {"alpn": ["http/1.1"]}])
def test_connections_and_sessions_made_under_other_options_are_not_used(start, port, nginx_tls, pki, server_certificate, change):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki, name="app.internal"))
    assert ask(port, 2) == [200] * 2
    proxy.reload(tls_site(port, there, pki, **{"name": "app.internal", **change}))
    assert ask(port, 2) == [200] * 2
    seen = nginx_tls.requests(there, 4)
    assert len({r["connection"] for r in seen}) == 2 and {r["reused"] for r in seen} == {"."}


# ---- much data ----

def test_large_downloads_arrive_whole_whatever_the_pace(start, port, nginx_tls, pki, server_certificate, certificate):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    with open(os.path.join(nginx_tls.directory, "files", "big"), "rb") as f:
        expected = hashlib.sha256(f.read()).hexdigest()
    start(tls_site(port, there, pki, certificate=certificate))
    for path in ("/big", "/throttled"):
        with tls_client(port, pki, receive_buffer=16384) as c:
            assert hashlib.sha256(c.request(get(path)).body).hexdigest() == expected


def test_large_uploads_arrive_whole_at_a_slow_server(start, port, pki, server_certificate):
    server = TlsBackend(server_certificate)
    digest = hashlib.sha256()
    server.answer = lambda e: (e.read_body(digest.update), e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    start(tls_site(port, server.port, pki))
    data = os.urandom(16 << 20)
    with plain_client(port) as c:
        assert c.request(get(method="POST", body=data)).status == 200
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    server.stop()


def test_s_server_serves_too(start, port, pki, server_certificate):
    server = SServer(server_certificate, "-www")
    start(tls_site(port, server.port, pki))
    assert ask(port, 3) == [200] * 3
    server.stop()


def test_a_unix_socket_may_speak_tls(start, port, pki, server_certificate, short_directory):  # noqa: F811
    server = TlsBackend(server_certificate, path=f"{short_directory}/app.sock")
    os.chmod(server.path, 0o777)
    start(tls_site(port, server.address, pki, name="app.internal"))
    assert ask(port, 2) == [200] * 2
    server.stop()


def test_an_early_answer_reaches_the_client_while_it_still_sends(start, port, pki, server_certificate):
    server = TlsBackend(server_certificate)
    server.answer = lambda e: (e.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nless"),
                               e.connection.say_goodbye(), e.connection.wait_closed())
    start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Content-Length: 100000000"]))
        r = c.response()
        assert r.status == 413 and r.body == b"less"
    server.stop()


@pytest.mark.parametrize("priority", ["NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-GROUP-ALL:+GROUP-SECP384R1"])
def test_a_server_of_another_library_is_spoken_to(start, port, pki, server_certificate, priority):
    there = free_port()
    gnutls = subprocess.Popen(["gnutls-serv", "--http", "--port", str(there), "--priority", priority, "--x509certfile", server_certificate.chain_file,
                               "--x509keyfile", server_certificate.key_file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: listens(there), "gnutls-serv to listen")
        start(tls_site(port, there, pki))
        assert ask(port, 4) == [200] * 4
    finally:
        gnutls.kill()
        gnutls.wait()


def listens(number):
    try:
        socket.create_connection(("127.0.0.1", number), 1).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("end", ["in order", "abrupt"])
def test_a_tunnel_goes_through_tls_and_its_end_is_told_from_a_cut(start, port, pki, server_certificate, end):
    """WebSocket, which says itself when it is over, has tests of its own."""
    server = TlsBackend(server_certificate)

    def answer(e):
        e.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
        assert e.connection.read_some(5) == b"there"
        e.send(b"bye")
        if end == "in order":
            e.connection.say_goodbye()
        e.connection.socket.shutdown(socket.SHUT_WR)
        e.connection.wait_closed()
    server.answer = answer
    config = tls_site(port, server.port, pki)
    config["listeners"]["web"]["routes"] = [{"path": "/", "to": "app", "upgrade": ["echo"]}]
    del config["listeners"]["web"]["to"]
    start(config)
    with plain_client(port) as c:
        c.send(get(fields=["Connection: Upgrade", "Upgrade: echo"]))
        assert c.response_head().status == 101 and c.read_exactly(5) == b"hello"
        c.send(b"there")
        assert c.read_exactly(3) == b"bye"
        if end == "in order":
            assert c.socket.recv(10) == b""
        else:
            with pytest.raises(ConnectionResetError):
                c.socket.recv(10)
    server.stop()


def test_fast_open_goes_with_tls(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate, "keepalive_timeout 0;")
    nginx_tls.start()
    config = tls_site(port, [there, free_port()], pki)
    config["upstreams"]["app"]["fast_open"] = True
    proxy = start(config)
    assert ask(port, 6) == [200] * 6
    config["upstreams"]["app"]["servers"].pop(0)
    proxy.reload(config)
    assert ask(port) == [502] and proxy.access_records(7)[-1]["error"] == "connect"
    assert "TLS with the server" not in proxy.stderr


def test_idle_connections_end_with_close_notify(start, port, pki, server_certificate):
    server = TlsBackend(server_certificate)
    start(tls_site(port, server.port, pki, pool={"idle_time": "50ms"}))
    assert ask(port) == [200]
    until(lambda: server.connections[0].saw_close_notify, "close_notify")
    server.stop()


def test_many_threads_shake_hands_while_the_configuration_changes(start, port, nginx_tls, pki, server_certificate):
    """Nothing is lost, and (under ThreadSanitizer) nothing raced for: trust and contexts are shared."""
    good = nginx_tls.add(server_certificate, "keepalive_timeout 0;")
    bad = nginx_tls.add(pki.expired("127.0.0.1"))
    nginx_tls.start()
    config = {**tls_site(port, [good, bad], pki), "workers": 4}
    proxy = start(config)
    wrong = []

    def ask_often():
        for _ in range(40):
            if ask(port) != [200]:
                wrong.append(1)
    threads = [threading.Thread(target=ask_often) for _ in range(8)]
    for t in threads:
        t.start()
    for name in ("127.0.0.1", "app.internal", "127.0.0.1"):
        config["upstreams"]["app"]["tls"]["name"] = name
        proxy.reload(config)
    for t in threads:
        t.join()
    assert not wrong
