#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/machine.h"
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

static struct listen_wish wish_for(const struct address *a)
{
    return (struct listen_wish){ .address = *a, .mode = 0666, .uid = (uid_t)-1, .gid = (gid_t)-1 };
}

static int prepare(struct listen_set *set, const struct address *wanted, size_t count, char *ret_why)
{
    struct listen_wish wishes[4];

    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++)
        wishes[i] = wish_for(&wanted[i]);
    return sockets_prepare(set, wishes, count, ret_why);
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
    assert_int_equal(prepare(&set, &a, 1, why), 0);
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
    assert_int_equal(prepare(&others, &a, 1, why), 0);
    assert_int_equal(prepare(&ours, &a, 1, why), -E_SYSTEM);
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
    assert_int_equal(prepare(&others, &taken, 1, why), 0);
    assert_int_equal(prepare(&set, &kept, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(prepare(&set, wanted, 2, why), -E_SYSTEM);
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
    assert_int_equal(prepare(&set, first, 2, why), 0);
    sockets_commit(&set);
    fd = set.items[1].fds[0];
    assert_int_equal(prepare(&set, second, 2, why), 0);
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
    assert_int_equal(prepare(&set, wanted, 2, why), 0);
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
    assert_int_equal(prepare(&set, &any, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(prepare(&set, &exact, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(set.count, 1);
    assert_true(can_connect(&exact));
    assert_int_equal(prepare(&set, &any, 1, why), 0);
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
    assert_int_equal(prepare(&set, &a, 1, why), 0);
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
    assert_int_equal(prepare(&others, &a, 1, why), 0);
    assert_int_equal(prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_non_null(strstr(why, "somebody listens there"));
    assert_true(can_connect(&a));
    sockets_close(&others, false); /* as a crash leaves it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(prepare(&set, &a, 1, why), 0);
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
    assert_int_equal(prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    sockets_close(&set, true);
}

static void an_address_of_another_machine_is_explained(void **state)
{
    struct listen_set set = { .threads = 1 };
    struct address a = ip("192.0.2.1", free_port());

    (void)state;
    assert_int_equal(prepare(&set, &a, 1, why), -E_SYSTEM);
    assert_non_null(strstr(why, "is not an address of this machine"));
    sockets_close(&set, true);
}

static void listening_sockets_have_their_options_and_a_reload_changes_them(void **state)
{
    struct listen_set set = { .threads = 2 };
    struct address a = ip("127.0.0.1", free_port());
    struct listen_wish wish = wish_for(&a), changed;
    int fd;

    (void)state;
    wish.tcp = (struct socket_options){ .keep_alive_ns = 30000000000, .keep_alive_interval_ns = 5000000000, .keep_alive_probes = 2, .backlog = 7 };
    wish.fast_open = 16;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    fd = set.items[0].fds[1];
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT), 2);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_FASTOPEN), 16);
    changed = wish;
    changed.tcp.keep_alive_ns = 0;
    changed.tcp.user_timeout_ns = 9000000000;
    changed.fast_open = 0;
    assert_int_equal(sockets_prepare(&set, &changed, 1, why), 0);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1); /* until the commit */
    sockets_abandon(&set);
    sockets_commit(&set);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(sockets_prepare(&set, &changed, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(set.items[0].fds[1], fd);
    assert_int_equal(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 9000);
    assert_int_equal(socket_option(fd, IPPROTO_TCP, TCP_FASTOPEN), 0);
    assert_true(can_connect(&a));
    sockets_close(&set, true);
}

/* For a listening socket the kernel tells in these fields how many wait, and how many may. */
static unsigned backlog(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_sacked;
}

static void the_backlog_can_be_chosen_and_changed(void **state)
{
    struct listen_set set = { .threads = 1 };
    struct address a = ip("127.0.0.1", free_port());
    struct listen_wish wish = wish_for(&a);

    (void)state;
    wish.tcp.backlog = 7;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(backlog(set.items[0].fds[0]), 7);
    wish.tcp.backlog = 9;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(backlog(set.items[0].fds[0]), 9);
    wish.tcp.backlog = 0;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(backlog(set.items[0].fds[0]), machine_backlog());
    sockets_close(&set, true);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void the_file_of_a_unix_socket_has_its_mode_and_a_reload_changes_it(void **state)
{
    struct listen_set set = { .threads = 1 };
    char path[64];
    struct address a = unix_path(path);
    struct listen_wish wish = wish_for(&a);

    (void)state;
    wish.mode = 0640;
    wish.gid = getgid();
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(mode_of(path), 0640);
    wish.mode = 0600;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    assert_int_equal(mode_of(path), 0640);
    sockets_commit(&set);
    assert_int_equal(mode_of(path), 0600);
    assert_true(can_connect(&a));
    sockets_close(&set, true);
}

/* Somebody who may write to the directory put a link to another file there. */
static void a_link_in_the_place_of_a_unix_socket_is_not_followed(void **state)
{
    struct listen_set set = { .threads = 1 };
    char path[64], victim[80];
    struct address a = unix_path(path);
    struct listen_wish wish = wish_for(&a);
    int fd;

    (void)state;
    snprintf(victim, sizeof victim, "%s-victim", path);
    fd = open(victim, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(victim, path), 0);
    wish.mode = 0666;
    wish.uid = geteuid();
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    wish.mode = 0640;
    assert_int_equal(sockets_prepare(&set, &wish, 1, why), 0);
    sockets_commit(&set);
    assert_int_equal(mode_of(victim), 0600);
    unlink(victim);
    unlink(path);
    sockets_close(&set, true);
}

static void an_owner_that_may_not_be_given_is_explained(void **state)
{
    struct listen_set set = { .threads = 1 };
    char path[64];
    struct address a = unix_path(path);
    struct listen_wish wish = wish_for(&a);

    (void)state;
    if (getuid() == 0) { /* root may give a file to anybody, so that only a broken path is left to fail */
        assert_int_equal(address_from_path("/nonexistent/unlade.sock", &wish.address), 0);
        assert_int_equal(sockets_prepare(&set, &wish, 1, why), -E_SYSTEM);
        assert_non_null(strstr(why, "cannot be bound"));
    } else {
        wish.uid = 0;
        assert_int_equal(sockets_prepare(&set, &wish, 1, why), -E_SYSTEM);
        assert_non_null(strstr(why, "mode, user or group"));
        assert_int_equal(access(path, F_OK), -1);
    }
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
        cmocka_unit_test(listening_sockets_have_their_options_and_a_reload_changes_them),
        cmocka_unit_test(the_backlog_can_be_chosen_and_changed),
        cmocka_unit_test(the_file_of_a_unix_socket_has_its_mode_and_a_reload_changes_it),
        cmocka_unit_test(a_link_in_the_place_of_a_unix_socket_is_not_followed),
        cmocka_unit_test(an_owner_that_may_not_be_given_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
