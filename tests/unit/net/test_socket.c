#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "net/socket.h"

#define S 1000000000ull

static const struct socket_options options = {
    .keep_alive_ns = 45 * S,
    .keep_alive_interval_ns = 7 * S + 1, /* the kernel counts in seconds: never shorter than what was written */
    .keep_alive_probes = 5,
    .user_timeout_ns = 12345678900ull,
    .send_buffer_bytes = 100000,
    .receive_buffer_bytes = 120000,
};
static const struct socket_options off = { .keep_alive_interval_ns = S, .keep_alive_probes = 1 };

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void assert_options(int fd)
{
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 45);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 8);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12346);
    assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 200000); /* the kernel doubles them for its own needs: socket(7) */
    assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 240000);
}

static struct address loopback(void)
{
    struct address a;

    assert_int_equal(address_from_ip("127.0.0.1", 0, &a), 0);
    return a;
}

/* A listening socket with these options; its address goes to *ret. */
static int listening(const struct socket_options *o, struct address *ret)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *ret = loopback();
    assert_true(fd >= 0);
    assert_int_equal(socket_tune(fd, o), 0);
    assert_int_equal(bind(fd, &ret->any, ret->size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, &ret->any, &ret->size), 0);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static int connect_to(const struct address *a, const struct socket_options *o, bool fast_open)
{
    bool open = false;
    int fd = socket_connect(a, o, fast_open, &open);

    assert_true(fd >= 0);
    if (!open) {
        wait_for(fd, POLLOUT);
        assert_int_equal(socket_connected(fd), 0);
    }
    return fd;
}

static int accept_from(int listener, struct address *peer)
{
    int fd;

    wait_for(listener, POLLIN);
    fd = socket_accept(listener, peer);
    assert_true(fd >= 0);
    return fd;
}

static void accepted_connections_have_the_options_of_their_listener(void **state)
{
    struct address a, peer;
    int listener = listening(&options, &a), client = connect_to(&a, &off, false), fd = accept_from(listener, &peer);

    (void)state;
    assert_options(fd);
    assert_int_equal(peer.any.sa_family, AF_INET);
    close(fd);
    close(client);
    close(listener);
}

static void connections_to_servers_have_their_options(void **state)
{
    struct address a;
    int listener = listening(&off, &a), fd = connect_to(&a, &options, false);

    (void)state;
    assert_options(fd);
    close(fd);
    close(listener);
}

static void what_is_off_is_off(void **state)
{
    struct address a, peer;
    int listener = listening(&off, &a), client = connect_to(&a, &off, false), fd = accept_from(listener, &peer);
    const int both[] = { fd, client };

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(option(both[i], IPPROTO_TCP, TCP_NODELAY), 1);
        assert_int_equal(option(both[i], SOL_SOCKET, SO_KEEPALIVE), 0);
        assert_int_equal(option(both[i], IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
        close(both[i]);
    }
    close(listener);
}

static void a_listener_can_be_tuned_anew_for_those_who_come_later(void **state)
{
    struct address a, peer;
    int listener = listening(&off, &a), first, later, fd;

    (void)state;
    first = connect_to(&a, &off, false);
    fd = accept_from(listener, &peer);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(socket_tune(listener, &options), 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(fd);
    later = connect_to(&a, &off, false);
    fd = accept_from(listener, &peer);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 45);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12346);
    assert_int_equal(socket_tune(listener, &off), 0);
    assert_int_equal(option(listener, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option(listener, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    close(fd);
    close(first);
    close(later);
    close(listener);
}

static void fast_open_is_asked_for_only_where_it_is_wanted(void **state)
{
    struct address a;
    int listener = listening(&off, &a), without = connect_to(&a, &off, false), with = connect_to(&a, &off, true);

    (void)state;
    assert_int_equal(option(without, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 0);
    assert_int_equal(option(with, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 1);
    close(with);
    close(without);
    close(listener);
}

static void a_unix_socket_is_open_at_once_and_has_no_options_of_tcp(void **state)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), fd;
    struct address a = { .un = { .sun_family = AF_UNIX }, .size = sizeof(sa_family_t) }, peer;
    bool open = false;

    (void)state;
    assert_int_equal(bind(listener, &a.any, a.size), 0); /* the kernel finds an abstract name */
    assert_int_equal(listen(listener, 8), 0);
    a.size = sizeof a.un;
    assert_int_equal(getsockname(listener, &a.any, &a.size), 0);
    fd = socket_connect(&a, &options, true, &open);
    assert_true(fd >= 0 && open);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(accept_from(listener, &peer));
    close(fd);
    close(listener);
    assert_int_equal(socket_connect(&a, &options, true, &open), -E_CONNECT);
}

static void a_socket_that_is_not_tcp_cannot_be_tuned(void **state)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(socket_tune(fd, &options), -E_SYSTEM);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_connections_have_the_options_of_their_listener),
        cmocka_unit_test(connections_to_servers_have_their_options),
        cmocka_unit_test(what_is_off_is_off),
        cmocka_unit_test(a_listener_can_be_tuned_anew_for_those_who_come_later),
        cmocka_unit_test(fast_open_is_asked_for_only_where_it_is_wanted),
        cmocka_unit_test(a_unix_socket_is_open_at_once_and_has_no_options_of_tcp),
        cmocka_unit_test(a_socket_that_is_not_tcp_cannot_be_tuned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
