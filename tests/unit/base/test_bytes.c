#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/error.h"

static void views_compare(void **state)
{
    assert_true(bytes_equal(BYTES_LITERAL("abc"), bytes_of_text("abc")));
    assert_false(bytes_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("abd")));
    assert_false(bytes_equal(BYTES_LITERAL("abc"), BYTES_LITERAL("ab")));
    assert_true(bytes_equal(BYTES_NONE, BYTES_LITERAL("")));
    assert_true(bytes_equal(bytes_of_text(NULL), BYTES_NONE));
    assert_true(bytes_equal_text(BYTES_LITERAL("abc"), "abc"));
    assert_true(bytes_equal_nocase(BYTES_LITERAL("aBc-1"), BYTES_LITERAL("AbC-1")));
    assert_false(bytes_equal_nocase(BYTES_LITERAL("abc"), BYTES_LITERAL("abd")));
    assert_false(bytes_equal_nocase(BYTES_LITERAL("abc"), BYTES_LITERAL("ab")));
    /* '@' and '`', '[' and '{' differ in the bit that makes letters small */
    assert_false(bytes_equal_nocase(BYTES_LITERAL("@["), BYTES_LITERAL("`{")));
    assert_true(bytes_start_with(BYTES_LITERAL("abc"), BYTES_LITERAL("ab")));
    assert_true(bytes_start_with(BYTES_LITERAL("abc"), BYTES_NONE));
    assert_false(bytes_start_with(BYTES_LITERAL("a"), BYTES_LITERAL("ab")));
}

static void parts_never_leave_the_view(void **state)
{
    struct bytes b = BYTES_LITERAL("abcdef");

    assert_true(bytes_equal_text(bytes_part(b, 2, 3), "cde"));
    assert_true(bytes_equal_text(bytes_part(b, 4, 100), "ef"));
    assert_int_equal(bytes_part(b, 7, 1).size, 0);
    assert_int_equal(bytes_part(b, SIZE_MAX, SIZE_MAX).size, 0);
    assert_true(bytes_equal_text(bytes_from(b, 5), "f"));
    assert_int_equal(bytes_from(b, 6).size, 0);
}

static void bytes_are_found_and_trimmed(void **state)
{
    assert_int_equal(bytes_find(BYTES_LITERAL("abc"), 'c'), 2);
    assert_int_equal(bytes_find(BYTES_LITERAL("abc"), 'x'), 3);
    assert_int_equal(bytes_find(BYTES_NONE, 'x'), 0);
    assert_true(bytes_equal_text(bytes_trim(BYTES_LITERAL(" \t a b\t ")), "a b"));
    assert_int_equal(bytes_trim(BYTES_LITERAL(" \t ")).size, 0);
    assert_true(bytes_equal_text(bytes_trim(BYTES_LITERAL("\r\n")), "\r\n"));
}

static void numbers_are_digits_alone(void **state)
{
    static const char *const wrong[] = {
        "", "-1", "+1", "1 ", " 1", "0x1", "1a", "18446744073709551616", "99999999999999999999999", "256"
    };
    uint64_t number = 7;

    assert_int_equal(bytes_to_number(BYTES_LITERAL("0"), 0, &number), 0);
    assert_int_equal(number, 0);
    assert_int_equal(bytes_to_number(BYTES_LITERAL("00255"), 255, &number), 0);
    assert_int_equal(number, 255);
    assert_int_equal(bytes_to_number(BYTES_LITERAL("18446744073709551615"), UINT64_MAX, &number), 0);
    assert_true(number == UINT64_MAX);
    number = 7;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(bytes_to_number(bytes_of_text(wrong[i]), 255, &number), -E_SYNTAX);
    assert_int_equal(number, 7);
}

static void numbers_are_written_as_they_are_read(void **state)
{
    static const char *const texts[] = { "0", "9", "10", "443", "18446744073709551615" };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char digits[NUMBER_DIGITS];
        uint64_t number;

        assert_int_equal(bytes_to_number(bytes_of_text(texts[i]), UINT64_MAX, &number), 0);
        assert_true(bytes_equal_text(bytes_of_number(number, digits), texts[i]));
    }
}

static void a_cursor_reads_big_endian(void **state)
{
    static const uint8_t wire[] = { 1, 2, 3, 0xff, 5, 6, 7, 8, 9, 10, 0xfe, 2, 'h', 'i', 0, 1, 'x', 0, 0, 0 };
    struct cursor c = cursor_of(bytes_of(wire, sizeof(wire))), inner;

    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_u16(&c), 0x0203);
    assert_int_equal(cursor_u64(&c), 0xff05060708090afe);
    inner = cursor_vector(&c, 1);
    assert_int_equal(cursor_left(&inner), 2);
    assert_true(bytes_equal_text(cursor_bytes(&inner, 2), "hi"));
    inner = cursor_vector(&c, 2);
    assert_true(bytes_equal_text(cursor_bytes(&inner, 1), "x"));
    inner = cursor_vector(&c, 3);
    assert_int_equal(cursor_left(&inner), 0);
    assert_int_equal(cursor_left(&c), 0);
    assert_false(c.failed || inner.failed);
}

static void a_read_past_the_end_fails_for_good(void **state)
{
    static const uint8_t wire[] = { 9, 1, 2 };
    struct cursor c = cursor_of(bytes_of(wire, sizeof(wire))), inner;

    inner = cursor_vector(&c, 1);
    assert_true(c.failed && inner.failed);
    assert_int_equal(cursor_left(&inner), 0);
    assert_int_equal(cursor_u8(&c), 0);
    assert_int_equal(cursor_u16(&inner), 0);
    assert_null(cursor_bytes(&c, 0).at);
    c = cursor_of(bytes_of(wire, 3));
    assert_int_equal(cursor_u64(&c), 0);
    assert_true(c.failed);
}

static void a_number_is_written_as_it_is_read(void **state)
{
    static const uint8_t expected[] = { 0xff, 5, 6, 7, 8, 9, 10, 0xfe, 9, 10, 0xfe, 0xfe, 0x55 };
    uint8_t wire[13], *at = wire;

    memset(wire, 0x55, sizeof wire);
    at = bytes_put_number(at, 0xff05060708090afe, 8);
    at = bytes_put_number(at, 0xff05060708090afe, 3);
    at = bytes_put_number(at, 0xff05060708090afe, 1);
    assert_ptr_equal(at, wire + 12);
    assert_memory_equal(wire, expected, sizeof wire);
}

static void a_view_of_nothing_has_parts_and_can_be_read(void **state)
{
    struct cursor c = cursor_of(BYTES_NONE);

    assert_null(bytes_part(BYTES_NONE, 0, 1).at);
    assert_null(bytes_from(BYTES_NONE, 7).at);
    assert_int_equal(cursor_left(&c), 0);
    assert_int_equal(cursor_bytes(&c, 0).size, 0);
    assert_false(c.failed);
    assert_int_equal(cursor_u8(&c), 0);
    assert_true(c.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare),
        cmocka_unit_test(parts_never_leave_the_view),
        cmocka_unit_test(bytes_are_found_and_trimmed),
        cmocka_unit_test(numbers_are_written_as_they_are_read),
        cmocka_unit_test(a_view_of_nothing_has_parts_and_can_be_read),
        cmocka_unit_test(numbers_are_digits_alone),
        cmocka_unit_test(a_cursor_reads_big_endian),
        cmocka_unit_test(a_read_past_the_end_fails_for_good),
        cmocka_unit_test(a_number_is_written_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
