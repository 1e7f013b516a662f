/* signing.h: keys, requests for signatures, and OpenSSL's opinion of what comes back. */
#ifndef TESTS_TLS_SIGNING_H
#define TESTS_TLS_SIGNING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "base/check.h"
#include "tls/signer_inside.h"

static inline EVP_PKEY *make_rsa(const char *type, unsigned bits, unsigned exponent, unsigned primes)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_BITS, &bits),
        OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_E, &exponent),
        OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_PRIMES, &primes),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;

    assert_non_null(c);
    assert_int_equal(EVP_PKEY_keygen_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_params(c, params), 1);
    assert_int_equal(EVP_PKEY_generate(c, &key), 1);
    EVP_PKEY_CTX_free(c);
    return key;
}

struct wish {
    struct signature sig;
    char content[40];
    bool done;
};

static inline void note(struct batch_job *job)
{
    struct wish *w = CONTAINER_OF(job, struct wish, sig.job);

    assert_false(w->done);
    w->done = true;
}

static inline void wish_begin(struct wish *w, uint16_t scheme, unsigned number)
{
    memset(w, 0, sizeof *w);
    snprintf(w->content, sizeof w->content, "content of number %u", number);
    w->sig.scheme = scheme;
    w->sig.content = bytes_of_text(w->content);
    w->sig.job.done = note;
}

static inline const char *digest_of_scheme(uint16_t scheme)
{
    switch (scheme) {
    case SCHEME_ED25519:
        return NULL;
    case SCHEME_ECDSA_SECP384R1_SHA384:
    case SCHEME_RSA_PSS_RSAE_SHA384:
    case SCHEME_RSA_PSS_PSS_SHA384:
        return "SHA384";
    case SCHEME_RSA_PSS_RSAE_SHA512:
    case SCHEME_RSA_PSS_PSS_SHA512:
        return "SHA512";
    default:
        return "SHA256";
    }
}

static inline bool verifies(EVP_PKEY *key, const struct wish *w)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;
    int result;

    assert_int_equal(EVP_DigestVerifyInit_ex(c, &with, digest_of_scheme(w->sig.scheme), NULL, NULL, key, NULL), 1);
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(with, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    result = EVP_DigestVerify(c, w->sig.value, w->sig.bytes, (const uint8_t *)w->content, strlen(w->content));
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return result == 1;
}

static inline void wish_check(const struct wish *w)
{
    assert_true(w->done);
    assert_int_equal(w->sig.error, 0);
    assert_true(verifies(w->sig.signer->key, w));
}

#endif
