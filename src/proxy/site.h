/* site.h: a snapshot as one thread uses it: with that thread's own balancing groups and backends, found once.
 *
 * Counted within the thread, so that connections come and go without touching what threads share. */
#ifndef PROXY_SITE_H
#define PROXY_SITE_H

#include "proxy/snapshot.h"
#include "upstream/pool.h"

struct site_upstream {
    struct group *group;
    struct backend **backends; /* by server number of the snapshot's upstream */
};

struct site {
    struct snapshot *snapshot;
    unsigned references;
    struct site_upstream *upstreams; /* by number of the snapshot's upstream */
    struct site_facts *facts;        /* what handshakes have come to, each once */
};

/* Takes a reference of the snapshot. NULL: memory. */
struct site *site_new(struct snapshot *snapshot, struct pool *pool);
struct site *site_ref(struct site *s);
void site_unref(struct site *s);

/* The same facts, as long as the site lives: connections have few different ones, and do not keep them each. NULL: memory. */
const struct tls_facts *site_facts(struct site *s, const struct tls_facts *facts);

/* The host that serves this name on a listener, or the listener's fallback. */
const struct snapshot_host *site_host(const struct snapshot_listener *listener, const struct hostname *name);
/* What a client gets, by what is known when its ClientHello has come: to be passed on undecrypted, or what its host is for. */
const struct snapshot_service *service_for_hello(const struct snapshot_listener *listener, const struct snapshot_host *host,
                                                 const struct client_hello *hello);
/* The same at the end of its handshake, by the protocol that was negotiated (empty: none). */
const struct snapshot_service *service_for_alpn(const struct snapshot_listener *listener, const struct snapshot_host *host,
                                                struct bytes alpn);
/* Whether the ClientHello offers a protocol by ALPN that the host negotiates. */
bool host_speaks(const struct snapshot_host *host, const struct client_hello *hello);
/* The route for a path (of origin form, or "*"), or NULL. */
const struct snapshot_route *host_route(const struct snapshot_host *host, struct bytes path);
/* The next server in turn that `tried` does not name; its number, or -E_NO_SERVER. */
enum { TRIED_MOST = 64 };
int upstream_pick(const struct site *site, const struct snapshot_upstream *upstream, uint64_t tried);

#endif
