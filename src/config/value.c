#include "config/value.h"

#include <stdio.h>

#include "base/check.h"
#include "config/endpoint.h"
#include "config/number.h"
#include "config/suggest.h"

static const struct {
    size_t size;
    bool is_scalar, may_be_null;
} types[] = {
    [OPTION_BOOL] = { sizeof(bool), true, false },
    [OPTION_NUMBER] = { sizeof(uint64_t), true, false },
    [OPTION_SIZE] = { sizeof(uint64_t), true, false },
    [OPTION_DURATION] = { sizeof(uint64_t), true, false },
    [OPTION_RATE] = { sizeof(uint64_t), true, false },
    [OPTION_CHOICE] = { sizeof(int), true, false },
    [OPTION_TEXT] = { sizeof(const char *), true, true },
    [OPTION_ENDPOINT] = { sizeof(struct option_endpoint), true, true },
    [OPTION_NETWORK] = { sizeof(struct option_network), true, true },
    [OPTION_FILE] = { sizeof(struct option_file), true, true },
    [OPTION_FILES] = { sizeof(struct option_file), true, true },
    [OPTION_REFERENCE] = { sizeof(const char *), true, true },
    [OPTION_SECTION] = { 0, false, true },
    [OPTION_OPTIONAL] = { sizeof(void *), false, true },
    [OPTION_LIST] = { sizeof(struct option_list), false, true },
    [OPTION_MAP] = { sizeof(struct option_list), false, true },
};

bool value_is_scalar(enum option_type type)
{
    return types[type].is_scalar;
}

bool value_may_be_null(enum option_type type)
{
    return types[type].may_be_null;
}

size_t value_size(const struct option *row)
{
    return row->type == OPTION_SECTION ? row->table->struct_size : types[row->type].size;
}

static char *copy_text(struct arena *arena, struct bytes text)
{
    char *copy = arena_text(arena, text);
    CHECK(copy);
    return copy;
}

static const struct {
    const char *word;
    bool value;
} bool_words[] = { { "true", true }, { "false", false }, { "yes", true },
                   { "no", false },  { "on", true },     { "off", false } };

static const char *read_bool(const struct yaml_node *scalar, bool *ret_value)
{
    static const struct {
        const char *word, *problem;
    } others[] = {
        { "1", "must be yes or no\ndid you mean yes?" },       { "0", "must be yes or no\ndid you mean no?" },
        { "y", "must be yes or no\ndid you mean yes?" },       { "n", "must be yes or no\ndid you mean no?" },
        { "enabled", "must be yes or no\ndid you mean yes?" }, { "disabled", "must be yes or no\ndid you mean no?" },
        { "enable", "must be yes or no\ndid you mean yes?" },  { "disable", "must be yes or no\ndid you mean no?" },
    };

    for (size_t i = 0; i < COUNT_OF(bool_words); i++) {
        if (!bytes_equal_nocase(scalar->text, bytes_of_text(bool_words[i].word)))
            continue;
        if (!scalar->is_plain)
            return "must be yes or no, and stands in quotes, which makes it a text\nremove the quotes";
        *ret_value = bool_words[i].value;
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (bytes_equal_nocase(scalar->text, bytes_of_text(others[i].word)))
            return others[i].problem;
    return "must be yes or no (or true or false, on or off)";
}

static const char *check_bounds(struct arena *arena, const struct option *row, uint64_t value)
{
    char least[NUMBER_TEXT], most[NUMBER_TEXT];

    number_print(row->type, row->least, least);
    number_print(row->type, row->most, most);
    if (value >= row->least && (row->most == 0 || value <= row->most))
        return NULL;
    if (row->least == 1 && value == 0)
        return "must be more than 0";
    if (row->most == 0)
        return arena_printf(arena, "must be at least %s", least);
    if (row->least <= 1)
        return arena_printf(arena, "must be at most %s", most);
    return arena_printf(arena, "must lie between %s and %s", least, most);
}

static const char *read_number(struct arena *arena, const struct option *row, const struct yaml_node *scalar,
                               uint64_t *ret_value)
{
    const char *problem;
    uint64_t value;

    if (row->zero && bytes_equal_nocase(scalar->text, bytes_of_text(row->zero))) {
        *ret_value = 0;
        return NULL;
    }
    problem = number_read(arena, row->type, scalar->text, &value);
    if (!problem && row->type == OPTION_NUMBER && !scalar->is_plain)
        problem = "must be a number, and stands in quotes, which makes it a text\nremove the quotes";
    if (!problem)
        problem = check_bounds(arena, row, value);
    if (problem && row->zero && strncmp(problem, "must be", 7) == 0) {
        size_t first = bytes_find(bytes_of_text(problem), '\n');
        return arena_printf(arena, "%.*s, or %s%s", (int)first, problem, row->zero, problem + first);
    }
    if (!problem)
        *ret_value = value;
    return problem;
}

static const char *list_choices(struct arena *arena, const struct option_choice *choices)
{
    const char *list = "";

    for (const struct option_choice *c = choices; c->name; c++) {
        list = arena_printf(arena, "%s%s%s", list, c == choices ? "" : c[1].name ? ", " : " or ", c->name);
        CHECK(list);
    }
    return list;
}

static const char *read_choice(struct arena *arena, const struct option *row, struct bytes text, int *ret_value)
{
    struct suggestion best = { NULL, 0 };
    const char *list;

    for (const struct option_choice *c = row->choices; c->name; c++) {
        if (bytes_equal_text(text, c->name)) {
            *ret_value = c->value;
            return NULL;
        }
        suggest(&best, text, c->name);
        /* An operator who thinks of a switch: `no` for "off", `yes` for "on". */
        for (size_t i = 0; i < COUNT_OF(bool_words); i++)
            if (bytes_equal_nocase(text, bytes_of_text(bool_words[i].word)) &&
                strcmp(c->name, bool_words[i].value ? "on" : "off") == 0)
                best = (struct suggestion){ c->name, 0 };
    }
    list = list_choices(arena, row->choices);
    if (best.word)
        return arena_printf(arena, "must be %s\ndid you mean %s?", list, best.word);
    return arena_printf(arena, "must be %s", list);
}

/* "a:80, b:80" or "a:80 b:80" where one value is wanted. Returns NULL if it is none of these. */
static const char *explain_several(struct arena *arena, const struct option *row, struct bytes text)
{
    bool is_path = row->type == OPTION_FILE || row->type == OPTION_FILES;
    const char *separator = is_path ? "," : ", ", *list = NULL;

    while (text.size) {
        size_t size = 0;
        while (size < text.size && !strchr(separator, text.at[size]))
            size++;
        if (size) {
            struct bytes part = bytes_trim(bytes_part(text, 0, size));
            if (list && is_path && part.size && part.at[0] != '/' && part.at[0] != '.')
                return NULL;
            if (part.size && part.at[part.size - 1] == ':')
                return NULL;
            if (!list && size == text.size)
                return NULL;
            list = arena_printf(arena, "%s%s\"%.*s\"", list ? list : "", list ? ", " : "", BYTES_PRINT(part));
            CHECK(list);
        }
        text = bytes_from(text, size + 1);
    }
    return list ? arena_printf(arena, "must be one %s\nseveral are a list: [%s]", is_path ? "path" : "address", list)
                : NULL;
}

static const char *read_file(struct arena *arena, const struct option *row, struct bytes text,
                             struct option_file *ret_file)
{
    const char *several = explain_several(arena, row, text);

    if (several)
        return several;
    if (text.size == 0)
        return "must not be empty: it is a file's path";
    if (text.at[0] == '~')
        return "starts with ~, which only a shell understands\nwrite the whole path";
    ret_file->path = copy_text(arena, text);
    return NULL;
}

const char *value_read(struct arena *arena, const struct option *row, const struct yaml_node *scalar, void *field)
{
    const char *problem;

    switch (row->type) {
    case OPTION_BOOL:
        return read_bool(scalar, field);
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_DURATION:
    case OPTION_RATE:
        return read_number(arena, row, scalar, field);
    case OPTION_CHOICE:
        return read_choice(arena, row, scalar->text, field);
    case OPTION_ENDPOINT:
        problem = explain_several(arena, row, scalar->text);
        return problem ? problem : endpoint_read(arena, scalar->text, field);
    case OPTION_NETWORK:
        problem = explain_several(arena, row, scalar->text);
        return problem ? problem : network_read(arena, scalar->text, field);
    case OPTION_FILE:
    case OPTION_FILES:
        return read_file(arena, row, scalar->text, field);
    case OPTION_REFERENCE:
        if (scalar->text.size == 0)
            return "must not be empty: it is a name";
        *(const char **)field = copy_text(arena, scalar->text);
        return NULL;
    default:
        CHECK(row->type == OPTION_TEXT);
        *(const char **)field = copy_text(arena, scalar->text);
        return NULL;
    }
}

const char *value_describe(struct arena *arena, const struct option *row)
{
    const char *text = NULL;

    if (number_is_type(row->type)) {
        text = number_describe(row->type);
        return row->zero ? arena_printf(arena, "%s, or %s", text, row->zero) : text;
    }
    switch (row->type) {
    case OPTION_BOOL:
        return "yes or no";
    case OPTION_CHOICE:
        return arena_printf(arena, "one of %s", list_choices(arena, row->choices));
    case OPTION_ENDPOINT:
        return "an address with a port";
    case OPTION_NETWORK:
        return "an IP address or a network";
    case OPTION_FILE:
        return "a file's path";
    case OPTION_FILES:
        return "a file's path, or a pattern with *";
    case OPTION_REFERENCE:
        return arena_printf(arena, "a name out of %s", row->refers_to);
    default:
        return "a text";
    }
}

/* Whether YAML, ours and that of other readers, takes the plain text for nothing else than this text. */
static bool is_safe_plain(struct bytes text)
{
    static const char *const words[] = { "null", "~", "true", "false", "yes", "no", "on", "off", "y", "n" };

    if (text.size == 0 || text.size > 200)
        return false;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (bytes_equal_nocase(text, bytes_of_text(words[i])))
            return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_' || c == '.';
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !(is_digit || (i && (c == '-' || c == '+' || c == '@'))))
            return false;
    }
    return true;
}

const char *value_print_text(struct arena *arena, const char *text)
{
    struct bytes b = bytes_of_text(text);
    char *out, *at;

    if (is_safe_plain(b))
        return text;
    out = at = arena_alloc(arena, 4 * b.size + 3);
    CHECK(out);
    *at++ = '"';
    for (size_t i = 0; i < b.size; i++) {
        uint8_t c = b.at[i];
        if (c == '"' || c == '\\')
            *at++ = '\\';
        if (c < 0x20 || c == 0x7F)
            at += snprintf(at, 5, "\\x%02x", c);
        else
            *at++ = (char)c;
    }
    *at++ = '"';
    *at = 0;
    return out;
}

static const char *print_number(struct arena *arena, const struct option *row, uint64_t value)
{
    char text[NUMBER_TEXT];

    if (value == 0 && row->zero)
        return row->zero;
    if (value == 0 && row->least && !row->standard)
        return "null";
    number_print(row->type, value, text);
    return copy_text(arena, bytes_of_text(text));
}

static const char *print_choice(const struct option *row, int value)
{
    for (const struct option_choice *c = row->choices; c->name; c++)
        if (c->value == value)
            return c->name;
    return "null";
}

const char *value_print(struct arena *arena, const struct option *row, const void *field)
{
    const char *text = NULL;

    if (number_is_type(row->type))
        return print_number(arena, row, *(const uint64_t *)field);
    switch (row->type) {
    case OPTION_BOOL:
        return *(const bool *)field ? "yes" : "no";
    case OPTION_CHOICE:
        return print_choice(row, *(const int *)field);
    case OPTION_ENDPOINT:
        text = ((const struct option_endpoint *)field)->text;
        break;
    case OPTION_NETWORK:
        if (((const struct option_network *)field)->is_given)
            text = network_print(arena, field);
        break;
    case OPTION_FILE:
    case OPTION_FILES:
        text = ((const struct option_file *)field)->path;
        break;
    default:
        text = *(const char *const *)field;
        break;
    }
    if (!text)
        return "null";
    return row->secret ? "(secret)" : value_print_text(arena, text);
}
