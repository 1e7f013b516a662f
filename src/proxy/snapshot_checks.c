#include "base/check.h"
#include "proxy/snapshot_build.h"

/* ---- addresses of listeners ---- */

static void add_address(struct snapshot_listener *l, const struct address_options *o, const struct address *a)
{
    l->address_options[l->address_count] = o;
    l->addresses[l->address_count++] = *a;
}

static void add_any(struct snapshot_listener *l, const struct address_options *o, uint16_t port)
{
    struct address a;

    if (address_from_ip("0.0.0.0", port, &a) == 0)
        add_address(l, o, &a);
    if (address_from_ip("::", port, &a) == 0)
        add_address(l, o, &a);
}

/* What only the file of a Unix socket has. */
static void check_file(struct builder *b, const struct address_options *o)
{
    bool has_file = o->endpoint.path && o->endpoint.path[0] != '@';
    unsigned mode = ADDRESS_MODE;

    if (address_mode(o, &mode) < 0)
        build_error(b, &o->mode, "permissions are three or four octal digits, such as 0660");
    if (!has_file && (mode != ADDRESS_MODE || o->user || o->group))
        build_warning(b, o, "`mode`, `user` and `group` are for the file of a Unix socket: here they do nothing");
}

void build_addresses(struct builder *b, struct snapshot_listener *l)
{
    const struct option_list *list = &l->options->address;

    l->addresses = build_alloc(b, 2 * list->count, sizeof *l->addresses);
    l->address_options = build_alloc(b, 2 * list->count, sizeof(struct address_options *));
    for (size_t i = 0; i < list->count; i++) {
        const struct address_options *o = OPTION_ITEM(struct address_options, list, i);
        const struct option_endpoint *e = &o->endpoint;
        struct address a;

        if (!e->host && !e->path)
            continue; /* faulty, and complained about by the reader */
        check_file(b, o);
        if (e->path) {
            if (address_from_path(e->path, &a) < 0)
                build_error(b, e, "the path of a Unix socket has 1 to 107 bytes");
            else
                add_address(l, o, &a);
        } else if (e->port == 0) {
            build_error(b, e, "a listener needs a port: write one from 1 to 65535");
        } else if (!e->host[0]) {
            add_any(l, o, e->port);
        } else if (address_from_ip(e->host, e->port, &a) == 0) {
            add_address(l, o, &a);
        } else {
            build_error(
                b, e,
                "\"%s\" is no IP address: listeners have one such as 127.0.0.1:%u, or :%u for all of this machine",
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

/* An address of an earlier listener, or an earlier one of the same, for which `is_like` holds. */
static bool find_earlier(const struct snapshot *s, size_t listener, size_t k,
                         bool (*is_like)(const struct address *a, const struct address *b),
                         const struct snapshot_listener **ret_other, const struct address **ret_address)
{
    const struct address *a = &s->listeners[listener].addresses[k];

    for (size_t i = 0; i <= listener; i++) {
        const struct snapshot_listener *other = &s->listeners[i];
        size_t count = i == listener ? k : other->address_count;
        for (size_t j = 0; j < count; j++) {
            if (is_like(a, &other->addresses[j])) {
                *ret_other = other;
                *ret_address = &other->addresses[j];
                return true;
            }
        }
    }
    return false;
}

/* Exact addresses win over 0.0.0.0 and [::] in the kernel, so that an overlap is sound, if seldom meant. */
static void check_address(struct builder *b, size_t listener, size_t k)
{
    const struct snapshot_listener *l = &b->snapshot->listeners[listener], *other;
    const struct address *earlier;
    char text[ADDRESS_TEXT], earlier_text[ADDRESS_TEXT];

    address_print(&l->addresses[k], text);
    if (find_earlier(b->snapshot, listener, k, address_equal, &other, &earlier)) {
        build_error(b, &l->address_options[k]->endpoint, "listener \"%.*s\" has the address %s already",
                    BYTES_PRINT(other->name), text);
    } else if (find_earlier(b->snapshot, listener, k, overlaps, &other, &earlier)) {
        address_print(earlier, earlier_text);
        build_warning(b, &l->address_options[k]->endpoint,
                      "%s overlaps with %s of listener \"%.*s\": the more exact address gets its clients", text,
                      earlier_text, BYTES_PRINT(other->name));
    }
}

/* A header that anybody may send is an address that anybody may make up. */
void build_check_proxies(struct builder *b, const struct listener_options *o)
{
    const struct option_list *from = &o->proxy_protocol->from;
    struct address v4;

    CHECK(address_from_ip("192.0.2.1", 0, &v4) == 0);
    for (size_t i = 0; i < from->count; i++) {
        const struct option_network *n = &OPTION_ITEM(struct network_options, from, i)->network;
        bool is_all = n->prefix_bits == 0 || (n->prefix_bits == 96 && network_contains(n, &v4));
        if (n->is_given && !n->is_unix && is_all)
            build_warning(b, n, "every client may then say that it is any other: list the proxies alone");
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
        if (!b->upstream_used[i] && !b->errors_before) /* what the reader refused might have used it */
            build_warning(b, u->options, "nothing sends requests to the upstream \"%s\"", u->options->name);
        for (size_t k = 0; k < u->server_count; k++)
            if (is_own_address(s, &u->servers[k]))
                build_error(b, u->options,
                            "the server %.*s is a listener of this configuration: requests would go round for ever",
                            BYTES_PRINT(u->server_names[k]));
    }
}
