"""Clients of other makers, each over every version and suite that Unlade speaks. docs/compatibility.md comes out of it.

Each cell of the matrix is a real connection. What a client cannot do stands in LIMITS with the reason: "no" was tried
and ended as the reason says, "–" cannot be tried. UNLADE_COMPATIBILITY=write writes the document anew; otherwise the
one in the tree must say what was seen. UNLADE_TEST_RECORDS names the record layer for all of it."""
import os
import re
import socket
import ssl
import threading

import pytest

from support.clients import CLIENTS, GnuTlsCli, Kit, command, download_request, sha256
from support.matrix import BODY, CELLS, CELLS_1_2, CELLS_1_3, DIGEST, Job, Stand
from support.ports import free_port
from support.unlade import ROOT

pytestmark = pytest.mark.tls

DOCUMENT = os.path.join(ROOT, "docs", "compatibility.md")
H2_CELLS = {"13-h2": CELLS_1_3[0], "12-h2": CELLS_1_2[0]}
COLUMNS_1_3 = {**{cell.key: cell.title for cell in CELLS_1_3}, "13-resumed": "resumed", "13-h2": "HTTP/2", "13-keyupdate": "KeyUpdate"}
COLUMNS_1_2 = {**{cell.key: cell.title for cell in CELLS_1_2}, "12-resumed": "resumed", "12-h2": "HTTP/2"}
COLUMNS = {**COLUMNS_1_3, **COLUMNS_1_2, "close": "sees close_notify"}

NO_TLS_1_3 = ("no", "its TLS ends at version 1.2 in this release")
NO_CBC = ("no", "it has no CBC suites, or leaves them out unless told otherwise")
NO_SESSION_ID = ("no", "it switches tickets off and asks for sessions by ID, which Unlade does not keep")
NO_SESSION = ("no", "it keeps no session from one run to the next")
RAW = ("–", "it speaks TLS alone: the test writes the HTTP/1.1 for it")
ONLY_HTTP_1 = ("–", "its HTTP ends at version 1.1")
NO_COMMAND = ("–", "it has no way to be made to send one")
CANNOT_TELL = ("–", "it does not say how a connection ended")
GO_BINDER = ("no", "this release of Go spoils a resumption that needs a HelloRetryRequest, with every server (go.dev/issue/59424); "
                   "full handshakes work")

# What clients cannot do, by name and column: (mark, reason). A name without a column in it can.
LIMITS = {
    "openssl s_client": {"13-h2": RAW, "12-h2": RAW},
    "curl": {"12-resumed": NO_SESSION_ID, "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "Node.js": {"13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "Python ssl": {"13-h2": RAW, "12-h2": RAW, "13-keyupdate": NO_COMMAND},
    "gnutls-cli": {"13-h2": RAW, "12-h2": RAW},
    "libcurl-gnutls": {"13-resumed": NO_SESSION_ID, "12-resumed": NO_SESSION_ID, "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "wget": {"13-resumed": NO_SESSION, "12-resumed": NO_SESSION, "13-h2": ONLY_HTTP_1, "12-h2": ONLY_HTTP_1,
             "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "tstclnt": {"13-h2": RAW, "12-h2": RAW, "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "Chromium": {"13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "Go": {"13-p-384": GO_BINDER, "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "Deno": {"12-rsa-aes-128-cbc": NO_CBC, "13-keyupdate": NO_COMMAND, "close": CANNOT_TELL},
    "botan tls_client": {**{column: NO_TLS_1_3 for column in COLUMNS_1_3}, "12-rsa-aes-128-cbc": NO_CBC, "12-h2": RAW, "close": CANNOT_TELL},
    "wolfSSL": {"13-h2": RAW, "12-h2": RAW},
    "Mbed TLS": {**{column: NO_TLS_1_3 for column in COLUMNS_1_3}, "12-h2": RAW},
}
REFUSED = re.compile(r"handshake.?failure|protocol.?version|fatal alert", re.IGNORECASE)
# Faults of clients that show after the first connection of a job, and how: by name and cell.
FAULTS = {("Go", "13-p-384"): re.compile(r"error decrypting message|illegal parameter")}
BY_NAME = {client.name: client for client in CLIENTS}


def limit(client, column):
    """(mark, reason); the mark is "yes" where there is no limit."""
    return LIMITS.get(client.name, {}).get(column, ("yes", ""))


class Matrix:
    """Runs each client once, when the first of its cells is asked for, and judges what was seen."""

    def __init__(self, stand, kit):
        self.stand, self.kit = stand, kit
        self._seen = {}

    @staticmethod
    def job(client, cell, how):
        return re.sub(r"\W+", "-", client.name) + f".{cell.key}.{how}"

    def jobs(self, client):
        chosen = [(cell, "h1") for cell in CELLS]
        chosen += [(cell, "h2") for cell in H2_CELLS.values()] if client.speaks_h2 else []
        chosen += [(cell, "keyupdate") for cell in CELLS_1_3 if not cell.group] if client.updates_keys else []
        return [Job(self.job(client, cell, how), self.stand.ports[cell.key], how) for cell, how in chosen]

    def seen(self, client, cell, how="h1"):
        if client.name not in self._seen:
            self._seen[client.name] = client.run(self.kit, self.jobs(client))
        name = self.job(client, cell, how)
        return Job(name, self.stand.ports[cell.key], how), self._seen[client.name][name]

    def transferred(self, client, cell, how="h1"):
        """Asserts that a job did what it was to do, over the cell's version and suite; its lines of the access log."""
        job, seen = self.seen(client, cell, how)
        assert "error" not in seen, seen["error"]
        assert seen["down"] == DIGEST, "the download differs"
        assert (seen["up"], self.stand.uploads.get(job.id)) == (DIGEST, DIGEST), "the upload differs"
        records = self.stand.records(job, 2 if how == "h2" else client.requests)
        http = "HTTP/2.0" if how == "h2" else "HTTP/1.1"
        assert {(r["status"], r.get("error"), r["http"], r["tls_version"], r["tls_cipher"]) for r in records} == \
            {(200, None, http, cell.version, cell.cipher)}
        assert not cell.group or {r["tls_group"] for r in records} == {cell.group}
        return records

    def is_refused(self, client, cell):
        """Whether the two have nothing in common: the handshake failed, as TLS says it, and no request came through. Or
        whether the client has a fault that is known."""
        job, seen = self.seen(client, cell)
        if "error" not in seen:
            return False
        if (client.name, cell.key) in FAULTS:
            assert FAULTS[client.name, cell.key].search(seen["error"]), seen["error"]
            assert seen["down"] == DIGEST and re.search(rf"TLS handshake failed: client \S+ listener {cell.key},", self.stand.proxy.stderr)
            return True
        assert REFUSED.search(seen["error"]), seen["error"]
        assert not self.stand.records(job)
        assert re.search(rf"TLS handshake failed: client \S+ listener {re.escape(cell.key)},", self.stand.proxy.stderr)
        return True

    def outcome(self, client, column):
        """yes or no, as seen; what fits neither fails."""
        cell = next((c for c in CELLS if c.key == column), None)
        if cell:
            if self.is_refused(client, cell):
                return "no"
            assert any(not r["tls_resumed"] for r in self.transferred(client, cell)), "no handshake was a full one"
            return "yes"
        if column == "close":
            ends = {self.seen(client, c)[1]["close"] for c in CELLS if not self.is_refused(client, c)}
            assert ends == {"notify"}, ends
            return "yes"
        cells = CELLS_1_3 if column.startswith("13") else CELLS_1_2
        cells = [c for c in cells if not self.is_refused(client, c)]
        if not cells:
            return "no"
        if column.endswith("resumed"):
            resumed = {c.key: any(r["tls_resumed"] for r in self.transferred(client, c)) for c in cells}
            assert len(set(resumed.values())) == 1, f"with some suites only: {resumed}"
            return "yes" if all(resumed.values()) else "no"
        if column == "13-keyupdate":
            for c in (c for c in cells if not c.group):
                self.transferred(client, c, "keyupdate")
                assert self.seen(client, c, "keyupdate")[1]["updates"], "no KeyUpdate was sent"
            return "yes"
        records = self.transferred(client, H2_CELLS[column], "h2")
        assert {r["alpn"] for r in records} == {"h2"}
        return "yes"


LAYER = os.environ.get("UNLADE_TEST_RECORDS", "auto")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory, pki):
    with Stand(tmp_path_factory.mktemp("stand"), pki, LAYER) as stand:
        yield Matrix(stand, Kit(tmp_path_factory.mktemp("clients"), pki, stand))


TRIED = [pytest.param(client, column, id=f"{client.name}: {column}") for client in CLIENTS for column in COLUMNS
         if limit(client, column)[0] != "–"]


@pytest.mark.parametrize("client, column", TRIED)
def test_a_client_does_what_it_can(matrix, client, column):
    assert matrix.outcome(client, column) == limit(client, column)[0]


# ---- the other record layer, by the clients that are quick ----

@pytest.fixture(scope="module")
def other_matrix(tmp_path_factory, pki, matrix):
    with Stand(tmp_path_factory.mktemp("other"), pki, "user" if LAYER == "openssl" else "openssl") as stand:
        yield Matrix(stand, matrix.kit)


QUICK = [pytest.param(BY_NAME[name], id=name) for name in ("openssl s_client", "Node.js", "Python ssl", "tstclnt", "Go", "Deno", "wolfSSL", "Mbed TLS")]


@pytest.mark.parametrize("client", QUICK)
def test_who_protects_records_makes_no_difference_to_a_client(other_matrix, client):
    wanted = {column: limit(client, column)[0] for column in COLUMNS if limit(client, column)[0] != "–"}
    assert {column: other_matrix.outcome(client, column) for column in wanted} == wanted


# ---- a client that has ended its own direction ----

@pytest.mark.parametrize("cell", [CELLS_1_3[0], CELLS_1_2[0], CELLS_1_2[-1]], ids=lambda cell: cell.key)
def test_a_client_whose_input_has_ended_gets_the_whole_answer(matrix, cell):
    """gnutls-cli sends close_notify then, which comes while most of the answer is on its way."""
    job = Job(f"ended.{cell.key}", matrix.stand.ports[cell.key])
    answer, _ = GnuTlsCli.talk(matrix.kit, job, download_request(job), tell_all=lambda arguments, request: command(arguments, input=request))
    assert sha256(answer) == DIGEST


# ---- that what clients say of a connection's end means something ----

class CuttingServer:
    """Answers one request of each connection, over TLS, and ends the connection without close_notify."""

    def __init__(self, certificate):
        self.port = free_port()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.chain_file, certificate.key_file)
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            try:
                self._answer(tcp)
            except (OSError, ValueError):
                tcp.close()

    def _answer(self, tcp):
        with self.context.wrap_socket(tcp, server_side=True, suppress_ragged_eofs=True) as tls:
            request = b""
            while not (b"\r\n\r\n" in request and (request.startswith(b"GET") or request.endswith(BODY[-8:]))):
                piece = tls.recv(65536)
                if not piece:
                    return
                request += piece
            tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nit ends here")
            tls.shutdown(socket.SHUT_WR)
            while tcp.fileno() >= 0 and tls.recv(65536):
                pass  # what the client still sends is no reason for a reset

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("client", [pytest.param(c, id=c.name) for c in CLIENTS if limit(c, "close")[0] != "–"])
def test_a_client_that_tells_how_a_connection_ends_tells_a_cut_one(matrix, pki, client):
    server = CuttingServer(pki.leaf("localhost", "127.0.0.1"))
    try:
        job = Job(matrix.job(client, CELLS[0], "cut"), server.port)
        assert client.tells_close
        assert client.run(matrix.kit, [job])[job.id].get("close") == "cut"
    finally:
        server.stop()


# ---- the document ----

HEAD = """# Compatibility

Which clients were seen to work with Unlade, and with what. This page is written by a test that runs them
(`tests/scenario/test_compatibility.py`; `UNLADE_COMPATIBILITY=write ./do test scenario compatibility` writes it anew),
and the tests fail where it no longer says what is seen.

Every cell is a connection of its own, to a port that speaks that version and suite and nothing else; the client offers
what it offers by default. **yes** below a suite means: a full handshake, a download of 1 MiB and an upload of 1 MiB,
both compared by SHA-256; that version and suite were negotiated is read from the access log. **P-384 alone**: most clients
guess another group for their key exchange first, and are asked for this one by a HelloRetryRequest. **resumed**: with each of
those suites a second connection resumed the first one's session by its ticket. **HTTP/2**: chosen by ALPN, with both
transfers on one connection. **KeyUpdate**: the client sent some, and asked for Unlade's, before or amid both transfers,
with each suite. **sees close_notify**: the client tells an orderly end from a cut connection, and saw the former.

**no** was tried and did not come about; **–** could not be tried. The notes say why.
"""

TAIL = """
## What else is known

* A client that speaks neither TLS 1.2 nor 1.3 is refused with the alert `protocol_version`.
* TLS 1.2 without forward secrecy, or with CBC suites, needs `profile: old`; AES-128-CBC above stands for them.
* Sessions are resumed by tickets alone: a client that knows session IDs only makes a full handshake each time.
* A policy whose `groups` leave out X25519 makes most clients of TLS 1.3 take one round trip more, and the clients built with
  the releases of Go that the notes speak of fail when they resume: `tickets: no` in such a policy helps them.
* `openssl s_client`, Node.js and Python's ssl share one library, as do gnutls-cli, libcurl-gnutls and wget; they differ in
  how they use it.
"""


class Document:
    def __init__(self, cell):
        """cell(client, column): yes, no, – or what went wrong."""
        self.cell = cell
        self.reasons = []

    def row(self, client, columns):
        cells = []
        for column in columns:
            mark, reason = self.cell(client, column), limit(client, column)[1]
            if mark != "yes" and reason:
                if reason not in self.reasons:
                    self.reasons.append(reason)
                mark += f" ({self.reasons.index(reason) + 1})"
            cells.append(mark)
        return cells

    @staticmethod
    def table(head, rows):
        return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]) + "\n"

    def text(self):
        parts = [HEAD, "\n## TLS 1.3\n\n", self.part(COLUMNS_1_3), "\n## TLS 1.2\n\n", self.part(COLUMNS_1_2), "\n## Clients\n\n",
                 self.table(["client", "TLS library", COLUMNS["close"], "version"],
                            [[c.name, c.library, *self.row(c, ["close"]), c.version()] for c in CLIENTS])]
        notes = "".join(f"{number}. {reason}\n" for number, reason in enumerate(self.reasons, 1))
        return "".join([*parts, "\n## Notes\n\n", notes, TAIL])

    def part(self, columns):
        return self.table(["client", *columns.values()], [[c.name, *self.row(c, columns)] for c in CLIENTS])


def without_versions(text):
    """The last column of the table of clients: it may differ from machine to machine."""
    head, title, rest = text.partition("\n## Clients\n")
    return head + title + re.sub(r"\|[^|\n]*\|$", "|", rest, flags=re.MULTILINE)


def test_the_document_says_what_was_seen(matrix):
    def cell(client, column):
        if limit(client, column)[0] == "–":
            return "–"
        try:
            return matrix.outcome(client, column)
        except AssertionError:
            return "FAILED"
    seen = Document(cell).text()
    if os.environ.get("UNLADE_COMPATIBILITY") == "write":
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(seen)
    with open(DOCUMENT, encoding="utf-8") as f:
        kept = f.read()
    assert without_versions(kept).splitlines() == without_versions(seen).splitlines(), \
        "docs/compatibility.md: UNLADE_COMPATIBILITY=write ./do test scenario compatibility writes it anew"


def test_every_limit_is_of_a_client_and_a_column_of_the_matrix():
    assert set(LIMITS) <= set(BY_NAME)
    assert all(set(columns) <= set(COLUMNS) for columns in LIMITS.values())
    for client in CLIENTS:
        assert client.speaks_h2 == (limit(client, "12-h2")[0] == "yes")
        assert client.updates_keys == (limit(client, "13-keyupdate")[0] == "yes")
        assert client.tells_close == (limit(client, "close")[0] == "yes")
