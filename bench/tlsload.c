/* tlsload: a light TLS load generator. One thread, epoll, non-blocking.
 * Works with any library that speaks the OpenSSL API (OpenSSL, AWS-LC).
 *
 *   conn  one connection per operation: handshake, one GET (or none), close
 *   keep  keep-alive requests on a fixed set of connections
 *   idle  open connections, one GET on each, say READY, hold until stdin ends; at a newline, one more GET on each and
 *         say how many were HELD
 *
 * -m MODE  -p PORT  -c CONNECTIONS  -n OPERATIONS  -u PATH ("" = handshake only)
 * -b BYTES upload: POST a body of that size   -r resume sessions (conn mode)
 * -R RATE  open loop: operations a second, latency counted from the due time
 * -B       bursts (conn mode): all connections connect, then send their ClientHellos at one moment, as near to it as one
 *          thread can; the next burst when all of them are done. Latency is counted from that moment
 * -V 1.2|1.3  -k TLS1.2_CIPHERS  -K TLS1.3_SUITES  -g GROUPS  -s SIGALGS  -P no TLS: plain TCP
 * Every answer is checked: status 200, the length announced and that many bytes; for an upload, that the backend says
 * X-Received with its length.
 * Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum state { FREE, CONNECT, READY, HANDSHAKE, IDLE, SEND, RECV, DRAIN };

struct conn {
    int fd, slot, events;
    enum state st;
    SSL *ssl;
    SSL_SESSION *sess;
    double t0;                   /* when the operation began, or was due */
    size_t sent;                 /* request head bytes sent */
    unsigned long long up, left; /* upload left; response body left */
    int in_body, hlen;
    char h[2048]; /* response head */
};

static int mode_conn, mode_idle, port, nconn = 64, resume, plain, ep;
static int bursts, burst_size, burst_ready; /* connections of the burst in hand; those of them that are connected */
static long nops = 1000, started, done, errors, resumed;
static double rate, tstart;
static const char *path = "/0";
static unsigned long long upload, bytes;
static char req[512], buf[65536], proto[128];
static size_t req_len;
static float *lat;
static SSL_CTX *ctx;
static struct conn *conns;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void watch(struct conn *c, int ev)
{
    struct epoll_event e = { .events = ev, .data.ptr = c };

    if (ev == c->events)
        return;
    epoll_ctl(ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
    c->events = ev;
}

static int new_session(SSL *ssl, SSL_SESSION *s)
{
    struct conn *c = SSL_get_app_data(ssl);

    if (!resume)
        return 0;
    SSL_SESSION_free(c->sess);
    c->sess = s;
    return 1;
}

static void drop(struct conn *c)
{
    if (c->ssl) { /* else OpenSSL spoils the session */
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(c->ssl);
    }
    if (c->fd >= 0)
        close(c->fd);
    c->ssl = NULL;
    c->fd = -1;
    c->st = FREE;
}

static void begin_connect(struct conn *c)
{
    struct sockaddr_in a = { .sin_family = AF_INET }, d = a;
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    c->events = 0;
    c->hlen = c->in_body = 0;
    /* many source addresses, so that no port runs out */
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + c->slot % 250);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind(c->fd, (void *)&a, sizeof a);
    d.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    d.sin_port = htons(port);
    if (connect(c->fd, (void *)&d, sizeof d) && errno != EINPROGRESS) {
        perror("tlsload: connect");
        exit(1);
    }
    c->st = CONNECT;
    watch(c, EPOLLOUT);
    if (plain)
        return;
    c->ssl = SSL_new(ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_app_data(c->ssl, (void *)c);
    SSL_set_tlsext_host_name(c->ssl, "localhost");
    SSL_set_connect_state(c->ssl);
    if (c->sess) { /* a copy: a session that was used once is not used again, and not every server sends a new ticket */
        SSL_SESSION *copy = SSL_SESSION_dup(c->sess);
        SSL_set_session(c->ssl, copy);
        SSL_SESSION_free(copy);
    }
}

static void finish_op(struct conn *c, int ok)
{
    if (ok)
        lat[done] = (now() - c->t0) * 1e6;
    else if (++errors < 4) {
        fprintf(stderr, "tlsload: operation failed in state %d: ", c->st);
        ERR_print_errors_fp(stderr);
        fputc('\n', stderr);
    }
    done++;
}

/* a new operation on c, if one is left; due: its scheduled time or 0 */
static void begin_op(struct conn *c, double due)
{
    if (started >= nops) {
        if (c->st == IDLE)
            watch(c, EPOLLIN);
        return;
    }
    started++;
    c->t0 = due ? due : now();
    c->sent = 0;
    c->up = upload;
    c->hlen = c->in_body = 0;
    if (c->st == FREE)
        begin_connect(c);
    else
        c->st = SEND;
}

static void step(struct conn *c);

/* As many connections as there are, or as operations are left. */
static void begin_burst(void)
{
    burst_ready = 0;
    burst_size = nops - started < nconn ? (int)(nops - started) : nconn;
    for (int i = 0; i < burst_size; i++)
        begin_op(&conns[i], 0);
}

/* All are connected: their ClientHellos are made, which takes a while, and then sent one directly behind the other. */
static void send_hellos(void)
{
    double t;

    for (int i = 0; i < burst_size; i++) {
        SSL_set0_wbio(conns[i].ssl, BIO_new(BIO_s_mem()));
        SSL_do_handshake(conns[i].ssl);
    }
    t = now();
    for (int i = 0; i < burst_size; i++) {
        struct conn *c = &conns[i];
        char *hello;
        long n = BIO_get_mem_data(SSL_get_wbio(c->ssl), &hello);

        if (send(c->fd, hello, n, MSG_NOSIGNAL) != n)
            perror("tlsload: send"); /* the handshake will fail */
        c->t0 = t;
    }
    for (int i = 0; i < burst_size; i++) {
        SSL_set0_wbio(conns[i].ssl, BIO_new_socket(conns[i].fd, BIO_NOCLOSE));
        conns[i].st = HANDSHAKE;
    }
}

static int put(struct conn *c, const void *data, size_t n)
{
    return plain ? (int)send(c->fd, data, n, MSG_NOSIGNAL) : SSL_write(c->ssl, data, n);
}

static int get(struct conn *c, void *to, size_t n)
{
    return plain ? (int)recv(c->fd, to, n, 0) : SSL_read(c->ssl, to, n);
}

static int io(struct conn *c, int r) /* 1: again later, 0: broken or end */
{
    if (plain) {
        if (r < 0 && errno == EAGAIN)
            return watch(c, c->st == SEND ? EPOLLOUT : EPOLLIN), 1;
        return 0;
    }
    int e = SSL_get_error(c->ssl, r);

    if (e == SSL_ERROR_WANT_READ)
        return watch(c, EPOLLIN), 1;
    if (e == SSL_ERROR_WANT_WRITE)
        return watch(c, EPOLLOUT), 1;
    return 0;
}

static void end_op(struct conn *c, int ok)
{
    if (mode_conn && resume && ok && !plain && SSL_session_reused(c->ssl))
        resumed++;
    finish_op(c, ok);
    if (mode_conn || !ok)
        drop(c);
    else {
        c->st = IDLE;
        if (mode_idle)
            return watch(c, EPOLLIN);
    }
}

/* whether the backend says that the whole upload arrived */
static int received_all(const char *head)
{
    const char *field = strcasestr(head, "\r\nx-received:");

    return field && strtoull(field + 13, NULL, 10) == upload;
}

/* run c until it must wait */
static void step(struct conn *c)
{
    int r;

    ERR_clear_error();
    for (;;)
        switch (c->st) {
        case FREE:
        case IDLE:
            if (!rate && !mode_idle && !bursts && started < nops) {
                begin_op(c, 0);
                if (c->st == CONNECT)
                    return;
                continue;
            }
            if (c->st == IDLE) { /* drain tickets, notice a close */
                r = get(c, buf, sizeof buf);
                if (r <= 0 && !io(c, r))
                    drop(c);
            }
            return;
        case CONNECT:
            if (bursts) {
                c->st = READY;
                watch(c, EPOLLIN);
                if (++burst_ready == burst_size)
                    send_hellos();
                return;
            }
            c->st = plain ? SEND : HANDSHAKE;
            continue;
        case READY: /* until all of its burst are */
            return;
        case HANDSHAKE:
            r = SSL_do_handshake(c->ssl);
            if (r != 1) {
                if (io(c, r))
                    return;
                end_op(c, 0);
                continue;
            }
            if (!*proto)
                snprintf(proto, sizeof proto, "%s %s", SSL_get_version(c->ssl), SSL_get_cipher(c->ssl));
            c->st = SEND;
            if (mode_conn && !*path) {
                SSL_shutdown(c->ssl);
                shutdown(c->fd, SHUT_WR);
                c->st = DRAIN;
            }
            continue;
        case SEND:
            while (c->sent < req_len || c->up) {
                if (c->sent < req_len) {
                    r = put(c, req + c->sent, req_len - c->sent);
                    if (r > 0)
                        c->sent += r;
                } else {
                    r = put(c, buf, c->up < 16384 ? c->up : 16384);
                    if (r > 0)
                        c->up -= r, bytes += r;
                }
                if (r <= 0) {
                    if (io(c, r))
                        return;
                    end_op(c, 0);
                    break;
                }
            }
            if (c->st == SEND)
                c->st = RECV;
            continue;
        case RECV:
            r = c->in_body ? get(c, buf, sizeof buf) : get(c, c->h + c->hlen, sizeof c->h - 1 - c->hlen);
            if (r <= 0) {
                if (io(c, r))
                    return;
                end_op(c, 0);
                continue;
            }
            if (!c->in_body) {
                char *e, *l;
                c->h[c->hlen += r] = 0;
                if (!(e = strstr(c->h, "\r\n\r\n"))) {
                    if (c->hlen + 1 < (int)sizeof c->h)
                        continue;
                    end_op(c, 0);
                    continue;
                }
                l = strcasestr(c->h, "\r\ncontent-length:");
                if (!l || strncmp(c->h + 9, "200", 3) || (upload && !received_all(c->h))) {
                    c->h[64] = 0;
                    fprintf(stderr, "tlsload: bad answer: %s\n", c->h);
                    end_op(c, 0);
                    continue;
                }
                c->left = strtoull(l + 17, NULL, 10);
                c->in_body = 1;
                r = c->hlen - (e + 4 - c->h);
            }
            if ((unsigned long long)r > c->left) {
                fprintf(stderr, "tlsload: more than the announced length\n");
                end_op(c, 0);
                continue;
            }
            c->left -= r;
            bytes += r;
            if (!c->left) {
                if (mode_conn)
                    c->st = DRAIN;
                else
                    end_op(c, 1);
            }
            continue;
        case DRAIN: /* wait for the peer to close */
            r = get(c, buf, sizeof buf);
            if (r > 0)
                continue;
            if (io(c, r))
                return;
            end_op(c, 1);
            continue;
        }
}

static void loop(long until)
{
    struct epoll_event ev[256];
    double due = now();

    while (done < until) {
        struct timespec ts = { 1, 0 };
        if (bursts && done == started && started < nops)
            begin_burst();
        if (rate) {
            double t = now();
            while (due <= t && started < nops) {
                struct conn *c = NULL;
                static int k;
                for (int i = 0; i < nconn && !c; i++, k = (k + 1) % nconn)
                    if (conns[k].st == (mode_conn ? FREE : IDLE))
                        c = &conns[k];
                if (!c)
                    break; /* all busy: the operation waits, its clock runs */
                begin_op(c, due);
                if (c->st == SEND)
                    step(c);
                due += 1 / rate;
            }
            double w = due > t ? due - t : 0.0005;
            ts.tv_sec = w;
            ts.tv_nsec = (w - ts.tv_sec) * 1e9;
        }
        int n = epoll_pwait2(ep, ev, 256, &ts, NULL);
        if (!n && !rate && now() - tstart > 300) {
            fprintf(stderr, "tlsload: stuck at %ld of %ld\n", done, until);
            exit(2);
        }
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            step(c);
        }
    }
}

/* one more request on each idle connection, a few at a time; how many of them were open still */
static long ask_again(void)
{
    started = done = errors = 0;
    for (int i = 0; i < nconn; i++) {
        if (conns[i].st == IDLE) {
            begin_op(&conns[i], 0);
            step(&conns[i]);
        } else {
            errors++, done++;
        }
        if (i % 64 == 63)
            loop(i - 32);
    }
    loop(nconn);
    return nconn - errors;
}

static int cmp(const void *a, const void *b)
{
    return (*(float *)a > *(float *)b) - (*(float *)a < *(float *)b);
}

int main(int argc, char **argv)
{
    const char *groups = NULL, *sigalgs = NULL, *c12 = NULL, *c13 = NULL;
    int o, ver = TLS1_3_VERSION, mode_keep = 0;
    struct rlimit rl;
    struct rusage ru;

    while ((o = getopt(argc, argv, "m:p:c:n:u:b:rR:BV:k:K:g:s:P")) > 0)
        switch (o) {
        case 'm':
            mode_conn = *optarg == 'c';
            mode_idle = *optarg == 'i';
            mode_keep = *optarg == 'k';
            break;
        case 'p':
            port = atoi(optarg);
            break;
        case 'c':
            nconn = atoi(optarg);
            break;
        case 'n':
            nops = atol(optarg);
            break;
        case 'u':
            path = optarg;
            break;
        case 'b':
            upload = strtoull(optarg, NULL, 10);
            break;
        case 'P':
            plain = 1;
            break;
        case 'r':
            resume = 1;
            break;
        case 'R':
            rate = atof(optarg);
            break;
        case 'B':
            bursts = 1;
            break;
        case 'V':
            ver = !strcmp(optarg, "1.2") ? TLS1_2_VERSION : TLS1_3_VERSION;
            break;
        case 'k':
            c12 = optarg;
            break;
        case 'K':
            c13 = optarg;
            break;
        case 'g':
            groups = optarg;
            break;
        case 's':
            sigalgs = optarg;
            break;
        default:
            return 1;
        }
    if (!port || mode_conn + mode_idle + mode_keep != 1 || (bursts && (!mode_conn || plain || rate)))
        return fprintf(stderr, "tlsload: need -p and -m conn|keep|idle; -B goes with conn alone\n"), 1;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    signal(SIGPIPE, SIG_IGN);
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, ver);
    SSL_CTX_set_max_proto_version(ctx, ver);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_session);
    if ((c12 && !SSL_CTX_set_cipher_list(ctx, c12)) || (c13 && !SSL_CTX_set_ciphersuites(ctx, c13)) ||
        (groups && !SSL_CTX_set1_groups_list(ctx, groups)) || (sigalgs && !SSL_CTX_set1_sigalgs_list(ctx, sigalgs)))
        return ERR_print_errors_fp(stderr), 1;
    req_len = snprintf(req, sizeof req, "%s %s HTTP/1.1\r\nHost: localhost\r\n", upload ? "POST" : "GET", path);
    if (upload)
        req_len += sprintf(req + req_len, "Content-Length: %llu\r\n", upload);
    req_len += sprintf(req + req_len, "%s\r\n", mode_conn ? "Connection: close\r\n" : "");
    if (mode_idle)
        nops = nconn;
    lat = calloc(nops + nconn, sizeof *lat);
    conns = calloc(nconn, sizeof *conns);
    ep = epoll_create1(0);
    tstart = now();

    /* warm up: every slot runs one operation outside of the count (keep: its connection; resume: its session; conn: it
     * also warms the server) */
    double keep_rate = rate;
    long keep_nops = nops;
    rate = 0;
    nops = nconn;
    for (int i = 0; i < nconn; i++) {
        conns[i].slot = i;
        conns[i].fd = -1;
        if (mode_idle && i % 64 == 63)
            loop(i - 32);
        if (!bursts)
            begin_op(&conns[i], 0);
    }
    loop(nconn);
    if (mode_idle) {
        if (errors)
            return fprintf(stderr, "tlsload: %ld errors\n", errors), 1;
        printf("READY\n");
        fflush(stdout);
        if (read(0, buf, 1) < 1)
            return 0;
        printf("%ld HELD\n", ask_again());
        return 0;
    }
    if (errors == nconn)
        return fprintf(stderr, "tlsload: nothing works\n"), 1;
    printf("{\"proto\": \"%s\", ", proto);
    rate = keep_rate;
    nops = keep_nops;
    started = done = errors = resumed = 0;
    bytes = 0;
    if (isatty(0) == 0) { /* the harness reads the server's counters here */
        fprintf(stderr, "WARM\n");
        if (read(0, buf, 1) < 0)
            return 1;
    }
    tstart = now();
    getrusage(RUSAGE_SELF, &ru);
    double cpu0 = ru.ru_utime.tv_sec + ru.ru_stime.tv_sec + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6;
    if (!rate && !bursts)
        for (int i = 0; i < nconn && started < nops; i++)
            step(&conns[i]);
    loop(nops);
    double t = now() - tstart;
    getrusage(RUSAGE_SELF, &ru);
    double cpu = ru.ru_utime.tv_sec + ru.ru_stime.tv_sec + (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6 - cpu0;
    qsort(lat, nops, sizeof *lat, cmp);
    printf("\"ops\": %ld, \"errors\": %ld, \"resumed\": %ld, \"bytes\": %llu, \"seconds\": %.4f, \"ops_per_s\": %.1f, "
           "\"p50_us\": %.0f, \"p99_us\": %.0f, \"client_cpu_s\": %.3f}\n",
           nops, errors, resumed, bytes, t, nops / t, lat[nops / 2], lat[nops * 99 / 100], cpu);
    return 0;
}
