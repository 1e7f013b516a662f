/* signer_inside.h: a signer as the files that sign with it see it: signer.c, sign_ecdsa.c, sign_rsa.c. Nobody else includes this but
 * their tests. */
#ifndef TLS_SIGNER_INSIDE_H
#define TLS_SIGNER_INSIDE_H

#include <openssl/evp.h>

#include "tls/batch_inside.h"
#include "tls/hmac.h"
#include "tls/signer.h"

enum { SCHEMES_MOST = 3, P256_BYTES = 32, P256_WORDS = 4, RSA_WORDS_MOST = 4096 / 64 };

/* The numbers of an RSA key as the multi-buffer library takes them. */
struct rsa_numbers {
    int bits;                   /* of the modulus; 0: not for the library */
    mb_word n[RSA_WORDS_MOST];
    mb_word p[RSA_WORDS_MOST / 2], q[RSA_WORDS_MOST / 2], dp[RSA_WORDS_MOST / 2], dq[RSA_WORDS_MOST / 2];
    mb_word q_inverse[RSA_WORDS_MOST / 2];
};

struct signer {
    EVP_PKEY *key;
    uint16_t schemes[SCHEMES_MOST];
    size_t count;
    bool has_p256;              /* the next is set */
    mb_word p256[P256_WORDS];   /* the private key */
    struct rsa_numbers *rsa;    /* NULL: not for the library */
};

/* What a scheme hashes with; HASH_NONE: none that hmac.h has. */
enum hash scheme_hash(uint16_t scheme);

/* Take the numbers out of a key for the multi-buffer library; false: it is not one for it. */
bool ecdsa_read_key(EVP_PKEY *key, mb_word ret_private[P256_WORDS]);
struct rsa_numbers *rsa_read_key(EVP_PKEY *key); /* NULL: not one for it */
void rsa_numbers_free(struct rsa_numbers *rsa);  /* wipes it; accepts NULL */

/* A signature of sig->digest through OpenSSL. Returns 0 or -E_CRYPTO. */
int sign_digest(struct signature *sig);
/* The request is done: with this error, if there is one. */
void signature_settle(struct signature *sig, int error);

static inline struct signature *signature_of(struct batch_job *job)
{
    return CONTAINER_OF(job, struct signature, job);
}

#endif
