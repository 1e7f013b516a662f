/* message.h: the one canonical HTTP message, whatever version it came in or leaves in (RFC 9110).
 *
 *     HTTP/1 codec --+                                +--> HTTP/1 codec
 *                    +--> struct message (--> rules) --+
 *     HTTP/2 codec --+                                +--> HTTP/2 codec
 *
 * A codec fills a message only with what it has validated; a codec that writes one serialises from it and never copies
 * raw bytes of the other side through. All views in a message point into its arena (or at literals), so that the
 * connection's buffer may be consumed at once and a request may be sent a second time.
 *
 * Framing is not a matter of fields: Content-Length and Transfer-Encoding, Connection and its kin, Keep-Alive, TE,
 * Upgrade, Proxy-Connection, HTTP2-Settings and Host are taken out of the fields by the codec that parses, into the
 * members below, and written again by the codec that serialises. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20, HTTP_3 = 30 };

enum http_method {
    METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_CONNECT, METHOD_OPTIONS,
    METHOD_TRACE, METHOD_PATCH,
};

/* Fields that Unlade itself looks at; all others are FIELD_OTHER. Known by their canonical lower-case names. */
#define FIELD_LIST(X) \
    X(ACCEPT, "accept", "Accept") X(CONNECTION, "connection", "Connection") \
    X(CONTENT_LENGTH, "content-length", "Content-Length") X(CONTENT_TYPE, "content-type", "Content-Type") \
    X(COOKIE, "cookie", "Cookie") X(DATE, "date", "Date") X(EXPECT, "expect", "Expect") \
    X(FORWARDED, "forwarded", "Forwarded") X(HOST, "host", "Host") \
    X(HTTP2_SETTINGS, "http2-settings", "HTTP2-Settings") X(KEEP_ALIVE, "keep-alive", "Keep-Alive") \
    X(PROXY_CONNECTION, "proxy-connection", "Proxy-Connection") X(REFERER, "referer", "Referer") \
    X(STRICT_TRANSPORT_SECURITY, "strict-transport-security", "Strict-Transport-Security") X(TE, "te", "TE") \
    X(TRAILER, "trailer", "Trailer") X(TRANSFER_ENCODING, "transfer-encoding", "Transfer-Encoding") \
    X(UPGRADE, "upgrade", "Upgrade") X(USER_AGENT, "user-agent", "User-Agent") X(VIA, "via", "Via") \
    X(X_FORWARDED_FOR, "x-forwarded-for", "X-Forwarded-For") \
    X(X_FORWARDED_HOST, "x-forwarded-host", "X-Forwarded-Host") \
    X(X_FORWARDED_PORT, "x-forwarded-port", "X-Forwarded-Port") \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", "X-Forwarded-Proto") X(X_REAL_IP, "x-real-ip", "X-Real-IP") \
    X(X_REQUEST_ID, "x-request-id", "X-Request-ID")

enum field_id {
    FIELD_OTHER,
#define X(id, name, written) FIELD_##id,
    FIELD_LIST(X)
#undef X
    FIELD_COUNT
};

#define FIELD_BIT(id) ((uint64_t)1 << (id))

struct field {
    struct bytes name;  /* as it came, a valid token (RFC 9110 5.6.2) */
    struct bytes value; /* without white space around it; no CR, LF, NUL */
    uint8_t id;         /* enum field_id */
    uint8_t like;       /* enum field_id of what a backend may take it for: the id, also of "x_real.ip" */
};

/* Fields in the order in which they came. Removal keeps the order. */
struct fields {
    struct field *at; /* in the arena; grows by doubling */
    uint32_t count, room;
};

enum http_body {
    BODY_NONE,      /* there is no content: not even an empty chunked one */
    BODY_LENGTH,    /* exactly `length` bytes */
    BODY_STREAMED,  /* of unknown length, its end is marked (chunked, or HTTP/2's END_STREAM) */
    BODY_TO_CLOSE,  /* HTTP/1 response that ends with its connection */
    BODY_TUNNEL,    /* response that opens a tunnel: from here on both directions are bytes of another protocol, each
                       until that side's end */
};

struct message {
    struct arena *arena; /* everything below points into it */
    enum http_version version;

    /* a request has */
    enum http_method method;
    struct bytes method_name;
    struct bytes scheme;    /* of an absolute-form target, lower case; else empty */
    struct bytes authority; /* the target's, else Host; a valid uri-host [":" port]; empty for HTTP/1.0 without */
    struct bytes path;      /* origin form with query ("/a?b"), or "*" for OPTIONS */
    bool expect_continue;   /* Expect: 100-continue */
    bool te_trailers;       /* TE: trailers */

    /* a response has */
    int status;             /* 100..599 */
    struct bytes reason;    /* HTTP/1's reason phrase; may be empty */

    struct fields fields;
    struct bytes upgrade;   /* Upgrade's value, only where Connection listed it; or :protocol of an extended CONNECT
                               (RFC 8441); else empty */
    enum http_body body;
    uint64_t length;        /* BODY_LENGTH; or what a response without content announces (HEAD, 304) */
    bool has_length;        /* length is meaningful */
    bool persistent;        /* HTTP/1: the connection may carry another message behind this one. Parsed, that is the
                               connection that it came on; who passes it on sets it for the other one */
};

/* An empty message whose views will live in the arena. */
void message_init(struct message *m, struct arena *arena);

enum http_method method_of(struct bytes name);
bool method_is_idempotent(enum http_method method); /* RFC 9110 9.2.2 */
bool method_is_safe(enum http_method method);
/* name: a valid token, in any case. */
enum field_id field_id_of(struct bytes name);
enum field_id field_id_like(struct bytes name);    /* that a backend may take it for: "content_length" */
struct bytes field_name_of(enum field_id id);      /* "x-request-id" */
struct bytes field_name_written(enum field_id id); /* "X-Request-ID", as HTTP/1 writes what we add ourselves */
/* Whether this is a token (RFC 9110 5.6.2), as names of fields and protocols are; and whether a text can be a field's
 * value: no control bytes but tab, no white space around it. */
bool field_name_is_valid(struct bytes name);
bool field_value_is_valid(struct bytes value);
/* Whether this is one of the fields that live in members of the message and never among its fields. */
bool field_is_framing(enum field_id id);

/* Appends; the views must outlive the message (its arena, or literals). Names and values were validated by whoever made
 * them. Returns 0, -E_MEMORY, or -E_INTERNAL for a field of framing: set the member for it instead. */
int message_add(struct message *m, struct bytes name, struct bytes value) MUST_USE;
int message_add_known(struct message *m, enum field_id id, struct bytes value) MUST_USE;
/* Appends fields that were made by message_add() to another message, whose memory outlives this one. 0 or -E_MEMORY. */
int message_append(struct message *m, const struct fields *fields) MUST_USE;
/* The first one's value, or NULL. */
const struct bytes *message_field(const struct message *m, enum field_id id);
const struct bytes *message_field_named(const struct message *m, struct bytes name);
/* Removes all of them. '-', '_' and all else in names that is neither letter nor digit count as equal, since backends
 * map them to the same variable. */
void message_remove(struct message *m, enum field_id id);
/* The same for several at once: a sum of FIELD_BIT(id). */
void message_remove_set(struct message *m, uint64_t ids);
void message_remove_named(struct message *m, struct bytes name);
/* Whether the two count as equal there. */
bool field_names_alike(struct bytes a, struct bytes b);

/* Whether a response to such a request has content at all (RFC 9112 6.3: not HEAD, 1xx, 204, 304; nor a
 * 2xx to CONNECT, behind which a tunnel starts). */
bool response_has_body(enum http_method request_method, int status);
/* "Not Found"; "" for unknown numbers. */
const char *status_reason(int status);

#endif
