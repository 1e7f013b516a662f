"""A ClientHello as a tree of vectors, each of whose bytes a test can change (RFC 8446 3.4, 4.1.2, 4.2).

    hello = Hello()                                    # what an ordinary client of TLS 1.3 says
    hello.put(groups([P256]))                          # an extension replaced in its place, or added
    hello.lengths["message/extensions/supported_groups"] = -1
    hello.encode()

The path of a length is made of the names of the vectors that it lies in; `paths()` gives them all. A change is added to
the length that would be right, or makes another out of it where it is a function, and alters no other byte, so what follows is read as the liar's counterpart reads it."""
import os
import struct

from support.tls13_keys import (
    AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256, P256, X25519, new_share)

(SERVER_NAME, MAX_FRAGMENT_LENGTH, STATUS_REQUEST, SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, ALPN, CERTIFICATE_TIMESTAMP, PADDING,
 EXTENDED_MASTER_SECRET, COMPRESS_CERTIFICATE, RECORD_SIZE_LIMIT, SESSION_TICKET, PRE_SHARED_KEY, EARLY_DATA, SUPPORTED_VERSIONS, COOKIE,
 PSK_MODES, AUTHORITIES, POST_HANDSHAKE_AUTH, SIGNATURE_ALGORITHMS_CERT, KEY_SHARE) = (
     0, 1, 5, 10, 13, 16, 18, 21, 23, 27, 28, 35, 41, 42, 43, 44, 45, 47, 49, 50, 51)
NAMES = {0: "server_name", 1: "max_fragment_length", 5: "status_request", 10: "supported_groups", 13: "signature_algorithms", 16: "alpn",
         18: "signed_certificate_timestamp", 21: "padding", 27: "compress_certificate", 28: "record_size_limit", 41: "pre_shared_key",
         42: "early_data", 43: "supported_versions", 44: "cookie", 45: "psk_key_exchange_modes", 47: "certificate_authorities",
         49: "post_handshake_auth", 50: "signature_algorithms_cert", 51: "key_share"}
GREASE = tuple(0x0A0A + 0x1010 * i for i in range(16))
PSK_KE, PSK_DHE_KE = 0, 1
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0807)


class Vector:
    """A length of `width` bytes, and the parts (bytes, vectors, extensions) that it counts."""

    def __init__(self, name, width, *parts):
        self.name, self.width, self.parts = name, width, list(parts)

    def encode(self, lengths=None, path=None):
        path = path or self.name
        content = b"".join(p if isinstance(p, bytes) else p.encode(lengths, q) for p, q in self._named(path))
        change = (lengths or {}).get(path, 0)
        size = change(len(content)) if callable(change) else len(content) + change
        return (size % (1 << 8 * self.width)).to_bytes(self.width, "big") + content

    def _named(self, path):
        """The parts and their paths: the second of a name is called so."""
        seen = {}
        for part in self.parts:
            name = "" if isinstance(part, bytes) else part.name
            seen[name] = seen.get(name, 0) + 1
            yield part, f"{path}/{name}" + (f"[{seen[name]}]" if seen[name] > 1 else "")

    def paths(self, path=None):
        path = path or self.name
        return [path] + [q for p, r in self._named(path) if not isinstance(p, bytes) for q in p.paths(r)]


class Extension:
    def __init__(self, kind, *parts):
        self.kind = kind
        self.name = NAMES.get(kind, f"extension_{kind:04x}")
        self.body = Vector(self.name, 2, *parts)

    def encode(self, lengths=None, path=None):
        return struct.pack(">H", self.kind) + self.body.encode(lengths, path)

    def paths(self, path):
        return self.body.paths(path)


def numbers(values, width=2):
    return b"".join(v.to_bytes(width, "big") for v in values)


# ---- extensions ----

def server_name(*names, kind=0):
    return Extension(SERVER_NAME, Vector("list", 2, *(p for n in names for p in (bytes([kind]), Vector("name", 2, n)))))


def groups(values):
    return Extension(SUPPORTED_GROUPS, Vector("list", 2, numbers(values)))


def signature_algorithms(values, kind=SIGNATURE_ALGORITHMS):
    return Extension(kind, Vector("list", 2, numbers(values)))


def versions(values):
    return Extension(SUPPORTED_VERSIONS, Vector("list", 1, numbers(values)))


def key_share(*entries):
    """entries: (group, key_exchange)."""
    return Extension(KEY_SHARE, Vector("client_shares", 2, *(p for g, k in entries for p in (numbers([g]), Vector("key_exchange", 2, k)))))


def alpn(*names):
    return Extension(ALPN, Vector("list", 2, *(Vector("name", 1, n) for n in names)))


def psk_modes(*values):
    return Extension(PSK_MODES, Vector("modes", 1, bytes(values)))


def cookie(value):
    return Extension(COOKIE, Vector("cookie", 2, value))


def pre_shared_key(identities, binders):
    """identities: (identity, obfuscated age); binders: bytes."""
    return Extension(PRE_SHARED_KEY,
                     Vector("identities", 2, *(p for i, age in identities for p in (Vector("identity", 2, i), struct.pack(">I", age)))),
                     Vector("binders", 2, *(Vector("binder", 1, b) for b in binders)))


def status_request():
    return Extension(STATUS_REQUEST, b"\x01", Vector("responders", 2), Vector("request_extensions", 2))


def record_size_limit(value):
    return Extension(RECORD_SIZE_LIMIT, struct.pack(">H", value))


def padding(size):
    return Extension(PADDING, bytes(size))


def is_grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


# ---- the message ----

class Hello:
    """shares: the groups that key shares are made for; group_list: supported_groups. The private keys are in `keys` by group."""

    def __init__(self, name=b"a.test", shares=(X25519,), group_list=(X25519, P256), suites=None, protocols=(b"http/1.1",)):
        self.legacy_version = 0x0303
        self.random = os.urandom(32)
        self.session_id = os.urandom(32)
        self.suites = list(suites or (AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256))
        self.compressions = b"\0"
        self.keys = {g: new_share(g) for g in shares}
        self.lengths = {}
        self.tail = b""         # behind the extensions, within the message
        self.extensions = [
            *([server_name(name)] if name is not None else []),
            groups(group_list),
            signature_algorithms(SIGNATURES),
            *([alpn(*protocols)] if protocols else []),
            versions([0x0304]),
            psk_modes(PSK_DHE_KE),
            key_share(*((g, k.public) for g, k in self.keys.items())),
        ]

    def find(self, kind):
        return next((e for e in self.extensions if e.kind == kind), None)

    def kinds(self):
        return [e.kind for e in self.extensions]

    def put(self, *extensions):
        """Each in the place of the one of its type, or behind all others but pre_shared_key."""
        for extension in extensions:
            at = self.kinds().index(extension.kind) if extension.kind in self.kinds() else None
            if at is not None:
                self.extensions[at] = extension
            elif self.extensions and self.extensions[-1].kind == PRE_SHARED_KEY:
                self.extensions.insert(-1, extension)
            else:
                self.extensions.append(extension)
        return self

    def drop(self, *kinds):
        self.extensions = [e for e in self.extensions if e.kind not in kinds]
        return self

    def share(self, *groups_):
        """Key shares for these groups instead; their keys are kept."""
        for g in groups_:
            self.keys.setdefault(g, new_share(g))
        return self.put(key_share(*((g, self.keys[g].public) for g in groups_)))

    def _message(self):
        """Without extensions it is one of TLS 1.2 or before."""
        extensions = [Vector("extensions", 2, *self.extensions)] if self.extensions is not None else []
        return Vector("message", 3, struct.pack(">H", self.legacy_version), self.random, Vector("session_id", 1, self.session_id),
                      Vector("cipher_suites", 2, numbers(self.suites)), Vector("compressions", 1, self.compressions), *extensions, self.tail)

    def paths(self):
        return self._message().paths()

    def encode(self):
        return b"\x01" + self._message().encode(self.lengths)

    def binders_size(self):
        """How many bytes at the message's end are binders, their lengths included; what a binder covers ends before them (4.2.11.2)."""
        return len(self.extensions[-1].body.parts[1].encode()) + len(self.tail)
