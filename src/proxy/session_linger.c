/* session_linger.c: a session's last stage: our last bytes leave, then what still comes is read and dropped until the
 * peer ends too, or for a while, so that a reset does not overtake what we sent (RFC 9112 9.6). */
#include <stdlib.h>

#include "proxy/session.h"

enum {
    LINGER_SECONDS = 3,
    LINGER_BYTES_MOST = 16 << 20,
};

struct lingering {
    uint64_t dropped;      /* bytes so far */
    uint64_t window_bytes; /* the connection's count when the window over which the client's rate is measured began */
};

/* A client that takes its last bytes slowly is waited for as in an exchange: as long as it keeps to the least rate. */
static void wait_on(struct session *s)
{
    struct lingering *l = s->state;

    l->window_bytes = s->connection->wire_out;
    session_limit(s, s->connection->finished ? LINGER_SECONDS * NS_PER_S : s->listener->options->timeouts.window_ns);
}

static void on_event(struct session *s)
{
    struct lingering *l = s->state;
    struct connection *c = s->connection;
    bool had_finished = c->finished;
    int error = connection_flush(c), n = -E_AGAIN;

    if (error && error != -E_AGAIN) {
        session_close(s, true);
        return;
    }
    if (c->finished && !had_finished)
        session_limit(s, LINGER_SECONDS * NS_PER_S);
    while (l->dropped < LINGER_BYTES_MOST && (n = connection_discard(c)) > 0)
        l->dropped += (unsigned)n;
    if ((n < 0 && n != -E_AGAIN) || (c->finished && (n == 0 || l->dropped >= LINGER_BYTES_MOST)))
        session_close(s, !c->finished);
    else
        connection_settle(c);
}

static void start(struct session *s)
{
    struct connection *c = s->connection;
    int error;

    connection_finish(c);
    error = connection_flush(c);
    if (error && error != -E_AGAIN) {
        session_close(s, true);
        return;
    }
    if (c->finished && !s->unread && !c->readable && buffer_used(&c->in) == 0) {
        session_close(s, false);
        return;
    }
    s->state = calloc(1, sizeof(struct lingering));
    if (!s->state) {
        session_close(s, true);
        return;
    }
    wait_on(s);
    on_event(s);
}

static void on_timer(struct session *s)
{
    const struct listener_timeouts *limits = &s->listener->options->timeouts;
    const struct lingering *l = s->state;
    const struct connection *c = s->connection;
    double needed = (double)limits->body_rate * ((double)limits->window_ns / 1e9);

    if (c->finished || (double)(c->wire_out - l->window_bytes) < needed)
        session_close(s, !c->finished);
    else
        wait_on(s);
}

static void leave(struct session *s)
{
    free(s->state);
}

const struct session_stage session_linger = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .leave = leave
};
