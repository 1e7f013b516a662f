/* record_pair.h: two connections after a handshake that never was: ours, a server, and its client. What the client says is made
 * record by record, so that it may be anything; what the server says is opened by our own record layer on the other side
 * (tls/test_hand_over.c and the fuzz target have OpenSSL there). */
#ifndef TESTS_TLS_RECORD_PAIR_H
#define TESTS_TLS_RECORD_PAIR_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tls/client_hello.h"
#include "tls/records.h"

struct record_kind {
    uint16_t version;
    enum aead aead;
};

static const struct record_kind record_kinds[] = {
    { 0x0303, AEAD_AES_128_GCM }, { 0x0303, AEAD_AES_256_GCM }, { 0x0303, AEAD_CHACHA20_POLY1305 },
    { 0x0304, AEAD_AES_128_GCM }, { 0x0304, AEAD_AES_256_GCM }, { 0x0304, AEAD_CHACHA20_POLY1305 },
};
#define FOR_EACH_KIND(kind) \
    for (const struct record_kind *kind = record_kinds; kind < record_kinds + COUNT_OF(record_kinds); kind++)
static const struct record_kind record_1_2 = { 0x0303, AEAD_AES_128_GCM }, record_1_3 = { 0x0304, AEAD_AES_128_GCM };

struct record_pair {
    struct aead_cache *cache;
    struct tls_records server, client;
    struct buffer_pool *pool;
    struct buffer to_server, to_client;
    uint8_t got[1 << 17]; /* by the server's last call */
};

/* Keys of a connection, distinct by `seed`. Server and client take each other's directions. */
static inline struct traffic_keys pair_keys(const struct record_kind *kind, uint8_t seed, bool is_client)
{
    struct traffic_keys keys = { .version = kind->version, .aead = (uint8_t)kind->aead, .plain_most = RECORD_PLAIN_MOST,
                                 .secret_bytes = kind->aead == AEAD_AES_256_GCM ? 48 : 32 };
    struct traffic_key *of_client = is_client ? &keys.write : &keys.read;
    struct traffic_key *of_server = is_client ? &keys.read : &keys.write;

    memset(of_client->secret, seed, sizeof of_client->secret);
    memset(of_server->secret, seed + 1, sizeof of_server->secret);
    if (kind->version == 0x0304) {
        assert_int_equal(traffic_keys_expand(&keys), 0);
    } else {
        memset(of_client->key, seed + 2, sizeof of_client->key);
        memset(of_server->key, seed + 3, sizeof of_server->key);
        memset(of_client->iv, seed + 4, sizeof of_client->iv);
        memset(of_server->iv, seed + 5, sizeof of_server->iv);
        of_client->explicit_nonce = 77;
        of_server->explicit_nonce = UINT64_MAX - 1; /* whose counter wraps, as one that began at random may */
    }
    return keys;
}

static inline struct record_pair *record_pair_new(const struct record_kind *kind)
{
    struct record_pair *p = calloc(1, sizeof *p);
    struct traffic_keys server = pair_keys(kind, 10, false), client = pair_keys(kind, 10, true);

    assert_non_null(p);
    p->cache = aead_cache_new(8);
    p->pool = buffer_pool_new(1 << 20);
    records_init(&p->server, &server, false, p->cache);
    records_init(&p->client, &client, true, p->cache);
    p->client.small_left = p->server.small_left = 0;
    assert_int_equal(buffer_reserve_bulk(p->pool, &p->to_server), 0);
    assert_int_equal(buffer_reserve_bulk(p->pool, &p->to_client), 0);
    return p;
}

static inline void record_pair_free(struct record_pair *p)
{
    records_clear(&p->server);
    records_clear(&p->client);
    buffer_drop(p->pool, &p->to_server);
    buffer_drop(p->pool, &p->to_client);
    buffer_pool_free(p->pool);
    aead_cache_free(p->cache);
    free(p);
}

/* The client says this in one record. */
static inline void client_says(struct record_pair *p, int type, const void *content, size_t bytes)
{
    struct buffer *b = &p->to_server;

    assert_true(buffer_room(b) >= bytes + RECORD_OVERHEAD_MOST);
    int n = record_seal(p->cache, &p->client.write, (enum content_type)type, bytes_of(content, bytes), b->data + b->end);
    assert_true(n > 0);
    buffer_commit(b, (size_t)n);
}

#define CLIENT_SAYS(p, type, literal) client_says(p, type, literal, sizeof(literal) - 1)

/* TLS 1.3: a record of the client's whose plaintext is `inner`, type and padding included, of any size; its header names a version. */
static inline void client_says_inner_as(struct record_pair *p, const uint8_t version[2], const uint8_t *inner, size_t bytes)
{
    struct buffer *b = &p->to_server;
    struct record_keys *k = &p->client.write;
    uint8_t nonce[AEAD_NONCE], *at = b->data + b->end;
    struct aead_job job = { .key = k->key.key, .aead = k->aead, .is_sealing = true, .nonce = nonce, .data = bytes_of(at, 5),
                            .in = bytes_of(inner, bytes), .tail = -1, .out = at + 5, .tag = at + 5 + bytes };

    assert_true(buffer_room(b) >= bytes + 5 + AEAD_TAG);
    memcpy(nonce, k->key.iv, sizeof nonce);
    for (int i = 0; i < 8; i++)
        nonce[AEAD_NONCE - 1 - i] ^= (uint8_t)(k->key.sequence >> 8 * i);
    memcpy(at, (uint8_t[]){ 23, version[0], version[1], (uint8_t)((bytes + AEAD_TAG) >> 8), (uint8_t)(bytes + AEAD_TAG) }, 5);
    assert_int_equal(aead_run(p->cache, &k->holder, &job), 0);
    k->key.sequence++;
    buffer_commit(b, bytes + 5 + AEAD_TAG);
}

static inline void client_says_inner(struct record_pair *p, const uint8_t *inner, size_t bytes)
{
    client_says_inner_as(p, (const uint8_t[]){ 3, 3 }, inner, bytes);
}

/* The client follows: its next records are under its next key. */
static inline void client_updates(struct record_pair *p, uint8_t request)
{
    struct traffic_keys kind = { .version = 0x0304, .aead = p->client.write.aead, .secret_bytes = p->client.secret_bytes };

    client_says(p, CONTENT_HANDSHAKE, (uint8_t[]){ 24, 0, 0, 1, request }, 5);
    aead_release(p->cache, &p->client.write.holder);
    assert_int_equal(traffic_key_update(&kind, &p->client.write.key), 0);
}

static inline int server_opens(struct record_pair *p, size_t room)
{
    return records_open(&p->server, &p->to_server, p->got, room);
}

static inline void expect_server_gets(struct record_pair *p, const void *content, size_t bytes)
{
    assert_int_equal(server_opens(p, sizeof p->got), bytes);
    assert_memory_equal(p->got, content, bytes);
}

/* The next record for the client, under the key that it knows: returns its content's bytes. */
static inline int client_opens_one(struct record_pair *p, uint8_t *out, enum content_type *ret_type)
{
    struct bytes all = buffer_content(&p->to_client);
    size_t size;
    int n;

    if (all.size < RECORD_HEADER)
        return -E_AGAIN;
    size = RECORD_HEADER + (size_t)(all.at[3] << 8 | all.at[4]);
    assert_true(size <= all.size);
    n = record_open(p->cache, &p->client.read, bytes_of(all.at, size), out, ret_type);
    assert_true(n >= 0);
    buffer_consume(&p->to_client, size);
    return n;
}

/* The server fails with this error, and says this alert and nothing behind it. */
static inline void expect_failure(struct record_pair *p, int error, uint8_t level, uint8_t alert)
{
    uint8_t out[64] = { 0 };
    enum content_type type;

    assert_int_equal(server_opens(p, sizeof p->got), error);
    assert_true(records_owes(&p->server));
    assert_int_equal(records_answer(&p->server, &p->to_client), 0);
    assert_false(records_owes(&p->server));
    assert_int_equal(server_opens(p, sizeof p->got), error); /* for good */
    assert_false(records_owes(&p->server));
    assert_true(records_have_more(&p->server));
    assert_int_equal(records_finish(&p->server, &p->to_client), 0);
    assert_int_equal(client_opens_one(p, out, &type), 2);
    assert_int_equal(type, CONTENT_ALERT);
    assert_int_equal(out[0], level);
    assert_int_equal(out[1], alert);
    if (alert == ALERT_NO_RENEGOTIATION) { /* a warning, which ends nothing by itself */
        assert_int_equal(client_opens_one(p, out, &type), 2);
        assert_true(type == CONTENT_ALERT && out[0] == 1 && out[1] == ALERT_CLOSE_NOTIFY);
    }
    assert_int_equal(buffer_used(&p->to_client), 0);
}

#endif
