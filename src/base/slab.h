/* slab.h: objects of one size, kept for re-use. One slab per thread and kind, so that the steady state allocates nothing. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab {
    size_t object_bytes; /* at least a pointer's */
    unsigned keep;       /* free objects kept at most */
    unsigned count;
    void *first;
};

/* An object, all zero, or NULL when memory is out. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);
void slab_clear(struct slab *s);

#endif
