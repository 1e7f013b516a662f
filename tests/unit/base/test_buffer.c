#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct buffer_pool *pool;

static int set_up(void **state)
{
    pool = buffer_pool_new(2 * BUFFER_LARGE);
    return pool ? 0 : -1;
}

static int tear_down(void **state)
{
    assert_int_equal(buffer_pool_lent(pool), 0);
    buffer_pool_free(pool);
    return 0;
}

static void an_empty_buffer_has_no_storage(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_used(&b), 0);
    assert_int_equal(buffer_room(&b), 0);
    buffer_settle(pool, &b);
    buffer_drop(pool, &b);
    assert_null(b.data);
    assert_int_equal(buffer_pool_lent(pool), 0);
}

static void content_comes_out_as_it_went_in(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("hello ")), 0);
    assert_int_equal(buffer_append(pool, &b, BYTES_NONE), 0);
    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("world")), 0);
    assert_true(bytes_equal_text(buffer_content(&b), "hello world"));
    buffer_consume(&b, 6);
    assert_true(bytes_equal_text(buffer_content(&b), "world"));
    assert_int_equal(buffer_pool_lent(pool), BUFFER_LARGE);
    buffer_consume(&b, 5);
    assert_int_equal(buffer_used(&b), 0);
    assert_int_equal(buffer_room(&b), BUFFER_LARGE);
    buffer_settle(pool, &b);
    assert_null(b.data);
}

static void what_is_cut_out_is_missing_and_nothing_else(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("xhello world")), 0);
    buffer_consume(&b, 1);
    buffer_cut(&b, 5, 6);
    assert_true(bytes_equal_text(buffer_content(&b), "hello"));
    buffer_cut(&b, 1, 2);
    buffer_cut(&b, 1, 0);
    assert_true(bytes_equal_text(buffer_content(&b), "hlo"));
    buffer_cut(&b, 0, 3);
    assert_int_equal(buffer_used(&b), 0);
    buffer_drop(pool, &b);
}

static void a_short_content_settles_into_small_storage(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("xhead")), 0);
    buffer_consume(&b, 1);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_TINY);
    assert_int_equal(buffer_pool_lent(pool), BUFFER_TINY);
    assert_true(bytes_equal_text(buffer_content(&b), "head"));
    buffer_settle(pool, &b);
    assert_int_equal(buffer_reserve(pool, &b), 0);
    memset(b.data + b.end, 'x', BUFFER_TINY);
    buffer_commit(&b, BUFFER_TINY);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_SMALL);
    buffer_consume(&b, BUFFER_TINY);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_TINY);
    buffer_consume(&b, 4);
    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("head")), 0);
    assert_int_equal(buffer_reserve(pool, &b), 0);
    assert_int_equal(b.size, BUFFER_LARGE);
    assert_true(bytes_equal_text(buffer_content(&b), "head"));
    buffer_drop(pool, &b);
}

static void a_long_content_stays_where_it_is(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_reserve(pool, &b), 0);
    memset(b.data, 'x', BUFFER_SMALL + 1);
    buffer_commit(&b, BUFFER_SMALL + 1);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_LARGE);
    buffer_drop(pool, &b);
}

static void bulk_is_lent_up_to_a_number_and_large_storage_then(void **state)
{
    static struct buffer b[BUFFER_BULK_LENT + 1];

    for (size_t i = 0; i < BUFFER_BULK_LENT; i++) {
        assert_true(buffer_pool_lends_bulk(pool));
        assert_int_equal(buffer_reserve_bulk(pool, &b[i]), 0);
        assert_int_equal(b[i].size, BUFFER_BULK);
    }
    assert_false(buffer_pool_lends_bulk(pool));
    assert_int_equal(buffer_reserve_bulk(pool, &b[BUFFER_BULK_LENT]), 0);
    assert_int_equal(b[BUFFER_BULK_LENT].size, BUFFER_LARGE);
    buffer_drop(pool, &b[0]);
    assert_int_equal(buffer_reserve_bulk(pool, &b[BUFFER_BULK_LENT]), 0);
    assert_int_equal(b[BUFFER_BULK_LENT].size, BUFFER_BULK);
    for (size_t i = 0; i <= BUFFER_BULK_LENT; i++)
        buffer_drop(pool, &b[i]);
    assert_int_equal(buffer_pool_lent(pool), 0);
}

static void bulk_settles_into_what_its_content_needs(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("xhead")), 0);
    buffer_consume(&b, 1);
    assert_int_equal(buffer_reserve_bulk(pool, &b), 0);
    assert_int_equal(buffer_room(&b), BUFFER_BULK - 4);
    assert_true(bytes_equal_text(buffer_content(&b), "head"));
    memset(b.data + b.end, 'x', BUFFER_LARGE);
    buffer_commit(&b, BUFFER_LARGE);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_BULK);
    buffer_consume(&b, 4);
    buffer_settle(pool, &b);
    assert_int_equal(b.size, BUFFER_LARGE);
    buffer_consume(&b, BUFFER_LARGE);
    buffer_settle(pool, &b);
    assert_null(b.data);
}

static void a_full_buffer_takes_all_or_nothing(void **state)
{
    struct buffer b = { 0 };

    assert_int_equal(buffer_reserve(pool, &b), 0);
    memset(b.data, 'x', b.size);
    buffer_commit(&b, b.size - 2u);
    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("abc")), -E_LIMIT);
    assert_int_equal(buffer_used(&b), BUFFER_LARGE - 2);
    buffer_consume(&b, 1); /* the room in front counts */
    assert_int_equal(buffer_append(pool, &b, BYTES_LITERAL("abc")), 0);
    assert_int_equal(buffer_used(&b), BUFFER_LARGE);
    assert_int_equal(buffer_room(&b), 0);
    assert_int_equal(buffer_reserve(pool, &b), 0);
    assert_int_equal(buffer_room(&b), 0);
    buffer_consume(&b, 10);
    assert_int_equal(buffer_reserve(pool, &b), 0); /* moved to the front */
    assert_int_equal(buffer_room(&b), 10);
    assert_true(bytes_equal_text(bytes_from(buffer_content(&b), BUFFER_LARGE - 13), "abc"));
    buffer_drop(pool, &b);
}

static void storage_is_kept_up_to_the_pools_limit(void **state)
{
    struct buffer b[4] = { { 0 } };
    uint8_t *last;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(buffer_reserve(pool, &b[i]), 0);
    assert_int_equal(buffer_pool_lent(pool), 4 * BUFFER_LARGE);
    last = b[1].data;
    for (size_t i = 0; i < 4; i++)
        buffer_drop(pool, &b[i]);
    assert_int_equal(buffer_pool_lent(pool), 0);
    assert_int_equal(buffer_reserve(pool, &b[0]), 0);
    assert_ptr_equal(b[0].data, last); /* the last that was kept comes first */
    buffer_drop(pool, &b[0]);
    buffer_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_buffer_has_no_storage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(content_comes_out_as_it_went_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_cut_out_is_missing_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_content_settles_into_small_storage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_content_stays_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bulk_is_lent_up_to_a_number_and_large_storage_then, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bulk_settles_into_what_its_content_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_buffer_takes_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(storage_is_kept_up_to_the_pools_limit, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
