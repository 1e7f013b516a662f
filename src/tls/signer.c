#include "tls/signer.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include "base/check.h"
#include "tls/signer_inside.h"

static const struct scheme {
    uint16_t number;
    int type;           /* of key: EVP_PKEY_... */
    const char *curve;  /* NULL: any, or none */
    const char *digest; /* the library's name; NULL: the content is signed as it is */
    enum hash hash;     /* the same, where hmac.h has it */
} schemes[] = {
    { SCHEME_ECDSA_SECP256R1_SHA256, EVP_PKEY_EC, SN_X9_62_prime256v1, "SHA256", HASH_SHA256 },
    { SCHEME_ECDSA_SECP384R1_SHA384, EVP_PKEY_EC, SN_secp384r1, "SHA384", HASH_SHA384 },
    { SCHEME_ED25519, EVP_PKEY_ED25519, NULL, NULL, HASH_NONE },
    { SCHEME_RSA_PSS_RSAE_SHA256, EVP_PKEY_RSA, NULL, "SHA256", HASH_SHA256 },
    { SCHEME_RSA_PSS_RSAE_SHA384, EVP_PKEY_RSA, NULL, "SHA384", HASH_SHA384 },
    { SCHEME_RSA_PSS_RSAE_SHA512, EVP_PKEY_RSA, NULL, "SHA512", HASH_NONE },
    { SCHEME_RSA_PSS_PSS_SHA256, EVP_PKEY_RSA_PSS, NULL, "SHA256", HASH_SHA256 },
    { SCHEME_RSA_PSS_PSS_SHA384, EVP_PKEY_RSA_PSS, NULL, "SHA384", HASH_SHA384 },
    { SCHEME_RSA_PSS_PSS_SHA512, EVP_PKEY_RSA_PSS, NULL, "SHA512", HASH_NONE },
};

static const struct scheme *scheme_find(uint16_t number)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (schemes[i].number == number)
            return &schemes[i];
    CHECK(!"a scheme that the signer has");
    return NULL;
}

enum hash scheme_hash(uint16_t scheme)
{
    return scheme_find(scheme)->hash;
}

static bool is_rsa(const struct scheme *s)
{
    return s->type == EVP_PKEY_RSA || s->type == EVP_PKEY_RSA_PSS;
}

/* ---- Through OpenSSL ---- */

/* RFC 8446 4.2.3: the salt is as long as the hash, and the mask is made with the same hash (which is the default). */
static bool set_padding(EVP_PKEY_CTX *c, const struct scheme *scheme)
{
    return !is_rsa(scheme) || (EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
                               EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static EVP_MD_CTX *start(EVP_PKEY *key, const struct scheme *scheme)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;

    if (c && EVP_DigestSignInit_ex(c, &with, scheme->digest, NULL, NULL, key, NULL) == 1 && set_padding(with, scheme))
        return c;
    EVP_MD_CTX_free(c);
    return NULL;
}

/* Out of memory, the library has been seen to report success and a size of its own invention. */
static int conclude(struct signature *sig, bool is_fine, size_t size)
{
    sig->bytes = size;
    return is_fine && size > 0 && size <= sizeof sig->value ? 0 : -E_CRYPTO;
}

static int sign_content(struct signature *sig)
{
    EVP_MD_CTX *c = start(sig->signer->key, scheme_find(sig->scheme));
    size_t size = sizeof sig->value;
    bool fine = c && EVP_DigestSign(c, sig->value, &size, sig->content.at, sig->content.size) == 1;

    EVP_MD_CTX_free(c);
    return conclude(sig, fine, size);
}

int sign_digest(struct signature *sig)
{
    const struct scheme *scheme = scheme_find(sig->scheme);
    const EVP_MD *digest = EVP_get_digestbyname(scheme->digest);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, sig->signer->key, NULL);
    size_t size = sizeof sig->value;
    bool fine = c && EVP_PKEY_sign_init(c) == 1 && set_padding(c, scheme) &&
                EVP_PKEY_CTX_set_signature_md(c, digest) == 1 &&
                EVP_PKEY_sign(c, sig->value, &size, sig->digest, hash_bytes(scheme->hash)) == 1;

    EVP_PKEY_CTX_free(c);
    return conclude(sig, fine, size);
}

/* ---- Keys ---- */

static bool is_for(EVP_PKEY *key, const struct scheme *scheme)
{
    char curve[32];
    EVP_MD_CTX *c;

    if (EVP_PKEY_get_base_id(key) != scheme->type || EVP_PKEY_get_size(key) > SIGNATURE_MOST)
        return false;
    if (scheme->curve &&
        (EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) != 1 || strcmp(curve, scheme->curve) != 0))
        return false;
    /* RFC 8017 9.1.1: hash and salt have room. */
    if (is_rsa(scheme) &&
        EVP_PKEY_get_bits(key) < 8 * 2 * EVP_MD_get_size(EVP_get_digestbyname(scheme->digest)) + 16 + 1)
        return false;
    c = start(key, scheme); /* a key of RSASSA-PSS may be for a certain hash alone (RFC 4055 3.1) */
    EVP_MD_CTX_free(c);
    return c != NULL;
}

struct signer *signer_new(EVP_PKEY *key)
{
    struct signer *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (is_for(key, &schemes[i]))
            s->schemes[s->count++] = schemes[i].number;
    ERR_clear_error();
    if (s->count == 0 || EVP_PKEY_up_ref(key) != 1) {
        free(s);
        return NULL;
    }
    s->key = key;
    s->has_p256 = s->schemes[0] == SCHEME_ECDSA_SECP256R1_SHA256 && ecdsa_read_key(key, s->p256);
    if (is_rsa(scheme_find(s->schemes[0])))
        s->rsa = rsa_read_key(key);
    ERR_clear_error();
    return s;
}

void signer_free(struct signer *s)
{
    if (!s)
        return;
    rsa_numbers_free(s->rsa);
    EVP_PKEY_free(s->key);
    explicit_bzero(s, sizeof *s);
    free(s);
}

const uint16_t *signer_schemes(const struct signer *s, size_t *ret_count)
{
    *ret_count = s->count;
    return s->schemes;
}

bool signer_can(const struct signer *s, uint16_t scheme)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->schemes[i] == scheme)
            return true;
    return false;
}

/* ---- Requests ---- */

/* Where a signature waits for others of its kind; BATCH_WORKS: it does not. */
static enum batch_work queue_for(const struct signer *s, uint16_t scheme)
{
    if (s->has_p256)
        return BATCH_ECDSA_P256;
    if (!s->rsa || scheme_hash(scheme) == HASH_NONE)
        return BATCH_WORKS;
    return s->rsa->bits == 2048 ? BATCH_RSA_2048 : s->rsa->bits == 3072 ? BATCH_RSA_3072 : BATCH_RSA_4096;
}

void signature_settle(struct signature *sig, int error)
{
    sig->error = error;
    if (error) {
        sig->bytes = 0;
        explicit_bzero(sig->value, sizeof sig->value);
        ERR_clear_error();
    }
}

void signer_start(struct batch *b, const struct signer *s, struct signature *sig)
{
    enum batch_work work = b->library ? queue_for(s, sig->scheme) : BATCH_WORKS;

    CHECK(signer_can(s, sig->scheme));
    sig->signer = s;
    if (work == BATCH_WORKS) {
        signature_settle(sig, sign_content(sig));
        batch_finish(b, &sig->job);
        return;
    }
    hash_once(scheme_hash(sig->scheme), sig->content, sig->digest);
    batch_queue(b, work, &sig->job);
}
