/* recycle.h: malloc for a library whose objects come and go with each request: freed blocks wait, by size, for the next.
 *
 * A block has 16 bytes in front of it that tell its size class (steps of 16 bytes up to 1 KB; what is larger is malloc's
 * own each time). Each thread has lists of its own, of RECYCLE_MOST bytes in sum; a block may be freed by another
 * thread, whose it is then. Nothing is kept before recycle_keep(true), and none with AddressSanitizer or ThreadSanitizer,
 * which are to see each allocation as it is. */
#ifndef BASE_RECYCLE_H
#define BASE_RECYCLE_H

#include <stdbool.h>
#include <stddef.h>

enum { RECYCLE_MOST = 256 * 1024 }; /* bytes that wait, per thread */

/* As malloc, calloc, realloc and free. */
void *recycle_alloc(size_t size);
void *recycle_alloc_zeroed(size_t count, size_t size);
void *recycle_resize(void *block, size_t size);
void recycle_free(void *block);

/* This thread keeps what is freed from here on, or gives all of it back: before it ends. */
void recycle_keep(bool on);
/* Bytes of this thread's that wait. */
size_t recycle_kept(void);

#endif
