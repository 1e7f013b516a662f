/* logs.h: opens what log lines go to: files, the standard streams, the system's log. Runs in the supervisor, with its
 * rights; the worker gets descriptors. */
#ifndef APP_LOGS_H
#define APP_LOGS_H

#include "base/error.h"
#include "observe/options.h"

struct log_target {
    int fd; /* -1: off */
    bool is_syslog;
};

enum { LOGS_WHY = 256 };

/* to: a path, "stdout", "stderr", "syslog", or "off". The descriptor is the caller's and always a new one.
 * Returns 0, or -E_SYSTEM with a sentence in ret_why. */
int log_target_open(const char *to, struct log_target *ret_target, char ret_why[LOGS_WHY]) MUST_USE;
void log_target_close(struct log_target *target);

#endif
