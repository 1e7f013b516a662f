/* test_multi_buffer.c: the library is found where it belongs, its functions are what multi_buffer.h says, and it comes to the same results
 * as OpenSSL, also at the edges where implementations have gone wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rsa.h>

#include "base/check.h"
#include "tls/multi_buffer.h"
#include "tls/random.h"
#include "tls/signer_inside.h"
#include "hex.h"
#include "soft_lanes.h"

#ifdef MULTI_BUFFER_HEADERS
#define BN_OPENSSL_DISABLE
#define _ifma_rsa_method mb_rsa_method /* their name for what we call otherwise */
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/rsa.h>
#include <crypto_mb/x25519.h>

#define SAME(name) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&mbx_##name), __typeof__(((struct multi_buffer *)0)->name)), #name)
SAME(x25519_public_key_mb8);
SAME(x25519_mb8);
SAME(nistp256_ecdsa_sign_setup_mb8);
SAME(nistp256_ecdsa_sign_complete_mb8);
SAME(RSA_private_crt_Method);
SAME(RSA_pub65537_Method);
SAME(RSA_Method_BufSize);
SAME(rsa_private_crt_mb8);
SAME(rsa_public_mb8);
_Static_assert(__builtin_types_compatible_p(__typeof__(&mbx_is_crypto_mb_applicable), int (*)(unsigned long long)),
               "is_crypto_mb_applicable");
enum { IS_THERE = 1 };
#else
enum { IS_THERE = 0 };
#endif

static bool processor_can(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* Were it not found, all that is tested of it would be skipped and look fine. */
static void it_is_loaded_where_it_was_fetched_and_the_processor_can(void **state)
{
    (void)state;
    if (IS_THERE && processor_can())
        assert_null(multi_buffer_absence());
    if (!processor_can())
        assert_null(multi_buffer());
    assert_int_equal(multi_buffer() == NULL, multi_buffer_absence() != NULL);
    assert_ptr_equal(multi_buffer(), multi_buffer());
}

static void every_function_was_found(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    void *const *functions = (void *const *)m;

    (void)state;
    for (size_t i = 0; m && i < sizeof *m / sizeof *functions; i++)
        assert_non_null(functions[i]);
}

static void a_lane_is_fine_by_its_own_four_bits(void **state)
{
    (void)state;
    for (unsigned lane = 0; lane < LANES; lane++) {
        assert_true(lane_is_fine(0, lane));
        assert_false(lane_is_fine(UINT32_MAX, lane));
        for (unsigned bit = 0; bit < 32; bit++)
            assert_int_equal(lane_is_fine(1u << bit, lane), bit / 4 != lane);
    }
}

/* ---- The same results ---- */

/* Coordinates of the kind that Wycheproof's x25519 vectors are about: around 0, p and 2^255, not canonical, of small order, on the twist, and
 * with limbs of all ones and zeros (RFC 7748 5: each is taken modulo p, its highest bit ignored). */
static const char *const coordinates[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0200000000000000000000000000000000000000000000000000000000000000",
    "0900000000000000000000000000000000000000000000000000000000000000",
    "ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "0000000000000000ffffffffffffffff0000000000000000ffffffffffffff7f",
    "ffffffffffffffff0000000000000000ffffffffffffffff0000000000000000",
    "ffffffffffffff0700000000000000c0ffffffffffffff010000000000000070",
    "0000000000000000000000000000000000000000000000000000000000000040",
    "cecfffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffff7f",
    "0000000000001000000000000000000100000000001000000000000000000001",
    "fefffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
};

/* One of those that the library is given: those above with a run of ones or zeros in another place, or noise in their bytes, each time
 * other ones. */
static void odd_coordinate(size_t number, uint8_t ret_coordinate[32])
{
    uint8_t noise[5];

    do {
        memcpy(ret_coordinate, unhex(coordinates[number % COUNT_OF(coordinates)]).at, 32);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(random_bytes(noise, sizeof noise), 0);
            ret_coordinate[noise[0] % 32] = noise[1];
            ret_coordinate[noise[2] % 32] ^= (uint8_t)(1 << noise[3] % 8);
            for (int j = noise[4] % 32, k = 0; noise[4] & 0x80 && k < 5; j = (j + 1) % 32, k++)
                ret_coordinate[j] = noise[4] & 0x40 ? 0xff : 0;
        }
    } while (!x25519_is_ordinary(ret_coordinate));
}

static void x25519_is_that_of_openssl_for_odd_coordinates(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    uint8_t private_keys[LANES][32] __attribute__((aligned(8))), theirs[LANES][32], ours[LANES][32] __attribute__((aligned(8)));
    uint8_t points[LANES][32] __attribute__((aligned(8)));
    const uint8_t *with[LANES], *from[LANES];
    uint8_t *to[LANES], *expected[LANES];

    (void)state;
    assert_int_equal(COUNT_OF(coordinates) % LANES, 0);
    for (size_t first = 0; m && first < 400 * LANES; first += LANES) {
        uint32_t status, wanted;

        for (unsigned i = 0; i < LANES; i++) {
            assert_int_equal(random_bytes(private_keys[i], 32), 0);
            if (first == 0 && i % 2) /* the keys' own edges */
                memset(private_keys[i], i % 4 == 1 ? 0 : 0xff, 32);
            odd_coordinate(first + i, points[i]);
            with[i] = private_keys[i];
            from[i] = points[i];
            to[i] = ours[i];
            expected[i] = theirs[i];
        }
        status = m->x25519_mb8(to, with, from);
        wanted = soft_x25519(expected, with, from);
        for (unsigned i = 0; i < LANES; i++) {
            assert_int_equal(lane_is_fine(status, i), lane_is_fine(wanted, i));
            assert_memory_equal(ours[i], theirs[i], 32);
        }
        assert_int_equal(m->x25519_public_key_mb8(to, with), 0);
        assert_int_equal(soft_x25519_public_key(expected, with), 0);
        assert_memory_equal(ours, theirs, sizeof ours);
    }
}

/* Least significant word first: 1, 2, n-2, n-1, one bit, half of all bits, and whatever else. */
static const mb_word scalars[LANES][4] = {
    { 1 },
    { 2 },
    { 0xf3b9cac2fc63254f, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000 },
    { 0xf3b9cac2fc632550, 0xbce6faada7179e84, 0xffffffffffffffff, 0xffffffff00000000 },
    { 0, 0, 0, 0x8000000000000000 },
    { 0xffffffffffffffff, 0, 0xffffffffffffffff, 0 },
    { 0x79dce5617e3192a8, 0xde737d56d38bcf42, 0x7fffffffffffffff, 0x7fffffff80000000 }, /* (n-1)/2 */
    { 0x0123456789abcdef, 0xfedcba9876543210, 0x0f1e2d3c4b5a6978, 0x1122334455667788 },
};

static void signatures_with_p256_are_those_of_openssl(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    mb_word r[2][LANES][4], inverse[2][LANES][4];
    mb_word *to_r[2][LANES], *to_inverse[2][LANES];
    const mb_word *nonces[LANES], *keys[LANES];
    uint8_t digests[LANES][32], sign[4][LANES][32], *to[4][LANES];
    const uint8_t *from[LANES];

    (void)state;
    for (unsigned shift = 0; m && shift < LANES; shift++) { /* each key with each nonce */
        for (unsigned i = 0; i < LANES; i++) {
            nonces[i] = scalars[i];
            keys[i] = scalars[(i + shift) % LANES];
            memset(digests[i], 0x11 * (int)i + 1, 32);
            from[i] = digests[i];
            for (int k = 0; k < 2; k++) {
                to_r[k][i] = r[k][i];
                to_inverse[k][i] = inverse[k][i];
            }
            for (int k = 0; k < 4; k++)
                to[k][i] = sign[k][i];
        }
        assert_int_equal(m->nistp256_ecdsa_sign_setup_mb8(to_inverse[0], to_r[0], nonces, NULL), 0);
        assert_int_equal(soft_setup(to_inverse[1], to_r[1], nonces, NULL), 0);
        assert_memory_equal(r[0], r[1], sizeof r[0]);
        assert_memory_equal(inverse[0], inverse[1], sizeof inverse[0]);
        assert_int_equal(m->nistp256_ecdsa_sign_complete_mb8(to[0], to[1], from, (const mb_word *const *)to_r[0],
                                                             (const mb_word *const *)to_inverse[0], keys, NULL), 0);
        assert_int_equal(soft_complete(to[2], to[3], from, (const mb_word *const *)to_r[1],
                                       (const mb_word *const *)to_inverse[1], keys, NULL), 0);
        assert_memory_equal(sign[0], sign[2], sizeof sign[0]);
        assert_memory_equal(sign[1], sign[3], sizeof sign[1]);
    }
}

/* What the files that sign rely on: zero is refused by the lane's status, and so is a hash that is not below the order (or is zero:
 * OpenSSL signs it then). */
static void a_nonce_of_zero_and_a_hash_above_the_order_are_refused(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    static const mb_word zero[4];
    mb_word r[LANES][4], inverse[LANES][4], *to_r[LANES], *to_inverse[LANES];
    const mb_word *nonces[LANES];
    uint8_t digests[LANES][32], sign[2][LANES][32], *to[2][LANES];
    const uint8_t *from[LANES];
    uint32_t status;

    (void)state;
    if (!m)
        return;
    for (unsigned i = 0; i < LANES; i++) {
        nonces[i] = scalars[i];
        to_r[i] = r[i];
        to_inverse[i] = inverse[i];
        memset(digests[i], (int)i + 1, 32);
        from[i] = digests[i];
        to[0][i] = sign[0][i];
        to[1][i] = sign[1][i];
    }
    nonces[3] = zero;
    status = m->nistp256_ecdsa_sign_setup_mb8(to_inverse, to_r, nonces, NULL);
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(lane_is_fine(status, i), i != 3);
    nonces[3] = scalars[3];
    assert_int_equal(m->nistp256_ecdsa_sign_setup_mb8(to_inverse, to_r, nonces, NULL), 0);
    memset(digests[5], 0xff, 32);
    status = m->nistp256_ecdsa_sign_complete_mb8(to[0], to[1], from, (const mb_word *const *)to_r,
                                                 (const mb_word *const *)to_inverse, nonces, NULL);
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(lane_is_fine(status, i), i != 5);
}

/* With the primes in either order: q is greater than p in half of the keys that are not OpenSSL's. */
static void rsa_is_that_of_openssl_with_the_primes_in_either_order(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    static uint8_t messages[LANES][256], results[2][LANES][256];
    EVP_PKEY *key = EVP_RSA_gen(2048);
    struct rsa_numbers *rsa = rsa_read_key(key);
    BN_CTX *c = BN_CTX_new();
    BIGNUM *p = soft_number(rsa->p, 128), *q = soft_number(rsa->q, 128), *p_inverse = BN_mod_inverse(NULL, p, q, c);
    mb_word swapped[16];
    const struct mb_rsa_method *method = m ? m->RSA_private_crt_Method(2048) : NULL;
    uint8_t *buffer = m ? malloc((size_t)m->RSA_Method_BufSize(method)) : NULL, scratch[64];

    (void)state;
    soft_store(p_inverse, swapped, 128);
    for (int order = 0; m && order < 2; order++) {
        const mb_word *ps[LANES], *qs[LANES], *dps[LANES], *dqs[LANES], *inverses[LANES];
        const uint8_t *from[LANES];
        uint8_t *to[2][LANES];

        for (unsigned i = 0; i < LANES; i++) {
            assert_int_equal(random_bytes(messages[i], 256), 0);
            messages[i][0] = 0; /* below the modulus */
            memset(messages[i] + 1, 0, i == 7 ? 255 : i == 6 ? 254 : 0); /* 0, and a small one */
            ps[i] = order ? rsa->q : rsa->p;
            qs[i] = order ? rsa->p : rsa->q;
            dps[i] = order ? rsa->dq : rsa->dp;
            dqs[i] = order ? rsa->dp : rsa->dq;
            inverses[i] = order ? swapped : rsa->q_inverse;
            from[i] = messages[i];
            to[0][i] = results[0][i];
            to[1][i] = results[1][i];
        }
        assert_int_equal(m->rsa_private_crt_mb8(from, to[0], ps, qs, dps, dqs, inverses, 2048, method, buffer), 0);
        soft_rsa_private(from, to[1], ps, qs, dps, dqs, inverses, 2048, NULL, scratch);
        assert_memory_equal(results[0], results[1], sizeof results[0]);
    }
    free(buffer);
    BN_free(p);
    BN_free(q);
    BN_CTX_free(c);
    rsa_numbers_free(rsa);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_loaded_where_it_was_fetched_and_the_processor_can),
        cmocka_unit_test(every_function_was_found),
        cmocka_unit_test(a_lane_is_fine_by_its_own_four_bits),
        cmocka_unit_test(x25519_is_that_of_openssl_for_odd_coordinates),
        cmocka_unit_test(signatures_with_p256_are_those_of_openssl),
        cmocka_unit_test(a_nonce_of_zero_and_a_hash_above_the_order_are_refused),
        cmocka_unit_test(rsa_is_that_of_openssl_with_the_primes_in_either_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
