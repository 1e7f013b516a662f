/* link.h: what an exchange has of a server: a stream over a connection to it, whatever speaks there.
 *
 *     backend_link() --> connected? --> stream: head, content, end / head, content, end --> release | close
 *
 * An HTTP/1.1 connection (h1_client) carries one link at a time and is kept for the next after link_release(); one of
 * HTTP/2 (h2_client) carries many. on_event is called whenever something may be possible: connected, readable, writable,
 * ended. Errors of the stream are of a server's: -E_SERVER_CLOSED, -E_BAD_RESPONSE; of HTTP/2 also -E_SERVER_REFUSED (not
 * begun with: may be sent again) and -E_SERVER_RESET. */
#ifndef UPSTREAM_LINK_H
#define UPSTREAM_LINK_H

#include "http/h1.h"
#include "http/stream.h"
#include "upstream/dial.h"

struct link;

/* Connections that began with a preface wait here, between two requests, for the next one of the client whom it names.
 * Its owner is that client's session, which outlives the links it makes; so do the backends. */
enum { LINK_KEEPER_MOST = 8 }; /* more are closed */
struct link_keeper {
    struct list idle;              /* of struct h1_client, the most recently used first */
    unsigned count;
};
void link_keeper_init(struct link_keeper *k);
/* Closes what waits. */
void link_keeper_close(struct link_keeper *k);

/* The request that a link is for. */
struct link_request {
    const struct dial_plan *plan;  /* how the server is reached; outlives the link's connection attempt */
    struct bytes preface;          /* sent before all else (and before TLS) on a connection that is made for this client: a
                                      PROXY protocol header. Empty: none. Copied */
    struct link_keeper *keeper;    /* with a preface: where such a connection comes from, and goes to. NULL: it serves this
                                      request alone */
    struct arena *arena;           /* outlives the link: for trailers */
    enum http_method method;
    const struct h1_limits *limits; /* of the response */
    bool fresh;                    /* no kept connection, please */
    bool h1_only;                  /* with `protocol: auto`: HTTP/1.1, whatever the server would rather speak */
    bool fragile;                  /* cannot be sent twice: only into connections that are seen to be open */
    void (*on_event)(struct link *l, void *user);
    void *user;
};

struct link_ops {
    int (*connected)(struct link **l);
    bool (*has_written)(const struct link *l);
    bool (*has_read)(const struct link *l);
    void (*release)(struct link *l);
    void (*close)(struct link *l);
};

struct link {
    struct stream stream;
    const struct link_ops *ops;
    struct backend *backend;
    void (*on_event)(struct link *l, void *user);
    void *user;
    bool connected;               /* the server was reached */
    bool reused;                  /* over a connection that has carried a request before this one */
    bool may_refuse;              /* the server may say later that it has not begun with the request (HTTP/2) */
    uint32_t reset_code;          /* HTTP/2, with -E_SERVER_RESET: what the server said */
};

/* Takes a kept connection of that plan, or starts to connect. NULL with -E_CONNECT, -E_LIMIT, -E_MEMORY, ... */
struct link *backend_link(struct backend *b, const struct link_request *request, int *ret_error);

/* 0 when the connection stands (TCP, what comes before TLS, TLS, a stream), -E_AGAIN, or why it does not: -E_CONNECT, ...
 * Another link may have taken the place of *l, since the server has its say in what is spoken. */
static inline int link_connected(struct link **l)
{
    return (*l)->connected ? 0 : (*l)->ops->connected(l);
}
/* Whether a byte of the present request has gone to the socket. */
static inline bool link_has_written(const struct link *l)
{
    return l->ops->has_written(l);
}
/* Whether a byte of its response has come. */
static inline bool link_has_read(const struct link *l)
{
    return l->ops->has_read(l);
}
/* The exchange is over: keeps the connection if both messages ended and the server allows it, else closes it. */
static inline void link_release(struct link *l)
{
    l->ops->release(l);
}
/* Gives up; accepts NULL. Only this exchange is cut short by it. */
static inline void link_close(struct link *l)
{
    if (l)
        l->ops->close(l);
}

#endif
