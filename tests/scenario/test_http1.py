"""HTTP/1.1 between ordinary peers: framing, connections, interim answers, early answers (RFC 9110, RFC 9112)."""
import hashlib
import os
import threading

import pytest

from support.backend import response
from support.client import Closed, curl, get, tls_client
from support.unlade import site
from support.waiting import LONG

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def client(stack, pki):
    with tls_client(stack.port, pki) as c:
        yield c


@pytest.mark.records
def test_a_connection_serves_request_after_request(stack, client):
    for i in range(20):
        assert client.request(get(f"/{i}")).body == b"ok"
    assert [e.target for e in stack.backend.exchanges] == [f"/{i}" for i in range(20)]


@pytest.mark.records
def test_requests_on_one_connection_share_a_server_connection(stack, client):
    for _ in range(5):
        client.request(get())
    assert len({e.connection.number for e in stack.backend.exchanges}) == 1


def test_clients_one_after_another_share_a_pooled_server_connection(stack, pki):
    for _ in range(5):
        with tls_client(stack.port, pki) as c:
            c.request(get())
    assert len({e.connection.number for e in stack.backend.exchanges}) == 1


@pytest.mark.records
def test_pipelined_requests_are_answered_in_order(stack, client):
    stack.backend.answer = lambda e: (e.read_body(), e.send(response(e.target.encode() + e.body)))
    client.send(b"".join(get(f"/{i}") if i % 2 else get(f"/{i}", method="POST", body=b"x" * i) for i in range(50)))
    for i in range(50):
        assert client.response().body == f"/{i}".encode() + (b"" if i % 2 else b"x" * i)


@pytest.mark.records
def test_pipelined_requests_are_answered_though_the_client_closes_its_direction(stack, client):
    client.send(get("/1") + get("/2", fields=["Connection: close"]))
    client.half_close()
    assert client.response().status == 200
    assert client.response().status == 200
    client.assert_closed()


def test_an_empty_line_in_front_of_a_request_is_passed_over(client):
    assert client.request(b"\r\n" + get(), method="GET").status == 200


@pytest.mark.records
def test_connection_close_is_honoured(stack, client):
    r = client.request(get(fields=["Connection: close"]))
    assert r.field("connection") == "close"
    client.assert_closed()


def test_a_server_that_closes_after_its_answer_does_not_close_the_client(stack, client):
    stack.backend.answer = lambda e: (e.send(response(fields=["Connection: close"])), e.close())
    for _ in range(3):
        r = client.request(get())
        assert r.body == b"ok" and r.field("connection") is None
    assert len({e.connection.number for e in stack.backend.exchanges}) == 3


# ---- content ----

@pytest.mark.records
@pytest.mark.parametrize("size", [0, 1, 100, 16384, 16385, 1 << 20])
def test_a_body_with_a_length_arrives_whole(stack, client, size):
    body = os.urandom(size)
    assert client.request(get(method="POST", body=body)).status == 200
    assert stack.backend.only().body == body
    assert stack.backend.only().field("content-length") == str(size)


@pytest.mark.records
def test_a_chunked_body_arrives_chunked_with_its_trailers(stack, client):
    body = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 12\r\n\r\n"
    client.request(get(method="POST", fields=["Transfer-Encoding: chunked", "Trailer: X-Sum"]) + body)
    e = stack.backend.only()
    assert e.body == b"hello world" and e.trailers == [("X-Sum", "12")]
    assert e.field("transfer-encoding") == "chunked" and e.field("content-length") is None
    assert b"ext" not in e.raw_body


@pytest.mark.records
def test_a_chunked_answer_arrives_with_its_trailers(stack, client):
    stack.backend.answer = lambda e: e.send(CHUNKED + b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 12\r\n\r\n")
    r = client.request(get(fields=["TE: trailers", "Connection: TE"]))
    assert r.body == b"hello world" and r.trailers == [("X-Sum", "12")]


@pytest.mark.records
def test_a_chunked_answer_in_single_bytes_arrives_whole(stack, client):
    def answer(e):
        for byte in CHUNKED + b"1\r\na\r\n00A\r\nbbbbbbbbbb\r\n0\r\n\r\n":
            e.send(bytes([byte]))
    stack.backend.answer = answer
    assert client.request(get()).body == b"a" + b"b" * 10


@pytest.mark.records
def test_an_answer_without_a_length_ends_with_its_connection(stack, client):
    stack.backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), e.close())
    assert client.request(get()).body == b"until the end"


def test_an_answer_of_http_1_0_is_passed_on_as_1_1(stack, client):
    stack.backend.answer = lambda e: (e.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), e.close())
    r = client.request(get())
    assert r.version == "HTTP/1.1" and r.body == b"ok"


@pytest.mark.records
def test_content_is_passed_on_as_it_comes_and_not_collected(stack, client):
    """The first piece reaches the client while the server still waits for it to have done so."""
    first_seen = threading.Event()

    def answer(e):
        e.send(CHUNKED + b"5\r\nfirst\r\n")
        assert first_seen.wait(LONG)
        e.send(b"6\r\nsecond\r\n0\r\n\r\n")
    stack.backend.answer = answer
    client.send(get())
    assert client.response_head().status == 200
    assert client.read_line() == b"5" and client.read_line() == b"first"
    first_seen.set()
    assert client.read_line() == b"6" and client.read_line() == b"second"


def test_request_content_is_passed_on_as_it_comes(stack, client):
    pieces = []
    stack.backend.answer = lambda e: (e.read_body(lambda d: (pieces.append(d), arrived.set())), e.send(response()))
    arrived = threading.Event()
    client.send(get(method="POST", fields=["Content-Length: 10"]) + b"first")
    assert arrived.wait(LONG) and b"".join(pieces) == b"first"
    client.send(b"other")
    assert client.response("POST").status == 200
    assert b"".join(pieces) == b"firstother"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_hundred_megabytes_go_up_and_come_back_unchanged(stack, pki, tmp_path, framing):
    """Both directions at once: the server echoes while it reads."""
    sent, got = tmp_path / "sent", tmp_path / "got"
    piece = os.urandom(1 << 20)
    sent.write_bytes(b"".join(i.to_bytes(4, "big") + piece for i in range(100)))

    def answer(e):
        e.send(CHUNKED)
        e.read_body(lambda d: e.send(b"%x\r\n" % len(d) + d + b"\r\n"))
        e.send(b"0\r\n\r\n")
    stack.backend.answer = answer
    fields = ["-H", "Expect:"] + (["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else [])
    r = curl(stack.port, pki, "/", "-T", sent, "-o", got, *fields, seconds=120)
    assert r.returncode == 0, r.stderr
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(sent.read_bytes()).digest()


@pytest.mark.records
@pytest.mark.parametrize("name", ["empty", "1", "1k", "16k", "16k1", "100k", "1M", "20M"])
def test_files_of_a_real_nginx_arrive_unchanged(start, nginx, port, certificate, pki, name):
    start(site(port, nginx.port, certificate))
    with tls_client(port, pki) as c:
        r = c.request(get(f"/{name}"))
    assert r.status == 200 and hashlib.sha256(r.body).hexdigest() == nginx.sha256(name)


# ---- answers without content ----

def test_an_answer_to_head_has_no_content_and_keeps_its_length(stack, client):
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    r = client.request(get(method="HEAD"))
    assert r.status == 200 and r.field("content-length") == "1234"
    stack.backend.reset_script()
    assert client.request(get()).body == b"ok"


def test_a_chunked_answer_to_head_has_no_content(stack, client):
    stack.backend.answer = lambda e: e.send(CHUNKED)
    assert client.request(get(method="HEAD")).status == 200
    stack.backend.reset_script()
    assert client.request(get()).body == b"ok"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_that_has_no_content_does_not_wait_for_any(stack, client, status):
    stack.backend.answer = lambda e: e.send(f"HTTP/1.1 {status}\r\nETag: \"1\"\r\n\r\n".encode())
    for _ in range(2):
        r = client.request(get())
        assert r.status == int(status[:3]) and r.field("etag") == '"1"'
        assert r.field("transfer-encoding") is None


def test_a_304_keeps_the_length_that_it_announces(stack, client):
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")
    assert client.request(get()).field("content-length") == "99"
    assert client.request(get()).status == 304


# ---- interim answers ----

def test_expect_continue_is_asked_of_the_server_and_its_100_is_passed_on(stack, client):
    def answer(e):
        assert e.field("expect") == "100-continue"
        e.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        e.read_body()
        e.send(response(e.body))
    stack.backend.answer = answer
    client.send(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
    assert client.response_head().status == 100
    client.send(b"hello")
    assert client.response("POST").body == b"hello"


def test_expect_continue_may_be_refused_without_the_body(stack, client):
    stack.backend.answer = lambda e: (e.send(response(b"no", "417 Expectation Failed")), e.close())
    r = client.request(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
    assert r.status == 417 and not client.interim


def test_an_unknown_expectation_gets_417(stack, client):
    assert client.request(get(method="POST", fields=["Expect: tea"], body=b"")).status == 417
    assert not stack.backend.exchanges


def test_early_hints_are_passed_on_before_the_answer(stack, client):
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
                                            b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n" + response())
    r = client.request(get())
    assert r.status == 200
    assert [(i.status, i.field("link")) for i in client.interim] == [(103, "</a.css>"), (103, "</b.css>")]


def test_interim_answers_are_not_sent_to_http_1_0(stack, client):
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + response())
    assert client.request(get(version="HTTP/1.0")).status == 200
    assert not client.interim


# ---- HTTP/1.0 ----

def test_http_1_0_is_answered_and_closed(stack, client):
    r = client.request(get(version="HTTP/1.0"))
    assert r.body == b"ok"
    client.assert_closed()
    assert stack.backend.only().version == "HTTP/1.1"


def test_http_1_0_without_host_is_served_by_the_listener(stack, client):
    assert client.request(get(version="HTTP/1.0", host=None)).status == 200


def test_http_1_0_that_asks_for_keep_alive_gets_it(stack, client):
    r = client.request(get(version="HTTP/1.0", fields=["Connection: keep-alive"]))
    assert r.field("connection").lower() == "keep-alive"
    assert client.request(get(version="HTTP/1.0")).status == 200


def test_a_chunked_answer_is_unchunked_for_http_1_0(stack, client):
    stack.backend.answer = lambda e: e.send(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")
    r = client.request(get(version="HTTP/1.0", fields=["Connection: keep-alive"]))
    assert r.field("transfer-encoding") is None and r.body == b"hello"


# ---- targets ----

def test_an_absolute_target_becomes_the_origin_form_and_its_authority_wins(stack, client):
    assert client.request(b"GET http://a.test/x?y=1 HTTP/1.1\r\nHost: b.test\r\n\r\n").status == 200
    e = stack.backend.only()
    assert e.target == "/x?y=1" and e.field("host") == "a.test"


def test_an_absolute_target_without_a_path_asks_for_the_root(stack, client):
    client.request(b"GET https://a.test?q HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert stack.backend.only().target == "/?q"


def test_options_asterisk_reaches_the_server(stack, client):
    assert client.request(get("*", method="OPTIONS")).status == 200
    assert stack.backend.only().target == "*"


def test_a_target_is_passed_on_byte_for_byte(stack, client):
    target = "/a/../b//c;d=1/%2e%2F%e4?x=%&y={}|[]&z=a+b"
    assert client.request(get(target)).status == 200
    assert stack.backend.only().target == target


def test_an_unknown_method_is_passed_on(stack, client):
    assert client.request(get(method="PROPFIND")).status == 200
    assert stack.backend.only().method == "PROPFIND"


# ---- early answers, half-closed connections ----

def test_an_answer_that_comes_before_the_body_reaches_the_client(stack, client):
    stack.backend.answer = lambda e: (e.send(response(b"too much", "413 Content Too Large", ["Connection: close"])), e.connection.wait_closed())
    client.send(get(method="POST", fields=["Content-Length: 1000000"]) + b"x" * 1000)
    assert client.response("POST").status == 413


def test_an_answer_that_ends_before_the_body_says_that_the_connection_ends(stack, client):
    stack.backend.answer = lambda e: (e.send(response(b"early")), e.read_body())
    client.send(get(method="POST", fields=["Content-Length: 10"]) + b"x" * 5)
    r = client.response("POST")
    assert r.body == b"early" and r.field("connection") == "close"
    client.send(b"x" * 5)
    client.assert_closed()


@pytest.mark.records
def test_a_client_that_ends_its_direction_gets_its_answer(stack, client):
    may_answer = threading.Event()
    stack.backend.answer = lambda e: (may_answer.wait(LONG), e.send(response()))
    client.send(get())
    client.half_close()
    stack.backend.wait_exchanges(1)
    may_answer.set()
    assert client.response().body == b"ok"


@pytest.mark.records
def test_a_client_that_dies_in_its_request_ends_the_server_connection(stack, pki):
    ended = threading.Event()
    stack.backend.answer = lambda e: (e.connection.wait_closed() and ended.set())
    with tls_client(stack.port, pki) as c:
        c.send(get(method="POST", fields=["Content-Length: 100"]) + b"x" * 50)
        stack.backend.wait_exchanges(1)
        c.reset()
    assert ended.wait(LONG)
    assert not stack.backend.exchanges[0].complete.is_set()


@pytest.mark.records
def test_a_client_that_dies_while_it_waits_ends_the_server_connection(stack, pki):
    ended = threading.Event()
    stack.backend.answer = lambda e: (e.connection.wait_closed() and ended.set())
    with tls_client(stack.port, pki) as c:
        c.send(get())
        stack.backend.wait_exchanges(1)
        c.reset()
    assert ended.wait(LONG)


@pytest.mark.records
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n32\r\n"], ids=["length", "chunked"])
@pytest.mark.parametrize("death", ["close", "reset"])
def test_a_server_that_dies_in_its_content_never_makes_a_whole_answer(stack, client, framing, death):
    stack.backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\n" + framing + b"x" * 50), getattr(e, death)())
    client.send(get(method="POST", body=b""))
    try:
        assert client.response("POST").status == 502
    except Closed:
        pass
