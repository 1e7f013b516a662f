#include "app/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"

static int listen_backlog(void)
{
    char text[32];
    int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    uint64_t backlog;

    if (fd >= 0)
        close(fd);
    if (n <= 0 || bytes_to_number(bytes_of(text, (size_t)n - (text[n - 1] == '\n')), 1 << 20, &backlog) < 0)
        return SOMAXCONN;
    return (int)backlog;
}

static bool is_unix(const struct address *a)
{
    return a->any.sa_family == AF_UNIX;
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
    else if (error == EACCES && !is_unix(a))
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

static bool is_any(const struct address *a)
{
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == INADDR_ANY;
    return a->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

/* Whether sockets of ours on another address would make the probe for this one fail. */
static bool is_ours(const struct listen_set *set, const struct address *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (address_port(&set->items[i].address) == address_port(a) &&
            set->items[i].address.any.sa_family == a->any.sa_family && (is_any(&set->items[i].address) || is_any(a)))
            return true;
    return false;
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

static int open_tcp(const struct listen_set *set, struct listen_address *item, char why[SOCKETS_WHY])
{
    int backlog = listen_backlog(), on = 1;

    if (!is_ours(set, &item->address) && sockets_probe(&item->address) < 0) {
        explain(&item->address, "cannot be bound", why);
        return -E_SYSTEM;
    }
    for (unsigned i = 0; i < set->threads; i++) {
        int fd = bound_socket(&item->address, true);
        if (fd < 0) {
            explain(&item->address, "cannot be bound", why);
            return -E_SYSTEM;
        }
        item->fds[item->count++] = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (listen(fd, backlog) < 0) {
            explain(&item->address, "cannot listen", why);
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

static int open_unix(struct listen_address *item, char why[SOCKETS_WHY])
{
    int fd;

    if (clear_stale(&item->address) < 0 || (fd = bound_socket(&item->address, false)) < 0) {
        char text[ADDRESS_TEXT];
        address_print(&item->address, text);
        if (errno == EADDRINUSE)
            snprintf(why, SOCKETS_WHY,
                     "%s exists and somebody listens there, or it is not a socket: remove it or choose another path",
                     text);
        else
            explain(&item->address, "cannot be bound", why);
        return -E_SYSTEM;
    }
    item->fds[item->count++] = fd;
    if (item->address.un.sun_path[0]) /* who may connect is a matter of its folder */
        (void)!chmod(item->address.un.sun_path, 0666);
    if (listen(fd, listen_backlog()) < 0) {
        explain(&item->address, "cannot listen", why);
        return -E_SYSTEM;
    }
    return 0;
}

static struct listen_address *find(struct listen_set *set, const struct address *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (address_equal(&set->items[i].address, a))
            return &set->items[i];
    return NULL;
}

static void close_item(struct listen_address *item, bool unlink_path)
{
    for (unsigned i = 0; i < item->count; i++)
        close(item->fds[i]);
    if (unlink_path && is_unix(&item->address) && item->address.un.sun_path[0] && item->count)
        unlink(item->address.un.sun_path);
    free(item->fds);
}

/* Whether the kernel has no IPv6 and the address is the half of ":port" that needs it. */
static bool is_optional(const struct address *a, const struct address *wanted, size_t count)
{
    if (a->any.sa_family != AF_INET6 || !is_any(a))
        return false;
    for (size_t i = 0; i < count; i++)
        if (wanted[i].any.sa_family == AF_INET && is_any(&wanted[i]) && address_port(&wanted[i]) == address_port(a))
            return true;
    return false;
}

static bool kernel_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != EAFNOSUPPORT;
}

static int open_new(struct listen_set *set, const struct address *a, char why[SOCKETS_WHY])
{
    struct listen_address item = { .address = *a, .is_new = true, .is_wanted = true };
    struct listen_address *items = realloc(set->items, (set->count + 1) * sizeof *items);
    int r;

    CHECK(items);
    set->items = items;
    item.fds = calloc(set->threads, sizeof *item.fds);
    CHECK(item.fds);
    r = is_unix(a) ? open_unix(&item, why) : open_tcp(set, &item, why);
    if (r < 0) {
        close_item(&item, true);
        return r;
    }
    set->items[set->count++] = item;
    return 0;
}

int sockets_prepare(struct listen_set *set, const struct address *wanted, size_t count, char ret_why[SOCKETS_WHY])
{
    for (size_t i = 0; i < set->count; i++)
        set->items[i].is_wanted = false;
    for (size_t i = 0; i < count; i++) {
        struct listen_address *known = find(set, &wanted[i]);
        int r;

        if (known) {
            known->is_wanted = true;
            continue;
        }
        if (is_optional(&wanted[i], wanted, count) && !kernel_has_ipv6()) {
            log_notice("this kernel has no IPv6: port %u is served over IPv4 alone", address_port(&wanted[i]));
            continue;
        }
        r = open_new(set, &wanted[i], ret_why);
        if (r < 0) {
            sockets_abandon(set);
            return r;
        }
    }
    return 0;
}

static void remove_items(struct listen_set *set, bool (*goes)(const struct listen_address *item))
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (goes(&set->items[i]))
            close_item(&set->items[i], true);
        else
            set->items[kept++] = set->items[i];
    }
    set->count = kept;
}

static bool is_unwanted(const struct listen_address *item)
{
    return !item->is_wanted;
}

static bool is_new(const struct listen_address *item)
{
    return item->is_new;
}

void sockets_commit(struct listen_set *set)
{
    remove_items(set, is_unwanted);
    for (size_t i = 0; i < set->count; i++)
        set->items[i].is_new = false;
}

void sockets_abandon(struct listen_set *set)
{
    remove_items(set, is_new);
    for (size_t i = 0; i < set->count; i++)
        set->items[i].is_wanted = true;
}

void sockets_close(struct listen_set *set, bool unlink_paths)
{
    for (size_t i = 0; i < set->count; i++)
        close_item(&set->items[i], unlink_paths);
    free(set->items);
    *set = (struct listen_set){ .threads = set->threads };
}
