/* provider.c: algorithms that the library takes from us, through its interface for such (provider(7)).
 *
 * TLS13-KDF is the key schedule of TLS 1.3 (RFC 8446 7.1). The library derives a connection's dozen and a half secrets with
 * it, and each time makes contexts for the derivation, for HMAC and for two hashes, which it all looks up by name. What comes out
 * is the same; hmac.h goes straight there.
 *
 * Everything that a derivation needs comes with the call, as libssl does it; there is no state between calls. */
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "base/check.h"
#include "tls/hmac.h"
#include "tls/openssl.h"

/* ---- TLS13-KDF ---- */

struct derivation {
    int mode;
    enum hash hash;
    struct bytes key, salt, prefix, label, context;
};

static bool read_parameters(const OSSL_PARAM params[], struct derivation *d)
{
    const struct {
        const char *name;
        struct bytes *to;
    } inputs[] = {
        { OSSL_KDF_PARAM_KEY, &d->key },       { OSSL_KDF_PARAM_LABEL, &d->label },
        { OSSL_KDF_PARAM_PREFIX, &d->prefix }, { OSSL_KDF_PARAM_DATA, &d->context },
        { OSSL_KDF_PARAM_SALT, &d->salt },
    };

    for (const OSSL_PARAM *p = params; p && p->key; p++) {
        if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0) {
            if (OSSL_PARAM_get_int(p, &d->mode) != 1)
                return false;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
            if (p->data_type != OSSL_PARAM_UTF8_STRING || !p->data)
                return false;
            d->hash = hash_named(p->data);
        } else {
            for (size_t i = 0; i < COUNT_OF(inputs); i++)
                if (strcmp(p->key, inputs[i].name) == 0) {
                    if (p->data_type != OSSL_PARAM_OCTET_STRING)
                        return false;
                    *inputs[i].to = bytes_of(p->data, p->data_size);
                    break;
                }
        }
    }
    return d->hash != HASH_NONE;
}

static bool expand(const struct derivation *d, struct bytes secret, struct bytes context, uint8_t *out, size_t bytes)
{
    struct hmac hmac;

    if (d->prefix.size + d->label.size > 255 || context.size > 255 || bytes > 255 * hash_bytes(d->hash))
        return false;
    hmac_key(&hmac, d->hash, secret);
    hkdf_expand_label(&hmac, d->prefix, d->label, context, out, bytes);
    hmac_wipe(&hmac);
    return true;
}

/* From one secret of the schedule to the next: Derive-Secret(former, "derived", "") is the salt. Without a former one, and without
 * anything new, zeros stand in their places. */
static bool extract(const struct derivation *d, uint8_t *out, size_t bytes)
{
    static const uint8_t zeros[HASH_BYTES_MOST];
    size_t size = hash_bytes(d->hash);
    uint8_t of_nothing[HASH_BYTES_MOST], salt[HASH_BYTES_MOST];
    struct bytes keying = d->key.at ? d->key : bytes_of(zeros, size);
    bool ok = bytes == size;

    if (!ok)
        return false;
    if (!d->salt.at) {
        hkdf_extract(d->hash, BYTES_NONE, keying, out);
        return true;
    }
    hash_once(d->hash, BYTES_NONE, of_nothing);
    ok = expand(d, d->salt, bytes_of(of_nothing, size), salt, size);
    if (ok)
        hkdf_extract(d->hash, bytes_of(salt, size), keying, out);
    explicit_bzero(salt, sizeof salt);
    return ok;
}

static int kdf_derive(void *context, unsigned char *out, size_t bytes, const OSSL_PARAM params[])
{
    struct derivation d = { .mode = -1 };

    (void)context;
    if (!read_parameters(params, &d))
        return 0;
    switch (d.mode) {
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return extract(&d, out, bytes);
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        return d.key.at && expand(&d, d.key, d.context, out, bytes);
    default:
        return 0;
    }
}

static void *kdf_new(void *provider)
{
    return provider; /* something that is not NULL */
}

static void kdf_free(void *context)
{
    (void)context;
}

static const OSSL_DISPATCH kdf_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))kdf_new },
    { OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free },
    { OSSL_FUNC_KDF_DERIVE, (void (*)(void))kdf_derive },
    { 0, NULL },
};

/* ---- The provider ---- */

static const OSSL_ALGORITHM kdfs[] = {
    { OSSL_KDF_NAME_TLS1_3_KDF, "provider=unlade", kdf_functions, NULL },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *ret_uncached)
{
    (void)provider;
    *ret_uncached = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
    { 0, NULL },
};

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *theirs, const OSSL_DISPATCH **ret_ours,
                 void **ret_provider)
{
    static char ours;

    (void)handle;
    (void)theirs;
    *ret_ours = provider_functions;
    *ret_provider = &ours;
    return 1;
}

OSSL_PROVIDER *provider_load(void)
{
    OSSL_PROVIDER *ours = NULL;

    /* Whoever configured the library to use certified code alone gets that. */
    if (!EVP_default_properties_is_fips_enabled(NULL) && OSSL_PROVIDER_add_builtin(NULL, "unlade", start) == 1 &&
        (ours = OSSL_PROVIDER_try_load(NULL, "unlade", 1)) != NULL)
        EVP_set_default_properties(NULL, "?provider=unlade");
    ERR_clear_error(); /* without it everything works as well, and slower */
    return ours;
}
