/* ticket_limits.c: how long sessions of the OpenSSL engine live: as long as those of our own (ticket.h). The library bounds the life of
 * each ticket (SSL_CTX_set_timeout); but in TLS 1.3 each resumption brings a new one, and no resumption shows a certificate.
 * So each ticket takes along when its session began and when the client's certificates end, as the application's data in the
 * session: seconds since 1970, eight bytes each. A ticket without them, or behind one of both, gives a full handshake. */
#include "tls/openssl.h"
#include "tls/ticket.h"

enum { NUMBER = 8, LIMITS = 2 * NUMBER };

/* A ticket is about to be made. That of a resumed session has what came with the one before. Returns 0: memory. */
static int put_limits(SSL *ssl, void *argument)
{
    const STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    bool has_client = SSL_get0_peer_certificate(ssl) != NULL;
    int64_t end = has_client ? 0 : INT64_MAX; /* a certificate that was not verified ends at once */
    uint8_t limits[LIMITS];

    if (SSL_session_reused(ssl) == 1)
        return 1;
    if (has_client && chain)
        end = certificates_end(chain);
    bytes_put_number(limits, (uint64_t)session_of(ssl)->now, NUMBER);
    bytes_put_number(limits + NUMBER, (uint64_t)end, NUMBER);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), limits, sizeof limits);
}

static bool is_within_limits(SSL_SESSION *session, int64_t now)
{
    struct cursor limits;
    int64_t began, end;
    void *data = NULL;
    size_t bytes = 0;

    if (SSL_SESSION_get0_ticket_appdata(session, &data, &bytes) != 1 || bytes != LIMITS)
        return false;
    limits = cursor_of(bytes_of(data, bytes));
    began = (int64_t)cursor_u64(&limits);
    end = (int64_t)cursor_u64(&limits);
    return now - began < SESSION_LIFETIME && end > now;
}

static SSL_TICKET_RETURN check_limits(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_bytes,
                                      SSL_TICKET_STATUS status, void *argument)
{
    switch (status) {
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (!is_within_limits(session, session_of(ssl)->now))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
    default:
        return SSL_TICKET_RETURN_ABORT;
    }
}

bool context_limit_tickets(SSL_CTX *ctx)
{
    return SSL_CTX_set_session_ticket_cb(ctx, put_limits, check_limits, NULL) == 1;
}
