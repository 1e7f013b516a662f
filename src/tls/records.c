#include "tls/records.h"

#include "base/check.h"
#include "tls/client_hello.h"

enum {
    UPDATE_NOT_REQUESTED = 0,
    UPDATE_REQUESTED = 1,
    UPDATE_RECORD = RECORD_HEADER + HANDSHAKE_HEADER + 1 + 1 + AEAD_TAG, /* bytes: TLS 1.3's alone */
};

/* Where our own key is updated: two thirds of what it may seal. */
#define UPDATE_AFTER (RECORD_AES_GCM_MOST / 3 * 2)

static void take_direction(struct record_keys *to, const struct traffic_keys *keys, const struct traffic_key *key,
                           bool is_sealing)
{
    to->key = *key; /* alone: no copy stays on the stack */
    to->version = keys->version;
    to->aead = keys->aead;
    to->is_sealing = is_sealing;
}

void records_init(struct tls_records *r, struct traffic_keys *keys, bool is_client, struct aead_cache *cache)
{
    *r = (struct tls_records){ .cache = cache,
                               .plain_most = keys->plain_most,
                               .read_most = keys->read_most ? keys->read_most : keys->plain_most,
                               .secret_bytes = keys->secret_bytes,
                               .is_client = is_client };
    take_direction(&r->read, keys, &keys->read, false);
    take_direction(&r->write, keys, &keys->write, true);
    records_paused(r);
    traffic_keys_wipe(keys);
}

void records_clear(struct tls_records *r)
{
    aead_release(r->cache, &r->read.holder);
    aead_release(r->cache, &r->write.holder);
    explicit_bzero(r, sizeof *r);
}

/* ---- The end ---- */

static int fail(struct tls_records *r, int error, uint8_t alert)
{
    r->ended = (int16_t)error;
    r->alert = alert;
    r->alert_due = true;
    return error;
}

static void owe_alert(struct tls_records *r)
{
    r->alert_owed |= r->alert_due;
    r->alert_due = false;
}

int records_fail(struct tls_records *r, int error, uint8_t alert)
{
    fail(r, error, alert);
    owe_alert(r);
    return error;
}

static uint8_t alert_of(int error)
{
    return error == -E_TLS      ? ALERT_BAD_RECORD_MAC
           : error == -E_SYNTAX ? ALERT_UNEXPECTED_MESSAGE
                                : ALERT_INTERNAL_ERROR;
}

/* ---- KeyUpdate ---- */

static int update_key(struct tls_records *r, struct record_keys *keys)
{
    const struct traffic_keys kind = { .version = keys->version, .aead = keys->aead, .secret_bytes = r->secret_bytes };

    aead_release(r->cache, &keys->holder);
    return traffic_key_update(&kind, &keys->key);
}

static int put_record(struct tls_records *r, enum content_type type, struct bytes plain, struct buffer *out)
{
    int n;

    CHECK(buffer_room(out) >= plain.size + record_overhead(&r->write));
    n = record_seal(r->cache, &r->write, type, plain, out->data + out->end);
    if (n < 0)
        return n;
    buffer_commit(out, (size_t)n);
    return 0;
}

/* Says that our next records are under the next key, and makes it so. */
static int send_update(struct tls_records *r, uint8_t request, struct buffer *out)
{
    const uint8_t message[] = { HANDSHAKE_KEY_UPDATE, 0, 0, 1, request };
    int error = put_record(r, CONTENT_HANDSHAKE, bytes_of(message, sizeof message), out);

    r->update_owed = false;
    return error ? error : update_key(r, &r->write);
}

/* ---- What TLS itself says ---- */

static int take_alert(struct tls_records *r, const uint8_t *content, size_t bytes)
{
    bool is_warning;

    if (bytes != 2)
        return fail(r, -E_TLS, bytes ? ALERT_DECODE_ERROR : ALERT_UNEXPECTED_MESSAGE); /* RFC 8446 5.4 */
    if (content[1] == ALERT_CLOSE_NOTIFY) {
        r->peer_closed = true;
        return 0;
    }
    /* In TLS 1.3 all but user_canceled are fatal, whatever their level says (RFC 8446 6). */
    is_warning = r->read.version == 0x0304 ? content[1] == ALERT_USER_CANCELED : content[0] == 1;
    if (is_warning)
        return 0;
    r->alert_received = true;
    r->update_owed = false; /* nobody listens any more */
    r->alert = content[1];
    r->ended = -E_TLS_ALERT;
    return -E_TLS_ALERT;
}

static int take_key_update(struct tls_records *r, bool is_last)
{
    const uint8_t *message = r->part;
    int error;

    if (!is_last) /* what follows would be under the key before (RFC 8446 5.1) */
        return fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);
    if (message[HANDSHAKE_HEADER] > UPDATE_REQUESTED)
        return fail(r, -E_TLS, ALERT_ILLEGAL_PARAMETER);
    if (r->updates == RECORDS_UPDATES_MOST)
        return fail(r, -E_FLOOD, ALERT_UNEXPECTED_MESSAGE);
    r->updates++;
    if (message[HANDSHAKE_HEADER] == UPDATE_REQUESTED && !r->finished)
        r->update_owed = true;
    error = update_key(r, &r->read);
    r->read_renewed = true;
    return error ? fail(r, error, ALERT_INTERNAL_ERROR) : 0;
}

/* The header of a handshake message is there: what we do not expect ends here, before its body. */
static int check_message(struct tls_records *r)
{
    const uint8_t *m = r->part;

    if (r->read.version == 0x0303 && m[0] == (r->is_client ? HANDSHAKE_HELLO_REQUEST : HANDSHAKE_CLIENT_HELLO))
        return fail(r, -E_TLS, ALERT_NO_RENEGOTIATION);
    if (r->read.version == 0x0303 || m[0] != HANDSHAKE_KEY_UPDATE)
        return fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);
    if (m[1] || m[2] || m[3] != 1)
        return fail(r, -E_TLS, ALERT_DECODE_ERROR);
    return 0;
}

/* Handshake messages, which may be cut anywhere (RFC 8446 5.1). The longest that is taken has five bytes. */
static int take_handshake(struct tls_records *r, const uint8_t *content, size_t bytes)
{
    int error = bytes ? 0 : fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);

    for (size_t i = 0; i < bytes && !error; i++) {
        r->part[r->part_bytes++] = content[i];
        if (r->part_bytes == HANDSHAKE_HEADER)
            error = check_message(r);
        if (r->part_bytes == sizeof r->part && !error) {
            r->part_bytes = 0;
            error = take_key_update(r, i + 1 == bytes);
        }
    }
    return error;
}

/* A record that was opened and has no content for the reader. Returns 0 or an error. */
static int take_message(struct tls_records *r, enum content_type type, const uint8_t *content, size_t bytes)
{
    /* Empty content does no harm, but who sends nothing else is not spoken with for ever. */
    r->messages =
        (uint16_t)(r->messages + (type == CONTENT_HANDSHAKE ? 1 : RECORDS_UPDATES_MOST / RECORDS_MESSAGES_MOST));
    if (r->messages > RECORDS_UPDATES_MOST)
        return fail(r, -E_FLOOD, ALERT_UNEXPECTED_MESSAGE);
    if (r->part_bytes && type != CONTENT_HANDSHAKE) /* between its parts (RFC 8446 5.1) */
        return fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);
    switch ((int)type) {
    case CONTENT_APPLICATION_DATA:
        return 0;
    case CONTENT_ALERT:
        return take_alert(r, content, bytes);
    case CONTENT_HANDSHAKE:
        return take_handshake(r, content, bytes);
    default:
        return fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);
    }
}

int records_take(struct tls_records *r, enum content_type type, const uint8_t *content, size_t bytes)
{
    int error = take_message(r, type, content, bytes);

    owe_alert(r);
    return error;
}

/* ---- Opening ---- */

/* Bytes of the record at the content's start, header included; 0: not whole yet; or an error. */
static int next_record(struct tls_records *r, struct bytes received)
{
    size_t bytes, most = r->read.version == 0x0304 ? RECORD_CIPHER_MOST_1_3 : RECORD_CIPHER_MOST_1_2;

    if (received.size < RECORD_HEADER)
        return 0;
    bytes = (size_t)received.at[3] << 8 | received.at[4];
    /* RFC 8446 5.1: the version there "MUST be ignored for all purposes"; the tag covers it as it came. */
    if (r->read.version == 0x0303 && (received.at[1] != 3 || received.at[2] != 3))
        return fail(r, -E_TLS, ALERT_PROTOCOL_VERSION);
    /* Under TLS 1.3 everything is encrypted, and looks like content, once the handshake is complete. */
    if (r->read.version == 0x0304 && received.at[0] != CONTENT_APPLICATION_DATA)
        return fail(r, -E_TLS, ALERT_UNEXPECTED_MESSAGE);
    if (bytes > most)
        return fail(r, -E_TLS, ALERT_RECORD_OVERFLOW);
    return received.size - RECORD_HEADER < bytes ? 0 : (int)(RECORD_HEADER + bytes);
}

/* Gives out what was opened in place and had no room. */
static size_t give_pending(struct tls_records *r, struct buffer *cipher, uint8_t *plain, size_t room)
{
    size_t n = r->pending < room ? r->pending : room;

    if (n)
        memcpy(plain, cipher->data + cipher->start, n);
    buffer_consume(cipher, n);
    r->pending = (uint16_t)(r->pending - n);
    if (r->pending == 0) {
        buffer_consume(cipher, r->trailing);
        r->trailing = 0;
    }
    return n;
}

/* Opens the record of `bytes` at cipher's start. Returns content bytes given out (0: it had none, or was TLS's own), or an error. */
static int open_next(struct tls_records *r, struct buffer *cipher, size_t bytes, uint8_t *plain, size_t room)
{
    uint8_t *record = cipher->data + cipher->start;
    bool in_place = record_opened_most(&r->read, bytes) > room;
    uint8_t *to = in_place ? record + record_prefix(&r->read) : plain;
    size_t prefix = record_prefix(&r->read), limit = r->read_most;
    enum content_type type;
    int n = record_open(r->cache, &r->read, bytes_of(record, bytes), to, &type);

    if (n < 0)
        return fail(r, n == -E_SYNTAX ? -E_TLS : n, alert_of(n));
    if ((size_t)n > limit)
        return fail(r, -E_TLS, ALERT_RECORD_OVERFLOW);
    if (type != CONTENT_APPLICATION_DATA || n == 0 || r->part_bytes) {
        int error = take_message(r, type, to, (size_t)n);
        buffer_consume(cipher, bytes);
        return error;
    }
    r->messages = 0;
    if (!in_place) {
        buffer_consume(cipher, bytes);
        return n;
    }
    buffer_consume(cipher, prefix);
    r->pending = (uint16_t)n;
    r->trailing = (uint16_t)(bytes - prefix - (size_t)n);
    return (int)give_pending(r, cipher, plain, room);
}

int records_open(struct tls_records *r, struct buffer *cipher, uint8_t *plain, size_t room)
{
    size_t total = 0;
    int n = 0;

    if (r->pending)
        total = give_pending(r, cipher, plain, room);
    while (total < room && !r->ended && !r->peer_closed) {
        n = next_record(r, buffer_content(cipher));
        if (n <= 0)
            break;
        n = open_next(r, cipher, (size_t)n, plain + total, room - total);
        if (n < 0)
            break;
        total += (size_t)n;
    }
    if (total)
        return (int)total;
    owe_alert(r); /* not before: who has got data may still answer it, and nothing follows an alert */
    return r->ended ? r->ended : r->peer_closed ? 0 : -E_AGAIN;
}

/* ---- Sealing ---- */

/* Whether a KeyUpdate comes before the next content: the peer asked for it (RFC 8446 4.6.3), or our own key has sealed
 * nearly as much as it may. */
static bool update_is_due(const struct tls_records *r)
{
    return r->update_owed || (r->write.version == 0x0304 && r->write.key.sequence >= UPDATE_AFTER);
}

static void sent_small(struct tls_records *r, size_t bytes)
{
    r->small_left = (uint16_t)(bytes < r->small_left ? r->small_left - bytes : 0);
}

int records_seal(struct tls_records *r, struct bytes plain, struct buffer *out)
{
    int error = update_is_due(r) ? send_update(r, UPDATE_NOT_REQUESTED, out) : 0;

    CHECK(!r->finished);
    while (plain.size && !error) {
        struct bytes piece = bytes_part(plain, 0, records_piece(r));

        error = put_record(r, CONTENT_APPLICATION_DATA, piece, out);
        plain = bytes_from(plain, piece.size);
        sent_small(r, piece.size);
    }
    return error;
}

int records_seal_staged(struct tls_records *r, size_t bytes, struct buffer *out)
{
    uint8_t *at = records_stage(r, out);
    int error = 0;

    CHECK(!r->finished && buffer_room(out) >= records_sealed_size(r, bytes));
    if (update_is_due(r)) { /* its record comes to stand where the content does */
        memmove(at + UPDATE_RECORD, at, bytes);
        at += UPDATE_RECORD;
        error = send_update(r, UPDATE_NOT_REQUESTED, out);
    }
    if (!error)
        error = put_record(r, CONTENT_APPLICATION_DATA, bytes_of(at, bytes), out);
    sent_small(r, bytes);
    return error;
}

bool records_key_is_used_up(const struct tls_records *r, uint64_t sequence)
{
    return r->write.version == 0x0304 && sequence >= UPDATE_AFTER;
}

/* ---- Saying it ---- */

size_t records_word(const struct tls_records *r, bool at_end, enum content_type *ret_type,
                    uint8_t ret_word[RECORDS_WORD])
{
    static const uint8_t update[RECORDS_WORD] = { HANDSHAKE_KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED };
    const bool is_failed = r->alert_owed || (at_end && r->alert_due); /* whoever finishes asks for no more data */

    if (r->finished)
        return 0;
    if (!is_failed && !at_end && r->update_owed) {
        *ret_type = CONTENT_HANDSHAKE;
        memcpy(ret_word, update, sizeof update);
        return sizeof update;
    }
    if (!is_failed && (!at_end || r->ended))
        return 0;
    *ret_type = CONTENT_ALERT;
    ret_word[1] = is_failed ? r->alert : ALERT_CLOSE_NOTIFY;
    /* no_renegotiation is always a warning (RFC 5246 7.2.2), and close_notify too. */
    ret_word[0] = ret_word[1] == ALERT_NO_RENEGOTIATION || ret_word[1] == ALERT_CLOSE_NOTIFY ? 1 : 2;
    return 2;
}

int records_said(struct tls_records *r, enum content_type type)
{
    r->update_owed = false;
    if (type == CONTENT_HANDSHAKE)
        return update_key(r, &r->write);
    if (r->ended && !r->alert_received && r->alert == ALERT_NO_RENEGOTIATION)
        r->alert = ALERT_CLOSE_NOTIFY; /* a warning ends nothing by itself (RFC 5246 7.2.1) */
    else
        r->finished = true;
    return 0;
}

static int say(struct tls_records *r, bool at_end, struct buffer *out)
{
    uint8_t word[RECORDS_WORD];
    enum content_type type;
    size_t bytes;
    int error = 0;

    while (!error && (bytes = records_word(r, at_end, &type, word)) != 0) {
        error = put_record(r, type, bytes_of(word, bytes), out);
        if (!error)
            error = records_said(r, type);
    }
    r->alert_owed = false;
    return error;
}

int records_answer(struct tls_records *r, struct buffer *out)
{
    return say(r, false, out);
}

int records_finish(struct tls_records *r, struct buffer *out)
{
    return say(r, true, out);
}
