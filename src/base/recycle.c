#include "base/recycle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEES_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SEES_EACH 1
#endif
#endif
#ifndef SEES_EACH
#define SEES_EACH 0
#endif

enum { STEP = 16, CLASSES = 64, NO_CLASS = CLASSES };

/* In front of each block. */
struct head {
    union {
        struct head *next; /* while it waits */
        size_t size;       /* while it is used: that was asked for */
    };
    uint64_t class; /* it has room for (class + 1) * STEP bytes; NO_CLASS: for `size` */
};
_Static_assert(sizeof(struct head) == STEP, "blocks are aligned as malloc's are");

static _Thread_local struct {
    struct head *waiting[CLASSES];
    size_t bytes;
    bool keeps;
} mine;

static unsigned class_of(size_t size)
{
    size_t steps = size ? (size - 1) / STEP : 0;
    return steps < CLASSES ? (unsigned)steps : NO_CLASS;
}

static size_t room_of(unsigned class)
{
    return (size_t)(class + 1) * STEP;
}

void *recycle_alloc(size_t size)
{
    unsigned class = class_of(size);
    struct head *h = class != NO_CLASS ? mine.waiting[class] : NULL;

    if (h) {
        mine.waiting[class] = h->next;
        mine.bytes -= room_of(class);
    } else {
        if (size > SIZE_MAX - sizeof *h)
            return NULL;
        h = malloc(sizeof *h + (class != NO_CLASS && !SEES_EACH ? room_of(class) : size));
        if (!h)
            return NULL;
        h->class = class;
    }
    h->size = size;
    return h + 1;
}

void *recycle_alloc_zeroed(size_t count, size_t size)
{
    void *block;

    if (size && count > SIZE_MAX / size)
        return NULL;
    block = recycle_alloc(count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

void recycle_free(void *block)
{
    struct head *h = block;

    if (!h)
        return;
    h--;
    if (!mine.keeps || h->class == NO_CLASS || mine.bytes + room_of((unsigned)h->class) > RECYCLE_MOST) {
        free(h);
        return;
    }
    mine.bytes += room_of((unsigned)h->class);
    h->next = mine.waiting[h->class];
    mine.waiting[h->class] = h;
}

void *recycle_resize(void *block, size_t size)
{
    struct head *h = block;
    void *other;

    if (!h)
        return recycle_alloc(size);
    h--;
    if (h->class != NO_CLASS && h->class == class_of(size) && !SEES_EACH) {
        h->size = size;
        return block;
    }
    other = recycle_alloc(size);
    if (!other)
        return NULL;
    memcpy(other, block, h->size < size ? h->size : size);
    recycle_free(block);
    return other;
}

void recycle_keep(bool on)
{
    mine.keeps = on && !SEES_EACH;
    if (on)
        return;
    for (unsigned class = 0; class < CLASSES; class ++)
        while (mine.waiting[class]) {
            struct head *h = mine.waiting[class];
            mine.waiting[class] = h->next;
            free(h);
        }
    mine.bytes = 0;
}

size_t recycle_kept(void)
{
    return mine.bytes;
}
