/* papers.h: certificates of every kind for tests, good and bad: what certificate_make does not make. */
#ifndef TESTS_TLS_PAPERS_H
#define TESTS_TLS_PAPERS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

struct papers {
    EVP_PKEY *key;
    X509 *cert;
    char *cert_pem, *key_pem;
};

struct papers_wish {
    const char *key;            /* "P-256" (NULL), "P-384", "P-521", "ED25519", "RSA" (2048), "RSA1024" */
    const char *common_name;
    const char *alternative;    /* subjectAltName as `openssl x509 -ext` writes it; NULL: none */
    const char *constraints;    /* basicConstraints; NULL: none */
    long from, until;           /* seconds from now; 0 and 0: valid for a day */
    const struct papers *issuer; /* NULL: itself */
};

static inline char *papers_text(BIO *bio)
{
    char *at, *text;
    long size = BIO_get_mem_data(bio, &at);

    text = malloc((size_t)size + 1);
    memcpy(text, at, (size_t)size);
    text[size] = '\0';
    BIO_free(bio);
    return text;
}

static inline EVP_PKEY *papers_key(const char *kind)
{
    if (!kind)
        kind = "P-256";
    if (strcmp(kind, "ED25519") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (strcmp(kind, "RSA") == 0)
        return EVP_RSA_gen(2048);
    if (strcmp(kind, "RSA1024") == 0)
        return EVP_RSA_gen(1024);
    return EVP_EC_gen(kind);
}

static inline void papers_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    if (!value)
        return;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline struct papers papers_make(const struct papers_wish *w)
{
    static long serial = 1000;
    struct papers p = { .key = papers_key(w->key), .cert = X509_new() };
    EVP_PKEY *signer = w->issuer ? w->issuer->key : p.key;
    X509 *issuer = w->issuer ? w->issuer->cert : p.cert;
    X509_NAME *subject;
    BIO *bio;

    assert_non_null(p.key);
    X509_set_version(p.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), w->from || w->until ? w->from : -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), w->from || w->until ? w->until : 86400);
    X509_set_pubkey(p.cert, p.key);
    subject = X509_get_subject_name(p.cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)w->common_name, -1, -1, 0);
    X509_set_issuer_name(p.cert, X509_get_subject_name(issuer));
    papers_extend(p.cert, issuer, NID_subject_alt_name, w->alternative);
    papers_extend(p.cert, issuer, NID_basic_constraints, w->constraints);
    assert_true(X509_sign(p.cert, signer, EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, p.cert);
    p.cert_pem = papers_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, p.key, NULL, NULL, 0, NULL, NULL);
    p.key_pem = papers_text(bio);
    ERR_clear_error();
    return p;
}

static inline void papers_free(struct papers *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    free(p->cert_pem);
    free(p->key_pem);
}

#endif
