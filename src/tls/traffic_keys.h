/* traffic_keys.h: what a handshake ends in: the keys of both directions, as whoever protects records takes them, be it our
 * record layer (record.h) or the kernel.
 *
 *     TLS 1.3   traffic secrets ----------- HKDF-Expand-Label ---> key, iv;  "traffic upd": the next secret   (RFC 8446 7.2, 7.3)
 *     TLS 1.2   master secret, randoms ---- the PRF -------------> key, iv                                    (RFC 5246 6.3)
 *
 * Pure. Whoever holds one wipes it. */
#ifndef TLS_TRAFFIC_KEYS_H
#define TLS_TRAFFIC_KEYS_H

#include "base/bytes.h"
#include "base/error.h"

enum aead { AEAD_NONE, AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };
enum { AEAD_KEY_MOST = 32, AEAD_NONCE = 12, AEAD_TAG = 16, TRAFFIC_SECRET_MOST = 48 }; /* bytes */

/* One direction. */
struct traffic_key {
    uint64_t sequence;       /* of the next record */
    uint64_t explicit_nonce; /* TLS 1.2 with AES-GCM: of the next record that is written; one that is read brings its own */
    uint8_t key[AEAD_KEY_MOST];
    uint8_t iv[AEAD_NONCE];  /* TLS 1.2 with AES-GCM: four bytes, the nonce's implicit part */
    uint8_t secret[TRAFFIC_SECRET_MOST]; /* TLS 1.3: what key and iv came from, and the next secret will */
};

struct traffic_keys {
    uint16_t version;        /* 0x0303 or 0x0304 */
    uint16_t plain_most;     /* bytes of content in a record that is written: 16384, or what max_fragment_length (RFC 6066 4) or
                                record_size_limit (RFC 8449) says */
    uint16_t read_most;      /* and in one that is read; 0: as many */
    uint8_t aead;            /* enum aead */
    uint8_t secret_bytes;    /* of the suite's hash: 32 (SHA-256) or 48 (SHA-384) */
    struct traffic_key read, write;
};

/* Bytes of an AEAD's key. */
size_t aead_key_bytes(enum aead aead);
/* Whether each record carries eight bytes of its nonce (RFC 5288 3). */
static inline bool traffic_keys_are_explicit(const struct traffic_keys *keys)
{
    return keys->version == 0x0303 && keys->aead != AEAD_CHACHA20_POLY1305;
}

/* TLS 1.3: fills in key and iv of both directions from their secrets; the sequence numbers are the caller's.
 * Returns 0 or -E_CRYPTO. */
int traffic_keys_expand(struct traffic_keys *keys) MUST_USE;
/* The same of one direction, whoever has it; of keys the suite counts alone: version, aead, secret_bytes. */
void traffic_key_expand(const struct traffic_keys *keys, struct traffic_key *key);
/* TLS 1.2: the same from the master secret (48 bytes) and both randoms (32 bytes each). */
int traffic_keys_expand_master(struct traffic_keys *keys, struct bytes master, struct bytes client_random,
                               struct bytes server_random, bool is_client) MUST_USE;
/* TLS 1.3: the direction's next generation, from sequence number 0 on (RFC 8446 7.2); likewise. Returns 0 or
 * -E_CRYPTO. */
int traffic_key_update(const struct traffic_keys *keys, struct traffic_key *key) MUST_USE;

void traffic_keys_wipe(struct traffic_keys *keys);

#endif
