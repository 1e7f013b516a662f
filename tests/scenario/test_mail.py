"""STARTTLS in front of Postfix and Dovecot, with the clients that people use."""
import imaplib
import os
import poplib
import re
import smtplib
import socket
import subprocess
import textwrap

import pytest
import yaml

from support.client import context, curl
from support.mail import USERS, Dovecot, Postfix
from support.ports import free_port
from support.unlade import ROOT, Unlade, certificate_entry
from support.waiting import LONG, until

LETTER = b"From: x@b.test\r\nSubject: lines that must stay\r\n\r\nSTARTTLS\r\nSTLS\r\n* CAPABILITY STARTTLS\r\n..dots\r\n" \
         + b"250-STARTTLS\r\n" * 5000


class Stack:
    """A proxy in front of both servers, which share their mailboxes."""

    def __init__(self, directory, certificate):
        self.postfix = Postfix(certificate)
        self.dovecot = Dovecot(certificate, self.postfix.mail)
        self.ports, self.users = {}, list(USERS)
        listeners, upstreams = {}, {}
        for name, to, more in (("smtp", self.postfix.port, {}), ("imap", self.dovecot.imap_port, {}),
                               ("pop3", self.dovecot.pop3_port, {}),
                               ("smtp_proxied", self.postfix.proxied_port, {"send_proxy": "v2"}),
                               ("imap_proxied", self.dovecot.imap_proxied_port, {"send_proxy": "v2"})):
            self.ports[name] = free_port()
            listeners[name] = {"address": f"127.0.0.1:{self.ports[name]}", "protocol": name.split("_")[0], "to": name,
                               "certificates": [certificate_entry(certificate)]}
            upstreams[name] = {"servers": [f"127.0.0.1:{to}"], **more}
        self.proxy = Unlade(directory, {"workers": 1, "listeners": listeners, "upstreams": upstreams})

    def start(self):
        self.postfix.start()
        self.dovecot.start()
        self.proxy.start()

    def stop(self):
        try:
            self.proxy.stop()
        finally:
            self.dovecot.stop()
            self.postfix.stop()


@pytest.fixture(scope="module")
def mail(tmp_path_factory, certificate):
    stack = Stack(tmp_path_factory.mktemp("mail"), certificate)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def user(mail):
    """A mailbox of the test's own."""
    return mail.users.pop()


def smtp(mail, pki, name="smtp", source=None):
    c = smtplib.SMTP("127.0.0.1", mail.ports[name], timeout=LONG, source_address=source)
    c.ehlo()
    assert c.has_extn("starttls") and not c.has_extn("pipelining")
    c._host = "a.test"
    c.starttls(context=context(pki))
    c.ehlo()
    return c


class Imap(imaplib.IMAP4):
    """From an address of one's own."""

    def __init__(self, port, source):
        self.source = source
        super().__init__("127.0.0.1", port, LONG)

    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, self.source)


def imap(mail, pki, name="imap", source=None):
    c = Imap(mail.ports[name], source)
    assert {"STARTTLS", "LOGINDISABLED"} <= set(c.capabilities)
    c.host = "a.test"
    c.starttls(context(pki))
    return c


def pop3(mail, pki):
    c = poplib.POP3("127.0.0.1", mail.ports["pop3"], timeout=LONG)
    assert set(c.capa()) == {"STLS"}
    c.host = "a.test"
    c.stls(context(pki))
    return c


def test_a_letter_goes_in_by_smtp_and_comes_out_by_imap_and_pop3(mail, pki, user):
    with smtp(mail, pki) as c:
        assert not c.has_extn("starttls") and c.has_extn("pipelining")
        c.sendmail("x@b.test", [f"{user}@a.test"], LETTER)
    until(lambda: "status=sent" in mail.postfix.log and f"to=<{user}@a.test>" in mail.postfix.log, "the delivery")
    with imap(mail, pki) as c:
        c.login(user, "secret")
        c.select()
        fetched = c.fetch("1", "(RFC822)")[1][0][1]
        assert fetched.split(b"\r\n\r\n", 1)[1] == LETTER.split(b"\r\n\r\n", 1)[1]
    c = pop3(mail, pki)
    c.user(user)
    c.pass_("secret")
    lines = c.retr(1)[1]
    assert b"\r\n".join(lines).split(b"\r\n\r\n", 1)[1] + b"\r\n" == LETTER.split(b"\r\n\r\n", 1)[1]
    c.quit()


def test_the_servers_offers_of_starttls_are_hidden(mail, pki):
    plain = imaplib.IMAP4("127.0.0.1", mail.dovecot.imap_port)
    assert "STARTTLS" in plain.capabilities  # it would offer it
    with smtplib.SMTP("127.0.0.1", mail.postfix.port) as c:
        c.ehlo()
        assert c.has_extn("starttls")
    with imap(mail, pki) as c:
        assert not {"STARTTLS", "LOGINDISABLED"} & set(c.capabilities) and "AUTH=PLAIN" in c.capabilities
        assert b"STARTTLS" not in c.capability()[1][0]
        with pytest.raises(imaplib.IMAP4.error, match="BAD"):
            c._simple_command("STARTTLS")
    c = pop3(mail, pki)
    assert "STLS" not in c.capa() and "SASL" in c.capa()
    with pytest.raises(poplib.error_proto):
        c._shortcmd("STLS")
    c.quit()
    with smtp(mail, pki) as c:
        assert c.docmd("STARTTLS")[0] in (500, 502)


def test_large_letters_go_both_ways(mail, pki, user):
    letter = b"Subject: large\r\n\r\n" + b"".join(b"%072d\r\n" % i for i in range(60000))
    with smtp(mail, pki) as c:
        c.sendmail("x@b.test", [f"{user}@a.test"], letter)
    until(lambda: f"to=<{user}@a.test>" in mail.postfix.log, "the delivery")
    with imap(mail, pki) as c:
        c.login(user, "secret")
        c.select()
        assert c.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1] == letter.split(b"\r\n\r\n", 1)[1]


def test_letters_are_appended_and_waited_for_by_imap(mail, pki, user):
    with imap(mail, pki) as c:
        c.login(user, "secret")
        c.select()
        c.append("INBOX", "", None, LETTER)
        c.noop()
        assert c.fetch("1", "(BODY.PEEK[])")[1][0][1] == LETTER
        c.send(b"i1 IDLE\r\n")
        assert c.readline().startswith(b"+")
        mail.dovecot.put(user, b"Subject: new\r\n\r\nx\r\n")
        assert c.readline() == b"* 2 EXISTS\r\n"
        c.send(b"DONE\r\n")
        while not c.readline().startswith(b"i1 OK"):
            pass


def test_chunked_and_pipelined_smtp(mail, pki, user):
    with smtp(mail, pki) as c:
        chunk = b"Subject: x\r\n\r\nSTARTTLS\r\n"
        c.send(f"MAIL FROM:<x@b.test>\r\nRCPT TO:<{user}@a.test>\r\nBDAT {len(chunk)}\r\n".encode() + chunk
               + f"BDAT {len(chunk)} LAST\r\n".encode() + chunk + b"STARTTLS\r\nNOOP\r\n")
        codes = [c.getreply()[0] for _ in range(6)]
        assert codes[:4] + codes[5:] == [250] * 5 and codes[4] in (500, 502)


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3"])
def test_openssl_s_client_comes_to_tls(mail, pki, protocol):
    quit_line = {"smtp": "QUIT\n", "imap": "a LOGOUT\n", "pop3": "QUIT\n"}[protocol]
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{mail.ports[protocol]}", "-starttls", protocol,
                           "-servername", "a.test", "-CAfile", pki.ca_file, "-verify_return_error", "-quiet", "-crlf"],
                          input=quit_line, capture_output=True, text=True, timeout=LONG, check=False)
    assert {"smtp": "221 2.0.0 Bye", "imap": "* BYE Logging out", "pop3": "+OK"}[protocol] in done.stdout, done.stderr


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3"])
def test_gnutls_cli_comes_to_tls(mail, pki, protocol):
    done = subprocess.run(["gnutls-cli", "--starttls-proto", protocol, "--x509cafile", pki.ca_file, "--sni-hostname", "a.test",
                           "--verify-hostname", "a.test", "--crlf", "-p", str(mail.ports[protocol]), "127.0.0.1"],
                          input={"smtp": "QUIT\n", "imap": "a LOGOUT\n", "pop3": "QUIT\n"}[protocol], capture_output=True,
                          text=True, timeout=LONG, check=False)
    assert "Handshake was completed" in done.stdout, done.stdout + done.stderr
    assert {"smtp": "221 2.0.0 Bye", "imap": "* BYE Logging out", "pop3": "+OK"}[protocol] in done.stdout


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_curl_fetches_a_letter(mail, pki, user, protocol):
    mail.dovecot.put(user, b"Subject: for curl\r\n\r\nSTLS\r\nhello\r\n")
    done = curl(mail.ports[protocol], pki, "/INBOX;MAILINDEX=1" if protocol == "imap" else "/1", "--ssl-reqd", "--user",
                f"{user}:secret", "--cacert", pki.ca_file, scheme=protocol)
    assert done.returncode == 0 and "STLS\r\nhello" in done.stdout.replace("\n", "\r\n").replace("\r\r", "\r"), done


def test_curl_sends_a_letter(mail, pki, user, tmp_path):
    letter = tmp_path / "letter"
    letter.write_bytes(b"Subject: from curl\r\n\r\nSTARTTLS\r\n")
    done = curl(mail.ports["smtp"], pki, "/", "--ssl-reqd", "--cacert", pki.ca_file, "--mail-from", "x@b.test", "--mail-rcpt",
                f"{user}@a.test", "--upload-file", letter, scheme="smtp")
    assert done.returncode == 0, done
    until(lambda: f"to=<{user}@a.test>" in mail.postfix.log, "the delivery")


def test_swaks_sends_a_letter(mail, pki, user):
    done = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(mail.ports["smtp"]), "--tls", "--tls-verify",
                           "--tls-ca-path", pki.ca_file, "--tls-sni", "a.test", "--helo", "b.test", "--from", "x@b.test",
                           "--to", f"{user}@a.test", "--body", "STARTTLS"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LONG, check=False)
    assert done.returncode == 0 and "~> QUIT" in done.stdout, done.stdout + done.stderr
    assert "<-  250-STARTTLS" in done.stdout or "<-  250 STARTTLS" in done.stdout
    assert not re.search(r"^<~.*STARTTLS", done.stdout, re.MULTILINE)
    until(lambda: f"to=<{user}@a.test>" in mail.postfix.log, "the delivery")


def test_postfix_delivers_through_it(mail, certificate, pki, user):
    """Another mail server as the client, which insists on TLS."""
    sender = Postfix(certificate)
    try:
        sender.relay_to(mail.ports["smtp"], pki.ca_file, "a.test").start()
        with smtplib.SMTP("127.0.0.1", sender.port, timeout=LONG) as c:
            c.sendmail("x@b.test", [f"{user}@a.test"], b"Subject: relayed\r\n\r\nSTARTTLS\r\n")
        until(lambda: f"to=<{user}@a.test>" in sender.log, "the delivery")
        assert "Verified TLS connection established" in sender.log and "status=sent" in sender.log, sender.log
    finally:
        sender.stop()


def test_the_mail_servers_hear_the_clients_address(mail, pki, user):
    with smtp(mail, pki, "smtp_proxied", ("127.0.0.7", 0)) as c:
        c.sendmail("x@b.test", [f"{user}@a.test"], b"Subject: x\r\n\r\nx\r\n")
    until(lambda: f"to=<{user}@a.test>" in mail.postfix.log, "the delivery")
    assert re.search(r"client=\S*\[127\.0\.0\.7\]", mail.postfix.log)
    with imap(mail, pki, "imap_proxied", ("127.0.0.8", 0)) as c:
        c.login(user, "secret")
        c.select()
        assert c.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1] == b"x\r\n"
    until(lambda: re.search(rf"user=<{user}>.* rip=127\.0\.0\.8,", mail.dovecot.log), "the login in Dovecot's log")


def test_a_wrong_password_is_the_servers_affair(mail, pki):
    with imap(mail, pki) as c:
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            c.login("joe", "wrong")
        c.login("joe", "secret")


def test_a_login_before_tls_never_reaches_the_server(mail, user):
    c = imaplib.IMAP4("127.0.0.1", mail.ports["imap"], timeout=LONG)
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
        c.login(user, "secret")
    c.logout()
    p = poplib.POP3("127.0.0.1", mail.ports["pop3"], timeout=LONG)
    with pytest.raises(poplib.error_proto, match="Must issue an STLS"):
        p.user(user)
    p.quit()
    with smtplib.SMTP("127.0.0.1", mail.ports["smtp"], timeout=LONG) as s:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            s.sendmail("x@b.test", [f"{user}@a.test"], b"x")
    assert f"<{user}>" not in mail.dovecot.log and user not in mail.postfix.log


def test_the_manuals_configuration_serves_as_it_stands(mail, pki, certificate, start, user):
    """Its ports become free ones, its servers those that run here, its paths those of the test's certificate."""
    with open(os.path.join(ROOT, "docs", "mail.md"), encoding="utf-8") as f:
        text = textwrap.dedent(re.search(r"\n\n((?:    [^\n]*\n)+)", f.read()).group(1))
    config = yaml.safe_load(text)
    servers = {"smtp": mail.postfix.proxied_port, "imap": mail.dovecot.imap_proxied_port, "pop3": mail.dovecot.pop3_proxied_port}
    ports = {}
    for listener in config["listeners"].values():
        protocol = listener["protocol"]
        ports[protocol] = free_port()
        listener.update(address=f"127.0.0.1:{ports[protocol]}", certificates=[certificate_entry(certificate)])
        config["upstreams"][listener["to"]]["servers"] = [f"127.0.0.1:{servers[protocol]}"]
    start({"workers": 1, **config})
    for protocol in servers:
        what = ["--request", "NOOP"] if protocol == "smtp" else ["--user", f"{user}:secret"]
        done = curl(ports[protocol], pki, "/", "--ssl-reqd", "--cacert", pki.ca_file, *what, scheme=protocol)
        assert done.returncode == 0, (protocol, done)
