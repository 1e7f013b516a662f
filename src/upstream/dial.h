/* dial.h: a connection to a server on its way: the socket, then what is said before all else.
 *
 *     dial_start() --> TCP --> preface --> dial_advance() says 0: the connection is the caller's
 *
 * Whoever needs a connection to a server (HTTP/1, HTTP/2, a relay) owns a dial and asks dial_advance() on each of its
 * events. The connection may become another object on the way: use dial.connection. */
#ifndef UPSTREAM_DIAL_H
#define UPSTREAM_DIAL_H

#include "net/connection.h"
#include "upstream/options.h"
#include "upstream/pool.h"

/* How the servers of an upstream are reached; part of a snapshot. */
struct dial_plan {
    const struct upstream_options *options;
    uint64_t identity; /* connections that were made under another plan are not used for this one */
};

struct dial {
    struct connection *connection; /* NULL: gone */
    const struct dial_plan *plan;
    bool is_open;                  /* TCP stands */
    struct bytes preface;          /* what is still to be said; copied, the dial's */
};

/* Starts to connect; events go to on_event with connection->owner == owner. preface: copied. Returns 0, -E_CONNECT,
 * -E_LIMIT, -E_SYSTEM or -E_MEMORY; then there is nothing to end. */
int dial_start(struct dial *d, struct backend *b, const struct dial_plan *plan, struct bytes preface, void *owner,
               void (*on_event)(struct connection *c)) MUST_USE;
/* 0: it stands. -E_AGAIN: on_event follows. -E_CONNECT and others: it will not; the caller ends it. */
int dial_advance(struct dial *d) MUST_USE;
/* Gives the preface's memory back; the connection stays. */
void dial_done(struct dial *d);

#endif
