/* context.c: what all connections of one policy and certificate share: OpenSSL's SSL_CTX, set once and never changed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "tls/native_context.h"
#include "tls/ticket.h"
#include "tls/openssl.h"

enum {
    /* A flight must fit into the room that tls_session_handshake asks for: nobody would ask for the rest of it. */
    CERTIFICATES_MOST = 20480,   /* bytes of our chain */
    CLIENT_CA_NAMES_MOST = 8192, /* bytes of the names in a CertificateRequest */
    CLIENT_CHAIN_MOST = 32768,   /* bytes of what a client sends */
};

static _Thread_local char why_text[512];

/* ---- Objects fetched once ---- */

typedef int security_callback(const SSL *ssl, const SSL_CTX *ctx, int operation, int bits, int nid, void *other,
                              void *extra);

static struct {
    OSSL_PROVIDER *ours;
    EVP_CIPHER *aes_256_cbc;
    security_callback *security; /* the library's own */
} fetched;

static void fetch_all(void)
{
    SSL_CTX *probe;

    fetched.ours = provider_load(); /* kept for good */
    fetched.aes_256_cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    probe = SSL_CTX_new(TLS_server_method());
    fetched.security = probe ? SSL_CTX_get_security_callback(probe) : NULL;
    SSL_CTX_free(probe);
}

static void fetch_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch_all);
}

const EVP_CIPHER *fetched_aes_256_cbc(void)
{
    fetch_once();
    return fetched.aes_256_cbc;
}

const char *tls_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

bool tls_library_has_group(const char *name)
{
    SSL_CTX *probe = SSL_CTX_new(TLS_method());
    bool has = probe && SSL_CTX_set1_groups_list(probe, name) == 1;

    SSL_CTX_free(probe);
    ERR_clear_error();
    return has;
}

/* ---- Making one ---- */

/* A sentence with the library's own words behind it, if it has any. Always returns false. */
bool context_fail(const char **ret_why, const char *sentence)
{
    unsigned long error = ERR_peek_last_error();
    const char *words = error ? ERR_reason_error_string(error) : NULL;

    snprintf(why_text, sizeof why_text, "%s%s%s", sentence, words ? ": " : "", words ? words : "");
    *ret_why = why_text;
    ERR_clear_error();
    return false;
}

bool context_set_policy(SSL_CTX *ctx, const struct tls_policy_options *options, const char *const groups[2],
                        const char **ret_why)
{
    struct tls_policy policy;
    static _Thread_local char why[TLS_POLICY_WHY];

    if (tls_policy_resolve(options, &policy, why)) {
        *ret_why = why;
        return false;
    }
    if (SSL_CTX_set_min_proto_version(ctx, policy.versions_least) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, policy.versions_most) != 1)
        return context_fail(ret_why, "the library refuses the TLS versions of the policy");
    if (SSL_CTX_set_ciphersuites(ctx, policy.suites_1_3) != 1 || SSL_CTX_set_cipher_list(ctx, policy.suites_1_2) != 1)
        return context_fail(ret_why, "the library refuses the cipher suites of the policy");
    if (policy.groups[0]) {
        if (SSL_CTX_set1_groups_list(ctx, policy.groups) != 1)
            return context_fail(ret_why,
                                "the library refuses the groups of the policy (it may be too old for one of them)");
        return true;
    }
    if (SSL_CTX_set1_groups_list(ctx, groups[0]) != 1 && SSL_CTX_set1_groups_list(ctx, groups[1]) != 1)
        return context_fail(ret_why, "the library lacks the usual groups");
    ERR_clear_error();
    return true;
}

/* No signature_algorithms means SHA-1 (RFC 5246 7.4.1.4.1), which is not spoken (RFC 9155); but with RSA key exchange nothing is
 * signed, and the library asks all the same, once it has chosen the suite. */
static int judge_security(const SSL *ssl, const SSL_CTX *ctx, int operation, int bits, int nid, void *other,
                          void *extra)
{
    const SSL_CIPHER *chosen = ssl ? SSL_get_pending_cipher(ssl) : NULL;

    if (operation == SSL_SECOP_SIGALG_SUPPORTED && chosen && SSL_CIPHER_get_kx_nid(chosen) == NID_kx_rsa &&
        SSL_get_state(ssl) == TLS_ST_SR_CLNT_HELLO)
        return 1;
    return fetched.security(ssl, ctx, operation, bits, nid, other, extra);
}

static void set_behaviour(SSL_CTX *ctx, bool tickets)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_SINGLE_DH_USE | SSL_OP_SINGLE_ECDH_USE);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
    SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
    /* No chain is guessed at each handshake: what the operator gave is sent. */
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(ctx, 2);
    if (fetched.security)
        SSL_CTX_set_security_callback(ctx, judge_security);
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKET_LIFETIME);
    SSL_CTX_set_max_early_data(ctx, 0); /* none is invited; what comes all the same is skipped (RFC 8446 4.2.10) */
    SSL_CTX_set_info_callback(ctx, session_note_alert);
    if (tickets) {
        SSL_CTX_set_num_tickets(ctx, 1);
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tickets_callback);
    } else {
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    }
}

bool context_set_certificate(SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) * chain, EVP_PKEY *key, const char **ret_why)
{
    int size = i2d_X509(leaf, NULL);

    for (int i = 0; chain && i < sk_X509_num(chain); i++)
        size += i2d_X509(sk_X509_value(chain, i), NULL) + 5;
    if (size > CERTIFICATES_MOST)
        return context_fail(ret_why, "the certificate chain is longer than 20 KB: leave out what peers do not need");
    if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) != 1)
        return context_fail(ret_why, "the library refuses the certificate");
    return true;
}

/* ---- ALPN ---- */

bool context_set_alpn(struct tls_context *context, const char *const *alpn, const char **ret_why)
{
    size_t size = 0;

    for (size_t i = 0; alpn && alpn[i]; i++) {
        size_t name = strlen(alpn[i]);
        if (name == 0 || name > 255)
            return context_fail(ret_why, "an ALPN name has 1 to 255 bytes");
        size += 1 + name;
    }
    if (size == 0)
        return true;
    context->alpn = malloc(size);
    if (!context->alpn)
        return context_fail(ret_why, "out of memory");
    for (size_t i = 0; alpn[i]; i++) {
        size_t name = strlen(alpn[i]);
        context->alpn[context->alpn_size] = (uint8_t)name;
        memcpy(context->alpn + context->alpn_size + 1, alpn[i], name);
        context->alpn_size += 1 + name;
    }
    return true;
}

/* No overlap is fatal: no_application_protocol (RFC 7301 3.2). */
static int choose_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size, const unsigned char *offered,
                       unsigned offered_bytes, void *argument)
{
    const struct tls_context *context = argument;
    struct bytes name = alpn_choose(bytes_of(context->alpn, context->alpn_size), bytes_of(offered, offered_bytes));

    if (name.size == 0)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name.at;
    *ret_size = (unsigned char)name.size;
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 6066 3: a server that used the name says so. It was used before the context was chosen. */
static int acknowledge_name(SSL *ssl, int *alert, void *argument)
{
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* ---- Client certificates ---- */

/* Every certificate of the file becomes a trust anchor or a link to one. Returns how many roots there are, or -1. */
static int add_authorities(SSL_CTX *ctx, struct bytes pem, STACK_OF(X509_NAME) * names, size_t *ret_name_bytes)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
    X509 *ca;
    int roots = 0;

    while (bio && roots >= 0 && (ca = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

        *ret_name_bytes += (size_t)i2d_X509_NAME(name, NULL) + 2;
        roots += X509_self_signed(ca, 0) == 1;
        if (!name || sk_X509_NAME_push(names, name) <= 0) {
            X509_NAME_free(name);
            roots = -1;
        } else if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1) {
            roots = -1;
        }
        X509_free(ca);
    }
    BIO_free(bio);
    /* The end of the file is reported as an error of its own; any other one means a damaged certificate. */
    if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        ERR_clear_error();
    return bio && !ERR_peek_error() ? roots : -1;
}

static bool set_clients(struct tls_context *context, const struct tls_server_parts *parts, const char **ret_why)
{
    const struct tls_clients_options *clients = &parts->policy->clients;
    int mode = SSL_VERIFY_PEER;
    STACK_OF(X509_NAME) * names;
    size_t name_bytes = 0;
    int roots;

    if (clients->certificate == TLS_CLIENT_OFF)
        return true;
    if (parts->client_ca_pem.size == 0 || parts->client_ca_pem.size > INT32_MAX)
        return context_fail(ret_why, "clients: the ca file is missing or empty, so no client could be verified");
    names = sk_X509_NAME_new_null();
    if (!names)
        return context_fail(ret_why, "out of memory");
    SSL_CTX_set_client_CA_list(context->ssl_ctx, names); /* which owns it now */
    ERR_clear_error();
    roots = add_authorities(context->ssl_ctx, parts->client_ca_pem, names, &name_bytes);
    if (roots < 0)
        return context_fail(ret_why, "clients: the ca file cannot be read as PEM certificates");
    if (sk_X509_NAME_num(names) == 0)
        return context_fail(ret_why, "clients: the ca file holds no certificate, so no client could be verified");
    if (roots == 0)
        return context_fail(
            ret_why, "clients: the ca file holds no self-signed root, so no client could be verified; add the root");
    if (name_bytes > CLIENT_CA_NAMES_MOST)
        return context_fail(
            ret_why, "clients: the ca file names too many authorities (8 KB of names are sent to clients at most)");
    if (clients->certificate == TLS_CLIENT_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context->ssl_ctx, mode, session_note_verification);
    SSL_CTX_set_verify_depth(context->ssl_ctx, (int)clients->depth);
    SSL_CTX_set_max_cert_list(context->ssl_ctx, CLIENT_CHAIN_MOST);
    return true;
}

/* A client that can do better than the share it sent is asked for a better one only across a '/' (OpenSSL 3.5). */
static const char *const server_groups[2] = { "X25519MLKEM768/X25519:P-256/P-384", "X25519:P-256:P-384" };

struct tls_context *tls_context_new_server(const struct tls_server_parts *parts, const char **ret_why)
{
    struct tls_context *context = calloc(1, sizeof *context);

    ERR_clear_error();
    if (!context || !fetched_aes_256_cbc() || !session_bio_method() ||
        !(context->ssl_ctx = SSL_CTX_new(TLS_server_method()))) {
        context_fail(ret_why, "the library failed to start");
        goto failed;
    }
    atomic_init(&context->references, 1);
    context->tickets = parts->policy->tickets;
    context->engine = (uint8_t)parts->policy->engine;
    context->records = (uint8_t)parts->policy->records;
    set_behaviour(context->ssl_ctx, context->tickets);
    if (context->records != TLS_RECORDS_OPENSSL)
        SSL_CTX_set_keylog_callback(context->ssl_ctx, hand_over_note_secret);
    if (!context_set_policy(context->ssl_ctx, parts->policy, server_groups, ret_why) ||
        !context_set_certificate(context->ssl_ctx, parts->leaf, parts->chain, parts->key, ret_why) ||
        !context_set_alpn(context, parts->alpn, ret_why) || !set_clients(context, parts, ret_why))
        goto failed;
    if (!context_limit_tickets(context->ssl_ctx)) {
        context_fail(ret_why, "the library failed");
        goto failed;
    }
    if (context->alpn_size)
        SSL_CTX_set_alpn_select_cb(context->ssl_ctx, choose_alpn, context);
    SSL_CTX_set_tlsext_servername_callback(context->ssl_ctx, acknowledge_name);
    context->native =
        native_context_new(parts, bytes_of(context->alpn, context->alpn_size), SSL_CTX_get_cert_store(context->ssl_ctx),
                           SSL_CTX_get_client_CA_list(context->ssl_ctx));
    return context;
failed:
    tls_context_unref(context);
    return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1)
        return;
    native_context_free(context->native);
    SSL_CTX_free(context->ssl_ctx);
    free(context->alpn);
    free(context);
}
