#include "net/net.h"

enum { POOL_KEEPS = 64 * BUFFER_LARGE }; /* bytes of storage kept for the next connection */

int net_init(struct net *n)
{
    *n =
        (struct net){ .loop = loop_new(), .pool = buffer_pool_new(POOL_KEEPS), .aeads = aead_cache_new(AEAD_CONTEXTS) };
    if (n->loop && n->pool && n->aeads)
        return 0;
    net_clear(n);
    return -E_SYSTEM;
}

void net_clear(struct net *n)
{
    loop_free(n->loop); /* first: it frees connections that were closed */
    aead_cache_free(n->aeads);
    buffer_pool_free(n->pool);
    arena_cache_free(&n->arenas);
    *n = (struct net){ 0 };
}
