/* batch_inside.h: what the files share that work a batch off: batch.c has the queues, key_share.c, sign_ecdsa.c and sign_rsa.c
 * do the work. Nobody else includes this but their tests. */
#ifndef TLS_BATCH_INSIDE_H
#define TLS_BATCH_INSIDE_H

#include "tls/batch.h"
#include "tls/multi_buffer.h"

struct evp_pkey_ctx_st;
struct evp_pkey_st;
struct key_agreement;
struct signature;
struct signer;

/* X25519 key pairs, made ahead of need. */
struct key_pool {
    unsigned generation; /* fork_generation() when they were made */
    unsigned left;       /* of those below, the first ones */
    uint8_t private_keys[LANES][32] __attribute__((aligned(8)));
    uint8_t public_keys[LANES][32] __attribute__((aligned(8)));
};

/* What a nonce k of ECDSA P-256 comes to: r, the x coordinate of k times the base point, and 1/k, both modulo the order. They are of
 * no certain key: all of a thread's signers take from here. */
struct nonce_pool {
    unsigned generation, left;
    mb_word r[LANES][4];
    mb_word inverse[LANES][4];
    mb_word last_r[4];   /* of those made before: a source of randomness that repeats itself is found out */
};

struct batch {
    const struct multi_buffer *library;     /* NULL: OpenSSL does everything */
    int (*random)(void *out, size_t size);  /* random_bytes(), unless a test has another one */
    struct list queues[BATCH_WORKS];        /* of those works that are asked for */
    struct list finished;                   /* done() is to be called */
    struct key_pool keys;
    struct nonce_pool nonces;
    struct evp_pkey_ctx_st *x25519;         /* OpenSSL's way to make key pairs, and */
    struct evp_pkey_st *mlkem;              /* an ML-KEM key without a key in it: both made when first needed */
    uint8_t *rsa_buffer;                    /* the library's scratch; made when first needed */
    size_t rsa_buffer_bytes;
    struct batch_counts counts[BATCH_WORKS];
};

/* The job waits for batch_run(). */
void batch_queue(struct batch *b, enum batch_work work, struct batch_job *job);
void batch_count(struct batch *b, enum batch_work work, unsigned lanes);
/* Whether the multi-buffer library may be given this coordinate of a client's; it errs at some (key_share.c). */
bool x25519_is_ordinary(const uint8_t coordinate[32]);
/* Frees what key_share.c keeps. */
void key_share_clear(struct batch *b);

/* Each works off 1 to LANES jobs of one kind: writes all of their results, and touches nothing else. */
void x25519_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count);
void ecdsa_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count);
void rsa_work(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count);

#endif
