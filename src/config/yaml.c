#include "config/yaml.h"

#include <libfyaml.h>

#include "base/check.h"
#include "config/yaml_hint.h"

/* The state of one walk over the library's events. */
struct walk {
    struct arena *arena;
    struct bytes text;
    struct yaml *yaml;
    struct yaml_problem **problems_end;
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct {
        struct yaml_node *node, *key; /* the open sequence or mapping; a mapping's key that waits for its value */
    } open[YAML_DEPTH_MOST];
    size_t depth;
    size_t documents;
    size_t position; /* behind the newest token */
};

static void *zalloc(struct arena *arena, size_t size)
{
    void *memory = arena_zalloc(arena, size);
    CHECK(memory);
    return memory;
}

static void problem(struct walk *w, size_t begin, size_t end, const char *text)
{
    struct yaml_problem *p = zalloc(w->arena, sizeof(*p));

    CHECK(text);
    *p = (struct yaml_problem){ .begin = begin, .end = end, .text = text };
    *w->problems_end = p;
    w->problems_end = &p->next;
}

/* The file is no YAML: one problem alone. */
static void give_up(struct walk *w, size_t begin, size_t end, const char *text)
{
    w->yaml->problems = NULL;
    w->problems_end = &w->yaml->problems;
    w->yaml->root = NULL;
    w->yaml->is_broken = true;
    problem(w, begin, end, text);
}

static void token_span(struct walk *w, struct fy_token *token, size_t *ret_begin, size_t *ret_end)
{
    const struct fy_mark *begin = token ? fy_token_start_mark(token) : NULL;
    const struct fy_mark *end = token ? fy_token_end_mark(token) : NULL;

    *ret_begin = *ret_end = w->position;
    if (begin && end && begin->input_pos <= w->text.size && end->input_pos <= w->text.size) {
        *ret_begin = begin->input_pos;
        *ret_end = end->input_pos > begin->input_pos ? end->input_pos : begin->input_pos;
        w->position = *ret_end;
    }
}

/* Puts a node where the walk stands: the root, a sequence's next item, a mapping's next key or value. */
static void attach(struct walk *w, struct yaml_node *node)
{
    struct yaml_node *parent = w->depth ? w->open[w->depth - 1].node : NULL;
    struct yaml_node **key = w->depth ? &w->open[w->depth - 1].key : NULL;

    if (!parent) {
        w->yaml->root = node;
        return;
    }
    if (parent->kind == YAML_MAPPING && !*key) {
        *key = node;
        return;
    }
    if (parent->kind == YAML_MAPPING) {
        node->key = *key;
        *key = NULL;
    }
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
}

static bool is_key_next(const struct walk *w)
{
    return w->depth && w->open[w->depth - 1].node->kind == YAML_MAPPING && !w->open[w->depth - 1].key;
}

static void refuse_properties(struct walk *w, struct fy_event *event)
{
    struct fy_token *anchor = fy_event_get_anchor_token(event), *tag = fy_event_get_tag_token(event);
    size_t begin, end;

    if (anchor) {
        token_span(w, anchor, &begin, &end);
        problem(w, begin ? begin - 1 : begin, end,
                "anchors (&name) are not supported\nwrite the value out; quote a text that starts with &");
    }
    if (tag) {
        token_span(w, tag, &begin, &end);
        problem(w, begin, end, "tags (!name) are not supported\nquote a text that starts with !");
    }
}

static struct yaml_node *new_node(struct walk *w, struct fy_event *event, enum yaml_kind kind)
{
    struct yaml_node *node = zalloc(w->arena, sizeof(*node));

    node->kind = kind;
    if (event->type != FYET_ALIAS)
        refuse_properties(w, event);
    token_span(w, fy_event_get_token(event), &node->begin, &node->end);
    return node;
}

static void copy_text(struct walk *w, struct yaml_node *node, const char *text, size_t size)
{
    char *copy = arena_text(w->arena, bytes_of(text, text ? size : 0));

    CHECK(copy);
    node->text = bytes_of(copy, text ? size : 0);
}

/* An empty item of a list is nothing but its dash. */
static void find_dash(struct walk *w, struct yaml_node *node)
{
    size_t at = w->position;

    if (!w->depth || w->open[w->depth - 1].node->kind != YAML_SEQUENCE)
        return;
    while (at < w->text.size && strchr(" \t\r\n", w->text.at[at]))
        at++;
    if (at < w->text.size && w->text.at[at] == '-') {
        node->begin = at;
        node->end = w->position = at + 1;
    }
}

static void on_scalar(struct walk *w, struct fy_event *event)
{
    struct yaml_node *node = new_node(w, event, YAML_SCALAR);
    struct fy_token *token = fy_event_get_token(event);
    size_t size = 0;
    const char *text = token ? fy_token_get_text(token, &size) : NULL;

    if (!token)
        find_dash(w, node);
    node->is_plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
    if (!node->is_plain && node->begin && (w->text.at[node->begin - 1] == '"' || w->text.at[node->begin - 1] == '\''))
        node->begin--; /* the library leaves the quotes out */
    if (node->end < w->text.size && !node->is_plain && (w->text.at[node->end] == '"' || w->text.at[node->end] == '\''))
        node->end++;
    copy_text(w, node, text, size);
    if (bytes_find(node->text, 0) < node->text.size)
        problem(w, node->begin, node->end, "a text must not hold a zero byte");
    attach(w, node);
}

/* "*.example.org" without quotes is an alias to YAML. It is taken as the text that was meant, so that the walk goes on. */
static void on_alias(struct walk *w, struct fy_event *event)
{
    struct yaml_node *node = new_node(w, event, YAML_SCALAR);
    struct bytes name;

    if (node->begin)
        node->begin--; /* the star */
    name = bytes_part(w->text, node->begin, node->end - node->begin);
    copy_text(w, node, (const char *)name.at, name.size);
    problem(w, node->begin, node->end,
            arena_printf(w->arena,
                         "aliases (*name) are not supported\n"
                         "quote a text that starts with *: \"%.*s\"",
                         BYTES_PRINT(bytes_part(name, 0, 200))));
    attach(w, node);
}

static void on_start(struct walk *w, struct fy_event *event, enum yaml_kind kind)
{
    struct yaml_node *node = new_node(w, event, kind);

    if (is_key_next(w))
        problem(w, node->begin, node->end,
                node->begin < w->text.size ? yaml_explain_key(w->arena, w->text, node->begin) : "a key must be a text");
    attach(w, node);
    if (w->depth == YAML_DEPTH_MOST) {
        give_up(w, node->begin, node->end, "nested too deeply");
        return;
    }
    w->open[w->depth].node = node;
    w->open[w->depth++].key = NULL;
}

static void on_end(struct walk *w, struct fy_event *event)
{
    struct fy_token *token = fy_event_get_token(event);
    size_t begin, end;

    CHECK(w->depth);
    token_span(w, token, &begin, &end);
    w->depth--;
    if (end > begin)
        w->open[w->depth].node->end = end;
    else if (w->open[w->depth].node->last)
        w->open[w->depth].node->end = w->open[w->depth].node->last->end;
}

static void on_event(struct walk *w, struct fy_event *event)
{
    size_t begin, end;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        token_span(w, fy_event_get_token(event), &begin, &end);
        if (w->documents++)
            give_up(w, begin, end,
                    "a second document starts here; a configuration is one document\nremove the line ---");
        break;
    case FYET_SCALAR:
        on_scalar(w, event);
        break;
    case FYET_ALIAS:
        on_alias(w, event);
        break;
    case FYET_SEQUENCE_START:
        on_start(w, event, YAML_SEQUENCE);
        break;
    case FYET_MAPPING_START:
        on_start(w, event, YAML_MAPPING);
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        on_end(w, event);
        break;
    default:
        break;
    }
}

/* The library's first error, with the reason that the text suggests. */
static void on_syntax_error(struct walk *w)
{
    void *iterator = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(w->diag, &iterator);
    size_t at = w->position, at_end, opened = SIZE_MAX;
    const char *message = "not YAML";

    if (error && error->line > 0) {
        message = error->msg;
        at = yaml_offset(w->text, (size_t)error->line, error->column > 0 ? (size_t)error->column : 1);
    }
    if (strstr(message, "-quoted scalar") && at && (w->text.at[at - 1] == '"' || w->text.at[at - 1] == '\''))
        at--;
    for (size_t i = w->depth; i-- > 0 && opened == SIZE_MAX;) {
        size_t begin = w->open[i].node->begin;
        if (begin < w->text.size && w->open[i].node->end > begin &&
            (w->text.at[begin] == '[' || w->text.at[begin] == '{'))
            opened = begin;
    }
    at_end = at;
    message = yaml_explain(w->arena, w->text, message, opened, &at, &at_end);
    give_up(w, at, at_end, message);
}

static void walk_events(struct walk *w)
{
    struct fy_event *event;

    while (!w->yaml->is_broken && (event = fy_parser_parse(w->parser))) {
        on_event(w, event);
        fy_parser_event_free(w->parser, event);
    }
    if (!w->yaml->is_broken && fy_parser_get_stream_error(w->parser))
        on_syntax_error(w);
}

void yaml_read(struct arena *arena, struct bytes text, struct yaml *ret_yaml)
{
    struct fy_diag_cfg diag = { .level = FYET_ERROR, .module_mask = ~0u };
    struct fy_parse_cfg parse = { .flags = FYPCF_QUIET | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2 };
    struct walk w = { .arena = arena, .text = text, .yaml = ret_yaml, .problems_end = &ret_yaml->problems };
    size_t at, size;
    const char *why;

    *ret_yaml = (struct yaml){ .root = NULL };
    if (text.size > YAML_SIZE_MOST) {
        give_up(&w, 0, 0, "the file is too large");
        return;
    }
    if (!yaml_text_is_clean(arena, text, &at, &size, &why)) {
        give_up(&w, at, at + size, why);
        return;
    }
    if (text.size == 0)
        return;
    diag.fp = NULL;
    w.diag = fy_diag_create(&diag);
    CHECK(w.diag);
    fy_diag_set_collect_errors(w.diag, true);
    parse.diag = w.diag;
    w.parser = fy_parser_create(&parse);
    CHECK(w.parser && fy_parser_set_string(w.parser, (const char *)text.at, text.size) == 0);
    walk_events(&w);
    fy_parser_destroy(w.parser);
    fy_diag_destroy(w.diag);
}

void yaml_plain_scalar(const char *text, struct yaml_node *ret_node)
{
    *ret_node = (struct yaml_node){ .kind = YAML_SCALAR, .is_plain = true, .text = bytes_of_text(text), .end = 1 };
}

bool yaml_is_written(const struct yaml_node *node)
{
    return node->end > node->begin;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && node->is_plain &&
           (node->text.size == 0 || bytes_equal_text(node->text, "~") || bytes_equal_text(node->text, "null") ||
            bytes_equal_text(node->text, "Null") || bytes_equal_text(node->text, "NULL"));
}
