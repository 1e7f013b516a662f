#include "net/socket.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "loop/loop.h"

static int set(int fd, int level, int name, uint64_t value)
{
    const int number = value > INT_MAX ? INT_MAX : (int)value;
    return setsockopt(fd, level, name, &number, sizeof number);
}

/* Rounded up: a limit is never shorter than what was written. */
static uint64_t in_units(uint64_t ns, uint64_t unit_ns)
{
    return ns / unit_ns + (ns % unit_ns != 0);
}

/* fresh: what is off is so already. */
static int tune(int fd, const struct socket_options *o, bool fresh)
{
    int failed = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);

    if (o->keep_alive_ns || !fresh)
        failed |= set(fd, SOL_SOCKET, SO_KEEPALIVE, o->keep_alive_ns != 0);
    if (o->keep_alive_ns) {
        failed |= set(fd, IPPROTO_TCP, TCP_KEEPIDLE, in_units(o->keep_alive_ns, NS_PER_S));
        failed |= set(fd, IPPROTO_TCP, TCP_KEEPINTVL, in_units(o->keep_alive_interval_ns, NS_PER_S));
        failed |= set(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keep_alive_probes);
    }
    if (o->user_timeout_ns || !fresh)
        failed |= set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, in_units(o->user_timeout_ns, NS_PER_MS));
    if (o->send_buffer_bytes)
        failed |= set(fd, SOL_SOCKET, SO_SNDBUF, o->send_buffer_bytes);
    if (o->receive_buffer_bytes)
        failed |= set(fd, SOL_SOCKET, SO_RCVBUF, o->receive_buffer_bytes);
    return failed ? -E_SYSTEM : 0;
}

int socket_tune(int fd, const struct socket_options *o)
{
    return tune(fd, o, false);
}

int socket_accept(int listener, struct address *ret_peer)
{
    int fd;

    ret_peer->size = sizeof(struct sockaddr_un);
    fd = accept4(listener, &ret_peer->any, &ret_peer->size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        return fd;
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

int socket_connect(const struct address *to, const struct socket_options *o, bool fast_open, bool *ret_open)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? -E_LIMIT : -E_SYSTEM;
    if (to->any.sa_family != AF_UNIX) {
        (void)!tune(fd, o, true); /* without them it is slower to notice an end, but a connection */
        if (fast_open)
            (void)set(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
    }
    *ret_open = connect(fd, &to->any, to->size) == 0;
    if (*ret_open || errno == EINPROGRESS)
        return fd;
    error = errno == EADDRNOTAVAIL ? -E_LIMIT : -E_CONNECT; /* EAGAIN: a Unix socket whose queue is full */
    close(fd);
    return error;
}

void socket_open_now(int fd)
{
    (void)!send(fd, "", 0, MSG_NOSIGNAL); /* what went wrong is seen with the first byte */
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
