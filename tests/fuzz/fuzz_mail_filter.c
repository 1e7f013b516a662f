/* What passes between a mail server and its client after STARTTLS. The first byte chooses the protocol, the second one how
 * the rest is cut; each line of the rest begins with who says it (bit 0 of its first byte). What must hold:
 *   - the client's bytes all arrive, each as it was but for an 's' that became an 'X';
 *   - of the server's bytes only the words that are hidden are missing, and a '-' may have become a space;
 *   - nothing is ready that is not there, and at the end nothing stays behind. */
#include <stdlib.h>

#include "base/check.h"
#include "http/mail_filter.h"

enum { SAID_MOST = 1 << 16 };

struct side {
    struct buffer b;
    uint8_t in[SAID_MOST], out[SAID_MOST];
    size_t in_size, out_size;
};

static struct buffer_pool *pool;

static void take(struct side *side, struct mail_flow *flow, size_t ready, size_t n)
{
    CHECK(ready <= buffer_used(&side->b));
    if (n > ready)
        n = ready;
    if (n)
        memcpy(side->out + side->out_size, side->b.data + side->b.start, n);
    side->out_size += n;
    buffer_consume(&side->b, n);
    mail_flow_took(flow, n);
}

static void say(struct mail_filter *f, struct side *side, bool is_server, struct bytes text, size_t most)
{
    struct mail_flow *flow = is_server ? &f->server : &f->client;
    size_t ready;

    if (side->in_size + text.size > SAID_MOST || buffer_append(pool, &side->b, text) < 0)
        return;
    if (text.size)
        memcpy(side->in + side->in_size, text.at, text.size);
    side->in_size += text.size;
    ready = is_server ? mail_filter_from_server(f, &side->b, false) : mail_filter_from_client(f, &side->b, false);
    take(side, flow, ready, most);
    CHECK(flow->ready <= flow->seen && flow->seen <= buffer_used(&side->b));
}

static void check_client(const struct side *side)
{
    CHECK(side->in_size == side->out_size);
    for (size_t i = 0; i < side->in_size; i++)
        CHECK(side->in[i] == side->out[i] || (ascii_lower(side->in[i]) == 's' && side->out[i] == 'X'));
}

/* out is in with some of it left out. */
static void check_server(const struct side *side)
{
    size_t at = 0;

    for (size_t i = 0; i < side->out_size; i++, at++)
        while (at < side->in_size && side->in[at] != side->out[i] && !(side->in[at] == '-' && side->out[i] == ' '))
            at++;
    CHECK(at <= side->in_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct side client, server;
    struct mail_filter f;
    struct bytes in;
    uint32_t seed;

    if (!pool)
        pool = buffer_pool_new(8 * BUFFER_LARGE);
    CHECK(pool);
    if (size < 2)
        return 0;
    mail_filter_start(&f, (enum mail_protocol)(data[0] % 3));
    seed = data[1];
    client.in_size = client.out_size = server.in_size = server.out_size = 0;
    in = bytes_of(data + 2, size - 2);
    while (in.size > 1) {
        size_t end = bytes_find(in, '\n') + 1;
        struct bytes line = bytes_part(in, 1, end - 1);
        bool is_server = in.at[0] & 1;

        while (line.size) {
            seed = seed * 1664525 + 1013904223;
            size_t n = data[1] ? (seed >> 24) % 29 + 1 : line.size;
            say(&f, is_server ? &server : &client, is_server, bytes_part(line, 0, n), data[1] ? seed >> 28 : SIZE_MAX);
            line = bytes_from(line, n);
        }
        in = bytes_from(in, end);
    }
    take(&client, &f.client, mail_filter_from_client(&f, &client.b, true), SIZE_MAX);
    take(&server, &f.server, mail_filter_from_server(&f, &server.b, true), SIZE_MAX);
    CHECK(buffer_used(&client.b) == 0 && buffer_used(&server.b) == 0);
    buffer_drop(pool, &client.b);
    buffer_drop(pool, &server.b);
    check_client(&client);
    check_server(&server);
    return 0;
}
