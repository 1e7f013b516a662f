#include "app/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"

static struct address target; /* size 0: nobody wants to know */

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    if (path && address_from_path(path, &target) < 0)
        target.size = 0;
    unsetenv("NOTIFY_SOCKET");
}

static void notify(const char *text)
{
    const struct timeval patience = { .tv_sec = 1 };
    int fd;

    if (!target.size)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A service manager that does not read must not keep us from looking after the worker. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sendto(fd, text, strlen(text), MSG_NOSIGNAL, &target.any, target.size);
    close(fd);
}

void notify_ready(const char *status)
{
    char text[512];

    snprintf(text, sizeof text, "READY=1\nSTATUS=%s\n", status);
    notify(text);
}

void notify_reloading(void)
{
    struct timespec now;
    char text[128];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading\n",
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1\nSTATUS=stopping: running requests may end\n");
}

void notify_status(const char *format, ...)
{
    char status[400], text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(status, sizeof status, format, arguments);
    va_end(arguments);
    snprintf(text, sizeof text, "STATUS=%s\n", status);
    notify(text);
}
