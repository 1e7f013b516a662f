"""Every suite, changes of keys and slow ends, over whoever protects records: $UNLADE_TEST_RECORDS names him."""
import os
import re
import ssl
import subprocess
import threading

import pytest

from support.backend import response
from support.client import context, get, tls_client
from support.unlade import site
from support.waiting import LONG, until

pytestmark = pytest.mark.records

SUITES = [("1.3", "TLS_AES_128_GCM_SHA256"), ("1.3", "TLS_AES_256_GCM_SHA384"), ("1.3", "TLS_CHACHA20_POLY1305_SHA256"),
          ("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")]


def follows_key_updates():
    """Not a kernel before 6.14."""
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    return os.environ.get("UNLADE_TEST_RECORDS") != "kernel" or release >= (6, 14)


def client_of(stack, pki, version, suite):
    """A client that offers this suite alone. Python cannot choose among those of TLS 1.3: the server's policy does."""
    return tls_client(stack.port, pki, least=version, most=version, ciphers=suite if version == "1.2" else None)


@pytest.mark.parametrize("version, suite", SUITES)
def test_every_suite_carries_content_both_ways(start, port, backend, certificate, pki, version, suite):
    policy = {"suites_1_3": suite} if version == "1.3" else {}
    proxy = start(site(port, backend.port, certificate, tls={"default": policy}))
    proxy.port = port

    def answer(e):
        e.read_body()
        e.send(response(e.body[::-1]))
    backend.answer = answer
    with client_of(proxy, pki, version, suite) as c:
        assert c.socket.cipher()[0] == suite
        for size in (1, 16384, 16385, 300_000):
            body = os.urandom(size)
            assert c.request(get(method="POST", body=body)).body == body[::-1]


def strict(pki, version):
    """A context for which a connection that is cut does not look like one that ended in order."""
    c = context(pki, least=version, most=version)
    c.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return c


def s_client(stack, *arguments):
    return subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{stack.port}", "-servername", "a.test", *arguments],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("key", ["k", "K"], ids=["for itself", "for both"])
def test_a_key_update_is_followed_or_ends_the_connection_with_an_alert(stack, key):
    """s_client takes `K` as a command where a read of its input begins with it: lines are written one by one. What cannot
    change its key says so: a broken message must not look whole."""
    client = s_client(stack, "-tls1_3")
    os.set_blocking(client.stdout.fileno(), False)
    text = b""

    def said(what):
        nonlocal text
        text += client.stdout.read() or b""
        return text.count(what)

    def tell(what):
        client.stdin.write(what)
        client.stdin.flush()
    until(lambda: said(b"Verify return code"), "the handshake")
    tell(get("/first"))
    until(lambda: said(b"HTTP/1.1 200"), "the answer before")
    for number in range(3 if follows_key_updates() else 0):
        tell(key.encode() + b"\n")
        until(lambda n=number: said(b"KEYUPDATE") > n, "the key update")
        tell(get(f"/{number}"))
        until(lambda n=number: said(b"HTTP/1.1 200") > n + 1, "the answer")
    if not follows_key_updates():
        tell(key.encode() + b"\n")
        until(lambda: said(b"alert number 80"), "the alert internal_error")
    client.stdin.close()
    client.wait(LONG)
    client.stdout.close()
    assert (b"alert" in text) != follows_key_updates(), text


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_slow_readers_last_bytes_come_before_the_end(start, port, backend, certificate, pki, version):
    """All of the response waits somewhere on its way when the server ends; close_notify comes behind it."""
    start(site(port, backend.port, certificate))
    body, sent = os.urandom(1_000_000) * 16, threading.Event()

    def answer(e):
        e.send(response(body))
        sent.set()
    backend.answer = answer
    with tls_client(port, ssl_context=strict(pki, version), receive_buffer=65536) as c:
        c.socket.suppress_ragged_eofs = False
        c.send(get(fields=["Connection: close"]))
        assert not sent.wait(.5), "the sockets between take all of it: the test shows nothing"
        assert c.response().body == body
        assert c.socket.recv(1) == b""  # without close_notify this raises


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_ends_say_close_notify(stack, pki, version):
    """The answer, then close_notify, then whatever the client still has to say."""
    stack.backend.answer = lambda e: e.send(response(b"x" * 100000))
    with tls_client(stack.port, ssl_context=strict(pki, version)) as c:
        c.socket.suppress_ragged_eofs = False
        c.send(get(fields=["Connection: close"]))
        assert len(c.response().body) == 100000
        assert c.socket.recv(1) == b""
        c.socket.unwrap()


def test_a_fatal_alert_of_the_client_ends_the_connection(start, port, backend, certificate, pki):
    """A client that does not know the CA says so after its handshake is complete for us (TLS 1.3)."""
    start(site(port, backend.port, certificate))
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_client(port, pki, name="c.test")
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
