"""PostgreSQL: its clients ask for TLS in a message of theirs, and cancel a query over a connection of its own."""
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from support.client import connect, context, read_alert, client_hello_bytes
from support.ports import free_port
from support.postgres import Postgres, client_environment, psql
from support.raw import RawServer, echo, read_all, read_exactly
from support.unlade import certificate_entry, command, site
from support.waiting import SHORT, until

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)
CANCEL_REQUEST = struct.pack("!iiii", 16, 80877102, 12345, 67890)
STARTUP = struct.pack("!ii", 20, 196608) + b"user\0alice\0\0"
NO_APPLICATION_PROTOCOL = 120


@pytest.fixture(scope="module")
def postgres():
    server = Postgres().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def leaf(pki):
    return pki.leaf("db.test", "localhost", "127.0.0.1")


def postgres_site(port, to, leaf, listener=None, **options):
    return site(port, to, leaf, listener={"protocol": "postgres", **(listener or {})}, **options)


@pytest.fixture
def database(start, port, postgres, leaf):
    proxy = start(postgres_site(port, postgres.port, leaf))
    proxy.port = port
    return proxy


@pytest.fixture
def echoing(start, port, leaf):
    """A proxy in front of a server that gives everything back."""
    with RawServer() as server:
        proxy = start(postgres_site(port, server.port, leaf))
        proxy.port, proxy.backend = port, server
        yield proxy


def conninfo(port, pki, mode="verify-full", host="127.0.0.1", more=""):
    return f"host={host} port={port} user=alice dbname=alice sslmode={mode} sslrootcert={pki.ca_file} {more}"


def wrapped(sock, pki, name="db.test", **options):
    return context(pki, **options).wrap_socket(sock, server_hostname=name)


def error_fields(message):
    """The fields of an ErrorResponse, by their letters."""
    assert message[:1] == b"E" and struct.unpack("!i", message[1:5])[0] == len(message) - 1, message
    assert message.endswith(b"\0\0")
    return {field[:1].decode(): field[1:].decode() for field in message[5:-2].split(b"\0")}


# ---- with psql ----

@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full", "prefer"])
def test_psql_connects_under_tls(database, pki, mode):
    done = psql(conninfo(database.port, pki, mode), "SELECT 6*7, current_user")
    assert done.returncode == 0 and done.stdout.strip() == "42|alice", done.stderr
    record = database.access_records()[0]
    assert record["protocol"] == "postgres" and record["tls_version"] == "TLSv1.3" and record["upstream"] == "app"
    assert "error" not in record


def test_psql_without_tls_is_told_why_not(database, pki):
    done = psql(conninfo(database.port, pki, "disable"), "SELECT 1")
    assert done.returncode != 0 and "TLS is required here" in done.stderr
    database.wait_stderr("PostgreSQL connection without TLS refused: client 127.0.0.1, listener web")


def test_where_it_is_allowed_clients_go_on_in_clear(start, port, postgres, leaf, pki):
    start(postgres_site(port, postgres.port, leaf, {"require_tls": False}))
    for mode in ("disable", "require"):
        done = psql(conninfo(port, pki, mode), "SELECT 1")
        assert done.returncode == 0 and done.stdout.strip() == "1", done.stderr


def test_a_large_result_and_a_large_insert_pass(database, pki):
    done = psql(conninfo(database.port, pki), "SELECT md5(string_agg(repeat(md5(i::text), 1000), '')), sum(length(repeat(md5(i::text), 1000)))"
                                              " FROM generate_series(1, 300) i")
    assert done.returncode == 0, done.stderr
    done = psql(conninfo(database.port, pki), "SELECT repeat(md5('x'), 1000000)")
    assert done.returncode == 0 and len(done.stdout.strip()) == 32000000


def sleeping(database, pki, postgres, mode="verify-full"):
    process = subprocess.Popen(["psql", "-X", "-c", "SELECT pg_sleep(600)", conninfo(database.port, pki, mode)], text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=client_environment())
    until(lambda: postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' "
                               "AND state = 'active' AND usename = 'alice'") == "1", "the query to run")
    return process


def test_psql_cancels_a_running_query(database, pki, postgres):
    """Its CancelRequest comes in clear text, as with every server: the key says enough."""
    process = sleeping(database, pki, postgres)
    process.send_signal(2)
    _, errors = process.communicate(timeout=30)
    assert "canceling statement due to user request" in errors
    assert any(r["request_bytes"] == 16 and "tls_version" not in r for r in database.access_records(2))


def test_a_cancellation_finds_its_server_among_several(start, port, postgres, leaf, pki):
    heard = []
    with RawServer(lambda c: heard.append(c.recv(100))) as other:
        proxy = start(postgres_site(port, [postgres.port, other.port, free_port()], leaf))
        proxy.port = port
        while True:  # until a connection falls on the real one
            process = subprocess.Popen(["psql", "-X", "-c", "SELECT pg_sleep(600)", conninfo(port, pki)], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=client_environment())
            running = until(lambda: process.poll() is not None or
                            postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' "
                                         "AND state = 'active'") == "1", "psql to end or to run")
            if process.poll() is None and running:
                break
            process.communicate()
        heard.clear()
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
        assert "canceling statement due to user request" in errors
        assert len(heard) == 1 and heard[0][:8] == CANCEL_REQUEST[:8]


# ---- byte by byte ----

def test_tls_follows_ssl_request(echoing, pki):
    c = connect(echoing.port)
    c.sendall(SSL_REQUEST)
    assert read_exactly(c, 1) == b"S"
    with wrapped(c, pki, alpn=["postgresql"]) as tls:
        assert tls.selected_alpn_protocol() == "postgresql"
        tls.sendall(STARTUP + b"more")
        assert read_exactly(tls, len(STARTUP) + 4) == STARTUP + b"more"


def test_a_client_may_name_no_protocol_behind_ssl_request(echoing, pki):
    c = connect(echoing.port)
    c.sendall(SSL_REQUEST)
    assert read_exactly(c, 1) == b"S"
    with wrapped(c, pki) as tls:
        tls.sendall(STARTUP)
        assert read_exactly(tls, len(STARTUP)) == STARTUP


@pytest.mark.parametrize("piece", [1, 3])
def test_requests_may_come_in_pieces(echoing, pki, piece):
    c = connect(echoing.port)
    for request, answer in ((GSSENC_REQUEST, b"N"), (SSL_REQUEST, b"S")):
        for i in range(0, len(request), piece):
            c.sendall(request[i:i + piece])
        assert read_exactly(c, 1) == answer
    with wrapped(c, pki) as tls:
        for i in range(0, len(STARTUP), piece):
            tls.sendall(STARTUP[i:i + piece])
        assert read_exactly(tls, len(STARTUP)) == STARTUP


def test_gssenc_request_is_answered_once(echoing):
    c = connect(echoing.port)
    c.sendall(GSSENC_REQUEST)
    assert read_exactly(c, 1) == b"N"
    c.sendall(GSSENC_REQUEST)
    assert read_all_or_reset(c) == b""
    echoing.wait_stderr("PostgreSQL connection refused: .*malformed message")


def read_all_or_reset(c):
    try:
        return read_all(c)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST], ids=["ssl", "gssenc"])
@pytest.mark.parametrize("behind", [STARTUP, b"\x16\x03\x01\x02", b"x", SSL_REQUEST], ids=["startup", "hello", "byte", "again"])
def test_what_is_pipelined_behind_a_request_is_refused(echoing, request_, behind):
    """Somebody in between could put a message there that the server would take for the client's."""
    c = connect(echoing.port)
    c.sendall(request_ + behind)
    assert read_all_or_reset(c) == b""
    echoing.wait_stderr("PostgreSQL connection refused, somebody may be injecting messages: client 127.0.0.1, listener web: "
                        "bytes came in clear text behind the command that starts TLS")
    assert not echoing.backend.connections


def test_direct_tls_with_its_alpn_works(echoing, pki):
    with wrapped(connect(echoing.port), pki, alpn=["postgresql"]) as tls:
        assert tls.selected_alpn_protocol() == "postgresql"
        tls.sendall(STARTUP)
        assert read_exactly(tls, len(STARTUP)) == STARTUP


def test_openssl_s_client_connects_directly_with_alpn(database, pki):
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{database.port}", "-alpn", "postgresql", "-quiet",
                                "-CAfile", pki.ca_file, "-verify_return_error"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write(STARTUP)
    process.stdin.flush()
    answer = process.stdout.read(9)
    process.kill()
    process.communicate()
    assert answer[:1] == b"R" and struct.unpack("!i", answer[5:])[0] == 10, "no request to authenticate with SASL"


@pytest.mark.parametrize("alpn", [None, ["http/1.1"], ["h2", "smtp"]])
def test_direct_tls_without_its_alpn_is_refused(echoing, pki, alpn):
    """TLS that names another protocol, or none, may be a browser's that was led here (ALPACA)."""
    c = connect(echoing.port)
    c.sendall(client_hello_bytes(context(pki, alpn=alpn), "db.test"))
    assert read_alert(c) == (2, NO_APPLICATION_PROTOCOL)
    echoing.wait_stderr("the client names no protocol by ALPN that is spoken here")


def test_another_protocol_behind_ssl_request_is_refused(echoing, pki):
    c = connect(echoing.port)
    c.sendall(SSL_REQUEST)
    assert read_exactly(c, 1) == b"S"
    c.sendall(client_hello_bytes(context(pki, alpn=["http/1.1"]), "db.test"))
    assert read_alert(c) == (2, NO_APPLICATION_PROTOCOL)


def test_a_startup_in_clear_gets_an_error_response(echoing):
    c = connect(echoing.port)
    c.sendall(STARTUP)
    fields = error_fields(read_all(c))
    assert fields["S"] == fields["V"] == "FATAL" and fields["C"] == "28000" and "TLS is required" in fields["M"]
    assert not echoing.backend.connections


@pytest.mark.parametrize("wrong", [struct.pack("!ii", 9, 80877103), struct.pack("!ii", 7, 80877103), struct.pack("!ii", 10001, 196608),
                                   struct.pack("!ii", 15, 80877102), b"GET / HTTP/1.1\r\n\r\n", struct.pack("!ii", 8, 80877105),
                                   struct.pack("!i", -1)])
def test_lengths_are_exact(echoing, wrong):
    c = connect(echoing.port)
    c.sendall(wrong)
    assert read_all_or_reset(c) == b""
    echoing.wait_stderr("PostgreSQL connection refused: .*malformed message")
    assert not echoing.backend.connections


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST, b"GET / HTTP/1.1\r\n"], ids=["ssl", "gssenc", "http"])
def test_what_is_no_startup_is_refused_inside_tls(echoing, pki, request_):
    with wrapped(connect(echoing.port), pki, alpn=["postgresql"]) as tls:
        tls.sendall(request_)
        assert error_fields(read_all(tls))["C"] == "08P01"
    assert echoing.access_records()[0]["error"] == "syntax"
    assert not echoing.backend.connections


@pytest.mark.parametrize("tls", [True, False])
def test_a_cancel_request_reaches_every_server_and_ends_when_they_have(start, port, leaf, pki, tls):
    heard = []
    servers = [RawServer(lambda c: heard.append(read_exactly(c, 16))) for _ in range(3)]
    start(postgres_site(port, [s.port for s in servers] + [free_port()], leaf))
    c = connect(port)
    if tls:
        c = wrapped(c, pki, alpn=["postgresql"])
    c.sendall(CANCEL_REQUEST)
    assert read_all(c) == b""
    assert heard == [CANCEL_REQUEST] * 3
    for s in servers:
        s.stop()


def test_a_cancel_request_in_clear_reaches_the_servers_of_all_hosts(start, port, leaf):
    """It names none."""
    heard = []
    servers = [RawServer(lambda c: heard.append(read_exactly(c, 16))) for _ in range(2)]
    config = postgres_site(port, 1, leaf, {"to": None, "hosts": {"a.test": {"to": "one"}, "b.test": {"to": "two"},
                                                                 "c.test": {"to": "one"}}})
    config["upstreams"] = {name: {"servers": [f"127.0.0.1:{s.port}"]} for name, s in zip(("one", "two"), servers)}
    start(config)
    c = connect(port)
    c.sendall(CANCEL_REQUEST)
    assert read_all(c) == b""
    assert heard == [CANCEL_REQUEST] * 2
    for s in servers:
        s.stop()


def accept_all(listener, accepted):
    try:
        while True:
            accepted.append(listener.accept()[0])
    except OSError:
        pass


def test_cancel_requests_do_not_open_connections_without_end(start, port, leaf):
    """16 bytes of anybody's call for one to each server: all of them together have 64 at once, and the others their turn."""
    accepted = []
    with socket.socket() as listener:
        server = free_port()
        listener.bind(("0.0.0.0", server))
        listener.listen(1000)
        threading.Thread(target=accept_all, args=(listener, accepted), daemon=True).start()
        start(postgres_site(port, [f"127.0.1.{i}:{server}" for i in range(1, 41)], leaf))
        clients = [connect(port) for _ in range(4)]
        for c in clients:
            c.sendall(CANCEL_REQUEST)
        until(lambda: len(accepted) == 64, "the first servers to be told")
        time.sleep(SHORT)   # no more come
        assert len(accepted) == 64
        closed = 0
        while closed < 160:
            until(lambda: len(accepted) > closed, "the next servers to be told")
            assert len(accepted) <= closed + 64
            assert read_exactly(accepted[closed], 16) == CANCEL_REQUEST
            accepted[closed].close()
            closed += 1
        for c in clients:
            assert read_all(c) == b""
        listener.shutdown(socket.SHUT_RDWR)


def test_a_cancel_request_whose_turn_does_not_come_is_logged_as_overload(start, port, leaf):
    over = threading.Event()
    with RawServer(lambda c: over.wait(60)) as server:
        proxy = start(postgres_site(port, server.port, leaf))
        clients = [connect(port) for _ in range(70)]
        for c in clients:
            c.sendall(CANCEL_REQUEST)
        errors = [line.get("error") for line in proxy.access_records(70)]
        assert sorted(errors, key=str) == [None] * 64 + ["overload"] * 6
        assert len(server.connections) == 64
        over.set()


def test_clear_text_leads_nowhere_where_names_alone_do(start, port, leaf):
    with RawServer(echo) as server:
        start(postgres_site(port, server.port, leaf, {"to": None, "hosts": {"a.test": {"to": "app"}}, "require_tls": False}))
        c = connect(port)
        c.sendall(STARTUP)
        assert error_fields(read_all(c))["C"] == "28000"


def test_bytes_behind_a_cancel_request_are_refused(echoing, pki):
    c = connect(echoing.port)
    c.sendall(CANCEL_REQUEST + b"x")
    assert error_fields(read_all(c))["C"] == "08P01"
    assert not echoing.backend.connections


def test_a_client_that_ends_in_the_segment_of_its_startup_has_ended_for_the_server(start, port, leaf):
    heard = []

    def handler(sock):
        heard.append(read_all(sock))
        sock.sendall(b"goodbye")

    with RawServer(handler) as server:
        start(postgres_site(port, server.port, leaf, {"require_tls": False}))
        with connect(port) as c:
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            c.sendall(STARTUP)
            c.shutdown(socket.SHUT_WR)
            assert read_all(c) == b"goodbye"
    assert heard == [STARTUP]


def test_without_a_server_the_client_is_told_so(start, port, leaf, pki):
    proxy = start(postgres_site(port, free_port(), leaf))
    with wrapped(connect(port), pki, alpn=["postgresql"]) as tls:
        tls.sendall(STARTUP)
        assert error_fields(read_all(tls))["C"] == "57P03"
    record = proxy.access_records()[0]
    assert record["error"] == "connect" and record["protocol"] == "postgres"
    done = psql(conninfo(port, pki), "SELECT 1")
    assert done.returncode != 0 and "no server is available" in done.stderr


def test_a_client_that_does_not_begin_is_given_up(start, port, leaf, pki):
    with RawServer(echo) as server:
        proxy = start(postgres_site(port, server.port, leaf, {"timeouts": {"handshake": "300ms", "request_head": "300ms"}}))
        assert read_all_or_reset(connect(port)) == b""
        proxy.wait_stderr("PostgreSQL connection refused: .*the TLS handshake took too long")
        with wrapped(connect(port), pki, alpn=["postgresql"]) as tls:
            assert error_fields(read_all(tls))["C"] == "08P01"


def test_a_proxys_header_may_come_before_ssl_request(start, port, leaf, pki):
    with RawServer(echo) as server:
        proxy = start(postgres_site(port, server.port, leaf, {"proxy_protocol": {"from": ["127.0.0.0/8"]}}))
        c = connect(port)
        c.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 5432\r\n" + SSL_REQUEST)
        assert read_exactly(c, 1) == b"S"
        with wrapped(c, pki) as tls:
            tls.sendall(STARTUP)
            assert read_exactly(tls, len(STARTUP)) == STARTUP
        assert proxy.access_records()[0]["client"] == "192.0.2.7"


def test_hosts_are_told_apart_by_their_names(start, port, postgres, leaf, pki):
    with RawServer(echo) as other:
        config = postgres_site(port, other.port, leaf, {"hosts": {"localhost": {"to": "real"}}})
        config["upstreams"]["real"] = {"servers": [f"127.0.0.1:{postgres.port}"]}
        start(config)
        done = psql(conninfo(port, pki, host="localhost", more="hostaddr=127.0.0.1 sslsni=1"), "SELECT 1")
        assert done.returncode == 0, done.stderr
        c = connect(port)
        c.sendall(SSL_REQUEST)
        assert read_exactly(c, 1) == b"S"
        with wrapped(c, pki) as tls:
            tls.sendall(STARTUP)
            assert read_exactly(tls, len(STARTUP)) == STARTUP


def test_client_certificates_are_asked_for(start, port, postgres, leaf, pki):
    mine = pki.leaf(client=True, common_name="alice")
    start(postgres_site(port, postgres.port, leaf, {"tls": "staff"},
                        tls={"staff": {"clients": {"certificate": "required", "ca": pki.ca_file}}}))
    assert psql(conninfo(port, pki), "SELECT 1").returncode != 0
    done = psql(conninfo(port, pki, more=f"sslcert={mine.chain_file} sslkey={mine.key_file}"), "SELECT 1")
    assert done.returncode == 0, done.stderr


def test_draining_tells_who_has_not_begun(start, port, leaf, pki):
    with RawServer(echo) as server:
        proxy = start(postgres_site(port, server.port, leaf))
        before = connect(port)
        tls = wrapped(connect(port), pki, alpn=["postgresql"])
        proxy.signal(15)
        assert error_fields(read_all(before))["C"] == "57P03"
        assert error_fields(read_all(tls))["C"] == "57P03"
        tls.close()
        before.close()
        assert proxy.wait() == 0


# ---- TLS to the servers ----

@pytest.fixture(scope="module")
def secure_postgres(pki):
    """It takes no connection without TLS."""
    server = Postgres(tls=pki.leaf("pg.internal")).start()
    yield server
    server.stop()


def test_servers_are_asked_for_tls_too(start, port, secure_postgres, leaf, pki):
    start(postgres_site(port, secure_postgres.port, leaf,
                        upstream={"tls": {"start": "postgres", "ca": pki.ca_file, "name": "pg.internal"}}))
    unbound = conninfo(port, pki, more="channel_binding=disable")
    done = psql(unbound, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert done.stdout.strip() == "TLSv1.3", done.stderr
    cancelled = subprocess.Popen(["psql", "-X", "-c", "SELECT pg_sleep(600)", unbound], text=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=client_environment())
    until(lambda: secure_postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND "
                                      "state = 'active' AND usename = 'alice'") == "1", "the query to run")
    cancelled.send_signal(2)
    assert "canceling statement due to user request" in cancelled.communicate(timeout=30)[1]


def test_channel_binding_sees_a_certificate_that_is_not_the_servers(start, port, secure_postgres, leaf, pki):
    """SCRAM-SHA-256-PLUS notices everybody in between, us too, unless we have the server's own certificate."""
    tls = {"start": "postgres", "ca": pki.ca_file, "name": "pg.internal"}
    proxy = start(postgres_site(port, secure_postgres.port, leaf, upstream={"tls": tls}))
    done = psql(conninfo(port, pki), "SELECT 1")
    assert done.returncode != 0 and "channel binding check failed" in done.stderr
    proxy.reload(postgres_site(port, secure_postgres.port, secure_postgres.tls, upstream={"tls": tls}))
    done = psql(conninfo(port, pki, "verify-ca", more="channel_binding=require"), "SELECT 1")
    assert done.returncode == 0 and done.stdout.strip() == "1", done.stderr


def test_a_server_of_another_name_is_not_believed(start, port, secure_postgres, leaf, pki):
    proxy = start(postgres_site(port, secure_postgres.port, leaf,
                                upstream={"tls": {"start": "postgres", "ca": pki.ca_file, "name": "other.internal"}}))
    done = psql(conninfo(port, pki), "SELECT 1")
    assert done.returncode != 0 and "no server is available" in done.stderr
    assert proxy.access_records()[0]["error"] == "server_certificate"


@pytest.mark.parametrize("answer, reason", [
    (b"N", "the server does not speak TLS"), (b"E\0\0\0\6Xx", "the server said more than one byte when it was asked for TLS"),
    (b"S\x16\x03\x03", "the server said more than one byte when it was asked for TLS"),
    (b"", "the server ended the connection when it was asked for TLS")])
def test_a_server_that_does_not_simply_say_yes_is_left(start, port, leaf, pki, answer, reason):
    heard = []

    def refuse(c):
        heard.append(read_exactly(c, 8))
        c.sendall(answer)
        if answer:
            read_all(c)

    with RawServer(refuse) as server:
        proxy = start(postgres_site(port, server.port, leaf, upstream={"tls": {"start": "postgres", "verify": False}}))
        with wrapped(connect(port), pki, alpn=["postgresql"]) as tls:
            tls.sendall(STARTUP)
            assert error_fields(read_all(tls))["C"] == "57P03"
        assert heard == [SSL_REQUEST]
        proxy.wait_stderr(reason)
        assert proxy.access_records()[0]["error"] == "server_tls"


BASE = """
listeners:
  db: {{ address: "127.0.0.1:18443", certificates: {both}, {listener} }}
upstreams:
  app: {{ servers: ["127.0.0.1:18080"] }}
  safe: {{ servers: ["127.0.0.1:18081"], tls: {{ verify: off }} }}
"""


@pytest.mark.parametrize("listener, expected", [
    ("protocol: postgres, to: app, tls: off", "postgres is about TLS, which is off here: write `protocol: tcp`"),
    ("protocol: postgres, to: app, hosts: { a.test: { protocol: tcp, to: app } }", "every client of this listener speaks PostgreSQL"),
    ("protocol: postgres, to: app, routes: [{ to: app }]", "postgres knows no paths to choose by"),
    ("protocol: tcp, to: app, require_tls: no", "this is for `protocol: postgres`"),
    ("protocol: postgres, to: safe", "PostgreSQL servers are asked before TLS: write `start: postgres`"),
])
def test_combinations_that_make_no_sense_are_refused(tmp_path, certificate, listener, expected):
    file = tmp_path / "unlade.yaml"
    file.write_text(BASE.format(both=certificate.both_file, listener=listener))
    done = command("check", "-c", file)
    assert done.returncode == 1 and expected in done.stderr + done.stdout, done.stderr + done.stdout
