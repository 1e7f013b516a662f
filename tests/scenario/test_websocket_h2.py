"""Extended CONNECT (RFC 8441) byte for byte: what becomes of it towards the server, and of the server's answer."""
import base64
import signal
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from support.backend import response
from support.client import connect, context, get, tls_client
from support.unlade import site
from support.waiting import LONG, until
from test_upgrade import accept_of, echo, switching


class H2:
    """A client with a few streams; events are kept per stream."""

    def __init__(self, port, pki):
        self.socket = context(pki, alpn=["h2"]).wrap_socket(connect(port), server_hostname="a.test")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.h2.initiate_connection()
        # The library takes every GOAWAY for the end; streams that are open go on behind one (RFC 9113 6.8).
        machine = self.h2.state_machine
        going = (h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)
        machine._transitions = {**machine._transitions, going: (None, h2.connection.ConnectionState.CLIENT_OPEN)}
        self.events = []
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.events.append(event)
        self.flush()

    def wait(self, kind, stream):
        """The first event of the stream that is of this kind and was not asked for before."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and getattr(event, "stream_id", None) == stream:
                    self.events.remove(event)
                    return event
            self.receive()

    def open(self, path="/socket", fields=(), protocol="websocket", method="CONNECT", end=False):
        while not any(isinstance(e, h2.events.RemoteSettingsChanged) for e in self.events):
            self.receive()
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "a.test")]
        self.h2.send_headers(stream, head + ([(":protocol", protocol)] if protocol else []) + list(fields), end_stream=end)
        self.flush()
        return stream

    def answer(self, stream):
        """Status and fields."""
        fields = self.wait(h2.events.ResponseReceived, stream).headers
        return int(dict(fields)[":status"]), [f for f in fields if not f[0].startswith(":")]

    def send(self, stream, data, end=False):
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room == 0:
                self.receive()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def read(self, stream, size):
        data = b""
        while len(data) < size:
            data += self.wait(h2.events.DataReceived, stream).data
        return data

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def client(stack, pki):
    with H2(stack.port, pki) as c:
        yield c


def test_the_server_says_that_it_serves_extended_connect(client):
    client.answer(client.open()) # so that nothing of it comes to the backend in the next test's time
    assert client.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1


def test_an_extended_connect_becomes_a_handshake_with_a_key_of_our_own(stack, client):
    stack.backend.answer = echo
    fields = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"), ("origin", "https://a.test"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")]
    s = client.open("/socket?q=1", fields)
    status, got = client.answer(s)
    assert status == 200
    names = {n for n, _ in got}
    assert not names & {"sec-websocket-accept", "upgrade", "connection", "content-length", "transfer-encoding"}
    e = stack.backend.exchanges[0]
    assert (e.method, e.target, e.version) == ("GET", "/socket?q=1", "HTTP/1.1")
    assert e.field("upgrade") == "websocket" and e.field("connection") == "upgrade" and e.field("host") == "a.test"
    assert e.field("sec-websocket-version") == "13" and e.field("sec-websocket-protocol") == "chat"
    key = e.field("sec-websocket-key")
    assert len(base64.b64decode(key, validate=True)) == 16 and key != "AAAAAAAAAAAAAAAAAAAAAA=="
    assert e.all("content-length") == e.all("transfer-encoding") == []
    for data in (b"hello", b"\0\xff\r\n\r\n", bytes(range(256)) * 1000):
        client.send(s, data)
        assert client.read(s, len(data)) == data


def test_each_handshake_has_another_key(stack, client):
    stack.backend.answer = echo
    for _ in range(3):
        assert client.answer(client.open())[0] == 200
    assert len({e.field("sec-websocket-key") for e in stack.backend.exchanges}) == 3


def test_a_version_is_added_where_the_client_left_it_out(stack, client):
    stack.backend.answer = echo
    assert client.answer(client.open())[0] == 200
    assert stack.backend.exchanges[0].field("sec-websocket-version") == "13"


def test_other_streams_go_on_beside_a_tunnel(stack, client):
    stack.backend.answer = lambda e: echo(e) if e.target == "/socket" else e.send(response(b"plain"))
    s = client.open()
    assert client.answer(s)[0] == 200
    other = client.open("/other", protocol=None, method="GET", end=True)
    assert client.answer(other)[0] == 200 and client.read(other, 5) == b"plain"
    client.send(s, b"ping")
    assert client.read(s, 4) == b"ping"


def test_the_clients_end_is_a_half_close(stack, client):
    stack.backend.answer = lambda e: (e.send(switching(key=e.field("sec-websocket-key"))), e.connection.wait_closed(), e.send(b"after your end"), e.close())
    s = client.open()
    assert client.answer(s)[0] == 200
    client.send(s, b"bye", end=True)
    assert client.read(s, 14) == b"after your end"
    client.wait(h2.events.StreamEnded, s)
    assert stack.backend.exchanges[0].connection.received.endswith(b"\r\n\r\nbye")


def test_the_servers_end_is_a_half_close(stack, client):
    taken = []

    def answer(e):
        e.body_read = True
        e.send(switching(key=e.field("sec-websocket-key")) + b"last words")
        e.connection.socket.shutdown(socket.SHUT_WR)
        taken.append(e.connection.read_some(100))
        e.connection.wait_closed()
    stack.backend.answer = answer
    s = client.open()
    assert client.answer(s)[0] == 200 and client.read(s, 10) == b"last words"
    client.wait(h2.events.StreamEnded, s)
    client.send(s, b"still here", end=True)
    until(lambda: taken, "the client's bytes")
    assert taken == [b"still here"]


def test_a_reset_stream_resets_the_servers_connection(stack, client):
    stack.backend.answer = echo
    s = client.open()
    assert client.answer(s)[0] == 200
    client.h2.reset_stream(s, h2.errors.ErrorCodes.CANCEL)
    client.flush()
    assert stack.backend.exchanges[0].connection.ended.wait(LONG)


def test_a_reset_of_the_server_resets_the_stream(stack, client):
    stack.backend.answer = lambda e: (e.send(switching(key=e.field("sec-websocket-key"))), e.connection.read_some(1), e.reset())
    s = client.open()
    assert client.answer(s)[0] == 200
    client.send(s, b"x")
    client.wait(h2.events.StreamReset, s)
    assert client.answer(client.open("/next", protocol=None, method="GET", end=True))[0] in (200, 502), "the connection goes on"


def test_large_content_flows_both_ways_under_flow_control(stack, pki):
    stack.backend.answer = echo
    data = bytes(range(256)) * 20000
    with H2(stack.port, pki) as c:
        s = c.open()
        assert c.answer(s)[0] == 200
        got = b""
        sent = 0
        while len(got) < len(data):
            room = min(c.h2.local_flow_control_window(s), c.h2.max_outbound_frame_size, len(data) - sent)
            if room and sent - len(got) < 300000:
                c.h2.send_data(s, data[sent:sent + room])
                sent += room
                c.flush()
            else:
                got += c.wait(h2.events.DataReceived, s).data
        assert got == data


def test_a_tunnel_outlives_a_reload_and_holds_up_a_drain(start, port, backend, certificate, pki):
    backend.answer = echo
    proxy = start(site(port, backend.port, certificate))
    with H2(port, pki) as c:
        s = c.open()
        assert c.answer(s)[0] == 200
        proxy.reload()
        c.send(s, b"reloaded")
        assert c.read(s, 8) == b"reloaded"
        proxy.signal(signal.SIGTERM)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "STOPPING=1")
        c.send(s, b"draining", end=True)
        assert c.read(s, 8) == b"draining"
        c.wait(h2.events.StreamEnded, s)
        assert proxy.wait() == 0


def test_a_tunnel_in_which_nothing_moves_is_reset_and_its_neighbours_go_on(start, port, backend, certificate, pki):
    backend.answer = lambda e: echo(e) if e.target == "/socket" else e.send(response(b"plain"))
    proxy = start(site(port, backend.port, certificate, listener={"timeouts": {"tunnel": "300ms"}}))
    with H2(port, pki) as c:
        s = c.open()
        assert c.answer(s)[0] == 200
        c.wait(h2.events.StreamReset, s)
        other = c.open("/other", protocol=None, method="GET", end=True)
        assert c.answer(other)[0] == 200
    line = until(lambda: [r for r in proxy.access_records() if r.get("path") == "/socket"], "the log's line")[0]
    assert (line["status"], line["error"]) == (200, "timeout_idle")


def test_a_stalled_tunnel_does_not_stall_its_neighbours(stack, client):
    """The server does not read; the client sends all that it may."""
    stalled = threading.Event()

    def answer(e):
        if e.target != "/socket":
            e.send(response(b"plain"))
            return
        e.body_read = True
        e.send(switching(key=e.field("sec-websocket-key")))
        stalled.wait(LONG)
        e.connection.wait_closed()
    stack.backend.answer = answer
    s = client.open()
    assert client.answer(s)[0] == 200
    sent = 0
    while sent < 64 << 20:
        client.socket.settimeout(1)
        room = min(client.h2.local_flow_control_window(s), client.h2.max_outbound_frame_size)
        if room:
            client.h2.send_data(s, bytes(room))
            client.flush()
            sent += room
            continue
        try:
            client.receive()
        except TimeoutError:
            break
    assert sent < 64 << 20, "it was not held up"
    client.socket.settimeout(LONG)
    other = client.open("/other", protocol=None, method="GET", end=True)
    assert client.answer(other)[0] == 200 and client.read(other, 5) == b"plain"
    stalled.set()


# ---- what opens no tunnel ----

REFUSALS = {
    "a plain answer": response(b"no"),
    "another protocol": switching("echo"),
    "a wrong proof": switching(key="dGhlIHNhbXBsZSBub25jZQ=="),
    "no proof": switching(key=None),
    "an empty answer": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_answer_that_a_client_would_take_for_an_open_tunnel_is_502(stack, client, name):
    stack.backend.answer = lambda e: (setattr(e, "body_read", True), e.send(REFUSALS[name]))
    s = client.open()
    assert client.answer(s)[0] == 502
    client.wait(h2.events.StreamEnded, s)


@pytest.mark.parametrize("status", ["302 Found", "401 Unauthorized", "404 Not Found", "426 Upgrade Required", "503 Busy"])
def test_other_answers_come_back_as_they_are(stack, client, status):
    stack.backend.answer = lambda e: (setattr(e, "body_read", True), e.send(response(b"no", status=status)))
    s = client.open()
    code, fields = client.answer(s)
    assert code == int(status[:3]) and dict(fields)["content-length"] == "2" and client.read(s, 2) == b"no"
    client.wait(h2.events.StreamEnded, s)
    stack.backend.answer = echo
    assert client.answer(client.open())[0] == 200


def test_what_comes_before_the_answer_waits_for_it(stack, client):
    """And is not the tunnel's where there is none."""
    stack.backend.answer = lambda e: (setattr(e, "body_read", True), e.send(response(b"no", status="403 Forbidden")))
    s = client.open()
    client.h2.send_data(s, b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
    client.flush()
    assert client.answer(s)[0] == 403
    assert client.answer(client.open("/next", protocol=None, method="GET", end=True))[0] == 403
    assert [e.target for e in stack.backend.exchanges] == ["/socket", "/next"] and not stack.backend.garbage


@pytest.mark.parametrize("protocol", ["connect-udp", "h2c", "mqtt", "web socket"])
def test_other_protocols_are_not_served(stack, client, protocol):
    s = client.open(protocol=protocol)

    def seen():
        client.receive()
        return [e for e in client.events if isinstance(e, (h2.events.ResponseReceived, h2.events.StreamReset)) and e.stream_id == s]
    (event, *_) = until(seen, "an answer")
    if isinstance(event, h2.events.ResponseReceived):
        assert dict(event.headers)[":status"] == "501"
    else:
        assert protocol == "web socket"
    assert not stack.backend.exchanges


def test_a_route_that_lists_no_upgrade_serves_none(start, port, backend, certificate, pki):
    routes = [{"path": "/none", "to": "app", "upgrade": []}, {"path": "/fixed", "respond": 200}, {"path": "/h2", "to": "h2"}]
    config = site(port, backend.port, certificate, listener={"routes": routes})
    config["upstreams"]["h2"] = {"servers": [backend.address], "protocol": "h2"}
    start(config)
    with H2(port, pki) as c:
        assert c.answer(c.open("/none"))[0] == 501
        assert c.answer(c.open("/fixed"))[0] == 501
        assert c.answer(c.open("/h2"))[0] == 501
        assert not backend.connections
        backend.answer = echo
        assert c.answer(c.open("/"))[0] == 200


def test_a_plain_connect_is_not_served(stack, client):
    client.open("/x", protocol=None, method="GET", end=True)
    s = client.h2.get_next_available_stream_id()
    client.h2.send_headers(s, [(":method", "CONNECT"), (":authority", "a.test:443")])
    client.flush()
    assert client.answer(s)[0] == 405


def test_the_same_server_connection_is_not_used_again(stack, client, pki):
    stack.backend.answer = lambda e: echo(e) if e.target == "/socket" else e.send(response(b"plain"))
    s = client.open()
    assert client.answer(s)[0] == 200
    client.send(s, b"", end=True)
    client.wait(h2.events.StreamEnded, s)
    with tls_client(stack.port, pki) as c:
        assert c.request(get()).body == b"plain"
    assert stack.backend.exchanges[-1].connection is not stack.backend.exchanges[0].connection


def test_the_proof_is_what_the_rfc_says():
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
