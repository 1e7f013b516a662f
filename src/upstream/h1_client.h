/* h1_client.h: a connection to a server that speaks HTTP/1.1, and the link of the exchange that uses it now.
 *
 *     h1_client_connect() --> link: head, content, end / head, content, end --> kept (pool.h) --> h1_client_reuse()
 *
 * An idle connection on which anything arrives, be it its end, closes itself. */
#ifndef UPSTREAM_H1_CLIENT_H
#define UPSTREAM_H1_CLIENT_H

#include "upstream/h1_wire.h"
#include "upstream/link.h"
#include "upstream/pool.h"

struct h1_client {
    struct link link;             /* on_event is NULL while idle */
    struct dial dial;
    struct h1_wire wire;
    struct list idle_link;
    uint64_t idle_since_ns;
    uint64_t plan_identity;       /* of the plan that it was made under */
    struct pool_options keep;     /* of the upstream that uses it now */
    struct h1_limits limits;
    struct arena *arena;          /* of the exchange: for trailers */
    struct message *trailers;
    enum http_method method;      /* of the request that is being answered */
    uint64_t wire_out_before, data_in_before; /* the connection's counts when the exchange began */
    bool private;                 /* it began with a preface: */
    struct link_keeper *keeper;   /* where it waits for the same client's next request; NULL: it serves this one alone */
    bool upgrade_asked;           /* by the request: its answer may be a 101 */
    bool persistent;              /* the response allows another request */
    bool head_seen;               /* the final response's head */
};

/* Starts to connect. NULL with -E_CONNECT, -E_LIMIT, ... in ret_error. */
struct h1_client *h1_client_connect(struct backend *b, const struct link_request *request, int *ret_error);
/* Over a connection that stands already; it is the client's then, and the dial ended. once: for this request alone. NULL: memory. */
struct link *h1_client_adopt(struct dial *dial, struct backend *b, const struct link_request *request, bool once);
/* Another request begins on a connection that was kept. */
void h1_client_reuse(struct h1_client *c, const struct link_request *request);
void h1_client_close(struct h1_client *c);

#endif
