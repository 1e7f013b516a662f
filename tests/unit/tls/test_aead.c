#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "tls/aead.h"

enum { CONNECTIONS = 5 };

/* One direction of a connection: its own key, and the number that its nonce is made of. */
struct direction {
    struct aead_holder holder;
    uint8_t key[AEAD_KEY_MOST], nonce[AEAD_NONCE];
    enum aead aead;
};

static struct direction direction_of(int connection, enum aead aead)
{
    struct direction d = { .aead = aead };

    memset(d.key, 'A' + connection, sizeof d.key);
    return d;
}

static int seal(struct aead_cache *cache, struct direction *d, const char *text, uint8_t *out, uint8_t *tag)
{
    struct aead_job job = { .key = d->key, .aead = (uint8_t)d->aead, .is_sealing = true, .nonce = d->nonce,
                            .data = BYTES_LITERAL("header"), .in = bytes_of_text(text), .tail = '!', .out = out, .tag = tag };
    int error = aead_run(cache, &d->holder, &job);

    d->nonce[0]++;
    return error;
}

static int open_it(struct aead_cache *cache, struct direction *d, uint8_t *in, size_t size, uint8_t *out, uint8_t *tag)
{
    struct aead_job job = { .key = d->key, .aead = (uint8_t)d->aead, .nonce = d->nonce, .data = BYTES_LITERAL("header"),
                            .in = bytes_of(in, size), .tail = -1, .out = out, .tag = tag };
    int error = aead_run(cache, &d->holder, &job);

    d->nonce[0]++;
    return error;
}

static void expect_passes(struct aead_cache *cache, struct direction *sealing, struct direction *opening, const char *text)
{
    uint8_t sealed[64], opened[64], tag[AEAD_TAG];
    size_t size = strlen(text) + 1;

    assert_int_equal(seal(cache, sealing, text, sealed, tag), 0);
    assert_int_equal(open_it(cache, opening, sealed, size, opened, tag), 0);
    assert_memory_equal(opened, text, size - 1);
    assert_int_equal(opened[size - 1], '!');
}

/* However few contexts there are, everybody's records are right; holders that lost theirs know it. */
static void few_contexts_serve_many_connections(void **state)
{
    for (unsigned most = 1; most <= 12; most++) {
        struct aead_cache *cache = aead_cache_new(most);
        struct direction sealing[CONNECTIONS], opening[CONNECTIONS];

        for (int i = 0; i < CONNECTIONS; i++) {
            sealing[i] = direction_of(i, (enum aead)(AEAD_AES_128_GCM + i % 3));
            opening[i] = sealing[i];
        }
        for (int round = 0; round < 40; round++) {
            int i = (round * 7 + round / 5) % CONNECTIONS;
            unsigned held = 0;

            expect_passes(cache, &sealing[i], &opening[i], "what is said");
            for (int j = 0; j < CONNECTIONS; j++)
                held += (sealing[j].holder.context != NULL) + (opening[j].holder.context != NULL);
            assert_true(held <= most);
        }
        for (int i = 0; i < CONNECTIONS; i++) {
            aead_release(cache, &sealing[i].holder);
            aead_release(cache, &opening[i].holder);
            assert_null(sealing[i].holder.context);
        }
        aead_cache_free(cache);
    }
}

static void the_least_recently_used_one_changes_hands(void **state)
{
    struct aead_cache *cache = aead_cache_new(2);
    struct direction d[3] = { direction_of(0, AEAD_AES_128_GCM), direction_of(1, AEAD_AES_128_GCM),
                              direction_of(2, AEAD_AES_128_GCM) };
    uint8_t out[32], tag[AEAD_TAG];

    assert_int_equal(seal(cache, &d[0], "a", out, tag), 0);
    assert_int_equal(seal(cache, &d[1], "b", out, tag), 0);
    assert_int_equal(seal(cache, &d[0], "c", out, tag), 0);
    assert_int_equal(seal(cache, &d[2], "d", out, tag), 0);
    assert_non_null(d[0].holder.context);
    assert_null(d[1].holder.context);
    assert_non_null(d[2].holder.context);
    aead_release(cache, &d[1].holder); /* holds none: nothing happens */
    assert_int_equal(seal(cache, &d[2], "e", out, tag), 0);
    aead_release(cache, &d[0].holder);
    assert_int_equal(seal(cache, &d[1], "f", out, tag), 0); /* takes the free one */
    assert_non_null(d[2].holder.context);
    aead_release(cache, &d[1].holder);
    aead_release(cache, &d[2].holder);
    aead_cache_free(cache);
}

static void count(void *calls)
{
    ++*(unsigned *)calls;
}

static void what_was_not_used_between_two_sweeps_is_freed(void **state)
{
    struct aead_cache *cache = aead_cache_new(8);
    struct direction d[4], other[4];
    unsigned calls = 0;

    for (int i = 0; i < 4; i++) {
        d[i] = direction_of(i, (enum aead)(AEAD_AES_128_GCM + i % 3));
        other[i] = d[i];
    }
    aead_cache_on_first(cache, count, &calls);
    assert_int_equal(aead_cache_sweep(cache), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            expect_passes(cache, &d[i], &other[i], "traffic");
        assert_int_equal(calls, round + 1); /* with the first context alone */
        assert_int_equal(aead_cache_sweep(cache), 8);
        expect_passes(cache, &d[1], &other[1], "more of it");
        expect_passes(cache, &d[3], &other[3], "more of it");
        aead_release(cache, &other[3].holder);
        assert_int_equal(aead_cache_sweep(cache), 4); /* one of them is free */
        for (int i = 0; i < 4; i++) {
            assert_int_equal(d[i].holder.context != NULL, i % 2);
            assert_int_equal(other[i].holder.context != NULL, i == 1);
        }
        expect_passes(cache, &d[1], &other[1], "still the same key");
        assert_int_equal(aead_cache_sweep(cache), 2);
        assert_int_equal(aead_cache_sweep(cache), 0);
        assert_int_equal(calls, round + 1);
        for (int i = 0; i < 4; i++)
            assert_true(!d[i].holder.context && !other[i].holder.context);
    }
    aead_cache_free(cache);
}

/* Who releases begins with another key, as KeyUpdate does. */
static void a_released_holder_takes_another_key(void **state)
{
    struct aead_cache *cache = aead_cache_new(2);
    struct direction one = direction_of(0, AEAD_AES_256_GCM), other = one;

    expect_passes(cache, &one, &other, "before");
    aead_release(cache, &one.holder);
    aead_release(cache, &other.holder);
    memset(one.key, 'x', sizeof one.key);
    memset(other.key, 'x', sizeof other.key);
    expect_passes(cache, &one, &other, "behind");
    one.key[0] = 'y'; /* not seen: the holder has its context */
    expect_passes(cache, &one, &other, "still");
    aead_release(cache, &one.holder);
    aead_release(cache, &other.holder);
    aead_cache_free(cache);
}

static void what_does_not_fit_its_tag_is_wiped(void **state)
{
    for (enum aead aead = AEAD_AES_128_GCM; aead <= AEAD_CHACHA20_POLY1305; aead++)
        for (int in_place = 0; in_place < 2; in_place++) {
            struct aead_cache *cache = aead_cache_new(4);
            struct direction one = direction_of(0, aead), other = one;
            uint8_t sealed[16], opened[16], tag[AEAD_TAG], *out = in_place ? sealed : opened;

            assert_int_equal(seal(cache, &one, "secret", sealed, tag), 0);
            tag[15] ^= 1;
            memset(opened, 0xee, sizeof opened);
            sealed[7] = 0xee;
            assert_int_equal(open_it(cache, &other, sealed, 7, out, tag), -E_TLS);
            for (int i = 0; i < 7; i++)
                assert_int_equal(out[i], 0);
            assert_int_equal(out[7], 0xee);
            aead_release(cache, &one.holder);
            aead_release(cache, &other.holder);
            aead_cache_free(cache);
        }
}

static void nothing_but_associated_data_has_a_tag_too(void **state)
{
    for (enum aead aead = AEAD_AES_128_GCM; aead <= AEAD_CHACHA20_POLY1305; aead++) {
        struct aead_cache *cache = aead_cache_new(4);
        struct direction one = direction_of(0, aead), other = one;
        uint8_t tag[AEAD_TAG], none[1];
        struct aead_job job = { .key = one.key, .aead = (uint8_t)aead, .is_sealing = true, .nonce = one.nonce,
                                .data = BYTES_LITERAL("header"), .in = bytes_of(none, 0), .tail = -1, .out = none, .tag = tag };

        assert_int_equal(aead_run(cache, &one.holder, &job), 0);
        assert_int_equal(open_it(cache, &other, none, 0, none, tag), 0);
        other.nonce[0]--;
        tag[0] ^= 1;
        assert_int_equal(open_it(cache, &other, none, 0, none, tag), -E_TLS);
        aead_release(cache, &one.holder);
        aead_release(cache, &other.holder);
        aead_cache_free(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_contexts_serve_many_connections),
        cmocka_unit_test(the_least_recently_used_one_changes_hands),
        cmocka_unit_test(what_was_not_used_between_two_sweeps_is_freed),
        cmocka_unit_test(a_released_holder_takes_another_key),
        cmocka_unit_test(what_does_not_fit_its_tag_is_wiped),
        cmocka_unit_test(nothing_but_associated_data_has_a_tag_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
