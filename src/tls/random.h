/* random.h: the library's randomness for small needs, fetched in blocks per thread; each byte is used once and wiped.
 * What a process has left of a block when it is forked its child does not use. */
#ifndef TLS_RANDOM_H
#define TLS_RANDOM_H

#include <stddef.h>

#include "base/error.h"

/* Fills out. Returns 0 or -E_CRYPTO. */
int random_bytes(void *out, size_t size) MUST_USE;

#endif
