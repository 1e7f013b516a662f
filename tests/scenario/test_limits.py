"""What a client may not make grow, methods that are not served, and the pages that say so."""
import json

import pytest

from support.backend import response
from support.client import get, tls_client
from support.ports import free_port
from support.unlade import site


@pytest.fixture
def client(stack, pki):
    with tls_client(stack.port, pki) as c:
        yield c


def assert_refused(client, status):
    r = client.response()
    assert r.status == status, (r.status, r.body)
    assert r.field("connection") == "close"
    client.assert_closed()
    return r


def test_a_request_line_too_long_gets_414(stack, client):
    client.send(get("/" + "a" * 8192))
    assert_refused(client, 414)
    assert not stack.backend.exchanges


def test_a_request_line_within_the_limit_is_served(client):
    assert client.request(get("/" + "a" * (8192 - len("GET / HTTP/1.1")))).status == 200


def test_a_request_line_without_end_gets_414_before_it_ends(client):
    client.send(b"GET /" + b"a" * 9000)
    assert_refused(client, 414)


def test_too_many_fields_get_431(stack, client):
    client.send(get(fields=[f"X-{i}: 1" for i in range(100)]))
    assert_refused(client, 431)
    assert not stack.backend.exchanges


def test_as_many_fields_as_allowed_are_served(client):
    assert client.request(get(fields=[f"X-{i}: 1" for i in range(99)])).status == 200


def test_a_head_too_large_gets_431(client):
    client.send(get(fields=["X-Large: " + "a" * 33000]))
    assert_refused(client, 431)


def test_a_large_head_within_the_limit_is_served(stack, client):
    assert client.request(get(fields=["X-Large: " + "a" * 31000])).status == 200
    assert len(stack.backend.only().field("x-large")) == 31000


def test_too_many_trailers_get_431(client):
    client.send(get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"1\r\na\r\n0\r\n" + b"X: 1\r\n" * 200 + b"\r\n")
    assert_refused(client, 431)


@pytest.fixture
def limited(start, backend, port, certificate):
    start(site(port, backend.port, certificate, listener={"limits": {"request_line": "100", "head": "1k", "fields": 5, "body": "10"}}))
    return port


@pytest.mark.parametrize("request_bytes, status", [
    (get("/" + "a" * 100), 414), (get(fields=["X-Large: " + "a" * 1024]), 431), (get(fields=[f"X-{i}: 1" for i in range(5)]), 431),
    (get(method="POST", body=b"a" * 11), 413), (get(fields=[f"X-{i}: 1" for i in range(4)]), 200), (get(method="POST", body=b"a" * 10), 200)],
    ids=["line", "head", "fields", "body", "fields that fit", "a body that fits"])
def test_limits_follow_the_configuration(limited, backend, pki, request_bytes, status):
    with tls_client(limited, pki) as c:
        assert c.request(request_bytes).status == status
    assert len(backend.exchanges) == (status == 200)


def test_a_chunked_body_too_large_gets_413(limited, backend, pki):
    with tls_client(limited, pki) as c:
        c.send(get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"5\r\naaaaa\r\n")
        exchange = backend.wait_exchanges(1)[0]
        c.send(b"6\r\naaaaaa\r\n0\r\n\r\n")
        assert_refused(c, 413)
    assert exchange.connection.ended.wait(30) and not exchange.complete.is_set()


@pytest.mark.parametrize("request_bytes", [get("a.test:443", method="CONNECT"), get(method="TRACE"),
                                           get("a.test:443", host="a.test:443", method="CONNECT", version="HTTP/1.0")],
                         ids=["CONNECT", "TRACE", "CONNECT of HTTP/1.0"])
def test_connect_and_trace_get_405(stack, client, request_bytes):
    r = client.request(request_bytes, method="GET")
    assert r.status == 405 and r.field("allow")
    assert "CONNECT" not in r.field("allow") and "TRACE" not in r.field("allow")
    assert not stack.backend.exchanges


def test_a_method_in_lower_case_is_another_method(stack, client):
    """Methods are case-sensitive: `connect` with a path is some method of the server's own."""
    assert client.request(get(method="trace")).status == 200
    assert stack.backend.only().method == "trace"


# ---- pages ----

@pytest.mark.parametrize("accept, kind", [([], "text/plain"), (["Accept: */*"], "text/plain"), (["Accept: text/html, */*;q=0.8"], "text/plain"),
                                          (["Accept: application/json"], "application/json"),
                                          (["Accept: text/plain;q=0.2, application/json;q=0.9"], "application/json")])
def test_error_pages_are_plain_or_json_as_the_client_likes(start, port, certificate, pki, accept, kind):
    start(site(port, free_port(), certificate))
    with tls_client(port, pki) as c:
        r = c.request(get(fields=accept))
    assert r.status == 502 and r.field("content-type").startswith(kind)
    assert 0 < len(r.body) < 1000
    if kind == "application/json":
        assert json.loads(r.body)["status"] == 502
    else:
        assert b"502" in r.body


def test_the_page_of_a_head_request_has_no_content(start, port, certificate, pki):
    start(site(port, free_port(), certificate))
    with tls_client(port, pki) as c:
        r = c.request(get(method="HEAD"))
        assert r.status == 502 and int(r.field("content-length")) > 0
        assert c.request(get()).status == 502


def test_an_error_of_the_server_leaves_the_connection_usable(start, port, certificate, pki):
    """A 502 is no fault of the client's: its next request is served on the same connection."""
    start(site(port, free_port(), certificate))
    with tls_client(port, pki) as c:
        for _ in range(3):
            assert c.request(get()).status == 502
        assert c.request(get(method="POST", body=b"a" * 100)).status == 502
        assert c.request(get()).status == 502


def test_what_a_client_sent_does_not_stand_in_pages(stack, client):
    client.send(b"GET /<script> HTTP/1.1\r\nHost: <script>\r\n\r\n")
    assert b"<script>" not in assert_refused(client, 400).body


def test_error_answers_of_the_server_are_passed_on_as_they_are(stack, client):
    for status in ("400 Mine", "404 Mine", "500 Mine", "503 Mine"):
        stack.backend.answer = lambda e, s=status: e.send(response(b"my page", s))
        r = client.request(get())
        assert (f"{r.status} {r.reason}", r.body) == (status, b"my page")
