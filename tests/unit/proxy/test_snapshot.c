#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/options.h"
#include "proxy/snapshot.h"

/* A configuration with its files: built, and what was said about it. */
struct case_ {
    struct bundle *bundle;
    struct config *config; /* NULL: the snapshot's */
    struct snapshot *snapshot;
    char *complaints;
};

static char *pem, *other_pem, *cert_alone, *key_alone; /* a.test and *.a.test with its key; b.test; the parts of the first */
static time_t now;

static char *join(const char *a, const char *b)
{
    char *text;

    assert_true(asprintf(&text, "%s%s", a, b) > 0);
    return text;
}

static int make_certificates(void **state)
{
    static const char *const names[] = { "a.test", "*.a.test", NULL }, *const other[] = { "b.test", NULL };
    struct certificate_request request = { .names = names, .days = 60 }, other_request = { .names = other, .days = 60 };
    char *cert, *key;

    (void)state;
    now = time(NULL);
    assert_int_equal(certificate_make(&request, &cert_alone, &key_alone), 0);
    pem = join(cert_alone, key_alone);
    assert_int_equal(certificate_make(&other_request, &cert, &key), 0);
    other_pem = join(cert, key);
    free(cert);
    free(key);
    return 0;
}

static int free_certificates(void **state)
{
    (void)state;
    free(pem);
    free(other_pem);
    free(cert_alone);
    free(key_alone);
    return 0;
}

static void add(struct bundle *b, enum bundle_kind kind, const char *name, const char *pattern, const char *content)
{
    struct bundle_entry e = { kind, bytes_of_text(name), bytes_of_text(pattern), bytes_of_text(content) };

    assert_int_equal(bundle_add(b, &e), 0);
}

static struct bundle *standard_files(void)
{
    struct bundle *b = bundle_new();

    assert_non_null(b);
    add(b, BUNDLE_FILE, "a.pem", NULL, pem);
    add(b, BUNDLE_FILE, "b.pem", NULL, other_pem);
    add(b, BUNDLE_FILE, "cert.pem", NULL, cert_alone);
    add(b, BUNDLE_FILE, "key.pem", NULL, key_alone);
    add(b, BUNDLE_FILE, "pair.crt", NULL, cert_alone);
    add(b, BUNDLE_FILE, "pair.key", NULL, key_alone);
    add(b, BUNDLE_FILE, "ca.pem", NULL, cert_alone);
    add(b, BUNDLE_FILE, "empty.pem", NULL, "\n");
    add(b, BUNDLE_MATCH, "/certs/1.pem", "/certs/*", pem);
    add(b, BUNDLE_MATCH, "/certs/2.pem", "/certs/*", other_pem);
    add(b, BUNDLE_MATCH, "/certs/2.key", "/certs/*", key_alone);
    add(b, BUNDLE_RESOLVED, "two.test", NULL, "10.0.0.1\n2001:db8::1");
    return b;
}

static struct case_ build_at(const char *yaml, time_t when)
{
    struct case_ c = { .bundle = standard_files() };
    size_t size;
    FILE *out = open_memstream(&c.complaints, &size);

    c.config = config_read(&app_options, "f", bytes_of_text(yaml));
    c.snapshot = snapshot_build(c.config, &((struct app_options *)config_root(c.config))->site, c.bundle, when);
    config_print_complaints(c.config, out);
    fclose(out);
    assert_int_equal(c.snapshot == NULL, config_error_count(c.config) > 0);
    if (c.snapshot)
        c.config = NULL;
    return c;
}

static struct case_ build(const char *yaml)
{
    return build_at(yaml, now);
}

static void end(struct case_ *c)
{
    snapshot_unref(c->snapshot);
    config_free(c->config);
    bundle_free(c->bundle);
    free(c->complaints);
}

static struct case_ build_good(const char *yaml)
{
    struct case_ c = build(yaml);

    if (!c.snapshot)
        fail_msg("refused:\n%s", c.complaints);
    assert_string_equal(c.complaints, "");
    return c;
}

/* That one complaint and no other; level is "error" or "warning". */
static void expect_only_at(const char *yaml, time_t when, const char *level, const char *text)
{
    struct case_ c = build_at(yaml, when);
    char want[512];
    size_t count = 0;

    snprintf(want, sizeof want, ": %s: %s", level, text);
    for (const char *at = c.complaints; (at = strstr(at, "f:")) != NULL; at++)
        count += strstr(at, ": error: ") || strstr(at, ": warning: ");
    if (!strstr(c.complaints, want) || count != 1)
        fail_msg("wanted only \"%s\", got:\n%s", want, c.complaints);
    end(&c);
}

static void expect_only(const char *yaml, const char *level, const char *text)
{
    expect_only_at(yaml, now, level, text);
}

#define UPSTREAM "\nupstreams: { app: { servers: [10.0.0.9:80] } }\n"
#define PLAIN(more) "listeners: { web: { address: \":80\", tls: off, " more " } }" UPSTREAM
#define TLS(more)   "listeners: { web: { address: \":443\", certificates: a.pem, " more " } }" UPSTREAM

/* ---- what is built ---- */

static void smallest_configuration_serves(void **state)
{
    struct case_ c = build_good(TLS("to: app"));
    const struct snapshot_listener *l = &c.snapshot->listeners[0];

    (void)state;
    assert_int_equal(c.snapshot->listener_count, 1);
    assert_true(l->tls);
    assert_int_equal(l->address_count, 2); /* IPv4 and IPv6 */
    assert_int_equal(l->certificate_count, 1);
    assert_non_null(l->fallback.contexts[0]);
    assert_ptr_equal(snapshot_context(&l->fallback, l, l->certificates[0]), l->fallback.contexts[0]);
    assert_int_equal(l->fallback.route_count, 1);
    assert_ptr_equal(l->fallback.routes[0].to, &c.snapshot->upstreams[0]);
    end(&c);
}

static void routes_are_sorted_longest_first(void **state)
{
    struct case_ c = build_good(PLAIN("to: app, routes: [{ path: /a, to: app }, { path: /a/long/one, to: app }, { path: /b/, to: app }]"));
    const struct snapshot_host *h = &c.snapshot->listeners[0].fallback;

    (void)state;
    assert_int_equal(h->route_count, 4);
    for (size_t i = 1; i < h->route_count; i++)
        assert_true(h->routes[i - 1].path.size >= h->routes[i].path.size);
    assert_true(bytes_equal_text(h->routes[3].path, "/"));
    end(&c);
}

static void a_name_becomes_a_server_for_each_address(void **state)
{
    struct case_ c = build_good("listeners: { web: { address: \":80\", tls: off, to: app } }\n"
                                "upstreams: { app: { servers: [\"two.test:81\", \"unix:/run/s\"] } }\n");
    const struct snapshot_upstream *u = &c.snapshot->upstreams[0];

    (void)state;
    assert_int_equal(u->server_count, 3);
    assert_true(bytes_equal_text(u->server_names[0], "10.0.0.1:81"));
    assert_true(bytes_equal_text(u->server_names[1], "[2001:db8::1]:81"));
    assert_true(bytes_equal_text(u->server_names[2], "unix:/run/s"));
    end(&c);
}

static void one_file_is_parsed_once_and_contexts_are_shared(void **state)
{
    struct case_ c = build_good("listeners:\n"
                                "  x: { address: \":443\", certificates: a.pem, to: app, hosts: { a.test: { to: app } } }\n"
                                "  y: { address: \":444\", certificates: a.pem, to: app }" UPSTREAM);
    const struct snapshot_listener *x = &c.snapshot->listeners[0], *y = &c.snapshot->listeners[1];

    (void)state;
    assert_int_equal(c.snapshot->certificate_count, 1);
    assert_ptr_equal(x->certificates[0], y->certificates[0]);
    assert_ptr_equal(x->fallback.contexts[0], x->hosts[0].contexts[0]);
    assert_ptr_equal(x->fallback.contexts[0], y->fallback.contexts[0]);
    end(&c);
}

static void each_policy_has_its_own_contexts_and_binding(void **state)
{
    struct case_ c = build_good("tls: { staff: { clients: { certificate: required, ca: ca.pem } }, same: {} }\n"
                                "listeners: { x: { address: \":443\", certificates: a.pem, to: app, hosts: {\n"
                                "  a.test: { tls: staff }, x.a.test: { tls: same }, y.a.test: { to: app } } } }" UPSTREAM);
    const struct snapshot_listener *l = &c.snapshot->listeners[0];
    const struct snapshot_host *staff = &l->hosts[0], *same = &l->hosts[1], *plain = &l->hosts[2];

    (void)state;
    assert_ptr_not_equal(staff->contexts[0], plain->contexts[0]);
    assert_memory_not_equal(staff->policy->clients_identity, plain->policy->clients_identity, 32);
    assert_memory_equal(same->policy->clients_identity, plain->policy->clients_identity, 32);
    assert_memory_not_equal(staff->binding, plain->binding, 32);
    assert_memory_not_equal(same->binding, plain->binding, 32);
    assert_memory_not_equal(plain->binding, l->fallback.binding, 32);
    assert_int_equal(staff->route_count, 1); /* the listener's, since it has none */
    end(&c);
}

static void bindings_survive_a_reload(void **state)
{
    struct case_ c = build_good(TLS("to: app, hosts: { a.test: { to: app } }")), d = build_good(TLS("to: app, hosts: { a.test: { to: app } }"));

    (void)state;
    assert_memory_equal(c.snapshot->listeners[0].hosts[0].binding, d.snapshot->listeners[0].hosts[0].binding, 64);
    end(&c);
    end(&d);
}

static void host_names_are_found_in_canonical_form(void **state)
{
    struct case_ c = build_good(TLS("to: app, hosts: { WWW.A.test.: { to: app }, \"*.a.test\": { to: app } }"));
    const struct snapshot_listener *l = &c.snapshot->listeners[0];
    struct hostname name;

    (void)state;
    assert_int_equal(hostname_parse(BYTES_LITERAL("www.a.TEST"), &name), 0);
    assert_ptr_equal(hostname_table_find(l->host_table, &name), &l->hosts[0]);
    assert_int_equal(hostname_parse(BYTES_LITERAL("other.a.test"), &name), 0);
    assert_ptr_equal(hostname_table_find(l->host_table, &name), &l->hosts[1]);
    end(&c);
}

static void hsts_is_written_as_rfc_6797_says(void **state)
{
    struct case_ c = build_good(TLS("to: app, hsts: { max_age: 365d, subdomains: yes, preload: yes }, hosts: { a.test: { to: app, hsts: 1h } }"));
    const struct snapshot_listener *l = &c.snapshot->listeners[0];

    (void)state;
    assert_true(bytes_equal_text(l->fallback.hsts, "max-age=31536000; includeSubDomains; preload"));
    assert_true(bytes_equal_text(l->hosts[0].hsts, "max-age=3600"));
    end(&c);
}

static void keys_are_found_inside_beside_and_by_name(void **state)
{
    struct case_ c = build_good("listeners:\n"
                                "  x: { address: \":1\", certificates: { certificate: cert.pem, key: key.pem }, to: app }\n"
                                "  y: { address: \":2\", certificates: pair.crt, to: app }\n"
                                "  z: { address: \":3\", certificates: \"/certs/*\", to: app }" UPSTREAM);

    (void)state;
    assert_int_equal(c.snapshot->listeners[0].certificate_count, 1);
    assert_int_equal(c.snapshot->listeners[1].certificate_count, 1);
    assert_int_equal(c.snapshot->listeners[2].certificate_count, 2);
    end(&c);
}

static void certificates_of_the_root_are_for_all_without_their_own(void **state)
{
    struct case_ c = build_good("certificates: b.pem\n" "listeners:\n"
                                "  x: { address: \":1\", to: app }\n"
                                "  y: { address: \":2\", certificates: a.pem, to: app }" UPSTREAM);

    (void)state;
    assert_string_equal(c.snapshot->listeners[0].certificates[0]->source, "b.pem");
    assert_string_equal(c.snapshot->listeners[1].certificates[0]->source, "a.pem");
    end(&c);
}

static void redirect_needs_nothing_else(void **state)
{
    struct case_ c = build_good("listeners: { plain: { address: \":80\", redirect: https }, web: { address: \":443\", certificates: a.pem, to: app } }" UPSTREAM);

    (void)state;
    assert_false(c.snapshot->listeners[0].tls);
    end(&c);
}

static void references_are_counted(void **state)
{
    struct case_ c = build_good(TLS("to: app"));

    (void)state;
    assert_ptr_equal(snapshot_ref(c.snapshot), c.snapshot);
    snapshot_unref(c.snapshot);
    assert_int_equal(c.snapshot->listener_count, 1); /* the sanitizer would object if it were gone */
    end(&c);
    snapshot_unref(NULL);
}

/* ---- what is refused ---- */

static void faults_of_routes_are_refused(void **state)
{
    (void)state;
    expect_only(PLAIN("routes: [{ path: api, to: app }]"), "error", "a path starts with \"/\"");
    expect_only(PLAIN("routes: [{ path: \"/a?b\", to: app }]"), "error", "this route can never match");
    expect_only(PLAIN("routes: [{ path: \"/a b\", to: app }]"), "error", "this route can never match");
    expect_only(PLAIN("routes: [{ path: /a, to: app }, { path: /a, to: app }]"), "error", "this route can never match");
    expect_only(PLAIN("to: app, routes: [{ path: /, to: app }]"), "error", "`to` can never be reached");
    expect_only("listeners: { web: { address: \":80\", tls: off } }\n", "error", "this listener serves nothing");
    expect_only("listeners: { web: { address: \":80\", redirect: https, to: app } }" UPSTREAM, "error", "`to` can never be reached");
}

static void faults_of_hosts_are_refused(void **state)
{
    (void)state;
    expect_only(PLAIN("hosts: { \"a b\": { to: app } }"), "error", "\"a b\" is no host name");
    expect_only(PLAIN("hosts: { \"a.test:80\": { to: app } }"), "error", "\"a.test:80\" is no host name");
    expect_only(PLAIN("hosts: { a.test: { to: app }, A.TEST.: { to: app } }"), "error", "the host \"a.test\" is there already");
    expect_only(PLAIN("hosts: { a.test: { to: app, tls: default } }"), "error", "this listener speaks no TLS");
    expect_only(TLS("to: app, hosts: { a.test: { to: app, tls: off } }"), "error", "a single host cannot be plain HTTP");
    expect_only(PLAIN("routes: [{ path: /x, to: app }], hosts: { a.test: { routes: [{ path: x, to: app }] } }"), "error", "a path starts");
    expect_only(PLAIN("hosts: { b.test: { to: app }, a.test: {} }"), "error", "this host serves nothing");
}

static void faults_of_tls_are_refused(void **state)
{
    (void)state;
    expect_only("listeners: { web: { address: \":443\", to: app } }" UPSTREAM, "error", "a TLS listener needs certificates");
    expect_only(TLS("to: app, tls: defualt"), "error", "unknown TLS policy \"defualt\"");
    expect_only(TLS("to: app, tls: nothing_like_it"), "error", "unknown TLS policy");
    expect_only("tls: { staff: { clients: { certificate: required } } }\n" TLS("to: app"), "error", "client certificates need `ca`");
    expect_only("tls: { staff: { clients: { certificate: required, ca: empty.pem } } }\n" TLS("to: app"), "error", "empty.pem holds no certificate");
    expect_only("tls: { staff: { clients: { certificate: required, ca: gone.pem } } }\n" TLS("to: app"), "error", "gone.pem could not be read");
    expect_only("tls: { staff: { suites_1_3: NOPE } }\n" TLS("to: app, tls: staff"), "error", "TLS policy \"staff\"");
}

static void faults_of_certificates_are_refused(void **state)
{
#define WITH(certificates) "listeners: { web: { address: \":443\", to: app, certificates: " certificates " } }" UPSTREAM
    (void)state;
    expect_only(WITH("gone.pem"), "error", "gone.pem matches no file");
    expect_only(WITH("cert.pem"), "error", "cert.pem holds no private key");
    expect_only(WITH("empty.pem"), "error", "empty.pem holds neither");
    expect_only(WITH("{ certificate: cert.pem }"), "error", "cert.pem holds no private key");
    expect_only(WITH("{ certificate: b.pem, key: key.pem }"), "error", "b.pem: ");
    expect_only(WITH("{ files: a.pem, key: key.pem }"), "error", "write either `files`");
    expect_only(WITH("{ key: key.pem }"), "error", "write `files: FILE`");
}

static void a_fault_of_a_shared_file_is_told_once(void **state)
{
    (void)state;
    expect_only("listeners:\n  x: { address: \":1\", certificates: { certificate: b.pem, key: key.pem }, to: app }\n"
                "  y: { address: \":2\", certificates: { certificate: b.pem, key: key.pem }, to: app }" UPSTREAM, "error", "b.pem: ");
}

static void faults_of_addresses_are_refused(void **state)
{
    (void)state;
    expect_only("listeners: { x: { address: \"web:80\", tls: off, to: app } }" UPSTREAM, "error", "\"web\" is no IP address");
    expect_only("listeners: { x: { address: \"127.0.0.1:80\", tls: off, to: app }, y: { address: \"127.0.0.1:80\", tls: off, to: app } }" UPSTREAM,
                "error", "listener \"x\" has the address 127.0.0.1:80 already");
    expect_only("listeners: { x: { address: [\"unix:/a\", \"unix:/a\"], tls: off, to: app } }" UPSTREAM, "error", "listener \"x\" has the address unix:/a already");
    expect_only("listeners: { x: { address: \":80\", tls: off, to: app }, y: { address: \"[::]:80\", tls: off, to: app } }" UPSTREAM,
                "error", "listener \"x\" has the address [::]:80 already");
}

static void faults_of_servers_are_refused(void **state)
{
#define SERVER(server) "listeners: { x: { address: \"127.0.0.1:80\", tls: off, to: app } }\nupstreams: { app: { servers: [\"" server "\"] } }\n"
    (void)state;
    expect_only(SERVER(":80"), "error", "a server needs a host");
    expect_only(SERVER("gone.test:80"), "error", "the name \"gone.test\" has no address");
    expect_only(SERVER("127.0.0.1:80"), "error", "the server 127.0.0.1:80 is a listener");
}

/* ---- what is warned of ---- */

static void odd_but_sound_configurations_are_warned_of(void **state)
{
    (void)state;
    expect_only("listeners: { web: { address: \":80\", tls: off, to: app } }\nupstreams: { app: { servers: [10.0.0.9:80] }, idle: { servers: [10.0.0.9:80] } }\n",
                "warning", "nothing sends requests to the upstream \"idle\"");
    expect_only(TLS("to: app, hosts: { c.test: { to: app } }"), "warning", "no certificate of this listener is for \"c.test\"");
    expect_only(TLS("to: app, hosts: { \"*.b.a.test\": { to: app } }"), "warning", "no certificate of this listener is for");
    expect_only(PLAIN("to: app, hsts: 1h"), "warning", "over plain HTTP this is ignored");
    expect_only(PLAIN("to: app, certificates: a.pem"), "warning", "a listener without TLS has no use for certificates");
    expect_only("listeners: { x: { address: \"0.0.0.0:80\", tls: off, to: app }, y: { address: \"127.0.0.1:80\", tls: off, to: app } }" UPSTREAM,
                "warning", "127.0.0.1:80 overlaps with 0.0.0.0:80 of listener \"x\"");
    expect_only("tls: { staff: { clients: { ca: ca.pem } } }\n" TLS("to: app"), "warning", "clients are not asked for certificates");
}

static void certificates_out_of_time_are_warned_of(void **state)
{
    (void)state;
    expect_only_at(TLS("to: app"), now + 61 * 86400, "warning", "the certificate in a.pem expired on ");
    expect_only_at(TLS("to: app"), now + 57 * 86400, "warning", "the certificate in a.pem expires in ");
    expect_only_at(TLS("to: app"), now - 2 * 86400, "warning", "the certificate in a.pem is not valid before ");
}

static void names_that_need_addresses_are_visited(void *context, const struct option_endpoint *e)
{
    size_t *count = context;

    assert_string_equal(e->host, "two.test");
    ++*count;
}

static void only_names_are_resolved(void **state)
{
    struct config *c = config_read(&app_options, "f",
                                   BYTES_LITERAL("listeners: { x: { address: \":80\", tls: off, to: app } }\n"
                                                 "upstreams: { app: { servers: [\"two.test:1\", \"10.0.0.1:1\", \"[::1]:1\", \"unix:/a\"] } }\n"));
    size_t count = 0;

    (void)state;
    site_each_name(&((struct app_options *)config_root(c))->site, names_that_need_addresses_are_visited, &count);
    assert_int_equal(count, 1);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_configuration_serves),
        cmocka_unit_test(routes_are_sorted_longest_first),
        cmocka_unit_test(a_name_becomes_a_server_for_each_address),
        cmocka_unit_test(one_file_is_parsed_once_and_contexts_are_shared),
        cmocka_unit_test(each_policy_has_its_own_contexts_and_binding),
        cmocka_unit_test(bindings_survive_a_reload),
        cmocka_unit_test(host_names_are_found_in_canonical_form),
        cmocka_unit_test(hsts_is_written_as_rfc_6797_says),
        cmocka_unit_test(keys_are_found_inside_beside_and_by_name),
        cmocka_unit_test(certificates_of_the_root_are_for_all_without_their_own),
        cmocka_unit_test(redirect_needs_nothing_else),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(faults_of_routes_are_refused),
        cmocka_unit_test(faults_of_hosts_are_refused),
        cmocka_unit_test(faults_of_tls_are_refused),
        cmocka_unit_test(faults_of_certificates_are_refused),
        cmocka_unit_test(a_fault_of_a_shared_file_is_told_once),
        cmocka_unit_test(faults_of_addresses_are_refused),
        cmocka_unit_test(faults_of_servers_are_refused),
        cmocka_unit_test(odd_but_sound_configurations_are_warned_of),
        cmocka_unit_test(certificates_out_of_time_are_warned_of),
        cmocka_unit_test(only_names_are_resolved),
    };

    return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
