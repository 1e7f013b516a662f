#include "net/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void set_no_delay(int fd, const struct address *a)
{
    const int on = 1;

    if (a->any.sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int socket_accept(int listener, struct address *ret_peer)
{
    int fd;

    ret_peer->size = sizeof(struct sockaddr_un);
    fd = accept4(listener, &ret_peer->any, &ret_peer->size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        set_no_delay(fd, ret_peer);
        return fd;
    }
    switch (errno) {
    case EAGAIN:
        return -E_AGAIN;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return -E_LIMIT;
    default:
        return -E_SYSTEM;
    }
}

int socket_connect(const struct address *to)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? -E_LIMIT : -E_SYSTEM;
    set_no_delay(fd, to);
    if (connect(fd, &to->any, to->size) == 0 || errno == EINPROGRESS)
        return fd;
    error = errno == EADDRNOTAVAIL ? -E_LIMIT : -E_CONNECT; /* EAGAIN: a Unix socket whose queue is full */
    close(fd);
    return error;
}

int socket_connected(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    struct address peer = { .size = sizeof(struct sockaddr_un) };

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
        return -E_CONNECT;
    if (getpeername(fd, &peer.any, &peer.size) < 0)
        return errno == ENOTCONN ? -E_AGAIN : -E_CONNECT;
    return 0;
}

bool socket_is_quiet(int fd)
{
    uint8_t byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

size_t socket_unsent(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void socket_limit_unsent(int fd, unsigned bytes)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}
