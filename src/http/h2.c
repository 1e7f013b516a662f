/* h2.c: the life of an HTTP/2 connection, around one nghttp2_session. nghttp2 may not be called for sending from within
 * its callbacks: what happens there is noted, and users of streams hear of it when it has returned. It is made to return
 * at each piece of content, so that this can be looked at in place. */
#include "http/h2_private.h"

#include <stdlib.h>

#include "base/recycle.h"

const struct stream_ops h2_stream_ops = {
    .look_head = h2_in_look_head,
    .look = h2_in_look,
    .took = h2_in_took,
    .trailers = h2_in_trailers,
    .room = h2_out_room,
    .progress = h2_out_progress,
    .send_head = h2_out_send_head,
    .send = h2_out_send,
    .end = h2_out_end,
    .flush = h2_out_flush,
};

enum {
    ACKS_MOST = 100, /* of SETTINGS and PING that may wait to be sent */
    RESETS_MOST = 1 << 30,
    CONTINUATIONS_MOST = 1 << 30,
    UNREAD_MOST = 1000, /* frames that wait to be sent, beyond what the streams of a client may call for */
};

const struct h2_windows h2_windows[] = {
    [H2_SERVER] = { .share = 1024, .bank = 64 * 1024, .most = 64 * 1024, .connection = 1 << 20 },
    [H2_CLIENT] = { .share = 32 * 1024, .bank = 1 << 20, .most = 256 * 1024, .connection = 4 << 20 },
};

/* ---- streams ---- */

void h2_stream_init(struct h2_stream *s, struct arena *arena, void (*on_event)(struct h2_stream *s))
{
    s->stream.ops = &h2_stream_ops;
    s->arena = arena;
    s->on_event = on_event;
    s->urgency = 3;
    s->heads_end = &s->heads;
    s->allowance = SIZE_MAX;
    s->in_left = s->out_left = UINT64_MAX;
    list_init(&s->link);
    list_init(&s->ready_link);
    list_init(&s->wait_link);
    list_init(&s->stored);
}

void h2_attach(struct h2 *h, struct h2_stream *s)
{
    s->h2 = h;
    s->window = h2_windows[h->options.role].share;
    list_append(&h->streams, &s->link);
    h->stream_count++;
}

void h2_mark_ready(struct h2_stream *s)
{
    if (s->h2 && list_is_empty(&s->ready_link))
        list_append(&s->h2->ready, &s->ready_link);
}

void h2_stream_poke(struct h2_stream *s)
{
    h2_mark_ready(s);
    if (s->h2)
        s->h2->owner->dirty(s->h2->user);
}

void h2_stream_fail(struct h2_stream *s, enum h2_code code, int error)
{
    if (s->error)
        return;
    s->error = error;
    h2_in_drop(s);
    (void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, (uint32_t)code);
    h2_mark_ready(s);
}

void h2_stream_close(struct h2_stream *s, enum h2_code code)
{
    struct h2 *h = s->h2;

    if (!h)
        return;
    h2_in_drop(s);
    h2_out_forget(s);
    list_remove(&s->ready_link);
    list_remove(&s->link);
    if (s->live) {
        (void)nghttp2_session_set_stream_user_data(h->session, s->id, &h2_detached);
        if (!s->error && !(s->in_ended && s->out_ended))
            (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, (uint32_t)code);
        h->owner->dirty(h->user);
    } else if (s->id == 0) {
        h->stream_count--;
    }
    if (h->served == s)
        h->served = NULL;
    if (h->chunk_of == s)
        h->chunk_of = NULL;
    if (h->parse.stream == s)
        h->parse.stream = NULL;
    s->h2 = NULL;
    s->live = false;
}

int h2_stream_open(struct h2 *h, struct h2_stream *s)
{
    CHECK(h->options.role == H2_CLIENT && !s->h2);
    if (h->error || h->final || h->goaway_code >= 0 || !nghttp2_session_check_request_allowed(h->session))
        return -E_CLOSED;
    if (h2_streams_free(h) == 0)
        return -E_LIMIT;
    h2_attach(h, s);
    return 0;
}

uint32_t h2_streams_free(const struct h2 *h)
{
    uint32_t most = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    if (!h->open) /* until it says otherwise (RFC 9113 6.5.2 recommends no smaller value) */
        most = 100;
    if (h->error || h->final || h->goaway_code >= 0 || most <= h->stream_count)
        return 0;
    return most - h->stream_count;
}

/* ---- life ---- */

static nghttp2_option *make_option(void)
{
    nghttp2_option *o;

    if (nghttp2_option_new(&o))
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_http_messaging(o, 1);
    nghttp2_option_set_user_recv_extension_type(o, NGHTTP2_PRIORITY_UPDATE);
    nghttp2_option_set_max_outbound_ack(o, ACKS_MOST);
    nghttp2_option_set_stream_reset_rate_limit(o, RESETS_MOST, RESETS_MOST); /* the budget knows better, */
    /* here too; and nghttp2 counts the pieces in which a CONTINUATION's head comes */
    nghttp2_option_set_max_continuations(o, CONTINUATIONS_MOST);
    nghttp2_option_set_peer_max_concurrent_streams(o, 100);
    return o;
}

/* Some dozen of its objects come and go with each request. */
static void *library_alloc(size_t size, void *user)
{
    (void)user;
    return recycle_alloc(size);
}

static void *library_alloc_zeroed(size_t count, size_t size, void *user)
{
    (void)user;
    return recycle_alloc_zeroed(count, size);
}

static void *library_resize(void *block, size_t size, void *user)
{
    (void)user;
    return recycle_resize(block, size);
}

static void library_free(void *block, void *user)
{
    (void)user;
    recycle_free(block);
}

static int make_session(struct h2 *h)
{
    nghttp2_mem memory = { NULL, library_alloc, library_free, library_alloc_zeroed, library_resize };
    nghttp2_session_callbacks *callbacks = h2_callbacks();
    nghttp2_option *option = make_option();
    int failed = NGHTTP2_ERR_NOMEM;

    if (callbacks && option)
        failed = h->options.role == H2_SERVER ? nghttp2_session_server_new3(&h->session, callbacks, h, option, &memory)
                                              : nghttp2_session_client_new3(&h->session, callbacks, h, option, &memory);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return failed ? -E_MEMORY : 0;
}

static int greet(struct h2 *h)
{
    const struct h2_options *o = &h->options;
    uint32_t list_most = o->limits.head + o->limits.fields * 32;
    nghttp2_settings_entry entries[6] = {
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2_windows[o->role].share },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, list_most },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };
    size_t count = 3;

    if (o->role == H2_SERVER) {
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_most };
        if (o->connect_protocol)
            entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 };
    } else {
        entries[count++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 };
    }
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, count))
        return -E_MEMORY;
    return h2_pump(h);
}

struct h2 *h2_new(const struct h2_options *options, const struct h2_owner *owner, void *user)
{
    struct h2 *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->owner = owner;
    h->user = user;
    h->options = *options;
    h->bank = h2_windows[options->role].bank;
    h->goaway_code = -1;
    h2_watch_init(&h->watch);
    list_init(&h->streams);
    list_init(&h->ready);
    for (unsigned u = 0; u < H2_URGENCIES; u++)
        list_init(&h->waiting[u]);
    if (make_session(h) || greet(h)) {
        h2_free(h);
        return NULL;
    }
    return h;
}

void h2_free(struct h2 *h)
{
    if (!h)
        return;
    LIST_EACH (&h->streams, at) {
        struct h2_stream *s = CONTAINER_OF(at, struct h2_stream, link);

        h2_in_drop(s);
        h2_out_forget(s);
        list_remove(&s->ready_link);
        list_remove(&s->link);
        s->error = s->error ? s->error : -E_TRUNCATED;
        s->h2 = NULL;
        s->live = false;
    }
    nghttp2_session_del(h->session);
    free(h);
}

/* nghttp2's word for a failure, unless a callback gave ours. */
static int failure(struct h2 *h, ssize_t code)
{
    if (h->error)
        return h->error;
    if (code == NGHTTP2_ERR_FLOODED && !h->budget.flood)
        h->budget.flood = h->budget.used[WORK_SETTINGS] > h->budget.used[WORK_PING] ? "SETTINGS" : "PING";
    h->error = h->budget.flood ? -E_FLOOD : code == NGHTTP2_ERR_NOMEM ? -E_MEMORY : -E_SYNTAX;
    return h->error;
}

int h2_pump(struct h2 *h)
{
    int code;

    if (h->error || h->pumping)
        return h->error;
    h->pumping = true;
    h->head_due = false;
    code = nghttp2_session_send(h->session);
    h->pumping = false;
    return code ? failure(h, code) : h->error;
}

/* Users of streams hear of what happened. */
static void tell(struct h2 *h)
{
    struct list now;

    list_init(&now);
    while (!list_is_empty(&h->ready)) {
        struct h2_stream *s = LIST_FIRST(&h->ready, struct h2_stream, ready_link);
        list_remove(&s->ready_link);
        list_append(&now, &s->ready_link);
    }
    while (!list_is_empty(&now)) {
        struct h2_stream *s = LIST_FIRST(&now, struct h2_stream, ready_link);
        list_remove(&s->ready_link);
        if (s->on_event)
            s->on_event(s);
    }
    if (!list_is_empty(&h->ready))
        h->owner->dirty(h->user);
}

static void tell_of_chunk(struct h2 *h)
{
    struct h2_stream *s = h->chunk_of;

    list_remove(&s->ready_link);
    if (s->on_event)
        s->on_event(s);
    if (h->chunk_of)
        h2_in_store_chunk(h->chunk_of);
    h->chunk_of = NULL;
}

/* A last word, as far as it can be said. */
static int die(struct h2 *h, int error)
{
    enum h2_code code = H2_INTERNAL_ERROR;

    if (error == -E_FLOOD)
        code = H2_ENHANCE_YOUR_CALM;
    else if (error == -E_SYNTAX)
        code = h->fault ? h->fault : H2_PROTOCOL_ERROR;
    h->error = 0;
    h2_terminate(h, code);
    h->error = error;
    return error;
}

/* Each refusal is a frame that nghttp2 keeps until there is room: who takes none of them could ask for any number. */
static bool is_unread(const struct h2 *h)
{
    return h->options.role == H2_SERVER &&
           nghttp2_session_get_outbound_queue_size(h->session) > UNREAD_MOST + 4 * (size_t)h->options.streams_most;
}

int h2_receive(struct h2 *h, struct bytes in, uint64_t now_ns)
{
    bool paused = false;

    if (h->error)
        return h->error;
    h2_budget_fill(&h->budget, now_ns);
    if (h->options.role == H2_SERVER)
        in = bytes_part(in, 0, h2_watch(h, in));
    while (in.size || paused) {
        ssize_t n = nghttp2_session_mem_recv(h->session, in.size ? in.at : (const uint8_t *)"", in.size);

        if (n < 0)
            return die(h, failure(h, n));
        in = bytes_from(in, (size_t)n);
        paused = h->chunk_of != NULL;
        if (paused)
            tell_of_chunk(h);
        if (!h->error && h->budget.flood)
            return die(h, -E_FLOOD);
        if (h->error)
            return h->error;
    }
    if (h->fault)
        return die(h, -E_SYNTAX);
    if (h2_pump(h) == 0) /* an error of the connection is noticed when its GOAWAY is written */
        tell(h);
    if (!h->error && h->serve_due)
        h2_out_serve(h);
    if (!h->error && !h->budget.flood && is_unread(h))
        h->budget.flood = "answers that are not read";
    if (!h->error && h->budget.flood)
        return die(h, -E_FLOOD);
    return h->error;
}

int h2_wake(struct h2 *h)
{
    if (h2_pump(h) == 0)
        h2_out_serve(h);
    return h->head_due ? h2_pump(h) : h->error;
}

int h2_flush(struct h2 *h)
{
    tell(h);
    if (!h->error && h->serve_due)
        h2_out_serve(h);
    return h2_pump(h);
}

void h2_drain(struct h2 *h)
{
    if (h->error || h->draining || h->options.role == H2_CLIENT)
        return;
    h->draining = true;
    (void)nghttp2_submit_shutdown_notice(h->session);
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    h->owner->dirty(h->user);
}

void h2_drain_final(struct h2 *h)
{
    if (h->error || h->final)
        return;
    h->final = true;
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    h->owner->dirty(h->user);
}

void h2_terminate(struct h2 *h, enum h2_code code)
{
    if (h->error)
        return;
    (void)nghttp2_session_terminate_session(h->session, (uint32_t)code);
    (void)!h2_pump(h);
    h->final = true;
}

bool h2_is_final(const struct h2 *h)
{
    return h->final || h->goaway_code >= 0;
}

bool h2_is_open(const struct h2 *h)
{
    return h->open;
}

bool h2_in_head(const struct h2 *h)
{
    return h->watch.in_block || (h->watch.is_head && h->watch.skip);
}

bool h2_can_connect_protocol(const struct h2 *h)
{
    return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

int64_t h2_goaway_code(const struct h2 *h)
{
    return h->goaway_code;
}

const char *h2_flood(const struct h2 *h)
{
    return h->budget.flood;
}

const char *h2_reason(const struct h2 *h)
{
    return h->reason;
}

int h2_ping(struct h2 *h)
{
    if (h->error || nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL))
        return h->error ? h->error : -E_MEMORY;
    h->owner->dirty(h->user);
    return 0;
}

uint64_t h2_pongs(const struct h2 *h)
{
    return h->pongs;
}

uint32_t h2_stream_count(const struct h2 *h)
{
    return h->stream_count;
}

size_t h2_stored_bytes(const struct h2 *h)
{
    return h->stored_bytes;
}
