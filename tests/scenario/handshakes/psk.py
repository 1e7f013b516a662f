"""Sessions that are offered: pre_shared_key's place, lengths, binders and modes (RFC 8446 4.2.9 to 4.2.11)."""
import os
from dataclasses import replace

from handshakes import COMPLETES, DECODE_ERROR, DECRYPT_ERROR, ILLEGAL_PARAMETER, MISSING_EXTENSION, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, Other, row
from support.tls13 import CCS, Ticket
from support.tls13_hello import EARLY_DATA, KEY_SHARE, PSK_MODES, SIGNATURE_ALGORITHMS, Extension, Vector, padding, pre_shared_key, psk_modes
from support.tls13_keys import AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256, SUITES, KeySchedule


def _offered(section, name, alert, alter, *, openssl=None, enforces=()):
    """alter(c) between the offer and the sending."""
    def run(c):
        c.offer(c.face.ticket())
        alter(c)
        c.send_hello()
        if alert is None:
            c.read_flight()
    row(section, name, alert, openssl=openssl, enforces=enforces)(run)


def unknown_ticket(suite=AES_128_GCM_SHA256):
    return Ticket(suite, os.urandom(32), os.urandom(208), 3600, 0, b"\0", {}, 0)


# ---- its place ----

def _before(kind):
    def alter(c):
        e = c.hello.extensions
        e.insert(c.hello.kinds().index(kind) if kind else 0, e.pop())
    return alter


_offered("4.2.11", "pre_shared_key before key_share", ILLEGAL_PARAMETER, _before(KEY_SHARE), enforces="4.2.11-last")
_offered("4.2.11", "pre_shared_key as the first extension", ILLEGAL_PARAMETER, _before(None), enforces="4.2.11-last")
_offered("4.2.11", "padding behind pre_shared_key", ILLEGAL_PARAMETER, lambda c: c.hello.extensions.append(padding(10)), enforces="4.2.11-last")
_offered("4.2.11", "an unknown extension behind pre_shared_key", ILLEGAL_PARAMETER, lambda c: c.hello.extensions.append(Extension(0x7777)),
         enforces="4.2.11-last")
_offered("4.2", "pre_shared_key twice", ILLEGAL_PARAMETER, lambda c: c.hello.extensions.append(c.hello.extensions[-1]),
         enforces=("4.2.11-last", "4.2-twice"))


@row("4.2.9", "pre_shared_key without psk_key_exchange_modes", MISSING_EXTENSION, enforces="4.2.9-missing")
def _(c):
    c.offer(c.face.ticket())
    c.hello.drop(PSK_MODES)
    c.send_hello()


# ---- its lengths ----

def _psk_paths():
    hello_path = "message/extensions/pre_shared_key"
    return [hello_path + p for p in ("", "/identities", "/identities/identity", "/binders", "/binders/binder")]


for _path in _psk_paths():
    for _delta in (1, -1):
        _offered("6", f"{_path}: its length {_delta:+}", DECODE_ERROR, lambda c, p=_path, d=_delta: c.hello.lengths.update({p: d}), enforces="6-decode")


def _psk(name, *parts):
    @row("4.2.11", f"pre_shared_key {name}", DECODE_ERROR, enforces="6-decode",
         openssl=Other((DECODE_ERROR, COMPLETES), "where OpenSSL knows no session among those offered it reads no further"))
    def _(c):
        c.hello.extensions.append(Extension(41, *parts))
        c.send_hello()


_IDENTITY = Vector("identity", 2, bytes(200)), bytes(4)
_BINDERS = Vector("binders", 2, Vector("binder", 1, bytes(32)))
_psk("without content")
_psk("without binders", Vector("identities", 2, *_IDENTITY))
_psk("with an empty list of identities", Vector("identities", 2), _BINDERS)
_psk("with an empty identity", Vector("identities", 2, Vector("identity", 2), bytes(4)), _BINDERS)
_psk("with half an age", Vector("identities", 2, Vector("identity", 2, bytes(200)), bytes(2)), _BINDERS)
_psk("with an empty list of binders", Vector("identities", 2, *_IDENTITY), Vector("binders", 2))
_psk("with an empty binder", Vector("identities", 2, *_IDENTITY), Vector("binders", 2, Vector("binder", 1)))
_psk("with a binder of 31 bytes", Vector("identities", 2, *_IDENTITY), Vector("binders", 2, Vector("binder", 1, bytes(31))))
_psk("with a byte behind its binders", Vector("identities", 2, *_IDENTITY), _BINDERS, b"\0")


# ---- binders ----

OLDER = Other((DECRYPT_ERROR, ILLEGAL_PARAMETER), "OpenSSL 3.0 calls a wrong binder illegal_parameter")


def _binders(name, alter, alert=DECRYPT_ERROR, openssl=None, enforces="4.2.11-binder", tickets=1):
    def run(c):
        c.alter_binders = alter
        c.offer(*(c.face.ticket(again=i) for i in range(tickets)))
        c.send_hello()
    row("4.2.11.2", name, alert, openssl=OLDER if alert == DECRYPT_ERROR else openssl, enforces=enforces)(run)


for _at in (0, 15, 31):
    _binders(f"a binder that is wrong in byte {_at}", lambda b, at=_at: [b[0][:at] + bytes([b[0][at] ^ 0x80]) + b[0][at + 1:]])
_binders("a binder of zeros", lambda b: [bytes(32)])
_MALFORMED = Other((DECRYPT_ERROR, ILLEGAL_PARAMETER, DECODE_ERROR), "to OpenSSL its length is malformed")
_binders("a binder with a byte behind it", lambda b: [b[0] + b"\0"], (DECRYPT_ERROR, ILLEGAL_PARAMETER), _MALFORMED)
_binders("a binder of another hash's size", lambda b: [bytes(48)], (DECRYPT_ERROR, ILLEGAL_PARAMETER), _MALFORMED)
_binders("a binder more than identities", lambda b: [*b, bytes(32)], ILLEGAL_PARAMETER, enforces="4.2.11-count",
         openssl=Other((COMPLETES, ILLEGAL_PARAMETER), "OpenSSL reads no further than to the binder that it needs"))
_binders("two sessions with one binder", lambda b: b[:1], ILLEGAL_PARAMETER, tickets=2, enforces="4.2.11-count",
         openssl=Other((COMPLETES, ILLEGAL_PARAMETER), "OpenSSL reads no further than to the binder that it needs"))
_binders("two sessions whose binders are exchanged", lambda b: b[::-1], tickets=2)
_binders("the wrong binder of a session that is not chosen", lambda b: [b[0], bytes(32)], None, tickets=2, enforces="4.2.11-one-binder")


@row("4.2.11.2", "a binder that covers another ClientHello", DECRYPT_ERROR, enforces="4.2.11-binder", openssl=OLDER)
def _(c):
    c.offer(c.face.ticket())
    c.bind()
    c.hello.random = os.urandom(32)
    c.tickets = []
    c.send_hello()


@row("4.2.11.2", "a binder made with the key of an external session", DECRYPT_ERROR, enforces="4.2.11-binder", openssl=OLDER)
def _(c):
    t = c.face.ticket()
    c.offer(t)
    schedule = KeySchedule(SUITES[t.suite][2], t.psk)
    c.alter_binders = lambda b: [schedule.binder(c.hello.encode()[:-c.hello.binders_size()], b"ext binder")]
    c.send_hello()


# ---- sessions that cannot be resumed: a full handshake ----

def _not_resumed(name, offer, section="4.2.11", enforces="4.2.11-unknown"):
    @row(section, name, None, enforces=enforces)
    def _(c):
        offer(c)
        c.send_hello()
        c.read_flight()
        assert not c.resumed


_not_resumed("a session that nobody knows", lambda c: c.offer(unknown_ticket()))
_not_resumed("ten sessions that nobody knows", lambda c: c.offer(*(unknown_ticket() for _ in range(10))))
_not_resumed("an identity of one byte", lambda c: c.hello.extensions.append(pre_shared_key([(b"x", 0)], [bytes(32)])))
_not_resumed("an identity of thirty thousand bytes", lambda c: c.hello.extensions.append(pre_shared_key([(bytes(30000), 0)], [bytes(32)])))


def _broken(at):
    def offer(c):
        t = c.face.ticket()
        i = at if at >= 0 else len(t.identity) + at
        c.offer(Ticket(t.suite, t.psk, t.identity[:i] + bytes([t.identity[i] ^ 1]) + t.identity[i + 1:], t.lifetime, t.age_add, t.nonce, {}, t.received))
    return offer


for _at in (0, 5, 20, 60, -33, -1):
    _not_resumed(f"a session with a bit changed at byte {_at}", _broken(_at))


def _cut(c):
    t = c.face.ticket()
    c.offer(Ticket(t.suite, t.psk, t.identity[:-1], t.lifetime, t.age_add, t.nonce, {}, t.received))


_not_resumed("a session that is a byte short", _cut)
_not_resumed("a session of SHA-256 where SHA-384 alone is offered",
             lambda c: (setattr(c.hello, "suites", [AES_256_GCM_SHA384]), c.offer(c.face.ticket())), enforces="4.2.11-hash")
_not_resumed("a session of SHA-384 where SHA-256 alone is offered",
             lambda c: (setattr(c.hello, "suites", [AES_128_GCM_SHA256]), c.offer(c.face.ticket(AES_256_GCM_SHA384))), enforces="4.2.11-hash")


def _modes(*values):
    return lambda c: (c.hello.put(psk_modes(*values)), c.offer(c.face.ticket()))


_not_resumed("modes that nobody knows, with a session", _modes(7, 0x0B), "4.2.9", "4.2.9-unlisted")
_not_resumed("psk_ke alone, which forgoes forward secrecy", _modes(0), "4.2.9", "4.2.9-unlisted")


@row("4.2.9", "psk_ke beside psk_dhe_ke: a key share is answered", None, enforces="4.2.9-unlisted")
def _(c):
    c.hello.put(psk_modes(0, 1))
    c.offer(c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.resumed and c.group is not None


@row("4.2.11", "a session under another suite of its hash", None, enforces="4.2.11-hash")
def _(c):
    c.hello.suites = [CHACHA20_POLY1305_SHA256]
    c.offer(c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.suite == CHACHA20_POLY1305_SHA256


@row("4.2.11", "a good session behind one that nobody knows", None, enforces="4.2.11-unknown")
def _(c):
    c.offer(unknown_ticket(), c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.selected_identity in (None, 1)


@row("4.2.11", "a session is resumed without signature_algorithms", None, enforces="9.2-missing")
def _(c):
    c.hello.drop(SIGNATURE_ALGORITHMS)
    c.offer(c.face.ticket())
    c.send_hello()
    c.read_flight()
    assert c.resumed


@row("4.2.3", "a session that nobody knows without signature_algorithms", MISSING_EXTENSION, enforces=("4.2.3-missing", "9.2-missing"))
def _(c):
    c.hello.drop(SIGNATURE_ALGORITHMS)
    c.offer(unknown_ticket())
    c.send_hello()


for _suite in (AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256):
    @row("4.2.11", f"a session of suite {_suite:#06x} is resumed", None, enforces=("4.2.11-binder", "4.2.11-selected"))
    def _(c, suite=_suite):
        c.hello.suites = [suite]
        c.offer(c.face.ticket(suite))
        c.send_hello()
        c.read_flight()
        assert c.resumed and c.suite == suite


for _seconds, _what in ((-86400, "a day older than it is"), (86400, "of tomorrow"), (-2**31 / 1000, "of another time altogether")):
    @row("4.2.10", f"a session whose ticket is said to be {_what}", None, enforces="4.2.10-age")
    def _(c, seconds=_seconds):
        t = c.face.ticket()
        c.offer(replace(t, received=t.received + seconds))
        c.send_hello()
        c.read_flight()
        assert c.resumed


# ---- early data, which is offered and not taken ----

def offer_early_data(c):
    c.offer(c.face.ticket())
    c.hello.put(Extension(EARLY_DATA))
    c.send_hello()
    c.write = c.early_keys()


def _early(name, alert, more, section="4.2.10", enforces="4.2.10-skip", openssl=None):
    """more(c) sends early data; the Finished follows where nothing is wrong."""
    def run(c):
        offer_early_data(c)
        more(c)
        c.read_flight()
        if alert is None:
            c.finish()
    row(section, name, alert, enforces=enforces, openssl=openssl)(run)


_early("early data is passed over", None, lambda c: c.send(c.seal(b"GET /early HTTP/1.1\r\n\r\n")))
_early("early data in many records is passed over", None, lambda c: c.send(*(c.seal(b"x" * 100) for _ in range(20))))
_early("early data in one record of nearly all that is passed over", None, lambda c: c.send(c.seal(b"x" * 14000)))
_early("early data behind change_cipher_spec is passed over", None, lambda c: c.send(CCS, c.seal(b"x" * 100)), enforces=("4.2.10-skip", "5-ccs"))
_early("early data that is no more than offered", None, lambda c: None)
_early("early data in a record that no key opens is passed over", None, lambda c: c.send(b"\x17\x03\x03\x00\x40" + os.urandom(64)))


@row("4.2.10", "early data, then a record in clear", UNEXPECTED_MESSAGE, enforces="4.2.10-skip")
def _(c):
    offer_early_data(c)
    c.send(c.seal(b"x" * 100))
    c.read_flight()
    c.send(b"\x16\x03\x03\x00\x24" + c.finished())


@row("4.2.10", "early data still comes behind the first record of the handshake's key", BAD_RECORD_MAC, enforces="4.2.10-skip")
def _(c):
    offer_early_data(c)
    early = c.write
    c.send(c.seal(b"x" * 100))
    c.read_flight()
    finished = c.finished()
    c.send_message(finished[:10], transcript=False)
    c.write = early
    c.send(c.seal(b"y" * 100))


@row("4.6.1", "early data without end", (UNEXPECTED_MESSAGE, BAD_RECORD_MAC), enforces="4.2.10-bounded")
def _(c):
    offer_early_data(c)
    c.read_flight()
    keys, c.write = c.write, c.early_keys()
    for _ in range(40):
        c.send(c.seal(b"x" * 16384))
    c.write = keys


@row("4.2.10", "early data without an offer of it", BAD_RECORD_MAC, enforces="4.2.10-skip")
def _(c):
    c.offer(c.face.ticket())
    c.send_hello()
    c.write = c.early_keys()
    c.send(c.seal(b"x" * 100))
    c.read_flight()


@row("4.5", "EndOfEarlyData though early data was not taken", UNEXPECTED_MESSAGE, enforces="4.5-not-accepted")
def _(c):
    offer_early_data(c)
    c.read_flight()
    c.send(c.seal(b"\x05\0\0\0", 22))
