#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/recycle.h"

/* Sanitizers are to see each allocation, so that nothing waits then. */
static bool waits(void)
{
    void *block;
    bool kept;

    recycle_keep(true);
    block = recycle_alloc(100);
    recycle_free(block);
    kept = recycle_kept() != 0;
    recycle_keep(false);
    return kept;
}

static void blocks_are_apart_aligned_and_theirs(void **state)
{
    static uint8_t *blocks[2000];

    (void)state;
    recycle_keep(true);
    for (size_t round = 0; round < 3; round++) {
        for (size_t size = 0; size < 2000; size++) {
            blocks[size] = size % 2 ? recycle_alloc(size) : recycle_alloc_zeroed(size, 1);
            assert_non_null(blocks[size]);
            assert_int_equal((uintptr_t)blocks[size] % 16, 0);
            for (size_t at = 0; size % 2 == 0 && at < size; at++)
                assert_int_equal(blocks[size][at], 0);
            memset(blocks[size], (int)size, size);
        }
        for (size_t size = 0; size < 2000; size++) {
            for (size_t at = 0; at < size; at++)
                assert_int_equal(blocks[size][at], (uint8_t)size);
            recycle_free(blocks[size]);
        }
        assert_true(recycle_kept() <= RECYCLE_MOST);
    }
    recycle_keep(false);
    assert_int_equal(recycle_kept(), 0);
}

static void what_was_freed_serves_again(void **state)
{
    void *first, *second;

    (void)state;
    if (!waits())
        return; /* a sanitizer's build: the others see to it */
    recycle_keep(true);
    first = recycle_alloc(100);
    recycle_free(first);
    second = recycle_alloc(110); /* of the same class */
    assert_ptr_equal(first, second);
    assert_int_equal(recycle_kept(), 0);
    recycle_free(second);
    recycle_keep(false);
}

static void a_block_keeps_its_content_when_it_is_resized(void **state)
{
    static const size_t sizes[] = { 10, 16, 17, 1000, 1024, 1025, 70000, 3000, 20, 1 };
    uint8_t *block = NULL;
    size_t before = 0;

    (void)state;
    recycle_keep(true);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        block = recycle_resize(block, sizes[i]);
        assert_non_null(block);
        for (size_t at = 0; at < before && at < sizes[i]; at++)
            assert_int_equal(block[at], (uint8_t)(at * 7));
        for (size_t at = 0; at < sizes[i]; at++)
            block[at] = (uint8_t)(at * 7);
        before = sizes[i];
    }
    recycle_free(block);
    recycle_free(NULL);
    recycle_keep(false);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_null(recycle_alloc(SIZE_MAX - 8));
    assert_null(recycle_alloc_zeroed(SIZE_MAX / 2, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_apart_aligned_and_theirs),
        cmocka_unit_test(what_was_freed_serves_again),
        cmocka_unit_test(a_block_keeps_its_content_when_it_is_resized),
        cmocka_unit_test(sizes_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
