/* test_signer_faults.c: what goes wrong on the way to a signature, in the library, in its results, in the randomness, gives nothing
 * of the key away; and no nonce serves twice. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <openssl/bn.h>
#include <openssl/ec.h>

#include "base/check.h"
#include "tls/random.h"
#include "hex.h"
#include "signing.h"
#include "soft_lanes.h"

static EVP_PKEY *ec, *rsa;
static struct signer *ec_signer, *rsa_signer;
static struct batch *batch;
static struct multi_buffer lanes;      /* the software's, with a fault */
static struct wish wishes[LANES];

static int make_keys(void **state)
{
    (void)state;
    ec = EVP_EC_gen("P-256");
    rsa = make_rsa("RSA", 2048, 65537, 2);
    ec_signer = signer_new(ec);
    rsa_signer = signer_new(rsa);
    return ec_signer && rsa_signer ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    signer_free(ec_signer);
    signer_free(rsa_signer);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    lanes = soft_lanes;
    batch = batch_new(&lanes);
    return batch ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    batch_free(batch);
    return 0;
}

static void sign(struct signer *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        wish_begin(&wishes[i], s->schemes[0], i);
        signer_start(batch, s, &wishes[i].sig);
    }
    batch_run(batch);
}

static void expect_signatures(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wish_check(&wishes[i]);
}

/* ---- RSA ---- */

static uint8_t faulty[LANES][256];
static unsigned faulty_lanes;

static uint32_t flip_a_bit(const uint8_t *const from[LANES], uint8_t *const to[LANES], const mb_word *const p[LANES],
                           const mb_word *const q[LANES], const mb_word *const dp[LANES],
                           const mb_word *const dq[LANES], const mb_word *const q_inverse[LANES], int bits,
                           const struct mb_rsa_method *method, uint8_t *buffer)
{
    uint32_t status = soft_rsa_private(from, to, p, q, dp, dq, q_inverse, bits, method, buffer);

    for (unsigned i = 0; i < LANES; i++)
        if (faulty_lanes >> i & 1)
            to[i][17 * i] ^= (uint8_t)(1 << i);
    for (unsigned i = 0; i < LANES; i++)
        memcpy(faulty[i], to[i], 256);
    return status;
}

static void a_flipped_bit_in_a_result_of_rsa_stays_inside(void **state)
{
    (void)state;
    lanes.rsa_private_crt_mb8 = flip_a_bit;
    for (faulty_lanes = 1; faulty_lanes < 256; faulty_lanes = faulty_lanes * 3 + 1) {
        uint64_t before = batch_counts(batch, BATCH_RSA_2048)->singly;

        sign(rsa_signer, LANES);
        expect_signatures(LANES);
        for (unsigned i = 0; i < LANES; i++)
            assert_int_equal(memcmp(wishes[i].sig.value, faulty[i], 256) != 0, faulty_lanes >> i & 1);
        assert_int_equal(batch_counts(batch, BATCH_RSA_2048)->singly - before, __builtin_popcount(faulty_lanes));
    }
}

/* The exponentiation modulo q goes wrong: the textbook's fault. */
static uint32_t spoil_q(const uint8_t *const from[LANES], uint8_t *const to[LANES], const mb_word *const p[LANES],
                        const mb_word *const q[LANES], const mb_word *const dp[LANES], const mb_word *const dq[LANES],
                        const mb_word *const q_inverse[LANES], int bits, const struct mb_rsa_method *method,
                        uint8_t *buffer)
{
    mb_word wrong[16];
    const mb_word *exponents[LANES];
    BIGNUM *prime = soft_number(p[0], 128), *n = BN_new(), *e = BN_new(), *s, *m, *divisor = BN_new(), *other;
    BN_CTX *c = BN_CTX_new();

    memcpy(wrong, dq[0], sizeof wrong);
    wrong[3] ^= 4;
    for (unsigned i = 0; i < LANES; i++)
        exponents[i] = wrong;
    soft_rsa_private(from, to, p, q, dp, exponents, q_inverse, bits, method, buffer);
    memcpy(faulty[0], to[0], 256);

    /* Such a signature gives the key away, indeed: gcd(s^e - m, n) is p. */
    other = soft_number(q[0], 128);
    s = BN_bin2bn(to[0], 256, NULL);
    m = BN_bin2bn(from[0], 256, NULL);
    BN_mul(n, prime, other, c);
    BN_set_word(e, 65537);
    BN_mod_exp(s, s, e, n, c);
    BN_mod_sub(s, s, m, n, c);
    BN_gcd(divisor, s, n, c);
    assert_int_equal(BN_cmp(divisor, prime), 0);
    BN_free(prime);
    BN_free(other);
    BN_free(n);
    BN_free(e);
    BN_free(s);
    BN_free(m);
    BN_free(divisor);
    BN_CTX_free(c);
    return 0;
}

static void a_fault_that_gives_the_factors_away_stays_inside(void **state)
{
    (void)state;
    lanes.rsa_private_crt_mb8 = spoil_q;
    sign(rsa_signer, LANES);
    expect_signatures(LANES);
    assert_memory_not_equal(wishes[0].sig.value, faulty[0], 256);
    assert_int_equal(batch_counts(batch, BATCH_RSA_2048)->singly, LANES);
}

static uint32_t confirm_nothing(const uint8_t *const from[LANES], uint8_t *const to[LANES],
                                const mb_word *const n[LANES], int bits, const struct mb_rsa_method *method,
                                uint8_t *buffer)
{
    return 0;
}

static uint32_t refuse_some(const uint8_t *const from[LANES], uint8_t *const to[LANES], const mb_word *const n[LANES],
                            int bits, const struct mb_rsa_method *method, uint8_t *buffer)
{
    return soft_rsa_public(from, to, n, bits, method, buffer) | 1u | 8u << 20;
}

static const struct mb_rsa_method *no_method(int bits)
{
    return NULL;
}

static void without_the_public_keys_word_openssl_signs(void **state)
{
    (void)state;
    lanes.rsa_public_mb8 = confirm_nothing;
    sign(rsa_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(batch_counts(batch, BATCH_RSA_2048)->singly, LANES);
    lanes.rsa_public_mb8 = refuse_some;
    sign(rsa_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(batch_counts(batch, BATCH_RSA_2048)->singly, LANES + 2);
    lanes.RSA_pub65537_Method = no_method;
    sign(rsa_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(batch_counts(batch, BATCH_RSA_2048)->singly, 2 * LANES + 2);
}

/* RFC 8017 8.1: two signatures of the same content differ. */
static void salts_differ(void **state)
{
    uint8_t before[256];

    (void)state;
    sign(rsa_signer, LANES);
    memcpy(before, wishes[0].sig.value, sizeof before);
    sign(rsa_signer, LANES);
    expect_signatures(LANES);
    assert_memory_not_equal(wishes[0].sig.value, before, sizeof before);
}

/* ---- Nonces ---- */

/* r of a signature as it is written: SEQUENCE { INTEGER r, INTEGER s }. */
static struct bytes r_of(const struct signature *sig)
{
    return bytes_of(sig->value + 4, sig->value[3]);
}

static void no_nonce_serves_twice(void **state)
{
    enum { COUNT = 200 };
    static struct wish all[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        wish_begin(&all[i], SCHEME_ECDSA_SECP256R1_SHA256, 0); /* the same content each time */
        signer_start(batch, ec_signer, &all[i].sig);
        if (i % 11 == 0)
            batch_run(batch);
    }
    batch_run(batch);
    for (unsigned i = 0; i < COUNT; i++) {
        wish_check(&all[i]);
        for (unsigned j = 0; j < i; j++)
            assert_false(bytes_equal(r_of(&all[i].sig), r_of(&all[j].sig)));
    }
}

static void a_used_nonce_is_wiped_from_the_pool(void **state)
{
    static const mb_word zeros[4];
    struct nonce_pool *pool = &batch->nonces;

    (void)state;
    for (unsigned used = 1; used <= LANES; used++) {
        sign(ec_signer, 1);
        assert_int_equal(pool->left, LANES - used);
        for (unsigned i = pool->left; i < LANES; i++) {
            assert_memory_equal(pool->r[i], zeros, sizeof zeros);
            assert_memory_equal(pool->inverse[i], zeros, sizeof zeros);
        }
        for (unsigned i = 0; i < pool->left; i++)
            assert_memory_not_equal(pool->inverse[i], zeros, sizeof zeros);
    }
}

static void a_forked_process_has_nonces_of_its_own(void **state)
{
    uint8_t (*theirs)[33] = mmap(NULL, LANES * 33, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t child;

    (void)state;
    assert_ptr_not_equal(theirs, MAP_FAILED);
    sign(ec_signer, 1);
    if ((child = fork()) == 0) {
        sign(ec_signer, LANES);
        for (unsigned i = 0; i < LANES; i++)
            memcpy(theirs[i], r_of(&wishes[i].sig).at, r_of(&wishes[i].sig).size);
        _exit(batch->nonces.left != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    sign(ec_signer, LANES);
    for (unsigned i = 0; i < LANES; i++)
        for (unsigned j = 0; j < LANES; j++)
            assert_memory_not_equal(r_of(&wishes[i].sig).at, theirs[j], 16);
    munmap(theirs, LANES * 33);
}

/* ---- Randomness of any kind ---- */

static struct unhexed script[8]; /* of what is drawn; then it is random */
static unsigned drawn;

static int draw_by_script(void *out, size_t size)
{
    if (drawn < COUNT_OF(script) && script[drawn].size == size) {
        memcpy(out, script[drawn++].at, size);
        return 0;
    }
    drawn++;
    return random_bytes(out, size);
}

/* Little-endian, as the library takes numbers. */
#define N_LESS_1 "502563fcc2cab9f3 849e17a7adfae6bc ffffffffffffffff 00000000ffffffff"
#define N        "512563fcc2cab9f3 849e17a7adfae6bc ffffffffffffffff 00000000ffffffff"
#define N_PLUS_1 "522563fcc2cab9f3 849e17a7adfae6bc ffffffffffffffff 00000000ffffffff"
#define ALL_ONES "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffffffffffffff"
#define ZERO     "0000000000000000 0000000000000000 0000000000000000 0000000000000000"
#define ONE      "0100000000000000 0000000000000000 0000000000000000 0000000000000000"

static mb_word seen[LANES][4];

static uint32_t note_nonces(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES],
                            uint8_t *buffer)
{
    for (unsigned i = 0; i < LANES; i++)
        memcpy(seen[i], nonces[i], 32);
    return soft_setup(inverse, r, nonces, buffer);
}

static void nonces_outside_of_the_range_are_drawn_again(void **state)
{
    static const char *const outside[] = { N, N_PLUS_1, ALL_ONES, ZERO };

    (void)state;
    lanes.nistp256_ecdsa_sign_setup_mb8 = note_nonces;
    batch->random = draw_by_script;
    memset(script, 0, sizeof script);
    drawn = 0;
    for (unsigned i = 0; i < COUNT_OF(outside); i++)
        script[i] = unhex(outside[i]);
    script[4] = unhex(N_LESS_1); /* the last that is inside, and the first */
    script[5] = unhex(ONE);
    sign(ec_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(drawn, LANES + COUNT_OF(outside));
    assert_memory_equal(seen[0], script[4].at, 32);
    assert_memory_equal(seen[1], script[5].at, 32);
}

static int draw_too_much(void *out, size_t size)
{
    drawn++;
    memset(out, 0xff, size);
    return 0;
}

static int draw_nothing(void *out, size_t size)
{
    return -E_CRYPTO;
}

static int draw_the_same(void *out, size_t size)
{
    memset(out, 7, size);
    return 0;
}

/* Of 32 bytes each: eight that differ, and the same eight again. */
static int draw_in_a_circle(void *out, size_t size)
{
    memset(out, 1 + (int)(drawn++ % LANES), size);
    return 0;
}

static void expect_no_pool(void)
{
    static const struct nonce_pool empty;

    assert_memory_equal(&batch->nonces, &empty, sizeof empty);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->lanes, 0);
}

static void randomness_that_is_none_is_not_used(void **state)
{
    static int (*const sources[])(void *, size_t) = { draw_too_much, draw_nothing, draw_the_same };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        batch->random = sources[i];
        drawn = 0;
        sign(ec_signer, 2);
        expect_signatures(2); /* by OpenSSL, which draws by itself */
        assert_false(bytes_equal(r_of(&wishes[0].sig), r_of(&wishes[1].sig)));
        expect_no_pool();
        assert_in_range(drawn, 0, 200);
    }
}

static void randomness_that_repeats_itself_is_found_out(void **state)
{
    (void)state;
    batch->random = draw_in_a_circle;
    drawn = 0;
    sign(ec_signer, LANES);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->lanes, LANES);
    sign(ec_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->lanes, LANES);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->singly, LANES);
}

/* ---- The library's faults ---- */

static uint32_t fail_lane(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES],
                          uint8_t *buffer)
{
    return soft_setup(inverse, r, nonces, buffer) | 8u << 12;
}

static uint32_t give_zero(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES],
                          uint8_t *buffer)
{
    uint32_t status = soft_setup(inverse, r, nonces, buffer);

    memset(r[5], 0, 32);
    return status;
}

static uint32_t give_the_same(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES],
                              uint8_t *buffer)
{
    uint32_t status = soft_setup(inverse, r, nonces, buffer);

    memcpy(r[6], r[2], 32);
    return status;
}

static void nonces_of_a_call_that_failed_are_not_used(void **state)
{
    uint32_t (*const faults[])(mb_word *[LANES], mb_word *[LANES], const mb_word *const[LANES], uint8_t *) = {
        fail_lane, give_zero, give_the_same
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        lanes.nistp256_ecdsa_sign_setup_mb8 = faults[i];
        sign(ec_signer, LANES);
        expect_signatures(LANES);
        expect_no_pool();
    }
}

static uint32_t fail_to_complete(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES], const uint8_t *const digests[LANES],
                                 const mb_word *const r[LANES], const mb_word *const inverse[LANES],
                                 const mb_word *const private_keys[LANES], uint8_t *buffer)
{
    return soft_complete(sign_r, sign_s, digests, r, inverse, private_keys, buffer) | 8u << 8;
}

static void a_lane_that_failed_is_signed_with_a_fresh_nonce(void **state)
{
    (void)state;
    lanes.nistp256_ecdsa_sign_complete_mb8 = fail_to_complete;
    sign(ec_signer, LANES);
    expect_signatures(LANES);
    assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->singly, 1);
    assert_int_equal(batch->nonces.left, 0);
}

/* ---- Edges of numbers ---- */

static uint8_t given[LANES][32];

static uint32_t note_digests(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES], const uint8_t *const digests[LANES],
                             const mb_word *const r[LANES], const mb_word *const inverse[LANES],
                             const mb_word *const private_keys[LANES], uint8_t *buffer)
{
    for (unsigned i = 0; i < LANES; i++)
        memcpy(given[i], digests[i], 32);
    return soft_complete(sign_r, sign_s, digests, r, inverse, private_keys, buffer);
}

/* One hash in 2^32 is above the order, and is taken modulo it (FIPS 186-5 6.4.1): too seldom to wait for. */
static void a_hash_above_the_order_is_reduced(void **state)
{
    static const char *const hashes[] = {
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", /* n - 1 */
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", /* n */
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552", /* n + 1 */
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    static const char *const reduced[] = {
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "00000000ffffffff00000000000000004319055258e8617b0c46353d039cdaae",
    };

    (void)state;
    lanes.nistp256_ecdsa_sign_complete_mb8 = note_digests;
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(ec, NULL);
        struct unhexed hash = unhex(hashes[i]);

        wish_begin(&wishes[0], SCHEME_ECDSA_SECP256R1_SHA256, 0);
        signer_start(batch, ec_signer, &wishes[0].sig);
        memcpy(wishes[0].sig.digest, hash.at, 32);
        batch_run(batch);
        assert_int_equal(wishes[0].sig.error, 0);
        assert_bytes(given[0], 32, reduced[i]);
        assert_int_equal(batch_counts(batch, BATCH_ECDSA_P256)->singly, 0);
        assert_int_equal(EVP_PKEY_verify_init(c), 1);
        assert_int_equal(EVP_PKEY_verify(c, wishes[0].sig.value, wishes[0].sig.bytes, hash.at, 32), 1);
        EVP_PKEY_CTX_free(c);
    }
}

static const char *result_r, *result_s;

static uint32_t give_results(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES], const uint8_t *const digests[LANES],
                             const mb_word *const r[LANES], const mb_word *const inverse[LANES],
                             const mb_word *const private_keys[LANES], uint8_t *buffer)
{
    memcpy(sign_r[0], unhex(result_r).at, 32);
    memcpy(sign_s[0], unhex(result_s).at, 32);
    return 0;
}

/* X.690 8.3.2: no leading zeros but the one that keeps the number from being negative. */
static void integers_are_as_short_as_they_must_be(void **state)
{
    (void)state;
    lanes.nistp256_ecdsa_sign_complete_mb8 = give_results;
    result_r = "00000000000000000000000000000000000000000000000000000000000000ff";
    result_s = "000000000000000000000000000000000000000000000000000000000000007f";
    sign(ec_signer, 1);
    assert_bytes(wishes[0].sig.value, wishes[0].sig.bytes, "3007 0202 00ff 0201 7f");
    result_r = "0080000000000000000000000000000000000000000000000000000000000001";
    result_s = "ff00000000000000000000000000000000000000000000000000000000000000";
    sign(ec_signer, 1);
    assert_bytes(wishes[0].sig.value, wishes[0].sig.bytes,
                 "3045 0220 0080000000000000000000000000000000000000000000000000000000000001"
                 "0221 00ff00000000000000000000000000000000000000000000000000000000000000");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_flipped_bit_in_a_result_of_rsa_stays_inside),
        EACH(a_fault_that_gives_the_factors_away_stays_inside),
        EACH(without_the_public_keys_word_openssl_signs),
        EACH(salts_differ),
        EACH(no_nonce_serves_twice),
        EACH(a_used_nonce_is_wiped_from_the_pool),
        EACH(a_forked_process_has_nonces_of_its_own),
        EACH(nonces_outside_of_the_range_are_drawn_again),
        EACH(randomness_that_is_none_is_not_used),
        EACH(randomness_that_repeats_itself_is_found_out),
        EACH(nonces_of_a_call_that_failed_are_not_used),
        EACH(a_lane_that_failed_is_signed_with_a_fresh_nonce),
        EACH(a_hash_above_the_order_is_reduced),
        EACH(integers_are_as_short_as_they_must_be),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
