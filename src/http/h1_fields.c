/* h1_fields.c: the field section of a head, and what it says about connection and content (RFC 9112 5 to 7). */
#include "http/h1_private.h"

#include "base/check.h"

/* Longer content than this does not exist; sums of two such lengths still fit in 64 bits. */
#define LENGTH_MOST ((uint64_t)INT64_MAX)

bool h1_list_next(struct bytes *list, struct bytes *ret_element)
{
    while (list->size) {
        size_t comma = bytes_find(*list, ',');
        struct bytes element = bytes_trim(bytes_part(*list, 0, comma));

        *list = bytes_from(*list, comma + 1);
        if (element.size) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

int h1_field_line(struct bytes line, struct field *ret_field)
{
    const uint8_t *end = line.at + line.size, *colon = h1_token_end(line.at, end);
    struct field field;
    enum field_id like;

    /* Folded lines begin with white space, and so have no name: RFC 9112 5.2 lets a server refuse them. */
    if (colon == line.at || colon == end || *colon != ':')
        return -E_SYNTAX;
    field.name = bytes_of(line.at, (size_t)(colon - line.at));
    field.value = bytes_trim(bytes_of(colon + 1, (size_t)(end - colon - 1)));
    field.id = (uint8_t)field_lookup(field.name, &like);
    field.like = (uint8_t)like;
    *ret_field = field;
    return 0;
}

int h1_version(struct bytes text, enum http_version *ret_version)
{
    const uint8_t *at = text.at;

    if (text.size != 8 || memcmp(at, "HTTP/", 5) != 0 || !(h1_class[at[5]] & H1_DIGIT) || at[6] != '.' ||
        !(h1_class[at[7]] & H1_DIGIT))
        return -E_SYNTAX;
    if (at[5] != '1')
        return -E_VERSION;
    *ret_version = at[7] == '0' ? HTTP_1_0 : HTTP_1_1;
    return 0;
}

/* Fields that mean something to everyone on the way, or to Unlade. A sender must not list them as fields of one hop
 * (RFC 9110 7.6.1), and who does so tries to make them vanish in front of the one that decides by them. */
static bool is_end_to_end(enum field_id like, struct bytes name)
{
    const uint64_t ids = FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_CONTENT_LENGTH) | FIELD_BIT(FIELD_CONTENT_TYPE) |
                         FIELD_BIT(FIELD_COOKIE) | FIELD_BIT(FIELD_EXPECT) | FIELD_BIT(FIELD_FORWARDED) |
                         FIELD_BIT(FIELD_X_FORWARDED_FOR) | FIELD_BIT(FIELD_X_FORWARDED_HOST) |
                         FIELD_BIT(FIELD_X_FORWARDED_PORT) | FIELD_BIT(FIELD_X_FORWARDED_PROTO) |
                         FIELD_BIT(FIELD_X_REAL_IP) | FIELD_BIT(FIELD_X_REQUEST_ID);

    return (ids >> like & 1) || field_names_alike(name, BYTES_LITERAL("authorization")) ||
           field_names_alike(name, BYTES_LITERAL("cache-control"));
}

static int connection_option(struct h1_framing *f, struct bytes option)
{
    enum field_id like, id;

    if (!h1_is_token(option))
        return -E_SYNTAX;
    if (bytes_equal_nocase(option, BYTES_LITERAL("close"))) {
        f->close = true;
        return 0;
    }
    id = field_lookup(option, &like);
    if (id == FIELD_KEEP_ALIVE)
        f->keep_alive = true;
    else if (id == FIELD_UPGRADE)
        f->upgrade = true;
    else if (is_end_to_end(like, option))
        return -E_AMBIGUOUS;
    else if (!field_is_framing(id)) { /* those of framing do not stay in any case */
        if (f->named == H1_NAMED_MOST)
            return -E_HEAD_TOO_LARGE;
        f->name[f->named++] = option;
    }
    return 0;
}

static int connection(struct h1_framing *f, struct bytes value)
{
    struct bytes option;
    int result = 0;

    while (result == 0 && h1_list_next(&value, &option))
        result = connection_option(f, option);
    return result;
}

static int content_length(struct h1_framing *f, struct bytes value)
{
    /* One list of numbers, or several fields, even of equal numbers: refused as RFC 9110 8.6 allows, since not everyone
     * on the way needs to see the same one first. */
    if (f->lengths++ > 0 || bytes_find(value, ',') < value.size)
        return -E_AMBIGUOUS;
    return bytes_to_number(value, LENGTH_MOST, &f->length);
}

/* A field of framing. Returns 0 or an error. */
static int framing_field(struct h1_framing *f, const struct field *field)
{
    struct bytes list = field->value, element;

    switch ((enum field_id)field->id) {
    case FIELD_HOST:
        f->hosts++;
        f->host = field->value;
        return 0;
    case FIELD_CONTENT_LENGTH:
        return content_length(f, field->value);
    case FIELD_TRANSFER_ENCODING:
        f->codings++;
        f->coding = field->value;
        return 0;
    case FIELD_CONNECTION:
        return connection(f, field->value);
    case FIELD_TE:
        while (h1_list_next(&list, &element))
            if (bytes_equal_nocase(element, BYTES_LITERAL("trailers")))
                f->te_trailers = true;
        return 0;
    case FIELD_UPGRADE:
        if (f->upgrades++ == 0)
            f->upgrade_to = field->value;
        return 0;
    default: /* Keep-Alive, Proxy-Connection, HTTP2-Settings: nobody needs them */
        return 0;
    }
}

int h1_fields(const uint8_t *at, const uint8_t *end, const struct h1_limits *limits, struct message *m,
              struct h1_framing *f)
{
    struct field field;
    struct bytes line;

    for (uint32_t count = 0;; count++) {
        int result = h1_line(&at, end, &line);

        if (result < 0)
            return result;
        if (line.size == 0)
            break;
        if (count == limits->fields)
            return -E_HEAD_TOO_LARGE;
        result = h1_field_line(line, &field);
        if (result < 0)
            return result;
        /* A backend that maps both names to one variable would see a second length or coding: never let it. */
        if (field_is_framing(field.like) && field.like != field.id)
            return -E_AMBIGUOUS;
        if (field_is_framing(field.id))
            result = framing_field(f, &field);
        else
            result = message_push(m, &field);
        if (result < 0)
            return result;
    }
    if (at != end)
        return -E_SYNTAX;
    for (uint32_t i = 0; i < f->named; i++)
        message_remove_named(m, f->name[i]);
    return 0;
}

int h1_is_chunked(const struct h1_framing *f, enum http_version version)
{
    struct bytes list = f->coding, element;
    unsigned others = 0, chunked = 0;

    if (f->codings == 0)
        return 0;
    /* RFC 9112 6.1: with a length beside it, or in HTTP/1.0, somebody else may read the message differently. */
    if (f->codings > 1 || f->lengths > 0 || version == HTTP_1_0)
        return -E_AMBIGUOUS;
    if (bytes_equal_nocase(f->coding, BYTES_LITERAL("chunked")))
        return 1;
    /* "gzip, chunked" is well-formed and only not implemented; where chunked is missing, repeated, not the last or
     * decorated, the length cannot be known (RFC 9112 6.3). */
    while (h1_list_next(&list, &element)) {
        if (chunked)
            return -E_AMBIGUOUS;
        if (bytes_equal_nocase(element, BYTES_LITERAL("chunked")))
            chunked++;
        else if (h1_is_token(bytes_trim(bytes_part(element, 0, bytes_find(element, ';')))))
            others++;
        else
            return -E_AMBIGUOUS;
    }
    return chunked && others ? -E_CODING : -E_AMBIGUOUS;
}

/* h2c, TLS and other versions of HTTP would end what Unlade can see of the connection (RFC 9113 3.1, RFC 2817). */
static bool is_followed(struct bytes protocol)
{
    struct bytes name = bytes_part(protocol, 0, bytes_find(protocol, '/'));

    return !bytes_equal_nocase(name, BYTES_LITERAL("h2c")) && !bytes_equal_nocase(name, BYTES_LITERAL("h2")) &&
           !bytes_equal_nocase(name, BYTES_LITERAL("HTTP")) && !bytes_equal_nocase(name, BYTES_LITERAL("TLS"));
}

int h1_upgrade(const struct h1_framing *f, struct message *m)
{
    struct bytes list = f->upgrade_to, protocol;
    uint8_t *text;
    size_t size = 0;

    if (!f->upgrade || f->upgrades != 1 || m->version == HTTP_1_0)
        return 0;
    text = arena_alloc(m->arena, 2 * list.size);
    if (!text)
        return -E_MEMORY;
    while (h1_list_next(&list, &protocol)) {
        if (!is_followed(protocol))
            continue;
        if (size) {
            text[size++] = ',';
            text[size++] = ' ';
        }
        memcpy(text + size, protocol.at, protocol.size);
        size += protocol.size;
    }
    m->upgrade = bytes_of(text, size);
    return 0;
}
