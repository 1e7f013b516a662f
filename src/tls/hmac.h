/* hmac.h: HMAC (RFC 2104) and HKDF (RFC 5869, with the labels of RFC 8446 7.1) over the hashes of TLS 1.3's suites.
 *
 * A full handshake needs some twenty of these, on 32 to 48 bytes each. Through EVP each costs several times what the hash
 * does, in contexts, parameters and look-ups by name; these call the hash functions themselves. Nothing here can fail.
 *
 * Pure. Only files of tls/ include this. Whoever keeps a struct hmac wipes it: it is as good as the key. */
#ifndef TLS_HMAC_H
#define TLS_HMAC_H

#include <openssl/sha.h>

#include "base/bytes.h"

enum hash { HASH_NONE, HASH_SHA256, HASH_SHA384 };
enum { HASH_BYTES_MOST = 48, HASH_BLOCK_MOST = 128 };

union hash_state {
    SHA256_CTX sha256;
    SHA512_CTX sha512;
};

struct hmac {
    enum hash hash;
    union hash_state inner, outer; /* with the key in them, and nothing else */
    union hash_state running;      /* the inner one with the message so far */
};

size_t hash_bytes(enum hash hash);
size_t hash_block_bytes(enum hash hash);
/* By its name in the library's words, whatever their case: "SHA2-256", "SHA-256", "SHA256"; HASH_NONE: another one. */
enum hash hash_named(const char *name);

/* A hash over pieces. Ending it leaves nothing to go on with: who wants to copies the state before. Writes the hash's size. */
void hash_start(union hash_state *s, enum hash hash);
void hash_add(union hash_state *s, enum hash hash, struct bytes piece);
void hash_end(union hash_state *s, enum hash hash, uint8_t *ret_hash);
/* Writes the hash's size. */
void hash_once(enum hash hash, struct bytes data, uint8_t *ret_hash);

/* Sets the key; a message can begin. */
void hmac_key(struct hmac *h, enum hash hash, struct bytes key);
void hmac_add(struct hmac *h, struct bytes piece);
/* Writes the hash's size, and is ready for another message under the same key. */
void hmac_end(struct hmac *h, uint8_t *ret_mac);
/* Of a whole message, where none was begun: the cheapest way if it is short. Writes the hash's size. */
void hmac_once(struct hmac *h, struct bytes message, uint8_t *ret_mac);
/* Forgets the message so far. */
void hmac_restart(struct hmac *h);
void hmac_wipe(struct hmac *h);

/* Writes the hash's size. An empty salt stands for zeros. */
void hkdf_extract(enum hash hash, struct bytes salt, struct bytes keying, uint8_t *ret_secret);
/* HKDF-Expand-Label: prefix is "tls13 ". With the secret as the key of `secret`, which stays so. Prefix and label have at most 255
 * bytes together, as has the context; 255 times the hash's size can be had. */
void hkdf_expand_label(struct hmac *secret, struct bytes prefix, struct bytes label, struct bytes context, uint8_t *out,
                       size_t bytes);

#endif
