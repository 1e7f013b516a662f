/* options.h: what the configuration says of listeners, hosts and routes, and the part of the root that a snapshot is
 * compiled from (struct site_options). */
#ifndef PROXY_OPTIONS_H
#define PROXY_OPTIONS_H

#include "base/error.h"
#include "base/option.h"
#include "http/mail.h"
#include "net/options.h"
#include "proxy/route_options.h"
#include "tls/policy.h"

enum listener_redirect { REDIRECT_NONE, REDIRECT_HTTPS };
enum service_protocol {
    SERVICE_INHERITED, SERVICE_HTTP, SERVICE_TCP, SERVICE_PASSTHROUGH, SERVICE_POSTGRES, SERVICE_SMTP, SERVICE_IMAP, SERVICE_POP3,
};
enum request_id_mode { REQUEST_ID_MAKE, REQUEST_ID_PASS, REQUEST_ID_OFF };

struct address_options {
    struct option_endpoint endpoint;
    const char *mode;        /* of a Unix socket's file, octal */
    const char *user, *group; /* whose it is; NULL: as it was made */
};

struct network_options {
    struct option_network network;
};

/* The PROXY protocol of clients. */
struct proxy_protocol_options {
    struct option_list from;  /* struct network_options */
    uint64_t timeout_ns;      /* from the connection's start to the header's last byte */
    uint64_t header_bytes;    /* of one; in version 1 it has 107 at most anyhow */
};

struct listener_timeouts {
    uint64_t handshake_ns;
    uint64_t request_head_ns; /* from its first byte, or from the end of the handshake, to its end */
    uint64_t idle_ns;         /* between requests */
    uint64_t body_rate;       /* bytes per second, over windows of `window`; request bodies in, and responses out */
    uint64_t window_ns;
    uint64_t tunnel_ns;       /* without a byte in either direction: relays and tunnels */
};

struct listener_limits {
    uint64_t request_line_bytes;
    uint64_t head_bytes;
    uint64_t fields;
    uint64_t body_bytes;      /* 0: no limit */
    uint64_t streams;         /* HTTP/2: open at once */
};

struct hsts_options {
    uint64_t max_age_ns;
    bool subdomains, preload;
};

struct alpn_name_options {
    const char *name;
};

struct by_alpn_options {
    const char *name;         /* of the protocol, as in ALPN */
    int protocol;             /* enum service_protocol: tcp or passthrough */
    const char *to;
};

struct host_options {
    const char *name;         /* exact, or "*.example.org" */
    const char *tls;          /* a policy's name, or NULL: the listener's */
    int protocol;             /* enum service_protocol; SERVICE_INHERITED: the listener's */
    struct option_list alpn;  /* struct alpn_name_options; not written: the listener's, where it has the same protocol */
    const char *to;
    struct option_list routes;
    struct hsts_options *hsts; /* NULL: the listener's */
    struct headers_options *headers;
};

struct listener_options {
    const char *name;
    struct option_list address;      /* struct address_options */
    struct option_list certificates; /* struct certificate_options */
    const char *tls;                 /* a policy's name, or "off" */
    int protocol;                    /* enum service_protocol */
    struct option_list alpn;         /* struct alpn_name_options: for HTTP, or what is written for others */
    struct option_list by_alpn;      /* struct by_alpn_options */
    bool require_tls;                /* postgres: who does not ask for TLS is refused */
    const char *greeting_name;       /* or NULL: the first certificate's name */
    const char *to;
    struct option_list routes;       /* struct route_options */
    struct option_list hosts;        /* struct host_options */
    int redirect;                    /* enum listener_redirect */
    struct hsts_options *hsts;
    struct headers_options *headers;
    struct option_list trusted_proxies; /* struct network_options */
    struct proxy_protocol_options *proxy_protocol; /* NULL: not spoken */
    uint64_t fast_open;              /* connections that may wait with data in their SYN; 0: none */
    struct socket_options tcp;
    int request_id;                  /* enum request_id_mode */
    struct listener_timeouts timeouts;
    struct listener_limits limits;
};

struct site_options {
    struct option_list certificates; /* struct certificate_options: for listeners without their own */
    struct option_list tls;          /* struct tls_policy_options */
    struct tls_tickets_options tickets;
    struct option_list listeners;    /* struct listener_options */
    struct option_list upstreams;    /* struct upstream_options */
};

extern const struct option_table listener_options;

enum { ADDRESS_MODE = 0666 }; /* the default: who may connect is a matter of the folder */
/* The permissions that are written there. Returns 0, or -E_SYNTAX. */
int address_mode(const struct address_options *o, unsigned *ret_mode) MUST_USE;
/* Whether a listener speaks TLS: unless `tls: off` is written, or it only redirects to HTTPS. */
bool listener_speaks_tls(const struct listener_options *l);

/* "http", "tcp", ... */
const char *service_name(int protocol);
/* Whether it is mail: clear text first, TLS after STARTTLS. As http/mail.h's enum mail_protocol: service_mail(). */
static inline bool service_is_mail(int protocol)
{
    return protocol == SERVICE_SMTP || protocol == SERVICE_IMAP || protocol == SERVICE_POP3;
}
static inline enum mail_protocol service_mail(int protocol)
{
    return protocol == SERVICE_SMTP ? MAIL_SMTP : protocol == SERVICE_IMAP ? MAIL_IMAP : MAIL_POP3;
}

#endif
