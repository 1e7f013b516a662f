"""The same ClientHello to OpenSSL's engine and to the other: the same decisions.

Version, suite, group, HelloRetryRequest or not, certificate and signature algorithm, ALPN, resumed or not, what is said
in EncryptedExtensions, or the alert. The ClientHellos are made from a fixed seed, most of them in order, some with too little
in common. Where both are right and differ, `are_both_right` says so."""
import copy
import itertools
import os
import random

import pytest

from handshakes import HANDSHAKE_FAILURE, NO_APPLICATION_PROTOCOL
from support import hello as plain
from support.backend import Backend, response
from support.client import get
from support.faces import ENGINES, Faces, has_hybrid
from support.tls13 import Alert, Client, Ended
from support.tls13_hello import (
    ALPN, EARLY_DATA, GREASE, PSK_DHE_KE, PSK_KE, PSK_MODES, SERVER_NAME, SIGNATURE_ALGORITHMS_CERT, SUPPORTED_GROUPS, Extension, Hello, alpn,
    groups, key_share, padding, pre_shared_key, psk_modes, server_name, signature_algorithms, status_request, versions)
from support.tls13_keys import AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256, P256, P384, X25519, X25519MLKEM768

pytestmark = pytest.mark.tls

OTHER = ENGINES[-1]
SEED = int(os.environ.get("UNLADE_TEST_SEED", "8446"))
COUNT = int(os.environ.get("UNLADE_TEST_COUNT", "400"))     # of ClientHellos by chance
POLICIES = {
    "plain": {},
    "modern": {"profile": "modern"},
    "groups": {"groups": "P-384:X25519"},
    "suites": {"suites_1_3": "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"},
    "aes_256": {"prefer_aes_256": True},
    "strict": {"strict_sni": True},
    "no_tickets": {"tickets": False},
    "optional": {"clients": {"certificate": "optional"}},
}
SUITES = [AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256]
OTHER_SUITES = [0x1304, 0x1305, 0x00FF, 0x5600, 0xC02B, 0xC02F, 0xC030, 0x002F, *GREASE[:3]]
KNOWN_GROUPS = [X25519, P256, P384] + [X25519MLKEM768] * has_hybrid()
OTHER_GROUPS = [0x0019, 0x001E, 0x0100, 0x7777, *GREASE[3:6]]
SCHEMES = [0x0403, 0x0804, 0x0805, 0x0806]
OTHER_SCHEMES = [0x0401, 0x0501, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x0201, 0x0203, *GREASE[6:8]]
PROTOCOLS = [b"http/1.1", b"h2", b"http/1.0", b"spdy/3", b"foo", b"\x0a\x0a"]


def some(r, values, least=0):
    """Some of them, in any order."""
    return r.sample(values, r.randint(least, len(values)))


def mixed(r, known, others, chance_of_none=0.03):
    values = some(r, known, 0 if r.random() < chance_of_none else 1) + r.sample(others, r.choice((0, 0, 1, 2, len(others))))
    if r.random() < .5:
        r.shuffle(values)
    return values


class Offer:
    """What a ClientHello says; the same for both engines but for the sessions, which each made itself. This one is an ordinary one."""

    def __init__(self, policy="plain", hello=None, session="none", suite=AES_128_GCM_SHA256):
        self.policy, self.hello, self.session, self.session_suite = policy, hello or Hello(), session, suite
        self.name, self.versions, self.early_data, self.record_bytes = b"a.test", (0x0304,), False, 16384

    def sessions(self, face):
        suite = self.session_suite
        if POLICIES[self.policy].get("tickets") is False or (self.policy == "suites" and suite == AES_128_GCM_SHA256):
            return []
        count = {"one": 1, "two": 2}.get(self.session, 0)
        return [face.ticket(suite, i) for i in range(count)]

    def decisions(self, face):
        """What the server made of it."""
        h = copy.copy(self.hello)
        h.extensions = copy.deepcopy(h.extensions)
        tickets = self.sessions(face)
        if 0x0304 not in self.versions:
            return self._of_an_older_version(face, h)
        with Client(face.port, h) as c:
            c.lenient = face.engine == "openssl"
            if self.session == "unknown":
                h.extensions.append(pre_shared_key([(b"\x55" * 200, 0)], [bytes(32)]))
            elif tickets:
                c.offer(*tickets)
            if self.early_data and (tickets or self.session == "unknown"):
                h.put(Extension(EARLY_DATA))
            try:
                c.send_hello(size=self.record_bytes)
                c.read_flight().finish(None)
                expect_content(c)
            except Alert as alert:
                return {"alert": alert.description, "retry": c.retry}
            except Ended:
                return {"ended": True}
            said = set(c.encrypted_extensions) - {SUPPORTED_GROUPS, SERVER_NAME}    # both are the server's choice
            return {"suite": c.suite, "group": c.group, "retry": c.retry, "resumed": c.resumed, "alpn": c.alpn, "scheme": c.scheme, "said": said,
                    "identity": c.selected_identity, "certificate": c.certificates[0].serial_number if c.certificates else None,
                    "asked": c.asked is not None, "seen": c.seen, "dummies": c.dummies if h.session_id else []}    # D.4 asks for none then

    def _of_an_older_version(self, face, h):
        answer = plain.ask(face.port, h.encode())
        return {"alert": answer[1]} if isinstance(answer, tuple) else {"version": answer.version, "suite": answer.suite}


class Drawn(Offer):
    """One by chance: order and length of every list, shares or not, sessions, extensions that nobody knows, in any order, in any records."""

    def __init__(self, number):
        super().__init__()
        r = random.Random(number)
        self.policy = r.choice(list(POLICIES))
        self.name = r.choice((b"a.test", b"a.test", b"a.test", b"b.test", b"A.TEST", b"a.test.", b"nobody.test", b"127.0.0.1", None))
        self.hello = Hello(name=self.name, shares=())
        h = self.hello
        h.random = r.randbytes(32)
        h.session_id = r.randbytes(r.choice((0, 32, 32, 32, 1, 16)))
        h.suites = mixed(r, SUITES, OTHER_SUITES) or [0x1305]
        self._groups(r)
        h.put(signature_algorithms(mixed(r, SCHEMES, OTHER_SCHEMES) or [0x0201]))
        if r.random() < .2:
            h.put(signature_algorithms(mixed(r, SCHEMES, OTHER_SCHEMES) or [0x0201], SIGNATURE_ALGORITHMS_CERT))
        self.versions = r.choice(((0x0304,),) * 6 + ((0x0304, 0x0303), (GREASE[8], 0x0304, 0x0303), (0x0303, 0x0304), (0x0305, 0x0304), (0x0303,),
                                                     (0x0302,), (GREASE[9],)))
        h.put(versions(self.versions))
        if 0x0304 not in self.versions and r.random() < .8:
            h.suites += [0xC02B, 0xC02F]
        protocols = some(r, PROTOCOLS) if r.random() < .7 else []
        if protocols and not {b"h2", b"http/1.1"} & set(protocols) and r.random() < .8:
            protocols.append(b"http/1.1")
        h.put(alpn(*protocols)) if protocols else h.drop(ALPN)
        self._sessions(r)
        if r.random() < .5:
            h.put(Extension(r.choice(GREASE)), Extension(0xFE0D, r.randbytes(100)))
        if r.random() < .3:
            h.put(padding(r.choice((0, 1, 500, 3000))))
        if r.random() < .3:
            h.put(status_request(), Extension(18))
        if r.random() < .5:
            r.shuffle(h.extensions)
        self.record_bytes = r.choice((16384, 16384, 16384, 100, 1000, 7))

    def _groups(self, r):
        h, named = self.hello, mixed(r, KNOWN_GROUPS, OTHER_GROUPS) or [0x0100]
        sent = [g for g in named if r.random() < r.choice((0, .4, 1))]
        h.share(*(g for g in sent if g in KNOWN_GROUPS))
        h.put(groups(named), key_share(*((g, h.keys[g].public if g in h.keys else b"\0" * 32) for g in sent)))

    def _sessions(self, r):
        self.session = r.choice(("none", "none", "one", "one", "unknown", "two"))
        self.session_suite = r.choice(SUITES)
        self.early_data = self.session != "none" and r.random() < .15
        modes = r.choice(((PSK_DHE_KE,),) * 4 + ((PSK_KE,), (PSK_KE, PSK_DHE_KE), (0x0B, PSK_DHE_KE), (7,), None))
        if modes is None and self.session == "none":
            self.hello.drop(PSK_MODES)
        else:
            self.hello.put(psk_modes(*(modes or (PSK_DHE_KE,))))


def expect_content(c):
    """Under the keys that both have come to: an answer, or HTTP/2's SETTINGS."""
    if c.alpn == b"h2":
        assert c.read_content(9)[3] == 4
    else:
        c.send(c.seal(get()))
        assert c.read_content(9) == b"HTTP/1.1 "


@pytest.fixture(scope="module")
def two(tmp_path_factory, pki):
    backend = Backend()
    backend.answer = lambda e: (e.read_body(), e.send(response(b"ok")))
    with Faces(tmp_path_factory.mktemp("openssl"), pki, backend, POLICIES, ("openssl",)) as first, \
            Faces(tmp_path_factory.mktemp("other"), pki, backend, POLICIES, (OTHER,)) as second:
        yield lambda policy: (first["openssl", policy], second[OTHER, policy])
        for made in (first, second):
            assert not made.proxy.findings(), made.proxy.stderr
    backend.stop()


def are_both_right(offer, ours, theirs):
    """Where the RFC leaves a choice and the engines choose differently on purpose."""
    # 4.4.2.2: a chain whose signatures the client does not name is sent all the same (SHOULD), which OpenSSL does not.
    if ours.get("alert") == HANDSHAKE_FAILURE and SIGNATURE_ALGORITHMS_CERT in offer.hello.kinds():
        return True
    if {ours.get("alert"), theirs.get("alert")} == {HANDSHAKE_FAILURE, NO_APPLICATION_PROTOCOL}:   # neither is in common: who is asked first?
        return True
    # 4.1.4: OpenSSL 3.5 asks for X25519 where P-384 came; our own engine saves the round trip, which buys nothing.
    differ = {key for key in ours if ours[key] != theirs.get(key)}
    # OpenSSL 3.0 takes the client's first share that will do, and knows no order of groups among them.
    if not has_hybrid() and differ <= {"group"}:
        return True
    return differ <= {"group", "retry", "seen", "dummies"} and theirs.get("group") == P384 and not theirs.get("retry") and \
        ours["group"] in (X25519, P256)


def compare(two, offer, what):
    ours, theirs = (offer.decisions(face) for face in two(offer.policy))
    if ours != theirs and not are_both_right(offer, ours, theirs):
        raise AssertionError(f"{what}, policy {offer.policy}: OpenSSL's engine {ours}, {OTHER}: {theirs}; offered {describe(offer)}")


@pytest.mark.parametrize("part", range(20))
def test_both_engines_decide_alike(two, part):
    """$UNLADE_TEST_SEED begins elsewhere, $UNLADE_TEST_COUNT goes further."""
    each = COUNT // 20
    for number in range(part * each, (part + 1) * each):
        compare(two, Drawn(SEED * 100_000 + number), f"number {number}")


@pytest.mark.parametrize("policy", ["plain", "suites", "aes_256"])
def test_both_engines_choose_the_same_suite_whatever_the_order(two, policy):
    for count in (1, 2, 3):
        for order in itertools.permutations(SUITES, count):
            compare(two, Offer(policy, Hello(suites=order)), f"suites {order}")
            if order[0] != AES_128_GCM_SHA256 or policy != "suites":
                compare(two, Offer(policy, Hello(suites=order), "one", order[0]), f"suites {order}, resumed")


@pytest.mark.parametrize("policy", ["plain", "groups"])
@pytest.mark.parametrize("sent", ["none", "first", "last", "all"])
def test_both_engines_choose_the_same_group_whatever_the_order(two, policy, sent):
    for count in (1, 2, 3):
        for order in itertools.permutations(KNOWN_GROUPS, count):
            shares = {"none": (), "first": order[:1], "last": order[-1:], "all": order}[sent]
            compare(two, Offer(policy, Hello(shares=shares, group_list=order)), f"groups {order}, shares of {shares}")


def test_both_engines_choose_the_same_certificate_whatever_the_order(two):
    for count in (1, 2, 3):
        for order in itertools.permutations((0x0403, 0x0804, 0x0806, 0x0401), count):
            compare(two, Offer(hello=Hello().put(signature_algorithms(order))), f"signature algorithms {order}")


def test_both_engines_choose_the_same_protocol_whatever_the_order(two):
    for count in (1, 2, 3):
        for order in itertools.permutations(PROTOCOLS[:4], count):
            compare(two, Offer(hello=Hello(protocols=order)), f"protocols {order}")


def describe(offer):
    h = offer.hello
    return {"name": offer.name, "suites": [hex(s) for s in h.suites], "versions": offer.versions, "session": offer.session,
            "shares": sorted(h.keys), "extensions": {e.kind: e.encode()[4:40].hex() for e in h.extensions}}


def test_what_is_compared_is_of_every_kind(two):
    """Full, retried, resumed and refused handshakes, each often enough to mean something."""
    seen = {"full": 0, "retried": 0, "resumed": 0, "refused": 0, "older": 0}
    for number in range(0, COUNT, 2):
        offer = Drawn(SEED * 100_000 + number)
        d = offer.decisions(two(offer.policy)[0])
        seen["refused" if "alert" in d else "older" if "version" in d else "retried" if d["retry"] else "resumed" if d["resumed"] else "full"] += 1
    assert all(count >= 5 for count in seen.values()), seen
