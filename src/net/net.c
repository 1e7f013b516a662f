#include "net/net.h"

#include <malloc.h>

#include "tls/batch.h"
#include "tls/multi_buffer.h"

enum {
    POOL_KEEPS = 20 * BUFFER_LARGE, /* bytes of storage kept for the next connection */
    TRIM_AFTER = 64,                /* handshakes */
};
#define TRIM_QUIET_NS NS_PER_S        /* without one */
#define AEADS_REST_NS (10 * NS_PER_S) /* unused for so long, or up to twice that, AEAD contexts are freed */

static void trim(struct timer *t)
{
    CONTAINER_OF(t, struct net, trim_timer)->handshakes = 0;
    (void)malloc_trim(0);
}

void net_trim_later(struct net *n)
{
    if (++n->handshakes >= TRIM_AFTER)
        loop_timer_set(n->loop, &n->trim_timer, loop_now(n->loop) + TRIM_QUIET_NS);
}

static void sweep_later(void *net)
{
    struct net *n = net;

    loop_timer_set(n->loop, &n->sweep_timer, loop_now(n->loop) + AEADS_REST_NS);
}

static void sweep(struct timer *t)
{
    struct net *n = CONTAINER_OF(t, struct net, sweep_timer);

    if (aead_cache_sweep(n->aeads))
        sweep_later(n);
}

/* Eight cost hardly more than one. So the loop looks again, without waiting, at what has come while this turn's ClientHellos were
 * read, as long as each look brings another, up to eight. */
static void run_batch(struct deferred *d)
{
    struct net *n = CONTAINER_OF(d, struct net, work);

    if (n->handed_in > n->looked_at && n->handed_in < LANES) {
        n->looked_at = n->handed_in;
        loop_defer(n->loop, d);
        return;
    }
    n->handed_in = n->looked_at = 0;
    n->works = true;
    batch_run(n->tls.batch);
    n->works = false;
}

void net_work_later(struct net *n)
{
    if (n->works) /* what is handed in meanwhile is worked off, too */
        return;
    if (n->handed_in++ == 0)
        loop_defer(n->loop, &n->work);
}

int net_init(struct net *n)
{
    *n =
        (struct net){ .loop = loop_new(), .pool = buffer_pool_new(POOL_KEEPS), .aeads = aead_cache_new(AEAD_CONTEXTS) };
    n->tls = (struct tls_thread){ .batch = batch_new(multi_buffer()), .aeads = n->aeads };
    deferred_init(&n->work, run_batch);
    timer_init(&n->trim_timer, trim);
    timer_init(&n->sweep_timer, sweep);
    if (n->loop && n->pool && n->aeads && n->tls.batch) {
        aead_cache_on_first(n->aeads, sweep_later, n);
        return 0;
    }
    net_clear(n);
    return -E_SYSTEM;
}

void net_clear(struct net *n)
{
    if (n->loop) {
        loop_timer_stop(n->loop, &n->trim_timer);
        loop_timer_stop(n->loop, &n->sweep_timer);
    }
    loop_free(n->loop); /* first: it frees connections that were closed */
    net_free_pipes(n);
    batch_free(n->tls.batch);
    aead_cache_free(n->aeads);
    buffer_pool_free(n->pool);
    arena_cache_free(&n->arenas);
    slab_clear(&n->connections);
    slab_clear(&n->tls_connections);
    *n = (struct net){ 0 };
}
