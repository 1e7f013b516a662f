#include "loop/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/wheel.h"

enum { EVENTS_A_TURN = 256 };

struct loop {
    int epoll;
    struct watch mail_watch;        /* an eventfd that is written when the mailbox was empty */
    _Atomic(struct mail *) mailbox; /* newest first */
    struct wheel wheel;
    struct list deferred;
    struct retired *retired;
    uint64_t now_ns, turn;
    bool stopping;
    struct epoll_event events[EVENTS_A_TURN];
};

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t loop_now(const struct loop *l)
{
    return l->now_ns;
}

uint64_t loop_turn(const struct loop *l)
{
    return l->turn;
}

int64_t loop_wall_seconds(const struct loop *l)
{
    (void)l;
    return time(NULL);
}

static int control(struct loop *l, int operation, struct watch *w, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = w };
    return epoll_ctl(l->epoll, operation, w->fd, &event) < 0 ? -E_SYSTEM : 0;
}

int loop_watch(struct loop *l, struct watch *w)
{
    return control(l, EPOLL_CTL_ADD, w, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int loop_rewatch(struct loop *l, struct watch *from, struct watch *to)
{
    loop_forget(from);
    return control(l, EPOLL_CTL_MOD, to, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int loop_watch_listener(struct loop *l, struct watch *w, bool shared)
{
    return control(l, EPOLL_CTL_ADD, w, shared ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN);
}

void loop_unwatch_listener(struct loop *l, struct watch *w)
{
    (void)control(l, EPOLL_CTL_DEL, w, 0);
}

void loop_forget(struct watch *w)
{
    w->on_ready = NULL;
}

void loop_deliver_mail(struct loop *l)
{
    struct mail *newest, *oldest = NULL;

    newest = atomic_exchange_explicit(&l->mailbox, NULL, memory_order_acquire);
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct mail *next = oldest->next;
        oldest->deliver(oldest);
        oldest = next;
    }
}

static void on_mail(struct watch *w, unsigned events)
{
    uint64_t count;

    (void)events;
    while (read(w->fd, &count, sizeof count) > 0)
        ;
    loop_deliver_mail(CONTAINER_OF(w, struct loop, mail_watch));
}

void loop_post(struct loop *l, struct mail *m)
{
    struct mail *before = atomic_load_explicit(&l->mailbox, memory_order_relaxed);
    const uint64_t one = 1;

    do
        m->next = before;
    while (!atomic_compare_exchange_weak_explicit(&l->mailbox, &before, m, memory_order_release, memory_order_relaxed));
    if (!before)
        while (write(l->mail_watch.fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->now_ns = monotonic_ns();
    wheel_init(&l->wheel, l->now_ns);
    list_init(&l->deferred);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->mail_watch = (struct watch){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_mail };
    if (l->epoll < 0 || l->mail_watch.fd < 0 || loop_watch_listener(l, &l->mail_watch, false) < 0) {
        loop_free(l);
        return NULL;
    }
    return l;
}

static void release_retired(struct loop *l)
{
    while (l->retired) {
        struct retired *r = l->retired;
        l->retired = r->next;
        r->release(r);
    }
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    release_retired(l);
    if (l->mail_watch.fd >= 0)
        close(l->mail_watch.fd);
    if (l->epoll >= 0)
        close(l->epoll);
    free(l);
}

void loop_timer_set(struct loop *l, struct timer *t, uint64_t deadline_ns)
{
    wheel_set(&l->wheel, t, deadline_ns);
}

void loop_timer_stop(struct loop *l, struct timer *t)
{
    wheel_stop(&l->wheel, t);
}

void deferred_init(struct deferred *d, void (*run)(struct deferred *d))
{
    d->run = run;
    list_init(&d->link);
}

void loop_defer(struct loop *l, struct deferred *d)
{
    list_remove(&d->link);
    list_append(&l->deferred, &d->link);
}

void loop_defer_cancel(struct deferred *d)
{
    list_remove(&d->link);
}

static void run_deferred(struct loop *l)
{
    struct list now;

    if (list_is_empty(&l->deferred))
        return;
    now = l->deferred; /* what is deferred meanwhile belongs to the next turn */
    now.next->previous = now.previous->next = &now;
    list_init(&l->deferred);
    while (!list_is_empty(&now)) {
        struct deferred *d = LIST_FIRST(&now, struct deferred, link);
        list_remove(&d->link);
        d->run(d);
    }
}

void loop_retire(struct loop *l, struct retired *r, void (*release)(struct retired *r))
{
    r->release = release;
    r->next = l->retired;
    l->retired = r;
}

static int wait_ms(const struct loop *l)
{
    uint64_t next = wheel_next_ns(&l->wheel), wait;

    if (!list_is_empty(&l->deferred) || l->stopping)
        return 0;
    if (next == UINT64_MAX)
        return -1;
    if (next <= l->now_ns)
        return 0;
    wait = (next - l->now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return wait > 60000 ? 60000 : (int)wait;
}

static void dispatch(const struct epoll_event *event)
{
    struct watch *w = event->data.ptr;
    unsigned events = 0;

    if (event->events & (EPOLLERR | EPOLLHUP))
        events |= WATCH_READ | WATCH_WRITE | WATCH_END | WATCH_HANGUP;
    if (event->events & EPOLLRDHUP)
        events |= WATCH_READ | WATCH_END;
    if (event->events & EPOLLIN)
        events |= WATCH_READ;
    if (event->events & EPOLLOUT)
        events |= WATCH_WRITE;
    if (w->on_ready) /* it may have been closed by an earlier event of this turn */
        w->on_ready(w, events);
}

void loop_run(struct loop *l)
{
    while (!l->stopping) {
        int count = epoll_wait(l->epoll, l->events, EVENTS_A_TURN, wait_ms(l));

        CHECK(count >= 0 || errno == EINTR);
        l->now_ns = monotonic_ns();
        l->turn++;
        for (int i = 0; i < count; i++)
            dispatch(&l->events[i]);
        wheel_advance(&l->wheel, l->now_ns);
        run_deferred(l);
        release_retired(l);
    }
    l->stopping = false;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}
