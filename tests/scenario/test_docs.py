"""What the documents say works as it stands there."""
import glob
import os
import re
import subprocess

import pytest
import yaml

from support.backend import Backend
from support.client import get, tls_client
from support.documents import blocks, configurations, put_files_in_place
from support.ports import free_port
from support.unlade import ROOT, Unlade, binary, command, environment
from support.waiting import until

DOCUMENTS = sorted(os.path.relpath(f, ROOT) for f in [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(ROOT, "docs", "*.md"))])


CONFIGURATIONS = [pytest.param(text, id=f"{document}:{line}") for document in DOCUMENTS for line, text in configurations(document)]


def test_the_documents_have_configurations():
    assert CONFIGURATIONS


def whole(text):
    """An example as a whole configuration: the rest of it, and files that it names, are added where it leaves them out."""
    config = yaml.safe_load(text)
    config.setdefault("upstreams", {})
    config.setdefault("listeners", {"plain": {"address": "127.0.0.1:18081", "tls": "off", "to": "app"}})
    wanted = set(re.findall(r"\bto: ([a-z_]+)\b(?!:)", yaml.safe_dump(config["listeners"]))) - {"stdout", "syslog", "off"}
    for name in wanted - set(config["upstreams"]) or ({"app"} - set(config["upstreams"]) if not config["upstreams"] else set()):
        config["upstreams"][name] = {"servers": ["127.0.0.1:18082"]}
    return config


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_in_the_documents_passes_check(text, pki, tmp_path):
    config = put_files_in_place(whole(text), str(tmp_path), pki)
    (tmp_path / "unlade.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = command("check", "-c", tmp_path / "unlade.yaml")
    assert done.returncode == 0, done.stderr


def test_the_readme_has_a_configuration_and_it_serves(pki, tmp_path):
    """The five lines, with nothing but ports and paths changed."""
    (_, text), *_ = configurations("README.md")
    assert len(text.strip().splitlines()) <= 9
    port, server = free_port(), Backend()
    config = put_files_in_place(whole(text), str(tmp_path), pki)
    listener = next(iter(config["listeners"].values()))
    listener["address"] = f"127.0.0.1:{port}"
    for upstream in config["upstreams"].values():
        upstream["servers"] = [server.address]
    with Unlade(tmp_path, config), tls_client(port, pki) as c:
        assert c.request(get()).status == 200
    server.stop()


def test_the_two_commands_are_the_first_thing_in_the_readme():
    (_, code), *_ = blocks("README.md")
    assert "./do demo" in code and "./do test" in code
    with open(os.path.join(ROOT, ".ci", "run"), encoding="utf-8") as f:
        assert "./do test" in f.read()


def test_every_curl_command_of_the_documents_works_with_the_demo(tmp_path):
    """As pasted, but for the port and where the demo keeps its authority."""
    lines = [line.strip().lstrip("$ ") for document in DOCUMENTS for _, text in blocks(document) for line in text.splitlines()
             if re.match(r"\s*\$?\s*curl .*localhost:8443", line)]
    port = free_port()
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / ".local" / "share")}
    demo = Unlade(tmp_path, arguments=["demo", "--port", port], env=env)
    with demo:
        until(lambda: "curl" in demo.stdout + demo.stderr, "the demo to be ready")
        for line in lines:
            done = subprocess.run(["sh", "-c", line.replace("8443", str(port))], capture_output=True, text=True, timeout=30, check=False,
                                  env=environment(**env), cwd=tmp_path)
            assert done.returncode == 0 and done.stdout, (line, done.stderr)


def test_the_kept_reference_is_what_the_binary_prints():
    with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as f:
        assert f.read() == command("config", "docs").stdout


def test_the_example_configuration_of_the_package_passes_check(pki, tmp_path):
    with open(os.path.join(ROOT, "packaging", "unlade.yaml"), encoding="utf-8") as f:
        config = put_files_in_place(yaml.safe_load(f), str(tmp_path), pki)
    (tmp_path / "unlade.yaml").write_text(yaml.safe_dump(config))
    done = command("check", "-c", tmp_path / "unlade.yaml")
    assert done.returncode == 0, done.stderr


def test_the_man_page_knows_every_command_and_option():
    with open(os.path.join(ROOT, "docs", "unlade.1"), encoding="utf-8") as f:
        page = f.read().replace("\\-", "-")
    for name in ("run", "serve", "check", "demo", "config"):
        assert re.search(rf"^\.B {name}|^\.TP\n\.B {name}|\\fBunlade {name}", page, re.MULTILINE), name
        for option in re.findall(r"--[a-z]+", command("help", name).stdout):
            assert option in page, f"{option} of {name}"
    done = subprocess.run(["man", "--warnings", "-l", os.path.join(ROOT, "docs", "unlade.1")], capture_output=True, text=True, check=False,
                          env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"}) if os.path.exists("/usr/bin/man") else None
    assert done is None or (done.returncode == 0 and "warning" not in done.stderr), done.stderr
    assert os.access(binary(), os.X_OK)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_documents_lead_somewhere(document):
    with open(os.path.join(ROOT, document), encoding="utf-8") as f:
        text = f.read()
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert os.path.exists(os.path.join(ROOT, os.path.dirname(document), target)), f"{document}: {target}"
