/* log.c, error.c, check.c and list.h */
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/error.h"
#include "base/list.h"

static int ends[2];

static int set_up(void **state)
{
    log_set_level(LOG_INFO);
    log_set_role(NULL);
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    log_set_descriptor(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    log_set_descriptor(2);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* What was written since the last call. */
static const char *logged(void)
{
    static char text[100000];
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void a_line_has_time_level_and_text(void **state)
{
    const char *line;

    log_warning("certificate \"%s\" expires in %d days", "www", 3);
    line = logged();
    assert_int_equal(strspn(line, "0123456789-T:.Z"), strlen("2026-11-22T10:15:02.113Z"));
    assert_string_equal(line + 24, " warning certificate \"www\" expires in 3 days\n");
    log_set_role("worker");
    log_error("x");
    assert_string_equal(logged() + 24, " error worker: x\n");
}

static void a_line_for_syslog_has_priority_and_program(void **state)
{
    const char *line;

    log_set_syslog(true);
    log_error("x");
    log_set_syslog(false);
    line = logged();
    assert_memory_equal(line, "<27>", 4); /* daemon.err */
    assert_non_null(strstr(line, " unlade["));
    assert_non_null(strstr(line, "]: error"));
    assert_non_null(strstr(line, "x"));
}

static void less_important_lines_are_not_made(void **state)
{
    log_set_level(LOG_WARNING);
    assert_int_equal(log_get_level(), LOG_WARNING);
    log_notice("n");
    log_info("i");
    log_debug("d");
    assert_string_equal(logged(), "");
    log_set_level(LOG_DEBUG);
    log_debug("d");
    assert_string_equal(logged() + 24, " debug d\n");
}

static void control_bytes_cannot_forge_lines(void **state)
{
    log_info("%s", "a\nb\x1b[1m\x7f\xC3\xBC");
    assert_string_equal(logged() + 24, " info a\\x0ab\\x1b[1m\\x7f\xC3\xBC\n");
}

static void long_lines_are_cut_whole(void **state)
{
    char text[10000];
    const char *line;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    log_info("%s", text);
    line = logged();
    assert_true(strlen(line) <= 4096);
    assert_int_equal(line[strlen(line) - 1], '\n');
    memset(text, '\n', sizeof(text) - 1);
    log_info("%s", text);
    line = logged();
    assert_true(strlen(line) <= 4096);
    assert_string_equal(line + strlen(line) - 5, "\\x0a\n");
}

static void lines_that_are_not_taken_are_counted(void **state)
{
    uint64_t before = log_dropped();

    for (int i = 0; i < 10000; i++)
        log_info("a line of some length that fills the pipe up until nothing fits into it any more");
    assert_true(log_dropped() > before);
}

static void every_error_has_class_status_token_and_text(void **state)
{
    for (int error = E_AGAIN; error < E_COUNT; error++) {
        assert_true(strlen(error_token(error)) > 0 && strlen(error_text(error)) > 0);
        assert_string_equal(error_token(error), error_token(-error));
        assert_true(error_status(error) == 0 || (error_status(error) >= 400 && error_status(error) < 600));
    }
    assert_int_equal(error_class(-E_TIMEOUT_HEAD), ERROR_PEER);
    assert_int_equal(error_status(-E_TIMEOUT_HEAD), 408);
    assert_string_equal(error_token(-E_TIMEOUT_HEAD), "timeout_head");
    assert_string_equal(error_token(-100000), "internal");
    assert_int_equal(error_class(100000), ERROR_INTERNAL);
}

static void a_failed_check_aborts(void **state)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], 2);
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(logged(), "1 + 1 == 3"));
}

struct thing {
    int number;
    struct list link;
};

static void lists_keep_their_order_and_lose_what_is_removed(void **state)
{
    struct thing things[4] = { { .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 } };
    struct list list;
    int expected = 0;

    list_init(&list);
    assert_true(list_is_empty(&list));
    for (int i = 1; i < 4; i++)
        list_append(&list, &things[i].link);
    list_prepend(&list, &things[0].link);
    assert_int_equal(LIST_FIRST(&list, struct thing, link)->number, 0);
    assert_int_equal(LIST_LAST(&list, struct thing, link)->number, 3);
    LIST_EACH (&list, link) {
        struct thing *thing = CONTAINER_OF(link, struct thing, link);
        assert_int_equal(thing->number, expected++);
        if (thing->number % 2)
            list_remove(&thing->link);
    }
    assert_int_equal(expected, 4);
    assert_ptr_equal(LIST_LAST(&list, struct thing, link), &things[2]);
    list_remove(&things[1].link); /* harmless: it is in no list */
    list_remove(&things[0].link);
    list_remove(&things[2].link);
    assert_true(list_is_empty(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_for_syslog_has_priority_and_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(less_important_lines_are_not_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_bytes_cannot_forge_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_that_are_not_taken_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_check_aborts, set_up, tear_down),
        cmocka_unit_test(every_error_has_class_status_token_and_text),
        cmocka_unit_test(lists_keep_their_order_and_lose_what_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
