/* snapshot_rewrite.c: what a route does with the requests that it gets, made ready for use. */
#include "proxy/snapshot_build.h"

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
    build_upgrades(b, route, o);
}
