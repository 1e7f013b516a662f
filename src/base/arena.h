/* arena.h: memory that is freed all at once.
 *
 * A snapshot's configuration lives in one arena for as long as the snapshot; a request's message lives in one that is
 * reset when the exchange ends. Allocations are aligned to 16 bytes and never move. Not thread-safe. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

enum {                /* bytes of an ordinary block, its header included */
    ARENA_BLOCK = 8192,
    ARENA_SMALL = 1024, /* where many arenas wait at once */
};

enum { ARENA_ALIGNMENT = 16 };

struct arena_block;

/* Ordinary blocks that wait for their next arena; one cache per thread, so that a request allocates nothing. */
struct arena_cache {
    struct arena_block *blocks, *small;
    unsigned count, small_count;
};

struct arena {
    struct arena_block *blocks; /* the newest first */
    uint8_t *at, *end;          /* what is free in the newest */
    size_t used, limit;         /* bytes handed out, and how many may be */
    struct arena_cache *cache;  /* NULL: blocks come from malloc and go to free */
    bool is_small;              /* of blocks of ARENA_SMALL: set it before the first allocation */
};

/* limit: bytes that may be allocated in all; SIZE_MAX for no limit. Allocates nothing yet. */
void arena_init(struct arena *a, struct arena_cache *cache, size_t limit);
/* Private: what the newest block has no room for, or nothing at all. */
void *arena_alloc_slowly(struct arena *a, size_t size);
/* size bytes, not zeroed, or NULL when the limit or memory is exhausted. size 0 gives a valid pointer. */
static inline void *arena_alloc(struct arena *a, size_t size)
{
    size_t taken = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    uint8_t *data = a->at;

    if (size == 0 || size > (size_t)(a->end - a->at) || taken > a->limit - a->used)
        return arena_alloc_slowly(a, size);
    a->at += taken;
    a->used += taken;
    return data;
}
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);
/* A copy of b; its view has .at == NULL when memory is out (an empty view gives an empty one that is not NULL). */
static inline struct bytes arena_copy(struct arena *a, struct bytes b)
{
    uint8_t *copy = arena_alloc(a, b.size);

    if (!copy)
        return BYTES_NONE;
    if (b.size)
        memcpy(copy, b.at, b.size);
    return bytes_of(copy, b.size);
}
/* A terminated copy, or NULL. */
char *arena_text(struct arena *a, struct bytes b);
/* The parts one behind the other; .at == NULL when memory is out. */
struct bytes arena_join(struct arena *a, const struct bytes *parts, size_t count);
/* printf into the arena, or NULL. */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Frees every allocation; the arena may be used again. */
void arena_reset(struct arena *a);

void arena_cache_free(struct arena_cache *cache);

#endif
