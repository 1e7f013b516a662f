"""The cryptography of a TLS 1.3 client: suites, key shares, key schedule, signatures (RFC 8446 4.2.8, 4.4.3, 7; RFC 7748)."""
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from support import ml_kem
from support.records import Direction, expand_label

AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256 = 0x1301, 0x1302, 0x1303
SUITES = {
    AES_128_GCM_SHA256: (AESGCM, 16, hashlib.sha256),
    AES_256_GCM_SHA384: (AESGCM, 32, hashlib.sha384),
    CHACHA20_POLY1305_SHA256: (ChaCha20Poly1305, 32, hashlib.sha256),
}
P256, P384, P521, X25519, X25519MLKEM768 = 0x0017, 0x0018, 0x0019, 0x001D, 0x11EC


# ---- key shares ----

class X25519Share:
    def __init__(self):
        self.private = x25519.X25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def secret(self, peer):
        assert len(peer) == 32, peer
        return self.private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))


class CurveShare:
    def __init__(self, curve):
        self.curve = curve
        self.private = ec.generate_private_key(curve)
        self.public = self.private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    def secret(self, peer):
        return self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self.curve, peer))


class HybridShare:
    """X25519MLKEM768: the encapsulation key first, and the ciphertext likewise (draft-ietf-tls-ecdhe-mlkem)."""

    def __init__(self):
        self.kem, self.ecdh = ml_kem.DecapsulationKey(os.urandom(32), os.urandom(32)), X25519Share()
        self.public = self.kem.public + self.ecdh.public

    def secret(self, peer):
        assert len(peer) == ml_kem.CIPHERTEXT + 32, len(peer)
        return self.kem.decapsulate(peer[:ml_kem.CIPHERTEXT]) + self.ecdh.secret(peer[ml_kem.CIPHERTEXT:])


def new_share(group):
    return {X25519: X25519Share, P256: lambda: CurveShare(ec.SECP256R1()), P384: lambda: CurveShare(ec.SECP384R1()),
            P521: lambda: CurveShare(ec.SECP521R1()),
            X25519MLKEM768: HybridShare}[group]()


# ---- the key schedule ----

class KeySchedule:
    """RFC 8446 7.1, step by step. Transcripts are given as bytes: all messages up to where they are needed."""

    def __init__(self, digest, psk=None):
        self.digest, self.size = digest, digest().digest_size
        self.early = self._extract(bytes(self.size), psk or bytes(self.size))
        self.handshake = self.master = None

    def _extract(self, salt, ikm):
        return hmac.new(salt, ikm, self.digest).digest()

    def hash(self, transcript):
        return self.digest(transcript).digest()

    def derive(self, secret, label, transcript=b""):
        return expand_label(secret, label, self.size, self.digest, self.hash(transcript))

    def binder(self, transcript, label=b"res binder"):
        return self.mac(self.derive(self.early, label), transcript)

    def enter_handshake(self, shared):
        self.handshake = self._extract(self.derive(self.early, b"derived"), shared or bytes(self.size))
        self.master = self._extract(self.derive(self.handshake, b"derived"), bytes(self.size))

    def mac(self, base, transcript):
        """What a Finished holds, and a binder (4.4.4)."""
        key = expand_label(base, b"finished", self.size, self.digest)
        return hmac.new(key, self.hash(transcript), self.digest).digest()

    def resumption(self, transcript, nonce):
        return expand_label(self.derive(self.master, b"res master", transcript), b"resumption", self.size, self.digest, nonce)


def direction(suite, secret):
    aead, key_bytes, digest = SUITES[suite]
    return Direction(aead, key_bytes, digest, secret=secret)


# ---- signatures ----

ECDSA_P256, ECDSA_P384, ECDSA_P521, RSA_PSS_256, RSA_PSS_384, RSA_PSS_512, ED25519 = 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807
RSA_PKCS1_256, RSA_PKCS1_SHA1, ECDSA_SHA1 = 0x0401, 0x0201, 0x0203
_HASHES = {0x0403: hashes.SHA256, 0x0503: hashes.SHA384, 0x0603: hashes.SHA512, 0x0203: hashes.SHA1,
           0x0804: hashes.SHA256, 0x0805: hashes.SHA384, 0x0806: hashes.SHA512, 0x0809: hashes.SHA256,
           0x0401: hashes.SHA256, 0x0501: hashes.SHA384, 0x0601: hashes.SHA512, 0x0201: hashes.SHA1}
CLIENT, SERVER = b"client", b"server"


def signed_content(who, transcript_hash):
    """RFC 8446 4.4.3."""
    return b"\x20" * 64 + b"TLS 1.3, " + who + b" CertificateVerify\0" + transcript_hash


def how_to_sign(scheme):
    digest = _HASHES[scheme]()
    if scheme >> 8 == 8:
        return padding.PSS(padding.MGF1(digest), digest.digest_size), digest
    if scheme & 0xFF == 1:
        return padding.PKCS1v15(), digest
    return (ec.ECDSA(digest),)


def sign(key, scheme, content):
    """A signature by the scheme's rules, also where the scheme does not fit the key or TLS 1.3."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(content)
    if isinstance(key, rsa.RSAPrivateKey) and (scheme == ED25519 or scheme & 0xFF == 3 and scheme >> 8 != 8):
        scheme = RSA_PSS_256
    if isinstance(key, ec.EllipticCurvePrivateKey) and (scheme >> 8 == 8 or scheme & 0xFF != 3):
        scheme = ECDSA_P256
    return key.sign(content, *how_to_sign(scheme))


def verify(certificate, scheme, signature, content):
    """Whether it is a signature of TLS 1.3 by the key of the certificate (an x509.Certificate)."""
    key = certificate.public_key()
    curves = {ECDSA_P256: "secp256r1", ECDSA_P384: "secp384r1"}
    try:
        if isinstance(key, ed25519.Ed25519PublicKey) and scheme == ED25519:
            key.verify(signature, content)
        elif isinstance(key, ec.EllipticCurvePublicKey) and curves.get(scheme) == key.curve.name:
            key.verify(signature, content, *how_to_sign(scheme))
        elif isinstance(key, rsa.RSAPublicKey) and scheme in (RSA_PSS_256, RSA_PSS_384, RSA_PSS_512):
            key.verify(signature, content, *how_to_sign(scheme))
        else:
            return False
    except InvalidSignature:
        return False
    return True
