/* test_native_context.c: a policy and a certificate in the form in which our own engine wants them. */
#include "papers.h"
#include "undo_compression.h"

#include "base/check.h"
#include "base/error.h"
#include "tls/handshake_private.h"
#include "tls/native_context.h"

static struct papers root, middle, leaf;
static STACK_OF(X509) *chain;

static int set_up(void **state)
{
    root = papers_make(&(struct papers_wish){ .common_name = "Root", .constraints = "critical,CA:TRUE" });
    middle = papers_make(&(struct papers_wish){ .common_name = "Middle", .constraints = "critical,CA:TRUE", .issuer = &root });
    leaf = papers_make(&(struct papers_wish){ .common_name = "a.test", .alternative = "DNS:a.test", .issuer = &middle });
    chain = sk_X509_new_null();
    sk_X509_push(chain, middle.cert);
    return 0;
}

static int tear_down(void **state)
{
    sk_X509_free(chain);
    papers_free(&leaf);
    papers_free(&middle);
    papers_free(&root);
    return 0;
}

static struct tls_policy_options plain_policy(void)
{
    return (struct tls_policy_options){ .name = "default", .profile = TLS_PROFILE_INTERMEDIATE, .tickets = true };
}

static struct native_context *make(const struct tls_policy_options *policy)
{
    struct tls_server_parts parts = { .policy = policy, .leaf = leaf.cert, .chain = chain, .key = leaf.key };

    return native_context_new(&parts, BYTES_NONE, NULL, NULL);
}

/* ---- The policy ---- */

static void names_become_numbers_in_their_order(void **state)
{
    struct tls_policy_options policy = plain_policy();
    struct native_context *c;

    policy.groups = "P-384:X25519:X448:P-521";
    policy.suites_1_3 = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
    c = make(&policy);
    assert_non_null(c);
    assert_int_equal(c->group_count, 4);
    assert_int_equal(c->groups[0].code, GROUP_P384);
    assert_int_equal(c->groups[1].code, GROUP_X25519);
    assert_int_equal(c->groups[2].code, 0x1e);
    assert_true(c->groups[0].is_ours && c->groups[1].is_ours);
    assert_false(c->groups[2].is_ours || c->groups[3].is_ours);
    assert_int_equal(c->suite_count, 2);
    assert_int_equal(c->suites[0], 0x1303);
    assert_int_equal(c->suites[1], 0x1302);
    native_context_free(c);
}

static void left_to_itself_it_has_what_is_common_the_post_quantum_group_first(void **state)
{
    const struct tls_policy_options policy = plain_policy();
    struct native_context *c = make(&policy);
    bool has_post_quantum = key_share_has(GROUP_X25519MLKEM768);

    assert_non_null(c);
    assert_int_equal(c->group_count, 3u + has_post_quantum);
    assert_int_equal(c->groups[0].code, has_post_quantum ? GROUP_X25519MLKEM768 : GROUP_X25519);
    assert_int_equal(c->groups[0].ends_tier, has_post_quantum);
    assert_int_equal(c->suite_count, 3);
    assert_true(c->tickets);
    native_context_free(c);
}

static void what_openssl_is_to_do_is_not_ours(void **state)
{
    struct tls_policy_options policy = plain_policy();

    policy.engine = TLS_ENGINE_OPENSSL;
    assert_null(make(&policy));
    policy = plain_policy();
    policy.records = TLS_RECORDS_OPENSSL;
    assert_null(make(&policy));
    policy = plain_policy();
    policy.versions_most = 0x0303;
    assert_null(make(&policy));
}

static void suites_are_found_by_their_number(void **state)
{
    assert_string_equal(suite_find(0x1301)->name, "TLS_AES_128_GCM_SHA256");
    assert_int_equal(suite_find(0x1302)->hash, HASH_SHA384);
    assert_int_equal(suite_find(0x1303)->aead, AEAD_CHACHA20_POLY1305);
    assert_null(suite_find(0x1304));
    assert_null(suite_find(0xc02b));
}

/* ---- Messages ---- */

static void expect_certificate(struct cursor *list, X509 *wanted)
{
    struct cursor der = cursor_vector(list, 3);
    uint8_t *again = NULL;
    int bytes = i2d_X509(wanted, &again);

    assert_true(bytes_equal(bytes_of(der.at, cursor_left(&der)), bytes_of(again, (size_t)bytes)));
    OPENSSL_free(again);
}

/* RFC 8446 4.4.2; returns the leaf's extensions. */
static struct bytes expect_message(struct bytes message)
{
    struct cursor m = cursor_of(message), body, context, list, extensions, none;

    assert_int_equal(cursor_u8(&m), HANDSHAKE_CERTIFICATE);
    body = cursor_vector(&m, 3);
    assert_int_equal(cursor_left(&m), 0);
    context = cursor_vector(&body, 1);
    assert_int_equal(cursor_left(&context), 0);
    list = cursor_vector(&body, 3);
    assert_int_equal(cursor_left(&body), 0);
    expect_certificate(&list, leaf.cert);
    extensions = cursor_vector(&list, 2);
    expect_certificate(&list, middle.cert);
    none = cursor_vector(&list, 2);
    assert_int_equal(cursor_left(&none), 0);
    assert_int_equal(cursor_left(&list), 0);
    assert_false(m.failed || body.failed || list.failed);
    return bytes_of(extensions.at, cursor_left(&extensions));
}

/* RFC 8879 4 */
static void expect_compressed(struct bytes compressed, enum compression how, struct bytes message)
{
    static uint8_t again[20000];
    struct cursor m = cursor_of(compressed), body, content;
    struct bytes plain = bytes_from(message, HANDSHAKE_HEADER);

    assert_int_equal(cursor_u8(&m), HANDSHAKE_COMPRESSED_CERTIFICATE);
    body = cursor_vector(&m, 3);
    assert_int_equal(cursor_left(&m), 0);
    assert_int_equal(cursor_u16(&body), how);
    assert_int_equal(cursor_u8(&body), plain.size >> 16);
    assert_int_equal(cursor_u16(&body), plain.size & 0xffff);
    content = cursor_vector(&body, 3);
    assert_false(m.failed || body.failed || content.failed || cursor_left(&body));
    assert_int_equal(undo_compression(how, bytes_of(content.at, cursor_left(&content)), again, sizeof again), plain.size);
    assert_memory_equal(again, plain.at, plain.size);
    assert_true(compressed.size < message.size);
}

static void every_variant_of_the_certificate_is_ready_plain_and_compressed(void **state)
{
    static const char staple[] = "\x00\x05\x00\x0c\x01\x00\x00\x08response", scts[] = "\x00\x12\x00\x06\x00\x04list";
    const struct tls_policy_options policy = plain_policy();
    struct tls_server_parts parts = { .policy = &policy, .leaf = leaf.cert, .chain = chain, .key = leaf.key,
                                      .staple = BYTES_LITERAL("response"), .scts = BYTES_LITERAL("\x00\x04list") };
    struct native_context *c = native_context_new(&parts, BYTES_NONE, NULL, NULL);

    assert_non_null(c);
    assert_true(c->has_staple && c->has_scts);
    for (unsigned variant = 0; variant < 4; variant++) {
        struct bytes plain = c->certificates[variant].as[COMPRESSION_NONE], extensions = expect_message(plain);

        if (variant & WITH_STAPLE) {
            assert_memory_equal(extensions.at, staple, sizeof staple - 1);
            extensions = bytes_from(extensions, sizeof staple - 1);
        }
        if (variant & WITH_SCTS) {
            assert_memory_equal(extensions.at, scts, sizeof scts - 1);
            extensions = bytes_from(extensions, sizeof scts - 1);
        }
        assert_int_equal(extensions.size, 0);
        for (enum compression how = COMPRESSION_ZLIB; how <= COMPRESSION_ZSTD; how++)
            expect_compressed(c->certificates[variant].as[how], how, plain);
    }
    native_context_free(c);
}

static void variants_are_made_only_of_what_there_is(void **state)
{
    const struct tls_policy_options policy = plain_policy();
    struct native_context *c = make(&policy);

    assert_non_null(c);
    assert_false(c->has_staple || c->has_scts);
    assert_true(c->certificates[0].as[COMPRESSION_NONE].size > 0);
    for (unsigned variant = 1; variant < 4; variant++)
        assert_int_equal(c->certificates[variant].as[COMPRESSION_NONE].size, 0);
    assert_int_equal(c->certificate_request.size, 0);
    native_context_free(c);
}

/* Of 64 KB, its length would wrap, and the handshake end in a message that nobody can read; of 21, the flight would have no room. */
static void a_staple_that_is_too_long_is_not_ours_to_send(void **state)
{
    static const struct {
        size_t bytes;
        bool is_ours;
    } staples[] = { { 16384, true }, { 21504, false }, { 65535, false }, { 65536, false } };
    static const uint8_t staple[65536];
    const struct tls_policy_options policy = plain_policy();

    for (size_t i = 0; i < COUNT_OF(staples); i++) {
        struct tls_server_parts parts = { .policy = &policy, .leaf = leaf.cert, .key = leaf.key, .staple = bytes_of(staple, staples[i].bytes) };
        struct native_context *c = native_context_new(&parts, BYTES_NONE, NULL, NULL);

        assert_int_equal(c != NULL, staples[i].is_ours);
        native_context_free(c);
    }
}

static void the_request_names_schemes_and_authorities(void **state)
{
    static const uint16_t schemes[] = { 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a,
                                        0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601 };
    struct tls_policy_options policy = plain_policy();
    struct tls_server_parts parts = { .policy = &policy, .leaf = leaf.cert, .chain = chain, .key = leaf.key };
    X509_STORE *roots = X509_STORE_new();
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    struct native_context *c;
    struct cursor m, body, extensions, content, list, name;
    const unsigned char *der;
    size_t bytes;

    policy.clients.certificate = TLS_CLIENT_OPTIONAL;
    policy.clients.ca.path = "ca.pem";
    sk_X509_NAME_push(names, X509_get_subject_name(root.cert));
    c = native_context_new(&parts, BYTES_NONE, roots, names);
    assert_non_null(c);
    m = cursor_of(c->certificate_request);
    assert_int_equal(cursor_u8(&m), HANDSHAKE_CERTIFICATE_REQUEST);
    body = cursor_vector(&m, 3);
    content = cursor_vector(&body, 1);
    assert_int_equal(cursor_left(&content), 0);
    extensions = cursor_vector(&body, 2);
    assert_int_equal(cursor_left(&m) + cursor_left(&body), 0);

    assert_int_equal(cursor_u16(&extensions), EXTENSION_SIGNATURE_ALGORITHMS);
    content = cursor_vector(&extensions, 2);
    list = cursor_vector(&content, 2);
    assert_int_equal(cursor_left(&content), 0);
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        assert_int_equal(cursor_u16(&list), schemes[i]);
    assert_int_equal(cursor_left(&list), 0);
    assert_int_equal(cursor_u16(&extensions), EXTENSION_CERTIFICATE_AUTHORITIES);
    content = cursor_vector(&extensions, 2);
    list = cursor_vector(&content, 2);
    name = cursor_vector(&list, 2);
    assert_int_equal(X509_NAME_get0_der(X509_get_subject_name(root.cert), &der, &bytes), 1);
    assert_true(bytes_equal(bytes_of(name.at, cursor_left(&name)), bytes_of(der, bytes)));
    assert_int_equal(cursor_left(&list) + cursor_left(&content) + cursor_left(&extensions), 0);
    assert_false(m.failed || body.failed || extensions.failed || content.failed || list.failed);
    native_context_free(c);
    sk_X509_NAME_free(names);
    X509_STORE_free(roots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_numbers_in_their_order),
        cmocka_unit_test(left_to_itself_it_has_what_is_common_the_post_quantum_group_first),
        cmocka_unit_test(what_openssl_is_to_do_is_not_ours),
        cmocka_unit_test(suites_are_found_by_their_number),
        cmocka_unit_test(every_variant_of_the_certificate_is_ready_plain_and_compressed),
        cmocka_unit_test(variants_are_made_only_of_what_there_is),
        cmocka_unit_test(a_staple_that_is_too_long_is_not_ours_to_send),
        cmocka_unit_test(the_request_names_schemes_and_authorities),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
