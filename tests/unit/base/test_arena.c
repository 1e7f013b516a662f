/* arena.c and slab.c */
#include "base/arena.h"

#include <setjmp.h>
#include <cmocka.h>


static void allocations_are_aligned_and_apart(void **state)
{
    struct arena a;
    uint8_t *last = NULL;

    arena_init(&a, NULL, SIZE_MAX);
    for (size_t i = 0; i < 2000; i++) {
        uint8_t *p = arena_alloc(&a, i % 40);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, last);
        memset(p, (int)i, i % 40);
        last = p;
    }
    arena_reset(&a);
    assert_int_equal(a.used, 0);
}

static void large_allocations_leave_the_block_in_use(void **state)
{
    struct arena a;
    uint8_t *small, *large, *next;

    arena_init(&a, NULL, SIZE_MAX);
    large = arena_alloc(&a, 100000); /* also as the first of all */
    memset(large, 1, 100000);
    small = arena_alloc(&a, 16);
    large = arena_alloc(&a, 100000);
    memset(large, 1, 100000);
    next = arena_alloc(&a, 16);
    assert_ptr_equal(next, small + 16);
    arena_reset(&a);
}

static void zeroed_memory_is_zero(void **state)
{
    static const uint8_t zeros[500];
    struct arena_cache cache = { 0 };
    struct arena a;

    arena_init(&a, &cache, SIZE_MAX);
    memset(arena_alloc(&a, 500), 0xff, 500);
    arena_reset(&a);
    assert_memory_equal(arena_zalloc(&a, 500), zeros, 500);
    arena_reset(&a);
    arena_cache_free(&cache);
}

static void the_limit_holds(void **state)
{
    struct arena a;

    arena_init(&a, NULL, 100);
    assert_non_null(arena_alloc(&a, 90));
    assert_null(arena_alloc(&a, 10));
    assert_null(arena_zalloc(&a, 10));
    assert_null(arena_text(&a, BYTES_LITERAL("0123456789")));
    assert_null(arena_copy(&a, BYTES_LITERAL("0123456789")).at);
    assert_null(arena_printf(&a, "%d", 5));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_text(&a, bytes_of("", SIZE_MAX)));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 90));
    arena_reset(&a);
}

static void texts_are_copied_and_terminated(void **state)
{
    struct arena a;
    struct bytes copy;

    arena_init(&a, NULL, SIZE_MAX);
    assert_string_equal(arena_text(&a, bytes_of("abc", 2)), "ab");
    assert_string_equal(arena_text(&a, BYTES_NONE), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "x", 7), "x-7");
    copy = arena_copy(&a, BYTES_LITERAL("abc"));
    assert_true(bytes_equal_text(copy, "abc"));
    copy = arena_copy(&a, BYTES_NONE);
    assert_non_null(copy.at);
    assert_int_equal(copy.size, 0);
    arena_reset(&a);
}

static void parts_are_joined_or_refused(void **state)
{
    struct bytes parts[] = { BYTES_LITERAL("ab"), BYTES_NONE, BYTES_LITERAL("c") };
    struct bytes huge[] = { BYTES_LITERAL("ab"), bytes_of("", SIZE_MAX) };
    struct arena a;

    arena_init(&a, NULL, 64);
    assert_true(bytes_equal_text(arena_join(&a, parts, 3), "abc"));
    assert_non_null(arena_join(&a, parts, 0).at);
    assert_null(arena_join(&a, huge, 2).at);
    while (arena_alloc(&a, 1))
        ;
    assert_null(arena_join(&a, parts, 3).at);
    arena_reset(&a);
}

static void blocks_wait_in_the_cache(void **state)
{
    struct arena_cache cache = { 0 };
    struct arena a, many[600];
    void *first;

    arena_init(&a, &cache, SIZE_MAX);
    first = arena_alloc(&a, 8);
    arena_reset(&a);
    assert_int_equal(cache.count, 1);
    assert_ptr_equal(arena_alloc(&a, 8), first);
    assert_int_equal(cache.count, 0);
    arena_reset(&a);
    for (size_t i = 0; i < 600; i++) {
        arena_init(&many[i], &cache, SIZE_MAX);
        assert_non_null(arena_alloc(&many[i], 8));
    }
    for (size_t i = 0; i < 600; i++)
        arena_reset(&many[i]);
    assert_int_equal(cache.count, 128); /* the rest went back */
    arena_cache_free(&cache);
    assert_int_equal(cache.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(large_allocations_leave_the_block_in_use),
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(texts_are_copied_and_terminated),
        cmocka_unit_test(parts_are_joined_or_refused),
        cmocka_unit_test(blocks_wait_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
