/* session_linger.c: a session's last stage: our last bytes leave, then what still comes is read and dropped until the
 * peer ends too, or for a while, so that a reset does not overtake what we sent (RFC 9112 9.6).
 *
 * That it left us is not enough: once the socket is closed, the first byte that a client still sends (a KeyUpdate, a
 * WINDOW_UPDATE, a request that it had not known to be one too many) makes the kernel drop what it has not delivered yet
 * and reset the connection. So a socket is kept until the peer's kernel has confirmed all of it, or the peer has ended too
 * and all that it sent was read: who can send no more provokes no reset. The kernel raises an event with either. */
#include <stdlib.h>

#include "net/socket.h"
#include "proxy/session.h"

enum {
    LINGER_SECONDS = 3,
    LINGER_BYTES_MOST = 16 << 20,
};

struct lingering {
    uint64_t dropped; /* bytes so far */
    size_t unsent;    /* what the peer's kernel had not confirmed when that was last asked for */
    struct {
        uint64_t wire_out;
        size_t unsent;
    } window; /* what there was when the time over which the client's rate is measured began */
};

/* Our FIN alone may be on its way: there is nothing left in it to lose. */
static bool is_delivered(const struct lingering *l)
{
    return l->unsent <= 1;
}

/* A client that takes its last bytes slowly is waited for as in an exchange: as long as it keeps to the least rate. */
static void wait_on(struct session *s)
{
    struct lingering *l = s->state;
    const struct connection *c = s->connection;

    l->window.wire_out = c->wire_out;
    l->window.unsent = l->unsent;
    session_limit(s, c->finished ? LINGER_SECONDS * NS_PER_S : s->listener->options->timeouts.window_ns);
}

/* Returns whether there is still something to wait for; if not, the session is gone. */
static bool advance(struct session *s, struct lingering *l)
{
    struct connection *c = s->connection;
    int error = connection_flush(c), n = -E_AGAIN;

    if (error && error != -E_AGAIN) {
        session_close(s, true);
        return false;
    }
    s->unread |= buffer_used(&c->in) != 0;
    while (l->dropped < LINGER_BYTES_MOST && (n = connection_discard(c)) > 0)
        l->dropped += (unsigned)n;
    s->unread |= l->dropped != 0;
    if ((n < 0 && n != -E_AGAIN) || (c->finished && (n == 0 || l->dropped >= LINGER_BYTES_MOST))) {
        session_close(s, !c->finished);
        return false;
    }
    if (c->finished)
        l->unsent = socket_unsent(c->watch.fd);
    if (c->finished && !s->unread && is_delivered(l)) {
        session_close(s, false);
        return false;
    }
    connection_settle(c);
    return true;
}

static void on_event(struct session *s)
{
    bool had_finished = s->connection->finished;

    if (advance(s, s->state) && s->connection->finished && !had_finished)
        wait_on(s);
}

static void start(struct session *s)
{
    struct lingering first = { 0 }, *l;

    connection_finish(s->connection);
    if (!advance(s, &first))
        return;
    s->state = l = malloc(sizeof *l);
    if (!l) {
        session_close(s, true);
        return;
    }
    *l = first;
    wait_on(s);
}

/* Whether the client took less than it must within the time that is over. */
static bool is_too_slow(const struct session *s)
{
    const struct listener_timeouts *limits = &s->listener->options->timeouts;
    struct lingering *l = s->state;
    const struct connection *c = s->connection;

    if (!c->finished)
        return (double)(c->wire_out - l->window.wire_out) <
               (double)limits->body_rate * ((double)limits->window_ns / 1e9);
    l->unsent = socket_unsent(c->watch.fd);
    return is_delivered(l) || l->unsent >= l->window.unsent ||
           (double)(l->window.unsent - l->unsent) < (double)limits->body_rate * LINGER_SECONDS;
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
