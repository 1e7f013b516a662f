"""Which versions, suites and groups of TLS are spoken, as OpenSSL's and GnuTLS's clients and hand-made hellos see it."""
import re
import ssl

import pytest

from support import hello
from support.client import context, get, tls_client
from support.openssl import gnutls_cli, s_client
from support.ports import free_port
from support.unlade import Unlade, command, site
from support.waiting import until

pytestmark = [pytest.mark.tls, pytest.mark.handshakes]

PROTOCOL_VERSION, HANDSHAKE_FAILURE = 70, 40


@pytest.fixture(scope="module")
def faces(tmp_path_factory, pki):
    """Ports of listeners, each with a policy of its own, with an ECDSA and an RSA certificate."""
    policies = {"default": {}, "modern": {"profile": "modern"}, "old": {"profile": "old"}, "aes256": {"prefer_aes_256": True},
                "only12": {"max_version": "1.2"}, "only13": {"min_version": "1.3"},
                "narrow": {"suites_1_3": "TLS_AES_256_GCM_SHA384", "suites_1_2": "ECDHE-RSA-AES256-GCM-SHA384", "groups": "P-256"}}
    certificates = [pki.leaf("a.test"), pki.leaf("a.test", kind="rsa")]
    config = site(1, 1, certificates)
    listener = config["listeners"].pop("web")
    ports = {name: free_port() for name in policies}
    config["tls"] = policies
    for name, port in ports.items():
        config["listeners"][name] = {**listener, "address": f"127.0.0.1:{port}", "tls": name}
    with Unlade(tmp_path_factory.mktemp("faces"), config):
        yield ports


@pytest.mark.parametrize("face", ["default", "modern", "old"])
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_tls_1_0_and_1_1_are_refused_in_every_profile(faces, face, version):
    seen = s_client(faces[face], version, "-cipher", "ALL:@SECLEVEL=0")
    assert not seen.connected and seen.alert == PROTOCOL_VERSION


def test_ssl_3_is_refused(faces):
    answer = hello.ask(faces["old"], hello.message(hello.extensions(versions=()), legacy_version=0x0300, suites=(0x002F,)))
    assert answer in ((2, PROTOCOL_VERSION), (2, HANDSHAKE_FAILURE))


@pytest.mark.parametrize("face, arguments, version", [
    ("default", [], "TLSv1.3"), ("default", ["-tls1_2"], "TLSv1.2"), ("modern", [], "TLSv1.3"), ("modern", ["-tls1_2"], None),
    ("old", ["-tls1_2"], "TLSv1.2"), ("old", [], "TLSv1.3"), ("only12", [], "TLSv1.2"), ("only12", ["-tls1_3"], None),
    ("only13", ["-tls1_2"], None), ("only13", [], "TLSv1.3")])
def test_versions_follow_profile_and_options(faces, face, arguments, version):
    seen = s_client(faces[face], *arguments)
    assert (seen.version or None) == version, seen.text
    if version is None:
        assert seen.alert == PROTOCOL_VERSION


# ---- suites ----

INTERMEDIATE_1_2 = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
                    "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305"}
OLD_1_2 = {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
           "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
           "DHE-RSA-AES128-SHA256", "DHE-RSA-AES256-SHA256", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256",
           "AES256-SHA256", "AES128-SHA", "AES256-SHA"}
NEVER = {"DES-CBC3-SHA", "ECDHE-RSA-DES-CBC3-SHA", "RC4-SHA", "NULL-SHA256", "ADH-AES128-GCM-SHA256", "AECDH-AES128-SHA",
         "PSK-AES128-GCM-SHA256", "SRP-AES-128-CBC-SHA", "CAMELLIA128-SHA", "ARIA128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8", "SEED-SHA"}


def accepted(port, suites):
    """Those of the suites that the server chooses when a client offers each alone."""
    return {s for s in suites if (seen := s_client(port, "-tls1_2", "-cipher", s + ":@SECLEVEL=0")).connected and seen.suite == s}


@pytest.mark.parametrize("face, expected", [("default", INTERMEDIATE_1_2), ("old", INTERMEDIATE_1_2 | OLD_1_2),
                                            ("narrow", {"ECDHE-RSA-AES256-GCM-SHA384"})])
def test_suites_of_tls_1_2_are_those_of_the_profile_and_no_others(faces, face, expected):
    assert accepted(faces[face], INTERMEDIATE_1_2 | OLD_1_2 | NEVER) == expected


@pytest.mark.records
@pytest.mark.parametrize("face, offered, chosen", [
    ("default", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("default", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"),
    ("default", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    ("default", "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("modern", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("aes256", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("narrow", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("narrow", "TLS_AES_128_GCM_SHA256", None)])
def test_suites_of_tls_1_3_follow_the_servers_order_but_for_chacha(faces, face, offered, chosen):
    assert (s_client(faces[face], "-tls1_3", "-ciphersuites", offered).suite or "(NONE)") == (chosen or "(NONE)")


@pytest.mark.records
def test_tls_1_2_prefers_aes_128_and_chacha_where_the_client_does(faces):
    for offered, chosen in (("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                            ("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
                            ("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384")):
        assert s_client(faces["default"], "-tls1_2", "-cipher", offered).suite == chosen


def test_no_common_suite_is_a_handshake_failure(faces):
    assert s_client(faces["default"], "-tls1_2", "-cipher", "AES128-SHA").alert == HANDSHAKE_FAILURE


@pytest.mark.records
@pytest.mark.parametrize("priority, works", [
    ("NORMAL", True), ("NORMAL:-VERS-ALL:+VERS-TLS1.2", True), ("NORMAL:-VERS-ALL:+VERS-TLS1.3", True),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP256R1", True), ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA256", True),
    ("NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT", False), ("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", False)])
def test_gnutls_connects_with_what_is_spoken_and_not_otherwise(faces, pki, priority, works):
    done = gnutls_cli(faces["default"], priority, pki)
    assert (done.returncode == 0 and "Handshake was completed" in done.stdout) == works, done.stdout + done.stderr


# ---- groups ----

def test_x25519_comes_before_p_256(faces):
    answer = hello.ask(faces["default"], hello.message(hello.extensions(groups=(hello.P256, hello.X25519), shares=(hello.X25519,))))
    assert (answer.is_retry, answer.group) == (False, hello.X25519)


def test_a_client_that_guessed_no_usable_group_is_asked_for_one(faces):
    answer = hello.ask(faces["narrow"], hello.message(hello.extensions(groups=(hello.X25519, hello.P256), shares=(hello.X25519,))))
    assert (answer.is_retry, answer.group) == (True, hello.P256)
    assert s_client(faces["narrow"], "-groups", "X25519:P-256").group == "prime256v1"


def test_no_common_group_is_a_handshake_failure(faces):
    answer = hello.ask(faces["narrow"], hello.message(hello.extensions(groups=(hello.X25519,), shares=(hello.X25519,))))
    assert answer == (2, HANDSHAKE_FAILURE)


def test_the_post_quantum_group_comes_first_where_the_library_has_it(faces):
    """A client that knows X25519MLKEM768 but guessed X25519 is asked for the former."""
    version = command("--version").stdout
    has_it = re.search(r"X25519MLKEM768\W+(yes|no)", version)
    assert has_it, f"--version does not say whether X25519MLKEM768 can be had:\n{version}"
    groups = (hello.X25519, hello.X25519MLKEM768)
    answer = hello.ask(faces["default"], hello.message(hello.extensions(groups=groups, shares=(hello.X25519,))))
    if has_it.group(1) == "yes":
        assert (answer.is_retry, answer.group) == (True, hello.X25519MLKEM768)
    else:
        assert (answer.is_retry, answer.group) == (False, hello.X25519)


# ---- ALPN, renegotiation, early data, end ----

@pytest.mark.parametrize("offered, chosen", [("http/1.1", "http/1.1"), ("foo,http/1.1", "http/1.1")])
def test_alpn_chooses_http_1_1(faces, offered, chosen):
    assert s_client(faces["default"], "-alpn", offered).alpn == chosen


def test_alpn_without_a_common_protocol_is_refused(faces):
    """RFC 7301 3.2: the alert no_application_protocol."""
    assert s_client(faces["default"], "-alpn", "foo").alert == 120


def test_a_client_without_alpn_is_served(faces):
    assert s_client(faces["default"]).connected


@pytest.mark.records
def test_renegotiation_is_refused(stack):
    """R at the start of a line makes s_client renegotiate."""
    seen = s_client(stack.port, "-tls1_2", stdin="R\n")
    assert seen.connected
    assert re.search(r"no renegotiation|alert number 100|renegotiation", seen.text.partition("RENEGOTIATING")[2]), seen.text
    assert "verify return" not in seen.text.partition("RENEGOTIATING")[2], "a second handshake took place"


def test_early_data_is_not_offered(faces):
    seen = s_client(faces["default"], "-tls1_3", "-ign_eof", stdin="Q\n")
    assert "Max Early Data: 0" in seen.text or "Max Early Data" not in seen.text


def test_compression_is_never_used(faces):
    assert "Compression: NONE" in s_client(faces["default"], "-tls1_2", "-comp").text


@pytest.mark.records
def test_a_connection_ends_with_close_notify(stack, pki):
    ssl_context = context(pki)
    ssl_context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # by default a cut connection looks like one that ended in order
    with tls_client(stack.port, pki, ssl_context=ssl_context) as c:
        c.socket.suppress_ragged_eofs = False
        assert c.request(get(fields=["Connection: close"])).status == 200
        assert c.socket.recv(1) == b""  # without close_notify this raises
