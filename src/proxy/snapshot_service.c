#include "base/check.h"
#include "proxy/snapshot_build.h"

/* The protocols that HTTP is negotiated as; the first ones of it where nothing is written. */
static const char *const http_alpn[] = { "h2", "http/1.1", NULL };

/* Whether servers are told by ALPN what comes, as direct TLS demands. */
static bool offers_postgresql(const struct tls_client_options *o)
{
    for (size_t i = 0; i < o->alpn.count; i++) {
        const char *name = OPTION_ITEM(struct tls_alpn_options, &o->alpn, i)->name;
        if (name && strcmp(name, "postgresql") == 0)
            return true;
    }
    return false;
}

/* The upstream of a relay, marked as used. */
static struct snapshot_upstream *use_upstream(struct builder *b, const char *const *to, int protocol)
{
    struct snapshot_upstream *upstream = build_use_upstream(b, *to);

    if (upstream && protocol == SERVICE_PASSTHROUGH && upstream->options->tls && upstream->options->tls->enabled)
        build_error(b, to,
                    "what is passed through is TLS already, which `tls` of the upstream \"%s\" would wrap once more: "
                    "write an upstream without it",
                    *to);
    if (upstream && upstream->options->protocol == UPSTREAM_AUTO)
        build_error(b, to,
                    "`protocol: auto` of the upstream \"%s\" leaves a choice to the servers that only HTTP can follow: "
                    "write an upstream without it",
                    *to);
    if (upstream && protocol == SERVICE_POSTGRES && upstream->options->tls && upstream->options->tls->enabled &&
        upstream->options->tls->start != TLS_START_POSTGRES && !offers_postgresql(upstream->options->tls))
        build_error(b, to,
                    "PostgreSQL servers are asked before TLS: write `start: postgres` in `tls` of the upstream \"%s\" "
                    "(or `alpn: postgresql`, where all of them are of version 17 or newer)",
                    *to);
    return upstream;
}

/* ---- ALPN ---- */

static size_t name_count(const char *const *names)
{
    size_t n = 0;

    while (names[n])
        n++;
    return n;
}

static bool is_http(const char *name)
{
    for (const char *const *known = http_alpn; *known; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void check_alpn_name(struct builder *b, const char *name, const void *field)
{
    if (!name[0] || strlen(name) > 255)
        build_error(b, field, "an ALPN name has 1 to 255 bytes");
}

/* Whether an earlier one is the same as the one at `number`. */
static bool stands_before(const struct option_list *list, size_t number)
{
    const char *name = OPTION_ITEM(struct alpn_name_options, list, number)->name;

    for (size_t i = 0; i < number; i++) {
        const struct alpn_name_options *o = OPTION_ITEM(struct alpn_name_options, list, i);
        if (o->name && strcmp(o->name, name) == 0)
            return true;
    }
    return false;
}

/* The names of an `alpn`. */
static const char *const *alpn_names(struct builder *b, const struct option_list *list, int protocol)
{
    const char **names = build_alloc(b, list->count + 1, sizeof *names);
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct alpn_name_options *o = OPTION_ITEM(struct alpn_name_options, list, i);

        if (!o->name)
            continue; /* complained about by the reader */
        check_alpn_name(b, o->name, o);
        if (protocol == SERVICE_HTTP && !is_http(o->name))
            build_error(b, o, "\"%s\" is no HTTP that is spoken here: for another protocol, write `by_alpn`", o->name);
        else if (stands_before(list, i))
            build_error(b, o, "\"%s\" stands here twice", o->name);
        else
            names[n++] = o->name;
    }
    return names;
}

/* What is negotiated where nothing is written. A mail client that names other protocols alone is none: somebody has led a
 * browser here (ALPACA), and it is refused. */
static const char *const *standard_alpn(int protocol)
{
    static const char *const smtp[] = { "smtp", "esmtp", NULL }, *const imap[] = { "imap", NULL },
                             *const pop3[] = { "pop3", NULL }, *const postgres[] = { "postgresql", NULL },
                             *const none[] = { NULL };

    switch (protocol) {
    case SERVICE_HTTP:
        return http_alpn;
    case SERVICE_POSTGRES:
        return postgres;
    case SERVICE_SMTP:
        return smtp;
    case SERVICE_IMAP:
        return imap;
    case SERVICE_POP3:
        return pop3;
    default:
        return none;
    }
}

/* Names of by_alpn that are negotiated, then the host's own. */
static const char *const *with_by_alpn(struct builder *b, const struct snapshot_listener *l, const char *const *own)
{
    const char **names = build_alloc(b, l->by_alpn_count + name_count(own) + 1, sizeof *names);
    size_t n = 0;

    for (size_t i = 0; i < l->by_alpn_count; i++)
        if (l->by_alpn[i].service.protocol != SERVICE_PASSTHROUGH)
            names[n++] = (const char *)l->by_alpn[i].name.at;
    for (size_t i = 0; own[i]; i++)
        if (!is_among(own[i], names, n))
            names[n++] = own[i];
    return names;
}

/* Whether what the listener does by ALPN is for the clients of this host. A host of another protocol has its clients to
 * itself; and under other demands on client certificates than the listener's, nobody gets at what is the listener's. */
static bool takes_by_alpn(const struct snapshot_listener *l, const struct snapshot_host *h)
{
    const struct snapshot_policy *ours = l->fallback.policy;

    if (h == &l->fallback)
        return true;
    return h->service.protocol == SERVICE_HTTP && h->policy && ours &&
           memcmp(h->policy->clients_identity, ours->clients_identity, sizeof ours->clients_identity) == 0;
}

void build_alpn(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h, const struct option_list *list)
{
    const struct listener_options *o = l->options;
    const char *const *own;

    if (config_is_set(b->config, list))
        own = alpn_names(b, list, h->service.protocol);
    else if (h->service.protocol == o->protocol && config_is_set(b->config, &o->alpn))
        own = alpn_names(b, &o->alpn, o->protocol);
    else
        own = standard_alpn(h->service.protocol);
    h->takes_by_alpn = takes_by_alpn(l, h);
    h->alpn = h->takes_by_alpn ? with_by_alpn(b, l, own) : own;
}

static void build_by_alpn(struct builder *b, struct snapshot_listener *l)
{
    const struct option_list *list = &l->options->by_alpn;

    if (list->count && !l->tls)
        build_error(b, list, "ALPN is a part of TLS, which this listener does not speak: remove `by_alpn`");
    l->by_alpn = build_alloc(b, list->count, sizeof *l->by_alpn);
    for (size_t i = 0; i < list->count; i++) {
        const struct by_alpn_options *o = OPTION_ITEM(struct by_alpn_options, list, i);

        check_alpn_name(b, o->name, o);
        l->by_alpn[l->by_alpn_count++] = (struct snapshot_alpn){
            .name = bytes_of_text(o->name),
            .service = { .protocol = o->protocol, .to = use_upstream(b, &o->to, o->protocol) },
        };
    }
}

/* ---- What a listener and a host are for ---- */

/* Whether the listener or a host of it is for that protocol. */
static bool serves(const struct listener_options *o, int protocol)
{
    bool inherited = o->protocol == protocol;

    for (size_t i = 0; i < o->hosts.count; i++) {
        const struct host_options *h = OPTION_ITEM(struct host_options, &o->hosts, i);
        if (h->protocol == protocol || (inherited && h->protocol == SERVICE_INHERITED))
            return true;
    }
    return inherited;
}

bool listener_decrypts(const struct snapshot_listener *l)
{
    return l->tls && (l->options->protocol != SERVICE_PASSTHROUGH || serves(l->options, SERVICE_HTTP) ||
                      serves(l->options, SERVICE_TCP));
}

/* Options of TLS of our own, where there is none. */
static void check_undecrypted(struct builder *b, const struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;

    if (o->certificates.count)
        build_warning(b, &o->certificates, "a listener that decrypts nothing has no use for certificates");
    if (config_is_set(b->config, &o->tls))
        build_warning(b, &o->tls, "a listener that decrypts nothing has no use for a TLS policy");
    if (config_is_set(b->config, &o->alpn))
        build_error(b, &o->alpn, "what is passed through negotiates ALPN with the backend: remove `alpn`");
    for (size_t i = 0; i < l->by_alpn_count; i++)
        if (l->by_alpn[i].service.protocol != SERVICE_PASSTHROUGH)
            build_error(b, &OPTION_ITEM(struct by_alpn_options, &o->by_alpn, i)->protocol,
                        "nothing can be negotiated on a listener that passes everything through");
}

/* Options of requests, where there are none. */
static void check_without_http(struct builder *b, const struct listener_options *o)
{
    if (o->hsts)
        build_warning(b, &o->hsts, "only HTTP has such a field: nothing here will say it");
    if (o->headers)
        build_warning(b, o->headers, "only HTTP has header fields: nothing here will change any");
    if (o->trusted_proxies.count)
        build_warning(b, &o->trusted_proxies, "only HTTP has fields to believe: nothing here will read them");
    if (config_is_set(b->config, &o->request_id))
        build_warning(b, &o->request_id, "only HTTP has requests to number: nothing here will");
}

static void check_relaying(struct builder *b, const struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;
    const char *name = service_name(o->protocol);

    if (o->routes.count)
        build_error(b, &o->routes, "%s knows no paths to choose by: write `to: UPSTREAM`, or `protocol: http`", name);
    if (o->redirect != REDIRECT_NONE)
        build_error(b, &o->redirect, "only HTTP can be redirected: remove `redirect`, or `protocol: %s`", name);
    if (!serves(o, SERVICE_HTTP))
        check_without_http(b, o);
    if (o->protocol == SERVICE_PASSTHROUGH && !l->tls && o->redirect == REDIRECT_NONE)
        build_error(b, &o->protocol,
                    "what is passed through is TLS: remove `tls: off`, or write `protocol: tcp` for plain connections");
    if (o->hosts.count && !l->tls && o->protocol == SERVICE_TCP)
        build_error(b, &o->hosts, "without TLS no client of this listener names a host: write `to: UPSTREAM` alone");
}

static void check_postgres(struct builder *b, const struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;

    if (!o->require_tls && o->protocol != SERVICE_POSTGRES)
        build_error(b, &o->require_tls, "this is for `protocol: postgres`: clients of all others begin with TLS");
    if (o->protocol == SERVICE_POSTGRES && !l->tls && o->redirect == REDIRECT_NONE)
        build_error(b, &o->protocol,
                    "postgres is about TLS, which is off here: write `protocol: tcp` to relay plain connections");
    for (size_t i = 0; i < o->hosts.count && o->protocol == SERVICE_POSTGRES; i++) {
        const struct host_options *h = OPTION_ITEM(struct host_options, &o->hosts, i);
        if (h->protocol != SERVICE_INHERITED)
            build_error(b, &h->protocol, "every client of this listener speaks PostgreSQL: remove `protocol`");
    }
}

void build_service(struct builder *b, struct snapshot_listener *l)
{
    const struct listener_options *o = l->options;

    l->fallback.service.protocol = o->protocol;
    if (o->protocol != SERVICE_HTTP) {
        l->fallback.service.to = use_upstream(b, &o->to, o->protocol);
        check_relaying(b, l);
    }
    l->starts_in_clear = l->tls && (o->protocol == SERVICE_POSTGRES || service_is_mail(o->protocol));
    check_postgres(b, l);
    build_by_alpn(b, l);
    build_mail(b, l);
    if (l->tls && !listener_decrypts(l))
        check_undecrypted(b, l);
}

static void check_relayed_host(struct builder *b, const struct snapshot_listener *l, const struct snapshot_host *h,
                               const struct host_options *o)
{
    const char *name = service_name(h->service.protocol);

    if (!l->tls && l->options->protocol == SERVICE_HTTP)
        build_error(b, &o->protocol,
                    "without TLS no client of this listener names a host before it speaks HTTP: make a "
                    "listener of its own for %s",
                    name);
    if (o->routes.count)
        build_error(b, &o->routes, "%s knows no paths to choose by: write `to: UPSTREAM`, or `protocol: http`", name);
    if (o->hsts)
        build_error(b, &o->hsts, "only HTTP has such a field: remove `hsts`");
    if (o->headers)
        build_error(b, o->headers, "only HTTP has header fields: remove `headers`");
    if (!h->service.to && !b->errors_before)
        build_error(b, o, "this host serves nothing: write `to: UPSTREAM`");
    if (h->service.protocol != SERVICE_PASSTHROUGH)
        return;
    if (o->tls)
        build_error(b, &o->tls,
                    "what is passed through has the backend's own TLS: remove `tls`, or write `protocol: tcp`");
    if (config_is_set(b->config, &o->alpn))
        build_error(b, &o->alpn, "what is passed through negotiates ALPN with the backend: remove `alpn`");
}

void build_host_service(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h,
                        const struct host_options *o)
{
    struct snapshot_service *service = &h->service;

    service->protocol = o->protocol == SERVICE_INHERITED ? l->options->protocol : o->protocol;
    if (service->protocol == SERVICE_HTTP)
        return;
    if (o->to)
        service->to = use_upstream(b, &o->to, service->protocol);
    else if (service->protocol == l->options->protocol) /* a host may stand for its policy alone */
        service->to = l->fallback.service.to;
    check_relayed_host(b, l, h, o);
}
