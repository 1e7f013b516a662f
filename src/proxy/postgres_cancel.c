/* postgres_cancel.c: one CancelRequest to every server that it may be meant for. */
#include <stdlib.h>

#include "base/check.h"
#include "proxy/access.h"
#include "proxy/postgres.h"
#include "proxy/reach.h"

enum {
    TURN_SECONDS = 5,    /* until it is told to the first server */
    CANCEL_SECONDS = 10, /* then, for the servers to end the connections on which they were told */
};

struct cancel;

struct told {
    struct cancel *cancel;
    const struct snapshot_upstream *upstream;
    int number;
    struct reach server;
    bool sent, over;
};

struct cancel {
    struct session *session;
    struct bytes message;  /* in the connection's `in` */
    struct list waiting;   /* of home->cancels, while some servers were not begun with */
    unsigned count, begun; /* servers: to be told; of those, that were dialled */
    unsigned left;         /* that have not ended yet */
    int error;             /* of the last one that was not reached */
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
        .attempts = c->begun,
        .up_bytes = c->any_sent ? c->message.size : 0,
        .error = c->any_sent ? 0 : c->error,
    };

    access_log_relay(s, &record);
    buffer_consume(&s->connection->in, c->message.size);
    session_finish(s, false);
}

/* A connection to a server is done with. */
static void give_back(struct session_home *home)
{
    home->cancel_connections--;
    if (!list_is_empty(&home->cancels))
        loop_defer(home->net->loop, &home->cancels_wake);
}

static void is_over(struct told *t, int error)
{
    t->over = true;
    give_back(t->cancel->session->home);
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

static void add_servers(struct cancel *c, const struct snapshot_upstream *upstream)
{
    for (size_t i = 0; upstream && i < upstream->server_count && c->count < POSTGRES_CANCELS_MOST; i++)
        c->told[c->count++] = (struct told){ .cancel = c, .upstream = upstream, .number = (int)i };
}

/* Turns to as many of its servers as may be now; has its place among those that wait while there are more. */
static void tell_some(struct cancel *c)
{
    struct session_home *home = c->session->home;

    while (c->begun < c->count && home->cancel_connections < POSTGRES_CANCEL_CONNECTIONS_MOST) {
        struct told *t = &c->told[c->begun++];
        int error;

        if (c->begun == 1)
            session_limit(c->session, CANCEL_SECONDS * NS_PER_S);
        home->cancel_connections++;
        error = reach_start_at(&t->server, c->session, t->upstream, t->number, t, on_server_event);
        if (error)
            is_over(t, error);
    }
    if (c->begun == c->count)
        list_remove(&c->waiting);
    else if (list_is_empty(&c->waiting))
        list_append(&home->cancels, &c->waiting);
}

/* In the order in which they came. */
static void wake(struct deferred *d)
{
    struct session_home *home = CONTAINER_OF(d, struct session_home, cancels_wake);

    while (!list_is_empty(&home->cancels) && home->cancel_connections < POSTGRES_CANCEL_CONNECTIONS_MOST) {
        struct cancel *c = LIST_FIRST(&home->cancels, struct cancel, waiting);

        tell_some(c);
        if (c->left == 0)
            end(c);
    }
}

void postgres_cancels_init(struct session_home *home)
{
    list_init(&home->cancels);
    deferred_init(&home->cancels_wake, wake);
}

void postgres_cancels_done(struct session_home *home)
{
    CHECK(list_is_empty(&home->cancels) && home->cancel_connections == 0);
    loop_defer_cancel(&home->cancels_wake);
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
    list_init(&c->waiting);
    session_limit(s, TURN_SECONDS * NS_PER_S);
    if (s->secure)
        add_servers(c, s->service->to);
    for (size_t i = 0; !s->secure && i <= l->host_count; i++)
        add_servers(c, upstream_at(l, i));
    c->left = c->count;
    if (list_is_empty(&s->home->cancels))
        tell_some(c);
    else
        list_append(&s->home->cancels, &c->waiting);
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

    c->error = c->begun ? -E_TIMEOUT_CONNECT : -E_OVERLOAD;
    end(c);
}

static void leave(struct session *s)
{
    struct cancel *c = s->state;

    if (!c)
        return;
    list_remove(&c->waiting);
    for (unsigned i = 0; i < c->begun; i++) {
        if (c->told[i].over)
            continue;
        reach_end(&c->told[i].server, false);
        give_back(s->home);
    }
    free(c);
}

const struct session_stage session_postgres_cancel = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .leave = leave
};
