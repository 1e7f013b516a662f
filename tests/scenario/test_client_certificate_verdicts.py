"""Which certificates of clients are good, and whose signatures: over every engine, the same verdict (RFC 5280 6, RFC 8446 4.2.3, 4.4.3).

Each chain is made for its case under the authority that the listener knows. What is refused gets an alert that speaks of certificates."""
import datetime
import functools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handshakes import (
    BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_UNKNOWN, DECRYPT_ERROR, ILLEGAL_PARAMETER, UNKNOWN_CA, UNSUPPORTED_CERTIFICATE)
from support.backend import Backend
from support.client import get
from support.faces import ENGINES, Faces
from support.hello import vector
from support.tls13 import CERTIFICATE_VERIFY, Client, certificate_message, message
from support.tls13_keys import CLIENT, signed_content

pytestmark = [pytest.mark.tls, pytest.mark.filterwarnings("ignore:SHA1")]

ABOUT_CERTIFICATES = {BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_UNKNOWN, DECRYPT_ERROR, UNKNOWN_CA, UNSUPPORTED_CERTIFICATE}
NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
          "encipher_only", "decipher_only")
CLIENTS, SERVERS, ANYBODY = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
OID = x509.ObjectIdentifier("1.2.3.4.5")
HASHES = {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}
RSA_PSS = {0x0804: hashes.SHA256(), 0x0805: hashes.SHA384(), 0x0806: hashes.SHA512()}
SCHEMES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x0401, 0x0501, 0x0203, 0x0201, 0x0101)


def p256():
    return ec.generate_private_key(ec.SECP256R1())


KEYS = {     # made here or elsewhere, and the schemes that they sign with in TLS 1.3
    "P-256": (p256, {0x0403}),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), {0x0503}),
    "P-521": (lambda: ec.generate_private_key(ec.SECP521R1()), {0x0603}),
    "P-224": (lambda: ec.generate_private_key(ec.SECP224R1()), set()),
    "secp256k1": (lambda: ec.generate_private_key(ec.SECP256K1()), set()),
    "brainpoolP256r1": (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), set()),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, {0x0807}),
    "Ed448": (ed448.Ed448PrivateKey.generate, {0x0808}),
    "RSA": (lambda: rsa.generate_private_key(65537, 2048), set(RSA_PSS)),
}


class Link:
    """A certificate and its key. above: the Link that signed it, None: itself."""

    def __init__(self, above, name, *, key=None, ca=None, length=None, purposes=(), usages=(), digest=hashes.SHA256(), start=-DAY, end=20 * DAY, more=()):
        self.key = key or p256()
        self.subject = name if isinstance(name, x509.Name) else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        above = above or self
        builder = x509.CertificateBuilder().subject_name(self.subject).issuer_name(above.subject).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW + start).not_valid_after(NOW + end)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, length), True)
        if usages:
            builder = builder.add_extension(x509.KeyUsage(**{u: u in usages for u in USAGES}), True)
        for extension, critical in more:
            builder = builder.add_extension(extension, critical)
        self.der = builder.sign(above.key, digest).public_bytes(serialization.Encoding.DER)


class Root:
    def __init__(self, authority):
        self.key, self.subject = authority.key, authority.certificate.subject
        self.der = authority.der


def leaf(root, **options):
    return [Link(root, "alice", **{"purposes": [CLIENTS], **options})]


def under(root, *above, last=None):
    """A good leaf below intermediates, each given as the options of its Link."""
    chain = []
    for i, options in enumerate(above):
        chain.insert(0, Link(chain[0] if chain else root, f"link {i}", **{"ca": True, **options}))
    return leaf(chain[0], **(last or {})) + chain


def impostor(root):
    return Link(None, root.subject, ca=True)


def sole(option, value):
    return lambda root: leaf(root, **{option: value})


def steps(*above):
    return lambda root: under(root, *above)


GOOD = {
    "of the authority": leaf,
    "without purposes": sole("purposes", []),
    "that may agree upon keys": sole("usages", ["key_agreement"]),
    "with an extension that nobody knows": sole("more", [(x509.UnrecognizedExtension(OID, b"\5\0"), False)]),
    "under three links": steps({}, {}, {}),
    "under links in the wrong order": lambda root: [(c := under(root, {}, {}))[0], *reversed(c[1:])],
    "with others that are not its own": lambda root: leaf(root) + [impostor(root), Link(None, "mallory")],
    "thirty times": lambda root: leaf(root) * 30,
    "under a link of the length that it has": steps({"length": 0}),
    "of RSA with 4096 bits": lambda root: leaf(root, key=rsa.generate_private_key(65537, 4096)),
}
BAD = {
    "for servers": sole("purposes", [SERVERS]),
    "for any purpose but not named for clients": sole("purposes", [ANYBODY]),
    "that may not sign": sole("usages", ["key_encipherment"]),
    "with a critical extension that nobody knows": sole("more", [(x509.UnrecognizedExtension(OID, b"\5\0"), True)]),
    "signed with SHA-1": sole("digest", hashes.SHA1()),
    "whose time is over": lambda root: leaf(root, start=-9 * DAY, end=-DAY),
    "whose time has not come": sole("start", DAY),
    "of RSA with 1024 bits": lambda root: leaf(root, key=rsa.generate_private_key(65537, 1024)),
    "of a curve of 192 bits": lambda root: leaf(root, key=ec.generate_private_key(ec.SECP192R1())),
    "under more links than the policy allows": steps(*[{}] * 8),
    "below a link that allows no other": steps({"length": 0}, {}),
    "under a leaf": steps({"ca": None}),
    "under a link that says it is no authority": steps({"ca": False}),
    "under a link that may not sign certificates": steps({"usages": ["digital_signature"]}),
    "under a link of RSA with 1024 bits": lambda root: under(root, {"key": rsa.generate_private_key(65537, 1024)}),
    "under a link signed with SHA-1": steps({"digest": hashes.SHA1()}),
    "under a link whose time is over": steps({"start": -9 * DAY, "end": -DAY}),
    "that signed itself": lambda root: [Link(None, "alice", purposes=[CLIENTS])],
    "that signed itself in the authority's name": lambda root: [impostor(root)],
    "under one that took the authority's name": lambda root: [Link(impostor(root), "alice", purposes=[CLIENTS])],
    "under one that took the authority's name and is sent along": lambda root: [Link(i := impostor(root), "alice", purposes=[CLIENTS]), i],
    "without the link above it": lambda root: under(root, {})[:1],
    "behind another one's": lambda root: [Link(None, "mallory"), *leaf(root)],
}


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    backend = Backend()
    with Faces(tmp_path_factory.mktemp("verdicts"), pki, backend, {"required": {"clients": {"certificate": "required"}}}) as made:
        yield made
        assert not made.proxy.findings(), made.proxy.stderr
    backend.stop()


@pytest.fixture(params=ENGINES)
def face(faces, request):
    return faces[request.param, "required"]


@pytest.fixture(scope="module")
def root(pki):
    return Root(pki.authority("Staff CA"))


def sign(key, scheme, content):
    """As the scheme says, or as near to it as the key comes."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(content, ec.ECDSA(HASHES.get(scheme >> 8, hashes.SHA256())))
    if isinstance(key, rsa.RSAPrivateKey):
        digest = RSA_PSS.get(scheme, hashes.SHA256())
        if scheme & 0xFF == 1:
            return key.sign(content, padding.PKCS1v15(), HASHES.get(scheme >> 8, hashes.SHA1()))
        return key.sign(content, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(content)


def verdict(face, chain, scheme):
    """None: the request was answered; or the alert."""
    with Client(face.port) as c:
        c.send_hello()
        c.read_flight()
        c.send_message(certificate_message([link.der for link in chain]))
        signature = sign(chain[0].key, scheme, signed_content(CLIENT, c.schedule.hash(c.transcript)))
        c.send_message(message(CERTIFICATE_VERIFY, scheme.to_bytes(2, "big") + vector(signature)))
        c.finish_now()
        c.send(c.seal(get()))
        outcome = c.outcome()
        assert outcome.alert is not None or outcome.completed, "the connection ended without a word"
        return outcome.alert


def own_scheme(key):
    return 0x0804 if isinstance(key, rsa.RSAPrivateKey) else 0x0403


@pytest.mark.parametrize("name", GOOD)
def test_a_certificate_is_taken(face, root, name):
    chain = GOOD[name](root)
    assert verdict(face, chain, own_scheme(chain[0].key)) is None


@pytest.mark.parametrize("name", BAD)
def test_a_certificate_is_refused(face, root, name):
    chain = BAD[name](root)
    assert verdict(face, chain, own_scheme(chain[0].key)) in ABOUT_CERTIFICATES


@functools.cache
def key_of(kind):
    return KEYS[kind][0]()


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_signs_with_its_own_schemes_and_no_other(face, root, kind):
    """4.4.3: not with the curve or hash of another, not with PKCS #1's older padding, not with SHA-1."""
    chain = leaf(root, key=key_of(kind))
    for scheme in SCHEMES:
        assert verdict(face, chain, scheme) == (None if scheme in KEYS[kind][1] else ILLEGAL_PARAMETER), f"{scheme:#06x}"
