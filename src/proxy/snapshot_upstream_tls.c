/* snapshot_upstream_tls.c: how the servers of an upstream are reached: whom we believe, what we show, whom we expect. */
#include "base/check.h"
#include "proxy/snapshot_build.h"
#include "tls/digest.h"

static const char *const system_stores[] = {
    "/etc/ssl/certs/ca-certificates.crt", /* Debian and its kin */
    "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora and its kin */
    "/etc/ssl/cert.pem",                  /* Alpine */
};

static bool needs_store(const struct tls_client_options *o)
{
    return o && o->enabled && o->verify && !o->ca.path;
}

const void *site_needs_store(const struct site_options *site)
{
    for (size_t i = 0; i < site->upstreams.count; i++) {
        const struct upstream_options *u = OPTION_ITEM(struct upstream_options, &site->upstreams, i);
        if (needs_store(u->tls))
            return &u->tls->ca;
    }
    return NULL;
}

const char *site_store_path(size_t i)
{
    return i < COUNT_OF(system_stores) ? system_stores[i] : NULL;
}

/* ---- whom we believe ---- */

static const struct bundle_entry *find_file(struct builder *b, const char *path, const void *field)
{
    const struct bundle_entry *e = bundle_find(b->bundle, BUNDLE_FILE, bytes_of_text(path));

    if (!e && !b->errors_before)
        build_error(b, field, "%s could not be read", path);
    return e;
}

/* The authorities of that text, made once. NULL after a complaint. */
static struct built_trust *trust_of(struct builder *b, const char *path, struct bytes pem, const void *field)
{
    struct built_trust *built;
    const char *why;

    for (built = b->trusts; built; built = built->next)
        if (strcmp(built->path, path) == 0)
            return built;
    built = build_alloc(b, 1, sizeof *built);
    built->path = path;
    built->pem = pem;
    built->trust = tls_trust_new(pem, &why);
    if (!built->trust) {
        build_error(b, field, "%s: %s: no server could be verified with it", path, why);
        return NULL;
    }
    built->next = b->trusts;
    b->trusts = built;
    return built;
}

static struct built_trust *find_trust(struct builder *b, const struct tls_client_options *o)
{
    const struct bundle_entry *e;

    if (o->ca.path) {
        e = find_file(b, o->ca.path, &o->ca);
        return e ? trust_of(b, o->ca.path, e->content, &o->ca) : NULL;
    }
    e = bundle_find(b->bundle, BUNDLE_STORE, BYTES_NONE);
    if (e)
        return trust_of(b, "the system's store of certificates", e->content, &o->enabled);
    if (!b->errors_before)
        build_error(b, &o->enabled,
                    "there is no system store of certificates to verify servers with\n"
                    "install ca-certificates, or write `ca: FILE`");
    return NULL;
}

/* ---- what we show ---- */

static const struct certificate *find_certificate(struct builder *b, const struct tls_client_options *o)
{
    const struct option_file *key_file = o->key.path ? &o->key : &o->certificate;
    const struct bundle_entry *chain, *key;

    if (!o->certificate.path) {
        if (o->key.path)
            build_error(b, &o->key, "a key alone is of no use: write `certificate: FILE` too");
        return NULL;
    }
    chain = find_file(b, o->certificate.path, &o->certificate);
    key = find_file(b, key_file->path, key_file);
    return chain && key ? build_load_certificate(b, o->certificate.path, chain->content, key_file->path, key->content,
                                                 &o->certificate)
                        : NULL;
}

/* ---- whom we expect ---- */

/* A name as it is written in certificates and on the wire; NULL where it is none. */
static const char *canonical(struct builder *b, const char *text, bool *ret_is_address)
{
    struct hostname name;
    const char *copy;

    if (hostname_parse_pattern(bytes_of_text(text), &name) < 0 || name.is_pattern)
        return NULL;
    copy = arena_text(b->arena, bytes_of(name.text, name.size));
    CHECK(copy);
    *ret_is_address = name.is_address;
    return copy;
}

/* What is wrong with the names that hold for every server; told once. */
static void check_names(struct builder *b, const struct tls_client_options *o)
{
    static const char form[] = "must be a DNS name or an IP address, such as app.internal";
    bool is_address = false;

    if (o->name && !canonical(b, o->name, &is_address))
        build_error(b, &o->name, "`name` %s", form);
    is_address = false;
    if (!o->sni || strcmp(o->sni, "off") == 0)
        return;
    if (!canonical(b, o->sni, &is_address))
        build_error(b, &o->sni, "`sni` must be a DNS name, such as app.internal, or off");
    else if (is_address)
        build_error(b, &o->sni, "`sni` must be a DNS name: an address cannot be asked for (RFC 6066 3)");
}

/* ---- the context ---- */

static const char *const h1[] = { "http/1.1", NULL }, *const h2[] = { "h2", NULL },
                         *const both[] = { "h2", "http/1.1", NULL };

/* The names to offer, ended by NULL. */
static const char *const *alpn_of(struct builder *b, const struct upstream_options *o)
{
    const struct option_list *list = &o->tls->alpn;
    const char **names = build_alloc(b, list->count + 1, sizeof *names);

    if (o->protocol != UPSTREAM_HTTP1) {
        if (list->count)
            build_error(b, list, "`alpn` is what `protocol: %s` makes it: leave it out",
                        o->protocol == UPSTREAM_H2 ? "h2" : "auto");
        return o->protocol == UPSTREAM_H2 ? h2 : both;
    }
    for (size_t i = 0; i < list->count; i++)
        names[i] = OPTION_ITEM(struct tls_alpn_options, list, i)->name;
    return names;
}

/* All that the context is made of, by value: the same after a reload that changed nothing. */
static void identify(const struct tls_client_options *o, const struct built_trust *trust, const struct certificate *own,
                     const char *const *alpn, uint8_t ret_digest[DIGEST_BYTES])
{
    const int numbers[] = { o->start, o->verify, o->tickets, o->profile, o->versions_least, o->versions_most };
    uint8_t names[DIGEST_BYTES];
    struct bytes list[16] = { { 0 } };
    size_t count = 0;
    struct bytes pieces[] = {
        bytes_of(numbers, sizeof numbers),
        trust ? trust->pem : BYTES_NONE,
        own ? bytes_of(own->fingerprint, sizeof own->fingerprint) : BYTES_NONE,
        bytes_of_text(o->suites_1_3),
        bytes_of_text(o->suites_1_2),
        bytes_of_text(o->groups),
        bytes_of(names, sizeof names),
    };

    for (size_t i = 0; alpn[i] && count < COUNT_OF(list); i++)
        list[count++] = bytes_of_text(alpn[i]);
    CHECK(digest_of(list, count, names) == 0);
    CHECK(digest_of(pieces, COUNT_OF(pieces), ret_digest) == 0);
}

static void check_unverified(struct builder *b, const struct tls_client_options *o)
{
    if (o->verify)
        return;
    build_warning(b, &o->verify,
                  "the servers are not verified: whoever can redirect this traffic can read and change it\n"
                  "write `ca: FILE` with the servers' authority, or their own certificates, instead");
    if (o->ca.path)
        build_warning(b, &o->ca, "`ca` is of no use with `verify: off`");
}

void build_upstream_tls(struct builder *b, struct snapshot_upstream *u)
{
    const struct tls_client_options *o = u->options->tls;
    const int *protocol = &u->options->protocol;
    struct tls_policy_options policy;
    struct tls_client_parts parts = { .policy = &policy };
    struct built_trust *trust = NULL;
    const struct certificate *own;
    size_t errors = config_error_count(b->config);
    const char *why;

    if (!o || !o->enabled) {
        if (*protocol == UPSTREAM_AUTO)
            build_error(b, protocol,
                        "`protocol: auto` leaves the choice to TLS's ALPN, and this upstream has no `tls`\n"
                        "write `protocol: h2` where the servers speak HTTP/2 in clear text, else leave it out");
        return;
    }
    policy = tls_client_policy(o);
    check_unverified(b, o);
    check_names(b, o);
    if (o->verify && (trust = find_trust(b, o)) != NULL)
        parts.trust = trust->trust;
    own = find_certificate(b, o);
    if (own && !certificate_is_for_clients(own))
        build_warning(b, &o->certificate,
                      "the certificate in %s is for servers alone (extended key usage): servers will refuse it from us",
                      own->source);
    if (own) {
        parts.leaf = own->leaf;
        parts.chain = own->chain;
        parts.key = own->key;
    }
    parts.alpn = alpn_of(b, u->options);
    if ((o->verify && !trust) || config_error_count(b->config) > errors)
        return; /* for reasons that were given */
    u->tls = tls_context_new_client(&parts, &why);
    if (!u->tls)
        build_error(b, &o->enabled, "TLS to the servers: %s", why);
    if (u->tls && *protocol == UPSTREAM_AUTO) {
        parts.alpn = h1;
        u->tls_h1 = tls_context_new_client(&parts, &why);
        CHECK(u->tls_h1); /* as the one before */
        parts.alpn = both;
    }
    identify(o, trust, own, parts.alpn, u->tls_identity);
}

void build_release_trusts(struct builder *b)
{
    for (struct built_trust *built = b->trusts; built; built = built->next)
        tls_trust_unref(built->trust);
}

/* ---- how a server is reached ---- */

static void expect(struct builder *b, struct tls_peer *peer, const struct tls_client_options *o,
                   const struct option_endpoint *e)
{
    bool is_address = false;

    if (o->name)
        peer->name = canonical(b, o->name, &is_address);
    else if (e->host && e->host[0])
        peer->name = canonical(b, e->host, &is_address);
    else if (o->verify && e->path)
        build_error(b, e, "a Unix socket has no name that a certificate could have: write `tls: { name: NAME }`");
    if (!o->sni)
        peer->sni = is_address ? NULL : peer->name;
    else if (strcmp(o->sni, "off") != 0)
        peer->sni = canonical(b, o->sni, &is_address);
}

void build_plan(struct builder *b, const struct snapshot_upstream *u, const struct option_endpoint *e,
                struct dial_plan *ret_plan)
{
    uint8_t digest[DIGEST_BYTES];

    *ret_plan = (struct dial_plan){ .options = u->options, .identity = (uint64_t)u->options->protocol };
    if (!u->options->tls || !u->options->tls->enabled)
        return;
    expect(b, &ret_plan->peer, u->options->tls, e);
    ret_plan->tls = u->tls;
    ret_plan->tls_h1 = u->tls_h1;
    struct bytes pieces[] = {
        bytes_of(u->tls_identity, sizeof u->tls_identity),
        bytes_of_text(ret_plan->peer.name),
        bytes_of_text(ret_plan->peer.sni),
    };
    CHECK(digest_of(pieces, COUNT_OF(pieces), digest) == 0);
    memcpy(&ret_plan->identity, digest, sizeof ret_plan->identity);
}
