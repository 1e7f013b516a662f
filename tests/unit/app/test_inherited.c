#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "app/inherited.h"
#include "app/sockets.h"

/* Each test puts its descriptors where a service manager does; cmocka has none there. */
static void put(int fd, int i)
{
    assert_true(fd >= 0);
    if (fd == INHERITED_FIRST + i)
        return;
    assert_int_equal(dup2(fd, INHERITED_FIRST + i), INHERITED_FIRST + i);
    close(fd);
}

static int listening(const char *ip, bool v6_only, struct address *ret)
{
    int fd, on = v6_only;

    assert_int_equal(address_from_ip(ip, 0, ret), 0);
    fd = socket(ret->any.sa_family, SOCK_STREAM, 0);
    if (ret->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    assert_int_equal(bind(fd, &ret->any, ret->size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &ret->any, &ret->size), 0);
    return fd;
}

static void announce(pid_t pid, const char *count, const char *names)
{
    char text[16];

    snprintf(text, sizeof text, "%d", (int)pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", count, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
    else
        unsetenv("LISTEN_FDNAMES");
}

static bool can_connect(const struct address *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM, 0);
    bool connected = connect(fd, &a->any, a->size) == 0;

    close(fd);
    return connected;
}

static struct listen_wish wish_for(const struct address *a)
{
    return (struct listen_wish){ .address = *a, .tcp.keep_alive_interval_ns = 1, .tcp.keep_alive_probes = 1, .mode = 0666, .uid = (uid_t)-1, .gid = (gid_t)-1 };
}

static void what_was_passed_is_read_with_names_and_the_variables_go(void **state)
{
    struct inherited_set set;
    struct address a, b;

    (void)state;
    put(listening("127.0.0.1", false, &a), 0);
    put(listening("127.0.0.1", false, &b), 1);
    announce(getpid(), "2", "web:plain");
    inherited_read(&set);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.items[0].name, "web");
    assert_string_equal(set.items[1].name, "plain");
    assert_true(address_equal(&set.items[0].address, &a) && address_equal(&set.items[1].address, &b));
    assert_true(fcntl(set.items[0].fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(set.items[0].fd, F_GETFD) & FD_CLOEXEC);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    assert_ptr_equal(inherited_find(&set, &b), &set.items[1]);
    set.items[1].is_taken = true;
    assert_null(inherited_find(&set, &b));
    inherited_close(&set);
    assert_false(can_connect(&a));
}

static void what_was_passed_to_another_process_is_not_ours(void **state)
{
    struct inherited_set set;

    (void)state;
    announce(getpid() + 1, "2", NULL);
    inherited_read(&set);
    assert_int_equal(set.count, 0);
    announce(getpid(), "-1", NULL);
    inherited_read(&set);
    assert_int_equal(set.count, 0);
    announce(getpid(), "0", NULL);
    inherited_read(&set);
    assert_int_equal(set.count, 0);
    inherited_read(&set); /* nothing is announced */
    assert_int_equal(set.count, 0);
}

static void what_cannot_be_listened_on_is_left_out(void **state)
{
    struct inherited_set set;
    struct address a;

    (void)state;
    put(socket(AF_INET, SOCK_DGRAM, 0), 0);
    put(socket(AF_INET, SOCK_STREAM, 0), 1); /* does not listen */
    put(open("/dev/null", O_RDONLY), 2);
    put(listening("127.0.0.1", false, &a), 3);
    close(7);
    announce(getpid(), "5", "a:b");
    inherited_read(&set);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.items[0].fd, INHERITED_FIRST + 3);
    assert_string_equal(set.items[0].name, "");
    inherited_close(&set);
    for (int i = 0; i < 3; i++)
        close(INHERITED_FIRST + i);
}

static void a_listener_takes_the_socket_of_its_address_for_all_threads(void **state)
{
    struct listen_set set = { .threads = 3 };
    char why[SOCKETS_WHY];
    struct address a;
    struct listen_wish wish;
    int backlog_fd;

    (void)state;
    put(listening("127.0.0.1", false, &a), 0);
    announce(getpid(), "1", "web");
    inherited_read(&set.inherited);
    wish = wish_for(&a);
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.items[0].count, 1);
    assert_int_equal(set.items[0].fds[0], INHERITED_FIRST);
    sockets_commit(&set);
    assert_true(can_connect(&a));
    assert_int_equal(sockets_prepare(&set, NULL, 0, why), 0); /* no listener names it any more, */
    sockets_commit(&set);
    assert_int_equal(set.count, 0);
    assert_true(can_connect(&a)); /* the service manager holds it, */
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0); /* and it can be had again */
    assert_int_equal(set.items[0].fds[0], INHERITED_FIRST);
    sockets_close(&set, true);
    backlog_fd = fcntl(INHERITED_FIRST, F_GETFD);
    assert_int_equal(backlog_fd, -1);
}

static void one_socket_of_both_families_stands_for_both_wildcards(void **state)
{
    struct listen_set set = { .threads = 2 };
    char why[SOCKETS_WHY];
    struct address any, v4, loopback;
    struct listen_wish wishes[2];

    (void)state;
    put(listening("::", false, &any), 0);
    announce(getpid(), "1", NULL);
    inherited_read(&set.inherited);
    assert_int_equal(address_from_ip("0.0.0.0", address_port(&any), &v4), 0);
    assert_int_equal(address_from_ip("127.0.0.1", address_port(&any), &loopback), 0);
    wishes[0] = wish_for(&v4);
    wishes[1] = wish_for(&any);
    assert_int_equal(sockets_prepare(&set, wishes, 2, why), 0);
    assert_int_equal(set.count, 1);
    assert_true(can_connect(&loopback));
    sockets_close(&set, true);
}

static void the_file_of_an_inherited_unix_socket_stays(void **state)
{
    struct listen_set set = { .threads = 1 };
    char why[SOCKETS_WHY], path[64];
    struct address a;
    struct listen_wish wish;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    snprintf(path, sizeof path, "/tmp/unlade-inherited-%d.sock", (int)getpid());
    unlink(path);
    assert_int_equal(address_from_path(path, &a), 0);
    assert_int_equal(bind(fd, &a.any, a.size), 0);
    assert_int_equal(listen(fd, 8), 0);
    put(fd, 0);
    announce(getpid(), "1", "app");
    inherited_read(&set.inherited);
    wish = wish_for(&a);
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_true(can_connect(&a));
    sockets_close(&set, true);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_passed_is_read_with_names_and_the_variables_go),
        cmocka_unit_test(what_was_passed_to_another_process_is_not_ours),
        cmocka_unit_test(what_cannot_be_listened_on_is_left_out),
        cmocka_unit_test(a_listener_takes_the_socket_of_its_address_for_all_threads),
        cmocka_unit_test(one_socket_of_both_families_stands_for_both_wildcards),
        cmocka_unit_test(the_file_of_an_inherited_unix_socket_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
