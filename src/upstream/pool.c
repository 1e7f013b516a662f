#include "upstream/pool.h"

#include <stdlib.h>

#include "upstream/complaint.h"
#include "upstream/h1_client.h"
#include "upstream/h2_client.h"

void pool_init(struct pool *p, struct net *net)
{
    p->net = net;
    list_init(&p->groups);
    h2_client_links_init(&p->h2_links);
}

static void backend_free(struct backend *s)
{
    while (!list_is_empty(&s->idle))
        h1_client_close(backend_take_idle(s));
    h2_client_close_all(s);
    loop_timer_stop(s->group->pool->net->loop, &s->idle_timer);
    complaint_free(s->complaint);
    tls_shelf_unref(s->shelf);
    list_remove(&s->link);
    free(s);
}

static void group_free(struct group *g)
{
    LIST_EACH (&g->backends, member)
        backend_free(CONTAINER_OF(member, struct backend, link));
    list_remove(&g->link);
    free(g);
}

void pool_clear(struct pool *p)
{
    LIST_EACH (&p->groups, link)
        group_free(CONTAINER_OF(link, struct group, link));
    slab_clear(&p->h2_links);
}

void group_release(struct group *g)
{
    if (--g->users == 0)
        group_free(g);
}

void backend_release(struct backend *s)
{
    if (--s->users == 0)
        backend_free(s);
}

struct group *pool_group(struct pool *p, struct bytes name)
{
    struct group *g;

    LIST_EACH (&p->groups, link) {
        g = CONTAINER_OF(link, struct group, link);
        if (bytes_equal_text(name, g->name)) {
            g->users++;
            return g;
        }
    }
    g = calloc(1, sizeof *g + name.size + 1);
    if (!g)
        return NULL;
    g->pool = p;
    g->users = 1;
    list_init(&g->backends);
    memcpy(g->name, name.at, name.size);
    list_append(&p->groups, &g->link);
    return g;
}

/* Closes what has been idle for long enough: the oldest are at the end. */
static void close_oldest(struct timer *t)
{
    struct backend *s = CONTAINER_OF(t, struct backend, idle_timer);
    struct loop *loop = s->group->pool->net->loop;

    while (!list_is_empty(&s->idle)) {
        struct h1_client *oldest = LIST_LAST(&s->idle, struct h1_client, idle_link);
        uint64_t until = oldest->idle_since_ns + s->idle_time_ns;
        if (until > loop_now(loop)) {
            loop_timer_set(loop, t, until);
            return;
        }
        h1_client_close(oldest);
    }
}

struct backend *group_backend(struct group *g, const struct address *address, uint64_t identity)
{
    struct backend *s;

    LIST_EACH (&g->backends, link) {
        s = CONTAINER_OF(link, struct backend, link);
        if (s->identity == identity && address_equal(&s->address, address)) {
            s->users++;
            return s;
        }
    }
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->group = g;
    s->users = 1;
    s->address = *address;
    s->identity = identity;
    list_init(&s->idle);
    timer_init(&s->idle_timer, close_oldest);
    s->h2_streams = H2_STREAMS_USUAL;
    list_init(&s->h2_clients);
    list_init(&s->shared);
    list_init(&s->waiting);
    deferred_init(&s->wake, h2_backend_wake);
    list_append(&g->backends, &s->link);
    return s;
}

struct h1_client *backend_take_idle(struct backend *s)
{
    struct h1_client *client;

    if (list_is_empty(&s->idle))
        return NULL;
    client = LIST_FIRST(&s->idle, struct h1_client, idle_link);
    list_remove(&client->idle_link);
    s->idle_count--;
    return client;
}

void backend_keep(struct backend *s, struct h1_client *client, uint64_t most, uint64_t idle_time_ns)
{
    struct loop *loop = s->group->pool->net->loop;

    if (s->idle_count >= most) {
        h1_client_close(client);
        return;
    }
    s->idle_time_ns = idle_time_ns;
    client->idle_since_ns = loop_now(loop);
    list_prepend(&s->idle, &client->idle_link);
    s->idle_count++;
    if (!timer_is_set(&s->idle_timer))
        loop_timer_set(loop, &s->idle_timer, client->idle_since_ns + idle_time_ns);
}
