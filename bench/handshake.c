/* handshake: what the server's side of a TLS 1.3 handshake costs in memory: microseconds of processor time of our calls, from the
 * ClientHello's bytes to the keys and the session's end. The clients are OpenSSL's, in this process; what they take is not counted.
 * Handshakes are done one at a time and eight together, as when eight ClientHellos are read in one turn of the event loop; by our
 * engine with the multi-buffer library and without it, and by OpenSSL behind the same calls.
 * usage: handshake [--json] [-n HANDSHAKES] [WHAT [ENGINE [TOGETHER]]]
 * WHAT: full, resumed, mlkem, rsa; ENGINE: native (with the library), plain (without), openssl; "all" for either. -n: of each figure. */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "tls/aead.h"
#include "tls/batch.h"
#include "tls/key_share.h"
#include "tls/memory.h"
#include "tls/multi_buffer.h"
#include "tls/session.h"
#include "tls/tickets.h"

enum { MOST = 32, ROUNDS = 5 };

/* ---- Both sides ---- */

struct kind {
    const char *name, *words, *group;
    bool is_rsa, resumes;
    SSL_CTX *clients;
    SSL_SESSION *session;           /* the newest; NULL: none */
    struct tls_context *servers[2]; /* of our engine, of OpenSSL */
};

static struct kind kinds[] = {
    { .name = "full", .words = "full, ECDSA P-256, X25519", .group = "X25519" },
    { .name = "resumed", .words = "resumed, X25519", .group = "X25519", .resumes = true },
    { .name = "mlkem", .words = "full, ECDSA P-256, X25519MLKEM768", .group = "X25519MLKEM768" },
    { .name = "rsa", .words = "full, RSA-2048, X25519", .group = "X25519", .is_rsa = true },
};

/* Who makes the server's handshakes. */
struct maker {
    const char *name, *words;
    bool is_openssl;
    struct tls_thread thread;
};

struct connection {
    struct tls_waiter waiter;
    struct tls_session *session;
    SSL *client;
    uint8_t received[16384];
    struct bytes in;
    struct buffer out;
    int result; /* of the last handshake call */
};

static struct buffer_pool *pool;
static struct arena_cache arenas;
static struct connection connections[MOST];

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct kind *k = SSL_get_app_data(ssl);

    SSL_SESSION_free(k->session);
    k->session = session;
    return 1;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *c = X509_new();
    X509_NAME *name = X509_get_subject_name(c);

    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0) == 1);
    CHECK(X509_set_version(c, X509_VERSION_3) == 1 && X509_set_issuer_name(c, name) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), 0);
    X509_gmtime_adj(X509_getm_notAfter(c), 86400);
    CHECK(X509_set_pubkey(c, key) == 1 && X509_sign(c, key, EVP_sha256()) > 0);
    return c;
}

static void prepare(struct kind *k)
{
    EVP_PKEY *key = k->is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *leaf = make_certificate(key);
    const char *why = NULL;

    for (int i = 0; i < 2; i++) {
        struct tls_policy_options policy = { .name = "bench",
                                             .profile = TLS_PROFILE_INTERMEDIATE,
                                             .tickets = true,
                                             .engine = i ? TLS_ENGINE_OPENSSL : TLS_ENGINE_NATIVE };
        struct tls_server_parts parts = { .policy = &policy, .leaf = leaf, .key = key };

        k->servers[i] = tls_context_new_server(&parts, &why);
        if (!k->servers[i]) {
            fprintf(stderr, "handshake: %s\n", why);
            exit(1);
        }
    }
    X509_free(leaf);
    EVP_PKEY_free(key);
    k->clients = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(k->clients, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(k->clients, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(k->clients, keep_session);
    CHECK(SSL_CTX_set_ciphersuites(k->clients, "TLS_AES_128_GCM_SHA256") == 1);
    CHECK(SSL_CTX_set1_groups_list(k->clients, k->group) == 1);
}

/* ---- The clients' part ---- */

/* What the client wrote is what the server has received. */
static void collect(struct connection *c)
{
    int n = BIO_read(SSL_get_wbio(c->client), c->received, sizeof c->received);

    CHECK(n > 0);
    c->in = bytes_of(c->received, (size_t)n);
}

static void say_hello(struct connection *c, struct kind *k)
{
    c->client = SSL_new(k->clients);
    SSL_set_app_data(c->client, (void *)k);
    SSL_set_bio(c->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(c->client, "localhost");
    SSL_set_connect_state(c->client);
    if (k->resumes && k->session) { /* a copy: OpenSSL uses a session once */
        SSL_SESSION *copy = SSL_SESSION_dup(k->session);

        SSL_set_session(c->client, copy);
        SSL_SESSION_free(copy);
    }
    CHECK(SSL_do_handshake(c->client) != 1);
    collect(c);
}

static void hand_to_client(struct connection *c)
{
    struct bytes content = buffer_content(&c->out);

    CHECK(BIO_write(SSL_get_rbio(c->client), content.at, (int)content.size) == (int)content.size);
    buffer_consume(&c->out, content.size);
}

static void finish(struct connection *c)
{
    hand_to_client(c);
    if (SSL_do_handshake(c->client) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    collect(c);
}

/* The ticket comes behind the handshake. */
static void say_goodbye(struct connection *c, const struct kind *k, bool was_resumable)
{
    char byte;

    hand_to_client(c);
    CHECK(SSL_read(c->client, &byte, 1) <= 0);
    CHECK(!!SSL_session_reused(c->client) == (k->resumes && was_resumable));
    SSL_set_shutdown(c->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else OpenSSL spoils the session */
    SSL_free(c->client);
}

/* ---- The server's part: all of it is counted ---- */

static void go_on(struct tls_waiter *w)
{
    struct connection *c = CONTAINER_OF(w, struct connection, waiter);

    c->result = tls_session_handshake(c->session, &c->in, &c->out);
}

static void serve_hello(struct connection *c, const struct maker *maker, struct kind *k)
{
    struct tls_session_parts parts = { .binding = BYTES_LITERAL("a virtual host, its policy, its authorities"),
                                       .thread = &maker->thread,
                                       .waiter = &c->waiter,
                                       .now = time(NULL) };
    struct client_hello hello;
    struct arena arena;
    uint8_t alert;

    arena_init(&arena, &arenas, CLIENT_HELLO_MOST + ARENA_BLOCK);
    CHECK(buffer_reserve(pool, &c->out) == 0);
    CHECK(client_hello_read(c->in, &arena, &hello, &alert) == 0);
    c->waiter.ready = go_on;
    c->session = tls_session_accept(k->servers[maker->is_openssl], &hello, &parts);
    CHECK(c->session);
    arena_reset(&arena);
    c->result = tls_session_handshake(c->session, &c->in, &c->out);
}

static void serve_finished(struct connection *c)
{
    struct traffic_keys keys;
    struct tls_facts facts;
    int error = tls_session_handshake(c->session, &c->in, &c->out);

    if (error) {
        struct tls_failure failure;

        tls_session_failure(c->session, &failure);
        fprintf(stderr, "handshake: %s\n", failure.reason);
        exit(1);
    }
    tls_session_facts(c->session, &facts);
    CHECK(tls_session_hand_over(c->session, &keys));
    traffic_keys_wipe(&keys);
    tls_session_free(c->session);
}

/* Apart, so that a profiler can be told to look at nothing else (callgrind: --toggle-collect). */
__attribute__((noinline)) static void serve_hellos(struct kind *k, const struct maker *maker, int together)
{
    for (int i = 0; i < together; i++)
        serve_hello(&connections[i], maker, k);
    batch_run(maker->thread.batch);
}

__attribute__((noinline)) static void serve_finisheds(int together)
{
    for (int i = 0; i < together; i++)
        serve_finished(&connections[i]);
}

/* ---- Measuring ---- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* So many handshakes together; microseconds of each for the server. */
static double one_lot(struct kind *k, const struct maker *maker, int together)
{
    bool was_resumable = k->session != NULL;
    double start, spent;

    for (int i = 0; i < together; i++)
        say_hello(&connections[i], k);
    start = now();
    serve_hellos(k, maker, together);
    spent = now() - start;
    for (int i = 0; i < together; i++) {
        CHECK(connections[i].result == -E_AGAIN);
        finish(&connections[i]);
    }
    start = now();
    serve_finisheds(together);
    spent += now() - start;
    for (int i = 0; i < together; i++) {
        say_goodbye(&connections[i], k, was_resumable);
        buffer_drop(pool, &connections[i].out);
    }
    return spent / together;
}

struct figure {
    struct kind *kind;
    const struct maker *maker;
    int together;
    double *us; /* of each lot */
    size_t lots;
    struct batch_counts counts[BATCH_WORKS];
};

static void measure(struct figure *f, size_t lots)
{
    struct batch_counts before[BATCH_WORKS];

    SSL_SESSION_free(f->kind->session); /* it may be one of another engine's */
    f->kind->session = NULL;
    for (int i = 0; i < 4; i++)
        one_lot(f->kind, f->maker, f->together);
    for (enum batch_work w = 0; w < BATCH_WORKS; w++)
        before[w] = *batch_counts(f->maker->thread.batch, w);
    for (size_t i = 0; i < lots; i++)
        f->us[f->lots++] = one_lot(f->kind, f->maker, f->together);
    for (enum batch_work w = 0; w < BATCH_WORKS; w++) {
        const struct batch_counts *after = batch_counts(f->maker->thread.batch, w);

        f->counts[w].calls += after->calls - before[w].calls;
        f->counts[w].lanes += after->lanes - before[w].lanes;
        f->counts[w].singly += after->singly - before[w].singly;
    }
}

static int compare(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* ---- Telling ---- */

static void print_lanes(const struct figure *f, const char *format, const char *between)
{
    const char *separator = "";

    for (enum batch_work w = 0; w < BATCH_WORKS; w++)
        if (f->counts[w].calls) {
            printf("%s", separator);
            printf(format, batch_work_name(w), (double)f->counts[w].lanes / (double)f->counts[w].calls);
            separator = between;
        }
}

static void tell(const struct figure *figures, size_t count, bool as_json)
{
    if (as_json)
        printf("{\"multi_buffer\": %s, \"library\": \"%s\", \"figures\": [", multi_buffer() ? "true" : "false",
               tls_library_version());
    else
        printf("us of the server's processor time per handshake; multi-buffer library: %s; %s\n%-34s %-22s %8s %8s %8s "
               " %s\n",
               multi_buffer() ? "yes" : multi_buffer_absence(), tls_library_version(), "", "engine", "together",
               "median", "least", "lanes per call of the library");
    for (size_t i = 0; i < count; i++) {
        const struct figure *f = &figures[i];

        qsort(f->us, f->lots, sizeof *f->us, compare);
        printf(as_json ? "%s\n{\"what\": \"%s\", \"engine\": \"%s\", \"together\": %d, \"median_us\": %.2f, "
                         "\"least_us\": %.2f, "
                         "\"lanes\": {"
                       : "%s%-34s %-22s %8d %8.1f %8.1f  ",
               as_json && i ? "," : "", as_json ? f->kind->name : f->kind->words,
               as_json ? f->maker->name : f->maker->words, f->together, f->us[f->lots / 2], f->us[0]);
        print_lanes(f, as_json ? "\"%s\": %.2f" : "%s %.1f", ", ");
        printf(as_json ? "}}" : "\n");
    }
    printf(as_json ? "]}\n" : "");
}

static bool is_chosen(const char *chosen, const char *name)
{
    return !chosen || strcmp(chosen, "all") == 0 || strcmp(chosen, name) == 0;
}

int main(int argc, char **argv)
{
    static const struct multi_buffer *library;
    struct aead_cache *aeads = aead_cache_new(AEAD_CONTEXTS);
    struct ticket_keys ring = { 0 };
    struct figure figures[COUNT_OF(kinds) * 8] = { 0 };
    size_t count = 0, lots, handshakes = 2000;
    bool as_json = false;
    int option;

    if (argc > 1 && strcmp(argv[1], "--json") == 0) {
        as_json = true;
        argv[1] = argv[0];
        argv++, argc--;
    }
    while ((option = getopt(argc, argv, "n:")) > 0) {
        if (option != 'n' || strtoul(optarg, NULL, 10) == 0)
            return 1;
        handshakes = strtoul(optarg, NULL, 10);
    }
    argv += optind;
    argc -= optind;
    tls_memory_init();
    tls_memory_keep(true); /* as in a worker's threads */
    pool = buffer_pool_new(MOST * BUFFER_LARGE);
    library = multi_buffer();
    CHECK(aeads && pool && ticket_keys_rotate(&ring) == 0);
    tickets_install(&ring);

    struct maker makers[] = {
        { "native", "ours, multi-buffer", false, { batch_new(library), aeads } },
        { "plain", "ours, OpenSSL's keys", false, { batch_new(NULL), aeads } },
        { "openssl", "OpenSSL's", true, { batch_new(NULL), aeads } },
    };

    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        if (!is_chosen(argc > 0 ? argv[0] : NULL, kinds[k].name) || !tls_library_has_group(kinds[k].group))
            continue;
        prepare(&kinds[k]);
        for (size_t m = 0; m < COUNT_OF(makers); m++) {
            if (!is_chosen(argc > 1 ? argv[1] : NULL, makers[m].name) || (m == 0 && !library))
                continue;
            for (int together = 1; together <= 8; together += 7) {
                int wanted = argc > 2 ? atoi(argv[2]) : together;

                if (wanted < 1 || wanted > MOST || (argc > 2 && together > 1))
                    continue;
                figures[count++] =
                    (struct figure){ .kind = &kinds[k],
                                     .maker = &makers[m],
                                     .together = wanted,
                                     .us = calloc(handshakes / (size_t)wanted + ROUNDS + 1, sizeof(double)) };
            }
        }
    }
    for (int round = 0; round < ROUNDS; round++) /* interleaved: what comes and goes meets all of them */
        for (size_t i = 0; i < count; i++) {
            lots = handshakes / ROUNDS / (size_t)figures[i].together;
            measure(&figures[i], lots ? lots : 1);
        }
    tell(figures, count, as_json);
    return 0;
}
