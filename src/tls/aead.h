/* aead.h: the library's AEAD contexts, keyed and ready, for as many connections as have traffic at one time.
 *
 * A context costs about a kilobyte of memory and a third of a microsecond to be keyed. So that ten thousand idle
 * connections do not hold twenty thousand of them, a thread keeps a bounded number: who seals or opens a record
 * gets one if it has none, and the least recently used one changes hands when all are in use. What traffic has left
 * behind goes with a sweep now and then: who idles holds none, and a thread that idles has none.
 *
 * One cache per thread. */
#ifndef TLS_AEAD_H
#define TLS_AEAD_H

#include "tls/traffic_keys.h"

struct aead_cache;
struct aead_context;

enum { AEAD_CONTEXTS = 512 }; /* of one thread: two a connection */

struct aead_cache *aead_cache_new(unsigned contexts_most); /* NULL: memory */
/* No holder holds a context any more. */
void aead_cache_free(struct aead_cache *cache);

/* From here on the owner hears when a cache that had no context has one: time to begin with sweeps. */
void aead_cache_on_first(struct aead_cache *cache, void (*on_first)(void *owner), void *owner);
/* Frees the contexts, and wipes their keys, that nobody has used since the last sweep: their holders get others when they need
 * them. Returns how many are left. */
unsigned aead_cache_sweep(struct aead_cache *cache);

/* Where one direction of a connection keeps its context while it has one; starts zeroed. */
struct aead_holder {
    struct aead_context *context;
};
/* The context is wiped and is others'. */
void aead_release(struct aead_cache *cache, struct aead_holder *holder);

/* One record's work. Key and direction of a holder stay the same until aead_release(). */
struct aead_job {
    const uint8_t *key;
    uint8_t aead;          /* enum aead */
    bool is_sealing;
    const uint8_t *nonce;  /* AEAD_NONCE bytes */
    struct bytes data;     /* associated */
    struct bytes in;       /* plaintext, or ciphertext without its tag */
    int tail;              /* sealing: one more byte of plaintext behind `in`; -1: none */
    uint8_t *out;          /* as many bytes as in (and tail); may be in.at itself, else must not overlap */
    uint8_t *tag;          /* AEAD_TAG bytes: written when sealing, compared when opening */
};
/* Returns 0, -E_TLS when the tag does not fit (what is in out is no plaintext: it was wiped), -E_MEMORY or -E_CRYPTO. */
int aead_run(struct aead_cache *cache, struct aead_holder *holder, const struct aead_job *job) MUST_USE;

#endif
