"""One port for HTTP, TCP mode and pass-through, told apart by SNI or ALPN before anything is decrypted."""
import re
import socket
import ssl
import subprocess

import pytest

from support.backend import Backend
from support.client import (client_hello_bytes, connect, context, get, plain_client, read_alert, split_records,
                            tls_client)
from support.ports import free_port
from support.raw import RawServer, echo, noise, read_all, read_exactly
from support.unlade import certificate_entry, command
from support.waiting import LONG, until

NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, CERTIFICATE_REQUIRED = 120, 112, 116


def server_context(certificate, alpn=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(certificate.chain_file, certificate.key_file)
    if alpn:
        c.set_alpn_protocols(alpn)
    return c


class Port:
    """HTTP, relays and pass-through behind one listener; each upstream says who it is."""

    def __init__(self, pki):
        self.pki = pki
        self.ours = pki.leaf("www.test", "*.www.test", "tcp.test", "staff.test", "localhost")
        self.theirs = pki.leaf("pass.test", "any.pass.test", "www.test", "tcp.test", "elsewhere.test")
        self.http = Backend()
        self.tcp = RawServer(lambda c: (c.sendall(b"tcp:"), echo(c)))
        self.mqtt = RawServer(lambda c: (c.sendall(b"mqtt:"), echo(c)))
        self.passed = RawServer(lambda c: (c.sendall(b"own tls:"), echo(c)), tls=server_context(self.theirs, ["own"]))
        self.acme = RawServer(lambda c: c.sendall(b"acme"), tls=server_context(self.theirs, ["acme-tls/1"]))

    def config(self, port, listener=None, **root):
        name = lambda server: {"servers": [f"127.0.0.1:{server.port}"]}
        web = {"address": f"127.0.0.1:{port}", "certificates": [certificate_entry(self.ours)], "to": "http",
               "hosts": {"tcp.test": {"protocol": "tcp", "to": "tcp"},
                         "pass.test": {"protocol": "passthrough", "to": "passed"},
                         "*.pass.test": {"protocol": "passthrough", "to": "passed"}},
               "by_alpn": {"mqtt": {"protocol": "tcp", "to": "mqtt"},
                           "acme-tls/1": {"protocol": "passthrough", "to": "acme"}}, **(listener or {})}
        return {"workers": 1, "listeners": {"web": web},
                "upstreams": {"http": name(self.http), "tcp": name(self.tcp), "mqtt": name(self.mqtt),
                              "passed": name(self.passed), "acme": name(self.acme)}, **root}

    def stop(self):
        for server in (self.http, self.tcp, self.mqtt, self.passed, self.acme):
            server.stop()


@pytest.fixture(scope="module")
def behind(pki):
    everything = Port(pki)
    yield everything
    everything.stop()


@pytest.fixture
def shared_port(start, port, behind):
    proxy = start(behind.config(port))
    proxy.port = port
    return proxy


def serves(port, pki, name, alpn=None):
    """Which upstream answers, over whose certificate."""
    with tls_client(port, pki, name, alpn=alpn) as c:
        serial = int(c.socket.getpeercert()["serialNumber"], 16)
        if alpn is None or "http/1.1" in alpn:
            c.send(get("/", name))
        return c.read_exactly(4), serial, c.socket.selected_alpn_protocol()


def test_each_name_and_protocol_gets_what_is_its_own(shared_port, behind, pki):
    ours, theirs = behind.ours.serial, behind.theirs.serial
    for name, alpn, answer, serial, negotiated in [
            ("www.test", None, b"HTTP", ours, None),
            ("www.test", ["http/1.1"], b"HTTP", ours, "http/1.1"),
            ("tcp.test", None, b"tcp:", ours, None),
            ("tcp.test", ["redis"], b"tcp:", ours, None),
            ("pass.test", None, b"own ", theirs, None),
            ("any.pass.test", ["own"], b"own ", theirs, "own"),
            ("www.test", ["mqtt"], b"mqtt", ours, "mqtt"),
            ("www.test", ["acme-tls/1"], b"acme", theirs, "acme-tls/1"),
            ("tcp.test", ["acme-tls/1"], b"acme", theirs, "acme-tls/1")]:
        assert serves(shared_port.port, pki, name, alpn) == (answer, serial, negotiated), (name, alpn)


def test_a_name_that_is_passed_through_has_its_acme_to_itself(shared_port, behind, pki):
    """The backend's own TLS answers, whatever protocol is offered to it."""
    answer, serial, negotiated = serves(shared_port.port, pki, "pass.test", ["acme-tls/1", "own"])
    assert (answer, serial, negotiated) == (b"own ", behind.theirs.serial, "own")


def test_clients_without_a_known_name_get_the_listeners_own(shared_port, behind, pki):
    for name in (None, "unknown.test"):
        with tls_client(shared_port.port, None, name, ssl_context=context()) as c:
            assert c.request(get("/", "x.test")).status == 200


def test_a_protocol_that_nobody_speaks_is_refused(shared_port, behind, pki):
    with pytest.raises(ssl.SSLError, match="NO_APPLICATION_PROTOCOL|no application protocol"):
        serves(shared_port.port, pki, "www.test", ["smtp"])


def test_requests_for_a_host_of_another_protocol_get_421(shared_port, pki):
    for host in ("tcp.test", "pass.test", "any.pass.test"):
        with tls_client(shared_port.port, pki, "www.test") as c:
            assert c.request(get("/", host)).status == 421


@pytest.mark.parametrize("cut", [1, 7, 200])
def test_the_bytes_of_a_clients_tls_pass_untouched_however_they_are_cut(start, port, behind, pki, cut):
    hello = client_hello_bytes(context(pki), "pass.test")
    for sent in (hello, split_records(hello, 50)):
        with RawServer(lambda c: c.sendall(read_exactly(c, len(sent) + 5))) as raw:
            config = behind.config(port)
            config["upstreams"]["passed"] = {"servers": [f"127.0.0.1:{raw.port}"]}
            proxy = start(config)
            c = connect(port)
            for i in range(0, len(sent), cut):
                c.sendall(sent[i:i + cut])
            c.sendall(b"later")
            assert read_exactly(c, len(sent) + 5) == sent + b"later"
            c.close()
            proxy.stop()


def test_large_streams_pass_through_whole(shared_port, pki):
    data = noise(20 << 20)
    with tls_client(shared_port.port, pki, "pass.test") as c:
        assert c.read_exactly(8) == b"own tls:"
        for i in range(0, len(data), 1 << 18):
            c.send(data[i:i + (1 << 18)])
            assert c.read_exactly(1 << 18) == data[i:i + (1 << 18)]


def test_openssl_s_server_is_reached_with_its_own_certificate(start, port, behind, pki):
    backend_port = free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{backend_port}", "-cert", behind.theirs.chain_file,
                               "-key", behind.theirs.key_file, "-rev", "-quiet"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        config = behind.config(port)
        config["upstreams"]["passed"] = {"servers": [f"127.0.0.1:{backend_port}"]}
        until(lambda: can_connect(backend_port), "s_server to listen")
        start(config)
        with tls_client(port, pki, "pass.test") as c:
            c.send(b"stressed\n")
            assert c.read_exactly(9) == b"desserts\n"
    finally:
        server.kill()
        server.wait()


def can_connect(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_the_log_names_what_was_passed_through(shared_port, pki):
    with tls_client(shared_port.port, pki, "pass.test") as c:
        c.read_exactly(8)
    record = shared_port.access_records()[0]
    assert record["protocol"] == "passthrough" and record["sni"] == "pass.test" and record["upstream"] == "passed"
    assert "tls_version" not in record and record["request_bytes"] > 200


def test_a_listener_of_pass_through_alone_needs_no_certificate(start, port, behind, pki):
    start({"workers": 1, "listeners": {"web": {"address": f"127.0.0.1:{port}", "protocol": "passthrough", "to": "passed"}},
           "upstreams": {"passed": {"servers": [f"127.0.0.1:{behind.passed.port}"]}}})
    assert serves(port, pki, "elsewhere.test", ["own"])[0] == b"own "
    with tls_client(port, pki, None) as c:
        assert c.read_exactly(8) == b"own tls:"


def test_without_a_default_unknown_names_are_refused(start, port, behind, pki):
    proxy = start({"workers": 1, "listeners": {"web": {"address": f"127.0.0.1:{port}", "protocol": "passthrough",
                                                       "hosts": {"pass.test": {"to": "passed"}}}},
                   "upstreams": {"passed": {"servers": [f"127.0.0.1:{behind.passed.port}"]}}})
    assert serves(port, pki, "pass.test", ["own"])[0] == b"own "
    c = connect(port)
    c.sendall(client_hello_bytes(context(pki), "www.test"))
    assert read_alert(c) == (2, UNRECOGNIZED_NAME)
    proxy.wait_stderr(r"sni www\.test: nothing is served here without a known server name")


def test_what_is_no_tls_is_refused(start, port, behind):
    proxy = start(behind.config(port))
    with plain_client(port) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: pass.test\r\n\r\n")
        c.assert_closed()
    proxy.wait_stderr("what arrived is not TLS")


def test_a_proxys_header_may_come_before_what_is_passed_through(start, port, behind, pki):
    start(behind.config(port, {"proxy_protocol": {"from": ["127.0.0.0/8"]}}))
    hello = client_hello_bytes(context(pki), "pass.test")
    c = connect(port)
    c.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n" + hello)
    assert read_exactly(c, 3)[:2] == b"\x16\x03"  # the backend's handshake
    c.close()


def test_a_thousand_clients_under_tls_at_once(start, port, behind, pki):
    start(behind.config(port))
    names = {"tcp.test": b"tcp:", "pass.test": b"own tls:"}
    contexts = context(pki)
    clients = [(tls_client(port, pki, name, ssl_context=contexts), said) for _ in range(500) for name, said in names.items()]
    for i, (c, said) in enumerate(clients):
        c.send(b"%06d" % i)
    for i, (c, said) in enumerate(clients):
        assert c.read_exactly(len(said) + 6) == said + b"%06d" % i
        c.close()


# ---- client certificates ----

def test_a_protocol_is_not_reached_under_lesser_demands_than_the_listeners(start, port, behind, pki):
    """by_alpn is the listener's: a host that asks no certificates of its clients is no way around those who are asked."""
    policies = {"strict": {"clients": {"certificate": "required", "ca": pki.ca_file}}}
    listener = {"tls": "strict", "hosts": {"www.test": {"tls": "default", "to": "http"}}}
    start(behind.config(port, listener, tls=policies))
    with pytest.raises(ssl.SSLError, match="NO_APPLICATION_PROTOCOL|no application protocol"):
        serves(port, pki, "www.test", ["mqtt"])
    mine = pki.leaf(client=True, common_name="me")
    with tls_client(port, pki, "localhost", alpn=["mqtt"], certificate=mine) as c:
        assert c.read_exactly(5) == b"mqtt:"
    with pytest.raises((ssl.SSLError, OSError)):
        with tls_client(port, pki, "localhost", alpn=["mqtt"], most="1.2") as c:
            c.read_exactly(5)


def test_a_tcp_host_has_its_policys_client_certificates(start, port, behind, pki):
    policies = {"staff": {"clients": {"certificate": "required", "ca": pki.ca_file}}}
    hosts = {"tcp.test": {"protocol": "tcp", "to": "tcp", "tls": "staff"}}
    start(behind.config(port, {"hosts": hosts}, tls=policies))
    mine = pki.leaf(client=True, common_name="me")
    with tls_client(port, pki, "tcp.test", certificate=mine) as c:
        assert c.read_exactly(4) == b"tcp:"
    with pytest.raises((ssl.SSLError, OSError)):
        with tls_client(port, pki, "tcp.test", most="1.2") as c:
            c.read_exactly(4)


def test_a_ticket_of_one_host_is_of_no_use_at_another(start, port, behind, pki):
    start(behind.config(port))
    c = context(pki, most="1.2")
    with tls_client(port, pki, "www.test", ssl_context=c) as first:
        assert first.request(get("/", "www.test")).status == 200
        session = first.socket.session
    with tls_client(port, pki, "www.test", ssl_context=c, session=session) as again:
        assert again.socket.session_reused
    with tls_client(port, pki, "tcp.test", ssl_context=c, session=session) as other:
        assert not other.socket.session_reused
        assert other.read_exactly(4) == b"tcp:"


# ---- ALPN of TCP mode ----

def test_a_tcp_listener_negotiates_what_is_written(start, port, behind, pki):
    start({"workers": 1, "listeners": {"web": {"address": f"127.0.0.1:{port}", "protocol": "tcp", "to": "tcp", "alpn": ["b", "a"],
                                               "certificates": [certificate_entry(behind.ours)]}},
           "upstreams": {"tcp": {"servers": [f"127.0.0.1:{behind.tcp.port}"]}}})
    assert serves(port, pki, "www.test", ["a"])[2] == "a"
    assert serves(port, pki, "www.test", ["a", "b"])[2] == "b"
    assert serves(port, pki, "www.test", None)[2] is None
    c = connect(port)
    c.sendall(client_hello_bytes(context(pki, alpn=["c"], most="1.2"), "www.test"))
    assert read_alert(c) == (2, NO_APPLICATION_PROTOCOL)


def test_http_may_be_relayed_as_bytes(start, port, behind, pki):
    """What a listener does by ALPN goes before what its own protocol negotiates."""
    start(behind.config(port, {"by_alpn": {"http/1.1": {"protocol": "tcp", "to": "tcp"}}}))
    assert serves(port, pki, "www.test", ["http/1.1"])[0] == b"tcp:"


# ---- wrong configurations ----

BASE = """
listeners:
  web: {{ address: "127.0.0.1:18443", certificates: {both}, {listener} }}
upstreams:
  app: {{ servers: ["127.0.0.1:18080"] }}
  safe: {{ servers: ["127.0.0.1:18081"], tls: {{ verify: off }} }}
  auto: {{ servers: ["127.0.0.1:18082"], tls: {{ verify: off }}, protocol: auto }}
"""


@pytest.mark.parametrize("listener, expected", [
    ("protocol: tcp, routes: [{ path: /x, to: app }]", "tcp knows no paths to choose by: write `to: UPSTREAM`"),
    ("protocol: tcp, to: app, redirect: https", "only HTTP can be redirected"),
    ("protocol: passthrough, to: app, tls: off", "what is passed through is TLS: remove `tls: off`"),
    ("protocol: tcp, tls: off, hosts: { a.test: { to: app } }", "without TLS no client of this listener names a host"),
    ("tls: off, to: app, hosts: { a.test: { protocol: passthrough, to: app } }", "make a listener of its own for passthrough"),
    ("tls: off, to: app, hosts: { a.test: { protocol: tcp, to: app } }", "make a listener of its own for tcp"),
    ("tls: off, to: app, by_alpn: { mqtt: { protocol: tcp, to: app } }", "ALPN is a part of TLS"),
    ("protocol: tcp", "this listener serves nothing"),
    ("to: app, hosts: { a.test: { protocol: tcp } }", "this host serves nothing: write `to: UPSTREAM`"),
    ("to: app, hosts: { a.test: { protocol: tcp, to: app, routes: [{ to: app }] } }", "tcp knows no paths"),
    ("to: app, hosts: { a.test: { protocol: tcp, to: app, hsts: 1d } }", "only HTTP has such a field: remove `hsts`"),
    ("to: app, hosts: { a.test: { protocol: passthrough, to: app, tls: default } }", "the backend's own TLS: remove `tls`"),
    ("to: app, hosts: { a.test: { protocol: passthrough, to: app, alpn: x } }", "negotiates ALPN with the backend: remove `alpn`"),
    ("to: app, hosts: { a.test: { protocol: passthrough, to: safe } }", "would wrap once more"),
    ("to: app, by_alpn: { x: { protocol: passthrough, to: safe } }", "would wrap once more"),
    ("protocol: tcp, to: auto", "leaves a choice to the servers that only HTTP can follow"),
    ("protocol: passthrough, to: app, alpn: x", "negotiates ALPN with the backend: remove `alpn`"),
    ("protocol: passthrough, to: app, by_alpn: { x: { protocol: tcp, to: app } }", "nothing can be negotiated on a listener"),
    ("to: app, alpn: spdy/1", '"spdy/1" is no HTTP that is spoken here'),
    ("protocol: tcp, to: app, alpn: [a, a]", '"a" stands here twice'),
])
def test_combinations_that_make_no_sense_are_refused_with_a_remedy(tmp_path, certificate, listener, expected):
    file = tmp_path / "unlade.yaml"
    file.write_text(BASE.format(both=certificate.both_file, listener=listener))
    done = command("check", "-c", file)
    assert done.returncode == 1 and expected in done.stderr + done.stdout, done.stderr + done.stdout
    assert re.search(r"unlade\.yaml:3:\d+: error", done.stderr + done.stdout)


@pytest.mark.parametrize("listener, expected", [
    ("protocol: passthrough, to: app", "a listener that decrypts nothing has no use for certificates"),
    ("protocol: passthrough, to: app, tls: default", "a listener that decrypts nothing has no use for a TLS policy"),
    ("protocol: tcp, to: app, hsts: 1d", "only HTTP has such a field"),
    ("protocol: tcp, to: app, trusted_proxies: 10.0.0.0/8", "only HTTP has fields to believe"),
    ("protocol: tcp, to: app, request_id: pass", "only HTTP has requests to number"),
])
def test_what_is_of_no_use_is_warned_of(tmp_path, certificate, listener, expected):
    file = tmp_path / "unlade.yaml"
    file.write_text(BASE.format(both=certificate.both_file, listener=listener))
    done = command("check", "-c", file)
    assert done.returncode == 0 and expected in done.stderr + done.stdout, done.stderr + done.stdout
