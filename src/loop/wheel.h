/* wheel.h: a hierarchical timer wheel. Pure: the time is an argument, so tests and the loop drive it alike.
 *
 * Five levels of 64 slots; a slot of level L spans 64^L ticks of LOOP_TICK_NS. A timer is put where its distance
 * belongs and moves down a level when its slot comes up. A timer that was moved to a later time stays where it is and
 * is put anew when its old slot comes up: setting costs one store for the usual case of a time limit that is extended
 * again and again. When the next slot with something in it comes up is known at any time: between two of those a turn of
 * the loop costs the wheel a comparison. */
#ifndef LOOP_WHEEL_H
#define LOOP_WHEEL_H

#include "loop/loop.h"

enum { WHEEL_LEVELS = 5, WHEEL_SLOTS = 64 };

struct wheel {
    uint64_t tick;                     /* all slots up to here were worked off */
    uint64_t next;                     /* the next one with something in it; UINT64_MAX: there is none */
    uint64_t occupied[WHEEL_LEVELS];   /* one bit a slot */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ns);
void wheel_set(struct wheel *w, struct timer *t, uint64_t deadline_ns);
void wheel_stop(struct wheel *w, struct timer *t);
/* Calls on_due of every timer whose deadline is not after now; they may set and stop any timers. */
void wheel_advance(struct wheel *w, uint64_t now_ns);
/* When wheel_advance has to be called next; UINT64_MAX when nothing is set. */
uint64_t wheel_next_ns(const struct wheel *w);

#endif
