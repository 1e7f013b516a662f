"""ClientHellos made by hand, and the ServerHello that answers them (RFC 8446 4.1)."""
import os
import struct
from dataclasses import dataclass

from support.client import connect

X25519, P256, X25519MLKEM768 = 0x001D, 0x0017, 0x11EC
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805)   # ECDSA P-256, RSA-PSS, RSA PKCS#1, ...
HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def vector(data, bytes_of_length=2):
    return len(data).to_bytes(bytes_of_length, "big") + data


def numbers(values):
    return b"".join(struct.pack(">H", v) for v in values)


def extension(kind, content):
    return struct.pack(">H", kind) + vector(content)


def server_name(name):
    return extension(0, vector(b"\0" + vector(name)))


def extensions(name=b"a.test", groups=(X25519, P256), shares=(X25519,), versions=(0x0304,), signatures=SIGNATURES, alpn=()):
    """The usual ones, as a list that a test may change."""
    share = {X25519: os.urandom(32), P256: b"\x04" + os.urandom(64)}
    made = [server_name(name)] if name is not None else []
    made.append(extension(10, vector(numbers(groups))))
    made.append(extension(11, b"\x01\x00"))
    made.append(extension(13, vector(numbers(signatures))))
    if versions:
        made.append(extension(43, vector(numbers(versions), 1)))
        made.append(extension(51, vector(b"".join(struct.pack(">H", g) + vector(share[g]) for g in shares))))
    if alpn:
        made.append(extension(16, vector(b"".join(vector(a, 1) for a in alpn))))
    return made


def message(extensions_, suites=(0x1301, 0x1302, 0x1303), legacy_version=0x0303, session_id=b"", compressions=b"\0"):
    """The handshake message: header and body."""
    body = struct.pack(">H", legacy_version) + os.urandom(32) + vector(session_id, 1) + vector(numbers(suites)) + vector(compressions, 1)
    body += vector(b"".join(extensions_))
    return b"\x01" + vector(body, 3)


def record(content, kind=22, version=0x0301):
    return bytes([kind]) + struct.pack(">H", version) + vector(content)


@dataclass
class ServerHello:
    version: int
    suite: int
    is_retry: bool
    group: int      # of the key share, or the one that is asked for; None in TLS 1.2
    session_id: bytes


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def read_server_hello(sock):
    """The ServerHello, or the (level, description) of the alert that came instead."""
    header = read_exactly(sock, 5)
    content = read_exactly(sock, int.from_bytes(header[3:5], "big"))
    if header[0] == 21:
        return content[0], content[1]
    assert header[0] == 22 and content[0] == 2, (header, content[:4])
    body = content[4:4 + int.from_bytes(content[1:4], "big")]
    version, random = int.from_bytes(body[:2], "big"), body[2:34]
    session_id = body[35:35 + body[34]]
    at = 35 + body[34]
    suite, at = int.from_bytes(body[at:at + 2], "big"), at + 3
    found, end = {}, at + 2 + int.from_bytes(body[at:at + 2], "big") if at < len(body) else at
    at += 2
    while at < end:
        kind, size = struct.unpack(">HH", body[at:at + 4])
        found[kind] = body[at + 4:at + 4 + size]
        at += 4 + size
    if 43 in found:
        version = int.from_bytes(found[43], "big")
    group = int.from_bytes(found[51][:2], "big") if 51 in found else None
    return ServerHello(version, suite, random == HELLO_RETRY, group, session_id)


def ask(port, message_bytes, records=None):
    """Sends one ClientHello and returns what read_server_hello sees."""
    with connect(port) as s:
        s.sendall(records or record(message_bytes))
        return read_server_hello(s)
