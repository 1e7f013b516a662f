"""Hostile peers without a plan: mutated bytes, cut anywhere, with ends and resets at any moment. Whatever they do, the
worker lives, others are served, no client gets another's answer, and everything is given back.

The seeds are fixed, so that a failure can be repeated; UNLADE_HOSTILE multiplies how long they go on."""
import os
import random
import socket
import ssl
import struct
import threading

import pytest

from support import hello, processes
from support.backend import response
from support.client import Closed, client_hello_bytes, connect, context, get, plain_client, tls_client
from support.unlade import site
from support.waiting import until

ROUNDS = int(os.environ.get("UNLADE_HOSTILE", "1"))

REQUESTS = [get("/a"), get("/b", method="POST", body=b"x" * 300), get("/c", method="HEAD"), get("*", method="OPTIONS"),
            get("/d", method="POST", fields=["Transfer-Encoding: chunked", "Trailer: X"]) + b"5\r\nhello\r\n3;e=1\r\nabc\r\n0\r\nX: 1\r\n\r\n",
            get("/e", version="HTTP/1.0", fields=["Connection: keep-alive"]), get("/f", fields=["Connection: close"]),
            get("/g", method="PUT", fields=["Expect: 100-continue", "Content-Length: 3"]) + b"abc", b"GET https://a.test/h HTTP/1.1\r\nHost: a.test\r\n\r\n"]

RESPONSES = [response(b"x" * 500), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
             b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(), b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nto the end",
             b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
             b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]

INTERESTING = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
               b"HTTP/1.1 200 OK\r\n", b"GET / HTTP/1.1\r\n", b"ffffffffffffffff", b"\xff", b"-1", b"Host: b.test\r\n", b"Connection: close\r\n", b"\r\n\r\n"]


def mutate(random_, data):
    data = bytearray(data)
    for _ in range(random_.choice((0, 1, 1, 2, 5))):
        at = random_.randrange(len(data) + 1)
        kind = random_.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = random_.randrange(256)
        elif kind == 1:
            data[at:at] = random_.choice(INTERESTING)
        elif kind == 2:
            del data[at:at + random_.randrange(1, 20)]
        elif kind == 3:
            data[at:at] = data[max(0, at - random_.randrange(1, 60)):at]
        else:
            del data[at:]
    return bytes(data)


def in_pieces(random_, data):
    while data:
        n = random_.choice((1, 3, 20, 100, len(data)))
        yield data[:n]
        data = data[n:]


def leave(random_, sock):
    """One of the ways in which a peer ends."""
    how = random_.randrange(4)
    try:
        if how == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == 1:
            socket.socket.shutdown(sock, socket.SHUT_WR)
            sock.settimeout(0.05)
            while sock.recv(65536):
                pass
        elif how == 2:
            sock.settimeout(0.05)
            sock.recv(100)
    except OSError:
        pass
    sock.close()


@pytest.fixture(params=["tls", "plain"])
def hunted(request, start, port, backend, certificate):
    secure = request.param == "tls"
    timeouts = {"handshake": "2s", "request_head": "2s", "idle": "2s", "window": "1s"}
    proxy = start(site(port, backend.port, certificate if secure else None, listener={"timeouts": timeouts},
                       upstream={"timeouts": {"connect": "2s", "response_head": "500ms", "response_gap": "500ms"}}, log={"access": "off"}))
    shared = context()
    proxy.secure, proxy.port = secure, port
    proxy.client = (lambda: tls_client(port, ssl_context=shared)) if secure else (lambda: plain_client(port))
    with proxy.client() as c:
        c.request(get())
    (proxy.worker,) = proxy.workers()
    proxy.files = processes.open_files(proxy.worker)
    return proxy


def assert_unharmed(proxy, backend):
    backend.answer = lambda e: (e.read_body(), e.send(response(b"fine")))
    with proxy.client() as c:
        assert c.request(get("/after")).body == b"fine"
    assert proxy.workers() == [proxy.worker], proxy.stderr
    backend.close_connections()
    until(lambda: processes.open_files(proxy.worker) <= proxy.files, f"{processes.open_files(proxy.worker)} descriptors to be {proxy.files} again")


@pytest.mark.parametrize("seed", range(3))
def test_clients_that_send_mutated_requests(hunted, backend, seed):
    random_ = random.Random(seed)
    for _ in range(120 * ROUNDS):
        with hunted.client() as c:
            data = b"".join(mutate(random_, random_.choice(REQUESTS)) for _ in range(random_.randrange(1, 5)))
            try:
                for piece in in_pieces(random_, data):
                    c.send(piece)
            except OSError:
                pass
            leave(random_, c.socket)
    backend.failures.clear()    # the backend is no strict parser: what it could not read is not the point here
    assert_unharmed(hunted, backend)


@pytest.mark.parametrize("seed", range(3))
def test_servers_that_send_mutated_answers(hunted, backend, seed):
    random_, lock = random.Random(seed), threading.Lock()

    def answer(e):
        with lock:
            data = mutate(random_, random_.choice(RESPONSES))
            pieces, how = list(in_pieces(random_, data)), random_.randrange(4)
        if how < 3:
            e.read_body()
        for piece in pieces:
            e.send(piece)
        if how == 0:
            e.reset()
        elif how == 1 or b"Connection: close" in data or not data.endswith(b"\n"):
            e.close()
    backend.answer = answer
    for i in range(120 * ROUNDS):
        with hunted.client() as c:
            c.socket.settimeout(5)
            try:
                c.request(random_.choice(REQUESTS[:5]))
            except (Closed, OSError, AssertionError, ValueError):
                pass    # a broken answer may look broken; it must not do more
        if i % 40 == 0:
            backend.close_connections()
    assert_unharmed(hunted, backend)


@pytest.mark.parametrize("seed", range(2))
def test_no_client_ever_gets_anothers_answer(hunted, backend, seed):
    """Servers that append, cut and reset at will, under several clients: each answer names its request."""
    random_, wrong = random.Random(seed), []

    def answer(e):
        e.read_body()
        mine = e.target.encode()
        whole = response(mine)
        how = random_.randrange(8)
        if how == 0:
            e.send(whole + response(b"poison"))
        elif how == 1:
            e.send(whole + b"x")
        elif how == 2:
            e.send(whole[:-1])
            e.reset()
        elif how == 3:
            e.close()
        elif how == 4:
            e.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(mine), mine) + response(b"poison"))
        else:
            e.send(whole)
    backend.answer = answer

    def visit(number):
        for i in range(25 * ROUNDS):
            try:
                with hunted.client() as c:
                    for j in range(4):
                        path = f"/{number}-{i}-{j}"
                        r = c.request(get(path))
                        if r.status == 200 and r.body != path.encode():
                            wrong.append((path, r.body))
            except (Closed, OSError):
                pass
    threads = [threading.Thread(target=visit, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:5]
    assert_unharmed(hunted, backend)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_clients_that_mutate_tls(hunted, backend, seed, version):
    """Mutated ClientHellos, mutated later flights, mutated records."""
    if not hunted.secure:
        backend.stop_listening()    # a plain port gets the same bytes
    random_, c = random.Random(seed), context(least=version, most=version)
    for _ in range(100 * ROUNDS):
        s = connect(hunted.port)
        s.settimeout(0.3)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = c.wrap_bio(incoming, outgoing, server_hostname="a.test")
        spoil = random_.randrange(4)
        try:
            if random_.random() < 0.2:
                s.sendall(mutate(random_, hello.record(hello.message(hello.extensions()))))
            for flight in range(4):
                try:
                    tls.write(get()) if flight == 3 else tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                data = outgoing.read()
                for piece in in_pieces(random_, mutate(random_, data) if flight == spoil and data else data):
                    s.sendall(piece)
                if flight < 2:
                    received = s.recv(65536)
                    if not received:
                        break
                    incoming.write(received)
        except (OSError, ssl.SSLError):
            pass
        leave(random_, s)
    backend.listen() if not hunted.secure else None
    assert_unharmed(hunted, backend)


def test_half_a_client_hello_again_and_again(hunted, backend):
    data = client_hello_bytes(context())
    waiting = []
    for i in range(0, len(data), 7):
        s = connect(hunted.port)
        s.sendall(data[:i])
        waiting.append(s)
    for s in waiting:
        leave(random.Random(1), s)
    assert_unharmed(hunted, backend)
