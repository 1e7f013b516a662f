#include "config/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *meant(const char *written)
{
    static const char *const known[] = { "address", "certificates", "to", "idle_time", "pool", "tls", "http2", NULL };
    struct suggestion best = { NULL, 0 };

    for (size_t i = 0; known[i]; i++)
        suggest(&best, bytes_of_text(written), known[i]);
    return best.word ? best.word : "nothing";
}

static void slips_of_typing_are_seen(void **state)
{
    assert_string_equal(meant("adress"), "address");
    assert_string_equal(meant("addres"), "address");
    assert_string_equal(meant("adderss"), "address");
    assert_string_equal(meant("certifcates"), "certificates");
    assert_string_equal(meant("certificate"), "certificates");
    assert_string_equal(meant("pol"), "pool");
    assert_string_equal(meant("tsl"), "tls");
}

static void case_and_separators_do_not_count(void **state)
{
    assert_string_equal(meant("idleTime"), "idle_time");
    assert_string_equal(meant("idle-time"), "idle_time");
    assert_string_equal(meant("ADDRESS"), "address");
    assert_string_equal(meant("http/2"), "http2");
}

static void beginnings_and_longer_words_are_seen(void **state)
{
    assert_string_equal(meant("cert"), "certificates");
    assert_string_equal(meant("addresses"), "address");
}

static void what_is_not_near_gets_no_suggestion(void **state)
{
    assert_string_equal(meant("colour"), "nothing");
    assert_string_equal(meant("x"), "nothing");
    assert_string_equal(meant(""), "nothing");
    assert_string_equal(meant("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips_of_typing_are_seen),
        cmocka_unit_test(case_and_separators_do_not_count),
        cmocka_unit_test(beginnings_and_longer_words_are_seen),
        cmocka_unit_test(what_is_not_near_gets_no_suggestion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
