/* signer.h: a server's key makes the signature of CertificateVerify (RFC 8446 4.4.3).
 *
 *     ECDSA P-256       nonces are made eight at a time, ahead of need (sign_ecdsa.c)
 *     RSA 2048 to 4096  PSS; by the Chinese remainder theorem, up to eight at a time, and never out before the public key
 *                       has confirmed it: a single wrong bit on the way would give the factors away (sign_rsa.c)
 *     everything else   ECDSA P-384, Ed25519, other sizes and exponents of RSA: by OpenSSL, at once
 *
 * Where the multi-buffer library is not there, all of it is by OpenSSL. A signature is a request to a batch (batch.h). */
#ifndef TLS_SIGNER_H
#define TLS_SIGNER_H

#include "base/bytes.h"
#include "base/error.h"
#include "tls/batch.h"
#include "tls/wire.h"

struct evp_pkey_st;

enum { SIGNATURE_MOST = 1024 }; /* bytes: RSA with 8192 bits */

/* A key, ready to sign. Immutable, so that all threads may share it; wiped when it is freed. */
struct signer;

/* Takes a reference to the key. NULL: the key can do none of the schemes, or there is no memory. */
struct signer *signer_new(struct evp_pkey_st *key);
void signer_free(struct signer *s); /* accepts NULL; no request with it is handed in any more */
/* The schemes that the key can do, the one that we prefer first. At least one. */
const uint16_t *signer_schemes(const struct signer *s, size_t *ret_count);
bool signer_can(const struct signer *s, uint16_t scheme);

struct signature {
    /* To be set; the rest is zeroed. */
    struct batch_job job;  /* .done */
    uint16_t scheme;       /* one that signer_can() */
    struct bytes content;  /* what is signed: RFC 8446 4.4.3's blanks, context, zero byte and transcript hash; read by
                            * signer_start() alone */

    /* Results, when done() is called. */
    int error;             /* 0 or -E_CRYPTO: the library failed, or has no memory */
    size_t bytes;
    uint8_t value[SIGNATURE_MOST];

    const struct signer *signer;
    uint8_t digest[64];    /* of the content, while the request waits */
};

/* Hands it in; batch_cancel() takes it back. */
void signer_start(struct batch *b, const struct signer *s, struct signature *sig);

#endif
