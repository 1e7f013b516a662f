/* test_key_share.c: our side of each group against OpenSSL as the client, alone and in batches, and what is no share. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "tls/batch_inside.h"
#include "tls/key_share.h"
#include "tls/multi_buffer.h"
#include "tls/random.h"
#include "hex.h"
#include "soft_lanes.h"

enum { CLIENT_MOST = 1216, AT_A_TIME = 40 };

/* ---- The other side ---- */

struct client {
    struct key_agreement a;
    EVP_PKEY *first, *second; /* the second: X25519 of the hybrid */
    uint8_t share[CLIENT_MOST];
    bool done;
};

static void note(struct batch_job *job)
{
    struct client *c = CONTAINER_OF(job, struct client, a.job);

    assert_false(c->done);
    c->done = true;
}

static size_t add_raw(EVP_PKEY *key, uint8_t *out)
{
    size_t size = CLIENT_MOST;

    assert_non_null(key);
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, out, &size), 1);
    return size;
}

static size_t add_point(EVP_PKEY *key, uint8_t *out)
{
    unsigned char *point = NULL;
    size_t size = EVP_PKEY_get1_encoded_public_key(key, &point);

    memcpy(out, point, size);
    OPENSSL_free(point);
    return size;
}

static void client_begin(struct client *c, uint16_t group)
{
    size_t size;

    memset(c, 0, sizeof *c);
    switch (group) {
    case GROUP_X25519:
        size = add_raw(c->first = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), c->share);
        break;
    case GROUP_X25519MLKEM768:
        size = add_raw(c->first = EVP_PKEY_Q_keygen(NULL, NULL, "ML-KEM-768"), c->share);
        size += add_raw(c->second = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), c->share + size);
        break;
    default:
        size = add_point(c->first = EVP_EC_gen(group == GROUP_P256 ? "P-256" : "P-384"), c->share);
    }
    assert_int_equal(size, key_share_client_bytes(group));
    c->a.group = group;
    c->a.client_share = bytes_of(c->share, size);
    c->a.job.done = note;
}

static void derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t *out, size_t size)
{
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new(own, NULL);

    assert_int_equal(EVP_PKEY_derive_init(d), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(d, peer), 1);
    assert_int_equal(EVP_PKEY_derive(d, out, &size), 1);
    EVP_PKEY_CTX_free(d);
    EVP_PKEY_free(peer);
}

static void derive_x25519(EVP_PKEY *own, const uint8_t *share, uint8_t *out)
{
    derive(own, EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, share, 32), out, 32);
}

static void decapsulate(EVP_PKEY *own, const uint8_t *share, uint8_t *out)
{
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new(own, NULL);
    size_t size = 32;

    assert_int_equal(EVP_PKEY_decapsulate_init(d, NULL), 1);
    assert_int_equal(EVP_PKEY_decapsulate(d, out, &size, share, 1088), 1);
    EVP_PKEY_CTX_free(d);
}

/* Both have the same secret. */
static void client_check(struct client *c)
{
    struct key_agreement *a = &c->a;
    uint8_t secret[KEY_SECRET_MOST] = { 0 };
    EVP_PKEY *peer;

    assert_true(c->done);
    assert_int_equal(a->error, 0);
    assert_int_equal(a->share_bytes, key_share_server_bytes(a->group));
    assert_int_equal(a->secret_bytes, key_share_secret_bytes(a->group));
    switch (a->group) {
    case GROUP_X25519:
        derive_x25519(c->first, a->share, secret);
        break;
    case GROUP_X25519MLKEM768:
        decapsulate(c->first, a->share, secret);
        derive_x25519(c->second, a->share + 1088, secret + 32);
        break;
    default:
        peer = EVP_PKEY_new();
        assert_int_equal(EVP_PKEY_copy_parameters(peer, c->first), 1);
        assert_int_equal(EVP_PKEY_set1_encoded_public_key(peer, a->share, a->share_bytes), 1);
        derive(c->first, peer, secret, a->secret_bytes);
    }
    assert_memory_equal(a->secret, secret, a->secret_bytes);
}

static void client_end(struct client *c)
{
    static const uint8_t zeros[32];

    assert_memory_equal(c->a.private_key, zeros, sizeof zeros); /* once it is done, it is gone */
    EVP_PKEY_free(c->first);
    EVP_PKEY_free(c->second);
    key_agreement_wipe(&c->a);
}

static const uint16_t all_groups[] = { GROUP_X25519, GROUP_P256, GROUP_P384, GROUP_X25519MLKEM768 };

static void each_group_agrees_with_openssl(void **state)
{
    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(all_groups); i++) {
            struct client c;

            if (!key_share_has(all_groups[i]))
                continue;
            client_begin(&c, all_groups[i]);
            key_agreement_start(b, &c.a);
            assert_false(c.done);
            assert_false(batch_is_empty(b));
            batch_run(b);
            assert_true(batch_is_empty(b));
            client_check(&c);
            client_end(&c);
        }
    }
}

static void batches_of_any_size_and_mixture_agree(void **state)
{
    static struct client clients[20];

    (void)state;
    EACH_WAY(b) {
        for (unsigned count = 1; count <= COUNT_OF(clients); count++) {
            for (unsigned i = 0; i < count; i++) {
                uint16_t group = i % 5 == 3 ? GROUP_P256 : i % 7 == 5 ? GROUP_X25519MLKEM768 : GROUP_X25519;

                client_begin(&clients[i], key_share_has(group) ? group : GROUP_P384);
                key_agreement_start(b, &clients[i].a);
            }
            batch_run(b);
            for (unsigned i = 0; i < count; i++) {
                client_check(&clients[i]);
                client_end(&clients[i]);
            }
        }
    }
}

static void no_key_pair_is_used_twice(void **state)
{
    static struct client clients[AT_A_TIME];

    (void)state;
    EACH_WAY(b) {
        for (unsigned i = 0; i < AT_A_TIME; i++) {
            client_begin(&clients[i], GROUP_X25519);
            key_agreement_start(b, &clients[i].a);
            if (i % 3 == 0)
                batch_run(b);
        }
        batch_run(b);
        for (unsigned i = 0; i < AT_A_TIME; i++)
            for (unsigned j = 0; j < i; j++)
                assert_memory_not_equal(clients[i].a.share, clients[j].a.share, 32);
        for (unsigned i = 0; i < AT_A_TIME; i++) {
            client_check(&clients[i]);
            client_end(&clients[i]);
        }
    }
}

/* ---- What is no share ---- */

static int error_for(struct batch *b, uint16_t group, const void *share, size_t size)
{
    static const uint8_t zeros[KEY_SECRET_MOST];
    struct client c = { .a = { .group = group, .client_share = bytes_of(share, size), .job.done = note } };

    key_agreement_start(b, &c.a);
    batch_run(b);
    assert_true(c.done);
    if (c.a.error)
        assert_memory_equal(c.a.secret, zeros, sizeof zeros);
    assert_int_equal(ERR_peek_error(), 0);
    return c.a.error;
}

static void shares_of_a_wrong_size_are_refused(void **state)
{
    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(all_groups); i++) {
            struct client c;
            uint8_t longer[CLIENT_MOST + 1] = { 0 };

            if (!key_share_has(all_groups[i]))
                continue;
            client_begin(&c, all_groups[i]);
            memcpy(longer, c.share, c.a.client_share.size);
            assert_int_equal(error_for(b, all_groups[i], longer, c.a.client_share.size + 1), -E_TLS);
            assert_int_equal(error_for(b, all_groups[i], longer, c.a.client_share.size - 1), -E_TLS);
            assert_int_equal(error_for(b, all_groups[i], longer, 1), -E_TLS);
            assert_int_equal(error_for(b, all_groups[i], NULL, 0), -E_TLS);
            assert_int_equal(error_for(b, all_groups[i], longer, c.a.client_share.size), 0);
            client_end(&c);
        }
    }
}

/* The points of small order of Curve25519 and its twist, canonical or not, with the high bit, which counts for nothing, clear and set
 * (RFC 7748 5 and 6.1; the list is that of https://cr.yp.to/ecdh.html#validate). */
static const char *const small_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000", /* 0 */
    "0100000000000000000000000000000000000000000000000000000000000000", /* 1 */
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", /* order 8 */
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", /* order 8 */
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p + 1 */
};

static void points_of_small_order_are_refused(void **state)
{
    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(small_order); i++) {
            struct unhexed point = unhex(small_order[i]);

            assert_int_equal(error_for(b, GROUP_X25519, point.at, 32), -E_TLS);
            point.at[31] |= 0x80;
            assert_int_equal(error_for(b, GROUP_X25519, point.at, 32), -E_TLS);
        }
    }
}

static void a_bad_point_in_a_batch_spoils_no_other(void **state)
{
    static struct client clients[LANES];

    (void)state;
    EACH_WAY(b) {
        for (unsigned i = 0; i < LANES; i++) {
            client_begin(&clients[i], GROUP_X25519);
            if (i % 2)
                memcpy(clients[i].share, unhex(small_order[i % COUNT_OF(small_order)]).at, 32);
            key_agreement_start(b, &clients[i].a);
        }
        batch_run(b);
        for (unsigned i = 0; i < LANES; i++) {
            if (i % 2)
                assert_int_equal(clients[i].a.error, -E_TLS);
            else
                client_check(&clients[i]);
            client_end(&clients[i]);
        }
    }
}

/* All of them in one call's worth of requests: the library alone would take p - 1 for an ordinary point. */
static void points_of_small_order_are_refused_when_many_come_together(void **state)
{
    static struct client clients[2 * COUNT_OF(small_order)];

    (void)state;
    EACH_WAY(b) {
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            client_begin(&clients[i], GROUP_X25519);
            memcpy(clients[i].share, unhex(small_order[i / 2]).at, 32);
            clients[i].share[31] |= (uint8_t)(i % 2 << 7);
            key_agreement_start(b, &clients[i].a);
        }
        batch_run(b);
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            assert_true(clients[i].done);
            assert_int_equal(clients[i].a.error, -E_TLS);
            client_end(&clients[i]);
        }
    }
}

/* Where the library loses a carry; each of these gave a wrong result, or is a neighbour of one that did. */
static void coordinates_that_the_library_errs_at_are_not_given_to_it(void **state)
{
    static const char *const coordinates[] = {
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "cafcffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffff1f0000000000000000000000000000000000000080",
        "000000000000000000000000000000000000feffffffffff0700000000000000",
        "00000000000000000000ffffffffffffffffffffff0300000000000000000000",
        "8cffffffffffffffffffff6fffffffffffffffffffffffffffffffffffffff7f",
        "ff00000000000000000000c0ffffffffffffffffffffffffffffffffffffffff",
    };
    struct batch *b = batch_new(&soft_lanes);
    struct client c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(coordinates); i++)
        assert_false(x25519_is_ordinary(unhex(coordinates[i]).at));
    client_begin(&c, GROUP_X25519);
    memcpy(c.share, unhex(coordinates[1]).at, 32);
    key_agreement_start(b, &c.a);
    assert_int_equal(b->keys.left, 0);
    batch_run(b);
    assert_int_equal(c.a.error, 0);
    assert_int_equal(batch_counts(b, BATCH_X25519)->singly, 1);
    client_end(&c);
    batch_free(b);
}

static void nearly_all_honest_coordinates_are_ordinary(void **state)
{
    unsigned odd = 0;
    uint8_t coordinate[32];

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(random_bytes(coordinate, sizeof coordinate), 0);
        odd += !x25519_is_ordinary(coordinate);
    }
    assert_in_range(odd, 0, 40); /* 3 are expected */
}

/* Both halves of a hybrid count. */
static void a_hybrid_with_one_bad_half_is_refused(void **state)
{
    (void)state;
    if (!key_share_has(GROUP_X25519MLKEM768)) {
        assert_true(OpenSSL_version_num() < 0x30500000L);
        return;
    }
    EACH_WAY(b) {
        struct client c;
        uint8_t share[CLIENT_MOST];

        client_begin(&c, GROUP_X25519MLKEM768);
        memcpy(share, c.share, sizeof share);
        memset(share + 1184, 0, 32);
        assert_int_equal(error_for(b, GROUP_X25519MLKEM768, share, sizeof share), -E_TLS);
        memcpy(share, c.share, sizeof share);
        share[0] = 0xff; /* a coefficient of 4095, above q (FIPS 203 7.2) */
        share[1] |= 0x0f;
        assert_int_equal(error_for(b, GROUP_X25519MLKEM768, share, sizeof share), -E_TLS);
        assert_int_equal(error_for(b, GROUP_X25519MLKEM768, c.share, sizeof share), 0);
        client_end(&c);
    }
}

/* Above p, a coordinate stands for the same point as what is left of it (RFC 7748 5): the secret is that of the canonical one. */
static void coordinates_that_are_not_canonical_are_reduced(void **state)
{
    static struct client clients[4];

    (void)state;
    EACH_WAY(b) {
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            client_begin(&clients[i], GROUP_X25519);
            clients[i].share[31] |= 0x80;
            key_agreement_start(b, &clients[i].a);
        }
        batch_run(b);
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            client_check(&clients[i]);
            client_end(&clients[i]);
        }
        /* p + 3 and 3 (which is on the twist, as many are): neither is refused. */
        assert_int_equal(error_for(b, GROUP_X25519, UNHEX("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")->at, 32), 0);
        assert_int_equal(error_for(b, GROUP_X25519, UNHEX("0300000000000000000000000000000000000000000000000000000000000000")->at, 32), 0);
    }
}

static void points_off_the_curve_are_refused(void **state)
{
    static const uint16_t curves[] = { GROUP_P256, GROUP_P384 };

    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(curves); i++) {
            struct client c;
            uint8_t point[97], zeros[97] = { 4 };
            size_t size = key_share_client_bytes(curves[i]);

            client_begin(&c, curves[i]);
            memcpy(point, c.share, size);
            point[size - 1] ^= 1;
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            memcpy(point, c.share, size);
            point[1] ^= 0x80;
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            assert_int_equal(error_for(b, curves[i], zeros, size), -E_TLS); /* (0, 0) */
            memset(point + 1, 0xff, size - 1); /* coordinates above p */
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            client_end(&c);
        }
    }
}

/* RFC 8446 4.2.8.2: "uncompressed" alone. */
static void points_in_another_form_are_refused(void **state)
{
    static const uint16_t curves[] = { GROUP_P256, GROUP_P384 };

    (void)state;
    EACH_WAY(b) {
        for (size_t i = 0; i < COUNT_OF(curves); i++) {
            struct client c;
            uint8_t point[97];
            size_t size = key_share_client_bytes(curves[i]);

            client_begin(&c, curves[i]);
            memcpy(point, c.share, size);
            point[0] = (uint8_t)(2 + (point[size - 1] & 1)); /* compressed */
            assert_int_equal(error_for(b, curves[i], point, 1 + size / 2), -E_TLS);
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            point[0] = (uint8_t)(6 + (point[size - 1] & 1)); /* hybrid */
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            point[0] = 0; /* at infinity */
            assert_int_equal(error_for(b, curves[i], point, 1), -E_TLS);
            assert_int_equal(error_for(b, curves[i], point, size), -E_TLS);
            client_end(&c);
        }
    }
}

/* ---- Pools ---- */

static void what_was_used_is_wiped_from_the_pool(void **state)
{
    static const uint8_t zeros[32];
    struct batch *b = batch_new(&soft_lanes);
    struct client c;

    (void)state;
    for (unsigned used = 1; used <= LANES; used++) {
        client_begin(&c, GROUP_X25519);
        key_agreement_start(b, &c.a);
        assert_int_equal(b->keys.left, LANES - used);
        assert_memory_equal(b->keys.private_keys[b->keys.left], zeros, 32);
        batch_run(b);
        client_end(&c);
    }
    batch_free(b);
}

static void cancelled_requests_are_not_done_and_leave_nothing(void **state)
{
    static const struct key_agreement nothing;
    static struct client clients[5];

    (void)state;
    EACH_WAY(b) {
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            client_begin(&clients[i], GROUP_X25519);
            key_agreement_start(b, &clients[i].a);
        }
        for (unsigned i = 0; i < COUNT_OF(clients); i += 2) {
            key_agreement_wipe(&clients[i].a);
            assert_memory_equal(&clients[i].a, &nothing, sizeof nothing);
        }
        batch_run(b);
        for (unsigned i = 0; i < COUNT_OF(clients); i++) {
            assert_int_equal(clients[i].done, i % 2);
            if (i % 2)
                client_check(&clients[i]);
            client_end(&clients[i]);
        }
    }
}

static void *shared_memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

/* The child of a fork has none of the key pairs that its parent has. */
static void a_forked_process_makes_key_pairs_of_its_own(void **state)
{
    (void)state;
    EACH_WAY(b) {
        static struct client clients[LANES + 1];
        uint8_t (*theirs)[32] = shared_memory(LANES * sizeof *theirs);
        int status;
        pid_t child;

        client_begin(&clients[LANES], GROUP_X25519);
        key_agreement_start(b, &clients[LANES].a); /* the pool is full but for one */
        batch_run(b);
        client_end(&clients[LANES]);
        if ((child = fork()) == 0) {
            for (unsigned i = 0; i < LANES; i++) {
                client_begin(&clients[i], GROUP_X25519);
                key_agreement_start(b, &clients[i].a);
                memcpy(theirs[i], clients[i].a.share, 32);
            }
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        for (unsigned i = 0; i < LANES; i++) {
            client_begin(&clients[i], GROUP_X25519);
            key_agreement_start(b, &clients[i].a);
            batch_run(b);
            for (unsigned j = 0; j < LANES; j++)
                assert_memory_not_equal(clients[i].a.share, theirs[j], 32);
            client_end(&clients[i]);
        }
        munmap(theirs, LANES * sizeof *theirs);
    }
}

static void sizes_are_those_of_the_groups(void **state)
{
    (void)state;
    assert_int_equal(key_share_client_bytes(GROUP_X25519MLKEM768), 1216);
    assert_int_equal(key_share_server_bytes(GROUP_X25519MLKEM768), KEY_SHARE_MOST);
    assert_int_equal(key_share_secret_bytes(GROUP_X25519MLKEM768), KEY_SECRET_MOST);
    assert_int_equal(key_share_client_bytes(0x6a6a), 0); /* GREASE */
    assert_false(key_share_has(0x6a6a));
    assert_true(key_share_has(GROUP_P384));
    assert_int_equal(key_share_has(GROUP_X25519MLKEM768), OpenSSL_version_num() >= 0x30500000L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_group_agrees_with_openssl),
        cmocka_unit_test(batches_of_any_size_and_mixture_agree),
        cmocka_unit_test(no_key_pair_is_used_twice),
        cmocka_unit_test(shares_of_a_wrong_size_are_refused),
        cmocka_unit_test(points_of_small_order_are_refused),
        cmocka_unit_test(a_bad_point_in_a_batch_spoils_no_other),
        cmocka_unit_test(points_of_small_order_are_refused_when_many_come_together),
        cmocka_unit_test(coordinates_that_the_library_errs_at_are_not_given_to_it),
        cmocka_unit_test(nearly_all_honest_coordinates_are_ordinary),
        cmocka_unit_test(a_hybrid_with_one_bad_half_is_refused),
        cmocka_unit_test(coordinates_that_are_not_canonical_are_reduced),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(points_in_another_form_are_refused),
        cmocka_unit_test(what_was_used_is_wiped_from_the_pool),
        cmocka_unit_test(cancelled_requests_are_not_done_and_leave_nothing),
        cmocka_unit_test(a_forked_process_makes_key_pairs_of_its_own),
        cmocka_unit_test(sizes_are_those_of_the_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
