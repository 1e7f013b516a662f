#include <stdlib.h>

#include "base/check.h"
#include "config/context.h"
#include "config/suggest.h"
#include "config/value.h"

static void read_struct(struct config *c, const struct context *x, void *base);
static void fill_default(struct config *c, const struct context *x, const struct option *row, void *field);
static void read_value(struct config *c, const struct context *x, const struct option *row,
                       const struct yaml_node *node, void *field);

static void remember(struct config *c, const struct context *x, const struct option *row, const struct yaml_node *node,
                     const void *field)
{
    struct place place = { .address = field,
                           .size = value_size(row),
                           .node = node,
                           .is_secret = row->secret,
                           .is_struct = row->type == OPTION_SECTION };
    if (!x->is_default)
        place_add(c, &place);
}

static void add_file(struct config *c, const struct option *row, const struct option_file *file, size_t offset)
{
    bool is_files = row->type == OPTION_FILES, is_glob = is_files && strpbrk(file->path, "*?[");

    if (c->file_count == c->file_room) {
        size_t room = c->file_room ? 2 * c->file_room : 16;
        struct config_file *files = config_alloc(c, room * sizeof(*files));
        size_t *offsets = config_alloc(c, room * sizeof(*offsets));
        if (c->file_count) {
            memcpy(files, c->files, c->file_count * sizeof(*files));
            memcpy(offsets, c->file_offsets, c->file_count * sizeof(*offsets));
        }
        c->files = files;
        c->file_offsets = offsets;
        c->file_room = room;
    }
    /* Rows are walked in the table's order; insertion gives the file's. Defaults come last. */
    size_t i = c->file_count++;
    for (; i && c->file_offsets[i - 1] > offset; i--) {
        c->files[i] = c->files[i - 1];
        c->file_offsets[i] = c->file_offsets[i - 1];
    }
    c->files[i] = (struct config_file){ file, is_glob, is_files };
    c->file_offsets[i] = offset;
}

static void add_reference(struct config *c, const struct option *row, const char *name, const struct yaml_node *node)
{
    struct config_reference *reference = config_alloc(c, sizeof(*reference));

    *reference = (struct config_reference){ name, row, node, c->references };
    c->references = reference;
}

/* ${NAME} and {{ name }} are filled in by other programs, or not at all. */
static const char *variable_note(struct bytes text)
{
    for (size_t i = 0; i + 1 < text.size; i++)
        if ((text.at[i] == '$' && text.at[i + 1] != ' ') || (text.at[i] == '{' && text.at[i + 1] == '{'))
            return "\nvariables are not filled in: write the value";
    return "";
}

static bool has_odd_key(const struct yaml_node *node)
{
    for (const struct yaml_node *member = node->kind == YAML_MAPPING ? node->first : NULL; member;
         member = member->next)
        if (member->key->kind != YAML_SCALAR)
            return true;
    return false;
}

static void read_scalar(struct config *c, const struct context *x, const struct option *row,
                        const struct yaml_node *node, void *field)
{
    const char *problem, *name = x->shown ? x->shown : row->name;

    if (node->kind != YAML_SCALAR) {
        const char *kind = node->kind == YAML_SEQUENCE ? "a list" : "a mapping";
        const char *note = node->kind == YAML_SEQUENCE && node->count == 1 ? "\nwrite it without [ ] or -" : "";
        if (!has_odd_key(node)) /* that was complained about */
            context_complain(
                c, x, node,
                config_text(c, "\"%s\" must be %s, not %s%s", name, value_describe(&c->arena, row), kind, note));
        fill_default(c, x, row, field);
        return;
    }
    problem = value_read(&c->arena, row, node, field);
    if (problem) {
        context_complain(c, x, node, config_text(c, "\"%s\" %s%s", name, problem, variable_note(node->text)));
        fill_default(c, x, row, field);
        return;
    }
    if (row->type == OPTION_FILE || row->type == OPTION_FILES)
        add_file(c, row, field, x->is_default ? SIZE_MAX : node->begin);
    if (row->type == OPTION_REFERENCE && !x->is_default)
        add_reference(c, row, *(const char **)field, node);
}

static bool is_shorthand(const struct option_table *table, const struct yaml_node *node)
{
    const struct option *row = table_find_row(table, bytes_of_text(table->shorthand));

    CHECK(row);
    return node->kind == YAML_SCALAR || row->type == OPTION_LIST;
}

/* The mapping that a shorthand stands for. It lives as long as the places that point into it. */
static const struct yaml_node *expand_shorthand(struct config *c, const struct option_table *table,
                                                const struct yaml_node *node)
{
    struct yaml_node *mapping = config_alloc(c, sizeof(*mapping)), *member = config_alloc(c, sizeof(*member));
    struct yaml_node *key = config_alloc(c, sizeof(*key));

    yaml_plain_scalar(table->shorthand, key);
    key->begin = node->key ? node->key->begin : node->begin;
    key->end = node->key ? node->key->end : node->begin;
    *member = *node;
    member->key = key;
    member->next = NULL;
    *mapping = (struct yaml_node){ .kind = YAML_MAPPING,
                                   .begin = node->begin,
                                   .end = node->end,
                                   .key = node->key,
                                   .first = member,
                                   .last = member,
                                   .count = 1 };
    return mapping;
}

/* A struct out of a mapping, or out of a bare value where the table has a shorthand. */
static void read_item(struct config *c, const struct context *up, const struct option *row,
                      const struct yaml_node *node, const char *name, void *base)
{
    const struct option_table *table = row->table;
    struct context x = {
        .up = up, .table = table, .name = name, .node = node, .is_default = up->is_default, .is_quiet = up->is_quiet
    };

    if (node->kind != YAML_MAPPING && !yaml_is_null(node) && table->shorthand && is_shorthand(table, node)) {
        x.node = expand_shorthand(c, table, node);
        x.shown = up->shown ? up->shown : row->name;
    } else if (node->kind != YAML_MAPPING && !yaml_is_null(node)) {
        context_complain(c, up, node,
                         config_text(c, "\"%s\" needs keys and values%s, not %s\nknown here: %s", row->name,
                                     row->type == OPTION_LIST || row->type == OPTION_MAP ? " in each item" : "",
                                     node->kind == YAML_SEQUENCE ? "a list" : "a single value",
                                     table_list_keys(c, table)));
        x.node = NULL;
        x.is_quiet = true;
    }
    read_struct(c, &x, base);
}

static void check_count(struct config *c, const struct context *x, const struct option *row,
                        const struct yaml_node *node, size_t count)
{
    if (count < row->least)
        context_complain(c, x, node,
                         config_text(c, "\"%s\" needs at least %zu item%s", row->name, (size_t)row->least,
                                     row->least == 1 ? "" : "s"));
    else if (row->most && count > row->most)
        context_complain(
            c, x, node,
            config_text(c, "\"%s\" takes at most %zu item%s", row->name, (size_t)row->most, row->most == 1 ? "" : "s"));
}

static void remember_item(struct config *c, const struct context *x, const struct option *row,
                          const struct yaml_node *node, const void *item)
{
    struct place place = { .address = item, .size = row->table->struct_size, .node = node, .is_struct = true };
    if (!x->is_default)
        place_add(c, &place);
}

static void read_list(struct config *c, const struct context *x, const struct option *row, const struct yaml_node *node,
                      struct option_list *ret_list)
{
    bool is_single = node->kind != YAML_SEQUENCE;
    size_t size = row->table->struct_size, count = is_single ? 1 : node->count, i = 0;
    uint8_t *items = config_alloc(c, count * size);

    ret_list->items = items;
    ret_list->count = count;
    for (const struct yaml_node *item = is_single ? node : node->first; item;
         item = is_single ? NULL : item->next, i++) {
        if (!is_single && yaml_is_null(item))
            context_complain(c, x, item, config_text(c, "an empty item in \"%s\"", row->name));
        else
            read_item(c, x, row, item, NULL, items + i * size);
        remember_item(c, x, row, item, items + i * size);
    }
    check_count(c, x, row, node, count);
}

/* A key of the named thing that stands beside the name instead of below it:
 *
 *     listeners:
 *       web:
 *       address: ":443" */
static bool is_misplaced(const struct option_table *table, const struct yaml_node *member)
{
    const struct option *row = table_find_row(table, member->key->text);
    return row && !yaml_is_null(member) &&
           (value_is_scalar(row->type) ? member->kind == YAML_SCALAR : member->kind != YAML_MAPPING);
}

static void read_misplaced(struct config *c, const struct context *up, const struct option *row,
                           const struct yaml_node *member, void *base)
{
    struct context x = { .up = up, .table = row->table, .is_default = up->is_default, .is_quiet = true };

    context_complain(c, up, member->key,
                     config_text(c,
                                 "%s is taken for a name in \"%s\", but looks like a key that belongs below one\n"
                                 "indent it further than the name above it",
                                 config_quote(c, member->key->text), row->name));
    read_struct(c, &x, base);
}

static void read_map(struct config *c, const struct context *x, const struct option *row, const struct yaml_node *node,
                     struct option_list *ret_list)
{
    size_t size = row->table->struct_size, count;
    struct context below = *x;
    struct yaml_node **members;
    uint8_t *items;

    if (node->kind != YAML_MAPPING) {
        context_complain(
            c, x, node,
            config_text(
                c,
                "\"%s\" needs names, with one %s below each, not %s\nwrite \"NAME:\" with its keys indented below it",
                row->name, row->table->name, node->kind == YAML_SEQUENCE ? "a list" : "a single value"));
        fill_default(c, x, row, ret_list);
        return;
    }
    members = context_members(c, x, node, &count);
    items = config_alloc(c, count * size);
    ret_list->items = items;
    ret_list->count = count;
    for (size_t i = 0; i < count; i++)
        below.is_quiet |= !row->table->shorthand && is_misplaced(row->table, members[i]);
    for (size_t i = 0; i < count; i++) {
        struct place name = { .address = items + i * size, .size = sizeof(const char *), .node = members[i]->key };
        *(const char **)(items + i * size) = (const char *)members[i]->key->text.at;
        if (members[i]->key->text.size == 0)
            context_complain(c, x, members[i]->key, config_text(c, "an empty name in \"%s\"", row->name));
        if (!row->table->shorthand && is_misplaced(row->table, members[i]))
            read_misplaced(c, &below, row, members[i], items + i * size);
        else
            read_item(c, &below, row, members[i], (const char *)members[i]->key->text.at, items + i * size);
        remember_item(c, x, row, members[i], items + i * size);
        if (!x->is_default)
            place_add(c, &name);
    }
    check_count(c, x, row, node, count);
}

static void read_value(struct config *c, const struct context *x, const struct option *row,
                       const struct yaml_node *node, void *field)
{
    if (value_is_scalar(row->type)) {
        read_scalar(c, x, row, node, field);
        return;
    }
    switch (row->type) {
    case OPTION_SECTION:
        read_item(c, x, row, node, NULL, field);
        break;
    case OPTION_OPTIONAL:
        *(void **)field = config_alloc(c, row->table->struct_size);
        read_item(c, x, row, node, NULL, *(void **)field);
        remember_item(c, x, row, node, *(void **)field);
        break;
    case OPTION_LIST:
        read_list(c, x, row, node, field);
        break;
    default:
        CHECK(row->type == OPTION_MAP);
        read_map(c, x, row, node, field);
        break;
    }
}

static void fill_default(struct config *c, const struct context *x, const struct option *row, void *field)
{
    struct context below = { .up = x, .table = row->table, .is_default = x->is_default, .is_quiet = x->is_quiet };
    struct context standard = *x;
    struct yaml_node scalar;
    struct yaml yaml;

    if (row->type == OPTION_SECTION) {
        read_struct(c, &below, field);
        return;
    }
    if (!row->standard)
        return;
    standard.is_default = true;
    if (value_is_scalar(row->type) && row->standard[0] != '"') {
        yaml_plain_scalar(row->standard, &scalar);
        read_value(c, &standard, row, &scalar, field);
        return;
    }
    yaml_read(&c->arena, bytes_of_text(row->standard), &yaml);
    CHECK(yaml.root && !yaml.problems);
    read_value(c, &standard, row, yaml.root, field);
}

/* `null` or nothing behind a key: no value for what can have none, the defaults of a section, a slip elsewhere. */
static void read_null(struct config *c, const struct context *x, const struct option *row, const struct yaml_node *node,
                      void *field)
{
    if (row->required) {
        context_complain(
            c, x, node,
            config_text(c, "\"%s\" needs a value: %s", row->name,
                        value_is_scalar(row->type) ? value_describe(&c->arena, row) : "it must not be empty"));
        return;
    }
    if (row->type == OPTION_SECTION) {
        read_value(c, x, row, node, field);
    } else if (row->type == OPTION_LIST || row->type == OPTION_MAP) {
        fill_default(c, x, row, field);
    } else if (!value_may_be_null(row->type) && row->standard) {
        context_complain(
            c, x, node,
            config_text(c, "\"%s\" has no value\nremove the line for the default, %s", row->name, row->standard));
        fill_default(c, x, row, field);
    }
}

/* What the file has for a row. */
struct given {
    const struct yaml_node *node;
    bool is_misspelt; /* it seems to have it under a wrong name, which was complained about */
};

static void read_row(struct config *c, const struct context *x, const struct option *row, const struct given *given,
                     void *field)
{
    const struct yaml_node *node = given->node;

    if (!node) {
        if (row->required && !given->is_misspelt && !x->is_quiet)
            context_complain(c, x, x->node,
                             config_text(c, "\"%s\" is missing %s%s", row->name, x->up ? "in " : "at the top level",
                                         x->up ? context_describe(c, x) : ""));
        fill_default(c, x, row, field);
        return;
    }
    if (yaml_is_null(node))
        read_null(c, x, row, node, field);
    else
        read_value(c, x, row, node, field);
    remember(c, x, row, node, field);
}

/* Fills a struct from the members of x->node (NULL or null: from the defaults alone). */
static void read_struct(struct config *c, const struct context *x, void *base)
{
    const struct option_table *table = x->table;
    struct given *given = config_alloc(c, (table->row_count + 1) * sizeof(*given));
    struct yaml_node **members = NULL;
    struct context nearest = *x;
    size_t count = 0;

    if (x->node && x->node->kind == YAML_MAPPING) {
        members = context_members(c, x, x->node, &count);
        nearest.is_quiet |= has_odd_key(x->node);
    }
    for (size_t i = 0; i < count; i++) {
        const struct option *row = table_find_row(table, members[i]->key->text);
        if (row)
            given[row - table->rows].node = members[i];
        else if ((row = context_complain_unknown(c, x, members[i]->key)))
            given[row - table->rows].is_misspelt = true;
    }
    /* A section that the file does not have complains where the section would be. */
    for (const struct context *up = x->up; up && !nearest.node; up = up->up)
        nearest.node = up->node;
    for (size_t i = 0; i < table->row_count; i++)
        read_row(c, &nearest, &table->rows[i], &given[i], (uint8_t *)base + table->rows[i].offset);
}

/* The names that a reference may have: the keys of a map of the root. */
static const struct option_list *referred_map(const struct config *c, const struct option *row)
{
    const struct option *map = table_find_row(c->table, bytes_of_text(row->refers_to));

    CHECK(map && map->type == OPTION_MAP);
    return (const struct option_list *)(const void *)((const uint8_t *)c->root + map->offset);
}

static void check_reference(struct config *c, const struct config_reference *reference)
{
    const struct option *map = table_find_row(c->table, bytes_of_text(reference->row->refers_to));
    const struct option_list *list = referred_map(c, reference->row);
    struct suggestion best = { NULL, 0 };
    const char *known = "", *text;

    for (size_t i = 0; i < list->count; i++) {
        const char *name = *(const char **)((uint8_t *)list->items + i * map->table->struct_size);
        if (strcmp(name, reference->name) == 0)
            return;
        suggest(&best, bytes_of_text(reference->name), name);
        if (i < 10)
            known = config_text(c, "%s%s%s", known, i ? ", " : "", config_quote(c, bytes_of_text(name)));
    }
    text = config_text(c, "\"%s\" names the %s %s, which is not in \"%s\"", reference->row->name, map->table->name,
                       config_quote(c, bytes_of_text(reference->name)), map->name);
    if (*variable_note(bytes_of_text(reference->name)))
        text = config_text(c, "%s%s", text, variable_note(bytes_of_text(reference->name)));
    else if (best.word)
        text = config_text(c, "%s\ndid you mean %s?", text, config_quote(c, bytes_of_text(best.word)));
    else if (list->count)
        text = config_text(c, "%s\nthere: %s%s", text, known, list->count > 10 ? ", ..." : "");
    else
        text = config_text(c, "%s\nthere is no \"%s\" yet", text, map->name);
    complain_node(c, reference->node, text);
}

struct config *config_read(const struct option_table *root, const char *file_name, struct bytes text)
{
    struct config *c = calloc(1, sizeof(*c));
    struct context x = { .table = root };
    struct yaml yaml;
    struct bytes copy;

    CHECK(c);
    arena_init(&c->arena, NULL, SIZE_MAX);
    c->complaints_end = &c->complaints;
    c->table = root;
    c->file_name = config_text(c, "%s", file_name);
    copy = arena_copy(&c->arena, text);
    CHECK(copy.at);
    c->text = copy;
    c->root = config_alloc(c, root->struct_size);
    yaml_read(&c->arena, c->text, &yaml);
    for (const struct yaml_problem *p = yaml.problems; p; p = p->next)
        complain_at(c, COMPLAINT_ERROR, p->begin, p->end, p->text);
    if (yaml.root && yaml.root->kind != YAML_MAPPING && !yaml_is_null(yaml.root)) {
        complain_node(c, yaml.root,
                      config_text(c, "a configuration is keys and values\nknown here: %s", table_list_keys(c, root)));
        yaml.is_broken = true;
    }
    x.node = yaml.is_broken ? NULL : yaml.root;
    x.is_quiet = yaml.is_broken;
    read_struct(c, &x, c->root);
    for (const struct config_reference *r = c->references; r; r = r->next)
        check_reference(c, r);
    place_seal(c);
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    arena_reset(&c->arena);
    free(c);
}

struct arena *config_arena(struct config *c)
{
    return &c->arena;
}

void *config_root(struct config *c)
{
    return c->root;
}

size_t config_files(const struct config *c, const struct config_file **ret_files)
{
    *ret_files = c->files;
    return c->file_count;
}
