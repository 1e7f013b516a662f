/* sockets_open.h: opens one listening address and sets its options; for sockets.c. */
#ifndef APP_SOCKETS_OPEN_H
#define APP_SOCKETS_OPEN_H

#include "app/sockets.h"

bool address_is_unix(const struct address *a);
bool address_is_any(const struct address *a);  /* 0.0.0.0, [::] */

/* Opens item->wish; what was opened is in item->fds, also on failure. probe: find out first whether another process serves
 * the port (SO_REUSEPORT would let us join it). Returns 0, or -E_SYSTEM with a sentence. */
int listen_open(struct listen_address *item, unsigned threads, bool probe, char why[SOCKETS_WHY]) MUST_USE;
/* What item->wish says of the sockets that item has. old: what was in force before; NULL: nothing. Says what cannot be done. */
void listen_tune(const struct listen_address *item, const struct listen_wish *old);

#endif
