/* connection_private.h: what kinds of connections share; for net/ alone. */
#ifndef NET_CONNECTION_PRIVATE_H
#define NET_CONNECTION_PRIVATE_H

#include "net/connection.h"

/* Fills the common part of a zeroed connection and watches the socket. Returns 0 or -E_SYSTEM (the socket stays the caller's). */
int connection_start(struct connection *c, struct net *net, int fd, const struct connection_ops *ops) MUST_USE;
/* One read into the buffer's room. Returns bytes (0: the peer has ended), -E_AGAIN or -E_RESET. */
int connection_read_socket(struct connection *c, struct buffer *into) MUST_USE;

#endif
