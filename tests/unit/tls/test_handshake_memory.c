/* test_handshake_memory.c: what a handshake of our own engine asks of the allocators, what it does when they have nothing, and what it
 * leaves in memory that it gives back. */
#include "native_pair.h"
#include "papers.h"

#include "tls/handshake_private.h"
#include "tls/openssl.h"

enum {
    HANDSHAKE_BYTES_MOST = 6656, /* a little more than it is */
    OURS_EACH = 2,               /* the session and the handshake */
    /* Of the library, a little more than measured. */
    LIBRARY_FULL_MOST = 100, /* 80 with OpenSSL 3.5, 93 with 3.0 */
    LIBRARY_RESUMED_MOST = 40,
};

/* ---- Allocators that count, fail when they are told to, and look at what comes back ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void __real_free(void *at);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);
void __wrap_free(void *at);

static bool watching; /* only while the server works */
static size_t ours, librarys, fails_at; /* fails_at: the how manieth of both; 0: none */
static const struct handshake *watched;
static unsigned seen_wiped;

static bool fails(size_t *count)
{
    if (!watching)
        return false;
    ++*count;
    return fails_at && ours + librarys == fails_at;
}

void *__wrap_malloc(size_t size)
{
    return fails(&ours) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(&ours) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails(&ours) ? NULL : __real_realloc(at, size);
}

void __wrap_free(void *at)
{
    static const struct handshake zeros;

    if (at && at == watched) {
        assert_memory_equal(at, &zeros, offsetof(struct handshake, signature)); /* behind it there are no secrets */
        watched = NULL;
        seen_wiped++;
    }
    __real_free(at);
}

static void *library_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails(&librarys) ? NULL : __real_malloc(size);
}

static void *library_realloc(void *at, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails(&librarys) ? NULL : __real_realloc(at, size);
}

static void library_free(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    __real_free(at);
}

/* ---- Peers ---- */

static struct arena arena;
static struct ticket_keys ring;
static struct papers ca, staff, server_papers;
static struct certificate leaf;
static struct tls_context *server, *asking;
static SSL_CTX *client;

static int set_up(void **state)
{
    struct tls_policy_options policy = intermediate();
    const char *why;

    arena_init(&arena, NULL, SIZE_MAX);
    visits_begin();
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    ca = papers_make(&(struct papers_wish){ .common_name = "Staff CA", .constraints = "critical,CA:TRUE" });
    staff = papers_make(&(struct papers_wish){ .common_name = "Ann", .issuer = &ca });
    server_papers = papers_make(&(struct papers_wish){ .common_name = "a.test" });
    assert_int_equal(certificate_parse(bytes_of_text(server_papers.cert_pem), bytes_of_text(server_papers.key_pem),
                                       "server", &arena, &leaf, &why), 0);
    server = server_context(&policy, &leaf, NULL, (const char *[]){ NULL });
    policy.clients.certificate = TLS_CLIENT_REQUIRED;
    policy.clients.ca.path = "ca.pem";
    policy.clients.depth = 1;
    asking = server_context(&policy, &leaf, ca.cert_pem, (const char *[]){ NULL });
    client = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    assert_int_equal(SSL_CTX_use_certificate(client, staff.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(client, staff.key), 1);
    return SSL_CTX_set1_groups_list(client, "X25519") == 1 ? 0 : -1;
}

static int tear_down(void **state)
{
    SSL_CTX_free(client);
    tls_context_unref(server);
    tls_context_unref(asking);
    certificate_clear(&leaf);
    papers_free(&server_papers);
    papers_free(&staff);
    papers_free(&ca);
    visits_end();
    arena_reset(&arena);
    return 0;
}

/* Everything that is the server's is watched. Returns whether the handshake went well; the session goes with it. */
static bool watched_visit(struct tls_context *context, SSL_SESSION *resumes, int *ret_result, SSL_SESSION **ret_session)
{
    struct visit v = { .context = context, .client_context = client, .resumes = resumes };
    bool ok = false;

    ours = librarys = 0;
    visit_open(&v);
    for (int round = 0; round < 10 && visit_goes_on(&v); round++) {
        (void)SSL_do_handshake(v.client);
        ERR_clear_error();
        visit_collect(&v);
        while (visit_goes_on(&v) && (v.waiting_bytes || v.result == -E_PENDING)) {
            size_t before = v.waiting_bytes;
            struct bytes in;

            /* As visit_call(), with the test's own needs left out of the count. */
            assert_int_equal(buffer_reserve(v.pool, &v.out), 0);
            if (!v.server) {
                watching = true;
                visit_accept(&v, bytes_of(v.waiting, v.waiting_bytes));
                watching = false;
                watched = v.server ? v.server->native : NULL;
            }
            if (!v.server)
                break;
            in = bytes_of(v.waiting, v.waiting_bytes);
            watching = true;
            if (v.result == -E_PENDING)
                batch_run(visit_thread.batch);
            v.result = tls_session_handshake(v.server, &in, &v.out);
            watching = false;
            if (buffer_used(&v.out))
                (void)BIO_write(SSL_get_rbio(v.client), v.out.data + v.out.start, (int)buffer_used(&v.out));
            buffer_drop(v.pool, &v.out);
            memmove(v.waiting, in.at, in.size);
            v.waiting_bytes = in.size;
            if (v.result == -E_AGAIN && v.waiting_bytes == before)
                break;
        }
    }
    *ret_result = v.result;
    if (v.result == 0) {
        watching = true;
        ok = tls_session_hand_over(v.server, &v.keys);
        watching = false;
    } else if (v.server) {
        tls_session_failure(v.server, &v.failure);
        assert_true(v.failure.reason[0] != '\0');
    }
    if (ok && !fails_at)
        assert_int_equal(SSL_do_handshake(v.client), 1);
    *ret_session = visit_close(&v);
    return ok;
}

static SSL_SESSION *counted_visit(struct tls_context *context, SSL_SESSION *resumes)
{
    SSL_SESSION *session;
    int result;

    assert_true(watched_visit(context, resumes, &result, &session));
    assert_int_equal(result, 0);
    return session;
}

/* ---- The promises ---- */

static void a_handshake_is_one_piece_of_memory_and_the_library_asks_seldom(void **state)
{
    SSL_SESSION *session, *next;

    assert_in_range(sizeof(struct handshake), 1, HANDSHAKE_BYTES_MOST);
    SSL_SESSION_free(counted_visit(server, NULL)); /* what is made once for the process */
    session = counted_visit(server, NULL);
    assert_int_equal(ours, OURS_EACH);
    assert_in_range(librarys, 1, LIBRARY_FULL_MOST);
    next = counted_visit(server, session);
    assert_int_equal(ours, OURS_EACH);
    assert_in_range(librarys, 1, LIBRARY_RESUMED_MOST);
    SSL_SESSION_free(session);
    SSL_SESSION_free(next);
}

static void its_secrets_are_zeros_when_it_is_given_back(void **state)
{
    unsigned before = seen_wiped;
    SSL_SESSION *session;
    struct visit v = { .context = server, .client_context = client };

    SSL_SESSION_free(counted_visit(server, NULL));
    SSL_SESSION_free(counted_visit(asking, NULL));
    assert_int_equal(seen_wiped, before + 2);
    visit_open(&v); /* and in the midst of it: the job is with the batch */
    (void)SSL_do_handshake(v.client);
    ERR_clear_error();
    visit_collect(&v);
    visit_call(&v, v.waiting_bytes);
    assert_int_equal(v.result, -E_PENDING);
    watched = v.server->native;
    session = visit_close(&v);
    assert_int_equal(seen_wiped, before + 3);
    SSL_SESSION_free(session);
}

/* Whatever was asked for in vain: an error, and an end without a leak; or the handshake goes on without it. */
static void fail_each(struct tls_context *context, SSL_SESSION *resumes)
{
    size_t failed = 0, n;

    for (n = 1;; n++) {
        SSL_SESSION *copy = resumes ? SSL_SESSION_dup(resumes) : NULL, *session;
        int result;
        bool ok;

        fails_at = n;
        ok = watched_visit(context, copy, &result, &session);
        fails_at = 0;
        assert_true(batch_is_empty(visit_thread.batch));
        if (!ok && result != 0) {
            assert_true(result == -E_MEMORY || result == -E_CRYPTO || result == -E_CLIENT_CERTIFICATE || result == -E_TLS);
            failed++;
        }
        SSL_SESSION_free(session);
        SSL_SESSION_free(copy);
        if (ours + librarys < n)
            break;
    }
    assert_true(n > 2 && failed > 1);
}

static void without_memory_it_fails_and_leaves_nothing(void **state)
{
    SSL_SESSION *session = counted_visit(server, NULL);

    fail_each(server, NULL);
    fail_each(server, session);
    fail_each(asking, NULL);
    SSL_SESSION_free(session);
    SSL_SESSION_free(counted_visit(server, NULL)); /* and the thread goes on */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_is_one_piece_of_memory_and_the_library_asks_seldom),
        cmocka_unit_test(its_secrets_are_zeros_when_it_is_given_back),
        cmocka_unit_test(without_memory_it_fails_and_leaves_nothing),
    };

    if (CRYPTO_set_mem_functions(library_malloc, library_realloc, library_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
