/* RFC 9218: what a Priority field says, and what it does not say. */
#include "http/h2_private.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *value, unsigned urgency, bool incremental)
{
    uint8_t u = 3;
    bool i = false;

    h2_priority_parse(bytes_of_text(value), &u, &i);
    assert_int_equal(u, urgency);
    assert_int_equal(i, incremental);
}

static void urgency_and_incremental_are_read(void **state)
{
    expect("u=0", 0, false);
    expect("u=7, i", 7, true);
    expect("i, u=1", 1, true);
    expect("u=5,i=?1", 5, true);
    expect("i, i=?0", 3, false); /* RFC 8941 3.2: the last one counts */
}

static void what_is_unknown_is_passed_over(void **state)
{
    expect("u=2;q=1, x=\"y\", i;z", 2, true);
    expect("", 3, false);
    expect("x", 3, false);
}

static void what_is_malformed_says_nothing(void **state)
{
    expect("u=8", 3, false);
    expect("u=-1", 3, false);
    expect("u=10", 3, false);
    expect("u", 3, false);
    expect("i=1", 3, false);
    expect(",,,", 3, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgency_and_incremental_are_read),
        cmocka_unit_test(what_is_unknown_is_passed_over),
        cmocka_unit_test(what_is_malformed_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
