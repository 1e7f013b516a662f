/* access.h: an exchange's line in the access log. */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include "proxy/exchange.h"

void access_log_exchange(struct exchange *x);

#endif
