/* options.h: what the configuration says of logs. */
#ifndef OBSERVE_OPTIONS_H
#define OBSERVE_OPTIONS_H

#include "base/option.h"

struct access_options {
    const char *to; /* a path, "stdout", "syslog", or "off" */
    int format;     /* enum access_format */
};

struct events_options {
    const char *to; /* a path, "stderr" or "syslog" */
    int level;      /* enum log_level */
};

struct log_options {
    struct access_options access;
    struct events_options events;
};

extern const struct option_table log_options;

#endif
