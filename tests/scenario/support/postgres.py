"""A PostgreSQL of its own: initialised once in a directory, on a free port of the loopback, without TLS."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from support.ports import free_port
from support.waiting import LONG, until


def program(name):
    """initdb and postgres are not in the PATH: Debian keeps several versions beside each other."""
    found = max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None) or shutil.which(name)
    assert found, f"{name} is missing: install postgresql"
    return found


class Postgres:
    """Users alice (password `secret`) and postgres; databases of their names. Its directory is not pytest's, whose way no
    other user may go."""

    def __init__(self, tls=None):
        """tls: a certificate; then nobody connects without TLS, but the user postgres."""
        self._directory = tempfile.mkdtemp(prefix="unlade-postgres-")
        self.directory = os.path.join(self._directory, "data")
        self.port = free_port()
        self.log = os.path.join(self._directory, "postgres.log")
        self.process, self.tls = None, tls
        self._as_user = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self._directory, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def start(self):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        subprocess.run([program("initdb"), "-D", self.directory, "-U", "postgres", "-A", "trust", "--no-sync"], check=True,
                       stdout=subprocess.DEVNULL, env=environment, cwd="/", **self._as_user)
        with open(os.path.join(self.directory, "pg_hba.conf"), "w", encoding="ascii") as f:
            f.write(f"host all postgres 127.0.0.1/32 trust\n{'hostssl' if self.tls else 'host'} all all 127.0.0.1/32 scram-sha-256\n")
        self._put_certificate()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), "-D", self.directory, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                 "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "log_connections=on", "-c",
                 f"ssl={'on' if self.tls else 'off'}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/", **self._as_user)
        until(lambda: self.process.poll() is not None or self._is_ready(), "PostgreSQL to serve")
        assert self.process.poll() is None, self.said
        self.ask("CREATE USER alice PASSWORD 'secret'")
        self.ask("CREATE DATABASE alice OWNER alice")
        return self

    def _put_certificate(self):
        for name, file in (("server.crt", self.tls.chain_file), ("server.key", self.tls.key_file)) if self.tls else ():
            copy = shutil.copy(file, os.path.join(self.directory, name))
            os.chmod(copy, 0o600)
            if self._as_user:
                os.chown(copy, self._as_user["user"], self._as_user["group"])

    def _is_ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0 and "ready to accept connections" in self.said

    @property
    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def ask(self, query):
        """As postgres, straight at the server; the answer without decoration."""
        done = psql(f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres sslmode=disable", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # fast: who is connected is not waited for
        self.process.wait(LONG)
        shutil.rmtree(self._directory)


def client_environment():
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    return {**environment, "PGPASSWORD": "secret", "PGCONNECT_TIMEOUT": "20"}


def psql(conninfo, query, **options):
    return subprocess.run(["psql", "-X", "-A", "-t", "-c", query, conninfo], capture_output=True, text=True, timeout=LONG,
                          env=client_environment(), stdin=subprocess.DEVNULL, check=False, **options)
