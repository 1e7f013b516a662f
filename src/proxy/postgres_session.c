/* postgres_session.c: a session's stages where PostgreSQL is served: what is said in clear text before TLS, and the first
 * message inside, which tells whether a connection or a cancellation begins (http/postgres.h).
 *
 *     clear: GSSENCRequest 'N', SSLRequest 'S' --> TLS --> inside: StartupMessage --> reach a server --> relay
 *        '--(CancelRequest)------------------------.          '--(CancelRequest)--> postgres_cancel.c
 *         --(StartupMessage: refused, or allowed)--'                                                         */
#include <stdlib.h>

#include "base/log.h"
#include "http/postgres.h"
#include "proxy/access.h"
#include "proxy/postgres.h"
#include "proxy/proxied.h"
#include "proxy/relay.h"

static void say(struct session *s, struct bytes words)
{
    if (connection_room(s->connection) < words.size || connection_send(s->connection, words) < 0)
        session_close(s, true);
    else
        session_finish(s, true);
}

/* An ErrorResponse, then the end. */
static void say_error(struct session *s, const char *code, const char *text)
{
    uint8_t out[POSTGRES_ERROR_MOST];

    say(s, bytes_of(out, postgres_write_error(code, text, out)));
}

/* Receives all that is there. Returns connection_receive()'s last word: 0, -E_AGAIN or an error. */
static int receive(struct connection *c)
{
    int n = connection_is_flushed(c) ? 0 : connection_flush(c);

    if (n && n != -E_AGAIN)
        return n;
    do
        n = connection_receive(c);
    while (n > 0);
    return n;
}

/* ---- Clear text, before TLS ---- */

struct opening {
    bool gssenc_asked;
};

static void refuse(struct session *s, int error)
{
    char client[SESSION_CLIENT_TEXT];

    if (error == -E_PIPELINED)
        log_warning("PostgreSQL connection refused, somebody may be injecting messages: client %s, listener %.*s: %s",
                    session_print_client(s, client), BYTES_PRINT(s->listener->name), error_text(error));
    else
        log_info("PostgreSQL connection refused: client %s, listener %.*s: %s", session_print_client(s, client),
                 BYTES_PRINT(s->listener->name), error_text(error));
    session_close(s, false);
}

static void begin_tls(struct session *s, bool direct)
{
    s->awaits_starttls = false;
    s->must_negotiate = direct;
    session_next(s);
}

/* What goes on without TLS is the listener's own: no name was asked for. */
static void go_on_in_clear(struct session *s)
{
    s->awaits_starttls = false;
    s->service = &s->listener->fallback.service;
    session_next(s);
}

/* Answers a request of size bytes with one byte. Returns whether the session goes on. */
static bool answer(struct session *s, size_t size, const char *byte)
{
    struct connection *c = s->connection;
    int error;

    if (buffer_used(&c->in) > size) { /* nobody speaks on before our answer, but one who injects */
        refuse(s, -E_PIPELINED);
        return false;
    }
    buffer_consume(&c->in, size);
    error = connection_send(c, bytes_of(byte, 1)) == 1 ? connection_flush(c) : -E_RESET;
    if (error && error != -E_AGAIN) {
        session_close(s, true);
        return false;
    }
    return true;
}

static void startup_in_clear(struct session *s)
{
    char client[SESSION_CLIENT_TEXT];

    if (!s->listener->options->require_tls && s->listener->fallback.service.to) {
        go_on_in_clear(s);
        return;
    }
    log_info("PostgreSQL connection without TLS refused: client %s, listener %.*s", session_print_client(s, client),
             BYTES_PRINT(s->listener->name));
    say_error(s, "28000", "TLS is required here: connect with sslmode=require or better");
}

static void clear_on_event(struct session *s)
{
    struct opening *o = s->state;
    struct connection *c = s->connection;
    int n = receive(c);
    size_t size = 0;
    int kind = postgres_read_opening(buffer_content(&c->in), &size);

    if (kind == POSTGRES_GSSENC_REQUEST && !o->gssenc_asked) {
        o->gssenc_asked = true;
        if (!answer(s, size, "N"))
            return;
        kind = -E_AGAIN;
    }
    switch (kind) {
    case -E_AGAIN:
        if (n == -E_AGAIN)
            connection_settle(c);
        else
            session_close(s, false);
        break;
    case POSTGRES_SSL_REQUEST:
        if (answer(s, size, "S"))
            begin_tls(s, false);
        break;
    case POSTGRES_DIRECT_TLS:
        begin_tls(s, true);
        break;
    case POSTGRES_CANCEL_REQUEST:
        go_on_in_clear(s);
        break;
    case POSTGRES_STARTUP:
        startup_in_clear(s);
        break;
    default:
        refuse(s, -E_SYNTAX);
    }
}

static void clear_start(struct session *s)
{
    s->state = calloc(1, sizeof(struct opening));
    if (!s->state) {
        session_close(s, true);
        return;
    }
    session_limit(s, s->listener->options->timeouts.handshake_ns);
    clear_on_event(s);
}

static void clear_on_timer(struct session *s)
{
    refuse(s, -E_TIMEOUT_HANDSHAKE);
}

/* Who has not begun is told that this is not the time. */
static void drain(struct session *s)
{
    say_error(s, "57P03", "the proxy is shutting down");
}

static void clear_leave(struct session *s)
{
    free(s->state);
}

const struct session_stage session_postgres_clear = {
    .start = clear_start, .on_event = clear_on_event, .on_timer = clear_on_timer, .drain = drain, .leave = clear_leave
};

/* ---- The first message, inside TLS or where clear text is allowed ---- */

struct first {
    struct session *session;
    struct reach server;
    bool is_reaching;
};

static void log_first(struct first *f, int error)
{
    const struct reach *r = &f->server;
    const struct relay_record record = {
        .upstream = f->session->service->to,
        .server_number = r->attempts ? r->server_number : -1,
        .attempts = r->attempts,
        .connect_began_ns = r->began_ns,
        .connected_ns = r->connected_ns,
        .error = error,
    };

    access_log_relay(f->session, &record);
}

/* The client's words were not to be understood, or did not come. */
static void fail_first(struct first *f, int error, const char *code, const char *text)
{
    log_first(f, error);
    say_error(f->session, code, text);
}

/* No server: clients that know several try the next one on this code. */
static void fail_reach(struct first *f, int error)
{
    reach_end(&f->server, true);
    fail_first(f, error, "57P03", "no server is available, try again later");
}

static void run_reach(struct first *f)
{
    unsigned attempts = f->server.attempts;
    int error = reach_advance(&f->server);

    if (error == 0)
        relay_join(f->session, &f->server);
    else if (error != -E_AGAIN)
        fail_reach(f, error);
    else if (f->server.attempts != attempts)
        session_limit(f->session, reach_limit_ns(&f->server));
}

static void on_server_event(struct connection *c)
{
    run_reach(c->owner);
}

static void begin_reach(struct first *f)
{
    struct session *s = f->session;
    int error = reach_start(&f->server, s, s->service->to, f, on_server_event);

    if (error) {
        fail_reach(f, error);
        return;
    }
    f->is_reaching = true;
    session_limit(s, reach_limit_ns(&f->server));
}

static void read_first(struct first *f)
{
    struct session *s = f->session;
    struct connection *c = s->connection;
    int n = receive(c);
    size_t size = 0;
    int kind = postgres_read_opening(buffer_content(&c->in), &size);

    switch (kind) {
    case -E_AGAIN:
        if (n == -E_AGAIN) {
            connection_settle(c);
        } else {
            log_first(f, n ? n : buffer_used(&c->in) ? -E_TRUNCATED : 0);
            session_close(s, n != 0);
        }
        break;
    case POSTGRES_STARTUP:
        begin_reach(f);
        break;
    case POSTGRES_CANCEL_REQUEST:
        if (buffer_used(&c->in) > size)
            fail_first(f, -E_SYNTAX, "08P01", "bytes behind a CancelRequest");
        else
            session_enter(s, &session_postgres_cancel, NULL);
        break;
    default:
        fail_first(f, -E_SYNTAX, "08P01", "no StartupMessage");
    }
}

static void first_on_event(struct session *s)
{
    struct first *f = s->state;

    if (!f->is_reaching) {
        read_first(f);
    } else if (s->connection->hung_up) {
        log_first(f, -E_RESET);
        session_close(s, true);
    } else {
        run_reach(f);
    }
}

static void first_start(struct session *s)
{
    struct first *f = calloc(1, sizeof *f);

    s->state = f;
    if (!f) {
        session_close(s, true);
        return;
    }
    f->session = s;
    session_limit(s, s->listener->options->timeouts.request_head_ns);
    read_first(f);
}

static void first_on_timer(struct session *s)
{
    struct first *f = s->state;
    int error;

    if (!f->is_reaching) {
        fail_first(f, -E_TIMEOUT_HEAD, "08P01", "no StartupMessage in time");
        return;
    }
    error = reach_late(&f->server);
    if (error == -E_AGAIN)
        session_limit(s, reach_limit_ns(&f->server));
    else
        fail_reach(f, error);
}

static void first_drain(struct session *s)
{
    struct first *f = s->state;

    if (!f->is_reaching)
        fail_first(f, -E_STOPPING, "57P03", "the proxy is shutting down");
}

static void first_leave(struct session *s)
{
    struct first *f = s->state;

    if (f)
        reach_end(&f->server, true);
    free(f);
}

const struct session_stage session_postgres_first = { .start = first_start,
                                                      .on_event = first_on_event,
                                                      .on_timer = first_on_timer,
                                                      .drain = first_drain,
                                                      .leave = first_leave };
