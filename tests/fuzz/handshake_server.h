/* handshake_server.h: the server's side of what is fuzzed in our own engine's handshakes. */
#ifndef TESTS_FUZZ_HANDSHAKE_SERVER_H
#define TESTS_FUZZ_HANDSHAKE_SERVER_H

#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "certs/store.h"
#include "tls/batch.h"
#include "tls/handshake_private.h"
#include "tls/openssl.h"
#include "tls/tickets.h"

/* ORDINARY has tickets; ASKING wants a client's certificate; PARTICULAR has no group but P-256, so that others must try again. */
enum server_kind { ORDINARY, ASKING, PARTICULAR, SERVER_KINDS };
enum { NOW = 1000000000 };

static struct tls_context *servers[SERVER_KINDS];
static struct batch *batch;
static struct aead_cache *aeads;
static struct buffer_pool *pool;
static EVP_PKEY *client_key;
static X509 *client_certificate; /* and its own authority */

static inline void make_client_certificate(char **ret_pem)
{
    X509_NAME *name;
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long bytes;

    client_key = EVP_EC_gen("P-256");
    client_certificate = X509_new();
    CHECK(client_key && client_certificate && bio && X509_set_version(client_certificate, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(client_certificate), 7);
    X509_gmtime_adj(X509_getm_notBefore(client_certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(client_certificate), 365 * 86400L);
    name = X509_get_subject_name(client_certificate);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"Ann", -1, -1, 0) == 1);
    CHECK(X509_set_issuer_name(client_certificate, name) == 1 && X509_set_pubkey(client_certificate, client_key) == 1);
    CHECK(X509_sign(client_certificate, client_key, EVP_sha256()) > 0);
    CHECK(PEM_write_bio_X509(bio, client_certificate) == 1);
    bytes = BIO_get_mem_data(bio, &at);
    *ret_pem = malloc((size_t)bytes + 1);
    CHECK(*ret_pem);
    memcpy(*ret_pem, at, (size_t)bytes);
    (*ret_pem)[bytes] = '\0';
    BIO_free(bio);
}

static inline void make_servers(void)
{
    static const char *const names[] = { "a.test", NULL }, *const alpn[] = { "h2", "http/1.1", NULL };
    struct certificate_request request = { .names = names, .days = 30 };
    struct ticket_keys ring = { 0 };
    struct certificate certificate;
    struct arena arena;
    char *cert, *key, *client_pem;
    const char *why;

    if (batch)
        return;
    batch = batch_new(NULL);
    aeads = aead_cache_new(8);
    pool = buffer_pool_new(1 << 20);
    CHECK(batch && aeads && pool);
    make_client_certificate(&client_pem);
    arena_init(&arena, NULL, SIZE_MAX);
    CHECK(certificate_make(&request, &cert, &key) == 0);
    CHECK(certificate_parse(bytes_of_text(cert), bytes_of_text(key), "fuzz", &arena, &certificate, &why) == 0);
    CHECK(ticket_keys_rotate(&ring) == 0);
    tickets_install(&ring);
    for (enum server_kind kind = 0; kind < SERVER_KINDS; kind++) {
        struct tls_policy_options policy = {
            .name = "default",
            .profile = TLS_PROFILE_INTERMEDIATE,
            .tickets = true,
            .engine = TLS_ENGINE_NATIVE,
            .groups = kind == PARTICULAR ? "P-256" : NULL,
            .clients = { .certificate = kind == ASKING ? TLS_CLIENT_REQUIRED : TLS_CLIENT_OFF, .ca = { "ca.pem" }, .depth = 1 },
        };
        struct tls_server_parts parts = { .policy = &policy, .leaf = certificate.leaf, .chain = certificate.chain, .key = certificate.key,
                                          .alpn = alpn, .client_ca_pem = bytes_of_text(client_pem) };

        servers[kind] = tls_context_new_server(&parts, &why);
        CHECK(servers[kind] && servers[kind]->native);
    }
    certificate_clear(&certificate);
    arena_reset(&arena);
    free(cert);
    free(key);
    free(client_pem);
}

static inline void server_is_told(struct tls_waiter *w)
{
    (void)w;
}

/* One handshake. */
struct server {
    struct handshake *h; /* NULL: the ClientHello is not whole, or not for us */
    struct arena arena;
    struct tls_waiter waiter;
    struct buffer out;
    int result;
    uint8_t alert;       /* that the ClientHello deserves */
};

/* The ClientHello's bytes, so far. Returns whether there is a handshake. */
static inline bool server_begin(struct server *s, enum server_kind kind, struct bytes in)
{
    struct tls_thread thread = { batch, aeads };
    struct tls_session_parts parts = { BYTES_LITERAL("host"), &thread, &s->waiter, NOW };
    struct client_hello hello;

    *s = (struct server){ .waiter = { server_is_told }, .result = -E_AGAIN };
    arena_init(&s->arena, NULL, 1 << 20);
    s->result = client_hello_read(in, &s->arena, &hello, &s->alert);
    if (s->result || !handshake_speaks(servers[kind]->native, &hello)) {
        arena_reset(&s->arena);
        s->result = s->result ? s->result : -E_AGAIN;
        return false;
    }
    s->result = -E_AGAIN;
    s->h = handshake_new(servers[kind]->native, &hello, &parts);
    CHECK(s->h && buffer_reserve(pool, &s->out) == 0);
    return true;
}

/* What it said is whole records, none too long. */
static inline void server_check_out(const struct server *s)
{
    struct bytes out = buffer_content(&s->out);

    while (out.size) {
        size_t size;

        CHECK(out.size > RECORD_HEADER && out.at[0] >= CONTENT_CHANGE_CIPHER_SPEC && out.at[0] <= CONTENT_APPLICATION_DATA);
        size = record_size(out.at);
        CHECK(size > RECORD_HEADER && size <= RECORD_HEADER + RECORD_CIPHER_MOST_1_3 && size <= out.size);
        out = bytes_from(out, size);
    }
}

/* Gives it these bytes until it wants more. */
static inline void server_run(struct server *s, struct bytes *in)
{
    for (;;) {
        s->result = handshake_run(s->h, in, &s->out);
        server_check_out(s);
        if (s->result != -E_PENDING)
            break;
        batch_run(batch);
    }
    CHECK(batch_is_empty(batch));
    CHECK(s->result == 0 || s->result == -E_AGAIN || s->result == -E_TLS || s->result == -E_TLS_ALERT ||
          s->result == -E_CLIENT_CERTIFICATE);
}

/* Failed ones have a reason, and have told the client. */
static inline void server_end(struct server *s)
{
    struct tls_failure failure;

    if (s->h && s->result != 0 && s->result != -E_AGAIN) {
        handshake_failure(s->h, &failure);
        CHECK(failure.reason[0] && failure.alert_sent != failure.alert_received);
    }
    handshake_free(s->h);
    CHECK(batch_is_empty(batch) && ERR_peek_error() == 0);
    buffer_drop(pool, &s->out);
    arena_reset(&s->arena);
}

#endif
