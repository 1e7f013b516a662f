/* tls_connection.h: a connection under TLS from within, for the files that make it:
 *
 *     connection_handshake.c   how it begins and comes to its keys
 *     connection_tls.c         what it receives: records that the session opens, or that are our own
 *     connection_sealing.c     what it sends: staged, sealed; and how it fails
 *     connection_kernel.c      where the kernel seals and opens: its directions may move there, one after the other */
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
    struct tls_waiter waiter;   /* of the session's handshake */
    struct kernel_records *kernel; /* NULL: its records are not to move to the kernel */
    struct tls_records records; /* where `own` */
    struct buffer cipher;       /* received, not yet opened */
    uint64_t sent_ns;           /* when content was sealed last */
    uint32_t fruitless;         /* bytes since the last content */
    uint16_t staged;            /* bytes to be sealed with the next flush */
    uint16_t forgiven_s;        /* the loop's time, in seconds, when the peer's KeyUpdates were forgiven last; it wraps */
    int16_t alert;
    uint8_t state; /* enum tls_state */
    bool own;      /* the records are ours, or the kernel's */
    bool socket_ended, close_notify_seen;
    bool drained; /* nothing more until cipher gets more */
    bool untried; /* there is something to be done without a further byte: cipher was filled before there was TLS, or the session waited */
};

static inline struct tls_connection *tls_of(const struct connection *c)
{
    return CONTAINER_OF(c, struct tls_connection, base);
}

/* ---- connection_handshake.c ---- */

/* The handshake, as far as what is in cipher brings it. Returns 0 when it is complete, -E_AGAIN, or as connection_receive(). */
int tls_connection_handshake(struct tls_connection *t) MUST_USE;

/* ---- connection_tls.c ---- */

extern const struct connection_ops tls_connection_ops; /* before anything moves to the kernel */
/* One read into cipher. Returns its bytes (> 0), -E_AGAIN, -E_TRUNCATED at the end, or an error. */
int tls_connection_read_more(struct tls_connection *t) MUST_USE;
int tls_connection_receive(struct connection *c) MUST_USE;
/* To be called before records are opened: the peer's KeyUpdates are made up for by the time that has passed. */
static inline void tls_connection_forgive(struct tls_connection *t)
{
    uint16_t now_s;

    if (t->records.updates == 0)
        return;
    now_s = (uint16_t)(loop_now(t->base.net->loop) / NS_PER_S);
    records_forgive(&t->records, RECORDS_UPDATES_A_SECOND * (uint64_t)(uint16_t)(now_s - t->forgiven_s));
    t->forgiven_s = now_s;
}
bool tls_connection_holds(const struct connection *c);
void tls_connection_settle(struct connection *c);
void tls_connection_release(struct connection *c);

/* ---- connection_sealing.c ---- */

/* Makes so many bytes free at the end of out, if there can be; what is staged is among them and moves along. Returns 0 or
 * -E_MEMORY; whether they are there, buffer_room() says. */
int tls_connection_reserve_out(struct tls_connection *t, size_t bytes) MUST_USE;
/* What is staged comes to out. Returns 0 or an error. */
int tls_connection_seal_staged(struct tls_connection *t) MUST_USE;
/* What TLS itself has to say, when there is room for it: else with a later flush. Returns 0 or an error. */
int tls_connection_answer(struct tls_connection *t) MUST_USE;
size_t tls_connection_room(const struct connection *c);
ssize_t tls_connection_send(struct connection *c, struct bytes data) MUST_USE;
ssize_t tls_connection_pass(struct connection *c, struct bytes data) MUST_USE;
int tls_connection_seal(struct connection *c) MUST_USE;
/* The connection can be used no more, but to say so: the alert that is owed leaves as far as it goes. Returns the error. */
int tls_connection_fail(struct tls_connection *t, int error);
/* The same before there are keys: the alert leaves in clear. */
int tls_connection_fail_with_alert(struct tls_connection *t, uint8_t alert, int error);

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
