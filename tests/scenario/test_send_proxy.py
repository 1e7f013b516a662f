"""The PROXY protocol towards servers: what is told, to strict readers and to real receivers, and whose connection it is."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

import pytest

from support import daemon, proxy_protocol as pp
from support.client import Client, connect, context, get, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import LONG, until

CONN, SESS = 2, 4


@pytest.fixture
def open_folder():
    """A folder that the worker, whoever it runs as, may enter."""
    path = tempfile.mkdtemp(prefix="unlade")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def receiver():
    server = pp.Receiver()
    yield server
    server.stop()


def sending(start, port, address, version, certificate=None, *, listener=None, upstream=None, **root):
    return start(site(port, address, certificate, listener=listener, upstream={"send_proxy": version, **(upstream or {})}, **root))


def from_address(port, address="127.0.0.9"):
    sock = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_tells_both_ends_of_the_clients_connection(start, port, receiver, version):
    sending(start, port, receiver.address, version)
    with Client(from_address(port)) as c:
        own = c.socket.getsockname()
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    assert (header.version, header.local) == (int(version[1]), False)
    assert (header.source, header.destination) == (own, ("127.0.0.1", port))
    assert b"\r\nX-Forwarded-For: 127.0.0.9\r\n" in receiver.heads[0] + b"\r\n"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_ipv6_clients_are_told_as_such(start, port, receiver, version):
    sending(start, port, receiver.address, version, listener={"address": f"[::1]:{port}"})
    with Client(connect(port, "::1")) as c:
        assert c.request(get()).status == 200
    assert receiver.headers[0].source[0] == "::1" and receiver.headers[0].destination == ("::1", port)


def test_a_plain_client_is_told_with_an_identifier_and_a_checksum(start, port, receiver):
    proxy = sending(start, port, receiver.address, "v2")
    with Client(connect(port)) as c:
        c.request(get())
    header = receiver.headers[0]
    assert set(header.tlvs) == {pp.CRC32C, pp.UNIQUE_ID}
    assert header.tlvs[pp.UNIQUE_ID].decode() == proxy.access_records()[0]["request_id"]


@pytest.mark.parametrize("version, cipher", [("1.3", None), ("1.2", b"ECDHE-ECDSA-AES128-GCM-SHA256")])
def test_a_tls_client_is_told_with_alpn_name_version_and_cipher(start, port, receiver, pki, certificate, version, cipher):
    sending(start, port, receiver.address, "v2", certificate)
    options = {"ciphers": cipher.decode()} if cipher else {}
    with tls_client(port, pki, least=version, most=version, alpn=["http/1.1"], **options) as c:
        used = c.socket.cipher()[0].encode()
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    assert header.tlvs[pp.ALPN] == b"http/1.1" and header.tlvs[pp.AUTHORITY] == b"a.test"
    assert (header.client, header.verify != 0) == (1, True)
    assert header.ssl == {pp.SSL_VERSION: b"TLSv" + version.encode(), pp.SSL_CIPHER: cipher or used}


def test_no_alpn_and_no_name_are_not_told(start, port, receiver, certificate):
    sending(start, port, receiver.address, "v2", certificate)
    with tls_client(port, None, name=None) as c:
        assert c.request(get()).status == 200
    assert set(receiver.headers[0].tlvs) == {pp.CRC32C, pp.UNIQUE_ID, pp.SSL}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_clients_certificate_is_told_on_its_connection_and_on_those_resumed_from_it(start, port, receiver, pki, version):
    staff = pki.authority("Staff CA")
    badge = pki.leaf(issuer=staff, client=True, common_name="alice \u00e9")
    policies = {"default": {"clients": {"certificate": "optional", "ca": staff.chain_file}}}
    sending(start, port, receiver.address, "v2", pki.leaf("a.test"), tls=policies)
    c = context(pki, least=version, most=version, certificate=badge)
    with tls_client(port, ssl_context=c) as client:
        assert client.request(get()).status == 200
        session = client.socket.session
    with tls_client(port, ssl_context=c, session=session) as client:
        assert client.socket.session_reused
        assert client.request(get()).status == 200
    with tls_client(port, pki, least=version, most=version) as client:
        assert client.request(get()).status == 200
    first, resumed, without = receiver.headers
    assert (first.client, first.verify, first.ssl[pp.SSL_CN].decode()) == (1 | CONN | SESS, 0, "alice \u00e9")
    assert (resumed.client, resumed.verify, resumed.ssl[pp.SSL_CN].decode()) == (1 | SESS, 0, "alice \u00e9")
    assert without.client == 1 and without.verify != 0 and pp.SSL_CN not in without.ssl


def test_the_header_goes_before_tls_to_the_server(start, port, pki, certificate):
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = pki.leaf("backend.test")
    server_context.load_cert_chain(leaf.chain_file, leaf.key_file)
    receiver = pp.Receiver(wrap=lambda sock: server_context.wrap_socket(sock, server_side=True))
    sending(start, port, receiver.address, "v2", certificate, upstream={"tls": {"ca": pki.ca_file, "name": "backend.test"}})
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    assert receiver.headers[0].tlvs[pp.AUTHORITY] == b"a.test" and receiver.heads
    receiver.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_no_other_client_gets_a_connection_that_a_header_began(start, port, receiver, version):
    sending(start, port, receiver.address, version)
    ports = []
    for _ in range(3):
        with Client(connect(port)) as c:
            ports.append(c.socket.getsockname()[1])
            assert c.request(get()).status == 200 and c.request(get()).status == 200
    assert [h.source[1] for h in receiver.headers] == ports     # the two requests of each shared one
    assert len(receiver.heads) == 6 and receiver.connections == 3
    until(lambda: receiver.open == 0, "connections to end with their clients")


def test_a_connection_that_the_server_ended_meanwhile_is_made_anew(start, port, receiver):
    sending(start, port, receiver.address, "v2")
    with Client(connect(port)) as c:
        assert c.request(get()).status == 200
        receiver.close_all()
        assert c.request(get()).status == 200
        receiver.close_all()
        assert c.request(get(method="POST", body=b"x")).status == 200
    assert len(receiver.headers) == 3 and len({h.source for h in receiver.headers}) == 1


def test_upstreams_do_not_share_what_was_kept(start, port, receiver):
    other = pp.Receiver()
    config = site(port, receiver.address, listener={"routes": [{"path": "/other", "to": "other"}]}, upstream={"send_proxy": "v1"})
    config["upstreams"]["other"] = {"servers": [other.address], "send_proxy": "v2"}
    start(config)
    with Client(connect(port)) as c:
        for path in ("/", "/other", "/", "/other", "/"):
            assert c.request(get(path)).status == 200
    assert (len(receiver.headers), receiver.headers[0].version, len(receiver.heads)) == (1, 1, 3)
    assert (len(other.headers), other.headers[0].version, len(other.heads)) == (1, 2, 2)
    other.stop()


def test_what_is_kept_outlives_a_reload_as_its_client_does(start, port, receiver):
    proxy = sending(start, port, receiver.address, "v2")
    with Client(connect(port)) as c:
        assert c.request(get()).status == 200
        proxy.reload(site(port, receiver.address, upstream={"send_proxy": "v1"}))
        assert c.request(get()).status == 200
        with Client(connect(port)) as d:
            assert d.request(get()).status == 200
    assert [h.version for h in receiver.headers] == [2, 1]


def test_a_chain_keeps_telling_the_first_client(start, port, receiver):
    sending(start, port, receiver.address, "v2", listener={"proxy_protocol": {"from": ["127.0.0.1"]}})
    told = pp.tlv(pp.ALPN, b"h2") + pp.tlv(pp.AUTHORITY, b"www.a.test") + pp.tlv(pp.UNIQUE_ID, b"from the edge")
    told += pp.tlv(pp.SSL, b"\x07\0\0\0\0" + pp.tlv(pp.SSL_VERSION, b"TLSv1.3") + pp.tlv(pp.SSL_CN, b"alice") + pp.tlv(0x25, b"RSA2048"))
    with Client(connect(port)) as c:
        c.send(pp.v2("192.0.2.7", "198.51.100.1", tlvs=told))
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    assert header.source == ("192.0.2.7", 56324) and header.destination == ("198.51.100.1", 443)
    assert header.tlvs[pp.AUTHORITY] == b"www.a.test" and header.tlvs[pp.UNIQUE_ID] == b"from the edge"
    assert (header.client, header.verify) == (7, 0)
    assert header.ssl == {pp.SSL_VERSION: b"TLSv1.3", pp.SSL_CN: b"alice"}


@pytest.mark.parametrize("header", [pp.local(), b"PROXY UNKNOWN\r\n"], ids=["local", "unknown"])
def test_a_sender_that_speaks_for_itself_is_told_as_the_client(start, port, receiver, header):
    sending(start, port, receiver.address, "v2", listener={"proxy_protocol": {"from": ["127.0.0.9"]}})
    with Client(from_address(port)) as c:
        c.send(header)
        assert c.request(get()).status == 200
    assert receiver.headers[0].source[0] == "127.0.0.9" and receiver.headers[0].destination == ("127.0.0.1", port)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_unix_clients_and_unix_servers(start, open_folder, version):
    receiver = pp.Receiver(path=os.path.join(open_folder, "server.sock"))
    os.chmod(receiver.address.removeprefix("unix:"), 0o777)
    path = os.path.join(open_folder, "listener.sock")
    start({"workers": 1, "listeners": {"web": {"address": f"unix:{path}", "tls": "off", "to": "app"}},
           "upstreams": {"app": {"servers": [receiver.address], "send_proxy": version}}})
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    with Client(sock) as c:
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    if version == "v1":
        assert header.source is None
    else:
        assert (header.source, header.destination) == (b"", path.encode())
    receiver.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_retry_begins_with_a_header_too(start, port, receiver, version):
    dead = free_port()
    sending(start, port, [f"127.0.0.1:{dead}", receiver.address], version)
    for _ in range(2):
        with Client(connect(port)) as c:
            assert c.request(get()).status == 200
    assert len(receiver.headers) == 2


# ---- relays ----

def tcp_site(port, address, certificate, version, **listener):
    return site(port, address, certificate, listener={"protocol": "tcp", **listener}, upstream={"send_proxy": version})


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_relay_tells_its_client_before_the_first_byte(start, port, receiver, pki, certificate, version):
    proxy = start(tcp_site(port, receiver.address, certificate, version))
    with tls_client(port, pki) as c:
        own = c.socket.getsockname()
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    assert (header.source, header.destination) == (own, ("127.0.0.1", port))
    if version == "v2":
        assert header.tlvs[pp.AUTHORITY] == b"a.test" and header.client == 1
        record = until(lambda: proxy.access_lines() and proxy.access_records()[0], "the relay's line")
        assert header.tlvs[pp.UNIQUE_ID].decode() == record["request_id"]


def test_a_server_that_speaks_first_gets_the_header_before_the_client_says_anything(start, port, pki, certificate):
    listener = socket.create_server(("127.0.0.1", free_port()))
    start(tcp_site(port, f"127.0.0.1:{listener.getsockname()[1]}", certificate, "v1"))
    with tls_client(port, pki) as c:
        server, _ = listener.accept()
        server.settimeout(30)
        assert server.recv(5, socket.MSG_WAITALL) == b"PROXY"
        server.sendall(b"220 ready\r\n")
        assert c.socket.recv(11) == b"220 ready\r\n"
        server.close()
    listener.close()


def test_pass_through_tells_the_name_that_the_client_asked_for(start, port, pki):
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = pki.leaf("a.test")
    server_context.load_cert_chain(leaf.chain_file, leaf.key_file)
    receiver = pp.Receiver(wrap=lambda sock: server_context.wrap_socket(sock, server_side=True))
    start(site(port, receiver.address, listener={"protocol": "passthrough", "tls": "default", "proxy_protocol": {"from": ["127.0.0.1"]}},
               upstream={"send_proxy": "v2"}))
    sock = connect(port)
    sock.sendall(pp.v2())
    with Client(context(pki).wrap_socket(sock, server_hostname="a.test")) as c:
        assert c.request(get()).status == 200
    header = receiver.headers[0]
    assert header.source == ("192.0.2.7", 56324) and header.tlvs[pp.AUTHORITY] == b"a.test" and pp.SSL not in header.tlvs
    receiver.stop()


# ---- HTTP/2 on either side ----

def curl_many(port, pki, count=6, *options):
    """Statuses of so many requests over one HTTP/2 connection."""
    urls = [f"https://a.test:{port}/{i}" for i in range(count)]
    done = subprocess.run(["curl", "-sS", "--http2", "--parallel", "--resolve", f"a.test:{port}:127.0.0.1", "--noproxy", "*", "--cacert", pki.ca_file,
                           "-w", "%{http_version} %{http_code} %{local_port}\n", *options, *sum((["-o", "/dev/null", u] for u in urls), [])],
                          capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(line.split()) for line in done.stdout.splitlines()]


def test_streams_of_one_http2_client_share_no_connection_at_once(start, port, receiver, pki, certificate):
    sending(start, port, receiver.address, "v2", certificate)
    answers = curl_many(port, pki)
    assert {a[:2] for a in answers} == {("2", "200")}
    assert 1 <= len(receiver.headers) == receiver.connections <= len(answers) == len(receiver.heads)
    assert {str(h.source[1]) for h in receiver.headers} == {a[2] for a in answers}
    assert {h.tlvs[pp.ALPN] for h in receiver.headers} == {b"http/1.1"}     # what is spoken there
    assert len({h.tlvs[pp.UNIQUE_ID] for h in receiver.headers}) == len(receiver.headers)


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_http2_servers_get_a_header_on_each_connection(start, port, pki, certificate, tmp_path, protocol):
    """nginx, which speaks HTTP/2 in clear (h2 alone) or over TLS (auto), tells whom it was told."""
    back = free_port()
    leaf = pki.leaf("backend.test")
    kind = "ssl http2" if protocol == "auto" else "http2"
    http = (f"server {{ listen 127.0.0.1:{back} {kind} proxy_protocol; ssl_certificate {leaf.chain_file}; ssl_certificate_key {leaf.key_file};"
            ' add_header X-Seen "$server_protocol $proxy_protocol_addr $proxy_protocol_port" always; return 200 ok; }')
    upstream = {"protocol": protocol, **({"tls": {"ca": pki.ca_file, "name": "backend.test"}} if protocol == "auto" else {})}
    with daemon.nginx(tmp_path, back, http=http):
        sending(start, port, f"127.0.0.1:{back}", "v2_addresses", certificate, upstream=upstream)
        for _ in range(3):
            with Client(context(pki).wrap_socket(from_address(port), server_hostname="a.test")) as c:
                own = c.socket.getsockname()
                for _ in range(2):
                    assert c.request(get()).field("x-seen") == f"HTTP/2.0 {own[0]} {own[1]}"
        assert {a[:2] for a in curl_many(port, pki)} == {("2", "200")}


def test_a_tunnel_begins_with_a_header(start, port, pki, certificate):
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello"
    receiver = pp.Receiver(answer)
    sending(start, port, receiver.address, "v2", certificate, listener={"routes": [{"path": "/chat", "to": "app", "upgrade": ["chat"]}]})
    with tls_client(port, pki) as c:
        c.send(get("/chat", fields=["Connection: upgrade", "Upgrade: chat"]))
        assert c.response_head().status == 101
        assert c.read_exactly(5) == b"hello"
    assert receiver.headers[0].source[0] == "127.0.0.1" and len(receiver.headers) == 1
    receiver.stop()


# ---- real receivers ----

def test_only_the_addresses_where_no_more_is_wanted(start, port, receiver, pki, certificate):
    sending(start, port, receiver.address, "v2_addresses", certificate)
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    assert receiver.headers[0].version == 2 and receiver.headers[0].source and not receiver.headers[0].tlvs


@pytest.mark.parametrize("version, tls", [("v1", False), ("v1", True), ("v2", False), ("v2_addresses", True)])
def test_nginx_as_receiver(start, port, pki, certificate, tmp_path, version, tls):
    back = free_port()
    kind = "ssl" if tls else ""
    leaf = pki.leaf("backend.test")
    http = (f"server {{ listen 127.0.0.1:{back} {kind} proxy_protocol; ssl_certificate {leaf.chain_file}; ssl_certificate_key {leaf.key_file};"
            ' return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"; }')
    with daemon.nginx(tmp_path, back, http=http):
        upstream = {"tls": {"ca": pki.ca_file, "name": "backend.test"}} if tls else {}
        sending(start, port, f"127.0.0.1:{back}", version, certificate, upstream=upstream)
        with Client(context(pki).wrap_socket(from_address(port), server_hostname="a.test")) as c:
            own = c.socket.getsockname()
            assert c.request(get()).body.decode() == f"{own[0]} {own[1]} 127.0.0.1 {port}"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_as_receiver(start, port, pki, certificate, tmp_path, version):
    back = free_port()
    config = (f"frontend f\n  mode http\n  bind 127.0.0.1:{back} accept-proxy\n"
              "  log-format \"seen src=%[src]:%[src_port] dst=%[dst]:%[dst_port] authority=%[fc_pp_authority] id=%[fc_pp_unique_id] proxied=%[fc_rcvd_proxy]\"\n"
              "  http-request return status 200 content-type text/plain string ok\n")
    with daemon.haproxy(tmp_path, back, config) as haproxy:
        proxy = sending(start, port, f"127.0.0.1:{back}", version, certificate)
        with Client(context(pki).wrap_socket(from_address(port), server_hostname="a.test")) as c:
            own = c.socket.getsockname()
            assert c.request(get()).status == 200
        line = re.search(r"seen [^\n]*", haproxy.wait_output("seen ")).group(0)
        assert f"src={own[0]}:{own[1]} dst=127.0.0.1:{port} " in line and "proxied=1" in line
        if version == "v2":
            assert "authority=a.test" in line and f"id={proxy.access_records()[0]['request_id']}" in line


def test_haproxy_receives_from_a_relay(start, port, pki, certificate, tmp_path):
    back = free_port()
    config = (f"frontend f\n  mode http\n  bind 127.0.0.1:{back} accept-proxy\n  http-request return status 200 content-type text/plain lf-string %[src]\n")
    with daemon.haproxy(tmp_path, back, config):
        start(tcp_site(port, f"127.0.0.1:{back}", certificate, "v2"))
        with Client(context(pki).wrap_socket(from_address(port), server_hostname="a.test")) as c:
            assert c.request(get()).body == b"127.0.0.9"


@pytest.mark.parametrize("size", [65535, 65536, 65551])
def test_the_longest_headers_that_are_taken_are_understood_when_it_comes_to_telling(start, port, receiver, size):
    header = pp.v2(tlvs=pp.tlv(pp.NOOP, bytes(size - 28 - 3)))
    assert len(header) == size
    sending(start, port, receiver.address, "v2",
            listener={"proxy_protocol": {"from": ["127.0.0.1"], "header": "65551"}})
    sock = connect(port)
    sock.sendall(header)
    with Client(sock) as c:
        assert c.request(get()).status == 200
    assert receiver.headers[0].source == ("192.0.2.7", 56324)
