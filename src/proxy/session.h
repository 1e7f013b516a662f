/* session.h: a client's connection from accept to close, and what every exchange on it needs to know of it.
 *
 *     accept --> [PROXY protocol header] --> [STARTTLS] --> [TLS handshake] --> HTTP/1 or HTTP/2 --> linger --> close
 *                                                               |      '----> [mail] --> relay --'
 *                                                               '--(pass-through)---------^
 *
 * Each step is a stage (struct session_stage) that has the connection to itself: its events and the session's one timer
 * come to the present stage alone. A stage hands on with session_next(), or ends the session with session_finish() (in
 * order) or session_close() (at once); after each of these the caller touches the session no more, for it may be gone.
 *
 * The session owns the connection. One thread. */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "base/slab.h"
#include "net/connection.h"
#include "observe/access_log.h"
#include "proxy/counts.h"
#include "proxy/site.h"
#include "upstream/link.h"

enum { DRAIN_GRACE_SECONDS = 5 }; /* for the first request of a connection that was just made */

/* Where what comes and goes by the thousand has its memory: one for each kind and thread. */
struct home_memory {
    struct slab sessions, h1_sessions, h2_requests, exchanges;
};

/* What the sessions of one thread share. */
struct session_home {
    struct net *net;
    struct pool *pool;
    struct access_log *access_log;
    unsigned thread;
    bool draining;
    struct list sessions;           /* all that are open */
    uint64_t session_count;
    struct server_counts *counts;
    struct home_memory *memory;
    struct list cancels;            /* of PostgreSQL that have servers yet to tell (proxy/postgres_cancel.c) */
    unsigned cancel_connections;    /* to servers, for cancelling */
    struct deferred cancels_wake;   /* there is room for more of those */
    void (*on_closed)(struct session_home *home); /* a session ended */
};

struct session;

struct session_stage {
    void (*start)(struct session *s);    /* makes s->state where it needs one and there is none; may go on or end at once */
    void (*on_event)(struct session *s); /* of the connection */
    void (*on_timer)(struct session *s); /* the limit set by session_limit() has passed */
    void (*drain)(struct session *s);    /* the home drains: ends the session when it is idle, else soon; NULL: nothing to do */
    void (*leave)(struct session *s);    /* frees s->state, and all that hangs on it, at once; NULL: nothing to do */
};

struct session_via; /* proxy/proxied.h */

/* An idle connection costs this and its struct connection: what a request alone needs is made for it. */
struct session {
    struct list link;
    struct timer timer;               /* the stage's limit */
    struct session_home *home;
    struct site *site;
    const struct snapshot_listener *listener;
    const struct snapshot_host *host; /* that the handshake was for; the fallback before, and without TLS */
    const struct snapshot_service *service; /* what the client gets; NULL until its handshake has decided that */
    struct connection *connection;
    const struct session_stage *stage;
    void *state;                      /* the stage's own */
    struct session_via *via;          /* what a PROXY header said; NULL: there was none, or it spoke for the sender itself */
    const struct tls_facts *facts;    /* of its handshake, the site's; NULL: none that is complete */
    struct link_keeper *kept;         /* connections to servers that were told who the client is, between two requests;
                                         NULL: there were none yet */
    struct address_box peer;          /* the client: where the connection comes from, or whom a PROXY header announced */
    union {
        char near[24];                /* a short name itself */
        char *far;
    } sni;                            /* that the client asked for, terminated: session_sni() */
    uint64_t accepted_ns;
    uint32_t handshake_us;            /* from then on until the handshake was complete */
    uint16_t local_port;              /* 0 for Unix sockets; as announced where a PROXY header announced it */
    uint8_t sni_bytes;                /* 0: it asked for none */
    bool peer_trusted : 1;            /* a listed proxy: its forwarding fields are believed */
    bool awaits_proxy_header : 1;     /* before all else: the peer is a listed proxy */
    bool awaits_starttls : 1;         /* before TLS: the client speaks in clear until it asks for it */
    bool must_negotiate : 1;          /* its ClientHello has to name a protocol that is spoken here */
    bool secure : 1;                  /* TLS, and the handshake is complete */
    bool handshake_logged : 1;        /* the handshake's figures stand in the log of the first request alone */
    bool served : 1;                  /* a request, by HTTP/1 */
    bool starved : 1;                 /* there was no memory for its handshake's outcome */
    bool unread : 1;                  /* what comes while lingering is no surprise: do not close before it has come */
};

/* The name that the client asked for; empty: none. */
static inline struct bytes session_sni(const struct session *s)
{
    return bytes_of(s->sni_bytes < sizeof s->sni.near ? s->sni.near : s->sni.far, s->sni_bytes);
}
/* The protocol that was negotiated; empty: none. */
static inline struct bytes session_alpn(const struct session *s)
{
    return s->facts ? s->facts->alpn : BYTES_NONE;
}

void home_memory_init(struct home_memory *memory);
void h1_session_memory(struct slab *sessions); /* h1_session.c */
void home_memory_clear(struct home_memory *memory);

/* Takes fd over. Opens a session on a connection that was just accepted; closes it where that fails. */
void session_open(struct session_home *home, struct site *site, const struct snapshot_listener *listener, int fd,
                  uint16_t local_port, const struct address *peer);
/* The home drains: closes the session if it is idle, else after its present exchange. */
void session_drain(struct session *s);
/* At once, whatever it does. */
void session_abort(struct session *s);

/* For the stages. */

/* The present stage is done: the next one starts. */
void session_next(struct session *s);
/* The present stage is done, and hands on to one of its choice. state: s->state when that starts; the stage's from then on. */
void session_enter(struct session *s, const struct session_stage *stage, void *state);
/* Ends our direction after what was sent, lingers until the peer has read it, and closes. unread: more of the client's
 * bytes may come or lie unread, so that a close at once would reset what we sent. */
void session_finish(struct session *s, bool unread);
/* Closes now; reset: the client must see that something was cut short. */
void session_close(struct session *s, bool reset);
/* on_timer in so many nanoseconds from now; 0: never. */
void session_limit(struct session *s, uint64_t ns);
/* The connection became another one (TLS over what was plain): its events come here from now on. NULL: there is none
 * any more, and the session has ended. Returns whether it goes on. */
bool session_use_connection(struct session *s, struct connection *c);

/* The client is another one than the connection's peer, and whether it is a trusted proxy itself. local_port: that it
 * turned to; 0: none. */
void session_set_peer(struct session *s, const struct address *peer, uint16_t local_port);

/* The name that the client asked for. Returns 0 or -E_MEMORY. */
int session_set_sni(struct session *s, const struct hostname *name) MUST_USE;

/* The stages; each in the file of its name. */
extern const struct session_stage session_proxied;   /* the PROXY protocol header */
extern const struct session_stage session_starttls;  /* mail: clear text before TLS; starttls_session.c */
extern const struct session_stage session_handshake; /* TLS, server side */
extern const struct session_stage session_mail;      /* mail: the server's greeting; mail_session.c */
extern const struct session_stage session_h1;        /* HTTP/1: exchanges, one after the other */
extern const struct session_stage session_linger;

/* Asked by session_handshake's connection, from its first byte on. */
extern const struct tls_server_hooks session_tls_hooks;

#endif
