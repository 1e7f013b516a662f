/* access_log.h: one line for each request and each relayed connection, written off the hot path.
 *
 *     worker threads --access_log_write()--> one bounded ring each --scribe thread--> descriptor
 *
 * A worker formats its line into its ring and goes on; the scribe, one thread per process, wakes at most some twenty
 * times a second, and writes what all rings hold. A line that does not fit is dropped and counted. The descriptor is a
 * file, a pipe or the datagram socket of syslog; the supervisor opens it and replaces it after a rotation. */
#ifndef OBSERVE_ACCESS_LOG_H
#define OBSERVE_ACCESS_LOG_H

#include "base/address.h"
#include "base/bytes.h"
#include "base/error.h"

enum access_format { ACCESS_JSON, ACCESS_COMBINED };

/* What one line can say. Views need to be valid only during the call; empty ones are left out or "-". */
struct access_record {
    int64_t started_unix_us;
    const struct address *client;
    struct bytes listener, request_id;
    const char *protocol;           /* of a relayed connection, which has no request: "tcp"; NULL: HTTP */
    /* the request */
    struct bytes method, authority, path, referer, user_agent;
    int http_version;               /* enum http_version */
    int status;                     /* sent to the client; 0: none could be */
    int grpc_status;                /* of a call; -1: none was told */
    const char *error;              /* error_token of what went wrong, or NULL */
    uint64_t request_body_bytes, response_body_bytes; /* of a relayed connection: all that came, and all that went */
    /* the TLS connection; tls_version NULL where none of ours; sni also where it was passed through */
    const char *tls_version, *tls_suite, *tls_group, *tls_engine;
    bool tls_resumed;
    struct bytes sni, alpn;
    /* where it went */
    struct bytes upstream, server;
    uint32_t attempts;              /* servers tried */
    bool server_reused;
    /* phases in microseconds; -1: did not happen */
    int64_t handshake_us, head_us, connect_us, response_head_us, total_us;
};

struct access_log;

/* threads: how many rings. ring_bytes: of each, a power of two. The scribe starts when a descriptor is there. NULL: memory. */
struct access_log *access_log_new(unsigned threads, size_t ring_bytes);
/* fd is owned by the log from here on (-1: log nothing); the previous one is closed after what was meant for it was
 * written. is_syslog: each line becomes one datagram of the local syslog. Any thread. */
void access_log_set(struct access_log *log, int fd, enum access_format format, bool is_syslog);
/* Called by worker thread number `thread` alone. */
void access_log_write(struct access_log *log, unsigned thread, const struct access_record *r);
bool access_log_is_on(const struct access_log *log);
uint64_t access_log_dropped(const struct access_log *log);
/* Writes what is left, ends the scribe, frees. */
void access_log_free(struct access_log *log);

/* One line without its newline, into out; returns the bytes (never more than room; fields are shortened to fit). Pure. */
size_t access_format_line(const struct access_record *r, enum access_format format, char *out, size_t room);

#endif
