#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"

static struct address ip(const char *text, uint16_t port)
{
    struct address a;
    assert_int_equal(address_from_ip(text, port, &a), 0);
    return a;
}

static struct address path(const char *text)
{
    struct address a;
    assert_int_equal(address_from_path(text, &a), 0);
    return a;
}

static const char *printed(const struct address *a)
{
    static char text[ADDRESS_TEXT];
    address_print(a, text);
    return text;
}

static const char *host(const struct address *a)
{
    static char text[ADDRESS_TEXT];
    address_print_host(a, text);
    return text;
}

static void addresses_print_as_they_are_written(void **state)
{
    struct address v4 = ip("192.0.2.1", 443), v6 = ip("2001:DB8::1", 8443), mapped = ip("::ffff:192.0.2.1", 443);
    struct address file = path("/run/app.sock"), abstract = path("@app"), none = { .size = 0 };

    assert_string_equal(printed(&v4), "192.0.2.1:443");
    assert_string_equal(host(&v4), "192.0.2.1");
    assert_string_equal(printed(&v6), "[2001:db8::1]:8443");
    assert_string_equal(host(&v6), "2001:db8::1");
    assert_string_equal(printed(&mapped), "192.0.2.1:443");
    assert_string_equal(printed(&file), "unix:/run/app.sock");
    assert_string_equal(host(&abstract), "unix:@app");
    assert_string_equal(printed(&none), "none");
    assert_int_equal(address_port(&v4), 443);
    assert_int_equal(address_port(&v6), 8443);
    assert_int_equal(address_port(&file), 0);
    assert_int_equal(address_port(&none), 0);
}

static void ipv6_addresses_print_as_rfc_5952_has_it(void **state)
{
    static const char *const texts[] = { "::", "::1", "1::", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "2001:db8::1:0:0:1",
                                         "fe80::1:0:0:0", "1:2:3:4:5:6:7:8", "0:0:1::", "1:2:3:4:5:6:7:0", "abcd:ef01:10:100:1000::ffff" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct address a;
        char text[ADDRESS_TEXT];
        assert_int_equal(address_from_ip(texts[i], 0, &a), 0);
        address_print_host(&a, text);
        assert_string_equal(text, texts[i]);
    }
}

static void ipv4_addresses_print_without_leading_zeros(void **state)
{
    static const char *const texts[] = { "0.0.0.0", "1.20.200.9", "255.255.255.255", "10.0.0.100" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct address a;
        char text[ADDRESS_TEXT];
        assert_int_equal(address_from_ip(texts[i], 0, &a), 0);
        address_print_host(&a, text);
        assert_string_equal(text, texts[i]);
    }
}

static void an_address_in_a_box_comes_out_as_it_went_in(void **state)
{
    struct address in[5] = { { .size = 0 }, { .un = { .sun_family = AF_UNIX }, .size = offsetof(struct sockaddr_un, sun_path) } };

    (void)state;
    assert_int_equal(address_from_ip("192.0.2.1", 443, &in[2]), 0);
    assert_int_equal(address_from_ip("fe80::1", 8443, &in[3]), 0);
    in[3].v6.sin6_scope_id = 7;
    assert_int_equal(address_from_path("/run/app.sock", &in[4]), 0);
    for (size_t i = 0; i < 5; i++) {
        struct address_box box;
        struct address out;
        char before[ADDRESS_TEXT], after[ADDRESS_TEXT];
        memset(&out, 0xff, sizeof out);
        address_box_fill(&box, &in[i]);
        address_box_get(&box, &out);
        assert_int_equal(out.size, in[i].size);
        assert_true(address_equal(&in[i], &out));
        address_print(&in[i], before);
        address_print(&out, after);
        assert_string_equal(before, after);
        if (i == 3)
            assert_int_equal(out.v6.sin6_scope_id, 7);
        address_box_clear(&box);
        address_box_get(&box, &out);
        assert_int_equal(out.size, 0);
    }
}

static void a_nameless_unix_socket_prints(void **state)
{
    struct address a = { .un = { .sun_family = AF_UNIX }, .size = offsetof(struct sockaddr_un, sun_path) };
    assert_string_equal(printed(&a), "unix:");
}

static void the_longest_addresses_fit(void **state)
{
    struct address v6 = ip("1111:2222:3333:4444:5555:6666:7777:8888", 65535);
    char text[109];

    assert_string_equal(printed(&v6), "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
    memset(text, 'a', sizeof(text));
    text[107] = 0;
    struct address a = path(text);
    assert_int_equal(strlen(printed(&a)), 112);
    text[0] = '@';
    a = path(text);
    assert_int_equal(strlen(printed(&a)), 112);
    text[107] = 'a';
    text[108] = 0;
    assert_int_equal(address_from_path(text, &a), -E_SYNTAX);
    assert_int_equal(address_from_path("", &a), -E_SYNTAX);
}

static void what_is_no_ip_address_is_refused(void **state)
{
    static const char *const bad[] = { "",    "localhost", "1.2.3",    "1.2.3.256", "[::1]",
                                       "::g", "1.2.3.4 ",  "01.2.3.4", "fe80::1%lo" };
    struct address a;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(address_from_ip(bad[i], 1, &a), -E_SYNTAX);
}

static void equal_means_same_address_and_port(void **state)
{
    struct address a = ip("192.0.2.1", 1), b = ip("192.0.2.1", 2), mapped = ip("::ffff:192.0.2.1", 1),
                   v6 = ip("::1", 1);
    struct address f = path("/a"), g = path("/b"), abstract = path("@a"), none = { .size = 0 };
    struct address f_unterminated = f;

    assert_true(address_equal(&a, &a));
    assert_true(address_equal(&a, &mapped));
    assert_false(address_equal(&a, &b));
    assert_false(address_equal(&a, &v6));
    assert_false(address_equal(&a, &f));
    assert_true(address_equal(&f, &f));
    assert_false(address_equal(&f, &g));
    assert_false(address_equal(&f, &abstract));
    assert_true(address_equal(&none, &none));
    assert_false(address_equal(&none, &f));
    f_unterminated.size--;
    assert_true(address_equal(&f, &f_unterminated));
}

static bool contains(const char *network, const char *address)
{
    struct option_network n;
    struct address a = ip(address, 80);

    assert_int_equal(network_parse(network, &n), 0);
    return network_contains(&n, &a);
}

static void networks_contain_what_their_prefix_says(void **state)
{
    assert_true(contains("10.0.0.0/8", "10.255.0.1"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("10.1.2.128/25", "10.1.2.129"));
    assert_false(contains("10.1.2.128/25", "10.1.2.127"));
    assert_true(contains("192.0.2.7", "192.0.2.7"));
    assert_false(contains("192.0.2.7", "192.0.2.6"));
    assert_true(contains("0.0.0.0/0", "8.8.8.8"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("::1", "::1"));
    assert_true(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_true(contains("::ffff:10.0.0.0/104", "10.1.1.1"));
}

static void a_wide_ipv6_network_does_not_speak_of_ipv4(void **state)
{
    assert_true(contains("::/0", "2001:db8::1"));
    assert_false(contains("::/0", "192.0.2.1"));
    assert_false(contains("::/0", "::ffff:192.0.2.1"));
}

static void unix_sockets_lie_in_a_network_of_their_own_alone(void **state)
{
    struct option_network n;
    struct address f = path("/a");

    assert_int_equal(network_parse("0.0.0.0/0", &n), 0);
    assert_false(network_contains(&n, &f));
    assert_int_equal(network_parse("unix", &n), 0);
    assert_true(network_contains(&n, &f));
    assert_int_equal(address_from_ip("::1", 0, &f), 0);
    assert_false(network_contains(&n, &f));
}

static void malformed_networks_are_refused(void **state)
{
    static const char *const bad[] = { "",
                                       "/8",
                                       "10.0.0.0/",
                                       "10.0.0.0/33",
                                       "10.0.0.0/-1",
                                       "10.0.0.0/8x",
                                       "10.0.0.1/8",
                                       "::/129",
                                       "2001:db8::1/64",
                                       "10.0.0.0/255.0.0.0",
                                       "10.0.0.0/8/8",
                                       "localhost",
                                       "10/8",
                                       "10.0.0.0 /8",
                                       "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000/64" };
    struct option_network n;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(network_parse(bad[i], &n), -E_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_print_as_they_are_written),
        cmocka_unit_test(ipv6_addresses_print_as_rfc_5952_has_it),
        cmocka_unit_test(ipv4_addresses_print_without_leading_zeros),
        cmocka_unit_test(an_address_in_a_box_comes_out_as_it_went_in),
        cmocka_unit_test(a_nameless_unix_socket_prints),
        cmocka_unit_test(the_longest_addresses_fit),
        cmocka_unit_test(what_is_no_ip_address_is_refused),
        cmocka_unit_test(equal_means_same_address_and_port),
        cmocka_unit_test(networks_contain_what_their_prefix_says),
        cmocka_unit_test(a_wide_ipv6_network_does_not_speak_of_ipv4),
        cmocka_unit_test(unix_sockets_lie_in_a_network_of_their_own_alone),
        cmocka_unit_test(malformed_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
