/* loop.h: one event loop per thread: descriptors, timers, work for later, mail from other threads.
 *
 * A turn of the loop: wait (epoll) -> watches whose descriptor became ready -> mail -> timers that are due -> deferred work -> retired
 * memory is freed. Everything a thread owns is touched only from its own loop, so there are no locks.
 *
 * Watches are edge-triggered and registered once, for reading and writing together: `readable` and `writable` of the
 * owner remember what the kernel said until a call comes back with EAGAIN. Closing: loop_unwatch() at once, and the
 * memory only by loop_retire(), because the turn's list of events may still name it.
 *
 * Timers are kept in a hierarchical wheel: set and stop are O(1), precision LOOP_TICK_NS; a timer never fires early.
 * Time is the monotonic clock, read once a turn. */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"

struct loop;

#define NS_PER_MS  1000000ull
#define NS_PER_S   1000000000ull
#define LOOP_TICK_NS (1ull << 22) /* about 4.2 ms */

/* NULL when the kernel gives no descriptor or memory is out. */
struct loop *loop_new(void);
/* Nothing may be watched any more; retired memory is freed, mail that was not read is dropped. */
void loop_free(struct loop *l);
/* Runs turns until loop_stop(); may be called again. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Nanoseconds of the monotonic clock, as of this turn. */
uint64_t loop_now(const struct loop *l);
/* Counts the turns, this one included. */
uint64_t loop_turn(const struct loop *l);
/* Seconds since 1970, as of this turn. */
int64_t loop_wall_seconds(const struct loop *l);

enum watch_events {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_END = 4,    /* the peer has ended its direction: reading will come to the end */
    WATCH_HANGUP = 8, /* reset, or both directions ended */
};

struct watch {
    int fd;
    void (*on_ready)(struct watch *w, unsigned events);
};

/* Edge-triggered, both directions. Returns 0 or -E_SYSTEM. */
int loop_watch(struct loop *l, struct watch *w) MUST_USE;
/* The descriptor of `from`, which is forgotten, belongs to `to` from here on; what the kernel had to say of it, it says
 * again. Returns 0 or -E_SYSTEM. */
int loop_rewatch(struct loop *l, struct watch *from, struct watch *to) MUST_USE;
/* Level-triggered, reading only; shared: the socket is in other threads' loops too and only one is to be woken. */
int loop_watch_listener(struct loop *l, struct watch *w, bool shared) MUST_USE;
/* Takes a listener out; it may be watched again. */
void loop_unwatch_listener(struct loop *l, struct watch *w);
/* No event of w is delivered from here on, also not one of this turn that waits. The caller closes the descriptor,
 * which takes it out of epoll. */
void loop_forget(struct watch *w);

struct timer {
    struct list link;
    uint64_t deadline_ns; /* of the monotonic clock; 0: not set */
    void (*on_due)(struct timer *t);
};
void timer_init(struct timer *t, void (*on_due)(struct timer *t));
/* Sets or moves. Moving to a later time costs one store. */
void loop_timer_set(struct loop *l, struct timer *t, uint64_t deadline_ns);
void loop_timer_stop(struct loop *l, struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return t->deadline_ns != 0;
}

/* Runs once at the end of this turn (or of the next, when set by deferred work itself). Setting it twice is one run. */
struct deferred {
    struct list link;
    void (*run)(struct deferred *d);
};
void deferred_init(struct deferred *d, void (*run)(struct deferred *d));
void loop_defer(struct loop *l, struct deferred *d);
void loop_defer_cancel(struct deferred *d);

/* Calls release(r) when the turn is over. */
struct retired {
    struct retired *next;
    void (*release)(struct retired *r);
};
void loop_retire(struct loop *l, struct retired *r, void (*release)(struct retired *r));

/* Mail: from any thread; delivered in this loop's thread, in order per sender. The receiver owns it then. */
struct mail {
    struct mail *next;
    void (*deliver)(struct mail *m);
};
void loop_post(struct loop *l, struct mail *m);
/* Delivers what has come, without waiting: after loop_run, for what came too late. */
void loop_deliver_mail(struct loop *l);

#endif
