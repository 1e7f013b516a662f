"""Clients that break off, change bytes by chance, come with what is somebody else's, or while the configuration changes: over every engine."""
import dataclasses
import random
import socket

import pytest

from handshakes.client_hello import rich
from support.backend import response
from support.client import get
from support.faces import ENGINES
from support.hello import record
from support.raw import reset
from support.tls13 import COMPRESSED_CERTIFICATE, Alert, Client, Ended, Reader
from support.tls13_hello import COMPRESS_CERTIFICATE, MAX_FRAGMENT_LENGTH, Extension, Hello, Vector, record_size_limit
from support.tls13_keys import ECDSA_P256, P256, P384, X25519

pytestmark = pytest.mark.tls

ANSWER = response(b"ok")


def finish(c, face):
    return c.finish(face.badge if c.asked is not None else None, ECDSA_P256)


def expect_served(face, hello=None, tickets=()):
    with Client(face.port, hello) as c:
        if tickets:
            c.offer(*tickets)
        c.send_hello()
        finish(c.read_flight(), face)
        c.send(c.seal(get()))
        assert c.read_content(len(ANSWER)) == ANSWER
        return c


# ---- limits of what a client takes ----

class Measured(Client):
    """Notes how large the content of each record is, its type included."""

    def read_record(self):
        found = super().read_record()
        if found and self.read is not None:
            self.sizes = getattr(self, "sizes", []) + [len(found[1]) + 1]
        return found


@pytest.mark.parametrize("extension, most", [(record_size_limit(64), 64), (record_size_limit(100), 100), (record_size_limit(513), 513),
                                             (Extension(MAX_FRAGMENT_LENGTH, b"\1"), 513), (Extension(MAX_FRAGMENT_LENGTH, b"\2"), 1025)],
                         ids=["record_size_limit 64", "record_size_limit 100", "record_size_limit 513", "max_fragment_length 1", "max_fragment_length 2"])
@pytest.mark.parametrize("name", ["plain", "required"])
def test_no_record_is_larger_than_the_client_takes(faces, name, extension, most):
    """RFC 8449 4, RFC 6066 4: of the handshake, of the ticket, and of content. OpenSSL does not know the former."""
    engines = ENGINES if extension.kind == MAX_FRAGMENT_LENGTH else [e for e in ENGINES if e != "openssl"]
    for who in engines:
        face = faces[who, name]
        with Measured(face.port, Hello().put(extension)) as c:
            c.send_hello()
            finish(c.read_flight(), face)
            assert extension.kind in c.encrypted_extensions
            c.send(c.seal(get()))
            assert c.read_content(len(ANSWER)) == ANSWER
            assert max(c.sizes) <= most and (most > 64 or len(c.sizes) > 10), c.sizes


@pytest.mark.parametrize("name", ["plain", "required"])
def test_a_certificate_is_compressed_for_who_can_take_it(faces, name):
    """RFC 8879, zlib; by our own engine: OpenSSL's builds differ."""
    for who in [e for e in ENGINES if e != "openssl"]:
        hello = Hello().put(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\x77\x77\0\1")))
        assert COMPRESSED_CERTIFICATE in expect_served(faces[who, name], hello).seen
        unknown = Hello().put(Extension(COMPRESS_CERTIFICATE, Vector("algorithms", 1, b"\x77\x77")))
        assert COMPRESSED_CERTIFICATE not in expect_served(faces[who, name], unknown).seen


# ---- sessions of somebody else ----

@pytest.mark.parametrize("at", ["required", "optional", "modern"])
@pytest.mark.parametrize("of", ["plain", "optional"])
def test_a_session_of_another_policy_is_none(faces, who, of, at):
    """Above all where a certificate is required: it is asked for anew."""
    if of == at:
        return
    with Client(faces[who, of].port) as c:
        c.send_hello()
        c.read_flight().finish(None)
        c.send(c.seal(get()))
        ticket = c.read_ticket()
    with Client(faces[who, at].port) as c:
        c.offer(ticket)
        try:
            c.send_hello()
            c.read_flight()
        except Alert:   # OpenSSL looks at the binder before it looks whose session it is
            assert who == "openssl"
            return
        assert not c.resumed and (at == "modern" or c.asked is not None)


@pytest.mark.parametrize("change", ["bits", "cut", "longer"])
def test_a_ticket_that_was_changed_anywhere_is_none(faces, who, change):
    """4.2.11: who brings one has a full handshake, and no alert: others than we may have made it."""
    face = faces[who, "plain"]
    ticket = face.ticket()
    size = len(ticket.identity)
    changed = {"bits": [ticket.identity[:i] + bytes([ticket.identity[i] ^ 1 << i % 8]) + ticket.identity[i + 1:] for i in range(size)],
               "cut": [ticket.identity[:i] for i in range(1, size, 3)],
               "longer": [ticket.identity + bytes(i) for i in (1, 16, 1000)]}[change]
    for identity in changed:
        with Client(face.port) as c:
            c.offer(dataclasses.replace(ticket, identity=identity))
            c.send_hello()
            c.read_flight()
            assert not c.resumed, identity.hex()


def test_a_session_without_a_certificate_is_none_where_one_is_required(faces, who):
    """Also where the policy is the same: a client that had none, and hides it behind a session."""
    face = faces[who, "optional"]
    with Client(face.port) as c:
        c.send_hello()
        c.read_flight().finish(None)
        c.send(c.seal(get()))
        ticket = c.read_ticket()
    assert expect_served(face, tickets=[ticket]).resumed
    with Client(faces[who, "required"].port) as c:
        c.offer(ticket)
        try:
            c.send_hello()
            c.read_flight()
            assert not c.resumed and c.asked is not None
            c.finish(None)
            assert c.outcome().alert == 116
        except Alert:
            assert who == "openssl"


def test_sessions_of_one_engine_do_no_harm_at_the_other(faces):
    for one in ENGINES:
        for other in ENGINES:
            c = expect_served(faces[other, "plain"], tickets=[faces[one, "plain"].ticket()])
            assert c.resumed <= (one == other)


# ---- breaking off ----

STAGES = ("nothing", "half a hello", "hello", "flight", "certificate", "half a finished", "finished", "request")


def break_off(face, stage, end, group):
    c = Client(face.port, Hello(shares=[group], group_list=[group]))
    try:
        _as_far_as(c, face, stage)
    except (Alert, Ended, ConnectionError):
        pass
    if end == "reset":
        reset(c.socket)
    elif end == "fin":
        c.socket.shutdown(socket.SHUT_WR)
    return c


def _as_far_as(c, face, stage):
    if stage == "half a hello":
        c.send(record(c.hello.encode())[:100])
    if stage in ("nothing", "half a hello"):
        return
    c.send_hello()
    if stage == "hello":
        return
    c.read_flight()
    if stage == "flight":
        return
    if c.asked is not None:
        c.send_message(c.certificate(face.badge))
        if stage != "certificate":
            c.send_message(c.certificate_verify(face.badge.key, ECDSA_P256))
    if stage == "certificate":
        return
    data = c.finished()
    if stage == "half a finished":
        c.send(c.record(data[:20]))
        return
    c.send(c.record(data))
    c.change_keys()
    if stage == "request":
        c.send(c.seal(get()))


@pytest.mark.parametrize("name", ["plain", "required"])
def test_clients_that_break_off_anywhere_leave_nothing_behind(faces, who, name):
    """Many at once, so that they go while others' keys are computed with theirs; the last ones stay until all of them are there."""
    r = random.Random(1)
    face, left = faces[who, name], []
    for number in range(300):
        left.append(break_off(face, r.choice(STAGES), r.choice(("reset", "fin", "stay")), r.choice((X25519, X25519, P256, P384))))
        if number % 50 == 49:
            expect_served(face)
    for c in left:
        c.close()
    expect_served(face)


@pytest.mark.parametrize("end", ["reset", "fin"])
def test_a_burst_of_clients_that_go_at_once_disturbs_nobody(faces, who, end):
    """Their ClientHellos, those of others among them, come within one turn of the loop."""
    face = faces[who, "plain"]
    for _ in range(5):
        goers = [Client(face.port) for _ in range(24)]
        stayers = [Client(face.port) for _ in range(8)]
        for i, c in enumerate(goers):
            c.send_hello()
            reset(c.socket) if end == "reset" else c.socket.shutdown(socket.SHUT_WR)
            if i % 3 == 0:
                stayers[i // 3].send_hello()
        for c in stayers:
            c.read_flight().finish()
            c.send(c.seal(get()))
            assert c.read_content(len(ANSWER)) == ANSWER
        for c in goers + stayers:
            c.close()


# ---- reload ----

def test_handshakes_go_on_across_reloads(faces, who):
    """Whatever they wait for: their snapshot lives as long as they do."""
    face = faces[who, "required"]
    waiting = []
    for stage in ("hello", "flight", "certificate", "half a finished"):
        for _ in range(3):
            c = Client(face.port)
            _as_far_as(c, face, stage)
            waiting.append((stage, c))
        faces.proxy.reload()
    faces.proxy.reload()
    for stage, c in waiting:
        with c:
            if stage == "hello":
                c.read_flight()
            if stage in ("hello", "flight"):
                c.send_message(c.certificate(face.badge))
            if stage != "half a finished":
                c.send_message(c.certificate_verify(face.badge.key, ECDSA_P256))
            data = c.finished()
            c.transcript += data
            c.send(c.record(data[20:] if stage == "half a finished" else data))
            c.change_keys()
            c.send(c.seal(get()))
            assert c.read_content(len(ANSWER)) == ANSWER


# ---- bytes changed by chance ----

def changed(r, data):
    data = bytearray(data)
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        at, kind = r.randrange(len(data)), r.randrange(5)
        if kind == 0:
            data[at] ^= 1 << r.randrange(8)
        elif kind == 1:
            data[at] = r.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            data[at] = (data[at] + r.choice((1, -1))) % 256
        elif kind == 3:
            del data[at:at + r.choice((1, 2, 4, 30))]
        else:
            data[at:at] = r.randbytes(r.choice((1, 2, 4, 30)))
        data = data or bytearray(b"\1")
    return bytes(data)


def with_its_length(data):
    return data[:1] + (len(data) - 4).to_bytes(3, "big") + data[4:] if len(data) >= 4 else data


def judged(c):
    """accepted or refused; the client's end lets a server that waits for more give up."""
    c.lenient = True
    c.socket.shutdown(socket.SHUT_WR)
    try:
        return "accepted" if c.outcome().completed else "refused"
    except (AssertionError, ConnectionError):   # the transcripts differ, since the client knows nothing of the change
        return "accepted"


def has_other_extensions(data, hello):
    """Whether the change made one of a type that was not there, which one engine may read and the other not."""
    try:
        r = Reader(data[4:])
        r.take(34)
        r.vector(1)
        r.vector(2)
        r.vector(1)
        return not set(r.extensions()) <= set(hello.kinds())
    except AssertionError:
        return False


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_client_hello_is_taken_by_no_engine_that_openssl_would_not_take_it_from(faces, seed):
    r = random.Random(seed)
    for number in range(100):
        hello = rich() if r.random() < .5 else Hello()
        data = changed(r, hello.encode())
        data = with_its_length(data) if r.random() < .9 else data
        verdicts = {}
        for who in ENGINES:
            with Client(faces[who, "plain"].port, hello) as c:
                c.send(record(data))
                verdicts[who] = judged(c)
        refused = verdicts["openssl"] == "refused" and not has_other_extensions(data, hello)
        assert not refused or set(verdicts.values()) == {"refused"}, f"seed {seed}, number {number}: {verdicts}, {data.hex()}"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_message_is_changed_the_next_client_is_served(faces, who, seed):
    """The client holds the keys: what it changes is inside of its records."""
    r = random.Random(1000 + seed)
    for _ in range(60):
        face = faces[who, r.choice(("plain", "required", "optional"))]
        with Client(face.port) as c:
            c.send_hello()
            c.read_flight()
            messages = ["certificate", "verify"] * (c.asked is not None) + ["finished"]
            spoilt = r.choice(messages)
            for which in messages:
                data = {"certificate": lambda: c.certificate(face.badge), "verify": lambda: c.certificate_verify(face.badge.key, ECDSA_P256),
                        "finished": c.finished}[which]()
                if which == spoilt:
                    good, data = data, changed(r, data)
                    data = with_its_length(data) if r.random() < .8 else data
                    data = data if data != good else good[:-1]
                c.send_message(data)
            c.change_keys()
            c.send(c.seal(get()))
            assert judged(c) == "refused"
    for name in ("plain", "required"):
        expect_served(faces[who, name])
