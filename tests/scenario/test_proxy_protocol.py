"""The PROXY protocol of clients: from listed networks alone, exact, in time, whatever the pieces; and from real senders."""
import re
import socket
import ssl
import struct
import subprocess

import pytest

from support import daemon, proxy_protocol as pp
from support.client import Client, HelloClient, client_hello_bytes, connect, context, get
from support.ports import free_port
from support.raw import RawServer, read_all
from support.unlade import Unlade, command, site
from support.waiting import LONG, until

LISTED = {"proxy_protocol": {"from": ["127.0.0.1/32"]}}


def proxied(start, port, backend, certificate=None, **options):
    listener = {"proxy_protocol": {"from": ["127.0.0.1"], **options.pop("proxy_protocol", {})}, **options}
    return start(site(port, backend.port, certificate, listener=listener))


def ask(sock, pki=None, name="a.test", **options):
    """One request over a socket on which the header was said; with a pki, under TLS."""
    if pki:
        sock = context(pki, **options).wrap_socket(sock, server_hostname=name)
    with Client(sock) as c:
        return c.request(get(host=name))


def ended(sock):
    """The other side closed, in order or not, and sent nothing."""
    sock.settimeout(LONG)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


HEADERS = {
    "v1": pp.v1(), "v1 IPv6": pp.v1("2001:db8::7", "2001:db8::1"), "v2": pp.v2(), "v2 IPv6": pp.v2("2001:db8::7", "2001:db8::1"),
    "v2 with TLVs": pp.v2(tlvs=pp.tlv(pp.ALPN, b"h2") + pp.tlv(pp.NOOP, bytes(300)) + pp.tlv(0xe1, b"own"), checksum=True),
}
EXPECTED = {name: "2001:db8::7" if "IPv6" in name else "192.0.2.7" for name in HEADERS}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_the_announced_client_is_the_client(start, port, backend, pki, certificate, name, pieces, tls):
    proxy = proxied(start, port, backend, certificate if tls else None)
    sock = connect(port)
    for part in [HEADERS[name]] if pieces == "whole" else [HEADERS[name][i:i + 1] for i in range(len(HEADERS[name]))]:
        sock.sendall(part)
    assert ask(sock, pki if tls else None).status == 200
    seen = backend.only()
    node = f'"[{EXPECTED[name]}]"' if ":" in EXPECTED[name] else EXPECTED[name]
    assert seen.field("x-forwarded-for") == EXPECTED[name]
    assert seen.field("x-forwarded-port") == "443"
    assert seen.field("forwarded").startswith(f"for={node};")
    assert proxy.access_records()[0]["client"].startswith((EXPECTED[name], f"[{EXPECTED[name]}]"))


def test_a_client_hello_glued_to_the_header_is_the_handshakes(start, port, backend, pki, certificate):
    proxied(start, port, backend, certificate)
    first = [pp.v2()]

    with HelloClient(port, context(pki)) as c:
        c.deliver = lambda data: c.raw.sendall((first.pop() if first else b"") + data)
        assert c.handshake().request(get()).status == 200
    assert backend.only().field("x-forwarded-for") == "192.0.2.7"


def test_a_request_glued_to_the_header_is_served_and_so_is_the_next(start, port, backend):
    proxied(start, port, backend)
    with Client(connect(port)) as c:
        c.send(pp.v1() + get("/1") + get("/2"))
        assert c.response().status == 200 and c.response().status == 200
    assert [e.target for e in backend.wait_exchanges(2)] == ["/1", "/2"]
    assert all(e.field("x-forwarded-for") == "192.0.2.7" for e in backend.exchanges)


def test_header_and_hello_in_single_bytes(start, port, backend, pki, certificate):
    proxied(start, port, backend, certificate)
    sock = connect(port)
    for i in range(len(pp.v2())):
        sock.sendall(pp.v2()[i:i + 1])
    sock.close()
    with HelloClient(port, context(pki)) as c:
        header = [pp.v2()]

        def deliver(data):
            data = (header.pop() if header else b"") + data
            for i in range(len(data)):
                c.raw.sendall(data[i:i + 1])
        c.deliver = deliver
        assert c.handshake().request(get()).status == 200


BAD = {
    "none, but TLS": (lambda: client_hello_bytes(context()), "no PROXY protocol header"),
    "none, but HTTP": (get, "no PROXY protocol header"),
    "v1 malformed": (lambda: b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n", "malformed"),
    "v1 bare LF": (lambda: b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n", "malformed"),
    "v1 too long": (lambda: b"PROXY UNKNOWN " + b"x" * 93, "malformed"),
    "signature wrong at its end": (lambda: pp.SIGNATURE[:-1] + b"\r", "no PROXY protocol header"),
    "version 3": (lambda: pp.raw_v2(0x31, 0x11, bytes(12)), "malformed"),
    "unknown command": (lambda: pp.raw_v2(0x22, 0x11, bytes(12)), "malformed"),
    "unknown family": (lambda: pp.raw_v2(0x21, 0x51, bytes(12)), "malformed"),
    "shorter than its addresses": (lambda: pp.raw_v2(0x21, 0x11, bytes(11)), "malformed"),
    "a vector that passes the end": (lambda: pp.v2(tlvs=b"\x01\x00\x05h2"), "malformed"),
    "a wrong checksum": (lambda: pp.v2(tlvs=pp.tlv(pp.CRC32C, b"\1\2\3\4")), "checksum is wrong"),
    "beyond the limit": (lambda: pp.SIGNATURE + b"\x21\x11\x10\x00", "longer than"),
}


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_listed_proxy_without_a_good_header_is_closed_and_logged(start, port, backend, certificate, tls):
    proxy = proxied(start, port, backend, certificate if tls else None)
    for name, (data, reason) in BAD.items():
        with connect(port) as sock:
            sock.sendall(data())
            assert ended(sock), name
        proxy.wait_stderr(f"connection refused: proxy 127.0.0.1, listener web: [^\n]*{reason}")
    assert proxy.stderr.count("connection refused") == len(BAD)
    assert not backend.exchanges and not backend.garbage


@pytest.mark.parametrize("cut", [1, 12, 15, 16, 27])
def test_a_header_that_is_cut_by_the_connections_end_is_logged(start, port, backend, cut):
    proxy = proxied(start, port, backend)
    with connect(port) as sock:
        sock.sendall(pp.v2()[:cut])
        sock.shutdown(socket.SHUT_WR)
        assert ended(sock)
    proxy.wait_stderr("connection refused: proxy 127.0.0.1, listener web: the peer closed")


@pytest.mark.parametrize("part", [b"", pp.v2()[:20], b"PROXY TCP4"])
def test_a_header_that_does_not_come_in_time_is_not_waited_for(start, port, backend, certificate, part):
    proxy = proxied(start, port, backend, certificate, proxy_protocol={"timeout": "200ms"})
    with connect(port) as sock:
        sock.sendall(part)
        assert ended(sock)
    proxy.wait_stderr("connection refused: proxy 127.0.0.1, listener web: the PROXY protocol header took too long")


@pytest.mark.parametrize("header", [pp.v1(), pp.v2()], ids=["v1", "v2"])
def test_a_forged_header_from_elsewhere_is_no_header(start, port, backend, pki, certificate, header):
    """Unlisted networks speak TLS or HTTP at once; a header there is garbage to both."""
    plain = free_port()
    config = site(port, backend.port, certificate, listener={"proxy_protocol": {"from": ["192.0.2.0/24"]}})
    config["listeners"]["plain"] = {**config["listeners"]["web"], "address": f"127.0.0.1:{plain}", "tls": "off"}
    del config["listeners"]["plain"]["certificates"]
    proxy = start(config)
    with connect(port) as sock:
        sock.sendall(header + client_hello_bytes(context()))
        assert ended(sock)
    proxy.wait_stderr("TLS handshake failed: client 127.0.0.1")
    with Client(connect(plain)) as c:
        c.send(header + get())
        assert c.response_head().status == 400
    assert ask(connect(port), pki).status == 200
    assert backend.only().field("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize("header", [
    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ff:: ff:: 1 2\r\n", pp.local(), pp.raw_v2(0x20, 0x11, bytes(12)), pp.raw_v2(0x21, 0, b""),
    pp.raw_v2(0x21, 0, b"12345"), pp.raw_v2(0x21, 0x12, bytes(12)), pp.raw_v2(0x21, 0x10, bytes(12))],
    ids=["v1 unknown", "v1 unknown with more", "local", "local with addresses", "unspecified", "unspecified with bytes", "udp", "no transport"])
def test_where_no_client_is_announced_the_connections_own_ends_count(start, port, backend, pki, certificate, header):
    proxied(start, port, backend, certificate)
    sock = connect(port)
    sock.sendall(header)
    assert ask(sock, pki).status == 200
    assert backend.only().field("x-forwarded-for") == "127.0.0.1"
    assert backend.only().field("x-forwarded-port") == str(port)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_health_checks_that_close_at_once_are_no_errors(start, port, backend, pki, certificate, tls):
    proxy = proxied(start, port, backend, certificate if tls else None)
    before = proxy.stderr
    for header in (b"", pp.local(), pp.v2()):
        for reset in (False, True):
            sock = connect(port)
            sock.sendall(header)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    sock = connect(port)
    sock.sendall(pp.v2())
    assert ask(sock, pki if tls else None).status == 200
    assert len(proxy.access_records()) == 1
    assert proxy.stderr == before


def test_errors_name_the_client_and_the_proxy(start, port, backend, certificate):
    proxy = proxied(start, port, backend, certificate)
    with connect(port) as sock:
        sock.sendall(pp.v2() + b"this is no TLS")
        assert ended(sock)
    proxy.wait_stderr("TLS handshake failed: client 192.0.2.7 through 127.0.0.1, listener web")


@pytest.mark.parametrize("source, believed", [("192.0.2.7", True), ("198.51.100.9", False)])
def test_trusted_proxies_are_judged_by_the_announced_address(start, port, backend, source, believed):
    proxied(start, port, backend, trusted_proxies=["192.0.2.0/24"])
    with Client(connect(port)) as c:
        c.send(pp.v1(source))
        c.request(get(fields=["X-Forwarded-For: 203.0.113.5"]))
    assert backend.only().field("x-forwarded-for") == ("203.0.113.5, " if believed else "") + source


def test_a_unix_listener_can_be_listed(start, backend, tmp_path):
    path = str(tmp_path / "in.sock")
    listeners = {"web": {"address": f"unix:{path}", "tls": "off", "to": "app", "proxy_protocol": {"from": ["unix"]}}}
    proxy = start({"workers": 1, "listeners": listeners, "upstreams": {"app": {"servers": [backend.address]}}})
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(pp.v2())
    assert ask(sock).status == 200
    assert backend.only().field("x-forwarded-for") == "192.0.2.7"
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(get())
    assert ended(sock)
    proxy.wait_stderr("connection refused: proxy unix:, listener web: what arrived is no PROXY protocol header")


@pytest.mark.parametrize("header", [b"", pp.v1()], ids=["own", "announced"])
def test_what_a_unix_sender_wrote_before_it_went_reaches_the_second_server(start, port, tmp_path, header):
    path = tmp_path / "in"
    heard = []
    with RawServer(lambda sock: heard.append(read_all(sock))) as server:
        config = site(port, [free_port(), server.port],
                      listener={"protocol": "tcp", **({"proxy_protocol": {"from": ["unix"]}} if header else {})})
        config["listeners"]["web"]["address"] = f"unix:{path}"
        start(config)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(header + b"the last words")
        until(lambda: heard, "the server to hear")
    assert heard == [b"the last words"]


def test_an_announced_unix_client_is_unknown_to_http(start, port, backend):
    proxied(start, port, backend)
    sock = connect(port)
    sock.sendall(pp.raw_v2(0x21, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")))
    assert ask(sock).status == 200
    assert backend.only().field("x-forwarded-for") == "unknown"


def test_the_configuration_must_name_the_proxies(start, port, backend):
    config = site(port, backend.port, listener={"proxy_protocol": {}})
    proxy = start(config, wait=False)
    proxy.expected_status = None
    assert proxy.wait() != 0
    assert re.search(r"from", proxy.stderr)


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "::/0"])
def test_who_lists_everyone_is_warned(tmp_path, port, everyone):
    proxy = Unlade(tmp_path, site(port, 1, listener={"proxy_protocol": {"from": [everyone]}}))
    done = command("check", "-c", proxy.file)
    assert done.returncode == 0 and "every client may then say that it is any other" in done.stderr


# ---- before protocols that begin in clear ----

def test_a_header_before_starttls(start, port, pki, certificate):
    """The client's address goes on to the server, whose greeting is waited for; our own greeting waits for the header."""
    receiver = pp.Receiver(greeting=b"220 backend ESMTP\r\n")
    config = site(port, receiver.address, certificate, listener={"protocol": "smtp", **LISTED}, upstream={"send_proxy": "v2"})
    proxy = start(config)
    with connect(port) as sock:
        sock.settimeout(0.3)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        sock.settimeout(LONG)
        sock.sendall(pp.v2())
        assert sock.recv(100).startswith(b"220 ")
        sock.sendall(b"STARTTLS\r\n")
        assert sock.recv(100).startswith(b"220 ")
        with context(pki).wrap_socket(sock, server_hostname="a.test") as tls:
            tls.sendall(b"EHLO client.test\r\n")
            until(lambda: receiver.headers, "the header at the server")
    assert receiver.headers[0].source == ("192.0.2.7", 56324)
    with connect(port) as sock:
        sock.sendall(b"EHLO client.test\r\n")
        assert ended(sock)
    proxy.wait_stderr("connection refused: proxy 127.0.0.1, listener web: what arrived is no PROXY protocol header")
    with connect(port) as sock:
        sock.sendall(pp.v2())
        assert sock.recv(100).startswith(b"220 ")
        sock.sendall(b"STARTTLS\r\nMAIL FROM:<evil@a.test>\r\n")
        ended_in_some_way(sock)
    proxy.wait_stderr("client 192.0.2.7 through 127.0.0.1, listener web: bytes came in clear text")
    receiver.stop()


def ended_in_some_way(sock):
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass


@pytest.mark.parametrize("glued", [True, False])
def test_a_header_before_an_sslrequest(start, port, pki, certificate, glued):
    ssl_request = struct.pack("!ii", 8, 80877103)
    receiver = pp.Receiver(greeting=b"hello")
    start(site(port, receiver.address, certificate, listener={"protocol": "postgres", **LISTED}, upstream={"send_proxy": "v1"}))
    with connect(port) as sock:
        if glued:
            sock.sendall(pp.v1() + ssl_request)
        else:
            sock.sendall(pp.v1())
            sock.sendall(ssl_request)
        assert sock.recv(1) == b"S"
        with context(pki).wrap_socket(sock, server_hostname="a.test") as tls:
            tls.sendall(struct.pack("!ii", 20, 196608) + b"user\0alice\0\0")
            assert tls.recv(5) == b"hello"
    assert receiver.headers[0].source == ("192.0.2.7", 56324)
    receiver.stop()


def test_a_header_before_http2(start, port, backend, pki, certificate):
    proxied(start, port, backend, certificate)
    done = subprocess.run(["curl", "-sS", "--http2", "--haproxy-protocol", "--resolve", f"a.test:{port}:127.0.0.1", "--noproxy", "*", "--cacert", pki.ca_file,
                           "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"https://a.test:{port}/"],
                          capture_output=True, text=True, timeout=LONG, check=False)
    assert done.stdout == "2 200", done.stderr


# ---- real senders ----

def curl_through(port, pki, name="a.test", scheme="https", *arguments):
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--resolve", f"{name}:{port}:127.0.0.1", "--cacert", pki.ca_file, "-o", "/dev/null",
                           "-w", "%{http_code} %{local_ip} %{local_port}", *arguments, f"{scheme}://{name}:{port}/"],
                          capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_curl_as_sender(start, port, backend, pki, certificate, tls):
    proxy = proxied(start, port, backend, certificate if tls else None)
    status, _, local_port = curl_through(port, pki, "a.test", "https" if tls else "http", "--haproxy-protocol")
    assert status == "200"
    assert proxy.access_records()[0]["client"].startswith("127.0.0.1")
    assert backend.only().field("x-forwarded-for") == "127.0.0.1" and local_port


@pytest.fixture
def through_haproxy(tmp_path):
    """A haproxy in TCP mode before Unlade's port, its client 127.0.0.9: (front port, the running process)."""
    running = []

    def start_one(to, options, bind=""):
        front = free_port()
        directory = tmp_path / "haproxy"
        directory.mkdir()
        running.append(daemon.haproxy(directory, front, f"frontend f\n  mode tcp\n  bind 127.0.0.1:{front} {bind}\n  default_backend b\n"
                                                        f"backend b\n  mode tcp\n  server u 127.0.0.1:{to} {options}\n").start())
        return front
    yield start_one
    for process in running:
        process.stop()


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id",
                                    "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"])
def test_haproxy_as_sender_before_tls(start, port, backend, pki, certificate, through_haproxy, option):
    proxy = proxied(start, port, backend, certificate)
    front = through_haproxy(port, option)
    with socket.create_connection(("127.0.0.1", front), source_address=("127.0.0.9", 0)) as sock:
        assert ask(sock, pki).status == 200
    assert backend.only().field("x-forwarded-for") == "127.0.0.9"
    assert backend.only().field("x-forwarded-port") == str(front)
    assert "refused" not in proxy.stderr


@pytest.mark.parametrize("option", ["send-proxy-v2-ssl-cn", "send-proxy-v2 proxy-v2-options ssl,cert-cn,cert-key,cert-sig,ssl-cipher,authority,crc32c"])
def test_haproxy_as_sender_that_terminates_tls(start, port, backend, pki, certificate, through_haproxy, option):
    proxied(start, port, backend)
    staff = pki.authority("Staff CA")
    badge = pki.leaf(issuer=staff, client=True, common_name="alice")
    front = through_haproxy(port, option, f"ssl crt {certificate.both_file} ca-file {staff.chain_file} verify optional")
    with socket.create_connection(("127.0.0.1", front), source_address=("127.0.0.9", 0)) as sock:
        assert ask(sock, pki, certificate=badge).status == 200
    assert backend.only().field("x-forwarded-for") == "127.0.0.9"


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_haproxys_health_checks_are_no_errors(start, port, backend, pki, certificate, through_haproxy, option):
    proxy = proxied(start, port, backend, certificate)
    before = proxy.stderr
    front = through_haproxy(port, f"{option} check inter 50ms")
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", front)) as sock:
            assert ask(sock, pki).status == 200
    assert proxy.stderr == before


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_nginx_as_sender(start, port, backend, pki, certificate, tmp_path, tls):
    proxied(start, port, backend, certificate if tls else None)
    front = free_port()
    stream = f"server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{port}; proxy_protocol on; }}"
    with daemon.nginx(tmp_path, front, stream=stream), socket.create_connection(("127.0.0.1", front), source_address=("127.0.0.9", 0)) as sock:
        assert ask(sock, pki if tls else None).status == 200
    assert backend.only().field("x-forwarded-for") == "127.0.0.9"
