/* tables.h: all tables that a root table leads to, each once, for the reference and the schema. */
#ifndef CONFIG_TABLES_H
#define CONFIG_TABLES_H

#include "base/arena.h"
#include "base/option.h"

struct table_entry {
    const struct option_table *table;
    const char *id;   /* unique: the table's name, with a number where two have the same */
    const char *path; /* where it stands in a file: "listeners.NAME.timeouts"; "" for the root */
    struct table_entry *next;
};

/* The root first, then level by level. Memory of the arena; out of memory aborts. */
struct table_entry *tables_collect(struct arena *arena, const struct option_table *root);
const struct table_entry *tables_find(const struct table_entry *all, const struct option_table *table);
/* A table of one scalar row with a shorthand: its things are single values ("alpn: [h2, http/1.1]"). */
bool table_is_single_value(const struct option_table *table);
/* The row that a bare value stands for, or NULL. */
const struct option *table_shorthand(const struct option_table *table);

#endif
