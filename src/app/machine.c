#include "app/machine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

static bool read_text(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    text[n] = '\0';
    return true;
}

static unsigned cores_of(int64_t quota, int64_t period)
{
    int64_t cores = quota > 0 && period > 0 ? (quota + period - 1) / period : INT_MAX;

    return cores > INT_MAX ? INT_MAX : (unsigned)cores;
}

/* cpu.max of our control group and of those around it: "200000 100000", or "max 100000". */
static unsigned quota_v2(void)
{
    char groups[4096], path[4300], text[64];
    unsigned least = INT_MAX;
    char *own, *end;

    if (!read_text("/proc/self/cgroup", groups, sizeof groups))
        return least;
    own = strncmp(groups, "0::", 3) == 0 ? groups : strstr(groups, "\n0::");
    if (!own)
        return least;
    own = strchr(own, '/');
    if (!own)
        return least;
    own[strcspn(own, "\n")] = '\0';
    do {
        int64_t quota, period;
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", own);
        /* NOLINTNEXTLINE(cert-err34-c): the kernel wrote these numbers */
        if (read_text(path, text, sizeof text) && sscanf(text, "%" SCNd64 " %" SCNd64, &quota, &period) == 2 &&
            cores_of(quota, period) < least)
            least = cores_of(quota, period);
        end = strrchr(own, '/');
        if (end)
            *end = '\0';
    } while (end);
    return least;
}

static unsigned quota_v1(void)
{
    char quota[32], period[32];

    if (!read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) ||
        !read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period))
        return INT_MAX;
    return cores_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

unsigned machine_cores(void)
{
    cpu_set_t set;
    unsigned cores = 1, quota = quota_v2(), old_quota = quota_v1();

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = (unsigned)CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)
        cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (quota < cores)
        cores = quota;
    if (old_quota < cores)
        cores = old_quota;
    return cores ? cores : 1;
}

uint64_t machine_raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    return limit.rlim_cur;
}

static unsigned read_setting(const char *path, unsigned otherwise)
{
    char text[32];
    uint64_t number;

    if (!read_text(path, text, sizeof text))
        return otherwise;
    text[strcspn(text, "\n")] = '\0';
    return bytes_to_number(bytes_of_text(text), INT_MAX, &number) == 0 ? (unsigned)number : otherwise;
}

unsigned machine_fast_open(void)
{
    return read_setting("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN_CLIENT);
}

unsigned machine_backlog(void)
{
    return read_setting("/proc/sys/net/core/somaxconn", SOMAXCONN);
}
