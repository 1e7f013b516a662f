"""Floods and games over HTTP/2: each ends with ENHANCE_YOUR_CALM, or the error that the RFC has for it, after an amount of
work that is counted here; one line of the event log names the cause; and all the while another client is served.

What heavy clients do who mean no harm is at the end: they never meet the limits."""
import contextlib
import itertools
import random
import re
import struct
import subprocess
import threading
import time

import pytest

from support.backend import Backend, response
from support.client import Closed, curl
from support.h2 import (
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, GOAWAY, H2,
    HEADERS, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, NO_ERROR, PADDED, PING, PREFACE, PRIORITY, PRIORITY_UPDATE,
    PROTOCOL_ERROR, RST_STREAM, STREAM_CLOSED, WINDOW_UPDATE, fields, frame, h2_client, h2_socket, indexed, literal, request,
    settings, table_size)
from support.ports import free_port
from support.unlade import Unlade, site
from support.waiting import LONG, until

# What one connection may cost before it is ended: requests that reach a server, and frames that are answered.
MOST_REQUESTS, MOST_ANSWERS = 2000, 10000
ENDLESS = 300000    # pieces; nobody gets that far

KB, MB = 1 << 10, 1 << 20


def answer(e):
    """/size/N: N bytes; /late: when the client is gone; else the content comes back."""
    took = e.read_body()
    if e.target.startswith("/size/"):
        e.send(response(bytes(int(e.target.rpartition("/")[2]))))
    elif e.target == "/late":
        e.connection.wait_closed()
    else:
        e.send(response(took or b"ok"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory, certificate):
    backend = Backend()
    backend.answer = answer
    port = free_port()
    with Unlade(tmp_path_factory.mktemp("h2"), site(port, backend.port, certificate)) as proxy:
        proxy.port, proxy.backend = port, backend
        yield proxy
    backend.stop()


@pytest.fixture
def proxy(attacked):
    attacked.backend.reset_script()
    attacked.backend.answer = answer
    yield attacked
    assert attacked.process.poll() is None, attacked.stderr
    assert not attacked.findings(), attacked.stderr
    assert not attacked.backend.failures and not attacked.backend.garbage


class Neighbour:
    """Another client that asks again and again while the attack lasts, on a connection of its own; each answer must be right."""

    def __init__(self, port, pki):
        self.served, self.failure, self._stop = 0, None, threading.Event()
        self._client = h2_client(port, pki)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while not self._stop.is_set():
                s = self._client.fetch("/neighbour", method="POST", body=b"n" * 100)
                assert s.status == 200 and bytes(s.body) == b"n" * 100
                self.served += 1
                time.sleep(0.005)   # not another flood
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error

    def __enter__(self):
        self._thread.start()
        until(lambda: self.served or self.failure, "the neighbour to be served")
        return self

    def __exit__(self, kind, *_):
        before = self.served
        if kind is None:
            until(lambda: self.served > before or self.failure, "the neighbour to be served behind the attack")
        self._stop.set()
        self._thread.join(LONG)
        self._client.close()
        if kind is None:
            assert self.failure is None, self.failure


def requests_of(proxy):
    return [e for e in list(proxy.backend.exchanges) if e.target != "/neighbour"]


def event_lines(proxy, start=0):
    return proxy.stderr[start:].splitlines()


def attack(proxy, pki, pieces, cause, codes=(ENHANCE_YOUR_CALM,), *, read=True, values=(), prepare=None, most=MOST_ANSWERS):
    """The pieces until the connection ends; then everything that is promised of such an end. cause: in the event log."""
    log_start = len(proxy.stderr)
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki, values=values, pong=False) as c:
        if prepare:
            prepare(c)
        c.flood(itertools.islice(pieces(c) if callable(pieces) else iter(pieces), ENDLESS), read=read)
        assert not c.stuck, "it was held up, and not ended"
        c.expect_connection_error(*codes)
    assert len(c.frames) <= most, f"{len(c.frames)} frames came back"
    assert len(requests_of(proxy)) <= MOST_REQUESTS, f"{len(requests_of(proxy))} requests reached the server"
    assert re.search(cause or "", told_once(proxy, log_start))
    until(lambda: all(e.connection.ended.is_set() or e.complete.is_set() for e in requests_of(proxy)), "the servers to be told")
    return c


def ids(first=1):
    return itertools.count(first, 2)


def head(number, *, end=True, path="/", method="GET", more=()):
    return H2.headers_frame(number, request(path, method=method, more=more), (END_STREAM if end else 0) | END_HEADERS)


def rst(number, code=CANCEL):
    return frame(RST_STREAM, 0, number, struct.pack(">I", code))


def update(number, increment):
    return frame(WINDOW_UPDATE, 0, number, struct.pack(">I", increment))


# ---- resets ----

RESETS = "rapid reset|reset"


def test_rapid_reset(proxy, pki):
    attack(proxy, pki, (head(n) + rst(n) for n in ids()), RESETS)


def test_rapid_reset_of_requests_whose_content_is_to_come(proxy, pki):
    attack(proxy, pki, (head(n, end=False, method="POST") + frame(DATA, 0, n, b"abc") + rst(n) for n in ids()), RESETS)


def test_rapid_reset_with_every_code(proxy, pki):
    attack(proxy, pki, (head(n) + rst(n, n % 14) for n in ids()), RESETS)


def test_rapid_reset_while_the_server_works(proxy, pki):
    attack(proxy, pki, (head(n, path="/late") + rst(n) for n in ids()), RESETS)


def test_resets_that_come_once_the_responses_have_begun(proxy, pki):
    """The client waits for each response to begin, and lets none end: 100 at a time."""
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki, values={INITIAL_WINDOW_SIZE: 1}) as c:
        c.window = False
        rounds = 0
        try:
            for rounds in range(200):
                numbers = [c.open("/size/1000") for _ in range(50)]
                c.wait(lambda: c.goaway or all(c.stream(n).body for n in numbers), "the responses to begin")
                if c.goaway:
                    break
                c.send(b"".join(rst(n) for n in numbers))
        except Closed:
            pass
        c.expect_connection_error(ENHANCE_YOUR_CALM)
    assert rounds < 100


UPPER = [("X-Upper", "1")]
PROVOKED = {    # what makes the server reset stream n
    "a window that overflows": lambda n: head(n, path="/late") + update(n, LARGEST_WINDOW),
    "HEADERS that are malformed": lambda n: H2.headers_frame(n, request(more=UPPER)),
    "HEADERS without a field": lambda n: H2.headers_frame(n, b""),
    "more DATA than Content-Length": lambda n: (head(n, end=False, method="POST", path="/late", more=[("content-length", "1")])
                                                + frame(DATA, 0, n, b"abc")),
    "less DATA than Content-Length": lambda n: (head(n, end=False, method="POST", path="/late", more=[("content-length", "5")])
                                                + frame(DATA, END_STREAM, n, b"abc")),
    "trailers that are malformed": lambda n: head(n, end=False, method="POST", path="/late") + H2.headers_frame(n, UPPER),
    "trailers without END_STREAM": lambda n: (head(n, end=False, method="POST", path="/late")
                                              + H2.headers_frame(n, [("x-a", "1")], END_HEADERS)),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_resets_that_the_server_is_provoked_to(proxy, pki, name):
    """What became known as MadeYouReset: each request is begun by a server, and dead for us. The client keeps to the number
    of streams that it may have, so that nothing else can be said against it."""
    log_start, n = len(proxy.stderr), 1
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki) as c:
        try:
            while n < 2 * MOST_REQUESTS:
                batch = range(n, n + 40, 2)
                c.send(b"".join(PROVOKED[name](i) for i in batch))
                c.wait(lambda: c.goaway or all(c.stream(i).over for i in batch), "the resets")
                n += 40
        except Closed:
            pass
        c.expect_connection_error(ENHANCE_YOUR_CALM)
    assert "provoked resets" in told_once(proxy, log_start)
    until(lambda: all(e.connection.ended.is_set() for e in requests_of(proxy)), "the servers to be told")


ENDING = {      # what ends the connection the first time
    "a window update of 0 on a stream": (lambda n: head(n, path="/late") + update(n, 0), PROTOCOL_ERROR),
    "a window update of 0 on an upload": (lambda n: head(n, path="/late", end=False) + update(n, 0), PROTOCOL_ERROR),
    "DATA behind END_STREAM": (lambda n: head(n, path="/late") + frame(DATA, END_STREAM, n, b"abc"), STREAM_CLOSED),
    "HEADERS behind END_STREAM": (lambda n: head(n, path="/late") + head(n), STREAM_CLOSED),
    "PRIORITY of itself": (lambda n: head(n, path="/late") + frame(PRIORITY, 0, n, struct.pack(">IB", n, 1)), PROTOCOL_ERROR),
    "a stream too many": (lambda n: head(n, path="/late"), PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", ENDING)
def test_errors_that_others_answer_with_a_reset_end_the_connection(proxy, pki, name):
    """The rest of MadeYouReset: none of it can be done twice on a connection."""
    make, code = ENDING[name]
    attack(proxy, pki, (make(n) for n in ids()), "HTTP/2 error", (code,))
    assert len(requests_of(proxy)) <= 101


def told_once(proxy, start, pattern="HTTP/2 (flood|error)"):
    """The one line of the event log, since start, that names the cause."""
    told = until(lambda: [line for line in event_lines(proxy, start) if re.search(pattern, line)], f"{pattern!r} in the event log\n{proxy.stderr[start:]}")
    assert len(told) == 1, told
    return told[0]


# ---- field sections ----

def test_a_flood_of_continuation_frames(proxy, pki):
    section = fields([("x-a", "b" * 15000)])
    attack(proxy, pki, itertools.chain([frame(HEADERS, END_STREAM, 1, fields(request()))], itertools.repeat(frame(CONTINUATION, 0, 1, section))), "CONTINUATION")


def test_a_flood_of_tiny_continuation_frames(proxy, pki):
    tiny = (frame(CONTINUATION, 0, 1, bytes([byte])) for byte in itertools.chain(b"\x00\x01a\x7f\xff\xff\xff\x03", itertools.repeat(0x61)))
    attack(proxy, pki, itertools.chain([frame(HEADERS, END_STREAM, 1, fields(request()))], tiny), "CONTINUATION|compress|COMPRESSION", (ENHANCE_YOUR_CALM, COMPRESSION_ERROR))


def test_a_flood_of_empty_continuation_frames(proxy, pki):
    attack(proxy, pki, itertools.chain([frame(HEADERS, END_STREAM, 1, fields(request()))], itertools.repeat(frame(CONTINUATION, 0, 1))), "CONTINUATION")


def test_a_flood_of_continuation_frames_behind_empty_headers(proxy, pki):
    attack(proxy, pki, itertools.chain([frame(HEADERS, END_STREAM, 1)], itertools.repeat(frame(CONTINUATION, 0, 1))), "CONTINUATION")


def test_a_flood_of_continuation_frames_of_fields_without_names(proxy, pki):
    """Fields that take two bytes on the wire and, with many servers, dozens in memory (CVE-2019-9516)."""
    nameless = literal("", "", kind="without") * 5000
    attack(proxy, pki, itertools.chain([frame(HEADERS, END_STREAM, 1, fields(request()))], itertools.repeat(frame(CONTINUATION, 0, 1, nameless))), "CONTINUATION|HPACK")


def test_a_head_of_fields_without_names_is_malformed_and_costs_one_request(proxy, pki):
    with h2_client(proxy.port, pki) as c:
        c.headers(1, fields(request()) + literal("", "") * 5000)
        c.expect_stream_error(1, PROTOCOL_ERROR)
        c.next_stream()
        assert c.fetch("/after").status == 200
    assert [e.target for e in requests_of(proxy)] == ["/after"]


def bomb(value_bytes=3800, references=16000, kind="incremental"):
    """A field of 3,800 bytes, and 16,000 bytes that each say: the same again."""
    return fields(request()) + literal("x-bomb", "b" * value_bytes, kind=kind), indexed(62) * references


def test_an_hpack_bomb_gets_431_and_the_connection_goes_on(proxy, pki):
    first, again = bomb()
    with h2_client(proxy.port, pki) as c:
        c.headers(1, first)
        assert c.response(1).status == 200
        c.headers(3, fields(request()) + again)
        s = c.stream(3)
        c.wait(lambda: s.over or c.goaway, "an answer to the bomb")
        assert s.status == 431 or s.reset in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR) or c.goaway[1] == ENHANCE_YOUR_CALM
        if not c.goaway:
            c.headers(5, fields(request("/after")) + indexed(62))
            assert c.response(5).status == 200
    assert [e.target for e in requests_of(proxy)][:1] == ["/"] and len(requests_of(proxy)) <= 2


def test_hpack_bombs_end_the_connection(proxy, pki):
    first, again = bomb()
    pieces = itertools.chain([H2.headers_frame(1, first)], (H2.headers_frame(n, fields(request()) + again) for n in ids(3)))
    c = attack(proxy, pki, pieces, "HPACK|HEADERS")
    assert max(c.streams, default=1) < 400


def test_an_hpack_bomb_through_continuation_frames_ends_the_connection(proxy, pki):
    first, again = bomb()
    pieces = itertools.chain([frame(HEADERS, END_STREAM, 1, first)], itertools.repeat(frame(CONTINUATION, 0, 1, again)))
    attack(proxy, pki, pieces, "HPACK|CONTINUATION")


def test_cookie_bomb_of_crumbs_gets_431(proxy, pki):
    """Crumbs are joined before they are counted."""
    with h2_client(proxy.port, pki) as c:
        c.headers(1, fields(request()) + literal("cookie", "c" * 3900, kind="incremental") + indexed(62) * 8000)
        s = c.stream(1)
        c.wait(lambda: s.over or c.goaway, "an answer")
        assert s.status == 431 or s.reset is not None or c.goaway[1] == ENHANCE_YOUR_CALM
    assert not requests_of(proxy)


def test_games_with_the_size_of_the_table(proxy, pki):
    """A head that is nothing but changes of the table's size, again and again: ended, or borne; the tables stay in step."""
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki) as c:
        for _ in range(100):
            number = c.next_stream()
            c.headers(number, (table_size(0) + table_size(4096)) * 3000 + fields(request()) + literal("x-a", "b", kind="incremental"))
            s = c.stream(number)
            c.wait(lambda: s.over or c.goaway, "an answer")
            if c.goaway:
                assert c.goaway[1] in (ENHANCE_YOUR_CALM, COMPRESSION_ERROR)
                break


def test_our_table_that_the_client_resizes_costs_little(proxy, pki):
    sizes = (settings({HEADER_TABLE_SIZE: n % 2 * 4096}) for n in itertools.count())
    attack(proxy, pki, sizes, "SETTINGS")


@pytest.mark.parametrize("how", ["one long value", "many fields", "one long name", "a long path"])
def test_a_huge_head_gets_an_answer_and_the_connection_goes_on(proxy, pki, how):
    more = {"one long value": [("x-long", "v" * 60000)], "many fields": [(f"x-{i}", "v") for i in range(3000)],
            "one long name": [("x" * 60000, "v")], "a long path": []}[how]
    section = fields(request("/" + "p" * 60000 if how == "a long path" else "/", more=more))
    with h2_client(proxy.port, pki) as c:
        pieces = [section[at:at + 16000] for at in range(0, len(section), 16000)]
        c.frame(HEADERS, END_STREAM, 1, pieces[0])
        for piece in pieces[1:]:
            c.continuation(1, piece, 0)
        c.continuation(1, b"")
        assert c.response(1).status == (414 if how == "a long path" else 431)
        c.next_stream()
        assert c.fetch("/after").status == 200
    assert [e.target for e in requests_of(proxy)] == ["/after"]


def test_a_huge_head_that_does_not_end_is_ended(proxy, pki):
    """1 MB of it is more than any head may have."""
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki) as c:
        c.frame(HEADERS, END_STREAM, 1, fields(request()))
        c.flood(frame(CONTINUATION, 0, 1, fields([(f"x-{i}", "v" * 8000)])) for i in range(128))
        c.expect_connection_error(ENHANCE_YOUR_CALM)
    assert not requests_of(proxy)


# ---- frames that carry nothing ----

def test_a_flood_of_settings(proxy, pki):
    attack(proxy, pki, itertools.repeat(settings()), "SETTINGS")


def test_a_flood_of_settings_that_are_full(proxy, pki):
    full = settings([(INITIAL_WINDOW_SIZE, 65535 - i % 2) for i in range(2000)])
    attack(proxy, pki, itertools.repeat(full), "SETTINGS", prepare=lambda c: [c.open("/late") for _ in range(50)])


def test_a_flood_of_acknowledgements_of_settings(proxy, pki):
    attack(proxy, pki, itertools.repeat(settings(flags=ACK)), "SETTINGS|error", (ENHANCE_YOUR_CALM, PROTOCOL_ERROR))


def test_a_flood_of_settings_whose_answers_are_not_read(proxy, pki):
    attack(proxy, pki, itertools.repeat(settings()), "SETTINGS", read=False)


def test_settings_that_are_never_acknowledged_do_not_keep_a_connection(start, backend, port, certificate, pki):
    start(site(port, backend.port, certificate, listener={"timeouts": {"idle": "500ms"}}))
    with h2_client(port, pki, ack=False) as c:
        assert c.fetch().status == 200
        assert c.drain(), "still open"


def test_who_withholds_the_acknowledgement_has_the_first_window_of_the_connection_and_no_more(proxy, pki):
    """Its streams still have windows of 65535 bytes each; 100 of them are not to be stored."""
    go = threading.Event()

    def late(e):
        go.wait(LONG)
        answer(e)
    proxy.backend.answer = late
    with h2_client(proxy.port, pki, ack=False) as c:
        numbers = [c.open("/", method="POST", end=False) for _ in range(100)]
        for number in numbers[:4]:
            c.data(number, bytes(16000))
        c.ping()
        assert not [f for f in c.frames if f.kind == WINDOW_UPDATE and f.stream == 0]
        for number in numbers[4:]:
            c.data(number, bytes(16000))
        c.expect_connection_error(FLOW_CONTROL_ERROR)
    go.set()


def test_a_flood_of_pings(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(PING, 0, 0, b"12345678")), "PING")


def test_a_flood_of_pings_whose_answers_are_not_read(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(PING, 0, 0, b"12345678")), "PING", read=False)


def test_a_flood_of_answers_to_pings_that_nobody_sent(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(PING, ACK, 0, b"12345678")), "PING")


def test_a_flood_of_priority(proxy, pki):
    attack(proxy, pki, (frame(PRIORITY, 0, n, struct.pack(">IB", 0, n % 256)) for n in ids()), "PRIORITY")


def test_a_flood_of_priority_on_one_stream(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1))), "PRIORITY", prepare=lambda c: c.open("/late"))


def test_a_flood_of_priority_updates(proxy, pki):
    attack(proxy, pki, (frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", n) + b"u=1") for n in ids()), "PRIORITY", (ENHANCE_YOUR_CALM, PROTOCOL_ERROR))


def test_a_flood_of_priority_updates_of_one_stream(proxy, pki):
    attack(proxy, pki, (frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=%d" % (n % 8)) for n in ids()), "PRIORITY",
           prepare=lambda c: c.open("/late"))


def test_a_flood_of_empty_data(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(DATA, 0, 1)), "DATA", prepare=lambda c: c.open("/", end=False, method="POST"))


def test_a_flood_of_data_that_is_padding(proxy, pki):
    """Each costs 256 bytes of window and carries none."""
    attack(proxy, pki, itertools.repeat(frame(DATA, PADDED, 1, bytes([255]) + bytes(255))), "DATA",
           (ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR), prepare=lambda c: c.open("/", end=False, method="POST"))


def test_a_flood_of_empty_data_on_streams_that_were_reset(proxy, pki):
    def prepare(c):
        for _ in range(50):
            c.rst(c.open("/", end=False, method="POST"))
        c.ping()
    attack(proxy, pki, (frame(DATA, 0, 1 + 2 * (n % 50)) for n in itertools.count()), None, (ENHANCE_YOUR_CALM, STREAM_CLOSED), prepare=prepare)


def test_a_flood_of_content_for_streams_that_were_reset(proxy, pki):
    """What is thrown away is paid for all the same; the window of the connection is given back, or the connection ends."""
    def prepare(c):
        for _ in range(50):
            c.rst(c.open("/", end=False, method="POST"))
        c.ping()
    attack(proxy, pki, (frame(DATA, 0, 1 + 2 * (n % 50), bytes(100)) for n in itertools.count()), None,
           (ENHANCE_YOUR_CALM, STREAM_CLOSED, FLOW_CONTROL_ERROR), prepare=prepare)


def test_a_flood_of_frames_of_unknown_types(proxy, pki):
    attack(proxy, pki, itertools.repeat(frame(0xee, 0, 0, b"x")), "unknown")


def test_a_flood_of_window_updates_of_the_connection(proxy, pki):
    attack(proxy, pki, itertools.repeat(update(0, 1)), "WINDOW_UPDATE", (ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR))


def test_a_flood_of_window_updates_of_a_stream(proxy, pki):
    attack(proxy, pki, itertools.repeat(update(1, 1)), "WINDOW_UPDATE", prepare=lambda c: c.open("/late"))


def test_a_flood_of_window_updates_of_a_stream_that_is_closed(proxy, pki):
    attack(proxy, pki, itertools.repeat(update(1, 1)), "WINDOW_UPDATE", prepare=lambda c: c.fetch())


def test_a_response_that_is_asked_for_byte_by_byte(proxy, pki):
    """A window of one byte, and one more for each byte that came: each costs a frame and a record."""
    def prepare(c):
        c.window = False
        c.open("/size/1000000")
    c = attack(proxy, pki, itertools.repeat(update(1, 1)), "WINDOW_UPDATE", values={INITIAL_WINDOW_SIZE: 1}, prepare=prepare)
    assert len(c.stream(1).body) <= MOST_ANSWERS


def test_a_flood_of_goaway(proxy, pki):
    """Each is allowed. It may cost nothing, or end the connection."""
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki) as c:
        c.open("/late")
        c.flood(itertools.repeat(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + bytes(100)), ENDLESS))
        assert not c.stuck
        c.expect_connection_error(ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR)


def test_a_mixture_fares_no_better(proxy, pki):
    def pieces():
        for n in ids():
            yield random.Random(n).choice([frame(PING, 0, 0, b"12345678"), settings(), update(0, 1), frame(PRIORITY, 0, n, bytes(5)),
                                           frame(0xee, 0, 0), head(n) + rst(n)])
    attack(proxy, pki, pieces(), None, (ENHANCE_YOUR_CALM,))


def test_content_in_frames_of_a_byte_arrives_whole_or_ends_the_connection(proxy, pki):
    size = 50000
    body = random.Random(1).randbytes(size)
    with Neighbour(proxy.port, pki), h2_client(proxy.port, pki) as c:
        number = c.open("/", end=False, method="POST")
        c.flood(itertools.chain((frame(DATA, 0, number, body[i:i + 1]) for i in range(size)), [frame(DATA, END_STREAM, number)]))
        s = c.stream(number)
        c.wait(lambda: s.over or c.goaway, "an answer")
        if c.goaway:
            assert c.goaway[1] == ENHANCE_YOUR_CALM
        else:
            assert s.status == 200 and bytes(s.body) == body


# ---- who stands still ----

def short(port, backend, certificate, **timeouts):
    return site(port, backend.port, certificate, listener={"timeouts": timeouts})


@pytest.mark.parametrize("what", ["nothing", "half a preface", "a preface without SETTINGS", "a preface byte by byte", "half of SETTINGS"])
def test_who_does_not_begin_is_not_waited_for(start, backend, port, certificate, pki, what):
    start(short(port, backend, certificate, idle="500ms", request_head="500ms"))
    with H2(h2_socket(port, pki)) as c:
        if what == "a preface byte by byte":
            for byte in PREFACE:
                c.send(bytes([byte]))
                time.sleep(0.1)     # longer than the limit, in sum
        else:
            c.send({"nothing": b"", "half a preface": PREFACE[:12], "a preface without SETTINGS": PREFACE,
                    "half of SETTINGS": PREFACE + settings({1: 4096})[:-3]}[what])
        assert c.drain(), "still open"


@pytest.mark.parametrize("what", ["HEADERS without an end", "half a HEADERS frame", "CONTINUATION drop by drop"])
def test_a_head_that_does_not_end_is_not_waited_for(start, backend, port, certificate, pki, what):
    proxy = start(short(port, backend, certificate, idle="60s", request_head="500ms"))
    with h2_client(port, pki) as c:
        section = fields(request())
        if what == "half a HEADERS frame":
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, section)[:-2])
        else:
            c.frame(HEADERS, END_STREAM, 1, section)
        if what == "CONTINUATION drop by drop":
            for _ in range(15):
                c.continuation(1, fields([("x-a", "b")]), 0)
                time.sleep(0.1)
        assert c.drain(), "still open"
    assert not backend.exchanges
    assert "the request head took too long" in told_once(proxy, 0)


def test_trailers_of_a_request_that_was_reset_meanwhile_are_no_head_that_is_waited_for(start, backend, port, certificate, pki):
    go_on = threading.Event()

    def held(e):
        assert go_on.wait(LONG)
        e.send(response(b"late"))
    backend.answer = held
    start(short(port, backend, certificate, idle="60s", request_head="500ms"))
    try:
        with h2_client(port, pki) as c:
            late = c.open("/late")
            wrong = c.open("/", end=False, method="POST", more=[("content-length", "1")])
            c.data(wrong, b"two")
            c.expect_stream_error(wrong, PROTOCOL_ERROR)
            c.headers(wrong, [("x-trailer", "1")])  # they were on their way
            c.silent(1.5)
            go_on.set()
            assert bytes(c.response(late).body) == b"late"
    finally:
        go_on.set()


def test_content_that_does_not_come_ends_its_request_alone(start, backend, port, certificate, pki):
    start(short(port, backend, certificate, idle="60s", window="500ms"))
    with h2_client(port, pki) as c:
        slow = c.open("/slow", end=False, method="POST")
        c.data(slow, b"a")
        for _ in range(3):
            assert c.fetch("/other").status == 200
        s = c.stream(slow)
        c.wait(lambda: s.over, "the slow request to end")
        assert s.status == 408 or s.reset is not None
        assert c.fetch("/other").status == 200
    assert {e.target for e in backend.exchanges if e.complete.is_set()} == {"/other"}


def test_responses_that_are_not_read_end_the_connection(start, backend, port, certificate, pki):
    """A client that opens every window and then does not read: the kernel's buffers are full, and nothing moves."""
    backend.answer = answer
    proxy = start(short(port, backend, certificate, idle="60s", window="500ms"))
    with h2_client(port, pki, values={INITIAL_WINDOW_SIZE: LARGEST_WINDOW}, receive_buffer=8192) as c:
        c.window_update(0, LARGEST_WINDOW - 65535)
        for _ in range(20):
            c.open("/size/5000000")
        until(lambda: any("timeout_send" in line for line in proxy.access_lines()), "timeout_send in the access log")
        with h2_client(port, pki) as other:
            assert other.fetch().status == 200
    until(lambda: all(e.connection.ended.is_set() for e in backend.exchanges if e.target != "/"), "the servers to be told")


def test_windows_that_stay_closed_end_the_request(start, backend, port, certificate, pki):
    backend.answer = answer
    start(short(port, backend, certificate, idle="60s", window="500ms"))
    with h2_client(port, pki, values={INITIAL_WINDOW_SIZE: 10}) as c:
        c.window = False
        number = c.open("/size/100000")
        s = c.stream(number)
        c.wait(lambda: s.reset is not None or c.goaway or c.closed, "the request to end")
        if s.reset is not None and not c.goaway:
            assert c.fetch("/").status == 200   # its response is short enough
    until(lambda: backend.exchanges[0].connection.ended.is_set(), "the server to be told")


def test_pings_alone_do_not_keep_a_connection(start, backend, port, certificate, pki):
    start(short(port, backend, certificate, idle="1s"))
    with h2_client(port, pki) as c:
        assert c.fetch().status == 200
        end = time.monotonic() + LONG
        while not c.goaway and not c.closed and time.monotonic() < end:
            c.frame(PING, 0, 0, b"are you?")
            time.sleep(0.05)
            with contextlib.suppress(TimeoutError):
                while c.take(0.001):
                    pass
        c.expect_connection_error(NO_ERROR)


def test_a_request_that_runs_is_not_idle(start, backend, port, certificate, pki):
    go = threading.Event()

    def late(e):
        go.wait(LONG)
        e.send(response())
    backend.answer = late
    start(short(port, backend, certificate, idle="300ms"))
    with h2_client(port, pki) as c:
        number = c.open()
        c.silent(1.0)
        go.set()
        assert c.response(number).status == 200


def test_an_idle_connection_is_told_so(start, backend, port, certificate, pki):
    start(short(port, backend, certificate, idle="300ms"))
    with h2_client(port, pki) as c:
        assert c.fetch().status == 200
        c.expect_connection_error(NO_ERROR)


def test_goaway_of_the_client_lets_its_requests_end_and_ends_the_connection(proxy, pki):
    go = threading.Event()

    def late(e):
        go.wait(LONG)
        e.send(response(b"late"))
    proxy.backend.answer = late
    with h2_client(proxy.port, pki) as c:
        numbers = [c.open(f"/{i}") for i in range(5)]
        proxy.backend.wait_exchanges(5)
        c.frame(GOAWAY, 0, 0, struct.pack(">II", 0, NO_ERROR))
        go.set()
        for n in numbers:
            assert bytes(c.response(n).body) == b"late"
        assert c.drain(), "the connection stays"
        assert c.goaway is None or c.goaway[1] == NO_ERROR


def test_a_client_that_goes_leaves_nothing_behind(proxy, pki):
    """FIN without close_notify, and a reset, with 50 requests under way each: the servers are told."""
    for leave in ("half_close", "abort", "close"):
        proxy.backend.exchanges.clear()
        c = h2_client(proxy.port, pki)
        for _ in range(50):
            c.open("/late")
        proxy.backend.wait_exchanges(50)
        getattr(c, leave)()
        until(lambda: all(e.connection.ended.is_set() for e in proxy.backend.exchanges), f"the servers to be told after {leave}")
        c.close()


def test_a_cancelled_request_is_taken_from_its_server(proxy, pki):
    with h2_client(proxy.port, pki) as c:
        number = c.open("/late")
        (e,) = proxy.backend.wait_exchanges(1)
        c.rst(number)
        assert e.connection.ended.wait(LONG)
        assert c.fetch().status == 200


# ---- who is heavy and means no harm ----

def h2load(port, *arguments, path="/1k", seconds=300):
    done = subprocess.run(["h2load", "--connect-to", f"127.0.0.1:{port}", *map(str, arguments), f"https://a.test:{port}{path}"],
                          capture_output=True, text=True, timeout=seconds, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def before_nginx(start, port, nginx, certificate):
    proxy = start(site(port, nginx.port, certificate, workers=2))
    yield proxy
    assert not re.search("ENHANCE|flood|budget", proxy.stderr), proxy.stderr


def test_h2load_with_many_streams_meets_no_limit(before_nginx, port):
    out = h2load(port, "-n", 20000, "-c", 4, "-m", 100)
    assert "20000 succeeded, 0 failed" in out and "20000 2xx" in out, out


def test_h2load_with_many_small_posts_meets_no_limit(before_nginx, port, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200)
    out = h2load(port, "-n", 4000, "-c", 4, "-m", 50, "-d", body, path="/upload")
    assert "4000 succeeded, 0 failed" in out and "4000 2xx" in out, out


def test_h2load_with_small_windows_meets_no_limit(before_nginx, port):
    out = h2load(port, "-n", 500, "-c", 2, "-m", 20, "-w", 14, "-W", 15, path="/100k")
    assert "500 succeeded, 0 failed" in out and "500 2xx" in out, out


def test_a_scrolling_page_meets_no_limit(before_nginx, nginx, port, pki):
    """2,000 pictures, a third of them cancelled: some at once, some when half of it has come."""
    r = random.Random(7)
    with open(nginx.file("16k"), "rb") as f:
        picture = f.read()
    with h2_client(port, pki) as c:
        under_way, whole, asked, cancelled = [], 0, 0, 0
        while asked < 2000 or under_way:
            while asked < 2000 and len(under_way) < 60:
                number, asked = c.open("/16k"), asked + 1
                c.priority_update(number, f"u={r.randrange(8)}, i")
                if r.random() < .1:
                    c.rst(number)
                    cancelled += 1
                else:
                    under_way.append(number)
            assert c.take() is not None, c.told()
            for number in under_way[:]:
                s = c.stream(number)
                if s.ended:
                    assert bytes(s.body) == picture
                    under_way.remove(number)
                    whole += 1
                elif s.body and cancelled < asked * .3 and r.random() < .2:
                    c.rst(number)
                    cancelled += 1
                    under_way.remove(number)
        c.alive()
    assert whole >= 1300


def test_a_scrolling_page_in_bursts_meets_no_limit(before_nginx, port, pki):
    """100 pictures come into view, 30 leave it at once, again and again."""
    with h2_client(port, pki) as c:
        for _ in range(20):
            numbers = [c.open("/1k") for _ in range(100)]
            for number in numbers[:30]:
                c.rst(number)
            for number in numbers[30:]:
                s = c.stream(number)
                c.wait(lambda s=s: s.over, "an answer")
                assert s.ended and s.status == 200 or s.reset == 7, s   # REFUSED_STREAM: the cancelled ones still counted
        c.alive()


def test_a_long_stream_with_pings_meets_no_limit(start, backend, port, certificate, pki):
    """As gRPC does: small messages both ways for long, a PING and a window update with each."""
    def echo(e):
        e.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        e.read_body(on_data=lambda data: e.send(b"%x\r\n%s\r\n" % (len(data), data)))
        e.send(b"0\r\n\r\n")
    backend.answer = echo
    proxy = start(site(port, backend.port, certificate))
    with h2_client(port, pki) as c:
        number = c.open("/", end=False, method="POST", more=[("te", "trailers"), ("content-type", "application/grpc")])
        s = c.stream(number)
        for i in range(1000):
            c.data(number, b"message!")
            c.wait(lambda i=i: len(s.body) == 8 * (i + 1), "the echo")
            c.frame(PING, 0, 0, b"bdp-ping")
        c.data(number, b"", END_STREAM)
        assert len(c.response(number).body) == 8000
        c.alive()
    assert "ENHANCE" not in proxy.stderr


def test_a_download_with_a_ping_for_each_frame_meets_no_limit(before_nginx, port, pki):
    """gRPC measures the line so: a PING whenever DATA comes and none is under way."""
    with h2_client(port, pki) as c:
        c.window_update(0, 64 * MB)
        number = c.open("/20M")
        s, pinged = c.stream(number), 0
        while not s.over:
            f = c.take()
            assert f is not None, c.told()
            if f.kind == DATA and pinged == len(c.pongs):
                c.frame(PING, 0, 0, b"bdp-ping")
                pinged += 1
        assert len(s.body) == 20 * MB
        c.alive()


def test_ten_thousand_requests_on_one_connection_meet_no_limit(before_nginx, port):
    out = h2load(port, "-n", 10000, "-c", 1, "-m", 1)
    assert "10000 succeeded, 0 failed" in out, out


def test_curl_downloads_and_uploads_over_h2(before_nginx, nginx, port, pki, tmp_path):
    out = tmp_path / "out"
    done = curl(port, pki, "/20M", "--http2", "--output", out, "--write-out", "%{http_version} %{http_code}")
    assert done.stdout == "2 200", done.stderr
    with open(nginx.file("20M"), "rb") as f:
        assert out.read_bytes() == f.read()
    done = curl(port, pki, "/upload", "--http2", "--data-binary", f"@{nginx.file('20M')}")
    assert done.stdout == f"took {20 * MB}\n", done.stderr
