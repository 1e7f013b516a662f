/* h2_client.h: a connection to a server that speaks HTTP/2, shared by the links of many exchanges.
 *
 *     h2_client_join() | h2_client_connect() --> waits --> stream open: head, content, end / the same --> link_release()
 *
 * A link waits until its connection stands and the server allows one more stream (the first goes at once, others when
 * SETTINGS have said how many may). Connections are listed with their backend while they take links: also while they are
 * being made, so that a burst of requests to a new server makes no more connections than it needs. When all are full another
 * one is made, up to pool.h2_connections; beyond that links wait with the backend for the first stream that comes free, for as
 * long as the exchange bears with it (timeouts.connect).
 *
 *     listed: connecting --> open <--> idle --idle_time--> GOAWAY, closed
 *     not listed: leaving (GOAWAY came: its streams go on, its waiting links move) --> closed with its last link
 *                 broken (it ended or failed: its links fail) --> gone with its last link
 *
 * A stream that the server never began with (REFUSED_STREAM, or above a GOAWAY's last stream) fails with
 * -E_SERVER_REFUSED: its request may be sent again, whatever it is. Nothing that happens to one stream touches the others.
 *
 * What is sent in a turn of the loop leaves at its end, the frames of all streams in one write. Content that is not taken
 * is bounded by the windows granted (http/h2.h). A connection with streams on which nothing came for timeouts.ping is
 * asked whether it lives.
 *
 * With `protocol: auto`, TLS's ALPN decides when the connection stands: where it says HTTP/1.1 the first link that waits
 * gets a link of that kind in its place (link_connected() replaces it), the others connect anew; the backend remembers
 * the answer, and such connections are not shared any more.
 *
 * One thread. Source: RFC 9113. */
#ifndef UPSTREAM_H2_CLIENT_H
#define UPSTREAM_H2_CLIENT_H

#include "upstream/link.h"

/* Prepares the store of links that a pool has. */
void h2_client_links_init(struct slab *links);
/* Whether a connection stands, or is being made, that takes one more link. */
bool h2_client_takes(struct backend *b, const struct link_request *request);
/* Joins such a connection, or starts to connect, or waits for a stream to come free where there are as many connections as
 * may be. NULL with -E_CONNECT, -E_LIMIT, ... in ret_error. */
struct link *h2_client_link(struct backend *b, const struct link_request *request, int *ret_error);
/* The backend goes, and its connections with it; their links have ended. */
void h2_client_close_all(struct backend *b);
/* Of a backend's `wake`: those that wait with it look again. */
void h2_backend_wake(struct deferred *d);

#endif
