/* backend: a plain HTTP/1.1 keep-alive server cheap enough never to be the
 * bottleneck of a proxy benchmark. One thread, epoll.
 *   GET  /0 /1k /10k /100k /1m /10m /100m   a fixed body of that size
 *   POST anything with Content-Length       body read and dropped, its length answered as X-Received
 * usage: backend PORT */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHUNK (256 * 1024)
static char body[CHUNK], sink[CHUNK];

struct conn {
    int fd, close, writing;
    size_t in_len;           /* bytes of request head held in `in` */
    unsigned long long skip; /* request body bytes still to drop */
    char head[200];
    size_t head_len, head_off;
    unsigned long long left; /* response body bytes still to send */
    int pending;             /* response to send once the body is in */
    char in[8192];
};

static int ep;

static void watch(struct conn *c, int out)
{
    struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c };

    if (c->writing == out)
        return;
    c->writing = out;
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static unsigned long long size_of(const char *path)
{
    char *end;
    unsigned long long n = strtoull(path, &end, 10);

    return *end == 'k' ? n << 10 : *end == 'm' ? n << 20 : n;
}

/* 1: all sent; 0: would block; -1: broken */
static int send_some(struct conn *c)
{
    while (c->head_off < c->head_len || c->left) {
        struct iovec v[2] = {
            { c->head + c->head_off, c->head_len - c->head_off },
            { body, c->left < CHUNK ? c->left : CHUNK },
        };
        struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN ? (watch(c, 1), 0) : -1;
        size_t h = c->head_len - c->head_off;
        if ((size_t)n < h)
            h = n;
        c->head_off += h;
        c->left -= n - h;
    }
    c->head_off = c->head_len = 0;
    watch(c, 0);
    return 1;
}

/* parse one request head at in[0..len); returns bytes used, 0 if incomplete */
static size_t parse(struct conn *c)
{
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4), *p, *sp;

    char received[48] = "";

    if (!end)
        return 0;
    *end = 0;
    sp = strchr(c->in, ' ');
    unsigned long long n = sp ? size_of(sp + 2) : 0;
    for (p = c->in; (p = strstr(p, "\r\n"));) {
        p += 2;
        if (!strncasecmp(p, "content-length:", 15))
            c->skip = strtoull(p + 15, NULL, 10);
        else if (!strncasecmp(p, "connection: close", 17))
            c->close = 1;
    }
    c->left = n;
    if (c->skip)
        snprintf(received, sizeof received, "X-Received: %llu\r\n", c->skip);
    c->head_len = snprintf(c->head, sizeof c->head,
                           "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %llu\r\n%s%s\r\n", n,
                           received, c->close ? "Connection: close\r\n" : "");
    c->head_off = 0;
    c->pending = 1;
    return end + 4 - c->in;
}

/* 0: go on; -1: close */
static int serve(struct conn *c)
{
    for (;;) {
        if (c->pending && !c->skip) {
            int r = send_some(c);
            if (r <= 0)
                return r;
            c->pending = 0;
            if (c->close)
                return -1;
        }
        if (c->skip) {
            unsigned long long want = c->skip < CHUNK ? c->skip : CHUNK;
            ssize_t n = recv(c->fd, sink, want, 0);
            if (n < 0)
                return errno == EAGAIN ? 0 : -1;
            if (!n)
                return -1;
            c->skip -= n;
            continue;
        }
        size_t used = c->in_len ? parse(c) : 0;
        if (!used) {
            ssize_t n;
            if (c->in_len == sizeof c->in)
                return -1;
            n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
            if (n < 0)
                return errno == EAGAIN ? 0 : -1;
            if (!n)
                return -1;
            c->in_len += n;
            if (!(used = parse(c)))
                continue;
        }
        size_t rest = c->in_len - used, eat = rest < c->skip ? rest : c->skip;
        c->skip -= eat;
        memmove(c->in, c->in + used + eat, rest - eat);
        c->in_len = rest - eat;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(atoi(argc > 1 ? argv[1] : "8080")),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct rlimit rl;
    int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event e = { .events = EPOLLIN }, ev[256];

    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    signal(SIGPIPE, SIG_IGN);
    memset(body, 'x', sizeof body);
    setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 65535))
        return perror("backend: bind"), 1;
    ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    c = malloc(sizeof *c);
                    memset(c, 0, offsetof(struct conn, in));
                    c->fd = fd;
                    e = (struct epoll_event){ .events = EPOLLIN, .data.ptr = c };
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
                }
            } else if (serve(c) < 0) {
                close(c->fd);
                free(c);
            }
        }
    }
}
