/* options.h: the root of the configuration: what concerns the process, and, through the tables of the rooms, all else. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include "base/option.h"
#include "observe/options.h"
#include "proxy/options.h"

struct app_stop_options {
    uint64_t drain_ns; /* how long running requests may take after SIGTERM */
};

struct app_limits {
    uint64_t connections; /* clients at once, of all threads; 0: automatic */
};

struct app_options {
    uint64_t workers; /* threads; 0: automatic */
    const char *user; /* NULL: automatic */
    struct log_options log;
    struct app_stop_options stop;
    struct app_limits limits;
    struct site_options site;
};

extern const struct option_table app_options;

#endif
