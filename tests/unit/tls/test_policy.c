#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tls/policy.h"

static struct tls_policy resolve(struct tls_policy_options options)
{
    struct tls_policy policy;
    char why[TLS_POLICY_WHY] = "";

    if (tls_policy_resolve(&options, &policy, why))
        fail_msg("%s", why);
    return policy;
}

static void assert_refused(struct tls_policy_options options, const char *expected)
{
    struct tls_policy policy;
    char why[TLS_POLICY_WHY] = "";

    assert_int_equal(tls_policy_resolve(&options, &policy, why), -E_CONFIG);
    if (!strstr(why, expected))
        fail_msg("\"%s\" lacks \"%s\"", why, expected);
}

static void intermediate_is_mozillas(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_INTERMEDIATE });

    assert_int_equal(p.versions_least, 0x0303);
    assert_int_equal(p.versions_most, 0x0304);
    assert_string_equal(p.suites_1_3, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    assert_string_equal(p.suites_1_2,
                        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
                        "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305");
    assert_string_equal(p.groups, "");
}

static void modern_is_1_3_alone(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_MODERN });

    assert_int_equal(p.versions_least, 0x0304);
    assert_int_equal(p.versions_most, 0x0304);
}

static void old_adds_suites_but_no_versions(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_OLD });

    assert_int_equal(p.versions_least, 0x0303);
    assert_non_null(strstr(p.suites_1_2, ":AES128-SHA:"));
    assert_non_null(strstr(p.suites_1_2, ":ECDHE-RSA-AES128-SHA256:"));
    assert_null(strstr(p.suites_1_2, "DES"));
    assert_null(strstr(p.suites_1_2, "RC4"));
    assert_ptr_equal(strstr(p.suites_1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"), p.suites_1_2); /* the good ones first */
}

static void aes_256_first_when_preferred(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_INTERMEDIATE, .prefer_aes_256 = true });

    assert_string_equal(p.suites_1_3, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256");
    assert_ptr_equal(strstr(p.suites_1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"), p.suites_1_2);
    assert_non_null(strstr(p.suites_1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"));
}

static void names_of_both_kinds_are_understood(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){
        .profile = TLS_PROFILE_INTERMEDIATE,
        .suites_1_3 = "tls_chacha20_poly1305_sha256",
        .suites_1_2 = " TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        .groups = "secp384r1:x25519 prime256v1,P-256",
    });

    assert_string_equal(p.suites_1_3, "TLS_CHACHA20_POLY1305_SHA256");
    assert_string_equal(p.suites_1_2, "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"); /* each once */
    assert_string_equal(p.groups, "P-384:X25519:P-256");
}

static void automatic_may_be_written(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_INTERMEDIATE, .groups = "auto" });

    assert_string_equal(p.groups, "");
}

static void versions_may_be_narrowed(void **state)
{
    struct tls_policy p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_INTERMEDIATE, .versions_most = 0x0303 });

    assert_int_equal(p.versions_most, 0x0303);
    p = resolve((struct tls_policy_options){ .profile = TLS_PROFILE_MODERN, .versions_least = 0x0303 });
    assert_int_equal(p.versions_least, 0x0303);
    assert_non_null(strstr(p.suites_1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"));
}

static void what_cannot_work_is_explained(void **state)
{
    assert_refused((struct tls_policy_options){ .profile = TLS_PROFILE_MODERN, .versions_most = 0x0303 },
                   "the oldest allowed is TLS 1.3, the newest TLS 1.2");
    assert_refused((struct tls_policy_options){ .suites_1_3 = "ECDHE-RSA-AES128-GCM-SHA256" },
                   "unknown cipher suite of TLS 1.3 \"ECDHE-RSA-AES128-GCM-SHA256\"");
    assert_refused((struct tls_policy_options){ .suites_1_2 = "TLS_AES_128_GCM_SHA256" }, "cipher suite of TLS 1.2");
    assert_refused((struct tls_policy_options){ .suites_1_2 = "HIGH:!aNULL" }, "\"HIGH\"");
    assert_refused((struct tls_policy_options){ .suites_1_2 = "ECDHE-RSA-AES128-GCM-SHA256:NULL-SHA" }, "\"NULL-SHA\"");
    assert_refused((struct tls_policy_options){ .suites_1_2 = " : " }, "no cipher suite");
    assert_refused((struct tls_policy_options){ .groups = "" }, "no key exchange group");
    assert_refused((struct tls_policy_options){ .groups = "curve25519" }, "\"curve25519\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intermediate_is_mozillas),
        cmocka_unit_test(modern_is_1_3_alone),
        cmocka_unit_test(old_adds_suites_but_no_versions),
        cmocka_unit_test(aes_256_first_when_preferred),
        cmocka_unit_test(names_of_both_kinds_are_understood),
        cmocka_unit_test(automatic_may_be_written),
        cmocka_unit_test(versions_may_be_narrowed),
        cmocka_unit_test(what_cannot_work_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
