#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "tls/random.h"

static void no_bytes_are_given_twice_across_the_ends_of_blocks(void **state)
{
    static uint8_t drawn[1000][16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(random_bytes(drawn[i], sizeof drawn[i]), 0);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(drawn[i], drawn[j], sizeof drawn[i]);
    }
}

static void more_than_a_block_comes_whole(void **state)
{
    static uint8_t once[10000], twice[10000];
    size_t zeros = 0;

    (void)state;
    assert_int_equal(random_bytes(once, sizeof once), 0);
    assert_int_equal(random_bytes(twice, sizeof twice), 0);
    assert_memory_not_equal(once, twice, sizeof once);
    for (size_t i = 0; i < sizeof once; i++)
        zeros += once[i] == 0;
    assert_in_range(zeros, 1, 200); /* about 39 of 10,000 */
}

static void nothing_asked_is_nothing_written(void **state)
{
    uint8_t byte = 7;

    (void)state;
    assert_int_equal(random_bytes(&byte, 0), 0);
    assert_int_equal(byte, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bytes_are_given_twice_across_the_ends_of_blocks),
        cmocka_unit_test(more_than_a_block_comes_whole),
        cmocka_unit_test(nothing_asked_is_nothing_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
