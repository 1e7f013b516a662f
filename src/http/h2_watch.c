/* h2_watch.c: reads the heads of received frames before nghttp2 does, for what nghttp2 keeps to itself: frames of closed
 * streams and of unknown types it drops without a word, and into PRIORITY it does not look where RFC 7540's scheme is off.
 *
 * What is forbidden here (RFC 9113 5.1, 5.1.1, 6.3; RFC 7540 5.3.1) follows from the peer's own frames alone, whatever we
 * did meanwhile: behind its END_STREAM or RST_STREAM comes no more HEADERS or DATA, and a new stream is numbered above all
 * before it. Two bitmaps know the latest streams; what is older, nghttp2 drops. */
#include "http/h2_private.h"

enum { HEAD = H2_FRAME_HEAD, PRIORITY_BYTES = 5 };

static uint32_t number32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool has(const uint8_t *bits, int32_t id)
{
    unsigned i = (unsigned)(id >> 1) % H2_WATCHED;
    return bits[i / 8] >> i % 8 & 1;
}

static void set(uint8_t *bits, int32_t id, bool value)
{
    unsigned i = (unsigned)(id >> 1) % H2_WATCHED;
    bits[i / 8] = (uint8_t)((bits[i / 8] & ~(1u << i % 8)) | (unsigned)value << i % 8);
}

/* Whether the bitmaps tell of that stream. */
static bool is_known(const struct h2_watch *w, int32_t id)
{
    return id % 2 == 1 && id <= w->highest && w->highest - id < 2 * H2_WATCHED;
}

/* A number that is new; those between it and the highest so far are skipped for good. */
static void open_stream(struct h2_watch *w, int32_t id)
{
    int64_t from = w->highest ? w->highest + 2 : 1;

    if (id - from >= 2 * H2_WATCHED)
        from = id - 2 * (H2_WATCHED - 1);
    for (int64_t i = from; i <= id; i += 2) {
        set(w->seen, (int32_t)i, i == id);
        set(w->ended, (int32_t)i, false);
    }
    w->highest = id;
}

static enum h2_code on_headers(struct h2_watch *w, int32_t id, uint8_t flags)
{
    w->in_block = !(flags & NGHTTP2_FLAG_END_HEADERS);
    if (id % 2 == 1 && id > w->highest)
        open_stream(w, id);
    else if (is_known(w, id) && !has(w->seen, id))
        return H2_PROTOCOL_ERROR;
    else if (is_known(w, id) && has(w->ended, id))
        return H2_STREAM_CLOSED;
    if (is_known(w, id) && flags & NGHTTP2_FLAG_END_STREAM)
        set(w->ended, id, true);
    return H2_NO_ERROR;
}

static enum h2_code on_data(struct h2 *h, int32_t id, uint8_t flags)
{
    struct h2_watch *w = &h->watch;

    if (is_known(w, id) && (!has(w->seen, id) || has(w->ended, id)))
        return H2_STREAM_CLOSED;
    if (is_known(w, id) && flags & NGHTTP2_FLAG_END_STREAM)
        set(w->ended, id, true);
    if (!nghttp2_session_find_stream(h->session, id)) /* one that we have reset, most likely */
        h2_budget_charge(&h->budget, WORK_DROPPED, 2);
    return H2_NO_ERROR;
}

static enum h2_code on_frame(struct h2 *h, uint32_t length, uint8_t type, uint8_t flags, int32_t id)
{
    struct h2_watch *w = &h->watch;

    w->is_head = type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION;
    if (w->in_block) { /* nghttp2 refuses all but CONTINUATION */
        w->in_block = type != NGHTTP2_CONTINUATION || !(flags & NGHTTP2_FLAG_END_HEADERS);
        return H2_NO_ERROR;
    }
    switch (type) {
    case NGHTTP2_HEADERS:
        return on_headers(w, id, flags);
    case NGHTTP2_DATA:
        return on_data(h, id, flags);
    case NGHTTP2_RST_STREAM:
        if (is_known(w, id))
            set(w->ended, id, true);
        return H2_NO_ERROR;
    case NGHTTP2_PRIORITY:
        return id == 0 ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    case NGHTTP2_GOAWAY:
        h2_budget_charge(&h->budget, WORK_UNKNOWN, 10);
        return H2_NO_ERROR;
    default:
        if (type > NGHTTP2_CONTINUATION && type != NGHTTP2_PRIORITY_UPDATE)
            h2_budget_charge(&h->budget, WORK_UNKNOWN, 10 + (int64_t)(length / 1024));
        return H2_NO_ERROR;
    }
}

/* The bytes that were collected are complete: a frame's head, or PRIORITY's payload behind it. */
static enum h2_code on_collected(struct h2 *h)
{
    struct h2_watch *w = &h->watch;
    const uint8_t *at = w->head;
    uint32_t length = number32(at) >> 8, id = number32(at + 5) & INT32_MAX;

    if (w->have > HEAD) {
        w->have = 0;
        return (number32(at + HEAD) & INT32_MAX) == id ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    }
    if (at[3] == NGHTTP2_PRIORITY && length == PRIORITY_BYTES) {
        w->want = HEAD + PRIORITY_BYTES;
    } else {
        w->skip = length;
        w->have = 0;
    }
    return on_frame(h, length, at[3], at[4], (int32_t)id);
}

void h2_watch_init(struct h2_watch *w)
{
    w->skip = NGHTTP2_CLIENT_MAGIC_LEN;
}

size_t h2_watch(struct h2 *h, struct bytes in)
{
    struct h2_watch *w = &h->watch;
    size_t at = 0, began = 0;

    while (at < in.size) {
        size_t n;

        if (w->skip) {
            n = in.size - at < w->skip ? in.size - at : w->skip;
            w->skip -= (uint32_t)n;
            at += n;
            continue;
        }
        if (w->have == 0) {
            began = at;
            w->want = HEAD;
        }
        n = in.size - at < (size_t)(w->want - w->have) ? in.size - at : (size_t)(w->want - w->have);
        memcpy(w->head + w->have, in.at + at, n);
        w->have = (uint8_t)(w->have + n);
        at += n;
        if (w->have < w->want)
            continue;
        h->fault = on_collected(h);
        if (h->fault)
            return began;
    }
    return in.size;
}
