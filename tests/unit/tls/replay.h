/* replay.h: what a test needs to take part in the handshakes of rfc8448_traces.h. */
#ifndef TESTS_TLS_REPLAY_H
#define TESTS_TLS_REPLAY_H

#include "hex.h"
#include "rfc8448_traces.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "tls/client_hello.h"

/* A hello of a recorded record: the message. */
static inline struct unhexed hello_of(const char *record)
{
    struct unhexed whole = unhex(record);

    assert_true(whole.size > 5 && whole.at[0] == 22 && (size_t)(whole.at[3] << 8 | whole.at[4]) == whole.size - 5);
    memmove(whole.at, whole.at + 5, whole.size - 5);
    whole.size -= 5;
    return whole;
}

/* The next message of a flight, header included. */
static inline struct bytes next_message(struct bytes *flight)
{
    size_t bytes;
    struct bytes message;

    assert_true(flight->size >= 4);
    bytes = 4 + ((size_t)flight->at[1] << 16 | (size_t)flight->at[2] << 8 | flight->at[3]);
    assert_true(bytes <= flight->size);
    message = bytes_part(*flight, 0, bytes);
    *flight = bytes_from(*flight, bytes);
    return message;
}

/* The extensions of a ServerHello, or of EncryptedExtensions. */
static inline struct bytes extensions_of(struct bytes message)
{
    struct cursor c = cursor_of(bytes_from(message, 4)), extensions;

    if (message.at[0] == 2) {
        cursor_bytes(&c, 2 + 32);
        cursor_vector(&c, 1);
        cursor_bytes(&c, 2 + 1);
    }
    extensions = cursor_vector(&c, 2);
    assert_false(c.failed || cursor_left(&c));
    return bytes_of(extensions.at, cursor_left(&extensions));
}

/* at == NULL: there is none. */
static inline struct bytes extension_of(struct bytes message, uint16_t type)
{
    struct cursor c = cursor_of(extensions_of(message));

    while (cursor_left(&c)) {
        uint16_t found = cursor_u16(&c);
        struct cursor content = cursor_vector(&c, 2);

        assert_false(c.failed);
        if (found == type)
            return bytes_of(content.at, cursor_left(&content));
    }
    return BYTES_NONE;
}

/* The server's share, as its ServerHello has it. */
static inline struct bytes server_share(struct bytes server_hello)
{
    return bytes_from(extension_of(server_hello, 51), 4);
}

static inline EVP_PKEY *ec_key(struct bytes public, const struct unhexed *private)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    uint8_t turned[32] = { 0 };
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)public.at, public.size),
        private ? OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, turned, sizeof turned) : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;

    for (size_t i = 0; private && i < sizeof turned; i++) /* in the machine's order */
        turned[i] = private->at[sizeof turned - 1 - i];
    assert_int_equal(EVP_PKEY_fromdata_init(c), 1);
    assert_int_equal(EVP_PKEY_fromdata(c, &key, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(c);
    return key;
}

/* The secret that both sides of a trace have come to: 32 bytes. */
static inline void agree(const struct trace *t, struct bytes client_share, struct bytes share, uint8_t ret_secret[32])
{
    struct unhexed private = unhex(t->server_key);
    bool is_x25519 = t->group == 0x1d;
    EVP_PKEY *ours = is_x25519 ? EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private.at, private.size)
                               : ec_key(share, &private);
    EVP_PKEY *theirs = is_x25519 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, client_share.at, client_share.size)
                                 : ec_key(client_share, NULL);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(ours, NULL);
    uint8_t public[32];
    size_t bytes = 32, public_bytes = sizeof public;

    if (is_x25519) { /* the private key is that of the recorded share */
        assert_int_equal(EVP_PKEY_get_raw_public_key(ours, public, &public_bytes), 1);
        assert_memory_equal(public, share.at, sizeof public);
    }
    assert_int_equal(EVP_PKEY_derive_init(c), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(c, theirs), 1);
    assert_int_equal(EVP_PKEY_derive(c, ret_secret, &bytes), 1);
    assert_int_equal(bytes, 32);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(ours);
    EVP_PKEY_free(theirs);
}

/* The first certificate of a Certificate message. */
static inline X509 *leaf_of(struct bytes message)
{
    struct cursor c = cursor_of(bytes_from(message, 4)), list, der;
    const uint8_t *at;
    X509 *leaf;

    cursor_vector(&c, 1);
    list = cursor_vector(&c, 3);
    der = cursor_vector(&list, 3);
    assert_false(c.failed || list.failed || der.failed);
    at = der.at;
    leaf = d2i_X509(NULL, &at, (long)cursor_left(&der));
    assert_non_null(leaf);
    return leaf;
}

/* Whether a CertificateVerify is good for that content (RFC 8446 4.4.3). Schemes of the traces alone. */
static inline bool proves(X509 *leaf, struct bytes certificate_verify, struct bytes content)
{
    struct cursor c = cursor_of(bytes_from(certificate_verify, 4));
    uint16_t scheme = cursor_u16(&c);
    struct cursor signature = cursor_vector(&c, 2);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *with = NULL;
    bool ok;

    assert_true(scheme == 0x0804 || scheme == 0x0403);
    assert_int_equal(EVP_DigestVerifyInit_ex(context, &with, "SHA256", NULL, NULL, X509_get0_pubkey(leaf), NULL), 1);
    if (scheme == 0x0804) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(with, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(with, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    ok = EVP_DigestVerify(context, signature.at, cursor_left(&signature), content.at, content.size) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return ok;
}

#endif
