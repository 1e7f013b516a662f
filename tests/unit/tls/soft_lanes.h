/* soft_lanes.h: the multi-buffer library's functions made of OpenSSL's, one lane after the other: so that what we build on them is
 * tested on any processor, and in any of the checkers that do not know its instructions. */
#ifndef TESTS_TLS_SOFT_LANES_H
#define TESTS_TLS_SOFT_LANES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include "tls/batch_inside.h"
#include "tls/multi_buffer.h"

/* ---- X25519 ---- */

static inline uint32_t soft_x25519_public_key(uint8_t *const public_keys[LANES], const uint8_t *const private_keys[LANES])
{
    for (unsigned i = 0; i < LANES; i++) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_keys[i], 32);
        size_t size = 32;

        assert_int_equal(EVP_PKEY_get_raw_public_key(key, public_keys[i], &size), 1);
        EVP_PKEY_free(key);
    }
    return 0;
}

static inline uint32_t soft_x25519(uint8_t *const shared[LANES], const uint8_t *const private_keys[LANES],
                                   const uint8_t *const public_keys[LANES])
{
    uint32_t status = 0;

    for (unsigned i = 0; i < LANES; i++) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_keys[i], 32);
        EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public_keys[i], 32);
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
        size_t size = 32;

        assert_int_equal(EVP_PKEY_derive_init(c), 1);
        assert_int_equal(EVP_PKEY_derive_set_peer(c, peer), 1);
        if (EVP_PKEY_derive(c, shared[i], &size) != 1) {
            memset(shared[i], 0, 32);
            status |= 4u << (4 * i);
            ERR_clear_error();
        }
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(peer);
        EVP_PKEY_free(key);
    }
    return status;
}

/* ---- Numbers ---- */

static inline BIGNUM *soft_number(const mb_word *words, int bytes)
{
    return BN_lebin2bn((const unsigned char *)words, bytes, NULL);
}

static inline void soft_store(BIGNUM *number, mb_word *words, int bytes)
{
    assert_int_equal(BN_bn2lebinpad(number, (unsigned char *)words, bytes), bytes);
    BN_free(number);
}

/* ---- ECDSA ---- */

static inline uint32_t soft_setup(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES],
                                  uint8_t *buffer)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = EC_POINT_new(group);
    BN_CTX *c = BN_CTX_new();
    uint32_t status = 0;

    (void)buffer;
    for (unsigned i = 0; i < LANES; i++) {
        const BIGNUM *order = EC_GROUP_get0_order(group);
        BIGNUM *k = soft_number(nonces[i], 32), *x = BN_new(), *one_by_k;

        assert_true(BN_cmp(k, order) < 0);
        one_by_k = BN_mod_inverse(NULL, k, order, c);
        if (!one_by_k) { /* of zero there is none */
            status |= 1u << (4 * i);
            BN_free(k);
            BN_free(x);
            continue;
        }
        assert_int_equal(EC_POINT_mul(group, point, k, NULL, NULL, c), 1);
        assert_int_equal(EC_POINT_get_affine_coordinates(group, point, x, NULL, c), 1);
        assert_int_equal(BN_nnmod(x, x, order, c), 1);
        soft_store(x, r[i], 32);
        soft_store(one_by_k, inverse[i], 32);
        BN_free(k);
    }
    BN_CTX_free(c);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return status;
}

static inline uint32_t soft_complete(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES], const uint8_t *const digests[LANES],
                                     const mb_word *const r[LANES], const mb_word *const inverse[LANES],
                                     const mb_word *const private_keys[LANES], uint8_t *buffer)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    const BIGNUM *order = EC_GROUP_get0_order(group);
    BN_CTX *c = BN_CTX_new();
    uint32_t status = 0;

    (void)buffer;
    for (unsigned i = 0; i < LANES; i++) {
        BIGNUM *e = BN_bin2bn(digests[i], 32, NULL), *of_r = soft_number(r[i], 32), *s = BN_new();
        BIGNUM *one_by_k = soft_number(inverse[i], 32), *d = soft_number(private_keys[i], 32);

        if (BN_cmp(e, order) >= 0) /* the library wants it reduced */
            status |= 1u << (4 * i);
        BN_mod_mul(s, of_r, d, order, c);
        BN_mod_add(s, s, e, order, c);
        BN_mod_mul(s, s, one_by_k, order, c);
        BN_bn2binpad(of_r, sign_r[i], 32);
        BN_bn2binpad(s, sign_s[i], 32);
        BN_free(e);
        BN_free(of_r);
        BN_free(s);
        BN_free(one_by_k);
        BN_free(d);
    }
    BN_CTX_free(c);
    EC_GROUP_free(group);
    return status;
}

/* ---- RSA ---- */

static inline const struct mb_rsa_method *soft_method(int bits)
{
    static const char any;

    (void)bits;
    return (const struct mb_rsa_method *)(const void *)&any;
}

static inline int soft_buffer_bytes(const struct mb_rsa_method *method)
{
    return method ? 64 : 0;
}

static inline uint32_t soft_rsa_private(const uint8_t *const from[LANES], uint8_t *const to[LANES],
                                        const mb_word *const p[LANES], const mb_word *const q[LANES],
                                        const mb_word *const dp[LANES], const mb_word *const dq[LANES],
                                        const mb_word *const q_inverse[LANES], int bits,
                                        const struct mb_rsa_method *method, uint8_t *buffer)
{
    BN_CTX *c = BN_CTX_new();

    (void)method;
    buffer[0] = 1;
    for (unsigned i = 0; i < LANES; i++) {
        BIGNUM *m = BN_bin2bn(from[i], bits / 8, NULL), *prime = soft_number(p[i], bits / 16);
        BIGNUM *other = soft_number(q[i], bits / 16), *to_p = soft_number(dp[i], bits / 16);
        BIGNUM *to_q = soft_number(dq[i], bits / 16), *factor = soft_number(q_inverse[i], bits / 16);
        BIGNUM *of_p = BN_new(), *of_q = BN_new();

        BN_mod_exp(of_p, m, to_p, prime, c);
        BN_mod_exp(of_q, m, to_q, other, c);
        BN_mod_sub(of_p, of_p, of_q, prime, c);
        BN_mod_mul(of_p, of_p, factor, prime, c);
        BN_mul(of_p, of_p, other, c);
        BN_add(of_p, of_p, of_q);
        BN_bn2binpad(of_p, to[i], bits / 8);
        BN_free(m);
        BN_free(prime);
        BN_free(other);
        BN_free(to_p);
        BN_free(to_q);
        BN_free(factor);
        BN_free(of_p);
        BN_free(of_q);
    }
    BN_CTX_free(c);
    return 0;
}

static inline uint32_t soft_rsa_public(const uint8_t *const from[LANES], uint8_t *const to[LANES],
                                       const mb_word *const n[LANES], int bits, const struct mb_rsa_method *method,
                                       uint8_t *buffer)
{
    BN_CTX *c = BN_CTX_new();
    BIGNUM *e = BN_new();

    (void)method;
    (void)buffer;
    BN_set_word(e, 65537);
    for (unsigned i = 0; i < LANES; i++) {
        BIGNUM *x = BN_bin2bn(from[i], bits / 8, NULL), *modulus = soft_number(n[i], bits / 8);

        BN_mod_exp(x, x, e, modulus, c);
        BN_bn2binpad(x, to[i], bits / 8);
        BN_free(x);
        BN_free(modulus);
    }
    BN_free(e);
    BN_CTX_free(c);
    return 0;
}

static const struct multi_buffer soft_lanes = {
    .x25519_public_key_mb8 = soft_x25519_public_key,
    .x25519_mb8 = soft_x25519,
    .nistp256_ecdsa_sign_setup_mb8 = soft_setup,
    .nistp256_ecdsa_sign_complete_mb8 = soft_complete,
    .RSA_private_crt_Method = soft_method,
    .RSA_pub65537_Method = soft_method,
    .RSA_Method_BufSize = soft_buffer_bytes,
    .rsa_private_crt_mb8 = soft_rsa_private,
    .rsa_public_mb8 = soft_rsa_public,
};

/* ---- All ways of working: OpenSSL alone, the functions above, and the library where it is ---- */

static inline struct batch *way_begin(unsigned way)
{
    if (way == 2 && !multi_buffer())
        return NULL;
    return batch_new(way == 0 ? NULL : way == 1 ? &soft_lanes : multi_buffer());
}

/* Runs the body with a batch of each kind. */
#define EACH_WAY(b) for (unsigned way_of_##b = 0; way_of_##b < 3; way_of_##b++) \
    for (struct batch *b = way_begin(way_of_##b); b; batch_free(b), b = NULL)

#endif
