/* splice.c: bytes from one socket to another within the kernel: socket --> pipe --> socket.
 *
 * A pipe is filled only when it is empty, so that "nothing there" speaks of the socket, and belongs to the connection
 * that its content is for until that has left. Readers who stall hold their pipes, and so their number is limited. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tls_connection.h"

enum {
    PIPES_MOST = 32,         /* of a thread; content that would need more of them goes the usual way */
    PIPE_BYTES = 256 * 1024, /* what is on its way at once; where a user's pipes may hold less, it is less */
};

struct splice_pipe {
    struct splice_pipe *next; /* of those that are kept */
    int out, in;              /* its two ends: read from, written to */
    size_t bytes;
};

static void pipe_free(struct net *net, struct splice_pipe *p)
{
    close(p->out);
    close(p->in);
    free(p);
    net->pipe_count--;
}

/* An empty one; NULL: there are enough, or the kernel has none. */
static struct splice_pipe *pipe_get(struct net *net)
{
    struct splice_pipe *p = net->pipes;
    int ends[2];

    if (p) {
        net->pipes = p->next;
        return p;
    }
    if (net->pipe_count >= PIPES_MOST)
        return NULL;
    p = calloc(1, sizeof *p);
    if (!p || pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(p);
        return NULL;
    }
    net->pipe_count++;
    p->out = ends[0];
    p->in = ends[1];
    (void)fcntl(p->in, F_SETPIPE_SZ, PIPE_BYTES);
    return p;
}

static void pipe_put(struct net *net, struct splice_pipe *p)
{
    p->next = net->pipes;
    net->pipes = p;
}

void net_free_pipes(struct net *net)
{
    while (net->pipes) {
        struct splice_pipe *p = net->pipes;
        net->pipes = p->next;
        pipe_free(net, p);
    }
}

size_t connection_pipe_bytes(const struct connection *c)
{
    return c->pipe ? c->pipe->bytes : 0;
}

void connection_drop_pipe(struct connection *c)
{
    if (c->pipe)
        pipe_free(c->net, c->pipe);
    c->pipe = NULL;
}

int connection_drain_pipe(struct connection *c)
{
    struct splice_pipe *p = c->pipe;

    while (p->bytes) {
        ssize_t n;

        if (!c->writable)
            return -E_AGAIN;
        n = splice(p->out, NULL, c->watch.fd, NULL, p->bytes, SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            c->writable = false;
            return -E_AGAIN;
        }
        if (n <= 0) {
            c->was_reset |= n < 0 && errno == ECONNRESET;
            return -E_RESET;
        }
        p->bytes -= (size_t)n;
        c->wire_out += (uint64_t)n;
    }
    pipe_put(c->net, p);
    c->pipe = NULL;
    return 0;
}

/* From the socket into an empty pipe. Returns the bytes (> 0) or -E_AGAIN. */
static ssize_t fill(struct splice_pipe *p, struct connection *from, size_t most)
{
    ssize_t n;

    do
        n = splice(from->watch.fd, NULL, p->in, NULL, most < PIPE_BYTES ? most : PIPE_BYTES, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        from->readable = false;
    else if (n < 0) /* the kernel says it once, and then ends reading as if in order */
        from->was_reset |= errno == ECONNRESET;
    if (n <= 0)
        return -E_AGAIN;
    p->bytes = (size_t)n;
    from->wire_in += (uint64_t)n;
    from->data_in += (uint64_t)n;
    return n;
}

/* Whether what is written to its socket is sealed by nobody, or by the kernel, now or once all of ours has left. */
static bool takes_plain(const struct connection *c)
{
    return !connection_is_tls(c) || c->kernel_seals || tls_of(c)->kernel;
}

ssize_t connection_splice(struct connection *from, struct connection *to, size_t most)
{
    struct splice_pipe *p;
    ssize_t n;
    int error;

    if (!takes_plain(to) || connection_is_tls(from) || buffer_used(&from->in) || !from->readable || most == 0)
        return -E_AGAIN;
    error = connection_flush(to); /* with which its records may move to the kernel */
    if (error == -E_AGAIN)
        return 0;
    if (error || !to->writable || (connection_is_tls(to) && !to->kernel_seals) || connection_room(to) == 0)
        return -E_AGAIN;
    p = pipe_get(from->net);
    if (!p)
        return -E_AGAIN;
    n = fill(p, from, most);
    if (n < 0) {
        pipe_put(from->net, p);
        return n;
    }
    to->pipe = p;
    (void)!connection_drain_pipe(to); /* what went wrong is seen with the next call */
    return n;
}
