/* exchange.h: one request and its response: joins the client's stream to a server's.
 *
 *     begin: checks, route --> pick a server, take or make a connection --> run: both directions, under back-pressure
 *        |                               |                                    |
 *        '-- answer ourselves            '-- the next server (retry)          '-- done, or failed
 *
 * The owner is the client's session; it calls exchange_begin with a parsed request, and exchange_run whenever its side may
 * have moved. When it is over, done() of the owner is called once, last; the exchange's memory is gone then.
 *
 * A request may become a tunnel (tunnel.h): then both directions are content until each side's end. What its route changes
 * on the way is in rewrite.h.
 *
 * Retries: a request goes to another connection once if no byte of it was written, if the server says that it has not
 * begun with it (HTTP/2), or if it is idempotent and no byte of a response came; and if all of its content that was taken
 * from the client is still there (replay.h; none is kept for servers that speak HTTP/1).
 *
 * A call of gRPC over HTTP/2 may be silent for as long as its client and its server like: the limits on what either side
 * has to do next are not for it (see docs/grpc.md for what is in their place). */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include "http/stream.h"
#include "proxy/replay.h"
#include "proxy/session.h"
#include "upstream/link.h"

enum exchange_end {
    EXCHANGE_WHOLE,      /* both messages are complete: the client's connection may go on */
    EXCHANGE_LAST,       /* both are complete, and the client was told that the connection ends */
    EXCHANGE_UNREAD,     /* the response is complete, the request's content is not: end the connection in order */
    EXCHANGE_BROKEN,     /* the response is cut short: the client must see that */
    EXCHANGE_CANCELLED,  /* the same, and the server said that it called it off */
};

struct exchange_owner {
    void (*done)(void *owner, enum exchange_end end);
};

struct exchange {
    struct session *session;
    struct stream *client;
    const struct exchange_owner *owner;
    void *owner_context;
    struct arena arena;
    struct message request, response;
    enum http_version client_version;

    const struct snapshot_host *host;
    const struct snapshot_route *route; /* NULL: none was found (yet) */
    const struct snapshot_upstream *upstream;
    struct link *server;           /* NULL: none (yet), or no more */
    int server_number;
    uint64_t tried;                /* bit per server */
    unsigned attempts;
    struct timer server_timer;     /* of what the server has to do next */
    struct timer client_timer;     /* of the window over which the client's rate is measured */
    struct stream_progress window_start; /* when that window began */
    struct deferred again;         /* goes on after others had their turn */

    struct replay replay;          /* of the request's content */
    bool is_call;                  /* of gRPC, and the client speaks HTTP/2 */
    bool may_be_silent;            /* such a call, to a server that may speak it, too */
    bool request_head_sent;
    bool request_taken;            /* a byte of its content was taken from the client */
    bool client_expects;           /* Expect: 100-continue; neither that nor content has come: it is the server's turn */
    bool request_unwanted;         /* the server takes no more of it; its answer may be there all the same */
    bool request_ended;            /* all of it was handed to the server's stream */
    bool client_ended;             /* all of it came from the client */
    bool response_seen;            /* its head came */
    bool response_head_sent, response_ended;
    bool must_close;               /* the connection to the client ends after the response */
    bool over;
    bool client_waited_for;        /* what was missing last: bytes of the client, */
    bool client_blocks;            /* or room towards it, */
    bool server_waited_for;        /* or bytes of the server, */
    bool server_blocks;            /* or room towards it */
    bool server_progress;          /* bytes went to or came from the server in this turn */
    uint8_t server_phase;          /* what server_timer was set for; private */
    uint8_t tunnel;                /* enum tunnel_state */
    uint8_t interim;               /* 1xx responses so far */
    bool server_was_fresh;         /* the connection was made for this exchange */
    bool fresh_only;               /* a kept connection turned out to be closed: take none of those again */
    bool is_own;                   /* the answer is our own */

    struct bytes asked_method;     /* the request line as the client wrote it, for the log */
    struct bytes asked_authority, asked_path;
    struct bytes websocket_accept; /* what a WebSocket server has to say to the key that it is sent */
    struct bytes own_body;         /* of an answer of our own: what is left to send */
    int error;                     /* what went wrong, for the log */
    uint32_t reset_code;           /* HTTP/2: of the server, with -E_SERVER_RESET */
    int status;                    /* that the client got */
    int16_t grpc_status;           /* of a call, that the client got; -1: none */
    uint64_t request_bytes, response_bytes;
    int64_t started_unix_us;
    uint64_t began_ns, head_ns, connect_began_ns, connected_ns, request_end_ns, response_head_ns;
    struct bytes request_id;
};

/* A zeroed exchange with its arena and an empty request to be parsed into; NULL: memory. */
struct exchange *exchange_new(struct session *s, struct stream *client, const struct exchange_owner *owner, void *context);
/* The request was parsed (error 0), or could not be (the client gets the error's status). began_ns: its first byte.
 * May finish the exchange. */
void exchange_begin(struct exchange *x, int error, uint64_t began_ns);
/* Something may be possible. May finish the exchange. */
void exchange_run(struct exchange *x);
/* The client's request is beyond an answer, or it took it back before it was whole: as exchange_abort, where
 * exchange_begin was not called. */
void exchange_refuse(struct exchange *x, int error, uint64_t began_ns);
/* The client's side is beyond use: ends without done(). */
void exchange_abort(struct exchange *x, int error);
/* The client was too slow, or its message is wrong: answers if that is still possible, and ends. */
void exchange_fail_client(struct exchange *x, int error);

#endif
