"""Which certificate a client gets: by name, by what it can use, by time."""
import os
import shutil

import pytest
from cryptography import x509

from support import hello
from support.client import get, tls_client, connect, context
from support.openssl import s_client
from support.ports import free_port
from support.unlade import certificate_entry, command, site

pytestmark = [pytest.mark.tls, pytest.mark.handshakes]

UNRECOGNIZED_NAME, HANDSHAKE_FAILURE = 112, 40
RSA_ONLY = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"]


def served(port, name, **options):
    """The certificate that a client gets for this name."""
    c = context(verify=False, **options)
    with connect(port) as s, c.wrap_socket(s, server_hostname=name) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


def serve(start, port, certificates, **tls):
    config = site(port, 1, certificates)
    if tls:
        config["tls"] = {"default": tls}
    return start(config)


@pytest.fixture
def by_name(start, port, pki):
    """A listener with certificates for many names; the first is the default."""
    leaves = {"default": pki.leaf("default.test"), "exact": pki.leaf("www.example.test"), "wildcard": pki.leaf("*.example.test"),
              "several": pki.leaf("one.test", "two.test", "*.three.test"), "idn": pki.leaf("xn--bcher-kva.test"),
              "address": pki.leaf("127.0.0.1", "::1")}
    serve(start, port, list(leaves.values()))
    return lambda name: next(k for k, v in leaves.items() if v.serial == served(port, name))


def test_certificates_are_chosen_by_name(by_name):
    expected = {"www.example.test": "exact", "WWW.Example.TEST": "exact", "other.example.test": "wildcard", "example.test": "default",
                "a.b.example.test": "default", "one.test": "several", "two.test": "several", "x.three.test": "several",
                "three.test": "default", "xn--bcher-kva.test": "idn", "XN--BCHER-KVA.test": "idn", "b\u00fccher.test": "idn",
                "unknown.test": "default", "evilwww.example.test": "wildcard", None: "default"}
    assert {name: by_name(name) for name in expected} == expected


def test_a_trailing_dot_in_the_name_does_not_matter(start, port, pki):
    serve(start, port, [pki.leaf("default.test"), pki.leaf("www.example.test")])
    assert s_client(port, name="www.example.test.").subject.endswith("www.example.test")


def test_a_chain_is_sent_with_its_intermediate(start, port, pki):
    intermediate = pki.authority("Scenario intermediate", issuer=pki.roots["ec"])
    leaf = pki.leaf("a.test", issuer=intermediate)
    serve(start, port, leaf)
    with tls_client(port, pki) as c:
        assert c.socket.getpeercert()["issuer"][0][0][1] == "Scenario intermediate"


# ---- by what the client can use ----

@pytest.fixture
def two_kinds(start, port, pki):
    leaves = [pki.leaf("a.test", kind="rsa"), pki.leaf("a.test")]
    serve(start, port, leaves)
    return port


@pytest.mark.parametrize("arguments, kind", [
    ([], "ECDSA"), (["-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "RSA-PSS"), (["-sigalgs", "ECDSA+SHA256:RSA-PSS+SHA256"], "ECDSA"),
    (["-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256"], "ECDSA"), (["-tls1_2"], "ECDSA"), (RSA_ONLY, "RSA"),
    (["-tls1_2", "-sigalgs", "RSA+SHA256"], "RSA")])
def test_ecdsa_is_preferred_and_rsa_given_to_whom_cannot(two_kinds, arguments, kind):
    seen = s_client(two_kinds, *arguments)
    assert seen.connected and (seen.peer_signature == kind or kind == "RSA" and seen.peer_signature in ("RSA", "RSA-PSS")), seen.text


def test_a_name_with_an_rsa_certificate_alone_is_served_to_clients_that_can_use_it(start, port, pki):
    serve(start, port, [pki.leaf("a.test"), pki.leaf("b.test", kind="rsa")])
    assert s_client(port, name="b.test").peer_signature == "RSA-PSS"


def test_a_client_that_can_use_none_gets_handshake_failure(start, port, pki):
    serve(start, port, pki.leaf("a.test"))
    assert s_client(port, *RSA_ONLY).alert == HANDSHAKE_FAILURE
    answer = hello.ask(port, hello.message(hello.extensions(signatures=(0x0804,))))
    assert answer == (2, HANDSHAKE_FAILURE)


def test_ed25519_is_served(start, port, pki):
    leaf = pki.leaf("a.test", kind="ed25519")
    serve(start, port, leaf)
    assert s_client(port).peer_signature .lower() == "ed25519"


def test_the_wildcard_of_the_right_kind_comes_before_the_default(start, port, pki):
    """An exact RSA certificate is no use to a client without RSA; the wildcard's ECDSA one is."""
    exact, wildcard = pki.leaf("www.example.test", kind="rsa"), pki.leaf("*.example.test")
    serve(start, port, [pki.leaf("default.test"), exact, wildcard])
    seen = s_client(port, "-sigalgs", "ECDSA+SHA256", name="www.example.test")
    assert seen.connected and seen.peer_signature == "ECDSA"


# ---- strict names ----

@pytest.mark.parametrize("name", ["unknown.test", "a.a.test", None])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_strict_sni_refuses_an_unmatched_or_missing_name(start, port, pki, name, version):
    serve(start, port, pki.leaf("a.test"), strict_sni=True)
    assert s_client(port, version, name=name).alert == UNRECOGNIZED_NAME
    assert s_client(port, version, name="a.test").connected


# ---- time ----

@pytest.mark.parametrize("other", ["expired", "not_yet_valid"])
@pytest.mark.parametrize("first", [True, False], ids=["listed first", "listed last"])
def test_a_certificate_out_of_its_time_is_never_chosen_while_a_valid_one_matches(start, port, pki, other, first):
    good, bad = pki.leaf("a.test", kind="rsa"), getattr(pki, other)("a.test")
    serve(start, port, [bad, good] if first else [good, bad])
    assert served(port, "a.test") == good.serial


def test_a_valid_wildcard_comes_before_an_expired_exact_one(start, port, pki):
    good = pki.leaf("*.example.test")
    serve(start, port, [pki.leaf("default.test"), pki.expired("www.example.test"), good])
    assert served(port, "www.example.test") == good.serial


def test_an_expired_certificate_is_served_when_there_is_no_other(start, port, pki):
    bad = pki.expired("a.test")
    proxy = serve(start, port, bad)
    assert served(port, "a.test") == bad.serial
    assert "expired" in proxy.stderr


def test_of_two_valid_ones_the_one_that_lives_longer_is_chosen(start, port, pki):
    from support.pki import DAY
    short, long = pki.leaf("a.test", end=5 * DAY), pki.leaf("a.test", end=60 * DAY)
    serve(start, port, [short, long])
    assert served(port, "a.test") == long.serial


# ---- files ----

def test_a_glob_takes_every_file_that_it_finds(start, port, pki, tmp_path):
    leaves = {name: pki.leaf(name) for name in ("one.test", "two.test", "three.test")}
    for name, leaf in leaves.items():
        shutil.copy(leaf.both_file, tmp_path / f"{name}.pem")
        os.chmod(tmp_path / f"{name}.pem", 0o600)
    config = site(port, 1)
    del config["listeners"]["web"]["tls"]
    config["listeners"]["web"]["certificates"] = f"{tmp_path}/*.pem"
    start(config)
    assert all(served(port, name) == leaf.serial for name, leaf in leaves.items())


def test_a_key_may_stand_beside_its_chain(start, port, pki, tmp_path):
    leaf = pki.leaf("a.test")
    shutil.copy(leaf.chain_file, tmp_path / "site.pem")
    shutil.copy(leaf.key_file, tmp_path / "site.key")
    os.chmod(tmp_path / "site.key", 0o600)
    config = site(port, 1)
    del config["listeners"]["web"]["tls"]
    config["listeners"]["web"]["certificates"] = [str(tmp_path / "site.pem")]
    start(config)
    assert served(port, "a.test") == leaf.serial


def test_a_glob_that_finds_nothing_is_refused(port, tmp_path):
    config = site(port, 1)
    del config["listeners"]["web"]["tls"]
    config["listeners"]["web"]["certificates"] = f"{tmp_path}/*.pem"
    (tmp_path / "c.yaml").write_text(__import__("yaml").safe_dump(config))
    assert command("check", "-c", tmp_path / "c.yaml").returncode == 1


def test_a_renewed_certificate_is_served_after_a_reload(start, port, pki, tmp_path):
    old, new = pki.leaf("a.test"), pki.leaf("a.test", again=1)
    file = tmp_path / "site.pem"

    def put(leaf):
        shutil.copy(leaf.both_file, file)
        os.chmod(file, 0o600)
    put(old)
    config = site(port, 1)
    del config["listeners"]["web"]["tls"]
    config["listeners"]["web"]["certificates"] = str(file)
    proxy = start(config)
    assert served(port, "a.test") == old.serial
    put(new)
    assert served(port, "a.test") == old.serial, "nothing is read again before a reload"
    proxy.reload()
    assert served(port, "a.test") == new.serial


def test_hosts_share_the_listeners_certificates(start, port, backend, pki):
    one, two = pki.leaf("one.test"), pki.leaf("two.test")
    start(site(port, backend.port, [one, two], listener={"hosts": {"one.test": {"to": "app"}, "two.test": {"to": "app"}}}))
    assert served(port, "one.test") == one.serial and served(port, "two.test") == two.serial
    with tls_client(port, pki, name="two.test") as c:
        assert c.request(get(host="two.test")).status == 200


def test_each_listener_has_certificates_of_its_own(start, port, pki):
    second = free_port()
    one, two = pki.leaf("a.test"), pki.leaf("a.test", again=2)
    config = site(port, 1, one)
    config["listeners"]["other"] = {"address": f"127.0.0.1:{second}", "certificates": [certificate_entry(two)], "to": "app"}
    start(config)
    assert served(port, "a.test") == one.serial and served(second, "a.test") == two.serial
