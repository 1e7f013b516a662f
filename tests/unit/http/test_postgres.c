#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/postgres.h"

#define SSL_REQUEST    "\0\0\0\10\x04\xd2\x16\x2f"
#define GSSENC_REQUEST "\0\0\0\10\x04\xd2\x16\x30"
#define CANCEL         "\x04\xd2\x16\x2e"
#define STARTUP        "\0\0\0\26\0\3\0\0user\0alice\0\0"

static int read_opening(struct bytes in)
{
    size_t size = 12345;
    int kind = postgres_read_opening(in, &size);

    if (kind > 0)
        assert_true(size == (kind == POSTGRES_DIRECT_TLS ? 0 : ((size_t)in.at[2] << 8 | in.at[3])));
    else
        assert_int_equal(size, 12345);
    return kind;
}

static void what_a_client_opens_with_is_known(void **state)
{
    (void)state;
    assert_int_equal(read_opening(BYTES_LITERAL(SSL_REQUEST)), POSTGRES_SSL_REQUEST);
    assert_int_equal(read_opening(BYTES_LITERAL(GSSENC_REQUEST)), POSTGRES_GSSENC_REQUEST);
    assert_int_equal(read_opening(BYTES_LITERAL("\0\0\0\20" CANCEL "PIDxKEYx")), POSTGRES_CANCEL_REQUEST);
    assert_int_equal(read_opening(BYTES_LITERAL(STARTUP)), POSTGRES_STARTUP);
    assert_int_equal(read_opening(BYTES_LITERAL("\x16\x03\x01")), POSTGRES_DIRECT_TLS);
    assert_int_equal(read_opening(BYTES_LITERAL("\x16")), POSTGRES_DIRECT_TLS);
}

static void what_stands_behind_is_not_looked_at(void **state)
{
    (void)state;
    assert_int_equal(read_opening(BYTES_LITERAL(SSL_REQUEST "\x16\x03\x01")), POSTGRES_SSL_REQUEST);
    assert_int_equal(read_opening(BYTES_LITERAL("\0\0\0\20" CANCEL "PIDxKEYxmore")), POSTGRES_CANCEL_REQUEST);
}

static void the_rest_is_waited_for(void **state)
{
    const struct bytes whole[] = { BYTES_LITERAL(SSL_REQUEST), BYTES_LITERAL(GSSENC_REQUEST),
                                   BYTES_LITERAL("\0\0\0\20" CANCEL "PIDxKEYx") };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(whole); i++)
        for (size_t n = 0; n < whole[i].size; n++)
            assert_int_equal(read_opening(bytes_part(whole[i], 0, n)), -E_AGAIN);
}

static void a_startup_is_known_by_its_head(void **state)
{
    struct bytes startup = BYTES_LITERAL(STARTUP);

    (void)state;
    for (size_t n = 0; n < 8; n++)
        assert_int_equal(read_opening(bytes_part(startup, 0, n)), -E_AGAIN);
    assert_int_equal(read_opening(bytes_part(startup, 0, 8)), POSTGRES_STARTUP);
}

static void a_length_that_its_message_cannot_have_is_refused(void **state)
{
    const struct bytes wrong[] = {
        BYTES_LITERAL("\0\0\0\7"),                      /* less than length and code */
        BYTES_LITERAL("\0\0\0\0"),
        BYTES_LITERAL("\0\0\x27\x11"),                  /* 10001 */
        BYTES_LITERAL("\0\0\0\11\x04\xd2\x16\x2f"),     /* SSLRequest of 9 */
        BYTES_LITERAL("\0\0\0\20\x04\xd2\x16\x2f"),
        BYTES_LITERAL("\0\0\0\14\x04\xd2\x16\x30"),     /* GSSENCRequest of 12 */
        BYTES_LITERAL("\0\0\0\17" CANCEL),              /* a key of 3 bytes */
        BYTES_LITERAL("\0\0\1\15" CANCEL),              /* a key of 257 bytes */
        BYTES_LITERAL("\0\1"),                          /* 64 KB and more, before the rest has come */
        BYTES_LITERAL("\x80"),
        BYTES_LITERAL("GET / HTTP/1.1\r\n"),
        BYTES_LITERAL("\0\0\0\10\x04\xd2\x16\x31"),     /* a code of that kind that means nothing */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_int_equal(read_opening(wrong[i]), -E_SYNTAX);
}

static void the_longest_cancel_key_has_room(void **state)
{
    uint8_t longest[POSTGRES_CANCEL_MOST] = "\0\0\1\14" CANCEL;

    (void)state;
    assert_int_equal(read_opening(bytes_of(longest, sizeof longest - 1)), -E_AGAIN);
    assert_int_equal(read_opening(bytes_of(longest, sizeof longest)), POSTGRES_CANCEL_REQUEST);
}

static void an_error_response_is_what_clients_read(void **state)
{
    uint8_t out[POSTGRES_ERROR_MOST];
    size_t n = postgres_write_error("28000", "TLS is required", out);
    static const char expected[] = "E\0\0\0\53SFATAL\0VFATAL\0C28000\0MTLS is required\0";

    (void)state;
    assert_int_equal(n, sizeof expected);
    assert_memory_equal(out, expected, n);
    assert_int_equal(out[4], n - 1);
}

static void a_long_error_text_is_cut(void **state)
{
    uint8_t out[POSTGRES_ERROR_MOST];
    char text[500];
    size_t n;

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    n = postgres_write_error("28000", text, out);
    assert_true(n <= sizeof out);
    assert_int_equal(out[n - 1], 0);
    assert_int_equal(out[n - 2], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_client_opens_with_is_known),
        cmocka_unit_test(what_stands_behind_is_not_looked_at),
        cmocka_unit_test(the_rest_is_waited_for),
        cmocka_unit_test(a_startup_is_known_by_its_head),
        cmocka_unit_test(a_length_that_its_message_cannot_have_is_refused),
        cmocka_unit_test(the_longest_cancel_key_has_room),
        cmocka_unit_test(an_error_response_is_what_clients_read),
        cmocka_unit_test(a_long_error_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
