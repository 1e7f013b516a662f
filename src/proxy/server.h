/* server.h: one worker thread's share of the proxy: its event loop, listeners, sessions and pools.
 *
 * app/ makes one per thread, starts the thread with server_run, and talks to it by the calls marked "any thread", which
 * are delivered as mail. */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H

#include "base/address.h"
#include "observe/access_log.h"
#include "proxy/counts.h"
#include "proxy/snapshot.h"

/* A listening socket for one thread. Sockets are known by the address that the configuration gave. */
struct listen_socket {
    struct address address;
    int fd;         /* owned by the server from publish on; -1: keep the one that the server has for this address */
    bool shared;    /* other threads accept from the same socket (inherited or Unix) */
};

struct server;

struct server_setup {
    unsigned thread, thread_count;
    struct access_log *access_log;
    uint64_t drain_limit_ns;       /* after server_drain */
    uint64_t connections_most;     /* of this thread; further ones wait in the queue */
    void (*on_drained)(void *context); /* called in the server's thread once, when it has drained; server_run then returns */
    void *context;
};

struct server *server_new(const struct server_setup *setup); /* NULL: memory or descriptors */
void server_run(struct server *s);                            /* the thread's body; returns after drain or stop */
void server_free(struct server *s);

/* Any thread. From here on new connections use the snapshot (its own reference is taken) and exactly these sockets;
 * listeners that are not among them accept what is queued and are closed. done is called in the server's thread. */
void server_publish(struct server *s, struct snapshot *snapshot, const struct listen_socket *sockets, size_t count,
                    void (*done)(void *context), void *context);
/* Any thread. Accepts what is queued, closes the listeners, lets running requests end (Connection: close), closes idle
 * connections, and ends when none is left or the drain limit has passed. */
void server_drain(struct server *s);
/* Any thread. Ends at once. */
void server_stop(struct server *s);

/* Numbers for tests and, later, metrics; any thread. */
const struct server_counts *server_counts(const struct server *s);

#endif
