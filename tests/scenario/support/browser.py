"""A browser without a window: opens a page and stays until it is stopped."""
import os
import shutil
import subprocess

from support.waiting import LONG


class Chromium:
    """Every name in `names` leads to 127.0.0.1; certificates are not checked."""

    def __init__(self, directory, url, names=("a.test",), arguments=()):
        self.log = os.path.join(str(directory), "chromium.log")
        program = shutil.which("chromium")
        assert program, "chromium is missing: install it with ./do deps test"
        rules = ",".join(f"MAP {name} 127.0.0.1" for name in names)
        # As root, and in containers without user namespaces, it starts only without its sandbox.
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
                   "--ignore-certificate-errors", f"--user-data-dir={os.path.join(str(directory), 'chromium')}",
                   f"--host-resolver-rules={rules}", "--enable-logging=stderr", *arguments, url]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LONG)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
