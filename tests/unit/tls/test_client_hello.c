#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "base/check.h"
#include "tls/client_hello.h"

/* A ClientHello under construction, in one buffer: the message first, then its records. */
struct wire {
    uint8_t at[80000];
    size_t size;
};

static struct arena arena;

static void put(struct wire *w, const void *bytes, size_t size)
{
    assert_true(size <= sizeof w->at - w->size);
    memcpy(w->at + w->size, bytes, size);
    w->size += size;
}

static void put_number(struct wire *w, size_t number, int bytes)
{
    while (bytes-- > 0) {
        uint8_t byte = (uint8_t)(number >> 8 * bytes);
        put(w, &byte, 1);
    }
}

struct extension {
    unsigned type;
    struct bytes content;
};

#define X(type_, text) \
    { \
        type_, BYTES_LITERAL(text) \
    }
#define SNI(text) X(0, text)

/* The message: version 3.3, 32 bytes of random, no session id, two suites, null compression, these extensions. */
static void put_hello(struct wire *w, const struct extension *extensions, size_t count)
{
    struct wire *body = calloc(1, sizeof *body), *list = calloc(1, sizeof *list);

    assert_true(body && list);
    for (size_t i = 0; i < count; i++) {
        put_number(list, extensions[i].type, 2);
        put_number(list, extensions[i].content.size, 2);
        put(list, extensions[i].content.at, extensions[i].content.size);
    }
    put_number(body, 0x0303, 2);
    for (int i = 0; i < 32; i++)
        put_number(body, 0xa0 + i % 16, 1);
    put(body, "\0\0\4\x13\1\xc0\x2f\1\0", 9);
    if (count) {
        put_number(body, list->size, 2);
        put(body, list->at, list->size);
    }
    put_number(w, 1, 1);
    put_number(w, body->size, 3);
    put(w, body->at, body->size);
    free(body);
    free(list);
}

/* The message in records of at most `piece` bytes. */
static void put_records(struct wire *w, const struct wire *message, size_t piece)
{
    for (size_t at = 0; at < message->size; at += piece) {
        size_t n = message->size - at < piece ? message->size - at : piece;
        put(w, "\x16\3\1", 3);
        put_number(w, n, 2);
        put(w, message->at + at, n);
    }
}

static int read_wire(const struct wire *w, struct client_hello *h, uint8_t *alert)
{
    /* Exactly as large as it says, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(w->size ? w->size : 1);
    int result;

    memcpy(copy, w->at, w->size);
    result = client_hello_read(bytes_of(copy, w->size), &arena, h, alert);
    free(copy);
    return result;
}

/* The result for a message with these extensions; the alert, if that was it. */
static int judge(const struct extension *extensions, size_t count)
{
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert = 0;

    put_hello(message, extensions, count);
    put_records(wire, message, 16384);
    int result = read_wire(wire, &h, &alert);
    free(message);
    free(wire);
    return result == -E_TLS ? alert : result;
}

#define JUDGE(...) judge((struct extension[]){ __VA_ARGS__ }, COUNT_OF(((struct extension[]){ __VA_ARGS__ })))

static int judge_bytes(const void *bytes, size_t size)
{
    struct wire *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert = 0;

    put(wire, bytes, size);
    int result = read_wire(wire, &h, &alert);
    free(wire);
    return result == -E_TLS ? alert : result;
}

#define JUDGE_BYTES(text) judge_bytes(text, sizeof(text) - 1)

/* One identity of one byte, its age, and a binder of 32 bytes. */
#define PSK \
    "\0\7\0\1x\0\0\0\0" \
    "\0\x21\x20" \
    "0123456789abcdef0123456789abcdef"

static void reads_what_choices_need(void **state)
{
    static const struct extension extensions[] = {
        X(0x0a0a, ""),
        SNI("\0\x12\0\0\x0fWWW.Example.ORG"),
        X(16, "\0\x0c\2h2\x8http/1.1"),
        X(43, "\4\3\4\3\3"),
        X(10, "\0\4\x11\xec\0\x1d"),
        X(13, "\0\4\4\3\x8\4"),
        X(50, "\0\2\4\1"),
        X(51, "\0\5\0\x1d\0\1x"),
        X(5, "\1\0\0\0\0"),
        X(0xfafa, "anything"),
        X(42, ""),
        X(41, PSK),
    };
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert;

    put_hello(message, extensions, COUNT_OF(extensions));
    put_records(wire, message, 16384);
    put(wire, "trailing", 8); /* belongs to whoever comes next */
    assert_int_equal(client_hello_read(bytes_of(wire->at, wire->size), &arena, &h, &alert), 0);
    assert_int_equal(h.wire_bytes, wire->size - 8);
    assert_ptr_equal(h.message.at, wire->at + 5);
    assert_int_equal(h.message.size, message->size);
    assert_int_equal(h.legacy_version, 0x0303);
    assert_int_equal(h.random.size, 32);
    assert_true(h.has_server_name);
    assert_string_equal(h.server_name.text, "www.example.org");
    assert_true(bytes_equal_text(h.server_name_wire, "WWW.Example.ORG"));
    assert_int_equal(h.alpn.size, 12);
    assert_true(client_hello_offers_version(&h, 0x0304) && client_hello_offers_version(&h, 0x0303));
    assert_false(client_hello_offers_version(&h, 0x0302));
    assert_true(client_hello_offers_suite(&h, 0x1301) && client_hello_offers_suite(&h, 0xc02f));
    assert_false(client_hello_offers_suite(&h, 0x01c0)); /* across two */
    assert_true(client_hello_offers_group(&h, 0x11ec) && client_hello_offers_group(&h, 29));
    assert_true(client_hello_offers_signature(&h, 0x0403) && !client_hello_offers_signature(&h, 0x0401));
    assert_int_equal(h.signature_algorithms_cert.size, 2);
    assert_int_equal(h.key_shares.size, 5);
    assert_true(h.has_pre_shared_key && h.has_early_data && h.has_status_request);
    free(message);
    free(wire);
}

static void without_extensions_the_old_version_counts(void **state)
{
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert;

    put_hello(message, NULL, 0);
    put_records(wire, message, 16384);
    assert_int_equal(client_hello_read(bytes_of(wire->at, wire->size), &arena, &h, &alert), 0);
    assert_true(client_hello_offers_version(&h, 0x0303) && client_hello_offers_version(&h, 0x0302));
    assert_false(client_hello_offers_version(&h, 0x0304) || h.has_server_name);
    assert_false(client_hello_offers_group(&h, 29) || client_hello_offers_signature(&h, 0x0403));
    free(message);
    free(wire);
}

static void every_split_into_records_and_segments_gives_the_same(void **state)
{
    static const struct extension extensions[] = { SNI("\0\x12\0\0\x0fwww.example.org"), X(43, "\2\3\4") };
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);

    put_hello(message, extensions, COUNT_OF(extensions));
    for (size_t piece = 1; piece <= message->size; piece++) {
        struct client_hello h;
        uint8_t alert = 0;

        wire->size = 0;
        put_records(wire, message, piece);
        size_t whole = wire->size;
        for (wire->size = 0; wire->size < whole; wire->size++)
            assert_int_equal(read_wire(wire, &h, &alert), -E_AGAIN);
        assert_int_equal(client_hello_read(bytes_of(wire->at, whole), &arena, &h, &alert), 0);
        assert_int_equal(h.message.size, message->size);
        assert_memory_equal(h.message.at, message->at, message->size);
        assert_string_equal(h.server_name.text, "www.example.org");
        assert_int_equal(h.wire_bytes, whole);
        arena_reset(&arena);
    }
    free(message);
    free(wire);
}

static void what_is_not_tls_is_told_from_its_first_bytes(void **state)
{
    assert_int_equal(JUDGE_BYTES(""), -E_AGAIN);
    assert_int_equal(JUDGE_BYTES("G"), -E_NOT_TLS);
    assert_int_equal(JUDGE_BYTES("GET / HTTP/1.1\r\n"), -E_NOT_TLS);
    assert_int_equal(JUDGE_BYTES("\x80\x2e\1\3\1"), -E_NOT_TLS); /* SSLv2's hello */
    assert_int_equal(JUDGE_BYTES("\x16\2"), -E_NOT_TLS);
    assert_int_equal(JUDGE_BYTES("\x16"), -E_AGAIN);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\1\0"), -E_AGAIN);
}

static void other_records_first_are_unexpected(void **state)
{
    assert_int_equal(JUDGE_BYTES("\x14\3\3\0\1\1"), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(JUDGE_BYTES("\x15\3\3\0\2\2\x28"), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(JUDGE_BYTES("\x17\3\3\0\1x"), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\2\1\0\x15\3\3\0\2\2\x28"), ALERT_UNEXPECTED_MESSAGE); /* in between */
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\2\1\0\x15"), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\4\2\0\0\1"), ALERT_UNEXPECTED_MESSAGE); /* a ServerHello */
}

static void odd_records_are_refused(void **state)
{
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\0"), ALERT_UNEXPECTED_MESSAGE); /* empty */
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\1\1\x16\3\1\0\0"), ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\x40\1"), ALERT_RECORD_OVERFLOW);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\1\1\x16\4\1\0\1"), ALERT_PROTOCOL_VERSION);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\x40\0\1\1\x03\xfc"), -E_AGAIN);           /* 66,560 bytes: the most */
    assert_int_equal(JUDGE_BYTES("\x16\3\1\x40\0\1\1\x03\xfd"), ALERT_DECODE_ERROR); /* one more */
    assert_int_equal(JUDGE_BYTES("\x16\3\1\x40\0\1\xff\xff\xff"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BYTES("\x16\3\1\0\6\1\0\0\0\0\0"), ALERT_UNEXPECTED_MESSAGE); /* more behind the message */
}

static void tiny_records_have_an_end(void **state)
{
    struct wire *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert = 0;

    put(wire, "\x16\3\1\0\4\1\0\x3f\xf0", 9);
    while (wire->size + 6 < CLIENT_HELLO_WIRE_MOST) {
        put(wire, "\x16\3\1\0\1x", 6);
    }
    assert_int_equal(read_wire(wire, &h, &alert), -E_AGAIN);
    put(wire, "\x16\3\1\0\1x", 6);
    assert_int_equal(read_wire(wire, &h, &alert), -E_TLS);
    assert_int_equal(alert, ALERT_DECODE_ERROR);
    free(wire);
}

static void joining_respects_the_arenas_limit(void **state)
{
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    struct arena small;
    uint8_t alert = 0;

    put_hello(message, NULL, 0);
    put_records(wire, message, 8);
    arena_init(&small, NULL, 8);
    assert_int_equal(client_hello_read(bytes_of(wire->at, wire->size), &small, &h, &alert), -E_MEMORY);
    arena_reset(&small);
    free(message);
    free(wire);
}

static void server_names_are_one_and_clean(void **state)
{
    assert_int_equal(JUDGE(SNI("\0\6\0\0\3a.b")), 0);
    assert_int_equal(JUDGE(SNI("")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(SNI("\0\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(SNI("\0\3\0\0\0")), ALERT_DECODE_ERROR);     /* an empty name */
    assert_int_equal(JUDGE(SNI("\0\7\0\0\3a.b")), ALERT_DECODE_ERROR);  /* too short a list */
    assert_int_equal(JUDGE(SNI("\0\5\0\0\3a.b")), ALERT_DECODE_ERROR);  /* too long a list */
    assert_int_equal(JUDGE(SNI("\0\6\0\0\3a.bx")), ALERT_DECODE_ERROR); /* a byte behind the list */
    assert_int_equal(JUDGE(SNI("\0\6\0\0\4a.b")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(SNI("\0\6\1\0\3a.b")), ALERT_ILLEGAL_PARAMETER); /* another type */
    assert_int_equal(JUDGE(SNI("\0\x0c\0\0\3a.b\0\0\3c.d")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(SNI("\0\7\0\0\4a\0.b")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(SNI("\0\6\0\0\3a b")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(SNI("\0\6\0\0\3a\xff.")), ALERT_ILLEGAL_PARAMETER);
}

static bool has_name(const char *content, size_t size, struct client_hello *h)
{
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    uint8_t alert;

    put_hello(message, &(struct extension){ 0, bytes_of(content, size) }, 1);
    put_records(wire, message, 16384);
    assert_int_equal(client_hello_read(bytes_of(wire->at, wire->size), &arena, h, &alert), 0);
    free(message);
    free(wire);
    return h->has_server_name;
}

static void names_that_no_host_has_are_as_none(void **state)
{
    struct client_hello h;

    assert_true(has_name("\0\6\0\0\3a_b", 8, &h));
    assert_true(has_name("\0\7\0\0\4A.b.", 9, &h));
    assert_string_equal(h.server_name.text, "a.b");
    assert_false(has_name("\0\x0c\0\0\x09"
                          "192.0.2.1",
                          14, &h));
    assert_false(has_name("\0\6\0\0\3::1", 8, &h));
    assert_false(has_name("\0\6\0\0\3a/b", 8, &h));
    assert_false(has_name("\0\6\0\0\3..a", 8, &h));
}

static void lists_have_exact_lengths(void **state)
{
    assert_int_equal(JUDGE(X(16, "\0\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(16, "\0\1\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(16, "\0\3\2h2x")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(16, "\0\3\3h2")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(16, "\0\4\2h2")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(43, "")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(43, "\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(43, "\3\3\4\3")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(43, "\2\3\4x")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(10, "\0\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(10, "\0\3\0\x1d\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(13, "\0\4\4\3")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(50, "\0\1\4")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(51, "\0\0")), 0); /* asks for a HelloRetryRequest */
    assert_int_equal(JUDGE(X(51, "\0\4\0\x1d\0\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(51, "\0\5\0\x1d\0\2x")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(51, "\0\6\0\x1d\0\1x")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(51, "\0\5\0\x1d\0\1xy")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(42, "x")), ALERT_DECODE_ERROR);
}

static void no_extension_comes_twice_and_psk_comes_last(void **state)
{
    assert_int_equal(JUDGE(X(23, ""), X(23, "")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(0x1234, "a"), X(23, ""), X(0x1234, "b")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(0xffff, ""), X(0xffff, "")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(41, PSK), X(23, "")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(23, ""), X(41, PSK)), 0);
}

/* Bodies by hand: what stands before the extensions. */
static int judge_body(const void *body, size_t size)
{
    struct wire *message = calloc(1, sizeof *message), *wire = calloc(1, sizeof *wire);
    struct client_hello h;
    uint8_t alert = 0;

    put_number(message, 1, 1);
    put_number(message, size, 3);
    put(message, body, size);
    put_records(wire, message, 16384);
    int result = read_wire(wire, &h, &alert);
    free(message);
    free(wire);
    return result == -E_TLS ? alert : result;
}

#define RANDOM           "0123456789abcdef0123456789abcdef"
#define JUDGE_BODY(text) judge_body(text, sizeof(text) - 1)

static void bodies_have_exact_lengths(void **state)
{
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0"), 0);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0\0\0"), 0); /* an empty list of extensions */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0\0"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0\0\0x"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0\0\1x"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\0\0\5\0\x17\0\1"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\0\1\0"), ALERT_DECODE_ERROR);         /* no suites */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\3\x13\1\2\1\0"), ALERT_DECODE_ERROR); /* half a suite */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\0"), ALERT_DECODE_ERROR);     /* no compression */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\x21" RANDOM "x\0\2\x13\1\1\0"),
                     ALERT_DECODE_ERROR); /* 33 bytes of id */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\x20" RANDOM "\0\2\x13\1\1\0"), 0);
    assert_int_equal(JUDGE_BODY("\3\3"), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE_BODY(""), ALERT_DECODE_ERROR);
}

static void compression_is_null_and_versions_are_tls(void **state)
{
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\1\1"), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\2\1\0"), 0); /* TLS 1.2 with another one on offer */
    assert_int_equal(JUDGE_BODY("\3\3" RANDOM "\0\0\2\x13\1\2\1\0\0\7\0\x2b\0\3\2\3\4"), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE_BODY("\2\0" RANDOM "\0\0\2\x13\1\1\0"), ALERT_PROTOCOL_VERSION);
    assert_int_equal(JUDGE_BODY("\3\0" RANDOM "\0\0\2\x13\1\1\0"), ALERT_PROTOCOL_VERSION);
    assert_int_equal(JUDGE_BODY("\4\1" RANDOM "\0\0\2\x13\1\1\0"), 0); /* above all that there is: RFC 5246 E.1 */
    assert_int_equal(JUDGE_BODY("\xfe\xfe" RANDOM "\0\0\2\x13\1\1\0"), 0);
    assert_int_equal(JUDGE_BODY("\3\1" RANDOM "\0\0\2\x13\1\1\0"), 0); /* the engine refuses it */
}

static void reads_what_openssl_sends(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    uint8_t bytes[4096];
    struct client_hello h;
    uint8_t alert;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_tlsext_host_name(ssl, "www.example.org");
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    int n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof bytes);
    assert_int_equal(client_hello_read(bytes_of(bytes, (size_t)n), &arena, &h, &alert), 0);
    assert_int_equal(h.wire_bytes, n);
    assert_string_equal(h.server_name.text, "www.example.org");
    assert_true(client_hello_offers_version(&h, 0x0304) && client_hello_offers_version(&h, 0x0303));
    assert_true(client_hello_offers_suite(&h, 0x1301) && client_hello_offers_signature(&h, 0x0403));
    assert_true(client_hello_offers_group(&h, 29) && h.key_shares.size);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void alerts_have_names_and_bytes(void **state)
{
    uint8_t record[ALERT_RECORD];

    alert_write(ALERT_UNRECOGNIZED_NAME, record);
    assert_memory_equal(record, "\x15\3\3\0\2\2\x70", ALERT_RECORD);
    alert_write(ALERT_CLOSE_NOTIFY, record);
    assert_memory_equal(record, "\x15\3\3\0\2\1\0", ALERT_RECORD);
    assert_string_equal(alert_name(ALERT_UNRECOGNIZED_NAME), "unrecognized_name");
    assert_string_equal(alert_name(0), "close_notify");
    assert_string_equal(alert_name(255), "unknown");
}

static void of_our_protocols_the_first_is_chosen_that_is_offered(void **state)
{
    static const struct {
        const char *ours, *theirs, *chosen; /* NULL: none */
    } cases[] = {
        { "\2h2\10http/1.1", "\10http/1.1\2h2", "h2" },
        { "\10http/1.1\2h2", "\2h2\10http/1.1", "http/1.1" },
        { "\2h2\10http/1.1", "\3foo\10http/1.1", "http/1.1" },
        { "\2h2", "\2h3\1h\3h2x", NULL },
        { "\2h2", "", NULL },
        { "", "\2h2", NULL },
        { "\2h2", "\3foo\11h2", NULL }, /* the last one is cut off */
        { "\2h2", "\2h2\11h2", "h2" },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes ours = bytes_of_text(cases[i].ours);
        struct bytes chosen = alpn_choose(ours, bytes_of_text(cases[i].theirs));

        if (!cases[i].chosen) {
            assert_int_equal(chosen.size, 0);
            continue;
        }
        assert_true(bytes_equal_text(chosen, cases[i].chosen));
        assert_true(chosen.at > ours.at && chosen.at + chosen.size <= ours.at + ours.size);
    }
}

static void what_tls_1_2_alone_knows_is_well_formed(void **state)
{
    assert_int_equal(JUDGE(X(22, ""), X(23, ""), X(0xff01, "\0"), X(11, "\1\0")), 0);
    assert_int_equal(JUDGE(X(22, "\0")), ALERT_DECODE_ERROR); /* encrypt_then_mac */
    assert_int_equal(JUDGE(X(23, "\0")), ALERT_DECODE_ERROR); /* extended_master_secret */
    assert_int_equal(JUDGE(X(0xff01, "")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(0xff01, "\1")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(0xff01, "\0\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(0xff01, "\2xy")), 0); /* wrong, but for the engine to say */
    assert_int_equal(JUDGE(X(11, "")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(11, "\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(11, "\2\0")), ALERT_DECODE_ERROR);
    assert_int_equal(JUDGE(X(11, "\1\0\0")), ALERT_DECODE_ERROR);
}

/* RFC 8422 5.1.2. */
static void points_may_come_as_they_are(void **state)
{
    assert_int_equal(JUDGE(X(10, "\0\2\0\x1d"), X(11, "\3\2\1\0")), 0);
    assert_int_equal(JUDGE(X(10, "\0\2\0\x1d"), X(11, "\2\1\2")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(11, "\2\1\2"), X(10, "\0\2\0\x1d")), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(JUDGE(X(11, "\2\1\2")), 0);                                       /* no group is named */
    assert_int_equal(JUDGE(X(10, "\0\2\0\x1d"), X(11, "\2\1\2"), X(43, "\2\3\4")), 0); /* TLS 1.3 does not look */
}

static int set_up(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_choices_need),
        cmocka_unit_test(without_extensions_the_old_version_counts),
        cmocka_unit_test(every_split_into_records_and_segments_gives_the_same),
        cmocka_unit_test(what_is_not_tls_is_told_from_its_first_bytes),
        cmocka_unit_test(other_records_first_are_unexpected),
        cmocka_unit_test(odd_records_are_refused),
        cmocka_unit_test(tiny_records_have_an_end),
        cmocka_unit_test(joining_respects_the_arenas_limit),
        cmocka_unit_test(server_names_are_one_and_clean),
        cmocka_unit_test(names_that_no_host_has_are_as_none),
        cmocka_unit_test(lists_have_exact_lengths),
        cmocka_unit_test(no_extension_comes_twice_and_psk_comes_last),
        cmocka_unit_test(bodies_have_exact_lengths),
        cmocka_unit_test(compression_is_null_and_versions_are_tls),
        cmocka_unit_test(what_tls_1_2_alone_knows_is_well_formed),
        cmocka_unit_test(points_may_come_as_they_are),
        cmocka_unit_test(reads_what_openssl_sends),
        cmocka_unit_test(of_our_protocols_the_first_is_chosen_that_is_offered),
        cmocka_unit_test(alerts_have_names_and_bytes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
