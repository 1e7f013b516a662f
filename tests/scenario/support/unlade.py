"""The binary under test as a process: started with a configuration, watched, reloaded, stopped.

    with Unlade(directory, site(port, backend.port, certificate)) as proxy: ...

$UNLADE_TEST_RECORDS (user, openssl, kernel) is put as `records` into the TLS policies of every configuration,
$UNLADE_TEST_ENGINE (native, openssl) as `engine`.

Leaving the block stops it with SIGTERM and fails the test if it did not end by itself with status 0, if a process of it
is left over, if a worker crashed unasked, or if a sanitizer reported anything. It runs in a session of its own, so
that all of its processes can be found."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import yaml

from support import processes
from support.waiting import LONG, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Sanitizer:DEADLYSIGNAL")
_CRASH = re.compile(r"the worker (ended with|cannot)|assert(ion)?\b.*fail|unlade: bug at", re.IGNORECASE)


def binary():
    """The binary under test: $UNLADE_BIN, or what a build left in the tree."""
    named = os.environ.get("UNLADE_BIN")
    candidates = [named] if named else [os.path.join(ROOT, "build", kind, "unlade") for kind in ("asan", "release", ".")]
    for path in candidates:
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise AssertionError(f"no binary to test: {', '.join(candidates)}")


def release_binary():
    """A binary without sanitizers, for what measures memory: $UNLADE_RELEASE_BIN, or build/release/unlade."""
    path = os.environ.get("UNLADE_RELEASE_BIN") or os.path.join(ROOT, "build", "release", "unlade")
    assert os.access(path, os.X_OK), f"{path} is missing: build it with ./do build release, or name it in UNLADE_RELEASE_BIN"
    return os.path.abspath(path)


def environment(**more):
    env = {**SANITIZER_OPTIONS, **os.environ, **more}
    env.pop("NOTIFY_SOCKET", None)
    return env


def command(*arguments, seconds=LONG, stdin="", cwd=None, program=None):
    """Runs `unlade ARGUMENTS` to its end: a subprocess.CompletedProcess with text."""
    done = subprocess.run([program or binary(), *map(str, arguments)], capture_output=True, text=True, timeout=seconds,
                          input=stdin, env=environment(), cwd=cwd, check=False)
    assert not _REPORT.search(done.stderr), done.stderr
    assert done.returncode >= 0, f"ended by signal {-done.returncode}\n{done.stderr}"
    return done


def certificate_entry(certificate):
    return {"certificate": str(certificate.chain_file), "key": str(certificate.key_file)}


def site(port, to, certificate=None, *, host="127.0.0.1", listener=None, upstream=None, **root):
    """The usual configuration: one listener `web`, one upstream `app`. `to` is a port, an address or a list of them;
    without a certificate the listener is plain HTTP. `listener`, `upstream` and `root` add options."""
    servers = to if isinstance(to, list) else [to]
    servers = [f"127.0.0.1:{s}" if isinstance(s, int) else s for s in servers]
    web = {"address": f"{host}:{port}", "to": "app"}
    if certificate is None:
        web["tls"] = "off"
    else:
        several = certificate if isinstance(certificate, list) else [certificate]
        web["certificates"] = [certificate_entry(c) for c in several]
    web.update(listener or {})
    return {"workers": 1, "listeners": {"web": web}, "upstreams": {"app": {"servers": servers, **(upstream or {})}}, **root}


def put_into_policies(option, value, config):
    """What a run of scenarios is about, in all policies of TLS that do not say it themselves."""
    if value:
        policies = config.setdefault("tls", {})
        policies.setdefault("default", {})
        for policy in policies.values():
            policy.setdefault(option, value)


class Unlade:
    def __init__(self, directory, config=None, *, arguments=None, program=None, env=None, pass_fds=(), wrapper=()):
        """config: a dict, YAML text, or None when `arguments` say it all ("serve", ...). The access log is JSON in
        access_log unless the configuration has a `log` of its own."""
        self.directory = str(directory)
        self.file = os.path.join(self.directory, "unlade.yaml")
        self.access_log = os.path.join(self.directory, "access.log")
        self.stderr_file = os.path.join(self.directory, "stderr.log")
        self.stdout_file = os.path.join(self.directory, "stdout.log")
        self.program = program or binary()
        self.arguments = arguments or ["run", "-c", self.file]
        self.env, self.pass_fds, self.wrapper = env or {}, pass_fds, list(wrapper)
        self.config = config
        self.process = None
        self.notified = []
        self._addresses = []
        self._access_read = 0
        self.may_crash = False      # a test that kills a worker says so
        self.expected_status = 0    # None: any
        if config is not None:
            self.write(config)

    # ---- configuration ----

    def write(self, config):
        """Writes the configuration; reload() puts it into use."""
        self.config = config
        if isinstance(config, dict):
            config = json.loads(json.dumps(config))
            config.setdefault("log", {"access": {"to": self.access_log, "format": "json"}})
            put_into_policies("records", os.environ.get("UNLADE_TEST_RECORDS"), config)
            put_into_policies("engine", os.environ.get("UNLADE_TEST_ENGINE"), config)
            self._addresses = []
            for listener in config.get("listeners", {}).values():
                several = listener["address"]
                self._addresses += several if isinstance(several, list) else [several]
            config = yaml.safe_dump(config, sort_keys=False)
        partial = self.file + ".new"
        with open(partial, "w", encoding="utf-8") as f:
            f.write(config)
        os.rename(partial, self.file)

    # ---- life ----

    def start(self, wait=True):
        os.chmod(self.directory, 0o755)
        notify_path = os.path.join(self.directory, "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(notify_path)
        os.chmod(notify_path, 0o777)
        threading.Thread(target=self._take_notifications, args=(self._notify,), daemon=True).start()
        with open(self.stderr_file, "ab") as err, open(self.stdout_file, "ab") as out:
            self.process = subprocess.Popen([*self.wrapper, self.program, *map(str, self.arguments)], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, start_new_session=True, pass_fds=self.pass_fds,
                                            env={**environment(), "NOTIFY_SOCKET": notify_path, **self.env})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        until(lambda: self.process.poll() is not None or self.is_ready(), "unlade to be ready: " + self.stderr)
        assert self.process.poll() is None, f"unlade ended with {self.process.returncode}:\n{self.stderr}"

    def is_ready(self):
        return any("READY=1" in m for m in self.notifications())

    def notifications(self):
        """Everything that was sent to the service manager so far."""
        return list(self.notified)

    def _take_notifications(self, notify):
        """Read at once, as a service manager does: a sender waits where the queue is full."""
        while text := notify.recv(4096):
            self.notified.append(text.decode())

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None):
        """SIGHUP, and waits until the new snapshot is in use (or was refused)."""
        if config is not None:
            self.write(config)
        before = len(self.notifications())
        self.signal(signal.SIGHUP)
        until(lambda: any("READY=1" in m for m in self.notifications()[before:]), f"the reload to end\n{self.stderr}")

    def wait(self, seconds=LONG):
        """Waits for the process to end by itself and returns its status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"unlade still runs after {seconds:.0f} s\n{self.stderr}") from None

    def workers(self):
        return processes.session_members(self.process.pid)

    def stop(self):
        """SIGTERM to the end, then everything that can be said against how it ran. Once; further calls do nothing."""
        if self.process is None:
            return
        process, self.process = self.process, None
        complaints = []
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LONG)
            except subprocess.TimeoutExpired:
                complaints.append(f"did not end {LONG:.0f} s after SIGTERM")
        try:
            until(lambda: not processes.session_members(process.pid), "its workers to end", 5)
        except AssertionError:
            complaints.append("left processes behind")
        for pid in processes.session_members(process.pid):
            os.kill(pid, signal.SIGKILL)
        if process.poll() is None:
            process.kill()
        process.wait()
        self._notify.shutdown(socket.SHUT_RDWR)
        if self.expected_status is not None and process.returncode != self.expected_status:
            complaints.append(f"ended with status {process.returncode}")
        complaints += self.findings()
        assert not complaints, f"unlade: {'; '.join(complaints)}\n{self.stderr[-20000:]}"

    def findings(self):
        """What its error output reports that no test may pass over."""
        text, found = self.stderr, []
        if _REPORT.search(text):
            found.append("a sanitizer reported an error")
        if not self.may_crash and _CRASH.search(text):
            found.append("a worker crashed")
        return found

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        try:
            self.stop()
        except AssertionError as stopping:
            if kind is None:
                raise
            print(stopping, file=sys.stderr)  # the test's own failure comes first; pytest shows both

    # ---- what it wrote ----

    @property
    def stderr(self):
        with open(self.stderr_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def stdout(self):
        with open(self.stdout_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_stderr(self, pattern, seconds=LONG):
        """The first match of the regular expression in the event log, once it is there."""
        return until(lambda: re.search(pattern, self.stderr), f"{pattern!r} in the event log", seconds)

    def access_lines(self):
        """All whole lines of the access log."""
        try:
            with open(self.access_log, encoding="utf-8", errors="surrogateescape") as f:
                text = f.read()
        except FileNotFoundError:
            return []
        return text[:text.rfind("\n") + 1].splitlines()

    def access_records(self, count=1):
        """The access log as dicts, once it holds at least `count`."""
        return [json.loads(line) for line in
                until(lambda: len(self.access_lines()) >= count and self.access_lines(), f"{count} lines in the access log")]
