/* h1_response.c: a response's head into a message (RFC 9112 4, 6.3 and 9.3). */
#include "http/h1_private.h"

/* HTTP-version SP status-code [ SP reason-phrase ]. The space in front of an empty reason is missing often. */
static int parse_status_line(struct bytes line, struct message *m)
{
    const uint8_t *at = line.at + 8;
    int status = 0;

    if (line.size < 12 || h1_version(bytes_part(line, 0, 8), &m->version) < 0 || *at++ != ' ')
        return -E_SYNTAX;
    for (int i = 0; i < 3; i++, at++) {
        if (!(h1_class[*at] & H1_DIGIT))
            return -E_SYNTAX;
        status = status * 10 + *at - '0';
    }
    if (status < 100 || status > 599 || (line.size > 12 && *at != ' '))
        return -E_SYNTAX;
    m->status = status;
    m->reason = bytes_from(line, 13);
    return 0;
}

static int settle_content(const struct h1_framing *f, enum http_method request_method, struct message *m)
{
    int chunked = h1_is_chunked(f, m->version);
    bool never = m->status < 200 || m->status == 204;

    if (chunked < 0)
        return chunked;
    /* RFC 9110 8.6, RFC 9112 6.1: neither may be there. A length of 0 is common and does no harm; with any other, the
     * server may have sent content that would be taken for its next response. */
    if (never && (chunked || f->length > 0))
        return -E_AMBIGUOUS;
    m->has_length = f->lengths > 0 && !never;
    m->length = m->has_length ? f->length : 0;
    if (!response_has_body(request_method, m->status))
        m->body = BODY_NONE;
    else if (chunked)
        m->body = BODY_STREAMED;
    else
        m->body = f->lengths ? BODY_LENGTH : BODY_TO_CLOSE;
    m->persistent =
        !f->close && (m->version != HTTP_1_0 || f->keep_alive) && m->body != BODY_TO_CLOSE && m->status != 101;
    return 0;
}

static int parse_response(struct bytes head, const struct h1_limits *limits, enum http_method request_method,
                          struct message *m)
{
    const uint8_t *at = head.at, *end = head.at + head.size;
    struct h1_framing f;
    struct bytes line;
    int result = h1_line(&at, end, &line);

    h1_framing_init(&f);
    if (result == 0)
        result = parse_status_line(line, m);
    if (result == 0)
        result = h1_fields(at, end, limits, m, &f);
    if (result == 0)
        result = settle_content(&f, request_method, m);
    if (result == 0)
        result = h1_upgrade(&f, m);
    /* RFC 9110 15.2.2: it must say what the connection speaks from now on; to what we would not follow it is none */
    if (result == 0 && m->status == 101 && m->upgrade.size == 0)
        return -E_SYNTAX;
    return result;
}

int h1_parse_response(struct bytes head, const struct h1_limits *limits, enum http_method request_method,
                      struct message *m)
{
    int result;

    if (head.size > limits->head)
        return -E_HEAD_TOO_LARGE;
    head = arena_copy(m->arena, head);
    if (!head.at)
        return -E_MEMORY;
    result = parse_response(head, limits, request_method, m);
    if (result == 0 || result == -E_HEAD_TOO_LARGE || result == -E_MEMORY)
        return result;
    return -E_BAD_RESPONSE;
}
