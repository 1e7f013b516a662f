/* h1_client.h: a connection to a server that speaks HTTP/1.1, and the stream of the exchange that uses it now.
 *
 *     h1_client_connect() --> h1_client_begin() --> stream: head, content, end / head, content, end
 *          ^                                             |
 *          '------------ backend_take_idle() <-- h1_client_release()
 *
 * on_event of the exchange is called whenever something may be possible: connected, readable, writable, ended.
 * An idle connection on which anything arrives, be it its end, closes itself. */
#ifndef UPSTREAM_H1_CLIENT_H
#define UPSTREAM_H1_CLIENT_H

#include "upstream/h1_wire.h"
#include "upstream/pool.h"

struct h1_client {
    struct stream stream;
    struct h1_wire wire;
    struct backend *backend;
    struct list idle_link;
    uint64_t idle_since_ns;
    void (*on_event)(struct h1_client *c, void *user); /* NULL while idle */
    void *user;
    struct h1_limits limits;
    struct arena *arena;          /* of the exchange: for trailers */
    struct message *trailers;
    enum http_method method;      /* of the request that is being answered */
    uint64_t wire_out_before, wire_in_before; /* the connection's counts when the exchange began */
    bool connected;
    bool reused;                  /* it has carried a request before this one */
    bool persistent;              /* the response allows another request */
    bool head_seen;               /* the final response's head */
};

/* Starts to connect. Returns NULL with -E_CONNECT, -E_LIMIT, ... in ret_error. */
struct h1_client *h1_client_connect(struct backend *s, int *ret_error);
/* A request begins on this connection. arena, for trailers, outlives the exchange. */
void h1_client_begin(struct h1_client *c, struct arena *arena, enum http_method method, const struct h1_limits *limits,
                     void (*on_event)(struct h1_client *c, void *user), void *user);
/* 0 when the connection stands, -E_AGAIN, -E_CONNECT. */
int h1_client_connected(struct h1_client *c) MUST_USE;
/* Whether a byte of the present request has gone to the socket. */
bool h1_client_has_written(const struct h1_client *c);
/* Whether a byte of its response has come. */
bool h1_client_has_read(const struct h1_client *c);
/* The exchange is over: keeps the connection if both messages ended and the server allows it, else closes it. */
void h1_client_release(struct h1_client *c, uint64_t pool_most, uint64_t pool_idle_ns);
void h1_client_close(struct h1_client *c);

#endif
