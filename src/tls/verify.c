/* verify.c: why a certificate was refused, in words that say which one, which names and which depth; and when certificates end. */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <arpa/inet.h>

#include <openssl/x509v3.h>

#include "tls/openssl.h"

enum { NAMES_TOLD = 8 };

/* A line under construction; what does not fit is left out. */
struct line {
    char *text;
    size_t used, size;
};

static void put(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(l->text + l->used, l->size - l->used, format, arguments);
    va_end(arguments);
    if (n > 0)
        l->used += (size_t)n < l->size - l->used ? (size_t)n : l->size - l->used - 1;
}

static void put_subject(struct line *l, const char *word, const X509_NAME *name)
{
    char text[96] = "";

    if (name)
        X509_NAME_oneline(name, text, sizeof text);
    put(l, "%s%s", word, text[0] ? text : "without a name");
}

static void put_name(struct line *l, const GENERAL_NAME *name)
{
    char ip[INET6_ADDRSTRLEN];
    const ASN1_STRING *s = name->type == GEN_DNS ? name->d.dNSName : name->type == GEN_IPADD ? name->d.iPAddress : NULL;
    int size = s ? ASN1_STRING_length(s) : 0;

    if (name->type == GEN_DNS)
        put(l, "%.*s", size < 64 ? size : 64, ASN1_STRING_get0_data(s));
    else if (s && (size == 4 || size == 16) &&
             inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), ip, sizeof ip))
        put(l, "%s", ip);
    else
        put(l, "(of another kind)");
}

/* The names that a certificate has. */
static void put_names(struct line *l, const X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = sk_GENERAL_NAME_num(names);

    if (count <= 0)
        put(l, "no names (no subjectAltName; the common name does not count)");
    for (int i = 0; i < count && i < NAMES_TOLD; i++) {
        put(l, "%s", i ? ", " : "the names ");
        put_name(l, sk_GENERAL_NAME_value(names, i));
    }
    if (count > NAMES_TOLD)
        put(l, " and %d more", count - NAMES_TOLD);
    GENERAL_NAMES_free(names);
}

static void put_time(struct line *l, const char *words, const ASN1_TIME *time)
{
    struct tm tm;
    char text[32];

    if (time && ASN1_TIME_to_tm(time, &tm) == 1 && strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm))
        put(l, "%s%s", words, text);
}

/* What else is to be known about that error. */
static void put_details(struct line *l, int error, X509_STORE_CTX *store, const X509 *certificate)
{
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(store);
    char *expected = NULL;

    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
        put(l, ", has ");
        put_names(l, certificate);
        put(l, ", not %s", X509_VERIFY_PARAM_get0_host(parameters, 0));
        break;
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        expected = X509_VERIFY_PARAM_get1_ip_asc(parameters);
        put(l, ", has ");
        put_names(l, certificate);
        put(l, ", not %s", expected ? expected : "the address");
        OPENSSL_free(expected);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        put_time(l, ", valid until ", X509_get0_notAfter(certificate));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        put_time(l, ", valid from ", X509_get0_notBefore(certificate));
        break;
    default:
        if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) != 0)
            put_subject(l, ", issued by ", X509_get_issuer_name(certificate));
        break;
    }
}

void failure_note_verification(struct tls_failure *f, X509_STORE_CTX *store)
{
    const X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    struct line l = { f->reason, 0, sizeof f->reason };
    int error = X509_STORE_CTX_get_error(store);

    put(&l, "%s (depth %d, ", X509_verify_cert_error_string(error), X509_STORE_CTX_get_error_depth(store));
    put_subject(&l, "", certificate ? X509_get_subject_name(certificate) : NULL);
    if (certificate)
        put_details(&l, error, store, certificate);
    put(&l, ")");
}

int session_note_verification(int ok, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_failure *f = ok ? NULL : session_failure_of(session_of(ssl));

    if (f)
        failure_note_verification(f, store);
    return ok;
}

int64_t certificates_end(const STACK_OF(X509) * certificates)
{
    int64_t end = INT64_MAX;
    struct tm tm;

    for (int i = 0; i < sk_X509_num(certificates); i++) {
        int64_t until =
            ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(certificates, i)), &tm) == 1 ? (int64_t)timegm(&tm) : 0;

        end = until < end ? until : end;
    }
    return end;
}
