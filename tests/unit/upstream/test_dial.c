#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tls/peers.h"
#include "upstream/dial.h"

/* A dial to a listening socket of ours, behind which OpenSSL's server stands. */
struct fixture {
    struct net net;
    struct pool pool;
    struct group *group;
    struct backend *backend;
    struct timer timer;
    struct upstream_options options;
    struct dial_plan plan;
    struct dial dial;
    int listener, peer;
    SSL *server;
};

static struct authority authority;
static struct certificate leaf;
static struct arena arena;
static SSL_CTX *server_ctx;
static int lines[2]; /* what the log says */

static void on_event(struct connection *c)
{
    (void)c;
}

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

static void take_events(struct fixture *f)
{
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
    loop_run(f->net.loop);
}

/* All that the log said since the last call. */
static const char *said(void)
{
    static char text[4096];
    ssize_t n = read(lines[0], text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static int choose_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size, const unsigned char *in,
                       unsigned size, void *context)
{
    (void)ssl;
    (void)context;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)ret_name, ret_size, (const unsigned char *)"\2h2", 3, in, size) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static int set_up_all(void **state)
{
    const char *names[] = { "a.test", NULL };

    (void)state;
    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "CA");
    authority_issue(&authority, names, &arena, &leaf);
    server_ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_cert_and_key(server_ctx, leaf.leaf, leaf.key, leaf.chain, 1), 1);
    SSL_CTX_set_alpn_select_cb(server_ctx, choose_alpn, NULL);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    SSL_CTX_free(server_ctx);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

static int set_up(void **state)
{
    static const char *const alpn[] = { "h2", "http/1.1", NULL };
    struct fixture *f = calloc(1, sizeof *f);
    struct tls_policy_options policy = intermediate();
    struct tls_client_parts parts = { .policy = &policy, .alpn = alpn };
    struct address address;
    const char *why;
    char path[64];

    assert_int_equal(pipe2(lines, O_NONBLOCK), 0);
    log_set_descriptor(lines[1]);
    snprintf(path, sizeof path, "@unlade-test-dial-%d", getpid());
    assert_int_equal(address_from_path(path, &address), 0);
    f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, &address.any, address.size), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(net_init(&f->net), 0);
    pool_init(&f->pool, &f->net);
    f->group = pool_group(&f->pool, BYTES_LITERAL("app"));
    f->backend = group_backend(f->group, &address, 0);
    timer_init(&f->timer, stop);
    f->options.timeouts.connect_ns = 1000 * NS_PER_S;
    parts.trust = tls_trust_new(bytes_of_text(authority.ca_pem), &why);
    f->plan = (struct dial_plan){ .options = &f->options, .tls = tls_context_new_client(&parts, &why),
                                  .peer = { .name = "a.test" } };
    assert_non_null(f->plan.tls);
    tls_trust_unref(parts.trust);
    f->server = SSL_new(server_ctx);
    SSL_set_accept_state(f->server);
    f->peer = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    dial_done(&f->dial);
    connection_close(f->dial.connection, false);
    SSL_set_shutdown(f->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(f->server);
    close(f->listener);
    if (f->peer >= 0)
        close(f->peer);
    pool_clear(&f->pool);
    tls_context_unref(f->plan.tls);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    log_set_descriptor(2);
    close(lines[0]);
    close(lines[1]);
    ERR_clear_error();
    free(f);
    return 0;
}

static void begin(struct fixture *f, struct bytes preface)
{
    assert_int_equal(dial_start(&f->dial, f->backend, &f->plan, preface, f, on_event), 0);
    take_events(f);
    f->peer = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(f->peer >= 0);
    SSL_set_fd(f->server, f->peer);
}

static int go_on(struct fixture *f)
{
    int result = -E_AGAIN;

    for (int i = 0; i < 10 && result == -E_AGAIN; i++) {
        result = dial_advance(&f->dial);
        (void)SSL_do_handshake(f->server);
        ERR_clear_error();
        take_events(f);
    }
    return result;
}

static void without_tls_it_stands_with_the_socket(void **state)
{
    struct fixture *f = *state;
    struct dial_plan plain = { .options = &f->options };

    assert_int_equal(dial_start(&f->dial, f->backend, &plain, BYTES_NONE, f, on_event), 0);
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN); /* before any event */
    take_events(f);
    assert_int_equal(dial_advance(&f->dial), 0);
    assert_int_equal(dial_advance(&f->dial), 0);
    assert_int_equal(dial_alpn(&f->dial).size, 0);
    assert_int_equal(dial_error(&f->dial, -E_RESET), -E_SERVER_CLOSED);
    assert_int_equal(dial_error(&f->dial, -E_SYNTAX), -E_BAD_RESPONSE);
    assert_string_equal(said(), "");
}

static void the_preface_goes_first_and_tls_behind_it(void **state)
{
    static const char preface[] = "PROXY UNKNOWN\r\n";
    struct fixture *f = *state;
    char got[sizeof preface] = "";

    begin(f, BYTES_LITERAL("PROXY UNKNOWN\r\n"));
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN);
    assert_int_equal(read(f->peer, got, sizeof preface - 1), sizeof preface - 1);
    assert_string_equal(got, preface);
    assert_int_equal(go_on(f), 0);
    assert_true(bytes_equal_text(dial_alpn(&f->dial), "h2"));
    assert_ptr_equal(f->dial.connection->owner, f);
    assert_string_equal(said(), "");
}

static void a_certificate_that_is_refused_is_told_with_server_and_upstream(void **state)
{
    struct fixture *f = *state;
    const char *line;

    f->plan.peer.name = "b.test";
    begin(f, BYTES_NONE);
    assert_int_equal(go_on(f), -E_SERVER_CERTIFICATE);
    line = said();
    assert_non_null(strstr(line, "warning"));
    assert_non_null(strstr(line, "TLS with the server unix:@unlade-test-dial-"));
    assert_non_null(strstr(line, "of upstream \"app\" failed: hostname mismatch (depth 0, "));
    assert_non_null(strstr(line, "has the names a.test, not b.test)"));
    assert_int_equal(error_status(-E_SERVER_CERTIFICATE), 502);
}

static void a_server_that_ends_in_the_handshake_is_told(void **state)
{
    struct fixture *f = *state;

    begin(f, BYTES_NONE);
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN);
    shutdown(f->peer, SHUT_RDWR);
    take_events(f);
    assert_int_equal(dial_advance(&f->dial), -E_SERVER_TLS);
    assert_non_null(strstr(said(), "failed: the server closed the connection in the handshake"));
    assert_int_equal(error_status(-E_SERVER_TLS), 502);
}

static void giving_up_in_the_handshake_is_the_servers_failure_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;

    begin(f, BYTES_NONE);
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN);
    dial_done(&f->dial); /* the client went */
    assert_string_equal(said(), "");
    f->options.timeouts.connect_ns = 1;
    dial_done(&f->dial);
    assert_non_null(strstr(said(), "the handshake was not done within the time to connect"));
    dial_done(&f->dial);
    assert_string_equal(said(), ""); /* once */
}

static void an_alert_before_any_content_is_a_failed_handshake(void **state)
{
    struct fixture *f = *state;

    begin(f, BYTES_NONE);
    assert_int_equal(go_on(f), 0);
    assert_int_equal(dial_error(&f->dial, -E_TLS_ALERT), -E_SERVER_TLS);
    f->dial.connection->data_in = 1;
    assert_int_equal(dial_error(&f->dial, -E_TLS_ALERT), -E_SERVER_CLOSED);
    assert_int_equal(dial_error(&f->dial, -E_AGAIN), -E_AGAIN);
    assert_int_equal(dial_error(&f->dial, -E_TRUNCATED), -E_SERVER_CLOSED);
}

static void sessions_stay_with_the_backend(void **state)
{
    struct fixture *f = *state;
    struct tls_facts facts;

    for (int i = 0; i < 2; i++) {
        begin(f, BYTES_NONE);
        assert_int_equal(go_on(f), 0);
        assert_int_equal(connection_receive(f->dial.connection), -E_AGAIN); /* the tickets */
        assert_true(tls_shelf_count(f->backend->shelf) > 0);
        tls_session_facts(connection_tls(f->dial.connection), &facts);
        assert_int_equal(facts.resumed, i == 1);
        if (i == 1)
            break;
        connection_close(f->dial.connection, false);
        f->dial.connection = NULL;
        take_events(f);
        SSL_set_shutdown(f->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(f->server);
        close(f->peer);
        f->server = SSL_new(server_ctx);
        SSL_set_accept_state(f->server);
    }
}

/* ---- PostgreSQL ---- */

/* Dials, and reads what the server hears before TLS. */
static void begin_asking(struct fixture *f)
{
    static struct tls_client_options asking = { .enabled = true, .start = TLS_START_POSTGRES };
    uint8_t got[64];

    f->options.tls = &asking;
    begin(f, BYTES_LITERAL("first "));
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN);
    assert_int_equal(read(f->peer, got, sizeof got), 6 + 8);
    assert_memory_equal(got, "first \0\0\0\10\x04\xd2\x16\x2f", 14);
}

static void answer(struct fixture *f, const char *bytes, size_t size)
{
    assert_int_equal(write(f->peer, bytes, size), size);
    take_events(f);
}

static void postgres_is_asked_behind_the_preface_and_tls_follows_its_yes(void **state)
{
    struct fixture *f = *state;

    begin_asking(f);
    assert_int_equal(dial_advance(&f->dial), -E_AGAIN);
    assert_false(connection_is_tls(f->dial.connection));
    answer(f, "S", 1);
    assert_int_equal(go_on(f), 0);
    assert_true(connection_is_tls(f->dial.connection));
    assert_string_equal(said(), "");
}

static void a_server_that_says_no_gets_nothing_in_clear(void **state)
{
    struct fixture *f = *state;
    char byte;

    begin_asking(f);
    answer(f, "N", 1);
    assert_int_equal(dial_advance(&f->dial), -E_SERVER_TLS);
    assert_non_null(strstr(said(), "failed: the server does not speak TLS"));
    assert_int_equal(read(f->peer, &byte, 1), -1);
}

static void what_comes_behind_the_yes_in_clear_is_refused(void **state)
{
    struct fixture *f = *state;

    begin_asking(f);
    answer(f, "Sx", 2);
    assert_int_equal(dial_advance(&f->dial), -E_SERVER_TLS);
    assert_non_null(strstr(said(), "failed: the server said more than one byte when it was asked for TLS"));
}

static void a_server_that_ends_when_it_is_asked_is_told(void **state)
{
    struct fixture *f = *state;

    begin_asking(f);
    shutdown(f->peer, SHUT_RDWR);
    take_events(f);
    assert_int_equal(dial_advance(&f->dial), -E_SERVER_TLS);
    assert_non_null(strstr(said(), "failed: the server ended the connection when it was asked for TLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_tls_it_stands_with_the_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_preface_goes_first_and_tls_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_that_is_refused_is_told_with_server_and_upstream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_ends_in_the_handshake_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(giving_up_in_the_handshake_is_the_servers_failure_when_its_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_alert_before_any_content_is_a_failed_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_stay_with_the_backend, set_up, tear_down),
        cmocka_unit_test_setup_teardown(postgres_is_asked_behind_the_preface_and_tls_follows_its_yes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_says_no_gets_nothing_in_clear, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_behind_the_yes_in_clear_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_ends_when_it_is_asked_is_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
