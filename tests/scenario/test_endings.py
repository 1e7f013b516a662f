"""How connections end: the last bytes arrive, a cut message is never taken for a whole one, and who is waited for is to blame."""
import contextlib
import socket
import threading
import time

import pytest

from support.backend import response
from support.client import Client, Closed, client_hello_bytes, connect, context, get, plain_client, read_alert, tls_client
from support.unlade import site
from support.waiting import LONG, until


@pytest.mark.records
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


def end_of_ours(port, address):
    """Unlade's end of the connection from `address`: its state, and the bytes that the client has not confirmed."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        for words in map(str.split, f):
            if words[1:3] == [f"0100007F:{port:04X}", f"0100007F:{address[1]:04X}"]:
                return int(words[3], 16), int(words[4].partition(":")[0], 16)
    return None


FIN_WAIT1 = 4


@pytest.mark.parametrize("seconds", [0, 5])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_the_last_bytes_arrive_also_when_the_client_sends_while_they_are_on_their_way(start, port, backend, certificate, pki, secure, seconds):
    """All has left Unlade for the kernel, and the connection has ended but for that; the client reads on as before, and
    sends something: a closed socket would answer it with a reset, and drop what is not delivered. Also when the client
    takes longer than a connection otherwise lingers."""
    start(site(port, backend.port, certificate if secure else None, listener={"timeouts": {"body_rate": "1k/s"}}))
    body = b"".join(b"%07d\n" % i for i in range(1 << 17))
    backend.answer = lambda e: e.send(response(body))
    c = tls_client(port, pki, receive_buffer=4096) if secure else Client(connect(port, receive_buffer=4096))
    with c:
        address = c.socket.getsockname()
        c.send(get(fields=["Connection: close"]))
        taken = b""
        while end_of_ours(port, address)[0] != FIN_WAIT1:
            taken += c.socket.recv(2048)
        assert end_of_ours(port, address)[1] > len(body) // 8, "too little is on its way to tell"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            taken += c.socket.recv(2048)
            time.sleep(.05)
        c.send(get("/one-too-many"))
        while piece := c.socket.recv(65536):
            taken += piece
        assert taken.partition(b"\r\n\r\n")[2] == body


def test_a_client_that_takes_nothing_of_the_last_bytes_is_not_waited_for(start, port, backend):
    start(site(port, backend.port))
    backend.answer = lambda e: e.send(response(bytes(1 << 20)))
    with Client(connect(port, receive_buffer=4096)) as c:
        address = c.socket.getsockname()
        c.send(get(fields=["Connection: close"]))
        until(lambda: end_of_ours(port, address)[0] == FIN_WAIT1, "the response to leave")
        end = time.monotonic() + 10 * LONG

        def is_closed():
            """What we send now meets a closed socket."""
            with contextlib.suppress(OSError):
                c.socket.send(b"x")
            return end_of_ours(port, address) is None or time.monotonic() > end
        until(is_closed, "the connection to be given up")


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
