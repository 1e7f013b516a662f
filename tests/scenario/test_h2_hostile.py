"""HTTP/2 without a plan: frames of every kind, right and wrong, at any moment and cut anywhere, with resets, windows that open and
close, servers that answer late, cut short or not at all. Whatever comes, the worker lives, others are served, what is answered is
answered rightly, and everything is given back.

Each client draws its seed from the run's, which is printed; UNLADE_SEED repeats one, UNLADE_HOSTILE multiplies how long it goes on."""
import contextlib
import hashlib
import os
import random
import struct
import threading
import time

from support import processes
from support.backend import response
from support.client import Closed
from support.h2 import (
    ACK, CONTINUATION, DATA, DEFAULT_WINDOW, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE, LARGEST_WINDOW, MAX_FRAME_SIZE, PADDED, PING, PREFACE, PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, WITH_PRIORITY, fields, frame, h2_client, h2_socket, indexed, literal, request, settings, table_size)
from support.unlade import site
from support.waiting import LONG, until

ROUNDS = int(os.environ.get("UNLADE_HOSTILE", "1"))


def answer(e):
    """/SEED: an answer drawn from it; /honest: the hash of what arrived."""
    if e.target.startswith("/honest"):
        e.send(response(hashlib.sha256(e.read_body()).hexdigest().encode() + b" " + e.target.encode() * 50))
        return
    r = random.Random(e.target)
    kind = r.randrange(10)
    if r.random() < .3:
        time.sleep(r.random() * .02)
    if kind == 0:
        e.reset()
        return
    if kind == 1:
        e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(r.randrange(100000)))
        e.close()
        return
    if kind == 2:
        e.send(r.randbytes(r.randrange(200)))
        e.close()
        return
    if kind > 3:
        e.read_body()
    body = bytes(r.choice([0, 1, 100, 1000, 16384, 70000, 300000]))
    if kind == 4:
        e.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    if kind in (5, 6):
        e.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 5000):
            e.send(b"%x\r\n%s\r\n" % (len(body[at:at + 5000]), body[at:at + 5000]))
        e.send(b"0\r\nX-Trailer: 1\r\n\r\n")
    else:
        e.send(response(body))
        if kind == 7:
            e.close()


class Hostile:
    """One client, drawn from a seed. It starts as if it knew the protocol, and makes a mistake now and then."""

    def __init__(self, port, seed):
        self.r, self.seed, self.stream, self.open = random.Random(seed), seed, -1, []
        how = self.r.random()
        self.c = H2(h2_socket(port, receive_buffer=self.r.choice([None, 8192])), ack=self.r.random() < .9, window=self.r.random() < .7)
        if how < .05:
            self.c.send(self.r.randbytes(50))
        window = self.r.choice([DEFAULT_WINDOW, 0, 1, 1000, 1 << 20])
        self.c.send(PREFACE + settings({INITIAL_WINDOW_SIZE: window, ENABLE_PUSH: self.r.randrange(2)}))

    def some_stream(self):
        r = self.r
        if self.open and r.random() < .9:
            return r.choice(self.open)
        return r.choice([0, 1, 2, max(self.stream, 0), self.stream + 2, r.randrange(1 << 31)])

    def pairs(self):
        r = self.r
        more = [(f"x-{i}", "v" * r.choice([0, 1, 10, 1000])) for i in range(r.choice([0, 0, 1, 5, 30]))]
        if r.random() < .1:
            more.append(r.choice([("content-length", str(r.randrange(20))), ("te", "trailers"), ("expect", "100-continue"), ("cookie", "a=b"), ("priority", "u=1, i"),
                                  ("Upper", "1"), ("connection", "close"), ("host", "b.test"), ("x", "a\r\nb"), ("", "")]))
        pairs = request(f"/{r.randrange(1 << 40)}", method=r.choice(["GET", "GET", "POST", "HEAD", "CONNECT", "OPTIONS"]), more=more)
        if r.random() < .05:
            r.shuffle(pairs)
        return pairs

    def section(self):
        r = self.r
        section = b"".join(literal(n, v, kind=r.choice(["without", "never", "incremental"]), huffman=r.random() < .3) for n, v in self.pairs())
        if r.random() < .05:
            section = r.choice([table_size(0), table_size(4096), indexed(62), indexed(r.randrange(100)), r.randbytes(5)]) + section
        return section

    def head(self):
        r, section, flags = self.r, self.section(), END_STREAM if self.r.random() < .6 else 0
        self.stream += 2
        self.open.append(self.stream)
        if r.random() < .2:
            cuts = sorted(r.randrange(len(section) + 1) for _ in range(r.randrange(1, 4)))
            parts = [section[a:b] for a, b in zip([0, *cuts], [*cuts, len(section)])]
            out = frame(HEADERS, flags, self.stream, parts[0])
            for i, part in enumerate(parts[1:]):
                out += frame(CONTINUATION, END_HEADERS if i == len(parts) - 2 else 0, self.stream, part)
            return out
        return H2.headers_frame(self.stream, section, flags | END_HEADERS, pad=r.choice([None, None, 0, 50]),
                                priority=r.choice([None, None, (0, 0, 1), (1, self.stream, 1)]) if r.random() < .05 else None)

    def piece(self):
        r, s = self.r, self.some_stream()
        kind = r.randrange(24)
        if kind < 8:
            return self.head()
        if kind < 13:
            content = bytes(r.choice([0, 1, 100, 1000, 16384]))
            return frame(DATA, END_STREAM if r.random() < .3 else 0, s, content)
        if kind == 13:
            return H2.headers_frame(s, fields([("x-trailer", "1")]), END_HEADERS | (END_STREAM if r.random() < .9 else 0))
        if kind < 16:
            return frame(RST_STREAM, 0, s, struct.pack(">I", r.randrange(15)))
        if kind < 19:
            return frame(WINDOW_UPDATE, 0, r.choice([0, s]), struct.pack(">I", r.choice([1, 100, 20000, 1 << 20])))
        if kind == 19:
            return settings({r.choice([HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE]): r.choice([0, 1, 4096, 100000])})
        if kind == 20:
            return frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", s) + r.choice([b"u=0", b"u=7, i", b"i", b"\xff", b""]))
        if kind == 21:
            return frame(PING, 0, 0, r.randbytes(8))
        if kind == 22:
            return frame(PRIORITY, 0, s, struct.pack(">IB", r.choice([0, s]), 1)) if r.random() < .2 else b""
        return self.wrong(s) if r.random() < .3 else b""

    def wrong(self, s):
        r = self.r
        return r.choice([
            frame(r.randrange(20), r.randrange(256), s, r.randbytes(r.randrange(40))), frame(DATA, PADDED, s, b"\xff"), frame(SETTINGS, 0, 0, bytes(5)),
            frame(SETTINGS, ACK, 0), frame(GOAWAY, 0, 0, bytes(8)), frame(PUSH_PROMISE, END_HEADERS, s, bytes(4)), frame(CONTINUATION, 0, s), settings({MAX_FRAME_SIZE: 1}),
            frame(WINDOW_UPDATE, 0, s, struct.pack(">I", r.choice([0, LARGEST_WINDOW]))), frame(HEADERS, WITH_PRIORITY | END_HEADERS, s, bytes(3)),
            frame(HEADERS, END_STREAM, self.stream + 2, b""), r.randbytes(9)])

    def run(self):
        r, c = self.r, self.c
        try:
            for _ in range(r.randrange(1, 60)):
                data = b"".join(self.piece() for _ in range(r.choice([1, 1, 3, 20])))
                if r.random() < .05 and data:
                    data = bytearray(data)
                    data[r.randrange(len(data))] ^= 1 << r.randrange(8)
                for at in range(0, len(data), size := r.choice([1 << 20, 1 << 20, 1000, 7])):
                    c.send(bytes(data[at:at + size]))
                if r.random() < .5:
                    with contextlib.suppress(TimeoutError):
                        while c.take(r.choice([.001, .01])):
                            pass
                if c.closed:
                    break
            if r.random() < .3:
                c.half_close()
            with contextlib.suppress(TimeoutError):
                while r.random() < .95 and c.take(.05):
                    pass
        except (Closed, TimeoutError, OSError):
            pass
        finally:
            if r.random() < .5:
                c.abort()
            else:
                c.close()


class Honest:
    """Uploads of all sizes, many at once; every answer must be the right one."""

    def __init__(self, port, pki, seed):
        self.port, self.pki, self.r, self.served = port, pki, random.Random(seed), 0

    def run(self, stop):
        with h2_client(self.port, self.pki) as c:
            while not stop.is_set():
                asked = {}
                for _ in range(5):
                    body = self.r.randbytes(self.r.choice([0, 1, 100, 2000]))
                    path = f"/honest/{self.r.randrange(1 << 30)}"
                    n = c.open(path, method="POST", end=not body)
                    if body:
                        c.data(n, body, END_STREAM)
                    asked[n] = (path, body)
                for n, (path, body) in asked.items():
                    s = c.response(n)
                    assert s.status == 200 and bytes(s.body) == hashlib.sha256(body).hexdigest().encode() + b" " + path.encode() * 50, (path, s.status)
                    self.served += 1
                time.sleep(.01)


def test_random_frames_hurt_nobody_but_who_sends_them(start, port, backend, certificate, pki):
    seed = int(os.environ.get("UNLADE_SEED") or random.SystemRandom().randrange(1 << 32))
    print("UNLADE_SEED =", seed)
    backend.answer = answer
    proxy = start(site(port, backend.port, certificate, workers=2, listener={"timeouts": {"window": "2s", "request_head": "2s"}},
                       upstream={"timeouts": {"response_head": "2s"}}))
    stop, failures = threading.Event(), []
    (worker,) = proxy.workers()
    honest = Honest(port, pki, seed)

    def guard(run, *arguments):
        try:
            run(*arguments)
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)

    def attack(first, count):
        for i in range(first, first + count):
            if failures or proxy.process.poll() is not None:
                return
            guard(Hostile(port, seed + i).run)

    threads = [threading.Thread(target=attack, args=(i * 100000, 60 * ROUNDS)) for i in range(4)]
    watcher = threading.Thread(target=guard, args=(honest.run, stop))
    for t in [watcher, *threads]:
        t.start()
    for t in threads:
        t.join()
    before = honest.served
    until(lambda: honest.served > before or failures, "the honest client to be served behind it all")
    stop.set()
    watcher.join(LONG)
    assert not failures, failures
    assert not proxy.findings(), proxy.stderr[-20000:]
    assert proxy.workers() == [worker], "the worker died"
    until(lambda: len(backend.open_connections()) <= 300, "the servers' connections to be given back")
    until(lambda: processes.open_files(worker) < 400, "descriptors to be given back")
    backend.failures.clear()    # it was told to do what it cannot
    backend.garbage.clear()
