/* batch.h: public-key work that came together, worked off together.
 *
 *     key_agreement_start() --+                                   +--> job->done()
 *     signer_start()        --+--> waits --> batch_run(), up to --+--> job->done()
 *     signer_start()        --+              eight at a time      +--> job->done()
 *
 * The multi-buffer library (multi_buffer.h) does eight operations of one kind in little more than the time of one. So a handshake
 * hands in what it needs (key_share.h, signer.h) and goes on when done() is called; each thread runs its batch once in a turn of
 * its event loop, when all that has arrived was read. Nobody waits for a batch to fill: what is there is worked off, by
 * the library where there are enough of a kind to make that the cheaper way, one by one through OpenSSL elsewhere.
 *
 * A request's memory is its owner's. It is zeroed but for what the request's header says, and stays where it is until done() was
 * called or batch_cancel() returned. done() is never called from within the call that hands a request in, always from
 * batch_run(), and exactly once. So a handshake need not know who did the work, and somebody else can: batch_finish().
 *
 * Beside the requests a batch keeps small pools of what can be made ahead of need: key pairs and nonces, each used once,
 * wiped when used, and left alone by a process that was forked since.
 *
 * One batch per thread; all calls from there. */
#ifndef TLS_BATCH_H
#define TLS_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct batch;
struct multi_buffer;

/* A part of each request. */
struct batch_job {
    struct list link;                     /* while it is handed in */
    void (*done)(struct batch_job *job);  /* the owner's; may hand in, cancel and free requests, this one, too */
};

/* With the library's functions: multi_buffer(), or NULL: everything through OpenSSL. Returns NULL when there is no memory. */
struct batch *batch_new(const struct multi_buffer *library);
/* Wipes what is left in the pools. No request is handed in any more. Accepts NULL. */
void batch_free(struct batch *b);

/* Whether batch_run() has nothing to do. */
bool batch_is_empty(const struct batch *b);
/* Works off everything that was handed in, and what is handed in by done() meanwhile. Not to be called by done(). */
void batch_run(struct batch *b);
/* The request is no longer handed in, if it was: done() will not be called. Its owner wipes it. */
void batch_cancel(struct batch_job *job);
/* The request's results are there: the next batch_run(), or the one that runs, calls done(). For whoever does such work. */
void batch_finish(struct batch *b, struct batch_job *job);

/* What was done, by kind: for metrics. */
enum batch_work {
    BATCH_KEY_PAIRS,  /* X25519, ahead of need */
    BATCH_NONCES,     /* ECDSA P-256, ahead of need */
    BATCH_X25519,
    BATCH_ECDSA_P256,
    BATCH_RSA_2048,
    BATCH_RSA_3072,
    BATCH_RSA_4096,
    BATCH_WORKS,
};
struct batch_counts {
    uint64_t calls;  /* of the multi-buffer library */
    uint64_t lanes;  /* of those calls: operations */
    uint64_t singly; /* operations by OpenSSL */
};
const struct batch_counts *batch_counts(const struct batch *b, enum batch_work work);
const char *batch_work_name(enum batch_work work); /* "x25519", for metrics */

#endif
