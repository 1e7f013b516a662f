"""Conversations of TLS 1.2 and the alert that each deserves: the rows of handshakes12/, over every record layer.

One Unlade serves them all: behind each the others are served, and at the end it has neither crashed nor leaked."""
import pytest

from handshakes12 import COMPLETES, ENDS, every_row
from support.backend import Backend, response
from support.client import get
from support.faces import Face
from support.ports import free_port
from support.tls12 import Alert, Client
from support.unlade import Unlade, certificate_entry

pytestmark = pytest.mark.tls

ANSWER = response(b"ok")
ROWS = every_row()
LAYERS = ("user", "openssl")
POLICIES = {
    "plain": {},
    "old": {"profile": "old"},
    "modern": {"profile": "modern"},
    "only 1.2": {"max_version": "1.2"},
    "required": {"clients": {"certificate": "required"}},
    "optional": {"clients": {"certificate": "optional"}},
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    backend = Backend()
    config = {"workers": 1, "listeners": {}, "tls": {}, "upstreams": {"app": {"servers": [backend.address]}}}
    leaves = [certificate_entry(pki.leaf("a.test", "b.test", kind=kind)) for kind in ("ec", "rsa")]
    made = {}
    for layer in LAYERS:
        for name, policy in POLICIES.items():
            face = made[layer, name] = Face(layer, name, free_port(), pki)
            face.staff_name = pki.authority("Staff CA").certificate.subject.public_bytes()
            policy = {**policy, "records": layer}
            if "clients" in policy:
                policy["clients"] = {**policy["clients"], "ca": pki.authority("Staff CA").chain_file}
            key = f"{name.replace(' ', '_').replace('.', '_')}_{layer}"
            config["tls"][key] = policy
            config["listeners"][key] = {"address": f"127.0.0.1:{face.port}", "to": "app", "tls": key, "certificates": leaves}
    with Unlade(tmp_path_factory.mktemp("tls12"), config) as proxy:
        yield made
        assert proxy.process.poll() is None, proxy.stderr
        assert not proxy.findings(), proxy.stderr
        for (_, name), face in made.items():
            if name != "modern":
                with Client(face.port) as c:
                    c.send_hello()
                    c.read_flight().finish(face.badge if c.asked is not None else None)
                    expect_served(c)
    backend.stop()


def expect_served(c):
    """Two requests: keys and numbers are in step on both sides, and stay so."""
    for _ in range(2):
        c.send(c.seal(get()))
        assert c.read_content(len(ANSWER)) == ANSWER


def accepted(row, layer):
    for other in (row.openssl if layer == "openssl" else None, row.excused):
        if other is not None:
            return other.verdict if isinstance(other.verdict, tuple) else (other.verdict,)
    return row.verdict


def judged(c, until_content=False):
    outcome = c.outcome(until_content)
    if outcome.alert is not None:
        return outcome.alert
    return COMPLETES if outcome.completed else ENDS


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("row", ROWS, ids=[f"{r.section} {r.name}" for r in ROWS])
def test_a_conversation_gets_what_it_deserves(faces, row, layer):
    with Client(faces[layer, row.at].port) as c:
        c.face, c.answer = faces[layer, row.at], ANSWER
        c.faces = {name: face for (l, name), face in faces.items() if l == layer}
        try:
            row.run(c)
        except Alert as alert:
            assert alert.description in accepted(row, layer), f"alert {alert.description} where {accepted(row, layer)} is right"
            return
        if accepted(row, layer) == (COMPLETES,):
            assert c.connected, "the row ends before the handshake does"
            expect_served(c)
            return
        if COMPLETES in accepted(row, layer):
            c.send(c.seal(get()))
        verdict = judged(c, COMPLETES in accepted(row, layer))
        assert verdict in accepted(row, layer), f"{verdict} where {accepted(row, layer)} is right; the messages {c.seen} had come"


def test_there_are_rows_enough():
    assert len([r for r in ROWS if COMPLETES not in r.verdict]) >= 300


def test_whoever_is_excused_has_a_reason():
    for r in ROWS:
        for other in (r.excused, r.openssl):
            assert other is None or len(other.reason) > 10, r.name
