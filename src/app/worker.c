#include "app/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/options.h"
#include "base/check.h"
#include "base/log.h"
#include "base/recycle.h"
#include "observe/access_log.h"
#include "proxy/server.h"
#include "tls/memory.h"
#include "tls/multi_buffer.h"

enum { ACCESS_RING = 1 << 20 }; /* bytes for each thread */

struct worker_thread {
    struct server *server;
    pthread_t thread;
    struct listen_socket *sockets; /* for the next publish */
    size_t socket_count, socket_room;
};

struct worker {
    const struct worker_setup *setup;
    struct access_log *access_log;
    struct worker_thread *threads;
    struct snapshot *built; /* waits for PUBLISH */
    uint32_t generation;    /* of what was built last */
    int events;             /* eventfd: a thread has published or drained */
    int event_log;          /* our descriptor of it, or -1: as inherited */
    atomic_uint published, drained;
    bool publishing;
};

static void tell(struct worker *w, enum channel_kind kind)
{
    struct channel_message m = { .kind = kind, .generation = w->generation };

    if (channel_send(w->setup->channel, &m, NULL, 0) < 0)
        log_debug("the supervisor does not listen: %s", strerror(errno));
}

static void ring(struct worker *w)
{
    uint64_t one = 1;

    CHECK(write(w->events, &one, sizeof one) == sizeof one);
}

static void on_published(void *context)
{
    struct worker *w = context;

    atomic_fetch_add(&w->published, 1);
    ring(w);
}

static void on_drained(void *context)
{
    struct worker *w = context;

    atomic_fetch_add(&w->drained, 1);
    ring(w);
}

/* ---- a new configuration ---- */

static struct snapshot *build(struct bundle *bundle)
{
    const struct bundle_entry *yaml = bundle_entry(bundle, 0);
    struct config *c;
    struct snapshot *s;
    char name[256];

    CHECK(yaml && yaml->kind == BUNDLE_YAML);
    snprintf(name, sizeof name, "%.*s", BYTES_PRINT(yaml->name));
    c = config_read(&app_options, name, yaml->content);
    s = snapshot_build(c, &((const struct app_options *)config_root(c))->site, bundle, time(NULL));
    if (!s) {
        config_print_complaints(c, stderr);
        config_free(c);
    }
    return s;
}

static void take_config(struct worker *w, const struct channel_message *m, int fd)
{
    const uint8_t *flat;
    struct bundle *bundle;
    size_t size;

    snapshot_unref(w->built); /* one that was never published */
    w->built = NULL;
    w->generation = m->generation;
    for (unsigned i = 0; i < w->setup->threads; i++)
        w->threads[i].socket_count = 0;
    if (sealed_map(fd, &flat, &size) < 0) {
        log_error("the configuration cannot be read: %s", strerror(errno));
        tell(w, CHANNEL_REFUSED);
        return;
    }
    bundle = bundle_open(bytes_of(flat, size));
    munmap((void *)(uintptr_t)flat, size);
    if (bundle) {
        w->built = build(bundle);
        if (w->built)
            w->built->generation = m->generation;
    }
    bundle_free(bundle);
    tell(w, w->built ? CHANNEL_BUILT : CHANNEL_REFUSED);
}

static void take_sockets(struct worker *w, const struct channel_message *m, const int *fds, size_t fd_count)
{
    size_t used = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        const struct channel_socket *s = &m->sockets[i];
        struct worker_thread *t;

        CHECK(s->thread < w->setup->threads && (!s->has_fd || used < fd_count));
        t = &w->threads[s->thread];
        if (t->socket_count == t->socket_room) {
            t->socket_room = t->socket_room ? 2 * t->socket_room : 8;
            t->sockets = realloc(t->sockets, t->socket_room * sizeof *t->sockets);
            CHECK(t->sockets);
        }
        t->sockets[t->socket_count++] =
            (struct listen_socket){ .address = s->address, .fd = s->has_fd ? fds[used++] : -1, .shared = s->shared };
    }
}

static void publish(struct worker *w)
{
    CHECK(w->built);
    atomic_store(&w->published, 0);
    w->publishing = true;
    for (unsigned i = 0; i < w->setup->threads; i++) {
        struct worker_thread *t = &w->threads[i];
        server_publish(t->server, w->built, t->sockets, t->socket_count, on_published, w);
    }
    snapshot_unref(w->built);
    w->built = NULL;
}

static void take_event_log(struct worker *w, const struct channel_message *m, int fd)
{
    log_set_level((enum log_level)m->format);
    log_set_syslog(m->is_syslog);
    if (w->event_log < 0) {
        w->event_log = fd;
        log_set_descriptor(fd);
        return;
    }
    dup3(fd, w->event_log, O_CLOEXEC); /* in place: other threads may be writing a line */
    close(fd);
}

/* ---- its life ---- */

/* Returns false when it is time to go. */
static bool obey(struct worker *w, const struct channel_message *m, int *fds, size_t fd_count)
{
    switch (m->kind) {
    case CHANNEL_CONFIG:
        CHECK(fd_count == 1);
        take_config(w, m, fds[0]);
        close(fds[0]);
        break;
    case CHANNEL_TICKETS:
        tickets_install(&m->tickets);
        break;
    case CHANNEL_ACCESS_LOG:
        access_log_set(w->access_log, fd_count ? fds[0] : -1, (enum access_format)m->format, m->is_syslog);
        break;
    case CHANNEL_EVENT_LOG:
        CHECK(fd_count == 1);
        take_event_log(w, m, fds[0]);
        break;
    case CHANNEL_SOCKETS:
        take_sockets(w, m, fds, fd_count);
        break;
    case CHANNEL_PUBLISH:
        publish(w);
        break;
    case CHANNEL_DRAIN:
        for (unsigned i = 0; i < w->setup->threads; i++)
            server_drain(w->threads[i].server);
        break;
    case CHANNEL_STOP:
        return false;
    default:
        CHECK(m->kind <= CHANNEL_STOP); /* the others go the other way */
    }
    return true;
}

static bool take_messages(struct worker *w)
{
    static struct channel_message m; /* large, and only the main thread comes here */
    int fds[CHANNEL_SOCKETS_MOST];
    size_t fd_count;
    int r = channel_receive(w->setup->channel, &m, fds, &fd_count);

    if (r < 0) {
        if (r != -E_CLOSED)
            log_error("the supervisor's message cannot be read: %s", strerror(errno));
        return false;
    }
    r = obey(w, &m, fds, fd_count);
    if (m.kind == CHANNEL_TICKETS)
        ticket_keys_wipe(&m.tickets);
    return r;
}

static void run(struct worker *w)
{
    for (;;) {
        struct pollfd p[2] = { { .fd = w->setup->channel, .events = POLLIN }, { .fd = w->events, .events = POLLIN } };
        uint64_t rings;

        if (poll(p, 2, -1) < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        if (p[1].revents && read(w->events, &rings, sizeof rings) == sizeof rings) {
            if (w->publishing && atomic_load(&w->published) == w->setup->threads) {
                w->publishing = false;
                tell(w, CHANNEL_READY);
            }
            if (atomic_load(&w->drained) == w->setup->threads)
                return;
        }
        if (p[0].revents && !take_messages(w))
            return;
    }
}

static void *thread_main(void *context)
{
    struct worker_thread *t = context;

    tls_memory_keep(true);
    recycle_keep(true);
    server_run(t->server);
    recycle_keep(false);
    tls_memory_keep(false);
    return NULL;
}

static void start_thread(struct worker *w, unsigned i)
{
    struct worker_thread *t = &w->threads[i];
    struct server_setup setup = {
        .thread = i,
        .thread_count = w->setup->threads,
        .access_log = w->access_log,
        .drain_limit_ns = w->setup->drain_ns,
        .connections_most = w->setup->connections / w->setup->threads,
        .on_drained = on_drained,
        .context = w,
    };
    char name[16];
    int error;

    if (setup.connections_most == 0)
        setup.connections_most = 1;
    t->server = server_new(&setup);
    if (!t->server) {
        log_error("a thread's event loop cannot be made: %s", strerror(errno));
        _exit(1);
    }
    error = pthread_create(&t->thread, NULL, thread_main, t);
    if (error) {
        log_error("a thread cannot be started: %s", strerror(error));
        _exit(1);
    }
    snprintf(name, sizeof name, "unlade-%u", i % 100000);
    pthread_setname_np(t->thread, name);
}

/* What the supervisor had blocked or handled is not ours: its messages say what to do, whatever a terminal or a service
 * manager sends to the whole group. */
static void reset_signals(void)
{
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE };
    sigset_t none;

    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void worker_main(const struct worker_setup *setup)
{
    struct worker w = { .setup = setup, .event_log = -1 };

    reset_signals();
    prctl(PR_SET_NAME, "unlade-worker", 0, 0, 0);
    log_set_role("worker");
    (void)multi_buffer(); /* a file, which is opened while that is still allowed */
    if (privileges_drop(&setup->identity, setup->supervisor) < 0) {
        log_error("rights cannot be given up: %s", strerror(errno));
        _exit(1);
    }
    w.events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w.access_log = access_log_new(setup->threads, ACCESS_RING);
    w.threads = calloc(setup->threads, sizeof *w.threads);
    CHECK(w.events >= 0 && w.access_log && w.threads);
    for (unsigned i = 0; i < setup->threads; i++)
        start_thread(&w, i);
    run(&w);
    for (unsigned i = 0; i < setup->threads; i++)
        server_stop(w.threads[i].server);
    for (unsigned i = 0; i < setup->threads; i++) {
        pthread_join(w.threads[i].thread, NULL);
        server_free(w.threads[i].server);
        free(w.threads[i].sockets);
    }
    snapshot_unref(w.built);
    access_log_free(w.access_log);
    free(w.threads);
    close(w.events);
    exit(0);
}
