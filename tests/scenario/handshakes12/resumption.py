"""Sessions of TLS 1.2 (RFC 5077, RFC 5246 7.3, F.1.4, RFC 7627 5.3, RFC 6066 3)."""
import os
import time

from handshakes12 import HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, row
from support import tls13
from support.client import get
from support.hello import vector
from support.tls12 import (
    DHE_AES_128, EXTENDED_MASTER_SECRET, KRSA_AES_128, RSA_AES_128, RSA_AES_256, RSA_CBC_SHA, RSA_CHACHA, SESSION_TICKET, Hello12, Session,
    encrypt_then_mac, session_of)
from support.tls13_hello import ALPN, Extension, Hello, Vector, alpn, numbers, server_name


def resumed(c, is_resumed=True):
    c.send_hello()
    c.read_flight()
    assert c.resumed == is_resumed
    c.finish()


for _suite, _at in ((RSA_AES_128, "plain"), (RSA_AES_256, "plain"), (RSA_CHACHA, "plain"), (DHE_AES_128, "plain"), (RSA_CBC_SHA, "old"), (KRSA_AES_128, "old")):
    @row("5077 3.1", f"a session of {_suite:#06x} is resumed", None, at=_at)
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.offer(session_of(c.face.port, Hello12(suites=[suite])))
        resumed(c)
        assert c.suite == suite

    @row("5246 7.4.1.3", f"a session of {_suite:#06x} is resumed with its suite, whatever comes first", None, at=_at)
    def _(c, suite=_suite):
        c.offer(session_of(c.face.port, Hello12(suites=[suite])))
        c.hello.suites.append(suite)
        resumed(c)
        assert c.suite == suite


@row("5246 7.4.1.2", "the session's suite is not offered any more", ILLEGAL_PARAMETER)
def _(c):
    c.offer(session_of(c.face.port, Hello12(suites=[RSA_AES_128])))
    c.hello.suites = [RSA_AES_256, RSA_CHACHA]
    c.send_hello()


@row("5077 3.4", "the session id comes back, of whatever size", None)
def _(c):
    c.offer(session_of(c.face.port), b"\x55" * 7)
    resumed(c)
    assert c.session_id == b"\x55" * 7


@row("5077 3.4", "a ticket without a session id, so that there is nothing to echo", None)
def _(c):
    c.offer(session_of(c.face.port), b"")
    c.send_hello()
    c.read_server_hello()
    assert c.session_id == b""
    c.go_on_resumed().finish()


@row("5077 3.4", "a session id without a ticket", None)
def _(c):
    session = session_of(c.face.port)
    c.hello.session_id = os.urandom(32)
    c.session = session
    resumed(c, False)


@row("5077 3.2", "no ticket for who did not ask for one", None)
def _(c):
    c.hello.drop(SESSION_TICKET)
    c.connect()
    assert c.ticket is None and SESSION_TICKET not in c.server_extensions


for _name, _alter in (("of zeros", lambda t: bytes(len(t))), ("cut short", lambda t: t[:-1]), ("too long", lambda t: t + b"\0"), ("of one byte", lambda t: t[:1]),
                      ("of its key's name alone", lambda t: t[:16]), ("of 16 KB", lambda t: t * 80), ("with its name changed", lambda t: bytes([t[0] ^ 1]) + t[1:]),
                      ("with its middle changed", lambda t: t[:60] + bytes([t[60] ^ 1]) + t[61:]), ("with its end changed", lambda t: t[:-1] + bytes([t[-1] ^ 1])),
                      ("of another's making", os.urandom)):
    @row("5077 3.2", f"a ticket {_name}: a full handshake", None)
    def _(c, alter=_alter):
        session = session_of(c.face.port)
        session.ticket = os.urandom(200) if alter is os.urandom else alter(session.ticket)
        c.offer(session)
        resumed(c, False)
        assert c.ticket is not None


@row("8446 2.2", "a session of TLS 1.3, as TLS 1.2 offers one: a full handshake", None)
def _(c):
    ticket = tls13.ticket_of(c.face.port, request=get())
    c.offer(Session(RSA_AES_128, bytes(48), ticket.identity, 0, True))
    resumed(c, False)


for _suite, _suite_1_3 in ((RSA_AES_128, 0x1301), (RSA_AES_256, 0x1302)):
    @row("8446 2.2", f"a session of TLS 1.2, as TLS 1.3 offers one: a full handshake ({_suite:#06x})", None)
    def _(c, suite=_suite, suite_1_3=_suite_1_3):
        session = session_of(c.face.port, Hello12(suites=[suite]))
        with tls13.Client(c.face.port, Hello(suites=[suite_1_3])) as other:
            other.offer(tls13.Ticket(suite_1_3, session.master, session.ticket, 7200, 0, b"", {}, time.monotonic()))
            other.lenient = True
            other.connect()
            assert not other.resumed
        c.connect()


@row("6066 3", "a session under another name: a full handshake", None)
def _(c):
    c.offer(session_of(c.face.port))
    c.hello.put(server_name(b"b.test"))
    resumed(c, False)


@row("6066 3", "a session under another name, by a client that offers TLS 1.3, too: a full handshake", None, at="only 1.2")
def _(c):
    c.offer(session_of(c.face.port))
    c.hello.put(server_name(b"b.test"), Extension(43, Vector("versions", 1, numbers([0x0304, 0x0303]))))
    resumed(c, False)


@row("6066 3", "a session without a name: a full handshake", None)
def _(c):
    c.offer(session_of(c.face.port))
    c.hello.drop(0)
    resumed(c, False)


@row("7301 3.1", "a session with another protocol", None)
def _(c):
    c.offer(session_of(c.face.port))
    c.hello.put(alpn(b"http/1.1", b"no/such"))
    resumed(c)
    assert c.server_extensions[ALPN] == vector(vector(b"http/1.1", 1)), "ALPN is agreed on anew"


@row("7627 5.3", "an extended session, and no extended_master_secret now", HANDSHAKE_FAILURE)
def _(c):
    c.offer(session_of(c.face.port))
    c.hello.drop(EXTENDED_MASTER_SECRET)
    c.send_hello()


@row("7627 5.3", "a session of before, and extended_master_secret now: a full handshake", None)
def _(c):
    c.offer(session_of(c.face.port, Hello12().drop(EXTENDED_MASTER_SECRET)))
    resumed(c, False)
    assert c.extended


@row("7627 5.3", "an extended session says so again", None)
def _(c):
    c.offer(session_of(c.face.port))
    resumed(c)
    assert c.extended


@row("7366 3", "an encrypt-then-MAC session without encrypt_then_mac now", None, at="old")
def _(c):
    c.offer(session_of(c.face.port, Hello12(suites=[RSA_CBC_SHA]).put(encrypt_then_mac())))
    c.hello.suites = [RSA_CBC_SHA]
    resumed(c)
    assert not c.etm


@row("8446 4.6.1", "a session of another policy: a full handshake", None, at="optional")
def _(c):
    c.offer(session_of(c.faces["plain"].port))
    resumed(c, False)


@row("5246 F.1.4", "a session with the client's certificate", None, at="required")
def _(c):
    c.send_hello()
    c.read_flight().finish(c.face.badge)
    session = c.ticket
    with type(c)(c.face.port) as again:
        again.answer = c.answer
        again.offer(session)
        again.send_hello()
        again.read_flight()
        assert again.resumed and again.asked is None
        again.finish()


@row("5077 3.1", "ten times in a row", None)
def _(c):
    session = session_of(c.face.port)
    for _ in range(10):
        with type(c)(c.face.port) as again:
            again.offer(session)
            resumed(again)
            session = again.ticket
    c.offer(session)
    resumed(c)
