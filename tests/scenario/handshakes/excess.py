"""Records and messages beyond what anybody needs, or in a form that hardly anybody sends: full, padded, cut, empty, too many
(RFC 8446 4.2.10, 4.4.4, 4.6.3, 5, 6)."""
import os

from handshakes import BAD_RECORD_MAC, CLOSE_NOTIFY, DECODE_ERROR, ENDS, RECORD_OVERFLOW, UNEXPECTED_MESSAGE, Other, row
from handshakes.psk import unknown_ticket
from handshakes.retry import ask_for_retry
from support.client import get
from support.hello import record
from support.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, WARNING, key_update
from support.tls13 import CCS, FINISHED, message, pieces
from support.tls13_hello import EARLY_DATA, Extension, groups, key_share
from support.tls13_keys import AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256, X25519

IDLE_MOST = 32      # records without content that a client may send in a handshake
MOST = 16384
USER_CANCELED = bytes([WARNING, 90])
LENGTHS_FIRST = Other((DECODE_ERROR, 47), "OpenSSL has a limit of its own for each message")


def waiting(c):
    """For the client's Finished."""
    c.send_hello()
    c.read_flight()


def finished(c):
    """The bytes of a right one, which are part of the transcript from here on."""
    data = c.finished()
    c.transcript += data
    return data


def request(c):
    c.send(c.seal(get()))


# ---- change_cipher_spec and user_canceled: passed over, but not for ever ----

DRAWS_NO_LINE = Other(("completes", UNEXPECTED_MESSAGE), "OpenSSL 3.0 draws no line, others draw it at 32 in a row")
for _record, _title in ((CCS, "change_cipher_spec"), (None, "user_canceled")):
    @row("5", f"{_title} thirty-two times before the Finished", None, enforces="5-ccs" if _record else "6.1-user-canceled",
         openssl=None if _record else Other(("completes", UNEXPECTED_MESSAGE, DECODE_ERROR), "OpenSSL takes four warnings in a row"))
    def _(c, data=_record):
        waiting(c)
        c.send(*(data or c.seal(USER_CANCELED, ALERT) for _ in range(IDLE_MOST)))
        c.finish()
        request(c)

    @row("5", f"{_title} once more than a client may send it", UNEXPECTED_MESSAGE, openssl=DRAWS_NO_LINE)
    def _(c, data=_record):
        waiting(c)
        c.send(*(data or c.seal(USER_CANCELED, ALERT) for _ in range(IDLE_MOST + 1)))
        c.finish()
        request(c)


@row("5", "change_cipher_spec without end before the Finished", UNEXPECTED_MESSAGE, openssl=DRAWS_NO_LINE)
def _(c):
    waiting(c)
    c.send(*[CCS] * 5000)
    c.finish()
    request(c)


@row("5", "change_cipher_spec without end where a second ClientHello is due", UNEXPECTED_MESSAGE, openssl=DRAWS_NO_LINE)
def _(c):
    ask_for_retry(c)
    c.send(*[CCS] * 5000)
    c.answer_retry()


@row("5", "change_cipher_spec with the ClientHello, behind its answer, and before each record of the Finished's flight", None, at="required", enforces="5-ccs")
def _(c):
    c.transcript = c.hello.encode()
    c.send(record(c.transcript), CCS)
    c.read_flight()
    for make in (lambda: c.certificate(c.face.badge), lambda: c.certificate_verify(c.face.badge.key, 0x0403)):
        c.send(CCS)
        c.send_message(make())
    c.send(CCS)
    c.finish_now()


for _size in (2, 20, 10000):
    @row("5", f"change_cipher_spec {_size} times in one record behind the ClientHello", UNEXPECTED_MESSAGE, enforces="5-ccs-other",
         openssl=Other((UNEXPECTED_MESSAGE, 47, DECODE_ERROR), "OpenSSL 3.0 looks at the content before it asks what the record is"))
    def _(c, size=_size):
        c.send_hello()
        c.send(record(b"\1" * size, CHANGE_CIPHER_SPEC, 0x0303))
        c.read_flight()


# ---- alerts ----

SILENT = Other((ENDS, CLOSE_NOTIFY), "OpenSSL says nothing more")

@row("6.1", "user_canceled and close_notify in the place of the Finished", CLOSE_NOTIFY, enforces=("6.1-close", "6.1-send", "6.1-user-canceled"),
     openssl=SILENT)
def _(c):
    waiting(c)
    c.send(c.seal(USER_CANCELED, ALERT), c.seal(b"\1\0", ALERT))


@row("6.1", "user_canceled and close_notify behind the handshake", CLOSE_NOTIFY, enforces=("6.1-close", "6.1-user-canceled"))
def _(c):
    c.connect()
    c.send(c.seal(USER_CANCELED, ALERT), c.seal(b"\1\0", ALERT))


@row("6.1", "close_notify in clear in the place of the second ClientHello", CLOSE_NOTIFY, enforces=("6.1-close", "6.1-send"), openssl=SILENT)
def _(c):
    ask_for_retry(c)
    c.send(record(b"\1\0", ALERT, 0x0303))


@row("6.1", "close_notify together with the Finished", CLOSE_NOTIFY, enforces=("6.1-close", "6.1-send"))
def _(c):
    waiting(c)
    whole, sent, c.send = c.send, [], lambda *records: sent.extend(records)
    c.finish()
    sent.append(c.seal(b"\1\0", ALERT))
    c.send = whole
    c.send(*sent)


@row("6.1", "a request and close_notify together with the Finished: the answer comes", None, enforces="6.1-close")
def _(c):
    waiting(c)
    whole, sent, c.send = c.send, [], lambda *records: sent.extend(records)
    c.finish()
    sent += [c.seal(get() * 2), c.seal(b"\1\0", ALERT)]
    c.send = whole
    c.send(*sent)
    c.send = lambda *records: None      # both requests are there


for _description in (10, 40, 47, 70, 80, 255):
    @row("6.2", f"alert {_description} in clear in the place of the second ClientHello ends it all", ENDS, enforces=("6.2-close", "6.2-unknown"))
    def _(c, description=_description):
        ask_for_retry(c)
        c.send(record(bytes([FATAL, description]), ALERT, 0x0303))


for _name, _prepare, _at in (("Certificate", lambda c: c.send_message(c.certificate(c.face.badge)), "required"),
                             ("Certificate's beginning", lambda c: c.send(c.record(c.certificate(c.face.badge)[:50])), "required")):
    @row("6", f"an alert in clear behind the client's {_name}", UNEXPECTED_MESSAGE, at=_at, enforces="5.2-protected",
         openssl=Other((UNEXPECTED_MESSAGE, BAD_RECORD_MAC, ENDS), "OpenSSL takes alerts in clear until the Finished"))
    def _(c, prepare=_prepare):
        waiting(c)
        prepare(c)
        c.send(record(bytes([FATAL, 48]), ALERT, 0x0303))


@row("5.1", "an alert cut into two records", DECODE_ERROR, enforces="5.1-alert", openssl=Other((DECODE_ERROR, UNEXPECTED_MESSAGE), "OpenSSL takes the one for the other"))
def _(c):
    waiting(c)
    c.send(c.seal(b"\2", ALERT), c.seal(b"\x28", ALERT))


for _padding in (2, 5, 30):
    for _behind in (False, True):
        @row("5.4", f"an empty alert padded with {_padding}, " + ("behind the handshake" if _behind else "before the Finished"), UNEXPECTED_MESSAGE,
             enforces="5.4-empty", openssl=Other((UNEXPECTED_MESSAGE, DECODE_ERROR), "OpenSSL takes the one for the other"))
        def _(c, size=_padding, behind=_behind):
            c.connect() if behind else waiting(c)
            c.send(c.seal(b"", ALERT, padding=size))


# ---- content ----

for _padding in (0, 30, MOST):
    @row("5.4", f"empty content padded with {_padding} before the Finished", UNEXPECTED_MESSAGE, enforces="4.4.4-no-content")
    def _(c, size=_padding):
        waiting(c)
        c.send(c.seal(b"", APPLICATION_DATA, padding=size))

    @row("5.4", f"empty content padded with {_padding} between parts of a request", None, enforces="5.4-padding")
    def _(c, size=_padding):
        c.connect()
        for piece in pieces(get("/"), 9):
            c.send(c.seal(b"", padding=size), c.seal(piece))


@row("5.4", "empty content within a Finished", UNEXPECTED_MESSAGE, enforces="5.1-interleaved",
     openssl=Other((UNEXPECTED_MESSAGE, "completes"), "OpenSSL does not see that it is between two records of a message"))
def _(c):
    waiting(c)
    data = finished(c)
    c.send(c.record(data[:1]), c.seal(b"", APPLICATION_DATA), c.record(data[1:]))
    c.change_keys()
    request(c)


for _suite in (AES_128_GCM_SHA256, CHACHA20_POLY1305_SHA256):
    @row("5.1", f"a request that fills a record, under suite {_suite:#06x}", None)
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.connect()
        start, end = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Test: ", b"\r\n\r\n"
        content = start + b"A" * 8000 + end
        c.send(c.seal(content, padding=MOST - len(content)))

    for _more in (1, 2, 255):
        @row("5.1", f"content of {_more} bytes more than a record may have, under suite {_suite:#06x}", RECORD_OVERFLOW, enforces="5.4-overflow")
        def _(c, suite=_suite, more=_more):
            c.hello.suites = [suite]
            c.connect()
            c.send(c.seal(bytes(MOST + more)))

    for _size, _padding in ((MOST - 8, 9), (0, MOST + 1), (1, MOST + 200)):
        @row("5.4", f"content of {_size} bytes padded with {_padding}, under suite {_suite:#06x}", RECORD_OVERFLOW, enforces="5.4-overflow",
             openssl=Other((RECORD_OVERFLOW, "completes", ENDS), "OpenSSL takes it where the content alone is within the limit"))
        def _(c, suite=_suite, size=_size, padding=_padding):
            c.hello.suites = [suite]
            c.connect()
            c.send(c.seal((get() + b"A" * MOST)[:size], padding=padding), c.seal(get()))


@row("5.2", "a record of ciphertext that is a byte too long behind the handshake", RECORD_OVERFLOW, enforces="5.2-overflow")
def _(c):
    c.connect()
    c.send(c.seal(bytes(MOST), padding=MOST + 257 - 17 - MOST))


for _kind, _title in ((HANDSHAKE, "handshake"), (ALERT, "alert"), (CHANGE_CIPHER_SPEC, "change_cipher_spec"), (24, "a type that is unknown")):
    for _behind in (False, True):
        @row("5.2", f"a protected record that calls itself {_title}, " + ("behind the handshake" if _behind else "in the place of the Finished"),
             UNEXPECTED_MESSAGE if _kind != ALERT or _behind else (UNEXPECTED_MESSAGE, DECODE_ERROR), enforces="5.2-protected",
             openssl=Other((UNEXPECTED_MESSAGE, DECODE_ERROR, BAD_RECORD_MAC, RECORD_OVERFLOW, 47), "OpenSSL has another alert for some of them"))
        def _(c, kind=_kind, behind=_behind):
            c.connect() if behind else waiting(c)
            sealed = c.seal(get()) if behind else c.record(c.finished())
            c.send(bytes([kind]) + sealed[1:])


# ---- the Finished ----

for _suite, _hash in ((AES_128_GCM_SHA256, 32), (AES_256_GCM_SHA384, 48)):
    for _less in (1, 2, 16, 20, _hash):
        for _start in (False, True):
            if _start and _less == _hash:
                continue

            @row("4.4.4", f"a Finished of suite {_suite:#06x} that lacks {_less} bytes at its " + ("start" if _start else "end"), DECODE_ERROR, enforces="6-decode")
            def _(c, suite=_suite, less=_less, start=_start):
                c.hello.suites = [suite]
                waiting(c)
                mac = c.finished()[4:]
                c.send_message(message(FINISHED, mac[less:] if start else mac[:len(mac) - less]))

    for _more in (1, 8, 16, 48, MOST - 4 - _hash, 0x20000, 0x30000):
        for _left in (False, True):
            @row("4.4.4", f"a Finished of suite {_suite:#06x} with {_more} zeros " + ("before" if _left else "behind") + " it", DECODE_ERROR, enforces="6-decode",
                 openssl=LENGTHS_FIRST)
            def _(c, suite=_suite, more=_more, left=_left):
                c.hello.suites = [suite]
                waiting(c)
                mac = c.finished()[4:]
                c.send_message(message(FINISHED, bytes(more) + mac if left else mac + bytes(more)))


@row("5.4", "a Finished in records of four bytes, each padded to the greatest size", None, enforces="5.4-padding")
def _(c):
    waiting(c)
    c.send(*(c.seal(p, HANDSHAKE, padding=MOST - len(p)) for p in pieces(finished(c), 4)))
    c.change_keys()


# ---- KeyUpdate ----

for _size in (1, 2, 3, 4):
    @row("4.6.3", f"a KeyUpdate in records of {_size} bytes is followed", None, enforces=("4.6.3-follow", "5.1-fragments"))
    def _(c, size=_size):
        c.connect()
        c.send(*(c.seal(p, HANDSHAKE) for p in pieces(key_update(), size)))
        c.write.update()

    @row("5.1", f"content within a KeyUpdate, behind {_size} of its bytes", UNEXPECTED_MESSAGE, enforces="5.1-interleaved",
         openssl=Other((UNEXPECTED_MESSAGE, "completes", BAD_RECORD_MAC), "OpenSSL does not see that it is between two records of a message"))
    def _(c, size=_size):
        c.connect()
        data = key_update()
        c.send(c.seal(data[:size], HANDSHAKE), c.seal(get()), c.seal(data[size:], HANDSHAKE))
        c.write.update()
        request(c)


@row("4.6.3", "a KeyUpdate that asks for ours, with the Finished and the first request in one segment", None, enforces=("4.6.3-follow", "4.6.3-answer"))
def _(c):
    waiting(c)
    whole, sent, c.send = c.send, [], lambda *records: sent.extend(records)
    c.finish()
    sent.append(c.seal(key_update(1), HANDSHAKE))
    c.write.update()
    c.send = whole
    c.send(*sent)


@row("4.6.3", "ten KeyUpdates that ask for ours, then a request", None, enforces="4.6.3-follow")
def _(c):
    c.connect()
    for _ in range(10):
        c.send(c.seal(key_update(1), HANDSHAKE))
        c.write.update()


for _value in (4, 24, 127, 128, 254):
    @row("4.6.3", f"a KeyUpdate of value {_value}, then a request", 47, enforces="4.6.3-value")
    def _(c, value=_value):
        c.connect()
        c.send(c.seal(key_update(value), HANDSHAKE))
        request(c)


# ---- early data of nobody's session ----

def offer_early(c, retry=False):
    c.hello.put(Extension(EARLY_DATA))
    if retry:
        c.hello.put(groups([0x1300, X25519]), key_share((0x1300, b"\xab" * 32)))
    c.offer(unknown_ticket())
    c.send_hello()


def garbage(size):
    return record(os.urandom(size), APPLICATION_DATA, 0x0303)


for _sizes in ((1,), (16,), (17,), (100,), (MOST,), (MOST + 17,), (8192, 8192), (64,) * 100, (MOST,) * 3):
    for _retry in (False, True):
        @row("4.2.10", f"{len(_sizes)} records of {_sizes[0]} random bytes as early data" + (", and a retry" if _retry else ""), None,
             enforces="4.2.10-retry-skip" if _retry else "4.2.10-skip",
             openssl=Other(("completes", UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, DECODE_ERROR),
                           "OpenSSL counts what it skips, and judges the length of records before it opens them"))
        def _(c, sizes=_sizes, retry=_retry):
            offer_early(c, retry)
            c.send(*(garbage(n) for n in sizes))


for _retry in (False, True):
    @row("4.2.10", "a record of early data that is longer than any record" + (", and a retry" if _retry else ""), RECORD_OVERFLOW, enforces="5.2-overflow")
    def _(c, retry=_retry):
        offer_early(c, retry)
        c.send(garbage(MOST + 257))
        assert c.read_server_hello() if retry else c.read_flight()


@row("4.2.10", "change_cipher_spec between records of early data", None, enforces=("4.2.10-skip", "5-ccs"))
def _(c):
    offer_early(c)
    c.send(garbage(500), CCS, garbage(500))


@row("4.2.10", "early data within the Finished", BAD_RECORD_MAC, enforces="4.2.10-skip")
def _(c):
    offer_early(c)
    c.send(garbage(1000))
    c.read_flight()
    data = finished(c)
    c.send(c.record(data[:16]), garbage(64), c.record(data[16:]))


@row("4.2.10", "early data behind the second ClientHello", BAD_RECORD_MAC, enforces="4.2.10-skip")
def _(c):
    offer_early(c, retry=True)
    c.send(garbage(1000))
    c.read_flight()
    c.send(garbage(64))


@row("4.2.10", "early data within the second ClientHello", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC), enforces="5.1-interleaved",
     openssl=Other((UNEXPECTED_MESSAGE, BAD_RECORD_MAC, "completes"), "OpenSSL does not see that it is between two records of a message"))
def _(c):
    offer_early(c, retry=True)
    assert c.read_server_hello()
    c.answer_retry(size=100, between=garbage(64))


@row("4.2.10", "early data in two hundred records, three megabytes together", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC), enforces="4.2.10-bounded")
def _(c):
    offer_early(c)
    c.read_flight()
    c.send(*(garbage(MOST) for _ in range(200)))
