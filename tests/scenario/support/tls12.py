"""A client of TLS 1.2 that a test can make say anything, and that believes nothing (RFC 5246, 5077, 5288, 7366, 7627, 7905, 8422).

    with Client(port) as c:
        c.hello.put(groups([P384]))         # as in tls13_hello.py; before it is sent
        c.send_hello()
        c.read_flight()                     # ServerHello to ServerHelloDone, each checked; of a resumed session to Finished
        c.finish()                          # all of the client's: ClientKeyExchange, ChangeCipherSpec, Finished; and the server's end
        c.send(c.seal(get()))               # from here on as RecordClient

Each step can be taken otherwise: `send_message` takes any message in any records, `record` any record under the keys of the
moment, `seal` any record, `exchange` makes a ClientKeyExchange, `change_keys` does what ChangeCipherSpec tells. An alert raises Alert and
an end Ended where a message is due; `outcome()` tells what a server made of it all."""
import hashlib
import hmac
import os
import struct

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from support.client import connect
from support.hello import record, vector
from support.records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Direction, RecordClient, prf
from support.tls13 import Alert, Ended, Outcome, Reader, message, pieces
from support.tls13_hello import (
    EXTENDED_MASTER_SECRET, SESSION_TICKET, Extension, Hello, Vector, alpn, groups, server_name, signature_algorithms)
from support.tls13_keys import P256, P384, X25519, how_to_sign, new_share

(HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO, NEW_SESSION_TICKET, CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE,
 CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, FINISHED, CERTIFICATE_STATUS) = 0, 1, 2, 4, 11, 12, 13, 14, 15, 16, 20, 22
ENCRYPT_THEN_MAC, RENEGOTIATION_INFO, POINT_FORMATS = 22, 0xFF01, 11
FALLBACK, EMPTY_RENEGOTIATION_INFO = 0x5600, 0x00FF
CCS = b"\x14\x03\x03\x00\x01\x01"


class Suite:
    """exchange: RSA, DHE, ECDHE; cipher: an AEAD, or None where it is AES-CBC with a MAC."""

    def __init__(self, exchange, key_bytes, cipher=None, mac=None, digest=hashlib.sha256):
        self.exchange, self.key_bytes, self.cipher, self.mac, self.digest = exchange, key_bytes, cipher, mac, digest


ECDSA_AES_128, RSA_AES_128, RSA_AES_256, RSA_CHACHA, DHE_AES_128, KRSA_AES_128 = 0xC02B, 0xC02F, 0xC030, 0xCCA8, 0x009E, 0x009C
ECDSA_AES_256, ECDSA_CHACHA = 0xC02C, 0xCCA9
RSA_CBC_SHA, RSA_CBC_SHA256, KRSA_CBC_SHA, KRSA_CBC_SHA256 = 0xC013, 0xC027, 0x002F, 0x003C
SUITES = {
    ECDSA_AES_128: Suite("ECDHE", 16, AESGCM), RSA_AES_128: Suite("ECDHE", 16, AESGCM),
    ECDSA_AES_256: Suite("ECDHE", 32, AESGCM, digest=hashlib.sha384), RSA_AES_256: Suite("ECDHE", 32, AESGCM, digest=hashlib.sha384),
    ECDSA_CHACHA: Suite("ECDHE", 32, ChaCha20Poly1305), RSA_CHACHA: Suite("ECDHE", 32, ChaCha20Poly1305),
    DHE_AES_128: Suite("DHE", 16, AESGCM), KRSA_AES_128: Suite("RSA", 16, AESGCM),
    RSA_CBC_SHA: Suite("ECDHE", 16, mac=hashlib.sha1), RSA_CBC_SHA256: Suite("ECDHE", 16, mac=hashlib.sha256),
    KRSA_CBC_SHA: Suite("RSA", 16, mac=hashlib.sha1), KRSA_CBC_SHA256: Suite("RSA", 16, mac=hashlib.sha256),
}
AEAD_SUITES = (ECDSA_AES_128, RSA_AES_128, ECDSA_AES_256, RSA_AES_256, ECDSA_CHACHA, RSA_CHACHA)
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0806, 0x0601)


# ---- extensions ----

def extended_master_secret(content=b""):
    return Extension(EXTENDED_MASTER_SECRET, content)


def session_ticket(ticket=b""):
    return Extension(SESSION_TICKET, ticket)


def encrypt_then_mac(content=b""):
    return Extension(ENCRYPT_THEN_MAC, content)


def renegotiation_info(verify_data=b""):
    return Extension(RENEGOTIATION_INFO, Vector("renegotiated_connection", 1, verify_data))


def point_formats(*formats):
    return Extension(POINT_FORMATS, Vector("formats", 1, bytes(formats)))


class Hello12(Hello):
    """What an ordinary client of TLS 1.2 says."""

    def __init__(self, name=b"a.test", suites=AEAD_SUITES, group_list=(X25519, P256, P384), protocols=(b"http/1.1",)):
        super().__init__(shares=(), suites=suites)
        self.session_id = b""
        self.extensions = [
            *([server_name(name)] if name is not None else []),
            extended_master_secret(), renegotiation_info(), groups(group_list), point_formats(0), session_ticket(),
            *([alpn(*protocols)] if protocols else []),
            signature_algorithms(SIGNATURES),
        ]


# ---- keys ----

class CbcDirection:
    """AES-CBC with HMAC: the MAC before the padding, or behind all (RFC 7366). What a test alters: `padding` (of the bytes to be padded,
    gives the padding), `mac_of` and `broken` (of the whole body)."""

    def __init__(self, key, mac_key, mac, encrypt_then_mac_):
        self.key, self.mac_key, self.mac, self.etm = key, mac_key, mac, encrypt_then_mac_
        self.sequence, self.iv = 0, b""

    def _mac(self, kind, content):
        return hmac.new(self.mac_key, struct.pack(">QBHH", self.sequence, kind, 0x0303, len(content)) + content, self.mac).digest()

    @staticmethod
    def usual_padding(size):
        n = 15 - size % 16
        return bytes([n]) * (n + 1)

    def seal(self, kind, content, padding_=None, alter_mac=lambda m: m):
        iv = os.urandom(16)
        plain = content if self.etm else content + alter_mac(self._mac(kind, content))
        plain += (padding_ or self.usual_padding)(len(plain))
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(iv)).encryptor()
        body = iv + encryptor.update(plain) + encryptor.finalize()
        if self.etm:
            body += alter_mac(self._mac(kind, body))
        self.sequence += 1
        return body

    def open(self, kind, body):
        size = self.mac().digest_size
        if self.etm:
            body, tag = body[:-size], body[-size:]
            assert tag == self._mac(kind, body), "the server's MAC"
        decryptor = Cipher(algorithms.AES(self.key), modes.CBC(body[:16])).decryptor()
        plain = decryptor.update(body[16:]) + decryptor.finalize()
        n = plain[-1] + 1
        assert plain[-n:] == bytes([n - 1]) * n, "the server's padding"
        plain = plain[:-n]
        if not self.etm:
            plain, tag = plain[:-size], plain[-size:]
            assert tag == self._mac(kind, plain), "the server's MAC"
        self.sequence += 1
        return plain


class Session:
    """What is needed to resume one (RFC 5077 3)."""

    def __init__(self, suite, master, ticket, lifetime, extended):
        self.suite, self.master, self.ticket, self.lifetime, self.extended = suite, master, ticket, lifetime, extended


class Client(RecordClient):
    def __init__(self, port, hello=None):
        # pylint: disable=super-init-not-called
        self.version = "1.2"
        self.socket = connect(port)
        self.collected, self.may_be_cut, self._received = b"", False, b""
        self.hello = hello or Hello12()
        self.read = self.write = None       # a direction once there are keys
        self.transcript = b""
        self.session = None                 # offered
        self.suite = self.master = self.server_random = self.extended = self.etm = None
        self.session_id = b""               # the server's
        self.server_extensions = {}
        self.resumed = False
        self.certificates, self.scheme, self.group, self.asked = [], None, None, None
        self.shared = self.exchange_body = None
        self.ticket = None                  # a Session of which the next can be made
        self.connected = False
        self.seen = []
        self._pending = b""
        self._kinds = None                  # (read, write) once they are made
        self._server_public = self._dh = None

    # ---- ClientHello ----

    def offer(self, session, session_id=None):
        self.session = session
        self.hello.session_id = os.urandom(32) if session_id is None else session_id
        self.hello.put(session_ticket(session.ticket))
        return self

    def send_hello(self, size=16384, between=b"", version=0x0301):
        data = self.hello.encode()
        self.transcript += data
        self.send(between.join(record(p, version=version) for p in pieces(data, size)))

    # ---- records and messages ----

    def seal(self, content=b"", kind=APPLICATION_DATA, version=b"\3\3", **options):
        if isinstance(self.write, CbcDirection):
            return bytes([kind]) + version + vector(self.write.seal(kind, content, **options))
        return super().seal(content, kind, version=version, **options)

    def record(self, content, kind=HANDSHAKE, **options):
        return self.seal(content, kind, **options) if self.write else record(content, kind, 0x0303)

    def send_message(self, data, size=16384, transcript=True, between=b""):
        if transcript:
            self.transcript += data
        self.send(between.join(self.record(p) for p in pieces(data, size)))

    def read_record(self):
        if not self._fill(5):
            return self._end()
        if isinstance(self.read, Direction):
            return super().read_record()
        kind, version, size = struct.unpack(">BHH", self._received[:5])
        assert version == 0x0303 or version in (0x0301, 0x0302) and kind == ALERT, (kind, version)
        assert 0 < size <= 16384 + 2048, size
        if not self._fill(5 + size):
            return self._end()
        content, self._received = self._received[5:5 + size], self._received[5 + size:]
        return kind, content if self.read is None else self.read.open(kind, content)

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
                assert self.connected, "content where there may be none"
                self.collected += content
                continue
            assert kind == HANDSHAKE and content, (kind, content)
            self._pending += content
        size = 4 + int.from_bytes(self._pending[1:4], "big")
        data, self._pending = self._pending[:size], self._pending[size:]
        self.seen.append(data[0])
        return data

    def _message(self, kind):
        data = self.read_message()
        assert data[0] == kind, f"message {data[0]} where {kind} is due"
        self.transcript += data
        return Reader(data[4:])

    # ---- the server's flight ----

    def read_server_hello(self):
        r = self._message(SERVER_HELLO)
        assert r.number(2) == 0x0303, "another version than TLS 1.2"
        self.server_random, self.session_id, self.suite = r.take(32), r.vector(1), r.number(2)
        assert self.suite in self.hello.suites and self.suite in SUITES, hex(self.suite)
        assert r.number(1) == 0, "a compression method"
        self.server_extensions = r.extensions() if r.data else {}
        r.end()
        offered = set(self.hello.kinds() if self.hello.extensions else ())
        offered |= {RENEGOTIATION_INFO} if EMPTY_RENEGOTIATION_INFO in self.hello.suites else set()
        assert set(self.server_extensions) <= offered, f"extensions that were not asked for: {self.server_extensions}"
        self.extended = EXTENDED_MASTER_SECRET in self.server_extensions
        self.etm = ENCRYPT_THEN_MAC in self.server_extensions
        self.resumed = self.session is not None and bool(self.session_id) and self.session_id == self.hello.session_id
        return self

    def read_flight(self):
        """To ServerHelloDone; of a resumed session to Finished."""
        self.read_server_hello()
        if self.resumed:
            return self.go_on_resumed()
        r = self._message(CERTIFICATE)
        entries = Reader(r.vector(3))
        r.end()
        while entries.data:
            self.certificates.append(x509.load_der_x509_certificate(entries.vector(3)))
        data = self.read_message()
        self.transcript += data
        if data[0] == CERTIFICATE_STATUS:
            data = self.read_message()
            self.transcript += data
        if data[0] == SERVER_KEY_EXCHANGE:
            self._take_exchange(Reader(data[4:]))
            data = self.read_message()
            self.transcript += data
        if data[0] == CERTIFICATE_REQUEST:
            r = Reader(data[4:])
            self.asked = {"types": r.vector(1), "schemes": r.vector(2), "names": r.vector(2)}
            r.end()
            data = self.read_message()
            self.transcript += data
        assert data == bytes([SERVER_HELLO_DONE, 0, 0, 0]), data
        assert not self._pending, "bytes behind ServerHelloDone"
        return self

    def go_on_resumed(self):
        """The server's end comes first."""
        self.resumed, self.master = True, self.session.master
        self._make_keys()
        return self.read_end()

    def _take_exchange(self, r):
        whole = r.data
        if SUITES[self.suite].exchange == "DHE":
            p, g = int.from_bytes(r.vector(2), "big"), int.from_bytes(r.vector(2), "big")
            self._dh = dh.DHParameterNumbers(p, g)
            self._server_public = int.from_bytes(r.vector(2), "big")
        else:
            assert r.number(1) == 3, "a named curve"
            self.group, self._server_public = r.number(2), r.vector(1)
        params = whole[:len(whole) - len(r.data)]
        self.scheme, signature = r.number(2), r.vector(2)
        r.end()
        key, content = self.certificates[0].public_key(), self.hello.random + self.server_random + params
        assert isinstance(key, rsa.RSAPublicKey) == (self.scheme & 0xFF == 1 or self.scheme >> 8 == 8), hex(self.scheme)
        try:
            key.verify(signature, content, *how_to_sign(self.scheme))
        except InvalidSignature:
            raise AssertionError("the signature of ServerKeyExchange") from None

    # ---- the client's flight ----

    def exchange(self, premaster=None, public=None, encrypted=None):
        """ClientKeyExchange; public, encrypted: bytes that are sent instead of what would be right."""
        kind = SUITES[self.suite].exchange
        if kind == "RSA":
            premaster = premaster or struct.pack(">H", self.hello.legacy_version) + os.urandom(46)
            self.shared = premaster
            body = vector(encrypted if encrypted is not None else self.certificates[0].public_key().encrypt(premaster, padding.PKCS1v15()))
        elif kind == "DHE":
            private = self._dh.parameters().generate_private_key()
            self.shared = private.exchange(dh.DHPublicNumbers(self._server_public, self._dh).public_key()).lstrip(b"\0")
            y = private.public_key().public_numbers().y
            body = vector(public if public is not None else y.to_bytes((y.bit_length() + 7) // 8, "big"))
        else:
            share = new_share(self.group)
            self.shared = share.secret(self._server_public)
            body = vector(public if public is not None else share.public, 1)
        return message(CLIENT_KEY_EXCHANGE, body)

    def certificate(self, certificate):
        """The message for a support.pki.Certificate and its chain; None: an empty one."""
        ders = []
        if certificate is not None:
            with open(certificate.chain_file, "rb") as f:
                parts = f.read().split(b"-----END CERTIFICATE-----\n")[:-1]
            ders = [x509.load_pem_x509_certificate(p + b"-----END CERTIFICATE-----\n").public_bytes(serialization.Encoding.DER) for p in parts]
        return message(CERTIFICATE, vector(b"".join(vector(d, 3) for d in ders), 3))

    def certificate_verify(self, key, scheme, alter=lambda signature: signature, content=None):
        content = self.transcript if content is None else content
        signature = key.sign(content) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(content, *how_to_sign(scheme))
        return message(CERTIFICATE_VERIFY, struct.pack(">H", scheme) + vector(alter(signature)))

    def make_master(self):
        """From what exchange() left; with the transcript up to ClientKeyExchange (RFC 7627 4)."""
        digest = SUITES[self.suite].digest
        if self.extended:
            self.master = prf(self.shared, b"extended master secret" + digest(self.transcript).digest(), 48, digest)
        else:
            self.master = prf(self.shared, b"master secret" + self.hello.random + self.server_random, 48, digest)
        self._make_keys()

    def _make_keys(self):
        suite = SUITES[self.suite]
        mac = suite.mac().digest_size if suite.mac else 0
        fixed = 0 if suite.mac else 12 if suite.cipher is ChaCha20Poly1305 else 4
        size = suite.key_bytes
        block = prf(self.master, b"key expansion" + self.server_random + self.hello.random, 2 * (mac + size + fixed), suite.digest)
        parts = []
        for n in (mac, mac, size, size, fixed, fixed):
            parts.append(block[:n])
            block = block[n:]
        if suite.mac:
            ours, theirs = (CbcDirection(parts[2 + i], parts[i], suite.mac, self.etm) for i in (0, 1))
        else:
            ours, theirs = (Direction(suite.cipher, size, suite.digest, key=parts[2 + i], iv=parts[4 + i]) for i in (0, 1))
        self._kinds = theirs, ours

    def verify_data(self, label=b"client finished"):
        digest = SUITES[self.suite].digest
        return prf(self.master, label + digest(self.transcript).digest(), 12, digest)

    def finished(self):
        return message(FINISHED, self.verify_data())

    def change_keys(self):
        self.write = self._kinds[1]

    def send_exchange(self, **options):
        self.send_message(self.exchange(**options))
        self.make_master()
        return self

    def send_end(self):
        """ChangeCipherSpec and Finished."""
        self.send(CCS)
        self.change_keys()
        self.send_message(self.finished())
        return self

    def finish(self, certificate=None, scheme=0x0403):
        """All of the client's flight, and the server's end; of a resumed session the client's end alone."""
        if self.resumed:
            self.send_end()
            self._note_ticket()
            self.connected = True
            return self
        if self.asked is not None:
            self.send_message(self.certificate(certificate))
        self.send_exchange()
        if self.asked is not None and certificate is not None:
            self.send_message(self.certificate_verify(certificate.key, scheme))
        self.send_end()
        self.read_end()
        self.connected = True
        return self

    def read_end(self):
        """NewSessionTicket where one was announced, ChangeCipherSpec, Finished."""
        if SESSION_TICKET in self.server_extensions:
            r = self._message(NEW_SESSION_TICKET)
            lifetime, ticket = r.number(4), r.vector(2)
            r.end()
            self.ticket = Session(self.suite, self.master, ticket, lifetime, self.extended)
        found = self.read_record()
        if found is None:
            raise Ended()
        if found[0] == ALERT:
            raise Alert(*found[1])
        assert found == (CHANGE_CIPHER_SPEC, b"\1") and not self._pending, found
        self.read = self._kinds[0]
        expected = self.verify_data(b"server finished")
        r = self._message(FINISHED)
        assert r.data == expected, "the server's Finished"
        return self

    def _note_ticket(self):
        if self.ticket is None:
            self.ticket = self.session

    def go_on(self):
        """What is left to do of a handshake, from wherever it stands behind the server's flight."""
        if self.master is None:
            self.send_exchange()
        if self.write is None:
            self.send(CCS)
            self.change_keys()
        self.send_message(self.finished())
        self.read_end()
        self.connected = True

    def connect(self):
        self.send_hello()
        return self.read_flight().finish()

    # ---- what came of it ----

    def outcome(self, until_content=False):
        """What a server made of it: the first alert (a warning's number counts as one too), or what of the handshake came.
        until_content: content is an end, too."""
        found = Outcome(seen=self.seen)
        try:
            while found.alert is None:
                record_ = self.read_record()
                if record_ is None:
                    break
                kind, content = record_
                if kind == ALERT:
                    assert len(content) == 2, content
                    found.level, found.alert = content
                elif kind == CHANGE_CIPHER_SPEC and self._kinds:
                    self.read = self._kinds[0]
                    found.completed = True
                elif kind == APPLICATION_DATA:
                    self.collected += content
                    found.completed = True
                    if until_content:
                        break
                elif kind == HANDSHAKE and content[-4:] == bytes([SERVER_HELLO_DONE, 0, 0, 0]):
                    found.completed = True
                    break
        except ConnectionError:
            pass
        return found


def session_of(port, hello=None):
    """A session of an ordinary client."""
    with Client(port, hello) as c:
        return c.connect().ticket


def is_rsa(certificate):
    return isinstance(certificate.public_key(), rsa.RSAPublicKey)


def is_ecdsa(certificate):
    return isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
