"""Who protects records makes no difference to either side: what each receives, which alerts, in what order it ends.

Each scenario is a script whose transcript is compared with the one written here, for every record layer and both versions
of TLS. Run by itself it takes the layers that need no kernel module; $UNLADE_TEST_RECORDS names another."""
import hashlib
import os
import pty
import re
import socket
import ssl
import subprocess
import threading

import pytest

from support.backend import response
from support.client import connect, context, get
from support.unlade import site
from support.waiting import LONG, until

pytestmark = pytest.mark.records
LAYERS = [os.environ["UNLADE_TEST_RECORDS"]] if os.environ.get("UNLADE_TEST_RECORDS") else ["user", "openssl"]


@pytest.fixture(params=LAYERS)
def layer(request):
    return request.param


@pytest.fixture(params=["1.2", "1.3"])
def version(request):
    return request.param


class Script:
    """A client over memory: it sees TLS's own words and the end of TCP apart, and may spoil what it sends."""

    def __init__(self, port, pki, version):
        self.raw = connect(port)
        self.raw.settimeout(LONG)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context(pki, least=version, most=version)
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_hostname="a.test")
        self.record_sizes = []
        self._unparsed = b""
        while not self._shake():
            self._take()

    def _shake(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self._give()

    def _give(self, change=lambda data: data):
        if self.outgoing.pending:
            self.raw.sendall(change(self.outgoing.read()))

    def _take(self):
        """False at the end of TCP."""
        data = self.raw.recv(65536)
        if not data:
            return False
        self._unparsed += data
        while len(self._unparsed) >= 5 and len(self._unparsed) >= 5 + int.from_bytes(self._unparsed[3:5], "big"):
            size = int.from_bytes(self._unparsed[3:5], "big")
            self.record_sizes.append(size)
            self._unparsed = self._unparsed[5 + size:]
        self.incoming.write(data)
        return True

    def send(self, data, change=lambda data: data):
        self.tls.write(data)
        self._give(change)

    def goodbye(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._give()

    def read_until(self, enough):
        data = b""
        while not enough(data):
            try:
                data += self.tls.read(65536)
            except ssl.SSLWantReadError:
                assert self._take(), f"the connection ended behind {data!r}"
        return data

    def transcript(self):
        """What comes until the end: [content, what TLS says last, how TCP ends]."""
        data, last, end = b"", None, "FIN"
        while True:
            try:
                if last is None:
                    more = self.tls.read(65536)
                    if not more:
                        last = "close_notify"
                    data += more
                    continue
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                last = "close_notify"
            except ssl.SSLError as error:
                last = re.sub(r".*alert ", "", error.reason.lower().replace("_", " "))
            try:
                if not self._take():
                    break
            except ConnectionResetError:
                end = "RST"
                break
        return [data, last, end]

    def close(self):
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def open_script(start, port, backend, pki, certificate, layer, version):
    opened = []

    def open_one(**options):
        start(site(port, backend.port, certificate, tls={"default": {"records": layer}}, **options))
        opened.append(Script(port, pki, version))
        return opened[-1]

    yield open_one
    for script in opened:
        script.close()


def body_of(transcript):
    head, body = transcript[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    return body


def test_the_last_response_is_followed_by_close_notify_and_fin(open_script):
    s = open_script()
    s.send(get(fields=["Connection: close"]))
    seen = s.transcript()
    assert body_of(seen) == b"ok" and seen[1:] == ["close_notify", "FIN"]


def test_a_client_that_says_goodbye_gets_its_answer_and_ours(open_script):
    s = open_script()
    s.send(get())
    s.goodbye()
    seen = s.transcript()
    assert body_of(seen) == b"ok" and seen[1:] == ["close_notify", "FIN"]


def test_an_idle_connection_ends_with_close_notify(open_script):
    s = open_script(listener={"timeouts": {"idle": "500ms"}})
    s.send(get())
    seen = s.transcript()
    assert body_of(seen) == b"ok" and seen[1:] == ["close_notify", "FIN"]


def test_a_response_that_is_cut_short_does_not_look_whole(open_script, backend):
    """Neither close_notify nor FIN: the client must see that something is missing."""
    def answer(e):
        e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome of it")
        e.reset()

    backend.answer = answer
    s = open_script()
    s.send(get())
    seen = s.transcript()
    assert seen[1:] == [None, "RST"]


def test_a_spoilt_record_is_answered_with_bad_record_mac_and_gives_nothing(open_script, backend):
    s = open_script()
    s.send(get(), change=lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    seen = s.transcript()
    assert seen[0] == b"" and seen[1] == "bad record mac"
    assert not backend.exchanges


def test_a_record_over_the_limit_is_answered_with_record_overflow(open_script, backend):
    s = open_script()
    s.raw.sendall(b"\x17\x03\x03\x48\x01" + bytes(16))  # the kernel looks once the nonce has come
    assert s.transcript()[1] == "record overflow"
    assert not backend.exchanges


def test_an_upload_that_is_cut_off_never_looks_whole(open_script, backend):
    """TCP ends without close_notify: a body up to there would be a forger's (RFC 8446 6.1)."""
    s = open_script()
    s.send(get(method="POST", fields=["Content-Length: 1000"]) + b"half of it")
    backend.wait_exchanges(1)
    s.raw.shutdown(socket.SHUT_WR)
    s.transcript()
    until(lambda: backend.connections[0].ended.is_set(), "the server's connection to end")
    assert not backend.exchanges[0].complete.is_set()


def test_megabytes_pass_unchanged_in_both_directions(open_script, backend):
    content = os.urandom(3_000_017)
    backend.answer = lambda e: e.send(response(hashlib.sha256(e.read_body()).hexdigest().encode() + content))
    s = open_script()
    s.send(get(method="POST", body=content, fields=["Connection: close"]))
    seen = s.transcript()
    body = body_of(seen)
    assert body[:64].decode() == hashlib.sha256(content).hexdigest() and body[64:] == content
    assert seen[1:] == ["close_notify", "FIN"]


def test_requests_in_tiny_records_are_put_together(open_script):
    s = open_script()
    for byte in get(fields=["Connection: close"]):
        s.send(bytes([byte]))
    seen = s.transcript()
    assert body_of(seen) == b"ok" and seen[1:] == ["close_notify", "FIN"]


def test_both_halves_of_a_tcp_relay_end_on_their_own(start, port, pki, certificate, layer, version):
    """The client ends its direction; what the server says after that still arrives, and then its end."""
    listener = socket.create_server(("127.0.0.1", 0))
    received = []

    def serve():
        connection = listener.accept()[0]
        with connection:
            while data := connection.recv(65536):
                received.append(data)
            connection.sendall(b"all of it came")

    server = threading.Thread(target=serve)
    server.start()
    start(site(port, listener.getsockname()[1], certificate, listener={"protocol": "tcp"},
               tls={"default": {"records": layer}}))
    with Script(port, pki, version) as s:
        s.send(b"first and last")
        s.goodbye()
        assert s.transcript() == [b"all of it came", "close_notify", "FIN"]
    server.join()
    listener.close()
    assert b"".join(received) == b"first and last"


if "user" in LAYERS:  # the kernel and OpenSSL cut records as they like
    def test_the_first_bytes_come_in_small_records_and_a_stream_in_full_ones(start, port, backend, pki, certificate):
        backend.answer = lambda e: e.send(response(bytes(2_000_000)))
        start(site(port, backend.port, certificate, tls={"default": {"records": "user"}}))
        with Script(port, pki, "1.3") as s:
            s.record_sizes.clear()
            s.send(get(fields=["Connection: close"]))
            s.transcript()
            sizes = [size for size in s.record_sizes if size > 200]  # without the ticket's neighbours and alerts
        assert all(size <= 1400 for size in sizes[:10])
        assert sizes.count(16384 + 17) > 100


class Interactive:
    """openssl s_client as someone types into it, who sees its output on a terminal at once: lines of K and k are commands."""

    def __init__(self, port):
        self.screen, terminal = pty.openpty()
        self.process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "a.test",
                                         "-tls1_3", "-msg", "-crlf"], stdin=subprocess.PIPE, stdout=terminal, stderr=terminal)
        os.close(terminal)
        self.output = b""
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while data := os.read(self.screen, 65536):
                self.output += data
        except OSError:  # a terminal's end
            pass
        self.ended.set()

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def wait(self, pattern):
        until(lambda: re.search(pattern, self.output), f"{pattern!r} in {self.output!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        assert self.ended.wait(LONG)
        self.process.stdin.close()
        os.close(self.screen)


def kernel_takes_new_keys():
    return tuple(int(n) for n in os.uname().release.split(".")[:2]) >= (6, 14)


@pytest.mark.parametrize("command", ["K", "k"], ids=["update and request", "update"])
def test_a_key_update_is_followed_and_answered(start, port, backend, certificate, layer, command):
    """By openssl s_client: K asks for ours, too, and the next response is under the next key."""
    start(site(port, backend.port, certificate, tls={"default": {"records": layer}}))
    with Interactive(port) as c:
        c.wait(rb"read R BLOCK|Extended master secret: no\r?\n.*---\r?\n")
        c.type(b"GET /first HTTP/1.1\nHost: a.test\n\n")
        c.wait(rb"HTTP/1.1 200")
        c.type(command.encode() + b"\n")
        c.wait(rb">>> TLS 1.3, Handshake \[length 0005\], KeyUpdate")
        if layer == "kernel" and not kernel_takes_new_keys():
            assert c.ended.wait(LONG)
            assert b"<<< TLS 1.3, Alert [length 0002], fatal internal_error" in c.output
            return
        c.type(b"GET /second HTTP/1.1\nHost: a.test\nConnection: close\n\n")
        c.wait(rb"(?s)HTTP/1.1 200.*HTTP/1.1 200")
        assert c.ended.wait(LONG)
        answers = c.output.count(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
    assert answers == (1 if command == "K" else 0)
    assert [e.target for e in backend.exchanges] == ["/first", "/second"]
