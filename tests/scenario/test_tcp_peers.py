"""TCP mode in front of real servers, with the configurations of the documents as they stand there."""
import os
import re
import socket
import subprocess
import threading

import pytest
import yaml

from support.backend import Backend
from support.client import get, tls_client
from support.ports import free_port
from support.postgres import Postgres, psql
from support.raw import RawServer, read_all
from support.unlade import ROOT, site
from support.waiting import LONG, until


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """A server in the foreground, until the end of the block."""

    def __init__(self, port, *command):
        self.port = port
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def __enter__(self):
        until(lambda: self.process.poll() is not None or listens(self.port), "the server to listen")
        assert self.process.poll() is None
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LONG)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    port = free_port()
    with Program(port, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                 "--dir", str(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory):
    port, file = free_port(), tmp_path_factory.mktemp("mosquitto") / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
    with Program(port, "/usr/sbin/mosquitto", "-c", str(file)) as server:
        yield server


def documented(document, number, port, leaf, **servers):
    """A configuration of docs/DOCUMENT, with nothing but ports, paths and servers changed."""
    with open(os.path.join(ROOT, "docs", document), encoding="utf-8") as f:
        found = re.findall(r"(?<=\n\n)    listeners:\n(?:    [^\n]*\n|\n(?=    ))+", f.read())
    config = yaml.safe_load(found[number])
    (listener,) = config["listeners"].values()
    listener["address"] = f"127.0.0.1:{port}"
    if "certificates" in listener:
        listener["certificates"] = [{"certificate": leaf.chain_file, "key": leaf.key_file}]
    config["upstreams"] = {name: {"servers": [f"127.0.0.1:{p}"]} for name, p in servers.items()}
    return {"workers": 1, **config}


@pytest.fixture(scope="module")
def leaf(pki):
    return pki.leaf("localhost", "www.example.org", "redis.example.org", "127.0.0.1")


def redis_cli(port, pki, *arguments, name="localhost", **options):
    return subprocess.run(["redis-cli", "-h", "127.0.0.1", "-p", str(port), "--tls", "--cacert", pki.ca_file, "--sni", name, *arguments],
                          capture_output=True, text=True, timeout=LONG, check=False, **options)


def test_redis_as_documented(start, port, pki, leaf, redis):
    proxy = start(documented("tcp.md", 0, port, leaf, redis=redis.port))
    assert redis_cli(port, pki, "SET", "key", "value").stdout == "OK\n"
    assert redis_cli(port, pki, "GET", "key").stdout == "value\n"
    big = "x" * (8 << 20)
    assert redis_cli(port, pki, "-x", "SET", "big", input=big).stdout == "OK\n"
    assert redis_cli(port, pki, "GET", "big").stdout == big + "\n"
    assert all(r["protocol"] == "tcp" and r["upstream"] == "redis" for r in proxy.access_records(4))


def test_a_thousand_commands_in_one_pipeline(start, port, pki, leaf, redis):
    start(documented("tcp.md", 0, port, leaf, redis=redis.port))
    commands = "".join(f"*3\r\n$3\r\nSET\r\n$8\r\nkey{i:05}\r\n$5\r\n{i:05}\r\n" for i in range(1000))
    done = redis_cli(port, pki, "--pipe", input=commands)
    assert "errors: 0, replies: 1000" in done.stdout, done


def test_what_redis_publishes_arrives_unasked(start, port, pki, leaf, redis):
    start(documented("tcp.md", 0, port, leaf, redis=redis.port))
    with tls_client(port, pki, "localhost") as c:
        c.send(b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n")
        assert [c.read_line() for _ in range(6)] == [b"*3", b"$9", b"subscribe", b"$4", b"news", b":1"]
        assert redis_cli(port, pki, "PUBLISH", "news", "hello").stdout == "1\n"
        assert [c.read_line() for _ in range(7)] == [b"*3", b"$7", b"message", b"$4", b"news", b"$5", b"hello"]


def test_mqtt_by_its_alpn_beside_http_redis_and_what_is_passed_through(start, port, pki, leaf, redis, mosquitto):
    """docs/tcp.md, "One port for everything"."""
    own = pki.leaf("mail.example.org", "www.example.org")
    app = Backend()
    with Tls(own) as mail, Tls(own, "acme-tls/1") as acme:
        start(documented("tcp.md", 2, port, leaf, app=app.port, redis=redis.port, mail=mail.port, broker=mosquitto.port,
                         acme=acme.port))
        for program, arguments in (("mosquitto_pub", ["-r", "-m", "hello there"]), ("mosquitto_sub", ["-C", "1", "-W", "20"])):
            done = subprocess.run([program, "-h", "localhost", "-p", str(port), "--cafile", pki.ca_file, "-t", "news",
                                   "--tls-alpn", "mqtt", *arguments], capture_output=True, timeout=LONG, check=False)
            assert done.returncode == 0, done
        assert done.stdout == b"hello there\n"
        assert redis_cli(port, pki, "PING", name="redis.example.org").stdout == "PONG\n"
        with tls_client(port, pki, "www.example.org") as c:
            assert c.request(get("/", "www.example.org")).status == 200
            assert c.request(get("/", "redis.example.org")).status == 421
        for name, alpn in (("mail.example.org", None), ("www.example.org", ["acme-tls/1"])):
            with tls_client(port, pki, name, alpn=alpn) as c:
                assert int(c.socket.getpeercert()["serialNumber"], 16) == own.serial
        curl = subprocess.run(["curl", "-s", "--noproxy", "*", "--http2", "--cacert", pki.ca_file, "--resolve",
                               f"www.example.org:{port}:127.0.0.1", "-H", "Host: redis.example.org", "-w", "%{http_version} %{http_code}",
                               "-o", "/dev/null", f"https://www.example.org:{port}/"], capture_output=True, text=True, check=False)
        assert curl.stdout == "2 421", curl
    app.stop()


class Tls(RawServer):
    def __init__(self, certificate, *alpn):
        import ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain_file, certificate.key_file)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        super().__init__(lambda c: c.sendall(b"mine"), tls=context)


def test_pass_through_as_documented(start, port, pki, leaf):
    mail, shop = pki.leaf("mail.example.org"), pki.leaf("*.shop.example.org")
    with Tls(mail) as mail_server, Tls(shop) as shop_server:
        start(documented("tcp.md", 1, port, leaf, mail=mail_server.port, shop=shop_server.port))
        for name, certificate in (("mail.example.org", mail), ("a.shop.example.org", shop)):
            with tls_client(port, pki, name) as c:
                assert int(c.socket.getpeercert()["serialNumber"], 16) == certificate.serial
                assert read_all(c.socket) == b"mine"


def test_postgres_as_documented(start, port, pki, leaf):
    server = Postgres().start()
    try:
        start(documented("postgres.md", 0, port, leaf, postgres=server.port))
        done = psql(f"host=localhost hostaddr=127.0.0.1 port={port} dbname=alice user=alice sslmode=verify-full "
                    f"sslrootcert={pki.ca_file}", "SELECT 'it works'")
        assert done.stdout == "it works\n", done.stderr
    finally:
        server.stop()


# ---- the proxy between the two ends ----

def test_an_idle_relay_costs_little(start, port, tmp_path):
    """A thousand of them, in a binary without sanitizers: buffers went back when they were empty."""
    from support.processes import own_bytes
    from support.unlade import release_binary

    with RawServer() as server:
        proxy = start(site(port, server.port, listener={"protocol": "tcp"}), program=release_binary())
        (worker,) = proxy.workers()

        def connect_some(count):
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
            for c in clients:
                c.sendall(b"x" * 5000)
            for c in clients:
                got = 0
                while got < 5000:
                    got += len(c.recv(5000))
            return clients

        first = connect_some(100)
        before = own_bytes(worker)
        more = connect_some(1000)
        each = (own_bytes(worker) - before) / 1000
        assert each < 2500, f"{each:.0f} bytes for each relay"
        for c in first + more:
            c.close()


def test_many_clients_at_once_come_and_go(start, port, pki, leaf, redis):
    start({**documented("tcp.md", 0, port, leaf, redis=redis.port), "workers": 2})
    failures = []

    def work(number):
        for i in range(10):
            with tls_client(port, pki, "localhost") as c:
                c.send(b"ECHO %d:%d\r\n" % (number, i))
                c.read_line()
                answer = c.read_line()
                if answer != b"%d:%d" % (number, i):
                    failures.append(answer)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
