/* store.h: certificates with their keys, and the choice among them by name, algorithm and time.
 *
 *     bundle (PEM contents) --certs_load()--> struct certificate ...
 *     a listener's certificates --cert_index_new()--> index by name --cert_choose(hello, now)--> one certificate
 *
 * Choice: among the certificates whose names match the server name, exactly or by wildcard, those that the client can
 * use (its signature algorithms and, in TLS 1.2, its suites and groups). Of these, in this order: valid now before
 * expired; usable in TLS 1.3, then with an AEAD suite, before what is left to older suites; an exact name before a
 * wildcard; ECDSA and Ed25519 before RSA; the one that lives longest. Without a match: the listener's first certificate
 * and those that share its first name (or the alert unrecognized_name with strict_sni, which is the caller's to send),
 * by the same preferences. A client that offers neither TLS 1.2 nor 1.3 gets any: the engine refuses it. */
#ifndef CERTS_STORE_H
#define CERTS_STORE_H

#include <time.h>

#include "base/arena.h"
#include "base/hostname.h"
#include "base/option.h"
#include "tls/client_hello.h"
#include "tls/session.h"

/* One entry of a listener's (or the root's) `certificates` list: either `files` (PEM files that hold chain and key, or
 * globs of them; a key may also stand in a file of the same name with .key) or `certificate` with `key`. */
struct certificate_options {
    struct option_file files;
    struct option_file certificate;
    struct option_file key;
};
extern const struct option_table certificate_options;

enum certificate_kind { CERTIFICATE_RSA, CERTIFICATE_ECDSA_P256, CERTIFICATE_ECDSA_P384, CERTIFICATE_ECDSA_P521, CERTIFICATE_ED25519,
                        CERTIFICATE_OTHER };

struct certificate {
    const char *source;             /* path of the file that it came from */
    enum certificate_kind kind;
    time_t not_before, not_after;   /* seconds since 1970, UTC */
    struct hostname *names;         /* of subjectAltName's dNSName and iPAddress; CN only where there is no SAN at all */
    size_t name_count;
    struct x509_st *leaf;
    struct stack_st_X509 *chain;
    struct evp_pkey_st *key;
    uint8_t fingerprint[32];        /* SHA-256 of the leaf's DER */
};

/* Parses chain and key: the leaf is the certificate whose public key fits the key, whatever the order in the file. The
 * chain is put in order, without roots (clients have their own) and without what does not belong to it. RSA keys of
 * less than 2048 bits are refused.
 * key_pem may be the same bytes as chain_pem. Returns 0, or -E_CONFIG with a sentence that says what is wrong and what
 * to do ("the key does not belong to the certificate", "the key is encrypted …") in ret_why (in the arena). */
int certificate_parse(struct bytes chain_pem, struct bytes key_pem, const char *source, struct arena *arena,
                      struct certificate *ret_certificate, const char **ret_why) MUST_USE;
/* Whether a server may accept it from a client: its usages, where it names any, allow that (RFC 5280 4.2.1.12). */
bool certificate_is_for_clients(const struct certificate *c);
/* Frees the OpenSSL objects (the rest is the arena's). */
void certificate_clear(struct certificate *c);

/* Built once, read by any number of threads. */
struct cert_index;
/* certificates: pointers stay valid as long as the index. The first is the default. NULL: memory. */
struct cert_index *cert_index_new(struct arena *arena, struct certificate *const *certificates, size_t count);
/* name_matched tells whether the choice is by name (false: the default's). Returns the certificate, or NULL when none can
 * be used by this client (the caller sends handshake_failure). */
struct certificate *cert_choose(const struct cert_index *index, const struct client_hello *hello, time_t now,
                                bool *ret_name_matched);

/* A fresh key and certificate as PEM, for `serve` without --cert and for the demo.
 * ca_cert_pem/ca_key_pem: the issuer, or NULL for a self-signed one (is_ca: it may sign others).
 * names: DNS names or IP addresses, ended by NULL; the first is the subject. ret_pem texts are malloc'ed, the caller's.
 * Returns 0 or -E_CRYPTO. */
struct certificate_request {
    const char *const *names;
    int days;
    bool is_ca;
    const char *ca_cert_pem, *ca_key_pem;
};
int certificate_make(const struct certificate_request *request, char **ret_cert_pem, char **ret_key_pem) MUST_USE;

#endif
