#include "proxy/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "proxy/exchange.h"
#include "proxy/h2_session.h"
#include "proxy/postgres.h"
#include "proxy/relay.h"

enum { SESSIONS_KEPT = 64, EXCHANGES_KEPT = 512 }; /* free ones, for the next */

void home_memory_init(struct home_memory *memory)
{
    memory->sessions = (struct slab){ .object_bytes = sizeof(struct session), .keep = SESSIONS_KEPT };
    memory->exchanges = (struct slab){ .object_bytes = sizeof(struct exchange), .keep = EXCHANGES_KEPT };
    h1_session_memory(&memory->h1_sessions);
    h2_session_memory(&memory->h2_requests);
}

void home_memory_clear(struct home_memory *memory)
{
    slab_clear(&memory->sessions);
    slab_clear(&memory->exchanges);
    slab_clear(&memory->h1_sessions);
    slab_clear(&memory->h2_requests);
}

static void on_event(struct connection *c)
{
    struct session *s = c->owner;
    s->stage->on_event(s);
}

static void on_timer(struct timer *t)
{
    struct session *s = CONTAINER_OF(t, struct session, timer);
    s->stage->on_timer(s);
}

static void leave(struct session *s)
{
    loop_timer_stop(s->home->net->loop, &s->timer);
    if (s->stage && s->stage->leave)
        s->stage->leave(s);
    s->stage = NULL;
    s->state = NULL;
}

void session_enter(struct session *s, const struct session_stage *stage, void *state)
{
    leave(s);
    s->stage = stage;
    s->state = state;
    stage->start(s);
}

static const struct session_stage *stage_after(const struct session *s)
{
    if (s->awaits_proxy_header)
        return &session_proxied;
    if (s->awaits_starttls)
        return service_is_mail(s->listener->options->protocol) ? &session_starttls : &session_postgres_clear;
    if (!s->service)
        return &session_handshake;
    if (s->service->protocol == SERVICE_POSTGRES)
        return &session_postgres_first;
    if (service_is_mail(s->service->protocol))
        return &session_mail;
    if (s->service->to)
        return &session_relay;
    return bytes_equal_text(session_alpn(s), "h2") ? &session_h2 : &session_h1;
}

void session_next(struct session *s)
{
    session_enter(s, stage_after(s), NULL);
}

void session_finish(struct session *s, bool unread)
{
    s->unread = unread;
    session_enter(s, &session_linger, NULL);
}

void session_close(struct session *s, bool reset)
{
    struct session_home *home = s->home;

    leave(s);
    list_remove(&s->link);
    home->session_count--;
    count_add(&home->counts->connections_open, UINT64_MAX);
    connection_close(s->connection, reset);
    if (s->kept)
        link_keeper_close(s->kept);
    free(s->kept);
    site_unref(s->site);
    free(s->via);
    address_box_clear(&s->peer);
    if (s->sni_bytes >= sizeof s->sni.near)
        free(s->sni.far);
    slab_put(&home->memory->sessions, s);
    home->on_closed(home);
}

void session_abort(struct session *s)
{
    session_close(s, true);
}

void session_drain(struct session *s)
{
    if (s->stage->drain)
        s->stage->drain(s);
}

void session_limit(struct session *s, uint64_t ns)
{
    struct loop *loop = s->home->net->loop;

    if (ns)
        loop_timer_set(loop, &s->timer, loop_now(loop) + ns);
    else
        loop_timer_stop(loop, &s->timer);
}

bool session_use_connection(struct session *s, struct connection *c)
{
    s->connection = c;
    if (!c) {
        session_close(s, true);
        return false;
    }
    c->owner = s;
    c->on_event = on_event;
    return true;
}

/* networks: of struct network_options. */
static bool is_listed(const struct option_list *networks, const struct address *peer)
{
    for (size_t i = 0; i < networks->count; i++)
        if (network_contains(&OPTION_ITEM(struct network_options, networks, i)->network, peer))
            return true;
    return false;
}

void session_set_peer(struct session *s, const struct address *peer, uint16_t local_port)
{
    address_box_clear(&s->peer);
    address_box_fill(&s->peer, peer);
    s->local_port = local_port;
    s->peer_trusted = is_listed(&s->listener->options->trusted_proxies, peer);
}

int session_set_sni(struct session *s, const struct hostname *name)
{
    char *text = s->sni.near;

    if (name->size >= sizeof s->sni.near)
        s->sni.far = text = malloc(name->size + 1u);
    if (!text)
        return -E_MEMORY;
    memcpy(text, name->text, name->size + 1u);
    s->sni_bytes = (uint8_t)name->size;
    return 0;
}

void session_open(struct session_home *home, struct site *site, const struct snapshot_listener *listener, int fd,
                  uint16_t local_port, const struct address *peer)
{
    const struct proxy_protocol_options *proxies = listener->options->proxy_protocol;
    bool proxied = proxies && is_listed(&proxies->from, peer);
    struct session *s = slab_get(&home->memory->sessions);
    struct connection *c;

    if (!s) {
        close(fd);
        return;
    }
    c = listener->tls && !listener->starts_in_clear && !proxied
            ? connection_new_tls_server(home->net, fd, &session_tls_hooks)
            : connection_new(home->net, fd);
    if (!c) {
        slab_put(&home->memory->sessions, s);
        return;
    }
    *s = (struct session){ .home = home,
                           .site = site_ref(site),
                           .listener = listener,
                           .host = &listener->fallback,
                           .service = listener->tls ? NULL : &listener->fallback.service,
                           .awaits_proxy_header = proxied,
                           .awaits_starttls = listener->starts_in_clear,
                           .accepted_ns = loop_now(home->net->loop) };
    session_set_peer(s, peer, local_port);
    timer_init(&s->timer, on_timer);
    list_append(&home->sessions, &s->link);
    home->session_count++;
    count_add(&home->counts->accepted, 1);
    count_add(&home->counts->connections_open, 1);
    (void)session_use_connection(s, c);
    session_next(s);
}
