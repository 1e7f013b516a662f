/* Client certificates: session.c and context.c together. */
#include "tls/peers.h"
#include "tls/papers.h"

static struct authority authority;
static struct arena arena;
static struct certificate leaf;
static struct ticket_keys ring;
static struct papers root, other_root, good, stranger, expired, below;
static const uint16_t versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static int set_up(void **state)
{
    const char *names[] = { "www.example.org", NULL };

    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "Test CA");
    authority_issue(&authority, names, &arena, &leaf);
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    root = papers_make(&(struct papers_wish){ .common_name = "Staff CA", .constraints = "critical,CA:TRUE" });
    other_root = papers_make(&(struct papers_wish){ .common_name = "Other CA", .constraints = "critical,CA:TRUE" });
    good = papers_make(&(struct papers_wish){ .common_name = "alice", .issuer = &root });
    stranger = papers_make(&(struct papers_wish){ .common_name = "mallory", .issuer = &other_root });
    expired = papers_make(&(struct papers_wish){ .common_name = "bob", .issuer = &root, .from = -7200, .until = -60 });
    below = papers_make(&(struct papers_wish){ .common_name = "Sub CA", .constraints = "critical,CA:TRUE", .issuer = &root });
    return 0;
}

static int tear_down(void **state)
{
    struct papers *all[] = { &root, &other_root, &good, &stranger, &expired, &below };

    for (size_t i = 0; i < COUNT_OF(all); i++)
        papers_free(all[i]);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

static struct tls_context *asking(int certificate, uint64_t depth)
{
    struct tls_policy_options policy = intermediate();

    policy.clients.certificate = certificate;
    policy.clients.ca.path = "staff-ca.pem";
    policy.clients.depth = depth;
    return server_context(&policy, &leaf, root.cert_pem, NULL);
}

static SSL_CTX *client_with(uint16_t version, const struct papers *papers)
{
    SSL_CTX *client = client_context(version, version);

    if (papers) {
        assert_int_equal(SSL_CTX_use_certificate(client, papers->cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(client, papers->key), 1);
    }
    return client;
}

static void a_good_certificate_is_taken_and_resumed(void **state)
{
    for (int mode = TLS_CLIENT_OPTIONAL; mode <= TLS_CLIENT_REQUIRED; mode++)
        for (size_t v = 0; v < 2; v++) {
            struct tls_context *server = asking(mode, 0);
            SSL_CTX *client = client_with(versions[v], &good);
            SSL_SESSION *session = NULL;

            for (int i = 0; i < 3; i++) {
                struct tls_facts facts;
                struct pair p;

                pair_open(&p, server, client, "staff");
                if (session)
                    SSL_set_session(p.client, session);
                SSL_SESSION_free(session);
                assert_true(pair_shake(&p));
                tls_session_facts(p.server, &facts);
                assert_int_equal(facts.resumed, i > 0);
                assert_true(facts.has_client_certificate);
                if (i == 0) {
                    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p.client);
                    assert_int_equal(sk_X509_NAME_num(names), 1);
                    assert_int_equal(X509_NAME_cmp(sk_X509_NAME_value(names, 0), X509_get_subject_name(root.cert)), 0);
                }
                session = pair_close(&p);
            }
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
            tls_context_unref(server);
        }
}

static void none_will_do_where_it_is_optional(void **state)
{
    for (size_t v = 0; v < 2; v++) {
        struct tls_context *server = asking(TLS_CLIENT_OPTIONAL, 0);
        SSL_CTX *client = client_with(versions[v], NULL);
        struct tls_facts facts;
        struct pair p;

        pair_open(&p, server, client, "staff");
        assert_true(pair_shake(&p));
        tls_session_facts(p.server, &facts);
        assert_false(facts.has_client_certificate);
        pair_end(&p);
        SSL_CTX_free(client);
        tls_context_unref(server);
    }
}

/* The handshake must fail for want of a good certificate; returns what the log will say. */
static struct tls_failure refused(struct tls_context *server, SSL_CTX *client)
{
    struct tls_failure f;
    struct pair p;

    pair_open(&p, server, client, "staff");
    assert_false(pair_shake(&p));
    assert_int_equal(p.server_result, -E_CLIENT_CERTIFICATE);
    tls_session_failure(p.server, &f);
    assert_true(f.alert_sent && !f.alert_received);
    pair_end(&p);
    return f;
}

static void none_is_refused_where_it_is_required(void **state)
{
    for (size_t v = 0; v < 2; v++) {
        struct tls_context *server = asking(TLS_CLIENT_REQUIRED, 0);
        SSL_CTX *client = client_with(versions[v], NULL);
        struct tls_failure f = refused(server, client);

        assert_string_equal(alert_name(f.alert), v ? "certificate_required" : "handshake_failure");
        assert_string_equal(f.reason, "peer did not return a certificate");
        SSL_CTX_free(client);
        tls_context_unref(server);
    }
}

static void a_bad_one_is_refused_even_where_it_is_optional(void **state)
{
    static const struct {
        const struct papers *papers;
        const char *alert, *reason;
    } cases[] = {
        { &stranger, "unknown_ca", "unable to get local issuer certificate (depth 0, /CN=mallory, issued by /CN=Other CA)" },
        { &expired, "certificate_expired", "certificate has expired (depth 0, /CN=bob, valid until " },
        { &other_root, "unknown_ca", "(depth 0, /CN=Other CA)" },
    };

    for (int mode = TLS_CLIENT_OPTIONAL; mode <= TLS_CLIENT_REQUIRED; mode++)
        for (size_t v = 0; v < 2; v++)
            for (size_t i = 0; i < COUNT_OF(cases); i++) {
                struct tls_context *server = asking(mode, 0);
                SSL_CTX *client = client_with(versions[v], cases[i].papers);
                struct tls_failure f = refused(server, client);

                assert_string_equal(alert_name(f.alert), cases[i].alert);
                if (!strstr(f.reason, cases[i].reason))
                    fail_msg("\"%s\" lacks \"%s\"", f.reason, cases[i].reason);
                SSL_CTX_free(client);
                tls_context_unref(server);
            }
}

static void depth_limits_the_intermediates(void **state)
{
    struct papers carol = papers_make(&(struct papers_wish){ .common_name = "carol", .issuer = &below });

    for (uint64_t depth = 0; depth < 2; depth++) {
        struct tls_context *server = asking(TLS_CLIENT_REQUIRED, depth);
        SSL_CTX *client = client_with(TLS1_3_VERSION, &carol);

        SSL_CTX_add1_chain_cert(client, below.cert);
        if (depth == 0) {
            struct tls_failure f = refused(server, client);
            assert_non_null(strstr(f.reason, "chain too long"));
        } else {
            struct pair p;
            pair_open(&p, server, client, "staff");
            assert_true(pair_shake(&p));
            pair_end(&p);
        }
        SSL_CTX_free(client);
        tls_context_unref(server);
    }
    papers_free(&carol);
}

/* Sees the server with the client's papers at `now`, with the session; returns the next one. */
static SSL_SESSION *shown(struct tls_context *server, SSL_CTX *client, SSL_SESSION *session, int64_t now, bool *ret_resumed)
{
    struct pair p;

    pair_open_at(&p, server, client, "staff", now);
    if (session)
        SSL_set_session(p.client, session);
    SSL_SESSION_free(session);
    assert_true(pair_shake(&p));
    *ret_resumed = pair_resumed(&p);
    return pair_close(&p);
}

/* The chain is leaf, intermediate, root; one of them ends in an hour. The library sees all of them as valid for now: that the ticket
 * is not taken any more tells who looks at their end. */
static void a_session_ends_with_the_first_certificate_of_the_clients_chain(void **state)
{
    enum { BRIEF_LEAF, BRIEF_MIDDLE, BRIEF_ROOT, KINDS };
    int64_t now = (int64_t)time(NULL);

    for (int kind = 0; kind < KINDS; kind++) {
        long root_until = kind == BRIEF_ROOT ? 3600 : 86400, middle_until = kind == BRIEF_MIDDLE ? 3600 : 86400;
        long leaf_until = kind == BRIEF_LEAF ? 3600 : 86400;
        struct papers top = papers_make(&(struct papers_wish){ .common_name = "Brief CA", .constraints = "critical,CA:TRUE",
                                                               .from = -3600, .until = root_until });
        struct papers middle = papers_make(&(struct papers_wish){ .common_name = "Brief Sub CA", .constraints = "critical,CA:TRUE",
                                                                  .issuer = &top, .from = -3600, .until = middle_until });
        struct papers brief = papers_make(&(struct papers_wish){ .common_name = "brief", .issuer = &middle,
                                                                 .from = -3600, .until = leaf_until });
        struct tls_policy_options policy = intermediate();
        struct tls_context *server;

        policy.clients.certificate = TLS_CLIENT_REQUIRED;
        policy.clients.ca.path = "brief-ca.pem";
        policy.clients.depth = 3;
        server = server_context(&policy, &leaf, top.cert_pem, NULL);
        for (size_t v = 0; v < 2; v++) {
            SSL_CTX *client = client_with(versions[v], &brief);
            SSL_SESSION *session;
            bool resumed;

            assert_int_equal(SSL_CTX_add1_chain_cert(client, middle.cert), 1);
            session = shown(server, client, NULL, now, &resumed);
            session = shown(server, client, session, now + 1800, &resumed);
            assert_true(resumed);
            session = shown(server, client, session, now + 3500, &resumed); /* a ticket of a resumed session */
            assert_true(resumed);
            session = shown(server, client, session, now + 3700, &resumed);
            assert_false(resumed);
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
        tls_context_unref(server);
        papers_free(&top);
        papers_free(&middle);
        papers_free(&brief);
    }
}

static void without_a_certificate_a_session_ends_with_none(void **state)
{
    struct tls_context *server = asking(TLS_CLIENT_OPTIONAL, 0);

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_with(versions[v], NULL);
        bool resumed;
        SSL_SESSION *session = shown(server, client, NULL, 0, &resumed);

        session = shown(server, client, session, 6 * 86400, &resumed);
        assert_true(resumed);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_session_without_a_certificate_does_not_open_a_policy_that_wants_one(void **state)
{
    for (size_t v = 0; v < 2; v++) {
        struct tls_policy_options policy = intermediate();
        struct tls_context *open = server_context(&policy, &leaf, NULL, NULL), *closed = asking(TLS_CLIENT_REQUIRED, 0);
        SSL_CTX *client = client_with(versions[v], NULL);
        SSL_SESSION *session;
        struct pair p;

        pair_open(&p, open, client, "public");
        assert_true(pair_shake(&p));
        session = pair_close(&p);
        pair_open(&p, closed, client, "staff");
        SSL_set_session(p.client, session);
        assert_false(pair_shake(&p));
        assert_int_equal(p.server_result, -E_CLIENT_CERTIFICATE);
        pair_end(&p);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
        tls_context_unref(open);
        tls_context_unref(closed);
    }
}

static void assert_context_refused(const char *ca_pem, const char *expected)
{
    struct tls_policy_options policy = intermediate();
    struct tls_server_parts parts = { .policy = &policy, .client_ca_pem = bytes_of_text(ca_pem), .leaf = leaf.leaf,
                                      .key = leaf.key };
    const char *why = NULL;

    policy.clients.certificate = TLS_CLIENT_OPTIONAL;
    policy.clients.ca.path = "staff-ca.pem";
    assert_null(tls_context_new_server(&parts, &why));
    assert_non_null(why);
    if (!strstr(why, expected))
        fail_msg("\"%s\" lacks \"%s\"", why, expected);
}

static void an_authority_file_that_verifies_nobody_refuses_the_context(void **state)
{
    char damaged[4096];

    assert_context_refused(NULL, "missing or empty");
    assert_context_refused("", "missing or empty");
    assert_context_refused("no PEM at all", "holds no certificate");
    assert_context_refused(below.cert_pem, "no self-signed root");
    snprintf(damaged, sizeof damaged, "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", root.cert_pem);
    assert_context_refused(damaged, "cannot be read");
    snprintf(damaged, sizeof damaged, "%s%.200s", root.cert_pem, root.cert_pem);
    assert_context_refused(damaged, "cannot be read");
}

static void a_policy_without_an_authority_file_is_refused(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_policy resolved;
    char why[TLS_POLICY_WHY];

    policy.clients.certificate = TLS_CLIENT_REQUIRED;
    assert_int_equal(tls_policy_resolve(&policy, &resolved, why), -E_CONFIG);
    assert_non_null(strstr(why, "ca file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_is_taken_and_resumed),
        cmocka_unit_test(none_will_do_where_it_is_optional),
        cmocka_unit_test(none_is_refused_where_it_is_required),
        cmocka_unit_test(a_bad_one_is_refused_even_where_it_is_optional),
        cmocka_unit_test(depth_limits_the_intermediates),
        cmocka_unit_test(a_session_ends_with_the_first_certificate_of_the_clients_chain),
        cmocka_unit_test(without_a_certificate_a_session_ends_with_none),
        cmocka_unit_test(a_session_without_a_certificate_does_not_open_a_policy_that_wants_one),
        cmocka_unit_test(an_authority_file_that_verifies_nobody_refuses_the_context),
        cmocka_unit_test(a_policy_without_an_authority_file_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
