#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/check.h"
#include "loop/wheel.h"

enum { TIMERS = 500 };

struct probe {
    struct timer timer;
    uint64_t due_at;   /* when it was called; 0: not yet */
    unsigned calls;
    struct wheel *again_in;
    uint64_t again_ns;
};

static uint64_t now_ns;

static void on_due(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);

    p->due_at = now_ns;
    p->calls++;
    if (p->again_in)
        wheel_set(p->again_in, t, now_ns + p->again_ns);
}

static void advance_to(struct wheel *w, uint64_t to_ns)
{
    now_ns = to_ns;
    wheel_advance(w, now_ns);
}

static void a_timer_fires_once_not_early_and_within_a_tick(void **state)
{
    static const uint64_t delays[] = { 1, NS_PER_MS, 10 * NS_PER_MS, 300 * NS_PER_MS, NS_PER_S, 17 * NS_PER_S, 61 * NS_PER_S,
                                       3600 * NS_PER_S, 86400 * NS_PER_S, 60 * 86400ull * NS_PER_S };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(delays); i++) {
        uint64_t start = 123456789ull * (i + 1);
        struct wheel w;
        struct probe p = { 0 };
        unsigned wakes = 0;

        wheel_init(&w, start);
        timer_init(&p.timer, on_due);
        wheel_set(&w, &p.timer, start + delays[i]);
        while (!p.calls) { /* as the loop does: sleep until the wheel asks to be called */
            uint64_t next = wheel_next_ns(&w);
            assert_true(next != UINT64_MAX);
            assert_true(++wakes < 400);
            advance_to(&w, next);
        }
        assert_int_equal(p.calls, 1);
        assert_true(p.due_at >= start + delays[i]);
        assert_true(p.due_at <= start + delays[i] + 2 * LOOP_TICK_NS);
        assert_false(timer_is_set(&p.timer));
        assert_int_equal(wheel_next_ns(&w), UINT64_MAX);
    }
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct wheel w;
    struct probe p = { 0 };

    (void)state;
    wheel_init(&w, 0);
    timer_init(&p.timer, on_due);
    wheel_set(&w, &p.timer, NS_PER_S);
    wheel_stop(&w, &p.timer);
    advance_to(&w, 10 * NS_PER_S);
    assert_int_equal(p.calls, 0);
}

static void a_timer_moves_later_and_earlier(void **state)
{
    struct wheel w;
    struct probe p = { 0 };

    (void)state;
    wheel_init(&w, 0);
    timer_init(&p.timer, on_due);
    wheel_set(&w, &p.timer, NS_PER_S);
    wheel_set(&w, &p.timer, 5 * NS_PER_S);
    advance_to(&w, 3 * NS_PER_S);
    assert_int_equal(p.calls, 0);
    wheel_set(&w, &p.timer, 4 * NS_PER_S);
    advance_to(&w, 4 * NS_PER_S + LOOP_TICK_NS);
    assert_int_equal(p.calls, 1);
}

static void a_timer_may_set_itself_again_when_due(void **state)
{
    struct wheel w;
    struct probe p = { .again_ns = NS_PER_S };

    (void)state;
    wheel_init(&w, 0);
    timer_init(&p.timer, on_due);
    p.again_in = &w;
    wheel_set(&w, &p.timer, NS_PER_S);
    for (uint64_t t = 0; t <= 10 * NS_PER_S; t += 50 * NS_PER_MS)
        advance_to(&w, t);
    assert_in_range(p.calls, 9, 10);
    wheel_stop(&w, &p.timer);
}

static void many_random_timers_all_fire_in_their_time(void **state)
{
    static struct probe probes[TIMERS];
    uint64_t deadlines[TIMERS];
    struct wheel w;

    (void)state;
    srandom(7);
    wheel_init(&w, 0);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&probes[i].timer, on_due);
        deadlines[i] = ((uint64_t)random() % (1u << (random() % 22))) * NS_PER_MS + 1;
        wheel_set(&w, &probes[i].timer, deadlines[i]);
    }
    for (uint64_t t = 0; wheel_next_ns(&w) != UINT64_MAX; t += (uint64_t)random() % (30 * NS_PER_S))
        advance_to(&w, t);
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(probes[i].calls, 1);
        assert_true(probes[i].due_at >= deadlines[i]);
        assert_true(probes[i].due_at <= deadlines[i] + 31 * NS_PER_S);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_not_early_and_within_a_tick),
        cmocka_unit_test(a_stopped_timer_does_not_fire),
        cmocka_unit_test(a_timer_moves_later_and_earlier),
        cmocka_unit_test(a_timer_may_set_itself_again_when_due),
        cmocka_unit_test(many_random_timers_all_fire_in_their_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
