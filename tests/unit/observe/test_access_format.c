#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "observe/access_log.h"
#include "observe/json_check.h"

#define B(text) BYTES_LITERAL(text)

static struct address client_address(void)
{
    struct address a;

    assert_int_equal(address_from_ip("192.0.2.7", 4711, &a), 0);
    return a;
}

static struct access_record full_record(const struct address *client)
{
    return (struct access_record){
        .started_unix_us = 1700000000123456, .client = client, .listener = B("web"), .request_id = B("abc"),
        .method = B("GET"), .authority = B("example.org"), .path = B("/a?b=c"), .referer = B("https://r/"),
        .user_agent = B("curl/8"), .http_version = 11, .status = 200, .grpc_status = -1, .request_body_bytes = 5, .response_body_bytes = 17,
        .tls_version = "TLSv1.3", .tls_suite = "TLS_AES_128_GCM_SHA256", .tls_group = "X25519", .tls_engine = "native", .tls_resumed = true,
        .sni = B("example.org"), .alpn = B("http/1.1"), .upstream = B("app"), .server = B("10.0.0.1:80"), .attempts = 2,
        .server_reused = true, .handshake_us = 1000, .head_us = 0, .connect_us = -1, .response_head_us = 30, .total_us = 40,
    };
}

static void json_line_holds_every_fact(void **state)
{
    struct address client = client_address();
    struct access_record r = full_record(&client);
    char line[8192];
    size_t n = access_format_line(&r, ACCESS_JSON, line, sizeof line);

    (void)state;
    assert_true(json_is_valid(line, n));
    assert_true(json_has(line, n, "time", "\"2023-11-14T22:13:20.123456Z\""));
    assert_true(json_has(line, n, "client", "\"192.0.2.7\""));
    assert_true(json_has(line, n, "client_port", "4711"));
    assert_true(json_has(line, n, "status", "200"));
    assert_true(json_has(line, n, "tls_version", "\"TLSv1.3\""));
    assert_true(json_has(line, n, "tls_cipher", "\"TLS_AES_128_GCM_SHA256\""));
    assert_true(json_has(line, n, "tls_group", "\"X25519\""));
    assert_true(json_has(line, n, "tls_engine", "\"native\""));
    assert_true(json_has(line, n, "tls_resumed", "true"));
    assert_true(json_has(line, n, "sni", "\"example.org\""));
    assert_true(json_has(line, n, "alpn", "\"http/1.1\""));
    assert_true(json_has(line, n, "upstream", "\"app\""));
    assert_true(json_has(line, n, "server", "\"10.0.0.1:80\""));
    assert_true(json_has(line, n, "attempts", "2"));
    assert_true(json_has(line, n, "request_bytes", "5"));
    assert_true(json_has(line, n, "response_bytes", "17"));
    assert_true(json_has(line, n, "handshake_us", "1000"));
    assert_true(json_has(line, n, "head_us", "0"));
    assert_true(json_has(line, n, "path", "\"/a?b=c\""));
    assert_null(memmem(line, n, "grpc_status", 11));
    r.grpc_status = 0;
    n = access_format_line(&r, ACCESS_JSON, line, sizeof line);
    assert_true(json_has(line, n, "grpc_status", "0"));
    r.grpc_status = 14;
    n = access_format_line(&r, ACCESS_JSON, line, sizeof line);
    assert_true(json_has(line, n, "grpc_status", "14"));
    assert_true(json_has(line, n, "status", "200"));
}

static void json_line_leaves_out_what_did_not_happen(void **state)
{
    struct address client = client_address();
    struct access_record r = full_record(&client);
    char line[8192];
    size_t n;

    (void)state;
    r.tls_version = NULL;
    r.upstream = r.server = r.referer = BYTES_NONE;
    r.attempts = 0;
    n = access_format_line(&r, ACCESS_JSON, line, sizeof line);
    assert_true(json_is_valid(line, n));
    assert_null(memmem(line, n, "tls_", 4));
    assert_null(memmem(line, n, "sni", 3));
    assert_null(memmem(line, n, "upstream", 8));
    assert_null(memmem(line, n, "connect_us", 10));
    assert_null(memmem(line, n, "referer", 7));
}

static void json_line_is_valid_for_each_pair_of_bytes(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        uint8_t bytes[3] = { (uint8_t)(pair >> 8), (uint8_t)pair, 'x' };
        struct access_record r = { .path = bytes_of(bytes, 3), .handshake_us = -1, .head_us = -1, .connect_us = -1,
                                   .response_head_us = -1, .total_us = -1 };
        char line[1024];
        size_t n = access_format_line(&r, ACCESS_JSON, line, sizeof line);
        if (!json_is_valid(line, n))
            fail_msg("bytes %02x %02x make invalid JSON: %.*s", bytes[0], bytes[1], (int)n, line);
        assert_null(memchr(line, '\n', n));
    }
}

static void json_keeps_utf8_and_marks_other_bytes(void **state)
{
    struct access_record r = { .path = B("/\xc3\xa9\xff\"\\\n\xe2\x82") };
    char line[1024];
    size_t n = access_format_line(&r, ACCESS_JSON, line, sizeof line);

    (void)state;
    assert_true(json_has(line, n, "path", "\"/\xc3\xa9\\\\xff\\\"\\\\\\u000a\\\\xe2\\\\x82\""));
}

static void every_room_gives_a_valid_line_that_fits(void **state)
{
    struct address client = client_address();
    struct access_record r = full_record(&client);
    char guarded[1200];

    (void)state;
    r.path = B("/\xc3\xa9\xc3\xa9\xff\"\\\n/long/long/long/long/long/long");
    for (size_t room = 0; room < 1000; room++) {
        memset(guarded, '#', sizeof guarded);
        size_t n = access_format_line(&r, ACCESS_JSON, guarded, room);
        assert_true(n <= room);
        assert_int_equal(guarded[room], '#');
        if (room >= 2)
            assert_true(json_is_valid(guarded, n));
        memset(guarded, '#', sizeof guarded);
        n = access_format_line(&r, ACCESS_COMBINED, guarded, room);
        assert_true(n <= room);
        assert_int_equal(guarded[room], '#');
    }
}

static void long_fields_are_cut_and_later_ones_kept(void **state)
{
    static uint8_t path[20000];
    struct access_record r = { .path = bytes_of(path, sizeof path), .user_agent = B("last") };
    char line[8191];
    size_t n;

    (void)state;
    memset(path, '"', sizeof path);
    n = access_format_line(&r, ACCESS_JSON, line, sizeof line);
    assert_true(json_is_valid(line, n));
    assert_true(json_has(line, n, "user_agent", "\"last\""));
}

static void combined_line_is_the_well_known_one(void **state)
{
    static const char want[] =
        "192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /a?b=c HTTP/1.1\" 200 17 \"https://r/\" \"curl/8\"";
    struct address client = client_address();
    struct access_record r = full_record(&client);
    char line[8192];
    size_t n = access_format_line(&r, ACCESS_COMBINED, line, sizeof line);

    (void)state;
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(line, want, n);
}

static void combined_line_cannot_be_forged(void **state)
{
    struct address client = client_address();
    struct access_record r = full_record(&client);
    char line[8192];
    size_t n;

    (void)state;
    r.user_agent = B("\" 200 \\\n\x7f\xff");
    r.referer = BYTES_NONE;
    n = access_format_line(&r, ACCESS_COMBINED, line, sizeof line);
    assert_non_null(memmem(line, n, "\"-\" \"\\x22 200 \\x5c\\x0a\\x7f\\xff\"", 31));
}

static void combined_line_cannot_be_forged_by_a_unix_clients_path(void **state)
{
    static const char want[] = "unix:/tmp/a\\x20b\\x0a\\x22 - - [14/Nov/2023:22:13:20 +0000] \"GET ";
    struct address client = { 0 };
    struct access_record r = full_record(&client);
    char line[8192];
    size_t n;

    (void)state;
    assert_int_equal(address_from_path("/tmp/a b\n\"", &client), 0);
    n = access_format_line(&r, ACCESS_COMBINED, line, sizeof line);
    assert_true(n > sizeof want);
    assert_memory_equal(line, want, sizeof want - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_line_holds_every_fact),
        cmocka_unit_test(json_line_leaves_out_what_did_not_happen),
        cmocka_unit_test(json_line_is_valid_for_each_pair_of_bytes),
        cmocka_unit_test(json_keeps_utf8_and_marks_other_bytes),
        cmocka_unit_test(every_room_gives_a_valid_line_that_fits),
        cmocka_unit_test(long_fields_are_cut_and_later_ones_kept),
        cmocka_unit_test(combined_line_is_the_well_known_one),
        cmocka_unit_test(combined_line_cannot_be_forged),
        cmocka_unit_test(combined_line_cannot_be_forged_by_a_unix_clients_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
