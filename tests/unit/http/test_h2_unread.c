#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "http/h2.h"

/* A client that sends and does not read: beyond its preface, nothing leaves for it. */

enum { STREAMS = 10, HEADS_MOST = 3500 /* within the budget for heads */ };

static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";

struct fixture {
    struct h2 *h2;
    struct arena arena;
    struct h2_stream streams[STREAMS];
    unsigned count;
    size_t room;
};

static size_t room(void *user)
{
    const struct fixture *f = user;
    return f->room;
}

static int write_out(void *user, struct bytes head, struct bytes data)
{
    struct fixture *f = user;

    assert_true(head.size + data.size <= f->room);
    f->room -= head.size + data.size;
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

static struct h2_stream *accept_stream(void *user)
{
    struct fixture *f = user;
    struct h2_stream *s = &f->streams[f->count++];

    assert_true(f->count <= STREAMS);
    h2_stream_init(s, &f->arena, NULL);
    return s;
}

static const struct h2_owner owner = { room, write_out, dirty, wire_out, accept_stream };

static int set_up(void **state)
{
    static struct fixture f;
    const struct h2_options options = {
        .role = H2_SERVER,
        .limits = { .request_line = 200, .head = 2000, .fields = 20 },
        .streams_most = STREAMS,
    };

    f = (struct fixture){ .room = 1000 };
    arena_init(&f.arena, NULL, 1 << 20);
    f.h2 = h2_new(&options, &owner, &f);
    assert_non_null(f.h2);
    assert_int_equal(h2_receive(f.h2, bytes_of(preface, sizeof preface), 1), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    h2_free(f->h2);
    arena_reset(&f->arena);
    return 0;
}

/* A request on that stream, whose content is to come. */
static int ask(struct fixture *f, uint32_t id)
{
    uint8_t frame[] = { 0, 0, 6, 1, 4, 0, 0, (uint8_t)(id >> 8), (uint8_t)id, 0x82, 0x87, 0x84, 0x01, 1, 'a' };
    return h2_receive(f->h2, bytes_of(frame, sizeof frame), 1);
}

static void who_reads_no_refusals_is_not_told_them_without_end(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0;
    int error = 0;

    f->room = 0;
    while (!error && asked < HEADS_MOST)
        error = ask(f, 2 * asked++ + 1);
    assert_int_equal(f->count, STREAMS);
    assert_int_equal(error, -E_FLOOD);
    assert_string_equal(h2_flood(f->h2), "answers that are not read");
    assert_true(asked < 1200);
}

static void who_reads_them_may_go_on(void **state)
{
    struct fixture *f = *state;

    for (unsigned asked = 0; asked < 200; asked++) {
        f->room = 1000;
        assert_int_equal(ask(f, 2 * asked + 1), 0);
    }
    assert_int_equal(f->count, STREAMS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(who_reads_no_refusals_is_not_told_them_without_end),
        TEST(who_reads_them_may_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
