/* h2_in.c: content that is received. What a user takes at once is never copied; what it leaves waits in pieces, at most
 * as much as its window. The connection's window is given back when bytes come, the stream's when they are taken. */
#include <stdlib.h>

#include "http/h2_private.h"

enum {
    PIECE_SMALL = 1024, /* bytes of content: a stream's own window */
    PIECE_LARGE = 4096,
    GRANT_LEAST = 512, /* smaller ones are not worth a frame */
};

struct piece {
    struct list link;
    uint32_t start, end, size;
    uint8_t bytes[];
};

static struct piece *first_piece(const struct h2_stream *s)
{
    return list_is_empty(&s->stored) ? NULL : LIST_FIRST(&s->stored, struct piece, link);
}

static void count_stored(struct h2_stream *s, int64_t change)
{
    s->stored_bytes = (uint32_t)(s->stored_bytes + change);
    if (s->h2)
        s->h2->stored_bytes = (size_t)((int64_t)s->h2->stored_bytes + change);
}

static void drop_piece(struct piece *p)
{
    list_remove(&p->link);
    free(p);
}

/* More window out of the bank: half of what is left at most, so that others get some too. */
static void grow(struct h2_stream *s)
{
    struct h2 *h = s->h2;
    uint32_t most = h2_windows[h->options.role].most;
    uint64_t want = s->in_left < most ? s->in_left : most;
    uint32_t grant;

    if (!h->settled || !s->live || s->in_ended || s->error || want <= s->window)
        return;
    grant = (uint32_t)want - s->window;
    if (grant > h->bank / 2)
        grant = h->bank / 2;
    if (grant < GRANT_LEAST)
        return;
    if (nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, s->id, (int32_t)(s->window + grant)))
        return;
    h->bank -= grant;
    s->window += grant;
}

static void repay(struct h2_stream *s)
{
    uint32_t share = s->h2 ? h2_windows[s->h2->options.role].share : 0;

    if (!s->h2 || s->window <= share)
        return;
    s->h2->bank += s->window - share;
    s->window = share;
}

void h2_in_expect(struct h2_stream *s)
{
    grow(s);
}

/* Before the peer knows our SETTINGS it may fill the connection's first window, whatever streams that is for, and no more:
 * that, and not the number of its streams, is what we have to store then. */
void h2_in_consume(struct h2 *h, size_t n)
{
    if (h->settled)
        (void)nghttp2_session_consume_connection(h->session, n);
    else
        h->unsettled_bytes += (uint32_t)n;
}

void h2_in_settle(struct h2 *h)
{
    if (h->settled)
        return;
    h->settled = true;
    (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                h2_windows[h->options.role].connection);
    (void)nghttp2_session_consume_connection(h->session, h->unsettled_bytes);
    LIST_EACH (&h->streams, at)
        grow(CONTAINER_OF(at, struct h2_stream, link));
}

bool h2_in_data(struct h2_stream *s, struct bytes data)
{
    struct h2 *h = s->h2;

    if (s->error)
        return false;
    if (h->options.role == H2_CLIENT && !s->final_seen) {
        h2_stream_fail(s, H2_PROTOCOL_ERROR, -E_SYNTAX);
        return false;
    }
    if (data.size > s->in_left) {
        h2_stream_fail(s, H2_PROTOCOL_ERROR, -E_AMBIGUOUS);
        return false;
    }
    if (s->in_left != UINT64_MAX)
        s->in_left -= data.size;
    s->in_bytes += data.size;
    s->chunk = data;
    return true;
}

/* The last piece where it has room, else a new one; NULL: memory. */
static struct piece *piece_with_room(struct h2_stream *s)
{
    bool small = s->chunk.size <= PIECE_SMALL || s->stored_bytes < 2 * PIECE_SMALL;
    uint32_t size = small ? PIECE_SMALL : PIECE_LARGE;
    struct piece *p;

    if (!list_is_empty(&s->stored)) {
        p = LIST_LAST(&s->stored, struct piece, link);
        if (p->end < p->size)
            return p;
    }
    p = malloc(sizeof *p + size);
    if (!p)
        return NULL;
    *p = (struct piece){ .size = size };
    list_append(&s->stored, &p->link);
    return p;
}

void h2_in_store_chunk(struct h2_stream *s)
{
    while (s->chunk.size) {
        struct piece *last = piece_with_room(s);
        size_t n;

        if (!last) {
            s->chunk = BYTES_NONE;
            h2_stream_fail(s, H2_INTERNAL_ERROR, -E_MEMORY);
            return;
        }
        n = last->size - last->end < s->chunk.size ? last->size - last->end : s->chunk.size;
        memcpy(last->bytes + last->end, s->chunk.at, n);
        last->end += (uint32_t)n;
        s->chunk = bytes_from(s->chunk, n);
        count_stored(s, (int64_t)n);
    }
    s->chunk = BYTES_NONE;
}

void h2_in_ended(struct h2_stream *s)
{
    if (s->error || s->in_ended)
        return;
    if (s->in_left != UINT64_MAX && s->in_left) {
        h2_stream_fail(s, H2_PROTOCOL_ERROR, -E_AMBIGUOUS);
        return;
    }
    s->in_ended = true;
    if (s->stored_bytes == 0)
        repay(s);
    h2_mark_ready(s);
}

void h2_in_drop(struct h2_stream *s)
{
    LIST_EACH (&s->stored, link) {
        struct piece *p = CONTAINER_OF(link, struct piece, link);

        count_stored(s, -(int64_t)(p->end - p->start));
        drop_piece(p);
    }
    s->chunk = BYTES_NONE;
    repay(s);
}

int h2_in_look_head(struct stream *st, struct message *m)
{
    struct h2_stream *s = h2_stream_of(st);
    struct h2_head *head = s->heads;

    if (!head)
        return s->error ? s->error : -E_AGAIN;
    s->heads = head->next;
    if (!s->heads)
        s->heads_end = &s->heads;
    *m = head->m;
    return head->error;
}

int h2_in_look(struct stream *st, struct bytes *ret_data)
{
    struct h2_stream *s = h2_stream_of(st);
    struct piece *p = first_piece(s);

    if (s->error && !s->in_ended)
        return s->error;
    if (p)
        *ret_data = bytes_of(p->bytes + p->start, p->end - p->start);
    else if (s->chunk.size)
        *ret_data = s->chunk;
    else
        return s->in_ended ? STREAM_END : -E_AGAIN;
    return STREAM_DATA;
}

void h2_in_took(struct stream *st, size_t n)
{
    struct h2_stream *s = h2_stream_of(st);
    struct piece *p = first_piece(s);

    if (n == 0)
        return;
    if (p) {
        CHECK(n <= p->end - p->start);
        p->start += (uint32_t)n;
        count_stored(s, -(int64_t)n);
        if (p->start == p->end)
            drop_piece(p);
    } else {
        CHECK(n <= s->chunk.size);
        s->chunk = bytes_from(s->chunk, n);
    }
    if (!s->h2 || !s->live)
        return;
    (void)nghttp2_session_consume_stream(s->h2->session, s->id, n);
    if (s->in_ended && s->stored_bytes == 0)
        repay(s);
    else if (!p)
        grow(s); /* it flows */
    s->h2->owner->dirty(s->h2->user);
}

const struct fields *h2_in_trailers(struct stream *st)
{
    const struct h2_stream *s = h2_stream_of(st);
    return s->trailers ? &s->trailers->fields : NULL;
}
