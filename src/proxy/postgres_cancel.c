/* postgres_cancel.c: one CancelRequest to every server that it may be meant for. */
#include <stdlib.h>

#include "proxy/access.h"
#include "proxy/postgres.h"
#include "proxy/reach.h"

enum { CANCEL_SECONDS = 10 }; /* for the servers to end the connections on which they were told */

struct cancel;

struct told {
    struct cancel *cancel;
    struct reach server;
    bool sent, over;
};

struct cancel {
    struct session *session;
    struct bytes message; /* in the connection's `in` */
    uint64_t sent_bytes;
    unsigned count, left; /* servers; those that have not ended yet */
    int error;            /* of the last one that was not reached */
    bool any_sent;
    struct told told[POSTGRES_CANCELS_MOST];
};

static void end(struct cancel *c)
{
    struct session *s = c->session;
    const struct reach *only = c->count == 1 ? &c->told[0].server : NULL;
    const struct relay_record record = {
        .upstream = only ? only->upstream : NULL,
        .server_number = only ? only->server_number : -1,
        .attempts = c->count,
        .up_bytes = c->any_sent ? c->message.size : 0,
        .error = c->any_sent ? 0 : c->error,
    };

    access_log_relay(s, &record);
    buffer_consume(&s->connection->in, c->message.size);
    session_finish(s, false);
}

static void is_over(struct told *t, int error)
{
    t->over = true;
    t->cancel->left--;
    if (!t->sent)
        t->cancel->error = error;
    reach_end(&t->server, false);
}

/* Says it once the server is reached, then waits for the server's end. */
static void run(struct told *t)
{
    struct bytes message = t->cancel->message;
    struct connection *c;
    int error = reach_advance(&t->server);

    if (error == -E_AGAIN)
        return;
    if (error) {
        is_over(t, error);
        return;
    }
    c = t->server.dial.connection;
    if (!t->sent) {
        if (connection_send(c, message) != (ssize_t)message.size) {
            is_over(t, -E_SERVER_CLOSED);
            return;
        }
        t->sent = t->cancel->any_sent = true;
    }
    error = connection_flush(c);
    if (error == 0 || error == -E_AGAIN)
        while ((error = connection_discard(c)) > 0)
            ;
    if (error != -E_AGAIN)
        is_over(t, error);
}

static void on_server_event(struct connection *connection)
{
    struct told *t = connection->owner;
    struct cancel *c = t->cancel;

    run(t);
    if (c->left == 0)
        end(c);
}

/* The upstream number `i` of those that a client without a name may mean; NULL: none, or named by an earlier one. */
static const struct snapshot_upstream *upstream_at(const struct snapshot_listener *l, size_t i)
{
    const struct snapshot_upstream *to = i ? l->hosts[i - 1].service.to : l->fallback.service.to;

    for (size_t k = 0; k < i; k++)
        if (to == (k ? l->hosts[k - 1].service.to : l->fallback.service.to))
            return NULL;
    return to;
}

static void tell(struct cancel *c, const struct snapshot_upstream *upstream)
{
    for (size_t i = 0; upstream && i < upstream->server_count && c->count < POSTGRES_CANCELS_MOST; i++) {
        struct told *t = &c->told[c->count++];
        int error;

        c->left++;
        t->cancel = c;
        error = reach_start_at(&t->server, c->session, upstream, (int)i, t, on_server_event);
        if (error)
            is_over(t, error);
    }
}

static void start(struct session *s)
{
    const struct snapshot_listener *l = s->listener;
    struct cancel *c = calloc(1, sizeof *c);

    s->state = c;
    if (!c) {
        session_close(s, true);
        return;
    }
    c->session = s;
    c->message = buffer_content(&s->connection->in); /* nothing is received any more: it stays */
    c->error = -E_NO_SERVER;
    session_limit(s, CANCEL_SECONDS * NS_PER_S);
    if (s->secure)
        tell(c, s->service->to);
    for (size_t i = 0; !s->secure && i <= l->host_count; i++)
        tell(c, upstream_at(l, i));
    if (c->left == 0)
        end(c);
}

/* Whether the client still waits is of no interest: what it asked for is done. */
static void on_event(struct session *s)
{
    (void)s;
}

static void on_timer(struct session *s)
{
    struct cancel *c = s->state;

    c->error = -E_TIMEOUT_CONNECT;
    end(c);
}

static void leave(struct session *s)
{
    struct cancel *c = s->state;

    for (unsigned i = 0; c && i < c->count; i++)
        if (!c->told[i].over)
            reach_end(&c->told[i].server, false);
    free(c);
}

const struct session_stage session_postgres_cancel = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .leave = leave
};
