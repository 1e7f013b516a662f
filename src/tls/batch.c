#include "tls/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tls/batch_inside.h"
#include "tls/random.h"

typedef void worker(struct batch *b, enum batch_work work, struct batch_job *const *jobs, unsigned count);

/* In this order: what an agreement's done() hands in, signatures, then meets that of others. */
static const struct {
    const char *name;
    worker *work; /* NULL: made ahead of need, never asked for */
} works[BATCH_WORKS] = {
    [BATCH_KEY_PAIRS] = { "key_pairs", NULL },   [BATCH_NONCES] = { "nonces", NULL },
    [BATCH_X25519] = { "x25519", x25519_work },  [BATCH_ECDSA_P256] = { "ecdsa_p256", ecdsa_work },
    [BATCH_RSA_2048] = { "rsa_2048", rsa_work }, [BATCH_RSA_3072] = { "rsa_3072", rsa_work },
    [BATCH_RSA_4096] = { "rsa_4096", rsa_work },
};

struct batch *batch_new(const struct multi_buffer *library)
{
    struct batch *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->library = library;
    b->random = random_bytes;
    list_init(&b->finished);
    for (size_t i = 0; i < COUNT_OF(b->queues); i++)
        list_init(&b->queues[i]);
    return b;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    CHECK(batch_is_empty(b));
    key_share_clear(b);
    free(b->rsa_buffer); /* wiped after each use */
    explicit_bzero(b, sizeof *b);
    free(b);
}

bool batch_is_empty(const struct batch *b)
{
    for (size_t i = 0; i < COUNT_OF(b->queues); i++)
        if (!list_is_empty(&b->queues[i]))
            return false;
    return list_is_empty(&b->finished);
}

void batch_queue(struct batch *b, enum batch_work work, struct batch_job *job)
{
    CHECK(works[work].work);
    list_append(&b->queues[work], &job->link);
}

void batch_finish(struct batch *b, struct batch_job *job)
{
    list_append(&b->finished, &job->link);
}

void batch_cancel(struct batch_job *job)
{
    if (job->link.next)
        list_remove(&job->link);
}

static void call_finished(struct batch *b)
{
    while (!list_is_empty(&b->finished)) {
        struct batch_job *job = LIST_FIRST(&b->finished, struct batch_job, link);

        list_remove(&job->link);
        job->done(job);
    }
}

/* All results are written before the first done(), which may take others of the same lot back, and free them. */
static void work_off(struct batch *b, enum batch_work work)
{
    struct list *queue = &b->queues[work];
    struct batch_job *jobs[LANES];
    unsigned count = 0;

    while (!list_is_empty(queue) && count < LANES) {
        jobs[count] = LIST_FIRST(queue, struct batch_job, link);
        list_remove(&jobs[count++]->link);
    }
    works[work].work(b, work, jobs, count);
    for (unsigned i = 0; i < count; i++)
        batch_finish(b, jobs[i]);
    call_finished(b);
}

void batch_run(struct batch *b)
{
    call_finished(b);
    while (!batch_is_empty(b))
        for (enum batch_work work = 0; work < BATCH_WORKS; work++)
            while (!list_is_empty(&b->queues[work]))
                work_off(b, work);
}

/* ---- What was done ---- */

void batch_count(struct batch *b, enum batch_work work, unsigned lanes)
{
    b->counts[work].calls++;
    b->counts[work].lanes += lanes;
}

const struct batch_counts *batch_counts(const struct batch *b, enum batch_work work)
{
    CHECK(work < BATCH_WORKS);
    return &b->counts[work];
}

const char *batch_work_name(enum batch_work work)
{
    CHECK(work < BATCH_WORKS);
    return works[work].name;
}
