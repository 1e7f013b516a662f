"""Requests of HTTP/1.1 clients to servers that speak HTTP/2: what is said to them, and what becomes of their answers."""
import concurrent.futures
import subprocess
import threading

import pytest

from support.client import Closed, get, plain_client
from support.h2_server import H2Server
from support.ports import free_port
from support.unlade import site
from support.waiting import LONG, until

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "host"}


@pytest.fixture
def server():
    s = H2Server()
    yield s
    s.stop()
    assert not s.failures, "\n".join(s.failures)


def config(port, servers, upstream=None, **more):
    return site(port, servers, upstream={"protocol": "h2", **(upstream or {})}, **more)


@pytest.fixture
def proxy(start, server, port):
    return start(config(port, server.port))


def ask(port, **request):
    with plain_client(port) as c:
        return c.request(get(**request))


def beside(count, function):
    """function(i) in so many threads; their results in order."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(function, range(count)))


# ---- requests ----

def test_a_request_becomes_one_of_http_2(proxy, server, port):
    ask(port, path="/a?b=c", fields=["X-Own: 1", "Cookie: a=b; c=d", "User-Agent: test", "Keep-Alive: 5", "X-Drop: 1",
                                     "Connection: keep-alive, x-drop"])
    stream = server.only()
    assert [stream.value(n) for n in (b":method", b":scheme", b":path", b":authority")] == ["GET", "http", "/a?b=c", "a.test"]
    names = stream.names()
    assert names[:4] == sorted(names[:4], key=names.index) and all(n.startswith(":") for n in names[:4])
    assert not any(n.startswith(":") for n in names[4:]) and all(n == n.lower() for n in names)
    assert not HOP_BY_HOP & set(names) and "x-drop" not in names and "te" not in names
    assert stream.value(b"cookie") == "a=b; c=d" and stream.value(b"x-own") == "1"
    assert stream.value(b"x-forwarded-for") == "127.0.0.1" and stream.value(b"x-forwarded-proto") == "http"
    assert stream.body == b""


@pytest.mark.parametrize("fields,expected", [([], []), (["TE: trailers", "Connection: TE"], ["trailers"]),
                                             (["TE: gzip, trailers;q=0.5", "Connection: TE"], None)])
def test_te_says_trailers_or_nothing(proxy, server, port, fields, expected):
    ask(port, fields=fields)
    said = [v.decode() for k, v in server.only().headers if k == b"te"]
    assert said == expected if expected is not None else said in ([], ["trailers"])


def test_a_body_with_a_length_keeps_it(proxy, server, port):
    assert ask(port, method="POST", body=b"x" * 300000).body == b"hello"
    stream = server.only()
    assert stream.body == b"x" * 300000 and stream.value(b"content-length") == "300000"


def test_a_chunked_body_has_no_length_and_its_trailers_come(proxy, server, port):
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Transfer-Encoding: chunked", "Trailer: X-Sum"]))
        for _ in range(3):
            c.send(b"5\r\nhello\r\n")
        c.send(b"0\r\nX-Sum: 15\r\n\r\n")
        assert c.response().body == b"hello"
    stream = server.only()
    assert stream.body == b"hello" * 3 and b"content-length" not in [k for k, _ in stream.headers]
    assert stream.trailers == [(b"x-sum", b"15")]


def test_an_empty_body_and_none_end_with_the_head(proxy, server, port):
    for body in (None, b""):
        ask(port, method="POST", body=body)
    for _, stream in server.requests:
        assert stream.ended.wait(LONG) and stream.body == b""


def test_a_large_body_is_not_larger_than_the_windows(start, port):
    with_small = H2Server(settings={4: 1000, 5: 16384})
    start(config(port, with_small.port))
    ask(port)  # python-h2 does not bear what was sent before its SETTINGS came
    assert ask(port, method="PUT", body=b"y" * 200000).status == 200
    assert with_small.requests[1][1].body == b"y" * 200000
    with_small.stop()


def test_expectations_are_passed_on_and_answered(proxy, server, port):
    def say_continue(c, stream):
        c.h2.send_headers(stream.id, [(":status", "100")])
        c.flush()
    server.on_head = say_continue
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Expect: 100-continue", "Content-Length: 3"]))
        assert c.response_head().status == 100
        c.send(b"abc")
        assert c.response().status == 200
    assert server.only().value(b"expect") == "100-continue"


# ---- responses ----

def test_a_response_becomes_one_of_http_1(proxy, server, port):
    server.on_end = lambda c, s: c.respond(s, 200, [("content-length", "5"), ("x-own", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])
    r = ask(port)
    assert (r.status, r.reason, r.body) == (200, "OK", b"hello") and r.field("content-length") == "5"
    assert r.all("set-cookie") == ["a=1", "b=2"] and r.field("x-own") == "1"
    assert not r.all("transfer-encoding")


def test_a_response_without_a_length_is_chunked_and_keeps_its_trailers(proxy, server, port):
    def answer(c, stream):
        c.head(stream, 200)
        c.data(stream, b"one ")
        c.data(stream, b"two")
        c.trailers(stream, [("x-sum", "7")])
    server.on_end = answer
    with plain_client(port) as c:
        r = c.request(get(fields=["TE: trailers", "Connection: TE"]))
        assert r.body == b"one two" and r.field("transfer-encoding") == "chunked" and r.trailers == [("x-sum", "7")]
        assert c.request(get()).status == 200


@pytest.mark.parametrize("status,method,fields", [
    (204, "GET", []), (304, "GET", [("etag", '"x"')]), (200, "HEAD", [("content-length", "1000")]), (200, "GET", [("content-length", "0")]),
    (200, "GET", []), (404, "POST", []), (205, "GET", [("content-length", "0")])])
def test_responses_without_content_leave_the_connection_in_order(proxy, server, port, status, method, fields):
    server.on_end = lambda c, s: c.head(s, status, fields, end=True)
    with plain_client(port) as c:
        for _ in range(2):
            r = c.request(get(method=method))
            assert r.status == status and r.body == b""


def test_interim_responses_come_through(proxy, server, port):
    def answer(c, stream):
        for link in ("</a.css>", "</b.css>"):
            c.h2.send_headers(stream.id, [(":status", "103"), ("link", link)])
        c.respond(stream)
    server.on_end = answer
    with plain_client(port) as c:
        assert c.request(get()).status == 200
        assert [r.field("link") for r in c.interim] == ["</a.css>", "</b.css>"]


def test_a_response_may_come_before_the_request_has_ended(proxy, server, port):
    server.on_head = lambda c, s: c.respond(s, 413, body=b"too much")
    server.on_end = lambda c, s: None
    with plain_client(port) as c:
        c.send(get(method="POST", fields=["Content-Length: 1000000"]) + b"x" * 1000)
        r = c.response()
        assert r.status == 413 and r.body == b"too much" and r.field("connection") == "close"
    stream = server.wait_requests(1)[0]
    until(lambda: stream.reset is not None, "the rest of the request to be called off")


def test_large_downloads_are_whole(proxy, server, port):
    whole = bytes(range(256)) * 20000
    server.on_end = lambda c, s: c.respond(s, body=whole)
    for r in beside(4, lambda i: ask(port)):
        assert r.body == whole


# ---- connections ----

def test_requests_beside_each_other_share_one_connection(proxy, server, port):
    held = []
    server.on_end = lambda c, s: held.append((c, s))

    def release():
        until(lambda: len(held) == 20, "all to be there at once")
        for c, stream in held:
            c.respond(stream)

    with concurrent.futures.ThreadPoolExecutor(1) as other:
        done = other.submit(release)
        answers = beside(20, lambda i: ask(port, path=f"/{i}"))
        done.result()
    assert [r.status for r in answers] == [200] * 20 and len(server.connections) == 1
    assert sorted(s.value(b":path") for _, s in server.requests) == sorted(f"/{i}" for i in range(20))


def test_no_more_streams_than_the_server_allows_but_more_connections(start, port):
    server = H2Server(settings={3: 2})
    held = []
    server.on_end = lambda c, s: held.append((c, s))
    start(config(port, server.port))
    ask_one = [concurrent.futures.ThreadPoolExecutor(6)]
    answers = []
    for i in range(6):  # one after the other, since the limit is not known before SETTINGS have come
        answers.append(ask_one[0].submit(ask, port))
        until(lambda: len(held) == i + 1, f"request {i}")
    assert len(server.connections) == 3 and all(len(c.streams) == 2 for c in server.connections)
    for c, stream in held:
        c.respond(stream)
    assert [a.result().status for a in answers] == [200] * 6
    ask_one[0].shutdown()
    server.stop()


def test_beyond_the_most_connections_requests_wait_for_a_stream(start, port):
    server = H2Server(settings={3: 1})
    held = []
    server.on_end = lambda c, s: held.append((c, s))
    start(config(port, server.port, {"pool": {"h2_connections": 2}, "timeouts": {"connect": "60s"}}))
    with concurrent.futures.ThreadPoolExecutor(5) as threads:
        answers = []
        for i in range(2):
            answers.append(threads.submit(ask, port))
            until(lambda: len(held) == i + 1, f"request {i}")
        answers += [threads.submit(ask, port) for _ in range(3)]
        for i in range(5):
            until(lambda: len(held) > i, f"request {i} to be let in")
            assert len(held) <= i + 2 and len(server.connections) == 2
            c, stream = held[i]
            c.respond(stream)
        assert [a.result().status for a in answers] == [200] * 5
    server.stop()


def test_who_waits_for_a_stream_in_vain_gets_504(start, port):
    server = H2Server(settings={3: 1})
    server.on_end = lambda c, s: None
    start(config(port, server.port, {"pool": {"h2_connections": 1}, "timeouts": {"connect": "300ms"}}))
    with plain_client(port) as first:
        first.send(get())
        server.wait_requests(1)
        assert ask(port).status == 504
    server.stop()


def test_an_idle_connection_is_kept_and_ends_with_goaway(start, server, port):
    start(config(port, server.port, {"pool": {"idle_time": "400ms"}}))
    for _ in range(3):
        assert ask(port).status == 200
    assert len(server.connections) == 1
    assert server.connections[0].ended.wait(LONG) and server.connections[0].goaway == 0
    assert ask(port).status == 200 and len(server.connections) == 2


def test_pings_are_answered(proxy, server, port):
    def answer(c, stream):
        c.h2.ping(b"12345678")
        c.flush()
        c.respond(stream)
    server.on_end = answer
    assert ask(port).status == 200
    c = server.connections[0]
    acknowledged = []
    take = c.take
    c.take = lambda event: (acknowledged.append(event) if type(event).__name__ == "PingAckReceived" else None, take(event))
    server.on_end = answer
    assert ask(port).status == 200
    until(lambda: acknowledged, "the PING to be answered")


def test_a_silent_connection_with_streams_is_asked_and_lives_when_it_answers(start, server, port):
    def answer(c, stream):
        until(lambda: c.receive() and c.pings >= 2, "two PINGs")
        c.respond(stream)
    server.on_end = answer
    start(config(port, server.port, {"timeouts": {"ping": "200ms"}}))
    assert ask(port).status == 200


def test_a_silent_connection_that_does_not_answer_is_given_up(start, server, port):
    waits = threading.Event()
    server.on_end = lambda c, s: c.number == 0 and waits.wait(LONG) or c.number and c.respond(s)
    start(config(port, server.port, {"timeouts": {"ping": "200ms", "response_head": "60s"}}))
    with plain_client(port) as a, plain_client(port) as b:
        a.send(get(path="/a"))
        server.wait_requests(1)
        b.send(get(path="/b"))
        assert a.response().status == 504 and b.response().status == 504
    assert ask(port).status == 200 and len(server.connections) == 2
    waits.set()


def test_reload_and_drain_let_open_streams_end(start, server, port):
    held = []
    server.on_end = lambda c, s: held.append((c, s))
    proxy = start(config(port, server.port))
    with plain_client(port) as a, plain_client(port) as b:
        a.send(get(path="/a"))
        server.wait_requests(1)
        proxy.reload(config(port, server.port, {"timeouts": {"connect": "4s"}}))
        b.send(get(path="/b"))
        server.wait_requests(2)
        proxy.process.send_signal(15)
        until(lambda: "STOPPING=1" in "".join(proxy.notifications()), "it to stop")
        for c, stream in held:
            c.respond(stream, body=b"late")
        assert a.response().body == b"late" and b.response().body == b"late"
    proxy.wait()
    assert len(server.connections) == 1


def test_a_client_that_goes_away_has_its_stream_reset(proxy, server, port):
    server.on_head = lambda c, s: c.head(s) if s.value(b":path") == "/begun" else None
    server.on_end = lambda c, s: None
    for path in ("/silent", "/begun"):
        before = len(server.requests)
        with plain_client(port) as c:
            c.send(get(path=path))
            stream = server.wait_requests(before + 1)[before]
            c.reset()
        until(lambda: stream.reset is not None, f"the reset of {path}")
        assert stream.reset == 8
    assert len(server.connections) == 1 and not server.connections[0].ended.is_set()


def test_a_stalled_client_does_not_stall_its_neighbours(proxy, server, port):
    whole = b"z" * 3_000_000

    def answer(c, stream):
        def send():
            view = memoryview(whole)
            while view and stream.reset is None:
                with c.lock:
                    room = min(c.h2.local_flow_control_window(stream.id), 16384, len(view))
                    if room:
                        c.h2.send_data(stream.id, bytes(view[:room]), end_stream=room == len(view))
                        c.flush()
                        view = view[room:]
                if not room:
                    stalled.add(stream.id)
                    until(lambda: stream.reset is not None or c.h2.local_flow_control_window(stream.id) > 0, "the window", 120)
        c.head(stream)
        threading.Thread(target=send, daemon=True).start()

    stalled = set()
    server.on_end = answer
    clients = [plain_client(port) for _ in range(20)]
    for c in clients:
        c.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF
        c.send(get())
    server.wait_requests(20)
    until(lambda: len(stalled) == 20, "all of them to be stalled")
    for _ in range(3):
        assert ask(port).body == whole
    assert len(server.connections) == 1
    for c in clients:
        c.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idle_connection_that_the_server_closed_does_not_show(proxy, server, port, method):
    for i in range(10):
        assert ask(port, method=method, body=b"x" if method == "POST" else None).status == 200
        if i % 2:
            server.connections[-1].go_away(2**31 - 1, keep=False)
        else:
            server.connections[-1].close()
    assert len(server.requests) == 10


def test_a_server_that_refuses_connections_is_passed_over(start, server, port):
    start(config(port, [free_port(), server.port]))
    for body in (None, b"x" * 100000):
        assert ask(port, method="POST", body=body).status == 200


def test_a_server_that_cannot_be_reached_gets_the_client_a_502(start, port):
    start(config(port, free_port()))
    assert ask(port).status == 502


def test_who_waits_for_a_connection_hears_of_its_failure(start, port):
    start(config(port, free_port()))
    assert {r.status for r in beside(10, lambda i: ask(port))} == {502}


# ---- against a real one ----

def test_nghttpd_serves_files_and_takes_uploads(start, port, tmp_path):
    (tmp_path / "big").write_bytes(b"0123456789abcdef" * 200000)
    (tmp_path / "small").write_bytes(b"small")
    back = free_port()
    nghttpd = subprocess.Popen(["nghttpd", "--no-tls", "-d", str(tmp_path), str(back)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        start(config(port, back))
        until(lambda: ask(port, path="/small").status == 200, "nghttpd")
        for r in beside(8, lambda i: ask(port, path="/big")):
            assert r.body == b"0123456789abcdef" * 200000
        assert ask(port, path="/small", method="POST", body=b"q" * 1_000_000).body == b"small"
        assert ask(port, path="/none").status == 404
        assert ask(port, path="/small", method="HEAD").field("content-length") == "5"
    finally:
        nghttpd.terminate()
        nghttpd.wait()


def test_a_connection_that_breaks_in_the_middle_shows(proxy, server, port):
    def answer(c, stream):
        c.head(stream, 200, [("content-length", "1000")])
        c.data(stream, b"x" * 500)
        c.close()
    server.on_end = answer
    with pytest.raises(Closed):
        ask(port)
    server.reset_script()
    assert ask(port).status == 200


def test_the_access_log_names_server_and_reuse(proxy, server, port):
    ask(port)
    ask(port)
    first, second = proxy.access_records(2)
    assert first["server"] == f"127.0.0.1:{server.port}" and (first["server_reused"], second["server_reused"]) == (False, True)
