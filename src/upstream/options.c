#include "upstream/options.h"

static const struct option server_rows[] = {
    { "address", OPTION_ENDPOINT, OPTION_AT(struct server_options, address), .required = true,
      .doc = "Host and port, or unix:/path. A name is resolved when the configuration is loaded; every address that it "
             "has becomes a server." },
};

static const struct option_table server_table =
    OPTION_TABLE("server", struct server_options, server_rows, "One server of an upstream.", .shorthand = "address");

static const struct option timeouts_rows[] = {
    { "connect", OPTION_DURATION, OPTION_AT(struct upstream_timeouts, connect_ns), .standard = "5s", .least = 1,
      .doc = "Until a connection to the server stands; then another server is tried." },
    { "response_head", OPTION_DURATION, OPTION_AT(struct upstream_timeouts, response_head_ns), .standard = "60s",
      .least = 1, .doc = "From the end of the request to the head of the response; then the client gets 504." },
    { "response_gap", OPTION_DURATION, OPTION_AT(struct upstream_timeouts, response_gap_ns), .standard = "60s",
      .least = 1,
      .doc = "Between two pieces of a response while the client is ready to take more. Not for "
             "gRPC over HTTP/2, whose streams may be silent." },
    { "ping", OPTION_DURATION, OPTION_AT(struct upstream_timeouts, ping_ns), .standard = "6m", .zero = "off",
      .doc = "HTTP/2: silence of a connection with open streams after which the server is asked whether it is there "
             "(PING); without an answer in the same time, or in 20 s, they fail. gRPC servers may end connections that "
             "ask more often than "
             "every 5 minutes." },
};

static const struct option_table timeouts_table =
    OPTION_TABLE("timeouts", struct upstream_timeouts, timeouts_rows, "How long servers are waited for.");

static const struct option pool_rows[] = {
    { "idle", OPTION_NUMBER, OPTION_AT(struct pool_options, idle), .standard = "1024", .most = 100000,
      .doc = "Idle connections kept open to each server, per worker thread." },
    { "idle_time", OPTION_DURATION, OPTION_AT(struct pool_options, idle_time_ns), .standard = "55s", .least = 1,
      .doc = "How long an idle connection is kept. Choose it shorter than the servers' own keep-alive time." },
    { "h2_connections", OPTION_NUMBER, OPTION_AT(struct pool_options, h2_connections), .standard = "32", .least = 1,
      .most = 10000,
      .doc = "HTTP/2: connections to each server at most, per worker thread. Another one is made when all have as many "
             "streams as the server allows; when there are so many, requests wait for a stream, as long as "
             "`timeouts.connect`." },
};

static const struct option_table pool_table = OPTION_TABLE(
    "pool", struct pool_options, pool_rows, "Connections that are kept open to servers for the next request.");

static const struct option_choice send_proxy_choices[] = {
    { "off", SEND_PROXY_OFF, "No header." },
    { "v1", SEND_PROXY_V1, "A line of text: the client's address and the one that it turned to." },
    { "v2", SEND_PROXY_V2,
      "Binary: also ALPN, the server name that the client asked for, an identifier, its TLS version, cipher and "
      "certificate, a checksum." },
    { "v2_addresses", SEND_PROXY_V2_ADDRESSES,
      "Binary, with no more than v1 tells: for servers that have no room for more (nginx before 1.23.3 under TLS)." },
    { 0 },
};

static const struct option_choice protocol_choices[] = {
    { "http1", UPSTREAM_HTTP1, "HTTP/1.1" },
    { "h2", UPSTREAM_H2, "HTTP/2: in clear text with prior knowledge, with `tls` by ALPN; what gRPC needs" },
    { "auto", UPSTREAM_AUTO, "with `tls`: HTTP/2 where the server's ALPN says so, else HTTP/1.1" },
    { NULL, 0, NULL },
};

static const struct option upstream_rows[] = {
    { "servers", OPTION_LIST, OPTION_AT(struct upstream_options, servers), .table = &server_table, .required = true,
      .least = 1, .doc = "The servers, used in turn." },
    { "protocol", OPTION_CHOICE, OPTION_AT(struct upstream_options, protocol), .choices = protocol_choices,
      .standard = "http1", .doc = "What is spoken with the servers." },
    { "timeouts", OPTION_SECTION, OPTION_AT(struct upstream_options, timeouts), .table = &timeouts_table,
      .doc = "How long servers are waited for." },
    { "pool", OPTION_SECTION, OPTION_AT(struct upstream_options, pool), .table = &pool_table,
      .doc = "Connections kept for the next request." },
    { "tls", OPTION_OPTIONAL, OPTION_AT(struct upstream_options, tls), .table = &tls_client_options,
      .doc = "TLS to the servers, who must prove who they are. Without it they are spoken to in clear." },
    { "send_proxy", OPTION_CHOICE, OPTION_AT(struct upstream_options, send_proxy), .choices = send_proxy_choices,
      .standard = "off",
      .doc =
          "Begin each connection with a header of the PROXY protocol, before TLS where there is TLS: the server must "
          "expect it. Such a connection serves one client alone, on its one connection to us." },
    { "fast_open", OPTION_BOOL, OPTION_AT(struct upstream_options, fast_open), .standard = "no",
      .doc = "TCP Fast Open: what is sent first goes with the SYN to a server that has given us its cookie. The "
             "network may "
             "deliver it twice, and a server that is not there is noticed later." },
    { "tcp", OPTION_SECTION, OPTION_AT(struct upstream_options, tcp), .table = &server_socket_options,
      .doc = "Options of the sockets." },
};

const struct option_table upstream_options = OPTION_TABLE(
    "upstream", struct upstream_options, upstream_rows, "A named group of servers that requests are passed on to.",
    .example = "upstreams:\n  app: { servers: [10.0.0.11:8080, 10.0.0.12:8080] }\n");
