/* session_proxied.c: a session's first stage where the peer is a listed proxy: the PROXY protocol header. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "proxy/proxied.h"

static void refuse(struct session *s, int error)
{
    const char *text = error == -E_LIMIT ? "the PROXY protocol header is longer than `proxy_protocol.header` allows"
                                         : error_text(error);
    struct address peer;
    char proxy[ADDRESS_TEXT];

    address_box_get(&s->peer, &peer);
    address_print_host(&peer, proxy);
    log_warning("connection refused: proxy %s, listener %.*s: %s", proxy, BYTES_PRINT(s->listener->name), text);
    session_close(s, true);
}

/* The connection ended before there was a header. One that said nothing at all was a look whether anybody listens. */
static void gone(struct session *s, int error)
{
    if (s->connection->wire_in)
        refuse(s, error ? error : -E_CLOSED);
    else
        session_close(s, false);
}

static int keep(struct session *s, struct bytes raw)
{
    struct session_via *via = malloc(sizeof *via + raw.size);

    CHECK(raw.at); /* no header is empty */
    if (!via)
        return -E_MEMORY;
    address_box_get(&s->peer, &via->proxy);
    via->header_bytes = (uint32_t)raw.size;
    memcpy(via->header, raw.at, raw.size);
    s->via = via;
    return 0;
}

/* The header is whole: the first `size` bytes of what came. */
static void take(struct session *s, const struct proxy_header *h, size_t size)
{
    struct buffer *in = &s->connection->in;
    int error = h->is_local ? 0 : keep(s, bytes_part(buffer_content(in), 0, size));

    if (error) {
        refuse(s, error);
        return;
    }
    if (h->source.size)
        session_set_peer(s, &h->source, address_port(&h->destination));
    buffer_consume(in, size);
    s->awaits_proxy_header = false;
    session_next(s);
}

static void on_event(struct session *s)
{
    size_t most = (size_t)s->listener->options->proxy_protocol->header_bytes;
    struct connection *c = s->connection;
    struct proxy_header h;
    int n;

    while ((n = connection_receive(c)) > 0) {
        n = proxy_header_read(buffer_content(&c->in), most, &h);
        if (n > 0) {
            take(s, &h, (size_t)n);
            return;
        }
        if (n != -E_AGAIN) {
            refuse(s, n);
            return;
        }
    }
    if (n == -E_AGAIN)
        connection_settle(c);
    else
        gone(s, n);
}

static void start(struct session *s)
{
    session_limit(s, s->listener->options->proxy_protocol->timeout_ns);
    if (connection_has_more(s->connection))
        on_event(s);
}

static void on_timer(struct session *s)
{
    refuse(s, -E_TIMEOUT_PROXY);
}

const struct session_stage session_proxied = { .start = start, .on_event = on_event, .on_timer = on_timer };

const char *session_print_client(const struct session *s, char text[SESSION_CLIENT_TEXT])
{
    char proxy[ADDRESS_TEXT], client[ADDRESS_TEXT];
    struct address peer;

    address_box_get(&s->peer, &peer);
    address_print_host(&peer, client);
    snprintf(text, SESSION_CLIENT_TEXT, "%s", client);
    if (s->via && !address_equal(&s->via->proxy, &peer)) {
        address_print_host(&s->via->proxy, proxy);
        snprintf(text, SESSION_CLIENT_TEXT, "%s through %s", client, proxy);
    }
    return text;
}
