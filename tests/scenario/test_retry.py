"""When a request is sent a second time, and when it must not be."""
import pytest

from support.backend import Backend, response
from support.client import Closed, get, tls_client
from support.ports import free_port
from support.unlade import site


@pytest.fixture
def backends():
    two = [Backend(), Backend()]
    yield two
    for b in two:
        b.stop()
        assert not b.failures


@pytest.fixture
def served(start, backend, port, certificate):
    start(site(port, backend.port, certificate))
    return port


def test_requests_go_to_the_servers_in_turn(start, backends, port, certificate, pki):
    start(site(port, [b.port for b in backends], certificate))
    with tls_client(port, pki) as c:
        for _ in range(10):
            assert c.request(get()).status == 200
    assert [len(b.exchanges) for b in backends] == [5, 5]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_refuses_connections_is_passed_over(start, backend, port, certificate, pki, method):
    proxy = start(site(port, [free_port(), backend.port], certificate))
    with tls_client(port, pki) as c:
        for _ in range(10):
            assert c.request(get(method=method, body=b"hello")).status == 200
    assert len(backend.exchanges) == 10 and all(e.body == b"hello" for e in backend.exchanges)
    assert max(r["attempts"] for r in proxy.access_records(10)) == 2


def test_a_server_that_refuses_connections_gets_the_client_a_502(start, port, certificate, pki):
    start(site(port, free_port(), certificate))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 502


def test_a_large_body_is_not_lost_when_the_first_server_refuses(start, backend, port, certificate, pki):
    start(site(port, [free_port(), backend.port], certificate))
    with tls_client(port, pki) as c:
        for _ in range(2):
            assert c.request(get(method="POST", body=b"x" * 300000)).status == 200
    assert [len(e.body) for e in backend.exchanges] == [300000] * 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pooled_connection_that_the_server_closed_does_not_show(served, backend, pki, method):
    """Closed before the request was written: whatever the method, it goes out on another connection."""
    with tls_client(served, pki) as c:
        for _ in range(20):
            assert c.request(get(method=method, body=b"hello")).status == 200
            for connection in backend.open_connections():
                connection.close()
    assert len(backend.exchanges) == 20


def die_once(backend, with_reset=False, after=b""):
    """The first request that comes on a reused connection, or the first at all, finds its server dead."""
    def answer(e):
        e.read_body()
        backend.answer = lambda again: (again.read_body(), again.send(response(b"second")))
        if after:
            e.send(after)
        e.reset() if with_reset else e.close()
    backend.answer = answer


@pytest.mark.parametrize("with_reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_without_an_answer_is_sent_once_more(served, backend, pki, method, with_reset):
    die_once(backend, with_reset)
    with tls_client(served, pki) as c:
        assert c.request(get(method=method)).status == 200
    assert [e.method for e in backend.exchanges] == [method] * 2
    assert backend.exchanges[0].field("x-request-id") == backend.exchanges[1].field("x-request-id")


def test_a_request_is_sent_a_second_time_but_not_a_third(served, backend, pki):
    backend.answer = lambda e: e.close()
    with tls_client(served, pki) as c:
        assert c.request(get()).status == 502
    assert len(backend.exchanges) == 2


def test_a_request_goes_to_another_server_when_the_first_dies_without_an_answer(start, backends, port, certificate, pki):
    start(site(port, [b.port for b in backends], certificate))
    backends[0].answer = lambda e: e.close()
    with tls_client(port, pki) as c:
        for _ in range(4):
            assert c.request(get()).status == 200
    assert backends[0].exchanges and len(backends[1].exchanges) == 4


@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
def test_other_requests_are_never_sent_twice(served, backend, pki, method):
    die_once(backend)
    with tls_client(served, pki) as c:
        assert c.request(get(method=method, body=b"order")).status == 502
    assert len(backend.exchanges) == 1


@pytest.mark.parametrize("size", [1, 8 << 20])
def test_a_body_that_was_passed_on_is_not_sent_twice(served, backend, pki, size):
    """It is not kept, so that nothing of it is left to be sent again."""
    die_once(backend)
    with tls_client(served, pki) as c:
        assert c.request(get(method="PUT", body=b"x" * size)).status == 502
    assert len(backend.exchanges) == 1


@pytest.mark.parametrize("after", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"HTTP/1.1 103 Early Hints\r\n\r\n"],
                         ids=["a byte", "half an answer", "an interim answer"])
def test_a_request_is_not_sent_again_once_an_answer_began(served, backend, pki, after):
    die_once(backend, after=after)
    with tls_client(served, pki) as c:
        c.send(get())
        try:
            assert c.response().status == 502
        except Closed:
            pass
    assert len(backend.exchanges) == 1
