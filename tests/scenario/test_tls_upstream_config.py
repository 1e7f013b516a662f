"""What `unlade check` says of TLS to the servers: file, line, and what to do."""
import os
import re

import pytest

from support.pki import DAY
from support.unlade import command
from test_config_errors import check, refused


def with_tls(tls):
    """`tls` is line 9: a value, or lines that follow it, one for each option."""
    head = ("listeners:\n  web:\n    address: \"127.0.0.1:18443\"\n    tls: off\n    to: app\n"
            "upstreams:\n  app:\n    servers: [\"127.0.0.1:8443\"]\n    tls:")
    return head + (f" {tls}\n" if isinstance(tls, str) else "\n" + "".join(f"      {line}\n" for line in tls))


def test_defaults_are_sound(tmp_path, pki):
    for tls in ("on", "{ }", f"{{ ca: {pki.ca_file} }}"):
        status, said = check(tmp_path, with_tls(tls))
        assert status == 0 and "warning" not in said, said


@pytest.mark.parametrize("lines, line, words", [
    (["ca: missing.pem"], 10, r"missing\.pem cannot be read: No such file"),
    (["ca: empty.pem"], 10, r"empty\.pem: it holds no certificate in PEM form: no server could be verified"),
    (["ca: damaged.pem"], 10, r"damaged\.pem: a certificate in it is damaged"),
    (["ca: ca.pem", "certificate: missing.pem"], 11, r"missing\.pem cannot be read"),
    (["ca: ca.pem", "certificate: ours.crt"], 11, r"there is no private key|holds no private key"),
    (["ca: ca.pem", "certificate: ours.crt", "key: other.key"], 11, r"the key does not belong to the certificate"),
    (["ca: ca.pem", "certificate: ours.crt", "key: open.key"], 12, r"private key that others may use.*chmod 600"),
    (["ca: ca.pem", "key: ours.key"], 11, r"a key alone is of no use: write `certificate: FILE` too"),
    (["ca: ca.pem", "name: \"*.internal\""], 11, r"`name` must be a DNS name or an IP address"),
    (["ca: ca.pem", "name: \"a b\""], 11, r"`name` must be a DNS name or an IP address"),
    (["ca: ca.pem", "sni: \"a b\""], 11, r"`sni` must be a DNS name"),
    (["ca: ca.pem", "sni: 10.0.0.1"], 11, r"`sni` must be a DNS name"),
    (["ca: ca.pem", "min_version: \"1.3\"", "max_version: \"1.2\""], None, r"no version is left"),
    (["ca: ca.pem", "suites_1_2: RC4-MD5"], None, r"unknown cipher suite of TLS 1\.2 \"RC4-MD5\""),
    (["ca: ca.pem", "verfy: off"], 11, r"unknown key \"verfy\"(.|\n)*verify"),
    (["ca: ca.pem", "verify: maybe"], 11, r"verify"),
    (["ca: ca.pem", "alpn: [\"\"]"], None, r"an ALPN name has 1 to 255 bytes"),
])
def test_what_cannot_work_is_refused_where_it_stands(tmp_path, pki, lines, line, words):
    ours, other = pki.leaf(client=True, common_name="ours"), pki.leaf(client=True, common_name="other")
    for name, source, mode in [("ca.pem", pki.ca_file, 0o644), ("ours.crt", ours.chain_file, 0o644), ("ours.key", ours.key_file, 0o600),
                               ("other.key", other.key_file, 0o600), ("open.key", ours.key_file, 0o644)]:
        with open(source, "rb") as f:
            (tmp_path / name).write_bytes(f.read())
        os.chmod(tmp_path / name, mode)
    (tmp_path / "empty.pem").write_text("# nothing yet\n")
    (tmp_path / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n")
    refused(tmp_path, with_tls(lines), rf"unlade\.yaml:{line}:\d+: error: (.*\n)*?.*{words}" if line else words)


def test_a_unix_socket_needs_a_name(tmp_path, pki):
    said = refused(tmp_path, with_tls([f"ca: {pki.ca_file}"]).replace("127.0.0.1:8443", "unix:/run/app.sock"), r"a Unix socket has no name")
    assert "`tls: { name: NAME }`" in said
    assert check(tmp_path, with_tls([f"ca: {pki.ca_file}", "name: app.internal"]).replace("127.0.0.1:8443", "unix:/run/app.sock"))[0] == 0


def test_what_holds_for_all_servers_is_told_once(tmp_path, pki):
    said = refused(tmp_path, with_tls([f"ca: {pki.ca_file}", "name: \"a b\"", "sni: 10.0.0.1"])
                   .replace('["127.0.0.1:8443"]', '["127.0.0.1:8443", "127.0.0.1:8444", "127.0.0.1:8445"]'))
    assert said.count("error:") == 2


def test_verify_off_is_warned_of_once(tmp_path, pki):
    status, said = check(tmp_path, with_tls(["verify: off"]))
    assert status == 0 and said.count("warning:") == 1
    assert "unlade.yaml:10:" in said and "not verified" in said and "ca: FILE" in said
    status, said = check(tmp_path, with_tls(["verify: off", f"ca: {pki.ca_file}"]))
    assert status == 0 and "`ca` is of no use" in said


@pytest.mark.parametrize("end, words", [(-1 * DAY, "expired on"), (3 * DAY, "expires in [23] days"), (90 * DAY, None)])
def test_an_old_certificate_of_our_own_is_warned_of(tmp_path, pki, end, words):
    ours = pki.leaf(client=True, common_name="ours", start=-30 * DAY, end=end)
    status, said = check(tmp_path, with_tls([f"ca: {pki.ca_file}", f"certificate: {ours.both_file}"]))
    assert status == 0
    if words:
        assert "unlade.yaml:11:" in said
        assert re.search(words, said), said
    else:
        assert "warning" not in said


def test_a_certificate_that_is_for_servers_alone_is_warned_of(tmp_path, pki):
    status, said = check(tmp_path, with_tls([f"ca: {pki.ca_file}", f"certificate: {pki.leaf('a.test').both_file}"]))
    assert status == 0 and "unlade.yaml:11:" in said and "is for servers alone" in said


def test_a_system_without_a_store_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    refused(tmp_path, with_tls("on"), r"unlade\.yaml:9:.*system's store of certificates.*nothing\.pem", "install ca-certificates, or write `ca: FILE`")
    assert check(tmp_path, with_tls(["verify: off"]))[0] == 0  # which needs none


def test_the_effective_configuration_shows_the_defaults(tmp_path, pki):
    (tmp_path / "unlade.yaml").write_text(with_tls([f"ca: {pki.ca_file}"]))
    shown = command("config", "show", "-c", tmp_path / "unlade.yaml").stdout
    assert "verify: on" in shown or "verify: yes" in shown or "verify: true" in shown
