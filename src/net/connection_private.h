/* connection_private.h: what kinds of connections share; for net/ alone. */
#ifndef NET_CONNECTION_PRIVATE_H
#define NET_CONNECTION_PRIVATE_H

#include "net/connection.h"

/* A zeroed connection of so many bytes (struct connection or what begins with one) out of one of net's slabs; NULL: memory. */
void *connection_alloc(struct slab *slab, size_t bytes);
/* Gives back one that connection_start() refused. Accepts NULL. */
void connection_unalloc(struct connection *c);
/* Fills the common part of a zeroed connection and watches the socket. Returns 0 or -E_SYSTEM (the socket stays the caller's). */
int connection_start(struct connection *c, struct net *net, int fd, const struct connection_ops *ops) MUST_USE;
/* All that the connection `from` is becomes `to` (zeroed, of another kind), but for `in`, which the caller takes first:
 * socket, owner, what waits in out. `from` is gone. Returns 0, or -E_SYSTEM: then both are gone, and the socket. */
int connection_become(struct connection *from, struct connection *to, const struct connection_ops *ops) MUST_USE;
/* One read of `limit` bytes at most into the buffer's room. Returns bytes (0: the peer has ended), -E_AGAIN or -E_RESET. */
int connection_read_socket(struct connection *c, struct buffer *into, size_t limit) MUST_USE;
/* Writes out and then data, in one call. Returns the bytes of data taken, or -E_RESET. */
ssize_t connection_write_socket(struct connection *c, struct bytes data) MUST_USE;
/* ---- splice.c: c->pipe, behind what is in out when it came and before what comes later ---- */
/* To the socket. Returns 0 when it is empty, and gone, -E_AGAIN or -E_RESET. */
int connection_drain_pipe(struct connection *c) MUST_USE;
/* With its content. */
void connection_drop_pipe(struct connection *c);
size_t connection_pipe_bytes(const struct connection *c);
/* Whether something waits for the socket. */
static inline bool connection_waits(const struct connection *c)
{
    return c->pipe || buffer_used(&c->out);
}

/* What a plain connection does, and one whose records the kernel seals: small pieces are collected in out. */
size_t connection_plain_room(const struct connection *c);
ssize_t connection_plain_send(struct connection *c, struct bytes data) MUST_USE;
/* connection_discard() where the kernel opens the records: into `in`. */
int connection_kernel_discard(struct connection *c) MUST_USE;

/* Room in `in`, or in another buffer that the socket is read into: as much as the flow asks for. 0 or -E_MEMORY. */
int connection_reserve(struct connection *c, struct buffer *into) MUST_USE;
/* Bytes that may be added to out, once it is reserved and its content moved to the front. */
size_t connection_out_room(const struct connection *c);
/* Storage for them. 0 or -E_MEMORY. */
int connection_reserve_out(struct connection *c) MUST_USE;

/* What a TLS connection has received and not taken yet; it is the caller's. */
struct buffer connection_take_cipher(struct connection *tls);

#endif
