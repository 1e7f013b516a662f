#include "app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/channel.h"
#include "app/machine.h"
#include "app/notify.h"
#include "app/offer.h"
#include "app/worker.h"
#include "base/check.h"
#include "base/log.h"

#define MS 1000000ull
#define S  1000000000ull

enum { DESCRIPTORS_OWN = 64 }; /* of a worker, beside clients, servers and listening sockets */

static const uint64_t backoff_least = 100 * MS, backoff_most = 10 * S, healthy_after = 60 * S, grace = 5 * S;

/* What has become of the deployment that was offered last. */
enum offer_state {
    OFFER_NONE,      /* the worker serves `current` */
    OFFER_BUILDING,  /* it builds `next`, or `current` when it is a new worker */
    OFFER_PUBLISHED, /* it was told to serve it, and has not said that it does */
};

struct supervisor {
    const struct supervisor_setup *setup;
    struct deployment *current, *next;
    struct listen_set sockets;
    struct ticket_keys tickets;
    struct identity identity;
    int signals, channel;
    int event_log; /* our own descriptor of the event log */
    pid_t worker;  /* 0: none runs */
    enum offer_state offer;
    bool reload_wanted; /* SIGHUP came while an offer was on its way */
    bool was_ready;     /* clients have been served */
    bool is_stopping, is_killed;
    int status;                                                      /* of exit */
    uint64_t backoff_ns, started_at, restart_at, rotate_at, kill_at; /* monotonic; 0: not set */
};

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

/* ---- logs ---- */

static void use_event_log(struct supervisor *s, const struct deployment *d)
{
    log_set_level((enum log_level)d->events_level);
    log_set_syslog(d->events.is_syslog);
    if (s->event_log < 0)
        s->event_log = fcntl(d->events.fd, F_DUPFD_CLOEXEC, 3);
    else
        dup3(d->events.fd, s->event_log, O_CLOEXEC);
    if (s->event_log >= 0)
        log_set_descriptor(s->event_log);
}

/* A worker that cannot be told something is of no use: it is replaced. */
static void tell(struct supervisor *s, int sent, const char *what)
{
    if (sent >= 0 || (s->is_stopping && errno == EPIPE)) /* it has just ended, as it was told */
        return;
    log_error("the worker cannot be told %s (%s): it is ended", what, strerror(errno));
    if (s->worker)
        kill(s->worker, SIGKILL);
}

static void reopen_logs(struct supervisor *s)
{
    char why[DEPLOYMENT_WHY];

    if (deployment_open_logs(s->current, why) < 0) {
        log_error("%s; the one that is open stays in use", why);
        return;
    }
    use_event_log(s, s->current);
    if (s->worker)
        tell(s, offer_logs(s->channel, s->current), "its logs");
    log_notice("the log files were opened again");
}

/* ---- the worker ---- */

/* How many clients at the same time. A client that waits between requests has one descriptor, one that is being served
 * two: whoever asks for a number expects many to wait, and gets it as far as a tenth stays for the servers. */
static uint64_t connections_of(const struct deployment *d)
{
    uint64_t files = machine_raise_files(), listening = (uint64_t)d->socket_count * d->workers;
    uint64_t rest = files > DESCRIPTORS_OWN + listening + 2 ? files - DESCRIPTORS_OWN - listening : 2;
    uint64_t most = d->connections ? rest - (rest + 9) / 10 : rest / 2;

    return d->connections && d->connections < most ? d->connections : most;
}

/* Everything of the supervisor's but the standard streams, the channel and the event log. */
static void close_others(int channel, int event_log)
{
    int low = channel < event_log ? channel : event_log, high = channel < event_log ? event_log : channel;

    if (low < 3)
        low = high;
    if (low > 3)
        close_range(3, (unsigned)low - 1, 0);
    if (high > low + 1)
        close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0u, 0);
}

static void start_worker(struct supervisor *s)
{
    pid_t own = getpid();
    int ends[2];

    s->restart_at = 0;
    if (channel_open(ends) < 0 || (s->worker = fork()) < 0) {
        log_error("the worker cannot be started: %s", strerror(errno));
        s->worker = 0;
        s->restart_at = now_ns() + backoff_most;
        return;
    }
    if (s->worker == 0) {
        struct worker_setup setup = {
            .channel = ends[1],
            .threads = s->current->workers,
            .connections = connections_of(s->current),
            .drain_ns = s->current->drain_ns,
            .identity = s->identity,
            .supervisor = own,
        };
        close_others(ends[1], s->event_log);
        ticket_keys_wipe(&s->tickets);
        worker_main(&setup);
    }
    close(ends[1]);
    s->channel = ends[0];
    fcntl(s->channel, F_SETFL, O_NONBLOCK);
    s->started_at = now_ns();
    s->offer = OFFER_BUILDING;
    tell(s, offer_tickets(s->channel, &s->tickets), "the ticket keys");
    tell(s, offer_logs(s->channel, s->current), "its logs");
    tell(s, offer_deployment(s->channel, s->current, &s->sockets, true), "its configuration");
}

/* A deployment that the worker never took: nothing of it stays. */
static void abandon_next(struct supervisor *s)
{
    if (!s->next)
        return;
    sockets_abandon(&s->sockets);
    deployment_free(s->next);
    s->next = NULL;
    use_event_log(s, s->current);
}

static const char *exit_text(int status, char text[96])
{
    if (WIFSIGNALED(status))
        snprintf(text, 96, "signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                 WCOREDUMP(status) ? ", core dumped" : "");
    else
        snprintf(text, 96, "status %d", WEXITSTATUS(status));
    return text;
}

static void worker_ended(struct supervisor *s, int status)
{
    uint64_t now = now_ns();
    char text[96];

    close(s->channel);
    s->channel = -1;
    s->worker = 0;
    s->kill_at = 0;
    if (s->is_stopping) {
        if (s->is_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
            return;
        log_error("the worker ended with %s while it stopped", exit_text(status, text));
        if (!WIFSIGNALED(status) ||
            WTERMSIG(status) != SIGKILL) /* that is no fault of its own, and may be older than the stop */
            s->status = 1;
        return;
    }
    if (!s->was_ready) {
        log_error("the worker ended with %s before it was ready", exit_text(status, text));
        s->is_stopping = true;
        s->status = 1;
        return;
    }
    if (s->next)
        log_error("the new configuration was given up: the worker ended with it");
    abandon_next(s);
    s->offer = OFFER_NONE;
    if (now - s->started_at > healthy_after)
        s->backoff_ns = backoff_least;
    log_error("the worker ended with %s; a new one starts in %llu ms", exit_text(status, text),
              (unsigned long long)(s->backoff_ns / MS));
    notify_status("the worker ended with %s; starting a new one", text);
    s->restart_at = now + s->backoff_ns;
    s->backoff_ns = 2 * s->backoff_ns < backoff_most ? 2 * s->backoff_ns : backoff_most;
}

/* Also children that were given to us as process 1. */
static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == s->worker)
            worker_ended(s, status);
}

/* ---- configuration ---- */

/* Complaints as config_print_complaints lays them out: the first line of each tells its level. */
static void log_complaints(char *text)
{
    enum log_level level = LOG_ERROR;

    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = '\0';
        if (line[0] != ' ')
            level = strstr(line, ": warning: ") ? LOG_WARNING : LOG_ERROR;
        log_line(level, "%s", line);
    }
}

/* Loads and verifies; says what is wrong. NULL on failure. */
static struct deployment *load(struct supervisor *s)
{
    char why[DEPLOYMENT_WHY], *text = NULL;
    size_t size;
    FILE *complaints = open_memstream(&text, &size);
    struct deployment *d = NULL;
    int r;

    CHECK(complaints);
    r = deployment_make(s->setup->source, complaints, &d, why);
    fclose(complaints);
    if (s->was_ready)
        log_complaints(text);
    else
        fputs(text, stderr);
    free(text);
    if (r < 0 && why[0])
        log_error("%s", why);
    return r < 0 ? NULL : d;
}

static bool texts_differ(const char *a, const char *b)
{
    return (a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0);
}

/* Options that a reload cannot apply keep their old value; everything else of the new file counts. */
static void keep_fixed(const struct deployment *old, struct deployment *d)
{
    static const char later[] = "keeps its old value until the next restart";

    if (d->workers_written != old->workers_written)
        log_warning("`workers` %s", later);
    if (texts_differ(d->user, old->user))
        log_warning("`user` %s", later);
    if (d->connections != old->connections)
        log_warning("`limits.connections` %s", later);
    if (d->drain_ns != old->drain_ns)
        log_warning("`stop.drain` %s", later);
    d->workers_written = old->workers_written;
    d->workers = old->workers;
    d->connections = old->connections;
    d->drain_ns = old->drain_ns;
    free(d->user);
    d->user = old->user ? strdup(old->user) : NULL;
}

static void reload_failed(void)
{
    log_error("reload refused: the configuration that runs stays in use");
    notify_ready("reload refused, see the log; the old configuration stays in use");
}

static void reload(struct supervisor *s)
{
    char why[SOCKETS_WHY];

    if (s->offer != OFFER_NONE || !s->worker) { /* after what is on its way */
        s->reload_wanted = true;
        return;
    }
    s->reload_wanted = false;
    notify_reloading();
    s->next = load(s);
    if (!s->next) {
        reload_failed();
        return;
    }
    keep_fixed(s->current, s->next);
    if (sockets_prepare(&s->sockets, s->next->sockets, s->next->socket_count, why) < 0) {
        log_error("%s", why);
        abandon_next(s);
        reload_failed();
        return;
    }
    s->offer = OFFER_BUILDING;
    tell(s, offer_deployment(s->channel, s->next, &s->sockets, false), "its new configuration");
}

static void set_rotation(struct supervisor *s)
{
    uint64_t at = now_ns() + s->current->rotate_ns;

    if (!s->rotate_at || at < s->rotate_at) /* a reload must not postpone it for ever */
        s->rotate_at = at;
}

/* The worker has the snapshot: from here on there is no way back. */
static void commit(struct supervisor *s)
{
    if (s->next) {
        deployment_free(s->current);
        s->current = s->next;
        s->next = NULL;
        use_event_log(s, s->current);
        tell(s, offer_logs(s->channel, s->current), "its logs");
        set_rotation(s);
    }
    /* Ours of a removed address are closed first: the worker's then is the last, and it takes what is queued. */
    sockets_commit(&s->sockets);
    s->offer = OFFER_PUBLISHED;
    tell(s, offer_publish(s->channel, s->current), "to use its configuration");
}

static void worker_ready(struct supervisor *s)
{
    char status[160];

    s->offer = OFFER_NONE;
    snprintf(status, sizeof status, "serving %u listener%s with %u thread%s, configuration %u", s->current->listeners,
             plural(s->current->listeners), s->current->workers, plural(s->current->workers), s->current->generation);
    log_notice("%s", status);
    notify_ready(status);
    if (!s->was_ready && s->setup->on_ready)
        s->setup->on_ready(s->setup->context);
    s->was_ready = true;
}

static void take_message(struct supervisor *s)
{
    static struct channel_message m;
    int fds[CHANNEL_SOCKETS_MOST];
    size_t fd_count;

    if (channel_receive(s->channel, &m, fds, &fd_count) < 0)
        return; /* the worker's end is near, and SIGCHLD tells */
    CHECK(fd_count == 0);
    if (m.kind == CHANNEL_BUILT && s->is_stopping) {
        abandon_next(s); /* the worker has closed its sockets: nothing can be published any more */
        s->offer = OFFER_NONE;
    } else if (m.kind == CHANNEL_BUILT && s->offer == OFFER_BUILDING) {
        commit(s);
    } else if (m.kind == CHANNEL_READY && s->offer == OFFER_PUBLISHED) {
        worker_ready(s);
    } else if (m.kind == CHANNEL_REFUSED) {
        if (!s->next) {
            log_error("the worker cannot build the configuration that the supervisor could: it is ended");
            kill(s->worker, SIGKILL);
            return;
        }
        abandon_next(s);
        s->offer = OFFER_NONE;
        reload_failed();
    }
}

/* ---- signals and timers ---- */

static void stop(struct supervisor *s, uint32_t number)
{
    bool again = s->is_stopping;

    s->is_stopping = true;
    s->restart_at = 0;
    if (!s->worker)
        return;
    if (again) {
        log_notice("%s again: ending at once", strsignal((int)number));
        s->is_killed = true;
        tell(s, offer_word(s->channel, false), "to stop");
        s->kill_at = now_ns() + S;
        return;
    }
    log_notice("%s: running requests may end, for at most %llu s; a second one ends at once", strsignal((int)number),
               (unsigned long long)(s->current->drain_ns / S));
    notify_stopping();
    sockets_close(&s->sockets, true); /* the worker takes what is queued in its own */
    tell(s, offer_word(s->channel, true), "to stop");
    s->kill_at = now_ns() + s->current->drain_ns + grace;
}

static void take_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            reap(s); /* a worker that ended before needs no telling */
            stop(s, info.ssi_signo);
            break;
        case SIGHUP:
            if (!s->is_stopping)
                reload(s);
            break;
        case SIGUSR1:
            reopen_logs(s);
            break;
        default:
            reap(s);
        }
    }
}

static void rotate_tickets(struct supervisor *s)
{
    s->rotate_at = 0;
    set_rotation(s);
    if (ticket_keys_rotate(&s->tickets) < 0) {
        log_error("no fresh ticket key could be made; the old one stays in use");
        return;
    }
    if (s->worker)
        tell(s, offer_tickets(s->channel, &s->tickets), "the ticket keys");
    log_info("session tickets have a fresh key");
}

static bool is_due(uint64_t deadline)
{
    return deadline && deadline <= now_ns();
}

static void run_timers(struct supervisor *s)
{
    if (is_due(s->restart_at))
        start_worker(s);
    if (is_due(s->rotate_at))
        rotate_tickets(s);
    if (is_due(s->kill_at)) {
        s->kill_at = 0;
        log_warning("the worker did not end in time: it is killed");
        s->is_killed = true;
        kill(s->worker, SIGKILL);
    }
    if (s->reload_wanted && !s->is_stopping && s->offer == OFFER_NONE && s->worker)
        reload(s);
}

static int milliseconds_left(const struct supervisor *s)
{
    uint64_t deadlines[] = { s->restart_at, s->rotate_at, s->kill_at }, first = UINT64_MAX, now = now_ns();

    for (size_t i = 0; i < COUNT_OF(deadlines); i++)
        if (deadlines[i] && deadlines[i] < first)
            first = deadlines[i];
    if (first <= now)
        return 0;
    return first - now > 3600 * S ? 3600 * 1000 : (int)((first - now) / MS) + 1;
}

static void loop(struct supervisor *s)
{
    while (!s->is_stopping || s->worker) {
        struct pollfd p[2] = { { .fd = s->signals, .events = POLLIN }, { .fd = s->channel, .events = POLLIN } };

        if (poll(p, 2, milliseconds_left(s)) < 0 && errno != EINTR) {
            log_error("poll: %s", strerror(errno));
            s->status = 1;
            return;
        }
        if (p[1].revents & POLLIN)
            take_message(s);
        else if (p[1].revents) /* its end closed; SIGCHLD follows */
            reap(s);
        if (p[0].revents)
            take_signal(s);
        run_timers(s);
    }
}

/* ---- start ---- */

static int open_signals(struct supervisor *s)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signals < 0 ? -E_SYSTEM : 0;
}

static int start(struct supervisor *s)
{
    char why[SOCKETS_WHY];

    s->current = load(s);
    if (!s->current)
        return -E_CONFIG;
    use_event_log(s, s->current);
    if (identity_find(s->current->user, &s->identity) < 0)
        return -E_CONFIG; /* checked before */
    s->sockets.threads = s->current->workers;
    inherited_read(&s->sockets.inherited);
    if (sockets_prepare(&s->sockets, s->current->sockets, s->current->socket_count, why) < 0) {
        log_error("%s", why);
        return -E_SYSTEM;
    }
    if (ticket_keys_rotate(&s->tickets) < 0) {
        log_error("no ticket key could be made: the library has no randomness");
        return -E_CRYPTO;
    }
    set_rotation(s);
    log_notice("unlade " UNLADE_VERSION " starts: %u listener%s, %u thread%s%s%s", s->current->listeners,
               plural(s->current->listeners), s->current->workers, plural(s->current->workers),
               s->identity.is_needed ? ", worker as user " : "", s->identity.is_needed ? s->identity.name : "");
    start_worker(s);
    return s->worker ? 0 : -E_SYSTEM;
}

int supervisor_run(const struct supervisor_setup *setup)
{
    struct supervisor s = { .setup = setup, .channel = -1, .event_log = -1, .backoff_ns = backoff_least };

    machine_raise_files();
    notify_init();
    privileges_hide_memory(); /* it holds the keys of tickets */
    if (open_signals(&s) < 0) {
        log_error("signals cannot be taken: %s", strerror(errno));
        return 1;
    }
    if (start(&s) < 0)
        s.status = 1;
    else
        loop(&s);
    if (s.status == 0)
        log_notice("stopped");
    sockets_close(&s.sockets, true);
    ticket_keys_wipe(&s.tickets);
    deployment_free(s.next);
    deployment_free(s.current);
    close(s.signals);
    return s.status;
}
