#include "proxy/exchange.h"

#include <time.h>

#include "net/socket.h"
#include "proxy/access.h"
#include "proxy/forward.h"
#include "proxy/respond.h"

enum {
    ARENA_MOST = 512 * 1024,    /* bytes: two heads with their fields and what is added */
    BYTES_A_TURN = 512 * 1024,  /* then others have their turn */
    ATTEMPTS_MOST = 2,
    INTERIM_MOST = 32,          /* 1xx responses before a final one */
};

static const struct h1_limits response_limits = { .request_line = 8192, .head = 49152, .fields = 500 };

static void on_server_timer(struct timer *t);
static void on_client_timer(struct timer *t);
static void answer(struct exchange *x, int error);

static void run_again(struct deferred *d)
{
    exchange_run(CONTAINER_OF(d, struct exchange, again));
}

static void on_server_event(struct h1_client *client, void *user)
{
    (void)client;
    exchange_run(user);
}

static struct loop *loop_of(const struct exchange *x)
{
    return x->session->home->net->loop;
}

struct exchange *exchange_new(struct session *s, struct stream *client, const struct exchange_owner *owner, void *context)
{
    struct exchange *x = slab_get(s->home->exchanges);

    if (!x)
        return NULL;
    x->session = s;
    x->client = client;
    x->owner = owner;
    x->owner_context = context;
    x->server_number = -1;
    arena_init(&x->arena, &s->home->net->arenas, ARENA_MOST);
    message_init(&x->request, &x->arena);
    timer_init(&x->server_timer, on_server_timer);
    timer_init(&x->client_timer, on_client_timer);
    deferred_init(&x->again, run_again);
    return x;
}

static void free_exchange(struct exchange *x)
{
    struct session_home *home = x->session->home;

    loop_timer_stop(home->net->loop, &x->server_timer);
    loop_timer_stop(home->net->loop, &x->client_timer);
    loop_defer_cancel(&x->again);
    arena_reset(&x->arena);
    slab_put(home->exchanges, x);
}

void exchange_discard(struct exchange *x)
{
    free_exchange(x);
}

/* The last act: logs, gives everything back and tells the owner. */
static void finish(struct exchange *x, enum exchange_end end)
{
    const struct exchange_owner *owner = x->owner;
    void *context = x->owner_context;

    CHECK(!x->over);
    x->over = true;
    h1_client_close(x->server);
    access_log_exchange(x);
    if (x->must_close && end == EXCHANGE_WHOLE)
        end = EXCHANGE_LAST;
    free_exchange(x);
    owner->done(context, end);
}

void exchange_abort(struct exchange *x, int error)
{
    x->over = true;
    x->error = x->error ? x->error : error;
    h1_client_close(x->server);
    access_log_exchange(x);
    free_exchange(x);
}

static void drop_server(struct exchange *x)
{
    h1_client_close(x->server);
    x->server = NULL;
    x->server_waited_for = x->server_blocks = false;
    x->server_phase = 0;
    loop_timer_stop(loop_of(x), &x->server_timer);
}

/* Takes or makes a connection to one backend. Returns 0 or the error of connecting. */
static int use_backend(struct exchange *x, struct backend *backend)
{
    struct h1_client *client = NULL;
    int error = 0;

    while (!x->fresh_only && (client = backend_take_idle(backend)) != NULL) {
        /* What cannot be sent twice is not sent into a connection that may be closed already. */
        if ((method_is_idempotent(x->request.method) && x->request.body == BODY_NONE) ||
            socket_is_quiet(client->wire.connection->watch.fd))
            break;
        h1_client_close(client);
    }
    if (!client)
        client = h1_client_connect(backend, &error);
    if (!client)
        return error;
    x->server = client;
    x->server_was_fresh = !client->reused;
    h1_client_begin(client, &x->arena, x->request.method, &response_limits, on_server_event, x);
    return 0;
}

/* Finds a server and a connection to it. Returns 0 or an error whose status the client gets. */
static int find_server(struct exchange *x)
{
    const struct site *site = x->session->site;
    size_t upstream_number = (size_t)(x->upstream - site->snapshot->upstreams);
    int error = -E_NO_SERVER;

    while (x->attempts < ATTEMPTS_MOST) {
        int number = x->fresh_only ? x->server_number : upstream_pick(site, x->upstream, x->tried);
        if (number < 0)
            return error;
        x->attempts++;
        x->server_number = number;
        if (number < TRIED_MOST)
            x->tried |= 1ull << number;
        x->connect_began_ns = loop_now(loop_of(x));
        error = use_backend(x, site->upstreams[upstream_number].backends[number]);
        if (error != -E_CONNECT)
            return error == -E_LIMIT ? -E_OVERLOAD : error;
        x->fresh_only = false;
    }
    return error;
}

/* The server's side failed: another try where that is safe, else the client is told. */
static void fail_server(struct exchange *x, int error)
{
    const struct h1_client *server = x->server;
    bool wrote = server && h1_client_has_written(server), read = server && h1_client_has_read(server);
    bool reused = server && server->reused;
    bool again = !x->response_seen && !read && !x->request_taken && x->attempts < ATTEMPTS_MOST &&
                 (!wrote || (method_is_idempotent(x->request.method) && error == -E_SERVER_CLOSED)) &&
                 (error == -E_CONNECT || error == -E_TIMEOUT_CONNECT || error == -E_SERVER_CLOSED);

    drop_server(x);
    if (again) {
        int failed;
        x->request_head_sent = x->request_ended = x->request_unwanted = false;
        x->fresh_only = reused || (wrote && x->upstream->server_count == 1); /* there is no other server to turn to */
        failed = find_server(x);
        if (!failed) {
            loop_defer(loop_of(x), &x->again);
            return;
        }
        error = failed == -E_NO_SERVER ? error : failed;
    }
    if (!x->response_head_sent) {
        answer(x, error);
        return;
    }
    x->error = error;
    finish(x, EXCHANGE_BROKEN);
}

static void fail_send(struct exchange *x, int error)
{
    x->error = error;
    finish(x, EXCHANGE_BROKEN);
}

/* Takes what is there of a request that nobody will read, so that the connection may live on. */
static void drain_request(struct exchange *x)
{
    struct bytes data;
    size_t taken = 0;
    int n;

    if (x->must_close)
        return;
    while (!x->client_ended && taken < BYTES_A_TURN && (n = x->client->ops->look(x->client, &data)) > 0) {
        if (n == STREAM_END)
            x->client_ended = true;
        else
            x->client->ops->took(x->client, data.size);
        taken += data.size;
    }
    x->must_close |= !x->client_ended;
}

/* Answers ourselves. */
static void answer(struct exchange *x, int error)
{
    int failed;

    drop_server(x);
    x->error = error;
    x->is_own = true;
    drain_request(x);
    failed = respond_error(x, error);
    if (failed)
        fail_send(x, failed);
    else
        exchange_run(x);
}

/* The own answer: head, body, end. Returns 0, or an error that was dealt with. */
static int send_own(struct exchange *x)
{
    struct stream *client = x->client;
    int error = 0;

    if (!x->response_head_sent) {
        x->response.persistent = !x->must_close;
        error = client->ops->send_head(client, &x->response);
        if (error == 0) {
            x->response_head_sent = true;
            x->status = x->response.status;
        }
    }
    while (!error && x->own_body.size) {
        ssize_t sent = client->ops->send(client, x->own_body);
        error = sent < 0 ? (int)sent : sent == 0 ? -E_AGAIN : 0;
        if (sent > 0) {
            x->own_body = bytes_from(x->own_body, (size_t)sent);
            x->response_bytes += (uint64_t)sent;
        }
    }
    if (!error)
        error = client->ops->end(client, NULL);
    if (!error)
        x->response_ended = true;
    x->client_blocks = error == -E_AGAIN;
    if (error == 0 || error == -E_AGAIN)
        return 0;
    fail_send(x, error);
    return error;
}

/* What a request needs before anything is sent on. Returns 0, or an error for the client. */
static int admit(struct exchange *x)
{
    const struct session *s = x->session;
    struct message *m = &x->request;
    struct hostname name;
    uint16_t port;
    bool named = m->authority.size != 0;

    if (m->method == METHOD_CONNECT || m->method == METHOD_TRACE)
        return -E_METHOD;
    if (named && hostname_parse_authority(m->authority, &name, &port))
        return -E_HOST;
    x->host = site_host(s->listener, named ? &name : NULL);
    if (s->secure && memcmp(x->host->policy->clients_identity, s->host->policy->clients_identity,
                            sizeof s->host->policy->clients_identity))
        return -E_MISDIRECTED;
    if (s->listener->options->limits.body_bytes && m->body == BODY_LENGTH &&
        m->length > s->listener->options->limits.body_bytes)
        return -E_BODY_TOO_LARGE;
    if (s->listener->options->redirect == REDIRECT_HTTPS)
        return 0;
    x->upstream = host_route(x->host, m->path);
    return x->upstream ? 0 : -E_NO_ROUTE;
}

static int64_t unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void exchange_begin(struct exchange *x, int error, uint64_t began_ns)
{
    struct message *m = &x->request;

    x->began_ns = began_ns;
    x->head_ns = loop_now(loop_of(x));
    x->started_unix_us = unix_us();
    x->client_version = m->version ? m->version : HTTP_1_1;
    x->must_close = error || !m->persistent || x->session->home->draining;
    x->client_ended = error == 0 && m->body == BODY_NONE;
    x->host = &x->session->listener->fallback;
    if (!error)
        error = admit(x);
    if (!error && x->session->listener->options->redirect == REDIRECT_HTTPS) {
        x->is_own = true;
        drain_request(x);
        error = respond_redirect_https(x);
        if (!error) {
            exchange_run(x);
            return;
        }
    }
    if (!error)
        error = forward_request(x);
    if (!error)
        error = find_server(x);
    if (error)
        answer(x, error);
    else
        exchange_run(x);
}

/* Request's head to the server. Returns 0, -E_AGAIN, or an error that was dealt with (x may be gone). */
static int pass_request_head(struct exchange *x)
{
    int error = h1_client_connected(x->server);

    if (!error) {
        x->connected_ns = x->connected_ns ? x->connected_ns : loop_now(loop_of(x));
        error = x->server->stream.ops->send_head(&x->server->stream, &x->request);
    }
    x->server_blocks = error == -E_AGAIN;
    if (error == 0)
        x->request_head_sent = true;
    else if (error != -E_AGAIN)
        fail_server(x, error == -E_RESET ? -E_SERVER_CLOSED : error);
    return error;
}

/* The client's content to the server, as far as both go. Returns 0, or an error that was dealt with. */
static int pass_request_body(struct exchange *x)
{
    struct stream *client = x->client, *server = &x->server->stream;
    uint64_t most = x->session->listener->options->limits.body_bytes;
    size_t budget = BYTES_A_TURN;

    while (!x->client_ended) {
        struct bytes data = BYTES_NONE;
        int n = client->ops->look(client, &data);
        ssize_t sent;

        x->client_waited_for = n == -E_AGAIN;
        if (n == -E_AGAIN)
            return 0;
        if (n < 0) {
            exchange_fail_client(x, n);
            return n;
        }
        if (n == STREAM_END) {
            x->client_ended = true;
            break;
        }
        sent = server->ops->send(server, data);
        if (sent < 0) { /* the answer may be there all the same: it is looked for before this is an error */
            x->request_unwanted = true;
            return 0;
        }
        x->server_blocks = sent == 0;
        if (sent == 0)
            return 0;
        client->ops->took(client, (size_t)sent);
        x->server_progress = true;
        x->request_taken = true;
        x->request_bytes += (uint64_t)sent;
        if (most && x->request_bytes > most) {
            exchange_fail_client(x, -E_BODY_TOO_LARGE);
            return -E_BODY_TOO_LARGE;
        }
        if ((size_t)sent >= budget) {
            loop_defer(loop_of(x), &x->again);
            return 0;
        }
        budget -= (size_t)sent;
    }
    return 0;
}

static int pass_request(struct exchange *x)
{
    struct stream *server = &x->server->stream;
    int error = x->request_head_sent ? 0 : pass_request_head(x);

    if (error)
        return error == -E_AGAIN ? 0 : error;
    if (x->request_ended || x->request_unwanted)
        return 0;
    error = pass_request_body(x);
    if (error || !x->client_ended || x->request_unwanted)
        return error;
    error = server->ops->end(server, x->client->ops->trailers(x->client));
    if (error == -E_AGAIN) {
        x->server_blocks = true;
        return 0;
    }
    if (error) {
        fail_server(x, -E_SERVER_CLOSED);
        return error;
    }
    x->request_ended = true;
    x->request_end_ns = loop_now(loop_of(x));
    return 0;
}

/* The response's head, interim ones passed on. Returns 0 when the final one is there, -E_AGAIN, or a dealt-with error. */
static int take_response_head(struct exchange *x)
{
    struct stream *server = &x->server->stream;

    for (;;) {
        int error;

        message_init(&x->response, &x->arena);
        error = server->ops->look_head(server, &x->response);
        if (error == -E_AGAIN) {
            x->server_waited_for = true;
            return error;
        }
        if (!error && x->response.status < 200 && ++x->interim > INTERIM_MOST)
            error = -E_BAD_RESPONSE;
        if (error) {
            fail_server(x, error);
            return error;
        }
        if (x->response.status >= 200)
            break;
        if (x->client_version >= HTTP_1_1)
            error = x->client->ops->send_head(x->client, &x->response);
        if (error && error != -E_AGAIN) { /* without room an interim response is left out */
            fail_send(x, error);
            return error;
        }
    }
    x->response_seen = true;
    x->response_head_ns = loop_now(loop_of(x));
    if (forward_response(x)) {
        fail_server(x, -E_MEMORY);
        return -E_MEMORY;
    }
    return 0;
}

static int pass_response_head(struct exchange *x)
{
    int error;

    /* The answer may end before the request does, and then the connection does too: the client is told in time. */
    x->must_close |= !x->client_ended;
    x->response.persistent &= !x->must_close;
    error = x->client->ops->send_head(x->client, &x->response);
    x->client_blocks = error == -E_AGAIN;
    if (error == 0) {
        x->response_head_sent = true;
        x->status = x->response.status;
    } else if (error == -E_HEAD_TOO_LARGE) {
        fail_server(x, -E_BAD_RESPONSE);
    } else if (error != -E_AGAIN) {
        fail_send(x, error);
    }
    return error;
}

/* The server's content to the client. Returns 0 when it has ended, -E_AGAIN, or an error that was dealt with. */
static int pass_response_body(struct exchange *x)
{
    struct stream *client = x->client, *server = &x->server->stream;
    size_t budget = BYTES_A_TURN;

    for (;;) {
        struct bytes data = BYTES_NONE;
        int n = server->ops->look(server, &data);
        ssize_t sent;

        if (n == STREAM_END)
            break;
        x->server_waited_for |= n == -E_AGAIN;
        if (n == -E_AGAIN)
            return n;
        if (n < 0) {
            fail_server(x, n);
            return n;
        }
        sent = client->ops->send(client, data);
        x->client_blocks = sent == 0;
        if (sent == 0)
            return -E_AGAIN;
        if (sent < 0) {
            fail_send(x, (int)sent);
            return (int)sent;
        }
        server->ops->took(server, (size_t)sent);
        x->response_bytes += (uint64_t)sent;
        x->server_progress = true;
        if ((size_t)sent >= budget) {
            loop_defer(loop_of(x), &x->again);
            return -E_AGAIN;
        }
        budget -= (size_t)sent;
    }
    return 0;
}

static int pass_response(struct exchange *x)
{
    int error = x->response_seen ? 0 : take_response_head(x);

    if (!error && !x->response_head_sent)
        error = pass_response_head(x);
    if (!error)
        error = pass_response_body(x);
    if (!error) {
        error = x->client->ops->end(x->client, x->server->stream.ops->trailers(&x->server->stream));
        x->client_blocks = error == -E_AGAIN;
        if (error && error != -E_AGAIN)
            fail_send(x, error);
    }
    if (!error)
        x->response_ended = true;
    return error == -E_AGAIN ? 0 : error;
}

enum server_phase { PHASE_NONE, PHASE_CONNECT, PHASE_REQUEST, PHASE_HEAD, PHASE_BODY };

/* What the server has to do next, if it is the server's turn. */
static enum server_phase server_phase(const struct exchange *x)
{
    if (!x->server->connected)
        return PHASE_CONNECT;
    if (x->server_blocks)
        return PHASE_REQUEST;
    if (!x->response_seen)
        return x->request_ended || x->request_unwanted ? PHASE_HEAD : PHASE_NONE;
    return x->server_waited_for ? PHASE_BODY : PHASE_NONE;
}

/* Sets the server's timer for what it has to do next. It is moved only when there was progress. */
static void arm_server_timer(struct exchange *x)
{
    const struct upstream_timeouts *limits = &x->upstream->options->timeouts;
    const uint64_t limit[] = {
        [PHASE_CONNECT] = limits->connect_ns,
        [PHASE_REQUEST] = limits->response_gap_ns,
        [PHASE_HEAD] = limits->response_head_ns,
        [PHASE_BODY] = limits->response_gap_ns,
    };
    enum server_phase phase = server_phase(x);
    struct loop *loop = loop_of(x);

    if (phase == PHASE_NONE)
        loop_timer_stop(loop, &x->server_timer);
    else if (phase != x->server_phase || x->server_progress)
        loop_timer_set(loop, &x->server_timer, loop_now(loop) + limit[phase]);
    x->server_phase = (uint8_t)phase;
}

/* What moved between the client and us: who uploads may be waited for in one turn and block us in the next. */
static uint64_t window_count(const struct exchange *x)
{
    const struct connection *c = x->session->connection;
    return c->wire_in + c->wire_out;
}

/* The window is a time in which the client alone held things up: it ends when that does. */
static void arm_client_timer(struct exchange *x)
{
    const struct listener_timeouts *limits = &x->session->listener->options->timeouts;
    struct loop *loop = loop_of(x);

    if (!x->client_waited_for && !x->client_blocks) {
        loop_timer_stop(loop, &x->client_timer);
        return;
    }
    if (!limits->body_rate || timer_is_set(&x->client_timer))
        return;
    x->window_bytes = window_count(x);
    loop_timer_set(loop, &x->client_timer, loop_now(loop) + limits->window_ns);
}

static void on_client_timer(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, client_timer);
    const struct listener_timeouts *limits = &x->session->listener->options->timeouts;
    double needed = (double)limits->body_rate * ((double)limits->window_ns / 1e9);

    if ((double)(window_count(x) - x->window_bytes) >= needed) {
        arm_client_timer(x);
        return;
    }
    if (x->client_blocks)
        fail_send(x, -E_TIMEOUT_SEND);
    else
        exchange_fail_client(x, -E_TIMEOUT_BODY);
}

static void on_server_timer(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, server_timer);

    fail_server(x, !x->server->connected ? -E_TIMEOUT_CONNECT
                   : x->response_seen    ? -E_TIMEOUT_SERVER_BODY
                                         : -E_TIMEOUT_RESPONSE);
}

void exchange_fail_client(struct exchange *x, int error)
{
    x->must_close = true;
    x->client_waited_for = false;
    if (x->response_head_sent || error_status(error) == 0) {
        x->error = error;
        finish(x, EXCHANGE_BROKEN);
    } else {
        answer(x, error);
    }
}

/* Everything was handed over: gives the server's connection back and ends. */
static void complete(struct exchange *x)
{
    if (x->server && x->request_ended) {
        const struct pool_options *pool = &x->upstream->options->pool;
        h1_client_release(x->server, pool->idle, pool->idle_time_ns);
        x->server = NULL;
    }
    finish(x, x->client_ended ? EXCHANGE_WHOLE : EXCHANGE_UNREAD);
}

/* Both directions, as far as they go. Returns 0, or an error that was dealt with: x may be gone. */
static int pass_both(struct exchange *x)
{
    struct stream *server = &x->server->stream;
    int error = pass_request(x);

    if (error)
        return error;
    error = server->ops->flush(server);
    if (error && error != -E_AGAIN)
        x->request_unwanted = true;
    return x->request_head_sent ? pass_response(x) : 0;
}

void exchange_run(struct exchange *x)
{
    int error;

    x->client_waited_for = x->client_blocks = x->server_waited_for = x->server_blocks = x->server_progress = false;
    error = x->is_own ? send_own(x) : pass_both(x);
    if (error)
        return;
    error = x->client->ops->flush(x->client);
    if (error && error != -E_AGAIN) {
        fail_send(x, error);
    } else if (x->response_ended) {
        complete(x);
    } else {
        if (x->server)
            arm_server_timer(x);
        arm_client_timer(x);
    }
}
