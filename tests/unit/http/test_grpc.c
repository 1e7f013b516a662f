#include "http/grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena arena;
static struct message request;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    message_init(&request, &arena);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

static void set_type(const char *type)
{
    message_init(&request, &arena);
    if (type)
        assert_int_equal(message_add(&request, BYTES_LITERAL("Content-Type"), bytes_of_text(type)), 0);
}

static void calls_are_known_by_their_content_type(void **state)
{
    static const char *const calls[] = {
        "application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc;charset=utf-8",
        "application/grpc ; x=y", "application/grpc+json", "application/grpc-web", "application/grpc-web-text+proto",
    };
    static const char *const others[] = {
        NULL, "", "application/grpcx", "application/gr", "application/json", "text/plain; application/grpc", "application/grpc_x",
    };

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        set_type(calls[i]);
        assert_true(grpc_is_call(&request));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        set_type(others[i]);
        assert_false(grpc_is_call(&request));
    }
}

static void an_answer_has_the_plain_type_but_for_grpc_web(void **state)
{
    set_type("application/grpc+proto");
    assert_true(bytes_equal_text(grpc_answer_type(&request), "application/grpc"));
    set_type("application/grpc-web+proto; x=y");
    assert_true(bytes_equal_text(grpc_answer_type(&request), "application/grpc-web+proto"));
    set_type(NULL);
    assert_true(bytes_equal_text(grpc_answer_type(&request), "application/grpc"));
}

static void statuses_are_mapped_as_clients_do_it_but_for_504(void **state)
{
    static const struct { int http, grpc; } rows[] = {
        { 200, 0 }, { 400, 13 }, { 401, 16 }, { 403, 7 }, { 404, 12 }, { 429, 14 }, { 502, 14 }, { 503, 14 }, { 504, 4 },
        { 405, 2 }, { 408, 2 }, { 413, 2 }, { 421, 2 }, { 431, 2 }, { 500, 2 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(grpc_status_of(rows[i].http), rows[i].grpc);
}

static void a_reset_says_what_its_code_says(void **state)
{
    assert_int_equal(grpc_status_of_reset(8), GRPC_CANCELLED);
    assert_int_equal(grpc_status_of_reset(11), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_reset(0), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_reset(2), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_reset(0xffffffff), GRPC_UNAVAILABLE);
}

static void a_status_is_a_small_number(void **state)
{
    static const struct { const char *name, *value; int status; } rows[] = {
        { "grpc-status", "0", 0 }, { "Grpc-Status", "14", 14 }, { "grpc-status", "999", 999 }, { "grpc-status", "1000", -1 },
        { "grpc-status", "", -1 }, { "grpc-status", "-1", -1 }, { "grpc-status", "1 ", -1 }, { "grpc-message", "1", -1 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message m;

        message_init(&m, &arena);
        assert_int_equal(grpc_status_told(&m.fields), -1);
        assert_int_equal(message_add(&m, BYTES_LITERAL("x"), BYTES_LITERAL("7")), 0);
        assert_int_equal(message_add(&m, bytes_of_text(rows[i].name), bytes_of_text(rows[i].value)), 0);
        assert_int_equal(grpc_status_told(&m.fields), rows[i].status);
    }
}

static void messages_are_percent_encoded(void **state)
{
    struct bytes out = grpc_message(&arena, BYTES_LITERAL("50% of\nit: \xc3\xa4 ~\x7f"));

    assert_true(bytes_equal_text(out, "50%25 of%0Ait: %C3%A4 ~%7F"));
    out = grpc_message(&arena, BYTES_NONE);
    assert_non_null(out.at);
    assert_int_equal(out.size, 0);
}

static void a_message_that_memory_does_not_take_is_none(void **state)
{
    struct arena small;

    arena_init(&small, NULL, 8);
    assert_null(grpc_message(&small, BYTES_LITERAL("a longer text")).at);
    arena_reset(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_are_known_by_their_content_type, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_has_the_plain_type_but_for_grpc_web, setup, teardown),
        cmocka_unit_test_setup_teardown(statuses_are_mapped_as_clients_do_it_but_for_504, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_says_what_its_code_says, setup, teardown),
        cmocka_unit_test_setup_teardown(a_status_is_a_small_number, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_are_percent_encoded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_that_memory_does_not_take_is_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
