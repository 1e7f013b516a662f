#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/options.h"
#include "proxy/snapshot.h"

/* The plans that an upstream's options come to. */
struct built {
    struct bundle *bundle;
    struct snapshot *snapshot;
};

static char *ca_pem, *other_pem, *own_pem; /* own_pem: certificate and key */

static char *make(const char *name, bool with_key)
{
    const char *const names[] = { name, NULL };
    struct certificate_request request = { .names = names, .days = 60 };
    char *cert, *key, *both;

    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    assert_true(asprintf(&both, "%s%s", cert, with_key ? key : "") > 0);
    free(cert);
    free(key);
    return both;
}

static int set_up(void **state)
{
    (void)state;
    ca_pem = make("ca", false);
    other_pem = make("other", false);
    own_pem = make("own", true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(ca_pem);
    free(other_pem);
    free(own_pem);
    return 0;
}

static void add(struct bundle *b, enum bundle_kind kind, const char *name, const char *content)
{
    struct bundle_entry e = { kind, bytes_of_text(name), BYTES_NONE, bytes_of_text(content) };

    assert_int_equal(bundle_add(b, &e), 0);
}

/* servers and tls as they stand in the file; ca: the content of ca.pem. */
static struct built build(const char *servers, const char *tls, const char *ca)
{
    struct built b = { .bundle = bundle_new() };
    struct config *config;
    char *yaml;

    assert_true(asprintf(&yaml, "listeners: { web: { address: \":80\", tls: off, to: app } }\n"
                                "upstreams: { app: { servers: [%s], tls: %s } }\n", servers, tls) > 0);
    add(b.bundle, BUNDLE_FILE, "ca.pem", ca);
    add(b.bundle, BUNDLE_FILE, "own.pem", own_pem);
    add(b.bundle, BUNDLE_STORE, "", other_pem);
    add(b.bundle, BUNDLE_RESOLVED, "one.test", "10.0.0.1");
    add(b.bundle, BUNDLE_RESOLVED, "two.test", "10.0.0.1\n10.0.0.2");
    config = config_read(&app_options, "f", bytes_of_text(yaml));
    b.snapshot = snapshot_build(config, &((struct app_options *)config_root(config))->site, b.bundle, time(NULL));
    if (!b.snapshot) {
        config_print_complaints(config, stderr);
        fail_msg("refused: %s", yaml);
    }
    free(yaml);
    return b;
}

static void end(struct built *b)
{
    snapshot_unref(b->snapshot);
    bundle_free(b->bundle);
}

static const struct dial_plan *plan(const struct built *b, size_t i)
{
    assert_true(i < b->snapshot->upstreams[0].server_count);
    return &b->snapshot->upstreams[0].plans[i];
}

static uint64_t identity(const char *servers, const char *tls, const char *ca)
{
    struct built b = build(servers, tls, ca);
    uint64_t found = plan(&b, 0)->identity;

    end(&b);
    return found;
}

static void without_tls_servers_are_spoken_to_in_clear(void **state)
{
    static const char *const ways[] = { "null", "off", "{ enabled: no, ca: ca.pem }" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct built b = build("10.0.0.1:80", ways[i], ca_pem);
        assert_null(plan(&b, 0)->tls);
        assert_true(plan(&b, 0)->identity == identity("10.0.0.1:80", "null", ca_pem));
        end(&b);
    }
}

static void each_server_is_expected_under_its_host(void **state)
{
    struct built b = build("\"one.test:443\", \"two.test:443\", \"10.0.0.3:443\", \"[2001:db8::1]:443\"", "on", ca_pem);
    static const char *const names[] = { "one.test", "two.test", "two.test", "10.0.0.3", "2001:db8::1" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_non_null(plan(&b, i)->tls);
        assert_string_equal(plan(&b, i)->peer.name, names[i]);
        if (i < 3)
            assert_string_equal(plan(&b, i)->peer.sni, names[i]);
        else
            assert_null(plan(&b, i)->peer.sni);
    }
    assert_true(plan(&b, 0)->identity != plan(&b, 1)->identity); /* of one address, under two names */
    assert_true(plan(&b, 1)->identity == plan(&b, 2)->identity); /* their addresses part them */
    end(&b);
}

static void name_and_sni_are_as_written_in_their_canonical_form(void **state)
{
    struct built b = build("10.0.0.1:443", "{ name: APP.Internal., sni: MÜNCHEN.test }", ca_pem);

    (void)state;
    assert_string_equal(plan(&b, 0)->peer.name, "app.internal");
    assert_string_equal(plan(&b, 0)->peer.sni, "xn--mnchen-3ya.test");
    end(&b);
    b = build("one.test:443", "{ sni: off }", ca_pem);
    assert_string_equal(plan(&b, 0)->peer.name, "one.test");
    assert_null(plan(&b, 0)->peer.sni);
    end(&b);
}

static void the_same_options_and_contents_are_the_same_identity(void **state)
{
    (void)state;
    assert_true(identity("one.test:443", "{ ca: ca.pem }", ca_pem) == identity("one.test:443", "{ ca: ca.pem }", ca_pem));
    assert_true(identity("one.test:443", "{ ca: ca.pem }", ca_pem) ==
                identity("one.test:443", "{ ca: ca.pem, name: one.test, verify: on }", ca_pem));
    assert_true(identity("one.test:443", "on", ca_pem) == identity("one.test:443", "{ ca: ca.pem }", other_pem)); /* the store's */
}

static void whatever_matters_makes_another_identity(void **state)
{
    static const char *const others[] = {
        "{ ca: ca.pem, verify: off }", "{ ca: ca.pem, name: two.test }", "{ ca: ca.pem, sni: two.test }",
        "{ ca: ca.pem, sni: off }", "{ ca: ca.pem, certificate: own.pem }", "{ ca: ca.pem, max_version: \"1.2\" }",
        "{ ca: ca.pem, min_version: \"1.3\" }", "{ ca: ca.pem, profile: old }", "{ ca: ca.pem, alpn: http/1.1 }",
        "{ ca: ca.pem, alpn: [http/1.1, h2] }", "{ ca: ca.pem, alpn: [h2, http/1.1] }", "{ ca: ca.pem, tickets: no }",
        "{ ca: ca.pem, groups: X25519 }", "{ ca: ca.pem, suites_1_3: TLS_AES_128_GCM_SHA256 }",
        "{ ca: ca.pem, suites_1_2: ECDHE-RSA-AES128-GCM-SHA256 }", "on", "off",
    };
    uint64_t seen[COUNT_OF(others) + 2];
    size_t count = 0;

    (void)state;
    seen[count++] = identity("one.test:443", "{ ca: ca.pem }", ca_pem);
    seen[count++] = identity("one.test:443", "{ ca: ca.pem }", own_pem); /* another content under the same name */
    for (size_t i = 0; i < COUNT_OF(others); i++)
        seen[count++] = identity("one.test:443", others[i], ca_pem);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (seen[i] == seen[k])
                fail_msg("%zu and %zu are one", i, k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_tls_servers_are_spoken_to_in_clear),
        cmocka_unit_test(each_server_is_expected_under_its_host),
        cmocka_unit_test(name_and_sni_are_as_written_in_their_canonical_form),
        cmocka_unit_test(the_same_options_and_contents_are_the_same_identity),
        cmocka_unit_test(whatever_matters_makes_another_identity),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
