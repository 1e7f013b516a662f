/* sockets.h: the supervisor's listening sockets.
 *
 * Each address has one socket for each worker thread (SO_REUSEPORT: the kernel spreads new connections over them), or
 * one for all (a Unix socket, or one that a service manager handed over: inherited.h). They are opened before rights are
 * given up, belong to the supervisor, and so outlive a worker: while a crashed one is replaced, clients wait in the queues. A
 * reload keeps the sockets of addresses that stay and gives them their new options, opens those of new ones before anything
 * else changes, and closes the rest.
 *
 * IPv6 sockets carry IPv6 alone, so that "0.0.0.0:443" and "[::]:443" stand side by side; ":443" is both of them. */
#ifndef APP_SOCKETS_H
#define APP_SOCKETS_H

#include <sys/types.h>

#include "app/inherited.h"
#include "base/address.h"
#include "net/options.h"

/* A listening socket as the configuration wants it. */
struct listen_wish {
    struct address address;
    struct socket_options tcp; /* not of Unix sockets, but for the backlog */
    uint64_t fast_open;        /* clients that may wait with data in their SYN; 0: none */
    mode_t mode;               /* of the file of a Unix socket */
    uid_t uid;                 /* whose that file is; (uid_t)-1: as it was made */
    gid_t gid;
};

struct listen_address {
    struct listen_wish wish;  /* as it is in force */
    struct listen_wish next;  /* as it is to be after sockets_commit() */
    int *fds;                 /* one for each thread, or one */
    unsigned count;
    struct inherited *from;   /* NULL: we opened it */
    bool is_new;              /* the worker does not have it yet */
    bool is_wanted;
};

struct listen_set {
    struct listen_address *items;
    size_t count;
    unsigned threads;
    struct inherited_set inherited; /* to take before opening one */
};

/* Makes `set` hold the wanted addresses: what is there is kept, what is missing is opened. What is no longer wanted
 * stays until sockets_commit; sockets_abandon closes what was opened. Nothing changes on failure.
 * Returns 0, or -E_SYSTEM with a sentence for the operator in ret_why: what failed, and what to do about it. */
enum { SOCKETS_WHY = 512 };
int sockets_prepare(struct listen_set *set, const struct listen_wish *wanted, size_t count, char ret_why[SOCKETS_WHY]) MUST_USE;
/* Also gives the sockets that stay what has changed of their options; says so where one cannot change. */
void sockets_commit(struct listen_set *set);
void sockets_abandon(struct listen_set *set);
/* Whether the address could be bound now, by us and nobody else. Returns 0 or -E_SYSTEM (errno). */
int sockets_probe(const struct address *a) MUST_USE;
/* Closes everything; removes the files of Unix sockets when `unlink_paths`. */
void sockets_close(struct listen_set *set, bool unlink_paths);

#endif
