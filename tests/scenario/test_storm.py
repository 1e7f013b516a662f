"""Clients and servers that break off at any byte, stall, flood and lie, all at once and at random: the worker lives, what
it owes is given back, and decent clients are served as if nothing were.

Each run draws a seed and prints it; UNLADE_SEED repeats one, UNLADE_SOAK_SECONDS makes it last."""
import os
import random
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

from support import processes
from support.backend import response
from support.client import Client, connect, context, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import until
from test_soak import SECONDS, run_threads, seed

QUICK = {"timeouts": {"handshake": "1s", "request_head": "1s", "idle": "2s", "body_rate": "10k/s", "window": "1s"}}
QUICK_SERVER = {"timeouts": {"connect": "500ms", "response_head": "1s", "response_gap": "1s"}}


def abort(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    sock.close()


def end(r, sock):
    """One of the ways in which a peer goes."""
    kind = r.randrange(4)
    try:
        if kind == 0:
            abort(sock)
        elif kind == 1:
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(.3)
            while sock.recv(65536):
                pass
        elif kind == 2:
            time.sleep(r.choice([0, .05, .3]))
    except OSError:
        pass
    sock.close()


REQUESTS = [
    get(),
    get(method="HEAD"),
    get() * 50,
    get("/x") * 3 + b"GARBAGE\r\n\r\n" + get() * 3,
    get(method="POST", body=bytes(3000)),
    get(method="POST", body=bytes(200000)) + get(),
    get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n" + get(),
    get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"1\r\na\r\n" * 5000 + b"0\r\n\r\n",
    get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"1;" + b"e" * 9000 + b"\r\na\r\n",
    get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"ffffffffffffffff\r\n",
    get(method="POST", fields=["Transfer-Encoding: chunked"]) + b"0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
    get(method="POST", fields=["Expect: 100-continue", "Content-Length: 100000"]) + bytes(50000),
    get(version="HTTP/1.0"),
    get(fields=["A%d: b" % i for i in range(99)]),
    get(fields=["A: " + "b" * 40000]),
    get("/" + "a" * 9000),
    get(method="CONNECT", path="a.test:443") + bytes(1000),
    b"\r\n" * 100,
    b"\0" * 100000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = [
    response(),
    response(bytes(300000)),
    response() + response(b"unasked"),
    response(bytes(70000)) + b"HTTP/1.1 200 OK\r\n",
    OK + b"\r\n" + bytes(100000),
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20000 + b"0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + b"T: x\r\n" * 50 + b"\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"e" * 9000 + b"\r\nhello\r\n0\r\n\r\n",
    OK + b"Content-Length: 100\r\n\r\nshort",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + response(),
    b"HTTP/1.1 103 Early Hints\r\nLink: <%s>\r\n\r\n" % (b"x" * 30000) * 20 + response(),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + bytes(1000),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    OK + b"A: b\r\n" * 600 + b"\r\n",
    OK + b"X: " + b"a" * 60000 + b"\r\n\r\n",
    b"garbage" * 10000,
    b"\r\n" * 10,
    b"",
]


class Servers:
    """A backend below the level of HTTP: at any moment it may answer anything, or nothing, or go."""

    def __init__(self, number, port):
        self.r, self.lock = random.Random(number), threading.Lock()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                r = random.Random(self.r.random())
            threading.Thread(target=self.serve, args=(sock, r), daemon=True).start()

    def serve(self, sock, r):
        sock.settimeout(3)
        try:
            while r.random() > .1:
                if r.random() > .1 and not sock.recv(r.choice([1, 100, 65536])):
                    break
                data = r.choice(ANSWERS)
                if r.random() < .3:
                    data = data[:r.randrange(len(data) + 1)]
                for _ in range(r.choice([1, 1, 2, 5])):
                    step = r.randrange(len(data) + 1)
                    sock.sendall(data[:step])
                    data = data[step:]
                    if r.random() < .1:
                        time.sleep(r.choice([0, .01, 1.2]))
                sock.sendall(data)
        except OSError:
            pass
        end(r, sock)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def rage(r, port, tls):
    """One hostile connection."""
    sock = connect(port, receive_buffer=r.choice([None, 4096]))
    sock.settimeout(2)
    try:
        data = r.choice(REQUESTS)
        if r.random() < .4:
            data = data[:r.randrange(len(data) + 1)]
        if tls and r.random() < .9:
            data = sealed(r, sock, tls, data)
        at = 0
        step = r.choice([len(data) + 1, len(data) // 2 + 1, 1460, 1])
        while at < len(data) and at < step * 200:
            sock.sendall(data[at:at + step])
            at += step
            if r.random() < .02:
                time.sleep(r.choice([0, .01, .2]))
        for _ in range(r.choice([0, 1, 3, 1000])):
            if not sock.recv(r.choice([100, 65536])):
                break
    except OSError:
        pass
    end(r, sock)


def sealed(r, sock, ssl_context, data):
    """The bytes that are left to send after a handshake that may break off anywhere."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl_context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            flight = outgoing.read()
            if r.random() < .1:
                return damaged(r, flight)
            sock.sendall(flight)
            received = sock.recv(65536)
            if not received:
                return b""
            incoming.write(received)
    for i in range(0, len(data), 16384):
        tls.write(data[i:i + r.choice([100, 16384])])
    if r.random() < .3:
        try:
            tls.unwrap()
        except ssl.SSLError:
            pass
    records = outgoing.read()
    return damaged(r, records) if r.random() < .1 else records


def damaged(r, data):
    kind = r.randrange(3)
    at = r.randrange(len(data) + 1)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([r.randrange(256)]) + data[at + 1:]
    return data + data[:at]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_hostile_clients_and_servers_harm_nobody_else(start, port, backend, certificate, secure):
    first = seed()
    storm_port = free_port()
    config = {**site(port, storm_port, certificate if secure else None, listener=QUICK, upstream=QUICK_SERVER), "workers": 2}
    config["listeners"]["web"]["routes"] = [{"path": "/decent", "to": "decent"}]
    config["upstreams"]["decent"] = {"servers": [backend.address]}
    proxy = start(config)
    servers = Servers(first, storm_port)
    contexts = [context(least=v, most=v) for v in ("1.2", "1.3")] if secure else [None]
    rs = [random.Random(first + n) for n in range(8)]
    body = os.urandom(100000)
    backend.answer = lambda e: (e.read_body(), e.send(response(e.body)))
    descriptors = {pid: processes.open_files(pid) for pid in proxy.workers()}
    count = 0

    def work(n):
        nonlocal count
        if n == 0:
            with tls_client(port, name=None) if secure else plain_client(port) as c:
                for _ in range(5):
                    assert c.request(get("/decent", method="POST", body=body)).body == body
        elif n == 1 and rs[1].random() < .05:
            proxy.signal(signal.SIGHUP)
            time.sleep(.05)
        else:
            rage(rs[n], port, rs[n].choice(contexts))
            count += 1

    failures = run_threads(work, time.monotonic() + SECONDS, len(rs))
    assert not failures, failures
    assert count > 50, count
    servers.stop()
    backend.close_connections()
    # Everything that was borrowed comes back: the limits above end what is left.
    until(lambda: all(processes.open_files(pid) <= descriptors[pid] + 2 for pid in proxy.workers()), "connections to be closed", 15)
    assert set(proxy.workers()) == set(descriptors), "a worker was replaced"
