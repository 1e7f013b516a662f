/* key_share.h: the server's side of key agreement in TLS 1.3 (RFC 8446 4.2.8, 7.4): a client's share in, our share and the
 * shared secret out.
 *
 *     X25519           RFC 7748
 *     P-256, P-384     uncompressed points alone, and only those on the curve
 *     X25519MLKEM768   draft-ietf-tls-ecdhe-mlkem: ML-KEM-768 first, then X25519, in shares and in the secret;
 *                      only where the library has ML-KEM (OpenSSL 3.5)
 *
 * A request to a batch (batch.h). Our key pair is a fresh one each time. Pure but for randomness. */
#ifndef TLS_KEY_SHARE_H
#define TLS_KEY_SHARE_H

#include "base/bytes.h"
#include "base/error.h"
#include "tls/batch.h"
#include "tls/wire.h"

enum { KEY_SHARE_MOST = 1120, KEY_SECRET_MOST = 64 }; /* bytes */

/* Whether this group can be agreed upon here. Any thread. */
bool key_share_has(uint16_t group);
/* Bytes of a client's share, of ours, and of the secret; 0: no such group. */
size_t key_share_client_bytes(uint16_t number);
size_t key_share_server_bytes(uint16_t number);
size_t key_share_secret_bytes(uint16_t number);

struct key_agreement {
    /* To be set; the rest is zeroed. */
    struct batch_job job;      /* .done */
    uint16_t group;            /* one that key_share_has() */
    struct bytes client_share; /* as in KeyShareEntry.key_exchange; stays where it is until done() */

    /* Results, when done() is called. */
    int error;                 /* 0, or
                                *   -E_TLS     the client's share is not one: wrong size, not on the curve, of low order;
                                *              the alert is illegal_parameter
                                *   -E_CRYPTO  the library failed, or has no memory */
    size_t share_bytes, secret_bytes;
    uint8_t share[KEY_SHARE_MOST]; /* ours, for the ServerHello */
    uint8_t secret[KEY_SECRET_MOST];

    uint8_t private_key[32];   /* ours, while the request waits */
};

/* Hands it in. */
void key_agreement_start(struct batch *b, struct key_agreement *a);
/* Cancels it if it is still handed in, and wipes it. For whoever has used the secret, or gives up. */
void key_agreement_wipe(struct key_agreement *a);

#endif
