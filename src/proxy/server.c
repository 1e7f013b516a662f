#include "proxy/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "net/socket.h"
#include "proxy/postgres.h"
#include "proxy/session.h"

enum {
    ACCEPTS_A_TURN = 64,   /* at most */
    PAUSE_MS = 100,        /* when descriptors are out */
    COMPLAIN_SECONDS = 10, /* between two lines that say so */
};

/* A socket that this thread accepts from. */
struct listening {
    struct list link;
    struct watch watch;
    struct server *server;
    struct address address;
    const struct snapshot_listener *listener; /* of the present site */
    uint64_t full_turn;                       /* the last one after which there may have been more to accept, */
    unsigned full_accepts;                    /* and how many were accepted in it */
    bool shared, watched;
    struct retired retired;
};

struct server {
    struct server_setup setup;
    struct net net;
    struct pool pool;
    struct home_memory memory;
    struct session_home home;
    struct site *site; /* that new connections use */
    struct list listening;
    struct timer pause_timer, drain_timer;
    struct mail drain_mail, stop_mail;
    atomic_flag drain_asked, stop_asked; /* each is posted once */
    struct server_counts counts;
    uint64_t complain_from_ns; /* when the next complaint about that may be logged */
    bool paused;               /* no accepting for now: too many connections, or no descriptors */
};

static void stop_when_drained(struct server *s)
{
    if (s->home.draining && s->home.session_count == 0)
        loop_stop(s->net.loop);
}

static void watch_all(struct server *s)
{
    LIST_EACH (&s->listening, link) {
        struct listening *l = CONTAINER_OF(link, struct listening, link);
        if (!l->watched)
            l->watched = loop_watch_listener(s->net.loop, &l->watch, l->shared) == 0;
    }
}

static void pause_accepting(struct server *s)
{
    s->paused = true;
    LIST_EACH (&s->listening, link) {
        struct listening *l = CONTAINER_OF(link, struct listening, link);
        if (l->watched)
            loop_unwatch_listener(s->net.loop, &l->watch);
        l->watched = false;
    }
}

static void resume_accepting(struct timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, pause_timer);

    s->paused = false;
    watch_all(s);
}

static void on_session_closed(struct session_home *home)
{
    struct server *s = CONTAINER_OF(home, struct server, home);

    if (s->paused && !timer_is_set(&s->pause_timer) && home->session_count < s->setup.connections_most)
        resume_accepting(&s->pause_timer);
    stop_when_drained(s);
}

/* Whether it is time to say again that no more connections can be accepted. */
static bool may_complain(struct server *s)
{
    uint64_t now = loop_now(s->net.loop);

    if (now < s->complain_from_ns)
        return false;
    s->complain_from_ns = now + COMPLAIN_SECONDS * NS_PER_S;
    return true;
}

/* Accepts at most that many. Returns 0 when the queue is empty, else the error of the last accept, -E_AGAIN for more. */
static int accept_some(struct listening *l, unsigned most)
{
    struct server *s = l->server;

    while (most--) {
        struct address peer;
        int fd;

        if (s->home.session_count >= s->setup.connections_most) {
            if (may_complain(s))
                log_warning("%llu connections are open, which is this thread's limit; more of them wait",
                            (unsigned long long)s->home.session_count);
            pause_accepting(s);
            return -E_LIMIT;
        }
        fd = socket_accept(l->watch.fd, &peer);
        if (fd == -E_AGAIN)
            return 0;
        if (fd == -E_LIMIT) {
            if (may_complain(s))
                log_error("no descriptor or memory for another connection; accepting again in %d ms", PAUSE_MS);
            pause_accepting(s);
            loop_timer_set(s->net.loop, &s->pause_timer, loop_now(s->net.loop) + PAUSE_MS * NS_PER_MS);
            return fd;
        }
        if (fd >= 0)
            session_open(&s->home, s->site, l->listener, fd, address_port(&l->address), &peer);
    }
    return -E_AGAIN;
}

/* Connections come one by one until they come faster than turns pass: that there is no other one behind the first is told by
 * the next turn's wait, without a call of its own. A queue is taken in batches that double. */
static void on_connections(struct watch *w, unsigned events)
{
    struct listening *l = CONTAINER_OF(w, struct listening, watch);
    uint64_t turn = loop_turn(l->server->net.loop);
    unsigned most = l->full_turn + 1 == turn ? 2 * l->full_accepts : 1;

    (void)events;
    if (most > ACCEPTS_A_TURN)
        most = ACCEPTS_A_TURN;
    if (accept_some(l, most) == -E_AGAIN) {
        l->full_turn = turn;
        l->full_accepts = most;
    }
}

static void free_listening(struct retired *r)
{
    free(CONTAINER_OF(r, struct listening, retired));
}

/* What is queued has been accepted by the kernel already: it is served, then the socket goes. */
static void close_listening(struct listening *l, bool serve_queued)
{
    struct server *s = l->server;

    if (serve_queued && s->site)
        while (accept_some(l, ACCEPTS_A_TURN) == -E_AGAIN)
            ;
    if (l->watched)
        loop_unwatch_listener(s->net.loop, &l->watch);
    loop_forget(&l->watch);
    close(l->watch.fd);
    list_remove(&l->link);
    loop_retire(s->net.loop, &l->retired, free_listening); /* this turn's events may still name it */
}

static const struct snapshot_listener *listener_at(const struct snapshot *snapshot, const struct address *address)
{
    for (size_t i = 0; i < snapshot->listener_count; i++)
        for (size_t j = 0; j < snapshot->listeners[i].address_count; j++)
            if (address_equal(&snapshot->listeners[i].addresses[j], address))
                return &snapshot->listeners[i];
    return NULL;
}

static struct listening *find_listening(struct server *s, const struct address *address)
{
    LIST_EACH (&s->listening, link) {
        struct listening *l = CONTAINER_OF(link, struct listening, link);
        if (address_equal(&l->address, address))
            return l;
    }
    return NULL;
}

static struct listening *add_listening(struct server *s, const struct listen_socket *socket)
{
    struct listening *l = calloc(1, sizeof *l);

    CHECK(l);
    l->server = s;
    l->address = socket->address;
    l->watch = (struct watch){ socket->fd, on_connections };
    l->shared = socket->shared;
    list_append(&s->listening, &l->link);
    return l;
}

/* Brings the listening sockets in step with the new set. The old ones that go are closed under the old site. */
static void use_sockets(struct server *s, const struct snapshot *snapshot, const struct listen_socket *sockets,
                        size_t count)
{
    LIST_EACH (&s->listening, link) {
        struct listening *l = CONTAINER_OF(link, struct listening, link);
        bool kept = false;
        for (size_t i = 0; i < count; i++)
            kept |= sockets[i].fd < 0 && address_equal(&sockets[i].address, &l->address);
        if (!kept)
            close_listening(l, true);
    }
    for (size_t i = 0; i < count; i++) {
        struct listening *l = find_listening(s, &sockets[i].address);
        if (!l && sockets[i].fd >= 0)
            l = add_listening(s, &sockets[i]);
        CHECK(l);
        l->listener = listener_at(snapshot, &l->address);
        CHECK(l->listener);
    }
}

struct publication {
    struct mail mail;
    struct server *server;
    struct snapshot *snapshot;
    void (*done)(void *context);
    void *context;
    size_t count;
    struct listen_socket sockets[];
};

static void on_publication(struct mail *m)
{
    struct publication *p = CONTAINER_OF(m, struct publication, mail);
    struct server *s = p->server;
    struct site *site = site_new(p->snapshot, &s->pool);

    CHECK(site); /* a reload may abort for want of memory: the supervisor starts a new worker */
    use_sockets(s, p->snapshot, p->sockets, p->count);
    site_unref(s->site);
    s->site = site;
    if (!s->paused && !s->home.draining)
        watch_all(s);
    snapshot_unref(p->snapshot);
    if (p->done)
        p->done(p->context);
    free(p);
}

void server_publish(struct server *s, struct snapshot *snapshot, const struct listen_socket *sockets, size_t count,
                    void (*done)(void *context), void *context)
{
    struct publication *p = calloc(1, sizeof *p + count * sizeof *sockets);

    CHECK(p);
    *p = (struct publication){ .mail.deliver = on_publication,
                               .server = s,
                               .snapshot = snapshot_ref(snapshot),
                               .done = done,
                               .context = context,
                               .count = count };
    for (size_t i = 0; i < count; i++)
        p->sockets[i] = sockets[i];
    loop_post(s->net.loop, &p->mail);
}

static void abort_sessions(struct server *s)
{
    while (!list_is_empty(&s->home.sessions))
        session_abort(LIST_FIRST(&s->home.sessions, struct session, link));
}

static void on_drain_limit(struct timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, drain_timer);

    log_warning("%llu connections were still open at the end of the time to drain; they are cut",
                (unsigned long long)s->home.session_count);
    abort_sessions(s);
    loop_stop(s->net.loop);
}

static void on_drain(struct mail *m)
{
    struct server *s = CONTAINER_OF(m, struct server, drain_mail);

    while (!list_is_empty(&s->listening))
        close_listening(LIST_FIRST(&s->listening, struct listening, link), true);
    s->home.draining = true;
    loop_timer_set(s->net.loop, &s->drain_timer, loop_now(s->net.loop) + s->setup.drain_limit_ns + 1);
    LIST_EACH (&s->home.sessions, link)
        session_drain(CONTAINER_OF(link, struct session, link));
    stop_when_drained(s);
}

void server_drain(struct server *s)
{
    if (!atomic_flag_test_and_set(&s->drain_asked))
        loop_post(s->net.loop, &s->drain_mail);
}

static void on_stop(struct mail *m)
{
    struct server *s = CONTAINER_OF(m, struct server, stop_mail);

    abort_sessions(s);
    loop_stop(s->net.loop);
}

void server_stop(struct server *s)
{
    if (!atomic_flag_test_and_set(&s->stop_asked))
        loop_post(s->net.loop, &s->stop_mail);
}

struct server *server_new(const struct server_setup *setup)
{
    struct server *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->setup = *setup;
    s->drain_mail.deliver = on_drain;
    s->stop_mail.deliver = on_stop;
    list_init(&s->listening);
    if (net_init(&s->net)) {
        free(s);
        return NULL;
    }
    pool_init(&s->pool, &s->net);
    home_memory_init(&s->memory);
    s->home = (struct session_home){ .net = &s->net,
                                     .pool = &s->pool,
                                     .access_log = setup->access_log,
                                     .thread = setup->thread,
                                     .counts = &s->counts,
                                     .memory = &s->memory,
                                     .on_closed = on_session_closed };
    list_init(&s->home.sessions);
    postgres_cancels_init(&s->home);
    timer_init(&s->pause_timer, resume_accepting);
    timer_init(&s->drain_timer, on_drain_limit);
    return s;
}

void server_run(struct server *s)
{
    loop_run(s->net.loop);
    loop_deliver_mail(s->net.loop); /* what came too late is freed with the rest */
    if (s->setup.on_drained)
        s->setup.on_drained(s->setup.context);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    while (!list_is_empty(&s->listening))
        close_listening(LIST_FIRST(&s->listening, struct listening, link), false);
    abort_sessions(s);
    postgres_cancels_done(&s->home);
    site_unref(s->site);
    pool_clear(&s->pool);
    home_memory_clear(&s->memory);
    loop_timer_stop(s->net.loop, &s->pause_timer);
    loop_timer_stop(s->net.loop, &s->drain_timer);
    net_clear(&s->net);
    free(s);
}

const struct server_counts *server_counts(const struct server *s)
{
    return &s->counts;
}
