/* Handshakes of several connections that meet in the thread's batch. */
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"
#include "net/tls_connection.h"
#include "tls/peers.h"
#include "tls/soft_lanes.h"

enum { MOST = 12 };

static struct authority authority;
static struct certificate leaf;
static struct arena arena;
static struct tls_context *context;
static SSL_CTX *client_ctx;

static struct net net;
static struct timer timer;
static unsigned count, heard, established_count;
static struct end {
    struct connection *c;
    SSL *client;
    int peer;
} ends[MOST];

static void say_hello(struct end *e)
{
    assert_int_equal(SSL_do_handshake(e->client), -1);
}

/* While a ClientHello is read, the next one comes. */
static struct tls_context *choose(struct connection *c, const struct client_hello *hello, struct bytes *ret_binding,
                                  uint8_t *ret_alert, int *ret_error)
{
    (void)c;
    (void)hello;
    (void)ret_alert;
    *ret_error = 0;
    *ret_binding = BYTES_LITERAL("host");
    if (++heard < count)
        say_hello(&ends[heard]);
    return context;
}

static void established(struct connection *c)
{
    (void)c;
    established_count++;
}

static const struct tls_server_hooks hooks = { choose, established };

static void on_event(struct connection *c)
{
    assert_int_equal(connection_receive(c), -E_AGAIN);
}

static void stop(struct timer *t)
{
    (void)t;
    loop_stop(net.loop);
}

/* Until they all are complete. */
static void shake(void)
{
    say_hello(&ends[0]);
    while (established_count < count) {
        loop_timer_set(net.loop, &timer, loop_now(net.loop) + 1);
        loop_run(net.loop);
        for (unsigned i = 0; i < heard; i++)
            (void)SSL_do_handshake(ends[i].client);
    }
}

static void begin(unsigned connections)
{
    const struct multi_buffer *library = &soft_lanes;

    count = connections;
    heard = established_count = 0;
    assert_int_equal(net_init(&net), 0);
    batch_free(net.tls.batch);
    net.tls.batch = batch_new(library);
    assert_non_null(net.tls.batch);
    timer_init(&timer, stop);
    for (unsigned i = 0; i < count; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ends[i].c = connection_new_tls_server(&net, pair[0], &hooks);
        assert_non_null(ends[i].c);
        ends[i].c->on_event = on_event;
        ends[i].peer = pair[1];
        ends[i].client = SSL_new(client_ctx);
        SSL_set_fd(ends[i].client, ends[i].peer);
        SSL_set_connect_state(ends[i].client);
    }
}

static void end(void)
{
    for (unsigned i = 0; i < count; i++) {
        connection_close(ends[i].c, false);
        SSL_set_shutdown(ends[i].client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(ends[i].client);
        close(ends[i].peer);
    }
    net_clear(&net);
    ERR_clear_error();
}

static void hellos_that_come_while_others_are_read_are_worked_off_with_them(void **state)
{
    const struct batch_counts *counts;

    (void)state;
    begin(5);
    shake();
    counts = batch_counts(net.tls.batch, BATCH_X25519);
    assert_int_equal(counts->calls, 1);
    assert_int_equal(counts->lanes, 5);
    assert_int_equal(counts->singly, 0);
    assert_int_equal(batch_counts(net.tls.batch, BATCH_ECDSA_P256)->calls, 1);
    end();
}

static void who_comes_alone_waits_for_nobody(void **state)
{
    const struct batch_counts *counts;

    (void)state;
    begin(1);
    shake();
    counts = batch_counts(net.tls.batch, BATCH_X25519);
    assert_int_equal(counts->lanes + counts->singly, 1);
    end();
}

static void no_more_are_looked_for_than_one_call_can_do(void **state)
{
    const struct batch_counts *counts;

    (void)state;
    begin(MOST);
    shake();
    counts = batch_counts(net.tls.batch, BATCH_X25519);
    assert_int_equal(counts->calls, 2);
    assert_int_equal(counts->lanes, MOST);
    end();
}

static int set_up_all(void **state)
{
    const char *names[] = { "a.test", NULL };
    struct tls_policy_options policy = intermediate();

    (void)state;
    policy.tickets = false;
    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "CA");
    authority_issue(&authority, names, &arena, &leaf);
    context = server_context(&policy, &leaf, NULL, (const char *const[]){ NULL });
    client_ctx = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_set1_groups_list(client_ctx, "X25519"), 1);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    SSL_CTX_free(client_ctx);
    tls_context_unref(context);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hellos_that_come_while_others_are_read_are_worked_off_with_them),
        cmocka_unit_test(who_comes_alone_waits_for_nobody),
        cmocka_unit_test(no_more_are_looked_for_than_one_call_can_do),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
