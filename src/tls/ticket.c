#include "tls/ticket.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/check.h"
#include "tls/random.h"
#include "tls/tickets.h"

enum {
    VERSION = 2, /* of the state's form */
    SALT = 16,
    HEAD = TICKET_KEY_NAME + SALT,
    STATE_MOST = TICKET_MOST - HEAD - AEAD_TAG,
};
_Static_assert(STATE_MOST >= 1 + 2 + 1 + HASH_BYTES_MOST + 8 + 8 + 32 + 1 + 8 + 1 + 255, "every state fits");

/* ---- The state as bytes ---- */

static uint8_t *put_bytes(uint8_t *at, const void *from, size_t bytes)
{
    if (bytes)
        memcpy(at, from, bytes);
    return at + bytes;
}

static size_t write_state(const struct ticket_state *t, uint8_t *out)
{
    uint8_t *at = bytes_put_number(out, VERSION, 1);

    at = bytes_put_number(at, t->suite, 2);
    at = bytes_put_number(at, t->psk_bytes, 1);
    at = put_bytes(at, t->psk, t->psk_bytes);
    at = bytes_put_number(at, (uint64_t)t->issued, 8);
    at = bytes_put_number(at, (uint64_t)t->began, 8);
    at = put_bytes(at, t->binding, sizeof t->binding);
    at = bytes_put_number(at, t->has_client, 1);
    at = bytes_put_number(at, (uint64_t)t->client_until, 8);
    at = bytes_put_number(at, t->name_bytes, 1);
    at = put_bytes(at, t->name, t->name_bytes);
    return (size_t)(at - out);
}

static bool read_state(struct bytes state, struct ticket_state *t)
{
    struct cursor c = cursor_of(state), psk, name;
    struct bytes binding;

    if (cursor_u8(&c) != VERSION)
        return false;
    t->suite = cursor_u16(&c);
    psk = cursor_vector(&c, 1);
    t->issued = (int64_t)cursor_u64(&c);
    t->began = (int64_t)cursor_u64(&c);
    binding = cursor_bytes(&c, sizeof t->binding);
    t->has_client = cursor_u8(&c) == 1;
    t->client_until = (int64_t)cursor_u64(&c);
    name = cursor_vector(&c, 1);
    if (c.failed || cursor_left(&c) || cursor_left(&psk) > sizeof t->psk)
        return false;
    t->psk_bytes = (uint8_t)cursor_left(&psk);
    t->name_bytes = (uint8_t)cursor_left(&name);
    put_bytes(t->psk, psk.at, t->psk_bytes);
    put_bytes(t->binding, binding.at, sizeof t->binding);
    put_bytes((uint8_t *)t->name, name.at, t->name_bytes);
    return true;
}

/* ---- Sealing: each ticket has a key of its own, so that one nonce will do ---- */

static int run(struct aead_cache *aeads, struct hmac *key, bool is_sealing, const uint8_t *head, struct bytes in,
               uint8_t *out, uint8_t *tag)
{
    static const uint8_t nonce[AEAD_NONCE];
    uint8_t cipher_key[HASH_BYTES_MOST];
    struct aead_holder holder = { NULL };
    struct aead_job job = {
        .key = cipher_key,
        .aead = AEAD_AES_256_GCM,
        .is_sealing = is_sealing,
        .nonce = nonce,
        .data = bytes_of(head, HEAD),
        .in = in,
        .tail = -1,
        .out = out,
        .tag = tag,
    };
    int error;

    hmac_once(key, bytes_of(head + TICKET_KEY_NAME, SALT), cipher_key);
    error = aead_run(aeads, &holder, &job);
    aead_release(aeads, &holder);
    explicit_bzero(cipher_key, sizeof cipher_key);
    return error;
}

int ticket_seal(struct aead_cache *aeads, const struct ticket_state *state, uint8_t out[TICKET_MOST])
{
    uint8_t plain[STATE_MOST];
    struct native_ticket_key key;
    size_t bytes;
    int error;

    if (!tickets_native_key(NULL, &key))
        return -E_AGAIN;
    memcpy(out, key.name, TICKET_KEY_NAME);
    bytes = write_state(state, plain);
    error = random_bytes(out + TICKET_KEY_NAME, SALT);
    if (!error)
        error = run(aeads, &key.key, true, out, bytes_of(plain, bytes), out + HEAD, out + HEAD + bytes);
    explicit_bzero(plain, sizeof plain);
    hmac_wipe(&key.key);
    return error ? error : (int)(HEAD + bytes + AEAD_TAG);
}

int ticket_open(struct aead_cache *aeads, struct bytes ticket, struct ticket_state *ret_state)
{
    uint8_t plain[STATE_MOST];
    struct native_ticket_key key;
    size_t bytes = ticket.size - HEAD - AEAD_TAG;
    int error;

    if (ticket.size < HEAD + AEAD_TAG || ticket.size > TICKET_MOST || !tickets_native_key(ticket.at, &key))
        return -E_TLS;
    error = run(aeads, &key.key, false, ticket.at, bytes_part(ticket, HEAD, bytes), plain,
                (uint8_t *)ticket.at + HEAD + bytes);
    hmac_wipe(&key.key);
    if (!error && !read_state(bytes_of(plain, bytes), ret_state))
        error = -E_TLS;
    explicit_bzero(plain, sizeof plain);
    return error ? -E_TLS : 0;
}

enum ticket_kind ticket_kind(struct bytes ticket)
{
    return ticket.size < TICKET_KEY_NAME ? TICKET_UNKNOWN : tickets_kind(ticket.at);
}
