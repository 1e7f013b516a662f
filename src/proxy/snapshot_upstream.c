#include "base/check.h"
#include "proxy/snapshot_build.h"

enum { SERVERS_MOST = 4096 }; /* addresses of one upstream */

static void add_server(struct builder *b, struct snapshot_upstream *u, const struct option_endpoint *e,
                       const struct address *a)
{
    char text[ADDRESS_TEXT];

    if (u->server_count == SERVERS_MOST) {
        build_error(b, e, "an upstream has at most %d addresses", SERVERS_MOST);
        return;
    }
    address_print(a, text);
    u->servers[u->server_count] = *a;
    u->server_names[u->server_count] = arena_copy(b->arena, bytes_of_text(text));
    CHECK(u->server_names[u->server_count].at);
    build_plan(b, u, e, &u->plans[u->server_count]);
    u->server_count++;
}

/* How many addresses the name has in the bundle, one a line. */
static size_t count_lines(struct bytes text)
{
    size_t lines = 0;

    for (size_t i = 0; i < text.size; i++)
        lines += text.at[i] == '\n';
    return lines + 1;
}

static const struct bundle_entry *resolved(const struct builder *b, const struct option_endpoint *e)
{
    return bundle_find(b->bundle, BUNDLE_RESOLVED, bytes_of_text(e->host));
}

static void add_resolved(struct builder *b, struct snapshot_upstream *u, const struct option_endpoint *e)
{
    const struct bundle_entry *entry = resolved(b, e);
    size_t before = u->server_count;

    for (struct bytes left = entry ? entry->content : BYTES_NONE; left.size;) {
        size_t end = bytes_find(left, '\n');
        struct address a;
        const char *ip = arena_text(b->arena, bytes_part(left, 0, end));

        CHECK(ip);
        if (end && address_from_ip(ip, e->port, &a) == 0)
            add_server(b, u, e, &a);
        left = bytes_from(left, end + 1);
    }
    if (u->server_count == before && !b->errors_before)
        build_error(b, e, "the name \"%s\" has no address", e->host);
}

static void add_endpoint(struct builder *b, struct snapshot_upstream *u, const struct option_endpoint *e)
{
    struct address a;

    if (e->path) {
        if (address_from_path(e->path, &a) < 0)
            build_error(b, e, "the path of a Unix socket has 1 to 107 bytes");
        else
            add_server(b, u, e, &a);
        return;
    }
    if (!e->host)
        return; /* faulty, and complained about by the reader */
    if (!e->host[0])
        build_error(b, e, "a server needs a host: write 127.0.0.1:%u for one on this machine", e->port);
    else if (e->port == 0)
        build_error(b, e, "port 0 cannot be connected to: write the server's port");
    else if (address_from_ip(e->host, e->port, &a) == 0)
        add_server(b, u, e, &a);
    else
        add_resolved(b, u, e);
}

static void build_upstream(struct builder *b, struct snapshot_upstream *u, const struct upstream_options *o)
{
    size_t most = 0;

    u->options = o;
    u->name = bytes_of_text(o->name);
    for (size_t i = 0; i < o->servers.count; i++) {
        const struct option_endpoint *e = &OPTION_ITEM(struct server_options, &o->servers, i)->address;
        const struct bundle_entry *entry = e->host ? resolved(b, e) : NULL;
        most += entry ? count_lines(entry->content) : 1;
    }
    u->servers = build_alloc(b, most, sizeof *u->servers);
    u->server_names = build_alloc(b, most, sizeof *u->server_names);
    u->plans = build_alloc(b, most, sizeof *u->plans);
    build_upstream_tls(b, u);
    for (size_t i = 0; i < o->servers.count; i++)
        add_endpoint(b, u, &OPTION_ITEM(struct server_options, &o->servers, i)->address);
}

void build_upstreams(struct builder *b)
{
    struct snapshot *s = b->snapshot;

    s->upstream_count = b->site->upstreams.count;
    s->upstreams = build_alloc(b, s->upstream_count, sizeof *s->upstreams);
    b->upstream_used = build_alloc(b, s->upstream_count, sizeof *b->upstream_used);
    for (size_t i = 0; i < s->upstream_count; i++)
        build_upstream(b, &s->upstreams[i], OPTION_ITEM(struct upstream_options, &b->site->upstreams, i));
}

struct snapshot_upstream *build_use_upstream(struct builder *b, const char *name)
{
    for (size_t i = 0; name && i < b->snapshot->upstream_count; i++) {
        if (bytes_equal_text(b->snapshot->upstreams[i].name, name)) {
            b->upstream_used[i] = true;
            return &b->snapshot->upstreams[i];
        }
    }
    return NULL;
}
