/* log.h: event lines for people: what happened to the service, not to each request (that is the access log).
 *
 *     2026-11-22T10:15:02.113Z warning certificate "www.example.org" expires in 3 days
 *
 * One line a call, written at once and whole to one descriptor (stderr unless the configuration says otherwise).
 * Callable from any thread. Control bytes of untrusted text are escaped as \xNN. A worker's threads must not block: a
 * line that the descriptor does not take is dropped and counted. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* Lines of a less important level than this are not made. Default LOG_INFO. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Where lines go; default 2. The descriptor stays the caller's. */
void log_set_descriptor(int fd);
/* Whether the descriptor is the local syslog's datagram socket: then a line is what syslog(3) would send, facility daemon. */
void log_set_syslog(bool is_syslog);
/* A word before each message: the role ("worker"), or NULL for none. */
void log_set_role(const char *role);
/* Lines lost so far because the descriptor would not take them. */
uint64_t log_dropped(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)

#endif
