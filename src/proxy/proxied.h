/* proxied.h: the PROXY protocol of sessions, in both directions.
 *
 *     a listed proxy --header--> session_proxied: whom it speaks for becomes the session's peer --> TLS, HTTP, ...
 *     session_preface() --> preface of a connection to a server (upstream/link.h, upstream/dial.h)
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
#include "upstream/options.h"

/* A header that announced a client. */
struct session_via {
    struct address proxy;   /* who sent it: the connection's own peer */
    uint32_t header_bytes;
    uint8_t header[];       /* as it came, good, of the command PROXY */
};

/* What is told beside addresses and TLS. Empty: nothing. */
struct proxy_words {
    struct bytes alpn;      /* the protocol that is spoken on the connection to the server */
    struct bytes unique_id; /* for what no proxy before us has named: one in our logs */
};

/* What a server of the upstream hears before all else on a connection that is made for this client, written to out. Empty
 * where it wants no header. */
struct bytes session_preface(const struct session *s, const struct upstream_options *o, const struct proxy_words *words,
                             uint8_t out[PROXY_WRITTEN_MOST]);
/* A new identifier in hexadecimal digits; empty where there is no randomness. */
enum { PROXY_ID_TEXT = 33 };
void proxy_make_id(char id[PROXY_ID_TEXT]);

/* The client for lines of the event log: "192.0.2.7", or "192.0.2.7 through 10.0.0.1". Returns text. */
enum { SESSION_CLIENT_TEXT = 2 * ADDRESS_TEXT + 16 };
const char *session_print_client(const struct session *s, char text[SESSION_CLIENT_TEXT]);

#endif
