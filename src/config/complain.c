#include <stdlib.h>

#include "base/check.h"
#include "config/state.h"
#include "base/idn.h"
#include "config/yaml_hint.h"

enum {
    QUOTE_MOST = 60,    /* bytes of a value that a message repeats */
    EXCERPT_MOST = 140, /* characters of a source line that are shown */
};

void *config_alloc(struct config *c, size_t size)
{
    void *memory = arena_zalloc(&c->arena, size);
    CHECK(memory);
    return memory;
}

const char *config_text(struct config *c, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;

    CHECK(format);
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(size >= 0);
    text = config_alloc(c, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return text;
}

const char *config_quote(struct config *c, struct bytes text)
{
    size_t shown = text.size;
    char *out, *at;

    if (shown > QUOTE_MOST) {
        shown = QUOTE_MOST;
        while (shown && (text.at[shown] & 0xC0) == 0x80)
            shown--;
    }
    out = at = config_alloc(c, 4 * shown + sizeof("\"...\""));
    *at++ = '"';
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = text.at[i];
        if (byte >= 0x20 && byte != 0x7F)
            *at++ = (char)byte;
        else
            at += snprintf(at, 5, byte == '\n' ? "\\n" : "\\x%02x", byte);
    }
    snprintf(at, 5, shown < text.size ? "...\"" : "\"");
    return out;
}

void complain_at(struct config *c, enum complaint_level level, size_t begin, size_t end, const char *text)
{
    struct complaint *complaint = config_alloc(c, sizeof(*complaint));

    *complaint = (struct complaint){ .level = level, .begin = begin, .end = end, .text = text };
    *c->complaints_end = complaint;
    c->complaints_end = &complaint->next;
    if (level == COMPLAINT_ERROR)
        c->errors++;
    else
        c->warnings++;
}

void node_span(const struct yaml_node *node, size_t *ret_begin, size_t *ret_end)
{
    const struct yaml_node *shown = node;

    if (node->key && (node->kind != YAML_SCALAR || !yaml_is_written(node)))
        shown = node->key;
    *ret_begin = shown->begin;
    *ret_end = shown->kind == YAML_SCALAR ? shown->end : shown->begin;
}

void complain_node(struct config *c, const struct yaml_node *node, const char *text)
{
    size_t begin, end;

    node_span(node, &begin, &end);
    complain_at(c, COMPLAINT_ERROR, begin, end, text);
}

void config_complain(struct config *c, enum complaint_level level, const void *field, const char *format, ...)
{
    size_t begin = SIZE_MAX, end = SIZE_MAX;
    bool is_exact;
    const struct place *p = field ? place_find(c, field, &is_exact) : NULL;
    va_list arguments, again;
    char *text;
    int size;

    CHECK(format);
    va_start(arguments, format);
    va_copy(again, arguments);
    size = vsnprintf(NULL, 0, format, arguments);
    CHECK(size >= 0);
    text = config_alloc(c, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    for (char *at = text; *at; at++)
        if ((*at > 0 && *at < ' ' && *at != '\n') || *at == 0x7F)
            *at = '?';
    if (p)
        node_span(p->node, &begin, &end);
    complain_at(c, level, begin, end, text);
}

size_t config_error_count(const struct config *c)
{
    return c->errors;
}

size_t config_warning_count(const struct config *c)
{
    return c->warnings;
}

static size_t count_characters(struct bytes b)
{
    size_t count = 0;

    for (size_t i = 0; i < b.size; i++)
        count += (b.at[i] & 0xC0) != 0x80;
    return count;
}

/* Whether a secret stands in the line, which is then not to be shown. */
static bool line_has_secret(const struct config *c, size_t begin, size_t end)
{
    for (size_t i = 0; c->has_secrets && i < c->place_count; i++) {
        const struct place *p = &c->places[i];
        if (p->is_secret && p->node->begin < end && p->node->end > begin)
            return true;
    }
    return false;
}

/* A line of the file as a terminal may show it: tabs as spaces, nothing that moves the cursor, broken UTF-8 as '?'. */
static void print_line(struct bytes line, FILE *out)
{
    while (line.size) {
        struct bytes rest = line;
        int c = utf8_decode(&rest);
        if (c < 0)
            rest = bytes_from(line, 1);
        if (c == '\t')
            fputc(' ', out);
        else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
            fputc('?', out);
        else
            fwrite(line.at, 1, line.size - rest.size, out);
        line = rest;
    }
}

/* Cuts a long line to the part around column; returns how many characters were dropped in front. */
static size_t cut_line(struct bytes *line, size_t column)
{
    size_t dropped = 0, size;

    if (count_characters(*line) <= EXCERPT_MOST)
        return 0;
    if (column > EXCERPT_MOST / 2) {
        dropped = column - EXCERPT_MOST / 2;
        *line = bytes_from(*line, yaml_offset(*line, 1, dropped + 1));
    }
    size = yaml_offset(*line, 1, EXCERPT_MOST + 1);
    *line = bytes_part(*line, 0, size);
    return dropped;
}

static void print_excerpt(const struct config *c, const struct complaint *complaint, struct bytes line, size_t number,
                          FILE *out)
{
    size_t start = (size_t)(line.at - c->text.at), column, dropped, underlined, shown;

    if (line_has_secret(c, start, start + line.size))
        return;
    column = count_characters(bytes_part(line, 0, complaint->begin - start));
    underlined = complaint->end > complaint->begin
                     ? count_characters(
                           bytes_part(bytes_from(line, complaint->begin - start), 0, complaint->end - complaint->begin))
                     : 1;
    dropped = cut_line(&line, column);
    fprintf(out, "%5zu | %s", number, dropped ? "..." : "");
    print_line(line, out);
    shown = column - dropped + (dropped ? 3 : 0);
    if (underlined > EXCERPT_MOST)
        underlined = EXCERPT_MOST;
    fprintf(out, "\n      | %*s^", (int)shown, "");
    for (size_t i = 1; i < underlined; i++)
        fputc('^', out);
    fputc('\n', out);
}

static void print_complaint(const struct config *c, const struct complaint *complaint, struct line_walk *walk,
                            FILE *out)
{
    struct bytes text = bytes_of_text(complaint->text);
    const char *level = complaint->level == COMPLAINT_ERROR ? "error" : "warning";
    bool is_placed = complaint->begin != SIZE_MAX;
    size_t first = bytes_find(text, '\n');
    struct bytes line = BYTES_NONE;

    if (is_placed) {
        line = yaml_walk_to_line(walk, c->text, complaint->begin);
        size_t column = count_characters(bytes_part(line, 0, complaint->begin - (size_t)(line.at - c->text.at))) + 1;
        fprintf(out, "%s:%zu:%zu: %s: ", c->file_name, walk->number, column, level);
    } else {
        fprintf(out, "%s: %s: ", c->file_name, level);
    }
    fprintf(out, "%.*s\n", BYTES_PRINT(bytes_part(text, 0, first)));
    if (is_placed && c->text.size)
        print_excerpt(c, complaint, line, walk->number, out);
    for (text = bytes_from(text, first + 1); text.size; text = bytes_from(text, first + 1)) {
        first = bytes_find(text, '\n');
        fprintf(out, "      = %.*s\n", BYTES_PRINT(bytes_part(text, 0, first)));
    }
}

struct numbered {
    const struct complaint *complaint;
    size_t number;
};

static int compare(const void *left, const void *right)
{
    const struct numbered *a = left, *b = right;

    if (a->complaint->begin != b->complaint->begin)
        return a->complaint->begin < b->complaint->begin ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

void config_print_complaints(const struct config *c, FILE *out)
{
    size_t count = 0;
    struct line_walk walk = { 0, 1 };
    struct numbered *sorted = malloc((c->errors + c->warnings + 1) * sizeof(*sorted));

    CHECK(sorted);
    for (const struct complaint *complaint = c->complaints; complaint; complaint = complaint->next, count++)
        sorted[count] = (struct numbered){ complaint, count };
    qsort(sorted, count, sizeof(*sorted), compare);
    for (size_t i = 0; i < count; i++)
        print_complaint(c, sorted[i].complaint, &walk, out);
    free(sorted);
}
