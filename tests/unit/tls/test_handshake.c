/* test_handshake.c: our own engine, with OpenSSL's client at the other end, in memory: every combination of what it speaks. */
#include "native_pair.h"
#include "papers.h"

#include "tls/handshake_private.h"

static struct arena arena;
static struct ticket_keys ring;
static struct papers ca, staff_papers;

/* ---- Servers ---- */

static const char *const key_kinds[] = { "P-256", "P-384", "RSA", "ED25519" };
static struct papers server_papers[COUNT_OF(key_kinds)];
static struct certificate leaves[COUNT_OF(key_kinds)];

static struct tls_context *any_server(void)
{
    const struct tls_policy_options policy = intermediate();

    return server_context(&policy, &leaves[0], NULL, (const char *[]){ "h2", "http/1.1", NULL });
}

static struct tls_context *asking_server(enum tls_client_certificate clients)
{
    struct tls_policy_options policy = intermediate();

    policy.clients.certificate = (int)clients;
    policy.clients.ca.path = "ca.pem";
    policy.clients.depth = 1;
    return server_context(&policy, &leaves[0], ca.cert_pem, (const char *[]){ NULL });
}

static SSL_CTX *any_client(void)
{
    return client_context(TLS1_3_VERSION, TLS1_3_VERSION);
}

static void give_certificate(SSL_CTX *client, const struct papers *p)
{
    assert_int_equal(SSL_CTX_use_certificate(client, p->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(client, p->key), 1);
}

static int set_up(void **state)
{
    const char *why;

    arena_init(&arena, NULL, SIZE_MAX);
    visits_begin();
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    ca = papers_make(&(struct papers_wish){ .common_name = "Staff CA", .constraints = "critical,CA:TRUE" });
    staff_papers = papers_make(&(struct papers_wish){ .common_name = "Ann", .issuer = &ca });
    for (size_t i = 0; i < COUNT_OF(key_kinds); i++) {
        server_papers[i] = papers_make(&(struct papers_wish){ .key = key_kinds[i], .common_name = "a.test" });
        assert_int_equal(certificate_parse(bytes_of_text(server_papers[i].cert_pem),
                                           bytes_of_text(server_papers[i].key_pem), "server", &arena, &leaves[i], &why),
                         0);
    }
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < COUNT_OF(key_kinds); i++) {
        certificate_clear(&leaves[i]);
        papers_free(&server_papers[i]);
    }
    papers_free(&staff_papers);
    papers_free(&ca);
    visits_end();
    arena_reset(&arena);
    return 0;
}

/* ---- A visit that goes well ---- */

static void expect_good(struct visit *v)
{
    visit_open(v);
    if (!visit_shake(v))
        fail_msg("handshake: %s", v->failure.reason);
    assert_true(v->facts.is_native);
    assert_int_equal(v->facts.resumed, SSL_session_reused(v->client));
    visit_speak(v);
}

/* Its session; NULL: the client has none. */
static SSL_SESSION *good_visit(struct visit v)
{
    expect_good(&v);
    return visit_close(&v);
}

/* One that offers to resume, and may or may not. */
static void resume(struct visit v, SSL_SESSION *session, bool wanted)
{
    v.resumes = SSL_SESSION_dup(session); /* which the library spoils with its use */
    expect_good(&v);
    assert_true(v.offers_psk);
    assert_int_equal(v.facts.resumed, wanted);
    SSL_SESSION_free(visit_close(&v));
    SSL_SESSION_free(v.resumes);
}

/* ---- Groups, suites, keys, retries, resumption ---- */

static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                      "TLS_CHACHA20_POLY1305_SHA256" };

static void one_combination(struct tls_context *server, const char *group, const char *suite, bool retry)
{
    SSL_CTX *client = any_client();
    char groups[64];
    SSL_SESSION *session;
    struct visit v = { .context = server, .client_context = client };

    snprintf(groups, sizeof groups, "%s%s", retry ? "X448:" : "", group); /* the first one gets the share */
    assert_int_equal(SSL_CTX_set1_groups_list(client, groups), 1);
    assert_int_equal(SSL_CTX_set_ciphersuites(client, suite), 1);
    for (int resumed = 0; resumed < 2; resumed++) {
        v.resumes = resumed ? session : NULL;
        expect_good(&v);
        assert_string_equal(v.facts.suite, suite);
        assert_string_equal(v.facts.group, group);
        assert_int_equal(v.facts.resumed, resumed);
        session = visit_close(&v);
        if (resumed)
            SSL_SESSION_free(v.resumes);
        v = (struct visit){ .context = server, .client_context = client };
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
}

static void speaks_every_group_suite_and_key_with_and_without_retry_and_resumes(void **state)
{
    static const char *const groups[] = { "X25519", "P-256", "P-384", "X25519MLKEM768" };
    const struct tls_policy_options policy = intermediate();

    for (size_t k = 0; k < COUNT_OF(key_kinds); k++) {
        struct tls_context *server = server_context(&policy, &leaves[k], NULL, (const char *[]){ NULL });

        for (size_t g = 0; g < COUNT_OF(groups); g++) {
            if (!tls_library_has_group(groups[g]))
                continue; /* OpenSSL 3.0 has no ML-KEM */
            for (size_t s = 0; s < COUNT_OF(suites); s++)
                for (int retry = 0; retry < 2; retry++)
                    one_combination(server, groups[g], suites[s], retry);
        }
        tls_context_unref(server);
    }
}

static void a_session_resumes_under_another_suite_with_the_same_hash(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client(), *other = any_client();
    SSL_SESSION *session;

    SSL_CTX_set_ciphersuites(client, "TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_ciphersuites(other, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
    session = good_visit((struct visit){ .context = server, .client_context = client });
    resume((struct visit){ .context = server, .client_context = other }, session, false);
    SSL_SESSION_free(session);
    SSL_CTX_set_ciphersuites(client, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_ciphersuites(other, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
    session = good_visit((struct visit){ .context = server, .client_context = client });
    resume((struct visit){ .context = server, .client_context = other }, session, true);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    SSL_CTX_free(other);
    tls_context_unref(server);
}

static void a_ticket_is_good_for_its_host_its_time_and_its_keys_alone(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();
    int64_t now = time(NULL);
    struct visit v = { .context = server, .client_context = client, .now = now }, other = v, later = v, before = v, within = v;
    SSL_SESSION *session = good_visit(v);
    struct ticket_keys fresh = { 0 };

    other.binding = "another host";
    resume(other, session, false);
    later.now = now + TICKET_LIFETIME;
    resume(later, session, false);
    before.now = now - 1;
    resume(before, session, false);
    within.now = now + TICKET_LIFETIME - 1;
    resume(within, session, true);
    assert_int_equal(ticket_keys_rotate(&fresh), 0);
    tickets_install(&fresh);
    resume(v, session, false);
    tickets_install(&ring);
    resume(v, session, true);
    ticket_keys_wipe(&fresh);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* RFC 8446 4.6.1: each ticket is followed by a fresh one, and yet there is an end. */
static void a_session_ends_a_week_after_its_full_handshake_however_often_it_was_resumed(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();
    int64_t began = time(NULL);
    struct visit v = { .context = server, .client_context = client, .now = began };
    SSL_SESSION *session = good_visit(v);

    for (bool resumed = true; resumed;) {
        v.now += TICKET_LIFETIME - 1;
        v.resumes = session;
        expect_good(&v);
        resumed = v.facts.resumed;
        assert_int_equal(resumed, v.now < began + SESSION_LIFETIME);
        session = visit_close(&v);
        SSL_SESSION_free(v.resumes);
        v = (struct visit){ .context = server, .client_context = client, .now = v.now };
    }
    resume(v, session, true); /* which begins anew */
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- Pieces ---- */

static void bytes_one_at_a_time_and_records_of_one_byte_do(void **state)
{
    struct tls_context *server = asking_server(TLS_CLIENT_REQUIRED);
    SSL_CTX *client = any_client();

    give_certificate(client, &staff_papers);
    for (int retry = 0; retry < 2; retry++)
        for (int records = 0; records < 2; records++)
            for (size_t at_once = 0; at_once < 3; at_once++) {
                struct visit v = { .context = server, .client_context = client, .at_once = at_once,
                                   .one_byte_records = records };
                SSL_SESSION *session;

                assert_int_equal(SSL_CTX_set1_groups_list(client, retry ? "X448:P-256" : "P-256"), 1);
                session = good_visit(v);
                resume(v, session, true);
                SSL_SESSION_free(session);
            }
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void change_cipher_spec_is_said_to_those_who_send_a_session_id(void **state)
{
    static const uint8_t change[] = { 20, 3, 3, 0, 1, 1 };
    struct tls_context *server = any_server();

    for (int compatible = 0; compatible < 2; compatible++)
        for (int retry = 0; retry < 2; retry++) {
            SSL_CTX *client = any_client();
            struct visit v = { .context = server, .client_context = client };
            size_t first;
            unsigned changes = 0;

            assert_int_equal(SSL_CTX_set1_groups_list(client, retry ? "X448:X25519" : "X25519"), 1);
            if (compatible)
                SSL_CTX_set_options(client, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
            else
                SSL_CTX_clear_options(client, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
            expect_good(&v);
            for (size_t at = 0; at < v.sent_bytes; at += record_size(v.sent + at))
                changes += v.sent[at] == 20;
            assert_int_equal(changes, compatible);
            first = record_size(v.sent); /* ServerHello or HelloRetryRequest */
            assert_int_equal(memcmp(v.sent + first, change, sizeof change) == 0, compatible);
            SSL_SESSION_free(visit_close(&v));
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void early_data_is_skipped_whatever_becomes_of_the_ticket(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();
    SSL_SESSION *session = good_visit((struct visit){ .context = server, .client_context = client });

    assert_int_equal(SSL_SESSION_set_max_early_data(session, 16384), 1);
    for (int refused = 0; refused < 2; refused++)
        for (int retry = 0; retry < 2; retry++) {
            struct visit v = { .context = server, .client_context = client, .early = "GET / HTTP/1.0",
                               .resumes = SSL_SESSION_dup(session), .binding = refused ? "another" : NULL };

            assert_int_equal(SSL_CTX_set1_groups_list(client, retry ? "X448:X25519" : "X25519"), 1);
            expect_good(&v);
            assert_int_equal(SSL_get_early_data_status(v.client), SSL_EARLY_DATA_REJECTED);
            assert_int_equal(v.facts.resumed, !refused);
            SSL_SESSION_free(visit_close(&v));
            SSL_SESSION_free(v.resumes);
        }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- Extensions ---- */

static void our_order_of_protocols_counts(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();
    struct visit v = { .context = server, .client_context = client };
    const unsigned char *name;
    unsigned bytes;

    assert_int_equal(SSL_CTX_set_alpn_protos(client, (const uint8_t *)"\x08http/1.1\x02h2", 12), 0);
    expect_good(&v);
    assert_true(bytes_equal_text(v.facts.alpn, "h2"));
    SSL_get0_alpn_selected(v.client, &name, &bytes);
    assert_int_equal(bytes, 2);
    SSL_SESSION_free(visit_close(&v));
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static int add_limit(SSL *client, unsigned type, unsigned context, const unsigned char **out, size_t *ret_bytes, X509 *x,
                     size_t index, int *alert, void *limit)
{
    *out = limit;
    *ret_bytes = 2;
    return 1;
}

static int take_limit(SSL *client, unsigned type, unsigned context, const unsigned char *in, size_t bytes, X509 *x,
                      size_t index, int *alert, void *limit)
{
    return bytes == 2 && (in[0] << 8 | in[1]) == RECORD_PLAIN_MOST + 1;
}

/* No record that is protected has more content; whatever is before the keys is short. */
static size_t longest_record(const struct visit *v)
{
    size_t most = 0;

    for (size_t at = 0; at < v->sent_bytes; at += record_size(v->sent + at))
        if (v->sent[at] == CONTENT_APPLICATION_DATA && record_size(v->sent + at) > most)
            most = record_size(v->sent + at);
    return most - RECORD_HEADER - AEAD_TAG;
}

static void record_size_limit_holds_from_the_first_protected_record_on(void **state)
{
    static uint8_t limits[][2] = { { 0, 64 }, { 2, 0 }, { 0x40, 0 }, { 0x40, 1 }, { 0xff, 0xff } };
    const struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaves[2], NULL, (const char *[]){ NULL }); /* RSA: longer */

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        SSL_CTX *client = any_client();
        struct visit v = { .context = server, .client_context = client };
        size_t limit = (size_t)limits[i][0] << 8 | limits[i][1];

        assert_int_equal(SSL_CTX_add_custom_ext(client, 28, SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS,
                                                add_limit, NULL, limits[i], take_limit, NULL), 1);
        expect_good(&v);
        assert_true(longest_record(&v) <= limit);
        if (limit < 1000)
            assert_int_equal(longest_record(&v), limit); /* the type's byte counts */
        assert_int_equal(v.keys.plain_most, limit > RECORD_PLAIN_MOST ? RECORD_PLAIN_MOST : limit - 1);
        assert_int_equal(v.keys.read_most, RECORD_PLAIN_MOST);
        SSL_SESSION_free(visit_close(&v));
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void max_fragment_length_holds_likewise(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();
    SSL_SESSION *session;

    for (uint8_t code = 1; code <= 4; code++) {
        struct visit v = { .context = server, .client_context = client };

        assert_int_equal(SSL_CTX_set_tlsext_max_fragment_length(client, code), 1);
        expect_good(&v);
        assert_in_range(longest_record(&v), 100, (256u << code) + 1);
        assert_int_equal(v.keys.plain_most, 256u << code);
        assert_int_equal(v.keys.read_most, 256u << code);
        session = visit_close(&v);
        resume((struct visit){ .context = server, .client_context = client }, session, true);
        SSL_SESSION_free(session);
    }
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static struct bytes sct_seen;

static int ask_for_scts(SSL *client, unsigned type, unsigned context, const unsigned char **out, size_t *ret_bytes, X509 *x,
                        size_t index, int *alert, void *user)
{
    *ret_bytes = 0;
    return 1;
}

static int take_scts(SSL *client, unsigned type, unsigned context, const unsigned char *in, size_t bytes, X509 *x,
                     size_t index, int *alert, void *user)
{
    static uint8_t seen[64];

    if (bytes > sizeof seen)
        return 0;
    memcpy(seen, in, bytes);
    sct_seen = bytes_of(seen, bytes);
    return 1;
}

static void staple_and_timestamps_go_to_those_who_ask(void **state)
{
    const struct tls_policy_options policy = intermediate();
    struct tls_server_parts parts = { .policy = &policy, .leaf = leaves[0].leaf, .chain = leaves[0].chain,
                                      .key = leaves[0].key, .alpn = (const char *[]){ NULL },
                                      .staple = BYTES_LITERAL("an OCSP response"),
                                      .scts = BYTES_LITERAL("\x00\x0a\x00\x08timestam") };
    const char *why;
    struct tls_context *server = tls_context_new_server(&parts, &why);

    assert_non_null(server);
    for (unsigned asks = 0; asks < 4; asks++) {
        SSL_CTX *client = any_client();
        struct visit v = { .context = server, .client_context = client };
        unsigned char *response;

        sct_seen = BYTES_NONE;
        if (asks & 1)
            SSL_CTX_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
        if (asks & 2)
            assert_int_equal(SSL_CTX_add_custom_ext(client, 18, SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_CERTIFICATE,
                                                    ask_for_scts, NULL, NULL, take_scts, NULL), 1);
        expect_good(&v);
        assert_int_equal(SSL_get_tlsext_status_ocsp_resp(v.client, &response), asks & 1 ? (int)parts.staple.size : -1);
        if (asks & 1)
            assert_memory_equal(response, parts.staple.at, parts.staple.size);
        assert_true(bytes_equal(sct_seen, asks & 2 ? parts.scts : BYTES_NONE));
        SSL_SESSION_free(visit_close(&v));
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

#if OPENSSL_VERSION_NUMBER >= 0x30200000L && !defined OPENSSL_NO_COMP_ALG
static void certificates_are_compressed_for_those_who_can_undo_it(void **state)
{
    static int algorithms[] = { TLSEXT_comp_cert_zlib, TLSEXT_comp_cert_brotli, TLSEXT_comp_cert_zstd };
    struct tls_context *server = any_server();

    for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
        SSL_CTX *client = any_client();
        struct visit v = { .context = server, .client_context = client };

        if (SSL_CTX_set1_cert_comp_preference(client, &algorithms[i], 1) == 1)
            SSL_SESSION_free(good_visit(v)); /* else the library was built without it */
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}
#endif

/* ---- Client certificates ---- */

static void clients_with_every_kind_of_key_prove_it(void **state)
{
    static const char *const kinds[] = { "P-256", "P-384", "P-521", "RSA", "ED25519" };
    struct tls_context *server = asking_server(TLS_CLIENT_REQUIRED);

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        SSL_CTX *client = any_client();
        struct papers bob = papers_make(&(struct papers_wish){ .key = kinds[i], .common_name = "Bob", .issuer = &ca });
        struct visit v = { .context = server, .client_context = client };
        SSL_SESSION *session;

        give_certificate(client, &bob);
        expect_good(&v);
        assert_true(v.facts.has_client_certificate && v.facts.client_verified);
        assert_string_equal(v.name, "Bob");
        session = visit_close(&v);
        v = (struct visit){ .context = server, .client_context = client, .resumes = session };
        expect_good(&v);
        assert_true(v.facts.resumed && v.facts.has_client_certificate && v.facts.client_verified);
        assert_string_equal(v.name, "Bob");
        SSL_SESSION_free(visit_close(&v));
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        papers_free(&bob);
    }
    tls_context_unref(server);
}

static void a_client_without_a_certificate_is_refused_only_where_one_is_required(void **state)
{
    struct tls_context *optional = asking_server(TLS_CLIENT_OPTIONAL), *required = asking_server(TLS_CLIENT_REQUIRED);
    SSL_CTX *client = any_client();
    struct visit v = { .context = optional, .client_context = client };

    expect_good(&v);
    assert_false(v.facts.has_client_certificate);
    assert_string_equal(v.name, "");
    SSL_SESSION_free(visit_close(&v));
    v = (struct visit){ .context = required, .client_context = client };
    visit_open(&v);
    assert_false(visit_shake(&v));
    assert_int_equal(v.result, -E_CLIENT_CERTIFICATE);
    assert_int_equal(v.failure.alert, ALERT_CERTIFICATE_REQUIRED);
    assert_true(v.failure.alert_sent);
    SSL_SESSION_free(visit_close(&v));
    SSL_CTX_free(client);
    tls_context_unref(optional);
    tls_context_unref(required);
}

static void bad_client_certificates_get_the_alert_that_they_deserve(void **state)
{
    struct papers stranger = papers_make(&(struct papers_wish){ .common_name = "Mallory" });
    struct papers late = papers_make(&(struct papers_wish){ .common_name = "Late", .issuer = &ca, .from = -7200, .until = -3600 });
    struct papers weak = papers_make(&(struct papers_wish){ .key = "RSA1024", .common_name = "Weak", .issuer = &ca });
    const struct { const struct papers *papers; uint8_t alert; } cases[] = {
        { &stranger, ALERT_UNKNOWN_CA }, { &late, ALERT_CERTIFICATE_EXPIRED }, { &weak, ALERT_BAD_CERTIFICATE },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (enum tls_client_certificate how = TLS_CLIENT_OPTIONAL; how <= TLS_CLIENT_REQUIRED; how++) {
            struct tls_context *server = asking_server(how);
            SSL_CTX *client = any_client();
            struct visit v = { .context = server, .client_context = client };

            give_certificate(client, cases[i].papers);
            visit_open(&v);
            assert_false(visit_shake(&v));
            assert_int_equal(v.result, -E_CLIENT_CERTIFICATE);
            assert_int_equal(v.failure.alert, cases[i].alert);
            SSL_SESSION_free(visit_close(&v));
            SSL_CTX_free(client);
            tls_context_unref(server);
        }
    papers_free(&stranger);
    papers_free(&late);
    papers_free(&weak);
}

static void a_ticket_ends_with_its_client_s_certificate_and_does_not_get_around_one(void **state)
{
    struct papers brief = papers_make(
        &(struct papers_wish){ .common_name = "Brief", .issuer = &ca, .from = -60, .until = 3600 });
    struct tls_context *required = asking_server(TLS_CLIENT_REQUIRED), *optional = asking_server(TLS_CLIENT_OPTIONAL);
    SSL_CTX *client = any_client(), *nobody = any_client();
    struct visit v = { .context = required, .client_context = client };
    SSL_SESSION *session, *anonymous;

    give_certificate(client, &brief);
    session = good_visit(v);
    resume(v, session, true);
    v.now = time(NULL) + 3700;
    resume(v, session, false);
    /* A session without a certificate does not serve where one is required, whatever its binding. */
    anonymous = good_visit((struct visit){ .context = optional, .client_context = nobody });
    resume((struct visit){ .context = required, .client_context = client }, anonymous, false);
    SSL_SESSION_free(session);
    SSL_SESSION_free(anonymous);
    SSL_CTX_free(client);
    SSL_CTX_free(nobody);
    tls_context_unref(required);
    tls_context_unref(optional);
    papers_free(&brief);
}

static void a_ticket_ends_with_the_first_link_of_its_client_s_chain(void **state)
{
    struct papers link = papers_make(&(struct papers_wish){
        .common_name = "Brief link", .issuer = &ca, .constraints = "critical,CA:TRUE", .from = -60, .until = 3600 });
    struct papers leaf = papers_make(&(struct papers_wish){ .common_name = "Lasting", .issuer = &link });
    struct tls_context *server = asking_server(TLS_CLIENT_REQUIRED);
    SSL_CTX *client = any_client();
    struct visit v = { .context = server, .client_context = client };
    SSL_SESSION *session;

    give_certificate(client, &leaf);
    assert_int_equal(SSL_CTX_add1_chain_cert(client, link.cert), 1);
    session = good_visit(v);
    v.now = time(NULL) + 3500;
    resume(v, session, true);
    v.now = time(NULL) + 3700;
    resume(v, session, false);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
    papers_free(&leaf);
    papers_free(&link);
}

/* ---- What was changed on its way, by somebody who has the keys ---- */

static void a_wrong_finished_is_refused_whichever_byte_it_is(void **state)
{
    struct tls_context *server = any_server();
    SSL_CTX *client = any_client();

    SSL_CTX_set_ciphersuites(client, suites[0]);
    for (size_t i = 1; i <= 4 + 32; i++) {
        struct visit v = { .context = server, .client_context = client, .one_byte_records = true, .spoils = i };

        visit_open(&v);
        (void)visit_shake(&v);
        assert_int_equal(v.result, -E_TLS);
        assert_int_equal(v.failure.alert, i == 1   ? ALERT_UNEXPECTED_MESSAGE
                                          : i <= 4 ? ALERT_DECODE_ERROR
                                                   : ALERT_DECRYPT_ERROR);
        SSL_SESSION_free(visit_close(&v));
    }
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void no_byte_of_a_client_s_proof_can_be_another(void **state)
{
    struct tls_context *server = asking_server(TLS_CLIENT_OPTIONAL);
    SSL_CTX *client = any_client();
    struct visit v = { .context = server, .client_context = client, .one_byte_records = true };
    size_t bytes;

    give_certificate(client, &staff_papers);
    SSL_CTX_set_ciphersuites(client, suites[0]);
    expect_good(&v);
    bytes = v.repacked;
    assert_in_range(bytes, 300, 1000); /* Certificate, CertificateVerify, Finished */
    SSL_SESSION_free(visit_close(&v));
    for (size_t i = 1; i <= bytes - 4; i++) { /* the signature's length is not always the same */
        v = (struct visit){ .context = server, .client_context = client, .one_byte_records = true, .spoils = i };
        visit_open(&v);
        (void)visit_shake(&v);
        assert_int_not_equal(v.result, 0);
        SSL_SESSION_free(visit_close(&v));
    }
    SSL_CTX_free(client);
    tls_context_unref(server);
}

/* ---- Ends in the midst ---- */

static void a_handshake_can_be_given_up_at_any_point(void **state)
{
    struct tls_context *server = asking_server(TLS_CLIENT_REQUIRED);
    SSL_CTX *client = any_client();

    give_certificate(client, &staff_papers);
    for (int calls = 1; calls < 12; calls++) {
        struct visit v = { .context = server, .client_context = client };
        int left = calls;

        visit_open(&v);
        while (left > 0 && visit_goes_on(&v)) {
            (void)SSL_do_handshake(v.client);
            ERR_clear_error();
            visit_collect(&v);
            do
                (void)visit_call(&v, v.waiting_bytes);
            while (--left > 0 && v.result == -E_PENDING);
        }
        SSL_SESSION_free(visit_close(&v)); /* the leak checker and the batch, which must be empty, have the last word */
        assert_true(batch_is_empty(visit_thread.batch));
    }
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void once_failed_it_stays_so(void **state)
{
    struct tls_context *server = asking_server(TLS_CLIENT_REQUIRED);
    SSL_CTX *client = any_client();
    struct visit v = { .context = server, .client_context = client };
    struct bytes in = BYTES_NONE;
    size_t sent;

    visit_open(&v);
    assert_false(visit_shake(&v));
    sent = v.sent_bytes;
    assert_int_equal(buffer_reserve(v.pool, &v.out), 0);
    assert_int_equal(tls_session_handshake(v.server, &in, &v.out), -E_CLIENT_CERTIFICATE);
    assert_int_equal(buffer_used(&v.out), 0); /* the alert is said once */
    assert_true(sent > 0);
    SSL_SESSION_free(visit_close(&v));
    SSL_CTX_free(client);
    tls_context_unref(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_every_group_suite_and_key_with_and_without_retry_and_resumes),
        cmocka_unit_test(a_session_resumes_under_another_suite_with_the_same_hash),
        cmocka_unit_test(a_ticket_is_good_for_its_host_its_time_and_its_keys_alone),
        cmocka_unit_test(a_session_ends_a_week_after_its_full_handshake_however_often_it_was_resumed),
        cmocka_unit_test(bytes_one_at_a_time_and_records_of_one_byte_do),
        cmocka_unit_test(change_cipher_spec_is_said_to_those_who_send_a_session_id),
        cmocka_unit_test(early_data_is_skipped_whatever_becomes_of_the_ticket),
        cmocka_unit_test(our_order_of_protocols_counts),
        cmocka_unit_test(record_size_limit_holds_from_the_first_protected_record_on),
        cmocka_unit_test(max_fragment_length_holds_likewise),
        cmocka_unit_test(staple_and_timestamps_go_to_those_who_ask),
#if OPENSSL_VERSION_NUMBER >= 0x30200000L && !defined OPENSSL_NO_COMP_ALG
        cmocka_unit_test(certificates_are_compressed_for_those_who_can_undo_it),
#endif
        cmocka_unit_test(clients_with_every_kind_of_key_prove_it),
        cmocka_unit_test(a_client_without_a_certificate_is_refused_only_where_one_is_required),
        cmocka_unit_test(bad_client_certificates_get_the_alert_that_they_deserve),
        cmocka_unit_test(a_ticket_ends_with_its_client_s_certificate_and_does_not_get_around_one),
        cmocka_unit_test(a_ticket_ends_with_the_first_link_of_its_client_s_chain),
        cmocka_unit_test(a_wrong_finished_is_refused_whichever_byte_it_is),
        cmocka_unit_test(no_byte_of_a_client_s_proof_can_be_another),
        cmocka_unit_test(a_handshake_can_be_given_up_at_any_point),
        cmocka_unit_test(once_failed_it_stays_so),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
