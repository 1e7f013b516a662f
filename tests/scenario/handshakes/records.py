"""Records around handshakes: cut, put together, empty, too long, of the wrong type, change_cipher_spec, alerts (RFC 8446 5, 6)."""
import os
import struct

from handshakes import (
    BAD_RECORD_MAC, CLOSE_NOTIFY, COMPLETES, DECODE_ERROR, ENDS, ILLEGAL_PARAMETER, PROTOCOL_VERSION, RECORD_OVERFLOW, UNEXPECTED_MESSAGE, Other,
    row)
from support.client import get
from support.hello import record
from support.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, WARNING
from support.tls13 import CCS
from support.tls13_hello import MAX_FRAGMENT_LENGTH, Extension

OTHER_DECODE = Other((DECODE_ERROR, UNEXPECTED_MESSAGE), "OpenSSL takes the one for the other")

OLDER = Other((UNEXPECTED_MESSAGE, ILLEGAL_PARAMETER), "OpenSSL 3.0 looks at the content before it asks what the record is")


def dummy(content, version=0x0303):
    return record(content, CHANGE_CIPHER_SPEC, version)


# ---- cut and put together ----

for _size in (1, 2, 3, 5, 100):
    @row("5.1", f"every message in records of {_size} bytes", None, enforces="5.1-fragments")
    def _(c, size=_size):
        c.send_hello(size=size)
        c.read_flight().finish(size=size)

for _size in (1, 4, 5, 9, 37):
    @row("5.1", f"the client's flight, certificate and all, in records of {_size} bytes", None, at="required", enforces="5.1-fragments")
    def _(c, size=_size):
        c.send_hello()
        c.read_flight()
        c.send_message(c.certificate(c.face.badge), size=size)
        c.send_message(c.certificate_verify(c.face.badge.key, 0x0403), size=size)
        c.finish_now(size=size)


@row("5.1", "the client's flight, certificate and all, in one record", None, at="required", enforces="5.1-coalesced")
def _(c):
    c.send_hello()
    c.read_flight()
    messages = []
    for make in (lambda: c.certificate(c.face.badge), lambda: c.certificate_verify(c.face.badge.key, 0x0403), c.finished):
        messages.append(make())
        c.transcript += messages[-1]
    c.send(c.record(b"".join(messages)))
    c.change_keys()


@row("5.1", "the client's flight in records that end amid its messages", None, at="required", enforces=("5.1-coalesced", "5.1-fragments"))
def _(c):
    c.send_hello()
    c.read_flight()
    messages = []
    for make in (lambda: c.certificate(c.face.badge), lambda: c.certificate_verify(c.face.badge.key, 0x0403), c.finished):
        messages.append(make())
        c.transcript += messages[-1]
    whole, cut = b"".join(messages), len(messages[0]) + 7
    c.send(c.record(whole[:cut]), c.record(whole[cut:]))
    c.change_keys()


@row("5.4", "padding on every record of the client's flight", None, enforces="5.4-padding")
def _(c):
    c.send_hello()
    c.read_flight()
    data = c.finished()
    c.transcript += data
    c.send(*(c.seal(bytes([b]), HANDSHAKE, padding=300) for b in data))
    c.change_keys()


@row("5.4", "padding up to the greatest size of a record", None, enforces="5.4-padding")
def _(c):
    c.send_hello()
    c.read_flight()
    data = c.finished()
    c.transcript += data
    c.send(c.seal(data, HANDSHAKE, padding=16384 - len(data)))
    c.change_keys()


for _version in (0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03FF):
    @row("5.1", f"a ClientHello in a record of version {_version:#06x}", None, enforces="5.1-version")
    def _(c, version=_version):
        c.transcript = c.hello.encode()
        c.send(record(c.transcript, version=version))


@row("5", "the Finished together with the first request", None)
def _(c):
    c.send_hello()
    c.read_flight()
    sent, c.send = [], lambda *records: sent.extend(records)
    c.finish()
    request = c.seal(get())
    del c.send
    c.send(*sent, request)


# ---- something between the records of one message ----

for _between, _name in ((record(b"\2\x50", ALERT), "an alert"), (CCS, "change_cipher_spec"), (record(b"x", APPLICATION_DATA), "content"),
                        (record(b"x", 24), "a record of an unknown type")):
    @row("5.1", f"{_name} between the records of a ClientHello", UNEXPECTED_MESSAGE, enforces="5.1-interleaved")
    def _(c, between=_between):
        c.send_hello(size=100, between=between)


for _kind, _content, _name in ((ALERT, b"\1\x5a", "an alert"), (APPLICATION_DATA, b"x", "content"), (APPLICATION_DATA, b"", "empty content"),
                               (24, b"x", "a record of an unknown type")):
    @row("5.1", f"{_name} between the records of a Finished", UNEXPECTED_MESSAGE, enforces="5.1-interleaved",
         openssl=Other((UNEXPECTED_MESSAGE, COMPLETES, BAD_RECORD_MAC, DECODE_ERROR, 80), "OpenSSL does not see that it is between two records of a message"))
    def _(c, kind=_kind, content=_content):
        c.send_hello()
        c.read_flight()
        data = c.finished()
        c.transcript += data
        c.send(c.record(data[:10]), c.record(content, kind), c.record(data[10:]))
        c.change_keys()
        c.send(c.seal(get()))


@row("5.1", "change_cipher_spec between the records of a Finished", (UNEXPECTED_MESSAGE, COMPLETES), enforces=())
def _(c):
    """5 says that it is dropped, 5.1 that nothing may stand there: either is right."""
    c.send_hello()
    c.read_flight()
    data = c.finished()
    c.transcript += data
    c.send(c.record(data[:10]), CCS, c.record(data[10:]))
    c.change_keys()
    c.send(c.seal(get()))


# ---- a message across a change of keys ----

for _behind, _name in ((b"\0", "a byte"), (b"\x14\0\0\x20" + bytes(32), "a Finished"), (b"\x18\0\0\1\0", "a KeyUpdate"), (b"\x01", "the first byte of a message")):
    @row("5.1", f"{_name} behind the ClientHello in its record", UNEXPECTED_MESSAGE, enforces="5.1-boundary")
    def _(c, behind=_behind):
        c.send(record(c.hello.encode() + behind))

    @row("5.1", f"{_name} behind the Finished in its record", UNEXPECTED_MESSAGE, enforces="5.1-boundary")
    def _(c, behind=_behind):
        c.send_hello()
        c.read_flight()
        c.send_message(c.finished() + behind, transcript=False)


@row("5.1", "a Finished that begins in clear, in the ClientHello's second record", UNEXPECTED_MESSAGE, enforces="5.1-boundary")
def _(c):
    data = c.hello.encode()
    c.send(record(data[:100]), record(data[100:] + b"\x14\0\0"))


@row("5.1", "half a Finished, then content under the next keys", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC), enforces="5.1-boundary")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send_message(c.finished()[:20], transcript=False)
    c.change_keys()
    c.send(c.seal(get()))


# ---- empty, too long, too short ----

@row("5.1", "an empty handshake record first", UNEXPECTED_MESSAGE, enforces="5.1-empty")
def _(c):
    c.send(record(b""))
    c.send_hello()


@row("5.1", "an empty handshake record within the ClientHello", UNEXPECTED_MESSAGE, enforces="5.1-empty")
def _(c):
    c.send_hello(size=100, between=record(b""))


for _padding in (0, 100):
    @row("5.4", f"an empty handshake record within the Finished, padded with {_padding}", UNEXPECTED_MESSAGE, enforces="5.4-empty")
    def _(c, size=_padding):
        c.send_hello()
        c.read_flight()
        data = c.finished()
        c.send(c.record(data[:10]), c.seal(b"", HANDSHAKE, padding=size), c.record(data[10:]))

    @row("5.4", f"an empty alert record before the Finished, padded with {_padding}", UNEXPECTED_MESSAGE, enforces="5.4-empty",
         openssl=OTHER_DECODE)
    def _(c, size=_padding):
        c.send_hello()
        c.read_flight()
        c.send(c.seal(b"", ALERT, padding=size))


@row("5.4", "a record of padding alone in the place of the Finished", UNEXPECTED_MESSAGE, enforces="5.4-no-type")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(kind=None, padding=100))


for _size in (16385, 16640, 65535):
    @row("5.1", f"a first record that says it has {_size} bytes", RECORD_OVERFLOW, enforces="5.1-overflow")
    def _(c, size=_size):
        c.send(b"\x16\x03\x01" + struct.pack(">H", size) + c.hello.encode())


@row("5.1", "a second record of a ClientHello that says it has 16,385 bytes", RECORD_OVERFLOW, enforces="5.1-overflow")
def _(c):
    c.send(record(c.hello.encode()[:50]) + b"\x16\x03\x01\x40\x01" + bytes(100))


for _size in (16384 + 257, 65535):
    @row("5.2", f"a protected record in the place of the Finished that says it has {_size} bytes", RECORD_OVERFLOW, enforces="5.2-overflow")
    def _(c, size=_size):
        c.send_hello()
        c.read_flight()
        c.send(b"\x17\x03\x03" + struct.pack(">H", size))


@row("5.4", "a protected record in the place of the Finished with more content than a record may have", RECORD_OVERFLOW, enforces="5.4-overflow",
     openssl=Other((RECORD_OVERFLOW, UNEXPECTED_MESSAGE), "it looks at the content first"))
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(bytes(16385), HANDSHAKE))


for _more in (2, 100):
    @row("5.4", f"a Finished with padding beyond what a record may hold, by {_more} bytes", RECORD_OVERFLOW, enforces="5.4-overflow",
         openssl=Other((RECORD_OVERFLOW, COMPLETES), "OpenSSL takes it where the content alone is within the limit"))
    def _(c, more=_more):
        c.send_hello()
        c.read_flight()
        data = c.finished()
        c.transcript += data
        c.send(c.seal(data, HANDSHAKE, padding=16384 - len(data) + more))
        c.change_keys()
        c.send(c.seal(get()))


for _code, _most in ((1, 512), (4, 4096)):
    @row("RFC 6066 4", f"a protected record of more than the {_most} bytes of max_fragment_length", RECORD_OVERFLOW)
    def _(c, code=_code, most=_most):
        c.hello.put(Extension(MAX_FRAGMENT_LENGTH, bytes([code])))
        c.send_hello()
        c.read_flight()
        c.send(c.seal(c.finished() + bytes(most - 35), HANDSHAKE))

    @row("RFC 6066 4", f"a Finished with padding up to the {_most} bytes of max_fragment_length", None)
    def _(c, code=_code, most=_most):
        c.hello.put(Extension(MAX_FRAGMENT_LENGTH, bytes([code])))
        c.send_hello()
        c.read_flight()
        data = c.finished()
        c.transcript += data
        c.send(c.seal(data, HANDSHAKE, padding=most - len(data)))
        c.change_keys()


for _size in (0, 1, 15, 16):
    @row("5.2", f"a protected record of {_size} bytes in the place of the Finished", BAD_RECORD_MAC, enforces="5.2-mac",
         openssl=Other((BAD_RECORD_MAC, RECORD_OVERFLOW, DECODE_ERROR, UNEXPECTED_MESSAGE), "OpenSSL judges the length before it opens anything"))
    def _(c, size=_size):
        c.send_hello()
        c.read_flight()
        c.send(b"\x17\x03\x03" + struct.pack(">H", size) + bytes(size))


@row("5.2", "a Finished whose tag is wrong", BAD_RECORD_MAC, enforces="5.2-mac")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(c.finished(), HANDSHAKE, break_tag=True))


@row("5.2", "a protected record of random bytes in the place of the Finished", BAD_RECORD_MAC, enforces="5.2-mac")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(record(os.urandom(53), APPLICATION_DATA, 0x0303))


@row("5.3", "a Finished that is numbered 1", BAD_RECORD_MAC, enforces="5.3-sequence")
def _(c):
    c.send_hello()
    c.read_flight()
    c.write.sequence = 1
    c.send_message(c.finished())


@row("7.1", "a Finished under the keys of content", BAD_RECORD_MAC, enforces="5.2-mac")
def _(c):
    c.send_hello()
    c.read_flight()
    c.change_keys()
    c.send_message(c.finished())


@row("7.1", "a Finished under the server's keys", BAD_RECORD_MAC, enforces="5.2-mac")
def _(c):
    from support.tls13_keys import direction  # pylint: disable=import-outside-toplevel
    c.send_hello()
    c.read_flight()
    c.write = direction(c.suite, c._server_secret)  # pylint: disable=protected-access
    c.send_message(c.finished())


# ---- of the wrong type ----

for _kind in (0, 19, 24, 25, 99, 255):
    @row("5", f"a record of type {_kind} in the place of the second ClientHello", UNEXPECTED_MESSAGE, enforces="5-unknown-type")
    def _(c, kind=_kind):
        c.hello.share()
        c.send_hello()
        assert c.read_server_hello()
        c.send(record(b"\0\1\2", kind, 0x0303))

    @row("5", f"a record of type {_kind} in the place of the Finished", UNEXPECTED_MESSAGE, enforces="5-unknown-type")
    def _(c, kind=_kind):
        c.send_hello()
        c.read_flight()
        c.send(record(bytes(40), kind, 0x0303))

    @row("5", f"type {_kind} inside the record in the place of the Finished", UNEXPECTED_MESSAGE, enforces="5-unknown-type")
    def _(c, kind=_kind):
        c.send_hello()
        c.read_flight()
        c.send(c.seal(bytes(40) if kind else b"\1", kind or 1))


@row("5", "content before all else", UNEXPECTED_MESSAGE, enforces="5-unknown-type")
def _(c):
    c.send(record(b"GET / HTTP/1.1\r\n\r\n", APPLICATION_DATA))


@row("5", "content in clear in the place of the second ClientHello", UNEXPECTED_MESSAGE, enforces="5-unknown-type")
def _(c):
    c.hello.share()
    c.send_hello()
    assert c.read_server_hello()
    c.send(record(b"x" * 100, APPLICATION_DATA, 0x0303))


@row("2", "content under the handshake's keys before the Finished", UNEXPECTED_MESSAGE, enforces="4.4.4-no-content")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(get()))


@row("4.4.4", "content under its own keys before the Finished", BAD_RECORD_MAC, enforces="4.4.4-no-content")
def _(c):
    c.send_hello()
    c.read_flight()
    keys = c.write
    c.change_keys()
    c.send(c.seal(get()))
    c.write = keys


@row("5.2", "the Finished in clear", UNEXPECTED_MESSAGE, enforces="5.2-protected")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(record(c.finished(), HANDSHAKE, 0x0303))


@row("5.2", "an empty Certificate in clear", UNEXPECTED_MESSAGE, at="required", enforces="5.2-protected")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(record(c.certificate(None), HANDSHAKE, 0x0303))


# ---- change_cipher_spec ----

@row("5", "change_cipher_spec before the ClientHello", UNEXPECTED_MESSAGE, enforces="5-ccs-early")
def _(c):
    c.send(CCS)
    c.send_hello()


@row("5", "change_cipher_spec behind the ClientHello, before its answer is read", None, enforces="5-ccs")
def _(c):
    data = c.hello.encode()
    c.transcript += data
    c.send(record(data), CCS)


@row("5", "change_cipher_spec before the Finished", None, enforces="5-ccs")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(CCS)


@row("5", "change_cipher_spec before each message of the client's flight", None, at="required", enforces="5-ccs")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(CCS)
    c.send_message(c.certificate(c.face.badge))
    c.send(CCS)
    c.send_message(c.certificate_verify(c.face.badge.key, 0x0403))
    c.send(CCS)
    c.finish_now()


@row("5", "five change_cipher_specs before the Finished", None, enforces="5-ccs")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(*[CCS] * 5)


@row("5", "change_cipher_spec of record version 0x0301", None, enforces=("5-ccs", "5.1-version"),
     openssl=Other((DECODE_ERROR, PROTOCOL_VERSION, COMPLETES), "OpenSSL looks at the version"))
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(dummy(b"\1", 0x0301))


for _content, _name in ((b"\0", "of value 0"), (b"\2", "of value 2"), (b"\1\1", "of two bytes"), (b"", "without content"), (b"\1" * 100, "of a hundred bytes")):
    @row("5", f"change_cipher_spec {_name} before the Finished", UNEXPECTED_MESSAGE, enforces="5-ccs-other", openssl=OLDER)
    def _(c, content=_content):
        c.send_hello()
        c.read_flight()
        c.send(dummy(content))

    @row("5", f"change_cipher_spec {_name} before the second ClientHello", UNEXPECTED_MESSAGE, enforces="5-ccs-other", openssl=OLDER)
    def _(c, content=_content):
        c.hello.share()
        c.send_hello()
        assert c.read_server_hello()
        c.send(dummy(content))


@row("5", "change_cipher_spec inside a protected record before the Finished", UNEXPECTED_MESSAGE, enforces="5-ccs-protected")
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(b"\1", CHANGE_CIPHER_SPEC))


@row("5", "change_cipher_spec behind the Finished", UNEXPECTED_MESSAGE, enforces="5-ccs-late")
def _(c):
    c.connect()
    c.send(CCS)


# ---- alerts ----

for _content, _name in ((b"\2", "of one byte"), (b"\2\x50\2", "of three bytes"), (b"\2\x50\2\x50", "that is two"), (b"", "without content")):
    @row("5.1", f"an alert {_name} in the place of the second ClientHello", (DECODE_ERROR, UNEXPECTED_MESSAGE) if not _content else DECODE_ERROR,
         enforces="5.1-alert", openssl=OTHER_DECODE)
    def _(c, content=_content):
        c.hello.share()
        c.send_hello()
        assert c.read_server_hello()
        c.send(record(content, ALERT, 0x0303))

    if _content:
        @row("5.1", f"an alert {_name} in the place of the Finished", DECODE_ERROR, enforces="5.1-alert", openssl=OTHER_DECODE)
        def _(c, content=_content):
            c.send_hello()
            c.read_flight()
            c.send(c.seal(content, ALERT))


for _level, _description in ((FATAL, 40), (FATAL, 80), (FATAL, 200), (WARNING, 42), (WARNING, 48), (9, 50)):
    @row("6", f"alert {_description} of level {_level} in the place of the Finished ends it all", ENDS, enforces=("6.2-close", "6-level", "6.2-unknown"),
         openssl=None if _level in (FATAL, WARNING) else Other((ENDS, UNEXPECTED_MESSAGE, DECODE_ERROR, 47), "OpenSSL looks at the level"))
    def _(c, content=bytes([_level, _description])):
        c.send_hello()
        c.read_flight()
        c.send(c.seal(content, ALERT))


@row("6.1", "close_notify in the place of the Finished", CLOSE_NOTIFY, enforces=("6.1-close", "6.1-send"),
     openssl=Other((ENDS, CLOSE_NOTIFY), "OpenSSL says nothing more"))
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(c.seal(b"\1\0", ALERT))


@row("6.1", "an alert in the place of the ClientHello", (ENDS, UNEXPECTED_MESSAGE))
def _(c):
    c.send(record(b"\2\x28", ALERT))


@row("6.2", "an alert in clear of a client that did not understand ServerHello", (ENDS, UNEXPECTED_MESSAGE), enforces=())
def _(c):
    c.send_hello()
    c.read_flight()
    c.send(record(b"\2\x46", ALERT, 0x0303))


@row("D.5", "a ClientHello of SSL 2.0", (ENDS, ILLEGAL_PARAMETER, PROTOCOL_VERSION, UNEXPECTED_MESSAGE, DECODE_ERROR), enforces="D.5-ssl2")
def _(c):
    c.send(b"\x80\x2e\x01\x03\x04\x00\x15\x00\x00\x00\x10" + b"\x00\x13\x01" * 7 + os.urandom(16))


@row("D.5", "a first record of version 0x0200", (PROTOCOL_VERSION, ENDS), enforces="D.5-ssl2")
def _(c):
    c.send(record(c.hello.encode(), version=0x0200))
