"""Certificates of every kind, made by a small PKI with an RSA and an EC branch.

A leaf is signed by a CA of its own algorithm: clients that offer no ECDSA could not use an RSA leaf under an EC CA."""
import datetime
import ipaddress
import os
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@dataclass
class Certificate:
    certificate: x509.Certificate
    key: object
    chain_file: str     # PEM: the certificate, then the intermediate where there is one
    key_file: str       # PEM, mode 0600
    both_file: str      # chain and key in one

    @property
    def serial(self):
        return self.certificate.serial_number

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)


def new_key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"ec": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}[kind]())


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Pki:
    def __init__(self, directory):
        self.directory = str(directory)
        self._made = {}
        self._count = 0
        self.roots = {kind: self._issue(f"Scenario {kind} root", None, kind, is_ca=True, end=390 * DAY) for kind in ("rsa", "ec")}
        self.ca_file = self._write("ca.pem", b"".join(self._pem(r.certificate) for r in self.roots.values()))

    def leaf(self, *names, kind="ec", start=-DAY, end=90 * DAY, client=False, issuer=None, again=0, common_name=None):
        """A leaf for these names; equal calls give the same one (unless `again` differs). start and end are relative
        to now. client: for client authentication; names may then be empty and common_name says who it is."""
        call = (names, kind, start, end, client, id(issuer), again, common_name)
        if call not in self._made:
            root = issuer or self.roots["rsa" if kind == "rsa" else "ec"]
            self._made[call] = self._issue(common_name or (names[0] if names else "client"), root, kind, names=names,
                                           start=start, end=end, client=client)
        return self._made[call]

    def authority(self, common_name, kind="ec", issuer=None, end=390 * DAY):
        """A CA: a root of its own, or an intermediate below `issuer`. end: as a leaf's."""
        call = ("authority", common_name, kind, id(issuer), end)
        if call not in self._made:
            self._made[call] = self._issue(common_name, issuer, kind, is_ca=True, end=end)
        return self._made[call]

    def expired(self, *names, kind="ec"):
        return self.leaf(*names, kind=kind, start=-30 * DAY, end=-DAY)

    def not_yet_valid(self, *names, kind="ec"):
        return self.leaf(*names, kind=kind, start=10 * DAY, end=90 * DAY)

    def self_signed(self, *names, kind="ec"):
        """A server's certificate that nobody but itself vouches for."""
        call = ("self-signed", names, kind)
        if call not in self._made:
            self._made[call] = self._issue(names[0], None, kind, names=names)
        return self._made[call]

    # ---- making them ----

    def _issue(self, common_name, issuer, kind, *, names=(), start=-DAY, end=90 * DAY, client=False, is_ca=False):
        key = new_key(kind)
        signer, issuer_name = (issuer.key, issuer.certificate.subject) if issuer else (key, _name(common_name))
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
                               "decipher_only", "key_cert_sign", "crl_sign", "digital_signature"), False)
        usage.update({"key_cert_sign": is_ca, "crl_sign": is_ca, "digital_signature": not is_ca,
                      "key_encipherment": not is_ca and kind == "rsa"})
        builder = (x509.CertificateBuilder().subject_name(_name(common_name)).issuer_name(issuer_name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW + start - (30 * DAY if is_ca else 0 * DAY)).not_valid_after(NOW + end)
                   .add_extension(x509.BasicConstraints(is_ca, None), True)
                   .add_extension(x509.KeyUsage(**usage), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), False)
        if not is_ca:
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        certificate = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        return self._keep(certificate, key, issuer)

    def _keep(self, certificate, key, issuer):
        chain = self._pem(certificate)
        if issuer is not None and issuer not in self.roots.values() and issuer.certificate.issuer != issuer.certificate.subject:
            chain += self._pem(issuer.certificate)
        key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._count += 1
        base = f"{self._count:03}"
        return Certificate(certificate, key, self._write(base + ".crt", chain), self._write(base + ".key", key_pem, 0o600),
                           self._write(base + ".pem", chain + key_pem, 0o600))

    @staticmethod
    def _pem(certificate):
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _write(self, name, content, mode=0o644):
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
            f.write(content)
        return path
