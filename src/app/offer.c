#include "app/offer.h"

#include "app/channel.h"

/* Sockets gathered for one message. */
struct batch {
    struct channel_message message;
    int fds[CHANNEL_SOCKETS_MOST];
    size_t fd_count;
};

static int batch_send(int channel, struct batch *b)
{
    int r = b->message.count ? channel_send(channel, &b->message, b->fds, b->fd_count) : 0;

    b->message.count = 0;
    b->fd_count = 0;
    return r;
}

static int send_sockets(int channel, const struct deployment *d, const struct listen_set *set, bool all)
{
    static struct batch b; /* large, and the supervisor has one thread */

    b = (struct batch){ .message = { .kind = CHANNEL_SOCKETS, .generation = d->generation } };
    for (size_t i = 0; i < set->count; i++) {
        const struct listen_address *a = &set->items[i];
        for (unsigned thread = 0; a->is_wanted && thread < set->threads; thread++) {
            bool with_fd = all || a->is_new;
            if (b.message.count == CHANNEL_SOCKETS_MOST) {
                int r = batch_send(channel, &b);
                if (r < 0)
                    return r;
            }
            b.message.sockets[b.message.count++] = (struct channel_socket){ .address = a->wish.address,
                                                                            .thread = thread,
                                                                            .shared = a->count == 1 && set->threads > 1,
                                                                            .has_fd = with_fd };
            if (with_fd)
                b.fds[b.fd_count++] = a->fds[a->count == 1 ? 0 : thread];
        }
    }
    return batch_send(channel, &b);
}

int offer_deployment(int channel, const struct deployment *d, const struct listen_set *set, bool all_sockets)
{
    struct channel_message m = { .kind = CHANNEL_CONFIG, .generation = d->generation };
    int r = channel_send(channel, &m, &d->memfd, 1);

    return r < 0 ? r : send_sockets(channel, d, set, all_sockets);
}

int offer_publish(int channel, const struct deployment *d)
{
    struct channel_message m = { .kind = CHANNEL_PUBLISH, .generation = d->generation };

    return channel_send(channel, &m, NULL, 0);
}

int offer_logs(int channel, const struct deployment *d)
{
    struct channel_message access = { .kind = CHANNEL_ACCESS_LOG,
                                      .format = d->access_format,
                                      .is_syslog = d->access.is_syslog };
    struct channel_message events = { .kind = CHANNEL_EVENT_LOG,
                                      .format = d->events_level,
                                      .is_syslog = d->events.is_syslog };
    int r = channel_send(channel, &events, &d->events.fd, 1);

    return r < 0 ? r : channel_send(channel, &access, &d->access.fd, d->access.fd >= 0);
}

int offer_tickets(int channel, const struct ticket_keys *keys)
{
    struct channel_message m = { .kind = CHANNEL_TICKETS, .tickets = *keys };
    int r = channel_send(channel, &m, NULL, 0);

    ticket_keys_wipe(&m.tickets);
    return r;
}

int offer_word(int channel, bool drain)
{
    struct channel_message m = { .kind = drain ? CHANNEL_DRAIN : CHANNEL_STOP };

    return channel_send(channel, &m, NULL, 0);
}
