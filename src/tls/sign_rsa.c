/* sign_rsa.c: RSASSA-PSS (RFC 8017 8.1), its exponentiation by the Chinese remainder theorem for up to eight keys at a time.
 *
 * A result that is right modulo one of the primes and wrong modulo the other gives the other one away to anyone who sees it
 * (Boneh, DeMillo, Lipton 1997): one flipped bit is enough. So each result is raised to the public exponent again, in a second call
 * for all of them, and must be what was to be signed; what is not is wiped, and OpenSSL makes the signature instead, which
 * checks its own results in the same way. */
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>

#include "base/check.h"
#include "tls/signer_inside.h"

enum { EXPONENT = 65537, RSA_BYTES_MOST = RSA_WORDS_MOST * 8 };

/* From so many on the multi-buffer library is the cheaper way (bench/batch.c). */
static const struct {
    int bits;
    unsigned lanes_least;
} sizes[] = { { 2048, 5 }, { 3072, 7 }, { 4096, 7 } };

/* ---- Keys ---- */

static bool read_number(EVP_PKEY *key, const char *name, int bits, bool is_whole, mb_word *ret_number)
{
    BIGNUM *n = NULL;
    bool fine = EVP_PKEY_get_bn_param(key, name, &n) == 1 && (!is_whole || BN_num_bits(n) == bits) &&
                BN_bn2lebinpad(n, (unsigned char *)ret_number, bits / 8) == bits / 8;

    BN_clear_free(n);
    return fine;
}

static bool has_number(EVP_PKEY *key, const char *name)
{
    BIGNUM *n = NULL;
    bool has = EVP_PKEY_get_bn_param(key, name, &n) == 1;

    BN_clear_free(n);
    return has;
}

static bool has_usual_exponent(EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    bool has = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_word(e, EXPONENT);

    BN_free(e);
    return has;
}

struct rsa_numbers *rsa_read_key(EVP_PKEY *key)
{
    struct rsa_numbers *rsa;
    int bits = EVP_PKEY_get_bits(key), half = bits / 2;
    bool is_size = false;

    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        is_size = is_size || sizes[i].bits == bits;
    /* Two primes of the same size, as everybody makes them. */
    if (!is_size || !has_usual_exponent(key) || has_number(key, OSSL_PKEY_PARAM_RSA_FACTOR3) ||
        (rsa = calloc(1, sizeof *rsa)) == NULL)
        return NULL;
    rsa->bits = bits;
    if (read_number(key, OSSL_PKEY_PARAM_RSA_N, bits, true, rsa->n) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_FACTOR1, half, true, rsa->p) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_FACTOR2, half, true, rsa->q) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_EXPONENT1, half, false, rsa->dp) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_EXPONENT2, half, false, rsa->dq) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, half, false, rsa->q_inverse))
        return rsa;
    rsa_numbers_free(rsa);
    return NULL;
}

void rsa_numbers_free(struct rsa_numbers *rsa)
{
    if (!rsa)
        return;
    explicit_bzero(rsa, sizeof *rsa);
    free(rsa);
}

/* ---- EMSA-PSS (RFC 8017 9.1.1) ---- */

/* MGF1 (B.2.1), over what is there already. */
static void mask(enum hash hash, const uint8_t *seed, uint8_t *data, size_t bytes)
{
    size_t size = hash_bytes(hash);
    uint8_t input[HASH_BYTES_MOST + 4] = { 0 }, block[HASH_BYTES_MOST];

    memcpy(input, seed, size);
    for (size_t done = 0; done < bytes; done += size) {
        hash_once(hash, bytes_of(input, size + 4), block);
        for (size_t i = 0; i < size && done + i < bytes; i++)
            data[done + i] ^= block[i];
        input[size + 3]++; /* of a counter of four bytes: there are less than 256 blocks */
    }
}

/* With a salt as long as the hash, into as many bytes as the modulus has, whose bits are a multiple of eight. */
static int encode(struct batch *b, const struct signature *sig, size_t bytes, uint8_t *out)
{
    enum hash hash = scheme_hash(sig->scheme);
    size_t size = hash_bytes(hash), data_bytes = bytes - size - 1;
    uint8_t input[8 + 2 * HASH_BYTES_MOST] = { 0 };
    uint8_t *salt = input + 8 + size, *digest = out + data_bytes;

    memcpy(input + 8, sig->digest, size);
    if (b->random(salt, size) != 0)
        return -E_CRYPTO;
    hash_once(hash, bytes_of(input, 8 + 2 * size), digest);
    memset(out, 0, data_bytes - size - 1);
    out[data_bytes - size - 1] = 1;
    memcpy(out + data_bytes - size, salt, size);
    mask(hash, digest, out, data_bytes);
    out[0] &= 0x7f; /* emBits is one less than the modulus has */
    out[bytes - 1] = 0xbc;
    return 0;
}

/* ---- Signatures ---- */

static unsigned lanes_least(int bits)
{
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        if (sizes[i].bits == bits)
            return sizes[i].lanes_least;
    return LANES + 1;
}

static void sign_singly(struct batch *b, enum batch_work work, struct signature *sig)
{
    b->counts[work].singly++;
    signature_settle(sig, sign_digest(sig));
}

static bool make_buffer(struct batch *b, const struct mb_rsa_method *private, const struct mb_rsa_method *public)
{
    int first = b->library->RSA_Method_BufSize(private), second = b->library->RSA_Method_BufSize(public);
    size_t wanted = (size_t)(first > second ? first : second);
    uint8_t *buffer;

    if (wanted <= b->rsa_buffer_bytes)
        return true;
    buffer = malloc(wanted);
    if (!buffer)
        return false;
    free(b->rsa_buffer); /* wiped after each use */
    b->rsa_buffer = buffer;
    b->rsa_buffer_bytes = wanted;
    return true;
}

struct lots {
    uint8_t encoded[LANES][RSA_BYTES_MOST] __attribute__((aligned(8)));
    uint8_t results[LANES][RSA_BYTES_MOST] __attribute__((aligned(8)));
    uint8_t proofs[LANES][RSA_BYTES_MOST] __attribute__((aligned(8)));
};

/* Lanes that nobody wants do what the first one does. Returns the status of both calls. */
static uint32_t exponentiate(struct batch *b, struct batch_job *const *jobs, unsigned count, struct lots *lots)
{
    const mb_word *n[LANES], *p[LANES], *q[LANES], *dp[LANES], *dq[LANES], *q_inverse[LANES];
    const uint8_t *encoded[LANES], *results[LANES];
    uint8_t *to[LANES], *proofs[LANES];
    const struct mb_rsa_method *private, *public;
    int bits = signature_of(jobs[0])->signer->rsa->bits;
    uint32_t status;

    for (unsigned i = 0; i < LANES; i++) {
        unsigned lane = i < count ? i : 0;
        const struct rsa_numbers *rsa = signature_of(jobs[lane])->signer->rsa;

        n[i] = rsa->n;
        p[i] = rsa->p;
        q[i] = rsa->q;
        dp[i] = rsa->dp;
        dq[i] = rsa->dq;
        q_inverse[i] = rsa->q_inverse;
        encoded[i] = lots->encoded[lane];
        to[i] = lots->results[i];
        results[i] = lots->results[i];
        proofs[i] = lots->proofs[i];
    }
    private = b->library->RSA_private_crt_Method(bits);
    public = b->library->RSA_pub65537_Method(bits);
    if (!private || !public || !make_buffer(b, private, public))
        return UINT32_MAX;
    status = b->library->rsa_private_crt_mb8(encoded, to, p, q, dp, dq, q_inverse, bits, private, b->rsa_buffer);
    status |= b->library->rsa_public_mb8(results, proofs, n, bits, public, b->rsa_buffer);
    explicit_bzero(b->rsa_buffer, b->rsa_buffer_bytes);
    return status;
}

static void sign_together(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count)
{
    struct lots lots;
    size_t bytes = (size_t)signature_of(jobs[0])->signer->rsa->bits / 8;
    uint32_t status = 0;

    memset(lots.proofs, 0, sizeof lots.proofs); /* who writes nothing confirms nothing */
    for (unsigned i = 0; i < count; i++)
        /* cppcheck-suppress uninitvar; encode() writes there */
        if (encode(b, signature_of(jobs[i]), bytes, lots.encoded[i]) != 0)
            status = UINT32_MAX;
    if (status == 0) {
        status = exponentiate(b, jobs, count, &lots);
        batch_count(b, work, count);
    }
    for (unsigned i = 0; i < count; i++) {
        struct signature *sig = signature_of(jobs[i]);

        if (lane_is_fine(status, i) && memcmp(lots.proofs[i], lots.encoded[i], bytes) == 0) {
            memcpy(sig->value, lots.results[i], bytes);
            sig->bytes = bytes;
            signature_settle(sig, 0);
        } else {
            explicit_bzero(lots.results[i], bytes);
            sign_singly(b, work, sig);
        }
    }
    explicit_bzero(lots.results, sizeof lots.results);
}

void rsa_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count)
{
    if (count >= lanes_least(signature_of(jobs[0])->signer->rsa->bits)) {
        sign_together(b, work, jobs, count);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        sign_singly(b, work, signature_of(jobs[i]));
}
