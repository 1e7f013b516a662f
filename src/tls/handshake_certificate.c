/* handshake_certificate.c: CertificateRequest, Certificate and CertificateVerify, ours and the client's (RFC 8446 4.3.2, 4.4.2, 4.4.3). */
#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "tls/handshake_private.h"
#include "tls/openssl.h"

static int fail(struct handshake *h, uint8_t alert, const char *reason)
{
    return handshake_fail(h, -E_TLS, alert, reason);
}

/* ---- Ours ---- */

int handshake_send_certificate_request(struct handshake *h)
{
    return message_put(h, h->context->certificate_request);
}

int handshake_send_certificate(struct handshake *h)
{
    return message_put(h, h->context->certificates[h->certificate].as[h->compression]);
}

/* What a signature is made of: 64 blanks, the context, a zero byte and the transcript's hash (RFC 8446 4.4.3). */
static struct bytes content_to_sign(struct handshake *h, const char *context)
{
    uint8_t *at = h->signed_content;
    size_t bytes = strlen(context) + 1;

    memset(at, ' ', 64);
    memcpy(at + 64, context, bytes);
    key_schedule_transcript(&h->schedule, at + 64 + bytes);
    return bytes_of(at, 64 + bytes + h->schedule.bytes);
}

static void on_signed(struct batch_job *job)
{
    handshake_go_on(CONTAINER_OF(job, struct handshake, signature.job));
}

int handshake_send_certificate_verify(struct handshake *h)
{
    struct signature *s = &h->signature;
    uint8_t head[HANDSHAKE_HEADER + 4] = { HANDSHAKE_CERTIFICATE_VERIFY };
    size_t body;
    int error;

    if (!h->signature_started) {
        h->signature_started = true;
        *s = (struct signature){ .job.done = on_signed,
                                 .scheme = h->scheme,
                                 .content = content_to_sign(h, "TLS 1.3, server CertificateVerify") };
        h->pending = true;
        signer_start(h->batch, h->context->signer, s);
        return -E_PENDING;
    }
    if (s->error)
        return handshake_fail(h, s->error, ALERT_INTERNAL_ERROR, "the signature failed");
    body = 4 + s->bytes;
    bytes_put_number(head + 1, body, 3);
    bytes_put_number(head + HANDSHAKE_HEADER, s->scheme, 2);
    bytes_put_number(head + HANDSHAKE_HEADER + 2, s->bytes, 2);
    error = message_put(h, bytes_of(head, sizeof head));
    return error ? error : message_put(h, bytes_of(s->value, s->bytes));
}

/* ---- The client's certificate ---- */

/* What a certificate's fault is called in an alert (RFC 8446 6.2). */
static uint8_t alert_of_verification(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return ALERT_CERTIFICATE_EXPIRED;
    case X509_V_ERR_CERT_REVOKED:
        return ALERT_CERTIFICATE_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_INVALID_CA:
        return ALERT_UNKNOWN_CA;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
        return ALERT_UNSUPPORTED_CERTIFICATE;
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_UNSPECIFIED:
        return ALERT_INTERNAL_ERROR;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    default:
        return ALERT_BAD_CERTIFICATE;
    }
}

static int note_verification(int ok, X509_STORE_CTX *store)
{
    struct handshake *h = X509_STORE_CTX_get_app_data(store);

    if (!ok)
        failure_note_verification(&h->failure, store);
    return ok;
}

static int verify_chain(struct handshake *h, X509 *leaf, STACK_OF(X509) * others)
{
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    int ok = store && X509_STORE_CTX_init(store, h->context->client_roots, leaf, others) == 1 &&
             X509_STORE_CTX_set_default(store, "ssl_client") == 1 && X509_STORE_CTX_set_app_data(store, h) == 1;
    int error = X509_V_ERR_UNSPECIFIED;

    if (ok) {
        param = X509_STORE_CTX_get0_param(store);
        X509_VERIFY_PARAM_set_depth(param, h->context->client_depth);
        X509_VERIFY_PARAM_set_auth_level(param, 2);
        X509_STORE_CTX_set_verify_cb(store, note_verification);
        ok = X509_verify_cert(store) == 1;
        error = X509_STORE_CTX_get_error(store);
    }
    if (ok)
        h->ticket.client_until = certificates_end(X509_STORE_CTX_get0_chain(store));
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    if (ok)
        return 0;
    return handshake_fail(h, -E_CLIENT_CERTIFICATE, alert_of_verification(error), X509_verify_cert_error_string(error));
}

/* RFC 8446 4.2: extensions that are known and whose place is in other messages. */
static bool belongs_elsewhere(uint16_t type)
{
    static const uint16_t elsewhere[] = {
        EXTENSION_SERVER_NAME,
        EXTENSION_MAX_FRAGMENT_LENGTH,
        EXTENSION_SIGNATURE_ALGORITHMS,
        EXTENSION_ALPN,
        EXTENSION_RECORD_SIZE_LIMIT,
        EXTENSION_PRE_SHARED_KEY,
        EXTENSION_SUPPORTED_VERSIONS,
        EXTENSION_CERTIFICATE_AUTHORITIES,
        EXTENSION_KEY_SHARE,
    };

    for (size_t i = 0; i < COUNT_OF(elsewhere); i++)
        if (elsewhere[i] == type)
            return true;
    return false;
}

/* Those of a CertificateEntry answer our request, which has none for them to answer. Returns the error. */
static int refuse_extensions(struct handshake *h, struct cursor extensions)
{
    uint16_t type = cursor_u16(&extensions);
    struct cursor content = cursor_vector(&extensions, 2);

    if (extensions.failed || content.failed)
        return fail(h, ALERT_DECODE_ERROR, "a malformed extension in the client's certificate");
    if (belongs_elsewhere(type))
        return fail(h, ALERT_ILLEGAL_PARAMETER, "an extension that has no place in a certificate");
    return fail(h, ALERT_UNSUPPORTED_EXTENSION, "an extension in the client's certificate that was not asked for");
}

/* CertificateEntry (RFC 8446 4.4.2). NULL: an error was noted. */
static X509 *read_entry(struct handshake *h, struct cursor *list)
{
    struct cursor der = cursor_vector(list, 3), extensions = cursor_vector(list, 2);
    const uint8_t *at = der.at;
    X509 *certificate;

    if (list->failed || der.failed || extensions.failed || cursor_left(&der) == 0) {
        (void)!fail(h, ALERT_DECODE_ERROR, "a malformed Certificate");
        return NULL;
    }
    if (cursor_left(&extensions)) {
        (void)!refuse_extensions(h, extensions);
        return NULL;
    }
    certificate = d2i_X509(NULL, &at, (long)cursor_left(&der));
    if (certificate && at == der.end)
        return certificate;
    X509_free(certificate);
    ERR_clear_error();
    (void)!fail(h, ALERT_BAD_CERTIFICATE, "a certificate that cannot be read");
    return NULL;
}

/* The first into *ret_leaf, the others into the list. */
static int read_list(struct handshake *h, struct cursor *list, X509 **ret_leaf, STACK_OF(X509) * others)
{
    while (cursor_left(list)) {
        X509 *certificate = read_entry(h, list);

        if (!certificate)
            return -E_TLS;
        if (!*ret_leaf) {
            *ret_leaf = certificate;
        } else if (sk_X509_push(others, certificate) <= 0) {
            X509_free(certificate);
            return handshake_fail(h, -E_MEMORY, ALERT_INTERNAL_ERROR, NULL);
        }
    }
    return 0;
}

static int receive_chain(struct handshake *h, struct cursor *list)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    X509 *leaf = NULL;
    int error = others ? read_list(h, list, &leaf, others) : handshake_fail(h, -E_MEMORY, ALERT_INTERNAL_ERROR, NULL);

    if (!error)
        error = verify_chain(h, leaf, others);
    sk_X509_pop_free(others, X509_free);
    if (error)
        X509_free(leaf);
    else
        h->client_certificate = leaf;
    return error;
}

int handshake_receive_certificate(struct handshake *h, struct bytes message)
{
    struct cursor body = cursor_of(bytes_from(message, HANDSHAKE_HEADER));
    struct cursor context = cursor_vector(&body, 1), list = cursor_vector(&body, 3);
    int error = 0;

    if (body.failed || context.failed || list.failed || cursor_left(&body))
        return fail(h, ALERT_DECODE_ERROR, "a malformed Certificate");
    if (cursor_left(&context))
        return fail(h, ALERT_ILLEGAL_PARAMETER, "another certificate_request_context than ours");
    if (cursor_left(&list))
        error = receive_chain(h, &list);
    else if (h->context->clients == TLS_CLIENT_REQUIRED)
        return handshake_fail(h, -E_CLIENT_CERTIFICATE, ALERT_CERTIFICATE_REQUIRED,
                              "peer did not return a certificate");
    if (!error)
        key_schedule_add(&h->schedule, message);
    return error;
}

/* ---- The client's proof ---- */

struct verification_scheme {
    uint16_t code;
    int key;          /* of EVP_PKEY_*; EVP_PKEY_NONE: in certificates alone */
    const char *hash; /* NULL: the scheme's own */
    const char *curve;
};

static const struct verification_scheme schemes[] = {
    { SCHEME_ECDSA_SECP256R1_SHA256, EVP_PKEY_EC, "SHA256", "prime256v1" },
    { SCHEME_ECDSA_SECP384R1_SHA384, EVP_PKEY_EC, "SHA384", "secp384r1" },
    { SCHEME_ECDSA_SECP521R1_SHA512, EVP_PKEY_EC, "SHA512", "secp521r1" },
    { SCHEME_ED25519, EVP_PKEY_ED25519, NULL, NULL },
    { SCHEME_ED448, EVP_PKEY_ED448, NULL, NULL },
    { SCHEME_RSA_PSS_PSS_SHA256, EVP_PKEY_RSA_PSS, "SHA256", NULL },
    { SCHEME_RSA_PSS_PSS_SHA384, EVP_PKEY_RSA_PSS, "SHA384", NULL },
    { SCHEME_RSA_PSS_PSS_SHA512, EVP_PKEY_RSA_PSS, "SHA512", NULL },
    { SCHEME_RSA_PSS_RSAE_SHA256, EVP_PKEY_RSA, "SHA256", NULL },
    { SCHEME_RSA_PSS_RSAE_SHA384, EVP_PKEY_RSA, "SHA384", NULL },
    { SCHEME_RSA_PSS_RSAE_SHA512, EVP_PKEY_RSA, "SHA512", NULL },
    { SCHEME_RSA_PKCS1_SHA256, EVP_PKEY_NONE, NULL, NULL },
    { SCHEME_RSA_PKCS1_SHA384, EVP_PKEY_NONE, NULL, NULL },
    { SCHEME_RSA_PKCS1_SHA512, EVP_PKEY_NONE, NULL, NULL },
};

uint16_t client_signature_scheme(size_t i)
{
    return i < COUNT_OF(schemes) ? schemes[i].code : 0;
}

static bool fits(const struct verification_scheme *scheme, const EVP_PKEY *key)
{
    char curve[64];

    if (scheme->key == EVP_PKEY_NONE || EVP_PKEY_get_base_id(key) != scheme->key)
        return false;
    return !scheme->curve ||
           (EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) == 1 && strcmp(curve, scheme->curve) == 0);
}

static bool verify(EVP_PKEY *key, const struct verification_scheme *scheme, struct bytes content,
                   struct bytes signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *parameters = NULL;
    bool is_rsa = scheme->key == EVP_PKEY_RSA || scheme->key == EVP_PKEY_RSA_PSS;
    bool ok = context && EVP_DigestVerifyInit_ex(context, &parameters, scheme->hash, NULL, NULL, key, NULL) == 1 &&
              (!is_rsa || (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
                           EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
              EVP_DigestVerify(context, signature.at, signature.size, content.at, content.size) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return ok;
}

/* What the log, the upstream and a ticket are to know of the client. */
static void note_client(struct handshake *h)
{
    char name[256];
    struct bytes found = certificate_common_name(h->client_certificate, name);

    memcpy(h->ticket.name, name, found.size);
    h->ticket.name_bytes = (uint8_t)found.size;
    h->ticket.has_client = true;
    h->client_is_verified = true;
}

int handshake_receive_certificate_verify(struct handshake *h, struct bytes message)
{
    struct cursor body = cursor_of(bytes_from(message, HANDSHAKE_HEADER));
    uint16_t code = cursor_u16(&body);
    struct cursor signature = cursor_vector(&body, 2);
    EVP_PKEY *key = X509_get0_pubkey(h->client_certificate);
    const struct verification_scheme *scheme = NULL;

    if (body.failed || signature.failed || cursor_left(&body))
        return fail(h, ALERT_DECODE_ERROR, "a malformed CertificateVerify");
    for (size_t i = 0; i < COUNT_OF(schemes) && !scheme; i++)
        if (schemes[i].code == code)
            scheme = &schemes[i];
    if (!scheme || !key || !fits(scheme, key))
        return fail(h, ALERT_ILLEGAL_PARAMETER,
                    "a signature of another kind than asked for, or than the certificate's key makes");
    if (!verify(key, scheme, content_to_sign(h, "TLS 1.3, client CertificateVerify"),
                bytes_of(signature.at, cursor_left(&signature))))
        return fail(h, ALERT_DECRYPT_ERROR, "the client does not prove to have its certificate's key");
    note_client(h);
    key_schedule_add(&h->schedule, message);
    return 0;
}
