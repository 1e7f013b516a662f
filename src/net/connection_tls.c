/* connection_tls.c: a connection under TLS, as a server or as a client.
 *
 *     socket --> cipher --> [ClientHello parser, then] the session, then records --> in
 *     send --> [staged, up to one record, where it will be sealed] --> records --> out --> socket
 *
 * When the handshake is complete the session hands its keys over and records are our own (tls/records.h); where it keeps them, the
 * session protects the records. What differs between the two is in the functions of the first part.
 *
 * What is staged stands behind the end of `out`, at the place where it will be sealed: the socket is given what is in front of that
 * end alone, so that nothing can leave in clear. Whoever appends to `out` seals before. */
#include <unistd.h>

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

/* out has so many free bytes at its end; what is staged is among them and moves along. */
static int reserve_out(struct tls_connection *t, size_t bytes)
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
    error = reserve_out(t, sealed_size(t, plain.size));
    if (error)
        return error;
    CHECK(buffer_room(out) >= sealed_size(t, plain.size));
    return t->own ? records_seal(&t->records, plain, out) : tls_session_seal(t->session, plain, out);
}

static int seal_staged(struct tls_connection *t)
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

/* Opens what is in cipher. Returns as tls_session_open. */
static int open_into(struct tls_connection *t, uint8_t *plain, size_t room)
{
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size;
    int n;

    if (t->own)
        return records_open(&t->records, &t->cipher, plain, room);
    n = tls_session_open(t->session, &received, plain, room, &t->base.out);
    buffer_consume(&t->cipher, before - received.size);
    return n;
}

static bool has_more(const struct tls_connection *t)
{
    return t->own ? records_have_more(&t->records) : tls_session_has_more(t->session);
}

/* The handshake is complete. */
static void take_records(struct tls_connection *t)
{
    struct traffic_keys keys;

    if (!t->hooks || !tls_session_hand_over(t->session, &keys))
        return;
    records_init(&t->records, &keys, false, t->base.net->aeads);
    t->own = true;
    if (tls_session_records(t->session) == TLS_RECORDS_KERNEL)
        connection_kernel_want(t);
    if (tls_session_is_spent(t->session)) {
        tls_session_free(t->session);
        t->session = NULL;
    }
    net_trim_later(t->base.net);
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
static size_t tls_room(const struct connection *c)
{
    const struct tls_connection *t = tls_of(c);
    size_t room = t->state == TLS_OPEN ? out_room(t) : 0, most, around;

    if (room == 0)
        return 0;
    most = t->own ? t->records.plain_most : tls_session_piece(t->session);
    around = (room + most - 1) / most * overhead(t) + t->staged;
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
    int error = reserve_out(t, bytes);

    if (error)
        return error;
    CHECK(buffer_room(&t->base.out) >= bytes);
    memcpy(stage_at(t) + t->staged, data.at, n);
    t->staged += (uint32_t)n;
    if (t->staged == piece(t))
        error = seal_staged(t);
    return error ? error : (ssize_t)n;
}

/* Of so many bytes, those that make whole records: straight from the owner's memory. */
static size_t whole_records(const struct tls_connection *t, size_t bytes)
{
    size_t most = piece(t), small = t->own ? (t->records.small_left + most - 1) / most * most : 0;

    bytes -= bytes % most;
    return small && bytes > small ? small : bytes; /* then come larger ones */
}

static ssize_t tls_send(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    size_t room = tls_room(c), taken = 0;

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

static ssize_t tls_pass(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state != TLS_OPEN)
        return 0;
    error = seal_staged(t);
    data = bytes_part(data, 0, tls_room(c));
    if (!error && data.size) {
        note_sending(t);
        error = seal(t, data);
    }
    return error ? error : (ssize_t)data.size;
}

/* What TLS itself has to say, when there is room for it: else with a later flush. */
static int answer(struct tls_connection *t)
{
    int error = 0;

    if (!t->own || !records_owes(&t->records))
        return 0;
    if (t->base.kernel_seals)
        return connection_kernel_say(t);
    error = seal_staged(t);
    if (!error)
        error = reserve_out(t, RECORDS_ANSWER);
    if (error || buffer_room(&t->base.out) < RECORDS_ANSWER)
        return error;
    return records_answer(&t->records, &t->base.out);
}

static int tls_seal(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state == TLS_FAILED) { /* only its alert leaves */
        t->staged = 0;
        return 0;
    }
    error = seal_staged(t);
    if (!error)
        error = answer(t);
    if (!error && connection_kernel_take_sending(t))
        return c->ops->seal(c);
    if (error || !c->finish_asked || c->finish_sealed)
        return error;
    if (t->state == TLS_OPEN) {
        error = reserve_out(t, TLS_RECORD_OVERHEAD);
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
    (void)!answer(t);
    t->state = TLS_FAILED;
    buffer_drop(t->base.net->pool, &t->cipher);
    if (buffer_used(&t->base.out))
        (void)!connection_flush(&t->base); /* the alert, as far as it goes */
    return error;
}

static int fail_with_alert(struct tls_connection *t, uint8_t alert, int error)
{
    uint8_t record[ALERT_RECORD];

    t->alert = alert;
    alert_write(alert, record);
    (void)!buffer_append(t->base.net->pool, &t->base.out, bytes_of(record, sizeof record));
    return tls_connection_fail(t, error);
}

static int read_hello(struct tls_connection *t)
{
    struct connection *c = &t->base;
    struct client_hello hello;
    struct arena arena;
    uint8_t alert = ALERT_INTERNAL_ERROR;
    int error;

    arena_init(&arena, &c->net->arenas, CLIENT_HELLO_MOST + ARENA_BLOCK);
    error = client_hello_read(buffer_content(&t->cipher), &arena, &hello, &alert);
    if (error == 0) {
        t->session = t->hooks->choose(c, &hello, &alert, &error);
        if (t->session)
            t->state = TLS_HANDSHAKE;
    }
    arena_reset(&arena);
    if (error == 0 || error == -E_AGAIN || error == -E_PASSED_ON)
        return error;
    return error == -E_NOT_TLS ? tls_connection_fail(t, error) : fail_with_alert(t, alert, error);
}

static int handshake(struct tls_connection *t)
{
    struct connection *c = &t->base;
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size;
    int error = reserve_out(t, BUFFER_LARGE / 2), flushed;

    if (error)
        return error;
    error = tls_session_handshake(t->session, &received, &c->out);
    buffer_consume(&t->cipher, before - received.size);
    if (error == 0) {
        t->state = TLS_OPEN;
        if (t->hooks)
            t->hooks->established(c);
        take_records(t);
        if (t->own && !t->kernel && t->records.write.version == 0x0304 &&
            buffer_used(&t->cipher)) /* tickets leave with an answer */
            c->held = (uint32_t)buffer_used(&c->out);
    } else if (error != -E_AGAIN) {
        return tls_connection_fail(t, error);
    }
    flushed = buffer_used(&c->out) || t->kernel ? connection_flush(c) : 0;
    return flushed < 0 && flushed != -E_AGAIN ? flushed : error;
}

/* Opens what is in cipher. Returns as connection_receive. */
static int open_records(struct tls_connection *t)
{
    struct connection *c = &t->base;
    int n = connection_reserve(c, &c->in), error;
    size_t out_before;

    if (n == 0 && !t->own) { /* OpenSSL answers by itself, into out */
        n = seal_staged(t);
        if (n == 0)
            n = reserve_out(t, TLS_RECORD_OVERHEAD);
    }
    if (n)
        return n;
    if (buffer_room(&c->in) == 0)
        return -E_AGAIN;
    out_before = buffer_used(&c->out);
    n = open_into(t, c->in.data + c->in.end, buffer_room(&c->in));
    if (n > 0) {
        buffer_commit(&c->in, (size_t)n);
        t->fruitless = 0;
    } else if (n == 0)
        t->close_notify_seen = true;
    else if (n == -E_AGAIN)
        t->drained = true;
    else
        return tls_connection_fail(t, n);
    error = answer(t);
    if (!error && buffer_used(&c->out) > out_before)
        error = connection_flush(c);
    return error < 0 && error != -E_AGAIN ? error : n;
}

/* What cipher holds, brought forward. */
static int advance(struct tls_connection *t)
{
    int n = 0;

    if (t->state == TLS_HELLO)
        n = read_hello(t);
    if (n == 0 && t->state == TLS_HANDSHAKE)
        n = handshake(t);
    if (n == 0 && t->state == TLS_OPEN)
        n = open_records(t);
    return n;
}

static int read_more(struct tls_connection *t)
{
    struct connection *c = &t->base;
    int n = connection_reserve(c, &t->cipher);

    if (n == 0)
        n = connection_read_socket(c, &t->cipher, t->kernel ? connection_kernel_read_most(t) : SIZE_MAX);
    if (n == 0) {
        t->socket_ended = true;
        return -E_TRUNCATED;
    }
    t->drained = false;
    if (n > 0 && (t->fruitless += (uint32_t)n) > FRUITLESS_MOST)
        return tls_connection_fail(t, -E_LIMIT);
    return n;
}

static int receive_records(struct tls_connection *t)
{
    struct connection *c = &t->base;
    int n;

    if (t->close_notify_seen)
        return 0;
    if (t->state == TLS_FAILED || t->socket_ended)
        return -E_TRUNCATED;
    if (t->state == TLS_OPEN && !t->drained) { /* plaintext may wait, also when cipher is empty */
        n = open_records(t);
        if (n != -E_AGAIN)
            return n;
    }
    if (t->untried) {
        t->untried = false;
        n = advance(t);
        if (n != -E_AGAIN)
            return n;
    }
    do { /* to the end: no event tells of what the socket still holds, be it only the peer's end */
        if (t->kernel && connection_kernel_take_receiving(t))
            return c->ops->receive(c);
        if (!c->readable)
            return -E_AGAIN;
        n = read_more(t);
        if (n < 0)
            return n;
        n = advance(t);
    } while (n == -E_AGAIN);
    return n;
}

int tls_connection_receive(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int n = receive_records(t);

    if (t->cipher.data && buffer_used(&t->cipher) == 0)
        buffer_drop(c->net->pool, &t->cipher);
    return n;
}

bool tls_connection_holds(const struct connection *c)
{
    const struct tls_connection *t = tls_of(c);

    if (t->untried)
        return true;
    return t->state == TLS_OPEN && !t->drained && (buffer_used(&t->cipher) || has_more(t));
}

void tls_connection_settle(struct connection *c)
{
    struct tls_connection *t = tls_of(c);

    if (t->staged == 0)
        buffer_settle(c->net->pool, &c->out);
    buffer_settle(c->net->pool, &t->cipher);
}

void tls_connection_release(struct connection *c)
{
    struct tls_connection *t = tls_of(c);

    if (t->own)
        records_clear(&t->records);
    t->own = false;
    tls_session_free(t->session);
    t->session = NULL;
    buffer_drop(c->net->pool, &t->cipher);
    connection_kernel_free(t);
}

static const struct connection_ops tls_ops = {
    tls_connection_receive, tls_connection_holds,   tls_room, tls_send, tls_pass, tls_seal,
    tls_connection_settle,  tls_connection_release,
};

struct connection *connection_new_tls_server(struct net *net, int fd, const struct tls_server_hooks *hooks)
{
    struct tls_connection *t = connection_alloc(&net->tls_connections, sizeof *t);

    if (t && connection_start(&t->base, net, fd, &tls_ops) == 0) {
        t->hooks = hooks;
        t->alert = -1;
        return &t->base;
    }
    connection_unalloc(t ? &t->base : NULL);
    close(fd);
    return NULL;
}

/* What the plain connection has received is TLS's. NULL: it is gone. */
static struct tls_connection *start_tls(struct connection *plain)
{
    struct tls_connection *t = connection_alloc(&plain->net->tls_connections, sizeof *t);
    struct buffer received = plain->in;

    plain->in = (struct buffer){ 0 };
    if (!t || connection_become(plain, &t->base, &tls_ops) < 0) {
        buffer_drop(plain->net->pool, &received);
        if (!t)
            connection_close(plain, true);
        return NULL;
    }
    t->cipher = received;
    t->alert = -1;
    return t;
}

struct connection *connection_start_tls_server(struct connection *plain, const struct tls_server_hooks *hooks)
{
    struct tls_connection *t = start_tls(plain);

    if (!t)
        return NULL;
    t->untried = buffer_used(&t->cipher) > 0;
    t->hooks = hooks;
    return &t->base;
}

struct connection *connection_start_tls_client(struct connection *plain, struct tls_session *session)
{
    struct tls_connection *t = start_tls(plain);

    if (!t) {
        tls_session_free(session);
        return NULL;
    }
    t->session = session;
    t->state = TLS_HANDSHAKE;
    return &t->base;
}

int connection_handshake(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int n;

    CHECK(c->ops == &tls_ops && !t->hooks);
    if (t->state == TLS_OPEN)
        return 0;
    if (t->state == TLS_FAILED || t->socket_ended)
        return -E_TRUNCATED;
    n = connection_is_flushed(c) ? 0 : connection_flush(c);
    if (n < 0 && n != -E_AGAIN)
        return n;
    n = handshake(t);
    while (n == -E_AGAIN && c->readable) {
        n = read_more(t);
        if (n > 0)
            n = handshake(t);
    }
    return n;
}

struct buffer connection_take_cipher(struct connection *tls)
{
    struct tls_connection *t = tls_of(tls);
    struct buffer received = t->cipher;

    CHECK(tls->ops == &tls_ops && t->state == TLS_HELLO);
    t->cipher = (struct buffer){ 0 };
    return received;
}

bool connection_is_tls(const struct connection *c)
{
    return c->ops == &tls_ops || c->kernel_seals;
}

struct tls_session *connection_tls(const struct connection *c)
{
    return connection_is_tls(c) ? tls_of(c)->session : NULL;
}

int connection_alert(const struct connection *c)
{
    return connection_is_tls(c) ? tls_of(c)->alert : -1;
}
