#include "base/check.h"
#include "config/state.h"
#include "config/value.h"

struct writer {
    FILE *out;
    struct arena arena; /* texts on their way */
};

enum { STEP = 2 };

static void write_row(struct writer *w, const struct option *row, const void *field, int indent);

/* All rows of a struct, each in lines of its own. A list's item has its dash in front of the first. */
static void write_struct(struct writer *w, const struct option_table *table, const void *base, int indent, bool is_item)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct option *row = &table->rows[i];
        if (is_item && i == 0)
            fprintf(w->out, "%*s- %s:", indent - STEP, "", row->name);
        else
            fprintf(w->out, "%*s%s:", indent, "", row->name);
        write_row(w, row, (const uint8_t *)base + row->offset, indent);
    }
    arena_reset(&w->arena);
}

static const void *item_at(const struct option *row, const struct option_list *list, size_t i)
{
    return (const uint8_t *)list->items + i * row->table->struct_size;
}

/* A list of single values fits into one line: [h2, http/1.1]. */
static bool is_simple_list(const struct option *row)
{
    return row->table->row_count == 1 && row->table->shorthand && value_is_scalar(row->table->rows[0].type);
}

static void write_list(struct writer *w, const struct option *row, const struct option_list *list, int indent)
{
    if (list->count == 0) {
        fputs(row->least ? " null\n" : " []\n", w->out);
        return;
    }
    if (is_simple_list(row)) {
        const struct option *only = &row->table->rows[0];
        for (size_t i = 0; i < list->count; i++)
            fprintf(w->out, "%s%s", i ? ", " : " [",
                    value_print(&w->arena, only, (const uint8_t *)item_at(row, list, i) + only->offset));
        fputs("]\n", w->out);
        return;
    }
    fputc('\n', w->out);
    for (size_t i = 0; i < list->count; i++)
        write_struct(w, row->table, item_at(row, list, i), indent + 2 * STEP, true);
}

static void write_map(struct writer *w, const struct option *row, const struct option_list *list, int indent)
{
    if (list->count == 0) {
        fputs(row->least ? " null\n" : " {}\n", w->out);
        return;
    }
    fputc('\n', w->out);
    for (size_t i = 0; i < list->count; i++) {
        const void *item = item_at(row, list, i);
        fprintf(w->out, "%*s%s:\n", indent + STEP, "", value_print_text(&w->arena, *(const char *const *)item));
        write_struct(w, row->table, item, indent + 2 * STEP, false);
    }
}

static void write_row(struct writer *w, const struct option *row, const void *field, int indent)
{
    const void *pointed;

    switch (row->type) {
    case OPTION_SECTION:
        fputc('\n', w->out);
        write_struct(w, row->table, field, indent + STEP, false);
        break;
    case OPTION_OPTIONAL:
        pointed = *(void *const *)field;
        fputs(pointed ? "\n" : " null\n", w->out);
        if (pointed)
            write_struct(w, row->table, pointed, indent + STEP, false);
        break;
    case OPTION_LIST:
        write_list(w, row, field, indent);
        break;
    case OPTION_MAP:
        write_map(w, row, field, indent);
        break;
    default:
        fprintf(w->out, " %s\n", value_print(&w->arena, row, field));
        break;
    }
}

void config_write(const struct config *c, FILE *out)
{
    struct writer w = { .out = out };

    arena_init(&w.arena, NULL, SIZE_MAX);
    write_struct(&w, c->table, c->root, 0, false);
    arena_reset(&w.arena);
}
