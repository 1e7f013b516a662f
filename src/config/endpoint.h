/* endpoint.h: where to listen or to connect, and networks, as an operator writes them. */
#ifndef CONFIG_ENDPOINT_H
#define CONFIG_ENDPOINT_H

#include "base/arena.h"
#include "base/option.h"

/* Each returns NULL, or what is wrong, to go behind the option's name; notes with suggestions in further lines. What
 * ret_... points to lives in the arena or is static. */
const char *endpoint_read(struct arena *arena, struct bytes text, struct option_endpoint *ret_endpoint);
const char *network_read(struct arena *arena, struct bytes text, struct option_network *ret_network);
/* "10.0.0.0/8"; a single address without its prefix. Returns memory of the arena. */
const char *network_print(struct arena *arena, const struct option_network *network);

#endif
