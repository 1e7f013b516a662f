#include "net/connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/connection_private.h"

enum {
    CONNECTIONS_KEPT = 256,  /* free ones of each kind, of a thread */
    DIRECT_SEND = 4096,      /* bytes: from here on a copy costs more than a system call of its own saves */
    FLOW_LEAST = 3 * 16384,  /* bytes in one call: what makes a stream one of full flow */
    PLAIN_LARGE = 4 * 16384, /* bytes of plaintext in one read: whole records, should they become such */
    PLAIN_BULK = 16 * PLAIN_LARGE / 4,
};

static const struct connection_ops plain_ops;

static void on_ready(struct watch *w, unsigned events)
{
    struct connection *c = CONTAINER_OF(w, struct connection, watch);

    if (events & WATCH_READ)
        c->readable = true;
    if (events & WATCH_WRITE)
        c->writable = true;
    if (events & WATCH_END)
        c->peer_ended = true;
    if (events & WATCH_HANGUP)
        c->hung_up = true;
    c->on_event(c);
}

void *connection_alloc(struct slab *slab, size_t bytes)
{
    struct connection *c;

    slab->object_bytes = bytes;
    slab->keep = CONNECTIONS_KEPT;
    c = slab_get(slab);
    if (c)
        c->slab = slab;
    return c;
}

void connection_unalloc(struct connection *c)
{
    if (c)
        slab_put(c->slab, c);
}

int connection_start(struct connection *c, struct net *net, int fd, const struct connection_ops *ops)
{
    c->ops = ops;
    c->net = net;
    c->watch = (struct watch){ fd, on_ready };
    return loop_watch(net->loop, &c->watch);
}

static void release(struct retired *r)
{
    connection_unalloc(CONTAINER_OF(r, struct connection, retired));
}

int connection_become(struct connection *from, struct connection *to, const struct connection_ops *ops)
{
    struct slab *slab = to->slab;

    *to = *from;
    to->slab = slab;
    to->ops = ops;
    to->retired = (struct retired){ 0 };
    to->in = (struct buffer){ 0 };
    from->out = (struct buffer){ 0 };
    from->ops->release(from);
    buffer_drop(from->net->pool, &from->in);
    from->closed = true;
    loop_retire(from->net->loop, &from->retired, release);
    if (loop_rewatch(to->net->loop, &from->watch, &to->watch) == 0)
        return 0;
    connection_close(to, true);
    return -E_SYSTEM;
}

int connection_reserve(struct connection *c, struct buffer *into)
{
    /* Only what is nearly empty is worth moving, or giving more room: a full buffer has a receiver who does not keep up. */
    if (buffer_used(into) <= TLS_RECORD_PLAIN + TLS_RECORD_OVERHEAD) {
        if (c->in_flow && (!c->receive_most || into != &c->in))
            return buffer_reserve_bulk(c->net->pool, into);
        if (into->start && buffer_room(into) < into->size / 2)
            buffer_compact(into);
    }
    return buffer_reserve(c->net->pool, into);
}

static size_t out_most(const struct connection *c)
{
    bool bulk = c->out.data ? c->out.size == BUFFER_BULK : buffer_pool_lends_bulk(c->net->pool);
    return c->out_flow && bulk ? BUFFER_BULK : BUFFER_LARGE;
}

size_t connection_out_room(const struct connection *c)
{
    size_t most = out_most(c), used = buffer_used(&c->out);
    return most > used ? most - used : 0;
}

int connection_reserve_out(struct connection *c)
{
    if (!c->out.data && c->out_flow)
        return buffer_reserve_bulk(c->net->pool, &c->out);
    return buffer_reserve(c->net->pool, &c->out);
}

/* From the socket to the buffer's room. A read that came back short has emptied the socket: a later byte raises a new
 * event, unless the peer had ended before. */
int connection_read_socket(struct connection *c, struct buffer *into, size_t limit)
{
    size_t room = buffer_room(into) < limit ? buffer_room(into) : limit;
    ssize_t n;

    if (into == &c->in) {
        size_t most = into->size == BUFFER_BULK ? PLAIN_BULK : PLAIN_LARGE;
        if (c->receive_most && most > c->receive_most)
            most = c->receive_most;
        room = room < most ? room : most;
    }
    if (!c->readable || room == 0)
        return -E_AGAIN;
    do
        n = recv(c->watch.fd, into->data + into->end, room, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        c->readable = false;
        return errno == EAGAIN ? -E_AGAIN : -E_RESET;
    }
    if (n == 0 && c->was_reset)
        return -E_RESET;
    if (n == 0)
        c->end_read = true;
    if ((size_t)n < room)
        c->readable = c->peer_ended && n > 0;
    c->in_flow = n >= FLOW_LEAST && (c->in_flow || (size_t)n == room);
    buffer_commit(into, (size_t)n);
    c->wire_in += (uint64_t)n;
    return (int)n;
}

/* One after the other, in one call: where there is but one, in one that has less to fetch from us. As send(). */
static ssize_t send_parts(int fd, struct bytes first, struct bytes second, int flags)
{
    struct iovec parts[] = { { (void *)first.at, first.size }, { (void *)second.at, second.size } };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = COUNT_OF(parts) };

    if (second.size == 0)
        return send(fd, first.at, first.size, flags);
    if (first.size == 0)
        return send(fd, second.at, second.size, flags);
    return sendmsg(fd, &message, flags);
}

/* Writes out and then data, in one call. Returns the bytes of data taken, or -E_RESET. */
ssize_t connection_write_socket(struct connection *c, struct bytes data)
{
    struct bytes waiting = buffer_content(&c->out);
    bool is_last = c->finish_asked && (c->finish_sealed || c->ops == &plain_ops) && !c->finished; /* FIN comes along */
    size_t from_out;
    ssize_t n;

    if (c->pipe) {
        int error = connection_drain_pipe(c);
        if (error)
            return error == -E_AGAIN ? 0 : error;
    }
    if (!c->writable || waiting.size + data.size == 0)
        return 0;
    do
        n = send_parts(c->watch.fd, waiting, data, MSG_NOSIGNAL | (is_last ? MSG_MORE : 0));
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN && errno != ENOTCONN &&
            errno != EINPROGRESS) { /* the last: a fast open without its cookie */
            c->was_reset |= errno == ECONNRESET;
            return -E_RESET;
        }
        c->writable = false;
        return 0;
    }
    if ((size_t)n < waiting.size + data.size)
        c->writable = false;
    c->out_flow = c->writable && n >= FLOW_LEAST;
    c->wire_out += (uint64_t)n;
    from_out = (size_t)n < waiting.size ? (size_t)n : waiting.size;
    if (from_out)
        buffer_consume(&c->out, from_out);
    c->held = 0;
    return n - (ssize_t)from_out;
}

void connection_local_address(const struct connection *c, struct address *ret_address)
{
    *ret_address = (struct address){ .size = sizeof ret_address->un };
    if (getsockname(c->watch.fd, &ret_address->any, &ret_address->size) < 0)
        ret_address->size = 0;
}

int connection_receive(struct connection *c)
{
    int n = c->ops->receive(c);

    if (n > 0)
        c->data_in += (uint64_t)n;
    else if (c->in.data && buffer_used(&c->in) == 0)
        buffer_drop(c->net->pool, &c->in);
    return n;
}

size_t connection_room(const struct connection *c)
{
    return c->finish_asked ? 0 : c->ops->room(c);
}

ssize_t connection_send(struct connection *c, struct bytes data)
{
    CHECK(!c->finish_asked);
    return c->ops->send(c, data);
}

ssize_t connection_pass(struct connection *c, struct bytes data)
{
    CHECK(!c->finish_asked);
    return c->ops->pass(c, data);
}

int connection_flush(struct connection *c)
{
    int error = c->ops->seal(c);

    if (error)
        return error;
    if (c->held && buffer_used(&c->out) == c->held && !c->finish_asked)
        return 0;
    if (connection_waits(c)) {
        if (connection_write_socket(c, BYTES_NONE) < 0)
            return -E_RESET;
        if (connection_waits(c))
            return -E_AGAIN;
        error = c->ops->seal(c); /* an end that had to wait for room */
        if (!error && buffer_used(&c->out) && connection_write_socket(c, BYTES_NONE) < 0)
            error = -E_RESET;
        if (error)
            return error;
        if (buffer_used(&c->out))
            return -E_AGAIN;
    }
    if (c->out.data)
        buffer_drop(c->net->pool, &c->out); /* the next one in line writes into the same warm storage */
    if (c->finish_asked && !c->finished) {
        c->finished = true;
        (void)shutdown(c->watch.fd, SHUT_WR);
    }
    return 0;
}

void connection_finish(struct connection *c)
{
    c->finish_asked = true;
}

bool connection_is_flushed(const struct connection *c)
{
    return !connection_waits(c) && !c->unsaid;
}

size_t connection_waiting(const struct connection *c)
{
    return buffer_used(&c->out) + connection_pipe_bytes(c);
}

void connection_settle(struct connection *c)
{
    if (c->held && !c->pending) { /* no company came */
        c->held = 0;
        (void)!connection_flush(c); /* what went wrong is seen with the next call */
    }
    buffer_settle(c->net->pool, &c->in);
    c->ops->settle(c);
}

void connection_close(struct connection *c, bool reset)
{
    const struct linger at_once = { .l_onoff = 1 };

    if (!c || c->closed)
        return;
    c->closed = true;
    c->ops->release(c);
    connection_drop_pipe(c);
    buffer_drop(c->net->pool, &c->in);
    buffer_drop(c->net->pool, &c->out);
    loop_forget(&c->watch);
    if (reset)
        (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->watch.fd);
    loop_retire(c->net->loop, &c->retired, release);
}

int connection_discard(struct connection *c)
{
    int n;

    buffer_drop(c->net->pool, &c->in);
    if (!c->readable)
        return -E_AGAIN;
    n = buffer_reserve(c->net->pool, &c->in);
    if (n == 0)
        n = c->kernel_opens ? connection_kernel_discard(c) : connection_read_socket(c, &c->in, SIZE_MAX);
    buffer_drop(c->net->pool, &c->in);
    return n;
}

bool connection_has_more(const struct connection *c)
{
    return c->readable || buffer_used(&c->in) || c->ops->holds(c);
}

/* Plain connections: received into `in`, sent from the owner's memory. */

static int plain_receive(struct connection *c)
{
    int n;

    if (!c->readable)
        return -E_AGAIN;
    n = connection_reserve(c, &c->in);
    return n ? n : connection_read_socket(c, &c->in, SIZE_MAX);
}

size_t connection_plain_room(const struct connection *c)
{
    return BUFFER_LARGE - buffer_used(&c->out);
}

ssize_t connection_plain_send(struct connection *c, struct bytes data)
{
    size_t direct = 0, rest;
    int error;

    if (data.size >= DIRECT_SEND || data.size > connection_plain_room(c)) {
        ssize_t n = connection_write_socket(c, data);
        if (n < 0)
            return n;
        direct = (size_t)n;
    }
    rest = data.size - direct;
    if (rest > connection_plain_room(c)) /* more than was promised: the caller keeps it and waits */
        return (ssize_t)direct;
    if (rest) {
        error = buffer_append(c->net->pool, &c->out, bytes_from(data, direct));
        if (error)
            return error;
    }
    return (ssize_t)data.size;
}

static int plain_seal(struct connection *c)
{
    (void)c;
    return 0;
}

static bool plain_holds(const struct connection *c)
{
    (void)c;
    return false;
}

static void plain_settle(struct connection *c)
{
    buffer_settle(c->net->pool, &c->out);
}

static void plain_release(struct connection *c)
{
    (void)c;
}

static const struct connection_ops plain_ops = {
    plain_receive,           plain_holds, connection_plain_room, connection_plain_send,
    connection_write_socket, plain_seal,  plain_settle,          plain_release,
};

ssize_t connection_send_now(struct connection *c, struct bytes data)
{
    CHECK(!c->finish_asked);
    return c->ops == &plain_ops ? connection_write_socket(c, data) : c->ops->send(c, data);
}

struct connection *connection_back_to_plain(struct connection *tls)
{
    struct connection *c = connection_alloc(&tls->net->connections, sizeof *c);
    struct buffer received = connection_take_cipher(tls);

    if (!c || connection_become(tls, c, &plain_ops) < 0) {
        buffer_drop(tls->net->pool, &received);
        if (!c)
            connection_close(tls, true);
        return NULL;
    }
    c->in = received;
    return c;
}

struct connection *connection_new(struct net *net, int fd)
{
    struct connection *c = connection_alloc(&net->connections, sizeof *c);

    if (c && connection_start(c, net, fd, &plain_ops) == 0)
        return c;
    connection_unalloc(c);
    close(fd);
    return NULL;
}
