#include "upstream/complaint.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

/* Returns whether there was anything to tell. */
static bool tell_untold(struct complaint *c)
{
    if (!c->untold)
        return false;
    log_warning("%s %llu more times, last: %s", c->who, (unsigned long long)c->untold, c->last);
    c->untold = 0;
    return true;
}

static void on_due(struct timer *t)
{
    struct complaint *c = CONTAINER_OF(t, struct complaint, timer);

    if (tell_untold(c))
        loop_timer_set(c->loop, t, loop_now(c->loop) + COMPLAINT_SECONDS * NS_PER_S);
}

struct complaint *complaint_new(struct loop *loop)
{
    struct complaint *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->loop = loop;
    timer_init(&c->timer, on_due);
    return c;
}

void complaint_free(struct complaint *c)
{
    if (!c)
        return;
    (void)tell_untold(c);
    loop_timer_stop(c->loop, &c->timer);
    free(c);
}

void complaint_say(struct complaint *c, const char *reason)
{
    if (timer_is_set(&c->timer)) {
        c->untold++;
        snprintf(c->last, sizeof c->last, "%s", reason);
        return;
    }
    log_warning("%s: %s", c->who, reason);
    loop_timer_set(c->loop, &c->timer, loop_now(c->loop) + COMPLAINT_SECONDS * NS_PER_S);
}
