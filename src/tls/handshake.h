/* handshake.h: our own engine: the server's side of a TLS 1.3 handshake (RFC 8446) as a machine over bytes.
 *
 *     ClientHello --> handshake_new() --> handshake_run() ... --> traffic keys and facts
 *
 * It speaks what is common: the three suites with AEAD, X25519, X25519MLKEM768, P-256 and P-384, certificates with ECDSA, RSA
 * and Ed25519 keys, resumption, client certificates, HelloRetryRequest. handshake_speaks() looks at a ClientHello and says
 * whether that is enough; if not, the same bytes go to OpenSSL, before anything was sent.
 *
 * The machine is a table (handshake.c): a row for each message, with the messages that it may follow. Key agreement and signatures
 * are jobs of the thread's batch (batch.h): those of several handshakes are worked off together at the end of the loop's turn, and
 * meanwhile a handshake is -E_PENDING. Everything else happens at once. Each handshake is one piece of memory, wiped and freed when
 * its keys are out.
 *
 * Inside of tls/; others see it as a session (session.h). */
#ifndef TLS_HANDSHAKE_H
#define TLS_HANDSHAKE_H

#include "tls/session.h"

struct handshake;
struct native_context; /* what a context's handshakes share; native_context.h */

/* Whether the engine can do what the policy would choose with this client. */
bool handshake_speaks(const struct native_context *context, const struct client_hello *hello) MUST_USE;

/* Answers the ClientHello, as far as that goes without sending: what it has to say of it, handshake_run() says. The ClientHello may go
 * away after it; the context stays until handshake_free(). NULL: memory. */
struct handshake *handshake_new(const struct native_context *context, const struct client_hello *hello,
                                const struct tls_session_parts *parts) MUST_USE;
/* As tls_session_handshake(); the first call finds the ClientHello's records at the start of `in`, and takes them. */
int handshake_run(struct handshake *h, struct bytes *in, struct buffer *out) MUST_USE;
/* Complete: the keys; once. */
void handshake_keys(struct handshake *h, struct traffic_keys *ret_keys);
/* From the end on, like tls_session_facts(); texts are static or the context's. */
void handshake_facts(const struct handshake *h, struct tls_facts *ret_facts);
/* The client's name, out of its certificate or its ticket; empty: none. The handshake's. */
struct bytes handshake_client_name(const struct handshake *h);
void handshake_failure(const struct handshake *h, struct tls_failure *ret_failure);
/* Wipes all of it; a job that waits is taken back. Accepts NULL. */
void handshake_free(struct handshake *h);

#endif
