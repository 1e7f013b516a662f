/* session_linger.c: a session's last stage: our last bytes leave, then what still comes is read and dropped until the
 * peer ends too, or for a while, so that a reset does not overtake what we sent (RFC 9112 9.6).
 *
 * That it left us is not enough: once the socket is closed, the first byte that a client still sends (a KeyUpdate, a
 * WINDOW_UPDATE, a request that it had not known to be one too many) makes the kernel drop what it has not delivered yet
 * and reset the connection. So a socket is kept until the peer's kernel has confirmed all of it. */
#include <stdlib.h>

#include "net/socket.h"
#include "proxy/session.h"

enum {
    LINGER_SECONDS = 3,
    LINGER_BYTES_MOST = 16 << 20,
};

struct lingering {
    uint64_t dropped;      /* bytes so far */
    uint64_t window_bytes; /* the connection's count when the window over which the client's rate is measured began */
    size_t unsent;         /* what the peer's kernel had not confirmed then */
};

/* Our FIN alone may be on its way: there is nothing left in it to lose. */
static bool is_delivered(const struct connection *c)
{
    return socket_unsent(c->watch.fd) <= 1;
}

/* A client that takes its last bytes slowly is waited for as in an exchange: as long as it keeps to the least rate. */
static void wait_on(struct session *s)
{
    struct lingering *l = s->state;
    const struct connection *c = s->connection;

    l->window_bytes = c->wire_out;
    l->unsent = socket_unsent(c->watch.fd);
    session_limit(s, c->finished ? LINGER_SECONDS * NS_PER_S : s->listener->options->timeouts.window_ns);
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
        wait_on(s);
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
    if (c->finished && !s->unread && !c->readable && buffer_used(&c->in) == 0 && is_delivered(c)) {
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

/* Whether the client took less than it must within the time that is over. */
static bool is_too_slow(const struct session *s)
{
    const struct listener_timeouts *limits = &s->listener->options->timeouts;
    const struct lingering *l = s->state;
    const struct connection *c = s->connection;
    size_t unsent = socket_unsent(c->watch.fd);

    if (!c->finished)
        return (double)(c->wire_out - l->window_bytes) < (double)limits->body_rate * ((double)limits->window_ns / 1e9);
    return unsent <= 1 || unsent >= l->unsent ||
           (double)(l->unsent - unsent) < (double)limits->body_rate * LINGER_SECONDS;
}

static void on_timer(struct session *s)
{
    if (is_too_slow(s))
        session_close(s, !s->connection->finished);
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
