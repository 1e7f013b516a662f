#include "tls/aead.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "base/list.h"

struct aead_context {
    struct list link;           /* of the cache's `used` or `free`, the most recent first */
    struct aead_holder *holder; /* NULL: free */
    EVP_CIPHER_CTX *evp;
    unsigned round; /* the cache's when it was used, or given back, last */
};

struct aead_cache {
    struct list used, free;
    unsigned count, most;
    unsigned round; /* between two sweeps */
    void (*on_first)(void *owner);
    void *owner;
};

static EVP_CIPHER *fetched[AEAD_CHACHA20_POLY1305 + 1];

static void fetch_all(void)
{
    fetched[AEAD_AES_128_GCM] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    fetched[AEAD_AES_256_GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    fetched[AEAD_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    ERR_clear_error();
}

struct aead_cache *aead_cache_new(unsigned contexts_most)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct aead_cache *cache = calloc(1, sizeof *cache);

    CHECK(contexts_most > 0);
    pthread_once(&once, fetch_all);
    if (!cache)
        return NULL;
    list_init(&cache->used);
    list_init(&cache->free);
    cache->most = contexts_most;
    return cache;
}

void aead_cache_on_first(struct aead_cache *cache, void (*on_first)(void *owner), void *owner)
{
    cache->on_first = on_first;
    cache->owner = owner;
}

/* Those that were not touched in this round, or all of them. */
static void free_contexts(struct aead_cache *cache, struct list *contexts, bool all)
{
    LIST_EACH (contexts, link) {
        struct aead_context *context = CONTAINER_OF(link, struct aead_context, link);

        if (context->round == cache->round && !all)
            continue;
        if (context->holder)
            context->holder->context = NULL;
        list_remove(&context->link);
        EVP_CIPHER_CTX_free(context->evp); /* the library wipes the key schedule */
        free(context);
        cache->count--;
    }
}

void aead_cache_free(struct aead_cache *cache)
{
    if (!cache)
        return;
    CHECK(list_is_empty(&cache->used));
    free_contexts(cache, &cache->free, true);
    free(cache);
}

void aead_release(struct aead_cache *cache, struct aead_holder *holder)
{
    struct aead_context *context = holder->context;

    if (!context)
        return;
    EVP_CIPHER_CTX_reset(context->evp); /* the library wipes the key schedule */
    context->holder = NULL;
    context->round = cache->round;
    holder->context = NULL;
    list_remove(&context->link);
    list_prepend(&cache->free, &context->link);
}

unsigned aead_cache_sweep(struct aead_cache *cache)
{
    free_contexts(cache, &cache->free, false);
    free_contexts(cache, &cache->used, false);
    cache->round++;
    return cache->count;
}

static struct aead_context *new_context(struct aead_cache *cache)
{
    struct aead_context *context = calloc(1, sizeof *context);

    if (!context)
        return NULL;
    list_init(&context->link);
    context->evp = EVP_CIPHER_CTX_new();
    if (!context->evp) {
        free(context);
        return NULL;
    }
    if (cache->count++ == 0 && cache->on_first)
        cache->on_first(cache->owner);
    return context;
}

/* A context that nobody holds. */
static struct aead_context *find_context(struct aead_cache *cache)
{
    if (list_is_empty(&cache->free) && cache->count >= cache->most)
        aead_release(cache, LIST_LAST(&cache->used, struct aead_context, link)->holder);
    if (list_is_empty(&cache->free))
        return new_context(cache);
    return LIST_FIRST(&cache->free, struct aead_context, link);
}

/* Gives the holder a context with its key. */
static int hold(struct aead_cache *cache, struct aead_holder *holder, const struct aead_job *job)
{
    struct aead_context *context = find_context(cache);

    if (!context)
        return -E_MEMORY;
    list_remove(&context->link);
    list_prepend(&cache->used, &context->link);
    context->holder = holder;
    holder->context = context;
    if (fetched[job->aead] &&
        EVP_CipherInit_ex2(context->evp, fetched[job->aead], job->key, NULL, job->is_sealing, NULL) == 1)
        return 0;
    aead_release(cache, holder);
    ERR_clear_error();
    return -E_CRYPTO;
}

static bool begin(EVP_CIPHER_CTX *evp, const struct aead_job *job)
{
    int n;

    return EVP_CipherInit_ex2(evp, NULL, NULL, job->nonce, job->is_sealing, NULL) == 1 &&
           EVP_CipherUpdate(evp, NULL, &n, job->data.at, (int)job->data.size) == 1;
}

static int seal_one(EVP_CIPHER_CTX *evp, const struct aead_job *job)
{
    const uint8_t tail = (uint8_t)job->tail;
    int n = 0, more = 0;

    if (job->tail >= 0 && job->in.at == job->out) { /* in place there is room for it behind what it follows: one call */
        struct aead_job whole = *job;

        job->out[job->in.size] = tail;
        whole.in.size++;
        whole.tail = -1;
        return seal_one(evp, &whole);
    }
    if ((job->in.size == 0 || EVP_CipherUpdate(evp, job->out, &n, job->in.at, (int)job->in.size) == 1) &&
        (job->tail < 0 || EVP_CipherUpdate(evp, job->out + n, &more, &tail, 1) == 1) &&
        EVP_CipherFinal_ex(evp, job->out + n + more, &more) == 1 &&
        EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, job->tag) == 1)
        return 0;
    return -E_CRYPTO;
}

static int open_one(EVP_CIPHER_CTX *evp, const struct aead_job *job)
{
    int n = 0;

    if (EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, job->tag) != 1)
        return -E_CRYPTO;
    if (job->in.size && EVP_CipherUpdate(evp, job->out, &n, job->in.at, (int)job->in.size) != 1)
        return -E_CRYPTO;
    if (EVP_CipherFinal_ex(evp, job->out + n, &n) == 1)
        return 0;
    explicit_bzero(job->out, job->in.size);
    return -E_TLS;
}

int aead_run(struct aead_cache *cache, struct aead_holder *holder, const struct aead_job *job)
{
    struct aead_context *context;
    int error = holder->context ? 0 : hold(cache, holder, job);

    if (error)
        return error;
    context = holder->context;
    context->round = cache->round;
    if (cache->used.next != &context->link) {
        list_remove(&context->link);
        list_prepend(&cache->used, &context->link);
    }
    error = !begin(context->evp, job) ? -E_CRYPTO
            : job->is_sealing         ? seal_one(context->evp, job)
                                      : open_one(context->evp, job);
    if (error)
        ERR_clear_error();
    return error;
}
