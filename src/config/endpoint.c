#include "config/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/address.h"
#include "base/check.h"
#include "base/hostname.h"

static const char *const endpoint_forms = "must be an address with a port, such as 127.0.0.1:8080, [::1]:443, name:80, "
                                          ":8443 or unix:/run/app.sock";

static const char *meant(struct arena *arena, const char *text, struct bytes front, const char *middle,
                         struct bytes end)
{
    return arena_printf(arena, "%s\ndid you mean \"%.*s%s%.*s\"?", text, BYTES_PRINT(front), middle, BYTES_PRINT(end));
}

static const char *read_unix(struct arena *arena, struct bytes path, struct option_endpoint *ret_endpoint)
{
    struct address address;
    char *copy = arena_text(arena, path);

    CHECK(copy);
    if (path.size == 0 || (path.at[0] != '/' && path.at[0] != '@'))
        return "needs the absolute path of a Unix socket behind unix:, such as unix:/run/app.sock";
    if (address_from_path(copy, &address) < 0)
        return "has a path that is too long for a Unix socket (107 bytes at most)";
    ret_endpoint->path = copy;
    return NULL;
}

/* The host behind its brackets, as a name or an address. */
static const char *read_host(struct arena *arena, struct bytes host, struct bytes port,
                             struct option_endpoint *ret_endpoint)
{
    struct hostname name;
    bool is_v6 = bytes_find(host, ':') < host.size;

    if (host.size == 0) {
        ret_endpoint->host = "";
        return NULL;
    }
    if (bytes_equal_text(host, "*"))
        return meant(arena, "has * for every address, which is written as nothing", BYTES_LITERAL(""), ":", port);
    if (hostname_parse_pattern(host, &name) < 0 || name.is_pattern)
        return is_v6 ? "has a wrong IPv6 address" : "has a wrong name or address in front of the port";
    ret_endpoint->host = arena_text(arena, bytes_of(name.text, name.size));
    CHECK(ret_endpoint->host);
    return NULL;
}

static bool is_ipv6(struct bytes text)
{
    struct hostname name;
    return bytes_find(text, ':') < text.size && hostname_parse_pattern(text, &name) == 0;
}

/* Several colons: IPv6 without its brackets, and perhaps a port behind it. */
static const char *explain_bare_ipv6(struct arena *arena, struct bytes text)
{
    struct bytes front, port;
    size_t last = text.size;

    while (text.at[last - 1] != ':')
        last--;
    front = bytes_part(text, 0, last - 1);
    port = bytes_from(text, last);
    if (is_ipv6(front) && is_ipv6(text))
        return arena_printf(
            arena, "has an IPv6 address, which needs brackets\ndid you mean \"[%.*s]:%.*s\" or \"[%.*s]:443\"?",
            BYTES_PRINT(front), BYTES_PRINT(port), BYTES_PRINT(text));
    if (is_ipv6(front))
        return arena_printf(arena, "has an IPv6 address, which needs brackets\ndid you mean \"[%.*s]:%.*s\"?",
                            BYTES_PRINT(front), BYTES_PRINT(port));
    if (is_ipv6(text))
        return arena_printf(arena, "has an IPv6 address, which needs brackets and a port\ndid you mean \"[%.*s]:443\"?",
                            BYTES_PRINT(text));
    return endpoint_forms;
}

/* Finds where the host ends: behind "]", or in front of the only colon. */
static const char *split(struct arena *arena, struct bytes text, struct bytes *ret_host, struct bytes *ret_port)
{
    size_t colon = bytes_find(text, ':');
    uint64_t port;
    struct hostname name;

    if (text.size && text.at[0] == '[') {
        size_t close = bytes_find(text, ']');
        if (close == text.size)
            return "has a [ without ]";
        *ret_host = bytes_part(text, 0, close + 1);
        if (close + 1 == text.size)
            return meant(arena, "needs a port", text, ":443", BYTES_LITERAL(""));
        if (text.at[close + 1] != ':')
            return endpoint_forms;
        *ret_port = bytes_from(text, close + 2);
        return NULL;
    }
    if (colon == text.size) {
        if (bytes_to_number(text, 65535, &port) == 0)
            return meant(arena, endpoint_forms, BYTES_LITERAL(""), ":", text);
        if (text.size && text.at[0] == '/')
            return meant(arena, endpoint_forms, BYTES_LITERAL(""), "unix:", text);
        return hostname_parse_pattern(text, &name) == 0 ? meant(arena, "needs a port", text, ":80", BYTES_LITERAL(""))
                                                        : endpoint_forms;
    }
    if (bytes_find(bytes_from(text, colon + 1), ':') < text.size - colon - 1)
        return explain_bare_ipv6(arena, text);
    *ret_host = bytes_part(text, 0, colon);
    *ret_port = bytes_from(text, colon + 1);
    return NULL;
}

/* "http://10.0.0.1:80/": people paste URLs. */
static const char *explain_url(struct arena *arena, struct bytes text)
{
    size_t colon = bytes_find(text, ':');
    struct bytes host = bytes_from(text, colon + 3);
    const char *port = "";

    host = bytes_part(host, 0, bytes_find(host, '/'));
    if (bytes_find(host, ':') == host.size)
        port = bytes_equal_text(bytes_part(text, 0, colon), "https") ? ":443" : ":80";
    return meant(arena, "must be an address with a port, not a URL", host, port, BYTES_LITERAL(""));
}

const char *endpoint_read(struct arena *arena, struct bytes text, struct option_endpoint *ret_endpoint)
{
    struct option_endpoint endpoint = { .text = arena_text(arena, text) };
    struct bytes host = BYTES_NONE, port = BYTES_NONE;
    const char *problem;
    uint64_t number;

    CHECK(endpoint.text);
    if (bytes_start_with(text, BYTES_LITERAL("unix:"))) {
        problem = read_unix(arena, bytes_from(text, 5), &endpoint);
        if (!problem)
            *ret_endpoint = endpoint;
        return problem;
    }
    for (size_t i = 0; i + 3 <= text.size; i++)
        if (bytes_start_with(bytes_from(text, i), BYTES_LITERAL("://")))
            return explain_url(arena, text);
    problem = split(arena, text, &host, &port);
    if (problem)
        return problem;
    if (port.size && bytes_find(port, '/') == port.size - 1)
        return meant(arena, "must end with the port", bytes_part(text, 0, text.size - 1), "", BYTES_LITERAL(""));
    if (bytes_to_number(port, 65535, &number) < 0 || number == 0)
        return arena_printf(arena, "needs a port from 1 to 65535 behind the colon, not \"%.*s\"",
                            BYTES_PRINT(bytes_part(port, 0, 20)));
    problem = read_host(arena, host, port, &endpoint);
    if (problem)
        return problem;
    endpoint.port = (uint16_t)number;
    *ret_endpoint = endpoint;
    return NULL;
}

const char *network_print(struct arena *arena, const struct option_network *network)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    bool v4 = network->prefix_bits >= 96 && memcmp(network->address, mapped, sizeof(mapped)) == 0;
    unsigned bits = v4 ? network->prefix_bits - 96u : network->prefix_bits;
    char address[INET6_ADDRSTRLEN];
    const char *text;

    if (network->is_unix)
        return "unix";
    CHECK(inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? network->address + 12 : network->address, address, sizeof(address)));
    text = bits == (v4 ? 32 : 128) ? arena_printf(arena, "%s", address) : arena_printf(arena, "%s/%u", address, bits);
    CHECK(text);
    return text;
}

/* The network around an address whose bits behind the prefix are not zero. */
static const char *masked(struct arena *arena, struct bytes ip, struct bytes bits_text)
{
    char *copy = arena_text(arena, ip);
    struct option_network network;
    uint64_t bits;
    bool v4;

    CHECK(copy);
    if (network_parse(copy, &network) < 0)
        return NULL;
    v4 = bytes_find(ip, ':') == ip.size;
    if (bytes_to_number(bits_text, v4 ? 32 : 128, &bits) < 0)
        return NULL;
    network.prefix_bits = (uint8_t)(bits + (v4 ? 96 : 0));
    for (unsigned i = 0; i < 16; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            if (8 * i + bit >= network.prefix_bits)
                network.address[i] &= (uint8_t) ~(0x80u >> bit);
    return network_print(arena, &network);
}

const char *network_read(struct arena *arena, struct bytes text, struct option_network *ret_network)
{
    size_t slash = bytes_find(text, '/');
    char *copy = arena_text(arena, text);
    const char *around;

    CHECK(copy);
    if (network_parse(copy, ret_network) == 0)
        return NULL;
    around = slash < text.size ? masked(arena, bytes_part(text, 0, slash), bytes_from(text, slash + 1)) : NULL;
    if (around)
        return arena_printf(arena, "has bits set behind its prefix\ndid you mean %s, or %.*s alone?", around,
                            BYTES_PRINT(bytes_part(text, 0, slash)));
    return "must be an IP address or a network, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, or unix for Unix "
           "sockets";
}
