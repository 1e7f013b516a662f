/* handshake_ticket.c: resumption: tickets out, and tickets that come back as PSKs (RFC 8446 2.2, 4.2.11, 4.6.1). */
#include <string.h>

#include <openssl/crypto.h>

#include "tls/handshake_private.h"
#include "tls/random.h"

enum { TICKETS_TRIED = 4 }; /* of those under our keys that a ClientHello brings */

/* ---- Out ---- */

/* The ticket's age does not matter here, since no early data is taken: age_add only hides it from others on the way. A
 * ticket that cannot be made is not sent: the connection is none the worse. */
int handshake_send_new_session_ticket(struct handshake *h)
{
    static const uint8_t nonce[] = { 0 }; /* one ticket a connection */
    uint8_t message[HANDSHAKE_HEADER + 4 + 4 + 2 + 2 + TICKET_MOST + 2] = { HANDSHAKE_NEW_SESSION_TICKET };
    uint8_t *at = message + HANDSHAKE_HEADER;
    size_t body;
    int n;

    h->ticket.suite = h->suite->code;
    h->ticket.issued = h->now;
    if (!h->resumed)
        h->ticket.began = h->now;
    h->ticket.psk_bytes = h->schedule.bytes;
    memcpy(h->ticket.binding, h->binding, sizeof h->binding);
    key_schedule_ticket_psk(&h->schedule, bytes_of(nonce, sizeof nonce), h->ticket.psk);
    bytes_put_number(at, TICKET_LIFETIME, 4);
    if (random_bytes(at + 4, 4))
        return 0;
    at[8] = sizeof nonce;
    at[9] = nonce[0];
    n = ticket_seal(h->aeads, &h->ticket, at + 12);
    if (n < 0)
        return 0;
    bytes_put_number(at + 10, (uint64_t)n, 2);
    body = 12 + (size_t)n + 2; /* no extensions */
    bytes_put_number(message + 1, body, 3);
    return message_put(h, bytes_of(message, HANDSHAKE_HEADER + body));
}

/* ---- In ---- */

/* Whether what the ticket says is good for this connection. */
static bool serves(const struct handshake *h, const struct ticket_state *t)
{
    const struct suite *suite = suite_find(t->suite);

    if (!suite || suite->hash != h->suite->hash || t->psk_bytes != h->schedule.bytes)
        return false;
    if (t->issued > h->now || h->now - t->issued >= TICKET_LIFETIME)
        return false;
    if (h->now - t->began >= SESSION_LIFETIME)
        return false;
    if (memcmp(t->binding, h->binding, sizeof h->binding) != 0)
        return false;
    if (h->context->clients == TLS_CLIENT_REQUIRED && !t->has_client)
        return false;
    /* A ticket does not outlive the certificates that its session was authenticated with. */
    return !t->has_client || h->context->clients == TLS_CLIENT_OFF || t->client_until > h->now;
}

static int check_binder(struct handshake *h, const struct client_hello *hello, struct bytes binder)
{
    uint8_t ours[HASH_BYTES_MOST];

    key_schedule_binder(&h->schedule, hello->truncated, ours);
    if (binder.size == h->schedule.bytes && CRYPTO_memcmp(ours, binder.at, binder.size) == 0)
        return 0;
    return handshake_fail(h, -E_TLS, ALERT_DECRYPT_ERROR, "a wrong PSK binder");
}

/* The first of the PSKs that is good for this connection: h->ticket is its state then. */
static bool find_psk(struct handshake *h, const struct client_hello *hello, struct bytes *ret_binder)
{
    struct cursor identities = cursor_of(hello->psk_identities), binders = cursor_of(hello->psk_binders);
    struct bytes identity, binder;
    int tried = 0;

    if (!h->context->tickets || !client_hello_offers_psk_dhe(hello))
        return false;
    for (uint16_t i = 0; tried < TICKETS_TRIED && client_hello_next_psk(&identities, &binders, &identity, &binder);
         i++) {
        if (ticket_kind(identity) != TICKET_NATIVE)
            continue;
        tried++;
        if (ticket_open(h->aeads, identity, &h->ticket) == 0 && serves(h, &h->ticket)) {
            h->psk_index = i;
            *ret_binder = binder;
            return true;
        }
        explicit_bzero(&h->ticket, sizeof h->ticket);
    }
    return false;
}

bool handshake_has_psk(struct handshake *h, const struct client_hello *hello)
{
    struct bytes binder;
    bool found = find_psk(h, hello, &binder);

    explicit_bzero(&h->ticket, sizeof h->ticket);
    return found;
}

int handshake_choose_psk(struct handshake *h, const struct client_hello *hello)
{
    struct bytes binder;

    if (!find_psk(h, hello, &binder))
        return 0;
    key_schedule_use_psk(&h->schedule, bytes_of(h->ticket.psk, h->ticket.psk_bytes));
    explicit_bzero(h->ticket.psk, sizeof h->ticket.psk);
    h->resumed = true;
    h->client_is_verified = h->ticket.has_client && h->context->clients != TLS_CLIENT_OFF;
    return check_binder(h, hello, binder);
}
