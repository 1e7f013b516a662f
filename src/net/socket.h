/* socket.h: the few socket calls of the worker, and the options that sockets get. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/address.h"
#include "net/options.h"

/* The next connection of a listening socket, non-blocking, with that one's options. Returns the descriptor, -E_AGAIN when the
 * queue is empty, -E_LIMIT when descriptors or memory are out, or -E_SYSTEM (that one connection is lost). */
int socket_accept(int listener, struct address *ret_peer) MUST_USE;
/* Starts a non-blocking connection. fast_open: where the server has given us a cookie before, nothing is sent until the
 * first write, which then goes with the SYN (RFC 7413).
 * *ret_open: it may be written to at once (a Unix socket, or an open that was put off); else see socket_connected().
 * Returns the descriptor, -E_CONNECT (refused at once, no route), -E_LIMIT (descriptors, ports) or -E_SYSTEM. */
int socket_connect(const struct address *to, const struct socket_options *o, bool fast_open, bool *ret_open) MUST_USE;
/* Opens a connection that was put off, without a byte: the peer may be the one who speaks first. Nothing happens to others. */
void socket_open_now(int fd);
/* Sets the options of a TCP socket, TCP_NODELAY among them. Buffers of a size of their own never become the kernel's again.
 * Returns 0, or -E_SYSTEM (errno) when the kernel refused one of them; the others are set. */
int socket_tune(int fd, const struct socket_options *o) MUST_USE;
/* After the descriptor became writable: 0 when the connection stands, -E_AGAIN, or -E_CONNECT. */
int socket_connected(int fd) MUST_USE;
/* Whether an idle connection is still good: nothing to read and not ended. One system call. */
bool socket_is_quiet(int fd);
/* The kernel takes no more than so many bytes that it has not sent yet (TCP_NOTSENT_LOWAT): what is written later can
 * still go before what would have been written now. */
void socket_limit_unsent(int fd, unsigned bytes);
/* Bytes that were written and that the peer's kernel has not confirmed yet; 0 also where that is unknown. */
size_t socket_unsent(int fd);

#endif
