/* connection_tls.c: a connection under TLS, as a server or as a client.
 *
 *     socket --> cipher --> [ClientHello parser, then] the session --> in
 *     send --> staged (up to one record) --> session --> out --> socket */
#include <stdlib.h>
#include <unistd.h>

#include "net/connection_private.h"

/* Bytes without one of content among them, after which a peer is given up: tickets, KeyUpdates, empty records. */
enum { FRUITLESS_MOST = 1 << 19 };

enum tls_state { TLS_HELLO, TLS_HANDSHAKE, TLS_OPEN, TLS_FAILED };

struct tls_connection {
    struct connection base;               /* first: retired memory is freed by its address */
    const struct tls_server_hooks *hooks; /* NULL: a client's */
    struct tls_session *session;
    struct buffer cipher; /* received, not yet taken by the session */
    struct buffer staged; /* to be sealed with the next flush */
    uint32_t fruitless;   /* bytes since the last content */
    int16_t alert;
    uint8_t state; /* enum tls_state */
    bool socket_ended, close_notify_seen;
    bool drained; /* the session has nothing more until cipher gets more */
    bool untried; /* cipher was filled before there was TLS */
};

static struct tls_connection *tls_of(const struct connection *c)
{
    return CONTAINER_OF(c, struct tls_connection, base);
}

/* Records that may still be added to out. */
static size_t records_room(const struct connection *c)
{
    return connection_out_room(c) / (TLS_RECORD_PLAIN + TLS_RECORD_OVERHEAD);
}

static size_t tls_room(const struct connection *c)
{
    const struct tls_connection *t = tls_of(c);
    size_t whole = records_room(c) * TLS_RECORD_PLAIN, staged = buffer_used(&t->staged);

    return t->state == TLS_OPEN && whole > staged ? whole - staged : 0;
}

static int seal_record(struct tls_connection *t, struct bytes plain)
{
    size_t needed = tls_sealed_size(plain.size);
    struct buffer *out = &t->base.out;
    int error = connection_reserve_out(&t->base);

    if (error)
        return error;
    if (buffer_room(out) < needed)
        buffer_compact(out);
    CHECK(buffer_room(out) >= needed);
    return tls_session_seal(t->session, plain, out);
}

static int seal_staged(struct tls_connection *t)
{
    int error = 0;

    if (buffer_used(&t->staged)) {
        error = seal_record(t, buffer_content(&t->staged));
        buffer_drop(t->base.net->pool, &t->staged);
    }
    return error;
}

/* Fills the staged record up. Returns the bytes taken or -E_MEMORY. */
static ssize_t stage(struct tls_connection *t, struct bytes data)
{
    size_t space = TLS_RECORD_PLAIN - buffer_used(&t->staged);
    size_t n = data.size < space ? data.size : space;
    int error = buffer_append(t->base.net->pool, &t->staged, bytes_part(data, 0, n));

    return error ? error : (ssize_t)n;
}

static ssize_t tls_send(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    size_t room = tls_room(c), taken = 0;

    if (data.size > room)
        data.size = room;
    while (taken < data.size) {
        struct bytes rest = bytes_from(data, taken);
        ssize_t n;

        if (rest.size >= TLS_RECORD_PLAIN && buffer_used(&t->staged) == 0) { /* straight from the owner's memory */
            n = (ssize_t)(rest.size - rest.size % TLS_RECORD_PLAIN);
            int error = seal_record(t, bytes_part(rest, 0, (size_t)n));
            if (error)
                return error;
        } else {
            n = stage(t, rest);
            if (n < 0)
                return n;
            if (buffer_used(&t->staged) == TLS_RECORD_PLAIN) {
                int error = seal_staged(t);
                if (error)
                    return error;
            }
        }
        taken += (size_t)n;
    }
    return (ssize_t)taken;
}

static ssize_t tls_pass(struct connection *c, struct bytes data)
{
    struct tls_connection *t = tls_of(c);
    int error = 0;

    if (t->state != TLS_OPEN)
        return 0;
    if (buffer_used(&t->staged) && records_room(c))
        error = seal_staged(t);
    data = bytes_part(data, 0, tls_room(c));
    if (!error && data.size)
        error = seal_record(t, data);
    return error ? error : (ssize_t)data.size;
}

static int tls_seal(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state == TLS_FAILED) { /* only its alert leaves */
        buffer_drop(c->net->pool, &t->staged);
        return 0;
    }
    if (connection_out_room(c) < tls_sealed_size(buffer_used(&t->staged)))
        return 0; /* the session's own records took the room meanwhile: when some of out has left */
    error = seal_staged(t);
    if (error || !c->finish_asked || c->finish_sealed)
        return error;
    if (connection_out_room(c) < TLS_RECORD_OVERHEAD)
        return 0;
    c->finish_sealed = true;
    if (t->state != TLS_OPEN)
        return 0;
    error = connection_reserve_out(c);
    if (error)
        return error;
    if (buffer_room(&c->out) < TLS_RECORD_OVERHEAD)
        buffer_compact(&c->out);
    tls_session_finish(t->session, &c->out);
    return 0;
}

static int fail(struct tls_connection *t, int error)
{
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
    return fail(t, error);
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
    return error == -E_NOT_TLS ? fail(t, error) : fail_with_alert(t, alert, error);
}

static int handshake(struct tls_connection *t)
{
    struct connection *c = &t->base;
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size;
    int error = connection_reserve_out(c);

    if (error)
        return error;
    if (buffer_room(&c->out) < BUFFER_LARGE / 2)
        buffer_compact(&c->out);
    error = tls_session_handshake(t->session, &received, &c->out);
    buffer_consume(&t->cipher, before - received.size);
    if (error == 0) {
        t->state = TLS_OPEN;
        if (t->hooks)
            t->hooks->established(c);
    } else if (error != -E_AGAIN) {
        return fail(t, error);
    }
    if (buffer_used(&c->out)) {
        int flushed = connection_flush(c);
        if (flushed < 0 && flushed != -E_AGAIN)
            return flushed;
    }
    return error;
}

/* Opens what is in cipher. Returns as connection_receive. */
static int open_records(struct tls_connection *t)
{
    struct connection *c = &t->base;
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size, out_before = buffer_used(&c->out);
    int n = connection_reserve(c, &c->in);

    if (n == 0)
        n = connection_reserve_out(c);
    if (n)
        return n;
    if (buffer_room(&c->in) == 0)
        return -E_AGAIN;
    n = tls_session_open(t->session, &received, c->in.data + c->in.end, buffer_room(&c->in), &c->out);
    buffer_consume(&t->cipher, before - received.size);
    if (n > 0) {
        buffer_commit(&c->in, (size_t)n);
        t->fruitless = 0;
    } else if (n == 0)
        t->close_notify_seen = true;
    else if (n == -E_AGAIN)
        t->drained = true;
    else
        return fail(t, n);
    if (buffer_used(&c->out) > out_before) {
        int error = connection_flush(c);
        if (error < 0 && error != -E_AGAIN)
            return error;
    }
    return n;
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
        n = connection_read_socket(c, &t->cipher);
    if (n == 0) {
        t->socket_ended = true;
        return -E_TRUNCATED;
    }
    t->drained = false;
    if (n > 0 && (t->fruitless += (uint32_t)n) > FRUITLESS_MOST)
        return fail(t, -E_LIMIT);
    return n;
}

static int receive_records(struct tls_connection *t)
{
    const struct connection *c = &t->base;
    int n;

    if (t->close_notify_seen)
        return 0;
    if (t->state == TLS_FAILED || t->socket_ended)
        return -E_TRUNCATED;
    if (t->state == TLS_OPEN && !t->drained) { /* the session may hold plaintext, also when cipher is empty */
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
    if (!c->readable)
        return -E_AGAIN;
    do { /* to the end: no event tells of what the socket still holds, be it only the peer's end */
        n = read_more(t);
        if (n < 0)
            return n;
        n = advance(t);
    } while (n == -E_AGAIN && c->readable);
    return n;
}

static int tls_receive(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int n = receive_records(t);

    if (t->cipher.data && buffer_used(&t->cipher) == 0)
        buffer_drop(c->net->pool, &t->cipher);
    return n;
}

static bool tls_holds(const struct connection *c)
{
    const struct tls_connection *t = tls_of(c);

    if (t->untried)
        return true;
    return t->state == TLS_OPEN && !t->drained && (buffer_used(&t->cipher) || tls_session_has_more(t->session));
}

static void tls_settle(struct connection *c)
{
    buffer_settle(c->net->pool, &tls_of(c)->cipher);
}

static void tls_release(struct connection *c)
{
    struct tls_connection *t = tls_of(c);

    tls_session_free(t->session);
    t->session = NULL;
    buffer_drop(c->net->pool, &t->cipher);
    buffer_drop(c->net->pool, &t->staged);
}

static const struct connection_ops tls_ops = { tls_receive, tls_holds, tls_room,   tls_send,
                                               tls_pass,    tls_seal,  tls_settle, tls_release };

struct connection *connection_new_tls_server(struct net *net, int fd, const struct tls_server_hooks *hooks)
{
    struct tls_connection *t = calloc(1, sizeof *t);

    if (t && connection_start(&t->base, net, fd, &tls_ops) == 0) {
        t->hooks = hooks;
        t->alert = -1;
        return &t->base;
    }
    free(t);
    close(fd);
    return NULL;
}

struct connection *connection_start_tls_server(struct connection *plain, const struct tls_server_hooks *hooks)
{
    struct tls_connection *t = calloc(1, sizeof *t);
    struct buffer received = plain->in;

    plain->in = (struct buffer){ 0 };
    if (!t || connection_become(plain, &t->base, &tls_ops) < 0) {
        buffer_drop(plain->net->pool, &received);
        if (!t)
            connection_close(plain, true);
        return NULL;
    }
    t->cipher = received;
    t->untried = buffer_used(&received) > 0;
    t->hooks = hooks;
    t->alert = -1;
    return &t->base;
}

struct connection *connection_start_tls_client(struct connection *plain, struct tls_session *session)
{
    struct tls_connection *t = calloc(1, sizeof *t);
    struct buffer received = plain->in;

    plain->in = (struct buffer){ 0 };
    if (!t || connection_become(plain, &t->base, &tls_ops) < 0) {
        buffer_drop(plain->net->pool, &received);
        tls_session_free(session);
        if (!t)
            connection_close(plain, true);
        return NULL;
    }
    t->cipher = received;
    t->session = session;
    t->state = TLS_HANDSHAKE;
    t->alert = -1;
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
    return c->ops == &tls_ops;
}

struct tls_session *connection_tls(const struct connection *c)
{
    return c->ops == &tls_ops ? tls_of(c)->session : NULL;
}

int connection_alert(const struct connection *c)
{
    return c->ops == &tls_ops ? tls_of(c)->alert : -1;
}
