/* exchange_private.h: what the files of an exchange share: its life (exchange.c), its two directions (exchange_pass.c)
 * and its timers (exchange_timers.c). */
#ifndef PROXY_EXCHANGE_PRIVATE_H
#define PROXY_EXCHANGE_PRIVATE_H

#include "proxy/exchange.h"

enum {
    EXCHANGE_TURN_BYTES = 1024 * 1024, /* of one direction; then others have their turn */
    EXCHANGE_PIECE_BYTES = 256,       /* what each piece counts for beside its own: a chunk of one byte is work too */
};

static inline struct loop *exchange_loop(const struct exchange *x)
{
    return x->session->home->net->loop;
}

/* Both directions, as far as they go. Returns 0, or an error that was dealt with: x may be gone. */
int exchange_pass(struct exchange *x) MUST_USE;

/* The server's side failed: another try where that is safe, else the client is told. x may be gone. */
void exchange_fail_server(struct exchange *x, int error);
/* Sending to the client failed: nothing can be said any more. x is gone. */
void exchange_fail_send(struct exchange *x, int error);

/* At the end of a turn: sets the timers for what is waited for now. */
void exchange_arm_timers(struct exchange *x);
void exchange_on_server_timer(struct timer *t);
void exchange_on_client_timer(struct timer *t);

#endif
