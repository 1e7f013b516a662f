/* value.c and number.c: scalars of every type, and what is said about wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "config/number.h"
#include "config/value.h"
#include "sample.h"

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    arena_reset(&arena);
    return 0;
}

/* What is wrong with a scalar for the row, or NULL; the value goes to *field. */
static const char *read_styled(const struct option *row, const char *text, bool is_plain, void *field)
{
    struct yaml_node node;

    yaml_plain_scalar(text, &node);
    node.is_plain = is_plain;
    return value_read(&arena, row, &node, field);
}

static void assert_numbers(enum option_type type, const char *text, uint64_t expected)
{
    struct option row = { .name = "x", .type = type };
    uint64_t value = 1;
    const char *problem = read_styled(&row, text, true, &value);

    if (problem)
        print_error("%s: %s\n", text, problem);
    assert_null(problem);
    assert_int_equal(value, expected);
}

static void assert_problem(const struct option *row, const char *text, const char *expected)
{
    union {
        uint64_t number;
        struct option_endpoint endpoint;
        struct option_network network;
        struct option_file file;
    } value = { .number = 0 }, untouched = value;
    const char *problem = read_styled(row, text, true, &value);

    if (!problem || !strstr(problem, expected))
        print_error("%s: expected \"%s\", got \"%s\"\n", text, expected, problem ? problem : "no problem");
    assert_non_null(problem);
    assert_non_null(strstr(problem, expected));
    assert_memory_equal(&value, &untouched, sizeof(value));
}

static void assert_wrong(enum option_type type, const char *text, const char *expected)
{
    struct option row = { .name = "x", .type = type };
    assert_problem(&row, text, expected);
}

static void numbers_are_read(void **state)
{
    assert_numbers(OPTION_NUMBER, "0", 0);
    assert_numbers(OPTION_NUMBER, "12", 12);
    assert_numbers(OPTION_NUMBER, "18446744073709551615", UINT64_MAX);
    assert_wrong(OPTION_NUMBER, "18446744073709551616", "is too large");
    assert_wrong(OPTION_NUMBER, "-1", "must not be negative");
    assert_wrong(OPTION_NUMBER, "many", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "1.5", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "010", "did you mean 10?");
    assert_wrong(OPTION_NUMBER, "00", "did you mean 0?");
    assert_wrong(OPTION_NUMBER, "1_000", "did you mean 1000?");
    assert_wrong(OPTION_NUMBER, "1,000", "did you mean 1000?");
    assert_wrong(OPTION_NUMBER, "1_000x", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "1_0000000000000000000000000000", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "1e6", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "0x10", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "16k", "must be a whole number");
    assert_wrong(OPTION_NUMBER, "", "must be a whole number");
}

static void sizes_have_powers_of_1024(void **state)
{
    assert_numbers(OPTION_SIZE, "512", 512);
    assert_numbers(OPTION_SIZE, "16k", 16384);
    assert_numbers(OPTION_SIZE, "16K", 16384);
    assert_numbers(OPTION_SIZE, "25M", 25 << 20);
    assert_numbers(OPTION_SIZE, "1g", 1 << 30);
    assert_numbers(OPTION_SIZE, "2T", 2ull << 40);
    assert_numbers(OPTION_SIZE, "0", 0);
    assert_wrong(OPTION_SIZE, "16777216T", "is too large");
    assert_wrong(OPTION_SIZE, "16kb", "did you mean 16k?");
    assert_wrong(OPTION_SIZE, "16 MiB", "did you mean 16M?");
    assert_wrong(OPTION_SIZE, "16 k", "did you mean 16k?");
    assert_wrong(OPTION_SIZE, "16bytes", "did you mean 16?");
    assert_wrong(OPTION_SIZE, "1.5M", "take a smaller unit");
    assert_wrong(OPTION_SIZE, "16x", "must be a size in bytes");
    assert_wrong(OPTION_SIZE, "k", "must be a size in bytes");
}

static void durations_need_a_unit(void **state)
{
    assert_numbers(OPTION_DURATION, "0", 0);
    assert_numbers(OPTION_DURATION, "7ns", 7);
    assert_numbers(OPTION_DURATION, "7us", 7000);
    assert_numbers(OPTION_DURATION, "250ms", 250000000);
    assert_numbers(OPTION_DURATION, "5s", 5000000000);
    assert_numbers(OPTION_DURATION, "10m", 600000000000);
    assert_numbers(OPTION_DURATION, "12h", 43200000000000);
    assert_numbers(OPTION_DURATION, "30d", 2592000000000000);
    assert_wrong(OPTION_DURATION, "213504d", "is too large");
    assert_wrong(OPTION_DURATION, "5", "needs a unit");
    assert_wrong(OPTION_DURATION, "5", "did you mean 5s?");
    assert_wrong(OPTION_DURATION, "5S", "did you mean 5s?");
    assert_wrong(OPTION_DURATION, "5 min", "did you mean 5m?");
    assert_wrong(OPTION_DURATION, "5seconds", "did you mean 5s?");
    assert_wrong(OPTION_DURATION, "1.5s", "1500ms instead of 1.5s");
    assert_wrong(OPTION_DURATION, "1h30m", "90m instead of 1h30m");
    assert_wrong(OPTION_DURATION, "1_000", "did you mean 1000s?");
    assert_wrong(OPTION_DURATION, "forever", "must be a duration");
}

static void rates_are_per_second(void **state)
{
    assert_numbers(OPTION_RATE, "512/s", 512);
    assert_numbers(OPTION_RATE, "16k/s", 16384);
    assert_numbers(OPTION_RATE, "1M/s", 1 << 20);
    assert_numbers(OPTION_RATE, "0", 0);
    assert_wrong(OPTION_RATE, "512", "did you mean 512/s?");
    assert_wrong(OPTION_RATE, "16k", "did you mean 16k/s?");
    assert_wrong(OPTION_RATE, "20rps", "did you mean 20/s?");
    assert_wrong(OPTION_RATE, "20/m", "must be a rate per second");
}

static void what_is_printed_reads_back(void **state)
{
    static const uint64_t values[] = { 0,       1,          999,         1000,           1024,      16384,
                                       1 << 20, 1000000000, 60000000000, 86400000000000, UINT64_MAX };
    static const enum option_type types[] = { OPTION_NUMBER, OPTION_SIZE, OPTION_DURATION, OPTION_RATE };

    for (size_t t = 0; t < COUNT_OF(types); t++) {
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            char text[NUMBER_TEXT];
            number_print(types[t], values[i], text);
            assert_numbers(types[t], text, values[i]);
        }
    }
}

static void bounds_are_told_in_the_units_of_the_option(void **state)
{
    struct option row = { .name = "x", .type = OPTION_DURATION, .least = 1000000, .most = 3600000000000 };

    assert_problem(&row, "2h", "must lie between 1ms and 1h");
    assert_problem(&row, "1us", "must lie between 1ms and 1h");
    row.most = 0;
    assert_problem(&row, "0", "must be at least 1ms");
    row.least = 1;
    assert_problem(&row, "0", "must be more than 0");
    row.most = 1000000000;
    assert_problem(&row, "2s", "must be at most 1s");
    row.zero = "never";
    assert_problem(&row, "x", "12h or 30d, or never");
}

static void a_word_may_stand_for_zero(void **state)
{
    struct option row = { .name = "x", .type = OPTION_NUMBER, .zero = "auto", .least = 2 };
    uint64_t value = 9;

    assert_null(read_styled(&row, "auto", true, &value));
    assert_int_equal(value, 0);
    assert_null(read_styled(&row, "AUTO", false, &value));
    assert_string_equal(value_print(&arena, &row, &value), "auto");
    assert_string_equal(value_describe(&arena, &row), "a whole number, or auto");
}

static void quotes_make_a_text(void **state)
{
    struct option number = { .name = "x", .type = OPTION_NUMBER }, flag = { .name = "x", .type = OPTION_BOOL },
                  size = { .name = "x", .type = OPTION_SIZE };
    uint64_t value;
    bool yes;

    assert_non_null(strstr(read_styled(&number, "5", false, &value), "remove the quotes"));
    assert_non_null(strstr(read_styled(&flag, "yes", false, &yes), "remove the quotes"));
    assert_null(read_styled(&size, "5k", false, &value)); /* JSON has no other way */
    assert_int_equal(value, 5120);
}

static void booleans_have_six_words(void **state)
{
    static const char *const words[] = { "true", "yes", "on", "false", "no", "off",
                                         "True", "YES", "On", "False", "NO", "OFF" };
    struct option row = { .name = "x", .type = OPTION_BOOL };

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        bool value = i / 3 % 2;
        assert_null(read_styled(&row, words[i], true, &value));
        assert_int_equal(value, i / 3 % 2 == 0);
    }
    assert_wrong(OPTION_BOOL, "1", "did you mean yes?");
    assert_wrong(OPTION_BOOL, "n", "did you mean no?");
    assert_wrong(OPTION_BOOL, "maybe", "must be yes or no");
}

static void choices_suggest(void **state)
{
    struct option row = { .name = "x", .type = OPTION_CHOICE, .choices = sample_levels };
    int value = -1, unknown = 99;

    assert_null(read_styled(&row, "low", true, &value));
    assert_int_equal(value, LEVEL_LOW);
    assert_problem(&row, "hihg", "must be low, high or off\ndid you mean high?");
    assert_problem(&row, "HIGH", "did you mean high?");
    assert_problem(&row, "no", "did you mean off?");
    assert_problem(&row, "zzz", "must be low, high or off");
    assert_string_equal(value_describe(&arena, &row), "one of low, high or off");
    assert_string_equal(value_print(&arena, &row, &value), "low");
    assert_string_equal(value_print(&arena, &row, &unknown), "null");
}

static void texts_files_and_names(void **state)
{
    struct option text = { .name = "x", .type = OPTION_TEXT },
                  name = { .name = "x", .type = OPTION_REFERENCE, .refers_to = "groups" };
    const char *value = NULL;

    assert_null(read_styled(&text, "", false, &value));
    assert_string_equal(value, "");
    assert_null(read_styled(&text, "443", true, &value));
    assert_string_equal(value, "443");
    assert_null(read_styled(&name, "app", true, &value));
    assert_string_equal(value, "app");
    assert_problem(&name, "", "must not be empty");
    assert_wrong(OPTION_FILE, "", "must not be empty");
    assert_wrong(OPTION_FILES, "~/certs/*.pem", "which only a shell understands");
    assert_string_equal(value_describe(&arena, &text), "a text");
    assert_string_equal(value_describe(&arena, &name), "a name out of groups");
}

static void every_type_is_described(void **state)
{
    static const char *const expected[] = {
        [OPTION_BOOL] = "yes or no",
        [OPTION_NUMBER] = "a whole number",
        [OPTION_SIZE] = "a size in bytes, such as 512, 16k, 25M or 1G",
        [OPTION_DURATION] = "a duration, such as 250ms, 5s, 10m, 12h or 30d",
        [OPTION_RATE] = "a rate per second, such as 512/s or 16k/s",
        [OPTION_TEXT] = "a text",
        [OPTION_ENDPOINT] = "an address with a port",
        [OPTION_NETWORK] = "an IP address or a network",
        [OPTION_FILE] = "a file's path",
        [OPTION_FILES] = "a file's path, or a pattern with *",
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        struct option row = { .name = "x", .type = (enum option_type)i };
        if (expected[i])
            assert_string_equal(value_describe(&arena, &row), expected[i]);
    }
}

static void texts_print_so_that_yaml_reads_them_back(void **state)
{
    static const char *const texts[] = { "a",   "",     "null", "yes",      "NO",     "~",
                                         "443", "a b",  "a: b", "*.x",      "-",      "a\nb\t\"c\"\\",
                                         "x#",  " x",   "h2",   "\x7f",     "/etc/x", "a@b",
                                         "@b",  "0x1f", "1.2",  "\xC3\xBC", "[a]",    "{",
                                         "a,b", "%",    "!",    "&a",       "---",    "y" };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *line = arena_printf(&arena, "[%s]", value_print_text(&arena, texts[i]));
        struct yaml yaml;
        yaml_read(&arena, bytes_of_text(line), &yaml);
        assert_non_null(yaml.root);
        assert_null(yaml.problems);
        assert_int_equal(yaml.root->count, 1);
        assert_false(yaml_is_null(yaml.root->first));
        assert_string_equal((const char *)yaml.root->first->text.at, texts[i]);
    }
    assert_string_equal(value_print_text(&arena, "/run/app-1.sock"), "/run/app-1.sock");
    assert_string_equal(value_print_text(&arena, "http/1.1"), "http/1.1");
}

static void secrets_are_not_printed(void **state)
{
    struct option row = { .name = "x", .type = OPTION_TEXT, .secret = true };
    const char *value = "hunter2", *none = NULL;

    assert_string_equal(value_print(&arena, &row, &value), "(secret)");
    assert_string_equal(value_print(&arena, &row, &none), "null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(sizes_have_powers_of_1024),
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(rates_are_per_second),
        cmocka_unit_test(what_is_printed_reads_back),
        cmocka_unit_test(bounds_are_told_in_the_units_of_the_option),
        cmocka_unit_test(a_word_may_stand_for_zero),
        cmocka_unit_test(quotes_make_a_text),
        cmocka_unit_test(booleans_have_six_words),
        cmocka_unit_test(choices_suggest),
        cmocka_unit_test(texts_files_and_names),
        cmocka_unit_test(every_type_is_described),
        cmocka_unit_test(texts_print_so_that_yaml_reads_them_back),
        cmocka_unit_test(secrets_are_not_printed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
