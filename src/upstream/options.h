/* options.h: what the configuration says of upstreams: named groups of servers that requests are passed on to. */
#ifndef UPSTREAM_OPTIONS_H
#define UPSTREAM_OPTIONS_H

#include "net/options.h"
#include "tls/policy.h"

struct server_options {
    struct option_endpoint address;
};

struct upstream_timeouts {
    uint64_t connect_ns;
    uint64_t response_head_ns; /* from the request's last byte to the response's head */
    uint64_t response_gap_ns;  /* between two pieces of the response */
    uint64_t ping_ns;          /* HTTP/2: of silence, until the server is asked; 0: never */
};

struct pool_options {
    uint64_t idle;         /* connections per server and thread */
    uint64_t idle_time_ns;
    uint64_t h2_connections; /* per server and thread */
};

enum send_proxy { SEND_PROXY_OFF, SEND_PROXY_V1, SEND_PROXY_V2, SEND_PROXY_V2_ADDRESSES };
enum upstream_protocol { UPSTREAM_HTTP1, UPSTREAM_H2, UPSTREAM_AUTO };

struct upstream_options {
    const char *name;
    struct option_list servers; /* struct server_options */
    int protocol;               /* enum upstream_protocol */
    struct upstream_timeouts timeouts;
    struct pool_options pool;
    struct tls_client_options *tls; /* NULL: in clear */
    int send_proxy;             /* enum send_proxy */
    bool fast_open;
    struct socket_options tcp;
};

extern const struct option_table upstream_options;

#endif
