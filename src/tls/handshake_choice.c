/* handshake_choice.c: what a ClientHello and the policy come to (RFC 8446 4.1.1, 4.2, 9.2). */
#include <string.h>

#include "tls/handshake_private.h"

/* ---- Suites (RFC 8446 B.4) ---- */

enum { AES_128_GCM = 0x1301, AES_256_GCM = 0x1302, CHACHA20_POLY1305 = 0x1303 };

static const struct suite suites[] = {
    { AES_128_GCM, HASH_SHA256, AEAD_AES_128_GCM, "TLS_AES_128_GCM_SHA256" },
    { AES_256_GCM, HASH_SHA384, AEAD_AES_256_GCM, "TLS_AES_256_GCM_SHA384" },
    { CHACHA20_POLY1305, HASH_SHA256, AEAD_CHACHA20_POLY1305, "TLS_CHACHA20_POLY1305_SHA256" },
};

const struct suite *suite_find(uint16_t code)
{
    for (size_t i = 0; i < COUNT_OF(suites); i++)
        if (suites[i].code == code)
            return &suites[i];
    return NULL;
}

const struct suite *suite_named(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(suites); i++)
        if (bytes_equal_text(name, suites[i].name))
            return &suites[i];
    return NULL;
}

static bool is_grease(uint16_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* What stands among suites and is none: RFC 5746 3.3, RFC 7507. */
static bool is_signal(uint16_t value)
{
    return value == 0x00ff || value == 0x5600;
}

/* A client that puts ChaCha20 first, before or behind what it made up (RFC 8701), has no hardware for AES. */
static bool prefers_chacha20(const struct client_hello *hello)
{
    enum { ECDHE_RSA = 0xcca8, ECDHE_ECDSA = 0xcca9, DHE_RSA = 0xccaa }; /* with ChaCha20: RFC 7905 */
    struct cursor list = cursor_of(hello->cipher_suites);

    while (cursor_left(&list)) {
        uint16_t suite = cursor_u16(&list);
        if (!is_grease(suite) && !is_signal(suite))
            return suite == CHACHA20_POLY1305 || suite == ECDHE_RSA || suite == ECDHE_ECDSA || suite == DHE_RSA;
    }
    return false;
}

static const struct suite *choose_suite(const struct native_context *context, const struct client_hello *hello)
{
    uint16_t first = 0;

    for (size_t i = 0; i < context->suite_count; i++) {
        uint16_t code = context->suites[i];
        if (!client_hello_offers_suite(hello, code))
            continue;
        if (code == CHACHA20_POLY1305 && prefers_chacha20(hello))
            return suite_find(code);
        if (!first)
            first = code;
    }
    return suite_find(first);
}

/* ---- Groups (RFC 8446 4.2.7, 4.2.8) ---- */

/* Within a tier a share that is there counts more than our order; a tier before the share's is asked for all the same. */
static const struct context_group *choose_group(const struct native_context *context, const struct client_hello *hello,
                                                bool *ret_retry)
{
    const struct context_group *without_share = NULL;

    for (size_t i = 0; i < context->group_count; i++) {
        const struct context_group *g = &context->groups[i];

        if (client_hello_offers_group(hello, g->code)) {
            if (client_hello_share(hello, g->code).size) {
                *ret_retry = false;
                return g;
            }
            if (!without_share)
                without_share = g;
        }
        if (g->ends_tier && without_share)
            break;
    }
    *ret_retry = without_share != NULL;
    return without_share;
}

/* RFC 8446 4.2.8: of groups that are offered, and each once. In one walk over each list: a ClientHello has room for ten
 * thousand of both. */
static bool shares_are_sound(const struct client_hello *hello)
{
    struct cursor groups = cursor_of(hello->supported_groups), entries = cursor_of(hello->key_shares);
    uint8_t due[65536 / 8] = { 0 }; /* groups that may still have a share, a bit each */

    while (cursor_left(&groups)) {
        uint16_t group = cursor_u16(&groups);
        due[group / 8] |= (uint8_t)(1 << group % 8);
    }
    while (cursor_left(&entries)) {
        uint16_t group = cursor_u16(&entries);

        (void)cursor_vector(&entries, 2);
        if (!(due[group / 8] & 1 << group % 8))
            return false;
        due[group / 8] &= (uint8_t) ~(1 << group % 8);
    }
    return true;
}

/* ---- Together ---- */

bool handshake_speaks(const struct native_context *context, const struct client_hello *hello)
{
    const struct context_group *group;
    bool retry;

    if (!context || !client_hello_offers_version(hello, 0x0304))
        return false;
    group = choose_group(context, hello, &retry);
    return !group || group->is_ours;
}

static int fail(struct handshake *h, uint8_t alert, const char *reason)
{
    return handshake_fail(h, -E_TLS, alert, reason);
}

static int choose_alpn(struct handshake *h, const struct client_hello *hello)
{
    struct bytes name = alpn_choose(h->context->alpn, hello->alpn);

    if (hello->alpn.size == 0 || h->context->alpn.size == 0)
        return 0;
    if (name.size == 0)
        return fail(h, ALERT_NO_APPLICATION_PROTOCOL, "no application protocol in common");
    h->alpn = name.at;
    h->alpn_bytes = (uint8_t)name.size;
    return 0;
}

/* RFC 8446 9.2: what must come together. */
static int check_presence(struct handshake *h, const struct client_hello *hello)
{
    bool has_groups = hello->supported_groups.size > 0;

    if (has_groups != hello->has_key_share)
        return fail(h, ALERT_MISSING_EXTENSION,
                    has_groups ? "supported_groups without key_share" : "key_share without supported_groups");
    if (hello->has_pre_shared_key && hello->psk_modes.size == 0)
        return fail(h, ALERT_MISSING_EXTENSION, "pre_shared_key without psk_key_exchange_modes");
    if (!has_groups) /* keys of a PSK alone are not agreed upon here */
        return fail(h, ALERT_MISSING_EXTENSION, "neither supported_groups nor key_share");
    if (!hello->has_pre_shared_key && hello->signature_algorithms.size == 0)
        return fail(h, ALERT_MISSING_EXTENSION, "no signature_algorithms");
    return 0;
}

int handshake_choose_parameters(struct handshake *h, const struct client_hello *hello)
{
    int error = check_presence(h, hello);

    if (error)
        return error;
    if (!shares_are_sound(hello))
        return fail(h, ALERT_ILLEGAL_PARAMETER, "a key share twice, or of a group that is not offered");
    h->suite = choose_suite(h->context, hello);
    if (!h->suite)
        return fail(h, ALERT_HANDSHAKE_FAILURE, "no shared cipher suite");
    h->group = choose_group(h->context, hello, &h->retry);
    if (!h->group || !h->group->is_ours)
        return fail(h, ALERT_HANDSHAKE_FAILURE, "no shared group");
    h->acknowledges_name = hello->server_name_wire.size > 0;
    h->wants_ticket = client_hello_offers_psk_dhe(hello);
    h->record_size_limit = hello->record_size_limit;
    h->max_fragment_length = hello->max_fragment_length;
    h->skips_early_data = hello->has_early_data;
    h->session_id_bytes = (uint8_t)hello->session_id.size;
    if (h->session_id_bytes)
        memcpy(h->session_id, hello->session_id.at, hello->session_id.size);
    return choose_alpn(h, hello);
}

int handshake_choose_certificate(struct handshake *h, const struct client_hello *hello)
{
    static const enum compression preferred[] = { COMPRESSION_BROTLI, COMPRESSION_ZSTD, COMPRESSION_ZLIB };
    const struct native_context *context = h->context;
    size_t count;
    const uint16_t *schemes = signer_schemes(context->signer, &count);

    if (hello->signature_algorithms.size == 0)
        return fail(h, ALERT_MISSING_EXTENSION, "no signature_algorithms");
    for (size_t i = 0; i < count && !h->scheme; i++)
        if (client_hello_offers_signature(hello, schemes[i]))
            h->scheme = schemes[i];
    if (!h->scheme)
        return fail(h, ALERT_HANDSHAKE_FAILURE, "no shared signature algorithm");
    h->certificate = (uint8_t)((hello->has_status_request && context->has_staple ? WITH_STAPLE : 0) |
                               (hello->has_sct && context->has_scts ? WITH_SCTS : 0));
    for (size_t i = 0; i < COUNT_OF(preferred) && !h->compression; i++)
        if (context->certificates[h->certificate].as[preferred[i]].size &&
            client_hello_offers_compression(hello, (uint16_t)preferred[i]))
            h->compression = (uint8_t)preferred[i];
    return 0;
}
