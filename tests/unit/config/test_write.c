/* write.c, reference.c, schema.c and tables.c: what comes out of the tables and of a configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "complaints.h"
#include "config/tables.h"
#include "config/yaml.h"

static char *written(const struct config *c)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_write(c, out);
    fclose(out);
    return text;
}

static char *generated(void (*generate)(const struct option_table *, FILE *))
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    generate(&sample_table, out);
    fclose(out);
    return text;
}

static void assert_structs_equal(const struct option_table *table, const void *left, const void *right);

static void assert_lists_equal(const struct option *row, const struct option_list *left,
                               const struct option_list *right)
{
    assert_int_equal(left->count, right->count);
    for (size_t i = 0; i < left->count; i++) {
        size_t at = i * row->table->struct_size;
        assert_structs_equal(row->table, (const uint8_t *)left->items + at, (const uint8_t *)right->items + at);
        if (row->type == OPTION_MAP)
            assert_string_equal(*(char *const *)((const uint8_t *)left->items + at),
                                *(char *const *)((const uint8_t *)right->items + at));
    }
}

static void assert_texts_equal(const char *left, const char *right)
{
    assert_int_equal(left != NULL, right != NULL);
    if (left)
        assert_string_equal(left, right);
}

static void assert_structs_equal(const struct option_table *table, const void *left, const void *right)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option *row = &table->rows[i];
        const void *l = (const uint8_t *)left + row->offset, *r = (const uint8_t *)right + row->offset;
        const void *pointed = row->type == OPTION_OPTIONAL ? *(void *const *)l : NULL;
        switch (row->type) {
        case OPTION_TEXT:
        case OPTION_REFERENCE:
        case OPTION_FILE:
        case OPTION_FILES:
            assert_texts_equal(*(char *const *)l, *(char *const *)r);
            break;
        case OPTION_ENDPOINT:
            assert_texts_equal(((const struct option_endpoint *)l)->text, ((const struct option_endpoint *)r)->text);
            break;
        case OPTION_NETWORK:
            assert_memory_equal(l, r, sizeof(struct option_network));
            break;
        case OPTION_BOOL:
            assert_int_equal(*(const bool *)l, *(const bool *)r);
            break;
        case OPTION_CHOICE:
            assert_int_equal(*(const int *)l, *(const int *)r);
            break;
        case OPTION_SECTION:
            assert_structs_equal(row->table, l, r);
            break;
        case OPTION_OPTIONAL:
            assert_int_equal(pointed != NULL, *(void *const *)r != NULL);
            if (pointed)
                assert_structs_equal(row->table, pointed, *(void *const *)r);
            break;
        case OPTION_LIST:
        case OPTION_MAP:
            assert_lists_equal(row, l, r);
            break;
        default:
            assert_int_equal(*(const uint64_t *)l, *(const uint64_t *)r);
            break;
        }
    }
}

static void what_is_written_reads_back_as_the_same(void **state)
{
    static const char *const texts[] = {
        "",
        "workers: 3\nlevel: off\nuser: null\nwait: 90m\nwords: ['a b', 'yes', '*', \"x\\n\\ty\", '']\ntrusted: "
        "['::/0', 10.0.0.0/8, '::1']\n",
        "words: []\nlimits: { size: 1M, rate: off, count: 3, strict: no }\n",
        "sites:\n  'a: b': { address: [':1', '[::1]:2', 'unix:/x'], page: null, to: 'yes', extra: { size: 2k } }\n"
        "  '': {}\n",
        "sites:\n  'no': { address: name:1, certificates: '/a b/*.pem', limits: { rate: 3M/s } }\n"
        "groups:\n  yes: [a:1, { address: b:2, weight: 7 }]\n  two: { servers: a:1, idle_time: 1ns }\n",
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct config *c = read_sample(texts[i]), *again;
        char *first = written(c), *second, *complaints;
        again = read_sample(first);
        second = written(again);
        complaints = printed(again);
        if (config_error_count(c) == 0)
            assert_string_equal(complaints, "");
        assert_structs_equal(&sample_table, config_root(c), config_root(again));
        assert_string_equal(first, second);
        free(first);
        free(second);
        free(complaints);
        config_free(c);
        config_free(again);
    }
}

static void the_effective_configuration_shows_defaults_and_hides_secrets(void **state)
{
    struct config *c = read_sample("password: hunter2\nwait: 60s\nlimits: { size: 2048 }\n");
    char *text = written(c);

    assert_string_equal(
        text, "workers: auto\nlevel: high\nuser: nobody\npassword: (secret)\nwait: 1m\nwords: [h2, http/1.1]\n"
              "trusted: []\nsites: {}\ngroups: {}\nlimits:\n  size: 2k\n  rate: 512/s\n  count: null\n  strict: yes\n");
    free(text);
    config_free(c);
}

static void tables_are_collected_once_each_with_ids_of_their_own(void **state)
{
    static const struct option below[] = { { .name = "a", .type = OPTION_NUMBER, .doc = "A." } };
    static const struct option_table one = OPTION_TABLE("Same thing", struct sample_limits, below, "One.");
    static const struct option_table two = OPTION_TABLE("Same thing", struct sample_limits, below, "Two.");
    static const struct option rows[] = {
        { .name = "x", .type = OPTION_OPTIONAL, .table = &one },
        { .name = "y", .type = OPTION_OPTIONAL, .table = &two },
        { .name = "z", .type = OPTION_OPTIONAL, .table = &one },
    };
    static const struct option_table root = OPTION_TABLE("root", struct sample, rows, "Root.");
    struct arena arena;
    struct table_entry *all;

    arena_init(&arena, NULL, SIZE_MAX);
    all = tables_collect(&arena, &root);
    assert_string_equal(all->id, "root");
    assert_string_equal(all->next->id, "same-thing");
    assert_string_equal(all->next->path, "x");
    assert_string_equal(all->next->next->id, "same-thing-2");
    assert_null(all->next->next->next);
    arena_reset(&arena);
}

static void the_reference_tells_everything_about_an_option(void **state)
{
    static const char *const expected[] = {
        "| `workers` | number, or `auto` | `auto` | Threads. At most 64. |\n",
        "| `level` | `low`, `high`, `off` | `high` | How much.<br>`low`: Little.<br>`high`: Much. |\n",
        "| `password` | text |  | Known to few. Never shown. |\n",
        "| `words` | list of text | `[h2, http/1.1]` | Some words. |\n",
        "| `sites` | [site](#site) by name |  | The sites, by name. |\n",
        "| `groups` | [group](#group) by name, or its `servers` alone |  |",
        "| `certificates` | files |  | Certificates. A change needs a restart. |\n",
        "| `to` | name out of `groups` |  |",
        "| `count` | number |  | How many \\| without a default. At least 2. |\n",
        "| `size` | size | `16k` | Bytes at most. From 1k to 1G. |\n",
        "| `servers` | list of [server](#server), or its `address` alone | *required* | Its servers. From 1 to 3 "
        "items. |\n",
        "<a id=\"limits\"></a>\n## limits: `limits`\n",
        "<a id=\"server\"></a>\n## server: `groups.NAME.servers`\n",
        "```yaml\ngroups:\n  app: [10.0.0.1:80]\n```\n",
    };
    char *text = generated(config_write_reference);

    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        if (!strstr(text, expected[i]))
            print_error("not there: %s", expected[i]);
        assert_non_null(strstr(text, expected[i]));
    }
    free(text);
}

static void the_schema_has_every_option(void **state)
{
    static const char *const expected[] = {
        "\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"",
        "\"workers\":{\"description\":\"Threads.\",\"default\":\"auto\",\"anyOf\":[{\"type\":\"integer\",\"minimum\":0,"
        "\"maximum\":64},{\"const\":\"auto\"}]}",
        "{\"const\":\"low\",\"description\":\"Little.\"}",
        "\"to\":{\"description\":\"Who serves "
        "it.\",\"anyOf\":[{\"type\":[\"string\",\"number\",\"boolean\"]},{\"type\":\"null\"}]}",
        "{\"const\":\"off\"},{\"const\":false}",
        "\"minItems\":1,\"maxItems\":3",
        "\"required\":[\"address\"]",
        "\"limits\":{\"description\":\"Limits of a site.\",\"type\":\"object\"",
    };
    char *text = generated(config_write_schema);

    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        if (!strstr(text, expected[i]))
            print_error("not there: %s\n", expected[i]);
        assert_non_null(strstr(text, expected[i]));
    }
    free(text);
}

/* JSON is YAML: our own reader finds what is out of balance. */
static void the_schema_is_json(void **state)
{
    char *text = generated(config_write_schema);
    struct arena arena;
    struct yaml yaml;

    arena_init(&arena, NULL, SIZE_MAX);
    yaml_read(&arena, bytes_of_text(text), &yaml);
    assert_null(yaml.problems);
    assert_int_equal(yaml.root->kind, YAML_MAPPING);
    assert_true(bytes_equal_text(yaml.root->last->key->text, "$defs"));
    assert_int_equal(yaml.root->last->count, 7);
    arena_reset(&arena);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back_as_the_same),
        cmocka_unit_test(the_effective_configuration_shows_defaults_and_hides_secrets),
        cmocka_unit_test(tables_are_collected_once_each_with_ids_of_their_own),
        cmocka_unit_test(the_reference_tells_everything_about_an_option),
        cmocka_unit_test(the_schema_has_every_option),
        cmocka_unit_test(the_schema_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
