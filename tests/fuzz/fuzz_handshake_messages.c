/* fuzz_handshake_messages.c: a server of our own engine and a client that has the keys, whose messages are changed before they are sealed.
 *
 * The input: which handshake (flags), how the client's flight is cut into records, what else is sent in front of it, then changes of four
 * bytes each: of which message and how, where (two bytes), with what.
 *
 * What must hold: a client that changes nothing comes to the end, and both have the same keys; whoever comes to the end has the same keys;
 * what is changed behind the ClientHello never does, even where Finished is made for it: a certificate and its proof are what they are. */
#include "handshake_server.h"

#include <openssl/core_names.h>

#include "tls/key_schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum flag { WITH_SESSION_ID = 1, WITH_ASKING = 2, WITH_RETRY = 4, WITH_PSK = 8, WITH_EARLY_DATA = 16, FINISHED_FITS = 32 };
enum message { FIRST_HELLO, SECOND_HELLO, CERTIFICATE, CERTIFICATE_VERIFY, FINISHED, MESSAGES };
enum change { XOR, INSERT, REMOVE, INSERT_UNCOUNTED, TRUNCATE, TWICE, NEVER, TYPE, CHANGES };
enum extra { NOTHING, CHANGE_CIPHER_SPEC, USER_CANCELED, CONTENT, NO_CONTENT, WRONG_KEY, WRONG_CHANGE, EARLY, ALERT, EXTRAS };

enum { TEXT_MOST = 2048 }; /* a message's; there is room for three */

struct text {
    uint8_t at[3 * TEXT_MOST];
    size_t bytes;
};

static const uint16_t suites[] = { 0x1301, 0x1302, 0x1303 };
static const uint8_t x25519_private[32] = { 0x49, 0xaf, 0x42, 0xba, 0x7f, 0x79, 0x94, 0x85, 0x2d, 0x71, 0x3e, 0xf2, 0x78, 0x4b, 0xcb, 0xca,
                                            0xa7, 0x91, 0x1d, 0xe2, 0x6a, 0xdc, 0x56, 0x42, 0xcb, 0x63, 0x45, 0x40, 0xe7, 0xea, 0x50, 0x05 };
static EVP_PKEY *x25519, *p256;
/* A ticket for each suite, from this client's own first handshakes. */
static struct ticket {
    struct text identity;
    uint8_t psk[HASH_BYTES_MOST];
} tickets[COUNT_OF(suites)];

struct client {
    struct server server;
    struct key_schedule k;
    struct text first_hello, hello;  /* as they went out */
    struct text flight, meant;       /* CERTIFICATE and on: what goes out; what our Finished is good for */
    size_t said;                     /* bytes of it, until the server had come to its end */
    uint8_t flags, suite, cut, extra;
    struct bytes changes;
    bool changed_hello, changed_certificate;
    bool asked, resumed, started;
    struct record_keys opening, sealing;
    struct bytes in;                 /* what the server has said and we have not read */
};

/* ---- Writing ---- */

static void put(struct text *t, const void *from, size_t bytes)
{
    CHECK(t->bytes + bytes <= sizeof t->at);
    memcpy(t->at + t->bytes, from, bytes);
    t->bytes += bytes;
}

static void put_number(struct text *t, size_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        const uint8_t byte = (uint8_t)(value >> (8 * i));
        put(t, &byte, 1);
    }
}

/* The bytes since `start` are counted in the so many before them. */
static void count(struct text *t, size_t start, int length_bytes)
{
    size_t value = t->bytes - start;

    for (int i = 0; i < length_bytes; i++)
        t->at[start - 1 - (size_t)i] = (uint8_t)(value >> (8 * i));
}

static size_t begin(struct text *t, int length_bytes)
{
    put_number(t, 0, length_bytes);
    return t->bytes;
}

static void put_extension(struct text *t, unsigned type, const void *content, size_t bytes)
{
    put_number(t, type, 2);
    put_number(t, bytes, 2);
    put(t, content, bytes);
}

static void put_share(struct text *t, bool is_retried)
{
    uint8_t share[65];
    size_t bytes = sizeof share;

    if (is_retried)
        CHECK(EVP_PKEY_get_octet_string_param(p256, OSSL_PKEY_PARAM_PUB_KEY, share, sizeof share, &bytes) == 1);
    else
        CHECK(EVP_PKEY_get_raw_public_key(x25519, share, &bytes) == 1);
    put_number(t, 51, 2);
    put_number(t, bytes + 6, 2);
    put_number(t, bytes + 4, 2);
    put_number(t, is_retried ? GROUP_P256 : GROUP_X25519, 2);
    put_number(t, bytes, 2);
    put(t, share, bytes);
}

/* The binder's place is left as zeros, at the end. */
static void write_hello(const struct client *c, bool is_retried, struct text *t)
{
    static const uint8_t zeros[HASH_BYTES_MOST];
    size_t hash = c->suite == 1 ? 48 : 32, body, extensions;

    t->bytes = 0;
    put_number(t, HANDSHAKE_CLIENT_HELLO, 1);
    body = begin(t, 3);
    put_number(t, 0x0303, 2);
    put(t, x25519_private, 32); /* random enough */
    put_number(t, c->flags & WITH_SESSION_ID ? 32 : 0, 1);
    put(t, zeros, c->flags & WITH_SESSION_ID ? 32 : 0);
    put_number(t, 2, 2);
    put_number(t, suites[c->suite], 2);
    put_number(t, 0x0100, 2);
    extensions = begin(t, 2);
    put_extension(t, 0, "\0\x09\0\0\6a.test", 11);
    put_extension(t, 43, "\2\3\4", 3);
    put_extension(t, 10, "\0\4\0\x1d\0\x17", 6);
    put_extension(t, 13, "\0\6\4\3\10\4\10\7", 8);
    put_extension(t, 16, "\0\3\2h2", 5);
    put_extension(t, 28, "\2\0", 2);
    put_extension(t, 45, "\1\1", 2);
    put_share(t, is_retried);
    if (c->flags & WITH_PSK) {
        const struct text *identity = &tickets[c->suite].identity;

        if (c->flags & WITH_EARLY_DATA && !is_retried)
            put_extension(t, 42, "", 0);
        put_number(t, 41, 2);
        put_number(t, 2 + 2 + identity->bytes + 4 + 2 + 1 + hash, 2);
        put_number(t, 2 + identity->bytes + 4, 2);
        put_number(t, identity->bytes, 2);
        put(t, identity->at, identity->bytes);
        put_number(t, 0, 4);
        put_number(t, 1 + hash, 2);
        put_number(t, hash, 1);
        put(t, zeros, hash);
    }
    count(t, extensions, 2);
    count(t, body, 3);
}

/* ---- Changes ---- */

static void set_length(struct text *t)
{
    if (t->bytes >= HANDSHAKE_HEADER)
        count(t, HANDSHAKE_HEADER, 3);
}

static void change(struct text *t, enum change how, size_t at, uint8_t value, bool *ret_never)
{
    at %= t->bytes + 1;
    switch (how) {
    case INSERT:
    case INSERT_UNCOUNTED:
        if (t->bytes == TEXT_MOST)
            return;
        memmove(t->at + at + 1, t->at + at, t->bytes - at);
        t->at[at] = value;
        t->bytes++;
        if (how == INSERT)
            set_length(t);
        return;
    case REMOVE:
        if (at == t->bytes)
            return;
        memmove(t->at + at, t->at + at + 1, t->bytes - at - 1);
        t->bytes--;
        set_length(t);
        return;
    case TRUNCATE:
        t->bytes = at;
        set_length(t);
        return;
    case TWICE:
        if (t->bytes > TEXT_MOST / 2)
            return;
        memcpy(t->at + t->bytes, t->at, t->bytes);
        t->bytes *= 2;
        return;
    case NEVER:
        *ret_never = true;
        return;
    case TYPE:
        if (t->bytes)
            t->at[0] = value;
        return;
    default:
        if (at < t->bytes)
            t->at[at] ^= value;
        return;
    }
}

/* Returns whether the message is another one than it was. */
static bool change_all(const struct client *c, enum message which, struct text *t)
{
    struct text before = *t;
    bool never = false;

    for (size_t i = 0; i + 4 <= c->changes.size; i += 4) {
        const uint8_t *op = c->changes.at + i;

        if (op[0] % MESSAGES == which)
            change(t, (enum change)(op[0] / MESSAGES % CHANGES), (size_t)op[1] << 8 | op[2], op[3], &never);
    }
    if (never)
        t->bytes = 0;
    return t->bytes != before.bytes || memcmp(t->at, before.at, t->bytes) != 0;
}

/* ---- Records ---- */

static void feed(struct client *c, struct bytes record)
{
    struct server *s = &c->server;
    struct bytes in = record;

    if (s->result != -E_AGAIN)
        return;
    if (s->h)
        server_run(s, &in);
    else if (server_begin(s, c->flags & WITH_RETRY ? PARTICULAR : c->flags & WITH_ASKING ? ASKING : ORDINARY, in))
        server_run(s, &in);
}

static void send_clear(struct client *c, uint8_t type, const void *content, size_t bytes)
{
    uint8_t record[RECORD_HEADER + TEXT_MOST] = { type, 3, 3, (uint8_t)(bytes >> 8), (uint8_t)bytes };

    CHECK(bytes <= TEXT_MOST);
    memcpy(record + RECORD_HEADER, content, bytes);
    feed(c, bytes_of(record, RECORD_HEADER + bytes));
}

static void send_sealed(struct client *c, enum content_type type, struct bytes content)
{
    static uint8_t record[3 * TEXT_MOST + RECORD_OVERHEAD_MOST];
    int n = record_seal(aeads, &c->sealing, type, content, record);

    CHECK(n > 0);
    feed(c, bytes_of(record, (size_t)n));
}

static void protect(const struct client *c, struct record_keys *keys, const uint8_t *secret, bool is_sealing)
{
    static const uint8_t kinds[] = { AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };
    struct traffic_keys expanded = { .version = 0x0304, .aead = kinds[c->suite], .secret_bytes = c->k.bytes };

    aead_release(aeads, &keys->holder);
    memcpy(expanded.read.secret, secret, c->k.bytes);
    traffic_key_expand(&expanded, &expanded.read);
    *keys = (struct record_keys){ .key = expanded.read, .version = 0x0304, .aead = expanded.aead, .is_sealing = is_sealing };
}

/* ---- What the server says ---- */

static struct bytes extension(struct bytes hello, uint16_t type)
{
    struct cursor c = cursor_of(bytes_from(hello, HANDSHAKE_HEADER + 2 + 32)), extensions;

    cursor_vector(&c, 1);
    cursor_bytes(&c, 3);
    extensions = cursor_vector(&c, 2);
    while (cursor_left(&extensions)) {
        uint16_t found = cursor_u16(&extensions);
        struct cursor content = cursor_vector(&extensions, 2);

        CHECK(!extensions.failed);
        if (found == type)
            return bytes_of(content.at, cursor_left(&content));
    }
    return BYTES_NONE;
}

static uint16_t suite_of(struct bytes hello)
{
    struct cursor c = cursor_of(bytes_from(hello, HANDSHAKE_HEADER + 2 + 32));

    cursor_vector(&c, 1);
    return cursor_u16(&c);
}

static EVP_PKEY *peer_of(struct bytes share, bool is_p256)
{
    EVP_PKEY *peer;

    if (!is_p256)
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share.at, share.size);
    peer = EVP_PKEY_new();
    CHECK(peer && EVP_PKEY_copy_parameters(peer, p256) == 1 &&
          EVP_PKEY_set1_encoded_public_key(peer, share.at, share.size) == 1);
    return peer;
}

/* Returns false when it has chosen something that this client can no longer tell (the ClientHello was changed). */
static bool take_server_hello(struct client *c, struct bytes hello)
{
    struct bytes share = extension(hello, 51);
    bool is_p256 = share.size == 4 + 65;
    uint8_t secret[64];
    size_t bytes = sizeof secret;
    EVP_PKEY_CTX *derivation;
    EVP_PKEY *peer;

    if (!is_p256 && share.size != 4 + 32)
        return false;
    if (is_p256 != (c->first_hello.bytes > 0) || suite_of(hello) != suites[c->suite])
        return false;
    if (!c->started)
        key_schedule_start(&c->k, c->suite == 1 ? HASH_SHA384 : HASH_SHA256);
    c->resumed = extension(hello, 41).at != NULL;
    if (c->resumed)
        key_schedule_use_psk(&c->k, bytes_of(tickets[c->suite].psk, c->k.bytes));
    key_schedule_add(&c->k, bytes_of(c->hello.at, c->hello.bytes));
    key_schedule_add(&c->k, hello);
    peer = peer_of(bytes_from(share, 4), is_p256);
    derivation = EVP_PKEY_CTX_new(is_p256 ? p256 : x25519, NULL);
    CHECK(peer && EVP_PKEY_derive_init(derivation) == 1 && EVP_PKEY_derive_set_peer(derivation, peer) == 1 &&
          EVP_PKEY_derive(derivation, secret, &bytes) == 1);
    EVP_PKEY_CTX_free(derivation);
    EVP_PKEY_free(peer);
    key_schedule_enter_handshake(&c->k, bytes_of(secret, bytes));
    protect(c, &c->opening, c->k.server, false);
    protect(c, &c->sealing, c->k.client, true);
    return true;
}

static struct bytes next_record(struct client *c)
{
    struct bytes record = BYTES_NONE;

    do {
        if (c->in.size == 0)
            return BYTES_NONE;
        record = bytes_part(c->in, 0, record_size(c->in.at));
        c->in = bytes_from(c->in, record.size);
    } while (record.at[0] == CONTENT_CHANGE_CIPHER_SPEC);
    return record;
}

/* In the clear: ServerHello or HelloRetryRequest. Empty: neither. */
static struct bytes clear_hello(struct client *c)
{
    struct bytes record = next_record(c);

    return record.size && record.at[0] == CONTENT_HANDSHAKE ? bytes_from(record, RECORD_HEADER) : BYTES_NONE;
}

/* To its Finished, which must be right. false: it cannot be opened, since our share was changed on its way. */
static bool take_flight(struct client *c)
{
    static uint8_t flight[16384];
    size_t bytes = 0;
    struct bytes record, left;

    while ((record = next_record(c)).size) {
        enum content_type type;
        int n = record_open(aeads, &c->opening, record, flight + bytes, &type);

        if (n < 0) {
            CHECK(c->changed_hello && n == -E_TLS);
            return false;
        }
        if (type == CONTENT_ALERT) /* behind all of it */
            break;
        CHECK(type == CONTENT_HANDSHAKE);
        bytes += (size_t)n;
    }
    for (left = bytes_of(flight, bytes); left.size;) {
        size_t whole = HANDSHAKE_HEADER + ((size_t)left.at[1] << 16 | (size_t)left.at[2] << 8 | left.at[3]);
        uint8_t mac[HASH_BYTES_MOST];

        CHECK(whole <= left.size);
        c->asked |= left.at[0] == HANDSHAKE_CERTIFICATE_REQUEST;
        if (left.at[0] == HANDSHAKE_FINISHED) {
            key_schedule_finished(&c->k, c->k.server, mac);
            CHECK(whole == left.size && memcmp(mac, left.at + HANDSHAKE_HEADER, c->k.bytes) == 0);
        }
        key_schedule_add(&c->k, bytes_part(left, 0, whole));
        left = bytes_from(left, whole);
    }
    key_schedule_enter_content(&c->k);
    return true;
}

/* ---- What the client says ---- */

static void bind(struct client *c, struct text *hello)
{
    struct key_schedule k;
    struct client_hello parsed;
    uint8_t alert, binder[HASH_BYTES_MOST];

    if (client_hello_parse(bytes_of(hello->at, hello->bytes), &parsed, &alert) || parsed.psk_binders.size != 1u + (c->suite == 1 ? 48 : 32))
        return;
    if (c->started)
        k = c->k;
    else
        key_schedule_start(&k, c->suite == 1 ? HASH_SHA384 : HASH_SHA256);
    key_schedule_use_psk(&k, bytes_of(tickets[c->suite].psk, k.bytes));
    key_schedule_binder(&k, parsed.truncated, binder);
    memcpy(hello->at + hello->bytes - k.bytes, binder, k.bytes);
}

static void say_hello(struct client *c, enum message which)
{
    write_hello(c, which == SECOND_HELLO, &c->hello);
    c->changed_hello |= change_all(c, which, &c->hello);
    if (c->flags & WITH_PSK)
        bind(c, &c->hello);
    send_clear(c, CONTENT_HANDSHAKE, c->hello.at, c->hello.bytes);
    c->in = buffer_content(&c->server.out);
}

static void write_certificate(struct text *t)
{
    uint8_t *der = NULL;
    int bytes = i2d_X509(client_certificate, &der);
    size_t body, list;

    put_number(t, HANDSHAKE_CERTIFICATE, 1);
    body = begin(t, 3);
    put_number(t, 0, 1);
    list = begin(t, 3);
    put_number(t, (size_t)bytes, 3);
    put(t, der, (size_t)bytes);
    put_number(t, 0, 2);
    count(t, list, 3);
    count(t, body, 3);
    OPENSSL_free(der);
}

static void write_certificate_verify(const struct client *c, struct text *t)
{
    static const char context[] = "TLS 1.3, client CertificateVerify";
    uint8_t content[64 + sizeof context + HASH_BYTES_MOST], signature[128];
    size_t bytes = sizeof signature;
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    memset(content, ' ', 64);
    memcpy(content + 64, context, sizeof context);
    key_schedule_transcript(&c->k, content + 64 + sizeof context);
    CHECK(md && EVP_DigestSignInit_ex(md, NULL, "SHA256", NULL, NULL, client_key, NULL) == 1 &&
          EVP_DigestSign(md, signature, &bytes, content, 64 + sizeof context + c->k.bytes) == 1);
    EVP_MD_CTX_free(md);
    put_number(t, HANDSHAKE_CERTIFICATE_VERIFY, 1);
    put_number(t, 4 + bytes, 3);
    put_number(t, 0x0403, 2);
    put_number(t, bytes, 2);
    put(t, signature, bytes);
}

/* The message goes into our transcript as it is, or as it was meant. */
static void conclude(struct client *c, enum message which, struct text *t)
{
    struct text meant = *t;
    bool changed = change_all(c, which, t), fits = c->flags & FINISHED_FITS && which != FINISHED;
    const struct text *added = fits ? t : &meant;

    c->changed_certificate |= changed && fits;
    put(&c->flight, t->at, t->bytes);
    put(&c->meant, added->at, added->bytes);
    key_schedule_add(&c->k, bytes_of(added->at, added->bytes));
}

static void write_flight(struct client *c)
{
    struct text certificate = { .bytes = 0 }, verify = certificate, finished = certificate;
    uint8_t mac[HASH_BYTES_MOST];

    if (c->asked) {
        write_certificate(&certificate);
        conclude(c, CERTIFICATE, &certificate);
        write_certificate_verify(c, &verify);
        conclude(c, CERTIFICATE_VERIFY, &verify);
    }
    key_schedule_finished(&c->k, c->k.client, mac);
    put_number(&finished, HANDSHAKE_FINISHED, 1);
    put_number(&finished, c->k.bytes, 3);
    put(&finished, mac, c->k.bytes);
    conclude(c, FINISHED, &finished);
}

/* Returns whether it is none that hurts. */
static bool say_extra(struct client *c)
{
    static const uint8_t noise[64];
    uint64_t before = c->sealing.key.sequence;

    switch (c->extra) {
    case NOTHING:
        return true;
    case CHANGE_CIPHER_SPEC:
        send_clear(c, CONTENT_CHANGE_CIPHER_SPEC, "\1", 1);
        return true;
    case USER_CANCELED:
        send_sealed(c, CONTENT_ALERT, BYTES_LITERAL("\1\x5a"));
        return true;
    case CONTENT:
        send_sealed(c, CONTENT_APPLICATION_DATA, BYTES_LITERAL("too early"));
        return false;
    case NO_CONTENT:
        send_sealed(c, CONTENT_HANDSHAKE, BYTES_NONE);
        return false;
    case WRONG_CHANGE:
        send_clear(c, CONTENT_CHANGE_CIPHER_SPEC, "\1\1", 2);
        return false;
    case ALERT:
        send_sealed(c, CONTENT_ALERT, BYTES_LITERAL("\2\x28"));
        return false;
    case EARLY:
    case WRONG_KEY:
    default:
        send_clear(c, CONTENT_APPLICATION_DATA, noise, sizeof noise);
        c->sealing.key.sequence = before;
        /* Early data is skipped, in front of whatever can be opened. */
        return c->flags & WITH_PSK && c->flags & WITH_EARLY_DATA && !(c->flags & WITH_RETRY);
    }
}

static void send_flight(struct client *c)
{
    const struct text *all = &c->flight;

    while (c->said < all->bytes && c->server.result == -E_AGAIN) {
        size_t n = c->cut && c->cut < all->bytes - c->said ? c->cut : all->bytes - c->said;

        send_sealed(c, CONTENT_HANDSHAKE, bytes_part(bytes_of(all->at, all->bytes), c->said, n));
        c->said += n;
    }
}

/* All that was said until then is what our Finished is good for. */
static bool said_what_was_meant(const struct client *c)
{
    return c->said == c->meant.bytes && memcmp(c->flight.at, c->meant.at, c->said) == 0;
}

/* ---- Together ---- */

/* Returns whether the client could follow the server to its own end. */
static bool shake(struct client *c, bool *ret_is_clean)
{
    struct bytes hello;

    c->server.result = -E_AGAIN;
    say_hello(c, FIRST_HELLO);
    hello = clear_hello(c);
    if (hello.size && hello.at[HANDSHAKE_HEADER + 2] == 0xcf && hello.at[HANDSHAKE_HEADER + 3] == 0x21 && extension(hello, 51).size == 2) {
        key_schedule_start(&c->k, c->suite == 1 ? HASH_SHA384 : HASH_SHA256);
        key_schedule_add(&c->k, bytes_of(c->hello.at, c->hello.bytes));
        key_schedule_retry(&c->k);
        key_schedule_add(&c->k, hello);
        c->started = true;
        c->first_hello = c->hello;
        buffer_consume(&c->server.out, buffer_used(&c->server.out));
        say_hello(c, SECOND_HELLO);
        hello = clear_hello(c);
    }
    if (!hello.size || !take_server_hello(c, hello))
        return false;
    if (!take_flight(c))
        return false;
    buffer_consume(&c->server.out, buffer_used(&c->server.out));
    write_flight(c);
    *ret_is_clean = say_extra(c) && !c->changed_hello && !c->changed_certificate;
    send_flight(c);
    *ret_is_clean &= c->flight.bytes == c->meant.bytes && said_what_was_meant(c);
    return true;
}

static void expect_same_keys(struct client *c)
{
    struct traffic_keys keys;

    handshake_keys(c->server.h, &keys);
    CHECK(memcmp(keys.read.secret, c->k.client_content, c->k.bytes) == 0);
    CHECK(memcmp(keys.write.secret, c->k.server_content, c->k.bytes) == 0);
    traffic_keys_wipe(&keys);
}

static void end(struct client *c)
{
    aead_release(aeads, &c->opening.holder);
    aead_release(aeads, &c->sealing.holder);
    server_end(&c->server);
}

/* This client's own ticket, out of a handshake with nothing changed. */
static void get_ticket(uint8_t suite)
{
    static const uint8_t nonce[1];
    struct client c = { .suite = suite };
    struct ticket *t = &tickets[suite];
    uint8_t message[2048];
    enum content_type type;
    bool is_clean = false;
    int n;

    CHECK(shake(&c, &is_clean) && is_clean && c.server.result == 0);
    expect_same_keys(&c);
    c.in = buffer_content(&c.server.out);
    protect(&c, &c.opening, c.k.server_content, false);
    n = record_open(aeads, &c.opening, c.in, message, &type);
    CHECK(n > 20 && type == CONTENT_HANDSHAKE && message[0] == HANDSHAKE_NEW_SESSION_TICKET && message[12] == 1);
    put(&t->identity, message + 16, (size_t)message[14] << 8 | message[15]);
    key_schedule_ticket_psk(&c.k, bytes_of(nonce, sizeof nonce), t->psk);
    end(&c);
}

static void make_once(void)
{
    if (x25519)
        return;
    make_servers();
    x25519 = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, x25519_private, sizeof x25519_private);
    p256 = EVP_EC_gen("P-256");
    CHECK(x25519 && p256);
    for (uint8_t i = 0; i < COUNT_OF(suites); i++)
        get_ticket(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client c;
    bool is_clean = false, followed;

    make_once();
    if (size < 4 || size > 4 + 4 * 16)
        return 0;
    memset(&c, 0, sizeof c);
    c.flags = data[0];
    c.suite = data[1] % COUNT_OF(suites);
    c.cut = data[2];
    c.extra = data[3] % EXTRAS;
    c.changes = bytes_of(data + 4, size - 4);
    followed = shake(&c, &is_clean);
    if (is_clean)
        CHECK(c.server.result == 0 && c.resumed == !!(c.flags & WITH_PSK && !(c.flags & WITH_ASKING && !(c.flags & WITH_RETRY))));
    if (c.server.result == 0) {
        CHECK(followed && said_what_was_meant(&c) && !c.changed_certificate);
        expect_same_keys(&c);
    }
    end(&c);
    return 0;
}
