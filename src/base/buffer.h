/* buffer.h: bytes on their way, in storage that is borrowed only while there are any.
 *
 *     data            start             end               size
 *      |  consumed      |  content        |  room           |          0 <= start <= end <= size
 *
 * A connection owns its buffers but not their storage: a buffer without content has none (data == NULL, size == 0).
 * Storage comes from the thread's pool in four sizes, last in first out, so that many connections in turn use the same
 * warm memory. An idle connection therefore holds nothing, and a stalled one at most BUFFER_LARGE per buffer; a stream in
 * full flow may have BUFFER_BULK, of which a pool lends no more than BUFFER_BULK_LENT at a time, whatever peers do.
 * A content of a few bytes that has to wait is moved to small storage by buffer_settle. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    BUFFER_TINY = 512,                      /* bytes: what came behind a head to a stream that is held up */
    BUFFER_SMALL = 4096,                    /* bytes: what waits for the rest of a head, or of a record */
    BUFFER_LARGE = 4 * (16384 + 256) + 512, /* bytes: four full TLS records with their overhead, and a head */
    BUFFER_BULK = 17 * (16384 + 256) + 512, /* bytes: sixteen of them, and one that was left over */
    BUFFER_BULK_LENT = 64,                  /* of that size, lent by one pool; further ones are BUFFER_LARGE */
};

struct buffer {
    uint8_t *data;
    uint32_t start, end, size;
};

struct buffer_pool; /* one per thread */

/* Storage of each size is kept for re-use up to keep_bytes; more goes back to malloc. NULL when memory is out. */
struct buffer_pool *buffer_pool_new(size_t keep_bytes);
void buffer_pool_free(struct buffer_pool *pool);
/* Bytes of storage that buffers hold now. */
size_t buffer_pool_lent(const struct buffer_pool *pool);

static inline struct bytes buffer_content(const struct buffer *b)
{
    return b->data ? bytes_of(b->data + b->start, b->end - b->start) : BYTES_NONE;
}

static inline size_t buffer_used(const struct buffer *b)
{
    return b->end - b->start;
}

/* Free bytes behind the content; where it starts is data + end. */
static inline size_t buffer_room(const struct buffer *b)
{
    return b->size - b->end;
}

/* Gives the buffer storage of BUFFER_LARGE bytes if it has less, and moves the content to the front if there is no
 * room behind it. Returns 0 or -E_MEMORY. A full buffer stays full: ask buffer_room. */
int buffer_reserve(struct buffer_pool *pool, struct buffer *b) MUST_USE;
/* The same, of BUFFER_BULK bytes where the pool lends another one. */
int buffer_reserve_bulk(struct buffer_pool *pool, struct buffer *b) MUST_USE;
/* Whether it does now. */
bool buffer_pool_lends_bulk(const struct buffer_pool *pool);
/* Moves the content to the front, so that all free bytes are behind it. */
void buffer_compact(struct buffer *b);
/* n bytes were written at data + end. */
void buffer_commit(struct buffer *b, size_t n);
/* n bytes of the content were used up. The storage stays until buffer_settle or buffer_drop. */
void buffer_consume(struct buffer *b, size_t n);
/* Takes n bytes out of the content, offset bytes from its start; what stands behind them moves up. */
void buffer_cut(struct buffer *b, size_t offset, size_t n);
/* Appends all of it, or nothing: -E_LIMIT when there is no room for it (after buffer_reserve), -E_MEMORY. */
int buffer_append(struct buffer_pool *pool, struct buffer *b, struct bytes content) MUST_USE;
/* To be called when a connection has nothing more to do for now: gives back the storage of an empty buffer, and moves
 * a short content to the smallest storage that holds it. */
void buffer_settle(struct buffer_pool *pool, struct buffer *b);
/* Throws the content away and gives the storage back. */
void buffer_drop(struct buffer_pool *pool, struct buffer *b);

#endif
