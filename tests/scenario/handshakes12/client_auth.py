"""Client certificates of TLS 1.2 (RFC 5246 7.4.4, 7.4.6, 7.4.8)."""
import struct

from handshakes12 import (
    Other,     BAD_CERTIFICATE, CERTIFICATE_EXPIRED, DECODE_ERROR, DECRYPT_ERROR, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE,
    UNKNOWN_CA, UNSUPPORTED_CERTIFICATE, row)
from support.hello import vector
from support.tls12 import CERTIFICATE, CERTIFICATE_VERIFY, message

BOTH = ("required", "optional")


def to_flight(c):
    c.send_hello()
    c.read_flight()
    assert c.asked is not None


def show(c, certificate):
    to_flight(c)
    c.send_message(c.certificate(certificate))
    c.send_exchange()


def flight(c, body):
    """With these bytes as the content of Certificate, and what would follow."""
    to_flight(c)
    c.send_message(message(CERTIFICATE, body))
    c.send_exchange()
    c.send_end()


for _at in BOTH:
    @row("5246 7.4.4", f"what is asked for ({_at})", None, at=_at)
    def _(c):
        to_flight(c)
        schemes = struct.unpack(f">{len(c.asked['schemes']) // 2}H", c.asked["schemes"])
        assert {1, 64} <= set(c.asked["types"]) and 0x0403 in schemes and 0x0804 in schemes and 0x0401 in schemes
        assert not {s for s in schemes if s in (0x0201, 0x0202, 0x0203, 0x0101)}, "MD5 and SHA-1 are not asked for (RFC 9155 3)"
        assert c.face.staff_name in c.asked["names"]
        c.send_message(c.certificate(c.face.badge))
        c.send_exchange()
        c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))
        c.send_end()
        c.read_end()
        c.connected = True

    for _who, _scheme in (("badge", 0x0403), ("p384", 0x0503), ("rsa", 0x0401), ("rsa", 0x0501), ("rsa", 0x0804), ("rsa", 0x0806), ("p521", 0x0603),
                         ("ed25519", 0x0807)):
        @row("5246 7.4.8", f"{_at}: {_who}, signed with {_scheme:#06x}", None, at=_at,
             excused=Other(ILLEGAL_PARAMETER, "OpenSSL wants the curve among the policy's groups, as TLS 1.2 once did") if _who == "p521" else None)
        def _(c, who=_who, scheme=_scheme):
            to_flight(c)
            c.finish(getattr(c.face, who), scheme)

    @row("5246 7.4.8", f"{_at}: RSA with SHA-1, which was not asked for", (ILLEGAL_PARAMETER, HANDSHAKE_FAILURE, DECRYPT_ERROR), at=_at)
    def _(c):
        show(c, c.face.rsa)
        c.send_message(c.certificate_verify(c.face.rsa.key, 0x0201))
        c.send_end()

    for _name, _scheme in (("RSA's scheme with an ECDSA key", 0x0401), ("RSA-PSS's scheme with an ECDSA key", 0x0804), ("a scheme that nobody knows", 0xFEFE), ("0", 0)):
        @row("5246 7.4.8", f"{_at}: {_name}", (ILLEGAL_PARAMETER, DECRYPT_ERROR), at=_at)
        def _(c, scheme=_scheme):
            show(c, c.face.badge)
            good = c.certificate_verify(c.face.badge.key, 0x0403)
            c.send_message(good[:4] + struct.pack(">H", scheme) + good[6:])
            c.send_end()

    for _name, _alter in (("changed", lambda s: s[:-1] + bytes([s[-1] ^ 1])), ("cut short", lambda s: s[:-1]), ("too long", lambda s: s + b"\0"), ("empty", lambda s: b""),
                          ("of zeros", lambda s: bytes(len(s)))):
        for _who, _scheme in (("badge", 0x0403), ("rsa", 0x0401), ("rsa", 0x0804)):
            @row("5246 7.4.8", f"{_at}: a signature {_name} ({_who}, {_scheme:#06x})", (DECRYPT_ERROR, DECODE_ERROR) if _name == "empty" else DECRYPT_ERROR, at=_at)
            def _(c, who=_who, scheme=_scheme, alter=_alter):
                certificate = getattr(c.face, who)
                show(c, certificate)
                c.send_message(c.certificate_verify(certificate.key, scheme, alter))
                c.send_end()

    @row("5246 7.4.8", f"{_at}: a signature of another handshake", DECRYPT_ERROR, at=_at)
    def _(c):
        show(c, c.face.badge)
        c.send_message(c.certificate_verify(c.face.badge.key, 0x0403, content=c.transcript[1:]))
        c.send_end()

    @row("5246 7.4.8", f"{_at}: a signature by another key", DECRYPT_ERROR, at=_at)
    def _(c):
        show(c, c.face.badge)
        c.send_message(c.certificate_verify(c.face.stranger.key, 0x0403))
        c.send_end()

    for _name, _alter in (("cut short", lambda m: m[:-1]), ("with a byte behind it", lambda m: m + b"\0"), ("empty", lambda m: b""), ("of its scheme alone", lambda m: m[:2]),
                          ("of a length beyond it", lambda m: m[:2] + vector(m[4:] + b"\0")[:2] + m[4:])):
        @row("5246 7.4.8", f"{_at}: CertificateVerify {_name}", (DECODE_ERROR, DECRYPT_ERROR), at=_at)
        def _(c, alter=_alter):
            show(c, c.face.badge)
            c.send_message(message(CERTIFICATE_VERIFY, alter(c.certificate_verify(c.face.badge.key, 0x0403)[4:])))
            c.send_end()

    @row("5246 7.4.8", f"{_at}: a certificate and no CertificateVerify", UNEXPECTED_MESSAGE, at=_at)
    def _(c):
        show(c, c.face.badge)
        c.send_end()

    @row("5246 7.4.8", f"{_at}: CertificateVerify twice", UNEXPECTED_MESSAGE, at=_at)
    def _(c):
        show(c, c.face.badge)
        verify = c.certificate_verify(c.face.badge.key, 0x0403)
        c.send_message(verify)
        c.send_message(verify)

    @row("5246 7.4.8", f"{_at}: CertificateVerify before ClientKeyExchange", UNEXPECTED_MESSAGE, at=_at)
    def _(c):
        to_flight(c)
        c.send_message(c.certificate(c.face.badge))
        c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))

    @row("5246 7.4.6", f"{_at}: no Certificate at all", (UNEXPECTED_MESSAGE, HANDSHAKE_FAILURE), at=_at)
    def _(c):
        to_flight(c)
        c.send_exchange()
        c.send_end()

    @row("5246 7.4.6", f"{_at}: Certificate twice", UNEXPECTED_MESSAGE, at=_at)
    def _(c):
        to_flight(c)
        c.send_message(c.certificate(c.face.badge))
        c.send_message(c.certificate(c.face.badge))

    for _name, _who, _alert in (("of a stranger", "stranger", UNKNOWN_CA), ("that has expired", "expired", CERTIFICATE_EXPIRED), ("that is not valid yet", "early", (BAD_CERTIFICATE, CERTIFICATE_EXPIRED)),
                                ("of a server", "for_servers", UNSUPPORTED_CERTIFICATE), ("that vouches for itself", "self_signed", (UNKNOWN_CA, BAD_CERTIFICATE, UNSUPPORTED_CERTIFICATE))):
        @row("5246 7.2.2", f"{_at}: a certificate {_name}", _alert, at=_at)
        def _(c, who=_who):
            certificate = getattr(c.face, who)
            to_flight(c)
            c.send_message(c.certificate(certificate))
            c.send_exchange()
            c.send_message(c.certificate_verify(certificate.key, 0x0403))
            c.send_end()

    for _name, _make in (
            ("nothing", lambda d: b""), ("a list cut short", lambda d: vector(vector(d, 3), 3)[:-1]), ("bytes behind its list", lambda d: vector(vector(d, 3), 3) + b"\0"),
            ("a length of 2 bytes", lambda d: b"\0\0"), ("a list that goes beyond it", lambda d: b"\xff\xff\xff" + vector(d, 3)),
            ("a certificate that goes beyond its list", lambda d: vector(len(d + b"1").to_bytes(3, "big") + d, 3)),
            ("bytes behind a certificate in its list", lambda d: vector(vector(d, 3) + b"\0", 3))):
        @row("5246 7.4.2", f"{_at}: Certificate with {_name}", DECODE_ERROR, at=_at)
        def _(c, make=_make):
            flight(c, make(c.face.badge.der))

    for _name, _make in (("an empty one", lambda d: b""), ("garbage", lambda d: b"garbage"), ("one cut short", lambda d: d[:-1]), ("one with a byte behind it", lambda d: d + b"\0"),
                         ("zeros", lambda d: bytes(len(d)))):
        @row("5246 7.2.2", f"{_at}: Certificate with {_name} in its list", (BAD_CERTIFICATE, DECODE_ERROR, UNSUPPORTED_CERTIFICATE), at=_at)
        def _(c, make=_make):
            flight(c, vector(vector(make(c.face.badge.der), 3), 3))

    @row("5246 7.4.2", f"{_at}: an empty certificate behind a good one", (BAD_CERTIFICATE, DECODE_ERROR), at=_at)
    def _(c):
        flight(c, vector(vector(c.face.badge.der, 3) + b"\0\0\0", 3))

    @row("5246 7.4.6", f"{_at}: a Certificate of 200 KB", (ILLEGAL_PARAMETER, DECODE_ERROR, BAD_CERTIFICATE, 22), at=_at)
    def _(c):
        flight(c, vector(vector(c.face.badge.der, 3) * (200_000 // len(c.face.badge.der)), 3))


@row("5246 7.4.6", "required: an empty Certificate", HANDSHAKE_FAILURE, at="required")
def _(c):
    to_flight(c)
    c.send_message(c.certificate(None))
    c.send_exchange()
    c.send_end()


@row("5246 7.4.6", "optional: an empty Certificate", None, at="optional")
def _(c):
    to_flight(c)
    c.finish(None)


@row("5246 7.4.8", "optional: an empty Certificate and a CertificateVerify", UNEXPECTED_MESSAGE, at="optional")
def _(c):
    show(c, None)
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))


@row("5246 7.4.6", "required: the client's flight in records of one byte", None, at="required")
def _(c):
    to_flight(c)
    c.send_message(c.certificate(c.face.badge), size=1)
    c.send_message(c.exchange(), size=1)
    c.make_master()
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403), size=1)
    c.send_end()
    c.read_end()
    c.connected = True


@row("5246 6.2.1", "required: the client's flight in one record", None, at="required")
def _(c):
    to_flight(c)
    certificate, exchange = c.certificate(c.face.badge), c.exchange()
    c.transcript += certificate + exchange
    c.make_master()
    verify = c.certificate_verify(c.face.badge.key, 0x0403)
    c.transcript += verify
    c.send(c.record(certificate + exchange + verify))
    c.send_end()
    c.read_end()
    c.connected = True
