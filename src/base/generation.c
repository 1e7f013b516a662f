#include "base/generation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

static atomic_uint latest;          /* a child inherits it, and goes on from there */
static _Atomic(atomic_uint *) page; /* holds this process's generation; 0: not known yet, or just forked */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget(void)
{
    atomic_store(atomic_load(&page), 0);
}

static void make_page(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    atomic_uint *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(made != MAP_FAILED); /* at a process's start */
    (void)madvise(made, size, MADV_WIPEONFORK);
    CHECK(pthread_atfork(NULL, NULL, forget) == 0);
    atomic_store(&page, made);
}

unsigned fork_generation(void)
{
    atomic_uint *current = atomic_load_explicit(&page, memory_order_acquire);
    unsigned generation, none = 0;

    if (!current) {
        CHECK(pthread_once(&once, make_page) == 0);
        current = atomic_load(&page);
    }
    generation = atomic_load_explicit(current, memory_order_relaxed);
    if (generation)
        return generation;
    generation = atomic_fetch_add(&latest, 1) + 1;
    /* Of several threads that come at the same time, one names the generation. */
    return atomic_compare_exchange_strong(current, &none, generation) ? generation : none;
}
