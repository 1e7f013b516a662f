#include "proxy/relay.h"

#include <stdlib.h>

#include "net/socket.h"
#include "proxy/access.h"
#include "proxy/proxied.h"

enum {
    TURN_BYTES = 1024 * 1024, /* of one direction; then others have their turn */
    SPLICE_FROM = 256 * 1024, /* handed over in one direction: it is one of bulk, which pays for a pipe */
    PIECE_BYTES = 256,        /* what each piece counts for beside its own: one byte is work too */
    CUT_POLL_LEAST_MS = 10, /* between two looks whether the last words before a reset have arrived; then ever longer */
    CUT_POLL_MOST_MS = 500,
    CUT_SECONDS = 3, /* how long they are waited for without progress */
};

/* One direction. */
struct way {
    uint64_t bytes;    /* handed over */
    int source_error;  /* nothing more can come, and something may be missing */
    bool source_ended; /* in order */
    bool ended;        /* and that was passed on */
};

struct relay {
    struct session *session;
    struct reach server;
    struct deferred again;
    struct way up, down;
    const struct relay_filter *filter; /* NULL: all passes as it is */
    void *filter_state;
    struct connection *failed; /* the side that can be used no more; the other one gets its last words, and a reset */
    uint64_t cut_at_ns;        /* when the other one is waited for no more */
    uint64_t cut_mark;         /* how far it was when we looked last */
    unsigned cut_poll_ms;
    int error; /* what went wrong first, for the log */
    bool logged;
};

static struct connection *server_of(const struct relay *r)
{
    return r->server.dial.connection;
}

static struct loop *loop_of(const struct relay *r)
{
    return r->session->home->net->loop;
}

/* ---- One direction ---- */

/* Whether `to` takes something now. Asked before reading, so that what cannot go on stays in the kernel. */
static int make_room(struct connection *to)
{
    int error = connection_is_flushed(to) ? 0 : connection_flush(to);

    if (error && error != -E_AGAIN)
        return error;
    return to->writable && (!connection_is_tls(to) || connection_room(to)) ? 0 : -E_AGAIN;
}

/* Whole records while there is more to come: a short one costs as much as a long one. */
static struct bytes next_piece(const struct connection *from, const struct connection *to, size_t ready)
{
    struct bytes data = bytes_part(buffer_content(&from->in), 0, ready);

    if (from->readable && data.size > TLS_RECORD_PLAIN && connection_is_tls(to))
        data.size -= data.size % TLS_RECORD_PLAIN;
    return data;
}

/* Returns whether something came. An end that an earlier stage met, behind words that are ours, is an end for us too. */
static bool receive(struct way *w, struct connection *from)
{
    int n;

    if (w->source_ended || w->source_error)
        return false;
    n = connection_receive(from);
    if (n == 0 || (n == -E_AGAIN && from->end_read && !connection_is_tls(from)))
        w->source_ended = true;
    else if (n < 0 && n != -E_AGAIN)
        w->source_error = n;
    return n > 0;
}

/* How much of what came may go on. */
static size_t look(struct relay *r, const struct way *w, struct connection *from)
{
    size_t used = buffer_used(&from->in);

    if (!r->filter || used == 0)
        return used;
    return r->filter->look(r->filter_state, w == &r->up, &from->in, w->source_ended || w->source_error);
}

static void drop_filter(struct relay *r)
{
    if (r->filter)
        r->filter->free(r->filter_state);
    r->filter = NULL;
}

static void take(struct relay *r, struct way *w, struct connection *from, size_t n)
{
    buffer_consume(&from->in, n);
    w->bytes += n;
    if (r->filter && !r->filter->took(r->filter_state, w == &r->up, n))
        drop_filter(r);
}

/* A piece of a direction of bulk, within the kernel where it goes that way. As connection_splice(). */
static ssize_t pass_through(struct relay *r, struct way *w, struct connection *from, struct connection *to)
{
    ssize_t n;

    if (r->filter || w->bytes < SPLICE_FROM || w->source_ended || w->source_error)
        return -E_AGAIN;
    n = connection_splice(from, to, TURN_BYTES);
    if (n > 0)
        w->bytes += (uint64_t)n;
    return n;
}

/* Passes the end on. */
static int finish(struct way *w, struct connection *to)
{
    int error;

    if (!to->finish_asked)
        connection_finish(to);
    error = connection_flush(to);
    w->ended = to->finished;
    return error == -E_AGAIN ? 0 : error;
}

/* As far as both go. Returns 0; or an error, and whose it is. */
static int pump(struct relay *r, struct way *w, struct connection *from, struct connection *to,
                struct connection **ret_failed)
{
    size_t budget = TURN_BYTES;

    *ret_failed = to;
    while (!w->source_ended || buffer_used(&from->in)) {
        int error = make_room(to);
        size_t ready;
        ssize_t sent;
        bool came;

        if (error)
            return error == -E_AGAIN ? 0 : error;
        sent = pass_through(r, w, from, to);
        if (sent < 0) {
            came = receive(w, from);
            ready = look(r, w, from);
            if (ready == 0 && !came) {
                if (w->source_ended)
                    break;
                *ret_failed = from;
                return w->source_error;
            }
            sent = ready ? connection_pass(to, next_piece(from, to, ready)) : 0; /* a filter may hold all of it back */
            if (sent < 0)
                return (int)sent;
            take(r, w, from, (size_t)sent);
        }
        if ((size_t)sent + PIECE_BYTES >= budget) {
            loop_defer(loop_of(r), &r->again);
            return 0;
        }
        budget -= (size_t)sent + PIECE_BYTES;
    }
    return w->ended ? 0 : finish(w, to);
}

/* ---- Ends ---- */

static void log_relay(struct relay *r)
{
    const struct reach *server = &r->server;
    const struct relay_record record = {
        .upstream = server->upstream,
        .server_number = server->server_number,
        .attempts = server->attempts,
        .up_bytes = r->up.bytes,
        .down_bytes = r->down.bytes,
        .connect_began_ns = server->began_ns,
        .connected_ns = server->connected_ns,
        .id = bytes_of_text(server->id),
        .error = r->error,
    };

    if (!r->logged)
        access_log_relay(r->session, &record);
    r->logged = true;
}

/* The relay is over, and gone. reset: something was cut short, which both sides must see. */
static void end(struct relay *r, bool reset)
{
    struct session *s = r->session;
    bool has_alert = r->failed == s->connection && r->error != -E_RESET && r->error != -E_TRUNCATED;

    log_relay(r);
    reach_end(&r->server, reset);
    if (reset && !has_alert)
        session_close(s, true);
    else
        session_finish(s, reset); /* our alert is to arrive */
}

static void give_up(struct relay *r, int error)
{
    r->error = error;
    end(r, true);
}

/* What went wrong, in the words of the side where it did. */
static int error_of(struct relay *r, const struct connection *failed, int error)
{
    return failed == server_of(r) ? dial_error(&r->server.dial, error) : error;
}

/* One side has failed: what it said last goes to the other side, whose kernel has to confirm it, for a reset throws
 * away what has not arrived. */
static void cut(struct relay *r)
{
    struct connection *client = r->session->connection, *from = r->failed, *failed;
    struct connection *to = from == client ? server_of(r) : client;
    struct way *w = from == client ? &r->up : &r->down;
    int error = pump(r, w, from, to, &failed);
    uint64_t now = loop_now(loop_of(r)), waiting, mark;

    if (w->ended) { /* it had only hung up: both of its directions were ended */
        end(r, false);
        return;
    }
    if (w->source_error && !r->error)
        r->error = error_of(r, from, w->source_error);
    waiting = connection_waiting(to) + socket_unsent(to->watch.fd);
    mark = w->bytes - waiting;
    if (mark != r->cut_mark || !r->cut_at_ns) {
        r->cut_mark = mark;
        r->cut_poll_ms = CUT_POLL_LEAST_MS;
        r->cut_at_ns = now + CUT_SECONDS * NS_PER_S;
    }
    if ((error && failed == to) || (error && !waiting) || now >= r->cut_at_ns) {
        r->error = r->error ? r->error : error_of(r, from, -E_RESET);
        end(r, true);
        return;
    }
    session_limit(r->session, r->cut_poll_ms * NS_PER_MS);
    r->cut_poll_ms = r->cut_poll_ms * 2 < CUT_POLL_MOST_MS ? r->cut_poll_ms * 2 : CUT_POLL_MOST_MS;
}

/* A side that can neither be read nor written, without our having ended it: no event will say more of it. */
static struct connection *hung_up(const struct relay *r)
{
    struct connection *client = r->session->connection, *server = server_of(r);

    if (client->hung_up && !client->finished)
        return client;
    return server->hung_up && !server->finished ? server : NULL;
}

/* ---- The stage ---- */

/* Whether the client's connection itself is a Unix socket, whomever a header announced on it: there, one who wrote and went
 * looks like one who was reset. */
static bool is_unix(const struct session *s)
{
    return (s->via ? s->via->proxy.any.sa_family : s->peer.family) == AF_UNIX;
}

/* Whether the server was reached. If not, the relay may be gone. */
static bool has_server(struct relay *r)
{
    struct session *s = r->session;
    unsigned attempts = r->server.attempts;
    int error;

    if (r->server.stands)
        return true;
    error = reach_advance(&r->server);
    if (error == 0) {
        session_limit(s, s->listener->options->timeouts.tunnel_ns);
        return true;
    }
    if (error != -E_AGAIN)
        give_up(r, error);
    else if (s->connection->hung_up && !is_unix(s))
        give_up(r, -E_RESET);
    else if (r->server.attempts != attempts)
        session_limit(s, reach_limit_ns(&r->server));
    return false;
}

static void run(struct relay *r)
{
    struct session *s = r->session;
    struct connection *client = s->connection, *server, *failed;
    uint64_t before = r->up.bytes + r->down.bytes;
    int error;

    if (!has_server(r))
        return;
    server = server_of(r);
    if (!r->failed)
        r->failed = hung_up(r);
    if (r->failed) {
        cut(r);
        return;
    }
    error = pump(r, &r->up, client, server, &failed);
    if (!error)
        error = pump(r, &r->down, server, client, &failed);
    if (error) {
        r->failed = failed;
        r->error = error_of(r, failed, error);
        cut(r);
        return;
    }
    if (r->up.ended && r->down.ended) {
        end(r, false);
        return;
    }
    if (!r->up.bytes) /* the client waits for the server's first word */
        dial_open_now(&r->server.dial);
    if (r->up.bytes + r->down.bytes != before)
        session_limit(s, s->listener->options->timeouts.tunnel_ns);
    connection_settle(client);
    connection_settle(server);
}

static void on_server_event(struct connection *c)
{
    run(c->owner);
}

static void run_again(struct deferred *d)
{
    run(CONTAINER_OF(d, struct relay, again));
}

static struct relay *new_relay(struct session *s)
{
    struct relay *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->session = s;
    deferred_init(&r->again, run_again);
    count_add(&s->home->counts->relays, 1);
    return r;
}

void relay_join(struct session *s, struct reach *server)
{
    relay_join_filtered(s, server, NULL, NULL);
}

void relay_join_filtered(struct session *s, struct reach *server, const struct relay_filter *filter, void *state)
{
    struct relay *r = new_relay(s);

    CHECK(server->stands);
    if (!r) {
        if (filter)
            filter->free(state);
        session_close(s, true);
        return;
    }
    r->filter = filter;
    r->filter_state = state;
    reach_move(server, &r->server, r, on_server_event);
    session_enter(s, &session_relay, r);
}

static void start(struct session *s)
{
    struct relay *r = s->state;
    int error;

    if (r) { /* relay_join() made it */
        session_limit(s, s->listener->options->timeouts.tunnel_ns);
        run(r);
        return;
    }
    s->state = r = new_relay(s);
    if (!r) {
        session_close(s, true);
        return;
    }
    error = reach_start(&r->server, s, s->service->to, r, on_server_event);
    if (error)
        give_up(r, error);
    else
        session_limit(s, reach_limit_ns(&r->server));
}

static void on_event(struct session *s)
{
    run(s->state);
}

static void on_timer(struct session *s)
{
    struct relay *r = s->state;
    int error;

    if (r->failed) {
        cut(r);
        return;
    }
    if (r->server.stands) {
        give_up(r, -E_TIMEOUT_IDLE);
        return;
    }
    error = reach_late(&r->server);
    if (error == -E_AGAIN)
        session_limit(s, reach_limit_ns(&r->server));
    else
        give_up(r, error);
}

/* Draining: a relay has no end that could be told to its ends; it goes on until the limit of draining cuts it. */

static void leave(struct session *s)
{
    struct relay *r = s->state;

    if (!r)
        return;
    r->error = r->logged ? r->error : -E_STOPPING;
    log_relay(r);
    loop_defer_cancel(&r->again);
    reach_end(&r->server, true);
    drop_filter(r);
    free(r);
}

const struct session_stage session_relay = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .leave = leave
};
