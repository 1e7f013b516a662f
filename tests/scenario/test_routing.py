"""Which upstream a request goes to, by host and path; redirects, HSTS, addresses and Unix sockets."""
import os
import shutil
import socket
import tempfile

import pytest

from support.backend import Backend, response
from support.client import connect, context, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import Unlade, certificate_entry, site


@pytest.fixture(scope="module")
def named():
    """Four backends that answer with their names."""
    backends = {}
    for name in ("exact", "wildcard", "api", "rest"):
        backends[name] = Backend()
        backends[name].answer = lambda e, n=name: (e.read_body(), e.send(response(n.encode())))
    yield backends
    for b in backends.values():
        b.stop()


def routed(port, named, certificate, listener):
    config = site(port, 1, certificate, listener=listener)
    config["upstreams"] = {name: {"servers": [b.address]} for name, b in named.items()}
    return config


def ask(port, pki, host, path="/", name="a.test"):
    with tls_client(port, pki, name=name) as c:
        r = c.request(get(path, host=host))
        return r.body.decode() if r.status == 200 else r.status


@pytest.fixture(scope="module")
def router(tmp_path_factory, named, certificate):
    port = free_port()
    hosts = {"exact.test": {"to": "exact"}, "*.wild.test": {"to": "wildcard"}, "special.wild.test": {"to": "exact"},
             "b\u00fccher.test": {"to": "exact"}, "part.test": {"routes": [{"path": "/api", "to": "api"}]},
             "[2001:db8::1]": {"to": "exact"}, "192.0.2.1": {"to": "exact"},
             "deep.test": {"to": "rest", "routes": [{"path": "/api", "to": "api"}, {"path": "/api/v2/", "to": "exact"}, {"path": "/%C3%A4", "to": "wildcard"}]}}
    config = routed(port, named, certificate, {"to": "rest", "routes": [{"path": "/api", "to": "api"}], "hosts": hosts})
    with Unlade(tmp_path_factory.mktemp("router"), config):
        yield port


@pytest.mark.parametrize("host, expected", [
    ("exact.test", "exact"), ("EXACT.Test", "exact"), ("exact.test.", "exact"), ("exact.test:8443", "exact"), ("exact.test.:8443", "exact"),
    ("x.wild.test", "wildcard"), ("X.WILD.test", "wildcard"), ("special.wild.test", "exact"), ("wild.test", "rest"),
    ("a.b.wild.test", "rest"), ("notexact.test", "rest"), ("exact.test.evil", "rest"), ("xn--bcher-kva.test", "exact"),
    ("other.test", "rest"), ("[2001:db8::1]", "exact"), ("[2001:DB8:0::1]:443", "exact"), ("192.0.2.1", "exact"), ("192.0.2.2", "rest")])
def test_hosts_choose_the_upstream(router, pki, host, expected):
    assert ask(router, pki, host) == expected


@pytest.mark.parametrize("path, expected", [
    ("/", "rest"), ("/api", "api"), ("/api/", "api"), ("/api/x", "api"), ("/api?x", "api"), ("/apis", "rest"), ("/ap", "rest"),
    ("/API", "rest"), ("/x/api", "rest"), ("/api/v2", "api"), ("/api/v2/", "exact"), ("/api/v2/x", "exact"), ("/api/v22", "api"),
    ("/%C3%A4/x", "wildcard"), ("/x?/api/", "rest")])
def test_paths_choose_the_upstream_on_whole_segments_the_longest_first(router, pki, path, expected):
    assert ask(router, pki, "deep.test", path) == expected


def test_the_listeners_routes_hold_for_hosts_that_are_not_listed(router, pki):
    assert ask(router, pki, "other.test", "/api/x") == "api"


def test_a_request_that_no_route_covers_gets_404(router, pki):
    assert ask(router, pki, "part.test", "/api") == "api"
    assert ask(router, pki, "part.test", "/other") == 404


def test_a_host_that_no_route_covers_gets_404(start, port, named, certificate, pki):
    config = routed(port, named, certificate, {"hosts": {"exact.test": {"to": "exact"}}})
    del config["listeners"]["web"]["to"]
    start(config)
    assert ask(port, pki, "exact.test") == "exact"
    assert ask(port, pki, "other.test") == 404


def test_the_host_decides_and_not_the_server_name_of_tls(router, pki):
    with tls_client(router, pki, name="a.test") as c:
        assert [c.request(get(host=h)).body for h in ("exact.test", "x.wild.test", "other.test")] == [b"exact", b"wildcard", b"rest"]


def test_the_authority_of_an_absolute_target_decides(router, pki):
    with tls_client(router, pki) as c:
        assert c.request(b"GET https://exact.test/ HTTP/1.1\r\nHost: x.wild.test\r\n\r\n").body == b"exact"


# ---- redirect and HSTS ----

def both(https_port, http_port, to, certificate, **options):
    config = site(https_port, to, certificate, listener=options)
    config["listeners"]["plain"] = {"address": f"127.0.0.1:{http_port}", "redirect": "https"}
    return config


@pytest.mark.parametrize("method, host, path, location", [
    ("GET", "a.test", "/x?y=1", "https://a.test/x?y=1"), ("POST", "a.test:80", "/", "https://a.test/"), ("GET", "[::1]:80", "/", "https://[::1]/"),
    ("GET", "A.test", "/%0d%0aSet-Cookie:x", "https://a.test/%0d%0aSet-Cookie:x")])
def test_port_80_redirects_to_https(start, port, backend, certificate, method, host, path, location):
    plain = free_port()
    start(both(port, plain, backend.port, certificate))
    with plain_client(plain) as c:
        r = c.request(get(path, host=host, method=method))
        assert r.status == 308 and r.field("location").lower() == location.lower()
        assert r.field("strict-transport-security") is None
    assert not backend.exchanges


def test_port_80_does_not_redirect_a_request_without_host(start, port, backend, certificate):
    plain = free_port()
    start(both(port, plain, backend.port, certificate))
    with plain_client(plain) as c:
        assert c.request(b"GET / HTTP/1.1\r\n\r\n").status == 400
    with plain_client(plain) as c:
        assert c.request(b"GET / HTTP/1.0\r\n\r\n").status in (400, 404)


@pytest.mark.parametrize("hsts, value", [("365d", "max-age=31536000"), ({"max_age": "730d", "subdomains": True, "preload": True},
                                                                      "max-age=63072000; includeSubDomains; preload")])
def test_hsts_stands_on_every_answer_over_tls(start, port, backend, certificate, pki, hsts, value):
    start(both(port, free_port(), backend.port, certificate, hsts=hsts))
    backend.answer = lambda e: e.send(response(fields=["Strict-Transport-Security: max-age=1"]))
    with tls_client(port, pki) as c:
        assert c.request(get()).all("strict-transport-security") == [value]
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        assert c.response().all("strict-transport-security") == [value], "also on error pages"


def test_hsts_of_a_host_comes_before_the_listeners(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate, listener={"hsts": "1d", "hosts": {"b.test": {"to": "app", "hsts": "2d"}}}))
    with tls_client(port, pki) as c:
        assert c.request(get()).field("strict-transport-security") == "max-age=86400"
        assert c.request(get(host="b.test")).field("strict-transport-security") == "max-age=172800"


def test_without_hsts_the_servers_own_is_passed_on(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate))
    backend.answer = lambda e: e.send(response(fields=["Strict-Transport-Security: max-age=1"]))
    with tls_client(port, pki) as c:
        assert c.request(get()).field("strict-transport-security") == "max-age=1"


# ---- addresses ----

def test_one_listener_serves_several_addresses(start, port, backend, certificate, pki):
    second = free_port()
    config = site(port, backend.port, certificate)
    config["listeners"]["web"]["address"] = [f"127.0.0.1:{port}", f"[::1]:{port}", f"127.0.0.1:{second}"]
    start(config)
    for host, p in (("127.0.0.1", port), ("::1", port), ("127.0.0.1", second)):
        with tls_client(p, pki, host=host) as c:
            assert c.request(get()).status == 200


def test_several_listeners_are_told_apart(start, port, named, certificate, pki):
    second = free_port()
    config = routed(port, named, certificate, {"to": "exact"})
    config["listeners"]["other"] = {**config["listeners"]["web"], "address": f"127.0.0.1:{second}", "to": "api"}
    start(config)
    assert ask(port, pki, "a.test") == "exact" and ask(second, pki, "a.test") == "api"


def test_an_ipv6_server_is_reached(start, port, certificate, pki):
    server = Backend(host="::1")
    start(site(port, f"[::1]:{server.port}", certificate))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    server.stop()


def test_a_server_named_by_host_is_resolved(start, port, backend, certificate, pki):
    start(site(port, [f"localhost:{backend.port}"], certificate))
    with tls_client(port, pki) as c:
        for _ in range(4):  # ::1 may be among its addresses; nobody listens there
            assert c.request(get()).status == 200


@pytest.fixture
def short_directory():
    """Paths of Unix sockets are short, and the worker's own user has to get there."""
    path = tempfile.mkdtemp(prefix="unlade-", dir="/tmp")
    os.chmod(path, 0o777)
    yield path
    shutil.rmtree(path)


def test_a_server_on_a_unix_socket_is_reached(start, port, certificate, pki, short_directory):
    server = Backend(path=f"{short_directory}/app.sock")
    os.chmod(server.path, 0o777)
    start(site(port, [server.address], certificate))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    server.stop()


def test_a_listener_on_a_unix_socket_serves(start, backend, certificate, pki, short_directory):
    path = f"{short_directory}/web.sock"
    config = site(1, backend.port, certificate)
    config["listeners"]["web"]["address"] = f"unix:{path}"
    proxy = start(config)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        with context(pki).wrap_socket(s, server_hostname="a.test") as tls:
            tls.sendall(get())
            assert tls.recv(100).startswith(b"HTTP/1.1 200")
    proxy.stop()
    assert not os.path.exists(path), "the socket's file was left behind"


def test_plain_http_is_served_where_tls_is_off(start, port, backend):
    start(site(port, backend.port))
    with plain_client(port) as c:
        assert c.request(get()).status == 200


def test_default_certificates_serve_listeners_without_their_own(start, port, backend, certificate, pki):
    config = site(port, backend.port, certificate)
    del config["listeners"]["web"]["certificates"]
    config["certificates"] = [certificate_entry(certificate)]
    start(config)
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    connect(port).close()
