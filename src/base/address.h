/* address.h: IP addresses and networks as values. Pure: no name is resolved here. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/option.h"

/* A socket's address: IPv4, IPv6 or Unix. size 0: none. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };
    socklen_t size;
};

/* The same in 24 bytes, for what is kept per connection: the name of a Unix socket, which few have, is kept apart. */
struct address_box {
    uint16_t family; /* AF_UNSPEC: none */
    uint16_t port;   /* of the network's byte order */
    uint32_t scope;
    union {
        uint8_t ip[16];
        struct address *named; /* AF_UNIX; NULL: it has no name */
    };
};
/* Over what was there, which is not freed. Without memory, a Unix socket has no name. */
void address_box_fill(struct address_box *box, const struct address *a);
void address_box_get(const struct address_box *box, struct address *ret_address);
void address_box_clear(struct address_box *box);

enum { ADDRESS_TEXT = 128 }; /* bytes: room for every address as text, terminated */

/* An IP literal without brackets, and a port. Returns 0 or -E_SYNTAX. */
int address_from_ip(const char *ip, uint16_t port, struct address *ret_address) MUST_USE;
/* A Unix socket's path ('@' first: abstract). Returns 0 or -E_SYNTAX when it is too long or empty. */
int address_from_path(const char *path, struct address *ret_address) MUST_USE;
/* "192.0.2.1", "2001:db8::1", "unix:/run/x"; without the port. IPv4-mapped IPv6 prints as IPv4. */
void address_print_host(const struct address *a, char text[ADDRESS_TEXT]);
/* "192.0.2.1:443", "[2001:db8::1]:443", "unix:/run/x" */
void address_print(const struct address *a, char text[ADDRESS_TEXT]);
uint16_t address_port(const struct address *a); /* 0 for Unix sockets */
bool address_equal(const struct address *a, const struct address *b);
/* Whether an address lies in a network; IPv4-mapped IPv6 counts as IPv4; IPv4 lies in no IPv6 network ("::/0"), and
 * Unix sockets in the network "unix" alone. */
bool network_contains(const struct option_network *network, const struct address *a);
/* "10.0.0.0/8", "::1" and the like, or "unix"; bits behind the prefix must be zero. Returns 0 or -E_SYNTAX. */
int network_parse(const char *text, struct option_network *ret_network) MUST_USE;

#endif
