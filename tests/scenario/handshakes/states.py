"""Every message in every state in which it is not due, and Finished, Certificate and KeyUpdate that are wrong (RFC 8446 4, 4.4, 4.6)."""
import os

from handshakes import BAD_RECORD_MAC, DECODE_ERROR, DECRYPT_ERROR, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE, Other, row
from support.client import get
from support.hello import record
from support.records import HANDSHAKE
from support.tls13 import certificate_message, message

# ---- the states: where the server waits for something ----


def first(c):
    del c


def retried(c):
    c.hello.share()
    c.send_hello()
    assert c.read_server_hello()


def finished_due(c):
    c.send_hello()
    c.read_flight()


def resumed(c):
    c.offer(c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.resumed


def certificate_due(c):
    c.send_hello()
    c.read_flight()
    assert c.asked is not None


def verify_due(c):
    certificate_due(c)
    c.send_message(c.certificate(c.face.badge))


def verified(c):
    verify_due(c)
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))


def without_certificate(c):
    certificate_due(c)
    c.send_message(c.certificate(None))


def connected(c):
    c.connect()


def connected_with_certificate(c):
    verified(c)
    c.finish_now()


STATES = {      # name: (prepare, face, what is due)
    "as the first message": (first, "plain", {1}),
    "in the place of the second ClientHello": (retried, "plain", {1}),
    "in the place of the Finished": (finished_due, "plain", {20}),
    "in the place of the Finished of a resumed session": (resumed, "plain", {20}),
    "in the place of the Certificate": (certificate_due, "required", {11}),
    "in the place of the CertificateVerify": (verify_due, "required", {15}),
    "behind the CertificateVerify": (verified, "required", {20}),
    "behind an empty Certificate": (without_certificate, "optional", {20}),
    "behind the handshake": (connected, "plain", {24}),
    "behind the handshake of a client with a certificate": (connected_with_certificate, "required", {24}),
}
MESSAGES = {
    0: ("HelloRequest", b""),
    1: ("ClientHello", None),
    2: ("ServerHello", b"\x03\x03" + bytes(32) + b"\0\x13\x01\0\0\0"),
    4: ("NewSessionTicket", b"\0\0\x0e\x10" + bytes(4) + b"\1\0\0\4abcd\0\0"),
    5: ("EndOfEarlyData", b""),
    8: ("EncryptedExtensions", b"\0\0"),
    11: ("Certificate", b"\0\0\0\0"),
    13: ("CertificateRequest", b"\0\0\x08\0\x0d\0\4\0\2\4\3"),
    15: ("CertificateVerify", b"\4\3\0\4abcd"),
    20: ("Finished", bytes(32)),
    24: ("KeyUpdate", b"\0"),
    25: ("CompressedCertificate", b"\0\1\0\0\4\0\0\5abcde"),
    254: ("message_hash", bytes(32)),
    77: ("a message of an unknown type", b"x"),
}
NOT_EXACT = Other((UNEXPECTED_MESSAGE, DECODE_ERROR, ILLEGAL_PARAMETER, 80, 40, 100), "OpenSSL has another alert for some messages that are not due")

for _where, (_prepare, _at, _due) in STATES.items():
    for _kind, (_title, _body) in MESSAGES.items():
        if _kind in _due:
            continue
        _ids = ["4-unexpected"]
        _ids += ["4.1.2-once"] if _kind == 1 and "handshake" in _where else []
        _ids += ["4.4.2-unasked"] if _kind in (11, 15) and _at == "plain" and "Finished" in _where else []
        _ids += ["4.6.2-unasked"] if _kind == 11 and "handshake" in _where else []
        _ids += ["4.6.3-early"] if _kind == 24 else []
        _ids += ["4.4.3-required"] if _kind == 20 and "CertificateVerify" in _where and "place" in _where else []

        @row("4", f"{_title} {_where}", UNEXPECTED_MESSAGE, at=_at, enforces=_ids, openssl=NOT_EXACT)
        def _(c, prepare=_prepare, kind=_kind, body=_body):
            prepare(c)
            c.send(c.record(message(kind, body) if body is not None else c.hello.encode()))


# ---- Finished ----

def _finished(name, alter, alert, enforces, prepare=finished_due, at="plain", openssl=None):
    @row("4.4.4", name, alert, at=at, enforces=enforces, openssl=openssl)
    def _(c):
        prepare(c)
        c.send_message(alter(c.finished()))


for _prepare, _of, _at in ((finished_due, "", "plain"), (resumed, " of a resumed session", "plain"), (verified, " of a client with a certificate", "required")):
    for _byte in (0, 17, 31):
        _finished(f"a Finished{_of} that is wrong in byte {_byte}",
                  lambda m, i=4 + _byte: m[:i] + bytes([m[i] ^ 1]) + m[i + 1:], DECRYPT_ERROR, "4.4.4-verify", _prepare, _at)
    _finished(f"a Finished{_of} of zeros", lambda m: m[:4] + bytes(32), DECRYPT_ERROR, "4.4.4-verify", _prepare, _at)
for _prepare, _of in ((finished_due, ""), (resumed, " in a resumed session")):
    for _size in (0, 1, 31, 33, 48, 1000):
        _finished(f"a Finished of {_size} bytes{_of}", lambda m, n=_size: message(20, (m[4:] + bytes(1000))[:n]), DECODE_ERROR, "6-decode", _prepare,
                  openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER), "OpenSSL has a limit of its own for each message") if _size == 1000 else None)


@row("4.4.4", "a Finished made with the server's secret", DECRYPT_ERROR, enforces="4.4.4-verify")
def _(c):
    finished_due(c)
    c.send_message(message(20, c.schedule.mac(c._server_secret, c.transcript)))  # pylint: disable=protected-access


@row("4.4.4", "a Finished that does not cover the server's Finished", DECRYPT_ERROR, enforces="4.4.4-verify")
def _(c):
    finished_due(c)
    c.transcript = c.transcript[:-36]
    c.send_message(c.finished())


@row("4.4.1", "a Finished that does not cover the first ClientHello of two", DECRYPT_ERROR, enforces=("4.4.4-verify", "4.4.1-hash"))
def _(c):
    retried(c)
    c.answer_retry()
    c.read_flight()
    c.transcript = c.transcript[36:]
    c.send_message(c.finished())


@row("4.4.4", "a Finished that does not cover the client's certificate", DECRYPT_ERROR, at="required", enforces="4.4.4-verify")
def _(c):
    certificate_due(c)
    before = c.transcript
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))
    c.transcript = before
    c.send_message(c.finished())


@row("4", "a Finished that says it has sixteen million bytes", (DECODE_ERROR, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE), enforces="6-decode")
def _(c):
    finished_due(c)
    c.send(c.record(b"\x14\xff\xff\xff" + os.urandom(1000)))


@row("4", "a message of an unknown type that says it has sixteen million bytes", UNEXPECTED_MESSAGE, enforces="4-unexpected",
     openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER, UNEXPECTED_MESSAGE), "it looks at the length first"))
def _(c):
    finished_due(c)
    c.send(c.record(b"\x99\xff\xff\xff" + os.urandom(1000)))


@row("4.4.4", "a Finished twice", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC), enforces="4-unexpected")
def _(c):
    finished_due(c)
    data = c.finished()
    c.send(c.record(data), c.record(data))


# ---- behind the handshake ----

def _behind(section, name, data, alert, enforces, openssl=None):
    @row(section, name, alert, enforces=enforces, openssl=openssl)
    def _(c):
        c.connect()
        c.send(c.seal(data, HANDSHAKE))


for _value in (2, 3, 255):
    _behind("4.6.3", f"a KeyUpdate of value {_value}", bytes([24, 0, 0, 1, _value]), ILLEGAL_PARAMETER, "4.6.3-value")
_behind("4.6.3", "a KeyUpdate without content", b"\x18\0\0\0", DECODE_ERROR, "6-decode")
_behind("4.6.3", "a KeyUpdate of two bytes", b"\x18\0\0\2\0\0", DECODE_ERROR, "6-decode",
        Other((DECODE_ERROR, ILLEGAL_PARAMETER), "OpenSSL has a limit of its own for each message"))
_behind("5.1", "a KeyUpdate with another behind it in its record", b"\x18\0\0\1\0" * 2, UNEXPECTED_MESSAGE, "5.1-boundary")
_behind("5.1", "a KeyUpdate with a byte behind it in its record", b"\x18\0\0\1\0\x18", UNEXPECTED_MESSAGE, "5.1-boundary")


@row("4.6.3", "a KeyUpdate right behind the Finished is followed", None, enforces="4.6.3-follow")
def _(c):
    c.connect()
    c.send(c.seal(b"\x18\0\0\1\0", HANDSHAKE))
    c.write.update()


@row("4.6.3", "content under the keys before a KeyUpdate", BAD_RECORD_MAC, enforces="4.6.3-follow")
def _(c):
    c.connect()
    c.send(c.seal(b"\x18\0\0\1\0", HANDSHAKE), c.seal(get()))


@row("4.6.3", "a KeyUpdate before the Finished, under the handshake's keys", UNEXPECTED_MESSAGE, enforces="4.6.3-early")
def _(c):
    finished_due(c)
    c.send(c.record(b"\x18\0\0\1\0"), c.record(c.finished()))


@row("4.1.2", "renegotiation: a ClientHello in clear behind the handshake", UNEXPECTED_MESSAGE, enforces="4.1.2-once")
def _(c):
    c.connect()
    c.send(record(c.hello.encode()))


@row("4.4.2", "a client's certificate that nobody asked for, with all that belongs to it", UNEXPECTED_MESSAGE, enforces="4.4.2-unasked")
def _(c):
    finished_due(c)
    c.send_message(c.certificate(c.face.badge))
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))
    c.finish_now()


@row("4.4.2", "an empty certificate that nobody asked for", UNEXPECTED_MESSAGE, enforces="4.4.2-unasked")
def _(c):
    finished_due(c)
    c.send_message(certificate_message([]))
    c.finish_now()


@row("4.4.2", "a certificate in a resumed session, where none is asked for", UNEXPECTED_MESSAGE, enforces="4.4.2-unasked")
def _(c):
    resumed(c)
    c.send_message(c.certificate(c.face.badge))
