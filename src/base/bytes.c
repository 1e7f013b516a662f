#include "base/bytes.h"

#include "base/error.h"

bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
            return false;
    return true;
}

size_t bytes_find(struct bytes b, uint8_t byte)
{
    const uint8_t *found = b.size ? memchr(b.at, byte, b.size) : NULL;
    return found ? (size_t)(found - b.at) : b.size;
}

struct bytes bytes_trim(struct bytes b)
{
    while (b.size && (b.at[0] == ' ' || b.at[0] == '\t')) {
        b.at++;
        b.size--;
    }
    while (b.size && (b.at[b.size - 1] == ' ' || b.at[b.size - 1] == '\t'))
        b.size--;
    return b;
}

int bytes_to_number(struct bytes b, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (b.size == 0)
        return -E_SYNTAX;
    for (size_t i = 0; i < b.size; i++) {
        unsigned digit = (unsigned)b.at[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, digit, &number))
            return -E_SYNTAX;
    }
    if (number > max)
        return -E_SYNTAX;
    *ret_number = number;
    return 0;
}

struct bytes cursor_bytes(struct cursor *c, size_t size)
{
    struct bytes taken = { c->at, size };

    if (c->failed || size > cursor_left(c)) {
        c->failed = true;
        return BYTES_NONE;
    }
    if (size) /* C17 has no NULL + 0 */
        c->at += size;
    return taken;
}

struct bytes bytes_of_number(uint64_t number, char digits[NUMBER_DIGITS])
{
    char *end = digits + NUMBER_DIGITS, *at = end;

    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    return bytes_of(at, (size_t)(end - at));
}

static uint64_t cursor_number(struct cursor *c, int size)
{
    struct bytes b = cursor_bytes(c, (size_t)size);
    uint64_t number = 0;

    for (size_t i = 0; i < b.size; i++)
        number = number << 8 | b.at[i];
    return number;
}

uint8_t cursor_u8(struct cursor *c)
{
    return (uint8_t)cursor_number(c, 1);
}

uint16_t cursor_u16(struct cursor *c)
{
    return (uint16_t)cursor_number(c, 2);
}

uint64_t cursor_u64(struct cursor *c)
{
    return cursor_number(c, 8);
}

uint8_t *bytes_put_number(uint8_t *at, uint64_t number, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(number >> (8 * i));
    return at;
}

struct cursor cursor_vector(struct cursor *c, int length_bytes)
{
    struct bytes content = cursor_bytes(c, (size_t)cursor_number(c, length_bytes));
    struct cursor inner = cursor_of(content);

    inner.failed = c->failed;
    return inner;
}
