#include "papers.h"
#include "peers.h"
#include "tls/client.h"

/* Our client and our server, both as machines over bytes. */
struct both {
    struct tls_session *client, *server;
    struct buffer_pool *pool;
    struct buffer to_client, to_server;
    int client_result, server_result;
    size_t most_at_once; /* bytes given to the client at a time; 0: all */
};

static struct authority ca, stranger;
static struct arena arena;
static struct certificate leaf; /* a.test, *.w.test, 127.0.0.1, ::1 */

static int set_up(void **state)
{
    const char *const names[] = { "a.test", "*.w.test", "127.0.0.1", "::1", NULL };

    (void)state;
    authority_make(&ca, "Test CA");
    authority_make(&stranger, "Stranger");
    arena_init(&arena, NULL, 1 << 20);
    authority_issue(&ca, names, &arena, &leaf);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certificate_clear(&leaf);
    arena_reset(&arena);
    authority_free(&ca);
    authority_free(&stranger);
    return 0;
}

static struct tls_context *context_with(struct tls_policy_options policy, const char *trust_pem, const char *const *alpn,
                                        const struct certificate *own)
{
    const char *why = NULL;
    struct tls_trust *trust = trust_pem ? tls_trust_new(bytes_of_text(trust_pem), &why) : NULL;
    struct tls_client_parts parts = { .policy = &policy, .trust = trust, .alpn = alpn };
    struct tls_context *context;

    if (own) {
        parts.leaf = own->leaf;
        parts.chain = own->chain;
        parts.key = own->key;
    }
    context = tls_context_new_client(&parts, &why);
    if (!context)
        fail_msg("tls_context_new_client: %s", why);
    tls_trust_unref(trust);
    return context;
}

static struct tls_context *believing(const char *pem)
{
    return context_with(intermediate(), pem, NULL, NULL);
}

static void both_open(struct both *b, struct tls_context *client, const struct tls_peer *peer, struct tls_shelf *shelf,
                      struct tls_context *server)
{
    *b = (struct both){ .client = tls_session_new_client(client, peer, shelf),
                        .server = tls_session_new(server, BYTES_LITERAL("binding"), 0),
                        .pool = buffer_pool_new(1 << 20), .client_result = -E_AGAIN, .server_result = -E_AGAIN };
    assert_non_null(b->client);
    assert_non_null(b->server);
    assert_int_equal(buffer_reserve(b->pool, &b->to_client), 0);
    assert_int_equal(buffer_reserve(b->pool, &b->to_server), 0);
}

static void both_close(struct both *b)
{
    tls_session_free(b->client);
    tls_session_free(b->server);
    buffer_drop(b->pool, &b->to_client);
    buffer_drop(b->pool, &b->to_server);
    buffer_pool_free(b->pool);
}

static int step(struct tls_session *s, struct buffer *from, struct buffer *to, size_t most)
{
    struct bytes in = bytes_part(buffer_content(from), 0, most ? most : SIZE_MAX);
    size_t before = in.size;
    int result = tls_session_handshake(s, &in, to);

    buffer_consume(from, before - in.size);
    return result;
}

/* Shakes hands. Returns whether the client is content. */
static bool shake(struct both *b)
{
    for (int round = 0; round < 20000; round++) {
        size_t waiting = buffer_used(&b->to_client) + buffer_used(&b->to_server);

        if (b->client_result == -E_AGAIN)
            b->client_result = step(b->client, &b->to_client, &b->to_server, b->most_at_once);
        if (b->server_result == -E_AGAIN && buffer_used(&b->to_server))
            b->server_result = step(b->server, &b->to_server, &b->to_client, 0);
        if (b->client_result != -E_AGAIN && (b->server_result != -E_AGAIN || waiting == 0))
            break;
    }
    return b->client_result == 0;
}

/* What the client reads: content, or what tls_session_open says. */
static int client_read(struct both *b, uint8_t *into, size_t room)
{
    struct bytes in = buffer_content(&b->to_client);
    size_t before = in.size;
    int n = tls_session_open(b->client, &in, into, room, &b->to_server);

    buffer_consume(&b->to_client, before - in.size);
    return n;
}

/* One handshake with the leaf's server. Returns the client's result, and why it failed in ret_failure. */
static int try_name(const char *name, const char *pem, struct tls_failure *ret_failure)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client = believing(pem);
    struct both b;

    both_open(&b, client, &(struct tls_peer){ .name = name }, NULL, server);
    shake(&b);
    tls_session_failure(b.client, ret_failure);
    int result = b.client_result;
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(server);
    return result;
}

static void the_name_must_be_one_of_the_certificates(void **state)
{
    static const char *const good[] = { "a.test", "A.TEST", "x.w.test", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1" };
    static const char *const bad[] = { "b.test", "x.a.test", "w.test", "x.y.w.test", "127.0.0.2", "::2", "test" };
    struct tls_failure f;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(try_name(good[i], ca.ca_pem, &f), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(try_name(bad[i], ca.ca_pem, &f), -E_SERVER_CERTIFICATE);
        assert_non_null(strstr(f.reason, "has the names a.test, *.w.test, 127.0.0.1, ::1, not "));
        assert_non_null(strstr(f.reason, "depth 0"));
        assert_true(f.alert_sent);
    }
}

static void the_chain_must_lead_to_who_is_believed(void **state)
{
    struct tls_failure f;

    (void)state;
    assert_int_equal(try_name("a.test", stranger.ca_pem, &f), -E_SERVER_CERTIFICATE);
    if (!strstr(f.reason, ", issued by /O=Unlade/CN=Test CA"))
        fail_msg("%s", f.reason);
}

/* A certificate with these wishes as the server's, and itself as what is believed. */
static int try_alone(const struct papers_wish *wish, const char *name, struct tls_failure *ret_failure)
{
    struct papers p = papers_make(wish);
    struct tls_policy_options policy = intermediate();
    struct certificate c;
    const char *why;
    struct tls_context *server, *client = believing(p.cert_pem);
    struct both b;

    assert_int_equal(certificate_parse(bytes_of_text(p.cert_pem), bytes_of_text(p.key_pem), "p", &arena, &c, &why), 0);
    server = server_context(&policy, &c, NULL, NULL);
    both_open(&b, client, &(struct tls_peer){ .name = name }, NULL, server);
    shake(&b);
    tls_session_failure(b.client, ret_failure);
    int result = b.client_result;
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(server);
    certificate_clear(&c);
    papers_free(&p);
    return result;
}

static void a_certificate_that_is_believed_itself_still_needs_name_and_time(void **state)
{
    struct tls_failure f;

    (void)state;
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:a.test" }, "a.test", &f), 0);
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "a.test" }, "a.test", &f), -E_SERVER_CERTIFICATE);
    assert_non_null(strstr(f.reason, "no names (no subjectAltName; the common name does not count)"));
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:a.test", .from = -9000, .until = -5000 },
                               "a.test", &f), -E_SERVER_CERTIFICATE);
    assert_non_null(strstr(f.reason, "certificate has expired (depth 0, /CN=x, valid until 2"));
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:a.test", .from = 5000, .until = 9000 },
                               "a.test", &f), -E_SERVER_CERTIFICATE);
    assert_non_null(strstr(f.reason, "valid from 2"));
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:a*.test" }, "ab.test", &f),
                     -E_SERVER_CERTIFICATE); /* RFC 9525 6.3: no part of a label */
}

static void many_names_and_long_ones_fit_into_the_reason(void **state)
{
    char alternative[4096];
    size_t used = 0;
    struct tls_failure f;

    (void)state;
    for (int i = 0; i < 20; i++)
        used += (size_t)snprintf(alternative + used, sizeof alternative - used, "%sDNS:%050d%050d%d.test", i ? "," : "", 0, 0, i);
    assert_int_equal(try_alone(&(struct papers_wish){ .common_name = "x", .alternative = alternative }, "a.test", &f),
                     -E_SERVER_CERTIFICATE);
    assert_true(strlen(f.reason) == sizeof f.reason - 1);
}

static void without_trust_any_certificate_will_do(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client = believing(NULL);
    struct both b;

    (void)state;
    both_open(&b, client, &(struct tls_peer){ .name = NULL }, NULL, server);
    assert_true(shake(&b));
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void trust_without_a_certificate_is_refused(void **state)
{
    const char *why = NULL;

    (void)state;
    assert_null(tls_trust_new(BYTES_NONE, &why));
    assert_non_null(strstr(why, "holds no certificate"));
    assert_null(tls_trust_new(BYTES_LITERAL("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"), &why));
    assert_non_null(strstr(why, "damaged"));
}

static void alpn_is_offered_and_learnt(void **state)
{
    static const char *const theirs[] = { "h2", "http/1.1", NULL }, *const ours[] = { "http/1.1", "h2", NULL },
                      *const none[] = { "imap", NULL };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, theirs),
                       *client = context_with(intermediate(), ca.ca_pem, ours, NULL),
                       *other = context_with(intermediate(), ca.ca_pem, none, NULL);
    struct tls_peer peer = { .name = "a.test", .sni = "a.test" };
    struct tls_facts facts;
    struct tls_failure f;
    struct both b;

    (void)state;
    both_open(&b, client, &peer, NULL, server);
    assert_true(shake(&b));
    tls_session_facts(b.client, &facts);
    assert_true(bytes_equal_text(facts.alpn, "h2"));
    assert_int_equal(facts.version, 0x0304);
    both_close(&b);
    both_open(&b, other, &peer, NULL, server);
    assert_false(shake(&b));
    assert_int_equal(b.client_result, -E_TLS_ALERT);
    tls_session_failure(b.client, &f);
    assert_true(f.alert_received && f.alert == ALERT_NO_APPLICATION_PROTOCOL);
    assert_string_equal(f.reason, "the server sent the alert no_application_protocol");
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(other);
    tls_context_unref(server);
}

/* One connection; whether it was resumed. */
static bool resumed(struct tls_context *client, struct tls_shelf *shelf, struct tls_context *server)
{
    struct tls_facts facts;
    uint8_t byte;
    struct both b;

    both_open(&b, client, &(struct tls_peer){ .name = "a.test" }, shelf, server);
    assert_true(shake(&b));
    assert_int_equal(client_read(&b, &byte, 1), -E_AGAIN); /* the tickets of TLS 1.3 */
    tls_session_facts(b.client, &facts);
    both_close(&b);
    return facts.resumed;
}

static struct tls_shelf *shelf_and_keys(void)
{
    static struct ticket_keys keys;

    if (!keys.count)
        assert_int_equal(ticket_keys_rotate(&keys), 0);
    tickets_install(&keys);
    return tls_shelf_new();
}

static void sessions_are_resumed_and_tickets_of_1_3_used_once(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client = believing(ca.ca_pem);
    struct tls_shelf *shelf = shelf_and_keys(), *another = tls_shelf_new();
    struct both b;

    (void)state;
    assert_false(resumed(client, shelf, server));
    assert_int_equal(tls_shelf_count(shelf), 1);
    assert_false(resumed(client, another, server)); /* nothing of one shelf is used for another */
    assert_true(resumed(client, shelf, server));
    assert_true(resumed(client, shelf, server));
    both_open(&b, client, &(struct tls_peer){ .name = "a.test" }, shelf, server);
    assert_int_equal(tls_shelf_count(shelf), 0); /* taken, before it is known what comes of it */
    both_close(&b);
    assert_false(resumed(client, shelf, server));
    tls_shelf_unref(shelf);
    tls_shelf_unref(another);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void sessions_of_1_2_serve_several_connections_at_once(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server, *client;
    struct tls_shelf *shelf = shelf_and_keys();
    struct both first, second;

    (void)state;
    policy.versions_most = 0x0303;
    server = server_context(&policy, &leaf, NULL, NULL);
    client = context_with(policy, ca.ca_pem, NULL, NULL);
    assert_false(resumed(client, shelf, server));
    both_open(&first, client, &(struct tls_peer){ .name = "a.test" }, shelf, server);
    both_open(&second, client, &(struct tls_peer){ .name = "a.test" }, shelf, server);
    assert_true(shake(&first) && shake(&second));
    struct tls_facts facts;
    tls_session_facts(first.client, &facts);
    assert_true(facts.resumed);
    tls_session_facts(second.client, &facts);
    assert_true(facts.resumed);
    both_close(&first);
    both_close(&second);
    assert_true(resumed(client, shelf, server));
    tls_shelf_unref(shelf);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void without_tickets_nothing_is_kept(void **state)
{
    struct tls_policy_options policy = intermediate(), silent = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client;
    struct tls_shelf *shelf = shelf_and_keys();

    (void)state;
    silent.tickets = false;
    client = context_with(silent, ca.ca_pem, NULL, NULL);
    assert_false(resumed(client, shelf, server));
    assert_false(resumed(client, shelf, server));
    assert_int_equal(tls_shelf_count(shelf), 0);
    tls_shelf_unref(shelf);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void a_shelf_keeps_a_few(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client = believing(ca.ca_pem);
    struct tls_shelf *shelf = shelf_and_keys();
    struct both b[TLS_SHELF_MOST + 2];
    uint8_t byte;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(b); i++) {
        both_open(&b[i], client, &(struct tls_peer){ .name = "a.test" }, shelf, server);
        assert_true(shake(&b[i]));
    }
    for (size_t i = 0; i < COUNT_OF(b); i++)
        assert_int_equal(client_read(&b[i], &byte, 1), -E_AGAIN);
    assert_int_equal(tls_shelf_count(shelf), TLS_SHELF_MOST);
    tls_shelf_unref(shelf); /* the sessions hold it */
    for (size_t i = 0; i < COUNT_OF(b); i++)
        both_close(&b[i]);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void a_refused_certificate_of_ours_shows_when_reading_in_1_3(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server, *client = believing(ca.ca_pem);
    struct tls_failure f;
    struct both b;
    uint8_t byte;

    (void)state;
    policy.clients.certificate = TLS_CLIENT_REQUIRED;
    policy.clients.ca.path = "ca.pem";
    policy.clients.depth = 3;
    server = server_context(&policy, &leaf, ca.ca_pem, NULL);
    both_open(&b, client, &(struct tls_peer){ .name = "a.test" }, NULL, server);
    assert_true(shake(&b));
    assert_int_equal(b.server_result, -E_CLIENT_CERTIFICATE);
    assert_int_equal(client_read(&b, &byte, 1), -E_TLS_ALERT);
    tls_session_failure(b.client, &f);
    assert_string_equal(f.reason, "the server sent the alert certificate_required");
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void bytes_may_come_one_by_one(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL), *client = believing(ca.ca_pem);
    struct both b;

    (void)state;
    both_open(&b, client, &(struct tls_peer){ .name = "a.test" }, NULL, server);
    b.most_at_once = 1;
    assert_true(shake(&b));
    both_close(&b);
    tls_context_unref(client);
    tls_context_unref(server);
}

static void what_is_no_tls_is_told_as_such(void **state)
{
    struct tls_context *client = believing(ca.ca_pem);
    struct tls_session *s = tls_session_new_client(client, &(struct tls_peer){ .name = "a.test" }, NULL);
    struct buffer_pool *pool = buffer_pool_new(1 << 20);
    struct buffer out = { 0 };
    struct bytes in = BYTES_NONE, http = BYTES_LITERAL("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    struct tls_failure f;

    (void)state;
    assert_int_equal(buffer_reserve(pool, &out), 0);
    assert_int_equal(tls_session_handshake(s, &in, &out), -E_AGAIN);
    assert_int_equal(tls_session_handshake(s, &http, &out), -E_TLS);
    tls_session_failure(s, &f);
    assert_non_null(strstr(f.reason, "not TLS"));
    tls_session_free(s);
    buffer_drop(pool, &out);
    buffer_pool_free(pool);
    tls_context_unref(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_must_be_one_of_the_certificates),
        cmocka_unit_test(the_chain_must_lead_to_who_is_believed),
        cmocka_unit_test(a_certificate_that_is_believed_itself_still_needs_name_and_time),
        cmocka_unit_test(many_names_and_long_ones_fit_into_the_reason),
        cmocka_unit_test(without_trust_any_certificate_will_do),
        cmocka_unit_test(trust_without_a_certificate_is_refused),
        cmocka_unit_test(alpn_is_offered_and_learnt),
        cmocka_unit_test(sessions_are_resumed_and_tickets_of_1_3_used_once),
        cmocka_unit_test(sessions_of_1_2_serve_several_connections_at_once),
        cmocka_unit_test(without_tickets_nothing_is_kept),
        cmocka_unit_test(a_shelf_keeps_a_few),
        cmocka_unit_test(a_refused_certificate_of_ours_shows_when_reading_in_1_3),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(what_is_no_tls_is_told_as_such),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
