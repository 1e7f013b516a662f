#include "tls/traffic_keys.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/check.h"
#include "tls/hmac.h"

enum { EXPLICIT_IV = 4, MASTER_SECRET = 48, RANDOM = 32 };

static EVP_KDF *fetched_prf;

static void fetch_prf(void)
{
    fetched_prf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    ERR_clear_error();
}

size_t aead_key_bytes(enum aead aead)
{
    CHECK(aead != AEAD_NONE);
    return aead == AEAD_AES_128_GCM ? 16 : 32;
}

static enum hash hash_of(const struct traffic_keys *keys)
{
    return keys->secret_bytes == 48 ? HASH_SHA384 : HASH_SHA256;
}

/* ---- TLS 1.3 ---- */

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1). */
static void expand_label(struct hmac *secret, const char *label, uint8_t *out, size_t bytes)
{
    hkdf_expand_label(secret, BYTES_LITERAL("tls13 "), bytes_of_text(label), BYTES_NONE, out, bytes);
}

void traffic_key_expand(const struct traffic_keys *keys, struct traffic_key *key)
{
    struct hmac secret;

    hmac_key(&secret, hash_of(keys), bytes_of(key->secret, keys->secret_bytes));
    expand_label(&secret, "key", key->key, aead_key_bytes(keys->aead));
    expand_label(&secret, "iv", key->iv, AEAD_NONCE);
    hmac_wipe(&secret);
}

int traffic_keys_expand(struct traffic_keys *keys)
{
    traffic_key_expand(keys, &keys->read);
    traffic_key_expand(keys, &keys->write);
    return 0;
}

int traffic_key_update(const struct traffic_keys *keys, struct traffic_key *key)
{
    struct hmac secret;

    hmac_key(&secret, hash_of(keys), bytes_of(key->secret, keys->secret_bytes));
    expand_label(&secret, "traffic upd", key->secret, keys->secret_bytes);
    hmac_wipe(&secret);
    traffic_key_expand(keys, key);
    key->sequence = 0;
    return 0;
}

/* ---- TLS 1.2 ---- */

static bool prf(const struct traffic_keys *keys, struct bytes master, const uint8_t *seed, size_t seed_bytes,
                uint8_t *block, size_t block_bytes)
{
    const char *hash = hash_of(keys) == HASH_SHA384 ? "SHA384" : "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master.at, master.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)seed, seed_bytes),
        OSSL_PARAM_construct_end(),
    };
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    EVP_KDF_CTX *kdf;
    bool ok;

    pthread_once(&once, fetch_prf);
    kdf = fetched_prf ? EVP_KDF_CTX_new(fetched_prf) : NULL;
    ok = kdf && EVP_KDF_derive(kdf, block, block_bytes, params) == 1;
    EVP_KDF_CTX_free(kdf);
    return ok;
}

int traffic_keys_expand_master(struct traffic_keys *keys, struct bytes master, struct bytes client_random,
                               struct bytes server_random, bool is_client)
{
    static const char label[] = "key expansion";
    size_t key_bytes = aead_key_bytes(keys->aead);
    size_t iv_bytes = traffic_keys_are_explicit(keys) ? EXPLICIT_IV : AEAD_NONCE;
    uint8_t seed[sizeof label - 1 + 2 * RANDOM], block[2 * (AEAD_KEY_MOST + AEAD_NONCE)];
    struct traffic_key *client = is_client ? &keys->write : &keys->read;
    struct traffic_key *server = is_client ? &keys->read : &keys->write;
    const uint8_t *at = block;
    bool ok;

    CHECK(master.size == MASTER_SECRET && client_random.size == RANDOM && server_random.size == RANDOM);
    memcpy(seed, label, sizeof label - 1);
    memcpy(seed + sizeof label - 1, server_random.at, RANDOM);
    memcpy(seed + sizeof label - 1 + RANDOM, client_random.at, RANDOM);
    ok = prf(keys, master, seed, sizeof seed, block, 2 * (key_bytes + iv_bytes));
    if (ok) { /* RFC 5246 6.3, without MAC keys */
        memcpy(client->key, at, key_bytes);
        memcpy(server->key, at + key_bytes, key_bytes);
        memcpy(client->iv, at + 2 * key_bytes, iv_bytes);
        memcpy(server->iv, at + 2 * key_bytes + iv_bytes, iv_bytes);
    } else {
        ERR_clear_error();
    }
    explicit_bzero(block, sizeof block);
    return ok ? 0 : -E_CRYPTO;
}

void traffic_keys_wipe(struct traffic_keys *keys)
{
    explicit_bzero(keys, sizeof *keys);
}
