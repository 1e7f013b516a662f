/* h2_client_private.h: what the two halves of an HTTP/2 client share: the connection (h2_client.c) and the links that
 * stand on it (h2_link.c). */
#ifndef UPSTREAM_H2_CLIENT_PRIVATE_H
#define UPSTREAM_H2_CLIENT_PRIVATE_H

#include "http/h2.h"
#include "net/socket.h"
#include "upstream/h2_client.h"

struct h2_client {
    struct loop *loop;
    struct backend *backend;   /* NULL: it is gone */
    struct list home_link;     /* of backend->h2_clients */
    struct list pool_link;     /* of backend->shared, while it takes links */
    struct dial dial;          /* dial.connection: NULL when broken, or handed over */
    struct h2 *h2;             /* NULL: it does not stand yet */
    struct list waiting;       /* links that wait until it stands */
    struct list open;          /* links with a stream */
    unsigned link_count;       /* of both */
    enum upstream_protocol protocol;
    struct h1_limits limits;   /* of responses */
    struct pool_options keep;  /* of the upstream that used it last */
    uint64_t ping_ns;          /* 0: never */
    uint64_t dialed_ns, heard_ns; /* when it was begun; when something came last */
    struct timer timer;        /* to connect, then to be idle or to be heard of */
    struct deferred work;      /* at the end of the turn: what is to be written leaves */
    int error;                 /* broken, and why */
    unsigned busy;             /* calls of ours that touch it after others had their say */
    bool own;                  /* not listed, for one link: a preface tells of its client alone, or the server is not known to
                                  speak HTTP/2 */
    bool once;                 /* a preface: for no other link after it */
    bool is_h1;                /* ALPN says so; the first link takes the connection */
    bool leaving;
    bool settled;              /* the server's SETTINGS have come, and were looked at */
    bool idle, pinged;         /* what the timer is set for */
    bool more;                 /* received only a part: others had to have their turn */
};

struct h2_link {
    struct link link;
    struct h2_stream stream;
    struct h2_client *client;  /* NULL: waits with the backend */
    struct list member;        /* of client->waiting or ->open, or backend->waiting */
    struct link_request request; /* for another connection, where this one comes to nothing; without a preface */
    uint64_t wire_out_before;
    bool head_sent, head_seen;
};

/* Starts to connect; listed where it may be shared. NULL with the error. */
struct h2_client *h2_client_new(struct backend *b, const struct link_request *request, int *ret_error);
/* One that takes a link now, or NULL. */
struct h2_client *h2_client_find(struct backend *b, const struct link_request *request);
/* It has a stream for one link more; it has none, which others may know of that wait for it. */
bool h2_client_is_open(const struct h2_client *c);
bool h2_client_is_full(const struct h2_client *c);
/* It has a link from here on. */
void h2_client_used(struct h2_client *c);
/* A link is done with it. It may be gone afterwards. */
void h2_client_left(struct h2_client *c);
/* An error of a connection or the machine in the words of one to a server. */
int h2_client_error(int error);

/* Gives a link that waits a stream of c. Returns 0, -E_LIMIT or -E_CLOSED as h2_stream_open(). */
int h2_link_open(struct h2_link *k, struct h2_client *c) MUST_USE;
/* The exchange hears that something may be possible; k may be gone afterwards. */
void h2_link_tell(struct h2_link *k);

#endif
