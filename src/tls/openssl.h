/* openssl.h: what the files of the OpenSSL engine share. Nobody outside of tls/ includes this. */
#ifndef TLS_OPENSSL_H
#define TLS_OPENSSL_H

#include <stdatomic.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include "tls/client.h"
#include "tls/session.h"
#include "tls/tickets.h"

/* One (policy, certificate, ALPN list): everything that its connections have in common. Immutable, counted. */
struct tls_context {
    SSL_CTX *ssl_ctx;
    atomic_uint references;
    struct native_context *native; /* a server's, for our own engine; NULL: OpenSSL serves all */
    bool tickets;
    uint8_t engine;        /* enum tls_engine_choice */
    uint8_t records;       /* enum tls_records_choice */
    bool verifies; /* a client's: servers must prove who they are */
    uint8_t *alpn; /* ours as on the wire: length-prefixed names in order of preference */
    size_t alpn_size;
};

/* The records of one direction, counted as their bytes pass. */
struct record_trail {
    uint64_t records; /* under the present keys: since the server's secret was logged (TLS 1.3), or behind ChangeCipherSpec */
    uint64_t nonce;   /* the first eight bytes behind the last record's header */
    size_t left;      /* bytes of the record that is passing */
    uint8_t head[13];
    uint8_t head_bytes;
};

/* What passes during a handshake and is needed to go on without the library; hand_over.c. */
struct hand_over {
    uint8_t client_secret[48], server_secret[48]; /* TLS 1.3: traffic secrets */
    size_t secret_bytes;
    struct record_trail sent, taken; /* taken: by the library, of what came */
};

struct tls_session {
    struct handshake *native;   /* our own engine's handshake, until its keys are handed over; then there is no ssl */
    SSL *ssl;                   /* NULL: its keys were handed over */
    struct hand_over *hand_over; /* NULL: the library keeps the keys */
    struct tls_context *context;
    struct bytes *in;           /* of the call that runs; NULL between calls */
    struct buffer *out;
    int ended;                  /* 0, or what every further call of open or handshake returns */
    /* The last call found nothing to read or no room to write, and stopped at that: the library always does. This says
     * why a call gave nothing without a look at the thread's error queue, where others may have left something. */
    bool starved;
    bool is_client;
    int64_t now;                /* a server's: seconds since 1970, when the client came */
    struct tls_shelf *shelf;    /* a client's; NULL: none */
    bool complete;              /* the handshake is */
    bool peer_closed;           /* its close_notify came */
    bool finished;              /* ours was written */
    bool alert_received, alert_sent; /* a fatal one */
    uint8_t alert;
    uint16_t piece;             /* bytes of content in a full record, once complete */
    char *client_name;          /* kept when the library's object goes; NULL: none */
    struct tls_failure *failure; /* made when something fails */
};

/* The session behind an SSL object; only while one of its calls runs. */
struct tls_session *session_of(const SSL *ssl);
/* Library objects that are fetched once for the process; NULL when the library lacks them. Thread-safe. */
const EVP_CIPHER *fetched_aes_256_cbc(void);
/* Gives the library the algorithms of provider.c, for good; before anything is fetched. NULL: it goes on without them. */
OSSL_PROVIDER *provider_load(void);
/* The BIO that reads from a session's `in` and writes to its `out`. */
const BIO_METHOD *session_bio_method(void);

/* Bytes of content in a record: what max_fragment_length came to (RFC 6066 4). */
uint16_t session_plain_most(const SSL_SESSION *session);
struct hand_over *hand_over_new(void); /* NULL: memory */
void hand_over_free(struct hand_over *h); /* wipes it; accepts NULL */
/* SSL_CTX_set_keylog_callback: of the sessions that will be handed over. */
void hand_over_note_secret(const SSL *ssl, const char *line);
/* These bytes went to the peer; came from it, and the library took them. */
void hand_over_note_sent(struct hand_over *h, struct bytes sent);
void hand_over_note_taken(struct hand_over *h, struct bytes taken);
/* Frees the library's object; what the session is still asked for was kept. false: there is no memory for that. */
bool session_drop_engine(struct tls_session *s) MUST_USE;

/* A session without a role yet; NULL when memory is out. */
struct tls_session *session_make(struct tls_context *context);
struct tls_failure *session_failure_of(struct tls_session *s); /* NULL: memory */

/* What contexts of both roles are made with. Each returns false with a sentence in ret_why, the library's words behind
 * it where it has any. */
bool context_fail(const char **ret_why, const char *sentence);
/* The lists that tls_policy_resolve makes, in the library's hands; groups: where the policy leaves them open, two tries. */
bool context_set_policy(SSL_CTX *ctx, const struct tls_policy_options *options, const char *const groups[2],
                        const char **ret_why);
/* Ours; a chain of more than 20 KB is refused. */
bool context_set_certificate(SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) *chain, EVP_PKEY *key, const char **ret_why);
/* ALPN names as on the wire, into the context. */
bool context_set_alpn(struct tls_context *context, const char *const *alpn, const char **ret_why);

/* A session to resume, or NULL; the caller's. Takes a reference of what is put in: returns whether it did. */
SSL_SESSION *shelf_take(struct tls_shelf *shelf);
bool shelf_put(struct tls_shelf *shelf, SSL_SESSION *session);

/* Writes why a peer's certificate was refused into the session's failure (X509_STORE_CTX's verify callback). */
int session_note_verification(int ok, X509_STORE_CTX *store);
/* The same, of any verification: into a failure. */
void failure_note_verification(struct tls_failure *f, X509_STORE_CTX *store);
/* Seconds since 1970 at which the first of them is no longer valid; INT64_MAX: there are none. */
int64_t certificates_end(const STACK_OF(X509) *certificates);
/* The common name of a certificate's subject; as tls_session_client_name(). */
struct bytes certificate_common_name(const X509 *certificate, char name[256]);
/* Notes alerts as they pass (SSL_CTX_set_info_callback). */
void session_note_alert(const SSL *ssl, int where, int value);

/* SSL_CTX_set_tlsext_ticket_key_evp_cb: seals and opens tickets with the ring that tickets_install gave. */
int tickets_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_sealing);
/* Whether there is a key to seal with. */
bool tickets_available(void);
/* Sessions of these tickets end when those of our own engine would (ticket.h). false: memory. */
bool context_limit_tickets(SSL_CTX *ctx) MUST_USE;

#endif
