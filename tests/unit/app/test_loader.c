#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "app/loader.h"
#include "certs/store.h"

static char folder[64], why[LOADER_WHY];

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *p = path[turn++ % 4];

    snprintf(p, 256, "%s/%s", folder, name);
    return p;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_folder(name), "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(in_folder(name), mode), 0);
}

static int make_folder(void **state)
{
    static const char *const names[] = { "a.test", NULL };
    struct certificate_request request = { .names = names, .days = 60 };
    char *cert, *key;

    (void)state;
    strcpy(folder, "/tmp/unlade-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(certificate_make(&request, &cert, &key), 0);
    assert_int_equal(mkdir(in_folder("certs"), 0700), 0);
    put_file("certs/b.pem", cert, 0644);
    put_file("certs/b.key", key, 0600);
    put_file("certs/a.pem", key, 0600);
    put_file("cert.pem", cert, 0644);
    put_file("key.pem", key, 0600);
    put_file("group.pem", key, 0640);
    put_file("open.pem", key, 0644);
    free(cert);
    free(key);
    return 0;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static char *complaints_of(const struct loaded *l)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_print_complaints(l->config, out);
    fclose(out);
    return text;
}

#define YAML(certificates) \
    "listeners: { web: { address: \":443\", to: app, certificates: " certificates " } }\nupstreams: { app: { servers: [10.0.0.9:80] } }\n"

static struct loaded load(const char *yaml)
{
    struct loader_source source = { .path = in_folder("site.yaml") };
    struct loaded l;

    put_file("site.yaml", yaml, 0644);
    assert_int_equal(loader_read(&source, &l, why), 0);
    return l;
}

static void expect_complaint(const char *yaml, const char *want)
{
    struct loaded l = load(yaml);
    char *text = complaints_of(&l);

    if (!strstr(text, want))
        fail_msg("wanted \"%s\", got:\n%s", want, text);
    free(text);
    loaded_free(&l);
}

static void relative_paths_start_at_the_file(void **state)
{
    struct loaded l = load(YAML("{ certificate: cert.pem, key: key.pem }"));

    (void)state;
    assert_int_equal(config_error_count(l.config), 0);
    assert_int_equal(bundle_entry(l.bundle, 0)->kind, BUNDLE_YAML);
    assert_non_null(bundle_find(l.bundle, BUNDLE_FILE, BYTES_LITERAL("cert.pem")));
    assert_non_null(bundle_find(l.bundle, BUNDLE_FILE, BYTES_LITERAL("key.pem")));
    loaded_free(&l);
}

static void globs_are_sorted_and_keys_beside_are_found(void **state)
{
    struct loaded l = load(YAML("certs/*.pem"));
    struct bytes first = BYTES_NONE, second = BYTES_NONE;

    (void)state;
    assert_int_equal(config_error_count(l.config), 0);
    for (size_t i = 0; i < bundle_count(l.bundle); i++) {
        const struct bundle_entry *e = bundle_entry(l.bundle, i);
        if (e->kind != BUNDLE_MATCH)
            continue;
        assert_true(bytes_equal_text(e->pattern, "certs/*.pem"));
        *(first.at ? &second : &first) = e->name;
    }
    assert_true(bytes_equal_text(first, in_folder("certs/a.pem")));
    assert_true(bytes_equal_text(second, in_folder("certs/b.pem")));
    assert_non_null(bundle_find(l.bundle, BUNDLE_FILE, bytes_of_text(in_folder("certs/b.key"))));
    loaded_free(&l);
}

static void keys_that_others_may_read_are_refused(void **state)
{
    struct loaded l = load(YAML("{ certificate: cert.pem, key: group.pem }"));

    (void)state;
    assert_int_equal(config_error_count(l.config), 0); /* a group may, to let a service read it */
    loaded_free(&l);
    expect_complaint(YAML("{ certificate: cert.pem, key: open.pem }"), "holds a private key that others may use (mode 644): run `chmod 600");
    expect_complaint(YAML("open.pem"), "holds a private key that others may use");
}

static void what_cannot_be_read_is_a_complaint(void **state)
{
    (void)state;
    expect_complaint(YAML("gone.pem"), "/gone.pem cannot be read: No such file or directory");
    expect_complaint(YAML("certs"), "/certs cannot be read: Is a directory");
    expect_complaint(YAML("\"certs/*.crt\""), "/certs/*.crt matches no file");
    expect_complaint(YAML("\"none/*.pem\""), "/none/*.pem cannot be looked up: No such file or directory");
    expect_complaint("listeners: { x: { address: \":80\", tls: off, to: app } }\nupstreams: { app: { servers: [\"no-such-name.invalid:80\"] } }\n",
                     "the name \"no-such-name.invalid\" cannot be resolved: ");
}

static void names_are_resolved_once_for_all(void **state)
{
    struct loaded l = load("listeners: { x: { address: \":80\", tls: off, to: app } }\n"
                           "upstreams: { app: { servers: [\"localhost:80\", \"localhost:81\", 10.0.0.1:80] } }\n");
    const struct bundle_entry *e = bundle_find(l.bundle, BUNDLE_RESOLVED, BYTES_LITERAL("localhost"));
    size_t resolved = 0;

    (void)state;
    assert_int_equal(config_error_count(l.config), 0);
    assert_non_null(e);
    assert_true(memmem(e->content.at, e->content.size, "127.0.0.1", 9) || memmem(e->content.at, e->content.size, "::1", 3));
    for (size_t i = 0; i < bundle_count(l.bundle); i++)
        resolved += bundle_entry(l.bundle, i)->kind == BUNDLE_RESOLVED;
    assert_int_equal(resolved, 1);
    loaded_free(&l);
}

static void a_missing_file_is_explained(void **state)
{
    struct loader_source source = { .path = in_folder("no.yaml") };
    struct loaded l;

    (void)state;
    assert_int_equal(loader_read(&source, &l, why), -E_SYSTEM);
    assert_non_null(strstr(why, "no.yaml cannot be read: No such file or directory; name another with -c FILE"));
}

static void files_in_memory_come_first(void **state)
{
    struct bundle_entry file = { .kind = BUNDLE_FILE, .name = BYTES_LITERAL("made.pem"), .content = BYTES_LITERAL("made") };
    struct loader_source source = { .path = "(test)", .text = YAML("made.pem"), .files = &file, .file_count = 1 };
    struct loaded l;

    (void)state;
    assert_int_equal(loader_read(&source, &l, why), 0);
    assert_int_equal(config_error_count(l.config), 0);
    assert_true(bytes_equal_text(bundle_find(l.bundle, BUNDLE_FILE, BYTES_LITERAL("made.pem"))->content, "made"));
    loaded_free(&l);
}

static void files_have_a_largest_size(void **state)
{
    struct bytes content;

    (void)state;
    assert_int_equal(loader_read_file("/dev/zero", 100000, &content, NULL), -E_SYSTEM);
    assert_int_equal(loader_read_file(in_folder("cert.pem"), 10, &content, NULL), -E_SYSTEM);
    assert_int_equal(loader_read_file(in_folder("cert.pem"), 100000, &content, NULL), 0);
    loader_free_file(content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relative_paths_start_at_the_file),
        cmocka_unit_test(globs_are_sorted_and_keys_beside_are_found),
        cmocka_unit_test(keys_that_others_may_read_are_refused),
        cmocka_unit_test(what_cannot_be_read_is_a_complaint),
        cmocka_unit_test(names_are_resolved_once_for_all),
        cmocka_unit_test(a_missing_file_is_explained),
        cmocka_unit_test(files_in_memory_come_first),
        cmocka_unit_test(files_have_a_largest_size),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
