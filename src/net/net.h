/* net.h: what one thread's connections share: its loop and its storage. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/arena.h"
#include "base/buffer.h"
#include "loop/loop.h"
#include "tls/aead.h"

struct net {
    struct loop *loop;
    struct buffer_pool *pool;
    struct arena_cache arenas;
    struct aead_cache *aeads;
};

/* Returns 0, -E_MEMORY or -E_SYSTEM. */
int net_init(struct net *n) MUST_USE;
void net_clear(struct net *n);

#endif
