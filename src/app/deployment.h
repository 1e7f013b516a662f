/* deployment.h: one configuration, verified and ready for a worker.
 *
 *     source --deployment_make()--> the bundle as a sealed memfd + what the supervisor itself needs to know
 *
 * Verified means that the supervisor built the whole snapshot, as the worker will, and threw it away again. The keys
 * are then in the sealed memfd alone, no longer in the supervisor's own memory. */
#ifndef APP_DEPLOYMENT_H
#define APP_DEPLOYMENT_H

#include <stdio.h>

#include "app/loader.h"
#include "app/logs.h"
#include "app/privileges.h"
#include "app/sockets.h"

struct deployment {
    unsigned generation;
    int memfd;
    struct listen_wish *sockets; /* of all listeners */
    size_t socket_count;
    unsigned listeners, warnings;
    /* of the options */
    unsigned workers;          /* threads, decided */
    uint64_t workers_written;  /* as configured; 0: automatic */
    uint64_t connections;      /* 0: automatic */
    uint64_t drain_ns, rotate_ns;
    char *user;                /* NULL: automatic */
    char *access_to, *events_to;
    int access_format, events_level;
    struct log_target access, events;
};

/* Complaints, warnings among them, are printed to `complaints` as the configuration room prints them.
 * Returns 0, or -E_CONFIG or -E_SYSTEM, with one more sentence in ret_why where that is not empty. */
enum { DEPLOYMENT_WHY = 512 };
int deployment_make(const struct loader_source *source, FILE *complaints, struct deployment **ret_deployment,
                    char ret_why[DEPLOYMENT_WHY]) MUST_USE;
/* Accepts NULL. */
void deployment_free(struct deployment *d);

/* Opens the logs (again). Those that are open stay so on failure. Returns 0 or -E_SYSTEM with a sentence. */
int deployment_open_logs(struct deployment *d, char ret_why[DEPLOYMENT_WHY]) MUST_USE;

/* Only verifies, for `unlade check`. Returns the number of errors, or -E_SYSTEM with a sentence. */
int deployment_check(const struct loader_source *source, FILE *complaints, size_t *ret_warnings,
                     char ret_why[DEPLOYMENT_WHY]) MUST_USE;

#endif
