"""A real nginx as the server behind: files of known sizes, heads echoed, uploads taken, slow answers."""
import hashlib
import os
import signal
import socket
import subprocess

from support.ports import free_port
from support.waiting import until

SIZES = {"empty": 0, "1": 1, "1k": 1024, "16k": 16384, "16k1": 16385, "100k": 102400, "1M": 1 << 20, "20M": 20 << 20}

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {directory}/files;
        location = /echo {{
            return 200 "method=$request_method\\nuri=$request_uri\\nhost=$http_host\\nversion=$server_protocol\\nxff=$http_x_forwarded_for\\nproto=$http_x_forwarded_proto\\nforwarded=$http_forwarded\\nid=$http_x_request_id\\n";
        }}
        location = /no-content {{ return 204; }}
        location = /redirect {{ return 302 /echo; }}
        location /throttled/ {{ alias {directory}/files/; limit_rate 100k; }}
        location = /upload {{
            # nginx has no handler that reads a body and answers; passing it on to itself does.
            proxy_pass http://127.0.0.1:{port}/uploaded;
            proxy_http_version 1.1;
        }}
        location = /uploaded {{ return 200 "took $http_content_length\\n"; }}
    }}
}}
"""


class Nginx:
    def __init__(self, directory):
        self.directory = str(directory)
        self.port = free_port()
        self.process = None

    def file(self, name):
        return os.path.join(self.directory, "files", name)

    def sha256(self, name):
        with open(self.file(name), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def add_hole(self, name, size):
        """A file of zeros of any size that takes no room on the disk."""
        with open(self.file(name), "wb") as f:
            f.truncate(size)

    def start(self):
        os.makedirs(os.path.join(self.directory, "files"))
        for name, size in SIZES.items():
            with open(self.file(name), "wb") as f:
                f.write(os.urandom(size))
        configuration = os.path.join(self.directory, "nginx.conf")
        user = "user root;\n" if os.getuid() == 0 else ""
        with open(configuration, "w", encoding="ascii") as f:
            f.write(user + _CONFIGURATION.format(directory=self.directory, port=self.port))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-e", "stderr", "-p", self.directory, "-c", configuration],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True)
        until(self._answers, "nginx to listen")
        return self

    def _answers(self):
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()
