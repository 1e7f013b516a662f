"""How connections end: the last bytes arrive, a cut message is never taken for a whole one, and who is waited for is to blame."""
import socket
import threading
import time

import pytest

from support.backend import response
from support.client import Closed, client_hello_bytes, context, get, plain_client, read_alert
from support.unlade import site
from support.waiting import LONG


@pytest.mark.parametrize("extra", [0, 300_000])
def test_the_alert_arrives_also_when_the_client_sends_on(start, port, backend, certificate, extra):
    """What the client sent after the ClientHello that failed is read, so that no reset overtakes the alert."""
    start(site(port, backend.port, certificate))
    hello = client_hello_bytes(context(most="1.2", ciphers="DHE-RSA-AES128-GCM-SHA256"))
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(LONG)
        s.sendall(hello + bytes(extra))
        time.sleep(.2)
        assert read_alert(s) == (2, 40)


def test_a_reset_of_the_server_is_not_the_end_of_its_response(start, port, backend):
    """The response goes to the connection's end, and the request is still being written when the reset comes."""
    start(site(port, backend.port))
    go = threading.Event()

    def answer(e):
        e.send(b"HTTP/1.1 200 OK\r\n\r\nsome of it")
        go.wait(LONG)
        e.reset()

    backend.answer = answer
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Content-Length: 50000000"]))
        head = c.response_head()
        assert head.status == 200 and head.field("connection") == "close"

        def upload():
            try:
                c.send(bytes(50_000_000))
            except OSError:
                pass

        sender = threading.Thread(target=upload)
        sender.start()
        time.sleep(.3)
        go.set()
        with pytest.raises((Closed, ConnectionResetError)):
            c._read_chunked(head)
        sender.join()


def test_a_flood_of_interim_responses_is_answered_with_an_error(start, port, backend):
    """They take all the memory that a request may have; what we say ourselves finds room all the same."""
    start(site(port, backend.port))
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: <%s>\r\n\r\n" % (b"x" * 40000)
    backend.answer = lambda e: e.send(interim * 30 + response())
    with plain_client(port) as c:
        assert c.request(get()).status in (502, 503)
    with plain_client(port) as c:
        backend.answer = lambda e: e.send(response())
        assert c.request(get()).status == 200


def test_a_server_that_lets_an_expectation_wait_is_not_the_clients_fault(start, port, backend):
    """The client sends nothing, since it was told to wait; when the server answers at last all goes on."""
    start(site(port, backend.port, listener={"timeouts": {"body_rate": "100/s", "window": "1s"}}))

    def answer(e):
        time.sleep(2.5)
        e.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        e.read_body()
        e.send(response(e.body))

    backend.answer = answer
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
        assert c.response_head().status == 100
        assert c.request(b"hello", method="POST").body == b"hello"


def test_a_server_that_never_answers_an_expectation_gets_504(start, port, backend):
    start(site(port, backend.port, upstream={"timeouts": {"response_head": "1s"}},
               listener={"timeouts": {"body_rate": "100/s", "window": "500ms"}}))
    backend.answer = lambda e: time.sleep(3)
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
        assert c.response().status == 504


def test_a_client_that_was_told_to_continue_and_does_not_gets_408(start, port, backend):
    start(site(port, backend.port, listener={"timeouts": {"body_rate": "100/s", "window": "500ms"}}))
    backend.answer = lambda e: (e.send(b"HTTP/1.1 100 Continue\r\n\r\n"), e.read_body())
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 5"]))
        assert c.response().status == 408


def test_a_slow_server_and_a_client_that_waited_before_do_not_add_up(start, port, backend):
    """The client pauses a little, then the server does not take what the client has: nobody is too slow."""
    start(site(port, backend.port, listener={"timeouts": {"body_rate": "1k/s", "window": "1s"}}))
    size = 20 << 20

    def answer(e):
        time.sleep(2.5)
        e.read_body()
        e.send(response())

    backend.answer = answer
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Content-Length: %d" % size]))
        time.sleep(.5)
        c.send(bytes(size))
        assert c.response().status == 200


def test_a_limit_of_connections_that_is_met_again_and_again_is_told_once_in_a_while(start, port, backend):
    proxy = start({**site(port, backend.port), "limits": {"connections": 2}})
    for _ in range(30):
        clients = [plain_client(port) for _ in range(4)]
        for c in clients:  # the later ones wait for the earlier ones to go
            assert c.request(get()).status == 200
            c.close()
    assert proxy.stderr.count("connections are open") == 1
