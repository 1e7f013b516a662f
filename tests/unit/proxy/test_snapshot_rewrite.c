#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "app/options.h"
#include "proxy/snapshot.h"

/* A configuration: built, and what was said about it. */
struct case_ {
    struct bundle *bundle;
    struct config *config; /* NULL: the snapshot's */
    struct snapshot *snapshot;
    char *complaints;
};

static struct case_ build(const char *yaml)
{
    struct case_ c = { .bundle = bundle_new() };
    size_t size;
    FILE *out = open_memstream(&c.complaints, &size);

    c.config = config_read(&app_options, "f", bytes_of_text(yaml));
    c.snapshot = snapshot_build(c.config, &((struct app_options *)config_root(c.config))->site, c.bundle, time(NULL));
    config_print_complaints(c.config, out);
    fclose(out);
    if (c.snapshot)
        c.config = NULL;
    return c;
}

static void end(struct case_ *c)
{
    snapshot_unref(c->snapshot);
    config_free(c->config);
    bundle_free(c->bundle);
    free(c->complaints);
}

#define LISTENER(more) \
    "listeners: { web: { address: \":80\", tls: \"off\", " more " } }\nupstreams: { app: { servers: [10.0.0.9:80] } }\n"
#define ROUTE(more)  LISTENER("to: app, routes: [{ path: /api/v1, " more " }]")
#define FIELDS(more) ROUTE("to: app, headers: { " more " }")

static struct case_ build_good(const char *yaml)
{
    struct case_ c = build(yaml);

    if (!c.snapshot || *c.complaints)
        fail_msg("refused:\n%s", c.complaints);
    return c;
}

/* That one error and no other. */
static void expect_only(const char *yaml, const char *text)
{
    struct case_ c = build(yaml);
    size_t count = 0;

    for (const char *at = c.complaints; (at = strstr(at, ": error: ")) != NULL; at++)
        count++;
    if (!strstr(c.complaints, text) || count != 1 || c.snapshot)
        fail_msg("wanted only \"%s\", got:\n%s", text, c.complaints);
    end(&c);
}

static const struct snapshot_route *first_route(const struct case_ *c)
{
    return &c->snapshot->listeners[0].fallback.routes[0];
}

/* ---- header fields ---- */

/* "-removed -removed name=value name=value" */
static void assert_rules(const struct field_rules *rules, const char *expected)
{
    char text[500] = "";
    size_t used = 0;

    for (size_t i = 0; i < rules->removed_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "-%.*s ", BYTES_PRINT(rules->removed[i]));
    for (uint32_t i = 0; i < rules->added.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s=%.*s ", BYTES_PRINT(rules->added.at[i].name),
                                 BYTES_PRINT(rules->added.at[i].value));
    assert_string_equal(text, expected);
}

static void fields_are_removed_set_and_added(void **state)
{
    struct case_ c = build_good(FIELDS("request: { set: { X-A: 1, X-B: \"\" }, add: { X-C: c c }, remove: [X-D] }, "
                                       "response: { remove: [Server, X-Powered-By] }"));

    (void)state;
    assert_rules(&first_route(&c)->request_fields, "-X-D -X-A -X-B X-A=1 X-B= X-C=c c ");
    assert_rules(&first_route(&c)->response_fields, "-Server -X-Powered-By ");
    end(&c);
}

static void routes_without_rules_have_none(void **state)
{
    struct case_ c = build_good(ROUTE("to: app"));

    (void)state;
    assert_rules(&first_route(&c)->request_fields, "");
    assert_rules(&first_route(&c)->response_fields, "");
    end(&c);
}

static void inner_rules_have_the_last_word(void **state)
{
    struct case_ c = build_good(LISTENER(
        "to: app, headers: { response: { set: { X-Outer: 1, X-Both: outer, X-Gone: 1 }, add: { X-Added: 1 } } }, hosts: { "
        "a.test: { to: app, headers: { response: { set: { x_both: host }, remove: [X-Gone] } } }, "
        "b.test: { routes: [{ to: app, headers: { response: { set: { X-Both: route }, remove: [X-ADDED] } } }] }, "
        "c.test: { headers: { response: { add: { X-Only: c } } } } }"));
    const struct snapshot_listener *l = &c.snapshot->listeners[0];

    (void)state;
    assert_rules(&l->fallback.routes[0].response_fields, "-X-Outer -X-Both -X-Gone X-Outer=1 X-Both=outer X-Gone=1 X-Added=1 ");
    assert_rules(&l->hosts[0].routes[0].response_fields, "-X-Outer -X-Both -X-Gone X-Outer=1 X-Added=1 x_both=host ");
    assert_rules(&l->hosts[1].routes[0].response_fields,
                 "-X-Outer -X-Both -X-Gone -X-ADDED X-Outer=1 X-Gone=1 X-Both=route ");
    assert_rules(&l->hosts[2].routes[0].response_fields,
                 "-X-Outer -X-Both -X-Gone X-Outer=1 X-Both=outer X-Gone=1 X-Added=1 X-Only=c ");
    end(&c);
}

static void fields_that_cannot_be_are_refused(void **state)
{
    (void)state;
    expect_only(FIELDS("request: { set: { \"X A\": 1 } }"), "\"X A\" is no name of a header field");
    expect_only(FIELDS("request: { set: { \"X:\": 1 } }"), "is no name of a header field");
    expect_only(FIELDS("response: { remove: [\"X\\r\\nY\"] }"), "is no name of a header field");
    expect_only(FIELDS("response: { set: { X: \"a\\r\\nSet-Cookie: b\" } }"), "neither control characters");
    expect_only(FIELDS("response: { set: { X: \"a\\nb\" } }"), "neither control characters");
    expect_only(FIELDS("response: { set: { X: \" a\" } }"), "white space around it");
    expect_only(FIELDS("request: { set: { X-A: 1, x_a: 2 } }"), "x_a is there already");
    expect_only(FIELDS("request: { set: { Host: x } }"), "write `host: NAME` in the route");
    expect_only(FIELDS("request: { remove: [host] }"), "write `host: NAME` in the route");
    expect_only(FIELDS("request: { set: { Expect: 100-continue } }"), "Expect is answered between");
    expect_only(FIELDS("request: { add: { X-Forwarded-For: 1.2.3.4 } }"), "write it under `set`");
    expect_only(FIELDS("request: { add: { X-Real_IP: 1.2.3.4 } }"), "write it under `set`");
}

static void fields_of_framing_are_refused_under_any_punctuation(void **state)
{
    static const char *const names[] = { "Connection",    "content-length", "Content_Length", "Transfer-Encoding", "TE",
                                         "Keep-Alive",    "Upgrade",        "Proxy-Connection", "HTTP2-Settings", "Trailer" };
    char yaml[500];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(yaml, sizeof yaml, FIELDS("response: { set: { %s: x } }"), names[i]);
        expect_only(yaml, "is part of how a message is framed");
        snprintf(yaml, sizeof yaml, FIELDS("request: { remove: [%s] }"), names[i]);
        expect_only(yaml, "is part of how a message is framed");
    }
}

static void what_the_proxy_says_of_the_client_may_be_set_and_removed_knowingly(void **state)
{
    struct case_ c = build_good(FIELDS("request: { set: { X-Forwarded-Proto: https }, remove: [Forwarded] }"));

    (void)state;
    assert_rules(&first_route(&c)->request_fields, "-Forwarded -X-Forwarded-Proto X-Forwarded-Proto=https ");
    end(&c);
}

static void what_is_added_has_a_bound(void **state)
{
    static char yaml[30000];
    size_t used = (size_t)snprintf(yaml, sizeof yaml, "%s", "listeners: { web: { address: \":80\", tls: \"off\", to: app, headers: { response: { set: {");

    (void)state;
    for (int i = 0; i < 5; i++)
        used += (size_t)snprintf(yaml + used, sizeof yaml - used, " X-%d: %04000d,", i, 0);
    snprintf(yaml + used, sizeof yaml - used, " } } } } }\nupstreams: { app: { servers: [10.0.0.9:80] } }\n");
    expect_only(yaml, "fields of more than 16384 bytes would be added to each response");
}

/* ---- paths ---- */

static void assert_prefix(const char *yaml, size_t prefix_bytes, const char *with)
{
    struct case_ c = build_good(yaml);

    assert_true(first_route(&c)->rewrites_path);
    assert_int_equal(first_route(&c)->prefix_bytes, prefix_bytes);
    assert_true(bytes_equal_text(first_route(&c)->prefix, with));
    end(&c);
}

static void prefixes_count_without_the_slash_at_their_end(void **state)
{
    (void)state;
    assert_prefix(ROUTE("to: app, strip_prefix: /api/v1"), 7, "");
    assert_prefix(ROUTE("to: app, strip_prefix: /api/v1/"), 7, "");
    assert_prefix(ROUTE("to: app, strip_prefix: /api"), 4, "");
    assert_prefix(ROUTE("to: app, replace_prefix: { /api/v1: /v2 }"), 7, "/v2");
    assert_prefix(ROUTE("to: app, replace_prefix: { /api: /v2/ }"), 4, "/v2");
    assert_prefix(ROUTE("to: app, replace_prefix: { /api: / }"), 4, "");
    assert_prefix(ROUTE("to: app, replace_prefix: { /: /v2 }"), 0, "/v2");
}

static void prefixes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    expect_only(ROUTE("to: app, strip_prefix: /ap"), "does not begin with /ap/");
    expect_only(ROUTE("to: app, strip_prefix: /other"), "does not begin with /other/");
    expect_only(ROUTE("to: app, strip_prefix: /api/v1/x"), "does not begin with /api/v1/x/");
    expect_only(ROUTE("to: app, strip_prefix: api"), "\"api\" is no path");
    expect_only(ROUTE("to: app, replace_prefix: { /api: //x }"), "\"//x\" is no path");
    expect_only(ROUTE("to: app, replace_prefix: { /api: /a?b }"), "\"/a?b\" is no path");
    expect_only(ROUTE("to: app, replace_prefix: { /api: /a/../b }"), "has segments that servers resolve");
    expect_only(ROUTE("to: app, strip_prefix: /api, replace_prefix: { /api: /x }"), "remove `strip_prefix`");
    expect_only(ROUTE("to: app, replace_prefix: { /api: /a, /: /b }"), "at most 1 item");
    expect_only(ROUTE("to: app, host: \"a b\""), "\"a b\" is no host");
    expect_only(ROUTE("to: app, host: \"user@a.test\""), "is no host");
}

/* ---- answers of a route's own ---- */

static void redirects_and_responses_are_made_ready(void **state)
{
    struct case_ c = build_good(ROUTE("redirect: https://www.example.org/"));
    const struct snapshot_route *route = first_route(&c);

    (void)state;
    assert_null(route->to);
    assert_int_equal(route->redirect->status, 302);
    assert_true(bytes_equal_text(route->redirect->to, "https://www.example.org/"));
    end(&c);
    c = build_good(ROUTE("redirect: { to: https://b.test/x/, status: 308, keep_path: yes }"));
    route = first_route(&c);
    assert_int_equal(route->redirect->status, 308);
    assert_true(bytes_equal_text(route->redirect->to, "https://b.test/x") && route->redirect->keep_path);
    end(&c);
    c = build_good(ROUTE("respond: { status: 403, body: no, type: text/html }"));
    route = first_route(&c);
    assert_int_equal(route->respond->status, 403);
    assert_true(bytes_equal_text(route->respond->body, "no"));
    assert_string_equal(route->respond->type, "text/html");
    end(&c);
    c = build_good(ROUTE("respond: 204"));
    assert_int_equal(first_route(&c)->respond->status, 204);
    end(&c);
}

static void a_route_does_one_thing(void **state)
{
    (void)state;
    expect_only(ROUTE("upgrade: []"), "this route does nothing: write `to: UPSTREAM`, `redirect: URL`, or `respond`");
    expect_only(ROUTE("to: app, redirect: /x"), "a route has one of");
    expect_only(ROUTE("redirect: /x, respond: 200"), "a route has one of");
    expect_only(ROUTE("redirect: /x, strip_prefix: /api"), "`strip_prefix` is for requests that are passed on");
    expect_only(ROUTE("respond: 200, host: a.test"), "`host` is for requests");
    expect_only(ROUTE("respond: 200, upgrade: [mqtt]"), "`upgrade` is for requests");
    expect_only(ROUTE("respond: 200, headers: { request: { set: { X: 1 } } }"), "`request` is for requests");
}

static void answers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    expect_only(ROUTE("redirect: www.example.org"), "is neither a URL");
    expect_only(ROUTE("redirect: //evil.test/"), "is neither a URL");
    expect_only(ROUTE("redirect: \"/\\\\evil.test/\""), "is neither a URL");
    expect_only(ROUTE("redirect: \"https://a.test/\\r\\nX: y\""), "is neither a URL");
    expect_only(ROUTE("redirect: \"javascript:alert(1)\""), "is neither a URL");
    expect_only(ROUTE("redirect: https:///x"), "is neither a URL");
    expect_only(ROUTE("redirect: { to: https://a.test/?q, keep_path: yes }"), "it cannot have its own");
    expect_only(ROUTE("redirect: { to: /x, status: 303 }"), "303");
    expect_only(ROUTE("respond: 302"), "write `redirect: URL` instead");
    expect_only(ROUTE("respond: 199"), "199");
    expect_only(ROUTE("respond: { status: 204, body: x }"), "has no content: remove `body`");
    expect_only(ROUTE("respond: { body: x, type: \"a\\r\\nb\" }"), "is no media type");
}

static void upgrades_are_names_of_protocols_that_can_be_tunnelled(void **state)
{
    struct case_ c = build_good(ROUTE("to: app"));

    (void)state;
    assert_int_equal(first_route(&c)->upgrade_count, 1);
    assert_true(bytes_equal_text(first_route(&c)->upgrades[0], "websocket"));
    end(&c);
    c = build_good(ROUTE("to: app, upgrade: []"));
    assert_int_equal(first_route(&c)->upgrade_count, 0);
    end(&c);
    c = build_good(ROUTE("to: app, upgrade: [websocket, mqtt/3.1]"));
    assert_int_equal(first_route(&c)->upgrade_count, 2);
    end(&c);
    expect_only(ROUTE("to: app, upgrade: [websocket, h2c]"), "\"h2c\" is never passed on");
    expect_only(ROUTE("to: app, upgrade: [H2C]"), "\"H2C\" is never passed on");
    expect_only(ROUTE("to: app, upgrade: [TLS/1.0]"), "is never passed on");
    expect_only("listeners: { web: { address: \":80\", tls: \"off\", routes: [{ to: app, upgrade: [mqtt] }] } }\n"
                "upstreams: { app: { servers: [10.0.0.9:80], protocol: h2 } }\n",
                "speak HTTP/2, which has no upgrades");
    expect_only(ROUTE("to: app, upgrade: [\"a b\"]"), "\"a b\" is no protocol");
    expect_only(ROUTE("to: app, upgrade: [\"a/\"]"), "\"a/\" is no protocol");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_removed_set_and_added),
        cmocka_unit_test(routes_without_rules_have_none),
        cmocka_unit_test(inner_rules_have_the_last_word),
        cmocka_unit_test(fields_that_cannot_be_are_refused),
        cmocka_unit_test(fields_of_framing_are_refused_under_any_punctuation),
        cmocka_unit_test(what_the_proxy_says_of_the_client_may_be_set_and_removed_knowingly),
        cmocka_unit_test(what_is_added_has_a_bound),
        cmocka_unit_test(prefixes_count_without_the_slash_at_their_end),
        cmocka_unit_test(prefixes_that_cannot_be_are_refused),
        cmocka_unit_test(redirects_and_responses_are_made_ready),
        cmocka_unit_test(a_route_does_one_thing),
        cmocka_unit_test(answers_that_cannot_be_are_refused),
        cmocka_unit_test(upgrades_are_names_of_protocols_that_can_be_tunnelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
