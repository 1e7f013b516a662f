/* starttls_session.c: a session's first stage where mail is served: the few lines of clear text before TLS, which we speak
 * ourselves (http/starttls.h). No server is asked, and no byte of it is kept. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "http/starttls.h"
#include "proxy/proxied.h"
#include "proxy/session.h"

static int send_answer(struct session *s, const struct starttls_answer *a)
{
    ssize_t n = connection_send(s->connection, bytes_of(a->text, a->size));

    if (n < 0)
        return (int)n;
    return (size_t)n == a->size ? 0 : -E_LIMIT; /* never: STARTTLS_COMMANDS_MOST answers have room */
}

/* Who did not even say STARTTLS is no news, unless it was made to say more than that. */
static void log_refused(const struct session *s, int error)
{
    char client[SESSION_CLIENT_TEXT];

    if (error == -E_PIPELINED)
        log_warning("STARTTLS refused, somebody may be injecting commands: client %s, listener %.*s: %s",
                    session_print_client(s, client), BYTES_PRINT(s->listener->name), error_text(error));
    else
        log_info("STARTTLS failed: client %s, listener %.*s: %s", session_print_client(s, client),
                 BYTES_PRINT(s->listener->name), error_text(error));
}

/* Nothing waits but the client's next line. */
static void wait_on(struct session *s)
{
    int error = connection_flush(s->connection);

    if (error && error != -E_AGAIN)
        session_close(s, true);
    else
        connection_settle(s->connection);
}

static void refuse(struct session *s, int error, const struct starttls_answer *a)
{
    log_refused(s, error);
    if (send_answer(s, a))
        session_close(s, true);
    else
        session_finish(s, true);
}

/* The clear text is over. What the client has sent since its STARTTLS was read is no clear text any more. */
static void begin_tls(struct session *s)
{
    struct connection *c = s->connection;
    int error = connection_flush(c);

    CHECK(buffer_used(&c->in) == 0);
    if (error && error != -E_AGAIN) {
        session_close(s, true);
        return;
    }
    s->awaits_starttls = false;
    session_next(s);
}

/* Takes lines as long as there are any. Returns whether the stage goes on. */
static bool take_lines(struct session *s)
{
    struct connection *c = s->connection;
    struct starttls_answer answer;
    size_t used = 0;

    while (buffer_used(&c->in)) {
        int step = starttls_take(s->state, buffer_content(&c->in), &used, &answer);

        if (step == -E_AGAIN)
            return true;
        if (step < 0) {
            refuse(s, step, &answer);
            return false;
        }
        buffer_consume(&c->in, used);
        if (send_answer(s, &answer)) {
            session_close(s, true);
            return false;
        }
        if (step == STARTTLS_BEGIN) {
            begin_tls(s);
            return false;
        }
        if (step == STARTTLS_END) {
            session_finish(s, true);
            return false;
        }
    }
    return true;
}

static void on_event(struct session *s)
{
    struct connection *c = s->connection;
    int n;

    do /* all that is there: what stands behind STARTTLS must be seen */
        n = connection_receive(c);
    while (n > 0);
    if (!take_lines(s))
        return;
    if (n == 0)
        session_finish(s, false);
    else if (n != -E_AGAIN)
        session_close(s, false);
    else
        wait_on(s);
}

static void start(struct session *s)
{
    struct starttls *state = malloc(sizeof *state);
    struct starttls_answer greeting;

    s->state = state;
    if (!state) {
        session_close(s, true);
        return;
    }
    session_limit(s, s->listener->options->timeouts.handshake_ns);
    starttls_start(state, service_mail(s->listener->fallback.service.protocol), s->listener->greeting_name);
    starttls_greeting(state, &greeting);
    if (send_answer(s, &greeting))
        session_close(s, true);
    else
        on_event(s);
}

static void say_farewell(struct session *s, const char *text)
{
    struct starttls_answer farewell;

    starttls_farewell(s->state, text, &farewell);
    if (send_answer(s, &farewell))
        session_close(s, true);
    else
        session_finish(s, true);
}

static void on_timer(struct session *s)
{
    log_refused(s, -E_TIMEOUT_HANDSHAKE);
    say_farewell(s, "Timeout");
}

static void drain(struct session *s)
{
    say_farewell(s, "Service shutting down");
}

static void leave(struct session *s)
{
    free(s->state);
}

const struct session_stage session_starttls = {
    .start = start, .on_event = on_event, .on_timer = on_timer, .drain = drain, .leave = leave
};
