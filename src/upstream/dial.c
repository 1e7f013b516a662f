#include "upstream/dial.h"

#include <stdlib.h>

#include "net/socket.h"

int dial_start(struct dial *d, struct backend *b, const struct dial_plan *plan, struct bytes preface, void *owner,
               void (*on_event)(struct connection *c))
{
    uint8_t *copy = NULL;
    int fd = socket_connect(&b->address);

    *d = (struct dial){ .plan = plan };
    if (fd < 0)
        return fd;
    d->connection = connection_new(b->group->pool->net, fd);
    if (d->connection && preface.size)
        copy = malloc(preface.size);
    if (!d->connection || (preface.size && !copy)) {
        connection_close(d->connection, false);
        d->connection = NULL;
        return -E_MEMORY;
    }
    if (copy) {
        memcpy(copy, preface.at, preface.size);
        d->preface = bytes_of(copy, preface.size);
    }
    d->connection->owner = owner;
    d->connection->on_event = on_event;
    return 0;
}

int dial_advance(struct dial *d)
{
    struct connection *c = d->connection;
    int error;

    if (!d->is_open) {
        if (!c->writable && !c->readable)
            return -E_AGAIN;
        error = socket_connected(c->watch.fd);
        if (error)
            return error;
        d->is_open = true;
        if (d->preface.size) {
            ssize_t sent = connection_send(c, d->preface);
            if (sent < 0)
                return -E_CONNECT;
            CHECK((size_t)sent == d->preface.size); /* nothing was sent before it: there is room */
            dial_done(d);
        }
    }
    return 0;
}

void dial_done(struct dial *d)
{
    free((void *)d->preface.at);
    d->preface = BYTES_NONE;
}
