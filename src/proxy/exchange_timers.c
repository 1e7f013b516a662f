/* exchange_timers.c: what an exchange waits for, and how long. */
#include "proxy/exchange_private.h"
#include "proxy/tunnel.h"

enum server_phase { PHASE_NONE, PHASE_CONNECT, PHASE_REQUEST, PHASE_HEAD, PHASE_BODY, PHASE_TUNNEL };

/* What the server has to do next, if it is the server's turn. */
static enum server_phase server_phase(const struct exchange *x)
{
    if (x->tunnel == TUNNEL_OPEN)
        return PHASE_TUNNEL;
    if (!x->server->connected)
        return PHASE_CONNECT;
    if (x->may_be_silent)
        return PHASE_NONE;
    if (x->server_blocks)
        return PHASE_REQUEST;
    if (!x->response_seen)
        return x->request_ended || x->request_unwanted || x->client_expects ? PHASE_HEAD : PHASE_NONE;
    return x->server_waited_for ? PHASE_BODY : PHASE_NONE;
}

/* Sets the server's timer for what it has to do next. It is moved only when there was progress. */
static void arm_server_timer(struct exchange *x)
{
    const struct upstream_timeouts *limits = &x->upstream->options->timeouts;
    const uint64_t limit[] = {
        [PHASE_CONNECT] = limits->connect_ns,
        [PHASE_REQUEST] = limits->response_gap_ns,
        [PHASE_HEAD] = limits->response_head_ns,
        [PHASE_BODY] = limits->response_gap_ns,
        [PHASE_TUNNEL] = x->session->listener->options->timeouts.tunnel_ns,
    };
    enum server_phase phase = server_phase(x);
    struct loop *loop = exchange_loop(x);

    if (phase == PHASE_NONE)
        loop_timer_stop(loop, &x->server_timer);
    else if (phase != x->server_phase || x->server_progress)
        loop_timer_set(loop, &x->server_timer, loop_now(loop) + limit[phase]);
    x->server_phase = (uint8_t)phase;
}

/* What moved between the client and us: who uploads may be waited for in one turn and block us in the next. */
static struct stream_progress progress(const struct exchange *x)
{
    const struct connection *c = x->session->connection;
    struct stream_progress p = { .own = c->wire_in + c->wire_out };

    if (x->client->ops->progress)
        x->client->ops->progress(x->client, &p);
    return p;
}

/* The window is a time in which the client alone held things up: it ends when that does. */
static void arm_client_timer(struct exchange *x)
{
    const struct listener_timeouts *limits = &x->session->listener->options->timeouts;
    struct loop *loop = exchange_loop(x);

    if (x->tunnel == TUNNEL_OPEN || (x->may_be_silent && !x->is_own) ||
        ((!x->client_waited_for || x->client_expects) && !x->client_blocks)) {
        loop_timer_stop(loop, &x->client_timer);
        return;
    }
    if (!limits->body_rate || timer_is_set(&x->client_timer))
        return;
    x->window_start = progress(x);
    loop_timer_set(loop, &x->client_timer, loop_now(loop) + limits->window_ns);
}

void exchange_on_client_timer(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, client_timer);
    const struct listener_timeouts *limits = &x->session->listener->options->timeouts;
    double needed = (double)limits->body_rate * ((double)limits->window_ns / 1e9);
    struct stream_progress now = progress(x);

    if ((double)(now.own - x->window_start.own) >= needed ||
        (x->client_blocks && !now.alone && (double)(now.shared - x->window_start.shared) >= needed)) {
        arm_client_timer(x);
        return;
    }
    if (x->client_blocks)
        exchange_fail_send(x, -E_TIMEOUT_SEND);
    else
        exchange_fail_client(x, -E_TIMEOUT_BODY);
}

void exchange_on_server_timer(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, server_timer);

    if (x->tunnel == TUNNEL_OPEN)
        exchange_fail_send(x, -E_TIMEOUT_IDLE);
    else
        exchange_fail_server(x, !x->server->connected ? -E_TIMEOUT_CONNECT
                                : x->response_seen    ? -E_TIMEOUT_SERVER_BODY
                                                      : -E_TIMEOUT_RESPONSE);
}

void exchange_arm_timers(struct exchange *x)
{
    if (x->server && x->client->ops->room && x->server->stream.ops->pace && x->server->connected)
        x->server->stream.ops->pace(&x->server->stream, 0);
    if (x->server)
        arm_server_timer(x);
    arm_client_timer(x);
}
