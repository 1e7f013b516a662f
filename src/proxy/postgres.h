/* postgres.h: the stages of a session where PostgreSQL is served, before its relay.
 *
 *     session_postgres_clear --> [session_handshake] --> session_postgres_first --> session_relay
 *                                                                 '--> session_postgres_cancel --> linger
 *
 * A CancelRequest names a server process by a number and a key that only its server knows, and comes on a connection of its
 * own: which server that is, nobody can tell from it. So it goes to every server of the upstream, and in clear text, where no
 * host was named, to those of every upstream of the listener; who does not know the key does nothing (that is PostgreSQL's
 * own protection). The client's connection ends when all of them have ended theirs: by then it is done. */
#ifndef PROXY_POSTGRES_H
#define PROXY_POSTGRES_H

#include "proxy/session.h"

enum {
    POSTGRES_CANCELS_MOST = 64,            /* servers that hear of one cancellation */
    POSTGRES_CANCEL_CONNECTIONS_MOST = 64, /* to servers at once, of all cancellations of a thread; others wait for their turn:
                                              16 bytes of anybody's call for many connections */
};

struct session_home;
void postgres_cancels_init(struct session_home *home);
void postgres_cancels_done(struct session_home *home); /* its sessions are closed */

extern const struct session_stage session_postgres_clear;
extern const struct session_stage session_postgres_first;  /* session->service is set */
extern const struct session_stage session_postgres_cancel; /* the whole CancelRequest, and no more, is in the connection's `in` */

#endif
