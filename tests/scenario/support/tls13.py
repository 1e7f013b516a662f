"""A client of TLS 1.3 that a test can make say anything, and that believes nothing (RFC 8446).

    with Client(port) as c:
        c.hello.put(groups([P384]))         # see tls13_hello.py; before it is sent
        c.send_hello()
        c.read_flight()                     # ServerHello to Finished, each checked; asked to retry, it retries
        c.finish()                          # its Certificate where one was asked for, and its Finished
        c.send(c.seal(get()))               # from here on as RecordClient: any record, any content

Each step can be taken otherwise: `send_message` takes any message in any records, `record` any record under the keys of
the moment, `send` any bytes. An alert raises Alert and an end Ended where a message is due; `outcome()` tells what a server
made of it all. What a server must not do fails the test: an extension that was not asked for, a wrong signature or Finished, a
record in clear behind ServerHello, a second change_cipher_spec, a message across a change of keys."""
import os
import struct
import time
import zlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from support.client import connect
from support.hello import HELLO_RETRY, record, vector
from support.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, NEW_SESSION_TICKET, RecordClient
from support.tls13_hello import (
    ALPN, COOKIE, EARLY_DATA, KEY_SHARE, PRE_SHARED_KEY, PSK_MODES, SIGNATURE_ALGORITHMS, SUPPORTED_VERSIONS, Hello, cookie, key_share,
    pre_shared_key)
from support.tls13_keys import CLIENT, SERVER, SUITES, KeySchedule, direction, new_share, sign, signed_content, verify

(CLIENT_HELLO, SERVER_HELLO, END_OF_EARLY_DATA, ENCRYPTED_EXTENSIONS, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, FINISHED,
 COMPRESSED_CERTIFICATE, MESSAGE_HASH) = (1, 2, 5, 8, 11, 13, 15, 20, 25, 254)
CCS = b"\x14\x03\x03\x00\x01\x01"
# Which extensions a server may put where, of those that this client knows (4.2).
IN_SERVER_HELLO = {KEY_SHARE, SUPPORTED_VERSIONS, PRE_SHARED_KEY}
IN_RETRY = {KEY_SHARE, SUPPORTED_VERSIONS, COOKIE}
NOT_ENCRYPTED_EXTENSIONS = IN_SERVER_HELLO | {COOKIE, SIGNATURE_ALGORITHMS, PSK_MODES, 5, 18, 21, 27, 47, 48, 49, 50}


class Alert(Exception):
    def __init__(self, level, description):
        super().__init__(f"alert {level}, {description}")
        self.level, self.description = level, description


class Ended(Exception):
    """The connection ended in the place of a message, without an alert."""


@dataclass
class Outcome:
    alert: int = None           # a fatal one
    completed: bool = False     # the server's flight, or what was asked for behind it, came in full
    seen: list = field(default_factory=list)   # types of the messages that came


@dataclass
class Ticket:
    suite: int
    psk: bytes
    identity: bytes
    lifetime: int
    age_add: int
    nonce: bytes
    extensions: dict
    received: float

    def age(self):
        return (int((time.monotonic() - self.received) * 1000) + self.age_add) % (1 << 32)


class Reader:
    """Takes a message apart; what does not fit is the server's fault."""

    def __init__(self, data):
        self.data = data

    def take(self, size):
        assert len(self.data) >= size, "a length points beyond its message"
        part, self.data = self.data[:size], self.data[size:]
        return part

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def vector(self, width):
        return self.take(self.number(width))

    def end(self):
        assert not self.data, f"bytes behind the end: {self.data!r}"

    def extensions(self):
        found, list_ = {}, Reader(self.vector(2))
        while list_.data:
            kind = list_.number(2)
            assert kind not in found, f"extension {kind} twice"
            found[kind] = list_.vector(2)
        return found


def message(kind, body):
    return bytes([kind]) + vector(body, 3)


def certificate_message(certificates, context=b"", extensions=b""):
    """certificates: DER."""
    entries = b"".join(vector(c, 3) + vector(extensions) for c in certificates)
    return message(CERTIFICATE, vector(context, 1) + vector(entries, 3))


def pieces(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


class Client(RecordClient):
    def __init__(self, port, hello=None):
        # pylint: disable=super-init-not-called
        self.version = "1.3"
        self.socket = connect(port)
        self.collected, self.may_be_cut, self._received = b"", False, b""
        self.hello = hello or Hello()
        self.lenient = False                # of what a server says that it need not say, or in another record version
        self.read = self.write = None       # a Direction once there are keys
        self.transcript = b""
        self.tickets = []                   # offered
        self.alter_binders = lambda binders: binders
        self.schedule = self.suite = self.group = self.retry = self.alpn = None
        self.resumed, self.selected_identity = False, None
        self.certificates, self.scheme = [], None
        self.asked = None                   # extensions of the CertificateRequest
        self.encrypted_extensions = {}
        self.seen, self.dummies = [], []    # types of messages that came; where change_cipher_spec came between them
        self.server_random = self.server_share = None
        self.connected = False              # our keys are those of content
        self._pending = b""
        self._sent_hello = False

    # ---- ClientHello ----

    def offer(self, *tickets):
        """Offers sessions; the binders are made when the ClientHello is sent."""
        self.tickets = list(tickets)
        self.hello.drop(PRE_SHARED_KEY)
        self.hello.extensions.append(pre_shared_key([(t.identity, t.age()) for t in tickets], self._no_binders()))

    def _no_binders(self):
        return self.alter_binders([bytes(SUITES[t.suite][2]().digest_size) for t in self.tickets])

    def bind(self):
        """Puts the binders in: each covers the transcript and this ClientHello up to the binders (4.2.11.2)."""
        last = self.hello.extensions[-1]
        identities = last.body.parts[0]

        def with_(binders):
            last.body.parts[:] = [identities, pre_shared_key([], binders).body.parts[1]]
        with_(self._no_binders())
        covered = self.transcript + self.hello.encode()[:-self.hello.binders_size()]
        with_(self.alter_binders([KeySchedule(SUITES[t.suite][2], t.psk).binder(covered) for t in self.tickets]))

    def hello_bytes(self):
        if self.tickets and self.hello.kinds()[-1:] == [PRE_SHARED_KEY]:
            self.bind()
        return self.hello.encode()

    def send_hello(self, size=16384, between=b""):
        """In records of so many bytes, with `between` between them."""
        data = self.hello_bytes()
        self.transcript += data
        version = 0x0303 if self._sent_hello else 0x0301
        self._sent_hello = True
        self.send(between.join(record(p, version=version) for p in pieces(data, size)))

    def early_keys(self):
        """Those of early data, for the first ticket (7.1)."""
        t = self.tickets[0]
        schedule = KeySchedule(SUITES[t.suite][2], t.psk)
        return direction(t.suite, schedule.derive(schedule.early, b"c e traffic", self.transcript))

    # ---- records and messages ----

    def record(self, content, kind=HANDSHAKE, **options):
        """A record under the keys of the moment, or in clear where there are none."""
        return self.seal(content, kind, **options) if self.write else record(content, kind, 0x0303)

    def send_message(self, data, size=16384, transcript=True, between=b""):
        if transcript:
            self.transcript += data
        self.send(between.join(self.record(p) for p in pieces(data, size)))

    def read_record(self):
        """RFC 8446 5: in clear until ServerHello; one change_cipher_spec may stand behind the first message."""
        if not self._fill(5):
            return self._end()
        if self.read is not None and self._received[0] != CHANGE_CIPHER_SPEC:
            return super().read_record()
        kind, version, size = struct.unpack(">BHH", self._received[:5])
        assert (version == 0x0303 or self.lenient) and 0 < size <= 16384, (kind, version, size)
        if not self._fill(5 + size):
            return self._end()
        content, self._received = self._received[5:5 + size], self._received[5 + size:]
        if kind != CHANGE_CIPHER_SPEC:
            return kind, content
        assert content == b"\1" and self.seen and not self.dummies and FINISHED not in self.seen, "change_cipher_spec where none may be"
        self.dummies.append(len(self.seen))
        return self.read_record()

    def read_message(self):
        """The next handshake message; content on the way is collected."""
        while len(self._pending) < 4 or len(self._pending) < 4 + int.from_bytes(self._pending[1:4], "big"):
            found = self.read_record()
            if found is None:
                raise Ended()
            kind, content = found
            if kind == ALERT:
                assert len(content) == 2 and not self._pending, content
                raise Alert(*content)
            if kind == APPLICATION_DATA:
                assert FINISHED in self.seen and not self._pending, "content where there may be none"
                self.collected += content
                continue
            assert kind == HANDSHAKE and content, (kind, content)
            self._pending += content
        size = 4 + int.from_bytes(self._pending[1:4], "big")
        data, self._pending = self._pending[:size], self._pending[size:]
        self.seen.append(data[0])
        return data

    def _begins_message(self, content):
        return FINISHED in self.seen and super()._begins_message(content)

    def _at_a_change_of_keys(self):
        assert not self._pending, "a message goes across a change of keys (5.1)"

    # ---- the server's flight ----

    def read_server_hello(self):
        """ServerHello, or a HelloRetryRequest, which `retry` then holds."""
        data = self.read_message()
        assert data[0] == SERVER_HELLO, data[:4]
        r = Reader(data[4:])
        assert r.number(2) == 0x0303
        random = r.take(32)
        assert r.vector(1) == self.hello.session_id, "legacy_session_id_echo"
        suite = r.number(2)
        assert r.number(1) == 0, "a compression method"
        extensions = r.extensions()
        r.end()
        assert extensions.get(SUPPORTED_VERSIONS) == b"\x03\x04", extensions
        assert suite in self.hello.suites and suite in SUITES, hex(suite)
        if random == HELLO_RETRY:
            return self._take_retry(data, suite, extensions)
        assert self.suite in (None, suite), "another suite than in HelloRetryRequest"
        self.server_random, self.suite = random, suite
        assert set(extensions) <= IN_SERVER_HELLO and set(extensions) <= set(self.hello.kinds()), extensions
        self._at_a_change_of_keys()
        self.transcript += data
        psk = None
        if PRE_SHARED_KEY in extensions:
            self.selected_identity = int.from_bytes(extensions[PRE_SHARED_KEY], "big")
            assert len(extensions[PRE_SHARED_KEY]) == 2 and self.selected_identity < len(self.tickets)
            ticket = self.tickets[self.selected_identity]
            assert SUITES[ticket.suite][2] is SUITES[suite][2], "a suite of another hash than the session's"
            psk, self.resumed = ticket.psk, True
        self._enter_handshake(psk, extensions.get(KEY_SHARE))
        return None

    def _enter_handshake(self, psk, share):
        shared = None
        if share is not None:
            r = Reader(share)
            self.group, exchange = r.number(2), r.vector(2)
            r.end()
            self.server_share = exchange
            assert self.group in self.hello.keys, f"group {self.group:#06x}, for which no share was sent"
            assert self.retry is None or KEY_SHARE not in self.retry or self.group == int.from_bytes(self.retry[KEY_SHARE], "big")
            shared = self.hello.keys[self.group].secret(exchange)
        else:
            assert psk is not None and PSK_MODES in self.hello.kinds(), "neither a share nor a session"
        self.schedule = KeySchedule(SUITES[self.suite][2], psk)
        self.schedule.enter_handshake(shared)
        s = self.schedule
        self._client_secret = s.derive(s.handshake, b"c hs traffic", self.transcript)
        self._server_secret = s.derive(s.handshake, b"s hs traffic", self.transcript)
        self.write, self.read = direction(self.suite, self._client_secret), direction(self.suite, self._server_secret)

    def _take_retry(self, data, suite, extensions):
        assert self.retry is None, "a second HelloRetryRequest"
        assert set(extensions) <= IN_RETRY and extensions.keys() & {KEY_SHARE, COOKIE}, extensions
        self.retry, self.suite = extensions, suite
        self.transcript = message(MESSAGE_HASH, SUITES[suite][2](self.transcript).digest()) + data
        return extensions

    def answer_retry(self, change=None, **options):
        """The second ClientHello (4.1.2); change(hello) spoils it."""
        if KEY_SHARE in self.retry:
            group = int.from_bytes(self.retry[KEY_SHARE], "big")
            assert len(self.retry[KEY_SHARE]) == 2
            self.hello.keys = {group: new_share(group)}
            self.hello.put(key_share((group, self.hello.keys[group].public)))
        if COOKIE in self.retry:
            self.hello.put(cookie(Reader(self.retry[COOKIE]).vector(2)))
        self.hello.drop(EARLY_DATA)
        if self.tickets:
            suite = SUITES[self.suite][2]
            self.tickets = [t for t in self.tickets if SUITES[t.suite][2] is suite]
            self.offer(*self.tickets) if self.tickets else self.hello.drop(PRE_SHARED_KEY)
        if change:
            change(self.hello)
        self.send_hello(**options)

    def read_flight(self):
        """From ServerHello, after a second ClientHello where one is wanted, to the server's Finished."""
        if self.read_server_hello() is not None:
            self.answer_retry()
            assert self.read_server_hello() is None
        data = self.read_message()
        assert data[0] == ENCRYPTED_EXTENSIONS, data[:4]
        self._take_encrypted_extensions(Reader(data[4:]))
        self.transcript += data
        data = self.read_message()
        if not self.resumed:
            if data[0] == CERTIFICATE_REQUEST:
                self._take_certificate_request(Reader(data[4:]))
                self.transcript += data
                data = self.read_message()
            data = self._take_certificate(data)
        assert data[0] == FINISHED, data[:4]
        assert data[4:] == self.schedule.mac(self._server_secret, self.transcript), "the server's Finished"
        self._at_a_change_of_keys()
        self.transcript += data
        s = self.schedule
        self.read = direction(self.suite, s.derive(s.master, b"s ap traffic", self.transcript))
        self._next_write = direction(self.suite, s.derive(s.master, b"c ap traffic", self.transcript))
        return self

    def _take_encrypted_extensions(self, r):
        found = self.encrypted_extensions = r.extensions()
        r.end()
        assert self.lenient or set(found) <= set(self.hello.kinds()) - NOT_ENCRYPTED_EXTENSIONS, f"extensions that were not asked for: {found}"
        assert EARLY_DATA not in found, "early data was taken"
        if ALPN in found:
            names = Reader(Reader(found[ALPN]).vector(2))
            self.alpn = names.vector(1)
            names.end()

    def _take_certificate_request(self, r):
        assert r.vector(1) == b"", "certificate_request_context within the handshake (4.3.2)"
        self.asked = r.extensions()
        r.end()
        assert SIGNATURE_ALGORITHMS in self.asked

    def _take_certificate(self, data):
        """Certificate and CertificateVerify; returns the message behind them."""
        kind, body = data[0], data[4:]
        if kind == COMPRESSED_CERTIFICATE:  # RFC 8879; of its algorithms, this client knows zlib
            packed = Reader(body)
            assert packed.number(2) == 1
            size = packed.number(3)
            body = zlib.decompress(packed.vector(3))
            assert len(body) == size
        else:
            assert kind == CERTIFICATE, data[:4]
        r = Reader(body)
        assert r.vector(1) == b"", "certificate_request_context"
        entries = Reader(r.vector(3))
        r.end()
        while entries.data:
            self.certificates.append(x509.load_der_x509_certificate(entries.vector(3)))
            extensions = entries.extensions()
            assert set(extensions) <= {5, 18} & set(self.hello.kinds()), extensions
        assert self.certificates, "an empty Certificate"
        self.transcript += data
        data = self.read_message()
        assert data[0] == CERTIFICATE_VERIFY, data[:4]
        r = Reader(data[4:])
        self.scheme, signature = r.number(2), r.vector(2)
        r.end()
        offered = Reader(self.hello.find(SIGNATURE_ALGORITHMS).encode()[4:]).vector(2)
        assert struct.pack(">H", self.scheme) in pieces(offered, 2), f"signature algorithm {self.scheme:#06x} was not offered"
        assert verify(self.certificates[0], self.scheme, signature, signed_content(SERVER, self.schedule.hash(self.transcript))), \
            "the server's CertificateVerify"
        self.transcript += data
        return self.read_message()

    # ---- the client's flight ----

    def certificate(self, certificate):
        """The message for a support.pki.Certificate and what stands behind it in its chain; None: an empty one."""
        if certificate is None:
            return certificate_message([])
        with open(certificate.chain_file, "rb") as f:
            chain = x509.load_pem_x509_certificates(f.read()) if hasattr(x509, "load_pem_x509_certificates") else [certificate.certificate]
        return certificate_message([c.public_bytes(serialization.Encoding.DER) for c in chain])

    def certificate_verify(self, key, scheme, who=CLIENT, transcript=None, alter=lambda signature: signature):
        content = signed_content(who, self.schedule.hash(self.transcript if transcript is None else transcript))
        return message(CERTIFICATE_VERIFY, struct.pack(">H", scheme) + vector(alter(sign(key, scheme, content))))

    def finished(self):
        return message(FINISHED, self.schedule.mac(self._client_secret, self.transcript))

    def change_keys(self):
        """From here on content is protected; the transcript is whole."""
        self.write, self.connected = self._next_write, True

    def finish_now(self, **options):
        """The Finished alone."""
        self.send_message(self.finished(), **options)
        self.change_keys()
        return self

    def finish(self, certificate=None, scheme=None, **options):
        """All of the client's flight; options: of send_message, for its Finished."""
        if self.asked is not None:
            self.send_message(self.certificate(certificate))
            if certificate is not None:
                self.send_message(self.certificate_verify(certificate.key, scheme))
        return self.finish_now(**options)

    def connect(self):
        """An ordinary handshake."""
        self.send_hello()
        return self.read_flight().finish()

    def read_ticket(self):
        while True:
            data = self.read_message()
            if data[0] == NEW_SESSION_TICKET:
                break
        r = Reader(data[4:])
        lifetime, age_add, nonce, identity, extensions = r.number(4), r.number(4), r.vector(1), r.vector(2), r.extensions()
        r.end()
        assert identity
        return Ticket(self.suite, self.schedule.resumption(self.transcript, nonce), identity, lifetime, age_add, nonce, extensions, time.monotonic())

    # ---- what came of it ----

    def outcome(self):
        """Reads to the alert, the end, or the server's Finished; behind that to the end or the first content."""
        result = Outcome(seen=self.seen)
        try:
            if FINISHED not in self.seen:
                self.read_flight()
                result.completed = True
            while not result.completed:
                self._read_behind()
                result.completed = bool(self.collected)
        except Alert as alert:
            assert alert.level == FATAL or alert.description == 0, f"an alert of level {alert.level}"
            result.alert = alert.description
            assert self.read_record() is None, "something came behind the alert"
        except Ended:
            pass
        return result

    def _read_behind(self):
        found = self.read_record()
        if found is None:
            raise Ended()
        kind, content = found
        if kind == ALERT:
            raise Alert(*content)
        if kind == APPLICATION_DATA:
            self.collected += content


def ticket_of(port, hello=None, request=b""):
    """A session of an ordinary client; request: what makes the server speak, where tickets come with its first answer."""
    with Client(port, hello) as c:
        c.connect()
        if request:
            c.send(c.seal(request))
        return c.read_ticket()


