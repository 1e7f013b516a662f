#include "proxy/exchange_private.h"

#include <stdlib.h>
#include <time.h>

#include "http/grpc.h"
#include "http/h2.h"
#include "proxy/access.h"
#include "proxy/forward.h"
#include "proxy/proxied.h"
#include "proxy/respond.h"
#include "proxy/tunnel.h"

enum {
    OWN_ANSWER = 4096,       /* bytes: an answer of our own, without what the client said */
    ARENA_MOST = 512 * 1024, /* bytes: two heads with their fields and what is added */
    ATTEMPTS_MOST = 2,
};

static const struct h1_limits response_limits = { .request_line = 8192, .head = 49152, .fields = 500 };

static void answer(struct exchange *x, int error);

static void run_again(struct deferred *d)
{
    exchange_run(CONTAINER_OF(d, struct exchange, again));
}

static void on_server_event(struct link *server, void *user)
{
    (void)server;
    exchange_run(user);
}

struct exchange *exchange_new(struct session *s, struct stream *client, const struct exchange_owner *owner,
                              void *context)
{
    struct exchange *x = slab_get(&s->home->memory->exchanges);

    if (!x)
        return NULL;
    x->session = s;
    x->client = client;
    x->owner = owner;
    x->owner_context = context;
    x->server_number = -1;
    x->grpc_status = -1;
    arena_init(&x->arena, &s->home->net->arenas, ARENA_MOST);
    x->arena.is_small = client->ops->room != NULL; /* one of many */
    message_init(&x->request, &x->arena);
    timer_init(&x->server_timer, exchange_on_server_timer);
    timer_init(&x->client_timer, exchange_on_client_timer);
    deferred_init(&x->again, run_again);
    return x;
}

static void free_exchange(struct exchange *x)
{
    struct session_home *home = x->session->home;

    loop_timer_stop(home->net->loop, &x->server_timer);
    loop_timer_stop(home->net->loop, &x->client_timer);
    loop_defer_cancel(&x->again);
    replay_drop(&x->replay);
    arena_reset(&x->arena);
    slab_put(&home->memory->exchanges, x);
}

/* The last act: logs, gives everything back and tells the owner. */
static void finish(struct exchange *x, enum exchange_end end)
{
    const struct exchange_owner *owner = x->owner;
    void *context = x->owner_context;

    CHECK(!x->over);
    x->over = true;
    link_close(x->server);
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
    link_close(x->server);
    access_log_exchange(x);
    free_exchange(x);
}

static void drop_server(struct exchange *x)
{
    link_close(x->server);
    x->server = NULL;
    x->server_waited_for = x->server_blocks = false;
    x->server_phase = 0;
    loop_timer_stop(exchange_loop(x), &x->server_timer);
}

/* What the server hears before all else. */
static struct bytes write_preface(const struct exchange *x, uint8_t out[PROXY_WRITTEN_MOST])
{
    static const struct bytes spoken[] = {
        [UPSTREAM_HTTP1] = BYTES_LITERAL("http/1.1"),
        [UPSTREAM_H2] = BYTES_LITERAL("h2"),
        [UPSTREAM_AUTO] = BYTES_NONE, /* only TLS with the server will tell */
    };
    const struct upstream_options *o = x->upstream->options;
    const struct session *s = x->session;
    const struct proxy_words words = { .alpn = session_alpn(s).size ? spoken[o->protocol] : BYTES_NONE,
                                       .unique_id = x->request_id };

    return session_preface(s, o, &words, out);
}

/* Where connections wait that were made for this client alone; NULL, without memory: they serve once. */
static struct link_keeper *keeper_of(struct session *s)
{
    if (!s->kept) {
        s->kept = malloc(sizeof *s->kept);
        if (s->kept)
            link_keeper_init(s->kept);
    }
    return s->kept;
}

/* Takes or makes a connection to one backend. Returns 0 or the error of connecting. */
static int use_backend(struct exchange *x, struct backend *backend)
{
    uint8_t preface[PROXY_WRITTEN_MOST];
    int error = 0;
    struct link_request request = {
        .plan = &x->upstream->plans[x->server_number],
        .preface = write_preface(x, preface),
        .arena = &x->arena,
        .method = x->request.method,
        .limits = &response_limits,
        .fresh = x->fresh_only,
        .h1_only = x->tunnel == TUNNEL_ASKED,
        .fragile = !method_is_idempotent(x->request.method) || x->request.body != BODY_NONE,
        .on_event = on_server_event,
        .user = x,
    };

    if (request.preface.size)
        request.keeper = keeper_of(x->session);
    x->server = backend_link(backend, &request, &error);
    if (!x->server)
        return error;
    x->server_was_fresh = !x->server->reused;
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
        x->connect_began_ns = loop_now(exchange_loop(x));
        error = use_backend(x, site->upstreams[upstream_number].backends[number]);
        if (error != -E_CONNECT)
            return error == -E_LIMIT ? -E_OVERLOAD : error;
        x->fresh_only = false;
    }
    return error;
}

/* Whether the request may go out once more after that error, and can: see exchange.h. */
static bool may_try_again(const struct exchange *x, int error)
{
    const struct link *server = x->server;
    bool wrote = server && link_has_written(server), read = server && link_has_read(server);

    if (x->response_seen || read || x->request_bytes != x->replay.size || x->attempts >= ATTEMPTS_MOST)
        return false;
    switch (error) {
    case -E_SERVER_REFUSED:
        return true;
    case -E_CONNECT:
    case -E_TIMEOUT_CONNECT:
    case -E_SERVER_CERTIFICATE:
    case -E_SERVER_ALPN:
        return !wrote;
    case -E_SERVER_CLOSED:
    case -E_SERVER_TLS:
        return !wrote || method_is_idempotent(x->request.method);
    default:
        return false;
    }
}

/* The server's side failed: another try where that is safe, else the client is told. */
void exchange_fail_server(struct exchange *x, int error)
{
    const struct link *server = x->server;
    bool again = may_try_again(x, error), reused = server && server->reused;
    bool wrote = server && link_has_written(server);

    x->reset_code = server && error == -E_SERVER_RESET ? server->reset_code : 0;
    drop_server(x);
    if (again) {
        int failed;
        x->request_head_sent = x->request_ended = x->request_unwanted = false;
        x->replay.sent = 0;
        /* To the same server: since it was only the connection, or since there is no other to turn to. */
        x->fresh_only = (reused && error != -E_SERVER_REFUSED) ||
                        ((wrote || error == -E_SERVER_REFUSED) && x->upstream->server_count == 1);
        failed = find_server(x);
        if (!failed) {
            loop_defer(exchange_loop(x), &x->again);
            return;
        }
        error = failed == -E_NO_SERVER ? error : failed;
    }
    if (!x->response_head_sent) {
        answer(x, error);
        return;
    }
    x->error = error;
    error = respond_broken_call(x, error);
    (void)!x->client->ops->flush(x->client); /* what came before the break is the client's all the same */
    if (error == 0)
        finish(x, x->client_ended ? EXCHANGE_WHOLE : EXCHANGE_UNREAD);
    else
        finish(x, x->reset_code == H2_CANCEL ? EXCHANGE_CANCELLED : EXCHANGE_BROKEN);
}

void exchange_fail_send(struct exchange *x, int error)
{
    x->error = error;
    finish(x, EXCHANGE_BROKEN);
}

/* Takes what is there of a request that nobody will read, so that the connection may live on. */
static void drain_request(struct exchange *x)
{
    struct bytes data = BYTES_NONE;
    size_t taken = 0;
    int n;

    if (x->must_close)
        return;
    while (!x->client_ended && taken < EXCHANGE_TURN_BYTES && (n = x->client->ops->look(x->client, &data)) > 0) {
        if (n == STREAM_END)
            x->client_ended = true;
        else
            x->client->ops->took(x->client, data.size);
        taken += data.size + EXCHANGE_PIECE_BYTES;
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
    x->arena.limit = ARENA_MOST + OWN_ANSWER; /* also when the messages took all that they may */
    failed = respond_error(x, error);
    if (failed)
        exchange_fail_send(x, failed);
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
            access_note_call(x, &x->response.fields);
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
    exchange_fail_send(x, error);
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

    if (m->method == METHOD_TRACE || (m->method == METHOD_CONNECT && !tunnel_is_extended_connect(m)))
        return -E_METHOD;
    if (named && hostname_parse_authority(m->authority, &name, &port))
        return -E_HOST;
    x->host = site_host(s->listener, named ? &name : NULL);
    if (x->host->service.protocol != SERVICE_HTTP)
        return -E_MISDIRECTED;
    if (s->secure && memcmp(x->host->policy->clients_identity, s->host->policy->clients_identity,
                            sizeof s->host->policy->clients_identity) != 0)
        return -E_MISDIRECTED;
    if (s->listener->options->limits.body_bytes && m->body == BODY_LENGTH &&
        m->length > s->listener->options->limits.body_bytes)
        return -E_BODY_TOO_LARGE;
    if (s->listener->options->redirect == REDIRECT_HTTPS)
        return 0;
    x->route = host_route(x->host, m->path);
    if (!x->route)
        return -E_NO_ROUTE;
    x->upstream = x->route->to;
    return tunnel_ask(x);
}

static int64_t unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void note_beginning(struct exchange *x, uint64_t began_ns)
{
    x->began_ns = began_ns;
    x->head_ns = loop_now(exchange_loop(x));
    x->started_unix_us = unix_us();
    x->client_version = x->request.version ? x->request.version : HTTP_1_1;
    x->is_call = x->client_version >= HTTP_2 && grpc_is_call(&x->request);
    x->asked_method = x->request.method_name;
    x->asked_authority = x->request.authority;
    x->asked_path = x->request.path;
}

void exchange_refuse(struct exchange *x, int error, uint64_t began_ns)
{
    note_beginning(x, began_ns);
    exchange_abort(x, error);
}

/* The request is one that listener or route answer by themselves. */
static int answer_for_route(struct exchange *x)
{
    x->is_own = true;
    drain_request(x);
    return x->route ? respond_route(x) : respond_redirect_https(x);
}

static int pass_on(struct exchange *x)
{
    int error = forward_request(x);

    x->may_be_silent = x->is_call && x->upstream->options->protocol != UPSTREAM_HTTP1;
    return error ? error : find_server(x);
}

void exchange_begin(struct exchange *x, int error, uint64_t began_ns)
{
    struct message *m = &x->request;

    note_beginning(x, began_ns);
    x->must_close = error || !m->persistent || x->session->home->draining;
    x->client_ended = error == 0 && m->body == BODY_NONE;
    x->client_expects = m->expect_continue;
    x->host = &x->session->listener->fallback;
    if (!error)
        error = admit(x);
    if (!error)
        error = x->upstream ? pass_on(x) : answer_for_route(x);
    if (error)
        answer(x, error);
    else
        exchange_run(x);
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
        link_release(x->server);
        x->server = NULL;
    }
    finish(x, x->client_ended ? EXCHANGE_WHOLE : EXCHANGE_UNREAD);
}

void exchange_run(struct exchange *x)
{
    int error;

    x->client_waited_for = x->client_blocks = x->server_waited_for = x->server_blocks = x->server_progress = false;
    error = x->is_own ? send_own(x) : exchange_pass(x);
    if (error)
        return;
    error = x->client->ops->flush(x->client);
    if (error && error != -E_AGAIN) {
        exchange_fail_send(x, error);
    } else if (x->response_ended && (x->tunnel != TUNNEL_OPEN || tunnel_is_over(x))) {
        complete(x);
    } else {
        exchange_arm_timers(x);
    }
}
