/* h2_frames.c: what nghttp2 reports: frames that came, and that left. It may not be called for sending from here: what
 * happens is noted in the machine. */
#include <stdio.h>

#include "http/h2_private.h"

char h2_detached;

static struct h2_stream *stream_by_id(struct h2 *h, int32_t id)
{
    void *s = nghttp2_session_get_stream_user_data(h->session, id);
    return s == &h2_detached ? NULL : s;
}

/* Stops it at once, where a peer makes too much work. */
static int verdict(const struct h2 *h)
{
    return h->budget.flood ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2 *h = user;

    h2_budget_frame(h, hd);
    if (hd->type == NGHTTP2_PRIORITY_UPDATE)
        h->ext_bytes = 0;
    return verdict(h);
}

/* Server: a request. */
static struct h2_stream *accept_stream(struct h2 *h, int32_t id)
{
    struct h2_stream *s = h->owner->accept(h->user);

    if (!s) {
        (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
        return NULL;
    }
    h2_attach(h, s);
    s->id = id;
    s->live = true;
    (void)nghttp2_session_set_stream_user_data(h->session, id, s);
    return s;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;
    int32_t id = frame->hd.stream_id;
    struct h2_stream *s;
    bool trailers;

    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        s = accept_stream(h, id);
    else
        s = stream_by_id(h, id);
    if (s && s->error)
        s = NULL;
    trailers = frame->headers.cat == NGHTTP2_HCAT_HEADERS && (h->options.role == H2_SERVER || (s && s->final_seen));
    h2_fields_start(h, s, trailers);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    struct h2 *h = user;

    h2_fields_add(h, bytes_of(name, name_size), bytes_of(value, value_size));
    return verdict(h);
}

static void end_of_head(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = h->parse.stream;

    if (s && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        (void)h2_priority_early(h, s);
    h2_fields_end(h, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

static void end_of_data(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_by_id(h, frame->hd.stream_id);
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (frame->hd.length == frame->data.padlen && !end)
        h2_budget_charge(&h->budget, WORK_EMPTY_DATA, 20);
    if (s && end)
        h2_in_ended(s);
}

static void peer_reset(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = stream_by_id(h, frame->hd.stream_id);
    bool early = s && !(s->out_ended && s->in_ended);

    h2_budget_charge(&h->budget, WORK_RESET, early ? 14 : 2);
    if (s && !s->error) {
        s->error = -E_RESET;
        s->reset_code = frame->rst_stream.error_code;
        h2_mark_ready(s);
    }
}

static void window_update(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = frame->hd.stream_id ? stream_by_id(h, frame->hd.stream_id) : NULL;

    h2_budget_update(&h->budget, frame->window_update.window_size_increment);
    if (s && s->blocked_by_peer)
        h2_out_window(s);
    if (h->waiting_count)
        h->serve_due = true;
}

static void settings(struct h2 *h, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
        h2_in_settle(h);
        return;
    }
    h->open = true;
    LIST_EACH (&h->streams, at) {
        struct h2_stream *s = CONTAINER_OF(at, struct h2_stream, link);
        if (s->blocked_by_peer)
            h2_out_window(s);
    }
}

static void pong(struct h2 *h)
{
    h->pongs++;
    if (h->draining && !h->final)
        h2_drain_final(h);
}

/* nghttp2 ends the streams that the peer did not begin with, but for those whose head has not left yet. */
static void goaway(struct h2 *h, const nghttp2_goaway *frame)
{
    h->goaway_code = frame->error_code;
    if (h->options.role == H2_SERVER)
        return;
    LIST_EACH (&h->streams, at) {
        struct h2_stream *s = CONTAINER_OF(at, struct h2_stream, link);

        if (s->error || (s->id && (!s->live || nghttp2_session_find_stream(h->session, s->id))))
            continue;
        s->error = -E_RESET;
        s->unprocessed = true;
        h2_mark_ready(s);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        end_of_head(h, frame);
        break;
    case NGHTTP2_DATA:
        end_of_data(h, frame);
        break;
    case NGHTTP2_RST_STREAM:
        peer_reset(h, frame);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        window_update(h, frame);
        break;
    case NGHTTP2_SETTINGS:
        settings(h, frame);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            pong(h);
        break;
    case NGHTTP2_GOAWAY:
        goaway(h, &frame->goaway);
        break;
    default:
        break;
    }
    return verdict(h);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                         void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = stream_by_id(h, id);

    h2_in_consume(h, size);
    if (!s || !h2_in_data(s, bytes_of(data, size)))
        return 0;
    h->chunk_of = s;
    return NGHTTP2_ERR_PAUSE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2 *h = user;
    void *of = nghttp2_session_get_stream_user_data(session, id);
    struct h2_stream *s = of == &h2_detached ? NULL : of;

    if (of)
        h->stream_count--;
    if (code == NGHTTP2_NO_ERROR)
        h2_budget_refund(&h->budget, 14);
    if (!s)
        return 0;
    s->live = false;
    s->unprocessed |= h->options.role == H2_CLIENT && code == NGHTTP2_REFUSED_STREAM;
    h2_out_forget(s);
    if ((!s->in_ended || !s->out_ended) && !s->error) {
        s->error = -E_RESET;
        s->reset_code = code;
    }
    h2_mark_ready(s);
    return 0;
}

static void note_reason(struct h2 *h, const nghttp2_goaway *goaway)
{
    const char *name = nghttp2_http2_strerror(goaway->error_code);

    if (goaway->opaque_data_len)
        snprintf(h->reason, sizeof h->reason, "%.*s", (int)goaway->opaque_data_len, (const char *)goaway->opaque_data);
    else
        snprintf(h->reason, sizeof h->reason, "%s", name);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        switch (frame->rst_stream.error_code) {
        case NGHTTP2_PROTOCOL_ERROR:
        case NGHTTP2_FLOW_CONTROL_ERROR:
        case NGHTTP2_STREAM_CLOSED:
        case NGHTTP2_FRAME_SIZE_ERROR:
        case NGHTTP2_REFUSED_STREAM:
            h2_budget_charge(&h->budget, WORK_PROVOKED, 20);
            break;
        default:
            break;
        }
    }
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        note_reason(h, &frame->goaway);
        if (!h->error)
            h->error = h->budget.flood ? -E_FLOOD : -E_SYNTAX;
    }
    return 0;
}

static int on_extension_chunk(nghttp2_session *session, const nghttp2_frame_hd *hd, const uint8_t *data, size_t size,
                              void *user)
{
    struct h2 *h = user;

    for (size_t i = 0; i < size && h->ext_bytes < sizeof h->ext; i++)
        h->ext[h->ext_bytes++] = data[i];
    return 0;
}

static int on_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd, void *user)
{
    struct h2 *h = user;
    enum h2_code code = hd->stream_id || h->options.role == H2_CLIENT ? H2_PROTOCOL_ERROR : h2_priority_update(h);

    *payload = NULL;
    if (code != H2_NO_ERROR)
        (void)nghttp2_session_terminate_session(session, (uint32_t)code);
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    struct h2 *h = user;

    if (h->owner->room(h->user) < size)
        return NGHTTP2_ERR_WOULDBLOCK;
    h->error = h->owner->write(h->user, bytes_of(data, size), BYTES_NONE);
    if (h->error)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h->written += size;
    h->owner->dirty(h->user);
    return (ssize_t)size;
}

nghttp2_session_callbacks *h2_callbacks(void)
{
    nghttp2_session_callbacks *c;

    if (nghttp2_session_callbacks_new(&c))
        return NULL;
    nghttp2_session_callbacks_set_send_callback(c, on_send);
    nghttp2_session_callbacks_set_send_data_callback(c, h2_out_send_data);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(c, on_extension_chunk);
    nghttp2_session_callbacks_set_unpack_extension_callback(c, on_extension);
    return c;
}
