/* h2_out.c: heads and content that are sent, and who comes first when there is not room for all. */
#include <stdio.h>

#include "http/h2_private.h"

enum {
    FIELDS_MOST = 1100,
    HEAD_MOST = 60000, /* bytes: nghttp2 sends no larger ones */
    FIELD_EXTRA = 12,  /* bytes that HPACK may add to a field */
    ROOM_LEAST = 1024, /* bytes: for less nobody is woken */
};

/* ---- who comes first ---- */

static void enlist(struct h2_stream *s)
{
    struct h2 *h = s->h2;
    struct list *list = &h->waiting[s->urgency], *at = list;

    if (!list_is_empty(&s->wait_link))
        return;
    if (!s->incremental || s->turn_left) { /* before all that are incremental, in the order of their ids */
        for (at = list->next; at != list; at = at->next) {
            const struct h2_stream *other = CONTAINER_OF(at, struct h2_stream, wait_link);
            if (other->incremental || (!s->incremental && other->id > s->id))
                break;
        }
    }
    list_insert_before(at, &s->wait_link);
    h->waiting_count++;
    h->waiting_heads += s->head_waits;
}

void h2_out_forget(struct h2_stream *s)
{
    if (list_is_empty(&s->wait_link))
        return;
    list_remove(&s->wait_link);
    s->h2->waiting_count--;
    s->h2->waiting_heads -= s->head_waits;
}

/* Whether what comes next of it needs no window. */
static void set_head_waits(struct h2_stream *s, bool waits)
{
    if (!list_is_empty(&s->wait_link)) {
        s->h2->waiting_heads -= s->head_waits;
        s->h2->waiting_heads += waits;
    }
    s->head_waits = waits;
}

static struct h2_stream *first_waiting(const struct h2 *h)
{
    for (unsigned u = 0; u < H2_URGENCIES && h->waiting_count; u++)
        if (!list_is_empty(&h->waiting[u]))
            return LIST_FIRST(&h->waiting[u], struct h2_stream, wait_link);
    return NULL;
}

static size_t connection_most(const struct h2 *h)
{
    size_t room = h->owner->room(h->user), heads;
    int32_t window = nghttp2_session_get_remote_window_size(h->session);

    if (window <= 0 || room <= H2_FRAME_HEAD)
        return 0;
    if (window < ROOM_LEAST && h2_budget_is_strained(&h->budget))
        return 0; /* as for a stream's window: it was 64 KB at the least */
    heads = (room / 16384 + 1) * H2_FRAME_HEAD;
    room = room > heads ? room - heads : 0;
    return room < (size_t)window ? room : (size_t)window;
}

/* Who needs room alone, and no window. Mostly there is none, while many wait for the connection's window. */
static struct h2_stream *first_with_head(const struct h2 *h)
{
    if (h->waiting_heads == 0)
        return NULL;
    for (unsigned u = 0; u < H2_URGENCIES; u++)
        LIST_EACH (&h->waiting[u], at)
            if (CONTAINER_OF(at, struct h2_stream, wait_link)->head_waits)
                return CONTAINER_OF(at, struct h2_stream, wait_link);
    return NULL;
}

static struct h2_stream *next_to_serve(const struct h2 *h)
{
    if (h->owner->room(h->user) < ROOM_LEAST)
        return NULL;
    return connection_most(h) ? first_waiting(h) : first_with_head(h);
}

bool h2_has_waiting(const struct h2 *h)
{
    if (h->waiting_count == 0)
        return false;
    return nghttp2_session_get_remote_window_size(h->session) > 0 || h->waiting_heads;
}

/* Whether one that waits is to send before s does. */
static bool others_first(const struct h2_stream *s)
{
    const struct h2 *h = s->h2;
    const struct h2_stream *other;

    if (h->served == s || h->waiting_count == 0)
        return false;
    other = first_waiting(h);
    if (other == s)
        return false;
    if (other->urgency != s->urgency)
        return other->urgency < s->urgency;
    return s->incremental || (!other->incremental && other->id < s->id);
}

/* Nothing was written for want of room. Where there is room, and only its turn is missing, it is served soon. */
static void wait_for_turn(struct h2_stream *s)
{
    struct h2 *h = s->h2;

    enlist(s);
    h->serve_due = true;
    h->owner->dirty(h->user);
}

void h2_out_window(struct h2_stream *s)
{
    s->blocked_by_peer = false;
    wait_for_turn(s);
}

/* A peer that answers each frame with updates of just its size makes ever smaller frames of a window. Where that has become many,
 * a stream waits for what is on its way, which joins what there is; unless its window was never much. */
static bool waits_for_more(const struct h2_stream *s, int32_t window)
{
    nghttp2_session *session = s->h2->session;

    return window < ROOM_LEAST && (uint64_t)window < s->out_left && h2_budget_is_strained(&s->h2->budget) &&
           nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) >= 2 * ROOM_LEAST;
}

size_t h2_out_room(struct stream *st)
{
    struct h2_stream *s = h2_stream_of(st);
    size_t most;
    int32_t window;

    if (!s->h2 || !s->live || s->error)
        return 0;
    window = nghttp2_session_get_stream_remote_window_size(s->h2->session, s->id);
    s->blocked_by_peer = window <= 0 || waits_for_more(s, window);
    if (s->blocked_by_peer || others_first(s))
        return 0;
    most = connection_most(s->h2);
    if (most > (size_t)window)
        most = (size_t)window;
    if (most > s->out_left)
        most = (size_t)s->out_left;
    return s->h2->served == s && most > s->allowance ? s->allowance : most;
}

void h2_out_progress(const struct stream *st, struct stream_progress *ret)
{
    const struct h2_stream *s = CONTAINER_OF(st, struct h2_stream, stream);

    ret->own = s->in_bytes + s->out_bytes;
    ret->shared = s->h2 ? s->h2->owner->wire_out(s->h2->user) : 0;
    ret->alone = s->blocked_by_peer;
}

/* It had its turn. One that was cut short, for want of room, goes on with it: else it would be the same one each time
 * where there is always as much. */
static void take_up_turn(struct h2_stream *s, bool shares)
{
    size_t left = shares ? s->allowance : 0;

    s->allowance = SIZE_MAX;
    if (left == 0 || left == H2_QUANTUM || list_is_empty(&s->wait_link))
        return;
    h2_out_forget(s);
    s->turn_left = (uint16_t)left;
    enlist(s);
}

void h2_out_serve(struct h2 *h)
{
    struct h2_stream *s;

    h->serve_due = false;
    while (!h->error && h->waiting_count && (s = next_to_serve(h)) != NULL) {
        uint64_t before = h->written;
        bool shares;

        h2_out_forget(s);
        shares = s->incremental && !list_is_empty(&h->waiting[s->urgency]);
        s->allowance = shares ? H2_QUANTUM : SIZE_MAX;
        if (shares && s->turn_left)
            s->allowance = s->turn_left;
        s->turn_left = 0;
        h->served = s;
        if (s->on_event)
            s->on_event(s);
        if (h->served != s)
            continue; /* it is gone */
        h->served = NULL;
        take_up_turn(s, shares);
        if (!list_is_empty(&s->wait_link) && h->written == before)
            break;
    }
}

/* ---- heads ---- */

struct head_out {
    nghttp2_nv *at;
    size_t count, size;
};

static void put_flagged(struct head_out *o, struct bytes name, struct bytes value, uint8_t flags)
{
    CHECK(o->count < FIELDS_MOST);
    o->at[o->count++] = (nghttp2_nv){ (uint8_t *)name.at, (uint8_t *)value.at, name.size, value.size, flags };
    o->size += name.size + value.size + FIELD_EXTRA;
}

/* name: in lower case, and there as long as the program: nghttp2 copies it no more than it needs to. */
static void put(struct head_out *o, struct bytes name, struct bytes value)
{
    put_flagged(o, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

static int put_fields(struct head_out *o, const struct fields *fields)
{
    if (fields->count > FIELDS_MOST - 16)
        return -E_HEAD_TOO_LARGE;
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->at[i];

        if (field->id == FIELD_OTHER)
            put_flagged(o, field->name, field->value, NGHTTP2_NV_FLAG_NONE);
        else if (!field_is_framing(field->id))
            put(o, field_name_of(field->id), field->value);
    }
    return 0;
}

static void put_request_line(struct h2 *h, struct head_out *o, const struct message *m)
{
    bool plain = m->method == METHOD_CONNECT && m->upgrade.size == 0;

    put(o, BYTES_LITERAL(":method"), m->method_name);
    if (!plain) {
        put(o, BYTES_LITERAL(":scheme"), m->scheme.size ? m->scheme : h->options.scheme);
        put(o, BYTES_LITERAL(":path"), m->path);
    }
    if (m->authority.size)
        put(o, BYTES_LITERAL(":authority"), m->authority);
    if (m->method == METHOD_CONNECT && m->upgrade.size)
        put(o, BYTES_LITERAL(":protocol"), m->upgrade);
}

static bool announces_trailers(const struct message *m)
{
    return message_field(m, FIELD_TRAILER) != NULL;
}

/* Whether m has nothing behind its head. */
static bool is_head_only(const struct h2_stream *s, const struct message *m)
{
    if (s->method == METHOD_CONNECT && (m->status == 0 ? m->upgrade.size != 0 : m->status < 300))
        return false;
    return m->body == BODY_NONE || (m->body == BODY_LENGTH && m->length == 0 && !announces_trailers(m));
}

static int submit(struct h2_stream *s, const struct message *m, const struct head_out *o, bool whole)
{
    struct h2 *h = s->h2;
    nghttp2_data_provider content = { .read_callback = h2_out_read };
    nghttp2_data_provider *provider = whole ? NULL : &content;
    int id;

    if (h->options.role == H2_CLIENT) {
        id = nghttp2_submit_request(h->session, NULL, o->at, o->count, provider, s);
        if (id < 0)
            return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -E_CLOSED : -E_MEMORY;
        s->id = id;
        s->live = true;
        return 0;
    }
    if (m->status < 200)
        id = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, o->at, o->count, NULL);
    else
        id = nghttp2_submit_response(h->session, s->id, o->at, o->count, provider);
    return id < 0 ? -E_MEMORY : 0;
}

/* Whether a head of that size may be handed to nghttp2 now. */
static int check_room(struct h2_stream *s, const struct head_out *o)
{
    size_t needed = o->size + H2_FRAME_HEAD;

    if (o->size > HEAD_MOST)
        return -E_HEAD_TOO_LARGE;
    if (needed > 16384)
        needed = 16384; /* the rest follows in CONTINUATION when there is room; nghttp2 has a copy of it */
    set_head_waits(s, s->h2->owner->room(s->h2->user) < needed);
    if (!s->head_waits)
        return 0;
    enlist(s);
    return -E_AGAIN;
}

int h2_out_send_head(struct stream *st, const struct message *m)
{
    static _Thread_local nghttp2_nv fields[FIELDS_MOST];
    struct h2_stream *s = h2_stream_of(st);
    struct head_out o = { .at = fields };
    bool is_request = m->status == 0, interim = !is_request && m->status < 200, whole;
    char status[NUMBER_DIGITS], length[NUMBER_DIGITS];
    int error;

    if (!s->h2 || s->error)
        return s->error ? s->error : -E_RESET;
    if (is_request)
        s->method = m->method;
    else if (m->status == 101)
        return -E_INTERNAL;
    if (is_request) {
        put_request_line(s->h2, &o, m);
    } else {
        put(&o, BYTES_LITERAL(":status"), bytes_of_number((uint64_t)m->status, status));
    }
    error = put_fields(&o, &m->fields);
    if (error)
        return error;
    if (m->has_length && !interim && m->status != 204) {
        put(&o, BYTES_LITERAL("content-length"), bytes_of_number(m->length, length));
    }
    if (is_request && m->te_trailers)
        put(&o, BYTES_LITERAL("te"), BYTES_LITERAL("trailers"));
    if (s->h2->head_due && (error = h2_pump(s->h2)) != 0)
        return error; /* that the room is what it says */
    error = check_room(s, &o);
    if (error)
        return error;
    whole = !interim && is_head_only(s, m);
    error = submit(s, m, &o, whole);
    if (error)
        return error;
    if (!interim) {
        bool tunnel = !whole && m->body == BODY_NONE;
        s->head_sent = true;
        s->out_ended = whole;
        s->out_left = m->body == BODY_LENGTH ? m->length : m->body == BODY_NONE && !tunnel ? 0 : UINT64_MAX;
        s->keeps_end = m->body == BODY_LENGTH && announces_trailers(m);
    }
    if (is_request || interim || whole)
        return h2_pump(s->h2);
    s->h2->head_due = true; /* with its first content, or at the turn's end */
    s->h2->owner->dirty(s->h2->user);
    return 0;
}

/* ---- content ---- */

/* What the peer's windows allow. */
static int32_t windows_of(const struct h2_stream *s)
{
    int32_t connection = nghttp2_session_get_remote_window_size(s->h2->session),
            stream = nghttp2_session_get_stream_remote_window_size(s->h2->session, s->id);
    return connection < stream ? connection : stream;
}

/* nghttp2 asks what the stream has. */
ssize_t h2_out_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                    nghttp2_data_source *source, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = h->sending;
    size_t n = length, room;

    if (!s || s->id != id)
        return NGHTTP2_ERR_DEFERRED;
    room = h->owner->room(h->user);
    if (room < H2_FRAME_HEAD)
        return NGHTTP2_ERR_DEFERRED;
    room -= H2_FRAME_HEAD;
    if (n > room)
        n = room;
    if (n > s->out.size)
        n = s->out.size;
    if (n == 0 && !s->end_due)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if ((n == s->out_left && !s->keeps_end) || s->end_due)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

int h2_out_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                     nghttp2_data_source *source, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = h->sending;

    CHECK(s && s->id == frame->hd.stream_id && length <= s->out.size && frame->data.padlen == 0);
    h->error = h->owner->write(h->user, bytes_of(head, H2_FRAME_HEAD), bytes_part(s->out, 0, length));
    if (h->error)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    h->written += H2_FRAME_HEAD + length;
    s->out = bytes_from(s->out, length);
    s->out_bytes += length;
    if (s->out_left != UINT64_MAX)
        s->out_left -= length;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        s->out_ended = true;
    h2_budget_sent(&h->budget, length, windows_of(s) <= (int32_t)length);
    h->owner->dirty(h->user);
    return 0;
}

/* Lets nghttp2 frame what is in s->out. */
static int frame_content(struct h2_stream *s)
{
    struct h2 *h = s->h2;
    int error;

    h->sending = s;
    (void)nghttp2_session_resume_data(h->session, s->id);
    error = h2_pump(h);
    h->sending = NULL;
    return error;
}

static int dead(const struct h2_stream *s)
{
    if (s->error)
        return s->error;
    return !s->h2 || !s->live ? -E_RESET : 0;
}

ssize_t h2_out_send(struct stream *st, struct bytes data)
{
    struct h2_stream *s = h2_stream_of(st);
    int error = dead(s);
    size_t room, sent;

    if (error)
        return error;
    if (data.size > s->out_left)
        return -E_INTERNAL; /* the other side's codec lets through no more than was announced */
    if (data.size == 0)
        return 0;
    room = h2_out_room(st);
    if (room == 0) {
        if (others_first(s) || (s->h2->served == s && s->allowance == 0))
            wait_for_turn(s);
        else if (!s->blocked_by_peer)
            enlist(s);
        return 0;
    }
    s->out = bytes_part(data, 0, room);
    sent = s->out.size;
    error = frame_content(s);
    sent -= s->out.size;
    s->out = BYTES_NONE;
    if (error)
        return error;
    if (s->h2->served == s && s->allowance != SIZE_MAX)
        s->allowance -= sent < s->allowance ? sent : s->allowance;
    if (sent == 0)
        enlist(s); /* frames of nghttp2's own had the room */
    return (ssize_t)sent;
}

/* The end where no DATA can carry it: with trailers, or where the windows are closed (nghttp2 waits for them even with an
 * empty frame; an empty trailer section is the same to the peer). */
static int end_with_head(struct h2_stream *s, const struct fields *trailers)
{
    static _Thread_local nghttp2_nv fields[FIELDS_MOST];
    struct head_out o = { .at = fields };
    int error = trailers ? put_fields(&o, trailers) : 0;

    if (!error)
        error = check_room(s, &o);
    if (error)
        return error;
    if (nghttp2_submit_trailer(s->h2->session, s->id, o.at, o.count))
        return -E_MEMORY;
    s->out_ended = true;
    return h2_pump(s->h2);
}

int h2_out_end(struct stream *st, const struct fields *trailers)
{
    struct h2_stream *s = h2_stream_of(st);
    struct h2 *h = s->h2;
    int error = s->out_ended ? 0 : dead(s);

    if (error || s->out_ended)
        return error;
    if ((trailers && trailers->count) || nghttp2_session_get_remote_window_size(h->session) <= 0 ||
        nghttp2_session_get_stream_remote_window_size(h->session, s->id) <= 0)
        return end_with_head(s, trailers);
    set_head_waits(s, h->owner->room(h->user) < H2_FRAME_HEAD);
    if (s->head_waits) {
        enlist(s);
        return -E_AGAIN;
    }
    s->end_due = true;
    error = frame_content(s);
    s->end_due = false;
    if (!error && !s->out_ended) {
        enlist(s);
        return -E_AGAIN;
    }
    return error;
}

int h2_out_flush(struct stream *st)
{
    struct h2_stream *s = h2_stream_of(st);

    if (s->h2)
        s->h2->owner->dirty(s->h2->user);
    return s->h2 && s->h2->error ? s->h2->error : 0;
}
