"""Clients that say exactly what a test wants said, over TLS or plain, and read responses strictly.

    with tls_client(port, pki, name="a.test") as c:
        r = c.request("GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n")
        assert r.status == 200 and r.body == b"ok"

HelloClient speaks TLS through memory, so that a test decides how the bytes are cut on their way."""
import socket
import ssl
import struct
import subprocess
from dataclasses import dataclass, field

from support.waiting import LONG


class Closed(Exception):
    """The connection ended where a response, or the rest of one, was due."""


@dataclass
class Response:
    version: str
    status: int
    reason: str
    fields: list
    body: bytes = b""
    trailers: list = field(default_factory=list)
    raw_head: bytes = b""

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def field(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


def get(path="/", host="a.test", fields=(), method="GET", version="HTTP/1.1", body=None):
    """The bytes of a request."""
    lines = [f"{method} {path} {version}"] + ([f"Host: {host}"] if host is not None else []) + list(fields)
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Client:
    """A connection (a socket or an ssl.SSLSocket) on which requests are sent and responses read."""

    def __init__(self, sock):
        self.socket = sock
        self._buffer = b""
        sock.settimeout(LONG)

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def send_slowly(self, data, piece=1):
        """Each piece in a segment of its own."""
        for i in range(0, len(data), piece):
            self.send(data[i:i + piece])

    def request(self, data, method=None):
        """Sends a request and reads the final response to it; 1xx are in `interim` of the client."""
        data = data.encode("latin-1") if isinstance(data, str) else data
        self.send(data)
        return self.response(method or data.split(b" ", 1)[0].decode())

    def response(self, method="GET"):
        """The next final response."""
        self.interim = []
        while True:
            r = self.response_head()
            if r.status >= 200 or r.status == 101:
                break
            self.interim.append(r)
        self._read_body(r, method)
        return r

    def response_head(self):
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1" and len(status) == 3, lines[0]
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), f"malformed field {line!r}"
            fields.append((name, value.strip()))
        return Response(version, int(status), reason, fields, raw_head=head)

    def _read_body(self, r, method):
        coding, length = r.all("transfer-encoding"), r.all("content-length")
        assert not (coding and length), "both Transfer-Encoding and Content-Length"
        assert len(coding) <= 1 and len(length) <= 1, r.fields
        if method == "HEAD" or r.status in (101, 204, 304) or method == "CONNECT" and r.status < 300:
            return
        if coding:
            assert coding[0].lower() == "chunked"
            self._read_chunked(r)
        elif length:
            r.body = self.read_exactly(int(length[0]))
        else:
            r.body = self.read_to_close()

    def _read_chunked(self, r):
        parts = []
        while (size := int(self.read_line(), 16)) != 0:
            parts.append(self.read_exactly(size))
            assert self.read_line() == b""
        r.body = b"".join(parts)
        while (line := self.read_line()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            r.trailers.append((name, value.strip()))

    def _receive(self, most):
        """b"" where the connection ended, in order or not."""
        try:
            return self.socket.recv(most)
        except ConnectionResetError:
            return b""

    def _fill(self):
        data = self._receive(262144)
        if not data:
            raise Closed(f"closed; unread: {self._buffer[:200]!r}")
        self._buffer += data

    def read_line(self):
        while b"\r\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def read_exactly(self, n):
        parts, have = [self._buffer], len(self._buffer)
        while have < n:
            data = self._receive(min(n - have, 1 << 20))
            if not data:
                raise Closed(f"closed after {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self._buffer = whole[n:]
        return whole[:n]

    def read_to_close(self):
        parts = [self._buffer]
        self._buffer = b""
        while data := self.socket.recv(262144):
            parts.append(data)
        return b"".join(parts)

    def assert_closed(self):
        """The other side ends the connection in order and sends nothing more."""
        try:
            rest = self._buffer + self.socket.recv(65536)
        except ConnectionResetError:
            rest = self._buffer  # it closed while bytes of ours were on their way
        assert rest == b"", f"more came: {rest[:200]!r}"

    def assert_silent(self, seconds):
        """Nothing comes, and the connection stays."""
        assert self._buffer == b"", self._buffer
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
            raise AssertionError(f"{data!r} came" if data else "the connection was closed")
        except (socket.timeout, ssl.SSLWantReadError):
            pass
        finally:
            self.socket.settimeout(LONG)

    def half_close(self):
        """Ends our direction alone: FIN, under TLS without close_notify."""
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def context(pki=None, *, least=None, most=None, alpn=None, ciphers=None, certificate=None, verify=True):
    """An ssl.SSLContext; versions are "1.2" or "1.3"."""
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if pki is None or not verify:
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    else:
        c.load_verify_locations(pki.ca_file)
    if least:
        c.minimum_version = versions[least]
    if most:
        c.maximum_version = versions[most]
    if alpn:
        c.set_alpn_protocols(alpn)
    if ciphers:
        c.set_ciphers(ciphers)
    if certificate:
        c.load_cert_chain(certificate.chain_file, certificate.key_file)
    return c


def connect(port, host="127.0.0.1", receive_buffer=None):
    """A TCP socket that sends each piece at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(LONG)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def plain_client(port, host="127.0.0.1"):
    return Client(connect(port, host))


def tls_client(port, pki=None, name="a.test", *, session=None, ssl_context=None, host="127.0.0.1", receive_buffer=None, **options):
    """A Client over TLS. name: SNI, None for none. options: of context()."""
    c = ssl_context or context(pki, verify=name is not None, **options)
    sock = connect(port, host, receive_buffer)
    try:
        return Client(c.wrap_socket(sock, server_hostname=name, session=session))
    except BaseException:
        sock.close()
        raise


class HelloClient(Client):
    """TLS through memory: `deliver` decides how our handshake's bytes are cut (a function that sends bytes to the socket)."""

    def __init__(self, port, ssl_context, name="a.test", deliver=None):
        self.raw = connect(port)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl_context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.deliver = deliver or self.raw.sendall
        super().__init__(self.raw)
        self.socket = self

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def _pump(self, step, flush_last=True):
        while True:
            try:
                result = step()
                break
            except ssl.SSLWantReadError:
                self._flush()
                data = self.raw.recv(65536)
                if not data:
                    raise Closed("closed during TLS") from None
                self.incoming.write(data)
            except ssl.SSLError:
                self._flush()
                raise
        if flush_last:
            self._flush()
        return result

    def _flush(self):
        if self.outgoing.pending:
            self.deliver(self.outgoing.read())

    def handshake(self):
        self._pump(self.tls.do_handshake)
        return self

    def handshake_with(self, data):
        """Data leaves in one segment with the handshake's last flight."""
        self._pump(self.tls.do_handshake, flush_last=False)
        self.sendall(data)
        return self

    def sendall(self, data):
        self._pump(lambda: self.tls.write(data))

    def recv(self, most):
        try:
            return self._pump(lambda: self.tls.read(most))
        except (ssl.SSLZeroReturnError, Closed):
            return b""

    def close(self):
        self.raw.close()


def client_hello_bytes(ssl_context, name="a.test"):
    """The ClientHello that this context would send, as one record."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl_context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def split_records(record, piece):
    """The same handshake message in records of `piece` bytes each."""
    header, message = record[:3], record[5:]
    parts = [message[i:i + piece] for i in range(0, len(message), piece)]
    return b"".join(header + len(p).to_bytes(2, "big") + p for p in parts)


def read_alert(sock):
    """(level, description) of the plaintext alert that comes next; None when the connection just ends."""
    data = b""
    try:
        while len(data) < 7:
            more = sock.recv(7 - len(data))
            if not more:
                return None
            data += more
    except ConnectionResetError:
        return None
    assert data[0] == 21, f"not an alert: {data!r}"
    return data[5], data[6]


def curl(port, pki, path, *arguments, name="a.test", scheme="https", seconds=LONG):
    """Runs curl for a path of `name` on 127.0.0.1:port: a subprocess.CompletedProcess with text."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--resolve", f"{name}:{port}:127.0.0.1",
               "--max-time", str(seconds)]
    command += ["--cacert", pki.ca_file] if scheme == "https" else []
    return subprocess.run([*command, *map(str, arguments), f"{scheme}://{name}:{port}{path}"], capture_output=True, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=seconds + 10, check=False)


def visit(port, c, session=None, name="a.test"):
    """One connection and one request (TLS 1.3's tickets come behind the handshake): (resumed, the next session)."""
    with tls_client(port, name=name, ssl_context=c, session=session) as client:
        assert client.request(get(host=name, fields=["Connection: close"])).status == 200
        resumed, after = client.socket.session_reused, client.socket.session
        client.assert_closed()
        return resumed, after
