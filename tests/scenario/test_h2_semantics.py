"""What a request over HTTP/2 means: what is written to a server that speaks HTTP/1.1, byte for byte, what comes back, who
comes first, and what is promised when the service ends."""
import itertools
import re
import signal
import threading
import time

import pytest

from support import processes
from support.backend import Backend, response
from support.h2 import (
    CANCEL, DATA, END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, MAX_CONCURRENT_STREAMS, NO_ERROR, PROTOCOL_ERROR, frame, h2_client,
    request)
from support.ports import free_port
from support.unlade import Unlade, certificate_entry, site
from support.waiting import LONG, until


def answer(e):
    e.read_body()
    size = e.target.partition("/size/")[2]
    e.send(response(bytes(int(size)) if size else b"ok"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, certificate):
    backend = Backend()
    port = free_port()
    with Unlade(tmp_path_factory.mktemp("h2"), site(port, backend.port, certificate)) as proxy:
        proxy.port, proxy.backend = port, backend
        yield proxy
    backend.stop()


@pytest.fixture
def proxy(served):
    served.backend.reset_script()
    served.backend.answer = answer
    yield served
    assert served.process.poll() is None, served.stderr
    assert not served.findings(), served.stderr
    assert not served.backend.garbage and not served.backend.failures


@pytest.fixture
def client(proxy, pki):
    with h2_client(proxy.port, pki) as c:
        yield c
        assert c.goaway is None


# ---- the request at the server ----

def test_a_request_arrives_as_http_1_1_and_nothing_of_http_2_with_it(proxy, client):
    assert client.fetch("/a?b=c", more=[("accept", "*/*"), ("x-own", "1")]).status == 200
    e = proxy.backend.only()
    assert (e.method, e.target, e.version) == ("GET", "/a?b=c", "HTTP/1.1")
    assert e.field("host") == "a.test" and e.field("accept") == "*/*" and e.field("x-own") == "1"
    assert not any(n.startswith(":") for n, _ in e.fields)
    for name in ("content-length", "transfer-encoding", "connection", "te", "upgrade", "http2-settings"):
        assert not e.all(name), e.fields
    assert e.field("x-forwarded-proto") == "https" and e.field("x-forwarded-for") == "127.0.0.1"


def test_the_authority_with_its_port_is_the_host(proxy, client):
    client.fetch(authority=f"a.test:{proxy.port}")
    assert proxy.backend.only().field("host") == f"a.test:{proxy.port}"


def test_host_serves_where_there_is_no_authority(proxy, client):
    n = client.next_stream()
    client.headers(n, [(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "a.test")])
    assert client.response(n).status == 200
    assert proxy.backend.only().all("host") == ["a.test"]


def test_crumbs_of_a_cookie_are_one_field_at_the_server(proxy, client):
    client.fetch(more=[("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2"), ("cookie", "c=3; d=4")])
    assert proxy.backend.only().all("cookie") == ["a=1; b=2; c=3; d=4"]


def test_empty_crumbs_leave_no_trace(proxy, client):
    client.fetch(more=[("cookie", ""), ("cookie", "a=1"), ("cookie", ""), ("cookie", "b=2"), ("cookie", "")])
    assert b"Cookie: a=1; b=2\r\n" in proxy.backend.only().raw_head.replace(b"cookie:", b"Cookie:") + b"\r\n"


def test_fields_that_come_twice_stay_two(proxy, client):
    client.fetch(more=[("x-list", "1"), ("x-list", "2")])
    assert proxy.backend.only().all("x-list") == ["1", "2"]


def test_what_only_a_proxy_may_say_is_taken_away(proxy, client):
    client.fetch(more=[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "http"), ("forwarded", "for=10.0.0.1"), ("x-real-ip", "10.0.0.1"),
                       ("x_forwarded_for", "10.0.0.1"), ("x-forwarded-host", "evil.test")])
    e = proxy.backend.only()
    assert "10.0.0.1" not in e.raw_head.decode("latin-1") and "evil.test" not in e.raw_head.decode("latin-1")


def test_the_scheme_that_a_client_claims_is_not_believed(proxy, client):
    assert client.fetch(scheme="http").status in (200, 400, 421)
    for e in proxy.backend.exchanges:
        assert e.field("x-forwarded-proto") == "https"


@pytest.mark.parametrize("length", [None, 11], ids=["without length", "with length"])
def test_content_arrives_framed_by_us(proxy, client, length):
    more = [("content-length", str(length))] if length else []
    n = client.open("/up", method="POST", end=False, more=more)
    client.data(n, b"hello", pad=4)
    client.data(n, b" world", END_STREAM)
    assert client.response(n).status == 200
    e = proxy.backend.only()
    assert e.body == b"hello world"
    assert e.all("content-length") == (["11"] if length else [])
    assert e.all("transfer-encoding") == ([] if length else ["chunked"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_content_is_a_length_of_0_where_servers_ask_for_one(proxy, client, method):
    client.fetch(method=method)
    assert proxy.backend.only().all("content-length") == ["0"]


@pytest.mark.parametrize("how", ["length", "stream", "pieces"])
def test_content_that_looks_like_a_request_is_none(proxy, client, how):
    """Neither raw, nor where it would begin a chunk or end a chunked body."""
    inner = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n" * 3
    n = client.open("/up", method="POST", end=False, more=[("content-length", str(len(inner)))] if how == "length" else [])
    if how == "pieces":
        for i in range(len(inner)):
            client.data(n, inner[i:i + 1])
        client.data(n, b"", END_STREAM)
    else:
        client.data(n, inner, END_STREAM)
    assert client.response(n).status == 200
    assert client.fetch("/after").status == 200
    assert [(e.target, e.body) for e in proxy.backend.exchanges] == [("/up", inner), ("/after", b"")]


ODD = {
    "a method with a colon": ([(":method", "GET:")], None),
    "an unknown method": ([(":method", "BREW")], "BREW / HTTP/1.1"),
    "two slashes": ([(":path", "//evil.test/x")], "GET //evil.test/x HTTP/1.1"),
    "an encoded line end": ([(":path", "/a%0d%0aX-Y:%20z")], "GET /a%0d%0aX-Y:%20z HTTP/1.1"),
    "an encoded NUL": ([(":path", "/a%00b")], "GET /a%00b HTTP/1.1"),
    "dots": ([(":path", "/a/../b")], None),
    "a question mark alone": ([(":path", "/?")], "GET /? HTTP/1.1"),
    "two question marks": ([(":path", "/?a?b")], "GET /?a?b HTTP/1.1"),
    "a look-alike of a length": ([("content_length", "5")], None),
    "a look-alike of a coding": ([("transfer_encoding", "chunked")], None),
    "an empty value": ([("x-empty", "")], "GET / HTTP/1.1"),
    "a value of bytes beyond ASCII": ([("x-odd", "\xe4\xff")], "GET / HTTP/1.1"),
    "a tab in a value": ([("x-odd", "a\tb")], "GET / HTTP/1.1"),
    "http2-settings": ([("http2-settings", "AAMAAABkAAQAAP__")], None),
    "expect something else": ([("expect", "200-maybe")], None),
    "an authority with an odd port": ([(":authority", "a.test:443x")], None),
    "an authority with an empty port": ([(":authority", "a.test:")], None),
    "an authority with a percent sign": ([(":authority", "a%2etest")], None),
    "an authority that is a list": ([(":authority", "a.test,b.test")], None),
    "another scheme": ([(":scheme", "file")], None),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_reach_the_server_whole_or_not_at_all(proxy, client, name):
    """Never in another shape: one request line, one head, and the connection to the server is in step afterwards."""
    changes, line = ODD[name]
    pairs = [(n, dict(changes).get(n, v)) for n, v in request()] + [(n, v) for n, v in changes if not n.startswith(":")]
    n = client.next_stream()
    client.headers(n, pairs)
    s = client.stream(n)
    client.wait(lambda: s.over, "an end")
    assert s.reset in (None, PROTOCOL_ERROR)
    assert client.fetch("/after").status == 200
    heads = [e.raw_head.split(b"\r\n")[0].decode("latin-1") for e in proxy.backend.exchanges]
    assert heads[-1] == "GET /after HTTP/1.1"
    if line:
        assert heads == [line, "GET /after HTTP/1.1"] and s.status == 200
    else:
        assert len(heads) <= 2
        assert len(heads) == 1 or s.status == 200
    for e in proxy.backend.exchanges:
        assert not e.all("content_length") and not e.all("transfer_encoding") and not e.all("http2-settings")


def test_connect_is_no_way_through(proxy, client):
    n = client.next_stream()
    client.headers(n, [(":method", "CONNECT"), (":authority", "a.test:22")], 0)
    client.data(n, b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
    s = client.stream(n)
    client.wait(lambda: s.over, "an end")
    assert s.reset is not None or s.status >= 400
    assert client.fetch("/after").status == 200
    assert [e.target for e in proxy.backend.exchanges] == ["/after"]


def test_trailers_arrive_behind_the_content(proxy, client):
    n = client.open("/up", method="POST", end=False, more=[("te", "trailers"), ("trailer", "x-sum")])
    client.data(n, b"abc")
    client.headers(n, [("x-sum", "123")])
    assert client.response(n).status == 200
    e = proxy.backend.only()
    assert e.body == b"abc" and [(a.lower(), b) for a, b in e.trailers] == [("x-sum", "123")]


def test_a_request_that_ends_with_a_reset_is_never_whole_at_the_server(proxy, client):
    n = client.open("/up", method="POST", end=False)
    client.data(n, b"abc")
    (e,) = proxy.backend.wait_exchanges(1)
    client.rst(n)
    assert e.connection.ended.wait(LONG)
    assert not e.complete.is_set()


def test_a_request_that_is_found_malformed_late_is_never_whole_at_the_server(proxy, client):
    """Its head was fine, its content is more than it announced."""
    n = client.open("/up", method="POST", end=False, more=[("content-length", "5")])
    client.data(n, b"abc")
    (e,) = proxy.backend.wait_exchanges(1)
    client.data(n, b"defghi", END_STREAM)
    client.expect_stream_error(n, PROTOCOL_ERROR)
    assert e.connection.ended.wait(LONG)
    assert not e.complete.is_set()
    assert client.fetch("/after").status == 200


def test_expect_100_continue_is_answered_by_the_server(proxy, client):
    def late(e):
        e.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        e.send(response(e.read_body()))
    proxy.backend.answer = late
    n = client.open("/up", method="POST", end=False, more=[("expect", "100-continue"), ("content-length", "3")])
    client.wait(lambda: client.stream(n).interim, "100")
    assert client.stream(n).interim[0][0] == 100
    client.data(n, b"abc", END_STREAM)
    assert bytes(client.response(n).body) == b"abc"


# ---- the response ----

def raw(client, proxy, data, close=False, **how):
    def send(e):
        e.read_body()
        e.send(data)
        if close:
            e.close()
    proxy.backend.answer = send
    n = client.open(**how)
    s = client.stream(n)
    client.wait(lambda: s.over, "an end")
    return s


def test_a_response_in_chunks_with_trailers_is_data_and_a_field_section(proxy, client):
    s = raw(client, proxy, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nX-UPPER: Kept\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n"
            b"X-Hop: 1\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n", more=[("te", "trailers")])
    assert s.ended and s.status == 200 and bytes(s.body) == b"abcde" and ("x-sum", "5") in s.trailers
    assert s.field("x-upper") == "Kept"
    for name in ("transfer-encoding", "connection", "keep-alive", "x-hop"):
        assert not s.all(name), s.fields


def test_interim_responses_are_passed_on(proxy, client):
    s = raw(client, proxy, b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert s.interim == [(103, [("link", "</a.css>; rel=preload")])] and s.status == 200 and bytes(s.body) == b"ok"


@pytest.mark.parametrize("method, head, length", [
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ["5"]), ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", []),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ["5"]), ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ["0"])])
def test_a_response_without_content_ends_with_its_head(proxy, client, method, head, length):
    s = raw(client, proxy, head, method=method)
    assert s.ended and not s.body and s.all("content-length") == length
    assert not [f for f in client.frames if f.kind == DATA and f.payload]


@pytest.mark.parametrize("how", ["by length", "by chunks"])
def test_a_response_that_is_cut_short_does_not_end_in_order(proxy, client, how):
    head = b"Content-Length: 100\r\n\r\nabc" if how == "by length" else b"Transfer-Encoding: chunked\r\n\r\n64\r\nabc"
    s = raw(client, proxy, b"HTTP/1.1 200 OK\r\n" + head, close=True)
    assert not s.ended and s.reset is not None and s.reset != NO_ERROR
    proxy.backend.answer = answer
    assert client.fetch("/after").status == 200


def test_a_response_to_the_end_of_its_connection_is_whole(proxy, client):
    s = raw(client, proxy, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it", close=True)
    assert s.ended and bytes(s.body) == b"all of it"


MALFORMED = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a name with a space": b"HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 2\r\n\r\nok",
    "a control character": b"HTTP/1.1 200 OK\r\nX-Y: a\x01b\r\nContent-Length: 2\r\n\r\nok",
    "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "a protocol that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_response_is_a_502_of_its_stream_alone(proxy, client, name):
    s = raw(client, proxy, MALFORMED[name], close=True)
    assert s.status == 502 and s.ended
    proxy.backend.answer = answer
    assert client.fetch("/after").status == 200


def test_an_answer_that_comes_before_the_content_is_whole_and_stops_the_upload(proxy, client):
    def early(e):
        e.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        e.connection.wait_closed()
    proxy.backend.answer = early
    n = client.open("/up", method="POST", end=False)
    client.data(n, b"abc")
    s = client.stream(n)
    client.wait(lambda: s.ended, "the answer")
    assert s.status == 413 and bytes(s.body) == b"no!"
    client.wait(lambda: s.reset is not None, "RST_STREAM")
    assert s.reset in (NO_ERROR, CANCEL)
    client.data(n, b"on its way")
    proxy.backend.answer = answer
    assert client.fetch("/after").status == 200


# ---- authority and SNI ----

def test_an_authority_that_the_handshake_does_not_cover_gets_421(start, backend, port, certificate, pki):
    ca = pki.ca_file
    start({"workers": 1, "tls": {"staff": {"clients": {"certificate": "required", "ca": ca}}}, "upstreams": {"app": {"servers": [f"127.0.0.1:{backend.port}"]}},
           "listeners": {"web": {"address": f"127.0.0.1:{port}", "to": "app", "certificates": [certificate_entry(certificate)],
                                 "hosts": {"b.test": {"tls": "staff", "to": "app"}}}}})
    with h2_client(port, pki) as c:
        assert c.fetch("/mine").status == 200
        assert c.fetch("/theirs", authority="b.test").status == 421
        assert c.fetch("/theirs", authority="B.TEST:443").status == 421
        n = c.next_stream()
        c.headers(n, [(":method", "GET"), (":scheme", "https"), (":path", "/theirs"), ("host", "b.test")])
        assert c.response(n).status == 421
        assert c.fetch("/other", authority="localhost").status == 200
    assert [e.target for e in backend.exchanges] == ["/mine", "/other"]


# ---- who comes first ----

@pytest.fixture
def full(proxy, pki):
    """A connection whose window is used up, so that what is asked for waits together: open_window() lets it go."""
    with h2_client(proxy.port, pki, values={INITIAL_WINDOW_SIZE: LARGEST_WINDOW}, window=False) as c:
        first = c.open("/size/65535")
        assert len(c.response(first).body) == 65535
        yield c


def ask(c, *priorities, size=20000, wait=True):
    numbers = []
    for value in priorities:
        numbers.append(c.open(f"/size/{size}", more=[("priority", value)] if value else []))
    if wait:
        c.wait(lambda: all(c.stream(n).status for n in numbers), "the heads")
    return numbers


def order_of(c, numbers, size=20000):
    """The streams in the order in which their DATA comes, each named once for as long as it goes on."""
    start = len(c.frames)
    c.window_update(0, len(numbers) * size)
    for n in numbers:
        assert len(c.response(n).body) == size
    came = [f.stream for f in c.frames[start:] if f.kind == DATA and f.payload]
    return [n for n, _ in itertools.groupby(came)]


def test_the_more_urgent_comes_first(full):
    low, high, middle = ask(full, "u=7", "u=0", "u=3")
    assert order_of(full, [low, high, middle]) == [high, middle, low]


def test_without_a_word_the_urgency_is_3(full):
    last, silent, first = ask(full, "u=4", None, "u=2")
    assert order_of(full, [last, silent, first]) == [first, silent, last]


def test_of_equals_the_first_that_was_asked_for_comes_first(full):
    numbers = ask(full, "u=1", "u=1", "u=1", "u=1")
    assert order_of(full, numbers) == numbers


def test_incremental_ones_share(full):
    numbers = ask(full, "u=1, i", "u=1, i", size=200000)
    order = order_of(full, numbers, 200000)
    assert len(order) > 6, order


def test_incremental_ones_wait_for_who_is_more_urgent(full):
    numbers = ask(full, "u=5, i", "u=5, i", "u=1", size=100000)
    assert order_of(full, numbers, 100000)[0] == numbers[2]


def test_a_priority_update_changes_the_order(full):
    one, two, three = ask(full, "u=5", "u=5", "u=5")
    full.priority_update(three, "u=0")
    full.priority_update(one, "u=7")
    full.ping()
    assert order_of(full, [one, two, three]) == [three, two, one]


def test_a_priority_update_may_come_before_its_stream(full):
    full.priority_update(full._next + 2, "u=0")     # of the second of the two that follow
    one, two = ask(full, "u=5", None)
    assert order_of(full, [one, two]) == [two, one]


@pytest.mark.parametrize("value", ["u=9", "u=-1", "u=x", "u", "i=2", "\x01", "u=1;u=2;;", "u=" + "1" * 40, "", ","])
def test_a_priority_that_is_nonsense_is_none(full, value):
    """RFC 9218 4: what cannot be read is ignored."""
    n = full.next_stream()
    full.priority_update(n, value)
    full.headers(n, request("/size/10", more=[("priority", value)] if value != "\x01" else []))
    full.window_update(0, 10)
    assert full.response(n).status == 200


def test_the_priorities_of_rfc_7540_are_ignored(full):
    one, two = full.next_stream(), full.next_stream()
    full.headers(one, request("/size/20000"), priority=(0, 0, 0))
    full.headers(two, request("/size/20000"), priority=(1, 0, 255))
    full.priority(one, two, 0, 1)
    full.wait(lambda: full.stream(one).status and full.stream(two).status, "the heads")
    assert order_of(full, [one, two]) == [one, two]


def test_an_answer_that_is_late_overtakes(proxy, pki):
    """A more urgent one whose server is slow goes in front as soon as it is there."""
    go = threading.Event()

    def late(e):
        if e.target == "/late":
            go.wait(LONG)
            e.send(response(bytes(5000)))
        else:
            answer(e)
    proxy.backend.answer = late
    with h2_client(proxy.port, pki, values={INITIAL_WINDOW_SIZE: LARGEST_WINDOW}, window=False) as c:
        slow = c.open("/late", more=[("priority", "u=0")])
        bulk = c.open("/size/500000", more=[("priority", "u=6")])
        c.wait(lambda: len(c.stream(bulk).body) == 65535, "the window to be used up")
        go.set()
        c.wait(lambda: c.stream(slow).status, "the head")
        start = len(c.frames)
        c.window_update(0, 600000)
        c.response(slow)
        came = [f.stream for f in c.frames[start:] if f.kind == DATA and f.payload]
        assert came[0] == slow
        assert len(c.response(bulk).body) == 500000


def test_heads_and_ends_pass_a_closed_window(proxy, full):
    """More of them than there is room for at once; the connection's window stays closed."""
    proxy.backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"l" * 4000 + b"\r\nContent-Length: 2\r\n\r\nok")
    numbers = [full.open() for _ in range(95)]
    full.wait(lambda: all(full.stream(n).status for n in numbers), "the heads")
    assert not any(full.stream(n).body for n in numbers)
    proxy.backend.answer = lambda e: e.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert full.fetch().status == 204
    full.window_update(0, 1000)
    for n in numbers:
        assert bytes(full.response(n).body) == b"ok"


def test_a_closed_window_costs_no_time(proxy, full):
    """Nobody looks again and again whether it has opened."""
    numbers = ask(full, *[None] * 20)
    full.ping()
    (worker,) = proxy.workers()
    before = processes.cpu_seconds(worker)
    full.silent(1.0)
    assert processes.cpu_seconds(worker) - before < 0.5
    assert order_of(full, numbers) == numbers


# ---- the end of the service ----

def test_a_stop_answers_every_request_that_was_begun(start, port, backend, certificate, pki):
    """The client goes on asking until it is told to stop: what lies below the last stream that GOAWAY names is answered, and
    nothing above it has reached a server."""
    backend.answer = lambda e: (e.read_body(), e.send(response(e.target.encode())))
    proxy = start(site(port, backend.port, certificate))
    with h2_client(port, pki) as c:
        numbers = {}
        for i in range(20):
            numbers[c.open(f"/{i}")] = i
        proxy.signal(signal.SIGTERM)
        i = 20
        while not (c.goaway and c.goaway[0] < LARGEST_WINDOW) and i < 5000:
            if not c.goaway:
                numbers[c.open(f"/{i}")] = i
                i += 1
            if c.take() is None:
                break
        assert c.drain(), "the connection stays"
        assert c.goaway and c.goaway[1] == NO_ERROR, c.goaway
        last = c.goaway[0]
        for n, i in numbers.items():
            s = c.stream(n)
            if n <= last:
                assert s.ended and bytes(s.body) == f"/{i}".encode(), f"stream {n} of {last} was not answered"
            else:
                assert s.status is None
        answered = {i for n, i in numbers.items() if n <= last}
    assert {int(e.target[1:]) for e in backend.exchanges} == answered
    assert proxy.wait() == 0


def test_a_stop_waits_for_what_runs_and_says_so_at_once(start, port, backend, certificate, pki):
    go = threading.Event()

    def late(e):
        e.read_body()
        go.wait(LONG)
        e.send(response(b"late"))
    backend.answer = late
    proxy = start(site(port, backend.port, certificate))
    with h2_client(port, pki) as c, h2_client(port, pki) as idle:
        numbers = [c.open(f"/{i}") for i in range(10)]
        backend.wait_exchanges(10)
        proxy.signal(signal.SIGTERM)
        c.wait(lambda: c.goaway, "GOAWAY")
        idle.expect_connection_error(NO_ERROR)
        go.set()
        for n in numbers:
            assert bytes(c.response(n).body) == b"late"
        c.expect_connection_error(NO_ERROR)
    assert proxy.wait() == 0


def test_a_reload_loses_no_request(start, port, backend, certificate, pki):
    config = site(port, backend.port, certificate)
    proxy = start(config)
    stop, failures, served = threading.Event(), [], [0]

    def run():
        try:
            while not stop.is_set():
                with h2_client(port, pki) as c:
                    while not stop.is_set() and not c.goaway:
                        n = c.open("/", method="POST", end=False)
                        c.data(n, b"x" * 100, END_STREAM)
                        s = c.stream(n)
                        c.wait(lambda s=s: s.over or (c.goaway and c.goaway[0] < s.number), "an answer")
                        if not (c.goaway and c.goaway[0] < n):
                            assert s.status == 200 and s.ended, s
                            served[0] += 1
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(5):
        until(lambda n=served[0]: served[0] > n + 20 or failures, "requests to be served")
        config["listeners"]["web"]["timeouts"] = {"idle": f"{50 + i}s"}
        proxy.reload(config)
    stop.set()
    for t in threads:
        t.join(LONG)
    assert not failures, failures


def test_the_log_tells_the_version_and_what_became_of_each_request(start, port, backend, certificate, pki):
    proxy = start(site(port, backend.port, certificate))
    with h2_client(port, pki) as c:
        assert c.fetch("/good").status == 200
        c.headers(c.next_stream(), request("/bad", more=[("Upper", "1")]))
        c.expect_stream_error(3, PROTOCOL_ERROR)
        assert c.fetch("/after").status == 200
    records = proxy.access_records(3)
    assert [r["status"] for r in records if r.get("path") != "/bad"][:1] == [200]
    assert all(r["http"] == "HTTP/2.0" or r["http"] == "HTTP/2" for r in records if r.get("status") == 200), records
    assert any(re.search("syntax|malformed", str(r)) for r in records), records


# ---- limits ----

def test_the_number_of_streams_is_an_option(start, port, backend, certificate, pki):
    go = threading.Event()

    def late(e):
        go.wait(LONG)
        e.send(response())
    backend.answer = late
    start(site(port, backend.port, certificate, listener={"limits": {"streams": 7}}))
    with h2_client(port, pki) as c:
        assert c.peer_settings[MAX_CONCURRENT_STREAMS] == 7
        numbers = [c.open() for _ in range(7)]
        backend.wait_exchanges(7)
        c.open()
        c.wait(lambda: c.goaway or c.stream(15).reset is not None, "the eighth to be refused")
        go.set()
    assert len(backend.exchanges) == 7 and len(numbers) == 7


def test_too_large_a_content_gets_413_and_the_connection_goes_on(start, port, backend, certificate, pki):
    start(site(port, backend.port, certificate, listener={"limits": {"body": "10k"}}))
    with h2_client(port, pki) as c:
        announced = c.open("/announced", method="POST", end=False, more=[("content-length", "20000")])
        assert c.wait(lambda: c.stream(announced).status, "413") == 413
        n = c.open("/up", method="POST", end=False)
        for _ in range(11):
            c.data(n, bytes(1000))
        s = c.stream(n)
        c.wait(lambda: s.over, "an end")
        assert s.status == 413 or s.reset not in (None, NO_ERROR)
        assert c.fetch("/after").status == 200
    assert not any(e.complete.is_set() for e in backend.exchanges if e.target != "/after")


def test_own_answers_keep_a_connection_as_others_do(start, port, backend, certificate, pki):
    """Idle is who asks for nothing: whoever answers, in whatever turn."""
    config = site(port, backend.port, certificate, listener={"timeouts": {"idle": "1s"}})
    del config["listeners"]["web"]["to"]
    config["listeners"]["web"]["hosts"] = {"b.test": {"to": "app"}}
    start(config)
    with h2_client(port, pki) as c:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert c.fetch("/").status in (404, 421)
            time.sleep(.05)
        c.alive()


def test_trailers_behind_content_of_a_known_length_cannot_be_told_and_hurt_nothing(proxy, client):
    n = client.open("/up", method="POST", end=False, more=[("content-length", "3")])
    client.data(n, b"abc")
    client.headers(n, [("x-sum", "123"), ("x-more", "GET /smuggled HTTP/1.1")])
    assert client.response(n).status == 200
    assert client.fetch("/after").status == 200
    assert [(e.target, e.body) for e in proxy.backend.exchanges] == [("/up", b"abc"), ("/after", b"")]


def test_a_response_head_that_fills_more_than_a_frame_is_continued(proxy, client):
    more = b"".join(b"X-Field-%d: %s\r\n" % (i, b"%d" % i * 300) for i in range(60))
    s = raw(client, proxy, b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: 2\r\n\r\nok")
    assert s.status == 200 and bytes(s.body) == b"ok" and s.field("x-field-59") == "59" * 300
    proxy.backend.answer = answer
    assert client.fetch("/after").status == 200


def test_a_head_and_its_content_in_one_piece_with_a_hundred_others(proxy, client):
    """All in one write: nothing of one stream ends up in another."""
    pieces, numbers = [], {}
    proxy.backend.answer = lambda e: e.send(response(e.read_body()))
    for i in range(90):
        n = client.next_stream()
        numbers[n] = b"%d" % i * (i + 1)
        pieces.append(client.headers_frame(n, request("/", method="POST"), END_HEADERS))
    for n, body in numbers.items():
        pieces.append(frame(DATA, END_STREAM, n, body))
    client.send(b"".join(pieces))
    for n, body in numbers.items():
        assert bytes(client.response(n).body) == body
