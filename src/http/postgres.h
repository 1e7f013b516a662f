/* postgres.h: what a PostgreSQL client says before all else, in clear text, and our answers to it.
 *
 *     client                                      us
 *     GSSENCRequest                               'N'            we have no GSSAPI; it may ask for TLS now
 *     SSLRequest                                  'S'            then its ClientHello, and the rest inside TLS
 *     (ClientHello)                                              at once: direct TLS, known by its first byte
 *     CancelRequest                                              a key that a server gave to the client before
 *     StartupMessage                              ErrorResponse  where TLS is required
 *
 * Each is a length (which counts itself) and a code, both of 32 bits. The length is exact: one that its message cannot have
 * is refused as soon as it is seen. Source: PostgreSQL's manual, "Message Flow" 55.2.10 to 55.2.12 and "Message Formats"
 * 55.7 (of version 17); the limits are the server's own. Pure. */
#ifndef HTTP_POSTGRES_H
#define HTTP_POSTGRES_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    POSTGRES_REQUEST = 8,        /* bytes of SSLRequest and GSSENCRequest */
    POSTGRES_CANCEL_LEAST = 16,  /* bytes of CancelRequest: a process number and a key of 4 bytes */
    POSTGRES_CANCEL_MOST = 268,  /* and with a key of 256, from protocol 3.2 on */
    POSTGRES_STARTUP_MOST = 10000,
    POSTGRES_ERROR_MOST = 256,   /* bytes that postgres_write_error() may need */
};

enum postgres_opening {
    POSTGRES_SSL_REQUEST = 1,
    POSTGRES_GSSENC_REQUEST,
    POSTGRES_CANCEL_REQUEST,
    POSTGRES_STARTUP,    /* any version of the protocol: that is between client and server */
    POSTGRES_DIRECT_TLS, /* a record's first byte; nothing is to be consumed */
};

/* What asks a server for TLS; it answers with one byte, 'S' or 'N', and nothing behind it. */
extern const uint8_t postgres_ssl_request[POSTGRES_REQUEST];

/* What `in`, all that came and was not consumed, begins with. Returns an enum postgres_opening and its size in bytes;
 * -E_AGAIN when it cannot be told yet, or is not whole (a StartupMessage need not be); or -E_SYNTAX. */
int postgres_read_opening(struct bytes in, size_t *ret_size) MUST_USE;

/* An ErrorResponse that ends the connection. code: five characters (SQLSTATE); text: for people, at most 160 bytes of it
 * are said. Returns its bytes. */
size_t postgres_write_error(const char *code, const char *text, uint8_t out[POSTGRES_ERROR_MOST]);

#endif
