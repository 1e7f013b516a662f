/* forward.h: what a proxy changes in a message that it passes on (RFC 9110 7.6, RFC 7239). */
#ifndef PROXY_FORWARD_H
#define PROXY_FORWARD_H

#include "proxy/exchange.h"

/* Strips identity fields that the client may not set, sets X-Forwarded-*, Forwarded and the request id; then what the
 * route changes. Returns 0 or -E_PATH, -E_MEMORY, -E_CRYPTO. */
int forward_request(struct exchange *x) MUST_USE;
/* Whether it sets a field of that name, or strips it from what clients say, since servers believe it. */
bool forward_sets(struct bytes name);
/* Frames the response for this client, adds what the listener adds, and changes what the route does. Returns 0 or -E_MEMORY. */
int forward_response(struct exchange *x) MUST_USE;
/* Date, if the response has none (RFC 9110 6.6.1). Returns 0 or -E_MEMORY, as the next. */
int forward_date(struct exchange *x) MUST_USE;
/* Strict-Transport-Security, where the host or listener says so and the connection is under TLS. */
int forward_hsts(struct exchange *x) MUST_USE;

#endif
