#include "tls/key_schedule.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "tls/wire.h"

static const uint8_t zeros[HASH_BYTES_MOST];

/* Derive-Secret where the transcript's hash is known, or HKDF-Expand-Label with any other context; from the chain's present secret. */
static void derive_next(struct key_schedule *k, const char *label, struct bytes context, uint8_t *out)
{
    hkdf_expand_label(&k->keyed, BYTES_LITERAL("tls13 "), bytes_of_text(label), context, out, k->bytes);
}

/* The same from any other. */
static void derive(const struct key_schedule *k, const uint8_t *secret, const char *label, struct bytes context,
                   uint8_t *out)
{
    struct hmac h;

    hmac_key(&h, k->hash, bytes_of(secret, k->bytes));
    hkdf_expand_label(&h, BYTES_LITERAL("tls13 "), bytes_of_text(label), context, out, k->bytes);
    hmac_wipe(&h);
}

/* ---- The chain of secrets ---- */

/* The constants of a hash: that of no message at all; and without a PSK the early secret and what follows from it alone. */
static struct constants {
    uint8_t nothing[HASH_BYTES_MOST];
    uint8_t secret[HASH_BYTES_MOST], salt[HASH_BYTES_MOST];
    struct hmac keyed;
} constants[2];

static struct constants *constants_of(const struct key_schedule *k)
{
    return &constants[k->hash == HASH_SHA256 ? 0 : 1];
}

static struct bytes hash_of_nothing(const struct key_schedule *k)
{
    return bytes_of(constants_of(k)->nothing, k->bytes);
}

static void extract(struct key_schedule *k, struct bytes salt, struct bytes keying)
{
    hkdf_extract(k->hash, salt, keying, k->secret);
    hmac_key(&k->keyed, k->hash, bytes_of(k->secret, k->bytes));
}

static void early_secret(struct key_schedule *k, struct bytes psk)
{
    extract(k, BYTES_NONE, psk);
    derive_next(k, "derived", hash_of_nothing(k), k->salt);
}

static void make_constants(void)
{
    for (int i = 0; i < 2; i++) {
        struct key_schedule k = { .hash = i == 0 ? HASH_SHA256 : HASH_SHA384 };

        k.bytes = (uint8_t)hash_bytes(k.hash);
        hash_once(k.hash, BYTES_NONE, constants[i].nothing);
        early_secret(&k, bytes_of(zeros, k.bytes));
        memcpy(constants[i].secret, k.secret, sizeof k.secret);
        memcpy(constants[i].salt, k.salt, sizeof k.salt);
        constants[i].keyed = k.keyed;
    }
}

/* Those of a handshake without a PSK. */
static void use_constants(struct key_schedule *k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct constants *c = constants_of(k);

    pthread_once(&once, make_constants);
    memcpy(k->secret, c->secret, sizeof k->secret);
    memcpy(k->salt, c->salt, sizeof k->salt);
    k->keyed = c->keyed;
}

void key_schedule_use_psk(struct key_schedule *k, struct bytes psk)
{
    CHECK(psk.size == k->bytes);
    early_secret(k, psk);
}

void key_schedule_start(struct key_schedule *k, enum hash hash)
{
    k->hash = hash;
    k->bytes = (uint8_t)hash_bytes(hash);
    hash_start(&k->transcript, hash);
    use_constants(k);
}

/* ---- The transcript ---- */

void key_schedule_add(struct key_schedule *k, struct bytes message)
{
    hash_add(&k->transcript, k->hash, message);
}

static void transcript_with(const struct key_schedule *k, struct bytes more, uint8_t *out)
{
    union hash_state running = k->transcript;

    hash_add(&running, k->hash, more);
    hash_end(&running, k->hash, out);
}

void key_schedule_transcript(const struct key_schedule *k, uint8_t ret_hash[HASH_BYTES_MOST])
{
    transcript_with(k, BYTES_NONE, ret_hash);
}

void key_schedule_retry(struct key_schedule *k)
{
    uint8_t message[HANDSHAKE_HEADER + HASH_BYTES_MOST] = { HANDSHAKE_MESSAGE_HASH, 0, 0, k->bytes };

    key_schedule_transcript(k, message + HANDSHAKE_HEADER);
    hash_start(&k->transcript, k->hash);
    key_schedule_add(k, bytes_of(message, HANDSHAKE_HEADER + (size_t)k->bytes));
}

/* ---- The secrets ---- */

void key_schedule_binder(struct key_schedule *k, struct bytes truncated, uint8_t ret_binder[HASH_BYTES_MOST])
{
    uint8_t key[HASH_BYTES_MOST], hash[HASH_BYTES_MOST];
    struct hmac h;

    derive_next(k, "res binder", hash_of_nothing(k), key);
    derive(k, key, "finished", BYTES_NONE, key);
    transcript_with(k, truncated, hash);
    hmac_key(&h, k->hash, bytes_of(key, k->bytes));
    hmac_once(&h, bytes_of(hash, k->bytes), ret_binder);
    hmac_wipe(&h);
    explicit_bzero(key, sizeof key);
}

/* The next secret of the chain, and both directions' traffic secrets under it. */
static void advance(struct key_schedule *k, struct bytes keying, const char *client_label, uint8_t *ret_client,
                    const char *server_label, uint8_t *ret_server)
{
    uint8_t hash[HASH_BYTES_MOST];

    extract(k, bytes_of(k->salt, k->bytes), keying);
    key_schedule_transcript(k, hash);
    derive_next(k, client_label, bytes_of(hash, k->bytes), ret_client);
    derive_next(k, server_label, bytes_of(hash, k->bytes), ret_server);
}

void key_schedule_enter_handshake(struct key_schedule *k, struct bytes shared_secret)
{
    advance(k, shared_secret, "c hs traffic", k->client, "s hs traffic", k->server);
    derive_next(k, "derived", hash_of_nothing(k), k->salt);
}

void key_schedule_finished(const struct key_schedule *k, const uint8_t *traffic_secret,
                           uint8_t ret_mac[HASH_BYTES_MOST])
{
    uint8_t key[HASH_BYTES_MOST], hash[HASH_BYTES_MOST];
    struct hmac h;

    derive(k, traffic_secret, "finished", BYTES_NONE, key);
    key_schedule_transcript(k, hash);
    hmac_key(&h, k->hash, bytes_of(key, k->bytes));
    hmac_once(&h, bytes_of(hash, k->bytes), ret_mac);
    hmac_wipe(&h);
    explicit_bzero(key, sizeof key);
}

void key_schedule_enter_content(struct key_schedule *k)
{
    advance(k, bytes_of(zeros, k->bytes), "c ap traffic", k->client_content, "s ap traffic", k->server_content);
}

void key_schedule_ticket_psk(struct key_schedule *k, struct bytes nonce, uint8_t ret_psk[HASH_BYTES_MOST])
{
    uint8_t hash[HASH_BYTES_MOST], resumption[HASH_BYTES_MOST];

    key_schedule_transcript(k, hash);
    derive_next(k, "res master", bytes_of(hash, k->bytes), resumption);
    derive(k, resumption, "resumption", nonce, ret_psk);
    explicit_bzero(resumption, sizeof resumption);
}

void key_schedule_wipe(struct key_schedule *k)
{
    explicit_bzero(k, sizeof *k);
}
