/* access.h: the line of an exchange, or of a relayed connection, in the access log. */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include "proxy/exchange.h"

/* What an access log's line says of a relayed connection, beside what its session knows. */
struct relay_record {
    const struct snapshot_upstream *upstream;
    int server_number;              /* -1: none was tried */
    unsigned attempts;
    uint64_t up_bytes, down_bytes;  /* from the client, and to it */
    uint64_t connect_began_ns, connected_ns;
    struct bytes id;                /* by which the server knows the connection; empty: it was told none */
    int error;
};

void access_log_relay(struct session *s, const struct relay_record *relay);
void access_log_exchange(struct exchange *x);
/* A response's head or its trailers went to the client: where that was a call of gRPC, its status is for the log. */
void access_note_call(struct exchange *x, const struct fields *fields);

#endif
