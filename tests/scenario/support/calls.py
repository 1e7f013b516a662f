"""The system calls that a process makes, as strace sees them.

    with Calls(worker) as calls:            # attached when the block begins
        ...
    assert calls.of_loop()["recvfrom"] == 2     # detached, and all of them there
    assert max(calls.results("recvfrom")) < 100 # what each returned
"""
import collections
import re
import signal
import subprocess
import threading

from support.waiting import LONG

_LINE = re.compile(r"^(?:\[pid +(\d+)\] )?(\w+)\((.*)\) += (-?\d+|\?)")
_HALF = re.compile(r"^(?:\[pid +(\d+)\] )?(?:(\w+\(.*) <unfinished \.\.\.>|<\.\.\. (\w+) resumed>(.*))$")

Call = collections.namedtuple("Call", "thread name arguments result")


class Calls:
    """All threads of the process. A call that was under way when strace attached or left is none."""

    def __init__(self, pid):
        self.pid = pid
        self.calls = []

    def __enter__(self):
        self._lines = []
        self._attached = threading.Event()
        self._strace = subprocess.Popen(["strace", "-f", "-s", "0", "-p", str(self.pid)], stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._attached.wait(LONG), f"strace did not attach: {self._lines}"
        return self

    def _read(self):
        for line in self._strace.stderr:
            self._lines.append(line.rstrip("\n"))
            if " attached" in line: # to all threads; it is said once
                self._attached.set()

    def __exit__(self, *_):
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(LONG)
        self._reader.join(LONG)
        begun = {}
        for line in self._lines:
            half = _HALF.match(line)
            if half and half[2]:
                begun[half[1]] = half[2]
                continue
            if half:
                line = f"[pid {half[1]}] " + begun.pop(half[1], "") + half[4]
            whole = _LINE.match(line)
            if whole and whole[4] != "?":
                self.calls.append(Call(whole[1], whole[2], whole[3], int(whole[4])))

    def of_loop(self):
        """How many of each kind the threads made that wait for events; without those of other threads. What strace itself
        makes a call begin anew with is not counted, nor is the wake-up of another thread."""
        threads = {c.thread for c in self.calls if c.name == "epoll_wait"}
        return collections.Counter(c.name for c in self.calls if c.thread in threads and c.name not in ("restart_syscall", "futex"))

    def results(self, *names):
        return [c.result for c in self.calls if c.name in names]

    def text(self, most=60):
        return "\n".join(f"{c.name}({c.arguments}) = {c.result}" for c in self.calls[:most])
