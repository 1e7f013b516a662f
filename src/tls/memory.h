/* memory.h: where the library's memory comes from.
 *
 * A handshake makes and frees some three hundred objects of the library. In threads that ask for it, freed blocks are kept
 * by their size for the next handshake, up to half a megabyte a thread; the rest goes back to malloc, where all of it comes from. Each
 * block is freed on its own: the library keeps objects that were made during a handshake. Builds with sanitizers keep nothing.
 *
 * The library wipes keys itself, but not every buffer through which it decoded one. A process that is not to keep the keys that it
 * reads has it wipe whatever it frees; that would cost time in each handshake, so that it is switched on around the reading alone. */
#ifndef TLS_MEMORY_H
#define TLS_MEMORY_H

#include <stdbool.h>

/* Takes the library's allocations over. To be called before anything else of it; later it has no effect. */
void tls_memory_init(void);
/* From here on freed memory is wiped, or is no longer. For processes of one thread. */
void tls_memory_wipe_freed(bool on);
/* This thread keeps freed blocks; or does no longer, and gives back those that it has. */
void tls_memory_keep(bool on);

#endif
