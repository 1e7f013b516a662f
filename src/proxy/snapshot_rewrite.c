/* snapshot_rewrite.c: what a route does with the requests that it gets, made ready for use. */
#include "base/check.h"
#include "proxy/snapshot_build.h"

enum { BODY_MOST = 16384 };

/* ---- upgrades ---- */

/* A name of a protocol with or without a version (RFC 9110 7.8) that we could pass on: to other versions of HTTP, and to
 * TLS, the proxy would be blind. */
static bool check_upgrade(struct builder *b, const struct upgrade_options *o)
{
    struct bytes text = bytes_of_text(o->protocol);
    size_t slash = bytes_find(text, '/');
    struct bytes name = bytes_part(text, 0, slash), version = bytes_from(text, slash + 1);

    if (!field_name_is_valid(name) || (slash < text.size && !field_name_is_valid(version))) {
        build_error(b, &o->protocol, "\"%s\" is no protocol: write a name like websocket, or mqtt/3.1", o->protocol);
        return false;
    }
    if (bytes_equal_nocase(name, BYTES_LITERAL("h2c")) || bytes_equal_nocase(name, BYTES_LITERAL("h2")) ||
        bytes_equal_nocase(name, BYTES_LITERAL("http")) || bytes_equal_nocase(name, BYTES_LITERAL("tls"))) {
        build_error(b, &o->protocol,
                    "\"%s\" is never passed on, since requests behind it would be seen by nobody: remove it",
                    o->protocol);
        return false;
    }
    return true;
}

static void build_upgrades(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    struct bytes *at = build_alloc(b, o->upgrade.count, sizeof *at);

    route->upgrades = at;
    route->upgrade_count = 0;
    for (size_t i = 0; i < o->upgrade.count; i++) {
        const struct upgrade_options *u = OPTION_ITEM(struct upgrade_options, &o->upgrade, i);
        if (u->protocol && check_upgrade(b, u))
            at[route->upgrade_count++] = bytes_of_text(u->protocol);
    }
    if (config_is_set(b->config, &o->upgrade) && o->upgrade.count && route->to &&
        route->to->options->protocol == UPSTREAM_H2)
        build_error(
            b, &o->upgrade,
            "the servers of \"%s\" speak HTTP/2, which has no upgrades: write `protocol: auto` or `http1` there",
            o->to);
}

/* ---- the path and Host ---- */

/* Without the '/' at its end. */
static struct bytes trimmed(const char *text)
{
    struct bytes path = bytes_of_text(text);

    while (path.size && path.at[path.size - 1] == '/')
        path.size--;
    return path;
}

/* Bytes that stand in a path, and nothing that a server may follow out of it. */
static bool check_prefix(struct builder *b, const char *text, const void *field)
{
    struct bytes rewritten;
    bool is_path = text[0] == '/' && text[1] != '/';

    for (const char *c = text; *c; c++)
        is_path &= *c > 0x20 && *c < 0x7f && *c != '?' && *c != '#' && *c != '\\';
    if (!is_path)
        build_error(b, field, "\"%s\" is no path: it starts with one \"/\", and has no query or white space", text);
    else if (rewrite_path(b->arena, bytes_of_text(text), 0, BYTES_NONE, &rewritten))
        build_error(b, field, "\"%s\" has segments that servers resolve: write the path without . and ..", text);
    else
        return true;
    return false;
}

/* Whether requests that the route gets begin with this. */
static void check_covered(struct builder *b, const struct route_options *o, struct bytes prefix, const void *field)
{
    struct bytes path = trimmed(o->path);

    if (!bytes_start_with(path, prefix) || (path.size > prefix.size && path.at[prefix.size] != '/'))
        build_error(b, field, "the route's path %s does not begin with %.*s/: only leading segments of it can go",
                    o->path, BYTES_PRINT(prefix));
}

static void build_prefix(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    const struct prefix_options *p = o->replace_prefix.count ? o->replace_prefix.items : NULL;
    const char *from = p ? p->from : o->strip_prefix;

    if (p && o->strip_prefix)
        build_error(b, &o->strip_prefix, "`replace_prefix` takes the prefix off, too: remove `strip_prefix`");
    if (!from || !check_prefix(b, from, p ? (const void *)p : &o->strip_prefix))
        return;
    check_covered(b, o, trimmed(from), p ? (const void *)p : &o->strip_prefix);
    route->rewrites_path = true;
    route->prefix_bytes = trimmed(from).size;
    if (p && p->to && check_prefix(b, p->to, &p->to))
        route->prefix = trimmed(p->to);
}

static void build_host_field(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    struct hostname name;
    uint16_t port;

    if (!o->host)
        return;
    route->host = bytes_of_text(o->host);
    if (hostname_parse_authority(route->host, &name, &port))
        build_error(b, &o->host, "\"%s\" is no host: write one like api.internal, or api.internal:8080", o->host);
}

/* ---- answers of the route's own ---- */

/* An absolute URL of HTTP, or a path, which "//x" and "/\\x" are not for browsers. */
static bool is_location(struct bytes to)
{
    size_t scheme = bytes_start_with(to, BYTES_LITERAL("https://"))  ? 8
                    : bytes_start_with(to, BYTES_LITERAL("http://")) ? 7
                                                                     : 0;
    struct bytes rest = bytes_from(to, scheme);
    struct hostname name;
    uint16_t port;
    size_t end = 0;

    for (size_t i = 0; i < to.size; i++)
        if (to.at[i] <= 0x20 || to.at[i] >= 0x7f || to.at[i] == '\\')
            return false;
    if (scheme == 0)
        return to.size && to.at[0] == '/' && !bytes_start_with(to, BYTES_LITERAL("//"));
    while (end < rest.size && rest.at[end] != '/' && rest.at[end] != '?' && rest.at[end] != '#')
        end++;
    return hostname_parse_authority(bytes_part(rest, 0, end), &name, &port) == 0;
}

static void build_redirect(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    const struct redirect_options *r = o->redirect;
    struct snapshot_redirect *redirect = build_alloc(b, 1, sizeof *redirect);

    route->redirect = redirect;
    if (!r->to)
        return; /* missing, and complained about by the reader */
    redirect->status = r->status;
    redirect->keep_path = r->keep_path;
    redirect->to = r->keep_path ? trimmed(r->to) : bytes_of_text(r->to);
    if (!is_location(bytes_of_text(r->to)))
        build_error(b, &r->to, "\"%s\" is neither a URL, like https://www.example.org/new, nor a path, like /new",
                    r->to);
    else if (r->keep_path && (strchr(r->to, '?') || strchr(r->to, '#')))
        build_error(b, &r->to, "with `keep_path` the client's path and query stand behind it: it cannot have its own");
}

static void build_respond(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    const struct respond_options *r = o->respond;
    struct snapshot_respond *respond = build_alloc(b, 1, sizeof *respond);

    route->respond = respond;
    *respond = (struct snapshot_respond){ (int)r->status, bytes_of_text(r->body), r->type };
    if (r->status >= 300 && r->status < 400)
        build_error(b, &r->status, "a status of 3xx needs to say where to: write `redirect: URL` instead of `respond`");
    if (respond->body.size && (r->status == 204 || r->status == 205))
        build_error(b, &r->body, "a response of status %d has no content: remove `body`", (int)r->status);
    if (respond->body.size > BODY_MOST)
        build_error(b, &r->body, "a fixed response has at most %d bytes: let a server give larger ones", BODY_MOST);
    if (!r->type || !r->type[0] || !field_value_is_valid(bytes_of_text(r->type)))
        build_error(b, &r->type, "\"%s\" is no media type: write one like text/html", r->type ? r->type : "");
}

/* ---- the whole ---- */

/* What is of use only where requests are passed on. */
static void check_answering(struct builder *b, const struct route_options *o)
{
    static const char message[] = "is for requests that are passed on, which this route answers itself: remove it";

    if (o->strip_prefix)
        build_error(b, &o->strip_prefix, "`strip_prefix` %s", message);
    if (o->replace_prefix.count)
        build_error(b, &o->replace_prefix, "`replace_prefix` %s", message);
    if (o->host)
        build_error(b, &o->host, "`host` %s", message);
    if (config_is_set(b->config, &o->upgrade))
        build_error(b, &o->upgrade, "`upgrade` %s", message);
    if (o->headers &&
        (o->headers->request.set.count || o->headers->request.add.count || o->headers->request.remove.count))
        build_error(b, &o->headers->request, "`request` %s", message);
}

/* What options stand for where there is no route to write them in. */
void build_route_standards(struct snapshot_route *route)
{
    static const struct bytes upgrades[] = { { (const uint8_t *)"websocket", 9 } };

    route->upgrades = upgrades;
    route->upgrade_count = COUNT_OF(upgrades);
}

void build_route(struct builder *b, struct snapshot_route *route, const struct route_options *o)
{
    int ways = (o->to != NULL) + (o->redirect != NULL) + (o->respond != NULL);

    route->options = o;
    if (ways == 0 && !b->errors_before)
        build_error(b, o, "this route does nothing: write `to: UPSTREAM`, `redirect: URL`, or `respond`");
    if (ways > 1)
        build_error(b, o, "a route has one of `to`, `redirect` and `respond`: remove the others");
    if (!o->to && ways)
        check_answering(b, o);
    if (o->redirect)
        build_redirect(b, route, o);
    if (o->respond)
        build_respond(b, route, o);
    build_check_headers(b, o->headers);
    build_upgrades(b, route, o);
    build_prefix(b, route, o);
    build_host_field(b, route, o);
}

void build_host_fields(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                       const struct headers_options *of_host)
{
    for (size_t i = 0; i < h->route_count; i++) {
        struct snapshot_route *route = &h->routes[i];
        const struct headers_options *levels[HEADER_LEVELS] = { l->options->headers, of_host,
                                                                route->options ? route->options->headers : NULL };

        route->request_fields = build_field_rules(b, levels, true);
        route->response_fields = build_field_rules(b, levels, false);
    }
}
