#include "observe/access_log.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

enum {
    LINE_MOST = 8192,         /* bytes, the newline included */
    GATHER_MS = 50,           /* how long the scribe lets lines gather: it wakes at most 20 times a second */
    STUCK_MS = 1000,          /* how long a descriptor may take nothing before lines are dropped */
    REPORT_SECONDS = 60,      /* between two reports of dropped lines */
    SYSLOG_INFO = 16 * 8 + 6, /* facility local0, severity informational (RFC 5424 6.2.1) */
};

/* One producer (its thread) moves head, one consumer (the scribe) moves tail; both only ever grow. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): each end has a cache line of its own */
struct ring {
    uint8_t *data;
    size_t size;
    _Alignas(64) atomic_size_t head;
    _Alignas(64) atomic_size_t tail;
};

struct access_log {
    struct ring *rings;
    unsigned count;
    atomic_int format; /* enum access_format */
    atomic_bool is_on;
    atomic_uint_fast64_t dropped;
    atomic_uint pending; /* futex: there are lines, or something else to do */
    atomic_uint hurry;   /* futex: do not gather any longer */
    atomic_bool ending;
    pthread_mutex_t setting; /* guards what follows, which access_log_set writes and the scribe takes */
    int next_fd;
    bool next_is_syslog, has_next;
    /* the scribe's own */
    int fd;
    bool is_syslog, is_torn; /* is_torn: the last line was written in part */
    pthread_t scribe;
    bool has_scribe;
    uint64_t reported;
    time_t reported_at;
};

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleeps while the word is 0; timeout may be NULL. */
static void futex_wait(atomic_uint *word, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, timeout, NULL, 0);
}

static void raise_word(atomic_uint *word)
{
    if (atomic_load_explicit(word, memory_order_relaxed) == 0 && atomic_exchange(word, 1) == 0)
        futex_wake(word);
}

/* ---- the workers' side ---- */

static bool ring_write(struct ring *r, const char *line, size_t size)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    size_t at = head & (r->size - 1), first;

    if (size > r->size - (head - tail))
        return false;
    first = size < r->size - at ? size : r->size - at;
    memcpy(r->data + at, line, first);
    memcpy(r->data, line + first, size - first);
    atomic_store_explicit(&r->head, head + size, memory_order_release);
    return true;
}

static size_t ring_used(const struct ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_relaxed) - atomic_load_explicit(&r->tail, memory_order_relaxed);
}

void access_log_write(struct access_log *log, unsigned thread, const struct access_record *r)
{
    char line[LINE_MOST];
    struct ring *ring;
    size_t n;

    CHECK(thread < log->count);
    if (!access_log_is_on(log))
        return;
    ring = &log->rings[thread];
    n = access_format_line(r, (enum access_format)atomic_load_explicit(&log->format, memory_order_relaxed), line,
                           sizeof line - 1);
    line[n++] = '\n';
    if (!ring_write(ring, line, n))
        atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
    /* The scribe clears `pending` before it looks at the rings; the fence keeps us from looking at it before our line
     * can be seen. */
    atomic_thread_fence(memory_order_seq_cst);
    raise_word(&log->pending);
    if (ring_used(ring) > ring->size / 2)
        raise_word(&log->hurry);
}

bool access_log_is_on(const struct access_log *log)
{
    return atomic_load_explicit(&log->is_on, memory_order_relaxed);
}

uint64_t access_log_dropped(const struct access_log *log)
{
    return atomic_load_explicit(&log->dropped, memory_order_relaxed);
}

/* ---- the scribe's side ---- */

static size_t count_lines(const struct iovec *parts, int count, size_t skip)
{
    size_t lines = 0;

    for (int i = 0; i < count; i++) {
        const uint8_t *at = parts[i].iov_base;
        for (size_t k = 0; k < parts[i].iov_len; k++) {
            if (skip)
                skip--;
            else
                lines += at[k] == '\n';
        }
    }
    return lines;
}

/* Writes everything, waiting for a slow descriptor; returns the bytes that were written. */
static size_t write_stream(int fd, struct iovec parts[2])
{
    struct iovec left[2] = { parts[0], parts[1] };
    size_t done = 0, size = parts[0].iov_len + parts[1].iov_len;

    while (done < size) {
        ssize_t n = writev(fd, left, 2);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = { .fd = fd, .events = POLLOUT };
            if (poll(&p, 1, STUCK_MS) > 0)
                continue;
        }
        if (n <= 0)
            break;
        done += (size_t)n;
        for (int i = 0; i < 2 && n; i++) {
            size_t used = (size_t)n < left[i].iov_len ? (size_t)n : left[i].iov_len;
            left[i].iov_base = (uint8_t *)left[i].iov_base + used;
            left[i].iov_len -= used;
            n -= (ssize_t)used;
        }
    }
    return done;
}

/* Returns the lines that were lost. One that was cut ends with what follows it, so that no other is spoilt. */
static uint64_t write_lines(struct access_log *log, struct iovec parts[2])
{
    size_t done;

    if (log->is_torn && write(log->fd, "\n", 1) == 1)
        log->is_torn = false;
    done = write_stream(log->fd, parts);
    if (done > 0 && done <= parts[0].iov_len)
        log->is_torn = ((const char *)parts[0].iov_base)[done - 1] != '\n';
    else if (done > parts[0].iov_len)
        log->is_torn = ((const char *)parts[1].iov_base)[done - parts[0].iov_len - 1] != '\n';
    return count_lines(parts, 2, done);
}

/* One datagram a line, in the form that glibc's syslog() writes, which every syslog and the journal read. */
static bool write_datagram(int fd, const char *line, size_t size)
{
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    char out[LINE_MOST + 64];
    time_t now = time(NULL);
    struct tm local;
    int n;

    localtime_r(&now, &local);
    n = snprintf(out, sizeof out, "<%d>%s %2d %02d:%02d:%02d unlade[%d]: %.*s", SYSLOG_INFO, months[local.tm_mon],
                 local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, (int)getpid(), (int)size, line);
    if (n < 0 || (size_t)n >= sizeof out)
        return false;
    while (send(fd, out, (size_t)n, MSG_NOSIGNAL) < 0) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (errno == EINTR || (errno == EAGAIN && poll(&p, 1, STUCK_MS) > 0))
            continue;
        return false;
    }
    return true;
}

static uint64_t write_datagrams(int fd, const struct iovec parts[2])
{
    char line[LINE_MOST];
    size_t n = 0;
    uint64_t lost = 0;

    for (int i = 0; i < 2; i++) {
        const char *at = parts[i].iov_base;
        for (size_t k = 0; k < parts[i].iov_len; k++) {
            if (at[k] != '\n') {
                CHECK(n < sizeof line);
                line[n++] = at[k];
                continue;
            }
            lost += !write_datagram(fd, line, n);
            n = 0;
        }
    }
    return lost;
}

static void drain_ring(struct access_log *log, struct ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t size = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
    size_t at = tail & (r->size - 1), first = size < r->size - at ? size : r->size - at;
    struct iovec parts[2] = { { r->data + at, first }, { r->data, size - first } };
    uint64_t lost = 0;

    if (!size)
        return;
    if (log->fd >= 0 && log->is_syslog)
        lost = write_datagrams(log->fd, parts);
    else if (log->fd >= 0)
        lost = write_lines(log, parts);
    if (lost)
        atomic_fetch_add_explicit(&log->dropped, lost, memory_order_relaxed);
    atomic_store_explicit(&r->tail, tail + size, memory_order_release);
}

static void drain_all(struct access_log *log)
{
    for (unsigned i = 0; i < log->count; i++)
        drain_ring(log, &log->rings[i]);
}

/* Takes the descriptor that access_log_set left; what is in the rings was meant for the one before. */
static void take_descriptor(struct access_log *log)
{
    pthread_mutex_lock(&log->setting);
    if (log->has_next) {
        if (log->fd >= 0)
            close(log->fd);
        log->fd = log->next_fd;
        log->is_syslog = log->next_is_syslog;
        log->is_torn = false;
        log->has_next = false;
    }
    pthread_mutex_unlock(&log->setting);
}

static void report_dropped(struct access_log *log)
{
    uint64_t dropped = access_log_dropped(log);
    time_t now = time(NULL);

    if (dropped == log->reported || now - log->reported_at < REPORT_SECONDS)
        return;
    log_warning("access log: %llu lines dropped, %llu in all: the destination takes them too slowly or not at all",
                (unsigned long long)(dropped - log->reported), (unsigned long long)dropped);
    log->reported = dropped;
    log->reported_at = now;
}

static void *scribe_run(void *context)
{
    static const struct timespec gather = { .tv_nsec = GATHER_MS * 1000000L };
    struct access_log *log = context;

    pthread_setname_np(pthread_self(), "unlade-log");
    while (!atomic_load(&log->ending)) {
        futex_wait(&log->pending, NULL);
        futex_wait(&log->hurry, &gather);
        atomic_store(&log->hurry, 0);
        atomic_store(&log->pending, 0);
        atomic_thread_fence(memory_order_seq_cst);
        if (log->fd < 0)
            take_descriptor(log);
        drain_all(log);
        take_descriptor(log);
        report_dropped(log);
    }
    drain_all(log);
    take_descriptor(log);
    return NULL;
}

/* ---- its life ---- */

struct access_log *access_log_new(unsigned threads, size_t ring_bytes)
{
    struct access_log *log = calloc(1, sizeof *log);

    CHECK(ring_bytes >= 2 * LINE_MOST && (ring_bytes & (ring_bytes - 1)) == 0);
    if (!log)
        return NULL;
    pthread_mutex_init(&log->setting, NULL);
    log->fd = -1;
    log->count = threads;
    log->rings = aligned_alloc(64, threads * sizeof *log->rings);
    if (!log->rings) {
        log->count = 0;
        access_log_free(log);
        return NULL;
    }
    memset(log->rings, 0, threads * sizeof *log->rings);
    for (unsigned i = 0; i < threads; i++) {
        log->rings[i].size = ring_bytes;
        log->rings[i].data = malloc(ring_bytes);
        if (!log->rings[i].data) {
            access_log_free(log);
            return NULL;
        }
    }
    return log;
}

/* Signals are the main thread's. */
static bool start_scribe(struct access_log *log)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&log->scribe, NULL, scribe_run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

void access_log_set(struct access_log *log, int fd, enum access_format format, bool is_syslog)
{
    pthread_mutex_lock(&log->setting);
    if (log->has_next && log->next_fd >= 0)
        close(log->next_fd);
    log->next_fd = fd;
    log->next_is_syslog = is_syslog;
    log->has_next = true;
    atomic_store(&log->format, format);
    if (fd >= 0 && !log->has_scribe) {
        log->has_scribe = start_scribe(log);
        if (!log->has_scribe)
            log_error("access log: its thread cannot be started; nothing is logged");
    }
    atomic_store(&log->is_on, fd >= 0 && log->has_scribe);
    pthread_mutex_unlock(&log->setting);
    raise_word(&log->pending);
    raise_word(&log->hurry);
}

void access_log_free(struct access_log *log)
{
    if (!log)
        return;
    if (log->has_scribe) {
        atomic_store(&log->ending, true);
        raise_word(&log->pending);
        raise_word(&log->hurry);
        pthread_join(log->scribe, NULL);
    }
    if (log->has_next && log->next_fd >= 0)
        close(log->next_fd);
    if (log->fd >= 0)
        close(log->fd);
    for (unsigned i = 0; i < log->count; i++)
        free(log->rings[i].data);
    free(log->rings);
    pthread_mutex_destroy(&log->setting);
    free(log);
}
