/* socket.h: the few socket calls of the worker, with the options that its sockets get. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/address.h"

/* The next connection of a listening socket, non-blocking, with TCP_NODELAY. Returns the descriptor, -E_AGAIN when the
 * queue is empty, -E_LIMIT when descriptors or memory are out, or -E_SYSTEM (that one connection is lost). */
int socket_accept(int listener, struct address *ret_peer) MUST_USE;
/* Starts a non-blocking connection with TCP_NODELAY. Returns the descriptor, -E_CONNECT (refused at once, no route),
 * -E_LIMIT (descriptors, ports) or -E_SYSTEM. */
int socket_connect(const struct address *to) MUST_USE;
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
