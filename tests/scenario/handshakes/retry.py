"""HelloRetryRequest, and a second ClientHello that differs in what 4.1.2 does not allow."""
import os

from handshakes import COMPLETES, DECODE_ERROR, DECRYPT_ERROR, ILLEGAL_PARAMETER, MISSING_EXTENSION, PROTOCOL_VERSION, UNEXPECTED_MESSAGE, Other, row
from handshakes.psk import unknown_ticket
from support.hello import record
from support.tls13 import CCS
from support.tls13_hello import (
    ALPN, EARLY_DATA, KEY_SHARE, PADDING, PSK_MODES, SERVER_NAME, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, SUPPORTED_VERSIONS, Extension, alpn,
    cookie, groups, key_share, padding, pre_shared_key, psk_modes, server_name, signature_algorithms, versions)
from support.tls13_keys import AES_128_GCM_SHA256, AES_256_GCM_SHA384, P256, P384, X25519, new_share

LENIENT = "OpenSSL does not compare the two; it goes by the second"
UNKNOWN = 0x7A7C


def ask_for_retry(c):
    """The client is asked for a share of X25519."""
    c.hello.put(key_share(), Extension(UNKNOWN, b"unknown"))
    c.send_hello()
    assert c.read_server_hello(), "no HelloRetryRequest came"


def _differs(name, change, alert=ILLEGAL_PARAMETER, openssl=(COMPLETES, ILLEGAL_PARAMETER), enforces="4.1.2-same", prepare=None):
    def run(c):
        if prepare:
            prepare(c)
        ask_for_retry(c)
        c.answer_retry(change)
    row("4.1.2", f"a second ClientHello with {name}", alert, enforces=enforces,
        openssl=Other(openssl, LENIENT) if openssl is not None and alert is not None else None)(run)


def _set(**fields):
    def change(hello):
        for name, value in fields.items():
            setattr(hello, name, value)
    return change


def _flip(name):
    def change(hello):
        old = getattr(hello, name)
        setattr(hello, name, old[:-1] + bytes([old[-1] ^ 1]))
    return change


def _put(*extensions):
    return lambda hello: hello.put(*extensions)


def _drop(*kinds):
    return lambda hello: hello.drop(*kinds)


def _swap(hello):
    e = hello.extensions
    e[0], e[1] = e[1], e[0]


# ---- the fields ----

_differs("another random", _flip("random"))
_differs("another legacy_version", _set(legacy_version=0x0302))
_differs("another session id", _flip("session_id"))
_differs("no session id", _set(session_id=b""))
_differs("its suites in another order", lambda h: h.suites.reverse(), openssl=(COMPLETES, ILLEGAL_PARAMETER))
_differs("a suite more", lambda h: h.suites.append(0x1304))
_differs("a suite less", lambda h: h.suites.pop())
_differs("its suites twice", lambda h: h.suites.extend(h.suites))
_differs("a compression method more", _set(compressions=b"\0\1"), openssl=None)

# ---- the extensions ----

_differs("another server_name", _put(server_name(b"b.test")))
_differs("the server_name in capitals", _put(server_name(b"A.test")))
_differs("no server_name", _drop(SERVER_NAME))
_differs("its groups in another order", _put(groups([P256, X25519])))
_differs("a group more", _put(groups([X25519, P256, P384])))
_differs("a group less", _put(groups([X25519])))
_differs("no supported_groups", _drop(SUPPORTED_GROUPS), (ILLEGAL_PARAMETER, MISSING_EXTENSION), (COMPLETES, ILLEGAL_PARAMETER, MISSING_EXTENSION))
_differs("a signature algorithm less", _put(signature_algorithms((0x0403, 0x0804))))
_differs("a signature algorithm more", _put(signature_algorithms((0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0807, 0x0203))))
_differs("no signature_algorithms", _drop(SIGNATURE_ALGORITHMS), (ILLEGAL_PARAMETER, MISSING_EXTENSION), openssl=None)
_differs("another protocol", _put(alpn(b"h2")))
_differs("a protocol more", _put(alpn(b"http/1.1", b"h2")))
_differs("no alpn", _drop(ALPN))
_differs("a version more", _put(versions([0x0304, 0x0303])))
_differs("TLS 1.2 alone", _put(versions([0x0303])), (ILLEGAL_PARAMETER, PROTOCOL_VERSION), openssl=None)
_differs("no supported_versions", _drop(SUPPORTED_VERSIONS), (ILLEGAL_PARAMETER, PROTOCOL_VERSION), openssl=None)
_differs("another mode for sessions", _put(psk_modes(1, 0)))
_differs("no psk_key_exchange_modes", _drop(PSK_MODES))
_differs("another content of an unknown extension", _put(Extension(UNKNOWN, b"unknowm")))
_differs("an unknown extension longer", _put(Extension(UNKNOWN, b"unknown.")))
_differs("an unknown extension less", _drop(UNKNOWN))
_differs("an unknown extension more", _put(Extension(UNKNOWN + 1, b"")))
_differs("early_data", _put(Extension(EARLY_DATA)), enforces=("4.1.2-same", "4.2.10-retry"))
_differs("a cookie that was not given", _put(cookie(b"crumbs")), openssl=(COMPLETES, ILLEGAL_PARAMETER, 80, 40))
_differs("a session that was not offered before", lambda h: h.extensions.append(pre_shared_key([(bytes(200), 0)], [bytes(32)])))
_differs("an extension twice", lambda h: h.extensions.append(h.extensions[0]), openssl=None, enforces=("4.2-twice", "4.1.2-same"))

# ---- what it may change ----

_differs("padding", _put(padding(77)), None, enforces="4.1.2-padding")
_differs("two extensions exchanged", _swap, None)  # the order is not looked at: wolfSSL 5.5 puts key_share behind others


@row("4.1.2", "a second ClientHello with other padding", None, enforces="4.1.2-padding")
def _(c):
    c.hello.put(padding(50))
    ask_for_retry(c)
    c.answer_retry(_put(padding(3)))


@row("4.1.2", "a second ClientHello without the padding of the first", None, enforces="4.1.2-padding")
def _(c):
    c.hello.put(padding(50))
    ask_for_retry(c)
    c.answer_retry(_drop(PADDING))


@row("4.1.2", "a second ClientHello whose key_share comes before all other extensions", None)
def _(c):
    def to_the_front(hello):
        hello.extensions.sort(key=lambda e: e.kind != KEY_SHARE)
    ask_for_retry(c)
    c.answer_retry(to_the_front)


# ---- the share ----

def _share(name, entries, alert=ILLEGAL_PARAMETER, openssl=None, enforces="4.2.8-retry"):
    """entries(good) are the shares of the second ClientHello."""
    _differs(name, lambda h: h.put(key_share(*entries((X25519, h.keys[X25519].public)))), alert, openssl, enforces)


_share("no share", lambda good: ())
_share("a share of another group", lambda good: ((P256, new_share(P256).public),))
_share("a share more", lambda good: (good, (P256, new_share(P256).public)), openssl=(COMPLETES, ILLEGAL_PARAMETER))
_share("a share more before the good one", lambda good: ((P256, new_share(P256).public), good), openssl=(COMPLETES, ILLEGAL_PARAMETER))
_share("the good share twice", lambda good: (good, good), openssl=(COMPLETES, ILLEGAL_PARAMETER))
_share("a share that is too short", lambda good: ((X25519, good[1][:-1]),), enforces="4.2.8-valid")
_share("a share of zeros", lambda good: ((X25519, bytes(32)),), openssl=(ILLEGAL_PARAMETER, 80), enforces="7.4.2-zero")
_share("an empty share", lambda good: ((X25519, b""),), DECODE_ERROR, enforces="6-decode")
_differs("no key_share", _drop(KEY_SHARE), (ILLEGAL_PARAMETER, MISSING_EXTENSION), openssl=None, enforces=("4.2.8-retry", "9.2-missing"))


@row("4.1.4", "a share of a group that was sent, and passed over, comes again", None)
def _(c):
    c.hello.put(groups([0x7777, P384]), key_share((0x7777, b"x")))
    c.send_hello()


# ---- sessions ----

@row("4.1.2", "a session is offered in both ClientHellos", None, enforces="4.2.11-retry")
def _(c):
    c.offer(c.face.ticket())
    ask_for_retry(c)
    c.answer_retry()
    c.read_flight()
    assert c.resumed


@row("4.2.11.2", "a binder of the second ClientHello that does not cover the first", DECRYPT_ERROR, enforces=("4.2.11-binder", "4.2.11-retry"),
     openssl=Other((DECRYPT_ERROR, ILLEGAL_PARAMETER), "OpenSSL 3.0 calls a wrong binder illegal_parameter"))
def _(c):
    c.offer(c.face.ticket())
    ask_for_retry(c)
    whole, c.transcript = c.transcript, b""
    c.answer_retry()
    c.transcript = whole


def _second_binders(name, alter, alert, enforces, openssl=()):
    """alter(binders) are those of the second ClientHello; the first has good ones."""
    @row("4.2.11.2", f"a second ClientHello with {name}", alert, enforces=enforces, openssl=Other((alert, ILLEGAL_PARAMETER, *openssl), OTHER_ALERTS))
    def _(c):
        c.offer(c.face.ticket())
        ask_for_retry(c)
        c.alter_binders = alter
        c.answer_retry()


OTHER_ALERTS = "OpenSSL reads no further than to the binder that it needs, and OpenSSL 3.0 calls a wrong one illegal_parameter"
_second_binders("a binder that is wrong in its last bit", lambda b: [b[0][:-1] + bytes([b[0][-1] ^ 1])], DECRYPT_ERROR, "4.2.11-binder")
_second_binders("a binder of zeros", lambda b: [bytes(32)], DECRYPT_ERROR, "4.2.11-binder")
_second_binders("a binder of 31 bytes", lambda b: [b[0][:-1]], DECODE_ERROR, "6-decode")
_second_binders("no binder", lambda b: [], DECODE_ERROR, "6-decode")
_second_binders("a binder too many", lambda b: [*b, bytes(32)], ILLEGAL_PARAMETER, "4.2.11-count", (COMPLETES,))


@row("4.1.2", "a second ClientHello with another session than the first", (ILLEGAL_PARAMETER, DECRYPT_ERROR), enforces="4.1.2-same",
     openssl=Other((COMPLETES, ILLEGAL_PARAMETER, DECRYPT_ERROR), LENIENT))
def _(c):
    c.offer(c.face.ticket())
    ask_for_retry(c)
    c.tickets = [c.face.ticket(again=1)]
    c.answer_retry()


@row("4.1.2", "a second ClientHello that offers a session no more", ILLEGAL_PARAMETER, enforces="4.1.2-same",
     openssl=Other((COMPLETES, ILLEGAL_PARAMETER), LENIENT))
def _(c):
    c.offer(c.face.ticket())
    ask_for_retry(c)
    c.tickets = []
    c.answer_retry(lambda h: h.drop(41))


@row("4.1.2", "a second ClientHello that offers a session no more behind one that nobody knows", ILLEGAL_PARAMETER, enforces="4.1.2-same",
     openssl=Other((COMPLETES, ILLEGAL_PARAMETER), LENIENT))
def _(c):
    c.offer(unknown_ticket(), c.face.ticket())
    ask_for_retry(c)
    c.tickets = c.tickets[:1]
    c.answer_retry()


@row("4.1.2", "a second ClientHello without the session that nobody knows", None)
def _(c):
    """Nobody can tell whether it is of another hash than the suite's."""
    c.offer(unknown_ticket(), c.face.ticket())
    ask_for_retry(c)
    c.tickets = c.tickets[1:]
    c.answer_retry()
    c.read_flight()
    assert c.resumed


@row("4.1.2", "a second ClientHello without the session whose hash is not the suite's", None, enforces="4.2.11-hash")
def _(c):
    c.hello.suites = [AES_128_GCM_SHA256]
    c.offer(c.face.ticket(AES_256_GCM_SHA384))
    ask_for_retry(c)
    c.answer_retry()
    assert not c.tickets
    c.read_flight()


@row("4.1.2", "a second ClientHello without the session whose hash is not the suite's, and with the one behind it", None, enforces="4.2.11-hash")
def _(c):
    c.hello.suites = [AES_128_GCM_SHA256]
    c.offer(c.face.ticket(AES_256_GCM_SHA384), c.face.ticket())
    ask_for_retry(c)
    c.answer_retry()
    c.read_flight()
    assert c.resumed and c.selected_identity == 0


@row("4.2.10", "early data is offered, and taken back in the second ClientHello", None, enforces="4.2.10-retry-skip")
def _(c):
    c.offer(c.face.ticket())
    c.hello.put(Extension(EARLY_DATA))
    c.hello.put(key_share())
    c.send_hello()
    early = c.early_keys()
    c.write = early
    c.send(c.seal(b"x" * 100), c.seal(b"y" * 1000))
    c.write = None
    assert c.read_server_hello()
    c.answer_retry()


# ---- between and around the two ----

@row("D.4", "change_cipher_spec before the second ClientHello", None, enforces="5-ccs")
def _(c):
    ask_for_retry(c)
    c.send(CCS)
    c.answer_retry()


@row("5", "two change_cipher_specs before the second ClientHello", None, enforces="5-ccs")
def _(c):
    ask_for_retry(c)
    c.send(CCS, CCS)
    c.answer_retry()


@row("5.1", "the second ClientHello in records of one byte", None, enforces="5.1-fragments")
def _(c):
    ask_for_retry(c)
    c.answer_retry(size=1)


@row("5.1", "the second ClientHello with bytes behind it in its record", UNEXPECTED_MESSAGE, enforces="5.1-boundary")
def _(c):
    ask_for_retry(c)
    whole, c.send = c.send, lambda *_: None
    c.answer_retry()
    c.send = whole
    c.send(record(c.hello.encode() + b"\x14\0\0\x20" + os.urandom(32), version=0x0303))


for _path in ("message/session_id", "message/cipher_suites", "message/compressions", "message/extensions", "message/extensions/key_share",
              "message/extensions/key_share/client_shares", "message/extensions/key_share/client_shares/key_exchange",
              "message/extensions/supported_groups/list", "message/extensions/supported_versions/list", "message/extensions/server_name/list/name"):
    for _delta in (1, -1):
        @row("6", f"the second ClientHello, {_path}: its length {_delta:+}", (DECODE_ERROR, ILLEGAL_PARAMETER), enforces="6-decode",
             openssl=Other((DECODE_ERROR, ILLEGAL_PARAMETER, PROTOCOL_VERSION), LENIENT) if "versions" in _path else None)
        def _(c, path=_path, delta=_delta):
            ask_for_retry(c)
            c.answer_retry(lambda h: h.lengths.update({path: delta}))
