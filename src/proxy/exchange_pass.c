/* exchange_pass.c: an exchange's two directions: what one side has, as far as the other takes it. */
#include "proxy/exchange_private.h"
#include "proxy/access.h"
#include "proxy/forward.h"
#include "proxy/tunnel.h"
#include "upstream/h1_wire.h"

enum { INTERIM_MOST = 32 }; /* 1xx responses before a final one */

/* Request's head to the server. Returns 0, -E_AGAIN, or an error that was dealt with (x may be gone). */
static int pass_request_head(struct exchange *x)
{
    int error = link_connected(&x->server);

    if (!error) {
        x->connected_ns = x->connected_ns ? x->connected_ns : loop_now(exchange_loop(x));
        error = x->server->stream.ops->send_head(&x->server->stream, &x->request);
    }
    x->server_blocks = error == -E_AGAIN;
    if (error == 0)
        x->request_head_sent = true;
    else if (error != -E_AGAIN)
        exchange_fail_server(x, error == -E_RESET ? -E_SERVER_CLOSED : error);
    return error;
}

/* What another server, or another connection, has had of the content already. Returns whether all of it was sent. */
static bool pass_replay(struct exchange *x)
{
    struct stream *server = &x->server->stream;

    while (replay_left(&x->replay).size) {
        ssize_t sent = server->ops->send(server, replay_left(&x->replay));
        x->request_unwanted = sent < 0;
        x->server_blocks = sent == 0;
        if (sent <= 0)
            return false;
        x->replay.sent += (size_t)sent;
        x->server_progress = true;
    }
    if (x->response_seen)
        replay_drop(&x->replay);
    return true;
}

/* Whether content has to wait for the side that it goes to, before any is read. */
static bool is_held_up(struct stream *from, struct stream *to)
{
    return from->ops->wire && to->ops->wire && h1_wire_is_held_up(from->ops->wire(from), to->ops->wire(to));
}

/* The client's content to the server, as far as both go. Returns 0, or an error that was dealt with. */
static int pass_request_body(struct exchange *x)
{
    struct stream *client = x->client, *server = &x->server->stream;
    uint64_t most = x->tunnel == TUNNEL_OPEN ? 0 : x->session->listener->options->limits.body_bytes;
    size_t budget = EXCHANGE_TURN_BYTES;

    if (!pass_replay(x))
        return 0;
    while (!x->client_ended) {
        struct bytes data = BYTES_NONE;
        ssize_t sent;
        int n;

        x->server_blocks = is_held_up(client, server);
        if (x->server_blocks)
            return 0;
        n = client->ops->look(client, &data);
        x->client_waited_for = n == -E_AGAIN;
        if (n == -E_AGAIN)
            return 0;
        if (n < 0) {
            exchange_fail_client(x, n);
            return n;
        }
        if (n == STREAM_END) {
            x->client_ended = true;
            break;
        }
        sent = server->ops->send(server, data);
        if (sent < 0) { /* the answer may be there all the same: it is looked for before this is an error */
            x->request_unwanted = true;
            return 0;
        }
        x->server_blocks = sent == 0;
        if (sent == 0)
            return 0;
        if (x->server->may_refuse && !x->response_seen)
            replay_keep(&x->replay, bytes_part(data, 0, (size_t)sent), x->request_bytes);
        client->ops->took(client, (size_t)sent);
        x->server_progress = true;
        x->request_taken = true;
        x->client_expects = false;
        x->request_bytes += (uint64_t)sent;
        if (most && x->request_bytes > most) {
            exchange_fail_client(x, -E_BODY_TOO_LARGE);
            return -E_BODY_TOO_LARGE;
        }
        if ((size_t)sent + EXCHANGE_PIECE_BYTES >= budget) {
            loop_defer(exchange_loop(x), &x->again);
            return 0;
        }
        budget -= (size_t)sent + EXCHANGE_PIECE_BYTES;
    }
    return 0;
}

/* Whether something of the server's may be there to be read. */
static bool server_has_more(const struct exchange *x)
{
    struct stream *server = &x->server->stream;
    return !server->ops->wire || connection_has_more(server->ops->wire(server)->connection);
}

/* No more is read of the server than the client's stream takes, where many of those share a connection's memory: but a
 * little, that heads and ends are seen. To be called before content is sent to it, or anything is read from it. */
static void pace_server(struct exchange *x)
{
    const struct stream_ops *client = x->client->ops, *server = x->server->stream.ops;
    size_t room;

    if (!client->room || !server->pace)
        return;
    room = client->room(x->client);
    server->pace(&x->server->stream, room > BUFFER_TINY ? room : BUFFER_TINY);
}

static int pass_request(struct exchange *x)
{
    int error = x->request_head_sent ? 0 : pass_request_head(x);
    struct stream *server;

    if (error)
        return error == -E_AGAIN ? 0 : error;
    server = &x->server->stream; /* which the head's way may have replaced */
    if (x->request_ended || x->request_unwanted)
        return 0;
    if (x->tunnel != TUNNEL_ASKED) { /* what comes behind such a request is the tunnel's, or another request */
        if (!x->client_ended)
            pace_server(x);
        error = pass_request_body(x);
        if (error || !x->client_ended || x->request_unwanted || replay_left(&x->replay).size)
            return error;
    }
    error = server->ops->end(server, x->client->ops->trailers(x->client));
    if (error == -E_AGAIN) {
        x->server_blocks = true;
        return 0;
    }
    if (error) { /* as with its content: the answer may be there */
        x->request_unwanted = true;
        return 0;
    }
    x->request_ended = true;
    x->request_end_ns = loop_now(exchange_loop(x));
    return 0;
}

/* The response's head, interim ones passed on. Returns 0 when the final one is there, -E_AGAIN, or a dealt-with error. */
static int take_response_head(struct exchange *x)
{
    struct stream *server = &x->server->stream;

    for (;;) {
        bool is_final;
        int error;

        message_init(&x->response, &x->arena);
        error = server->ops->look_head(server, &x->response);
        if (error == -E_AGAIN) {
            x->server_waited_for = true;
            return error;
        }
        is_final = x->response.status >= 200 || x->response.status == 101;
        if (!error && is_final)
            error = tunnel_answer(x);
        else if (!error && ++x->interim > INTERIM_MOST)
            error = -E_BAD_RESPONSE;
        if (error) {
            exchange_fail_server(x, error);
            return error;
        }
        if (is_final)
            break;
        x->client_expects &= x->response.status != 100;
        if (x->client_version >= HTTP_1_1)
            error = x->client->ops->send_head(x->client, &x->response);
        if (error && error != -E_AGAIN) { /* without room an interim response is left out */
            exchange_fail_send(x, error);
            return error;
        }
    }
    x->response_seen = true;
    if (replay_left(&x->replay).size == 0)
        replay_drop(&x->replay);
    x->response_head_ns = loop_now(exchange_loop(x));
    if (forward_response(x)) {
        exchange_fail_server(x, -E_MEMORY);
        return -E_MEMORY;
    }
    return 0;
}

static int pass_response_head(struct exchange *x)
{
    int error;

    /* The answer may end before the request does, and then the connection does too: the client is told in time. */
    x->must_close |= !x->client_ended;
    x->response.persistent &= !x->must_close;
    error = x->client->ops->send_head(x->client, &x->response);
    x->client_blocks = error == -E_AGAIN;
    if (error == 0) {
        x->response_head_sent = true;
        x->status = x->response.status;
        access_note_call(x, &x->response.fields);
        if (x->response.body == BODY_TUNNEL)
            tunnel_open(x);
    } else if (error == -E_HEAD_TOO_LARGE) {
        exchange_fail_server(x, -E_BAD_RESPONSE);
    } else if (error != -E_AGAIN) {
        exchange_fail_send(x, error);
    }
    return error;
}

/* The next piece of the server's content to the client, within the kernel where it goes that way. Returns bytes, 0 when the
 * client takes none now, -E_AGAIN: it does not. */
static ssize_t splice_content(struct stream *server, struct stream *client)
{
    if (!server->ops->wire || !client->ops->wire)
        return -E_AGAIN;
    return h1_wire_splice(server->ops->wire(server), client->ops->wire(client));
}

/* The next piece of the server's content to the client. Returns its bytes (> 0), 0 when all has passed, -E_AGAIN, or an error
 * that was dealt with. */
static ssize_t pass_piece(struct exchange *x)
{
    struct stream *client = x->client, *server = &x->server->stream;
    struct bytes data = BYTES_NONE;
    ssize_t sent;
    int n;

    x->client_blocks = is_held_up(server, client);
    if (x->client_blocks)
        return -E_AGAIN;
    sent = splice_content(server, client);
    x->client_blocks = sent == 0;
    if (sent >= 0)
        return sent ? sent : -E_AGAIN;
    n = server->ops->look(server, &data);
    if (n == STREAM_END)
        return 0;
    x->server_waited_for |= n == -E_AGAIN;
    if (n < 0) {
        if (n != -E_AGAIN)
            exchange_fail_server(x, n);
        return n;
    }
    sent = client->ops->send(client, data);
    x->client_blocks = sent == 0;
    if (sent == 0)
        return -E_AGAIN;
    if (sent < 0)
        exchange_fail_send(x, (int)sent);
    else
        server->ops->took(server, (size_t)sent);
    return sent;
}

/* The server's content to the client. Returns 0 when it has ended, -E_AGAIN, or an error that was dealt with. */
static int pass_response_body(struct exchange *x)
{
    size_t budget = EXCHANGE_TURN_BYTES;
    ssize_t n;

    while ((n = pass_piece(x)) > 0) {
        x->response_bytes += (uint64_t)n;
        x->server_progress = true;
        if ((size_t)n + EXCHANGE_PIECE_BYTES >= budget) {
            loop_defer(exchange_loop(x), &x->again);
            return -E_AGAIN;
        }
        budget -= (size_t)n + EXCHANGE_PIECE_BYTES;
    }
    return (int)n;
}

static int pass_response(struct exchange *x)
{
    int error;

    if (x->response_ended) /* of a tunnel whose other half goes on */
        return 0;
    if (server_has_more(x))
        pace_server(x);
    error = x->response_seen ? 0 : take_response_head(x);
    if (!error && !x->response_head_sent)
        error = pass_response_head(x);
    if (!error)
        error = pass_response_body(x);
    if (!error) {
        const struct fields *trailers = x->server->stream.ops->trailers(&x->server->stream);

        error = x->client->ops->end(x->client, trailers);
        if (!error && trailers)
            access_note_call(x, trailers);
        x->client_blocks = error == -E_AGAIN;
        if (error && error != -E_AGAIN)
            exchange_fail_send(x, error);
    }
    if (!error)
        x->response_ended = true;
    return error == -E_AGAIN ? 0 : error;
}

/* Both directions, as far as they go. Returns 0, or an error that was dealt with: x may be gone. */
int exchange_pass(struct exchange *x)
{
    int error = pass_request(x);

    if (error)
        return error;
    error = x->server->stream.ops->flush(&x->server->stream);
    if (error && error != -E_AGAIN)
        x->request_unwanted = true;
    return x->request_head_sent ? pass_response(x) : 0;
}
