#include "tls/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* Sanitizers are to see each allocation as it is. */
#ifndef PLAIN
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PLAIN 1
#endif
#endif
#endif
#ifndef PLAIN
#define PLAIN 0
#endif

/* ---- Size classes: steps of 16 bytes up to SMALL, then four to each doubling ---- */

enum {
    STEP = 16,
    SMALL_BITS = 10,
    SMALL = 1 << SMALL_BITS,
    LARGE_BITS = 15,
    LARGE = 1 << LARGE_BITS, /* bytes; what is larger is not kept */
    SMALL_CLASSES = SMALL / STEP + 1,
    CLASSES = SMALL_CLASSES + 4 * (LARGE_BITS - SMALL_BITS),
    KEPT_MOST = 512 << 10, /* bytes per thread: what a dozen handshakes have at a time */
    NO_CLASS = UINT32_MAX,
};

/* In front of each block, so that whoever frees it knows its class. */
struct header {
    union {
        struct header *next; /* while it is kept */
        size_t size;         /* while it is used: bytes that were given */
    };
    uint32_t class;
    uint32_t unused;
};
_Static_assert(sizeof(struct header) == 16, "blocks are aligned as malloc's are");

static _Thread_local struct {
    bool keeps;
    size_t bytes;
    struct header *kept[CLASSES];
} mine;

static bool wipes;

static uint32_t class_of(size_t size)
{
    unsigned bits;

    if (size <= SMALL)
        return (uint32_t)((size + STEP - 1) / STEP);
    if (size > LARGE)
        return NO_CLASS;
    bits = 63 - (unsigned)__builtin_clzll(size - 1);
    return SMALL_CLASSES + 4 * (bits - SMALL_BITS) + (uint32_t)((size - 1) >> (bits - 2)) - 4;
}

static size_t class_bytes(uint32_t class)
{
    uint32_t step;

    if (class < SMALL_CLASSES)
        return (size_t) class * STEP;
    step = class - SMALL_CLASSES;
    return (size_t)(5 + step % 4) << (SMALL_BITS + step / 4 - 2);
}

static void *allocate(size_t size, const char *file, int line)
{
    uint32_t class = class_of(size);
    struct header *h;

    (void)file;
    (void)line;
    if (class != NO_CLASS && mine.kept[class]) {
        h = mine.kept[class];
        mine.kept[class] = h->next;
        mine.bytes -= class_bytes(class);
    } else {
        if (size > SIZE_MAX - sizeof *h)
            return NULL;
        h = malloc(sizeof *h + (class != NO_CLASS ? class_bytes(class) : size));
        if (!h)
            return NULL;
        h->class = class;
    }
    h->size = size;
    return h + 1;
}

static void release(void *memory, const char *file, int line)
{
    struct header *h = memory;

    (void)file;
    (void)line;
    if (!h)
        return;
    h--;
    if (wipes)
        explicit_bzero(memory, h->class != NO_CLASS ? class_bytes(h->class) : h->size);
    if (mine.keeps && h->class != NO_CLASS && mine.bytes < KEPT_MOST) {
        mine.bytes += class_bytes(h->class);
        h->next = mine.kept[h->class];
        mine.kept[h->class] = h;
        return;
    }
    free(h);
}

static void *resize(void *memory, size_t size, const char *file, int line)
{
    struct header *h = memory;
    size_t used;
    void *other;

    if (!h)
        return allocate(size, file, line);
    h--;
    used = h->size;
    if (h->class != NO_CLASS && h->class == class_of(size)) {
        h->size = size;
        return memory;
    }
    other = allocate(size, file, line);
    if (!other)
        return NULL;
    memcpy(other, memory, used < size ? used : size);
    release(memory, file, line);
    return other;
}

/* ---- Without classes ---- */

static void *plain_allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void plain_release(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    if (wipes && memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void *plain_resize(void *memory, size_t size, const char *file, int line)
{
    void *larger;
    size_t used;

    if (!wipes || !memory)
        return realloc(memory, size);
    larger = malloc(size);
    if (!larger)
        return NULL;
    used = malloc_usable_size(memory);
    memcpy(larger, memory, used < size ? used : size);
    plain_release(memory, file, line);
    return larger;
}

void tls_memory_init(void)
{
    if (PLAIN)
        CRYPTO_set_mem_functions(plain_allocate, plain_resize, plain_release);
    else
        CRYPTO_set_mem_functions(allocate, resize, release);
}

void tls_memory_wipe_freed(bool on)
{
    wipes = on;
}

void tls_memory_keep(bool on)
{
    mine.keeps = on && !PLAIN;
    for (size_t i = 0; !on && i < CLASSES; i++)
        while (mine.kept[i]) {
            struct header *h = mine.kept[i];
            mine.kept[i] = h->next;
            free(h);
        }
    if (!on)
        mine.bytes = 0;
}
