"""What `unlade check` says of a wrong configuration: everything at once, where it stands, and what was meant."""
import os
import re

import pytest
import yaml

from support.pki import DAY
from support.unlade import command, site

GOOD = """\
listeners:
  web:
    address: "127.0.0.1:18443"
    tls: off
    to: app
upstreams:
  app: { servers: ["127.0.0.1:18080"] }
"""


def check(tmp_path, config):
    file = tmp_path / "unlade.yaml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
    done = command("check", "-c", file)
    return done.returncode, done.stdout + done.stderr


def refused(tmp_path, config, *expected):
    status, said = check(tmp_path, config)
    assert status == 1, said
    for pattern in expected:
        assert re.search(pattern, said), f"{pattern!r} is not in:\n{said}"
    return said


def test_a_good_file_is_fine(tmp_path):
    assert check(tmp_path, GOOD)[0] == 0


def test_the_smallest_useful_file_is_under_ten_lines(tmp_path, certificate):
    text = GOOD.replace("tls: off", f"certificates: {certificate.both_file}")
    assert len(text.splitlines()) < 10
    assert check(tmp_path, text)[0] == 0


def test_every_error_is_told_at_once_with_file_line_column_and_caret(tmp_path):
    said = refused(tmp_path, """\
listeners:
  web:
    adress: ":443"
    timeouts: { idle: soon, handshake: 5 }
    limits: { head: 1x, fields: many }
    redirect: maybe
    to: ap
upstreams:
  app: { servers: ["127.0.0.1:99999"], pool: { idle: -1 } }
workers: [1]
colour: blue
""", r'unlade\.yaml:3:5: .*adress', r'did you mean "?address', r"unlade\.yaml:4:23: .*", r"unlade\.yaml:4:40: ", r"unlade\.yaml:5:21: ",
                   r"unlade\.yaml:5:33: ", r"unlade\.yaml:6:15: ", r"unlade\.yaml:7:9: .*ap", r"unlade\.yaml:9:20: ", r"unlade\.yaml:9:54: ",
                   r"unlade\.yaml:10:\d+: .*workers", r"unlade\.yaml:11:1: .*colour")
    assert len(re.findall(r"unlade\.yaml:\d+:\d+: error", said)) >= 11
    lines = said.splitlines()
    at = next(i for i, line in enumerate(lines) if "unlade.yaml:3:5" in line)
    assert 'adress: ":443"' in lines[at + 1] and "^^^^^^" in lines[at + 2]
    assert lines[at + 2].index("^") == lines[at + 1].index("adress")


@pytest.mark.parametrize("text, where", [("listeners: [\n", r"yaml:[12]:\d+"), ("a: b: c\n", r"yaml:1:\d+"), ("listeners:\n\tweb: 1\n", r"yaml:2:\d+"),
                                         ("a: 'open\n", r"yaml:[12]:\d+"), ("listeners: {web: {to: \x01}}\n", r"yaml:1")])
def test_a_syntax_error_is_told_with_its_place(tmp_path, text, where):
    refused(tmp_path, text, where)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]\n", "just text\n", "--- a\n--- b\n", "null\n"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text):
    refused(tmp_path, text, "error|unlade:")


@pytest.mark.parametrize("wrong, meant", [("upstream", "upstreams"), ("listner", "listeners"), ("Workers", "workers"), ("lgo", "log")])
def test_a_misspelt_key_gets_a_suggestion(tmp_path, wrong, meant):
    refused(tmp_path, GOOD + f"{wrong}: 1\n", rf'did you mean "?{meant}"?')


@pytest.mark.parametrize("yes", ["true", "yes", "on"])
@pytest.mark.parametrize("no", ["false", "no", "off"])
def test_booleans_are_written_in_three_ways(tmp_path, yes, no):
    assert check(tmp_path, GOOD + f"tls: {{ default: {{ strict_sni: {yes}, tickets: {no} }} }}\n")[0] == 0


@pytest.mark.parametrize("value", ["maybe", "1", "y", '"yes please"', "[]"])
def test_other_booleans_are_refused(tmp_path, value):
    refused(tmp_path, GOOD + f"tls: {{ default: {{ strict_sni: {value} }} }}\n", r":8:\d+")


@pytest.mark.parametrize("limits", ["request_line: 16k", "head: 40k", "body: 25M", "body: 1G", "head: 9k", "body: off"])
def test_sizes_are_typed(tmp_path, limits):
    assert check(tmp_path, GOOD.replace("    to: app\n", f"    to: app\n    limits: {{ {limits} }}\n"))[0] == 0


@pytest.mark.parametrize("limits", ["head: 16x", "head: -1", "head: 1.5k", "head: 16k b", "body: 99999999999G", "head: 1", "head: 10M"])
def test_wrong_sizes_are_refused(tmp_path, limits):
    refused(tmp_path, GOOD.replace("    to: app\n", f"    to: app\n    limits: {{ {limits} }}\n"), r":6:\d+")


@pytest.mark.parametrize("idle, fine", [("250ms", True), ("5s", True), ("10m", True), ("12h", True), ("30d", True), ("5", False), ("5 s", False),
                                        ("-5s", False), ("5y", False), ("0", False), ("99999999999999d", False)])
def test_durations_are_typed(tmp_path, idle, fine):
    status, said = check(tmp_path, GOOD.replace("    to: app\n", f"    to: app\n    timeouts: {{ idle: {idle} }}\n"))
    assert (status == 0) == fine, said


def test_a_key_twice_is_refused(tmp_path):
    refused(tmp_path, GOOD + "workers: 1\nworkers: 2\n", r":9:\d+.*workers")


def test_aliases_are_refused_or_bounded(tmp_path):
    """The billion laughs do no harm, in a second."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    refused(tmp_path, GOOD + bomb, "alias|anchor|unknown")


def test_deep_nesting_is_refused_softly(tmp_path):
    refused(tmp_path, "listeners: " + "[" * 20000 + "]" * 20000, "yaml")


# ---- what the file says together ----

def test_an_unknown_upstream_is_refused_with_a_suggestion(tmp_path):
    refused(tmp_path, GOOD.replace("to: app", "to: apple"), r":5:9: .*apple", "app")


def test_an_unknown_policy_is_refused(tmp_path, certificate):
    refused(tmp_path, GOOD.replace("tls: off", f"tls: stuff\n    certificates: {certificate.both_file}"), r":4:10: .*stuff")


def test_two_listeners_on_one_address_are_refused(tmp_path):
    refused(tmp_path, GOOD.replace("upstreams:", '  other: { address: "127.0.0.1:18443", tls: off, to: app }\nupstreams:'), r":6:\d+.*18443|18443")


@pytest.mark.parametrize("first, second", [(":18443", "127.0.0.1:18443"), ("0.0.0.0:18443", "127.0.0.1:18443"), ("[::1]:18443", ":18443")])
def test_two_listeners_whose_addresses_overlap_are_told_of(tmp_path, first, second):
    text = GOOD.replace("127.0.0.1:18443", first).replace("upstreams:", f'  other: {{ address: "{second}", tls: off, to: app }}\nupstreams:')
    assert "18443" in check(tmp_path, text)[1]


@pytest.mark.parametrize("routes", ["[{path: /a, to: app}, {path: /a, to: app}]", "[{path: /a, to: app}, {path: /a/, to: app}, {path: /a, to: app}]"])
def test_a_route_that_can_never_match_is_told_of(tmp_path, routes):
    status, said = check(tmp_path, GOOD.replace("    to: app\n", f"    to: app\n    routes: {routes}\n"))
    assert re.search(r":6:\d+: (error|warning)", said), said


def test_a_path_without_a_slash_is_refused(tmp_path):
    refused(tmp_path, GOOD.replace("    to: app\n", "    to: app\n    routes: [{path: api, to: app}]\n"), r":6:\d+")


def test_two_spellings_of_one_host_are_refused(tmp_path):
    refused(tmp_path, GOOD.replace("    to: app\n", "    to: app\n    hosts: { A.test: {to: app}, a.test.: {to: app} }\n"), r":6:\d+")


@pytest.mark.parametrize("host", ["a..test", "*.*.test", "a.*.test", "a test", "http://a.test", "a.test:443", "*"])
def test_a_host_that_cannot_be_is_refused(tmp_path, host):
    refused(tmp_path, GOOD.replace("    to: app\n", f'    to: app\n    hosts: {{ "{host}": {{to: app}} }}\n'), r":6:\d+")


def test_a_listener_that_leads_nowhere_is_refused(tmp_path):
    refused(tmp_path, GOOD.replace("    to: app\n", ""), r":2:3|web")


def test_a_tls_listener_without_certificates_is_refused(tmp_path):
    refused(tmp_path, GOOD.replace("    tls: off\n", ""), "certificate")


def test_a_server_name_that_cannot_be_resolved_is_refused(tmp_path):
    refused(tmp_path, GOOD.replace("127.0.0.1:18080", "nowhere.invalid:80"), r":7:\d+.*nowhere\.invalid|nowhere\.invalid")


# ---- the files that it names ----

def with_files(certificate_file, key_file):
    config = site(18443, 18080)
    del config["listeners"]["web"]["tls"]
    config["listeners"]["web"]["certificates"] = [{"certificate": str(certificate_file), "key": str(key_file)}]
    return config


def test_a_key_of_another_certificate_is_refused(tmp_path, pki):
    refused(tmp_path, with_files(pki.leaf("a.test").chain_file, pki.leaf("b.test").key_file), r"yaml:\d+:\d+", "does not (belong|match|fit)")


def test_a_missing_file_is_refused_by_name(tmp_path, pki):
    refused(tmp_path, with_files("/nowhere/a.pem", pki.leaf("a.test").key_file), r"yaml:\d+:\d+", "/nowhere/a.pem", "No such file")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path, pki, mode):
    """The group may: keys are often given to a group (root:ssl-cert, 0640). The world may not."""
    leaf = pki.leaf("a.test")
    key = tmp_path / "open.key"
    with open(leaf.key_file, "rb") as f:
        key.write_bytes(f.read())
    os.chmod(key, mode)
    status, said = check(tmp_path, with_files(leaf.chain_file, key))
    if mode & 0o007:
        assert status == 1 and "open.key" in said and re.search("others|readable|mode|chmod", said), said


def test_an_encrypted_key_is_refused_with_a_word_on_why(tmp_path, pki):
    from cryptography.hazmat.primitives import serialization
    leaf, key = pki.leaf("a.test"), tmp_path / "secret.key"
    key.write_bytes(leaf.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.BestAvailableEncryption(b"secret")))
    os.chmod(key, 0o600)
    refused(tmp_path, with_files(leaf.chain_file, key), "encrypted")


def test_a_certificate_that_is_not_pem_is_answered_with_how_to_convert_it(tmp_path, pki):
    from cryptography.hazmat.primitives import serialization
    der = tmp_path / "site.der"
    der.write_bytes(pki.leaf("a.test").certificate.public_bytes(serialization.Encoding.DER))
    config = site(18443, 18080, pki.leaf("a.test"), listener={"certificates": str(der)})
    refused(tmp_path, config, "openssl x509 -inform DER")


@pytest.mark.parametrize("content", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
                         ids=["empty", "text", "damaged"])
def test_a_file_without_a_certificate_is_refused(tmp_path, pki, content):
    file = tmp_path / "bad.pem"
    file.write_text(content)
    refused(tmp_path, with_files(file, pki.leaf("a.test").key_file), "bad.pem")


@pytest.mark.parametrize("which, word", [("expired", "expired"), ("not_yet_valid", "not yet valid|not valid before|not valid yet")])
def test_a_certificate_out_of_its_time_is_a_warning(tmp_path, pki, which, word):
    leaf = getattr(pki, which)("a.test")
    status, said = check(tmp_path, with_files(leaf.chain_file, leaf.key_file))
    assert status == 0 and "warning" in said and re.search(word, said), said


def test_a_certificate_that_is_good_gets_no_warning(tmp_path, pki):
    leaf = pki.leaf("a.test", end=60 * DAY)
    assert "warning" not in check(tmp_path, with_files(leaf.chain_file, leaf.key_file))[1]


@pytest.mark.parametrize("option, value", [("suites_1_2", "ECDHE-NOTHING"), ("suites_1_3", "TLS_NOTHING"), ("groups", "P-257"), ("suites_1_2", "RC4-SHA"),
                                           ("profile", "ancient"), ("min_version", "1.1"), ("min_version", "1.4")])
def test_what_tls_does_not_know_is_refused(tmp_path, certificate, option, value):
    refused(tmp_path, site(18443, 18080, certificate, tls={"default": {option: value}}), value)


def test_run_refuses_what_check_refuses(tmp_path):
    file = tmp_path / "unlade.yaml"
    file.write_text(GOOD.replace("to: app", "to: apple"))
    done = command("run", "-c", file)
    assert done.returncode == 1 and "apple" in done.stderr
