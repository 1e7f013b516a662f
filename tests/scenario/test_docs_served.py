"""The configurations of the documents serve what they promise, as they stand there: with nothing but ports, paths and servers
changed. Mail, TCP and PostgreSQL have theirs beside their other tests."""
import asyncio
import grp
import json
import os
import shutil
import socket
import ssl
import tempfile

import pytest
import websockets

from support import proxy_protocol as pp
from support.backend import Backend
from support.client import Client, connect, context, curl, get, plain_client, tls_client
from support.documents import pasted
from support.h2 import MAX_CONCURRENT_STREAMS, h2_client
from support.h2_server import H2Server
from support.node import Node
from support.ports import free_port
from support.raw import RawServer, read_exactly
from support.tls_backend import TlsBackend
from support.tls_contexts import server_context
from support.waiting import LONG


@pytest.fixture
def backends():
    """backends(n) are scripted ones that are stopped, and judged, when the test ends."""
    made = []

    def some(count):
        made.extend(Backend() for _ in range(count))
        return made[-count:]

    yield some
    for b in made:
        b.stop()
        assert not b.failures, b.failures


# ---- docs/http2.md ----

def test_http2_is_spoken_without_a_word_about_it(start, pki, tmp_path, backends):
    two = backends(2)
    config, ports = pasted("http2.md", 0, pki, tmp_path, app=[b.address for b in two])
    start(config)
    for _ in range(4):
        done = curl(ports["web"], pki, "/", "--http2", "--write-out", "%{http_version} %{http_code}", "--output", "/dev/null")
        assert done.stdout == "2 200", done
    assert all(b.exchanges for b in two)


def test_limits_of_http2_and_a_host_without_it(start, pki, tmp_path, backends):
    (one,) = backends(1)
    config, ports = pasted("http2.md", 1, pki, tmp_path, "old.example.org", app=[one.address])
    start(config)
    with h2_client(ports["web"], pki) as c:
        assert c.fetch().status == 200
        assert c.peer_settings[MAX_CONCURRENT_STREAMS] == 50
        assert c.fetch(more=[(f"x-{i}", "y") for i in range(70)]).status == 431
    done = curl(ports["web"], pki, "/", "--http2", "--write-out", "%{http_version} %{http_code}", "--output", "/dev/null", name="old.example.org")
    assert done.stdout == "1.1 200", done


# ---- docs/grpc.md ----

def test_calls_go_to_servers_of_grpc(start, pki, tmp_path):
    with Node("grpc_server.js", 0, json.dumps({})) as one, Node("grpc_server.js", 0, json.dumps({})) as two:
        addresses = [f"127.0.0.1:{n.expect('port')}" for n in (one, two)]
        config, ports = pasted("grpc.md", 0, pki, tmp_path, calls=addresses)
        start(config)
        with Node("grpc_client.js", f"localhost:{ports['web']}", pki.ca_file) as caller:
            for number in (1, 2, 3, 4):
                caller.write({"id": number, "call": "Unary", "text": "hello"})
                answer = caller.read()
                assert answer["id"] == number and answer["code"] == 0 and answer["same"], answer
        assert one.expect("call") == two.expect("call") == "Unary"


def test_services_of_grpc_have_routes_to_servers_over_tls(start, pki, tmp_path, backends):
    (app,) = backends(1)
    named = {name: H2Server(tls=server_context(pki.leaf(f"{name}.internal"), ["h2"])) for name in ("orders", "stock")}
    config, ports = pasted("grpc.md", 1, pki, tmp_path, app=[app.address], **{name: [f"127.0.0.1:{s.port}"] for name, s in named.items()})
    start(config)
    for name, server in named.items():
        server.on_end = lambda c, stream, name=name: c.respond(stream, body=name.encode())
    with h2_client(ports["web"], pki) as c:
        assert bytes(c.fetch("/shop.Orders/Get").body) == b"orders"
        assert bytes(c.fetch("/shop.Stock/Get").body) == b"stock"
        assert c.fetch("/").status == 200
    assert len(app.exchanges) == 1
    for server in named.values():
        server.stop()


# ---- docs/websocket.md ----

def echoed(port, pki, path, **options):
    async def talk():
        tls = ssl.create_default_context(cafile=pki.ca_file)
        async with websockets.connect(f"wss://a.test:{port}{path}", host="127.0.0.1", port=port, ssl=tls, **options) as ws:
            await ws.send("hello")
            return await ws.recv()
    return asyncio.run(asyncio.wait_for(talk(), LONG))


@pytest.fixture
def echo_server():
    port = free_port()
    with Node("ws_server.js", port, "deflate") as node:
        assert node.expect("port") == port
        node.port = port
        yield node


def test_websocket_passes_without_a_word_about_it(start, pki, tmp_path, echo_server):
    config, ports = pasted("websocket.md", 0, pki, tmp_path, app=[f"127.0.0.1:{echo_server.port}"])
    start(config)
    assert echoed(ports["web"], pki, "/chat") == "hello"


def test_upgrades_may_differ_by_route(start, pki, tmp_path, echo_server, backends):
    (app,) = backends(1)
    config, ports = pasted("websocket.md", 1, pki, tmp_path, app=[app.address], broker=[f"127.0.0.1:{echo_server.port}"])
    start(config)
    assert echoed(ports["web"], pki, "/mqtt") == "hello"
    with tls_client(ports["web"], pki) as c:
        r = c.request(get("/api", fields=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "=="]))
        assert r.status == 200   # no upgrade there: a plain request
    assert app.exchanges[-1].field("upgrade") is None


# ---- docs/rewriting.md ----

def test_each_line_about_rewriting_does_what_it_says(start, pki, tmp_path, backends):
    app, api = backends(2)
    config, ports = pasted("rewriting.md", 0, pki, tmp_path, app=[app.address], api=[api.address])
    start(config)
    with tls_client(ports["web"], pki) as c:
        r = c.request(get("/"))
        assert (r.field("x-content-type-options"), r.field("strict-transport-security"), r.field("server")) == ("nosniff", "max-age=63072000", None)
        assert c.request(get("/api/v1?x=y", fields=["Authorization: Basic eA=="])).status == 200
        assert (api.exchanges[-1].target, api.exchanges[-1].field("host"), api.exchanges[-1].field("authorization")) == ("/v1?x=y", "api.internal", "Basic eA==")
        assert c.request(get("/old/page")).status == 200 and app.exchanges[-1].target == "/new/page"
        assert c.request(get("/internal/x", fields=["Authorization: Basic eA==", "X-Zone: mine"])).status == 200
        assert app.exchanges[-1].field("x-zone") == "internal" and app.exchanges[-1].field("authorization") is None
        r = c.request(get("/blog/2024/?page=2"))
        assert (r.status, r.field("location")) == (308, "https://blog.example.org/2024/?page=2")
        r = c.request(get("/shop/cart"))
        assert r.status in (301, 302, 307, 308) and r.field("location") == "https://shop.example.org/"
        assert c.request(get("/healthz")).status == 204
        r = c.request(get("/robots.txt"))
        assert (r.status, r.body) == (200, b"User-agent: *\nDisallow: /\n")
    assert (len(app.exchanges), len(api.exchanges)) == (3, 1)


# ---- docs/proxy-protocol.md ----

def test_listed_senders_announce_their_clients(start, pki, tmp_path, backends):
    (app,) = backends(1)
    config, ports = pasted("proxy-protocol.md", 0, pki, tmp_path, app=[app.address])
    listed = config["listeners"]["web"]["proxy_protocol"]["from"]
    listed[listed.index("10.0.0.0/8")] = "127.0.0.0/8"   # where this test is
    start(config)
    sock = connect(ports["web"])
    sock.sendall(pp.v2(source="192.0.2.7"))
    with Client(context(pki).wrap_socket(sock, server_hostname="a.test")) as c:
        assert c.request(get()).status == 200
    assert app.exchanges[-1].field("x-forwarded-for") == "192.0.2.7"


def test_servers_are_told_who_the_client_is(start, pki, tmp_path):
    receiver = pp.Receiver()
    config, ports = pasted("proxy-protocol.md", 1, pki, tmp_path, app=[receiver.address])
    start(config)
    with tls_client(ports["web"], pki) as c:
        local = c.socket.getsockname()
        assert c.request(get()).status == 200
    (header,) = receiver.headers
    assert (header.version, header.source) == (2, local)
    receiver.stop()


# ---- docs/tls-to-backends.md ----

def test_servers_over_tls_prove_their_name(start, pki, tmp_path):
    servers = [TlsBackend(pki.leaf("app.internal")) for _ in range(2)]
    config, ports = pasted("tls-to-backends.md", 0, pki, tmp_path, app=[s.address for s in servers])
    start(config)
    with tls_client(ports["web"], pki) as c:
        assert [c.request(get()).status for _ in range(4)] == [200] * 4
    assert all(s.exchanges for s in servers)
    for s in servers:
        s.stop()


def test_servers_that_are_named_by_host_are_verified_by_the_systems_authorities(start, pki, tmp_path):
    server = TlsBackend(pki.leaf("localhost"))
    config, ports = pasted("tls-to-backends.md", 1, pki, tmp_path, app=[f"localhost:{server.port}"])
    start(config, env={"SSL_CERT_FILE": pki.ca_file})
    with tls_client(ports["web"], pki) as c:
        assert c.request(get()).status == 200
    server.stop()


def test_servers_that_demand_a_certificate_get_ours(start, pki, tmp_path):
    server = TlsBackend(pki.leaf("localhost"), client_ca=pki.ca_file)
    config, ports = pasted("tls-to-backends.md", 2, pki, tmp_path, app=[f"localhost:{server.port}"])
    ours = pki.leaf(client=True, common_name="unlade")
    config["upstreams"]["app"]["tls"].update(certificate=ours.chain_file, key=ours.key_file)
    start(config)
    with tls_client(ports["web"], pki) as c:
        assert c.request(get()).status == 200
    server.stop()


# ---- docs/sockets.md ----

@pytest.fixture
def folder():
    """A folder with a short name that the worker, whoever it runs as, may enter."""
    path = tempfile.mkdtemp(prefix="unlade-", dir="/tmp")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def test_unix_sockets_on_both_sides(start, pki, tmp_path, folder):
    server = Backend(f"{folder}/http.sock")
    os.chmod(f"{folder}/http.sock", 0o777)
    config, _ = pasted("sockets.md", 0, pki, tmp_path, app=[f"unix:{folder}/http.sock"])
    address = config["listeners"]["local"]["address"]
    address["endpoint"] = f"unix:{folder}/web.sock"
    start(config)
    there = os.stat(f"{folder}/web.sock")
    assert (there.st_mode & 0o777, there.st_gid) == (0o660, grp.getgrnam("www-data").gr_gid)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{folder}/web.sock")
    with Client(sock) as c:
        assert c.request(get()).status == 200
    server.stop()


def test_who_comes_in_clear_is_sent_to_https(start, pki, tmp_path, backends):
    (app,) = backends(1)
    config, ports = pasted("sockets.md", 1, pki, tmp_path, app=[app.address])
    start(config)
    with plain_client(ports["plain"]) as c:
        r = c.request(get("/page?x=y"))
        assert r.status in (301, 308) and r.field("location").startswith("https://a.test") and r.field("location").endswith("/page?x=y")
    with tls_client(ports["web"], pki) as c:
        assert c.request(get()).status == 200


def test_a_database_behind_keep_alive(start, pki, tmp_path):
    with RawServer() as server:
        config, ports = pasted("sockets.md", 2, pki, tmp_path, postgres=[f"127.0.0.1:{server.port}"])
        start(config)
        with tls_client(ports["database"], pki) as c:
            c.send(b"hello")
            assert read_exactly(c.socket, 5) == b"hello"


def test_fast_open_on_both_sides_serves(start, pki, tmp_path, backends):
    (app,) = backends(1)
    config, ports = pasted("sockets.md", 3, pki, tmp_path, app=[app.address])
    start(config)
    with tls_client(ports["web"], pki) as c:
        assert c.request(get()).status == 200
