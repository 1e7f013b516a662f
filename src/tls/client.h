/* client.h: the client's side of TLS, towards servers: whom we believe, what we show, and sessions to resume.
 *
 *     PEM of authorities --> tls_trust --+
 *     policy, our certificate, ALPN -----+--> tls_context --+
 *     the server's name ------------------------------------+--> tls_session_new_client() --> tls_session_handshake() ...
 *     tickets of earlier connections ----- tls_shelf -------+                                        |
 *              ^-------------------------------------------------------------- tickets that come ----+
 *
 * What the session then does is session.h's: the same machine over bytes. Its first handshake call comes with an empty
 * `in` and says hello. A context with trust refuses a server whose chain does not lead to one of the trust's
 * certificates or whose certificate does not have the name (RFC 5280 6, RFC 9525, formerly RFC 6125: subjectAltName
 * alone, the common name never counts; a wildcard stands for one whole first label; an address must be there as an
 * iPAddress). Every certificate of the trust is an anchor, be it a root, an intermediate or the server's own.
 *
 * Trust and contexts are immutable, counted and shared between threads; a shelf belongs to one thread. */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include "tls/session.h"

struct tls_trust;

/* Whose certificates are believed. Refuses a text without a certificate, or with a damaged one: NULL and a sentence in
 * ret_why, as tls_context_new_server. */
struct tls_trust *tls_trust_new(struct bytes pem, const char **ret_why);
struct tls_trust *tls_trust_ref(struct tls_trust *trust);
void tls_trust_unref(struct tls_trust *trust);

/* What a client's context is made of. The OpenSSL objects stay the caller's (the library counts references). */
struct tls_client_parts {
    const struct tls_policy_options *policy; /* versions, suites, groups, tickets; what it says of clients is not for us */
    struct tls_trust *trust;            /* NULL: any certificate will do, which protects from nobody who is active */
    struct x509_st *leaf;               /* ours, to be shown where the server asks; NULL: none */
    struct stack_st_X509 *chain;
    struct evp_pkey_st *key;
    const char *const *alpn;            /* offered, in order of preference, ended by NULL; NULL or {NULL}: no ALPN */
};
struct tls_context *tls_context_new_client(const struct tls_client_parts *parts, const char **ret_why);

/* The server that a session is for; the texts are copied. */
struct tls_peer {
    const char *name;                   /* that its certificate must have: a DNS name or an IP address; NULL only without trust */
    const char *sni;                    /* a DNS name to ask for; NULL: none */
};

/* A few sessions to resume, of one server under one name and one policy: whoever keeps shelves apart keeps sessions
 * apart. TLS 1.3 tickets are used once (RFC 8446 C.4). */
struct tls_shelf;
enum { TLS_SHELF_MOST = 4 };
struct tls_shelf *tls_shelf_new(void); /* NULL: memory */
struct tls_shelf *tls_shelf_ref(struct tls_shelf *shelf);
void tls_shelf_unref(struct tls_shelf *shelf);
size_t tls_shelf_count(const struct tls_shelf *shelf);

/* shelf: what it holds is used, and what the server gives goes there; NULL: nothing is resumed. The session holds a
 * reference. NULL when memory is out or the name is none.
 * Its handshake fails with -E_SERVER_CERTIFICATE where a server does not prove who it is, else as session.h says. In TLS
 * 1.3 a server that refuses our certificate says so after the handshake: tls_session_open() returns -E_TLS_ALERT. */
struct tls_session *tls_session_new_client(struct tls_context *context, const struct tls_peer *peer,
                                           struct tls_shelf *shelf);

#endif
