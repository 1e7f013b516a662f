/* options.h: what the configuration says of TCP sockets: those of clients, and those to servers.
 *
 * A listener's values are set on its listening socket, from which the kernel hands them to each connection that is accepted,
 * so that they cost no call there. TCP_NODELAY has no option: what we write is whole, and is to leave at once. */
#ifndef NET_OPTIONS_H
#define NET_OPTIONS_H

#include "base/option.h"

struct socket_options {
    uint64_t keep_alive_ns;          /* of silence, before the first probe; 0: no probes */
    uint64_t keep_alive_interval_ns; /* between two probes */
    uint64_t keep_alive_probes;      /* without an answer, after which the connection counts as dead */
    uint64_t user_timeout_ns;        /* that sent bytes may wait for the peer's kernel; 0: the kernel's own limit */
    uint64_t send_buffer_bytes;      /* 0: the kernel chooses, and changes it as it sees fit */
    uint64_t receive_buffer_bytes;
    uint64_t backlog;                /* of listeners; 0: what the kernel allows at most */
};

extern const struct option_table listener_socket_options, server_socket_options;

#endif
