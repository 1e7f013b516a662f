/* supervisor.h: the process that an operator starts: it reads the configuration, binds ports, holds the ticket keys, starts
 * the worker and watches it, and never touches traffic.
 *
 *     SIGTERM, SIGINT   drain: running requests may end; a second one ends at once
 *     SIGHUP            read configuration and certificates again; a faulty one changes nothing
 *     SIGUSR1           open the log files again
 *
 * A worker that dies is reported and started again, after 100 ms at first and up to 10 s when it keeps dying; the
 * listening sockets stay open meanwhile. It stays in the foreground, and may be process 1 of a container: it reaps
 * whatever children it is given. */
#ifndef APP_SUPERVISOR_H
#define APP_SUPERVISOR_H

#include "app/loader.h"

struct supervisor_setup {
    const struct loader_source *source;
    /* Called once, when clients are being served; may be NULL. */
    void (*on_ready)(void *context);
    void *context;
};

/* Returns the exit status. */
int supervisor_run(const struct supervisor_setup *setup);

#endif
