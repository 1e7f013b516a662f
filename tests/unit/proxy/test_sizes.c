#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proxy/session.h"

/* What an idle connection costs is the sum of these and of its TLS records (net/, tls/): who adds a member looks for
 * another place first: what a request needs is made for it, what many have alike is shared. 64-bit machines. */
static void a_session_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct session) <= 224);
}

static void a_plain_connection_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct connection) <= 176);
}

static void an_address_that_is_kept_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct address_box) <= 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_small),
        cmocka_unit_test(a_plain_connection_is_small),
        cmocka_unit_test(an_address_that_is_kept_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
