#include "config/tables.h"

#include "base/check.h"
#include "config/value.h"

const struct table_entry *tables_find(const struct table_entry *all, const struct option_table *table)
{
    while (all && all->table != table)
        all = all->next;
    return all;
}

const struct option *table_shorthand(const struct option_table *table)
{
    for (size_t i = 0; table->shorthand && i < table->row_count; i++)
        if (strcmp(table->rows[i].name, table->shorthand) == 0)
            return &table->rows[i];
    CHECK(!table->shorthand);
    return NULL;
}

bool table_is_single_value(const struct option_table *table)
{
    return table->row_count == 1 && table->shorthand && value_is_scalar(table->rows[0].type);
}

/* A name as an anchor: small letters, digits and dashes. */
static char *slug(struct arena *arena, const char *name)
{
    char *id = arena_text(arena, bytes_of_text(name));

    CHECK(id);
    for (char *at = id; *at; at++) {
        *at = (char)ascii_lower((uint8_t)*at);
        if (!(*at >= 'a' && *at <= 'z') && !(*at >= '0' && *at <= '9'))
            *at = '-';
    }
    return id;
}

static const char *unique_id(struct arena *arena, const struct table_entry *all, const char *name)
{
    unsigned same = 1;
    const char *id;

    for (const struct table_entry *e = all; e; e = e->next)
        same += e->id && strcmp(e->table->name, name) == 0;
    id = same == 1 ? slug(arena, name) : arena_printf(arena, "%s-%u", slug(arena, name), same);
    CHECK(id);
    return id;
}

/* First all tables of one level, then what is below each, so that a table in several places is shown at the highest. */
static void collect(struct arena *arena, struct table_entry *first, const struct table_entry *above)
{
    const struct option_table *table = above->table;
    struct table_entry *last = first, *fresh;

    while (last->next)
        last = last->next;
    fresh = last;
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option *row = &table->rows[i];
        if (!row->table || tables_find(first, row->table))
            continue;
        last->next = arena_zalloc(arena, sizeof(*last));
        CHECK(last->next);
        last->next->table = row->table;
        last->next->id = unique_id(arena, first, row->table->name);
        last->next->path = arena_printf(arena, "%s%s%s%s", above->path, *above->path ? "." : "", row->name,
                                        row->type == OPTION_MAP ? ".NAME" : "");
        CHECK(last->next->path);
        last = last->next;
    }
    while (fresh != last) {
        fresh = fresh->next;
        collect(arena, first, fresh);
    }
}

struct table_entry *tables_collect(struct arena *arena, const struct option_table *root)
{
    struct table_entry *first = arena_zalloc(arena, sizeof(*first));

    CHECK(first);
    first->table = root;
    first->id = slug(arena, root->name);
    first->path = "";
    collect(arena, first, first);
    return first;
}
