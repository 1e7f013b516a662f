#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/h1.h"
#include "proxy/tunnel.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* RFC 6455 1.3 */
#define OFFER  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " KEY "\r\n"

static const struct h1_limits limits = { .request_line = 1000, .head = 5000, .fields = 50 };
static struct upstream_options upstream_of_h1, upstream_of_h2 = { .protocol = UPSTREAM_H2 };
static struct snapshot_upstream h1_servers = { .options = &upstream_of_h1 }, h2_servers = { .options = &upstream_of_h2 };
static struct bytes allowed[] = { BYTES_LITERAL("websocket"), BYTES_LITERAL("echo"), BYTES_LITERAL("mqtt/3.1") };
static struct snapshot_route route, nowhere;
static struct exchange x;

static int set_up(void **state)
{
    (void)state;
    route = (struct snapshot_route){ .to = &h1_servers, .upgrades = allowed, .upgrade_count = 1 };
    nowhere = (struct snapshot_route){ .upgrades = allowed, .upgrade_count = 1 };
    x = (struct exchange){ .route = &route, .client_version = HTTP_1_1 };
    arena_init(&x.arena, NULL, 1 << 20);
    message_init(&x.request, &x.arena);
    message_init(&x.response, &x.arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&x.arena);
    return 0;
}

static void request(const char *line, const char *fields)
{
    const struct bytes parts[] = { bytes_of_text(line), BYTES_LITERAL(" / HTTP/1.1\r\nHost: a.test\r\n"), bytes_of_text(fields),
                                   BYTES_LITERAL("\r\n") };
    struct bytes head = arena_join(&x.arena, parts, COUNT_OF(parts));

    message_init(&x.request, &x.arena);
    x.tunnel = TUNNEL_NONE;
    assert_int_equal(h1_parse_request(head, &limits, &x.request), 0);
}

static void expect_asked(const char *upgrade)
{
    assert_int_equal(tunnel_ask(&x), 0);
    assert_int_equal(x.tunnel, *upgrade ? TUNNEL_ASKED : TUNNEL_NONE);
    assert_int_equal(x.request.upgrade.size, strlen(upgrade));
    assert_true(bytes_equal_text(x.request.upgrade, upgrade));
}

/* A 101 as a link to a server would give it. */
static int answer(const char *fields)
{
    const struct bytes parts[] = { BYTES_LITERAL("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"), bytes_of_text(fields),
                                   BYTES_LITERAL("\r\n") };
    struct bytes head = arena_join(&x.arena, parts, COUNT_OF(parts));

    message_init(&x.response, &x.arena);
    assert_int_equal(h1_parse_response(head, &limits, METHOD_GET, &x.response), 0);
    x.response.body = BODY_TUNNEL;
    return tunnel_answer(&x);
}

static void a_handshake_of_websocket_is_asked(void **state)
{
    (void)state;
    request("GET", OFFER);
    expect_asked("websocket");
    assert_true(bytes_equal_text(x.websocket_accept, ACCEPT));
}

static void what_is_no_handshake_is_an_ordinary_request(void **state)
{
    (void)state;
    request("POST", OFFER);
    expect_asked("");
    request("GET", OFFER "Content-Length: 1\r\n");
    expect_asked("");
    request("GET", OFFER "Transfer-Encoding: chunked\r\n");
    expect_asked("");
    request("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    expect_asked("");
    request("GET", OFFER "Sec-WebSocket-Key: " KEY "\r\n");
    expect_asked("");
}

static void only_what_the_route_lists_is_asked(void **state)
{
    (void)state;
    request("GET", "Connection: Upgrade\r\nUpgrade: echo,mqtt/3.1,mqtt/5,ECHO/2\r\n");
    expect_asked("");
    route.upgrade_count = COUNT_OF(allowed);
    request("GET", "Connection: Upgrade\r\nUpgrade: echo,,mqtt/3.1,mqtt/5, ECHO/2,websocket\r\n");
    expect_asked("echo, mqtt/3.1, ECHO/2");
    request("POST", "Connection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n");
    expect_asked("echo");
    assert_int_equal(x.request.body, BODY_NONE);
    assert_true(x.client_ended);
    route.upgrade_count = 0;
    request("GET", OFFER);
    expect_asked("");
}

static void only_servers_of_http_1_are_asked(void **state)
{
    (void)state;
    x.route = &nowhere;
    request("GET", OFFER);
    expect_asked("");
    x.route = &route;
    route.to = &h2_servers;
    request("GET", OFFER);
    expect_asked("");
}

static void only_the_101_that_was_asked_for_opens(void **state)
{
    (void)state;
    request("GET", OFFER);
    expect_asked("websocket");
    assert_int_equal(answer("Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"), 0);
    assert_int_equal(answer("Upgrade: WebSocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"), 0);
    assert_int_equal(answer("Upgrade: websocket\r\nSec-WebSocket-Accept: " KEY "\r\n"), -E_BAD_RESPONSE);
    assert_int_equal(answer("Upgrade: websocket\r\n"), -E_BAD_RESPONSE);
    assert_int_equal(answer("Upgrade: echo\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"), -E_BAD_RESPONSE);
    assert_int_equal(answer("Upgrade: websocket, echo\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"), -E_BAD_RESPONSE);
    x.tunnel = TUNNEL_NONE;
    assert_int_equal(answer("Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"), -E_BAD_RESPONSE);
}

static void another_answer_is_an_ordinary_one(void **state)
{
    (void)state;
    request("GET", OFFER);
    expect_asked("websocket");
    x.response.status = 200;
    assert_int_equal(tunnel_answer(&x), 0);
    assert_int_equal(x.tunnel, TUNNEL_NONE);
}

static void extended_connect(const char *protocol)
{
    message_init(&x.request, &x.arena);
    x.request.version = x.client_version = HTTP_2;
    x.request.method = METHOD_CONNECT;
    x.request.method_name = BYTES_LITERAL("CONNECT");
    x.request.path = BYTES_LITERAL("/");
    x.request.authority = BYTES_LITERAL("a.test");
    x.request.upgrade = bytes_of_text(protocol);
    x.request.body = BODY_STREAMED;
}

static void an_extended_connect_is_a_get_to_the_server_and_its_101_a_200(void **state)
{
    const struct bytes *key;
    char fields[200];

    (void)state;
    extended_connect("websocket");
    assert_true(tunnel_is_extended_connect(&x.request));
    expect_asked("websocket");
    assert_int_equal(x.request.method, METHOD_GET);
    assert_true(bytes_equal_text(x.request.method_name, "GET"));
    assert_int_equal(x.request.body, BODY_NONE);
    key = message_field_named(&x.request, BYTES_LITERAL("sec-websocket-key"));
    assert_true(key && key->size == 24);
    assert_true(bytes_equal_text(*message_field_named(&x.request, BYTES_LITERAL("sec-websocket-version")), "13"));
    snprintf(fields, sizeof fields, "Upgrade: websocket\r\nSec-WebSocket-Accept: %.*s\r\n", BYTES_PRINT(x.websocket_accept));
    assert_int_equal(answer(fields), 0);
    assert_int_equal(x.response.status, 200);
    assert_int_equal(x.response.upgrade.size, 0);
    assert_int_equal(x.response.body, BODY_TUNNEL);
    assert_null(message_field_named(&x.response, BYTES_LITERAL("sec-websocket-accept")));
}

static void a_connect_is_never_answered_by_a_2xx_that_opens_nothing(void **state)
{
    static const struct { int status, error; } answers[] = { { 200, -E_BAD_RESPONSE }, { 204, -E_BAD_RESPONSE }, { 302, 0 }, { 403, 0 } };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        extended_connect("websocket");
        expect_asked("websocket");
        x.response.status = answers[i].status;
        assert_int_equal(tunnel_answer(&x), answers[i].error);
        x.tunnel = TUNNEL_NONE;
    }
}

static void an_extended_connect_for_what_is_not_served_is_refused(void **state)
{
    (void)state;
    route.upgrade_count = COUNT_OF(allowed);
    extended_connect("echo"); /* listed, but how it would go over HTTP/2 is defined for WebSocket alone */
    assert_int_equal(tunnel_ask(&x), -E_UPGRADE);
    extended_connect("connect-udp");
    assert_int_equal(tunnel_ask(&x), -E_UPGRADE);
    route.upgrade_count = 0;
    extended_connect("websocket");
    assert_int_equal(tunnel_ask(&x), -E_UPGRADE);
    x.route = &nowhere;
    assert_int_equal(tunnel_ask(&x), -E_UPGRADE);
    x.request.upgrade = BYTES_NONE;
    assert_false(tunnel_is_extended_connect(&x.request));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_handshake_of_websocket_is_asked),
        TEST(what_is_no_handshake_is_an_ordinary_request),
        TEST(only_what_the_route_lists_is_asked),
        TEST(only_servers_of_http_1_are_asked),
        TEST(only_the_101_that_was_asked_for_opens),
        TEST(another_answer_is_an_ordinary_one),
        TEST(an_extended_connect_is_a_get_to_the_server_and_its_101_a_200),
        TEST(a_connect_is_never_answered_by_a_2xx_that_opens_nothing),
        TEST(an_extended_connect_for_what_is_not_served_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
