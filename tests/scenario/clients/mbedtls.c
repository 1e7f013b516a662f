/* mbedTLS's client for the compatibility matrix. */

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#if MBEDTLS_VERSION_MAJOR >= 3
#include <psa/crypto.h>
#endif

#include "jobs.h"

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_source;
static mbedtls_x509_crt roots;
static mbedtls_ssl_config config;
static mbedtls_ssl_session session;

static void library_start(const char *ca_file)
{
    static const char *alpn[] = {"http/1.1", NULL};
#if MBEDTLS_VERSION_MAJOR >= 3
    psa_crypto_init(); /* its TLS 1.3 is built on it */
#endif
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_source);
    mbedtls_x509_crt_init(&roots);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ctr_drbg_seed(&random_source, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_x509_crt_parse_file(&roots, ca_file) != 0 ||
        mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        exit(3);
    }
    mbedtls_ssl_conf_ca_chain(&config, &roots, NULL);
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random_source);
    mbedtls_ssl_conf_alpn_protocols(&config, alpn);
}

static int write_all(mbedtls_ssl_context *ssl, const char *request, size_t bytes)
{
    int written = 1;
    for (size_t at = 0; at < bytes && written > 0; at += (size_t)(written > 0 ? written : 0)) {
        written = mbedtls_ssl_write(ssl, (const uint8_t *)request + at, bytes - at);
    }
    return written < 0 ? written : 0;
}

/* Reads to the end: 0, or the error of the library. */
static int read_all(mbedtls_ssl_context *ssl, struct answer *ret_answer)
{
    for (;;) {
        size_t room = sizeof ret_answer->bytes - 1 - ret_answer->length;
        int got = mbedtls_ssl_read(ssl, (uint8_t *)ret_answer->bytes + ret_answer->length, room);
        if (got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || got == 0) {
            ret_answer->close = got ? "notify" : "cut";
            return 0;
        }
        if (got < 0) {
            return got;
        }
        ret_answer->length += (size_t)got;
    }
}

static const char *library_visit(int fd, bool is_second, bool update, const char *request, size_t bytes,
                                 struct answer *ret_answer)
{
    static char text[256];
    mbedtls_net_context net = {.fd = fd};
    mbedtls_ssl_context ssl;
    mbedtls_ssl_init(&ssl);
    (void)update; /* no TLS 1.3 here */
    int error = mbedtls_ssl_setup(&ssl, &config);
    if (error == 0) {
        error = mbedtls_ssl_set_hostname(&ssl, "localhost");
    }
    if (error == 0 && is_second) {
        error = mbedtls_ssl_set_session(&ssl, &session);
    }
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
    if (error == 0) {
        error = mbedtls_ssl_handshake(&ssl);
    }
    if (error == 0) {
        mbedtls_ssl_session_free(&session);
        error = mbedtls_ssl_get_session(&ssl, &session);
    }
    if (error == 0) {
        error = write_all(&ssl, request, bytes);
    }
    if (error == 0) {
        error = read_all(&ssl, ret_answer);
    }
    if (error == 0) {
        mbedtls_ssl_close_notify(&ssl);
    } else {
        mbedtls_strerror(error, text, sizeof text);
    }
    mbedtls_ssl_free(&ssl);
    return error ? text : NULL;
}

static void library_sha256(const void *data, size_t bytes, uint8_t ret_digest[32])
{
#if MBEDTLS_VERSION_MAJOR >= 3
    mbedtls_sha256(data, bytes, ret_digest, 0);
#else
    mbedtls_sha256_ret(data, bytes, ret_digest, 0);
#endif
}
