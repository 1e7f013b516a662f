/* grpc.h: the little that a proxy has to know of gRPC, which is HTTP/2 with its status in the trailers.
 *
 *     request   POST /package.Service/Method, te: trailers, content-type: application/grpc[+proto], grpc-timeout: 5S
 *     response  200, content, trailers grpc-status (0: well) and grpc-message; or both in the head, with no content at
 *               all: "trailers-only", by which a call is refused
 *
 * Its clients look for the status alone: an answer of the proxy's own must be trailers-only with HTTP status 200, or they
 * see no more than an odd response. Pure. Source: gRPC's PROTOCOL-HTTP2.md and http-grpc-status-mapping.md. */
#ifndef HTTP_GRPC_H
#define HTTP_GRPC_H

#include "http/message.h"

enum grpc_status {
    GRPC_OK = 0, GRPC_CANCELLED = 1, GRPC_UNKNOWN = 2, GRPC_DEADLINE_EXCEEDED = 4, GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8, GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13, GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

/* Whether its content-type is application/grpc, with or without a suffix or parameters; gRPC-Web's counts too. */
bool grpc_is_call(const struct message *request);
/* The content type of an answer of our own: "application/grpc", or gRPC-Web's as it was asked with. A view of a literal or
 * of the request. */
struct bytes grpc_answer_type(const struct message *request);
/* What an HTTP status means to a gRPC client. As the mapping says that clients use themselves, except that 504 is
 * DEADLINE_EXCEEDED: the proxy knows that it was time that ran out. */
enum grpc_status grpc_status_of(int http_status);
/* What a server's RST_STREAM before its response means to one: CANCEL and ENHANCE_YOUR_CALM say something, all others that
 * there was no answer (UNAVAILABLE, as for 502). */
enum grpc_status grpc_status_of_reset(uint32_t h2_code);
/* The status that a response's head or its trailers tell; -1: none, or what is no number up to 999. */
int grpc_status_told(const struct fields *fields);
/* text as the value of grpc-message: all but printable ASCII, and '%', percent-encoded. .at is NULL when memory is out. */
struct bytes grpc_message(struct arena *arena, struct bytes text);

#endif
