#include "tls/hex.h"
#include "tls/rfc8448.h"
#include "tls/traffic_keys.h"
#include "tls/vectors.h"

static void put(uint8_t *to, const char *hex)
{
    struct unhexed from = unhex(hex);

    memcpy(to, from.at, from.size);
}

/* ---- TLS 1.3 ---- */

static void keys_of_1_3_come_from_the_secrets_as_in_rfc_8448(void **state)
{
    struct traffic_keys keys = { .version = 0x0304, .aead = AEAD_AES_128_GCM, .secret_bytes = 32,
                                 .read.sequence = 3, .write.sequence = 4 };

    put(keys.read.secret, RFC8448_CLIENT_SECRET);
    put(keys.write.secret, RFC8448_SERVER_SECRET);
    assert_int_equal(traffic_keys_expand(&keys), 0);
    assert_bytes(keys.read.key, 16, RFC8448_CLIENT_KEY);
    assert_bytes(keys.read.iv, 12, RFC8448_CLIENT_IV);
    assert_bytes(keys.write.key, 16, RFC8448_SERVER_KEY);
    assert_bytes(keys.write.iv, 12, RFC8448_SERVER_IV);
    assert_int_equal(keys.read.sequence, 3); /* the caller's */
    assert_int_equal(keys.write.sequence, 4);

    put(keys.write.secret, RFC8448_EARLY_SECRET);
    assert_int_equal(traffic_keys_expand(&keys), 0);
    assert_bytes(keys.write.key, 16, RFC8448_EARLY_KEY);
    assert_bytes(keys.write.iv, 12, RFC8448_EARLY_IV);
}

struct generation {
    const char *secret, *key, *iv;
};

#define GENERATION(suite, n) { suite##_13_##n##_SECRET, suite##_13_##n##_KEY, suite##_13_##n##_IV }
#define GENERATIONS(suite) { GENERATION(suite, 0), GENERATION(suite, 1), GENERATION(suite, 2) }

static const struct suite {
    enum aead aead;
    uint8_t secret_bytes, key_bytes;
    struct generation generations[3];
} suites[] = {
    { AEAD_AES_128_GCM, 32, 16, GENERATIONS(AES_128_GCM) },
    { AEAD_AES_256_GCM, 48, 32, GENERATIONS(AES_256_GCM) },
    { AEAD_CHACHA20_POLY1305, 32, 32, GENERATIONS(CHACHA20) },
};

static void assert_generation(const struct suite *s, const struct traffic_key *key, int generation)
{
    const struct generation *g = &s->generations[generation];

    assert_bytes(key->secret, s->secret_bytes, g->secret);
    assert_bytes(key->key, s->key_bytes, g->key);
    assert_bytes(key->iv, AEAD_NONCE, g->iv);
}

static void a_key_update_gives_the_next_generation_of_one_direction_and_counts_anew(void **state)
{
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        const struct suite *s = &suites[i];
        struct traffic_keys keys = { .version = 0x0304, .aead = s->aead, .secret_bytes = s->secret_bytes };

        put(keys.read.secret, s->generations[0].secret);
        put(keys.write.secret, s->generations[0].secret);
        assert_int_equal(traffic_keys_expand(&keys), 0);
        assert_generation(s, &keys.read, 0);
        assert_generation(s, &keys.write, 0);
        for (int generation = 1; generation < 3; generation++) {
            keys.read.sequence = keys.write.sequence = 99;
            assert_int_equal(traffic_key_update(&keys, &keys.read), 0);
            assert_generation(s, &keys.read, generation);
            assert_int_equal(keys.read.sequence, 0);
            assert_generation(s, &keys.write, 0);
            assert_int_equal(keys.write.sequence, 99);
        }
    }
}

/* ---- TLS 1.2 ---- */

static const struct old_suite {
    enum aead aead;
    uint8_t secret_bytes;
    bool is_explicit;
    const char *master, *client_random, *server_random, *client_key, *server_key, *client_iv, *server_iv;
} old_suites[] = {
#define OLD(aead, hash, is_explicit, suite) \
    { aead, hash, is_explicit, suite##_12_MASTER, suite##_12_CLIENT_RANDOM, suite##_12_SERVER_RANDOM, \
      suite##_12_CLIENT_KEY, suite##_12_SERVER_KEY, suite##_12_CLIENT_IV, suite##_12_SERVER_IV }
    OLD(AEAD_AES_128_GCM, 32, true, AES_128_GCM),
    OLD(AEAD_AES_256_GCM, 48, true, AES_256_GCM),
    OLD(AEAD_CHACHA20_POLY1305, 32, false, CHACHA20),
};

static void keys_of_1_2_come_from_master_secret_and_randoms_for_either_side(void **state)
{
    for (size_t i = 0; i < sizeof old_suites / sizeof old_suites[0]; i++)
        for (int is_client = 0; is_client < 2; is_client++) {
            const struct old_suite *s = &old_suites[i];
            struct unhexed master = unhex(s->master), client = unhex(s->client_random), server = unhex(s->server_random);
            struct traffic_keys keys = { .version = 0x0303, .aead = s->aead, .secret_bytes = s->secret_bytes };
            const struct traffic_key *of_client = is_client ? &keys.write : &keys.read;
            const struct traffic_key *of_server = is_client ? &keys.read : &keys.write;
            size_t key_bytes = aead_key_bytes(s->aead), iv_bytes = s->is_explicit ? 4 : 12;

            assert_int_equal(traffic_keys_are_explicit(&keys), s->is_explicit);
            assert_int_equal(traffic_keys_expand_master(&keys, bytes_of(master.at, 48), bytes_of(client.at, 32),
                                                        bytes_of(server.at, 32), is_client), 0);
            assert_bytes(of_client->key, key_bytes, s->client_key);
            assert_bytes(of_server->key, key_bytes, s->server_key);
            assert_bytes(of_client->iv, iv_bytes, s->client_iv);
            assert_bytes(of_server->iv, iv_bytes, s->server_iv);
        }
}

static void wiped_is_all_of_it(void **state)
{
    struct traffic_keys keys, nothing = { 0 };

    memset(&keys, 0xa5, sizeof keys);
    traffic_keys_wipe(&keys);
    assert_memory_equal(&keys, &nothing, sizeof keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_1_3_come_from_the_secrets_as_in_rfc_8448),
        cmocka_unit_test(a_key_update_gives_the_next_generation_of_one_direction_and_counts_anew),
        cmocka_unit_test(keys_of_1_2_come_from_master_secret_and_randoms_for_either_side),
        cmocka_unit_test(wiped_is_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
