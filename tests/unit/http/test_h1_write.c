#include "h1_test.h"

static struct arena arena;
static struct message m;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    message_init(&m, &arena);
    m.persistent = true;
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

static void request(const char *method, const char *path)
{
    m.method_name = bytes_of_text(method);
    m.method = method_of(m.method_name);
    m.path = bytes_of_text(path);
    m.authority = BYTES_LITERAL("a.example:8080");
}

static void response(int status)
{
    m.status = status;
    m.reason = bytes_of_text(status_reason(status));
}

/* The written head, after checking that less room gives -E_LIMIT and that nothing is written behind the room. */
static const char *written(enum http_version to)
{
    static char out[4096];
    int size = m.status ? h1_write_response(&m, to, (uint8_t *)out, sizeof(out) - 1)
                        : h1_write_request(&m, (uint8_t *)out, sizeof(out) - 1);

    assert_true(size > 0);
    out[size] = 0;
    for (size_t room = 0; room <= (size_t)size; room++) {
        uint8_t *small = test_malloc(room + 1);
        int got = m.status ? h1_write_response(&m, to, small, room) : h1_write_request(&m, small, room);
        assert_int_equal(got, room == (size_t)size ? size : -E_LIMIT);
        test_free(small);
    }
    return out;
}

static void a_request_begins_with_host_and_ends_with_its_framing(void **state)
{
    request("GET", "/x?y");
    m.version = HTTP_1_0; /* the client's; Unlade speaks its own */
    add("Accept", "*/*");
    add("X-Empty", "");
    assert_string_equal(written(HTTP_1_1),
                        "GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nX-Empty: \r\n\r\n");
    m.persistent = false;
    assert_string_equal(written(HTTP_1_1), "GET /x?y HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nX-Empty: \r\n"
                                           "Connection: close\r\n\r\n");
}

static void requests_say_how_long_their_content_is(void **state)
{
    request("POST", "/");
    m.body = BODY_LENGTH;
    m.length = UINT64_MAX;
    assert_string_equal(written(HTTP_1_1),
                        "POST / HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 18446744073709551615\r\n\r\n");
    m.length = 0;
    assert_string_equal(written(HTTP_1_1), "POST / HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 0\r\n\r\n");
    m.body = BODY_STREAMED;
    assert_string_equal(written(HTTP_1_1),
                        "POST / HTTP/1.1\r\nHost: a.example:8080\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void connection_lists_what_is_for_one_hop(void **state)
{
    request("GET", "/");
    m.upgrade = BYTES_LITERAL("websocket");
    assert_string_equal(written(HTTP_1_1),
                        "GET / HTTP/1.1\r\nHost: a.example:8080\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    m.te_trailers = true;
    m.persistent = false;
    assert_string_equal(written(HTTP_1_1),
                        "GET / HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close, upgrade, TE\r\n"
                        "Upgrade: websocket\r\nTE: trailers\r\n\r\n");
}

static void special_targets_keep_their_form(void **state)
{
    request("OPTIONS", "*");
    assert_string_equal(written(HTTP_1_1), "OPTIONS * HTTP/1.1\r\nHost: a.example:8080\r\n\r\n");
    request("CONNECT", "");
    assert_string_equal(written(HTTP_1_1), "CONNECT a.example:8080 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n");
    request("GET", "/");
    m.authority = BYTES_NONE;
    assert_string_equal(written(HTTP_1_1), "GET / HTTP/1.1\r\nHost: \r\n\r\n");
}

static void a_response_says_how_its_content_ends(void **state)
{
    response(200);
    add("Date", "now");
    m.body = BODY_LENGTH;
    m.length = 5;
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n");
    m.body = BODY_STREAMED;
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n");
    m.body = BODY_TO_CLOSE;
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\n\r\n");
}

static void responses_without_content_say_nothing_false_about_it(void **state)
{
    response(200);
    m.body = BODY_NONE; /* to HEAD */
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 200 OK\r\n\r\n");
    m.has_length = true;
    m.length = 7;
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    response(204);
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 204 No Content\r\n\r\n");
    response(100);
    m.persistent = false;
    assert_string_equal(written(HTTP_1_1), "HTTP/1.1 100 Continue\r\n\r\n");
    response(101);
    m.upgrade = BYTES_LITERAL("websocket");
    assert_string_equal(written(HTTP_1_1),
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static void http_1_0_clients_are_told_that_the_connection_stays(void **state)
{
    response(200);
    m.body = BODY_LENGTH;
    assert_string_equal(written(HTTP_1_0), "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    m.persistent = false;
    assert_string_equal(written(HTTP_1_0), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

static void a_chunk_head_is_hexadecimal_without_zeros_in_front(void **state)
{
    static const struct {
        uint64_t size;
        const char *text;
    } heads[] = { { 1, "1\r\n" },         { 15, "f\r\n" },
                  { 16, "10\r\n" },       { 255, "ff\r\n" },
                  { 256, "100\r\n" },     { 8000, "1f40\r\n" },
                  { 65536, "10000\r\n" }, { UINT64_MAX, "ffffffffffffffff\r\n" } };

    for (size_t i = 0; i < COUNT_OF(heads); i++) {
        uint8_t out[H1_CHUNK_HEAD];
        int size = h1_write_chunk_head(heads[i].size, out);
        assert_true(bytes_equal_text(bytes_of(out, (size_t)size), heads[i].text));
    }
}

static void the_last_chunk_carries_the_trailers(void **state)
{
    uint8_t out[64];

    assert_int_equal(h1_write_last_chunk(NULL, out, sizeof(out)), 5);
    assert_memory_equal(out, "0\r\n\r\n", 5);
    assert_int_equal(h1_write_last_chunk(NULL, out, 4), -E_LIMIT);
    add("A", "b");
    assert_int_equal(h1_write_last_chunk(&m.fields, out, sizeof(out)), 11);
    assert_memory_equal(out, "0\r\nA: b\r\n\r\n", 11);
    assert_int_equal(h1_write_last_chunk(&m.fields, out, 10), -E_LIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_begins_with_host_and_ends_with_its_framing),
        TEST(requests_say_how_long_their_content_is),
        TEST(connection_lists_what_is_for_one_hop),
        TEST(special_targets_keep_their_form),
        TEST(a_response_says_how_its_content_ends),
        TEST(responses_without_content_say_nothing_false_about_it),
        TEST(http_1_0_clients_are_told_that_the_connection_stays),
        TEST(a_chunk_head_is_hexadecimal_without_zeros_in_front),
        TEST(the_last_chunk_carries_the_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
