/* h1_session.c: a client's connection that speaks HTTP/1: one exchange after the other.
 *
 * Between two requests there is no struct h1_session: most connections idle most of the time. One is made when something
 * comes, and goes when all of it was answered. */
#include "proxy/exchange.h"
#include "proxy/session.h"
#include "proxy/tunnel.h"
#include "upstream/h1_wire.h"

enum { KEEP = 64 }; /* free states, for the next */

enum phase {
    PHASE_IDLE, /* before a request's first byte */
    PHASE_HEAD, /* within a request's head */
    PHASE_EXCHANGE,
};

struct h1_session {
    struct session *session;
    struct stream stream;
    struct h1_wire wire;
    struct deferred again;
    struct exchange *exchange;
    uint8_t phase; /* enum phase */
    uint64_t head_began_ns;
};

static void read_request(struct h1_session *h);

static struct h1_session *of_stream(struct stream *s)
{
    return CONTAINER_OF(s, struct h1_session, stream);
}

/* The stream that exchanges see. */

static int look(struct stream *s, struct bytes *ret_data)
{
    return h1_wire_look(&of_stream(s)->wire, ret_data);
}

static void took(struct stream *s, size_t n)
{
    h1_wire_took(&of_stream(s)->wire, n);
}

static const struct fields *trailers(struct stream *s)
{
    struct message *to = of_stream(s)->wire.in.trailers_to;
    return to ? &to->fields : NULL;
}

static struct h1_wire *wire(struct stream *s)
{
    return &of_stream(s)->wire;
}

static int send_head(struct stream *s, const struct message *m)
{
    struct h1_session *h = of_stream(s);
    return h1_wire_send_head(&h->wire, m, h->exchange->client_version);
}

static ssize_t send_content(struct stream *s, struct bytes data)
{
    return h1_wire_send(&of_stream(s)->wire, data);
}

static int end(struct stream *s, const struct fields *trailers)
{
    return h1_wire_end(&of_stream(s)->wire, trailers);
}

/* The connection's last bytes leave together with its end. */
static int flush(struct stream *s)
{
    struct h1_session *h = of_stream(s);
    const struct exchange *x = h->exchange;

    if (x && x->response_ended && x->must_close && x->tunnel == TUNNEL_NONE)
        return 0;
    return h1_wire_flush(&h->wire);
}

static const struct stream_ops stream_ops = { .look = look,
                                              .took = took,
                                              .trailers = trailers,
                                              .wire = wire,
                                              .send_head = send_head,
                                              .send = send_content,
                                              .end = end,
                                              .flush = flush };

static void enter(struct h1_session *h, enum phase phase)
{
    h->phase = (uint8_t)phase;
    loop_defer_cancel(&h->again); /* what was to be read in another phase is no request in this one */
}

/* Nothing is here of a request: the session goes on without h, which the caller touches no more. */
static void rest(struct h1_session *h)
{
    struct session *s = h->session;

    connection_settle(s->connection);
    loop_defer_cancel(&h->again);
    s->state = NULL;
    slab_put(&s->home->memory->h1_sessions, h);
}

/* The next request may be here already, pipelined: it has its turn after others had theirs. h may be gone. */
static void wait_for_request(struct h1_session *h, uint64_t limit_ns)
{
    enter(h, PHASE_IDLE);
    session_limit(h->session, limit_ns);
    if (connection_has_more(h->session->connection))
        loop_defer(h->session->home->net->loop, &h->again);
    else
        rest(h);
}

static void on_done(void *owner, enum exchange_end end)
{
    struct h1_session *h = owner;
    struct session *s = h->session;

    h->exchange = NULL;
    if (end == EXCHANGE_BROKEN || end == EXCHANGE_CANCELLED)
        session_close(s, true);
    else if (end != EXCHANGE_WHOLE || s->home->draining)
        session_finish(s, end == EXCHANGE_UNREAD);
    else
        wait_for_request(h, s->listener->options->timeouts.idle_ns);
}

static const struct exchange_owner exchange_owner = { on_done };

static struct exchange *new_exchange(struct h1_session *h)
{
    h->exchange = exchange_new(h->session, &h->stream, &exchange_owner, h);
    if (h->exchange)
        return h->exchange;
    session_close(h->session, true);
    return NULL;
}

/* The limit of the phase before stays: on_timer() passes over it, and most exchanges are over long before, so that the next
 * limit only moves it to later, which costs next to nothing. */
static void begin(struct h1_session *h, int error)
{
    h->session->served = true;
    enter(h, PHASE_EXCHANGE);
    exchange_begin(h->exchange, error, h->head_began_ns);
}

/* A whole head of head_bytes is in the buffer. */
static void take_request(struct h1_session *h, size_t head_bytes)
{
    const struct h1_limits *limits = &h->session->listener->request_limits;
    struct connection *c = h->session->connection;
    struct exchange *x = new_exchange(h);
    struct message *m, *trailers = NULL;
    int error;

    if (!x)
        return;
    m = &x->request;
    error = h1_parse_request(bytes_part(buffer_content(&c->in), 0, head_bytes), limits, m);
    if (!error && m->body == BODY_STREAMED) {
        trailers = arena_alloc(&x->arena, sizeof *trailers);
        if (trailers)
            message_init(trailers, &x->arena);
        else
            error = -E_MEMORY;
    }
    h1_wire_took_head(&h->wire, head_bytes, m, limits, trailers);
    begin(h, error);
}

/* The connection ended or failed outside an exchange. */
static void connection_ended(struct h1_session *h, int error)
{
    /* Who ends TLS without saying so between two requests may still read the answer to the last one. */
    if (error == 0 || (error == -E_TRUNCATED && h->phase == PHASE_IDLE))
        session_finish(h->session, false);
    else
        session_close(h->session, false);
}

static void read_request(struct h1_session *h)
{
    const struct session *s = h->session;
    struct connection *c = s->connection;
    int n = h1_wire_look_head(&h->wire, true, &s->listener->request_limits);

    if (h->phase != PHASE_HEAD && buffer_used(&c->in)) {
        h->head_began_ns = loop_now(s->home->net->loop);
        enter(h, PHASE_HEAD);
        if (n == -E_AGAIN)
            session_limit(h->session, s->listener->options->timeouts.request_head_ns);
    }
    if (n > 0) {
        take_request(h, (size_t)n);
    } else if (n == -E_AGAIN && h->phase == PHASE_IDLE) {
        rest(h);
    } else if (n == -E_AGAIN) {
        connection_settle(c);
    } else if (n < 0 && error_status(n)) {
        if (new_exchange(h))
            begin(h, n);
    } else {
        connection_ended(h, n);
    }
}

static void read_again(struct deferred *d)
{
    read_request(CONTAINER_OF(d, struct h1_session, again));
}

/* The state, of PHASE_IDLE where there was none. NULL: no memory; the session is gone. */
static struct h1_session *wake(struct session *s)
{
    struct h1_session *h = s->state;

    if (h)
        return h;
    s->state = h = slab_get(&s->home->memory->h1_sessions);
    if (!h) {
        session_close(s, true);
        return NULL;
    }
    h->session = s;
    h->stream.ops = &stream_ops;
    h->wire.connection = s->connection;
    deferred_init(&h->again, read_again);
    return h;
}

static void start(struct session *s)
{
    struct h1_session *h = wake(s);

    if (!h)
        return;
    enter(h, PHASE_IDLE);
    session_limit(s, s->home->draining ? DRAIN_GRACE_SECONDS * NS_PER_S : s->listener->options->timeouts.idle_ns);
    read_request(h);
}

static void on_event(struct session *s)
{
    struct h1_session *h = wake(s);
    struct connection *c = s->connection;
    int error;

    if (!h)
        return;
    if (h->phase != PHASE_EXCHANGE) {
        error = connection_is_flushed(c) ? 0 : connection_flush(c);
        if (error && error != -E_AGAIN)
            connection_ended(h, error);
        else
            read_request(h);
    } else if (c->hung_up &&
               !(h->wire.tunnel && h->wire.out_ended)) { /* the other half of a tunnel is still to be read */
        exchange_abort(h->exchange, -E_RESET);
        h->exchange = NULL;
        session_close(s, true);
    } else {
        exchange_run(h->exchange);
    }
}

static void on_timer(struct session *s)
{
    struct h1_session *h = s->state;

    if (!h || h->phase == PHASE_IDLE)
        session_finish(s, false); /* who still takes the last response may have it */
    else if (h->phase == PHASE_HEAD && new_exchange(h))
        begin(h, -E_TIMEOUT_HEAD);
}

/* A kept connection ends now, unless a request has come already, pipelined or into the socket: that one is served. */
static void drain_idle(struct h1_session *h)
{
    struct connection *c = h->session->connection;
    int n = (int)buffer_used(&c->in);

    c->readable = true;
    if (n == 0)
        n = connection_receive(c);
    if (n > 0)
        read_request(h);
    else if (n == -E_AGAIN)
        session_finish(h->session, false);
    else
        connection_ended(h, n);
}

static void drain(struct session *s)
{
    struct h1_session *h = wake(s);

    if (!h)
        return;
    if (h->phase == PHASE_IDLE && s->served)
        drain_idle(h);
    else if (h->phase == PHASE_IDLE)
        wait_for_request(h, DRAIN_GRACE_SECONDS * NS_PER_S);
    else if (h->phase == PHASE_EXCHANGE)
        h->exchange->must_close = true;
}

static void leave(struct session *s)
{
    struct h1_session *h = s->state;

    if (!h)
        return;
    loop_defer_cancel(&h->again);
    if (h->exchange)
        exchange_abort(h->exchange, -E_STOPPING);
    slab_put(&s->home->memory->h1_sessions, h);
}

void h1_session_memory(struct slab *sessions)
{
    *sessions = (struct slab){ .object_bytes = sizeof(struct h1_session), .keep = KEEP };
}

const struct session_stage session_h1 = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .drain = drain, .leave = leave
};
