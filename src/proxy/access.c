#include "proxy/access.h"

#include <time.h>

#include "http/grpc.h"

static struct bytes field_value(const struct message *m, enum field_id id)
{
    const struct bytes *value = message_field(m, id);
    return value ? *value : BYTES_NONE;
}

/* Microseconds between two times; -1 where one of them did not happen. */
static int64_t between_us(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns && to_ns >= from_ns ? (int64_t)((to_ns - from_ns) / 1000) : -1;
}

static void fill_tls(const struct session *s, struct access_record *r)
{
    r->sni = session_sni(s);
    if (!s->secure)
        return;
    r->tls_version = s->facts->version_name;
    r->tls_suite = s->facts->suite;
    r->tls_group = s->facts->group;
    r->tls_engine = s->facts->engine;
    r->tls_resumed = s->facts->resumed;
    r->alpn = s->facts->alpn;
}

static void fill_server(const struct snapshot_upstream *upstream, int server_number, struct access_record *r)
{
    if (!upstream)
        return;
    r->upstream = upstream->name;
    if (server_number >= 0)
        r->server = upstream->server_names[server_number];
}

/* When the connection was accepted. */
static int64_t accepted_unix_us(const struct session *s, uint64_t now_ns)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - (int64_t)((now_ns - s->accepted_ns) / 1000);
}

void access_log_relay(struct session *s, const struct relay_record *relay)
{
    uint64_t now = loop_now(s->home->net->loop);
    struct access_record r;
    struct address peer;

    if (!s->home->access_log || !access_log_is_on(s->home->access_log))
        return;
    address_box_get(&s->peer, &peer);
    r = (struct access_record){
        .started_unix_us = accepted_unix_us(s, now),
        .client = &peer,
        .listener = s->listener->name,
        .request_id = relay->id,
        .protocol = service_name(s->service->protocol),
        .error = relay->error ? error_token(relay->error) : NULL,
        .request_body_bytes = relay->up_bytes,
        .response_body_bytes = relay->down_bytes,
        .grpc_status = -1,
        .attempts = relay->attempts,
        .handshake_us = s->secure ? (int64_t)s->handshake_us : -1,
        .head_us = -1,
        .connect_us = between_us(relay->connect_began_ns, relay->connected_ns),
        .response_head_us = -1,
        .total_us = between_us(s->accepted_ns, now),
    };
    fill_tls(s, &r);
    fill_server(relay->upstream, relay->server_number, &r);
    access_log_write(s->home->access_log, s->home->thread, &r);
}

void access_note_call(struct exchange *x, const struct fields *fields)
{
    int status;

    if (!x->is_call)
        return;
    status = grpc_status_told(fields);
    if (status >= 0)
        x->grpc_status = (int16_t)status;
}

void access_log_exchange(struct exchange *x)
{
    struct session *s = x->session;
    const struct message *m = &x->request;
    uint64_t now = loop_now(s->home->net->loop);
    struct access_record r;
    struct address peer;

    count_add(&s->home->counts->requests, 1);
    if (!s->home->access_log || !access_log_is_on(s->home->access_log))
        return;
    address_box_get(&s->peer, &peer);
    r = (struct access_record){
        .started_unix_us = x->started_unix_us,
        .client = &peer,
        .listener = s->listener->name,
        .request_id = x->request_id,
        .method = x->asked_method,
        .authority = x->asked_authority,
        .path = x->asked_path,
        .referer = field_value(m, FIELD_REFERER),
        .user_agent = field_value(m, FIELD_USER_AGENT),
        .http_version = (int)x->client_version,
        .status = x->status,
        .grpc_status = x->grpc_status,
        .error = x->error ? error_token(x->error) : NULL,
        .request_body_bytes = x->request_bytes,
        .response_body_bytes = x->response_bytes,
        .attempts = x->attempts,
        .handshake_us = s->secure && !s->handshake_logged ? (int64_t)s->handshake_us : -1,
        .head_us = between_us(x->began_ns, x->head_ns),
        .connect_us = x->server_was_fresh ? between_us(x->connect_began_ns, x->connected_ns) : -1,
        .response_head_us = between_us(x->head_ns, x->response_head_ns),
        .total_us = between_us(x->began_ns, now),
    };
    s->handshake_logged = true;
    fill_tls(s, &r);
    fill_server(x->upstream, x->server_number, &r);
    r.server_reused = x->upstream && x->attempts && !x->server_was_fresh;
    access_log_write(s->home->access_log, s->home->thread, &r);
}
