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
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    return 0;
}

static int tear_down(void **state)
{
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

static void completes_in_both_versions_whatever_the_pieces(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

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
            assert_string_equal(facts.suite, v ? "TLS_AES_128_GCM_SHA256" : "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
            assert_string_equal(facts.group, v && tls_library_has_group("X25519MLKEM768") ? "X25519MLKEM768" : "X25519");
            assert_false(facts.resumed);
            pair_end(&p);
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
}

static void carries_data_of_every_size_both_ways(void **state)
{
    static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 65536 };
    static uint8_t sent[65536], got[65536 + 1];
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

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

static void resumes_ten_single_use_tickets_in_a_row(void **state)
{
    struct tls_policy_options policy = intermediate();
    struct tls_context *server = server_context(&policy, &leaf, NULL, NULL);

    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *client = client_context(versions[v], versions[v]);
        SSL_SESSION *session = NULL;

        for (int i = 0; i < 11; i++) {
            struct pair p;

            pair_open(&p, server, client, "host");
            if (session)
                SSL_set_session(p.client, session);
            SSL_SESSION_free(session);
            assert_true(pair_shake(&p));
            assert_int_equal(pair_resumed(&p), i > 0);
            session = pair_close(&p);
            assert_true(SSL_SESSION_is_resumable(session));
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(client);
    }
    tls_context_unref(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completes_in_both_versions_whatever_the_pieces),
        cmocka_unit_test(carries_data_of_every_size_both_ways),
        cmocka_unit_test(resumes_ten_single_use_tickets_in_a_row),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
