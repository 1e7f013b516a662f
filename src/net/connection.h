/* connection.h: a duplex stream of bytes over a socket, plain or under TLS.
 *
 *     socket --> connection_receive() --> in --> the owner, who consumes
 *     the owner --> connection_send() [--> staged --> sealed] --> out --> connection_flush() --> socket
 *
 * The owner pulls: on_event says only that something may be possible again; the owner then receives, sends, flushes.
 * Back-pressure follows: who does not receive lets the socket fill up, and connection_room() tells how much may be
 * sent. Small pieces sent in one turn are collected and leave together at connection_flush(), in one record where there
 * are records: a response's head and its short body cost one system call. Large pieces are not collected: a plain
 * connection writes them straight from the owner's memory.
 *
 * Bulk. Who is read from or written to at full speed has buffers of BUFFER_BULK, four times the usual, because fewer and
 * larger calls are the cheapest: a read that filled its buffer makes the next one larger, a write that went as a whole
 * lets more be collected. A short read, or a socket that did not take all, takes that back. Idle or stalled, a
 * connection holds what it has content for.
 *
 * Content that nobody has to look at can go from one socket to another within the kernel: connection_splice().
 *
 * One thread. The memory of a closed connection stays until the end of the loop's turn. */
#ifndef NET_CONNECTION_H
#define NET_CONNECTION_H

#include <sys/types.h>

#include "base/address.h"
#include "net/net.h"
#include "tls/session.h"

struct connection;

struct connection_ops {
    int (*receive)(struct connection *c);
    bool (*holds)(const struct connection *c); /* received bytes that receive has not given out */
    size_t (*room)(const struct connection *c);
    ssize_t (*send)(struct connection *c, struct bytes data);
    ssize_t (*pass)(struct connection *c, struct bytes data);
    int (*seal)(struct connection *c);   /* brings what was staged, and the end, to out; 0 or an error */
    void (*settle)(struct connection *c); /* gives back the storage of out, and of its own */
    void (*release)(struct connection *c);
};

struct connection {
    const struct connection_ops *ops;
    struct net *net;
    struct slab *slab; /* where its memory goes back to */
    struct watch watch;
    struct retired retired;
    void (*on_event)(struct connection *c); /* the owner's; may close the connection */
    void *owner;
    struct buffer in;   /* plaintext that was received and not consumed */
    struct buffer out;  /* bytes for the socket */
    uint32_t held;      /* of these, at the front, those that need not leave alone: they go with others, or when the owner settles */
    uint32_t receive_most; /* the owner's: plain, so many bytes at most are received in one call; 0: what there is room for */
    struct splice_pipe *pipe; /* what came by connection_splice() and did not leave yet: it goes before out; NULL: nothing */
    uint64_t wire_in, wire_out; /* bytes of the socket so far */
    uint64_t data_in;   /* bytes that connection_receive() has given: what is TLS's own (tickets, alerts) is not among them */
    bool pending;       /* TLS: the handshake waits for work that was handed in: what is in out leaves with what comes of it */
    bool in_flow;       /* the last read filled a large buffer: the next ones are given more room */
    bool out_flow;      /* the socket took a full buffer at once: the next ones may be larger */
    bool readable;      /* the socket may have more */
    bool writable;      /* the socket may take more */
    bool peer_ended;    /* the kernel said so: the next short read is not the last */
    bool end_read;      /* and a read has said it: no event tells it again to an owner who comes later */
    bool hung_up;       /* reset, or both directions have ended */
    bool was_reset;     /* a write was told so; the kernel says it once, and then ends reading as if in order */
    bool finish_asked;  /* connection_finish() was called */
    bool finish_sealed; /* its close_notify is in out (TLS) */
    bool finished;      /* and everything has left, FIN included */
    bool unsaid;        /* what TLS itself has to say and the kernel's records have no room for now */
    bool kernel_seals, kernel_opens; /* TLS: whose sending, or receiving, has moved to the kernel */
    bool closed;
};

/* A plain connection over an accepted or connecting socket, which it owns from here on, also when it fails (NULL:
 * memory or descriptors are out; the socket was closed). on_event is called when it connects. */
struct connection *connection_new(struct net *net, int fd);

/* What a TLS server's connection asks its owner. */
struct tls_server_hooks {
    /* The ClientHello is there: returns the context to speak with, and what its tickets are bound to (until the call's end), or
     * NULL with the alert to send and the error why.
     * -E_PASSED_ON: no alert; connection_receive() says so, and the owner calls connection_back_to_plain(). */
    struct tls_context *(*choose)(struct connection *c, const struct client_hello *hello, struct bytes *ret_binding,
                                  uint8_t *ret_alert, int *ret_error);
    /* The handshake is complete; called once, within connection_receive(). */
    void (*established)(struct connection *c);
};
struct connection *connection_new_tls_server(struct net *net, int fd, const struct tls_server_hooks *hooks);
/* TLS begins on a connection that was plain: what it has received is TLS's, what it has to send leaves before. Owner and
 * on_event carry over; the old object is gone. NULL (memory, or the kernel): the socket is closed too. Something may be
 * there to receive at once: connection_has_more(). */
struct connection *connection_start_tls_server(struct connection *plain, const struct tls_server_hooks *hooks);
/* The opposite, after choose() left it to somebody else: all that came, from its first byte on, is in `in`. */
struct connection *connection_back_to_plain(struct connection *tls);
/* TLS begins, as a client, on a connection that stands: what was sent before leaves in clear before it. Takes the session
 * over. Owner and on_event carry over; the old object is gone. NULL (memory, or the kernel): the socket is closed too.
 * Then connection_handshake() until it says 0. */
struct connection *connection_start_tls_client(struct connection *plain, struct tls_session *session);
/* A client's handshake, as far as it goes now. 0: it is complete, and connection_receive() and the others work; -E_AGAIN:
 * on_event follows; -E_TRUNCATED, -E_RESET, or the session's errors: see tls_session_failure(). */
int connection_handshake(struct connection *c) MUST_USE;
bool connection_is_tls(const struct connection *c);
/* The session, or NULL before it was chosen, when nothing is left to ask it (tls_session_is_spent), and for plain connections. */
struct tls_session *connection_tls(const struct connection *c);
/* TLS: the alert that the connection itself sent before there was a session; -1: none. */
int connection_alert(const struct connection *c);

/* Our own end's address, as the kernel knows it; size 0: it does not. */
void connection_local_address(const struct connection *c, struct address *ret_address);

/* Receives once, into c->in. Returns the bytes of plaintext added (> 0), 0 when the peer has ended its direction in
 * order (FIN, or close_notify), -E_AGAIN (nothing there, or the handshake goes on, or c->in is full), -E_RESET,
 * -E_TRUNCATED (TLS without close_notify), or the handshake's errors. An error is final for this direction. */
int connection_receive(struct connection *c) MUST_USE;
/* Whether there may be something to receive or to consume without an event: ask before waiting for one. */
bool connection_has_more(const struct connection *c);
/* Reads what came once more and drops it unseen, and what waited in `in`: for a connection that nobody listens to any
 * more. Returns the socket's bytes (> 0), 0 when the peer has ended its direction, -E_AGAIN, -E_RESET, -E_MEMORY. */
int connection_discard(struct connection *c) MUST_USE;
/* Bytes that connection_send will certainly take whole now. */
size_t connection_room(const struct connection *c);
/* Takes from data what it can; all of it when data.size <= connection_room(). Returns the bytes taken (0: wait for
 * on_event), or -E_RESET, -E_MEMORY, -E_CRYPTO. What was taken may leave only with connection_flush(). */
ssize_t connection_send(struct connection *c, struct bytes data) MUST_USE;
/* As connection_send, for bytes that only pass through and are many: copies none of them. A plain connection takes what
 * its socket takes now, and keeps nothing back; under TLS they are sealed straight from the owner's memory, and leave
 * with connection_flush(). What was sent before leaves before. Returns the bytes taken (0: flush, or wait for on_event)
 * or an error. */
ssize_t connection_pass(struct connection *c, struct bytes data) MUST_USE;
/* The same, but of a plain connection: straight to the socket, behind what was collected; what it does not take stays the
 * caller's. */
ssize_t connection_send_now(struct connection *c, struct bytes data) MUST_USE;
/* Content that only passes through, from a plain connection's socket to one that is plain or whose records the kernel seals,
 * within the kernel: `most` bytes at most. Returns those that were received (> 0; what does not leave at once is `to`'s,
 * and is lost with it), 0: `to` takes nothing now, wait for on_event; or -E_AGAIN: nothing goes this way now, whatever the
 * reason, and the calls above say what there is. Errors and ends are told by those, too. */
ssize_t connection_splice(struct connection *from, struct connection *to, size_t most) MUST_USE;
/* Writes as much as the socket takes. Returns 0 when nothing is left, -E_AGAIN (on_event follows), -E_RESET, ... */
int connection_flush(struct connection *c) MUST_USE;
/* Ends our direction after what was sent: close_notify and FIN, in one packet with the last bytes where it can be. Takes effect
 * with connection_flush(). */
void connection_finish(struct connection *c);
/* Whether nothing waits to be written. */
bool connection_is_flushed(const struct connection *c);
/* Bytes that do, but for those that TLS has not sealed yet. */
size_t connection_waiting(const struct connection *c);
/* To be called when the connection has nothing to do for now: gives storage back. */
void connection_settle(struct connection *c);
/* At once, whatever waits; accepts NULL. The socket is closed; with reset it ends with RST, so that the peer cannot take
 * a broken message for a whole one. */
void connection_close(struct connection *c, bool reset);

#endif
