/* ticket.h: the session tickets of our own engine: what a later handshake needs of this one, sealed for ourselves.
 *
 *     name (16) | salt (16) | state, under AES-256-GCM with a key of its own: HMAC(ticket key, salt) | tag (16)
 *
 * The keys come from the same ring as those of OpenSSL's tickets (tickets.h), derived from them, so that either engine knows the other's
 * tickets by their names and neither uses a key in two ways. Pure but for the ring and randomness. */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include "tls/aead.h"
#include "tls/tickets.h"

struct ticket_state {
    uint16_t suite;
    uint8_t psk_bytes;
    uint8_t psk[HASH_BYTES_MOST];
    int64_t issued;       /* seconds since 1970 */
    int64_t began;        /* likewise: the full handshake, of which this session is resumed, or that handshake itself */
    uint8_t binding[32];  /* to virtual host and policy */
    bool has_client;      /* a client's certificate was verified */
    int64_t client_until; /* the end of its validity, or of its chain's */
    uint8_t name_bytes;   /* of its common name */
    char name[255];
};

enum {
    TICKET_MOST = 512,
    TICKET_LIFETIME = 12 * 3600,     /* seconds */
    SESSION_LIFETIME = 7 * 24 * 3600 /* likewise: each resumption brings a new ticket, but not for ever (RFC 8446 4.6.1) */
};

/* Writes the ticket; returns its bytes, -E_AGAIN when there is no key, -E_CRYPTO or -E_MEMORY. */
int ticket_seal(struct aead_cache *aeads, const struct ticket_state *state, uint8_t out[TICKET_MOST]) MUST_USE;
/* Returns 0, or -E_TLS: it is not ours, damaged, or of a time before. The caller wipes the state. */
int ticket_open(struct aead_cache *aeads, struct bytes ticket, struct ticket_state *ret_state) MUST_USE;

/* Whose it is, by its name. */
enum ticket_kind ticket_kind(struct bytes ticket);

#endif
