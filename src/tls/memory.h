/* memory.h: lets the library wipe whatever it frees, while keys are read in a process that is not to keep them.
 *
 * The library wipes keys itself, but not every buffer through which it decoded one. Wiping everything would cost time in
 * each handshake, so that it is switched on around the reading of keys alone. */
#ifndef TLS_MEMORY_H
#define TLS_MEMORY_H

#include <stdbool.h>

/* Takes the library's allocations over. To be called before anything else of it; later it has no effect. */
void tls_memory_init(void);
/* From here on freed memory is wiped, or is no longer. For processes of one thread. */
void tls_memory_wipe_freed(bool on);

#endif
