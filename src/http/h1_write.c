/* h1_write.c: messages and chunk framing to bytes (RFC 9112). */
#include "http/h1_private.h"

#include "base/check.h"

/* Where the next byte goes. What does not fit sets `full`, and nothing more is written. */
struct out {
    uint8_t *at, *end;
    bool full;
};

static inline bool has_room(struct out *o, size_t size)
{
    if (size <= (size_t)(o->end - o->at))
        return true;
    o->full = true;
    o->end = o->at;
    return false;
}

static inline void put(struct out *o, const void *text, size_t size)
{
    if (!has_room(o, size))
        return;
    memcpy(o->at, text, size);
    o->at += size;
}

#define PUT(o, literal) put(o, literal, sizeof(literal) - 1)

static inline void put_bytes(struct out *o, struct bytes b)
{
    if (b.size)
        put(o, b.at, b.size);
}

static void put_number(struct out *o, uint64_t number)
{
    char digits[NUMBER_DIGITS];

    put_bytes(o, bytes_of_number(number, digits));
}

/* "HTTP/1.1 200 " */
static void put_status(struct out *o, int status)
{
    char line[] = "HTTP/1.1 xxx ", *digits = line + sizeof("HTTP/1.1 ") - 1;

    digits[0] = (char)('0' + status / 100);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    put(o, line, sizeof(line) - 1);
}

static void put_fields(struct out *o, const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->at[i];

        if (!has_room(o, field->name.size + field->value.size + 4))
            return;
        memcpy(o->at, field->name.at, field->name.size);
        o->at += field->name.size;
        *o->at++ = ':';
        *o->at++ = ' ';
        if (field->value.size)
            memcpy(o->at, field->value.at, field->value.size);
        o->at += field->value.size;
        *o->at++ = '\r';
        *o->at++ = '\n';
    }
}

static void put_length(struct out *o, uint64_t length)
{
    PUT(o, "Content-Length: ");
    put_number(o, length);
    PUT(o, "\r\n");
}

/* Connection with its options, and the fields that it announces (RFC 9110 7.6.1). */
static void put_connection(struct out *o, const struct message *m, bool close, bool keep_alive, bool te)
{
    const char *comma = "";

    if (!close && !keep_alive && !te && !m->upgrade.size)
        return;
    PUT(o, "Connection: ");
    if (close || keep_alive) {
        if (close)
            PUT(o, "close");
        else
            PUT(o, "keep-alive");
        comma = ", ";
    }
    if (m->upgrade.size) {
        put(o, comma, strlen(comma));
        PUT(o, "upgrade");
        comma = ", ";
    }
    if (te) {
        put(o, comma, strlen(comma));
        PUT(o, "TE");
    }
    PUT(o, "\r\n");
    if (m->upgrade.size) {
        PUT(o, "Upgrade: ");
        put_bytes(o, m->upgrade);
        PUT(o, "\r\n");
    }
    if (te)
        PUT(o, "TE: trailers\r\n");
}

static int finish(const struct out *o, const uint8_t *start)
{
    return o->full || o->at - start > INT32_MAX ? -E_LIMIT : (int)(o->at - start);
}

int h1_write_request(const struct message *m, uint8_t *out, size_t room)
{
    struct out o = { out, out + room, false };

    CHECK(m->body != BODY_TO_CLOSE && m->body != BODY_TUNNEL);
    put_bytes(&o, m->method_name);
    PUT(&o, " ");
    put_bytes(&o, m->method == METHOD_CONNECT ? m->authority : m->path);
    PUT(&o, " HTTP/1.1\r\nHost: ");
    put_bytes(&o, m->authority);
    PUT(&o, "\r\n");
    put_fields(&o, &m->fields);
    put_connection(&o, m, !m->persistent, false, m->te_trailers);
    if (m->body == BODY_LENGTH)
        put_length(&o, m->length);
    else if (m->body == BODY_STREAMED)
        PUT(&o, "Transfer-Encoding: chunked\r\n");
    PUT(&o, "\r\n");
    return finish(&o, out);
}

int h1_write_response(const struct message *m, enum http_version to, uint8_t *out, size_t room)
{
    bool interim = m->status < 200, close = !m->persistent || m->body == BODY_TO_CLOSE;
    struct out o = { out, out + room, false };

    CHECK(m->status >= 100 && m->status <= 999);
    CHECK(m->body != BODY_STREAMED || to != HTTP_1_0);
    put_status(&o, m->status);
    put_bytes(&o, m->reason);
    PUT(&o, "\r\n");
    put_fields(&o, &m->fields);
    put_connection(&o, m, close && !interim, !close && !interim && to == HTTP_1_0, false);
    if (interim || m->status == 204)
        ; /* RFC 9110 8.6 and RFC 9112 6.1: neither length nor coding */
    else if (m->body == BODY_LENGTH || (m->body == BODY_NONE && m->has_length))
        put_length(&o, m->length);
    else if (m->body == BODY_STREAMED)
        PUT(&o, "Transfer-Encoding: chunked\r\n");
    PUT(&o, "\r\n");
    return finish(&o, out);
}

int h1_write_chunk_head(uint64_t size, uint8_t out[H1_CHUNK_HEAD])
{
    static const char digits[] = "0123456789abcdef";
    int count = (67 - __builtin_clzll(size | 1)) / 4;

    CHECK(size != 0);
    for (int i = count; i-- > 0; size >>= 4)
        out[i] = (uint8_t)digits[size & 15];
    out[count] = '\r';
    out[count + 1] = '\n';
    return count + 2;
}

int h1_write_last_chunk(const struct fields *trailers, uint8_t *out, size_t room)
{
    struct out o = { out, out + room, false };

    PUT(&o, "0\r\n");
    if (trailers)
        put_fields(&o, trailers);
    PUT(&o, "\r\n");
    return finish(&o, out);
}
