/* worker.h: the process that carries all traffic: one server (proxy/server.h) on a thread of its own for each core, and a
 * main thread that does what the supervisor says (channel.h). It opens nothing: descriptors and contents come to it. */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include <stdint.h>

#include "app/privileges.h"

struct worker_setup {
    int channel;
    unsigned threads;
    uint64_t connections; /* of all threads */
    uint64_t drain_ns;
    struct identity identity;
    pid_t supervisor;
};

/* The body of the child. Its exit status is 0 after it drained or was told to stop, otherwise 1. */
_Noreturn void worker_main(const struct worker_setup *setup);

#endif
