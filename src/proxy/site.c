#include "proxy/site.h"

#include <stdlib.h>

static size_t number_of(const struct snapshot *snapshot, const struct snapshot_upstream *upstream)
{
    return (size_t)(upstream - snapshot->upstreams);
}

static bool find_backends(struct site *s, struct pool *pool)
{
    for (size_t i = 0; i < s->snapshot->upstream_count; i++) {
        const struct snapshot_upstream *upstream = &s->snapshot->upstreams[i];
        struct site_upstream *mine = &s->upstreams[i];

        mine->group = pool_group(pool, upstream->name);
        mine->backends = calloc(upstream->server_count + 1, sizeof *mine->backends);
        if (!mine->group || !mine->backends)
            return false;
        for (size_t j = 0; j < upstream->server_count; j++) {
            mine->backends[j] = group_backend(mine->group, &upstream->servers[j], upstream->plans[j].identity);
            if (!mine->backends[j])
                return false;
        }
    }
    return true;
}

struct site *site_new(struct snapshot *snapshot, struct pool *pool)
{
    struct site *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->references = 1;
    s->snapshot = snapshot_ref(snapshot);
    s->upstreams = calloc(snapshot->upstream_count + 1, sizeof *s->upstreams);
    if (s->upstreams && find_backends(s, pool))
        return s;
    site_unref(s);
    return NULL;
}

struct site *site_ref(struct site *s)
{
    s->references++;
    return s;
}

static void release_backends(const struct site_upstream *mine, size_t count)
{
    for (size_t i = 0; mine->backends && i < count && mine->backends[i]; i++)
        backend_release(mine->backends[i]);
    if (mine->group)
        group_release(mine->group);
    free(mine->backends);
}

struct site_facts {
    struct site_facts *next;
    struct tls_facts facts;
};

/* Texts are the library's, or the snapshot's: the same one is at the same place. */
static bool same_facts(const struct tls_facts *a, const struct tls_facts *b)
{
    return a->version == b->version && a->suite == b->suite && a->group == b->group && a->engine == b->engine &&
           a->resumed == b->resumed && a->alpn.at == b->alpn.at && a->alpn.size == b->alpn.size &&
           a->cipher == b->cipher && a->version_name == b->version_name &&
           a->has_client_certificate == b->has_client_certificate && a->client_verified == b->client_verified;
}

const struct tls_facts *site_facts(struct site *s, const struct tls_facts *facts)
{
    struct site_facts *f;

    for (struct site_facts **at = &s->facts; (f = *at) != NULL; at = &f->next) {
        if (!same_facts(&f->facts, facts))
            continue;
        *at = f->next; /* the usual ones come first */
        f->next = s->facts;
        s->facts = f;
        return &f->facts;
    }
    f = malloc(sizeof *f);
    if (!f)
        return NULL;
    *f = (struct site_facts){ s->facts, *facts };
    s->facts = f;
    return &f->facts;
}

void site_unref(struct site *s)
{
    if (!s || --s->references)
        return;
    for (size_t i = 0; s->upstreams && i < s->snapshot->upstream_count; i++)
        release_backends(&s->upstreams[i], s->snapshot->upstreams[i].server_count);
    while (s->facts) {
        struct site_facts *f = s->facts;
        s->facts = f->next;
        free(f);
    }
    free(s->upstreams);
    snapshot_unref(s->snapshot);
    free(s);
}

const struct snapshot_host *site_host(const struct snapshot_listener *listener, const struct hostname *name)
{
    const struct snapshot_host *host = NULL;

    if (name && listener->host_table)
        host = hostname_table_find(listener->host_table, name);
    return host ? host : &listener->fallback;
}

static bool offers(struct bytes offered, struct bytes name)
{
    struct cursor names = cursor_of(offered);

    while (cursor_left(&names) && !names.failed) {
        struct cursor one = cursor_vector(&names, 1);
        if (!one.failed && bytes_equal(bytes_of(one.at, cursor_left(&one)), name))
            return true;
    }
    return false;
}

const struct snapshot_service *service_for_hello(const struct snapshot_listener *listener,
                                                 const struct snapshot_host *host, const struct client_hello *hello)
{
    if (host != &listener->fallback && host->service.protocol == SERVICE_PASSTHROUGH)
        return &host->service; /* all that is said to this name is its backend's affair */
    for (size_t i = 0; i < listener->by_alpn_count; i++) {
        const struct snapshot_alpn *a = &listener->by_alpn[i];
        if (a->service.protocol == SERVICE_PASSTHROUGH && offers(hello->alpn, a->name))
            return &a->service;
    }
    return &host->service;
}

const struct snapshot_service *service_for_alpn(const struct snapshot_listener *listener,
                                                const struct snapshot_host *host, struct bytes alpn)
{
    for (size_t i = 0; host->takes_by_alpn && alpn.size && i < listener->by_alpn_count; i++) {
        const struct snapshot_alpn *a = &listener->by_alpn[i];
        if (a->service.protocol != SERVICE_PASSTHROUGH && bytes_equal(a->name, alpn))
            return &a->service;
    }
    return &host->service;
}

bool host_speaks(const struct snapshot_host *host, const struct client_hello *hello)
{
    for (size_t i = 0; host->alpn[i]; i++)
        if (offers(hello->alpn, bytes_of_text(host->alpn[i])))
            return true;
    return false;
}

/* A prefix covers whole segments: "/api" covers "/api", "/api/x" and "/api?q", not "/apis". */
static bool covers(struct bytes prefix, struct bytes path)
{
    if (!bytes_start_with(path, prefix))
        return false;
    return path.size == prefix.size || prefix.at[prefix.size - 1] == '/' || path.at[prefix.size] == '/' ||
           path.at[prefix.size] == '?';
}

const struct snapshot_route *host_route(const struct snapshot_host *host, struct bytes path)
{
    if (bytes_equal(path, BYTES_LITERAL("*")))
        path = BYTES_LITERAL("/");
    for (size_t i = 0; i < host->route_count; i++)
        if (covers(host->routes[i].path, path))
            return &host->routes[i];
    return NULL;
}

int upstream_pick(const struct site *site, const struct snapshot_upstream *upstream, uint64_t tried)
{
    struct group *group = site->upstreams[number_of(site->snapshot, upstream)].group;

    for (size_t i = 0; i < upstream->server_count; i++) {
        size_t number = group->turn++ % upstream->server_count;
        if (number >= TRIED_MOST || !(tried >> number & 1))
            return (int)number;
    }
    return -E_NO_SERVER;
}
