/* connection_tls.c: a connection under TLS, as a server or as a client: what it receives, and what brings its parts together.
 *
 *     socket --> cipher --> the handshake (connection_handshake.c), then the session, or our own records --> in
 *     send --> [staged] --> records --> out --> socket (connection_sealing.c) */
#include "net/tls_connection.h"

/* Opens what is in cipher. Returns as tls_session_open. */
static int open_into(struct tls_connection *t, uint8_t *plain, size_t room)
{
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size;
    int n;

    if (t->own) {
        tls_connection_forgive(t);
        return records_open(&t->records, &t->cipher, plain, room);
    }
    n = tls_session_open(t->session, &received, plain, room, &t->base.out);
    buffer_consume(&t->cipher, before - received.size);
    return n;
}

static bool has_more(const struct tls_connection *t)
{
    return t->own ? records_have_more(&t->records) : tls_session_has_more(t->session);
}

/* Opens what is in cipher. Returns as connection_receive. */
static int open_records(struct tls_connection *t)
{
    struct connection *c = &t->base;
    int n = connection_reserve(c, &c->in), error;
    size_t out_before;

    if (n == 0 && !t->own) { /* OpenSSL answers by itself, into out */
        n = tls_connection_seal_staged(t);
        if (n == 0)
            n = tls_connection_reserve_out(t, TLS_RECORD_OVERHEAD);
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
    error = tls_connection_answer(t);
    if (!error && buffer_used(&c->out) > out_before)
        error = connection_flush(c);
    return error < 0 && error != -E_AGAIN ? error : n;
}

/* What cipher holds, brought forward. */
static int advance(struct tls_connection *t)
{
    int n = t->state == TLS_OPEN ? 0 : tls_connection_handshake(t);

    return n == 0 && t->state == TLS_OPEN ? open_records(t) : n;
}

/* So much that no record is cut, should those to come have the full size: then nothing is left in cipher once they are opened,
 * and the next connection reads into the same warm storage. */
static size_t read_most(const struct tls_connection *t)
{
    struct bytes received = buffer_content(&t->cipher);
    size_t room = buffer_room(&t->cipher), rest = 0, full;

    if (t->kernel)
        return connection_kernel_read_most(t);
    if (t->state != TLS_OPEN || !t->own)
        return room;
    full = RECORD_PLAIN_MOST + record_overhead(&t->records.read);
    if (received.size >= RECORD_HEADER && record_size(received.at) > received.size)
        rest = record_size(received.at) - received.size;
    return room > rest + full ? rest + (room - rest) / full * full : room;
}

int tls_connection_read_more(struct tls_connection *t)
{
    struct connection *c = &t->base;
    int n = connection_reserve(c, &t->cipher);

    if (n == 0)
        n = connection_read_socket(c, &t->cipher, read_most(t));
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
    if (c->pending)
        return -E_AGAIN;
    if (t->state == TLS_OPEN && !t->drained) { /* plaintext may wait, also when cipher is empty */
        n = open_records(t);
        if (n != -E_AGAIN)
            return n;
    }
    if (t->untried) {
        t->untried = false;
        n = advance(t);
        if (n != -E_AGAIN || c->pending)
            return n;
    }
    do { /* to the end: no event tells of what the socket still holds, be it only the peer's end */
        if (t->kernel && connection_kernel_take_receiving(t))
            return c->ops->receive(c);
        if (!c->readable)
            return -E_AGAIN;
        n = tls_connection_read_more(t);
        if (n < 0)
            return n;
        n = advance(t);
    } while (n == -E_AGAIN && !c->pending);
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

const struct connection_ops tls_connection_ops = {
    tls_connection_receive, tls_connection_holds, tls_connection_room,   tls_connection_send,
    tls_connection_pass,    tls_connection_seal,  tls_connection_settle, tls_connection_release,
};

bool connection_is_tls(const struct connection *c)
{
    return c->ops == &tls_connection_ops || c->kernel_seals;
}

struct tls_session *connection_tls(const struct connection *c)
{
    return connection_is_tls(c) ? tls_of(c)->session : NULL;
}

int connection_alert(const struct connection *c)
{
    return connection_is_tls(c) ? tls_of(c)->alert : -1;
}
