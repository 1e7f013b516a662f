"""A malformed answer of a server is a 502, never half an answer, and its connection is not used again."""
import pytest

from support.client import Closed, get, tls_client

OK = b"HTTP/1.1 200 OK\r\n"

MALFORMED = {
    "no HTTP at all": b"\x00\x01\x02hello\r\n\r\n",
    "a greeting of another protocol": b"220 mail.a.test ESMTP\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "lower-case version": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok",
    "a control character in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok",
    "both Content-Length and Transfer-Encoding": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "differing Content-Lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a list of Content-Lengths": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "an odd Content-Length": OK + b"Content-Length: 2a\r\n\r\nok",
    "a negative Content-Length": OK + b"Content-Length: -2\r\n\r\nok",
    "chunked not last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a folded line": OK + b"X-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "white space before a colon": OK + b"Content-Length : 2\r\n\r\nok",
    "a field without a colon": OK + b"Content-Length\r\n\r\nok",
    "an empty field name": OK + b": x\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a value": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "bare CR in a value": OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a 204 with chunked content": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a 204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "a 100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok",
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 2000,
    "a head without end": OK + b"X-Long: " + b"a" * 200000,
    "ten thousand fields": OK + b"X: y\r\n" * 10000 + b"Content-Length: 2\r\n\r\nok",
}

MALFORMED_CHUNKS = {
    "a size that is no number": b"2\r\nok\r\nzz\r\n\r\n",
    "more content than the size says": b"2\r\nok!!\r\n0\r\n\r\n",
    "bare LF behind the size": b"2\nok\r\n0\r\n\r\n",
    "a size of 64 bits and more": b"2\r\nok\r\n10000000000000002\r\nok",
    "Content-Length as a trailer": b"2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n",
}


def answer_once(stack, data):
    """The first request gets these bytes, the connection stays open; later ones get 200."""
    def answer(exchange):
        exchange.read_body()
        stack.backend.answer = lambda e: (e.read_body(), e.send(OK + b"Content-Length: 4\r\n\r\ngood"))
        try:
            exchange.send(data)
        except OSError:
            pass  # it need not be taken to its end
    stack.backend.answer = answer


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_answer_gets_502_and_its_connection_is_not_used_again(stack, pki, name):
    answer_once(stack, MALFORMED[name])
    with tls_client(stack.port, pki) as c:
        # Not idempotent: the request is not sent again.
        r = c.request(get("/bad", method="POST", body=b"x"))
        assert r.status == 502, (r.status, r.body)
        assert all(i.status in (100, 102) for i in c.interim)
        bad = stack.backend.exchanges[0].connection
        assert bad.ended.wait(30), "the connection was kept"
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/good")).body == b"good"
    assert stack.backend.exchanges[-1].connection is not bad
    assert [e.target for e in stack.backend.exchanges] == ["/bad", "/good"]


@pytest.mark.parametrize("name", MALFORMED_CHUNKS)
def test_malformed_chunks_end_the_client_connection_without_an_end_of_content(stack, pki, name):
    answer_once(stack, OK + b"Transfer-Encoding: chunked\r\n\r\n" + MALFORMED_CHUNKS[name])
    with tls_client(stack.port, pki) as c:
        c.send(get("/bad", method="POST", body=b"x"))
        try:
            r = c.response("POST")
            assert r.status == 502, "a whole answer was made of a broken one"
        except Closed:
            pass
    bad = stack.backend.exchanges[0].connection
    assert bad.ended.wait(30)
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/good")).body == b"good"
    assert stack.backend.exchanges[-1].connection is not bad


@pytest.mark.parametrize("surplus", [b"more", OK + b"Content-Length: 6\r\n\r\npoison"], ids=["bytes", "a whole answer"])
def test_bytes_behind_an_answer_are_never_the_next_one(stack, pki, surplus):
    answer_once(stack, OK + b"Content-Length: 2\r\n\r\nok" + surplus)
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/first")).body == b"ok"
        assert c.request(get("/second")).body == b"good"
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/third")).body == b"good"
    first = stack.backend.exchanges[0].connection
    assert all(e.connection is not first for e in stack.backend.exchanges[1:])


def test_content_that_answers_a_head_request_is_never_the_next_answer(stack, pki):
    answer_once(stack, OK + b"Content-Length: 40\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx!!")
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/first", method="HEAD")).status == 200
        assert c.request(get("/second")).body == b"good"
    assert stack.backend.exchanges[1].connection is not stack.backend.exchanges[0].connection


def test_content_that_follows_a_304_is_never_the_next_answer(stack, pki):
    answer_once(stack, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok")
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/first")).status == 304
        assert c.request(get("/second")).body == b"good"


def test_bytes_that_a_server_sends_before_it_was_asked_are_never_an_answer(stack, pki):
    """A pooled connection on which something came while it was idle is thrown away."""
    answer_once(stack, OK + b"Content-Length: 2\r\n\r\nok")
    with tls_client(stack.port, pki) as c:
        assert c.request(get("/first")).body == b"ok"
        first = stack.backend.exchanges[0].connection
        first.send(OK + b"Content-Length: 6\r\n\r\npoison")
        assert first.ended.wait(30), "the connection was kept"
        assert c.request(get("/second")).body == b"good"


def test_a_502_page_says_nothing_of_the_server(stack, pki):
    answer_once(stack, b"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n")
    with tls_client(stack.port, pki) as c:
        r = c.request(get("/", method="POST", body=b"x"))
    assert r.status == 502
    assert b"secret" not in r.body and str(stack.backend.port).encode() not in r.body
