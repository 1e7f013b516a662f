/* test_generation.c: a forked process is told from its parent, however it was made. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/generation.h"

static void expect_success(pid_t child)
{
    int status;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_process_stays_of_its_generation(void **state)
{
    unsigned mine = fork_generation();

    (void)state;
    assert_int_not_equal(mine, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(fork_generation(), mine);
}

static void a_child_is_of_another_one_and_a_grandchild_of_a_third(void **state)
{
    unsigned mine = fork_generation();
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        unsigned next = fork_generation();
        int status = 1;

        if (next == mine || next == 0 || next != fork_generation())
            _exit(1);
        if ((child = fork()) == 0)
            _exit(fork_generation() == next || fork_generation() == mine);
        _exit(waitpid(child, &status, 0) != child || status != 0 || fork_generation() != next);
    }
    expect_success(child);
    assert_int_equal(fork_generation(), mine);
}

/* The C library, and whoever asked it to tell of forks, hears nothing of this one. */
static void so_is_one_that_was_cloned_behind_the_c_librarys_back(void **state)
{
    unsigned mine = fork_generation();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    (void)state;
    if (child == 0)
        _exit(fork_generation() == mine || fork_generation() == 0);
    expect_success(child);
    assert_int_equal(fork_generation(), mine);
}

static void *ask(void *ret)
{
    *(unsigned *)ret = fork_generation();
    return NULL;
}

static void threads_of_a_child_agree(void **state)
{
    unsigned mine = fork_generation();
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        pthread_t threads[8];
        unsigned theirs[8];

        for (int i = 0; i < 8; i++)
            if (pthread_create(&threads[i], NULL, ask, &theirs[i]))
                _exit(1);
        for (int i = 0; i < 8; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 8; i++)
            if (theirs[i] == mine || theirs[i] != fork_generation())
                _exit(1);
        _exit(0);
    }
    expect_success(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_stays_of_its_generation),
        cmocka_unit_test(a_child_is_of_another_one_and_a_grandchild_of_a_third),
        cmocka_unit_test(so_is_one_that_was_cloned_behind_the_c_librarys_back),
        cmocka_unit_test(threads_of_a_child_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
