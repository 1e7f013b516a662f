#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/sockets.h"

static char why[SOCKETS_WHY];

static struct address ip(const char *text, uint16_t port)
{
    struct address a;

    assert_int_equal(address_from_ip(text, port, &a), 0);
    return a;
}

/* A port below the ephemeral ones that nobody uses on any address of this machine. */
static uint16_t free_port(void)
{
    static uint16_t next;

    if (!next)
        next = (uint16_t)(22000 + getpid() % 6000);
    for (;; next++) {
        struct address v4 = ip("0.0.0.0", next), v6 = ip("::", next);
        if (sockets_probe(&v4) == 0 && (sockets_probe(&v6) == 0 || errno == EAFNOSUPPORT))
            return next++;
    }
}

static bool can_connect(const struct address *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM, 0);
    bool connected = connect(fd, &a->any, a->size) == 0;

    close(fd);
    return connected;
}

static int socket_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    getsockopt(fd, level, name, &value, &size);
    return value;
}

static void each_thread_has_a_socket_of_its_own(void **state)
{
    struct listen_set set = { .threads = 3 };
    struct address a = ip("127.0.0.1", free_port());

    (void)state;
    assert_int_equal(sockets_prepare(&set, &a, 1, why), 0);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.items[0].count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(socket_option(set.items[0].fds[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
        assert_int_equal(socket_option(set.items[0].fds[i], SOL_SOCKET, SO_REUSEPORT), 1);
    }
    assert_true(can_connect(&a));
    sockets_close(&set, true);
    assert_false(can_connect(&a));
}

static void a_port_in_use_is_refused_even_with_reuseport(void **state)
{
    struct listen_set ours = { .threads = 1 }, others = { .threads = 2 };
    struct address a = ip("127.0.0.1", free_port());

    (void)state;
    assert_int_equal(sockets_prepare(&others, &a, 1, why), 0);
    assert_int_equal(sockets_prepare(&ours, &a, 1, why), -E_SYSTEM);
    assert_non_null(strstr(why, "is in use by another process"));
    assert_int_equal(ours.count, 0);
    sockets_close(&ours, true);
    sockets_close(&others, true);
}

static void a_failure_changes_nothing(void **state)
{
    struct listen_set set = { .threads = 2 }, others = { .threads = 1 };
    struct address kept = ip("127.0.0.1", free_port()), fresh = ip("127.0.0.1", free_port()), taken = ip("127.0.0.1", free_port());
    struct address wanted[] = { fresh, taken };

    (void)state;
    assert_int_equal(sockets_prepare(&others, &taken, 1, why), 0);
    assert_int_equal(sockets_prepare(&set, &kept, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(sockets_prepare(&set, wanted, 2, why), -E_SYSTEM);
    assert_int_equal(set.count, 1);
    assert_true(set.items[0].is_wanted);
    assert_true(can_connect(&kept));
    assert_false(can_connect(&fresh));
    sockets_close(&set, true);
    sockets_close(&others, true);
}

static void a_reload_keeps_what_stays_and_closes_the_rest(void **state)
{
    struct listen_set set = { .threads = 1 };
    struct address a = ip("127.0.0.1", free_port()), b = ip("127.0.0.1", free_port()), c = ip("127.0.0.1", free_port());
    struct address first[] = { a, b }, second[] = { b, c };
    int fd;

    (void)state;
    assert_int_equal(sockets_prepare(&set, first, 2, why), 0);
    sockets_commit(&set);
    fd = set.items[1].fds[0];
    assert_int_equal(sockets_prepare(&set, second, 2, why), 0);
    assert_true(can_connect(&a)); /* until the commit */
    sockets_commit(&set);
    assert_int_equal(set.count, 2);
    assert_int_equal(set.items[0].fds[0], fd);
    assert_false(can_connect(&a));
    assert_true(can_connect(&b));
    assert_true(can_connect(&c));
    sockets_close(&set, true);
}

static void wildcards_of_both_families_stand_side_by_side(void **state)
{
    struct listen_set set = { .threads = 2 };
    uint16_t port = free_port();
    struct address wanted[] = { ip("0.0.0.0", port), ip("::", port) }, loopback = ip("127.0.0.1", port);

    (void)state;
    assert_int_equal(sockets_prepare(&set, wanted, 2, why), 0);
    assert_true(can_connect(&loopback));
    if (set.count == 2) /* a kernel without IPv6 has one */
        assert_int_equal(socket_option(set.items[1].fds[0], IPPROTO_IPV6, IPV6_V6ONLY), 1);
    sockets_close(&set, true);
}

static void a_reload_may_move_between_wildcard_and_exact_address(void **state)
{
    struct listen_set set = { .threads = 2 };
    uint16_t port = free_port();
    struct address any = ip("0.0.0.0", port), exact = ip("127.0.0.1", port);

    (void)state;
    assert_int_equal(sockets_prepare(&set, &any, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(sockets_prepare(&set, &exact, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(set.count, 1);
    assert_true(can_connect(&exact));
    assert_int_equal(sockets_prepare(&set, &any, 1, why), 0);
    sockets_commit(&set);
    assert_true(can_connect(&exact));
    sockets_close(&set, true);
}

static struct address unix_path(char path[64])
{
    struct address a;

    snprintf(path, 64, "/tmp/unlade-test-%d.sock", (int)getpid());
    unlink(path);
    assert_int_equal(address_from_path(path, &a), 0);
    return a;
}

static void a_unix_socket_is_shared_and_its_file_goes_with_it(void **state)
{
    struct listen_set set = { .threads = 4 };
    char path[64];
    struct address a = unix_path(path);

    (void)state;
    assert_int_equal(sockets_prepare(&set, &a, 1, why), 0);
    assert_int_equal(set.items[0].count, 1);
    assert_true(can_connect(&a));
    sockets_close(&set, true);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct listen_set set = { .threads = 1 }, others = { .threads = 1 };
    char path[64];
    struct address a = unix_path(path);

    (void)state;
    assert_int_equal(sockets_prepare(&others, &a, 1, why), 0);
    assert_int_equal(sockets_prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_non_null(strstr(why, "somebody listens there"));
    assert_true(can_connect(&a));
    sockets_close(&others, false); /* as a crash leaves it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(sockets_prepare(&set, &a, 1, why), 0);
    assert_true(can_connect(&a));
    sockets_close(&set, true);
}

static void a_file_in_the_way_of_a_unix_socket_is_left_alone(void **state)
{
    struct listen_set set = { .threads = 1 };
    char path[64];
    struct address a = unix_path(path);
    FILE *f = fopen(path, "w");

    (void)state;
    fclose(f);
    assert_int_equal(sockets_prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    sockets_close(&set, true);
}

static void an_address_of_another_machine_is_explained(void **state)
{
    struct listen_set set = { .threads = 1 };
    struct address a = ip("192.0.2.1", free_port());

    (void)state;
    assert_int_equal(sockets_prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_non_null(strstr(why, "is not an address of this machine"));
    sockets_close(&set, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thread_has_a_socket_of_its_own),
        cmocka_unit_test(a_port_in_use_is_refused_even_with_reuseport),
        cmocka_unit_test(a_failure_changes_nothing),
        cmocka_unit_test(a_reload_keeps_what_stays_and_closes_the_rest),
        cmocka_unit_test(wildcards_of_both_families_stand_side_by_side),
        cmocka_unit_test(a_reload_may_move_between_wildcard_and_exact_address),
        cmocka_unit_test(a_unix_socket_is_shared_and_its_file_goes_with_it),
        cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(a_file_in_the_way_of_a_unix_socket_is_left_alone),
        cmocka_unit_test(an_address_of_another_machine_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
