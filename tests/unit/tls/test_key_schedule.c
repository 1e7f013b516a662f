/* test_key_schedule.c: the traces of RFC 8448: with the recorded messages fed in, transcripts, secrets, binders, Finished and records come
 * out byte for byte. */
#include "replay.h"
#include "tls/key_schedule.h"
#include "tls/record.h"
#include "rfc8448.h"

/* PSK of section 3's ticket, used in section 4. */
#define TICKET_PSK "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"

static struct aead_cache *cache;

static int set_up(void **state)
{
    cache = aead_cache_new(8);
    return cache ? 0 : -1;
}

static int tear_down(void **state)
{
    aead_cache_free(cache);
    return 0;
}

static struct bytes view(const struct unhexed *u)
{
    return bytes_of(u->at, u->size);
}

/* ---- Records under a traffic secret ---- */

static struct record_keys keys_of(const uint8_t *secret, uint64_t sequence, bool is_sealing)
{
    struct traffic_keys keys = { .version = 0x0304, .aead = AEAD_AES_128_GCM, .secret_bytes = 32 };
    struct record_keys direction = { .version = 0x0304, .aead = AEAD_AES_128_GCM, .is_sealing = is_sealing };

    memcpy(keys.write.secret, secret, 32);
    traffic_key_expand(&keys, &keys.write);
    direction.key = keys.write;
    direction.key.sequence = sequence;
    return direction;
}

/* The record is what the content comes to under that secret, and opens to it. Returns the content's bytes. */
static size_t open_and_seal(const uint8_t *secret, uint64_t sequence, enum content_type type, const char *record,
                            uint8_t content[1024])
{
    struct record_keys opening = keys_of(secret, sequence, false), sealing = keys_of(secret, sequence, true);
    struct unhexed recorded = unhex(record);
    uint8_t again[1024 + RECORD_OVERHEAD_MOST];
    enum content_type found;
    int n = record_open(cache, &opening, view(&recorded), content, &found), m;

    assert_true(n > 0);
    assert_int_equal(found, type);
    m = record_seal(cache, &sealing, type, bytes_of(content, (size_t)n), again);
    assert_int_equal(m, recorded.size);
    assert_memory_equal(again, recorded.at, recorded.size);
    aead_release(cache, &opening.holder);
    aead_release(cache, &sealing.holder);
    return (size_t)n;
}

/* ---- A whole trace ---- */

/* The messages of a flight, each checked against the transcript before it. Returns how many there were. */
static int take_flight(struct key_schedule *k, struct bytes flight, const uint8_t *secret, const char *context)
{
    uint8_t expected[HASH_BYTES_MOST], signed_content[64 + 34 + HASH_BYTES_MOST];
    X509 *leaf = NULL;
    int count = 0;

    for (; flight.size; count++) {
        struct bytes message = next_message(&flight);

        switch (message.at[0]) {
        case 11:
            leaf = leaf_of(message);
            break;
        case 15:
            memset(signed_content, ' ', 64);
            memcpy(signed_content + 64, context, 34);
            key_schedule_transcript(k, signed_content + 64 + 34);
            assert_non_null(leaf);
            assert_true(proves(leaf, message, bytes_of(signed_content, 64 + 34 + 32)));
            break;
        case 20:
            assert_int_equal(flight.size, 0);
            assert_int_equal(message.size, 4 + 32);
            key_schedule_finished(k, secret, expected);
            assert_memory_equal(message.at + 4, expected, 32);
            break;
        default:
            break;
        }
        key_schedule_add(k, message);
    }
    X509_free(leaf);
    return count;
}

static void take_hellos(struct key_schedule *k, const struct trace *t, const char *psk)
{
    struct unhexed hello = hello_of(t->hello), server_hello = hello_of(t->server_hello);
    struct client_hello parsed;
    uint8_t alert = 0, secret[32], binder[HASH_BYTES_MOST];

    key_schedule_start(k, HASH_SHA256);
    assert_int_equal(client_hello_parse(view(&hello), &parsed, &alert), 0);
    if (psk) {
        key_schedule_use_psk(k, view(UNHEX(psk)));
        key_schedule_binder(k, parsed.truncated, binder);
        assert_int_equal(parsed.psk_binders.size, 1 + 32);
        assert_memory_equal(parsed.psk_binders.at + 1, binder, 32);
    }
    if (t->first_hello) {
        struct unhexed first = hello_of(t->first_hello), retry = hello_of(t->retry_request);
        key_schedule_add(k, view(&first));
        key_schedule_retry(k);
        key_schedule_add(k, view(&retry));
    }
    key_schedule_add(k, view(&hello));
    key_schedule_add(k, view(&server_hello));
    agree(t, client_hello_share(&parsed, t->group), server_share(view(&server_hello)), secret);
    key_schedule_enter_handshake(k, bytes_of(secret, sizeof secret));
}

/* To the client's Finished, and both goodbyes. */
static void replay(struct key_schedule *k, const struct trace *t, const char *psk, int server_messages,
                   int client_messages)
{
    static const uint8_t end_of_early_data[] = { 5, 0, 0, 0 };
    uint8_t content[1024];
    size_t bytes;

    take_hellos(k, t, psk);
    bytes = open_and_seal(k->server, 0, CONTENT_HANDSHAKE, t->server_flight, content);
    assert_int_equal(
        take_flight(k, bytes_of(content, bytes), k->server, "TLS 1.3, server CertificateVerify"), server_messages);
    key_schedule_enter_content(k);
    if (psk)
        key_schedule_add(k, bytes_of(end_of_early_data, sizeof end_of_early_data));
    bytes = open_and_seal(k->client, 0, CONTENT_HANDSHAKE, t->client_flight, content);
    assert_int_equal(
        take_flight(k, bytes_of(content, bytes), k->client, "TLS 1.3, client CertificateVerify"), client_messages);

    bytes = open_and_seal(k->client_content, t->client_records, CONTENT_ALERT, t->client_close, content);
    assert_bytes(content, bytes, "01 00");
    bytes = open_and_seal(k->server_content, t->server_records, CONTENT_ALERT, t->server_close, content);
    assert_bytes(content, bytes, "01 00");
}

/* ---- Section by section ---- */

static void section_3_comes_out_byte_for_byte(void **state)
{
    struct key_schedule k;
    uint8_t hash[HASH_BYTES_MOST];

    take_hellos(&k, &trace_simple, NULL);
    key_schedule_transcript(&k, hash);
    assert_bytes(hash, 32, "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
    assert_bytes(k.secret, 32, "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac");
    assert_bytes(k.client, 32, "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21");
    assert_bytes(k.server, 32, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");

    replay(&k, &trace_simple, NULL, 4, 1);
    assert_bytes(k.secret, 32, "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919");
    assert_bytes(k.client_content, 32, RFC8448_CLIENT_SECRET);
    assert_bytes(k.server_content, 32, RFC8448_SERVER_SECRET);
    key_schedule_wipe(&k);
}

static void section_3_s_ticket_has_the_key_of_section_4(void **state)
{
    struct key_schedule k;
    uint8_t content[1024], psk[HASH_BYTES_MOST];
    struct bytes message, ticket, identity;
    struct unhexed next = hello_of(trace_resumed.hello);
    struct client_hello parsed;
    struct cursor c, nonce, identities, binders;
    uint8_t alert;
    size_t bytes;

    replay(&k, &trace_simple, NULL, 4, 1);
    bytes = open_and_seal(k.server_content, 0, CONTENT_HANDSHAKE, RFC8448_SERVER_TICKET, content);
    message = bytes_of(content, bytes);
    assert_int_equal(message.at[0], 4);
    c = cursor_of(bytes_from(message, 4 + 4 + 4));
    nonce = cursor_vector(&c, 1);
    ticket = bytes_of(c.at + 2, (size_t)c.at[0] << 8 | c.at[1]);
    key_schedule_ticket_psk(&k, bytes_of(nonce.at, cursor_left(&nonce)), psk);
    assert_bytes(psk, 32, TICKET_PSK);

    assert_int_equal(client_hello_parse(view(&next), &parsed, &alert), 0);
    identities = cursor_of(parsed.psk_identities);
    binders = cursor_of(parsed.psk_binders);
    assert_true(client_hello_next_psk(&identities, &binders, &identity, &message));
    assert_true(bytes_equal(identity, ticket));
}

static void section_4_comes_out_byte_for_byte(void **state)
{
    struct key_schedule k;

    key_schedule_start(&k, HASH_SHA256);
    assert_bytes(k.secret, 32, "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    key_schedule_use_psk(&k, view(UNHEX(TICKET_PSK)));
    assert_bytes(k.secret, 32, "9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c");
    replay(&k, &trace_resumed, TICKET_PSK, 2, 1);
}

static void section_5_comes_out_byte_for_byte(void **state)
{
    struct key_schedule k;

    replay(&k, &trace_retry, NULL, 4, 1);
}

static void section_6_comes_out_byte_for_byte(void **state)
{
    struct key_schedule k;

    replay(&k, &trace_client_authentication, NULL, 5, 3);
}

static void section_7_comes_out_byte_for_byte(void **state)
{
    struct key_schedule k;

    replay(&k, &trace_compatible, NULL, 4, 1);
}

/* ---- What the traces do not have ---- */

static void looking_at_the_transcript_does_not_change_it(void **state)
{
    struct key_schedule k;
    uint8_t first[HASH_BYTES_MOST], second[HASH_BYTES_MOST], mac[HASH_BYTES_MOST];

    for (enum hash hash = HASH_SHA256; hash <= HASH_SHA384; hash++) {
        key_schedule_start(&k, hash);
        key_schedule_add(&k, BYTES_LITERAL("abc"));
        key_schedule_transcript(&k, first);
        key_schedule_finished(&k, k.server, mac);
        key_schedule_binder(&k, BYTES_LITERAL("more"), mac);
        key_schedule_transcript(&k, second);
        assert_memory_equal(first, second, hash_bytes(hash));
    }
    assert_bytes(second, 48,
                 "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
}

static void a_retry_replaces_the_first_hello_by_its_hash(void **state)
{
    struct key_schedule k, other;
    uint8_t message[4 + HASH_BYTES_MOST] = { 254, 0, 0, 48 }, first[HASH_BYTES_MOST], second[HASH_BYTES_MOST];

    key_schedule_start(&k, HASH_SHA384);
    key_schedule_add(&k, BYTES_LITERAL("the first ClientHello"));
    key_schedule_transcript(&k, message + 4);
    key_schedule_retry(&k);
    key_schedule_add(&k, BYTES_LITERAL("and so on"));
    key_schedule_start(&other, HASH_SHA384);
    key_schedule_add(&other, bytes_of(message, 4 + 48));
    key_schedule_add(&other, BYTES_LITERAL("and so on"));
    key_schedule_transcript(&k, first);
    key_schedule_transcript(&other, second);
    assert_memory_equal(first, second, 48);
}

static void wiping_leaves_zeros(void **state)
{
    static const struct key_schedule zeros;
    struct key_schedule k;

    replay(&k, &trace_simple, NULL, 4, 1);
    key_schedule_wipe(&k);
    assert_memory_equal(&k, &zeros, sizeof k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_3_comes_out_byte_for_byte),
        cmocka_unit_test(section_3_s_ticket_has_the_key_of_section_4),
        cmocka_unit_test(section_4_comes_out_byte_for_byte),
        cmocka_unit_test(section_5_comes_out_byte_for_byte),
        cmocka_unit_test(section_6_comes_out_byte_for_byte),
        cmocka_unit_test(section_7_comes_out_byte_for_byte),
        cmocka_unit_test(looking_at_the_transcript_does_not_change_it),
        cmocka_unit_test(a_retry_replaces_the_first_hello_by_its_hash),
        cmocka_unit_test(wiping_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
