#include "loop/wheel.h"

enum { SLOT_BITS = 6 };

static const uint64_t most_ticks = (1ull << (SLOT_BITS * WHEEL_LEVELS)) - 1;

void timer_init(struct timer *t, void (*on_due)(struct timer *t))
{
    *t = (struct timer){ .on_due = on_due };
    list_init(&t->link);
}

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    w->tick = now_ns / LOOP_TICK_NS;
    w->next = UINT64_MAX;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
    }
}

static void put(struct wheel *w, struct timer *t)
{
    uint64_t tick = t->deadline_ns / LOOP_TICK_NS + 1; /* rounded up, so that no timer is early */
    uint64_t distance;
    int level = 0;
    unsigned slot;

    if (tick <= w->tick)
        tick = w->tick + 1;
    if (tick - w->tick > most_ticks)
        tick = w->tick + most_ticks; /* it is put anew when that time comes */
    distance = tick - w->tick;
    while (distance >> (SLOT_BITS * (level + 1)))
        level++;
    slot = tick >> (SLOT_BITS * level) & (WHEEL_SLOTS - 1);
    list_append(&w->slots[level][slot], &t->link);
    w->occupied[level] |= 1ull << slot;
    tick &= ~((1ull << (SLOT_BITS * level)) - 1); /* when the slot comes up */
    if (tick < w->next)
        w->next = tick;
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t deadline_ns)
{
    bool in_place = t->deadline_ns && !list_is_empty(&t->link) && deadline_ns >= t->deadline_ns;

    CHECK(deadline_ns != 0);
    t->deadline_ns = deadline_ns;
    if (in_place)
        return;
    list_remove(&t->link);
    put(w, t);
}

void wheel_stop(struct wheel *w, struct timer *t)
{
    (void)w; /* the slot's bit stays until the slot comes up: finding it empty then is cheap */
    t->deadline_ns = 0;
    list_remove(&t->link);
}

/* The next tick, after w->tick, at which a slot of this level comes up that may hold something. */
static uint64_t next_of_level(const struct wheel *w, int level)
{
    uint64_t position = w->tick >> (SLOT_BITS * level), bits = w->occupied[level];
    unsigned shift = (unsigned)(position + 1) & (WHEEL_SLOTS - 1);

    if (!bits)
        return UINT64_MAX;
    bits = bits >> shift | (shift ? bits << (WHEEL_SLOTS - shift) : 0);
    return (position + 1 + (uint64_t)__builtin_ctzll(bits)) << (SLOT_BITS * level);
}

static uint64_t next_tick(const struct wheel *w)
{
    uint64_t next = UINT64_MAX;

    for (int level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t tick = next_of_level(w, level);
        next = tick < next ? tick : next;
    }
    return next;
}

uint64_t wheel_next_ns(const struct wheel *w)
{
    return w->next == UINT64_MAX ? UINT64_MAX : w->next * LOOP_TICK_NS;
}

/* Moves a slot's timers to a list of their own. */
static void take_slot(struct wheel *w, int level, struct list *ret_timers)
{
    unsigned slot = w->tick >> (SLOT_BITS * level) & (WHEEL_SLOTS - 1);
    struct list *from = &w->slots[level][slot];

    list_init(ret_timers);
    w->occupied[level] &= ~(1ull << slot);
    if (list_is_empty(from))
        return;
    *ret_timers = *from;
    ret_timers->next->previous = ret_timers->previous->next = ret_timers;
    list_init(from);
}

static void work_off(struct wheel *w, int level, uint64_t now_ns)
{
    struct list timers;

    take_slot(w, level, &timers);
    while (!list_is_empty(&timers)) {
        struct timer *t = LIST_FIRST(&timers, struct timer, link);
        list_remove(&t->link);
        if (t->deadline_ns > now_ns) {
            put(w, t);
            continue;
        }
        t->deadline_ns = 0;
        t->on_due(t);
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ns)
{
    uint64_t now_tick = now_ns / LOOP_TICK_NS;

    for (; w->next <= now_tick; w->next = next_tick(w)) {
        w->tick = w->next;
        for (int level = WHEEL_LEVELS - 1; level >= 0; level--)
            if ((w->tick & ((1ull << (SLOT_BITS * level)) - 1)) == 0)
                work_off(w, level, now_ns);
    }
    if (now_tick > w->tick)
        w->tick = now_tick;
}
