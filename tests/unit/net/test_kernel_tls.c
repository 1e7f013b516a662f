/* What the kernel is given: byte by byte as linux/tls.h lays it out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/kernel_tls.h"

static struct traffic_key example(void)
{
    struct traffic_key key = { .sequence = 0x0102030405060708, .explicit_nonce = 0x1112131415161718 };

    for (size_t i = 0; i < sizeof key.key; i++)
        key.key[i] = (uint8_t)(0x40 + i);
    for (size_t i = 0; i < sizeof key.iv; i++)
        key.iv[i] = (uint8_t)(0xa0 + i);
    return key;
}

/* version, cipher: two bytes each in the machine's order; then bytes. */
static void expect(uint16_t version, enum aead aead, const uint16_t head[2], const char *rest, size_t rest_size)
{
    const struct traffic_key key = example();
    union kernel_tls_info info;
    size_t size = kernel_tls_layout(version, aead, &key, &info);

    assert_int_equal(size, 4 + rest_size);
    assert_memory_equal(&info, head, 4);
    assert_memory_equal((const uint8_t *)&info + 4, rest, rest_size);
}

#define KEY_16   "@ABCDEFGHIJKLMNO"
#define KEY_32   KEY_16 "PQRSTUVWXYZ[\\]^_"
#define SEQUENCE "\x01\x02\x03\x04\x05\x06\x07\x08"

static void tls_1_3_aes_gcm_has_the_iv_cut_in_salt_and_rest(void **state)
{
    static const char rest_128[] = "\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab" KEY_16 "\xa0\xa1\xa2\xa3" SEQUENCE;
    static const char rest_256[] = "\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab" KEY_32 "\xa0\xa1\xa2\xa3" SEQUENCE;

    (void)state;
    expect(0x0304, AEAD_AES_128_GCM, (const uint16_t[]){ 0x0304, 51 }, rest_128, sizeof rest_128 - 1);
    expect(0x0304, AEAD_AES_256_GCM, (const uint16_t[]){ 0x0304, 52 }, rest_256, sizeof rest_256 - 1);
}

static void tls_1_2_aes_gcm_goes_on_with_the_explicit_nonce(void **state)
{
    static const char rest_128[] = "\x11\x12\x13\x14\x15\x16\x17\x18" KEY_16 "\xa0\xa1\xa2\xa3" SEQUENCE;
    static const char rest_256[] = "\x11\x12\x13\x14\x15\x16\x17\x18" KEY_32 "\xa0\xa1\xa2\xa3" SEQUENCE;

    (void)state;
    expect(0x0303, AEAD_AES_128_GCM, (const uint16_t[]){ 0x0303, 51 }, rest_128, sizeof rest_128 - 1);
    expect(0x0303, AEAD_AES_256_GCM, (const uint16_t[]){ 0x0303, 52 }, rest_256, sizeof rest_256 - 1);
}

static void chacha_has_the_whole_iv_in_either_version(void **state)
{
    static const char rest[] = "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab" KEY_32 SEQUENCE;

    (void)state;
    expect(0x0304, AEAD_CHACHA20_POLY1305, (const uint16_t[]){ 0x0304, 54 }, rest, sizeof rest - 1);
    expect(0x0303, AEAD_CHACHA20_POLY1305, (const uint16_t[]){ 0x0303, 54 }, rest, sizeof rest - 1);
}

static void an_unknown_cipher_has_no_layout(void **state)
{
    const struct traffic_key key = example();
    union kernel_tls_info info;

    (void)state;
    assert_int_equal(kernel_tls_layout(0x0304, AEAD_NONE, &key, &info), 0);
}

static void a_socket_that_is_not_connected_gets_no_keys(void **state)
{
    const struct traffic_key key = example();
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(kernel_tls_attach(fd), -E_SYSTEM);
    assert_int_equal(kernel_tls_give(fd, true, 0x0304, AEAD_AES_128_GCM, &key), -E_SYSTEM);
    close(fd);
}

static void what_the_kernel_can_is_remembered(void **state)
{
    enum kernel_tls can = kernel_tls_probe();

    (void)state;
    assert_int_equal(kernel_tls_now(), can);
    assert_true(can == KERNEL_TLS_NONE || can == KERNEL_TLS_FIXED_KEYS || can == KERNEL_TLS_NEW_KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_1_3_aes_gcm_has_the_iv_cut_in_salt_and_rest),
        cmocka_unit_test(tls_1_2_aes_gcm_goes_on_with_the_explicit_nonce),
        cmocka_unit_test(chacha_has_the_whole_iv_in_either_version),
        cmocka_unit_test(an_unknown_cipher_has_no_layout),
        cmocka_unit_test(a_socket_that_is_not_connected_gets_no_keys),
        cmocka_unit_test(what_the_kernel_can_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
