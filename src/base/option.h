/* option.h: what an option of the configuration is. A room declares a table of rows beside the module that uses them;
 * everything else about options comes out of the rows: the parser and its errors, the defaults, the effective
 * configuration, docs/configuration.md and the JSON Schema (room config/).
 *
 *     struct pool_options { uint64_t idle; uint64_t idle_time_ns; };
 *
 *     static const struct option pool_rows[] = {
 *         { "idle", OPTION_NUMBER, OPTION_AT(struct pool_options, idle), .standard = "64", .most = 100000,
 *           .doc = "Idle connections kept to each server, per thread." },
 *         { "idle_time", OPTION_DURATION, OPTION_AT(struct pool_options, idle_time_ns), .standard = "60s",
 *           .least = 1, .doc = "How long an idle connection is kept." },
 *     };
 *     const struct option_table pool_options = OPTION_TABLE("pool", struct pool_options, pool_rows,
 *                                                           "Connections kept open to servers.");
 *
 * All values live in the configuration's arena, zero-initialised, then filled from `standard` (the default, written as
 * an operator would), then from the file. Rows are static data; tables may nest but not contain themselves. */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum option_type {      /* the C type at `offset`, and how it is written */
    OPTION_BOOL,        /* bool                     true/false, yes/no, on/off */
    OPTION_NUMBER,      /* uint64_t                 12 */
    OPTION_SIZE,        /* uint64_t, bytes          16k, 25M, 1G (powers of 1024), 512 */
    OPTION_DURATION,    /* uint64_t, nanoseconds    250ms, 5s, 10m, 12h, 30d; a bare 0 is allowed */
    OPTION_RATE,        /* uint64_t, per second     512/s, 16k/s */
    OPTION_CHOICE,      /* int                      one of `choices` */
    OPTION_TEXT,        /* const char *             NULL when absent or null */
    OPTION_ENDPOINT,    /* struct option_endpoint   127.0.0.1:8080, [::1]:443, name:80, :8443, unix:/run/app.sock */
    OPTION_NETWORK,     /* struct option_network    10.0.0.0/8, ::1, 192.0.2.7, unix */
    OPTION_FILE,        /* struct option_file       a path; its content is in the bundle (config/bundle.h) */
    OPTION_FILES,       /* struct option_file       a path or a glob; contents in the bundle */
    OPTION_REFERENCE,   /* const char *             a key of the map at `refers_to`; checked */
    OPTION_SECTION,     /* the struct of `table` itself, in place: always there, filled with defaults */
    OPTION_OPTIONAL,    /* pointer to the struct of `table`; NULL when absent or null */
    OPTION_LIST,        /* struct option_list of the structs of `table`; one item may stand without [] */
    OPTION_MAP,         /* struct option_list of the structs of `table`, whose first member is const char *name */
};

struct option_list {
    void *items; /* `count` structs of the table's size, one behind the other */
    size_t count;
};

/* OPTION_ITEM(struct server_options, &upstream->servers, i) */
#define OPTION_ITEM(type, list, i) (&((type *)(list)->items)[i])

struct option_endpoint {
    const char *host; /* a name or address without brackets; "" for every address; NULL for a Unix socket or none */
    uint16_t port;
    const char *path; /* of a Unix socket, else NULL */
    const char *text; /* as written; NULL when absent */
};

struct option_network {
    uint8_t address[16]; /* IPv4 as IPv6-mapped (RFC 4291 2.5.5.2); the bits behind the prefix are zero */
    uint8_t prefix_bits; /* of the 128 */
    bool is_given;       /* false when absent: such a network contains nothing */
    bool is_unix;        /* every Unix-domain socket, and nothing else */
};

struct option_file {
    const char *path; /* absolute, or relative to the configuration file's folder; NULL when absent */
};

struct option_choice {
    const char *name; /* NULL ends the list */
    int value;
    const char *doc;
};

enum option_reload {
    OPTION_LIVE,    /* a reload applies it */
    OPTION_RESTART, /* a reload refuses a change of it, and says so */
};

struct option_table;

struct option {
    const char *name; /* as written in the file: lower case, words joined with _ */
    enum option_type type;
    size_t offset;
    const char *standard; /* default in YAML's flow notation ("16k", "[h2, http/1.1]"); NULL: none, the value stays zero */
    const char *zero;     /* a word that stands for the value 0, e.g. "auto" or "off"; numbers, sizes, durations and rates */
    uint64_t least, most; /* inclusive bounds of numbers, sizes, durations (ns), rates; most 0: no bound. For lists: of the count */
    const struct option_choice *choices;
    const struct option_table *table;
    const char *refers_to; /* the root's map that OPTION_REFERENCE names, e.g. "upstreams" */
    enum option_reload reload;
    bool required; /* an error when absent */
    bool secret;   /* never printed */
    const char *doc;
};

struct option_table {
    const char *name; /* of one such thing, for messages and docs: "listener" */
    size_t struct_size;
    const struct option *rows;
    size_t row_count;
    const char *shorthand; /* the row that a bare scalar stands for ("address" for a server), or NULL */
    const char *doc;       /* a paragraph for the reference */
    const char *example;   /* YAML that works, for the reference, or NULL */
};

#define OPTION_AT(type, member) offsetof(type, member)
#define OPTION_TABLE(name_, type, rows_, doc_, ...) \
    { .name = name_, .struct_size = sizeof(type), .rows = rows_, .row_count = sizeof(rows_) / sizeof((rows_)[0]), \
      .doc = doc_, __VA_ARGS__ }

#endif
