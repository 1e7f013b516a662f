/* handshake_out.c: our messages into records, and alerts. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tls/handshake_private.h"

/* Behind out's end: the place where staged bytes become a record. */
static uint8_t *stage_at(struct handshake *h)
{
    return h->out->data + h->out->end + RECORD_HEADER;
}

static size_t around(const struct handshake *h)
{
    return h->write_is_protected ? record_overhead(&h->write) : (size_t)RECORD_HEADER;
}

/* RFC 6066 4; void beside record_size_limit (RFC 8449 5). */
size_t fragment_most(const struct handshake *h)
{
    return h->max_fragment_length && !h->record_size_limit ? 256u << h->max_fragment_length : RECORD_PLAIN_MOST;
}

/* RFC 8449 4: the limit counts the type's byte, and says nothing of the client's own records. */
size_t protected_most(const struct handshake *h)
{
    return h->record_size_limit && h->record_size_limit <= RECORD_PLAIN_MOST ? h->record_size_limit - 1u
                                                                             : fragment_most(h);
}

static size_t record_most(const struct handshake *h)
{
    return h->write_is_protected ? protected_most(h) : fragment_most(h);
}

static int seal(struct handshake *h, enum content_type type, struct bytes content)
{
    uint8_t *record = h->out->data + h->out->end;
    int n;

    if (h->write_is_protected) {
        n = record_seal(h->aeads, &h->write, type, content, record);
    } else {
        record[0] = (uint8_t)type;
        record[1] = record[2] = 3;
        record[3] = (uint8_t)(content.size >> 8);
        record[4] = (uint8_t)content.size;
        n = (int)(RECORD_HEADER + content.size);
    }
    if (n > 0)
        buffer_commit(h->out, (size_t)n);
    return n < 0 ? n : 0;
}

int message_seal(struct handshake *h)
{
    struct bytes content = bytes_of(stage_at(h), h->staged);
    int error;

    h->staged = 0;
    if (content.size == 0)
        return 0;
    error = seal(h, CONTENT_HANDSHAKE, content);
    return error ? handshake_fail(h, error, ALERT_INTERNAL_ERROR, NULL) : 0;
}

int message_put(struct handshake *h, struct bytes bytes)
{
    key_schedule_add(&h->schedule, bytes);
    while (bytes.size) {
        size_t space = record_most(h) - h->staged, n = bytes.size < space ? bytes.size : space;
        int error = 0;

        if (buffer_room(h->out) < h->staged + n + around(h)) /* more than the session asks its caller for */
            return handshake_fail(h, -E_LIMIT, ALERT_INTERNAL_ERROR, "our flight is too long");
        memcpy(stage_at(h) + h->staged, bytes.at, n);
        h->staged += (uint32_t)n;
        bytes = bytes_from(bytes, n);
        if (h->staged == record_most(h))
            error = message_seal(h);
        if (error)
            return error;
    }
    return 0;
}

void handshake_put_change_cipher_spec(struct handshake *h)
{
    static const uint8_t record[] = { CONTENT_CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1 };

    CHECK(h->staged == 0);
    if (h->session_id_bytes == 0 || h->said_change_cipher_spec || buffer_room(h->out) < sizeof record)
        return;
    memcpy(h->out->data + h->out->end, record, sizeof record);
    buffer_commit(h->out, sizeof record);
    h->said_change_cipher_spec = true;
}

static bool put_alert(struct handshake *h, uint8_t level, uint8_t description)
{
    const uint8_t alert[] = { level, description };

    if (buffer_room(h->out) < sizeof alert + RECORD_OVERHEAD_MOST)
        return false;
    memcpy(stage_at(h), alert, sizeof alert);
    return seal(h, CONTENT_ALERT, bytes_of(stage_at(h), sizeof alert)) == 0;
}

void handshake_put_alert(struct handshake *h)
{
    enum { WARNING = 1, FATAL = 2 };
    struct tls_failure *f = &h->failure;

    h->staged = 0;
    if (!f->alert_received && !f->alert_sent)
        f->alert_sent = put_alert(h, FATAL, f->alert);
    else if (f->alert_received && f->alert == ALERT_CLOSE_NOTIFY && !h->said_goodbye) /* RFC 8446 6.1 */
        h->said_goodbye = put_alert(h, WARNING, ALERT_CLOSE_NOTIFY);
}

int handshake_fail(struct handshake *h, int error, uint8_t alert, const char *reason)
{
    h->failure.alert = alert;
    if (h->failure.reason[0])
        return error;
    if (h->failure.alert_received)
        snprintf(h->failure.reason, sizeof h->failure.reason, "the client sent the alert %s", alert_name(alert));
    else
        snprintf(h->failure.reason, sizeof h->failure.reason, "%s", reason ? reason : error_text(error));
    return error;
}

void handshake_protect(struct handshake *h, struct record_keys *direction, const uint8_t *secret, bool is_sealing)
{
    const struct traffic_keys kind = { .version = 0x0304, .aead = h->suite->aead, .secret_bytes = h->schedule.bytes };

    aead_release(h->aeads, &direction->holder);
    *direction = (struct record_keys){ .version = kind.version, .aead = kind.aead, .is_sealing = is_sealing };
    memcpy(direction->key.secret, secret, kind.secret_bytes); /* there alone: no copy stays on the stack */
    traffic_key_expand(&kind, &direction->key);
}
