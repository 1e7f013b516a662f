/* names.c: the names that HTTP fixes, and quick ways from them to numbers and back. */
#include "http/names.h"

#include "base/check.h"

/* Every known name has a slot of its own, found from its size and two of its letters. The compiler complains about two
 * in one slot, and a test looks every name up: a new name may need other factors. */
enum { SLOTS = 64 };
#define SLOT(size, first, last_but_one) (((unsigned)(size) + (first)*5u + (last_but_one)*30u) % SLOTS)

static const uint8_t slots[SLOTS] = {
    [SLOT(6, 'a', 'p')] = FIELD_ACCEPT,
    [SLOT(10, 'c', 'o')] = FIELD_CONNECTION,
    [SLOT(14, 'c', 't')] = FIELD_CONTENT_LENGTH,
    [SLOT(12, 'c', 'p')] = FIELD_CONTENT_TYPE,
    [SLOT(6, 'c', 'i')] = FIELD_COOKIE,
    [SLOT(4, 'd', 't')] = FIELD_DATE,
    [SLOT(6, 'e', 'c')] = FIELD_EXPECT,
    [SLOT(9, 'f', 'e')] = FIELD_FORWARDED,
    [SLOT(4, 'h', 's')] = FIELD_HOST,
    [SLOT(14, 'h', 'g')] = FIELD_HTTP2_SETTINGS,
    [SLOT(10, 'k', 'v')] = FIELD_KEEP_ALIVE,
    [SLOT(16, 'p', 'o')] = FIELD_PROXY_CONNECTION,
    [SLOT(7, 'r', 'e')] = FIELD_REFERER,
    [SLOT(25, 's', 't')] = FIELD_STRICT_TRANSPORT_SECURITY,
    [SLOT(2, 't', 't')] = FIELD_TE,
    [SLOT(7, 't', 'e')] = FIELD_TRAILER,
    [SLOT(17, 't', 'n')] = FIELD_TRANSFER_ENCODING,
    [SLOT(7, 'u', 'd')] = FIELD_UPGRADE,
    [SLOT(10, 'u', 'n')] = FIELD_USER_AGENT,
    [SLOT(3, 'v', 'i')] = FIELD_VIA,
    [SLOT(15, 'x', 'o')] = FIELD_X_FORWARDED_FOR,
    [SLOT(16, 'x', 's')] = FIELD_X_FORWARDED_HOST,
    [SLOT(16, 'x', 'r')] = FIELD_X_FORWARDED_PORT,
    [SLOT(17, 'x', 't')] = FIELD_X_FORWARDED_PROTO,
    [SLOT(9, 'x', 'i')] = FIELD_X_REAL_IP,
    [SLOT(12, 'x', 'i')] = FIELD_X_REQUEST_ID,
};

enum { NAME_ROOM = 32, NAME_MOST = 25 };

static const struct {
    uint8_t size;
    char text[NAME_ROOM];
} known_fields[FIELD_COUNT] = {
#define X(id, name, written) [FIELD_##id] = { sizeof(name) - 1, name },
    FIELD_LIST(X)
#undef X
};

static uint64_t word_at(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/* Of tokens: setting the bit that tells upper from lower case makes no other two bytes of a token equal to a letter,
 * digit or '-' of a known name. */
static bool equals_known(const uint8_t *name, const char *known, size_t size)
{
    const uint64_t lower = 0x2020202020202020u;

    if (size < 8) {
        for (size_t i = 0; i < size; i++)
            if ((name[i] | 0x20) != known[i])
                return false;
        return true;
    }
    for (size_t i = 0; i + 8 < size; i += 8)
        if ((word_at(name + i) | lower) != word_at(known + i))
            return false;
    return (word_at(name + size - 8) | lower) == word_at(known + size - 8);
}

enum field_id field_lookup(struct bytes name, enum field_id *ret_like)
{
    enum field_id id;

    *ret_like = FIELD_OTHER;
    if (name.size < 2 || name.size > NAME_MOST)
        return FIELD_OTHER;
    id = slots[SLOT((unsigned)name.size, name.at[0] | 0x20u, name.at[name.size - 2] | 0x20u)];
    if (id == FIELD_OTHER || known_fields[id].size != name.size)
        return FIELD_OTHER;
    if (equals_known(name.at, known_fields[id].text, name.size)) {
        *ret_like = id;
        return id;
    }
    if (field_names_alike(name, field_name_of(id)))
        *ret_like = id;
    return FIELD_OTHER;
}

enum field_id field_id_of(struct bytes name)
{
    enum field_id like;

    return field_lookup(name, &like);
}

enum field_id field_id_like(struct bytes name)
{
    enum field_id like;

    (void)field_lookup(name, &like);
    return like;
}

struct bytes field_name_of(enum field_id id)
{
    CHECK(id < FIELD_COUNT);
    return bytes_of(known_fields[id].text, known_fields[id].size);
}

struct bytes field_name_written(enum field_id id)
{
    static const struct bytes written_names[FIELD_COUNT] = {
#define X(id, name, written) [FIELD_##id] = { (const uint8_t *)(written), sizeof(written) - 1 },
        FIELD_LIST(X)
#undef X
    };

    CHECK(id > FIELD_OTHER && id < FIELD_COUNT);
    return written_names[id];
}

/* What is neither letter nor digit becomes '_' in the variables that CGI and its heirs make of names: "Content.Length"
 * and "content_length" would be the same to them. */
static uint8_t alike(uint8_t c)
{
    uint8_t lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ? lower : '-';
}

bool field_names_alike(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (alike(a.at[i]) != alike(b.at[i]))
            return false;
    return true;
}

bool field_is_framing(enum field_id id)
{
    return (FIELDS_FRAMING >> id & 1) != 0;
}

/* clang-format off */
static const struct {
    const char *name;
    bool safe, idempotent; /* RFC 9110 9.2.1, 9.2.2 */
} methods[] = {
    [METHOD_OTHER] = { "", false, false },
    [METHOD_GET] = { "GET", true, true },
    [METHOD_HEAD] = { "HEAD", true, true },
    [METHOD_POST] = { "POST", false, false },
    [METHOD_PUT] = { "PUT", false, true },
    [METHOD_DELETE] = { "DELETE", false, true },
    [METHOD_CONNECT] = { "CONNECT", false, false },
    [METHOD_OPTIONS] = { "OPTIONS", true, true },
    [METHOD_TRACE] = { "TRACE", true, true },
    [METHOD_PATCH] = { "PATCH", false, false },
};
/* clang-format on */

enum http_method method_of(struct bytes name)
{
    if (name.size == 3 && memcmp(name.at, "GET", 3) == 0)
        return METHOD_GET;
    for (enum http_method method = METHOD_GET; method < COUNT_OF(methods); method++)
        if (bytes_equal_text(name, methods[method].name))
            return method;
    return METHOD_OTHER;
}

bool method_is_idempotent(enum http_method method)
{
    CHECK(method < COUNT_OF(methods));
    return methods[method].idempotent;
}

bool method_is_safe(enum http_method method)
{
    CHECK(method < COUNT_OF(methods));
    return methods[method].safe;
}

const char *status_reason(int status)
{
    /* clang-format off */
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        /* the most frequent first, then RFC 9110 section 15 in order, and RFC 6585, 7725, 8297, 8470 */
        { 200, "OK" }, { 304, "Not Modified" }, { 404, "Not Found" }, { 302, "Found" },
        { 100, "Continue" }, { 101, "Switching Protocols" }, { 103, "Early Hints" },
        { 201, "Created" }, { 202, "Accepted" }, { 203, "Non-Authoritative Information" }, { 204, "No Content" },
        { 205, "Reset Content" }, { 206, "Partial Content" },
        { 300, "Multiple Choices" }, { 301, "Moved Permanently" }, { 303, "See Other" }, { 305, "Use Proxy" },
        { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 402, "Payment Required" }, { 403, "Forbidden" },
        { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 407, "Proxy Authentication Required" },
        { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
        { 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
        { 421, "Misdirected Request" }, { 422, "Unprocessable Content" }, { 425, "Too Early" },
        { 426, "Upgrade Required" }, { 428, "Precondition Required" }, { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" }, { 451, "Unavailable For Legal Reasons" },
        { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
        { 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
        { 511, "Network Authentication Required" },
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}
