"""HTTP/2 on both sides: what one stream says reaches the other."""
import subprocess

import pytest
import yaml

from support.h2 import CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, fields, h2_client
from support.h2_server import H2Server
from support.tls_contexts import server_context
from support.ports import free_port
from support.unlade import command, site
from support.waiting import LONG, until

INTERNAL_ERROR = 2


@pytest.fixture
def server():
    s = H2Server()
    yield s
    s.stop()
    assert not s.failures, "\n".join(s.failures)


@pytest.fixture
def client(start, server, port, certificate, pki):
    start(site(port, server.port, certificate, upstream={"protocol": "h2"}))
    with h2_client(port, pki) as c:
        yield c


def test_te_trailers_is_kept_and_nothing_else_is_made_of_it(client, server):
    client.fetch("/with", more=[("te", "trailers")])
    client.fetch("/without")
    (_, first), (_, second) = server.requests
    assert first.value(b"te") == "trailers" and b"te" not in [k for k, _ in second.headers]


def test_trailers_pass_both_ways(client, server):
    def answer(c, stream):
        c.head(stream, 200)
        c.data(stream, b"content")
        c.trailers(stream, [("x-sum", "7"), ("grpc-status", "0")])
    server.on_end = answer
    number = client.open("/", method="POST", end=False)
    client.data(number, b"12345")
    client.headers(number, fields([("x-up", "5")]), END_STREAM | END_HEADERS)
    s = client.response(number)
    assert bytes(s.body) == b"content" and dict(s.trailers) == {"x-sum": "7", "grpc-status": "0"}
    assert server.only().trailers == [(b"x-up", b"5")]


def test_a_head_that_ends_the_stream_is_passed_on_as_one(client, server):
    """Trailers-only: END_STREAM must be on the head, or gRPC clients do not see a status in it."""
    server.on_end = lambda c, s: c.head(s, 200, [("content-type", "application/grpc"), ("grpc-status", "7")], end=True)
    number = client.open("/", method="POST", end=False, more=[("content-type", "application/grpc"), ("te", "trailers")])
    client.data(number, b"\0\0\0\0\0", END_STREAM)
    client.response(number)
    heads = [f for f in client.frames if f.stream == number and f.kind == HEADERS]
    assert len(heads) == 1 and heads[0].flags & END_STREAM
    assert not [f for f in client.frames if f.stream == number and f.kind == DATA]


def test_interim_responses_pass(client, server):
    def answer(c, stream):
        c.h2.send_headers(stream.id, [(":status", "103"), ("link", "</a.css>")])
        c.respond(stream)
    server.on_end = answer
    s = client.fetch("/")
    assert s.status == 200 and len(s.interim) == 1


def test_the_clients_reset_reaches_the_server_at_every_moment(client, server):
    server.on_head = lambda c, s: c.head(s) if s.value(b":path") == "/begun" else None
    server.on_end = lambda c, s: None
    for i, (path, end) in enumerate([("/silent", True), ("/begun", True), ("/silent", False), ("/begun", False)]):
        number = client.open(path, method="GET" if end else "POST", end=end)
        stream = server.wait_requests(i + 1)[i]
        client.rst(number, CANCEL)
        until(lambda: stream.reset is not None, "the reset")
        assert stream.reset == CANCEL
    server.reset_script()
    assert client.fetch("/").status == 200 and len(server.connections) == 1


@pytest.mark.parametrize("code,expected", [(CANCEL, CANCEL), (INTERNAL_ERROR, INTERNAL_ERROR), (7, INTERNAL_ERROR), (0, INTERNAL_ERROR), (1, INTERNAL_ERROR)])
def test_the_servers_reset_within_its_response_reaches_the_client(client, server, code, expected):
    def answer(c, stream):
        c.head(stream)
        c.data(stream, b"x" * 10)
        c.frame(3, 0, stream.id, code.to_bytes(4, "big"))
    server.on_end = answer
    number = client.open("/")
    s = client.stream(number)
    client.wait(lambda: s.over, "the reset")
    assert s.reset == expected and not s.ended and s.status == 200
    server.reset_script()
    assert client.fetch("/").status == 200


def test_messages_flow_both_ways_before_either_side_has_ended(client, server):
    server.on_head = lambda c, s: c.head(s)
    server.on_data = lambda c, s: c.data(s, s.body[-4:])
    server.on_end = lambda c, s: c.trailers(s, [("grpc-status", "0")])
    number = client.open("/", method="POST", end=False, more=[("content-type", "application/grpc")])
    s = client.stream(number)
    client.wait(lambda: s.status == 200, "the head")
    for i in range(10):
        client.data(number, b"%04d" % i)
        client.wait(lambda: bytes(s.body).endswith(b"%04d" % i), "the echo")
    client.data(number, b"", END_STREAM)
    assert client.response(number).trailers


@pytest.mark.parametrize("protocol,offers,spoken", [("h2", ["h2"], "h2"), ("h2", ["h2", "http/1.1"], "h2"), ("auto", ["h2", "http/1.1"], "h2"),
                                                    ("auto", ["http/1.1"], "http/1.1"), ("auto", [], None)])
def test_alpn_decides_what_is_spoken_with_a_server(start, port, certificate, pki, protocol, offers, spoken):
    server = H2Server(tls=server_context(certificate, offers))
    h1 = []

    def serve_h1(c):
        while b"\r\n\r\n" in (head := c.sock.recv(65536)):
            h1.append(head)
            c.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    server.on_h1 = serve_h1
    start(site(port, server.port, certificate, upstream={"protocol": protocol, "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
    with h2_client(port, pki) as c:
        numbers = [c.open(f"/{i}", method="POST") for i in range(8)]
        assert [bytes(c.response(n).body) for n in numbers] == [b"hello"] * 8
        for i in range(5):
            assert c.fetch("/again").status == 200
    assert set(server.protocols) == {spoken}
    if spoken == "h2":
        assert len(server.connections) == 1 and server.requests[0][1].value(b":scheme") == "https"
    else:
        assert len(h1) == 13 and len(server.connections) <= 8
    assert not server.failures
    server.stop()


@pytest.mark.parametrize("offers", [["http/1.1"], []])
def test_a_server_that_must_speak_h2_and_does_not_is_a_502(start, port, certificate, pki, offers):
    server = H2Server(tls=server_context(certificate, offers))
    proxy = start(site(port, server.port, certificate, upstream={"protocol": "h2", "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
    with h2_client(port, pki) as c:
        assert c.fetch("/").status == 502
    assert proxy.access_records(1)[0]["error"] in ("server_alpn", "server_tls")
    server.stop()


def test_a_server_that_learns_and_forgets_http_2_is_followed(start, port, certificate, pki):
    """auto: what was answered last is a guess, no more."""
    both = {"h2": server_context(certificate, ["h2"]), "http/1.1": server_context(certificate, ["http/1.1"])}
    server = H2Server(tls=both["h2"])

    def serve_h1(c):
        while b"\r\n\r\n" in c.sock.recv(65536):
            c.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    server.on_h1 = serve_h1
    start(site(port, server.port, certificate, upstream={"protocol": "auto", "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
    with h2_client(port, pki) as c:
        for speaks in ("h2", "http/1.1", "h2", "http/1.1"):
            server.tls = both[speaks]
            for connection in server.connections:
                connection.close()
            until(lambda: all(connection.ended.is_set() for connection in server.connections), "the old ones to end", LONG)
            numbers = [c.open("/") for _ in range(5)]
            assert {c.response(n).status for n in numbers} == {200}
            assert server.protocols[-1] == speaks
    server.stop()


def test_curl_and_nghttp_in_front_of_nghttpd(start, port, certificate, pki, tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789abcdef" * 50000)
    back = free_port()
    nghttpd = subprocess.Popen(["nghttpd", "--no-tls", "-d", str(tmp_path), "--trailer", "x-end: 1", str(back)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        start(site(port, back, certificate, upstream={"protocol": "h2"}))
        curl = ["curl", "-sS", "--http2", "--cacert", pki.ca_file, "--resolve", f"a.test:{port}:127.0.0.1", "-w", "%{http_version} %{http_code}",
                f"https://a.test:{port}/file", "-o", str(tmp_path / "got")]
        until(lambda: subprocess.run(curl, capture_output=True, text=True, check=True).stdout == "2 200", "nghttpd")
        assert (tmp_path / "got").read_bytes() == (tmp_path / "file").read_bytes()
        done = subprocess.run([*curl, "--data-binary", f"@{tmp_path / 'file'}"], capture_output=True, text=True, check=True)
        assert done.stdout == "2 200"
        done = subprocess.run(["nghttp", "-nsv", "-m", "20", f"https://127.0.0.1:{port}/file"], capture_output=True, text=True, check=True)
        assert done.stdout.count(":status: 200") == 20 and done.stdout.count("x-end: 1") == 20
    finally:
        nghttpd.terminate()
        nghttpd.wait()


@pytest.mark.parametrize("upstream,words", [
    ({"protocol": "auto"}, ["ALPN", "protocol: h2"]),
    ({"protocol": "auto", "tls": {"enabled": False}}, ["ALPN"]),
    ({"protocol": "h2", "tls": {"verify": False, "alpn": ["h2"]}}, ["`alpn`", "leave it out"]),
    ({"protocol": "spdy"}, ["http1", "h2", "auto"]),
    ({"pool": {"h2_connections": 0}}, ["h2_connections"]),
])
def test_check_refuses_what_cannot_be_meant(tmp_path, port, upstream, words):
    (tmp_path / "unlade.yaml").write_text(yaml.safe_dump(site(port, 1234, upstream=upstream)))
    done = command("check", "-c", tmp_path / "unlade.yaml")
    assert done.returncode != 0 and "unlade.yaml:" in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
