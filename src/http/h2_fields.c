/* h2_fields.c: a header section into a message (RFC 9113 8.2, 8.3; RFC 8441). What is refused, in both directions:
 *   names       empty, upper case, what is no token; unknown pseudo-headers, repeated ones, those behind a regular field
 *   values      control bytes but tab (CR, LF and NUL are among them), white space at either end
 *   fields      Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade, HTTP2-Settings, TE other than
 *               "trailers", and look-alikes of a field of framing (content_length)
 *   request     :method that is no token; :scheme other than http and https; :path that does not start with '/' (but "*"
 *               for OPTIONS) or has bytes that HTTP/1's target may not have; :authority that is no host and port
 *               (userinfo, say); Host that differs from it, or twice; neither of the two; CONNECT with more or less
 *               than it takes; :protocol without CONNECT or where it was not offered
 *   response    :status that is no number of 100 to 599; 101
 *   length      repeated, lists, signs; other than the content, or than none
 *   trailers    pseudo-headers, fields of framing; without END_STREAM
 * The stream is reset with PROTOCOL_ERROR then. Too long a head, or an unknown expectation, is left to look_head(): a
 * client can be answered. */
#include "http/h1_private.h"
#include "http/h2_private.h"

#include "base/hostname.h"

enum pseudo { METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, PROTOCOL = 16, STATUS = 32 };

enum {
    PROXY_FIELDS = 8, /* room for what is added */
    BOMB_FIELDS = 8,  /* beyond what a head may have: so many cost a point */
};

#define LENGTH_MOST ((uint64_t)INT64_MAX)

void h2_fields_start(struct h2 *h, struct h2_stream *s, bool trailers)
{
    struct h2_parse *p = &h->parse;

    *p = (struct h2_parse){ .stream = s, .trailers = trailers };
    if (!s)
        return;
    if (trailers) {
        p->m = arena_alloc(s->arena, sizeof *p->m);
    } else {
        struct h2_head *head = arena_alloc(s->arena, sizeof *head);
        if (head)
            *head = (struct h2_head){ 0 };
        p->m = head ? &head->m : NULL;
    }
    if (!p->m) {
        p->error = -E_MEMORY;
        return;
    }
    message_init(p->m, s->arena);
    p->m->fields = (struct fields){ h->scratch, 0, H2_SCRATCH };
}

/* Out of the scratch, with room for what a proxy adds. */
static int keep_fields(struct h2 *h, struct message *m)
{
    uint32_t room = m->fields.count + PROXY_FIELDS;
    struct field *at;

    if (m->fields.at != h->scratch)
        return 0;
    at = arena_alloc(m->arena, room * sizeof *at);
    if (at && m->fields.count)
        memcpy(at, m->fields.at, m->fields.count * sizeof *at);
    m->fields = (struct fields){ at, at ? m->fields.count : 0, at ? room : 0 };
    return at ? 0 : -E_MEMORY;
}

static void fault(struct h2_parse *p, int error)
{
    if (!p->error)
        p->error = error;
}

static enum pseudo pseudo_of(struct bytes name)
{
    static const struct {
        struct bytes name;
        enum pseudo is;
    } known[] = {
        { { (const uint8_t *)":method", 7 }, METHOD },        { { (const uint8_t *)":scheme", 7 }, SCHEME },
        { { (const uint8_t *)":authority", 10 }, AUTHORITY }, { { (const uint8_t *)":path", 5 }, PATH },
        { { (const uint8_t *)":protocol", 9 }, PROTOCOL },    { { (const uint8_t *)":status", 7 }, STATUS },
    };

    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (bytes_equal(name, known[i].name))
            return known[i].is;
    return 0;
}

static int status_of(struct bytes value)
{
    int status = 0;

    if (value.size != 3)
        return -E_SYNTAX;
    for (size_t i = 0; i < 3; i++) {
        if (!(h1_class[value.at[i]] & H1_DIGIT))
            return -E_SYNTAX;
        status = status * 10 + value.at[i] - '0';
    }
    return status >= 100 && status <= 599 && status != 101 ? status : -E_SYNTAX;
}

static int pseudo_field(struct h2 *h, struct h2_parse *p, struct bytes name, struct bytes value)
{
    enum pseudo is = pseudo_of(name), allowed = STATUS;
    struct message *m = p->m;
    int status;

    if (h->options.role == H2_SERVER)
        allowed = METHOD | SCHEME | AUTHORITY | PATH | (h->options.connect_protocol ? PROTOCOL : 0);
    if (!(is & allowed) || p->regular || p->trailers || (p->seen & is))
        return -E_SYNTAX;
    p->seen |= (uint8_t)is;
    if (is == STATUS) {
        status = status_of(value);
        m->status = status < 0 ? 0 : status;
        return status < 0 ? status : 0;
    }
    value = arena_copy(p->stream->arena, value);
    if (!value.at)
        return -E_MEMORY;
    switch (is) {
    case METHOD:
        m->method_name = value;
        m->method = method_of(value);
        p->stream->method = m->method;
        return h1_is_token(value) ? 0 : -E_SYNTAX;
    case SCHEME:
        p->scheme = value;
        return 0;
    case AUTHORITY:
        m->authority = value;
        return value.size ? 0 : -E_HOST;
    case PATH:
        m->path = value;
        return value.size ? 0 : -E_SYNTAX;
    default:
        p->protocol = value;
        return h1_is_token(value) ? 0 : -E_SYNTAX;
    }
}

/* A field of framing: becomes a member of the message, or is refused. */
static int framing_field(struct h2_parse *p, enum field_id id, struct bytes value)
{
    struct message *m = p->m;

    switch (id) {
    case FIELD_HOST:
        if (p->hosts++)
            return -E_HOST;
        p->host = arena_copy(p->stream->arena, value);
        return p->host.at ? 0 : -E_MEMORY;
    case FIELD_CONTENT_LENGTH:
        if (m->has_length)
            return -E_AMBIGUOUS;
        m->has_length = true;
        return bytes_to_number(value, LENGTH_MOST, &m->length);
    case FIELD_TE:
        m->te_trailers = bytes_equal_nocase(value, BYTES_LITERAL("trailers"));
        return m->te_trailers ? 0 : -E_SYNTAX;
    default:
        return -E_SYNTAX; /* RFC 9113 8.2.2 */
    }
}

/* id: what it is if it is one; the names that are known are in lower case. */
static bool is_lower_token(struct bytes name, enum field_id id)
{
    if (id != FIELD_OTHER)
        return bytes_equal(name, field_name_of(id));
    if (!h1_is_token(name))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.at[i] >= 'A' && name.at[i] <= 'Z')
            return false;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_value(struct bytes v)
{
    if (v.size == 0)
        return true;
    return h1_text_end(v.at, v.at + v.size) == v.at + v.size && !is_blank(v.at[0]) && !is_blank(v.at[v.size - 1]);
}

static int regular_field(struct h2 *h, struct h2_parse *p, struct bytes name, struct bytes value)
{
    struct arena *arena = p->stream->arena;
    struct field field = { .name = name, .value = value };
    enum field_id like;

    p->regular = true;
    field.id = (uint8_t)field_lookup(name, &like);
    field.like = (uint8_t)like;
    if (!is_lower_token(name, field.id) || !is_value(value))
        return -E_SYNTAX;
    if (field_is_framing(like) && (like != field.id || p->trailers))
        return -E_AMBIGUOUS;
    if (p->trailers && h1_is_dropped_from_trailers(&field))
        return 0;
    if (field_is_framing(field.id))
        return framing_field(p, field.id, value);
    if (field.id == FIELD_COOKIE)
        p->cookies++;
    field.name = field.id ? field_name_of(field.id) : arena_copy(arena, name);
    field.value = arena_copy(arena, value);
    if (!field.name.at || !field.value.at)
        return -E_MEMORY;
    if (h->options.role == H2_SERVER && !field.id && bytes_equal(name, BYTES_LITERAL("priority")))
        h2_priority_parse(value, &p->stream->urgency, &p->stream->incremental);
    return message_push(p->m, &field);
}

void h2_fields_add(struct h2 *h, struct bytes name, struct bytes value)
{
    const struct h1_limits *limits = &h->options.limits;
    struct h2_parse *p = &h->parse;
    bool pseudo = name.size && name.at[0] == ':';

    p->size += name.size + value.size + (pseudo ? 1 : 4);
    p->fields += pseudo ? 0 : 1;
    if ((p->size > limits->head || p->fields > limits->fields) && p->fields % BOMB_FIELDS == 0)
        h2_budget_charge(&h->budget, WORK_HPACK, 1); /* fields may be decoded from a byte each */
    if (!p->stream || p->error)
        return;
    if (pseudo && value.size > limits->request_line)
        fault(p, -E_URI_TOO_LONG);
    else if (p->size > limits->head || p->fields > limits->fields)
        fault(p, -E_HEAD_TOO_LARGE);
    else
        fault(p, pseudo ? pseudo_field(h, p, name, value) : regular_field(h, p, name, value));
}

/* RFC 9113 8.2.3: crumbs become one field again, in the place of the first. */
static int join_cookies(struct message *m)
{
    struct field *at = m->fields.at, *first = NULL;
    uint32_t kept = 0;
    size_t size = 0;
    uint8_t *text;

    for (uint32_t i = 0; i < m->fields.count; i++)
        if (at[i].id == FIELD_COOKIE)
            size += at[i].value.size + 2;
    text = arena_alloc(m->arena, size);
    if (!text)
        return -E_MEMORY;
    for (uint32_t i = 0; i < m->fields.count; i++) {
        struct bytes value = at[i].value;

        if (at[i].id != FIELD_COOKIE) {
            at[kept++] = at[i];
            continue;
        }
        if (!first) {
            first = &at[kept];
            at[kept++] = at[i];
            first->value = bytes_of(text, 0);
        } else if (value.size && first->value.size) { /* an empty crumb would leave white space at an end */
            memcpy(text + first->value.size, "; ", 2);
            first->value.size += 2;
        }
        if (value.size)
            memcpy(text + first->value.size, value.at, value.size);
        first->value.size += value.size;
    }
    m->fields.count = kept;
    return 0;
}

/* Host is compared as it is written: names in another case are the same host, but who sends two spellings at once wants
 * somebody to see something else. */
static int settle_authority(struct h2 *h, struct h2_parse *p)
{
    struct message *m = p->m;
    struct hostname name;
    uint16_t port;

    if (!(p->seen & AUTHORITY))
        m->authority = p->host;
    else if (p->hosts && !bytes_equal_nocase(p->host, m->authority))
        return -E_HOST;
    if (bytes_equal(m->authority, bytes_of(h->authority, h->authority_bytes)))
        return m->authority.size ? 0 : -E_HOST;
    if (hostname_parse_authority(m->authority, &name, &port))
        return -E_HOST;
    if (m->authority.size <= sizeof h->authority) {
        memcpy(h->authority, m->authority.at, m->authority.size);
        h->authority_bytes = (uint8_t)m->authority.size;
    }
    return 0;
}

static int settle_target(struct h2_parse *p)
{
    struct message *m = p->m;
    bool connect = m->method == METHOD_CONNECT, plain = connect && !(p->seen & PROTOCOL);
    unsigned needed = METHOD | (plain ? AUTHORITY : SCHEME | PATH);

    /* RFC 9113 8.3.1, 8.5; RFC 8441 4 */
    if ((p->seen & needed) != needed || (plain && (p->seen & (SCHEME | PATH))))
        return -E_SYNTAX;
    if ((p->seen & PROTOCOL) && !connect)
        return -E_SYNTAX;
    if (plain)
        return 0;
    if (bytes_equal_nocase(p->scheme, BYTES_LITERAL("https")))
        m->scheme = BYTES_LITERAL("https");
    else if (bytes_equal_nocase(p->scheme, BYTES_LITERAL("http")))
        m->scheme = BYTES_LITERAL("http");
    else
        return -E_SYNTAX;
    m->upgrade = p->protocol;
    if (m->path.size == 1 && m->path.at[0] == '*')
        return m->method == METHOD_OPTIONS ? 0 : -E_SYNTAX;
    return m->path.at[0] == '/' ? h1_check_path(m->path) : -E_SYNTAX;
}

static int settle_request(struct h2 *h, struct h2_parse *p, bool end)
{
    struct message *m = p->m;
    int error = settle_target(p);

    if (!error)
        error = settle_authority(h, p);
    if (error)
        return error;
    if (m->method == METHOD_CONNECT) {
        m->body = BODY_NONE;
        p->stream->in_left = UINT64_MAX;
        return m->has_length ? -E_AMBIGUOUS : 0;
    }
    if (end && m->has_length && m->length)
        return -E_AMBIGUOUS;
    m->body = m->has_length ? BODY_LENGTH : end ? BODY_NONE : BODY_STREAMED;
    /* RFC 9110 8.6: servers may ask these for a length even where there is no content */
    if (m->body == BODY_NONE && (m->method == METHOD_POST || m->method == METHOD_PUT || m->method == METHOD_PATCH))
        m->body = BODY_LENGTH;
    p->stream->in_left = m->has_length ? m->length : end ? 0 : UINT64_MAX;
    return h1_settle_expect(m);
}

static int settle_response(struct h2_parse *p, bool end)
{
    struct h2_stream *s = p->stream;
    struct message *m = p->m;
    bool never = m->status < 200 || m->status == 204;

    if (!(p->seen & STATUS) || p->hosts || (m->status < 200 && end))
        return -E_SYNTAX;
    if (never && m->has_length && m->length)
        return -E_AMBIGUOUS;
    m->has_length &= !never;
    m->te_trailers = false;
    if (m->status < 200)
        return 0;
    s->final_seen = true;
    if (s->method == METHOD_CONNECT && m->status < 300) {
        m->has_length = false;
        s->in_left = UINT64_MAX;
    } else if (!response_has_body(s->method, m->status)) {
        s->in_left = 0;
    } else if (m->has_length || end) {
        m->body = BODY_LENGTH;
        s->in_left = m->has_length ? m->length : 0;
        if (end && m->length)
            return -E_AMBIGUOUS;
    } else {
        m->body = BODY_STREAMED;
        s->in_left = UINT64_MAX;
    }
    return 0;
}

static int settle(struct h2 *h, struct h2_parse *p, bool end)
{
    struct message *m = p->m;
    int error = p->error;

    if (p->trailers)
        return error ? error : end ? 0 : -E_SYNTAX;
    m->version = HTTP_2;
    m->persistent = true;
    if (!error && p->cookies > 1)
        error = join_cookies(m);
    if (!error)
        error = h->options.role == H2_SERVER ? settle_request(h, p, end) : settle_response(p, end);
    return error;
}

/* What a client can be told in an answer, instead of a reset. */
static bool is_answerable(const struct h2 *h, int error)
{
    return h->options.role == H2_SERVER &&
           (error == -E_HEAD_TOO_LARGE || error == -E_URI_TOO_LONG || error == -E_EXPECTATION || error == -E_MEMORY);
}

void h2_fields_end(struct h2 *h, bool end)
{
    struct h2_parse *p = &h->parse;
    struct h2_stream *s = p->stream;
    struct h2_head *head;
    int error;

    if (!s)
        return;
    error = p->m ? settle(h, p, end) : p->error;
    if (p->m && keep_fields(h, p->m) && !error)
        error = -E_MEMORY;
    if (error && (p->trailers || !p->m || !is_answerable(h, error))) {
        bool ours = error == -E_MEMORY || error == -E_HEAD_TOO_LARGE;
        h2_stream_fail(s, ours ? H2_INTERNAL_ERROR : H2_PROTOCOL_ERROR, error);
    } else if (p->trailers) {
        s->trailers = p->m;
        h2_in_ended(s);
    } else {
        head = CONTAINER_OF(p->m, struct h2_head, m);
        head->error = error;
        *s->heads_end = head;
        s->heads_end = &head->next;
        if (error)
            s->in_left = UINT64_MAX; /* whatever may come: it is dropped */
        if (end)
            h2_in_ended(s);
        else
            h2_in_expect(s);
        h2_mark_ready(s);
    }
    h->parse = (struct h2_parse){ 0 };
}
