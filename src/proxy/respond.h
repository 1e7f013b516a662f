/* respond.h: answers of our own: error pages and redirects. Small and plain, or JSON where the client prefers it;
 * trailers-only for calls of gRPC. */
#ifndef PROXY_RESPOND_H
#define PROXY_RESPOND_H

#include "proxy/exchange.h"

/* Makes x->response and x->own_body for this error (its status must not be 0). */
int respond_error(struct exchange *x, int error) MUST_USE;
/* The response to a call of gRPC breaks off after its head: where the client speaks HTTP/2, trailers can still say why. Returns 0
 * when they did, and the response has ended with them. */
int respond_broken_call(struct exchange *x, int error) MUST_USE;
/* 308 to the same URL under https. Returns 0, -E_HOST when the request names no host, or -E_MEMORY. */
int respond_redirect_https(struct exchange *x) MUST_USE;
/* What the route answers itself: a redirect or a fixed response. Returns 0, -E_PATH or -E_MEMORY. */
int respond_route(struct exchange *x) MUST_USE;

#endif
