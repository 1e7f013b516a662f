/* h2_session.c: a client's connection that speaks HTTP/2: one exchange per stream.
 *
 *     connection --> struct h2 --> request (a stream and its exchange), many at once
 *
 * What the exchanges send is collected in the connection and leaves together, at the end of the loop's turn. */
#include <stdlib.h>

#include "base/log.h"
#include "http/h2.h"
#include "net/socket.h"
#include "proxy/exchange.h"
#include "proxy/h2_session.h"
#include "proxy/proxied.h"

enum {
    TURN_BYTES = 256 * 1024,  /* received in one turn; then others have theirs */
    TURN_FLUSHES = 8,         /* fillings of the connection in one turn */
    KEEP_REQUESTS = 512,      /* free ones, kept for the next */
    UNSENT_MOST = 128 * 1024, /* bytes in the kernel that have not left: what is there has no priority any more */
    DRAIN_WAIT_SECONDS = 2,   /* for the client to hear that it should open no more streams */
};

enum phase { PHASE_PREFACE, PHASE_IDLE, PHASE_HEAD, PHASE_BUSY };

struct h2_session {
    struct session *session;
    struct h2 *h2;
    struct list open; /* struct request */
    unsigned open_count;
    struct deferred again; /* the end of a turn */
    struct timer drain_timer;
    uint8_t phase;
    bool asked; /* a request came since the limit was set */
    bool drains;
    int error; /* of the connection: noticed where the session cannot end at once */
};

struct request {
    struct h2_stream stream;
    struct list link;
    struct h2_session *of;
    struct exchange *exchange;
    uint64_t began_ns;
    bool begun;
};

static struct loop *loop_of(const struct h2_session *h)
{
    return h->session->home->net->loop;
}

/* ---- requests ---- */

static void forget(struct request *r, enum h2_code code)
{
    struct h2_session *h = r->of;

    h2_stream_close(&r->stream, code);
    list_remove(&r->link);
    h->open_count--;
    slab_put(&h->session->home->memory->h2_requests, r);
}

static void on_done(void *owner, enum exchange_end end)
{
    struct request *r = owner;

    r->exchange = NULL;
    forget(r, end == EXCHANGE_BROKEN ? H2_INTERNAL_ERROR : end == EXCHANGE_CANCELLED ? H2_CANCEL : H2_NO_ERROR);
}

static const struct exchange_owner exchange_owner = { on_done };

/* Ends it without an answer, and logs that. */
static void drop(struct request *r, int error)
{
    struct exchange *x = r->exchange;

    r->exchange = NULL;
    if (r->begun)
        exchange_abort(x, error);
    else
        exchange_refuse(x, error, r->began_ns);
    forget(r, H2_CANCEL);
}

static void on_stream_event(struct h2_stream *s)
{
    struct request *r = CONTAINER_OF(s, struct request, stream);
    int error;

    if (s->error && !(s->in_ended && s->out_ended)) {
        drop(r, s->error);
        return;
    }
    if (r->begun) {
        exchange_run(r->exchange);
        return;
    }
    error = s->stream.ops->look_head(&s->stream, &r->exchange->request);
    if (error == -E_AGAIN)
        return;
    r->begun = true;
    exchange_begin(r->exchange, error, r->began_ns);
}

/* ---- the machine's owner ---- */

static size_t room(void *user)
{
    const struct h2_session *h = user;
    return connection_room(h->session->connection);
}

static int write_part(struct connection *c, struct bytes data)
{
    ssize_t n = data.size ? connection_send(c, data) : 0;

    CHECK(n < 0 || (size_t)n == data.size);
    return n < 0 ? (int)n : 0;
}

static int write_frame(void *user, struct bytes head, struct bytes data)
{
    const struct h2_session *h = user;
    int error = write_part(h->session->connection, head);

    return error ? error : write_part(h->session->connection, data);
}

static void dirty(void *user)
{
    struct h2_session *h = user;
    loop_defer(loop_of(h), &h->again);
}

static uint64_t wire_out(void *user)
{
    const struct h2_session *h = user;
    return h->session->connection->wire_out;
}

static struct h2_stream *accept_request(void *user)
{
    struct h2_session *h = user;
    struct request *r = slab_get(&h->session->home->memory->h2_requests);

    if (!r)
        return NULL;
    r->stream.stream.ops = &h2_stream_ops;
    r->exchange = exchange_new(h->session, &r->stream.stream, &exchange_owner, r);
    if (!r->exchange) {
        slab_put(&h->session->home->memory->h2_requests, r);
        return NULL;
    }
    r->of = h;
    r->began_ns = loop_now(loop_of(h));
    h2_stream_init(&r->stream, &r->exchange->arena, on_stream_event);
    list_append(&h->open, &r->link);
    h->open_count++;
    h->asked = true;
    return &r->stream;
}

static const struct h2_owner machine_owner = { room, write_frame, dirty, wire_out, accept_request };

/* ---- the connection ---- */

static void drop_all(struct h2_session *h, int error)
{
    while (!list_is_empty(&h->open))
        drop(LIST_FIRST(&h->open, struct request, link), error);
}

/* What the client did wrong: no line of the access log may tell of it. */
static void log_fault(const struct h2_session *h, int error)
{
    const struct session *s = h->session;
    const char *flood = h2_flood(h->h2), *what = NULL;
    char client[SESSION_CLIENT_TEXT];

    if (error == -E_FLOOD)
        what = flood ? flood : "unknown";
    else if (error == -E_SYNTAX)
        what = h2_reason(h->h2);
    else if (error == -E_TIMEOUT_HEAD)
        what = error_text(error);
    else if (error == -E_TIMEOUT_HANDSHAKE)
        what = "no preface came";
    if (what)
        log_info("HTTP/2 %s: client %s, listener %.*s: %s", error == -E_FLOOD ? "flood" : "error",
                 session_print_client(s, client), BYTES_PRINT(s->listener->name), what);
}

/* The connection cannot go on. Nothing may touch h behind this. */
static void end(struct h2_session *h, int error)
{
    struct session *s = h->session;

    log_fault(h, error);
    drop_all(h, error ? error : -E_CLOSED);
    if (error == -E_RESET || error == -E_TRUNCATED || error == -E_MEMORY || error == -E_CRYPTO)
        session_close(s, error != -E_TRUNCATED);
    else
        session_finish(s, error != 0);
}

/* At the end of a turn: what it waits for now. Returns whether the session goes on. */
static bool settle(struct h2_session *h)
{
    const struct listener_timeouts *limits = &h->session->listener->options->timeouts;
    enum phase phase = PHASE_BUSY;

    if (h->error) {
        end(h, h->error);
        return false;
    }
    if (h2_is_final(h->h2) && h->open_count == 0) {
        end(h, 0);
        return false;
    }
    if (!h2_is_open(h->h2))
        phase = PHASE_PREFACE;
    else if (h2_in_head(h->h2))
        phase = PHASE_HEAD;
    else if (h->open_count == 0)
        phase = PHASE_IDLE;
    if (phase != h->phase || h->asked) { /* it may have been answered within the turn */
        h->phase = (uint8_t)phase;
        h->asked = false;
        session_limit(h->session, phase == PHASE_IDLE   ? limits->idle_ns
                                  : phase == PHASE_HEAD ? limits->request_head_ns
                                                        : 0);
    }
    connection_settle(h->session->connection);
    return true;
}

static int receive(struct h2_session *h)
{
    struct connection *c = h->session->connection;
    size_t budget = TURN_BYTES;
    int n = (int)buffer_used(&c->in);

    if (n == 0)
        n = connection_receive(c);
    while (n > 0) {
        struct bytes in = buffer_content(&c->in);
        int error = h2_receive(h->h2, in, loop_now(loop_of(h)));

        buffer_consume(&c->in, in.size);
        if (error)
            return error;
        if (in.size >= budget) {
            dirty(h); /* more at the end of the turn */
            return 0;
        }
        budget -= in.size;
        n = connection_receive(c);
    }
    return n == -E_AGAIN ? 0 : n == 0 ? -E_CLOSED : n;
}

/* Everything that was collected leaves; those that waited for room fill it again. */
static int transmit(struct h2_session *h)
{
    struct connection *c = h->session->connection;
    int error = h2_flush(h->h2), flushed = 0;

    for (unsigned i = 0; i < TURN_FLUSHES && !error; i++) {
        flushed = connection_flush(c);
        if (flushed && flushed != -E_AGAIN)
            return flushed;
        if (!h2_has_waiting(h->h2) && flushed == 0)
            break;
        error = h2_wake(h->h2);
        if (flushed == -E_AGAIN)
            break;
    }
    if (!error && flushed == 0 && h2_has_waiting(h->h2) && connection_is_flushed(c))
        dirty(h);
    return error;
}

static void run_again(struct deferred *d)
{
    struct h2_session *h = CONTAINER_OF(d, struct h2_session, again);

    if (!h->error && connection_has_more(h->session->connection))
        h->error = receive(h);
    if (!h->error)
        h->error = transmit(h);
    settle(h);
}

static void on_event(struct session *s)
{
    struct h2_session *h = s->state;

    if (s->connection->hung_up && !s->connection->readable) {
        end(h, -E_RESET);
        return;
    }
    h->error = receive(h);
    if (h->error == 0)
        dirty(h);
    else
        (void)settle(h);
}

static void on_drain_timer(struct timer *t)
{
    struct h2_session *h = CONTAINER_OF(t, struct h2_session, drain_timer);
    h2_drain_final(h->h2);
}

static void drain(struct session *s)
{
    struct h2_session *h = s->state;

    if (h->drains)
        return;
    h->drains = true;
    h2_drain(h->h2);
    loop_timer_set(loop_of(h), &h->drain_timer, loop_now(loop_of(h)) + DRAIN_WAIT_SECONDS * NS_PER_S);
}

static void start(struct session *s)
{
    struct h2_session *h = calloc(1, sizeof *h);
    const struct h2_options options = {
        .role = H2_SERVER,
        .limits = s->listener->request_limits,
        .connect_protocol = true,
        .streams_most = (uint32_t)s->listener->options->limits.streams,
    };

    s->state = h;
    if (!h) {
        session_close(s, true);
        return;
    }
    h->session = s;
    list_init(&h->open);
    deferred_init(&h->again, run_again);
    timer_init(&h->drain_timer, on_drain_timer);
    socket_limit_unsent(s->connection->watch.fd, UNSENT_MOST);
    h->h2 = h2_new(&options, &machine_owner, h);
    if (!h->h2) {
        session_close(s, true);
        return;
    }
    session_limit(s, s->listener->options->timeouts.handshake_ns);
    if (s->home->draining)
        drain(s);
    on_event(s);
}

static void on_timer(struct session *s)
{
    struct h2_session *h = s->state;
    enum phase phase = h->phase;

    h2_terminate(h->h2, phase == PHASE_IDLE ? H2_NO_ERROR : H2_PROTOCOL_ERROR);
    end(h, phase == PHASE_IDLE ? 0 : phase == PHASE_HEAD ? -E_TIMEOUT_HEAD : -E_TIMEOUT_HANDSHAKE);
}

static void leave(struct session *s)
{
    struct h2_session *h = s->state;

    if (!h)
        return;
    drop_all(h, -E_STOPPING);
    loop_defer_cancel(&h->again);
    loop_timer_stop(loop_of(h), &h->drain_timer);
    h2_free(h->h2);
    free(h);
}

const struct session_stage session_h2 = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .drain = drain, .leave = leave
};

void h2_session_memory(struct slab *requests)
{
    *requests = (struct slab){ .object_bytes = sizeof(struct request), .keep = KEEP_REQUESTS };
}
