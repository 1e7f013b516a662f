/* wolfSSL's client for the compatibility matrix. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "jobs.h"

static WOLFSSL_CTX *context;
static WOLFSSL_SESSION *session;

static void library_start(const char *ca_file)
{
    wolfSSL_Init();
    context = wolfSSL_CTX_new(wolfSSLv23_client_method());
    if (!context || wolfSSL_CTX_load_verify_locations(context, ca_file, NULL) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_UseSNI(context, WOLFSSL_SNI_HOST_NAME, "localhost", 9) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_UseSessionTicket(context) != WOLFSSL_SUCCESS) {
        exit(3);
    }
}

static const char *failure(WOLFSSL *ssl, int result)
{
    static char text[WOLFSSL_MAX_ERROR_SZ];
    return wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, result), text);
}

static const char *talk(WOLFSSL *ssl, bool update, const char *request, size_t bytes, struct answer *ret_answer)
{
    int result = wolfSSL_connect(ssl);
    if (result == WOLFSSL_SUCCESS && update) {
        result = wolfSSL_update_keys(ssl);
    }
    if (result == WOLFSSL_SUCCESS) {
        result = wolfSSL_write(ssl, request, (int)bytes);
    }
    while (result > 0) {
        size_t room = sizeof ret_answer->bytes - 1 - ret_answer->length;
        result = wolfSSL_read(ssl, ret_answer->bytes + ret_answer->length, (int)room);
        ret_answer->length += result > 0 ? (size_t)result : 0;
    }
    bool is_over = ret_answer->length > 0;
    int error = wolfSSL_get_error(ssl, result);
    if (is_over && (error == WOLFSSL_ERROR_ZERO_RETURN || error == SOCKET_PEER_CLOSED_E)) {
        ret_answer->close = error == WOLFSSL_ERROR_ZERO_RETURN ? "notify" : "cut";
        return NULL;
    }
    return failure(ssl, result);
}

static const char *library_visit(int fd, bool is_second, bool update, const char *request, size_t bytes,
                                 struct answer *ret_answer)
{
    char alpn[] = "http/1.1";
    WOLFSSL *ssl = wolfSSL_new(context);
    wolfSSL_set_fd(ssl, fd);
    wolfSSL_check_domain_name(ssl, "localhost");
    wolfSSL_UseALPN(ssl, alpn, sizeof alpn - 1, WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    if (is_second && session) {
        wolfSSL_set_session(ssl, session);
    }
    const char *error = talk(ssl, update, request, bytes, ret_answer);
    wolfSSL_SESSION_free(session);
    session = error ? NULL : wolfSSL_get1_session(ssl);
    wolfSSL_shutdown(ssl);
    wolfSSL_free(ssl);
    return error;
}

static void library_sha256(const void *data, size_t bytes, uint8_t ret_digest[32])
{
    wc_Sha256Hash(data, (word32)bytes, ret_digest);
}
