/* snapshot.h: the configuration as the worker's threads use it: read-only, shared, counted.
 *
 *     bundle + typed options --snapshot_build()--> struct snapshot --server_publish()--> threads
 *
 * It holds what takes time to make (TLS contexts, name tables, routes, resolved addresses), and lives until the last
 * connection that was accepted under it ends. What outlives a reload (pools, tickets, logs) is not in here. */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H

#include <stdatomic.h>
#include <time.h>

#include "base/address.h"
#include "base/hostname.h"
#include "certs/store.h"
#include "config/bundle.h"
#include "config/config.h"
#include "http/h1.h"
#include "proxy/options.h"
#include "tls/session.h"
#include "upstream/dial.h"

struct snapshot_policy {                /* a TLS policy in use */
    const struct tls_policy_options *options;
    struct bytes client_ca_pem;
    uint8_t clients_identity[32];       /* hash of what it demands of clients; hosts with equal ones may share connections */
};

struct snapshot_upstream {
    const struct upstream_options *options;
    struct dial_plan *plans;            /* how each server is reached, by its number */
    struct tls_context *tls;            /* NULL: in clear */
    struct tls_context *tls_h1;         /* with `protocol: auto`: offers HTTP/1.1 alone, which upgrades need */
    uint8_t tls_identity[32];           /* hash of what that was made of */
    struct bytes name;
    struct address *servers;            /* every address of every server */
    struct bytes *server_names;         /* as text, for logs */
    size_t server_count;
};

struct field_rules {                    /* changes of header fields; what is replaced is removed, then added */
    const struct bytes *removed;
    size_t removed_count;
    struct fields added;
};

struct snapshot_redirect {
    int status;
    struct bytes to;                    /* with keep_path without a '/' at its end */
    bool keep_path;
};

struct snapshot_respond {
    int status;
    struct bytes body;
    const char *type;
};

struct snapshot_route {
    struct bytes path;                  /* prefix */
    struct snapshot_upstream *to;       /* one of these three, the others are NULL */
    const struct snapshot_redirect *redirect;
    const struct snapshot_respond *respond;
    struct bytes host;                  /* that the server is told; empty: the client's */
    bool rewrites_path;                 /* its first prefix_bytes become `prefix` */
    size_t prefix_bytes;
    struct bytes prefix;
    struct field_rules request_fields, response_fields;
    const struct route_options *options; /* NULL: of a bare `to` */
    const struct bytes *upgrades;       /* protocols that clients may upgrade to: "websocket", or "x/1" with a version */
    size_t upgrade_count;
};

struct snapshot_service {               /* what a connection is for */
    int protocol;                       /* enum service_protocol; never SERVICE_INHERITED */
    struct snapshot_upstream *to;       /* where a relay goes; NULL for HTTP, whose routes decide, and where none is served */
};

struct snapshot_alpn {                  /* clients that name this protocol */
    struct bytes name;
    struct snapshot_service service;
};

struct snapshot_host {
    struct bytes name;                  /* "" for the listener itself */
    struct snapshot_service service;
    const char *const *alpn;            /* what is negotiated, best first, ended by NULL */
    bool takes_by_alpn;                 /* the listener's by_alpn is for its clients too */
    struct snapshot_policy *policy;     /* NULL without TLS of our own */
    struct snapshot_route *routes;      /* longest prefix first */
    size_t route_count;
    struct bytes hsts;                  /* the field's value, or empty */
    uint8_t binding[64];                /* what tickets are bound to: host, policy, CA set */
    struct tls_context **contexts;      /* by certificate number of the listener */
};

struct snapshot_listener {
    const struct listener_options *options;
    struct bytes name;
    struct address *addresses;
    const struct address_options **address_options; /* which of the options gave each of them */
    size_t address_count;
    bool tls;
    struct snapshot_host fallback;      /* for names that are not in hosts */
    struct snapshot_host *hosts;
    size_t host_count;
    struct hostname_table *host_table;  /* to struct snapshot_host */
    bool starts_in_clear;               /* its clients ask for TLS in their protocol's own words */
    const char *greeting_name;          /* of mail in clear text; NULL: no mail */
    struct snapshot_alpn *by_alpn;
    size_t by_alpn_count;
    struct certificate **certificates;
    size_t certificate_count;
    struct cert_index *cert_index;
    struct h1_limits request_limits;
};

struct snapshot {
    atomic_uint references;
    unsigned generation;
    struct config *config;              /* owns the options and the arena that everything here lives in */
    struct snapshot_listener *listeners;
    size_t listener_count;
    struct snapshot_upstream *upstreams;
    size_t upstream_count;
    struct certificate *certificates;   /* all of them, each parsed once */
    size_t certificate_count;
};

/* Takes the config over (also on failure: it is freed with the snapshot, or stays the caller's when NULL is returned).
 * site: within config_root(). now: for expiry warnings. Faults become complaints of the config; returns NULL when there
 * are errors, then or before. One reference, the caller's. */
struct snapshot *snapshot_build(struct config *config, const struct site_options *site, const struct bundle *bundle, time_t now);
/* The context for a certificate of this listener under the host's policy. */
struct tls_context *snapshot_context(const struct snapshot_host *host, const struct snapshot_listener *listener,
                                     const struct certificate *certificate);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

/* The names that snapshot_build needs addresses of: hosts of servers that are not literals. Each call of visit gets the
 * value, for complaints, and the host. */
void site_each_name(const struct site_options *site, void (*visit)(void *context, const struct option_endpoint *endpoint), void *context);
/* Where a file is needed with the certificates that this system believes: the value to complain at if there is none;
 * else NULL. The places where it may be, NULL behind the last. Its content goes into the bundle as BUNDLE_STORE. */
const void *site_needs_store(const struct site_options *site);
const char *site_store_path(size_t i);

#endif
