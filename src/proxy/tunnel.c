#include "proxy/tunnel.h"

#include "proxy/exchange_private.h"
#include "tls/digest.h"
#include "tls/random.h"

#define WEBSOCKET BYTES_LITERAL("websocket")

enum {
    KEY_BYTES = 16, /* RFC 6455 4.1 */
    BASE64_MOST = 28,
};

/* The next element of a comma-separated list, trimmed; empty ones are passed over. */
static bool next_token(struct bytes *list, struct bytes *ret_token)
{
    while (list->size) {
        size_t comma = bytes_find(*list, ',');

        *ret_token = bytes_trim(bytes_part(*list, 0, comma));
        *list = bytes_from(*list, comma + 1);
        if (ret_token->size)
            return true;
    }
    return false;
}

static bool has_token(struct bytes list, struct bytes token)
{
    struct bytes each;

    while (next_token(&list, &each))
        if (bytes_equal_nocase(each, token))
            return true;
    return false;
}

/* A protocol that is listed without a version is allowed in any. */
static bool route_allows(const struct snapshot_route *route, struct bytes token)
{
    struct bytes name = bytes_part(token, 0, bytes_find(token, '/'));

    for (size_t i = 0; i < route->upgrade_count; i++)
        if (bytes_equal_nocase(route->upgrades[i], token) || bytes_equal_nocase(route->upgrades[i], name))
            return true;
    return false;
}

/* Whether its servers speak the version of HTTP that has upgrades. */
static bool can_tunnel(const struct snapshot_route *route)
{
    return route->to && route->to->options->protocol != UPSTREAM_H2;
}

static struct bytes base64(struct arena *arena, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[BASE64_MOST];
    size_t used = 0;

    for (size_t i = 0; i < size; i += 3) {
        unsigned three = (unsigned)data[i] << 16;
        if (i + 1 < size)
            three |= (unsigned)data[i + 1] << 8;
        if (i + 2 < size)
            three |= data[i + 2];
        CHECK(used + 4 <= sizeof text);
        text[used++] = digits[three >> 18];
        text[used++] = digits[three >> 12 & 63];
        text[used++] = i + 1 < size ? digits[three >> 6 & 63] : '=';
        text[used++] = i + 2 < size ? digits[three & 63] : '=';
    }
    return arena_copy(arena, bytes_of(text, used));
}

/* RFC 6455 4.2.2: what the server makes of the key. */
static int expect_accept(struct exchange *x, struct bytes key)
{
    const struct bytes parts[] = { key, BYTES_LITERAL("258EAFA5-E914-47DA-95CA-C5AB0DC85B11") };
    struct bytes all = arena_join(&x->arena, parts, COUNT_OF(parts));
    uint8_t digest[DIGEST_SHA1_BYTES];

    if (!all.at)
        return -E_MEMORY;
    if (digest_sha1(all, digest))
        return -E_CRYPTO;
    x->websocket_accept = base64(&x->arena, digest, sizeof digest);
    return x->websocket_accept.at ? 0 : -E_MEMORY;
}

/* The one Sec-WebSocket-Key; empty: there is none, or several. */
static struct bytes only_key(const struct message *m)
{
    struct bytes key = BYTES_NONE;

    for (uint32_t i = 0; i < m->fields.count; i++) {
        if (!bytes_equal_nocase(m->fields.at[i].name, BYTES_LITERAL("sec-websocket-key")))
            continue;
        if (key.size)
            return BYTES_NONE;
        key = m->fields.at[i].value;
    }
    return key;
}

static bool has_content(const struct message *m)
{
    return m->body == BODY_STREAMED || (m->body == BODY_LENGTH && m->length > 0);
}

/* Whether this token of the request may stand: the route allows it and, for WebSocket, it is a handshake of RFC 6455. */
static bool may_stand(const struct exchange *x, struct bytes token, struct bytes key)
{
    if (!route_allows(x->route, token))
        return false;
    return !bytes_equal_nocase(token, WEBSOCKET) || (x->request.method == METHOD_GET && key.size);
}

/* Upgrade of HTTP/1.1. What is not allowed is left out; a server may ignore the field in any case (RFC 9110 7.8). */
static int ask_upgrade(struct exchange *x)
{
    struct message *m = &x->request;
    struct bytes asked = m->upgrade, token, key = only_key(m);
    uint8_t *text;
    size_t size = 0;

    m->upgrade = BYTES_NONE;
    if (has_content(m) || x->client_version != HTTP_1_1)
        return 0;
    text = arena_alloc(&x->arena, 2 * asked.size); /* "a,b" becomes "a, b" */
    if (!text)
        return -E_MEMORY;
    while (next_token(&asked, &token)) {
        if (!may_stand(x, token, key))
            continue;
        if (size) {
            text[size++] = ',';
            text[size++] = ' ';
        }
        memcpy(text + size, token.at, token.size);
        size += token.size;
    }
    if (size == 0)
        return 0;
    m->upgrade = bytes_of(text, size);
    x->tunnel = TUNNEL_ASKED;
    if (m->body == BODY_LENGTH) { /* of 0 */
        m->body = BODY_NONE;
        x->client_ended = true;
    }
    return has_token(m->upgrade, WEBSOCKET) ? expect_accept(x, key) : 0;
}

/* RFC 8441 5: the same as a GET, with what HTTP/2 has no need of. */
static int ask_extended_connect(struct exchange *x)
{
    struct message *m = &x->request;
    uint8_t random[KEY_BYTES];
    struct bytes key;
    int error;

    if (!bytes_equal_nocase(m->upgrade, WEBSOCKET) || !can_tunnel(x->route) || !route_allows(x->route, WEBSOCKET))
        return -E_UPGRADE;
    if (random_bytes(random, sizeof random))
        return -E_CRYPTO;
    key = base64(&x->arena, random, sizeof random);
    if (!key.at)
        return -E_MEMORY;
    x->tunnel = TUNNEL_ASKED;
    m->method = METHOD_GET;
    m->method_name = BYTES_LITERAL("GET");
    m->body = BODY_NONE; /* DATA is the tunnel's */
    m->upgrade = WEBSOCKET;
    message_remove_named(m, BYTES_LITERAL("sec-websocket-key"));
    error = message_add(m, BYTES_LITERAL("Sec-WebSocket-Key"), key);
    if (!error && !message_field_named(m, BYTES_LITERAL("sec-websocket-version")))
        error = message_add(m, BYTES_LITERAL("Sec-WebSocket-Version"), BYTES_LITERAL("13"));
    return error ? error : expect_accept(x, key);
}

bool tunnel_is_extended_connect(const struct message *m)
{
    return m->method == METHOD_CONNECT && m->version >= HTTP_2 && m->upgrade.size;
}

int tunnel_ask(struct exchange *x)
{
    struct message *m = &x->request;

    if (tunnel_is_extended_connect(m))
        return ask_extended_connect(x);
    if (!can_tunnel(x->route))
        m->upgrade = BYTES_NONE;
    return m->upgrade.size ? ask_upgrade(x) : 0;
}

/* Whether a 101 answers what was asked. */
static bool is_answer(const struct exchange *x)
{
    const struct message *m = &x->response;
    struct bytes list = m->upgrade, token;
    const struct bytes *accept = message_field_named(m, BYTES_LITERAL("sec-websocket-accept"));
    bool any = false;

    for (; next_token(&list, &token); any = true)
        if (!has_token(x->request.upgrade, token))
            return false;
    if (has_token(m->upgrade, WEBSOCKET) && (!accept || !bytes_equal(*accept, x->websocket_accept)))
        return false;
    return any && m->body == BODY_TUNNEL;
}

int tunnel_answer(struct exchange *x)
{
    struct message *m = &x->response;
    bool is_connect = x->client_version >= HTTP_2;

    if (x->tunnel == TUNNEL_NONE)
        return m->status == 101 ? -E_BAD_RESPONSE : 0;
    if (m->status != 101) {
        x->tunnel = TUNNEL_NONE;
        /* a CONNECT's client would take any 2xx for the tunnel's beginning */
        return is_connect && m->status < 300 ? -E_BAD_RESPONSE : 0;
    }
    if (!is_answer(x))
        return -E_BAD_RESPONSE;
    if (is_connect) {
        m->status = 200;
        m->reason = BYTES_LITERAL("OK");
        m->upgrade = BYTES_NONE;
        message_remove_named(m, BYTES_LITERAL("sec-websocket-accept"));
    }
    return 0;
}

void tunnel_open(struct exchange *x)
{
    x->tunnel = TUNNEL_OPEN;
    x->client_ended = x->request_ended = false;
    x->client_expects = false;
    x->must_close |= x->client_version < HTTP_2; /* what comes after it is no HTTP */
    loop_defer(exchange_loop(x), &x->again);     /* the client may have sent on already */
}

bool tunnel_is_over(struct exchange *x)
{
    struct stream *server = &x->server->stream;

    if (x->request_unwanted)
        return true;
    return x->request_ended && server->ops->flush(server) != -E_AGAIN;
}
