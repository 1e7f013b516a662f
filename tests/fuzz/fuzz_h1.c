/* The HTTP/1 codec. The first byte chooses what the rest is: a request or a response with what follows it; the second
 * one how it is cut into pieces. What must hold:
 *   - in pieces or at once, the codec says the same;
 *   - a message that was accepted and is written again parses to the same message. */
#include <stdlib.h>

#include "base/check.h"
#include "http/h1.h"

static const struct h1_limits limits = { .request_line = 1024, .head = 4096, .fields = 50 };

enum { IS_RESPONSE = 1, TO_HEAD = 2, WANT_TRAILERS = 4 };

struct outcome {
    int head, parsed, body;
    struct message m, trailers;
    struct bytes content;
    size_t used;
};

/* Sizes of pieces out of a seed; a seed of 0 means all at once. */
static size_t piece(uint32_t *seed, size_t left)
{
    size_t size;

    if (*seed == 0)
        return left;
    *seed = *seed * 1664525 + 1013904223;
    size = (*seed >> 24) % 13 + 1;
    return size < left ? size : left;
}

/* A copy of its own, so that the sanitizer sees what is read beyond it. */
static struct bytes alone(struct bytes b)
{
    uint8_t *copy = malloc(b.size ? b.size : 1);

    CHECK(copy);
    if (b.size)
        memcpy(copy, b.at, b.size);
    return bytes_of(copy, b.size);
}

static int scan(struct bytes in, bool is_request, uint32_t seed)
{
    struct h1_scan s = { 0 };
    size_t have = 0;
    int result = -E_AGAIN;

    while (result == -E_AGAIN && have < in.size) {
        have += piece(&seed, in.size - have);
        struct bytes copy = alone(bytes_part(in, 0, have));
        result = h1_head_scan(&s, copy, is_request, &limits);
        free((void *)copy.at);
    }
    return result;
}

static void read_body(struct bytes in, uint32_t seed, bool want_trailers, struct arena *arena, struct outcome *o)
{
    struct h1_body body;
    uint8_t *content = arena_alloc(arena, in.size);
    size_t have = 0;

    CHECK(content);
    o->content = bytes_of(content, 0);
    h1_body_start(&body, &o->m, &limits, want_trailers ? &o->trailers : NULL);
    while (true) {
        struct bytes copy = alone(bytes_part(in, o->used, have - o->used)), data;
        size_t skip;

        o->body = h1_body_look(&body, copy, &skip, &data);
        CHECK(skip <= copy.size);
        o->used += skip;
        if (o->body == H1_DATA) {
            size_t n = piece(&seed, data.size);
            CHECK(data.size && data.at == copy.at + skip && data.size <= copy.size - skip);
            memcpy(content + o->content.size, data.at, n);
            o->content.size += n;
            o->used += n;
            h1_body_took(&body, n);
        }
        free((void *)copy.at);
        if (o->body == H1_DATA)
            continue;
        if (o->body != -E_AGAIN || have == in.size)
            return;
        have += piece(&seed, in.size - have);
    }
}

static void run(struct bytes in, uint8_t what, uint32_t seed, struct arena *arena, struct outcome *o)
{
    enum http_method method = what & TO_HEAD ? METHOD_HEAD : METHOD_GET;
    struct bytes head;

    *o = (struct outcome){ .parsed = -1 };
    message_init(&o->m, arena);
    message_init(&o->trailers, arena);
    o->head = scan(in, !(what & IS_RESPONSE), seed);
    if (o->head < 0)
        return;
    CHECK(o->head > 0 && (size_t)o->head <= in.size);
    head = alone(bytes_part(in, 0, (size_t)o->head));
    o->parsed =
        what & IS_RESPONSE ? h1_parse_response(head, &limits, method, &o->m) : h1_parse_request(head, &limits, &o->m);
    free((void *)head.at);
    CHECK(o->parsed <= 0);
    if (o->parsed == 0)
        read_body(bytes_from(in, (size_t)o->head), seed, what & WANT_TRAILERS, arena, o);
}

static void check_same_fields(const struct fields *a, const struct fields *b)
{
    CHECK(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        CHECK(bytes_equal(a->at[i].name, b->at[i].name));
        CHECK(bytes_equal(a->at[i].value, b->at[i].value));
        CHECK(a->at[i].id == b->at[i].id && a->at[i].like == b->at[i].like);
    }
}

static void check_same_message(const struct message *a, const struct message *b)
{
    CHECK(a->version == b->version && a->method == b->method && a->status == b->status);
    CHECK(bytes_equal(a->method_name, b->method_name) && bytes_equal(a->scheme, b->scheme));
    CHECK(bytes_equal(a->authority, b->authority) && bytes_equal(a->path, b->path));
    CHECK(bytes_equal(a->reason, b->reason) && bytes_equal(a->upgrade, b->upgrade));
    CHECK(a->expect_continue == b->expect_continue && a->te_trailers == b->te_trailers);
    CHECK(a->body == b->body && a->has_length == b->has_length && a->length == b->length);
    CHECK(a->persistent == b->persistent);
    check_same_fields(&a->fields, &b->fields);
}

/* Nothing in an accepted message may be able to end a line, or to look like framing. */
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

static void check_round_trip(struct message *m, uint8_t what, struct arena *arena)
{
    static uint8_t out[3 * 4096];
    enum http_method method = what & TO_HEAD ? METHOD_HEAD : METHOD_GET;
    const struct h1_limits wider = { .request_line = 2048, .head = sizeof(out), .fields = 60 };
    struct h1_scan s = { 0 };
    struct message again;
    int size, result;

    if (!(what & IS_RESPONSE)) {
        if (m->version == HTTP_1_0)
            m->persistent = false;
        m->scheme = BYTES_NONE;
        if (m->authority.size == 0)
            m->authority = BYTES_LITERAL("a.example");
        size = h1_write_request(m, out, sizeof(out));
    } else {
        size = h1_write_response(m, HTTP_1_1, out, sizeof(out));
        if (m->status < 200 && m->status != 101)
            m->persistent = true; /* interim responses do not close */
    }
    m->version = HTTP_1_1;
    CHECK(size > 0);
    CHECK(h1_head_scan(&s, bytes_of(out, (size_t)size), !(what & IS_RESPONSE), &wider) == size);
    message_init(&again, arena);
    result = what & IS_RESPONSE ? h1_parse_response(bytes_of(out, (size_t)size), &wider, method, &again)
                                : h1_parse_request(bytes_of(out, (size_t)size), &wider, &again);
    CHECK(result == 0);
    check_same_message(m, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena_cache cache;
    struct outcome whole, pieces;
    struct arena arena;
    struct bytes in;

    if (size < 2)
        return 0;
    in = bytes_of(data + 2, size - 2);
    arena_init(&arena, &cache, SIZE_MAX);
    run(in, data[0], 0, &arena, &whole);
    run(in, data[0], 1 + data[1], &arena, &pieces);
    CHECK(whole.head == pieces.head && whole.parsed == pieces.parsed && whole.body == pieces.body);
    check_same_message(&whole.m, &pieces.m);
    if (whole.parsed == 0) {
        CHECK(bytes_equal(whole.content, pieces.content));
        CHECK(whole.body != H1_END || whole.used == pieces.used);
        check_same_fields(&whole.trailers.fields, &pieces.trailers.fields);
        check_clean(&whole.m.fields);
        check_clean(&whole.trailers.fields);
        check_round_trip(&whole.m, data[0], &arena);
    }
    arena_reset(&arena);
    return 0;
}
