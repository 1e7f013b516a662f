#include "tls/peers.h"
#include "tls/papers.h"

static struct authority authority;
static struct arena arena;
static struct certificate leaf;
static struct ticket_keys ring;
static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static int set_up(void **state)
{
    const char *names[] = { "www.example.org", "*.example.net", "192.0.2.1", NULL };

    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "Test CA");
    authority_issue(&authority, names, &arena, &leaf);
    return 0;
}

static int tear_down(void **state)
{
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

static int fresh_ring(void **state)
{
    ticket_keys_wipe(&ring);
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    return 0;
}

static struct tls_context *plain_context(void)
{
    struct tls_policy_options policy = intermediate();

    return server_context(&policy, &leaf, NULL, NULL);
}

/* A handshake that must fail; returns the server's code. */
static int refused(struct tls_context *server, SSL_CTX *client, struct tls_failure *ret_failure)
{
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_false(pair_shake(&p));
    tls_session_failure(p.server, ret_failure);
    int result = p.server_result;
    pair_end(&p);
    return result;
}

/* The alert that the client saw, from its error queue after a failed read. */
static int alert_seen(void)
{
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_REASON(error);

    return reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}

/* ---- The handshake ---- */

static void completes_in_both_versions_whatever_the_pieces(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++)
        for (size_t piece = 0; piece < 3; piece++) {
            SSL_CTX *client = client_context(versions[v], versions[v]);
            struct pair p;

            pair_open(&p, server, client, "host");
            p.most_at_once = piece;
            assert_true(pair_shake(&p));
            struct tls_facts facts;
            tls_session_facts(p.server, &facts);
            assert_int_equal(facts.version, versions[v]);
            assert_string_equal(facts.version_name, v ? "TLSv1.3" : "TLSv1.2");
            assert_string_equal(facts.suite, v ? "TLS_AES_128_GCM_SHA256" : "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
            assert_string_equal(facts.group, v && tls_library_has_group("X25519MLKEM768") ? "X25519MLKEM768" : "X25519");
            assert_false(facts.resumed);
            assert_false(facts.has_client_certificate);
            assert_int_equal(facts.alpn.size, 0);
            pair_end(&p);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void names_the_group_by_iana(void **state)
{
    static const char *const groups[][2] = { { "P-256", "P-256" }, { "P-384", "P-384" }, { "X25519", "X25519" } };
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++)
        for (size_t i = 0; i < COUNT_OF(groups); i++) {
            SSL_CTX *client = client_context(versions[v], versions[v]);
            char list[64];
            struct pair p;
            struct tls_facts facts;

            /* TLS 1.2 wants the certificate's curve among them, too */
            snprintf(list, sizeof list, "%s%s", groups[i][0], v || i == 0 ? "" : ":P-256");
            assert_int_equal(SSL_CTX_set1_groups_list(client, list), 1);
            pair_open(&p, server, client, "host");
            assert_true(pair_shake(&p));
            tls_session_facts(p.server, &facts);
            if (v || i != 1)
                assert_string_equal(facts.group, groups[i][1]);
            pair_end(&p);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void refuses_older_versions_with_protocol_version(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_VERSION, TLS1_1_VERSION);
    struct tls_failure f;

    assert_int_equal(refused(server, client, &f), -E_TLS);
    assert_true(f.alert_sent);
    assert_int_equal(f.alert, ALERT_PROTOCOL_VERSION);
    assert_string_equal(f.reason, "unsupported protocol");
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void modern_refuses_1_2(void **state)
{
    struct tls_policy_options policy = { .profile = TLS_PROFILE_MODERN, .tickets = true };
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    struct tls_failure f;

    assert_int_equal(refused(server, client, &f), -E_TLS);
    assert_int_equal(f.alert, ALERT_PROTOCOL_VERSION);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void without_a_common_suite_fails_with_handshake_failure(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    struct tls_failure f;

    assert_int_equal(SSL_CTX_set_cipher_list(client, "ECDHE-ECDSA-AES128-SHA"), 1);
    assert_int_equal(refused(server, client, &f), -E_TLS);
    assert_int_equal(f.alert, ALERT_HANDSHAKE_FAILURE);
    assert_string_equal(f.reason, "no shared cipher");
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static const char *suite_with(struct tls_context *server, SSL_CTX *client)
{
    struct tls_facts facts;
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    tls_session_facts(p.server, &facts);
    pair_end(&p);
    return facts.suite;
}

static void old_adds_cbc_and_rsa_key_exchange(void **state)
{
    struct tls_policy_options policy = { .profile = TLS_PROFILE_OLD, .tickets = true };
    struct papers papers = papers_make(&(struct papers_wish){ .key = "RSA", .common_name = "rsa.example.org" });
    struct certificate rsa;
    const char *why;

    assert_int_equal(certificate_parse(bytes_of_text(papers.cert_pem), bytes_of_text(papers.key_pem), "rsa", &arena,
                                       &rsa, &why), 0);
    struct tls_context *server = server_context(&policy, &rsa, NULL, NULL);
    static const char *const suites[][2] = {
        { "AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA" },
        { "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384" },
        { "ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" },
        { "DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
    };
    for (size_t i = 0; i < COUNT_OF(suites); i++) {
        SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
        SSL_CTX_set_cipher_list(client, suites[i][0]);
        assert_string_equal(suite_with(server, client), suites[i][1]);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
    certificate_clear(&rsa);
    papers_free(&papers);
}

static void prefers_as_the_policy_says_and_chacha_when_the_client_does(void **state)
{
    struct tls_policy_options policy = intermediate();

    for (int prefer = 0; prefer < 2; prefer++) {
        policy.prefer_aes_256 = prefer;
        struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);
        SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);

        SSL_CTX_set_ciphersuites(client, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256");
        assert_string_equal(suite_with(server, client), prefer ? "TLS_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256");
        SSL_CTX_set_ciphersuites(client, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
        assert_string_equal(suite_with(server, client), "TLS_CHACHA20_POLY1305_SHA256");
        SSL_CTX_free(client);
        tls_context_unref(server);
    }
}

static void junk_fails_with_an_alert_and_stays_failed(void **state)
{
    static const uint8_t junk[] = { 22, 3, 1, 0, 5, 1, 0, 0, 1, 0xff };
    struct tls_context *server = plain_context();
    struct tls_session *s = tls_session_new(server, BYTES_LITERAL("host"), 0);
    struct buffer_pool *pool = buffer_pool_new(0);
    struct buffer out = { 0 };
    struct bytes in = bytes_of(junk, sizeof junk);
    struct tls_failure f;

    assert_int_equal(buffer_reserve(pool, &out), 0);
    assert_int_equal(tls_session_handshake(s, &in, &out), -E_TLS);
    assert_int_equal(buffer_used(&out), ALERT_RECORD);
    assert_int_equal(out.data[out.start + 6], ALERT_DECODE_ERROR);
    assert_int_equal(tls_session_handshake(s, &in, &out), -E_TLS);
    assert_int_equal(buffer_used(&out), ALERT_RECORD);
    tls_session_failure(s, &f);
    assert_int_equal(f.alert, ALERT_DECODE_ERROR);
    assert_true(f.alert_sent && !f.alert_received && f.reason[0]);
    assert_int_equal(ERR_peek_error(), 0);
    tls_session_free(s);
    buffer_drop(pool, &out);
    buffer_pool_free(pool);
    tls_context_unref(server);
}

static void an_alert_before_the_hello_is_out_of_place(void **state)
{
    static const uint8_t records[2][7] = { { 21, 3, 1, 0, 2, 2, 48 }, { 21, 3, 1, 0, 2, 1, 0 } };
    struct tls_context *server = plain_context();
    struct buffer_pool *pool = buffer_pool_new(0);
    struct buffer out = { 0 };

    for (size_t i = 0; i < 2; i++) {
        struct tls_session *s = tls_session_new(server, BYTES_LITERAL("host"), 0);
        struct bytes in = bytes_of(records[i], sizeof records[i]);
        struct tls_failure f;

        assert_int_equal(buffer_reserve(pool, &out), 0);
        assert_int_equal(tls_session_handshake(s, &in, &out), -E_TLS);
        tls_session_failure(s, &f);
        assert_int_equal(f.alert, ALERT_UNEXPECTED_MESSAGE);
        assert_true(f.alert_sent && !f.alert_received);
        tls_session_free(s);
        buffer_drop(pool, &out);
    }
    buffer_pool_free(pool);
    tls_context_unref(server);
}

static void a_client_that_refuses_the_certificate_is_named_as_the_cause(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        struct tls_failure f;

        SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
        assert_int_equal(refused(server, client, &f), -E_TLS_ALERT);
        assert_true(f.alert_received && !f.alert_sent);
        assert_int_equal(f.alert, 48);
        assert_string_equal(f.reason, "the client sent the alert unknown_ca");
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_client_that_goes_away_in_the_handshake_is_named_as_the_cause(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    static const uint8_t close_notify[] = { 21, 3, 3, 0, 2, 1, 0 };
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "host");
    (void)SSL_do_handshake(p.client);
    pair_collect(&p);
    assert_int_equal(buffer_append(p.pool, &p.to_server, bytes_of(close_notify, sizeof close_notify)), 0);
    struct bytes in = buffer_content(&p.to_server);
    assert_int_equal(tls_session_handshake(p.server, &in, &p.to_client), -E_TLS_ALERT);
    tls_session_failure(p.server, &f);
    assert_true(f.alert_received);
    assert_int_equal(f.alert, ALERT_CLOSE_NOTIFY);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void can_be_dropped_in_the_middle(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_3_VERSION);
    struct pair p;

    pair_open(&p, server, client, "host");
    (void)SSL_do_handshake(p.client);
    pair_collect(&p);
    struct bytes in = buffer_content(&p.to_server);
    assert_int_equal(tls_session_handshake(p.server, &in, &p.to_client), -E_AGAIN);
    assert_int_equal(in.size, 0);
    tls_session_finish(p.server, &p.to_client); /* nothing to say yet */
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void a_flight_longer_than_the_room_goes_out_in_parts(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    struct pair p;
    struct buffer narrow = { .data = (uint8_t[100]){ 0 }, .size = 100 };

    pair_open(&p, server, client, "host");
    (void)SSL_do_handshake(p.client);
    pair_collect(&p);
    struct bytes in = buffer_content(&p.to_server);
    int parts = 0;
    do {
        assert_int_equal(tls_session_handshake(p.server, &in, &narrow), -E_AGAIN);
        BIO_write(SSL_get_rbio(p.client), narrow.data + narrow.start, (int)buffer_used(&narrow));
        parts += buffer_used(&narrow) > 0;
        narrow.start = narrow.end = 0;
    } while (SSL_do_handshake(p.client) != 1 && parts < 100);
    assert_true(parts > 3 && parts < 100);
    buffer_consume(&p.to_server, buffer_used(&p.to_server));
    assert_true(pair_shake(&p));
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void a_record_of_another_version_is_the_clients_fault(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "host");
    (void)SSL_do_handshake(p.client);
    pair_collect(&p);
    assert_int_equal(buffer_append(p.pool, &p.to_server, BYTES_LITERAL("\x16\1\3\0\1x")), 0);
    struct bytes in = buffer_content(&p.to_server);
    assert_int_equal(tls_session_handshake(p.server, &in, &p.to_client), -E_TLS);
    tls_session_failure(p.server, &f);
    assert_string_equal(f.reason, "wrong version number");
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- ALPN ---- */

static void alpn_is_ours_by_preference_or_fatal_or_absent(void **state)
{
    static const char *const ours[] = { "h2", "http/1.1", NULL };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, ours);
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_3_VERSION);
    struct tls_facts facts;
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    tls_session_facts(p.server, &facts);
    assert_int_equal(facts.alpn.size, 0);
    pair_end(&p);

    SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\3foo\x8http/1.1\2h2", 16);
    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    tls_session_facts(p.server, &facts);
    assert_true(bytes_equal_text(facts.alpn, "h2"));
    pair_end(&p);

    SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\3foo\x2h3", 7);
    assert_int_equal(refused(server, client, &f), -E_TLS);
    assert_int_equal(f.alert, ALERT_NO_APPLICATION_PROTOCOL);
    assert_true(f.alert_sent);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void alpn_without_names_of_ours_is_not_negotiated(void **state)
{
    static const char *const none[] = { NULL };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, none);
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_3_VERSION);
    struct tls_facts facts;
    struct pair p;

    SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\2h2", 3);
    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    tls_session_facts(p.server, &facts);
    assert_int_equal(facts.alpn.size, 0);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- Records ---- */

static void carries_data_of_every_size_both_ways(void **state)
{
    static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 65536 };
    static uint8_t sent[65536], got[65536 + 1];
    struct tls_context *server = plain_context();

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        struct pair p;

        pair_open(&p, server, client, "host");
        assert_true(pair_shake(&p));
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            size_t total = 0;
            int n;

            assert_int_equal(buffer_reserve(p.pool, &p.to_client), 0);
            assert_int_equal(tls_session_seal(p.server, bytes_of(sent, sizes[i]), &p.to_client), 0);
            assert_true(buffer_used(&p.to_client) <= tls_sealed_size(sizes[i], tls_session_piece(p.server)));
            while (total < sizes[i] && (n = pair_client_read(&p, got + total, sizeof got - total)) > 0)
                total += (size_t)n;
            assert_int_equal(total, sizes[i]);
            assert_memory_equal(got, sent, total);

            if (sizes[i])
                assert_int_equal(SSL_write(p.client, sent, (int)sizes[i]), (int)sizes[i]);
            memset(got, 0, sizeof got);
            total = 0;
            while ((n = pair_server_read(&p, got + total, sizeof got - total)) > 0)
                total += (size_t)n;
            assert_int_equal(n, -E_AGAIN);
            assert_int_equal(total, sizes[i]);
            assert_memory_equal(got, sent, total);
        }
        pair_end(&p);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_record_may_be_read_in_small_rooms(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_3_VERSION);
    uint8_t room[3], all[10];
    size_t total = 0;
    struct pair p;
    int n;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    SSL_write(p.client, "0123456789", 10);
    while ((n = pair_server_read(&p, room, sizeof room)) > 0) {
        assert_true(total + (size_t)n <= sizeof all);
        memcpy(all + total, room, (size_t)n);
        total += (size_t)n;
    }
    assert_int_equal(n, -E_AGAIN);
    assert_memory_equal(all, "0123456789", 10);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void data_behind_the_finished_message_is_not_lost(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    uint8_t plain[64];
    struct pair p;

    pair_open(&p, server, client, "host");
    (void)SSL_do_handshake(p.client);
    pair_collect(&p);
    struct bytes in = buffer_content(&p.to_server);
    assert_int_equal(tls_session_handshake(p.server, &in, &p.to_client), -E_AGAIN);
    buffer_consume(&p.to_server, buffer_used(&p.to_server));
    pair_deliver(&p);
    assert_int_equal(SSL_do_handshake(p.client), 1);
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    pair_collect(&p); /* Finished and the data in one piece */
    in = buffer_content(&p.to_server);
    size_t before = in.size;
    assert_int_equal(tls_session_handshake(p.server, &in, &p.to_client), 0);
    buffer_consume(&p.to_server, before - in.size);
    assert_int_equal(pair_server_read(&p, plain, sizeof plain), 5);
    assert_memory_equal(plain, "hello", 5);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void close_notify_goes_both_ways(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        uint8_t plain[64];
        struct pair p;

        pair_open(&p, server, client, "host");
        assert_true(pair_shake(&p));
        assert_int_equal(pair_client_read(&p, plain, sizeof plain), -1); /* takes the ticket */
        SSL_write(p.client, "last", 4);
        assert_int_equal(SSL_shutdown(p.client), 0);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 4);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 0);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 0);
        /* the other direction is still open */
        assert_int_equal(buffer_reserve(p.pool, &p.to_client), 0);
        assert_int_equal(tls_session_seal(p.server, BYTES_LITERAL("answer"), &p.to_client), 0);
        tls_session_finish(p.server, &p.to_client);
        size_t used = buffer_used(&p.to_client);
        tls_session_finish(p.server, &p.to_client);
        assert_int_equal(buffer_used(&p.to_client), used); /* once only */
        pair_deliver(&p);
        assert_int_equal(SSL_shutdown(p.client) == 1 || SSL_get_shutdown(p.client), 1);
        pair_end(&p);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void reads_on_after_its_own_close_notify(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        uint8_t plain[64];
        struct pair p;

        pair_open(&p, server, client, "host");
        assert_true(pair_shake(&p));
        assert_int_equal(buffer_reserve(p.pool, &p.to_client), 0);
        tls_session_finish(p.server, &p.to_client);
        SSL_write(p.client, "still here", 10);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 10);
        pair_end(&p);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_spoilt_record_gets_bad_record_mac(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        uint8_t plain[64];
        struct tls_failure f;
        struct pair p;

        pair_open(&p, server, client, "host");
        assert_true(pair_shake(&p));
        (void)pair_client_read(&p, plain, sizeof plain);
        SSL_write(p.client, "good", 4);
        SSL_write(p.client, "spoilt", 6);
        pair_collect(&p);
        p.to_server.data[p.to_server.end - 1] ^= 1;
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 4); /* what was good comes first */
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS);
        tls_session_failure(p.server, &f);
        assert_true(f.alert_sent);
        assert_int_equal(f.alert, 20);
        assert_string_equal(f.reason, "decryption failed or bad record mac");
        ERR_clear_error();
        assert_true(pair_client_read(&p, plain, sizeof plain) <= 0);
        assert_int_equal(alert_seen(), 20);
        pair_end(&p);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_record_over_the_limit_is_refused(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        static const uint8_t header[] = { 23, 3, 3, 0x48, 0x01 }; /* 2^14 + 2048 + 1 */
        uint8_t plain[64];
        struct tls_failure f;
        struct pair p;

        pair_open(&p, server, client, "host");
        assert_true(pair_shake(&p));
        assert_int_equal(buffer_append(p.pool, &p.to_server, bytes_of(header, sizeof header)), 0);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS);
        tls_session_failure(p.server, &f);
        assert_int_equal(f.alert, ALERT_RECORD_OVERFLOW);
        pair_end(&p);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_fatal_alert_ends_the_session(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    static const uint8_t bad[] = { 23, 3, 3, 0, 1, 0 };
    uint8_t plain[64];
    char expected[80];
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    BIO_write(SSL_get_rbio(p.client), bad, sizeof bad);
    assert_true(SSL_read(p.client, plain, sizeof plain) <= 0); /* the client now sends a fatal alert */
    ERR_clear_error();
    assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS_ALERT);
    tls_session_failure(p.server, &f);
    assert_true(f.alert_received && !f.alert_sent);
    assert_true(f.alert != ALERT_CLOSE_NOTIFY); /* which one is the client's choice, by its version */
    snprintf(expected, sizeof expected, "the client sent the alert %s", alert_name(f.alert));
    assert_string_equal(f.reason, expected);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void renegotiation_is_refused(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_2_VERSION, TLS1_2_VERSION);
    uint8_t plain[64];
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    assert_int_equal(SSL_renegotiate(p.client), 1);
    (void)SSL_do_handshake(p.client);
    assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS);
    tls_session_failure(p.server, &f);
    assert_true(f.alert_sent);
    assert_string_equal(alert_name(f.alert), "no_renegotiation");
    assert_string_equal(f.reason, "the client asked for a renegotiation");
    assert_int_equal(pair_server_read(&p, plain, sizeof plain), -E_TLS);
    /* The warning, and close_notify, since that ends nothing by itself (RFC 5246 7.2.1): of AES-GCM both. */
    assert_int_equal(buffer_used(&p.to_client), 2 * (5 + 8 + 2 + 16));
    assert_int_equal(p.to_client.data[p.to_client.start], 21);
    assert_int_equal(p.to_client.data[p.to_client.start + 31], 21);
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void key_updates_are_followed_and_answered(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    uint8_t plain[64];
    struct pair p;

    pair_open(&p, server, client, "host");
    assert_true(pair_shake(&p));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_write(p.client, "after", 5), 5);
        assert_int_equal(pair_server_read(&p, plain, sizeof plain), 5);
        assert_int_equal(buffer_reserve(p.pool, &p.to_client), 0);
        assert_int_equal(tls_session_seal(p.server, BYTES_LITERAL("answer"), &p.to_client), 0);
        assert_int_equal(pair_client_read(&p, plain, sizeof plain), 6);
        assert_memory_equal(plain, "answer", 6);
    }
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- Contexts ---- */

static void a_context_that_cannot_be_made_says_why(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_server_parts parts = { .policy = &policy, .leaf = leaf.leaf, .chain = leaf.chain, .key = leaf.key };
    struct papers other = papers_make(&(struct papers_wish){ .common_name = "other" });
    const char *why = NULL;

    policy.groups = "X25519:nonsense";
    assert_null(tls_context_new_server(&parts, &why));
    assert_non_null(strstr(why, "unknown key exchange group \"nonsense\""));
    policy.groups = NULL;
    policy.suites_1_2 = "RC4-SHA";
    assert_null(tls_context_new_server(&parts, &why));
    assert_non_null(strstr(why, "RC4-SHA"));
    policy.suites_1_2 = NULL;
    parts.alpn = (const char *[]){ "", NULL };
    assert_null(tls_context_new_server(&parts, &why));
    parts.alpn = NULL;
    parts.key = other.key;
    assert_null(tls_context_new_server(&parts, &why));
    assert_non_null(strstr(why, "the library refuses the certificate"));
    assert_int_equal(ERR_peek_error(), 0);
    if (!tls_library_has_group("X25519MLKEM768")) {
        policy.groups = "X25519MLKEM768";
        parts.key = leaf.key;
        assert_null(tls_context_new_server(&parts, &why));
        assert_non_null(strstr(why, "too old"));
    }
    papers_free(&other);
}

static void groups_of_the_policy_are_used(void **state)
{
    struct tls_policy_options policy = intermediate();
    policy.groups = "P-384, prime256v1";
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    struct tls_facts facts;
    struct pair p;

    SSL_CTX_set1_groups_list(client, "X25519:P-384:P-256");
    pair_open(&p, server, client, "host"); /* by way of a HelloRetryRequest */
    assert_true(pair_shake(&p));
    tls_session_facts(p.server, &facts);
    assert_string_equal(facts.group, "P-384");
    pair_end(&p);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void library_is_named(void **state)
{
    assert_true(strncmp(tls_library_version(), "OpenSSL 3.", 10) == 0);
    assert_true(tls_library_has_group("X25519"));
    assert_false(tls_library_has_group("no-such-group"));
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(completes_in_both_versions_whatever_the_pieces),
        TEST(names_the_group_by_iana),
        TEST(refuses_older_versions_with_protocol_version),
        TEST(modern_refuses_1_2),
        TEST(without_a_common_suite_fails_with_handshake_failure),
        TEST(old_adds_cbc_and_rsa_key_exchange),
        TEST(prefers_as_the_policy_says_and_chacha_when_the_client_does),
        TEST(junk_fails_with_an_alert_and_stays_failed),
        TEST(an_alert_before_the_hello_is_out_of_place),
        TEST(a_client_that_refuses_the_certificate_is_named_as_the_cause),
        TEST(a_client_that_goes_away_in_the_handshake_is_named_as_the_cause),
        TEST(a_record_of_another_version_is_the_clients_fault),
        TEST(can_be_dropped_in_the_middle),
        TEST(a_flight_longer_than_the_room_goes_out_in_parts),
        TEST(alpn_is_ours_by_preference_or_fatal_or_absent),
        TEST(alpn_without_names_of_ours_is_not_negotiated),
        TEST(carries_data_of_every_size_both_ways),
        TEST(a_record_may_be_read_in_small_rooms),
        TEST(data_behind_the_finished_message_is_not_lost),
        TEST(close_notify_goes_both_ways),
        TEST(reads_on_after_its_own_close_notify),
        TEST(a_spoilt_record_gets_bad_record_mac),
        TEST(a_record_over_the_limit_is_refused),
        TEST(a_fatal_alert_ends_the_session),
        TEST(renegotiation_is_refused),
        TEST(key_updates_are_followed_and_answered),
        TEST(a_context_that_cannot_be_made_says_why),
        TEST(groups_of_the_policy_are_used),
        TEST(library_is_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
