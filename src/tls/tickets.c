/* tickets.c: the ring of ticket keys, and OpenSSL's callback over it. */
#include "tls/tickets.h"

#include <pthread.h>
#include <sched.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/check.h"
#include "tls/openssl.h"
#include "tls/random.h"

int ticket_keys_rotate(struct ticket_keys *keys)
{
    struct ticket_key fresh;

    if (RAND_bytes(fresh.name, sizeof fresh.name) != 1 ||
        RAND_priv_bytes(fresh.cipher_key, sizeof fresh.cipher_key) != 1 ||
        RAND_priv_bytes(fresh.mac_key, sizeof fresh.mac_key) != 1) {
        OPENSSL_cleanse(&fresh, sizeof fresh);
        return -E_CRYPTO;
    }
    memmove(&keys->key[1], &keys->key[0], sizeof keys->key - sizeof keys->key[0]); /* over the oldest */
    keys->key[0] = fresh;
    if (keys->count < TICKET_GENERATIONS)
        keys->count++;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return 0;
}

void ticket_keys_wipe(struct ticket_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof *keys);
}

/* ---- The ring in use ----
 *
 * Two places; `current` says which one holds. A reader enters the current place and looks again: if it has moved
 * meanwhile, the reader leaves and enters the other. A writer fills the other place once the last reader has left it,
 * and wipes the former one likewise. Readers stay for microseconds, and never wait. */
static struct place {
    atomic_uint readers;
    struct ticket_keys keys;
    struct native_ticket_key native[TICKET_GENERATIONS];
} places[2];
static atomic_uint current;
static pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;

static struct place *enter(void)
{
    for (;;) {
        unsigned at = atomic_load(&current);

        atomic_fetch_add(&places[at].readers, 1);
        if (atomic_load(&current) == at)
            return &places[at];
        atomic_fetch_sub(&places[at].readers, 1);
    }
}

static void leave(struct place *place)
{
    atomic_fetch_sub(&place->readers, 1);
}

static void wait_until_empty(struct place *place)
{
    while (atomic_load(&place->readers) != 0)
        sched_yield();
}

static void derive_native(const struct ticket_key *key, struct native_ticket_key *native)
{
    uint8_t derived[HASH_BYTES_MOST];
    struct hmac h;

    hmac_key(&h, HASH_SHA256, bytes_of(key->mac_key, sizeof key->mac_key));
    hmac_add(&h, BYTES_LITERAL("unlade native ticket name"));
    hmac_end(&h, derived);
    memcpy(native->name, derived, sizeof native->name);
    hmac_add(&h, BYTES_LITERAL("unlade native ticket key"));
    hmac_end(&h, derived);
    hmac_key(&native->key, HASH_SHA256, bytes_of(derived, 32));
    hmac_wipe(&h);
    explicit_bzero(derived, sizeof derived);
}

void tickets_install(const struct ticket_keys *keys)
{
    unsigned former;

    CHECK(keys->count <= TICKET_GENERATIONS);
    pthread_mutex_lock(&writers);
    former = atomic_load(&current);
    wait_until_empty(&places[1 - former]);
    places[1 - former].keys = *keys;
    for (uint32_t i = 0; i < keys->count; i++)
        derive_native(&keys->key[i], &places[1 - former].native[i]);
    atomic_store(&current, 1 - former);
    wait_until_empty(&places[former]);
    ticket_keys_wipe(&places[former].keys);
    explicit_bzero(places[former].native, sizeof places[former].native);
    pthread_mutex_unlock(&writers);
}

bool tickets_available(void)
{
    struct place *place = enter();
    bool available = place->keys.count > 0;

    leave(place);
    return available;
}

bool tickets_native_key(const uint8_t *name, struct native_ticket_key *ret_key)
{
    struct place *place = enter();
    bool found = false;

    for (uint32_t i = 0; i < place->keys.count && !found; i++) {
        found = !name || memcmp(name, place->native[i].name, TICKET_KEY_NAME) == 0;
        if (found)
            *ret_key = place->native[i];
    }
    leave(place);
    return found;
}

enum ticket_kind tickets_kind(const uint8_t name[TICKET_KEY_NAME])
{
    struct place *place = enter();
    enum ticket_kind kind = TICKET_UNKNOWN;

    for (uint32_t i = 0; i < place->keys.count && kind == TICKET_UNKNOWN; i++)
        kind = memcmp(name, place->native[i].name, TICKET_KEY_NAME) == 0     ? TICKET_NATIVE
               : memcmp(name, place->keys.key[i].name, TICKET_KEY_NAME) == 0 ? TICKET_OPENSSL
                                                                             : TICKET_UNKNOWN;
    leave(place);
    return kind;
}

/* ---- OpenSSL's callback ---- */

static bool key_contexts(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac_key, sizeof key->mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, fetched_aes_256_cbc(), NULL, key->cipher_key, iv, is_sealing) == 1;
}

/* Returns what OpenSSL asks for: -1 failed, 0 no key, 1 done, 2 done and a fresh ticket shall be issued. */
static int use_keys(const struct ticket_keys *keys, const SSL *ssl, unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    if (is_sealing) {
        if (keys->count == 0)
            return 0;
        if (random_bytes(iv, 16) != 0)
            return -1;
        memcpy(name, keys->key[0].name, TICKET_KEY_NAME);
        return key_contexts(&keys->key[0], iv, cipher, mac, is_sealing) ? 1 : -1;
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        if (memcmp(name, keys->key[i].name, TICKET_KEY_NAME) != 0)
            continue;
        if (!key_contexts(&keys->key[i], iv, cipher, mac, is_sealing))
            return -1;
        /* TLS 1.3 tickets are for one use (RFC 8446 C.4), so each use brings the next. */
        return i > 0 || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
    }
    return 0;
}

int tickets_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_sealing)
{
    struct place *place = enter();
    int result = use_keys(&place->keys, ssl, name, iv, cipher, mac, is_sealing);

    leave(place);
    return result;
}
