"""Fixtures of the scenarios. What they need and do not find ends the run: a test that could not run did not pass."""
import os
import shutil

import pytest

from support import unlade as unlade_module
from support.backend import Backend
from support.faces import ENGINES, Faces
from support.nginx import Nginx
from support.pki import Pki
from support.ports import free_port
from support.unlade import Unlade, site

NEEDED_TOOLS = ("curl", "openssl", "gnutls-cli", "wrk", "/usr/sbin/nginx", "node", "nghttp", "nghttpd",
                "redis-server", "redis-cli", "/usr/sbin/mosquitto", "mosquitto_pub", "psql", "chromium",
                "tstclnt", "certutil", "wget", "botan", "java", "go", "cc", "/usr/sbin/postfix", "/usr/sbin/dovecot", "swaks",
                "haproxy", "systemd-socket-activate", "ss", "unshare", "strace")
RECORDS_TOOLS = ("curl", "openssl", "gnutls-cli", "/usr/sbin/nginx", "ss")


def pytest_sessionstart(session):
    in_guest = os.environ.get("UNLADE_TEST_RECORDS") == "kernel"  # a small machine for scenarios marked `records`
    missing = [tool for tool in (RECORDS_TOOLS if in_guest else NEEDED_TOOLS) if shutil.which(tool) is None]
    if missing:
        pytest.exit(f"missing: {', '.join(missing)}; install with ./do deps test", returncode=1)
    try:
        unlade_module.binary()
    except AssertionError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    os.chmod(directory, 0o755)
    return Pki(directory)


@pytest.fixture(scope="session")
def certificate(pki):
    """The usual server certificate: ECDSA, for a.test, b.test and localhost."""
    return pki.leaf("a.test", "b.test", "localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def nginx(tmp_path_factory):
    server = Nginx(tmp_path_factory.mktemp("nginx")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    """Listeners for handshakes, a set for each engine; they answer "ok"."""
    server = Backend()
    with Faces(tmp_path_factory.mktemp("faces"), pki, server) as made:
        yield made
        assert not made.proxy.findings(), made.proxy.stderr
    server.stop()


@pytest.fixture(params=ENGINES)
def who(request):
    """The engine of a face."""
    return request.param


@pytest.fixture
def backend():
    server = Backend()
    yield server
    server.stop()
    assert not server.failures, server.failures


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def start(tmp_path):
    """start(config, ...) starts an Unlade that is stopped, and judged, when the test ends."""
    running = []

    def start_one(config=None, wait=True, **options):
        directory = tmp_path / f"unlade{len(running)}"
        directory.mkdir()
        proxy = Unlade(directory, config, **options)
        running.append(proxy)
        return proxy.start(wait)

    yield start_one
    failures = []
    for proxy in reversed(running):
        try:
            proxy.stop()
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, certificate):
    """One Unlade for all tests of a module that want nothing special: HTTPS for a.test in front of a scripted backend."""
    backend = Backend()
    port = free_port()
    with Unlade(tmp_path_factory.mktemp("shared"), site(port, backend.port, certificate)) as proxy:
        proxy.port, proxy.backend = port, backend
        yield proxy
    backend.stop()


@pytest.fixture
def stack(shared):
    """The module's Unlade (stack.port, stack.backend), its backend answering 200 again and with nothing remembered."""
    shared.backend.reset_script()
    yield shared
    assert shared.process.poll() is None, f"unlade ended with {shared.process.returncode}:\n{shared.stderr}"
    assert not shared.findings(), shared.stderr
    assert not shared.backend.failures, shared.backend.failures
