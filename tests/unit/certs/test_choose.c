#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/check.h"
#include "certs/store.h"

/* Certificates and hellos by hand: the choice looks at no key. */
enum { NOW = 1000000 };

static struct certificate certificate(enum certificate_kind kind, const char *names, time_t until)
{
    struct certificate c = { .kind = kind, .not_before = 0, .not_after = until };
    struct bytes rest = bytes_of_text(names);

    c.names = calloc(8, sizeof *c.names);
    while (rest.size) {
        size_t n = bytes_find(rest, ' ');
        assert_int_equal(hostname_parse_pattern(bytes_part(rest, 0, n), &c.names[c.name_count++]), 0);
        rest = bytes_from(rest, n + 1);
    }
    return c;
}

static const struct bytes
    all_signatures = { (const uint8_t *)"\4\3\5\3\6\3\x8\7\x8\4\x8\5\4\1\5\1", 16 },
    rsa_signatures = { (const uint8_t *)"\x8\4\x8\5\4\1\5\1", 8 },
    both_versions = { (const uint8_t *)"\3\4\3\3", 4 },
    only_1_3 = { (const uint8_t *)"\3\4", 2 },
    all_suites = { (const uint8_t *)"\x13\1\xc0\x2b\xc0\x2f", 6 },
    groups = { (const uint8_t *)"\0\x1d\0\x17\0\x18\0\x19", 8 };

static struct client_hello hello(const char *name)
{
    struct client_hello h = { .legacy_version = 0x0303, .signature_algorithms = all_signatures, .cipher_suites = all_suites,
                              .supported_versions = both_versions, .supported_groups = groups };

    if (name) {
        h.has_server_name = true;
        assert_int_equal(hostname_parse(bytes_of_text(name), &h.server_name), 0);
    }
    return h;
}

static struct client_hello hello_1_2(const char *name, const char *suites, size_t size)
{
    struct client_hello h = hello(name);

    h.supported_versions = BYTES_NONE;
    h.cipher_suites = bytes_of(suites, size);
    return h;
}

#define SUITES(text) text, sizeof(text) - 1

/* Which of the certificates (-1: none). */
static int chosen(struct certificate *c, size_t count, struct client_hello h, bool *ret_matched)
{
    struct certificate *list[8], *best;
    struct arena own;
    int at = -1;

    for (size_t i = 0; i < count; i++)
        list[i] = &c[i];
    arena_init(&own, NULL, SIZE_MAX);
    struct cert_index *index = cert_index_new(&own, list, count);
    assert_non_null(index);
    best = cert_choose(index, &h, NOW, ret_matched);
    if (best)
        at = (int)(best - c);
    arena_reset(&own);
    return at;
}

static int choose(struct certificate *c, size_t count, struct client_hello h)
{
    bool matched;

    return chosen(c, count, h, &matched);
}

static void clear(struct certificate *c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(c[i].names);
}

static void names_decide_exact_before_wildcard(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P256, "default.example", NOW + 9),
        certificate(CERTIFICATE_ECDSA_P256, "*.example.org example.org", NOW + 9),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 5),
        certificate(CERTIFICATE_ECDSA_P256, "bücher.example", NOW + 5),
    };
    static const struct {
        const char *name;
        int chosen;
        bool matched;
    } cases[] = {
        { "www.example.org", 2, true },   { "WWW.Example.ORG.", 2, true }, { "a.example.org", 1, true },
        { "example.org", 1, true },       { "a.b.example.org", 0, false }, { "other.example", 0, false },
        { "xn--bcher-kva.example", 3, true }, { "default.example", 0, true }, { NULL, 0, false },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool matched;
        assert_int_equal(chosen(c, 4, hello(cases[i].name), &matched), cases[i].chosen);
        assert_int_equal(matched, cases[i].matched);
    }
    clear(c, 4);
}

static void ecdsa_comes_before_rsa_where_the_client_can(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_RSA, "www.example.org", NOW + 9),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 5),
    };
    struct client_hello only_rsa = hello("www.example.org");

    only_rsa.signature_algorithms = rsa_signatures;
    assert_int_equal(choose(c, 2, hello("www.example.org")), 1);
    assert_int_equal(choose(c, 2, only_rsa), 0);
    only_rsa.supported_versions = only_1_3;
    assert_int_equal(choose(c, 2, only_rsa), 0);
    assert_int_equal(choose(c, 2, hello(NULL)), 1); /* the default's name has both */
    clear(c, 2);
}

static void in_1_2_the_suites_count(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 9),
        certificate(CERTIFICATE_RSA, "www.example.org", NOW + 9),
    };
    struct client_hello h;

    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\xc0\x2f\xc0\x2b"))), 0);
    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\xc0\x2f"))), 1);
    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\xc0\x09\xc0\x2f"))), 1); /* AEAD before CBC */
    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\xc0\x09\0\x2f"))), 0);
    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\0\x2f"))), 1);
    assert_int_equal(choose(c, 2, hello_1_2("www.example.org", SUITES("\0\x05"))), -1);
    h = hello_1_2("www.example.org", SUITES("\xc0\x2f\xc0\x2b"));
    h.supported_groups = bytes_of("\0\x1d", 2); /* not the certificate's curve */
    assert_int_equal(choose(c, 2, h), 1);
    h.cipher_suites = bytes_of("\0\x2f\xc0\x2f", 4); /* nothing that it could sign with: RSA key exchange is left */
    h.signature_algorithms = bytes_of("\2\1", 2);
    assert_int_equal(choose(c, 2, h), 1);
    h = hello_1_2("www.example.org", SUITES("\xc0\x2f\xc0\x2b"));
    h.supported_groups = h.signature_algorithms = BYTES_NONE; /* neither extension: nothing is excluded */
    assert_int_equal(choose(c, 2, h), 0);
    clear(c, 2);
}

static void in_1_3_the_curve_counts(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P384, "www.example.org", NOW + 9),
        certificate(CERTIFICATE_ECDSA_P521, "www.example.org", NOW + 9),
        certificate(CERTIFICATE_ED25519, "www.example.org", NOW + 9),
    };
    static const char *const schemes[] = { "\5\3", "\6\3", "\x8\7", "\4\3" };

    for (int i = 0; i < 4; i++) {
        struct client_hello h = hello("www.example.org");
        h.supported_versions = only_1_3;
        h.signature_algorithms = bytes_of(schemes[i], 2);
        assert_int_equal(choose(c, 3, h), i < 3 ? i : -1);
    }
    clear(c, 3);
}

static void an_expired_one_is_the_last_resort(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW - 1),
        certificate(CERTIFICATE_RSA, "www.example.org", NOW + 1),
        certificate(CERTIFICATE_ECDSA_P256, "*.example.net", NOW + 1),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.net", NOW - 1),
        certificate(CERTIFICATE_ECDSA_P256, "old.example.com", NOW - 1),
    };

    assert_int_equal(choose(c, 5, hello("www.example.org")), 1);
    assert_int_equal(choose(c, 5, hello("www.example.net")), 2); /* the valid wildcard */
    assert_int_equal(choose(c, 5, hello("old.example.com")), 4);
    c[1].not_before = NOW + 1; /* not yet valid: no better */
    assert_int_equal(choose(c, 5, hello("www.example.org")), 0);
    clear(c, 5);
}

static void an_expired_one_that_fits_comes_before_a_valid_one_that_does_not(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_RSA, "www.example.org", NOW - 1),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 1),
    };
    struct client_hello h = hello("www.example.org");

    h.signature_algorithms = rsa_signatures;
    assert_int_equal(choose(c, 2, h), 0);
    clear(c, 2);
}

static void of_equals_the_one_that_lives_longest(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 5),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 9),
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 9),
    };

    assert_int_equal(choose(c, 3, hello("www.example.org")), 1);
    clear(c, 3);
}

static void without_names_the_first_is_the_default(void **state)
{
    struct certificate c[] = { certificate(CERTIFICATE_ECDSA_P256, "", NOW + 5), certificate(CERTIFICATE_RSA, "a.b", NOW + 5) };
    bool matched;

    assert_int_equal(chosen(c, 2, hello("unknown.example"), &matched), 0);
    assert_false(matched);
    assert_int_equal(chosen(c, 2, hello("a.b"), &matched), 1);
    assert_true(matched);
    clear(c, 2);
}

static void without_a_common_version_the_engine_is_left_to_say_so(void **state)
{
    struct certificate c[] = { certificate(CERTIFICATE_ECDSA_P256, "www.example.org", NOW + 5) };
    struct client_hello h = hello_1_2("www.example.org", SUITES("\0\x2f"));

    h.legacy_version = 0x0301;
    assert_int_equal(choose(c, 1, h), 0);
    clear(c, 1);
}

static void unknown_kinds_are_left_to_the_engine(void **state)
{
    struct certificate c[] = { certificate(CERTIFICATE_OTHER, "www.example.org", NOW + 5) };

    assert_int_equal(choose(c, 1, hello("www.example.org")), 0);
    assert_int_equal(choose(c, 1, hello_1_2("www.example.org", SUITES("\xc0\x2b"))), 0);
    clear(c, 1);
}

static void memory_may_end_at_any_allocation(void **state)
{
    struct certificate c[] = {
        certificate(CERTIFICATE_ECDSA_P256, "www.example.org *.example.net", NOW + 5),
        certificate(CERTIFICATE_RSA, "", NOW + 5),
    };
    struct certificate *list[] = { &c[0], &c[1] }, *nameless[] = { &c[1], &c[0] };

    for (size_t limit = 0; limit < 4096; limit += 16)
        for (int order = 0; order < 2; order++) {
            struct arena small;
            arena_init(&small, NULL, limit);
            (void)cert_index_new(&small, order ? nameless : list, 2);
            arena_reset(&small);
        }
    clear(c, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_decide_exact_before_wildcard),
        cmocka_unit_test(ecdsa_comes_before_rsa_where_the_client_can),
        cmocka_unit_test(in_1_2_the_suites_count),
        cmocka_unit_test(in_1_3_the_curve_counts),
        cmocka_unit_test(an_expired_one_is_the_last_resort),
        cmocka_unit_test(an_expired_one_that_fits_comes_before_a_valid_one_that_does_not),
        cmocka_unit_test(of_equals_the_one_that_lives_longest),
        cmocka_unit_test(without_names_the_first_is_the_default),
        cmocka_unit_test(without_a_common_version_the_engine_is_left_to_say_so),
        cmocka_unit_test(unknown_kinds_are_left_to_the_engine),
        cmocka_unit_test(memory_may_end_at_any_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
