/* inherited.h: listening sockets that a service manager opened for us (systemd.socket(5), sd_listen_fds(3)).
 *
 *     LISTEN_PID=our process  LISTEN_FDS=2  LISTEN_FDNAMES=web:plain     descriptors 3, 4
 *
 * They are found by their addresses: a listener whose address is that of an inherited socket gets it instead of opening
 * one of its own. One [::] socket that takes IPv4 too stands for both halves of ":443". A reload that no longer names an
 * address gives its socket back to the set, since the service manager goes on holding it; nothing is ever unlinked. */
#ifndef APP_INHERITED_H
#define APP_INHERITED_H

#include "base/address.h"

struct inherited {
    struct address address;
    int fd;
    bool takes_ipv4;    /* an IPv6 socket that serves both */
    bool is_taken;
    char name[64];      /* FileDescriptorName; may be empty */
};

struct inherited_set {
    struct inherited *items;
    size_t count;
};

enum { INHERITED_FIRST = 3 }; /* the first descriptor */

/* Reads and removes the environment's variables; from then on the descriptors are ours, non-blocking and closed on exec. What is
 * no listening stream socket is left out, and said. Without such variables the set is empty. */
void inherited_read(struct inherited_set *ret_set);
/* The one of this address that nobody has taken; NULL: none. */
struct inherited *inherited_find(struct inherited_set *set, const struct address *a);
/* Whether one of them serves 0.0.0.0 with this port as part of [::]. */
bool inherited_covers(const struct inherited_set *set, const struct address *any_v4);
/* Says which of them no listener has taken. */
void inherited_report(const struct inherited_set *set);
void inherited_close(struct inherited_set *set);

#endif
