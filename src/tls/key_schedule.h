/* key_schedule.h: the secrets of a TLS 1.3 handshake, one derived from the other, and the transcript that goes into them (RFC 8446 7.1).
 *
 *     PSK or zeros  --> early secret      --> binders
 *     (EC)DHE       --> handshake secret  --> traffic secrets of the handshake, with the transcript to ServerHello; Finished's keys
 *     zeros         --> main secret       --> traffic secrets of the content, with the transcript to the server's Finished;
 *                                             resumption secret, to the client's Finished --> PSKs of tickets
 *
 * The functions are called in that order. Pure, and nothing in here can fail. Whoever keeps one wipes it. */
#ifndef TLS_KEY_SCHEDULE_H
#define TLS_KEY_SCHEDULE_H

#include "tls/hmac.h"

struct key_schedule {
    enum hash hash;
    uint8_t bytes;                   /* of the hash, and of every secret */
    union hash_state transcript;     /* of all messages so far */
    uint8_t secret[HASH_BYTES_MOST]; /* the early secret, then the handshake secret, then the main secret */
    struct hmac keyed;               /* with that secret: what is derived from it costs a key less each */
    uint8_t salt[HASH_BYTES_MOST];   /* "derived" from it, for the next one */
    uint8_t client[HASH_BYTES_MOST], server[HASH_BYTES_MOST]; /* traffic secrets of the handshake */
    uint8_t client_content[HASH_BYTES_MOST], server_content[HASH_BYTES_MOST];
};

/* Without a PSK, and without a message. */
void key_schedule_start(struct key_schedule *k, enum hash hash);
/* With a PSK, as long as the hash, from the beginning on. */
void key_schedule_use_psk(struct key_schedule *k, struct bytes psk);
/* A whole message, header included. */
void key_schedule_add(struct key_schedule *k, struct bytes message);
/* The ClientHello, which is all that was added, is replaced by its hash, since a HelloRetryRequest follows (RFC 8446 4.4.1). */
void key_schedule_retry(struct key_schedule *k);
/* The transcript's hash as of now. */
void key_schedule_transcript(const struct key_schedule *k, uint8_t ret_hash[HASH_BYTES_MOST]);

/* Of a PSK from a ticket: the binder of a ClientHello that ends, but for its binders, with `truncated` (RFC 8446 4.2.11.2).
 * What came before it (behind a HelloRetryRequest) was added. Writes the hash's size. */
void key_schedule_binder(struct key_schedule *k, struct bytes truncated, uint8_t ret_binder[HASH_BYTES_MOST]);

/* Behind ServerHello: the traffic secrets of the handshake. */
void key_schedule_enter_handshake(struct key_schedule *k, struct bytes shared_secret);
/* verify_data of a Finished as of now, under the sender's traffic secret of the handshake. */
void key_schedule_finished(const struct key_schedule *k, const uint8_t *traffic_secret,
                           uint8_t ret_mac[HASH_BYTES_MOST]);
/* Behind the server's Finished: those of the content. */
void key_schedule_enter_content(struct key_schedule *k);
/* Behind the client's Finished: the PSK of a ticket with that nonce (RFC 8446 4.6.1). Writes the hash's size. */
void key_schedule_ticket_psk(struct key_schedule *k, struct bytes nonce, uint8_t ret_psk[HASH_BYTES_MOST]);

void key_schedule_wipe(struct key_schedule *k);

#endif
