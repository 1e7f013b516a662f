/* h1_request.c: a request's head into a message (RFC 9112 3, 6.3 and 9.3). */
#include "http/h1_private.h"

#include "base/hostname.h"

int h1_check_path(struct bytes path)
{
    const uint8_t *at = path.at, *end = path.at + path.size;

    while (true) {
        at = h1_class_end(at, end, H1_PATH);
        if (at == end)
            return 0;
        if (*at == '?')
            break;
        if (*at != '%' || end - at < 3 || !(h1_class[at[1]] & H1_HEX) || !(h1_class[at[2]] & H1_HEX))
            return -E_SYNTAX;
        at += 3;
    }
    return h1_class_end(at, end, H1_QUERY) == end ? 0 : -E_SYNTAX;
}

/* scheme "://" authority path-abempty [ "?" query ] (RFC 9112 3.2.2). Schemes other than http and https have nothing to
 * do here. The scheme is lowered in place: target lies in our copy of the head. */
static int absolute_form(struct bytes target, struct message *m)
{
    struct bytes scheme = bytes_part(target, 0, bytes_find(target, ':')), rest = bytes_from(target, scheme.size);
    size_t authority;
    uint8_t *path;

    if (bytes_equal_nocase(scheme, BYTES_LITERAL("https")))
        m->scheme = BYTES_LITERAL("https");
    else if (bytes_equal_nocase(scheme, BYTES_LITERAL("http")))
        m->scheme = BYTES_LITERAL("http");
    else
        return -E_SYNTAX;
    if (!bytes_start_with(rest, BYTES_LITERAL("://")))
        return -E_SYNTAX;
    rest = bytes_from(rest, 3);
    for (authority = 0; authority < rest.size; authority++)
        if (rest.at[authority] == '/' || rest.at[authority] == '?')
            break;
    m->authority = bytes_part(rest, 0, authority);
    if (m->authority.size == 0)
        return -E_HOST;
    rest = bytes_from(rest, authority);
    if (rest.size && rest.at[0] == '/') {
        m->path = rest;
    } else if (rest.size == 0) {
        /* RFC 9112 3.2.4: this is how a proxy is asked for the whole server */
        m->path = m->method == METHOD_OPTIONS ? BYTES_LITERAL("*") : BYTES_LITERAL("/");
        return 0;
    } else {
        path = arena_alloc(m->arena, rest.size + 1);
        if (!path)
            return -E_MEMORY;
        path[0] = '/';
        memcpy(path + 1, rest.at, rest.size);
        m->path = bytes_of(path, rest.size + 1);
    }
    return h1_check_path(m->path);
}

/* The four forms of RFC 9112 3.2, each only where it belongs. Sets path, scheme and authority. */
static int parse_target(struct bytes target, struct message *m)
{
    if (target.size == 0)
        return -E_SYNTAX;
    if (m->method == METHOD_CONNECT) {
        m->authority = target;
        m->path = BYTES_NONE;
        return 0;
    }
    if (target.at[0] == '/')
        return h1_check_path(target);
    if (target.size == 1 && target.at[0] == '*')
        return m->method == METHOD_OPTIONS ? 0 : -E_SYNTAX;
    return absolute_form(target, m);
}

/* method SP request-target SP HTTP-version, with exactly one space at each place. */
static int parse_request_line(struct bytes line, struct message *m)
{
    size_t method = bytes_find(line, ' ');
    struct bytes rest = bytes_from(line, method + 1);
    size_t target = bytes_find(rest, ' ');
    int result;

    m->method_name = bytes_part(line, 0, method);
    m->path = bytes_part(rest, 0, target);
    if (!h1_is_token(m->method_name))
        return -E_SYNTAX;
    m->method = method_of(m->method_name);
    result = h1_version(bytes_from(rest, target + 1), &m->version);
    return result < 0 ? result : parse_target(m->path, m);
}

/* The authority is the target's where it has one, else Host's (RFC 9112 3.2.2 and 3.3); Host has to be right in either
 * case, since somebody behind may look at nothing else. */
static int settle_authority(const struct h1_framing *f, bool from_target, const struct message *m)
{
    struct hostname name;
    uint16_t port = 0;

    if (f->hosts > 1 || (f->hosts == 0 && m->version != HTTP_1_0))
        return -E_HOST;
    if (f->hosts == 1 && hostname_parse_authority(f->host, &name, &port) < 0)
        return -E_HOST;
    if (from_target && hostname_parse_authority(m->authority, &name, &port) < 0)
        return -E_HOST;
    if (m->method == METHOD_CONNECT && port == 0)
        return -E_SYNTAX;
    return 0;
}

int h1_settle_expect(struct message *m)
{
    bool content = m->body == BODY_STREAMED || m->length > 0;

    for (uint32_t i = 0; i < m->fields.count; i++) {
        if (m->fields.at[i].id != FIELD_EXPECT)
            continue;
        if (m->version != HTTP_1_0 && !bytes_equal_nocase(m->fields.at[i].value, BYTES_LITERAL("100-continue")))
            return -E_EXPECTATION;
        m->expect_continue = true;
    }
    /* RFC 9110 10.1.1: from HTTP/1.0 it is ignored, and without content there is nothing to wait for. It goes, since the
     * server behind is told HTTP/1.1 and might wait. */
    if (m->expect_continue && (m->version == HTTP_1_0 || !content)) {
        m->expect_continue = false;
        message_remove(m, FIELD_EXPECT);
    }
    return 0;
}

static int settle_content(const struct h1_framing *f, struct message *m)
{
    int chunked = h1_is_chunked(f, m->version);

    if (chunked < 0)
        return chunked;
    m->body = chunked ? BODY_STREAMED : f->lengths ? BODY_LENGTH : BODY_NONE;
    m->has_length = f->lengths > 0;
    m->length = f->length;
    m->te_trailers = f->te_trailers && m->version != HTTP_1_0;
    m->persistent = !f->close && (m->version != HTTP_1_0 || f->keep_alive);
    return 0;
}

int h1_parse_request(struct bytes head, const struct h1_limits *limits, struct message *m)
{
    struct h1_framing f;
    const uint8_t *at, *end;
    struct bytes line;
    bool from_target;
    int result;

    h1_framing_init(&f);
    if (head.size > limits->head)
        return -E_HEAD_TOO_LARGE;
    head = arena_copy(m->arena, head);
    if (!head.at)
        return -E_MEMORY;
    if (bytes_start_with(head, BYTES_LITERAL("\r\n")))
        head = bytes_from(head, 2);
    at = head.at;
    end = head.at + head.size;
    result = h1_line(&at, end, &line);
    if (result == 0)
        result = parse_request_line(line, m);
    if (result == 0)
        result = h1_fields(at, end, limits, m, &f);
    from_target = m->authority.size > 0;
    if (!from_target)
        m->authority = f.host; /* also for the log, should the following fail */
    if (result == 0)
        result = settle_authority(&f, from_target, m);
    if (result == 0)
        result = settle_content(&f, m);
    if (result == 0)
        result = h1_settle_expect(m);
    return result < 0 ? result : h1_upgrade(&f, m);
}
