#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/options.h"
#include "proxy/site.h"

#define UPSTREAMS "upstreams: { app: { servers: [\"127.0.0.1:1\"] }, db: { servers: [\"127.0.0.1:2\"] }, own: { servers: [\"127.0.0.1:3\"] } }\n"

struct made {
    struct bundle *bundle;
    struct snapshot *snapshot;
    const struct snapshot_listener *listener;
};

static char *pem;

static int make_certificate(void **state)
{
    static const char *const names[] = { "a.test", "*.a.test", NULL };
    struct certificate_request request = { .names = names, .days = 60 };
    char *cert, *key;

    (void)state;
    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    assert_true(asprintf(&pem, "%s%s", cert, key) > 0);
    free(cert);
    free(key);
    return 0;
}

static int free_certificate(void **state)
{
    (void)state;
    free(pem);
    return 0;
}

/* A configuration with one listener. */
static struct made make(const char *yaml)
{
    struct made m = { .bundle = bundle_new() };
    struct bundle_entry e = { BUNDLE_FILE, BYTES_LITERAL("a.pem"), BYTES_NONE, bytes_of_text(pem) };
    struct config *config = config_read(&app_options, "f", bytes_of_text(yaml));

    assert_int_equal(bundle_add(m.bundle, &e), 0);
    m.snapshot = snapshot_build(config, &((struct app_options *)config_root(config))->site, m.bundle, time(NULL));
    if (!m.snapshot)
        config_print_complaints(config, stderr);
    assert_non_null(m.snapshot);
    m.listener = &m.snapshot->listeners[0];
    return m;
}

static void end(struct made *m)
{
    snapshot_unref(m->snapshot);
    bundle_free(m->bundle);
}

static const struct snapshot_host *host(const struct made *m, const char *name)
{
    struct hostname parsed;

    if (!name)
        return site_host(m->listener, NULL);
    assert_int_equal(hostname_parse(bytes_of_text(name), &parsed), 0);
    return site_host(m->listener, &parsed);
}

/* The upstream that a client with this name and offer gets, or "http", or "none"; alpn: one name, which is negotiated. */
static const char *gets(const struct made *m, const char *name, const char *alpn, int *ret_protocol)
{
    const struct snapshot_host *h = host(m, name);
    const struct snapshot_service *service;
    uint8_t wire[64] = { (uint8_t)strlen(alpn) };
    struct client_hello hello = { .alpn = bytes_of(wire, alpn[0] ? strlen(alpn) + 1 : 0) };

    memcpy(wire + 1, alpn, strlen(alpn));
    service = service_for_hello(m->listener, h, &hello);
    if (service->protocol != SERVICE_PASSTHROUGH)
        service = service_for_alpn(m->listener, h, host_speaks(h, &hello) ? bytes_of_text(alpn) : BYTES_NONE);
    *ret_protocol = service->protocol;
    return service->to ? (const char *)service->to->name.at : service->protocol == SERVICE_HTTP ? "http" : "none";
}

static void expect(const struct made *m, const char *name, const char *alpn, const char *upstream, int protocol)
{
    int got;

    assert_string_equal(gets(m, name, alpn, &got), upstream);
    assert_int_equal(got, protocol);
}

static void expect_alpn(const struct snapshot_host *h, const char *const *names)
{
    size_t i = 0;

    for (; names[i]; i++) {
        assert_non_null(h->alpn[i]);
        assert_string_equal(h->alpn[i], names[i]);
    }
    assert_null(h->alpn[i]);
}

static const char shared[] =
    "listeners:\n"
    "  l:\n"
    "    address: \"127.0.0.1:443\"\n"
    "    certificates: a.pem\n"
    "    to: app\n"
    "    hosts:\n"
    "      a.test: { protocol: tcp, to: db }\n"
    "      p.a.test: { protocol: passthrough, to: own }\n"
    "      \"*.p.test\": { protocol: passthrough, to: own }\n"
    "      s.a.test: { tls: staff }\n"
    "    by_alpn: { mqtt: { protocol: tcp, to: db }, acme-tls/1: { protocol: passthrough, to: own } }\n"
    "tls: { staff: { clients: { certificate: required, ca: a.pem } } }\n" UPSTREAMS;

static void names_and_protocols_decide_in_order(void **state)
{
    struct made m = make(shared);

    (void)state;
    expect(&m, NULL, "", "http", SERVICE_HTTP);
    expect(&m, "x.a.test", "http/1.1", "http", SERVICE_HTTP);
    expect(&m, NULL, "mqtt", "db", SERVICE_TCP);
    expect(&m, "x.a.test", "mqtt", "db", SERVICE_TCP);
    expect(&m, NULL, "acme-tls/1", "own", SERVICE_PASSTHROUGH);
    expect(&m, "a.test", "", "db", SERVICE_TCP);
    expect(&m, "a.test", "acme-tls/1", "own", SERVICE_PASSTHROUGH);
    expect(&m, "p.a.test", "", "own", SERVICE_PASSTHROUGH);
    expect(&m, "x.p.test", "mqtt", "own", SERVICE_PASSTHROUGH);
    end(&m);
}

static void what_is_passed_through_has_no_tls_of_ours(void **state)
{
    struct made m = make(shared);
    const struct snapshot_host *h = host(&m, "p.a.test");

    (void)state;
    assert_null(h->policy);
    assert_null(h->contexts);
    assert_non_null(host(&m, "a.test")->contexts);
    end(&m);
}

static void each_host_negotiates_what_it_speaks(void **state)
{
    struct made m = make(shared);
    const struct snapshot_host *fallback = host(&m, NULL);

    (void)state;
    assert_string_equal(fallback->alpn[0], "mqtt"); /* by_alpn goes before the listener's own */
    assert_non_null(fallback->alpn[1]);
    expect_alpn(host(&m, "a.test"), (const char *const[]){ NULL });
    assert_ptr_not_equal(host(&m, "a.test")->contexts[0], fallback->contexts[0]);
    end(&m);
}

static void other_demands_on_client_certificates_keep_by_alpn_out(void **state)
{
    struct made m = make(shared);
    const struct snapshot_host *staff = host(&m, "s.a.test");

    (void)state;
    assert_true(host(&m, NULL)->takes_by_alpn);
    assert_false(staff->takes_by_alpn);
    expect(&m, "s.a.test", "mqtt", "http", SERVICE_HTTP);
    assert_string_not_equal(staff->alpn[0], "mqtt");
    end(&m);
}

static void a_tcp_listener_negotiates_nothing_or_what_is_written(void **state)
{
    struct made none = make("listeners: { l: { address: \"127.0.0.1:443\", protocol: tcp, certificates: a.pem, to: db } }\n" UPSTREAMS);
    struct made some = make("listeners: { l: { address: \"127.0.0.1:443\", protocol: tcp, certificates: a.pem, to: db, alpn: [b, a],\n"
                            "  hosts: { a.test: { to: app }, x.a.test: { alpn: c }, y.a.test: { protocol: http, to: app } } } }\n" UPSTREAMS);

    (void)state;
    expect_alpn(host(&none, NULL), (const char *const[]){ NULL });
    expect_alpn(host(&some, NULL), (const char *const[]){ "b", "a", NULL });
    expect_alpn(host(&some, "a.test"), (const char *const[]){ "b", "a", NULL });
    expect_alpn(host(&some, "x.a.test"), (const char *const[]){ "c", NULL });
    assert_string_equal(host(&some, "y.a.test")->alpn[0], "h2"); /* as HTTP has it, for the list is not for HTTP */
    expect(&some, "a.test", "b", "app", SERVICE_TCP);
    expect(&some, "x.a.test", "c", "db", SERVICE_TCP); /* for its list alone: the listener's upstream */
    end(&none);
    end(&some);
}

static void a_listener_of_pass_through_alone_decrypts_nothing(void **state)
{
    struct made m = make("listeners: { l: { address: \"127.0.0.1:443\", protocol: passthrough, hosts: { p.test: { to: own } } } }\n" UPSTREAMS);

    (void)state;
    assert_true(m.listener->tls);
    assert_int_equal(m.listener->certificate_count, 0);
    expect(&m, "p.test", "", "own", SERVICE_PASSTHROUGH);
    assert_null(host(&m, NULL)->service.to);
    end(&m);
}

static void postgres_begins_in_clear_and_negotiates_its_name(void **state)
{
    struct made m = make("listeners: { l: { address: \"127.0.0.1:443\", protocol: postgres, certificates: a.pem, to: db,\n"
                         "  hosts: { a.test: { to: own } } } }\n" UPSTREAMS);

    (void)state;
    assert_true(m.listener->starts_in_clear);
    expect_alpn(host(&m, NULL), (const char *const[]){ "postgresql", NULL });
    expect_alpn(host(&m, "a.test"), (const char *const[]){ "postgresql", NULL });
    expect(&m, "a.test", "postgresql", "own", SERVICE_POSTGRES);
    end(&m);
}

static void an_offer_that_is_cut_is_no_offer(void **state)
{
    struct made m = make(shared);
    const struct client_hello hello = { .alpn = BYTES_LITERAL("\x0a" "acme-tls/") };

    (void)state;
    assert_int_equal(service_for_hello(m.listener, host(&m, NULL), &hello)->protocol, SERVICE_HTTP);
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_protocols_decide_in_order),
        cmocka_unit_test(what_is_passed_through_has_no_tls_of_ours),
        cmocka_unit_test(each_host_negotiates_what_it_speaks),
        cmocka_unit_test(other_demands_on_client_certificates_keep_by_alpn_out),
        cmocka_unit_test(a_tcp_listener_negotiates_nothing_or_what_is_written),
        cmocka_unit_test(a_listener_of_pass_through_alone_decrypts_nothing),
        cmocka_unit_test(postgres_begins_in_clear_and_negotiates_its_name),
        cmocka_unit_test(an_offer_that_is_cut_is_no_offer),
    };
    return cmocka_run_group_tests(tests, make_certificate, free_certificate);
}
