#include "tls/peers.h"

#include <time.h>
#include <openssl/x509v3.h>

static struct arena arena;

static X509 *x509_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(x);
    return x;
}

/* Verifies as a client would: chain, purpose, name, dates, strictly. */
static int verified(const char *ca_pem, const char *leaf_pem, const char *host, const char *ip)
{
    X509 *ca = x509_of(ca_pem), *leaf = x509_of(leaf_pem);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int result;

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_STORE_CTX_set_default(context, "ssl_server");
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    if (host)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    if (ip)
        X509_VERIFY_PARAM_set1_ip_asc(param, ip);
    result = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(leaf);
    ERR_clear_error();
    return result;
}

static void an_issued_certificate_passes_strict_verification(void **state)
{
    const char *names[] = { "localhost", "*.example.org", "127.0.0.1", "::1", NULL };
    struct authority a;
    char *cert, *key;

    authority_make(&a, "Small CA");
    struct certificate_request request = { .names = names, .days = 10, .ca_cert_pem = a.ca_pem, .ca_key_pem = a.ca_key_pem };
    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    assert_int_equal(verified(a.ca_pem, cert, "localhost", NULL), X509_V_OK);
    assert_int_equal(verified(a.ca_pem, cert, "x.example.org", NULL), X509_V_OK);
    assert_int_equal(verified(a.ca_pem, cert, NULL, "127.0.0.1"), X509_V_OK);
    assert_int_equal(verified(a.ca_pem, cert, NULL, "::1"), X509_V_OK);
    assert_int_equal(verified(a.ca_pem, cert, "other.example", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    free(cert);
    free(key);
    authority_free(&a);
}

static void extensions_are_those_of_a_web_server(void **state)
{
    const char *names[] = { "www.example.org", NULL };
    struct certificate_request request = { .names = names, .days = 10 };
    char *cert, *key;

    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    X509 *x = x509_of(cert);
    assert_int_equal(X509_get_version(x), X509_VERSION_3);
    assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
    assert_int_equal(X509_check_ca(x), 0);
    assert_non_null(X509_get0_subject_key_id(x));
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(x)), 16);
    time_t begin = time(NULL) + 10 * 86400 - 60;
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(x), &begin), 1);
    time_t before = time(NULL) - 60;
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(x), &before), -1);
    assert_int_equal(verified(cert, cert, "www.example.org", NULL), X509_V_OK);
    X509_free(x);
    free(cert);
    free(key);
}

static void an_authority_signs_but_does_not_serve(void **state)
{
    struct authority a;

    authority_make(&a, "Small CA");
    X509 *x = x509_of(a.ca_pem);
    assert_true(X509_check_ca(x) > 0);
    assert_int_equal(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(X509_get_pathlen(x), 0);
    X509_free(x);
    authority_free(&a);
}

static void what_was_made_can_be_parsed(void **state)
{
    const char *names[] = { "www.example.org", "192.0.2.7", NULL };
    struct certificate_request request = { .names = names, .days = 1 };
    struct certificate c;
    const char *why;
    char *cert, *key;

    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    assert_int_equal(certificate_parse(bytes_of_text(cert), bytes_of_text(key), "self", &arena, &c, &why), 0);
    assert_int_equal(c.kind, CERTIFICATE_ECDSA_P256);
    assert_int_equal(c.name_count, 2);
    assert_string_equal(c.names[0].text, "www.example.org");
    assert_string_equal(c.names[1].text, "192.0.2.7");
    certificate_clear(&c);
    free(cert);
    free(key);
}

static void long_names_and_bad_issuers(void **state)
{
    char name[200];
    const char *names[] = { name, NULL };
    struct certificate_request request = { .names = names, .days = 1 };
    char *cert, *key;

    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 50)
        name[i] = '.';
    name[sizeof name - 1] = '\0';
    assert_int_equal(certificate_make(&request, &cert, &key), 0); /* too long for a common name */
    assert_int_equal(verified(cert, cert, name, NULL), X509_V_OK);
    free(cert);
    free(key);
    request.ca_cert_pem = "no PEM";
    request.ca_key_pem = "no PEM";
    assert_int_equal(certificate_make(&request, &cert, &key), -E_CRYPTO);
    assert_int_equal(ERR_peek_error(), 0);
}

static int set_up(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int tear_down(void **state)
{
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_issued_certificate_passes_strict_verification),
        cmocka_unit_test(extensions_are_those_of_a_web_server),
        cmocka_unit_test(an_authority_signs_but_does_not_serve),
        cmocka_unit_test(what_was_made_can_be_parsed),
        cmocka_unit_test(long_names_and_bad_issuers),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
