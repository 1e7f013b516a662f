#include "config/number.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/error.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Ascending; what is printed is the last that divides the value. */
static const struct unit plain_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit size_units[] = {
    { "", 1 }, { "k", 1ull << 10 }, { "M", 1ull << 20 }, { "G", 1ull << 30 }, { "T", 1ull << 40 }, { NULL, 0 },
};
static const struct unit duration_units[] = {
    { "ns", 1 },          { "us", 1000 },         { "ms", 1000000 },       { "s", 1000000000 },
    { "m", 60000000000 }, { "h", 3600000000000 }, { "d", 86400000000000 }, { NULL, 0 },
};
static const struct unit rate_units[] = {
    { "/s", 1 }, { "k/s", 1ull << 10 }, { "M/s", 1ull << 20 }, { "G/s", 1ull << 30 }, { NULL, 0 },
};

static const struct kind {
    enum option_type type;
    const struct unit *units;
    const char *describe;
    const char *usual_unit; /* what is suggested for a bare number */
} kinds[] = {
    { OPTION_NUMBER, plain_units, "a whole number", NULL },
    { OPTION_SIZE, size_units, "a size in bytes, such as 512, 16k, 25M or 1G", NULL },
    { OPTION_DURATION, duration_units, "a duration, such as 250ms, 5s, 10m, 12h or 30d", "s" },
    { OPTION_RATE, rate_units, "a rate per second, such as 512/s or 16k/s", "/s" },
};

/* Other ways of writing a unit, each with ours. */
static const struct spelling {
    enum option_type type;
    const char *written, *ours;
} spellings[] = {
    { OPTION_SIZE, "b", "" },
    { OPTION_SIZE, "bytes", "" },
    { OPTION_SIZE, "kb", "k" },
    { OPTION_SIZE, "kib", "k" },
    { OPTION_SIZE, "ki", "k" },
    { OPTION_SIZE, "mb", "M" },
    { OPTION_SIZE, "mib", "M" },
    { OPTION_SIZE, "mi", "M" },
    { OPTION_SIZE, "gb", "G" },
    { OPTION_SIZE, "gib", "G" },
    { OPTION_SIZE, "gi", "G" },
    { OPTION_SIZE, "tb", "T" },
    { OPTION_DURATION, "sec", "s" },
    { OPTION_DURATION, "secs", "s" },
    { OPTION_DURATION, "second", "s" },
    { OPTION_DURATION, "seconds", "s" },
    { OPTION_DURATION, "min", "m" },
    { OPTION_DURATION, "mins", "m" },
    { OPTION_DURATION, "minute", "m" },
    { OPTION_DURATION, "minutes", "m" },
    { OPTION_DURATION, "hour", "h" },
    { OPTION_DURATION, "hours", "h" },
    { OPTION_DURATION, "hr", "h" },
    { OPTION_DURATION, "day", "d" },
    { OPTION_DURATION, "days", "d" },
    { OPTION_DURATION, "msec", "ms" },
    { OPTION_DURATION, "millis", "ms" },
    { OPTION_RATE, "/sec", "/s" },
    { OPTION_RATE, "/second", "/s" },
    { OPTION_RATE, "ps", "/s" },
    { OPTION_RATE, "rps", "/s" },
    { OPTION_RATE, "r/s", "/s" },
    { OPTION_RATE, "k", "k/s" },
    { OPTION_RATE, "m", "M/s" },
    { OPTION_RATE, "kb/s", "k/s" },
    { OPTION_RATE, "mb/s", "M/s" },
    { OPTION_RATE, "b/s", "/s" },
    { OPTION_RATE, "g", "G/s" },
    { OPTION_RATE, "gb/s", "G/s" },
};

static const struct kind *kind_of(enum option_type type)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

bool number_is_type(enum option_type type)
{
    return kind_of(type) != NULL;
}

const char *number_describe(enum option_type type)
{
    return kind_of(type)->describe;
}

static const struct unit *find_unit(const struct kind *kind, struct bytes name)
{
    for (const struct unit *u = kind->units; u->name; u++) {
        bool any_case = kind->type != OPTION_DURATION;
        if (any_case ? bytes_equal_nocase(name, bytes_of_text(u->name)) : bytes_equal_text(name, u->name))
            return u;
    }
    return NULL;
}

static const char *explain_unit(struct arena *arena, const struct kind *kind, struct bytes digits, struct bytes unit)
{
    struct bytes trimmed = bytes_trim(unit);
    const char *ours = NULL;

    if (unit.size == 0)
        return arena_printf(arena, "needs a unit: it is %s\ndid you mean %.*s%s?", kind->describe, BYTES_PRINT(digits),
                            kind->usual_unit);
    if (unit.at[0] == '.' && kind->type != OPTION_NUMBER)
        return arena_printf(arena, "must be a whole number of its unit\ntake a smaller unit: 1500%s instead of 1.5%s",
                            kind->type == OPTION_DURATION ? "ms" : "k", kind->type == OPTION_DURATION ? "s" : "M");
    for (size_t i = 0; i < COUNT_OF(spellings) && !ours; i++)
        if (spellings[i].type == kind->type && bytes_equal_nocase(trimmed, bytes_of_text(spellings[i].written)))
            ours = spellings[i].ours;
    if (!ours && find_unit(kind, trimmed))
        ours = find_unit(kind, trimmed)->name;
    for (const struct unit *u = kind->units; u->name && !ours; u++)
        if (bytes_equal_nocase(trimmed, bytes_of_text(u->name)))
            ours = u->name;
    if (ours)
        return arena_printf(arena, "must be %s\ndid you mean %.*s%s?", kind->describe, BYTES_PRINT(digits), ours);
    if (kind->type == OPTION_DURATION && strpbrk(arena_printf(arena, "%.*s", BYTES_PRINT(unit)), "0123456789"))
        return arena_printf(arena, "must be one number with one unit\nwrite 90m instead of 1h30m");
    return arena_printf(arena, "must be %s", kind->describe);
}

/* "1_000", "1,000" and "1e6" are numbers elsewhere; "010" is 8 or 10, depending on whom one asks. */
static const char *explain_digits(struct arena *arena, const struct kind *kind, struct bytes text)
{
    char digits[24];
    size_t size = 0;

    if (text.size && text.at[0] == '-')
        return "must not be negative";
    for (size_t i = 0; i < text.size && size < sizeof(digits); i++)
        if (text.at[i] >= '0' && text.at[i] <= '9')
            digits[size++] = (char)text.at[i];
        else if (!size || !strchr("_,' ", text.at[i]))
            return arena_printf(arena, "must be %s", kind->describe);
    if (size == 0 || size == sizeof(digits))
        return arena_printf(arena, "must be %s", kind->describe);
    return arena_printf(arena, "must be %s\ndid you mean %.*s%s?", kind->describe, (int)size, digits,
                        kind->usual_unit ? kind->usual_unit : "");
}

const char *number_read(struct arena *arena, enum option_type type, struct bytes text, uint64_t *ret_value)
{
    const struct kind *kind = kind_of(type);
    const struct unit *unit;
    struct bytes digits = text, rest;
    uint64_t value;

    for (digits.size = 0; digits.size < text.size && text.at[digits.size] >= '0' && text.at[digits.size] <= '9';)
        digits.size++;
    rest = bytes_from(text, digits.size);
    if (digits.size == 0 || (rest.size && strchr("_,'", rest.at[0])))
        return explain_digits(arena, kind, text);
    if (digits.size > 1 && digits.at[0] == '0') {
        while (digits.size > 1 && digits.at[0] == '0')
            digits = bytes_from(digits, 1);
        return arena_printf(arena, "must not start with 0\ndid you mean %.*s%.*s?", BYTES_PRINT(digits),
                            BYTES_PRINT(rest));
    }
    unit = find_unit(kind, rest);
    if (!unit && bytes_equal_text(text, "0"))
        unit = kind->units;
    if (!unit)
        return explain_unit(arena, kind, digits, rest);
    if (bytes_to_number(digits, UINT64_MAX, &value) < 0 || value > UINT64_MAX / unit->factor)
        return "is too large";
    *ret_value = value * unit->factor;
    return NULL;
}

void number_print(enum option_type type, uint64_t value, char text[NUMBER_TEXT])
{
    const struct kind *kind = kind_of(type);
    const struct unit *best = kind->units;

    for (const struct unit *u = kind->units; u->name && value; u++)
        if (value % u->factor == 0)
            best = u;
    snprintf(text, NUMBER_TEXT, "%" PRIu64 "%s", value / best->factor, value || type == OPTION_RATE ? best->name : "");
}
