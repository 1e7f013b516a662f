/* tls_connection.h: a connection under TLS from within, for connection_tls.c, which leads it through the handshake and whose
 * records are the session's or our own, and connection_kernel.c, to which its directions may move one after the other. */
#ifndef NET_TLS_CONNECTION_H
#define NET_TLS_CONNECTION_H

#include "net/connection_private.h"
#include "tls/records.h"

/* Bytes without one of content among them, after which a peer is given up: tickets, KeyUpdates, empty records. */
enum { FRUITLESS_MOST = 1 << 19 };

enum tls_state { TLS_HELLO, TLS_HANDSHAKE, TLS_OPEN, TLS_FAILED };

struct kernel_records;

struct tls_connection {
    struct connection base;               /* first: retired memory is freed by its address */
    const struct tls_server_hooks *hooks; /* NULL: a client's */
    struct tls_session *session;
    struct kernel_records *kernel; /* NULL: its records are not to move to the kernel */
    struct tls_records records; /* where `own` */
    struct buffer cipher;       /* received, not yet opened */
    uint64_t sent_ns;           /* when content was sealed last */
    uint32_t staged;            /* bytes to be sealed with the next flush */
    uint32_t fruitless;         /* bytes since the last content */
    int16_t alert;
    uint8_t state; /* enum tls_state */
    bool own;      /* the records are ours, or the kernel's */
    bool socket_ended, close_notify_seen;
    bool drained; /* nothing more until cipher gets more */
    bool untried; /* cipher was filled before there was TLS */
};

static inline struct tls_connection *tls_of(const struct connection *c)
{
    return CONTAINER_OF(c, struct tls_connection, base);
}

/* The connection can be used no more, but to say so: the alert that is owed leaves as far as it goes. Returns the error. */
int tls_connection_fail(struct tls_connection *t, int error);
int tls_connection_receive(struct connection *c) MUST_USE;
bool tls_connection_holds(const struct connection *c);
void tls_connection_settle(struct connection *c);
void tls_connection_release(struct connection *c);

/* ---- connection_kernel.c ----
 *
 * The sending direction moves as soon as all that was sealed here has left; the receiving one, after it, as soon as what was
 * received here ends with a record. What the kernel does not take stays here. */

/* The keys are ours, and the policy wants the kernel to have them. */
void connection_kernel_want(struct tls_connection *t);
void connection_kernel_free(struct tls_connection *t);
/* Each returns whether it moved now: the operations of the connection are others then. */
bool connection_kernel_take_sending(struct tls_connection *t);
bool connection_kernel_take_receiving(struct tls_connection *t);
/* So many bytes may be read for now, lest a part of the record behind comes along. */
size_t connection_kernel_read_most(const struct tls_connection *t);
/* What TLS owes, where the kernel seals. Returns 0, -E_AGAIN or an error. */
int connection_kernel_say(struct tls_connection *t) MUST_USE;

#endif
