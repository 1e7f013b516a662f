"""TLS to the servers: whom we believe, what is kept, and what a client gets when a server is not who it should be."""
import pytest

from support.client import get, plain_client
from support.tls_backend import TlsNginx
from support.unlade import site


def tls_site(port, to, pki, **tls):
    """Plain HTTP in front, TLS behind; `to` as in site()."""
    options = {"ca": pki.ca_file, **tls}
    return site(port, to, upstream={"tls": {k: v for k, v in options.items() if v is not None}})


@pytest.fixture
def nginx_tls(tmp_path):
    server = TlsNginx(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server_certificate(pki):
    return pki.leaf("app.internal", "127.0.0.1")


def test_a_server_is_spoken_to_over_tls(start, port, nginx_tls, pki, server_certificate):
    there = nginx_tls.add(server_certificate)
    nginx_tls.start()
    start(tls_site(port, there, pki))
    with plain_client(port) as c:
        for _ in range(5):
            assert c.request(get()).status == 200
    seen = nginx_tls.requests(there, 5)
    assert len({r["connection"] for r in seen}) == 1 and seen[0]["version"] == "TLSv1.3"
