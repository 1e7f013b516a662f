"""gRPC from end to end: grpc-js speaks through the proxy with grpc-js, over TLS in front and in clear text behind."""
import json
import time

import pytest

from support.client import get, plain_client, tls_client
from support.h2_server import H2Server
from support.node import Node
from support.ports import free_port
from support.unlade import site
from support.waiting import until

OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE = 0, 1, 4, 5, 8, 12, 14


class Caller(Node):
    """grpc_client.js: orders, and what came of each."""

    def __init__(self, *arguments):
        super().__init__("grpc_client.js", *arguments)
        self.number, self.kept = 0, []

    def order(self, call, **more):
        self.number += 1
        self.write({"id": self.number, "call": call, **more})
        return self.number

    def until(self, number, key="code"):
        """The line of that call that has the key; others are kept for who asks for them."""
        for i, line in enumerate(self.kept):
            if line["id"] == number and key in line:
                return self.kept.pop(i)
        while True:
            line = self.read()
            assert line is not None, "".join(self.errors)
            if line["id"] == number and key in line:
                return line
            self.kept.append(line)

    def call(self, call, **more):
        return self.until(self.order(call, **more))


class Server(Node):
    """grpc_server.js: what happened to its calls."""

    def __init__(self, port=0, **options):
        super().__init__("grpc_server.js", port, json.dumps(options))
        self.port = self.expect("port")


@pytest.fixture
def server():
    with Server() as s:
        yield s


def config(port, to, certificate, upstream=None, **more):
    return site(port, to, certificate, upstream={"protocol": "h2", **(upstream or {})}, **more)


@pytest.fixture
def served(start, server, port, certificate):
    return start(config(port, server.port, certificate))


@pytest.fixture
def caller(served, port, pki):
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        yield c


def test_a_unary_call(caller, server):
    r = caller.call("Unary", text="hello", metadata={"own": "1", "some-bin": {"binary": "00ff10"}})
    assert r["code"] == OK and r["same"] and r["size"] == 5
    assert r["metadata"]["lead"] == "before" and r["metadata"]["lead-bin"] == {"binary": "03020100"}
    assert r["trailers"]["trail"] == "behind" and r["trailers"]["trail-bin"] == {"binary": "00ff01fe"}
    seen = server.read()
    assert seen["call"] == "Unary" and seen["metadata"]["own"] == "1" and seen["metadata"]["some-bin"] == {"binary": "00ff10"}
    assert seen["path"] == "/test.Echo/Unary" and seen["host"].startswith("localhost:")


def test_a_thousand_calls(caller):
    r = caller.until(caller.order("Unary", size=100, times=1000), "calls")
    assert r["calls"] == 1000 and r["wrong"] == 0


def test_streams_of_the_client_of_the_server_and_of_both(caller):
    r = caller.call("Collect", text="abc", messages=500)
    assert r["code"] == OK and r["size"] == 1500 and r["trailers"]["trail"] == "behind"
    r = caller.call("Repeat", size=1000, metadata={"wish": "count:500"})
    assert r["code"] == OK and r["messages"] == 500 and r["same"] and r["trailers"]["trail"] == "behind"
    r = caller.call("Chat", size=1000, messages=500)
    assert r["code"] == OK and r["messages"] == 500 and r["same"]


def test_both_sides_of_a_stream_speak_when_they_like(caller):
    """Each message is there before the next is said: nothing is held back for more."""
    talk = caller.order("Chat", text="ping", open=True, talk=True)
    for i in range(20):
        caller.write({"do": "send", "id": talk})
        assert caller.until(talk, "message")["message"] == i + 1
    caller.write({"do": "end", "id": talk})
    assert caller.until(talk)["code"] == OK


@pytest.mark.parametrize("size", [4 * 1024 * 1024, 20_000_000])
def test_large_messages(caller, size):
    r = caller.call("Unary", size=size)
    assert r["code"] == OK and r["same"] and r["size"] == size
    r = caller.call("Chat", size=size // 4, messages=4)
    assert r["code"] == OK and r["messages"] == 4 and r["same"]


def test_errors_keep_status_message_and_metadata(caller):
    r = caller.call("Unary", metadata={"wish": "fail:5:no%20such%20thing%3A%20100%25%20%C3%A4"})
    assert (r["code"], r["details"]) == (NOT_FOUND, "no such thing: 100% \u00e4")
    assert r["trailers"]["trail-bin"] == {"binary": "00ff01fe"}
    r = caller.call("Repeat", metadata={"wish": "count:3:fail:9:later"})
    assert (r["code"], r["details"], r["messages"]) == (9, "later", 3)


def test_an_unknown_method_is_the_servers_to_refuse(caller, server):
    caller.call("Unary")
    with_h1 = caller.call("Repeat", metadata={"wish": "count:0"})
    assert with_h1["code"] == OK and with_h1["messages"] == 0


def test_deadlines_reach_the_server_and_end_the_call(caller, server):
    r = caller.call("Unary", metadata={"wish": "never"}, deadline=700)
    assert r["code"] == DEADLINE_EXCEEDED
    assert 0 < server.expect("deadline") <= 700
    assert server.expect("cancelled") == "Unary"


def test_cancelling_reaches_the_server(caller, server):
    number = caller.order("Unary", metadata={"wish": "never"})
    assert server.expect("call") == "Unary"
    caller.write({"do": "cancel", "id": number})
    assert server.expect("cancelled") == "Unary" and caller.until(number)["code"] == CANCELLED
    r = caller.call("Repeat", size=100, metadata={"wish": "count:3:open"}, cancel_after=3)
    assert r["code"] == CANCELLED and server.expect("cancelled") == "Repeat"
    talk = caller.order("Chat", open=True, messages=1, talk=True)
    caller.until(talk, "message")
    caller.write({"do": "cancel", "id": talk})
    assert server.expect("cancelled") == "Chat"
    assert caller.call("Unary", text="still")["code"] == OK


def test_a_caller_that_dies_is_a_cancelled_call(served, port, pki, server):
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        c.order("Unary", metadata={"wish": "never"})
        c.order("Repeat", metadata={"wish": "count:1:open"})
        server.expect("call"), server.expect("call")
    assert {server.expect("cancelled"), server.expect("cancelled")} == {"Unary", "Repeat"}


def test_a_call_stays_open_as_long_as_it_likes(start, server, port, certificate, pki):
    """None of the limits for silence is for calls: neither the server's nor the client's."""
    start(config(port, server.port, certificate, {"timeouts": {"response_head": "300ms", "response_gap": "300ms"}},
                 listener={"timeouts": {"body_rate": "100k/s", "window": "300ms", "idle": "300ms"}}))
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        silent = c.order("Collect", open=True, messages=1)
        talk = c.order("Chat", open=True, talk=True, text="x")
        watch = c.order("Repeat", metadata={"wish": "count:1:open"}, talk=True, text="y")
        c.until(watch, "message")
        time.sleep(1.5)  # what must not happen would have, several times over
        c.write({"do": "send", "id": talk})
        assert c.until(talk, "message")["message"] == 1
        c.write({"do": "end", "id": silent})
        assert c.until(silent)["code"] == OK
        c.write({"do": "end", "id": talk})
        assert c.until(talk)["code"] == OK


def test_who_claims_a_call_over_http_1_is_held_to_the_least_rate(start, server, port, certificate, pki):
    """gRPC comes over HTTP/2: the word alone, in a field, gives nobody the right to send nothing for ever."""
    start(config(port, server.port, certificate, listener={"timeouts": {"body_rate": "100k/s", "window": "300ms"}}))
    with tls_client(port, pki) as c:
        c.send(get("/test.Echo/Collect", method="POST",
                   fields=["Content-Type: application/grpc", "TE: trailers", "Content-Length: 1000"]) + b"\0\0")
        assert b"grpc-status" in c.read_to_close().lower()


def test_an_answer_before_the_callers_end_is_the_answer(caller):
    r = caller.call("Collect", text="first", messages=3, open=True, metadata={"wish": "early"})
    assert r["code"] == OK and r["size"] == 5


def test_a_caller_that_does_not_read_stalls_its_call_alone(caller):
    stalled = caller.order("Repeat", size=1_000_000, metadata={"wish": "count:50"}, pause=True)
    r = caller.until(caller.order("Unary", size=1000, times=200), "calls")
    assert r["wrong"] == 0
    caller.write({"do": "resume", "id": stalled})
    r = caller.until(stalled)
    assert r["code"] == OK and r["messages"] == 50 and r["same"]


# ---- errors of the proxy ----

def test_no_server_is_unavailable(start, port, certificate, pki):
    start(config(port, free_port(), certificate))
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        for call in ("Unary", "Collect", "Repeat", "Chat"):
            r = c.call(call, text="x")
            assert r["code"] == UNAVAILABLE and r["details"] == "the server could not be reached", r


def test_the_access_log_has_the_status_that_the_caller_got(served, server, caller, port, pki):
    """In trailers, in a head without content, of the proxy's own; and none where a stream was reset or was no call."""
    assert caller.call("Unary", text="x")["code"] == OK
    assert caller.call("Unary", text="x", metadata={"wish": f"fail:{NOT_FOUND}:gone"})["code"] == NOT_FOUND
    caller.call("Repeat", size=100, metadata={"wish": "count:3:open"}, cancel_after=3)
    with tls_client(port, pki) as c:
        c.request(get("/"))
    began = caller.order("Repeat", text="x", metadata={"wish": "count:2:open"}, talk=True)
    caller.until(began, "message")
    server.process.kill()
    assert caller.until(began)["code"] == UNAVAILABLE
    assert caller.call("Unary", text="x")["code"] == UNAVAILABLE
    lines = served.access_records(6)
    assert [line.get("grpc_status") for line in lines] == [OK, NOT_FOUND, None, None, UNAVAILABLE, UNAVAILABLE]
    assert [line["status"] for line in lines if "grpc_status" in line] == [200] * 4


def test_no_time_is_deadline_exceeded(start, port, certificate, pki):
    silent = H2Server(settings={3: 1})  # one stream, and that is taken
    silent.on_end = lambda c, stream: None
    start(config(port, silent.port, certificate, {"pool": {"h2_connections": 1}, "timeouts": {"connect": "500ms"}}))
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        c.order("Unary", text="x")
        silent.wait_requests(1)
        r = c.call("Unary", text="x")
        assert (r["code"], r["details"]) == (DEADLINE_EXCEEDED, "connecting to the server took too long")
    silent.stop()


def test_no_route_is_unimplemented(start, server, port, certificate, pki):
    conf = config(port, server.port, certificate)
    conf["listeners"]["web"] = {**conf["listeners"]["web"], "routes": [{"path": "/other/", "to": "app"}]}
    del conf["listeners"]["web"]["to"]
    start(conf)
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        assert c.call("Unary", text="x")["code"] == UNIMPLEMENTED


def test_a_proxy_error_is_trailers_only(start, port):
    """Seen with HTTP/1.1, where a head is a head."""
    start(site(port, free_port(), upstream={"protocol": "h2"}))
    with plain_client(port) as c:
        r = c.request(get(path="/test.Echo/Unary", method="POST", body=b"\0\0\0\0\0", fields=["Content-Type: application/grpc+proto", "TE: trailers", "Connection: TE"]))
        assert r.status == 200 and r.body == b"" and r.field("content-type") == "application/grpc"
        assert r.field("grpc-status") == "14" and r.field("grpc-message") == "the server could not be reached"
        r = c.request(get(method="POST", body=b"", fields=["Content-Type: application/json"]))
        assert r.status == 502


def test_a_servers_death_is_unavailable_to_all_its_calls_and_the_next_finds_another(served, server, caller, port):
    open_calls = [caller.order("Unary", metadata={"wish": "never"}) for _ in range(5)]
    for _ in open_calls:
        assert server.expect("call") == "Unary"
    began = caller.order("Repeat", text="x", metadata={"wish": "count:2:open"}, talk=True)
    caller.until(began, "message")
    server.process.kill()
    for number in open_calls:
        r = caller.until(number)
        assert (r["code"], r["details"]) == (UNAVAILABLE, "the server closed the connection too early")
    r = caller.until(began)
    assert (r["code"], r["details"], r["messages"]) == (UNAVAILABLE, "the server closed the connection too early", 2)
    with Server(server.port):
        assert caller.call("Unary", text="again")["code"] == OK


@pytest.mark.parametrize("code,status", [(8, CANCELLED), (11, RESOURCE_EXHAUSTED), (2, UNAVAILABLE), (0, UNAVAILABLE)])
@pytest.mark.parametrize("begun", [False, True])
def test_a_reset_by_the_server_says_what_its_code_says(start, port, certificate, pki, code, status, begun):
    server = H2Server()

    def answer(c, stream):
        if begun:
            c.head(stream, 200, [("content-type", "application/grpc")])
            c.data(stream, b"\0\0\0\0\1x")
        c.frame(3, 0, stream.id, code.to_bytes(4, "big"))
    server.on_end = answer
    start(config(port, server.port, certificate))
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        r = c.call("Repeat", text="x")
        assert (r["code"], r["messages"], r["details"]) == (status, int(begun), "the server reset the stream")
    assert not server.failures
    server.stop()


# ---- life ----

def test_a_draining_server_finishes_its_calls_and_new_ones_go_elsewhere(start, server, port, certificate, pki):
    with Server() as other:
        start(config(port, [server.port, other.port], certificate))
        with Caller(f"localhost:{port}", pki.ca_file) as c:
            talks = [c.order("Chat", open=True, talk=True, messages=1) for _ in range(4)]
            for talk in talks:
                c.until(talk, "message")
            server.write({"do": "drain"})
            for _ in range(20):
                r = c.call("Unary", text="x")
                assert r["code"] == OK, r
            for talk in talks:
                c.write({"do": "send", "id": talk})
                assert c.until(talk, "message")["message"] == 2
                c.write({"do": "end", "id": talk})
                assert c.until(talk)["code"] == OK
            assert server.expect("drained")


def test_reload_does_not_disturb_calls_and_a_stop_lets_them_end(start, server, port, certificate, pki):
    proxy = start(config(port, server.port, certificate))
    with Caller(f"localhost:{port}", pki.ca_file) as c:
        talk = c.order("Chat", open=True, talk=True, messages=1)
        c.until(talk, "message")
        proxy.reload(config(port, server.port, certificate, {"timeouts": {"connect": "4s"}}))
        assert c.call("Unary", text="x")["code"] == OK
        proxy.signal(15)
        until(lambda: any("STOPPING=1" in n for n in proxy.notifications()), "it to stop")
        c.write({"do": "send", "id": talk})
        assert c.until(talk, "message")["message"] == 2
        c.write({"do": "end", "id": talk})
        assert c.until(talk)["code"] == OK
    proxy.wait()


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_over_tls_on_both_sides(start, port, certificate, pki, protocol):
    with Server(key=str(certificate.key_file), cert=str(certificate.chain_file)) as server:
        start(config(port, server.port, certificate, {"protocol": protocol, "tls": {"ca": str(pki.ca_file), "name": "a.test"}}))
        with Caller(f"localhost:{port}", pki.ca_file) as c:
            r = c.until(c.order("Unary", size=10000, times=200), "calls")
            assert r["wrong"] == 0
            assert c.call("Chat", size=100000, messages=50)["messages"] == 50


def test_the_server_is_told_who_calls(caller, server):
    caller.call("Unary", text="x")
    metadata = server.expect("metadata")
    assert metadata["x-forwarded-for"] == "127.0.0.1" and metadata["x-forwarded-proto"] == "https"
