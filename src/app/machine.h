/* machine.h: what this machine, or the container around us, allows. */
#ifndef APP_MACHINE_H
#define APP_MACHINE_H

#include <stdint.h>

/* Cores that this process may use: by its affinity, and by the CPU quota of its control group, rounded up. At least 1. */
unsigned machine_cores(void);
/* Raises the limit of open files to what is allowed, and returns it. */
uint64_t machine_raise_files(void);

/* net.ipv4.tcp_fastopen: who may speak TCP Fast Open here. */
enum { FAST_OPEN_CLIENT = 1, FAST_OPEN_SERVER = 2 };
unsigned machine_fast_open(void);
/* net.core.somaxconn: how many connections may wait on a listening socket. */
unsigned machine_backlog(void);

#endif
