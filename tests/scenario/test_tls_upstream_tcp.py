"""TCP relays to servers over TLS: the same verification, both directions to their ends, cuts that are seen as such."""
import os
import socket
import ssl
import subprocess
import threading

import pytest

from support.client import connect
from support.ports import free_port
from support.tls_backend import Fixed
from support.waiting import until
from test_tls_upstream import server_certificate  # noqa: F401  pylint: disable=unused-import


class TlsServer(Fixed):
    """act(ssl socket) for each connection that shook hands."""

    def __init__(self, certificate, act, alpn=None, preface=b""):
        self.errors, self.prefaces = [], []

        def shake(sock):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain_file, certificate.key_file)
            if alpn:
                context.set_alpn_protocols(alpn)
            if preface:
                self.prefaces.append(sock.recv(len(preface), socket.MSG_WAITALL))
            try:
                with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as tls:
                    act(tls)
            except (ssl.SSLError, OSError) as error:
                self.errors.append(error)
        super().__init__(shake)


@pytest.fixture
def serve(pki, server_certificate):  # noqa: F811
    kept = []

    def start_one(act, **options):
        kept.append(TlsServer(options.pop("certificate", server_certificate), act, **options))
        return kept[-1]

    yield start_one
    for server in kept:
        server.stop()


def relay(port, pki, *servers, upstream=None, **tls):
    return {"workers": 1, "listeners": {"raw": {"address": f"127.0.0.1:{port}", "protocol": "tcp", "tls": "off", "to": "db"}},
            "upstreams": {"db": {"servers": [f"127.0.0.1:{s.port}" for s in servers], "tls": {"ca": pki.ca_file, **tls},
                                 **(upstream or {})}}}


def everything(sock):
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def test_what_a_server_says_first_comes_first(start, port, pki, serve):
    server = serve(lambda s: (s.sendall(b"220 hello\r\n"), s.sendall(b"you said " + s.recv(100))))
    start(relay(port, pki, server))
    with connect(port) as c:
        assert c.recv(100) == b"220 hello\r\n"
        c.sendall(b"noop")
        assert c.recv(100) == b"you said noop"


def test_an_end_is_passed_on_while_the_other_direction_goes_on(start, port, pki, serve):
    said = []

    def act(s):
        said.append(everything(s))  # to its close_notify
        s.sendall(b"late words")
        s.unwrap()
    start(relay(port, pki, serve(act)))
    with connect(port) as c:
        c.sendall(b"all that I have")
        c.shutdown(socket.SHUT_WR)
        assert everything(c) == b"late words"
    assert said == [b"all that I have"]


def test_an_end_without_close_notify_is_a_reset_for_the_client(start, port, pki, serve):
    server = serve(lambda s: (s.sendall(b"half"), s.recv(100), socket.socket.shutdown(s, socket.SHUT_WR), s.recv(100)))
    start(relay(port, pki, server))
    with connect(port) as c:
        assert c.recv(100) == b"half"
        c.sendall(b"go")
        with pytest.raises(ConnectionResetError):
            everything(c)


def test_much_goes_both_ways_at_once(start, port, pki, serve):
    def echo(s):
        while data := s.recv(65536):
            s.sendall(data)
        s.unwrap()
    start(relay(port, pki, serve(echo)))
    data = os.urandom(8 << 20)
    with connect(port) as c:
        sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
        sender.start()
        assert everything(c) == data
        sender.join()


def test_a_server_that_does_not_prove_itself_gets_nothing(start, port, pki, serve):
    got = []
    server = serve(lambda s: got.append(s.recv(100)), certificate=pki.expired("127.0.0.1"))
    proxy = start(relay(port, pki, server))
    with connect(port) as c:
        c.sendall(b"secret")
        try:
            assert everything(c) == b""
        except ConnectionResetError:
            pass
    proxy.wait_stderr(r"TLS with the server .* of upstream \"db\" failed: certificate has expired")
    assert proxy.access_records(1)[0]["error"] == "server_certificate" and got == []


def test_another_server_is_tried(start, port, pki, serve):
    bad, good = serve(lambda s: s.recv(1), certificate=pki.expired("127.0.0.1")), serve(lambda s: s.sendall(b"good"))
    start(relay(port, pki, bad, good))
    for _ in range(4):
        with connect(port) as c:
            assert c.recv(100) == b"good"


def test_alpn_is_offered_where_it_is_written(start, port, pki, serve):
    server = serve(lambda s: s.sendall(str(s.selected_alpn_protocol()).encode()), alpn=["postgresql"])
    start(relay(port, pki, server, alpn=["postgresql"]))
    with connect(port) as c:
        assert c.recv(100) == b"postgresql"


def test_a_proxy_header_goes_before_tls_in_clear(start, port, pki, serve):
    with socket.socket() as c:
        c.bind(("127.0.0.1", 0))
        source = c.getsockname()[1]
        expected = f"PROXY TCP4 127.0.0.1 127.0.0.1 {source} {port}\r\n".encode()
        server = serve(lambda s: s.sendall(b"good"), preface=expected)
        start(relay(port, pki, server, upstream={"send_proxy": "v1"}))
        c.settimeout(30)
        c.connect(("127.0.0.1", port))
        assert c.recv(100) == b"good"
        assert server.prefaces == [expected]


def test_a_real_redis_that_demands_certificates_is_reached(start, port, pki, server_certificate, tmp_path):  # noqa: F811
    there = free_port()
    ours = pki.leaf(client=True, common_name="unlade")
    redis = subprocess.Popen(["redis-server", "--port", "0", "--tls-port", str(there), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path),
                              "--tls-cert-file", server_certificate.chain_file, "--tls-key-file", server_certificate.key_file,
                              "--tls-ca-cert-file", pki.ca_file, "--tls-auth-clients", "yes"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: is_open(there), "redis to listen")
        config = relay(port, pki, certificate=ours.chain_file, key=ours.key_file)
        config["upstreams"]["db"]["servers"] = [f"127.0.0.1:{there}"]
        start(config)
        big = os.urandom(2 << 20)
        with connect(port) as c:
            c.sendall(b"PING\r\n")
            assert c.recv(100) == b"+PONG\r\n"
            c.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\nQUIT\r\n" % (len(big), big))
            assert everything(c) == b"+OK\r\n+OK\r\n"
        with connect(port) as c:
            c.sendall(b"GET k\r\nQUIT\r\n")
            assert everything(c) == b"$%d\r\n%s\r\n+OK\r\n" % (len(big), big)
    finally:
        redis.terminate()
        redis.wait()


def is_open(number):
    try:
        socket.create_connection(("127.0.0.1", number), 1).close()
        return True
    except OSError:
        return False
