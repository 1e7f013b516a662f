#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls/digest.h"

static void lists_of_pieces_that_differ_hash_differently(void **state)
{
    const struct bytes one[] = { BYTES_LITERAL("ab"), BYTES_LITERAL("c") };
    const struct bytes other[] = { BYTES_LITERAL("a"), BYTES_LITERAL("bc") };
    uint8_t a[DIGEST_BYTES], b[DIGEST_BYTES];

    (void)state;
    assert_int_equal(digest_of(one, 2, a), 0);
    assert_int_equal(digest_of(other, 2, b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(digest_of(one, 2, b), 0);
    assert_memory_equal(a, b, sizeof a);
}

/* RFC 6455 1.3 */
static void sha1_is_what_the_handshake_of_websocket_wants(void **state)
{
    static const uint8_t expected[DIGEST_SHA1_BYTES] = { 0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6,
                                                         0x46, 0x06, 0xcf, 0x38, 0x59, 0x45, 0xb2, 0xbe, 0xc4, 0xea };
    uint8_t digest[DIGEST_SHA1_BYTES];

    (void)state;
    assert_int_equal(digest_sha1(BYTES_LITERAL("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest), 0);
    assert_memory_equal(digest, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_pieces_that_differ_hash_differently),
        cmocka_unit_test(sha1_is_what_the_handshake_of_websocket_wants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
