"""STARTTLS for SMTP, IMAP and POP3 in front of scripted servers: what is said in clear, what is refused there, what becomes of
the server's greeting and of its own offers."""
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import yaml

from support.client import connect, context
from support.ports import free_port
from support.raw import RawServer, echo, read_all, reset
from support.unlade import Unlade, command, site
from support.waiting import LONG, until

GREETING = {"smtp": b"220 a.test ESMTP\r\n", "imap": b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] a.test ready\r\n",
            "pop3": b"+OK a.test ready\r\n"}
BEGIN = {"smtp": b"STARTTLS\r\n", "imap": b"a1 STARTTLS\r\n", "pop3": b"STLS\r\n"}
GO_AHEAD = {"smtp": b"220 2.0.0 Ready to start TLS\r\n", "imap": b"a1 OK Begin TLS negotiation now\r\n",
            "pop3": b"+OK Begin TLS negotiation\r\n"}
INNER = {"smtp": b"MAIL FROM:<evil@a.test>\r\n", "imap": b"a2 LOGIN evil evil\r\n", "pop3": b"USER evil\r\n"}
FAREWELL = {"smtp": b"421 4.3.2 a.test ", "imap": b"* BYE ", "pop3": b"-ERR "}
OF_SERVER = {"smtp": b"220-backend\r\n220 ready\r\n", "imap": b"* OK [CAPABILITY IMAP4rev1 STARTTLS] backend\r\n",
             "pop3": b"+OK backend <1.2@backend>\r\n"}
PROTOCOLS = sorted(GREETING)


def mail(port, to, certificate, protocol, listener=None, **options):
    return site(port, to, certificate, listener={"protocol": protocol, **(listener or {})}, **options)


class Lines:
    """A connection on which lines are said and read."""

    def __init__(self, sock):
        self.socket = sock
        self.buffer = b""

    def say(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            assert data, f"ended behind {self.buffer!r}"
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line + b"\n"

    def ask(self, data, lines=1):
        self.say(data)
        return b"".join(self.line() for _ in range(lines))

    def rest(self):
        """All that comes to the end; the end may be a reset."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self.buffer += data
        return self.buffer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def clear(port, protocol):
    c = Lines(connect(port))
    assert c.line() == GREETING[protocol]
    return c


def starttls(port, protocol, pki, **options):
    """A client inside TLS."""
    c = clear(port, protocol)
    assert c.ask(BEGIN[protocol]) == GO_AHEAD[protocol]
    assert not c.buffer
    return Lines(context(pki, **options).wrap_socket(c.socket, server_hostname="a.test"))


def script(protocol, *exchanges, greeting=None, tls=None):
    """A server that greets, then for each (question, answer) reads the one and says the other, then echoes."""
    def handler(sock):
        c = Lines(sock)
        c.say(OF_SERVER[protocol] if greeting is None else greeting)
        for question, answer in exchanges:
            assert c.line() == question
            c.say(answer)
        echo(sock)
    return RawServer(handler, tls=tls)


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


# ---- before TLS ----

def test_other_commands_of_mail_before_tls_are_refused_and_no_server_is_asked(start, port, certificate):
    with RawServer() as server:
        start(mail(port, server.port, certificate, "smtp"))
        with clear(port, "smtp") as c:
            assert c.ask(b"EHLO me\r\n", 3) == b"250-a.test\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
            for line in b"MAIL FROM:<a@b.example>", b"RCPT TO:<a@b.example>", b"DATA", b"AUTH PLAIN AGEAYg==", b"VRFY x":
                assert c.ask(line + b"\r\n") == b"530 5.7.0 Must issue a STARTTLS command first\r\n"
            assert c.ask(b"STARTTLS now\r\n") == b"501 5.5.4 Syntax error (no parameters allowed)\r\n"
            assert c.ask(b"QUIT\r\n") == b"221 2.0.0 Bye\r\n"
            assert c.rest() == b""
        assert not server.connections


def test_logins_before_tls_are_refused(start, port, certificate):
    with RawServer() as server:
        start(mail(port, server.port, certificate, "imap"))
        with clear(port, "imap") as c:
            assert c.ask(b"x LOGIN joe secret\r\n") == b"x NO [PRIVACYREQUIRED] Must issue a STARTTLS command first\r\n"
            assert c.ask(b"y LOGOUT\r\n", 2) == b"* BYE Logging out\r\ny OK LOGOUT completed\r\n"
            assert c.rest() == b""
        other = free_port()
        start(mail(other, server.port, certificate, "pop3"))
        with clear(other, "pop3") as c:
            assert c.ask(b"CAPA\r\n", 3) == b"+OK Capability list follows\r\nSTLS\r\n.\r\n"
            assert c.ask(b"USER joe\r\n") == b"-ERR Must issue an STLS command first\r\n"
        assert not server.connections


def test_the_clear_text_may_come_byte_by_byte(start, port, certificate, pki, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol))
        with clear(port, protocol) as c:
            for byte in BEGIN[protocol]:
                c.say(bytes([byte]))
            assert c.line() == GO_AHEAD[protocol]
            with Lines(context(pki).wrap_socket(c.socket, server_hostname="a.test")) as tls:
                assert tls.ask(b"x\r\n") == b"x\r\n"


# ---- injection ----

def test_what_is_pipelined_behind_starttls_in_one_segment_is_refused(start, port, certificate, protocol):
    with script(protocol) as server:
        proxy = start(mail(port, server.port, certificate, protocol))
        with clear(port, protocol) as c:
            c.say(BEGIN[protocol] + INNER[protocol])
            answer = c.rest()
            assert answer.startswith(FAREWELL[protocol]) and GO_AHEAD[protocol] not in answer
        proxy.wait_stderr(r"STARTTLS refused, somebody may be injecting commands: client 127\.0\.0\.1, listener web")
        assert not server.connections


def test_one_byte_behind_starttls_is_enough(start, port, certificate, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol))
        for byte in b"\0", b"\r", b"\n", b" ", b"\x16":
            with clear(port, protocol) as c:
                c.say(BEGIN[protocol] + byte)
                assert c.rest().startswith(FAREWELL[protocol])
        assert not server.connections


def test_what_comes_in_clear_after_the_go_ahead_ends_the_connection(start, port, certificate, protocol):
    with script(protocol) as server:
        proxy = start(mail(port, server.port, certificate, protocol))
        with clear(port, protocol) as c:
            assert c.ask(BEGIN[protocol]) == GO_AHEAD[protocol]
            c.say(INNER[protocol])
            assert c.rest() == b""
        proxy.wait_stderr("TLS handshake failed: client 127.0.0.1, listener web.*what arrived is not TLS")
        assert not server.connections


def test_a_command_that_was_cut_by_the_handshake_is_not_continued_inside_tls(start, port, certificate, pki):
    """Half a line in clear, the rest of it under TLS: nobody gets to see both."""
    with RawServer(lambda sock: (sock.sendall(b"220 x\r\n"), echo(sock))) as server:
        start(mail(port, server.port, certificate, "smtp"))
        with clear(port, "smtp") as c:
            c.say(b"STARTTLS\r\nMAIL FR")
            assert c.rest().startswith(FAREWELL["smtp"])
        with starttls(port, "smtp", pki) as c:
            assert c.ask(b"OM:<a@b.example>\r\n") == b"OM:<a@b.example>\r\n"


def test_lines_that_end_in_anything_but_crlf_are_refused(start, port, certificate, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol))
        start_line = BEGIN[protocol][:-2]
        for line in start_line + b"\n", start_line + b"\r\r\n", start_line + b"\0\r\n", start_line + b"\r" + start_line:
            with clear(port, protocol) as c:
                c.say(line)
                assert c.rest().startswith(FAREWELL[protocol])
        assert not server.connections


def test_a_line_of_a_megabyte_is_refused(start, port, certificate, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol))
        with clear(port, protocol) as c:
            with contextlib.suppress(OSError):
                c.say(b"x" * (1 << 20))
            assert c.rest().startswith(FAREWELL[protocol])


def test_an_imap_literal_before_tls_is_refused(start, port, certificate):
    with RawServer() as server:
        start(mail(port, server.port, certificate, "imap"))
        with clear(port, "imap") as c:
            c.say(b"a LOGIN {13+}\r\na1 STARTTLS\r\n")
            assert c.rest() == b"* BYE Literals are not accepted before TLS\r\n"


def test_clients_are_not_waited_for_long_in_clear_text(start, port, certificate, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol, {"timeouts": {"handshake": "300ms"}}))
        with clear(port, protocol) as c:
            assert c.rest() == FAREWELL[protocol] + b"Timeout\r\n"
        with clear(port, protocol) as c:
            assert c.ask(BEGIN[protocol]) == GO_AHEAD[protocol]
            assert c.rest() == b""


def test_who_asks_too_much_before_tls_is_sent_away(start, port, certificate):
    with RawServer() as server:
        start(mail(port, server.port, certificate, "smtp"))
        with clear(port, "smtp") as c:
            c.say(b"NOOP\r\n" * 100)
            assert c.rest() == b"250 2.0.0 OK\r\n" * 20 + FAREWELL["smtp"] + b"Too many commands before TLS\r\n"


def test_a_browser_that_was_led_here_is_refused_by_its_alpn(start, port, certificate, pki, protocol):
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol))
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            starttls(port, protocol, pki, alpn=["h2", "http/1.1"])
        with starttls(port, protocol, pki, alpn=["http/1.1", protocol]) as c:
            assert c.socket.selected_alpn_protocol() == protocol
            assert c.ask(b"x\r\n") == b"x\r\n"


# ---- inside ----

def test_the_servers_greeting_is_swallowed(start, port, certificate, pki, protocol):
    with script(protocol, (b"x 1\r\n", b"x OK done\r\n")) as server:
        start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            assert c.ask(b"x 1\r\n") == b"x OK done\r\n"


def test_the_server_hears_nothing_before_it_has_greeted(start, port, certificate, pki):
    """Some servers send away who speaks first (postscreen)."""
    may_greet, heard = threading.Event(), []

    def handler(sock):
        sock.sendall(b"220-wait\r\n")
        assert may_greet.wait(LONG)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            heard.append(sock.recv(100))
        sock.settimeout(LONG)
        sock.sendall(b"220 now\r\n")
        echo(sock)

    with RawServer(handler) as server:
        start(mail(port, server.port, certificate, "smtp"))
        with starttls(port, "smtp", pki) as c:
            c.say(b"EHLO me\r\n")
            server.wait_connections(1)
            may_greet.set()
            assert c.line() == b"EHLO me\r\n"
        assert not heard


OFFERS = {
    "smtp": (b"EHLO me\r\n", b"250-backend\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
             b"250-backend\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"),
    "imap": (b"a CAPABILITY\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN\r\na OK done\r\n",
             b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK done\r\n"),
    "pop3": (b"CAPA\r\n", b"+OK\r\nUSER\r\nSTLS\r\nUIDL\r\n.\r\n", b"+OK\r\nUSER\r\nUIDL\r\n.\r\n"),
}


@pytest.mark.parametrize("piece", [1, 7, 10000])
def test_starttls_is_hidden_from_the_servers_capabilities(start, port, certificate, pki, protocol, piece):
    question, said, expected = OFFERS[protocol]

    def handler(sock):
        c = Lines(sock)
        c.say(OF_SERVER[protocol])
        for _ in range(2):
            assert c.line() == question
            for i in range(0, len(said), piece):
                c.say(said[i:i + piece])

    with RawServer(handler) as server:
        start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            for _ in range(2):
                assert c.ask(question, expected.count(b"\n")) == expected
            assert c.rest() == b""


def test_starttls_inside_tls_is_refused_by_the_server(start, port, certificate, pki, protocol):
    heard = {"smtp": b"XTARTTLS\r\n", "imap": b"a1 XTARTTLS\r\n", "pop3": b"XTLS\r\n"}[protocol]
    refusal = {"smtp": b"502 5.5.2 what?\r\n", "imap": b"a1 BAD what?\r\n", "pop3": b"-ERR what?\r\n"}[protocol]
    with script(protocol, (heard, refusal), (b"NOOP\r\n", refusal)) as server:
        start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            assert c.ask(BEGIN[protocol]) == refusal
            assert c.ask(b"NOOP\r\n") == refusal


def test_mail_passes_unchanged_whatever_it_says(start, port, certificate, pki):
    letter = b"Subject: STARTTLS\r\n\r\nSTARTTLS\r\n250-STARTTLS\r\n..\r\n" + bytes(range(256)) * 300 + b"\r\nSTARTTLS\r\n"

    def handler(sock):
        c = Lines(sock)
        c.say(b"220 x\r\n")
        assert c.line() == b"DATA\r\n"
        c.say(b"354 go\r\n")
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            data += sock.recv(65536)
        assert data == letter + b".\r\n"
        c.say(b"250 got it\r\n")
        assert c.line() == b"XTARTTLS\r\n"
        c.say(b"502 no\r\n")

    with RawServer(handler) as server:
        start(mail(port, server.port, certificate, "smtp"))
        with starttls(port, "smtp", pki) as c:
            assert c.ask(b"DATA\r\n") == b"354 go\r\n"
            assert c.ask(letter + b".\r\n") == b"250 got it\r\n"
            assert c.ask(b"STARTTLS\r\n") == b"502 no\r\n"


def test_messages_that_are_fetched_pass_unchanged(start, port, certificate, pki):
    letter = b"* CAPABILITY STARTTLS x\r\na OK [CAPABILITY STARTTLS LOGINDISABLED]\r\nSTLS\r\n.x\r\n" * 2000

    def imap(sock):
        c = Lines(sock)
        c.say(OF_SERVER["imap"])
        c.line()
        c.say(b"a OK [CAPABILITY IMAP4rev1 STARTTLS] in\r\n")
        c.line()
        c.say(b"* 1 FETCH (BODY[] {%d}\r\n" % len(letter) + letter + b")\r\nb OK done\r\n")

    def pop3(sock):
        c = Lines(sock)
        c.say(OF_SERVER["pop3"])
        for _ in range(2):
            c.line()
            c.say(b"+OK\r\n")
        c.line()
        c.say(b"+OK\r\n" + letter + b"\r\n.\r\n")

    with RawServer(imap) as server:
        start(mail(port, server.port, certificate, "imap"))
        with starttls(port, "imap", pki) as c:
            assert c.ask(b"a LOGIN x y\r\n") == b"a OK [CAPABILITY IMAP4rev1] in\r\n"
            c.say(b"b FETCH 1 (BODY[])\r\n")
            assert c.rest() == b"* 1 FETCH (BODY[] {%d}\r\n" % len(letter) + letter + b")\r\nb OK done\r\n"
    other = free_port()
    with RawServer(pop3) as server:
        start(mail(other, server.port, certificate, "pop3"))
        with starttls(other, "pop3", pki) as c:
            assert c.ask(b"USER x\r\n") + c.ask(b"PASS y\r\n") == b"+OK\r\n+OK\r\n"
            c.say(b"RETR 1\r\n")
            assert c.rest() == b"+OK\r\n" + letter + b"\r\n.\r\n"


# ---- servers that do not serve ----

REFUSAL = {"smtp": b"554-5.7.1 go\r\n554 5.7.1 away\r\n", "imap": b"* BYE go away\r\n", "pop3": b"-ERR go away\r\n"}


def test_a_server_that_refuses_is_quoted_to_the_client(start, port, certificate, pki, protocol):
    with RawServer(lambda sock: (sock.sendall(REFUSAL[protocol]), read_all(sock))) as server:
        proxy = start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            assert c.rest() == REFUSAL[protocol]
        record = proxy.access_records()[0]
        assert record["protocol"] == protocol and record["error"] == "refused"


def test_a_client_hears_when_no_server_can_be_reached(start, port, certificate, pki, protocol):
    proxy = start(mail(port, free_port(), certificate, protocol))
    with starttls(port, protocol, pki) as c:
        assert c.rest() == FAREWELL[protocol] + b"Service not available, try again later\r\n"
    assert proxy.access_records()[0]["error"] == "connect"


@pytest.mark.parametrize("handler,error", [
    (lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), "bad_response"),
    (lambda sock: sock.sendall(b"x" * 20000), "bad_response"),
    (lambda sock: sock.sendall(b"22"), "server_closed"),
    (lambda sock: None, "server_closed"),
    (reset, None),
])
def test_a_server_without_a_greeting_is_none(start, port, certificate, pki, handler, error):
    with RawServer(handler) as server:
        proxy = start(mail(port, server.port, certificate, "smtp"))
        with starttls(port, "smtp", pki) as c:
            assert c.rest() == FAREWELL["smtp"] + b"Service not available, try again later\r\n"
        record = proxy.access_records()[0]
        assert record["error"] == error or (error is None and record["error"])


def test_a_server_that_is_logged_in_by_its_greeting_serves_nobody(start, port, certificate, pki):
    with script("imap", greeting=b"* PREAUTH welcome root\r\n") as server:
        start(mail(port, server.port, certificate, "imap"))
        with starttls(port, "imap", pki) as c:
            assert c.rest() == b"* BYE Service not available, try again later\r\n"


def test_a_server_that_does_not_greet_is_waited_for_no_longer_than_told(start, port, certificate, pki):
    with RawServer(read_all) as server:
        proxy = start(mail(port, server.port, certificate, "smtp", upstream={"timeouts": {"response_head": "300ms"}}))
        with starttls(port, "smtp", pki) as c:
            assert c.rest() == FAREWELL["smtp"] + b"Service not available, try again later\r\n"
        assert proxy.access_records()[0]["error"] == "timeout_response"


def test_a_server_that_ends_in_the_segment_of_its_greeting_has_ended_for_the_client(start, port, certificate, pki, protocol):
    def handler(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        sock.sendall(OF_SERVER[protocol])
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)

    with RawServer(handler) as server:
        start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            assert c.rest() == b""


def test_a_client_that_goes_while_the_server_is_silent_leaves_nothing_behind(start, port, certificate, pki):
    ended = []

    def handler(sock):
        with contextlib.suppress(ConnectionResetError):
            read_all(sock)
        ended.append(sock)

    with RawServer(handler) as server:
        start(mail(port, server.port, certificate, "smtp"))
        c = starttls(port, "smtp", pki)
        server.wait_connections(1)
        reset(c.socket)
        until(lambda: ended, "the server's connection to end")


# ---- the rest of the house ----

def test_the_upstream_may_be_chosen_by_sni(start, port, certificate, pki):
    with script("smtp", greeting=b"554 not here\r\n") as wrong, script("smtp", (b"x\r\n", b"250 right\r\n")) as right:
        configuration = mail(port, wrong.port, certificate, "smtp", {"hosts": {"a.test": {"to": "right"}}})
        configuration["upstreams"]["right"] = {"servers": [f"127.0.0.1:{right.port}"]}
        start(configuration)
        with starttls(port, "smtp", pki) as c:
            assert c.ask(b"x\r\n") == b"250 right\r\n"


def test_the_greeting_has_the_name_that_was_given(start, port, certificate):
    start(mail(port, 9, certificate, "smtp", {"greeting_name": "mx.example.org"}))
    c = Lines(connect(port))
    with c:
        assert c.line() == b"220 mx.example.org ESMTP\r\n"
        assert c.ask(b"HELO x\r\n") == b"250 mx.example.org\r\n"


def test_a_certificate_for_many_names_greets_with_the_machines(start, port, pki):
    start(mail(port, 9, pki.leaf("*.wild.test"), "pop3"))
    with Lines(connect(port)) as c:
        assert c.line() in (b"+OK %s ready\r\n" % socket.gethostname().encode(), b"+OK localhost ready\r\n")


def test_a_stop_sends_clients_in_clear_text_away(start, port, certificate, protocol):
    proxy = start(mail(port, 9, certificate, protocol))
    with clear(port, protocol) as c:
        proxy.stop()
        assert c.rest() == FAREWELL[protocol] + b"Service shutting down\r\n"


def test_the_access_log_names_the_protocol(start, port, certificate, pki, protocol):
    with script(protocol, (b"x\r\n", b"+OK y\r\n")) as server:
        proxy = start(mail(port, server.port, certificate, protocol))
        with starttls(port, protocol, pki) as c:
            assert c.ask(b"x\r\n") == b"+OK y\r\n"
        record = proxy.access_records()[0]
    assert record["protocol"] == protocol and record["sni"] == "a.test" and record["upstream"] == "app"


@pytest.mark.parametrize("more,complaint", [
    ({"tls": "off"}, "STARTTLS is what `protocol: smtp` is for"),
    ({"greeting_name": "not a name"}, '"not a name" is no host name'),
    ({"hosts": {"a.test": {"protocol": "tcp", "to": "app"}}}, "has begun to speak smtp already, before a host was named"),
    ({"by_alpn": {"mqtt": {"protocol": "tcp", "to": "app"}}}, "has begun to speak smtp already"),
    ({"protocol": "http", "greeting_name": "a.test"}, "only mail has a greeting"),
    ({"routes": [{"path": "/x", "to": "app"}]}, "smtp knows no paths"),
])
def test_what_mail_cannot_have_is_refused(tmp_path, certificate, more, complaint):
    configuration = mail(2525, 9, certificate, "smtp", more)
    path = tmp_path / "unlade.yaml"
    path.write_text(yaml.safe_dump(configuration))
    done = command("check", "-c", path)
    assert done.returncode and complaint in done.stdout + done.stderr


def test_a_proxy_header_comes_before_the_clear_text(start, port, certificate, pki, protocol):
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 587\r\n"
    with script(protocol) as server:
        proxy = start(mail(port, server.port, certificate, protocol, {"proxy_protocol": {"from": ["127.0.0.0/8"]}}))
        with Lines(connect(port)) as c:
            c.say(header + BEGIN[protocol])
            assert c.line() == GREETING[protocol] and c.line() == GO_AHEAD[protocol]
            with Lines(context(pki).wrap_socket(c.socket, server_hostname="a.test")) as tls:
                assert tls.ask(b"x\r\n") == b"x\r\n"
        assert proxy.access_records()[0]["client"] == "192.0.2.7"
        with Lines(connect(port)) as c:
            c.say(header + BEGIN[protocol] + INNER[protocol])
            assert GO_AHEAD[protocol] not in c.rest()
        proxy.wait_stderr(r"injecting commands: client 192\.0\.2\.7\b")


def test_the_server_may_have_tls_of_its_own(start, port, certificate, pki, protocol):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.chain_file, certificate.key_file)
    question, said, expected = OFFERS[protocol]
    with script(protocol, (question, said), tls=tls) as server:
        start(mail(port, server.port, certificate, protocol,
                   upstream={"tls": {"ca": str(pki.ca_file), "name": "a.test"}, "servers": [f"127.0.0.1:{server.port}"]}))
        with starttls(port, protocol, pki) as c:
            assert c.ask(question, expected.count(b"\n")) == expected


def test_client_certificates_are_demanded_behind_starttls_too(start, port, certificate, pki, protocol):
    ca = pki.roots["ec"].chain_file
    with script(protocol) as server:
        start(mail(port, server.port, certificate, protocol, {"tls": "staff"},
                   tls={"staff": {"clients": {"certificate": "required", "ca": str(ca)}}}))
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            with starttls(port, protocol, pki) as c:
                c.ask(b"x\r\n")
        with starttls(port, protocol, pki, certificate=pki.leaf(client=True, common_name="joe")) as c:
            assert c.ask(b"x\r\n") == b"x\r\n"
        assert len(server.connections) == 1


# ---- TCP Fast Open towards a server that speaks first ----

def servers_that_speak_first_with_fast_open(directory, certificate, pki):
    """In a network whose kernel allows it: each protocol's server greets at once; the second connection to it has its cookie."""
    for number, protocol in enumerate([*PROTOCOLS, "tcp"]):
        with script("smtp" if protocol == "tcp" else protocol) as server:
            server._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
            port = free_port()
            folder = directory / str(number)
            folder.mkdir()
            with Unlade(folder, mail(port, server.port, certificate, protocol, upstream={"fast_open": True})):
                for _ in range(3):
                    if protocol == "tcp":
                        c = Lines(context(pki).wrap_socket(connect(port), server_hostname="a.test"))
                        assert c.line() == b"220-backend\r\n" and c.line() == b"220 ready\r\n"
                    else:
                        c = starttls(port, protocol, pki)
                    with c:
                        assert c.ask(b"x\r\n") == b"x\r\n"


def test_a_server_that_speaks_first_is_not_waited_for_in_vain_with_fast_open(tmp_path):
    """A connection that waits for its first byte, to send it with the SYN, would never hear a greeting."""
    assert os.getuid() == 0, "this test makes a network namespace: run it as root"
    inside = ("import pathlib, sys, test_starttls as t; from support.pki import Pki; d = pathlib.Path(sys.argv[1]); pki = Pki(d); "
              "t.servers_that_speak_first_with_fast_open(d, pki.leaf('a.test'), pki)")
    done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up && echo 3 >/proc/sys/net/ipv4/tcp_fastopen && exec "$0" "$@"',
                           sys.executable, "-c", inside, str(tmp_path)],
                          cwd=os.path.dirname(__file__), capture_output=True, text=True, timeout=4 * LONG, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
