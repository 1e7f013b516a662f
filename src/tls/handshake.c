/* handshake.c: the handshake's state machine: which message may follow which, and who deals with it. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tls/handshake_private.h"

/* ---- Where it depends on the handshake whether a message comes ---- */

static bool needs_retry(const struct handshake *h)
{
    return h->retry;
}

static bool is_full(const struct handshake *h)
{
    return !h->resumed;
}

static bool asks_client(const struct handshake *h)
{
    return !h->resumed && h->context->clients != TLS_CLIENT_OFF;
}

static bool has_client_certificate(const struct handshake *h)
{
    return h->client_certificate != NULL;
}

/* The client has said before it what it was asked for. */
static bool client_is_heard(const struct handshake *h)
{
    return h->last == STEP_FINISHED ? !asks_client(h)
                                    : h->last != STEP_CLIENT_CERTIFICATE || !has_client_certificate(h);
}

static bool issues_ticket(const struct handshake *h)
{
    return h->context->tickets && h->wants_ticket;
}

/* ---- The table ----
 *
 * A row is a message of either side. Ours are said as soon as they may come, in the order of the rows; of the client's one is
 * accepted when the message before it is among those named and the condition holds: everything else is an unexpected_message. */

#define AFTER(step) (1u << STEP_##step)

enum { /* bytes of a message, header included, that are collected at most */
       CLIENT_CERTIFICATE_MOST = 32768,
       CERTIFICATE_VERIFY_MOST = HANDSHAKE_HEADER + 4 + 2048,
       FINISHED_MOST = HANDSHAKE_HEADER + HASH_BYTES_MOST,
};

static const struct row {
    const char *section; /* of RFC 8446 */
    unsigned type;       /* of the client's messages: enum handshake_type */
    uint32_t most;       /* of the client's: bytes */
    unsigned after;
    bool (*applies)(const struct handshake *h); /* NULL: always */
    int (*send)(struct handshake *h);
    int (*receive)(struct handshake *h, struct bytes message);
} rows[STEPS] = {
    /* STEP_CLIENT_HELLO was read before there was a handshake: handshake_new(). */
    [STEP_HELLO_RETRY_REQUEST] = { "4.1.4", 0, 0, AFTER(CLIENT_HELLO), needs_retry, handshake_send_hello_retry_request,
                                   NULL },
    [STEP_SECOND_CLIENT_HELLO] = { "4.1.2", HANDSHAKE_CLIENT_HELLO, CLIENT_HELLO_MOST, AFTER(HELLO_RETRY_REQUEST), NULL,
                                   NULL, handshake_receive_second_client_hello },
    [STEP_SERVER_HELLO] = { "4.1.3", 0, 0, AFTER(CLIENT_HELLO) | AFTER(SECOND_CLIENT_HELLO), NULL,
                            handshake_send_server_hello, NULL },
    [STEP_ENCRYPTED_EXTENSIONS] = { "4.3.1", 0, 0, AFTER(SERVER_HELLO), NULL, handshake_send_encrypted_extensions,
                                    NULL },
    [STEP_CERTIFICATE_REQUEST] = { "4.3.2", 0, 0, AFTER(ENCRYPTED_EXTENSIONS), asks_client,
                                   handshake_send_certificate_request, NULL },
    [STEP_CERTIFICATE] = { "4.4.2", 0, 0, AFTER(ENCRYPTED_EXTENSIONS) | AFTER(CERTIFICATE_REQUEST), is_full,
                           handshake_send_certificate, NULL },
    [STEP_CERTIFICATE_VERIFY] = { "4.4.3", 0, 0, AFTER(CERTIFICATE), NULL, handshake_send_certificate_verify, NULL },
    [STEP_FINISHED] = { "4.4.4", 0, 0, AFTER(CERTIFICATE_VERIFY) | AFTER(ENCRYPTED_EXTENSIONS), NULL,
                        handshake_send_finished, NULL },
    [STEP_CLIENT_CERTIFICATE] = { "4.4.2", HANDSHAKE_CERTIFICATE, CLIENT_CERTIFICATE_MOST, AFTER(FINISHED), asks_client,
                                  NULL, handshake_receive_certificate },
    [STEP_CLIENT_CERTIFICATE_VERIFY] = { "4.4.3", HANDSHAKE_CERTIFICATE_VERIFY, CERTIFICATE_VERIFY_MOST,
                                         AFTER(CLIENT_CERTIFICATE), has_client_certificate, NULL,
                                         handshake_receive_certificate_verify },
    [STEP_CLIENT_FINISHED] = { "4.4.4", HANDSHAKE_FINISHED, FINISHED_MOST,
                               AFTER(FINISHED) | AFTER(CLIENT_CERTIFICATE) | AFTER(CLIENT_CERTIFICATE_VERIFY),
                               client_is_heard, NULL, handshake_receive_finished },
    [STEP_NEW_SESSION_TICKET] = { "4.6.1", 0, 0, AFTER(CLIENT_FINISHED), issues_ticket,
                                  handshake_send_new_session_ticket, NULL },
};

static bool may_come(const struct handshake *h, const struct row *row)
{
    return (row->after & 1u << h->last) && (!row->applies || row->applies(h));
}

/* STEPS: it is the client's turn, or nothing is left to say. */
static enum step next_to_send(const struct handshake *h)
{
    for (enum step step = 0; step < STEPS; step++)
        if (rows[step].send && may_come(h, &rows[step]))
            return step;
    return STEPS;
}

static enum step next_to_receive(const struct handshake *h, uint8_t type)
{
    for (enum step step = 0; step < STEPS; step++)
        if (rows[step].receive && rows[step].type == type && may_come(h, &rows[step]))
            return step;
    return STEPS;
}

size_t message_most(const struct handshake *h, uint8_t type)
{
    enum step step = next_to_receive(h, type);

    return step == STEPS ? 0 : rows[step].most;
}

static bool is_complete(const struct handshake *h)
{
    return h->last >= STEP_CLIENT_FINISHED && next_to_send(h) == STEPS;
}

static int receive(struct handshake *h, struct bytes *in, enum step *ret_step)
{
    struct bytes message;
    int error = message_next(h, in, &message);

    if (error)
        return error;
    *ret_step = next_to_receive(h, message.at[0]);
    CHECK(*ret_step != STEPS); /* message_most() has said so */
    return rows[*ret_step].receive(h, message);
}

static int advance(struct handshake *h, struct bytes *in)
{
    while (!is_complete(h)) {
        enum step step = next_to_send(h);
        int error;

        if (step != STEPS) {
            error = rows[step].send(h);
        } else {
            error = message_seal(h); /* our flight is whole */
            if (!error)
                error = receive(h, in, &step);
        }
        if (error)
            return error;
        h->last = (uint8_t)step;
    }
    return 0;
}

int handshake_run(struct handshake *h, struct bytes *in, struct buffer *out)
{
    int error = h->ended, sealing;

    if (h->pending)
        return -E_PENDING;
    *in = bytes_from(*in, h->hello_wire);
    h->hello_wire = 0;
    h->out = out;
    if (!error)
        error = advance(h, in);
    if (error == 0 || error == -E_PENDING) {
        sealing = message_seal(h);
        error = sealing ? sealing : error;
    }
    if (error && error != -E_PENDING && error != -E_AGAIN) {
        handshake_put_alert(h);
        h->ended = error;
    }
    h->out = NULL;
    return error;
}

void handshake_go_on(struct handshake *h)
{
    h->pending = false;
    h->waiter->ready(h->waiter);
}

/* ---- Life ---- */

struct handshake *handshake_new(const struct native_context *context, const struct client_hello *hello,
                                const struct tls_session_parts *parts)
{
    struct handshake *h = malloc(sizeof *h);

    if (!h)
        return NULL;
    memset(h, 0, offsetof(struct handshake, schedule));
    h->agreement = (struct key_agreement){ 0 };
    h->signature.job = (struct batch_job){ 0 };
    h->context = context;
    h->aeads = parts->thread->aeads;
    h->batch = parts->thread->batch;
    h->waiter = parts->waiter;
    h->now = parts->now;
    h->hello_wire = hello->wire_bytes;
    hash_once(HASH_SHA256, parts->binding, h->binding);
    h->ended = handshake_receive_client_hello(h, hello);
    h->last = STEP_CLIENT_HELLO;
    return h;
}

void handshake_keys(struct handshake *h, struct traffic_keys *ret_keys)
{
    size_t bytes = h->schedule.bytes;

    CHECK(is_complete(h) && !h->ended);
    *ret_keys = (struct traffic_keys){ .version = 0x0304, .aead = h->suite->aead, .secret_bytes = (uint8_t)bytes };
    ret_keys->plain_most = (uint16_t)protected_most(h);
    ret_keys->read_most = (uint16_t)fragment_most(h);
    memcpy(ret_keys->read.secret, h->schedule.client_content, bytes);
    ret_keys->write = h->write.key; /* a ticket was sealed under it */
    traffic_key_expand(ret_keys, &ret_keys->read);
}

void handshake_facts(const struct handshake *h, struct tls_facts *ret_facts)
{
    *ret_facts = (struct tls_facts){
        .version = 0x0304,
        .version_name = "TLSv1.3",
        .suite = h->suite->name,
        .group = h->group->name,
        .resumed = h->resumed,
        .alpn = bytes_of(h->alpn, h->alpn_bytes),
        .has_client_certificate = h->client_is_verified,
        .client_verified = h->client_is_verified,
        .cipher = h->suite->name,
        .is_native = true,
        .engine = "native",
    };
}

struct bytes handshake_client_name(const struct handshake *h)
{
    return bytes_of(h->ticket.name, h->client_is_verified ? h->ticket.name_bytes : 0);
}

void handshake_failure(const struct handshake *h, struct tls_failure *ret_failure)
{
    *ret_failure = h->failure;
}

void handshake_free(struct handshake *h)
{
    if (!h)
        return;
    key_agreement_wipe(&h->agreement);
    batch_cancel(&h->signature.job);
    aead_release(h->aeads, &h->read.holder);
    aead_release(h->aeads, &h->write.holder);
    message_in_clear(&h->in);
    X509_free(h->client_certificate);
    key_schedule_wipe(&h->schedule);
    explicit_bzero(h, offsetof(struct handshake, schedule));
    free(h);
}
