/* h1_wire.h: HTTP/1 messages over a connection, one after the other, both directions: the codec of http/h1 fed from a
 * connection's buffers. What a client's session and a connection to a server have in common. */
#ifndef UPSTREAM_H1_WIRE_H
#define UPSTREAM_H1_WIRE_H

#include "http/h1.h"
#include "http/stream.h"
#include "net/connection.h"

struct h1_wire {
    struct connection *connection;
    struct h1_scan scan;
    struct h1_body in;    /* the content that is being received */
    bool in_ended;
    bool chunked_out;     /* the content that is being sent is chunked */
    bool out_ended;
    bool lean;            /* what the socket does not take of content stays with its sender */
    uint64_t chunk_left;  /* lean: of the chunk that was begun */
    uint64_t out_left;    /* of a Content-Length that was announced; UINT64_MAX: any */
    bool tunnel;          /* both directions are bytes of another protocol; each ends with its half of the connection */
    bool says_its_end;    /* and that protocol has an end of its own: one of TLS without close_notify hides nothing */
};

/* Waits for a whole head in connection->in. Returns its size (> 0; consume it after parsing), 0 when the peer ended in
 * order before the first byte of a head, -E_AGAIN, -E_TRUNCATED within a head, or an error of the codec or connection. */
int h1_wire_look_head(struct h1_wire *w, bool is_request, const struct h1_limits *limits) MUST_USE;
/* The head was parsed into m: consumes it and starts its content. */
void h1_wire_took_head(struct h1_wire *w, size_t head_bytes, const struct message *m, const struct h1_limits *limits,
                       struct message *trailers);
/* As struct stream_ops. */
int h1_wire_look(struct h1_wire *w, struct bytes *ret_data) MUST_USE;
void h1_wire_took(struct h1_wire *w, size_t n);
/* to: the version of a response's client; 0 for requests. */
int h1_wire_send_head(struct h1_wire *w, const struct message *m, enum http_version to) MUST_USE;
/* A 101, m, was received or sent: what follows it, also what lies in connection->in already, is the tunnel's. */
void h1_wire_open_tunnel(struct h1_wire *w, const struct message *m);
ssize_t h1_wire_send(struct h1_wire *w, struct bytes data) MUST_USE;
/* Whether content of `from` has to wait until the socket of `to` takes more, which an event will tell: asked before
 * h1_wire_look(), so that what cannot go on stays in the kernel. What `from` has no use for then is given back. */
bool h1_wire_is_held_up(struct h1_wire *from, const struct h1_wire *to);
/* Content that is the same on both wires goes from one to the other within the kernel, where it is long and the connections
 * can (connection_splice(), whose results it has). */
ssize_t h1_wire_splice(struct h1_wire *from, struct h1_wire *to) MUST_USE;
int h1_wire_end(struct h1_wire *w, const struct fields *trailers) MUST_USE;
int h1_wire_flush(struct h1_wire *w) MUST_USE;

#endif
