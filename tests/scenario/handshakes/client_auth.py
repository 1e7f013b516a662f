"""Client certificates: Certificate's lengths, chains that do not hold, CertificateVerify in every wrong way (RFC 8446 4.4.2, 4.4.3)."""
import os
import struct

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from handshakes import (
    BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_REQUIRED, CERTIFICATE_UNKNOWN, DECODE_ERROR, DECRYPT_ERROR, ILLEGAL_PARAMETER,
    UNEXPECTED_MESSAGE, UNKNOWN_CA, UNSUPPORTED_CERTIFICATE, UNSUPPORTED_EXTENSION, Other, row)
from support.client import get
from support.hello import extension, vector
from support.tls13 import CERTIFICATE, CERTIFICATE_VERIFY, SERVER, certificate_message, message
from support.tls13_hello import Vector
from support.tls13_keys import (
    ECDSA_P256, ECDSA_P384, ECDSA_P521, ECDSA_SHA1, ED25519, RSA_PKCS1_256, RSA_PKCS1_SHA1, RSA_PSS_256, RSA_PSS_384, RSA_PSS_512, sign,
    signed_content)


def asked(c):
    c.send_hello()
    c.read_flight()
    assert c.asked is not None


# ---- none, where one is due ----

@row("4.4.2.4", "an empty Certificate where one is required", CERTIFICATE_REQUIRED, at="required", enforces="4.4.2.4-required")
def _(c):
    asked(c)
    c.send_message(c.certificate(None))
    c.finish_now()


@row("4.4.2.4", "an empty Certificate where one may be shown", None, at="optional", enforces="4.4.2.4-optional")
def _(c):
    asked(c)
    c.finish(None)


@row("4.4.2", "no Certificate at all where one may be shown", UNEXPECTED_MESSAGE, at="optional", enforces="4-unexpected")
def _(c):
    asked(c)
    c.finish_now()


# ---- Certificate ----

def _certificate_tree(der):
    return Vector("message", 3, Vector("context", 1), Vector("list", 3, Vector("data", 3, der), Vector("extensions", 2),
                                                             Vector("data", 3, der), Vector("extensions", 2)))


for _path in ("message", "message/context", "message/list", "message/list/data", "message/list/extensions"):
    for _delta in (1, -1):
        if (_path, _delta) == ("message", 1):
            continue    # it would be waited for

        # A context that is not empty is another than ours, a certificate that is a byte too long or (where its last byte, read as the first of
        # the extensions' length, is zero) too short is none: who reads on in order finds that first.
        @row("6", f"Certificate {_path}: its length {_delta:+}", (DECODE_ERROR, ILLEGAL_PARAMETER) if "context" in _path else
             (DECODE_ERROR, BAD_CERTIFICATE) if _path == "message/list/data" else DECODE_ERROR, at="required",
             enforces="6-decode", openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE, 80, BAD_CERTIFICATE), "OpenSSL reads the certificate first")
             if _path != "message" else None)
        def _(c, path=_path, delta=_delta):
            asked(c)
            c.send_message(bytes([CERTIFICATE]) + _certificate_tree(c.face.badge.der).encode({path: delta}))


@row("4.4.2", "a Certificate with a context that the request did not have", ILLEGAL_PARAMETER, at="required", enforces="4.4.2-context",
     openssl=Other((ILLEGAL_PARAMETER, DECODE_ERROR), "to OpenSSL its length is wrong"))
def _(c):
    asked(c)
    c.send_message(certificate_message([c.face.badge.der], context=b"x"))


@row("4.4.2", "an empty Certificate with a context that the request did not have", ILLEGAL_PARAMETER, at="optional", enforces="4.4.2-context",
     openssl=Other((ILLEGAL_PARAMETER, DECODE_ERROR), "to OpenSSL its length is wrong"))
def _(c):
    asked(c)
    c.send_message(certificate_message([], context=b"xyz"))


@row("6", "a Certificate without content", DECODE_ERROR, at="required", enforces="6-decode")
def _(c):
    asked(c)
    c.send_message(message(CERTIFICATE, b""))


@row("6", "a Certificate with an empty entry", DECODE_ERROR, at="required", enforces="6-decode",
     openssl=Other((DECODE_ERROR, BAD_CERTIFICATE), "to OpenSSL it is a certificate that cannot be read"))
def _(c):
    asked(c)
    c.send_message(certificate_message([b""]))


@row("6", "a Certificate with a byte behind its list", DECODE_ERROR, at="required", enforces="6-decode")
def _(c):
    asked(c)
    data = certificate_message([c.face.badge.der])
    c.send_message(message(CERTIFICATE, data[4:] + b"\0"))


for _kind, _title, _content in ((5, "status_request", b"\1" + vector(b"x" * 10, 3)), (18, "signed_certificate_timestamp", vector(vector(b"x" * 10))),
                                (0x7777, "an unknown one", b"")):
    @row("4.4.2", f"a Certificate with an extension that was not asked for: {_title}", UNSUPPORTED_EXTENSION, at="required", enforces="4.4.2-extensions",
         openssl=Other((UNSUPPORTED_EXTENSION, ILLEGAL_PARAMETER, DECODE_ERROR, 80, "completes"), "OpenSSL passes over unknown ones, and calls known ones illegal"))
    def _(c, kind=_kind, content=_content):
        asked(c)
        c.send_message(certificate_message([c.face.badge.der], extensions=extension(kind, content)))
        c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256))
        c.finish_now()
        c.send(c.seal(get()))


@row("4.2", "a Certificate with an extension of the ClientHello", ILLEGAL_PARAMETER, at="required", enforces="4.2-place",
     openssl=Other((UNSUPPORTED_EXTENSION, ILLEGAL_PARAMETER), "either way it is refused"))
def _(c):
    asked(c)
    c.send_message(certificate_message([c.face.badge.der], extensions=extension(51, b"\0\x1d\0\1x")))


@row("4.2", "a Certificate with an extension twice", (ILLEGAL_PARAMETER, UNSUPPORTED_EXTENSION), at="required", enforces="4.2-twice")
def _(c):
    asked(c)
    c.send_message(certificate_message([c.face.badge.der], extensions=extension(5, b"\1\0\0\1x") * 2))


for _name, _make in (("random bytes", lambda der: os.urandom(300)), ("a certificate that is cut short", lambda der: der[:-1]),
                     ("a certificate with a byte behind it", lambda der: der + b"\0"), ("one byte", lambda der: b"0")):
    @row("6.2", f"{_name} in the place of a certificate", (BAD_CERTIFICATE, DECODE_ERROR), at="required", enforces="6.2-certificates")
    def _(c, make=_make):
        asked(c)
        c.send_message(certificate_message([make(c.face.badge.der)]))


@row("4.4.2", "a certificate message of more bytes than are taken of a client", (DECODE_ERROR, BAD_CERTIFICATE, ILLEGAL_PARAMETER, UNKNOWN_CA, UNEXPECTED_MESSAGE),
     at="required", enforces=())
def _(c):
    asked(c)
    c.send(c.record(b"\x0b\xff\xff\xff" + bytes(5000)))


def _chain(name, which, alert, openssl=None):
    """which: of the face's certificates."""
    @row("4.4.2.4", f"a certificate {name}", alert, at="required", enforces="6.2-certificates", openssl=openssl)
    def _(c):
        asked(c)
        certificate = getattr(c.face, which)
        c.finish(certificate, c.face.scheme(certificate))


_chain("of an authority that is not known", "stranger", UNKNOWN_CA)
_chain("that its owner signed himself", "self_signed", (UNKNOWN_CA, BAD_CERTIFICATE))
_chain("that has expired", "expired", CERTIFICATE_EXPIRED)
_chain("that is not valid yet", "early", (BAD_CERTIFICATE, CERTIFICATE_EXPIRED, CERTIFICATE_UNKNOWN))
_chain("for servers", "for_servers", UNSUPPORTED_CERTIFICATE)


@row("4.4.2.4", "a certificate with a changed byte in its signature", (BAD_CERTIFICATE, DECRYPT_ERROR, UNKNOWN_CA), at="required", enforces="6.2-certificates")
def _(c):
    asked(c)
    der = c.face.badge.der
    c.send_message(certificate_message([der[:-1] + bytes([der[-1] ^ 1])]))
    c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256))
    c.finish_now()


for _which, _scheme in (("badge", ECDSA_P256), ("p384", ECDSA_P384), ("p521", ECDSA_P521), ("rsa", RSA_PSS_256), ("rsa", RSA_PSS_384), ("rsa", RSA_PSS_512), ("ed25519", ED25519)):
    @row("4.4.3", f"a client's certificate ({_which}) and a signature of {_scheme:#06x}", None, at="required",
         enforces=("4.4.3-verify", "9.1-signatures") if _scheme in (ECDSA_P256, RSA_PSS_256) else "4.4.3-verify")
    def _(c, which=_which, scheme=_scheme):
        asked(c)
        c.finish(getattr(c.face, which), scheme)


# ---- CertificateVerify ----

def _verify(name, make, alert=DECRYPT_ERROR, which="badge", scheme=ECDSA_P256, openssl=None, enforces="4.4.3-verify"):
    """make(signature) is what is sent in the place of a good one."""
    @row("4.4.3", name, alert, at="required", enforces=enforces, openssl=openssl)
    def _(c):
        asked(c)
        certificate = getattr(c.face, which)
        c.send_message(c.certificate(certificate))
        c.send_message(c.certificate_verify(certificate.key, scheme, alter=make))
        c.finish_now()


def _numbers(change):
    return lambda signature: encode_dss_signature(*change(*decode_dss_signature(signature)))


def _der(*values):
    integers = b"".join(b"\2" + vector(v.to_bytes(v.bit_length() // 8 + 1, "big", signed=True), 1) for v in values)
    return b"\x30" + vector(integers, 1)


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
for _which, _scheme in (("badge", ECDSA_P256), ("p384", ECDSA_P384), ("rsa", RSA_PSS_256), ("ed25519", ED25519)):
    for _at in (9, -1):
        _verify(f"a CertificateVerify of {_scheme:#06x} that is wrong in byte {_at}", lambda s, i=_at: s[:i] + bytes([s[i] ^ 4]) + s[i:][1:],
                which=_which, scheme=_scheme)
    _verify(f"a CertificateVerify of {_scheme:#06x} without a signature", lambda s: b"", which=_which, scheme=_scheme,
            openssl=Other((DECRYPT_ERROR, DECODE_ERROR), "OpenSSL holds an empty signature to be malformed"))
    _verify(f"a CertificateVerify of {_scheme:#06x} with a byte behind its signature", lambda s: s + b"\0", which=_which, scheme=_scheme)
    _verify(f"a CertificateVerify of {_scheme:#06x} whose signature is a byte short", lambda s: s[:-1], which=_which, scheme=_scheme)
    _verify(f"a CertificateVerify of {_scheme:#06x} of zeros", lambda s: bytes(len(s)), which=_which, scheme=_scheme)
_verify("an ECDSA signature of r = 0", _numbers(lambda r, s: (0, s)))
_verify("an ECDSA signature of s = 0", _numbers(lambda r, s: (r, 0)))
_verify("an ECDSA signature of r = s = 0", _numbers(lambda r, s: (0, 0)))
_verify("an ECDSA signature of r = s = 1", _numbers(lambda r, s: (1, 1)))
_verify("an ECDSA signature whose r is the order", _numbers(lambda r, s: (ORDER, s)))
_verify("an ECDSA signature whose r is too great by the order", _numbers(lambda r, s: (r + ORDER, s)))
_verify("an ECDSA signature whose s is too great by the order", _numbers(lambda r, s: (r, s + ORDER)))
_verify("an ECDSA signature of a negative s", lambda s: _der(decode_dss_signature(s)[0], decode_dss_signature(s)[1] - ORDER))
_verify("an ECDSA signature without DER", lambda s: b"".join(v.to_bytes(32, "big") for v in decode_dss_signature(s)))
_verify("an ECDSA signature with a length in the long form", lambda s: s[:1] + b"\x81" + s[1:])
_verify("an ECDSA signature with a zero byte before r", lambda s: bytes([s[0], s[1] + 1, s[2], s[3] + 1, 0]) + s[4:])


# ---- schemes that were not offered, may not be used, or do not fit the key ----

SCHEMES = (
    ("badge", ECDSA_SHA1, "ecdsa_sha1"), ("rsa", RSA_PKCS1_SHA1, "rsa_pkcs1_sha1"), ("rsa", RSA_PKCS1_256, "rsa_pkcs1_sha256"),
    ("badge", 0x0000, "0x0000"), ("badge", 0x7777, "0x7777"), ("badge", 0xFFFF, "0xffff"),
    ("badge", ECDSA_P384, "of P-384 for a key of P-256"), ("badge", RSA_PSS_256, "of RSA for a key of P-256"), ("badge", ED25519, "of Ed25519 for a key of P-256"),
    ("p384", ECDSA_P256, "of P-256 for a key of P-384"), ("p521", ECDSA_P384, "of P-384 for a key of P-521"), ("rsa", ECDSA_P256, "of P-256 for a key of RSA"), ("rsa", 0x0809, "of RSASSA-PSS keys for a key of RSA"),
    ("ed25519", ECDSA_P256, "of P-256 for a key of Ed25519"))

for _which, _scheme, _title in SCHEMES:
    @row("4.4.3", f"a CertificateVerify of a scheme that is not to be used: {_title}", ILLEGAL_PARAMETER, at="required",
         enforces=("4.4.3-scheme", "4.2.3-sha1") if "sha1" in _title else ("4.4.3-scheme", "4.4.3-pss") if "pkcs1" in _title else "4.4.3-scheme")
    def _(c, which=_which, scheme=_scheme):
        asked(c)
        certificate = getattr(c.face, which)
        c.send_message(c.certificate(certificate))
        content = signed_content(b"client", c.schedule.hash(c.transcript))
        signature = sign(certificate.key, scheme if scheme in (ECDSA_SHA1, RSA_PKCS1_SHA1, RSA_PKCS1_256, ECDSA_P384) else c.face.scheme(certificate), content)
        c.send_message(message(CERTIFICATE_VERIFY, struct.pack(">H", scheme) + vector(signature)))
        c.finish_now()


# ---- of what is signed ----

@row("4.4.3", "a CertificateVerify with the server's context", DECRYPT_ERROR, at="required", enforces=("4.4.3-verify", "4.4.3-context"))
def _(c):
    asked(c)
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256, who=SERVER))
    c.finish_now()


@row("4.4.3", "a CertificateVerify that does not cover the Certificate", DECRYPT_ERROR, at="required", enforces=("4.4.3-verify", "4.4.3-context"))
def _(c):
    asked(c)
    before = c.transcript
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256, transcript=before))
    c.finish_now()


@row("4.4.3", "a CertificateVerify by the key of another", DECRYPT_ERROR, at="required", enforces="4.4.3-verify")
def _(c):
    asked(c)
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.stranger.key, ECDSA_P256))
    c.finish_now()


@row("4.4.3", "a CertificateVerify of another connection", DECRYPT_ERROR, at="required", enforces=("4.4.3-verify", "4.4.3-context"))
def _(c):
    asked(c)
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256, transcript=c.transcript[:6] + os.urandom(32) + c.transcript[38:]))
    c.finish_now()


# ---- its lengths ----

for _delta in (1, -1):
    @row("6", f"CertificateVerify, its signature's length {_delta:+}", DECODE_ERROR, at="required", enforces="6-decode",
         openssl=Other((DECODE_ERROR, DECRYPT_ERROR), "OpenSSL notices when the signature does not verify"))
    def _(c, delta=_delta):
        asked(c)
        c.send_message(c.certificate(c.face.badge))
        data = bytearray(c.certificate_verify(c.face.badge.key, ECDSA_P256))
        data[7] += delta
        c.send_message(bytes(data))


for _size in (0, 1, 2, 3):
    @row("6", f"a CertificateVerify of {_size} bytes", DECODE_ERROR, at="required", enforces="6-decode")
    def _(c, size=_size):
        asked(c)
        c.send_message(c.certificate(c.face.badge))
        c.send_message(message(CERTIFICATE_VERIFY, b"\4\3\0"[:size]))


@row("4.4.2", "a CertificateVerify behind an empty Certificate, and a Finished", UNEXPECTED_MESSAGE, at="optional", enforces="4-unexpected")
def _(c):
    asked(c)
    c.send_message(c.certificate(None))
    c.send_message(c.certificate_verify(c.face.badge.key, ECDSA_P256))
    c.finish_now()


@row("4.4.3", "a Finished without a CertificateVerify", UNEXPECTED_MESSAGE, at="required", enforces=("4-unexpected", "4.4.3-required"))
def _(c):
    asked(c)
    c.send_message(c.certificate(c.face.badge))
    c.finish_now()
