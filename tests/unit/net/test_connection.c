#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/connection.h"

struct fixture {
    struct net net;
    struct connection *c;
    int peer;
    unsigned events;
    struct timer timer;
};

static void on_event(struct connection *c)
{
    ((struct fixture *)c->owner)->events++;
}

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

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
    timer_init(&f->timer, stop);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_close(f->c, false);
    if (f->peer >= 0)
        close(f->peer);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    free(f);
    return 0;
}

/* One turn of the loop; a loop runs once, so each test asks for one only. */
static void take_events(struct fixture *f)
{
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
    loop_run(f->net.loop);
}

static void what_the_peer_wrote_is_received_and_its_end_is_seen(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->peer, "hello", 5), 5);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_true(f->events >= 1);
    assert_int_equal(connection_receive(f->c), 5);
    assert_memory_equal(buffer_content(&f->c->in).at, "hello", 5);
    assert_int_equal(connection_receive(f->c), 0);
    buffer_consume(&f->c->in, 5);
    connection_settle(f->c);
}

static void a_short_read_is_the_last_until_the_next_event(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->peer, "x", 1), 1);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 1);
    assert_false(f->c->readable);
    assert_int_equal(connection_receive(f->c), -E_AGAIN);
}

static void small_pieces_leave_together_with_the_flush(void **state)
{
    struct fixture *f = *state;
    char got[16];

    take_events(f);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("one ")), 4);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("two")), 3);
    assert_int_equal(read(f->peer, got, sizeof got), -1);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(read(f->peer, got, sizeof got), 7);
    assert_memory_equal(got, "one two", 7);
}

static void everything_arrives_in_order_through_a_peer_that_reads_slowly(void **state)
{
    struct fixture *f = *state;
    size_t total = 3 << 20, sent = 0, received = 0;
    uint8_t *data = malloc(total), *got = malloc(total);

    for (size_t i = 0; i < total; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    take_events(f);
    while (received < total) {
        size_t room = connection_room(f->c);
        ssize_t n = connection_send(f->c, bytes_of(data + sent, total - sent));
        assert_true(n >= 0);
        assert_true((size_t)n >= (room < total - sent ? 0 : total - sent));
        sent += (size_t)n;
        (void)!connection_flush(f->c);
        n = read(f->peer, got + received, 7777);
        received += n > 0 ? (size_t)n : 0;
        f->c->writable = true; /* as the event of the room that was made would say */
    }
    assert_memory_equal(data, got, total);
    free(data);
    free(got);
}

static void finishing_sends_what_waits_and_then_the_end(void **state)
{
    struct fixture *f = *state;
    char got[8];

    take_events(f);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("bye")), 3);
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), 0);
    assert_true(f->c->finished);
    assert_int_equal(read(f->peer, got, sizeof got), 3);
    assert_int_equal(read(f->peer, got, sizeof got), 0);
}

static void a_peer_that_is_gone_is_an_error_and_no_signal(void **state)
{
    struct fixture *f = *state;

    take_events(f);
    close(f->peer);
    f->peer = -1;
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("x")), 1);
    assert_int_equal(connection_flush(f->c), -E_RESET);
}

/* What passes through is not kept: what the socket does not take stays the owner's. */
static void what_is_passed_is_never_copied(void **state)
{
    struct fixture *f = *state;
    size_t total = 3 << 20, sent = 0, received = 0;
    uint8_t *data = malloc(total), *got = malloc(total);

    for (size_t i = 0; i < total; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    take_events(f);
    assert_int_equal(connection_pass(f->c, BYTES_NONE), 0);
    while (received < total) {
        ssize_t n = connection_pass(f->c, bytes_of(data + sent, total - sent));
        assert_true(n >= 0);
        sent += (size_t)n;
        assert_true(connection_is_flushed(f->c));
        assert_int_equal(buffer_pool_lent(f->net.pool), 0);
        n = read(f->peer, got + received, 7777);
        received += n > 0 ? (size_t)n : 0;
        f->c->writable = true;
    }
    assert_memory_equal(data, got, total);
    free(data);
    free(got);
}

static void what_was_sent_before_leaves_before_what_is_passed(void **state)
{
    struct fixture *f = *state;
    char got[16];

    take_events(f);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("first ")), 6);
    assert_int_equal(connection_pass(f->c, BYTES_LITERAL("second")), 6);
    assert_int_equal(read(f->peer, got, sizeof got), 12);
    assert_memory_equal(got, "first second", 12);
}

/* Writes so many bytes and receives once. Returns what was received, of which nothing is left. */
static int pass_through(struct fixture *f, size_t size)
{
    static uint8_t data[BUFFER_BULK];
    int n;

    assert_int_equal(write(f->peer, data, size), size);
    take_events(f);
    n = connection_receive(f->c);
    if (n > 0)
        buffer_consume(&f->c->in, (size_t)n);
    return n;
}

static void a_read_that_filled_its_buffer_gives_the_next_more_room(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(pass_through(f, 70000), 65536);           /* four records of plaintext, should they become such */
    assert_int_equal(connection_receive(f->c), 70000 - 65536); /* short: the flow is over */
    buffer_consume(&f->c->in, 70000 - 65536);
    connection_settle(f->c);
    assert_int_equal(pass_through(f, 65536), 65536);
    assert_int_equal(pass_through(f, 150000), 150000);
    assert_int_equal(f->c->in.size, BUFFER_BULK);
    assert_int_equal(pass_through(f, 5), 5);
    connection_settle(f->c);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    assert_int_equal(pass_through(f, 5), 5);
    assert_int_equal(f->c->in.size, BUFFER_LARGE);
}

static void who_was_told_to_receive_little_gets_no_more_room(void **state)
{
    struct fixture *f = *state;

    f->c->receive_most = 60000;
    assert_int_equal(pass_through(f, 100000), 60000);
    assert_int_equal(connection_receive(f->c), 40000);
    assert_int_equal(f->c->in.size, BUFFER_LARGE);
    buffer_consume(&f->c->in, 40000);
}

static void without_bulk_storage_the_usual_serves(void **state)
{
    struct fixture *f = *state;
    static struct buffer others[BUFFER_BULK_LENT];

    for (size_t i = 0; i < BUFFER_BULK_LENT; i++)
        assert_int_equal(buffer_reserve_bulk(f->net.pool, &others[i]), 0);
    assert_int_equal(pass_through(f, 65536), 65536);
    assert_int_equal(pass_through(f, 150000), 65536);
    for (size_t i = 0; i < BUFFER_BULK_LENT; i++)
        buffer_drop(f->net.pool, &others[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_the_peer_wrote_is_received_and_its_end_is_seen),
        TEST(a_short_read_is_the_last_until_the_next_event),
        TEST(small_pieces_leave_together_with_the_flush),
        TEST(everything_arrives_in_order_through_a_peer_that_reads_slowly),
        TEST(finishing_sends_what_waits_and_then_the_end),
        TEST(a_peer_that_is_gone_is_an_error_and_no_signal),
        TEST(what_is_passed_is_never_copied),
        TEST(what_was_sent_before_leaves_before_what_is_passed),
        TEST(a_read_that_filled_its_buffer_gives_the_next_more_room),
        TEST(who_was_told_to_receive_little_gets_no_more_room),
        TEST(without_bulk_storage_the_usual_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
