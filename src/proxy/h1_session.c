/* h1_session.c: a client's connection that speaks HTTP/1: one exchange after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/exchange.h"
#include "proxy/session.h"
#include "upstream/h1_wire.h"

enum phase {
    PHASE_HANDSHAKE, /* TLS */
    PHASE_IDLE,      /* before a request's first byte */
    PHASE_HEAD,      /* within a request's head */
    PHASE_EXCHANGE,
    PHASE_LINGER, /* our last bytes are leaving; what still comes is read and dropped */
};

enum {
    LINGER_SECONDS = 3,
    LINGER_BYTES_MOST = 16 << 20,
    DRAIN_GRACE_SECONDS = 5, /* for the first request of a connection that was just made */
};

struct h1_session {
    struct session base;
    struct stream stream;
    struct h1_wire wire;
    struct timer timer;
    struct deferred again;
    struct exchange *exchange;
    uint8_t phase; /* enum phase */
    bool served;   /* a request */
    uint64_t head_began_ns;
    uint64_t linger_bytes; /* dropped so far */
    uint64_t window_bytes; /* while the last bytes leave: the connection's count when the window began */
};

static void read_request(struct h1_session *h);

static struct h1_session *of_session(struct session *s)
{
    return CONTAINER_OF(s, struct h1_session, base);
}

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

static int flush(struct stream *s)
{
    return connection_flush(of_stream(s)->base.connection);
}

static const struct stream_ops stream_ops = { NULL, look, took, trailers, send_head, send_content, end, flush };

static void enter(struct h1_session *h, enum phase phase, uint64_t limit_ns)
{
    struct loop *loop = h->base.home->net->loop;

    h->phase = (uint8_t)phase;
    loop_defer_cancel(&h->again); /* what was to be read in another phase is no request in this one */
    if (limit_ns)
        loop_timer_set(loop, &h->timer, loop_now(loop) + limit_ns);
    else
        loop_timer_stop(loop, &h->timer);
}

/* The end of the session. */
static void close_session(struct h1_session *h, bool reset)
{
    struct session *s = &h->base;
    struct session_home *home = s->home;

    CHECK(!h->exchange);
    loop_timer_stop(home->net->loop, &h->timer);
    loop_defer_cancel(&h->again);
    list_remove(&s->link);
    home->session_count--;
    count_add(&home->counts->connections_open, UINT64_MAX);
    connection_close(s->connection, reset);
    site_unref(s->site);
    free(h);
    home->on_closed(home);
}

/* Brings our last bytes on their way, then reads and drops what still comes until the peer ends too, or for a while, so
 * that a reset does not overtake them (RFC 9112 9.6). */
static void linger(struct h1_session *h)
{
    struct connection *c = h->base.connection;
    bool had_finished = c->finished;
    int error = connection_flush(c), n = -E_AGAIN;

    if (error && error != -E_AGAIN) {
        close_session(h, true);
        return;
    }
    if (c->finished && !had_finished)
        enter(h, PHASE_LINGER, LINGER_SECONDS * NS_PER_S);
    while (h->linger_bytes < LINGER_BYTES_MOST && (n = connection_discard(c)) > 0)
        h->linger_bytes += (unsigned)n;
    if ((n < 0 && n != -E_AGAIN) || (c->finished && (n == 0 || h->linger_bytes >= LINGER_BYTES_MOST)))
        close_session(h, !c->finished);
    else
        connection_settle(c);
}

/* A client that takes its last bytes slowly is waited for as in an exchange: as long as it keeps to the least rate. */
static void enter_linger(struct h1_session *h)
{
    const struct connection *c = h->base.connection;

    h->window_bytes = c->wire_out;
    enter(h, PHASE_LINGER, c->finished ? LINGER_SECONDS * NS_PER_S : h->base.listener->options->timeouts.window_ns);
}

/* Ends our direction in order; the connection closes when the peer has, or soon. */
static void finish_session(struct h1_session *h, bool unread)
{
    struct connection *c = h->base.connection;
    int error;

    connection_finish(c);
    error = connection_flush(c);
    if (error && error != -E_AGAIN) {
        close_session(h, true);
    } else if (c->finished && !unread && !c->readable && buffer_used(&c->in) == 0) {
        close_session(h, false);
    } else {
        enter_linger(h);
        linger(h);
    }
}

static void on_linger_timer(struct h1_session *h)
{
    const struct listener_timeouts *limits = &h->base.listener->options->timeouts;
    const struct connection *c = h->base.connection;
    double needed = (double)limits->body_rate * ((double)limits->window_ns / 1e9);

    if (c->finished || (double)(c->wire_out - h->window_bytes) < needed)
        close_session(h, !c->finished);
    else
        enter_linger(h);
}

/* The next request may be here already, pipelined: it has its turn after others had theirs. */
static void wait_for_request(struct h1_session *h, uint64_t limit_ns)
{
    enter(h, PHASE_IDLE, limit_ns);
    if (connection_has_more(h->base.connection))
        loop_defer(h->base.home->net->loop, &h->again);
    else
        connection_settle(h->base.connection);
}

static void on_done(void *owner, enum exchange_end end)
{
    struct h1_session *h = owner;

    h->exchange = NULL;
    if (end == EXCHANGE_BROKEN) {
        close_session(h, true);
        return;
    }
    if (end != EXCHANGE_WHOLE || h->base.home->draining) {
        finish_session(h, end == EXCHANGE_UNREAD);
        return;
    }
    wait_for_request(h, h->base.listener->options->timeouts.idle_ns);
}

static const struct exchange_owner exchange_owner = { on_done };

static struct exchange *new_exchange(struct h1_session *h)
{
    struct exchange *x = exchange_new(&h->base, &h->stream, &exchange_owner, h);

    h->exchange = x;
    if (!x)
        close_session(h, true);
    return x;
}

static void begin(struct h1_session *h, int error)
{
    h->served = true;
    enter(h, PHASE_EXCHANGE, 0);
    exchange_begin(h->exchange, error, h->head_began_ns);
}

/* A whole head of head_bytes is in the buffer. */
static void take_request(struct h1_session *h, size_t head_bytes)
{
    const struct h1_limits *limits = &h->base.listener->request_limits;
    struct connection *c = h->base.connection;
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

static void log_failed_handshake(struct h1_session *h, int error)
{
    const struct session *s = &h->base;
    const struct tls_session *tls = connection_tls(s->connection);
    struct tls_failure failure = { .alert_sent = connection_alert(s->connection) >= 0 };
    char alert[64] = "";

    count_add(&s->home->counts->handshakes_failed, 1);
    if (tls)
        tls_session_failure(tls, &failure);
    else if (failure.alert_sent)
        failure.alert = (uint8_t)connection_alert(s->connection);
    if (failure.alert_sent || failure.alert_received)
        snprintf(alert, sizeof alert, ", alert %s %s (%u)", failure.alert_sent ? "sent" : "received",
                 alert_name(failure.alert), failure.alert);
    log_info("TLS handshake failed: client %s, listener %.*s, sni %s: %s%s%s%s", s->peer_text,
             BYTES_PRINT(s->listener->name), s->has_sni ? s->sni.text : "-", error_text(error),
             failure.reason[0] ? ": " : "", failure.reason, alert);
}

/* The connection ended or failed outside an exchange. */
static void connection_ended(struct h1_session *h, int error)
{
    bool gone = error == 0 || error == -E_TRUNCATED || error == -E_RESET;

    if (h->base.listener->tls && !h->base.secure) {
        if (!gone || connection_tls(h->base.connection)) /* it had sent a ClientHello at least */
            log_failed_handshake(h, error ? error : -E_CLOSED);
        if (gone)
            close_session(h, false);
        else
            finish_session(h, true); /* the alert is to arrive */
        return;
    }
    /* Who ends TLS without saying so between two requests may still read the answer to the last one. */
    if (error == 0 || (error == -E_TRUNCATED && h->phase == PHASE_IDLE))
        finish_session(h, false);
    else
        close_session(h, false);
}

static void read_request(struct h1_session *h)
{
    struct connection *c = h->base.connection;
    const struct listener_timeouts *timeouts = &h->base.listener->options->timeouts;
    struct loop *loop = h->base.home->net->loop;
    int n = h1_wire_look_head(&h->wire, true, &h->base.listener->request_limits);

    if (h->phase == PHASE_HANDSHAKE && n == -E_AGAIN && !h->base.secure && h->base.listener->tls) {
        connection_settle(c);
        return;
    }
    if (h->phase != PHASE_HEAD && buffer_used(&c->in)) {
        h->head_began_ns = loop_now(loop);
        enter(h, PHASE_HEAD, timeouts->request_head_ns);
    }
    if (n > 0) {
        take_request(h, (size_t)n);
    } else if (n == -E_AGAIN) {
        connection_settle(c);
    } else if (n < 0 && error_status(n) && h->phase != PHASE_HANDSHAKE) {
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

static void on_event(struct connection *c)
{
    struct h1_session *h = c->owner;
    int error;

    switch ((enum phase)h->phase) {
    case PHASE_EXCHANGE:
        if (c->hung_up) {
            exchange_abort(h->exchange, -E_RESET);
            h->exchange = NULL;
            close_session(h, true);
        } else {
            exchange_run(h->exchange);
        }
        break;
    case PHASE_LINGER:
        linger(h);
        break;
    default:
        error = connection_is_flushed(c) ? 0 : connection_flush(c);
        if (error && error != -E_AGAIN)
            connection_ended(h, error);
        else
            read_request(h);
    }
}

static void on_timer(struct timer *t)
{
    struct h1_session *h = CONTAINER_OF(t, struct h1_session, timer);

    switch ((enum phase)h->phase) {
    case PHASE_HANDSHAKE:
        log_failed_handshake(h, -E_TIMEOUT_HANDSHAKE);
        close_session(h, true);
        break;
    case PHASE_HEAD:
        if (new_exchange(h))
            begin(h, -E_TIMEOUT_HEAD);
        break;
    case PHASE_IDLE:
        finish_session(h, false); /* who still takes the last response may have it */
        break;
    case PHASE_LINGER:
        on_linger_timer(h);
        break;
    case PHASE_EXCHANGE:
        break;
    }
}

/* What the TLS connection asks. */

static struct tls_session *choose(struct connection *c, const struct client_hello *hello, uint8_t *ret_alert,
                                  int *ret_error)
{
    struct h1_session *h = c->owner;
    struct session *s = &h->base;
    const struct snapshot_listener *listener = s->listener;
    struct certificate *certificate;
    struct tls_session *tls;
    bool matched = false;

    s->has_sni = hello->has_server_name;
    s->sni = hello->server_name;
    s->host = site_host(listener, s->has_sni ? &s->sni : NULL);
    certificate = cert_choose(listener->cert_index, hello, (time_t)loop_wall_seconds(c->net->loop), &matched);
    if (!matched && s->host->policy->options->strict_sni) {
        *ret_alert = ALERT_UNRECOGNIZED_NAME;
        *ret_error = -E_UNRECOGNIZED_NAME;
        return NULL;
    }
    if (!certificate) {
        *ret_alert = ALERT_HANDSHAKE_FAILURE;
        *ret_error = -E_NO_CERTIFICATE;
        return NULL;
    }
    tls = tls_session_new(snapshot_context(s->host, listener, certificate),
                          bytes_of(s->host->binding, sizeof s->host->binding));
    *ret_alert = ALERT_INTERNAL_ERROR;
    *ret_error = tls ? 0 : -E_MEMORY;
    return tls;
}

static void established(struct connection *c)
{
    struct h1_session *h = c->owner;
    struct session *s = &h->base;

    s->secure = true;
    s->established_ns = loop_now(c->net->loop);
    tls_session_facts(connection_tls(c), &s->facts);
    count_add(&s->home->counts->handshakes, 1);
    if (s->facts.resumed)
        count_add(&s->home->counts->handshakes_resumed, 1);
    enter(h, PHASE_IDLE, s->home->draining ? DRAIN_GRACE_SECONDS * NS_PER_S : s->listener->options->timeouts.idle_ns);
}

static const struct tls_server_hooks tls_hooks = { choose, established };

static bool is_trusted(const struct listener_options *options, const struct address *peer)
{
    for (size_t i = 0; i < options->trusted_proxies.count; i++)
        if (network_contains(&OPTION_ITEM(struct network_options, &options->trusted_proxies, i)->network, peer))
            return true;
    return false;
}

/* The texts that every request's forwarding fields need. */
static void print_ends(struct session *s, uint16_t local_port)
{
    bool v6;

    address_print_host(&s->peer, s->peer_text);
    v6 = strchr(s->peer_text, ':') != NULL;
    snprintf(s->peer_node, sizeof s->peer_node, "%s%.*s%s", v6 ? "\"[" : "", ADDRESS_TEXT - 8, s->peer_text,
             v6 ? "]\"" : "");
    if (s->peer.any.sa_family == AF_UNIX)
        snprintf(s->peer_node, sizeof s->peer_node, "unknown");
    if (local_port)
        snprintf(s->local_port_text, sizeof s->local_port_text, "%u", local_port);
}

void session_open(struct session_home *home, struct site *site, const struct snapshot_listener *listener, int fd,
                  uint16_t local_port, const struct address *peer)
{
    struct h1_session *h = calloc(1, sizeof *h);
    struct session *s = &h->base;
    struct connection *c;

    if (!h) {
        close(fd);
        return;
    }
    c = listener->tls ? connection_new_tls_server(home->net, fd, &tls_hooks) : connection_new(home->net, fd);
    if (!c) {
        free(h);
        return;
    }
    c->owner = h;
    c->on_event = on_event;
    *s = (struct session){ .home = home,
                           .site = site_ref(site),
                           .listener = listener,
                           .host = &listener->fallback,
                           .connection = c,
                           .peer = *peer,
                           .accepted_ns = loop_now(home->net->loop) };
    print_ends(s, local_port);
    s->peer_trusted = is_trusted(listener->options, peer);
    h->stream.ops = &stream_ops;
    h->wire.connection = c;
    timer_init(&h->timer, on_timer);
    deferred_init(&h->again, read_again);
    list_append(&home->sessions, &s->link);
    home->session_count++;
    count_add(&home->counts->accepted, 1);
    count_add(&home->counts->connections_open, 1);
    enter(h, listener->tls ? PHASE_HANDSHAKE : PHASE_IDLE,
          listener->tls ? listener->options->timeouts.handshake_ns : listener->options->timeouts.idle_ns);
}

/* A kept connection ends now, unless a request has come already, pipelined or into the socket: that one is served. */
static void drain_idle(struct h1_session *h)
{
    struct connection *c = h->base.connection;
    int n = (int)buffer_used(&c->in);

    c->readable = true;
    if (n == 0)
        n = connection_receive(c);
    if (n > 0)
        read_request(h);
    else if (n == -E_AGAIN)
        finish_session(h, false);
    else
        connection_ended(h, n);
}

void session_drain(struct session *s)
{
    struct h1_session *h = of_session(s);

    if (h->phase == PHASE_IDLE && h->served)
        drain_idle(h);
    else if (h->phase == PHASE_IDLE)
        wait_for_request(h, DRAIN_GRACE_SECONDS * NS_PER_S);
    else if (h->phase == PHASE_EXCHANGE)
        h->exchange->must_close = true;
}

void session_abort(struct session *s)
{
    struct h1_session *h = of_session(s);

    if (h->exchange)
        exchange_abort(h->exchange, -E_STOPPING);
    h->exchange = NULL;
    close_session(h, true);
}
