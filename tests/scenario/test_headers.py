"""What a server is told about the client, and what it never gets to see."""
import email.utils
import re
import time

import pytest

from support.backend import response
from support.client import connect, get, tls_client
from support.unlade import site

SPOOFED = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1",
           "Forwarded: for=6.6.6.6;proto=gopher", "X-Real-IP: 6.6.6.6"]
FORWARDING = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-real-ip")


@pytest.fixture
def client(stack, pki):
    with tls_client(stack.port, pki) as c:
        yield c


def arrived(stack, client, fields=(), **options):
    """The request as the server got it."""
    assert client.request(get(fields=fields, **options)).status == 200
    return stack.backend.only()


# ---- forwarding fields ----

def test_the_server_is_told_who_the_client_is(stack, client):
    e = arrived(stack, client, host=f"a.test:{stack.port}")
    assert e.field("x-forwarded-for") == "127.0.0.1"
    assert e.field("x-forwarded-proto") == "https"
    assert e.field("x-forwarded-host") == f"a.test:{stack.port}"
    assert e.field("x-forwarded-port") == str(stack.port)
    elements = dict(part.split("=", 1) for part in e.field("forwarded").split(";"))
    assert elements["for"] == "127.0.0.1" and elements["proto"] == "https"
    assert elements["host"] == f'"a.test:{stack.port}"'


def test_an_ipv6_client_is_told_in_the_form_that_each_field_wants(start, backend, port, certificate, pki):
    start(site(port, backend.port, certificate, host="[::1]"))
    with tls_client(port, pki, host="::1") as c:
        c.request(get())
    e = backend.only()
    assert e.field("x-forwarded-for") == "::1"
    assert 'for="[::1]"' in e.field("forwarded")


def test_what_a_client_says_about_itself_is_replaced(stack, client):
    e = arrived(stack, client, SPOOFED)
    assert e.field("x-forwarded-for") == "127.0.0.1" and e.field("x-forwarded-proto") == "https"
    for name in FORWARDING:
        assert all("6.6.6.6" not in v and "evil" not in v and "gopher" not in v for v in e.all(name))


@pytest.mark.parametrize("variant", [str.upper, lambda s: s.replace("-", "_"), lambda s: s.replace("-", "_").upper(),
                                     lambda s: s.replace("-", "_", 1)], ids=["upper", "underscores", "both", "mixed"])
def test_spellings_that_a_server_may_take_for_the_same_are_removed(stack, client, variant):
    fields = [f"{variant(line.partition(':')[0])}:{line.partition(':')[2]}" for line in SPOOFED]
    fields += [f"{variant('X-Request-Id')}: mine"]
    e = arrived(stack, client, fields)
    for name, value in e.fields:
        assert "6.6.6.6" not in value and "evil" not in value and "gopher" not in value and value != "mine", (name, value)


def test_repeated_fields_are_all_replaced(stack, client):
    e = arrived(stack, client, ["X-Forwarded-For: 6.6.6.6", "X-Other: 1", "x-forwarded-for: 6.6.6.6"])
    assert e.all("x-forwarded-for") == ["127.0.0.1"]


def test_plain_http_is_told_as_such(start, backend, port, certificate):
    start(site(port, backend.port))
    with connect(port) as s:
        s.sendall(get(version="HTTP/1.0"))
        assert s.recv(100)
    e = backend.only()
    assert e.field("x-forwarded-proto") == "http"
    assert "proto=http" in e.field("forwarded").replace(" ", "").split(";")


@pytest.fixture
def trusted(start, backend, port, certificate):
    start(site(port, backend.port, certificate, listener={"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}))
    return port


def test_what_a_trusted_proxy_says_is_appended_to(trusted, backend, pki):
    with tls_client(trusted, pki) as c:
        c.request(get(fields=["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: outer.test",
                              "X-Forwarded-Port: 80", 'Forwarded: for=192.0.2.7;proto=http']))
    e = backend.only()
    assert [x.strip() for v in e.all("x-forwarded-for") for x in v.split(",")] == ["192.0.2.7", "127.0.0.1"]
    assert e.field("x-forwarded-proto") == "http"
    assert e.field("x-forwarded-host") == "outer.test"
    assert e.field("x-forwarded-port") == "80"
    elements = [x.strip() for v in e.all("forwarded") for x in v.split(",")]
    assert elements[0] == "for=192.0.2.7;proto=http" and elements[1].startswith("for=127.0.0.1")


def test_odd_spellings_are_removed_also_from_a_trusted_proxy(trusted, backend, pki):
    with tls_client(trusted, pki) as c:
        c.request(get(fields=["X_Forwarded_For: 6.6.6.6", "X.Forwarded.For: 6.6.6.6", "X-Forwarded_Host: 6.6.6.6", "X!Real!IP: 6.6.6.6"]))
    assert all("6.6.6.6" not in value for _, value in backend.only().fields)


def test_a_client_outside_the_trusted_networks_is_not_believed(start, backend, port, certificate, pki):
    start(site(port, backend.port, certificate, listener={"trusted_proxies": ["10.0.0.0/8", "127.0.0.2"]}))
    with tls_client(port, pki) as c:
        c.request(get(fields=SPOOFED))
    assert backend.only().field("x-forwarded-for") == "127.0.0.1"


# ---- request id ----

def test_every_request_gets_an_id_of_its_own(stack, client):
    for _ in range(5):
        client.request(get(fields=["X-Request-Id: mine"]))
    ids = [e.field("x-request-id") for e in stack.backend.exchanges]
    assert len(set(ids)) == 5 and all(re.fullmatch(r"[0-9A-Za-z_-]{16,64}", i) for i in ids)


@pytest.mark.parametrize("mode, sent, expected", [
    ("pass", ["X-Request-Id: mine-1"], "mine-1"), ("pass", [], "made"), ("off", [], None),
    ("off", ["X-Request-Id: mine-1"], "mine-1"), ("make", ["X-Request-Id: mine-1"], "made")])
def test_request_ids_are_made_or_passed_on_as_configured(start, backend, port, certificate, pki, mode, sent, expected):
    start(site(port, backend.port, certificate, listener={"request_id": mode}))
    with tls_client(port, pki) as c:
        c.request(get(fields=sent))
    got = backend.only().field("x-request-id")
    assert got == expected if expected != "made" else got not in (None, "mine-1")


def test_an_id_of_a_trusted_proxy_is_kept(trusted, backend, pki):
    with tls_client(trusted, pki) as c:
        c.request(get(fields=["X-Request-Id: outer-1"]))
    assert backend.only().field("x-request-id") == "outer-1"


# ---- Host and what belongs to one connection alone ----

@pytest.mark.parametrize("host", ["a.test", "A.Test", "a.test:443", "a.test."])
def test_host_is_kept_as_it_came(stack, client, host):
    assert arrived(stack, client, host=host).field("host") == host


def test_ordinary_fields_arrive_in_order_and_unchanged(stack, client):
    mine = [("X-B", "2"), ("Accept", "text/html;q=0.5, */*"), ("x-a", "1"), ("X-B", "3"), ("Cookie", "a=b; c=d"),
            ("Authorization", "Basic eDp5"), ("X-Empty", ""), ("X-Utf8", "\xc3\xa4"), ("X_Odd", "1")]
    e = arrived(stack, client, [f"{n}: {v}" for n, v in mine])
    names = {n for n, _ in mine}
    assert [(n, v) for n, v in e.fields if n in names] == mine


def test_fields_of_one_hop_are_not_passed_on_to_the_server(stack, client):
    e = arrived(stack, client, ["Connection: X-Mine, keep-alive", "X-Mine: 1", "Keep-Alive: timeout=5", "Proxy-Connection: close",
                                "TE: gzip", "Upgrade: websocket"])
    for name in ("x-mine", "keep-alive", "proxy-connection", "te", "upgrade"):
        assert e.all(name) == [], name
    assert not e.all("connection") or e.field("connection").lower() == "keep-alive"


def test_fields_of_one_hop_are_not_passed_on_to_the_client(stack, client):
    stack.backend.answer = lambda e: e.send(response(fields=["Connection: X-Mine, keep-alive", "X-Mine: 1", "Keep-Alive: timeout=5",
                                                             "Proxy-Connection: close", "Upgrade: h2c", "X-Kept: 1"]))
    r = client.request(get())
    for name in ("x-mine", "keep-alive", "proxy-connection", "upgrade", "connection"):
        assert r.all(name) == [], name
    assert r.field("x-kept") == "1"


@pytest.mark.parametrize("upgrade", ["h2c", "H2C", "h2c, websocket", "TLS/1.0", "HTTP/2.0"])
def test_an_upgrade_to_what_could_not_be_seen_is_stripped(stack, client, upgrade):
    e = arrived(stack, client, ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: AAMAAABkAAQAAP__"])
    assert e.all("http2-settings") == []
    assert all("h2c" not in v.lower() and "tls" not in v.lower() and "http" not in v.lower() for v in e.all("upgrade"))
    assert "http2-settings" not in (e.field("connection") or "").lower()


def test_answer_fields_arrive_in_order_and_unchanged(stack, client):
    mine = [("Server", "x/1.0"), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-Empty", ""), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]
    stack.backend.answer = lambda e: e.send(response(fields=[f"{n}: {v}" for n, v in mine]))
    r = client.request(get())
    assert [f for f in r.fields if f[0] != "Content-Length"] == mine


def test_an_answer_without_a_date_gets_that_of_its_arrival(stack, client):
    """RFC 9110 6.6.1. A date that is there is the server's matter."""
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    before = int(time.time())
    date = email.utils.parsedate_to_datetime(client.request(get()).field("date"))
    assert before <= date.timestamp() <= time.time()
    stack.backend.answer = lambda e: e.send(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Length: 0\r\n\r\n")
    assert client.request(get()).all("date") == ["yesterday"]


def test_an_upgrade_that_no_route_lists_is_not_passed_on_and_a_plain_answer_comes_back(stack, client):
    r = client.request(get(fields=["Upgrade: mqtt", "Connection: Upgrade"]))
    assert r.status == 200
    e = stack.backend.only()
    assert e.all("upgrade") == [] and "upgrade" not in (e.field("connection") or "").lower()
