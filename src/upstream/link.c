#include "upstream/link.h"

#include "net/socket.h"
#include "upstream/h1_client.h"
#include "upstream/h2_client.h"

/* A kept connection that was made in the same way, or NULL. */
static struct h1_client *take_kept(struct backend *b, const struct link_request *request)
{
    struct h1_client *c;

    while ((c = backend_take_idle(b)) != NULL) {
        bool fits = c->plan_identity == request->plan->identity;

        if (fits && (!request->fragile || socket_is_quiet(c->wire.connection->watch.fd)))
            return c;
        h1_client_close(c);
    }
    return NULL;
}

void link_keeper_init(struct link_keeper *k)
{
    list_init(&k->idle);
    k->count = 0;
}

void link_keeper_close(struct link_keeper *k)
{
    while (!list_is_empty(&k->idle))
        h1_client_close(LIST_FIRST(&k->idle, struct h1_client, idle_link));
}

/* One to this server that was made for the same client, or NULL. */
static struct h1_client *take_private(struct backend *b, const struct link_request *request)
{
    struct link_keeper *k = request->keeper;

    if (!k || request->fresh)
        return NULL;
    LIST_EACH (&k->idle, link) {
        struct h1_client *c = CONTAINER_OF(link, struct h1_client, idle_link);
        struct connection *connection = c->wire.connection;
        bool old = loop_now(connection->net->loop) - c->idle_since_ns >= c->keep.idle_time_ns;

        if (c->link.backend != b || c->plan_identity != request->plan->identity)
            continue;
        if (old || (request->fragile && !socket_is_quiet(connection->watch.fd))) {
            h1_client_close(c);
            continue;
        }
        list_remove(&c->idle_link);
        k->count--;
        return c;
    }
    return NULL;
}

struct link *backend_link(struct backend *b, const struct link_request *request, int *ret_error)
{
    enum upstream_protocol protocol = (enum upstream_protocol)request->plan->options->protocol;
    struct h1_client *c = request->preface.size ? take_private(b, request) : NULL;

    if (c) {
        h1_client_reuse(c, request);
        return &c->link;
    }
    if (protocol == UPSTREAM_H2 || (protocol == UPSTREAM_AUTO && !request->h1_only && h2_client_takes(b, request)))
        return h2_client_link(b, request, ret_error);
    c = request->fresh || request->preface.size ? NULL : take_kept(b, request);
    if (c)
        h1_client_reuse(c, request);
    else if (protocol == UPSTREAM_AUTO && !request->h1_only)
        return h2_client_link(b, request, ret_error);
    else
        c = h1_client_connect(b, request, ret_error);
    return c ? &c->link : NULL;
}
