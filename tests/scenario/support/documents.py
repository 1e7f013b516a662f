"""The configurations of README.md and docs/, as they stand there and as a test can run them."""
import os
import re
import textwrap

import yaml

from support.ports import free_port
from support.unlade import ROOT


def blocks(document):
    """The code blocks of a document, fenced or indented, with the number of their first line."""
    with open(os.path.join(ROOT, document), encoding="utf-8") as f:
        text = f.read()
    for found in re.finditer(r"^```\w*\n(.*?)^```|(?<=\n\n)((?:    [^\n]*\n|\n(?=    ))+)", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start()) + 1, textwrap.dedent(found.group(1) or found.group(2))


def configurations(document):
    """Those of its blocks that are configuration: they begin with one of its sections."""
    for line, text in blocks(document):
        if re.match(r"(listeners|upstreams|certificates|tls|tickets|log|limits|stop|workers|user):", text):
            yield line, text


def put_files_in_place(config, directory, pki, leaf=None):
    """Paths of certificates, keys and authorities lead to real ones below `directory`; host names resolve."""
    leaf = leaf or pki.leaf("a.test")
    made = {"files": leaf.both_file, "certificate": leaf.chain_file, "key": leaf.key_file, "ca": pki.roots["ec"].chain_file}

    def walk(node, key=None):
        if isinstance(node, dict):
            return {k: walk(v, k) for k, v in node.items()}
        if isinstance(node, list):
            return [walk(v, key) for v in node]
        if key == "certificates":
            return leaf.both_file
        if key == "tls" and node is False:  # the YAML reader of this test took the word for another
            return "off"
        if key in made and isinstance(node, str) and node not in ("required", "optional", "off"):
            return made[key]
        if key in ("servers", "address") and isinstance(node, str):  # no name of an example is looked up
            return re.sub(r"^[a-z][\w.-]*\.[a-z]+(?=:\d+$)", "localhost", node)
        if isinstance(node, str) and node.startswith("/var/"):
            return os.path.join(directory, os.path.basename(node))
        return node
    return walk(config)


def pasted(document, number, pki, directory, *names, **servers):
    """Configuration `number` of docs/DOCUMENT with nothing but ports, paths and servers changed, and the ports by listener.
    names: of the certificate; servers: addresses by upstream. Where it shows upstreams alone, a listener `web` is added."""
    text = [text for _, text in configurations(os.path.join("docs", document))][number]
    config = {"listeners": {"web": {"address": ":443", "certificates": "*.pem", "to": "app"}}, **yaml.safe_load(text)}
    config = put_files_in_place(config, str(directory), pki, pki.leaf(*names, "a.test", "localhost", "127.0.0.1"))
    ports = {}
    for name, listener in config["listeners"].items():
        if isinstance(listener["address"], str):
            ports[name] = free_port()
            listener["address"] = f"127.0.0.1:{ports[name]}"
    assert set(servers) == set(config["upstreams"])
    for name, addresses in servers.items():
        config["upstreams"][name]["servers"] = addresses
    return {"workers": 1, **config}, ports
