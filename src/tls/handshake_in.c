/* handshake_in.c: the client's messages out of its records, in the clear and under the handshake's keys (RFC 8446 5). */
#include <stdlib.h>
#include <string.h>

#include "tls/handshake_private.h"

/* Of early data that is not accepted: what a client may have sent before it knew (RFC 8446 4.2.10). We never invite any; those who send
 * it all the same have a ticket of somebody else's, and at most what that one allowed. */
enum { EARLY_DATA_MOST = 4 * (RECORD_PLAIN_MOST + 256) };

/* Records that say nothing: ChangeCipherSpec and user_canceled. Clients send one or two of them; nobody is kept busy with more. */
enum { IDLE_RECORDS_MOST = 32 };

/* Where a record is opened; one handshake of a thread at a time. */
static _Thread_local uint8_t opened[RECORD_CIPHER_MOST_1_3];

static int unexpected(struct handshake *h, const char *reason)
{
    return handshake_fail(h, -E_TLS, ALERT_UNEXPECTED_MESSAGE, reason);
}

/* ---- Records ---- */

static int skip_idle_record(struct handshake *h)
{
    return ++h->idle_records > IDLE_RECORDS_MOST ? unexpected(h, "too many records that say nothing") : 0;
}

/* RFC 8446 6: whatever its level, an alert other than close_notify and user_canceled is fatal. */
static int take_alert(struct handshake *h, struct bytes content)
{
    if (content.size == 0) /* RFC 8446 5.4 */
        return unexpected(h, "an empty alert");
    if (content.size != 2)
        return handshake_fail(h, -E_TLS, ALERT_DECODE_ERROR, "an alert is two bytes");
    if (content.at[1] == ALERT_USER_CANCELED) /* close_notify follows */
        return h->in.bytes ? unexpected(h, "an alert within a message") : skip_idle_record(h);
    h->failure.alert_received = true;
    h->failure.alert = content.at[1];
    return handshake_fail(h, -E_TLS_ALERT, content.at[1], NULL);
}

/* RFC 8446 5: a single 1, at any time between the first ClientHello and the client's Finished, is to be dropped. */
static int skip_change_cipher_spec(struct handshake *h, struct bytes content)
{
    if (content.size != 1 || content.at[0] != 1)
        return unexpected(h, "not the one ChangeCipherSpec that is allowed");
    return skip_idle_record(h);
}

static bool is_early_data(struct handshake *h, size_t bytes)
{
    if (!h->skips_early_data)
        return false;
    h->early_bytes += (uint32_t)bytes;
    return h->early_bytes <= EARLY_DATA_MOST;
}

static int take_plain(struct handshake *h, uint8_t type, struct bytes content)
{
    switch (type) {
    case CONTENT_HANDSHAKE:
        if (h->read_is_protected)
            return unexpected(h, "a handshake message in the clear");
        if (content.size == 0)
            return unexpected(h, "an empty handshake record");
        h->skips_early_data = false; /* a second ClientHello: nothing early follows */
        h->in.content = content;
        return 0;
    case CONTENT_ALERT: /* a client that could not go on with our ServerHello has no keys to say so */
        return h->client_spoke ? unexpected(h, "an alert in the clear") : take_alert(h, content);
    case CONTENT_APPLICATION_DATA:
        return is_early_data(h, content.size) ? 0 : unexpected(h, "content before the handshake's end");
    default:
        return unexpected(h, "a record of an unknown type");
    }
}

static int take_protected(struct handshake *h, struct bytes record)
{
    enum content_type type;
    int n = record_open(h->aeads, &h->read, record, opened, &type);

    if (n == -E_TLS && is_early_data(h, record.size - RECORD_HEADER))
        return 0;
    if (n == -E_TLS)
        return handshake_fail(h, n, ALERT_BAD_RECORD_MAC, "a record that cannot be decrypted");
    if (n == -E_SYNTAX)
        return unexpected(h, "a record of nothing but padding");
    if (n < 0)
        return handshake_fail(h, n, ALERT_INTERNAL_ERROR, NULL);
    if ((size_t)n > fragment_most(h))
        return handshake_fail(h, -E_TLS, ALERT_RECORD_OVERFLOW, "a record with too much content");
    h->client_spoke = true;
    h->skips_early_data = false;
    if (type == CONTENT_ALERT)
        return take_alert(h, bytes_of(opened, (size_t)n));
    if (type != CONTENT_HANDSHAKE)
        return unexpected(h, "something else than the handshake's messages");
    if (n == 0)
        return unexpected(h, "an empty handshake record");
    h->in.content = bytes_of(opened, (size_t)n);
    return 0;
}

/* Takes one record. */
static int next_record(struct handshake *h, struct bytes *in)
{
    size_t most = h->read_is_protected ? RECORD_CIPHER_MOST_1_3 : RECORD_PLAIN_MOST, length;
    struct bytes record;
    uint8_t type;

    if (in->size == 0)
        return -E_AGAIN;
    type = in->at[0];
    if (type < CONTENT_CHANGE_CIPHER_SPEC || type > CONTENT_APPLICATION_DATA)
        return unexpected(h, "a record of an unknown type");
    if (in->size < RECORD_HEADER)
        return -E_AGAIN;
    length = (size_t)in->at[3] << 8 | in->at[4];
    /* Early data is protected also where we cannot open it yet. */
    if (length > (type == CONTENT_APPLICATION_DATA && h->skips_early_data ? (size_t)RECORD_CIPHER_MOST_1_3 : most))
        return handshake_fail(h, -E_TLS, ALERT_RECORD_OVERFLOW, "a record that is too long");
    if (in->size < RECORD_HEADER + length)
        return -E_AGAIN;
    record = bytes_part(*in, 0, RECORD_HEADER + length);
    *in = bytes_from(*in, record.size);
    if (type == CONTENT_CHANGE_CIPHER_SPEC)
        return skip_change_cipher_spec(h, bytes_from(record, RECORD_HEADER));
    if (type == CONTENT_APPLICATION_DATA && h->read_is_protected)
        return take_protected(h, record);
    return take_plain(h, type, bytes_from(record, RECORD_HEADER));
}

/* ---- Messages ---- */

static size_t message_bytes(const uint8_t *header)
{
    return HANDSHAKE_HEADER + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
}

/* Of a message of which so much is there. 0: go on. */
static int check_message(struct handshake *h, struct bytes start)
{
    size_t most = message_most(h, start.at[0]);

    if (most == 0)
        return unexpected(h, "a message that may not come here");
    if (start.size >= HANDSHAKE_HEADER && message_bytes(start.at) > most)
        return handshake_fail(h, -E_TLS, ALERT_DECODE_ERROR, "a message that is too long");
    return 0;
}

/* The record ends within the message: what of it is there moves to memory of its own. */
static int keep_part(struct handshake *h, size_t bytes)
{
    struct message_in *m = &h->in;

    if (m->bytes + bytes > m->room) {
        size_t room = m->bytes + bytes < 512 ? 512 : 2 * (m->bytes + bytes);
        uint8_t *data = realloc(m->data, room);

        if (!data)
            return handshake_fail(h, -E_MEMORY, ALERT_INTERNAL_ERROR, NULL);
        m->data = data;
        m->room = room;
    }
    memcpy(m->data + m->bytes, m->content.at, bytes);
    m->bytes += bytes;
    m->content = bytes_from(m->content, bytes);
    return 0;
}

/* One more piece of a message that came in pieces. Returns whether it is whole, or an error. */
static int add_piece(struct handshake *h)
{
    struct message_in *m = &h->in;
    size_t wanted = m->bytes < HANDSHAKE_HEADER ? HANDSHAKE_HEADER - m->bytes : message_bytes(m->data) - m->bytes;
    int error = keep_part(h, wanted < m->content.size ? wanted : m->content.size);

    if (!error)
        error = check_message(h, bytes_of(m->data, m->bytes));
    if (error)
        return error;
    return m->bytes >= HANDSHAKE_HEADER && m->bytes == message_bytes(m->data);
}

/* The message is in the record as a whole: a view of it. */
static bool take_whole(struct message_in *m, struct bytes *ret_message)
{
    size_t bytes = m->content.size < HANDSHAKE_HEADER ? SIZE_MAX : message_bytes(m->content.at);

    if (m->content.size < bytes)
        return false;
    *ret_message = bytes_part(m->content, 0, bytes);
    m->content = bytes_from(m->content, bytes);
    return true;
}

int message_next(struct handshake *h, struct bytes *in, struct bytes *ret_message)
{
    struct message_in *m = &h->in;
    bool is_whole = m->bytes >= HANDSHAKE_HEADER && m->bytes == message_bytes(m->data);
    int n = 0;

    if (is_whole) /* it was given out, and is done with */
        m->bytes = 0;
    for (;;) {
        if (m->content.size == 0) {
            n = next_record(h, in);
        } else if (m->bytes == 0) {
            n = check_message(h, m->content);
            if (n == 0 && take_whole(m, ret_message))
                return 0;
            if (n == 0)
                n = keep_part(h, m->content.size);
        } else {
            n = add_piece(h);
            if (n == 1) {
                *ret_message = bytes_of(m->data, m->bytes);
                return 0;
            }
        }
        if (n < 0)
            return n;
    }
}

bool message_is_followed(const struct handshake *h)
{
    return h->in.content.size > 0;
}

void message_in_clear(struct message_in *m)
{
    if (m->data)
        explicit_bzero(m->data, m->room);
    free(m->data);
    *m = (struct message_in){ 0 };
}
