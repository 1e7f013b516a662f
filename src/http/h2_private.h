/* h2_private.h: what the files of an HTTP/2 machine share.
 *
 *     h2.c           its life: streams, GOAWAY
 *     h2_frames.c    what nghttp2 reports
 *     h2_fields.c    the rules for header sections, and the message they become
 *     h2_in.c        content that is received: storage and windows
 *     h2_out.c       heads and content that are sent, and who comes first
 *     h2_priority.c  RFC 9218
 *     h2_budget.c    work that a peer makes
 *     h2_watch.c     what nghttp2 does not tell of
 *
 * nghttp2's own messaging rules are switched off: ours are stricter, and one set is enough to know. It keeps frames,
 * HPACK, stream states and windows. */
#ifndef HTTP_H2_PRIVATE_H
#define HTTP_H2_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "base/check.h"
#include "http/h2.h"

enum {
    H2_FRAME_HEAD = 9,
    H2_QUANTUM = 16384,        /* bytes that an incremental stream sends before the next one does */
    H2_URGENCIES = 8,
    H2_SCRATCH = 32,           /* fields */
    H2_EARLY_PRIORITIES = 16,  /* PRIORITY_UPDATEs for streams that are not there yet */
    H2_WATCHED = 512,          /* streams whose ends are remembered */
};

/* Receive windows, in bytes. Clients are many and may all stall: 100 streams of one hold 300 KB. Servers are few and trusted
 * more, and most that they send is downloads: 100 stalled streams of one connection hold 4 MB. */
struct h2_windows {
    uint32_t share;            /* that each stream has for itself */
    uint32_t bank;             /* beyond that, for all streams */
    uint32_t most;             /* of one stream */
    int32_t connection;        /* given back at once: it only has to be out of the way */
};
extern const struct h2_windows h2_windows[]; /* by role */

/* A header section as it becomes a message; of the stream whose block is being received, or none. */
struct h2_parse {
    struct h2_stream *stream;  /* NULL: its fields are read and dropped */
    struct message *m;
    bool trailers, regular;    /* a regular field was seen: no pseudo-header may follow */
    uint8_t seen;              /* bit per pseudo-header */
    bool has_length, has_te;
    int error;                 /* the first thing that was wrong */
    uint32_t fields, cookies, hosts;
    uint64_t size;             /* decoded bytes, as HTTP/1 would write them */
    struct bytes host, protocol, scheme;
};

struct h2_head {
    struct h2_head *next;
    struct message m;
    int error;                 /* -E_HEAD_TOO_LARGE and the like: the stream lives, and may be answered */
};

enum h2_work {
    WORK_HEAD, WORK_CONTINUATION, WORK_EMPTY_DATA, WORK_PRIORITY, WORK_RESET, WORK_SETTINGS, WORK_PING, WORK_WINDOW_UPDATE,
    WORK_UNKNOWN, WORK_PROVOKED, WORK_HPACK, WORK_DROPPED,
    WORK_KINDS,
};

struct h2_budget {
    int64_t left;
    uint64_t filled_ns;
    bool pings_due;            /* DATA was sent: the next PING is free, */
    uint16_t updates_due;      /* and so many window updates */
    int64_t used[WORK_KINDS];  /* since it was full */
    const char *flood;         /* what used it up */
};

struct h2_early {              /* RFC 9218 7: a priority that came before its stream */
    int32_t id;
    uint8_t urgency;
    bool incremental;
};

struct h2_watch {              /* server: of the frames that come */
    uint32_t skip;             /* bytes of the preface, or of a payload, that are still to come */
    uint8_t head[14];          /* of the present frame, and PRIORITY's payload behind it */
    uint8_t have, want;        /* bytes of head */
    bool in_block;             /* the peer owes CONTINUATION */
    bool is_head;              /* the present frame is HEADERS or CONTINUATION, whatever becomes of it */
    int32_t highest;           /* its latest stream; 0: none */
    uint8_t seen[H2_WATCHED / 8], ended[H2_WATCHED / 8]; /* by the stream's number */
};

struct h2 {
    nghttp2_session *session;
    const struct h2_owner *owner;
    void *user;
    struct h2_options options;
    struct list streams, ready;
    struct list waiting[H2_URGENCIES];
    uint32_t stream_count, waiting_count;
    uint32_t waiting_heads;    /* of those that wait: for room alone */
    struct h2_stream *served;  /* that is woken now: it may go before those that wait */
    struct h2_stream *sending; /* whose content is framed now */
    struct h2_stream *chunk_of;
    struct h2_parse parse;
    bool settled;              /* the peer knows our SETTINGS: before, its streams have RFC 9113's windows, not ours */
    uint32_t unsettled_bytes;  /* of the connection's window, to be given back then */
    uint8_t authority[63];     /* the latest that was found to be one: most requests of a connection have the same */
    uint8_t authority_bytes;
    struct field scratch[H2_SCRATCH]; /* of the head that is being received: it takes no more than it needs in the end */
    bool open, serve_due, pumping, draining, final;
    bool head_due;             /* nghttp2 has a response's head that it has not framed, one at most, for which there was room */
    int error;
    int64_t goaway_code;
    uint64_t block_bytes;      /* of the header block that is being received */
    struct h2_budget budget;
    uint32_t bank;
    size_t stored_bytes;
    uint64_t pongs, written;
    uint8_t ext[64];           /* PRIORITY_UPDATE's payload */
    uint32_t ext_bytes;
    struct h2_watch watch;
    enum h2_code fault;        /* of the connection, that we found ourselves */
    char reason[64];           /* for the error that GOAWAY told */
    struct h2_early early[H2_EARLY_PRIORITIES];
    unsigned early_next;
};

static inline struct h2_stream *h2_stream_of(struct stream *s)
{
    return CONTAINER_OF(s, struct h2_stream, stream);
}

/* h2_frames.c */
nghttp2_session_callbacks *h2_callbacks(void);
extern char h2_detached; /* what nghttp2 has instead of a stream whose user is gone */

/* h2.c */
void h2_attach(struct h2 *h, struct h2_stream *s);
/* Everything that nghttp2 has to say, as far as there is room. Returns 0 or h->error. */
int h2_pump(struct h2 *h) MUST_USE;
void h2_mark_ready(struct h2_stream *s);
/* What the peer did with this stream is against the rules: resets it, and tells its user. */
void h2_stream_fail(struct h2_stream *s, enum h2_code code, int error);

/* h2_fields.c */
void h2_fields_start(struct h2 *h, struct h2_stream *s, bool trailers);
void h2_fields_add(struct h2 *h, struct bytes name, struct bytes value);
/* The block is complete; end: with END_STREAM. */
void h2_fields_end(struct h2 *h, bool end);

/* h2_in.c */
int h2_in_look_head(struct stream *st, struct message *m);
int h2_in_look(struct stream *st, struct bytes *ret_data);
void h2_in_took(struct stream *st, size_t n);
const struct fields *h2_in_trailers(struct stream *st);
/* Content came. Returns whether the stream has it now and its user is to look. */
bool h2_in_data(struct h2_stream *s, struct bytes data);
/* What its user left of the chunk goes into storage. */
void h2_in_store_chunk(struct h2_stream *s);
void h2_in_ended(struct h2_stream *s);
/* A head came with content to follow: grants a first window. */
void h2_in_expect(struct h2_stream *s);
void h2_in_drop(struct h2_stream *s);
/* So many bytes of the connection's window were used. */
void h2_in_consume(struct h2 *h, size_t n);
/* Our SETTINGS were acknowledged. */
void h2_in_settle(struct h2 *h);

/* h2_out.c */
int h2_out_send_head(struct stream *st, const struct message *m);
ssize_t h2_out_send(struct stream *st, struct bytes data);
int h2_out_end(struct stream *st, const struct fields *trailers);
int h2_out_flush(struct stream *st);
size_t h2_out_room(struct stream *st);
void h2_out_progress(const struct stream *st, struct stream_progress *ret);
ssize_t h2_out_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                    nghttp2_data_source *source, void *user);
int h2_out_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
                     nghttp2_data_source *source, void *user);
/* The peer's window for the stream grew. */
void h2_out_window(struct h2_stream *s);
/* Wakes those that wait, in their order, while there is room. */
void h2_out_serve(struct h2 *h);
void h2_out_forget(struct h2_stream *s);

/* h2_priority.c */
/* A Priority field's value; what it does not say stays as it is. */
void h2_priority_parse(struct bytes value, uint8_t *urgency, bool *incremental);
/* A PRIORITY_UPDATE is complete in h->ext. Returns 0 or the code of a connection error. */
enum h2_code h2_priority_update(struct h2 *h);
/* What came for the stream before it was there. */
bool h2_priority_early(struct h2 *h, struct h2_stream *s);

/* h2_budget.c */
void h2_budget_fill(struct h2_budget *b, uint64_t now_ns);
void h2_budget_charge(struct h2_budget *b, enum h2_work work, int64_t points);
void h2_budget_refund(struct h2_budget *b, int64_t points);
void h2_budget_frame(struct h2 *h, const nghttp2_frame_hd *hd);
void h2_budget_sent(struct h2_budget *b, size_t length, bool cut);
void h2_budget_update(struct h2_budget *b, int32_t increment);
/* An eighth of it is used up: what is not urgent should make the peer say less. */
bool h2_budget_is_strained(const struct h2_budget *b);

/* h2_watch.c */
void h2_watch_init(struct h2_watch *w);
/* Reads along. Returns how many of the bytes are for nghttp2: fewer than all where h->fault was found. */
size_t h2_watch(struct h2 *h, struct bytes in);

#endif
