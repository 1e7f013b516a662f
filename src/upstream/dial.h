/* dial.h: a connection to a server on its way: the socket, then what is said before all else, then TLS.
 *
 *     dial_start() --> TCP --> preface --> TLS, if the plan has it --> dial_advance() says 0: the connection is the caller's
 *                                 '--> SSLRequest, 'S' --^            (PostgreSQL, `tls: { start: postgres }`)
 *
 * Whoever needs a connection to a server (HTTP/1, HTTP/2, a relay) owns a dial and asks dial_advance() on each of its
 * events. The connection becomes another object on the way: use dial.connection, which is NULL where there is none left.
 *
 * What TLS has to say (whose certificate was refused, and why) goes to the event log from here, since it concerns the
 * server and not one request: at most one line in ten seconds for each server (complaint.h). The caller gets an error
 * to count and to answer with. */
#ifndef UPSTREAM_DIAL_H
#define UPSTREAM_DIAL_H

#include "net/connection.h"
#include "tls/client.h"
#include "upstream/options.h"
#include "upstream/pool.h"

/* How a server is reached; part of a snapshot. */
struct dial_plan {
    const struct upstream_options *options;
    struct tls_context *tls;       /* NULL: in clear. It holds our certificate, whom we believe, and the ALPN names */
    struct tls_context *tls_h1;    /* the same, but it offers HTTP/1.1 alone; NULL: `tls` does for that */
    struct tls_peer peer;          /* whom we expect there */
    uint64_t identity;             /* connections (and TLS sessions) made under another plan are not used for this one */
};

enum dial_state { DIAL_CONNECTING, DIAL_ASKING, DIAL_SHAKING, DIAL_STANDS, DIAL_FAILED };

struct dial {
    struct connection *connection; /* NULL: gone */
    struct backend *backend;
    const struct dial_plan *plan;  /* until it stands */
    enum dial_state state;
    bool h1_only;                  /* TLS is to offer HTTP/1.1 alone; the caller's to set, behind dial_start() */
    bool open_at_once;             /* nothing to wait for before it is written to */
    uint64_t began_ns;
    struct bytes preface;          /* what is still to be said; copied, the dial's */
};

/* Starts to connect; events go to on_event with connection->owner == owner. preface: copied. Returns 0, -E_CONNECT,
 * -E_LIMIT, -E_SYSTEM or -E_MEMORY; then there is nothing to end. */
int dial_start(struct dial *d, struct backend *b, const struct dial_plan *plan, struct bytes preface, void *owner,
               void (*on_event)(struct connection *c)) MUST_USE;
/* 0: it stands. -E_AGAIN: on_event follows. -E_CONNECT, -E_SERVER_TLS, -E_SERVER_CERTIFICATE and others: it will not; the
 * caller ends it: dial_done(), connection_close(). */
int dial_advance(struct dial *d) MUST_USE;
/* Once it stands, for who has nothing to say first: a connection that waits for that, to send it with the SYN (TCP Fast Open),
 * opens without it. */
void dial_open_now(struct dial *d);
/* An error of the connection, which stood, in the words of one to a server. In TLS 1.3 a server refuses our certificate
 * when we believe that all is well: before its first content that is told as a failed handshake, -E_SERVER_TLS. */
int dial_error(struct dial *d, int error) MUST_USE;
/* What was negotiated by ALPN; empty: nothing. Once it stands. */
struct bytes dial_alpn(const struct dial *d);
/* Gives back what the way took; the connection stays. Also where the caller gives up on the way. */
void dial_done(struct dial *d);

#endif
