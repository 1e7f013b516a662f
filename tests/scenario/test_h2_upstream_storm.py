"""Everything that servers with HTTP/2 can do at once, to many clients, in a random order: nobody gets the answer of another,
nothing is left behind, and afterwards all is well."""
import concurrent.futures
import random
import threading

import pytest

from support.client import Closed, get, plain_client
from support.h2_server import H2Server
from support.unlade import site
from support.waiting import until

REFUSED_STREAM, CANCEL = 7, 8


def body_for(path):
    """What a good answer to that path is."""
    number = int(path.rpartition("/")[2])
    return (path.encode() + b";") * (1 + number * 37 % 4000)


class Wild:
    """A server's behaviour, drawn anew for each request."""

    def __init__(self, seed):
        self.random, self.lock = random.Random(seed), threading.Lock()

    def draw(self):
        with self.lock:
            return self.random.random()

    def whole(self, c, stream):
        body = body_for(stream.value(b":path"))
        c.head(stream, 200, [("content-length", str(len(body)))] if self.draw() < 0.5 else [])
        c.data(stream, body, end=self.draw() < 0.7)
        if c.h2.streams[stream.id].open:
            c.trailers(stream, [("x-end", "1")])

    def on_head(self, c, stream):
        luck = self.draw()
        if luck < 0.05:
            self.reset(c, stream, REFUSED_STREAM)
        elif luck < 0.07:
            c.go_away(max(0, stream.id - 2))

    def on_end(self, c, stream):
        luck = self.draw()
        if stream.reset is not None:
            return
        if luck < 0.70:
            self.whole(c, stream)
        elif luck < 0.76:
            self.reset(c, stream, self.random.choice([0, 1, 2, CANCEL, 11]))
        elif luck < 0.82:
            c.head(stream)
            c.data(stream, body_for(stream.value(b":path"))[:100])
            self.reset(c, stream, 2)
        elif luck < 0.88:
            c.go_away(stream.id)
            self.whole(c, stream)
        elif luck < 0.90:
            c.close()
        elif luck < 0.92:
            c.head(stream)
            c.close()
        elif luck < 0.94:
            c.frame(6, 0, 0, b"123")  # a PING of three bytes: an error of the connection
        elif luck < 0.96:
            c.frame(4, 0, 0, (4).to_bytes(2, "big") + self.random.choice([100, 65535, 1 << 20]).to_bytes(4, "big"))
            self.whole(c, stream)
        # else: it never answers

    def reset(self, c, stream, code):
        stream.reset = code
        c.frame(3, 0, stream.id, code.to_bytes(4, "big"))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_storm_of_everything_leaves_nothing_behind(start, port, seed):
    wild = Wild(seed)
    servers = [H2Server(settings={3: 5 * (i + 1)}) for i in range(2)]
    for s in servers:
        s.on_head, s.on_end = wild.on_head, wild.on_end
    proxy = start(site(port, [s.port for s in servers], upstream={
        "protocol": "h2", "pool": {"h2_connections": 3}, "timeouts": {"response_head": "1s", "response_gap": "1s", "connect": "2s"}}))
    seen = {"good": 0, "bad": 0, "broken": 0}

    def one(number):
        path = f"/{number}"
        choice = random.Random(seed * 100000 + number)
        body = b"u" * choice.choice([0, 0, 10, 5000, 90000])
        try:
            with plain_client(port) as c:
                c.send(get(path=path, method="POST" if body else "GET", body=body or None))
                if choice.random() < 0.1:
                    c.reset()
                    return
                r = c.response("GET")
                if r.status == 200:
                    assert r.body == body_for(path), f"{path}: {r.body[:50]!r}"
                    seen["good"] += 1
                else:
                    assert r.status in (502, 503, 504), r.status
                    seen["bad"] += 1
        except (Closed, ConnectionError):
            seen["broken"] += 1

    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        for done in [threads.submit(one, i) for i in range(400)]:
            done.result()
    assert seen["good"] > 50 and seen["bad"] and seen["broken"], seen
    for s in servers:
        s.reset_script()
    # Nothing is stuck: as many as both servers allow at once are served.
    def burst():
        with concurrent.futures.ThreadPoolExecutor(30) as threads:
            return {t.result().status for t in [threads.submit(lambda: ask(port)) for _ in range(60)]}
    until(lambda: burst() == {200}, "all to be well")  # python-h2 ends connections whose streams were reset behind its back
    proxy.reload(site(port, servers[0].port, upstream={"protocol": "h2"}))
    assert ask(port).status == 200
    until(lambda: all(c.ended.is_set() for c in servers[1].connections), "connections to the server that left to end")
    for s in servers:
        s.stop()


def ask(port):
    with plain_client(port) as c:
        return c.request(get())
