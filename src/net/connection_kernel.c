/* connection_kernel.c: a connection under TLS whose records the kernel seals and opens.
 *
 *     socket --the kernel opens--> in             alerts, KeyUpdate --> records_take()
 *     send --> out --the kernel seals--> socket   records_word() --> kernel_tls_send()
 *
 * What records mean is tls/records.h's here too; its keys stay with us, since a KeyUpdate makes the next ones of them. */
#include <stdlib.h>
#include <sys/socket.h>

#include "net/kernel_tls.h"
#include "net/tls_connection.h"

enum {
    DRAIN_POLL_LEAST_MS =
        5, /* between two looks whether the kernel's TLS has passed on all it sealed; then ever longer */
    DRAIN_POLL_MOST_MS = 500,
    ASK_FLUSHES = 1 << 20, /* so many flushes after the last look, we ask how many records a key has sealed */
};
#define ASK_BYTES \
    (UINT64_C(1) << 32) /* or so many bytes: larger pieces are written without a flush, of 4 KB at least */

struct kernel_records {
    struct tls_connection *t;
    struct timer drain;
    uint64_t written;        /* what TCP had taken before the kernel sealed anything */
    uint64_t sealed;         /* bytes of records under keys that are gone */
    uint64_t first_sequence; /* of the key that is in use */
    uint64_t wire_out;       /* the connection's, when that began */
    uint64_t words;          /* bytes that TLS itself has said under it */
    uint64_t asked_bytes;    /* wire_out when its sequence number was asked for last */
    uint32_t asked_flushes;  /* flushes since */
    uint32_t poll_ms;
    bool refused_sending, refused_receiving;
};

/* ---- Whether all has left ---- */

/* Bytes of records that the key in use has sealed. */
static uint64_t sealed_now(const struct kernel_records *k)
{
    const struct tls_connection *t = k->t;
    uint64_t records = kernel_tls_sequence(t->base.watch.fd, t->records.write.aead) - k->first_sequence;

    return t->base.wire_out - k->wire_out + k->words + records * record_overhead(&t->records.write);
}

static void look_again(struct timer *timer)
{
    struct connection *c = &CONTAINER_OF(timer, struct kernel_records, drain)->t->base;

    c->on_event(c);
}

/* Whether the kernel's TLS has given TCP all that it has sealed. Nobody tells when it has passed on its last record: we look.
 * Returns 0, -E_AGAIN or -E_RESET. */
static int drain(struct kernel_records *k)
{
    struct loop *loop = k->t->base.net->loop;
    uint64_t taken;
    int error = kernel_tls_written(k->t->base.watch.fd, &taken);

    if (error)
        return error;
    if (taken - k->written >= k->sealed + sealed_now(k)) {
        loop_timer_stop(loop, &k->drain);
        k->t->base.unsaid = false;
        return 0;
    }
    k->t->base.unsaid = true;
    if (!timer_is_set(&k->drain)) {
        loop_timer_set(loop, &k->drain, loop_now(loop) + k->poll_ms * NS_PER_MS);
        k->poll_ms = k->poll_ms * 2 < DRAIN_POLL_MOST_MS ? k->poll_ms * 2 : DRAIN_POLL_MOST_MS;
    }
    return -E_AGAIN;
}

/* ---- Keys ---- */

static int give(const struct tls_connection *t, bool is_sending)
{
    const struct record_keys *keys = is_sending ? &t->records.write : &t->records.read;

    return kernel_tls_give(t->base.watch.fd, is_sending, keys->version, keys->aead, &keys->key);
}

/* The write key has become the next one. */
static int renew_sending(struct tls_connection *t)
{
    struct kernel_records *k = t->kernel;

    k->sealed += sealed_now(k);
    k->first_sequence = 0;
    k->wire_out = t->base.wire_out;
    k->words = 0;
    return give(t, true);
}

/* Whether the key has sealed as much as it may; asked now and then. */
static void watch_key(struct tls_connection *t)
{
    struct kernel_records *k = t->kernel;

    if (++k->asked_flushes < ASK_FLUSHES && t->base.wire_out - k->asked_bytes < ASK_BYTES)
        return;
    k->asked_flushes = 0;
    k->asked_bytes = t->base.wire_out;
    if (records_key_is_used_up(&t->records, kernel_tls_sequence(t->base.watch.fd, t->records.write.aead)))
        t->records.update_owed = true;
}

/* ---- Sending ---- */

/* Says one word. A write would fail for what was wrong with the last read. */
static int say(struct tls_connection *t, enum content_type type, struct bytes word)
{
    int fd = t->base.watch.fd, pending, error;
    socklen_t size = sizeof pending;

    if (t->records.alert_owed)
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &size);
    error = kernel_tls_send(fd, type, word);
    if (error == -E_AGAIN)
        t->base.writable = false;
    if (error)
        return error;
    t->kernel->words += word.size;
    error = records_said(&t->records, type);
    return !error && type == CONTENT_HANDSHAKE ? renew_sending(t) : error;
}

/* All that TLS has to say now, behind what was sent. */
static int say_all(struct tls_connection *t, bool at_end)
{
    struct connection *c = &t->base;
    uint8_t word[RECORDS_WORD];
    enum content_type type;
    size_t bytes;
    int error = 0;

    while (!error && (bytes = records_word(&t->records, at_end, &type, word)) != 0) {
        if (connection_waits(c) && connection_write_socket(c, BYTES_NONE) < 0)
            return -E_RESET;
        c->unsaid = true;
        if (connection_waits(c) || !c->writable)
            return -E_AGAIN;
        if (type == CONTENT_HANDSHAKE && kernel_tls_now() != KERNEL_TLS_NEW_KEYS) {
            records_fail(&t->records, -E_KEY_UPDATE, ALERT_INTERNAL_ERROR);
            continue;
        }
        error = say(t, type, bytes_of(word, bytes));
    }
    if (!error)
        c->unsaid = false;
    return error;
}

int connection_kernel_say(struct tls_connection *t)
{
    int error = say_all(t, false);

    return error == -E_AGAIN ? 0 : error; /* with a later flush */
}

static int kernel_seal(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int error;

    if (t->state == TLS_FAILED) /* only its alert leaves */
        buffer_drop(c->net->pool, &c->out);
    if (connection_waits(c))
        return 0;
    watch_key(t);
    error = say_all(t, c->finish_asked && t->state == TLS_OPEN);
    if (error || !c->finish_asked)
        return error;
    c->finish_sealed = true;
    return c->finished ? 0 : drain(t->kernel);
}

static size_t kernel_room(const struct connection *c)
{
    return tls_of(c)->state == TLS_OPEN ? connection_plain_room(c) : 0;
}

static ssize_t kernel_send(struct connection *c, struct bytes data)
{
    return tls_of(c)->state == TLS_OPEN ? connection_plain_send(c, data) : 0;
}

static ssize_t kernel_pass(struct connection *c, struct bytes data)
{
    return tls_of(c)->state == TLS_OPEN ? connection_write_socket(c, data) : 0;
}

static void kernel_settle(struct connection *c)
{
    buffer_settle(c->net->pool, &c->out);
    buffer_settle(c->net->pool, &tls_of(c)->cipher);
}

/* ---- Receiving ---- */

/* What the kernel could not open. */
static int refuse(struct tls_connection *t, int error)
{
    struct tls_records *r = &t->records;

    switch (-error) {
    case E_TLS:
        error = records_fail(r, -E_TLS, ALERT_BAD_RECORD_MAC);
        break;
    case E_LIMIT:
        error = records_fail(r, -E_TLS, ALERT_RECORD_OVERFLOW);
        break;
    case E_VERSION:
        error = records_fail(r, -E_TLS, ALERT_PROTOCOL_VERSION);
        break;
    default:
        return error;
    }
    return tls_connection_fail(t, error);
}

/* A record that is TLS's own. Returns -E_AGAIN: on to the next one; 0 at the end; or an error. */
static int take_word(struct tls_connection *t, enum content_type type, const uint8_t *content, size_t bytes)
{
    struct tls_records *r = &t->records;
    int error;

    tls_connection_forgive(t);
    error = records_take(r, type, content, bytes);
    if (!error && (t->fruitless += (uint32_t)(bytes + record_overhead(&r->read))) > FRUITLESS_MOST)
        error = -E_LIMIT;
    if (!error && r->read_renewed) {
        r->read_renewed = false;
        if (give(t, false) < 0)
            error = records_fail(r, -E_KEY_UPDATE, ALERT_INTERNAL_ERROR);
    }
    if (!error)
        error = connection_kernel_say(t);
    if (!error && r->ended) /* saying it failed for good */
        error = r->ended;
    if (error)
        return tls_connection_fail(t, error);
    t->close_notify_seen = r->peer_closed;
    return r->peer_closed ? 0 : -E_AGAIN;
}

/* One read into the room of `in`. Returns as connection_receive(). */
static int receive_once(struct tls_connection *t)
{
    struct connection *c = &t->base;
    uint8_t *to = c->in.data + c->in.end;
    enum content_type type;
    int n = kernel_tls_receive(c->watch.fd, to, buffer_room(&c->in), &type);

    if (n == -E_AGAIN) {
        c->readable = false;
        return n;
    }
    if (n < 0)
        return refuse(t, n);
    c->wire_in += (uint64_t)n;
    if (type != CONTENT_APPLICATION_DATA || (n && t->records.part_bytes)) {
        n = take_word(t, type, to, (size_t)n);
        return n == -E_AGAIN && c->readable ? -E_PASSED_ON : n;
    }
    if (n == 0) {
        c->end_read = true;
        t->socket_ended = true;
        return -E_TRUNCATED;
    }
    t->records.messages = 0;
    t->fruitless = 0;
    c->in_flow = (size_t)n >= BUFFER_LARGE / 2;
    buffer_commit(&c->in, (size_t)n);
    return n;
}

static int kernel_receive(struct connection *c)
{
    struct tls_connection *t = tls_of(c);
    int n;

    if (t->close_notify_seen)
        return 0;
    if (t->state == TLS_FAILED || t->socket_ended)
        return -E_TRUNCATED;
    if (!c->readable)
        return -E_AGAIN;
    n = connection_reserve(c, &c->in);
    if (n == 0 && buffer_room(&c->in) == 0)
        n = -E_AGAIN;
    if (n == 0)
        do
            n = receive_once(t);
        while (n == -E_PASSED_ON);
    return n;
}

int connection_kernel_discard(struct connection *c)
{
    enum content_type type = CONTENT_APPLICATION_DATA;
    int n = kernel_tls_receive(c->watch.fd, c->in.data, c->in.size, &type);

    if (n == -E_AGAIN)
        c->readable = false;
    if (n > 0)
        c->wire_in += (uint64_t)n;
    if (n == 0 && type != CONTENT_APPLICATION_DATA)
        return 1; /* it was something */
    return n >= 0 || n == -E_AGAIN ? n : -E_RESET;
}

/* What the kernel holds comes with an event, or is known by `readable`. */
static bool kernel_holds(const struct connection *c)
{
    (void)c;
    return false;
}

static const struct connection_ops sealing_ops = {
    tls_connection_receive, tls_connection_holds,   kernel_room, kernel_send, kernel_pass, kernel_seal,
    kernel_settle,          tls_connection_release,
};

static const struct connection_ops both_ops = {
    kernel_receive, kernel_holds, kernel_room,   kernel_send,
    kernel_pass,    kernel_seal,  kernel_settle, tls_connection_release,
};

/* ---- Moving ---- */

void connection_kernel_want(struct tls_connection *t)
{
    struct kernel_records *k;

    if (kernel_tls_now() == KERNEL_TLS_NONE)
        return;
    k = calloc(1, sizeof *k);
    if (!k)
        return;
    k->t = t;
    k->poll_ms = DRAIN_POLL_LEAST_MS;
    timer_init(&k->drain, look_again);
    t->kernel = k;
}

void connection_kernel_free(struct tls_connection *t)
{
    if (t->kernel)
        loop_timer_stop(t->base.net->loop, &t->kernel->drain);
    free(t->kernel);
    t->kernel = NULL;
}

bool connection_kernel_take_sending(struct tls_connection *t)
{
    struct kernel_records *k = t->kernel;
    struct connection *c = &t->base;

    if (!k || k->refused_sending || c->kernel_seals || t->state != TLS_OPEN || t->staged || buffer_used(&c->out) ||
        t->records.finished)
        return false;
    if (kernel_tls_written(c->watch.fd, &k->written) < 0 || kernel_tls_attach(c->watch.fd) < 0 || give(t, true) < 0) {
        k->refused_sending = true;
        return false;
    }
    k->first_sequence = t->records.write.key.sequence;
    k->wire_out = k->asked_bytes = c->wire_out;
    aead_release(t->records.cache, &t->records.write.holder);
    c->kernel_seals = true;
    c->ops = &sealing_ops;
    return true;
}

bool connection_kernel_take_receiving(struct tls_connection *t)
{
    struct kernel_records *k = t->kernel;
    struct connection *c = &t->base;

    if (k->refused_receiving || !c->kernel_seals || t->state != TLS_OPEN || buffer_used(&t->cipher) ||
        records_have_more(&t->records))
        return false;
    if (give(t, false) < 0) {
        k->refused_receiving = true;
        return false;
    }
    aead_release(t->records.cache, &t->records.read.holder);
    buffer_drop(c->net->pool, &t->cipher);
    c->kernel_opens = true;
    c->readable = true; /* what came before its key has no event */
    c->ops = &both_ops;
    return true;
}

size_t connection_kernel_read_most(const struct tls_connection *t)
{
    struct bytes received = buffer_content(&t->cipher);
    size_t record;

    if (t->state != TLS_OPEN || t->kernel->refused_receiving || !t->base.kernel_seals)
        return SIZE_MAX;
    if (received.size < RECORD_HEADER)
        return RECORD_HEADER - received.size;
    record = record_size(received.at);
    return record > received.size ? record - received.size : 0;
}
