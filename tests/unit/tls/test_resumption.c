/* Tickets over whole handshakes: session.c, context.c and tickets.c together. */
#include "tls/peers.h"

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

/* A handshake that must succeed; session (may be NULL) is offered and freed. Returns the session for the next. */
static SSL_SESSION *visit_at(struct tls_context *server, SSL_CTX *client, const char *binding, SSL_SESSION *session, int64_t now,
                             bool *ret_resumed)
{
    struct pair p;

    pair_open_at(&p, server, client, binding, now);
    if (session)
        SSL_set_session(p.client, session);
    SSL_SESSION_free(session);
    if (!pair_shake(&p)) {
        struct tls_failure f;
        tls_session_failure(p.server, &f);
        fail_msg("handshake: %s", f.reason);
    }
    *ret_resumed = pair_resumed(&p);
    return pair_close(&p);
}

static SSL_SESSION *visit(struct tls_context *server, SSL_CTX *client, const char *binding, SSL_SESSION *session,
                          bool *ret_resumed)
{
    return visit_at(server, client, binding, session, (int64_t)time(NULL), ret_resumed);
}

static void resumes_ten_single_use_tickets_in_a_row(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        SSL_SESSION *session = NULL;
        bool resumed;

        for (int i = 0; i < 11; i++) {
            session = visit(server, client, "host", session, &resumed);
            assert_int_equal(resumed, i > 0);
            assert_true(SSL_SESSION_is_resumable(session));
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void each_1_3_resumption_brings_a_fresh_ticket(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    uint8_t former[2048];
    size_t former_size = 0;
    SSL_SESSION *session = NULL;
    bool resumed;

    for (int i = 0; i < 4; i++) {
        const unsigned char *ticket;
        size_t size;

        session = visit(server, client, "host", session, &resumed);
        SSL_SESSION_get0_ticket(session, &ticket, &size);
        assert_true(size > 0 && size <= sizeof former);
        assert_false(size == former_size && memcmp(former, ticket, size) == 0);
        memcpy(former, ticket, size);
        former_size = size;
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

static void another_binding_gets_a_full_handshake(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        bool resumed;
        SSL_SESSION *session = visit(server, client, "one host", NULL, &resumed);

        session = visit(server, client, "another host", session, &resumed);
        assert_false(resumed);
        session = visit(server, client, "another host", session, &resumed);
        assert_true(resumed);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_ticket_works_in_another_context_of_the_same_binding(void **state)
{
    struct tls_context *before = plain_context(), *after = plain_context(); /* a reload lies between them */

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        bool resumed;
        SSL_SESSION *session = visit(before, client, "host", NULL, &resumed);

        session = visit(after, client, "host", session, &resumed);
        assert_true(resumed);
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(before);
    tls_context_unref(after);
}

static void tickets_live_for_three_generations(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++)
        for (int rotations = 0; rotations <= TICKET_GENERATIONS; rotations++) {
            SSL_CTX *client = client_context(versions[v], versions[v]);
            bool resumed;
            SSL_SESSION *session = visit(server, client, "host", NULL, &resumed);

            for (int i = 0; i < rotations; i++) {
                assert_int_equal(ticket_keys_rotate(&ring), 0);
                tickets_install(&ring);
            }
            session = visit(server, client, "host", session, &resumed);
            assert_int_equal(resumed, rotations < TICKET_GENERATIONS);
            /* an old key's ticket was replaced by one of the newest */
            assert_int_equal(ticket_keys_rotate(&ring), 0);
            assert_int_equal(ticket_keys_rotate(&ring), 0);
            tickets_install(&ring);
            session = visit(server, client, "host", session, &resumed);
            assert_true(resumed);
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

/* Each ticket of TLS 1.3 is followed by a fresh one, and yet there is an end. */
static void a_session_ends_a_week_after_its_full_handshake_however_often_it_was_resumed(void **state)
{
    struct tls_context *server = plain_context();
    const int64_t began = 1000;

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        bool resumed;
        SSL_SESSION *session = visit_at(server, client, "host", NULL, began, &resumed);

        for (int64_t day = 1; day <= 8; day++) {
            session = visit_at(server, client, "host", session, began + day * 86400 - 1, &resumed);
            assert_int_equal(resumed, day <= 7);
        }
        session = visit_at(server, client, "host", session, began + 14 * 86400, &resumed);
        assert_true(resumed); /* it began anew on the eighth day */
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

static void a_garbled_ticket_gets_a_full_handshake(void **state)
{
    struct tls_context *server = plain_context();

    for (size_t v = 0; v < 2; v++)
        for (int place = 0; place < 4; place++) {
            SSL_CTX *client = client_context(versions[v], versions[v]);
            bool resumed;
            SSL_SESSION *session = visit(server, client, "host", NULL, &resumed);
            const unsigned char *ticket;
            size_t size;
            size_t at[4];

            SSL_SESSION_get0_ticket(session, &ticket, &size);
            at[0] = 0;          /* the key's name */
            at[1] = 20;         /* the initialisation vector */
            at[2] = size / 2;   /* the content */
            at[3] = size - 1;   /* the MAC */
            ((unsigned char *)ticket)[at[place]] ^= 0x40;
            session = visit(server, client, "host", session, &resumed);
            assert_false(resumed);
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void without_tickets_nothing_is_resumed(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct ticket_keys none = { 0 };

    for (int how = 0; how < 2; how++) { /* by policy; because there are no keys */
        policy.tickets = how == 1;
        if (how == 1)
            tickets_install(&none);
        struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);
        for (size_t v = 0; v < 2; v++) {
            SSL_CTX *client = client_context(versions[v], versions[v]);
            bool resumed;
            SSL_SESSION *session = visit(server, client, "host", NULL, &resumed);
            const unsigned char *ticket;
            size_t size = 0;

            SSL_SESSION_get0_ticket(session, &ticket, &size);
            assert_int_equal(size, 0);
            session = visit(server, client, "host", session, &resumed);
            assert_false(resumed);
            SSL_SESSION_free(session);
            SSL_CTX_free(client);
        }
        tls_context_unref(server);
    }
}

static void early_data_that_was_not_invited_is_skipped(void **state)
{
    struct tls_context *server = plain_context();
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    bool resumed;
    SSL_SESSION *session = visit(server, client, "host", NULL, &resumed);
    uint8_t plain[64];
    size_t written;
    struct pair p;

    assert_int_equal(SSL_SESSION_set_max_early_data(session, 4096), 1); /* a client that believes otherwise */
    pair_open(&p, server, client, "host");
    SSL_set_session(p.client, session);
    assert_int_equal(SSL_write_early_data(p.client, "too early", 9, &written), 1);
    assert_true(pair_shake(&p));
    assert_true(pair_resumed(&p));
    assert_int_equal(SSL_get_early_data_status(p.client), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(SSL_write(p.client, "in time", 7), 7);
    assert_int_equal(pair_server_read(&p, plain, sizeof plain), 7);
    assert_memory_equal(plain, "in time", 7);
    pair_end(&p);
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    tls_context_unref(server);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resumes_ten_single_use_tickets_in_a_row),
        TEST(each_1_3_resumption_brings_a_fresh_ticket),
        TEST(another_binding_gets_a_full_handshake),
        TEST(a_ticket_works_in_another_context_of_the_same_binding),
        TEST(tickets_live_for_three_generations),
        TEST(a_session_ends_a_week_after_its_full_handshake_however_often_it_was_resumed),
        TEST(a_garbled_ticket_gets_a_full_handshake),
        TEST(without_tickets_nothing_is_resumed),
        TEST(early_data_that_was_not_invited_is_skipped),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
