"""A fresh key for session tickets, while sessions are resumed: a minute is the shortest time between two of them."""
import threading

import pytest

from support.client import context, visit
from support.ports import free_port
from support.unlade import site
from support.waiting import until

pytestmark = pytest.mark.tls

ROTATED = "session tickets have a fresh key"
LEVELS = (("openssl", "1.2"), ("openssl", "1.3"), ("native", "1.3"))


def test_sessions_are_resumed_while_the_ticket_key_changes(start, backend, certificate, pki):
    """Not one handshake fails or has to be full; what was sealed under the former key is still opened; and both engines go on with the new one."""
    ports = {engine: free_port() for engine, _ in LEVELS}
    config = site(1, backend.port, certificate, tickets={"rotate": "1m"}, tls={engine: {"engine": engine} for engine in ports})
    config["workers"] = 2
    web = config["listeners"].pop("web")
    for engine, port in ports.items():
        config["listeners"][engine] = {**web, "address": f"127.0.0.1:{port}", "tls": engine}
    proxy = start(config)
    before, stop, wrong = {}, threading.Event(), []
    counts = dict.fromkeys(LEVELS, 0)

    def come_again_and_again(level, session):
        engine, version = level
        c = contexts[level]
        try:
            while not stop.wait(0.02):
                resumed, session = visit(ports[engine], c, session)
                assert resumed, f"{engine}, {version}: a full handshake after {counts[level]} resumed ones"
                counts[level] += 1
        except Exception as error:  # pylint: disable=broad-except
            wrong.append(error)

    contexts = {(engine, version): context(pki, least=version, most=version) for engine, version in LEVELS}
    for engine, version in LEVELS:
        _, before[engine, version] = visit(ports[engine], contexts[engine, version])
    threads = [threading.Thread(target=come_again_and_again, args=(level, before[level])) for level in LEVELS]
    for thread in threads:
        thread.start()
    try:
        until(lambda: wrong or ROTATED in proxy.stderr, "a fresh key", seconds=150)
        reached = dict(counts)
        until(lambda: wrong or all(counts[level] > reached[level] + 20 for level in LEVELS), "resumptions under it")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong
    for engine, version in LEVELS:
        resumed, renewed = visit(ports[engine], contexts[engine, version], before[engine, version])
        assert resumed, f"{engine}, {version}: a ticket under the key before"
        assert visit(ports[engine], contexts[engine, version], renewed)[0]
