#include "config/yaml_hint.h"

#include <ctype.h>

#include "base/check.h"
#include "base/idn.h"

size_t yaml_offset(struct bytes text, size_t line, size_t column)
{
    size_t at = 0;

    for (; line > 1 && at < text.size; line--)
        at += bytes_find(bytes_from(text, at), '\n') + 1;
    if (at > text.size)
        return text.size;
    for (; column > 1 && at < text.size && text.at[at] != '\n'; column--)
        for (at++; at < text.size && (text.at[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

struct bytes yaml_line(struct bytes text, size_t offset, size_t *ret_number)
{
    struct bytes line;
    size_t start = 0;

    *ret_number = 1;
    if (offset > text.size)
        offset = text.size;
    /* The end of the file, behind its last line's end, belongs to that line. */
    if (offset == text.size && offset && text.at[offset - 1] == '\n')
        offset--;
    for (size_t i = 0; i < offset; i++) {
        if (text.at[i] == '\n') {
            start = i + 1;
            ++*ret_number;
        }
    }
    line = bytes_from(text, start);
    line = bytes_part(line, 0, bytes_find(line, '\n'));
    if (line.size && line.at[line.size - 1] == '\r')
        line.size--;
    return line;
}

static const char *odd_character(struct arena *arena, int c, bool follows_space)
{
    if (c == 0xA0 || c == 0x200B || c == 0x202F || c == 0x2060 || c == 0x2028 || c == 0x2029 || c == 0x85)
        return arena_printf(arena, "an invisible character (U+%04X), probably from copying out of a web page or document\n"
                                   "replace it with an ordinary space or line end", (unsigned)c);
    if (c >= 0x201C && c <= 0x201F && follows_space)
        return "typographic quotes, probably from copying out of a web page or document\nuse plain \" quotes";
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F || (c > 0x7F && c < 0xA0) || c == 0xFFFE || c == 0xFFFF)
        return arena_printf(arena, "a control character (U+%04X)%s", (unsigned)c,
                            c == 0 ? "\nis this file saved as UTF-16, or not a text at all?" : "");
    return NULL;
}

bool yaml_text_is_clean(struct arena *arena, struct bytes text, size_t *ret_at, size_t *ret_size, const char **ret_why)
{
    struct bytes rest = text;
    bool in_comment = false;

    if (bytes_start_with(rest, BYTES_LITERAL("\xEF\xBB\xBF")))
        rest = bytes_from(rest, 3);
    while (rest.size) {
        size_t at = text.size - rest.size;
        int c = utf8_decode(&rest);

        *ret_at = at;
        *ret_size = 1;
        *ret_why = NULL;
        if (c < 0)
            *ret_why = at == 0 && (text.at[0] == 0xFF || text.at[0] == 0xFE) ?
                           "the file is not UTF-8 (it looks like UTF-16)\nsave it as UTF-8" :
                           "not UTF-8 text\nsave the file as UTF-8";
        else if (c >= 0x80 && in_comment && c > 0x9F)
            continue;
        else
            *ret_why = odd_character(arena, c, at && strchr(" \t[{,", text.at[at - 1]));
        if (*ret_why) {
            *ret_size = c < 0 ? 1 : text.size - rest.size - at;
            return false;
        }
        if (c == '#' && (at == 0 || isspace(text.at[at - 1])))
            in_comment = true;
        else if (c == '\n')
            in_comment = false;
    }
    return true;
}

static bool is_indented_with_tab(struct bytes line)
{
    size_t i = 0;

    while (i < line.size && line.at[i] == ' ')
        i++;
    return i < line.size && line.at[i] == '\t' && bytes_trim(line).size;
}

/* "address:443": the length of the word in front of a colon without a space behind it, or 0. */
static size_t word_before_tight_colon(struct bytes trimmed)
{
    size_t i = 0;

    while (i < trimmed.size && (isalnum(trimmed.at[i]) || trimmed.at[i] == '_'))
        i++;
    return i && isalpha(trimmed.at[0]) && i + 1 < trimmed.size && trimmed.at[i] == ':' && trimmed.at[i + 1] != ' ' ? i : 0;
}

/* Where in the line a value or key starts with that byte outside of quotes and comments, or line.size. */
static size_t find_start_with(struct bytes line, uint8_t wanted)
{
    uint8_t before = ' ';

    for (size_t i = 0; i < line.size; i++) {
        uint8_t c = line.at[i];
        bool is_start = before == ' ' || before == '\t' || before == '[' || before == '{' || before == ',';
        if (is_start && (c == '"' || c == '\'')) {
            i += 1 + bytes_find(bytes_from(line, i + 1), c);
        } else if (is_start && c == '#') {
            break;
        } else if (is_start && c == wanted) {
            return i;
        }
        before = i < line.size ? line.at[i] : ' ';
    }
    return line.size;
}

/* The part of a line up to the next byte that ends a key or a value in flow notation. */
static struct bytes word_at(struct bytes line, size_t at)
{
    size_t size = 0;

    while (at + size < line.size && !strchr(" \t,}#", line.at[at + size]))
        size++;
    if (size && line.at[at + size - 1] == ':')
        size--;
    return bytes_part(line, at, size);
}

static const char *line_hint(struct arena *arena, struct bytes line)
{
    static const char reserved[] = "*@`%&!";
    struct bytes trimmed = bytes_trim(line), word;
    size_t at, size;

    for (const char *c = reserved; *c; c++) {
        at = find_start_with(line, (uint8_t)*c);
        word = word_at(line, at);
        if (word.size)
            return arena_printf(arena, "what starts with %c must stand in quotes: \"%.*s\"", *c, BYTES_PRINT(word));
    }
    at = find_start_with(line, '[');
    word = word_at(line, at);
    size = bytes_find(word, ']');
    if (bytes_find(bytes_part(word, 0, size), ':') < size && size + 1 < word.size && word.at[size + 1] == ':')
        return arena_printf(arena, "an address with [ ] must stand in quotes: \"%.*s\"", BYTES_PRINT(word));
    if (bytes_start_with(trimmed, BYTES_LITERAL("- ")))
        trimmed = bytes_trim(bytes_from(trimmed, 2));
    size = word_before_tight_colon(trimmed);
    if (size)
        return arena_printf(arena, "a space is missing behind \"%.*s:\"", (int)size, (const char *)trimmed.at);
    return NULL;
}

static size_t indent(struct bytes line)
{
    size_t i = 0;

    while (i < line.size && line.at[i] == ' ')
        i++;
    return i;
}

static bool is_blank(struct bytes line)
{
    line = bytes_trim(line);
    return line.size == 0 || line.at[0] == '#';
}

/* Looks at the line of the error, then at its neighbours behind and before, for one of the usual slips. */
static const char *find_hint(struct arena *arena, struct bytes text, size_t at)
{
    size_t number, neighbour, start = (size_t)(yaml_line(text, at, &number).at - text.at);
    struct bytes line = yaml_line(text, at, &number), next = BYTES_NONE, before = BYTES_NONE;
    const char *hint;

    neighbour = start + line.size + bytes_find(bytes_from(text, start + line.size), '\n') + 1;
    if (neighbour < text.size)
        next = yaml_line(text, neighbour, &neighbour);
    if (start)
        before = yaml_line(text, start - 1, &neighbour);
    if (is_indented_with_tab(line) || is_indented_with_tab(next))
        return arena_printf(arena, "line %zu is indented with a tab; YAML wants spaces", is_indented_with_tab(line) ? number : number + 1);
    hint = line_hint(arena, line);
    if (!hint && next.size)
        hint = line_hint(arena, next);
    if (!hint && before.size)
        hint = line_hint(arena, before);
    if (!hint && !is_blank(next) && !is_blank(line) && indent(next) > indent(line))
        hint = arena_printf(arena, "is line %zu indented too far?", number + 1);
    return hint;
}

const char *yaml_explain(struct arena *arena, struct bytes text, size_t at, size_t opened, const char *message)
{
    static const char *const words[][2] = {
        { "missing document start", "this line does not belong to what is above it" },
        { "invalid multiline plain key", "a value must not go on in a further line that has a key in it" },
        { "wrongly indented double-quoted scalar", "a \" that is opened here is not closed" },
        { "wrongly indented single-quoted scalar", "a ' that is opened here is not closed" },
        { "double-quoted scalar without closing quote", "a \" that is opened here is not closed" },
        { "single-quoted scalar without closing quote", "a ' that is opened here is not closed" },
        { "invalid nested block mapping on the same line", "a second \": \" in one line; a value with \": \" in it must stand in quotes" },
        { "could not find expected ':'", "a colon is missing: every line is \"key: value\" or \"- item\"" },
        { "block sequence on the same line as a mapping key", "a list with - starts in a line of its own" },
        { "invalid value after mapping", "something stands behind the closing ] or }" },
    };
    const char *hint = find_hint(arena, text, at);
    size_t line;

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(message, words[i][0]) == 0)
            message = words[i][1];
    if (!hint && opened < text.size) {
        yaml_line(text, opened, &line);
        hint = arena_printf(arena, "the %c in line %zu is still open", text.at[opened], line);
    }
    return hint ? arena_printf(arena, "%s\n%s", message, hint) : arena_printf(arena, "%s", message);
}
