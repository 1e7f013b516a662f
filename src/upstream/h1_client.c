#include "upstream/h1_client.h"

#include <stdlib.h>

#include "net/socket.h"

static struct h1_client *client_of(struct stream *s)
{
    return CONTAINER_OF(s, struct h1_client, link.stream);
}

static int server_error(struct h1_client *c, int error)
{
    return dial_error(&c->dial, error);
}

static int look_head(struct stream *s, struct message *m)
{
    struct h1_client *c = client_of(s);
    int n = h1_wire_look_head(&c->wire, false, &c->limits), error;

    if (n == 0)
        return -E_SERVER_CLOSED;
    if (n < 0)
        return server_error(c, n);
    error =
        h1_parse_response(bytes_part(buffer_content(&c->wire.connection->in), 0, (size_t)n), &c->limits, c->method, m);
    if (error)
        return server_error(c, error);
    if (m->status == 101 && !c->upgrade_asked)
        return -E_BAD_RESPONSE;
    c->head_seen = m->status >= 200 || m->status == 101;
    c->persistent = m->persistent && m->body != BODY_TO_CLOSE;
    if (c->head_seen && m->body == BODY_STREAMED) {
        c->trailers = arena_alloc(c->arena, sizeof *c->trailers);
        if (!c->trailers)
            return -E_MEMORY;
        message_init(c->trailers, c->arena);
    }
    h1_wire_took_head(&c->wire, (size_t)n, m, &c->limits, c->trailers);
    if (m->status == 101) {
        m->body = BODY_TUNNEL;
        h1_wire_open_tunnel(&c->wire, m);
    }
    return 0;
}

static int look(struct stream *s, struct bytes *ret_data)
{
    struct h1_client *c = client_of(s);
    int n = h1_wire_look(&c->wire, ret_data);

    return n < 0 ? server_error(c, n) : n;
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

static void pace(struct stream *s, size_t most)
{
    struct connection *c = client_of(s)->wire.connection;

    client_of(s)->wire.lean = true;
    if (most)
        c->receive_most = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
    else
        connection_settle(c);
}

static struct h1_wire *wire(struct stream *s)
{
    return &client_of(s)->wire;
}

static int send_head(struct stream *s, const struct message *m)
{
    struct h1_client *c = client_of(s);

    c->upgrade_asked = m->upgrade.size != 0;
    return h1_wire_send_head(&c->wire, m, 0);
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
    return h1_wire_flush(&client_of(s)->wire);
}

static const struct stream_ops ops = { .look_head = look_head,
                                       .look = look,
                                       .took = took,
                                       .trailers = trailers,
                                       .pace = pace,
                                       .wire = wire,
                                       .send_head = send_head,
                                       .send = send_content,
                                       .end = end,
                                       .flush = flush };

/* Whether an idle connection has neither content nor its end to give. Under TLS there may be tickets. */
static bool is_quiet(struct connection *connection)
{
    if (connection->peer_ended || buffer_used(&connection->in))
        return false;
    if (!connection_is_tls(connection))
        return !connection->readable || socket_is_quiet(connection->watch.fd);
    if (connection_receive(connection) != -E_AGAIN || connection->peer_ended)
        return false;
    connection_settle(connection);
    return true;
}

static void on_event(struct connection *connection)
{
    struct h1_client *c = connection->owner;

    if (c->link.on_event)
        c->link.on_event(&c->link, c->link.user);
    else if (!is_quiet(connection)) /* idle: nothing may come but its end */
        h1_client_close(c);
}

static struct h1_client *of_link(struct link *l)
{
    return CONTAINER_OF(l, struct h1_client, link);
}

static int link_stands(struct link **l)
{
    struct h1_client *c = of_link(*l);
    int error = dial_advance(&c->dial);

    c->wire.connection = c->dial.connection;
    if (error == 0) { /* what it took to come here is none of the request */
        c->link.connected = true;
        c->wire_out_before = c->wire.connection->wire_out;
        c->data_in_before = c->wire.connection->data_in;
    }
    return error;
}

static bool link_wrote(const struct link *l)
{
    const struct h1_client *c = CONTAINER_OF(l, struct h1_client, link);
    return l->connected && c->wire.connection->wire_out != c->wire_out_before;
}

static bool link_read(const struct link *l)
{
    const struct h1_client *c = CONTAINER_OF(l, struct h1_client, link);
    return l->connected && c->wire.connection->data_in != c->data_in_before;
}

static void keep_private(struct h1_client *c)
{
    struct link_keeper *k = c->keeper;

    if (k->count >= LINK_KEEPER_MOST) {
        h1_client_close(c);
        return;
    }
    c->idle_since_ns = loop_now(c->wire.connection->net->loop);
    list_prepend(&k->idle, &c->idle_link);
    k->count++;
}

static void link_end(struct link *l)
{
    struct h1_client *c = of_link(l);
    struct connection *connection = c->wire.connection;
    bool whole = c->head_seen && c->wire.in_ended && c->wire.out_ended && c->persistent && (!c->private || c->keeper);

    if (!whole || buffer_used(&connection->in) || buffer_used(&connection->out) || connection->peer_ended) {
        h1_client_close(c);
        return;
    }
    /* The last read filled its buffer: what may lie behind it would be taken for the next request's answer. */
    if (!is_quiet(connection)) {
        h1_client_close(c);
        return;
    }
    connection->readable = false;
    l->on_event = NULL;
    l->user = NULL;
    c->arena = NULL;
    c->trailers = NULL;
    connection_settle(connection);
    if (c->keeper)
        keep_private(c);
    else
        backend_keep(l->backend, c, c->keep.idle, c->keep.idle_time_ns);
}

static void link_drop(struct link *l)
{
    h1_client_close(of_link(l));
}

static const struct link_ops link_ops = { link_stands, link_wrote, link_read, link_end, link_drop };

static void begin(struct h1_client *c, const struct link_request *request)
{
    c->link.on_event = request->on_event;
    c->link.user = request->user;
    c->arena = request->arena;
    c->method = request->method;
    c->limits = *request->limits;
    c->keep = request->plan->options->pool;
    c->trailers = NULL;
    c->head_seen = c->persistent = c->upgrade_asked = false;
    c->wire.connection->receive_most = 0;
    c->wire.lean = false;
    c->wire.chunk_left = 0;
    c->wire.scan = (struct h1_scan){ 0 };
    c->wire.in_ended = c->wire.out_ended = false;
    c->wire_out_before = c->wire.connection->wire_out;
    c->data_in_before = c->wire.connection->data_in;
}

/* The first request, over the connection of the dial. */
static void prepare(struct h1_client *c, struct backend *b, const struct link_request *request, bool once)
{
    c->wire.connection = c->dial.connection;
    c->link.stream.ops = &ops;
    c->link.ops = &link_ops;
    c->link.backend = b;
    c->plan_identity = request->plan->identity;
    c->private = once;
    c->keeper = once ? request->keeper : NULL;
    list_init(&c->idle_link);
    begin(c, request);
}

struct h1_client *h1_client_connect(struct backend *b, const struct link_request *request, int *ret_error)
{
    struct h1_client *c = calloc(1, sizeof *c);

    *ret_error = -E_MEMORY;
    if (!c)
        return NULL;
    *ret_error = dial_start(&c->dial, b, request->plan, request->preface, c, on_event);
    if (*ret_error) {
        free(c);
        return NULL;
    }
    c->dial.h1_only = request->h1_only;
    prepare(c, b, request, request->preface.size != 0);
    return c;
}

struct link *h1_client_adopt(struct dial *dial, struct backend *b, const struct link_request *request, bool once)
{
    struct h1_client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    dial_done(dial);
    c->dial = *dial;
    *dial = (struct dial){ 0 };
    c->dial.connection->owner = c;
    c->dial.connection->on_event = on_event;
    prepare(c, b, request, once);
    c->link.connected = true;
    return &c->link;
}

void h1_client_reuse(struct h1_client *c, const struct link_request *request)
{
    c->link.reused = true;
    begin(c, request);
}

void h1_client_close(struct h1_client *c)
{
    if (!list_is_empty(&c->idle_link)) {
        list_remove(&c->idle_link);
        if (c->keeper)
            c->keeper->count--;
        else
            c->link.backend->idle_count--;
    }
    dial_done(&c->dial);
    if (c->wire.in_ended && c->dial.state == DIAL_STANDS && connection_is_tls(c->wire.connection)) {
        connection_finish(c->wire.connection); /* its close_notify (RFC 8446 6.1) */
        (void)!connection_flush(c->wire.connection);
    }
    connection_close(c->wire.connection, !c->wire.in_ended);
    free(c);
}
