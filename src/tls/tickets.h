/* tickets.h: the keys that protect session tickets (RFC 5077, RFC 8446 4.6.1).
 *
 * The supervisor makes them and rotates them, so that they survive a worker's crash; each worker holds the current
 * ring and swaps it when a new one arrives. The newest key seals; all of them open; a ticket under an unknown key, or
 * one that cannot be read, gives a full handshake and never an alert. AES-256-CBC with HMAC-SHA256, both keys 32 bytes. */
#ifndef TLS_TICKETS_H
#define TLS_TICKETS_H

#include "base/bytes.h"
#include "base/error.h"
#include "tls/hmac.h"

enum { TICKET_GENERATIONS = 3, TICKET_KEY_NAME = 16, TICKET_KEY_BYTES = 32 };

struct ticket_key {
    uint8_t name[TICKET_KEY_NAME]; /* in clear in the ticket; random */
    uint8_t cipher_key[TICKET_KEY_BYTES];
    uint8_t mac_key[TICKET_KEY_BYTES];
};

struct ticket_keys {
    uint32_t count; /* of those below, newest first; 0: tickets are off */
    struct ticket_key key[TICKET_GENERATIONS];
};

/* Puts a fresh random key in front; the oldest of four falls out and is wiped. Returns 0 or -E_CRYPTO. */
int ticket_keys_rotate(struct ticket_keys *keys) MUST_USE;
void ticket_keys_wipe(struct ticket_keys *keys);

/* The ring that this process's contexts use. Copies *keys. Any thread; readers never wait for it. */
void tickets_install(const struct ticket_keys *keys);

/* What our own engine's tickets (ticket.h) are sealed with: made of a key of the ring, and never the same. */
struct native_ticket_key {
    uint8_t name[TICKET_KEY_NAME];
    struct hmac key; /* ready; whoever gets it wipes it */
};
/* The newest one, or the one of that name (TICKET_KEY_NAME bytes). false: there is none. */
bool tickets_native_key(const uint8_t *name, struct native_ticket_key *ret_key);
/* Whose ticket begins with that name. */
enum ticket_kind { TICKET_UNKNOWN, TICKET_NATIVE, TICKET_OPENSSL };
enum ticket_kind tickets_kind(const uint8_t name[TICKET_KEY_NAME]);

#endif
