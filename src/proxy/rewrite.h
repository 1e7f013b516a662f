/* rewrite.h: what a route changes in what passes: header fields, the path, Host; and the answers that it gives itself.
 *
 *     client's request --forward_request()--> --rewrite_request()--> server
 *     client <-- rewrite_fields() <--forward_response()-- server's response
 *     client <-- respond_route() (redirect, fixed response), rewrite_fields()
 *
 * Everything is made ready when the configuration is loaded (snapshot_rewrite.c): a request only has names taken out and
 * fields appended, and a path put together. */
#ifndef PROXY_REWRITE_H
#define PROXY_REWRITE_H

#include "http/message.h"
#include "proxy/snapshot.h"

/* Takes out, then appends. Returns 0 or -E_MEMORY. */
int rewrite_fields(struct message *m, const struct field_rules *rules) MUST_USE;
/* The route's changes in a request for its server. Returns 0, -E_PATH or -E_MEMORY. */
int rewrite_request(struct message *m, const struct snapshot_route *route) MUST_USE;

/* Puts `with` in the place of the first prefix_bytes of a path of origin form with its query. Both count without a '/' at
 * their end; the prefix ends where a segment does, as host_route() made sure. What comes out begins with one '/', for
 * "//x" could be read as a host. Refused (-E_PATH) are paths that a server may follow out of where they were put:
 * with a segment "." or "..", also percent-encoded, beside an encoded separator, or in front of ";". "*" stays. */
int rewrite_path(struct arena *arena, struct bytes path, size_t prefix_bytes, struct bytes with,
                 struct bytes *ret_path) MUST_USE;

#endif
