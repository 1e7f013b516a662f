/* pem.c: from PEM text to a certificate with its key, its chain in order, and what the choice among them needs. */
#include "certs/store.h"

#include <arpa/inet.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { RSA_LEAST = 2048, CERTIFICATES_MOST = 64 }; /* bits; certificates in one file */

/* ---- Reading ---- */

static BIO *bio_over(struct bytes pem)
{
    return pem.size <= INT32_MAX ? BIO_new_mem_buf(pem.at ? (const void *)pem.at : "", (int)pem.size) : NULL;
}

/* All certificates in the text, in its order. Returns NULL with a reason. */
static STACK_OF(X509) * read_certificates(struct bytes pem, const char **ret_why)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *bio = bio_over(pem);
    X509 *c;

    *ret_why = NULL;
    ERR_clear_error();
    while (all && bio && !*ret_why && (c = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_num(all) == CERTIFICATES_MOST)
            *ret_why = "it holds too many certificates (64 at most)";
        if (*ret_why || sk_X509_push(all, c) <= 0)
            X509_free(c);
    }
    BIO_free(bio);
    if (!*ret_why && (!all || !bio))
        *ret_why = "out of memory";
    /* The end of the text shows as "no start line"; anything else is damage. */
    else if (!*ret_why && ERR_peek_last_error() && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        *ret_why = "a certificate in it is damaged: it cannot be decoded";
    else if (!*ret_why && sk_X509_num(all) == 0)
        *ret_why = "it holds no certificate: a block \"-----BEGIN CERTIFICATE-----\" is needed (PEM)";
    ERR_clear_error();
    if (!*ret_why)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

/* The library asks for a passphrase: there is none. */
static int refuse_passphrase(char *into, int size, int is_writing, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(struct bytes pem, const char **ret_why)
{
    BIO *bio = bio_over(pem);
    bool asked = false;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked) : NULL;

    BIO_free(bio);
    if (!key) {
        static const char mark[] = "PRIVATE KEY-----";

        if (asked)
            *ret_why =
                "the key is encrypted: give it without a passphrase (openssl pkey -in KEY -out NEW), readable by "
                "its owner alone";
        else if (!pem.at || !memmem(pem.at, pem.size, mark, sizeof mark - 1))
            *ret_why = "there is no private key: a block \"-----BEGIN PRIVATE KEY-----\" is needed (PEM)";
        else
            *ret_why = "the private key is damaged: it cannot be decoded";
    }
    ERR_clear_error();
    return key;
}

/* ---- The leaf and its chain ---- */

/* Takes the certificate whose public key is the private key's out of `all`. */
static X509 *take_leaf(STACK_OF(X509) * all, const EVP_PKEY *key)
{
    for (int i = 0; i < sk_X509_num(all); i++) {
        EVP_PKEY *public = X509_get0_pubkey(sk_X509_value(all, i));
        if (public && EVP_PKEY_eq(public, key) == 1)
            return sk_X509_delete(all, i);
    }
    ERR_clear_error();
    return NULL;
}

/* Moves out of `all` who issued the leaf, who issued those, and so on; roots stay behind, since clients have their own.
 * Several issuers of one certificate (cross-signed) all come along. */
static STACK_OF(X509) * take_chain(STACK_OF(X509) * all, X509 *leaf)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *child = leaf;

    for (int at = 0; chain && child; child = at < sk_X509_num(chain) ? sk_X509_value(chain, at) : NULL, at++) {
        for (int i = 0; i < sk_X509_num(all); i++) {
            X509 *issuer = sk_X509_value(all, i);
            if (X509_check_issued(issuer, child) != X509_V_OK || X509_self_signed(issuer, 0) == 1)
                continue;
            if (sk_X509_push(chain, issuer) <= 0)
                continue;
            (void)sk_X509_delete(all, i--);
        }
    }
    ERR_clear_error();
    return chain;
}

/* ---- What is known about it ---- */

static enum certificate_kind kind_of(const EVP_PKEY *key)
{
    char curve[32] = "";

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return CERTIFICATE_RSA;
    case EVP_PKEY_ED25519:
        return CERTIFICATE_ED25519;
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) != 1)
            return CERTIFICATE_OTHER;
        return strcmp(curve, "prime256v1") == 0  ? CERTIFICATE_ECDSA_P256
               : strcmp(curve, "secp384r1") == 0 ? CERTIFICATE_ECDSA_P384
               : strcmp(curve, "secp521r1") == 0 ? CERTIFICATE_ECDSA_P521
                                                 : CERTIFICATE_OTHER;
    default:
        return CERTIFICATE_OTHER;
    }
}

static bool to_time(const ASN1_TIME *from, time_t *ret_time)
{
    struct tm tm;

    if (!from || ASN1_TIME_to_tm(from, &tm) != 1)
        return false;
    *ret_time = timegm(&tm);
    return true;
}

/* A name that no host can have is of no use to the choice; the certificate may have others. */
static void add_name(struct certificate *c, struct bytes text)
{
    if (hostname_parse_pattern(text, &c->names[c->name_count]) == 0)
        c->name_count++;
}

static void add_address(struct certificate *c, const ASN1_OCTET_STRING *ip)
{
    char text[INET6_ADDRSTRLEN + 2];
    int size = ASN1_STRING_length(ip);
    const unsigned char *at = ASN1_STRING_get0_data(ip);

    if (size == 4 && inet_ntop(AF_INET, at, text, INET_ADDRSTRLEN)) {
        add_name(c, bytes_of_text(text));
    } else if (size == 16 && inet_ntop(AF_INET6, at, text + 1, INET6_ADDRSTRLEN)) {
        text[0] = '[';
        size_t end = strlen(text);
        text[end] = ']';
        add_name(c, bytes_of(text, end + 1));
    }
}

static bool read_alternative_names(struct certificate *c, struct arena *arena, const GENERAL_NAMES *names)
{
    size_t count = (size_t)sk_GENERAL_NAME_num(names);

    c->names = arena_alloc(arena, (count ? count : 1) * sizeof *c->names);
    if (!c->names)
        return false;
    for (size_t i = 0; i < count; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, (int)i);

        if (name->type == GEN_DNS)
            add_name(c, bytes_of(ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName)));
        else if (name->type == GEN_IPADD)
            add_address(c, name->d.iPAddress);
    }
    return true;
}

static bool read_common_name(struct certificate *c, struct arena *arena)
{
    const X509_NAME *subject = X509_get_subject_name(c->leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    c->names = arena_alloc(arena, sizeof *c->names);
    if (!c->names)
        return false;
    if (at >= 0) {
        const ASN1_STRING *name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        add_name(c, bytes_of(ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)));
    }
    return true;
}

/* subjectAltName's; the common name only where there is no such extension (RFC 6125 6.4.4). */
static bool read_names(struct certificate *c, struct arena *arena)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    bool done;

    if (!names)
        return read_common_name(c, arena);
    done = read_alternative_names(c, arena, names);
    GENERAL_NAMES_free(names);
    return done;
}

static int describe(struct certificate *c, struct arena *arena, const char **ret_why)
{
    c->kind = kind_of(c->key);
    if (c->kind == CERTIFICATE_RSA && EVP_PKEY_get_bits(c->key) < RSA_LEAST) {
        *ret_why = arena_printf(arena, "the RSA key has only %d bits: 2048 at least, or better an ECDSA key on P-256",
                                EVP_PKEY_get_bits(c->key));
        return -E_CONFIG;
    }
    if (!to_time(X509_get0_notBefore(c->leaf), &c->not_before) ||
        !to_time(X509_get0_notAfter(c->leaf), &c->not_after) ||
        X509_digest(c->leaf, EVP_sha256(), c->fingerprint, NULL) != 1) {
        *ret_why = "the certificate is damaged: its dates cannot be read";
        return -E_CONFIG;
    }
    if (read_names(c, arena))
        return 0;
    *ret_why = "out of memory";
    return -E_CONFIG;
}

int certificate_parse(struct bytes chain_pem, struct bytes key_pem, const char *source, struct arena *arena,
                      struct certificate *ret_certificate, const char **ret_why)
{
    struct certificate c = { .source = arena_text(arena, bytes_of_text(source)) };
    STACK_OF(X509) *all = read_certificates(chain_pem, ret_why);
    int error = -E_CONFIG;

    if (all && (c.key = read_key(key_pem, ret_why)) != NULL) {
        c.leaf = take_leaf(all, c.key);
        c.chain = c.leaf ? take_chain(all, c.leaf) : NULL;
        if (!c.leaf)
            *ret_why = "the key does not belong to the certificate: no certificate in the file has its public key";
        else if (!c.chain || !c.source)
            *ret_why = "out of memory";
        else
            error = describe(&c, arena, ret_why);
    }
    sk_X509_pop_free(all, X509_free);
    ERR_clear_error();
    if (error)
        certificate_clear(&c);
    else
        *ret_certificate = c;
    return error;
}

bool certificate_is_for_clients(const struct certificate *c)
{
    return X509_check_purpose(c->leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1;
}

void certificate_clear(struct certificate *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    c->leaf = NULL;
    c->chain = NULL;
    c->key = NULL;
}
