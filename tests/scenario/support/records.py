"""A TLS client whose records are made by hand: Python's ssl speaks the handshake, and from there on the keys are ours.

    with RecordClient(port, directory, "1.3") as c:
        c.send(c.seal(b"GET / ..."))        # any content, type, padding; or bytes that are no record at all
        kind, content = c.read_record()

TLS 1.3 and 1.2 with AES-GCM and ChaCha20-Poly1305 (RFC 8446 5 and 7; RFC 5246 6, RFC 5288, RFC 7905)."""
import hashlib
import hmac
import os
import ssl
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from support.client import connect, context

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
WARNING, FATAL = 1, 2
KEY_UPDATE, NEW_SESSION_TICKET = 24, 4
PLAIN_MOST = 16384


def key_update(request=0):
    return struct.pack(">B3sB", KEY_UPDATE, b"\0\0\1", request)


def _expand(secret, info, size, digest):
    out, block, n = b"", b"", 1
    while len(out) < size:
        block = hmac.new(secret, block + info + bytes([n]), digest).digest()
        out, n = out + block, n + 1
    return out[:size]


def expand_label(secret, label, size, digest, context_=b""):
    """RFC 8446 7.1."""
    label = b"tls13 " + label
    return _expand(secret, struct.pack(">HB", size, len(label)) + label + bytes([len(context_)]) + context_, size, digest)


def prf(secret, seed, size, digest):
    out, a = b"", seed
    while len(out) < size:
        a = hmac.new(secret, a, digest).digest()
        out += hmac.new(secret, a + seed, digest).digest()
    return out[:size]


class Direction:
    """The keys of one direction, and how many records they have seen."""

    def __init__(self, aead, key_bytes, digest, *, secret=None, key=None, iv=None, sequence=0):
        self.aead, self.key_bytes, self.digest = aead, key_bytes, digest
        self.sequence = sequence
        if secret is not None:
            self._set_secret(secret)
        else:
            self.secret, self.iv, self.cipher = None, iv, aead(key)

    def _set_secret(self, secret):
        self.secret, self.sequence = secret, 0
        self.cipher = self.aead(expand_label(secret, b"key", self.key_bytes, self.digest))
        self.iv = expand_label(secret, b"iv", 12, self.digest)

    def update(self):
        """RFC 8446 7.2."""
        self._set_secret(expand_label(self.secret, b"traffic upd", len(self.secret), self.digest))

    def nonce(self):
        """RFC 8446 5.3; in TLS 1.2 of ChaCha20 alone."""
        return bytes(a ^ b for a, b in zip(self.iv, self.sequence.to_bytes(12, "big")))


class RecordClient:
    def __init__(self, port, directory, version="1.3", *, ciphers=None, name="a.test", alpn=("http/1.1",)):
        log = os.path.join(str(directory), f"keys-{os.urandom(4).hex()}")
        c = context(None, least=version, most=version, alpn=list(alpn), ciphers=ciphers)
        c.keylog_filename = log
        self.version = version
        self.socket = connect(port)
        self.collected = b""   # content that came before what a test asked for
        self.may_be_cut = False   # whether the connection may end within a record
        self._received = b""
        self._hello = b""
        self._handshake(c, name)
        with open(log, encoding="ascii") as f:
            secrets = {line.split()[0]: [bytes.fromhex(x) for x in line.split()[1:]] for line in f if not line.startswith("#")}
        self._take_keys(secrets)

    _partial = b""  # of a handshake message

    def _handshake(self, ssl_context, name):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl_context.wrap_bio(incoming, outgoing, server_hostname=name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(outgoing.read())
                data = self.socket.recv(65536)
                assert data, "closed during the handshake"
                self._hello += data
                incoming.write(data)
        self.socket.sendall(outgoing.read())
        self._received = incoming.read()   # what the server sent behind its handshake
        self.suite = tls.cipher()[0]
        self.alpn = tls.selected_alpn_protocol()

    def _take_keys(self, secrets):
        digest = hashlib.sha384 if "SHA384" in self.suite else hashlib.sha256
        chacha = "CHACHA20" in self.suite.upper()
        aead, size = (ChaCha20Poly1305, 32) if chacha else (AESGCM, 32 if "256" in self.suite.split("SHA")[0] else 16)
        if self.version == "1.3":
            self.write, self.read = (Direction(aead, size, digest, secret=secrets[f"{who}_TRAFFIC_SECRET_0"][1]) for who in ("CLIENT", "SERVER"))
            return
        client_random, master = secrets["CLIENT_RANDOM"]
        server_random = self._hello[11:43]   # record header, message header, version
        fixed = 12 if chacha else 4
        block = prf(master, b"key expansion" + server_random + client_random, 2 * (size + fixed), digest)
        ours, theirs, rest = block[:size], block[size:2 * size], block[2 * size:]
        self.write = Direction(aead, size, digest, key=ours, iv=rest[:fixed], sequence=1)   # the Finished was number 0
        self.read = Direction(aead, size, digest, key=theirs, iv=rest[fixed:], sequence=1)

    # ---- what is sent ----

    def seal(self, content=b"", kind=APPLICATION_DATA, padding=0, break_tag=False, version=b"\3\3"):
        """One record of the content, however long it is; its header says this version, and the tag knows it."""
        w = self.write
        if self.version == "1.3":
            inner = content + bytes([kind]) + bytes(padding) if kind is not None else bytes(padding)
            header = struct.pack(">B2sH", APPLICATION_DATA, version, len(inner) + 16)
            body = w.cipher.encrypt(w.nonce(), inner, header)
        else:
            additional = struct.pack(">QB2sH", w.sequence, kind, version, len(content))
            explicit = b"" if len(w.iv) == 12 else struct.pack(">Q", w.sequence)
            body = explicit + w.cipher.encrypt(w.iv + explicit if explicit else w.nonce(), content, additional)
            header = struct.pack(">B2sH", kind, version, len(body))
        w.sequence += 1
        if break_tag:
            body = body[:-1] + bytes([body[-1] ^ 1])
        return header + body

    def seal_all(self, content, piece=PLAIN_MOST):
        return b"".join(self.seal(content[i:i + piece]) for i in range(0, len(content), piece))

    def send(self, *records):
        """As far as it goes: who has been told to go away may find the connection reset."""
        try:
            self.socket.sendall(b"".join(records))
        except (BrokenPipeError, ConnectionResetError):
            pass

    # ---- what comes ----

    def _fill(self, size):
        while len(self._received) < size:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return False
            if not data:
                return False
            self._received += data
        return True

    def _end(self):
        assert self.may_be_cut or not self._received, f"half a record at the end: {self._received[:100]!r}"
        self._received = b""

    def read_record(self):
        """(type, content) of the next record, opened; None where the connection ended between two records. A record that is not
        under the present key fails the test."""
        r = self.read
        if not self._fill(5):
            return self._end()
        kind, version, size = struct.unpack(">BHH", self._received[:5])
        assert version == 0x0303 and size <= PLAIN_MOST + 256, (kind, version, size)
        if not self._fill(5 + size):
            return self._end()
        header, body, self._received = self._received[:5], self._received[5:5 + size], self._received[5 + size:]
        try:
            if self.version == "1.3":
                assert kind == APPLICATION_DATA, f"a record in clear: {header + body!r}"
                inner = r.cipher.decrypt(r.nonce(), body, header).rstrip(b"\0")
                kind, content = inner[-1], inner[:-1]
            else:
                explicit = b"" if len(r.iv) == 12 else body[:8]
                sealed = body[len(explicit):]
                additional = struct.pack(">QBHH", r.sequence, kind, 0x0303, len(sealed) - 16)
                content = r.cipher.decrypt(r.iv + explicit if explicit else r.nonce(), sealed, additional)
        except InvalidTag:
            raise AssertionError(f"record {r.sequence} is not under the present key") from None
        r.sequence += 1
        if kind == HANDSHAKE and self._begins_message(content) and content[0] == KEY_UPDATE:
            assert content in (key_update(0), key_update(1)), content
            r.update()
        return kind, content

    def _begins_message(self, content):
        """Whether a record of handshake messages begins with one of TLS 1.3, or goes on with one that came in part."""
        if self.version != "1.3":
            return False
        begins, self._partial = not self._partial, self._partial + content
        while len(self._partial) >= 4 and (size := 4 + int.from_bytes(self._partial[1:4], "big")) <= len(self._partial):
            self._partial = self._partial[size:]
        return begins

    def records(self):
        """All that come, to the end."""
        while (record := self.read_record()) is not None:
            yield record

    def read_alert(self):
        """(level, description) of the first alert; None where the connection ended without one. Content on the way is collected,
        tickets and KeyUpdates are passed over."""
        for kind, content in self.records():
            if kind == ALERT:
                assert len(content) == 2, content
                return content[0], content[1]
            if kind == APPLICATION_DATA:
                self.collected += content
        return None

    def read_content(self, size):
        """So many bytes of content, with what was collected before; fails where the connection ends, or an alert comes, first."""
        while len(self.collected) < size:
            record = self.read_record()
            assert record is not None, f"ended after {len(self.collected)} of {size} bytes"
            assert record[0] != ALERT, f"alert {tuple(record[1])} after {len(self.collected)} of {size} bytes"
            if record[0] == APPLICATION_DATA:
                self.collected += record[1]
        data, self.collected = self.collected[:size], self.collected[size:]
        return data

    # ---- as a socket, for clients of protocols ----

    def sendall(self, data):
        self.socket.sendall(self.seal_all(data))

    def recv(self, most):
        while not self.collected:
            record = self.read_record()
            if record is None or record[0] == ALERT:
                return b""
            if record[0] == APPLICATION_DATA:
                self.collected += record[1]
        data, self.collected = self.collected[:most], self.collected[most:]
        return data

    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def is_ended(self):
        """Whether the connection ends with nothing more to read."""
        return not self._received and not self._fill(1)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
