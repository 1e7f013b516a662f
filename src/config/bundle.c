#include "config/bundle.h"

#include <stdlib.h>

#include "base/check.h"

/* The flat form, numbers big-endian:
 *
 *     "UNLDBNDL"  version (4 bytes)  entries (4)  then for each entry
 *     kind (4)  name's size (8)  pattern's (8)  content's (8)  name  pattern  content */
static const uint8_t magic[8] = { 'U', 'N', 'L', 'D', 'B', 'N', 'D', 'L' };
enum { VERSION = 1, HEAD = 16, ENTRY_HEAD = 28 };

struct bundle {
    struct bundle_entry *entries;
    size_t count, room;
};

struct bundle *bundle_new(void)
{
    return calloc(1, sizeof(struct bundle));
}

/* One block for name, pattern and content, in this order. */
static size_t block_size(const struct bundle_entry *e)
{
    return e->name.size + e->pattern.size + e->content.size;
}

void bundle_free(struct bundle *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++) {
        uint8_t *block = (uint8_t *)(uintptr_t)b->entries[i].name.at;
        explicit_bzero(block, block_size(&b->entries[i]));
        free(block);
    }
    free(b->entries);
    free(b);
}

static uint8_t *put(uint8_t *at, struct bytes b)
{
    if (b.size)
        memcpy(at, b.at, b.size);
    return at + b.size;
}

static bool is_there(const struct bundle *b, const struct bundle_entry *entry)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->entries[i].kind == entry->kind && bytes_equal(b->entries[i].name, entry->name) &&
            bytes_equal(b->entries[i].pattern, entry->pattern))
            return true;
    return false;
}

int bundle_add(struct bundle *b, const struct bundle_entry *entry)
{
    uint8_t *block, *at;

    if (is_there(b, entry))
        return 0;
    if (b->count == b->room) {
        size_t room = b->room ? 2 * b->room : 16;
        struct bundle_entry *more = reallocarray(b->entries, room, sizeof(*more));
        if (!more)
            return -E_MEMORY;
        b->entries = more;
        b->room = room;
    }
    block = malloc(block_size(entry) + 1);
    if (!block)
        return -E_MEMORY;
    at = put(put(put(block, entry->name), entry->pattern), entry->content);
    CHECK(at == block + block_size(entry));
    b->entries[b->count++] = (struct bundle_entry){
        .kind = entry->kind,
        .name = bytes_of(block, entry->name.size),
        .pattern = bytes_of(block + entry->name.size, entry->pattern.size),
        .content = bytes_of(block + entry->name.size + entry->pattern.size, entry->content.size),
    };
    return 0;
}

size_t bundle_count(const struct bundle *b)
{
    return b->count;
}

const struct bundle_entry *bundle_entry(const struct bundle *b, size_t i)
{
    CHECK(i < b->count);
    return &b->entries[i];
}

const struct bundle_entry *bundle_find(const struct bundle *b, enum bundle_kind kind, struct bytes name)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->entries[i].kind == kind && bytes_equal(b->entries[i].name, name))
            return &b->entries[i];
    return NULL;
}

size_t bundle_flat_size(const struct bundle *b)
{
    size_t size = HEAD;

    for (size_t i = 0; i < b->count; i++)
        size += ENTRY_HEAD + block_size(&b->entries[i]);
    return size;
}

static uint8_t *put_number(uint8_t *at, uint64_t number, int size)
{
    for (int i = size - 1; i >= 0; i--)
        *at++ = (uint8_t)(number >> (8 * i));
    return at;
}

void bundle_flatten(const struct bundle *b, uint8_t *out)
{
    uint8_t *at = put(out, bytes_of(magic, sizeof(magic)));

    at = put_number(at, VERSION, 4);
    at = put_number(at, b->count, 4);
    for (size_t i = 0; i < b->count; i++) {
        const struct bundle_entry *e = &b->entries[i];
        at = put_number(at, e->kind, 4);
        at = put_number(at, e->name.size, 8);
        at = put_number(at, e->pattern.size, 8);
        at = put_number(at, e->content.size, 8);
        at = put(put(put(at, e->name), e->pattern), e->content);
    }
    CHECK(at == out + bundle_flat_size(b));
}

static uint64_t take_number(struct cursor *c, size_t size)
{
    struct bytes b = cursor_bytes(c, size);
    uint64_t number = 0;

    for (size_t i = 0; i < b.size; i++)
        number = number << 8 | b.at[i];
    return number;
}

static int take_entry(struct bundle *b, struct cursor *c)
{
    uint64_t kind = take_number(c, 4), name = take_number(c, 8), pattern = take_number(c, 8),
             content = take_number(c, 8);
    struct bundle_entry entry = { .kind = (enum bundle_kind)kind };
    size_t before = b->count;

    entry.name = cursor_bytes(c, name);
    entry.pattern = cursor_bytes(c, pattern);
    entry.content = cursor_bytes(c, content);
    if (c->failed || kind > BUNDLE_STORE)
        return -E_SYNTAX;
    if (bundle_add(b, &entry) < 0)
        return -E_MEMORY;
    return b->count == before ? -E_SYNTAX : 0;
}

struct bundle *bundle_open(struct bytes flat)
{
    struct cursor c = cursor_of(flat);
    struct bytes head = cursor_bytes(&c, sizeof(magic));
    uint64_t version = take_number(&c, 4), count = take_number(&c, 4);
    struct bundle *b = bundle_new();

    if (!b)
        return NULL;
    if (c.failed || !bytes_equal(head, bytes_of(magic, sizeof(magic))) || version != VERSION)
        count = UINT64_MAX;
    else
        for (; count; count--)
            if (take_entry(b, &c) < 0)
                break;
    if (count || cursor_left(&c)) {
        bundle_free(b);
        return NULL;
    }
    return b;
}
