#include "tls/papers.h"

#include <stdio.h>

#include "base/check.h"
#include "certs/store.h"

static struct arena arena;
static struct papers root, middle;

static int set_up(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    root = papers_make(&(struct papers_wish){ .common_name = "Root", .constraints = "critical,CA:TRUE" });
    middle = papers_make(&(struct papers_wish){ .common_name = "Middle", .constraints = "critical,CA:TRUE", .issuer = &root });
    return 0;
}

static int tear_down(void **state)
{
    papers_free(&root);
    papers_free(&middle);
    arena_reset(&arena);
    return 0;
}

static struct certificate parsed(const char *chain, const char *key)
{
    struct certificate c;
    const char *why = "";

    if (certificate_parse(bytes_of_text(chain), bytes_of_text(key), "site.pem", &arena, &c, &why))
        fail_msg("%s", why);
    return c;
}

static void assert_refused(const char *chain, const char *key, const char *expected)
{
    struct certificate c;
    const char *why = "";

    assert_int_equal(certificate_parse(bytes_of_text(chain), bytes_of_text(key), "site.pem", &arena, &c, &why), -E_CONFIG);
    if (!strstr(why, expected))
        fail_msg("\"%s\" lacks \"%s\"", why, expected);
    assert_int_equal(ERR_peek_error(), 0);
}

static void finds_leaf_and_chain_in_any_order(void **state)
{
    struct papers leaf = papers_make(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:www.example.org",
                                                            .issuer = &middle });
    struct papers stray = papers_make(&(struct papers_wish){ .common_name = "stray" });
    const char *parts[] = { leaf.key_pem, root.cert_pem, middle.cert_pem, leaf.cert_pem, stray.cert_pem };

    for (size_t first = 0; first < COUNT_OF(parts); first++) { /* all in one file, turned round */
        char text[16384] = "some text above\n";
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            strcat(text, parts[(first + i) % COUNT_OF(parts)]);
        struct certificate c = parsed(text, text);

        assert_int_equal(X509_cmp(c.leaf, leaf.cert), 0);
        assert_int_equal(sk_X509_num(c.chain), 1); /* without the root, and without strangers */
        assert_int_equal(X509_cmp(sk_X509_value(c.chain, 0), middle.cert), 0);
        assert_string_equal(c.source, "site.pem");
        certificate_clear(&c);
    }
    papers_free(&leaf);
    papers_free(&stray);
}

static void knows_every_kind_of_key(void **state)
{
    static const struct {
        const char *key;
        enum certificate_kind kind;
    } kinds[] = {
        { "P-256", CERTIFICATE_ECDSA_P256 }, { "P-384", CERTIFICATE_ECDSA_P384 }, { "P-521", CERTIFICATE_ECDSA_P521 },
        { "ED25519", CERTIFICATE_ED25519 },  { "RSA", CERTIFICATE_RSA },          { "secp256k1", CERTIFICATE_OTHER },
    };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct papers p = papers_make(&(struct papers_wish){ .key = kinds[i].key, .common_name = "x" });
        struct certificate c = parsed(p.cert_pem, p.key_pem);

        assert_int_equal(c.kind, kinds[i].kind);
        assert_int_equal(sk_X509_num(c.chain), 0);
        certificate_clear(&c);
        papers_free(&p);
    }
}

static void names_come_from_the_alternative_names(void **state)
{
    struct papers p = papers_make(&(struct papers_wish){
        .common_name = "ignored.example.org",
        .alternative = "DNS:WWW.Example.org,DNS:*.example.net,IP:192.0.2.1,IP:2001:db8::1,DNS:bad name,email:a@b.c" });
    struct certificate c = parsed(p.cert_pem, p.key_pem);

    assert_int_equal(c.name_count, 4);
    assert_string_equal(c.names[0].text, "www.example.org");
    assert_string_equal(c.names[1].text, "*.example.net");
    assert_true(c.names[1].is_pattern);
    assert_string_equal(c.names[2].text, "192.0.2.1");
    assert_true(c.names[2].is_address);
    assert_string_equal(c.names[3].text, "2001:db8::1");
    assert_true(c.names[3].is_address);
    certificate_clear(&c);
    papers_free(&p);
}

static void the_common_name_counts_only_where_there_is_no_other(void **state)
{
    struct papers with = papers_make(&(struct papers_wish){ .common_name = "cn.example.org", .alternative = "email:a@b.c" });
    struct papers without = papers_make(&(struct papers_wish){ .common_name = "cn.example.org" });
    struct certificate c = parsed(with.cert_pem, with.key_pem);

    assert_int_equal(c.name_count, 0);
    certificate_clear(&c);
    c = parsed(without.cert_pem, without.key_pem);
    assert_int_equal(c.name_count, 1);
    assert_string_equal(c.names[0].text, "cn.example.org");
    certificate_clear(&c);
    papers_free(&with);
    papers_free(&without);
}

static void dates_are_seconds(void **state)
{
    struct papers p = papers_make(&(struct papers_wish){ .common_name = "x", .from = -100, .until = 1000 });
    struct certificate c = parsed(p.cert_pem, p.key_pem);
    time_t now = time(NULL);

    assert_in_range(c.not_before, now - 110, now - 95);
    assert_in_range(c.not_after, now + 990, now + 1005);
    certificate_clear(&c);
    papers_free(&p);
}

static void what_is_wrong_is_said(void **state)
{
    struct papers one = papers_make(&(struct papers_wish){ .common_name = "one" });
    struct papers two = papers_make(&(struct papers_wish){ .common_name = "two" });
    struct papers weak = papers_make(&(struct papers_wish){ .common_name = "weak", .key = "RSA1024" });
    char damaged[4096];

    assert_refused("", one.key_pem, "holds no certificate");
    assert_refused("just text\n", one.key_pem, "holds no certificate");
    assert_refused(one.key_pem, one.key_pem, "holds no certificate");
    assert_refused(one.cert_pem, "", "no private key");
    assert_refused(one.cert_pem, one.cert_pem, "no private key");
    assert_refused(one.cert_pem, two.key_pem, "does not belong to the certificate");
    assert_refused(weak.cert_pem, weak.key_pem, "only 1024 bits");
    snprintf(damaged, sizeof damaged, "%s-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", one.cert_pem);
    assert_refused(damaged, one.key_pem, "damaged");
    assert_refused(one.cert_pem, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "damaged");
    papers_free(&one);
    papers_free(&two);
    papers_free(&weak);
}

static char *encrypted_key(EVP_PKEY *key, bool is_traditional)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int ok = is_traditional ? PEM_write_bio_PrivateKey_traditional(bio, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6,
                                                                   NULL, NULL)
                            : PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);

    assert_int_equal(ok, 1);
    return papers_text(bio);
}

static void an_encrypted_key_is_named_as_such(void **state)
{
    struct papers p = papers_make(&(struct papers_wish){ .common_name = "x" });

    for (int traditional = 0; traditional < 2; traditional++) {
        char *key = encrypted_key(p.key, traditional);
        char *both = malloc(strlen(p.cert_pem) + strlen(key) + 1);

        assert_refused(p.cert_pem, key, "the key is encrypted");
        strcat(strcpy(both, p.cert_pem), key);
        assert_refused(both, both, "the key is encrypted");
        free(both);
        free(key);
    }
    papers_free(&p);
}

static void cutting_a_file_anywhere_never_harms(void **state)
{
    struct papers p = papers_make(&(struct papers_wish){ .common_name = "x", .alternative = "DNS:a.example.org" });
    char text[8192];
    size_t whole;

    snprintf(text, sizeof text, "%s%s", p.cert_pem, p.key_pem);
    whole = strlen(text);
    for (size_t n = 0; n < whole; n += 7) {
        struct certificate c;
        const char *why = NULL;
        if (certificate_parse(bytes_of(text, n), bytes_of(text, n), "cut", &arena, &c, &why))
            assert_non_null(why);
        else
            certificate_clear(&c);
        assert_int_equal(ERR_peek_error(), 0);
    }
    papers_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_leaf_and_chain_in_any_order),
        cmocka_unit_test(knows_every_kind_of_key),
        cmocka_unit_test(names_come_from_the_alternative_names),
        cmocka_unit_test(the_common_name_counts_only_where_there_is_no_other),
        cmocka_unit_test(dates_are_seconds),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(an_encrypted_key_is_named_as_such),
        cmocka_unit_test(cutting_a_file_anywhere_never_harms),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
