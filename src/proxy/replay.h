/* replay.h: the beginning of a request's content, kept until it is certain that it will not be sent again.
 *
 * A server that speaks HTTP/2 may say of a request that it has not begun with it when its content is under way already
 * (GOAWAY, REFUSED_STREAM). What was taken from the client is gone by then, so that it is kept here: until the response
 * begins, and as long as it is not more than REPLAY_MOST. */
#ifndef PROXY_REPLAY_H
#define PROXY_REPLAY_H

#include "base/bytes.h"

enum { REPLAY_MOST = 64 * 1024 }; /* bytes */

struct replay { /* zeroed: empty */
    uint8_t *at;
    size_t size, room;
    size_t sent; /* of it, to the server that has its turn now */
};

/* Appends what goes to the server; where it becomes too much, or memory is out, all is given up. taken: bytes of content
 * that went before. */
void replay_keep(struct replay *r, struct bytes data, uint64_t taken);
/* What is still to be sent of it before the client's next bytes. */
static inline struct bytes replay_left(const struct replay *r)
{
    return bytes_of(r->at ? r->at + r->sent : NULL, r->size - r->sent);
}
void replay_drop(struct replay *r);

#endif
