/* json_check.h: whether a text is one JSON value (RFC 8259) in valid UTF-8, and what a member of an object holds. Small
 * and strict: for tests of what writes JSON. */
#ifndef TESTS_JSON_CHECK_H
#define TESTS_JSON_CHECK_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct json {
    const char *at, *end;
};

static bool json_value(struct json *j);

static bool json_take(struct json *j, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return false;
    j->at += n;
    return true;
}

static bool json_utf8(struct json *j)
{
    unsigned char c = (unsigned char)*j->at;
    int more = c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : -1;
    uint32_t point;

    if (more < 0 || j->end - j->at <= more)
        return false;
    point = c & (0x3fu >> more);
    for (j->at++; more--; j->at++) {
        if (((unsigned char)*j->at & 0xc0) != 0x80)
            return false;
        point = point << 6 | ((unsigned char)*j->at & 0x3f);
    }
    return point >= 0x80 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static bool json_string(struct json *j)
{
    if (!json_take(j, "\""))
        return false;
    while (j->at < j->end && *j->at != '"') {
        unsigned char c = (unsigned char)*j->at;
        if (c < 0x20)
            return false;
        if (c >= 0x80) {
            if (!json_utf8(j))
                return false;
            continue;
        }
        j->at++;
        if (c != '\\')
            continue;
        if (j->at == j->end || !strchr("\"\\/bfnrtu", *j->at))
            return false;
        if (*j->at++ == 'u')
            for (int i = 0; i < 4; i++, j->at++)
                if (j->at >= j->end || !isxdigit((unsigned char)*j->at))
                    return false;
    }
    return json_take(j, "\"");
}

static bool json_object(struct json *j)
{
    if (json_take(j, "}"))
        return true;
    do
        if (!json_string(j) || !json_take(j, ":") || !json_value(j))
            return false;
    while (json_take(j, ","));
    return json_take(j, "}");
}

static bool json_value(struct json *j)
{
    const char *start;

    if (json_take(j, "true") || json_take(j, "false") || json_take(j, "null"))
        return true;
    if (json_take(j, "{"))
        return json_object(j);
    if (j->at < j->end && *j->at == '"')
        return json_string(j);
    start = j->at;
    if (j->at < j->end && *j->at == '-')
        j->at++;
    while (j->at < j->end && isdigit((unsigned char)*j->at))
        j->at++;
    return j->at > start && isdigit((unsigned char)j->at[-1]);
}

static inline bool json_is_valid(const char *text, size_t size)
{
    struct json j = { text, text + size };

    return json_value(&j) && j.at == j.end;
}

/* Whether the text has the member with exactly this raw value ("\"GET\"", "200"). */
static inline bool json_has(const char *text, size_t size, const char *name, const char *raw)
{
    char want[512];
    int n = snprintf(want, sizeof want, "\"%s\":%s", name, raw);

    return memmem(text, size, want, (size_t)n) != NULL;
}

#endif
