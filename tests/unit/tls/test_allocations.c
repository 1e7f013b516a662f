/* test_allocations.c: how often a server's handshake asks the library's allocator for memory, pinned. */
#include "peers.h"

/* A little more than measured: 318 and 295 with OpenSSL 3.5, 327 and 305 with 3.0. */
enum { FULL_MOST = 335, RESUMED_MOST = 312 };

static bool counting;
static size_t allocations;

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations += counting;
    return malloc(size);
}

static void *count_realloc(void *at, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    allocations += counting;
    return realloc(at, size);
}

static void count_free(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    free(at);
}

static struct authority authority;
static struct arena arena;
static struct certificate leaf;
static struct ticket_keys ring;
static struct tls_context *server;
static SSL_CTX *client;

static int set_up(void **state)
{
    const struct tls_policy_options policy = intermediate();

    (void)state;
    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "Test CA");
    authority_issue(&authority, (const char *[]){ "a.test", NULL }, &arena, &leaf);
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    server = server_context(&policy, &leaf, NULL, (const char *[]){ "http/1.1", NULL });
    client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    return SSL_CTX_set1_groups_list(client, "X25519") == 1 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    SSL_CTX_free(client);
    tls_context_unref(server);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

/* One connection; its server's part is counted, from the session's beginning to its end. Returns the client's new session. */
static SSL_SESSION *visit(SSL_SESSION *former)
{
    struct traffic_keys keys;
    struct pair p;
    SSL_SESSION *after;

    allocations = 0;
    counting = false;
    pair_open(&p, server, client, "binding");
    tls_session_free(p.server);
    counting = true;
    p.server = tls_session_new(server, BYTES_LITERAL("binding"), 0);
    counting = false;
    if (former)
        assert_int_equal(SSL_set_session(p.client, former), 1);
    while (p.server_result == -E_AGAIN) {
        struct bytes in;

        (void)SSL_do_handshake(p.client);
        ERR_clear_error();
        pair_collect(&p);
        in = buffer_content(&p.to_server);
        counting = true;
        p.server_result = tls_session_handshake(p.server, &in, &p.to_client);
        counting = false;
        buffer_drop(p.pool, &p.to_server);
        pair_deliver(&p);
    }
    assert_int_equal(p.server_result, 0);
    counting = true;
    assert_true(tls_session_hand_over(p.server, &keys));
    tls_session_free(p.server);
    counting = false;
    p.server = NULL;
    traffic_keys_wipe(&keys);
    assert_int_equal(SSL_session_reused(p.client), former != NULL);
    after = pair_close(&p);
    return after;
}

static void a_handshake_asks_for_memory_no_more_often_than_this(void **state)
{
    SSL_SESSION *session, *next;

    (void)state;
    SSL_SESSION_free(visit(NULL)); /* what is made once for the process */
    session = visit(NULL);
    assert_in_range(allocations, 1, FULL_MOST);
    next = visit(session);
    assert_in_range(allocations, 1, RESUMED_MOST);
    SSL_SESSION_free(next);
    SSL_SESSION_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_asks_for_memory_no_more_often_than_this),
    };

    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
