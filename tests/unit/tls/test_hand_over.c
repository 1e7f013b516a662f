/* Keys that leave OpenSSL's server after a handshake, with OpenSSL's client as the judge: it opens the first record only if
 * keys, sequence numbers and nonces are right. */
#include "tls/openssl.h"
#include "tls/papers.h"
#include "tls/peers.h"
#include "tls/records.h"

static struct authority authority;
static struct arena arena;
static struct certificate leaf, rsa_leaf;
static struct papers rsa_papers, staff_ca, staff;
static struct ticket_keys ring;
static struct aead_cache *cache;
static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
static uint8_t text[50000];

static int set_up(void **state)
{
    const char *names[] = { "www.example.org", NULL }, *why;

    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "Test CA");
    authority_issue(&authority, names, &arena, &leaf);
    staff_ca = papers_make(&(struct papers_wish){ .common_name = "Staff CA", .constraints = "CA:TRUE" });
    staff = papers_make(&(struct papers_wish){ .common_name = "Ann", .issuer = &staff_ca });
    rsa_papers = papers_make(&(struct papers_wish){ .key = "RSA", .common_name = "rsa.example.org" });
    assert_int_equal(certificate_parse(bytes_of_text(rsa_papers.cert_pem), bytes_of_text(rsa_papers.key_pem), "rsa", &arena,
                                       &rsa_leaf, &why), 0);
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    cache = aead_cache_new(8);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 2654435761u >> 13);
    return 0;
}

static int tear_down(void **state)
{
    aead_cache_free(cache);
    certificate_clear(&leaf);
    papers_free(&staff);
    papers_free(&staff_ca);
    certificate_clear(&rsa_leaf);
    papers_free(&rsa_papers);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

/* ---- One connection ---- */

struct visit {
    struct pair p;
    struct tls_records r;
    uint64_t sequence;      /* of the server's first record after the hand-over */
    uint64_t nonce;
    uint16_t plain_most;
    struct tls_facts facts;
    char name[256];
    size_t name_bytes;
    struct tls_session *was;
};

static void hand_over(struct visit *v)
{
    struct traffic_keys keys;

    tls_session_facts(v->p.server, &v->facts);
    v->name_bytes = tls_session_client_name(v->p.server, v->name).size;
    assert_true(tls_session_hand_over(v->p.server, &keys));
    assert_null(v->p.server->ssl);
    assert_null(v->p.server->hand_over);
    v->sequence = keys.write.sequence;
    v->nonce = keys.write.explicit_nonce;
    v->plain_most = keys.plain_most;
    assert_int_equal(keys.version, v->facts.version);
    records_init(&v->r, &keys, false, cache);
}

static void open_visit(struct visit *v, struct tls_context *server, SSL_CTX *client, SSL_SESSION *session)
{
    memset(v, 0, sizeof *v);
    pair_open(&v->p, server, client, "host");
    if (session)
        SSL_set_session(v->p.client, session);
    SSL_SESSION_free(session);
}

static void shake(struct visit *v)
{
    if (!pair_shake(&v->p)) {
        struct tls_failure f;
        tls_session_failure(v->p.server, &f);
        fail_msg("handshake: %s", f.reason);
    }
    hand_over(v);
}

static void expect_client_gets(struct visit *v, const void *content, size_t bytes)
{
    static uint8_t got[sizeof text];
    size_t n = 0;
    int more;

    while (n < bytes && (more = pair_client_read(&v->p, got + n, bytes - n)) > 0)
        n += (size_t)more;
    assert_int_equal(n, bytes);
    assert_memory_equal(got, content, bytes);
}

static void expect_server_gets(struct visit *v, const void *content, size_t bytes)
{
    static uint8_t got[sizeof text];

    pair_collect(&v->p);
    assert_int_equal(records_open(&v->r, &v->p.to_server, got, sizeof got), bytes);
    assert_memory_equal(got, content, bytes);
}

/* Both sides speak, in whichever order, and change their keys where that can be. */
static void speak(struct visit *v)
{
    assert_int_equal(buffer_reserve(v->p.pool, &v->p.to_client), 0);
    assert_int_equal(records_seal(&v->r, BYTES_LITERAL("the server's first words"), &v->p.to_client), 0);
    expect_client_gets(v, "the server's first words", 24);
    assert_int_equal(SSL_write(v->p.client, "the client's", 12), 12);
    expect_server_gets(v, "the client's", 12);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(SSL_write(v->p.client, text, 40000), 40000);
        expect_server_gets(v, text, 40000);
        assert_int_equal(buffer_reserve(v->p.pool, &v->p.to_client), 0);
        assert_int_equal(records_seal(&v->r, bytes_of(text, 40000), &v->p.to_client), 0);
        expect_client_gets(v, text, 40000);
        if (v->facts.version != TLS1_3_VERSION)
            continue;
        assert_int_equal(SSL_key_update(v->p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_write(v->p.client, "new key", 7), 7);
        expect_server_gets(v, "new key", 7);
        assert_true(records_owes(&v->r));
        assert_int_equal(buffer_reserve(v->p.pool, &v->p.to_client), 0);
        assert_int_equal(records_answer(&v->r, &v->p.to_client), 0);
    }
}

/* Goodbyes both ways; returns the client's session. */
static SSL_SESSION *close_visit(struct visit *v)
{
    uint8_t byte[1];

    assert_int_equal(buffer_reserve(v->p.pool, &v->p.to_client), 0);
    assert_int_equal(records_finish(&v->r, &v->p.to_client), 0);
    assert_int_equal(pair_client_read(&v->p, byte, 1), 0);
    assert_int_equal(SSL_get_shutdown(v->p.client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    assert_int_equal(SSL_shutdown(v->p.client), 1);
    pair_collect(&v->p);
    assert_int_equal(records_open(&v->r, &v->p.to_server, byte, 1), 0);
    records_clear(&v->r);
    return pair_close(&v->p);
}

/* ---- Suites ---- */

static const struct suite {
    uint16_t version;
    const char *name;
    bool is_rsa;
} suites[] = {
    { TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", false },
    { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", false },
    { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", false },
    { TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false },
    { TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", false },
    { TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", false },
    { TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", true },
    { TLS1_2_VERSION, "DHE-RSA-AES256-GCM-SHA384", true },
    { TLS1_2_VERSION, "AES128-GCM-SHA256", true },
    { TLS1_2_VERSION, "AES256-GCM-SHA384", true },
};

static SSL_CTX *client_with(uint16_t version, const char *suite)
{
    SSL_CTX *client = client_context(version, version);

    if (suite)
        assert_int_equal(version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(client, suite)
                                                   : SSL_CTX_set_cipher_list(client, suite), 1);
    return client;
}

static void every_suite_goes_on_whether_new_or_resumed_with_tickets_or_without(void **state)
{
    for (size_t i = 0; i < COUNT_OF(suites); i++)
        for (int tickets = 0; tickets < 2; tickets++) {
            struct tls_policy_options policy = { .profile = TLS_PROFILE_OLD, .tickets = tickets };
            struct tls_context *server = server_context(&policy, suites[i].is_rsa ? &rsa_leaf : &leaf, NULL, NULL);
            SSL_CTX *client = client_with(suites[i].version, suites[i].name);
            SSL_SESSION *session = NULL;

            for (int visits = 0; visits < 3; visits++) {
                struct visit v;

                open_visit(&v, server, client, session);
                shake(&v);
                assert_int_equal(v.facts.resumed, tickets && visits);
                assert_int_equal(v.sequence, suites[i].version == TLS1_2_VERSION ? 1 : tickets);
                assert_int_equal(v.plain_most, 16384);
                speak(&v);
                session = close_visit(&v);
            }
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
            tls_context_unref(server);
        }
}

static void the_master_secret_may_be_of_either_kind(void **state)
{
    struct tls_policy_options policy = { .profile = TLS_PROFILE_OLD, .tickets = true };
    struct tls_context *server = server_context(&policy, &rsa_leaf, NULL, NULL);
    SSL_CTX *client = client_with(TLS1_2_VERSION, "AES128-GCM-SHA256");
    SSL_SESSION *session = NULL;

    SSL_CTX_set_options(client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    for (int visits = 0; visits < 2; visits++) {
        struct visit v;

        open_visit(&v, server, client, session);
        shake(&v);
        assert_int_equal(SSL_get_extms_support(v.p.client), 0);
        speak(&v);
        session = close_visit(&v);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void the_client_may_speak_first_or_end_at_once(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *client = client_with(versions[i], NULL);
        struct visit v;

        open_visit(&v, server, client, NULL);
        shake(&v);
        assert_int_equal(SSL_write(v.p.client, "first", 5), 5);
        expect_server_gets(&v, "first", 5);
        SSL_SESSION_free(close_visit(&v));

        open_visit(&v, server, client, NULL);
        shake(&v);
        SSL_SESSION_free(close_visit(&v));
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

/* ---- How the handshake went ---- */

/* What comes right behind the client's Finished is not the handshake's. */
static void content_that_came_with_the_clients_last_flight_is_kept(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t i = 0; i < 2; i++)
        for (size_t at_once = 0; at_once < 4; at_once++) {
            SSL_CTX *client = client_with(versions[i], NULL);
            SSL_SESSION *session = NULL;

            for (int visits = 0; visits < 2; visits++) {
                struct visit v;
                bool said = false;

                open_visit(&v, server, client, session);
                for (int round = 0; v.p.server_result == -E_AGAIN && round < 10; round++) {
                    if (SSL_do_handshake(v.p.client) == 1 && !said)
                        said = SSL_write(v.p.client, "early bird", 10) == 10;
                    ERR_clear_error();
                    pair_collect(&v.p);
                    for (bool moves = true; moves && v.p.server_result == -E_AGAIN;) {
                        struct bytes in = bytes_part(buffer_content(&v.p.to_server), 0, at_once ? at_once : SIZE_MAX);
                        size_t before = in.size;
                        v.p.server_result = tls_session_handshake(v.p.server, &in, &v.p.to_client);
                        buffer_consume(&v.p.to_server, before - in.size);
                        moves = before != in.size;
                    }
                    pair_deliver(&v.p);
                }
                assert_int_equal(v.p.server_result, 0);
                assert_int_equal(SSL_do_handshake(v.p.client), 1);
                if (!said) /* the server's Finished was the last one */
                    assert_int_equal(SSL_write(v.p.client, "early bird", 10), 10);
                hand_over(&v);
                expect_server_gets(&v, "early bird", 10);
                speak(&v);
                session = close_visit(&v);
            }
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

/* The first eight bytes behind the header of the last record. */
static uint64_t last_nonce(const uint8_t *sent, size_t bytes)
{
    uint64_t nonce = 0;
    size_t at = 0, last = 0;

    for (; at < bytes; at += 5 + (size_t)(sent[at + 3] << 8 | sent[at + 4]))
        last = at;
    assert_int_equal(at, bytes);
    for (size_t i = 0; i < 8; i++)
        nonce = nonce << 8 | sent[last + 5 + i];
    return nonce;
}

/* The client's keys of TLS 1.2, as soon as it has the master secret. */
static struct tls_records client_1_2(const SSL *client, uint8_t aead)
{
    struct traffic_keys keys = { .version = 0x0303, .aead = aead, .plain_most = 16384 };
    uint8_t master[48], client_random[32], server_random[32];
    struct tls_records r;

    assert_int_equal(SSL_SESSION_get_master_key(SSL_get_session(client), master, sizeof master), sizeof master);
    assert_int_equal(SSL_get_client_random(client, client_random, sizeof client_random), 32);
    assert_int_equal(SSL_get_server_random(client, server_random, sizeof server_random), 32);
    assert_int_equal(traffic_keys_expand_master(&keys, bytes_of(master, sizeof master), bytes_of(client_random, 32),
                                                bytes_of(server_random, 32), true), 0);
    keys.write.explicit_nonce = 1000;
    records_init(&r, &keys, true, cache);
    return r;
}

/* The record of the client's that begins at `at` becomes several, of so many bytes each. */
static void cut_record(struct visit *v, struct tls_records *client, size_t at, size_t most)
{
    struct record_keys opening = { .key = client->write.key, .version = 0x0303, .aead = client->write.aead };
    uint8_t *start = v->p.to_server.data + v->p.to_server.start + at, plain[100];
    size_t bytes = 5 + (size_t)(start[3] << 8 | start[4]);
    enum content_type type;
    int n;

    assert_int_equal(at + bytes, buffer_used(&v->p.to_server));
    n = record_open(cache, &opening, bytes_of(start, bytes), plain, &type);
    aead_release(cache, &opening.holder);
    assert_int_equal(n, 16);
    assert_int_equal(type, CONTENT_HANDSHAKE);
    v->p.to_server.end -= (uint32_t)bytes;
    for (size_t i = 0; i < (size_t)n; i += most) {
        size_t size = (size_t)n - i < most ? (size_t)n - i : most;
        int sealed = record_seal(cache, &client->write, type, bytes_of(plain + i, size),
                                 v->p.to_server.data + v->p.to_server.end);
        assert_true(sealed > 0);
        buffer_commit(&v->p.to_server, (size_t)sealed);
    }
}

/* Where a record of ChangeCipherSpec ends; 0: there is none. */
static size_t behind_change(struct bytes sent)
{
    for (size_t at = 0; at + 5 <= sent.size; at += 5 + (size_t)(sent.at[at + 3] << 8 | sent.at[at + 4]))
        if (sent.at[at] == CONTENT_CHANGE_CIPHER_SPEC)
            return at + 6;
    return 0;
}

/* RFC 5246 6.2.1: a message may be cut into records, and Finished is one. */
static void the_clients_finished_of_tls_1_2_may_come_in_pieces(void **state)
{
    static const struct {
        const char *suite;
        uint8_t aead;
    } kinds[] = { { "ECDHE-ECDSA-AES128-GCM-SHA256", AEAD_AES_128_GCM }, { "ECDHE-ECDSA-CHACHA20-POLY1305", AEAD_CHACHA20_POLY1305 } };
    static const size_t pieces[] = { 1, 5, 15, 16 };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t i = 0; i < COUNT_OF(kinds) * COUNT_OF(pieces); i++) {
        SSL_CTX *client = client_with(TLS1_2_VERSION, kinds[i % 2].suite);
        struct tls_records records = { 0 };
        struct visit v;
        bool was_cut = false;

        open_visit(&v, server, client, NULL);
        for (int round = 0; round < 10 && v.p.server_result == -E_AGAIN; round++) {
            struct bytes in;
            size_t before, at;

            (void)SSL_do_handshake(v.p.client);
            ERR_clear_error();
            pair_collect(&v.p);
            at = behind_change(buffer_content(&v.p.to_server));
            if (at) {
                records = client_1_2(v.p.client, kinds[i % 2].aead);
                cut_record(&v, &records, at, pieces[i / 2]);
                was_cut = true;
            }
            in = buffer_content(&v.p.to_server);
            before = in.size;
            v.p.server_result = tls_session_handshake(v.p.server, &in, &v.p.to_client);
            buffer_consume(&v.p.to_server, before - in.size);
            pair_deliver(&v.p);
        }
        assert_true(was_cut);
        assert_int_equal(v.p.server_result, 0);
        assert_int_equal(SSL_do_handshake(v.p.client), 1);
        hand_over(&v);
        assert_int_equal(records.write.key.sequence, (16 + pieces[i / 2] - 1) / pieces[i / 2]);
        assert_int_equal(buffer_reserve(v.p.pool, &v.p.to_server), 0);
        assert_int_equal(records_seal(&records, BYTES_LITERAL("hello"), &v.p.to_server), 0);
        expect_server_gets(&v, "hello", 5);
        assert_int_equal(buffer_reserve(v.p.pool, &v.p.to_client), 0);
        assert_int_equal(records_seal(&v.r, BYTES_LITERAL("answer"), &v.p.to_client), 0);
        expect_client_gets(&v, "answer", 6);
        assert_int_equal(records_finish(&records, &v.p.to_server), 0);
        assert_int_equal(records_open(&v.r, &v.p.to_server, (uint8_t *)v.name, 1), 0);
        records_clear(&records);
        records_clear(&v.r);
        SSL_SESSION_free(pair_close(&v.p));
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

/* The records are counted right however little room the flight has to leave by. */
static void a_flight_may_leave_in_pieces(void **state)
{
    static const uint32_t rooms[] = { 1, 2, 3, 5, 7, 13, 100, 1000 };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < COUNT_OF(rooms); j++) {
            SSL_CTX *client = client_with(versions[i], NULL);
            SSL_SESSION *session = NULL;

            for (int visits = 0; visits < 2; visits++) {
                static uint8_t sent[10000];
                size_t sent_bytes = 0;
                struct visit v;

                open_visit(&v, server, client, session);
                for (int round = 0; v.p.server_result == -E_AGAIN && round < 10000; round++) {
                    uint8_t piece[1000];
                    struct buffer out = { piece, 0, 0, rooms[j] };
                    struct bytes in;
                    size_t before;

                    (void)SSL_do_handshake(v.p.client);
                    ERR_clear_error();
                    pair_collect(&v.p);
                    in = buffer_content(&v.p.to_server);
                    before = in.size;
                    v.p.server_result = tls_session_handshake(v.p.server, &in, &out);
                    buffer_consume(&v.p.to_server, before - in.size);
                    if (buffer_used(&out))
                        BIO_write(SSL_get_rbio(v.p.client), piece, (int)buffer_used(&out));
                    memcpy(sent + sent_bytes, piece, buffer_used(&out));
                    sent_bytes += buffer_used(&out);
                }
                assert_int_equal(v.p.server_result, 0);
                assert_int_equal(SSL_do_handshake(v.p.client), 1);
                hand_over(&v);
                assert_int_equal(v.facts.resumed, visits);
                if (versions[i] == TLS1_2_VERSION) /* no nonce is used twice */
                    assert_true(v.nonce == last_nonce(sent, sent_bytes) + 1);
                speak(&v);
                session = close_visit(&v);
            }
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void a_hello_retry_request_changes_nothing(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server;
    SSL_CTX *client = client_with(TLS1_3_VERSION, NULL);
    SSL_SESSION *session = NULL;

    policy.groups = "X25519";
    server = server_context(&policy, &leaf, NULL, NULL);
    assert_int_equal(SSL_CTX_set1_groups_list(client, "P-384:X25519"), 1);
    for (int visits = 0; visits < 2; visits++) {
        struct visit v;

        open_visit(&v, server, client, session);
        shake(&v);
        assert_int_equal(v.facts.resumed, visits);
        assert_string_equal(v.facts.group, "X25519");
        assert_int_equal(v.sequence, 1);
        speak(&v);
        session = close_visit(&v);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void a_negotiated_smaller_limit_comes_along(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *client = client_with(versions[i], NULL);
        SSL_SESSION *session = NULL;

        SSL_CTX_set_tlsext_max_fragment_length(client, TLSEXT_max_fragment_length_1024);
        for (int visits = 0; visits < 2; visits++) {
            struct visit v;

            open_visit(&v, server, client, session);
            shake(&v);
            assert_int_equal(v.facts.resumed, visits);
            assert_int_equal(v.plain_most, 1024);
            speak(&v);
            session = close_visit(&v);
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

/* ---- What is known afterwards ---- */

static void facts_and_the_clients_name_outlive_the_librarys_object(void **state)
{
    static const char *const ours[] = { "h2", "http/1.1", NULL };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server;

    policy.clients.certificate = TLS_CLIENT_REQUIRED;
    policy.clients.ca.path = "ca.pem";
    policy.clients.depth = 1;
    server = server_context(&policy, &leaf, staff_ca.cert_pem, ours);
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *client = client_with(versions[i], NULL);
        SSL_SESSION *session = NULL;

        assert_int_equal(SSL_CTX_use_certificate(client, staff.cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(client, staff.key), 1);
        SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\x8http/1.1", 9);
        for (int visits = 0; visits < 3; visits++) {
            char name[256];
            struct bytes again;
            struct visit v;

            open_visit(&v, server, client, session);
            shake(&v);
            assert_int_equal(v.facts.resumed, visits > 0);
            assert_true(v.facts.has_client_certificate && v.facts.client_verified);
            assert_true(bytes_equal_text(v.facts.alpn, "http/1.1"));
            assert_string_equal(v.facts.version_name, i ? "TLSv1.3" : "TLSv1.2");
            assert_string_equal(v.facts.suite, i ? "TLS_AES_128_GCM_SHA256" : "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
            assert_true(bytes_equal_text(bytes_of(v.name, v.name_bytes), "Ann"));
            again = tls_session_client_name(v.p.server, name);
            assert_int_equal(again.size, v.name_bytes);
            assert_memory_equal(name, v.name, v.name_bytes);
            speak(&v);
            session = close_visit(&v);
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void without_a_certificate_there_is_no_name(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);
    SSL_CTX *client = client_with(TLS1_3_VERSION, NULL);
    char name[256];
    struct visit v;

    open_visit(&v, server, client, NULL);
    shake(&v);
    assert_int_equal(tls_session_client_name(v.p.server, name).size, 0);
    SSL_SESSION_free(close_visit(&v));
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- What stays ---- */

/* The keys stay, and the session goes on by itself; what its buffers hold is given back between records. */
static void expect_stays(const struct tls_policy_options *policy, uint16_t version, const char *suite)
{
    struct tls_context *server = server_context(policy, &leaf, NULL, NULL);
    SSL_CTX *client = client_with(version, suite);
    SSL_SESSION *session = NULL;

    for (int visits = 0; visits < 2; visits++) {
        struct traffic_keys keys, untouched;
        struct visit v;
        uint8_t got[16];

        memset(&keys, 0xa5, sizeof keys);
        untouched = keys;
        open_visit(&v, server, client, session);
        assert_true(pair_shake(&v.p));
        assert_false(tls_session_hand_over(v.p.server, &keys));
        assert_memory_equal(&keys, &untouched, sizeof keys);
        assert_null(v.p.server->hand_over);
        assert_true(SSL_get_mode(v.p.server->ssl) & SSL_MODE_RELEASE_BUFFERS);
        assert_int_equal(pair_resumed(&v.p), visits);

        assert_int_equal(SSL_write(v.p.client, "hello", 5), 5);
        assert_int_equal(pair_server_read(&v.p, got, sizeof got), 5);
        assert_int_equal(tls_session_seal(v.p.server, BYTES_LITERAL("answer"), &v.p.to_client), 0);
        assert_int_equal(pair_client_read(&v.p, got, sizeof got), 6);
        assert_false(tls_session_hand_over(v.p.server, &keys)); /* not later either */
        session = pair_close(&v.p);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* Of CCM, policies know no suite. */
static void cbc_suites_stay_with_the_session(void **state)
{
    struct tls_policy_options old = { .profile = TLS_PROFILE_OLD, .tickets = true };

    expect_stays(&old, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA");
    expect_stays(&old, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384");
}

static void a_policy_may_leave_records_to_openssl(void **state)
{
    struct tls_policy_options policy = intermediate();

    policy.records = TLS_RECORDS_OPENSSL;
    expect_stays(&policy, TLS1_2_VERSION, NULL);
    expect_stays(&policy, TLS1_3_VERSION, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_goes_on_whether_new_or_resumed_with_tickets_or_without),
        cmocka_unit_test(the_master_secret_may_be_of_either_kind),
        cmocka_unit_test(the_client_may_speak_first_or_end_at_once),
        cmocka_unit_test(content_that_came_with_the_clients_last_flight_is_kept),
        cmocka_unit_test(the_clients_finished_of_tls_1_2_may_come_in_pieces),
        cmocka_unit_test(a_flight_may_leave_in_pieces),
        cmocka_unit_test(a_hello_retry_request_changes_nothing),
        cmocka_unit_test(a_negotiated_smaller_limit_comes_along),
        cmocka_unit_test(facts_and_the_clients_name_outlive_the_librarys_object),
        cmocka_unit_test(without_a_certificate_there_is_no_name),
        cmocka_unit_test(cbc_suites_stay_with_the_session),
        cmocka_unit_test(a_policy_may_leave_records_to_openssl),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
