/* test_signer.c: each scheme's signatures are what OpenSSL verifies, alone and in batches. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "tls/signer_inside.h"
#include "signing.h"
#include "soft_lanes.h"

/* ---- Keys, each made once ---- */

static EVP_PKEY *p256, *p384, *ed25519, *rsa2048, *rsa3072, *rsa4096, *rsa1024, *rsa2056, *rsa_e3, *rsa_three, *rsa_pss;

static int make_keys(void **state)
{
    (void)state;
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    rsa1024 = make_rsa("RSA", 1024, 65537, 2);
    rsa2048 = make_rsa("RSA", 2048, 65537, 2);
    rsa2056 = make_rsa("RSA", 2056, 65537, 2);
    rsa3072 = make_rsa("RSA", 3072, 65537, 2);
    rsa4096 = make_rsa("RSA", 4096, 65537, 2);
    rsa_e3 = make_rsa("RSA", 2048, 3, 2);
    rsa_three = make_rsa("RSA", 2048, 65537, 3);
    rsa_pss = make_rsa("RSA-PSS", 2048, 65537, 2);
    return 0;
}

static int free_keys(void **state)
{
    EVP_PKEY *all[] = { p256, p384, ed25519, rsa1024, rsa2048, rsa2056, rsa3072, rsa4096, rsa_e3, rsa_three, rsa_pss };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        EVP_PKEY_free(all[i]);
    return 0;
}

static void expect_schemes(EVP_PKEY *key, const uint16_t *wanted, size_t count)
{
    struct signer *s = signer_new(key);
    const uint16_t *schemes;
    size_t n;

    assert_non_null(s);
    schemes = signer_schemes(s, &n);
    assert_int_equal(n, count);
    assert_memory_equal(schemes, wanted, count * sizeof *wanted);
    for (size_t i = 0; i < count; i++)
        assert_true(signer_can(s, wanted[i]));
    assert_false(signer_can(s, 0x0401)); /* PKCS #1 is not for TLS 1.3's handshake */
    signer_free(s);
}

#define EXPECT_SCHEMES(key, ...) \
    expect_schemes(key, (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / sizeof(uint16_t))

static void each_key_has_the_schemes_of_its_kind(void **state)
{
    EVP_PKEY *p521 = EVP_EC_gen("P-521"), *x25519 = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");

    (void)state;
    EXPECT_SCHEMES(p256, SCHEME_ECDSA_SECP256R1_SHA256);
    EXPECT_SCHEMES(p384, SCHEME_ECDSA_SECP384R1_SHA384);
    EXPECT_SCHEMES(ed25519, SCHEME_ED25519);
    EXPECT_SCHEMES(rsa2048, SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_RSAE_SHA384, SCHEME_RSA_PSS_RSAE_SHA512);
    EXPECT_SCHEMES(rsa1024, SCHEME_RSA_PSS_RSAE_SHA256, SCHEME_RSA_PSS_RSAE_SHA384); /* no room for twice SHA-512 */
    EXPECT_SCHEMES(rsa_pss, SCHEME_RSA_PSS_PSS_SHA256, SCHEME_RSA_PSS_PSS_SHA384, SCHEME_RSA_PSS_PSS_SHA512);
    assert_null(signer_new(p521));
    assert_null(signer_new(x25519));
    assert_int_equal(ERR_peek_error(), 0);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(x25519);
}

static void openssl_verifies_each_scheme_of_each_key(void **state)
{
    EVP_PKEY *keys[] = { p256, p384, ed25519, rsa1024, rsa2048, rsa2056, rsa3072, rsa4096, rsa_e3, rsa_three, rsa_pss };

    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(keys); i++) {
            struct signer *s = signer_new(keys[i]);
            const uint16_t *schemes;
            size_t count;

            schemes = signer_schemes(s, &count);
            for (size_t j = 0; j < count; j++) {
                struct wish w;

                wish_begin(&w, schemes[j], (unsigned)i);
                signer_start(b, s, &w.sig);
                assert_false(w.done);
                batch_run(b);
                wish_check(&w);
            }
            signer_free(s);
        }
    }
}

static void batches_of_any_size_and_mixture_verify(void **state)
{
    struct signer *signers[] = { signer_new(p256), signer_new(rsa2048), signer_new(rsa_pss), signer_new(ed25519),
                                 signer_new(rsa3072) };
    static struct wish wishes[20];

    (void)state;
    EACH_WAY(b) {
        for (unsigned count = 1; count <= COUNT_OF(wishes); count++) {
            for (unsigned i = 0; i < count; i++) {
                struct signer *s = signers[(i + i / 5) % COUNT_OF(signers)];

                wish_begin(&wishes[i], s->schemes[i % 3 < s->count ? i % 3 : 0], i);
                signer_start(b, s, &wishes[i].sig);
                memset(wishes[i].content, 'x', 7); /* "content" was read; it is put back for whoever verifies */
                wishes[i].sig.content = BYTES_NONE;
                memcpy(wishes[i].content, "content", 7);
            }
            batch_run(b);
            for (unsigned i = 0; i < count; i++)
                wish_check(&wishes[i]);
        }
    }
    for (size_t i = 0; i < COUNT_OF(signers); i++)
        signer_free(signers[i]);
}

static void a_full_batch_of_each_kind_verifies(void **state)
{
    EVP_PKEY *keys[] = { p256, rsa2048, rsa3072, rsa4096 };
    static struct wish wishes[LANES];

    (void)state;
    EACH_WAY(b) {
        for (size_t k = 0; k < COUNT_OF(keys); k++) {
            struct signer *s = signer_new(keys[k]);

            for (unsigned i = 0; i < LANES; i++) {
                wish_begin(&wishes[i], s->schemes[k > 0 && i % 2], i);
                signer_start(b, s, &wishes[i].sig);
            }
            batch_run(b);
            for (unsigned i = 0; i < LANES; i++)
                wish_check(&wishes[i]);
            signer_free(s);
        }
        if (b->library) {
            assert_int_equal(batch_counts(b, BATCH_ECDSA_P256)->lanes, LANES);
            assert_int_equal(batch_counts(b, BATCH_RSA_2048)->lanes, LANES);
            assert_int_equal(batch_counts(b, BATCH_RSA_3072)->lanes, LANES);
            assert_int_equal(batch_counts(b, BATCH_RSA_4096)->lanes, LANES);
            assert_int_equal(batch_counts(b, BATCH_RSA_4096)->calls, 1);
            assert_int_equal(batch_counts(b, BATCH_RSA_2048)->singly, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_the_schemes_of_its_kind),
        cmocka_unit_test(openssl_verifies_each_scheme_of_each_key),
        cmocka_unit_test(batches_of_any_size_and_mixture_verify),
        cmocka_unit_test(a_full_batch_of_each_kind_verifies),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
