/* error.h: the one list of what can go wrong.
 *
 * A function that can fail returns 0 or a count, or one of these negated (-E_SYNTAX). Each error has
 *   a class   whose fault it is, which decides how it is treated and counted
 *   a status  the HTTP status that a client gets where one can still be sent (0: none, the connection just ends)
 *   a token   the name in logs and metrics
 *   a text    for people
 * A function either logs or returns an error, never both; the top of the call chain logs once. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

enum error_class {
    ERROR_BLOCKED,  /* not an error: nothing to do until more arrives */
    ERROR_PEER,     /* the client's or the backend's doing */
    ERROR_LIMIT,    /* a limit of the configuration or of the machine was reached */
    ERROR_INTERNAL, /* ours, or the library's, or the kernel's */
    ERROR_USAGE,    /* the operator's: a wrong option or configuration */
};

/*    name                   class     status  token                  text */
#define ERROR_LIST(X) \
    X(E_AGAIN,               BLOCKED,  0,   "again",                  "nothing more for now") \
    X(E_PENDING,             BLOCKED,  0,   "pending",                "work that was handed in is not done yet") \
    X(E_PASSED_ON,           BLOCKED,  0,   "passed_on",              "left to somebody else") \
    X(E_CLOSED,              PEER,     0,   "closed",                 "the peer closed the connection") \
    X(E_RESET,               PEER,     0,   "reset",                  "the peer reset the connection") \
    X(E_TRUNCATED,           PEER,     0,   "truncated",              "the connection ended in the middle of a message") \
    X(E_SYNTAX,              PEER,     400, "syntax",                 "malformed message") \
    X(E_AMBIGUOUS,           PEER,     400, "ambiguous",              "ambiguous message framing") \
    X(E_HOST,                PEER,     400, "host",                   "missing, repeated or invalid Host") \
    X(E_PATH,                PEER,     400, "path",                   "dot segments in a path that is to be rewritten") \
    X(E_METHOD,              PEER,     405, "method",                 "this method is not served") \
    X(E_LENGTH_REQUIRED,     PEER,     411, "length_required",        "the request needs a length") \
    X(E_BODY_TOO_LARGE,      LIMIT,    413, "body_too_large",         "the request body is too large") \
    X(E_URI_TOO_LONG,        LIMIT,    414, "uri_too_long",           "the request line is too long") \
    X(E_EXPECTATION,         PEER,     417, "expectation",            "unknown expectation") \
    X(E_MISDIRECTED,         PEER,     421, "misdirected",            "this connection does not serve that host") \
    X(E_HEAD_TOO_LARGE,      LIMIT,    431, "head_too_large",         "the header section is too large") \
    X(E_NO_ROUTE,            PEER,     404, "no_route",               "no route for this host and path") \
    X(E_CODING,              PEER,     501, "coding",                 "unknown transfer coding") \
    X(E_UPGRADE,             PEER,     501, "upgrade",                "this protocol is not tunnelled here") \
    X(E_VERSION,             PEER,     505, "version",                "unsupported HTTP version") \
    X(E_TIMEOUT_HANDSHAKE,   PEER,     0,   "timeout_handshake",      "the TLS handshake took too long") \
    X(E_TIMEOUT_IDLE,        PEER,     0,   "timeout_idle",           "idle for too long") \
    X(E_TIMEOUT_HEAD,        PEER,     408, "timeout_head",           "the request head took too long") \
    X(E_TIMEOUT_BODY,        PEER,     408, "timeout_body",           "the request body came too slowly") \
    X(E_TIMEOUT_SEND,        PEER,     0,   "timeout_send",           "the client read the response too slowly") \
    X(E_CONNECT,             PEER,     502, "connect",                "the server could not be reached") \
    X(E_SERVER_TLS,          PEER,     502, "server_tls",             "TLS with the server failed") \
    X(E_SERVER_CERTIFICATE,  PEER,     502, "server_certificate",     "the server's certificate was refused") \
    X(E_BAD_RESPONSE,        PEER,     502, "bad_response",           "the server's answer was malformed") \
    X(E_SERVER_CLOSED,       PEER,     502, "server_closed",          "the server closed the connection too early") \
    X(E_SERVER_ALPN,         PEER,     502, "server_alpn",            "the server does not speak HTTP/2") \
    X(E_SERVER_RESET,        PEER,     502, "server_reset",           "the server reset the stream") \
    X(E_SERVER_REFUSED,      PEER,     503, "server_refused",         "the server did not begin with the request") \
    X(E_NO_SERVER,           LIMIT,    503, "no_server",              "no server is available") \
    X(E_OVERLOAD,            LIMIT,    503, "overload",               "too much work at once") \
    X(E_MEMORY,              LIMIT,    503, "memory",                 "out of memory") \
    X(E_STOPPING,            LIMIT,    503, "stopping",               "the proxy is stopping") \
    X(E_TIMEOUT_CONNECT,     PEER,     504, "timeout_connect",        "connecting to the server took too long") \
    X(E_TIMEOUT_RESPONSE,    PEER,     504, "timeout_response",       "the server took too long to answer") \
    X(E_TIMEOUT_SERVER_BODY, PEER,     504, "timeout_server_body",    "the server's answer came too slowly") \
    X(E_TLS,                 PEER,     0,   "tls",                    "the TLS handshake failed") \
    X(E_TLS_ALERT,           PEER,     0,   "tls_alert",              "the peer sent a TLS alert") \
    X(E_NOT_TLS,             PEER,     0,   "not_tls",                "what arrived is not TLS") \
    X(E_UNRECOGNIZED_NAME,   PEER,     0,   "unrecognized_name",      "no certificate for that server name") \
    X(E_UNKNOWN_HOST,        PEER,     0,   "unknown_host",           "nothing is served here without a known server name") \
    X(E_NO_PROTOCOL,         PEER,     0,   "no_protocol",            "the client names no protocol by ALPN that is spoken here") \
    X(E_NO_CERTIFICATE,      PEER,     0,   "no_certificate",         "no certificate that this client can use") \
    X(E_CLIENT_CERTIFICATE,  PEER,     0,   "client_certificate",     "the client's certificate was missing or refused") \
    X(E_PIPELINED,           PEER,     0,   "pipelined",              "bytes came in clear text behind the command that starts TLS") \
    X(E_REFUSED,             PEER,     0,   "refused",                "the server refused to serve") \
    X(E_NOT_PROXY,           PEER,     0,   "not_proxy",              "what arrived is no PROXY protocol header") \
    X(E_PROXY_HEADER,        PEER,     0,   "proxy_header",           "the PROXY protocol header is malformed") \
    X(E_PROXY_CHECKSUM,      PEER,     0,   "proxy_checksum",         "the PROXY protocol header's checksum is wrong") \
    X(E_TIMEOUT_PROXY,       PEER,     0,   "timeout_proxy",          "the PROXY protocol header took too long") \
    X(E_LIMIT,               LIMIT,    0,   "limit",                  "a limit was reached") \
    X(E_FLOOD,               LIMIT,    0,   "flood",                  "more work was made than a client needs") \
    X(E_RECORD_LIMIT,        LIMIT,    0,   "record_limit",           "a TLS key was used up") \
    X(E_KEY_UPDATE,          LIMIT,    0,   "key_update",             "the kernel cannot change the keys of a TLS connection") \
    X(E_CRYPTO,              INTERNAL, 500, "crypto",                 "the cryptographic library failed") \
    X(E_SYSTEM,              INTERNAL, 500, "system",                 "a system call failed") \
    X(E_INTERNAL,            INTERNAL, 500, "internal",               "internal error") \
    X(E_CONFIG,              USAGE,    0,   "config",                 "the configuration is wrong") \
    X(E_USAGE,               USAGE,    0,   "usage",                  "wrong usage")

enum error {
    E_OK,
#define X(name, class, status, token, text) name,
    ERROR_LIST(X)
#undef X
    E_COUNT
};

/* Each takes the error with either sign. An unknown number is E_INTERNAL's. */
enum error_class error_class(int error);
int error_status(int error);         /* HTTP status or 0 */
const char *error_token(int error);  /* "timeout_head" */
const char *error_text(int error);   /* "the request head took too long" */

#define MUST_USE __attribute__((warn_unused_result))

#endif
