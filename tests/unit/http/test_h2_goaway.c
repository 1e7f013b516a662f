#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "http/h2.h"

/* A client whose server leaves before a request's head has left for it. */

static const uint8_t settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
static const uint8_t no_streams[] = { 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0 }; /* SETTINGS */
static const uint8_t goaway[] = { 0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 };

struct fixture {
    struct h2 *h2;
    struct arena arena;
    struct h2_stream stream;
    struct message request;
    size_t room;
    unsigned events;
};

static size_t room(void *user)
{
    const struct fixture *f = user;
    return f->room;
}

static int write_out(void *user, struct bytes head, struct bytes data)
{
    (void)user;
    (void)head;
    (void)data;
    return 0;
}

static void dirty(void *user)
{
    (void)user;
}

static uint64_t wire_out(void *user)
{
    (void)user;
    return 0;
}

static const struct h2_owner owner = { room, write_out, dirty, wire_out, NULL };

static void on_event(struct h2_stream *s)
{
    CONTAINER_OF(s, struct fixture, stream)->events++;
}

static int set_up(void **state)
{
    static struct fixture f;
    const struct h2_options options = {
        .role = H2_CLIENT,
        .limits = { .request_line = 200, .head = 2000, .fields = 20 },
        .scheme = BYTES_LITERAL("http"),
    };

    f = (struct fixture){ .room = 60000 };
    arena_init(&f.arena, NULL, 1 << 20);
    f.h2 = h2_new(&options, &owner, &f);
    assert_non_null(f.h2);
    h2_stream_init(&f.stream, &f.arena, on_event);
    message_init(&f.request, &f.arena);
    f.request.method = METHOD_GET;
    f.request.method_name = BYTES_LITERAL("GET");
    f.request.path = BYTES_LITERAL("/");
    f.request.authority = BYTES_LITERAL("a.test");
    assert_int_equal(h2_stream_open(f.h2, &f.stream), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    h2_stream_close(&f->stream, H2_CANCEL);
    h2_free(f->h2);
    arena_reset(&f->arena);
    return 0;
}

static void expect_not_begun(struct fixture *f)
{
    unsigned before = f->events;
    struct message m;

    assert_int_equal(h2_receive(f->h2, bytes_of(goaway, sizeof goaway), 1), 0);
    assert_int_equal(f->events, before + 1);
    assert_int_equal(f->stream.stream.ops->look_head(&f->stream.stream, &m), -E_RESET);
    assert_true(f->stream.unprocessed);
}

static void a_request_that_waits_for_room_was_not_begun_with(void **state)
{
    struct fixture *f = *state;
    struct stream *s = &f->stream.stream;

    assert_int_equal(h2_receive(f->h2, bytes_of(settings, sizeof settings), 1), 0);
    f->room = 0;
    assert_int_equal(s->ops->send_head(s, &f->request), -E_AGAIN);
    expect_not_begun(f);
    f->room = 60000;
    assert_int_equal(s->ops->send_head(s, &f->request), -E_RESET);
}

static void a_request_that_waits_for_a_stream_of_the_servers_was_not_begun_with(void **state)
{
    struct fixture *f = *state;
    struct stream *s = &f->stream.stream;

    assert_int_equal(h2_receive(f->h2, bytes_of(no_streams, sizeof no_streams), 1), 0);
    assert_int_equal(s->ops->send_head(s, &f->request), 0);
    expect_not_begun(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_that_waits_for_room_was_not_begun_with),
        TEST(a_request_that_waits_for_a_stream_of_the_servers_was_not_begun_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
