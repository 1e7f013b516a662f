"""The server side of the compatibility matrix: one Unlade with a port for each suite, so that clients come as they are.

A *cell* is a version and a suite; the port of a cell speaks nothing else, so no client need be told what to offer. A
*job* is what a client does at one port: it downloads BODY from /down/ID and uploads it to /up/ID. What was negotiated
is read from the access log by the ID in the path, not from what the client believes."""
import hashlib
import json
import threading
from dataclasses import dataclass

from support.backend import Backend, response
from support.ports import free_port
from support.unlade import Unlade, certificate_entry
from support.waiting import LONG, until

# One MiB, 64 full records, each of them different. Lines of digits: command line clients see no command in them.
BODY = b"".join(b"%07d\n" % i for i in range(1 << 17))
DIGEST = hashlib.sha256(BODY).hexdigest()


@dataclass(frozen=True)
class Cell:
    key: str
    version: str        # as the access log says it
    cipher: str         # IANA's name, as the access log says it
    title: str          # of its column
    kind: str           # of the certificate
    suite: str = ""     # OpenSSL's name, where it differs
    profile: str = "intermediate"
    group: str = ""     # where there is one only

    def policy(self):
        number = self.version.removeprefix("TLSv")
        return {"profile": self.profile, "min_version": number, "max_version": number,
                f"suites_{number.replace('.', '_')}": self.suite or self.cipher, **({"groups": self.group} if self.group else {})}


def _tls_1_2(kind, cipher, title, suite, profile="intermediate"):
    key = "12-" + kind + "-" + title.lower().replace("-gcm", "").replace("-poly1305", "")
    name = {"ec": "ECDSA", "rsa": "RSA"}[kind]
    return Cell(key, "TLSv1.2", f"TLS_ECDHE_{name}_WITH_{cipher}", f"{title}, {name}", kind, f"ECDHE-{name}-{suite}", profile)


CELLS_1_3 = [
    Cell("13-aes-128", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "AES-128-GCM, ECDSA", "ec"),
    Cell("13-aes-256", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "AES-256-GCM, RSA", "rsa"),
    Cell("13-chacha20", "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "ChaCha20-Poly1305, ECDSA", "ec"),
    # Clients that guessed another group are asked for this one by a HelloRetryRequest.
    Cell("13-p-384", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "AES-128-GCM, ECDSA, P-384 alone", "ec", group="P-384"),
]
CELLS_1_2 = [
    *(_tls_1_2(kind, cipher, title, suite) for kind in ("ec", "rsa") for cipher, title, suite in (
        ("AES_128_GCM_SHA256", "AES-128-GCM", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES-256-GCM", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "ChaCha20-Poly1305", "CHACHA20-POLY1305"))),
    _tls_1_2("rsa", "AES_128_CBC_SHA", "AES-128-CBC", "AES128-SHA", "old"),
]
CELLS = CELLS_1_3 + CELLS_1_2


@dataclass(frozen=True)
class Job:
    """how: h1 (two connections, the second offers the session of the first), keyupdate (the same, with KeyUpdates from
    the client) or h2 (one connection)."""
    id: str
    port: int
    how: str = "h1"


class Stand:
    """The one Unlade, and the server behind it. A browser gets its page (`pages`, by path) from `home`. records: who
    protects them, as in TLS policies."""

    def __init__(self, directory, pki, records="auto"):
        self.backend = Backend()
        self.backend.answer = self._answer
        self.uploads, self.pages, self.reports, self._uploaded = {}, {}, {}, {}
        self.ports = {cell.key: free_port() for cell in CELLS}
        self.home = free_port()
        leaves = {kind: pki.leaf("localhost", "127.0.0.1", kind=kind) for kind in ("ec", "rsa")}
        listeners = {"home": {"address": f"127.0.0.1:{self.home}", "to": "app", "certificates": [certificate_entry(leaves["ec"])]}}
        policies = {}
        for cell in CELLS:
            policies[cell.key] = {**cell.policy(), "records": records}
            listeners[cell.key] = {"address": f"127.0.0.1:{self.ports[cell.key]}", "to": "app", "tls": cell.key,
                                   "certificates": [certificate_entry(leaves[cell.kind])]}
        self.proxy = Unlade(directory, {"workers": 1, "listeners": listeners, "tls": policies,
                                        "upstreams": {"app": {"servers": [self.backend.address]}}})
        self._records, self._lines_read = {}, 0

    def _answer(self, exchange):
        kind, _, name = exchange.target.lstrip("/").partition("/")
        anywhere = ["Access-Control-Allow-Origin: *"]  # a browser's page is of another port
        if kind == "down":
            exchange.send(response(BODY, fields=anywhere))
        elif kind == "up":
            digest = hashlib.sha256(exchange.read_body()).hexdigest()
            self.uploads[name] = digest
            self._arrived(name).set()
            exchange.send(response(digest.encode(), fields=anywhere))
        elif kind == "hold":
            self._arrived(name).wait(LONG)
            exchange.send(response(fields=anywhere))
        elif kind == "report":
            self.reports[name] = exchange.read_body().decode()
            exchange.send(response(fields=anywhere))
        elif exchange.target in self.pages:
            exchange.send(response(self.pages[exchange.target], fields=["Content-Type: text/html"]))
        else:
            exchange.read_body()
            exchange.send(response(status="404 Not Found"))

    def _arrived(self, name):
        with self.backend.lock:
            return self._uploaded.setdefault(name, threading.Event())

    def records(self, job, least=0):
        """What the access log says of a job, once it has so many lines."""
        def read():
            lines = self.proxy.access_lines()
            for line in lines[self._lines_read:]:
                record = json.loads(line)
                self._records.setdefault(record.get("path", "").rpartition("/")[2], []).append(record)
            self._lines_read = len(lines)
            return len(self._records.get(job.id, ())) >= least
        until(read, f"{least} lines of {job.id} in the access log, which has {self._records.get(job.id)}")
        return self._records.get(job.id, [])

    def __enter__(self):
        self.proxy.start()
        return self

    def __exit__(self, *error):
        self.proxy.__exit__(*error)
        self.backend.stop()
