#include "upstream/h1_client.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/socket.h"

static struct h1_client *client_of(struct stream *s)
{
    return CONTAINER_OF(s, struct h1_client, stream);
}

/* An error of the connection in the words of one to a server. */
static int server_error(int error)
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

static int look_head(struct stream *s, struct message *m)
{
    struct h1_client *c = client_of(s);
    int n = h1_wire_look_head(&c->wire, false, &c->limits), error;

    if (n == 0)
        return -E_SERVER_CLOSED;
    if (n < 0)
        return server_error(n);
    error =
        h1_parse_response(bytes_part(buffer_content(&c->wire.connection->in), 0, (size_t)n), &c->limits, c->method, m);
    if (error)
        return server_error(error);
    if (m->status == 101) /* nothing was asked to be upgraded */
        return -E_BAD_RESPONSE;
    c->head_seen = m->status >= 200;
    c->persistent = m->persistent && m->body != BODY_TO_CLOSE;
    if (c->head_seen && m->body == BODY_STREAMED) {
        c->trailers = arena_alloc(c->arena, sizeof *c->trailers);
        if (!c->trailers)
            return -E_MEMORY;
        message_init(c->trailers, c->arena);
    }
    h1_wire_took_head(&c->wire, (size_t)n, m, &c->limits, c->trailers);
    return 0;
}

static int look(struct stream *s, struct bytes *ret_data)
{
    int n = h1_wire_look(&client_of(s)->wire, ret_data);
    return n < 0 ? server_error(n) : n;
}

static void took(struct stream *s, size_t n)
{
    h1_wire_took(&client_of(s)->wire, n);
}

static const struct fields *trailers(struct stream *s)
{
    struct h1_client *c = client_of(s);
    return c->trailers ? &c->trailers->fields : NULL;
}

static int send_head(struct stream *s, const struct message *m)
{
    return h1_wire_send_head(&client_of(s)->wire, m, 0);
}

static ssize_t send_content(struct stream *s, struct bytes data)
{
    return h1_wire_send(&client_of(s)->wire, data);
}

static int end(struct stream *s, const struct fields *trailers)
{
    return h1_wire_end(&client_of(s)->wire, trailers);
}

static int flush(struct stream *s)
{
    return connection_flush(client_of(s)->wire.connection);
}

static const struct stream_ops ops = { look_head, look, took, trailers, send_head, send_content, end, flush };

static void on_event(struct connection *connection)
{
    struct h1_client *c = connection->owner;

    if (c->on_event)
        c->on_event(c, c->user);
    else if (connection->readable || connection->peer_ended) /* idle: nothing may come but its end */
        h1_client_close(c);
}

struct h1_client *h1_client_connect(struct backend *s, int *ret_error)
{
    struct h1_client *c;
    int fd = socket_connect(&s->address);

    if (fd < 0) {
        *ret_error = fd;
        return NULL;
    }
    *ret_error = -E_MEMORY;
    c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return NULL;
    }
    c->wire.connection = connection_new(s->group->pool->net, fd);
    if (!c->wire.connection) {
        free(c);
        return NULL;
    }
    c->wire.connection->on_event = on_event;
    c->wire.connection->owner = c;
    c->stream.ops = &ops;
    c->backend = s;
    list_init(&c->idle_link);
    return c;
}

void h1_client_begin(struct h1_client *c, struct arena *arena, enum http_method method, const struct h1_limits *limits,
                     void (*on_event_)(struct h1_client *c, void *user), void *user)
{
    c->on_event = on_event_;
    c->user = user;
    c->arena = arena;
    c->method = method;
    c->limits = *limits;
    c->trailers = NULL;
    c->head_seen = c->persistent = false;
    c->wire.scan = (struct h1_scan){ 0 };
    c->wire.in_ended = c->wire.out_ended = false;
    c->wire_out_before = c->wire.connection->wire_out;
    c->wire_in_before = c->wire.connection->wire_in;
}

int h1_client_connected(struct h1_client *c)
{
    int error;

    if (c->connected)
        return 0;
    if (!c->wire.connection->writable && !c->wire.connection->readable)
        return -E_AGAIN;
    error = socket_connected(c->wire.connection->watch.fd);
    c->connected = error == 0;
    return error;
}

bool h1_client_has_written(const struct h1_client *c)
{
    return c->wire.connection->wire_out != c->wire_out_before;
}

bool h1_client_has_read(const struct h1_client *c)
{
    return c->wire.connection->wire_in != c->wire_in_before;
}

void h1_client_release(struct h1_client *c, uint64_t pool_most, uint64_t pool_idle_ns)
{
    struct connection *connection = c->wire.connection;
    bool whole = c->head_seen && c->wire.in_ended && c->wire.out_ended && c->persistent;

    if (!whole || buffer_used(&connection->in) || buffer_used(&connection->out) || connection->peer_ended) {
        h1_client_close(c);
        return;
    }
    /* The last read filled its buffer: what may lie behind it would be taken for the next request's answer. */
    if (connection->readable && !socket_is_quiet(connection->watch.fd)) {
        h1_client_close(c);
        return;
    }
    connection->readable = false;
    c->on_event = NULL;
    c->user = NULL;
    c->arena = NULL;
    c->trailers = NULL;
    c->reused = true;
    connection_settle(connection);
    backend_keep(c->backend, c, pool_most, pool_idle_ns);
}

void h1_client_close(struct h1_client *c)
{
    if (!c)
        return;
    if (!list_is_empty(&c->idle_link)) {
        list_remove(&c->idle_link);
        c->backend->idle_count--;
    }
    connection_close(c->wire.connection, !c->wire.in_ended);
    free(c);
}
