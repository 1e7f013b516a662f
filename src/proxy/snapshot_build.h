/* snapshot_build.h: how the files that build a snapshot share the work; private to them.
 *
 *     snapshot.c          the order of the steps, and the snapshot's life
 *     snapshot_upstream.c upstreams and the addresses of their servers
 *     snapshot_upstream_tls.c  TLS to the servers
 *     snapshot_tls.c      policies, certificates, contexts
 *     snapshot_routes.c   hosts and routes of a listener
 *     snapshot_service.c  what listeners and hosts are for: HTTP, relays, pass-through; ALPN
 *     snapshot_rewrite.c  what a route does with its requests
 *     snapshot_fields.c   rules for header fields
 *     snapshot_mail.c     STARTTLS: what its listeners may say, and their names
 *     snapshot_checks.c   what only the whole shows: addresses that collide, things that nothing uses
 *
 * A step that finds a fault complains at the value and goes on, so that an operator sees all of them at once. */
#ifndef PROXY_SNAPSHOT_BUILD_H
#define PROXY_SNAPSHOT_BUILD_H

#include "proxy/rewrite.h"
#include "proxy/snapshot.h"

/* A certificate file that was read, by where it came from. */
struct built_certificate {
    const char *chain_path, *key_path;
    struct certificate *certificate; /* NULL: it was faulty, and complained about */
    struct built_certificate *next;
};

/* A TLS context, by what it was made of. */
struct built_context {
    const struct snapshot_policy *policy;
    const struct certificate *certificate;
    const char *const *alpn;
    struct tls_context *context; /* one reference is the builder's */
    struct built_context *next;
};

struct built_policy {
    struct snapshot_policy policy;
    bool is_broken; /* complained about already */
    struct built_policy *next;
};

/* Authorities that servers are verified with, by the file that they came from. */
struct built_trust {
    const char *path;
    struct bytes pem;        /* the bundle's */
    struct tls_trust *trust; /* one reference is the builder's */
    struct built_trust *next;
};

struct builder {
    struct config *config;
    struct arena *arena;
    const struct site_options *site;
    const struct bundle *bundle;
    time_t now;
    struct snapshot *snapshot;
    size_t errors_before;     /* complaints of those who read the files and the names */
    bool *upstream_used;      /* by number */
    size_t certificates_most;
    struct built_certificate *certificates;
    struct built_context *contexts;
    struct built_policy *policies;
    struct built_trust *trusts;
};

#define build_error(b, field, ...)   config_complain((b)->config, COMPLAINT_ERROR, field, __VA_ARGS__)
#define build_warning(b, field, ...) config_complain((b)->config, COMPLAINT_WARNING, field, __VA_ARGS__)

/* Zeroed memory of the snapshot; aborts when memory is out. */
void *build_alloc(struct builder *b, size_t count, size_t size);

void build_upstreams(struct builder *b);
/* The upstream of that name, marked as used; NULL when there is none (the reader of the configuration complained). */
struct snapshot_upstream *build_use_upstream(struct builder *b, const char *name);

/* The context of an upstream whose options say TLS, before its servers are added. */
void build_upstream_tls(struct builder *b, struct snapshot_upstream *u);
/* How one server of it is reached. */
void build_plan(struct builder *b, const struct snapshot_upstream *u, const struct option_endpoint *e,
                struct dial_plan *ret_plan);
/* The builder's own references. */
void build_release_trusts(struct builder *b);

/* The policy of that name; NULL when there is none, which is complained about at `field`. */
struct snapshot_policy *build_policy(struct builder *b, const char *name, const void *field);
/* The certificate of those files, parsed when it is first asked for. NULL: it is faulty, which is complained about at
 * `field`. */
struct certificate *build_load_certificate(struct builder *b, const char *chain_path, struct bytes chain,
                                           const char *key_path, struct bytes key, const void *field);
void build_certificates(struct builder *b, struct snapshot_listener *l);
/* contexts and binding of a host whose policy is set. */
void build_host_tls(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h, const void *field);
/* The builder's own references. */
void build_release_contexts(struct builder *b);

/* What the listener itself is for, and by_alpn. */
void build_service(struct builder *b, struct snapshot_listener *l);
/* What a listener for mail may have, and its name; complains where another listener has that. */
void build_mail(struct builder *b, struct snapshot_listener *l);
/* What a host is for. */
void build_host_service(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h, const struct host_options *o);
/* What a host (or the listener itself) negotiates, when its service and policy are set; list: its own `alpn`. */
void build_alpn(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h, const struct option_list *list);
/* Whether TLS of any of its clients ends here. */
bool listener_decrypts(const struct snapshot_listener *l);

void build_hosts(struct builder *b, struct snapshot_listener *l);

/* A route that stands for a bare `to`. */
void build_route_standards(struct snapshot_route *route);
/* Everything of a route but its path, its upstream, and the rules for fields. */
void build_route(struct builder *b, struct snapshot_route *route, const struct route_options *o);
/* The rules of all routes of a host, once they stand. of_host: NULL: none. */
void build_host_fields(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                       const struct headers_options *of_host);
/* Complains about rules that cannot be; NULL: none. */
void build_check_headers(struct builder *b, const struct headers_options *o);
/* The rules of several levels, each of which may be NULL, as one. */
enum { HEADER_LEVELS = 3 }; /* listener, host, route */
struct field_rules build_field_rules(struct builder *b, const struct headers_options *const levels[HEADER_LEVELS],
                                     bool is_request);

void build_addresses(struct builder *b, struct snapshot_listener *l);
void build_check_proxies(struct builder *b, const struct listener_options *o);
void build_check_addresses(struct builder *b);
void build_check_unused(struct builder *b);

#endif
