#include "base/buffer.h"

#include <stdlib.h>

#include "base/check.h"

struct free_storage {
    struct free_storage *next;
};

/* Free storage of one size, linked through its own first bytes. */
struct shelf {
    struct free_storage *first;
    size_t kept_bytes;
};

struct buffer_pool {
    struct shelf tiny, small, large, bulk;
    size_t keep_bytes, lent_bytes;
    unsigned bulk_lent;
};

struct buffer_pool *buffer_pool_new(size_t keep_bytes)
{
    struct buffer_pool *pool = calloc(1, sizeof *pool);

    if (pool)
        pool->keep_bytes = keep_bytes;
    return pool;
}

static void shelf_clear(struct shelf *shelf)
{
    while (shelf->first) {
        struct free_storage *storage = shelf->first;
        shelf->first = storage->next;
        free(storage);
    }
}

void buffer_pool_free(struct buffer_pool *pool)
{
    if (!pool)
        return;
    shelf_clear(&pool->tiny);
    shelf_clear(&pool->small);
    shelf_clear(&pool->large);
    shelf_clear(&pool->bulk);
    free(pool);
}

size_t buffer_pool_lent(const struct buffer_pool *pool)
{
    return pool->lent_bytes;
}

static struct shelf *shelf_of(struct buffer_pool *pool, uint32_t size)
{
    switch (size) {
    case BUFFER_TINY:
        return &pool->tiny;
    case BUFFER_SMALL:
        return &pool->small;
    case BUFFER_LARGE:
        return &pool->large;
    default:
        CHECK(size == BUFFER_BULK);
        return &pool->bulk;
    }
}

static uint8_t *borrow(struct buffer_pool *pool, uint32_t size)
{
    struct shelf *shelf = shelf_of(pool, size);
    struct free_storage *storage = shelf->first;

    if (storage) {
        shelf->first = storage->next;
        shelf->kept_bytes -= size;
    } else {
        storage = malloc(size);
        if (!storage)
            return NULL;
    }
    pool->lent_bytes += size;
    pool->bulk_lent += size == BUFFER_BULK;
    return (uint8_t *)storage;
}

static void give_back(struct buffer_pool *pool, uint8_t *data, uint32_t size)
{
    struct shelf *shelf = shelf_of(pool, size);
    struct free_storage *storage = (struct free_storage *)(void *)data;

    pool->lent_bytes -= size;
    pool->bulk_lent -= size == BUFFER_BULK;
    if (shelf->kept_bytes + size > pool->keep_bytes) {
        free(storage);
        return;
    }
    storage->next = shelf->first;
    shelf->first = storage;
    shelf->kept_bytes += size;
}

/* Moves the content into storage of that size, which must hold it. */
static int move_to(struct buffer_pool *pool, struct buffer *b, uint32_t size)
{
    uint32_t used = b->end - b->start;
    uint8_t *data = borrow(pool, size);

    if (!data)
        return -E_MEMORY;
    if (b->data) {
        memcpy(data, b->data + b->start, used);
        give_back(pool, b->data, b->size);
    }
    *b = (struct buffer){ data, 0, used, size };
    return 0;
}

void buffer_compact(struct buffer *b)
{
    if (b->start == 0)
        return;
    memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
}

int buffer_reserve(struct buffer_pool *pool, struct buffer *b)
{
    if (b->size < BUFFER_LARGE)
        return move_to(pool, b, BUFFER_LARGE);
    if (b->end == b->size)
        buffer_compact(b);
    return 0;
}

bool buffer_pool_lends_bulk(const struct buffer_pool *pool)
{
    return pool->bulk_lent < BUFFER_BULK_LENT;
}

int buffer_reserve_bulk(struct buffer_pool *pool, struct buffer *b)
{
    if (b->size < BUFFER_BULK && buffer_pool_lends_bulk(pool))
        return move_to(pool, b, BUFFER_BULK);
    return buffer_reserve(pool, b);
}

void buffer_commit(struct buffer *b, size_t n)
{
    CHECK(n <= buffer_room(b));
    b->end += (uint32_t)n;
}

void buffer_consume(struct buffer *b, size_t n)
{
    CHECK(n <= buffer_used(b));
    b->start += (uint32_t)n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buffer_cut(struct buffer *b, size_t offset, size_t n)
{
    size_t used = buffer_used(b);
    uint8_t *at = b->data + b->start + offset;

    CHECK(offset <= used && n <= used - offset);
    memmove(at, at + n, used - offset - n);
    b->end -= (uint32_t)n;
}

int buffer_append(struct buffer_pool *pool, struct buffer *b, struct bytes content)
{
    int error = buffer_reserve(pool, b);

    if (error)
        return error;
    if (content.size > buffer_room(b))
        buffer_compact(b);
    if (content.size > buffer_room(b))
        return -E_LIMIT;
    if (content.size)
        memcpy(b->data + b->end, content.at, content.size);
    b->end += (uint32_t)content.size;
    return 0;
}

void buffer_settle(struct buffer_pool *pool, struct buffer *b)
{
    uint32_t used = b->end - b->start, fits;

    if (!b->data)
        return;
    fits = used <= BUFFER_TINY    ? BUFFER_TINY
           : used <= BUFFER_SMALL ? BUFFER_SMALL
           : used <= BUFFER_LARGE ? BUFFER_LARGE
                                  : BUFFER_BULK;
    if (used == 0)
        buffer_drop(pool, b);
    else if (fits < b->size)
        (void)!move_to(pool, b, fits); /* without memory it just stays where it is */
}

void buffer_drop(struct buffer_pool *pool, struct buffer *b)
{
    if (b->data)
        give_back(pool, b->data, b->size);
    *b = (struct buffer){ 0 };
}
