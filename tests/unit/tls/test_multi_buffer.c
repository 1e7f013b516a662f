/* test_multi_buffer.c: the library is found where it belongs, and its functions are what multi_buffer.h says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/check.h"
#include "tls/multi_buffer.h"

#ifdef MULTI_BUFFER_HEADERS
#define BN_OPENSSL_DISABLE
#define _ifma_rsa_method mb_rsa_method /* their name for what we call otherwise */
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/ec_nistp256.h>
#include <crypto_mb/rsa.h>
#include <crypto_mb/x25519.h>

#define SAME(name) \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&mbx_##name), __typeof__(((struct multi_buffer *)0)->name)), #name)
SAME(x25519_public_key_mb8);
SAME(x25519_mb8);
SAME(nistp256_ecdsa_sign_setup_mb8);
SAME(nistp256_ecdsa_sign_complete_mb8);
SAME(RSA_private_crt_Method);
SAME(RSA_pub65537_Method);
SAME(RSA_Method_BufSize);
SAME(rsa_private_crt_mb8);
SAME(rsa_public_mb8);
_Static_assert(__builtin_types_compatible_p(__typeof__(&mbx_is_crypto_mb_applicable), int (*)(unsigned long long)),
               "is_crypto_mb_applicable");
enum { IS_THERE = 1 };
#else
enum { IS_THERE = 0 };
#endif

static bool processor_can(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* Were it not found, all that is tested of it would be skipped and look fine. */
static void it_is_loaded_where_it_was_fetched_and_the_processor_can(void **state)
{
    (void)state;
    if (IS_THERE && processor_can())
        assert_null(multi_buffer_absence());
    if (!processor_can())
        assert_null(multi_buffer());
    assert_int_equal(multi_buffer() == NULL, multi_buffer_absence() != NULL);
    assert_ptr_equal(multi_buffer(), multi_buffer());
}

static void every_function_was_found(void **state)
{
    const struct multi_buffer *m = multi_buffer();
    void *const *functions = (void *const *)m;

    (void)state;
    for (size_t i = 0; m && i < sizeof *m / sizeof *functions; i++)
        assert_non_null(functions[i]);
}

static void a_lane_is_fine_by_its_own_four_bits(void **state)
{
    (void)state;
    for (unsigned lane = 0; lane < LANES; lane++) {
        assert_true(lane_is_fine(0, lane));
        assert_false(lane_is_fine(UINT32_MAX, lane));
        for (unsigned bit = 0; bit < 32; bit++)
            assert_int_equal(lane_is_fine(1u << bit, lane), bit / 4 != lane);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_loaded_where_it_was_fetched_and_the_processor_can),
        cmocka_unit_test(every_function_was_found),
        cmocka_unit_test(a_lane_is_fine_by_its_own_four_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
