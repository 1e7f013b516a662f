/* relay: a plain TCP relay, one thread, epoll: what accepting, polling and
 * copying alone cost, without TLS and without HTTP. The kernel's part of the floor.
 * usage: relay PORT BACKEND_PORT [BUFFER_KB] */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    int fd, hup;
    struct end *peer;
    char *b;
    size_t n, off;
};

static int ep, one = 1;
static size_t cap = 65536;
static char *shared; /* read here; kept in the end only while a write is held up */

static struct end *add(int fd)
{
    struct end *e = calloc(1, sizeof *e);
    struct epoll_event v = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = e };

    e->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &v);
    return e;
}

/* move e -> e->peer until one of them would block; -1 at the end */
static int pump(struct end *e)
{
    struct end *p = e->peer;

    for (;;) {
        ssize_t n;
        if (p->n) {
            n = send(p->fd, p->b + p->off, p->n, MSG_NOSIGNAL);
            if (n < 0)
                return errno == EAGAIN ? 0 : -1;
            p->off += n;
            if ((p->n -= n))
                return 0;
            free(p->b);
            p->b = NULL;
        }
        n = recv(e->fd, shared, cap, 0);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        if (!n)
            return -1;
        ssize_t w = send(p->fd, shared, n, MSG_NOSIGNAL);
        if (w < 0 && errno != EAGAIN)
            return -1;
        if (w < 0)
            w = 0;
        if (w < n) {
            p->b = shared;
            shared = malloc(cap);
            p->off = w;
            p->n = n - w;
            return 0;
        }
        if ((size_t)n < cap && !e->hup)
            return 0;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) }, d = a;
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event v = { .events = EPOLLIN }, ev[256];

    if (argc < 3)
        return 1;
    if (argc > 3)
        cap = atoi(argv[3]) * 1024;
    shared = malloc(cap);
    a.sin_port = htons(atoi(argv[1]));
    d.sin_port = htons(atoi(argv[2]));
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 65535))
        return perror("relay: bind"), 1;
    ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &v);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        struct end *dead[512];
        int nd = 0;
        for (int i = 0; i < n; i++) {
            struct end *e = ev[i].data.ptr;
            if (!e) {
                int fd, bd;
                while ((fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    bd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                    if (connect(bd, (void *)&d, sizeof d) && errno != EINPROGRESS) {
                        close(bd), close(fd);
                        continue;
                    }
                    struct end *c = add(fd), *b = add(bd);
                    c->peer = b;
                    b->peer = c;
                }
                continue;
            }
            if (e->fd < 0)
                continue;
            e->hup |= !!(ev[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
            if (pump(e) < 0 || pump(e->peer) < 0) {
                close(e->fd), close(e->peer->fd);
                e->fd = e->peer->fd = -1;
                dead[nd++] = e;
            }
        }
        while (nd--) {
            free(dead[nd]->peer->b), free(dead[nd]->peer);
            free(dead[nd]->b), free(dead[nd]);
        }
    }
}
