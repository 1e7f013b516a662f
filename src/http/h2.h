/* h2.h: one connection's HTTP/2, as a machine over bytes (RFC 9113), for both roles. Pure: no socket, clock, thread.
 *
 *     from the connection --> h2_receive() --> streams: look_head, look, trailers     (pulled by their owners)
 *     to the connection   <-- owner->write  <-- streams: send_head, send, end          (framed at once)
 *
 * The owner of a machine is a client's session (H2_SERVER) or a connection to a server (H2_CLIENT). It gives received
 * bytes to h2_receive(), which calls on_event of each stream that has news, and calls h2_wake() when the connection
 * has room again. Frames are written as soon as they are made, into the connection's own staging: nothing is queued
 * here but what nghttp2 keeps for want of room, and one response's head, for which there is room, until its first content or
 * whatever else is written; the owner flushes once a turn (owner->dirty).
 *
 * Extended CONNECT (RFC 8441): a message with METHOD_CONNECT and `upgrade`, the token of :protocol, both ways; its body
 * is BODY_NONE, and content that comes or is sent behind it (behind a 2xx) is the tunnel's; end() is half a close.
 *
 * A stream is a struct h2_stream inside a struct of its user's. Its struct stream has the operations of http/stream.h:
 * an exchange may use it as it is. It is pulled from: what a stream does not take stays in small storage here, within
 * the window that was granted, and costs its neighbours nothing, because the connection's window is given back at once.
 * Each stream has a small window that is always its own; streams that flow get more out of a bank that all share, and
 * give it back at their end.
 *
 * Sending is limited by the stream's window, the connection's window and the owner's room. Who finds none (send() is
 * 0) waits, and is woken in the order of RFC 9218: by urgency; within one, streams that are not incremental one after
 * the other, the incremental ones in turn. RFC 7540's priorities are ignored.
 *
 * Messages are checked here, in both directions and beyond what nghttp2 does (h2_fields.c lists the rules). A malformed
 * one resets its stream with PROTOCOL_ERROR. A head beyond the limits is -E_HEAD_TOO_LARGE of look_head, and the
 * connection lives on.
 *
 * Work that a peer makes without use is counted against a budget that completed messages and time fill up again; when
 * it is used up, h2_receive() fails with -E_FLOOD, and h2_flood() names what it was.
 *
 * No callback may free the machine; any may detach or reset any stream. After an error of h2_receive() or h2_wake()
 * (GOAWAY was written), the owner flushes, ends its streams and the connection. */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "base/list.h"
#include "http/h1.h"
#include "http/stream.h"

enum h2_role { H2_SERVER, H2_CLIENT };

/* RFC 9113 7: the codes that Unlade itself sends or looks at. */
enum h2_code {
    H2_NO_ERROR = 0, H2_PROTOCOL_ERROR = 1, H2_INTERNAL_ERROR = 2, H2_FLOW_CONTROL_ERROR = 3, H2_STREAM_CLOSED = 5,
    H2_REFUSED_STREAM = 7, H2_CANCEL = 8, H2_COMPRESSION_ERROR = 9, H2_ENHANCE_YOUR_CALM = 11,
    H2_HTTP_1_1_REQUIRED = 13,
};

struct h2;
struct h2_stream;

struct h2_options {
    enum h2_role role;
    struct h1_limits limits;   /* of heads that are received; the sizes are those that HTTP/1 would have */
    uint32_t streams_most;     /* server: that a client may have open (100) */
    bool connect_protocol;     /* server: extended CONNECT is served (RFC 8441) */
    struct bytes scheme;       /* client: of requests whose message has none: a literal */
};

struct h2_owner {
    /* Bytes that write() will take whole now. */
    size_t (*room)(void *user);
    /* Takes all of it, head and then data, at most room() in sum. Returns 0 or an error, which ends the machine. */
    int (*write)(void *user, struct bytes head, struct bytes data);
    /* Something was written, or waits to be: the owner calls h2_flush() and flushes the connection, once, before the
     * loop's turn ends. Called often. */
    void (*dirty)(void *user);
    /* Bytes that have left for the peer so far, of all streams: for rates. */
    uint64_t (*wire_out)(void *user);
    /* Server: a request's head begins. Returns a stream prepared with h2_stream_init(), or NULL to refuse it
     * (REFUSED_STREAM). Its on_event follows when the head is complete or cannot be. */
    struct h2_stream *(*accept)(void *user);
};

/* One stream; zero it, then h2_stream_init(). Read-only for its user but for what is said to be its own. */
struct h2_stream {
    struct stream stream;      /* the operations of http/stream.h, on this */
    struct h2 *h2;             /* NULL: not open yet, or over: h2_stream_close() was called, or the machine is gone */
    struct arena *arena;       /* for heads and trailers that are received; the user's, outlives the stream */
    /* Something may be possible. Called from h2_receive(), h2_wake() and h2_flush() alone, never from within the
     * stream's own operations. NULL: nobody waits. */
    void (*on_event)(struct h2_stream *s);
    int32_t id;                /* 0: not open yet */
    uint32_t reset_code;       /* enum h2_code or another number, when error is -E_RESET: what the peer said */
    int error;                 /* the stream is dead: -E_RESET (by the peer), -E_SYNTAX, -E_AMBIGUOUS, ... (malformed, and
                                  reset by us), -E_TRUNCATED (the connection ended) */
    bool unprocessed;          /* client: the server says that it has not begun with it (REFUSED_STREAM, or GOAWAY below
                                  its id): may be sent again, whatever it is */
    bool in_ended, out_ended;  /* the peer's, our END_STREAM; in_ended as soon as it came, content may wait before it */
    bool blocked_by_peer;      /* the last send() found the peer's windows closed, and not the connection full */
    uint8_t urgency;           /* RFC 9218 4.1: 0..7, smaller first; 3 by default */
    bool incremental;
    uint64_t in_bytes, out_bytes; /* of content, so far: received, and framed */

    /* Private. */
    enum http_method method;   /* of the request */
    bool live;                 /* nghttp2 has a stream of that id */
    bool head_waits;           /* for room alone, whatever the windows are: a head, trailers, the end */
    bool head_sent, end_due, keeps_end, final_seen;
    uint16_t turn_left;        /* incremental: what is left of a turn that was cut short */
    const struct fields *trailers_out;
    struct list link;          /* of the machine's streams */
    struct list ready_link;    /* of those with news */
    struct list wait_link;     /* of those that wait for room */
    struct h2_head *heads, **heads_end; /* received and not yet looked at */
    struct message *trailers;  /* received */
    struct bytes chunk;        /* content that just came and is not stored */
    struct list stored;        /* pieces of content that nobody took yet */
    uint64_t in_left, out_left; /* of lengths that were announced; UINT64_MAX: any */
    uint32_t window, stored_bytes; /* granted receive window; bytes in `stored` */
    size_t allowance;          /* that may be sent in this turn */
    struct bytes out;          /* what send() is framing just now */
};

/* NULL: memory. Writes the preface (client) and SETTINGS; owner->room must have some hundred bytes. */
struct h2 *h2_new(const struct h2_options *options, const struct h2_owner *owner, void *user);
/* Streams that are still open become dead (-E_TRUNCATED) without on_event; accepts NULL. */
void h2_free(struct h2 *h);

/* Takes all of the received bytes; calls on_event of streams. now_ns: of any monotonic clock. Returns 0, or -E_SYNTAX
 * (a connection error of RFC 9113; GOAWAY is written), -E_FLOOD, -E_MEMORY, or the error of owner->write. */
int h2_receive(struct h2 *h, struct bytes in, uint64_t now_ns) MUST_USE;
/* The connection has room again: writes what waits, wakes streams in their order. Returns 0 or an error as above. */
int h2_wake(struct h2 *h) MUST_USE;
/* Before the owner flushes the connection: writes what nghttp2 has left to say. Returns 0 or an error as above. */
int h2_flush(struct h2 *h) MUST_USE;

/* Client: opens a stream for the request that send_head() will send. s was prepared. Returns 0, -E_LIMIT (as many as the
 * server allows are open), -E_CLOSED (GOAWAY came, or ids are used up: another connection is needed). */
int h2_stream_open(struct h2 *h, struct h2_stream *s) MUST_USE;
/* How many more h2_stream_open() would take now; 0 after GOAWAY. */
uint32_t h2_streams_free(const struct h2 *h);

/* What a stream's `stream` has; set by h2_stream_init(). */
extern const struct stream_ops h2_stream_ops;
void h2_stream_init(struct h2_stream *s, struct arena *arena, void (*on_event)(struct h2_stream *s));
/* Its user is done with it: resets it with that code unless both directions have ended; its memory is the user's again.
 * Where only the peer's direction is open and ours has ended well, NO_ERROR is the code to give (RFC 9113 8.1).
 * Accepts one that is not open. */
void h2_stream_close(struct h2_stream *s, enum h2_code code);
/* Calls on_event at the end of the present (or the next) h2_receive(), h2_wake() or h2_flush(). */
void h2_stream_poke(struct h2_stream *s);

uint32_t h2_stream_count(const struct h2 *h);    /* that are open for us, closed ones that their users still hold not counted */
/* Whether streams wait for the connection's room, and for that alone: who waits for its window is not among them. */
bool h2_has_waiting(const struct h2 *h);
/* Bytes of storage held for contents that nobody took yet. */
size_t h2_stored_bytes(const struct h2 *h);

/* Server: tells the client to open no more streams; those that it opened until it knows are served. h2_drain() is
 * GOAWAY with the greatest id, and a PING; when that is answered, or the owner has waited long enough and calls
 * h2_drain_final(), the last GOAWAY with the true id. */
void h2_drain(struct h2 *h);
void h2_drain_final(struct h2 *h);
bool h2_is_final(const struct h2 *h); /* no stream will come: the last GOAWAY was sent, or one was received */
/* GOAWAY with that code, at once; nothing will be received any more. */
void h2_terminate(struct h2 *h, enum h2_code code);
/* Whether the peer's preface and SETTINGS have come. */
bool h2_is_open(const struct h2 *h);
/* Server: whether a head is being received just now, also one that is of no use any more. Client: whether extended CONNECT
 * may be used. */
bool h2_in_head(const struct h2 *h);
bool h2_can_connect_protocol(const struct h2 *h);
/* The code of the GOAWAY that came (client: streams with `unprocessed` may be repeated); -1: none did. */
int64_t h2_goaway_code(const struct h2 *h);
/* What used the budget up: "rapid reset", "CONTINUATION", "PING", ...; NULL: nothing. */
const char *h2_flood(const struct h2 *h);
/* Why the connection ended with an error: the library's words, or the code's name; empty: it did not. */
const char *h2_reason(const struct h2 *h);
/* PING, for who wants to know whether the peer is there; h2_pongs() counts the answers. */
int h2_ping(struct h2 *h) MUST_USE;
uint64_t h2_pongs(const struct h2 *h);

#endif
