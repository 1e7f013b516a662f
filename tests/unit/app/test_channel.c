#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/channel.h"

static struct channel_message message;
static int fds[CHANNEL_SOCKETS_MOST];
static size_t fd_count;

static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void messages_arrive_whole_and_in_order(void **state)
{
    struct channel_message m = { .kind = CHANNEL_TICKETS, .tickets = { .count = 2 } };
    int ends[2];

    (void)state;
    memset(m.tickets.key[1].cipher_key, 0x5a, TICKET_KEY_BYTES);
    assert_int_equal(channel_open(ends), 0);
    assert_int_equal(channel_send(ends[0], &m, NULL, 0), 0);
    m = (struct channel_message){ .kind = CHANNEL_PUBLISH, .generation = 7 };
    assert_int_equal(channel_send(ends[0], &m, NULL, 0), 0);
    assert_int_equal(channel_receive(ends[1], &message, fds, &fd_count), 0);
    assert_int_equal(message.kind, CHANNEL_TICKETS);
    assert_int_equal(message.tickets.count, 2);
    assert_int_equal(message.tickets.key[1].cipher_key[31], 0x5a);
    assert_int_equal(fd_count, 0);
    assert_int_equal(channel_receive(ends[1], &message, fds, &fd_count), 0);
    assert_int_equal(message.kind, CHANNEL_PUBLISH);
    assert_int_equal(message.generation, 7);
    close(ends[0]);
    close(ends[1]);
}

static void the_most_descriptors_fit_into_one_message(void **state)
{
    static struct channel_message m;
    int ends[2], own = open("/dev/null", O_RDONLY);

    (void)state;
    m = (struct channel_message){ .kind = CHANNEL_SOCKETS, .generation = 3, .count = CHANNEL_SOCKETS_MOST };
    for (unsigned i = 0; i < CHANNEL_SOCKETS_MOST; i++) {
        m.sockets[i] = (struct channel_socket){ .thread = i, .has_fd = true };
        assert_int_equal(address_from_ip("192.0.2.1", (uint16_t)(i + 1), &m.sockets[i].address), 0);
        fds[i] = own;
    }
    assert_int_equal(channel_open(ends), 0);
    assert_int_equal(channel_send(ends[1], &m, fds, CHANNEL_SOCKETS_MOST), 0);
    assert_int_equal(channel_receive(ends[0], &message, fds, &fd_count), 0);
    assert_int_equal(fd_count, CHANNEL_SOCKETS_MOST);
    for (unsigned i = 0; i < CHANNEL_SOCKETS_MOST; i++) {
        assert_int_equal(address_port(&message.sockets[i].address), i + 1);
        assert_int_equal(message.sockets[i].thread, i);
        assert_true(is_same_file(fds[i], own));
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        close(fds[i]);
    }
    close(own);
    close(ends[0]);
    close(ends[1]);
}

static void the_end_of_the_other_side_is_seen(void **state)
{
    struct channel_message m = { .kind = CHANNEL_DRAIN };
    int ends[2];

    (void)state;
    assert_int_equal(channel_open(ends), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    assert_int_equal(channel_receive(ends[0], &message, fds, &fd_count), -E_AGAIN);
    close(ends[1]);
    assert_int_equal(channel_receive(ends[0], &message, fds, &fd_count), -E_CLOSED);
    assert_int_equal(channel_send(ends[0], &m, NULL, 0), -E_SYSTEM);
    assert_int_equal(errno, EPIPE);
    close(ends[0]);
}

static void sealed_content_can_be_read_and_not_changed(void **state)
{
    uint8_t *content;
    const uint8_t *mapped;
    size_t size;
    int fd = sealed_open("test", 5000, &content);

    (void)state;
    assert_true(fd >= 0);
    memset(content, 'k', 5000);
    assert_int_equal(sealed_close(fd, content, 5000), 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_ptr_equal(mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(sealed_map(fd, &mapped, &size), 0);
    assert_int_equal(size, 5000);
    assert_int_equal(mapped[4999], 'k');
    munmap((void *)(uintptr_t)mapped, size);
    close(fd);
}

static void what_is_not_sealed_is_not_mapped(void **state)
{
    const uint8_t *mapped;
    size_t size;
    int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)state;
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(sealed_map(fd, &mapped, &size), -E_SYSTEM);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_whole_and_in_order),
        cmocka_unit_test(the_most_descriptors_fit_into_one_message),
        cmocka_unit_test(the_end_of_the_other_side_is_seen),
        cmocka_unit_test(sealed_content_can_be_read_and_not_changed),
        cmocka_unit_test(what_is_not_sealed_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
