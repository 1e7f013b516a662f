/* client_hello.h: the first message of a TLS connection, read before any engine is chosen (RFC 8446 4.1.2, RFC 5246 7.4.1.2).
 *
 * The connection collects bytes; client_hello_read() says whether the whole message is there, in however many records
 * and segments it came, and gives views of what choices need: the server name, ALPN, versions, groups, signature
 * algorithms, cipher suites. Our own engine goes on with them (handshake.h); OpenSSL gets the same bytes, untouched. Pure. */
#ifndef TLS_CLIENT_HELLO_H
#define TLS_CLIENT_HELLO_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hostname.h"

enum {
    CLIENT_HELLO_MOST = 66560,      /* bytes of the message: 65,535 of extensions, and hundreds of suites; more is refused */
    CLIENT_HELLO_WIRE_MOST = 67000, /* bytes in which it must have come, so that records of one byte have an end too:
                                     * what a BUFFER_LARGE holds */
};

struct client_hello {
    struct bytes message;               /* handshake header and body, joined from its records; in the arena or `in` */
    size_t wire_bytes;                  /* of `in` that held it, record headers included */
    uint16_t legacy_version;
    struct bytes random;                /* 32 bytes */
    struct bytes session_id;            /* 0..32 bytes */
    struct bytes cipher_suites;         /* pairs of bytes, big-endian */
    struct bytes server_name_wire;      /* as sent, printable ASCII, for the log; empty when absent */
    bool has_server_name;               /* false also for what is no DNS name, such as an address: treated as no name */
    struct hostname server_name;        /* canonical; only when has_server_name */
    struct bytes alpn;                  /* ProtocolNameList's content: length-prefixed names; empty when absent */
    struct bytes supported_versions;    /* pairs; empty when absent (then legacy_version counts) */
    struct bytes supported_groups;      /* pairs */
    struct bytes point_formats;         /* a byte each; empty when absent (RFC 8422 5.1.2) */
    bool is_malformed_1_2;              /* in an extension that TLS 1.2 alone has; refused where TLS 1.3 is not offered */
    struct bytes signature_algorithms;  /* pairs; empty when absent */
    struct bytes signature_algorithms_cert;
    struct bytes extensions;            /* all of them, as sent */
    bool has_key_share;
    struct bytes key_shares;            /* content of client_shares; may be empty */
    struct bytes psk_modes;             /* a byte each; empty when absent (RFC 8446 4.2.9) */
    struct bytes psk_identities;        /* content of the list; empty when absent */
    struct bytes psk_binders;           /* likewise, as many */
    struct bytes truncated;             /* the message in front of its binders (RFC 8446 4.2.11.2) */
    struct bytes compressions;          /* pairs: of certificates (RFC 8879); empty when absent */
    uint16_t record_size_limit;         /* RFC 8449; 0: absent */
    uint8_t max_fragment_length;        /* RFC 6066 4; 0: absent */
    bool has_cookie, has_pre_shared_key, has_early_data, has_status_request, has_sct;
};

/* in: all bytes received so far. arena: takes the joined message when it came in several records.
 * Strict where two readers could differ: exact lengths at every level, no extension twice, one server name, no empty
 * record, nothing behind the message in its last record. What it does not know (GREASE among it) it ignores.
 * Returns 0, -E_AGAIN (more bytes needed), -E_NOT_TLS (not even a record header of TLS; `in` may be plain HTTP),
 * or -E_TLS with ret_alert set to the alert that the fault deserves (decode_error, unexpected_message, record_overflow,
 * illegal_parameter, protocol_version); -E_MEMORY. ret_hello is written only with 0. */
int client_hello_read(struct bytes in, struct arena *arena, struct client_hello *ret_hello, uint8_t *ret_alert) MUST_USE;
/* The same of a whole message, header included, that was taken out of its records; wire_bytes is 0. 0 or -E_TLS. */
int client_hello_parse(struct bytes message, struct client_hello *ret_hello, uint8_t *ret_alert) MUST_USE;

bool client_hello_offers_version(const struct client_hello *h, uint16_t version); /* 0x0303, 0x0304 */
bool client_hello_offers_suite(const struct client_hello *h, uint16_t suite);
bool client_hello_offers_signature(const struct client_hello *h, uint16_t scheme);
bool client_hello_offers_group(const struct client_hello *h, uint16_t group);
bool client_hello_offers_compression(const struct client_hello *h, uint16_t algorithm);
/* RFC 7301 3.2: the first of our names that is among theirs, a view of ours; both as in a ProtocolNameList. Empty: none. */
struct bytes alpn_choose(struct bytes ours, struct bytes theirs);
/* The share of a group; empty: there is none. */
struct bytes client_hello_share(const struct client_hello *h, uint16_t group);
/* Whether PSKs may be used with (EC)DHE: psk_dhe_ke. */
bool client_hello_offers_psk_dhe(const struct client_hello *h);
/* The next offered PSK, from the first on when the cursors are those of psk_identities and psk_binders. false: no more. */
bool client_hello_next_psk(struct cursor *identities, struct cursor *binders, struct bytes *ret_identity, struct bytes *ret_binder);
/* A digest of what a second ClientHello must repeat (RFC 8446 4.1.2): all but key_share, early_data, cookie, pre_shared_key and
 * padding. In whatever order: wolfSSL 5.5 changes it. */
void client_hello_digest(const struct client_hello *h, uint8_t ret_digest[32]);

/* Alerts that the proxy itself may have to send before or beside an engine (RFC 8446 6). */
enum tls_alert {
    ALERT_CLOSE_NOTIFY = 0, ALERT_UNEXPECTED_MESSAGE = 10, ALERT_BAD_RECORD_MAC = 20, ALERT_RECORD_OVERFLOW = 22,
    ALERT_HANDSHAKE_FAILURE = 40, ALERT_USER_CANCELED = 90, ALERT_NO_RENEGOTIATION = 100,
    ALERT_ILLEGAL_PARAMETER = 47, ALERT_DECODE_ERROR = 50, ALERT_PROTOCOL_VERSION = 70, ALERT_INTERNAL_ERROR = 80,
    ALERT_UNRECOGNIZED_NAME = 112, ALERT_NO_APPLICATION_PROTOCOL = 120,
    ALERT_BAD_CERTIFICATE = 42, ALERT_UNSUPPORTED_CERTIFICATE = 43, ALERT_CERTIFICATE_REVOKED = 44,
    ALERT_CERTIFICATE_EXPIRED = 45, ALERT_CERTIFICATE_UNKNOWN = 46, ALERT_UNKNOWN_CA = 48, ALERT_DECRYPT_ERROR = 51,
    ALERT_MISSING_EXTENSION = 109, ALERT_UNSUPPORTED_EXTENSION = 110,
    ALERT_CERTIFICATE_REQUIRED = 116,
};
enum { ALERT_RECORD = 7 }; /* bytes of an unprotected alert record */
void alert_write(uint8_t alert, uint8_t out[ALERT_RECORD]);
/* "unrecognized_name"; "unknown" for unknown numbers. */
const char *alert_name(uint8_t alert);

#endif
