/* bytes.h: a view of bytes that somebody else owns, and a cursor that reads through one without passing its end.
 *
 * Views are passed by value. They carry no terminator; text in them is whatever the peer sent. A view is valid as
 * long as its owner says (an arena, a buffer until the next consume, a literal for ever). */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *at;
    size_t size;
};

#define BYTES_LITERAL(text) ((struct bytes){ (const uint8_t *)(text), sizeof(text) - 1 })
#define BYTES_NONE          ((struct bytes){ NULL, 0 })
/* For printf's "%.*s". */
#define BYTES_PRINT(b) (int)(b).size, (const char *)(b).at

static inline struct bytes bytes_of(const void *at, size_t size)
{
    return (struct bytes){ at, size };
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

/* The part from offset, at most size bytes; offsets past the end give an empty view. */
static inline struct bytes bytes_part(struct bytes b, size_t offset, size_t size)
{
    if (offset > b.size)
        offset = b.size;
    if (size > b.size - offset)
        size = b.size - offset;
    return (struct bytes){ offset ? b.at + offset : b.at, size }; /* C17 has no NULL + 0 */
}

static inline struct bytes bytes_from(struct bytes b, size_t offset)
{
    return bytes_part(b, offset, SIZE_MAX);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

static inline bool bytes_start_with(struct bytes b, struct bytes prefix)
{
    return b.size >= prefix.size && (prefix.size == 0 || memcmp(b.at, prefix.at, prefix.size) == 0);
}

static inline uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* ASCII letters compare without case; all other bytes as they are. */
bool bytes_equal_nocase(struct bytes a, struct bytes b);
/* Offset of the first such byte, or b.size. */
size_t bytes_find(struct bytes b, uint8_t byte);
/* Without spaces and tabs at both ends. */
struct bytes bytes_trim(struct bytes b);
/* A number of decimal digits alone. Returns 0, or -E_SYNTAX when it is empty, has another byte, or exceeds max. */
int bytes_to_number(struct bytes b, uint64_t max, uint64_t *ret_number);
/* The opposite: a view of the last of these digits. */
enum { NUMBER_DIGITS = 20 };
struct bytes bytes_of_number(uint64_t number, char digits[NUMBER_DIGITS]);

/* Reads big-endian wire formats. A read past the end sets `failed`, returns zeros, and every later read fails too,
 * so that a parser may read a whole structure and look once. */
struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct cursor cursor_of(struct bytes b)
{
    return (struct cursor){ b.at, b.size ? b.at + b.size : b.at, false };
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

struct bytes cursor_bytes(struct cursor *c, size_t size);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* Writes a number as it is read here: in so many bytes (1 to 8), the highest first. Returns the place behind it. */
uint8_t *bytes_put_number(uint8_t *at, uint64_t number, int bytes);
/* A vector of the wire format: its length in length_bytes (1, 2 or 3) bytes, then its content, as a cursor. */
struct cursor cursor_vector(struct cursor *c, int length_bytes);

#endif
