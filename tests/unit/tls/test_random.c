#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tls/random.h"

static void no_bytes_are_given_twice_across_the_ends_of_blocks(void **state)
{
    static uint8_t drawn[1000][16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(random_bytes(drawn[i], sizeof drawn[i]), 0);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(drawn[i], drawn[j], sizeof drawn[i]);
    }
}

static void more_than_a_block_comes_whole(void **state)
{
    static uint8_t once[10000], twice[10000];
    size_t zeros = 0;

    (void)state;
    assert_int_equal(random_bytes(once, sizeof once), 0);
    assert_int_equal(random_bytes(twice, sizeof twice), 0);
    assert_memory_not_equal(once, twice, sizeof once);
    for (size_t i = 0; i < sizeof once; i++)
        zeros += once[i] == 0;
    assert_in_range(zeros, 1, 200); /* about 39 of 10,000 */
}

static void nothing_asked_is_nothing_written(void **state)
{
    uint8_t byte = 7;

    (void)state;
    assert_int_equal(random_bytes(&byte, 0), 0);
    assert_int_equal(byte, 7);
}

/* Both have the same block when they part. */
static void a_process_and_its_child_draw_different_bytes(void **state)
{
    enum { DRAWS = 8, SIZE = 32 };
    uint8_t (*theirs)[SIZE] = mmap(NULL, DRAWS * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t mine[SIZE];
    int status;
    pid_t child;

    (void)state;
    assert_ptr_not_equal(theirs, MAP_FAILED);
    assert_int_equal(random_bytes(mine, sizeof mine), 0);
    if ((child = fork()) == 0) {
        int error = 0;

        for (int i = 0; i < DRAWS; i++)
            error |= random_bytes(theirs[i], SIZE);
        _exit(error != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (int i = 0; i < DRAWS; i++) {
        assert_int_equal(random_bytes(mine, sizeof mine), 0);
        for (int j = 0; j < DRAWS; j++)
            assert_memory_not_equal(mine, theirs[j], SIZE);
    }
    munmap(theirs, DRAWS * SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bytes_are_given_twice_across_the_ends_of_blocks),
        cmocka_unit_test(more_than_a_block_comes_whole),
        cmocka_unit_test(nothing_asked_is_nothing_written),
        cmocka_unit_test(a_process_and_its_child_draw_different_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
