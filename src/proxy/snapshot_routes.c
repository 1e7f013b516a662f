#include <stdlib.h>

#include "base/check.h"
#include "proxy/snapshot_build.h"

/* ---- routes ---- */

/* What a request's path can never start with makes a route that can never match. */
static void check_path(struct builder *b, const struct route_options *r)
{
    if (r->path[0] != '/') {
        build_error(b, &r->path, "a path starts with \"/\": write /%s", r->path);
        return;
    }
    for (const char *c = r->path; *c; c++) {
        if (*c == '?' || *c == '#') {
            build_error(b, &r->path, "this route can never match: the path ends before \"%c\"", *c);
            return;
        }
        if (*c <= 0x20 || *c >= 0x7f) {
            build_error(b, &r->path,
                        "this route can never match: on the wire such a character is percent-encoded (%%%02X)",
                        (unsigned)(unsigned char)*c);
            return;
        }
    }
}

static int by_length_down(const void *a, const void *b)
{
    const struct snapshot_route *x = a, *y = b;

    return x->path.size < y->path.size ? 1 : x->path.size > y->path.size ? -1 : 0;
}

/* Adds a route unless an earlier one has the same path: then the second could never match. */
static struct snapshot_route *add_route(struct builder *b, struct snapshot_host *h, const char *path, const char *to,
                                        const void *field)
{
    struct bytes prefix = bytes_of_text(path);

    for (size_t i = 0; i < h->route_count; i++) {
        if (bytes_equal(h->routes[i].path, prefix)) {
            build_error(b, field, "this route can never match: an earlier one has the path %s", path);
            return NULL;
        }
    }
    h->routes[h->route_count].path = prefix;
    h->routes[h->route_count].to = to ? build_use_upstream(b, to) : NULL;
    build_route_standards(&h->routes[h->route_count]);
    return &h->routes[h->route_count++];
}

/* to: where everything else goes, or NULL. */
static void build_routes(struct builder *b, struct snapshot_host *h, const struct option_list *routes,
                         const char *const *to)
{
    h->routes = build_alloc(b, routes->count + 1, sizeof *h->routes);
    for (size_t i = 0; i < routes->count; i++) {
        const struct route_options *r = OPTION_ITEM(struct route_options, routes, i);
        struct snapshot_route *route;

        check_path(b, r);
        route = add_route(b, h, r->path, r->to, r);
        if (route)
            build_route(b, route, r);
    }
    if (*to) {
        for (size_t i = 0; i < h->route_count; i++) {
            if (bytes_equal_text(h->routes[i].path, "/")) {
                build_error(b, to, "`to` can never be reached: a route covers the path /; remove one of them");
                return;
            }
        }
        add_route(b, h, "/", *to, to);
    }
    qsort(h->routes, h->route_count, sizeof *h->routes, by_length_down);
}

/* ---- HSTS ---- */

static struct bytes hsts_value(struct builder *b, const struct hsts_options *o)
{
    const char *text;

    if (!o)
        return BYTES_NONE;
    text = arena_printf(b->arena, "max-age=%llu%s%s", (unsigned long long)(o->max_age_ns / 1000000000u),
                        o->subdomains ? "; includeSubDomains" : "", o->preload ? "; preload" : "");
    CHECK(text);
    return bytes_of_text(text);
}

/* ---- hosts ---- */

/* Whether a certificate's name is for everything that the host's pattern is for. */
static bool covers(const struct hostname *name, const struct hostname *host)
{
    if (host->is_pattern)
        return strcmp(name->text, host->text) == 0;
    return hostname_matches(name, host);
}

static void check_covered(struct builder *b, const struct snapshot_listener *l, const struct hostname *host,
                          const void *field)
{
    for (size_t i = 0; i < l->certificate_count; i++)
        for (size_t k = 0; k < l->certificates[i]->name_count; k++)
            if (covers(&l->certificates[i]->names[k], host))
                return;
    if (l->certificate_count)
        build_warning(b, field, "no certificate of this listener is for \"%s\": clients will refuse the one they get",
                      host->text);
}

static void build_host_policy(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                              const struct host_options *o)
{
    if (o->tls && !l->tls) {
        build_error(b, &o->tls, "this listener speaks no TLS: remove `tls` here, or `tls: off` of the listener");
        return;
    }
    if (o->tls && strcmp(o->tls, "off") == 0) {
        build_error(b, &o->tls, "a single host cannot be plain HTTP on a TLS listener: make a listener of its own");
        return;
    }
    h->policy = o->tls ? build_policy(b, o->tls, &o->tls) : l->fallback.policy;
    if (h->policy) {
        build_alpn(b, l, h, &o->alpn);
        build_host_tls(b, l, h, o);
    }
}

static void build_host_name(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                            const struct host_options *o)
{
    struct hostname name;

    h->name = bytes_of_text(o->name);
    if (hostname_parse_pattern(h->name, &name) < 0) {
        build_error(
            b, o, "\"%s\" is no host name: write one like www.example.org, *.example.org or 192.0.2.7, without a port",
            o->name);
        return;
    }
    h->name = arena_copy(b->arena, bytes_of_text(name.text));
    CHECK(h->name.at);
    if (hostname_table_add(l->host_table, &name, h) < 0)
        build_error(b, o, "the host \"%s\" is there already", name.text);
    if (l->tls && h->service.protocol != SERVICE_PASSTHROUGH)
        check_covered(b, l, &name, o);
}

static void build_host(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                       const struct host_options *o)
{
    build_host_service(b, l, h, o);
    build_host_name(b, l, h, o);
    if (h->service.protocol != SERVICE_PASSTHROUGH)
        build_host_policy(b, l, h, o);
    if (h->service.protocol != SERVICE_HTTP)
        return;
    if (o->routes.count || o->to) {
        build_routes(b, h, &o->routes, &o->to);
    } else { /* a host may stand for its policy alone: then it is served as the listener's others are */
        h->routes = l->fallback.routes;
        h->route_count = l->fallback.route_count;
        if (o->headers && h->route_count) {
            h->routes = build_alloc(b, h->route_count, sizeof *h->routes);
            memcpy(h->routes, l->fallback.routes, h->route_count * sizeof *h->routes);
        }
        if (!h->route_count && l->options->redirect == REDIRECT_NONE)
            build_error(b, o, "this host serves nothing: write `to: UPSTREAM` or `routes`");
    }
    build_check_headers(b, o->headers);
    if (h->routes != l->fallback.routes)
        build_host_fields(b, l, h, o->headers);
    h->hsts = l->tls ? hsts_value(b, o->hsts ? o->hsts : l->options->hsts) : BYTES_NONE;
}

void build_hosts(struct builder *b, struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;

    l->fallback.name = BYTES_LITERAL("");
    build_service(b, l);
    if (o->protocol == SERVICE_HTTP)
        build_routes(b, &l->fallback, &o->routes, &o->to);
    build_check_headers(b, o->headers);
    build_host_fields(b, l, &l->fallback, NULL);
    if (listener_decrypts(l)) {
        l->fallback.policy = build_policy(b, o->tls, &o->tls);
        l->fallback.hsts = hsts_value(b, o->hsts);
        if (l->fallback.policy) {
            build_alpn(b, l, &l->fallback, &o->alpn);
            build_host_tls(b, l, &l->fallback, o);
        }
    }
    l->host_count = o->hosts.count;
    l->hosts = build_alloc(b, l->host_count, sizeof *l->hosts);
    l->host_table = hostname_table_new(b->arena, l->host_count);
    CHECK(l->host_table);
    for (size_t i = 0; i < l->host_count; i++)
        build_host(b, l, &l->hosts[i], OPTION_ITEM(struct host_options, &o->hosts, i));
}
