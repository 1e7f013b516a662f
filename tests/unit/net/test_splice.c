#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/connection_private.h"

enum { MUCH = 1 << 20 };

/* server --> from, to --> client */
struct fixture {
    struct net net;
    struct connection *from, *to;
    int server, client;
    size_t came; /* at the client, of a stream of bytes in order */
};

static void on_event(struct connection *c)
{
    (void)c;
}

static struct connection *connect_pair(struct fixture *f, int *ret_peer)
{
    struct connection *c;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    c = connection_new(&f->net, pair[0]);
    assert_non_null(c);
    c->on_event = on_event;
    c->readable = c->writable = true;
    *ret_peer = pair[1];
    return c;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_int_equal(net_init(&f->net), 0);
    f->from = connect_pair(f, &f->server);
    f->to = connect_pair(f, &f->client);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_close(f->from, false);
    connection_close(f->to, false);
    close(f->server);
    close(f->client);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    free(f);
    return 0;
}

/* What the server says next, as far as it goes. Returns the bytes. */
static size_t say(struct fixture *f, size_t at, size_t bytes)
{
    uint8_t *data = malloc(bytes);
    ssize_t n;

    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)((at + i) % 251);
    n = send(f->server, data, bytes, MSG_NOSIGNAL);
    free(data);
    return n > 0 ? (size_t)n : 0;
}

/* Takes what has come to the client, which is in order. */
static void take(struct fixture *f)
{
    uint8_t data[4096];
    ssize_t n;

    while ((n = recv(f->client, data, sizeof data, 0)) > 0)
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(data[i], f->came++ % 251);
}

static void what_comes_leaves_behind_what_was_sent(void **state)
{
    struct fixture *f = *state;
    uint8_t first[] = { 0, 1, 2 };

    assert_int_equal(connection_send(f->to, bytes_of(first, sizeof first)), 3);
    assert_int_equal(say(f, 3, 1000), 1000);
    assert_int_equal(connection_splice(f->from, f->to, 600), 600);
    assert_int_equal(connection_splice(f->from, f->to, MUCH), 400);
    take(f);
    assert_int_equal(f->came, 1003);
    assert_int_equal(f->from->wire_in, 1000);
    assert_int_equal(f->from->data_in, 1000);
    assert_int_equal(f->to->wire_out, 1003);
    assert_true(connection_is_flushed(f->to));
    assert_int_equal(f->net.pipe_count, 1);
}

static void an_empty_socket_and_an_end_are_told_by_receiving(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(connection_splice(f->from, f->to, MUCH), -E_AGAIN);
    assert_false(f->from->readable);
    assert_int_equal(connection_receive(f->from), -E_AGAIN);
    assert_int_equal(shutdown(f->server, SHUT_WR), 0);
    f->from->readable = true;
    assert_int_equal(connection_splice(f->from, f->to, MUCH), -E_AGAIN);
    assert_int_equal(connection_receive(f->from), 0);
}

static void what_was_received_already_is_not_overtaken(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(say(f, 0, 10), 10);
    assert_int_equal(connection_receive(f->from), 10);
    f->from->readable = true;
    assert_int_equal(say(f, 10, 10), 10);
    assert_int_equal(connection_splice(f->from, f->to, MUCH), -E_AGAIN);
    assert_int_equal(f->to->wire_out, 0);
}

/* Fills the socket to the client, and the pipe; returns the bytes that were received for it. */
static size_t stall(struct fixture *f)
{
    size_t said = 0, spliced = 0;
    ssize_t n;

    do {
        said += say(f, said, 65536);
        f->from->readable = true;
        n = connection_splice(f->from, f->to, MUCH);
        assert_true(n >= 0);
        spliced += (size_t)n;
    } while (n > 0);
    assert_false(f->to->writable);
    assert_false(connection_is_flushed(f->to));
    assert_true(connection_waiting(f->to) > 0);
    assert_int_equal(connection_flush(f->to), -E_AGAIN);
    return spliced;
}

static void what_does_not_leave_comes_before_what_is_sent_later(void **state)
{
    struct fixture *f = *state;
    size_t spliced = stall(f), rest;
    uint8_t last[8192];

    for (size_t i = 0; i < sizeof last; i++)
        last[i] = (uint8_t)((spliced + i) % 251);
    assert_int_equal(connection_pass(f->to, bytes_of(last, sizeof last)), 0);
    assert_int_equal(connection_send(f->to, bytes_of(last, sizeof last)), sizeof last); /* it is kept, behind */
    rest = spliced + sizeof last;
    for (int i = 0; i < 1000 && f->came < rest; i++) {
        take(f);
        f->to->writable = true;
        (void)!connection_flush(f->to);
    }
    assert_int_equal(f->came, rest);
    assert_int_equal(f->to->wire_out, rest);
    assert_true(connection_is_flushed(f->to));
}

static void the_end_comes_behind_all_of_it(void **state)
{
    struct fixture *f = *state;
    size_t spliced = stall(f);

    connection_finish(f->to);
    assert_int_equal(connection_flush(f->to), -E_AGAIN);
    assert_false(f->to->finished);
    for (int i = 0; i < 1000 && !f->to->finished; i++) {
        take(f);
        f->to->writable = true;
        (void)!connection_flush(f->to);
    }
    take(f);
    assert_int_equal(f->came, spliced);
    assert_true(f->to->finished);
}

static void a_client_that_is_gone_is_told_by_the_next_flush(void **state)
{
    struct fixture *f = *state;

    (void)stall(f);
    assert_int_equal(shutdown(f->client, SHUT_RDWR), 0);
    f->to->writable = true;
    assert_int_equal(connection_flush(f->to), -E_RESET);
}

static void a_closed_connection_takes_its_pipe_along(void **state)
{
    struct fixture *f = *state;

    (void)stall(f);
    connection_close(f->to, true);
    assert_int_equal(f->net.pipe_count, 0);
    f->to = NULL;
}

static void without_a_pipe_it_is_received_as_usual(void **state)
{
    struct fixture *f = *state;

    f->net.pipe_count = UINT32_MAX;
    assert_int_equal(say(f, 0, 100), 100);
    assert_int_equal(connection_splice(f->from, f->to, MUCH), -E_AGAIN);
    assert_int_equal(connection_receive(f->from), 100);
    f->net.pipe_count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_comes_leaves_behind_what_was_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_socket_and_an_end_are_told_by_receiving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_received_already_is_not_overtaken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_leave_comes_before_what_is_sent_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_comes_behind_all_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_is_gone_is_told_by_the_next_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_connection_takes_its_pipe_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_pipe_it_is_received_as_usual, set_up, tear_down),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as the program does: splice() has no other way to be quiet */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
