/* relay.h: a session's stage that joins the client's connection with a connection to a server: bytes both ways.
 *
 *     client --in--> connection_pass() --> server          `up`
 *     client <-- connection_pass() <--in-- server          `down`
 *
 * Each direction is pulled: what came is read only when the other side can take it, so that a slow reader stops the
 * writer through the kernel's windows. Bytes go from the buffer into which they were received straight to the other
 * socket, or into its records. An idle relay holds no buffer.
 *
 * Ends. A direction that ended in order (FIN, or close_notify under TLS) ends the same direction of the other side; the
 * opposite one goes on until it ends too. A connection that was reset, or whose TLS ended without close_notify, gives
 * what it said last; then, when the other side has all of that, the other side is reset: a stream that was cut short
 * must not look whole. The session's timer is the limit of connecting, then of idleness (`timeouts.tunnel`).
 *
 * The server. session_next() comes here when the session's service has an upstream (session.service->to): the relay
 * then finds a server by itself (reach.h), while the client's bytes stay where they are.
 *
 * A stage with a preamble of its own towards the server (STARTTLS) does that first: reach_start(), reach_advance(), its
 * own talk over reach.dial.connection, and then relay_join(). What either side sent that belongs to the relay stays in
 * the `in` of its connection (connection_receive() put it there, and the stage consumed only its own): it is passed on
 * first. What the stage sent itself leaves first. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include "proxy/reach.h"
#include "proxy/session.h"

/* Instead of session_next(): the session's last stage is a relay between its connection and the server that was reached
 * (reach_advance() said 0), which the relay takes over from `server`, wherever that lives. The caller touches the
 * session and its own state no more: its leave() was called. */
void relay_join(struct session *s, struct reach *server);

/* Looks at what passes in both directions, until it has seen enough. */
struct relay_filter {
    /* in: what came from the client, or from the server, and has not gone on. May change it, and take bytes out. Returns
     * how many from its start may go on now. ended: no more will come, so that all of it may. */
    size_t (*look)(void *state, bool from_client, struct buffer *in, bool ended);
    /* So many of them have gone on. false: nobody needs to be asked any more. */
    bool (*took)(void *state, bool from_client, size_t n);
    void (*free)(void *state);
};

/* relay_join() with a filter; its state becomes the relay's. */
void relay_join_filtered(struct session *s, struct reach *server, const struct relay_filter *filter, void *state);

extern const struct session_stage session_relay;

#endif
