#include "upstream/h2_client_private.h"

#include <stdlib.h>

enum {
    TURN_BYTES = 512 * 1024,            /* received of one connection; then others have their turn */
    CONNECTING_MOST = H2_STREAMS_USUAL, /* links that wait for one connection */
    PONG_SECONDS = 20,                  /* at most; not longer than it was silent before */
};

static struct loop *loop_of(const struct backend *b)
{
    return b->group->pool->net->loop;
}

int h2_client_error(int error)
{
    switch (error) {
    case -E_RESET:
    case -E_CLOSED:
    case -E_TRUNCATED:
        return -E_SERVER_CLOSED;
    case -E_AGAIN:
    case -E_MEMORY:
        return error;
    default:
        return -E_BAD_RESPONSE;
    }
}

/* ---- What the machine asks of its connection ---- */

static size_t room(void *user)
{
    struct h2_client *c = user;

    return c->dial.connection ? connection_room(c->dial.connection) : BUFFER_LARGE;
}

static int write_frame(void *user, struct bytes head, struct bytes data)
{
    struct h2_client *c = user;
    ssize_t sent;

    if (!c->dial.connection) /* its streams have the rest of what came; nobody is there to hear of that */
        return 0;
    sent = connection_send(c->dial.connection, head);
    if (sent >= 0 && data.size) {
        CHECK((size_t)sent == head.size);
        sent = connection_send(c->dial.connection, data);
        CHECK(sent < 0 || (size_t)sent == data.size);
    }
    return sent < 0 ? (int)sent : 0;
}

static void dirty(void *user)
{
    struct h2_client *c = user;

    if (c->dial.connection)
        loop_defer(c->loop, &c->work);
}

static uint64_t wire_out(void *user)
{
    const struct h2_client *c = user;

    return c->dial.connection ? c->dial.connection->wire_out : 0;
}

static const struct h2_owner owner = { .room = room, .write = write_frame, .dirty = dirty, .wire_out = wire_out };

/* ---- Who waits ---- */

static bool is_listed(const struct h2_client *c)
{
    return !list_is_empty(&c->pool_link);
}

static void enlist(struct h2_client *c)
{
    list_append(&c->backend->shared, &c->pool_link);
    c->backend->shared_count++;
}

/* Takes no more links. Who waits with the backend may find room for another connection now. */
static void unlist(struct h2_client *c)
{
    if (!is_listed(c))
        return;
    CHECK(c->backend);
    list_remove(&c->pool_link);
    c->backend->shared_count--;
    if (!list_is_empty(&c->backend->waiting))
        loop_defer(c->loop, &c->backend->wake);
}

void h2_backend_wake(struct deferred *d)
{
    struct backend *b = CONTAINER_OF(d, struct backend, wake);
    struct list now;

    list_init(&now);
    while (!list_is_empty(&b->waiting)) {
        struct list *first = b->waiting.next;
        list_remove(first);
        list_append(&now, first);
    }
    while (!list_is_empty(&now)) { /* who finds no place again goes back to b->waiting */
        struct h2_link *k = LIST_FIRST(&now, struct h2_link, member);
        list_remove(&k->member);
        h2_link_tell(k);
    }
}

/* Tells all of a list; they are put into `to` before, where they may stay. */
static void tell_all(struct list *from, struct list *to)
{
    struct list now;

    list_init(&now);
    while (!list_is_empty(from)) {
        struct list *first = from->next;
        list_remove(first);
        list_append(&now, first);
    }
    while (!list_is_empty(&now)) {
        struct h2_link *k = LIST_FIRST(&now, struct h2_link, member);
        list_remove(&k->member);
        list_append(to, &k->member);
        h2_link_tell(k);
    }
}

/* ---- Ends ---- */

static void destroy(struct h2_client *c)
{
    CHECK(c->link_count == 0);
    unlist(c);
    list_remove(&c->home_link);
    loop_timer_stop(c->loop, &c->timer);
    loop_defer_cancel(&c->work);
    h2_free(c->h2);
    dial_done(&c->dial);
    connection_close(c->dial.connection, false);
    free(c);
}

/* Says GOAWAY, and ends in order. */
static void say_goodbye(struct h2_client *c)
{
    struct connection *connection = c->dial.connection;

    if (!c->h2 || !connection)
        return;
    h2_terminate(c->h2, H2_NO_ERROR);
    if (h2_flush(c->h2) == 0) {
        connection_finish(connection);
        (void)!connection_flush(connection); /* what the socket does not take now, nobody needs */
    }
}

/* The connection has ended or failed: so do its links, but for those whose response has come whole. */
static void break_off(struct h2_client *c, int error)
{
    if (c->error)
        return;
    c->error = error;
    unlist(c);
    loop_timer_stop(c->loop, &c->timer);
    if (c->h2 && c->backend)
        c->backend->lost_ns = loop_now(c->loop);
    dial_done(&c->dial);
    connection_close(c->dial.connection, error != -E_BAD_RESPONSE); /* that, it was told: a reset might overtake it */
    c->dial.connection = NULL;
    c->busy++;
    tell_all(&c->waiting, &c->waiting);
    tell_all(&c->open, &c->open);
    c->busy--;
}

/* The machine failed: it has said why, and that leaves yet. */
static void break_machine(struct h2_client *c, int error)
{
    if (h2_client_error(error) == -E_BAD_RESPONSE)
        (void)!connection_flush(c->dial.connection);
    break_off(c, h2_client_error(error));
}

/* No new streams: those that are open go on, those that wait find another connection. */
static void leave(struct h2_client *c)
{
    if (c->leaving)
        return;
    c->leaving = true;
    unlist(c);
    tell_all(&c->waiting, &c->waiting);
}

/* Nothing more to do for now. c may be gone afterwards. */
static void rest(struct h2_client *c)
{
    if (c->busy || c->link_count)
        return;
    if (c->error || c->leaving || c->once || !c->backend || !c->h2 || c->keep.idle == 0) {
        say_goodbye(c);
        destroy(c);
        return;
    }
    if (c->idle)
        return;
    c->idle = true;
    loop_timer_set(c->loop, &c->timer, loop_now(c->loop) + c->keep.idle_time_ns);
}

void h2_client_left(struct h2_client *c)
{
    c->link_count--;
    if (!c->h2 &&
        !list_is_empty(&c->waiting)) /* the plan that it dials by may go with who left: there is another like it */
        c->dial.plan = LIST_FIRST(&c->waiting, struct h2_link, member)->request.plan;
    if (c->h2 && !c->error && (!list_is_empty(&c->waiting) || (c->backend && !list_is_empty(&c->backend->waiting))))
        loop_defer(c->loop, &c->work);
    rest(c);
}

void h2_client_close_all(struct backend *b)
{
    loop_defer_cancel(&b->wake);
    CHECK(list_is_empty(&b->waiting));
    while (!list_is_empty(&b->h2_clients)) {
        struct h2_client *c = LIST_FIRST(&b->h2_clients, struct h2_client, home_link);
        unlist(c);
        list_remove(&c->home_link);
        c->backend = c->dial.backend = NULL;
        rest(c);
    }
}

/* ---- Life ---- */

/* How many streams the server allows is known when its SETTINGS have come; until then it gets one. */
bool h2_client_is_open(const struct h2_client *c)
{
    return c->h2 && !c->error && !c->leaving && h2_streams_free(c->h2) > 0 &&
           (h2_is_open(c->h2) || list_is_empty(&c->open));
}

bool h2_client_is_full(const struct h2_client *c)
{
    return c->h2 && h2_is_open(c->h2) && !h2_client_is_open(c);
}

/* Whether another link may join, to have a stream now or when the connection is ready. */
static bool takes_more(const struct h2_client *c)
{
    if (c->h2 && h2_is_open(c->h2))
        return h2_client_is_open(c);
    return c->link_count < c->backend->h2_streams;
}

/* The first that waits for a stream here, or with the backend for one of any such connection. */
static struct h2_link *next_waiting(struct h2_client *c)
{
    if (!list_is_empty(&c->waiting))
        return LIST_FIRST(&c->waiting, struct h2_link, member);
    if (!is_listed(c) || list_is_empty(&c->backend->waiting))
        return NULL;
    return LIST_FIRST(&c->backend->waiting, struct h2_link, member);
}

static void admit(struct h2_client *c)
{
    struct h2_link *k;

    while (h2_client_is_open(c) && (k = next_waiting(c)) != NULL) {
        if (h2_link_open(k, c) == 0)
            h2_link_tell(k);
        else
            leave(c); /* there was room: its ids are used up */
    }
}

/* Something came: there may be room for those who wait. Who finds none looks elsewhere. */
static void look_after_waiting(struct h2_client *c)
{
    if (!c->settled && h2_is_open(c->h2)) {
        uint32_t most = h2_streams_free(c->h2) + h2_stream_count(c->h2);

        c->settled = true;
        if (c->backend)
            c->backend->h2_streams = most == 0 ? 1 : most < CONNECTING_MOST ? most : CONNECTING_MOST;
    }
    admit(c);
    if (h2_client_is_full(c))
        tell_all(&c->waiting, &c->waiting);
}

void h2_client_used(struct h2_client *c)
{
    if (!c->h2 || (!c->idle && timer_is_set(&c->timer)))
        return;
    c->idle = c->pinged = false;
    c->heard_ns = loop_now(c->loop);
    if (c->ping_ns)
        loop_timer_set(c->loop, &c->timer, c->heard_ns + c->ping_ns);
    else
        loop_timer_stop(c->loop, &c->timer);
}

static void hear(struct h2_client *c)
{
    c->heard_ns = loop_now(c->loop);
    if (c->pinged) {
        c->pinged = false;
        loop_timer_set(c->loop, &c->timer, c->heard_ns + c->ping_ns);
    }
}

static void receive(struct h2_client *c)
{
    struct connection *connection = c->dial.connection;
    size_t budget = TURN_BYTES;

    c->more = false;
    while (!c->more) {
        int n = connection_receive(connection), error;

        if (n == -E_AGAIN)
            break;
        if (n <= 0) {
            break_off(c, n == 0 ? -E_SERVER_CLOSED : c->backend ? dial_error(&c->dial, n) : h2_client_error(n));
            return;
        }
        hear(c);
        error = h2_receive(c->h2, buffer_content(&connection->in), c->heard_ns);
        buffer_consume(&connection->in, buffer_used(&connection->in));
        if (error) {
            break_machine(c, error);
            return;
        }
        if (h2_goaway_code(c->h2) >= 0)
            leave(c);
        c->more = (size_t)n >= budget;
        budget -= c->more ? 0 : (size_t)n;
    }
    if (c->more)
        loop_defer(c->loop, &c->work);
    look_after_waiting(c);
}

/* What was said in this turn leaves; where that made room, more may be said. */
static void push(struct h2_client *c)
{
    int error = h2_flush(c->h2);

    if (!error) {
        error = connection_flush(c->dial.connection);
        if (error && error != -E_AGAIN) {
            break_off(c, h2_client_error(error));
            return;
        }
        if (!error)
            error = h2_wake(c->h2);
        if (error == -E_AGAIN)
            error = 0;
    }
    if (error)
        break_machine(c, error);
    else
        connection_settle(c->dial.connection);
}

static void work(struct deferred *d)
{
    struct h2_client *c = CONTAINER_OF(d, struct h2_client, work);

    c->busy++;
    if (c->more && !c->error)
        receive(c);
    if (!c->error)
        push(c);
    if (!c->error)
        admit(c);
    c->busy--;
    rest(c);
}

/* The server speaks HTTP/1.1: those who wait see to themselves, the first takes the connection. */
static void turn_h1(struct h2_client *c)
{
    c->is_h1 = true;
    c->backend->speaks_h1 = true;
    unlist(c);
    loop_timer_stop(c->loop, &c->timer);
    tell_all(&c->waiting, &c->waiting);
}

static void stand(struct h2_client *c, enum upstream_protocol protocol)
{
    bool is_tls = connection_is_tls(c->dial.connection);
    const struct h2_options options = {
        .role = H2_CLIENT,
        .limits = c->limits,
        .scheme = is_tls ? BYTES_LITERAL("https") : BYTES_LITERAL("http"),
    };

    if (is_tls && !bytes_equal_text(dial_alpn(&c->dial), "h2")) {
        if (protocol == UPSTREAM_AUTO)
            turn_h1(c);
        else
            break_off(c, -E_SERVER_ALPN);
        return;
    }
    loop_timer_stop(c->loop, &c->timer);
    c->h2 = h2_new(&options, &owner, c);
    if (!c->h2) {
        break_off(c, -E_MEMORY);
        return;
    }
    c->backend->speaks_h1 = false;
    if (c->own && !c->once) {
        c->own = false;
        enlist(c);
    }
    h2_client_used(c);
    admit(c);
}

static void on_event(struct connection *connection)
{
    struct h2_client *c = connection->owner;

    c->busy++;
    if (!c->h2 && !c->error) {
        enum upstream_protocol protocol = c->protocol;
        int error = dial_advance(&c->dial);
        if (error == 0)
            stand(c, protocol);
        else if (error != -E_AGAIN)
            break_off(c, error);
    }
    if (c->h2 && c->dial.connection)
        receive(c);
    if (c->h2 && c->dial.connection && !connection_is_flushed(c->dial.connection))
        loop_defer(c->loop, &c->work);
    c->busy--;
    rest(c);
}

/* Streams are open and nothing came for long: is it still there? */
static void ask(struct h2_client *c)
{
    uint64_t now = loop_now(c->loop);

    if (now - c->heard_ns < c->ping_ns) {
        loop_timer_set(c->loop, &c->timer, c->heard_ns + c->ping_ns);
    } else if (c->pinged) {
        break_off(c, -E_TIMEOUT_RESPONSE);
    } else if (h2_ping(c->h2)) {
        break_off(c, -E_MEMORY);
    } else {
        c->pinged = true;
        loop_timer_set(c->loop, &c->timer,
                       now + (c->ping_ns < PONG_SECONDS * NS_PER_S ? c->ping_ns : PONG_SECONDS * NS_PER_S));
    }
}

static void on_due(struct timer *t)
{
    struct h2_client *c = CONTAINER_OF(t, struct h2_client, timer);

    c->busy++;
    if (!c->h2)
        break_off(c, -E_TIMEOUT_CONNECT);
    else if (c->link_count == 0)
        leave(c); /* idle for long enough */
    else
        ask(c);
    c->busy--;
    rest(c);
}

struct h2_client *h2_client_new(struct backend *b, const struct link_request *request, int *ret_error)
{
    const struct upstream_options *options = request->plan->options;
    struct h2_client *c = calloc(1, sizeof *c);

    *ret_error = -E_MEMORY;
    if (!c)
        return NULL;
    *ret_error = dial_start(&c->dial, b, request->plan, request->preface, c, on_event);
    if (*ret_error) {
        free(c);
        return NULL;
    }
    c->loop = loop_of(b);
    c->backend = b;
    c->protocol = options->protocol;
    c->limits = *request->limits;
    c->keep = options->pool;
    c->ping_ns = options->timeouts.ping_ns;
    c->dialed_ns = loop_now(c->loop);
    c->once = request->preface.size != 0;
    c->own = c->once || (options->protocol == UPSTREAM_AUTO && b->speaks_h1);
    list_append(&b->h2_clients, &c->home_link);
    list_init(&c->pool_link);
    list_init(&c->waiting);
    list_init(&c->open);
    timer_init(&c->timer, on_due);
    deferred_init(&c->work, work);
    loop_timer_set(c->loop, &c->timer, c->dialed_ns + options->timeouts.connect_ns);
    if (!c->own)
        enlist(c);
    return c;
}

/* An idle connection that was not heard of may have ended meanwhile, unseen in this turn. One that is just being heard, and
 * whose last link looks for another place, goes on with that by itself: what it holds is in its machine's hands. */
static bool still_stands(struct h2_client *c)
{
    if (c->busy || c->link_count || socket_is_quiet(c->dial.connection->watch.fd))
        return true;
    c->busy++;
    c->dial.connection->readable = true;
    receive(c);
    c->busy--;
    return !c->error && !c->leaving;
}

/* The first that takes a link, as far as one knows without listening to it. */
static struct h2_client *first_that_takes(const struct backend *b, const struct link_request *request)
{
    LIST_EACH (&b->shared, link) {
        struct h2_client *c = CONTAINER_OF(link, struct h2_client, pool_link);

        if (request->fresh && c->dialed_ns < b->lost_ns)
            continue;
        if (takes_more(c))
            return c;
    }
    return NULL;
}

/* Listening to one may end it, others too, or give its streams away: the list is looked through anew then. What ended is
 * unlisted by then, and freed when this turn ends. */
struct h2_client *h2_client_find(struct backend *b, const struct link_request *request)
{
    struct h2_client *c;

    while ((c = first_that_takes(b, request)) != NULL) {
        if (!c->h2 || !request->fragile)
            return c;
        if (!still_stands(c))
            loop_defer(c->loop, &c->work);
        else if (takes_more(c))
            return c;
    }
    return NULL;
}
