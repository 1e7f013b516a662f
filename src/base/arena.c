#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/recycle.h"

enum { CACHE_MOST = 128, CACHE_SMALL_MOST = 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* the header included; ARENA_BLOCK or ARENA_SMALL for those that may be cached */
};

enum { HEADER = (sizeof(struct arena_block) + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT };
/* So that what is free in a block is a multiple, too, and holds the rounded size when it holds the size. */
_Static_assert(ARENA_BLOCK % ARENA_ALIGNMENT == 0 && ARENA_SMALL % ARENA_ALIGNMENT == 0, "blocks of whole units");

void arena_init(struct arena *a, struct arena_cache *cache, size_t limit)
{
    *a = (struct arena){ .limit = limit, .cache = cache };
}

/* Where blocks of that size wait; NULL for sizes that are made to measure. */
static struct arena_block **shelf_of(struct arena *a, size_t size, unsigned **ret_count)
{
    if (!a->cache || (size != ARENA_BLOCK && size != ARENA_SMALL))
        return NULL;
    *ret_count = size == ARENA_BLOCK ? &a->cache->count : &a->cache->small_count;
    return size == ARENA_BLOCK ? &a->cache->blocks : &a->cache->small;
}

static struct arena_block *block_get(struct arena *a, size_t size)
{
    unsigned *count;
    struct arena_block **shelf = shelf_of(a, size, &count), *block;

    if (shelf && *shelf) {
        block = *shelf;
        *shelf = block->next;
        (*count)--;
        return block;
    }
    block = recycle_alloc(size); /* made to measure, it may be one of the next request's */
    if (block)
        block->size = size;
    return block;
}

static void block_put(struct arena *a, struct arena_block *block)
{
    unsigned *count, most = block->size == ARENA_BLOCK ? CACHE_MOST : CACHE_SMALL_MOST;
    struct arena_block **shelf = shelf_of(a, block->size, &count);

    if (shelf && *count < most) {
        block->next = *shelf;
        *shelf = block;
        (*count)++;
    } else {
        recycle_free(block);
    }
}

/* A fresh block with room for size bytes. What is left of the newest block is given up, unless the new one is made
 * for a single large allocation. */
static void *alloc_from_new_block(struct arena *a, size_t size)
{
    size_t ordinary = a->is_small ? ARENA_SMALL : ARENA_BLOCK;
    bool large = size > (ordinary - HEADER) / 4;
    struct arena_block *block = block_get(a, large ? HEADER + size : ordinary);
    uint8_t *data;

    if (!block)
        return NULL;
    data = (uint8_t *)block + HEADER;
    if (large && a->blocks) {
        block->next = a->blocks->next;
        a->blocks->next = block;
        return data;
    }
    block->next = a->blocks;
    a->blocks = block;
    a->at = data + size;
    a->end = (uint8_t *)block + block->size;
    return data;
}

void *arena_alloc_slowly(struct arena *a, size_t size)
{
    void *data;

    if (size == 0)
        return arena_alloc(a, 1);
    if (size > SIZE_MAX - ARENA_ALIGNMENT - HEADER)
        return NULL;
    size = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (size > a->limit - a->used)
        return NULL;
    data = alloc_from_new_block(a, size);
    if (data)
        a->used += size;
    return data;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *data = arena_alloc(a, size);
    return data ? memset(data, 0, size) : NULL;
}

char *arena_text(struct arena *a, struct bytes b)
{
    char *text = b.size < SIZE_MAX ? arena_alloc(a, b.size + 1) : NULL;

    if (!text)
        return NULL;
    if (b.size)
        memcpy(text, b.at, b.size);
    text[b.size] = 0;
    return text;
}

struct bytes arena_join(struct arena *a, const struct bytes *parts, size_t count)
{
    size_t size = 0;
    uint8_t *joined, *at;

    for (size_t i = 0; i < count; i++) {
        if (parts[i].size > SIZE_MAX - size)
            return BYTES_NONE;
        size += parts[i].size;
    }
    joined = at = arena_alloc(a, size);
    if (!joined)
        return BYTES_NONE;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size)
            memcpy(at, parts[i].at, parts[i].size);
        at += parts[i].size;
    }
    return bytes_of(joined, size);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list arguments, again;
    char *text;
    int size;

    va_start(arguments, format);
    va_copy(again, arguments);
    size = vsnprintf(NULL, 0, format, arguments);
    text = size >= 0 ? arena_alloc(a, (size_t)size + 1) : NULL;
    if (text)
        vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

void arena_reset(struct arena *a)
{
    struct arena_block *block = a->blocks;

    while (block) {
        struct arena_block *next = block->next;
        block_put(a, block);
        block = next;
    }
    a->blocks = NULL;
    a->at = a->end = NULL;
    a->used = 0;
}

static void free_all(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        recycle_free(block);
        block = next;
    }
}

void arena_cache_free(struct arena_cache *cache)
{
    free_all(cache->blocks);
    free_all(cache->small);
    *cache = (struct arena_cache){ 0 };
}
