/* hex.h: bytes that are written as hexadecimal digits, with blanks where they please. */
#ifndef TESTS_TLS_HEX_H
#define TESTS_TLS_HEX_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

struct unhexed {
    size_t size;
    uint8_t at[1024];
};

static inline struct unhexed unhex(const char *text)
{
    struct unhexed out = { 0 };

    for (; *text; text++) {
        char digits[3] = { text[0], text[1] };
        if (*text == ' ')
            continue;
        assert_true(out.size < sizeof out.at && text[1]);
        out.at[out.size++] = (uint8_t)strtoul(digits, NULL, 16);
        text++;
    }
    return out;
}

#define UNHEX(text) (&(struct unhexed[]){ unhex(text) }[0])

static inline void assert_bytes(const void *at, size_t size, const char *hex)
{
    struct unhexed wanted = unhex(hex);

    assert_int_equal(size, wanted.size);
    assert_memory_equal(at, wanted.at, size);
}

#endif
