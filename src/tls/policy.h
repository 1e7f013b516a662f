/* policy.h: how TLS is spoken: profile, versions, suites, groups, client certificates. Named in the configuration's
 * `tls` map; a listener or host names one, and `default` applies where none is named.
 *
 * The profiles follow Mozilla's "Server Side TLS" guideline, version 5.7, with these differences: TLS 1.0 and 1.1 are
 * never spoken, so that `old` adds TLS 1.2's CBC and RSA key exchange suites and no more (no 3DES); the server's order
 * counts, with AES-128-GCM before AES-256-GCM unless asked otherwise, and ChaCha20 where the client puts it first;
 * X25519MLKEM768 comes first where the library has it. */
#ifndef TLS_POLICY_H
#define TLS_POLICY_H

#include "base/error.h"
#include "base/option.h"

enum tls_profile { TLS_PROFILE_MODERN, TLS_PROFILE_INTERMEDIATE, TLS_PROFILE_OLD };
/* Who protects records after the handshake. */
enum tls_records_choice { TLS_RECORDS_AUTO, TLS_RECORDS_USER, TLS_RECORDS_KERNEL, TLS_RECORDS_OPENSSL };
/* Who makes the handshakes. */
enum tls_engine_choice { TLS_ENGINE_AUTO, TLS_ENGINE_NATIVE, TLS_ENGINE_OPENSSL };
enum tls_client_certificate { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_clients_options {
    int certificate;            /* enum tls_client_certificate */
    struct option_file ca;      /* needed unless off; an empty one refuses the configuration */
    uint64_t depth;             /* intermediate certificates at most */
};

struct tls_policy_options {
    const char *name;
    int profile;                /* enum tls_profile */
    int versions_least;         /* 0: the profile's; else 0x0303 or 0x0304 */
    int versions_most;
    const char *suites_1_3;     /* NULL: the profile's; else names, IANA's or OpenSSL's, joined with ':', ',' or spaces */
    const char *suites_1_2;
    const char *groups;         /* NULL: automatic; else names, joined likewise */
    bool prefer_aes_256;
    bool strict_sni;            /* an unmatched or missing name gets unrecognized_name instead of the default certificate */
    bool tickets;
    int engine;                 /* enum tls_engine_choice */
    int records;                /* enum tls_records_choice */
    struct tls_clients_options clients;
};

struct tls_tickets_options {
    uint64_t rotate_ns;         /* a fresh key each so often; the last three open tickets */
};

struct tls_alpn_options {
    const char *name;
};

enum tls_start { TLS_START_AT_ONCE, TLS_START_POSTGRES };

/* How TLS is spoken with the servers of an upstream. */
struct tls_client_options {
    bool enabled;               /* `tls: off` is as good as none */
    int start;                  /* enum tls_start: what comes before it */
    struct option_file ca;      /* NULL: the system's store */
    bool verify;
    const char *name;           /* that certificates must have; NULL: the server's host as it is written */
    const char *sni;            /* to be asked for; NULL: the name, where that is no address; "off": none */
    struct option_file certificate, key; /* ours; the key may stand in the certificate's file */
    struct option_list alpn;    /* struct tls_alpn_options */
    bool tickets;
    int profile;                /* as struct tls_policy_options, like the following */
    int versions_least, versions_most;
    const char *suites_1_3, *suites_1_2, *groups;
};

extern const struct option_table tls_client_options;
extern const struct option_table tls_policy_options;
extern const struct option_table tls_tickets_options;

/* What a policy comes to, in the library's words. */
struct tls_policy {
    uint16_t versions_least, versions_most; /* 0x0303 or 0x0304, least <= most */
    char suites_1_3[160];                   /* OpenSSL's names joined with ':' */
    char suites_1_2[1024];                  /* empty where TLS 1.2 is not spoken */
    char groups[192];                       /* likewise; empty: automatic */
};

enum { TLS_POLICY_WHY = 256 }; /* bytes: room for every sentence of tls_policy_resolve */

/* The policy that the options for servers come to, named "tls"; texts are shared. */
struct tls_policy_options tls_client_policy(const struct tls_client_options *options);
/* Whether a version (0x0303, 0x0304) is one of the policy's. */
bool tls_policy_speaks(const struct tls_policy_options *options, uint16_t version);
/* Fills in what the profile says and checks what the operator wrote. Pure: whether the library has all of it turns out
 * when a context is made. Returns 0, or -E_CONFIG with a sentence in why ("unknown cipher suite \"AES\"; the known
 * ones are …"). */
int tls_policy_resolve(const struct tls_policy_options *options, struct tls_policy *ret_policy,
                       char why[TLS_POLICY_WHY]) MUST_USE;

#endif
