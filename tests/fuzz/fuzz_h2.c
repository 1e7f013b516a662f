/* The HTTP/2 machine. The first byte chooses the role and how its user behaves, the second one how the rest, which are the
 * peer's bytes, is cut into pieces, the third how much room there is. What must hold:
 *   - what is written are whole frames of at most 16 KB, and never more than there is room for;
 *   - what is stored stays within bounds, and is given back;
 *   - a message that is accepted and written as HTTP/1 parses to the same message: nobody can be told another one. */
#include <stdlib.h>

#include "base/check.h"
#include "http/h2.h"

static const struct h1_limits limits = { .request_line = 1024, .head = 4096, .fields = 50 };

enum { IS_CLIENT = 1, LEAVES = 2, ANSWERS_EARLY = 4, CLOSES = 8, DRAINS = 16, RAW = 32, REFUSES = 64 };
enum { STREAMS = 8, STORED_MOST = 384 * 1024, SECOND = 1000000000 };

struct user {
    struct h2_stream stream;
    struct machine *of;
    struct arena arena;
    struct message m;
    bool open, answered;
    size_t left; /* of our content */
};

struct machine {
    struct h2 *h2;
    struct user users[STREAMS];
    uint8_t what;
    size_t room, frame_left, preface_left;
    uint8_t head[9];
    unsigned head_have;
    uint64_t written;
};

/* ---- what is written ---- */

static void check_frames(struct machine *f, struct bytes out)
{
    for (size_t i = 0; i < out.size; i++) {
        if (f->preface_left) {
            f->preface_left--;
        } else if (f->frame_left) {
            f->frame_left--;
        } else {
            f->head[f->head_have++] = out.at[i];
            if (f->head_have < sizeof f->head)
                continue;
            f->head_have = 0;
            f->frame_left = (size_t)f->head[0] << 16 | (size_t)f->head[1] << 8 | f->head[2];
            CHECK(f->frame_left <= 16384);
        }
    }
}

static size_t room(void *user)
{
    const struct machine *f = user;
    return f->room;
}

static int write_out(void *user, struct bytes head, struct bytes data)
{
    struct machine *f = user;

    CHECK(head.size + data.size <= f->room);
    f->room -= head.size + data.size;
    f->written += head.size + data.size;
    check_frames(f, head);
    check_frames(f, data);
    return 0;
}

static void dirty(void *user)
{
}

static uint64_t wire_out(void *user)
{
    const struct machine *f = user;
    return f->written;
}

/* ---- what is received ---- */

static void check_clean(const struct fields *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->at[i];

        CHECK(field->name.size > 0 && !field_is_framing(field->id) && !field_is_framing(field->like));
        for (size_t j = 0; j < field->name.size; j++)
            CHECK(field->name.at[j] > ' ' && field->name.at[j] < 0x7f && field->name.at[j] != ':');
        for (size_t j = 0; j < field->value.size; j++)
            CHECK(field->value.at[j] == '\t' || (field->value.at[j] >= ' ' && field->value.at[j] != 0x7f));
    }
}

static void check_same(const struct message *a, const struct message *b)
{
    CHECK(a->method == b->method && a->status == b->status && bytes_equal(a->method_name, b->method_name));
    CHECK(bytes_equal(a->authority, b->authority) && bytes_equal(a->path, b->path));
    CHECK(a->expect_continue == b->expect_continue && a->te_trailers == b->te_trailers);
    CHECK(a->body == b->body && a->has_length == b->has_length && a->length == b->length);
    CHECK(a->fields.count == b->fields.count);
    for (uint32_t i = 0; i < a->fields.count; i++) {
        CHECK(bytes_equal(a->fields.at[i].name, b->fields.at[i].name));
        CHECK(bytes_equal(a->fields.at[i].value, b->fields.at[i].value));
    }
}

static void check_round_trip(struct message m, struct arena *arena)
{
    static uint8_t out[4 * 4096];
    const struct h1_limits wider = { .request_line = 2048, .head = sizeof out, .fields = 60 };
    bool is_request = m.status == 0;
    struct h1_scan scan = { 0 };
    struct message again;
    int size;

    check_clean(&m.fields);
    if (m.method == METHOD_CONNECT)
        return;
    m.version = HTTP_1_1;
    m.scheme = BYTES_NONE;
    m.persistent = true;
    if (!is_request && m.status >= 200 && m.body == BODY_NONE)
        return; /* what it announces depends on the request */
    size = is_request ? h1_write_request(&m, out, sizeof out) : h1_write_response(&m, HTTP_1_1, out, sizeof out);
    CHECK(size > 0);
    CHECK(h1_head_scan(&scan, bytes_of(out, (size_t)size), is_request, &wider) == size);
    message_init(&again, arena);
    if (is_request) {
        CHECK(h1_parse_request(bytes_of(out, (size_t)size), &wider, &again) == 0);
        CHECK(again.persistent);
        m.has_length = again.has_length; /* POST without content: "Content-Length: 0" is ours */
        check_same(&m, &again);
    } else {
        CHECK(h1_parse_response(bytes_of(out, (size_t)size), &wider, METHOD_GET, &again) == 0);
        CHECK(again.status == m.status && again.fields.count == m.fields.count);
    }
}

/* ---- the user of a stream ---- */

static void close_user(struct user *u, enum h2_code code)
{
    h2_stream_close(&u->stream, code);
    u->open = false;
}

static void send_content(struct user *u)
{
    static const uint8_t content[20000];
    struct stream *s = &u->stream.stream;

    while (u->left) {
        ssize_t n = s->ops->send(s, bytes_of(content, u->left < sizeof content ? u->left : sizeof content));
        if (n <= 0)
            return;
        u->left -= (size_t)n;
    }
    if (!u->stream.out_ended)
        (void)!s->ops->end(s, NULL);
}

static void respond(struct user *u)
{
    struct stream *s = &u->stream.stream;
    struct message m;
    int error = 0;

    if (!u->answered) {
        message_init(&m, &u->arena);
        m.version = HTTP_2;
        m.status = 200;
        m.body = BODY_STREAMED;
        CHECK(message_add(&m, BYTES_LITERAL("x-own"), BYTES_LITERAL("value")) == 0);
        error = s->ops->send_head(s, &m);
        u->answered = error == 0;
        u->left = 70000;
    }
    if (!error)
        send_content(u);
}

static void take_content(struct user *u)
{
    struct stream *s = &u->stream.stream;
    struct bytes data;
    int n;

    while ((n = s->ops->look(s, &data)) == STREAM_DATA) {
        CHECK(data.size);
        if (u->of->what & LEAVES)
            return;
        s->ops->took(s, data.size / 2 + 1);
    }
    if (n == STREAM_END && s->ops->trailers(s))
        check_clean(s->ops->trailers(s));
}

static void on_event(struct h2_stream *stream)
{
    struct user *u = CONTAINER_OF(stream, struct user, stream);
    uint8_t what = u->of->what;
    int error;

    while ((error = stream->stream.ops->look_head(&stream->stream, &u->m)) == 0)
        check_round_trip(u->m, &u->arena);
    if (error != -E_AGAIN && stream->error) {
        close_user(u, H2_CANCEL);
        return;
    }
    take_content(u);
    if (!(what & IS_CLIENT) && (what & ANSWERS_EARLY || stream->in_ended))
        respond(u);
    else if (what & IS_CLIENT)
        send_content(u);
    if (stream->error || (what & CLOSES && stream->in_bytes > 100) || (stream->in_ended && stream->out_ended && !(what & LEAVES)))
        close_user(u, H2_NO_ERROR);
}

static struct user *new_user(struct machine *f)
{
    static struct arena_cache cache;

    for (unsigned i = 0; i < STREAMS; i++) {
        struct user *u = &f->users[i];
        if (u->open)
            continue;
        arena_reset(&u->arena);
        *u = (struct user){ .of = f, .open = true };
        arena_init(&u->arena, &cache, 1 << 20);
        message_init(&u->m, &u->arena);
        h2_stream_init(&u->stream, &u->arena, on_event);
        return u;
    }
    return NULL;
}

static struct h2_stream *accept_stream(void *user)
{
    struct machine *f = user;
    struct user *u = f->what & REFUSES ? NULL : new_user(f);
    return u ? &u->stream : NULL;
}

static void ask(struct machine *f)
{
    for (unsigned i = 0; i < 4; i++) {
        struct user *u = new_user(f);
        struct message m;

        message_init(&m, &u->arena);
        m.method = i == 3 ? METHOD_HEAD : i ? METHOD_POST : METHOD_GET;
        m.method_name = i == 3 ? BYTES_LITERAL("HEAD") : i ? BYTES_LITERAL("POST") : BYTES_LITERAL("GET");
        m.path = BYTES_LITERAL("/");
        m.authority = BYTES_LITERAL("a.test");
        m.body = i == 1 || i == 2 ? BODY_STREAMED : BODY_NONE;
        if (h2_stream_open(f->h2, &u->stream) || u->stream.stream.ops->send_head(&u->stream.stream, &m)) {
            close_user(u, H2_CANCEL);
            return;
        }
        u->left = m.body == BODY_STREAMED ? 30000 : 0;
    }
}

/* ---- a run ---- */

static int feed(struct machine *f, struct bytes in, uint8_t cut, uint8_t room_bytes)
{
    uint32_t seed = cut;
    uint64_t now = 1;

    while (in.size) {
        size_t n = seed ? (seed >> 16) % 40 + 1 : in.size;
        struct bytes part = bytes_part(in, 0, n);
        uint8_t *copy = malloc(part.size); /* so that the sanitizer sees what is read beyond it */
        int error;

        CHECK(copy);
        memcpy(copy, part.at, part.size);
        error = h2_receive(f->h2, bytes_of(copy, part.size), now);
        free(copy);
        CHECK(h2_stored_bytes(f->h2) <= STORED_MOST);
        if (!error && f->room < 65536)
            f->room = room_bytes ? f->room + (size_t)room_bytes * 64 : 65536;
        if (!error)
            error = h2_wake(f->h2);
        if (!error)
            error = h2_flush(f->h2);
        if (error)
            return error;
        in = bytes_from(in, part.size);
        seed = seed ? seed * 1664525 + 1013904223 : 0;
        now += SECOND / 100;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const struct h2_owner owner = { room, write_out, dirty, wire_out, accept_stream };
    static struct machine f;
    struct h2_options options = { .limits = limits, .streams_most = 6, .connect_protocol = true, .scheme = BYTES_LITERAL("https") };
    int error = 0;

    if (size < 3)
        return 0;
    f = (struct machine){ .what = data[0], .room = 65536 };
    options.role = f.what & IS_CLIENT ? H2_CLIENT : H2_SERVER;
    f.preface_left = f.what & IS_CLIENT ? 24 : 0;
    f.h2 = h2_new(&options, &owner, &f);
    CHECK(f.h2);
    if (f.what & IS_CLIENT)
        ask(&f);
    if (!(f.what & RAW))
        error = feed(&f, f.what & IS_CLIENT ? bytes_of(hello + 24, 9) : bytes_of(hello, 33), 0, 0);
    if (!error && f.what & DRAINS)
        h2_drain(f.h2);
    if (!error)
        error = feed(&f, bytes_of(data + 3, size - 3), data[1], data[2]);
    CHECK(error <= 0);
    for (unsigned i = 0; i < STREAMS; i++)
        if (f.users[i].open && i % 2)
            close_user(&f.users[i], H2_CANCEL);
    h2_free(f.h2);
    for (unsigned i = 0; i < STREAMS; i++) {
        if (f.users[i].open)
            close_user(&f.users[i], H2_CANCEL);
        arena_reset(&f.users[i].arena);
    }
    return 0;
}
