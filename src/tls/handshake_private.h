/* handshake_private.h: one handshake from within, for the files handshake*.c. */
#ifndef TLS_HANDSHAKE_PRIVATE_H
#define TLS_HANDSHAKE_PRIVATE_H

#include "tls/handshake.h"
#include "tls/key_schedule.h"
#include "tls/native_context.h"
#include "tls/record.h"
#include "tls/ticket.h"

/* What there is between the two sides, in the order of a handshake: the rows of the table in handshake.c. */
enum step {
    STEP_START,
    STEP_CLIENT_HELLO,
    STEP_HELLO_RETRY_REQUEST,
    STEP_SECOND_CLIENT_HELLO,
    STEP_SERVER_HELLO,
    STEP_ENCRYPTED_EXTENSIONS,
    STEP_CERTIFICATE_REQUEST,
    STEP_CERTIFICATE,
    STEP_CERTIFICATE_VERIFY,
    STEP_FINISHED,
    STEP_CLIENT_CERTIFICATE,
    STEP_CLIENT_CERTIFICATE_VERIFY,
    STEP_CLIENT_FINISHED,
    STEP_NEW_SESSION_TICKET,
    STEPS
};

enum { CLIENT_SHARE_MOST = 1216 }; /* bytes: X25519MLKEM768's */

/* Messages as they come out of records (handshake_in.c). */
struct message_in {
    struct bytes content; /* of the record in hand, not taken yet; only within handshake_run() */
    uint8_t *data;        /* a message that comes in pieces; NULL: none */
    size_t bytes, room;
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what belongs together stands together */
struct handshake {
    const struct native_context *context;
    struct aead_cache *aeads;
    struct batch *batch;
    struct tls_waiter *waiter;
    int64_t now;         /* seconds since 1970 */
    uint8_t binding[32]; /* of tickets, to virtual host and policy */

    uint8_t last; /* enum step: the last message sent or received */
    bool pending; /* a job is with the batch */
    int ended;    /* 0, or what every further call returns */
    struct tls_failure failure;

    /* ---- Chosen by the ClientHello ---- */
    const struct suite *suite;
    const struct context_group *group;
    uint16_t scheme;     /* of our signature; 0 with a PSK */
    uint8_t compression; /* of our certificate */
    uint8_t certificate; /* its variant: WITH_STAPLE | WITH_SCTS */
    uint8_t alpn_bytes;  /* of the chosen name; 0: none */
    const uint8_t *alpn;
    bool retry; /* a HelloRetryRequest is needed, or was */
    bool resumed;
    uint16_t psk_index; /* of the PSK among the offered ones */
    bool acknowledges_name;
    bool wants_ticket;           /* PSKs with (EC)DHE can be used */
    uint8_t max_fragment_length; /* RFC 6066's code; 0: none */
    uint16_t record_size_limit;  /* the client's; 0: none */
    uint8_t session_id_bytes, session_id[32];
    uint8_t hello_digest[32]; /* with `retry`: what the second ClientHello must repeat */
    uint8_t psk_digest[32];   /* likewise: the identities of the PSKs offered, of which it may leave some out */
    uint16_t psk_count;
    bool had_psk;             /* one of them would do: it may not be left out */
    size_t hello_wire;        /* bytes of the ClientHello's records, until they were taken */

    /* ---- Records ---- */
    struct record_keys read, write;
    bool read_is_protected, write_is_protected;
    bool client_spoke; /* a record under the handshake's keys was opened */
    bool skips_early_data;
    bool said_change_cipher_spec;
    bool said_goodbye;
    uint8_t idle_records; /* of the client's: taken, and without any effect */
    uint32_t early_bytes; /* of it that were skipped */
    struct message_in in;
    struct buffer *out; /* of the call that runs */
    uint32_t staged;    /* bytes of messages where they will be sealed, behind out's end */

    struct ticket_state ticket; /* of the session that is resumed, or of this one */

    uint16_t client_share_bytes;
    bool agreement_started, signature_started;

    X509 *client_certificate; /* the one that it has shown; NULL: none */
    bool client_is_verified;

    /* ---- The large rest, which handshake_new() does not zero as a whole ---- */
    struct key_schedule schedule;   /* from key_schedule_start() on */
    struct key_agreement agreement; /* zeroed */
    /* No secrets from here on: not wiped. */
    struct signature signature; /* zeroed when it is started, its job at once */
    uint8_t client_share[CLIENT_SHARE_MOST];
    uint8_t signed_content[64 + 34 + HASH_BYTES_MOST]; /* RFC 8446 4.4.3 */
};

/* ---- handshake_in.c ---- */
/* The client's next whole message, header included; it stays until the next call. Returns 0, -E_AGAIN, or an error (which
 * handshake_fail() has noted). */
int message_next(struct handshake *h, struct bytes *in, struct bytes *ret_message) MUST_USE;
/* What the table says: bytes that a message of that type may have now; 0: it may not come. handshake.c. */
size_t message_most(const struct handshake *h, uint8_t type);
/* Whether something follows the message in its record: none may before keys change (RFC 8446 5.1). */
bool message_is_followed(const struct handshake *h);
void message_in_clear(struct message_in *m);

/* ---- handshake_out.c ---- */
/* Appends bytes of messages, which go into the transcript; they leave with message_seal(), or before when a record is full. */
int message_put(struct handshake *h, struct bytes bytes) MUST_USE;
int message_seal(struct handshake *h) MUST_USE;
/* Bytes of content in a record of either side at most; and in a protected one of ours. */
size_t fragment_most(const struct handshake *h);
size_t protected_most(const struct handshake *h);
/* A ChangeCipherSpec for middleboxes, where the client asks for it (RFC 8446 D.4); once. */
void handshake_put_change_cipher_spec(struct handshake *h);
/* The alert that handshake_fail() has noted; when the client sent one, nothing but close_notify for its close_notify. */
void handshake_put_alert(struct handshake *h);
/* Notes what the handshake ends with: the alert to be sent and the reason, unless a better one was noted before. NULL: the
 * error's text. Returns the error. */
int handshake_fail(struct handshake *h, int error, uint8_t alert, const char *reason);

/* ---- The messages: each returns 0, -E_PENDING or an error that was noted. message: header included ---- */
/* Suite, group and whether that needs a retry, ALPN, and what else the first ClientHello decides. */
int handshake_choose_parameters(struct handshake *h,
                                const struct client_hello *hello) MUST_USE; /* handshake_choice.c */
/* With a certificate: the signature's scheme, and the certificate's form. */
int handshake_choose_certificate(struct handshake *h, const struct client_hello *hello) MUST_USE;
int handshake_receive_client_hello(struct handshake *h,
                                   const struct client_hello *hello) MUST_USE; /* handshake_hello.c */
int handshake_receive_second_client_hello(struct handshake *h, struct bytes message) MUST_USE;
int handshake_send_hello_retry_request(struct handshake *h) MUST_USE;
int handshake_send_server_hello(struct handshake *h) MUST_USE;
int handshake_send_encrypted_extensions(struct handshake *h) MUST_USE;
int handshake_send_certificate_request(struct handshake *h) MUST_USE; /* handshake_certificate.c */
int handshake_send_certificate(struct handshake *h) MUST_USE;
int handshake_receive_certificate(struct handshake *h, struct bytes message) MUST_USE;
int handshake_send_certificate_verify(struct handshake *h) MUST_USE;
int handshake_receive_certificate_verify(struct handshake *h, struct bytes message) MUST_USE;
int handshake_send_finished(struct handshake *h) MUST_USE; /* handshake_finished.c */
int handshake_receive_finished(struct handshake *h, struct bytes message) MUST_USE;
int handshake_send_new_session_ticket(struct handshake *h) MUST_USE; /* handshake_ticket.c */
/* Of the offered PSKs, the first that can be used: h->ticket is its state then, and h->resumed set. 0 or an error (a wrong binder). */
int handshake_choose_psk(struct handshake *h, const struct client_hello *hello) MUST_USE;
/* Whether there is one; its binder is not looked at. */
bool handshake_has_psk(struct handshake *h, const struct client_hello *hello);

/* A job is done: whoever waits for the handshake is told so. */
void handshake_go_on(struct handshake *h);
/* handshake_out.c: one direction changes to the keys of a traffic secret. */
void handshake_protect(struct handshake *h, struct record_keys *direction, const uint8_t *secret, bool is_sealing);

#endif
