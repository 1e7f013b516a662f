"""The first message of a connection in every shape: cut anywhere, hostile, or not TLS at all."""
import os
import struct

import pytest

from support import hello
from support.client import HelloClient, client_hello_bytes, connect, context, get, read_alert, split_records
from support.unlade import site
from support.waiting import LONG

pytestmark = [pytest.mark.tls, pytest.mark.handshakes]

DECODE_ERROR, UNEXPECTED_MESSAGE, RECORD_OVERFLOW, ILLEGAL_PARAMETER = 50, 10, 22, 47


def in_pieces(size):
    def deliver(client, data):
        for i in range(0, len(data), size):
            client.raw.sendall(data[i:i + size])
    return deliver


def first_in_records(size):
    """The ClientHello in records of so many bytes; all else as it is."""
    def deliver(client, data):
        if not getattr(client, "hello_sent", False):
            client.hello_sent = True
            data = split_records(data, size)
        client.raw.sendall(data)
    return deliver


def records_in_segments(record_size, segment):
    def deliver(client, data):
        if not getattr(client, "hello_sent", False):
            client.hello_sent = True
            data = split_records(data, record_size)
        in_pieces(segment)(client, data)
    return deliver


@pytest.mark.records
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("deliver", [in_pieces(1), in_pieces(7), in_pieces(100), first_in_records(1), first_in_records(5), first_in_records(100),
                                     records_in_segments(3, 1), records_in_segments(100, 7)],
                         ids=["bytes", "segments of 7", "segments of 100", "records of 1", "records of 5", "records of 100",
                              "records of 3 in bytes", "records of 100 in segments of 7"])
def test_a_client_hello_may_be_cut_anywhere(stack, pki, deliver, version):
    client = HelloClient(stack.port, context(pki, least=version, most=version))
    client.deliver = lambda data: deliver(client, data)
    with client.handshake():
        assert client.request(get()).body == b"ok"


def test_a_large_client_hello_over_many_records_is_read(stack):
    padding = hello.extension(21, bytes(15000))
    message = hello.message(hello.extensions() + [padding])
    answer = hello.ask(stack.port, message, b"".join(hello.record(message[i:i + 1000]) for i in range(0, len(message), 1000)))
    assert isinstance(answer, hello.ServerHello)


@pytest.mark.parametrize("names", [60, 200])
def test_a_client_hello_of_tens_of_kilobytes_is_read(stack, pki, names):
    tls = context(pki)
    tls.set_alpn_protocols(["http/1.1"] + [f"{i:0255}" for i in range(names)])
    with HelloClient(stack.port, tls).handshake() as client:
        assert client.request(get()).status == 200


def test_a_client_hello_of_more_than_65_kb_is_refused_not_waited_for(stack):
    message = hello.message(hello.extensions() + [hello.extension(21, bytes(64900))], suites=[0x1301] + [0x2000] * 900)
    assert len(message) > 65 * 1024
    assert hello.ask(stack.port, message, b"".join(hello.record(message[i:i + 16000]) for i in range(0, len(message), 16000))) == (2, DECODE_ERROR)


def test_many_names_and_unknown_extensions_do_no_harm(stack):
    unknown = [hello.extension(0x0A0A, b""), hello.extension(0xFE0D, os.urandom(200)), hello.extension(0x5A5A, b"x")]
    answer = hello.ask(stack.port, hello.message(unknown + hello.extensions(), suites=(0x0A0A, 0x1301), session_id=os.urandom(32)))
    assert isinstance(answer, hello.ServerHello) and len(answer.session_id) == 32


def alert_of(port, data, then_close=False):
    with connect(port) as s:
        s.sendall(data)
        if then_close:
            s.shutdown(1)
        return read_alert(s)


def broken(change):
    """A ClientHello whose message was changed by `change`, in one record."""
    return hello.record(change(hello.message(hello.extensions())))


MALFORMED = {
    "a message longer than its record says, then another kind of record":
        hello.record(hello.message(hello.extensions())[:50]) + hello.record(b"x", kind=23),
    "an alert in the middle": hello.record(hello.message(hello.extensions())[:50]) + hello.record(b"\x01\x00", kind=21),
    "another handshake message first": hello.record(b"\x02" + hello.message(hello.extensions())[1:]),
    "application data first": hello.record(b"GET / HTTP/1.1", kind=23),
    "change_cipher_spec first": hello.record(b"\x01", kind=20),
    "an empty record": hello.record(b""),
    "a record beyond its limit": b"\x16\x03\x01\x48\x01" + bytes(0x4801),
    "a message beyond every limit": hello.record(b"\x01\xff\xff\xff" + bytes(1000)),
    "extensions beyond the message": broken(lambda m: b"\x01" + hello.vector(m[4:-20], 3)),
    "bytes behind the extensions": hello.record((lambda m: b"\x01" + hello.vector(m[4:] + b"xx", 3))(hello.message(hello.extensions()))),
    "an empty list of suites": hello.record(hello.message(hello.extensions(), suites=())),
    "no compression method": hello.record(hello.message(hello.extensions(), compressions=b"")),
    "a session id of 33 bytes": hello.record(hello.message(hello.extensions(), session_id=bytes(33))),
    "two server name extensions": hello.record(hello.message(hello.extensions() + [hello.server_name(b"b.test")])),
    "an empty server name": hello.record(hello.message(hello.extensions(name=b""))),
    "a server name with NUL": hello.record(hello.message(hello.extensions(name=b"a.test\0.evil.test"))),
    "a server name extension cut short": hello.record(hello.message([hello.extension(0, b"\x00\x09\x00\x00\x06a.te")] + hello.extensions(name=None))),
    "supported_groups of an odd size": hello.record(hello.message([hello.extension(10, b"\x00\x03\x00\x1d\x00")] + hello.extensions(groups=())[2:])),
    "an ALPN list that lies about its length": hello.record(hello.message(hello.extensions() + [hello.extension(16, b"\x00\x20\x08http/1.1")])),
    "an empty name in ALPN": hello.record(hello.message(hello.extensions(alpn=(b"",)))),
    "no signature algorithms": hello.record(hello.message([e for e in hello.extensions() if struct.unpack(">H", e[:2])[0] != 13])),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_client_hello_gets_an_alert_and_the_end(stack, name):
    alert = alert_of(stack.port, MALFORMED[name], then_close=True)
    assert alert is not None and alert[0] == 2, f"{name}: {alert}"
    assert hello.ask(stack.port, hello.message(hello.extensions())), "the next client is served"


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a byte", "half a record"])
def test_a_client_that_leaves_early_does_no_harm(stack, data):
    with connect(stack.port) as s:
        s.sendall(data)
    assert hello.ask(stack.port, hello.message(hello.extensions()))


@pytest.mark.parametrize("data", [os.urandom(64), b"\0" * 64, b"SSH-2.0-OpenSSH_9.2\r\n", b"EHLO a.test\r\n", b"\x80\x2e\x01\x03\x00" + bytes(41)],
                         ids=["random bytes", "zeros", "SSH", "SMTP", "SSL 2"])
def test_garbage_ends_the_connection_at_once(stack, data):
    if data[0] == 0x16:
        data = b"\x17" + data[1:]
    with connect(stack.port) as s:
        s.sendall(data)
        s.settimeout(LONG)
        try:
            answer = s.recv(1000)
        except ConnectionResetError:
            answer = b""
        assert not answer or answer[0] == 21 or answer.startswith(b"HTTP/1.1 400"), answer


def test_plain_http_on_a_tls_port_is_told_so_or_closed(stack):
    with connect(stack.port) as s:
        s.sendall(get())
        answer = b""
        try:
            while data := s.recv(1000):
                answer += data
        except ConnectionResetError:
            pass
    assert answer == b"" or answer[0] == 21 or answer.startswith(b"HTTP/1.1 400")
    assert not stack.backend.exchanges


def test_tls_on_a_plain_port_gets_400(start, backend, port):
    start(site(port, backend.port))
    with connect(port) as s:
        s.sendall(client_hello_bytes(context()) + b"\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 400")
    assert not backend.exchanges


@pytest.mark.records
def test_records_after_the_handshake_may_be_cut_anywhere(stack, pki):
    client = HelloClient(stack.port, context(pki)).handshake()
    client.deliver = lambda data: in_pieces(1)(client, data)
    with client:
        assert client.request(get(method="POST", body=b"x" * 100)).body == b"ok"


@pytest.mark.records
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("data", [hello.record(os.urandom(100), kind=23, version=0x0303), hello.record(os.urandom(20), kind=22, version=0x0303),
                                  b"\x17\x03\x03\x48\x01" + bytes(0x4801), b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["a forged record", "a forged handshake", "a record too long", "plain text"])
def test_a_record_that_cannot_be_opened_ends_the_connection(stack, pki, data, version):
    with HelloClient(stack.port, context(pki, most=version)).handshake() as client:
        assert client.request(get("/first")).status == 200
        client.raw.sendall(data)
        end = b"x"
        try:
            while end:
                end = client.raw.recv(1000)
        except ConnectionResetError:
            pass
    assert [e.target for e in stack.backend.exchanges] == ["/first"]
