/* hmac.c: RFC 2104 and RFC 5869 over the library's hash functions, which it calls "low level" and would rather hide. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/hmac.h"

#include <endian.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

/* ---- The hashes ---- */

size_t hash_bytes(enum hash hash)
{
    CHECK(hash != HASH_NONE);
    return hash == HASH_SHA256 ? SHA256_DIGEST_LENGTH : SHA384_DIGEST_LENGTH;
}

size_t hash_block_bytes(enum hash hash)
{
    return hash == HASH_SHA256 ? SHA256_CBLOCK : SHA512_CBLOCK;
}

enum hash hash_named(const char *name)
{
    static const struct {
        const char *name;
        enum hash hash;
    } names[] = {
        { "SHA2-256", HASH_SHA256 }, { "SHA2-384", HASH_SHA384 }, { "SHA256", HASH_SHA256 },
        { "SHA384", HASH_SHA384 },   { "SHA-256", HASH_SHA256 },  { "SHA-384", HASH_SHA384 },
    };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcasecmp(name, names[i].name) == 0)
            return names[i].hash;
    return HASH_NONE;
}

void hash_start(union hash_state *s, enum hash hash)
{
    CHECK((hash == HASH_SHA256 ? SHA256_Init(&s->sha256) : SHA384_Init(&s->sha512)) == 1);
}

void hash_add(union hash_state *s, enum hash hash, struct bytes piece)
{
    if (piece.size)
        CHECK((hash == HASH_SHA256 ? SHA256_Update(&s->sha256, piece.at, piece.size)
                                   : SHA384_Update(&s->sha512, piece.at, piece.size)) == 1);
}

void hash_end(union hash_state *s, enum hash hash, uint8_t *ret_hash)
{
    CHECK((hash == HASH_SHA256 ? SHA256_Final(ret_hash, &s->sha256) : SHA384_Final(ret_hash, &s->sha512)) == 1);
}

void hash_once(enum hash hash, struct bytes data, uint8_t *ret_hash)
{
    union hash_state s;

    hash_start(&s, hash);
    hash_add(&s, hash, data);
    hash_end(&s, hash, ret_hash);
}

/* ---- HMAC ---- */

void hmac_key(struct hmac *h, enum hash hash, struct bytes key)
{
    size_t size = hash_block_bytes(hash);
    uint8_t block[HASH_BLOCK_MOST] = { 0 };

    h->hash = hash;
    if (key.size > size) {
        hash_start(&h->inner, hash);
        hash_add(&h->inner, hash, key);
        hash_end(&h->inner, hash, block);
    } else if (key.size) {
        memcpy(block, key.at, key.size);
    }
    for (size_t i = 0; i < size; i++)
        block[i] ^= 0x36;
    hash_start(&h->inner, hash);
    hash_add(&h->inner, hash, bytes_of(block, size));
    for (size_t i = 0; i < size; i++)
        block[i] ^= 0x36 ^ 0x5c;
    hash_start(&h->outer, hash);
    hash_add(&h->outer, hash, bytes_of(block, size));
    explicit_bzero(block, sizeof block);
    hmac_restart(h);
}

void hmac_restart(struct hmac *h)
{
    h->running = h->inner;
}

void hmac_add(struct hmac *h, struct bytes piece)
{
    hash_add(&h->running, h->hash, piece);
}

void hmac_end(struct hmac *h, uint8_t *ret_mac)
{
    size_t size = hash_bytes(h->hash);
    uint8_t inner[HASH_BYTES_MOST];

    hash_end(&h->running, h->hash, inner);
    h->running = h->outer;
    hash_add(&h->running, h->hash, bytes_of(inner, size));
    hash_end(&h->running, h->hash, ret_mac);
    explicit_bzero(inner, sizeof inner);
    hmac_restart(h);
}

/* SHA-256 of 64 bytes, which the state has, and a few more that fill no block beside its padding: one compression. */
static void end_in_one_block(const SHA256_CTX *keyed, struct bytes piece, uint8_t ret_hash[SHA256_DIGEST_LENGTH])
{
    SHA256_CTX s;
    uint8_t *block = (uint8_t *)s.data; /* as good a place as any */
    size_t bits = 8 * (SHA256_CBLOCK + piece.size);

    memcpy(s.h, keyed->h, sizeof s.h);
    memset(block, 0, SHA256_CBLOCK);
    if (piece.size)
        memcpy(block, piece.at, piece.size);
    block[piece.size] = 0x80;
    block[SHA256_CBLOCK - 2] = (uint8_t)(bits >> 8);
    block[SHA256_CBLOCK - 1] = (uint8_t)bits;
    SHA256_Transform(&s, block);
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH / 4; i++) {
        uint32_t word = htobe32(s.h[i]);

        memcpy(ret_hash + 4 * i, &word, sizeof word);
    }
    explicit_bzero(&s, sizeof s);
}

void hmac_once(struct hmac *h, struct bytes message, uint8_t *ret_mac)
{
    enum { PADDING_LEAST = 9 };
    uint8_t inner[SHA256_DIGEST_LENGTH];

    if (h->hash != HASH_SHA256 || message.size > SHA256_CBLOCK - PADDING_LEAST) {
        hmac_add(h, message);
        hmac_end(h, ret_mac);
        return;
    }
    end_in_one_block(&h->inner.sha256, message, inner);
    end_in_one_block(&h->outer.sha256, bytes_of(inner, sizeof inner), ret_mac);
    explicit_bzero(inner, sizeof inner);
}

void hmac_wipe(struct hmac *h)
{
    explicit_bzero(h, sizeof *h);
}

/* ---- HKDF ---- */

void hkdf_extract(enum hash hash, struct bytes salt, struct bytes keying, uint8_t *ret_secret)
{
    struct hmac h;

    hmac_key(&h, hash, salt);
    hmac_once(&h, keying, ret_secret);
    hmac_wipe(&h);
}

static uint8_t *put(uint8_t *at, struct bytes piece)
{
    if (piece.size)
        memcpy(at, piece.at, piece.size);
    return at + piece.size;
}

/* struct HkdfLabel: the length, "tls13 " + Label and the context, the latter two with a byte that tells their size. */
static uint8_t *write_info(uint8_t *at, size_t bytes, struct bytes prefix, struct bytes label, struct bytes context)
{
    *at++ = (uint8_t)(bytes >> 8);
    *at++ = (uint8_t)bytes;
    *at++ = (uint8_t)(prefix.size + label.size);
    at = put(put(at, prefix), label);
    *at++ = (uint8_t)context.size;
    return put(at, context);
}

void hkdf_expand_label(struct hmac *secret, struct bytes prefix, struct bytes label, struct bytes context, uint8_t *out,
                       size_t bytes)
{
    size_t size = hash_bytes(secret->hash), done = 0;
    uint8_t round[HASH_BYTES_MOST + 2 + 1 + 255 + 1 + 255 + 1]; /* the block before, the info, the round's number */
    uint8_t *info = round + HASH_BYTES_MOST, *end, block[HASH_BYTES_MOST];

    CHECK(prefix.size + label.size <= 255 && context.size <= 255 && bytes <= 255 * size);
    end = write_info(info, bytes, prefix, label, context);
    for (uint8_t number = 1; done < bytes; number++) {
        size_t n = bytes - done < size ? bytes - done : size;
        uint8_t *start = number > 1 ? info - size : info;

        if (number > 1)
            memcpy(start, block, size);
        *end = number;
        hmac_once(secret, bytes_of(start, (size_t)(end + 1 - start)), block);
        memcpy(out + done, block, n);
        done += n;
    }
    explicit_bzero(block, sizeof block);
    if (done > size)
        explicit_bzero(round, sizeof round);
}
