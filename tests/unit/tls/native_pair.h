/* native_pair.h: a handshake between our session, in whichever engine tls_session_accept() chooses, and OpenSSL's own client, in memory. */
#ifndef TESTS_TLS_NATIVE_PAIR_H
#define TESTS_TLS_NATIVE_PAIR_H

#include "peers.h"

#include "tls/aead.h"
#include "tls/batch.h"
#include "tls/hmac.h"
#include "tls/record.h"

/* What the visits of a test program share. */
static struct tls_thread visit_thread;

static inline void visits_begin(void)
{
    visit_thread = (struct tls_thread){ batch_new(NULL), aead_cache_new(8) };
    assert_true(visit_thread.batch && visit_thread.aeads);
}

static inline void visits_end(void)
{
    batch_free(visit_thread.batch);
    aead_cache_free(visit_thread.aeads);
}

struct visit {
    /* To be set. */
    struct tls_context *context;
    SSL_CTX *client_context;
    SSL_SESSION *resumes;    /* or NULL; stays the caller's */
    const char *binding;     /* NULL: "host" */
    size_t at_once;          /* bytes given to the server at a time; 0: all */
    bool one_byte_records;   /* the client's messages are repacked so */
    size_t spoils;           /* and then, of its protected messages, this byte is changed: its number, from 1 on; 0: none */
    const char *early;       /* the client writes that before it knows better */
    int64_t now;             /* 0: the clock's */
    void (*prepare)(SSL *client);

    /* Found. */
    struct tls_waiter waiter;
    bool is_ready, offers_psk;
    struct tls_session *server;
    SSL *client;
    struct buffer_pool *pool;
    struct arena arena;
    struct buffer out;
    uint8_t *sent;           /* all that the server sent */
    size_t sent_bytes;
    uint8_t waiting[65536];  /* of what the client sent */
    size_t waiting_bytes;
    int result;              /* the server's */
    struct tls_facts facts;
    struct tls_failure failure;
    char name[256];          /* the client's */
    struct traffic_keys keys;
    uint8_t client_secret[48]; /* of the handshake */
    size_t secret_bytes, repacked;
    struct record_keys opening, repacking;
};

static inline void visit_ready(struct tls_waiter *w)
{
    CONTAINER_OF(w, struct visit, waiter)->is_ready = true;
}

static inline void visit_note_secret(const SSL *client, const char *line)
{
    static const char label[] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET ";
    struct visit *v = SSL_get_app_data(client);
    const char *at;

    if (!v || strncmp(line, label, sizeof label - 1) != 0)
        return;
    at = strchr(line + sizeof label - 1, ' ') + 1;
    for (v->secret_bytes = 0; at[0] && at[1]; at += 2) {
        const char digits[3] = { at[0], at[1] };
        v->client_secret[v->secret_bytes++] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* ---- The client's messages, a record for each byte of them ---- */

static inline size_t visit_repack(struct visit *v, struct bytes in, uint8_t *out)
{
    uint8_t *at = out, content[RECORD_CIPHER_MOST_1_3];

    while (in.size) {
        size_t size = record_size(in.at);
        struct bytes record = bytes_part(in, 0, size), body = bytes_from(record, RECORD_HEADER);
        enum content_type type = record.at[0];
        bool is_sealed = type == CONTENT_APPLICATION_DATA && v->secret_bytes;
        int n;

        if (is_sealed && !v->opening.version) {
            struct traffic_keys keys = { .version = 0x0304, .secret_bytes = (uint8_t)v->secret_bytes };
            const SSL_CIPHER *cipher = SSL_get_current_cipher(v->client);

            keys.aead = SSL_CIPHER_get_protocol_id(cipher) == 0x1301   ? AEAD_AES_128_GCM
                        : SSL_CIPHER_get_protocol_id(cipher) == 0x1302 ? AEAD_AES_256_GCM
                                                                       : AEAD_CHACHA20_POLY1305;
            memcpy(keys.read.secret, v->client_secret, v->secret_bytes);
            traffic_key_expand(&keys, &keys.read);
            v->opening = (struct record_keys){ .key = keys.read, .version = 0x0304, .aead = keys.aead };
            v->repacking = v->opening;
            v->repacking.is_sealing = true;
        }
        if (is_sealed) {
            n = record_open(visit_thread.aeads, &v->opening, record, content, &type);
            assert_true(n >= 0);
            body = bytes_of(content, (size_t)n);
        }
        for (size_t i = 0; i < body.size; i++) {
            if (is_sealed) {
                content[i] ^= ++v->repacked == v->spoils ? 0x80 : 0;
                n = record_seal(visit_thread.aeads, &v->repacking, type, bytes_part(body, i, 1), at);
                assert_true(n > 0);
                at += n;
            } else if (type == CONTENT_HANDSHAKE) {
                const uint8_t one[] = { type, 3, 3, 0, 1, body.at[i] };
                memcpy(at, one, sizeof one);
                at += sizeof one;
            } else { /* is not cut: ChangeCipherSpec */
                memcpy(at, record.at, record.size);
                at += record.size;
                break;
            }
        }
        in = bytes_from(in, size);
    }
    return (size_t)(at - out);
}

/* ---- To and fro ---- */

static inline void visit_open(struct visit *v)
{
    v->client = SSL_new(v->client_context);
    v->pool = buffer_pool_new(1 << 20);
    v->sent = malloc(1 << 20);
    v->waiter.ready = visit_ready;
    v->result = -E_AGAIN;
    arena_init(&v->arena, NULL, SIZE_MAX);
    assert_true(v->client && v->pool && v->sent);
    SSL_CTX_set_keylog_callback(v->client_context, visit_note_secret);
    SSL_set_app_data(v->client, v);
    SSL_set_bio(v->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(v->client);
    if (v->prepare)
        v->prepare(v->client);
    if (v->resumes)
        assert_int_equal(SSL_set_session(v->client, v->resumes), 1);
}

/* The server's session, when the whole ClientHello is there. */
static inline void visit_accept(struct visit *v, struct bytes in)
{
    struct tls_session_parts parts = { bytes_of_text(v->binding ? v->binding : "host"), &visit_thread, &v->waiter,
                                       v->now ? v->now : (int64_t)time(NULL) };
    struct client_hello hello;
    uint8_t alert = 0;
    int error = client_hello_read(in, &v->arena, &hello, &alert);

    if (error == -E_AGAIN)
        return;
    assert_int_equal(error, 0);
    v->offers_psk = hello.has_pre_shared_key;
    v->server = tls_session_accept(v->context, &hello, &parts);
    if (!v->server)
        v->result = -E_MEMORY;
}

/* One call of the server with the first `bytes` of what waits. Returns how many it took. */
static inline size_t visit_call(struct visit *v, size_t bytes)
{
    struct bytes in = bytes_of(v->waiting, bytes);

    if (v->result == -E_PENDING) {
        v->is_ready = false;
        batch_run(visit_thread.batch);
        assert_true(v->is_ready);
        v->result = -E_AGAIN;
    }
    if (!v->server)
        visit_accept(v, in);
    if (!v->server)
        return 0;
    assert_int_equal(buffer_reserve(v->pool, &v->out), 0);
    v->result = tls_session_handshake(v->server, &in, &v->out);
    assert_true(v->sent_bytes + buffer_used(&v->out) < 1 << 20);
    memcpy(v->sent + v->sent_bytes, v->out.data + v->out.start, buffer_used(&v->out));
    v->sent_bytes += buffer_used(&v->out);
    if (buffer_used(&v->out))
        assert_int_equal(BIO_write(SSL_get_rbio(v->client), v->out.data + v->out.start, (int)buffer_used(&v->out)),
                         (int)buffer_used(&v->out));
    buffer_drop(v->pool, &v->out);
    memmove(v->waiting, v->waiting + bytes - in.size, v->waiting_bytes - (bytes - in.size));
    v->waiting_bytes -= bytes - in.size;
    return bytes - in.size;
}

static inline bool visit_goes_on(const struct visit *v)
{
    return v->result == -E_AGAIN || v->result == -E_PENDING;
}

/* What came goes in, so many bytes more at a time. */
static inline void visit_serve(struct visit *v)
{
    size_t given = 0;

    while (visit_goes_on(v) && (given < v->waiting_bytes || v->result == -E_PENDING)) {
        size_t step = v->at_once && v->at_once < v->waiting_bytes - given ? v->at_once : v->waiting_bytes - given;

        if (v->result != -E_PENDING)
            given += step;
        given -= visit_call(v, given);
    }
}

static inline void visit_collect(struct visit *v)
{
    static uint8_t raw[16384];
    int n = BIO_read(SSL_get_wbio(v->client), raw, sizeof raw);

    if (n <= 0)
        return;
    if (v->one_byte_records) {
        v->waiting_bytes += visit_repack(v, bytes_of(raw, (size_t)n), v->waiting + v->waiting_bytes);
    } else {
        memcpy(v->waiting + v->waiting_bytes, raw, (size_t)n);
        v->waiting_bytes += (size_t)n;
    }
}

/* Shakes hands. Returns whether both ends are done; then the server's keys are out, else there is its failure. */
static inline bool visit_shake(struct visit *v)
{
    int client = 0;
    size_t written;

    if (v->early) {
        assert_int_equal(SSL_write_early_data(v->client, v->early, strlen(v->early), &written), 1);
        visit_collect(v);
        visit_serve(v);
    }
    for (int round = 0; round < 10 && visit_goes_on(v); round++) {
        client = SSL_do_handshake(v->client);
        ERR_clear_error();
        visit_collect(v);
        visit_serve(v);
    }
    if (client != 1)
        client = SSL_do_handshake(v->client);
    ERR_clear_error();
    if (v->server)
        tls_session_failure(v->server, &v->failure);
    if (v->result != 0 || client != 1)
        return false;
    tls_session_facts(v->server, &v->facts);
    (void)tls_session_client_name(v->server, v->name);
    v->name[tls_session_client_name(v->server, v->name).size] = '\0';
    return tls_session_hand_over(v->server, &v->keys);
}

/* Content both ways under the keys. */
static inline void visit_speak(struct visit *v)
{
    static const char words[] = "what a server says";
    struct record_keys writing = { .key = v->keys.write, .version = 0x0304, .aead = v->keys.aead, .is_sealing = true };
    struct record_keys reading = { .key = v->keys.read, .version = 0x0304, .aead = v->keys.aead };
    uint8_t record[256], content[256];
    enum content_type type;
    int n = record_seal(visit_thread.aeads, &writing, CONTENT_APPLICATION_DATA, BYTES_LITERAL("what a server says"), record);

    assert_true(n > 0);
    assert_int_equal(BIO_write(SSL_get_rbio(v->client), record, n), n);
    assert_int_equal(SSL_read(v->client, content, sizeof content), (int)sizeof words - 1);
    assert_memory_equal(content, words, sizeof words - 1);
    assert_int_equal(v->waiting_bytes, 0);
    assert_int_equal(SSL_write(v->client, "a client's", 10), 10);
    n = BIO_read(SSL_get_wbio(v->client), record, sizeof record);
    assert_true(n > 0);
    assert_int_equal(record_open(visit_thread.aeads, &reading, bytes_of(record, (size_t)n), content, &type), 10);
    assert_int_equal(type, CONTENT_APPLICATION_DATA);
    assert_memory_equal(content, "a client's", 10);
    aead_release(visit_thread.aeads, &writing.holder);
    aead_release(visit_thread.aeads, &reading.holder);
}

/* Returns the client's session, or NULL. */
static inline SSL_SESSION *visit_close(struct visit *v)
{
    uint8_t byte[1];
    SSL_SESSION *session;

    (void)SSL_read(v->client, byte, 1);
    session = SSL_get1_session(v->client);
    SSL_set_shutdown(v->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(v->client);
    tls_session_free(v->server);
    aead_release(visit_thread.aeads, &v->opening.holder);
    aead_release(visit_thread.aeads, &v->repacking.holder);
    buffer_drop(v->pool, &v->out);
    buffer_pool_free(v->pool);
    arena_reset(&v->arena);
    free(v->sent);
    traffic_keys_wipe(&v->keys);
    ERR_clear_error();
    return session;
}

#endif
