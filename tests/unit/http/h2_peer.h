/* h2_peer.h: a scripted peer for an HTTP/2 machine, and an owner and users of its streams, for tests.
 *
 *     peer_head(), peer_data(), peer_frame() --> h2_receive()      frames made by hand, HPACK without its tables
 *     peer_next(), peer_find()               <-- owner->write()    frames as they left, header blocks decoded
 *
 * TEST() names a test twice: the peer's bytes come as they were given, and one by one, each in memory of its own. */
#ifndef TESTS_HTTP_H2_PEER_H
#define TESTS_HTTP_H2_PEER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h2_private.h"

enum { PEER_STREAMS = 400, PEER_BLOCK = 1 << 17, PEER_ROOM = 1 << 16, PEER_PREFACE = 24 };
enum { END_STREAM = 1, END_HEADERS = 4, ACK = 1, PADDED = 8 };
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION,
       PRIORITY_UPDATE = 16 };

struct peer;

/* A stream and its user. */
struct user {
    struct h2_stream s;
    struct peer *peer;
    unsigned events;
    void (*act)(struct user *u); /* on_event calls it, if any */
    uint8_t got[1 << 17];        /* by user_take() */
    size_t got_bytes;
    size_t to_send, sent;        /* by user_send() */
    bool ended;
};

struct peer {
    struct h2 *h2;
    struct arena arena;
    bool bytewise;
    uint64_t now_ns;
    /* the owner */
    bool limited;                /* room is what is left, else always PEER_ROOM */
    size_t room;
    bool refuses;
    int write_error;
    unsigned dirty;
    struct user *users[PEER_STREAMS];
    unsigned user_count;
    struct user *order[4096];    /* whose turn it was to send, by user_send() */
    unsigned order_count;
    /* what left */
    uint8_t *wire;
    size_t wire_bytes, wire_room, read;
    nghttp2_hd_inflater *inflater;
    char fields[PEER_BLOCK];     /* of the latest head: "name: value\n" each */
};

struct peer_frame {
    uint8_t type, flags;
    int32_t id;
    size_t size;
    const uint8_t *payload;
    unsigned continuations;
};

/* ---- the owner ---- */

static inline size_t peer_owner_room(void *user)
{
    const struct peer *p = user;
    return p->limited ? p->room : PEER_ROOM;
}

static inline int peer_owner_write(void *user, struct bytes head, struct bytes data)
{
    struct peer *p = user;
    size_t size = head.size + data.size;

    assert_true(size <= peer_owner_room(p));
    if (p->write_error)
        return p->write_error;
    p->room -= p->limited ? size : 0;
    if (p->wire_bytes + size > p->wire_room) {
        p->wire_room = 2 * (p->wire_bytes + size);
        p->wire = realloc(p->wire, p->wire_room);
    }
    memcpy(p->wire + p->wire_bytes, head.at, head.size);
    if (data.size)
        memcpy(p->wire + p->wire_bytes + head.size, data.at, data.size);
    p->wire_bytes += size;
    return 0;
}

static inline void peer_owner_dirty(void *user)
{
    struct peer *p = user;
    p->dirty++;
}

static inline uint64_t peer_owner_wire_out(void *user)
{
    const struct peer *p = user;
    return p->wire_bytes;
}

static inline void peer_on_event(struct h2_stream *s)
{
    struct user *u = CONTAINER_OF(s, struct user, s);

    u->events++;
    if (u->act)
        u->act(u);
}

static inline struct user *peer_user(struct peer *p)
{
    struct user *u = calloc(1, sizeof *u);

    assert_true(p->user_count < PEER_STREAMS);
    p->users[p->user_count++] = u;
    u->peer = p;
    h2_stream_init(&u->s, &p->arena, peer_on_event);
    return u;
}

static inline struct h2_stream *peer_owner_accept(void *user)
{
    struct peer *p = user;
    return p->refuses ? NULL : &peer_user(p)->s;
}

static const struct h2_owner peer_owner = { peer_owner_room, peer_owner_write, peer_owner_dirty, peer_owner_wire_out,
                                            peer_owner_accept };

/* ---- what the peer says ---- */

/* What is counted is what is there. */
static inline void peer_check_counts(const struct peer *p)
{
    unsigned waiting = 0, heads = 0;

    for (unsigned i = 0; i < p->user_count; i++) {
        const struct h2_stream *s = &p->users[i]->s;
        bool waits = !list_is_empty(&s->wait_link);

        waiting += waits;
        heads += waits && s->head_waits;
    }
    assert_int_equal(p->h2->waiting_count, waiting);
    assert_int_equal(p->h2->waiting_heads, heads);
}

/* Returns what h2_receive() and h2_flush() return. */
static inline int peer_receive(struct peer *p, struct bytes in)
{
    int error = 0;

    while (in.size && !error) {
        size_t n = p->bytewise ? 1 : in.size;
        uint8_t *copy = malloc(n); /* nothing may be looked at when it has returned */

        memcpy(copy, in.at, n);
        error = h2_receive(p->h2, bytes_of(copy, n), p->now_ns);
        free(copy);
        in = bytes_from(in, n);
    }
    error = error ? error : h2_flush(p->h2);
    peer_check_counts(p);
    return error;
}

static inline size_t peer_make(uint8_t *at, unsigned type, unsigned flags, int32_t id, const void *payload, size_t size)
{
    const uint8_t head[] = { (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,      (uint8_t)type,    (uint8_t)flags,
                             (uint8_t)(id >> 24),   (uint8_t)(id >> 16),  (uint8_t)(id >> 8), (uint8_t)id };

    memcpy(at, head, sizeof head);
    if (size)
        memcpy(at + sizeof head, payload, size);
    return sizeof head + size;
}

/* Returns what h2_receive() and h2_flush() return. */
static inline int peer_frame(struct peer *p, unsigned type, unsigned flags, int32_t id, const void *payload, size_t size)
{
    uint8_t *frame = malloc(9 + size);
    int error = peer_receive(p, bytes_of(frame, peer_make(frame, type, flags, id, payload, size)));

    free(frame);
    return error;
}

static inline size_t peer_put_text(uint8_t *at, const char *text, size_t size)
{
    size_t n = 0, left = size;

    at[n++] = (uint8_t)(size < 127 ? size : 127); /* RFC 7541 5.1, 5.2: a length of 7 bits and more, no Huffman code */
    if (size >= 127)
        for (left -= 127;; left >>= 7) {
            at[n++] = (uint8_t)(left < 128 ? left : 128 | left % 128);
            if (left < 128)
                break;
        }
    memcpy(at + n, text, size);
    return n + size;
}

/* A header block of names and values in turn, NULL behind them. Returns its size. */
static inline size_t peer_block(uint8_t *at, const char *const *fields)
{
    size_t n = 0;

    for (; *fields; fields += 2) {
        at[n++] = 0; /* a literal, not indexed */
        n += peer_put_text(at + n, fields[0], strlen(fields[0]));
        n += peer_put_text(at + n, fields[1], strlen(fields[1]));
    }
    return n;
}

/* HEADERS with these fields, in one frame. */
static inline int peer_head_of(struct peer *p, int32_t id, unsigned flags, const char *const *fields)
{
    static uint8_t block[PEER_BLOCK];
    return peer_frame(p, HEADERS, flags | END_HEADERS, id, block, peer_block(block, fields));
}

#define peer_head(p, id, flags, ...) peer_head_of(p, id, flags, (const char *const[]){ __VA_ARGS__, NULL })
#define REQUEST(method) ":method", method, ":scheme", "https", ":path", "/", ":authority", "a.test"

static inline int peer_get(struct peer *p, int32_t id)
{
    return peer_head(p, id, END_STREAM, REQUEST("GET"));
}

static inline int peer_data(struct peer *p, int32_t id, unsigned flags, size_t size)
{
    uint8_t *data = malloc(size + 1);
    int error;

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + (size_t)id);
    error = peer_frame(p, DATA, flags, id, data, size);
    free(data);
    return error;
}

static inline int peer_number(struct peer *p, unsigned type, int32_t id, uint32_t number)
{
    const uint8_t payload[] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };
    return peer_frame(p, type, 0, id, payload, sizeof payload);
}

static inline int peer_window(struct peer *p, int32_t id, uint32_t increment)
{
    return peer_number(p, WINDOW_UPDATE, id, increment);
}

static inline int peer_reset(struct peer *p, int32_t id, uint32_t code)
{
    return peer_number(p, RST_STREAM, id, code);
}

static inline int peer_goaway(struct peer *p, int32_t last, uint32_t code)
{
    const uint8_t payload[] = { (uint8_t)(last >> 24), (uint8_t)(last >> 16), (uint8_t)(last >> 8), (uint8_t)last,
                                0, 0, 0, (uint8_t)code };
    return peer_frame(p, GOAWAY, 0, 0, payload, sizeof payload);
}

static inline int peer_setting(struct peer *p, unsigned name, uint32_t value)
{
    const uint8_t payload[] = { 0, (uint8_t)name, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                                (uint8_t)value };
    return peer_frame(p, SETTINGS, 0, 0, payload, sizeof payload);
}

static inline int peer_ping(struct peer *p, unsigned flags)
{
    return peer_frame(p, PING, flags, 0, "\0\0\0\0\0\0\0\1", 8);
}

/* The id is of the stream that gets the priority; the frame itself is the connection's. */
static inline int peer_priority(struct peer *p, int32_t id, const char *value)
{
    uint8_t payload[100] = { (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

    memcpy(payload + 4, value, strlen(value));
    return peer_frame(p, PRIORITY_UPDATE, 0, 0, payload, 4 + strlen(value));
}

/* ---- what left ---- */

static inline void peer_decode(struct peer *p, const uint8_t *block, size_t size)
{
    size_t at = 0;
    int flags = 0;

    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, block, size, 1);

        assert_true(n >= 0);
        block += n;
        size -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            at += (size_t)snprintf(p->fields + at, sizeof p->fields - at, "%.*s: %.*s\n", (int)nv.namelen, (char *)nv.name,
                                   (int)nv.valuelen, (char *)nv.value);
    }
    p->fields[at] = 0;
    nghttp2_hd_inflate_end_headers(p->inflater);
}

static inline bool peer_next_raw(struct peer *p, struct peer_frame *f)
{
    const uint8_t *at = p->wire + p->read;

    if (p->read == p->wire_bytes)
        return false;
    assert_true(p->wire_bytes - p->read >= 9);
    *f = (struct peer_frame){ .type = at[3], .flags = at[4], .size = (size_t)(at[0] << 16 | at[1] << 8 | at[2]),
                              .id = (int32_t)((uint32_t)at[5] << 24 | (uint32_t)at[6] << 16 | (uint32_t)at[7] << 8 | at[8]),
                              .payload = at + 9 };
    assert_true(p->wire_bytes - p->read >= 9 + f->size);
    p->read += 9 + f->size;
    return true;
}

/* The next frame that left; of a head the first, when all of it has left, its fields in p->fields. */
static inline bool peer_next(struct peer *p, struct peer_frame *f)
{
    static uint8_t block[PEER_BLOCK];
    struct peer_frame more;
    size_t size;

    if (!peer_next_raw(p, f))
        return false;
    if (f->type != HEADERS)
        return true;
    memcpy(block, f->payload, size = f->size);
    for (more = *f; !(more.flags & END_HEADERS); f->continuations++) {
        assert_true(peer_next_raw(p, &more));
        assert_int_equal(more.type, CONTINUATION);
        memcpy(block + size, more.payload, more.size);
        size += more.size;
    }
    peer_decode(p, block, size);
    return true;
}

/* The next one of that type and stream; those before it are passed over. */
static inline bool peer_find(struct peer *p, unsigned type, int32_t id, struct peer_frame *f)
{
    while (peer_next(p, f))
        if (f->type == type && f->id == id)
            return true;
    return false;
}

static inline uint32_t peer_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* That stream is reset so, next of all resets. */
static inline void expect_reset(struct peer *p, int32_t id, uint32_t code)
{
    struct peer_frame f = { 0 };

    do
        assert_true(peer_next(p, &f));
    while (f.type != RST_STREAM);
    assert_int_equal(f.id, id);
    assert_int_equal(peer_u32(f.payload), code);
}

static inline void expect_goaway(struct peer *p, uint32_t code)
{
    struct peer_frame f;

    assert_true(peer_find(p, GOAWAY, 0, &f));
    assert_int_equal(peer_u32(f.payload + 4), code);
}

/* Nothing but window updates and what is acknowledged. */
static inline void expect_quiet(struct peer *p)
{
    struct peer_frame f;

    while (peer_next(p, &f))
        assert_true(f.type == WINDOW_UPDATE || ((f.type == SETTINGS || f.type == PING) && f.flags & ACK));
}

/* The sum of increments since the last look. */
static inline uint32_t peer_granted(struct peer *p, int32_t id)
{
    struct peer_frame f;
    uint32_t sum = 0;

    while (peer_find(p, WINDOW_UPDATE, id, &f))
        sum += peer_u32(f.payload);
    return sum;
}

/* Bytes of DATA of that stream since the last look, and whether its end was among them. */
static inline size_t peer_content(struct peer *p, int32_t id, bool *ret_end)
{
    struct peer_frame f;
    size_t sum = 0;

    *ret_end = false;
    while (peer_next(p, &f)) {
        if (f.id != id)
            continue;
        sum += f.type == DATA ? f.size : 0;
        *ret_end |= (f.type == DATA || f.type == HEADERS) && f.flags & END_STREAM;
    }
    return sum;
}

/* ---- users of streams ---- */

/* Takes what there is, up to so many bytes. Returns what look() said in the end. */
static inline int user_take(struct user *u, size_t most)
{
    struct stream *st = &u->s.stream;
    struct bytes data;
    int look;

    while ((look = st->ops->look(st, &data)) == STREAM_DATA && most) {
        size_t n = data.size < most ? data.size : most;

        assert_true(u->got_bytes + n <= sizeof u->got);
        memcpy(u->got + u->got_bytes, data.at, n);
        u->got_bytes += n;
        most -= n;
        st->ops->took(st, n);
    }
    return look;
}

static inline void user_take_all(struct user *u)
{
    (void)user_take(u, SIZE_MAX);
}

/* What peer_data() sent, from the first byte on. */
static inline void expect_got(const struct user *u, size_t size)
{
    assert_int_equal(u->got_bytes, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(u->got[i], (uint8_t)(i * 7 + (size_t)u->s.id));
}

/* Sends what it may of u->to_send, and the end behind it. */
static inline void user_send(struct user *u)
{
    static const uint8_t zeros[1 << 20];
    struct stream *st = &u->s.stream;

    if (u->s.error || u->ended)
        return;
    if (u->peer->order_count < 4096)
        u->peer->order[u->peer->order_count++] = u;
    while (u->sent < u->to_send) {
        size_t left = u->to_send - u->sent;
        ssize_t n = st->ops->send(st, bytes_of(zeros, left < sizeof zeros ? left : sizeof zeros));

        assert_true(n >= 0);
        if (n == 0)
            return;
        u->sent += (size_t)n;
    }
    if (st->ops->end(st, NULL) == 0)
        u->ended = true;
}

static inline int user_head(struct user *u, struct message *m)
{
    return u->s.stream.ops->look_head(&u->s.stream, m);
}

/* A response with so many bytes to follow; 0: of unknown length. */
static inline int user_answer(struct user *u, int status, uint64_t length)
{
    struct message m;

    message_init(&m, &u->peer->arena);
    m.status = status;
    m.body = length ? BODY_LENGTH : BODY_STREAMED;
    m.has_length = length != 0;
    m.length = length;
    return u->s.stream.ops->send_head(&u->s.stream, &m);
}

static inline void user_request_init(struct user *u, struct message *m, const char *method)
{
    message_init(m, &u->peer->arena);
    m->method_name = bytes_of_text(method);
    m->method = method_of(m->method_name);
    m->path = BYTES_LITERAL("/");
    m->authority = BYTES_LITERAL("a.test");
}

/* Client: opens a stream and sends a request without content, or with one of unknown length. */
static inline struct user *user_ask(struct peer *p, const char *method)
{
    struct user *u = peer_user(p);
    struct message m;

    assert_int_equal(h2_stream_open(p->h2, &u->s), 0);
    user_request_init(u, &m, method);
    m.body = strcmp(method, "POST") == 0 ? BODY_STREAMED : BODY_NONE;
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), 0);
    return u;
}

/* ---- beginning and end ---- */

static inline struct h2_options peer_options(enum h2_role role)
{
    return (struct h2_options){
        .role = role,
        .limits = { .request_line = 200, .head = 2000, .fields = 20 },
        .streams_most = 100,
        .scheme = BYTES_LITERAL("https"),
    };
}

/* A machine that has just been made: its SETTINGS have left, the peer has said nothing. */
static inline struct peer *peer_begin(struct peer *p, struct h2_options options)
{
    p->h2 = h2_new(&options, &peer_owner, p);
    assert_non_null(p->h2);
    if (options.role == H2_CLIENT) {
        assert_memory_equal(p->wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PEER_PREFACE);
        p->read = PEER_PREFACE;
    }
    return p;
}

/* The peer's preface and SETTINGS, and that it has seen ours. */
static inline struct peer *peer_open(struct peer *p, struct h2_options options)
{
    struct peer_frame f;

    peer_begin(p, options);
    if (options.role == H2_SERVER)
        assert_int_equal(peer_receive(p, BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    assert_int_equal(peer_frame(p, SETTINGS, ACK, 0, NULL, 0), 0);
    assert_true(peer_find(p, SETTINGS, 0, &f));
    return p;
}

static inline struct peer *peer_server(void **state)
{
    return peer_open(*state, peer_options(H2_SERVER));
}

static inline struct peer *peer_client(void **state)
{
    return peer_open(*state, peer_options(H2_CLIENT));
}

static inline int peer_set_up(void **state, bool bytewise)
{
    struct peer *p = calloc(1, sizeof *p);

    p->bytewise = bytewise;
    p->now_ns = 1;
    arena_init(&p->arena, NULL, 1 << 22);
    *state = p;
    return nghttp2_hd_inflate_new(&p->inflater);
}

static inline int peer_whole(void **state)
{
    return peer_set_up(state, false);
}

static inline int peer_byte_by_byte(void **state)
{
    return peer_set_up(state, true);
}

static inline int peer_tear_down(void **state)
{
    struct peer *p = *state;

    h2_free(p->h2);
    for (unsigned i = 0; i < p->user_count; i++) {
        assert_null(p->users[i]->s.h2);
        h2_stream_close(&p->users[i]->s, H2_CANCEL); /* of no effect: it is not open any more */
        free(p->users[i]);
    }
    nghttp2_hd_inflate_del(p->inflater);
    arena_reset(&p->arena);
    free(p->wire);
    free(p);
    return 0;
}

#define TEST(name) \
    { #name, name, peer_whole, peer_tear_down, NULL }, { #name "_byte_by_byte", name, peer_byte_by_byte, peer_tear_down, NULL }

#endif
