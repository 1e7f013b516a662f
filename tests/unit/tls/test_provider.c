/* test_provider.c: what the library takes from us is what it would have made itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "base/check.h"
#include "tls/openssl.h"

struct given {
    int mode;
    const char *hash;
    size_t key, salt, context; /* bytes; 0: none */
    size_t out;
};

static uint8_t input[512];

static int derive(const char *properties, const struct given *g, const char *prefix, uint8_t *out)
{
    int mode = g->mode, result;
    OSSL_PARAM params[8], *p = params;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", properties);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;

    assert_non_null(context);
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)g->hash, 0);
    if (g->key)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input, g->key);
    if (g->salt)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, input + 300, g->salt);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char *)prefix, strlen(prefix));
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)"derived", 7);
    if (g->context)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, input + 400, g->context);
    *p = OSSL_PARAM_construct_end();
    result = EVP_KDF_derive(context, out, g->out, params);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return result;
}

static void expect_equal(const struct given *g)
{
    uint8_t theirs[200] = { 0 }, ours[200] = { 0 };

    assert_int_equal(derive("provider=default", g, "tls13 ", theirs), 1);
    assert_int_equal(derive("provider=unlade", g, "tls13 ", ours), 1);
    assert_memory_equal(theirs, ours, sizeof ours);
}

static void the_key_schedule_is_the_librarys(void **state)
{
    static const char *const hashes[] = { "SHA2-256", "SHA2-384", "SHA256" };
    static const size_t sizes[] = { 32, 48, 32 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        struct given extract = { .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .hash = hashes[i], .out = sizes[i] };
        struct given expand = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = hashes[i], .key = sizes[i] };

        expect_equal(&extract); /* nothing at all: the early secret without a PSK */
        extract.key = 48;
        expect_equal(&extract);
        extract.salt = sizes[i];
        for (extract.key = 0; extract.key < 300; extract.key += 23) /* secrets of groups, also longer than a block */
            expect_equal(&extract);
        for (expand.out = 12; expand.out < 150; expand.out += 17) {
            expand.context = expand.out % 2 ? 0 : sizes[i];
            expect_equal(&expand);
        }
    }
}

static void what_lacks_something_is_refused(void **state)
{
    const struct given good = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .hash = "SHA2-256", .key = 32, .out = 16 };
    struct given g;
    uint8_t out[200];

    (void)state;
    assert_int_equal(derive("provider=unlade", &good, "tls13 ", out), 1);
    g = good;
    g.key = 0;
    assert_int_equal(derive("provider=unlade", &g, "tls13 ", out), 0);
    g = good;
    g.hash = "SHA2-512";
    assert_int_equal(derive("provider=unlade", &g, "tls13 ", out), 0);
    g = good;
    g.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    assert_int_equal(derive("provider=unlade", &g, "tls13 ", out), 0);
    g.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY; /* and a size that is not the hash's */
    assert_int_equal(derive("provider=unlade", &g, "tls13 ", out), 0);
}

static void the_library_prefers_ours(void **state)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL), *other = EVP_KDF_fetch(NULL, "HKDF", NULL);

    (void)state;
    assert_non_null(kdf);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "unlade");
    assert_non_null(other); /* the default provider is there as well */
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(other)), "default");
    EVP_KDF_free(kdf);
    EVP_KDF_free(other);
}

static int load(void **state)
{
    (void)state;
    (void)fetched_aes_256_cbc();
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)(i * 7 + i / 256);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_schedule_is_the_librarys),
        cmocka_unit_test(what_lacks_something_is_refused),
        cmocka_unit_test(the_library_prefers_ours),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
