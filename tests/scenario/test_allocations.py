"""How often requests and connections turn to malloc, in the whole process: the libraries' turns are counted too."""
import pytest

from support.allocations import Allocations
from support.client import get, plain_client, tls_client
from support.h2 import h2_client
from support.unlade import release_binary, site

COUNT = 500


@pytest.fixture
def counted(start, port, nginx, certificate, tmp_path):
    """counted(secure): the count of allocations of an Unlade that runs as operators have it."""
    def begin(secure=True):
        allocations = Allocations(str(tmp_path))
        start(site(port, nginx.port, certificate if secure else None), program=release_binary(), env=allocations.env)
        assert allocations.count() > 100 # it counts at all
        return allocations.count
    return begin


def cost(count, do, times):
    """Allocations of one of them, behind a few that take what is kept."""
    for _ in range(50):
        do()
    before = count()
    for _ in range(times):
        do()
    return (count() - before) / times


@pytest.mark.parametrize("kind", ["tls", "plain"])
def test_a_request_on_a_kept_connection_allocates_nothing(counted, port, pki, kind):
    count = counted(kind == "tls")
    with (tls_client(port, pki) if kind == "tls" else plain_client(port)) as c:
        assert cost(count, lambda: c.request(get("/1k")), COUNT) == 0


def test_a_request_over_http2_allocates_nothing(counted, port, pki):
    """Not nghttp2 either, whose objects come out of lists of freed ones."""
    count = counted()
    with h2_client(port, pki) as c:
        assert cost(count, lambda: c.fetch("/1k"), COUNT) <= 0.02 # but for a table that grows now and then


@pytest.mark.tls
@pytest.mark.parametrize("least", ["1.3", "1.2"])
def test_a_connection_with_its_handshake_and_a_request_allocates_a_handful(counted, port, pki, least):
    """Two of ours: the connection and its session of TLS; the library's mostly come out of lists of freed ones."""
    count = counted()

    def visit():
        with tls_client(port, pki, least=least, most=least) as c:
            assert c.request(get("/1k")).status == 200

    assert cost(count, visit, 100) <= 8
