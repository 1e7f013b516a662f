#include "h1_test.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

#define OK  "HTTP/1.1 200 OK\r\n"
#define END "\r\n\r\n"

struct good {
    const char *text;
    enum http_method to;
    const char *message;
};

static const struct good good[] = {
    { OK "Content-Length: 5" END, METHOD_GET, "200 OK 1.1 body=length length=5 persistent" },
    { OK "Content-Length: 0" END, METHOD_GET, "200 OK 1.1 body=length length=0 persistent" },
    { OK "Transfer-Encoding: Chunked" END, METHOD_GET, "200 OK 1.1 body=streamed persistent" },
    { OK "\r\n", METHOD_GET, "200 OK 1.1 body=to-close" },
    { OK "Connection: keep-alive" END, METHOD_GET, "200 OK 1.1 body=to-close" },
    { OK "Content-Length: 5\r\nConnection: close" END, METHOD_GET, "200 OK 1.1 body=length length=5" },
    { "HTTP/1.0 200 OK\r\nContent-Length: 5" END, METHOD_GET, "200 OK 1.0 body=length length=5" },
    { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive" END, METHOD_GET,
      "200 OK 1.0 body=length length=5 persistent" },
    { "HTTP/1.0 200 OK\r\n\r\n", METHOD_GET, "200 OK 1.0 body=to-close" },
    { "HTTP/1.2 200 OK\r\nContent-Length: 5" END, METHOD_GET, "200 OK 1.1 body=length length=5 persistent" },
    /* the reason */
    { "HTTP/1.1 404\r\nContent-Length: 0" END, METHOD_GET, "404  1.1 body=length length=0 persistent" },
    { "HTTP/1.1 404 \r\nContent-Length: 0" END, METHOD_GET, "404  1.1 body=length length=0 persistent" },
    { "HTTP/1.1 599 Not \xc3\xa9 \tfound\r\nContent-Length: 0" END, METHOD_GET,
      "599 Not \xc3\xa9 \tfound 1.1 body=length length=0 persistent" },
    /* without content */
    { OK "Content-Length: 5" END, METHOD_HEAD, "200 OK 1.1 length=5 persistent" },
    { OK "Transfer-Encoding: chunked" END, METHOD_HEAD, "200 OK 1.1 persistent" },
    { OK "\r\n", METHOD_HEAD, "200 OK 1.1 persistent" },
    { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5" END, METHOD_GET, "304 Not Modified 1.1 length=5 persistent" },
    { "HTTP/1.1 304 Not Modified\r\nETag: x" END, METHOD_GET, "304 Not Modified 1.1 persistent | ETag: x" },
    { "HTTP/1.1 204 No Content\r\n\r\n", METHOD_GET, "204 No Content 1.1 persistent" },
    { "HTTP/1.1 204 No Content\r\nContent-Length: 0" END, METHOD_GET, "204 No Content 1.1 persistent" },
    { "HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, "100 Continue 1.1 persistent" },
    { "HTTP/1.1 103 Early Hints\r\nLink: x" END, METHOD_GET, "103 Early Hints 1.1 persistent | Link: x" },
    { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade" END, METHOD_GET,
      "101 Switching Protocols 1.1 upgrade=websocket" },
    { OK "Content-Length: 5" END, METHOD_CONNECT, "200 OK 1.1 length=5 persistent" },
    { "HTTP/1.1 405 No\r\nContent-Length: 5" END, METHOD_CONNECT, "405 No 1.1 body=length length=5 persistent" },
    /* fields of one hop */
    { OK "Content-Length: 1\r\nUpgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive, X\r\nKeep-Alive: timeout=5\r\nX: "
         "1\r\nHost: y\r\nY: 2" END,
      METHOD_GET, "200 OK 1.1 body=length length=1 persistent | Y: 2" },
    { "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 1\r\nUpgrade: foo/2\r\nConnection: Upgrade" END, METHOD_GET,
      "426 Upgrade Required 1.1 body=length length=1 persistent upgrade=foo/2" },
};

static void well_formed_responses_become_messages(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct message m;

        message_init(&m, &arena);
        int result = test_response(bytes_of_text(good[i].text), good[i].to, &m);
        if (result != 0)
            fail_msg("%s: %s", error_token(result), good[i].text);
        assert_string_equal(test_describe(&m), good[i].message);
    }
}

static void what_is_written_parses_to_the_same_message(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char before[4096];
        uint8_t out[4096];
        struct message m, again;

        message_init(&m, &arena);
        assert_int_equal(test_response(bytes_of_text(good[i].text), good[i].to, &m), 0);
        m.version = HTTP_1_1;
        snprintf(before, sizeof(before), "%s", test_describe(&m));
        int size = h1_write_response(&m, HTTP_1_1, out, sizeof(out));
        assert_true(size > 0);
        message_init(&again, &arena);
        assert_int_equal(test_response(bytes_of(out, (size_t)size), good[i].to, &again), 0);
        assert_string_equal(test_describe(&again), before);
    }
}

static const char *const bad[] = {
    "HTTP/1.1 200 OK\nContent-Length: 0" END,
    "HTTP/2.0 200 OK" END,
    "HTTP/0.9 200 OK" END,
    "http/1.1 200 OK" END,
    "ICY 200 OK" END,
    "<html>" END,
    "HTTP/1.1" END,
    "HTTP/1.1 " END,
    "HTTP/1.1 20" END,
    "HTTP/1.1 20 OK" END,
    "HTTP/1.1 2000 OK" END,
    "HTTP/1.1 2x0 OK" END,
    "HTTP/1.1 +20 OK" END,
    "HTTP/1.1  200 OK" END,
    "HTTP/1.1\t200 OK" END,
    "HTTP/1.1 200\tOK" END,
    "HTTP/1.1 200OK" END,
    "HTTP/1.1 099 OK" END,
    "HTTP/1.1 000 OK" END,
    "HTTP/1.1 600 OK" END,
    "HTTP/1.1 999 OK" END,
    "HTTP/1.1 200 O\x01K" END,
    " HTTP/1.1 200 OK" END,
    "\r\nHTTP/1.1 200 OK" END,
    OK "X : a" END,
    OK "X: a\r\n b" END,
    OK " X: a" END,
    OK "X" END,
    OK ": x" END,
    OK "Content-Length: 5\r\nTransfer-Encoding: chunked" END,
    OK "Content-Length: 5\r\nContent-Length: 6" END,
    OK "Content-Length: 5\r\nContent-Length: 5" END,
    OK "Content-Length: 5, 5" END,
    OK "Content-Length: x" END,
    OK "Content-Length:" END,
    OK "Content-Length: -1" END,
    OK "Content_Length: 5\r\nContent-Length: 4" END,
    OK "Transfer-Encoding: gzip, chunked" END,
    OK "Transfer-Encoding: identity" END,
    OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" END,
    OK "Transfer-Encoding: xchunked" END,
    OK "Connection: Content-Length\r\nContent-Length: 5" END,
    OK "Connection: x y" END,
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked" END,
    "HTTP/1.1 204 No Content\r\nContent-Length: 5" END,
    "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked" END,
    "HTTP/1.1 100 Continue\r\nContent-Length: 5" END,
    "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked" END,
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket" END,
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c" END,
    "HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket" END,
};

static void malformed_responses_are_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct message m;

        message_init(&m, &arena);
        int result = test_response(bytes_of_text(bad[i]), METHOD_GET, &m);
        if (result != -E_BAD_RESPONSE && result != -E_SYNTAX) /* the latter from the scanner */
            fail_msg("%s: %s", error_token(result), bad[i]);
        message_init(&m, &arena);
        assert_int_equal(h1_parse_response(bytes_of_text(bad[i]), &test_limits, METHOD_GET, &m), -E_BAD_RESPONSE);
    }
}

static void limits_are_told_apart_from_bad_syntax(void **state)
{
    struct h1_limits limits = test_limits;
    struct message m;

    message_init(&m, &arena);
    limits.fields = 1;
    assert_int_equal(h1_parse_response(BYTES_LITERAL(OK "A: b\r\nA: b" END), &limits, METHOD_GET, &m),
                     -E_HEAD_TOO_LARGE);
    limits = (struct h1_limits){ .head = 10, .fields = 9 };
    assert_int_equal(h1_parse_response(BYTES_LITERAL(OK "\r\n"), &limits, METHOD_GET, &m), -E_HEAD_TOO_LARGE);
    for (size_t limit = 0, result = 1; result != 0; limit += 16) {
        struct arena small;
        arena_init(&small, NULL, limit);
        message_init(&m, &small);
        int got = h1_parse_response(BYTES_LITERAL(OK "A: b\r\nContent-Length: 0" END), &test_limits, METHOD_GET, &m);
        assert_true(got == 0 || got == -E_MEMORY);
        result = got != 0;
        arena_reset(&small);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(well_formed_responses_become_messages),
        TEST(what_is_written_parses_to_the_same_message),
        TEST(malformed_responses_are_refused),
        TEST(limits_are_told_apart_from_bad_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
