#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "config/number.h"
#include "config/tables.h"
#include "config/value.h"

/* Compact JSON. Every value here is written by the code, but for names and texts of the tables, which are quoted. */
struct schema {
    FILE *out;
    struct arena arena;
    const struct table_entry *all;
};

static void put_string(struct schema *s, const char *text)
{
    fputc('"', s->out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', s->out);
        if ((unsigned char)*text < 0x20)
            fprintf(s->out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, s->out);
    }
    fputc('"', s->out);
}

static bool is_json_number(const char *text)
{
    char *end;

    if (*text < '0' || *text > '9' || (text[0] == '0' && text[1] && text[1] != '.'))
        return false;
    strtod(text, &end);
    return *end == 0 && end[-1] >= '0' && !strpbrk(text, "xXpPnN");
}

/* A word, and what a reader of YAML 1.1 makes of it: off and no are false there, 1.3 is a number everywhere. */
static void put_readings(struct schema *s, const char *word)
{
    if (is_json_number(word))
        fprintf(s->out, ",{\"const\":%s}", word);
    else if (strcmp(word, "off") == 0 || strcmp(word, "no") == 0)
        fputs(",{\"const\":false}", s->out);
    else if (strcmp(word, "on") == 0 || strcmp(word, "yes") == 0)
        fputs(",{\"const\":true}", s->out);
}

/* Alternatives of a scalar, as items of an anyOf. */
static void put_choices(struct schema *s, const struct option *row)
{
    for (const struct option_choice *c = row->choices; c->name; c++) {
        fprintf(s->out, "%s{\"const\":", c == row->choices ? "" : ",");
        put_string(s, c->name);
        if (c->doc) {
            fputs(",\"description\":", s->out);
            put_string(s, c->doc);
        }
        fputc('}', s->out);
        put_readings(s, c->name);
    }
}

static void put_integer(struct schema *s, const struct option *row)
{
    fprintf(s->out, "{\"type\":\"integer\",\"minimum\":%" PRIu64, row->least);
    if (row->most)
        fprintf(s->out, ",\"maximum\":%" PRIu64, row->most);
    fputc('}', s->out);
}

static void put_alternatives(struct schema *s, const struct option *row)
{
    static const char text[] = "{\"type\":[\"string\",\"number\",\"boolean\"]}";

    switch (row->type) {
    case OPTION_BOOL:
        fputs("{\"enum\":[true,false,\"yes\",\"no\",\"on\",\"off\"]}", s->out);
        break;
    case OPTION_NUMBER:
        put_integer(s, row);
        break;
    case OPTION_SIZE:
        put_integer(s, row);
        fputs(",{\"type\":\"string\",\"pattern\":\"^(0|[1-9][0-9]*)[kKmMgGtT]?$\"}", s->out);
        break;
    case OPTION_DURATION:
        if (row->least == 0)
            fputs("{\"const\":0},", s->out);
        fputs("{\"type\":\"string\",\"pattern\":\"^(0|[1-9][0-9]*)(ns|us|ms|s|m|h|d)$\"}", s->out);
        break;
    case OPTION_RATE:
        fputs("{\"type\":\"string\",\"pattern\":\"^(0|[1-9][0-9]*)[kKmMgG]?/s$\"}", s->out);
        break;
    case OPTION_CHOICE:
        put_choices(s, row);
        break;
    case OPTION_ENDPOINT:
    case OPTION_NETWORK:
    case OPTION_FILE:
    case OPTION_FILES:
        fputs("{\"type\":\"string\",\"minLength\":1}", s->out);
        break;
    default:
        fputs(text, s->out);
        break;
    }
    if (row->zero) {
        fputs(",{\"const\":", s->out);
        put_string(s, row->zero);
        fputc('}', s->out);
        put_readings(s, row->zero);
    }
}

static void put_row(struct schema *s, const struct option *row);

/* One thing of a table, in full or in shorthand. */
static void put_item(struct schema *s, const struct option_table *table)
{
    const struct option *shorthand = table_shorthand(table);

    fprintf(s->out, "{\"$ref\":\"#/$defs/%s\"}", tables_find(s->all, table)->id);
    if (shorthand && value_is_scalar(shorthand->type)) {
        fputc(',', s->out);
        put_alternatives(s, shorthand);
    } else if (shorthand) {
        fputs(",{", s->out);
        put_row(s, shorthand);
        fputc('}', s->out);
    }
}

static void put_count(struct schema *s, const struct option *row, const char *what)
{
    if (row->least)
        fprintf(s->out, ",\"min%s\":%" PRIu64, what, row->least);
    if (row->most)
        fprintf(s->out, ",\"max%s\":%" PRIu64, what, row->most);
}

static void put_container(struct schema *s, const struct option *row)
{
    switch (row->type) {
    case OPTION_LIST:
        put_item(s, row->table);
        fputs(",{\"type\":\"array\",\"items\":{\"anyOf\":[", s->out);
        put_item(s, row->table);
        fputs("]}", s->out);
        put_count(s, row, "Items");
        fputc('}', s->out);
        break;
    case OPTION_MAP:
        fputs("{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[", s->out);
        put_item(s, row->table);
        fputs(",{\"type\":\"null\"}]}", s->out);
        put_count(s, row, "Properties");
        fputc('}', s->out);
        break;
    default:
        put_item(s, row->table);
        break;
    }
}

/* What stands between the braces of one property. */
static void put_row(struct schema *s, const struct option *row)
{
    fputs("\"description\":", s->out);
    put_string(s, row->doc ? row->doc : "");
    if (row->standard && (value_is_scalar(row->type))) {
        fputs(",\"default\":", s->out);
        if (row->type == OPTION_NUMBER && is_json_number(row->standard))
            fputs(row->standard, s->out);
        else
            put_string(s, row->standard);
    }
    fputs(",\"anyOf\":[", s->out);
    if (value_is_scalar(row->type))
        put_alternatives(s, row);
    else
        put_container(s, row);
    if (!row->required && (value_may_be_null(row->type) || !row->standard))
        fputs(",{\"type\":\"null\"}", s->out);
    fputc(']', s->out);
}

static void put_object(struct schema *s, const struct option_table *table)
{
    bool has_required = false;

    fputs("\"type\":\"object\",\"additionalProperties\":false,\n\"properties\":{", s->out);
    for (size_t i = 0; i < table->row_count; i++) {
        fputs(i ? ",\n" : "\n", s->out);
        put_string(s, table->rows[i].name);
        fputs(":{", s->out);
        put_row(s, &table->rows[i]);
        fputc('}', s->out);
    }
    fputc('}', s->out);
    for (size_t i = 0; i < table->row_count; i++) {
        if (!table->rows[i].required)
            continue;
        fputs(has_required ? "," : ",\n\"required\":[", s->out);
        put_string(s, table->rows[i].name);
        has_required = true;
    }
    if (has_required)
        fputc(']', s->out);
}

void config_write_schema(const struct option_table *root, FILE *out)
{
    struct schema s = { .out = out };

    arena_init(&s.arena, NULL, SIZE_MAX);
    s.all = tables_collect(&s.arena, root);
    fputs("{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\n\"title\":\"Unlade "
          "configuration\",\n\"description\":",
          out);
    put_string(&s, root->doc ? root->doc : "");
    fputs(",\n", out);
    put_object(&s, root);
    fputs(",\n\"$defs\":{", out);
    for (const struct table_entry *entry = s.all->next; entry; entry = entry->next) {
        fputs(entry == s.all->next ? "\n" : ",\n", out);
        put_string(&s, entry->id);
        fputs(":{\"description\":", out);
        put_string(&s, entry->table->doc ? entry->table->doc : "");
        fputc(',', out);
        put_object(&s, entry->table);
        fputc('}', out);
    }
    fputs("}}\n", out);
    arena_reset(&s.arena);
}
