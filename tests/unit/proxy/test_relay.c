#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/relay.h"

/* A session over a socket pair, relayed to a server that the test plays. */
struct fixture {
    struct net net;
    struct pool pool;
    struct server_counts counts;
    struct home_memory memory;
    struct session_home home;
    struct listener_options options;
    struct upstream_options upstream_options;
    struct snapshot_upstream upstream;
    struct snapshot_listener listener;
    struct address servers[2];
    struct dial_plan plans[2];
    struct snapshot snapshot;
    struct site *site;
    struct timer timer;
    int client, door, server; /* the test's ends; door: where the server accepts */
    unsigned closed;
};

static void on_closed(struct session_home *home)
{
    CONTAINER_OF(home, struct fixture, home)->closed++;
}

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

/* Some turns of the loop. */
static void turn(struct fixture *f)
{
    for (int i = 0; i < 3; i++) {
        loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
        loop_run(f->net.loop);
    }
}

static int listen_on(struct address *ret_address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_int_equal(address_from_ip("127.0.0.1", 0, ret_address), 0);
    assert_int_equal(bind(fd, &ret_address->any, ret_address->size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &ret_address->any, &ret_address->size), 0);
    return fd;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_int_equal(net_init(&f->net), 0);
    pool_init(&f->pool, &f->net);
    timer_init(&f->timer, stop);
    f->home = (struct session_home){ .net = &f->net, .pool = &f->pool, .counts = &f->counts, .memory = &f->memory, .on_closed = on_closed };
    home_memory_init(&f->memory);
    list_init(&f->home.sessions);
    f->options.timeouts.tunnel_ns = 3600 * NS_PER_S;
    f->upstream_options.timeouts.connect_ns = 5 * NS_PER_S;
    f->door = listen_on(&f->servers[0]);
    close(listen_on(&f->servers[1])); /* nobody is there */
    for (size_t i = 0; i < COUNT_OF(f->plans); i++)
        f->plans[i].options = &f->upstream_options;
    f->upstream = (struct snapshot_upstream){ .name = BYTES_LITERAL("u"), .options = &f->upstream_options,
                                               .plans = f->plans, .servers = f->servers, .server_count = 1 };
    f->listener = (struct snapshot_listener){ .options = &f->options, .name = BYTES_LITERAL("l"),
                                               .fallback.service = { SERVICE_TCP, &f->upstream } };
    f->snapshot = (struct snapshot){ .references = 1, .upstreams = &f->upstream, .upstream_count = 1 };
    f->client = f->server = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    const int ends[] = { f->client, f->server, f->door };

    while (!list_is_empty(&f->home.sessions))
        session_abort(LIST_FIRST(&f->home.sessions, struct session, link));
    home_memory_clear(&f->memory);
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (ends[i] >= 0)
            close(ends[i]);
    site_unref(f->site);
    pool_clear(&f->pool);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    loop_timer_stop(f->net.loop, &f->timer);
    net_clear(&f->net);
    free(f);
    return 0;
}

/* The client connects. */
static void open_session(struct fixture *f)
{
    struct address peer = { .any.sa_family = AF_INET };
    int pair[2];

    f->site = site_new(&f->snapshot, &f->pool);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    f->client = pair[1];
    session_open(&f->home, f->site, &f->listener, pair[0], 443, &peer);
}

/* The server accepts, when the loop has dialled. */
static void accept_server(struct fixture *f)
{
    for (int i = 0; i < 100 && f->server < 0; i++) {
        turn(f);
        f->server = accept4(f->door, NULL, NULL, SOCK_NONBLOCK);
    }
    assert_true(f->server >= 0);
    turn(f);
}

static void join(struct fixture *f)
{
    open_session(f);
    accept_server(f);
}

static void expect_read(struct fixture *f, int fd, const char *text)
{
    char got[64];
    ssize_t n = -1;

    for (int i = 0; i < 100 && n < 0; i++) {
        turn(f);
        n = read(fd, got, sizeof got);
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void what_the_client_said_before_there_was_a_server_is_kept(void **state)
{
    struct fixture *f = *state;

    open_session(f);
    write_text(f->client, "early");
    accept_server(f);
    expect_read(f, f->server, "early");
    assert_int_equal(atomic_load(&f->counts.relays), 1);
}

static void either_side_may_speak_first(void **state)
{
    struct fixture *f = *state;

    join(f);
    write_text(f->server, "220 ready");
    expect_read(f, f->client, "220 ready");
    write_text(f->client, "hello");
    expect_read(f, f->server, "hello");
}

static void an_idle_relay_holds_no_buffer(void **state)
{
    struct fixture *f = *state;

    join(f);
    write_text(f->client, "hello");
    expect_read(f, f->server, "hello");
    turn(f);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
}

static void each_direction_ends_by_itself(void **state)
{
    struct fixture *f = *state;

    join(f);
    write_text(f->client, "last");
    shutdown(f->client, SHUT_WR);
    expect_read(f, f->server, "last");
    expect_read(f, f->server, "");
    assert_int_equal(f->closed, 0);
    write_text(f->server, "answer");
    expect_read(f, f->client, "answer");
    shutdown(f->server, SHUT_WR);
    expect_read(f, f->client, "");
    for (int i = 0; i < 100 && !f->closed; i++)
        turn(f);
    assert_int_equal(f->closed, 1);
}

static void who_does_not_read_stops_the_other(void **state)
{
    struct fixture *f = *state;
    static char data[1 << 16];
    size_t before = 1, written = 0;

    join(f);
    while (before != written) { /* until the client, too, is stopped */
        ssize_t n;
        before = written;
        while ((n = write(f->client, data, sizeof data)) > 0)
            written += (size_t)n;
        assert_int_equal(errno, EAGAIN);
        turn(f);
        turn(f);
    }
    assert_true(buffer_pool_lent(f->net.pool) <= BUFFER_BULK); /* one piece of a stream that was in full flow */
    for (size_t got = 0; got < written;) {
        ssize_t n = read(f->server, data, sizeof data);
        if (n > 0)
            got += (size_t)n;
        else
            turn(f);
    }
}

static void the_next_server_is_tried_when_one_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct address there = f->servers[0];

    f->servers[0] = f->servers[1];
    f->servers[1] = there;
    f->upstream.server_count = 2;
    open_session(f);
    write_text(f->client, "kept");
    accept_server(f);
    expect_read(f, f->server, "kept");
}

static void without_a_server_the_session_ends(void **state)
{
    struct fixture *f = *state;

    f->servers[0] = f->servers[1];
    open_session(f);
    for (int i = 0; i < 100 && !f->closed; i++)
        turn(f);
    assert_int_equal(f->closed, 1);
}

static void an_idle_relay_is_cut_at_its_limit(void **state)
{
    struct fixture *f = *state;
    char byte;

    f->options.timeouts.tunnel_ns = 20 * NS_PER_MS;
    join(f);
    for (int i = 0; i < 10000 && !f->closed; i++) {
        loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 5 * NS_PER_MS);
        loop_run(f->net.loop);
    }
    assert_int_equal(f->closed, 1);
    assert_int_equal(read(f->server, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void draining_leaves_a_relay_alone(void **state)
{
    struct fixture *f = *state;

    join(f);
    f->home.draining = true;
    session_drain(LIST_FIRST(&f->home.sessions, struct session, link));
    write_text(f->client, "still");
    expect_read(f, f->server, "still");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_the_client_said_before_there_was_a_server_is_kept),
        TEST(either_side_may_speak_first),
        TEST(an_idle_relay_holds_no_buffer),
        TEST(each_direction_ends_by_itself),
        TEST(who_does_not_read_stops_the_other),
        TEST(the_next_server_is_tried_when_one_is_not_there),
        TEST(without_a_server_the_session_ends),
        TEST(an_idle_relay_is_cut_at_its_limit),
        TEST(draining_leaves_a_relay_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
