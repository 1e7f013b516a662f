"""A request that could be read in two ways is refused, the connection is closed, and nothing of it or behind it
reaches a server."""
import os
import signal
import socket
import threading
import time

import pytest

from support.backend import response
from support.client import get, plain_client, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import LONG

# What follows each malformed request on the wire: a request of the attacker's that nobody may ever see.
SMUGGLED = get("/smuggled")


def head(*lines):
    return "\r\n".join(["POST / HTTP/1.1", "Host: a.test", *lines]).encode("latin-1") + b"\r\n\r\n"


def line(text):
    return text.encode("latin-1") + b"\r\nHost: a.test\r\n\r\n"


MALFORMED_HEADS = {
    "both Content-Length and Transfer-Encoding": head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "Transfer-Encoding before Content-Length": head("Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    "two differing Content-Lengths": head("Content-Length: 4", "Content-Length: 5") + b"abcde",
    "two equal Content-Lengths": head("Content-Length: 4", "Content-Length: 4") + b"abcd",
    "a list of Content-Lengths": head("Content-Length: 4, 5") + b"abcde",
    "Content-Length with a sign": head("Content-Length: +4") + b"abcd",
    "negative Content-Length": head("Content-Length: -1"),
    "hexadecimal Content-Length": head("Content-Length: 0x4") + b"abcd",
    "empty Content-Length": head("Content-Length:"),
    "Content-Length with a space inside": head("Content-Length: 1 2") + b"a" * 12,
    "Content-Length beyond 64 bits": head("Content-Length: 18446744073709551620") + b"abcd",
    "Content-Length with an underscore": head("Content_Length: 4", "Content-Length: 0"),
    "Transfer-Encoding with an underscore": head("Transfer_Encoding: chunked", "Content-Length: 0"),
    "Transfer-Encoding twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n",
    "Transfer-Encoding: identity": head("Transfer-Encoding: identity"),
    "chunked not last": head("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "chunked twice": head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked in quotes": head('Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "chunked with a vertical tab": head("Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "xchunked": head("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "empty Transfer-Encoding": head("Transfer-Encoding:") + b"0\r\n\r\n",
    "Transfer-Encoding in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "white space before a colon": head("Content-Length : 4") + b"abcd",
    "tab before a colon": head("Transfer-Encoding\t: chunked") + b"0\r\n\r\n",
    "white space in a name": head("Content Length: 4"),
    "a folded line": head("X-Long: a", " b"),
    "a folded first line": b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
    "a field without a colon": head("Content-Length"),
    "an empty field name": head(": value"),
    "a name that is no token": head("X[y]: 1"),
    "NUL in a value": head("X-Value: a\0b"),
    "NUL in a name": head("X\0Value: a"),
    "a control character in a value": head("X-Value: a\x01b"),
    "DEL in a value": head("X-Value: a\x7fb"),
    "bare CR in a value": head("X-Value: a\rContent-Length: 4"),
    "bare LF between fields": b"GET / HTTP/1.1\r\nHost: a.test\nX-Value: 1\r\n\r\n",
    "bare LF at the end of the head": b"GET / HTTP/1.1\r\nHost: a.test\r\n\n",
    "all line ends bare LF": b"GET / HTTP/1.1\nHost: a.test\n\n",
    "CR CR LF": b"GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX-Value: 1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
    "two equal Hosts": b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
    "Host with user information": b"GET / HTTP/1.1\r\nHost: me@a.test\r\n\r\n",
    "Host with an odd port": b"GET / HTTP/1.1\r\nHost: a.test:80x\r\n\r\n",
    "Host with a port too large": b"GET / HTTP/1.1\r\nHost: a.test:65536\r\n\r\n",
    "a list of Hosts": b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    "Host with a space": b"GET / HTTP/1.1\r\nHost: a.test b\r\n\r\n",
    "absolute form with another bad Host": b"GET http://a.test/ HTTP/1.1\r\nHost: a.test:x\r\n\r\n",
    "absolute form without authority": b"GET http:///x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "absolute form of another scheme": b"GET ftp://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "no version": line("GET /"),
    "two spaces in the request line": line("GET  / HTTP/1.1"),
    "a tab in the request line": line("GET\t/ HTTP/1.1"),
    "a space at the end of the request line": line("GET / HTTP/1.1 "),
    "a space in the target": line("GET /a b HTTP/1.1"),
    "a leading space": line(" GET / HTTP/1.1"),
    "lower-case version": line("GET / http/1.1"),
    "a version with two digits": line("GET / HTTP/1.10"),
    "a version with a sign": line("GET / HTTP/+1.1"),
    "a method that is no token": line("GE(T / HTTP/1.1"),
    "an empty method": line(" / HTTP/1.1"),
    "a target without slash": line("GET x HTTP/1.1"),
    "an asterisk with GET": line("GET * HTTP/1.1"),
    "a fragment in the target": line("GET /a#b HTTP/1.1"),
    "a byte beyond ASCII in the target": line("GET /\xe4 HTTP/1.1"),
    "a broken percent sign in the path": line("GET /%zz HTTP/1.1"),
    "NUL in the target": line("GET /\0 HTTP/1.1"),
    "two empty lines in front": b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "Connection names Content-Length": head("Connection: Content-Length", "Content-Length: 4") + b"abcd",
    "Connection names Host": head("Connection: Host"),
    "Connection names X-Forwarded-For": head("Connection: X-Forwarded-For", "X-Forwarded-For: 10.0.0.1"),
    "Connection with an odd option": head("Connection: a b"),
    "a TLS record": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
OTHER_STATUS = {"the preface of HTTP/2": 505}

MALFORMED_CHUNKS = {
    "a size that is no number": b"g\r\nabc\r\n0\r\n\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "a size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a size with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "a space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "a space behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "a size of 64 bits and more": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a size of 63 bits and more": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "bare LF behind the size": b"3\nabc\r\n0\r\n\r\n",
    "bare CR behind the size": b"3\rabc\r\n0\r\n\r\n",
    "a line end inside an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a control character in an extension": b"3;a\x01\r\nabc\r\n0\r\n\r\n",
    "more content than the size says": b"3\r\nabcd\r\n0\r\n\r\n",
    "less content than the size says": b"5\r\nabc\r\n0\r\n\r\n" + b"x" * 8,
    "no line end behind the content": b"3\r\nabc0\r\n\r\n",
    "bare LF behind the content": b"3\r\nabc\n0\r\n\r\n",
    "a trailer without a colon": b"3\r\nabc\r\n0\r\nX-Trailer\r\n\r\n",
    "a trailer with a space in its name": b"3\r\nabc\r\n0\r\nX Trailer: 1\r\n\r\n",
    "Content-Length as a trailer": b"3\r\nabc\r\n0\r\nContent-Length: 100\r\n\r\n",
    "Transfer-Encoding as a trailer": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Host as a trailer": b"3\r\nabc\r\n0\r\nHost: b.test\r\n\r\n",
    "a trailer that ends with LF": b"3\r\nabc\r\n0\r\nX-Trailer: 1\n\r\n",
    "endless extensions of tiny chunks": (b"1;" + b"e" * 1000 + b"\r\na\r\n") * 40,
}


def assert_refused(client, status=400):
    answer = client.response("POST")
    assert answer.status == status, f"{answer.status} {answer.body}"
    assert answer.field("connection") == "close"
    client.assert_closed()


def assert_nothing_behind(stack, client_goes_on):
    """A request on a new connection arrives, and nothing of the malformed one or behind it arrived before."""
    assert client_goes_on.request(get("/good")).status == 200
    targets = [e.target for e in stack.backend.exchanges]
    assert "/smuggled" not in targets
    return targets


@pytest.mark.parametrize("name", MALFORMED_HEADS)
def test_malformed_head_gets_400_and_nothing_reaches_the_server(stack, pki, name):
    with tls_client(stack.port, pki) as bad, tls_client(stack.port, pki) as good:
        bad.send(MALFORMED_HEADS[name] + SMUGGLED)
        assert_refused(bad, OTHER_STATUS.get(name, 400))
        assert assert_nothing_behind(stack, good) == ["/good"]
    assert not stack.backend.garbage


@pytest.mark.parametrize("name", ["two differing Content-Lengths", "bare LF between fields", "no Host", "a folded line"])
def test_malformed_head_behind_a_good_request_is_refused_after_the_good_answer(stack, pki, name):
    with tls_client(stack.port, pki) as c:
        c.send(get("/first") + MALFORMED_HEADS[name] + SMUGGLED)
        assert c.response().status == 200
        assert_refused(c)
    assert [e.target for e in stack.backend.exchanges] == ["/first"]


@pytest.mark.parametrize("name", MALFORMED_CHUNKS)
def test_malformed_chunked_body_gets_400_and_the_server_sees_no_whole_request(stack, pki, name):
    with tls_client(stack.port, pki) as bad, tls_client(stack.port, pki) as good:
        bad.send(head("Transfer-Encoding: chunked") + MALFORMED_CHUNKS[name] + SMUGGLED)
        assert_refused(bad)
        assert_nothing_behind(stack, good)
    assert not any(e.complete.is_set() for e in stack.backend.exchanges if e.method == "POST")


@pytest.mark.parametrize("name", ["bare LF behind the content", "a size that is no number"])
def test_the_server_connection_of_a_malformed_body_is_closed_and_not_used_again(stack, pki, name):
    started = len(stack.backend.connections)
    with tls_client(stack.port, pki) as bad:
        # The head goes first, so that a server has it before the fault is seen.
        bad.send(head("Transfer-Encoding: chunked") + b"1\r\na\r\n")
        exchange = stack.backend.wait_exchanges(1)[0]
        bad.send(MALFORMED_CHUNKS[name])
        assert_refused(bad)
    assert exchange.connection.ended.wait(30)
    with tls_client(stack.port, pki) as good:
        assert good.request(get("/good")).status == 200
    assert stack.backend.exchanges[-1].connection is not exchange.connection
    assert len(stack.backend.connections) >= started


def test_an_unknown_coding_gets_501(stack, pki):
    with tls_client(stack.port, pki) as c:
        c.send(head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n" + SMUGGLED)
        assert_refused(c, 501)
    assert not stack.backend.exchanges


def test_a_malformed_head_is_refused_when_it_comes_byte_by_byte(stack, pki):
    with tls_client(stack.port, pki) as c:
        c.send_slowly(head("Content-Length: 4", "Transfer-Encoding: chunked"))
        assert_refused(c)
    assert not stack.backend.exchanges


def test_content_behind_a_get_without_length_is_the_next_request(stack, pki):
    """What a server might take for a body is parsed as a request of its own, and refused where it is none."""
    with tls_client(stack.port, pki) as c:
        c.send(get("/first") + b"abcd\r\n\r\n" + SMUGGLED)
        assert c.response().status == 200
        assert_refused(c)
    assert [e.target for e in stack.backend.exchanges] == ["/first"]


@pytest.fixture
def slow_port():
    """A listening socket whose queue is full: connections to it are neither made nor refused."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for s in waiting:
            s.setblocking(False)
            s.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for s in waiting:
            s.close()


@pytest.mark.parametrize("before", [0, 1], ids=["second server", "first server"])
@pytest.mark.parametrize("secure", [True, False], ids=["tls", "plain"])
def test_a_body_that_looks_like_a_request_is_never_one(start, backend, port, slow_port, certificate, pki, secure, before):
    """Also when it comes in the same moment as the answer to the request before it, and has to wait for a server. The
    worker is held still, so that it sees both at once, with the beginning of the second head already in its hands."""
    proxy = start(site(port, [backend.port, slow_port], certificate if secure else None, upstream={"timeouts": {"connect": "500ms"}}))
    (worker,) = proxy.workers()
    go, answered = threading.Event(), threading.Event()

    def answer(e):
        e.read_body()
        if e.target == "/first":
            go.wait(LONG)
            answered.set()
        e.send(response())
    backend.answer = answer
    second = get("/second", method="POST", body=SMUGGLED * 5)
    with tls_client(port, pki) if secure else plain_client(port) as c:
        for _ in range(before):
            assert c.request(get("/before")).status == 200
        backend.exchanges.clear()
        c.send(get("/first") + second[:10])
        backend.wait_exchanges(1)
        os.kill(worker, signal.SIGSTOP)
        go.set()
        assert answered.wait(LONG)
        time.sleep(0.05)    # the answer is on its way before the rest is
        c.send(second[10:-50])
        os.kill(worker, signal.SIGCONT)
        assert c.response().status == 200
        c.send(second[-50:])
        assert c.response("POST").status == 200
    assert [e.target for e in backend.exchanges] == ["/first", "/second"]
    assert backend.exchanges[1].body == SMUGGLED * 5
