#include "base/hostname.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"

/* What the name becomes, or "refused". */
static const char *canonical(int (*parse)(struct bytes, struct hostname *), const char *text)
{
    static struct hostname name;
    memset(&name, 'x', sizeof(name));
    if (parse(bytes_of_text(text), &name) != 0)
        return "refused";
    assert_int_equal(strlen(name.text), name.size);
    return name.text;
}

static void names_of_peers_become_lower_case_without_trailing_dot(void **state)
{
    assert_string_equal(canonical(hostname_parse, "www.Example.ORG"), "www.example.org");
    assert_string_equal(canonical(hostname_parse, "www.example.org."), "www.example.org");
    assert_string_equal(canonical(hostname_parse, "localhost"), "localhost");
    assert_string_equal(canonical(hostname_parse, "_dmarc.a-b.example"), "_dmarc.a-b.example");
    assert_string_equal(canonical(hostname_parse, "xn--BCHER-kva.example"), "xn--bcher-kva.example");
    assert_string_equal(canonical(hostname_parse, "1a.example"), "1a.example");
    assert_string_equal(canonical(hostname_parse, "12"), "12");
}

static void what_is_no_name_is_refused(void **state)
{
    static const char *const bad[] = { "",         ".",         "..",           "a..b", ".a",           "a b",
                                       "a/b",      "a@b",       "a:80",         "*.a",  "b\xC3\xBC.de", "a\x01",
                                       "a\x7f",    "a,b",       "[::1",         "::1",  "[::1]x",       "[]",
                                       "[",        "[1.2.3.4]", "[fe80::1%lo]", "a..",  "127.1",        "1.2.3.256",
                                       "01.2.3.4", "1.2.3.4.5", "%41.de",       "a\\b" };
    char label[300];

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_string_equal(canonical(hostname_parse, bad[i]), "refused");
    memset(label, 'a', sizeof(label));
    label[64] = 0;
    assert_string_equal(canonical(hostname_parse, label), "refused");
    assert_string_equal(canonical(hostname_parse_pattern, label), "refused");
    label[63] = 0;
    assert_string_equal(canonical(hostname_parse, label), label);
    struct hostname name;
    assert_int_equal(hostname_parse(bytes_of("a\0b", 3), &name), -E_HOST);
    assert_int_equal(hostname_parse(bytes_of("[::1\0]", 6), &name), -E_HOST);
}

static void a_name_has_at_most_253_bytes(void **state)
{
    char text[256];
    struct hostname name;

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? '.' : 'a';
    assert_int_equal(hostname_parse(bytes_of(text, 253), &name), 0);
    assert_int_equal(name.size, 253);
    assert_int_equal(hostname_parse(bytes_of(text, 254), &name), 0); /* the trailing dot does not count */
    assert_int_equal(name.size, 253);
    assert_int_equal(hostname_parse(bytes_of(text, 255), &name), -E_HOST);
}

static void addresses_have_one_canonical_text(void **state)
{
    struct hostname name;

    assert_string_equal(canonical(hostname_parse, "[2001:DB8:0:0::1]"), "2001:db8::1");
    assert_string_equal(canonical(hostname_parse, "127.0.0.1"), "127.0.0.1");
    assert_string_equal(canonical(hostname_parse, "127.0.0.1."), "127.0.0.1");
    assert_string_equal(canonical(hostname_parse_pattern, "2001:DB8::1"), "2001:db8::1");
    assert_string_equal(canonical(hostname_parse_pattern, "[::1]"), "::1");
    assert_int_equal(hostname_parse(BYTES_LITERAL("127.0.0.1"), &name), 0);
    assert_true(name.is_address && !name.is_pattern);
    assert_int_equal(hostname_parse(BYTES_LITERAL("a.example"), &name), 0);
    assert_true(!name.is_address && !name.is_pattern);
}

static void operators_may_write_unicode(void **state)
{
    static const char *const names[][2] = {
        { "Bücher.example", "xn--bcher-kva.example" },
        { "*.BÜCHER.de", "*.xn--bcher-kva.de" },
        { "faß.de", "xn--fa-hia.de" },
        { "ΠΑΡΆΔΕΙΓΜΑ.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp" },
        { "Пример.Испытание", "xn--e1afmkfd.xn--80akhbyknj4f" },
        { "他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye" },
        { "почемужеонинеговорятпорусски", "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l" },
        { "3年B組金八先生", "xn--3b-ww4c5e180e575a65lsy2b" },
        { "ドメイン。テスト", "xn--eckwd4c7c.xn--zckzah" },
        { "ÿ.Ÿ", "xn--wda.xn--wda" },
        { "ŽLUŤOUČKÝ.cz", "xn--luouk-uva4it5a4g.cz" },
        { "*.example.org", "*.example.org" },
    };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_string_equal(canonical(hostname_parse_pattern, names[i][0]), names[i][1]);
}

static void unicode_that_needs_a_mapping_is_refused(void **state)
{
    static const char *const bad[] = {
        "mu\xCC\x88nchen.de" /* combining */,
        "a\xE2\x80\x8B.de" /* zero width */,
        "\xEF\xBC\xA1.de" /* fullwidth */,
        "a\xC2\xA0.de",
        "\xF0\x9F\x98\x80.de",
        "\xC3.de",
        "\xC0\xAF.de",
        "\xED\xA0\x80.de",
        "\xF5\x80\x80\x80",
        "\xE3\x80",
        "\xE0\x80\x80",
        "\xF4\x90\x80\x80",
        "b\xC3\xBC!.de",
        "İ.tr",
        "\x80",
        "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü",
        "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijü",
        "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghü",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_string_equal(canonical(hostname_parse_pattern, bad[i]), "refused");
}

static void a_pattern_has_its_star_alone_in_front(void **state)
{
    static const char *const bad[] = { "*", "*.", "a.*.b", "*a.b", "*.*.a", "w*.a", "*.1.2.3.4", "*..a", "*.[::1]" };

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_string_equal(canonical(hostname_parse_pattern, bad[i]), "refused");
}

static void authorities_split_into_host_and_port(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        { "a.example", "a.example", 0 },
        { "A.example:443", "a.example", 443 },
        { "a.example:", "a.example", 0 },
        { "[::1]:8443", "::1", 8443 },
        { "[::1]", "::1", 0 },
        { "127.0.0.1:1", "127.0.0.1", 1 },
        { "a.example.:80", "a.example", 80 },
    };
    static const char *const bad[] = { "",     ":80",     "a:65536", "a:x",  "a:-1", "a:0",     "::1",    "[::1]8",
                                       "[::1", "a:80:90", "u@a:80",  "a:8 ", "a: 8", "[::1]:x", "[a]:80", "a:+80" };
    struct hostname name;
    uint16_t port;

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(hostname_parse_authority(bytes_of_text(good[i].text), &name, &port), 0);
        assert_string_equal(name.text, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(hostname_parse_authority(bytes_of_text(bad[i]), &name, &port), -E_HOST);
}

static struct hostname pattern(const char *text)
{
    struct hostname name;
    assert_int_equal(hostname_parse_pattern(bytes_of_text(text), &name), 0);
    return name;
}

static bool matches(const char *p, const char *n)
{
    struct hostname a = pattern(p), b = pattern(n);
    return hostname_matches(&a, &b);
}

static void a_star_stands_for_exactly_one_label(void **state)
{
    assert_true(matches("*.example.org", "a.example.org"));
    assert_true(matches("*.example.org", "A.EXAMPLE.ORG."));
    assert_false(matches("*.example.org", "example.org"));
    assert_false(matches("*.example.org", "a.b.example.org"));
    assert_false(matches("*.example.org", "a.example.com"));
    assert_false(matches("*.example.org", "aexample.org"));
    assert_true(matches("example.org", "example.org"));
    assert_false(matches("example.org", "www.example.org"));
    assert_true(matches("*.example.org", "*.example.org"));
    assert_false(matches("*.example.org", "*.b.example.org"));
    assert_false(matches("*.org", "org"));
}

static void addresses_never_match_a_star(void **state)
{
    struct hostname star = { .text = "*.0.0.1", .size = 7, .is_pattern = true }, ip = pattern("127.0.0.1");

    assert_false(hostname_matches(&star, &ip));
    assert_true(matches("127.0.0.1", "127.0.0.1"));
    assert_true(matches("::1", "[0:0::1]"));
}

static void a_table_prefers_the_exact_name(void **state)
{
    struct arena arena;
    struct hostname_table *t;
    struct hostname name;
    int exact, star;

    arena_init(&arena, NULL, SIZE_MAX);
    t = hostname_table_new(&arena, 2);
    name = pattern("*.example.org");
    assert_int_equal(hostname_table_add(t, &name, &star), 0);
    name = pattern("www.example.org");
    assert_int_equal(hostname_table_add(t, &name, &exact), 0);
    assert_int_equal(hostname_table_add(t, &name, &star), -E_CONFIG);
    assert_ptr_equal(hostname_table_find(t, &name), &exact);
    name = pattern("other.example.org");
    assert_ptr_equal(hostname_table_find(t, &name), &star);
    name = pattern("a.other.example.org");
    assert_null(hostname_table_find(t, &name));
    name = pattern("example.org");
    assert_null(hostname_table_find(t, &name));
    name = pattern("org");
    assert_null(hostname_table_find(t, &name));
    name = pattern("10.0.0.1");
    assert_null(hostname_table_find(t, &name));
    arena_reset(&arena);
}

static void a_table_finds_every_one_of_many(void **state)
{
    enum { MANY = 1000 };
    static int values[2 * MANY];
    struct arena arena;
    struct hostname_table *t;

    arena_init(&arena, NULL, SIZE_MAX);
    t = hostname_table_new(&arena, 2 * MANY);
    for (int i = 0; i < 2 * MANY; i++) {
        char text[64];
        snprintf(text, sizeof(text), i % 2 ? "*.d%d.example" : "h%d.example", i);
        struct hostname name = pattern(text);
        assert_int_equal(hostname_table_add(t, &name, &values[i]), 0);
    }
    for (int i = 0; i < 2 * MANY; i++) {
        char text[64];
        snprintf(text, sizeof(text), i % 2 ? "any.d%d.example" : "h%d.example", i);
        struct hostname name = pattern(text);
        assert_ptr_equal(hostname_table_find(t, &name), &values[i]);
        snprintf(text, sizeof(text), "none%d.example", i);
        name = pattern(text);
        assert_null(hostname_table_find(t, &name));
    }
    arena_reset(&arena);
}

static void a_table_tells_when_memory_is_out(void **state)
{
    struct arena arena;
    struct hostname name = pattern("a.example");
    struct hostname_table *t;
    int value;

    arena_init(&arena, NULL, 100);
    assert_null(hostname_table_new(&arena, 100));
    assert_null(hostname_table_new(&arena, SIZE_MAX / 2));
    arena_reset(&arena);
    arena_init(&arena, NULL, SIZE_MAX);
    t = hostname_table_new(&arena, 1);
    arena.limit = arena.used;
    assert_int_equal(hostname_table_add(t, &name, &value), -E_MEMORY);
    assert_null(hostname_table_find(t, &name));
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_peers_become_lower_case_without_trailing_dot),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(a_name_has_at_most_253_bytes),
        cmocka_unit_test(addresses_have_one_canonical_text),
        cmocka_unit_test(operators_may_write_unicode),
        cmocka_unit_test(unicode_that_needs_a_mapping_is_refused),
        cmocka_unit_test(a_pattern_has_its_star_alone_in_front),
        cmocka_unit_test(authorities_split_into_host_and_port),
        cmocka_unit_test(a_star_stands_for_exactly_one_label),
        cmocka_unit_test(addresses_never_match_a_star),
        cmocka_unit_test(a_table_prefers_the_exact_name),
        cmocka_unit_test(a_table_finds_every_one_of_many),
        cmocka_unit_test(a_table_tells_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
