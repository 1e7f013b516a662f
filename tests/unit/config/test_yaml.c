/* yaml.c and yaml_hint.c: the tree, its positions, and the reason where a file is no YAML. */
#include "config/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "config/yaml_hint.h"

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

static void assert_span(const char *text, const struct yaml_node *node, const char *expected)
{
    struct bytes span = bytes_of(text + node->begin, node->end - node->begin);

    if (!bytes_equal_text(span, expected))
        print_error("\"%.*s\" instead of \"%s\"\n", BYTES_PRINT(span), expected);
    assert_true(bytes_equal_text(span, expected));
}

static void nodes_know_where_they_stand(void **state)
{
    const char *text = "\xEF\xBB\xBF# comment\r\na: 1\r\nb:\r\n  - x\r\n  - \"q w\"\r\n  - 'it''s'\r\nc: { d: e, f: "
                       "[1, 2] }\r\ng:\r\nh: |\r\n  t\r\n";
    struct yaml yaml;
    struct yaml_node *a, *b, *c, *g, *h;

    yaml_read(&arena, bytes_of_text(text), &yaml);
    assert_null(yaml.problems);
    assert_int_equal(yaml.root->kind, YAML_MAPPING);
    assert_int_equal(yaml.root->count, 5);
    a = yaml.root->first;
    b = a->next;
    c = b->next;
    g = c->next;
    h = g->next;
    assert_span(text, a->key, "a");
    assert_span(text, a, "1");
    assert_int_equal(b->kind, YAML_SEQUENCE);
    assert_int_equal(b->count, 3);
    assert_span(text, b->first, "x");
    assert_span(text, b->first->next, "\"q w\"");
    assert_string_equal((const char *)b->first->next->text.at, "q w");
    assert_false(b->first->next->is_plain);
    assert_span(text, b->last, "'it''s'");
    assert_string_equal((const char *)b->last->text.at, "it's");
    assert_span(text, c, "{ d: e, f: [1, 2] }");
    assert_span(text, c->last, "[1, 2]");
    assert_false(yaml_is_written(g));
    assert_true(yaml_is_null(g));
    assert_string_equal((const char *)h->text.at, "t\n");
    assert_false(h->is_plain);
}

static void null_has_several_spellings(void **state)
{
    struct yaml yaml;

    yaml_read(&arena, bytes_of_text("[~, null, Null, NULL, '', \"null\", nil]"), &yaml);
    for (struct yaml_node *item = yaml.root->first, *start = item; item; item = item->next)
        assert_int_equal(yaml_is_null(item), item == start || item == start->next || item == start->next->next ||
                                                 item == start->next->next->next);
}

/* A text that is no YAML, where that is seen (line and column), and what is said. */
static void assert_broken(const char *text, size_t size, size_t line, size_t column, const char *expected)
{
    struct yaml yaml;

    yaml_read(&arena, bytes_of(text, size), &yaml);
    assert_true(yaml.is_broken);
    assert_null(yaml.root);
    assert_non_null(yaml.problems);
    assert_null(yaml.problems->next);
    if (!strstr(yaml.problems->text, expected) ||
        yaml.problems->begin != yaml_offset(bytes_of(text, size), line, column))
        print_error("%s\nat %zu: %s\n", text, yaml.problems->begin, yaml.problems->text);
    assert_non_null(strstr(yaml.problems->text, expected));
    assert_int_equal(yaml.problems->begin, yaml_offset(bytes_of(text, size), line, column));
}

static void what_breaks_the_syntax_is_explained(void **state)
{
    static const struct {
        const char *text;
        size_t line, column;
        const char *expected;
    } wrong[] = {
        { "a: b\n\tc: d\n", 2, 1, "indented with a tab" },
        { "a:\n\tc: d\n", 2, 1, "indented with a tab" },
        { "a:\n  *.example.org: {}\n", 2, 3, "what starts with * must stand in quotes: \"*.example.org\"" },
        { "a: [::]:443\n", 1, 4, "an address with [ ] must stand in quotes: \"[::]:443\"" },
        { "a: \"[::]:1\" # [::]:2\nb: x & [::]:3\nc: [::]:4\n", 3, 4,
          "an address with [ ] must stand in quotes: \"[::]:4\"" },
        { "l:\n  address:443\n  to: app\n", 2, 3, "is a space missing behind \"address:\"?" },
        { "l:\n  - address:443\n    to: app\n", 2, 5, "is a space missing behind \"address:\"?" },
        { "? a\n: b\n", 1, 1, "a key that is written with `?`" },
        { "a:\n  - ? b:\t:", 2, 5, "a key that is written with `?`" },
        { "\xEF\xBB\xBF? r:\t:", 1, 2, "a key that is written with `?`" },
        { "a: @foo\n", 1, 4, "what starts with @ must stand in quotes: \"@foo\"" },
        { "a: \"x\n", 1, 4, "a \" that is opened here is not closed" },
        { "a: 'x\nb: c\n", 1, 4, "a ' that is opened here is not closed" },
        { "a: [1, 2\n", 1, 4, "the [ that is opened here is not closed" },
        { "a: {b: 1,\nc: 2\nd: e\n", 1, 4, "the { that is opened here is not closed" },
        { "a: b: c\n", 1, 5, "must stand in quotes" },
        { "a: 1\n  b: 2\n", 1, 4, "is line 2 indented too far?" },
        { "a: 1\nb\nc: 2\n", 2, 1, "a colon is missing" },
        { "a:\n  b \":1\"\n  c: d\n", 2, 3, "is a colon missing behind \"b\"?" },
        { "a\n  b: c\n", 1, 1, "is a colon missing behind \"a\"?" },
        { "a:\n  - b\n  -c: x\n", 3, 3, "is a space missing behind the dash?" },
        { "a:\n    b: 1\n   c: 2\n", 3, 4, "the indentation does not fit the lines above" },
        { "a: - b\n", 1, 4, "a list with - starts in a line of its own" },
        { "a: {b: 1}}\n", 1, 10, "extra closing brace" },
        { "a: \xE2\x80\x9Cx\xE2\x80\x9D\n", 1, 4, "typographic quotes" },
        { "a:\xC2\xA0x\n", 1, 3, "an invisible character (U+00A0)" },
        { "a: \x1b[1m\n", 1, 4, "a control character (U+001B)" },
        { "a: \xff\n", 1, 4, "not UTF-8" },
        { "\xff\xfe"
          "a",
          1, 1, "it looks like UTF-16" },
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_broken(wrong[i].text, strlen(wrong[i].text), wrong[i].line, wrong[i].column, wrong[i].expected);
    assert_broken("a\0b\0", 4, 1, 2, "is this file saved as UTF-16");
}

static void odd_characters_are_fine_in_comments_and_inside_of_texts(void **state)
{
    struct yaml yaml;

    yaml_read(&arena,
              bytes_of_text(
                  "# \xE2\x80\x9Cquoted\xE2\x80\x9D and\xC2\xA0spaced\na: it\xE2\x80\x99s \xC3\xBC x\xE2\x80\x9Dx\n"),
              &yaml);
    assert_null(yaml.problems);
    assert_string_equal((const char *)yaml.root->first->text.at, "it\xE2\x80\x99s \xC3\xBC x\xE2\x80\x9Dx");
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    char *text = calloc(1, YAML_SIZE_MOST + 1);
    struct yaml yaml;

    assert_non_null(text);
    yaml_read(&arena, bytes_of(text, YAML_SIZE_MOST + 1), &yaml);
    assert_true(yaml.is_broken);
    assert_string_equal(yaml.problems->text, "the file is too large");
    free(text);
}

static void lines_and_columns_count_from_one(void **state)
{
    struct bytes text = BYTES_LITERAL("a\xC3\xBC"
                                      "b\r\nsecond\n");
    size_t number;

    assert_int_equal(yaml_offset(text, 1, 1), 0);
    assert_int_equal(yaml_offset(text, 1, 3), 3);
    assert_int_equal(yaml_offset(text, 2, 2), 7);
    assert_int_equal(yaml_offset(text, 9, 9), text.size);
    assert_true(bytes_equal_text(yaml_line(text, 3, &number), "a\xC3\xBC"
                                                              "b"));
    assert_int_equal(number, 1);
    assert_true(bytes_equal_text(yaml_line(text, text.size, &number), "second"));
    assert_int_equal(number, 2);
    assert_true(bytes_equal_text(yaml_line(text, 1000, &number), "second"));
    assert_int_equal(yaml_line(BYTES_LITERAL(""), 0, &number).size, 0);
    assert_int_equal(number, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_where_they_stand),
        cmocka_unit_test(null_has_several_spellings),
        cmocka_unit_test(what_breaks_the_syntax_is_explained),
        cmocka_unit_test(odd_characters_are_fine_in_comments_and_inside_of_texts),
        cmocka_unit_test(a_file_that_is_too_large_is_refused),
        cmocka_unit_test(lines_and_columns_count_from_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
