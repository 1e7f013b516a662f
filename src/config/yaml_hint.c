#include "config/yaml_hint.h"

#include <ctype.h>

#include "base/check.h"
#include "base/idn.h"

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

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

struct bytes yaml_walk_to_line(struct line_walk *walk, struct bytes text, size_t offset)
{
    struct bytes line;

    if (offset > text.size)
        offset = text.size;
    /* The end of the file, behind its last line's end, belongs to that line. */
    if (offset == text.size && offset && text.at[offset - 1] == '\n')
        offset--;
    for (size_t i = walk->start; i < offset; i++) {
        if (text.at[i] == '\n') {
            walk->start = i + 1;
            walk->number++;
        }
    }
    line = bytes_from(text, walk->start);
    line = bytes_part(line, 0, bytes_find(line, '\n'));
    if (line.size && line.at[line.size - 1] == '\r')
        line.size--;
    return line;
}

struct bytes yaml_line(struct bytes text, size_t offset, size_t *ret_number)
{
    struct line_walk walk = { 0, 1 };
    struct bytes line = yaml_walk_to_line(&walk, text, offset);

    *ret_number = walk.number;
    return line;
}

static const char *odd_character(struct arena *arena, int c, bool follows_space)
{
    if (c == 0xA0 || c == 0x200B || c == 0x202F || c == 0x2060 || c == 0x2028 || c == 0x2029 || c == 0x85)
        return arena_printf(arena,
                            "an invisible character (U+%04X), probably from copying out of a web page or document\n"
                            "replace it with an ordinary space or line end",
                            (unsigned)c);
    if (c >= 0x201C && c <= 0x201F && follows_space)
        return "typographic quotes, probably from copying out of a web page or document\nuse plain \" quotes";
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F || (c > 0x7F && c < 0xA0) || c == 0xFFFE ||
        c == 0xFFFF)
        return arena_printf(arena, "a control character (U+%04X)%s", (unsigned)c,
                            c == 0 ? "\nis this file saved as UTF-16, or not a text at all?" : "");
    return NULL;
}

/* The first `? key` (YAML 1.2, 8.2.2) that begins a line or an item, or SIZE_MAX. Nobody needs one here, and libfyaml
 * 0.7.12 writes through a wild pointer when a tab follows the colon behind it. A line within a quoted or block text that
 * begins so is taken for one too. */
static size_t find_explicit_key(struct bytes text)
{
    bool at_start = true; /* nothing but blanks and `-` stands before this byte in its line */

    for (size_t i = bytes_start_with(text, BYTES_LITERAL(BYTE_ORDER_MARK)) ? 3 : 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        bool ends_here = i + 1 == text.size || strchr(" \t\r\n", text.at[i + 1]);

        if (c == '?' && at_start && ends_here)
            return i;
        if (c == '\n' || c == '\r')
            at_start = true;
        else if (c != ' ' && c != '\t' && !(c == '-' && ends_here))
            at_start = false;
    }
    return SIZE_MAX;
}

bool yaml_text_is_clean(struct arena *arena, struct bytes text, size_t *ret_at, size_t *ret_size, const char **ret_why)
{
    struct bytes rest = text;
    bool in_comment = false;

    if (bytes_start_with(rest, BYTES_LITERAL(BYTE_ORDER_MARK)))
        rest = bytes_from(rest, 3);
    while (rest.size) {
        size_t at = text.size - rest.size;
        int c = utf8_decode(&rest);

        *ret_at = at;
        *ret_size = 1;
        *ret_why = NULL;
        if (c < 0)
            *ret_why = at == 0 && (text.at[0] == 0xFF || text.at[0] == 0xFE)
                           ? "the file is not UTF-8 (it looks like UTF-16)\nsave it as UTF-8"
                           : "not UTF-8 text\nsave the file as UTF-8";
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
    *ret_at = find_explicit_key(text);
    *ret_size = 1;
    *ret_why = "a key that is written with `?`\nwrite `key: value`";
    return *ret_at == SIZE_MAX;
}

/* What a broken line shows: the part of it that is wrong, and what is wrong. */
struct cause {
    struct bytes part;
    const char *text; /* NULL: nothing was found */
};

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

/* Where in the line, from an offset on, a key, value or item starts with that byte, outside of quotes and comments; or
 * line.size. */
static size_t find_start_with(struct bytes line, size_t from, uint8_t wanted)
{
    uint8_t lead = '-'; /* the last byte that is no space; something starts behind one of these */

    for (size_t i = 0; i < line.size; i++) {
        uint8_t c = line.at[i];
        bool is_start =
            strchr("[{,", lead) || (strchr(":-?", lead) && (i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t'));
        if (c == ' ' || c == '\t')
            continue;
        if (is_start && c == wanted && i >= from)
            return i;
        if (c == '#' && (i == 0 || line.at[i - 1] == ' '))
            break;
        if (is_start && (c == '"' || c == '\''))
            i += 1 + bytes_find(bytes_from(line, i + 1), c);
        lead = c;
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

/* "[::1]:443" at that place of the line, or empty. */
static struct bytes bracket_address(struct bytes line, size_t at)
{
    struct bytes word = word_at(line, at);
    size_t end = bytes_find(word, ']');

    if (bytes_find(bytes_part(word, 0, end), ':') == end || end + 1 >= word.size || word.at[end + 1] != ':')
        return BYTES_NONE;
    if (word.at[word.size - 1] == ']') /* of the list around it */
        word.size--;
    return word;
}

static struct cause bracket_cause(struct arena *arena, struct bytes address)
{
    return (struct cause){ address, arena_printf(arena, "an address with [ ] must stand in quotes: \"%.*s\"",
                                                 BYTES_PRINT(address)) };
}

static struct cause find_cause(struct arena *arena, struct bytes line)
{
    static const char reserved[] = "*@`%&!";
    size_t at = indent(line);
    struct bytes word;

    if (at < line.size && line.at[at] == '\t' && !is_blank(line))
        return (struct cause){ bytes_part(line, at, 1), "a line is indented with a tab; YAML wants spaces" };
    for (const char *c = reserved; *c; c++) {
        word = word_at(line, find_start_with(line, 0, (uint8_t)*c));
        if (word.size)
            return (struct cause){ word, arena_printf(arena, "what starts with %c must stand in quotes: \"%.*s\"", *c,
                                                      BYTES_PRINT(word)) };
    }
    for (at = find_start_with(line, 0, '['); at < line.size; at = find_start_with(line, at + 1, '[')) {
        word = bracket_address(line, at);
        if (word.size)
            return bracket_cause(arena, word);
    }
    return (struct cause){ BYTES_NONE, NULL };
}

/* "address:443": the word in front of a colon without a space behind it, with the colon; or empty. */
static struct bytes tight_colon(struct bytes line)
{
    struct bytes word = bytes_trim(line);
    size_t i = 0;

    if (bytes_start_with(word, BYTES_LITERAL("- ")))
        word = bytes_trim(bytes_from(word, 2));
    while (i < word.size && (isalnum(word.at[i]) || word.at[i] == '_'))
        i++;
    if (i == 0 || i + 1 >= word.size || word.at[i] != ':' || word.at[i + 1] == ' ' || word.at[i + 1] == '/')
        return BYTES_NONE;
    return bytes_part(word, 0, i + 1);
}

/* The line of the error and its neighbours: the cause is often one line off. */
struct lines {
    struct bytes now, next, before;
    size_t number; /* of the line of the error */
};

static struct lines lines_around(struct bytes text, size_t at)
{
    struct lines l = { .next = BYTES_NONE, .before = BYTES_NONE };
    size_t start, behind, ignored;

    l.now = yaml_line(text, at, &l.number);
    start = (size_t)(l.now.at - text.at);
    behind = start + bytes_find(bytes_from(text, start), '\n') + 1;
    if (behind < text.size)
        l.next = yaml_line(text, behind, &ignored);
    if (start)
        l.before = yaml_line(text, start - 1, &ignored);
    return l;
}

/* "address :443" or "listeners": the word at the start of a line that has no colon with a space or line end behind it. */
static struct bytes word_without_colon(struct bytes line)
{
    struct bytes rest = bytes_trim(line);
    size_t size = 0;

    for (size_t colon = bytes_find(rest, ':'); colon < rest.size;
         colon += 1 + bytes_find(bytes_from(rest, colon + 1), ':'))
        if (colon + 1 == rest.size || rest.at[colon + 1] == ' ')
            return BYTES_NONE;
    while (size < rest.size && (isalnum(rest.at[size]) || rest.at[size] == '_'))
        size++;
    return size == rest.size || rest.at[size] == ' ' ? bytes_part(rest, 0, size) : BYTES_NONE;
}

/* A guess, where nothing certain was found. */
static const char *find_note(struct arena *arena, const struct lines *l)
{
    struct bytes word = tight_colon(l->now), trimmed = bytes_trim(l->now);

    if (trimmed.size > 1 && trimmed.at[0] == '-' && trimmed.at[1] != ' ')
        return "is a space missing behind the dash?";

    if (!word.size)
        word = tight_colon(l->next);
    if (word.size)
        return arena_printf(arena, "is a space missing behind \"%.*s\"?", BYTES_PRINT(word));
    word = word_without_colon(l->now);
    if (word.size)
        return arena_printf(arena, "is a colon missing behind \"%.*s\"?", BYTES_PRINT(word));
    if (!is_blank(l->next) && !is_blank(l->now) && indent(l->next) > indent(l->now))
        return arena_printf(arena, "is line %zu indented too far?", l->number + 1);
    return NULL;
}

static const char *plain_words(const char *message)
{
    static const char *const words[][2] = {
        { "missing document start", "this line does not belong to what is above it" },
        { "did not find expected key", "this line does not belong to what is above it; is its indentation right?" },
        { "invalid multiline plain key", "a value must not go on in a further line that has a key in it" },
        { "wrongly indented double-quoted scalar", "a \" that is opened here is not closed" },
        { "wrongly indented single-quoted scalar", "a ' that is opened here is not closed" },
        { "double-quoted scalar without closing quote", "a \" that is opened here is not closed" },
        { "single-quoted scalar without closing quote", "a ' that is opened here is not closed" },
        { "invalid nested block mapping on the same line",
          "a second \": \" in one line; a value with \": \" in it must stand in quotes" },
        { "could not find expected ':'", "a colon is missing: every line is \"key: value\" or \"- item\"" },
        { "block sequence on the same line as a mapping key", "a list with - starts in a line of its own" },
        { "invalid indentation in mapping", "the indentation does not fit the lines above" },
        { "invalid scalar at the end of block sequence", "this line does not belong to the list above it" },
        { "missing comma in flow mapping", "a comma is missing between two entries of { }" },
        { "invalid value after mapping", "something stands behind the closing ] or }" },
    };

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(message, words[i][0]) == 0)
            return words[i][1];
    return message;
}

const char *yaml_explain_key(struct arena *arena, struct bytes text, size_t at)
{
    size_t ignored;
    struct bytes line = yaml_line(text, at, &ignored),
                 address = bracket_address(line, (size_t)(text.at + at - line.at));

    if (address.size)
        return bracket_cause(arena, address).text;
    if (text.at[at] == '{')
        return "a key must be a text, not { }\nif this is a template's {{ variable }}, it was not filled in";
    return "a key must be a text, not a list or mapping";
}

const char *yaml_explain(struct arena *arena, struct bytes text, const char *message, size_t opened, size_t *at,
                         size_t *at_end)
{
    struct lines l = lines_around(text, *at);
    struct cause cause = find_cause(arena, l.now);
    const char *note;
    size_t opened_line = SIZE_MAX;

    if (!cause.text)
        cause = find_cause(arena, l.next);
    if (!cause.text)
        cause = find_cause(arena, l.before);
    if (opened < text.size)
        yaml_line(text, opened, &opened_line);
    if (!cause.text && (opened_line < l.number || (opened < text.size && strstr(message, "closing"))))
        cause = (struct cause){ bytes_part(text, opened, 1),
                                arena_printf(arena, "the %c that is opened here is not closed", text.at[opened]) };
    if (cause.text) {
        *at = (size_t)(cause.part.at - text.at);
        *at_end = *at + cause.part.size;
        return cause.text;
    }
    message = plain_words(message);
    note = find_note(arena, &l);
    return arena_printf(arena, "%s%s%s", message, note ? "\n" : "", note ? note : "");
}
