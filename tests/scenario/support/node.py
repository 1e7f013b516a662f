"""Programs for node, with the npm packages of tests/node (ws, @grpc/grpc-js) in reach of require().

    with Node(script, argument, ...) as peer:
        peer.read()               # its next line of output, as JSON
        peer.write({"do": ...})   # a line of JSON to its standard input

The scripts stand in tests/node and say {"port": N}, or whatever else they are asked for, a line each."""
import functools
import json
import os
import queue
import subprocess
import threading

from support.unlade import ROOT
from support.waiting import LONG

SCRIPTS = os.path.join(ROOT, "tests", "node")


@functools.cache
def modules():
    """The folder of the packages."""
    prefix = subprocess.run([os.path.join(ROOT, "do"), "npm-prefix"], capture_output=True, text=True, check=True).stdout.strip()
    found = os.path.join(prefix, "node_modules")
    assert os.path.isdir(found), f"{found} is missing: run ./do deps test"
    return found


class Node:
    def __init__(self, script, *arguments, env=None):
        """script: its name in tests/node."""
        self.lines = queue.Queue()
        self.errors = []
        self.process = subprocess.Popen(
            ["node", os.path.join(SCRIPTS, script), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, "NODE_PATH": modules(), **(env or {})})
        self._readers = [threading.Thread(target=self._read_output, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self._readers:
            reader.start()

    def _read_output(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def read(self, seconds=LONG):
        """What it printed next; None when it has ended."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"node said nothing for {seconds:.0f} s: {''.join(self.errors)}") from None

    def expect(self, key, seconds=LONG):
        """The value of `key` in the first line that has it; what comes before is passed over."""
        while True:
            line = self.read(seconds)
            assert line is not None, f"node ended before it said {key}: {''.join(self.errors)}"
            if key in line:
                return line[key]

    def write(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def wait(self, seconds=LONG):
        """Waits for its end and returns its status."""
        return self.process.wait(seconds)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
