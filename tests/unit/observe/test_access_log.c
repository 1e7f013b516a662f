#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "observe/access_log.h"
#include "observe/json_check.h"

enum { RING = 1 << 16, THREADS = 3, LINES = 500 };

static struct access_record record(const char *path)
{
    return (struct access_record){ .path = bytes_of_text(path), .method = BYTES_LITERAL("GET"), .handshake_us = -1,
                                   .head_us = -1, .connect_us = -1, .response_head_us = -1, .total_us = -1 };
}

static void write_path(struct access_log *log, unsigned thread, const char *path)
{
    struct access_record r = record(path);

    access_log_write(log, thread, &r);
}

/* Everything that the descriptor has until its end. */
static size_t read_all(int fd, char *text, size_t room)
{
    size_t used = 0;
    ssize_t n;

    while (used < room && (n = read(fd, text + used, room - used)) > 0)
        used += (size_t)n;
    return used;
}

static int temporary_file(void)
{
    char path[] = "/tmp/unlade-test-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void nothing_is_logged_without_a_descriptor(void **state)
{
    struct access_log *log = access_log_new(1, RING);

    (void)state;
    assert_non_null(log);
    assert_false(access_log_is_on(log));
    write_path(log, 0, "/a");
    access_log_set(log, -1, ACCESS_JSON, false);
    assert_false(access_log_is_on(log));
    access_log_free(log);
}

static void *write_lines(void *context)
{
    struct {
        struct access_log *log;
        unsigned thread;
    } *c = context;

    for (int i = 0; i < LINES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/%u/%d", c->thread, i);
        write_path(c->log, c->thread, path);
        if (i % 50 == 0)
            usleep(20000);
    }
    return NULL;
}

static void lines_of_all_threads_arrive_whole_and_in_order(void **state)
{
    struct access_log *log = access_log_new(THREADS, RING);
    struct {
        struct access_log *log;
        unsigned thread;
    } contexts[THREADS];
    static char text[THREADS * LINES * 256];
    pthread_t threads[THREADS];
    int next[THREADS] = { 0 }, fd = temporary_file();
    size_t n;

    (void)state;
    access_log_set(log, dup(fd), ACCESS_JSON, false);
    for (unsigned i = 0; i < THREADS; i++) {
        contexts[i].log = log;
        contexts[i].thread = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &contexts[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(access_log_dropped(log), 0);
    access_log_free(log);
    lseek(fd, 0, SEEK_SET);
    n = read_all(fd, text, sizeof text);
    for (char *line = text, *end; line < text + n; line = end + 1) {
        unsigned thread;
        int number;
        const char *path;
        end = memchr(line, '\n', (size_t)(text + n - line));
        assert_non_null(end);
        assert_true(json_is_valid(line, (size_t)(end - line)));
        path = memmem(line, (size_t)(end - line), "\"path\":\"", 8);
        assert_non_null(path);
        assert_int_equal(sscanf(path, "\"path\":\"/%u/%d\"", &thread, &number), 2);
        assert_true(thread < THREADS);
        assert_int_equal(number, next[thread]++);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
    close(fd);
}

static void what_does_not_fit_is_dropped_and_counted(void **state)
{
    struct access_log *log = access_log_new(1, RING);
    int ends[2], written = 0;
    static char text[4 << 20];
    size_t n, lines = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    access_log_set(log, ends[1], ACCESS_COMBINED, false);
    usleep(100000);
    for (; written < 3000; written++) /* more than pipe and ring hold, and nobody reads */
        write_path(log, 0, "/a/path/of/some/length/so/that/the/ring/is/full/soon");
    assert_true(access_log_dropped(log) > 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (n = 0; lines + access_log_dropped(log) < (size_t)written;) {
        ssize_t got = read(ends[0], text + n, sizeof text - n);
        if (got <= 0) {
            usleep(10000);
            continue;
        }
        for (ssize_t i = 0; i < got; i++)
            lines += text[n + (size_t)i] == '\n';
        n += (size_t)got;
    }
    assert_int_equal(lines + access_log_dropped(log), written); /* each line is either there or counted */
    access_log_free(log);
    close(ends[0]);
}

static void a_new_descriptor_takes_over_and_the_old_one_is_closed(void **state)
{
    struct access_log *log = access_log_new(1, RING);
    int first[2], second[2];
    char text[4096];
    size_t n;

    (void)state;
    assert_int_equal(pipe(first) | pipe(second), 0);
    access_log_set(log, first[1], ACCESS_JSON, false);
    write_path(log, 0, "/before");
    usleep(200000); /* one that is replaced before it was ever taken gets nothing */
    access_log_set(log, second[1], ACCESS_COMBINED, false);
    n = read_all(first[0], text, sizeof text); /* to its end: it was closed */
    assert_non_null(memmem(text, n, "/before", 7));
    write_path(log, 0, "/after");
    access_log_free(log);
    n = read_all(second[0], text, sizeof text);
    assert_non_null(memmem(text, n, "\"GET /after ", 12));
    close(first[0]);
    close(second[0]);
}

static void a_broken_destination_costs_lines_and_nothing_else(void **state)
{
    struct access_log *log = access_log_new(1, RING);
    int full = open("/dev/full", O_WRONLY);

    (void)state;
    assert_true(full >= 0);
    access_log_set(log, full, ACCESS_JSON, false);
    write_path(log, 0, "/lost");
    for (int i = 0; i < 100 && access_log_dropped(log) == 0; i++)
        usleep(10000);
    assert_int_equal(access_log_dropped(log), 1);
    access_log_free(log);
}

static void syslog_gets_one_datagram_for_each_line(void **state)
{
    struct access_log *log = access_log_new(1, RING);
    int ends[2];
    char text[4096];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    access_log_set(log, ends[1], ACCESS_JSON, true);
    write_path(log, 0, "/one");
    write_path(log, 0, "/two");
    for (int i = 0; i < 2; i++) {
        ssize_t n = recv(ends[0], text, sizeof text, 0);
        const char *json;
        assert_true(n > 0);
        assert_memory_equal(text, "<134>", 5);
        json = memmem(text, (size_t)n, "]: {", 4);
        assert_non_null(json);
        assert_true(json_is_valid(json + 3, (size_t)(text + n - json - 3)));
        assert_non_null(memmem(text, (size_t)n, i ? "/two" : "/one", 4));
    }
    access_log_free(log);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_logged_without_a_descriptor),
        cmocka_unit_test(lines_of_all_threads_arrive_whole_and_in_order),
        cmocka_unit_test(what_does_not_fit_is_dropped_and_counted),
        cmocka_unit_test(a_new_descriptor_takes_over_and_the_old_one_is_closed),
        cmocka_unit_test(a_broken_destination_costs_lines_and_nothing_else),
        cmocka_unit_test(syslog_gets_one_datagram_for_each_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
