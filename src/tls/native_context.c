/* native_context.c: a policy and a certificate in the form in which handshakes want them: numbers, and messages ready to be sent. */
#include "tls/native_context.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/check.h"
#include "tls/handshake_private.h"

/* ---- The policy's names ---- */

static const struct context_group known_groups[] = {
    { GROUP_X25519MLKEM768, true, false, "X25519MLKEM768" },
    { GROUP_X25519, true, false, "X25519" },
    { GROUP_P256, true, false, "P-256" },
    { GROUP_P384, true, false, "P-384" },
    { GROUP_P256MLKEM768, false, false, "SecP256r1MLKEM768" },
    { GROUP_P384MLKEM1024, false, false, "SecP384r1MLKEM1024" },
    { GROUP_P521, false, false, "P-521" },
    { GROUP_X448, false, false, "X448" },
    { GROUP_FFDHE2048, false, false, "ffdhe2048" },
    { GROUP_FFDHE3072, false, false, "ffdhe3072" },
};

static bool add_group(struct native_context *c, struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(known_groups); i++) {
        const struct context_group *g = &known_groups[i];

        if (!bytes_equal_text(name, g->name))
            continue;
        if (g->is_ours && !key_share_has(g->code))
            return true; /* the library is too old for it */
        CHECK(c->group_count < CONTEXT_GROUPS_MOST);
        c->groups[c->group_count++] = *g;
        return true;
    }
    return false;
}

/* Names joined with ':', each taken by add(). */
static bool add_all(struct native_context *c, const char *names, bool (*add)(struct native_context *, struct bytes))
{
    for (const char *at = names; *at; at += *at == ':') {
        size_t size = strcspn(at, ":");

        if (!add(c, bytes_of(at, size)))
            return false;
        at += size;
    }
    return true;
}

/* A client that could do better than the share that it sent is asked for the better one only for X25519MLKEM768's sake. */
static bool add_groups(struct native_context *c, const struct tls_policy *policy)
{
    if (policy->groups[0])
        return add_all(c, policy->groups, add_group) && c->group_count > 0;
    if (!add_all(c, "X25519MLKEM768:X25519:P-256:P-384", add_group))
        return false;
    c->groups[0].ends_tier = c->groups[0].code == GROUP_X25519MLKEM768;
    return true;
}

static bool add_suite(struct native_context *c, struct bytes name)
{
    const struct suite *suite = suite_named(name);

    if (!suite)
        return false;
    CHECK(c->suite_count < CONTEXT_SUITES_MOST); /* each once */
    c->suites[c->suite_count++] = suite->code;
    return true;
}

static bool add_policy(struct native_context *c, const struct tls_policy_options *options)
{
    struct tls_policy policy;
    char why[TLS_POLICY_WHY];

    return tls_policy_resolve(options, &policy, why) == 0 && policy.versions_most >= 0x0304 &&
           add_all(c, policy.suites_1_3, add_suite) && add_groups(c, &policy);
}

/* ---- Messages that are always the same ---- */

struct message {
    uint8_t *data;
    size_t bytes, room;
    bool failed; /* memory, or a vector is too long */
};

static void put(struct message *m, const void *from, size_t bytes)
{
    if (m->bytes + bytes > m->room) {
        size_t room = 2 * (m->bytes + bytes);
        uint8_t *data = realloc(m->data, room);

        if (!data) {
            m->failed = true;
            return;
        }
        m->data = data;
        m->room = room;
    }
    if (bytes)
        memcpy(m->data + m->bytes, from, bytes);
    m->bytes += bytes;
}

static void put_number(struct message *m, size_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        const uint8_t byte = (uint8_t)(value >> (8 * i));
        put(m, &byte, 1);
    }
}

/* The length, in so many bytes, of what was put since `start`, is written in front of it: there the room for it was left. */
static void set_length(struct message *m, size_t start, int bytes)
{
    size_t value = m->bytes - start;

    m->failed |= value >> (8 * bytes) != 0; /* what is longer than the vector may be */
    for (int i = 0; i < bytes && !m->failed; i++)
        m->data[start - 1 - (size_t)i] = (uint8_t)(value >> (8 * i));
}

/* Leaves room for a length, and returns where what it counts begins. */
static size_t begin(struct message *m, int length_bytes)
{
    put_number(m, 0, length_bytes);
    return m->bytes;
}

static size_t begin_message(struct message *m, enum handshake_type type)
{
    put_number(m, type, 1);
    return begin(m, 3);
}

/* Hands the message over; empty when memory was out. */
static struct bytes end_message(struct message *m, size_t start)
{
    struct bytes whole;

    set_length(m, start, 3);
    whole = m->failed ? BYTES_NONE : bytes_of(m->data, m->bytes);
    if (m->failed)
        free(m->data);
    *m = (struct message){ 0 };
    return whole;
}

/* CertificateEntry.extensions of the leaf (RFC 8446 4.4.2.1; RFC 6962 3.3). */
static void put_leaf_extensions(struct message *m, const struct tls_server_parts *parts, unsigned variant)
{
    enum { OCSP = 1 };
    size_t extensions = begin(m, 2), content;

    if (variant & WITH_STAPLE) {
        put_number(m, EXTENSION_STATUS_REQUEST, 2);
        content = begin(m, 2);
        put_number(m, OCSP, 1);
        put_number(m, parts->staple.size, 3);
        put(m, parts->staple.at, parts->staple.size);
        set_length(m, content, 2);
    }
    if (variant & WITH_SCTS) {
        put_number(m, EXTENSION_SCT, 2);
        put_number(m, parts->scts.size, 2);
        put(m, parts->scts.at, parts->scts.size);
    }
    set_length(m, extensions, 2);
}

static bool put_certificate(struct message *m, X509 *certificate)
{
    uint8_t *der = NULL;
    int bytes = i2d_X509(certificate, &der);

    if (bytes <= 0)
        return false;
    put_number(m, (size_t)bytes, 3);
    put(m, der, (size_t)bytes);
    OPENSSL_free(der);
    return true;
}

/* Empty: it cannot be made, or is so long that a flight might have no room for it. */
static struct bytes certificate_message(const struct tls_server_parts *parts, unsigned variant)
{
    enum { MOST = 21504 }; /* bytes: the longest chain that a context takes, and a kilobyte */
    struct message m = { 0 };
    size_t start = begin_message(&m, HANDSHAKE_CERTIFICATE), list;
    bool ok;

    put_number(&m, 0, 1); /* certificate_request_context */
    list = begin(&m, 3);
    ok = put_certificate(&m, parts->leaf);
    put_leaf_extensions(&m, parts, variant);
    for (int i = 0; ok && parts->chain && i < sk_X509_num(parts->chain); i++) {
        ok = put_certificate(&m, sk_X509_value(parts->chain, i));
        put_number(&m, 0, 2);
    }
    set_length(&m, list, 3);
    m.failed |= !ok || m.bytes > MOST;
    return end_message(&m, start);
}

/* RFC 8879 4. Empty: it would not be smaller. */
static struct bytes compressed_message(struct bytes certificate, enum compression how)
{
    struct bytes body = bytes_from(certificate, HANDSHAKE_HEADER);
    struct message m = { 0 };
    uint8_t *compressed = malloc(body.size + 1);
    size_t bytes = compressed ? compress_bytes(how, body, compressed, body.size) : 0, start;

    if (bytes && bytes + 8 < body.size) {
        start = begin_message(&m, HANDSHAKE_COMPRESSED_CERTIFICATE);
        put_number(&m, how, 2);
        put_number(&m, body.size, 3);
        put_number(&m, bytes, 3);
        put(&m, compressed, bytes);
        free(compressed);
        return end_message(&m, start);
    }
    free(compressed);
    return BYTES_NONE;
}

static bool add_certificates(struct native_context *c, const struct tls_server_parts *parts)
{
    c->has_staple = parts->staple.size > 0;
    c->has_scts = parts->scts.size > 0;
    for (unsigned variant = 0; variant < COUNT_OF(c->certificates); variant++) {
        struct certificate_messages *messages = &c->certificates[variant];

        if (((variant & WITH_STAPLE) && !c->has_staple) || ((variant & WITH_SCTS) && !c->has_scts))
            continue;
        messages->as[COMPRESSION_NONE] = certificate_message(parts, variant);
        if (messages->as[COMPRESSION_NONE].size == 0)
            return false;
        for (enum compression how = COMPRESSION_ZLIB; how <= COMPRESSION_ZSTD; how++)
            messages->as[how] = compressed_message(messages->as[COMPRESSION_NONE], how);
    }
    return true;
}

/* CertificateRequest (RFC 8446 4.3.2). */
static bool add_request(struct native_context *c, const STACK_OF(X509_NAME) * names)
{
    struct message m = { 0 };
    size_t start = begin_message(&m, HANDSHAKE_CERTIFICATE_REQUEST), extensions, content, list;
    const unsigned char *der;
    size_t bytes;

    put_number(&m, 0, 1); /* certificate_request_context */
    extensions = begin(&m, 2);
    put_number(&m, EXTENSION_SIGNATURE_ALGORITHMS, 2);
    content = begin(&m, 2);
    list = begin(&m, 2);
    for (size_t i = 0; client_signature_scheme(i); i++)
        put_number(&m, client_signature_scheme(i), 2);
    set_length(&m, list, 2);
    set_length(&m, content, 2);
    if (sk_X509_NAME_num(names) > 0) {
        put_number(&m, EXTENSION_CERTIFICATE_AUTHORITIES, 2);
        content = begin(&m, 2);
        list = begin(&m, 2);
        for (int i = 0; i < sk_X509_NAME_num(names); i++) {
            if (X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der, &bytes) != 1) {
                m.failed = true;
                break;
            }
            put_number(&m, bytes, 2);
            put(&m, der, bytes);
        }
        set_length(&m, list, 2);
        set_length(&m, content, 2);
    }
    set_length(&m, extensions, 2);
    c->certificate_request = end_message(&m, start);
    return c->certificate_request.size > 0;
}

/* ---- The whole ---- */

struct native_context *native_context_new(const struct tls_server_parts *parts, struct bytes alpn, X509_STORE *roots,
                                          const STACK_OF(X509_NAME) * ca_names)
{
    const struct tls_policy_options *policy = parts->policy;
    struct native_context *c;
    bool ok;

    if (policy->engine == TLS_ENGINE_OPENSSL || policy->records == TLS_RECORDS_OPENSSL)
        return NULL;
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->alpn = alpn;
    c->tickets = policy->tickets;
    c->clients = (uint8_t)policy->clients.certificate;
    c->client_depth = (int)policy->clients.depth;
    c->signer = signer_new(parts->key);
    ok = c->signer && add_policy(c, policy) && add_certificates(c, parts);
    if (ok && c->clients != TLS_CLIENT_OFF) {
        ok = X509_STORE_up_ref(roots) == 1;
        c->client_roots = ok ? roots : NULL;
        ok = ok && add_request(c, ca_names);
    }
    ERR_clear_error();
    if (ok)
        return c;
    native_context_free(c);
    return NULL;
}

void native_context_free(struct native_context *context)
{
    if (!context)
        return;
    for (size_t i = 0; i < COUNT_OF(context->certificates); i++)
        for (size_t how = 0; how < COMPRESSIONS; how++)
            free((void *)context->certificates[i].as[how].at);
    free((void *)context->certificate_request.at);
    X509_STORE_free(context->client_roots);
    signer_free(context->signer);
    free(context);
}
