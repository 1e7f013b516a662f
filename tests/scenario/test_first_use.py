"""What a newcomer types first: demo, serve, --version, help, config docs, schema and show; and how each ends."""
import json
import os
import re
import shlex
import signal
import subprocess

import pytest
import yaml

from support.client import get, tls_client
from support.ports import free_port
from support.unlade import Unlade, command, environment, binary
from support.waiting import until

COMMANDS = ("run", "serve", "check", "demo", "config")


def test_version_tells_the_libraries_and_what_they_bring():
    done = command("--version")
    assert done.returncode == 0 and done.stderr == ""
    assert re.search(r"^unlade \d+\.\d+", done.stdout) and re.search(r"OpenSSL 3\.\d+", done.stdout)
    assert re.search(r"eight handshakes at a time .*: (yes|no: \w+)", done.stdout)
    assert "libfyaml" in done.stdout and re.search(r"X25519MLKEM768\W+(yes|no)", done.stdout)


def test_help_lists_every_command():
    done = command("help")
    assert done.returncode == 0 and all(re.search(rf"^  {c}\b", done.stdout, re.MULTILINE) for c in COMMANDS)
    assert command("--help").stdout == done.stdout == command("-h").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_tells_how_it_is_used(name):
    for arguments in (("help", name), (name, "--help")):
        done = command(*arguments)
        assert done.returncode == 0 and done.stdout.startswith(f"usage: unlade {name}") and done.stderr == ""


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["run", "-c"], ["run", "more"], ["serve"], ["serve", "--listen", ":1"],
                                       ["serve", "--listen", "nonsense", "--to", "a:1"], ["serve", "--listen", ":1", "--to", "http://a/"],
                                       ["serve", "--listen", ":1", "--to", "a:1", "--key", "x"], ["config"], ["config", "nonsense"],
                                       ["help", "nonsense"], ["demo", "--port"]])
def test_wrong_usage_ends_with_status_2_and_says_so_on_stderr(arguments):
    done = command(*arguments)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr) > 10


@pytest.mark.parametrize("arguments,meant", [(["chekc"], "check"), (["help", "serv"], "serve"), (["run", "--confg", "x"], "--config")])
def test_a_slip_of_typing_is_answered_with_the_word_that_was_meant(arguments, meant):
    done = command(*arguments)
    assert done.returncode == 2 and f"did you mean {meant}?" in done.stderr


def test_a_configuration_that_is_not_there_ends_with_status_1(tmp_path):
    for name in ("run", "check"):
        done = command(name, "-c", tmp_path / "nothing.yaml")
        assert done.returncode == 1 and "nothing.yaml" in done.stderr and "No such file" in done.stderr


def test_output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([binary(), "config", "docs"], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False)
    assert done.returncode == 1 and done.stderr


# ---- serve ----

def test_serve_without_a_certificate_makes_one_and_says_so(start, port, backend):
    proxy = start(arguments=["serve", "--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{backend.port}"])
    with tls_client(port, name=None) as c:
        assert c.request(get()).status == 200
    assert re.search("self-signed", proxy.stderr)


def test_serve_with_a_certificate_uses_it(start, port, backend, certificate, pki):
    proxy = start(arguments=["serve", "--listen", f":{port}", "--to", backend.address, "--cert", certificate.chain_file, "--key", certificate.key_file])
    for host in ("127.0.0.1", "::1"):
        with tls_client(port, pki, host=host) as c:
            assert c.request(get()).status == 200
    assert "self-signed" not in proxy.stderr


def test_serve_takes_a_key_out_of_the_certificates_file(start, port, backend, certificate, pki):
    start(arguments=["serve", f"--listen=127.0.0.1:{port}", f"--to={backend.address}", f"--cert={certificate.both_file}"])
    with tls_client(port, pki) as c:
        assert c.request(get()).status == 200


@pytest.mark.parametrize("arguments", [["--listen", "nonsense", "--to", "127.0.0.1:1"], ["--listen", ":0x", "--to", "127.0.0.1:1"],
                                       ["--listen", ":18443", "--to", 'a"b: c'], ["--listen", ":18443", "--to", "127.0.0.1:1", "--cert", "/nowhere"]])
def test_serve_refuses_what_makes_no_sense(arguments):
    done = command("serve", *arguments)
    assert done.returncode in (1, 2) and done.stderr


# ---- demo ----

@pytest.fixture
def demo(tmp_path):
    port = free_port()
    home = tmp_path / "home"
    home.mkdir()
    proxy = Unlade(tmp_path, arguments=["demo", "--port", port], env={"HOME": str(home), "XDG_DATA_HOME": str(home / "data")})
    proxy.port, proxy.home = port, home
    with proxy:
        until(lambda: "curl" in proxy.stdout + proxy.stderr, "the demo to say how it is used")
        yield proxy


def test_the_demos_curl_command_works_as_pasted(demo):
    said = demo.stdout + demo.stderr
    assert f"https://localhost:{demo.port}" in said and re.search("Ctrl-C|stop", said, re.IGNORECASE)
    line = re.search(r"(curl .*)$", said, re.MULTILINE).group(1)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False, env=environment(HOME=str(demo.home)))
    assert done.returncode == 0 and done.stdout, (line, done.stderr)
    assert "-k" not in shlex.split(line) and "--insecure" not in line, "the CA is verified"


def test_the_demo_names_its_authoritys_file_and_keeps_it(demo, tmp_path):
    path = re.search(r"The CA: +(\S+)", demo.stdout + demo.stderr).group(1)
    assert os.path.exists(path)
    with open(path, "rb") as f:
        before = f.read()
    demo.stop()
    assert all(os.stat(os.path.join(d, f)).st_mode & 0o077 == 0 for d, _, files in os.walk(demo.home) for f in files if "key" in f)
    (tmp_path / "again").mkdir()
    again = Unlade(tmp_path / "again", arguments=demo.arguments, env=demo.env)
    with again:
        with open(path, "rb") as f:
            assert f.read() == before, "a browser that trusts it trusts it again"


def test_the_demo_ends_with_ctrl_c(demo):
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0


def test_the_demo_ends_when_a_terminal_sends_ctrl_c_to_all(demo):
    """A terminal signals the whole group, the worker and the demo server too."""
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait() == 0


# ---- config ----

def test_the_reference_names_every_option_of_the_schema():
    schema = json.loads(command("config", "schema").stdout)
    docs = command("config", "docs").stdout

    def names(node):
        for name, child in node.get("properties", {}).items():
            yield name
            yield from names(child)
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                yield from names(node[key])
        for key in ("anyOf", "oneOf", "allOf"):
            for child in node.get(key, []):
                yield from names(child)
        for child in node.get("$defs", {}).values():
            yield from names(child)
    found = set(names(schema))
    assert {"listeners", "upstreams", "certificates", "tls", "log", "workers", "profile", "servers"} <= found
    missing = {n for n in found if not re.search(rf"`{n}`", docs)}
    assert missing <= {"endpoint", "network", "value"}, missing  # these stand for their whole struct
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_show_prints_the_effective_configuration_that_check_takes_again(tmp_path, certificate):
    file = tmp_path / "small.yaml"
    file.write_text(f'listeners: {{ web: {{ address: ":18443", certificates: {certificate.both_file}, to: app }} }}\n'
                    'upstreams: { app: { servers: ["127.0.0.1:18080"] } }\n')
    shown = command("config", "show", "-c", file)
    assert shown.returncode == 0
    full = yaml.safe_load(shown.stdout)
    assert full["listeners"]["web"]["timeouts"]["handshake"] == "10s" and full["listeners"]["web"]["limits"]["head"] == "32k"
    assert full["log"]["access"]["format"] == "json"
    (tmp_path / "full.yaml").write_text(shown.stdout)
    assert command("check", "-c", tmp_path / "full.yaml").returncode == 0
    assert command("config", "show", "-c", tmp_path / "full.yaml").stdout == shown.stdout
