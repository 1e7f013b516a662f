/* hand_over.c: takes the traffic keys out of OpenSSL, through its public interface alone.
 *
 * TLS 1.3: the key log callback gives both traffic secrets. Our flight has left OpenSSL when SERVER_TRAFFIC_SECRET_0 is
 * logged: the records that come behind that (session tickets) are under the application keys, and are counted as
 * they pass the BIO; by their outer types they could not be told from the handshake's. The client's Finished was the last
 * record under its handshake key, so reading begins with record 0.
 * TLS 1.2: the session has the master secret. Our Finished was record 0; the client's began there, and may have been cut into several
 * (RFC 5246 6.2.1): they are counted, too, as the library takes them. The explicit nonce of AES-GCM goes on from the one that
 * our Finished carried: OpenSSL begins it at random. */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/check.h"
#include "tls/handshake.h"
#include "tls/openssl.h"
#include "tls/record.h"

/* ---- What passes while the handshake runs ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Returns how many bytes the digits are, 0 when they are none or too many. */
static size_t read_hex(const char *text, uint8_t *out, size_t most)
{
    size_t n = 0;

    for (; text[0] && text[1]; text += 2, n++) {
        int high = hex_digit(text[0]), low = hex_digit(text[1]);
        if (n == most || high < 0 || low < 0)
            return 0;
        out[n] = (uint8_t)(high << 4 | low);
    }
    return n;
}

/* "LABEL random secret" (the NSS key log format). */
void hand_over_note_secret(const SSL *ssl, const char *line)
{
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct hand_over *h = session_of(ssl)->hand_over;
    const char *secret = strrchr(line, ' ');

    if (!h || !secret)
        return;
    if (strncmp(line, client, sizeof client - 1) == 0) {
        h->secret_bytes = read_hex(secret + 1, h->client_secret, sizeof h->client_secret);
    } else if (strncmp(line, server, sizeof server - 1) == 0) {
        if (read_hex(secret + 1, h->server_secret, sizeof h->server_secret) != 0)
            h->sent.records = 0;
    }
}

/* A record has passed whole. is_1_3: ChangeCipherSpec changes nothing there. */
static void count_record(struct record_trail *t, bool is_1_3)
{
    t->records = t->head[0] == CONTENT_CHANGE_CIPHER_SPEC && !is_1_3 ? 0 : t->records + 1;
    t->nonce = 0;
    for (size_t i = RECORD_HEADER; i < sizeof t->head; i++)
        t->nonce = t->nonce << 8 | t->head[i];
    t->head_bytes = 0;
}

/* Follows the records, wherever the pieces are cut. */
static void follow(struct record_trail *t, struct bytes passing, bool is_1_3)
{
    while (passing.size) {
        size_t n = 1;

        if (t->head_bytes < sizeof t->head && (t->head_bytes < RECORD_HEADER || t->left)) {
            t->head[t->head_bytes++] = passing.at[0];
            if (t->head_bytes == RECORD_HEADER)
                t->left = (size_t)t->head[3] << 8 | t->head[4];
            else if (t->head_bytes > RECORD_HEADER)
                t->left--;
        } else {
            n = passing.size < t->left ? passing.size : t->left;
            t->left -= n;
        }
        passing = bytes_from(passing, n);
        if (t->head_bytes >= RECORD_HEADER && t->left == 0)
            count_record(t, is_1_3);
    }
}

void hand_over_note_sent(struct hand_over *h, struct bytes sent)
{
    follow(&h->sent, sent, h->secret_bytes != 0);
}

void hand_over_note_taken(struct hand_over *h, struct bytes taken)
{
    follow(&h->taken, taken, h->secret_bytes != 0);
}

struct hand_over *hand_over_new(void)
{
    return calloc(1, sizeof(struct hand_over));
}

void hand_over_free(struct hand_over *h)
{
    if (h)
        explicit_bzero(h, sizeof *h);
    free(h);
}

/* ---- The keys ---- */

static enum aead aead_of(const SSL_CIPHER *cipher)
{
    switch (SSL_CIPHER_get_cipher_nid(cipher)) {
    case NID_aes_128_gcm:
        return AEAD_AES_128_GCM;
    case NID_aes_256_gcm:
        return AEAD_AES_256_GCM;
    case NID_chacha20_poly1305:
        return AEAD_CHACHA20_POLY1305;
    default:
        return AEAD_NONE;
    }
}

uint16_t session_plain_most(const SSL_SESSION *session)
{
    unsigned code = session ? SSL_SESSION_get_max_fragment_length(session) : 0;

    return (uint16_t)(code >= 1 && code <= 4 ? 256u << code : RECORD_PLAIN_MOST);
}

static bool take_1_3(const struct tls_session *s, struct traffic_keys *keys)
{
    const struct hand_over *h = s->hand_over;
    struct traffic_key *client = s->is_client ? &keys->write : &keys->read;
    struct traffic_key *server = s->is_client ? &keys->read : &keys->write;

    if (s->is_client || h->secret_bytes != keys->secret_bytes)
        return false;
    memcpy(client->secret, h->client_secret, keys->secret_bytes);
    memcpy(server->secret, h->server_secret, keys->secret_bytes);
    keys->write.sequence = h->sent.records;
    return traffic_keys_expand(keys) == 0;
}

static bool take_1_2(const struct tls_session *s, struct traffic_keys *keys)
{
    uint8_t master[48], client_random[32], server_random[32];
    const SSL_SESSION *session = SSL_get_session(s->ssl);
    bool ok =
        session && SSL_SESSION_get_master_key(session, master, sizeof master) == sizeof master &&
        SSL_get_client_random(s->ssl, client_random, sizeof client_random) == sizeof client_random &&
        SSL_get_server_random(s->ssl, server_random, sizeof server_random) == sizeof server_random &&
        s->hand_over->sent.records == 1 && s->hand_over->taken.records > 0 &&
        traffic_keys_expand_master(keys, bytes_of(master, sizeof master), bytes_of(client_random, sizeof client_random),
                                   bytes_of(server_random, sizeof server_random), s->is_client) == 0;

    explicit_bzero(master, sizeof master);
    keys->read.sequence = s->hand_over->taken.records;
    keys->write.sequence = 1;
    keys->write.explicit_nonce = s->hand_over->sent.nonce + 1;
    return ok;
}

static bool take_keys(const struct tls_session *s, const SSL_CIPHER *cipher, const EVP_MD *hash,
                      struct traffic_keys *keys)
{
    keys->version = (uint16_t)SSL_version(s->ssl);
    keys->aead = (uint8_t)aead_of(cipher);
    keys->secret_bytes = (uint8_t)EVP_MD_get_size(hash);
    keys->plain_most = s->piece;
    if (keys->aead == AEAD_NONE)
        return false;
    return keys->version == TLS1_3_VERSION ? take_1_3(s, keys) : take_1_2(s, keys);
}

bool tls_session_hand_over(struct tls_session *s, struct traffic_keys *ret_keys)
{
    const SSL_CIPHER *cipher = s->ssl ? SSL_get_current_cipher(s->ssl) : NULL;
    const EVP_MD *hash = cipher ? SSL_CIPHER_get_handshake_digest(cipher) : NULL;
    struct traffic_keys keys = { 0 };
    bool ok;

    CHECK(s->complete && !s->ended);
    if (s->native) {
        handshake_keys(s->native, ret_keys);
        handshake_free(s->native);
        s->native = NULL;
        return true;
    }
    if (!s->hand_over)
        return false;
    ok = hash && !SSL_has_pending(s->ssl) && take_keys(s, cipher, hash, &keys) && session_drop_engine(s);
    hand_over_free(s->hand_over);
    s->hand_over = NULL;
    if (ok)
        *ret_keys = keys;
    else /* it stays: what its buffers hold is given back between two records */
        SSL_set_mode(s->ssl, SSL_MODE_RELEASE_BUFFERS);
    traffic_keys_wipe(&keys);
    return ok;
}
