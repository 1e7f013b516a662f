#include "config/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/check.h"

static struct arena arena;

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

static void endpoints_are_read(void **state)
{
    static const struct {
        const char *text, *host, *path;
        uint16_t port;
    } good[] = {
        { "127.0.0.1:8080", "127.0.0.1", NULL, 8080 },
        { "[::1]:443", "::1", NULL, 443 },
        { "Name.Example.:80", "name.example", NULL, 80 },
        { ":8443", "", NULL, 8443 },
        { "unix:/run/app.sock", NULL, "/run/app.sock", 0 },
        { "unix:@app", NULL, "@app", 0 },
        { "[2001:DB8:0::1]:65535", "2001:db8::1", NULL, 65535 },
        { "b\xC3\xBC"
          "cher.de:1",
          "xn--bcher-kva.de", NULL, 1 },
    };

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct option_endpoint e;
        assert_null(endpoint_read(&arena, bytes_of_text(good[i].text), &e));
        assert_string_equal(e.text, good[i].text);
        assert_int_equal(e.port, good[i].port);
        assert_int_equal(e.host != NULL, good[i].host != NULL);
        assert_int_equal(e.path != NULL, good[i].path != NULL);
        if (e.host)
            assert_string_equal(e.host, good[i].host);
        if (e.path)
            assert_string_equal(e.path, good[i].path);
    }
}

static void wrong_endpoints_get_the_likely_right_one(void **state)
{
    static const char *const wrong[][2] = {
        { "8443", "did you mean \":8443\"?" },
        { "10.0.0.1", "did you mean \"10.0.0.1:80\"?" },
        { "example.org", "did you mean \"example.org:80\"?" },
        { "[::1]", "did you mean \"[::1]:443\"?" },
        { "fe80::1", "did you mean \"[fe80::1]:443\"?" },
        { "1:2:3:4:5:6:7:8:443", "did you mean \"[1:2:3:4:5:6:7:8]:443\"?" },
        { "a:b:c", "must be an address with a port" },
        { "::1:443", "did you mean \"[::1]:443\"" },
        { "*:443", "did you mean \":443\"?" },
        { "/run/app.sock", "did you mean \"unix:/run/app.sock\"?" },
        { "http://10.0.0.1:80/x", "did you mean \"10.0.0.1:80\"?" },
        { "https://a.example/", "did you mean \"a.example:443\"?" },
        { "http://a.example", "did you mean \"a.example:80\"?" },
        { "10.0.0.1:80/", "did you mean \"10.0.0.1:80\"?" },
        { "unix:run/app.sock", "absolute path" },
        { "unix:", "absolute path" },
        { "unix:/"
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaaaaaaaaaa",
          "too long" },
        { "[::1:443", "a [ without ]" },
        { "[::1]443", "must be an address with a port" },
        { "[::g]:443", "wrong IPv6 address" },
        { "a:0", "port from 1 to 65535" },
        { "a:65536", "port from 1 to 65535" },
        { "a:http", "port from 1 to 65535 behind the colon, not \"http\"" },
        { "a:", "port from 1 to 65535" },
        { "a b:80", "wrong name or address" },
        { "*.example.org:80", "wrong name or address" },
        { "1.2.3:80", "wrong name or address" },
        { "", "must be an address with a port" },
        { "two words", "must be an address with a port" },
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct option_endpoint e = { .port = 7 };
        const char *problem = endpoint_read(&arena, bytes_of_text(wrong[i][0]), &e);
        if (!problem || !strstr(problem, wrong[i][1]))
            print_error("%s: %s\n", wrong[i][0], problem);
        assert_non_null(problem);
        assert_non_null(strstr(problem, wrong[i][1]));
        assert_int_equal(e.port, 7);
    }
}

static void networks_print_as_they_are_read(void **state)
{
    static const char *const texts[] = { "10.0.0.0/8", "192.0.2.7", "0.0.0.0/0", "::1", "::/0", "2001:db8::/33", "unix" };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct option_network n;
        assert_null(network_read(&arena, bytes_of_text(texts[i]), &n));
        assert_true(n.is_given);
        assert_string_equal(network_print(&arena, &n), texts[i]);
    }
}

static void wrong_networks_get_the_likely_right_one(void **state)
{
    static const char *const wrong[][2] = {
        { "10.1.2.3/8", "did you mean 10.0.0.0/8, or 10.1.2.3 alone?" },
        { "2001:db8::1/32", "did you mean 2001:db8::/32" },
        { "10.0.0.0/33", "must be an IP address or a network" },
        { "x/8", "must be an IP address or a network" },
        { "example.org", "must be an IP address or a network" },
        { "10.0.0.0/255.0.0.0", "must be an IP address or a network" },
        { "", "must be an IP address or a network" },
    };

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct option_network n = { .prefix_bits = 3 };
        const char *problem = network_read(&arena, bytes_of_text(wrong[i][0]), &n);
        assert_non_null(problem);
        assert_non_null(strstr(problem, wrong[i][1]));
        assert_int_equal(n.prefix_bits, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read),
        cmocka_unit_test(wrong_endpoints_get_the_likely_right_one),
        cmocka_unit_test(networks_print_as_they_are_read),
        cmocka_unit_test(wrong_networks_get_the_likely_right_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
