/* test_handshake_traces.c: sections 3, 5, 6 and 7 of RFC 8448, driven through our engine's machine: the recorded bytes of the client go in,
 * and those of the server come out.
 *
 * What the recorded server drew or chose where we cannot is put in its place (the linker's --wrap): randomness, its key pair, its
 * CertificateVerify, which must be good for the content that we sign; of its ServerHello and EncryptedExtensions the order, and that it
 * names its groups; in section 5 a cookie, which we neither send nor accept. Our flight goes out in two records, since what is there
 * does not wait for the signature: they are opened, and their content is the recorded one (test_key_schedule.c has the recorded records). */
#include "replay.h"

#include "base/buffer.h"
#include "base/check.h"
#include "tls/batch.h"
#include "tls/handshake_private.h"
#include "tls/key_schedule.h"

/* The trace that is played, and what of it is put in place. */
static struct {
    const struct trace *trace;
    struct unhexed hello, server_hello, flight;
    struct bytes encrypted_extensions, certificate_request, certificate, certificate_verify;
    struct record_keys server; /* that the recorded flight was opened with */
    size_t flight_bytes;
    X509 *leaf;
    unsigned randoms, agreements, signatures, clients;
} play;

static struct batch *batch;
static struct aead_cache *cache;

/* ---- In the engine's place: declared here because the linker makes the names ---- */

int __wrap_random_bytes(void *out, size_t size);
void __wrap_key_agreement_start(struct batch *b, struct key_agreement *a);
void __wrap_signer_start(struct batch *b, const struct signer *s, struct signature *sig);
int __real_message_put(struct handshake *h, struct bytes bytes);
int __wrap_message_put(struct handshake *h, struct bytes bytes);
int __real_client_hello_parse(struct bytes message, struct client_hello *ret_hello, uint8_t *ret_alert);
int __wrap_client_hello_parse(struct bytes message, struct client_hello *ret_hello, uint8_t *ret_alert);
int __wrap_X509_verify_cert(X509_STORE_CTX *store);

/* ServerHello's, and nothing else: no ticket is made. */
int __wrap_random_bytes(void *out, size_t size)
{
    assert_int_equal(size, 32);
    assert_int_equal(play.randoms++, 0);
    memcpy(out, play.server_hello.at + 4 + 2, 32);
    return 0;
}

void __wrap_key_agreement_start(struct batch *b, struct key_agreement *a)
{
    struct bytes share = server_share(bytes_of(play.server_hello.at, play.server_hello.size));

    play.agreements++;
    assert_int_equal(a->group, play.trace->group);
    agree(play.trace, a->client_share, share, a->secret);
    a->secret_bytes = 32;
    memcpy(a->share, share.at, share.size);
    a->share_bytes = share.size;
    batch_finish(b, &a->job);
}

/* Good for the content that our machine came to, or for none. */
void __wrap_signer_start(struct batch *b, const struct signer *s, struct signature *sig)
{
    struct bytes recorded = play.certificate_verify;

    play.signatures++;
    assert_true(signer_can(s, sig->scheme));
    assert_int_equal(sig->scheme, recorded.at[4] << 8 | recorded.at[5]);
    assert_true(proves(play.leaf, recorded, sig->content));
    sig->bytes = recorded.size - 8;
    memcpy(sig->value, recorded.at + 8, sig->bytes);
    batch_finish(b, &sig->job);
}

static size_t count_extensions(struct bytes message)
{
    struct cursor c = cursor_of(extensions_of(message));
    size_t count = 0;

    for (; cursor_left(&c); count++) {
        cursor_u16(&c);
        cursor_vector(&c, 2);
    }
    return count;
}

/* Up to the extensions the same, and of those all of ours; `more`: what the recorded one has beyond. */
static void expect_alike(struct bytes ours, struct bytes recorded, size_t more)
{
    struct cursor c = cursor_of(extensions_of(ours));
    size_t head = (size_t)(c.at - ours.at) - 2;

    assert_memory_equal(ours.at, recorded.at, 1);
    assert_memory_equal(ours.at + 4, recorded.at + 4, head - 4);
    while (cursor_left(&c)) {
        uint16_t type = cursor_u16(&c);
        struct cursor content = cursor_vector(&c, 2);
        struct bytes wanted = extension_of(recorded, type);

        assert_non_null(wanted.at);
        assert_true(bytes_equal(bytes_of(content.at, cursor_left(&content)), wanted));
    }
    assert_int_equal(count_extensions(ours) + more, count_extensions(recorded));
}

int __wrap_message_put(struct handshake *h, struct bytes bytes)
{
    struct unhexed retry;

    if (h->last == STEP_CLIENT_HELLO && play.trace->retry_request) {
        retry = hello_of(play.trace->retry_request);
        expect_alike(bytes, bytes_of(retry.at, retry.size), 1); /* cookie */
        return __real_message_put(h, bytes_of(retry.at, retry.size));
    }
    if (h->last == STEP_CLIENT_HELLO || h->last == STEP_SECOND_CLIENT_HELLO) {
        expect_alike(bytes, bytes_of(play.server_hello.at, play.server_hello.size), 0);
        return __real_message_put(h, bytes_of(play.server_hello.at, play.server_hello.size));
    }
    if (h->last == STEP_SERVER_HELLO) {
        expect_alike(bytes, play.encrypted_extensions, 1); /* supported_groups */
        return __real_message_put(h, play.encrypted_extensions);
    }
    return __real_message_put(h, bytes);
}

int __wrap_client_hello_parse(struct bytes message, struct client_hello *ret_hello, uint8_t *ret_alert)
{
    int error = __real_client_hello_parse(message, ret_hello, ret_alert);

    if (play.trace->retry_request)
        ret_hello->has_cookie = false;
    return error;
}

/* The recorded certificates' keys are too short and their time is over. */
int __wrap_X509_verify_cert(X509_STORE_CTX *store)
{
    assert_non_null(X509_STORE_CTX_get0_cert(store));
    play.clients++;
    return 1;
}

/* ---- The recorded server's messages, out of its flight ---- */

static void start_play(const struct trace *t)
{
    struct key_schedule k;
    struct client_hello parsed;
    struct traffic_keys keys = { .version = 0x0304, .aead = AEAD_AES_128_GCM, .secret_bytes = 32 };
    struct record_keys opening = { .version = 0x0304, .aead = AEAD_AES_128_GCM };
    struct unhexed record = unhex(t->server_flight), first, retry;
    struct bytes flight;
    enum content_type type;
    uint8_t alert, secret[32];
    int n;

    memset(&play, 0, sizeof play);
    play.trace = t;
    play.hello = hello_of(t->hello);
    play.server_hello = hello_of(t->server_hello);
    assert_int_equal(__real_client_hello_parse(bytes_of(play.hello.at, play.hello.size), &parsed, &alert), 0);
    agree(t, client_hello_share(&parsed, t->group),
          server_share(bytes_of(play.server_hello.at, play.server_hello.size)), secret);
    key_schedule_start(&k, HASH_SHA256);
    if (t->first_hello) {
        first = hello_of(t->first_hello);
        retry = hello_of(t->retry_request);
        key_schedule_add(&k, bytes_of(first.at, first.size));
        key_schedule_retry(&k);
        key_schedule_add(&k, bytes_of(retry.at, retry.size));
    }
    key_schedule_add(&k, bytes_of(play.hello.at, play.hello.size));
    key_schedule_add(&k, bytes_of(play.server_hello.at, play.server_hello.size));
    key_schedule_enter_handshake(&k, bytes_of(secret, sizeof secret));
    memcpy(keys.read.secret, k.server, 32);
    traffic_key_expand(&keys, &keys.read);
    opening.key = keys.read;
    n = record_open(cache, &opening, bytes_of(record.at, record.size), play.flight.at, &type);
    aead_release(cache, &opening.holder);
    assert_true(n > 0);
    play.server = (struct record_keys){ .key = keys.read, .version = 0x0304, .aead = AEAD_AES_128_GCM };
    play.flight_bytes = (size_t)n;
    flight = bytes_of(play.flight.at, (size_t)n);
    while (flight.size) {
        struct bytes message = next_message(&flight);

        switch (message.at[0]) {
        case HANDSHAKE_ENCRYPTED_EXTENSIONS:
            play.encrypted_extensions = message;
            break;
        case HANDSHAKE_CERTIFICATE_REQUEST:
            play.certificate_request = message;
            break;
        case HANDSHAKE_CERTIFICATE:
            play.certificate = message;
            play.leaf = leaf_of(message);
            break;
        case HANDSHAKE_CERTIFICATE_VERIFY:
            play.certificate_verify = message;
            break;
        default:
            break;
        }
    }
}

/* A context with the recorded certificate. Its key is another one, which is never used. */
static struct native_context *make_context(void)
{
    EVP_PKEY *key = EVP_PKEY_get_base_id(X509_get0_pubkey(play.leaf)) == EVP_PKEY_EC ? EVP_EC_gen("P-256")
                                                                                    : EVP_RSA_gen(2048);
    bool asks = play.certificate_request.size > 0;
    struct tls_policy_options policy = {
        .name = "recorded",
        .profile = TLS_PROFILE_INTERMEDIATE,
        .groups = play.trace->group == GROUP_P256 ? "P-256" : NULL,
        .clients = { .certificate = asks ? TLS_CLIENT_REQUIRED : TLS_CLIENT_OFF, .ca = { "ca.pem" }, .depth = 1 },
    };
    struct tls_server_parts parts = { .policy = &policy, .leaf = play.leaf, .key = key };
    X509_STORE *roots = X509_STORE_new();
    struct native_context *context = native_context_new(&parts, BYTES_NONE, roots, NULL);
    uint8_t *request;

    assert_non_null(context);
    /* Certificate is ours, out of the same certificate. */
    assert_true(bytes_equal(context->certificates[0].as[COMPRESSION_NONE], play.certificate));
    if (asks) {
        free((void *)context->certificate_request.at);
        request = malloc(play.certificate_request.size);
        memcpy(request, play.certificate_request.at, play.certificate_request.size);
        context->certificate_request = bytes_of(request, play.certificate_request.size);
    }
    EVP_PKEY_free(key);
    X509_STORE_free(roots);
    return context;
}

/* ---- The machine ---- */

static void ready(struct tls_waiter *w)
{
    (void)w;
}

/* So many bytes at a time, until it wants more. Returns what the machine says. */
static int feed(struct handshake *h, struct bytes all, size_t at_once, struct buffer *out)
{
    size_t given = 0, taken = 0;
    int result = -E_AGAIN;

    while (result == -E_PENDING || (result == -E_AGAIN && given < all.size)) {
        struct bytes in;

        if (result == -E_PENDING)
            batch_run(batch);
        else
            given += all.size - given < at_once ? all.size - given : at_once;
        in = bytes_part(all, taken, given - taken);
        result = handshake_run(h, &in, out);
        taken = given - in.size;
    }
    assert_int_equal(taken, all.size);
    return result;
}

/* The records before our flight, and behind them (unless it is none yet) that. */
static void expect_records(const struct buffer *out, const char *const *records, bool has_flight)
{
    struct bytes sent = buffer_content(out);
    uint8_t content[2048];
    enum content_type type;
    size_t bytes = 0;

    for (; *records; records++) {
        struct unhexed record = unhex(*records);

        assert_true(sent.size >= record.size);
        assert_memory_equal(sent.at, record.at, record.size);
        sent = bytes_from(sent, record.size);
    }
    while (has_flight && sent.size) {
        size_t size = record_size(sent.at);
        int n = record_open(cache, &play.server, bytes_part(sent, 0, size), content + bytes, &type);

        assert_true(n > 0);
        assert_int_equal(type, CONTENT_HANDSHAKE);
        bytes += (size_t)n;
        sent = bytes_from(sent, size);
    }
    assert_int_equal(sent.size, 0);
    assert_int_equal(bytes, has_flight ? play.flight_bytes : 0);
    assert_memory_equal(content, play.flight.at, bytes);
    aead_release(cache, &play.server.holder);
}

/* The goodbyes are those recorded: the keys are. */
static void expect_keys(struct handshake *h, const struct trace *t)
{
    struct traffic_keys keys;
    struct record_keys reading = { .version = 0x0304, .aead = AEAD_AES_128_GCM }, writing = reading;
    struct unhexed client = unhex(t->client_close), server = unhex(t->server_close);
    uint8_t content[1024];
    enum content_type type;

    handshake_keys(h, &keys);
    assert_int_equal(keys.aead, AEAD_AES_128_GCM);
    assert_int_equal(keys.read.sequence, 0);
    assert_int_equal(keys.write.sequence, 0);
    reading.key = keys.read;
    reading.key.sequence = t->client_records;
    writing.key = keys.write;
    writing.key.sequence = t->server_records;
    writing.is_sealing = true;
    assert_int_equal(record_open(cache, &reading, bytes_of(client.at, client.size), content, &type), 2);
    assert_int_equal(type, CONTENT_ALERT);
    assert_int_equal(record_seal(cache, &writing, CONTENT_ALERT, bytes_of(content, 2), content + 16), server.size);
    assert_memory_equal(content + 16, server.at, server.size);
    aead_release(cache, &reading.holder);
    aead_release(cache, &writing.holder);
    traffic_keys_wipe(&keys);
}

static void run_trace(const struct trace *t, const char *const *sent_first, const char *const *sent, bool client_changes,
                      size_t at_once)
{
    struct tls_waiter waiter = { ready };
    struct tls_thread thread = { batch, cache };
    struct tls_session_parts parts = { BYTES_LITERAL("host"), &thread, &waiter, 1000000 };
    struct buffer_pool *pool = buffer_pool_new(1 << 20);
    struct buffer out = { 0 };
    struct unhexed hello = unhex(t->first_hello ? t->first_hello : t->hello), second, last = unhex(t->client_flight);
    struct native_context *context;
    struct client_hello parsed;
    struct handshake *h;
    struct arena arena;
    uint8_t alert = 0;

    start_play(t);
    context = make_context();
    arena_init(&arena, NULL, SIZE_MAX);
    assert_int_equal(client_hello_read(bytes_of(hello.at, hello.size), &arena, &parsed, &alert), 0);
    assert_true(handshake_speaks(context, &parsed));
    h = handshake_new(context, &parsed, &parts);
    assert_non_null(h);
    assert_int_equal(buffer_reserve(pool, &out), 0);

    assert_int_equal(feed(h, bytes_of(hello.at, hello.size), SIZE_MAX, &out), -E_AGAIN);
    expect_records(&out, sent_first, !t->first_hello);
    if (t->first_hello) {
        buffer_consume(&out, buffer_used(&out));
        second = unhex(t->hello);
        assert_int_equal(feed(h, bytes_of(second.at, second.size), at_once, &out), -E_AGAIN);
        expect_records(&out, sent, true);
    }
    buffer_consume(&out, buffer_used(&out));
    if (client_changes)
        assert_int_equal(feed(h, bytes_of(UNHEX("14 03 03 00 01 01")->at, 6), at_once, &out), -E_AGAIN);
    assert_int_equal(feed(h, bytes_of(last.at, last.size), at_once, &out), 0);
    assert_int_equal(buffer_used(&out), 0);
    expect_keys(h, t);
    assert_int_equal(play.randoms, 1);
    assert_int_equal(play.agreements, 1);
    assert_int_equal(play.signatures, 1);
    assert_int_equal(play.clients, play.certificate_request.size > 0);

    handshake_free(h);
    arena_reset(&arena);
    buffer_drop(pool, &out);
    buffer_pool_free(pool);
    native_context_free(context);
    X509_free(play.leaf);
}

static void run_simple(const struct trace *t)
{
    const char *const sent[] = { t->server_hello, NULL };

    for (size_t at_once = 1; at_once < 2000; at_once = at_once * 3 + 1)
        run_trace(t, sent, NULL, false, at_once);
}

static void section_3_goes_through_the_machine(void **state)
{
    run_simple(&trace_simple);
}

static void section_5_goes_through_the_machine_with_its_retry(void **state)
{
    const char *const retry[] = { trace_retry.retry_request, NULL };
    const char *const sent[] = { trace_retry.server_hello, NULL };

    run_trace(&trace_retry, retry, sent, false, SIZE_MAX);
    run_trace(&trace_retry, retry, sent, false, 1);
}

/* RFC 8446 4.1.2: random, a suite, the name. */
static void section_5_with_a_second_hello_that_differs_is_refused(void **state)
{
    static const size_t places[] = { 5 + 4 + 2 + 7, 5 + 4 + 2 + 32 + 1 + 2 + 1, 5 + 4 + 2 + 32 + 1 + 2 + 6 + 2 + 2 + 4 + 5 + 3 };
    struct tls_waiter waiter = { ready };
    struct tls_thread thread = { batch, cache };
    struct tls_session_parts parts = { BYTES_LITERAL("host"), &thread, &waiter, 1000000 };
    struct unhexed hello = unhex(trace_retry.first_hello), second;
    struct buffer_pool *pool = buffer_pool_new(1 << 20);
    struct buffer out = { 0 };
    struct native_context *context;
    struct client_hello parsed;
    struct tls_failure failure;
    struct arena arena;
    uint8_t alert = 0;

    start_play(&trace_retry);
    context = make_context();
    arena_init(&arena, NULL, SIZE_MAX);
    assert_int_equal(buffer_reserve(pool, &out), 0);
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct handshake *h;

        assert_int_equal(client_hello_read(bytes_of(hello.at, hello.size), &arena, &parsed, &alert), 0);
        h = handshake_new(context, &parsed, &parts);
        assert_non_null(h);
        assert_int_equal(feed(h, bytes_of(hello.at, hello.size), SIZE_MAX, &out), -E_AGAIN);
        second = unhex(trace_retry.hello);
        second.at[places[i]] ^= 1;
        assert_int_equal(feed(h, bytes_of(second.at, second.size), SIZE_MAX, &out), -E_TLS);
        handshake_failure(h, &failure);
        assert_int_equal(failure.alert, ALERT_ILLEGAL_PARAMETER);
        handshake_free(h);
    }
    arena_reset(&arena);
    buffer_drop(pool, &out);
    buffer_pool_free(pool);
    native_context_free(context);
    X509_free(play.leaf);
}

static void section_6_goes_through_the_machine_and_its_client_proves_its_key(void **state)
{
    run_simple(&trace_client_authentication);
}

static void section_7_goes_through_the_machine_with_change_cipher_spec_both_ways(void **state)
{
    const char *const sent[] = { trace_compatible.server_hello, "14 03 03 00 01 01", NULL };

    run_trace(&trace_compatible, sent, NULL, true, SIZE_MAX);
    run_trace(&trace_compatible, sent, NULL, true, 1);
    run_trace(&trace_compatible, sent, NULL, false, 1); /* that of the client may be missing */
}

static int set_up(void **state)
{
    batch = batch_new(NULL);
    cache = aead_cache_new(8);
    return batch && cache ? 0 : -1;
}

static int tear_down(void **state)
{
    batch_free(batch);
    aead_cache_free(cache);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_3_goes_through_the_machine),
        cmocka_unit_test(section_5_goes_through_the_machine_with_its_retry),
        cmocka_unit_test(section_5_with_a_second_hello_that_differs_is_refused),
        cmocka_unit_test(section_6_goes_through_the_machine_and_its_client_proves_its_key),
        cmocka_unit_test(section_7_goes_through_the_machine_with_change_cipher_spec_both_ways),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
