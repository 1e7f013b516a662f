"""Servers that speak TLS: a real nginx with a server block for each way of doing it, OpenSSL's s_server, and a scripted
one whose TLS goes through memory, so that a test decides what its records hold and when they come."""
import os
import re
import signal
import socket
import ssl
import subprocess
import threading

from support.backend import Backend, Connection, Gone
from support.ports import free_port
from support.waiting import LONG, until

_HEAD = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 1024; }}
http {{
    log_format tls '$server_port $status $request_method $uri $ssl_protocol reused=$ssl_session_reused sni=$ssl_server_name '
                   'client=$ssl_client_s_dn connection=$connection requests=$connection_requests';
    access_log {directory}/access.log tls;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    default_type text/plain;
"""

_SERVER = """
    server {{
        listen {address} ssl{http2};
        root {directory}/files;
        ssl_protocols {protocols};
        ssl_certificate {chain}; ssl_certificate_key {key};
        {lines}
        location = / {{ return 200 "port=$server_port sni=$ssl_server_name host=$http_host\\n"; }}
        location = /throttled {{ alias {directory}/files/big; limit_rate 4m; }}
    }}
"""


class TlsNginx:
    """add() server blocks, then start(). lines: more directives of the block."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.blocks, self.ports, self.process = [], [], None
        self.host = "127.0.0.1"

    def add(self, certificate, lines="", protocols="TLSv1.2 TLSv1.3", http2=False):
        """The port that it will listen on."""
        port = free_port()
        self.ports.append(port)
        self.blocks.append(_SERVER.format(address=f"127.0.0.1:{port}", directory=self.directory,
                                          chain=certificate.chain_file, key=certificate.key_file, lines=lines, protocols=protocols,
                                          http2=" http2" if http2 else ""))
        return port

    def start(self):
        if not os.path.exists(os.path.join(self.directory, "files")):
            os.makedirs(os.path.join(self.directory, "files"))
            with open(os.path.join(self.directory, "files", "big"), "wb") as f:
                f.write(os.urandom(8 << 20))
        file = os.path.join(self.directory, "nginx.conf")
        with open(file, "w", encoding="ascii") as f:
            f.write(("user root;\n" if os.getuid() == 0 else "") + _HEAD.format(directory=self.directory)
                    + "".join(self.blocks) + "}\n")
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-e", "stderr", "-p", self.directory, "-c", file],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True)
        until(self._answers, "nginx to listen")
        return self

    def _answers(self):
        assert self.process.poll() is None, self.process.stderr.read()
        try:
            for port in self.ports:
                socket.create_connection((self.host, port), 1).close()
            return True
        except OSError:
            return False

    def requests(self, port, count=1):
        """What the access log says of the requests that came to that port, as dicts, once there are `count`."""
        def read():
            with open(os.path.join(self.directory, "access.log"), encoding="utf-8") as f:
                lines = [line for line in f.read().splitlines() if line.startswith(f"{port} ")]
            return len(lines) >= count and lines
        found = []
        for line in until(read, f"{count} requests at nginx's port {port}"):
            words = line.split(" ")
            found.append({"status": int(words[1]), "version": words[4], **dict(re.findall(r"(\w+)=(\S*)", line))})
        return found

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()


class SServer:
    """`openssl s_server` with these arguments; -www answers HTTP/1.0 and closes."""

    def __init__(self, certificate, *arguments, ca_file=None, output=subprocess.DEVNULL):
        self.port = free_port()
        command = ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", certificate.chain_file, "-key",
                   certificate.key_file, "-cert_chain", certificate.chain_file]
        command += ["-CAfile", ca_file] if ca_file else []
        self.process = subprocess.Popen([*command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=output,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        until(self._listens, "s_server to listen")

    def _listens(self):
        assert self.process.poll() is None, "s_server ended"
        with open("/proc/net/tcp", encoding="ascii") as f:
            return any(f":{self.port:04X} 00000000:0000 0A" in line for line in f)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


class TlsConnection(Connection):
    """A connection of TlsBackend: TLS through memory."""

    def serve(self):
        backend = self.backend
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = backend.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.deliver = backend.deliver or self.socket.sendall
        try:
            if backend.before_handshake:
                backend.before_handshake(self)
            self._pump(self.tls.do_handshake)
            backend.handshakes.append(self.tls.session_reused)
        except (OSError, Gone, ssl.SSLError) as error:
            backend.tls_errors.append(error)
            self.close()
            return
        super().serve()

    def _pump(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if not data:
                    raise Gone from None
                self.incoming.write(data)
            finally:
                self.flush()

    def flush(self):
        if self.outgoing.pending:
            self.deliver(self.outgoing.read())

    def _fill(self):
        try:
            data = self._pump(lambda: self.tls.read(262144))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.saw_close_notify = True
            raise Gone from None
        except ssl.SSLError:
            raise Gone from None
        if not data:
            self.saw_close_notify = True
            raise Gone
        self.received_bytes += len(data)
        self._buffer += data

    saw_close_notify = False

    def send(self, data):
        for i in range(0, len(data), 1 << 16):
            self._pump(lambda i=i: self.tls.write(data[i:i + (1 << 16)]))

    def say_goodbye(self):
        """close_notify, and no more."""
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError):
            pass
        self.flush()


class TlsBackend(Backend):
    """Backend over TLS. deliver(bytes) sends what TLS wrote; before_handshake(connection) runs first."""

    def __init__(self, certificate, *, least=None, most=None, client_ca=None, alpn=None, tickets=True, path=None):
        versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.chain_file, certificate.key_file)
        if least:
            self.context.minimum_version = versions[least]
        if most:
            self.context.maximum_version = versions[most]
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        if alpn:
            self.context.set_alpn_protocols(alpn)
        if not tickets:
            self.context.num_tickets = 0
            self.context.options |= ssl.OP_NO_TICKET
        self.deliver = self.before_handshake = None
        self.handshakes, self.tls_errors = [], []  # whether each was resumed; why each failed
        super().__init__(path)

    connection_class = TlsConnection


class Fixed:
    """Takes connections and does to each what act(socket) says: a server that is none."""

    def __init__(self, act):
        self.act, self.count = act, 0
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(LONG)
        try:
            self.act(sock)
        except OSError:
            pass
        sock.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
