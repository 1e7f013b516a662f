/* stream.h: one side of an exchange: a message that is received and a message that is sent, in any version of HTTP.
 *
 *     client's stream --look/took--> exchange --send--> server's stream
 *     client's stream <--send-- exchange <--look/took-- server's stream
 *
 * The exchange pulls content from one side only as far as the other takes it; that is all the back-pressure there is.
 * HTTP/1 has one stream a connection, HTTP/2 many.
 *
 * Tunnels: a server's stream whose request asked for an upgrade gives its 101 a body BODY_TUNNEL; when the client's stream
 * sends a head with that body (the 101, or HTTP/2's 200 to an extended CONNECT), both directions of either stream are raw
 * bytes from there on, also where its request had ended: look() gives them until that side's end, send() takes them, and
 * end() ends our direction alone. */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <sys/types.h>

#include "http/message.h"

enum stream_look { STREAM_DATA = 1, STREAM_END = 2 };

struct stream;
struct h1_wire;

/* What has moved between the peer and us so far, for rates. */
struct stream_progress {
    uint64_t own;    /* bytes of this stream */
    uint64_t shared; /* bytes that left for the peer on the connection that it shares with others */
    bool alone;      /* what holds it up is its own affair: `shared` does not excuse it */
};

struct stream_ops {
    /* Receives the head of a response into m (prepared by message_init). Returns 0, -E_AGAIN or an error. */
    int (*look_head)(struct stream *s, struct message *m);
    /* The content that comes next: STREAM_DATA with a view that is valid until took(), STREAM_END, -E_AGAIN or an error. */
    int (*look)(struct stream *s, struct bytes *ret_data);
    void (*took)(struct stream *s, size_t n);
    /* Trailer fields, after STREAM_END; may be empty. */
    const struct fields *(*trailers)(struct stream *s);

    /* A client's stream: bytes of content that send() would take now, so that no more is read from a server. NULL: any. */
    size_t (*room)(struct stream *s);
    /* A client's stream. NULL: it has its connection to itself. */
    void (*progress)(const struct stream *s, struct stream_progress *ret);

    /* A server's stream: it receives no more than so many bytes at once. 0: nobody looks for now, and what it holds moves to
     * small storage. NULL: it is bounded by itself. */
    void (*pace)(struct stream *s, size_t most);

    /* What HTTP/1 has behind it, for h1_wire_splice(). NULL: another version. */
    struct h1_wire *(*wire)(struct stream *s);

    /* Each takes all (0) or nothing (-E_AGAIN: wait for the stream to become writable), or fails. A head with body
     * BODY_NONE is a whole message but for a request's or response's end(). */
    int (*send_head)(struct stream *s, const struct message *m);
    /* Takes a part; returns the bytes taken, 0 when there is no room now, or an error. */
    ssize_t (*send)(struct stream *s, struct bytes data);
    int (*end)(struct stream *s, const struct fields *trailers);
    /* Brings on its way what was sent since the last flush. Returns 0, -E_AGAIN (on its way later) or an error. */
    int (*flush)(struct stream *s);
};

struct stream {
    const struct stream_ops *ops;
};

#endif
