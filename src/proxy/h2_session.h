/* h2_session.h: the stage for clients that chose h2 in ALPN (RFC 9113 3.2). */
#ifndef PROXY_H2_SESSION_H
#define PROXY_H2_SESSION_H

#include "proxy/session.h"

extern const struct session_stage session_h2;

/* What a request over HTTP/2 is made of, beside its exchange. */
void h2_session_memory(struct slab *requests);

#endif
