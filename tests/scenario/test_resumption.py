"""Resumption with tickets: it works by default, survives reloads and crashes, is bound to its host, and fails softly."""
import os
import signal
import ssl

import pytest

from support import processes
from support.client import Closed, HelloClient, context, get, tls_client, visit
from support.openssl import s_client
from support.unlade import site
from support.waiting import until

pytestmark = [pytest.mark.tls, pytest.mark.records, pytest.mark.handshakes]

VERSIONS = ["1.2", "1.3"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_visit_is_resumed(stack, pki, version):
    c = context(pki, least=version, most=version)
    resumed, session = visit(stack.port, c)
    assert not resumed and session.has_ticket
    assert visit(stack.port, c, session)[0]


def test_a_ticket_that_no_answer_takes_along_comes_alone(stack, pki):
    """With half a request behind the handshake's end there is nothing to answer yet."""
    with HelloClient(stack.port, context(pki, least="1.3")).handshake_with(b"GET / HTTP/1.1\r\nHo") as c:
        c.incoming.write(c.raw.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            c.tls.read(1)
        assert c.tls.session.has_ticket
        c.send(b"st: a.test\r\nConnection: close\r\n\r\n")
        assert c.response().status == 200


def test_ten_single_use_resumptions_in_a_row(stack, pki):
    """Every TLS 1.3 resumption brings a fresh ticket: each is used once only."""
    c = context(pki, least="1.3")
    _, session = visit(stack.port, c)
    seen = set()
    for i in range(10):
        resumed, following = visit(stack.port, c, session)
        assert resumed, f"the {i + 1}th"
        assert following is not session
        seen.add(following.id)
        session = following
    assert len(seen) == 10


def test_ten_tls_1_2_resumptions_in_a_row(stack, pki):
    c = context(pki, most="1.2")
    _, session = visit(stack.port, c)
    for _ in range(10):
        resumed, session = visit(stack.port, c, session)
        assert resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_useless_under_another_name(start, port, backend, pki, version):
    """Both names on one listener, same certificate, same policy: still a full handshake."""
    start(site(port, backend.port, pki.leaf("a.test", "b.test"),
               listener={"hosts": {"a.test": {"to": "app"}, "b.test": {"to": "app"}}}))
    c = context(pki, least=version, most=version)
    c.check_hostname = False
    _, session = visit(port, c)
    assert visit(port, c, session)[0]
    _, session = visit(port, c)
    assert not visit(port, c, session, name="b.test")[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_that_cannot_be_read_gives_a_full_handshake(start, port, backend, certificate, pki, version, tmp_path):
    """Keys of another process: the ticket looks right and means nothing."""
    c = context(pki, least=version, most=version)
    proxy = start(site(port, backend.port, certificate))
    _, session = visit(port, c)
    proxy.stop()
    start(site(port, backend.port, certificate))
    resumed, session = visit(port, c, session)
    assert not resumed
    assert visit(port, c, session)[0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["name", "content", "mac", "all", "short"])
def test_a_garbled_ticket_gives_a_full_handshake(stack, pki, tmp_path, version, place):
    """The ClientHello is changed on its way; in TLS 1.3 the binder then fails too, unless the server looks no further."""
    c = context(pki, least=version, most=version)
    _, session = visit(stack.port, c)
    client = HelloClient(stack.port, c)
    client.tls = c.wrap_bio(client.incoming, client.outgoing, server_hostname="a.test", session=session)

    def garble(data):
        if not getattr(client, "sent", False):
            client.sent = True
            data = garble_ticket(data, version, place)
        client.raw.sendall(data)
    client.deliver = garble
    try:
        client.handshake()
    except Exception as error:  # pylint: disable=broad-except
        # Our own transcript differs from the server's now, so the handshake cannot end well; what matters is that the
        # server went for a full one: it sent its certificate (the failure is the client's), and no alert.
        assert "alert" not in str(error).lower() or "bad record mac" in str(error).lower() or "decrypt" in str(error).lower(), error
        assert not isinstance(error, Closed), "the server closed the connection"
    client.close()


def garble_ticket(data, version, place):
    """Flips bits of the ticket inside a ClientHello record."""
    kind = (35).to_bytes(2, "big") if version == "1.2" else (41).to_bytes(2, "big")
    at = 5 + 4 + 2 + 32
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at:at + 2], "big")
    at += 1 + data[at]
    end, at = at + 2 + int.from_bytes(data[at:at + 2], "big"), at + 2
    while at < end:
        size = int.from_bytes(data[at + 2:at + 4], "big")
        if data[at:at + 2] == kind:
            break
        at += 4 + size
    assert at < end, "no ticket was offered"
    start, size = (at + 4, size) if version == "1.2" else (at + 8, int.from_bytes(data[at + 6:at + 8], "big"))
    changed = bytearray(data)
    spots = {"name": range(start, start + 1), "content": range(start + size // 2, start + size // 2 + 1),
             "mac": range(start + size - 1, start + size), "all": range(start, start + size), "short": range(start, start + 16)}[place]
    for i in spots:
        changed[i] ^= 0x55
    return bytes(changed)


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_survive_a_reload(stack, pki, version):
    c = context(pki, least=version, most=version)
    _, session = visit(stack.port, c)
    stack.reload()
    assert visit(stack.port, c, session)[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_survive_a_worker_killed(start, port, backend, certificate, pki, version):
    proxy = start(site(port, backend.port, certificate))
    proxy.may_crash = True
    c = context(pki, least=version, most=version)
    _, session = visit(port, c)
    before = proxy.workers()
    assert before, "no worker process"
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: set(proxy.workers()) - set(before) and not any(map(processes.is_alive, before)), "a new worker")
    assert visit(port, c, session)[0]


def test_tickets_are_shared_by_all_threads(start, port, backend, certificate, pki):
    config = site(port, backend.port, certificate)
    config["workers"] = 2
    start(config)
    c = context(pki, least="1.3")
    _, session = visit(port, c)
    for _ in range(20):
        resumed, session = visit(port, c, session)
        assert resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_tickets_can_be_switched_off(start, port, backend, certificate, pki, version):
    start(site(port, backend.port, certificate, tls={"default": {"tickets": False}}))
    c = context(pki, least=version, most=version)
    _, session = visit(port, c)
    assert not session or not session.has_ticket
    assert not visit(port, c, session)[0]


def test_openssl_client_is_resumed_too(stack, tmp_path):
    file = tmp_path / "session"
    first = s_client(stack.port, "-tls1_3", "-sess_out", file, "-ign_eof", stdin=get(fields=["Connection: close"]).decode().replace("\r\n", "\n"))
    assert first.connected and file.exists()
    assert s_client(stack.port, "-tls1_3", "-sess_in", file).resumed
