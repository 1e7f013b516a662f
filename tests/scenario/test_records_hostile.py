"""Records as no library sends them, once the handshake is complete: what RFC 8446 5 and 6 (RFC 5246 6 and 7 for TLS 1.2) say to
them, whoever protects the records."""
import random
import socket
import threading

import pytest

from support.backend import Backend, response
from support.client import get
from support.h2 import H2, PREFACE, settings
from support.ports import free_port
from support.raw import RawServer
from support.records import (
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, FATAL, HANDSHAKE, KEY_UPDATE, PLAIN_MOST, WARNING, RecordClient, key_update)
from support.unlade import Unlade, site
from support.waiting import until

pytestmark = [pytest.mark.tls, pytest.mark.records]

CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW = 0, 10, 20, 22
HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, DECODE_ERROR, PROTOCOL_VERSION, INTERNAL_ERROR = 40, 47, 50, 70, 80
USER_CANCELED, NO_RENEGOTIATION = 90, 100
ANSWER = response(b"ok")
LAYERS = ("user", "openssl")


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    """A port for each record layer, and the backend behind them."""
    backend = Backend()
    config = site(1, backend.port, [pki.leaf("a.test"), pki.leaf("a.test", kind="rsa")])
    listener = config["listeners"].pop("web")
    config["tls"] = {layer: {"records": layer} for layer in LAYERS}
    ports = {layer: free_port() for layer in LAYERS}
    for layer, port in ports.items():
        config["listeners"][layer] = {**listener, "address": f"127.0.0.1:{port}", "tls": layer,
                                      "timeouts": {"idle": "1h"}} # a storm in an emulated kernel takes more than a minute
    echo = RawServer()
    config["upstreams"]["echo"] = {"servers": [f"127.0.0.1:{echo.port}"]}
    relays = {layer: free_port() for layer in LAYERS}
    for layer, port in relays.items():
        config["listeners"][f"{layer}_tcp"] = {**listener, "address": f"127.0.0.1:{port}", "tls": layer, "protocol": "tcp", "to": "echo"}
    with Unlade(tmp_path_factory.mktemp("records"), config) as proxy:
        proxy.ports, proxy.relays, proxy.backend = ports, relays, backend
        yield proxy
    backend.stop()
    echo.stop()


@pytest.fixture(params=LAYERS)
def layer(request):
    return request.param


@pytest.fixture
def speak(faces, layer, tmp_path):
    """speak(version, ...) is a client of the layer; the proxy is judged when the test ends."""
    faces.backend.reset_script()
    clients = []

    def one(version="1.3", relayed=False, **options):
        clients.append(RecordClient((faces.relays if relayed else faces.ports)[layer], tmp_path, version, **options))
        return clients[-1]

    yield one
    for c in clients:
        c.close()
    assert faces.process.poll() is None, faces.stderr
    assert not faces.findings(), faces.stderr
    faces.backend.reset_script()
    with RecordClient(faces.ports[layer], tmp_path) as c:   # and it serves others yet
        expect_served(c)


def expect_served(c, path="/"):
    """Two requests: keys and numbers are in step on both sides, and stay so."""
    for _ in range(2):
        c.send(c.seal(get(path)))
        assert c.read_content(len(ANSWER)) == ANSWER


def expect_alert(c, layer, user, openssl=None):
    """The connection ends with this fatal alert, of which OpenSSL may have another view."""
    alert = c.read_alert()
    wanted = openssl if layer == "openssl" and openssl is not None else (user,)
    assert alert in [(FATAL, w) for w in wanted], alert
    assert c.read_record() is None
    assert c.is_ended()


# ---- what is legal, if odd ----

SUITES = [("1.3", None, "TLS_AES"), ("1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "AES128"), ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "AES256"),
          ("1.2", "ECDHE-RSA-AES128-GCM-SHA256", "AES128"), ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "CHACHA20")]


@pytest.mark.parametrize("version,ciphers,name", SUITES)
def test_requests_and_answers_in_records_of_any_size(speak, version, ciphers, name):
    c = speak(version, ciphers=ciphers)
    assert name in c.suite
    expect_served(c)
    c.send(*(c.seal(bytes([byte])) for byte in get()))
    assert c.read_content(len(ANSWER)) == ANSWER
    c.send(c.seal(get()), c.seal(get()), c.seal(get()))
    assert c.read_content(3 * len(ANSWER)) == 3 * ANSWER


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_records_that_come_byte_by_byte(speak, version):
    c = speak(version)
    record = c.seal(get())
    for i in range(len(record)):
        c.send(record[i:i + 1])
    assert c.read_content(len(ANSWER)) == ANSWER


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_record_of_the_greatest_size_is_taken(speak, faces, version):
    c = speak(version)
    c.send(c.seal(get(method="POST", fields=["Content-Length: 65536"])), *(c.seal(bytes([i]) * PLAIN_MOST) for i in range(4)))
    assert c.read_content(len(ANSWER)) == ANSWER
    assert faces.backend.exchanges[-1].body == b"".join(bytes([i]) * PLAIN_MOST for i in range(4))


def test_padding_is_no_content(speak, faces):
    """RFC 8446 5.4; up to the greatest size of all that is inside."""
    c = speak()
    request = get(method="POST", fields=["Content-Length: 3"])
    c.send(c.seal(request, padding=PLAIN_MOST - len(request)), c.seal(b"a", padding=PLAIN_MOST - 1), c.seal(b"bc", padding=1))
    assert c.read_content(len(ANSWER)) == ANSWER
    assert faces.backend.exchanges[-1].body == b"abc"
    expect_served(c)


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_some_empty_records_are_no_end_and_no_content(speak, version):
    c = speak(version)
    c.send(*(c.seal(b"") for _ in range(10)))
    expect_served(c)
    request = get()
    for byte in request:
        c.send(c.seal(b""), c.seal(bytes([byte])))
    assert c.read_content(len(ANSWER)) == ANSWER


def test_content_behind_padding_of_empty_records_is_found(speak):
    c = speak()
    c.send(*(c.seal(b"", padding=1000) for _ in range(10)), c.seal(get()))
    assert c.read_content(len(ANSWER)) == ANSWER


def test_user_canceled_alone_ends_nothing(speak):
    """RFC 8446 6.1: close_notify follows it."""
    c = speak()
    c.send(c.seal(bytes([WARNING, USER_CANCELED]), ALERT), c.seal(get()))
    assert c.read_content(len(ANSWER)) == ANSWER


# ---- KeyUpdate ----

def test_a_key_update_is_followed(speak):
    c = speak()
    for _ in range(5):
        c.send(c.seal(key_update(), HANDSHAKE))
        c.write.update()
        expect_served(c)


def test_a_key_update_that_asks_for_ours_is_answered_once(speak):
    c = speak()
    expect_served(c)
    c.send(c.seal(key_update(1), HANDSHAKE))
    c.write.update()
    c.send(c.seal(get()))
    updates = []
    while len(c.collected) < len(ANSWER):
        kind, content = c.read_record()
        updates += [content] if kind == HANDSHAKE and content[0] == KEY_UPDATE else []
        c.collected += content if kind == APPLICATION_DATA else b""
    assert updates == [key_update(0)] and c.read_content(len(ANSWER)) == ANSWER
    expect_served(c)


def test_the_answer_to_a_request_for_our_update_does_not_wait_for_content(speak, layer):
    """But with OpenSSL, which says it before the next content: RFC 8446 4.6.3 asks for no more."""
    c = speak()
    c.send(c.seal(key_update(1), HANDSHAKE))
    c.write.update()
    if layer == "openssl":
        expect_served(c)
        return
    while (record := c.read_record())[0] != HANDSHAKE or record[1][0] != KEY_UPDATE:
        pass
    expect_served(c)


def test_many_requests_for_our_update_at_once_are_answered_once(speak, layer):
    """RFC 8446 4.6.3: while one is on its way, others need no answer."""
    c = speak()
    expect_served(c)
    many = []
    for _ in range(10):
        many.append(c.seal(key_update(1), HANDSHAKE))
        c.write.update()
    c.send(*many, c.seal(get()))
    updates = 0
    while len(c.collected) < len(ANSWER):
        kind, content = c.read_record()
        updates += kind == HANDSHAKE and content[0] == KEY_UPDATE
        c.collected += content if kind == APPLICATION_DATA else b""
    assert updates == 1 or layer == "openssl" and updates <= 10
    assert c.read_content(len(ANSWER)) == ANSWER
    expect_served(c)


def test_a_key_update_in_pieces_is_one(speak):
    c = speak()
    c.send(*(c.seal(bytes([byte]), HANDSHAKE) for byte in key_update()))
    c.write.update()
    expect_served(c)


def test_key_updates_within_a_stream_both_ways(speak, faces):
    size = 400_000
    faces.backend.answer = lambda x: (x.read_body(), x.send(response(b"y" * size)))
    c = speak()
    c.send(c.seal(get(method="POST", fields=[f"Content-Length: {size}"])))
    for i in range(0, size, 10_000):
        c.send(c.seal(b"x" * 10_000), c.seal(key_update(i // 10_000 % 2), HANDSHAKE))
        c.write.update()
    whole = response(b"y" * size)
    assert c.read_content(len(whole)) == whole
    assert faces.backend.exchanges[-1].body == b"x" * size


def test_content_between_the_pieces_of_a_key_update_is_refused(speak, layer):
    c = speak()
    c.send(c.seal(key_update()[:3], HANDSHAKE), c.seal(get()))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("behind", [b"\0", key_update(), key_update()[:2]])
def test_bytes_behind_a_key_update_in_its_record_are_refused(speak, layer, behind):
    """RFC 8446 5.1: they would be under the key before."""
    c = speak()
    c.send(c.seal(key_update() + behind, HANDSHAKE))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("message,alert,openssl", [
    (bytes([KEY_UPDATE, 0, 0, 1, 2]), ILLEGAL_PARAMETER, None),
    (bytes([KEY_UPDATE, 0, 0, 1, 255]), ILLEGAL_PARAMETER, None),
    (bytes([KEY_UPDATE, 0, 0, 0]), DECODE_ERROR, None),
    (bytes([KEY_UPDATE, 0, 0, 2, 0, 0]), DECODE_ERROR, (DECODE_ERROR, ILLEGAL_PARAMETER)),
    (bytes([KEY_UPDATE, 1, 0, 0]), DECODE_ERROR, (ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE)),
])
def test_a_malformed_key_update_is_refused(speak, layer, message, alert, openssl):
    c = speak()
    c.send(c.seal(message, HANDSHAKE))
    expect_alert(c, layer, alert, openssl)


def test_records_under_the_key_before_an_update_are_refused(speak, layer):
    c = speak()
    c.send(c.seal(key_update(), HANDSHAKE), c.seal(get()))
    expect_alert(c, layer, BAD_RECORD_MAC)


@pytest.mark.parametrize("request_ours", [0, 1])
def test_a_storm_of_key_updates_is_refused(speak, layer, request_ours):
    """OpenSSL alone knows no limit of them; bytes without content are limited there."""
    c = speak()
    c.may_be_cut = layer == "openssl"  # its answers stand in the way of the alert
    for _ in range(400):
        storm = []
        for _ in range(50):
            storm.append(c.seal(key_update(request_ours), HANDSHAKE))
            c.write.update()
        c.send(*storm)
    alert = c.read_alert()
    assert alert in ([(FATAL, UNEXPECTED_MESSAGE), (FATAL, INTERNAL_ERROR)] if layer == "user" else [None, (FATAL, UNEXPECTED_MESSAGE)]), alert
    assert c.is_ended()


def test_a_storm_of_key_updates_with_content_between_them_is_refused(speak, layer):
    """64 a second are made up for by time, behind the first thousand. OpenSSL knows no limit of them."""
    c = speak()
    count = 6000
    c.send(c.seal(get(method="POST", fields=[f"Content-Length: {count}"])))
    for _ in range(count // 50):
        storm = []
        for _ in range(50):
            storm += [c.seal(b"x"), c.seal(key_update(), HANDSHAKE)]
            c.write.update()
        c.send(*storm)
    if layer == "user":
        expect_alert(c, layer, UNEXPECTED_MESSAGE)
    else:
        assert c.read_content(len(ANSWER)) == ANSWER


def test_updates_that_are_asked_for_while_nothing_is_read_are_answered_within_the_stream(speak, faces):
    whole = response(b"y" * 8_000_000)
    faces.backend.answer = lambda x: x.send(whole)
    c = speak()
    c.send(c.seal(get()))
    until(lambda: faces.backend.exchanges, "the request")
    for _ in range(20):
        c.send(c.seal(key_update(1), HANDSHAKE))
        c.write.update()
    assert c.read_content(len(whole)) == whole
    faces.backend.reset_script()
    expect_served(c)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_any_cut_of_records_and_segments_is_the_same_content(speak, faces, version, seed):
    r = random.Random(seed)
    size = 600_000
    body = r.randbytes(size)
    faces.backend.answer = lambda x: x.send(response(x.read_body()))
    c = speak(version)
    plain, wire = get(method="POST", fields=[f"Content-Length: {size}"]) + body, []
    while plain:
        n = r.choice((1, r.randint(1, 100), r.randint(1, PLAIN_MOST), PLAIN_MOST))
        piece, plain = plain[:n], plain[n:]
        padding = r.choice((0, 0, min(1, PLAIN_MOST - len(piece)), PLAIN_MOST - len(piece))) if version == "1.3" else 0
        wire.append(c.seal(piece, padding=padding))
        if r.random() < .1:
            wire.append(c.seal(b""))
        if r.random() < .1 and version == "1.3":
            wire.append(c.seal(key_update(r.randint(0, 1)), HANDSHAKE))
            c.write.update()
    wire = b"".join(wire)

    def send():
        at = 0
        while at < len(wire):
            n = r.choice((1, 5, r.randint(1, 2000), r.randint(1, 60000)))
            c.send(wire[at:at + n])
            at += n

    sender = threading.Thread(target=send)
    sender.start()
    whole = response(body)
    assert c.read_content(len(whole)) == whole
    sender.join()
    assert faces.backend.exchanges[-1].body == body
    faces.backend.reset_script()
    expect_served(c)


def test_key_updates_between_the_streams_of_http2(speak, faces):
    whole = b"y" * 100_000
    faces.backend.answer = lambda x: (x.read_body(), x.send(response(whole + x.body)))
    c = speak(alpn=("h2",))
    assert c.alpn == "h2"
    h2 = H2(c)
    h2.send(PREFACE + settings([]))
    numbers = []
    for i in range(20):
        numbers.append(h2.open(f"/{i}", end=False, method="POST"))
        c.send(c.seal(key_update(i % 2), HANDSHAKE))
        c.write.update()
        h2.data(numbers[-1], b"x" * i, 1)
    for i, number in enumerate(numbers):
        assert bytes(h2.response(number).body) == whole + b"x" * i


# ---- relayed connections ----

@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("fin", [False, True])
def test_a_relayed_stream_ends_in_each_direction_by_itself(speak, version, fin):
    c = speak(version, relayed=True, alpn=())
    data = random.Random(1).randbytes(500_000)
    sender = threading.Thread(target=lambda: (c.send(c.seal_all(data), c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT)),
                                              c.socket.shutdown(socket.SHUT_WR) if fin else None))
    sender.start()
    assert c.read_content(len(data)) == data
    sender.join()
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)   # the server's end, which followed ours
    assert c.is_ended()


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_relayed_stream_that_is_cut_off_is_no_end(speak, version):
    """The server must not take what came for the whole: it is reset, and so nothing of it ends in order here."""
    c = speak(version, relayed=True, alpn=())
    c.send(c.seal(b"hello"))
    assert c.read_content(5) == b"hello"
    c.send(c.seal(b"more")[:-3])
    c.socket.shutdown(socket.SHUT_WR)
    assert c.read_alert() is None
    assert c.is_ended()


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_fault_in_a_relayed_stream_is_told(speak, layer, version):
    c = speak(version, relayed=True, alpn=())
    c.send(c.seal(b"hello"))
    assert c.read_content(5) == b"hello"
    c.send(c.seal(b"more", break_tag=True))
    expect_alert(c, layer, BAD_RECORD_MAC)


def test_key_updates_both_ways_within_a_relayed_stream(speak):
    c = speak(relayed=True, alpn=())
    data = random.Random(2).randbytes(400_000)

    def send():
        for i in range(0, len(data), 5000):
            c.send(c.seal(data[i:i + 5000]), c.seal(key_update(1), HANDSHAKE))
            c.write.update()

    sender = threading.Thread(target=send)
    sender.start()
    assert c.read_content(len(data)) == data
    sender.join()


# ---- what no record may be ----

@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_bad_tag_is_bad_record_mac(speak, faces, layer, version):
    c = speak(version)
    before = len(faces.backend.exchanges)
    c.send(c.seal(get(), break_tag=True))
    expect_alert(c, layer, BAD_RECORD_MAC)
    assert len(faces.backend.exchanges) == before


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("what", ["repeated", "left out", "swapped"])
def test_a_record_out_of_its_order_is_bad_record_mac(speak, layer, version, what):
    c = speak(version)
    head = get()
    first, second = c.seal(head[:10]), c.seal(head[10:])
    c.send({"repeated": first + first, "left out": second, "swapped": second + first}[what])
    expect_alert(c, layer, BAD_RECORD_MAC)


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_record_too_short_for_its_tag_is_refused(speak, layer, version, size):
    c = speak(version)
    c.send(b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size))
    expect_alert(c, layer, BAD_RECORD_MAC, (BAD_RECORD_MAC, DECODE_ERROR, RECORD_OVERFLOW, UNEXPECTED_MESSAGE))


def test_what_was_sent_before_a_fault_is_answered_or_not_but_never_mixed(speak, faces, layer):
    """The good record in front of a bad one counts: its request reaches the backend once and whole, or not at all."""
    c = speak()
    c.send(c.seal(get("/before")), c.seal(get("/behind"), break_tag=True))
    alert = c.read_alert()
    assert alert == (FATAL, BAD_RECORD_MAC)
    assert c.collected in (b"", ANSWER)
    assert all(x.target != "/behind" for x in faces.backend.exchanges)


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_fault_while_an_answer_is_awaited_is_told(speak, faces, version):
    """The answer may come first, whole; behind the alert there is nothing."""
    answer = threading.Event()
    faces.backend.answer = lambda x: (answer.wait(30), x.send(ANSWER))
    c = speak(version)
    c.send(c.seal(get()))
    until(lambda: faces.backend.exchanges, "the request")
    c.send(c.seal(get(), break_tag=True))
    answer.set()
    assert c.read_alert() == (FATAL, BAD_RECORD_MAC)
    assert c.collected in (b"", ANSWER)
    assert c.is_ended()


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_a_fault_while_an_answer_is_on_its_way_ends_it(speak, faces, version):
    """Told by an alert, unless what is on its way holds that up for too long."""
    whole = response(b"y" * 8_000_000)
    faces.backend.answer = lambda x: x.send(whole)
    c = speak(version)
    c.send(c.seal(get()))
    c.collected = c.read_content(1000)
    c.may_be_cut = True
    c.send(c.seal(get(), break_tag=True))
    assert c.read_alert() in (None, (FATAL, BAD_RECORD_MAC))
    assert len(c.collected) < len(whole)
    assert whole.startswith(c.collected)
    assert c.is_ended()


@pytest.mark.parametrize("version,size", [("1.3", PLAIN_MOST + 257), ("1.3", 65535), ("1.2", PLAIN_MOST + 2049), ("1.2", 65535)])
def test_a_record_that_says_it_is_too_long_is_refused_before_it_has_come(speak, layer, version, size):
    c = speak(version)
    c.send(b"\x17\x03\x03" + size.to_bytes(2, "big"))
    expect_alert(c, layer, RECORD_OVERFLOW)


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_content_over_the_limit_is_record_overflow(speak, layer, version):
    c = speak(version)
    c.send(c.seal(bytes(PLAIN_MOST + 1)))
    expect_alert(c, layer, RECORD_OVERFLOW)


@pytest.mark.parametrize("more", [1, 239])
def test_padding_over_the_limit_is_record_overflow(speak, layer, more):
    """RFC 8446 5.4: the size of a record has its limit with padding, too. OpenSSL takes the content."""
    c = speak()
    c.send(c.seal(get(), padding=PLAIN_MOST + more - len(get())))
    kind, content = next(r for r in c.records() if r[0] != HANDSHAKE)
    refused = (ALERT, bytes([FATAL, RECORD_OVERFLOW]))
    assert (kind, content) in ([refused] if layer == "user" else [refused, (APPLICATION_DATA, ANSWER)])


@pytest.mark.parametrize("version", [b"\3\1", b"\3\4", b"\2\0", b"\0\0"])
def test_the_version_of_a_record_is_ignored_in_tls_1_3(speak, layer, version):
    """RFC 8446 5.1. OpenSSL looks at it."""
    c = speak()
    c.send(c.seal(get(), version=version))
    if layer == "user":
        assert c.read_content(len(ANSWER)) == ANSWER
        expect_served(c)
    else:
        expect_alert(c, layer, None, (PROTOCOL_VERSION, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, DECODE_ERROR))


@pytest.mark.parametrize("version", [b"\3\1", b"\3\4", b"\2\0", b"\0\0"])
def test_another_version_than_was_negotiated_is_refused_in_tls_1_2(speak, layer, version):
    c = speak("1.2")
    c.send(c.seal(get(), version=version))
    expect_alert(c, layer, PROTOCOL_VERSION)


@pytest.mark.parametrize("size", [1, 100, PLAIN_MOST + 1])
def test_a_record_of_padding_alone_is_unexpected_message(speak, layer, size):
    """RFC 8446 5.4."""
    c = speak()
    c.send(c.seal(kind=None, padding=size))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [1, 19, CHANGE_CIPHER_SPEC, 24, 25, 26, 255])
def test_an_unknown_type_inside_is_unexpected_message(speak, layer, kind):
    c = speak()
    c.send(c.seal(b"\1", kind))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [1, 19, 24, 25, 255])
def test_an_unknown_type_is_unexpected_message_in_tls_1_2(speak, layer, kind):
    c = speak("1.2")
    c.send(c.seal(b"\1", kind))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [HANDSHAKE, ALERT])
def test_an_empty_fragment_of_what_is_no_content_is_refused(speak, layer, kind):
    """RFC 8446 5.1, 5.4."""
    c = speak()
    c.send(c.seal(b"", kind))
    expect_alert(c, layer, UNEXPECTED_MESSAGE, (UNEXPECTED_MESSAGE, DECODE_ERROR))


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("padding", [0, 5000])
def test_empty_records_without_end_are_refused(speak, layer, version, padding):
    if version == "1.2" and padding:
        padding = 0   # it has none: the test is the same
    c = speak(version)
    for _ in range(60):
        c.send(*(c.seal(b"", padding=padding) for _ in range(50)))
    alert = c.read_alert()
    assert alert in ([(FATAL, UNEXPECTED_MESSAGE)] if layer == "user" else [None, (FATAL, UNEXPECTED_MESSAGE), (FATAL, BAD_RECORD_MAC)]), alert
    assert c.is_ended()


def test_change_cipher_spec_behind_the_handshake_is_unexpected_message(speak, layer):
    """RFC 8446 5: it may come until the Finished, and no longer."""
    c = speak()
    expect_served(c)
    c.send(b"\x14\x03\x03\x00\x01\x01")
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("record", [b"\x15\x03\x03\x00\x02\x01\x00", b"\x15\x03\x03\x00\x02\x02\x28", b"\x15\x03\x01\x00\x02\x02\x50"])
def test_an_alert_in_clear_says_nothing_behind_the_handshake(speak, faces, layer, record):
    """Whoever is on the path must not be able to end a connection in order."""
    c = speak()
    expect_served(c)
    c.send(record)
    expect_alert(c, layer, UNEXPECTED_MESSAGE, (UNEXPECTED_MESSAGE, BAD_RECORD_MAC, DECODE_ERROR))


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x17\x02\x00\x00\x20", b"\x80\x2e\x01\x03\x03", bytes(5), b"\xff" * 5])
def test_what_is_no_record_ends_the_connection(speak, layer, first):
    c = speak()
    c.send(first + bytes(64))
    alert = c.read_alert()
    assert alert and alert[0] == FATAL and alert[1] in (UNEXPECTED_MESSAGE, PROTOCOL_VERSION, RECORD_OVERFLOW, BAD_RECORD_MAC, DECODE_ERROR), alert
    assert c.is_ended()


@pytest.mark.parametrize("message,name", [(1, "ClientHello"), (4, "NewSessionTicket"), (11, "Certificate"), (13, "CertificateRequest"), (20, "Finished"), (0, "HelloRequest"), (254, "?")])
def test_a_handshake_message_that_is_not_due_is_unexpected_message(speak, layer, message, name):
    c = speak()
    c.send(c.seal(bytes([message, 0, 0, 4]) + bytes(4), HANDSHAKE))
    expect_alert(c, layer, UNEXPECTED_MESSAGE, (UNEXPECTED_MESSAGE, DECODE_ERROR, ILLEGAL_PARAMETER, INTERNAL_ERROR))


# ---- TLS 1.2 ----

def test_renegotiation_is_refused(speak, faces, layer):
    """RFC 5746 4.5, 5246 7.2.2: no_renegotiation; whether the connection goes on is the server's choice."""
    c = speak("1.2")
    expect_served(c)
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\xc0\x2b" + b"\x01\x00"
    before = len(faces.backend.exchanges)
    c.send(c.seal(b"\x01" + len(hello).to_bytes(3, "big") + hello, HANDSHAKE))
    assert c.read_alert() == (WARNING, NO_RENEGOTIATION)
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)   # the warning ends nothing by itself (RFC 5246 7.2.1)
    assert c.is_ended()
    assert len(faces.backend.exchanges) == before


@pytest.mark.parametrize("message", [11, 14, 16, 20])
def test_a_handshake_message_behind_the_handshake_is_refused_in_tls_1_2(speak, layer, message):
    c = speak("1.2")
    c.send(c.seal(bytes([message, 0, 0, 4]) + bytes(4), HANDSHAKE))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


def test_change_cipher_spec_behind_the_handshake_is_refused_in_tls_1_2(speak, layer):
    c = speak("1.2")
    c.send(c.seal(b"\1", CHANGE_CIPHER_SPEC))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


def test_some_warnings_end_nothing_in_tls_1_2(speak):
    c = speak("1.2")
    c.send(*(c.seal(bytes([WARNING, USER_CANCELED]), ALERT) for _ in range(3)), c.seal(get()))
    assert c.read_content(len(ANSWER)) == ANSWER


def test_warnings_without_end_are_refused(speak, layer):
    c = speak("1.2")
    for _ in range(20):
        c.send(*(c.seal(bytes([WARNING, USER_CANCELED]), ALERT) for _ in range(50)))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


def test_warnings_without_end_are_refused_in_tls_1_3(speak, layer):
    c = speak()
    for _ in range(20):
        c.send(*(c.seal(bytes([WARNING, USER_CANCELED]), ALERT) for _ in range(50)))
    expect_alert(c, layer, UNEXPECTED_MESSAGE)


# ---- ends ----

@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("description", [BAD_RECORD_MAC, HANDSHAKE_FAILURE, INTERNAL_ERROR, 255])
def test_a_fatal_alert_is_not_answered(speak, version, description):
    c = speak(version)
    expect_served(c)
    c.send(c.seal(bytes([FATAL, description]), ALERT))
    assert c.read_alert() is None
    assert c.is_ended()


def test_in_tls_1_3_every_alert_is_fatal_whatever_its_level_says(speak):
    """RFC 8446 6."""
    c = speak()
    c.send(c.seal(bytes([WARNING, INTERNAL_ERROR]), ALERT), c.seal(get()))
    assert c.read_alert() is None
    assert c.collected == b""


@pytest.mark.parametrize("content", [b"\1", b"\1\0\0", b"\2\x28\2\x28"])
def test_an_alert_of_another_size_is_refused(speak, layer, content):
    """RFC 8446 5.1: alerts are neither cut nor put together."""
    c = speak()
    c.send(c.seal(content, ALERT))
    expect_alert(c, layer, DECODE_ERROR, (DECODE_ERROR, UNEXPECTED_MESSAGE))


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_close_notify_is_answered_with_close_notify(speak, version):
    c = speak(version)
    expect_served(c)
    c.send(c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT))
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)
    assert c.read_record() is None


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_what_comes_behind_close_notify_is_not_looked_at(speak, faces, version):
    c = speak(version)
    expect_served(c)
    before = len(faces.backend.exchanges)
    c.send(c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT), c.seal(get("/behind")), b"no record at all")
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)
    assert c.is_ended()
    assert len(faces.backend.exchanges) == before


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("fin", [False, True])
def test_who_has_said_goodbye_gets_the_whole_answer_all_the_same(speak, faces, version, fin):
    """RFC 8446 6.1: close_notify ends one direction."""
    whole = response(b"y" * 1_000_000)
    faces.backend.answer = lambda x: x.send(whole)
    c = speak(version)
    c.send(c.seal(get()), c.seal(bytes([WARNING, CLOSE_NOTIFY]), ALERT))
    if fin:
        c.socket.shutdown(socket.SHUT_WR)
    assert c.read_content(len(whole)) == whole
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)
    assert c.is_ended()


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("cut", [3, 5, 20, -1])
def test_a_record_that_is_cut_off_by_the_end_is_no_request(speak, faces, version, cut):
    c = speak(version)
    expect_served(c)
    before = len(faces.backend.exchanges)
    c.send(c.seal(get("/cut"))[:cut])
    c.socket.shutdown(socket.SHUT_WR)
    alert = c.read_alert()
    assert alert in (None, (WARNING, CLOSE_NOTIFY)), alert
    assert c.collected == b""
    assert c.is_ended()
    assert len(faces.backend.exchanges) == before


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_content_that_ends_without_goodbye_is_cut_off(speak, faces, version):
    """A body is not whole because the connection ended."""
    c = speak(version)
    c.send(c.seal(get(method="POST", fields=["Content-Length: 10"])), c.seal(b"12345"))
    until(lambda: faces.backend.exchanges, "the request")
    c.socket.shutdown(socket.SHUT_WR)
    assert c.read_alert() in (None, (WARNING, CLOSE_NOTIFY))
    assert not faces.backend.exchanges[-1].complete.is_set()


def test_an_update_that_was_asked_for_behind_our_goodbye_is_not_sent(speak, faces):
    """Behind our close_notify we send nothing at all."""
    c = speak()
    c.send(c.seal(get(fields=["Connection: close"])))
    assert c.read_content(len(ANSWER) + len("Connection: close\r\n")).startswith(b"HTTP/1.1 200")
    assert c.read_alert() == (WARNING, CLOSE_NOTIFY)
    c.send(c.seal(key_update(1), HANDSHAKE))
    assert c.read_record() is None
