/* Records with OpenSSL's client as the oracle. A handshake between our server's session and that client over memory ends in a hand-over;
 * then a script moves both sides. Its first byte chooses suite and tickets; each further step is a byte that says what
 * happens, and one how much. What must hold:
 *   - what either side gets is what the other one sent, in its order; at the end nothing is missing, and neither has failed;
 *   - once a byte for our side was changed on its way, we fail, and give out nothing of that write's last byte or behind it.
 * Keys are new each time: what an input does depends on the order of things alone. */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/check.h"
#include "certs/store.h"
#include "tls/records.h"
#include "tls/session.h"
#include "tls/tickets.h"

enum { CONTENT_MOST = 1 << 20, STEPS_MOST = 300 };
enum what { WRITE, UPDATE, PADDING, FRAGMENT, GOODBYE, DELIVER, SPOIL, OPEN, /* the client's bytes */
            SEAL, STAGE, PAUSE, ANSWER, FINISH, DELIVER_OUT, READ, COMPACT }; /* ours */

struct machine {
    SSL *client;
    struct tls_records server;
    struct buffer cipher, out;  /* ours */
    struct buffer wire;         /* from the client, on its way */
    size_t sent, given, limit;  /* the client's content */
    size_t said, heard;         /* ours */
    unsigned updates;           /* of the client's without content behind them */
    size_t write_end_sent;      /* of its content, what can arrive when the last write is spoiled */
    bool is_1_3, spoiled, client_ended, failed, flooded;
};

static const struct {
    int version;
    const char *suite;
} kinds[] = { { TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256" }, { TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384" },
              { TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305" }, { TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256" },
              { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384" },        { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256" } };

static struct tls_context *contexts[2]; /* without tickets, with them */
static SSL_CTX *clients[COUNT_OF(kinds)];
static SSL_SESSION *sessions[COUNT_OF(kinds)]; /* to resume: no signature a time */
static struct aead_cache *cache;
static struct buffer_pool *pool;
static uint8_t content[CONTENT_MOST];

/* ---- What is made once ---- */

static void make_clients(void)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

        CHECK(ctx && SSL_CTX_set_min_proto_version(ctx, kinds[i].version) == 1 &&
              SSL_CTX_set_max_proto_version(ctx, kinds[i].version) == 1 && SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1);
        CHECK((kinds[i].version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, kinds[i].suite)
                                                  : SSL_CTX_set_cipher_list(ctx, kinds[i].suite)) == 1);
        clients[i] = ctx;
    }
}

static void make_contexts(void)
{
    static const char *const names[] = { "a.test", NULL }, *const no_alpn[] = { NULL };
    struct certificate_request request = { .names = names, .days = 30 };
    struct ticket_keys ring = { 0 };
    static struct certificate certificate;
    struct arena arena;
    char *cert, *key;
    const char *why;

    arena_init(&arena, NULL, SIZE_MAX);
    CHECK(certificate_make(&request, &cert, &key) == 0);
    CHECK(certificate_parse(bytes_of_text(cert), bytes_of_text(key), "fuzz", &arena, &certificate, &why) == 0);
    CHECK(ticket_keys_rotate(&ring) == 0);
    tickets_install(&ring);
    for (int tickets = 0; tickets < 2; tickets++) {
        struct tls_policy_options policy = { .name = "default", .profile = TLS_PROFILE_INTERMEDIATE, .tickets = tickets };
        struct tls_server_parts parts = { .policy = &policy, .leaf = certificate.leaf, .chain = certificate.chain,
                                          .key = certificate.key, .alpn = no_alpn };
        contexts[tickets] = tls_context_new_server(&parts, &why);
        CHECK(contexts[tickets]);
    }
    certificate_clear(&certificate);
    arena_reset(&arena);
    free(cert);
    free(key);
}

static void make_once(void)
{
    if (cache)
        return;
    cache = aead_cache_new(3); /* less than there are directions, with the second connection of two */
    pool = buffer_pool_new(1 << 20);
    CHECK(cache && pool);
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    make_clients();
    make_contexts();
}

/* ---- The handshake ---- */

/* What the client wrote leaves its BIO for the wire, as far as there is room. */
static void collect(struct machine *m)
{
    int n;

    buffer_compact(&m->wire);
    n = BIO_read(SSL_get_wbio(m->client), m->wire.data + m->wire.end, (int)buffer_room(&m->wire));
    if (n > 0)
        buffer_commit(&m->wire, (size_t)n);
}

static void deliver_out(struct machine *m, size_t most)
{
    size_t n = buffer_used(&m->out) < most ? buffer_used(&m->out) : most;

    if (n)
        CHECK(BIO_write(SSL_get_rbio(m->client), m->out.data + m->out.start, (int)n) == (int)n);
    buffer_consume(&m->out, n);
}

static void shake(struct machine *m, size_t kind, bool tickets)
{
    struct tls_session *session = tls_session_new(contexts[tickets], BYTES_LITERAL("host"), 0);
    struct traffic_keys keys;
    int result = -E_AGAIN;

    m->client = SSL_new(clients[kind]);
    CHECK(session && m->client);
    SSL_set_bio(m->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(m->client);
    if (sessions[kind] && tickets)
        SSL_set_session(m->client, sessions[kind]);
    for (int round = 0; round < 6; round++) {
        struct bytes in;
        size_t before;

        (void)SSL_do_handshake(m->client);
        ERR_clear_error();
        collect(m);
        in = buffer_content(&m->wire);
        before = in.size;
        if (result == -E_AGAIN)
            result = tls_session_handshake(session, &in, &m->out);
        buffer_consume(&m->wire, before - in.size);
        deliver_out(m, SIZE_MAX);
    }
    CHECK(result == 0 && SSL_is_init_finished(m->client) && buffer_used(&m->wire) == 0);
    CHECK(tls_session_hand_over(session, &keys));
    records_init(&m->server, &keys, false, cache);
    tls_session_free(session);
}

/* ---- The client's side ---- */

static void after_write(struct machine *m, bool is_content)
{
    collect(m);
    if (is_content)
        m->updates = 0;
    m->write_end_sent = m->sent - is_content;
    if (!m->spoiled)
        m->limit = m->sent;
}

static void client_writes(struct machine *m, size_t bytes)
{
    size_t written;

    if (m->client_ended || bytes == 0 || m->sent + bytes > sizeof content || buffer_room(&m->wire) < 2 * bytes + 4096)
        return;
    if (SSL_write_ex(m->client, content + m->sent, bytes, &written) != 1) {
        CHECK(m->failed || m->spoiled);
        m->client_ended = true;
        return;
    }
    CHECK(written == bytes);
    m->sent += bytes;
    after_write(m, true);
}

static void client_updates(struct machine *m, bool asks)
{
    if (m->client_ended || !m->is_1_3)
        return;
    if (SSL_key_update(m->client, asks ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
        SSL_do_handshake(m->client) != 1) {
        m->client_ended |= m->failed || m->spoiled;
        ERR_clear_error();
        return;
    }
    m->updates++;
    after_write(m, false);
}

static void client_reads(struct machine *m, size_t room)
{
    static uint8_t got[1 << 16];
    size_t n;

    if (room > 0 && SSL_read_ex(m->client, got, room < sizeof got ? room : sizeof got, &n) == 1) {
        CHECK(m->heard + n <= m->said && memcmp(got, content + m->heard, n) == 0);
        m->heard += n;
        collect(m); /* which may have been held up */
        return;
    }
    collect(m);
    switch (SSL_get_error(m->client, -1)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_ZERO_RETURN:
        break;
    default: /* our alert, after it was spoiled or did flood: also when we have finished before we would have said so */
        CHECK(room == 0 || m->failed || m->server.ended);
        m->client_ended |= m->failed;
    }
    ERR_clear_error();
}

/* A bit of what is on its way is changed. Of the write that it belongs to, at least the last byte cannot arrive. */
static void spoil(struct machine *m, size_t where)
{
    size_t on_wire = buffer_used(&m->wire);

    if (m->spoiled || on_wire == 0)
        return;
    where = on_wire - 1 - where % on_wire;
    m->wire.data[m->wire.start + where] ^= (uint8_t)(1 << where % 8);
    m->spoiled = true;
    m->limit = m->write_end_sent; /* nothing was written since */
}

/* ---- Ours ---- */

static void deliver(struct machine *m, size_t most)
{
    size_t n = buffer_used(&m->wire) < most ? buffer_used(&m->wire) : most;

    if (n > buffer_room(&m->cipher))
        n = buffer_room(&m->cipher);
    if (n)
        memcpy(m->cipher.data + m->cipher.end, m->wire.data + m->wire.start, n);
    buffer_commit(&m->cipher, n);
    buffer_consume(&m->wire, n);
}

static void server_opens(struct machine *m, size_t room)
{
    static uint8_t got[1 << 16];
    int n = records_open(&m->server, &m->cipher, got, room < sizeof got ? room : sizeof got);

    if (n > 0) {
        CHECK(m->given + (size_t)n <= m->limit && memcmp(got, content + m->given, (size_t)n) == 0);
        m->given += (size_t)n;
    } else if (n == 0) {
        CHECK(SSL_get_shutdown(m->client) & SSL_SENT_SHUTDOWN);
    } else if (n != -E_AGAIN) {
        CHECK(m->spoiled || m->failed || n == -E_FLOOD || (n == -E_TLS_ALERT && m->client_ended));
        m->flooded |= n == -E_FLOOD;
        m->failed = true;
    }
}

static void seal(struct machine *m, size_t bytes, bool staged)
{
    if (staged && bytes > records_piece(&m->server))
        bytes = records_piece(&m->server);
    buffer_compact(&m->out);
    if (m->server.finished || bytes == 0 || m->said + bytes > sizeof content ||
        buffer_room(&m->out) < records_sealed_size(&m->server, bytes) + 4 * RECORDS_ANSWER)
        return;
    if (staged) {
        memcpy(records_stage(&m->server, &m->out), content + m->said, bytes);
        CHECK(records_seal_staged(&m->server, bytes, &m->out) == 0);
    } else {
        CHECK(records_seal(&m->server, bytes_of(content + m->said, bytes), &m->out) == 0);
    }
    m->said += bytes;
}

static void answer(struct machine *m)
{
    if (!records_owes(&m->server) || buffer_room(&m->out) < 2 * RECORDS_ANSWER)
        return;
    CHECK(records_answer(&m->server, &m->out) == 0 && !records_owes(&m->server));
}

/* ---- The script ---- */

static void step(struct machine *m, uint8_t what, uint8_t much)
{
    size_t bytes = (size_t)much * much;

    switch ((enum what)(what & 15)) {
    case WRITE:
        client_writes(m, what & 16 ? bytes : much);
        break;
    case UPDATE:
        client_updates(m, much & 1);
        break;
    case PADDING:
        SSL_set_block_padding(m->client, (size_t)much * 16 + 1);
        break;
    case FRAGMENT:
        SSL_set_max_send_fragment(m->client, 512 + (long)much * 62);
        break;
    case GOODBYE:
        if (!m->client_ended) {
            (void)SSL_shutdown(m->client);
            m->client_ended = true;
            after_write(m, false);
        }
        break;
    case DELIVER:
        deliver(m, bytes);
        break;
    case SPOIL:
        if (what & 128)
            spoil(m, bytes);
        break;
    case OPEN:
        server_opens(m, bytes + (what >> 4));
        break;
    case SEAL:
        seal(m, bytes, false);
        break;
    case STAGE:
        seal(m, what & 16 ? bytes : much, true);
        break;
    case PAUSE:
        records_paused(&m->server);
        break;
    case ANSWER:
        answer(m);
        break;
    case FINISH:
        if (buffer_room(&m->out) >= 2 * RECORDS_ANSWER)
            CHECK(records_finish(&m->server, &m->out) == 0);
        break;
    case DELIVER_OUT:
        deliver_out(m, bytes);
        break;
    case READ:
        client_reads(m, bytes);
        break;
    case COMPACT:
        buffer_compact(much & 1 ? &m->cipher : &m->out);
        break;
    }
}

/* Everything arrives. */
static void settle(struct machine *m)
{
    for (int round = 0; round < 1000; round++) {
        size_t before = m->given + m->heard, moved = buffer_used(&m->wire) + buffer_used(&m->out) + buffer_used(&m->cipher);

        buffer_compact(&m->cipher);
        deliver(m, SIZE_MAX);
        server_opens(m, SIZE_MAX);
        buffer_compact(&m->out);
        answer(m);
        deliver_out(m, SIZE_MAX);
        client_reads(m, SIZE_MAX);
        if (before == m->given + m->heard &&
            moved == buffer_used(&m->wire) + buffer_used(&m->out) + buffer_used(&m->cipher) && buffer_used(&m->out) == 0)
            break;
    }
    if (!m->spoiled && !m->flooded) {
        CHECK(!m->failed);
        CHECK(m->given == m->sent);
        CHECK(m->heard == m->said);
    } else if (m->spoiled && buffer_used(&m->cipher) == 0 && !m->server.peer_closed) {
        CHECK(m->failed);
    }
}

static void keep_session(struct machine *m, size_t kind)
{
    if (sessions[kind] || m->failed)
        return;
    sessions[kind] = SSL_get1_session(m->client);
    if (sessions[kind] && !SSL_SESSION_is_resumable(sessions[kind])) {
        SSL_SESSION_free(sessions[kind]);
        sessions[kind] = NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine m = { 0 };
    size_t kind;

    if (size < 1)
        return 0;
    make_once();
    kind = data[0] % COUNT_OF(kinds);
    m.is_1_3 = kinds[kind].version == TLS1_3_VERSION;
    CHECK(buffer_reserve_bulk(pool, &m.cipher) == 0 && buffer_reserve_bulk(pool, &m.out) == 0 &&
          buffer_reserve_bulk(pool, &m.wire) == 0);
    shake(&m, kind, data[0] < 240);
    for (size_t i = 1; i + 1 < size && i < 2 * STEPS_MOST; i += 2)
        step(&m, data[i], data[i + 1]);
    settle(&m);
    keep_session(&m, kind);
    records_clear(&m.server);
    SSL_set_shutdown(m.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(m.client);
    buffer_drop(pool, &m.cipher);
    buffer_drop(pool, &m.out);
    buffer_drop(pool, &m.wire);
    ERR_clear_error();
    return 0;
}
