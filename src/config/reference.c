#include <stdio.h>

#include "base/check.h"
#include "config/config.h"
#include "config/number.h"
#include "config/tables.h"
#include "config/value.h"

struct page {
    FILE *out;
    struct arena arena;
    const struct table_entry *all;
};

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "This page is generated from the tables of options in the source (`unlade config docs`); so are the parser, its\n"
    "messages, and the JSON Schema for editors (`unlade config schema`). `unlade check` reads a file and tells "
    "everything\n"
    "that is wrong with it; `unlade config show` prints what is in force, defaults included.\n"
    "\n"
    "## How values are written\n"
    "\n"
    "The file is YAML in UTF-8: one document, without anchors, aliases, merge keys and tags.\n"
    "\n"
    "| Value | Written | Notes |\n"
    "| --- | --- | --- |\n"
    "| yes or no | `yes`, `no`, `true`, `false`, `on`, `off` | without quotes |\n"
    "| number | `64` | without quotes |\n"
    "| size | `512`, `16k`, `25M`, `1G`, `2T` | bytes; each step is 1024 |\n"
    "| duration | `250ms`, `5s`, `10m`, `12h`, `30d` | also `ns` and `us`; a unit is needed, except with `0` |\n"
    "| rate | `512/s`, `16k/s`, `2M/s` | per second; each step is 1024 |\n"
    "| endpoint | `127.0.0.1:8080`, `\"[::1]:443\"`, `name:80`, `:8443`, `unix:/run/app.sock` | brackets need quotes "
    "|\n"
    "| network | `10.0.0.0/8`, `192.0.2.7`, `\"2001:db8::/32\"` | no bits behind the prefix |\n"
    "| file | `/etc/unlade/site.pem` | relative paths start at the folder of the configuration file |\n"
    "| files | `/etc/unlade/certs/*.pem` | a path, or a pattern with `*`, `?` and `[ ]` |\n"
    "| text | `unlade`, `\"*.example.org\"` | quotes where YAML wants them: what starts with `*`, `&`, `@`, `%` or `[` "
    "|\n"
    "\n"
    "A list of one item may be written without brackets: `address: \":443\"`. A key without value, or with `null`, is "
    "as\n"
    "good as not written; for a text, a file or an endpoint with a default, `null` means none.\n";

/* Text in a cell of a table. */
static void put_cell(struct page *p, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', p->out);
        fputc(*text == '\n' ? ' ' : *text, p->out);
    }
}

static void put_link(struct page *p, const struct option_table *table)
{
    const struct table_entry *entry = tables_find(p->all, table);

    CHECK(table); /* lists, maps and groups have one */
    fprintf(p->out, "[%s](#%s)", table->name, entry->id);
}

static const char *type_name(const struct option *row)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "yes or no",    [OPTION_NUMBER] = "number",     [OPTION_SIZE] = "size",
        [OPTION_DURATION] = "duration", [OPTION_RATE] = "rate",         [OPTION_CHOICE] = "choice",
        [OPTION_TEXT] = "text",         [OPTION_ENDPOINT] = "endpoint", [OPTION_NETWORK] = "network",
        [OPTION_FILE] = "file",         [OPTION_FILES] = "files",       [OPTION_REFERENCE] = "name",
    };
    return names[row->type];
}

static void put_scalar_type(struct page *p, const struct option *row)
{
    CHECK(row); /* what has a shorthand has a row for it */
    if (row->type == OPTION_CHOICE) {
        for (const struct option_choice *c = row->choices; c->name; c++)
            fprintf(p->out, "%s`%s`", c == row->choices ? "" : ", ", c->name);
        return;
    }
    fputs(type_name(row), p->out);
    if (row->type == OPTION_REFERENCE)
        fprintf(p->out, " out of `%s`", row->refers_to);
    if (row->zero)
        fprintf(p->out, ", or `%s`", row->zero);
}

static void put_type(struct page *p, const struct option *row)
{
    const struct option *shorthand = row->table ? table_shorthand(row->table) : NULL;

    switch (row->type) {
    case OPTION_SECTION:
    case OPTION_OPTIONAL:
        put_link(p, row->table);
        break;
    case OPTION_LIST:
        fputs("list of ", p->out);
        if (table_is_single_value(row->table))
            put_scalar_type(p, shorthand);
        else
            put_link(p, row->table);
        break;
    case OPTION_MAP:
        put_link(p, row->table);
        fputs(" by name", p->out);
        break;
    default:
        put_scalar_type(p, row);
        return;
    }
    if (shorthand && !table_is_single_value(row->table))
        fprintf(p->out, ", or its `%s` alone", shorthand->name);
}

static void put_default(struct page *p, const struct option *row)
{
    if (row->required)
        fputs("*required*", p->out);
    else if (row->standard)
        fprintf(p->out, "`%s`", row->standard);
    else if (row->type == OPTION_BOOL)
        fputs("`no`", p->out);
}

static void put_bounds(struct page *p, const struct option *row)
{
    char least[NUMBER_TEXT], most[NUMBER_TEXT];
    enum option_type type = number_is_type(row->type) ? row->type : OPTION_NUMBER;
    const char *unit = number_is_type(row->type) ? "" : " items";

    if (row->least == 0 && row->most == 0)
        return;
    number_print(type, row->least, least);
    number_print(type, row->most, most);
    if (row->most == 0 && row->least == 1)
        fprintf(p->out, number_is_type(row->type) ? " More than 0." : " At least one.");
    else if (row->most == 0)
        fprintf(p->out, " At least %s%s.", least, unit);
    else if (row->least <= number_is_type(row->type))
        fprintf(p->out, " At most %s%s.", most, unit);
    else
        fprintf(p->out, " From %s to %s%s.", least, most, unit);
}

static void put_meaning(struct page *p, const struct option *row)
{
    put_cell(p, row->doc ? row->doc : "");
    for (const struct option_choice *c = row->type == OPTION_CHOICE ? row->choices : NULL; c && c->name; c++) {
        if (!c->doc)
            continue;
        fprintf(p->out, "<br>`%s`: ", c->name);
        put_cell(p, c->doc);
    }
    put_bounds(p, row);
    if (row->reload == OPTION_RESTART)
        fputs(" A change needs a restart.", p->out);
    if (row->secret)
        fputs(" Never shown.", p->out);
}

static void put_table(struct page *p, const struct table_entry *entry)
{
    const struct option_table *table = entry->table;

    fprintf(p->out, "\n<a id=\"%s\"></a>\n", entry->id);
    if (*entry->path)
        fprintf(p->out, "## %s: `%s`\n", table->name, entry->path);
    else
        fprintf(p->out, "## The top level\n");
    if (table->doc)
        fprintf(p->out, "\n%s\n", table->doc);
    fputs("\n| Option | Value | Default | Meaning |\n| --- | --- | --- | --- |\n", p->out);
    for (size_t i = 0; i < table->row_count; i++) {
        fprintf(p->out, "| `%s` | ", table->rows[i].name);
        put_type(p, &table->rows[i]);
        fputs(" | ", p->out);
        put_default(p, &table->rows[i]);
        fputs(" | ", p->out);
        put_meaning(p, &table->rows[i]);
        fputs(" |\n", p->out);
    }
    if (table->example)
        fprintf(p->out, "\n```yaml\n%s%s```\n", table->example,
                table->example[strlen(table->example) - 1] == '\n' ? "" : "\n");
}

void config_write_reference(const struct option_table *root, FILE *out)
{
    struct page p = { .out = out };

    arena_init(&p.arena, NULL, SIZE_MAX);
    p.all = tables_collect(&p.arena, root);
    fputs(introduction, out);
    for (const struct table_entry *entry = p.all; entry; entry = entry->next)
        if (!table_is_single_value(entry->table))
            put_table(&p, entry);
    arena_reset(&p.arena);
}
