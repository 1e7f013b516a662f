#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upstream/h1_client.h"

static const struct h1_limits limits = { .request_line = 200, .head = 2000, .fields = 20 };

struct fixture {
    struct net net;
    struct pool pool;
    struct group *group;
    struct backend *backend;
    struct arena arena;
    struct timer timer;
    struct upstream_options options; /* of which only the pool's are read */
    struct dial_plan plan;
    int listener;
};

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct address address;
    char path[64];

    snprintf(path, sizeof path, "@unlade-test-pool-%d", getpid());
    assert_int_equal(address_from_path(path, &address), 0);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listener, &address.any, address.size), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(net_init(&f->net), 0);
    pool_init(&f->pool, &f->net);
    f->group = pool_group(&f->pool, BYTES_LITERAL("app"));
    f->backend = group_backend(f->group, &address, 0);
    assert_non_null(f->backend);
    arena_init(&f->arena, NULL, 1 << 20);
    timer_init(&f->timer, stop);
    f->options.pool = (struct pool_options){ .idle = 8, .idle_time_ns = 1000 * NS_PER_S };
    f->plan.options = &f->options;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pool_clear(&f->pool);
    arena_reset(&f->arena);
    close(f->listener);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    free(f);
    return 0;
}

static void run_ms(struct fixture *f, unsigned ms)
{
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + ms * NS_PER_MS);
    loop_run(f->net.loop);
}

static void on_event(struct link *l, void *user)
{
    (void)l;
    (void)user;
}

static struct link_request request_of(struct fixture *f)
{
    return (struct link_request){ .plan = &f->plan, .arena = &f->arena, .method = METHOD_GET, .limits = &limits,
                                  .on_event = on_event, .user = f };
}

/* A new connection, for a request that has begun; its other end in *ret_peer. */
static struct link *dial(struct fixture *f, int *ret_peer)
{
    struct link_request request = request_of(f);
    int error = 0;
    struct link *l;

    request.fresh = true;
    l = backend_link(f->backend, &request, &error);
    assert_non_null(l);
    run_ms(f, 1);
    assert_int_equal(link_connected(&l), 0);
    *ret_peer = accept(f->listener, NULL, NULL);
    assert_true(*ret_peer >= 0);
    return l;
}

/* Sends a request, and reads the answer that the peer gives. Returns what its content ends with. */
static int exchange(struct fixture *f, struct link *l, int peer, const char *answer)
{
    struct stream *s = &l->stream;
    struct message request = { .method_name = BYTES_LITERAL("GET"), .path = BYTES_LITERAL("/"), .authority = BYTES_LITERAL("a"),
                               .persistent = true }, response;
    struct bytes data;
    char sink[256];
    int n;

    assert_int_equal(s->ops->send_head(s, &request), 0);
    assert_int_equal(s->ops->end(s, NULL), 0);
    assert_int_equal(s->ops->flush(s), 0);
    assert_true(read(peer, sink, sizeof sink) > 0);
    assert_int_equal(write(peer, answer, strlen(answer)), strlen(answer));
    run_ms(f, 1);
    message_init(&response, &f->arena);
    n = s->ops->look_head(s, &response);
    if (n)
        return n;
    while ((n = s->ops->look(s, &data)) == STREAM_DATA)
        s->ops->took(s, data.size);
    return n;
}

static struct link *served(struct fixture *f, int *ret_peer, const char *answer)
{
    struct link *l = dial(f, ret_peer);

    assert_int_equal(exchange(f, l, *ret_peer, answer), STREAM_END);
    link_release(l);
    return l;
}

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void groups_and_servers_are_found_again_by_their_identity(void **state)
{
    struct fixture *f = *state;
    struct address other;

    assert_int_equal(address_from_ip("127.0.0.1", 80, &other), 0);
    assert_ptr_equal(pool_group(&f->pool, BYTES_LITERAL("app")), f->group);
    assert_ptr_not_equal(pool_group(&f->pool, BYTES_LITERAL("ap")), f->group);
    assert_ptr_equal(group_backend(f->group, &f->backend->address, 0), f->backend);
    assert_ptr_not_equal(group_backend(f->group, &other, 0), f->backend);
    assert_ptr_not_equal(group_backend(pool_group(&f->pool, BYTES_LITERAL("b")), &f->backend->address, 0), f->backend);
}

static void the_connection_that_was_used_last_is_used_first(void **state)
{
    struct fixture *f = *state;
    struct link_request request = request_of(f);
    int peers[2], error = 0;
    struct link *first = served(f, &peers[0], ok), *second = served(f, &peers[1], ok);

    assert_int_equal(f->backend->idle_count, 2);
    assert_ptr_equal(backend_link(f->backend, &request, &error), second);
    assert_ptr_equal(backend_link(f->backend, &request, &error), first);
    assert_int_equal(f->backend->idle_count, 0);
    assert_true(first->reused);
    assert_false(link_has_written(first));
    assert_int_equal(exchange(f, first, peers[0], ok), STREAM_END);
    assert_true(link_has_written(first) && link_has_read(first));
    link_close(first);
    link_close(second);
    close(peers[0]);
    close(peers[1]);
}

static void a_connection_that_was_made_in_another_way_is_not_used(void **state)
{
    struct fixture *f = *state;
    struct link_request request = request_of(f);
    struct dial_plan other = { .options = &f->options, .identity = 1 };
    int peer, error = 0;
    struct link *l;

    served(f, &peer, ok);
    request.plan = &other;
    l = backend_link(f->backend, &request, &error);
    assert_non_null(l);
    assert_false(l->reused);
    assert_int_equal(f->backend->idle_count, 0);
    link_close(l);
    close(peer);
}

static void a_connection_with_a_preface_says_it_first_and_serves_one_request(void **state)
{
    struct fixture *f = *state;
    struct link_request request = request_of(f);
    int kept, peer, error = 0;
    char text[8] = "";
    struct link *l;

    served(f, &kept, ok);
    request.preface = BYTES_LITERAL("hello\n");
    l = backend_link(f->backend, &request, &error);
    assert_non_null(l);
    assert_false(l->reused);
    run_ms(f, 1);
    assert_int_equal(link_connected(&l), 0);
    assert_int_equal(l->stream.ops->flush(&l->stream), 0);
    peer = accept(f->listener, NULL, NULL);
    assert_int_equal(read(peer, text, 6), 6);
    assert_string_equal(text, "hello\n");
    assert_int_equal(exchange(f, l, peer, ok), STREAM_END);
    link_release(l);
    assert_int_equal(f->backend->idle_count, 1); /* the other one */
    close(kept);
    close(peer);
}

static void no_more_are_kept_than_the_limit_and_none_for_longer_than_their_time(void **state)
{
    struct fixture *f = *state;
    int peers[3];
    struct link *c[3];

    f->options.pool = (struct pool_options){ .idle = 2, .idle_time_ns = 50 * NS_PER_MS };
    for (int i = 0; i < 3; i++) {
        c[i] = dial(f, &peers[i]);
        assert_int_equal(exchange(f, c[i], peers[i], ok), STREAM_END);
    }
    for (int i = 0; i < 3; i++)
        link_release(c[i]);
    assert_int_equal(f->backend->idle_count, 2);
    run_ms(f, 20);
    assert_int_equal(f->backend->idle_count, 2);
    run_ms(f, 60);
    assert_int_equal(f->backend->idle_count, 0);
    for (int i = 0; i < 3; i++) {
        char byte;
        assert_int_equal(read(peers[i], &byte, 1), 0);
        close(peers[i]);
    }
}

static void an_idle_connection_on_which_anything_arrives_is_closed(void **state)
{
    struct fixture *f = *state;
    int peers[2];

    served(f, &peers[0], ok);
    served(f, &peers[1], ok);
    assert_int_equal(write(peers[0], "x", 1), 1);
    run_ms(f, 1);
    assert_int_equal(f->backend->idle_count, 1);
    close(peers[1]);
    run_ms(f, 1);
    assert_int_equal(f->backend->idle_count, 0);
    close(peers[0]);
}

static void only_a_connection_in_order_is_kept(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    };

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        int peer;
        served(f, &peer, answers[i]);
        assert_int_equal(f->backend->idle_count, 0);
        close(peer);
    }
}

/* The read that brought the end of the answer filled its buffer to the last byte, so that it did not see more. */
static void what_lies_behind_an_answer_that_filled_the_buffer_is_no_answer(void **state)
{
    struct fixture *f = *state;
    int peer;
    struct link *l = dial(f, &peer);

    assert_int_equal(exchange(f, l, peer, ok), STREAM_END);
    assert_int_equal(write(peer, ok, strlen(ok)), strlen(ok));
    CONTAINER_OF(l, struct h1_client, link)->wire.connection->readable = true; /* as that read leaves it */
    link_release(l);
    assert_int_equal(f->backend->idle_count, 0);
    close(peer);
}

static void a_refused_connection_is_told(void **state)
{
    struct fixture *f = *state;
    struct link_request request = request_of(f);
    struct address nobody;
    int error = 0;

    assert_int_equal(address_from_path("@unlade-test-pool-nobody", &nobody), 0);
    assert_null(backend_link(group_backend(f->group, &nobody, 0), &request, &error));
    assert_int_equal(error, -E_CONNECT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(groups_and_servers_are_found_again_by_their_identity),
        TEST(the_connection_that_was_used_last_is_used_first),
        TEST(a_connection_that_was_made_in_another_way_is_not_used),
        TEST(a_connection_with_a_preface_says_it_first_and_serves_one_request),
        TEST(no_more_are_kept_than_the_limit_and_none_for_longer_than_their_time),
        TEST(an_idle_connection_on_which_anything_arrives_is_closed),
        TEST(only_a_connection_in_order_is_kept),
        TEST(what_lies_behind_an_answer_that_filled_the_buffer_is_no_answer),
        TEST(a_refused_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
