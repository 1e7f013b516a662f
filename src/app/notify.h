/* notify.h: tells the service manager (systemd's Type=notify) how the service is, where it asked to be told.
 * Without NOTIFY_SOCKET in the environment nothing happens. Source: sd_notify(3). */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include <stdbool.h>

/* Reads NOTIFY_SOCKET and takes it out of the environment, so that no child speaks for us. */
void notify_init(void);
void notify_ready(const char *status);
/* READY must follow. */
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
