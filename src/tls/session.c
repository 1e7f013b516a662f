/* session.c: which engine makes a handshake; and OpenSSL's SSL object as a machine over bytes. */
#include "tls/session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/check.h"
#include "tls/handshake.h"
#include "tls/hmac.h"
#include "tls/openssl.h"
#include "tls/ticket.h"

/* ---- The BIO: reads the caller's view, appends to the caller's buffer ---- */

static int bio_read(BIO *bio, char *into, size_t size, size_t *ret_read)
{
    struct tls_session *s = BIO_get_data(bio);
    size_t n = s->in && s->in->size < size ? s->in->size : size;

    BIO_clear_retry_flags(bio);
    if (!s->in || n == 0) {
        s->starved = true;
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(into, s->in->at, n);
    if (s->hand_over)
        hand_over_note_taken(s->hand_over, bytes_part(*s->in, 0, n));
    *s->in = bytes_from(*s->in, n);
    *ret_read = n;
    return 1;
}

/* Takes what there is room for. Callers reserve so much that this is all; a flight that is longer goes out in parts. */
static int bio_write(BIO *bio, const char *from, size_t size, size_t *ret_written)
{
    struct tls_session *s = BIO_get_data(bio);
    size_t room = s->out ? buffer_room(s->out) : 0;
    size_t n = room < size ? room : size;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        s->starved = true;
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(s->out->data + s->out->end, from, n);
    if (s->hand_over)
        hand_over_note_sent(s->hand_over, bytes_of(s->out->data + s->out->end, n));
    buffer_commit(s->out, n);
    *ret_written = n;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_PUSH:
    case BIO_CTRL_POP:
        return 1;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "Unlade's buffers");

    if (!method)
        return;
    if (BIO_meth_set_read_ex(method, bio_read) != 1 || BIO_meth_set_write_ex(method, bio_write) != 1 ||
        BIO_meth_set_ctrl(method, bio_control) != 1) {
        BIO_meth_free(method);
        return;
    }
    bio_method = method;
}

const BIO_METHOD *session_bio_method(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_bio_method);
    return bio_method;
}

struct tls_session *session_of(const SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

/* ---- Life ---- */

/* Tickets are for this binding, and, one host having many names, for the one that the client asked for where that counts. */
static bool bind_tickets(SSL *ssl, struct bytes binding, struct bytes name)
{
    uint8_t hash[2][SHA256_DIGEST_LENGTH];

    hash_once(HASH_SHA256, binding, hash[0]);
    hash_once(HASH_SHA256, name, hash[1]);
    hash_once(HASH_SHA256, bytes_of(hash, sizeof hash), hash[0]);
    return SSL_set_session_id_context(ssl, hash[0], sizeof hash[0]) == 1;
}

struct tls_session *session_make(struct tls_context *context)
{
    struct tls_session *s = calloc(1, sizeof *s);
    BIO *bio;

    if (!s)
        return NULL;
    s->context = tls_context_ref(context);
    s->ssl = SSL_new(context->ssl_ctx);
    bio = s->ssl ? BIO_new(session_bio_method()) : NULL;
    if (!bio) {
        tls_session_free(s);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    return s;
}

static struct tls_session *accept_with_openssl(struct tls_context *context, struct bytes binding, struct bytes name,
                                               int64_t now)
{
    struct tls_session *s = session_make(context);

    if (!s)
        return NULL;
    if (!bind_tickets(s->ssl, binding, name)) {
        tls_session_free(s);
        ERR_clear_error();
        return NULL;
    }
    s->now = now;
    if (context->records != TLS_RECORDS_OPENSSL)
        s->hand_over = hand_over_new(); /* without it, OpenSSL goes on */
    SSL_set_accept_state(s->ssl);
    if (context->tickets && !tickets_available()) {
        SSL_set_num_tickets(s->ssl, 0);
        SSL_set_options(s->ssl, SSL_OP_NO_TICKET);
    }
    return s;
}

struct tls_session *tls_session_new(struct tls_context *context, struct bytes binding, int64_t now)
{
    return accept_with_openssl(context, binding, BYTES_NONE, now);
}

/* RFC 6066 3: another name than a session's is no reason to resume it; TLS 1.3 leaves that to the client (RFC 8446 4.6.1). */
static struct bytes name_that_counts(const struct tls_context *context, const struct client_hello *hello)
{
    bool is_1_3 =
        client_hello_offers_version(hello, 0x0304) && SSL_CTX_get_max_proto_version(context->ssl_ctx) == TLS1_3_VERSION;

    return is_1_3 ? BYTES_NONE : hello->server_name_wire;
}

/* The ClientHello offers a ticket of OpenSSL's before any of ours. */
static bool offers_openssl_ticket(const struct client_hello *hello)
{
    struct cursor identities = cursor_of(hello->psk_identities), binders = cursor_of(hello->psk_binders);
    struct bytes identity, binder;
    enum ticket_kind kind = TICKET_UNKNOWN;

    while (kind == TICKET_UNKNOWN && client_hello_next_psk(&identities, &binders, &identity, &binder))
        kind = ticket_kind(identity);
    return kind == TICKET_OPENSSL;
}

struct tls_session *tls_session_accept(struct tls_context *context, const struct client_hello *hello,
                                       const struct tls_session_parts *parts)
{
    struct tls_session *s;

    if (!handshake_speaks(context->native, hello) ||
        (context->engine == TLS_ENGINE_AUTO && offers_openssl_ticket(hello)))
        return accept_with_openssl(context, parts->binding, name_that_counts(context, hello), parts->now);
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->context = tls_context_ref(context);
    s->native = handshake_new(context->native, hello, parts);
    if (s->native)
        return s;
    tls_session_free(s);
    return NULL;
}

/* An object that is freed without goodbye makes its session useless. */
bool session_drop_engine(struct tls_session *s)
{
    char name[256];
    struct bytes found = tls_session_client_name(s, name);

    if (found.size) {
        s->client_name = strndup((const char *)found.at, found.size);
        if (!s->client_name)
            return false;
    }
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
    return true;
}

bool tls_session_is_spent(const struct tls_session *s)
{
    return !s->ssl && !s->native && !s->client_name;
}

int tls_session_records(const struct tls_session *s)
{
    return s->context->records;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    /* A session of which others may be resumed is not bad because nobody said goodbye. */
    if (s->ssl && s->is_client && s->complete && !s->alert_received && !s->alert_sent)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    handshake_free(s->native);
    hand_over_free(s->hand_over);
    free(s->client_name);
    tls_shelf_unref(s->shelf);
    tls_context_unref(s->context);
    free(s->failure);
    free(s);
}

/* ---- Failures ---- */

struct tls_failure *session_failure_of(struct tls_session *s)
{
    if (!s->failure)
        s->failure = calloc(1, sizeof *s->failure);
    return s->failure;
}

void session_note_alert(const SSL *ssl, int where, int value)
{
    struct tls_session *s;
    bool is_received = (where & SSL_CB_READ) != 0;
    int level = value >> 8, alert = value & 0xff;

    if (!(where & SSL_CB_ALERT) ||
        (level == SSL3_AL_WARNING && alert != SSL3_AD_CLOSE_NOTIFY && alert != SSL_AD_NO_RENEGOTIATION))
        return;
    s = session_of(ssl);
    if (alert == SSL3_AD_CLOSE_NOTIFY) {
        s->peer_closed |= is_received;
        return;
    }
    if (s->alert_received || s->alert_sent)
        return; /* the first one tells the cause */
    s->alert = (uint8_t)alert;
    s->alert_received = is_received;
    s->alert_sent = !is_received;
}

static int code_of(unsigned long error, const struct tls_session *s)
{
    int reason = ERR_GET_REASON(error);

    if (s->alert_received)
        return -E_TLS_ALERT;
    if (reason == ERR_R_MALLOC_FAILURE)
        return -E_MEMORY;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE || reason == SSL_R_CERTIFICATE_VERIFY_FAILED))
        return s->is_client ? -E_SERVER_CERTIFICATE : -E_CLIENT_CERTIFICATE;
    if (s->alert_sent ? s->alert == ALERT_INTERNAL_ERROR : ERR_GET_LIB(error) != ERR_LIB_SSL)
        return -E_CRYPTO;
    return -E_TLS; /* also where the library sends no alert: a record of another version, say */
}

/* Empties the thread's error queue. The TLS library's first word tells the cause; below it lie the primitives'. */
static unsigned long take_error(void)
{
    unsigned long first = 0, error;

    while ((error = ERR_get_error()) != 0)
        if (!first || (ERR_GET_LIB(first) != ERR_LIB_SSL && ERR_GET_LIB(error) == ERR_LIB_SSL))
            first = error;
    return first;
}

/* The library's words, or better ones where a server is no TLS server at all. */
static const char *words_of(const struct tls_session *s, unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    if (!error)
        return NULL;
    if (s->is_client && !s->complete && ERR_GET_LIB(error) == ERR_LIB_SSL &&
        (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
         reason == SSL_R_PACKET_LENGTH_TOO_LONG))
        return "what the server sent is not TLS; it may speak in clear on this port";
    return ERR_reason_error_string(error);
}

/* Ends the session: keeps the cause for tls_session_failure. */
static int end_failed(struct tls_session *s, const char *reason)
{
    unsigned long error = take_error();
    struct tls_failure *f = session_failure_of(s);
    const char *words = reason ? reason : words_of(s, error);

    s->ended = reason ? -E_TLS : code_of(error, s);
    if (f && f->reason[0] == '\0') {
        if (s->alert_received)
            snprintf(f->reason, sizeof f->reason, "the %s sent the alert %s", s->is_client ? "server" : "client",
                     alert_name(s->alert));
        else
            snprintf(f->reason, sizeof f->reason, "%s", words ? words : "unknown reason");
    }
    return s->ended;
}

void tls_session_failure(const struct tls_session *s, struct tls_failure *ret_failure)
{
    struct tls_failure failure = { 0 };

    if (s->native) {
        handshake_failure(s->native, ret_failure);
        return;
    }
    if (s->failure)
        failure = *s->failure;
    failure.alert = s->alert;
    failure.alert_received = s->alert_received;
    failure.alert_sent = s->alert_sent;
    *ret_failure = failure;
}

/* ---- The handshake and the records ---- */

/* While a call of the library runs, and no longer, the BIO knows the caller's bytes. */
static void lend(struct tls_session *s, struct bytes *in, struct buffer *out)
{
    s->in = in;
    s->out = out;
    s->starved = false;
}

static void take_back(struct tls_session *s)
{
    s->in = NULL;
    s->out = NULL;
}

static int native_handshake(struct tls_session *s, struct bytes *in, struct buffer *out)
{
    int error = handshake_run(s->native, in, out);
    struct bytes name;

    if (error)
        return error;
    name = handshake_client_name(s->native);
    if (name.size && !(s->client_name = strndup((const char *)name.at, name.size)))
        return s->ended = -E_MEMORY;
    s->complete = true;
    return 0;
}

int tls_session_handshake(struct tls_session *s, struct bytes *in, struct buffer *out)
{
    int result;

    if (s->ended)
        return s->ended;
    if (s->complete)
        return 0;
    if (s->native)
        return native_handshake(s, in, out);
    lend(s, in, out);
    result = SSL_do_handshake(s->ssl);
    take_back(s);
    if (result == 1) {
        s->complete = true;
        s->piece = session_plain_most(SSL_get_session(s->ssl));
        if (!s->hand_over) /* it stays: what its buffers hold is given back between two records */
            SSL_set_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
        return 0;
    }
    if (s->peer_closed) { /* a client that gives up before it has begun */
        s->alert_received = true;
        s->alert = ALERT_CLOSE_NOTIFY;
        return end_failed(s, NULL);
    }
    return s->starved ? -E_AGAIN : end_failed(s, NULL);
}

/* What the session is to say once no more plaintext comes. */
static int end_of_reading(struct tls_session *s)
{
    if (s->alert_received)
        return end_failed(s, NULL);
    if (s->peer_closed) {
        ERR_clear_error();
        return 0;
    }
    return s->starved ? -E_AGAIN : end_failed(s, NULL);
}

/* A record after another, as long as there are bytes of them and room. What ends the session shows when no plaintext
 * came before it in this call: else at the next. */
int tls_session_open(struct tls_session *s, struct bytes *in, uint8_t *plain, size_t room, struct buffer *out)
{
    size_t total = 0, n;
    int error = 0;

    CHECK(s->complete && s->ssl && room > 0);
    if (s->ended)
        return s->ended;
    if (room > INT32_MAX)
        room = INT32_MAX;
    lend(s, in, out);
    while (total < room) {
        if (SSL_read_ex(s->ssl, plain + total, room - total, &n) != 1) {
            error = end_of_reading(s);
            break;
        }
        total += n;
        if (in->size == 0 && SSL_pending(s->ssl) == 0)
            break;
    }
    /* OpenSSL answers a renegotiation with a warning and goes on (RFC 5246 7.2.2 leaves that to us): a peer that asks
     * for what no modern client does is not worth the work of each try. The warning ends nothing by itself (7.2.1). */
    if (s->alert_sent && s->alert == SSL_AD_NO_RENEGOTIATION && !s->ended) {
        (void)SSL_shutdown(s->ssl);
        error = end_failed(s, s->is_client ? "the server asked for a renegotiation"
                                           : "the client asked for a renegotiation");
    }
    take_back(s);
    return total ? (int)total : error;
}

bool tls_session_has_more(const struct tls_session *s)
{
    return s->ended || s->peer_closed || SSL_pending(s->ssl) > 0;
}

size_t tls_session_piece(const struct tls_session *s)
{
    return s->piece;
}

int tls_session_seal(struct tls_session *s, struct bytes plain, struct buffer *out)
{
    size_t written = 0;
    int ok;

    CHECK(s->complete && s->ssl && !s->finished && plain.size <= TLS_SEAL_MOST);
    CHECK(buffer_room(out) >= tls_sealed_size(plain.size, s->piece));
    if (s->ended)
        return -E_CRYPTO;
    if (plain.size == 0)
        return 0;
    lend(s, NULL, out);
    ok = SSL_write_ex(s->ssl, plain.at, plain.size, &written);
    take_back(s);
    if (ok == 1 && written == plain.size)
        return 0;
    end_failed(s, NULL);
    return -E_CRYPTO;
}

void tls_session_finish(struct tls_session *s, struct buffer *out)
{
    if (s->finished || s->ended || !s->complete || !s->ssl)
        return;
    s->finished = true;
    lend(s, NULL, out);
    (void)SSL_shutdown(s->ssl);
    take_back(s);
    ERR_clear_error();
}
