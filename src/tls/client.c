/* client.c: what is OpenSSL's of the client's side: trust, contexts, sessions. */
#include "tls/client.h"

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "tls/openssl.h"

enum {
    SERVER_CHAIN_MOST = 65536, /* bytes of certificates that a server sends */
    VERIFY_DEPTH = 16,         /* intermediate certificates */
};

/* ---- Trust ---- */

struct tls_trust {
    X509_STORE *store;
    atomic_uint references;
};

/* Returns how many certificates were added, or -1. */
static int add_anchors(X509_STORE *store, struct bytes pem)
{
    BIO *bio = pem.size <= INT32_MAX ? BIO_new_mem_buf(pem.at ? (const void *)pem.at : "", (int)pem.size) : NULL;
    X509 *anchor;
    int count = 0;

    while (bio && count >= 0 && (anchor = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        /* Reads its extensions now, not in the first threads that verify by it. */
        (void)X509_check_purpose(anchor, -1, 0);
        count = X509_STORE_add_cert(store, anchor) == 1 ? count + 1 : -1;
        X509_free(anchor);
    }
    BIO_free(bio);
    /* The end of the text shows as "no start line"; anything else is damage. */
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        ERR_clear_error();
    return bio && !ERR_peek_error() ? count : -1;
}

struct tls_trust *tls_trust_new(struct bytes pem, const char **ret_why)
{
    struct tls_trust *trust = calloc(1, sizeof *trust);
    int count;

    ERR_clear_error();
    if (!trust || !(trust->store = X509_STORE_new())) {
        context_fail(ret_why, "out of memory");
        free(trust);
        return NULL;
    }
    atomic_init(&trust->references, 1);
    count = add_anchors(trust->store, pem);
    if (count > 0)
        return trust;
    context_fail(ret_why, count < 0 ? "a certificate in it is damaged" : "it holds no certificate in PEM form");
    tls_trust_unref(trust);
    return NULL;
}

struct tls_trust *tls_trust_ref(struct tls_trust *trust)
{
    atomic_fetch_add_explicit(&trust->references, 1, memory_order_relaxed);
    return trust;
}

void tls_trust_unref(struct tls_trust *trust)
{
    if (!trust || atomic_fetch_sub_explicit(&trust->references, 1, memory_order_acq_rel) > 1)
        return;
    X509_STORE_free(trust->store);
    free(trust);
}

/* ---- Contexts ---- */

/* A share for the newest group and one for the usual one: no server has to ask for another. */
static const char *const client_groups[2] = { "*X25519MLKEM768/*X25519:P-256/P-384", "X25519:P-256:P-384" };

/* A session can be resumed: in TLS 1.3 after the handshake, as often as the server likes. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = session_of(ssl);

    return s->shelf && shelf_put(s->shelf, session);
}

static void set_behaviour(SSL_CTX *ctx, bool tickets)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
    SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_max_cert_list(ctx, SERVER_CHAIN_MOST);
    SSL_CTX_set_info_callback(ctx, session_note_alert);
    if (tickets) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ctx, keep_session);
    } else {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    }
}

/* RFC 9525 6.3 and RFC 6125 6.4.4: no "f*.example.org", and a common name is no host's name. */
static void set_verification(SSL_CTX *ctx, struct tls_trust *trust)
{
    X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(ctx);

    if (!trust) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
        return;
    }
    SSL_CTX_set1_cert_store(ctx, trust->store);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, session_note_verification);
    SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
    X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
}

static bool offer_alpn(struct tls_context *context, const struct tls_client_parts *parts, const char **ret_why)
{
    if (!context_set_alpn(context, parts->alpn, ret_why))
        return false;
    return !context->alpn_size ||
           SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn, (unsigned)context->alpn_size) == 0 ||
           context_fail(ret_why, "the library refuses the ALPN names");
}

struct tls_context *tls_context_new_client(const struct tls_client_parts *parts, const char **ret_why)
{
    struct tls_context *context = calloc(1, sizeof *context);

    ERR_clear_error();
    if (!context || !(context->ssl_ctx = SSL_CTX_new(TLS_client_method())) || !session_bio_method()) {
        context_fail(ret_why, "the library failed to start");
        goto failed;
    }
    atomic_init(&context->references, 1);
    context->tickets = parts->policy->tickets;
    context->verifies = parts->trust != NULL;
    set_behaviour(context->ssl_ctx, context->tickets);
    set_verification(context->ssl_ctx, parts->trust);
    if (context_set_policy(context->ssl_ctx, parts->policy, client_groups, ret_why) &&
        (!parts->leaf || context_set_certificate(context->ssl_ctx, parts->leaf, parts->chain, parts->key, ret_why)) &&
        offer_alpn(context, parts, ret_why))
        return context;
failed:
    if (context) {
        SSL_CTX_free(context->ssl_ctx);
        free(context->alpn);
    }
    free(context);
    return NULL;
}

/* ---- Sessions ---- */

/* The name that the certificate must have; an address is none of DNS (RFC 9525 6.4). */
static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1)
        return true;
    ERR_clear_error();
    return X509_VERIFY_PARAM_set1_host(parameters, name, 0) == 1;
}

static void resume(struct tls_session *s, struct tls_shelf *shelf)
{
    SSL_SESSION *session;

    if (!shelf || !s->context->tickets)
        return;
    s->shelf = tls_shelf_ref(shelf);
    session = shelf_take(shelf);
    if (session)
        (void)SSL_set_session(s->ssl, session);
    SSL_SESSION_free(session);
}

struct tls_session *tls_session_new_client(struct tls_context *context, const struct tls_peer *peer,
                                           struct tls_shelf *shelf)
{
    struct tls_session *s = session_make(context);

    CHECK(peer->name || !context->verifies);
    if (!s)
        return NULL;
    s->is_client = true;
    SSL_set_connect_state(s->ssl);
    if ((context->verifies && !expect_name(s->ssl, peer->name)) ||
        (peer->sni && SSL_set_tlsext_host_name(s->ssl, peer->sni) != 1)) {
        tls_session_free(s);
        ERR_clear_error();
        return NULL;
    }
    resume(s, shelf);
    ERR_clear_error();
    return s;
}
