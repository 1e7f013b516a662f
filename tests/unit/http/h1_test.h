/* h1_test.h: what the tests of the HTTP/1 codec share: parsing a text in one go and byte by byte, and a message as a
 * line of text that can be compared. */
#ifndef TESTS_H1_TEST_H
#define TESTS_H1_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "http/h1.h"

static const struct h1_limits test_limits = { .request_line = 8192, .head = 16384, .fields = 100 };

/* Scans text as if it came in pieces of `step` bytes. Returns what h1_head_scan said last. */
static inline int test_scan(struct bytes text, size_t step, bool is_request, const struct h1_limits *limits)
{
    struct h1_scan scan = { 0 };
    int result = -E_AGAIN;

    for (size_t have = 0; have < text.size && result == -E_AGAIN;) {
        have += step < text.size - have ? step : text.size - have;
        /* a copy of exactly this size, so that a sanitizer sees every byte read too far */
        uint8_t *copy = test_malloc(have);
        memcpy(copy, text.at, have);
        result = h1_head_scan(&scan, bytes_of(copy, have), is_request, limits);
        test_free(copy);
    }
    return result;
}

/* The scan's result, after checking that it does not depend on how the bytes came. */
static inline int test_scan_any(struct bytes text, bool is_request, const struct h1_limits *limits)
{
    int result = test_scan(text, text.size ? text.size : 1, is_request, limits);

    for (size_t step = 1; step <= 3; step++)
        assert_int_equal(test_scan(text, step, is_request, limits), result);
    return result;
}

static inline int test_request(struct bytes text, const struct h1_limits *limits, struct message *m)
{
    int head = test_scan_any(text, true, limits);

    return head < 0 ? head : h1_parse_request(bytes_part(text, 0, (size_t)head), limits, m);
}

static inline int test_response(struct bytes text, enum http_method method, struct message *m)
{
    int head = test_scan_any(text, false, &test_limits);

    return head < 0 ? head : h1_parse_response(bytes_part(text, 0, (size_t)head), &test_limits, method, m);
}

static inline void test_append(char *out, size_t room, const char *format, ...)
{
    size_t used = strlen(out);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(out + used, room - used, format, arguments);
    va_end(arguments);
}

/* "GET https://host /path 1.1 persistent length=5 upgrade=websocket | name: value | ..." and the like. */
static inline const char *test_describe(const struct message *m)
{
    static char out[70000];
    static const char *const bodies[] = { "", " body=length", " body=streamed", " body=to-close" };

    out[0] = 0;
    if (m->status)
        test_append(out, sizeof(out), "%d %.*s", m->status, BYTES_PRINT(m->reason));
    else
        test_append(out, sizeof(out), "%.*s %.*s%s%.*s %.*s", BYTES_PRINT(m->method_name), BYTES_PRINT(m->scheme),
                    m->scheme.size ? "://" : "", BYTES_PRINT(m->authority), BYTES_PRINT(m->path));
    test_append(out, sizeof(out), " %d.%d%s", m->version / 10, m->version % 10, bodies[m->body]);
    if (m->has_length)
        test_append(out, sizeof(out), " length=%llu", (unsigned long long)m->length);
    test_append(out, sizeof(out), "%s%s%s", m->persistent ? " persistent" : "", m->expect_continue ? " continue" : "",
                m->te_trailers ? " trailers" : "");
    if (m->upgrade.size)
        test_append(out, sizeof(out), " upgrade=%.*s", BYTES_PRINT(m->upgrade));
    for (uint32_t i = 0; i < m->fields.count; i++)
        test_append(out, sizeof(out), " | %.*s: %.*s", BYTES_PRINT(m->fields.at[i].name),
                    BYTES_PRINT(m->fields.at[i].value));
    return out;
}

#endif
