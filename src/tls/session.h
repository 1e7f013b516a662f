/* session.h: one side of a TLS handshake as a machine over bytes. It ends in traffic keys, with which records.h goes on;
 * where that cannot (a CBC suite), the session protects the records too. Servers' contexts are here, clients' in client.h.
 *
 *     from the socket --> in  --+                     +--> plaintext
 *                               |  struct tls_session |
 *     to the socket  <-- out  <-+                     <-- plaintext
 *
 * It owns no socket: `in` is a view of received bytes, of which it takes what it wants; `out` is a buffer to which it
 * appends what must be sent, also when a call fails (the alert). One thread at a time. Two engines stand behind the same
 * calls: our own (handshake.h) for what is common in TLS 1.3, and OpenSSL's SSL object with a BIO of our own for everything
 * else, and as a client. A context is shared by all connections of one (policy, certificate), and has what both need. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include "base/buffer.h"
#include "tls/client_hello.h"
#include "tls/policy.h"
#include "tls/traffic_keys.h"

struct tls_session;
struct batch;           /* batch.h */
struct aead_cache;      /* aead.h */
struct tls_context;     /* immutable after it was made; shared between threads; counted */
struct certificate;     /* certs/store.h; opaque here: handed through as EVP_PKEY and chain */

struct ssl_ctx_st;
struct evp_pkey_st;
struct x509_st;
struct stack_st_X509;

/* What a server's context is made of. The OpenSSL objects stay the caller's (the library counts references). */
struct tls_server_parts {
    const struct tls_policy_options *policy;
    struct bytes client_ca_pem;         /* the bundle's content of policy->clients.ca */
    struct x509_st *leaf;
    struct stack_st_X509 *chain;        /* without the leaf; may be NULL */
    struct evp_pkey_st *key;
    const char *const *alpn;            /* ours in order of preference, ended by NULL; {NULL}: none is negotiated */
    struct bytes staple;                /* an OCSP response for the leaf (RFC 6066 8); empty: none */
    struct bytes scts;                  /* a SignedCertificateTimestampList (RFC 6962 3.3); empty: none */
};

/* Refuses what could not work or would not protect: a policy that tls_policy_resolve refuses, names that the library
 * lacks, a chain of more than 20 KB, a CA bundle without a certificate or without a root.
 * Returns NULL and a sentence for the operator in ret_why (static, or thread-local until the next call) on failure. */
struct tls_context *tls_context_new_server(const struct tls_server_parts *parts, const char **ret_why);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/* What the handshakes of one thread share. */
struct tls_thread {
    struct batch *batch;
    struct aead_cache *aeads;
};

/* Who is told that a handshake that was -E_PENDING can go on. ready() is called within batch_run(), and may free the session. */
struct tls_waiter {
    void (*ready)(struct tls_waiter *w);
};

struct tls_session_parts {
    struct bytes binding;               /* bytes to which tickets of this connection are bound (virtual host, policy, CA set): a ticket with
                                           another binding gives a full handshake; those of TLS 1.2 are bound to the ClientHello's name, too */
    const struct tls_thread *thread;
    struct tls_waiter *waiter;          /* stays until the handshake is over */
    int64_t now;                        /* seconds since 1970 */
};

/* A server's session for this ClientHello, in the engine that the policy and the ClientHello come to: our own (handshake.h) or OpenSSL.
 * The handshake begins with the ClientHello's bytes all the same. NULL when memory is out. */
struct tls_session *tls_session_accept(struct tls_context *context, const struct client_hello *hello,
                                       const struct tls_session_parts *parts);
/* One of OpenSSL's. binding: bytes to which tickets of this connection are bound (virtual host, policy, CA set); hashed into the session
 * id context. A ticket with another binding gives a full handshake, and so does one of a session that is too old at `now` (ticket.h).
 * NULL when memory is out. */
struct tls_session *tls_session_new(struct tls_context *context, struct bytes binding, int64_t now);
void tls_session_free(struct tls_session *s);

/* Both advance *in past what was taken and append to out (reserved by the caller: at least BUFFER_LARGE / 2 room).
 *
 * The handshake takes no byte behind the client's last message: data may follow in `in` at once. A flight that out has
 * no room for waits for the next call, which may come with an empty `in`. Once failed, a session stays so.
 * Returns 0 when the handshake is complete, -E_AGAIN when more bytes are needed (send what is in out),
 * -E_PENDING when the thread's batch works for it: call again when the waiter was told (what is in out may wait), -E_TLS,
 * -E_TLS_ALERT, -E_CLIENT_CERTIFICATE (of a client: -E_SERVER_CERTIFICATE), -E_LIMIT, -E_MEMORY, -E_CRYPTO: see
 * tls_session_failure; send what is in out, then close. */
int tls_session_handshake(struct tls_session *s, struct bytes *in, struct buffer *out) MUST_USE;
/* The handshake is complete, and its facts were taken: gives the keys of both directions to the caller, who protects records
 * from here on (records.h), and frees the library's object, by far the largest part of a connection. The session then
 * knows its client's name and nothing more: neither facts nor open, seal or finish.
 * false: the session keeps the keys, and protects records itself: the policy wants that (`records: openssl`), or the suite is none of those
 * that records.h knows. */
bool tls_session_hand_over(struct tls_session *s, struct traffic_keys *ret_keys) MUST_USE;
/* The keys are gone, and there was no client's name to keep: nothing is left to ask. */
bool tls_session_is_spent(const struct tls_session *s);
/* enum tls_records_choice, of the policy. */
int tls_session_records(const struct tls_session *s);

/* The rest is for a session whose keys were not handed over.
 *
 * Opens records into plain (room bytes), one after the other, until `in` or the room is used up. Call again until it
 * does not return plaintext: what did not fit is kept, and the end or an error comes after the data before it. An
 * incomplete record is taken from `in` and kept.
 * Returns the bytes of plaintext (> 0), 0 after the peer's close_notify (each time),
 * -E_AGAIN, -E_TLS_ALERT (a fatal alert), -E_TLS (a record that cannot be opened, a renegotiation; the alert is in
 * out), -E_TRUNCATED never (the caller sees the socket's end). May append to out (KeyUpdate's answer, alerts). */
int tls_session_open(struct tls_session *s, struct bytes *in, uint8_t *plain, size_t room, struct buffer *out) MUST_USE;
/* Whether tls_session_open has something to say without further bytes: plaintext, or the end. */
bool tls_session_has_more(const struct tls_session *s);
/* Bytes of content in a full record: TLS_RECORD_PLAIN, or what max_fragment_length (RFC 6066 4) says. */
size_t tls_session_piece(const struct tls_session *s);
/* Seals all of plain (up to TLS_SEAL_MOST bytes a call; none: nothing is written) as records of tls_session_piece() bytes
 * into out, which must have tls_sealed_size(plain.size, piece) bytes of room. A KeyUpdate that is due goes before them. Not
 * after tls_session_finish. Returns 0 or -E_CRYPTO. */
int tls_session_seal(struct tls_session *s, struct bytes plain, struct buffer *out) MUST_USE;
enum { TLS_RECORD_PLAIN = 16384, TLS_RECORD_OVERHEAD = 256, TLS_SEAL_MOST = 1 << 20 };
static inline size_t tls_sealed_size(size_t plain_bytes, size_t piece)
{
    return plain_bytes + (plain_bytes + piece - 1) / piece * TLS_RECORD_OVERHEAD;
}
/* Appends close_notify once; needs TLS_RECORD_OVERHEAD bytes of room. Nothing to say before the handshake is complete
 * or after a failure. The other direction stays open (RFC 8446 6.1). Keeps the session resumable. */
void tls_session_finish(struct tls_session *s, struct buffer *out);

/* Facts for the log and for forwarding; valid from the end of the handshake on; texts are static or the session's. */
struct tls_facts {
    uint16_t version;           /* 0x0303, 0x0304 */
    const char *version_name;   /* "TLSv1.3" */
    const char *suite;          /* IANA's name, "TLS_AES_128_GCM_SHA256" */
    const char *group;          /* "X25519", "P-256", "X25519MLKEM768"; "" where there was none (RSA key exchange) */
    bool resumed;
    struct bytes alpn;          /* negotiated, or empty */
    bool has_client_certificate;
    bool client_verified;       /* and it was found good */
    bool is_native;             /* our own engine made the handshake */
    const char *engine;         /* "native" or "openssl": which made the handshake */
    const char *cipher;         /* the suite in the library's words, "ECDHE-RSA-AES128-GCM-SHA256": what PROXY headers tell */
};
void tls_session_facts(const struct tls_session *s, struct tls_facts *ret_facts);
/* The common name of the client's certificate, in UTF-8, written to name. Empty: no certificate, or none in it, or one that does not
 * fit or has a zero byte in it, which would be read as another. */
struct bytes tls_session_client_name(const struct tls_session *s, char name[256]);

/* Why a call failed, for one line in the log. */
struct tls_failure {
    uint8_t alert;              /* sent or received */
    bool alert_received, alert_sent;
    char reason[480];           /* the library's words, "no shared cipher"; with the certificate's error where it was that */
};
void tls_session_failure(const struct tls_session *s, struct tls_failure *ret_failure);

/* "OpenSSL 3.5.6 1 Apr 2026"; and whether X25519MLKEM768 can be had. */
const char *tls_library_version(void);
bool tls_library_has_group(const char *name);

#endif
