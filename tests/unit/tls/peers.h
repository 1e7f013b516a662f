/* peers.h: both ends of a TLS connection in memory: our session, and OpenSSL's own client over memory BIOs. */
#ifndef TESTS_TLS_PEERS_H
#define TESTS_TLS_PEERS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/check.h"
#include "certs/store.h"
#include "tls/session.h"
#include "tls/tickets.h"

/* A small authority and what it has signed, made once for a test program. */
struct authority {
    char *ca_pem, *ca_key_pem;
};

static inline void authority_make(struct authority *a, const char *name)
{
    const char *names[] = { name, NULL };
    struct certificate_request request = { .names = names, .days = 30, .is_ca = true };

    assert_int_equal(certificate_make(&request, &a->ca_pem, &a->ca_key_pem), 0);
}

static inline void authority_free(struct authority *a)
{
    free(a->ca_pem);
    free(a->ca_key_pem);
}

/* A leaf for these names, parsed. */
static inline void authority_issue(const struct authority *a, const char *const *names, struct arena *arena,
                                   struct certificate *ret)
{
    struct certificate_request request = { .names = names, .days = 20, .ca_cert_pem = a->ca_pem,
                                           .ca_key_pem = a->ca_key_pem };
    char *cert, *key;
    const char *why = NULL;

    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    int error = certificate_parse(bytes_of_text(cert), bytes_of_text(key), "test.pem", arena, ret, &why);
    if (error)
        fail_msg("certificate_parse: %s", why);
    free(cert);
    free(key);
}

static inline struct tls_policy_options intermediate(void)
{
    return (struct tls_policy_options){ .name = "default", .profile = TLS_PROFILE_INTERMEDIATE, .tickets = true };
}

static inline struct tls_context *server_context(const struct tls_policy_options *policy, const struct certificate *c,
                                                 const char *client_ca_pem, const char *const *alpn)
{
    struct tls_server_parts parts = { .policy = policy, .client_ca_pem = bytes_of_text(client_ca_pem),
                                      .leaf = c->leaf, .chain = c->chain, .key = c->key, .alpn = alpn };
    const char *why = NULL;
    struct tls_context *context = tls_context_new_server(&parts, &why);

    if (!context)
        fail_msg("tls_context_new_server: %s", why);
    return context;
}

/* A client that offers TLS 1.2 and 1.3 and verifies nothing. */
static inline SSL_CTX *client_context(uint16_t least, uint16_t most)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, least);
    SSL_CTX_set_max_proto_version(ctx, most);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return ctx;
}

struct pair {
    struct tls_session *server;
    SSL *client;
    struct buffer_pool *pool;
    struct buffer to_server, to_client;
    int server_result;          /* of the last handshake call */
    size_t most_at_once;        /* bytes given to the server at a time; 0: all */
};

/* now: as the server is told; the library has its own view of the time. */
static inline void pair_open_at(struct pair *p, struct tls_context *server, SSL_CTX *client, const char *binding, int64_t now)
{
    *p = (struct pair){ .server = tls_session_new(server, bytes_of_text(binding), now), .client = SSL_new(client),
                        .pool = buffer_pool_new(1 << 20) };
    assert_non_null(p->server);
    assert_non_null(p->client);
    SSL_set_bio(p->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(p->client);
    p->server_result = -E_AGAIN;
}

static inline void pair_open(struct pair *p, struct tls_context *server, SSL_CTX *client, const char *binding)
{
    pair_open_at(p, server, client, binding, (int64_t)time(NULL));
}

/* What the client wrote goes to the server's buffer. */
static inline void pair_collect(struct pair *p)
{
    assert_int_equal(buffer_reserve(p->pool, &p->to_server), 0);
    int n = BIO_read(SSL_get_wbio(p->client), p->to_server.data + p->to_server.end, (int)buffer_room(&p->to_server));
    if (n > 0)
        buffer_commit(&p->to_server, (size_t)n);
    assert_int_equal(buffer_reserve(p->pool, &p->to_client), 0);
}

static inline void pair_deliver(struct pair *p)
{
    if (buffer_used(&p->to_client))
        assert_int_equal(BIO_write(SSL_get_rbio(p->client), p->to_client.data + p->to_client.start,
                                   (int)buffer_used(&p->to_client)), (int)buffer_used(&p->to_client));
    buffer_drop(p->pool, &p->to_client);
}

/* Shakes hands. Returns whether both ends are done. */
static inline bool pair_shake(struct pair *p)
{
    for (int round = 0; round < 20; round++) {
        int client = SSL_do_handshake(p->client);

        ERR_clear_error();
        pair_collect(p);
        while (p->server_result == -E_AGAIN && buffer_used(&p->to_server)) {
            struct bytes in = bytes_part(buffer_content(&p->to_server), 0, p->most_at_once ? p->most_at_once : SIZE_MAX);
            size_t before = in.size;
            p->server_result = tls_session_handshake(p->server, &in, &p->to_client);
            buffer_consume(&p->to_server, before - in.size);
            if (before == in.size)
                break;
        }
        pair_deliver(p);
        if (client == 1 && p->server_result == 0)
            return true;
        if (p->server_result != -E_AGAIN && p->server_result != 0) {
            (void)SSL_do_handshake(p->client);
            return false;
        }
    }
    return false;
}

/* The client reads what there is (and so sees tickets and alerts). Returns SSL_read's result. */
static inline int pair_client_read(struct pair *p, void *into, size_t room)
{
    pair_deliver(p);
    return SSL_read(p->client, into, (int)room);
}

static inline int pair_server_read(struct pair *p, uint8_t *into, size_t room)
{
    pair_collect(p);
    struct bytes in = buffer_content(&p->to_server);
    size_t before = in.size;
    int n = tls_session_open(p->server, &in, into, room, &p->to_client);
    buffer_consume(&p->to_server, before - in.size);
    return n;
}

/* Closes in order; returns the client's session for resumption (or NULL). */
static inline SSL_SESSION *pair_close(struct pair *p)
{
    uint8_t byte[1];
    SSL_SESSION *session;

    (void)pair_client_read(p, byte, sizeof byte);
    session = SSL_get1_session(p->client);
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->client);
    tls_session_free(p->server);
    buffer_drop(p->pool, &p->to_server);
    buffer_drop(p->pool, &p->to_client);
    buffer_pool_free(p->pool);
    ERR_clear_error();
    return session;
}

static inline void pair_end(struct pair *p)
{
    SSL_SESSION_free(pair_close(p));
}

static inline bool pair_resumed(const struct pair *p)
{
    struct tls_facts facts;

    tls_session_facts(p->server, &facts);
    return facts.resumed;
}

#endif
