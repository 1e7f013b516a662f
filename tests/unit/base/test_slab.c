#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/slab.h"

enum { OBJECT = 200, MANY = 3000 };

static void what_was_put_comes_back_zeroed(void **state)
{
    static const uint8_t zeros[OBJECT];
    struct slab s = { .object_bytes = OBJECT, .keep = 100 };
    void *objects[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        objects[i] = slab_get(&s);
        assert_memory_equal(objects[i], zeros, OBJECT);
        memset(objects[i], 0xff, OBJECT);
    }
    for (size_t i = 0; i < 3; i++)
        slab_put(&s, objects[i]);
    assert_ptr_equal(slab_get(&s), objects[2]); /* the warmest */
    assert_memory_equal(objects[2], zeros, OBJECT);
    slab_put(&s, objects[2]);
    slab_put(&s, NULL);
    slab_clear(&s);
}

static void objects_are_apart_and_aligned(void **state)
{
    struct slab s = { .object_bytes = OBJECT - 3 };
    static uint8_t *objects[MANY];

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        objects[i] = slab_get(&s);
        assert_int_equal((uintptr_t)objects[i] % 16, 0);
        memset(objects[i], (int)i, OBJECT - 3);
    }
    for (size_t i = 0; i < MANY; i++)
        for (size_t at = 0; at < OBJECT - 3; at++)
            assert_int_equal(objects[i][at], (uint8_t)i);
    for (size_t i = 0; i < MANY; i++)
        slab_put(&s, objects[i]);
    slab_clear(&s);
}

/* In any order: what is used again lies in chunks that are in use, and the others go back. */
static void chunks_without_an_object_go_back_but_for_some(void **state)
{
    struct slab s = { .object_bytes = OBJECT, .keep = 700 };
    static void *objects[MANY];

    (void)state;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++)
            objects[i] = slab_get(&s);
        for (size_t i = 0; i < MANY; i += 2)
            slab_put(&s, objects[i]);
        for (size_t i = 0; i < MANY; i += 2)
            objects[i] = slab_get(&s);
        assert_int_equal(s.spare_objects, 0);
        for (size_t i = 0; i < MANY; i++)
            slab_put(&s, objects[i * 7 % MANY]);
        assert_null(s.open);
        assert_true(s.spare_objects > 0 && s.spare_objects <= 700);
    }
    slab_clear(&s);
    assert_null(s.spare);
}

/* The steady state of one object that comes and goes allocates nothing. */
static void one_chunk_is_kept_always(void **state)
{
    struct slab s = { .object_bytes = OBJECT, .keep = 0 };
    void *object = slab_get(&s);

    (void)state;
    slab_put(&s, object);
    assert_non_null(s.spare);
    assert_ptr_equal(slab_get(&s), object);
    slab_put(&s, object);
    slab_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_comes_back_zeroed),
        cmocka_unit_test(objects_are_apart_and_aligned),
        cmocka_unit_test(chunks_without_an_object_go_back_but_for_some),
        cmocka_unit_test(one_chunk_is_kept_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
