/* channel.h: how the supervisor and the worker speak: small messages over a socket pair (SOCK_SEQPACKET), each whole or
 * not at all, with descriptors beside them.
 *
 *     supervisor                                              worker
 *        |-- CONFIG (sealed memfd: the bundle) ---------------->|
 *        |-- TICKETS, ACCESS_LOG (fd), EVENT_LOG (fd) --------->|
 *        |-- SOCKETS (up to CHANNEL_SOCKETS fds), ... --------->|
 *        |<-- BUILT or REFUSED (same generation) ---------------|  the snapshot, out of CONFIG
 *        |-- PUBLISH ------------------------------------------>|  hands snapshot and sockets to its threads
 *        |<-- READY --------------------------------------------|  all of them use it
 *        |-- DRAIN, STOP -------------------------------------->|
 *
 * The supervisor's end does not block: a worker that does not read its messages is broken. When either end closes, the
 * other sees the end of file: a worker then stops, for nobody would take its sockets over. */
#ifndef APP_CHANNEL_H
#define APP_CHANNEL_H

#include "base/address.h"
#include "tls/tickets.h"

enum channel_kind {
    CHANNEL_CONFIG,
    CHANNEL_TICKETS,
    CHANNEL_ACCESS_LOG,
    CHANNEL_EVENT_LOG,
    CHANNEL_SOCKETS,
    CHANNEL_PUBLISH,
    CHANNEL_DRAIN,
    CHANNEL_STOP,
    CHANNEL_BUILT,
    CHANNEL_REFUSED,
    CHANNEL_READY,
};

enum { CHANNEL_SOCKETS_MOST = 200 }; /* entries of one message; the kernel passes at most 253 descriptors (SCM_MAX_FD) */

/* A listening socket for one of the worker's threads. */
struct channel_socket {
    struct address address;
    uint32_t thread;
    bool shared; /* other threads have the same socket */
    bool has_fd; /* false: the worker has it already */
};

struct channel_message {
    enum channel_kind kind;
    uint32_t generation; /* of the configuration: CONFIG, SOCKETS, PUBLISH, and the answers */
    uint32_t count;      /* SOCKETS: entries */
    int32_t format;      /* ACCESS_LOG: enum access_format; EVENT_LOG: enum log_level */
    bool is_syslog;      /* ACCESS_LOG, EVENT_LOG: the descriptor is syslog's socket */
    union {
        struct ticket_keys tickets;
        struct channel_socket sockets[CHANNEL_SOCKETS_MOST];
    };
};

/* Two ends. Returns 0 or -E_SYSTEM (errno). */
int channel_open(int ret_ends[2]) MUST_USE;
/* Sends one message with its descriptors, which stay the caller's. Returns 0 or -E_SYSTEM (errno). */
int channel_send(int end, const struct channel_message *m, const int *fds, size_t fd_count) MUST_USE;
/* Takes one message; the descriptors are the caller's. fds has room for CHANNEL_SOCKETS_MOST.
 * Returns 0, -E_AGAIN (none there, on an end that does not block), -E_CLOSED, or -E_SYSTEM (errno). */
int channel_receive(int end, struct channel_message *ret_message, int *ret_fds, size_t *ret_fd_count) MUST_USE;

/* A sealed memfd: nobody can change its content any more. Returns the descriptor or -E_SYSTEM (errno). */
int sealed_open(const char *name, size_t size, uint8_t **ret_content) MUST_USE; /* writable; then */
int sealed_close(int fd, uint8_t *content, size_t size) MUST_USE;               /* sealed */
/* Maps it for reading; checks that it is sealed. Returns 0 or -E_SYSTEM. */
int sealed_map(int fd, const uint8_t **ret_content, size_t *ret_size) MUST_USE;

#endif
