/* proxy_protocol.h: the PROXY protocol, by which a proxy tells the next one, before all else on a connection, whom it
 * speaks for.
 *
 *     bytes from the start of a connection --proxy_header_read()--> struct proxy_header, and how many bytes it took
 *     struct proxy_header --proxy_header_write()--> bytes to be sent before all else
 *
 * Version 1 is a line of text with the two ends' addresses and ports:
 *
 *     PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n
 *
 * Version 2 is binary: a signature of 12 bytes, version and command, family and transport, the length of all that
 * follows; then the addresses, and vectors of type, length and value (TLVs) that say more: ALPN, the name that the
 * client asked for, an identifier, TLS with the client's certificate, a checksum.
 *
 *     0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | 21 | 11 | 00 0C | source, destination, their ports | TLVs
 *
 * The reader takes exactly the header: what follows it belongs to the next protocol. It judges each byte as soon as it can,
 * so that what is no header is known by its first byte, and it believes no length before it has compared it. A header
 * may come in pieces of any size: call again with more. Views in a header point into the bytes that were read.
 *
 * Whom to believe is not decided here: proxy/session_proxied.c reads headers from listed networks alone.
 *
 * Pure. Source: "The PROXY protocol, versions 1 & 2" (haproxy, doc/proxy-protocol.txt), sections 2.1 and 2.2. */
#ifndef HTTP_PROXY_PROTOCOL_H
#define HTTP_PROXY_PROTOCOL_H

#include "base/address.h"

enum {
    PROXY_V1_MOST = 107,        /* bytes of a line with its CRLF (2.1) */
    PROXY_V2_FIXED = 16,        /* before addresses and TLVs (2.2) */
    PROXY_V2_MOST = 16 + 65535, /* that the length field can say */
    PROXY_UNIQUE_ID_MOST = 128, /* 2.2.5 */
    PROXY_WRITTEN_MOST = 2048,  /* room that any header of ours fits in: see struct proxy_header */
};

/* TLS of the client with the sender (2.2.6). Names are as the sender's library spells them; empty: not told. */
struct proxy_tls {
    bool is_told;             /* there was such a TLV; the rest is of it */
    bool over_tls;            /* PP2_CLIENT_SSL */
    bool certificate_now;     /* PP2_CLIENT_CERT_CONN: the client gave a certificate on this connection, */
    bool certificate_before;  /* PP2_CLIENT_CERT_SESS: or at least once in the session that it belongs to */
    bool verified;            /* it gave one, and that was found good: `verify` is zero */
    struct bytes version;     /* "TLSv1.3" */
    struct bytes cipher;      /* "ECDHE-RSA-AES128-GCM-SHA256" */
    struct bytes common_name; /* CN of the client's certificate */
    struct bytes signature_algorithm, key_algorithm; /* of the sender's own certificate: "SHA256", "RSA2048" */
};

struct proxy_header {
    uint8_t version; /* 1 or 2 */
    /* The sender speaks for itself (LOCAL: a health check): the connection's own ends count, and nothing else is told. */
    bool is_local;
    /* IPv4, IPv6 or Unix, both of one family. size 0: not told (UNKNOWN, an unspecified family, another transport than a
     * stream): then too the connection's own ends count. */
    struct address source, destination;
    /* TLVs of version 2; empty: not told. */
    struct bytes alpn, authority, unique_id, namespace;
    bool has_checksum; /* read: and it is right; written: one is added */
    struct proxy_tls tls;
};

/* Reads the header that `in` begins with, of at most `most` bytes (a line of version 1 has PROXY_V1_MOST anyhow).
 * Returns the header's size in bytes, of which nothing else was looked at, or
 *   -E_AGAIN           it may become one: come again with more
 *   -E_NOT_PROXY       what arrived is no header from its first bytes on
 *   -E_PROXY_HEADER    it began like one, but is malformed: a wrong version, command, family, length, address, TLV, or
 *                      one of the TLVs above twice
 *   -E_PROXY_CHECKSUM  its checksum is wrong
 *   -E_LIMIT           it is longer than `most` */
int proxy_header_read(struct bytes in, size_t most, struct proxy_header *ret_header) MUST_USE;

/* Writes a header of its `version`. Ends of which one is IPv4 and one IPv6 are both written as IPv6, the former mapped; ends of
 * other unlike families, or none, become UNKNOWN (1) or an unspecified family (2), as do Unix sockets in version 1.
 * Version 1 says nothing but addresses, and has no word for is_local: the ends' addresses are expected then too.
 * Returns the size, or -E_LIMIT when it exceeds the room: never with PROXY_WRITTEN_MOST bytes and texts of at most 255. */
int proxy_header_write(const struct proxy_header *header, uint8_t *out, size_t room) MUST_USE;

/* CRC-32C (Castagnoli, RFC 3720 B.4) of some bytes behind those that `before` was made of; start with 0. */
uint32_t proxy_crc32c(uint32_t before, struct bytes data);

#endif
