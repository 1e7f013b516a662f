/* h1.h: HTTP/1.0 and 1.1 messages from bytes and to bytes (RFC 9112). Pure: bytes in, bytes out.
 *
 *     bytes --h1_head_scan()--> a whole head --h1_parse_request/response()--> struct message
 *     bytes --h1_body_look()/h1_body_took()--> content in place --> end, trailers
 *     struct message --h1_write_request/response()--> bytes; h1_write_chunk_head() around content
 *
 * Strict: what could be read in two ways is refused, and a refused message leaves its connection unusable. That is:
 *   lines      any line end but CRLF, control bytes but tab, folded lines, white space before a colon or in a name
 *   the line   anything but single spaces; other versions than HTTP/1.x (a higher minor version counts as 1.1)
 *   target     a form that does not belong to its method; other schemes than http and https; userinfo, fragments, bytes
 *              that neither RFC 3986 allows nor browsers send; in a path a '%' without two digits, and '\'
 *   Host       none (but in HTTP/1.0), several, an empty or an odd one, also where an absolute target overrides it
 *   length     more than one, lists, signs, more than 63 bits; together with Transfer-Encoding
 *   codings    all but a single "chunked"; any in HTTP/1.0; any, or a length but 0, in a 1xx or 204 response
 *   look-alikes of a field of framing, such as Content_Length, which some backends take for it
 *   Connection what is no token, and as an option any field that is meant for everyone: Host, Content-Length,
 *              Content-Type, Cookie, Expect, Authorization, Cache-Control, X-Forwarded-* and their kin. Other fields
 *              that it lists are removed.
 *   Upgrade    is kept where Connection lists it, without h2c, HTTP and TLS; a 101 without it is refused
 *   chunks     white space around sizes, more than 16 digits or 63 bits, extensions out of proportion to the content
 *   trailers   fields of framing are refused; silently dropped are those that a receiver must know before the content
 *              or must not believe (RFC 9110 6.5.1): Authorization, Cookie, Set-Cookie, Cache-Control, Content-Type,
 *              -Encoding and -Range, Expect, Location, Strict-Transport-Security, X-Forwarded-* and their kin
 *
 * Expect: 100-continue stays among the fields, beside the member that tells of it; it is dropped
 * from HTTP/1.0, and where there is no content to wait for. */
#ifndef HTTP_H1_H
#define HTTP_H1_H

#include "base/buffer.h"
#include "http/message.h"

struct h1_limits {
    uint32_t request_line; /* bytes of the first line without CRLF; more is -E_URI_TOO_LONG */
    uint32_t head;         /* bytes of the whole head, first line and final CRLF included; more is -E_HEAD_TOO_LARGE */
    uint32_t fields;       /* how many; more is -E_HEAD_TOO_LARGE */
};

/* Finds the end of a head across calls, each byte looked at once. Zero-initialise for each message. */
struct h1_scan {
    uint32_t scanned; /* bytes of `in` known to hold no end */
    uint32_t line_start, lines;
};

/* in: all bytes from the head's first on, so `in` of the next call starts with the same bytes and may be longer.
 * is_request: an empty line in front is skipped (RFC 9112 2.2), at most one.
 * Returns the head's size in bytes with its final empty line (> 0), -E_AGAIN, or -E_SYNTAX (a bare CR or LF, NUL or
 * another control byte), -E_URI_TOO_LONG, -E_HEAD_TOO_LARGE: as early as it is certain. */
int h1_head_scan(struct h1_scan *scan, struct bytes in, bool is_request, const struct h1_limits *limits) MUST_USE;

/* head: exactly what h1_head_scan measured. It is copied into m->arena first; m was prepared with message_init.
 * Returns 0 or -E_SYNTAX, -E_AMBIGUOUS, -E_HOST, -E_VERSION, -E_CODING, -E_EXPECTATION, -E_HEAD_TOO_LARGE, -E_MEMORY.
 * On an error m->method_name, path and authority hold what could be read, for the log. */
int h1_parse_request(struct bytes head, const struct h1_limits *limits, struct message *m) MUST_USE;
/* request_method: of the request that this answers. Errors are -E_BAD_RESPONSE, -E_HEAD_TOO_LARGE or -E_MEMORY. */
int h1_parse_response(struct bytes head, const struct h1_limits *limits, enum http_method request_method,
                      struct message *m) MUST_USE;

/* The content of one message, read in place. */
struct h1_body {
    enum http_body kind;
    uint8_t state;         /* of the chunked coding; private */
    uint16_t count;        /* digits of this chunk's size, or trailer fields; private */
    uint32_t overhead;     /* bytes of chunk extensions that content has not made up for: bounded, so that 1-byte
                              chunks with long extensions cannot be used to make work; then of trailers; private */
    uint64_t left;         /* of the length, or of this chunk; then of a trailer line, what was seen; private */
    struct message *trailers_to; /* trailers are appended to these fields (NULL: validated and dropped) */
    struct h1_limits limits;
};

enum h1_look { H1_DATA = 1, H1_END = 2 };

/* trailers_to: a message prepared with message_init that takes the trailer fields, or NULL. */
void h1_body_start(struct h1_body *b, const struct message *m, const struct h1_limits *limits,
                   struct message *trailers_to);
/* in: what the connection's buffer holds. Consume ret_skip bytes of framing from it in every case; ret_data is the
 * content that then comes first (H1_DATA; part of `in`), of which h1_body_took() tells how much was used and consumed.
 * Returns H1_DATA, H1_END (the message is complete; what follows belongs to the next), -E_AGAIN (needs more bytes), or
 * -E_SYNTAX, -E_HEAD_TOO_LARGE (trailers), -E_MEMORY. For BODY_TO_CLOSE and BODY_TUNNEL the end is the connection's, not
 * seen here. */
int h1_body_look(struct h1_body *b, struct bytes in, size_t *ret_skip, struct bytes *ret_data) MUST_USE;
void h1_body_took(struct h1_body *b, size_t n);

/* Writes a head from the message, at most `room` bytes. Host comes first, framing last: Content-Length, or
 * Transfer-Encoding for BODY_STREAMED; "Connection: close" when !persistent ("keep-alive" towards HTTP/1.0 clients
 * that asked for it); Upgrade with its Connection where m->upgrade is set; TE: trailers where te_trailers.
 * Returns the bytes written or -E_LIMIT when they do not fit. */
int h1_write_request(const struct message *m, uint8_t *out, size_t room) MUST_USE;
/* to: the version of the client; the caller made a BODY_STREAMED response to HTTP/1.0 a BODY_TO_CLOSE one. A response
 * with empty content has BODY_LENGTH and length 0; BODY_NONE says that there cannot be any (HEAD, 1xx, 204, 304). */
int h1_write_response(const struct message *m, enum http_version to, uint8_t *out, size_t room) MUST_USE;

enum { H1_CHUNK_HEAD = 18 }; /* bytes at most: 16 hex digits and CRLF */
/* Returns the bytes written: "1f40\r\n". size must not be 0. */
int h1_write_chunk_head(uint64_t size, uint8_t out[H1_CHUNK_HEAD]);
/* The last chunk with trailers (may be NULL): "0\r\n...\r\n". Returns bytes or -E_LIMIT. */
int h1_write_last_chunk(const struct fields *trailers, uint8_t *out, size_t room) MUST_USE;

#endif
