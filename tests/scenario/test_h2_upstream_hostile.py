"""Servers with HTTP/2 that leave, refuse, stall or misbehave at every moment: what their clients get, and what their neighbours."""
import concurrent.futures

import pytest

from support.client import Closed, get, plain_client
from support.h2_server import H2Server
from support.unlade import site
from support.waiting import LONG, until

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 1, 7, 8, 11


@pytest.fixture
def server():
    s = H2Server()
    yield s
    s.stop()
    assert not s.failures, "\n".join(s.failures)


@pytest.fixture
def proxy(start, server, port):
    return start(site(port, server.port, upstream={"protocol": "h2"}))


def ask(port, **request):
    with plain_client(port) as c:
        return c.request(get(**request))


def raw_head(c, stream, fields, end=True, flags=END_HEADERS):
    """A head that no library would send."""
    with c.lock:
        block = c.h2.encoder.encode(fields, huffman=False)
        c.frame(HEADERS, flags | (END_STREAM if end else 0), stream.id, block)


def raw_reset(c, stream, code):
    c.frame(RST_STREAM, 0, stream.id, code.to_bytes(4, "big"))


def once(function):
    """The first request is answered so, others well."""
    done = []

    def answer(c, stream):
        if done:
            return False
        done.append(1)
        function(c, stream)
        return True
    return answer


# ---- GOAWAY ----

BODIES = [pytest.param("GET", None, id="GET"), pytest.param("POST", b"x" * 30000, id="POST")]


@pytest.mark.parametrize("method,body", BODIES)
@pytest.mark.parametrize("moment", ["connect", "head", "end"])
def test_what_a_leaving_server_did_not_begin_with_is_sent_again(proxy, server, port, moment, method, body):
    leave = once(lambda c, _: c.go_away(0))
    if moment == "connect":
        server.on_connect = lambda c: leave(c, None)
    elif moment == "head":
        server.on_head = leave
    server.on_end = lambda c, s: (moment == "end" and leave(c, s)) or (c.number and c.respond(s))
    r = ask(port, method=method, body=body)
    assert r.status == 200 and len(server.connections) == 2
    (stream,) = (s for c, s in server.requests if c.number == 1) # the first connection's may be read behind it
    assert stream.body == (body or b"") and stream.ended.is_set()


def test_the_rest_of_a_body_goes_to_the_connection_that_took_over(proxy, server, port):
    server.on_head = once(lambda c, _: c.go_away(0))
    server.on_end = lambda c, s: c.number and c.respond(s)
    with plain_client(port) as client:
        client.send(get(method="POST", fields=["Content-Length: 50000"]) + b"1" * 20000)
        until(lambda: len(server.requests) == 2, "the second connection")
        client.send(b"2" * 30000)
        assert client.response().status == 200
    assert server.requests[1][1].body == b"1" * 20000 + b"2" * 30000


def test_more_than_is_kept_cannot_be_sent_again(proxy, server, port):
    def refuse(c, stream):
        if len(stream.body) > 100000:
            server.on_data = lambda c, s: None
            raw_reset(c, stream, REFUSED_STREAM)
    server.on_data = refuse
    server.on_end = lambda c, s: None
    with plain_client(port) as client:
        client.send(get(method="POST", fields=["Content-Length: 1000000"]) + b"1" * 200000)
        assert client.response().status == 503
    assert len(server.requests) == 1


def test_streams_below_the_last_go_on_and_those_above_go_elsewhere(proxy, server, port):
    held = []
    server.on_end = lambda c, s: held.append((c, s)) if c.number == 0 else c.respond(s, body=b"second")
    with plain_client(port) as a, plain_client(port) as b, concurrent.futures.ThreadPoolExecutor(1) as threads:
        a.send(get(path="/a"))
        until(lambda: len(held) == 1, "the first")
        b.send(get(path="/b", method="POST", body=b"body"))
        until(lambda: len(held) == 2, "the second")
        c, first = held[0]
        c.go_away(first.id)
        assert b.response().body == b"second"
        later = threads.submit(ask, port)
        assert later.result().body == b"second"
        c.respond(first, body=b"first")
        assert a.response().body == b"first"
    assert len(server.connections) == 2
    assert server.connections[0].ended.wait(LONG), "the connection that was left ends with its last stream"


def test_a_graceful_notice_lets_all_streams_end(proxy, server, port):
    def answer(c, stream):
        c.head(stream)
        c.go_away(2**31 - 1)
        c.data(stream, b"x" * 100000)
        c.go_away(stream.id)
        c.data(stream, b"y" * 100000, end=True)
    server.on_end = answer
    for _ in range(3):
        assert ask(port, method="POST", body=b"q").body == b"x" * 100000 + b"y" * 100000
    assert len(server.connections) == 3


@pytest.mark.parametrize("method,status", [("GET", 200), ("PUT", 200), ("POST", 502)])
@pytest.mark.parametrize("goaway", [False, True])
def test_what_a_server_may_have_begun_with_is_sent_again_only_where_that_is_safe(proxy, server, port, method, status, goaway):
    def die(c, stream):
        if goaway:
            c.go_away(stream.id, code=2)
        c.close()
    dies = once(die)
    server.on_end = lambda c, s: dies(c, s) or c.respond(s)
    assert ask(port, method=method, body=b"x" if method != "GET" else None).status == status
    assert len(server.requests) == (2 if status == 200 else 1)


# ---- RST_STREAM ----

@pytest.mark.parametrize("method,body", BODIES)
def test_a_refused_stream_is_opened_again(proxy, server, port, method, body):
    refuses = once(lambda c, s: raw_reset(c, s, REFUSED_STREAM))
    server.on_head = refuses
    server.on_end = lambda c, s: s.id > 1 and c.respond(s)
    assert ask(port, method=method, body=body).status == 200
    assert len(server.requests) == 2 and server.requests[1][1].body == (body or b"")


def test_who_is_refused_again_hears_of_it(proxy, server, port):
    server.on_end = lambda c, s: raw_reset(c, s, REFUSED_STREAM)
    assert ask(port).status == 503
    assert len(server.requests) == 2


@pytest.mark.parametrize("code", [0, 1, 2, CANCEL, ENHANCE_YOUR_CALM, 13, 0xDEAD])
def test_a_reset_before_the_response_is_a_502_and_nobody_elses_affair(proxy, server, port, code):
    server.on_end = lambda c, s: raw_reset(c, s, code) if s.value(b":path") == "/reset" else None
    with plain_client(port) as neighbour:
        neighbour.send(get(path="/wait"))
        server.wait_requests(1)
        assert ask(port, path="/reset").status == 502
        c, stream = server.requests[0]
        c.respond(stream, body=b"well")
        assert neighbour.response().body == b"well"
    assert len(server.requests) == 2 and len(server.connections) == 1


@pytest.mark.parametrize("moment", ["head", "content"])
def test_a_reset_within_the_response_shows(proxy, server, port, moment):
    def answer(c, stream):
        c.head(stream)
        if moment == "content":
            c.data(stream, b"x" * 1000)
        raw_reset(c, stream, 2)
    server.on_end = answer
    with pytest.raises(Closed):
        ask(port)
    server.reset_script()
    assert ask(port).status == 200 and len(server.connections) == 1


def test_a_whole_answer_and_no_error_while_the_request_goes_on_is_the_answer(proxy, server, port):
    def answer(c, stream):
        c.respond(stream, body=b"enough")
        raw_reset(c, stream, 0)
    server.on_head = answer
    server.on_end = lambda c, s: None
    with plain_client(port) as client:
        client.send(get(method="POST", fields=["Content-Length: 1000000"]) + b"1" * 1000)
        assert client.response().body == b"enough"


# ---- SETTINGS and windows ----

def test_settings_may_change_at_any_time(proxy, server, port):
    def change(c, stream):
        with c.lock:
            for settings in ({4: 0}, {5: 32768}, {1: 0}, {3: 1000}, {6: 100000}, {4: 200000}, {1: 8192}, {4: 100}, {4: 65535}):
                c.frame(SETTINGS, 0, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in settings.items()))
    server.on_head = change
    bodies = [bytes([i]) * 100000 for i in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda b: ask(port, method="POST", body=b[:60000]), bodies))
    assert {r.status for r in answers} == {200}
    assert sorted(s.body for _, s in server.requests) == sorted(b[:60000] for b in bodies)


def test_an_upload_into_a_closed_window_times_out_and_stalls_nobody(start, port):
    server = H2Server(settings={4: 0})
    start(site(port, server.port, upstream={"protocol": "h2", "timeouts": {"response_gap": "1s"}}))
    assert ask(port).status == 200  # now the window is known to be closed
    with plain_client(port) as stalled:
        stalled.send(get(method="POST", body=b"x" * 1000))
        for _ in range(3):
            assert ask(port).status == 200
        assert stalled.response().status == 504
    stream = server.requests[1][1]
    until(lambda: stream.reset == CANCEL, "the stream to be called off")
    assert len(server.connections) == 1
    server.stop()


def test_an_upload_goes_on_when_the_window_opens(start, port):
    server = H2Server(settings={4: 0})
    start(site(port, server.port, upstream={"protocol": "h2"}))
    assert ask(port).status == 200

    def open_up(c, stream):
        c.h2.increment_flow_control_window(500000, stream.id)
        c.flush()
    server.on_head = open_up
    assert ask(port, method="POST", body=b"x" * 400000).status == 200
    server.stop()


def test_no_more_connections_are_tried_than_needed_where_no_streams_are_allowed_any_more(proxy, server, port):
    """MAX_CONCURRENT_STREAMS goes down to 0 on a connection: others take over."""
    assert ask(port).status == 200
    server.connections[0].frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + bytes(4))
    until(lambda: ask(port).status == 200 and len(server.connections) == 2, "another connection")


# ---- floods ----

def test_heads_that_are_too_large_are_refused_and_the_connection_goes_on(proxy, server, port):
    large = [(f"x-{i}", "v" * 1000) for i in range(70)]
    server.on_end = lambda c, s: c.respond(s, headers=large if s.value(b":path") == "/large" else [])
    assert ask(port, path="/large").status == 502
    assert ask(port).status == 200 and len(server.connections) == 1


def ends_in_502(server, port, connections=2):
    """The connection is given up, the server is told, and the next one is well."""
    assert ask(port, method="POST", body=b"").status == 502
    assert server.connections[0].ended.wait(LONG)
    server.reset_script()
    assert ask(port).status == 200 and len(server.connections) == connections


def test_a_flood_of_continuation_ends_the_connection(proxy, server, port):
    def flood(c, stream):
        c.frame(HEADERS, 0, stream.id, c.h2.encoder.encode([(":status", "200")]))
        for i in range(100000):
            c.frame(CONTINUATION, 0, stream.id, b"\x00\x01a\x01b" * 20)
    server.on_end = flood
    ends_in_502(server, port)


@pytest.mark.parametrize("kind,payload", [(PING, bytes(8)), (SETTINGS, b"")])
def test_a_flood_of_frames_to_be_answered_ends_the_connection(proxy, server, port, kind, payload):
    def flood(c, stream):
        for _ in range(2000):
            with c.lock:
                c.sock.sendall((len(payload).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 0]) + payload) * 100)
    server.on_end = flood
    ends_in_502(server, port)


def test_pushed_responses_are_refused(proxy, server, port):
    def push(c, stream):
        c.frame(PUSH_PROMISE, END_HEADERS, stream.id, (2).to_bytes(4, "big") + c.h2.encoder.encode(
            [(":method", "GET"), (":scheme", "http"), (":path", "/pushed"), (":authority", "a.test")]))
    server.on_end = push
    ends_in_502(server, port)
    assert server.connections[0].goaway == PROTOCOL_ERROR


@pytest.mark.parametrize("frame", [(DATA, 0, 0, b"x"), (HEADERS, 4, 0, b"\x88"), (SETTINGS, 0, 0, b"123"), (WINDOW_UPDATE, 0, 0, bytes(4)),
                                   (CONTINUATION, 4, 1, b"\x88"), (PING, 0, 0, b"1"), (HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
                                   (DATA, 0, 99, b"x"), (SETTINGS, 1, 0, b"123456")],
                         ids=lambda f: f"{f[0]}-{f[2]}-{len(f[3])}")
def test_frames_that_break_the_connection_break_it(proxy, server, port, frame):
    server.on_end = lambda c, s: c.frame(*frame)
    ends_in_502(server, port)


# ---- malformed responses ----

OK = (":status", "200")
MALFORMED = {
    "no status": [("x", "y")], "two statuses": [OK, OK], "a status of two digits": [(":status", "20")], "a status of letters": [(":status", "abc")],
    "a status of four digits": [(":status", "2000")], "status 0": [(":status", "000")], "status 101": [(":status", "101")],
    "an upper-case name": [OK, ("X-Upper", "y")], "an empty name": [OK, ("", "y")], "a space in a name": [OK, ("a b", "y")],
    "a colon in a name": [OK, ("a:b", "y")], "a newline in a value": [OK, ("x", "a\nb")], "a return in a value": [OK, ("x", "a\rb: c")],
    "NUL in a value": [OK, ("x", "a\0b")], "a pseudo-field of requests": [OK, (":path", "/")], "an unknown pseudo-field": [OK, (":odd", "1")],
    "a pseudo-field behind others": [("x", "y"), OK], "connection": [OK, ("connection", "close")], "keep-alive": [OK, ("keep-alive", "5")],
    "transfer-encoding": [OK, ("transfer-encoding", "chunked")], "upgrade": [OK, ("upgrade", "h2c")],
    "proxy-connection": [OK, ("proxy-connection", "keep-alive")], "two lengths": [OK, ("content-length", "0"), ("content-length", "5")],
    "a negative length": [OK, ("content-length", "-1")], "a list of lengths": [OK, ("content-length", "0, 0")],
    "a length that is not kept": [OK, ("content-length", "5")], "a huge length": [OK, ("content-length", "99999999999999999999")],
}


@pytest.mark.parametrize("fields", [pytest.param(f, id=name) for name, f in MALFORMED.items()])
def test_a_malformed_head_is_a_502_and_its_stream_is_reset(proxy, server, port, fields):
    server.on_end = lambda c, s: raw_head(c, s, fields)
    assert ask(port, method="POST", body=b"").status == 502
    (c, stream), *more = server.requests
    assert not more
    server.reset_script()
    assert ask(port).status == 200 and len(server.connections) == 1
    until(lambda: stream.reset == PROTOCOL_ERROR, "the stream to be reset")


def content_then(*frames):
    def answer(c, stream):
        for kind, flags, payload in frames:
            c.frame(kind, flags, stream.id, payload(c) if callable(payload) else payload)
    return answer


def head(*fields):
    return lambda c: c.h2.encoder.encode(list(fields))


MALFORMED_LATER = {
    "more than the length": content_then((HEADERS, 4, head(OK, ("content-length", "5"))), (DATA, 1, b"123456")),
    "less than the length": content_then((HEADERS, 4, head(OK, ("content-length", "5"))), (DATA, 1, b"1234")),
    "less than the length, then trailers": content_then((HEADERS, 4, head(OK, ("content-length", "5"))), (DATA, 0, b"1234"), (HEADERS, 5, head(("x", "y")))),
    "content of a 204": content_then((HEADERS, 4, head((":status", "204"))), (DATA, 1, b"1234")),
    "a second head": content_then((HEADERS, 4, head(OK)), (DATA, 0, b"12"), (HEADERS, 4, head(OK)), (DATA, 1, b"34")),
    "a pseudo-field in trailers": content_then((HEADERS, 4, head(OK)), (DATA, 0, b"12"), (HEADERS, 5, head(OK))),
    "trailers that do not end": content_then((HEADERS, 4, head(OK)), (DATA, 0, b"12"), (HEADERS, 4, head(("x", "y")))),
    "a length in trailers": content_then((HEADERS, 4, head(OK)), (DATA, 0, b"12"), (HEADERS, 5, head(("content-length", "2")))),
    "transfer-encoding in trailers": content_then((HEADERS, 4, head(OK)), (DATA, 0, b"12"), (HEADERS, 5, head(("transfer-encoding", "chunked")))),
}


@pytest.mark.parametrize("answer", [pytest.param(f, id=name) for name, f in MALFORMED_LATER.items()])
def test_what_is_malformed_behind_the_head_never_looks_whole(proxy, server, port, answer):
    server.on_end = answer
    try:
        r = ask(port)
        assert r.status == 502 or (r.status == 204 and r.body == b"")  # whose end may have left before the rest came
    except Closed:
        pass
    stream = server.requests[0][1]
    server.reset_script()
    assert ask(port).status == 200 and len(server.connections) == 1
    until(lambda: stream.reset == PROTOCOL_ERROR, "the stream to be reset")


@pytest.mark.parametrize("answer", [content_then((DATA, 1, b"1234")), content_then((HEADERS, 5, head((":status", "103"))))],
                         ids=["content before the head", "an interim response that ends"])
def test_what_is_malformed_before_the_head_is_a_502(proxy, server, port, answer):
    server.on_end = answer
    assert ask(port, method="POST", body=b"").status == 502
    server.reset_script()
    assert ask(port).status == 200


def test_interim_responses_without_end_are_a_502(proxy, server, port):
    def answer(c, stream):
        for _ in range(1000):
            if stream.reset is None:
                c.frame(HEADERS, 4, stream.id, c.h2.encoder.encode([(":status", "103"), ("x", "y")]))
    server.on_end = answer
    try:
        assert ask(port, method="POST", body=b"").status == 502
    except Closed:
        pass
    server.reset_script()
    assert ask(port).status == 200


def test_a_server_that_speaks_http_1_is_a_502(start, backend, port):
    start(site(port, backend.port, upstream={"protocol": "h2"}))
    backend.answer = lambda e: None
    assert ask(port).status == 502
    backend.failures.clear()


def test_a_refusal_in_the_midst_of_what_else_the_server_says_is_sent_again_at_once(proxy, server, port):
    def refuse(c, stream):
        reset = (4).to_bytes(3, "big") + bytes([RST_STREAM, 0]) + stream.id.to_bytes(4, "big") + REFUSED_STREAM.to_bytes(4, "big")
        unknown = (16000).to_bytes(3, "big") + bytes([0x60, 0, 0, 0, 0, 0]) + b"x" * 16000
        with c.lock:  # more than is received at once: the rest is still there when the request is sent again
            c.flush()
            c.sock.sendall(reset + unknown * 40)
    refuse_once = once(refuse)
    server.on_end = lambda c, s: refuse_once(c, s) or c.respond(s)
    for _ in range(5):
        r = ask(port, method="POST", body=b"body")
        assert r.status == 200
        refuse_once = once(refuse)
    assert len(server.connections) == 1
