#include "app/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/sockets_open.h"
#include "base/check.h"
#include "base/log.h"

/* Whether sockets of ours on another address would make the probe for this one fail. */
static bool is_ours(const struct listen_set *set, const struct address *a)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct address *b = &set->items[i].wish.address;
        if (address_port(b) == address_port(a) && b->any.sa_family == a->any.sa_family &&
            (address_is_any(b) || address_is_any(a)))
            return true;
    }
    return false;
}

static struct listen_address *find(struct listen_set *set, const struct address *a)
{
    for (size_t i = 0; i < set->count; i++)
        if (address_equal(&set->items[i].wish.address, a))
            return &set->items[i];
    return NULL;
}

/* One that was inherited goes back to where it came from: a later configuration may name it again. */
static void close_item(struct listen_address *item, bool unlink_path)
{
    const struct address *a = &item->wish.address;

    if (item->from) {
        item->from->is_taken = false;
    } else {
        for (unsigned i = 0; i < item->count; i++)
            close(item->fds[i]);
        if (unlink_path && address_is_unix(a) && a->un.sun_path[0] && item->count)
            unlink(a->un.sun_path);
    }
    free(item->fds);
}

/* Whether the address is one half of ":port", and `family` the other. */
static bool has_other_half(const struct address *a, sa_family_t family, const struct listen_wish *wanted, size_t count)
{
    for (size_t i = 0; address_is_any(a) && i < count; i++) {
        const struct address *b = &wanted[i].address;
        if (b->any.sa_family == family && address_is_any(b) && address_port(b) == address_port(a))
            return true;
    }
    return false;
}

static bool kernel_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != EAFNOSUPPORT;
}

static int open_new(struct listen_set *set, const struct listen_wish *wish, char why[SOCKETS_WHY])
{
    struct listen_address item = { .wish = *wish, .next = *wish, .is_new = true, .is_wanted = true };
    struct listen_address *items = realloc(set->items, (set->count + 1) * sizeof *items);
    int r = 0;

    CHECK(items);
    set->items = items;
    item.fds = calloc(set->threads, sizeof *item.fds);
    CHECK(item.fds);
    item.from = inherited_find(&set->inherited, &wish->address);
    if (item.from) {
        item.from->is_taken = true;
        item.fds[item.count++] = item.from->fd;
        listen_tune(&item, NULL);
    } else {
        r = listen_open(&item, set->threads, !is_ours(set, &wish->address), why);
    }
    if (r < 0) {
        close_item(&item, true);
        return r;
    }
    set->items[set->count++] = item;
    return 0;
}

/* Whether nothing has to be opened for it. */
static bool is_spared(const struct listen_set *set, const struct address *a, const struct listen_wish *wanted,
                      size_t count)
{
    if (a->any.sa_family == AF_INET && has_other_half(a, AF_INET6, wanted, count) &&
        inherited_covers(&set->inherited, a))
        return true;
    if (a->any.sa_family != AF_INET6 || !has_other_half(a, AF_INET, wanted, count) || kernel_has_ipv6())
        return false;
    log_notice("this kernel has no IPv6: port %u is served over IPv4 alone", address_port(a));
    return true;
}

int sockets_prepare(struct listen_set *set, const struct listen_wish *wanted, size_t count, char ret_why[SOCKETS_WHY])
{
    for (size_t i = 0; i < set->count; i++)
        set->items[i].is_wanted = false;
    for (size_t i = 0; i < count; i++) {
        struct listen_address *known = find(set, &wanted[i].address);
        int r;

        if (known) {
            known->is_wanted = true;
            known->next = wanted[i];
            continue;
        }
        if (is_spared(set, &wanted[i].address, wanted, count))
            continue;
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
    for (size_t i = 0; i < set->count; i++) {
        struct listen_address *item = &set->items[i];
        struct listen_wish before = item->wish;

        item->wish = item->next;
        if (!item->is_new)
            listen_tune(item, &before);
        item->is_new = false;
    }
    inherited_report(&set->inherited);
}

void sockets_abandon(struct listen_set *set)
{
    remove_items(set, is_new);
    for (size_t i = 0; i < set->count; i++) {
        set->items[i].is_wanted = true;
        set->items[i].next = set->items[i].wish;
    }
}

void sockets_close(struct listen_set *set, bool unlink_paths)
{
    for (size_t i = 0; i < set->count; i++)
        close_item(&set->items[i], unlink_paths);
    free(set->items);
    inherited_close(&set->inherited);
    *set = (struct listen_set){ .threads = set->threads };
}
