/* test_hmac.c: HMAC by RFC 4231's vectors, HKDF-Expand-Label by RFC 8448's trace of a handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tls/hmac.h"

struct blob {
    uint8_t at[256];
    size_t size;
};

static struct blob hex(const char *text)
{
    struct blob b = { .size = strlen(text) / 2 };

    for (size_t i = 0; i < b.size; i++) {
        const char digits[] = { text[2 * i], text[2 * i + 1], '\0' };
        b.at[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return b;
}

static struct bytes of(const struct blob *b)
{
    return bytes_of(b->at, b->size);
}

static struct blob repeated(uint8_t byte, size_t size)
{
    struct blob b = { .size = size };

    memset(b.at, byte, size);
    return b;
}

/* ---- RFC 4231 4.2, 4.3, 4.5 and 4.7: a short key, text, equal bytes, a key longer than a block ---- */

static void expect_mac(enum hash hash, const struct blob *key, const struct blob *message, const char *expected)
{
    struct blob wanted = hex(expected);
    uint8_t mac[HASH_BYTES_MOST];
    struct hmac h;

    assert_int_equal(hash_bytes(hash), wanted.size);
    hmac_key(&h, hash, of(key));
    for (int round = 0; round < 2; round++) { /* the key stays for another message; pieces may be cut anywhere */
        hmac_add(&h, bytes_part(of(message), 0, 1));
        hmac_add(&h, BYTES_NONE);
        hmac_add(&h, bytes_from(of(message), 1));
        hmac_end(&h, mac);
        assert_memory_equal(mac, wanted.at, wanted.size);
        hmac_add(&h, of(key));
        hmac_restart(&h); /* as if that had not been said */
    }
    hmac_wipe(&h);
}

static void macs_are_those_of_rfc_4231(void **state)
{
    struct blob keys[] = { repeated(0x0b, 20), hex("4a656665"), hex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                           repeated(0xaa, 131) };
    struct blob messages[] = { hex("4869205468657265"),
                               hex("7768617420646f2079612077616e7420666f72206e6f7468696e673f"), repeated(0xcd, 50),
                               hex("54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368"
                                   "204b6579204669727374") };
    static const char *const expected[][2] = {
        { "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
          "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6" },
        { "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
          "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649" },
        { "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
          "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb" },
        { "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
          "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        expect_mac(HASH_SHA256, &keys[i], &messages[i], expected[i][0]);
        expect_mac(HASH_SHA384, &keys[i], &messages[i], expected[i][1]);
    }
}

/* ---- RFC 8448 3: the early and the handshake secret, and keys of the server ---- */

static void expect_label(const char *secret, const char *label, const char *context, const char *expected)
{
    struct blob key = hex(secret), data = hex(context), wanted = hex(expected);
    uint8_t out[64];
    struct hmac h;

    hmac_key(&h, HASH_SHA256, of(&key));
    hkdf_expand_label(&h, BYTES_LITERAL("tls13 "), bytes_of_text(label), of(&data), out, wanted.size);
    assert_memory_equal(out, wanted.at, wanted.size);
    hkdf_expand_label(&h, BYTES_LITERAL("tls13 "), bytes_of_text(label), of(&data), out, wanted.size);
    assert_memory_equal(out, wanted.at, wanted.size); /* the key is still there */
}

static void labels_are_expanded_as_in_rfc_8448(void **state)
{
    static const char traffic[] = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";

    (void)state;
    expect_label("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a", "derived",
                 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                 "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    expect_label(traffic, "key", "", "3fce516009c21727d0f2e4e86ee403bc");
    expect_label(traffic, "iv", "", "5d313eb2671276ee13000b30");
}

static void secrets_are_extracted_as_in_rfc_8448(void **state)
{
    struct blob zeros = repeated(0, 32), early = hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    struct blob salt = hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    struct blob shared = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    struct blob handshake = hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    uint8_t secret[HASH_BYTES_MOST];

    (void)state;
    hkdf_extract(HASH_SHA256, BYTES_NONE, of(&zeros), secret);
    assert_memory_equal(secret, early.at, 32);
    hkdf_extract(HASH_SHA256, of(&salt), of(&shared), secret);
    assert_memory_equal(secret, handshake.at, 32);
}

static void more_than_a_block_can_be_expanded(void **state)
{
    uint8_t shorter[32], longer[100];
    struct hmac h;

    (void)state;
    hmac_key(&h, HASH_SHA256, BYTES_LITERAL("secret"));
    hkdf_expand_label(&h, BYTES_LITERAL("tls13 "), BYTES_LITERAL("exporter"), BYTES_NONE, longer, sizeof longer);
    hkdf_expand_label(&h, BYTES_LITERAL("tls13 "), BYTES_LITERAL("exporter"), BYTES_NONE, shorter, sizeof shorter);
    assert_memory_not_equal(shorter, longer, sizeof shorter); /* the length is part of what is hashed */
    assert_memory_not_equal(longer, longer + 32, 32);
    assert_memory_not_equal(longer + 32, longer + 64, 32);
}

static void hashes_are_known_by_the_librarys_names(void **state)
{
    (void)state;
    assert_int_equal(hash_named("SHA2-256"), HASH_SHA256);
    assert_int_equal(hash_named("sha384"), HASH_SHA384);
    assert_int_equal(hash_named("SHA-384"), HASH_SHA384);
    assert_int_equal(hash_named("SHA2-512"), HASH_NONE);
    assert_int_equal(hash_named("SHA2-256/192"), HASH_NONE);
}

/* The short way through a message is told from the long one by its size alone. */
static void a_message_at_once_has_the_mac_that_it_has_in_pieces(void **state)
{
    static const enum hash hashes[] = { HASH_SHA256, HASH_SHA384 };
    struct blob message = repeated(0x5a, 200), key = repeated(0x0b, 40);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        struct hmac h;

        hmac_key(&h, hashes[i], of(&key));
        for (size_t size = 0; size <= message.size; size++) {
            uint8_t at_once[HASH_BYTES_MOST] = { 0 }, in_pieces[HASH_BYTES_MOST] = { 0 };

            message.at[size / 2] = (uint8_t)size;
            hmac_add(&h, bytes_part(of(&message), 0, size / 3));
            hmac_add(&h, bytes_part(of(&message), size / 3, size - size / 3));
            hmac_end(&h, in_pieces);
            hmac_once(&h, bytes_part(of(&message), 0, size), at_once);
            assert_memory_equal(at_once, in_pieces, sizeof at_once);
        }
        hmac_wipe(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_at_once_has_the_mac_that_it_has_in_pieces),
        cmocka_unit_test(macs_are_those_of_rfc_4231),
        cmocka_unit_test(labels_are_expanded_as_in_rfc_8448),
        cmocka_unit_test(secrets_are_extracted_as_in_rfc_8448),
        cmocka_unit_test(more_than_a_block_can_be_expanded),
        cmocka_unit_test(hashes_are_known_by_the_librarys_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
