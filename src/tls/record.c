#include "tls/record.h"

#include <endian.h>

#include "base/check.h"

static void put_u64(uint8_t *at, uint64_t number)
{
    uint64_t wire = htobe64(number);
    memcpy(at, &wire, sizeof wire);
}

static void put_header(uint8_t *at, enum content_type type, size_t bytes)
{
    at[0] = (uint8_t)type;
    at[1] = 3;
    at[2] = 3;
    at[3] = (uint8_t)(bytes >> 8);
    at[4] = (uint8_t)bytes;
}

/* The sequence number, padded to the left, in exclusive-or with the IV (RFC 8446 5.3, RFC 7905 2). */
static void counted_nonce(const struct traffic_key *key, uint8_t nonce[AEAD_NONCE])
{
    uint64_t last;

    memcpy(nonce, key->iv, AEAD_NONCE);
    memcpy(&last, nonce + AEAD_NONCE - sizeof last, sizeof last);
    last ^= htobe64(key->sequence);
    memcpy(nonce + AEAD_NONCE - sizeof last, &last, sizeof last);
}

/* What is authenticated with a record of TLS 1.2: sequence number, type, version, the plaintext's length (RFC 5246 6.2.3.3). */
static void data_1_2(const struct traffic_key *key, enum content_type type, size_t plain_bytes, uint8_t data[13])
{
    put_u64(data, key->sequence);
    put_header(data + 8, type, plain_bytes);
}

static struct aead_job new_job(const struct record_keys *keys)
{
    return (struct aead_job){ .key = keys->key.key, .aead = keys->aead, .is_sealing = keys->is_sealing, .tail = -1 };
}

static uint64_t most_records(const struct record_keys *keys)
{
    return keys->version == 0x0304 && keys->aead != AEAD_CHACHA20_POLY1305 ? RECORD_AES_GCM_MOST : UINT64_MAX;
}

int record_seal(struct aead_cache *cache, struct record_keys *keys, enum content_type type, struct bytes plain,
                uint8_t *out)
{
    struct aead_job job = new_job(keys);
    size_t prefix = record_prefix(keys), total = plain.size + record_overhead(keys);
    bool is_1_3 = keys->version == 0x0304;
    uint8_t nonce[AEAD_NONCE], data[13];
    int error;

    CHECK(plain.size <= RECORD_PLAIN_MOST && keys->is_sealing);
    if (keys->key.sequence >= most_records(keys))
        return -E_RECORD_LIMIT;
    put_header(out, is_1_3 ? CONTENT_APPLICATION_DATA : type, total - RECORD_HEADER);
    if (prefix > RECORD_HEADER) {
        memcpy(nonce, keys->key.iv, 4);
        put_u64(nonce + 4, keys->key.explicit_nonce);
        memcpy(out + RECORD_HEADER, nonce + 4, RECORD_EXPLICIT_NONCE);
    } else {
        counted_nonce(&keys->key, nonce);
    }
    if (is_1_3) {
        job.data = bytes_of(out, RECORD_HEADER);
        job.tail = type;
    } else {
        data_1_2(&keys->key, type, plain.size, data);
        job.data = bytes_of(data, sizeof data);
    }
    job.nonce = nonce;
    job.in = plain;
    job.out = out + prefix;
    job.tag = out + total - AEAD_TAG;
    error = aead_run(cache, &keys->holder, &job);
    if (error)
        return error;
    keys->key.sequence++;
    keys->key.explicit_nonce++;
    return (int)total;
}

/* Content, type, zeros (RFC 8446 5.4): returns the content's bytes. */
static int strip_padding(const uint8_t *inner, size_t bytes, enum content_type *ret_type)
{
    while (bytes > 0 && inner[bytes - 1] == 0)
        bytes--;
    if (bytes == 0)
        return -E_SYNTAX;
    *ret_type = inner[bytes - 1];
    return (int)(bytes - 1);
}

int record_open(struct aead_cache *cache, struct record_keys *keys, struct bytes record, uint8_t *out,
                enum content_type *ret_type)
{
    struct aead_job job = new_job(keys);
    size_t prefix = record_prefix(keys), inner = record_opened_most(keys, record.size);
    uint8_t nonce[AEAD_NONCE], data[13];
    int error;

    CHECK(!keys->is_sealing && record.size >= RECORD_HEADER);
    if (record.size < prefix + AEAD_TAG + (keys->version == 0x0304))
        return -E_TLS;
    if (keys->key.sequence == UINT64_MAX)
        return -E_RECORD_LIMIT;
    if (prefix > RECORD_HEADER) {
        memcpy(nonce, keys->key.iv, 4);
        memcpy(nonce + 4, record.at + RECORD_HEADER, RECORD_EXPLICIT_NONCE);
    } else {
        counted_nonce(&keys->key, nonce);
    }
    if (keys->version == 0x0304) {
        job.data = bytes_part(record, 0, RECORD_HEADER);
    } else {
        data_1_2(&keys->key, record.at[0], inner, data);
        job.data = bytes_of(data, sizeof data);
    }
    job.nonce = nonce;
    job.in = bytes_part(record, prefix, inner);
    job.out = out;
    job.tag = (uint8_t *)record.at + prefix + inner; /* which opening only reads */
    error = aead_run(cache, &keys->holder, &job);
    if (error)
        return error;
    keys->key.sequence++;
    if (keys->version == 0x0304)
        return strip_padding(out, inner, ret_type);
    *ret_type = record.at[0];
    return (int)inner;
}
