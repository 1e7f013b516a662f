"""What routes change: header fields both ways, paths, Host; and what they answer by themselves."""
import pytest

from support.backend import Backend, response
from support.client import curl, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import Unlade, site
from support.waiting import until

FIELDS = {"request": {"remove": ["X-Gone", "Forwarded"], "set": {"X-Set": "ours", "X-Forwarded-Proto": "gopher"}, "add": {"X-Added": "ours"}},
          "response": {"remove": ["Server"], "set": {"X-Frame-Options": "DENY"}, "add": {"Vary": "Origin"}}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, certificate):
    """In the place of the usual one: with routes of all kinds."""
    backend = Backend()
    port = free_port()
    routes = [
        {"path": "/fields", "to": "app", "headers": FIELDS},
        {"path": "/strip", "to": "app", "strip_prefix": "/strip"},
        {"path": "/a/b", "to": "app", "strip_prefix": "/a"},
        {"path": "/slash/", "to": "app", "strip_prefix": "/slash"},
        {"path": "/old", "to": "app", "replace_prefix": {"/old": "/new/place"}},
        {"path": "/host", "to": "app", "host": "api.internal:8080"},
        {"path": "/gone", "redirect": "https://www.example.org/"},
        {"path": "/moved", "redirect": {"to": "https://b.test/there/", "status": 308, "keep_path": True}},
        {"path": "/near", "redirect": {"to": "/", "status": 301, "keep_path": True}},
        {"path": "/seven", "redirect": {"to": "/elsewhere?x=1#y", "status": 307}},
        {"path": "/fixed", "respond": {"status": 200, "body": "<b>ok</b>\n", "type": "text/html"}, "headers": {"response": FIELDS["response"]}},
        {"path": "/teapot", "respond": 418},
        {"path": "/empty", "respond": {"status": 204}},
        {"path": "/big", "respond": {"body": "x" * 16384}},
    ]
    config = site(port, backend.port, certificate, listener={"routes": routes, "headers": {"response": {"set": {"X-Everywhere": "1"}}}, "hosts": {
        "b.test": {"to": "app", "headers": {"response": {"set": {"X-Everywhere": "2"}}}}}})
    with Unlade(tmp_path_factory.mktemp("shared"), config) as proxy:
        proxy.port, proxy.backend = port, backend
        yield proxy
    backend.stop()


@pytest.fixture
def client(stack, pki):
    with tls_client(stack.port, pki) as c:
        yield c


# ---- header fields ----

def test_request_fields_are_removed_set_and_added(stack, client):
    r = client.request(get("/fields", fields=["X-Gone: 1", "x_gone: 2", "X-Set: theirs", "x-set: theirs too", "X-Added: theirs", "X-Other: 1"]))
    assert r.status == 200
    e = stack.backend.only()
    assert e.all("x-gone") == e.all("x_gone") == e.all("forwarded") == []
    assert e.all("x-set") == ["ours"] and e.all("x-added") == ["theirs", "ours"] and e.field("x-other") == "1"


def test_what_the_proxy_says_of_the_client_can_be_overridden_knowingly(stack, client):
    client.request(get("/fields"))
    e = stack.backend.only()
    assert e.field("x-forwarded-proto") == "gopher" and e.field("x-forwarded-for") == "127.0.0.1"


def test_response_fields_are_removed_set_and_added(stack, client):
    stack.backend.answer = lambda e: e.send(response(fields=["Server: secret/1.0", "X-Frame-Options: ALLOW", "x-frame-options: x", "Vary: Accept"]))
    r = client.request(get("/fields"))
    assert r.all("server") == [] and r.all("x-frame-options") == ["DENY"] and r.all("vary") == ["Accept", "Origin"]


def test_response_fields_of_interim_answers_and_trailers_are_left_alone(stack, client):
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 103 Early Hints\r\nServer: kept\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                            b"2\r\nok\r\n0\r\nServer: kept\r\n\r\n")
    r = client.request(get("/fields"))
    assert client.interim[0].field("server") == "kept" and r.trailers == [("Server", "kept")] and r.body == b"ok"


def test_rules_of_the_listener_hold_in_every_route_and_host(stack, client):
    assert client.request(get("/")).field("x-everywhere") == "1"
    assert client.request(get("/strip")).field("x-everywhere") == "1"
    assert client.request(get("/", host="b.test")).field("x-everywhere") == "2"
    r = client.request(get("/gone"))
    assert r.status == 302 and r.field("x-everywhere") == "1"


def test_error_pages_of_the_proxy_stay_as_they_are(stack, client):
    """A Cache-Control or Content-Type that is meant for the server's answers would lie there."""
    stack.backend.answer = lambda e: e.close()
    r = client.request(get("/fields", method="POST", body=b"x"))
    assert r.status == 502 and r.all("x-frame-options") == [] and r.all("x-everywhere") == []


def test_rules_hold_also_when_the_request_is_sent_a_second_time(stack, client):
    client.request(get("/fields"))
    kept = stack.backend.only().connection
    stack.backend.answer = lambda e: e.close() if e.connection is kept else e.send(response())
    assert client.request(get("/fields", fields=["X-Gone: 1"])).status == 200
    for e in stack.backend.exchanges[1:]:
        assert e.all("x-gone") == [] and e.all("x-added") == ["ours"] and e.all("x-set") == ["ours"]


# ---- paths and Host ----

@pytest.mark.parametrize("path, arrives", [
    ("/strip", "/"), ("/strip/", "/"), ("/strip?q=/strip", "/?q=/strip"), ("/strip/x/strip?a", "/x/strip?a"), ("/strip//evil.test/x", "/evil.test/x"),
    ("/stripped", "/stripped"), ("/STRIP/x", "/STRIP/x"), ("/%73trip/x", "/%73trip/x"),
    ("/a/b", "/b"), ("/a/b/c", "/b/c"), ("/a/bc", "/a/bc"), ("/a", "/a"), ("/slash/x", "/x"), ("/slash", "/slash"),
    ("/old", "/new/place"), ("/old?q", "/new/place?q"), ("/old/x/", "/new/place/x/"), ("/old//x", "/new/place//x"), ("/older", "/older")])
def test_a_prefix_is_stripped_or_replaced_on_whole_segments(stack, client, path, arrives):
    assert client.request(get(path)).status == 200
    assert stack.backend.only().target == arrives


@pytest.mark.parametrize("path", ["/old/../admin", "/old/%2e%2E/admin", "/old/x/..", "/old/..%2fadmin", "/old/..;/admin", "/old/./x", "/strip/../x", "/moved/../x"])
def test_a_path_that_leads_out_of_its_new_place_is_refused(stack, client, path):
    r = client.request(get(path))
    assert r.status == 400 and b"dot segments" in r.body
    assert not stack.backend.exchanges
    assert client.request(get("/old/x")).status == 200


def test_a_route_without_rewriting_leaves_paths_as_they_come(stack, client):
    assert client.request(get("/x/../%2e%2e/y")).status == 200
    assert stack.backend.only().target == "/x/../%2e%2e/y"


def test_host_is_set_and_the_clients_is_told_beside_it(stack, client):
    client.request(get("/host", host="A.test:443"))
    e = stack.backend.only()
    assert e.field("host") == "api.internal:8080" and e.field("x-forwarded-host") == "A.test:443" and "A.test:443" in e.field("forwarded")


def test_the_log_has_the_request_as_the_client_wrote_it(stack, client):
    client.request(get("/old/logged?q=1"))
    client.request(get("/host/logged"))
    lines = until(lambda: len(found := [r for r in stack.access_records() if "logged" in r.get("path", "")]) == 2 and found, "both lines")
    assert [(r["path"], r["host"]) for r in lines] == [("/old/logged?q=1", "a.test"), ("/host/logged", "a.test")]


# ---- answers of a route's own ----

@pytest.mark.parametrize("path, status, location", [
    ("/gone", 302, "https://www.example.org/"), ("/gone/x?q", 302, "https://www.example.org/"),
    ("/moved", 308, "https://b.test/there"), ("/moved/x/y?q=1", 308, "https://b.test/there/x/y?q=1"), ("/moved?q", 308, "https://b.test/there?q"),
    ("/near", 301, "/"), ("/near/x", 301, "/x"), ("/near//evil.test/", 301, "/evil.test/"), ("/near?q", 301, "/?q"),
    ("/seven/x", 307, "/elsewhere?x=1#y")])
def test_redirects(stack, client, path, status, location):
    r = client.request(get(path))
    assert (r.status, r.field("location"), r.body) == (status, location, b"")
    assert not stack.backend.exchanges
    assert client.request(get("/")).status == 200, "the connection goes on"


@pytest.mark.parametrize("method, body", [("GET", b"<b>ok</b>\n"), ("HEAD", b""), ("POST", b"<b>ok</b>\n")])
def test_a_fixed_response(stack, client, method, body):
    r = client.request(get("/fixed/x", method=method, body=b"content" if method == "POST" else None))
    assert (r.status, r.body, r.field("content-type"), r.field("content-length")) == (200, body, "text/html", "10")
    assert r.field("x-frame-options") == "DENY" and r.field("date")
    assert not stack.backend.exchanges
    assert client.request(get("/")).status == 200


def test_fixed_responses_without_content_and_large_ones(client):
    r = client.request(get("/teapot"))
    assert (r.status, r.body, r.all("content-type"), r.field("content-length")) == (418, b"", [], "0")
    r = client.request(get("/empty"))
    assert (r.status, r.body, r.all("content-length"), r.all("transfer-encoding")) == (204, b"", [], [])
    assert client.request(get("/big")).body == b"x" * 16384


def test_an_upgrade_is_no_matter_for_a_route_that_answers_itself(client):
    fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    r = client.request(get("/fixed", fields=fields))
    assert r.status == 200 and r.all("upgrade") == []
    assert client.request(get("/")).status == 200


def test_a_whole_site_can_be_one_answer(start, port):
    start({"workers": 1, "listeners": {"web": {"address": f"127.0.0.1:{port}", "tls": "off", "routes": [{"respond": {"status": 503, "body": "back soon"}}]}}, "upstreams": {}})
    with plain_client(port) as c:
        for path in ("/", "/x?y", "*"):
            r = c.request(get(path, method="OPTIONS" if path == "*" else "GET"))
            assert (r.status, r.body) == (503, b"back soon")


# ---- over HTTP/2 ----

def over_h2(stack, pki, path, *arguments):
    """The head and the content, as curl gets them."""
    done = curl(stack.port, pki, path, "--http2", "--include", "--path-as-is", *arguments)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition("\n\n")
    first, *lines = head.split("\n")
    assert first.startswith("HTTP/2 "), first
    return int(first.split()[1]), [tuple(line.split(": ", 1)) for line in lines], body


def test_routes_do_the_same_over_http_2(stack, pki):
    stack.backend.answer = lambda e: e.send(response(fields=["Server: secret/1.0", "Vary: Accept"]))
    status, fields, body = over_h2(stack, pki, "/fields", "--header", "X-Gone: 1", "--header", "X-Set: theirs")
    assert (status, body) == (200, "ok") and ("x-frame-options", "DENY") in fields and [v for n, v in fields if n == "vary"] == ["Accept", "Origin"]
    assert not [n for n, _ in fields if n == "server"]
    e = stack.backend.only()
    assert e.all("x-gone") == [] and e.all("x-set") == ["ours"]
    assert over_h2(stack, pki, "/old/x?q")[0] == 200 and stack.backend.exchanges[-1].target == "/new/place/x?q"
    assert over_h2(stack, pki, "/host")[0] == 200 and stack.backend.exchanges[-1].field("host") == "api.internal:8080"
    status, fields, _ = over_h2(stack, pki, "/moved/x?q=1")
    assert status == 308 and ("location", "https://b.test/there/x?q=1") in fields
    status, fields, body = over_h2(stack, pki, "/fixed")
    assert (status, body) == (200, "<b>ok</b>\n") and ("content-type", "text/html") in fields and ("x-frame-options", "DENY") in fields
    status, fields, _ = over_h2(stack, pki, "/empty")
    assert status == 204 and not [n for n, _ in fields if n == "content-length"]
    assert over_h2(stack, pki, "/old/../x")[0] == 400
