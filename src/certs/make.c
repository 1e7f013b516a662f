/* make.c: fresh keys and certificates, for a first run without any and for the demo's small authority. */
#include "certs/store.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { SERIAL_BITS = 128, BACKDATED = 3600 }; /* seconds, for clients whose clock is behind */

/* A malloc'ed, terminated copy of what was written to a memory BIO; NULL when anything failed. */
static char *text_of(BIO *bio, int ok)
{
    char *at, *text = NULL;
    long size = bio && ok == 1 ? BIO_get_mem_data(bio, &at) : 0;

    if (size > 0 && (text = malloc((size_t)size + 1)) != NULL) {
        memcpy(text, at, (size_t)size);
        text[size] = '\0';
    }
    BIO_free(bio);
    return text;
}

static char *certificate_text(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return text_of(bio, bio ? PEM_write_bio_X509(bio, certificate) : 0);
}

static char *key_text(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    return text_of(bio, bio ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : 0);
}

static X509 *certificate_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return certificate;
}

static EVP_PKEY *key_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;

    BIO_free(bio);
    return key;
}

/* RFC 5280 4.1.2.2: positive, at most 20 bytes; random, so that no two of an issuer's are equal. */
static bool set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool ok = number && BN_rand(number, SERIAL_BITS - 1, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

    BN_free(number);
    return ok;
}

static bool set_subject(X509 *certificate, const struct certificate_request *request)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    const char *common = request->names[0];

    /* A common name has 64 characters at most (RFC 5280, upper bounds); subjectAltName has what counts. */
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Unlade", -1, -1, 0) == 1 &&
           (strlen(common) > 64 ||
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0) == 1);
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool ok;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ok = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static GENERAL_NAME *general_name(const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(text);
    ASN1_IA5STRING *dns = ip ? NULL : ASN1_IA5STRING_new();

    ERR_clear_error(); /* what is not an address is a name */
    if (name && ip) {
        GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
        return name;
    }
    if (name && dns && ASN1_STRING_set(dns, text, -1) == 1) {
        GENERAL_NAME_set0_value(name, GEN_DNS, dns);
        return name;
    }
    ASN1_OCTET_STRING_free(ip);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(name);
    return NULL;
}

static bool add_alternative_names(X509 *certificate, const char *const *names)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool ok = all != NULL;

    for (size_t i = 0; ok && names[i]; i++) {
        GENERAL_NAME *name = general_name(names[i]);
        ok = name && sk_GENERAL_NAME_push(all, name) > 0;
        if (!ok)
            GENERAL_NAME_free(name);
    }
    ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(all);
    return ok;
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct certificate_request *request)
{
    bool ok = add_extension(certificate, issuer, NID_subject_key_identifier, "hash");

    /* A self-signed certificate's would only repeat its own. */
    if (ok && issuer != certificate)
        ok = add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
    if (request->is_ca)
        return ok && add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    return ok && add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth") &&
           add_alternative_names(certificate, request->names);
}

/* issuer NULL: it signs itself. */
static bool fill_and_sign(X509 *certificate, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                          const struct certificate_request *request)
{
    X509 *by = issuer ? issuer : certificate;

    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATED) &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), request->days, 0, NULL) &&
           X509_set_pubkey(certificate, key) == 1 && set_subject(certificate, request) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(by)) == 1 &&
           add_extensions(certificate, by, request) &&
           X509_sign(certificate, issuer ? issuer_key : key, EVP_sha256()) > 0;
}

int certificate_make(const struct certificate_request *request, char **ret_cert_pem, char **ret_key_pem)
{
    bool is_issued = request->ca_cert_pem != NULL;
    X509 *issuer = is_issued ? certificate_of(request->ca_cert_pem) : NULL;
    EVP_PKEY *issuer_key = is_issued ? key_of(request->ca_key_pem) : NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    char *cert_text = NULL, *key_pem = NULL;

    if (key && certificate && (!is_issued || (issuer && issuer_key)) &&
        fill_and_sign(certificate, key, issuer, issuer_key, request)) {
        cert_text = certificate_text(certificate);
        key_pem = key_text(key);
    }
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
    X509_free(certificate);
    ERR_clear_error();
    if (!cert_text || !key_pem) {
        free(cert_text);
        free(key_pem);
        return -E_CRYPTO;
    }
    *ret_cert_pem = cert_text;
    *ret_key_pem = key_pem;
    return 0;
}
