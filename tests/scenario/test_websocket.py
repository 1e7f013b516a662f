"""WebSocket with real peers on both sides: npm's ws, python3-websockets, Chromium; over HTTP/1.1 and HTTP/2."""
import asyncio
import hashlib
import json
import signal
import ssl
import threading

import pytest
import websockets

from support.backend import Backend, response
from support.browser import Chromium
from support.client import get, tls_client
from support.node import Node
from support.ports import free_port
from support.unlade import Unlade, site
from support.waiting import LONG, until

MB = 1 << 20


@pytest.fixture(scope="module")
def server():
    """npm's ws, which echoes."""
    port = free_port()
    with Node("ws_server.js", port, "deflate") as node:
        assert node.expect("port") == port
        node.port = port
        yield node


def forget(server):
    """What earlier tests made the server say."""
    while not server.lines.empty():
        server.lines.get()


@pytest.fixture(scope="module")
def front(tmp_path_factory, certificate, server):
    port = free_port()
    with Unlade(tmp_path_factory.mktemp("front"), site(port, server.port, certificate)) as proxy:
        proxy.port = port
        yield proxy


@pytest.fixture
def proxy(front, server):
    forget(server)
    yield front
    assert front.process.poll() is None and not front.findings(), front.stderr


def client_of(proxy, pki, path="/", protocol=None):
    return Node("ws_client.js", f"wss://a.test{path}", proxy.port, pki.ca_file, *([protocol] if protocol else []))


# ---- npm's ws on both sides ----

def test_messages_go_both_ways(proxy, server, pki):
    with client_of(proxy, pki, "/chat?room=1", "chat") as c:
        opened = c.expect("open")
        assert opened["protocol"] == "chat" and "permessage-deflate" in opened["extensions"]
        seen = server.expect("open")
        assert seen["path"] == "/chat?room=1" and seen["protocol"] == "chat" and seen["headers"]["x-forwarded-proto"] == "https"
        for text in ("hello", "\u00e4\u20ac\U0001f600", "", "x" * 70000):
            c.write({"text": text})
            assert c.expect("text") == text
        c.write({"ping": True})
        assert c.expect("pong")
        c.write({"close": 4001})
        assert c.expect("closed") == {"code": 4001, "reason": "as asked"}
        assert server.expect("closed") == {"code": 4001, "reason": "as asked"}
        assert c.wait() == 0


def test_the_server_may_close_first(proxy, server, pki):
    with client_of(proxy, pki) as c:
        c.expect("open")
        c.write({"text": json.dumps({"close": 4002})})
        assert c.expect("closed") == {"code": 4002, "reason": "as asked"}
        assert server.expect("closed")["code"] == 4002


def test_a_client_that_is_gone_is_gone_for_the_server_too(proxy, server, pki):
    with client_of(proxy, pki) as c:
        c.expect("open")
        server.expect("open")
        c.write({"terminate": True})
        assert server.expect("closed")["code"] == 1006


def test_a_refused_handshake_comes_back_as_it_is(proxy, pki):
    with client_of(proxy, pki, "/refused") as c:
        assert c.expect("refused") == 401


def test_large_messages_arrive_whole_through_a_reader_that_pauses(proxy, server, pki):
    """32 MB in one message; the server does not read for a while, and so the client cannot send on."""
    with client_of(proxy, pki) as c:
        c.expect("open")
        c.write({"text": json.dumps({"pause": True})})
        server.expect("paused")
        c.write({"bytes": 32 * MB})
        sent = c.expect("sending")
        server.write({"do": "resume"})
        got = c.expect("sha256")
        assert got == sent


def test_a_flood_from_the_server_waits_for_a_client_that_pauses(proxy, server, pki):
    with client_of(proxy, pki) as c:
        c.expect("open")
        c.write({"pause": True})
        c.write({"text": json.dumps({"flood": 32 * MB, "piece": MB})})
        c.write({"resume": True})
        assert sum(c.expect("bytes") for _ in range(32)) == 32 * MB


# ---- another client ----

def test_python_websockets_talks_to_ws(proxy, pki):
    async def talk():
        context = ssl.create_default_context(cafile=pki.ca_file)
        async with websockets.connect(f"wss://a.test:{proxy.port}/py", host="127.0.0.1", port=proxy.port, ssl=context, max_size=None) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            data = bytes(range(256)) * 4 * 4096
            await ws.send(data)
            assert hashlib.sha256(await ws.recv()).digest() == hashlib.sha256(data).digest()
            await asyncio.wait_for(await ws.ping(), LONG)
    asyncio.run(asyncio.wait_for(talk(), LONG))


# ---- limits, reload and the end ----

@pytest.fixture
def own(start, port, server, certificate):
    """An Unlade of the test's own."""
    forget(server)

    def start_it(stop=None, **listener):
        proxy = start(site(port, server.port, certificate, listener=listener, **({"stop": stop} if stop else {})))
        proxy.port = port
        return proxy
    return start_it


def test_a_tunnel_in_which_nothing_moves_is_ended(own, pki):
    proxy = own(timeouts={"tunnel": "300ms"})
    with client_of(proxy, pki) as c:
        c.expect("open")
        assert c.expect("closed")["code"] == 1006
    record = proxy.access_records(1)[0]
    assert (record["status"], record["error"]) == (101, "timeout_idle")


def test_limits_of_requests_are_none_of_tunnels(own, pki):
    """Neither the size of content, nor its rate, nor the gap between two pieces of a response."""
    proxy = own(timeouts={"body_rate": "1M/s", "window": "50ms"}, limits={"body": 1000})
    proxy.config["upstreams"]["app"]["timeouts"] = {"response_gap": "50ms", "response_head": "5s"}
    proxy.reload(proxy.config)
    with client_of(proxy, pki) as c:
        c.expect("open")
        for _ in range(3):
            threading.Event().wait(0.2)     # longer than the limits that must not hold
            c.write({"text": "x" * 5000})
            assert c.expect("text") == "x" * 5000


def test_an_open_tunnel_outlives_reloads(own, pki, backend, certificate):
    proxy = own()
    with client_of(proxy, pki) as c:
        c.expect("open")
        for _ in range(2):
            proxy.reload(site(proxy.port, backend.port, certificate))
            c.write({"text": "still here"})
            assert c.expect("text") == "still here"
        with tls_client(proxy.port, pki) as other:
            assert other.request(get()).body == b"ok"


def test_draining_waits_for_tunnels_until_its_limit(own, pki):
    proxy = own()
    with client_of(proxy, pki) as c:
        c.expect("open")
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        c.write({"text": "still here"})
        assert c.expect("text") == "still here"
        c.write({"close": 4000})
        assert c.expect("closed")["code"] == 4000
        assert proxy.wait() == 0


def test_a_drain_ends_tunnels_at_its_limit(own, pki):
    proxy = own(stop={"drain": "300ms"})
    with client_of(proxy, pki) as c:
        c.expect("open")
        proxy.signal(signal.SIGTERM)
        assert c.expect("closed")["code"] == 1006
        assert proxy.wait() == 0


# ---- servers under TLS, and of HTTP/2 ----

@pytest.mark.parametrize("protocol", ["http1", "auto"])
def test_a_server_that_would_rather_speak_http_2_gets_http_1_for_a_tunnel(start, port, pki, certificate, protocol):
    """Other requests go to the same server over what ALPN says, before and after."""
    own = free_port()
    with Node("ws_server.js", own, "plain", certificate.chain_file, certificate.key_file) as server:
        server.expect("port")
        proxy = start(site(port, own, certificate, upstream={"protocol": protocol, "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
        proxy.port = port
        other = b"2.0" if protocol == "auto" else b"1.1"
        for _ in range(2):
            with tls_client(port, pki) as c:
                assert c.request(get()).body == other
            with client_of(proxy, pki) as c:
                assert "open" in c.read()
                c.write({"text": "hello"})
                assert c.expect("text") == "hello"
                c.write({"close": 4000})
                assert c.expect("closed")["code"] == 4000


def test_a_server_of_http_2_alone_sees_an_ordinary_request(start, port, pki, certificate):
    own = free_port()
    with Node("ws_server.js", own, "plain", certificate.chain_file, certificate.key_file) as server:
        server.expect("port")
        proxy = start(site(port, own, certificate, upstream={"protocol": "h2", "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
        proxy.port = port
        with client_of(proxy, pki) as c:
            assert c.expect("refused") == 200


# ---- a browser ----

PAGE = """<!doctype html><title>socket</title><script>
const report = (what) => fetch('/report', {method: 'POST', body: JSON.stringify(what)});
const socket = new WebSocket('wss://' + location.host + '/socket', 'chat');
const big = 'x'.repeat(300000);
let got = [];
socket.onopen = () => { socket.send('hello'); socket.send(big); };
socket.onmessage = (e) => { got.push(e.data); if (got.length == 2) socket.close(4003, 'done'); };
socket.onclose = (e) => report({got: [got[0], got[1] === big], code: e.code, clean: e.wasClean, protocol: socket.protocol});
</script>"""


@pytest.mark.parametrize("alpn, version, method, status", [(["http/1.1"], "HTTP/1.1", "GET", 101), (["h2", "http/1.1"], "HTTP/2.0", "CONNECT", 200)], ids=["http1", "http2"])
def test_a_page_in_chromium_opens_a_socket(start, tmp_path, port, backend, server, certificate, alpn, version, method, status):
    forget(server)
    backend.answer = lambda e: (e.read_body(), e.send(response()))
    routes = [{"path": "/page", "respond": {"body": PAGE, "type": "text/html"}}, {"path": "/socket", "to": "sockets"}]
    config = site(port, backend.port, certificate, listener={"routes": routes, "alpn": alpn})
    config["upstreams"]["sockets"] = {"servers": [f"127.0.0.1:{server.port}"]}
    proxy = start(config)
    with Chromium(tmp_path, f"https://a.test:{port}/page"):
        until(lambda: any(e.target == "/report" for e in backend.exchanges), "the page's report", 3 * LONG)
        (report,) = [e for e in backend.exchanges if e.target == "/report"]
        assert report.complete.wait(LONG)
    assert json.loads(report.body) == {"got": ["hello", True], "code": 4003, "clean": True, "protocol": "chat"}
    assert server.expect("closed") == {"code": 4003, "reason": "done"}
    line = until(lambda: [r for r in proxy.access_records() if r.get("path") == "/socket"], "the log's line")[0]
    assert (line["http"], line["method"], line["status"], line.get("error")) == (version, method, status, None)
