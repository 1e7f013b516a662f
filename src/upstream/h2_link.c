/* h2_link.c: what an exchange has of an HTTP/2 connection: a place in the queue, then a stream. */
#include "upstream/h1_client.h"
#include "upstream/h2_client_private.h"

enum { LINKS_KEPT = 256 }; /* free ones, per thread */

static struct h2_link *of_stream(struct stream *s)
{
    return CONTAINER_OF(s, struct h2_link, link.stream);
}

static struct h2_link *of_link(struct link *l)
{
    return CONTAINER_OF(l, struct h2_link, link);
}

/* ---- The stream ---- */

/* An error of the machine's stream in the words of one to a server. What is there is had before the connection's end. */
static int server_error(struct h2_link *k, int error)
{
    if (error == -E_AGAIN)
        return k->client->error ? k->client->error : error;
    if (k->stream.unprocessed)
        return -E_SERVER_REFUSED;
    if (k->stream.error == -E_RESET) {
        k->link.reset_code = k->stream.reset_code;
        return -E_SERVER_RESET;
    }
    return h2_client_error(error);
}

static int look_head(struct stream *s, struct message *m)
{
    struct h2_link *k = of_stream(s);
    int error = k->stream.stream.ops->look_head(&k->stream.stream, m);

    if (error)
        return server_error(k, error);
    k->head_seen = true;
    return 0;
}

static int look(struct stream *s, struct bytes *ret_data)
{
    struct h2_link *k = of_stream(s);
    int n = k->stream.stream.ops->look(&k->stream.stream, ret_data);

    return n < 0 ? server_error(k, n) : n;
}

static void took(struct stream *s, size_t n)
{
    struct h2_link *k = of_stream(s);
    k->stream.stream.ops->took(&k->stream.stream, n);
}

static const struct fields *trailers(struct stream *s)
{
    struct h2_link *k = of_stream(s);
    return k->stream.stream.ops->trailers(&k->stream.stream);
}

static int send_head(struct stream *s, const struct message *m)
{
    struct h2_link *k = of_stream(s);
    struct message request = *m;
    int error;

    request.scheme = BYTES_NONE; /* the connection's: what the client spoke with us is told in other fields */
    k->wire_out_before = k->client->dial.connection ? k->client->dial.connection->wire_out : 0;
    error = k->stream.stream.ops->send_head(&k->stream.stream, &request);
    if (error)
        return server_error(k, error);
    k->head_sent = true;
    return 0;
}

static ssize_t send_content(struct stream *s, struct bytes data)
{
    struct h2_link *k = of_stream(s);
    ssize_t sent = k->client->error ? k->client->error : k->stream.stream.ops->send(&k->stream.stream, data);

    return sent < 0 ? server_error(k, (int)sent) : sent;
}

static int end(struct stream *s, const struct fields *trailers)
{
    struct h2_link *k = of_stream(s);
    int error = k->client->error ? k->client->error : k->stream.stream.ops->end(&k->stream.stream, trailers);

    return error ? server_error(k, error) : 0;
}

/* All of a turn leaves at its end. */
static int flush(struct stream *s)
{
    (void)s;
    return 0;
}

static const struct stream_ops ops = {
    .look_head = look_head,
    .look = look,
    .took = took,
    .trailers = trailers,
    .send_head = send_head,
    .send = send_content,
    .end = end,
    .flush = flush,
};

void h2_link_tell(struct h2_link *k)
{
    k->link.on_event(&k->link, k->link.user);
}

static void on_stream_event(struct h2_stream *s)
{
    h2_link_tell(CONTAINER_OF(s, struct h2_link, stream));
}

int h2_link_open(struct h2_link *k, struct h2_client *c)
{
    int error = h2_stream_open(c->h2, &k->stream);

    if (error)
        return error;
    if (!k->client) {
        k->client = c;
        c->link_count++;
    }
    list_remove(&k->member);
    list_append(&c->open, &k->member);
    c->keep = k->request.plan->options->pool;
    h2_client_used(c);
    k->link.connected = true;
    return 0;
}

/* ---- The way to it ---- */

static void wait_for(struct h2_link *k, struct h2_client *c)
{
    list_remove(&k->member);
    if (k->client)
        k->client->link_count--; /* which its caller, busy with it, looks after */
    k->client = c;
    if (c) {
        c->link_count++;
        list_append(&c->waiting, &k->member);
    } else {
        list_append(&k->link.backend->waiting, &k->member);
    }
}

/* Finds it a connection. Returns 0 when it has a stream, -E_AGAIN when it waits, or why there is none. */
static int place(struct h2_link *k, const struct link_request *request)
{
    struct backend *b = k->link.backend;
    struct h2_client *c = request->preface.size ? NULL : h2_client_find(b, request);
    int error = 0;

    if (c && h2_client_is_open(c)) {
        k->link.reused = true;
        wait_for(k, c);
        return h2_link_open(k, c) == 0 ? 0 : -E_AGAIN;
    }
    if (!c && (request->preface.size || b->shared_count < request->plan->options->pool.h2_connections)) {
        c = h2_client_new(b, request, &error);
        if (!c)
            return error;
    }
    wait_for(k, c);
    return -E_AGAIN;
}

static void discard(struct h2_link *k)
{
    struct h2_client *c = k->client;

    list_remove(&k->member);
    slab_put(&k->link.backend->group->pool->h2_links, k);
    if (c)
        h2_client_left(c);
}

/* The connection turned out to speak HTTP/1.1: a link of that kind takes this one's place. */
static int turn_h1(struct link **l)
{
    struct h2_link *k = of_link(*l);
    struct h2_client *c = k->client;
    struct backend *b = k->link.backend;
    int error = 0;
    struct link *other;

    if (c->dial.connection)
        other = h1_client_adopt(&c->dial, b, &k->request, c->once);
    else
        other = backend_link(b, &k->request, &error);
    if (!other)
        return error ? error : -E_MEMORY;
    *l = other;
    discard(k);
    return link_connected(l);
}

static int stands(struct link **l)
{
    struct h2_link *k = of_link(*l);
    const struct h2_client *c = k->client;

    if (!c) /* it was told to look again, or just asks */
        return list_is_empty(&k->member) ? place(k, &k->request) : -E_AGAIN;
    if (c->error)
        return c->error;
    if (c->is_h1)
        return turn_h1(l);
    if (!c->leaving && !h2_client_is_full(c))
        return -E_AGAIN;
    return c->once ? -E_SERVER_REFUSED : place(k, &k->request);
}

static bool has_written(const struct link *l)
{
    const struct h2_link *k = CONTAINER_OF(l, struct h2_link, link);

    if (!k->head_sent)
        return false;
    return !k->client->dial.connection || k->client->dial.connection->wire_out != k->wire_out_before;
}

static bool has_read(const struct link *l)
{
    const struct h2_link *k = CONTAINER_OF(l, struct h2_link, link);
    return k->head_seen || k->stream.in_bytes;
}

static void release(struct link *l)
{
    struct h2_link *k = of_link(l);

    h2_stream_close(&k->stream, H2_NO_ERROR);
    discard(k);
}

static void drop(struct link *l)
{
    struct h2_link *k = of_link(l);

    h2_stream_close(&k->stream, k->stream.in_ended ? H2_NO_ERROR : H2_CANCEL);
    discard(k);
}

static const struct link_ops link_ops = { stands, has_written, has_read, release, drop };

void h2_client_links_init(struct slab *links)
{
    *links = (struct slab){ .object_bytes = sizeof(struct h2_link), .keep = LINKS_KEPT };
}

bool h2_client_takes(struct backend *b, const struct link_request *request)
{
    return request->preface.size == 0 && h2_client_find(b, request) != NULL;
}

struct link *h2_client_link(struct backend *b, const struct link_request *request, int *ret_error)
{
    struct h2_link *k = slab_get(&b->group->pool->h2_links);
    int error;

    *ret_error = -E_MEMORY;
    if (!k)
        return NULL;
    k->link = (struct link){
        .stream = { &ops },
        .ops = &link_ops,
        .backend = b,
        .on_event = request->on_event,
        .user = request->user,
        .may_refuse = true,
    };
    k->request = *request;
    k->request.preface = BYTES_NONE;
    list_init(&k->member);
    h2_stream_init(&k->stream, request->arena, on_stream_event);
    error = place(k, request);
    if (error == 0 || error == -E_AGAIN)
        return &k->link;
    *ret_error = error;
    discard(k);
    return NULL;
}
