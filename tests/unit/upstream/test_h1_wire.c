#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upstream/h1_wire.h"

static const struct h1_limits limits = { .request_line = 200, .head = 2000, .fields = 20 };

struct fixture {
    struct net net;
    struct h1_wire wire;
    struct arena arena;
    struct message message;
    struct timer timer;
    int peer;
};

static void on_event(struct connection *c)
{
    (void)c;
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
    f->wire.connection = connection_new(&f->net, pair[0]);
    assert_non_null(f->wire.connection);
    f->wire.connection->on_event = on_event;
    f->peer = pair[1];
    timer_init(&f->timer, stop);
    arena_init(&f->arena, NULL, 1 << 20);
    message_init(&f->message, &f->arena);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_close(f->wire.connection, false);
    if (f->peer >= 0)
        close(f->peer);
    arena_reset(&f->arena);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    free(f);
    return 0;
}

static void take_events(struct fixture *f)
{
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
    loop_run(f->net.loop);
}

static void say(struct fixture *f, const char *text)
{
    assert_int_equal(write(f->peer, text, strlen(text)), strlen(text));
    take_events(f);
}

static void end_of_peer(struct fixture *f)
{
    shutdown(f->peer, SHUT_WR);
    take_events(f);
}

/* Reads the head of a request and starts its content. */
static void take_head(struct fixture *f)
{
    struct h1_wire *w = &f->wire;
    int n = h1_wire_look_head(w, true, &limits);

    assert_true(n > 0);
    assert_int_equal(h1_parse_request(bytes_part(buffer_content(&w->connection->in), 0, (size_t)n), &limits, &f->message), 0);
    h1_wire_took_head(w, (size_t)n, &f->message, &limits, NULL);
}

static void expect_content(struct fixture *f, const char *text)
{
    struct bytes data;

    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_DATA);
    assert_int_equal(data.size, strlen(text));
    assert_memory_equal(data.at, text, data.size);
    h1_wire_took(&f->wire, data.size);
}

static void a_head_in_single_bytes_is_found_when_its_last_has_come(void **state)
{
    struct fixture *f = *state;
    const char *head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    for (const char *c = head; *c; c++) {
        assert_int_equal(h1_wire_look_head(&f->wire, true, &limits), -E_AGAIN);
        say(f, (char[]){ *c, '\0' });
    }
    assert_int_equal(h1_wire_look_head(&f->wire, true, &limits), strlen(head));
}

static void an_end_before_a_head_is_in_order_and_within_one_is_not(void **state)
{
    struct fixture *f = *state;

    say(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET");
    take_head(f);
    end_of_peer(f);
    assert_int_equal(h1_wire_look_head(&f->wire, true, &limits), -E_TRUNCATED);
    buffer_consume(&f->wire.connection->in, 3);
    f->wire.scan = (struct h1_scan){ 0 };
    f->wire.connection->readable = true;
    assert_int_equal(h1_wire_look_head(&f->wire, true, &limits), 0);
}

static void content_ends_where_it_says_and_the_next_request_follows(void **state)
{
    struct fixture *f = *state;
    struct bytes data;

    say(f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPOST /2 HTTP/1.1\r\nHost: a\r\n"
           "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET ");
    take_head(f);
    expect_content(f, "hello");
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
    message_init(&f->message, &f->arena);
    take_head(f);
    expect_content(f, "abc");
    expect_content(f, "de");
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
    assert_int_equal(buffer_used(&f->wire.connection->in), 4);
}

static void content_that_breaks_off_is_truncated(void **state)
{
    struct fixture *f = *state;
    struct bytes data;

    say(f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    take_head(f);
    expect_content(f, "hell");
    assert_int_equal(h1_wire_look(&f->wire, &data), -E_AGAIN);
    end_of_peer(f);
    assert_int_equal(h1_wire_look(&f->wire, &data), -E_TRUNCATED);
}

static void content_to_the_end_of_the_connection_ends_with_it(void **state)
{
    struct fixture *f = *state;
    struct bytes data;

    f->message.body = BODY_TO_CLOSE;
    h1_wire_took_head(&f->wire, 0, &f->message, &limits, NULL);
    say(f, "all");
    expect_content(f, "all");
    assert_int_equal(h1_wire_look(&f->wire, &data), -E_AGAIN);
    end_of_peer(f);
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
}

static void start_response(struct fixture *f, enum http_body body, uint64_t length)
{
    f->message.status = 200;
    f->message.persistent = true;
    f->message.body = body;
    f->message.length = length;
    assert_int_equal(h1_wire_send_head(&f->wire, &f->message, HTTP_1_1), 0);
}

/* Who gets 0 or -E_AGAIN waits for an event, which comes only when the socket was full. */
static void no_room_means_that_an_event_will_come(void **state)
{
    struct fixture *f = *state;
    struct connection *c = f->wire.connection;
    uint8_t data[3000] = { 0 };
    char sink[65536];

    take_events(f);
    start_response(f, BODY_STREAMED, 0);
    for (size_t size = 1; size < sizeof data; size = size * 3 + 1) {
        ssize_t sent;
        while ((sent = h1_wire_send(&f->wire, bytes_of(data, size))) > 0)
            ;
        assert_int_equal(sent, 0);
        assert_false(c->writable);
        assert_int_equal(h1_wire_end(&f->wire, NULL) == 0 || !c->writable, 1);
        while (read(f->peer, sink, sizeof sink) > 0)
            ;
        take_events(f);
        assert_true(c->writable);
    }
}

static void a_head_finds_room_behind_answers_that_can_leave(void **state)
{
    struct fixture *f = *state;
    static char filler[BUFFER_LARGE - 50];

    take_events(f);
    assert_int_equal(buffer_append(f->net.pool, &f->wire.connection->out, bytes_of(filler, sizeof filler)), 0);
    start_response(f, BODY_LENGTH, 3);
    assert_int_equal(h1_wire_send(&f->wire, BYTES_LITERAL("abc")), 3);
    assert_int_equal(h1_wire_end(&f->wire, NULL), 0);
    assert_int_equal(connection_flush(f->wire.connection), 0);
}

static void no_more_is_sent_than_was_announced(void **state)
{
    struct fixture *f = *state;

    take_events(f);
    start_response(f, BODY_LENGTH, 3);
    assert_int_equal(h1_wire_send(&f->wire, BYTES_LITERAL("ab")), 2);
    assert_int_equal(h1_wire_send(&f->wire, BYTES_LITERAL("cd")), -E_INTERNAL);
}

/* A 101 was sent behind a request; more had come with it. */
static void open_tunnel(struct fixture *f)
{
    struct message m;

    say(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\nearly");
    take_head(f);
    message_init(&m, &f->arena);
    m.status = 101;
    m.upgrade = BYTES_LITERAL("x");
    m.body = BODY_TUNNEL;
    m.persistent = true;
    assert_int_equal(h1_wire_send_head(&f->wire, &m, HTTP_1_1), 0);
}

static void a_tunnel_is_raw_bytes_both_ways_to_each_end(void **state)
{
    static const char head[] = "HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n0\r\n\r\n";
    struct fixture *f = *state;
    struct bytes data;
    char got[200];

    take_events(f);
    open_tunnel(f);
    expect_content(f, "early");
    say(f, "0\r\n\r\nGET");
    expect_content(f, "0\r\n\r\nGET");
    assert_int_equal(h1_wire_look(&f->wire, &data), -E_AGAIN);
    assert_int_equal(h1_wire_send(&f->wire, BYTES_LITERAL("0\r\n\r\n")), 5);
    assert_int_equal(h1_wire_end(&f->wire, NULL), 0);
    assert_int_equal(h1_wire_flush(&f->wire), 0);
    assert_int_equal(read(f->peer, got, sizeof got), sizeof head - 1);
    assert_memory_equal(got, head, sizeof head - 1);
    assert_int_equal(read(f->peer, got, sizeof got), 0);
    say(f, "last"); /* the other half goes on */
    expect_content(f, "last");
    end_of_peer(f);
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
    assert_int_equal(h1_wire_look(&f->wire, &data), STREAM_END);
}

static void a_tunnel_that_waits_holds_no_buffers(void **state)
{
    struct fixture *f = *state;
    struct bytes data;

    take_events(f);
    open_tunnel(f);
    expect_content(f, "early");
    assert_int_equal(h1_wire_look(&f->wire, &data), -E_AGAIN);
    assert_int_equal(h1_wire_send(&f->wire, BYTES_LITERAL("answer")), 6);
    assert_int_equal(h1_wire_flush(&f->wire), 0);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_head_in_single_bytes_is_found_when_its_last_has_come),
        TEST(an_end_before_a_head_is_in_order_and_within_one_is_not),
        TEST(content_ends_where_it_says_and_the_next_request_follows),
        TEST(content_that_breaks_off_is_truncated),
        TEST(content_to_the_end_of_the_connection_ends_with_it),
        TEST(no_room_means_that_an_event_will_come),
        TEST(a_head_finds_room_behind_answers_that_can_leave),
        TEST(no_more_is_sent_than_was_announced),
        TEST(a_tunnel_is_raw_bytes_both_ways_to_each_end),
        TEST(a_tunnel_that_waits_holds_no_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
