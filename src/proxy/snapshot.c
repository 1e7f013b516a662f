#include "proxy/snapshot.h"

#include "base/check.h"
#include "proxy/snapshot_build.h"

void *build_alloc(struct builder *b, size_t count, size_t size)
{
    void *p;

    CHECK(size == 0 || count <= SIZE_MAX / size);
    p = arena_zalloc(b->arena, count * size);
    CHECK(p); /* only start-up and reload build snapshots; the supervisor does it before a worker has to */
    return p;
}

/* ---- its life ---- */

static void release_host(const struct snapshot_listener *l, struct snapshot_host *h)
{
    for (size_t i = 0; h->contexts && i < l->certificate_count; i++)
        tls_context_unref(h->contexts[i]);
}

/* Everything that does not live in the arena. */
static void release(struct snapshot *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        struct snapshot_listener *l = &s->listeners[i];
        release_host(l, &l->fallback);
        for (size_t k = 0; k < l->host_count; k++)
            release_host(l, &l->hosts[k]);
    }
    for (size_t i = 0; i < s->upstream_count; i++)
        tls_context_unref(s->upstreams[i].tls);
    for (size_t i = 0; i < s->upstream_count; i++)
        tls_context_unref(s->upstreams[i].tls_h1);
    for (size_t i = 0; i < s->certificate_count; i++)
        certificate_clear(&s->certificates[i]);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    struct config *config;

    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    release(s);
    config = s->config; /* the snapshot itself lives in there */
    config_free(config);
}

/* ---- its making ---- */

static bool is_literal(const char *host)
{
    struct address a;

    return address_from_ip(host, 1, &a) == 0;
}

void site_each_name(const struct site_options *site,
                    void (*visit)(void *context, const struct option_endpoint *endpoint), void *context)
{
    for (size_t i = 0; i < site->upstreams.count; i++) {
        const struct upstream_options *u = OPTION_ITEM(struct upstream_options, &site->upstreams, i);
        for (size_t k = 0; k < u->servers.count; k++) {
            const struct option_endpoint *e = &OPTION_ITEM(struct server_options, &u->servers, k)->address;
            if (e->host && e->host[0] && !is_literal(e->host))
                visit(context, e);
        }
    }
}

static void check_plain(struct builder *b, const struct listener_options *o)
{
    if (o->certificates.count)
        build_warning(b, &o->certificates, "a listener without TLS has no use for certificates");
    if (o->hsts)
        build_warning(b, &o->hsts, "over plain HTTP this is ignored (RFC 6797 7.2): set it on the TLS listener");
}

static void check_redirect(struct builder *b, const struct listener_options *o)
{
    static const char message[] =
        "can never be reached: this listener redirects every request; remove it, or the redirect";

    if (o->to)
        build_error(b, &o->to, "`to` %s", message);
    if (o->routes.count)
        build_error(b, &o->routes, "`routes` %s", message);
    if (o->hosts.count)
        build_error(b, &o->hosts, "`hosts` %s", message);
    if (o->headers)
        build_error(b, o->headers, "`headers` %s", message);
    if (config_is_set(b->config, &o->tls) && strcmp(o->tls, "off") != 0)
        build_error(b, &o->tls, "a listener that redirects to HTTPS is plain HTTP: remove `tls`, or the redirect");
}

static void build_listener(struct builder *b, struct snapshot_listener *l, const struct listener_options *o)
{
    l->options = o;
    l->name = bytes_of_text(o->name);
    l->tls = listener_speaks_tls(o);
    l->request_limits = (struct h1_limits){
        .request_line = (uint32_t)o->limits.request_line_bytes,
        .head = (uint32_t)o->limits.head_bytes,
        .fields = (uint32_t)o->limits.fields,
    };
    if (l->request_limits.head < l->request_limits.request_line)
        build_error(b, &o->limits.head_bytes, "`head` counts the request line too: it must be at least `request_line`");
    build_addresses(b, l);
    if (o->proxy_protocol)
        build_check_proxies(b, o);
    if (!l->tls)
        check_plain(b, o);
    if (o->redirect == REDIRECT_HTTPS && o->protocol == SERVICE_HTTP)
        check_redirect(b, o);
    else if (!o->to && !o->routes.count && !o->hosts.count && !o->by_alpn.count && !b->errors_before)
        build_error(b, o,
                    "this listener serves nothing: write `to: UPSTREAM`, `routes`, `hosts`, or `redirect: https`");
    if (listener_decrypts(l))
        build_certificates(b, l);
    build_hosts(b, l);
}

static size_t most_certificates(const struct builder *b)
{
    return bundle_count(b->bundle) + 1; /* each one is in a file of its own */
}

struct snapshot *snapshot_build(struct config *config, const struct site_options *site, const struct bundle *bundle,
                                time_t now)
{
    struct builder b = {
        .config = config,
        .arena = config_arena(config),
        .site = site,
        .bundle = bundle,
        .now = now,
        .errors_before = config_error_count(config),
    };
    struct snapshot *s = b.snapshot = build_alloc(&b, 1, sizeof *s);

    s->config = config;
    atomic_init(&s->references, 1);
    b.certificates_most = most_certificates(&b);
    s->certificates = build_alloc(&b, b.certificates_most, sizeof *s->certificates);
    build_upstreams(&b);
    s->listeners = build_alloc(&b, site->listeners.count, sizeof *s->listeners);
    s->listener_count = site->listeners.count;
    for (size_t i = 0; i < s->listener_count; i++)
        build_listener(&b, &s->listeners[i], OPTION_ITEM(struct listener_options, &site->listeners, i));
    for (size_t i = 0; i < site->tls.count; i++) { /* faults of policies that nothing names count too */
        const struct tls_policy_options *p = OPTION_ITEM(struct tls_policy_options, &site->tls, i);
        build_policy(&b, p->name, p);
    }
    build_check_addresses(&b);
    build_check_unused(&b);
    build_release_contexts(&b);
    build_release_trusts(&b);
    if (config_error_count(config) == 0)
        return s;
    release(s); /* the config, and so the arena, stays the caller's */
    return NULL;
}

/* ---- its use ---- */

struct tls_context *snapshot_context(const struct snapshot_host *host, const struct snapshot_listener *listener,
                                     const struct certificate *certificate)
{
    size_t i = 0;

    while (i < listener->certificate_count && listener->certificates[i] != certificate)
        i++;
    CHECK(i < listener->certificate_count);
    return host->contexts[i];
}
