"""What a server of TLS 1.3 says in a handshake, and what it must not say (RFC 8446 4): over every engine.

Most of it is the client's own judgement (support/tls13.py): these are the handshakes in which it has something to judge."""
import json
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from handshakes import HANDSHAKE_FAILURE
from support import hello as plain
from support.backend import Backend, response
from support.client import connect, get
from support.faces import ENGINES, Faces
from support.tls13 import CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, ENCRYPTED_EXTENSIONS, FINISHED, SERVER_HELLO, Client, Reader, pieces
from support.tls13_hello import (
    ALPN, EARLY_DATA, PSK_MODES, SERVER_NAME, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, Extension, Hello, groups, key_share, psk_modes, signature_algorithms)
from support.tls13_keys import (
    AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256, ECDSA_P256, P256, P384, P521, RSA_PSS_256, RSA_PSS_384, RSA_PSS_512, SUITES, X25519)
from support.waiting import until

pytestmark = pytest.mark.tls

ANSWER = response(b"ok")
NEW_SESSION_TICKET = 4


@pytest.fixture
def face(faces, who):
    return faces[who, "plain"]


def handshake(face, hello=None, tickets=(), badge=None):
    """A client that has been through it and got its answer."""
    c = Client(face.port, hello)
    c.face = face
    if tickets:
        c.offer(*tickets)
    c.send_hello()
    c.read_flight().finish(badge, ECDSA_P256)
    c.send(c.seal(get()))
    return c


# ---- the flight ----

def test_a_flight_has_its_messages_in_their_order(faces, who):
    """4, 5.1: also when it is resumed, asked for a certificate, or made by way of a HelloRetryRequest; the client looks at each field."""
    full = [SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_VERIFY, FINISHED]
    plain_face, required = faces[who, "plain"], faces[who, "required"]
    for session_id in (b"", os.urandom(32), b"x"):
        for retried in (False, True):
            for resumed in (False, True):
                hello = Hello(shares=() if retried else (X25519,))
                hello.session_id = session_id
                with Client(plain_face.port, hello) as c:
                    if resumed:
                        c.offer(plain_face.ticket())
                    c.send_hello()
                    c.read_flight()
                    assert c.seen == [SERVER_HELLO] * retried + ([SERVER_HELLO, ENCRYPTED_EXTENSIONS, FINISHED] if resumed else full)
    with Client(required.port) as c:
        c.send_hello()
        c.read_flight()
        assert c.seen == full[:2] + [CERTIFICATE_REQUEST] + full[2:]


@pytest.mark.parametrize("session_id", [b"x" * 32, b"y"], ids=["32 bytes", "1 byte"])
@pytest.mark.parametrize("shares", [(X25519,), ()], ids=["at once", "retried"])
@pytest.mark.parametrize("resumed", [False, True], ids=["full", "resumed"])
def test_middleboxes_see_what_they_know(face, shares, session_id, resumed):
    """D.4: change_cipher_spec right behind the server's first message, once."""
    hello = Hello(shares=shares)
    hello.session_id = session_id
    with handshake(face, hello, [face.ticket()] if resumed else []) as c:
        assert c.dummies == [1]
        assert c.read_content(len(ANSWER)) == ANSWER


def test_nothing_is_said_that_was_not_asked_for(face, who):
    """4.2: a client that offers as little as can be; and one that offers more than anybody knows."""
    little = Hello(name=None, protocols=(), group_list=(X25519,)).drop(PSK_MODES)
    with handshake(face, little) as c:
        assert set(c.encrypted_extensions) <= {SUPPORTED_GROUPS}
        assert c.read_content(len(ANSWER)) == ANSWER
    much = Hello()
    for kind in (3, 4, 6, 7, 8, 9, 11, 12, 14, 17, 19, 20, 22, 23, 24, 25, 26, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 46, 52, 53, 0x3374, 0xFF01):
        much.extensions.insert(0, Extension(kind, b"\0\2\1\2" if kind not in (11, 22, 23, 0xFF01) else {11: b"\1\0", 22: b"", 23: b"", 0xFF01: b"\0"}[kind]))
    refused_by_openssl = (9, 14, 35) if who == "openssl" else ()
    much.drop(*refused_by_openssl)
    with handshake(face, much) as c:
        assert set(c.encrypted_extensions) <= {SERVER_NAME, ALPN, SUPPORTED_GROUPS}
        assert c.read_content(len(ANSWER)) == ANSWER


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("group", [X25519, P256, P384])
def test_whatever_one_thing_is_offered_is_chosen(face, suite, group):
    with handshake(face, Hello(shares=[group], group_list=[group], suites=[suite])) as c:
        assert (c.suite, c.group, c.retry) == (suite, group, None)
        assert c.read_content(len(ANSWER)) == ANSWER


@pytest.mark.parametrize("named, sent", [((X25519,), ()), ((P256,), ()), ((P384,), ()), ((P256, X25519), (P384,)), ((0x7777, P384), (0x7777,)),
                                         ((0x7777, 0x7778, P256), (0x7777, 0x7778))])
def test_a_retry_asks_for_what_was_named_and_not_sent(face, named, sent):
    """4.1.4, 4.2.8: the client sees to the rest: the same suite after it, no second one, nothing that was not offered."""
    hello = Hello(shares=(), group_list=(*named, *(g for g in sent if g not in named)))
    hello.put(key_share(*((g, b"\0" * 32) for g in sent if g not in (P256, P384, X25519))))
    hello.put(groups([*named]))
    with handshake(face, hello) as c:
        assert c.group in named and c.group not in sent
        assert set(c.retry) == {43, 51}
        assert c.read_content(len(ANSWER)) == ANSWER


def test_nothing_that_must_be_fresh_comes_twice(face):
    """4.1.3, 4.6.1, 7.4: randoms, shares, nonces of tickets, tickets, what is added to their ages."""
    seen = {}
    for _ in range(30):
        with Client(face.port) as c:
            c.connect()
            c.send(c.seal(get()))
            ticket = c.read_ticket()
            for name, value in (("random", c.server_random), ("share", c.server_share), ("ticket", ticket.identity), ("age_add", ticket.age_add),
                                ("psk", ticket.psk)):
                seen.setdefault(name, []).append(value)
            assert c.server_random != c.hello.random
    assert all(len(set(values)) == 30 for values in seen.values()), {name: len(set(values)) for name, values in seen.items()}


# ---- certificates ----

@pytest.mark.parametrize("scheme", [ECDSA_P256, RSA_PSS_256, RSA_PSS_384, RSA_PSS_512])
@pytest.mark.parametrize("also", [(), (0x0401, 0x0201, 0x0203, 0x0501)], ids=["alone", "beside what may not be used"])
def test_the_certificate_fits_what_was_offered(face, scheme, also):
    """4.4.2.2, 4.4.3: the key is of the scheme's kind, and may sign; the client verifies the signature."""
    hello = Hello()
    hello.put(signature_algorithms((*also, scheme)))
    with handshake(face, hello) as c:
        leaf = c.certificates[0]
        assert c.scheme == scheme
        assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey if scheme == ECDSA_P256 else rsa.RSAPublicKey)
        assert leaf.version == x509.Version.v3
        assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
        for below, above in zip(c.certificates, c.certificates[1:]):
            assert below.issuer == above.subject
        assert "a.test" in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def test_a_certificate_is_asked_for_as_it_should_be(faces, who):
    """4.3.2: what the server can verify, and no SHA-1 in TLS 1.3."""
    face = faces[who, "required"]
    with handshake(face, badge=face.badge) as c:
        schemes = pieces(Reader(c.asked[SIGNATURE_ALGORITHMS]).vector(2), 2)
        assert b"\x04\x03" in schemes and b"\x08\x04" in schemes
        assert len(set(schemes)) == len(schemes)
        assert b"\x02\x01" not in schemes
        assert c.read_content(len(ANSWER)) == ANSWER


def test_who_resumes_is_asked_for_no_certificate(faces, who):
    face = faces[who, "required"]
    with handshake(face, badge=face.badge) as c:
        ticket = c.read_ticket()
    with Client(face.port) as c:
        c.offer(ticket)
        c.send_hello()
        c.read_flight()
        assert c.resumed and c.asked is None
        c.finish()
        c.send(c.seal(get()))
        assert c.read_content(len(ANSWER)) == ANSWER


# ---- tickets and early data ----

def test_tickets_are_fit_for_what_was_offered(faces, who):
    """4.6.1: seven days at most, nonces that differ, no early data; 4.2.6: and nothing else comes behind the handshake."""
    for name in ("plain", "required"):
        face = faces[who, name]
        with handshake(face, badge=face.badge if name == "required" else None) as c:
            messages, tickets = [], []
            while not c.collected:
                kind, content = c.read_record()
                messages += [content] if kind == 22 else []
                c.collected += content if kind == 23 else b""
            while messages:
                r = Reader(b"".join(messages))
                assert r.number(1) == NEW_SESSION_TICKET
                body = Reader(r.vector(3))
                messages = [r.data] if r.data else []
                lifetime, _, nonce, identity, extensions = body.number(4), body.number(4), body.vector(1), body.vector(2), body.extensions()
                body.end()
                assert 0 < lifetime <= 604800 and identity and EARLY_DATA not in extensions
                tickets.append(nonce)
            assert tickets and len(set(tickets)) == len(tickets)
            assert c.collected == ANSWER


@pytest.mark.parametrize("modes", [None, (0,), (7, 9)])
def test_tickets_go_to_who_can_use_them(faces, modes):
    """OpenSSL gives them to everybody."""
    for who in [e for e in ENGINES if e != "openssl"]:
        hello = Hello().put(psk_modes(*modes)) if modes else Hello().drop(PSK_MODES)
        with handshake(faces[who, "plain"], hello) as c:
            while not c.collected:
                kind, content = c.read_record()
                assert kind == 23, (kind, content)
                c.collected += content
            assert c.collected == ANSWER


def test_each_resumption_gives_a_session_of_its_own(face):
    ticket = face.ticket()
    seen = {ticket.psk}
    for _ in range(5):
        with handshake(face, tickets=[ticket]) as c:
            assert c.resumed
            ticket = c.read_ticket()
            seen.add(ticket.psk)
    assert len(seen) == 6


@pytest.mark.parametrize("suites, again", [((AES_128_GCM_SHA256,), (CHACHA20_POLY1305_SHA256,)), ((CHACHA20_POLY1305_SHA256,), (AES_128_GCM_SHA256,)),
                                           ((AES_256_GCM_SHA384,), (AES_256_GCM_SHA384,))])
def test_a_session_goes_on_under_a_suite_of_its_hash(face, suites, again):
    with handshake(face, Hello(suites=again), [face.ticket(suites[0])]) as c:
        assert c.suite == again[0]
        assert c.read_content(len(ANSWER)) == ANSWER


@pytest.mark.parametrize("resumed", [False, True])
def test_early_data_is_never_taken(face, resumed):
    """What was sent as such is never a request."""
    with Client(face.port) as c:
        ticket = face.ticket()
        c.offer(ticket)
        if not resumed:
            c.hello.put(psk_modes(0))
        c.hello.put(Extension(EARLY_DATA))
        c.send_hello()
        c.write = c.early_keys()
        c.send(c.seal(get("/early")))
        c.read_flight()
        assert c.resumed == resumed and EARLY_DATA not in c.encrypted_extensions
        c.finish()
        c.send(c.seal(get("/late")))
        assert c.read_content(len(ANSWER)) == ANSWER


# ---- which engine ----

@pytest.fixture(scope="module")
def choosing(tmp_path_factory, pki):
    """P-521 is OpenSSL's, in TLS 1.3 as well."""
    backend = Backend()
    with Faces(tmp_path_factory.mktemp("choosing"), pki, backend, {"two": {"groups": "X25519:P-521"}}, ("auto", "native", "openssl")) as made:
        yield made
        assert not made.proxy.findings(), made.proxy.stderr
    backend.stop()


def engine_of(made, path):
    return until(lambda: [r["tls_engine"] for r in map(json.loads, made.proxy.access_lines()) if r.get("path") == path], f"{path} in the access log")[0]


@pytest.mark.parametrize("policy, resumed, engine", [("auto", True, "openssl"), ("native", False, "native"), ("openssl", True, "openssl")])
def test_who_offers_a_session_of_openssls_goes_where_the_policy_says(choosing, policy, resumed, engine):
    """The same bytes go to either; nothing was said before."""
    face = choosing[policy, "two"]
    with Client(face.port, Hello(shares=[P521], group_list=[P521])) as c:
        c.connect()
        c.send(c.seal(get(f"/{policy}/first")))
        ticket = c.read_ticket()
        assert c.read_content(len(ANSWER)) == ANSWER
    assert engine_of(choosing, f"/{policy}/first") == "openssl"
    for number, shares in enumerate(((X25519,), (P521, X25519), ())):
        path = f"/{policy}/{number}"
        with Client(face.port, Hello(shares=shares, group_list=(P521, X25519)[::-1])) as c:
            c.offer(ticket)
            c.send_hello()
            c.read_flight().finish()
            # OpenSSL 3.0 takes the first share that it can use, whatever the server's order.
            assert c.resumed == resumed and c.group in ((P521, X25519) if engine == "openssl" and P521 in shares else (X25519,))
            c.send(c.seal(get(path)))
            assert c.read_content(len(ANSWER)) == ANSWER
        assert engine_of(choosing, path) == engine


def test_a_session_of_our_own_engine_is_resumed_whatever_else_is_offered(choosing):
    face = choosing["auto", "two"]
    ticket = face.ticket()
    with Client(face.port, Hello(shares=(P521, X25519), group_list=(P521, X25519))) as c:
        c.offer(ticket)
        c.send_hello()
        c.read_flight().finish()
        assert c.resumed and c.group == X25519
        c.send(c.seal(get("/ours")))
        assert c.read_content(len(ANSWER)) == ANSWER
    assert engine_of(choosing, "/ours") == "native"


# ---- TLS 1.2, and alerts ----

def test_tls_1_2_is_marked_as_less_than_the_server_speaks(face):
    """4.1.3: the last eight bytes of the random; 4.2.1: and no supported_versions."""
    message = plain.message(plain.extensions(versions=()), suites=(0xC02B, 0xC02F))
    with connect(face.port) as s:
        s.sendall(plain.record(message))
        header = plain.read_exactly(s, 5)
        content = plain.read_exactly(s, int.from_bytes(header[3:], "big"))
    assert header[0] == 22 and content[0] == SERVER_HELLO
    r = Reader(content[4:4 + int.from_bytes(content[1:4], "big")])
    assert r.number(2) == 0x0303
    assert r.take(32)[-8:] == b"DOWNGRD\x01"
    r.vector(1)
    r.take(3)
    assert 43 not in r.extensions()


@pytest.mark.parametrize("version", [0x0303, 0x0304, 0x03FF, 0x0401, 0x0603, 0xFEFE])
def test_without_supported_versions_whatever_is_above_tls_1_2_is_tls_1_2(face, version):
    """4.2.1, RFC 5246 E.1: of the versions before the extension was there, the highest that both speak."""
    message = plain.message(plain.extensions(versions=()), suites=(0x1301, 0xC02B, 0xC02F))
    answer = plain.ask(face.port, message[:4] + version.to_bytes(2, "big") + message[6:])
    assert isinstance(answer, plain.ServerHello), answer
    assert (answer.version, answer.suite in (0xC02B, 0xC02F)) == (0x0303, True)


def test_alerts_are_protected_as_soon_as_there_are_keys(faces, who):
    """6: the client takes no other; before there are keys they are in clear."""
    with Client(faces[who, "plain"].port) as c:
        c.hello.suites = [0x1305]
        c.send_hello()
        assert c.outcome().alert == HANDSHAKE_FAILURE and c.read is None
    with Client(faces[who, "required"].port) as c:
        c.send_hello()
        c.read_flight().finish(None)
        assert c.outcome().alert == 116 and c.read is not None


def test_the_engine_that_was_asked_for_is_the_one_that_speaks(faces, who):
    """As the access log has it: else all of this would be about another."""
    face = faces[who, "plain"]
    wanted = {f"/{who}-{suite:x}-{group:x}-{resumed}" for suite in SUITES for group in (X25519, P256, P384) for resumed in (False, True)}
    for path in sorted(wanted):
        suite, group, resumed = path.split("-")[1:]
        suite, group = int(suite, 16), int(group, 16)
        with Client(face.port, Hello(shares=[group], group_list=[group], suites=[suite])) as c:
            if resumed == "True":
                c.offer(face.ticket(suite))
            c.send_hello()
            c.read_flight().finish()
            c.send(c.seal(get(path)))
            assert c.read_content(len(ANSWER)) == ANSWER

    def lines():
        return {r["path"]: r["tls_engine"] for r in map(json.loads, faces.proxy.access_lines()) if r.get("path") in wanted}
    until(lambda: len(lines()) == len(wanted), "the lines of the access log")
    assert set(lines().values()) == {who}
