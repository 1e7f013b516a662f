#include "app/sockets_open.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/machine.h"
#include "base/log.h"
#include "net/socket.h"

static int backlog_of(const struct listen_wish *wish)
{
    return wish->tcp.backlog ? (int)wish->tcp.backlog : (int)machine_backlog();
}

bool address_is_unix(const struct address *a)
{
    return a->any.sa_family == AF_UNIX;
}

bool address_is_any(const struct address *a)
{
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == INADDR_ANY;
    return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static void explain(const struct address *a, const char *step, char why[SOCKETS_WHY])
{
    char text[ADDRESS_TEXT];
    int error = errno;

    address_print(a, text);
    if (error == EADDRINUSE)
        snprintf(why, SOCKETS_WHY,
                 "%s is in use by another process: see who it is with `ss -ltnp`, stop it, or choose another port",
                 text);
    else if (error == EACCES && !address_is_unix(a))
        snprintf(
            why, SOCKETS_WHY,
            "%s may not be bound by this user: start as root (the worker then runs as its own user), give the binary "
            "CAP_NET_BIND_SERVICE, or choose a port from 1024 on",
            text);
    else if (error == EADDRNOTAVAIL)
        snprintf(why, SOCKETS_WHY, "%s is not an address of this machine: see `ip address`", text);
    else if (error == EMFILE)
        snprintf(why, SOCKETS_WHY, "%s: too many open files: raise the limit (ulimit -n, LimitNOFILE)", text);
    else
        snprintf(why, SOCKETS_WHY, "%s: %s: %s", text, step, strerror(error));
}

/* A bound socket that does not listen yet, or -1 (errno). */
static int bound_socket(const struct address *a, bool share_port)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, error;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if ((!share_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, &a->any, a->size) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* SO_REUSEPORT would let us join a port that another process of the same user serves, and take half of its clients.
 * A bind without it finds out. */
int sockets_probe(const struct address *a)
{
    int fd = bound_socket(a, false);

    if (fd < 0)
        return -E_SYSTEM;
    if (listen(fd, 1) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -E_SYSTEM;
    }
    close(fd);
    return 0;
}

static int open_tcp(struct listen_address *item, unsigned threads, bool probe, char why[SOCKETS_WHY])
{
    const struct address *a = &item->wish.address;

    if (probe && sockets_probe(a) < 0) {
        explain(a, "cannot be bound", why);
        return -E_SYSTEM;
    }
    for (unsigned i = 0; i < threads; i++) {
        int fd = bound_socket(a, true);
        if (fd < 0) {
            explain(a, "cannot be bound", why);
            return -E_SYSTEM;
        }
        item->fds[item->count++] = fd;
    }
    listen_tune(item, NULL); /* sizes of buffers count before listening */
    for (unsigned i = 0; i < threads; i++) {
        if (listen(item->fds[i], backlog_of(&item->wish)) < 0) {
            explain(a, "cannot listen", why);
            return -E_SYSTEM;
        }
    }
    return 0;
}

/* A socket file that nobody listens on is what a crash left: it is removed. Anything else is left alone. */
static int clear_stale(const struct address *a)
{
    struct stat st;
    int fd;

    if (!a->un.sun_path[0] || lstat(a->un.sun_path, &st) < 0)
        return 0;
    errno = EADDRINUSE;
    if (!S_ISSOCK(st.st_mode))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, &a->any, a->size) == 0 || errno != ECONNREFUSED) {
        close(fd);
        errno = EADDRINUSE;
        return -1;
    }
    close(fd);
    return unlink(a->un.sun_path);
}

/* The file of a Unix socket itself. Who else may write to its directory can have put something in its place: a link is not
 * followed, and nothing but a socket is touched. Returns a descriptor (O_PATH), or -1 with errno. */
static int open_file(const char *path)
{
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
        return fd;
    close(fd);
    errno = ENOTSOCK;
    return -1;
}

/* fchmod() takes no such descriptor before Linux 6.6. */
static int change_mode(int fd, mode_t mode)
{
    char link[40];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return chmod(link, mode);
}

static int change_owner(int fd, uid_t uid, gid_t gid)
{
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

/* Who may connect to a Unix socket's path. old: what was in force before; NULL: it was just made. */
static int set_owner(const struct listen_wish *wish, const struct listen_wish *old)
{
    const char *path = wish->address.un.sun_path;
    uid_t uid = wish->uid;
    gid_t gid = wish->gid;
    int fd, failed, why;

    if (!path[0]) /* an abstract one has no file */
        return 0;
    if (old && old->uid != (uid_t)-1 && uid == (uid_t)-1) /* ours again */
        uid = geteuid();
    if (old && old->gid != (gid_t)-1 && gid == (gid_t)-1)
        gid = getegid();
    fd = open_file(path);
    if (fd < 0)
        return -E_SYSTEM;
    /* Root without CAP_FOWNER may give a file away, but not change the mode of another's: it takes it back for that. */
    failed = change_mode(fd, wish->mode) < 0 &&
             (change_owner(fd, geteuid(), (gid_t)-1) < 0 || change_mode(fd, wish->mode) < 0);
    if (!failed && (uid != (uid_t)-1 || gid != (gid_t)-1))
        failed = change_owner(fd, uid, gid) < 0;
    why = errno;
    close(fd);
    errno = why;
    return failed ? -E_SYSTEM : 0;
}

static int open_unix(struct listen_address *item, char why[SOCKETS_WHY])
{
    const struct address *a = &item->wish.address;
    int fd;

    if (clear_stale(a) < 0 || (fd = bound_socket(a, false)) < 0) {
        char text[ADDRESS_TEXT];
        address_print(a, text);
        if (errno == EADDRINUSE)
            snprintf(why, SOCKETS_WHY,
                     "%s exists and somebody listens there, or it is not a socket: remove it or choose another path",
                     text);
        else
            explain(a, "cannot be bound", why);
        return -E_SYSTEM;
    }
    item->fds[item->count++] = fd;
    if (set_owner(&item->wish, NULL) < 0) { /* before anybody can connect */
        explain(a, "its mode, user or group cannot be set", why);
        return -E_SYSTEM;
    }
    if (listen(fd, backlog_of(&item->wish)) < 0) {
        explain(a, "cannot listen", why);
        return -E_SYSTEM;
    }
    return 0;
}

int listen_open(struct listen_address *item, unsigned threads, bool probe, char why[SOCKETS_WHY])
{
    return address_is_unix(&item->wish.address) ? open_unix(item, why) : open_tcp(item, threads, probe, why);
}

/* ---- options, also of sockets that are open ---- */

static bool is_listening(int fd)
{
    int value = 0;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value;
}

/* fast_open: what was in force before is no matter of ours when it was off. */
static int tune_tcp(int fd, const struct listen_wish *wish, const struct listen_wish *old)
{
    int queue = (int)wish->fast_open, failed = socket_tune(fd, &wish->tcp);

    if ((queue || (old && old->fast_open)) && setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) < 0)
        failed = -E_SYSTEM;
    return failed;
}

static bool is_dropped(uint64_t was, uint64_t is)
{
    return was && !is;
}

void listen_tune(const struct listen_address *item, const struct listen_wish *old)
{
    const struct listen_wish *wish = &item->wish;
    int failed = 0;
    char text[ADDRESS_TEXT];

    address_print(&wish->address, text);
    for (unsigned i = 0; i < item->count; i++) {
        if (!address_is_unix(&wish->address))
            failed |= tune_tcp(item->fds[i], wish, old);
        if (is_listening(item->fds[i])) /* the number of those that may wait can change */
            failed |= listen(item->fds[i], backlog_of(wish));
    }
    if (old && address_is_unix(&wish->address) && !item->from &&
        (old->mode != wish->mode || old->uid != wish->uid || old->gid != wish->gid))
        failed |= set_owner(wish, old);
    if (failed)
        log_warning("%s: the kernel refused an option of the socket: %s", text, strerror(errno));
    if (old && (is_dropped(old->tcp.send_buffer_bytes, wish->tcp.send_buffer_bytes) ||
                is_dropped(old->tcp.receive_buffer_bytes, wish->tcp.receive_buffer_bytes)))
        log_warning("%s: `send_buffer` and `receive_buffer` become the kernel's again only after a restart", text);
}
