/* facts.c: what was negotiated, in the words of IANA's registries. */
#include "tls/handshake.h"
#include "tls/openssl.h"

#include <string.h>
#include <strings.h>

#include <openssl/err.h>

/* OpenSSL's names of groups differ between releases; these do not. */
static const char *group_name(SSL *ssl)
{
    static const char *const names[][2] = {
        { "X25519MLKEM768", "X25519MLKEM768" },
        { "SecP256r1MLKEM768", "SecP256r1MLKEM768" },
        { "SecP384r1MLKEM1024", "SecP384r1MLKEM1024" },
        { "X25519", "X25519" },
        { "secp256r1", "P-256" },
        { "prime256v1", "P-256" },
        { "secp384r1", "P-384" },
        { "secp521r1", "P-521" },
        { "X448", "X448" },
        { "ffdhe2048", "ffdhe2048" },
        { "ffdhe3072", "ffdhe3072" },
    };
    const char *name = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));

    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(name, names[i][0]) == 0)
            return names[i][1];
    return "";
}

/* What was chosen out of our own names, in the context's memory: it outlives the library's object. */
static struct bytes own_name(const struct tls_context *context, struct bytes chosen)
{
    struct cursor names = cursor_of(bytes_of(context->alpn, context->alpn_size));

    while (cursor_left(&names)) {
        struct cursor name = cursor_vector(&names, 1);
        struct bytes own = bytes_of(name.at, cursor_left(&name));
        if (bytes_equal(own, chosen))
            return own;
    }
    return BYTES_NONE;
}

static void openssl_facts(const struct tls_session *s, struct tls_facts *ret_facts)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(s->ssl);
    const char *suite = cipher ? SSL_CIPHER_standard_name(cipher) : NULL;
    const unsigned char *alpn = NULL;
    unsigned alpn_bytes = 0;

    SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_bytes);
    *ret_facts = (struct tls_facts){
        .version = (uint16_t)SSL_version(s->ssl),
        .version_name = SSL_get_version(s->ssl),
        .suite = suite ? suite : "",
        .group = group_name(s->ssl),
        .resumed = SSL_session_reused(s->ssl) == 1,
        .alpn = own_name(s->context, bytes_of(alpn, alpn_bytes)),
        .has_client_certificate = SSL_get0_peer_certificate(s->ssl) != NULL,
        .client_verified = SSL_get0_peer_certificate(s->ssl) != NULL && SSL_get_verify_result(s->ssl) == X509_V_OK,
        .engine = "openssl",
        .cipher = cipher ? SSL_CIPHER_get_name(cipher) : "",
    };
}

void tls_session_facts(const struct tls_session *s, struct tls_facts *ret_facts)
{
    if (s->native)
        handshake_facts(s->native, ret_facts);
    else
        openssl_facts(s, ret_facts);
}

struct bytes certificate_common_name(const X509 *certificate, char name[256])
{
    const X509_NAME *subject = certificate ? X509_get_subject_name(certificate) : NULL;
    int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1, size;
    unsigned char *text = NULL;
    bool fits;

    if (at < 0)
        return BYTES_NONE;
    size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) {
        ERR_clear_error();
        return BYTES_NONE;
    }
    fits = size < 256 && !memchr(text, 0, (size_t)size);
    if (fits)
        memcpy(name, text, (size_t)size);
    OPENSSL_free(text);
    return fits ? bytes_of(name, (size_t)size) : BYTES_NONE;
}

struct bytes tls_session_client_name(const struct tls_session *s, char name[256])
{
    size_t bytes;

    if (!s->client_name)
        return s->ssl ? certificate_common_name(SSL_get0_peer_certificate(s->ssl), name) : BYTES_NONE;
    bytes = strlen(s->client_name);
    memcpy(name, s->client_name, bytes);
    return bytes_of(name, bytes);
}
