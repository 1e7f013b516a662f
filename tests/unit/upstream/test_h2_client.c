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

#include "http/h2.h"
#include "upstream/h2_client.h"
#include "upstream/pool.h"

/* The server is the same machine in its other role, over the other ends of the sockets. */

enum { PEERS_MOST = 4, STREAMS_MOST = 16, ASKERS_MOST = 16 };

static const struct h1_limits limits = { .request_line = 200, .head = 8000, .fields = 20 };

struct peer {
    int fd;
    struct h2 *h2;
    struct fixture *of;
    struct h2_stream streams[STREAMS_MOST];
    unsigned count;
};

/* What an exchange would be. */
struct asker {
    struct fixture *of;
    struct link *link;
    struct message request, response;
    int error;      /* of its connection or its response; -E_AGAIN: none yet */
    bool sent;
};

struct fixture {
    struct net net;
    struct pool pool;
    struct group *group;
    struct backend *backend;
    struct arena arena;
    struct timer timer;
    struct upstream_options options;
    struct dial_plan plan;
    int listener;
    uint32_t streams_most;
    struct peer peers[PEERS_MOST];
    unsigned peer_count;
    struct asker askers[ASKERS_MOST];
    unsigned asker_count;
};

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

/* ---- the server ---- */

static size_t peer_room(void *user)
{
    (void)user;
    return 60000;
}

static int peer_write(void *user, struct bytes head, struct bytes data)
{
    const struct peer *p = user;

    if (head.size)
        assert_int_equal(write(p->fd, head.at, head.size), head.size);
    if (data.size)
        assert_int_equal(write(p->fd, data.at, data.size), data.size);
    return 0;
}

static void peer_dirty(void *user)
{
    (void)user;
}

static uint64_t peer_wire_out(void *user)
{
    (void)user;
    return 0;
}

static struct h2_stream *peer_accept(void *user)
{
    struct peer *p = user;
    struct h2_stream *s = &p->streams[p->count++];

    assert_true(p->count <= STREAMS_MOST);
    h2_stream_init(s, &p->of->arena, NULL);
    return s;
}

static const struct h2_owner peer_owner = { peer_room, peer_write, peer_dirty, peer_wire_out, peer_accept };

/* Accepts who came, and takes what they say. */
static void serve(struct fixture *f)
{
    uint8_t buffer[65536];
    int fd;

    while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *p = &f->peers[f->peer_count++];
        const struct h2_options options = { .role = H2_SERVER, .limits = limits, .streams_most = f->streams_most };
        assert_true(f->peer_count <= PEERS_MOST);
        p->fd = fd;
        p->of = f;
        p->h2 = h2_new(&options, &peer_owner, p);
        assert_non_null(p->h2);
    }
    for (unsigned i = 0; i < f->peer_count; i++) {
        struct peer *p = &f->peers[i];
        ssize_t n;
        while (p->h2 && (n = read(p->fd, buffer, sizeof buffer)) > 0)
            assert_int_equal(h2_receive(p->h2, bytes_of(buffer, (size_t)n), 1), 0);
        if (p->h2)
            assert_int_equal(h2_flush(p->h2), 0);
    }
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 6; i++) {
        loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
        loop_run(f->net.loop);
        serve(f);
    }
}

static void answer(struct peer *p, unsigned number)
{
    struct h2_stream *s = &p->streams[number];
    struct message m, request;

    message_init(&request, &p->of->arena);
    assert_int_equal(s->stream.ops->look_head(&s->stream, &request), 0);
    message_init(&m, &p->of->arena);
    m.status = 200;
    m.body = BODY_STREAMED;
    assert_int_equal(s->stream.ops->send_head(&s->stream, &m), 0);
    assert_int_equal(s->stream.ops->end(&s->stream, NULL), 0);
}

static void close_peer(struct peer *p)
{
    h2_free(p->h2);
    p->h2 = NULL;
    close(p->fd);
}

/* ---- the askers ---- */

static void run(struct asker *a)
{
    struct stream *s;

    if (a->error != -E_AGAIN)
        return;
    if (!a->sent) {
        a->error = link_connected(&a->link);
        if (a->error)
            return;
        s = &a->link->stream;
        assert_int_equal(s->ops->send_head(s, &a->request), 0);
        assert_int_equal(s->ops->end(s, NULL), 0);
        a->sent = true;
    }
    s = &a->link->stream;
    a->error = s->ops->look_head(s, &a->response);
}

static void on_event(struct link *l, void *user)
{
    (void)l;
    run(user);
}

static struct asker *ask_under(struct fixture *f, const struct dial_plan *plan)
{
    struct asker *a = &f->askers[f->asker_count++];
    const struct link_request request = {
        .plan = plan,
        .arena = &f->arena,
        .method = METHOD_GET,
        .limits = &limits,
        .on_event = on_event,
        .user = a,
    };
    int error = 0;

    a->of = f;
    a->error = -E_AGAIN;
    message_init(&a->request, &f->arena);
    message_init(&a->response, &f->arena);
    a->request.method = METHOD_GET;
    a->request.method_name = BYTES_LITERAL("GET");
    a->request.path = BYTES_LITERAL("/");
    a->request.authority = BYTES_LITERAL("a.test");
    a->link = backend_link(f->backend, &request, &error);
    assert_non_null(a->link);
    run(a);
    return a;
}

static struct asker *ask(struct fixture *f)
{
    return ask_under(f, &f->plan);
}

static void done(struct asker *a)
{
    struct bytes data;

    assert_int_equal(a->error, 0);
    assert_int_equal(a->response.status, 200);
    assert_int_equal(a->link->stream.ops->look(&a->link->stream, &data), STREAM_END);
    link_release(a->link);
    a->link = NULL;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct address address;
    char path[64];

    snprintf(path, sizeof path, "@unlade-test-h2-client-%d", getpid());
    assert_int_equal(address_from_path(path, &address), 0);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listener, &address.any, address.size), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(net_init(&f->net), 0);
    pool_init(&f->pool, &f->net);
    f->group = pool_group(&f->pool, BYTES_LITERAL("app"));
    f->options.protocol = UPSTREAM_H2;
    f->options.pool = (struct pool_options){ .idle = 8, .idle_time_ns = 1000 * NS_PER_S, .h2_connections = 2 };
    f->options.timeouts.connect_ns = 1000 * NS_PER_S;
    f->plan = (struct dial_plan){ .options = &f->options, .identity = 7 };
    f->backend = group_backend(f->group, &address, f->plan.identity);
    assert_non_null(f->backend);
    f->streams_most = 100;
    arena_init(&f->arena, NULL, 1 << 22);
    timer_init(&f->timer, stop);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < f->asker_count; i++)
        link_close(f->askers[i].link);
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].h2)
            close_peer(&f->peers[i]);
    pool_clear(&f->pool);
    arena_reset(&f->arena);
    close(f->listener);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    free(f);
    return 0;
}

static void links_that_come_while_it_connects_share_a_connection(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 5; i++)
        ask(f);
    turn(f);
    assert_int_equal(f->peer_count, 1);
    assert_int_equal(f->peers[0].count, 5);
    for (unsigned i = 0; i < 5; i++)
        answer(&f->peers[0], i);
    turn(f);
    for (unsigned i = 0; i < 5; i++)
        done(&f->askers[i]);
    ask(f);
    turn(f);
    assert_true(f->askers[5].link->reused);
    assert_int_equal(f->peer_count, 1);
}

static void a_full_connection_is_joined_by_another_and_then_links_wait(void **state)
{
    struct fixture *f = *state;

    f->streams_most = 1;
    for (int i = 0; i < 3; i++) {
        ask(f);
        turn(f);
    }
    assert_int_equal(f->peer_count, 2);
    assert_true(f->askers[0].sent && f->askers[1].sent);
    assert_false(f->askers[2].sent);
    assert_int_equal(f->askers[2].error, -E_AGAIN);
    answer(&f->peers[1], 0);
    turn(f);
    done(&f->askers[1]);
    turn(f);
    assert_true(f->askers[2].sent);
    assert_int_equal(f->peers[1].count, 2);
}

static void a_link_that_gives_up_while_it_waits_leaves_its_place(void **state)
{
    struct fixture *f = *state;

    f->streams_most = 1;
    for (int i = 0; i < 4; i++) {
        ask(f);
        turn(f);
    }
    link_close(f->askers[2].link);
    f->askers[2].link = NULL;
    answer(&f->peers[0], 0);
    turn(f);
    done(&f->askers[0]);
    turn(f);
    assert_true(f->askers[3].sent);
}

static void what_a_server_did_not_begin_with_is_refused_and_the_rest_goes_on(void **state)
{
    struct fixture *f = *state;
    static const uint8_t goaway[] = { 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0 };

    ask(f);
    ask(f);
    turn(f);
    assert_int_equal(f->peers[0].count, 2);
    assert_int_equal(write(f->peers[0].fd, goaway, sizeof goaway), sizeof goaway);
    turn(f);
    assert_int_equal(f->askers[1].error, -E_SERVER_REFUSED);
    assert_int_equal(f->askers[0].error, -E_AGAIN);
    ask(f);
    turn(f);
    assert_int_equal(f->peer_count, 2);
    answer(&f->peers[0], 0);
    turn(f);
    done(&f->askers[0]);
}

static void a_connection_that_ends_fails_its_links_and_no_response_that_is_whole(void **state)
{
    struct fixture *f = *state;
    struct bytes data;

    ask(f);
    ask(f);
    turn(f);
    answer(&f->peers[0], 0);
    close_peer(&f->peers[0]);
    turn(f);
    assert_int_equal(f->askers[1].error, -E_SERVER_CLOSED);
    assert_int_equal(f->askers[0].error, 0);
    assert_int_equal(f->askers[0].link->stream.ops->look(&f->askers[0].link->stream, &data), STREAM_END);
}

/* A reload takes the plan away with the last exchange that was begun under it. */
static void a_connection_outlives_the_request_and_the_plan_that_began_it(void **state)
{
    struct fixture *f = *state;
    struct dial_plan *first = malloc(sizeof *first);

    *first = f->plan;
    ask_under(f, first);
    ask(f);
    link_close(f->askers[0].link);
    f->askers[0].link = NULL;
    f->askers[0].error = 0;
    free(first);
    turn(f);
    assert_int_equal(f->peer_count, 1);
    answer(&f->peers[0], 0);
    turn(f);
    done(&f->askers[1]);
}

static void who_refuses_at_once_is_an_error_at_once(void **state)
{
    struct fixture *f = *state;
    const struct link_request request = { .plan = &f->plan, .arena = &f->arena, .limits = &limits, .on_event = on_event };
    int error = 0;

    close(f->listener);
    f->listener = -1;
    assert_null(backend_link(f->backend, &request, &error));
    assert_int_equal(error, -E_CONNECT);
}

static void an_idle_connection_says_goaway_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    uint8_t buffer[4096];
    ssize_t n, size = 0;

    f->options.pool.idle_time_ns = 1;
    ask(f);
    turn(f);
    answer(&f->peers[0], 0);
    for (int i = 0; i < 200 && f->askers[0].error; i++)
        turn(f);
    done(&f->askers[0]);
    for (int i = 0; i < 200; i++) {
        loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + NS_PER_MS);
        loop_run(f->net.loop);
        while ((n = read(f->peers[0].fd, buffer + size, sizeof buffer - (size_t)size)) > 0)
            size += n;
        if (n == 0)
            break;
    }
    assert_int_equal(n, 0);
    assert_true(size >= 17 && buffer[size - 14] == 7); /* the last frame is GOAWAY, without text */
}

static void a_reset_says_its_code(void **state)
{
    struct fixture *f = *state;
    static const uint8_t reset[] = { 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, H2_ENHANCE_YOUR_CALM };

    ask(f);
    turn(f);
    assert_int_equal(write(f->peers[0].fd, reset, sizeof reset), sizeof reset);
    turn(f);
    assert_int_equal(f->askers[0].error, -E_SERVER_RESET);
    assert_int_equal(f->askers[0].link->reset_code, H2_ENHANCE_YOUR_CALM);
    assert_true(link_has_written(f->askers[0].link));
    assert_false(link_has_read(f->askers[0].link));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_that_come_while_it_connects_share_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_connection_is_joined_by_another_and_then_links_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_that_gives_up_while_it_waits_leaves_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_server_did_not_begin_with_is_refused_and_the_rest_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_that_ends_fails_its_links_and_no_response_that_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_outlives_the_request_and_the_plan_that_began_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_refuses_at_once_is_an_error_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_connection_says_goaway_when_its_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reset_says_its_code, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
