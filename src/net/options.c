#include "net/options.h"

#define SECONDS_MOST 32767000000000ull /* of TCP_KEEPIDLE and TCP_KEEPINTVL, in nanoseconds */

#define AT(member) OPTION_AT(struct socket_options, member)

static const char interval_doc[] = "Between two probes.";
static const char probes_doc[] = "Probes without an answer after which the connection counts as dead.";
static const char user_timeout_doc[] = "How long sent bytes may wait until the peer's kernel has taken them "
                                       "(TCP_USER_TIMEOUT); then the connection is cut. A "
                                       "peer that is alive but does not read counts too. Off: the kernel gives up "
                                       "after a quarter of an hour on a peer that is "
                                       "gone, and never on one that does not read.";
static const char send_buffer_doc[] =
    "The kernel's buffer for what was written and not confirmed. A size of one's own switches the kernel's tuning off.";
static const char receive_buffer_doc[] =
    "The kernel's buffer for what was received and not read. A size of one's own switches the kernel's tuning off.";

static const struct option listener_rows[] = {
    { "keep_alive", OPTION_DURATION, AT(keep_alive_ns), .standard = "2m", .zero = "off", .most = SECONDS_MOST,
      .doc = "Silence after which the client's kernel is asked whether it is still there (whole seconds)." },
    { "keep_alive_interval", OPTION_DURATION, AT(keep_alive_interval_ns), .standard = "30s", .least = 1000000000,
      .most = SECONDS_MOST, .doc = interval_doc },
    { "keep_alive_probes", OPTION_NUMBER, AT(keep_alive_probes), .standard = "4", .least = 1, .most = 127,
      .doc = probes_doc },
    { "user_timeout", OPTION_DURATION, AT(user_timeout_ns), .standard = "off", .zero = "off", .most = SECONDS_MOST,
      .doc = user_timeout_doc },
    { "send_buffer", OPTION_SIZE, AT(send_buffer_bytes), .standard = "auto", .zero = "auto", .most = 1 << 30,
      .doc = send_buffer_doc },
    { "receive_buffer", OPTION_SIZE, AT(receive_buffer_bytes), .standard = "auto", .zero = "auto", .most = 1 << 30,
      .doc = receive_buffer_doc },
    { "backlog", OPTION_NUMBER, AT(backlog), .standard = "auto", .zero = "auto", .most = 1 << 20,
      .doc = "Connections that may wait until they are accepted. Automatic: the kernel's limit, net.core.somaxconn, "
             "which no "
             "number here exceeds." },
};

const struct option_table listener_socket_options =
    OPTION_TABLE("listener_tcp", struct socket_options, listener_rows,
                 "Options of the sockets of clients. TCP_NODELAY is always set. A reload applies changed values to new "
                 "connections.");

static const struct option server_rows[] = {
    { "keep_alive", OPTION_DURATION, AT(keep_alive_ns), .standard = "1m", .zero = "off", .most = SECONDS_MOST,
      .doc = "Silence after which the server's kernel is asked whether it is still there (whole seconds)." },
    { "keep_alive_interval", OPTION_DURATION, AT(keep_alive_interval_ns), .standard = "15s", .least = 1000000000,
      .most = SECONDS_MOST, .doc = interval_doc },
    { "keep_alive_probes", OPTION_NUMBER, AT(keep_alive_probes), .standard = "4", .least = 1, .most = 127,
      .doc = probes_doc },
    { "user_timeout", OPTION_DURATION, AT(user_timeout_ns), .standard = "off", .zero = "off", .most = SECONDS_MOST,
      .doc = user_timeout_doc },
    { "send_buffer", OPTION_SIZE, AT(send_buffer_bytes), .standard = "auto", .zero = "auto", .most = 1 << 30,
      .doc = send_buffer_doc },
    { "receive_buffer", OPTION_SIZE, AT(receive_buffer_bytes), .standard = "auto", .zero = "auto", .most = 1 << 30,
      .doc = receive_buffer_doc },
};

const struct option_table server_socket_options = OPTION_TABLE(
    "server_tcp", struct socket_options, server_rows, "Options of the sockets to servers. TCP_NODELAY is always set.");
