#include "base/check.h"
#include "proxy/snapshot_build.h"

/* ---- addresses of listeners ---- */

static void add_address(struct snapshot_listener *l, const struct address *a)
{
    l->addresses[l->address_count++] = *a;
}

static void add_any(struct snapshot_listener *l, uint16_t port)
{
    struct address a;

    if (address_from_ip("0.0.0.0", port, &a) == 0)
        add_address(l, &a);
    if (address_from_ip("::", port, &a) == 0)
        add_address(l, &a);
}

void build_addresses(struct builder *b, struct snapshot_listener *l)
{
    const struct option_list *list = &l->options->address;

    l->addresses = build_alloc(b, 2 * list->count, sizeof *l->addresses);
    for (size_t i = 0; i < list->count; i++) {
        const struct option_endpoint *e = &OPTION_ITEM(struct address_options, list, i)->endpoint;
        struct address a;

        if (!e->host && !e->path)
            continue; /* faulty, and complained about by the reader */
        if (e->path) {
            if (address_from_path(e->path, &a) < 0)
                build_error(b, e, "the path of a Unix socket has 1 to 107 bytes");
            else
                add_address(l, &a);
        } else if (e->port == 0) {
            build_error(b, e, "a listener needs a port: write one from 1 to 65535");
        } else if (!e->host[0]) {
            add_any(l, e->port);
        } else if (address_from_ip(e->host, e->port, &a) == 0) {
            add_address(l, &a);
        } else {
            build_error(b, e, "\"%s\" is no IP address: listeners have one such as 127.0.0.1:%u, or :%u for all of this machine",
                        e->host, e->port, e->port);
        }
    }
}

static bool is_any(const struct address *a)
{
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == INADDR_ANY;
    return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static bool overlaps(const struct address *a, const struct address *b)
{
    return a->any.sa_family == b->any.sa_family && a->any.sa_family != AF_UNIX && address_port(a) == address_port(b) &&
           (is_any(a) || is_any(b));
}

/* The value that gave a listener's address number k. */
static const void *address_field(const struct snapshot_listener *l, size_t k)
{
    const struct option_list *list = &l->options->address;

    for (size_t i = 0, n = 0; i < list->count; i++) {
        const struct option_endpoint *e = &OPTION_ITEM(struct address_options, list, i)->endpoint;
        struct address a;

        if (e->path ? address_from_path(e->path, &a) == 0 : e->host && e->port && e->host[0] && address_from_ip(e->host, e->port, &a) == 0)
            n += 1;
        else if (!e->path && e->host && e->port && !e->host[0])
            n += 2;
        if (n > k)
            return e;
    }
    return l->options;
}

/* Compares one address with one that comes earlier in the file. Exact ones win over 0.0.0.0 and [::] in the kernel, so
 * an overlap of two listeners is sound, if seldom meant. Returns whether something was said. */
static bool check_pair(struct builder *b, const struct snapshot_listener *l, size_t k, const struct snapshot_listener *other,
                       const struct address *earlier)
{
    const struct address *a = &l->addresses[k];
    char text[ADDRESS_TEXT], earlier_text[ADDRESS_TEXT];

    address_print(a, text);
    address_print(earlier, earlier_text);
    if (address_equal(a, earlier)) {
        build_error(b, address_field(l, k), "listener \"%.*s\" has the address %s already", BYTES_PRINT(other->name), text);
        return true;
    }
    if (overlaps(a, earlier)) {
        build_warning(b, address_field(l, k), "%s overlaps with %s of listener \"%.*s\": the more exact address gets its clients",
                      text, earlier_text, BYTES_PRINT(other->name));
        return true;
    }
    return false;
}

static void check_address(struct builder *b, size_t listener, size_t k)
{
    const struct snapshot *s = b->snapshot;

    for (size_t i = 0; i <= listener; i++) {
        const struct snapshot_listener *other = &s->listeners[i];
        size_t count = i == listener ? k : other->address_count;
        for (size_t j = 0; j < count; j++)
            if (check_pair(b, &s->listeners[listener], k, other, &other->addresses[j]))
                return;
    }
}

void build_check_addresses(struct builder *b)
{
    for (size_t i = 0; i < b->snapshot->listener_count; i++)
        for (size_t k = 0; k < b->snapshot->listeners[i].address_count; k++)
            check_address(b, i, k);
}

/* ---- the whole ---- */

static bool is_own_address(const struct snapshot *s, const struct address *a)
{
    for (size_t i = 0; i < s->listener_count; i++)
        for (size_t k = 0; k < s->listeners[i].address_count; k++)
            if (address_equal(&s->listeners[i].addresses[k], a))
                return true;
    return false;
}

void build_check_unused(struct builder *b)
{
    const struct snapshot *s = b->snapshot;

    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct snapshot_upstream *u = &s->upstreams[i];
        if (!b->upstream_used[i])
            build_warning(b, u->options, "nothing sends requests to the upstream \"%s\"", u->options->name);
        for (size_t k = 0; k < u->server_count; k++)
            if (is_own_address(s, &u->servers[k]))
                build_error(b, u->options, "the server %.*s is a listener of this configuration: requests would go round for ever",
                            BYTES_PRINT(u->server_names[k]));
    }
}
