#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/rewrite.h"

static struct arena arena;

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void becomes(const char *path, const char *prefix, const char *with, const char *expected)
{
    struct bytes out = BYTES_NONE;

    assert_int_equal(rewrite_path(&arena, bytes_of_text(path), strlen(prefix), bytes_of_text(with), &out), 0);
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.at, expected, out.size);
}

static void a_prefix_is_stripped_and_something_is_always_left(void **state)
{
    (void)state;
    becomes("/api/x", "/api", "", "/x");
    becomes("/api/", "/api", "", "/");
    becomes("/api", "/api", "", "/");
    becomes("/api?a=/b", "/api", "", "/?a=/b");
    becomes("/api/?a", "/api", "", "/?a");
    becomes("/a/b/c", "/a", "", "/b/c");
    becomes("/x", "", "", "/x");
}

static void a_prefix_is_replaced(void **state)
{
    (void)state;
    becomes("/old/x?q", "/old", "/new", "/new/x?q");
    becomes("/old", "/old", "/new", "/new");
    becomes("/old?q", "/old", "/new", "/new?q");
    becomes("/old/", "/old", "/new", "/new/");
    becomes("/x", "", "/new", "/new/x");
    becomes("/old/x", "/old", "https://b.test", "https://b.test/x");
    becomes("/old", "/old", "https://b.test", "https://b.test");
}

static void what_is_left_cannot_be_read_as_a_host(void **state)
{
    (void)state;
    becomes("/api//evil.test/x", "/api", "", "/evil.test/x");
    becomes("/api////evil.test//y?//z", "/api", "", "/evil.test//y?//z");
    becomes("/api//", "/api", "", "/");
    becomes("/api//?q", "/api", "", "/?q");
    becomes("/api//x", "/api", "/new", "/new//x");
}

static void the_server_as_a_whole_stays(void **state)
{
    (void)state;
    becomes("*", "", "/new", "*");
}

static void dot_segments_are_refused_in_every_disguise(void **state)
{
    static const char *const bad[] = {
        "/api/..",      "/api/../x",     "/api/./x",     "/api/.",         "/api/x/..",       "/api/%2e%2e/x", "/api/.%2E/x",
        "/api/%2E",     "/api/..%2fx",   "/api/x%2F..",  "/api/..%5cx",    "/api/x%5C%2e%2e", "/api/..;/x",    "/api/..;a=b/x",
        "/api/..%3b/x", "/api/x;../y",   "/api/../?q",   "/api/..?q",      "/api//../x",
    };
    struct bytes out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (rewrite_path(&arena, bytes_of_text(bad[i]), 4, BYTES_LITERAL("/new"), &out) != -E_PATH)
            fail_msg("%s", bad[i]);
}

static void dots_elsewhere_are_no_segments(void **state)
{
    (void)state;
    becomes("/api/...", "/api", "", "/...");
    becomes("/api/..x/x../.x/x.", "/api", "", "/..x/x../.x/x.");
    becomes("/api/%2e%2e%2e", "/api", "", "/%2e%2e%2e");
    becomes("/api/.well-known/a", "/api", "", "/.well-known/a");
    becomes("/api/x?../..&/../", "/api", "", "/x?../..&/../");
    becomes("/api/%2", "/api", "", "/%2");
}

static void a_short_arena_is_told(void **state)
{
    struct arena none;
    struct bytes out;

    (void)state;
    arena_init(&none, NULL, 0);
    assert_int_equal(rewrite_path(&none, BYTES_LITERAL("/api/x"), 4, BYTES_NONE, &out), -E_MEMORY);
}

static void fields_are_taken_out_before_others_are_added(void **state)
{
    const struct bytes removed[] = { BYTES_LITERAL("x-a"), BYTES_LITERAL("Server") };
    struct message m, added;
    struct field_rules rules = { removed, COUNT_OF(removed), { 0 } };

    (void)state;
    message_init(&added, &arena);
    message_init(&m, &arena);
    assert_int_equal(message_add(&added, BYTES_LITERAL("X-A"), BYTES_LITERAL("new")), 0);
    rules.added = added.fields;
    assert_int_equal(message_add(&m, BYTES_LITERAL("X_A"), BYTES_LITERAL("1")), 0);
    assert_int_equal(message_add(&m, BYTES_LITERAL("X-B"), BYTES_LITERAL("2")), 0);
    assert_int_equal(message_add(&m, BYTES_LITERAL("x-a"), BYTES_LITERAL("3")), 0);
    assert_int_equal(message_add(&m, BYTES_LITERAL("server"), BYTES_LITERAL("4")), 0);
    assert_int_equal(rewrite_fields(&m, &rules), 0);
    assert_int_equal(m.fields.count, 2);
    assert_true(bytes_equal_text(m.fields.at[0].name, "X-B"));
    assert_true(bytes_equal_text(m.fields.at[1].name, "X-A") && bytes_equal_text(m.fields.at[1].value, "new"));
    assert_int_equal(added.fields.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_is_stripped_and_something_is_always_left),
        cmocka_unit_test(a_prefix_is_replaced),
        cmocka_unit_test(what_is_left_cannot_be_read_as_a_host),
        cmocka_unit_test(the_server_as_a_whole_stays),
        cmocka_unit_test(dot_segments_are_refused_in_every_disguise),
        cmocka_unit_test(dots_elsewhere_are_no_segments),
        cmocka_unit_test(a_short_arena_is_told),
        cmocka_unit_test(fields_are_taken_out_before_others_are_added),
    };

    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
