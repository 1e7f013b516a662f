/* session_handshake.c: a session's TLS handshake: which host, which certificate, which engine. */
#include <stdio.h>

#include "base/log.h"
#include "proxy/proxied.h"

static void log_failed(struct session *s, int error)
{
    const struct tls_session *tls = connection_tls(s->connection);
    struct bytes sni = session_sni(s);
    struct tls_failure failure = { .alert_sent = connection_alert(s->connection) >= 0 };
    char alert[64] = "", client[SESSION_CLIENT_TEXT];

    count_add(&s->home->counts->handshakes_failed, 1);
    if (tls)
        tls_session_failure(tls, &failure);
    else if (failure.alert_sent)
        failure.alert = (uint8_t)connection_alert(s->connection);
    if (failure.alert_sent || failure.alert_received)
        snprintf(alert, sizeof alert, ", alert %s %s (%u)", failure.alert_sent ? "sent" : "received",
                 alert_name(failure.alert), failure.alert);
    log_info("TLS handshake failed: client %s, listener %.*s, sni %s: %s%s%s%s", session_print_client(s, client),
             BYTES_PRINT(s->listener->name), sni.size ? (const char *)sni.at : "-", error_text(error),
             failure.reason[0] ? ": " : "", failure.reason, alert);
}

static void fail(struct session *s, int error)
{
    bool gone = error == 0 || error == -E_TRUNCATED || error == -E_RESET;

    if (!gone || connection_tls(s->connection)) /* it had sent a ClientHello at least */
        log_failed(s, error ? error : -E_CLOSED);
    if (gone)
        session_close(s, false);
    else
        session_finish(s, true); /* the alert is to arrive */
}

/* The backend speaks TLS with this client: what came goes there untouched. */
static void pass_on(struct session *s)
{
    if (session_use_connection(s, connection_back_to_plain(s->connection)))
        session_next(s);
}

static void on_event(struct session *s)
{
    struct connection *c = s->connection;
    int n = connection_is_flushed(c) ? 0 : connection_flush(c);

    if (n == 0 || n == -E_AGAIN)
        n = connection_receive(c);
    if (n == -E_PASSED_ON) {
        pass_on(s);
        return;
    }
    if (s->starved) {
        session_close(s, true);
        return;
    }
    if (s->secure) /* what came with the handshake's end, or went wrong behind it, meets the next stage */
        session_next(s);
    else if (n == -E_AGAIN)
        connection_settle(c);
    else
        fail(s, n);
}

static void start(struct session *s)
{
    struct connection *c = s->connection;

    session_limit(s, s->listener->options->timeouts.handshake_ns);
    if (!connection_is_tls(c) && !session_use_connection(s, connection_start_tls_server(c, &session_tls_hooks)))
        return;
    if (connection_has_more(s->connection))
        on_event(s);
}

static void on_timer(struct session *s)
{
    log_failed(s, -E_TIMEOUT_HANDSHAKE);
    session_close(s, true);
}

const struct session_stage session_handshake = { .start = start, .on_event = on_event, .on_timer = on_timer };

static bool has_common_version(const struct tls_policy_options *policy, const struct client_hello *hello)
{
    return (tls_policy_speaks(policy, 0x0304) && client_hello_offers_version(hello, 0x0304)) ||
           (tls_policy_speaks(policy, 0x0303) && client_hello_offers_version(hello, 0x0303));
}

static struct tls_context *choose(struct connection *c, const struct client_hello *hello, struct bytes *ret_binding,
                                  uint8_t *ret_alert, int *ret_error)
{
    struct session *s = c->owner;
    const struct snapshot_listener *listener = s->listener;
    struct certificate *certificate;
    const struct snapshot_service *service;
    bool matched = false;

    if (hello->has_server_name && session_set_sni(s, &hello->server_name)) {
        *ret_alert = ALERT_INTERNAL_ERROR;
        *ret_error = -E_MEMORY;
        return NULL;
    }
    s->host = site_host(listener, hello->has_server_name ? &hello->server_name : NULL);
    service = service_for_hello(listener, s->host, hello);
    if (service->protocol == SERVICE_PASSTHROUGH && service->to) {
        s->service = service;
        *ret_error = -E_PASSED_ON;
        return NULL;
    }
    if (service->protocol != SERVICE_HTTP && !service->to) { /* the listener itself serves no one */
        *ret_alert = ALERT_UNRECOGNIZED_NAME;
        *ret_error = -E_UNKNOWN_HOST;
        return NULL;
    }
    if (s->must_negotiate && !host_speaks(s->host, hello)) {
        *ret_alert = ALERT_NO_APPLICATION_PROTOCOL;
        *ret_error = -E_NO_PROTOCOL;
        return NULL;
    }
    certificate = cert_choose(listener->cert_index, hello, (time_t)loop_wall_seconds(c->net->loop), &matched);
    if (!matched && s->host->policy->options->strict_sni) {
        *ret_alert = ALERT_UNRECOGNIZED_NAME;
        *ret_error = -E_UNRECOGNIZED_NAME;
        return NULL;
    }
    if (!certificate) {
        *ret_alert =
            has_common_version(s->host->policy->options, hello) ? ALERT_HANDSHAKE_FAILURE : ALERT_PROTOCOL_VERSION;
        *ret_error = -E_NO_CERTIFICATE;
        return NULL;
    }
    *ret_binding = bytes_of(s->host->binding, sizeof s->host->binding);
    return snapshot_context(s->host, listener, certificate);
}

static void established(struct connection *c)
{
    struct session *s = c->owner;

    uint64_t took_us = (loop_now(c->net->loop) - s->accepted_ns) / 1000;
    struct tls_facts facts;

    tls_session_facts(connection_tls(c), &facts);
    s->facts = site_facts(s->site, &facts);
    s->secure = s->facts != NULL;
    s->starved = !s->secure;
    s->handshake_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX;
    s->service = service_for_alpn(s->listener, s->host, facts.alpn);
    count_add(&s->home->counts->handshakes, 1);
    if (facts.resumed)
        count_add(&s->home->counts->handshakes_resumed, 1);
    if (facts.is_native)
        count_add(&s->home->counts->handshakes_native, 1);
}

const struct tls_server_hooks session_tls_hooks = { choose, established };
