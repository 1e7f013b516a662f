#include <sys/socket.h>
#include <unistd.h>

#include "net/connection.h"
#include "tls/client.h"
#include "tls/peers.h"

/* Our connection as a client; the peer is OpenSSL's server over the other end of a socket pair. */
struct fixture {
    struct net net;
    struct connection *c;
    struct timer timer;
    struct tls_shelf *shelf;
    SSL *server;
    int peer;
};

static struct authority authority;
static struct certificate leaf;
static struct arena arena;
static struct tls_context *context;
static SSL_CTX *server_ctx;

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

static int set_up_all(void **state)
{
    const char *names[] = { "a.test", NULL }, *why;
    struct tls_policy_options policy = intermediate();
    struct tls_client_parts parts = { .policy = &policy };

    (void)state;
    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "CA");
    authority_issue(&authority, names, &arena, &leaf);
    parts.trust = tls_trust_new(bytes_of_text(authority.ca_pem), &why);
    context = tls_context_new_client(&parts, &why);
    assert_non_null(context);
    tls_trust_unref(parts.trust);
    server_ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_cert_and_key(server_ctx, leaf.leaf, leaf.key, leaf.chain, 1), 1);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    SSL_CTX_free(server_ctx);
    tls_context_unref(context);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

/* The plain connection stands; TLS has not begun. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(net_init(&f->net), 0);
    f->c = connection_new(&f->net, pair[0]);
    assert_non_null(f->c);
    f->c->owner = f;
    f->c->on_event = on_event;
    f->peer = pair[1];
    f->shelf = tls_shelf_new();
    timer_init(&f->timer, stop);
    f->server = SSL_new(server_ctx);
    SSL_set_fd(f->server, f->peer);
    SSL_set_accept_state(f->server);
    take_events(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_close(f->c, false);
    SSL_set_shutdown(f->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(f->server);
    if (f->peer >= 0)
        close(f->peer);
    tls_shelf_unref(f->shelf);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    ERR_clear_error();
    free(f);
    return 0;
}

static void begin(struct fixture *f)
{
    struct tls_session *s = tls_session_new_client(context, &(struct tls_peer){ .name = "a.test" }, f->shelf);

    assert_non_null(s);
    f->c = connection_start_tls_client(f->c, s);
    assert_non_null(f->c);
    assert_true(connection_is_tls(f->c));
}

static int shake(struct fixture *f)
{
    int result = -E_AGAIN;

    for (int i = 0; i < 10 && result == -E_AGAIN; i++) {
        result = connection_handshake(f->c);
        (void)SSL_do_handshake(f->server);
        ERR_clear_error();
        take_events(f);
    }
    return result;
}

static void owner_and_socket_carry_over_and_content_arrives(void **state)
{
    struct fixture *f = *state;
    char got[16];

    begin(f);
    assert_ptr_equal(f->c->owner, f);
    assert_int_equal(shake(f), 0);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("hello")), 5);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(SSL_read(f->server, got, sizeof got), 5);
    assert_int_equal(SSL_write(f->server, "you", 3), 3);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 3); /* the tickets before it are nobody's business */
    assert_int_equal(f->c->data_in, 3);
    assert_true(tls_shelf_count(f->shelf) > 0);
}

static void what_was_sent_before_leaves_in_clear(void **state)
{
    static const char preface[] = "PROXY UNKNOWN\r\n";
    struct fixture *f = *state;
    char got[sizeof preface] = "";

    assert_int_equal(connection_send(f->c, BYTES_LITERAL("PROXY UNKNOWN\r\n")), sizeof preface - 1);
    begin(f);
    assert_int_equal(connection_handshake(f->c), -E_AGAIN);
    assert_int_equal(read(f->peer, got, sizeof preface - 1), sizeof preface - 1);
    assert_string_equal(got, preface);
    assert_int_equal(shake(f), 0);
}

static void content_that_comes_with_the_handshakes_end_is_kept(void **state)
{
    struct fixture *f = *state;

    begin(f);
    SSL_set_max_proto_version(f->server, TLS1_3_VERSION);
    assert_int_equal(connection_handshake(f->c), -E_AGAIN);
    (void)SSL_do_handshake(f->server);
    take_events(f);
    assert_int_equal(connection_handshake(f->c), 0);
    assert_int_equal(SSL_do_handshake(f->server), 1);
    assert_int_equal(SSL_write(f->server, "greeting", 8), 8);
    take_events(f);
    assert_int_equal(connection_handshake(f->c), 0); /* again: takes nothing */
    assert_true(connection_has_more(f->c));
    assert_int_equal(connection_receive(f->c), 8);
}

static void each_direction_ends_by_itself(void **state)
{
    struct fixture *f = *state;
    char got[16];

    begin(f);
    assert_int_equal(shake(f), 0);
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(SSL_read(f->server, got, sizeof got), 0);
    assert_int_equal(SSL_write(f->server, "late", 4), 4);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 4);
    SSL_shutdown(f->server);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 0);
}

static void an_end_without_close_notify_is_a_truncation(void **state)
{
    struct fixture *f = *state;

    begin(f);
    assert_int_equal(shake(f), 0);
    assert_int_equal(SSL_write(f->server, "half", 4), 4);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 4);
    assert_int_equal(connection_receive(f->c), -E_TRUNCATED);
}

static void a_peer_that_ends_in_the_handshake_is_a_truncation(void **state)
{
    struct fixture *f = *state;

    begin(f);
    assert_int_equal(connection_handshake(f->c), -E_AGAIN);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_handshake(f->c), -E_TRUNCATED);
    assert_int_equal(connection_handshake(f->c), -E_TRUNCATED);
}

static void a_refused_certificate_is_told_to_both_sides(void **state)
{
    struct fixture *f = *state;
    struct tls_session *s = tls_session_new_client(context, &(struct tls_peer){ .name = "b.test" }, NULL);
    struct tls_failure failure;
    unsigned long alert;

    f->c = connection_start_tls_client(f->c, s);
    assert_int_equal(connection_handshake(f->c), -E_AGAIN);
    (void)SSL_do_handshake(f->server);
    take_events(f);
    assert_int_equal(connection_handshake(f->c), -E_SERVER_CERTIFICATE);
    tls_session_failure(connection_tls(f->c), &failure);
    assert_non_null(strstr(failure.reason, "not b.test"));
    ERR_clear_error();
    (void)SSL_do_handshake(f->server);
    alert = ERR_peek_error();
    assert_int_equal(ERR_GET_REASON(alert), SSL_R_SSLV3_ALERT_BAD_CERTIFICATE);
}

static void a_flood_of_tickets_has_an_end(void **state)
{
    struct fixture *f = *state;
    int result = -E_AGAIN;

    begin(f);
    assert_int_equal(shake(f), 0);
    for (int i = 0; i < 200 && result == -E_AGAIN; i++) {
        for (int k = 0; k < 100; k++)
            if (SSL_new_session_ticket(f->server) == 1)
                (void)SSL_do_handshake(f->server);
        ERR_clear_error();
        take_events(f);
        result = connection_receive(f->c);
        assert_true(tls_shelf_count(f->shelf) <= TLS_SHELF_MOST);
    }
    assert_int_equal(result, -E_LIMIT);
    assert_true(f->c->wire_in < 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(owner_and_socket_carry_over_and_content_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_sent_before_leaves_in_clear, set_up, tear_down),
        cmocka_unit_test_setup_teardown(content_that_comes_with_the_handshakes_end_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_direction_ends_by_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_without_close_notify_is_a_truncation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_ends_in_the_handshake_is_a_truncation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_certificate_is_told_to_both_sides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_tickets_has_an_end, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
