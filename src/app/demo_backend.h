/* demo_backend.h: the web server behind `unlade demo`: a process of its own that answers every request over plain
 * HTTP/1.1 with a page that shows the request as it arrived. */
#ifndef APP_DEMO_BACKEND_H
#define APP_DEMO_BACKEND_H

#include <stdint.h>
#include <sys/types.h>

#include "app/privileges.h"

/* Starts it on a free port of 127.0.0.1; it ends with this process. Returns its id, or -E_SYSTEM (errno). */
pid_t demo_backend_start(const struct identity *identity, uint16_t *ret_port) MUST_USE;

#endif
