/* session.h: a client's connection from accept to close, and what every exchange on it needs to know of it.
 *
 *     accept --> [TLS handshake] --> HTTP/1 (h1_session.c) --> exchanges, one after the other --> close
 *
 * The session owns the connection and its one timer. One thread. */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include "base/slab.h"
#include "net/connection.h"
#include "observe/access_log.h"
#include "proxy/counts.h"
#include "proxy/site.h"

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
    struct slab *exchanges;
    void (*on_closed)(struct session_home *home); /* a session ended */
};

struct session {
    struct list link;
    struct session_home *home;
    struct site *site;
    const struct snapshot_listener *listener;
    const struct snapshot_host *host; /* that the handshake was for; the fallback before, and without TLS */
    struct connection *connection;
    struct address peer;
    char peer_text[ADDRESS_TEXT];     /* without the port */
    char peer_node[ADDRESS_TEXT];     /* the same as RFC 7239 writes it: "[...]" in quotes, or unknown */
    bool peer_trusted;                /* a listed proxy: its forwarding fields are believed */
    bool secure;                      /* TLS, and the handshake is complete */
    bool handshake_logged;            /* the handshake's figures stand in the log of the first request alone */
    bool has_sni;
    struct hostname sni;
    struct tls_facts facts;
    uint64_t accepted_ns, established_ns;
    char local_port_text[6];          /* "443"; empty for Unix sockets */
};

/* Takes fd over. Opens a session on a connection that was just accepted; closes it where that fails. */
void session_open(struct session_home *home, struct site *site, const struct snapshot_listener *listener, int fd,
                  uint16_t local_port, const struct address *peer);
/* The home drains: closes the session if it is idle, else after its present exchange. */
void session_drain(struct session *s);
/* At once. */
void session_abort(struct session *s);

#endif
