#include "tls/traffic_keys.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/check.h"

enum { EXPLICIT_IV = 4, MASTER_SECRET = 48, RANDOM = 32 };

static struct {
    EVP_MAC *hmac;
    EVP_KDF *prf;
} fetched;

static void fetch_all(void)
{
    fetched.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    fetched.prf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    ERR_clear_error();
}

static void fetch_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch_all);
}

size_t aead_key_bytes(enum aead aead)
{
    CHECK(aead != AEAD_NONE);
    return aead == AEAD_AES_128_GCM ? 16 : 32;
}

static const char *hash_name(const struct traffic_keys *keys)
{
    return keys->secret_bytes == 48 ? "SHA384" : "SHA256";
}

/* ---- TLS 1.3 ---- */

/* HKDF-Expand-Label with an empty context (RFC 8446 7.1), for one block of output at most: T(1) alone of RFC 5869 2.3. */
static bool expand_label(EVP_MAC_CTX *hmac, const char *label, uint8_t *out, size_t bytes)
{
    size_t label_bytes = strlen(label), n = 0, mac_bytes;
    uint8_t info[40], block[EVP_MAX_MD_SIZE];
    bool ok;

    CHECK(label_bytes <= 16);
    info[n++] = 0;
    info[n++] = (uint8_t)bytes;
    info[n++] = (uint8_t)(6 + label_bytes);
    memcpy(info + n, "tls13 ", 6);
    memcpy(info + n + 6, label, label_bytes);
    n += 6 + label_bytes;
    info[n++] = 0; /* the context's length */
    info[n++] = 1; /* the block's number */
    ok = EVP_MAC_init(hmac, NULL, 0, NULL) == 1 && EVP_MAC_update(hmac, info, n) == 1 &&
         EVP_MAC_final(hmac, block, &mac_bytes, sizeof block) == 1 && mac_bytes >= bytes;
    if (ok)
        memcpy(out, block, bytes);
    explicit_bzero(block, sizeof block);
    return ok;
}

/* The secret is this key's of `expand_label` until the next one. */
static bool use_secret(EVP_MAC_CTX *hmac, const uint8_t *secret, size_t bytes)
{
    return EVP_MAC_init(hmac, secret, bytes, NULL) == 1;
}

static EVP_MAC_CTX *new_hmac(const struct traffic_keys *keys)
{
    OSSL_PARAM hash[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)hash_name(keys), 0),
                          OSSL_PARAM_construct_end() };
    EVP_MAC_CTX *hmac;

    fetch_once();
    hmac = fetched.hmac ? EVP_MAC_CTX_new(fetched.hmac) : NULL;
    if (hmac && EVP_MAC_CTX_set_params(hmac, hash) == 1)
        return hmac;
    EVP_MAC_CTX_free(hmac);
    return NULL;
}

static bool expand(const struct traffic_keys *keys, EVP_MAC_CTX *hmac, struct traffic_key *key)
{
    return use_secret(hmac, key->secret, keys->secret_bytes) &&
           expand_label(hmac, "key", key->key, aead_key_bytes(keys->aead)) &&
           expand_label(hmac, "iv", key->iv, AEAD_NONCE);
}

static int ended(EVP_MAC_CTX *hmac, bool ok)
{
    EVP_MAC_CTX_free(hmac);
    if (ok)
        return 0;
    ERR_clear_error();
    return -E_CRYPTO;
}

int traffic_keys_expand(struct traffic_keys *keys)
{
    EVP_MAC_CTX *hmac = new_hmac(keys);

    return ended(hmac, hmac && expand(keys, hmac, &keys->read) && expand(keys, hmac, &keys->write));
}

int traffic_key_update(const struct traffic_keys *keys, struct traffic_key *key)
{
    EVP_MAC_CTX *hmac = new_hmac(keys);
    bool ok = hmac && use_secret(hmac, key->secret, keys->secret_bytes) &&
              expand_label(hmac, "traffic upd", key->secret, keys->secret_bytes) && expand(keys, hmac, key);

    key->sequence = 0;
    return ended(hmac, ok);
}

/* ---- TLS 1.2 ---- */

static bool prf(const struct traffic_keys *keys, struct bytes master, const uint8_t *seed, size_t seed_bytes,
                uint8_t *block, size_t block_bytes)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash_name(keys), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master.at, master.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, (void *)seed, seed_bytes),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *kdf;
    bool ok;

    fetch_once();
    kdf = fetched.prf ? EVP_KDF_CTX_new(fetched.prf) : NULL;
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
