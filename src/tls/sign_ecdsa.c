/* sign_ecdsa.c: ECDSA over P-256 with SHA-256 (FIPS 186-5 6.4.1), its nonces made ahead of need.
 *
 * For a signature (r, s) of the hash e under the key d, r = (k * G).x and s = (e + r * d) / k, modulo the order n. Whoever learns k, or
 * some bits of it over many signatures, or sees two signatures with one k, has the key. So k is uniform in [1, n-1], of
 * which eight are drawn at a time; r and 1/k are worked out at once and k is wiped; each pair serves once, is wiped as it is
 * taken, and is none for a process that was forked since. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>

#include "base/check.h"
#include "base/generation.h"
#include "tls/signer_inside.h"

enum { DRAWS_MOST = 64 }; /* of which one in 2^32 is above the order: so many in a row mean that it is no randomness */

/* The order of P-256's group, FIPS 186-5 / SP 800-186 3.2.1.3; least significant word first. */
static const mb_word order[P256_WORDS] = {
    0xf3b9cac2fc632551,
    0xbce6faada7179e84,
    0xffffffffffffffff,
    0xffffffff00000000,
};

bool ecdsa_read_key(EVP_PKEY *key, mb_word ret_private[P256_WORDS])
{
    BIGNUM *d = NULL;
    bool fine = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
                BN_bn2lebinpad(d, (unsigned char *)ret_private, P256_BYTES) == P256_BYTES;

    BN_clear_free(d);
    return fine;
}

/* a - order, and whether that is less than nothing; in a time that does not depend on a. */
static mb_word less_order(const mb_word a[P256_WORDS], mb_word ret_rest[P256_WORDS])
{
    mb_word borrow = 0;

    for (int i = 0; i < P256_WORDS; i++) {
        mb_word part, rest;
        mb_word under = (mb_word)__builtin_usubll_overflow(a[i], order[i], &part);

        under |= (mb_word)__builtin_usubll_overflow(part, borrow, &rest);
        borrow = under;
        ret_rest[i] = rest;
    }
    return borrow;
}

static bool is_zero(const mb_word a[P256_WORDS])
{
    return (a[0] | a[1] | a[2] | a[3]) == 0;
}

/* Uniform in [1, n-1]: what falls outside is drawn again (FIPS 186-5 A.3.2), which tells nothing of what falls inside. A function of
 * its own in every build: tests/memcheck lets a secret decide here. */
__attribute__((noinline)) static int draw(struct batch *b, mb_word ret_nonce[P256_WORDS])
{
    mb_word rest[P256_WORDS];
    int error = -E_CRYPTO;

    for (int i = 0; i < DRAWS_MOST; i++) {
        if (b->random(ret_nonce, P256_BYTES) != 0)
            break;
        if (less_order(ret_nonce, rest) && !is_zero(ret_nonce)) {
            error = 0;
            break;
        }
    }
    explicit_bzero(rest, sizeof rest);
    return error;
}

/* Whether all of these r differ from each other and from the last one of those before. Two alike are two nonces alike. */
static bool all_differ(const struct nonce_pool *pool)
{
    for (unsigned i = 0; i < LANES; i++) {
        if (is_zero(pool->r[i]) || memcmp(pool->r[i], pool->last_r, sizeof pool->r[i]) == 0)
            return false;
        for (unsigned j = 0; j < i; j++)
            if (memcmp(pool->r[i], pool->r[j], sizeof pool->r[i]) == 0)
                return false;
    }
    return true;
}

static int fill_pool(struct batch *b)
{
    struct nonce_pool *pool = &b->nonces;
    mb_word nonces[LANES][P256_WORDS];
    const mb_word *from[LANES];
    mb_word *inverse[LANES], *r[LANES];
    int error = 0;

    pool->left = 0;
    for (unsigned i = 0; i < LANES && error == 0; i++) {
        error = draw(b, nonces[i]);
        from[i] = nonces[i];
        inverse[i] = pool->inverse[i];
        r[i] = pool->r[i];
    }
    if (error == 0 && (b->library->nistp256_ecdsa_sign_setup_mb8(inverse, r, from, NULL) != 0 || !all_differ(pool)))
        error = -E_CRYPTO;
    explicit_bzero(nonces, sizeof nonces);
    if (error) {
        explicit_bzero(pool, sizeof *pool);
        return error;
    }
    batch_count(b, BATCH_NONCES, LANES);
    memcpy(pool->last_r, pool->r[0], sizeof pool->last_r);
    pool->generation = fork_generation();
    pool->left = LANES;
    return 0;
}

/* A nonce's two values, which nobody gets again. */
static int take_nonce(struct batch *b, mb_word ret_r[P256_WORDS], mb_word ret_inverse[P256_WORDS])
{
    struct nonce_pool *pool = &b->nonces;
    int error;

    if ((pool->left == 0 || pool->generation != fork_generation()) && (error = fill_pool(b)) != 0)
        return error;
    pool->left--;
    memcpy(ret_r, pool->r[pool->left], P256_BYTES);
    memcpy(ret_inverse, pool->inverse[pool->left], P256_BYTES);
    explicit_bzero(pool->r[pool->left], P256_BYTES);
    explicit_bzero(pool->inverse[pool->left], P256_BYTES);
    return 0;
}

/* The library takes a hash modulo the order alone; of all that SHA-256 gives one in 2^32 is above it. */
static void reduce(uint8_t digest[P256_BYTES])
{
    mb_word value[P256_WORDS], rest[P256_WORDS];

    for (int i = 0; i < P256_WORDS; i++) {
        memcpy(&value[i], digest + P256_BYTES - 8 * (i + 1), 8);
        value[i] = __builtin_bswap64(value[i]);
    }
    if (less_order(value, rest))
        return;
    for (int i = 0; i < P256_WORDS; i++) {
        rest[i] = __builtin_bswap64(rest[i]);
        memcpy(digest + P256_BYTES - 8 * (i + 1), &rest[i], 8);
    }
}

/* INTEGER of X.690 8.3: no more bytes than it needs, the first one's highest bit clear. Returns its size. */
static size_t write_integer(const uint8_t number[P256_BYTES], uint8_t *out)
{
    size_t skip = 0, size, at = 2;

    while (skip < P256_BYTES - 1 && number[skip] == 0)
        skip++;
    size = P256_BYTES - skip;
    out[0] = 0x02;
    if (number[skip] & 0x80)
        out[at++] = 0;
    memcpy(out + at, number + skip, size);
    out[1] = (uint8_t)(at - 2 + size);
    return at + size;
}

/* Ecdsa-Sig-Value of RFC 3279 2.2.3. */
static void write_signature(struct signature *sig, const uint8_t *r, const uint8_t *s)
{
    size_t size = write_integer(r, sig->value + 2);

    size += write_integer(s, sig->value + 2 + size);
    sig->value[0] = 0x30;
    sig->value[1] = (uint8_t)size;
    sig->bytes = 2 + size;
}

struct lots {
    mb_word r[LANES][P256_WORDS], inverse[LANES][P256_WORDS];
    uint8_t sign_r[LANES][P256_BYTES] __attribute__((aligned(8)));
    uint8_t sign_s[LANES][P256_BYTES] __attribute__((aligned(8)));
    uint8_t digests[LANES][P256_BYTES] __attribute__((aligned(8)));
};

/* Lanes that nobody wants do what the first one does. */
static uint32_t complete(struct batch *b, struct batch_job *const *jobs, unsigned count, struct lots *lots)
{
    uint8_t *to_r[LANES], *to_s[LANES];
    const uint8_t *digests[LANES];
    const mb_word *r[LANES], *inverse[LANES], *keys[LANES];

    for (unsigned i = 0; i < LANES; i++) {
        unsigned lane = i < count ? i : 0;
        struct signature *sig = signature_of(jobs[lane]);

        memcpy(lots->digests[i], sig->digest, P256_BYTES);
        reduce(lots->digests[i]);
        to_r[i] = lots->sign_r[i];
        to_s[i] = lots->sign_s[i];
        digests[i] = lots->digests[i];
        r[i] = lots->r[lane];
        inverse[i] = lots->inverse[lane];
        keys[i] = sig->signer->p256;
    }
    return b->library->nistp256_ecdsa_sign_complete_mb8(to_r, to_s, digests, r, inverse, keys, NULL);
}

/* Whom nobody could help here OpenSSL does, with a nonce of its own making. */
static void sign_singly(struct batch *b, enum batch_work work, struct signature *sig)
{
    b->counts[work].singly++;
    signature_settle(sig, sign_digest(sig));
}

void ecdsa_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count)
{
    struct lots lots;
    uint32_t status = 0;

    for (unsigned i = 0; i < count && status == 0; i++)
        if (take_nonce(b, lots.r[i], lots.inverse[i]) != 0) /* cppcheck-suppress uninitvar; it writes them */
            status = UINT32_MAX;
    if (status == 0) {
        status = complete(b, jobs, count, &lots);
        batch_count(b, work, count);
    }
    for (unsigned i = 0; i < count; i++) {
        struct signature *sig = signature_of(jobs[i]);

        if (lane_is_fine(status, i)) {
            write_signature(sig, lots.sign_r[i], lots.sign_s[i]);
            signature_settle(sig, 0);
        } else {
            sign_singly(b, work, sig);
        }
    }
    explicit_bzero(&lots, sizeof lots);
}
