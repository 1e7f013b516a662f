#include "proxy/replay.h"

#include <stdlib.h>

enum { ROOM_FIRST = 1024 };

void replay_keep(struct replay *r, struct bytes data, uint64_t taken)
{
    size_t room = r->room ? r->room : ROOM_FIRST;

    if (taken != r->size || data.size == 0)
        return; /* its beginning is not here */
    if (data.size > REPLAY_MOST - r->size) {
        replay_drop(r);
        return;
    }
    while (room < r->size + data.size)
        room *= 2;
    if (room > r->room) {
        uint8_t *at = realloc(r->at, room);
        if (!at) {
            replay_drop(r);
            return;
        }
        r->at = at;
        r->room = room;
    }
    memcpy(r->at + r->size, data.at, data.size);
    r->size += data.size;
    r->sent = r->size;
}

void replay_drop(struct replay *r)
{
    free(r->at);
    *r = (struct replay){ 0 };
}
