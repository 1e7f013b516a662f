/* connection_handshake.c: how a connection under TLS begins, as a server or as a client, and comes to its keys.
 *
 *     a server:   cipher --> ClientHello parser --> choose() --> session --> [the thread's batch -->] established(), its keys
 *     a client:   cipher --> session --> its keys
 *
 * When the handshake is complete the session hands its keys over and records are our own (tls/records.h); where it keeps them, the
 * session protects the records. */
#include <unistd.h>

#include "net/tls_connection.h"

/* ---- The handshake ---- */

/* It is complete. */
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

/* The batch has worked for the session. */
static void go_on(struct tls_waiter *w)
{
    struct tls_connection *t = CONTAINER_OF(w, struct tls_connection, waiter);

    t->base.pending = false;
    t->untried = true;
    t->base.on_event(&t->base);
}

/* Returns 0, or an error with the alert to be sent. */
static int accept_session(struct tls_connection *t, const struct client_hello *hello, uint8_t *ret_alert)
{
    struct connection *c = &t->base;
    struct tls_session_parts parts = { .thread = &c->net->tls,
                                       .waiter = &t->waiter,
                                       .now = loop_wall_seconds(c->net->loop) };
    int error = 0;
    struct tls_context *context = t->hooks->choose(c, hello, &parts.binding, ret_alert, &error);

    if (!context)
        return error;
    *ret_alert = ALERT_INTERNAL_ERROR;
    t->waiter.ready = go_on;
    t->session = tls_session_accept(context, hello, &parts);
    if (!t->session)
        return -E_MEMORY;
    t->state = TLS_HANDSHAKE;
    return 0;
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
    if (error == 0)
        error = accept_session(t, &hello, &alert);
    arena_reset(&arena);
    if (error == 0 || error == -E_AGAIN || error == -E_PASSED_ON)
        return error;
    return error == -E_NOT_TLS ? tls_connection_fail(t, error) : tls_connection_fail_with_alert(t, alert, error);
}

static int handshake(struct tls_connection *t)
{
    struct connection *c = &t->base;
    struct bytes received = buffer_content(&t->cipher);
    size_t before = received.size;
    int error = tls_connection_reserve_out(t, BUFFER_LARGE / 2), flushed;

    if (error)
        return error;
    error = tls_session_handshake(t->session, &received, &c->out);
    buffer_consume(&t->cipher, before - received.size);
    c->held = 0;
    if (error == -E_PENDING) {
        c->pending = true;
        c->held = (uint32_t)buffer_used(&c->out); /* one write for the whole flight */
        net_work_later(c->net);
        return -E_AGAIN;
    }
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

int tls_connection_handshake(struct tls_connection *t)
{
    int n = t->state == TLS_HELLO ? read_hello(t) : 0;

    return n == 0 && t->state == TLS_HANDSHAKE ? handshake(t) : n;
}

int connection_handshake(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int n;

    CHECK(c->ops == &tls_connection_ops && !t->hooks);
    if (t->state == TLS_OPEN)
        return 0;
    if (t->state == TLS_FAILED || t->socket_ended)
        return -E_TRUNCATED;
    n = connection_is_flushed(c) ? 0 : connection_flush(c);
    if (n < 0 && n != -E_AGAIN)
        return n;
    n = handshake(t);
    while (n == -E_AGAIN && c->readable) {
        n = tls_connection_read_more(t);
        if (n > 0)
            n = handshake(t);
    }
    return n;
}

/* ---- Beginning and turning back ---- */

struct connection *connection_new_tls_server(struct net *net, int fd, const struct tls_server_hooks *hooks)
{
    struct tls_connection *t = connection_alloc(&net->tls_connections, sizeof *t);

    if (t && connection_start(&t->base, net, fd, &tls_connection_ops) == 0) {
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
    if (!t || connection_become(plain, &t->base, &tls_connection_ops) < 0) {
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

struct buffer connection_take_cipher(struct connection *tls)
{
    struct tls_connection *t = tls_of(tls);
    struct buffer received = t->cipher;

    CHECK(tls->ops == &tls_connection_ops && t->state == TLS_HELLO);
    t->cipher = (struct buffer){ 0 };
    return received;
}
