/* counts.h: what one thread has done so far. Written by that thread alone, read by any: plain loads and stores that are
 * atomic, without the price of a locked addition. */
#ifndef PROXY_COUNTS_H
#define PROXY_COUNTS_H

#include <stdatomic.h>
#include <stdint.h>

struct server_counts {
    atomic_uint_fast64_t accepted, handshakes, handshakes_resumed, handshakes_native, handshakes_failed,
         requests, connections_open, relays;
};

static inline void count_add(atomic_uint_fast64_t *counter, uint64_t n)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

#endif
