"""A real nginx or haproxy with a configuration of the test's own."""
import os
import signal
import subprocess

from support.waiting import LONG, until


class Daemon:
    """A server process in the foreground; ready when it listens on `port` of 127.0.0.1. Its output is in `output`."""

    def __init__(self, directory, name, command, port):
        self.directory, self.name, self.command, self.port = str(directory), name, command, port
        self.output_file = os.path.join(self.directory, name + ".log")
        self.process = None

    def start(self):
        with open(self.output_file, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        until(self._listens, f"{self.name} to listen")
        return self

    def _listens(self):
        assert self.process.poll() is None, self.output
        with open("/proc/net/tcp", encoding="ascii") as f:
            wanted = f":{self.port:04X} 00000000:0000 0A"
            return any(wanted in line for line in f)

    @property
    def output(self):
        with open(self.output_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_output(self, text):
        until(lambda: text in self.output, f"{text!r} in the output of {self.name}")
        return self.output

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LONG)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def haproxy(directory, port, text):
    """text: frontends and backends. What it logs (log stdout) is in its output."""
    configuration = os.path.join(str(directory), "haproxy.cfg")
    with open(configuration, "w", encoding="ascii") as f:
        f.write("global\n  log stdout format raw local0\n  ssl-server-verify none\n  tune.ssl.default-dh-param 2048\n"
                "defaults\n  log global\n  timeout connect 10s\n  timeout client 30s\n  timeout server 30s\n" + text)
    return Daemon(directory, "haproxy", ["haproxy", "-db", "-f", configuration], port)


def nginx(directory, port, http="", stream=""):
    """http, stream: what those blocks hold."""
    directory = str(directory)
    configuration = os.path.join(directory, "nginx.conf")
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    text = f"daemon off;\npid {directory}/nginx.pid;\nerror_log stderr info;\nevents {{}}\n"
    if os.getuid() == 0:
        text = "user root;\n" + text
    if stream:
        text = f"load_module {module};\n" + text + f"stream {{ {stream} }}\n"
    if http:
        places = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text += f"http {{ access_log off; {places} {http} }}\n"
    with open(configuration, "w", encoding="ascii") as f:
        f.write(text)
    return Daemon(directory, "nginx", ["/usr/sbin/nginx", "-e", "stderr", "-p", directory, "-c", configuration], port)
