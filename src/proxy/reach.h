/* reach.h: a raw connection to one of an upstream's servers, for what is no HTTP: picks, dials, tries the next.
 *
 *     reach_start() --> dial (upstream/dial.h) --> reach_advance() says 0: reach.dial.connection is there to be used
 *                          |
 *                          '-- refused, or reach_late(): the next server, each of them once, REACH_SERVERS_MOST in all
 *
 * The one who reaches (a stage of a session: a relay, a preamble's) asks reach_advance() on each event of the connection
 * until it does not say -E_AGAIN; events go to on_event with connection->owner == owner. The connection may become
 * another object on the way and with each server: look at dial.connection anew after each call. The time limit is the
 * caller's: reach_limit_ns() for each server. One thread. */
#ifndef PROXY_REACH_H
#define PROXY_REACH_H

#include "proxy/proxied.h"
#include "upstream/dial.h"

enum { REACH_SERVERS_MOST = 3 };

struct reach {
    struct session *session;
    const struct snapshot_upstream *upstream;
    struct dial dial;           /* dial.connection: to the server; NULL: none */
    void *owner;
    void (*on_event)(struct connection *c);
    bool only_one;              /* a certain server, no other */
    int server_number;          /* -1: none was tried */
    unsigned attempts;
    uint64_t tried;             /* bit per server */
    bool stands;
    uint64_t began_ns, connected_ns; /* of the server that is tried last */
    char id[PROXY_ID_TEXT];     /* by which the server knows the connection from its PROXY header; empty: it gets none */
};

/* Turns to the first server. Returns 0 (ask reach_advance), or why none can be tried: -E_CONNECT, -E_NO_SERVER, -E_LIMIT,
 * -E_MEMORY, ... */
int reach_start(struct reach *r, struct session *s, const struct snapshot_upstream *upstream, void *owner,
                void (*on_event)(struct connection *c)) MUST_USE;
/* The same to one certain server, by its number, which is not replaced by another. */
int reach_start_at(struct reach *r, struct session *s, const struct snapshot_upstream *upstream, int server_number, void *owner,
                   void (*on_event)(struct connection *c)) MUST_USE;
/* 0: the connection stands. -E_AGAIN: on_event follows, also where another server is tried now (set the limit anew when
 * `attempts` has grown). Any other error: no server could be reached, and there is no connection. */
int reach_advance(struct reach *r) MUST_USE;
/* The present server took too long: turns to the next one. Returns as reach_advance. */
int reach_late(struct reach *r) MUST_USE;
/* How long one server may take. */
uint64_t reach_limit_ns(const struct reach *r);
/* What was reached becomes another owner's: `from` has nothing more to end. */
void reach_move(struct reach *from, struct reach *to, void *owner, void (*on_event)(struct connection *c));
/* Closes the connection, if there is one; reset: the server must see that something was cut short. */
void reach_end(struct reach *r, bool reset);
/* Zeroed: nothing was started, nothing is to end. */

#endif
