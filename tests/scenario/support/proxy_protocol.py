"""The PROXY protocol as a test speaks it: headers built byte by byte, and read strictly."""
import ipaddress
import socket
import struct
from dataclasses import dataclass, field

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL, NETNS = 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23


def v1(source="192.0.2.7", destination="198.51.100.1", source_port=56324, destination_port=443):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def raw_v2(command, family, content):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(content)) + content


def v2(source="192.0.2.7", destination="198.51.100.1", source_port=56324, destination_port=443, tlvs=b"", checksum=False):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    content = a.packed + b.packed + struct.pack(">HH", source_port, destination_port) + tlvs
    family = 0x11 if a.version == 4 else 0x21
    if not checksum:
        return raw_v2(0x21, family, content)
    header = raw_v2(0x21, family, content + tlv(CRC32C, bytes(4)))
    return header[:-4] + struct.pack(">I", crc32c(header))


def local():
    return raw_v2(0x20, 0, b"")


def crc32c(data):
    total = 0xffffffff
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82f63b78 if total & 1 else 0)
    return total ^ 0xffffffff


@dataclass
class Header:
    version: int
    local: bool = False
    source: tuple = None
    destination: tuple = None
    tlvs: dict = field(default_factory=dict)
    client: int = None          # of the SSL TLV
    verify: int = None
    ssl: dict = field(default_factory=dict)


def _walk(data):
    found = {}
    while data:
        kind, length = data[0], struct.unpack(">H", data[1:3])[0]
        assert 3 + length <= len(data), data
        assert kind not in found, f"TLV {kind:#x} twice"
        found[kind] = data[3:3 + length]
        data = data[3 + length:]
    return found


def _read_v2(data):
    command, family, length = data[12], data[13], struct.unpack(">H", data[14:16])[0]
    assert command in (0x20, 0x21) and family in (0, 0x11, 0x21, 0x31), data[:16]
    whole, content = data[:16 + length], data[16:16 + length]
    assert len(content) == length, "the header is cut"
    h = Header(2, local=command == 0x20)
    size = {0: 0, 0x11: 4, 0x21: 16, 0x31: 108}[family]
    ends, rest = content[:2 * size + (4 if size in (4, 16) else 0)], content[2 * size + (4 if size in (4, 16) else 0):]
    if size in (4, 16):
        ports = struct.unpack(">HH", ends[2 * size:])
        h.source, h.destination = ((str(ipaddress.ip_address(ends[i * size:(i + 1) * size])), ports[i]) for i in (0, 1))
    elif size:
        h.source, h.destination = (ends[i * size:(i + 1) * size].rstrip(b"\0") for i in (0, 1))
    h.tlvs = _walk(rest)
    if CRC32C in h.tlvs:
        at = whole.index(tlv(CRC32C, h.tlvs[CRC32C])) + 3
        assert crc32c(whole[:at] + bytes(4) + whole[at + 4:]) == struct.unpack(">I", h.tlvs[CRC32C])[0], "wrong checksum"
    if SSL in h.tlvs:
        value = h.tlvs[SSL]
        h.client, h.verify, h.ssl = value[0], struct.unpack(">I", value[1:5])[0], _walk(value[5:])
    return h, data[len(whole):]


def read(data):
    """(the header that data begins with, what follows it)"""
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    line, end, rest = data.partition(b"\r\n")
    assert end and len(line) <= 105 and line.startswith(b"PROXY "), data[:120]
    words = line.decode("ascii").split(" ")
    if words[1] == "UNKNOWN":
        return Header(1), rest
    _, _, source, destination, source_port, destination_port = words
    return Header(1, source=(source, int(source_port)), destination=(destination, int(destination_port))), rest


class Receiver:
    """A server that takes a header and then answers one HTTP request after the other; `headers` are what came. greeting: said at once
    behind the header instead; what comes then is only read."""

    def __init__(self, backend_answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", wrap=None, path=None, greeting=None):
        from support.ports import free_port  # pylint: disable=import-outside-toplevel
        import threading  # pylint: disable=import-outside-toplevel
        self.headers, self.heads, self.failures, self.connections = [], [], [], 0
        self.answer, self.wrap, self.greeting = backend_answer, wrap, greeting
        self.open, self._sockets = 0, []
        if path:
            self.listener, self.address = socket.socket(socket.AF_UNIX), f"unix:{path}"
            self.listener.bind(path)
        else:
            self.port = free_port()
            self.listener, self.address = socket.create_server(("127.0.0.1", self.port)), f"127.0.0.1:{self.port}"
        self.listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        import threading  # pylint: disable=import-outside-toplevel
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open += 1
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _take_header(sock):
        """Exactly the header, byte by byte, so that TLS can begin behind it."""
        data = sock.recv(1, socket.MSG_WAITALL)
        if data == b"P":
            while not data.endswith(b"\r\n"):
                more = sock.recv(1)
                assert more, data
                data += more
            return read(data)[0]
        data += sock.recv(15, socket.MSG_WAITALL)
        data += sock.recv(struct.unpack(">H", data[14:16])[0], socket.MSG_WAITALL)
        return read(data)[0]

    def _serve(self, sock):
        try:
            sock.settimeout(30)
            self.headers.append(self._take_header(sock))
            if self.wrap:
                sock = self.wrap(sock)
            if self.greeting:
                sock.sendall(self.greeting)
                while sock.recv(65536):
                    pass
                return
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                self.heads.append(head)
                sock.sendall(self.answer)
        except OSError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)
        finally:
            self.open -= 1
            sock.close()

    def close_all(self):
        """Ends its connections, in order."""
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._sockets.clear()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        assert not self.failures, self.failures
