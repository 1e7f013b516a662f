"""Real mail servers as the servers behind: Postfix takes mail for USERS at a.test, Dovecot gives it out to them by IMAP and
POP3 (password "secret"). Both run in the foreground, out of a directory of their own; nothing of the system's
configuration is touched. They want root, since they change to users of their own."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from support import processes
from support.ports import free_port
from support.waiting import LONG, until

UID = 2000  # of the mailboxes
USERS = [f"user{i}" for i in range(40)]

_MAIN_CF = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = a.test
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{directory}/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = {key}, {chain}
smtpd_forbidden_commands =
"""

_MASTER_CF = """
{port}    inet  n       -       n       -       -       smtpd
{proxied} inet  n       -       n       -       -       smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
proxymap  unix  -       -       n       -       -       proxymap
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
smtp      unix  -       -       n       -       -       smtp
postlog   unix-dgram n  -       n       -       1       postlogd
"""

_RELAY_CF = """
virtual_mailbox_domains =
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{to}
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = {name}
smtp_tls_servername = {name}
smtp_tls_CAfile = {ca}
smtp_tls_loglevel = 1
"""

_DOVECOT_2_3 = """
ssl_cert = <{chain}
ssl_key = <{key}
ssl_dh =
disable_plaintext_auth = no
mail_location = maildir:{mail}/%n
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={mail}/%n
}}
"""

_DOVECOT_2_4 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
ssl_server_cert_file = {chain}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {mail}/%{{user | username}}
passdb static {{
  password = secret
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {uid}
    home = {mail}/%{{user | username}}
  }}
}}
"""

_DOVECOT = """
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
first_valid_uid = 1
first_valid_gid = 1
haproxy_trusted_networks = 127.0.0.0/8
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
  inet_listener imap_proxied {{
    port = {imap_proxied}
    haproxy = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
  inet_listener pop3_proxied {{
    port = {pop3_proxied}
    haproxy = yes
  }}
}}
"""


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class _Server:
    """A daemon in the foreground, in a session of its own."""

    def __init__(self, certificate, mailboxes):
        assert os.getuid() == 0, "mail servers change to users of their own: run this as root"
        # Their users have to get here, which they do not below pytest's own directory.
        self.directory = tempfile.mkdtemp(prefix="unlade-mail-")
        os.chmod(self.directory, 0o755)
        self.mail = mailboxes or os.path.join(self.directory, "mail")
        if not mailboxes:
            os.mkdir(self.mail)
            os.chown(self.mail, UID, UID)
        self.key, self.chain = (os.path.join(self.directory, name) for name in ("key.pem", "chain.pem"))
        shutil.copyfile(certificate.key_file, self.key)
        shutil.copyfile(certificate.chain_file, self.chain)
        os.chmod(self.key, 0o600)
        self.process = None

    def write(self, name, text, **values):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text.format(directory=self.directory, mail=self.mail, key=self.key, chain=self.chain, uid=UID, **values))
        return path

    def run(self, arguments, port):
        self.output = open(os.path.join(self.directory, "output"), "w+b")
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                        start_new_session=True)
        until(lambda: self.process.poll() is not None or _listens(port), f"{arguments[0]} to listen")
        assert self.process.poll() is None, self.log
        return self

    @property
    def log(self):
        text = ""
        for name in ("output", "log"):
            try:
                with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as f:
                    text += f.read()
            except FileNotFoundError:
                pass
        return text

    def stop(self):
        if self.process:
            self.end()
            self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LONG)
            until(lambda: not processes.session_members(self.process.pid), "a mail server's processes to end")
        finally:
            for pid in processes.session_members(self.process.pid):
                os.kill(pid, signal.SIGKILL)


class Postfix(_Server):
    def __init__(self, certificate, mailboxes=None):
        super().__init__(certificate, mailboxes)
        self.port, self.proxied_port = free_port(), free_port()
        self.relay = ""

    def relay_to(self, port, ca_file, name):
        """All mail goes on to that port, under TLS to whoever can show a certificate for that name."""
        ca = shutil.copyfile(ca_file, os.path.join(self.directory, "ca.pem"))
        self.relay = _RELAY_CF.format(to=port, name=name, ca=ca)
        return self

    def start(self):
        for name in ("queue", "data"):
            os.mkdir(os.path.join(self.directory, name))
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        self.write("mailboxes", "".join(f"{user}@a.test {user}/\n" for user in USERS))
        path = self.write("conf/main.cf", _MAIN_CF)
        with open(path, "a", encoding="ascii") as f:
            f.write(self.relay)
        self.write("conf/master.cf", _MASTER_CF, port=self.port, proxied=self.proxied_port)
        return self.run(["/usr/sbin/postfix", "-c", os.path.join(self.directory, "conf"), "start-fg"], self.port)

    def end(self):
        """The script that started it waits for the master, which is the one to be told."""
        with open(os.path.join(self.directory, "queue/pid/master.pid"), encoding="ascii") as f:
            os.kill(int(f.read()), signal.SIGTERM)
        self.process.wait(LONG)
        until(lambda: not processes.session_members(self.process.pid), "Postfix's processes to end")


class Dovecot(_Server):
    def __init__(self, certificate, mailboxes=None):
        super().__init__(certificate, mailboxes)
        self.imap_port, self.imap_proxied_port = free_port(), free_port()
        self.pop3_port, self.pop3_proxied_port = free_port(), free_port()

    def start(self):
        version = subprocess.run(["/usr/sbin/dovecot", "--version"], capture_output=True, text=True, check=True).stdout
        own = _DOVECOT_2_3 if version.startswith("2.3") else _DOVECOT_2_4
        path = self.write("dovecot.conf", own + _DOVECOT, imap=self.imap_port, imap_proxied=self.imap_proxied_port,
                          pop3=self.pop3_port, pop3_proxied=self.pop3_proxied_port)
        return self.run(["/usr/sbin/dovecot", "-F", "-c", path], self.pop3_port)

    def put(self, user, content):
        """A message in the user's mailbox, as it is."""
        for name in ("", "tmp", "new", "cur"):
            path = os.path.join(self.mail, user, name)
            os.makedirs(path, exist_ok=True)
            os.chown(path, UID, UID)
        path = os.path.join(self.mail, user, "new", f"{len(os.listdir(os.path.join(self.mail, user, 'new')))}.put.test")
        with open(path, "wb") as f:
            f.write(content)
        os.chown(path, UID, UID)
