#include "upstream/h1_wire.h"

enum { SPLICE_LEAST = 256 * 1024 }; /* bytes of content to come: what pays for a pipe */

int h1_wire_look_head(struct h1_wire *w, bool is_request, const struct h1_limits *limits)
{
    struct connection *c = w->connection;

    for (;;) {
        struct bytes received = buffer_content(&c->in);
        int n = received.size ? h1_head_scan(&w->scan, received, is_request, limits) : -E_AGAIN;

        if (n != -E_AGAIN)
            return n;
        n = connection_receive(c);
        if (n == 0)
            return buffer_used(&c->in) ? -E_TRUNCATED : 0;
        if (n < 0)
            return n;
    }
}

void h1_wire_took_head(struct h1_wire *w, size_t head_bytes, const struct message *m, const struct h1_limits *limits,
                       struct message *trailers)
{
    struct connection *c = w->connection;

    buffer_consume(&c->in, head_bytes);
    if (buffer_used(&c->in) == 0)
        buffer_drop(c->net->pool, &c->in); /* who waits for an answer holds nothing */
    w->scan = (struct h1_scan){ 0 };
    w->in_ended = false;
    h1_body_start(&w->in, m, limits, trailers);
}

int h1_wire_look(struct h1_wire *w, struct bytes *ret_data)
{
    struct connection *c = w->connection;

    if (w->in_ended)
        return STREAM_END;
    for (;;) {
        size_t skip = 0;
        int n = h1_body_look(&w->in, buffer_content(&c->in), &skip, ret_data);

        if (skip)
            buffer_consume(&c->in, skip);
        if (n == H1_DATA)
            return STREAM_DATA;
        if (n == H1_END) {
            w->in_ended = true;
            return STREAM_END;
        }
        if (n != -E_AGAIN)
            return n;
        n = connection_receive(c);
        if (n == -E_AGAIN && w->tunnel)
            connection_settle(c);                 /* it may be idle for hours */
        if (n == -E_TRUNCATED && w->says_its_end) /* what was said last is to arrive, which a reset would overtake */
            n = 0;
        if (n == 0 && (w->in.kind == BODY_TO_CLOSE || w->tunnel)) {
            w->in_ended = true;
            return STREAM_END;
        }
        if (n <= 0)
            return n == 0 ? -E_TRUNCATED : n;
    }
}

void h1_wire_took(struct h1_wire *w, size_t n)
{
    h1_body_took(&w->in, n);
    buffer_consume(&w->connection->in, n);
}

/* Sends all of it or nothing. What was collected is brought on its way where it leaves too little room: if there is
 * none even then, the socket is full, and an event will follow. */
static int send_whole(struct h1_wire *w, struct bytes data)
{
    struct connection *c = w->connection;
    ssize_t sent;

    if (data.size > connection_room(c)) {
        int error = connection_flush(c);
        if (error && error != -E_AGAIN)
            return error;
        if (data.size > connection_room(c))
            return connection_is_flushed(c) ? -E_HEAD_TOO_LARGE : -E_AGAIN;
    }
    sent = connection_send(c, data);
    CHECK(sent < 0 || (size_t)sent == data.size);
    return sent < 0 ? (int)sent : 0;
}

int h1_wire_send_head(struct h1_wire *w, const struct message *m, enum http_version to)
{
    static _Thread_local uint8_t head[BUFFER_LARGE];
    int n = to ? h1_write_response(m, to, head, sizeof head) : h1_write_request(m, head, sizeof head), error;

    if (n < 0)
        return -E_HEAD_TOO_LARGE;
    error = send_whole(w, bytes_of(head, (size_t)n));
    if (error)
        return error;
    w->chunked_out = m->body == BODY_STREAMED;
    w->out_left = m->body == BODY_LENGTH ? m->length : m->body == BODY_NONE ? 0 : UINT64_MAX;
    w->out_ended = false;
    w->chunk_left = 0;
    if (m->body == BODY_TUNNEL)
        h1_wire_open_tunnel(w, m);
    return 0;
}

void h1_wire_open_tunnel(struct h1_wire *w, const struct message *m)
{
    w->tunnel = true;
    w->says_its_end = bytes_equal_nocase(m->upgrade, BYTES_LITERAL("websocket")); /* its Close frames: RFC 6455 5.5.1 */
    w->in = (struct h1_body){ .kind = BODY_TUNNEL };
    w->in_ended = w->out_ended = w->chunked_out = false;
    w->out_left = UINT64_MAX;
}

/* One chunk of what fits. */
static ssize_t send_chunk(struct h1_wire *w, struct bytes data)
{
    size_t room = connection_room(w->connection);
    uint8_t head[H1_CHUNK_HEAD];
    ssize_t sent;

    if (room <= H1_CHUNK_HEAD + 2 || data.size == 0)
        return 0;
    data = bytes_part(data, 0, room - H1_CHUNK_HEAD - 2);
    sent = connection_send(w->connection, bytes_of(head, (size_t)h1_write_chunk_head(data.size, head)));
    if (sent > 0)
        sent = connection_send(w->connection, data);
    if (sent > 0)
        sent = connection_send(w->connection, BYTES_LITERAL("\r\n"));
    return sent < 0 ? sent : (ssize_t)data.size;
}

/* Content goes straight to the socket, with what was collected before it; a chunk that it takes a part of goes on with
 * the next call. */
static ssize_t send_lean(struct h1_wire *w, struct bytes data)
{
    struct connection *c = w->connection;
    uint8_t head[H1_CHUNK_HEAD];
    size_t room;
    ssize_t sent;

    if (!w->chunked_out || data.size == 0)
        return connection_send_now(c, data);
    if (w->chunk_left == 0) {
        if (connection_room(c) < H1_CHUNK_HEAD + 2)
            return 0;
        sent = connection_send(c, bytes_of(head, (size_t)h1_write_chunk_head(data.size, head)));
        if (sent < 0)
            return sent;
        w->chunk_left = data.size;
    }
    data = bytes_part(data, 0, w->chunk_left);
    room = connection_room(c);
    if (connection_is_tls(c)) /* it collects: the chunk's end must find room behind it */
        data = bytes_part(data, 0, room > 2 ? room - 2 : 0);
    sent = data.size ? connection_send_now(c, data) : 0;
    if (sent <= 0)
        return sent;
    w->chunk_left -= (uint64_t)sent;
    if (w->chunk_left == 0) {
        ssize_t end = connection_send(c, BYTES_LITERAL("\r\n"));
        if (end < 0)
            return end;
    }
    return sent;
}

static ssize_t send_some(struct h1_wire *w, struct bytes data)
{
    if (w->lean || w->chunk_left || data.size > connection_room(w->connection))
        return send_lean(w, data);
    return w->chunked_out ? send_chunk(w, data) : connection_send(w->connection, data);
}

ssize_t h1_wire_send(struct h1_wire *w, struct bytes data)
{
    ssize_t sent;

    if (data.size > w->out_left)
        return -E_INTERNAL; /* the other side's codec lets through no more than was announced */
    if (!w->connection->writable && !connection_is_flushed(w->connection))
        return 0; /* what the socket does not take stays with its sender: one storage is enough */
    sent = send_some(w, data);
    if (sent == 0 && data.size) { /* as in send_whole: who waits must be certain of an event */
        int error = connection_flush(w->connection);
        if (error)
            return error == -E_AGAIN ? 0 : error;
        sent = send_some(w, data);
    }
    if (sent > 0 && w->out_left != UINT64_MAX)
        w->out_left -= (uint64_t)sent;
    if (sent >= TLS_RECORD_PLAIN && connection_room(w->connection) <= TLS_RECORD_PLAIN) { /* full: it leaves at once */
        int error = connection_flush(w->connection);
        if (error && error != -E_AGAIN)
            return error;
    }
    return sent;
}

/* What was received already, be it the end alone, is looked at in any case. */
bool h1_wire_is_held_up(struct h1_wire *from, const struct h1_wire *to)
{
    bool is_whole = from->in_ended || (from->in.kind == BODY_LENGTH && from->in.left == 0);

    if (to->connection->writable || buffer_used(&from->connection->in) || is_whole)
        return false;
    connection_settle(from->connection);
    return true;
}

ssize_t h1_wire_splice(struct h1_wire *from, struct h1_wire *to)
{
    ssize_t n;

    if (from->in.kind != BODY_LENGTH || from->in.left < SPLICE_LEAST || to->chunked_out || to->out_left < from->in.left)
        return -E_AGAIN;
    n = connection_splice(from->connection, to->connection,
                          from->in.left < SIZE_MAX ? (size_t)from->in.left : SIZE_MAX);
    if (n > 0) {
        h1_body_took(&from->in, (size_t)n);
        to->out_left -= to->out_left != UINT64_MAX ? (uint64_t)n : 0;
    }
    return n;
}

int h1_wire_end(struct h1_wire *w, const struct fields *trailers)
{
    static _Thread_local uint8_t last[BUFFER_LARGE];

    if (w->chunked_out) {
        int n = h1_write_last_chunk(trailers, last, sizeof last), error;
        if (n < 0)
            return -E_HEAD_TOO_LARGE;
        error = send_whole(w, bytes_of(last, (size_t)n));
        if (error)
            return error;
    }
    if (w->tunnel)
        connection_finish(w->connection);
    w->out_ended = true;
    return 0;
}

int h1_wire_flush(struct h1_wire *w)
{
    int error = connection_flush(w->connection);

    if (w->tunnel)
        connection_settle(w->connection);
    return error;
}
