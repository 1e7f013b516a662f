#!/usr/bin/python3
"""Makes vectors.h: records and keys out of an implementation that shares nothing with ours: hmac of Python's standard library, and
the AEADs of python3-cryptography. Run it again only to add vectors: tests/unit/tls/make_vectors.py > tests/unit/tls/vectors.h"""
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

PLAIN = b"The first byte is to arrive early."


def expand_label(name, secret, label, size):  # RFC 8446 7.1, with an empty context; RFC 5869 2.3
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    out, block, i = b"", b"", 1
    while len(out) < size:
        block = hmac.new(secret, block + info + bytes([i]), name).digest()
        out, i = out + block, i + 1
    return out[:size]


def prf(name, master, label, seed, size):  # RFC 5246 5
    a, out, seed = label + seed, b"", label + seed
    while len(out) < size:
        a = hmac.new(master, a, name).digest()
        out += hmac.new(master, a + seed, name).digest()
    return out[:size]


def nonce(iv, sequence):
    return bytes(a ^ b for a, b in zip(iv, sequence.to_bytes(12, "big")))


def record_1_3(aead, key, iv, sequence, kind, plain, padding=0):
    inner = plain + bytes([kind]) + bytes(padding)
    header = bytes([23, 3, 3]) + (len(inner) + 16).to_bytes(2, "big")
    return header + aead(key).encrypt(nonce(iv, sequence), inner, header)


def record_1_2(aead, key, iv, sequence, kind, plain, explicit=None):
    data = sequence.to_bytes(8, "big") + bytes([kind, 3, 3]) + len(plain).to_bytes(2, "big")
    shown = b"" if explicit is None else explicit.to_bytes(8, "big")
    sealed = aead(key).encrypt(nonce(iv, sequence) if explicit is None else iv + shown, plain, data)
    return bytes([kind, 3, 3]) + (len(shown) + len(sealed)).to_bytes(2, "big") + shown + sealed


def define(name, value):
    text = value.hex()
    parts = [text[i:i + 100] for i in range(0, len(text), 100)]
    print(f"#define {name} \\\n    " + " \\\n    ".join(f'"{p}"' for p in parts))


print("/* vectors.h: made by make_vectors.py, which says how. Bytes in hexadecimal digits. */")
print("#ifndef TESTS_TLS_VECTORS_H\n#define TESTS_TLS_VECTORS_H\n")
print(f'#define VECTOR_PLAIN "{PLAIN.decode()}"\n')

for suite, aead, name, key_size in (("AES_128_GCM", AESGCM, "sha256", 16), ("AES_256_GCM", AESGCM, "sha384", 32),
                                    ("CHACHA20", ChaCha20Poly1305, "sha256", 32)):
    size = hashlib.new(name).digest_size
    print(f"/* {suite}, TLS 1.3: three generations, and a record under each: number 5, with 7 bytes of padding */")
    secret = bytes(range(1, size + 1))
    for generation in range(3):
        key, iv = expand_label(name, secret, b"key", key_size), expand_label(name, secret, b"iv", 12)
        prefix = f"{suite}_13_{generation}"
        define(f"{prefix}_SECRET", secret)
        define(f"{prefix}_KEY", key)
        define(f"{prefix}_IV", iv)
        define(f"{prefix}_RECORD", record_1_3(aead, key, iv, 5, 23, PLAIN))
        define(f"{prefix}_PADDED", record_1_3(aead, key, iv, 5, 21, PLAIN, 7))
        secret = expand_label(name, secret, b"traffic upd", size)
    print(f"\n/* {suite}, TLS 1.2: master secret and randoms, the keys, a record of the client's: number 0x0102030405060708 */")
    master, client, server = bytes(range(48)), bytes(range(64, 96)), bytes(range(128, 160))
    iv_size = 12 if suite == "CHACHA20" else 4
    block = prf(name, master, b"key expansion", server + client, 2 * (key_size + iv_size))
    keys, ivs = block[:2 * key_size], block[2 * key_size:]
    prefix = f"{suite}_12"
    define(f"{prefix}_MASTER", master)
    define(f"{prefix}_CLIENT_RANDOM", client)
    define(f"{prefix}_SERVER_RANDOM", server)
    define(f"{prefix}_CLIENT_KEY", keys[:key_size])
    define(f"{prefix}_SERVER_KEY", keys[key_size:])
    define(f"{prefix}_CLIENT_IV", ivs[:iv_size])
    define(f"{prefix}_SERVER_IV", ivs[iv_size:])
    explicit = None if suite == "CHACHA20" else 0xF1F2F3F4F5F6F7FE
    for kind, plain in ((23, PLAIN), (22, b"")):
        define(f"{prefix}_RECORD_{kind}", record_1_2(aead, keys[:key_size], ivs[:iv_size], 0x0102030405060708, kind, plain,
                                                    explicit))
    print()
print("#endif")
