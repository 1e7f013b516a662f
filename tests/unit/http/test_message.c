#include "http/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"

static struct arena arena;
static struct message m;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    message_init(&m, &arena);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

static void add(const char *name, const char *value)
{
    assert_int_equal(message_add(&m, bytes_of_text(name), bytes_of_text(value)), 0);
}

static const char *names(void)
{
    static char out[4096];

    out[0] = 0;
    for (uint32_t i = 0; i < m.fields.count; i++)
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%.*s ", BYTES_PRINT(m.fields.at[i].name));
    return out;
}

static void every_known_name_is_found_in_any_case(void **state)
{
    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
        struct bytes name = field_name_of(id);
        char mixed[64];

        assert_int_equal(field_id_of(name), id);
        for (size_t i = 0; i < name.size; i++) {
            uint8_t c = name.at[i];
            mixed[i] = (char)(i % 2 == 0 && c >= 'a' && c <= 'z' ? c - 32 : c);
        }
        assert_int_equal(field_id_of(bytes_of(mixed, name.size)), id);
    }
}

static void names_that_differ_in_one_byte_are_others(void **state)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_COUNT; id++) {
        struct bytes name = field_name_of(id);

        assert_int_equal(field_id_of(bytes_part(name, 0, name.size - 1)), FIELD_OTHER);
        assert_int_not_equal(field_id_of(bytes_from(name, 1)), id);
        for (size_t i = 0; i < name.size; i++) {
            for (const char *c = token; *c; c++) {
                char other[64];
                memcpy(other, name.at, name.size);
                other[i] = *c;
                bool same = ascii_lower((uint8_t)*c) == name.at[i];
                assert_int_equal(field_id_of(bytes_of(other, name.size)) == id, same);
            }
        }
    }
    assert_int_equal(field_id_of(BYTES_NONE), FIELD_OTHER);
    assert_int_equal(field_id_of(BYTES_LITERAL("x")), FIELD_OTHER);
    assert_int_equal(field_id_of(BYTES_LITERAL("x-a-name-that-is-longer-than-all-known")), FIELD_OTHER);
    assert_int_equal(field_name_of(FIELD_OTHER).size, 0);
}

static void fields_are_found_by_number_and_by_name(void **state)
{
    add("Accept", "a");
    add("accept", "b");
    add("X-Mine", "c");
    assert_int_equal(message_add_known(&m, FIELD_VIA, BYTES_LITERAL("d")), 0);
    assert_true(bytes_equal_text(*message_field(&m, FIELD_ACCEPT), "a"));
    assert_true(bytes_equal_text(*message_field(&m, FIELD_VIA), "d"));
    assert_true(bytes_equal_text(*message_field_named(&m, BYTES_LITERAL("x-mine")), "c"));
    assert_null(message_field(&m, FIELD_COOKIE));
    assert_null(message_field_named(&m, BYTES_LITERAL("x-yours")));
    assert_string_equal(names(), "Accept accept X-Mine Via ");
}

static void removal_keeps_the_order_of_the_others(void **state)
{
    add("a", "");
    add("Cookie", "");
    add("b", "");
    add("cookie", "");
    add("c", "");
    message_remove(&m, FIELD_COOKIE);
    assert_string_equal(names(), "a b c ");
    message_remove_named(&m, BYTES_LITERAL("B"));
    assert_string_equal(names(), "a c ");
    message_remove(&m, FIELD_COOKIE);
    message_remove_named(&m, BYTES_LITERAL("x"));
    assert_string_equal(names(), "a c ");
}

static void punctuation_does_not_hide_a_name_from_removal(void **state)
{
    add("X_Forwarded_For", "");
    add("x-forwarded_for", "");
    add("X-Forwarded-For", "");
    add("x_forwarded_proto", "");
    add("X_SSL-Client", "");
    add("x.forwarded~for", "");
    add("x1forwarded-for", "");
    assert_true(bytes_equal_text(*message_field(&m, FIELD_X_FORWARDED_FOR), ""));
    assert_int_equal(m.fields.at[0].id, FIELD_OTHER);
    message_remove(&m, FIELD_X_FORWARDED_FOR);
    assert_string_equal(names(), "x_forwarded_proto X_SSL-Client x1forwarded-for ");
    message_remove_named(&m, BYTES_LITERAL("x-ssl_client"));
    assert_string_equal(names(), "x_forwarded_proto x1forwarded-for ");
    message_remove_set(&m, FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_VIA));
    assert_string_equal(names(), "x1forwarded-for ");
}

static void fields_of_framing_cannot_be_added(void **state)
{
    static const char *const framing[] = { "Host",
                                           "content-length",
                                           "Transfer-Encoding",
                                           "connection",
                                           "TE",
                                           "Upgrade",
                                           "Keep-Alive",
                                           "Proxy-Connection",
                                           "http2-settings",
                                           "Content_Length",
                                           "transfer_encoding" };

    for (size_t i = 0; i < COUNT_OF(framing); i++)
        assert_int_equal(message_add(&m, bytes_of_text(framing[i]), BYTES_LITERAL("1")), -E_INTERNAL);
    assert_int_equal(message_add_known(&m, FIELD_HOST, BYTES_LITERAL("a")), -E_INTERNAL);
    assert_int_equal(m.fields.count, 0);
}

static void many_fields_keep_their_values_and_their_order(void **state)
{
    char text[1000][8];

    for (int i = 0; i < 1000; i++) {
        snprintf(text[i], sizeof(text[i]), "n%d", i);
        add(text[i], text[i]);
    }
    assert_int_equal(m.fields.count, 1000);
    for (int i = 0; i < 1000; i++)
        assert_true(bytes_equal_text(m.fields.at[i].value, text[i]));
}

static void a_full_arena_is_reported_and_the_message_stays_whole(void **state)
{
    struct arena small;
    uint32_t count = 0;
    int result;

    arena_init(&small, NULL, 4096);
    message_init(&m, &small);
    while ((result = message_add(&m, BYTES_LITERAL("a"), BYTES_LITERAL("b"))) == 0)
        count++;
    assert_int_equal(result, -E_MEMORY);
    assert_int_equal(m.fields.count, count);
    arena_reset(&small);
}

static void methods_are_told_by_exact_name(void **state)
{
    assert_int_equal(method_of(BYTES_LITERAL("GET")), METHOD_GET);
    assert_int_equal(method_of(BYTES_LITERAL("HEAD")), METHOD_HEAD);
    assert_int_equal(method_of(BYTES_LITERAL("POST")), METHOD_POST);
    assert_int_equal(method_of(BYTES_LITERAL("PUT")), METHOD_PUT);
    assert_int_equal(method_of(BYTES_LITERAL("DELETE")), METHOD_DELETE);
    assert_int_equal(method_of(BYTES_LITERAL("CONNECT")), METHOD_CONNECT);
    assert_int_equal(method_of(BYTES_LITERAL("OPTIONS")), METHOD_OPTIONS);
    assert_int_equal(method_of(BYTES_LITERAL("TRACE")), METHOD_TRACE);
    assert_int_equal(method_of(BYTES_LITERAL("PATCH")), METHOD_PATCH);
    assert_int_equal(method_of(BYTES_LITERAL("get")), METHOD_OTHER);
    assert_int_equal(method_of(BYTES_LITERAL("GETS")), METHOD_OTHER);
    assert_int_equal(method_of(BYTES_LITERAL("PROPFIND")), METHOD_OTHER);
}

static void methods_are_safe_and_idempotent_as_rfc_9110_says(void **state)
{
    assert_true(method_is_safe(METHOD_GET) && method_is_idempotent(METHOD_GET));
    assert_true(method_is_safe(METHOD_OPTIONS) && method_is_idempotent(METHOD_OPTIONS));
    assert_true(!method_is_safe(METHOD_PUT) && method_is_idempotent(METHOD_PUT));
    assert_true(!method_is_safe(METHOD_DELETE) && method_is_idempotent(METHOD_DELETE));
    assert_true(!method_is_safe(METHOD_POST) && !method_is_idempotent(METHOD_POST));
    assert_true(!method_is_safe(METHOD_PATCH) && !method_is_idempotent(METHOD_PATCH));
    assert_true(!method_is_safe(METHOD_OTHER) && !method_is_idempotent(METHOD_OTHER));
}

static void responses_without_content_are_known(void **state)
{
    assert_true(response_has_body(METHOD_GET, 200));
    assert_true(response_has_body(METHOD_POST, 404));
    assert_true(response_has_body(METHOD_CONNECT, 405));
    assert_false(response_has_body(METHOD_CONNECT, 200));
    assert_false(response_has_body(METHOD_HEAD, 200));
    assert_false(response_has_body(METHOD_GET, 100));
    assert_false(response_has_body(METHOD_GET, 101));
    assert_false(response_has_body(METHOD_GET, 204));
    assert_false(response_has_body(METHOD_GET, 304));
}

static void statuses_have_their_reasons(void **state)
{
    assert_string_equal(status_reason(200), "OK");
    assert_string_equal(status_reason(404), "Not Found");
    assert_string_equal(status_reason(431), "Request Header Fields Too Large");
    assert_string_equal(status_reason(299), "");
    assert_string_equal(status_reason(0), "");
}

static void names_are_tokens(void **state)
{
    (void)state;
    assert_true(field_name_is_valid(BYTES_LITERAL("X-A_b.1!#$%&'*+^`|~")));
    assert_false(field_name_is_valid(BYTES_NONE));
    assert_false(field_name_is_valid(BYTES_LITERAL("a b")));
    assert_false(field_name_is_valid(BYTES_LITERAL("a:")));
    assert_false(field_name_is_valid(BYTES_LITERAL("a\r\n")));
    assert_false(field_name_is_valid(BYTES_LITERAL("\xc3\xa4")));
}

static void values_have_no_control_bytes_and_no_space_around_them(void **state)
{
    (void)state;
    assert_true(field_value_is_valid(BYTES_NONE));
    assert_true(field_value_is_valid(BYTES_LITERAL("a \t b; \"\xc3\xa4\"")));
    assert_false(field_value_is_valid(BYTES_LITERAL(" a")));
    assert_false(field_value_is_valid(BYTES_LITERAL("a\t")));
    assert_false(field_value_is_valid(BYTES_LITERAL("a\rb")));
    assert_false(field_value_is_valid(BYTES_LITERAL("a\nb")));
    assert_false(field_value_is_valid(bytes_of("a\0b", 3)));
    assert_false(field_value_is_valid(BYTES_LITERAL("a\x7f")));
}

static void a_name_is_known_by_what_it_may_be_taken_for(void **state)
{
    (void)state;
    assert_int_equal(field_id_like(BYTES_LITERAL("Content_Length")), FIELD_CONTENT_LENGTH);
    assert_int_equal(field_id_of(BYTES_LITERAL("Content_Length")), FIELD_OTHER);
    assert_int_equal(field_id_like(BYTES_LITERAL("x-other")), FIELD_OTHER);
}

static void fields_are_appended_in_their_order(void **state)
{
    struct arena own;
    struct message from, to;

    (void)state;
    arena_init(&own, NULL, 1 << 20);
    message_init(&from, &own);
    message_init(&to, &own);
    for (int i = 0; i < 50; i++)
        assert_int_equal(message_add(&from, i % 2 ? BYTES_LITERAL("Cookie") : BYTES_LITERAL("X-A"), BYTES_LITERAL("1")), 0);
    assert_int_equal(message_add(&to, BYTES_LITERAL("X-B"), BYTES_LITERAL("2")), 0);
    assert_int_equal(message_append(&to, &from.fields), 0);
    assert_int_equal(to.fields.count, 51);
    assert_true(bytes_equal_text(to.fields.at[0].name, "X-B") && bytes_equal_text(to.fields.at[1].name, "X-A"));
    assert_int_equal(to.fields.at[50].id, FIELD_COOKIE);
    assert_int_equal(from.fields.count, 50);
    own.limit = own.used;
    while (to.fields.count < to.fields.room)
        assert_int_equal(message_append(&to, &(struct fields){ .at = from.fields.at, .count = 1 }), 0);
    assert_int_equal(message_append(&to, &from.fields), -E_MEMORY);
    arena_reset(&own);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_known_name_is_found_in_any_case),
        TEST(names_that_differ_in_one_byte_are_others),
        TEST(fields_are_found_by_number_and_by_name),
        TEST(removal_keeps_the_order_of_the_others),
        TEST(punctuation_does_not_hide_a_name_from_removal),
        TEST(fields_of_framing_cannot_be_added),
        TEST(many_fields_keep_their_values_and_their_order),
        TEST(a_full_arena_is_reported_and_the_message_stays_whole),
        TEST(methods_are_told_by_exact_name),
        TEST(methods_are_safe_and_idempotent_as_rfc_9110_says),
        TEST(responses_without_content_are_known),
        TEST(statuses_have_their_reasons),
        cmocka_unit_test(names_are_tokens),
        cmocka_unit_test(values_have_no_control_bytes_and_no_space_around_them),
        cmocka_unit_test(a_name_is_known_by_what_it_may_be_taken_for),
        cmocka_unit_test(fields_are_appended_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
