#include "tls/key_share.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/check.h"
#include "base/generation.h"
#include "tls/batch_inside.h"

enum {
    X25519_BYTES = 32,
    MLKEM_KEY_BYTES = 1184, /* FIPS 203, table 3: an encapsulation key of ML-KEM-768 */
    MLKEM_CIPHER_BYTES = 1088,
    MLKEM_SECRET_BYTES = 32,
    /* From so many on the multi-buffer library is the cheaper way: a call of it costs 53 microseconds, OpenSSL's derivation 35
     * (bench/batch.c). */
    X25519_LANES_LEAST = 2,
};

static const struct group {
    uint16_t number;
    uint16_t client_bytes, server_bytes, secret_bytes;
    const char *curve; /* the library's name, where there are points; else NULL */
} groups[] = {
    { GROUP_X25519, 32, 32, 32, NULL },
    { GROUP_P256, 65, 65, 32, "P-256" },
    { GROUP_P384, 97, 97, 48, "P-384" },
    { GROUP_X25519MLKEM768, MLKEM_KEY_BYTES + 32, MLKEM_CIPHER_BYTES + 32, MLKEM_SECRET_BYTES + 32, NULL },
};

static const struct group *group_find(uint16_t number)
{
    for (size_t i = 0; i < COUNT_OF(groups); i++)
        if (groups[i].number == number)
            return &groups[i];
    return NULL;
}

size_t key_share_client_bytes(uint16_t number)
{
    const struct group *group = group_find(number);

    return group ? group->client_bytes : 0;
}

size_t key_share_server_bytes(uint16_t number)
{
    const struct group *group = group_find(number);

    return group ? group->server_bytes : 0;
}

size_t key_share_secret_bytes(uint16_t number)
{
    const struct group *group = group_find(number);

    return group ? group->secret_bytes : 0;
}

static bool has_mlkem;

static void look_for_mlkem(void)
{
    EVP_KEM *kem = EVP_KEM_fetch(NULL, "ML-KEM-768", NULL);

    has_mlkem = kem != NULL;
    EVP_KEM_free(kem);
    ERR_clear_error();
}

bool key_share_has(uint16_t number)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (number != GROUP_X25519MLKEM768)
        return group_find(number) != NULL;
    CHECK(pthread_once(&once, look_for_mlkem) == 0);
    return has_mlkem;
}

/* ---- Through OpenSSL ---- */

/* Writes the secret that two keys share. The peer's was checked when it was decoded: a point is on the curve, and these curves
 * have no others of small order. X25519 tells by its result, which the library refuses when it is zero (RFC 7748 6.1). */
static int derive(EVP_PKEY *own, EVP_PKEY *peer, size_t bytes, uint8_t *ret_secret)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    size_t size = bytes;
    int error = -E_CRYPTO;

    if (c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer_ex(c, peer, 0) == 1)
        error = EVP_PKEY_derive(c, ret_secret, &size) == 1 && size == bytes ? 0 : -E_TLS;
    EVP_PKEY_CTX_free(c);
    return error;
}

static int agree_on_curve(struct key_agreement *a, const struct group *group)
{
    EVP_PKEY *own = NULL, *peer = NULL;
    unsigned char *point = NULL;
    int error = -E_TLS;

    if (a->client_share.at[0] != 4) /* RFC 8446 4.2.8.2: uncompressed alone */
        return -E_TLS;
    if (!(own = EVP_EC_gen(group->curve)) || !(peer = EVP_PKEY_new()) || EVP_PKEY_copy_parameters(peer, own) != 1)
        error = -E_CRYPTO;
    else if (EVP_PKEY_set1_encoded_public_key(peer, a->client_share.at, a->client_share.size) == 1)
        error = derive(own, peer, group->secret_bytes, a->secret);
    if (error == 0) {
        if (EVP_PKEY_get1_encoded_public_key(own, &point) == group->server_bytes)
            memcpy(a->share, point, group->server_bytes);
        else
            error = -E_CRYPTO;
    }
    OPENSSL_free(point);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return error;
}

/* A key that is of ML-KEM-768 and nothing yet: a copy of it is cheaper than to look all of its algorithms up again. */
static EVP_PKEY *make_template(void)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "ML-KEM-768", NULL);
    EVP_PKEY *made = NULL;

    if (c && EVP_PKEY_paramgen_init(c) == 1)
        (void)EVP_PKEY_paramgen(c, &made);
    EVP_PKEY_CTX_free(c);
    return made;
}

/* The first half of a hybrid: for the client's encapsulation key a secret and the ciphertext that carries it. */
static int encapsulate(struct batch *b, struct key_agreement *a)
{
    EVP_PKEY *key = b->mlkem || (b->mlkem = make_template()) ? EVP_PKEY_dup(b->mlkem) : NULL;
    EVP_PKEY_CTX *c = NULL;
    size_t cipher_bytes = MLKEM_CIPHER_BYTES, secret_bytes = MLKEM_SECRET_BYTES;
    int error = -E_CRYPTO;

    if (key && EVP_PKEY_set1_encoded_public_key(key, a->client_share.at, MLKEM_KEY_BYTES) != 1)
        error = -E_TLS; /* FIPS 203 7.2: a coefficient that is not one */
    else if (key && (c = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) && EVP_PKEY_encapsulate_init(c, NULL) == 1 &&
             EVP_PKEY_encapsulate(c, a->share, &cipher_bytes, a->secret, &secret_bytes) == 1 &&
             cipher_bytes == MLKEM_CIPHER_BYTES && secret_bytes == MLKEM_SECRET_BYTES)
        error = 0;
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(key);
    return error;
}

/* ---- X25519, which is the second half of a hybrid, too ---- */

static const uint8_t *client_half(const struct key_agreement *a)
{
    return a->client_share.at + a->client_share.size - X25519_BYTES;
}

static uint8_t *share_half(struct key_agreement *a)
{
    return a->share + key_share_server_bytes(a->group) - X25519_BYTES;
}

static uint8_t *secret_half(struct key_agreement *a)
{
    return a->secret + key_share_secret_bytes(a->group) - X25519_BYTES;
}

static int derive_half(struct key_agreement *a, EVP_PKEY *own)
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, client_half(a), X25519_BYTES);
    int error = own && peer ? derive(own, peer, X25519_BYTES, secret_half(a)) : -E_CRYPTO;

    EVP_PKEY_free(peer);
    return error;
}

static EVP_PKEY *generate(struct batch *b)
{
    EVP_PKEY *key = NULL;

    if (!b->x25519 && (b->x25519 = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL)) != NULL &&
        EVP_PKEY_keygen_init(b->x25519) != 1) {
        EVP_PKEY_CTX_free(b->x25519);
        b->x25519 = NULL;
    }
    return b->x25519 && EVP_PKEY_generate(b->x25519, &key) == 1 ? key : NULL;
}

void key_share_clear(struct batch *b)
{
    EVP_PKEY_CTX_free(b->x25519);
    EVP_PKEY_free(b->mlkem);
}

/* With a key pair that OpenSSL makes for it. */
static int agree_on_x25519(struct batch *b, struct key_agreement *a)
{
    EVP_PKEY *own = generate(b);
    size_t size = X25519_BYTES;
    int error = derive_half(a, own);

    if (error == 0 && EVP_PKEY_get_raw_public_key(own, share_half(a), &size) != 1)
        error = -E_CRYPTO;
    EVP_PKEY_free(own);
    return error;
}

/* A key pair of the pool's as OpenSSL has it. Made of both halves: it would else work the public one out again. */
static EVP_PKEY *pair_of(uint8_t *private_key, uint8_t *public_key)
{
    OSSL_PARAM parts[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, private_key, X25519_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, public_key, X25519_BYTES),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    EVP_PKEY *key = NULL;

    if (c && EVP_PKEY_fromdata_init(c) == 1)
        (void)EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, parts);
    EVP_PKEY_CTX_free(c);
    return key;
}

static int agree_with_pair(struct key_agreement *a)
{
    EVP_PKEY *own = pair_of(a->private_key, share_half(a));
    int error = derive_half(a, own);

    EVP_PKEY_free(own);
    return error;
}

static int fill_pool(struct batch *b)
{
    struct key_pool *pool = &b->keys;
    const uint8_t *private_keys[LANES];
    uint8_t *public_keys[LANES];

    for (unsigned i = 0; i < LANES; i++) {
        private_keys[i] = pool->private_keys[i];
        public_keys[i] = pool->public_keys[i];
    }
    pool->left = 0;
    if (b->random(pool->private_keys, sizeof pool->private_keys) != 0 ||
        b->library->x25519_public_key_mb8(public_keys, private_keys) != 0) {
        explicit_bzero(pool, sizeof *pool);
        return -E_CRYPTO;
    }
    batch_count(b, BATCH_KEY_PAIRS, LANES);
    pool->generation = fork_generation();
    pool->left = LANES;
    return 0;
}

static int take_pair(struct batch *b, uint8_t *ret_private, uint8_t *ret_public)
{
    struct key_pool *pool = &b->keys;
    int error;

    if ((pool->left == 0 || pool->generation != fork_generation()) && (error = fill_pool(b)) != 0)
        return error;
    pool->left--;
    memcpy(ret_private, pool->private_keys[pool->left], X25519_BYTES);
    memcpy(ret_public, pool->public_keys[pool->left], X25519_BYTES);
    explicit_bzero(pool->private_keys[pool->left], X25519_BYTES);
    return 0;
}

/* The library (2021.12.1) counts in five limbs of 52 bits, and loses a carry that has to go through a whole limb of ones: it then comes
 * to a wrong result, also for p - 1, a point of small order, where the result must be zero. In what a ladder comes across by itself that
 * happens once in 2^38 agreements or so, and the handshake fails; a client may choose a coordinate for it. Whatever has a limb
 * that begins with sixteen bits alike goes to OpenSSL: one in 6,500 of honest coordinates. */
bool x25519_is_ordinary(const uint8_t coordinate[X25519_BYTES])
{
    enum { LIMB = 52, LIMBS = 5, LAST = 255 - 4 * LIMB, LOOKED_AT = 16 };

    for (unsigned i = 0; i < LIMBS; i++) {
        unsigned at = i * LIMB + (i < LIMBS - 1 ? LIMB : LAST) - LOOKED_AT; /* of the limb's highest bits */
        const uint8_t *bytes = coordinate + at / 8;
        uint32_t word = bytes[0] | (uint32_t)bytes[1] << 8 | (at % 8 ? (uint32_t)bytes[2] << 16 : 0);
        uint16_t bits = (uint16_t)(word >> at % 8);

        if (bits == 0 || bits == UINT16_MAX)
            return false;
    }
    return true;
}

static struct key_agreement *agreement_of(struct batch_job *job)
{
    return CONTAINER_OF(job, struct key_agreement, job);
}

/* One result for whoever reads it; nothing else stays. */
static void settle(struct key_agreement *a, int error)
{
    const struct group *group = group_find(a->group);

    explicit_bzero(a->private_key, sizeof a->private_key);
    a->error = error;
    if (error) {
        explicit_bzero(a->secret, sizeof a->secret);
        ERR_clear_error();
        return;
    }
    a->share_bytes = group->server_bytes;
    a->secret_bytes = group->secret_bytes;
}

/* Without a branch that depends on it: a secret of zeros. */
static bool is_zero(const uint8_t *secret)
{
    uint8_t all = 0;

    for (size_t i = 0; i < X25519_BYTES; i++)
        all |= secret[i];
    return all == 0;
}

/* Lanes that nobody wants do what the first one does. A function of its own in every build: tests/memcheck lets a secret decide here,
 * whether it is zero. */
__attribute__((noinline)) static void agree_at_once(struct batch *b, struct batch_job *const *jobs, unsigned count)
{
    uint8_t secrets[LANES][X25519_BYTES] __attribute__((aligned(8)));
    uint8_t peers[LANES][X25519_BYTES] __attribute__((aligned(8)));
    uint8_t private_keys[LANES][X25519_BYTES] __attribute__((aligned(8)));
    uint8_t *to[LANES];
    const uint8_t *from[LANES], *with[LANES];
    uint32_t status;

    for (unsigned i = 0; i < LANES; i++) {
        struct key_agreement *a = agreement_of(jobs[i < count ? i : 0]);

        memcpy(private_keys[i], a->private_key, X25519_BYTES);
        memcpy(peers[i], client_half(a), X25519_BYTES);
        to[i] = secrets[i];
        with[i] = private_keys[i];
        from[i] = peers[i];
    }
    status = b->library->x25519_mb8(to, with, from);
    batch_count(b, BATCH_X25519, count);
    for (unsigned i = 0; i < count; i++) {
        struct key_agreement *a = agreement_of(jobs[i]);

        memcpy(secret_half(a), secrets[i], X25519_BYTES);
        if (is_zero(secrets[i])) /* RFC 7748 6.1: the client's point is of small order */
            settle(a, -E_TLS);
        else
            settle(a, lane_is_fine(status, i) ? 0 : agree_with_pair(a));
    }
    explicit_bzero(secrets, sizeof secrets);
    explicit_bzero(private_keys, sizeof private_keys);
}

void x25519_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count)
{
    if (count >= X25519_LANES_LEAST) {
        agree_at_once(b, jobs, count);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        settle(agreement_of(jobs[i]), agree_with_pair(agreement_of(jobs[i])));
        b->counts[work].singly++;
    }
}

/* ---- Requests ---- */

/* Returns 0 when the result is there, -E_AGAIN when it waits for a batch. */
static int begin(struct batch *b, struct key_agreement *a)
{
    const struct group *group = group_find(a->group);
    int error = 0;

    CHECK(group && key_share_has(a->group));
    if (a->client_share.size != group->client_bytes)
        return -E_TLS;
    if (group->curve)
        return agree_on_curve(a, group);
    if (a->group == GROUP_X25519MLKEM768)
        error = encapsulate(b, a);
    if (error)
        return error;
    if (b->library && x25519_is_ordinary(client_half(a)) && take_pair(b, a->private_key, share_half(a)) == 0)
        return -E_AGAIN;
    b->counts[BATCH_X25519].singly++;
    return agree_on_x25519(b, a);
}

void key_agreement_start(struct batch *b, struct key_agreement *a)
{
    int error = begin(b, a);

    if (error == -E_AGAIN) {
        batch_queue(b, BATCH_X25519, &a->job);
        return;
    }
    settle(a, error);
    batch_finish(b, &a->job);
}

void key_agreement_wipe(struct key_agreement *a)
{
    batch_cancel(&a->job);
    explicit_bzero(a, sizeof *a);
}
