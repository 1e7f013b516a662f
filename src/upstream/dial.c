#include "upstream/dial.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/postgres.h"
#include "net/socket.h"
#include "upstream/complaint.h"

int dial_start(struct dial *d, struct backend *b, const struct dial_plan *plan, struct bytes preface, void *owner,
               void (*on_event)(struct connection *c))
{
    const struct upstream_options *o = plan->options;
    uint8_t *copy = NULL;
    int fd;

    *d = (struct dial){ .plan = plan, .backend = b, .began_ns = loop_now(b->group->pool->net->loop) };
    fd = socket_connect(&b->address, &o->tcp, o->fast_open, &d->open_at_once);
    if (fd < 0)
        return fd;
    d->connection = connection_new(b->group->pool->net, fd);
    if (d->connection && preface.size)
        copy = malloc(preface.size);
    if (!d->connection || (preface.size && !copy)) {
        connection_close(d->connection, false);
        d->connection = NULL;
        return -E_MEMORY;
    }
    if (copy) {
        memcpy(copy, preface.at, preface.size);
        d->preface = bytes_of(copy, preface.size);
    }
    d->connection->owner = owner;
    d->connection->on_event = on_event;
    return 0;
}

/* ---- What went wrong under TLS ---- */

static void complain(struct dial *d, const char *reason)
{
    struct backend *b = d->backend;

    if (!b->complaint) {
        char address[ADDRESS_TEXT];

        b->complaint = complaint_new(b->group->pool->net->loop);
        if (!b->complaint)
            return;
        address_print(&b->address, address);
        snprintf(b->complaint->who, sizeof b->complaint->who, "TLS with the server %s of upstream \"%.64s\" failed",
                 address, b->group->name);
    }
    complaint_say(b->complaint, reason);
}

/* The session's own words, or what the connection saw. */
static void complain_of_session(struct dial *d, int error)
{
    const struct tls_session *session = connection_tls(d->connection);
    struct tls_failure failure = { 0 };
    char reason[COMPLAINT_TEXT], alert[64] = "";

    if (session)
        tls_session_failure(session, &failure);
    if (failure.alert_sent)
        snprintf(alert, sizeof alert, ", alert sent %s (%u)", alert_name(failure.alert), failure.alert);
    if (error == -E_TRUNCATED || error == -E_RESET)
        snprintf(reason, sizeof reason, "the server %s the connection in the handshake",
                 error == -E_RESET ? "reset" : "closed");
    else
        snprintf(reason, sizeof reason, "%s%s", failure.reason[0] ? failure.reason : error_text(error), alert);
    complain(d, reason);
}

static int fail_tls(struct dial *d, int error)
{
    d->state = DIAL_FAILED;
    if (error == -E_MEMORY)
        return error;
    if (error == -E_RESET && d->plan->options->fast_open && d->connection->wire_in == 0)
        return -E_CONNECT; /* we began before anybody had answered */
    complain_of_session(d, error);
    return error == -E_SERVER_CERTIFICATE ? error : -E_SERVER_TLS;
}

int dial_error(struct dial *d, int error)
{
    struct connection *c = d->connection;

    switch (error) {
    case -E_AGAIN:
    case -E_MEMORY:
        return error;
    case -E_RESET:
    case -E_CLOSED:
    case -E_TRUNCATED:
        return -E_SERVER_CLOSED;
    default:
        break;
    }
    if (!c || !connection_is_tls(c) || (error != -E_TLS && error != -E_TLS_ALERT))
        return -E_BAD_RESPONSE;
    complain_of_session(d, error);
    return c->data_in ? -E_SERVER_CLOSED : -E_SERVER_TLS;
}

/* ---- The way ---- */

static int start_tls(struct dial *d)
{
    struct backend *b = d->backend;
    struct tls_context *context = d->h1_only && d->plan->tls_h1 ? d->plan->tls_h1 : d->plan->tls;
    struct tls_session *session;

    if (!b->shelf)
        b->shelf = tls_shelf_new(); /* without memory nothing is resumed */
    session = tls_session_new_client(context, &d->plan->peer, b->shelf);
    if (!session)
        return -E_MEMORY;
    d->connection = connection_start_tls_client(d->connection, session);
    return d->connection ? 0 : -E_MEMORY;
}

static int ask(struct dial *d)
{
    struct bytes request = bytes_of(postgres_ssl_request, sizeof postgres_ssl_request);

    d->state = DIAL_ASKING;
    return connection_send(d->connection, request) == (ssize_t)request.size ? 0 : -E_CONNECT;
}

/* The server's answer is one byte. What it says behind that in clear text would be taken for a part of TLS, and what it
 * says instead is an error of its own words, which nobody vouches for. */
static int take_answer(struct dial *d)
{
    struct connection *c = d->connection;
    int n = connection_is_flushed(c) ? 0 : connection_flush(c);
    struct bytes said;

    if (n == 0 || n == -E_AGAIN)
        n = connection_receive(c);
    said = buffer_content(&c->in);
    if (said.size == 0) {
        if (n == -E_AGAIN)
            return n;
        complain(d, "the server ended the connection when it was asked for TLS");
    } else if (said.size > 1) {
        complain(d, "the server said more than one byte when it was asked for TLS");
    } else if (said.at[0] != 'S') {
        complain(d, "the server does not speak TLS");
    } else {
        buffer_consume(&c->in, 1);
        d->state = DIAL_SHAKING;
        return start_tls(d);
    }
    d->state = DIAL_FAILED;
    return -E_SERVER_TLS;
}

/* TCP stands: what comes first is said, and TLS begun. */
static int open_up(struct dial *d)
{
    int error = d->open_at_once ? 0 : socket_connected(d->connection->watch.fd);

    if (error)
        return error;
    if (d->preface.size) {
        ssize_t sent = connection_send(d->connection, d->preface);
        if (sent < 0)
            return -E_CONNECT;
        CHECK((size_t)sent == d->preface.size); /* nothing was sent before it: there is room */
        free((void *)(uintptr_t)d->preface.at);
        d->preface = BYTES_NONE;
    }
    if (!d->plan->tls) {
        d->state = DIAL_STANDS;
        return 0;
    }
    if (d->plan->options->tls && d->plan->options->tls->start == TLS_START_POSTGRES)
        return ask(d);
    d->state = DIAL_SHAKING;
    return start_tls(d);
}

int dial_advance(struct dial *d)
{
    struct connection *c = d->connection;
    int error = 0;

    if (d->state == DIAL_CONNECTING) {
        if (!c->writable && !c->readable)
            return -E_AGAIN;
        error = open_up(d);
    }
    if (!error && d->state == DIAL_ASKING)
        error = take_answer(d);
    if (!error && d->state == DIAL_SHAKING) {
        error = connection_handshake(d->connection);
        if (error == 0)
            d->state = DIAL_STANDS;
        else if (error != -E_AGAIN)
            error = fail_tls(d, error);
    }
    return error;
}

struct bytes dial_alpn(const struct dial *d)
{
    struct tls_facts facts;

    if (!connection_is_tls(d->connection))
        return BYTES_NONE;
    tls_session_facts(connection_tls(d->connection), &facts);
    return facts.alpn;
}

void dial_done(struct dial *d)
{
    /* Given up while the server owed us its part of the handshake: that is its failure, unless it had no time for it. */
    if ((d->state == DIAL_SHAKING || d->state == DIAL_ASKING) && d->connection &&
        loop_now(d->connection->net->loop) - d->began_ns >= d->plan->options->timeouts.connect_ns) {
        d->state = DIAL_FAILED;
        complain(d, "the handshake was not done within the time to connect (`timeouts: connect`)");
    }
    free((void *)(uintptr_t)d->preface.at);
    d->preface = BYTES_NONE;
}

void dial_open_now(struct dial *d)
{
    if (d->open_at_once)
        socket_open_now(d->connection->watch.fd);
    d->open_at_once = false;
}
