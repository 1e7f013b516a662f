"""Random requests and answers of every framing and of the sizes at which buffers and records end, cut anywhere, arrive
byte for byte at both ends, whatever else goes on: reloads, and peers that die in the middle.

Each run draws a seed and prints it; UNLADE_SEED repeats one, UNLADE_SOAK_SECONDS makes it last."""
import hashlib
import os
import random
import signal
import ssl
import threading
import time
import traceback
import urllib.parse

import pytest

from support.client import Client, Closed, connect, context
from support.unlade import site

SECONDS = float(os.environ.get("UNLADE_SOAK_SECONDS", "6"))
SIZES = [0, 1, 2, 100, 4095, 4096, 4097, 16383, 16384, 16385, 32768, 65535, 65536, 66560, 67072, 67073, 67583, 67584, 67585, 131072,
         300000, 1 << 20]


def seed():
    value = int(os.environ.get("UNLADE_SEED") or random.SystemRandom().randrange(1 << 32))
    print("UNLADE_SEED =", value)
    return value


def content(number, size):
    return random.Random(number).randbytes(size)


def cut(r, data):
    """The data in pieces of a random kind: whole, a few, many small ones, single bytes at the start."""
    kind = r.randrange(5)
    if kind == 0 or len(data) < 2:
        return [data]
    if kind == 1:
        marks = sorted(r.randrange(len(data)) for _ in range(r.randrange(1, 6)))
    elif kind == 2:
        step = r.choice([1000, 1460, 4096, 16384, 16385, 65536])
        marks = list(range(step, len(data), step))
    elif kind == 3:
        marks = list(range(1, min(len(data), 300)))
    else:
        marks = [len(data) - 1]
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)]) if a < b]


def chunked(r, body, trailers=()):
    out = []
    while body:
        n = r.choice([1, 7, 100, 1000, 16384, 65536, len(body)])
        extension = r.choice([b"", b"", b";a=b", b';q="x"'])
        piece, body = body[:n], body[n:]
        if len(out) > 400:
            piece, body = piece + body, b""
        out.append((b"%X" if r.random() < .5 else b"%x") % len(piece) + extension + b"\r\n" + piece + b"\r\n")
    return b"".join(out) + b"0\r\n" + b"".join(b"%s: %s\r\n" % t for t in trailers) + b"\r\n"


def framed(r, body, framing, trailers=()):
    if framing == "chunked":
        return b"Transfer-Encoding: chunked\r\n\r\n" + chunked(r, body, trailers)
    return (b"Content-Length: %d\r\n\r\n" % len(body) if framing == "length" else b"\r\n") + body


def send_cut(send, r, data):
    for piece in cut(r, data):
        send(piece)
        if r.random() < .02:
            time.sleep(r.choice([0, .001, .02]))


def answer(e):
    """The target says which answer is wanted; the hash of what arrived goes back with it."""
    want = dict(urllib.parse.parse_qsl(e.target.partition("?")[2]))
    r = random.Random(int(want["seed"]))
    if want.get("early") == "1":
        e.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    if "100-continue" in (e.field("expect") or ""):
        e.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    if r.random() < .1:
        time.sleep(.01)
    e.read_body()
    close = want["framing"] == "close" or r.random() < .1
    head = b"HTTP/1.1 200 OK\r\nX-Hash: %s\r\n" % hashlib.sha256(e.body).hexdigest().encode()
    head += b"X-Trailers: %d\r\n" % len(e.trailers)
    head += b"Connection: close\r\n" if close else b""
    body = b"" if e.method == "HEAD" else content(int(want["seed"]), int(want["size"]))
    if e.method == "HEAD":
        message = head + (b"Content-Length: %d\r\n\r\n" % int(want["size"]))
    else:
        message = head + framed(r, body, want["framing"], [(b"X-T", b"1")] if r.random() < .5 else [])
    send_cut(e.send, r, message)
    if close:
        e.close()


class Duplex:
    """TLS over a socket for one thread that sends and one that receives: an SSLSocket is not made for two."""

    def __init__(self, sock, ssl_context, name):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.lock, self.sending = threading.Lock(), threading.Lock()
        while True:
            try:
                self.tls.do_handshake()
                sock.sendall(self.outgoing.read())
                return
            except ssl.SSLWantReadError:
                sock.sendall(self.outgoing.read())
                data = sock.recv(65536)
                assert data, "closed in the handshake"
                self.incoming.write(data)

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def sendall(self, data):
        with self.sending:
            for i in range(0, len(data), 65536):
                with self.lock:
                    self.tls.write(data[i:i + 65536])
                    records = self.outgoing.read()
                self.sock.sendall(records)

    def recv(self, most):
        while True:
            with self.lock:
                try:
                    return self.tls.read(most)
                except ssl.SSLZeroReturnError:
                    return b""
                except ssl.SSLWantReadError:
                    pass
            data = self.sock.recv(65536)
            with self.lock:
                if data:
                    self.incoming.write(data)
                else:
                    raise Closed("closed without close_notify")

    def close(self):
        self.sock.close()


class Talk:
    """One client's connection after another, each with a few requests, some of them pipelined."""

    def __init__(self, number, dial):
        self.r, self.dial = random.Random(number), dial
        self.requests = 0

    def request(self, last):
        """(bytes, what to expect of the answer)"""
        r = self.r
        number, size = r.randrange(1 << 30), r.choice(SIZES)
        framing = r.choice(["length", "length", "chunked", "close"])
        method = r.choice([b"GET", b"POST", b"PUT", b"HEAD", b"QUERY"])
        old = last and r.random() < .2
        body = content(number + 1, r.choice(SIZES)) if method in (b"POST", b"PUT", b"QUERY") else b""
        head = b"%s /?seed=%d&size=%d&framing=%s&early=%d HTTP/1.%d\r\nHost: a.test\r\n" % (
            method, number, size, framing.encode(), r.random() < .1, 0 if old else 1)
        if last:
            head += b"Connection: close\r\n"
        if body and not old and r.random() < .1:
            head += b"Expect: 100-continue\r\n"
        kind = "none" if not body else "length" if old else r.choice(["length", "chunked"])
        message = head + framed(r, body, kind, [(b"X-U", b"1")] if r.random() < .5 else [])
        return message, (method, body, b"" if method == b"HEAD" else content(number, size))

    def check(self, client, expected):
        method, sent, wanted = expected
        response = client.response(method.decode())
        assert response.status == 200, (response.status, response.body)
        assert response.field("x-hash") == hashlib.sha256(sent).hexdigest(), "the request's content was changed"
        assert response.body == wanted, "the response's content was changed"
        self.requests += 1

    def connection(self):
        r = self.r
        client = self.dial(r)
        try:
            count = r.randrange(1, 8)
            while count:
                batch = min(count, r.choice([1, 1, 1, 2, 5]))
                count -= batch
                some = [self.request(last=count == 0 and i == batch - 1) for i in range(batch)]
                data = b"".join(message for message, _ in some)
                sender = threading.Thread(target=send_cut, args=(client.send, random.Random(r.random()), data))
                sender.start()
                for _, expected in some:
                    if r.random() < .1:
                        time.sleep(.02)
                    self.check(client, expected)
                sender.join()
            client.assert_closed()
        finally:
            client.close()


def run_threads(work, until, count):
    """work(number) again and again in `count` threads; what they raised."""
    failures = []

    def loop(number):
        while time.monotonic() < until and not failures:
            try:
                work(number)
            except Exception as error:  # pylint: disable=broad-except
                failures.append((number, error, traceback.format_exc()))

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failures


@pytest.fixture(params=["tls", "plain"])
def place(request, start, port, backend, certificate):
    secure = request.param == "tls"
    proxy = start({**site(port, backend.port, certificate if secure else None), "workers": 2})
    proxy.port = port
    contexts = [context(least=v, most=v) for v in ("1.2", "1.3")]

    def dial(r):
        buffer = r.choice([None, None, 8192, 65536])
        if not secure:
            return Client(connect(port, receive_buffer=buffer))
        sock = connect(port, receive_buffer=buffer)
        try:
            return Client(Duplex(sock, r.choice(contexts), "a.test"))
        except BaseException:
            sock.close()
            raise

    proxy.dial = dial
    backend.answer = answer
    return proxy


def test_messages_of_every_size_and_framing_arrive_byte_for_byte(place, backend):
    first = seed()
    talks = [Talk(first + n, place.dial) for n in range(6)]
    failures = run_threads(lambda n: talks[n].connection(), time.monotonic() + SECONDS, len(talks))
    assert not failures, failures
    assert sum(t.requests for t in talks) > 20
    assert not backend.garbage


def test_messages_arrive_byte_for_byte_while_the_configuration_is_reloaded(place, backend):
    first = seed()
    talks = [Talk(first + n, place.dial) for n in range(4)]
    stop = threading.Event()

    def reload():
        while not stop.wait(.15):
            place.signal(signal.SIGHUP)

    reloader = threading.Thread(target=reload)
    reloader.start()
    failures = run_threads(lambda n: talks[n].connection(), time.monotonic() + SECONDS, len(talks))
    stop.set()
    reloader.join()
    assert not failures, failures
    assert not backend.garbage
