/* complain.c: how complaints look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "complaints.h"

static void assert_complaints(const char *yaml, const char *expected)
{
    char *text = complaints_about(yaml);
    assert_string_equal(text, expected);
    free(text);
}

static void columns_count_characters_and_tabs_as_one(void **state)
{
    assert_complaints("user: \"\xC3\xBC\"\nlimits: {\tsize: \"\xC3\xBC\xC3\xBC\" }\n",
                      "f:2:17: error: \"size\" must be a size in bytes, such as 512, 16k, 25M or 1G\n"
                      "    2 | limits: { size: \"\xC3\xBC\xC3\xBC\" }\n"
                      "      |                 ^^^^\n");
}

static void dos_line_ends_are_not_shown(void **state)
{
    assert_complaints("workers: x\r\n", "f:1:10: error: \"workers\" must be a whole number, or auto\n"
                                        "    1 | workers: x\n"
                                        "      |          ^\n");
}

static void long_lines_are_cut_around_the_place(void **state)
{
    char yaml[700], *text, *line;

    memset(yaml, ' ', sizeof yaml);
    memcpy(yaml, "limits: { \"size\": 16k, ", 23);
    memcpy(yaml + 300, "rate: x,", 8);
    yaml[600] = '}';
    yaml[601] = 0;
    text = complaints_about(yaml);
    assert_non_null(strstr(text, "f:1:307: error: \"rate\" must be"));
    line = strstr(text, "    1 | ...");
    assert_non_null(line);
    assert_true(strchr(line, '\n') - line < 170);
    line = strchr(line, '\n') + 1;
    assert_int_equal(strchr(line, '^') - line, (int)(strstr(text, "x,") - strstr(text, "    1 | ...")));
    free(text);
}

static void values_in_messages_are_cut_and_escaped(void **state)
{
    char *text = complaints_about("\"\\e[31m\\n\": 1\n");

    assert_non_null(strstr(text, "unknown key \"\\x1b[31m\\n\""));
    free(text);
    text = complaints_about("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xC3\xBC"
                            "bbbbbbbbbbbb: 1\n");
    assert_non_null(strstr(text, "unknown key \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" at"));
    free(text);
}

static void broken_text_cannot_reach_the_terminal(void **state)
{
    char *text = complaints_about("user: \xff\x1b[31m\n");

    assert_null(strchr(text, 0x1b));
    assert_null(strchr(text, 0xff));
    assert_non_null(strstr(text, "    1 | user: ??[31m\n"));
    free(text);
}

static void a_complaint_about_the_end_of_an_empty_file_has_no_excerpt(void **state)
{
    struct config *c = read_sample("");
    char *text;

    config_complain(c, COMPLAINT_WARNING, NULL, "nothing here\nsecond line\nthird line");
    text = printed(c);
    assert_string_equal(text, "f: warning: nothing here\n      = second line\n      = third line\n");
    assert_int_equal(config_warning_count(c), 1);
    assert_int_equal(config_error_count(c), 0);
    free(text);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_count_characters_and_tabs_as_one),
        cmocka_unit_test(dos_line_ends_are_not_shown),
        cmocka_unit_test(long_lines_are_cut_around_the_place),
        cmocka_unit_test(values_in_messages_are_cut_and_escaped),
        cmocka_unit_test(broken_text_cannot_reach_the_terminal),
        cmocka_unit_test(a_complaint_about_the_end_of_an_empty_file_has_no_excerpt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
