/* proxy_private.h: the numbers of the PROXY protocol, for its reader and its writer. */
#ifndef HTTP_PROXY_PRIVATE_H
#define HTTP_PROXY_PRIVATE_H

#include <stdint.h>

extern const uint8_t proxy_signature[12];

enum { PROXY_COMMAND_LOCAL = 0x20, PROXY_COMMAND_PROXY = 0x21 };                            /* with the version before it */
enum { PROXY_UNSPECIFIED = 0, PROXY_INET = 1, PROXY_INET6 = 2, PROXY_UNIX = 3 };            /* the family's upper half */
enum { PROXY_STREAM = 1, PROXY_DATAGRAM = 2 };                                              /* the lower one */
enum { PROXY_INET_ENDS = 12, PROXY_INET6_ENDS = 36, PROXY_UNIX_ENDS = 216, PROXY_UNIX_PATH = 108 }; /* bytes */

enum {
    PROXY_TLV_ALPN = 0x01,
    PROXY_TLV_AUTHORITY = 0x02,
    PROXY_TLV_CHECKSUM = 0x03,
    PROXY_TLV_NOTHING = 0x04,
    PROXY_TLV_UNIQUE_ID = 0x05,
    PROXY_TLV_TLS = 0x20,
    PROXY_TLV_TLS_VERSION = 0x21, /* these five within PROXY_TLV_TLS */
    PROXY_TLV_TLS_COMMON_NAME = 0x22,
    PROXY_TLV_TLS_CIPHER = 0x23,
    PROXY_TLV_TLS_SIGNATURE_ALGORITHM = 0x24,
    PROXY_TLV_TLS_KEY_ALGORITHM = 0x25,
    PROXY_TLV_NAMESPACE = 0x30,
};

enum { PROXY_CLIENT_TLS = 1, PROXY_CLIENT_CERTIFICATE_NOW = 2, PROXY_CLIENT_CERTIFICATE_BEFORE = 4 };

#endif
