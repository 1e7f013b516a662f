/* records.h: a connection after its handshake: both directions of records, and what TLS itself has to say between them.
 *
 *     the socket's bytes, in `cipher` --records_open()--> plaintext, straight into the reader's buffer
 *     the writer's bytes --records_seal()--> records, straight into `out` --> the socket
 *     alerts, KeyUpdate's answer --records_answer()--> out
 *
 * Nothing is copied but by the cipher itself: a record is opened into the reader's memory, or where it stands when that has no
 * room for all of it, and given out in pieces then. Sealing takes the writer's memory, or what was collected at the
 * very place in `out` where the record will be (records_seal_staged).
 *
 * KeyUpdate (RFC 8446 4.6.3): a peer's is followed, and answered once however often it asked before we write; who sends
 * nothing else is a flood, and so is who sends more of them than records_forgive() lets time make up for, content or not. Our
 * own key is updated before it has sealed as much as it may (RFC 8446 5.5).
 * Record size: after a pause the first bytes leave in records that fit a TCP segment, so that the peer can open them as they
 * come; a stream gets records of the full size.
 *
 * Pure; one thread. The keys are wiped by records_clear(). */
#ifndef TLS_RECORDS_H
#define TLS_RECORDS_H

#include "base/buffer.h"
#include "tls/record.h"

enum {
    RECORDS_SMALL_PLAIN = 1369,     /* bytes of content: record and TCP header fit a segment of 1,500 bytes, options included */
    RECORDS_SMALL_BYTES = 32 * 1024, /* of content that leave in small records after a pause */
    RECORDS_UPDATE = 32,            /* bytes: a KeyUpdate's record, at most */
    RECORDS_MESSAGES_MOST = 32,     /* of TLS's own without content between them, */
    RECORDS_UPDATES_MOST = 1024,    /* but of KeyUpdates: Java asks anew with each record that it receives before our key; */
    RECORDS_UPDATES_A_SECOND = 64,  /* of these, content between them or not, so many are forgiven in each second */
};

struct tls_records {
    struct aead_cache *cache;
    struct record_keys read, write;
    uint16_t read_most;          /* bytes of content in a record that is read */
    uint16_t plain_most;
    uint16_t small_left;      /* bytes of content that still leave in small records */
    uint16_t pending;         /* bytes of plaintext at the start of `cipher`: opened in place, not given out yet */
    uint16_t trailing;        /* and what follows them until the next record */
    uint8_t secret_bytes;
    int16_t ended;            /* 0, or what records_open() returns from here on */
    uint8_t alert;            /* that was received or has to be sent, where ended says so */
    bool is_client;
    bool alert_received;
    bool alert_due;           /* once what came before the error was given out, it is owed */
    bool alert_owed, update_owed;
    bool peer_closed;         /* its close_notify came */
    bool finished;            /* ours was sealed, or a fatal alert */
    bool read_renewed;        /* the peer's key is another one; for whoever opens records himself, who clears it */
    uint16_t messages;        /* of TLS's own since the last content */
    uint8_t part_bytes;       /* of a handshake message that is not whole yet */
    uint8_t part[5];
    uint16_t updates;         /* of the peer's key that time has not made up for */
};

/* Takes the keys over; wipes the caller's. */
void records_init(struct tls_records *r, struct traffic_keys *keys, bool is_client, struct aead_cache *cache);
/* Wipes all keys. Nothing else may be called then. */
void records_clear(struct tls_records *r);

/* Time has passed: so many KeyUpdates of the peer's are forgotten. */
static inline void records_forgive(struct tls_records *r, uint64_t updates)
{
    r->updates = (uint16_t)(updates < r->updates ? r->updates - updates : 0);
}

/* Opens records out of cipher, one after the other, into plain (room bytes), until either is used up.
 * Returns the bytes of plaintext (> 0); 0 after the peer's close_notify (each time); -E_AGAIN (an incomplete record, or no
 * room); -E_TLS_ALERT (a fatal alert came); -E_TLS, -E_FLOOD, -E_RECORD_LIMIT, -E_CRYPTO, -E_MEMORY (an alert is owed). An end
 * or an error comes after the data before it, and stays. After each call see records_owes(). */
int records_open(struct tls_records *r, struct buffer *cipher, uint8_t *plain, size_t room) MUST_USE;
/* Whether records_open has something to say without further bytes. */
static inline bool records_have_more(const struct tls_records *r)
{
    return r->pending || r->ended || r->peer_closed;
}

/* Bytes of content that the next record takes. */
static inline size_t records_piece(const struct tls_records *r)
{
    size_t most = r->small_left ? RECORDS_SMALL_PLAIN : RECORD_PLAIN_MOST;
    return most < r->plain_most ? most : r->plain_most;
}
/* Records of at most so many bytes of content each that so many bytes take. One is what most answers need: no division. */
static inline size_t records_count(size_t plain_bytes, size_t most)
{
    return plain_bytes <= most ? plain_bytes != 0 : (plain_bytes + most - 1) / most;
}
/* Bytes that sealing so much content takes at most, with a KeyUpdate that is due. */
static inline size_t records_sealed_size(const struct tls_records *r, size_t plain_bytes)
{
    size_t small = plain_bytes < r->small_left ? plain_bytes : r->small_left;
    size_t records = records_count(small, RECORDS_SMALL_PLAIN) + records_count(plain_bytes, r->plain_most);
    return plain_bytes + records * record_overhead(&r->write) + RECORDS_UPDATE;
}
/* Bytes that the small records which are still to come, all of them after a pause, add to what full ones take. */
static inline size_t records_small_extra(const struct tls_records *r, bool paused)
{
    size_t bytes = paused ? RECORDS_SMALL_BYTES : r->small_left;

    if (bytes == 0 || r->plain_most <= RECORDS_SMALL_PLAIN)
        return 0;
    return records_count(bytes, RECORDS_SMALL_PLAIN) * record_overhead(&r->write);
}
/* Nothing was sent for a while: what comes next is to arrive early. */
static inline void records_paused(struct tls_records *r)
{
    r->small_left = RECORDS_SMALL_BYTES;
}
/* Seals all of plain into out, which has records_sealed_size() bytes of room. Not after records_finish(). Returns 0,
 * -E_RECORD_LIMIT, -E_CRYPTO or -E_MEMORY: close the connection. */
int records_seal(struct tls_records *r, struct bytes plain, struct buffer *out) MUST_USE;
/* The same for up to records_piece() bytes that stand where they will be sealed: at records_stage(out). Both say before the
 * content what has to come before it (KeyUpdate). */
int records_seal_staged(struct tls_records *r, size_t bytes, struct buffer *out) MUST_USE;
static inline uint8_t *records_stage(const struct tls_records *r, const struct buffer *out)
{
    return out->data + out->end + record_prefix(&r->write);
}

/* Whether TLS itself has something to say, for which records_answer() must be called. */
static inline bool records_owes(const struct tls_records *r)
{
    return (r->alert_owed || r->update_owed) && !r->finished;
}
/* Says it; needs RECORDS_ANSWER bytes of room in out. Returns 0 or -E_CRYPTO, ... */
int records_answer(struct tls_records *r, struct buffer *out) MUST_USE;
/* Appends close_notify, once, or the alert where the connection has failed; needs RECORDS_ANSWER bytes of room. The other direction
 * stays open (RFC 8446 6.1). */
int records_finish(struct tls_records *r, struct buffer *out) MUST_USE;
enum { RECORDS_ANSWER = 128 };

/* ---- Where the kernel seals and opens, and tells what it found: the meaning is the same ---- */

/* A record that was opened and has no content for the reader, or content between the parts of a handshake message. Returns 0
 * or an error, which stays. */
int records_take(struct tls_records *r, enum content_type type, const uint8_t *content, size_t bytes) MUST_USE;
/* Ends reading with an error, for which an alert is owed. Returns the error. */
int records_fail(struct tls_records *r, int error, uint8_t alert);
/* What TLS has to say next, in clear; at_end: close_notify is among it. Returns its bytes; 0: nothing. */
enum { RECORDS_WORD = 5 };
size_t records_word(const struct tls_records *r, bool at_end, enum content_type *ret_type, uint8_t ret_word[RECORDS_WORD]);
/* It was sealed; after a KeyUpdate the write key is the next one. Returns 0 or -E_CRYPTO. */
int records_said(struct tls_records *r, enum content_type type) MUST_USE;
/* Whether a key that has sealed so many records should seal no more (RFC 8446 5.5). */
bool records_key_is_used_up(const struct tls_records *r, uint64_t sequence);

#endif
