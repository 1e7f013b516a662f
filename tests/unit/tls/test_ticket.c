#include "tls/ticket.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/check.h"

static struct aead_cache *cache;
static struct ticket_keys ring;

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

static int fresh_ring(void **state)
{
    ticket_keys_wipe(&ring);
    assert_int_equal(ticket_keys_rotate(&ring), 0);
    tickets_install(&ring);
    return 0;
}

static struct ticket_state example(uint8_t psk_bytes, uint8_t name_bytes)
{
    struct ticket_state t = { .suite = 0x1302, .psk_bytes = psk_bytes, .issued = 1234567890123, .began = 1234567800000, .has_client = name_bytes > 0,
                              .client_until = INT64_MAX - 7, .name_bytes = name_bytes };

    memset(t.psk, 0x5a, psk_bytes);
    memset(t.name, 'n', name_bytes);
    for (size_t i = 0; i < sizeof t.binding; i++)
        t.binding[i] = (uint8_t)(200 - i);
    return t;
}

static size_t seal(const struct ticket_state *t, uint8_t out[TICKET_MOST])
{
    int n = ticket_seal(cache, t, out);

    assert_in_range(n, 1, TICKET_MOST);
    return (size_t)n;
}

static int open(const uint8_t *ticket, size_t bytes, struct ticket_state *ret)
{
    *ret = (struct ticket_state){ 0 };
    return ticket_open(cache, bytes_of(ticket, bytes), ret);
}

static void what_was_sealed_opens_whatever_its_size(void **state)
{
    static const uint8_t psks[] = { 32, 48 }, names[] = { 0, 1, 64, 255 };
    uint8_t ticket[TICKET_MOST];

    for (size_t p = 0; p < COUNT_OF(psks); p++)
        for (size_t n = 0; n < COUNT_OF(names); n++) {
            struct ticket_state from = example(psks[p], names[n]), to;

            assert_int_equal(open(ticket, seal(&from, ticket), &to), 0);
            assert_memory_equal(&from, &to, sizeof from);
        }
}

static void every_byte_counts_and_so_does_the_length(void **state)
{
    const struct ticket_state from = example(48, 3);
    struct ticket_state to;
    uint8_t ticket[TICKET_MOST + 1] = { 0 };
    size_t bytes = seal(&from, ticket);

    for (size_t i = 0; i < bytes; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            ticket[i] ^= (uint8_t)(1u << bit);
            assert_int_equal(open(ticket, bytes, &to), -E_TLS);
            ticket[i] ^= (uint8_t)(1u << bit);
        }
    for (size_t n = 0; n < bytes; n++)
        assert_int_equal(open(ticket, n, &to), -E_TLS);
    for (size_t n = bytes + 1; n <= sizeof ticket; n++)
        assert_int_equal(open(ticket, n, &to), -E_TLS);
    assert_int_equal(open(ticket, bytes, &to), 0);
}

static void two_tickets_of_one_state_have_nothing_in_common_but_the_key_s_name(void **state)
{
    const struct ticket_state from = example(32, 0);
    uint8_t first[TICKET_MOST], second[TICKET_MOST];
    size_t bytes = seal(&from, first), same = 0;

    assert_int_equal(seal(&from, second), bytes);
    assert_memory_equal(first, second, TICKET_KEY_NAME);
    for (size_t i = TICKET_KEY_NAME; i < bytes; i++)
        same += first[i] == second[i];
    assert_true(same < bytes / 8); /* one in 256 by chance */
}

static void a_ticket_lives_for_three_generations_of_keys(void **state)
{
    const struct ticket_state from = example(32, 5);
    struct ticket_state to;
    uint8_t ticket[TICKET_MOST];
    size_t bytes = seal(&from, ticket);

    for (int generation = 1; generation <= TICKET_GENERATIONS; generation++) {
        assert_int_equal(ticket_keys_rotate(&ring), 0);
        tickets_install(&ring);
        assert_int_equal(open(ticket, bytes, &to), generation < TICKET_GENERATIONS ? 0 : -E_TLS);
        assert_int_equal(ticket_kind(bytes_of(ticket, bytes)),
                         generation < TICKET_GENERATIONS ? TICKET_NATIVE : TICKET_UNKNOWN);
    }
}

static void a_ring_of_others_opens_nothing(void **state)
{
    const struct ticket_state from = example(32, 0);
    struct ticket_keys other = { 0 };
    struct ticket_state to;
    uint8_t ticket[TICKET_MOST];
    size_t bytes = seal(&from, ticket);

    assert_int_equal(ticket_keys_rotate(&other), 0);
    memcpy(other.key[0].name, ring.key[0].name, TICKET_KEY_NAME); /* even under the same name */
    tickets_install(&other);
    assert_int_equal(open(ticket, bytes, &to), -E_TLS);
    tickets_install(&ring);
    assert_int_equal(open(ticket, bytes, &to), 0);
}

static void without_a_ring_there_are_no_tickets(void **state)
{
    const struct ticket_state from = example(32, 0);
    const struct ticket_keys none = { 0 };
    struct ticket_state to;
    uint8_t ticket[TICKET_MOST], other[TICKET_MOST];
    size_t bytes = seal(&from, ticket);

    tickets_install(&none);
    assert_int_equal(ticket_seal(cache, &from, other), -E_AGAIN);
    assert_int_equal(open(ticket, bytes, &to), -E_TLS);
}

static void either_engine_s_tickets_are_told_apart(void **state)
{
    const struct ticket_state from = example(32, 0);
    uint8_t ticket[TICKET_MOST], name[TICKET_KEY_NAME];

    (void)seal(&from, ticket);
    assert_int_equal(ticket_kind(bytes_of(ticket, 300)), TICKET_NATIVE);
    assert_int_equal(ticket_kind(bytes_of(ticket, TICKET_KEY_NAME)), TICKET_NATIVE);
    assert_int_equal(ticket_kind(bytes_of(ticket, TICKET_KEY_NAME - 1)), TICKET_UNKNOWN);
    assert_int_equal(ticket_kind(BYTES_NONE), TICKET_UNKNOWN);
    memcpy(name, ring.key[0].name, sizeof name);
    assert_int_equal(ticket_kind(bytes_of(name, sizeof name)), TICKET_OPENSSL);
    name[15] ^= 1;
    assert_int_equal(ticket_kind(bytes_of(name, sizeof name)), TICKET_UNKNOWN);
    assert_memory_not_equal(ticket, ring.key[0].name, TICKET_KEY_NAME);
}

static void a_ticket_shows_neither_its_secret_nor_its_client(void **state)
{
    struct ticket_state from = example(32, 11);
    uint8_t ticket[TICKET_MOST];
    size_t bytes;

    memcpy(from.name, "Ann Example", 11);
    bytes = seal(&from, ticket);
    assert_null(memmem(ticket, bytes, from.psk, 4));
    assert_null(memmem(ticket, bytes, "Ann", 3));
    assert_null(memmem(ticket, bytes, from.binding, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_sealed_opens_whatever_its_size, fresh_ring),
        cmocka_unit_test_setup(every_byte_counts_and_so_does_the_length, fresh_ring),
        cmocka_unit_test_setup(two_tickets_of_one_state_have_nothing_in_common_but_the_key_s_name, fresh_ring),
        cmocka_unit_test_setup(a_ticket_lives_for_three_generations_of_keys, fresh_ring),
        cmocka_unit_test_setup(a_ring_of_others_opens_nothing, fresh_ring),
        cmocka_unit_test_setup(without_a_ring_there_are_no_tickets, fresh_ring),
        cmocka_unit_test_setup(either_engine_s_tickets_are_told_apart, fresh_ring),
        cmocka_unit_test_setup(a_ticket_shows_neither_its_secret_nor_its_client, fresh_ring),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
