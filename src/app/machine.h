/* machine.h: what this machine, or the container around us, allows. */
#ifndef APP_MACHINE_H
#define APP_MACHINE_H

#include <stdint.h>

/* Cores that this process may use: by its affinity, and by the CPU quota of its control group, rounded up. At least 1. */
unsigned machine_cores(void);
/* Raises the limit of open files to what is allowed, and returns it. */
uint64_t machine_raise_files(void);

#endif
