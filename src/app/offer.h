/* offer.h: how a deployment and the supervisor's sockets are told to a worker: the messages of channel.h in their order. */
#ifndef APP_OFFER_H
#define APP_OFFER_H

#include "app/deployment.h"
#include "app/sockets.h"
#include "tls/tickets.h"

/* All return 0 or -E_SYSTEM (errno). The worker answers offer_deployment with BUILT or REFUSED, offer_publish with READY. */

/* all_sockets: the worker is new and has none of them. */
int offer_deployment(int channel, const struct deployment *d, const struct listen_set *set, bool all_sockets) MUST_USE;
int offer_publish(int channel, const struct deployment *d) MUST_USE;
int offer_logs(int channel, const struct deployment *d) MUST_USE;
int offer_tickets(int channel, const struct ticket_keys *keys) MUST_USE;
int offer_word(int channel, bool drain) MUST_USE; /* DRAIN, or STOP */

#endif
