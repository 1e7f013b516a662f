/* policy.c: the options of a TLS policy, and what the profiles make of them. */
#include "tls/policy.h"

#include <stdio.h>
#include <strings.h>

#include "base/check.h"

/* ---- Options ---- */

static const struct option_choice profile_choices[] = {
    { "modern", TLS_PROFILE_MODERN, "TLS 1.3 alone" },
    { "intermediate", TLS_PROFILE_INTERMEDIATE, "TLS 1.3, and TLS 1.2 with forward secrecy and AEAD suites" },
    { "old", TLS_PROFILE_OLD, "the same, and TLS 1.2's CBC and RSA key exchange suites" },
    { NULL, 0, NULL },
};

static const struct option_choice version_choices[] = {
    { "profile", 0, "what the profile says" },
    { "1.2", 0x0303, "TLS 1.2" },
    { "1.3", 0x0304, "TLS 1.3" },
    { NULL, 0, NULL },
};

static const struct option_choice records_choices[] = {
    { "auto", TLS_RECORDS_AUTO, "Unlade itself, until the kernel is known to be cheaper" },
    { "user", TLS_RECORDS_USER, "Unlade itself" },
    { "kernel", TLS_RECORDS_KERNEL, "the kernel (its module `tls`), where it can; else Unlade" },
    { "openssl", TLS_RECORDS_OPENSSL, "OpenSSL, which then keeps tens of kilobytes for each connection" },
    { NULL, 0, NULL },
};

static const struct option_choice engine_choices[] = {
    { "auto", TLS_ENGINE_AUTO,
      "Unlade itself for what is common in TLS 1.3, OpenSSL for everything else and for clients that resume a session "
      "of its" },
    { "native", TLS_ENGINE_NATIVE,
      "the same, but tickets of OpenSSL's are not accepted by Unlade's own engine: such clients get a full handshake" },
    { "openssl", TLS_ENGINE_OPENSSL, "OpenSSL for all" },
    { NULL, 0, NULL },
};

static const struct option_choice client_certificate_choices[] = {
    { "off", TLS_CLIENT_OFF, "not asked for" },
    { "optional", TLS_CLIENT_OPTIONAL, "asked for; one that is sent must be valid" },
    { "required", TLS_CLIENT_REQUIRED, "without a valid one there is no connection" },
    { NULL, 0, NULL },
};

static const struct option clients_rows[] = {
    { "certificate", OPTION_CHOICE, OPTION_AT(struct tls_clients_options, certificate), .standard = "off",
      .choices = client_certificate_choices, .doc = "Whether clients authenticate with a certificate." },
    { "ca", OPTION_FILE, OPTION_AT(struct tls_clients_options, ca),
      .doc = "PEM file of the authorities whose certificates are accepted, roots included; their names are sent to "
             "clients." },
    { "depth", OPTION_NUMBER, OPTION_AT(struct tls_clients_options, depth), .standard = "3", .most = 16,
      .doc = "Intermediate certificates allowed between a client's certificate and a root." },
};

static const struct option_table clients_options =
    OPTION_TABLE("client certificate policy", struct tls_clients_options, clients_rows,
                 "Authentication of clients by certificate. It is bound to the policy: a connection made under one is "
                 "useless for hosts of another.",
                 .shorthand = "certificate", .example = "{ certificate: required, ca: /etc/unlade/staff-ca.pem }");

static const struct option policy_rows[] = {
    { "profile", OPTION_CHOICE, OPTION_AT(struct tls_policy_options, profile), .standard = "intermediate",
      .choices = profile_choices, .doc = "Versions and suites after Mozilla's Server Side TLS 5.7." },
    { "min_version", OPTION_CHOICE, OPTION_AT(struct tls_policy_options, versions_least), .standard = "profile",
      .choices = version_choices, .doc = "The oldest version spoken." },
    { "max_version", OPTION_CHOICE, OPTION_AT(struct tls_policy_options, versions_most), .standard = "profile",
      .choices = version_choices, .doc = "The newest version spoken." },
    { "suites_1_3", OPTION_TEXT, OPTION_AT(struct tls_policy_options, suites_1_3),
      .doc = "Cipher suites of TLS 1.3 in order of preference, joined with ':', instead of the profile's." },
    { "suites_1_2", OPTION_TEXT, OPTION_AT(struct tls_policy_options, suites_1_2),
      .doc = "Cipher suites of TLS 1.2 in order of preference, joined with ':', instead of the profile's." },
    { "groups", OPTION_TEXT, OPTION_AT(struct tls_policy_options, groups), .standard = "auto",
      .doc = "Key exchange groups in order of preference, joined with ':'; auto: X25519MLKEM768 where the library has "
             "it, X25519, P-256, P-384." },
    { "prefer_aes_256", OPTION_BOOL, OPTION_AT(struct tls_policy_options, prefer_aes_256), .standard = "no",
      .doc = "Whether AES-256 comes before AES-128 in the profile's suites; it costs more CPU time." },
    { "strict_sni", OPTION_BOOL, OPTION_AT(struct tls_policy_options, strict_sni), .standard = "no",
      .doc = "Whether a client without a name, or with one that no certificate has, is refused with the alert "
             "unrecognized_name; else it gets the default certificate." },
    { "tickets", OPTION_BOOL, OPTION_AT(struct tls_policy_options, tickets), .standard = "yes",
      .doc = "Whether sessions can be resumed with tickets." },
    { "engine", OPTION_CHOICE, OPTION_AT(struct tls_policy_options, engine), .standard = "auto",
      .choices = engine_choices,
      .doc = "Who makes the handshakes. TLS 1.2, rarer groups and keys, and policies with `records: openssl`, are "
             "OpenSSL's in any case." },
    { "records", OPTION_CHOICE, OPTION_AT(struct tls_policy_options, records), .standard = "auto",
      .choices = records_choices,
      .doc = "Who protects records once the handshake is complete. Suites without AEAD stay with OpenSSL." },
    { "clients", OPTION_SECTION, OPTION_AT(struct tls_policy_options, clients), .table = &clients_options,
      .doc = "Client certificates." },
};

const struct option_table tls_policy_options = OPTION_TABLE(
    "TLS policy", struct tls_policy_options, policy_rows,
    "How TLS is spoken with clients. The policy named `default` applies where a listener or host names "
    "none. The profiles follow Mozilla's Server Side TLS guideline, version 5.7; TLS 1.0 and 1.1 are never "
    "spoken.",
    .shorthand = "profile", .example = "{ profile: modern, strict_sni: yes }");

static const struct option tickets_rows[] = {
    { "rotate", OPTION_DURATION, OPTION_AT(struct tls_tickets_options, rotate_ns), .standard = "12h",
      .least = UINT64_C(60000000000), .most = UINT64_C(7) * 86400 * 1000000000,
      .doc = "How often a fresh key protects new session tickets; the last three keys open old ones." },
};

const struct option_table tls_tickets_options =
    OPTION_TABLE("ticket key policy", struct tls_tickets_options, tickets_rows,
                 "The keys of session tickets. They are made in memory and change on their own.");

/* ---- Options of TLS to servers ---- */

static const struct option alpn_rows[] = {
    { "name", OPTION_TEXT, OPTION_AT(struct tls_alpn_options, name), .required = true,
      .doc = "A protocol's name, such as http/1.1 or postgresql." },
};

static const struct option_table alpn_table =
    OPTION_TABLE("ALPN name", struct tls_alpn_options, alpn_rows, "A protocol offered by ALPN.", .shorthand = "name");

static const struct option_choice start_choices[] = {
    { "at_once", TLS_START_AT_ONCE, "The connection begins with it." },
    { "postgres", TLS_START_POSTGRES, "PostgreSQL is asked for it by its SSLRequest, and refused when it says no." },
    { 0 },
};

static const struct option client_rows[] = {
    { "enabled", OPTION_BOOL, OPTION_AT(struct tls_client_options, enabled), .standard = "on",
      .doc = "Whether TLS is spoken; `tls: on` is TLS with all defaults." },
    { "start", OPTION_CHOICE, OPTION_AT(struct tls_client_options, start), .choices = start_choices,
      .standard = "at_once", .doc = "What is said before TLS." },
    { "ca", OPTION_FILE, OPTION_AT(struct tls_client_options, ca),
      .doc = "PEM file of the certificates that are believed: authorities, or the servers' own. Without it the "
             "system's store, /etc/ssl/certs/ca-certificates.crt (or what the environment names in SSL_CERT_FILE)." },
    { "verify", OPTION_BOOL, OPTION_AT(struct tls_client_options, verify), .standard = "on",
      .doc =
          "Whether servers must prove who they are, by chain and name. Off: whoever can redirect the traffic can read "
          "and change it." },
    { "name", OPTION_TEXT, OPTION_AT(struct tls_client_options, name),
      .doc = "The DNS name or IP address that the servers' certificates must have. By default the server's host as "
             "written in `servers`." },
    { "sni", OPTION_TEXT, OPTION_AT(struct tls_client_options, sni),
      .doc =
          "The name that servers are asked for (SNI); off: none. By default the name that the certificate must have, "
          "unless that is an address." },
    { "certificate", OPTION_FILE, OPTION_AT(struct tls_client_options, certificate),
      .doc = "Our certificate in PEM form, its chain behind it, for servers that ask for one." },
    { "key", OPTION_FILE, OPTION_AT(struct tls_client_options, key),
      .doc = "Its private key; by default the one in the certificate's file." },
    { "alpn", OPTION_LIST, OPTION_AT(struct tls_client_options, alpn), .table = &alpn_table, .most = 16,
      .doc = "The protocols offered by ALPN, in order of preference. By default what the upstream's protocol needs." },
    { "tickets", OPTION_BOOL, OPTION_AT(struct tls_client_options, tickets), .standard = "yes",
      .doc = "Whether sessions are resumed, which spares both sides most of the handshake's work." },
    { "profile", OPTION_CHOICE, OPTION_AT(struct tls_client_options, profile), .standard = "intermediate",
      .choices = profile_choices, .doc = "Versions and suites, as in TLS policies." },
    { "min_version", OPTION_CHOICE, OPTION_AT(struct tls_client_options, versions_least), .standard = "profile",
      .choices = version_choices, .doc = "The oldest version spoken." },
    { "max_version", OPTION_CHOICE, OPTION_AT(struct tls_client_options, versions_most), .standard = "profile",
      .choices = version_choices, .doc = "The newest version spoken." },
    { "suites_1_3", OPTION_TEXT, OPTION_AT(struct tls_client_options, suites_1_3),
      .doc = "Cipher suites of TLS 1.3 in order of preference, joined with ':', instead of the profile's." },
    { "suites_1_2", OPTION_TEXT, OPTION_AT(struct tls_client_options, suites_1_2),
      .doc = "Cipher suites of TLS 1.2 in order of preference, joined with ':', instead of the profile's." },
    { "groups", OPTION_TEXT, OPTION_AT(struct tls_client_options, groups), .standard = "auto",
      .doc = "Key exchange groups in order of preference, joined with ':'." },
};

const struct option_table tls_client_options = OPTION_TABLE(
    "TLS to servers", struct tls_client_options, client_rows,
    "How TLS is spoken with the servers of an upstream. They are verified, chain and name, unless `verify: off` is "
    "written.",
    .shorthand = "enabled", .example = "{ ca: /etc/unlade/internal-ca.pem, name: app.internal }");

struct tls_policy_options tls_client_policy(const struct tls_client_options *options)
{
    return (struct tls_policy_options){
        .name = "tls",
        .profile = options->profile,
        .versions_least = options->versions_least,
        .versions_most = options->versions_most,
        .suites_1_3 = options->suites_1_3,
        .suites_1_2 = options->suites_1_2,
        .groups = options->groups,
        .tickets = options->tickets,
        .clients = { .certificate = TLS_CLIENT_OFF },
    };
}

/* ---- Suites and groups ---- */

enum { IN_1_3 = 1, IN_INTERMEDIATE = 2, IN_OLD = 4, AES_256 = 8 };

struct tls_name {
    const char *name;  /* OpenSSL's */
    const char *alias; /* IANA's, or another that people write */
    unsigned is;
};

/* Every suite that can be had, in the profiles' order. What is not here (anonymous, PSK, NULL, export, 3DES, RC4 …) cannot
 * be configured. */
static const struct tls_name suites[] = {
    { "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", IN_1_3 },
    { "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", IN_1_3 | AES_256 },
    { "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", IN_1_3 },
    { "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", IN_INTERMEDIATE },
    { "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", IN_INTERMEDIATE },
    { "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", IN_INTERMEDIATE | AES_256 },
    { "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", IN_INTERMEDIATE | AES_256 },
    { "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", IN_INTERMEDIATE },
    { "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", IN_INTERMEDIATE },
    { "DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", IN_INTERMEDIATE },
    { "DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", IN_INTERMEDIATE | AES_256 },
    { "DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", IN_INTERMEDIATE },
    { "ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", IN_OLD },
    { "ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", IN_OLD },
    { "ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", IN_OLD },
    { "ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", IN_OLD },
    { "ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", IN_OLD | AES_256 },
    { "ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", IN_OLD | AES_256 },
    { "ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", IN_OLD | AES_256 },
    { "ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", IN_OLD | AES_256 },
    { "DHE-RSA-AES128-SHA256", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", IN_OLD },
    { "DHE-RSA-AES256-SHA256", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", IN_OLD | AES_256 },
    { "AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", IN_OLD },
    { "AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384", IN_OLD | AES_256 },
    { "AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256", IN_OLD },
    { "AES256-SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256", IN_OLD | AES_256 },
    { "AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA", IN_OLD },
    { "AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA", IN_OLD | AES_256 },
};

static const struct tls_name groups[] = {
    { "X25519MLKEM768", "X25519MLKEM768", 0 },
    { "SecP256r1MLKEM768", "SecP256r1MLKEM768", 0 },
    { "SecP384r1MLKEM1024", "SecP384r1MLKEM1024", 0 },
    { "X25519", "X25519", 0 },
    { "P-256", "secp256r1", 0 },
    { "P-256", "prime256v1", 0 },
    { "P-384", "secp384r1", 0 },
    { "P-521", "secp521r1", 0 },
    { "X448", "X448", 0 },
    { "ffdhe2048", "ffdhe2048", 0 },
    { "ffdhe3072", "ffdhe3072", 0 },
};

/* A list under construction: names joined with ':'. */
struct name_list {
    char *text;
    size_t used, size;
};

static bool list_has(const struct name_list *l, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = l->text; (at = strstr(at, name)) != NULL; at++)
        if ((at == l->text || at[-1] == ':') && (at[size] == ':' || at[size] == '\0'))
            return true;
    return false;
}

/* Every list has room for all the names that there are, each once. */
static void list_add(struct name_list *l, const char *name)
{
    if (list_has(l, name))
        return;
    int n = snprintf(l->text + l->used, l->size - l->used, "%s%s", l->used ? ":" : "", name);
    CHECK(n > 0 && (size_t)n < l->size - l->used);
    l->used += (size_t)n;
}

static void add_profile_suites(struct name_list *l, unsigned mask, bool prefer_aes_256)
{
    if (prefer_aes_256)
        for (size_t i = 0; i < COUNT_OF(suites); i++)
            if ((suites[i].is & mask) && (suites[i].is & AES_256))
                list_add(l, suites[i].name);
    for (size_t i = 0; i < COUNT_OF(suites); i++)
        if (suites[i].is & mask)
            list_add(l, suites[i].name);
}

/* One kind of name that an operator may write. */
struct vocabulary {
    const struct tls_name *names;
    size_t count;
    unsigned mask; /* which of the names; 0: all */
    const char *what, *examples;
};

static const struct vocabulary suites_1_3 = { suites, COUNT_OF(suites), IN_1_3, "cipher suite of TLS 1.3",
                                              "TLS_AES_128_GCM_SHA256 or TLS_CHACHA20_POLY1305_SHA256" };
static const struct vocabulary suites_1_2 = {
    suites, COUNT_OF(suites), IN_INTERMEDIATE | IN_OLD, "cipher suite of TLS 1.2",
    "ECDHE-ECDSA-AES128-GCM-SHA256 or TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
};
static const struct vocabulary all_groups = { groups, COUNT_OF(groups), 0, "key exchange group",
                                              "X25519MLKEM768, X25519 or P-256" };

static const struct tls_name *find_name(const struct vocabulary *v, struct bytes text)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct tls_name *n = &v->names[i];
        if (v->mask && !(n->is & v->mask))
            continue;
        if (bytes_equal_nocase(bytes_of_text(n->name), text) || bytes_equal_nocase(bytes_of_text(n->alias), text))
            return n;
    }
    return NULL;
}

static int add_written(struct name_list *l, const struct vocabulary *v, const char *written, char why[TLS_POLICY_WHY])
{
    static const char separators[] = ":, \t\n";

    for (const char *at = written + strspn(written, separators); *at; at += strspn(at, separators)) {
        size_t size = strcspn(at, separators);
        const struct tls_name *name = find_name(v, bytes_of(at, size));

        if (!name) {
            snprintf(why, TLS_POLICY_WHY, "unknown %s \"%.*s\": write names like %s", v->what,
                     (int)(size < 60 ? size : 60), at, v->examples);
            return -E_CONFIG;
        }
        list_add(l, name->name);
        at += size;
    }
    if (l->used == 0) {
        snprintf(why, TLS_POLICY_WHY, "no %s is named: write names like %s", v->what, v->examples);
        return -E_CONFIG;
    }
    return 0;
}

static bool is_written(const char *text)
{
    return text && strcasecmp(text, "auto") != 0 && strcasecmp(text, "profile") != 0;
}

static uint16_t versions_least(const struct tls_policy_options *o)
{
    return o->versions_least ? (uint16_t)o->versions_least : o->profile == TLS_PROFILE_MODERN ? 0x0304 : 0x0303;
}

static uint16_t versions_most(const struct tls_policy_options *o)
{
    return o->versions_most ? (uint16_t)o->versions_most : 0x0304;
}

bool tls_policy_speaks(const struct tls_policy_options *options, uint16_t version)
{
    return versions_least(options) <= version && version <= versions_most(options);
}

static int resolve_versions(const struct tls_policy_options *o, struct tls_policy *p, char why[TLS_POLICY_WHY])
{
    /* `modern` with max_version 1.2 would leave nothing: an operator who wants that must say so. */
    p->versions_most = versions_most(o);
    p->versions_least = versions_least(o);
    if (p->versions_least <= p->versions_most)
        return 0;
    snprintf(why, TLS_POLICY_WHY, "no version is left: the oldest allowed is TLS 1.%d, the newest TLS 1.%d",
             p->versions_least - 0x0301, p->versions_most - 0x0301);
    return -E_CONFIG;
}

static int resolve_suites(const struct tls_policy_options *o, struct tls_policy *p, char why[TLS_POLICY_WHY])
{
    struct name_list l13 = { p->suites_1_3, 0, sizeof p->suites_1_3 };
    struct name_list l12 = { p->suites_1_2, 0, sizeof p->suites_1_2 };
    int error = 0;

    if (is_written(o->suites_1_3))
        error = add_written(&l13, &suites_1_3, o->suites_1_3, why);
    else
        add_profile_suites(&l13, IN_1_3, o->prefer_aes_256);
    if (error)
        return error;
    if (is_written(o->suites_1_2))
        return add_written(&l12, &suites_1_2, o->suites_1_2, why);
    add_profile_suites(&l12, IN_INTERMEDIATE, o->prefer_aes_256);
    if (o->profile == TLS_PROFILE_OLD)
        add_profile_suites(&l12, IN_OLD, o->prefer_aes_256);
    return 0;
}

int tls_policy_resolve(const struct tls_policy_options *options, struct tls_policy *ret_policy,
                       char why[TLS_POLICY_WHY])
{
    struct tls_policy policy = { 0 };
    struct name_list list = { policy.groups, 0, sizeof policy.groups };
    int error = resolve_versions(options, &policy, why);

    if (!error)
        error = resolve_suites(options, &policy, why);
    if (!error && is_written(options->groups))
        error = add_written(&list, &all_groups, options->groups, why);
    if (!error && options->clients.certificate != TLS_CLIENT_OFF && !options->clients.ca.path) {
        snprintf(why, TLS_POLICY_WHY, "clients: certificate needs a ca file that says whose certificates are accepted");
        error = -E_CONFIG;
    }
    if (!error)
        *ret_policy = policy;
    return error;
}
