/* proxy_read.c: reads PROXY protocol headers of both versions. */
#include "http/proxy_protocol.h"

#include "http/proxy_private.h"

/* ---- version 1 ---- */

/* The size of the line that `in` begins with, CRLF included; -E_AGAIN, or -E_PROXY_HEADER. */
static int line_size(struct bytes in)
{
    size_t looked_at = in.size < PROXY_V1_MOST ? in.size : PROXY_V1_MOST;

    for (size_t i = 0; i < looked_at; i++) {
        if (in.at[i] == '\n')
            return -E_PROXY_HEADER;
        if (in.at[i] != '\r')
            continue;
        if (i + 1 == PROXY_V1_MOST)
            return -E_PROXY_HEADER;
        if (i + 1 == looked_at)
            return -E_AGAIN;
        return in.at[i + 1] == '\n' ? (int)i + 2 : -E_PROXY_HEADER;
    }
    return looked_at == PROXY_V1_MOST ? -E_PROXY_HEADER : -E_AGAIN;
}

/* The part of *line before the next space, which is taken too. */
static struct bytes take_word(struct bytes *line)
{
    struct bytes word = bytes_part(*line, 0, bytes_find(*line, ' '));

    *line = bytes_from(*line, word.size + 1);
    return word;
}

static int read_port(struct bytes word, uint16_t *ret_port)
{
    uint64_t port;

    if ((word.size > 1 && word.at[0] == '0') || bytes_to_number(word, 65535, &port))
        return -E_PROXY_HEADER;
    *ret_port = (uint16_t)port;
    return 0;
}

static int read_ip(struct bytes word, sa_family_t family, uint16_t port, struct address *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    struct address a;

    if (word.size >= sizeof text || bytes_find(word, 0) != word.size)
        return -E_PROXY_HEADER;
    if (word.size)
        memcpy(text, word.at, word.size);
    text[word.size] = 0;
    if (address_from_ip(text, port, &a) || a.any.sa_family != family)
        return -E_PROXY_HEADER;
    *ret_address = a;
    return 0;
}

/* "192.0.2.7 198.51.100.1 56324 443" */
static int read_ends(struct bytes line, sa_family_t family, struct proxy_header *h)
{
    size_t spaces = 0;
    uint16_t source_port = 0, destination_port = 0;
    struct bytes source, destination;

    for (size_t i = 0; i < line.size; i++)
        spaces += line.at[i] == ' ';
    if (spaces != 3)
        return -E_PROXY_HEADER;
    source = take_word(&line);
    destination = take_word(&line);
    if (read_port(take_word(&line), &source_port) || read_port(line, &destination_port))
        return -E_PROXY_HEADER;
    if (read_ip(source, family, source_port, &h->source))
        return -E_PROXY_HEADER;
    return read_ip(destination, family, destination_port, &h->destination);
}

static int read_v1(struct bytes in, struct proxy_header *ret_header)
{
    struct proxy_header h = { .version = 1 };
    struct bytes start = bytes_part(BYTES_LITERAL("PROXY "), 0, in.size), line;
    int size, error = 0;

    if (!bytes_start_with(in, start))
        return -E_NOT_PROXY;
    size = line_size(in);
    if (size < 0)
        return size;
    line = bytes_from(bytes_part(in, 0, (size_t)size - 2), 6);
    if (bytes_start_with(line, BYTES_LITERAL("TCP4 ")))
        error = read_ends(bytes_from(line, 5), AF_INET, &h);
    else if (bytes_start_with(line, BYTES_LITERAL("TCP6 ")))
        error = read_ends(bytes_from(line, 5), AF_INET6, &h);
    else if (!bytes_equal_text(line, "UNKNOWN") && !bytes_start_with(line, BYTES_LITERAL("UNKNOWN ")))
        error = -E_PROXY_HEADER;
    if (error)
        return error;
    *ret_header = h;
    return size;
}

/* ---- version 2: addresses ---- */

/* The size of both ends' addresses and ports. */
static size_t ends_size(uint8_t family)
{
    switch (family >> 4) {
    case PROXY_INET:
        return PROXY_INET_ENDS;
    case PROXY_INET6:
        return PROXY_INET6_ENDS;
    case PROXY_UNIX:
        return PROXY_UNIX_ENDS;
    default:
        return 0;
    }
}

static struct address read_v4(struct bytes ip)
{
    struct address a = { .v4 = { .sin_family = AF_INET }, .size = sizeof a.v4 };

    memcpy(&a.v4.sin_addr, ip.at, sizeof a.v4.sin_addr);
    return a;
}

static struct address read_v6(struct bytes ip)
{
    struct address a = { .v6 = { .sin6_family = AF_INET6 }, .size = sizeof a.v6 };

    memcpy(&a.v6.sin6_addr, ip.at, sizeof a.v6.sin6_addr);
    return a;
}

/* A path, or behind a zero an abstract name; either is filled up with zeros. */
static struct address read_path(struct bytes path)
{
    struct address a = { .un = { .sun_family = AF_UNIX } };
    size_t used = path.size;

    while (used > 0 && path.at[used - 1] == 0)
        used--;
    if (used > 0 && path.at[0]) /* what follows the path's end is nobody's */
        used = bytes_find(path, 0) < used ? bytes_find(path, 0) : used;
    memcpy(a.un.sun_path, path.at, used);
    a.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + used);
    if (used > 0 && path.at[0] && used < sizeof a.un.sun_path)
        a.size++;
    return a;
}

static void read_binary_ends(uint8_t family, struct cursor *c, struct proxy_header *h)
{
    switch (family >> 4) {
    case PROXY_INET:
        h->source = read_v4(cursor_bytes(c, 4));
        h->destination = read_v4(cursor_bytes(c, 4));
        h->source.v4.sin_port = htons(cursor_u16(c));
        h->destination.v4.sin_port = htons(cursor_u16(c));
        break;
    case PROXY_INET6:
        h->source = read_v6(cursor_bytes(c, 16));
        h->destination = read_v6(cursor_bytes(c, 16));
        h->source.v6.sin6_port = htons(cursor_u16(c));
        h->destination.v6.sin6_port = htons(cursor_u16(c));
        break;
    case PROXY_UNIX:
        h->source = read_path(cursor_bytes(c, PROXY_UNIX_PATH));
        h->destination = read_path(cursor_bytes(c, PROXY_UNIX_PATH));
        break;
    default:
        break;
    }
    if ((family & 15) != PROXY_STREAM) /* a datagram's ends are not those of this connection */
        h->source = h->destination = (struct address){ .size = 0 };
}

/* ---- version 2: what else is told ---- */

/* Takes the next vector. Returns whether there is one; c->failed: it passes the end. */
static bool next_vector(struct cursor *c, uint8_t *ret_type, struct bytes *ret_value)
{
    if (cursor_left(c) == 0 || c->failed)
        return false;
    *ret_type = cursor_u8(c);
    *ret_value = cursor_bytes(c, cursor_u16(c));
    return !c->failed;
}

/* seen: a bit for each type that was there already; one that comes twice could be read in two ways. */
static bool is_first(uint64_t *seen, uint8_t type)
{
    uint64_t bit = type < 64 ? 1ull << type : 0;
    bool first = !(*seen & bit);

    *seen |= bit;
    return first;
}

static int read_tls(struct bytes value, struct proxy_tls *ret_tls)
{
    struct cursor c = cursor_of(value);
    uint8_t client = cursor_u8(&c), type;
    uint32_t verify = (uint32_t)cursor_u16(&c) << 16;
    struct proxy_tls tls = { .is_told = true };
    struct bytes text;
    uint64_t seen = 0;

    verify |= cursor_u16(&c);
    tls.over_tls = client & PROXY_CLIENT_TLS;
    tls.certificate_now = client & PROXY_CLIENT_CERTIFICATE_NOW;
    tls.certificate_before = client & PROXY_CLIENT_CERTIFICATE_BEFORE;
    tls.verified = (tls.certificate_now || tls.certificate_before) && verify == 0;
    while (next_vector(&c, &type, &text)) {
        if (type >= PROXY_TLV_TLS_VERSION && type <= PROXY_TLV_TLS_KEY_ALGORITHM && !is_first(&seen, type))
            return -E_PROXY_HEADER;
        if (type == PROXY_TLV_TLS_VERSION)
            tls.version = text;
        else if (type == PROXY_TLV_TLS_COMMON_NAME)
            tls.common_name = text;
        else if (type == PROXY_TLV_TLS_CIPHER)
            tls.cipher = text;
        else if (type == PROXY_TLV_TLS_SIGNATURE_ALGORITHM)
            tls.signature_algorithm = text;
        else if (type == PROXY_TLV_TLS_KEY_ALGORITHM)
            tls.key_algorithm = text;
    }
    if (c.failed)
        return -E_PROXY_HEADER;
    *ret_tls = tls;
    return 0;
}

/* value: where the sum stands in `header`; it counts as zeros there (2.2.3). */
static int check_sum(struct bytes header, struct bytes value)
{
    static const uint8_t zeros[4];
    struct cursor c = cursor_of(value);
    uint32_t told = (uint32_t)cursor_u16(&c) << 16, sum;
    size_t at;

    told |= cursor_u16(&c);
    if (value.size != sizeof zeros)
        return -E_PROXY_HEADER;
    at = (size_t)(value.at - header.at);
    sum = proxy_crc32c(0, bytes_part(header, 0, at));
    sum = proxy_crc32c(sum, bytes_of(zeros, sizeof zeros));
    sum = proxy_crc32c(sum, bytes_from(header, at + sizeof zeros));
    return sum == told ? 0 : -E_PROXY_CHECKSUM;
}

static int read_value(struct bytes header, uint8_t type, struct bytes value, struct proxy_header *h)
{
    switch (type) {
    case PROXY_TLV_ALPN:
        h->alpn = value;
        return 0;
    case PROXY_TLV_AUTHORITY:
        h->authority = value;
        return 0;
    case PROXY_TLV_UNIQUE_ID:
        h->unique_id = value;
        return value.size > PROXY_UNIQUE_ID_MOST ? -E_PROXY_HEADER : 0;
    case PROXY_TLV_NAMESPACE:
        h->namespace = value;
        return 0;
    case PROXY_TLV_CHECKSUM:
        h->has_checksum = true;
        return check_sum(header, value);
    case PROXY_TLV_TLS:
        return read_tls(value, &h->tls);
    default: /* also PROXY_TLV_NOTHING, and what others define for themselves */
        return 0;
    }
}

static int read_values(struct bytes header, struct cursor *c, struct proxy_header *h)
{
    struct bytes value;
    uint64_t seen = 0;
    uint8_t type;

    while (next_vector(c, &type, &value)) {
        bool is_ours = type == PROXY_TLV_TLS || type == PROXY_TLV_NAMESPACE ||
                       (type >= PROXY_TLV_ALPN && type <= PROXY_TLV_UNIQUE_ID && type != PROXY_TLV_NOTHING);
        int error = is_ours && !is_first(&seen, type) ? -E_PROXY_HEADER : read_value(header, type, value, h);
        if (error)
            return error;
    }
    return c->failed ? -E_PROXY_HEADER : 0;
}

/* All of the header is in `header`. */
static int read_content(struct bytes header, uint8_t family, struct proxy_header *ret_header)
{
    struct proxy_header h = { .version = 2 };
    struct cursor c = cursor_of(bytes_from(header, PROXY_V2_FIXED));
    int error;

    read_binary_ends(family, &c, &h);
    error = read_values(header, &c, &h);
    if (error == -E_PROXY_HEADER && family >> 4 == PROXY_UNSPECIFIED) { /* nobody says what its addresses look like */
        h = (struct proxy_header){ .version = 2 };
        error = 0;
    }
    if (!error)
        *ret_header = h;
    return error;
}

static int read_v2(struct bytes in, size_t most, struct proxy_header *ret_header)
{
    struct bytes signature = bytes_of(proxy_signature, sizeof proxy_signature);
    uint8_t command = in.size > 12 ? in.at[12] : PROXY_COMMAND_PROXY, family = in.size > 13 ? in.at[13] : 0;
    bool is_local = command == PROXY_COMMAND_LOCAL;
    size_t length, size;
    int error;

    if (!bytes_start_with(in, bytes_part(signature, 0, in.size)))
        return -E_NOT_PROXY;
    if (command != PROXY_COMMAND_LOCAL && command != PROXY_COMMAND_PROXY)
        return -E_PROXY_HEADER;
    if (!is_local && (family >> 4 > PROXY_UNIX || (family & 15) > PROXY_DATAGRAM))
        return -E_PROXY_HEADER;
    if (in.size < PROXY_V2_FIXED)
        return -E_AGAIN;
    length = (size_t)(in.at[14] << 8 | in.at[15]);
    size = PROXY_V2_FIXED + length;
    if (!is_local && length < ends_size(family))
        return -E_PROXY_HEADER;
    if (size > most)
        return -E_LIMIT;
    if (in.size < size)
        return -E_AGAIN;
    if (is_local) {
        *ret_header = (struct proxy_header){ .version = 2, .is_local = true };
        return (int)size;
    }
    error = read_content(bytes_part(in, 0, size), family, ret_header);
    return error ? error : (int)size;
}

int proxy_header_read(struct bytes in, size_t most, struct proxy_header *ret_header)
{
    if (in.size == 0)
        return -E_AGAIN;
    return in.at[0] == 'P' ? read_v1(in, ret_header) : read_v2(in, most, ret_header);
}
