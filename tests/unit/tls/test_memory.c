/* test_memory.c: the lists of freed blocks, as threads that serve have them in builds without sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"

#define PLAIN 0
#include "tls/memory.c" // NOLINT(bugprone-suspicious-include): with the classes, which sanitizers leave out

static void *get(size_t size)
{
    return allocate(size, __FILE__, __LINE__);
}

static void put(void *memory)
{
    release(memory, __FILE__, __LINE__);
}

static void a_class_fits_its_sizes_and_wastes_little(void **state)
{
    uint32_t former = 0;

    (void)state;
    for (size_t size = 0; size <= LARGE; size++) {
        uint32_t class = class_of(size);

        assert_in_range(class, former, former + 1); /* each class has sizes of its own, in their order */
        assert_true(class < CLASSES);
        assert_true(class_bytes(class) >= size && class_bytes(class) % STEP == 0);
        assert_true(class_bytes(class) - size < STEP || class_bytes(class) - size <= size / 4);
        former = class;
    }
    assert_int_equal(former, CLASSES - 1);
    assert_int_equal(class_of(LARGE + 1), NO_CLASS);
    assert_int_equal(class_of(SIZE_MAX), NO_CLASS);
    assert_null(get(SIZE_MAX));
}

static void blocks_are_aligned_and_hold_what_was_asked_for(void **state)
{
    static const size_t sizes[] = { 1, 15, 16, 17, 100, 1024, 1025, 4097, 16384 + 1024, LARGE, LARGE + 1, 1 << 20 };
    uint8_t *blocks[COUNT_OF(sizes)];

    (void)state;
    for (int round = 0; round < 2; round++) { /* fresh ones, then kept ones */
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            blocks[i] = get(sizes[i]);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)i, sizes[i]);
        }
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            assert_int_equal(blocks[i][0], i);
            assert_int_equal(blocks[i][sizes[i] - 1], i);
            put(blocks[i]);
        }
    }
    put(NULL);
}

static void a_freed_block_is_the_next_of_its_size(void **state)
{
    void *a = get(100), *b, *c;

    (void)state;
    put(a);
    b = get(110);
    c = get(110);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(b, c);
    put(b);
    put(c);
    assert_ptr_not_equal(a = get(200), b);
    put(a);
}

static void contents_move_along_when_a_block_grows_or_shrinks(void **state)
{
    static const size_t sizes[] = { 20, 30, 500, 5000, 100000, 200000, 600, 10 };
    char *block = resize(NULL, 16, __FILE__, __LINE__);

    (void)state;
    memcpy(block, "123456789", 10);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        block = resize(block, sizes[i], __FILE__, __LINE__);
        assert_non_null(block);
        assert_memory_equal(block, "123456789", 10);
        block[sizes[i] - 1] = 0;
        memcpy(block, "123456789", 10);
    }
    put(block);
}

static void no_more_is_kept_than_half_a_megabyte_and_nothing_in_other_threads(void **state)
{
    enum { COUNT = 100 };
    void *blocks[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = get(LARGE);
    for (size_t i = 0; i < COUNT; i++)
        put(blocks[i]);
    assert_in_range(mine.bytes, KEPT_MOST - LARGE, KEPT_MOST + LARGE);
    tls_memory_keep(false);
    assert_int_equal(mine.bytes, 0);
    put(get(100));
    assert_int_equal(mine.bytes, 0);
    assert_null(mine.kept[class_of(100)]);
}

static void what_is_freed_is_wiped_where_that_is_asked_for(void **state)
{
    static const char zeros[100];
    char *block = get(100);

    (void)state;
    memset(block, 1, 100);
    tls_memory_wipe_freed(true);
    put(block);
    tls_memory_wipe_freed(false);
    assert_ptr_equal(get(100), block);
    assert_memory_equal(block, zeros, sizeof zeros);
    put(block);
}

static int keep(void **state)
{
    (void)state;
    tls_memory_keep(true);
    return 0;
}

static int give_back(void **state)
{
    (void)state;
    tls_memory_keep(false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_class_fits_its_sizes_and_wastes_little),
        cmocka_unit_test_setup_teardown(blocks_are_aligned_and_hold_what_was_asked_for, keep, give_back),
        cmocka_unit_test_setup_teardown(a_freed_block_is_the_next_of_its_size, keep, give_back),
        cmocka_unit_test_setup_teardown(contents_move_along_when_a_block_grows_or_shrinks, keep, give_back),
        cmocka_unit_test_setup_teardown(no_more_is_kept_than_half_a_megabyte_and_nothing_in_other_threads, keep, give_back),
        cmocka_unit_test_setup_teardown(what_is_freed_is_wiped_where_that_is_asked_for, keep, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
