/* complaint.h: what is wrong with a server, told to people: the first time at once, then at most one line in ten
 * seconds that counts what was not told, so that a broken server at ten thousand requests a second floods no log. */
#ifndef UPSTREAM_COMPLAINT_H
#define UPSTREAM_COMPLAINT_H

#include "loop/loop.h"

enum { COMPLAINT_TEXT = 640, COMPLAINT_SECONDS = 10 };

struct complaint {
    struct timer timer;        /* set: a line was written less than COMPLAINT_SECONDS ago */
    struct loop *loop;
    uint64_t untold;
    char who[320];            /* "TLS with the server 10.0.0.1:8443 of upstream "app" failed" */
    char last[COMPLAINT_TEXT]; /* the newest reason */
};

/* NULL: memory. */
struct complaint *complaint_new(struct loop *loop);
/* Tells what is untold, then frees; accepts NULL. */
void complaint_free(struct complaint *c);
void complaint_say(struct complaint *c, const char *reason);

#endif
