#include "app/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

int channel_open(int ret_ends[2])
{
    int ends[2], size = 4 << 20;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -E_SYSTEM;
    for (int i = 0; i < 2; i++) /* room for the sockets of many addresses and threads; what the kernel allows */
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return 0;
}

/* The bytes of the message that are in use. */
static size_t message_size(const struct channel_message *m)
{
    size_t head = offsetof(struct channel_message, tickets);

    if (m->kind == CHANNEL_TICKETS)
        return head + sizeof m->tickets;
    if (m->kind == CHANNEL_SOCKETS)
        return head + m->count * sizeof m->sockets[0];
    return head;
}

int channel_send(int end, const struct channel_message *m, const int *fds, size_t fd_count)
{
    union {
        char bytes[CMSG_SPACE(CHANNEL_SOCKETS_MOST * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { (void *)(uintptr_t)m, message_size(m) };
    struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1 };

    CHECK(fd_count <= CHANNEL_SOCKETS_MOST && (m->kind != CHANNEL_SOCKETS || m->count <= CHANNEL_SOCKETS_MOST));
    if (fd_count) {
        struct cmsghdr *c;
        memset(&control, 0, sizeof control);
        h.msg_control = control.bytes;
        h.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    for (;;) {
        if (sendmsg(end, &h, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -E_SYSTEM;
    }
}

static size_t take_descriptors(struct msghdr *h, int *fds)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
    return count;
}

int channel_receive(int end, struct channel_message *ret_message, int *ret_fds, size_t *ret_fd_count)
{
    union {
        char bytes[CMSG_SPACE(CHANNEL_SOCKETS_MOST * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { ret_message, sizeof *ret_message };
    struct msghdr h = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control
    };
    ssize_t n;

    do
        n = recvmsg(end, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -E_AGAIN : errno == ECONNRESET ? -E_CLOSED : -E_SYSTEM;
    if (n == 0)
        return -E_CLOSED;
    *ret_fd_count = take_descriptors(&h, ret_fds);
    CHECK((size_t)n >= offsetof(struct channel_message, tickets) && (size_t)n == message_size(ret_message));
    if (h.msg_flags & MSG_CTRUNC) { /* too many open files */
        for (size_t i = 0; i < *ret_fd_count; i++)
            close(ret_fds[i]);
        errno = EMFILE;
        return -E_SYSTEM;
    }
    return 0;
}

int sealed_open(const char *name, size_t size, uint8_t **ret_content)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *content;

    if (fd < 0)
        return -E_SYSTEM;
    if (ftruncate(fd, (off_t)size) < 0) {
        close(fd);
        return -E_SYSTEM;
    }
    content = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (content == MAP_FAILED) {
        close(fd);
        return -E_SYSTEM;
    }
    *ret_content = content;
    return fd;
}

int sealed_close(int fd, uint8_t *content, size_t size)
{
    munmap(content, size);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -E_SYSTEM;
    return 0;
}

int sealed_map(int fd, const uint8_t **ret_content, size_t *ret_size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    void *content;

    if (seals < 0 || !(seals & F_SEAL_WRITE) || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0)
        return -E_SYSTEM;
    content = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (content == MAP_FAILED)
        return -E_SYSTEM;
    *ret_content = content;
    *ret_size = (size_t)st.st_size;
    return 0;
}
