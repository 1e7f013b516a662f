"""What a client gets, and what the event log says, when TLS to a server fails: each way of failing with a real server."""
import array
import fcntl
import os
import random
import re
import signal
import socket
import struct
import tempfile
import termios

import pytest

from support.client import Closed, get, plain_client
from support.tls_backend import Fixed, SServer, TlsBackend
from support.unlade import site
from support.waiting import until
from test_tls_upstream import ask, nginx_tls, server_certificate, tls_site  # noqa: F401  pylint: disable=unused-import


@pytest.fixture
def servers():
    """servers(x) keeps a server until the test ends."""
    kept = []

    def keep(server):
        kept.append(server)
        return server

    yield keep
    for server in kept:
        server.stop()


def failed(proxy, port, error, reason, status=502):
    """One request: the client gets the status, the access log the token, the event log one line with the reason."""
    assert ask(port) == [status]
    assert proxy.access_records(1)[-1]["error"] == error
    line = proxy.wait_stderr(r".*warning.*TLS with the server .* of upstream \"app\" failed: .*").group(0)
    assert re.search(reason, line), line
    return line


def bad_leaf(pki, fault):
    middle = pki.authority("Scenario hidden middle", issuer=pki.roots["ec"])
    return {
        "expired": lambda: pki.expired("127.0.0.1"),
        "not yet valid": lambda: pki.not_yet_valid("127.0.0.1"),
        "wrong name": lambda: pki.leaf("a.internal", "b.internal", "10.0.0.9", common_name="127.0.0.1"),
        "wrong host": lambda: pki.leaf("a.internal", "b.internal", "10.0.0.9", common_name="localhost"),
        "wildcard too deep": lambda: pki.leaf("*.test.internal", common_name="deep"),
        "no names": lambda: pki.leaf(common_name="127.0.0.1"),
        "unknown CA": lambda: pki.leaf("127.0.0.1", issuer=pki.authority("Stranger")),
        "self-signed": lambda: pki.self_signed("127.0.0.1"),
        "incomplete chain": lambda: without_chain(pki, pki.leaf("127.0.0.1", issuer=middle, common_name="lonely")),
        "for clients": lambda: pki.leaf("127.0.0.1", client=True),
    }[fault]()


def without_chain(pki, certificate):
    with open(certificate.chain_file, "wb") as f:
        f.write(pki._pem(certificate.certificate))  # pylint: disable=protected-access
    return certificate


FAULTS = [
    ("expired", {}, r"certificate has expired \(depth 0, /CN=127\.0\.0\.1, valid until \d{4}-\d\d-\d\d "),
    ("not yet valid", {}, r"not yet valid \(depth 0, /CN=127\.0\.0\.1, valid from \d{4}-\d\d-\d\d "),
    ("wrong name", {}, r"IP address mismatch \(depth 0, .*has the names a\.internal, b\.internal, 10\.0\.0\.9, not 127\.0\.0\.1\)"),
    ("wrong host", {"name": "localhost"}, r"hostname mismatch \(depth 0, .*has the names a\.internal, b\.internal, 10\.0\.0\.9, not localhost\)"),
    ("wildcard too deep", {"name": "a.b.test.internal"}, r"hostname mismatch .*\*\.test\.internal, not a\.b\.test\.internal"),
    ("no names", {}, r"IP address mismatch .*has no names"),
    ("unknown CA", {}, r"unable to get local issuer certificate|unable to verify the first certificate|self-signed certificate in certificate chain"),
    ("self-signed", {}, r"self-signed certificate \(depth 0, /CN=127\.0\.0\.1\)"),
    ("incomplete chain", {}, r"unable to get local issuer certificate .*/CN=lonely, issued by /CN=Scenario hidden middle"),
    ("for clients", {}, r"(unsupported|unsuitable) certificate purpose"),
]


@pytest.mark.parametrize("peer", ["nginx", "s_server"])
@pytest.mark.parametrize("fault, options, reason", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_certificate_that_proves_nothing_is_refused(start, port, nginx_tls, servers, pki, fault, options, reason, peer):
    certificate = bad_leaf(pki, fault)
    if peer == "nginx":
        there = nginx_tls.add(certificate)
        nginx_tls.start()
    else:
        there = servers(SServer(certificate, "-www")).port
    proxy = start(tls_site(port, there, pki, **options))
    failed(proxy, port, "server_certificate", reason)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_misses_our_certificate_says_so(start, port, servers, pki, server_certificate, version):
    there = servers(SServer(server_certificate, "-www", "-Verify", "3", "-verify_return_error", "-tls1_" + version[-1],
                            ca_file=pki.ca_file)).port
    proxy = start(tls_site(port, there, pki))
    failed(proxy, port, "server_tls", r"the server sent the alert (certificate_required|handshake_failure)")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_that_does_not_believe_our_certificate_says_so(start, port, servers, pki, server_certificate, version):
    ours = pki.leaf(client=True, common_name="unlade", issuer=pki.authority("Stranger"))
    there = servers(TlsBackend(server_certificate, client_ca=pki.ca_file, most=version)).port
    proxy = start(site(port, there, upstream={"tls": {"ca": pki.ca_file, "certificate": ours.chain_file, "key": ours.key_file}}))
    failed(proxy, port, "server_tls", r"the server sent the alert unknown_ca")


def test_nginx_answers_itself_where_it_misses_our_certificate(start, port, nginx_tls, pki, server_certificate):
    """It shakes hands first; its 400 is an answer like others."""
    there = nginx_tls.add(server_certificate, f"ssl_verify_client on; ssl_client_certificate {pki.ca_file};")
    nginx_tls.start()
    start(tls_site(port, there, pki))
    assert ask(port) == [400]


@pytest.mark.parametrize("theirs, ours", [("TLSv1.2", {"min_version": "1.3"}), ("TLSv1.3", {"max_version": "1.2"}), ("TLSv1.1", {})])
def test_no_version_in_common(start, port, nginx_tls, pki, server_certificate, theirs, ours):
    there = nginx_tls.add(server_certificate, protocols=theirs)
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki, **ours))
    failed(proxy, port, "server_tls", r"alert (sent )?protocol_version|unsupported protocol")


def test_no_suite_in_common(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate, "ssl_ciphers ECDHE-ECDSA-AES256-SHA384; ", protocols="TLSv1.2")
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki))
    failed(proxy, port, "server_tls", r"the server sent the alert handshake_failure")


def test_no_protocol_in_common(start, port, servers, pki, server_certificate):
    there = servers(SServer(server_certificate, "-alpn", "h3")).port
    proxy = start(tls_site(port, there, pki, alpn=["http/1.1"]))
    failed(proxy, port, "server_tls", r"the server sent the alert no_application_protocol")


def test_a_server_without_tls_is_recognised(start, port, backend, nginx, pki):
    proxy = start(tls_site(port, nginx.port, pki))
    failed(proxy, port, "server_tls", r"not TLS")


def test_a_server_with_a_hundred_kilobytes_of_certificates_is_refused(start, port, servers, pki):
    names = [f"{'n' * 60}.{i}.test" for i in range(1500)]
    there = servers(TlsBackend(pki.leaf("127.0.0.1", *names))).port
    proxy = start(tls_site(port, there, pki))
    failed(proxy, port, "server_tls", r"excessive message size")


def closing(sock):
    sock.recv(100)
    sock.close()


def resetting(sock):
    sock.recv(100)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("act, reason", [
    (closing, "the server (closed|reset) the connection in the handshake"),
    (resetting, "the server reset the connection in the handshake"),
    (lambda s: (s.recv(100), s.sendall(b"\x15\x03\x03\x00\x02\x02\x28"), s.recv(100)), "the server sent the alert handshake_failure"),
    (lambda s: (s.recv(100), s.sendall(os.urandom(1000)), s.recv(100)), "."),
    (lambda s: (s.recv(100), s.sendall(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"), s.recv(100)), "."),
    (lambda s: (s.recv(100), s.sendall(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(16380)), s.recv(100)), "."),
    (lambda s: (s.recv(100), [s.sendall(b"\x15\x03\x03\x00\x02\x01\x5a") for _ in range(20)], s.recv(100)), "."),
], ids=["closes", "resets", "alert", "noise", "empty ServerHello", "huge ServerHello", "warnings"])
def test_a_server_that_fails_in_the_handshake(start, port, servers, pki, act, reason):
    there = servers(Fixed(act)).port
    proxy = start(tls_site(port, there, pki))
    failed(proxy, port, "server_tls", reason)


def test_a_server_that_never_answers_is_a_504_in_the_time_to_connect(start, port, servers, pki):
    there = servers(Fixed(lambda s: [None for _ in iter(lambda: s.recv(1000), b"")])).port
    config = tls_site(port, there, pki)
    config["upstreams"]["app"]["timeouts"] = {"connect": "300ms"}
    proxy = start(config)
    failed(proxy, port, "timeout_connect", r"not done within the time to connect", status=504)


def test_another_server_is_tried_as_after_a_refused_connection(start, port, nginx_tls, pki):
    wrong, right = nginx_tls.add(pki.expired("127.0.0.1")), nginx_tls.add(pki.leaf("127.0.0.1"))
    nginx_tls.start()
    proxy = start(tls_site(port, [wrong, right], pki))
    for _ in range(6):
        with plain_client(port) as c:
            assert c.request(get(method="POST", body=b"x" * 1000)).status in (200, 405)
    assert max(r["attempts"] for r in proxy.access_records(6)) == 2
    assert len(nginx_tls.requests(right, 6)) == 6
    assert proxy.stderr.count("certificate has expired") == 1


def test_a_thousand_failures_are_two_lines(start, port, nginx_tls, pki):
    there = nginx_tls.add(pki.expired("127.0.0.1"))
    nginx_tls.start()
    proxy = start(tls_site(port, there, pki))
    with plain_client(port) as c:
        for _ in range(1000):
            assert c.request(get()).status == 502
    assert len(re.findall("certificate has expired", proxy.stderr)) <= 2
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    told = sum(int(n) for n in re.findall(r"failed (\d+) more times", proxy.stderr))
    assert told == 999


# ---- whatever protocol is spoken inside ----

def speaking(config, protocol):
    config["upstreams"]["app"]["protocol"] = protocol
    return config


@pytest.mark.parametrize("protocol", ["h2", "auto"])
@pytest.mark.parametrize("fault, options, reason", [f for f in FAULTS if f[0] in ("expired", "wrong host", "unknown CA")],
                         ids=["expired", "wrong host", "unknown CA"])
def test_servers_of_http_2_must_prove_themselves_too(start, port, nginx_tls, pki, fault, options, reason, protocol):
    there = nginx_tls.add(bad_leaf(pki, fault), http2=True)
    nginx_tls.start()
    proxy = start(speaking(tls_site(port, there, pki, **options), protocol))
    failed(proxy, port, "server_certificate", reason)


@pytest.mark.parametrize("protocol", ["h2", "auto"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_of_http_2_that_misses_our_certificate_says_so(start, port, servers, pki, server_certificate, protocol, version):
    there = servers(SServer(server_certificate, "-alpn", "h2", "-Verify", "3", "-verify_return_error", "-tls1_" + version[-1],
                            ca_file=pki.ca_file)).port
    proxy = start(speaking(tls_site(port, there, pki), protocol))
    failed(proxy, port, "server_tls", r"the server sent the alert (certificate_required|handshake_failure)")


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_another_server_is_tried_for_http_2_too(start, port, nginx_tls, pki, protocol):
    wrong, right = nginx_tls.add(pki.expired("127.0.0.1"), http2=True), nginx_tls.add(pki.leaf("127.0.0.1"), http2=True)
    nginx_tls.start()
    start(speaking(tls_site(port, [wrong, right], pki), protocol))
    assert ask(port, 6) == [200] * 6
    assert len(nginx_tls.requests(right, 6)) == 6


# ---- in the middle of an answer ----

HEAD = b"HTTP/1.1 200 OK\r\n"


def abrupt(connection):
    """FIN without close_notify: whoever is in between could do that."""
    connection.socket.shutdown(socket.SHUT_WR)
    connection.socket.close()


def test_an_answer_that_ends_with_the_connection_must_end_with_close_notify(start, port, servers, pki, server_certificate):
    server = servers(TlsBackend(server_certificate))
    start(tls_site(port, server.port, pki))
    server.answer = lambda e: (e.send(HEAD + b"\r\nwhole"), e.connection.say_goodbye(), e.close())
    with plain_client(port) as c:
        assert c.request(get()).body == b"whole"
    server.answer = lambda e: (e.send(HEAD + b"\r\nhalf"), abrupt(e.connection))
    with plain_client(port) as c:
        c.send(get())
        with pytest.raises((Closed, ConnectionResetError)):
            c.response()


@pytest.mark.parametrize("framing", [b"\r\n", b"Content-Length: 100\r\n\r\n"], ids=["to its close", "of known length"])
def test_what_came_before_a_cut_reaches_the_client(start, port, servers, pki, server_certificate, framing):
    server = servers(TlsBackend(server_certificate))
    server.answer = lambda e: (e.send(HEAD + framing + b"half"), abrupt(e.connection))
    start(tls_site(port, server.port, pki))
    for _ in range(5):
        with plain_client(port) as c:
            c.send(get())
            c.response_head()
            if framing == b"\r\n":  # which became chunked
                assert c.read_line() == b"4"
            assert c.read_exactly(4) == b"half"


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nwhole", b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n"])
def test_an_answer_of_known_length_needs_no_close_notify(start, port, servers, pki, server_certificate, framing):
    server = servers(TlsBackend(server_certificate))
    server.answer = lambda e: (e.send(HEAD + framing), abrupt(e.connection))
    start(tls_site(port, server.port, pki))
    for _ in range(3):
        with plain_client(port) as c:
            assert c.request(get()).body == b"whole"


def test_what_follows_an_answer_unasked_is_nobodys_answer(start, port, servers, pki, server_certificate):
    """In the same record, or in one behind it: the connection is not used again."""
    server = servers(TlsBackend(server_certificate))
    answers = iter([[b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"],
                    [b"Content-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], [b"Content-Length: 2\r\n\r\nok"]])

    def answer(e):  # all of it leaves at once: what comes later than the next request cannot be told from its answer
        for i, part in enumerate(next(answers)):
            e.connection.tls.write(HEAD * (i == 0) + part)
        e.connection.flush()
    server.answer = answer
    start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        for _ in range(3):
            assert c.request(get()).body == b"ok"
    assert len(server.connections) == 3


@pytest.mark.parametrize("end", ["alert", "garbage", "reset", "abrupt"])
def test_a_connection_that_breaks_within_an_answer_breaks_the_answer(start, port, servers, pki, server_certificate, end):
    def answer(e):
        e.send(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        if end == "reset":
            e.reset()
        elif end == "abrupt":
            abrupt(e.connection)
        else:  # a record that nobody sealed
            e.connection.socket.sendall(b"\x15\x03\x03\x00\x02\x02\x50" if end == "alert" else b"\x17\x03\x03\x00\x20" + bytes(32))
    server = servers(TlsBackend(server_certificate, most="1.2" if end == "alert" else None))
    server.answer = answer
    start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        c.send(get())
        with pytest.raises((Closed, ConnectionResetError)):
            c.response()


@pytest.mark.parametrize("how", ["close_notify", "abrupt"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pooled_connection_that_the_server_closed_does_not_show(start, port, servers, pki, server_certificate, method, how):
    server = servers(TlsBackend(server_certificate))
    start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        for _ in range(12):
            assert c.request(get(method=method, body=b"hello")).status == 200
            for connection in server.open_connections():
                if how == "close_notify":
                    connection.say_goodbye()
                connection.close()
    assert len(server.exchanges) == 12


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_damaged_bytes_are_an_error_and_no_more(start, port, servers, pki, server_certificate, version):
    """One byte of all that the server says is another one: the answer is whole, or an error, or cut."""
    server = servers(TlsBackend(server_certificate, most=version, tickets=False))
    chance = random.Random(7)

    def damaging(connection):
        state = {"until": chance.randrange(2000)}

        def deliver(data):
            at = state["until"]
            if 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1:]
            state["until"] -= len(data)
            connection.socket.sendall(data)
        connection.deliver = deliver
    server.before_handshake = damaging
    server.answer = lambda e: e.send(HEAD + b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + b"x" * 1000)
    config = tls_site(port, server.port, pki)
    config["upstreams"]["app"]["timeouts"] = {"connect": "2s", "response_head": "2s", "response_gap": "2s"}
    start(config)
    seen = set()
    for _ in range(60):
        with plain_client(port) as c:
            c.send(get())
            try:
                r = c.response()
                seen.add(r.status)
                assert r.status in (502, 504) or r.body == b"x" * 1000
            except (Closed, ConnectionResetError):
                seen.add("cut")
    assert 502 in seen


# ---- odd, but no failures ----

def trickling(connection):
    def deliver(data):
        for i in range(len(data)):
            connection.socket.sendall(data[i:i + 1])
    connection.deliver = deliver


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_records_may_come_byte_by_byte(start, port, servers, pki, server_certificate, version):
    server = servers(TlsBackend(server_certificate, most=version))
    server.before_handshake = trickling
    start(tls_site(port, server.port, pki))
    assert ask(port, 3) == [200] * 3


def test_a_server_may_ask_for_another_group(start, port, servers, pki, server_certificate):
    """HelloRetryRequest (RFC 8446 4.1.4): no share is sent for P-384."""
    server = servers(TlsBackend(server_certificate, least="1.3"))
    server.context.set_ecdh_curve("secp384r1")
    start(tls_site(port, server.port, pki))
    assert ask(port, 3) == [200] * 3


def test_hundreds_of_tickets_cost_no_more_than_a_few(start, port, servers, pki, server_certificate):
    server = servers(TlsBackend(server_certificate, least="1.3"))
    server.context.num_tickets = 200
    server.answer = lambda e: (e.read_body(), e.send(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nok"))
    start(tls_site(port, server.port, pki))
    assert ask(port, 5) == [200] * 5
    assert server.handshakes == [False] + [True] * 4


def test_late_tickets_do_not_end_an_idle_connection(start, port, servers, pki, server_certificate):
    """s_server sends them with its first bytes; -www answers at once."""
    server = servers(TlsBackend(server_certificate, least="1.3"))
    held = []

    def hold(connection):
        send = connection.socket.sendall
        state = {"flights": 0}

        def deliver(data):
            state["flights"] += 1
            if state["flights"] == 2:  # the tickets: a flight of their own behind the client's Finished
                held.append(lambda: send(data))
            else:
                if held and state["flights"] > 2:
                    held.pop()()
                send(data)
        connection.deliver = deliver
    server.before_handshake = hold
    start(tls_site(port, server.port, pki))
    assert ask(port, 4) == [200] * 4
    assert len(server.connections) == 1


class Typed:
    """s_server whose answers, and commands, are typed."""

    def __init__(self, certificate, *arguments):
        self.output = tempfile.TemporaryFile()
        self.server = SServer(certificate, "-crlf", *arguments, output=self.output)
        self.port = self.server.port

    def stop(self):
        self.server.stop()
        self.output.close()

    def wait_for(self, text, count=1):
        """Until the proxy has said that so often."""
        until(lambda: os.pread(self.output.fileno(), 1 << 20, 0).count(text) >= count, f"{text} at s_server")

    def type(self, text):
        """A command is one only at the start of what is read at once: waits until that was."""
        self.server.process.stdin.write(text)
        self.server.process.stdin.flush()
        until(self._is_read, "s_server to read its input")

    def _is_read(self):
        return array.array("i", fcntl.ioctl(self.server.process.stdin, termios.FIONREAD, bytes(4)))[0] == 0


@pytest.mark.parametrize("command", [b"K\n", b"k\n"], ids=["asking for ours", "theirs alone"])
def test_keys_may_be_updated_by_the_server(start, port, servers, pki, server_certificate, command):
    server = servers(Typed(server_certificate, "-tls1_3"))
    start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        for i in range(3):
            c.send(get(method="POST", body=b"content\n"))
            server.wait_for(b"content\n", i + 1)
            server.type(b"HTTP/1.1 200 OK\nContent-Length: 6\n\n")
            c.response_head()
            server.type(command)
            server.type(b"done\n")
            assert c.read_exactly(6) == b"done\r\n"


def test_a_server_that_asks_for_renegotiation_is_refused(start, port, servers, pki, server_certificate):
    server = servers(Typed(server_certificate, "-tls1_2"))
    proxy = start(tls_site(port, server.port, pki))
    with plain_client(port) as c:
        c.send(get(method="POST", body=b"content\n"))
        server.wait_for(b"content\n")
        server.type(b"HTTP/1.1 200 OK\nContent-Length: 6\n\n")
        c.response_head()
        server.type(b"r\n")
        with pytest.raises((Closed, ConnectionResetError)):
            c.read_exactly(6)
    proxy.wait_stderr("the server asked for a renegotiation")
