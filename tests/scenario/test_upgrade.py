"""HTTP's Upgrade byte for byte: what the server is asked, what opens a tunnel and what does not, and how tunnels end."""
import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading

import pytest

from support import processes
from support.backend import Backend, response
from support.client import HelloClient, context, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import Unlade, release_binary, site
from support.waiting import LONG, SHORT, until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OFFER = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")


def accept_of(key):
    """RFC 6455 4.2.2."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def switching(protocol="websocket", key=KEY, fields=(), accept=None):
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", f"Upgrade: {protocol}"]
    if key:
        lines.append(f"Sec-WebSocket-Accept: {accept or accept_of(key)}")
    return "\r\n".join([*lines, *fields]).encode() + b"\r\n\r\n"


def echo(exchange):
    """A server that switches and sends everything back until the client's end, then ends too."""
    exchange.body_read = True
    exchange.send(switching(exchange.field("upgrade"), exchange.field("sec-websocket-key")))
    while True:
        exchange.send(exchange.connection.read_some(65536))


def asks(*fields, method="GET", path="/socket", body=None):
    return get(path, fields=[*OFFER, *fields], method=method, body=body)


@pytest.fixture
def client(stack, pki):
    with tls_client(stack.port, pki) as c:
        yield c


@pytest.fixture
def routed(start, port, backend):
    """A plain listener with routes of all kinds; the backend switches."""
    backend.answer = echo
    routes = [{"path": "/any", "to": "app", "upgrade": ["websocket", "echo", "mqtt/3.1"]}, {"path": "/none", "to": "app", "upgrade": []}]
    proxy = start(site(port, backend.port, listener={"routes": routes}))
    proxy.port, proxy.backend = port, backend
    return proxy


# ---- what opens a tunnel ----

def test_a_websocket_handshake_opens_a_tunnel_both_ways(stack, client):
    stack.backend.answer = echo
    r = client.request(asks("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: https://a.test"))
    assert (r.status, r.field("upgrade"), r.field("connection").lower()) == (101, "websocket", "upgrade")
    assert r.field("sec-websocket-accept") == accept_of(KEY)
    assert r.all("content-length") == r.all("transfer-encoding") == []
    e = stack.backend.exchanges[0]
    assert (e.method, e.version, e.field("upgrade"), e.field("connection")) == ("GET", "HTTP/1.1", "websocket", "upgrade")
    assert e.field("sec-websocket-key") == KEY and e.field("sec-websocket-protocol") == "chat" and e.field("origin") == "https://a.test"
    assert e.field("x-forwarded-proto") == "https"
    for data in (b"hello", b"\0\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", bytes(100000)):
        client.send(data)
        assert client.read_exactly(len(data)) == data
    assert len(stack.backend.exchanges) == 1


def test_the_servers_fields_of_the_101_arrive(stack, client):
    stack.backend.answer = lambda e: (e.send(switching(fields=["Sec-WebSocket-Protocol: chat", "X-Mine: 1", "Set-Cookie: a=b"]) + b"first"), e.connection.wait_closed())
    r = client.request(asks())
    assert (r.status, r.field("sec-websocket-protocol"), r.field("x-mine"), r.field("set-cookie")) == (101, "chat", "1", "a=b")
    assert client.read_exactly(5) == b"first"


def test_interim_answers_may_come_before_the_101(stack, client):
    stack.backend.answer = lambda e: (e.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + switching()), e.connection.wait_closed())
    assert client.request(asks()).status == 101
    assert [i.status for i in client.interim] == [103]


def test_what_the_client_sent_before_the_101_is_the_tunnels_first(stack, client):
    """RFC 6455 wants clients to wait; who does not, loses nothing."""
    stack.backend.answer = echo
    early = b"GET /inner HTTP/1.1\r\nHost: a.test\r\n\r\n"
    client.send(asks() + early)
    assert client.response().status == 101
    assert client.read_exactly(len(early)) == early
    assert len(stack.backend.exchanges) == 1


def test_nothing_of_the_client_reaches_the_server_before_its_101(stack, client):
    seen = []

    def answer(exchange):
        exchange.body_read = True
        exchange.connection.socket.settimeout(SHORT)
        try:
            seen.append(exchange.connection.read_some(100))
        except socket.timeout:
            pass
        exchange.connection.socket.settimeout(None)
        exchange.send(switching())
        seen.append(exchange.connection.read_some(100))
        exchange.connection.wait_closed()
    stack.backend.answer = answer
    client.send(asks() + b"early")
    assert client.response().status == 101
    until(lambda: seen, "the early bytes")
    assert seen == [b"early"]


def test_only_listed_protocols_are_asked_for(routed):
    with plain_client(routed.port) as c:
        r = c.request(get("/any", fields=["Connection: upgrade", "Upgrade: foo, echo, h2c, MQTT/3.1, mqtt/5, TLS/1.0, bar"]))
        assert r.status == 101
        assert routed.backend.exchanges[0].field("upgrade") == "echo, MQTT/3.1"


@pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"")])
def test_a_listed_protocol_is_tunnelled(routed, method, body):
    with plain_client(routed.port) as c:
        r = c.request(get("/any", fields=["Connection: upgrade", "Upgrade: echo"], method=method, body=body))
        assert (r.status, r.field("upgrade")) == (101, "echo")
        c.send(b"ping")
        assert c.read_exactly(4) == b"ping"


def test_a_handshake_on_a_kept_connection_that_ends_is_sent_again(stack, client):
    assert client.request(get("/")).status == 200
    kept = stack.backend.only().connection
    stack.backend.answer = lambda e: e.close() if e.connection is kept else echo(e)
    assert client.request(asks()).status == 101
    client.send(b"ping")
    assert client.read_exactly(4) == b"ping"


# ---- what does not ----

def ordinary(stack, client, request, method=None):
    """The server sees an ordinary request; the connection goes on after its answer."""
    stack.backend.answer = lambda e: (e.read_body(), e.send(response(b"plain")))
    r = client.request(request, method)
    assert (r.status, r.body) == (200, b"plain")
    e = stack.backend.exchanges[-1]
    assert e.all("upgrade") == [] and "upgrade" not in (e.field("connection") or "").lower()
    assert client.request(get("/next")).body == b"plain"
    assert stack.backend.exchanges[-1].target == "/next"


@pytest.mark.parametrize("request_", [
    get(fields=["Connection: Upgrade", "Upgrade: foo"]),
    get(fields=["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]),
    get(fields=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]),
    get(fields=[*OFFER, "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="]),
    get(fields=OFFER[1:]),
    asks(method="POST"), asks(method="POST", body=b"x"), asks(body=b"content"),
], ids=["not listed", "h2c", "without a key", "with two keys", "not in Connection", "POST", "POST with content", "GET with content"])
def test_what_is_no_allowed_upgrade_is_an_ordinary_request(stack, client, request_):
    ordinary(stack, client, request_)


def test_an_http_1_0_client_cannot_upgrade(stack, client):
    r = client.request(get(fields=OFFER, version="HTTP/1.0"))
    assert r.status == 200 and stack.backend.only().all("upgrade") == []


def test_a_route_that_lists_nothing_refuses_all(routed):
    routed.backend.answer = lambda e: (e.read_body(), e.send(response(b"plain")))
    with plain_client(routed.port) as c:
        assert c.request(asks(path="/none")).body == b"plain"
        assert routed.backend.only().all("upgrade") == []


def test_a_refused_upgrade_is_followed_by_another_request(stack, client):
    refusal = response(b"no", status="426 Upgrade Required", fields=["Sec-WebSocket-Version: 13", "Connection: Upgrade", "Upgrade: websocket"])
    stack.backend.answer = lambda e: e.send(refusal if e.target == "/socket" else response(b"next"))
    r = client.request(asks())
    assert (r.status, r.body, r.field("sec-websocket-version")) == (426, b"no", "13")
    assert client.request(get("/next")).body == b"next"
    assert [e.target for e in stack.backend.exchanges] == ["/socket", "/next"]


def test_a_request_behind_a_refused_upgrade_is_parsed_by_the_same_rules(stack, client):
    """WebSocket smuggling: an answer that is no 101 leaves the proxy reading requests, whatever the client thinks."""
    stack.backend.answer = lambda e: e.send(response(b"no", status="426 Upgrade Required") if e.target == "/socket" else response(e.target.encode()))
    client.send(asks("Sec-WebSocket-Version: 777") + get("/behind", fields=["X-Forwarded-For: 6.6.6.6"]) + b"BROKEN\r\n\r\n")
    assert client.response().status == 426
    assert client.response().body == b"/behind"
    assert stack.backend.exchanges[1].field("x-forwarded-for") == "127.0.0.1"
    assert client.response().status == 400


BAD_SWITCHES = {
    "another protocol": switching("echo"),
    "one more protocol": switching("websocket, echo"),
    "no protocol": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    "not in Connection": switching().replace(b"Connection: Upgrade\r\n", b""),
    "a wrong proof": switching(accept=accept_of("AQIDBAUGBwgJCgsMDQ4PEA==")),
    "no proof": switching(key=None),
    "in HTTP/1.0": switching().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "with a length": switching(fields=["Content-Length: 5"]),
    "chunked": switching(fields=["Transfer-Encoding: chunked"]),
}


@pytest.mark.parametrize("name", BAD_SWITCHES)
def test_a_101_that_is_not_the_one_that_was_asked_for_gets_502(stack, client, name):
    stack.backend.answer = lambda e: e.send(response(b"next")) if e.target == "/next" else (e.send(BAD_SWITCHES[name]), e.connection.wait_closed())
    r = client.request(asks())
    assert r.status == 502
    bad = stack.backend.exchanges[0].connection
    assert bad.ended.wait(LONG), "the connection was kept"
    assert client.request(get("/next")).body == b"next"
    assert stack.backend.exchanges[-1].connection is not bad


def test_a_101_that_nobody_asked_for_gets_502(stack, client):
    stack.backend.answer = lambda e: (e.send(switching()), e.connection.wait_closed())
    assert client.request(get("/")).status == 502
    assert client.request(get(fields=["Connection: Upgrade", "Upgrade: foo"])).status == 502


# ---- how tunnels end ----

@pytest.fixture
def plain(routed):
    """A client within a tunnel, without TLS; the server's end of it."""
    taken = []

    def answer(exchange):
        exchange.body_read = True
        exchange.send(switching())
        taken.append(exchange.connection)
        exchange.connection.ended.wait(LONG)
    routed.backend.answer = answer
    with plain_client(routed.port) as c:
        assert c.request(asks()).status == 101
        until(lambda: taken, "the server's end")
        c.server = taken[0]
        c.server.socket.settimeout(LONG)
        yield c
        c.server.close()


def test_the_clients_end_reaches_the_server_and_the_other_half_goes_on(plain):
    plain.send(b"last words")
    plain.half_close()
    assert plain.server.socket.recv(100) == b"last words"
    assert plain.server.socket.recv(100) == b""
    for _ in range(3):
        plain.server.send(b"still here")
        assert plain.read_exactly(10) == b"still here"
    plain.server.close()
    plain.assert_closed()


def test_the_servers_end_reaches_the_client_and_the_other_half_goes_on(plain):
    plain.server.send(b"last words")
    plain.server.socket.shutdown(socket.SHUT_WR)
    assert plain.read_exactly(10) == b"last words"
    plain.assert_closed()
    for _ in range(3):
        plain.send(b"still here")
        assert plain.server.socket.recv(100) == b"still here"
    plain.half_close()
    assert plain.server.socket.recv(100) == b""


def test_large_last_words_arrive_whole_at_a_slow_server(plain):
    """The client sends and leaves; the server, whose half had ended, reads later."""
    words = bytes(range(256)) * 20000
    plain.server.socket.shutdown(socket.SHUT_WR)
    plain.assert_closed()
    plain.send(words)
    plain.half_close()
    plain.close()
    got = b""
    while piece := plain.server.socket.recv(65536):
        got += piece
    assert got == words


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_reset_of_one_side_ends_the_other(plain, end):
    plain.send(b"x")
    assert plain.server.socket.recv(1) == b"x"
    if end == "client":
        plain.reset()
        with pytest.raises(ConnectionResetError):
            plain.server.socket.recv(1)
    else:
        plain.server.reset()
        with pytest.raises(ConnectionResetError):
            plain.socket.recv(1)


def test_half_close_under_tls_keeps_the_other_half(stack, pki):
    stack.backend.answer = lambda e: (e.send(switching()), e.connection.wait_closed(), e.send(b"after your end"), e.close())
    c = HelloClient(stack.port, context(pki)).handshake()
    assert c.request(asks()).status == 101
    c.sendall(b"bye")
    try:
        c.tls.unwrap()      # our close_notify
    except Exception:  # pylint: disable=broad-except
        pass
    c._flush()
    assert c.read_to_close() == b"after your end"
    assert stack.backend.exchanges[0].connection.received.endswith(b"\r\n\r\nbye")
    c.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_servers_end_under_tls_keeps_the_other_half(stack, pki, version):
    ends = []

    def answer(e):
        e.body_read = True
        e.send(switching() + b"last words")
        e.connection.socket.shutdown(socket.SHUT_WR)
        got = b""
        while piece := e.connection.socket.recv(65536):
            got += piece
        ends.append(got)
    stack.backend.answer = answer
    with tls_client(stack.port, pki, least=version, most=version) as c:
        assert c.request(asks()).status == 101
        assert c.read_exactly(10) == b"last words"
        assert c.socket.recv(100) == b"", "our close_notify"
        c.send(bytes(range(256)) * 400)
        c.half_close()
        until(lambda: ends, "the server to see the end")
    assert ends == [bytes(range(256)) * 400]


@pytest.fixture(scope="module")
def secure(tmp_path_factory, certificate):
    backend, port = Backend(), free_port()
    config = site(port, backend.port, certificate, listener={"routes": [{"to": "app", "upgrade": ["websocket", "echo"]}]})
    del config["listeners"]["web"]["to"]
    with Unlade(tmp_path_factory.mktemp("secure"), config) as proxy:
        proxy.port, proxy.backend = port, backend
        yield proxy
    backend.stop()


@pytest.mark.parametrize("protocol, error", [("websocket", None), ("echo", "truncated")])
def test_tls_that_ends_without_saying_so(secure, pki, protocol, error):
    """As browsers do when a page is closed. WebSocket says its end itself: what came last arrives. Others see that it was cut."""
    ends = []

    def answer(e):
        e.body_read = True
        e.send(switching(protocol, KEY if protocol == "websocket" else None))
        e.connection.socket.settimeout(LONG)
        try:
            while piece := e.connection.socket.recv(65536):
                ends.append(piece)
            ends.append("end")
        except ConnectionResetError:
            ends.append("reset")
    secure.backend.answer = answer
    with tls_client(secure.port, pki) as c:
        fields = OFFER if protocol == "websocket" else ["Connection: upgrade", f"Upgrade: {protocol}"]
        assert c.request(get(f"/cut?{protocol}", fields=fields)).status == 101
        c.send(b"last words")
        c.half_close()
        until(lambda: ends and isinstance(ends[-1], str), "the server to see the end")
    if error:
        assert ends[-1] == "reset"
    else:
        assert ends == [b"last words", "end"]
    (line,) = until(lambda: [r for r in map(json.loads, secure.access_lines()) if r.get("path") == f"/cut?{protocol}"], "the log's line")
    assert line.get("error") == error


def test_the_log_tells_of_the_tunnel_at_its_end(stack, client):
    stack.backend.answer = echo

    def logged():
        return [r for r in map(json.loads, stack.access_lines()) if r.get("path") == "/logged?a=b"]
    assert client.request(asks(path="/logged?a=b")).status == 101
    client.send(b"12345")
    assert client.read_exactly(5) == b"12345"
    assert not logged()
    client.close()
    (line,) = until(logged, "the log's line")
    assert (line["status"], line["method"], line["request_bytes"], line["response_bytes"]) == (101, "GET", 5, 5)


# ---- under load ----

def pour(sock, most):
    """Sends until nobody takes more, at most that much: how much was taken."""
    sent, block = 0, bytes(65536)
    sock.settimeout(1)
    try:
        while sent < most:
            sent += sock.send(block)
    except (TimeoutError, ssl.SSLWantWriteError):
        pass
    sock.settimeout(LONG)
    return sent


@pytest.mark.parametrize("source", ["client", "server"])
def test_a_side_that_does_not_read_holds_up_the_other(plain, source):
    """What the proxy itself holds is less than 1 MB; the rest is what the kernel's sockets take."""
    most = 64 << 20
    ends = (plain.socket, plain.server.socket) if source == "client" else (plain.server.socket, plain.socket)
    sent = pour(ends[0], most)
    assert sent < most, "it was not held up"
    ends[0].shutdown(socket.SHUT_WR)
    got = 0
    while piece := ends[1].recv(262144):
        got += len(piece)
    assert got == sent


def test_both_directions_at_once_stalled_and_resumed(plain):
    sent = [pour(plain.socket, 64 << 20), pour(plain.server.socket, 64 << 20)]
    got = [0, 0]

    def drain(number, sock):
        while piece := sock.recv(262144):
            got[number] += len(piece)
    plain.socket.shutdown(socket.SHUT_WR)
    plain.server.socket.shutdown(socket.SHUT_WR)
    threads = [threading.Thread(target=drain, args=args) for args in ((0, plain.server.socket), (1, plain.socket))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG)
    assert got == sent


def test_many_tunnels_that_end_in_every_way(stack, pki):
    """Whatever happens to one is its own affair; nothing is left behind."""
    ways = ["close", "reset", "half", "server_close", "server_reset", "server_half", "both", "none"]

    def answer(e):
        e.body_read = True
        e.send(switching() + b"x" * 5000)
        way = e.target.split("=")[1]
        data = e.connection.read_some(1000)
        assert data
        if way == "server_close":
            e.close()
        elif way == "server_reset":
            e.reset()
        elif way == "server_half":
            e.connection.socket.shutdown(socket.SHUT_WR)
            e.connection.wait_closed()
        else:
            e.send(data)
            e.connection.wait_closed()
    stack.backend.answer = answer
    opened = []
    for i in range(80):
        c = tls_client(stack.port, pki)
        way = ways[i % len(ways)]
        assert c.request(asks(path=f"/?way={way}")).status == 101
        with contextlib.suppress(OSError):  # the server may be gone in the middle of it
            c.send(bytes(1 + 700 * i))
        if way in ("close", "both"):
            c.close()
        elif way == "reset":
            c.reset()
        elif way == "half":
            with contextlib.suppress(OSError):
                c.half_close()
        opened.append((way, c))
    for way, c in opened:
        if way not in ("close", "both", "reset"):
            c.close()
    until(lambda: not stack.backend.open_connections(), "all connections to the server to end")
    stack.backend.reset_script()
    with tls_client(stack.port, pki) as c:
        assert c.request(get()).body == b"ok"


@pytest.mark.memory
@pytest.mark.parametrize("secure_", [True, False], ids=["tls", "plain"])
def test_tunnels_cost_little_memory_stalled_and_idle(start, port, backend, certificate, secure_):
    """Without sanitizers, which keep freed memory. One tunnel that is stalled both ways; then many in which nothing moves."""
    proxy = start(site(port, backend.port, certificate if secure_ else None, log={"access": "off"}), program=release_binary())
    (worker,) = proxy.workers()
    go = threading.Event()
    servers = []

    def answer(e):
        e.body_read = True
        e.send(switching())
        servers.append(e.connection)
        go.wait(2 * LONG)
    backend.answer = answer

    with contextlib.ExitStack() as opened:
        opened.callback(go.set) # also where this fails: whoever stops the proxy waits for its tunnels

        def client():
            c = opened.enter_context(tls_client(port, name=None) if secure_ else plain_client(port))
            assert c.request(asks()).status == 101
            return c
        stalled = client()
        before = processes.own_bytes(worker)
        until(lambda: servers, "the server's end")
        assert pour(stalled.socket, 64 << 20) < 64 << 20
        assert pour(servers[0].socket, 64 << 20) < 64 << 20
        grown = processes.own_bytes(worker) - before
        assert grown < 1 << 20, f"{grown / 1024:.0f} KB for a tunnel that is stalled both ways"

        for _ in range(100):
            client()
        before = processes.own_bytes(worker)
        for _ in range(200):
            client()
        each = (processes.own_bytes(worker) - before) / 200
        assert each < 48 * 1024, f"{each / 1024:.1f} KB for each idle tunnel"
