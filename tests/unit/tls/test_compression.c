#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "undo_compression.h"

enum { MOST = 20000 };

static uint8_t plain[MOST], small[2 * MOST], again[MOST + 1];

/* Half of it repeats, like names in a chain; half does not, like keys. */
static void fill(size_t bytes)
{
    uint32_t x = 7;

    for (size_t i = 0; i < bytes; i++) {
        x = x * 1664525 + 1013904223;
        plain[i] = i / 64 % 2 ? (uint8_t)(x >> 24) : (uint8_t)"O=Example, C=XX "[i % 16];
    }
}

static void what_was_compressed_comes_back(void **state)
{
    static const size_t sizes[] = { 1, 2, 100, 1000, 4096, MOST };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (enum compression how = COMPRESSION_ZLIB; how <= COMPRESSION_ZSTD; how++) {
            size_t n;

            fill(sizes[i]);
            n = compress_bytes(how, bytes_of(plain, sizes[i]), small, sizeof small);
            assert_true(n > 0);
            if (sizes[i] >= 1000)
                assert_true(n < sizes[i] * 3 / 4);
            assert_int_equal(undo_compression(how, bytes_of(small, n), again, sizeof again), sizes[i]);
            assert_memory_equal(plain, again, sizes[i]);
        }
}

static void what_does_not_fit_is_none_and_nothing_is_written_behind_the_room(void **state)
{
    for (enum compression how = COMPRESSION_ZLIB; how <= COMPRESSION_ZSTD; how++) {
        size_t needed, n;
        uint8_t *room;

        fill(3000);
        needed = compress_bytes(how, bytes_of(plain, 3000), small, sizeof small);
        assert_true(needed > 0);
        room = malloc(needed / 2); /* the address sanitizer sees its end */
        n = compress_bytes(how, bytes_of(plain, 3000), room, needed / 2);
        assert_int_equal(n, 0);
        free(room);
    }
}

static void no_compression_is_none(void **state)
{
    assert_int_equal(compress_bytes(COMPRESSION_NONE, BYTES_LITERAL("text"), small, sizeof small), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_compressed_comes_back),
        cmocka_unit_test(what_does_not_fit_is_none_and_nothing_is_written_behind_the_room),
        cmocka_unit_test(no_compression_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
