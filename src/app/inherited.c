#include "app/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"

enum { INHERITED_MOST = 1024 };

static int socket_number(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

/* A number in the environment, or 0. */
static uint64_t read_number(const char *name, uint64_t most)
{
    const char *text = getenv(name);
    uint64_t number;

    return text && bytes_to_number(bytes_of_text(text), most, &number) == 0 ? number : 0;
}

/* The i-th of the names, which colons part. */
static void copy_name(const char *names, unsigned i, char name[64])
{
    struct bytes left = bytes_of_text(names ? names : ""), one;

    for (; i > 0 && left.size; i--)
        left = bytes_from(left, bytes_find(left, ':') + 1);
    one = bytes_part(left, 0, bytes_find(left, ':'));
    snprintf(name, 64, "%.*s", one.size < 63 ? (int)one.size : 63, one.size ? (const char *)one.at : "");
}

/* Returns 0, or -E_SYSTEM where it is nothing that could be listened on. */
static int look_at(int fd, struct inherited *ret)
{
    ret->fd = fd;
    ret->address.size = sizeof ret->address.un;
    if (getsockname(fd, &ret->address.any, &ret->address.size) < 0)
        return -E_SYSTEM;
    switch (ret->address.any.sa_family) {
    case AF_INET:
    case AF_UNIX:
        break;
    case AF_INET6:
        ret->takes_ipv4 = socket_number(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
        break;
    default:
        return -E_SYSTEM;
    }
    if (socket_number(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM || socket_number(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
        return -E_SYSTEM;
    /* Another thread may take a connection between our being told of it and our accepting it: that must not block. */
    return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -E_SYSTEM : 0;
}

void inherited_read(struct inherited_set *ret_set)
{
    uint64_t pid = read_number("LISTEN_PID", INT32_MAX), count = read_number("LISTEN_FDS", INHERITED_MOST);
    const char *names = getenv("LISTEN_FDNAMES");

    *ret_set = (struct inherited_set){ 0 };
    if (pid == (uint64_t)getpid() && count) {
        ret_set->items = calloc(count, sizeof *ret_set->items);
        CHECK(ret_set->items);
        for (unsigned i = 0; i < count; i++) {
            struct inherited *item = &ret_set->items[ret_set->count];
            int fd = INHERITED_FIRST + (int)i;

            copy_name(names, i, item->name);
            if (look_at(fd, item) == 0) {
                ret_set->count++;
                continue;
            }
            log_warning("the inherited descriptor %d (%s) is no listening stream socket: it is not used", fd,
                        item->name);
            *item = (struct inherited){ 0 };
        }
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

struct inherited *inherited_find(struct inherited_set *set, const struct address *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (!set->items[i].is_taken && address_equal(&set->items[i].address, a))
            return &set->items[i];
    return NULL;
}

bool inherited_covers(const struct inherited_set *set, const struct address *any_v4)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct address *a = &set->items[i].address;
        if (set->items[i].takes_ipv4 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr) &&
            address_port(a) == address_port(any_v4))
            return true;
    }
    return false;
}

void inherited_report(const struct inherited_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        char text[ADDRESS_TEXT];

        address_print(&set->items[i].address, text);
        if (!set->items[i].is_taken)
            log_warning(
                "the inherited socket %s (%s) belongs to no listener: name its address in one, or remove it from the "
                "socket unit",
                text, set->items[i].name);
    }
}

void inherited_close(struct inherited_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        close(set->items[i].fd);
    free(set->items);
    *set = (struct inherited_set){ 0 };
}
