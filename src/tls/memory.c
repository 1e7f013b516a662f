#include "tls/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

static bool wipes;

static void *allocate(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void release(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    if (wipes && memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void *resize(void *memory, size_t size, const char *file, int line)
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
    release(memory, file, line);
    return larger;
}

void tls_memory_init(void)
{
    CRYPTO_set_mem_functions(allocate, resize, release);
}

void tls_memory_wipe_freed(bool on)
{
    wipes = on;
}
