/* reader.c, place.c and context.c: from a file to structs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "complaints.h"

/* Reads a text that must be right. */
static struct config *read_good(const char *yaml)
{
    struct config *c = read_sample(yaml);
    char *text = printed(c);

    assert_string_equal(text, "");
    free(text);
    return c;
}

static void assert_complaint(const char *yaml, const char *expected)
{
    char *text = complaints_about(yaml);

    if (!strstr(text, expected))
        print_error("about:\n%s\nexpected: %s\nbut got:\n%s", yaml, expected, text);
    assert_non_null(strstr(text, expected));
    free(text);
}

/* That and nothing else. */
static void assert_only(const char *yaml, const char *expected)
{
    struct config *c = read_sample(yaml);

    assert_complaint(yaml, expected);
    assert_int_equal(config_error_count(c), 1);
    config_free(c);
}

static void an_empty_file_gives_the_defaults(void **state)
{
    static const char *const empty[] = { "", "# nothing\n", "---\n", "{}\n", "null\n", "\xEF\xBB\xBF# with a BOM\n" };

    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        struct config *c = read_good(empty[i]);
        struct sample *s = config_root(c);
        assert_int_equal(s->workers, 0);
        assert_int_equal(s->level, LEVEL_HIGH);
        assert_string_equal(s->user, "nobody");
        assert_null(s->password);
        assert_int_equal(s->wait_ns, 250000000);
        assert_int_equal(s->words.count, 2);
        assert_string_equal(OPTION_ITEM(struct sample_word, &s->words, 1)->word, "http/1.1");
        assert_int_equal(s->sites.count, 0);
        assert_int_equal(s->limits.size, 16384);
        assert_int_equal(s->limits.rate, 512);
        assert_true(s->limits.strict);
        config_free(c);
    }
}

static void every_type_is_read(void **state)
{
    struct config *c = read_good("workers: 4\nlevel: low\nuser: \"a b\"\npassword: x\nwait: 2m\nwords: one\n"
                                 "trusted: [10.0.0.0/8, \"::1\"]\n"
                                 "sites:\n"
                                 "  web:\n"
                                 "    address: [\":443\", \"[::1]:444\", \"unix:/run/x\"]\n"
                                 "    page: p.html\n"
                                 "    certificates: /etc/*.pem\n"
                                 "    to: app\n"
                                 "    limits: { size: 2k, rate: off, count: 7, strict: off }\n"
                                 "    extra: {}\n"
                                 "groups:\n"
                                 "  app: { servers: [ 10.0.0.1:80, { address: B\xC3\xBC"
                                 "cher.example:81, weight: 3 } ], idle_time: 1s }\n");
    struct sample *s = config_root(c);
    struct sample_site *web = OPTION_ITEM(struct sample_site, &s->sites, 0);
    struct sample_group *app = OPTION_ITEM(struct sample_group, &s->groups, 0);

    assert_int_equal(s->workers, 4);
    assert_int_equal(s->level, LEVEL_LOW);
    assert_string_equal(s->user, "a b");
    assert_int_equal(s->wait_ns, 120000000000);
    assert_int_equal(s->words.count, 1);
    assert_int_equal(s->trusted.count, 2);
    assert_int_equal(OPTION_ITEM(struct sample_network, &s->trusted, 0)->network.prefix_bits, 104);
    assert_int_equal(s->sites.count, 1);
    assert_string_equal(web->name, "web");
    assert_int_equal(web->addresses.count, 3);
    assert_string_equal(OPTION_ITEM(struct sample_address, &web->addresses, 0)->endpoint.host, "");
    assert_int_equal(OPTION_ITEM(struct sample_address, &web->addresses, 0)->endpoint.port, 443);
    assert_string_equal(OPTION_ITEM(struct sample_address, &web->addresses, 1)->endpoint.host, "::1");
    assert_string_equal(OPTION_ITEM(struct sample_address, &web->addresses, 2)->endpoint.path, "/run/x");
    assert_null(OPTION_ITEM(struct sample_address, &web->addresses, 2)->endpoint.host);
    assert_string_equal(web->page.path, "p.html");
    assert_string_equal(web->to, "app");
    assert_int_equal(web->limits.size, 2048);
    assert_int_equal(web->limits.rate, 0);
    assert_int_equal(web->limits.count, 7);
    assert_false(web->limits.strict);
    assert_non_null(web->extra);
    assert_int_equal(web->extra->size, 16384);
    assert_string_equal(OPTION_ITEM(struct sample_server, &app->servers, 1)->address.host, "xn--bcher-kva.example");
    assert_int_equal(OPTION_ITEM(struct sample_server, &app->servers, 0)->weight, 1);
    assert_int_equal(OPTION_ITEM(struct sample_server, &app->servers, 1)->weight, 3);
    config_free(c);
}

static void one_item_needs_no_brackets(void **state)
{
    struct config *c =
        read_good("sites:\n  a: { address: ':1' }\ngroups:\n  x: 10.0.0.1:80\n  y: [10.0.0.1:80, 10.0.0.2:80]\n"
                  "  z: { servers: { address: 10.0.0.1:80 } }\n");
    struct sample *s = config_root(c);

    assert_int_equal(OPTION_ITEM(struct sample_site, &s->sites, 0)->addresses.count, 1);
    assert_int_equal(OPTION_ITEM(struct sample_group, &s->groups, 0)->servers.count, 1);
    assert_int_equal(OPTION_ITEM(struct sample_group, &s->groups, 1)->servers.count, 2);
    assert_int_equal(OPTION_ITEM(struct sample_group, &s->groups, 2)->servers.count, 1);
    config_free(c);
}

static void null_means_none_or_the_default(void **state)
{
    struct config *c = read_good(
        "user: null\nwords:\nlimits:\nsites:\n  a:\n    address: ':1'\n    page: ~\n    extra:\n    to: null\n"
        "    limits: { count: }\n");
    struct sample *s = config_root(c);
    struct sample_site *a = OPTION_ITEM(struct sample_site, &s->sites, 0);

    assert_null(s->user);
    assert_int_equal(s->words.count, 2);
    assert_int_equal(s->limits.size, 16384);
    assert_null(a->page.path);
    assert_null(a->extra);
    assert_null(a->to);
    config_free(c);
    assert_only("workers:\n", "f:1:1: error: \"workers\" has no value\n");
    assert_only("sites:\n  a: { address: }\n", "\"address\" needs a value");
    assert_only("groups:\n  a: { servers: [ { address: null } ] }\n",
                "\"address\" needs a value: an address with a port");
    assert_only("words: [a, , b]\n", "f:1:");
    assert_only("words:\n  -\n  - b\n", "f:2:3: error: an empty item in \"words\"");
}

static void every_error_is_told_at_once_in_the_order_of_lines(void **state)
{
    char *text = complaints_about(
        "levl: high\nwait: 5\nsites:\n  web: { adress: ':443', to: ap }\ngroups: { app: 10.0.0.1:80 }\n");

    assert_string_equal(text,
                        "f:1:1: error: unknown key \"levl\" at the top level\n"
                        "    1 | levl: high\n"
                        "      | ^^^^\n"
                        "      = did you mean \"level\"?\n"
                        "f:2:7: error: \"wait\" needs a unit: it is a duration, such as 250ms, 5s, 10m, 12h or 30d\n"
                        "    2 | wait: 5\n"
                        "      |       ^\n"
                        "      = did you mean 5s?\n"
                        "f:4:10: error: unknown key \"adress\" in site \"web\"\n"
                        "    4 |   web: { adress: ':443', to: ap }\n"
                        "      |          ^^^^^^\n"
                        "      = did you mean \"address\"?\n"
                        "f:4:30: error: \"to\" names the group \"ap\", which is not in \"groups\"\n"
                        "    4 |   web: { adress: ':443', to: ap }\n"
                        "      |                              ^^\n"
                        "      = did you mean \"app\"?\n");
    free(text);
}

static void an_unknown_key_gets_the_best_advice(void **state)
{
    assert_only("idle_time: 5s\n", "it belongs below a name in \"groups\"");
    assert_only("size: 4k\n", "it belongs below \"limits\"");
    assert_only("sites:\n  a: { address: ':1', workers: 3 }\n", "it belongs to the top level; is it indented too far?");
    assert_only("sites:\n  a: { address: ':1', limits: { to: x } }\n",
                "it belongs to site \"a\"; is it indented too far?");
    assert_only("limits: { colour: red }\n", "unknown key \"colour\" in limits\n");
    assert_only("limits: { colour: red }\n", "known here: size, rate, count, strict");
    assert_only("sites:\n  a: { address: ':1', limits: { sice: 4k } }\n",
                "unknown key \"sice\" in limits of site \"a\"");
}

static void keys_of_other_things_are_sent_there(void **state)
{
    assert_only("sites:\n  a: { address: ':1', weight: 3 }\n", "it belongs to groups.NAME.servers");
    assert_only("groups:\n  a: { servers: a:1, weight: 3 }\n", "it belongs to an item of \"servers\"");
    assert_only("sites:\n  a: { address: ':1', rate: 1/s }\n", "it belongs below \"limits\"");
}

static void a_missing_space_behind_the_colon_is_seen(void **state)
{
    assert_only("sites:\n  a: { address=:443 }\n", "a colon and a space stand between key and value: \"address: ...\"");
    assert_only("limits: {size:4k}\n", "a colon and a space stand between key and value: \"size: ...\"");
}

static void keys_beside_their_name_are_seen(void **state)
{
    struct config *c = read_sample("sites:\n  web:\n  address: ':443'\n  to: app\ngroups: { app: a:1 }\n");
    struct sample *s = config_root(c);

    assert_int_equal(config_error_count(c), 2);
    assert_int_equal(OPTION_ITEM(struct sample_site, &s->sites, 1)->limits.size, 16384);
    config_free(c);
    assert_only("sites:\n  web:\n  address: ':443'\n",
                "f:3:3: error: \"address\" is taken for a name in \"sites\", but looks like a key");
}

static void several_values_in_one_are_seen(void **state)
{
    assert_only("sites:\n  a: { address: '0.0.0.0:443, [::]:443' }\n",
                "several are a list: [\"0.0.0.0:443\", \"[::]:443\"]");
    assert_only("groups:\n  a: [a:1 a:2]\n", "several are a list: [\"a:1\", \"a:2\"]");
    assert_only("trusted: 10.0.0.0/8, 192.0.2.0/24\n", "several are a list: [\"10.0.0.0/8\", \"192.0.2.0/24\"]");
    assert_only("sites:\n  a: { address: ':1', certificates: '/a.pem, /b/*.pem' }\n",
                "several are a list: [\"/a.pem\", \"/b/*.pem\"]");
    assert_complaint("sites:\n  a: { address: [a:1, [::]:443] }\n",
                     "an address with [ ] must stand in quotes: \"[::]:443\"");
    config_free(read_good("sites:\n  a: { address: ':1', page: 'a, b.html', certificates: 'my cert.pem' }\n"));
}

static void variables_are_not_filled_in(void **state)
{
    assert_only("sites:\n  a: { address: $HOST:80 }\n", "variables are not filled in");
    assert_only("sites:\n  a: { address: ':1', to: '${GROUP}' }\ngroups: { app: a:1 }\n",
                "variables are not filled in");
    assert_only("workers: {{ n }}\n", "if this is a template's {{ variable }}");
}

static void keys_given_twice_are_errors(void **state)
{
    assert_only("workers: 1\nwait: 1s\nworkers: 2\n",
                "f:3:1: error: \"workers\" is given twice; the first is in line 1");
    assert_only("groups:\n  a: 10.0.0.1:80\n  a: 10.0.0.2:80\n",
                "f:3:3: error: \"a\" is given twice; the first is in line 2");
}

static void missing_keys_are_told_at_the_thing_that_lacks_them(void **state)
{
    assert_only("sites:\n  web: {}\n", "f:2:3: error: \"address\" is missing in site \"web\"");
    assert_only("sites:\n  web:\n", "f:2:3: error: \"address\" is missing in site \"web\"");
    assert_only("groups:\n  a: { servers: [ { weight: 2 } ] }\n",
                "f:2:19: error: \"address\" is missing in server of group \"a\"");
}

static void wrong_shapes_are_named(void **state)
{
    assert_only("workers: [1]\n", "\"workers\" must be a whole number, or auto, not a list");
    assert_only("workers: [1]\n", "write it without [ ] or -");
    assert_only("workers: { a: 1 }\n", "not a mapping");
    assert_only("limits: 5\n", "\"limits\" needs keys and values, not a single value");
    assert_only("limits: [5]\n", "not a list");
    assert_only("sites: [a]\n", "\"sites\" needs names, with one site below each, not a list");
    assert_only("sites: a\n", "not a single value");
    assert_only("sites:\n  web: :443\n", "\"sites\" needs keys and values in each item, not a single value");
    assert_only("words: [[a]]\n", "\"words\" needs keys and values in each item, not a list");
    assert_only("- a\n", "a configuration is keys and values");
    assert_only("hello\n", "a configuration is keys and values");
    assert_only("sites:\n  '': { address: ':1' }\n", "an empty name in \"sites\"");
}

static void lists_have_bounds(void **state)
{
    assert_only("groups: { a: { servers: [] } }\n", "\"servers\" needs at least 1 item");
    assert_only("groups: { a: [a:1, a:2, a:3, a:4] }\n", "\"servers\" takes at most 3 items");
}

static void references_are_checked(void **state)
{
    assert_only("sites: { a: { address: ':1', to: b } }\n", "there is no \"groups\" yet");
    assert_only("sites: { a: { address: ':1', to: zebra } }\ngroups: { x: a:1, y: a:1 }\n", "there: \"x\", \"y\"");
    assert_only("sites: { a: { address: ':1', to: [x] } }\ngroups: { x: a:1 }\n",
                "\"to\" must be a name out of groups, not a list");
}

static void yaml_beyond_the_configuration_is_refused(void **state)
{
    assert_only("user: &x a\n", "f:1:7: error: anchors (&name) are not supported");
    assert_only("user: *x\n", "quote a text that starts with *: \"*x\"");
    assert_only("user: !!str a\n", "tags (!name) are not supported");
    assert_only("limits: { <<: {} }\n", "merge keys (<<) are not supported");
    assert_only("user: a\n---\nuser: b\n", "f:2:1: error: a second document starts here");
    assert_only("limits: {{ size }}\n", "if this is a template's {{ variable }}, it was not filled in");
    assert_only("[a]: b\n", "a key must be a text, not a list or mapping");
    assert_only("? [a]\n: b\n", "a key that is written with `?`");
    assert_only("user: \"a\\0b\"\n", "a text must not hold a zero byte");
}

static void broken_syntax_is_told_alone(void **state)
{
    assert_only("workers: x\nlimits: [1, 2\nwait: 5\n", "f:");
    assert_only("levl: 1\nuser: \"a\n", "f:2:7: error: a \" that is opened here is not closed");
}

static void deep_nesting_ends_in_an_error(void **state)
{
    char text[4000];

    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_only(text, "nested too deeply");
    for (size_t i = 0; i < 900; i++)
        memcpy(text + 4 * i, "{a: ", 4);
    text[3600] = 0;
    assert_only(text, "nested too deeply");
}

static void complaints_find_the_value_that_they_are_about(void **state)
{
    struct config *c =
        read_good("sites:\n  web:\n    address: [':443', ':444']\n    to: app\n    limits: { strict: no }\n"
                  "  other: { address: ':445' }\ngroups: { app: [a:1, {address: b:2}] }\n");
    struct sample *s = config_root(c);
    struct sample_site *web = OPTION_ITEM(struct sample_site, &s->sites, 0), *other = web + 1;
    struct sample_group *app = OPTION_ITEM(struct sample_group, &s->groups, 0);
    char *text;

    config_complain(c, COMPLAINT_ERROR, &web->to, "to");
    config_complain(c, COMPLAINT_ERROR, web, "web");
    config_complain(c, COMPLAINT_ERROR, &web->limits.strict, "strict");
    config_complain(c, COMPLAINT_ERROR, &web->limits.size, "size is a default");
    config_complain(c, COMPLAINT_ERROR, OPTION_ITEM(struct sample_address, &web->addresses, 1), "second");
    config_complain(c, COMPLAINT_ERROR, &other->name, "other's name");
    config_complain(c, COMPLAINT_ERROR, &other->limits.size, "other's size");
    config_complain(c, COMPLAINT_WARNING, &OPTION_ITEM(struct sample_server, &app->servers, 1)->address, "%s\nnote\x1b",
                    "b");
    config_complain(c, COMPLAINT_WARNING, NULL, "all");
    config_complain(c, COMPLAINT_WARNING, &s->workers, "not in the file");
    assert_int_equal(config_error_count(c), 7);
    assert_int_equal(config_warning_count(c), 3);
    text = printed(c);
    assert_non_null(strstr(text, "f:2:3: error: web\n"));
    assert_non_null(strstr(text, "f:3:23: error: second\n"));
    assert_non_null(strstr(text, "f:4:9: error: to\n"));
    assert_non_null(strstr(text, "f:5:23: error: strict\n"));
    assert_non_null(strstr(text, "f:5:5: error: size is a default\n"));
    assert_non_null(strstr(text, "f:6:3: error: other's name\n"));
    assert_non_null(strstr(text, "f:6:3: error: other's size\n"));
    assert_non_null(strstr(text, "f:7:32: warning: b\n"));
    assert_non_null(strstr(text, "= note?\n"));
    assert_non_null(strstr(text, "f: warning: all\n"));
    assert_non_null(strstr(text, "f: warning: not in the file\n"));
    free(text);
    assert_string_equal(config_where(c, &web->to), "f:4");
    assert_string_equal(config_where(c, &s->workers), "f");
    assert_string_equal(config_where(c, NULL), "f");
    config_free(c);
}

static void what_is_set_is_known(void **state)
{
    struct config *c = read_good("level: high\nsites: { a: { address: ':1', extra: { size: 2k } } }\n");
    struct sample *s = config_root(c);
    struct sample_site *a = OPTION_ITEM(struct sample_site, &s->sites, 0);

    assert_true(config_is_set(c, &s->level));
    assert_false(config_is_set(c, &s->workers));
    assert_true(config_is_set(c, &s->sites));
    assert_false(config_is_set(c, &s->groups));
    assert_true(config_is_set(c, &a->addresses));
    assert_true(config_is_set(c, &a->extra));
    assert_true(config_is_set(c, &a->extra->size));
    assert_false(config_is_set(c, &a->extra->rate));
    assert_false(config_is_set(c, &a->limits.size));
    config_free(c);
    c = read_good("");
    assert_false(config_is_set(c, config_root(c)));
    config_free(c);
}

static void files_are_listed_in_the_files_order(void **state)
{
    struct config *c = read_good("sites:\n  a: { address: ':1', certificates: '/a/*.pem', page: p1 }\n"
                                 "  b: { address: ':1', page: p2, certificates: /b.pem }\n  c: { address: ':1' }\n");
    const struct config_file *files;

    assert_int_equal(config_files(c, &files), 5);
    assert_string_equal(files[0].file->path, "/a/*.pem");
    assert_true(files[0].is_glob);
    assert_string_equal(files[1].file->path, "p1");
    assert_string_equal(files[2].file->path, "p2");
    assert_string_equal(files[3].file->path, "/b.pem");
    assert_false(files[3].is_glob);
    assert_string_equal(files[4].file->path, "/usr/share/page.html");
    config_free(c);
}

static void many_files_and_places_are_kept(void **state)
{
    enum { MANY = 500 };
    char *text = malloc(MANY * 64), *at = text;
    const struct config_file *files;
    struct config *c;

    at += sprintf(at, "sites:\n");
    for (int i = 0; i < MANY; i++)
        at += sprintf(at, "  s%d: { page: p%d, address: ':1' }\n", i, i);
    c = read_good(text);
    assert_int_equal(config_files(c, &files), MANY);
    assert_string_equal(files[MANY - 1].file->path, "p499");
    struct sample *s = config_root(c);
    assert_string_equal(config_where(c, OPTION_ITEM(struct sample_site, &s->sites, 321)), "f:323");
    config_free(c);
    free(text);
}

static void errors_leave_defaults_behind(void **state)
{
    struct config *c = read_sample("wait: x\nlevel: 7\nwords: { a: b }\nlimits: { size: 1, rate: z }\nsites: 3\n");
    struct sample *s = config_root(c);

    assert_int_equal(config_error_count(c), 7);
    assert_int_equal(s->wait_ns, 250000000);
    assert_int_equal(s->level, LEVEL_HIGH);
    assert_int_equal(s->limits.size, 16384);
    assert_int_equal(s->limits.rate, 512);
    assert_int_equal(s->sites.count, 0);
    config_free(c);
    config_free(NULL);
}

static void secrets_are_not_shown_in_complaints(void **state)
{
    struct config *c = read_sample("{ password: hunter2, wrkers: 1 }\n");
    char *text = printed(c);

    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "f:1:22: error: unknown key \"wrkers\""));
    free(text);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(one_item_needs_no_brackets),
        cmocka_unit_test(null_means_none_or_the_default),
        cmocka_unit_test(every_error_is_told_at_once_in_the_order_of_lines),
        cmocka_unit_test(an_unknown_key_gets_the_best_advice),
        cmocka_unit_test(keys_of_other_things_are_sent_there),
        cmocka_unit_test(a_missing_space_behind_the_colon_is_seen),
        cmocka_unit_test(keys_beside_their_name_are_seen),
        cmocka_unit_test(several_values_in_one_are_seen),
        cmocka_unit_test(variables_are_not_filled_in),
        cmocka_unit_test(keys_given_twice_are_errors),
        cmocka_unit_test(missing_keys_are_told_at_the_thing_that_lacks_them),
        cmocka_unit_test(wrong_shapes_are_named),
        cmocka_unit_test(lists_have_bounds),
        cmocka_unit_test(references_are_checked),
        cmocka_unit_test(yaml_beyond_the_configuration_is_refused),
        cmocka_unit_test(broken_syntax_is_told_alone),
        cmocka_unit_test(deep_nesting_ends_in_an_error),
        cmocka_unit_test(complaints_find_the_value_that_they_are_about),
        cmocka_unit_test(what_is_set_is_known),
        cmocka_unit_test(files_are_listed_in_the_files_order),
        cmocka_unit_test(many_files_and_places_are_kept),
        cmocka_unit_test(errors_leave_defaults_behind),
        cmocka_unit_test(secrets_are_not_shown_in_complaints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
