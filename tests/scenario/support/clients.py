"""The clients of the compatibility matrix, each behind the same few words.

    client.version()        "7.88.1"
    client.run(kit, jobs)   {job.id: seen}: what each job brought (support/matrix.py says what a job is)

`seen` is a dict: `down`, the SHA-256 of what was downloaded; `up`, the server's answer to the upload, which is the
SHA-256 of what reached it; `close`, "notify" or "cut" where the client can tell how connections ended; or `error`.

A client is a program of its own (the short ones in tests/scenario/clients, which read jobs as lines "ID PORT HOW", and
write what they saw as lines of JSON; their arguments are a file of authorities and a file to upload), a command that
is run for each job, or a module of Python."""
import concurrent.futures
import contextlib
import glob
import hashlib
import io
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.parse

import pycurl

from support.browser import Chromium as Browser
from support.matrix import BODY
from support.node import modules
from support.waiting import LONG, until

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")


class Kit:
    """What all clients share: authorities, the body as a file, a folder for what they write and what is compiled."""

    def __init__(self, directory, pki, stand):
        self.directory = str(directory)
        self.stand = stand
        self.ca_file = pki.ca_file
        self.roots = {kind: root.chain_file for kind, root in pki.roots.items()}
        self.body_file = self.write("body", BODY)

    def path(self, *parts):
        return os.path.join(self.directory, "-".join(parts))

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content)
        return self.path(name)


def command(arguments, **options):
    """Runs a command to its end: its output and what it said on standard error, as bytes."""
    return subprocess.run(list(map(str, arguments)), capture_output=True, timeout=4 * LONG, check=False,
                          **{"input": b"", **options})


def succeed(arguments, **options):
    done = command(arguments, **options)
    assert done.returncode == 0, f"{arguments[0]} ended with {done.returncode}: {tail(done.stderr)}"
    return done


def converse(arguments, request):
    """Runs a command, tells it `request`, and ends its input only when it has ended. Its output goes to a file, since some
    write it byte by byte."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(list(map(str, arguments)), stdin=subprocess.PIPE, stdout=out, stderr=err) as child:
            stop = threading.Timer(2 * LONG, child.kill)
            stop.start()
            try:
                tell(child.stdin, request)
                child.wait()
            finally:
                stop.cancel()
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, child.returncode, out.read(), err.read())


def tell(pipe, what):
    try:
        pipe.write(what)
        pipe.flush()
    except BrokenPipeError:
        pass  # it ended early; what it said tells why


def tail(text):
    return text.decode(errors="replace").strip()[-600:]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def download_request(job):
    return f"GET /down/{job.id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def upload_request(job):
    head = f"POST /up/{job.id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(BODY)}\r\n\r\n"
    return head.encode() + BODY


def content(answer):
    """The content of an HTTP/1 response that ended with its connection; what stands before its status line is passed over."""
    _, found, rest = answer.partition(b"HTTP/1.1 200 OK\r\n")
    assert found, f"no answer: {answer[:300]!r}"
    return rest.partition(b"\r\n\r\n")[2]


class Client:
    name = library = ""
    speaks_h2 = False
    tells_close = False     # whether it can tell close_notify from a connection that was cut
    updates_keys = False    # whether it can be made to send KeyUpdate
    requests = 2            # of a job over HTTP/1.1

    def version(self):
        raise NotImplementedError

    def run(self, kit, jobs):
        """Job by job, two at a time."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return dict(zip([job.id for job in jobs], pool.map(lambda job: self._try(kit, job), jobs)))

    def _try(self, kit, job):
        try:
            return self.one(kit, job)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            return {"error": str(error)}

    def one(self, kit, job):
        raise NotImplementedError


def first_version(*arguments):
    """The first number with dots that a command prints."""
    done = command(arguments)
    found = re.search(rb"\d+(\.\d+)+[a-z]?", done.stdout + done.stderr)
    assert found, f"{arguments[0]} does not say its version"
    return found.group().decode()


# ---- programs of tests/scenario/clients ----

class Program(Client):
    """start() is the command, without its arguments."""

    def start(self, kit):
        raise NotImplementedError

    def end(self, jobs, seen, done):
        """May add to what was seen."""

    def run(self, kit, jobs):
        lines = "".join(f"{job.id} {job.port} {job.how}\n" for job in jobs)
        done = command([*self.start(kit), kit.ca_file, kit.body_file, *self.more_arguments(jobs)], input=lines.encode())
        seen = {line.pop("id"): line for line in map(json.loads, done.stdout.splitlines())}
        for job in jobs:
            seen.setdefault(job.id, {"error": f"{self.name} ended with {done.returncode}: {tail(done.stderr)}"})
        self.end(jobs, seen, done)
        return seen

    def more_arguments(self, _jobs):
        return []


class Java(Program):
    name, library = "Java", "JSSE"
    speaks_h2 = tells_close = updates_keys = True

    def version(self):
        return first_version("java", "-version")

    def start(self, kit):
        debug = ["-Djavax.net.debug=ssl,handshake"] if self._updating else []
        return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *debug, os.path.join(PROGRAMS, "Client.java")]

    def run(self, kit, jobs):
        """KeyUpdates are switched on for a whole process, by a limit to what a key may protect."""
        seen = {}
        for self._updating in (False, True):
            chosen = [job for job in jobs if (job.how == "keyupdate") == self._updating]
            seen.update(super().run(kit, chosen) if chosen else {})
        return seen

    def more_arguments(self, jobs):
        # Past its limit Java sends one for each record that it receives, until the peer's new key arrives: as many as
        # there are records on their way. So the limit comes at the end of the first transfer.
        limits = [f"{suite} KeyUpdate 2^17" for suite in ("AES/GCM/NoPadding", "ChaCha20-Poly1305")]
        return [", ".join(limits)] if self._updating else []

    def end(self, jobs, seen, done):
        """What the debug output has behind the line of each job."""
        said = dict(re.findall(r"^job (\S+)\n(.*?)(?=^job |\Z)", done.stderr.decode(errors="replace"), re.MULTILINE | re.DOTALL))
        for job in jobs if self._updating else ():
            seen[job.id]["updates"] = said.get(job.id, "").count("Produced KeyUpdate post-handshake message")


class Go(Program):
    name, library = "Go", "crypto/tls"
    speaks_h2 = True

    def version(self):
        return first_version("go", "version")

    def start(self, kit):
        program = kit.path("go-client")
        if not os.path.exists(program):
            succeed(["go", "build", "-o", program, os.path.join(PROGRAMS, "client.go")],
                    env={"HOME": kit.directory, **os.environ, "GOFLAGS": "", "GO111MODULE": "off"})
        return [program]


class Node(Program):
    name, library = "Node.js", "OpenSSL"
    speaks_h2 = True

    def version(self):
        return first_version("node", "--version")

    def start(self, kit):
        return ["node", os.path.join(PROGRAMS, "client.js")]


class Deno(Program):
    name, library = "Deno", "rustls"
    speaks_h2 = True

    def version(self):
        return first_version(self.program(), "--version")

    @staticmethod
    def program():
        """npm's package for this machine holds it; no install script is run."""
        found = glob.glob(os.path.join(modules(), "@deno", "linux-*", "deno"))
        assert found, f"deno is missing below {modules()}: run ./do deps test"
        return found[0]

    def start(self, kit):
        return [self.program(), "run", "--allow-all", "--no-remote", "--no-config", os.path.join(PROGRAMS, "deno.mjs")]


class Compiled(Program):
    """A program in C: NAME.c beside jobs.h."""
    tells_close = True
    file, package = "", ""

    def version(self):
        return tail(succeed(["dpkg-query", "-W", "-f", "${source:Upstream-Version}", self.package]).stdout)

    def start(self, kit):
        program = kit.path("client", self.file)
        if not os.path.exists(program):
            succeed(["cc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-o", program, os.path.join(PROGRAMS, self.file + ".c"),
                     *self.libraries])
        return [program]


class WolfSsl(Compiled):
    name, library = "wolfSSL", "wolfSSL"
    file, package, libraries = "wolfssl", "libwolfssl-dev", ["-lwolfssl"]
    updates_keys = True


class MbedTls(Compiled):
    name, library = "Mbed TLS", "Mbed TLS"
    file, package, libraries = "mbedtls", "libmbedtls-dev", ["-lmbedtls", "-lmbedx509", "-lmbedcrypto"]


# ---- Python's own ----

class PythonSsl(Client):
    name, library = "Python ssl", "OpenSSL"
    tells_close = True

    def version(self):
        return ".".join(map(str, os.sys.version_info[:3]))

    def one(self, kit, job):
        context = ssl.create_default_context(cafile=kit.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # by default a cut connection looks like one that ended in order
        session, closes, contents = None, set(), []
        for request in (download_request(job), upload_request(job)):
            with socket.create_connection(("127.0.0.1", job.port), LONG) as tcp, \
                    context.wrap_socket(tcp, server_hostname="localhost", suppress_ragged_eofs=False, session=session) as tls:
                tls.sendall(request)
                answer = io.BytesIO()
                try:
                    while piece := tls.recv(65536):
                        answer.write(piece)
                    closes.add("notify")
                except ssl.SSLError as error:
                    if error.reason not in ("UNEXPECTED_EOF_WHILE_READING", None):
                        raise
                    closes.add("cut")
                session = tls.session
                contents.append(content(answer.getvalue()))
        return {"down": sha256(contents[0]), "up": contents[1].decode(), "close": closes.pop() if len(closes) == 1 else "cut"}


class CurlGnuTls(Client):
    """libcurl with GnuTLS, which git and others use in Debian; Python's module is built on it."""
    name, library = "libcurl-gnutls", "GnuTLS"
    speaks_h2 = True

    def version(self):
        assert "GnuTLS" in pycurl.version, f"pycurl is built on another library: {pycurl.version}"
        return re.search(r"libcurl/(\S+)", pycurl.version).group(1)

    def one(self, kit, job):
        down, up = io.BytesIO(), io.BytesIO()
        handle = pycurl.Curl()
        try:
            handle.setopt(pycurl.CAINFO, kit.ca_file)
            handle.setopt(pycurl.IPRESOLVE, pycurl.IPRESOLVE_V4)
            handle.setopt(pycurl.TIMEOUT, int(LONG))
            handle.setopt(pycurl.FORBID_REUSE, job.how != "h2")
            handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS if job.how == "h2" else pycurl.CURL_HTTP_VERSION_1_1)
            handle.setopt(pycurl.URL, f"https://localhost:{job.port}/down/{job.id}")
            handle.setopt(pycurl.WRITEDATA, down)
            handle.perform()
            handle.setopt(pycurl.URL, f"https://localhost:{job.port}/up/{job.id}")
            handle.setopt(pycurl.POSTFIELDS, BODY)
            handle.setopt(pycurl.WRITEDATA, up)
            handle.perform()
        except pycurl.error as error:
            raise AssertionError(str(error)) from None
        finally:
            handle.close()
        return {"down": sha256(down.getvalue()), "up": up.getvalue().decode()}


# ---- commands ----

class SClient(Client):
    name, library = "openssl s_client", "OpenSSL"
    tells_close = updates_keys = True

    def version(self):
        return first_version("openssl", "version")

    @staticmethod
    def base(kit, job):
        return ["openssl", "s_client", "-connect", f"127.0.0.1:{job.port}", "-servername", "localhost", "-CAfile", kit.ca_file,
                "-verify_return_error", "-verify_hostname", "localhost", "-alpn", "http/1.1"]

    def one(self, kit, job):
        if job.how == "keyupdate":
            return self.with_key_updates(kit, job)
        session = kit.path(job.id)
        down = converse([*self.base(kit, job), "-quiet", "-sess_out", session], download_request(job))
        assert b"HTTP/1.1" in down.stdout, tail(down.stderr)
        up = converse([*self.base(kit, job), "-quiet", "-sess_in", session], upload_request(job))
        is_cut = b"unexpected eof" in down.stderr + up.stderr
        return {"down": sha256(content(down.stdout)), "up": content(up.stdout).decode(), "close": "cut" if is_cut else "notify"}

    def with_key_updates(self, kit, job):
        """On one connection: K, an update that asks for the server's, before the download; k before the upload. They are
        commands where a read of its input begins with them."""
        child = subprocess.Popen(self.base(kit, job), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(child.stdout.fileno(), False)
        said = b""

        def has(what, count=1):
            nonlocal said
            said += child.stdout.read() or b""
            return said.count(what) >= count
        try:
            until(lambda: has(b"Verify return code"), "the handshake")
            tell(child.stdin, b"K\n")
            until(lambda: has(b"KEYUPDATE"), "the first KeyUpdate")
            start = len(said)
            tell(child.stdin, download_request(job).replace(b"Connection: close\r\n", b""))
            until(lambda: has(BODY[-8:]), "the download")
            down = content(said[start:])
            tell(child.stdin, b"k\n")
            until(lambda: has(b"KEYUPDATE", 2), "the second KeyUpdate")
            start = len(said)
            writer = threading.Thread(target=tell, args=(child.stdin, upload_request(job)))
            writer.start()
            until(lambda: has(b"") and child.poll() is not None, "the server to close")
            writer.join()
            up = content(said[start:])[:64]
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        return {"down": sha256(down[:len(BODY)]), "up": up.decode(), "updates": said.count(b"KEYUPDATE")}


class GnuTlsCli(Client):
    name, library = "gnutls-cli", "GnuTLS"
    tells_close = updates_keys = True

    def version(self):
        return first_version("gnutls-cli", "--version")

    def one(self, kit, job):
        down, first = self.talk(kit, job, download_request(job))
        up, second = self.talk(kit, job, upload_request(job), "--resume", "--waitresumption")
        seen = {"down": sha256(down), "up": up.decode(), "close": self.close(first) or self.close(second) or "notify"}
        if job.how == "keyupdate":
            seen["updates"] = (first + second).count(b"Rekey was completed")
        return seen

    @staticmethod
    def talk(kit, job, request, *arguments, tell_all=converse):
        """The content of the answer, and what the client said of the connection. tell_all: how it is given the request;
        when its input ends it sends close_notify, while the answer is on its way."""
        log = kit.path(job.id + arguments[0] if arguments else job.id)
        updating = ["--inline-commands"] if job.how == "keyupdate" else []
        answer = tell_all(["gnutls-cli", "--x509cafile", kit.ca_file, "--sni-hostname", "localhost", "--verify-hostname", "localhost",
                           "--alpn", "http/1.1", "--logfile", log, *arguments, *updating, "-p", job.port, "127.0.0.1"],
                          (b"^rekey^\n" if updating else b"") + request)
        with open(log, "rb") as f:
            said = f.read() + answer.stderr
        return content(answer.stdout), said

    @staticmethod
    def close(said):
        if b"Peer has closed the GnuTLS connection" in said:
            return None
        return "cut"


class Curl(Client):
    name, library = "curl", "OpenSSL"
    speaks_h2 = True

    def version(self):
        return first_version("curl", "--version")

    def one(self, kit, job):
        down, up = kit.path(job.id, "down"), kit.path(job.id, "up")
        base = ["-sS", "-4", "--cacert", kit.ca_file, "--max-time", int(LONG)]
        base += ["--http2"] if job.how == "h2" else ["--http1.1", "-H", "Connection: close"]
        succeed(["curl", *base, "-o", down, f"https://localhost:{job.port}/down/{job.id}", "--next", *base, "-o", up,
                 "--data-binary", "@" + kit.body_file, f"https://localhost:{job.port}/up/{job.id}"])
        with open(down, "rb") as got, open(up, encoding="ascii") as answered:
            return {"down": sha256(got.read()), "up": answered.read()}


class Wget(Client):
    name, library = "wget", "GnuTLS"

    def version(self):
        return first_version("wget", "--version")

    def one(self, kit, job):
        base = ["wget", "-q", "-4", "-O", "-", "--no-hsts", "--no-config", f"--timeout={LONG:.0f}", "--tries=1", f"--ca-certificate={kit.ca_file}"]
        down = succeed([*base, f"https://localhost:{job.port}/down/{job.id}"])
        up = succeed([*base, f"--post-file={kit.body_file}", f"https://localhost:{job.port}/up/{job.id}"])
        return {"down": sha256(down.stdout), "up": up.stdout.decode()}


class Tstclnt(Client):
    name, library = "tstclnt", "NSS"
    requests = 3

    def version(self):
        return tail(succeed(["dpkg-query", "-W", "-f", "${source:Upstream-Version}", "libnss3-tools"]).stdout)

    def run(self, kit, jobs):
        directory = kit.path("nss")
        if not os.path.exists(directory):
            os.makedirs(directory)
            succeed(["certutil", "-N", "-d", "sql:" + directory, "--empty-password"])
            for kind, file in kit.roots.items():
                succeed(["certutil", "-A", "-d", "sql:" + directory, "-n", kind, "-t", "C,,", "-i", file])
        return super().run(kit, jobs)

    def one(self, kit, job):
        """A download, then the upload twice: -L makes a second connection that resumes the first."""
        base = ["tstclnt", "-d", "sql:" + kit.path("nss"), "-h", "localhost", "-4", "-p", job.port, "-u", "-V", "tls1.2:tls1.3"]
        down = command([*base, "-A", kit.write(job.id + "-down", download_request(job))])
        assert b"HTTP/1.1" in down.stdout, tail(down.stderr)
        up = command([*base, "-L", 2, "-A", kit.write(job.id + "-up", upload_request(job))])
        first, found, second = content(up.stdout).partition(b"HTTP/1.1 200 OK\r\n")
        assert found, f"one answer only: {tail(up.stderr)}"
        assert content(found + second) == first, "the two uploads were answered differently"
        return {"down": sha256(content(down.stdout)), "up": first.decode()}


class Botan(Client):
    name, library = "botan tls_client", "Botan"

    def version(self):
        return first_version("botan", "--version")

    def one(self, kit, job):
        base = ["botan", "tls_client", "localhost", f"--port={job.port}", "--skip-system-cert-store", f"--trusted-cas={kit.ca_file}",
                f"--session-db={kit.path(job.id)}", "--session-db-pass=x", "--next-protocols=http/1.1"]
        down = converse(base, download_request(job))
        assert b"HTTP/1.1" in down.stdout, tail(down.stdout + down.stderr)
        up = converse(base, upload_request(job))
        return {"down": sha256(content(down.stdout)[:len(BODY)]), "up": content(up.stdout)[:64].decode()}


# ---- a browser ----

class Chromium(Client):
    """A page of the server's own makes the requests, of all ports; HTTP/1.1 takes a browser that is started without
    HTTP/2. Stand.pages and Stand.reports are how they meet."""
    name, library = "Chromium", "BoringSSL"
    speaks_h2 = True
    requests = 5

    def version(self):
        return first_version("chromium", "--version")

    def run(self, kit, jobs):
        with open(os.path.join(PROGRAMS, "page.html"), "rb") as f:
            kit.stand.pages["/page"] = f.read()
        seen = {}
        for how, arguments in (("h1", ["--disable-http2"]), ("h2", [])):
            chosen = [job for job in jobs if job.how == how]
            seen.update(self.visit(kit, how, chosen, arguments) if chosen else {})
        return seen

    def visit(self, kit, how, jobs, arguments):
        directory = kit.path("chromium", how)
        os.makedirs(directory, exist_ok=True)
        kit.stand.reports.pop(how, None)
        fragment = ",".join([how, *(f"{job.id} {job.port} {job.how}" for job in jobs)])
        url = f"https://localhost:{kit.stand.home}/page#{urllib.parse.quote(fragment)}"
        with Browser(directory, url, names=("localhost",), arguments=arguments) as browser:
            try:
                until(lambda: how in kit.stand.reports, "the page's report", 3 * LONG)
            except AssertionError as error:
                with open(browser.log, "rb") as log:
                    raise AssertionError(f"{error}: {tail(log.read())}") from None
        return json.loads(kit.stand.reports[how])


CLIENTS = [SClient(), Curl(), Node(), PythonSsl(), GnuTlsCli(), CurlGnuTls(), Wget(), Tstclnt(), Chromium(), Java(), Go(), Deno(), Botan(),
           WolfSsl(), MbedTls()]
