#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96, RFC 4291 2.5.5.2 */

int address_from_ip(const char *ip, uint16_t port, struct address *ret_address)
{
    struct address a = { .size = 0 };

    if (inet_pton(AF_INET, ip, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        a.size = sizeof(a.v4);
    } else if (inet_pton(AF_INET6, ip, &a.v6.sin6_addr) == 1) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        a.size = sizeof(a.v6);
    } else {
        return -E_SYNTAX;
    }
    *ret_address = a;
    return 0;
}

int address_from_path(const char *path, struct address *ret_address)
{
    struct address a = { .un = { .sun_family = AF_UNIX } };
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof(a.un.sun_path))
        return -E_SYNTAX;
    memcpy(a.un.sun_path, path, size);
    a.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (path[0] == '@')
        a.un.sun_path[0] = 0; /* abstract: the size tells where the name ends */
    else
        a.size++;
    *ret_address = a;
    return 0;
}

/* The path of a Unix socket in the notation of address_from_path. What the kernel gives is not always terminated. */
static struct bytes unix_path(const struct address *a, bool *ret_is_abstract)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    struct bytes path = bytes_of(a->un.sun_path, a->size > start ? a->size - start : 0);

    *ret_is_abstract = path.size > 1 && path.at[0] == 0;
    return *ret_is_abstract ? bytes_from(path, 1) : bytes_part(path, 0, bytes_find(path, 0));
}

/* The address's 16 bytes, IPv4 as IPv6-mapped. Returns false for Unix sockets and none. */
static bool ip_bytes(const struct address *a, uint8_t ret_ip[16])
{
    if (a->size == 0 || (a->any.sa_family != AF_INET && a->any.sa_family != AF_INET6))
        return false;
    if (a->any.sa_family == AF_INET) {
        memcpy(ret_ip, mapped_prefix, sizeof(mapped_prefix));
        memcpy(ret_ip + 12, &a->v4.sin_addr, 4);
    } else {
        memcpy(ret_ip, &a->v6.sin6_addr, 16);
    }
    return true;
}

static bool is_mapped(const uint8_t ip[16])
{
    return memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

void address_box_fill(struct address_box *box, const struct address *a)
{
    *box = (struct address_box){ .family = a->size ? a->any.sa_family : AF_UNSPEC };
    if (box->family == AF_INET) {
        box->port = a->v4.sin_port;
        memcpy(box->ip, &a->v4.sin_addr, 4);
    } else if (box->family == AF_INET6) {
        box->port = a->v6.sin6_port;
        box->scope = a->v6.sin6_scope_id;
        memcpy(box->ip, &a->v6.sin6_addr, 16);
    } else if (box->family == AF_UNIX && a->size > offsetof(struct sockaddr_un, sun_path)) {
        box->named = malloc(sizeof *box->named);
        if (box->named)
            *box->named = *a;
    }
}

void address_box_get(const struct address_box *box, struct address *ret_address)
{
    struct address *a = ret_address;

    if (box->family == AF_UNIX && box->named) {
        *a = *box->named;
        return;
    }
    a->size = 0;
    if (box->family == AF_UNIX) {
        a->size = offsetof(struct sockaddr_un, sun_path);
        a->un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    } else if (box->family == AF_INET) {
        a->size = sizeof a->v4;
        a->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = box->port };
        memcpy(&a->v4.sin_addr, box->ip, 4);
    } else if (box->family == AF_INET6) {
        a->size = sizeof a->v6;
        a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = box->port, .sin6_scope_id = box->scope };
        memcpy(&a->v6.sin6_addr, box->ip, 16);
    }
}

void address_box_clear(struct address_box *box)
{
    if (box->family == AF_UNIX)
        free(box->named);
    *box = (struct address_box){ 0 };
}

/* Each request's fields name its client: inet_ntop() costs ten times as much. */
static char *print_byte(char *at, uint8_t n)
{
    if (n >= 100)
        *at++ = (char)('0' + n / 100);
    if (n >= 10)
        *at++ = (char)('0' + n / 10 % 10);
    *at++ = (char)('0' + n % 10);
    return at;
}

static void print_v4(const uint8_t ip[4], char *at)
{
    for (int i = 0; i < 4; i++) {
        at = print_byte(at, ip[i]);
        *at++ = i < 3 ? '.' : '\0';
    }
}

/* RFC 5952 4: no leading zeros, lower case, the first of the longest runs of two or more zero groups as "::". */
static void print_v6(const uint8_t ip[16], char *at)
{
    static const char hex[] = "0123456789abcdef";
    int gap = -1, gap_groups = 1;

    for (int i = 0, run = 0; i < 8; i++) {
        run = ip[2 * i] || ip[2 * i + 1] ? 0 : run + 1;
        if (run > gap_groups) {
            gap_groups = run;
            gap = i + 1 - run;
        }
    }
    for (int i = 0; i < 8; i++) {
        unsigned group = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
        if (i == gap) {
            *at++ = ':';
            if (i == 0)
                *at++ = ':';
            i += gap_groups - 1;
            if (i == 7)
                break;
            continue;
        }
        for (int shift = group > 0xfff ? 12 : group > 0xff ? 8 : group > 0xf ? 4 : 0; shift >= 0; shift -= 4)
            *at++ = hex[group >> shift & 15];
        if (i < 7)
            *at++ = ':';
    }
    *at = '\0';
}

void address_print_host(const struct address *a, char text[ADDRESS_TEXT])
{
    uint8_t ip[16];

    if (ip_bytes(a, ip)) {
        if (is_mapped(ip))
            print_v4(ip + 12, text);
        else
            print_v6(ip, text);
    } else if (a->size && a->any.sa_family == AF_UNIX) {
        bool is_abstract;
        struct bytes path = unix_path(a, &is_abstract);
        snprintf(text, ADDRESS_TEXT, "unix:%s%.*s", is_abstract ? "@" : "", BYTES_PRINT(path));
    } else {
        snprintf(text, ADDRESS_TEXT, "none");
    }
}

void address_print(const struct address *a, char text[ADDRESS_TEXT])
{
    char host[ADDRESS_TEXT];
    uint8_t ip[16];

    address_print_host(a, host);
    if (!ip_bytes(a, ip))
        snprintf(text, ADDRESS_TEXT, "%s", host);
    else if (is_mapped(ip))
        snprintf(text, ADDRESS_TEXT, "%.100s:%u", host, address_port(a));
    else
        snprintf(text, ADDRESS_TEXT, "[%.100s]:%u", host, address_port(a));
}

uint16_t address_port(const struct address *a)
{
    if (a->size == 0)
        return 0;
    if (a->any.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    uint8_t ip_a[16], ip_b[16];
    bool is_ip = ip_bytes(a, ip_a), abstract_a, abstract_b;

    if (is_ip != ip_bytes(b, ip_b))
        return false;
    if (is_ip)
        return memcmp(ip_a, ip_b, 16) == 0 && address_port(a) == address_port(b);
    if (a->size == 0 || b->size == 0)
        return a->size == b->size;
    return bytes_equal(unix_path(a, &abstract_a), unix_path(b, &abstract_b)) && abstract_a == abstract_b;
}

/* The bits of byte i (0 to 15) that lie within a prefix. */
static uint8_t prefix_mask(unsigned prefix_bits, unsigned i)
{
    unsigned bits = prefix_bits > 8 * i ? prefix_bits - 8 * i : 0;
    return (uint8_t)(bits >= 8 ? 0xffu : 0xffu & (0xff00u >> bits));
}

bool network_contains(const struct option_network *network, const struct address *a)
{
    uint8_t ip[16];

    if (network->is_unix)
        return a->size && a->any.sa_family == AF_UNIX;
    if (!network->is_given || !ip_bytes(a, ip))
        return false;
    /* An IPv6 network so wide that it includes the mapped addresses ("::/0") does not speak of IPv4. */
    if (is_mapped(ip) && network->prefix_bits < 96)
        return false;
    for (unsigned i = 0; i < 16; i++)
        if ((ip[i] & prefix_mask(network->prefix_bits, i)) != network->address[i])
            return false;
    return true;
}

int network_parse(const char *text, struct option_network *ret_network)
{
    struct bytes all = bytes_of_text(text), ip = bytes_part(all, 0, bytes_find(all, '/'));
    struct option_network network = { .is_given = true };
    struct address a;
    char copy[INET6_ADDRSTRLEN];
    uint64_t bits;
    unsigned family_bits;

    if (bytes_equal_text(all, "unix")) {
        network.is_unix = true;
        *ret_network = network;
        return 0;
    }
    if (ip.size == 0 || ip.size >= sizeof(copy))
        return -E_SYNTAX;
    memcpy(copy, ip.at, ip.size);
    copy[ip.size] = 0;
    if (address_from_ip(copy, 0, &a) < 0 || !ip_bytes(&a, network.address))
        return -E_SYNTAX;
    family_bits = a.any.sa_family == AF_INET ? 32 : 128;
    bits = family_bits;
    if (ip.size < all.size && bytes_to_number(bytes_from(all, ip.size + 1), family_bits, &bits) < 0)
        return -E_SYNTAX;
    network.prefix_bits = (uint8_t)(bits + 128 - family_bits);
    for (unsigned i = 0; i < 16; i++)
        if (network.address[i] & ~prefix_mask(network.prefix_bits, i))
            return -E_SYNTAX;
    *ret_network = network;
    return 0;
}
