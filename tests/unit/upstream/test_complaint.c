#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "upstream/complaint.h"

static int lines[2]; /* a pipe: what the log says, and we read */

static int set_up(void **state)
{
    struct complaint *c;

    assert_int_equal(pipe2(lines, O_NONBLOCK), 0);
    log_set_descriptor(lines[1]);
    c = complaint_new(loop_new());
    assert_non_null(c);
    strcpy(c->who, "TLS with the server X failed");
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct complaint *c = *state;
    struct loop *loop = c->loop;

    complaint_free(c);
    loop_free(loop);
    log_set_descriptor(2);
    close(lines[0]);
    close(lines[1]);
    return 0;
}

/* What was said since the last call, without the time in front of a line; "": nothing. */
static const char *said(void)
{
    static char text[4096];
    ssize_t n = read(lines[0], text, sizeof text - 1);
    char *at;

    text[n > 0 ? n : 0] = '\0';
    at = strstr(text, "TLS");
    return at ? at : text;
}

static void the_first_is_told_at_once_and_the_rest_counted(void **state)
{
    struct complaint *c = *state;

    complaint_say(c, "expired");
    assert_string_equal(said(), "TLS with the server X failed: expired\n");
    for (int i = 0; i < 10000; i++)
        complaint_say(c, "expired");
    complaint_say(c, "reset");
    assert_string_equal(said(), "");
    c->timer.on_due(&c->timer);
    assert_string_equal(said(), "TLS with the server X failed 10001 more times, last: reset\n");
    complaint_say(c, "reset");
    assert_string_equal(said(), ""); /* that line counts like the first */
}

static void what_comes_after_a_quiet_time_is_told_at_once(void **state)
{
    struct complaint *c = *state;

    complaint_say(c, "expired");
    (void)said();
    loop_timer_stop(c->loop, &c->timer);
    c->timer.on_due(&c->timer);
    assert_string_equal(said(), ""); /* nothing was left untold */
    complaint_say(c, "expired");
    assert_string_equal(said(), "TLS with the server X failed: expired\n");
}

static void nothing_stays_untold_at_the_end(void **state)
{
    struct complaint *c = complaint_new(((struct complaint *)*state)->loop);

    strcpy(c->who, "TLS");
    complaint_say(c, "a");
    complaint_say(c, "b");
    (void)said();
    complaint_free(c);
    assert_string_equal(said(), "TLS 1 more times, last: b\n");
    complaint_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_is_told_at_once_and_the_rest_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_after_a_quiet_time_is_told_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_stays_untold_at_the_end, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
