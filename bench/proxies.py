"""Unlade and its peers as processes: started from the templates in conf/, and what they take of CPU and memory."""
import os, pwd, re, shlex, signal, socket, ssl, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(HERE), "build", "bench")
TOOLS = os.path.join(BUILD, "bench")  # tlsload, backend, relay, floor

# Values for templates: what serves each peer best, tried on both sides of it. Large buffers make bulk cheaper and small
# answers dearer.
NGINX_SMALL = {"BODY": "64k", "HEAD": "16k", "BUFFERS": "16 16k", "BUSY": "64k"}
NGINX_BULK = {"BODY": "256k", "HEAD": "64k", "BUFFERS": "8 64k", "BUSY": "128k"}
HAPROXY_HTTP = {"MODE": "http", "ALPN": "alpn h2,http/1.1"}
HAPROXY_TCP = {"MODE": "tcp", "ALPN": ""}

# name: (program, command, {face: (template, its own values)}). A face is a way to serve: "http", "bulk" (the same tuned
# for large bodies), "tcp" (TLS off, bytes passed on), "tcp_bulk", "plain" (no TLS either: context, not a rival).
PEERS = {
    "unlade": (os.path.join(BUILD, "unlade"), "@BIN@ run -c @CONF@",
               {face: ("unlade.yaml", {"PROTOCOL": face.split("_")[0].replace("bulk", "http")})
                for face in ("http", "bulk", "tcp", "tcp_bulk")}),
    "nginx": ("/usr/sbin/nginx", "@BIN@ -c @CONF@ -g 'daemon off;'",
              {"http": ("nginx.conf", NGINX_SMALL), "bulk": ("nginx.conf", NGINX_BULK),
               "tcp": ("nginx-stream.conf", {"BUFFER": "16k"}), "tcp_bulk": ("nginx-stream.conf", {"BUFFER": "64k"})}),
    "haproxy": ("/usr/sbin/haproxy", "@BIN@ -db -q -f @CONF@",
                {"http": ("haproxy.cfg", HAPROXY_HTTP | {"BUFFER": 16384}),
                 "bulk": ("haproxy.cfg", HAPROXY_HTTP | {"BUFFER": 65536}),
                 "tcp": ("haproxy.cfg", HAPROXY_TCP | {"BUFFER": 16384}),
                 "tcp_bulk": ("haproxy.cfg", HAPROXY_TCP | {"BUFFER": 65536})}),
    "h2o": ("/usr/bin/h2o", "@BIN@ -c @CONF@", {face: ("h2o.conf", {}) for face in ("http", "bulk")}),
    "hitch": ("/usr/sbin/hitch", "@BIN@ --config=@CONF@", {face: ("hitch.conf", {}) for face in ("tcp", "tcp_bulk")}),
    "stunnel": ("/usr/bin/stunnel4", "@BIN@ @CONF@", {face: ("stunnel.conf", {}) for face in ("tcp", "tcp_bulk")}),
    "relay": (os.path.join(TOOLS, "relay"), "@BIN@ @PORT@ @BACKEND@ 64", {"plain": (None, {})}),
}


def process_tree(pid):
    """pid and all its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as f:
                parent = int(f.read().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry))
        except OSError:
            pass
    tree = [pid]
    for p in tree:
        tree += children.get(p, [])
    return tree


def cpu_seconds(pids):
    """CPU time of these processes, threads that ended included: (all of it, to the nanosecond; the kernel's part, which
    is counted in ticks of 10 ms at worst)."""
    total, kernel, tick = 0, 0, os.sysconf("SC_CLK_TCK")
    for p in pids:
        try:
            with open(f"/proc/{p}/stat") as f:
                kernel += int(f.read().rsplit(")", 1)[1].split()[12]) / tick
            total += time.clock_gettime(~p << 3 | 2)  # what clock_getcpuclockid(3) makes of a pid
        except OSError:
            pass
    return total, kernel


def pss_kb(pids):
    """Memory of these processes, each shared page divided among its users."""
    total = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


def free_port(start):
    """The first port from start on that nobody listens on, below the ephemeral range."""
    for port in range(start, 32000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    sys.exit("bench: no free port")


def make_certificates(directory):
    """One of each kind in directory: KIND.crt, KIND.key, and KIND.pem with both."""
    for kind, key in (("ec", "ec -pkeyopt ec_paramgen_curve:prime256v1"), ("rsa", "rsa:2048")):
        base = os.path.join(directory, kind)
        subprocess.run(["openssl", "req", "-x509", "-newkey", *key.split(), "-nodes", "-keyout", base + ".key", "-out",
                        base + ".crt", "-days", "30", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)
        with open(base + ".pem", "w") as pem:
            for part in (".crt", ".key"):
                with open(base + part) as f:
                    pem.write(f.read())
        for part in (".key", ".pem"):
            os.chmod(base + part, 0o600)


def start_backend(port, core=None):
    """The plain HTTP/1.1 server behind every proxy, accepting."""
    pinned = ["taskset", "-c", core] if core else []
    backend = subprocess.Popen(pinned + [os.path.join(TOOLS, "backend"), str(port)])
    for _ in range(200):
        with socket.socket() as s:
            if not s.connect_ex(("127.0.0.1", port)):
                return backend
        if backend.poll() is not None:
            break
        time.sleep(0.02)
    sys.exit("bench: the backend did not start")


class Proxy:
    """A proxy in the foreground, started from its template and known by its port and its processes.

    face is one of its faces. place has the attributes directory (scratch, with the certificates in it), port and
    backend_port. prefix is put before the command: what pins it, or watches it."""

    def __init__(self, name, face, place, prefix=(), certificate="ec", workers=1, connections=9000, seconds=10):
        program, command, faces = PEERS[name]
        template, own = faces[face]
        self.name, self.tls = name, face != "plain"
        self.directory = os.path.join(place.directory, f"{name}-{face}")
        os.makedirs(self.directory, exist_ok=True)
        config = os.path.join(self.directory, template or "none")
        pair = os.path.join(place.directory, certificate)
        values = {"BIN": program, "CONF": config, "DIR": self.directory, "PORT": place.port, "BACKEND": place.backend_port,
                  "WORKERS": workers, "CERT": pair + ".crt", "KEY": pair + ".key", "PEM": pair + ".pem",
                  "CONNECTIONS": connections, "USER": pwd.getpwuid(os.getuid()).pw_name} | own

        def fill(text):
            return re.sub(r"@([A-Z]+)@", lambda m: str(values[m.group(1)]), text)
        if template:
            with open(os.path.join(HERE, "conf", template)) as source, open(config, "w") as target:
                target.write(fill(source.read()))
        self.wait_until_port_is_free(place.port)
        self.log = open(os.path.join(self.directory, "log"), "wb")
        self.process = subprocess.Popen([*prefix, *shlex.split(fill(command))], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        try:
            self.wait_until_it_answers(place.port, seconds)
        except BaseException:
            self.stop()
            raise
        self.pids = process_tree(self.process.pid)

    @staticmethod
    def wait_until_port_is_free(port):
        """Never measure somebody else's server, or the previous one's last breath."""
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)):
                    return
            time.sleep(0.05)
        raise RuntimeError(f"port {port} is taken")

    def answers(self, port):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                if self.tls:
                    s = context.wrap_socket(s, server_hostname="localhost")
                with s:
                    s.sendall(b"GET /0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return b" 200 " in s.recv(4096)
        except OSError:
            return False

    def wait_until_it_answers(self, port, seconds):
        end = time.time() + seconds
        while not self.answers(port):
            if self.process.poll() is not None or time.time() > end:
                raise RuntimeError(f"{self.name} did not start: {self.last_words()}")
            time.sleep(0.05)
        time.sleep(0.2)

    def last_words(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()[-500:]

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()

    def end(self, seconds=60):
        """Asks it to end, and waits until all of it did."""
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self.name} did not end: {self.last_words()}") from None
        finally:
            self.stop()
