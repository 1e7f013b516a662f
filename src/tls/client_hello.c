/* client_hello.c: in two steps: the message is found in its records, then its body is read. */
#include "tls/client_hello.h"

#include "base/check.h"
#include "tls/hmac.h"
#include "tls/wire.h"

static int refuse(uint8_t alert, uint8_t *ret_alert)
{
    *ret_alert = alert;
    return -E_TLS;
}

/* ---- The message in its records ---- */

/* Walks over the records of `in`, as far as they are there. */
struct record_walk {
    struct bytes in;
    size_t at; /* where the next record starts */
};

/* Whether what arrived may be TLS at all, told from as few bytes as there are. */
static int check_first_record(struct bytes in, uint8_t *ret_alert)
{
    uint8_t type = in.at[0];

    if (type < CONTENT_CHANGE_CIPHER_SPEC || type > CONTENT_APPLICATION_DATA)
        return -E_NOT_TLS; /* plain HTTP, SSLv2's hello, anything */
    if (in.size < 2)
        return -E_AGAIN;
    if (in.at[1] != 3)
        return -E_NOT_TLS;
    return type == CONTENT_HANDSHAKE ? 0 : refuse(ALERT_UNEXPECTED_MESSAGE, ret_alert);
}

/* The next record's fragment, or what of it has arrived (then ret_complete is false). -E_AGAIN: not even its header. */
static int next_fragment(struct record_walk *walk, struct bytes *ret_fragment, bool *ret_complete, uint8_t *ret_alert)
{
    struct bytes rest = bytes_from(walk->in, walk->at);
    size_t length;

    if (rest.size && rest.at[0] != CONTENT_HANDSHAKE) /* RFC 8446 5.1: nothing may come between */
        return refuse(ALERT_UNEXPECTED_MESSAGE, ret_alert);
    if (rest.size < RECORD_HEADER)
        return -E_AGAIN;
    if (rest.at[1] != 3) /* the minor version is to be ignored */
        return refuse(ALERT_PROTOCOL_VERSION, ret_alert);
    length = (size_t)rest.at[3] << 8 | rest.at[4];
    if (length == 0) /* RFC 8446 5.1: no zero-length fragments of handshake messages */
        return refuse(ALERT_UNEXPECTED_MESSAGE, ret_alert);
    if (length > RECORD_PLAIN_MOST)
        return refuse(ALERT_RECORD_OVERFLOW, ret_alert);
    *ret_fragment = bytes_part(rest, RECORD_HEADER, length);
    *ret_complete = ret_fragment->size == length;
    walk->at += RECORD_HEADER + ret_fragment->size;
    return 0;
}

/* Reads the handshake header across fragments: ret_total becomes the message's size once four bytes are there. */
static int take_handshake_header(uint8_t header[HANDSHAKE_HEADER], size_t have, struct bytes fragment,
                                 size_t *ret_total, uint8_t *ret_alert)
{
    for (size_t i = 0; i < fragment.size && have < HANDSHAKE_HEADER; i++)
        header[have++] = fragment.at[i];
    if (header[0] != HANDSHAKE_CLIENT_HELLO)
        return refuse(ALERT_UNEXPECTED_MESSAGE, ret_alert);
    if (have < HANDSHAKE_HEADER)
        return 0;
    *ret_total = HANDSHAKE_HEADER + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
    return *ret_total > CLIENT_HELLO_MOST ? refuse(ALERT_DECODE_ERROR, ret_alert) : 0;
}

/* Copies the fragments behind each other. They were all checked before. */
static int join(struct bytes wire, size_t total, struct arena *arena, struct bytes *ret_message)
{
    uint8_t *message = arena_alloc(arena, total), *at = message;

    if (!message)
        return -E_MEMORY;
    while (wire.size) {
        size_t length = (size_t)wire.at[3] << 8 | wire.at[4];
        struct bytes fragment = bytes_part(wire, RECORD_HEADER, length);

        CHECK(fragment.size <= (size_t)(message + total - at));
        memcpy(at, fragment.at, fragment.size);
        at += fragment.size;
        wire = bytes_from(wire, RECORD_HEADER + length);
    }
    *ret_message = bytes_of(message, total);
    return 0;
}

static int find_message(struct bytes in, struct arena *arena, struct bytes *ret_message, size_t *ret_wire_bytes,
                        uint8_t *ret_alert)
{
    struct record_walk walk = { .in = in };
    uint8_t header[HANDSHAKE_HEADER] = { 0 };
    size_t have = 0, total = 0;
    int error = in.size ? check_first_record(in, ret_alert) : -E_AGAIN;

    while (!error) {
        struct bytes fragment;
        bool complete;

        if (total && have == total)
            break;
        error = next_fragment(&walk, &fragment, &complete, ret_alert);
        if (error)
            break;
        if (have < HANDSHAKE_HEADER && fragment.size)
            error = take_handshake_header(header, have, fragment, &total, ret_alert);
        have += fragment.size;
        /* A ClientHello ends with its record, since keys may change behind it (RFC 8446 5.1). */
        if (!error && total && have > total)
            error = refuse(ALERT_UNEXPECTED_MESSAGE, ret_alert);
        if (!error && !complete)
            error = -E_AGAIN;
    }
    if (error == -E_AGAIN && in.size >= CLIENT_HELLO_WIRE_MOST)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    if (error)
        return error;
    *ret_wire_bytes = walk.at;
    if (walk.at == RECORD_HEADER + total) {
        *ret_message = bytes_part(in, RECORD_HEADER, total);
        return 0;
    }
    return join(bytes_part(in, 0, walk.at), total, arena, ret_message);
}

/* ---- The body ---- */

/* A whole extension that is one vector of pairs of bytes, at least one. */
static int read_pairs(struct cursor *extension, int length_bytes, struct bytes *ret_pairs, uint8_t *ret_alert)
{
    struct cursor list = cursor_vector(extension, length_bytes);

    if (list.failed || cursor_left(extension) || cursor_left(&list) < 2 || cursor_left(&list) % 2)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    *ret_pairs = bytes_of(list.at, cursor_left(&list));
    return 0;
}

/* Whether the rest is whole entries. */
static bool is_server_name_list(struct cursor rest)
{
    while (cursor_left(&rest) && !rest.failed) {
        (void)cursor_u8(&rest);
        (void)cursor_vector(&rest, 2);
    }
    return !rest.failed;
}

/* RFC 6066 3. One name of the one type that there is. A name that no host can have (an address, say) is treated as no
 * name: RFC 6066 forbids it, yet clients send it. Bytes outside of ASCII's printable ones are an attack or a bug. */
static int read_server_name(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    struct cursor list = cursor_vector(extension, 2);
    uint8_t type = cursor_u8(&list);
    struct cursor name = cursor_vector(&list, 2);
    struct bytes wire = bytes_of(name.at, cursor_left(&name));

    if (list.failed || name.failed || cursor_left(extension) || wire.size == 0)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    if (type != 0 || cursor_left(&list)) /* a second entry where it is one, else what cannot be read */
        return refuse(is_server_name_list(list) ? ALERT_ILLEGAL_PARAMETER : ALERT_DECODE_ERROR, ret_alert);
    for (size_t i = 0; i < wire.size; i++)
        if (wire.at[i] <= ' ' || wire.at[i] > '~')
            return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
    h->server_name_wire = wire;
    h->has_server_name = hostname_parse(wire, &h->server_name) == 0 && !h->server_name.is_address;
    return 0;
}

/* RFC 7301 3.1: names of 1 to 255 bytes, at least one. */
static int read_alpn(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    struct cursor list = cursor_vector(extension, 2), names = list;

    if (list.failed || cursor_left(extension) || cursor_left(&list) == 0)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    while (cursor_left(&names)) {
        struct cursor name = cursor_vector(&names, 1);
        if (name.failed || cursor_left(&name) == 0)
            return refuse(ALERT_DECODE_ERROR, ret_alert);
    }
    h->alpn = bytes_of(list.at, cursor_left(&list));
    return 0;
}

/* RFC 8446 4.2.8: entries of a group and its share; none at all asks for a HelloRetryRequest. */
static int read_key_shares(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    struct cursor list = cursor_vector(extension, 2), entries = list;

    if (list.failed || cursor_left(extension))
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    while (cursor_left(&entries)) {
        (void)cursor_u16(&entries);
        struct cursor share = cursor_vector(&entries, 2);
        if (share.failed || cursor_left(&share) == 0)
            return refuse(ALERT_DECODE_ERROR, ret_alert);
    }
    h->has_key_share = true;
    h->key_shares = bytes_of(list.at, cursor_left(&list));
    return 0;
}

/* RFC 6066 8: of the one type that there is, what is asked for can be told; others are to be ignored. */
static int read_status_request(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    enum { OCSP = 1 };

    if (cursor_u8(extension) != OCSP)
        return extension->failed ? refuse(ALERT_DECODE_ERROR, ret_alert) : 0;
    (void)cursor_vector(extension, 2);
    (void)cursor_vector(extension, 2);
    if (extension->failed || cursor_left(extension))
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    h->has_status_request = true;
    return 0;
}

/* RFC 8446 4.2.11: identities with the age of their tickets, then a binder for each. */
static int read_pre_shared_key(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    struct cursor identities = cursor_vector(extension, 2), identity = identities;
    struct cursor binders = cursor_vector(extension, 2), binder = binders;
    size_t count = 0;

    if (extension->failed || cursor_left(extension) || cursor_left(&identities) == 0 || cursor_left(&binders) == 0)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    for (; cursor_left(&identity); count++) {
        struct cursor name = cursor_vector(&identity, 2);
        (void)cursor_bytes(&identity, 4);
        if (identity.failed || cursor_left(&name) == 0)
            return refuse(ALERT_DECODE_ERROR, ret_alert);
    }
    while (cursor_left(&binder)) {
        struct cursor mac = cursor_vector(&binder, 1);
        if (binder.failed || cursor_left(&mac) < 32)
            return refuse(ALERT_DECODE_ERROR, ret_alert);
        if (count-- == 0)
            return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
    }
    if (count)
        return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
    h->has_pre_shared_key = true;
    h->psk_identities = bytes_of(identities.at, cursor_left(&identities));
    h->psk_binders = bytes_of(binders.at, cursor_left(&binders));
    return 0;
}

/* A vector of single bytes, at least one, with a length of one byte. */
static int read_list(struct cursor *extension, struct bytes *ret_list, uint8_t *ret_alert)
{
    struct cursor list = cursor_vector(extension, 1);

    if (list.failed || cursor_left(extension) || cursor_left(&list) == 0)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    *ret_list = bytes_of(list.at, cursor_left(&list));
    return 0;
}

static int expect_nothing(struct cursor *extension, uint8_t *ret_alert)
{
    return cursor_left(extension) ? refuse(ALERT_DECODE_ERROR, ret_alert) : 0;
}

/* RFC 5746 3.2. What is in it, the engine looks at. */
static int read_renegotiation_info(struct cursor *extension, uint8_t *ret_alert)
{
    (void)cursor_vector(extension, 1);
    return extension->failed ? refuse(ALERT_DECODE_ERROR, ret_alert) : expect_nothing(extension, ret_alert);
}

/* RFC 8449 4: what is below 64 is fatal. */
static int read_record_size_limit(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    h->record_size_limit = cursor_u16(extension);
    if (extension->failed || cursor_left(extension))
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    return h->record_size_limit < 64 ? refuse(ALERT_ILLEGAL_PARAMETER, ret_alert) : 0;
}

/* RFC 6066 4: 2^9 to 2^12. */
static int read_max_fragment_length(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    h->max_fragment_length = cursor_u8(extension);
    if (extension->failed || cursor_left(extension))
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    return h->max_fragment_length < 1 || h->max_fragment_length > 4 ? refuse(ALERT_ILLEGAL_PARAMETER, ret_alert) : 0;
}

/* RFC 8446 4.2.2. */
static int read_cookie(struct cursor *extension, struct client_hello *h, uint8_t *ret_alert)
{
    struct cursor cookie = cursor_vector(extension, 2);

    if (cookie.failed || cursor_left(extension) || cursor_left(&cookie) == 0)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    h->has_cookie = true;
    return 0;
}

/* Those that TLS 1.3 does not know. What stands in them is of no account where it is offered, as in any unknown one (RFC 8446 4.1.2): only
 * the version tells, which may stand behind them. */
static int read_extension_1_2(uint16_t type, struct cursor content, struct client_hello *h, uint8_t *ret_alert)
{
    int error = 0;

    switch (type) {
    case EXTENSION_POINT_FORMATS:
        error = read_list(&content, &h->point_formats, ret_alert);
        break;
    case EXTENSION_RENEGOTIATION_INFO:
        error = read_renegotiation_info(&content, ret_alert);
        break;
    case EXTENSION_EXTENDED_MASTER_SECRET: /* RFC 7627 5.1, RFC 7366 2 */
    case EXTENSION_ENCRYPT_THEN_MAC:
        error = expect_nothing(&content, ret_alert);
        break;
    default:
        break;
    }
    h->is_malformed_1_2 |= error != 0;
    return 0;
}

static int read_extension(uint16_t type, struct cursor content, struct client_hello *h, uint8_t *ret_alert)
{
    switch (type) {
    case EXTENSION_SERVER_NAME:
        return read_server_name(&content, h, ret_alert);
    case EXTENSION_ALPN:
        return read_alpn(&content, h, ret_alert);
    case EXTENSION_SUPPORTED_VERSIONS:
        return read_pairs(&content, 1, &h->supported_versions, ret_alert);
    case EXTENSION_SUPPORTED_GROUPS:
        return read_pairs(&content, 2, &h->supported_groups, ret_alert);
    case EXTENSION_SIGNATURE_ALGORITHMS:
        return read_pairs(&content, 2, &h->signature_algorithms, ret_alert);
    case EXTENSION_SIGNATURE_ALGORITHMS_CERT:
        return read_pairs(&content, 2, &h->signature_algorithms_cert, ret_alert);
    case EXTENSION_KEY_SHARE:
        return read_key_shares(&content, h, ret_alert);
    case EXTENSION_PSK_KEY_EXCHANGE_MODES:
        return read_list(&content, &h->psk_modes, ret_alert);
    case EXTENSION_STATUS_REQUEST:
        return read_status_request(&content, h, ret_alert);
    case EXTENSION_SCT: /* RFC 6962 3.3.1 */
        h->has_sct = true;
        return expect_nothing(&content, ret_alert);
    case EXTENSION_COMPRESS_CERTIFICATE:
        return read_pairs(&content, 1, &h->compressions, ret_alert);
    case EXTENSION_RECORD_SIZE_LIMIT:
        return read_record_size_limit(&content, h, ret_alert);
    case EXTENSION_MAX_FRAGMENT_LENGTH:
        return read_max_fragment_length(&content, h, ret_alert);
    case EXTENSION_COOKIE:
        return read_cookie(&content, h, ret_alert);
    case EXTENSION_EARLY_DATA:
        h->has_early_data = true;
        return expect_nothing(&content, ret_alert);
    case EXTENSION_PRE_SHARED_KEY:
        return read_pre_shared_key(&content, h, ret_alert);
    default: /* GREASE (RFC 8701) among them */
        return read_extension_1_2(type, content, h, ret_alert);
    }
}

static int read_extensions(struct cursor *list, struct client_hello *h, uint8_t *ret_alert)
{
    uint8_t seen[65536 / 8] = { 0 };

    while (cursor_left(list)) {
        uint16_t type = cursor_u16(list);
        struct cursor content = cursor_vector(list, 2);
        int error;

        if (list->failed || content.failed)
            return refuse(ALERT_DECODE_ERROR, ret_alert);
        if (h->has_pre_shared_key) /* RFC 8446 4.2.11: it MUST be the last extension */
            return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
        if (seen[type / 8] & 1 << type % 8) /* RFC 8446 4.2: not more than one of a type */
            return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
        seen[type / 8] |= (uint8_t)(1 << type % 8);
        error = read_extension(type, content, h, ret_alert);
        if (error)
            return error;
    }
    return 0;
}

static bool contains_zero(struct bytes b)
{
    return bytes_find(b, 0) < b.size;
}

static int read_body(struct cursor body, struct client_hello *h, uint8_t *ret_alert)
{
    h->legacy_version = cursor_u16(&body);
    h->random = cursor_bytes(&body, 32);
    struct cursor session_id = cursor_vector(&body, 1);
    struct cursor suites = cursor_vector(&body, 2);
    struct cursor compressions = cursor_vector(&body, 1);
    int error = 0;

    h->session_id = bytes_of(session_id.at, cursor_left(&session_id));
    h->cipher_suites = bytes_of(suites.at, cursor_left(&suites));
    if (body.failed || h->session_id.size > 32 || h->cipher_suites.size < 2 || h->cipher_suites.size % 2)
        return refuse(ALERT_DECODE_ERROR, ret_alert);
    if (cursor_left(&body)) {
        struct cursor extensions = cursor_vector(&body, 2);
        if (body.failed || cursor_left(&body))
            return refuse(ALERT_DECODE_ERROR, ret_alert);
        h->extensions = bytes_of(extensions.at, cursor_left(&extensions));
        error = read_extensions(&extensions, h, ret_alert);
    }
    if (!error && h->is_malformed_1_2 && !client_hello_offers_version(h, 0x0304))
        error = refuse(ALERT_DECODE_ERROR, ret_alert);
    if (error)
        return error;
    /* RFC 8446 D.5. What is above all that there is means the best that we have (4.2.1, RFC 5246 E.1). */
    if (h->legacy_version <= 0x0300)
        return refuse(ALERT_PROTOCOL_VERSION, ret_alert);
    /* "null" must be among the compression methods, and in TLS 1.3 alone (RFC 5246 7.4.1.2, RFC 8446 4.1.2). */
    struct bytes methods = bytes_of(compressions.at, cursor_left(&compressions));
    if (!contains_zero(methods) || (client_hello_offers_version(h, 0x0304) && methods.size != 1))
        return refuse(methods.size ? ALERT_ILLEGAL_PARAMETER : ALERT_DECODE_ERROR, ret_alert);
    /* RFC 8422 5.1.2: "the server MUST abort the handshake" where points cannot come as they are. TLS 1.3 has no such choice. */
    if (h->point_formats.size && h->supported_groups.size && !contains_zero(h->point_formats) &&
        !client_hello_offers_version(h, 0x0304))
        return refuse(ALERT_ILLEGAL_PARAMETER, ret_alert);
    return 0;
}

int client_hello_parse(struct bytes message, struct client_hello *ret_hello, uint8_t *ret_alert)
{
    struct client_hello hello = { .message = message };
    int error = read_body(cursor_of(bytes_from(message, HANDSHAKE_HEADER)), &hello, ret_alert);

    if (error)
        return error;
    if (hello.has_pre_shared_key) /* which is the last extension: its binders, with their length, end the message */
        hello.truncated = bytes_part(message, 0, message.size - hello.psk_binders.size - 2);
    *ret_hello = hello;
    return 0;
}

int client_hello_read(struct bytes in, struct arena *arena, struct client_hello *ret_hello, uint8_t *ret_alert)
{
    struct client_hello hello;
    struct bytes message;
    size_t wire_bytes;
    int error = find_message(in, arena, &message, &wire_bytes, ret_alert);

    if (!error)
        error = client_hello_parse(message, &hello, ret_alert);
    if (error)
        return error;
    *ret_hello = hello;
    ret_hello->wire_bytes = wire_bytes;
    return 0;
}

/* ---- What it offers ---- */

static bool pairs_contain(struct bytes pairs, uint16_t value)
{
    for (size_t i = 0; i + 1 < pairs.size; i += 2)
        if ((pairs.at[i] << 8 | pairs.at[i + 1]) == value)
            return true;
    return false;
}

bool client_hello_offers_version(const struct client_hello *h, uint16_t version)
{
    if (h->supported_versions.size)
        return pairs_contain(h->supported_versions, version);
    return version <= 0x0303 && h->legacy_version >= version;
}

bool client_hello_offers_suite(const struct client_hello *h, uint16_t suite)
{
    return pairs_contain(h->cipher_suites, suite);
}

bool client_hello_offers_signature(const struct client_hello *h, uint16_t scheme)
{
    return pairs_contain(h->signature_algorithms, scheme);
}

bool client_hello_offers_group(const struct client_hello *h, uint16_t group)
{
    return pairs_contain(h->supported_groups, group);
}

bool client_hello_offers_compression(const struct client_hello *h, uint16_t algorithm)
{
    return pairs_contain(h->compressions, algorithm);
}

bool client_hello_offers_psk_dhe(const struct client_hello *h)
{
    enum { PSK_DHE_KE = 1 };

    return bytes_find(h->psk_modes, PSK_DHE_KE) < h->psk_modes.size;
}

struct bytes alpn_choose(struct bytes ours, struct bytes theirs)
{
    struct cursor preferred = cursor_of(ours);

    while (cursor_left(&preferred)) {
        struct cursor own = cursor_vector(&preferred, 1), offered = cursor_of(theirs);

        while (cursor_left(&offered) && !offered.failed) {
            struct cursor name = cursor_vector(&offered, 1);

            if (bytes_equal(bytes_of(name.at, cursor_left(&name)), bytes_of(own.at, cursor_left(&own))))
                return bytes_of(own.at, cursor_left(&own));
        }
    }
    return BYTES_NONE;
}

struct bytes client_hello_share(const struct client_hello *h, uint16_t group)
{
    struct cursor entries = cursor_of(h->key_shares);

    while (cursor_left(&entries)) {
        uint16_t of = cursor_u16(&entries);
        struct cursor share = cursor_vector(&entries, 2);

        if (of == group)
            return bytes_of(share.at, cursor_left(&share));
    }
    return BYTES_NONE;
}

bool client_hello_next_psk(struct cursor *identities, struct cursor *binders, struct bytes *ret_identity,
                           struct bytes *ret_binder)
{
    struct cursor identity, binder;

    if (cursor_left(identities) == 0)
        return false;
    identity = cursor_vector(identities, 2);
    (void)cursor_bytes(identities, 4); /* its age, of which only early data would depend (RFC 8446 8.3) */
    binder = cursor_vector(binders, 1);
    *ret_identity = bytes_of(identity.at, cursor_left(&identity));
    *ret_binder = bytes_of(binder.at, cursor_left(&binder));
    return true;
}

static bool may_differ(uint16_t extension)
{
    return extension == EXTENSION_KEY_SHARE || extension == EXTENSION_EARLY_DATA || extension == EXTENSION_COOKIE ||
           extension == EXTENSION_PRE_SHARED_KEY || extension == EXTENSION_PADDING;
}

static void hash_into(struct bytes piece, uint8_t digest[32])
{
    uint8_t hash[32];

    hash_once(HASH_SHA256, piece, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        digest[i] ^= hash[i];
}

void client_hello_digest(const struct client_hello *h, uint8_t ret_digest[32])
{
    struct cursor list = cursor_of(h->extensions);

    memset(ret_digest, 0, 32);
    /* Version, random, session id, suites and compression methods: all between the header and the extensions' length. */
    hash_into(bytes_of(h->message.at + HANDSHAKE_HEADER,
                       h->message.size - HANDSHAKE_HEADER - (h->extensions.size ? h->extensions.size + 2 : 0)),
              ret_digest);
    while (cursor_left(&list)) {
        const uint8_t *start = list.at;
        uint16_t type = cursor_u16(&list);

        (void)cursor_vector(&list, 2);
        if (!may_differ(type))
            hash_into(bytes_of(start, (size_t)(list.at - start)), ret_digest);
    }
}
