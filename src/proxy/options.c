#include "proxy/options.h"

#include <string.h>

#include "certs/store.h"

static const struct option address_rows[] = {
    { "endpoint", OPTION_ENDPOINT, OPTION_AT(struct address_options, endpoint), .required = true,
      .doc = "\"0.0.0.0:443\", \"[::]:443\", \":443\" (every address, IPv4 and IPv6), unix:/path, unix:@name "
             "(abstract)." },
    { "mode", OPTION_TEXT, OPTION_AT(struct address_options, mode), .standard = "\"0666\"",
      .doc = "Permissions of a Unix socket's file, octal: who may write to it may connect." },
    { "user", OPTION_TEXT, OPTION_AT(struct address_options, user),
      .doc = "Whose the file of a Unix socket is, a name or a number. By default that of who starts the service." },
    { "group", OPTION_TEXT, OPTION_AT(struct address_options, group), .doc = "Its group, likewise." },
};
static const struct option_table address_table =
    OPTION_TABLE("address", struct address_options, address_rows, "Where a listener listens.", .shorthand = "endpoint");

static const struct option network_rows[] = {
    { "network", OPTION_NETWORK, OPTION_AT(struct network_options, network), .required = true,
      .doc = "10.0.0.0/8, 2001:db8::/32, 192.0.2.7, or unix for Unix-domain sockets." },
};
static const struct option_table network_table =
    OPTION_TABLE("network", struct network_options, network_rows, "A network.", .shorthand = "network");

static const struct option proxy_protocol_rows[] = {
    { "from", OPTION_LIST, OPTION_AT(struct proxy_protocol_options, from), .table = &network_table, .required = true,
      .least = 1,
      .doc =
          "The proxies: each of their connections must begin with a header, of version 1 or 2, and is closed where it "
          "does not. Connections from elsewhere are ordinary ones: a header there is no valid TLS or HTTP." },
    { "timeout", OPTION_DURATION, OPTION_AT(struct proxy_protocol_options, timeout_ns), .standard = "3s", .least = 1,
      .doc = "From the connection's start to the end of its header." },
    { "header", OPTION_SIZE, OPTION_AT(struct proxy_protocol_options, header_bytes), .standard = "4k", .least = 536,
      .most = 65551,
      .doc = "The longest header that is taken. Addresses alone have 28 to 232 bytes; what else a proxy tells adds to "
             "that." },
};
static const struct option_table proxy_protocol_table = OPTION_TABLE(
    "proxy_protocol", struct proxy_protocol_options, proxy_protocol_rows,
    "The PROXY protocol: listed proxies say, before all else, which client they speak for. That client is then the one "
    "of the log, of the forwarding fields, of `trusted_proxies` and of limits.",
    .example = "listeners:\n  web:\n    address: \":443\"\n    certificates: /etc/unlade/certs/*.pem\n"
               "    proxy_protocol: { from: [10.0.0.0/8, unix] }\n    to: app\n");

static const struct option timeouts_rows[] = {
    { "handshake", OPTION_DURATION, OPTION_AT(struct listener_timeouts, handshake_ns), .standard = "10s", .least = 1,
      .doc =
          "From the connection's start to the end of the TLS handshake; with STARTTLS, once for the clear text before "
          "it and once for the handshake." },
    { "request_head", OPTION_DURATION, OPTION_AT(struct listener_timeouts, request_head_ns), .standard = "10s",
      .least = 1, .doc = "From a request head's first byte to its last (408)." },
    { "idle", OPTION_DURATION, OPTION_AT(struct listener_timeouts, idle_ns), .standard = "60s", .least = 1,
      .doc = "Between two requests on one connection, and before the first." },
    { "body_rate", OPTION_RATE, OPTION_AT(struct listener_timeouts, body_rate), .standard = "512/s", .zero = "off",
      .doc = "The slowest client that is tolerated, in bytes per second over `window`: for request bodies that come in "
             "(408) and responses that are taken." },
    { "window", OPTION_DURATION, OPTION_AT(struct listener_timeouts, window_ns), .standard = "20s", .least = 1,
      .doc = "The time over which body_rate is measured." },
    { "tunnel", OPTION_DURATION, OPTION_AT(struct listener_timeouts, tunnel_ns), .standard = "1h", .least = 1,
      .doc = "A tunnel (WebSocket and other upgrades) or a relay of TCP in which nothing moves either way is ended." },
};
static const struct option_table timeouts_table =
    OPTION_TABLE("timeouts", struct listener_timeouts, timeouts_rows, "How long clients are waited for.");

static const struct option limits_rows[] = {
    { "request_line", OPTION_SIZE, OPTION_AT(struct listener_limits, request_line_bytes), .standard = "8k", .least = 64,
      .most = 32768, .doc = "Bytes of the request line; a longer one gets 414." },
    { "head", OPTION_SIZE, OPTION_AT(struct listener_limits, head_bytes), .standard = "32k", .least = 256,
      .most = 49152, .doc = "Bytes of the whole request head; a larger one gets 431." },
    { "fields", OPTION_NUMBER, OPTION_AT(struct listener_limits, fields), .standard = "100", .least = 1, .most = 1000,
      .doc = "Header fields of a request; more get 431." },
    { "streams", OPTION_NUMBER, OPTION_AT(struct listener_limits, streams), .standard = "100", .least = 1, .most = 1000,
      .doc = "Requests that an HTTP/2 client may have open at once on a connection." },
    { "body", OPTION_SIZE, OPTION_AT(struct listener_limits, body_bytes), .standard = "off", .zero = "off",
      .doc = "Bytes of a request body; a larger one gets 413." },
};
static const struct option_table limits_table =
    OPTION_TABLE("limits", struct listener_limits, limits_rows, "What a client may make grow.");

static const struct option hsts_rows[] = {
    { "max_age", OPTION_DURATION, OPTION_AT(struct hsts_options, max_age_ns), .required = true,
      .doc = "How long browsers remember to use HTTPS only." },
    { "subdomains", OPTION_BOOL, OPTION_AT(struct hsts_options, subdomains), .standard = "no",
      .doc = "Also for all names below (includeSubDomains)." },
    { "preload", OPTION_BOOL, OPTION_AT(struct hsts_options, preload), .standard = "no",
      .doc = "Ask for the browsers' preload lists." },
};
static const struct option_table hsts_table =
    OPTION_TABLE("hsts", struct hsts_options, hsts_rows,
                 "Strict-Transport-Security (RFC 6797), set on every response over TLS.", .shorthand = "max_age");

static const struct option alpn_name_rows[] = {
    { "name", OPTION_TEXT, OPTION_AT(struct alpn_name_options, name), .required = true, .doc = "h2, http/1.1, mqtt" },
};
static const struct option_table alpn_name_table = OPTION_TABLE(
    "ALPN protocol", struct alpn_name_options, alpn_name_rows, "A protocol's name in ALPN.", .shorthand = "name");

static const struct option_choice host_protocol_choices[] = {
    { "http", SERVICE_HTTP, "Requests, which `to` and `routes` lead on." },
    { "tcp", SERVICE_TCP, "TLS ends here; what is inside is relayed to `to` and back." },
    { "passthrough", SERVICE_PASSTHROUGH, "Nothing is decrypted: the backend's own TLS answers." },
    { 0 },
};

static const struct option_choice by_alpn_choices[] = {
    { "tcp", SERVICE_TCP, "The name is negotiated, TLS ends here, and what is inside is relayed." },
    { "passthrough", SERVICE_PASSTHROUGH, "Who offers the name is passed on, undecrypted." },
    { 0 },
};

static const struct option by_alpn_rows[] = {
    { "protocol", OPTION_CHOICE, OPTION_AT(struct by_alpn_options, protocol), .choices = by_alpn_choices,
      .required = true, .doc = "What is done with such clients." },
    { "to", OPTION_REFERENCE, OPTION_AT(struct by_alpn_options, to), .refers_to = "upstreams", .required = true,
      .doc = "The upstream that gets them." },
};
static const struct option_table by_alpn_table =
    OPTION_TABLE("ALPN rule", struct by_alpn_options, by_alpn_rows,
                 "What becomes of clients by the protocol that they name in ALPN (RFC 7301): mqtt, acme-tls/1.");

static const struct option host_rows[] = {
    { "protocol", OPTION_CHOICE, OPTION_AT(struct host_options, protocol), .choices = host_protocol_choices,
      .doc = "What this host's clients get; as the listener's by default. Clients are told apart by SNI." },
    { "alpn", OPTION_LIST, OPTION_AT(struct host_options, alpn), .table = &alpn_name_table,
      .doc = "Protocols that this host negotiates, best first; the listener's by default, where the protocol is the "
             "same." },
    { "tls", OPTION_TEXT, OPTION_AT(struct host_options, tls),
      .doc = "TLS policy of this host; the listener's by default. It is checked again at each request: a connection "
             "that was made under another policy for client certificates gets 421." },
    { "to", OPTION_REFERENCE, OPTION_AT(struct host_options, to), .refers_to = "upstreams",
      .doc = "Upstream for every path that no route covers, or for every connection where this host is no HTTP." },
    { "routes", OPTION_LIST, OPTION_AT(struct host_options, routes), .table = &route_options,
      .doc = "Upstreams by path." },
    { "hsts", OPTION_OPTIONAL, OPTION_AT(struct host_options, hsts), .table = &hsts_table,
      .doc = "Strict-Transport-Security; the listener's by default." },
    { "headers", OPTION_OPTIONAL, OPTION_AT(struct host_options, headers), .table = &headers_options,
      .doc = "Header fields to set, add and remove, in all routes of this host." },
};
static const struct option_table host_table =
    OPTION_TABLE("host", struct host_options, host_rows,
                 "A virtual host: an exact name, or *.example.org for one more label. Exact names win over wildcards.");

static const struct option_choice protocol_choices[] = {
    { "http", SERVICE_HTTP, "HTTP, whose requests `to`, `routes` and `hosts` lead on." },
    { "tcp", SERVICE_TCP, "TLS ends here (unless it is off); what is inside is relayed to `to` and back." },
    { "passthrough", SERVICE_PASSTHROUGH, "Nothing is decrypted: SNI leads to a backend, whose own TLS answers." },
    { "postgres", SERVICE_POSTGRES,
      "PostgreSQL, whose clients ask for TLS in a message of theirs; the rest as with tcp." },
    { "smtp", SERVICE_SMTP, "Mail with STARTTLS: TLS begins and ends here; what is inside is relayed to `to`." },
    { "imap", SERVICE_IMAP, "The same for IMAP." },
    { "pop3", SERVICE_POP3, "The same for POP3 (its STLS)." },
    { 0 },
};

static const struct option_choice redirect_choices[] = {
    { "none", REDIRECT_NONE, "Requests are served." },
    { "https", REDIRECT_HTTPS, "Every request is answered with 308 to the same URL with https." },
    { 0 },
};

static const struct option_choice request_id_choices[] = {
    { "make", REQUEST_ID_MAKE, "A fresh X-Request-Id for each request; one from a trusted proxy is kept." },
    { "pass", REQUEST_ID_PASS, "The client's is kept where there is one, otherwise one is made." },
    { "off", REQUEST_ID_OFF, "The field is left alone." },
    { 0 },
};

static const struct option listener_rows[] = {
    { "address", OPTION_LIST, OPTION_AT(struct listener_options, address), .table = &address_table, .required = true,
      .least = 1, .doc = "Where to listen." },
    { "certificates", OPTION_LIST, OPTION_AT(struct listener_options, certificates), .table = &certificate_options,
      .doc = "Certificates of this listener; the root's by default. The first is for clients that name no host, or an "
             "unknown one." },
    { "tls", OPTION_TEXT, OPTION_AT(struct listener_options, tls), .standard = "default",
      .doc = "TLS policy, or off for plain HTTP." },
    { "protocol", OPTION_CHOICE, OPTION_AT(struct listener_options, protocol), .choices = protocol_choices,
      .standard = "http", .doc = "What clients get whose host in `hosts` says nothing else." },
    { "alpn", OPTION_LIST, OPTION_AT(struct listener_options, alpn), .table = &alpn_name_table,
      .standard = "[h2, http/1.1]",
      .doc = "Protocols that are negotiated, best first. The default is for HTTP: a listener of another protocol "
             "negotiates what is written here, or nothing." },
    { "by_alpn", OPTION_MAP, OPTION_AT(struct listener_options, by_alpn), .table = &by_alpn_table,
      .doc = "Protocols beside this listener's own, by their name in ALPN." },
    { "require_tls", OPTION_BOOL, OPTION_AT(struct listener_options, require_tls), .standard = "yes",
      .doc = "postgres: whether a client is refused that goes on without asking for TLS." },
    { "greeting_name", OPTION_TEXT, OPTION_AT(struct listener_options, greeting_name),
      .doc = "The host name with which smtp, imap and pop3 greet in clear text; by default the first name of the "
             "listener's first certificate." },
    { "to", OPTION_REFERENCE, OPTION_AT(struct listener_options, to), .refers_to = "upstreams",
      .doc = "Upstream for every request, or connection, that no host or route covers." },
    { "routes", OPTION_LIST, OPTION_AT(struct listener_options, routes), .table = &route_options,
      .doc = "Upstreams by path, for hosts that are not in `hosts`." },
    { "hosts", OPTION_MAP, OPTION_AT(struct listener_options, hosts), .table = &host_table,
      .doc = "Virtual hosts by name." },
    { "redirect", OPTION_CHOICE, OPTION_AT(struct listener_options, redirect), .choices = redirect_choices,
      .standard = "none", .doc = "Send clients elsewhere instead. A listener that redirects to HTTPS is plain HTTP." },
    { "hsts", OPTION_OPTIONAL, OPTION_AT(struct listener_options, hsts), .table = &hsts_table,
      .doc = "Strict-Transport-Security on responses." },
    { "headers", OPTION_OPTIONAL, OPTION_AT(struct listener_options, headers), .table = &headers_options,
      .doc = "Header fields to set, add and remove, in all routes of all hosts." },
    { "trusted_proxies", OPTION_LIST, OPTION_AT(struct listener_options, trusted_proxies), .table = &network_table,
      .doc = "Networks whose X-Forwarded-* and Forwarded fields are believed and appended to. From all others they are "
             "replaced." },
    { "proxy_protocol", OPTION_OPTIONAL, OPTION_AT(struct listener_options, proxy_protocol),
      .table = &proxy_protocol_table, .doc = "Take the client's address from the PROXY protocol." },
    { "fast_open", OPTION_NUMBER, OPTION_AT(struct listener_options, fast_open), .standard = "off", .zero = "off",
      .most = 65535,
      .doc =
          "TCP Fast Open: so many clients may wait whose first bytes came with the SYN. The network may deliver those "
          "bytes twice, which TLS sees through, and plain HTTP does not. The kernel must allow it: "
          "net.ipv4.tcp_fastopen 3." },
    { "tcp", OPTION_SECTION, OPTION_AT(struct listener_options, tcp), .table = &listener_socket_options,
      .doc = "Options of the sockets." },
    { "request_id", OPTION_CHOICE, OPTION_AT(struct listener_options, request_id), .choices = request_id_choices,
      .standard = "make", .doc = "X-Request-Id, which also stands in the access log." },
    { "timeouts", OPTION_SECTION, OPTION_AT(struct listener_options, timeouts), .table = &timeouts_table,
      .doc = "How long clients are waited for." },
    { "limits", OPTION_SECTION, OPTION_AT(struct listener_options, limits), .table = &limits_table,
      .doc = "What a client may make grow." },
};

const struct option_table listener_options =
    OPTION_TABLE("listener", struct listener_options, listener_rows,
                 "Addresses on which clients are served, with the certificates and the hosts they are served under.",
                 .example = "listeners:\n  web:\n    address: [\"0.0.0.0:443\", \"[::]:443\"]\n    certificates: "
                            "/etc/unlade/certs/*.pem\n    to: app\n"
                            "  plain: { address: \":80\", redirect: https }\n");

bool listener_speaks_tls(const struct listener_options *l)
{
    return l->redirect != REDIRECT_HTTPS && strcmp(l->tls, "off") != 0;
}

int address_mode(const struct address_options *o, unsigned *ret_mode)
{
    size_t digits = strlen(o->mode);
    unsigned mode = 0;

    if (digits < 3 || digits > 4 || strspn(o->mode, "01234567") != digits)
        return -E_SYNTAX;
    for (const char *digit = o->mode; *digit; digit++)
        mode = 8 * mode + (unsigned)(*digit - '0');
    if (mode > 0777)
        return -E_SYNTAX;
    *ret_mode = mode;
    return 0;
}

const char *service_name(int protocol)
{
    static const char *const names[] = {
        [SERVICE_HTTP] = "http",         [SERVICE_TCP] = "tcp",   [SERVICE_PASSTHROUGH] = "passthrough",
        [SERVICE_POSTGRES] = "postgres", [SERVICE_SMTP] = "smtp", [SERVICE_IMAP] = "imap",
        [SERVICE_POP3] = "pop3",
    };

    return names[protocol];
}
