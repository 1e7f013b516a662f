"""Listeners for what the handshake tests have to say, one set for each engine, all in one Unlade."""
import functools
import re

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from support.client import get
from support.pki import DAY
from support.ports import free_port
from support.tls13 import ticket_of
from support.tls13_hello import Hello
from support.tls13_keys import AES_128_GCM_SHA256, ECDSA_P256, ECDSA_P384, ECDSA_P521, ED25519, RSA_PSS_256
from support.unlade import Unlade, certificate_entry, command

ENGINES = ("openssl", "native")     # the values of `engine` in TLS policies that handshakes are tried with


def engine(name):
    """What makes a TLS policy use it."""
    return {"engine": name}


@functools.cache
def has_hybrid():
    """Whether the library under the binary has X25519MLKEM768: it is of OpenSSL 3.5."""
    found = re.search(r"X25519MLKEM768\W+(yes|no)", command("--version").stdout)
    assert found, "--version does not say whether X25519MLKEM768 can be had"
    return found.group(1) == "yes"


class Face:
    """One listener: how it is configured, and what a client needs to speak with it."""

    def __init__(self, who, name, port, pki):
        self.engine, self.name, self.port = who, name, port
        self._tickets = {}
        staff = pki.authority("Staff CA")
        person = {"issuer": staff, "client": True}
        self.badge = pki.leaf(common_name="alice", **person)
        self.p384 = pki.leaf(common_name="bob", kind="p384", **person)
        self.p521 = pki.leaf(common_name="barb", kind="p521", **person)
        self.rsa = pki.leaf(common_name="carol", kind="rsa", **person)
        self.ed25519 = pki.leaf(common_name="dave", kind="ed25519", **person)
        self.expired = pki.leaf(common_name="erin", start=-9 * DAY, end=-DAY, **person)
        self.early = pki.leaf(common_name="frank", start=9 * DAY, end=20 * DAY, **person)
        self.for_servers = pki.leaf("grace.test", issuer=staff)
        self.stranger = pki.leaf(common_name="mallory", issuer=pki.authority("Stranger CA"), client=True)
        self.self_signed = pki.self_signed("self.test")

    @staticmethod
    def scheme(certificate):
        """That of its key."""
        if isinstance(certificate.key, ed25519.Ed25519PrivateKey):
            return ED25519
        if isinstance(certificate.key, ec.EllipticCurvePrivateKey):
            return {"secp256r1": ECDSA_P256, "secp384r1": ECDSA_P384, "secp521r1": ECDSA_P521}[certificate.key.curve.name]
        return RSA_PSS_256

    def ticket(self, suite=AES_128_GCM_SHA256, again=0):
        """A session of this suite, the same for the same call: servers that take no early data take a session as often as it comes."""
        if (suite, again) not in self._tickets:
            self._tickets[suite, again] = ticket_of(self.port, Hello(suites=[suite]), get())
        return self._tickets[suite, again]


class Faces:
    POLICIES = {
        "plain": {},
        "modern": {"profile": "modern"},
        "required": {"clients": {"certificate": "required"}},
        "optional": {"clients": {"certificate": "optional"}},
    }

    def __init__(self, directory, pki, backend, policies=None, engines=None, **root):
        self.faces = {}
        config = {"workers": 1, "listeners": {}, "tls": {}, "upstreams": {"app": {"servers": [backend.address]}}, **root}
        leaves = [certificate_entry(pki.leaf("a.test", "b.test", kind=kind)) for kind in ("ec", "rsa")]
        for who in engines or ENGINES:
            for name, policy in (policies or self.POLICIES).items():
                face = self.faces[who, name] = Face(who, name, free_port(), pki)
                policy = {**policy, **engine(who)}
                if "clients" in policy:
                    policy["clients"] = {**policy["clients"], "ca": pki.authority("Staff CA").chain_file}
                key = f"{name}_{who}"
                config["tls"][key] = policy
                config["listeners"][key] = {"address": f"127.0.0.1:{face.port}", "to": "app", "tls": key, "certificates": leaves}
        self.proxy = Unlade(directory, config)

    def __getitem__(self, key):
        return self.faces[key]

    def __enter__(self):
        self.proxy.start()
        return self

    def __exit__(self, *error):
        self.proxy.__exit__(*error)
