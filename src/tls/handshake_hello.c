/* handshake_hello.c: ClientHello, HelloRetryRequest, ServerHello and EncryptedExtensions (RFC 8446 4.1, 4.3.1). */
#include <string.h>

#include "base/check.h"
#include "tls/handshake_private.h"
#include "tls/random.h"

enum { RANDOM = 32, SERVER_HELLO_MOST = 128 + KEY_SHARE_MOST };

/* ---- Writing ---- */

struct writer {
    uint8_t *at;
};

static void put_u8(struct writer *w, size_t value)
{
    *w->at++ = (uint8_t)value;
}

static void put_u16(struct writer *w, size_t value)
{
    w->at = bytes_put_number(w->at, value, 2);
}

static void put_bytes(struct writer *w, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(w->at, from, bytes);
    w->at += bytes;
}

/* A vector of two bytes' length begins here; end_vector() writes its length. */
static uint8_t *begin_vector(struct writer *w)
{
    put_u16(w, 0);
    return w->at;
}

static void end_vector(const struct writer *w, uint8_t *start)
{
    bytes_put_number(start - 2, (size_t)(w->at - start), 2);
}

static void begin_message(struct writer *w, enum handshake_type type)
{
    const uint8_t header[HANDSHAKE_HEADER] = { (uint8_t)type };

    put_bytes(w, header, sizeof header);
}

static struct bytes end_message(const struct writer *w, uint8_t *start)
{
    size_t bytes = (size_t)(w->at - start);

    bytes_put_number(start + 1, bytes - HANDSHAKE_HEADER, 3);
    return bytes_of(start, bytes);
}

/* ---- ClientHello ---- */

static int note_share(struct handshake *h, const struct client_hello *hello)
{
    struct bytes share = client_hello_share(hello, h->group->code);

    if (share.size > sizeof h->client_share)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a key share that is too long");
    if (share.size)
        memcpy(h->client_share, share.at, share.size);
    h->client_share_bytes = (uint16_t)share.size;
    return 0;
}

/* A PSK, or else a certificate; then the ClientHello's part in the transcript is complete. */
static int take_hello(struct handshake *h, const struct client_hello *hello)
{
    int error = handshake_choose_psk(h, hello);

    if (!error && !h->resumed)
        error = handshake_choose_certificate(h, hello);
    if (!error)
        error = note_share(h, hello);
    if (!error)
        key_schedule_add(&h->schedule, hello->message);
    return error;
}

/* Of the identities, without their ages, which change. */
static uint16_t digest_identities(const struct client_hello *hello, uint8_t ret_digest[32])
{
    struct cursor identities = cursor_of(hello->psk_identities), binders = cursor_of(hello->psk_binders);
    struct bytes identity, binder;
    union hash_state s;
    uint16_t count = 0;

    hash_start(&s, HASH_SHA256);
    for (; client_hello_next_psk(&identities, &binders, &identity, &binder); count++) {
        const uint8_t size[2] = { (uint8_t)(identity.size >> 8), (uint8_t)identity.size };

        hash_add(&s, HASH_SHA256, bytes_of(size, sizeof size));
        hash_add(&s, HASH_SHA256, identity);
    }
    hash_end(&s, HASH_SHA256, ret_digest);
    return count;
}

int handshake_receive_client_hello(struct handshake *h, const struct client_hello *hello)
{
    int error = handshake_choose_parameters(h, hello);

    if (error)
        return error;
    key_schedule_start(&h->schedule, h->suite->hash);
    if (hello->has_cookie)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a cookie that nobody asked for");
    if (!h->retry)
        return take_hello(h, hello);
    client_hello_digest(hello, h->hello_digest);
    h->psk_count = digest_identities(hello, h->psk_digest);
    h->had_psk = handshake_has_psk(h, hello);
    key_schedule_add(&h->schedule, hello->message);
    return 0;
}

/* RFC 8446 4.1.2: the first one again, but for what it was asked for. */
int handshake_receive_second_client_hello(struct handshake *h, struct bytes message)
{
    struct client_hello hello;
    uint8_t digest[sizeof h->hello_digest], alert = ALERT_DECODE_ERROR;
    uint16_t psk_count;
    struct cursor shares;
    int error;

    if (message_is_followed(h))
        return handshake_fail(h, -E_TLS, ALERT_UNEXPECTED_MESSAGE, "bytes behind the ClientHello in its record");
    error = client_hello_parse(message, &hello, &alert);
    if (error)
        return handshake_fail(h, error, alert, "a second ClientHello that is malformed");
    client_hello_digest(&hello, digest);
    if (memcmp(digest, h->hello_digest, sizeof digest) != 0)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a second ClientHello that differs");
    /* PSKs whose hash is not the suite's may be left out, those that would do may not: which they are only their tickets tell. */
    psk_count = digest_identities(&hello, digest);
    if (psk_count > h->psk_count || (psk_count == h->psk_count && memcmp(digest, h->psk_digest, sizeof digest) != 0))
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a second ClientHello with other PSKs");
    if (hello.has_early_data || hello.has_cookie)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "early_data or a cookie in a second ClientHello");
    shares = cursor_of(hello.key_shares); /* one, of the group asked for */
    if (cursor_u16(&shares) != h->group->code || (cursor_vector(&shares, 2), shares.failed) || cursor_left(&shares))
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "not the key share that was asked for");
    error = take_hello(h, &hello);
    if (!error && h->had_psk && !h->resumed && psk_count < h->psk_count)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a second ClientHello without the PSK that would do");
    return error;
}

/* ---- HelloRetryRequest and ServerHello ---- */

/* All but the key share's content. */
static uint8_t *begin_server_hello(struct handshake *h, struct writer *w, const uint8_t random[RANDOM])
{
    uint8_t *extensions;

    begin_message(w, HANDSHAKE_SERVER_HELLO);
    put_u16(w, 0x0303);
    put_bytes(w, random, RANDOM);
    put_u8(w, h->session_id_bytes);
    put_bytes(w, h->session_id, h->session_id_bytes);
    put_u16(w, h->suite->code);
    put_u8(w, 0); /* compression */
    extensions = begin_vector(w);
    put_u16(w, EXTENSION_SUPPORTED_VERSIONS);
    put_u16(w, 2);
    put_u16(w, 0x0304);
    return extensions;
}

/* In the clear, in a record of its own: keys change behind it. */
static int put_clear(struct handshake *h, struct bytes message)
{
    int error = message_put(h, message);

    if (!error)
        error = message_seal(h);
    if (!error)
        handshake_put_change_cipher_spec(h);
    return error;
}

int handshake_send_hello_retry_request(struct handshake *h)
{
    static const uint8_t random[RANDOM] = {
        /* SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3) */
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
        0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    };
    uint8_t message[SERVER_HELLO_MOST], *extensions;
    struct writer w = { message };

    key_schedule_retry(&h->schedule);
    extensions = begin_server_hello(h, &w, random);
    put_u16(&w, EXTENSION_KEY_SHARE);
    put_u16(&w, 2);
    put_u16(&w, h->group->code);
    end_vector(&w, extensions);
    return put_clear(h, end_message(&w, message));
}

static void on_agreed(struct batch_job *job)
{
    handshake_go_on(CONTAINER_OF(job, struct handshake, agreement.job));
}

/* Our share and the secret. -E_PENDING: the batch works at it. */
static int agree(struct handshake *h)
{
    struct key_agreement *a = &h->agreement;

    if (!h->agreement_started) {
        h->agreement_started = true;
        a->job.done = on_agreed;
        a->group = h->group->code;
        a->client_share = bytes_of(h->client_share, h->client_share_bytes);
        h->pending = true;
        key_agreement_start(h->batch, a);
        return -E_PENDING;
    }
    if (a->error == -E_TLS)
        return handshake_fail(h, -E_TLS, ALERT_ILLEGAL_PARAMETER, "a key share that is none of its group");
    return a->error ? handshake_fail(h, a->error, ALERT_INTERNAL_ERROR, NULL) : 0;
}

int handshake_send_server_hello(struct handshake *h)
{
    uint8_t message[SERVER_HELLO_MOST], random[RANDOM], *extensions, *share;
    struct writer w = { message };
    int error = agree(h);

    if (error)
        return error;
    if (random_bytes(random, sizeof random))
        return handshake_fail(h, -E_CRYPTO, ALERT_INTERNAL_ERROR, NULL);
    extensions = begin_server_hello(h, &w, random);
    put_u16(&w, EXTENSION_KEY_SHARE);
    share = begin_vector(&w);
    put_u16(&w, h->group->code);
    put_u16(&w, h->agreement.share_bytes);
    put_bytes(&w, h->agreement.share, h->agreement.share_bytes);
    end_vector(&w, share);
    if (h->resumed) {
        put_u16(&w, EXTENSION_PRE_SHARED_KEY);
        put_u16(&w, 2);
        put_u16(&w, h->psk_index);
    }
    end_vector(&w, extensions);
    error = put_clear(h, end_message(&w, message));
    if (error)
        return error;
    key_schedule_enter_handshake(&h->schedule, bytes_of(h->agreement.secret, h->agreement.secret_bytes));
    key_agreement_wipe(&h->agreement);
    handshake_protect(h, &h->read, h->schedule.client, false);
    handshake_protect(h, &h->write, h->schedule.server, true);
    h->read_is_protected = h->write_is_protected = true;
    return 0;
}

/* ---- EncryptedExtensions ---- */

int handshake_send_encrypted_extensions(struct handshake *h)
{
    uint8_t message[512], *extensions, *list;
    struct writer w = { message };

    begin_message(&w, HANDSHAKE_ENCRYPTED_EXTENSIONS);
    extensions = begin_vector(&w);
    if (h->acknowledges_name) { /* RFC 6066 3: it was used to choose */
        put_u16(&w, EXTENSION_SERVER_NAME);
        put_u16(&w, 0);
    }
    if (h->record_size_limit) { /* RFC 8449 5: which makes the other one void */
        put_u16(&w, EXTENSION_RECORD_SIZE_LIMIT);
        put_u16(&w, 2);
        put_u16(&w, RECORD_PLAIN_MOST + 1);
    } else if (h->max_fragment_length) {
        put_u16(&w, EXTENSION_MAX_FRAGMENT_LENGTH);
        put_u16(&w, 1);
        put_u8(&w, h->max_fragment_length);
    }
    if (h->alpn_bytes) {
        put_u16(&w, EXTENSION_ALPN);
        list = begin_vector(&w);
        put_u16(&w, h->alpn_bytes + 1u);
        put_u8(&w, h->alpn_bytes);
        put_bytes(&w, h->alpn, h->alpn_bytes);
        end_vector(&w, list);
    }
    end_vector(&w, extensions);
    return message_put(h, end_message(&w, message));
}
