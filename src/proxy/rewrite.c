#include "proxy/rewrite.h"

/* Whether the text at `at` is this percent-encoded byte (its lower-case digits), and how long that is; else 0. */
static size_t encoded(struct bytes text, size_t at, uint8_t high, uint8_t low)
{
    return at + 2 < text.size && text.at[at] == '%' && text.at[at + 1] == high && ascii_lower(text.at[at + 2]) == low
               ? 3
               : 0;
}

/* The size of what ends a segment for one server or another: a separator, or what some take for parameters. */
static size_t separator(struct bytes path, size_t at)
{
    uint8_t c = path.at[at];

    if (c == '/' || c == '\\' || c == ';')
        return 1;
    return encoded(path, at, '2', 'f') + encoded(path, at, '5', 'c') + encoded(path, at, '3', 'b');
}

static size_t dot(struct bytes path, size_t at)
{
    return path.at[at] == '.' ? 1 : encoded(path, at, '2', 'e');
}

static bool has_dot_segments(struct bytes path)
{
    size_t at = 0;

    while (at < path.size) {
        size_t dots = 0, size;

        for (; at < path.size && (size = dot(path, at)) > 0; at += size)
            dots++;
        if ((dots == 1 || dots == 2) && (at == path.size || separator(path, at)))
            return true;
        while (at < path.size && (size = separator(path, at)) == 0)
            at++;
        at += at < path.size ? size : 0;
    }
    return false;
}

int rewrite_path(struct arena *arena, struct bytes path, size_t prefix_bytes, struct bytes with, struct bytes *ret_path)
{
    struct bytes rest = bytes_from(path, prefix_bytes);
    size_t query = bytes_find(rest, '?');

    if (bytes_equal(path, BYTES_LITERAL("*"))) {
        *ret_path = path;
        return 0;
    }
    CHECK(query == 0 || rest.at[0] == '/');
    if (has_dot_segments(bytes_part(path, 0, prefix_bytes + query)))
        return -E_PATH;
    while (with.size == 0 && query > 1 && rest.at[1] == '/') {
        rest = bytes_from(rest, 1);
        query--;
    }
    const struct bytes parts[] = { with, with.size == 0 && query == 0 ? BYTES_LITERAL("/") : BYTES_NONE, rest };
    *ret_path = arena_join(arena, parts, COUNT_OF(parts));
    return ret_path->at ? 0 : -E_MEMORY;
}

int rewrite_fields(struct message *m, const struct field_rules *rules)
{
    for (size_t i = 0; i < rules->removed_count; i++)
        message_remove_named(m, rules->removed[i]);
    return rules->added.count ? message_append(m, &rules->added) : 0;
}

int rewrite_request(struct message *m, const struct snapshot_route *route)
{
    int error = 0;

    if (route->rewrites_path)
        error = rewrite_path(m->arena, m->path, route->prefix_bytes, route->prefix, &m->path);
    if (route->host.size)
        m->authority = route->host;
    return error ? error : rewrite_fields(m, &route->request_fields);
}
