/* context.h: where the reader is in the tables and in the file, and what can be said about the keys there. */
#ifndef CONFIG_CONTEXT_H
#define CONFIG_CONTEXT_H

#include "config/state.h"

/* Where the walk is: which table, for which thing, and the nearest node that the file has for it. */
struct context {
    const struct context *up;
    const struct option_table *table;
    const char *name;  /* a map's key, or NULL */
    const char *shown; /* how messages call the one row that is given in shorthand, or NULL */
    const struct yaml_node *node;
    bool is_quiet;   /* something is wrong here already: what is missing is not worth a word */
    bool is_default; /* the values come out of a row's `standard`: what is wrong with them is our own bug */
};

/* "listener "web"", "timeouts of listener "web"" */
const char *context_describe(struct config *c, const struct context *x);
/* An error at the node, or about the file as a whole when there is none. A wrong default aborts. */
void context_complain(struct config *c, const struct context *x, const struct yaml_node *node, const char *text);
/* Returns the row that was probably meant by an unknown key, or NULL. */
const struct option *context_complain_unknown(struct config *c, const struct context *x, const struct yaml_node *key);
/* The members of a mapping whose keys are texts, without those that come again: these are complained about. */
struct yaml_node **context_members(struct config *c, const struct context *x, const struct yaml_node *mapping,
                                   size_t *ret_count);

const struct option *table_find_row(const struct option_table *table, struct bytes name);
/* "address, to, limits" */
const char *table_list_keys(struct config *c, const struct option_table *table);

#endif
