#include "base/check.h"
#include "config/suggest.h"
#include "net/kernel_tls.h"
#include "proxy/snapshot_build.h"
#include "tls/digest.h"

enum { DAY = 86400, WARN_DAYS = 14 };

/* ---- policies ---- */

/* The policy `default` where the file has none: the table's defaults, copied out of an empty configuration. */
static struct tls_policy_options *standard_policy(struct builder *b)
{
    struct config *c = config_read(&tls_policy_options, "default", BYTES_LITERAL("{}"));
    struct tls_policy_options *o = build_alloc(b, 1, sizeof *o);

    *o = *(struct tls_policy_options *)config_root(c);
    o->name = "default";
    o->suites_1_3 = o->suites_1_3 ? arena_text(b->arena, bytes_of_text(o->suites_1_3)) : NULL;
    o->suites_1_2 = o->suites_1_2 ? arena_text(b->arena, bytes_of_text(o->suites_1_2)) : NULL;
    o->groups = o->groups ? arena_text(b->arena, bytes_of_text(o->groups)) : NULL;
    config_free(c);
    return o;
}

static const struct tls_policy_options *find_options(struct builder *b, const char *name)
{
    for (size_t i = 0; i < b->site->tls.count; i++) {
        const struct tls_policy_options *o = OPTION_ITEM(struct tls_policy_options, &b->site->tls, i);
        if (strcmp(o->name, name) == 0)
            return o;
    }
    return strcmp(name, "default") == 0 ? standard_policy(b) : NULL;
}

static void complain_unknown(struct builder *b, const char *name, const void *field)
{
    struct suggestion best = { 0 };

    suggest(&best, bytes_of_text(name), "default");
    suggest(&best, bytes_of_text(name), "off");
    for (size_t i = 0; i < b->site->tls.count; i++)
        suggest(&best, bytes_of_text(name), OPTION_ITEM(struct tls_policy_options, &b->site->tls, i)->name);
    if (best.word)
        build_error(b, field, "unknown TLS policy \"%s\"\ndid you mean \"%s\"?", name, best.word);
    else
        build_error(b, field,
                    "unknown TLS policy \"%s\"\npolicies are the keys of `tls`; `default` is always there, and `off` "
                    "means plain HTTP",
                    name);
}

/* Whether a PEM text holds such a block. */
static bool has_block(struct bytes pem, const char *words)
{
    return pem.at && memmem(pem.at, pem.size, words, strlen(words));
}

static bool has_certificate(struct bytes pem)
{
    return has_block(pem, "CERTIFICATE-----");
}

static bool has_key(struct bytes pem)
{
    return has_block(pem, "PRIVATE KEY-----");
}

/* Authentication cannot fail open: what is missing or empty refuses the configuration. Returns whether all is well. */
static bool load_client_ca(struct builder *b, struct snapshot_policy *p)
{
    const struct tls_clients_options *c = &p->options->clients;
    const struct bundle_entry *file;

    if (c->certificate == TLS_CLIENT_OFF) {
        if (c->ca.path)
            build_warning(b, &c->ca,
                          "clients are not asked for certificates: write `certificate: required` or `optional` too");
        return true;
    }
    if (!c->ca.path) {
        build_error(b, c, "client certificates need `ca`: the file of the authorities whose certificates are accepted");
        return false;
    }
    file = bundle_find(b->bundle, BUNDLE_FILE, bytes_of_text(c->ca.path));
    if (!file) {
        if (!b->errors_before)
            build_error(b, &c->ca, "%s could not be read", c->ca.path);
        return false;
    }
    if (!has_certificate(file->content)) {
        build_error(b, &c->ca, "%s holds no certificate in PEM form: nobody could be authenticated with it",
                    c->ca.path);
        return false;
    }
    p->client_ca_pem = arena_copy(b->arena, file->content);
    CHECK(p->client_ca_pem.at);
    return true;
}

static void identify_clients(struct snapshot_policy *p)
{
    const struct tls_clients_options *c = &p->options->clients;
    struct bytes pieces[] = {
        bytes_of(&c->certificate, sizeof c->certificate),
        bytes_of(&c->depth, c->certificate == TLS_CLIENT_OFF ? 0 : sizeof c->depth),
        p->client_ca_pem,
    };

    CHECK(digest_of(pieces, COUNT_OF(pieces), p->clients_identity) == 0);
}

/* Whether the policy can be; what else may be wrong with it turns out with a certificate (context_of). */
static bool is_sound(struct builder *b, const struct tls_policy_options *o)
{
    struct tls_policy resolved;
    char why[TLS_POLICY_WHY];

    if (tls_policy_resolve(o, &resolved, why) == 0)
        return true;
    build_error(b, o, "TLS policy \"%s\": %s", o->name, why);
    return false;
}

/* Asked anew at each reload: the operator may have loaded the module. */
static void ask_kernel(struct builder *b, const struct tls_policy_options *o)
{
    enum kernel_tls can = o->records == TLS_RECORDS_KERNEL ? kernel_tls_probe() : KERNEL_TLS_NEW_KEYS;

    if (can == KERNEL_TLS_NONE)
        build_warning(b, &o->records,
                      "the kernel has no TLS here: Unlade protects the records itself\n"
                      "load its module with `modprobe tls`, then reload");
    else if (can == KERNEL_TLS_FIXED_KEYS)
        build_warning(
            b, &o->records,
            "this kernel cannot change the keys of a connection: one whose client does (RFC 8446 4.6.3) is ended\n"
            "Linux 6.14 and later can; `records: user` always can");
}

struct snapshot_policy *build_policy(struct builder *b, const char *name, const void *field)
{
    struct built_policy *built;
    const struct tls_policy_options *o;

    for (built = b->policies; built; built = built->next)
        if (strcmp(built->policy.options->name, name) == 0)
            return &built->policy;
    o = find_options(b, name);
    if (!o) {
        complain_unknown(b, name, field);
        return NULL;
    }
    built = build_alloc(b, 1, sizeof *built);
    built->policy.options = o;
    ask_kernel(b, o);
    built->is_broken = !load_client_ca(b, &built->policy) || !is_sound(b, o);
    identify_clients(&built->policy);
    built->next = b->policies;
    b->policies = built;
    return &built->policy;
}

/* ---- certificates ---- */

static void check_dates(struct builder *b, const struct certificate *c, const void *field)
{
    struct tm utc;
    char date[32];
    time_t left = c->not_after - b->now;

    gmtime_r(left < WARN_DAYS * DAY ? &c->not_after : &c->not_before, &utc);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    if (left < 0)
        build_warning(b, field, "the certificate in %s expired on %s: renew it, then reload", c->source, date);
    else if (left < WARN_DAYS * DAY)
        build_warning(b, field, "the certificate in %s expires in %d days, on %s", c->source, (int)(left / DAY), date);
    else if (c->not_before > b->now)
        build_warning(b, field, "the certificate in %s is not valid before %s: clients will refuse it until then",
                      c->source, date);
}

struct certificate *build_load_certificate(struct builder *b, const char *chain_path, struct bytes chain,
                                           const char *key_path, struct bytes key, const void *field)
{
    struct built_certificate *built;
    struct certificate *c;
    const char *why;

    for (built = b->certificates; built; built = built->next)
        if (strcmp(built->chain_path, chain_path) == 0 && strcmp(built->key_path, key_path) == 0)
            return built->certificate;
    built = build_alloc(b, 1, sizeof *built);
    built->chain_path = arena_text(b->arena, bytes_of_text(chain_path));
    built->key_path = arena_text(b->arena, bytes_of_text(key_path));
    CHECK(built->chain_path && built->key_path);
    built->next = b->certificates;
    b->certificates = built;
    CHECK(b->snapshot->certificate_count < b->certificates_most);
    c = &b->snapshot->certificates[b->snapshot->certificate_count];
    if (certificate_parse(chain, key, built->chain_path, b->arena, c, &why) < 0) {
        build_error(b, field, "%s: %s", chain_path, why);
        return NULL;
    }
    b->snapshot->certificate_count++;
    built->certificate = c;
    check_dates(b, c, field);
    return c;
}

static void use(struct snapshot_listener *l, struct certificate *c)
{
    for (size_t i = 0; i < l->certificate_count; i++)
        if (l->certificates[i] == c)
            return;
    if (c)
        l->certificates[l->certificate_count++] = c;
}

static const struct bundle_entry *find_file(struct builder *b, const char *path, const void *field)
{
    const struct bundle_entry *e = bundle_find(b->bundle, BUNDLE_FILE, bytes_of_text(path));

    if (!e && !b->errors_before)
        build_error(b, field, "%s could not be read", path);
    return e;
}

static void use_pair(struct builder *b, struct snapshot_listener *l, const struct certificate_options *o)
{
    const struct bundle_entry *chain = find_file(b, o->certificate.path, &o->certificate);
    const char *key_path = o->key.path ? o->key.path : o->certificate.path;
    const struct bundle_entry *key = find_file(b, key_path, o->key.path ? &o->key : &o->certificate);

    if (!chain || !key)
        return;
    if (!o->key.path && !has_key(key->content)) {
        build_error(b, o, "%s holds no private key: write `key: FILE` beside it", key_path);
        return;
    }
    use(l, build_load_certificate(b, o->certificate.path, chain->content, key_path, key->content, o));
}

/* site.pem -> site.key; NULL when the name has no extension, or that one. */
static const char *key_beside(struct builder *b, const char *path)
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    const char *name;

    if (!dot || (slash && dot < slash) || strcmp(dot, ".key") == 0)
        return NULL;
    name = arena_printf(b->arena, "%.*s.key", (int)(dot - path), path);
    CHECK(name);
    return name;
}

/* A note, behind a line break, for files in the other usual forms. */
static const char *conversion(struct bytes content)
{
    if (content.size == 0 || content.at[0] != 0x30) /* SEQUENCE, with which both begin */
        return "";
    return "\nif it is DER: openssl x509 -inform DER -in FILE -out NEW.pem"
           "\nif it is PKCS #12: openssl pkcs12 -in FILE -nodes -out NEW.pem";
}

/* One file of `files`: with its key inside, or in a file beside it. */
static void use_file(struct builder *b, struct snapshot_listener *l, const struct option_file *files, const char *path,
                     struct bytes content, bool from_glob)
{
    const char *key_path = key_beside(b, path);
    const struct bundle_entry *key = key_path ? bundle_find(b->bundle, BUNDLE_FILE, bytes_of_text(key_path)) : NULL;

    if (from_glob && !key_path && has_key(content) && !has_certificate(content))
        return; /* the key of the certificate beside it */
    if (has_key(content))
        use(l, build_load_certificate(b, path, content, path, content, files));
    else if (key)
        use(l, build_load_certificate(b, path, content, key_path, key->content, files));
    else if (!has_certificate(content))
        build_error(b, files, "%s holds neither a certificate nor a key in PEM form%s", path, conversion(content));
    else
        build_error(b, files,
                    "%s holds no private key, and there is no %s: add it to the file, or write `certificate` and `key`",
                    path, key_path ? key_path : "file with it");
}

static void use_files(struct builder *b, struct snapshot_listener *l, const struct option_file *files)
{
    struct bytes pattern = bytes_of_text(files->path);
    const struct bundle_entry *single = bundle_find(b->bundle, BUNDLE_FILE, pattern);
    size_t found = 0;

    if (single) {
        use_file(b, l, files, files->path, single->content, false);
        return;
    }
    for (size_t i = 0; i < bundle_count(b->bundle); i++) {
        const struct bundle_entry *e = bundle_entry(b->bundle, i);
        const char *path;

        if (e->kind != BUNDLE_MATCH || !bytes_equal(e->pattern, pattern))
            continue;
        path = arena_text(b->arena, e->name);
        CHECK(path);
        use_file(b, l, files, path, e->content, true);
        found++;
    }
    if (!found && !b->errors_before)
        build_error(b, files, "%s matches no file", files->path);
}

void build_certificates(struct builder *b, struct snapshot_listener *l)
{
    const struct option_list *list =
        l->options->certificates.count ? &l->options->certificates : &b->site->certificates;

    l->certificates = build_alloc(b, b->certificates_most, sizeof *l->certificates);
    if (!list->count) {
        build_error(b, l->options,
                    "a TLS listener needs certificates: write `certificates: FILE`, or `tls: off` for plain HTTP");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct certificate_options *o = OPTION_ITEM(struct certificate_options, list, i);
        if (o->files.path && (o->certificate.path || o->key.path))
            build_error(b, o, "write either `files`, or `certificate` and `key`");
        else if (o->files.path)
            use_files(b, l, &o->files);
        else if (o->certificate.path)
            use_pair(b, l, o);
        else
            build_error(b, o, "write `files: FILE`, or `certificate: FILE` and `key: FILE`");
    }
    if (!l->certificate_count)
        return; /* for reasons that were given */
    l->cert_index = cert_index_new(b->arena, l->certificates, l->certificate_count);
    CHECK(l->cert_index);
}

/* ---- contexts ---- */

static bool same_names(const char *const *a, const char *const *b)
{
    while (*a && *b && strcmp(*a, *b) == 0) {
        a++;
        b++;
    }
    return !*a && !*b;
}

/* A new reference to the context of a policy, a certificate and a list for ALPN; NULL after a complaint. */
static struct tls_context *context_of(struct builder *b, struct built_policy *policy, const struct certificate *c,
                                      const char *const *alpn, const void *field)
{
    struct tls_server_parts parts = {
        .policy = policy->policy.options,
        .client_ca_pem = policy->policy.client_ca_pem,
        .leaf = c->leaf,
        .chain = c->chain,
        .key = c->key,
        .alpn = alpn,
    };
    struct built_context *built;
    const char *why;

    for (built = b->contexts; built; built = built->next)
        if (built->policy == &policy->policy && built->certificate == c && same_names(built->alpn, alpn))
            return tls_context_ref(built->context);
    built = build_alloc(b, 1, sizeof *built);
    built->context = tls_context_new_server(&parts, &why);
    if (!built->context) {
        build_error(b, field, "TLS policy \"%s\" with the certificate in %s: %s", policy->policy.options->name,
                    c->source, why);
        policy->is_broken = true;
        return NULL;
    }
    built->policy = &policy->policy;
    built->certificate = c;
    built->alpn = alpn;
    built->next = b->contexts;
    b->contexts = built;
    return tls_context_ref(built->context);
}

/* Tickets are of use for the same listener, host, policy and authorities alone. */
static void bind_tickets(const struct snapshot_listener *l, struct snapshot_host *h)
{
    const struct tls_policy_options *o = h->policy->options;
    int numbers[] = { o->profile, o->versions_least, o->versions_most };
    struct bytes pieces[] = {
        l->name,
        h->name,
        bytes_of_text(o->name),
        bytes_of(numbers, sizeof numbers),
        bytes_of(h->policy->clients_identity, sizeof h->policy->clients_identity),
    };

    _Static_assert(sizeof h->binding >= DIGEST_BYTES, "the rest stays zero");
    CHECK(digest_of(pieces, COUNT_OF(pieces), h->binding) == 0);
}

void build_host_tls(struct builder *b, struct snapshot_listener *l, struct snapshot_host *h, const void *field)
{
    struct built_policy *policy = CONTAINER_OF(h->policy, struct built_policy, policy);

    bind_tickets(l, h);
    h->contexts = build_alloc(b, l->certificate_count, sizeof(struct tls_context *));
    for (size_t i = 0; i < l->certificate_count && !policy->is_broken; i++)
        h->contexts[i] = context_of(b, policy, l->certificates[i], h->alpn, field);
}

void build_release_contexts(struct builder *b)
{
    for (struct built_context *built = b->contexts; built; built = built->next)
        tls_context_unref(built->context);
}
