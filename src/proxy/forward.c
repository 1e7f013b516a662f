#include "proxy/forward.h"

#include <endian.h>
#include <time.h>

#include "proxy/rewrite.h"
#include "tls/random.h"

/* Names by which backends are told who the client is. All punctuation counts as '-', since many map it to one variable.
 * A name that ends with '*' stands for all that start so. */
static const char *const identity_names[] = {
    "forwarded",    "x-forwarded*", "x-real-ip",   "client-cert*",   "x-client-cert*",
    "ssl-client-*", "x-ssl-*",      "x-client-ip", "true-client-ip", "x-cluster-client-ip",
};

static bool matches(struct bytes name, const char *pattern)
{
    size_t i = 0;

    for (; pattern[i] && pattern[i] != '*'; i++) {
        if (i == name.size)
            return false;
        uint8_t c = ascii_lower(name.at[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if ((is_plain ? c : '-') != (uint8_t)pattern[i])
            return false;
    }
    return pattern[i] == '*' || i == name.size;
}

static bool is_identity(const struct field *f)
{
    uint8_t first = f->name.size ? ascii_lower(f->name.at[0]) : 0;

    if (first != 'x' && first != 'f' && first != 'c' && first != 's' && first != 't')
        return false;
    for (size_t i = 0; i < COUNT_OF(identity_names); i++)
        if (matches(f->name, identity_names[i]))
            return true;
    return false;
}

bool forward_sets(struct bytes name)
{
    const struct field field = { .name = name };

    return is_identity(&field) || matches(name, "x-request-id");
}

static bool is_request_id(const struct field *f)
{
    return f->id == FIELD_X_REQUEST_ID || (f->id == FIELD_OTHER && matches(f->name, "x-request-id"));
}

/* Values of the fields that a trusted proxy may have set, joined in their order; empty: none. */
struct chain {
    struct bytes forwarded_for, forwarded, host, proto, port;
};

static int join(struct arena *arena, struct bytes *all, struct bytes value)
{
    const struct bytes parts[] = { *all, BYTES_LITERAL(", "), value };

    *all = all->size ? arena_join(arena, parts, COUNT_OF(parts)) : value;
    return all->at ? 0 : -E_MEMORY;
}

static int remember(struct arena *arena, const struct field *f, struct chain *chain)
{
    switch (f->id) {
    case FIELD_X_FORWARDED_FOR:
        return join(arena, &chain->forwarded_for, f->value);
    case FIELD_FORWARDED:
        return join(arena, &chain->forwarded, f->value);
    case FIELD_X_FORWARDED_HOST:
        chain->host = f->value;
        return 0;
    case FIELD_X_FORWARDED_PROTO:
        chain->proto = f->value;
        return 0;
    case FIELD_X_FORWARDED_PORT:
        chain->port = f->value;
        return 0;
    default:
        return 0;
    }
}

/* Takes identity fields and the request id out of the message; what is to be believed of them goes to *ret. */
static int strip(struct exchange *x, struct chain *ret, struct bytes *ret_request_id)
{
    struct fields *fields = &x->request.fields;
    bool trusted = x->session->peer_trusted;
    uint32_t kept = 0;
    int error = 0, id_mode = x->session->listener->options->request_id;

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *f = &fields->at[i];

        if (is_request_id(f) && id_mode != REQUEST_ID_OFF) {
            if (f->id == FIELD_X_REQUEST_ID && (trusted || id_mode == REQUEST_ID_PASS) && f->value.size)
                *ret_request_id = f->value;
        } else if (!is_identity(f) || (trusted && f->id == FIELD_X_REAL_IP)) {
            fields->at[kept++] = *f;
        } else if (trusted && !error) {
            error = remember(&x->arena, f, ret);
        }
    }
    fields->count = kept;
    return error;
}

/* The digits of eight bytes, all sixteen at once: each half of a byte becomes a byte, to which '0' is added, and what lies
 * between '9' and 'a' where it is more than 9. */
static void put_hex(char text[16], const uint8_t bytes[8])
{
    const uint64_t ones = 0x0101010101010101;

    for (int half = 0; half < 2; half++) {
        uint64_t spread = (uint64_t)bytes[4 * half] << 8 | (uint64_t)bytes[4 * half + 1] << 24 |
                          (uint64_t)bytes[4 * half + 2] << 40 | (uint64_t)bytes[4 * half + 3] << 56;
        uint64_t digits = (spread >> 12 & 0x000f000f000f000f) | (spread & 0x0f000f000f000f00);
        uint64_t letters = (digits + 6 * ones) >> 4 & ones;

        digits = htole64(digits + '0' * ones + letters * ('a' - '0' - 10));
        memcpy(text + 8 * half, &digits, sizeof digits);
    }
}

static int set_request_id(struct exchange *x, struct bytes given)
{
    uint8_t random[16];
    char *text;

    if (x->session->listener->options->request_id == REQUEST_ID_OFF)
        return 0;
    if (given.size == 0) {
        text = arena_alloc(&x->arena, 2 * sizeof random);
        if (!text)
            return -E_MEMORY;
        if (random_bytes(random, sizeof random))
            return -E_CRYPTO;
        put_hex(text, random);
        put_hex(text + 16, random + 8);
        given = bytes_of(text, 2 * sizeof random);
    }
    x->request_id = given;
    return message_add_known(&x->request, FIELD_X_REQUEST_ID, given);
}

/* The Forwarded element of this hop behind those before it (RFC 7239 4): what is no token is quoted. */
static struct bytes forwarded_with_us(struct exchange *x, struct bytes client, struct bytes before)
{
    const struct session *s = x->session;
    bool v6 = bytes_find(client, ':') != client.size;
    struct bytes host = x->request.authority;
    bool quoted = bytes_find(host, ':') != host.size; /* a port, or IPv6 in brackets */
    struct bytes quote = quoted ? BYTES_LITERAL("\"") : BYTES_NONE;
    const struct bytes parts[] = {
        before,
        before.size ? BYTES_LITERAL(", for=") : BYTES_LITERAL("for="),
        v6 ? BYTES_LITERAL("\"[") : BYTES_NONE,
        client,
        v6 ? BYTES_LITERAL("]\"") : BYTES_NONE,
        host.size ? BYTES_LITERAL(";host=") : BYTES_NONE,
        host.size ? quote : BYTES_NONE,
        host,
        host.size ? quote : BYTES_NONE,
        s->secure ? BYTES_LITERAL(";proto=https") : BYTES_LITERAL(";proto=http"),
    };

    return arena_join(&x->arena, parts, COUNT_OF(parts));
}

/* "192.0.2.1", "2001:db8::1", or "unknown" (RFC 7239 6). at: NULL for want of memory. */
static struct bytes client_name(struct exchange *x)
{
    struct address peer;
    char text[ADDRESS_TEXT];

    if (x->session->peer.family == AF_UNIX)
        return BYTES_LITERAL("unknown");
    address_box_get(&x->session->peer, &peer);
    address_print_host(&peer, text);
    return arena_copy(&x->arena, bytes_of_text(text));
}

/* Empty: none, or no memory. */
static struct bytes local_port(struct exchange *x)
{
    char digits[NUMBER_DIGITS];
    unsigned port = x->session->local_port;

    return port ? arena_copy(&x->arena, bytes_of_number(port, digits)) : BYTES_NONE;
}

static int set_chain(struct exchange *x, const struct chain *before)
{
    const struct session *s = x->session;
    struct message *m = &x->request;
    struct bytes client = client_name(x);
    struct bytes host = before->host.size ? before->host : m->authority;
    struct bytes proto = before->proto.size ? before->proto
                         : s->secure        ? BYTES_LITERAL("https")
                                            : BYTES_LITERAL("http");
    struct bytes port = before->port.size ? before->port : local_port(x);
    struct bytes all = before->forwarded_for, forwarded = forwarded_with_us(x, client, before->forwarded);
    int error = client.at && forwarded.at ? join(&x->arena, &all, client) : -E_MEMORY;

    if (!error)
        error = message_add_known(m, FIELD_X_FORWARDED_FOR, all);
    if (!error)
        error = message_add_known(m, FIELD_X_FORWARDED_PROTO, proto);
    if (!error && host.size)
        error = message_add_known(m, FIELD_X_FORWARDED_HOST, host);
    if (!error && port.size)
        error = message_add_known(m, FIELD_X_FORWARDED_PORT, port);
    if (!error)
        error = message_add_known(m, FIELD_FORWARDED, forwarded);
    return error;
}

int forward_request(struct exchange *x)
{
    struct chain chain = { 0 };
    struct bytes request_id = BYTES_NONE;
    int error = strip(x, &chain, &request_id);

    if (!error)
        error = set_request_id(x, request_id);
    if (!error)
        error = set_chain(x, &chain);
    if (!error)
        error = rewrite_request(&x->request, x->route);
    x->request.version = HTTP_1_1;
    x->request.persistent = true;
    return error;
}

/* The time in the form of RFC 9110 5.6.7, made once a second. */
static struct bytes http_date(int64_t now)
{
    static _Thread_local int64_t made_for;
    static _Thread_local char text[32];
    struct tm utc;
    time_t t = (time_t)now;

    if (made_for != now) {
        made_for = now;
        gmtime_r(&t, &utc);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    }
    return bytes_of_text(text);
}

int forward_date(struct exchange *x)
{
    struct bytes date;

    if (message_field(&x->response, FIELD_DATE))
        return 0;
    date = arena_copy(&x->arena, http_date(loop_wall_seconds(x->session->home->net->loop)));
    return date.at ? message_add_known(&x->response, FIELD_DATE, date) : -E_MEMORY;
}

int forward_hsts(struct exchange *x)
{
    struct bytes hsts = x->host->hsts;

    if (!x->session->secure || hsts.size == 0)
        return 0;
    message_remove(&x->response, FIELD_STRICT_TRANSPORT_SECURITY);
    return message_add_known(&x->response, FIELD_STRICT_TRANSPORT_SECURITY, hsts);
}

int forward_response(struct exchange *x)
{
    struct message *m = &x->response;
    bool old_client = x->client_version < HTTP_1_1;
    int error;

    if (m->body != BODY_TUNNEL)
        m->upgrade = BYTES_NONE; /* offers of the server to switch */
    if (m->body == BODY_TO_CLOSE || m->body == BODY_STREAMED) {
        m->body = old_client ? BODY_TO_CLOSE : BODY_STREAMED;
        x->must_close |= old_client;
    }
    if (x->session->home->draining)
        x->must_close = true;
    if (m->version >= HTTP_2) /* which has none (RFC 9113 8.3.2) */
        m->reason = bytes_of_text(status_reason(m->status));
    m->version = HTTP_1_1;
    m->persistent = !x->must_close;
    error = m->status < 200 ? 0 : forward_date(x);
    if (!error)
        error = forward_hsts(x);
    return error ? error : rewrite_fields(m, &x->route->response_fields);
}
