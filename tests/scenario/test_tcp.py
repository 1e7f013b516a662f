"""TCP mode: TLS ends at the proxy, and what is inside is relayed both ways."""
import contextlib
import fcntl
import hashlib
import os
import socket
import ssl
import struct
import tempfile
import termios
import threading
from random import Random

import pytest

from support.client import connect, context, plain_client, tls_client
from support.ports import free_port
from support.raw import RawServer, digest_of, noise, read_all, read_exactly, reset
from support.unlade import site
from support.waiting import LONG, ready, until


def relay(port, to, certificate=None, listener=None, **options):
    return site(port, to, certificate, listener={"protocol": "tcp", **(listener or {})}, **options)


@pytest.fixture
def server():
    with RawServer() as raw:
        yield raw


def close_notify(tls):
    """Ends our direction under TLS in order; the other one stays open."""
    try:
        tls.unwrap()
    except (ssl.SSLError, OSError):
        pass


class Memory:
    """TLS of a client by hand: its two directions end by themselves, and a reset looks like one."""

    def __init__(self, port, ssl_context, name="a.test", **options):
        self.sock = connect(port, **options)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._pump(self.tls.do_handshake)

    def _flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def _pump(self, step):
        while True:
            try:
                result = step()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    self.incoming.write_eof()
                else:
                    self.incoming.write(data)

    def sendall(self, data):
        view = memoryview(data)
        while view:
            view = view[self._pump(lambda v=view: self.tls.write(v)):]

    def recv(self, most):
        """b"" after close_notify."""
        try:
            return self._pump(lambda: self.tls.read(most))
        except ssl.SSLZeroReturnError:
            return b""

    def end(self):
        """close_notify and FIN, while the other direction goes on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def duplex(self, blocks):
        """Sends the blocks and an end while it takes what comes; (SHA-256, size) of that."""
        digest, count, ended, waiting = hashlib.sha256(), 0, False, b""
        self.sock.setblocking(False)
        blocks = iter(blocks)
        while True:
            if not waiting and not ended:
                block = next(blocks, None)
                if block is None:
                    ended = True
                    with contextlib.suppress(ssl.SSLWantReadError):
                        self.tls.unwrap()
                else:
                    self.tls.write(block)
                waiting = self.outgoing.read()
            readable, writable = ready(self.sock, bool(waiting), LONG)
            assert readable or writable, "stuck"
            if writable:
                waiting = waiting[self.sock.send(waiting):]
            if readable:
                self.incoming.write(self.sock.recv(1 << 18))
                try:
                    while data := self.tls.read(1 << 18):
                        digest.update(data)
                        count += len(data)
                except ssl.SSLZeroReturnError:
                    return digest.hexdigest(), count
                except ssl.SSLWantReadError:
                    pass

    def close(self):
        self.sock.close()


@pytest.mark.records
def test_bytes_go_both_ways_under_tls(start, port, certificate, pki, server):
    start(relay(port, server.port, certificate))
    with tls_client(port, pki) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"
        assert c.socket.selected_alpn_protocol() is None


def test_bytes_go_both_ways_in_the_clear(start, port, server):
    start(relay(port, server.port))
    with plain_client(port) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_the_server_may_speak_first(start, port, certificate, pki, tls):
    with RawServer(lambda c: (c.sendall(b"220 ready\r\n"), read_all(c))) as server:
        start(relay(port, server.port, certificate if tls else None))
        with tls_client(port, pki) if tls else plain_client(port) as c:
            assert c.read_line() == b"220 ready"
            if tls:
                close_notify(c.socket)


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_the_clients_end_reaches_the_server_and_the_other_direction_goes_on(start, port, certificate, pki, tls):
    def answer_at_the_end(c):
        c.sendall(hashlib.sha256(read_all(c)).hexdigest().encode())

    with RawServer(answer_at_the_end) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        c.sendall(b"x" * 100000)
        c.end() if tls else c.shutdown(socket.SHUT_WR)
        assert read_all(c) == hashlib.sha256(b"x" * 100000).hexdigest().encode()
        c.close()
        record = proxy.access_records()[0]
        assert record["request_bytes"] == 100000 and record["response_bytes"] == 64 and "error" not in record


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_the_servers_end_reaches_the_client_and_the_other_direction_goes_on(start, port, certificate, pki, tls):
    got = []

    def end_first(c):
        c.sendall(b"bye")
        c.shutdown(socket.SHUT_WR)
        got.append(read_all(c))

    with RawServer(end_first) as server:
        start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        assert read_all(c) == b"bye"
        c.sendall(b"y" * 50000)
        c.end() if tls else c.shutdown(socket.SHUT_WR)
        until(lambda: got, "the server to see the end")
        assert got == [b"y" * 50000]
        c.close()


@pytest.mark.parametrize("tls", [True, False])
def plain_duplex(c, blocks):
    sender = threading.Thread(target=lambda: ([c.sendall(b) for b in blocks], c.shutdown(socket.SHUT_WR)))
    sender.start()
    result = digest_of(c)
    sender.join()
    return result


@pytest.mark.parametrize("tls", [True, False])
def test_large_streams_pass_whole_in_both_directions_at_once(start, port, certificate, pki, tls):
    count, block = 100, noise(1 << 20)
    expected = (hashlib.sha256(block * count).hexdigest(), count << 20)
    seen = []

    with RawServer(lambda c: seen.append(plain_duplex(c, [block] * count))) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki)) if tls else connect(port)
        assert (c.duplex([block] * count) if tls else plain_duplex(c, [block] * count)) == expected
        until(lambda: seen, "the server to see the end")
        assert seen == [expected]
        c.close()
        record = proxy.access_records()[0]
        assert record["request_bytes"] == record["response_bytes"] == count << 20
        assert "error" not in record


# ---- cut short ----

def sees_reset(sock):
    """Whether what is left of the connection ends with a reset, not with an end."""
    try:
        while sock.recv(65536):
            pass
        return False
    except ConnectionResetError:
        return True


def unconfirmed(sock):
    """Bytes that the other side's kernel does not have yet (SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_a_reset_of_the_client_resets_the_server(start, port, certificate, pki, tls):
    seen = []
    with RawServer(lambda c: (seen.append(read_exactly(c, 5)), seen.append(sees_reset(c)))) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = tls_client(port, pki) if tls else plain_client(port)
        c.send(b"hello")
        until(lambda: seen, "the server to have it: a reset throws away what the proxy's kernel holds")
        c.reset()
        until(lambda: len(seen) == 2, "the server to see the end")
        assert seen == [b"hello", True]
        assert proxy.access_records()[0]["error"] == "reset"


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_a_reset_of_the_server_resets_the_client_after_its_last_words(start, port, certificate, pki, tls):
    def last_words(c):
        c.sendall(b"z" * 200000)
        until(lambda: unconfirmed(c) == 0, "the proxy to have all")
        reset(c)

    with RawServer(last_words) as server:
        proxy = start(relay(port, server.port, certificate if tls else None))
        c = Memory(port, context(pki), receive_buffer=16384) if tls else connect(port, receive_buffer=16384)
        assert read_exactly(c, 200000) == b"z" * 200000
        assert sees_reset(c)
        c.close()
        assert proxy.access_records()[0]["error"] == "server_closed"


@pytest.mark.records
def test_an_end_of_tls_without_close_notify_is_no_end_in_order(start, port, certificate, pki):
    """All that came reaches the server, and then a reset: nobody may cut a stream so that it looks whole."""
    seen = []
    with RawServer(lambda c: seen.append((read_exactly(c, 300000), sees_reset(c)))) as server:
        proxy = start(relay(port, server.port, certificate))
        with tls_client(port, pki) as c:
            c.send(b"w" * 300000)
            c.half_close()
            until(lambda: seen, "the server to see the end")
        assert seen == [(b"w" * 300000, True)]
        assert proxy.access_records()[0]["error"] == "truncated"


@pytest.mark.records
def test_what_came_before_a_truncation_reaches_a_slow_server_whole(start, port, certificate, pki):
    go, seen = threading.Event(), []

    def slow(c):
        c.sendall(b"go")
        go.wait(LONG)
        seen.append((read_exactly(c, 3000000), sees_reset(c)))

    with RawServer(slow) as server:
        start(relay(port, server.port, certificate))
        with tls_client(port, pki) as c:
            assert c.read_exactly(2) == b"go"  # and the tickets before it: nothing is left unread
            c.send(b"v" * 3000000)
            c.half_close()
            go.set()
            until(lambda: seen, "the server to have all")
        assert seen == [(b"v" * 3000000, True)]


@pytest.mark.records
def test_what_is_no_record_gets_an_alert_and_cuts_the_server_off(start, port, certificate, pki):
    seen = []
    with RawServer(lambda c: seen.append((read_exactly(c, 5), sees_reset(c)))) as server:
        proxy = start(relay(port, server.port, certificate))
        c = Memory(port, context(pki))
        c.sendall(b"hello")
        server.wait_connections(1)
        c.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
            while c.recv(100):
                pass
        until(lambda: seen, "the server to see the end")
        assert seen == [(b"hello", True)]
        assert proxy.access_records()[0]["error"] == "tls"


def test_a_client_that_resets_while_its_server_does_not_read_is_noticed(start, port, server_that_never_reads):
    proxy = start(relay(port, server_that_never_reads.port))
    c = connect(port)
    c.settimeout(0.5)
    with pytest.raises(socket.timeout):
        c.sendall(b"x" * (64 << 20))
    reset(c)
    assert proxy.access_records()[0]["error"] == "reset"


@pytest.fixture
def server_that_never_reads():
    end = threading.Event()
    with RawServer(lambda c: end.wait(LONG)) as raw:
        yield raw
        end.set()


# ---- servers ----

def test_the_next_server_is_tried_and_what_the_client_said_is_kept(start, port, certificate, pki, server):
    proxy = start(relay(port, [free_port(), free_port(), server.port], certificate))
    for _ in range(3):
        with tls_client(port, pki) as c:
            c.send(b"kept")
            assert c.read_exactly(4) == b"kept"
            close_notify(c.socket)
    assert max(r["attempts"] for r in proxy.access_records(3)) == 3


def test_without_a_server_the_client_is_reset(start, port, certificate, pki):
    proxy = start(relay(port, [free_port(), free_port()], certificate))
    assert sees_reset(Memory(port, context(pki)))
    record = proxy.access_records()[0]
    assert record["error"] == "connect" and record["attempts"] == 2 and record["protocol"] == "tcp"


def test_a_server_that_does_not_answer_is_left_for_the_next(start, port, server):
    """192.0.2.1 is nobody's (RFC 5737); where it is refused at once, the test shows the retry alone."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]  # a full queue: the kernel drops further SYNs
        for c in crowd:
            c.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                c.connect(full.getsockname())
        start(relay(port, [full.getsockname()[1], server.port], upstream={"timeouts": {"connect": "200ms"}}))
        for _ in range(2):
            with plain_client(port) as c:
                c.send(b"hello")
                assert c.read_exactly(5) == b"hello"
        for c in crowd:
            c.close()


# ---- limits ----

def test_an_idle_relay_is_cut_and_one_in_use_is_not(start, port, server):
    proxy = start(relay(port, server.port, listener={"timeouts": {"tunnel": "400ms"}}))
    with plain_client(port) as c:
        for _ in range(20):
            c.send(b"tick")
            assert c.read_exactly(4) == b"tick"
            threading.Event().wait(0.05)
        assert sees_reset(c.socket)
    record = proxy.access_records()[0]
    assert record["error"] == "timeout_idle" and record["request_bytes"] == 80
    assert record["total_us"] >= 1300000


@pytest.mark.records
def test_a_slow_reader_stops_the_writer_and_gets_everything(start, port, certificate, pki):
    block, count, sent = noise(1 << 20), 64, []

    def pour(c):
        for _ in range(count):
            c.sendall(block)
            sent.append(len(block))

    with RawServer(pour) as server:
        start(relay(port, server.port, certificate))
        with tls_client(port, pki, receive_buffer=16384) as c:
            assert c.read_exactly(1 << 20) == block
            threading.Event().wait(0.3)
            assert len(sent) < count, "the writer was not held back"
            for _ in range(count - 1):
                assert c.read_exactly(1 << 20) == block
            assert c.socket.recv(1) == b""


def test_a_thousand_connections_at_once(start, port, server):
    proxy = start(relay(port, server.port))
    clients = [plain_client(port) for _ in range(1000)]
    for i, c in enumerate(clients):
        c.send(b"%06d" % i)
    for i, c in enumerate(clients):
        assert c.read_exactly(6) == b"%06d" % i
    for c in clients:
        c.close()
    assert all("error" not in r for r in proxy.access_records(1000))


# ---- reload and drain ----

def test_a_relay_outlives_a_reload_that_leads_elsewhere(start, port, server):
    with RawServer(lambda c: c.sendall(b"other")) as other:
        proxy = start(relay(port, server.port))
        with plain_client(port) as c:
            c.send(b"a")
            assert c.read_exactly(1) == b"a"
            proxy.reload(relay(port, other.port))
            with plain_client(port) as second:
                assert second.read_to_close() == b"other"
            c.send(b"b")
            assert c.read_exactly(1) == b"b"


def test_draining_waits_for_relays(start, port, server):
    proxy = start(relay(port, server.port, stop={"drain": "25s"}))
    with plain_client(port) as c:
        c.send(b"a")
        assert c.read_exactly(1) == b"a"
        proxy.signal(15)
        until(lambda: any("STOPPING=1" in m for m in proxy.notifications()), "draining to begin")
        c.send(b"b")
        assert c.read_exactly(1) == b"b"
    assert proxy.wait() == 0
    assert "error" not in proxy.access_records()[0]


def test_the_limit_of_draining_cuts_relays(start, port, server):
    proxy = start(relay(port, server.port, stop={"drain": "300ms"}))
    with plain_client(port) as c:
        c.send(b"a")
        assert c.read_exactly(1) == b"a"
        proxy.signal(15)
        assert sees_reset(c.socket)
    assert proxy.wait() == 0
    assert proxy.access_records()[0]["error"] == "stopping"


# ---- log ----

def test_the_access_log_has_a_line_for_each_connection(start, port, certificate, pki, server):
    proxy = start(relay(port, server.port, certificate))
    with tls_client(port, pki) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"
        close_notify(c.socket)
    record = proxy.access_records()[0]
    assert record["protocol"] == "tcp" and record["listener"] == "web" and record["upstream"] == "app"
    assert record["server"] == f"127.0.0.1:{server.port}" and record["attempts"] == 1
    assert record["tls_version"] == "TLSv1.3" and record["sni"] == "a.test"
    assert record["request_bytes"] == record["response_bytes"] == 5
    assert {"handshake_us", "connect_us", "total_us"} <= record.keys()
    assert not {"status", "method", "path", "server_reused"} & record.keys()


def test_the_combined_format_copes_with_what_has_no_request(start, port, server, tmp_path):
    file = tmp_path / "combined.log"
    start(relay(port, server.port, log={"access": {"to": str(file), "format": "combined"}}))
    with plain_client(port) as c:
        c.send(b"hello")
        assert c.read_exactly(5) == b"hello"
    line = until(lambda: file.exists() and file.read_text(), "a line")
    assert '"tcp" 000 5 "-" "-"' in line


# ---- everything at once ----

def misbehave(sock, random, most=200000):
    """Sends and takes some, and ends in one of the ways in which connections end."""
    for _ in range(random.randrange(4)):
        try:
            if random.random() < 0.5:
                sock.sendall(bytes(random.randrange(most)))
            else:
                sock.settimeout(0.05)
                sock.recv(random.randrange(1, most))
        except (socket.timeout, ssl.SSLError, OSError):
            pass
        sock.settimeout(LONG)
    way = random.randrange(4)
    with contextlib.suppress(OSError, ssl.SSLError, ValueError):
        if way == 0:
            reset(sock)
        elif way == 1:
            socket.socket.shutdown(sock, socket.SHUT_WR)
            sock.settimeout(1)
            read_all(sock)
        elif way == 2 and isinstance(sock, ssl.SSLSocket):
            sock.settimeout(1)
            sock.unwrap()
    sock.close()


@pytest.mark.records
@pytest.mark.parametrize("tls", [True, False])
def test_no_way_to_end_leaves_anything_behind(start, port, certificate, pki, tls):
    """Hundreds of connections, both sides of which end as they please: each has its line, and draining waits for none."""
    count, lock, seeds = 200, threading.Lock(), iter(range(10000))

    def seeded():
        with lock:
            return Random(next(seeds))

    with RawServer(lambda c: misbehave(c, seeded())) as server:
        proxy = start(relay(port, server.port, certificate if tls else None, stop={"drain": "29s"}))

        def work():
            for _ in range(count // 8):
                with contextlib.suppress(OSError, ssl.SSLError):
                    c = tls_client(port, pki).socket if tls else connect(port)
                    misbehave(c, seeded())

        workers = [threading.Thread(target=work) for _ in range(8)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        proxy.access_records(count - (count // 8 if tls else 0))  # a server may reset before the client's handshake is done
        proxy.signal(15)
        assert proxy.wait(15) == 0


@pytest.fixture
def open_directory():
    """One that the worker, which has another user, may enter."""
    with tempfile.TemporaryDirectory(prefix="unlade-tcp-") as directory:
        os.chmod(directory, 0o755)
        yield directory


@pytest.mark.parametrize("end", ["half", "whole"])
def test_unix_sockets_on_both_sides(start, open_directory, end):
    """There, one who closed looks like one who was reset: its words arrive all the same."""
    path, front = f"{open_directory}/backend.sock", f"{open_directory}/front.sock"

    def answer(c):
        if end == "half":
            c.sendall(hashlib.sha256(read_all(c)).hexdigest().encode())
        else:
            c.sendall(hashlib.sha256(read_exactly(c, 300000)).hexdigest().encode())

    with RawServer(answer, path=path):
        config = relay(1, f"unix:{path}")
        config["listeners"]["web"]["address"] = f"unix:{front}"
        os.chmod(path, 0o777)
        start(config)
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(LONG)
            c.connect(front)
            c.sendall(b"u" * 300000)
            if end == "half":
                c.shutdown(socket.SHUT_WR)
            assert read_all(c) == hashlib.sha256(b"u" * 300000).hexdigest().encode()
