"""The longest flights that a configuration allows: a chain of nearly 20 KB, 8 KB of authorities' names, over every engine."""
import pytest
from cryptography.hazmat.primitives import serialization

from support.backend import Backend, response
from support.client import get
from support.faces import ENGINES, Faces
from support.tls13 import Client
from support.tls13_hello import AUTHORITIES, Hello, record_size_limit
from support.tls13_keys import ECDSA_P256, X25519

pytestmark = pytest.mark.tls

ANSWER = response(b"ok")
CHAIN_MOST, NAMES_MOST = 20480, 8192


@pytest.fixture(scope="module")
def staff_and_others(tmp_path_factory, pki):
    """The authority that the badges are of, and others with long names, up to what may be named."""
    path = tmp_path_factory.mktemp("authorities") / "authorities.pem"
    authorities, size = [pki.authority("Staff CA")], 0
    while True:
        authority = pki.authority(f"{len(authorities):03}".ljust(64, "x"))
        size += len(authority.certificate.subject.public_bytes()) + 2
        if size + 100 > NAMES_MOST:
            break
        authorities.append(authority)
    path.write_bytes(b"".join(open(a.chain_file, "rb").read() for a in authorities))
    return str(path), authorities


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki, staff_and_others):
    backend = Backend()
    path, authorities = staff_and_others
    above, size = [pki.authority("Link 0")], 1000
    while size < CHAIN_MOST - 600:
        above.append(pki.authority(f"Link {len(above)}", issuer=above[-1]))
        size += len(above[-1].der) + 5
    leaf = pki.leaf("a.test", issuer=above[-1])
    chain = b"".join(c.certificate.public_bytes(serialization.Encoding.PEM) for c in (leaf, *reversed(above)))
    long_chain = tmp_path_factory.mktemp("chain") / "chain.pem"
    long_chain.write_bytes(chain)
    made = Faces(tmp_path_factory.mktemp("longest"), pki, backend, {"required": {"clients": {"certificate": "required"}}})
    for policy in made.proxy.config["tls"].values():
        policy["clients"]["ca"] = path
    for listener in made.proxy.config["listeners"].values():
        listener["certificates"] = [{"certificate": str(long_chain), "key": leaf.key_file}]
    made.proxy.write(made.proxy.config)
    with made:
        yield made
        assert not made.proxy.findings(), made.proxy.stderr
    backend.stop()


@pytest.mark.parametrize("limit", [None, 64])
@pytest.mark.parametrize("shares", [(X25519,), ()], ids=["at once", "retried"])
@pytest.mark.parametrize("who", ENGINES)
def test_the_longest_flight_arrives(faces, who, shares, limit):
    face = faces[who, "required"]
    hello = Hello(shares=shares)
    if limit:
        hello.put(record_size_limit(limit))
    with Client(face.port, hello) as c:
        c.send_hello()
        c.read_flight()
        assert sum(len(x.public_bytes(serialization.Encoding.DER)) for x in c.certificates) > CHAIN_MOST - 2000
        assert len(c.asked[AUTHORITIES]) > NAMES_MOST - 200
        c.finish(face.badge, ECDSA_P256)
        c.send(c.seal(get()))
        assert c.read_content(len(ANSWER)) == ANSWER
