#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MOST = 4096 }; /* bytes; PIPE_BUF, so that lines of several processes do not mix */

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

static _Atomic(enum log_level) chosen_level = LOG_INFO;
static atomic_int descriptor = STDERR_FILENO;
static _Atomic(const char *) role_name;
static atomic_bool is_datagram;
static atomic_uint_fast64_t dropped;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&chosen_level, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return atomic_load_explicit(&chosen_level, memory_order_relaxed);
}

void log_set_descriptor(int fd)
{
    atomic_store(&descriptor, fd);
}

void log_set_syslog(bool is_syslog)
{
    atomic_store(&is_datagram, is_syslog);
}

void log_set_role(const char *role)
{
    atomic_store(&role_name, role);
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* "<30>Nov 22 10:15:02 unlade[42]: warning", as glibc's syslog() starts a line. */
static int print_syslog_start(char *line, size_t room, enum log_level level, const struct timespec *now)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    static const int severities[] = { 3, 4, 5, 6, 7 }; /* RFC 5424 6.2.1 */
    enum { FACILITY_DAEMON = 3 * 8 };
    struct tm local;

    localtime_r(&now->tv_sec, &local);
    return snprintf(line, room, "<%d>%s %2d %02d:%02d:%02d unlade[%d]: %s", FACILITY_DAEMON + severities[level],
                    months[local.tm_mon], local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, (int)getpid(),
                    level_names[level]);
}

static int print_date(char *line, size_t room, enum log_level level, const struct timespec *now)
{
    struct tm utc;

    gmtime_r(&now->tv_sec, &utc);
    return snprintf(line, room, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s", utc.tm_year + 1900, utc.tm_mon + 1,
                    utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now->tv_nsec / 1000000, level_names[level]);
}

static size_t print_start(char *line, size_t room, enum log_level level)
{
    const char *role = atomic_load(&role_name);
    struct timespec now;
    int n, more;

    clock_gettime(CLOCK_REALTIME, &now);
    n = atomic_load(&is_datagram) ? print_syslog_start(line, room, level, &now) : print_date(line, room, level, &now);
    if (n <= 0 || (size_t)n >= room)
        return 0;
    more = snprintf(line + n, room - (size_t)n, " %s%s", role ? role : "", role ? ": " : "");
    n += more;
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* Copies text, control bytes as \xNN, until the room is used up. */
static size_t escape(const char *text, char *out, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f) {
            if (n + 1 > room)
                break;
            out[n++] = (char)c;
        } else {
            if (n + 4 > room)
                break;
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return n;
}

void log_line(enum log_level level, const char *format, ...)
{
    char message[LINE_MOST], line[LINE_MOST];
    va_list arguments;
    int saved_errno = errno;
    size_t n;

    if (level > log_get_level())
        return;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    n = print_start(line, sizeof line, level);
    n += escape(message, line + n, sizeof line - n - 1);
    line[n++] = '\n';
    if (write(atomic_load(&descriptor), line, n) != (ssize_t)n)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    errno = saved_errno;
}
