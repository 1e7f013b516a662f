#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "loop/loop.h"

enum { MAILS = 20000, SENDERS = 4 };

struct letter {
    struct mail mail;
    struct office *office;
    unsigned sender, number;
};

struct office {
    struct loop *loop;
    unsigned next[SENDERS], received;
};

static void deliver(struct mail *m)
{
    struct letter *letter = CONTAINER_OF(m, struct letter, mail);
    struct office *office = letter->office;

    assert_int_equal(letter->number, office->next[letter->sender]);
    office->next[letter->sender]++;
    if (++office->received == MAILS * SENDERS)
        loop_stop(office->loop);
    free(letter);
}

struct sender {
    struct office *office;
    unsigned number;
};

static void *send_all(void *context)
{
    struct sender *s = context;

    for (unsigned i = 0; i < MAILS; i++) {
        struct letter *letter = calloc(1, sizeof *letter);
        *letter = (struct letter){ { .deliver = deliver }, s->office, s->number, i };
        loop_post(s->office->loop, &letter->mail);
    }
    return NULL;
}

static void mail_of_several_threads_all_arrives_in_each_senders_order(void **state)
{
    struct office office = { .loop = loop_new() };
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ &office, i };
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    loop_run(office.loop);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(office.received, MAILS * SENDERS);
    loop_free(office.loop);
}

struct pair {
    struct loop *loop;
    struct watch a, b;
    unsigned a_events, a_calls, b_calls;
    struct timer timer;
    struct deferred deferred;
    unsigned deferred_runs;
};

static void forget_other(struct watch *w, unsigned events)
{
    struct pair *p = CONTAINER_OF(w, struct pair, a);

    p->a_calls++;
    p->a_events |= events;
    loop_forget(&p->b);
}

static void count_b(struct watch *w, unsigned events)
{
    (void)events;
    CONTAINER_OF(w, struct pair, b)->b_calls++;
}

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct pair, timer)->loop);
}

static void an_event_of_the_same_turn_does_not_reach_a_forgotten_watch(void **state)
{
    int first[2], second[2];
    struct pair p = { .loop = loop_new() };

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second), 0);
    p.a = (struct watch){ first[0], forget_other };
    p.b = (struct watch){ second[0], count_b };
    assert_int_equal(loop_watch(p.loop, &p.a), 0);
    assert_int_equal(loop_watch(p.loop, &p.b), 0);
    timer_init(&p.timer, stop);
    loop_timer_set(p.loop, &p.timer, loop_now(p.loop) + 20 * NS_PER_MS);
    shutdown(first[1], SHUT_WR);
    loop_run(p.loop);
    assert_true(p.a_calls >= 1);
    assert_true(p.a_events & WATCH_END);
    assert_true(p.a_events & WATCH_WRITE);
    assert_int_equal(p.b_calls, 0);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
    loop_free(p.loop);
}

static void run_again(struct deferred *d)
{
    struct pair *p = CONTAINER_OF(d, struct pair, deferred);

    if (++p->deferred_runs == 3)
        loop_stop(p->loop);
    else
        loop_defer(p->loop, d);
}

static void deferred_work_may_defer_itself_to_the_next_turn(void **state)
{
    struct pair p = { .loop = loop_new() };

    (void)state;
    deferred_init(&p.deferred, run_again);
    loop_defer(p.loop, &p.deferred);
    loop_defer(p.loop, &p.deferred);
    loop_run(p.loop);
    assert_int_equal(p.deferred_runs, 3);
    loop_free(p.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_of_several_threads_all_arrives_in_each_senders_order),
        cmocka_unit_test(an_event_of_the_same_turn_does_not_reach_a_forgotten_watch),
        cmocka_unit_test(deferred_work_may_defer_itself_to_the_next_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
