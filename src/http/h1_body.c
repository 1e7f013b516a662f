/* h1_body.c: where content begins and ends; the chunked coding (RFC 9112 6 and 7.1). */
#include "http/h1_private.h"

#include "base/check.h"

/* The chunked coding, byte by byte:
 *
 *     FIRST_DIGIT -> DIGITS [-> EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> FIRST_DIGIT ...
 *                                                \-- size 0 --> TRAILERS -> DONE
 *
 * No white space anywhere, no line end but CRLF: a size that one reads and another does not is how requests are
 * smuggled. Extensions are passed over. */
enum chunk_state { FIRST_DIGIT, DIGITS, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, DONE };

enum {
    DIGITS_MOST = 16,     /* of a size, leading zeros included */
    OVERHEAD_MOST = 8192, /* bytes of extensions that content has not made up for */
};

void h1_body_start(struct h1_body *b, const struct message *m, const struct h1_limits *limits,
                   struct message *trailers_to)
{
    *b = (struct h1_body){ .kind = m->body, .trailers_to = trailers_to, .limits = *limits };
    if (m->body == BODY_LENGTH)
        b->left = m->length;
}

static int digit_value(uint8_t c)
{
    if (!(h1_class[c] & H1_HEX))
        return -1;
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* One byte of a chunk's size. Returns 0 or -E_SYNTAX. */
static int size_byte(struct h1_body *b, uint8_t c)
{
    int value = digit_value(c);

    if (value >= 0) {
        if (b->count++ == DIGITS_MOST || b->left >> 59)
            return -E_SYNTAX; /* beyond 63 bits */
        b->left = b->left << 4 | (unsigned)value;
        b->state = DIGITS;
        return 0;
    }
    if (b->state == FIRST_DIGIT || (c != '\r' && c != ';'))
        return -E_SYNTAX;
    b->state = c == ';' ? EXTENSION : SIZE_LF;
    return 0;
}

/* One byte of framing, not of trailers. Returns 0 or -E_SYNTAX. */
static int framing_byte(struct h1_body *b, uint8_t c)
{
    switch ((enum chunk_state)b->state) {
    case FIRST_DIGIT:
    case DIGITS:
        return size_byte(b, c);
    case EXTENSION:
        if (c == '\r')
            b->state = SIZE_LF;
        else if (!(h1_class[c] & H1_TEXT) || ++b->overhead > OVERHEAD_MOST)
            return -E_SYNTAX;
        return 0;
    case SIZE_LF:
        b->state = b->left ? DATA : TRAILERS;
        b->count = 0;
        if (!b->left)
            b->overhead = 0; /* from here on it counts the bytes of trailers */
        return c == '\n' ? 0 : -E_SYNTAX;
    case DATA_CR:
        b->state = DATA_LF;
        return c == '\r' ? 0 : -E_SYNTAX;
    case DATA_LF:
        b->state = FIRST_DIGIT;
        return c == '\n' ? 0 : -E_SYNTAX;
    default:
        CHECK(!"a state of framing bytes");
    }
    return 0;
}

bool h1_is_dropped_from_trailers(const struct field *field)
{
    /* clang-format off */
    static const struct bytes names[] = {
        { (const uint8_t *)"authorization", 13 }, { (const uint8_t *)"cache-control", 13 },
        { (const uint8_t *)"content-encoding", 16 }, { (const uint8_t *)"content-range", 13 },
        { (const uint8_t *)"location", 8 }, { (const uint8_t *)"proxy-authorization", 19 },
        { (const uint8_t *)"set-cookie", 10 },
    };
    /* clang-format on */
    const uint64_t ids =
        FIELD_BIT(FIELD_CONTENT_TYPE) | FIELD_BIT(FIELD_COOKIE) | FIELD_BIT(FIELD_EXPECT) | FIELD_BIT(FIELD_FORWARDED) |
        FIELD_BIT(FIELD_STRICT_TRANSPORT_SECURITY) | FIELD_BIT(FIELD_TRAILER) | FIELD_BIT(FIELD_X_FORWARDED_FOR) |
        FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_X_FORWARDED_PORT) | FIELD_BIT(FIELD_X_FORWARDED_PROTO) |
        FIELD_BIT(FIELD_X_REAL_IP) | FIELD_BIT(FIELD_X_REQUEST_ID);

    if (field->like != FIELD_OTHER)
        return (ids >> field->like & 1) != 0;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (field_names_alike(field->name, names[i]))
            return true;
    return false;
}

static int take_trailer(struct h1_body *b, struct bytes line)
{
    struct field field;
    struct bytes copy;

    if (b->count == UINT16_MAX || b->count == b->limits.fields)
        return -E_HEAD_TOO_LARGE;
    b->count++;
    if (h1_field_line(line, &field) < 0 || field_is_framing(field.like))
        return -E_SYNTAX;
    if (!b->trailers_to || h1_is_dropped_from_trailers(&field))
        return 0;
    copy = arena_copy(b->trailers_to->arena, line);
    if (!copy.at)
        return -E_MEMORY;
    if (h1_field_line(copy, &field) < 0)
        return -E_INTERNAL;
    return message_push(b->trailers_to, &field);
}

/* Whole lines, so that a field is looked at in place. `left` counts the bytes of an unfinished line that were seen to
 * hold no end. Returns H1_END, -E_AGAIN or an error. */
static int take_trailers(struct h1_body *b, struct bytes in, size_t *skip)
{
    while (true) {
        struct bytes rest = bytes_from(in, *skip);
        uint32_t room = b->limits.head - b->overhead;
        uint32_t size = rest.size < room ? (uint32_t)rest.size : room;
        uint32_t at;

        CHECK(b->left <= size); /* nothing was taken away in front of what was seen before */
        at = (uint32_t)(h1_text_end(rest.at + b->left, rest.at + size) - rest.at);
        b->left = at;
        if (at < size && rest.at[at] != '\r')
            return -E_SYNTAX;
        if (at == size || at + 1 == size)
            return size == room ? -E_HEAD_TOO_LARGE : -E_AGAIN;
        if (rest.at[at + 1] != '\n')
            return -E_SYNTAX;
        if (at > 0) {
            int result = take_trailer(b, bytes_part(rest, 0, at));
            if (result < 0)
                return result;
        }
        b->left = 0;
        b->overhead += at + 2;
        *skip += at + 2;
        if (at == 0) {
            b->state = DONE;
            return H1_END;
        }
    }
}

static int look_chunked(struct h1_body *b, struct bytes in, size_t *ret_skip, struct bytes *ret_data)
{
    size_t at = 0;
    int result = 0;

    while (at < in.size && b->state != DATA && b->state < TRAILERS && result == 0)
        result = framing_byte(b, in.at[at++]);
    *ret_skip = at;
    if (result < 0)
        return result;
    if (b->state == TRAILERS)
        return take_trailers(b, in, ret_skip);
    if (b->state == DONE)
        return H1_END;
    if (at == in.size)
        return -E_AGAIN;
    *ret_data = bytes_part(in, at, b->left < SIZE_MAX ? (size_t)b->left : SIZE_MAX);
    return H1_DATA;
}

int h1_body_look(struct h1_body *b, struct bytes in, size_t *ret_skip, struct bytes *ret_data)
{
    *ret_skip = 0;
    *ret_data = BYTES_NONE;
    switch (b->kind) {
    case BODY_STREAMED:
        return look_chunked(b, in, ret_skip, ret_data);
    case BODY_LENGTH:
        if (b->left == 0)
            return H1_END;
        *ret_data = bytes_part(in, 0, b->left < SIZE_MAX ? (size_t)b->left : SIZE_MAX);
        return in.size ? H1_DATA : -E_AGAIN;
    case BODY_TO_CLOSE:
    case BODY_TUNNEL:
        *ret_data = in;
        return in.size ? H1_DATA : -E_AGAIN;
    case BODY_NONE:
        break;
    }
    return H1_END;
}

void h1_body_took(struct h1_body *b, size_t n)
{
    if (b->kind == BODY_TO_CLOSE || b->kind == BODY_TUNNEL)
        return;
    CHECK(n <= b->left && (b->kind == BODY_LENGTH || b->state == DATA || n == 0));
    b->left -= n;
    if (b->kind == BODY_LENGTH || n == 0)
        return;
    b->overhead = n < b->overhead ? b->overhead - (uint32_t)n : 0;
    if (b->left == 0)
        b->state = DATA_CR;
}
