/* secrets: handshakes of our own engine, their secrets marked as undefined, for valgrind's memcheck: it then tells each branch and each
 * index that depends on one (the way of Langley's ctgrind). tests/scenario/test_memcheck.py runs it.
 *
 * Marked are: the private keys that signatures are made with, nonces, our halves of key agreement and what they come to, so that all that is
 * derived from it is marked, too: key schedule, traffic keys, Finished, tickets' secrets. What the "library" of the batch is here does
 * the arithmetic with OpenSSL on copies that are not marked. What goes out to the client is encrypted, or public, and is
 * unmarked on the way; so are signatures. secrets.supp lists where a secret may decide, and why. Then the same without that library, everything
 * through EVP, with every group, a retry and a client's certificate: what the agreement comes to is marked, and the keys of tickets.
 *
 * With --prove it branches on a secret, so that it can be seen that memcheck would say so.
 * Ends with 0 when each handshake came to its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <valgrind/memcheck.h>

#include "papers.h"
#include "peers.h"
#include "signing.h"
#include "soft_lanes.h"
#include "base/arena.h"
#include "tls/aead.h"
#include "tls/client_hello.h"
#include "tls/native_context.h"
#include "tls/openssl.h"
#include "tls/random.h"
#include "tls/ticket.h"

/* The files themselves, so that what they open can be marked otherwise. */
static int open_or_seal(struct aead_cache *cache, struct aead_holder *holder, const struct aead_job *job);
static int open_ticket(struct aead_cache *aeads, struct bytes ticket, struct ticket_state *ret_state);
struct native_ticket_key;
static bool secret_ticket_key(const uint8_t *name, struct native_ticket_key *ret_key);
#define aead_run open_or_seal
#include "../../src/tls/aead.c"
#undef aead_run
#define ticket_open open_ticket
#define tickets_native_key secret_ticket_key
#include "../../src/tls/ticket.c"
#undef tickets_native_key
#undef ticket_open

#define SECRET(at, size) VALGRIND_MAKE_MEM_UNDEFINED(at, size)
#define PUBLIC(at, size) VALGRIND_MAKE_MEM_DEFINED(at, size)

/* ---- A library whose results are secret ---- */

struct copies {
    uint8_t at[LANES][32];
    const uint8_t *of[LANES];
};

/* Copies that are not marked, of 32 bytes each. */
static void copy_all(struct copies *c, const void *const from[LANES])
{
    for (unsigned i = 0; i < LANES; i++) {
        memcpy(c->at[i], from[i], 32);
        PUBLIC(c->at[i], 32);
        c->of[i] = c->at[i];
    }
}

static uint32_t make_pairs(uint8_t *const public_keys[LANES], const uint8_t *const private_keys[LANES])
{
    struct copies c;

    copy_all(&c, (const void *const *)private_keys);
    return soft_x25519_public_key(public_keys, c.of);
}

static uint32_t agree(uint8_t *const shared[LANES], const uint8_t *const private_keys[LANES],
                      const uint8_t *const public_keys[LANES])
{
    struct copies c;
    uint32_t status;

    copy_all(&c, (const void *const *)private_keys);
    status = soft_x25519(shared, c.of, public_keys);
    for (unsigned i = 0; i < LANES; i++)
        SECRET(shared[i], 32);
    return status;
}

static uint32_t set_up(mb_word *inverse[LANES], mb_word *r[LANES], const mb_word *const nonces[LANES], uint8_t *buffer)
{
    struct copies c;
    uint32_t status;

    copy_all(&c, (const void *const *)nonces);
    status = soft_setup(inverse, r, (const mb_word *const *)c.of, buffer);
    for (unsigned i = 0; i < LANES; i++)
        SECRET(inverse[i], 32); /* r is a part of the signature */
    return status;
}

static uint32_t complete(uint8_t *sign_r[LANES], uint8_t *sign_s[LANES], const uint8_t *const digests[LANES],
                         const mb_word *const r[LANES], const mb_word *const inverse[LANES],
                         const mb_word *const private_keys[LANES], uint8_t *buffer)
{
    struct copies by_k, d;

    copy_all(&by_k, (const void *const *)inverse);
    copy_all(&d, (const void *const *)private_keys);
    return soft_complete(sign_r, sign_s, digests, r, (const mb_word *const *)by_k.of, (const mb_word *const *)d.of, buffer);
}

enum { RSA_BYTES = 256 };

/* A prime of the key and what belongs to it, as a copy that is not marked. */
static const mb_word *const *copy_halves(const mb_word *const from[LANES], mb_word (*copies)[RSA_BYTES / 16],
                                         const mb_word *ret_copies[LANES])
{
    for (unsigned i = 0; i < LANES; i++) {
        memcpy(copies[i], from[i], RSA_BYTES / 2);
        PUBLIC(copies[i], RSA_BYTES / 2);
        ret_copies[i] = copies[i];
    }
    return ret_copies;
}

static uint32_t exponentiate(const uint8_t *const from[LANES], uint8_t *const to[LANES], const mb_word *const p[LANES],
                             const mb_word *const q[LANES], const mb_word *const dp[LANES],
                             const mb_word *const dq[LANES], const mb_word *const q_inverse[LANES], int bits,
                             const struct mb_rsa_method *method, uint8_t *buffer)
{
    static mb_word copies[5][LANES][RSA_BYTES / 16];
    const mb_word *of[5][LANES];

    return soft_rsa_private(from, to, copy_halves(p, copies[0], of[0]), copy_halves(q, copies[1], of[1]),
                            copy_halves(dp, copies[2], of[2]), copy_halves(dq, copies[3], of[3]),
                            copy_halves(q_inverse, copies[4], of[4]), bits, method, buffer);
}

static int draw_secret(void *out, size_t size)
{
    int error = random_bytes(out, size);

    SECRET(out, size);
    return error;
}

/* Whether two MACs are equal, of a record, of Finished, of a binder, is no secret: the handshake goes on, or ends with an alert. (The linker
 * puts this in the place of the library's.) */
int __real_CRYPTO_memcmp(const void *a, const void *b, size_t size);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t size);

int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t size)
{
    int differ = __real_CRYPTO_memcmp(a, b, size);

    (void)PUBLIC(&differ, sizeof differ);
    return differ;
}

/* What a client sent it knows: its messages' types and sizes decide what is done with them. */
int aead_run(struct aead_cache *cache, struct aead_holder *holder, const struct aead_job *job)
{
    int error = open_or_seal(cache, holder, job);

    if (!job->is_sealing && error == 0)
        (void)PUBLIC(job->out, job->in.size);
    return error;
}

/* And so with a ticket, which is a client's message, but for the secret in it. */
int ticket_open(struct aead_cache *aeads, struct bytes ticket, struct ticket_state *ret_state)
{
    int error = open_ticket(aeads, ticket, ret_state);

    if (error == 0)
        SECRET(ret_state->psk, sizeof ret_state->psk);
    return error;
}

/* The hashes' states with the key in them; not what the library notes beside them of lengths. */
static void mark_states(struct hmac *key)
{
    SECRET(key->inner.sha256.h, sizeof key->inner.sha256.h);
    SECRET(key->outer.sha256.h, sizeof key->outer.sha256.h);
    SECRET(key->running.sha256.h, sizeof key->running.sha256.h);
}

static bool secret_ticket_key(const uint8_t *name, struct native_ticket_key *ret_key)
{
    bool found = tickets_native_key(name, ret_key);

    if (found)
        mark_states(&ret_key->key);
    return found;
}

/* What EVP comes to for our side, not for the client's, which is in this program, too. */
static bool serving;

int __real_EVP_PKEY_derive(EVP_PKEY_CTX *c, unsigned char *secret, size_t *bytes);
int __wrap_EVP_PKEY_derive(EVP_PKEY_CTX *c, unsigned char *secret, size_t *bytes);
int __real_EVP_PKEY_encapsulate(EVP_PKEY_CTX *c, unsigned char *out, size_t *out_bytes, unsigned char *secret, size_t *bytes);
int __wrap_EVP_PKEY_encapsulate(EVP_PKEY_CTX *c, unsigned char *out, size_t *out_bytes, unsigned char *secret, size_t *bytes);
static unsigned derived, encapsulated;

int __wrap_EVP_PKEY_derive(EVP_PKEY_CTX *c, unsigned char *secret, size_t *bytes)
{
    int result = __real_EVP_PKEY_derive(c, secret, bytes);

    if (serving && secret && result == 1) {
        SECRET(secret, *bytes);
        derived++;
    }
    return result;
}

int __wrap_EVP_PKEY_encapsulate(EVP_PKEY_CTX *c, unsigned char *out, size_t *out_bytes, unsigned char *secret, size_t *bytes)
{
    int result = __real_EVP_PKEY_encapsulate(c, out, out_bytes, secret, bytes);

    if (serving && secret && result == 1) {
        SECRET(secret, *bytes);
        encapsulated++;
    }
    return result;
}

/* The transcript that a client signs has our Finished in it, which comes of a secret and which the client was told. */
int __real_EVP_DigestVerify(EVP_MD_CTX *c, const unsigned char *signature, size_t bytes, const unsigned char *content, size_t content_bytes);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *c, const unsigned char *signature, size_t bytes, const unsigned char *content, size_t content_bytes);

int __wrap_EVP_DigestVerify(EVP_MD_CTX *c, const unsigned char *signature, size_t bytes, const unsigned char *content, size_t content_bytes)
{
    if (serving)
        (void)PUBLIC(content, content_bytes);
    return __real_EVP_DigestVerify(c, signature, bytes, content, content_bytes);
}

/* ---- So many handshakes at a time that RSA is signed together ---- */

enum { PAIRS = 5 };

struct pair_of_mine {
    struct pair p;
    struct arena arena;
    struct client_hello hello;
    struct tls_waiter waiter;
    bool complete;
};

static struct tls_thread thread;

static void told(struct tls_waiter *w)
{
}

/* What leaves is there for everybody to see. */
static void deliver(struct pair *p)
{
    (void)PUBLIC(p->to_client.data + p->to_client.start, buffer_used(&p->to_client));
    pair_deliver(p);
}

static void turn(struct pair_of_mine *m, struct tls_context *server)
{
    struct pair *p = &m->p;
    struct bytes in;
    size_t before;
    uint8_t alert;
    int client = SSL_do_handshake(p->client);

    ERR_clear_error();
    pair_collect(p);
    in = buffer_content(&p->to_server);
    before = in.size;
    serving = true;
    if (!p->server) {
        struct tls_session_parts parts = { .binding = bytes_of_text("binding"), .thread = &thread, .waiter = &m->waiter,
                                           .now = (int64_t)time(NULL) };

        CHECK(client_hello_read(in, &m->arena, &m->hello, &alert) == 0);
        p->server = tls_session_accept(server, &m->hello, &parts);
        CHECK(p->server);
    }
    if (p->server_result == -E_AGAIN || p->server_result == -E_PENDING)
        p->server_result = tls_session_handshake(p->server, &in, &p->to_client);
    serving = false;
    buffer_consume(&p->to_server, before - in.size);
    deliver(p);
    m->complete = client == 1 && p->server_result == 0;
}

static struct pair_of_mine pairs[PAIRS];

/* Returns the client's session, for resumption. */
static SSL_SESSION *shake(struct tls_context *server, SSL_CTX *client, SSL_SESSION *resumed, int count)
{
    SSL_SESSION *session = NULL;
    struct tls_facts facts;

    for (int i = 0; i < count; i++) {
        struct pair *p = &pairs[i].p;

        pairs[i] = (struct pair_of_mine){ .waiter.ready = told };
        arena_init(&pairs[i].arena, NULL, 1 << 20);
        *p = (struct pair){ .client = SSL_new(client), .pool = buffer_pool_new(1 << 20), .server_result = -E_AGAIN };
        SSL_set_bio(p->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(p->client);
        if (resumed)
            SSL_set_session(p->client, resumed);
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < count; i++)
            turn(&pairs[i], server);
        serving = true;
        batch_run(thread.batch);
        serving = false;
    }
    for (int i = 0; i < count; i++) {
        CHECK(pairs[i].complete);
        tls_session_facts(pairs[i].p.server, &facts);
        CHECK(facts.is_native && facts.resumed == (resumed != NULL));
        SSL_SESSION_free(session);
        session = pair_close(&pairs[i].p);
        arena_reset(&pairs[i].arena);
    }
    return session;
}

/* ---- Kinds of handshakes ---- */

__attribute__((noinline)) static void prove(void)
{
    volatile uint8_t secret = 1;
    uint8_t drawn;

    CHECK(draw_secret(&drawn, 1) == 0);
    secret = drawn;
    if (secret & 1)
        fputs("odd\n", stderr);
}

/* Each suite, full and resumed, with a certificate for this kind of key. */
static void shake_with(const char *key, SSL_CTX *client)
{
    static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256" };
    const struct papers_wish wish = { .key = key, .common_name = "a.test", .alternative = "DNS:a.test" };
    struct papers papers = papers_make(&wish);
    struct certificate certificate = { .leaf = papers.cert, .key = papers.key };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server;
    struct signer *signer;

    policy.engine = TLS_ENGINE_NATIVE;
    server = server_context(&policy, &certificate, NULL, NULL);
    signer = server->native->signer;
    SECRET(signer->p256, sizeof signer->p256);
    if (signer->rsa)
        SECRET(signer->rsa->p, sizeof *signer->rsa - offsetof(struct rsa_numbers, p)); /* all behind the modulus */
    for (size_t i = 0; i < COUNT_OF(suites); i++) {
        SSL_SESSION *session;

        CHECK(SSL_CTX_set_ciphersuites(client, suites[i]) == 1);
        session = shake(server, client, NULL, PAIRS);
        SSL_SESSION_free(shake(server, client, session, PAIRS));
        SSL_SESSION_free(session);
    }
    tls_context_unref(server);
    papers_free(&papers);
}

/* Through EVP, one by one: each group, also asked for by a retry, under each hash, full and resumed, with a client's certificate. */
static void shake_through_evp(void)
{
    static const char *const groups[] = { "X25519", "P-256", "P-384", "X448:P-256", "X25519MLKEM768" };
    static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384" };
    const struct papers_wish authority = { .common_name = "Staff CA", .constraints = "critical,CA:TRUE" };
    struct papers ca = papers_make(&authority);
    const struct papers_wish ours = { .key = "P-384", .common_name = "a.test" }, theirs = { .common_name = "Ann", .issuer = &ca };
    struct papers papers = papers_make(&ours), ann = papers_make(&theirs);
    struct certificate certificate = { .leaf = papers.cert, .key = papers.key };
    struct tls_policy_options policy = intermediate();
    struct tls_context *server;

    policy.engine = TLS_ENGINE_NATIVE;
    policy.clients.certificate = TLS_CLIENT_REQUIRED;
    policy.clients.ca.path = "ca.pem";
    policy.clients.depth = 1;
    server = server_context(&policy, &certificate, ca.cert_pem, NULL);
    for (size_t g = 0; g < COUNT_OF(groups); g++)
        for (size_t s = 0; s < COUNT_OF(suites); s++) {
            SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
            unsigned derived_before = derived, encapsulated_before = encapsulated;
            SSL_SESSION *session;

            if (tls_library_has_group(groups[g]) || strchr(groups[g], ':')) { /* OpenSSL 3.0 has no ML-KEM */
                CHECK(SSL_CTX_set1_groups_list(client, groups[g]) == 1 && SSL_CTX_set_ciphersuites(client, suites[s]) == 1);
                CHECK(SSL_CTX_use_certificate(client, ann.cert) == 1 && SSL_CTX_use_PrivateKey(client, ann.key) == 1);
                session = shake(server, client, NULL, 1);
                SSL_SESSION_free(shake(server, client, session, 1));
                SSL_SESSION_free(session);
                CHECK(derived > derived_before); /* something was marked */
                CHECK((encapsulated > encapsulated_before) == (strstr(groups[g], "MLKEM") != NULL));
            }
            SSL_CTX_free(client);
        }
    tls_context_unref(server);
    papers_free(&papers);
    papers_free(&ann);
    papers_free(&ca);
}

int main(int argc, char **argv)
{
    struct multi_buffer library = soft_lanes;
    struct ticket_keys tickets = { 0 };
    SSL_CTX *client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);

    if (argc > 1 && strcmp(argv[1], "--prove") == 0)
        prove();
    CHECK(SSL_CTX_set1_groups_list(client, "X25519") == 1);
    library.x25519_public_key_mb8 = make_pairs;
    library.x25519_mb8 = agree;
    library.nistp256_ecdsa_sign_setup_mb8 = set_up;
    library.nistp256_ecdsa_sign_complete_mb8 = complete;
    library.rsa_private_crt_mb8 = exponentiate;
    thread = (struct tls_thread){ .batch = batch_new(&library), .aeads = aead_cache_new(64) };
    CHECK(thread.batch && thread.aeads && ticket_keys_rotate(&tickets) == 0);
    tickets_install(&tickets);

    thread.batch->random = draw_secret;
    shake_with("P-256", client);
    thread.batch->random = random_bytes; /* a salt of RSASSA-PSS is for everybody to see */
    shake_with("RSA", client);
    for (enum batch_work work = 0; work <= BATCH_RSA_2048; work++)
        CHECK(batch_counts(thread.batch, work)->calls > 0 && batch_counts(thread.batch, work)->singly == 0);

    batch_free(thread.batch);
    thread.batch = batch_new(NULL);
    CHECK(thread.batch);
    shake_through_evp();

    SSL_CTX_free(client);
    aead_cache_free(thread.aeads);
    batch_free(thread.batch);
    puts("each handshake came to its end");
    return 0;
}
