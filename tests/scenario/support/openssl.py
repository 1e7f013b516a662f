"""The command line clients of OpenSSL and GnuTLS, and what they say about a connection."""
import re
import subprocess

from support.waiting import LONG


class Seen:
    """What `openssl s_client` printed."""

    def __init__(self, done):
        self.status, self.text = done.returncode, done.stdout + done.stderr

    def _find(self, pattern):
        found = re.search(pattern, self.text, re.MULTILINE)
        return found.group(1) if found else None

    @property
    def connected(self):
        return self.suite not in (None, "0000", "(NONE)")

    @property
    def suite(self):
        return self._find(r"^(?:New|Reused), .*Cipher is (\S+)")

    @property
    def version(self):
        return self.connected and (self._find(r"^\s*Protocol\s*: (\S+)") or self._find(r"^(?:New|Reused), (\S+), Cipher"))

    @property
    def resumed(self):
        return bool(re.search(r"^Reused, ", self.text, re.MULTILINE))

    @property
    def group(self):
        found = re.search(r"^(?:Server Temp Key|Peer Temp Key): (?:ECDH, )?(\S+?),|^Negotiated TLS1.3 group: (\S+)", self.text, re.MULTILINE)
        return found and (found.group(1) or found.group(2))

    @property
    def alert(self):
        """The number of the alert that the server sent."""
        found = self._find(r"SSL alert number (\d+)")
        return int(found) if found else None

    @property
    def alpn(self):
        return self._find(r"^ALPN protocol: (.*)$")

    @property
    def peer_signature(self):
        """ECDSA, RSA-PSS or RSA, as OpenSSL 3.0 says it; 3.5 prints the scheme's name."""
        said = self._find(r"^Peer signature type: (.*)$")
        names = {"ecdsa_": "ECDSA", "rsa_pss_": "RSA-PSS", "rsa_pkcs1_": "RSA"}
        return said and next((name for scheme, name in names.items() if said.startswith(scheme)), said)

    @property
    def subject(self):
        return self._find(r"^subject=(.*)$")


def s_client(port, *arguments, name="a.test", stdin="", host="127.0.0.1"):
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", *map(str, arguments)]
    command += ["-servername", name] if name else ["-noservername"]
    return Seen(subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", timeout=LONG, check=False))


def gnutls_cli(port, priority, pki, *arguments, name="a.test", stdin=""):
    """gnutls-cli with a priority string: a subprocess.CompletedProcess with text."""
    command = ["gnutls-cli", "--x509cafile", pki.ca_file, "--sni-hostname", name, "--verify-hostname", name, "--priority", priority,
               "-p", str(port), *map(str, arguments), "127.0.0.1"]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", timeout=LONG, check=False)
