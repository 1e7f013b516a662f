/* slab.h: objects of one size, many to a chunk. One slab per thread and kind, so that the steady state allocates nothing.
 *
 *     chunk (64 KB, aligned to its size)     | head | object | object | free | object | never used ...
 *
 * Objects that live as long as a connection lie beside each other here, not between what a request or a handshake
 * allocates: what comes and goes around them can be given back. Objects come from chunks that are in use before others,
 * and a chunk of which nothing is in use goes back to the kernel, but for some that are kept.
 * AddressSanitizer sees a use of what was put back. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab_chunk;

struct slab {
    size_t object_bytes;
    unsigned keep;            /* free objects kept at most, beside those of chunks in use and of one that is not */
    unsigned spare_objects;   /* private, as what follows */
    struct slab_chunk *open;  /* in use, with free objects */
    struct slab_chunk *spare; /* of which nothing is in use */
};

/* An object, all zero, or NULL when memory is out. */
void *slab_get(struct slab *s);
/* Accepts NULL. */
void slab_put(struct slab *s, void *object);
/* Frees what is kept; all objects were put back. */
void slab_clear(struct slab *s);

#endif
