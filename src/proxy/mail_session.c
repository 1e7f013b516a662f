/* mail_session.c: a session's stage behind STARTTLS: reaches the server, takes its greeting, which the client has had from
 * us, and hands over to a relay with a filter that hides the server's own offers of STARTTLS (http/mail_filter.h). What
 * the client says meanwhile stays in its connection: a server may mind who speaks before it has greeted. */
#include <stdlib.h>

#include "http/mail_filter.h"
#include "http/starttls.h"
#include "proxy/access.h"
#include "proxy/relay.h"

struct mail_start {
    struct session *session;
    struct reach server;
};

/* ---- The filter of the relay ---- */

static size_t look(void *state, bool from_client, struct buffer *in, bool ended)
{
    return from_client ? mail_filter_from_client(state, in, ended) : mail_filter_from_server(state, in, ended);
}

static bool took(void *state, bool from_client, size_t n)
{
    struct mail_filter *f = state;

    mail_flow_took(from_client ? &f->client : &f->server, n);
    return !f->is_over;
}

static const struct relay_filter hiding = { .look = look, .took = took, .free = free };

/* ---- The server's greeting ---- */

static enum mail_protocol protocol_of(const struct session *s)
{
    return service_mail(s->service->protocol);
}

static void log_failed(const struct mail_start *m, int error)
{
    const struct relay_record record = {
        .upstream = m->server.upstream,
        .server_number = m->server.server_number,
        .attempts = m->server.attempts,
        .connect_began_ns = m->server.began_ns,
        .connected_ns = m->server.connected_ns,
        .error = error,
    };

    access_log_relay(m->session, &record);
}

/* Ends the session. said: to the client; may lie in the server's buffer. */
static void end(struct mail_start *m, int error, struct bytes said)
{
    struct session *s = m->session;
    struct connection *c = s->connection;
    bool is_said = said.size <= connection_room(c) && connection_send(c, said) >= 0;

    log_failed(m, error);
    reach_end(&m->server, true);
    if (is_said)
        session_finish(s, true);
    else
        session_close(s, true);
}

/* No server serves: the client hears it as an answer of the server that it takes us for. */
static void fail(struct mail_start *m, int error)
{
    struct session *s = m->session;
    struct starttls mouth;
    struct starttls_answer farewell;

    starttls_start(&mouth, protocol_of(s), s->listener->greeting_name);
    starttls_farewell(&mouth, "Service not available, try again later", &farewell);
    end(m, error, bytes_of(farewell.text, farewell.size));
}

static void join(struct mail_start *m)
{
    struct session *s = m->session;
    struct mail_filter *filter = malloc(sizeof *filter);

    if (!filter) {
        fail(m, -E_MEMORY);
        return;
    }
    mail_filter_start(filter, protocol_of(s));
    relay_join_filtered(s, &m->server, &hiding, filter);
}

/* Why the server can be heard no more. */
static int end_of(struct mail_start *m, int n)
{
    return n == 0 ? -E_SERVER_CLOSED : dial_error(&m->server.dial, n);
}

static void read_greeting(struct mail_start *m)
{
    struct connection *c = m->server.dial.connection;
    struct bytes refusal = BYTES_NONE;
    int n, result;

    n = connection_is_flushed(c) ? 0 : connection_flush(c); /* what is said before all else: a PROXY header */
    if (n && n != -E_AGAIN) {
        fail(m, end_of(m, n));
        return;
    }
    do
        n = connection_receive(c);
    while (n > 0);
    result = starttls_read_greeting(protocol_of(m->session), buffer_content(&c->in), &refusal);
    if (result > 0) {
        buffer_consume(&c->in, (size_t)result);
        join(m);
    } else if (result == -E_REFUSED) {
        end(m, result, refusal);
    } else if (result != -E_AGAIN) {
        fail(m, result);
    } else if (n != -E_AGAIN) {
        fail(m, end_of(m, n));
    }
}

/* ---- The stage ---- */

static void limit(struct mail_start *m)
{
    session_limit(m->session, m->server.stands ? m->server.upstream->options->timeouts.response_head_ns
                                               : reach_limit_ns(&m->server));
}

static void run(struct mail_start *m)
{
    unsigned attempts = m->server.attempts;
    bool stood = m->server.stands;
    int error = reach_advance(&m->server);

    if (error == -E_AGAIN) {
        if (m->server.attempts != attempts)
            limit(m);
        return;
    }
    if (error) {
        fail(m, error);
        return;
    }
    if (!stood) {
        dial_open_now(&m->server.dial);
        limit(m);
    }
    read_greeting(m);
}

static void on_server_event(struct connection *c)
{
    run(c->owner);
}

static void on_event(struct session *s)
{
    struct mail_start *m = s->state;

    if (s->connection->hung_up) { /* nobody waits for it any more */
        log_failed(m, -E_RESET);
        session_close(s, true);
        return;
    }
    if (!connection_is_flushed(s->connection))
        (void)!connection_flush(s->connection);
    run(m);
}

static void start(struct session *s)
{
    struct mail_start *m = calloc(1, sizeof *m);
    int error;

    s->state = m;
    if (!m) {
        session_close(s, true);
        return;
    }
    m->session = s;
    error = reach_start(&m->server, s, s->service->to, m, on_server_event);
    if (error)
        fail(m, error);
    else
        limit(m);
}

static void on_timer(struct session *s)
{
    struct mail_start *m = s->state;
    int error = m->server.stands ? -E_TIMEOUT_RESPONSE : reach_late(&m->server);

    if (error == -E_AGAIN)
        limit(m);
    else
        fail(m, error);
}

static void leave(struct session *s)
{
    struct mail_start *m = s->state;

    if (m)
        reach_end(&m->server, true);
    free(m);
}

const struct session_stage session_mail = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .leave = leave
};
