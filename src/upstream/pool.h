/* pool.h: the servers that one thread knows, and the connections to them that wait for their next request.
 *
 *     struct pool --by name--> struct group (an upstream) --by address and plan--> struct backend (a server) --> idle
 *                                                              connections, and shared ones that are open (h2_client.h)
 *
 * The plan's identity (dial.h) parts what was verified, or said, in different ways: a server whose TLS options change is
 * another backend, with nothing kept of the former.
 *
 * Groups and backends belong to identities (name, address), not to a snapshot, so that a reload keeps their connections.
 * Balancing and health look at groups and servers; today servers take turns. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/address.h"
#include "base/slab.h"
#include "net/net.h"

enum { H2_STREAMS_USUAL = 100 }; /* what most servers allow on a connection */

struct complaint;
struct h1_client;
struct tls_shelf;

struct backend {
    struct list link;            /* in its group */
    unsigned users;              /* sites that name it */
    struct group *group;
    struct address address;
    uint64_t identity;           /* of the plans under which it is reached */
    struct tls_shelf *shelf;     /* TLS sessions to resume; NULL: none yet */
    struct complaint *complaint; /* NULL: none yet */
    struct list idle;            /* of struct h1_client, the most recently used first */
    unsigned idle_count;
    struct timer idle_timer;     /* when the oldest has been idle for long enough */
    uint64_t idle_time_ns;
    struct list h2_clients;      /* of struct h2_client: all of them, */
    struct list shared;          /* and those that more links may join */
    unsigned shared_count;
    unsigned h2_streams;         /* that it allows on a connection, as far as is known; at most H2_STREAMS_USUAL */
    struct list waiting;         /* of struct h2_link: for a stream of any connection */
    struct deferred wake;        /* they look again */
    uint64_t lost_ns;            /* when a connection with HTTP/2 broke last */
    bool speaks_h1;              /* the last answer of ALPN where both versions were offered */
};

struct group {
    struct list link;            /* in the pool */
    unsigned users;
    struct pool *pool;
    struct list backends;
    size_t turn;                 /* whose turn it is */
    char name[];                 /* terminated */
};

struct pool {
    struct net *net;
    struct list groups;
    struct slab h2_links;
};

void pool_init(struct pool *p, struct net *net);
/* Closes what is idle; connections in use must have ended. */
void pool_clear(struct pool *p);
/* The one of that identity, made when it is new, with one more user. NULL: memory. */
struct group *pool_group(struct pool *p, struct bytes name);
struct backend *group_backend(struct group *g, const struct address *address, uint64_t identity);
/* One user less; what nobody uses any more goes, with its idle connections. A group outlives its backends. */
void group_release(struct group *g);
void backend_release(struct backend *s);
/* Takes the most recently used idle connection, or NULL. */
struct h1_client *backend_take_idle(struct backend *s);
/* Keeps a connection for the next request, or closes it where there are enough already. */
void backend_keep(struct backend *s, struct h1_client *client, uint64_t most, uint64_t idle_time_ns);

#endif
