/* sockets.h: the supervisor's listening sockets.
 *
 * Each address has one socket for each worker thread (SO_REUSEPORT: the kernel spreads new connections over them), or
 * one for all (a Unix socket). They are opened before rights are given up, belong to the supervisor, and so outlive a
 * worker: while a crashed one is replaced, clients wait in the queues. A reload keeps the sockets of addresses that
 * stay, opens those of new ones before anything else changes, and closes the rest.
 *
 * IPv6 sockets carry IPv6 alone, so that "0.0.0.0:443" and "[::]:443" stand side by side; ":443" is both of them. */
#ifndef APP_SOCKETS_H
#define APP_SOCKETS_H

#include "base/address.h"

struct listen_address {
    struct address address;
    int *fds;         /* one for each thread, or one */
    unsigned count;
    bool is_new;      /* the worker does not have it yet */
    bool is_wanted;
};

struct listen_set {
    struct listen_address *items;
    size_t count;
    unsigned threads;
};

/* Makes `set` hold the wanted addresses: what is there is kept, what is missing is opened. What is no longer wanted
 * stays until sockets_commit; sockets_abandon closes what was opened. Nothing changes on failure.
 * Returns 0, or -E_SYSTEM with a sentence for the operator in ret_why: what failed, and what to do about it. */
enum { SOCKETS_WHY = 512 };
int sockets_prepare(struct listen_set *set, const struct address *wanted, size_t count, char ret_why[SOCKETS_WHY]) MUST_USE;
void sockets_commit(struct listen_set *set);
void sockets_abandon(struct listen_set *set);
/* Whether the address could be bound now, by us and nobody else. Returns 0 or -E_SYSTEM (errno). */
int sockets_probe(const struct address *a) MUST_USE;
/* Closes everything; removes the files of Unix sockets when `unlink_paths`. */
void sockets_close(struct listen_set *set, bool unlink_paths);

#endif
