#include "app/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"

/* A standard stream. A pipe is opened anew, so that it can be made not to block without changing it for others. */
static int open_stream(int stream)
{
    struct stat st;
    char path[32];
    int fd = -1;

    if (fstat(stream, &st) == 0 && S_ISFIFO(st.st_mode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", stream);
        fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }
    return fd >= 0 ? fd : fcntl(stream, F_DUPFD_CLOEXEC, 3);
}

static int open_syslog(void)
{
    struct address a;
    int fd;

    if (address_from_path("/dev/log", &a) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, &a.any, a.size) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int log_target_open(const char *to, struct log_target *ret_target, char ret_why[LOGS_WHY])
{
    struct log_target t = { .fd = -1 };

    if (strcmp(to, "off") == 0) {
        *ret_target = t;
        return 0;
    }
    if (strcmp(to, "stdout") == 0 || strcmp(to, "stderr") == 0) {
        t.fd = open_stream(strcmp(to, "stdout") == 0 ? STDOUT_FILENO : STDERR_FILENO);
    } else if (strcmp(to, "syslog") == 0) {
        t.fd = open_syslog();
        t.is_syslog = true;
    } else {
        t.fd = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    }
    if (t.fd < 0) {
        snprintf(ret_why, LOGS_WHY, "the log %s cannot be opened: %s", t.is_syslog ? "/dev/log (syslog)" : to,
                 strerror(errno));
        return -E_SYSTEM;
    }
    *ret_target = t;
    return 0;
}

void log_target_close(struct log_target *target)
{
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
}
