#include "app/demo_backend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "http/h1.h"

enum { HEAD_MOST = 65536, STACK = 256 * 1024, CLIENTS_MOST = 1000, IDLE_SECONDS = 60 };

static const struct h1_limits limits = { .request_line = 49152, .head = HEAD_MOST, .fields = 1000 };
static atomic_int clients;

struct client {
    int fd;
    struct arena arena;
    size_t used;
    uint8_t in[HEAD_MOST];
};

static bool send_all(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;

    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool receive_more(struct client *c)
{
    ssize_t n;

    if (c->used == sizeof c->in)
        return false;
    do
        n = recv(c->fd, c->in + c->used, sizeof c->in - c->used, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    c->used += (size_t)n;
    return true;
}

static void consume(struct client *c, size_t n)
{
    c->used -= n;
    memmove(c->in, c->in + n, c->used);
}

static void print_escaped(FILE *out, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        switch (text.at[i]) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '\r':
            break;
        default:
            putc(text.at[i], out);
        }
    }
}

static void print_page(FILE *out, struct bytes head, bool html)
{
    static const char start[] =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Unlade works</title>\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<style>body{font:17px/1.5 system-ui,sans-serif;max-width:46em;margin:3em auto;padding:0 1em;color:#223}\n"
        "h1{font-weight:600}pre{background:#f2f4f7;border-radius:8px;padding:1em;overflow:auto;font-size:14px}\n"
        "@media(prefers-color-scheme:dark){body{background:#161a20;color:#dde}pre{background:#222831}}</style></head>\n"
        "<body><h1>Unlade works</h1>\n"
        "<p>Your browser spoke HTTPS to Unlade, and Unlade passed the request on in plain HTTP to the small\n"
        "demo server that made this page. This is the request as that server received it:</p>\n<pre>";
    static const char end[] =
        "</pre>\n<p>The <code>X-Forwarded-*</code> and <code>Forwarded</code> fields are Unlade's: what a client "
        "sends\n"
        "under these names is replaced. <code>X-Request-Id</code> also stands in the access log.</p></body></html>\n";

    if (!html) {
        fputs("Unlade works. This is the request as the demo server behind it received it, in plain HTTP:\n\n", out);
        fprintf(out, "%.*s", BYTES_PRINT(head));
        return;
    }
    fputs(start, out);
    print_escaped(out, head);
    fputs(end, out);
}

static bool accepts_html(const struct message *m)
{
    const struct bytes *accept = message_field(m, FIELD_ACCEPT);

    return accept && memmem(accept->at, accept->size, "text/html", 9);
}

static bool answer(struct client *c, const struct message *m, struct bytes head)
{
    bool html = accepts_html(m), fine;
    char *page = NULL, *reply;
    size_t size;
    int reply_size;
    FILE *out = open_memstream(&page, &size);

    CHECK(out);
    print_page(out, head, html);
    fclose(out);
    reply_size = asprintf(&reply,
                          "HTTP/1.1 200 OK\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Length: %zu\r\n"
                          "Cache-Control: no-store\r\n%s\r\n%s",
                          html ? "html" : "plain", size, m->persistent ? "" : "Connection: close\r\n",
                          m->method == METHOD_HEAD ? "" : page);
    fine = reply_size > 0 && send_all(c->fd, reply, (size_t)reply_size);
    free(reply);
    free(page);
    return fine;
}

/* Reads the content of the request and forgets it. */
static bool skip_body(struct client *c, const struct message *m)
{
    struct h1_body body;

    if (m->expect_continue && !send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        return false;
    h1_body_start(&body, m, &limits, NULL);
    for (;;) {
        struct bytes data;
        size_t skip = 0;
        int r = h1_body_look(&body, bytes_of(c->in, c->used), &skip, &data);

        if (r == H1_DATA) {
            size_t size = data.size;
            h1_body_took(&body, size);
            consume(c, skip + size);
            continue;
        }
        consume(c, skip);
        if (r == H1_END)
            return true;
        if (r != -E_AGAIN || !receive_more(c))
            return false;
    }
}

/* One request and its answer. Returns whether the connection may carry another. */
static bool serve_request(struct client *c)
{
    struct h1_scan scan = { 0 };
    struct message m;
    struct bytes head;
    int size;

    arena_reset(&c->arena);
    message_init(&m, &c->arena);
    while ((size = h1_head_scan(&scan, bytes_of(c->in, c->used), true, &limits)) == -E_AGAIN)
        if (!receive_more(c))
            return false;
    if (size < 0 || h1_parse_request(bytes_of(c->in, (size_t)size), &limits, &m) < 0) {
        static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        send_all(c->fd, refusal, sizeof refusal - 1);
        return false;
    }
    head = arena_copy(&c->arena, bytes_of(c->in, (size_t)size));
    if (!head.at)
        return false;
    consume(c, (size_t)size);
    return skip_body(c, &m) && answer(c, &m, head) && m.persistent;
}

static void *serve_client(void *context)
{
    struct client *c = context;
    struct timeval patience = { .tv_sec = IDLE_SECONDS };

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    arena_init(&c->arena, NULL, SIZE_MAX);
    while (serve_request(c))
        ;
    close(c->fd);
    arena_reset(&c->arena);
    free(c);
    atomic_fetch_sub(&clients, 1);
    return NULL;
}

static void accept_client(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
    pthread_attr_t attributes;
    pthread_t thread;

    if (!c || atomic_load(&clients) >= CLIENTS_MOST) {
        free(c);
        if (fd >= 0)
            close(fd);
        return;
    }
    c->fd = fd;
    atomic_fetch_add(&clients, 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, serve_client, c) != 0) {
        close(fd);
        free(c);
        atomic_fetch_sub(&clients, 1);
    }
    pthread_attr_destroy(&attributes);
}

pid_t demo_backend_start(const struct identity *identity, uint16_t *ret_port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t parent = getpid(), child;

    if (listener < 0)
        return -E_SYSTEM;
    if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&a, &size) < 0 || (child = fork()) < 0) {
        close(listener);
        return -E_SYSTEM;
    }
    if (child == 0) {
        signal(SIGINT, SIG_IGN); /* of a terminal's whole group: we end with our parent, after its last request */
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        if (privileges_drop(identity, parent) < 0)
            _exit(1);
        for (;;)
            accept_client(listener);
    }
    close(listener);
    *ret_port = ntohs(a.sin_port);
    return child;
}
