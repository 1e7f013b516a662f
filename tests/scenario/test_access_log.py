"""The access log: one line for each request, with the facts of TLS and of each phase."""
import json
import os
import re
import signal
import socket

import pytest

from support import hello, processes
from support.backend import response
from support.client import Closed, context, get, plain_client, tls_client
from support.ports import free_port
from support.unlade import site
from support.waiting import until


def logged(proxy, count=1):
    return proxy.access_records(count)


@pytest.fixture
def proxy(start, port, backend, certificate):
    p = start(site(port, backend.port, certificate))
    p.port = port
    return p


def test_a_request_gets_one_line_with_all_facts(proxy, backend, pki):
    with tls_client(proxy.port, pki, least="1.3", alpn=["http/1.1"]) as c:
        c.request(get("/x?y=1", method="POST", body=b"hello", fields=["Referer: https://r.test/", 'User-Agent: a "quoted" \xff agent']))
        mine = c.socket.getsockname()
    (r,) = logged(proxy)
    assert r["method"] == "POST" and r["path"] == "/x?y=1" and r["status"] == 200 and r["host"] == "a.test"
    assert r["client"] == "127.0.0.1" and r["client_port"] == mine[1]
    assert r["tls_version"] == "TLSv1.3" and r["tls_cipher"] == "TLS_AES_128_GCM_SHA256" and r["tls_group"] in ("X25519", "X25519MLKEM768")
    assert r["tls_resumed"] is False and r["sni"] == "a.test" and r["alpn"] == "http/1.1"
    assert r["upstream"] == "app" and r["server"] == f"127.0.0.1:{backend.port}" and r["listener"] == "web"
    assert r["request_bytes"] == 5 and r["response_bytes"] == 2
    assert r["request_id"] == backend.only().field("x-request-id")
    assert r["referer"] == "https://r.test/" and r["user_agent"].startswith('a "quoted" ') and r["http"] == "HTTP/1.1"
    for phase in ("handshake_us", "head_us", "connect_us", "response_head_us", "total_us"):
        assert 0 <= r[phase] < 60_000_000, phase
    assert r["total_us"] >= r["response_head_us"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", r["time"])


@pytest.mark.parametrize("version, name", [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")])
def test_a_resumed_connection_says_so(proxy, pki, version, name):
    c = context(pki, least=version, most=version)
    session = None
    for _ in range(2):
        with tls_client(proxy.port, ssl_context=c, session=session) as client:
            client.request(get(fields=["Connection: close"]))
            session = client.socket.session
            client.assert_closed()
    lines = logged(proxy, 2)
    assert [(r["tls_resumed"], r["tls_version"]) for r in lines] == [(False, name), (True, name)]


def test_the_group_is_named_in_tls_1_2_and_after_resumption(proxy, pki):
    with tls_client(proxy.port, pki, most="1.2") as c:
        c.request(get())
    assert logged(proxy)[0]["tls_group"] in ("X25519", "P-256", "secp256r1")


def test_requests_of_one_connection_have_a_line_each(proxy, pki):
    with tls_client(proxy.port, pki) as c:
        for i in range(5):
            c.request(get(f"/{i}"))
    lines = logged(proxy, 5)
    assert [r["path"] for r in lines] == [f"/{i}" for i in range(5)]
    assert "handshake_us" in lines[0] and not any("handshake_us" in r for r in lines[1:])
    assert [r["server_reused"] for r in lines] == [False] + [True] * 4
    assert len({r["request_id"] for r in lines}) == 5


def test_a_refused_request_is_logged_with_its_reason(proxy, pki):
    with tls_client(proxy.port, pki) as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert c.response().status == 400
    (r,) = logged(proxy)
    assert r["status"] == 400 and r["error"] == "ambiguous" and "server" not in r


def test_a_server_that_cannot_be_reached_is_logged(start, port, certificate, pki):
    proxy = start(site(port, free_port(), certificate))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 502
    (r,) = logged(proxy)
    assert r["status"] == 502 and r["error"] == "connect" and r["upstream"] == "app"


def test_an_answer_cut_short_is_logged_as_such(proxy, backend, pki):
    backend.answer = lambda e: (e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxx"), e.close())
    with tls_client(proxy.port, pki) as c, pytest.raises(Closed):
        c.request(get())
    (r,) = logged(proxy)
    assert r["status"] == 200 and r["error"] and r["response_bytes"] == 3


def test_a_client_that_left_is_logged(proxy, backend, pki):
    backend.answer = lambda e: e.connection.wait_closed()
    with tls_client(proxy.port, pki) as c:
        c.send(get("/left"))
        backend.wait_exchanges(1)
        c.reset()
    (r,) = logged(proxy)
    assert r["path"] == "/left" and r["error"]


def test_plain_http_has_no_facts_of_tls(start, port, backend):
    proxy = start(site(port, backend.port))
    with plain_client(port) as c:
        c.request(get())
    (r,) = logged(proxy)
    assert r["status"] == 200 and not any(k.startswith("tls_") or k in ("sni", "alpn") for k in r)


def test_what_clients_send_cannot_break_a_line(proxy, pki):
    with tls_client(proxy.port, pki) as c:
        c.request(get("/x?{}|%0a", fields=['User-Agent: "}\t{"status":1', "Referer: \xff\xfe\\"]))
        c.request(get('/"}\\%0a'))
    good, bad = logged(proxy, 2)
    assert (good["path"], good["status"], good["user_agent"]) == ("/x?{}|%0a", 200, '"}\t{"status":1')
    assert (bad["path"], bad["status"]) == ('/"}\\%0a', 400)


def combined(port, backend, certificate, file):
    return site(port, backend.port, certificate, log={"access": {"to": str(file), "format": "combined"}})


def test_the_combined_format_is_apaches(start, port, backend, certificate, pki, tmp_path):
    proxy = start(combined(port, backend, certificate, tmp_path / "unlade0" / "access.log"))
    with tls_client(port, pki) as c:
        c.request(get("/x?y", fields=["Referer: https://r.test/", 'User-Agent: me "you"']))
    line = until(proxy.access_lines, "the line")[0]
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /x\?y HTTP/1\.1" 200 2 '
                        r'"https://r\.test/" "me (\\"|\\x22)you(\\"|\\x22)"', line), line


def test_stdout_takes_the_log(start, port, backend, certificate, pki):
    proxy = start(site(port, backend.port, certificate, log={"access": {"to": "stdout"}}))
    with tls_client(port, pki) as c:
        c.request(get("/on-stdout"))
    line = until(lambda: [x for x in proxy.stdout.splitlines() if "/on-stdout" in x], "the line")[0]
    assert json.loads(line)["path"] == "/on-stdout"


def test_off_writes_nothing(start, port, backend, certificate, pki, tmp_path):
    proxy = start(site(port, backend.port, certificate, log={"access": "off"}))
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    proxy.stop()
    assert proxy.stdout == "" and not proxy.access_lines()


def test_every_request_before_the_end_is_in_the_log(proxy, pki):
    """What is in the rings when SIGTERM comes is written."""
    with tls_client(proxy.port, pki) as c:
        for i in range(50):
            c.request(get(f"/{i}"))
    proxy.stop()
    assert len(proxy.access_lines()) == 50


def test_sigusr1_opens_the_file_again(proxy, pki):
    rotated = proxy.access_log + ".1"
    with tls_client(proxy.port, pki) as c:
        c.request(get("/before"))
        logged(proxy)
        os.rename(proxy.access_log, rotated)
        c.request(get("/still"))
        until(lambda: "/still" in open(rotated, encoding="utf-8").read(), "the line in the moved file")
        proxy.signal(signal.SIGUSR1)
        until(lambda: os.path.exists(proxy.access_log), "the new file")
        proxy.wait_stderr("opened again")
        c.request(get("/after"))
    assert [r["path"] for r in logged(proxy)] == ["/after"]
    with open(rotated, encoding="utf-8") as f:
        assert [json.loads(line)["path"] for line in f] == ["/before", "/still"]


def test_sigusr1_also_opens_the_event_log_again(start, port, backend, certificate, tmp_path):
    file = tmp_path / "events.log"
    proxy = start(site(port, backend.port, certificate, log={"access": "off", "events": {"to": str(file)}}))
    until(lambda: file.exists() and "serving" in file.read_text(), "events in the file")
    file.rename(tmp_path / "events.old")
    proxy.signal(signal.SIGUSR1)
    until(file.exists, "the new file")
    proxy.reload()
    until(lambda: "serving" in file.read_text(), "events in the new file")


def test_a_log_that_cannot_be_written_drops_lines_and_counts_them(start, port, backend, certificate, pki, tmp_path):
    """A pipe that nobody reads fills up; requests are served all the same, and the drops are told of."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    backend.answer = lambda e: e.send(response())
    proxy = start(site(port, backend.port, certificate, log={"access": str(pipe)}))
    with tls_client(port, pki) as c:
        for _ in range(60):
            c.send(get("/" + "a" * 3000) * 20)
            for _ in range(20):
                assert c.response().status == 200
    os.set_blocking(reader, True)
    proxy.signal(signal.SIGTERM)
    while os.read(reader, 1 << 20):
        pass
    os.close(reader)
    proxy.stop()
    assert re.search(r"access log.*(dropped|lost)|(dropped|lost).*access log", proxy.stderr), proxy.stderr


def test_syslog_takes_the_log_where_there_is_one(start, port, backend, certificate, pki, tmp_path):
    """In a mount namespace of its own /dev/log is ours."""
    path = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(path)
        os.chmod(path, 0o666)
        syslog.settimeout(30)
        wrapper = [*processes.OWN_MOUNTS, f'mount -t tmpfs none /dev/shm; mkdir -p /dev/shm/dev; cp -a /dev/null /dev/urandom /dev/random '
                   f'/dev/zero /dev/shm/dev/; ln -s {path} /dev/shm/dev/log; mount --bind /dev/shm/dev /dev; exec "$0" "$@"']
        start(site(port, backend.port, certificate, log={"access": "syslog"}), wrapper=wrapper)
        with tls_client(port, pki) as c:
            c.request(get("/to-syslog"))
        while b"/to-syslog" not in (datagram := syslog.recv(8192)):
            pass
        assert re.match(rb"<134>\w{3} [ \d]\d \d\d:\d\d:\d\d unlade\[\d+\]: \{", datagram), "as syslog(3) writes it, facility local0, level info"
        assert json.loads(datagram[datagram.index(b"{"):])["path"] == "/to-syslog"


# ---- handshakes that fail ----

def test_a_failed_handshake_gets_one_line_with_reason_alert_and_name(proxy):
    assert hello.ask(proxy.port, hello.message(hello.extensions(name=b"who.test", versions=()), legacy_version=0x0301, suites=(0x002F,))) == (2, 70)
    line = proxy.wait_stderr(r".*handshake failed.*").group(0)
    assert "127.0.0.1" in line and "who.test" in line and "protocol_version" in line and "70" in line
    assert len(re.findall("^.*handshake failed", proxy.stderr, re.MULTILINE)) == 1


def test_a_client_that_no_certificate_suits_is_told_apart(proxy):
    from support.openssl import s_client
    seen = s_client(proxy.port, "-sigalgs", "ed25519")
    assert not seen.connected and seen.alert == 40
    line = proxy.wait_stderr(r".*handshake failed.*").group(0)
    assert "no certificate that this client can use" in line and "handshake_failure" in line


def test_an_alert_of_the_client_is_logged(proxy, pki):
    import ssl
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_client(proxy.port, ssl_context=ssl.create_default_context())
    line = proxy.wait_stderr(r".*handshake failed.*").group(0)
    assert "unknown_ca" in line and "received" in line and "a.test" in line


def test_a_name_cannot_break_the_event_log(proxy):
    hello.ask(proxy.port, hello.message(hello.extensions(name=b"a\n2026 forged", groups=(), versions=())))
    proxy.wait_stderr(r"handshake failed")
    assert not re.search(r"^2026 forged", proxy.stderr, re.MULTILINE)


def test_a_connection_without_a_byte_is_no_failed_handshake(proxy, pki):
    """Health checks of load balancers connect and leave."""
    import socket as s
    for _ in range(3):
        s.create_connection(("127.0.0.1", proxy.port)).close()
    with tls_client(proxy.port, pki) as c:
        c.request(get())
    assert "handshake failed" not in proxy.stderr
