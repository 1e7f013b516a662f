/* tunnel.h: how an exchange becomes a tunnel: WebSocket (RFC 6455, RFC 8441) and other upgrades (RFC 9110 7.8).
 *
 *     a request asks --tunnel_ask()--> ASKED --tunnel_answer(): 101--> its head goes to the client --tunnel_open()--> OPEN
 *                          |                        '-- another status: an ordinary response (NONE)
 *                          '-- not here: an ordinary request (NONE), or an error for an extended CONNECT
 *
 * A tunnel is the content of unknown length of both messages: each side's stream gives raw bytes until its end and takes
 * what comes from the other, under the same back-pressure as any content. It is over when both sides have ended, or when
 * nothing moved for `timeouts.tunnel` of the listener.
 *
 * Only a 101 opens one: to a request that asked, to a token that it asked for and, for WebSocket, with the proof
 * that its key was read, so that no other answer of a server, and no 101 that somebody talked it into, can make the proxy
 * blind to what follows. Until then nothing that the client sent behind its request is looked at: after a refusal it
 * is parsed as the next request, by the same rules as always.
 *
 * An extended CONNECT (HTTP/2, RFC 8441) becomes a GET with a key of our own; its 101 becomes a 200. */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "proxy/exchange.h"

enum tunnel_state { TUNNEL_NONE, TUNNEL_ASKED, TUNNEL_OPEN };

/* Whether a request of method CONNECT is one of RFC 8441, with :protocol. */
bool tunnel_is_extended_connect(const struct message *m);
/* The request's route is known: lets those upgrades stand that it allows. Returns 0, -E_UPGRADE (an extended CONNECT for
 * what is not served), -E_MEMORY or -E_CRYPTO. */
int tunnel_ask(struct exchange *x) MUST_USE;
/* A final response's head, or a 101, is in x->response. Returns 0 or -E_BAD_RESPONSE. */
int tunnel_answer(struct exchange *x) MUST_USE;
/* The head that opens it was sent to the client. */
void tunnel_open(struct exchange *x);
/* Both sides have ended, and the server's connection has all that came for it. */
bool tunnel_is_over(struct exchange *x);

#endif
