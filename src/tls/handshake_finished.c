/* handshake_finished.c: Finished of both sides (RFC 8446 4.4.4). */
#include <string.h>

#include <openssl/crypto.h>

#include "tls/handshake_private.h"

int handshake_send_finished(struct handshake *h)
{
    uint8_t message[HANDSHAKE_HEADER + HASH_BYTES_MOST] = { HANDSHAKE_FINISHED, 0, 0, h->schedule.bytes };
    int error;

    key_schedule_finished(&h->schedule, h->schedule.server, message + HANDSHAKE_HEADER);
    error = message_put(h, bytes_of(message, HANDSHAKE_HEADER + (size_t)h->schedule.bytes));
    if (!error)
        error = message_seal(h);
    if (error)
        return error;
    key_schedule_enter_content(&h->schedule);
    handshake_protect(h, &h->write, h->schedule.server_content, true); /* alerts from here on, too */
    return 0;
}

int handshake_receive_finished(struct handshake *h, struct bytes message)
{
    struct bytes theirs = bytes_from(message, HANDSHAKE_HEADER);
    uint8_t ours[HASH_BYTES_MOST];
    bool equal;

    if (theirs.size != h->schedule.bytes)
        return handshake_fail(h, -E_TLS, ALERT_DECODE_ERROR, "a Finished of the wrong length");
    key_schedule_finished(&h->schedule, h->schedule.client, ours);
    equal = CRYPTO_memcmp(ours, theirs.at, theirs.size) == 0;
    explicit_bzero(ours, sizeof ours);
    if (!equal)
        return handshake_fail(h, -E_TLS, ALERT_DECRYPT_ERROR, "a wrong Finished");
    if (message_is_followed(h)) /* keys change here (RFC 8446 5.1) */
        return handshake_fail(h, -E_TLS, ALERT_UNEXPECTED_MESSAGE, "bytes behind Finished in its record");
    key_schedule_add(&h->schedule, message);
    return 0;
}
