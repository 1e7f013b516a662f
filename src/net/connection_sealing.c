/* connection_sealing.c: what a connection under TLS sends.
 *
 *     send --> [staged, up to one record, where it will be sealed] --> records --> out --> socket
 *
 * What is staged stands behind the end of `out`, at the place where it will be sealed: the socket is given what is in front of that
 * end alone, so that nothing can leave in clear. Whoever appends to `out` seals before. */
#include "net/tls_connection.h"

/* So long nothing was sent: what comes then is to arrive early. */
#define PAUSE_NS NS_PER_S

/* ---- The session, or our own records ---- */

/* Content bytes of the next record, and what sealing adds to it. */
static size_t piece(const struct tls_connection *t)
{
    return t->own ? records_piece(&t->records) : tls_session_piece(t->session);
}

static size_t overhead(const struct tls_connection *t)
{
    return t->own ? record_overhead(&t->records.write) : TLS_RECORD_OVERHEAD;
}

static size_t sealed_size(const struct tls_connection *t, size_t bytes)
{
    return t->own ? records_sealed_size(&t->records, bytes) : tls_sealed_size(bytes, tls_session_piece(t->session));
}

/* From the end of out to what is staged: where the ciphertext will stand, or, since OpenSSL seals elsewhere and copies, so far
 * away that a KeyUpdate of its own in front of the record does not reach it. */
static size_t gap(const struct tls_connection *t)
{
    return t->own ? record_prefix(&t->records.write) : TLS_RECORD_OVERHEAD;
}

static uint8_t *stage_at(struct tls_connection *t)
{
    return t->base.out.data + t->base.out.end + gap(t);
}

int tls_connection_reserve_out(struct tls_connection *t, size_t bytes)
{
    struct connection *c = &t->base;
    int error = 0;

    if (c->out.size < BUFFER_LARGE) {
        CHECK(t->staged == 0);
        error = connection_reserve_out(c);
    }
    if (!error && buffer_room(&c->out) < bytes) {
        const uint8_t *staged = stage_at(t);
        buffer_compact(&c->out);
        memmove(stage_at(t), staged, t->staged);
    }
    return error;
}

static int seal(struct tls_connection *t, struct bytes plain)
{
    struct buffer *out = &t->base.out;
    int error;

    CHECK(t->staged == 0);
    error = tls_connection_reserve_out(t, sealed_size(t, plain.size));
    if (error)
        return error;
    CHECK(buffer_room(out) >= sealed_size(t, plain.size));
    return t->own ? records_seal(&t->records, plain, out) : tls_session_seal(t->session, plain, out);
}

int tls_connection_seal_staged(struct tls_connection *t)
{
    struct buffer *out = &t->base.out;
    size_t staged = t->staged;

    t->staged = 0;
    if (staged == 0)
        return 0;
    return t->own ? records_seal_staged(&t->records, staged, out)
                  : tls_session_seal(t->session, bytes_of(stage_at(t), staged), out);
}

static int finish(struct tls_connection *t)
{
    if (t->own)
        return records_finish(&t->records, &t->base.out);
    tls_session_finish(t->session, &t->base.out);
    return 0;
}

/* ---- Sending ---- */

/* After a pause, the next content begins with small records. */
static bool has_paused(const struct tls_connection *t)
{
    return t->own && t->staged == 0 && loop_now(t->base.net->loop) - t->sent_ns > PAUSE_NS;
}

/* Free bytes that out can come to have for content, but for those that TLS's own answers and the end may need. */
static size_t out_room(const struct tls_connection *t)
{
    size_t room = connection_out_room(&t->base), kept = RECORDS_ANSWER + TLS_RECORD_OVERHEAD;

    if (t->own) /* a KeyUpdate goes first */
        kept += records_small_extra(&t->records, has_paused(t)) + (records_owes(&t->records) ? RECORDS_UPDATE : 0);
    return room > kept ? room - kept : 0;
}

/* What fits holds however it is cut: n bytes fewer than before, at the least, are left after n bytes were taken. */
size_t tls_connection_room(const struct connection *c)
{
    const struct tls_connection *t = tls_of(c);
    size_t room = t->state == TLS_OPEN ? out_room(t) : 0, most, around;

    if (room == 0)
        return 0;
    most = t->own ? t->records.plain_most : tls_session_piece(t->session);
    around = records_count(room, most) * overhead(t) + t->staged;
    return room > around ? room - around : 0;
}

/* Content is about to be sealed. */
static void note_sending(struct tls_connection *t)
{
    if (has_paused(t))
        records_paused(&t->records);
    t->sent_ns = loop_now(t->base.net->loop);
}

/* Fills the staged record up. Returns the bytes taken or an error. */
static ssize_t stage(struct tls_connection *t, struct bytes data)
{
    size_t space = piece(t) - t->staged, n = data.size < space ? data.size : space;
    size_t bytes = sealed_size(t, t->staged + n);
    int error = tls_connection_reserve_out(t, bytes);

    if (error)
        return error;
    CHECK(buffer_room(&t->base.out) >= bytes);
    memcpy(stage_at(t) + t->staged, data.at, n);
    t->staged = (uint16_t)(t->staged + n);
    if (t->staged == piece(t))
        error = tls_connection_seal_staged(t);
    return error ? error : (ssize_t)n;
}

/* Of so many bytes, those that make whole records: straight from the owner's memory. */
static size_t whole_records(const struct tls_connection *t, size_t bytes)
{
    size_t most = piece(t), small;

    if (bytes < most)
        return 0;
    small = t->own ? records_count(t->records.small_left, most) * most : 0;
    bytes -= bytes % most;
    return small && bytes > small ? small : bytes; /* then come larger ones */
}

ssize_t tls_connection_send(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    size_t room = tls_connection_room(c), taken = 0;

    if (data.size > room)
        data.size = room;
    if (data.size)
        note_sending(t);
    while (taken < data.size) {
        struct bytes rest = bytes_from(data, taken);
        ssize_t n = t->staged ? 0 : (ssize_t)whole_records(t, rest.size);

        if (n) {
            int error = seal(t, bytes_part(rest, 0, (size_t)n));
            if (error)
                return error;
        } else {
            n = stage(t, rest);
            if (n < 0)
                return n;
        }
        taken += (size_t)n;
    }
    return (ssize_t)taken;
}

ssize_t tls_connection_pass(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state != TLS_OPEN)
        return 0;
    error = tls_connection_seal_staged(t);
    data = bytes_part(data, 0, tls_connection_room(c));
    if (!error && data.size) {
        note_sending(t);
        error = seal(t, data);
    }
    return error ? error : (ssize_t)data.size;
}

int tls_connection_answer(struct tls_connection *t)
{
    int error = 0;

    if (!t->own || !records_owes(&t->records))
        return 0;
    if (t->base.kernel_seals)
        return connection_kernel_say(t);
    error = tls_connection_seal_staged(t);
    if (!error)
        error = tls_connection_reserve_out(t, RECORDS_ANSWER);
    if (error || buffer_room(&t->base.out) < RECORDS_ANSWER)
        return error;
    return records_answer(&t->records, &t->base.out);
}

int tls_connection_seal(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state == TLS_FAILED) { /* only its alert leaves */
        t->staged = 0;
        return 0;
    }
    error = tls_connection_seal_staged(t);
    if (!error)
        error = tls_connection_answer(t);
    if (!error && connection_kernel_take_sending(t))
        return c->ops->seal(c);
    if (error || !c->finish_asked || c->finish_sealed)
        return error;
    if (t->state == TLS_OPEN) {
        error = tls_connection_reserve_out(t, TLS_RECORD_OVERHEAD);
        if (error || buffer_room(&c->out) < TLS_RECORD_OVERHEAD)
            return error;
        error = finish(t);
    }
    c->finish_sealed = true;
    return error;
}

int tls_connection_fail(struct tls_connection *t, int error)
{
    t->staged = 0;
    (void)!tls_connection_answer(t);
    t->state = TLS_FAILED;
    buffer_drop(t->base.net->pool, &t->cipher);
    if (buffer_used(&t->base.out))
        (void)!connection_flush(&t->base); /* the alert, as far as it goes */
    return error;
}

int tls_connection_fail_with_alert(struct tls_connection *t, uint8_t alert, int error)
{
    uint8_t record[ALERT_RECORD];

    t->alert = alert;
    alert_write(alert, record);
    (void)!buffer_append(t->base.net->pool, &t->base.out, bytes_of(record, sizeof record));
    return tls_connection_fail(t, error);
}
