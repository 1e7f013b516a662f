#include "config/context.h"

#include <stdlib.h>

#include "base/check.h"
#include "config/suggest.h"
#include "config/tables.h"

const char *context_describe(struct config *c, const struct context *x)
{
    if (!x->up)
        return "the configuration";
    if (x->name)
        return config_text(c, "%s %s", x->table->name, config_quote(c, bytes_of_text(x->name)));
    return x->up->up ? config_text(c, "%s of %s", x->table->name, context_describe(c, x->up)) : x->table->name;
}

void context_complain(struct config *c, const struct context *x, const struct yaml_node *node, const char *text)
{
    if (x->is_default) {
        fprintf(stderr, "default in %s: %s\n", x->table->name, text);
        CHECK(!"the default of an option is wrong");
    }
    if (node)
        complain_node(c, node, text);
    else
        complain_at(c, COMPLAINT_ERROR, SIZE_MAX, SIZE_MAX, text);
}

const struct option *table_find_row(const struct option_table *table, struct bytes name)
{
    for (size_t i = 0; i < table->row_count; i++)
        if (bytes_equal_text(name, table->rows[i].name))
            return &table->rows[i];
    return NULL;
}

/* A key that is known, but elsewhere: often a slip of indentation. */
static const char *elsewhere(struct config *c, const struct context *x, struct bytes key)
{
    const char *places = NULL;

    for (const struct context *up = x->up; up; up = up->up)
        if (table_find_row(up->table, key))
            return up->up ? config_text(c, "it belongs to %s; is it indented too far?", context_describe(c, up))
                          : "it belongs to the top level; is it indented too far?";
    for (size_t i = 0; i < x->table->row_count; i++) {
        const struct option *row = &x->table->rows[i];
        if (row->table && table_find_row(row->table, key))
            return config_text(c, "it belongs %s\"%s\"",
                               row->type == OPTION_MAP    ? "below a name in "
                               : row->type == OPTION_LIST ? "to an item of "
                                                          : "below ",
                               row->name);
    }
    for (const struct table_entry *e = tables_collect(&c->arena, c->table); e; e = e->next)
        if (table_find_row(e->table, key))
            places = config_text(c, "%s%s%s", places ? places : "it belongs to ", places ? " or " : "", e->path);
    return places;
}

/* "address=:443" or "address:443": the row that is meant, where the space or the colon between key and value is missing. */
static const struct option *glued_row(const struct option_table *table, struct bytes key)
{
    size_t colon = bytes_find(key, ':'), equals = bytes_find(key, '=');
    size_t size = colon < equals ? colon : equals;

    return size < key.size ? table_find_row(table, bytes_trim(bytes_part(key, 0, size))) : NULL;
}

const char *table_list_keys(struct config *c, const struct option_table *table)
{
    const char *list = "";

    for (size_t i = 0; i < table->row_count; i++)
        list = config_text(c, "%s%s%s", list, i ? ", " : "", table->rows[i].name);
    return list;
}

const struct option *context_complain_unknown(struct config *c, const struct context *x, const struct yaml_node *key)
{
    struct suggestion best = { NULL, 0 };
    const struct option *glued = glued_row(x->table, key->text);
    const char *text, *note;

    if (bytes_equal_text(key->text, "<<") && key->is_plain) {
        context_complain(c, x, key, "merge keys (<<) are not supported\nwrite the values out");
        return NULL;
    }
    text = config_text(c, "unknown key %s %s%s", config_quote(c, key->text), x->up ? "in " : "",
                       x->up ? context_describe(c, x) : "at the top level");
    if (glued) {
        context_complain(
            c, x, key,
            config_text(c, "%s\na colon and a space stand between key and value: \"%s: ...\"", text, glued->name));
        return glued;
    }
    for (size_t i = 0; i < x->table->row_count; i++)
        suggest(&best, key->text, x->table->rows[i].name);
    note = elsewhere(c, x, key->text);
    if (note && best.distance > 1)
        best.word = NULL;
    if (best.word)
        note = config_text(c, "did you mean \"%s\"?", best.word);
    if (!note)
        note = config_text(c, "known here: %s", table_list_keys(c, x->table));
    context_complain(c, x, key, config_text(c, "%s\n%s", text, note));
    return best.word ? table_find_row(x->table, bytes_of_text(best.word)) : NULL;
}

static void complain_twice(struct config *c, const struct context *x, const struct yaml_node *again,
                           const struct yaml_node *first)
{
    size_t line = 1;

    for (size_t i = 0; i < first->key->begin && i < c->text.size; i++)
        line += c->text.at[i] == '\n';
    context_complain(
        c, x, again->key,
        config_text(c, "%s is given twice; the first is in line %zu", config_quote(c, again->key->text), line));
}

static int compare_keys(const void *left, const void *right)
{
    const struct yaml_node *a = *(const struct yaml_node *const *)left, *b = *(const struct yaml_node *const *)right;
    size_t least = a->key->text.size < b->key->text.size ? a->key->text.size : b->key->text.size;
    int order = least ? memcmp(a->key->text.at, b->key->text.at, least) : 0;

    if (order == 0 && a->key->text.size != b->key->text.size)
        order = a->key->text.size < b->key->text.size ? -1 : 1;
    return order ? order : a->key->begin < b->key->begin ? -1 : 1;
}

struct yaml_node **context_members(struct config *c, const struct context *x, const struct yaml_node *mapping,
                                   size_t *ret_count)
{
    struct yaml_node **all = config_alloc(c, (mapping->count + 1) * sizeof(*all));
    struct yaml_node **sorted = config_alloc(c, (mapping->count + 1) * sizeof(*all));
    size_t count = 0, unique = 0;

    for (struct yaml_node *member = mapping->first; member; member = member->next)
        if (member->key->kind == YAML_SCALAR)
            all[count++] = member;
    if (count) {
        memcpy(sorted, all, count * sizeof(*all));
        qsort(sorted, count, sizeof(*sorted), compare_keys);
    }
    for (size_t i = 1, first = 0; i < count; i++) {
        if (!bytes_equal(sorted[i]->key->text, sorted[first]->key->text)) {
            first = i;
            continue;
        }
        complain_twice(c, x, sorted[i], sorted[first]);
        for (size_t j = 0; j < count; j++)
            if (all[j] == sorted[i])
                all[j] = NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (all[i])
            all[unique++] = all[i];
    *ret_count = unique;
    return all;
}
