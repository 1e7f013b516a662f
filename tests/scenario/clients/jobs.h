/* jobs.h: what the matrix's clients in C share: jobs are read, the two requests of each made, answers written.
 *
 * A client's file defines the functions below of its library and includes this; jobs are as support/clients.py says. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* What came on one connection, up to its end: "notify" where the peer said close_notify, "cut" where it did not. */
struct answer {
    char bytes[2 * 1024 * 1024];
    size_t length;
    const char *close;
};

/* Makes ready; `ca_file` has the authorities to trust. */
static void library_start(const char *ca_file);

/* Over the connected socket: the handshake (for localhost), the request, all of the answer. The second visit of a pair
 * offers the session of the first. `update` asks for a KeyUpdate between handshake and request. Returns NULL, or what
 * went wrong. */
static const char *library_visit(int fd, bool is_second, bool update, const char *request, size_t bytes,
                                 struct answer *ret_answer);

static void library_sha256(const void *data, size_t bytes, uint8_t ret_digest[32]);

static const char *visit(int port, bool is_second, bool update, const char *request, size_t bytes, struct answer *ret_answer)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        return "cannot connect";
    }
    ret_answer->length = 0;
    ret_answer->close = "";
    const char *error = library_visit(fd, is_second, update, request, bytes, ret_answer);
    close(fd);
    ret_answer->bytes[ret_answer->length] = 0;
    return error;
}

static const char *content(struct answer *answer)
{
    char *end = strstr(answer->bytes, "\r\n\r\n");
    return end ? end + 4 : answer->bytes + answer->length;
}

/* One job: a download, and an upload on a connection that offers the session of the first. */
static const char *run(const char *id, int port, bool update, const char *body, size_t body_bytes)
{
    static struct answer down, up;
    char head[256];
    int length = snprintf(head, sizeof head, "GET /down/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id);
    const char *error = visit(port, false, update, head, (size_t)length, &down);
    if (error) {
        return error;
    }
    length = snprintf(head, sizeof head,
                      "POST /up/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", id,
                      body_bytes);
    char *request = malloc((size_t)length + body_bytes);
    if (!request) {
        return "no memory";
    }
    memcpy(request, head, (size_t)length);
    memcpy(request + length, body, body_bytes);
    error = visit(port, true, update, request, (size_t)length + body_bytes, &up);
    free(request);
    if (error) {
        return error;
    }
    uint8_t digest[32];
    library_sha256(content(&down), down.length - (size_t)(content(&down) - down.bytes), digest);
    printf("{\"id\":\"%s\",\"down\":\"", id);
    for (int i = 0; i < 32; i++) {
        printf("%02x", digest[i]);
    }
    printf("\",\"up\":\"%s\",\"close\":\"%s\",\"updates\":%d}\n", content(&up),
           strcmp(down.close, "notify") ? down.close : up.close, update ? 2 : 0);
    return NULL;
}

int main(int count, char **arguments)
{
    FILE *file = count > 2 ? fopen(arguments[2], "rb") : NULL;
    static char body[2 * 1024 * 1024];
    if (!file) {
        return 2;
    }
    size_t body_bytes = fread(body, 1, sizeof body, file);
    fclose(file);
    library_start(arguments[1]);
    char id[64], how[16];
    int port;
    while (scanf("%63s %d %15s", id, &port, how) == 3) {
        const char *error = run(id, port, strcmp(how, "keyupdate") == 0, body, body_bytes);
        if (error) {
            printf("{\"id\":\"%s\",\"error\":\"%s\"}\n", id, error);
        }
        fflush(stdout);
    }
    return 0;
}
