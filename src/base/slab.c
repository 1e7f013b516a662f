#include "base/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif

#ifdef POISONS
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(at, bytes)   ((void)(at), (void)(bytes))
#define __asan_unpoison_memory_region(at, bytes) ((void)(at), (void)(bytes))
#endif

enum { CHUNK = 65536, ALIGN = 16 };

struct slab_chunk {
    struct slab_chunk *next, *previous;
    void *free;           /* linked through their first bytes */
    uint32_t used, fresh; /* objects in use; objects that were ever used */
    uint32_t capacity;    /* objects that it has room for */
};

static size_t stride(const struct slab *s)
{
    return (s->object_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t head_bytes(void)
{
    return (sizeof(struct slab_chunk) + ALIGN - 1) / ALIGN * ALIGN;
}

static uint32_t capacity(const struct slab *s)
{
    return (uint32_t)((CHUNK - head_bytes()) / stride(s));
}

static void take_out(struct slab_chunk **list, struct slab_chunk *c)
{
    if (c->previous)
        c->previous->next = c->next;
    else
        *list = c->next;
    if (c->next)
        c->next->previous = c->previous;
}

static void put_first(struct slab_chunk **list, struct slab_chunk *c)
{
    c->previous = NULL;
    c->next = *list;
    if (c->next)
        c->next->previous = c;
    *list = c;
}

/* From the kernel, aligned to its size. Sanitizers look for pointers in malloc's memory alone. */
static struct slab_chunk *new_chunk(void)
{
#ifdef POISONS
    struct slab_chunk *c = aligned_alloc(CHUNK, CHUNK);

    if (c)
        *c = (struct slab_chunk){ 0 };
    return c;
#else
    char *twice = mmap(NULL, 2 * (size_t)CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (twice == MAP_FAILED)
        return NULL;
    before = (CHUNK - (uintptr_t)twice % CHUNK) % CHUNK;
    if (before)
        (void)munmap(twice, before);
    (void)munmap(twice + before + CHUNK, CHUNK - before);
    return (void *)(twice + before);
#endif
}

/* One with free objects, among the open ones. NULL: memory. */
static struct slab_chunk *open_chunk(struct slab *s)
{
    struct slab_chunk *c = s->spare;

    if (c) {
        take_out(&s->spare, c);
        s->spare_objects -= capacity(s);
    } else {
        CHECK(capacity(s) > 0);
        c = new_chunk();
        if (!c)
            return NULL;
        c->capacity = capacity(s);
    }
    put_first(&s->open, c);
    return c;
}

static void release_chunk(struct slab_chunk *c)
{
#ifdef POISONS
    __asan_unpoison_memory_region(c, CHUNK);
    free(c);
#else
    (void)munmap(c, CHUNK);
#endif
}

void *slab_get(struct slab *s)
{
    struct slab_chunk *c = s->open ? s->open : open_chunk(s);
    void *object;

    if (!c)
        return NULL;
    if (c->free) {
        object = c->free;
        __asan_unpoison_memory_region(object, s->object_bytes);
        memcpy(&c->free, object, sizeof c->free);
    } else {
        object = (char *)c + head_bytes() + c->fresh++ * stride(s);
    }
    if (++c->used == c->capacity)
        take_out(&s->open, c);
    return memset(object, 0, s->object_bytes);
}

void slab_put(struct slab *s, void *object)
{
    struct slab_chunk *c = (struct slab_chunk *)((uintptr_t)object & ~(uintptr_t)(CHUNK - 1));

    if (!object)
        return;
    CHECK(c->used);
    memcpy(object, &c->free, sizeof c->free);
    c->free = object;
    __asan_poison_memory_region(object, s->object_bytes);
    if (c->used-- == c->capacity)
        put_first(&s->open, c);
    if (c->used)
        return;
    take_out(&s->open, c);
    if (s->spare && s->spare_objects + capacity(s) > s->keep) {
        release_chunk(c);
        return;
    }
    s->spare_objects += capacity(s);
    put_first(&s->spare, c);
}

void slab_clear(struct slab *s)
{
    CHECK(!s->open);
    while (s->spare) {
        struct slab_chunk *c = s->spare;
        s->spare = c->next;
        release_chunk(c);
    }
    s->spare_objects = 0;
}
