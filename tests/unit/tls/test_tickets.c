#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include <openssl/core_names.h>

#include "tls/openssl.h"

static void rotation_keeps_three_generations_newest_first(void **state)
{
    struct ticket_keys keys = { 0 };
    struct ticket_key made[5];

    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(ticket_keys_rotate(&keys), 0);
        assert_int_equal(keys.count, i < 3 ? i + 1 : 3);
        made[i] = keys.key[0];
        for (uint32_t g = 0; g < keys.count; g++)
            assert_memory_equal(&keys.key[g], &made[i - g], sizeof made[0]);
    }
    assert_memory_not_equal(made[0].name, made[1].name, TICKET_KEY_NAME);
    assert_memory_not_equal(made[0].cipher_key, made[0].mac_key, TICKET_KEY_BYTES);
}

static void wiping_leaves_nothing(void **state)
{
    struct ticket_keys keys = { 0 }, zero = { 0 };

    assert_int_equal(ticket_keys_rotate(&keys), 0);
    ticket_keys_wipe(&keys);
    assert_memory_equal(&keys, &zero, sizeof keys);
}

static void availability_follows_the_ring(void **state)
{
    struct ticket_keys keys = { 0 };

    tickets_install(&keys);
    assert_false(tickets_available());
    assert_int_equal(ticket_keys_rotate(&keys), 0);
    tickets_install(&keys);
    assert_true(tickets_available());
}

/* Readers hammer the ring while it is swapped: each must see one ring whole, never a wiped or a mixed one. A key's
 * parts are filled with its generation's byte. */
struct hammer {
    atomic_bool stop;
    atomic_ulong reads, broken;
};

static void *read_rings(void *argument)
{
    struct hammer *h = argument;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl = SSL_new(ctx);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);

    while (!atomic_load(&h->stop)) {
        unsigned char name[TICKET_KEY_NAME], iv[16] = { 0 }, out[32];
        int size;

        if (tickets_callback(ssl, name, iv, cipher, mac, 1) != 1) {
            atomic_fetch_add(&h->broken, 1);
            break;
        }
        /* The cipher's key must be of the same ring as the name: seal a block with both and compare. */
        unsigned char key[TICKET_KEY_BYTES], expected[32];
        EVP_CIPHER_CTX *check = EVP_CIPHER_CTX_new();
        int expected_size;
        memset(key, name[0], sizeof key);
        EVP_EncryptInit_ex(check, EVP_aes_256_cbc(), NULL, key, iv);
        EVP_EncryptUpdate(check, expected, &expected_size, (const unsigned char *)"sixteen bytes ok", 16);
        EVP_EncryptUpdate(cipher, out, &size, (const unsigned char *)"sixteen bytes ok", 16);
        if (size != expected_size || memcmp(out, expected, (size_t)size) != 0 || name[0] == 0)
            atomic_fetch_add(&h->broken, 1);
        EVP_CIPHER_CTX_free(check);
        atomic_fetch_add(&h->reads, 1);
    }
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    EVP_CIPHER_CTX_free(cipher);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return NULL;
}

static void readers_see_whole_rings_while_they_are_swapped(void **state)
{
    struct hammer h = { .stop = false };
    pthread_t threads[3];
    struct ticket_keys keys = { .count = 1 };

    memset(&keys.key[0], 1, sizeof keys.key[0]);
    tickets_install(&keys);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_rings, &h), 0);
    for (int i = 0; atomic_load(&h.reads) < 5000 && !atomic_load(&h.broken); i++) {
        memset(&keys.key[0], 1 + i % 255, sizeof keys.key[0]);
        tickets_install(&keys);
    }
    atomic_store(&h.stop, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&h.broken), 0);
}

static void an_unknown_key_is_no_error(void **state)
{
    struct ticket_keys keys = { 0 };
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl = SSL_new(ctx);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    unsigned char name[TICKET_KEY_NAME] = "somebody else's", iv[16] = { 0 };

    tickets_install(&keys);
    assert_int_equal(tickets_callback(ssl, name, iv, cipher, mac, 0), 0);
    assert_int_equal(tickets_callback(ssl, name, iv, cipher, mac, 1), 0);
    assert_int_equal(ticket_keys_rotate(&keys), 0);
    tickets_install(&keys);
    assert_int_equal(tickets_callback(ssl, name, iv, cipher, mac, 0), 0);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    EVP_CIPHER_CTX_free(cipher);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rotation_keeps_three_generations_newest_first),
        cmocka_unit_test(wiping_leaves_nothing),
        cmocka_unit_test(availability_follows_the_ring),
        cmocka_unit_test(readers_see_whole_rings_while_they_are_swapped),
        cmocka_unit_test(an_unknown_key_is_no_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
