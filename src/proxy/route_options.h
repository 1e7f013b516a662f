/* route_options.h: what the configuration says of a route: which requests, and what becomes of them. */
#ifndef PROXY_ROUTE_OPTIONS_H
#define PROXY_ROUTE_OPTIONS_H

#include "base/option.h"

struct upgrade_options {
    const char *protocol;
};

struct field_options {
    const char *name;
    const char *value;
};

struct field_name_options {
    const char *name;
};

struct field_rules_options {
    struct option_list remove; /* struct field_name_options */
    struct option_list set;    /* struct field_options */
    struct option_list add;    /* struct field_options */
};

struct headers_options {
    struct field_rules_options request, response;
};

struct prefix_options {
    const char *from; /* leading segments of the route's path */
    const char *to;
};

struct redirect_options {
    const char *to;
    int status;
    bool keep_path;
};

struct respond_options {
    uint64_t status;
    const char *body;
    const char *type;
};

struct route_options {
    const char *path; /* prefix */
    const char *to;   /* an upstream's name; one of these three, the others are NULL */
    struct redirect_options *redirect;
    struct respond_options *respond;
    const char *strip_prefix;
    struct option_list replace_prefix; /* struct prefix_options, at most one */
    const char *host;
    struct headers_options *headers;
    struct option_list upgrade; /* struct upgrade_options */
};

extern const struct option_table route_options, headers_options;

#endif
