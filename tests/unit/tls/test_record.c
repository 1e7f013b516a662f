#include "tls/hex.h"
#include "tls/record.h"
#include "tls/rfc8448.h"
#include "tls/vectors.h"

static struct aead_cache *cache;

static int set_up(void **state)
{
    cache = aead_cache_new(8);
    assert_non_null(cache);
    return 0;
}

static int tear_down(void **state)
{
    aead_cache_free(cache);
    return 0;
}

static struct record_keys keys_of(uint16_t version, enum aead aead, bool is_sealing, const char *key, const char *iv)
{
    struct record_keys keys = { .version = version, .aead = (uint8_t)aead, .is_sealing = is_sealing };
    struct unhexed key_bytes = unhex(key), iv_bytes = unhex(iv);

    memcpy(keys.key.key, key_bytes.at, key_bytes.size);
    memcpy(keys.key.iv, iv_bytes.at, iv_bytes.size);
    return keys;
}

/* Seals beside the plaintext and in its place; both must be the record that is wanted. */
static void assert_seals(struct record_keys keys, enum content_type type, struct bytes plain, const char *wanted)
{
    for (int in_place = 0; in_place < 2; in_place++) {
        struct record_keys k = keys;
        uint8_t out[512] = { 0 };
        size_t size = plain.size + record_overhead(&k);

        if (in_place) {
            if (plain.size)
                memcpy(out + record_prefix(&k), plain.at, plain.size);
            assert_int_equal(record_seal(cache, &k, type, bytes_of(out + record_prefix(&k), plain.size), out), size);
        } else {
            assert_int_equal(record_seal(cache, &k, type, plain, out), size);
        }
        assert_bytes(out, size, wanted);
        assert_int_equal(out[size], 0); /* not a byte more */
        assert_int_equal(k.key.sequence, keys.key.sequence + 1);
        assert_int_equal(k.key.explicit_nonce, keys.key.explicit_nonce + 1);
        aead_release(cache, &k.holder);
    }
}

/* Opens beside the record and in its place. */
static void assert_opens(struct record_keys keys, const char *record, enum content_type type, struct bytes plain)
{
    for (int in_place = 0; in_place < 2; in_place++) {
        struct record_keys k = keys;
        struct unhexed r = unhex(record);
        uint8_t beside[512], *out = in_place ? r.at + record_prefix(&k) : beside;
        enum content_type got;

        memset(beside, 0xee, sizeof beside);
        assert_int_equal(record_open(cache, &k, bytes_of(r.at, r.size), out, &got), plain.size);
        assert_int_equal(got, type);
        if (plain.size)
            assert_memory_equal(out, plain.at, plain.size);
        assert_int_equal(beside[record_opened_most(&k, r.size)], 0xee);
        assert_int_equal(k.key.sequence, keys.key.sequence + 1);
        aead_release(cache, &k.holder);
    }
}

/* ---- RFC 8448 ---- */

static void the_traces_of_rfc_8448_are_sealed_and_opened(void **state)
{
    struct unhexed payload = unhex(RFC8448_PAYLOAD), early = unhex(RFC8448_EARLY_PAYLOAD);
    struct bytes plain = bytes_of(payload.at, payload.size), goodbye = BYTES_LITERAL("\1\0");
    struct record_keys k;

    for (int is_sealing = 0; is_sealing < 2; is_sealing++)
        for (uint64_t sequence = 0; sequence < 3; sequence++) {
            k = keys_of(0x0304, AEAD_AES_128_GCM, is_sealing, RFC8448_CLIENT_KEY, RFC8448_CLIENT_IV);
            k.key.sequence = sequence;
            if (sequence == 0) {
                is_sealing ? assert_seals(k, CONTENT_APPLICATION_DATA, plain, RFC8448_CLIENT_DATA)
                           : assert_opens(k, RFC8448_CLIENT_DATA, CONTENT_APPLICATION_DATA, plain);
            } else if (sequence == 1) {
                is_sealing ? assert_seals(k, CONTENT_ALERT, goodbye, RFC8448_CLIENT_ALERT)
                           : assert_opens(k, RFC8448_CLIENT_ALERT, CONTENT_ALERT, goodbye);
            }
            k = keys_of(0x0304, AEAD_AES_128_GCM, is_sealing, RFC8448_SERVER_KEY, RFC8448_SERVER_IV);
            k.key.sequence = sequence;
            if (sequence == 1) {
                is_sealing ? assert_seals(k, CONTENT_APPLICATION_DATA, plain, RFC8448_SERVER_DATA)
                           : assert_opens(k, RFC8448_SERVER_DATA, CONTENT_APPLICATION_DATA, plain);
            } else if (sequence == 2) {
                is_sealing ? assert_seals(k, CONTENT_ALERT, goodbye, RFC8448_SERVER_ALERT)
                           : assert_opens(k, RFC8448_SERVER_ALERT, CONTENT_ALERT, goodbye);
            }
        }

    k = keys_of(0x0304, AEAD_AES_128_GCM, true, RFC8448_EARLY_KEY, RFC8448_EARLY_IV);
    assert_seals(k, CONTENT_APPLICATION_DATA, bytes_of(early.at, early.size), RFC8448_EARLY_DATA);
    k.key.sequence = 1;
    assert_seals(k, CONTENT_HANDSHAKE, BYTES_LITERAL("\5\0\0\0"), RFC8448_EARLY_END);
}

static void the_ticket_of_rfc_8448_is_a_handshake_message(void **state)
{
    struct record_keys k = keys_of(0x0304, AEAD_AES_128_GCM, false, RFC8448_SERVER_KEY, RFC8448_SERVER_IV);
    struct unhexed record = unhex(RFC8448_SERVER_TICKET);
    enum content_type type;
    uint8_t out[512];

    assert_int_equal(record_open(cache, &k, bytes_of(record.at, record.size), out, &type), 0xde - 17);
    assert_int_equal(type, CONTENT_HANDSHAKE);
    assert_int_equal(out[0], 4); /* NewSessionTicket */
    aead_release(cache, &k.holder);
}

/* ---- Another implementation's records ---- */

#define NEW(aead, suite, n) \
    { aead, suite##_13_##n##_KEY, suite##_13_##n##_IV, suite##_13_##n##_RECORD, suite##_13_##n##_PADDED }
#define OLD(aead, suite) { aead, suite##_12_CLIENT_KEY, suite##_12_CLIENT_IV, suite##_12_RECORD_23, suite##_12_RECORD_22 }

static const struct vector {
    enum aead aead;
    const char *key, *iv, *record, *other;
} new_vectors[] = {
    NEW(AEAD_AES_128_GCM, AES_128_GCM, 0), NEW(AEAD_AES_128_GCM, AES_128_GCM, 1), NEW(AEAD_AES_128_GCM, AES_128_GCM, 2),
    NEW(AEAD_AES_256_GCM, AES_256_GCM, 0), NEW(AEAD_AES_256_GCM, AES_256_GCM, 1), NEW(AEAD_AES_256_GCM, AES_256_GCM, 2),
    NEW(AEAD_CHACHA20_POLY1305, CHACHA20, 0), NEW(AEAD_CHACHA20_POLY1305, CHACHA20, 1),
    NEW(AEAD_CHACHA20_POLY1305, CHACHA20, 2),
}, old_vectors[] = {
    OLD(AEAD_AES_128_GCM, AES_128_GCM), OLD(AEAD_AES_256_GCM, AES_256_GCM), OLD(AEAD_CHACHA20_POLY1305, CHACHA20),
};

static void every_suite_of_1_3_agrees_with_another_implementation(void **state)
{
    for (size_t i = 0; i < sizeof new_vectors / sizeof new_vectors[0]; i++) {
        const struct vector *v = &new_vectors[i];
        struct record_keys k = keys_of(0x0304, v->aead, true, v->key, v->iv);

        k.key.sequence = 5;
        assert_int_equal(record_overhead(&k), 22);
        assert_seals(k, CONTENT_APPLICATION_DATA, BYTES_LITERAL(VECTOR_PLAIN), v->record);
        k.is_sealing = false;
        assert_opens(k, v->record, CONTENT_APPLICATION_DATA, BYTES_LITERAL(VECTOR_PLAIN));
        assert_opens(k, v->other, CONTENT_ALERT, BYTES_LITERAL(VECTOR_PLAIN)); /* with padding */
    }
}

static void every_suite_of_1_2_agrees_with_another_implementation(void **state)
{
    for (size_t i = 0; i < sizeof old_vectors / sizeof old_vectors[0]; i++) {
        const struct vector *v = &old_vectors[i];
        struct record_keys k = keys_of(0x0303, v->aead, true, v->key, v->iv);

        k.key.sequence = 0x0102030405060708;
        k.key.explicit_nonce = 0xf1f2f3f4f5f6f7fe;
        assert_int_equal(record_overhead(&k), v->aead == AEAD_CHACHA20_POLY1305 ? 21 : 29);
        assert_seals(k, CONTENT_APPLICATION_DATA, BYTES_LITERAL(VECTOR_PLAIN), v->record);
        assert_seals(k, CONTENT_HANDSHAKE, BYTES_NONE, v->other);
        k.is_sealing = false;
        k.key.explicit_nonce = 0; /* a record that is read brings its own */
        assert_opens(k, v->record, CONTENT_APPLICATION_DATA, BYTES_LITERAL(VECTOR_PLAIN));
        assert_opens(k, v->other, CONTENT_HANDSHAKE, BYTES_NONE);
    }
}

/* ---- What is refused ---- */

static void whatever_bit_is_changed_the_record_stays_shut_and_nothing_is_given_out(void **state)
{
    for (size_t i = 0; i < 6; i++) {
        bool is_1_3 = i < 3;
        const struct vector *v = is_1_3 ? &new_vectors[3 * i] : &old_vectors[i - 3];
        struct record_keys k = keys_of(is_1_3 ? 0x0304 : 0x0303, v->aead, false, v->key, v->iv);
        struct unhexed good = unhex(v->record);
        size_t most = record_opened_most(&k, good.size);
        enum content_type type = 99;

        k.key.sequence = is_1_3 ? 5 : 0x0102030405060708;
        for (size_t bit = 0; bit < good.size * 8; bit++) {
            struct unhexed bad = good;
            uint8_t out[512];

            /* The version's bytes are fixed for TLS 1.2, and its length is what record.size says: records.c sees to them. */
            if (!is_1_3 && bit / 8 >= 1 && bit / 8 < RECORD_HEADER)
                continue;
            bad.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
            memset(out, 0xee, sizeof out);
            assert_int_equal(record_open(cache, &k, bytes_of(bad.at, bad.size), out, &type), -E_TLS);
            for (size_t j = 0; j < most; j++)
                assert_true(out[j] == 0);
        }
        assert_int_equal(type, 99);
        /* A failure leaves no trace: the good one opens still. */
        assert_int_equal(record_open(cache, &k, bytes_of(good.at, good.size), good.at + record_prefix(&k), &type),
                         sizeof VECTOR_PLAIN - 1);
        aead_release(cache, &k.holder);
    }
}

static void another_sequence_number_opens_nothing(void **state)
{
    for (size_t i = 0; i < 6; i++) {
        const struct vector *v = i < 3 ? &new_vectors[3 * i] : &old_vectors[i - 3];
        struct record_keys k = keys_of(i < 3 ? 0x0304 : 0x0303, v->aead, false, v->key, v->iv);
        struct unhexed record = unhex(v->record);
        enum content_type type;
        uint8_t out[512];

        k.key.sequence = i < 3 ? 6 : 0x0102030405060709;
        assert_int_equal(record_open(cache, &k, bytes_of(record.at, record.size), out, &type), -E_TLS);
        aead_release(cache, &k.holder);
    }
}

static void records_too_short_for_their_tag_are_refused(void **state)
{
    for (size_t i = 0; i < 6; i++) {
        const struct vector *v = i < 3 ? &new_vectors[3 * i] : &old_vectors[i - 3];
        struct record_keys k = keys_of(i < 3 ? 0x0304 : 0x0303, v->aead, false, v->key, v->iv);
        struct unhexed record = unhex(v->record);
        enum content_type type;
        uint8_t out[64];

        for (size_t size = RECORD_HEADER; size < record_overhead(&k); size++)
            assert_int_equal(record_open(cache, &k, bytes_of(record.at, size), out, &type), -E_TLS);
        assert_null(k.holder.context); /* without a try */
    }
}

static void a_record_of_padding_alone_is_no_record(void **state)
{
    struct record_keys k = keys_of(0x0304, AEAD_AES_128_GCM, true, RFC8448_CLIENT_KEY, RFC8448_CLIENT_IV), r = k;
    uint8_t zeros[40] = { 0 }, record[128], out[128];
    enum content_type type;
    int n = record_seal(cache, &k, 0, bytes_of(zeros, sizeof zeros), record);

    r.is_sealing = false;
    assert_int_equal(record_open(cache, &r, bytes_of(record, (size_t)n), out, &type), -E_SYNTAX);
    aead_release(cache, &k.holder);
    aead_release(cache, &r.holder);
}

static void content_may_be_empty_and_as_large_as_the_standard_says(void **state)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, RECORD_PLAIN_MOST };
    static uint8_t plain[RECORD_PLAIN_MOST], record[RECORD_PLAIN_MOST + RECORD_OVERHEAD_MOST], out[sizeof record];

    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            const struct vector *v = i < 3 ? &new_vectors[3 * i] : &old_vectors[i - 3];
            struct record_keys k = keys_of(i < 3 ? 0x0304 : 0x0303, v->aead, true, v->key, v->iv), r = k;
            enum content_type type;
            int n = record_seal(cache, &k, CONTENT_APPLICATION_DATA, bytes_of(plain, sizes[j]), record);

            r.is_sealing = false;
            assert_int_equal(n, sizes[j] + record_overhead(&k));
            assert_int_equal(record[3] << 8 | record[4], n - RECORD_HEADER);
            assert_int_equal(record_open(cache, &r, bytes_of(record, (size_t)n), out, &type), sizes[j]);
            assert_memory_equal(out, plain, sizes[j]);
            aead_release(cache, &k.holder);
            aead_release(cache, &r.holder);
        }
}

/* ---- Limits ---- */

static void a_key_seals_no_more_than_it_may(void **state)
{
    static const struct {
        uint16_t version;
        enum aead aead;
        uint64_t most;
    } cases[] = {
        { 0x0304, AEAD_AES_128_GCM, RECORD_AES_GCM_MOST },
        { 0x0304, AEAD_AES_256_GCM, RECORD_AES_GCM_MOST },
        { 0x0304, AEAD_CHACHA20_POLY1305, UINT64_MAX },
        { 0x0303, AEAD_AES_128_GCM, UINT64_MAX },
        { 0x0303, AEAD_CHACHA20_POLY1305, UINT64_MAX },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct record_keys k = keys_of(cases[i].version, cases[i].aead, true, AES_256_GCM_13_0_KEY, AES_256_GCM_13_0_IV);
        struct record_keys r = k;
        uint8_t record[64], out[64];
        enum content_type type;
        int n;

        k.key.sequence = r.key.sequence = cases[i].most - 1;
        r.is_sealing = false;
        n = record_seal(cache, &k, CONTENT_APPLICATION_DATA, BYTES_LITERAL("x"), record);
        assert_int_equal(n, 1 + record_overhead(&k));
        assert_int_equal(record_seal(cache, &k, CONTENT_APPLICATION_DATA, BYTES_LITERAL("x"), record), -E_RECORD_LIMIT);
        assert_int_equal(k.key.sequence, cases[i].most);
        /* Who opens has no such limit: the peer's key is the peer's affair; but numbers do not begin anew. */
        assert_int_equal(record_open(cache, &r, bytes_of(record, (size_t)n), out, &type), 1);
        r.key.sequence = UINT64_MAX;
        assert_int_equal(record_open(cache, &r, bytes_of(record, (size_t)n), out, &type), -E_RECORD_LIMIT);
        aead_release(cache, &k.holder);
        aead_release(cache, &r.holder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_traces_of_rfc_8448_are_sealed_and_opened),
        cmocka_unit_test(the_ticket_of_rfc_8448_is_a_handshake_message),
        cmocka_unit_test(every_suite_of_1_3_agrees_with_another_implementation),
        cmocka_unit_test(every_suite_of_1_2_agrees_with_another_implementation),
        cmocka_unit_test(whatever_bit_is_changed_the_record_stays_shut_and_nothing_is_given_out),
        cmocka_unit_test(another_sequence_number_opens_nothing),
        cmocka_unit_test(records_too_short_for_their_tag_are_refused),
        cmocka_unit_test(a_record_of_padding_alone_is_no_record),
        cmocka_unit_test(content_may_be_empty_and_as_large_as_the_standard_says),
        cmocka_unit_test(a_key_seals_no_more_than_it_may),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
