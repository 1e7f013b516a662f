/* net.h: what one thread's connections share: its loop and its storage. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/slab.h"
#include "loop/loop.h"
#include "tls/aead.h"
#include "tls/session.h"

struct splice_pipe;

struct net {
    struct loop *loop;
    struct buffer_pool *pool;
    struct arena_cache arenas;
    struct aead_cache *aeads;
    struct tls_thread tls;      /* what handshakes share: the same aeads, and the batch */
    struct deferred work;       /* the batch's, at the end of a turn */
    unsigned handed_in;         /* handshakes that wait for it */
    unsigned looked_at;         /* of them, when the loop was sent to look for more */
    bool works;                 /* it runs */
    struct slab connections, tls_connections;
    struct splice_pipe *pipes; /* empty ones, for connection_splice() */
    unsigned pipe_count;       /* and those in use */
    struct timer trim_timer;
    unsigned handshakes; /* since memory was given back last */
    struct timer sweep_timer; /* set while there are AEAD contexts */
};

/* Returns 0, -E_MEMORY or -E_SYSTEM. */
int net_init(struct net *n) MUST_USE;
void net_clear(struct net *n);
/* Part of net_clear(). */
void net_free_pipes(struct net *n);
/* A handshake is complete, and what it took is free now: after many of them, when no more come, malloc's free pages go back to
 * the kernel. */
void net_trim_later(struct net *n);

/* A handshake waits for the batch: it runs when all that this turn of the loop brings was looked at, and what had come meanwhile. */
void net_work_later(struct net *n);

#endif
