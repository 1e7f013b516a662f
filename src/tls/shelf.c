/* shelf.c: the sessions that a thread may resume with one server. */
#include <stdlib.h>

#include "tls/openssl.h"

enum { TICKET_MOST = 16384 }; /* bytes; a longer one is not worth its memory */

struct tls_shelf {
    unsigned references;
    size_t count;
    SSL_SESSION *sessions[TLS_SHELF_MOST]; /* the newest last */
};

struct tls_shelf *tls_shelf_new(void)
{
    struct tls_shelf *shelf = calloc(1, sizeof *shelf);

    if (shelf)
        shelf->references = 1;
    return shelf;
}

struct tls_shelf *tls_shelf_ref(struct tls_shelf *shelf)
{
    if (shelf)
        shelf->references++;
    return shelf;
}

void tls_shelf_unref(struct tls_shelf *shelf)
{
    if (!shelf || --shelf->references)
        return;
    while (shelf->count)
        SSL_SESSION_free(shelf->sessions[--shelf->count]);
    free(shelf);
}

size_t tls_shelf_count(const struct tls_shelf *shelf)
{
    return shelf->count;
}

/* A resumed handshake shows no certificate: the one that was seen must still hold. */
static bool is_still_good(const SSL_SESSION *session)
{
    X509 *peer = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);

    return SSL_SESSION_is_resumable(session) == 1 && (!peer || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0);
}

SSL_SESSION *shelf_take(struct tls_shelf *shelf)
{
    while (shelf->count) {
        SSL_SESSION *newest = shelf->sessions[shelf->count - 1];

        if (!is_still_good(newest)) {
            SSL_SESSION_free(newest);
            shelf->count--;
            continue;
        }
        if (SSL_SESSION_get_protocol_version(newest) >= TLS1_3_VERSION)
            shelf->count--; /* used once: whoever sees it twice knows that it is the same client (RFC 8446 C.4) */
        else
            SSL_SESSION_up_ref(newest);
        return newest;
    }
    return NULL;
}

bool shelf_put(struct tls_shelf *shelf, SSL_SESSION *session)
{
    const unsigned char *ticket;
    size_t ticket_bytes = 0;

    SSL_SESSION_get0_ticket(session, &ticket, &ticket_bytes);
    if (ticket_bytes > TICKET_MOST || SSL_SESSION_is_resumable(session) != 1)
        return false;
    if (shelf->count == TLS_SHELF_MOST) {
        SSL_SESSION_free(shelf->sessions[0]);
        memmove(shelf->sessions, shelf->sessions + 1, (TLS_SHELF_MOST - 1) * sizeof shelf->sessions[0]);
        shelf->count--;
    }
    shelf->sessions[shelf->count++] = session;
    return true;
}
