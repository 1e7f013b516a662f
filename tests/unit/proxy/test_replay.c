#include "proxy/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void what_was_kept_is_there_again_in_order(void **state)
{
    struct replay r = { 0 };

    replay_keep(&r, BYTES_LITERAL("hello, "), 0);
    replay_keep(&r, BYTES_LITERAL("world"), 7);
    assert_int_equal(r.size, 12);
    assert_int_equal(replay_left(&r).size, 0);
    r.sent = 0;
    assert_true(bytes_equal_text(replay_left(&r), "hello, world"));
    r.sent = 7;
    assert_true(bytes_equal_text(replay_left(&r), "world"));
    replay_drop(&r);
    assert_int_equal(replay_left(&r).size, 0);
}

static void what_lacks_its_beginning_is_not_kept(void **state)
{
    struct replay r = { 0 };

    replay_keep(&r, BYTES_LITERAL("behind"), 100);
    assert_int_equal(r.size, 0);
    assert_null(r.at);
}

static void too_much_gives_all_of_it_up_for_good(void **state)
{
    struct replay r = { 0 };
    uint8_t *piece = calloc(1, 40000);
    uint64_t taken = 0;

    for (int i = 0; i < 3; i++, taken += 40000)
        replay_keep(&r, bytes_of(piece, 40000), taken);
    assert_int_equal(r.size, 0);
    assert_null(r.at);
    replay_keep(&r, bytes_of(piece, 10), taken);
    assert_int_equal(r.size, 0);
    free(piece);
    replay_drop(&r);
}

static void the_limit_itself_is_kept(void **state)
{
    struct replay r = { 0 };
    uint8_t *piece = calloc(1, REPLAY_MOST);

    replay_keep(&r, bytes_of(piece, 1), 0);
    replay_keep(&r, bytes_of(piece, REPLAY_MOST - 1), 1);
    assert_int_equal(r.size, REPLAY_MOST);
    replay_keep(&r, bytes_of(piece, 1), REPLAY_MOST);
    assert_int_equal(r.size, 0);
    free(piece);
    replay_drop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_there_again_in_order),
        cmocka_unit_test(what_lacks_its_beginning_is_not_kept),
        cmocka_unit_test(too_much_gives_all_of_it_up_for_good),
        cmocka_unit_test(the_limit_itself_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
