#include "config/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"

static struct bundle *make(void)
{
    struct bundle *b = bundle_new();
    struct bundle_entry entries[] = {
        { BUNDLE_YAML, BYTES_LITERAL("site.yaml"), BYTES_NONE, BYTES_LITERAL("a: b\n") },
        { BUNDLE_FILE, BYTES_LITERAL("key.pem"), BYTES_NONE, BYTES_LITERAL("secret") },
        { BUNDLE_MATCH, BYTES_LITERAL("/a/x.pem"), BYTES_LITERAL("/a/*.pem"), BYTES_LITERAL("x") },
        { BUNDLE_MATCH, BYTES_LITERAL("/a/x.pem"), BYTES_LITERAL("/*/x.pem"), BYTES_LITERAL("x") },
        { BUNDLE_RESOLVED, BYTES_LITERAL("localhost"), BYTES_NONE, BYTES_LITERAL("127.0.0.1\n::1\n") },
        { BUNDLE_FILE, BYTES_LITERAL("empty"), BYTES_NONE, BYTES_NONE },
    };

    assert_non_null(b);
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        assert_int_equal(bundle_add(b, &entries[i]), 0);
    return b;
}

static void assert_same(const struct bundle *a, const struct bundle *b)
{
    assert_int_equal(bundle_count(a), bundle_count(b));
    for (size_t i = 0; i < bundle_count(a); i++) {
        const struct bundle_entry *x = bundle_entry(a, i), *y = bundle_entry(b, i);
        assert_int_equal(x->kind, y->kind);
        assert_true(bytes_equal(x->name, y->name) && bytes_equal(x->pattern, y->pattern) &&
                    bytes_equal(x->content, y->content));
    }
}

static void entries_are_copied_and_found(void **state)
{
    struct bundle *b = make();
    const struct bundle_entry *key = bundle_find(b, BUNDLE_FILE, BYTES_LITERAL("key.pem"));

    assert_int_equal(bundle_count(b), 6);
    assert_int_equal(bundle_entry(b, 0)->kind, BUNDLE_YAML);
    assert_true(bytes_equal_text(key->content, "secret"));
    assert_null(bundle_find(b, BUNDLE_MATCH, BYTES_LITERAL("key.pem")));
    assert_null(bundle_find(b, BUNDLE_FILE, BYTES_LITERAL("key")));
    bundle_free(b);
    bundle_free(NULL);
}

static void the_same_entry_is_added_once(void **state)
{
    struct bundle *b = make();
    struct bundle_entry again = { BUNDLE_FILE, BYTES_LITERAL("key.pem"), BYTES_NONE, BYTES_LITERAL("other") };

    assert_int_equal(bundle_add(b, &again), 0);
    assert_int_equal(bundle_count(b), 6);
    assert_true(bytes_equal_text(bundle_find(b, BUNDLE_FILE, again.name)->content, "secret"));
    bundle_free(b);
}

static void the_flat_form_opens_as_the_same(void **state)
{
    struct bundle *b = make(), *copy, *empty = bundle_new();
    size_t size = bundle_flat_size(b);
    uint8_t *flat = malloc(size);

    bundle_flatten(b, flat);
    copy = bundle_open(bytes_of(flat, size));
    assert_non_null(copy);
    memset(flat, 0, size); /* bundle_open has copied */
    assert_same(b, copy);
    bundle_free(copy);
    assert_true(bundle_flat_size(empty) <= size);
    bundle_flatten(empty, flat);
    copy = bundle_open(bytes_of(flat, bundle_flat_size(empty)));
    assert_int_equal(bundle_count(copy), 0);
    bundle_free(copy);
    bundle_free(empty);
    bundle_free(b);
    free(flat);
}

static void many_entries_fit(void **state)
{
    struct bundle *b = bundle_new(), *copy;
    uint8_t *flat;

    for (uint16_t i = 0; i < 1000; i++) {
        struct bundle_entry entry = { BUNDLE_FILE, bytes_of(&i, sizeof(i)), BYTES_NONE, BYTES_LITERAL("content") };
        assert_int_equal(bundle_add(b, &entry), 0);
    }
    flat = malloc(bundle_flat_size(b));
    bundle_flatten(b, flat);
    copy = bundle_open(bytes_of(flat, bundle_flat_size(b)));
    assert_same(b, copy);
    bundle_free(b);
    bundle_free(copy);
    free(flat);
}

/* Each prefix, each longer block and each single changed byte of the lengths: refused or another bundle, never a crash. */
static void damaged_blocks_are_refused(void **state)
{
    struct bundle *b = make();
    size_t size = bundle_flat_size(b);
    uint8_t *flat = calloc(1, size + 1);

    bundle_flatten(b, flat);
    for (size_t i = 0; i < size; i++) {
        uint8_t *exact = malloc(i + 1);
        memcpy(exact, flat, i);
        assert_null(bundle_open(bytes_of(exact, i)));
        free(exact);
    }
    assert_null(bundle_open(bytes_of(flat, size + 1)));
    for (size_t i = 0; i < size; i++) {
        flat[i] ^= 0xff;
        struct bundle *other = bundle_open(bytes_of(flat, size));
        assert_true(i >= 16 || other == NULL);
        bundle_free(other);
        flat[i] ^= 0xff;
    }
    bundle_free(b);
    free(flat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_copied_and_found),    cmocka_unit_test(the_same_entry_is_added_once),
        cmocka_unit_test(the_flat_form_opens_as_the_same), cmocka_unit_test(many_entries_fit),
        cmocka_unit_test(damaged_blocks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
