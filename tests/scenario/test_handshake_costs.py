"""What a ClientHello may cost: the work for its worst grows with its size and no faster, over every engine.

Compared is the time on the processor that Unlade takes for so many of one kind and so many of another of the same size, which other
load on the machine hardly changes; what must not be grows by factors of a hundred."""
import pytest

from support.faces import ENGINES
from support.processes import cpu_seconds
from support.tls13 import Client
from support.tls13_hello import Hello, alpn, groups, key_share, padding, pre_shared_key

pytestmark = pytest.mark.tls


@pytest.fixture(params=ENGINES)
def face(faces, request):
    return faces[request.param, "plain"]


def cost(faces, face, hello, times):
    """Seconds of the worker's for so many of them."""
    worker = faces.proxy.workers()[0]
    before = cpu_seconds(worker)
    for _ in range(times):
        with Client(face.port, hello) as c:
            c.send_hello()
            c.outcome()
    return cpu_seconds(worker) - before


def full_of(extension, *others):
    hello = Hello()
    for e in (extension, *others):
        hello.put(e)
    return hello


def many_shares():
    others = [g for g in range(0x4000, 0x4000 + 8900)]
    hello = Hello(group_list=(*others, 0x1d))
    x25519 = hello.keys[0x1d].public
    hello.put(key_share(*((g, b"x") for g in others), (0x1d, x25519)))
    return hello


def many_groups():
    return Hello(group_list=(*(0x4000 + i % 0x4000 for i in range(31000)), 0x1d))


def many_names():
    return full_of(alpn(*[b"x"] * 31000, b"http/1.1"))


def many_tickets():
    hello = Hello()
    hello.extensions.append(pre_shared_key([(b"x", 0)] * 1580, [bytes(32)] * 1580))
    return hello


@pytest.mark.parametrize("make", [many_shares, many_groups, many_names, many_tickets])
def test_the_worst_of_clienthellos_costs_little_more_than_one_of_its_size(faces, face, make):
    ordinary = cost(faces, face, full_of(padding(62000)), 40)
    worst = cost(faces, face, make(), 40)
    assert worst < 10 * ordinary + 0.5
