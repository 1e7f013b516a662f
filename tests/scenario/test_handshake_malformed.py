"""Handshakes that are malformed, out of order or odd, and the alert that each deserves: the rows of handshakes/, over every engine.

One Unlade serves them all: behind each the others are served, and at the end it has neither crashed nor leaked."""
import pytest

from handshakes import COMPLETES, ENDS, every_row
from support.backend import Backend, response
from support.client import get
from support.faces import ENGINES, Faces, has_hybrid
from support.tls13 import Client

pytestmark = pytest.mark.tls

ANSWER = response(b"ok")
ROWS = [r for r in every_row() if not r.hybrid or has_hybrid()]


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    backend = Backend()
    with Faces(tmp_path_factory.mktemp("malformed"), pki, backend) as made:
        yield made
        assert made.proxy.process.poll() is None, made.proxy.stderr
        assert not made.proxy.findings(), made.proxy.stderr
        for face in made.faces.values():
            serve_one(face)
    backend.stop()


def serve_one(face):
    with Client(face.port) as c:
        c.send_hello()
        c.read_flight().finish(face.badge if c.asked is not None else None, 0x0403)
        expect_served(c)


def expect_served(c):
    """Two requests: keys and numbers are in step on both sides, and stay so."""
    for _ in range(2):
        c.send(c.seal(get()))
        assert c.read_content(len(ANSWER)) == ANSWER


def carry_on(c):
    """What is left to do of a handshake in which nothing is wrong."""
    if c.schedule is None:
        c.read_flight()
    if not c.connected:
        c.finish(c.face.badge if c.asked is not None else None, 0x0403)
    expect_served(c)


def accepted(row, who):
    """What this engine may say to it."""
    if who == "openssl" and row.openssl is not None:
        verdict = row.openssl.verdict
        return verdict if isinstance(verdict, tuple) else (verdict,)
    return row.verdict


def judged(c):
    outcome = c.outcome()
    if outcome.alert is not None:
        return outcome.alert
    return COMPLETES if outcome.completed else ENDS


@pytest.mark.parametrize("who", ENGINES)
@pytest.mark.parametrize("row", ROWS, ids=[f"{r.section} {r.name}" for r in ROWS])
def test_a_handshake_gets_what_it_deserves(faces, row, who):
    with Client(faces[who, row.at].port) as c:
        c.face, c.lenient = faces[who, row.at], who == "openssl"
        row.run(c)
        if accepted(row, who) == (COMPLETES,):
            carry_on(c)
        else:
            verdict = judged(c)
            assert verdict in accepted(row, who), f"{verdict} where {accepted(row, who)} is right; the messages {c.seen} had come"


def test_there_are_rows_enough():
    refused = [r for r in ROWS if COMPLETES not in r.verdict]
    assert len(refused) >= 200


def test_only_openssl_is_excused_and_with_a_reason():
    for r in ROWS:
        assert r.openssl is None or len(r.openssl.reason) > 10, r.name
