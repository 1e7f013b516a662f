/* h1_private.h: what the parts of the HTTP/1 codec share. */
#ifndef HTTP_H1_PRIVATE_H
#define HTTP_H1_PRIVATE_H

#include "http/h1.h"
#include "http/names.h"

/* Classes of bytes: h1_class[byte] & H1_... */
enum {
    H1_TOKEN = 1, /* RFC 9110 5.6.2 */
    H1_PATH = 2,  /* in the path of a target; '%' is not among them, since its two digits have to be checked */
    H1_QUERY = 4, /* in its query */
    H1_TEXT = 8,  /* in a field's value, a reason or a chunk extension: all but control bytes; tab is text */
    H1_HEX = 16,
    H1_LETTER = 32,
    H1_DIGIT = 64,
};
extern const uint8_t h1_class[256];

/* The first byte from at on that is not H1_TEXT, or end. */
const uint8_t *h1_text_end(const uint8_t *at, const uint8_t *end);
/* The first byte from at on that is not of the class, or end. */
static inline const uint8_t *h1_class_end(const uint8_t *at, const uint8_t *end, uint8_t class)
{
    while (at < end && (h1_class[*at] & class))
        at++;
    return at;
}
/* The same for H1_TOKEN. */
const uint8_t *h1_token_end(const uint8_t *at, const uint8_t *end);
/* Not empty, and all bytes of a token. */
static inline bool h1_is_token(struct bytes b)
{
    return b.size && h1_token_end(b.at, b.at + b.size) == b.at + b.size;
}
/* The next line of a head without its CRLF; at moves behind it. Returns 0 or -E_SYNTAX. */
static inline int h1_line(const uint8_t **at, const uint8_t *end, struct bytes *ret_line)
{
    const uint8_t *line_end = h1_text_end(*at, end);

    if (end - line_end < 2 || line_end[0] != '\r' || line_end[1] != '\n')
        return -E_SYNTAX;
    *ret_line = bytes_of(*at, (size_t)(line_end - *at));
    *at = line_end + 2;
    return 0;
}
/* The next element of a comma-separated list (RFC 9110 5.6.1), trimmed; empty ones are passed over. */
bool h1_list_next(struct bytes *list, struct bytes *ret_element);

/* name ":" OWS value OWS. Returns 0 or -E_SYNTAX. */
int h1_field_line(struct bytes line, struct field *ret_field) MUST_USE;
/* "HTTP/1.1": 0, -E_SYNTAX when it is none, -E_VERSION when it is not one of ours. 1.2 and up count as 1.1. */
int h1_version(struct bytes text, enum http_version *ret_version) MUST_USE;

/* Path and query of a target. Percent signs in a path must introduce two hexadecimal digits (RFC 3986 2.1). In a query a
 * lone one passes: browsers send what users type there, and nothing on the way decides by it. Returns 0 or -E_SYNTAX. */
int h1_check_path(struct bytes path) MUST_USE;
/* Sets m->expect_continue from its fields. Returns 0 or -E_EXPECTATION. */
int h1_settle_expect(struct message *m) MUST_USE;
/* Fields that decide before the content how a message is read, routed, authenticated or stored have no business behind
 * it (RFC 9110 6.5.1); a receiver that merges trailers into its header would be told something new. */
bool h1_is_dropped_from_trailers(const struct field *field);

enum { H1_NAMED_MOST = 16 }; /* unknown options of Connection */

/* What a head's fields say about its connection and its content. */
struct h1_framing {
    uint32_t hosts, lengths, codings; /* how many such fields there were */
    struct bytes host;
    uint64_t length;
    struct bytes coding;
    bool close, keep_alive, upgrade; /* options of Connection */
    struct bytes upgrade_to;         /* the first Upgrade field's value */
    uint32_t upgrades;
    bool te_trailers;
    uint32_t named;
    struct bytes name[H1_NAMED_MOST]; /* other options of Connection: fields of one hop */
};

/* Nothing was said yet. Names are there as far as they are counted. */
static inline void h1_framing_init(struct h1_framing *f)
{
    memset(f, 0, offsetof(struct h1_framing, name));
}

/* Reads fields up to the empty line that must be the last two bytes before end: those of framing into f, all others
 * into the message, without those that Connection lists. Returns 0 or -E_SYNTAX, -E_AMBIGUOUS, -E_HEAD_TOO_LARGE,
 * -E_MEMORY. */
int h1_fields(const uint8_t *at, const uint8_t *end, const struct h1_limits *limits, struct message *m,
              struct h1_framing *f) MUST_USE;
/* Whether the message's content is chunked. Returns 0 for no, 1 for yes, or -E_AMBIGUOUS, -E_CODING. */
int h1_is_chunked(const struct h1_framing *f, enum http_version version) MUST_USE;
/* Sets m->upgrade: what Connection covers, without protocols that Unlade could not follow. Returns 0 or -E_MEMORY. */
int h1_upgrade(const struct h1_framing *f, struct message *m) MUST_USE;

#endif
