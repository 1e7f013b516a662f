#include "proxy/reach.h"

static struct loop *loop_of(const struct reach *r)
{
    return r->session->home->net->loop;
}

static int dial(struct reach *r, int number)
{
    const struct site *site = r->session->site;
    struct backend **backends = site->upstreams[r->upstream - site->snapshot->upstreams].backends;
    const struct proxy_words words = { .alpn = session_alpn(r->session), .unique_id = bytes_of_text(r->id) };
    uint8_t out[PROXY_WRITTEN_MOST];
    struct bytes preface = session_preface(r->session, r->upstream->options, &words, out);

    r->attempts++;
    r->server_number = number;
    if (number < TRIED_MOST)
        r->tried |= 1ull << number;
    r->began_ns = loop_now(loop_of(r));
    return dial_start(&r->dial, backends[number], &r->upstream->plans[number], preface, r->owner, r->on_event);
}

/* Turns to the next server that has not been tried. Returns 0, or the error of the last one that could not even be
 * dialled; before: what to say when there is none left. */
static int try_next(struct reach *r, int before)
{
    int error = before;

    while (r->attempts < REACH_SERVERS_MOST && !r->only_one) {
        int number = upstream_pick(r->session->site, r->upstream, r->tried);

        if (number < 0)
            return error;
        error = dial(r, number);
        if (error != -E_CONNECT)
            return error;
    }
    return error;
}

static int fail_over(struct reach *r, int error)
{
    reach_end(r, false);
    error = try_next(r, error);
    return error ? error : -E_AGAIN;
}

static void init(struct reach *r, struct session *s, const struct snapshot_upstream *upstream, void *owner,
                 void (*on_event)(struct connection *c))
{
    *r =
        (struct reach){ .session = s, .upstream = upstream, .owner = owner, .on_event = on_event, .server_number = -1 };
    if (upstream->options->send_proxy == SEND_PROXY_V2)
        proxy_make_id(r->id);
}

int reach_start(struct reach *r, struct session *s, const struct snapshot_upstream *upstream, void *owner,
                void (*on_event)(struct connection *c))
{
    init(r, s, upstream, owner, on_event);
    return try_next(r, -E_NO_SERVER);
}

int reach_start_at(struct reach *r, struct session *s, const struct snapshot_upstream *upstream, int server_number,
                   void *owner, void (*on_event)(struct connection *c))
{
    init(r, s, upstream, owner, on_event);
    r->only_one = true;
    return dial(r, server_number);
}

int reach_advance(struct reach *r)
{
    int error;

    if (r->stands)
        return 0;
    error = dial_advance(&r->dial);
    if (error == -E_AGAIN)
        return error;
    if (error)
        return fail_over(r, error);
    r->stands = true;
    r->connected_ns = loop_now(loop_of(r));
    return 0;
}

int reach_late(struct reach *r)
{
    return fail_over(r, -E_TIMEOUT_CONNECT);
}

uint64_t reach_limit_ns(const struct reach *r)
{
    return r->upstream->options->timeouts.connect_ns;
}

void reach_move(struct reach *from, struct reach *to, void *owner, void (*on_event)(struct connection *c))
{
    *to = *from;
    to->owner = owner;
    to->on_event = on_event;
    if (to->dial.connection) {
        to->dial.connection->owner = owner;
        to->dial.connection->on_event = on_event;
    }
    from->dial = (struct dial){ 0 };
}

void reach_end(struct reach *r, bool reset)
{
    dial_done(&r->dial);
    connection_close(r->dial.connection, reset);
    r->dial.connection = NULL;
}
