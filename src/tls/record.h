/* record.h: protects and opens single TLS records with keys that a handshake produced.
 *
 *     plaintext --record_seal()--> a record          a record --record_open()--> plaintext
 *
 *     TLS 1.3            header (5) | plaintext, type (1), padding, encrypted | tag (16)              RFC 8446 5.2
 *     TLS 1.2, AES-GCM   header (5) | explicit nonce (8) | plaintext, encrypted | tag (16)            RFC 5288 3
 *     TLS 1.2, ChaCha20  header (5) | plaintext, encrypted | tag (16)                                 RFC 7905 2
 *
 * Pure: no socket, no clock. What a record means, and what is said to a peer that sends a wrong one, is records.h's. */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include "tls/aead.h"
#include "tls/wire.h"

enum { /* bytes */
    RECORD_EXPLICIT_NONCE = 8,
    RECORD_CIPHER_MOST_1_3 = RECORD_PLAIN_MOST + 1 + AEAD_TAG, /* behind the header: content, type and padding have a limit (RFC 8446
                                                                  5.4), which with tags of this size is below that of 5.2 */
    RECORD_CIPHER_MOST_1_2 = RECORD_PLAIN_MOST + 2048, /* RFC 5246 6.2.3 */
    RECORD_OVERHEAD_MOST = 29,     /* that sealing adds: header, explicit nonce, tag; or header, type, tag */
};

/* Full-size records that AES-GCM protects well enough under one key of TLS 1.3: 2^24.5 (RFC 8446 5.5). */
#define RECORD_AES_GCM_MOST UINT64_C(23726566)

/* One direction of a connection. */
struct record_keys {
    struct traffic_key key;
    struct aead_holder holder;
    uint16_t version;
    uint8_t aead;
    bool is_sealing;
};

/* Bytes of the record that begins with this header, header included. */
static inline size_t record_size(const uint8_t header[RECORD_HEADER])
{
    return RECORD_HEADER + ((size_t)header[3] << 8 | header[4]);
}
/* Bytes in front of a record's ciphertext: header, and explicit nonce where there is one. */
static inline size_t record_prefix(const struct record_keys *keys)
{
    return keys->version == 0x0303 && keys->aead != AEAD_CHACHA20_POLY1305 ? RECORD_HEADER + RECORD_EXPLICIT_NONCE
                                                                          : RECORD_HEADER;
}
/* Bytes that record_seal adds to the plaintext. */
static inline size_t record_overhead(const struct record_keys *keys)
{
    return keys->version == 0x0304 ? RECORD_HEADER + 1 + AEAD_TAG : record_prefix(keys) + AEAD_TAG;
}

/* Seals up to RECORD_PLAIN_MOST bytes of one content type into one record.
 *   out   room for plain.size + record_overhead(keys) bytes; plain may stand at out + record_prefix(keys) already, else it
 *         must not overlap
 * Returns the record's bytes, or
 *   -E_RECORD_LIMIT   the key has sealed as much as it may (RFC 8446 5.5, or its sequence numbers end): update it first
 *   -E_CRYPTO, -E_MEMORY   close the connection */
int record_seal(struct aead_cache *cache, struct record_keys *keys, enum content_type type, struct bytes plain,
                uint8_t *out) MUST_USE;

/* Opens one whole record.
 *   record        header and all that its length says
 *   out           where the content goes; room for record_opened_most(keys, record.size) bytes; or the place of the ciphertext itself,
 *                 record + record_prefix(keys): opened in place
 *   ret_type      of the content, as the record protects it
 * Returns the content's bytes (out has no type and no padding among them, but what stood there is overwritten further), or
 *   -E_TLS            the record cannot be opened (the tag, or it is too short): bad_record_mac
 *   -E_SYNTAX         TLS 1.3: nothing but padding: unexpected_message
 *   -E_RECORD_LIMIT   its sequence numbers end
 *   -E_CRYPTO, -E_MEMORY */
int record_open(struct aead_cache *cache, struct record_keys *keys, struct bytes record, uint8_t *out,
                enum content_type *ret_type) MUST_USE;
/* Bytes that record_open may write for a record of that size (header included). */
static inline size_t record_opened_most(const struct record_keys *keys, size_t record_size)
{
    size_t around = record_prefix(keys) + AEAD_TAG;
    return record_size > around ? record_size - around : 0;
}

#endif
