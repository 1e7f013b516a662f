/* native_context.h: what the handshakes of our own engine under one policy and certificate share. Made once, never changed, used by all
 * threads. Inside of tls/. */
#ifndef TLS_NATIVE_CONTEXT_H
#define TLS_NATIVE_CONTEXT_H

#include <openssl/x509.h>

#include "tls/compression.h"
#include "tls/hmac.h"
#include "tls/key_share.h"
#include "tls/session.h"
#include "tls/signer.h"

/* A cipher suite of TLS 1.3 (RFC 8446 B.4). */
struct suite {
    uint16_t code;
    uint8_t hash; /* enum hash */
    uint8_t aead; /* enum aead */
    const char *name;
};
/* NULL: it is none of ours. */
const struct suite *suite_find(uint16_t code);
const struct suite *suite_named(struct bytes name);

/* A group of the policy, by its number (RFC 8446 4.2.7). */
struct context_group {
    uint16_t code;
    bool is_ours;   /* else it is OpenSSL's alone */
    bool ends_tier; /* clients are asked for a better share only if it is of a tier before that of their own */
    const char *name;
};
enum { CONTEXT_GROUPS_MOST = 12, CONTEXT_SUITES_MOST = 3 };

/* A Certificate message, or a CompressedCertificate, header included; size 0: there is none. */
struct certificate_messages {
    struct bytes as[COMPRESSIONS]; /* by enum compression */
};
/* Index of the variants: what stands beside the leaf. */
enum { WITH_STAPLE = 1, WITH_SCTS = 2 };

struct native_context {
    uint16_t suites[CONTEXT_SUITES_MOST];
    size_t suite_count;
    struct context_group groups[CONTEXT_GROUPS_MOST]; /* in order of preference */
    size_t group_count;
    bool tickets;
    struct signer *signer;
    struct certificate_messages certificates[4];
    bool has_staple, has_scts;
    struct bytes alpn;                /* ours as on the wire, in order of preference; the tls_context's */
    uint8_t clients;                  /* enum tls_client_certificate */
    struct bytes certificate_request; /* message, header included; empty unless clients are asked */
    X509_STORE *client_roots;
    int client_depth;
};

/* roots: of clients, or NULL; the context takes a reference. ca_names: of what clients are asked for, or NULL. alpn: stays
 * the caller's. Returns NULL when the engine cannot serve this policy or certificate (a key of another kind, records left to
 * OpenSSL, no TLS 1.3, a staple that is too long), or memory is out. */
struct native_context *native_context_new(const struct tls_server_parts *parts, struct bytes alpn, X509_STORE *roots,
                                          const STACK_OF(X509_NAME) * ca_names);
void native_context_free(struct native_context *context); /* accepts NULL */

/* The signature schemes that clients' certificates and their CertificateVerify may have, the one that we prefer first: the one of
 * that index, from 0 on; 0: there are no more. */
uint16_t client_signature_scheme(size_t i);

#endif
