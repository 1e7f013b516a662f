/* proxy_write.c: writes PROXY protocol headers of both versions. */
#include <arpa/inet.h>
#include <stdio.h>

#include "http/proxy_private.h"
#include "http/proxy_protocol.h"

const uint8_t proxy_signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

uint32_t proxy_crc32c(uint32_t before, struct bytes data)
{
    uint32_t sum = ~before;

    for (size_t i = 0; i < data.size; i++) {
        sum ^= data.at[i];
        for (int bit = 0; bit < 8; bit++) /* a header is short, and there is one a connection: a table would not pay */
            sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
    }
    return ~sum;
}

/* ---- the ends, of one family ---- */

struct ends {
    int family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: there is nothing that both could be written as */
    uint8_t source[16], destination[16];
};

/* As 16 bytes, IPv4 mapped. Returns whether it is an IP address. */
static bool take_ip(const struct address *a, uint8_t ret_ip[16])
{
    if (a->size == 0 || (a->any.sa_family != AF_INET && a->any.sa_family != AF_INET6))
        return false;
    if (a->any.sa_family == AF_INET6) {
        memcpy(ret_ip, &a->v6.sin6_addr, 16);
    } else {
        memset(ret_ip, 0, 10);
        memset(ret_ip + 10, 0xff, 2);
        memcpy(ret_ip + 12, &a->v4.sin_addr, 4);
    }
    return true;
}

static bool is_mapped(const uint8_t ip[16])
{
    return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ip);
}

static bool is_unix(const struct address *a)
{
    return a->size && a->any.sa_family == AF_UNIX;
}

static struct ends ends_of(const struct proxy_header *h)
{
    struct ends e = { .family = AF_UNSPEC };

    if (h->is_local && h->version == 2)
        return e;
    if (take_ip(&h->source, e.source) && take_ip(&h->destination, e.destination))
        e.family = is_mapped(e.source) && is_mapped(e.destination) ? AF_INET : AF_INET6;
    else if (is_unix(&h->source) && is_unix(&h->destination))
        e.family = AF_UNIX;
    return e;
}

/* ---- version 1 ---- */

static int write_v1(const struct proxy_header *h, uint8_t *out, size_t room)
{
    struct ends e = ends_of(h);
    size_t skipped = e.family == AF_INET ? 12 : 0;
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], line[PROXY_V1_MOST + 1];
    int size;

    if (e.family != AF_INET && e.family != AF_INET6)
        size = snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    else if (inet_ntop(e.family, e.source + skipped, source, sizeof source) &&
             inet_ntop(e.family, e.destination + skipped, destination, sizeof destination))
        size = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", e.family == AF_INET ? "TCP4" : "TCP6", source,
                        destination, address_port(&h->source), address_port(&h->destination));
    else
        return -E_LIMIT;
    if ((size_t)size >= sizeof line || (size_t)size > room)
        return -E_LIMIT;
    memcpy(out, line, (size_t)size);
    return size;
}

/* ---- version 2 ---- */

/* Appends; what does not fit sets `failed`. */
struct writer {
    uint8_t *out;
    size_t used, room;
    bool failed;
};

static void add(struct writer *w, struct bytes data)
{
    if (w->failed || data.size > w->room - w->used) {
        w->failed = true;
        return;
    }
    if (data.size)
        memcpy(w->out + w->used, data.at, data.size);
    w->used += data.size;
}

static void add_number(struct writer *w, uint32_t number, size_t bytes)
{
    uint8_t text[4];

    for (size_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
    add(w, bytes_of(text, bytes));
}

static void add_path(struct writer *w, const struct address *a)
{
    static const uint8_t zeros[PROXY_UNIX_PATH];
    size_t start = offsetof(struct sockaddr_un, sun_path), size = a->size > start ? a->size - start : 0;

    if (size > PROXY_UNIX_PATH)
        size = PROXY_UNIX_PATH;
    add(w, bytes_of(a->un.sun_path, size));
    add(w, bytes_of(zeros, PROXY_UNIX_PATH - size));
}

static uint8_t family_byte(int family)
{
    switch (family) {
    case AF_INET:
        return PROXY_INET << 4 | PROXY_STREAM;
    case AF_INET6:
        return PROXY_INET6 << 4 | PROXY_STREAM;
    case AF_UNIX:
        return PROXY_UNIX << 4 | PROXY_STREAM;
    default:
        return PROXY_UNSPECIFIED;
    }
}

static void add_ends(struct writer *w, const struct proxy_header *h, const struct ends *e)
{
    size_t skipped = e->family == AF_INET ? 12 : 0;

    if (e->family == AF_UNIX) {
        add_path(w, &h->source);
        add_path(w, &h->destination);
    } else if (e->family != AF_UNSPEC) {
        add(w, bytes_of(e->source + skipped, 16 - skipped));
        add(w, bytes_of(e->destination + skipped, 16 - skipped));
        add_number(w, address_port(&h->source), 2);
        add_number(w, address_port(&h->destination), 2);
    }
}

/* A vector of text, where there is text. */
static void add_text(struct writer *w, uint8_t type, struct bytes text)
{
    if (text.size == 0)
        return;
    if (text.size > UINT16_MAX)
        w->failed = true;
    add_number(w, type, 1);
    add_number(w, (uint32_t)text.size, 2);
    add(w, text);
}

/* Leaves room for a length of two bytes; add_length fills in what was added since. */
static size_t begin_length(struct writer *w)
{
    size_t at = w->used;

    add_number(w, 0, 2);
    return at;
}

static void end_length(struct writer *w, size_t at)
{
    size_t length = w->used - at - 2;

    if (w->failed || length > UINT16_MAX) {
        w->failed = true;
        return;
    }
    w->out[at] = (uint8_t)(length >> 8);
    w->out[at + 1] = (uint8_t)length;
}

static void add_tls(struct writer *w, const struct proxy_tls *tls)
{
    size_t length;

    if (!tls->is_told)
        return;
    add_number(w, PROXY_TLV_TLS, 1);
    length = begin_length(w);
    add_number(w,
               (tls->over_tls ? PROXY_CLIENT_TLS : 0u) | (tls->certificate_now ? PROXY_CLIENT_CERTIFICATE_NOW : 0u) |
                   (tls->certificate_before ? PROXY_CLIENT_CERTIFICATE_BEFORE : 0u),
               1);
    add_number(w, !tls->verified, 4);
    add_text(w, PROXY_TLV_TLS_VERSION, tls->version);
    add_text(w, PROXY_TLV_TLS_COMMON_NAME, tls->common_name);
    add_text(w, PROXY_TLV_TLS_CIPHER, tls->cipher);
    add_text(w, PROXY_TLV_TLS_SIGNATURE_ALGORITHM, tls->signature_algorithm);
    add_text(w, PROXY_TLV_TLS_KEY_ALGORITHM, tls->key_algorithm);
    end_length(w, length);
}

/* The room of a sum. Returns where it stands. */
static size_t add_checksum(struct writer *w)
{
    add_number(w, PROXY_TLV_CHECKSUM, 1);
    add_number(w, 4, 2);
    add_number(w, 0, 4);
    return w->used - 4;
}

static int write_v2(const struct proxy_header *h, uint8_t *out, size_t room)
{
    struct writer w = { .out = out, .room = room };
    struct ends e = ends_of(h);
    size_t length, checksum = 0;

    add(&w, bytes_of(proxy_signature, sizeof proxy_signature));
    add_number(&w, h->is_local ? PROXY_COMMAND_LOCAL : PROXY_COMMAND_PROXY, 1);
    add_number(&w, family_byte(e.family), 1);
    length = begin_length(&w);
    add_ends(&w, h, &e);
    if (!h->is_local) {
        add_text(&w, PROXY_TLV_ALPN, h->alpn);
        add_text(&w, PROXY_TLV_AUTHORITY, h->authority);
        if (h->has_checksum)
            checksum = add_checksum(&w);
        w.failed |= h->unique_id.size > PROXY_UNIQUE_ID_MOST;
        add_text(&w, PROXY_TLV_UNIQUE_ID, h->unique_id);
        add_tls(&w, &h->tls);
        add_text(&w, PROXY_TLV_NAMESPACE, h->namespace);
    }
    end_length(&w, length);
    if (w.failed)
        return -E_LIMIT;
    if (checksum) {
        uint32_t sum = proxy_crc32c(0, bytes_of(out, w.used));
        for (int i = 0; i < 4; i++)
            out[checksum + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
    }
    return (int)w.used;
}

int proxy_header_write(const struct proxy_header *header, uint8_t *out, size_t room)
{
    return header->version == 1 ? write_v1(header, out, room) : write_v2(header, out, room);
}
