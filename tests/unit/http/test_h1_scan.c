#include "h1_test.h"

static int scan(const char *text, bool is_request, uint32_t line, uint32_t head, uint32_t fields)
{
    struct h1_limits limits = { line, head, fields };

    return test_scan_any(bytes_of_text(text), is_request, &limits);
}

static void the_end_of_a_head_is_found_however_the_bytes_come(void **state)
{
    assert_int_equal(scan("GET / HTTP/1.1\r\n\r\n", true, 99, 99, 9), 18);
    assert_int_equal(scan("GET / HTTP/1.1\r\nA: b\r\n\r\n", true, 99, 99, 9), 24);
    assert_int_equal(scan("GET / HTTP/1.1\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r\n", true, 99, 99, 9), 24);
    assert_int_equal(scan("\r\nGET / HTTP/1.1\r\n\r\n", true, 99, 99, 9), 20);
    assert_int_equal(scan("HTTP/1.1 200 OK\r\nA: b\r\n\r\n\x01\n", false, 99, 99, 9), 25);
}

static void an_unfinished_head_asks_for_more(void **state)
{
    static const char *const unfinished[] = { "\r",
                                              "\r\n",
                                              "\r\nG",
                                              "GET / HTTP/1.1",
                                              "GET / HTTP/1.1\r",
                                              "GET / HTTP/1.1\r\n",
                                              "GET / HTTP/1.1\r\n\r",
                                              "GET / HTTP/1.1\r\nA: b\r\n\r" };

    for (size_t i = 0; i < COUNT_OF(unfinished); i++)
        assert_int_equal(scan(unfinished[i], true, 99, 99, 9), -E_AGAIN);
    struct h1_scan s = { 0 };
    assert_int_equal(h1_head_scan(&s, BYTES_NONE, true, &test_limits), -E_AGAIN);
}

static void control_bytes_are_refused_at_every_place(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nName: value, longer than sixteen bytes\r\n\r\n";

    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (int c = 0; c < 256; c++) {
            char copy[sizeof(text)];
            bool control = (c < 0x20 && c != '\t') || c == 0x7f, line_end = text[at] == '\r' || text[at] == '\n';

            memcpy(copy, text, sizeof(text));
            copy[at] = (char)c;
            if (copy[at] == text[at] || (at == 0 && c == '\r'))
                continue;
            struct h1_scan s = { 0 };
            int result = h1_head_scan(&s, bytes_of(copy, sizeof(text) - 1), true, &test_limits);
            if (control || line_end)
                assert_true(result == -E_SYNTAX || (result == -E_AGAIN && at == sizeof(text) - 3));
            else
                assert_int_equal(result, sizeof(text) - 1);
        }
    }
}

static void an_empty_line_comes_in_front_of_a_request_at_most_once(void **state)
{
    assert_int_equal(scan("\r\n\r\nGET / HTTP/1.1\r\n\r\n", true, 99, 99, 9), -E_SYNTAX);
    assert_int_equal(scan("\r\nHTTP/1.1 200 OK\r\n\r\n", false, 99, 99, 9), -E_SYNTAX);
}

static void a_long_request_line_is_refused_as_soon_as_it_is_too_long(void **state)
{
    assert_int_equal(scan("GET / HTTP/1.1\r\n\r\n", true, 14, 99, 9), 18);
    assert_int_equal(scan("\r\nGET / HTTP/1.1\r\n\r\n", true, 14, 99, 9), 20);
    assert_int_equal(scan("GET / HTTP/1.1\r\n\r\n", true, 13, 99, 9), -E_URI_TOO_LONG);
    assert_int_equal(scan("GET / HTTP/1.1", true, 13, 99, 9), -E_URI_TOO_LONG);
    assert_int_equal(scan("GET / HTTP/1.1", true, 14, 99, 9), -E_AGAIN);
    assert_int_equal(scan("GET / HTTP/1.1\n", true, 13, 99, 9), -E_URI_TOO_LONG);
    assert_int_equal(scan("HTTP/1.1 200 OK\r\n\r\n", false, 3, 99, 9), 19);
    assert_int_equal(scan("GET / HTTP/1.1\r\nA-long-field: 123456789\r\n\r\n", true, 14, 99, 9), 43);
}

static void a_large_head_is_refused_as_soon_as_it_is_too_large(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nA: b\r\n\r\n";

    assert_int_equal(scan(text, true, 99, 24, 9), 24);
    for (uint32_t limit = 0; limit < 24; limit++)
        assert_int_equal(scan(text, true, 99, limit, 9), -E_HEAD_TOO_LARGE);
    struct h1_limits limits = { 99, 20, 9 };
    assert_int_equal(test_scan(bytes_part(bytes_of_text(text), 0, 20), 1, true, &limits), -E_HEAD_TOO_LARGE);
    assert_int_equal(test_scan(bytes_part(bytes_of_text(text), 0, 19), 1, true, &limits), -E_AGAIN);
    assert_int_equal(scan("GET / HTTP/1.1\r\nA: bbbbbbbbbbbbbbbb\n", true, 99, 20, 9), -E_HEAD_TOO_LARGE);
}

static void too_many_fields_are_refused(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nA: b\r\nA: b\r\n\r\n";

    assert_int_equal(scan(text, true, 99, 99, 2), 30);
    assert_int_equal(scan(text, true, 99, 99, 1), -E_HEAD_TOO_LARGE);
    assert_int_equal(scan("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\n\r\n", false, 99, 99, 1), -E_HEAD_TOO_LARGE);
    assert_int_equal(scan("GET / HTTP/1.1\r\n\r\n", true, 99, 99, 0), 18);
    struct h1_limits one = { 99, 99, 1 };
    struct arena arena;
    struct message m;
    arena_init(&arena, NULL, SIZE_MAX);
    message_init(&m, &arena);
    assert_int_equal(h1_parse_request(bytes_of_text(text), &one, &m), -E_HEAD_TOO_LARGE);
    one = (struct h1_limits){ 99, 20, 9 };
    assert_int_equal(h1_parse_request(bytes_of_text(text), &one, &m), -E_HEAD_TOO_LARGE);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_of_a_head_is_found_however_the_bytes_come),
        cmocka_unit_test(an_unfinished_head_asks_for_more),
        cmocka_unit_test(control_bytes_are_refused_at_every_place),
        cmocka_unit_test(an_empty_line_comes_in_front_of_a_request_at_most_once),
        cmocka_unit_test(a_long_request_line_is_refused_as_soon_as_it_is_too_long),
        cmocka_unit_test(a_large_head_is_refused_as_soon_as_it_is_too_large),
        cmocka_unit_test(too_many_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
