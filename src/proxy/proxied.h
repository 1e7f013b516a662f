/* proxied.h: the PROXY protocol of sessions, in both directions.
 *
 *     a listed proxy --header--> session_proxied: whom it speaks for becomes the session's peer --> TLS, HTTP, ...
 *     session_write_proxy_header() --> preface of a connection to a server (upstream/link.h, upstream/dial.h)
 *
 * In: the header is obligatory from the networks of `proxy_protocol.from`, and unknown elsewhere (the specification, 2:
 * whether one is there must never be guessed). What it says is taken for true from there on.
 *
 * Out: `send_proxy` of an upstream. The header tells the client's address as the session knows it, so that a chain of proxies
 * keeps telling the first one's. */
#ifndef PROXY_PROXIED_H
#define PROXY_PROXIED_H

#include "http/proxy_protocol.h"
#include "proxy/session.h"

/* A header that announced a client. */
struct session_via {
    struct address proxy;   /* who sent it: the connection's own peer */
    uint16_t header_bytes;
    uint8_t header[];       /* as it came, good, of the command PROXY */
};

/* What is told beside addresses and TLS. Empty: nothing. */
struct proxy_words {
    struct bytes alpn;      /* the protocol that is spoken on the connection to the server */
    struct bytes unique_id; /* for what no proxy before us has named: one in our logs */
};

/* The header of `version` for a connection that is made for this client, into out, which has PROXY_WRITTEN_MOST bytes.
 * Returns its size. */
size_t session_write_proxy_header(const struct session *s, int version, const struct proxy_words *words, uint8_t *out);

/* The client for lines of the event log: "192.0.2.7", or "192.0.2.7 through 10.0.0.1". Returns text. */
enum { SESSION_CLIENT_TEXT = 2 * ADDRESS_TEXT + 16 };
const char *session_print_client(const struct session *s, char text[SESSION_CLIENT_TEXT]);

#endif
