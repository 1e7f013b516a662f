#include <sys/socket.h>
#include <unistd.h>

#include "net/tls_connection.h"
#include "tls/peers.h"

struct fixture {
    struct net net;
    struct connection *c;
    struct timer timer;
    SSL *client;
    int peer;
    unsigned established;
};

static struct authority authority;
static struct certificate leaf;
static struct arena arena;
static struct tls_context *context;
static SSL_CTX *client_ctx;

static struct tls_context *choose(struct connection *c, const struct client_hello *hello, struct bytes *ret_binding,
                                  uint8_t *ret_alert, int *ret_error)
{
    (void)c;
    (void)hello;
    (void)ret_alert;
    *ret_error = 0;
    *ret_binding = BYTES_LITERAL("host");
    return context;
}

static void established(struct connection *c)
{
    ((struct fixture *)c->owner)->established++;
}

static const struct tls_server_hooks hooks = { choose, established };

static void on_event(struct connection *c)
{
    (void)c;
}

static void stop(struct timer *t)
{
    loop_stop(CONTAINER_OF(t, struct fixture, timer)->net.loop);
}

static void take_events(struct fixture *f)
{
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + 1);
    loop_run(f->net.loop);
}

/* The handshake goes on at the end of the loop's turn. */
static void await_batch(struct fixture *f)
{
    while (f->c->pending) {
        take_events(f);
        assert_int_equal(connection_receive(f->c), -E_AGAIN);
    }
}

static int set_up_all(void **state)
{
    const char *names[] = { "a.test", NULL };
    struct tls_policy_options policy = intermediate();

    (void)state;
    policy.tickets = false;
    arena_init(&arena, NULL, SIZE_MAX);
    authority_make(&authority, "CA");
    authority_issue(&authority, names, &arena, &leaf);
    context = server_context(&policy, &leaf, NULL, (const char *const[]){ NULL });
    client_ctx = client_context(TLS1_3_VERSION, TLS1_3_VERSION);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    SSL_CTX_free(client_ctx);
    tls_context_unref(context);
    certificate_clear(&leaf);
    authority_free(&authority);
    arena_reset(&arena);
    return 0;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(net_init(&f->net), 0);
    f->c = connection_new_tls_server(&f->net, pair[0], &hooks);
    assert_non_null(f->c);
    f->c->owner = f;
    f->c->on_event = on_event;
    f->peer = pair[1];
    timer_init(&f->timer, stop);
    f->client = SSL_new(client_ctx);
    SSL_set_fd(f->client, f->peer);
    SSL_set_connect_state(f->client);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_close(f->c, false);
    SSL_set_shutdown(f->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(f->client);
    close(f->peer);
    assert_int_equal(buffer_pool_lent(f->net.pool), 0);
    net_clear(&f->net);
    ERR_clear_error();
    free(f);
    return 0;
}

static void shake(struct fixture *f)
{
    for (int i = 0; i < 10 && f->established == 0; i++) {
        (void)SSL_do_handshake(f->client);
        take_events(f);
        assert_int_equal(connection_receive(f->c), -E_AGAIN);
    }
    assert_int_equal(f->established, 1);
    assert_int_equal(SSL_do_handshake(f->client), 1);
}

static void what_is_said_arrives_and_close_notify_is_the_end(void **state)
{
    struct fixture *f = *state;
    char got[16];

    shake(f);
    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    SSL_shutdown(f->client);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    assert_true(connection_has_more(f->c)); /* the end has come with it */
    assert_int_equal(connection_receive(f->c), 0);
    assert_int_equal(connection_receive(f->c), 0);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("bye")), 3);
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(SSL_read(f->client, got, sizeof got), 3);
    assert_int_equal(SSL_read(f->client, got, sizeof got), 0);
    assert_int_equal(SSL_get_shutdown(f->client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

static void an_end_without_close_notify_is_a_truncation(void **state)
{
    struct fixture *f = *state;

    shake(f);
    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    assert_true(f->c->readable);
    assert_int_equal(connection_receive(f->c), -E_TRUNCATED);
    assert_int_equal(connection_receive(f->c), -E_TRUNCATED);
}

/* Whoever asks connection_has_more before waiting gets all of it, although the socket is quiet after the first read. */
static void what_lies_in_the_record_layer_is_known(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[16384];
    size_t sent = 0, got = 0;

    shake(f);
    for (int i = 0; i < 4; i++, sent += sizeof data)
        assert_int_equal(SSL_write(f->client, data, sizeof data), sizeof data);
    take_events(f);
    assert_int_equal(buffer_reserve(f->net.pool, &f->c->in), 0);
    buffer_commit(&f->c->in, BUFFER_LARGE - 1000); /* little room for the first of it */
    for (size_t more = BUFFER_LARGE - 1000; more;) {
        int n;
        buffer_consume(&f->c->in, more);
        if (f->c->in.end == 0)
            buffer_commit(&f->c->in, BUFFER_LARGE - 1000);
        n = connection_receive(f->c);
        if (n == -E_AGAIN)
            break;
        assert_true(n > 0);
        got += (size_t)n;
        more = buffer_used(&f->c->in);
        assert_true(got == sent || connection_has_more(f->c));
    }
    assert_int_equal(got, sent);
}

/* As the loop does when its time has come. */
static void be_due(struct fixture *f, struct timer *timer)
{
    loop_timer_stop(f->net.loop, timer);
    timer->on_due(timer);
}

/* Nor does a thread wake up for their sake once there are none. */
static void who_idles_holds_no_aead_contexts(void **state)
{
    struct fixture *f = *state;
    const struct tls_records *records;
    char got[16];

    assert_false(timer_is_set(&f->net.sweep_timer));
    shake(f);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(SSL_write(f->client, "hello", 5), 5);
        take_events(f);
        assert_int_equal(connection_receive(f->c), 5);
        assert_int_equal(connection_send(f->c, BYTES_LITERAL("answer")), 6);
        assert_int_equal(connection_flush(f->c), 0);
        assert_int_equal(SSL_read(f->client, got, sizeof got), 6);
        records = &tls_of(f->c)->records;
        assert_true(records->read.holder.context && records->write.holder.context);
        assert_true(timer_is_set(&f->net.sweep_timer));
        be_due(f, &f->net.sweep_timer); /* they were in use */
        assert_true(records->read.holder.context && records->write.holder.context);
        assert_true(timer_is_set(&f->net.sweep_timer));
        be_due(f, &f->net.sweep_timer);
        assert_true(!records->read.holder.context && !records->write.holder.context);
        assert_false(timer_is_set(&f->net.sweep_timer));
    }
}

/* The peer's next KeyUpdates with content between them, until we refuse. Returns how many were taken. */
static int updates_taken(struct fixture *f, int most)
{
    for (int i = 0; i < most; i++) {
        int n;

        assert_int_equal(SSL_key_update(f->client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_write(f->client, "x", 1), 1);
        f->c->readable = true;
        n = connection_receive(f->c);
        if (n < 0)
            return i;
        buffer_drop(f->net.pool, &f->c->in);
    }
    return most;
}

static void key_updates_are_forgiven_with_time_and_content_alone_does_not_help(void **state)
{
    struct fixture *f = *state;
    struct tls_connection *t;

    shake(f);
    t = tls_of(f->c);
    t->forgiven_s = (uint16_t)(loop_now(f->net.loop) / NS_PER_S);
    assert_int_equal(updates_taken(f, RECORDS_UPDATES_MOST), RECORDS_UPDATES_MOST);
    t->forgiven_s = (uint16_t)(loop_now(f->net.loop) / NS_PER_S - 2); /* two seconds later */
    assert_in_range(updates_taken(f, RECORDS_UPDATES_MOST), 2 * RECORDS_UPDATES_A_SECOND, RECORDS_UPDATES_MOST - 1);
}

/* A client that has its keys changed again and again and reads nothing of the answers fills what is to be sent. */
static void answers_to_key_updates_never_take_the_room_of_what_was_promised(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[BUFFER_LARGE];
    static char sink[1 << 16];

    shake(f);
    while (connection_send(f->c, bytes_of(data, sizeof data)) > 0 || connection_flush(f->c) == 0)
        ;
    for (int i = 0; i < 4000; i++) {
        int n;
        if (SSL_key_update(f->client, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_write(f->client, "x", 1) != 1)
            break;
        f->c->readable = true;
        n = connection_receive(f->c);
        if (n < 0 && n != -E_AGAIN)
            break;
        buffer_drop(f->net.pool, &f->c->in);
        if (connection_send(f->c, bytes_of(data, i % 3 ? 1 : 20000)) < 0)
            break;
        if (i % 50 == 0) {
            (void)!read(f->peer, sink, (size_t)(i % 7 + 1) * 3000); /* the client sees noise from here on: never mind */
            f->c->writable = true;
        }
        (void)!connection_flush(f->c);
    }
}

static void the_end_waits_for_room_and_comes_last(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[BUFFER_LARGE], into[16384];
    size_t sent = 0, got = 0;
    ssize_t n;

    shake(f);
    while ((n = connection_send(f->c, bytes_of(data, sizeof data))) > 0 || connection_flush(f->c) == 0)
        sent += (size_t)n;
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), -E_AGAIN);
    assert_false(f->c->finished);
    do {
        int m;
        f->c->writable = true;
        (void)!connection_flush(f->c);
        while ((m = SSL_read(f->client, into, sizeof into)) > 0)
            got += (size_t)m;
    } while (!f->c->finished || got < sent);
    assert_int_equal(SSL_read(f->client, into, sizeof into), 0);
    assert_int_equal(got, sent);
    assert_int_equal(SSL_get_shutdown(f->client) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

static void what_is_discarded_is_read_and_not_kept(void **state)
{
    struct fixture *f = *state;

    shake(f);
    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    take_events(f);
    assert_true(connection_discard(f->c) > 5);
    assert_int_equal(buffer_used(&f->c->in), 0);
    assert_int_equal(connection_discard(f->c), -E_AGAIN);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_discard(f->c), 0);
}

/* ---- passing through ---- */

static void what_is_passed_leaves_in_whole_records_behind_what_was_sent(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[3 << 20], got[3 << 20];
    size_t sent = 0, received = 0;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    shake(f);
    assert_int_equal(connection_send(f->c, bytes_of(data, 100)), 100);
    sent = 100;
    while (received < sizeof data) {
        ssize_t n = connection_pass(f->c, bytes_of(data + sent, sizeof data - sent));
        int m;

        assert_true(n >= 0);
        sent += (size_t)n;
        (void)!connection_flush(f->c);
        while ((m = SSL_read(f->client, got + received, (int)(sizeof got - received))) > 0)
            received += (size_t)m;
        f->c->writable = true;
    }
    assert_memory_equal(data, got, sizeof data);
}

/* ---- TLS that begins later, and TLS that is somebody else's ---- */

/* The fixture's connection, plain. */
static struct connection *make_plain(struct fixture *f)
{
    int pair[2];

    connection_close(f->c, false);
    close(f->peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    f->peer = pair[1];
    SSL_set_fd(f->client, f->peer);
    f->c = connection_new(&f->net, pair[0]);
    assert_non_null(f->c);
    f->c->owner = f;
    f->c->on_event = on_event;
    return f->c;
}

static void expect_echo(struct fixture *f)
{
    char got[8];

    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    assert_int_equal(connection_send(f->c, buffer_content(&f->c->in)), 5);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(SSL_read(f->client, got, sizeof got), 5);
    assert_memory_equal(got, "hello", 5);
}

static void tls_begins_on_a_connection_that_was_plain(void **state)
{
    struct fixture *f = *state;
    char got[8];

    make_plain(f);
    assert_int_equal(write(f->peer, "STARTTLS", 8), 8);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 8);
    buffer_consume(&f->c->in, 8);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("go")), 2);
    assert_int_equal(connection_flush(f->c), 0);
    f->c = connection_start_tls_server(f->c, &hooks);
    assert_non_null(f->c);
    assert_true(connection_is_tls(f->c));
    assert_ptr_equal(f->c->owner, f);
    assert_int_equal(read(f->peer, got, sizeof got), 2);
    shake(f);
    expect_echo(f);
}

static void what_a_plain_connection_had_received_is_tls(void **state)
{
    struct fixture *f = *state;

    make_plain(f);
    (void)SSL_do_handshake(f->client); /* its ClientHello */
    take_events(f);
    assert_true(connection_receive(f->c) > 100);
    f->c = connection_start_tls_server(f->c, &hooks);
    assert_non_null(f->c);
    assert_true(connection_has_more(f->c)); /* no event will say so */
    assert_int_equal(connection_receive(f->c), -E_AGAIN);
    await_batch(f);
    assert_false(connection_is_flushed(f->c) && f->c->wire_out == 0);
    shake(f);
    expect_echo(f);
}

static void a_hello_that_came_in_part_is_completed_by_the_socket(void **state)
{
    struct fixture *f = *state;
    uint8_t hello[4096];
    BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
    int n;

    make_plain(f);
    SSL_set_bio(f->client, in, out);
    (void)SSL_do_handshake(f->client);
    n = BIO_read(out, hello, sizeof hello);
    assert_true(n > 100);
    assert_int_equal(write(f->peer, hello, 50), 50);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 50);
    f->c = connection_start_tls_server(f->c, &hooks);
    assert_int_equal(connection_receive(f->c), -E_AGAIN);
    assert_false(connection_has_more(f->c));
    assert_int_equal(write(f->peer, hello + 50, (size_t)n - 50), n - 50);
    take_events(f);
    assert_int_equal(connection_receive(f->c), -E_AGAIN);
    await_batch(f);
    assert_true(f->c->wire_out > 500); /* the server's flight */
    SSL_set_fd(f->client, f->peer);
}

static void what_waits_in_clear_leaves_before_the_first_record(void **state)
{
    struct fixture *f = *state;
    char got[3];

    make_plain(f);
    take_events(f);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("S")), 1); /* not flushed */
    f->c = connection_start_tls_server(f->c, &hooks);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(read(f->peer, got, sizeof got), 1);
    assert_int_equal(got[0], 'S');
    shake(f);
    expect_echo(f);
}

static struct tls_context *leave_it(struct connection *c, const struct client_hello *hello, struct bytes *ret_binding,
                                    uint8_t *ret_alert, int *ret_error)
{
    (void)c;
    (void)hello;
    (void)ret_binding;
    (void)ret_alert;
    *ret_error = -E_PASSED_ON;
    return NULL;
}

static const struct tls_server_hooks leaving = { leave_it, established };

/* A connection of pass-through to which `first` was written, read up to where choose() left it to somebody else. */
static void pass_on(struct fixture *f, const void *first, size_t size)
{
    make_plain(f);
    f->c = connection_start_tls_server(f->c, &leaving);
    assert_int_equal(write(f->peer, first, size), size);
    take_events(f);
    assert_int_equal(connection_receive(f->c), -E_PASSED_ON);
    f->c = connection_back_to_plain(f->c);
    assert_non_null(f->c);
    assert_false(connection_is_tls(f->c));
    assert_ptr_equal(f->c->owner, f);
}

static size_t client_hello_of(struct fixture *f, uint8_t *into, size_t room)
{
    BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
    int n;

    SSL_set_bio(f->client, in, out);
    (void)SSL_do_handshake(f->client);
    n = BIO_read(out, into, (int)room);
    assert_true(n > 100);
    return (size_t)n;
}

static void what_is_somebody_elses_comes_back_whole_from_its_first_byte(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4096];
    size_t n = client_hello_of(f, bytes, sizeof bytes - 5);

    memcpy(bytes + n, "early", 5); /* what a client may send behind it */
    pass_on(f, bytes, n + 5);
    assert_int_equal(buffer_used(&f->c->in), n + 5);
    assert_memory_equal(buffer_content(&f->c->in).at, bytes, n + 5);
    assert_int_equal(f->c->wire_out, 0); /* not a byte was answered */
}

static void a_connection_that_became_plain_again_goes_on(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4096], got[8];
    size_t n = client_hello_of(f, bytes, sizeof bytes);

    pass_on(f, bytes, n);
    assert_int_equal(write(f->peer, "later", 5), 5);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    assert_int_equal(buffer_used(&f->c->in), n + 5);
    assert_int_equal(connection_receive(f->c), 0);
    assert_int_equal(connection_pass(f->c, BYTES_LITERAL("answer")), 6);
    assert_int_equal(read(f->peer, got, sizeof got), 6);
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), 0);
    assert_int_equal(read(f->peer, got, sizeof got), 0);
}

static void an_end_that_came_with_the_hello_is_still_told(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4096];
    size_t n = client_hello_of(f, bytes, sizeof bytes);

    make_plain(f);
    f->c = connection_start_tls_server(f->c, &leaving);
    assert_int_equal(write(f->peer, bytes, n), n);
    shutdown(f->peer, SHUT_WR);
    take_events(f);
    assert_int_equal(connection_receive(f->c), -E_PASSED_ON);
    f->c = connection_back_to_plain(f->c);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 0);
    assert_int_equal(buffer_used(&f->c->in), n);
}

/* ---- records of our own ---- */

static void data_in_front_of_a_bad_record_may_still_be_answered_before_the_alert(void **state)
{
    static const uint8_t bad[] = { 23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                   9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
    struct fixture *f = *state;
    char got[16];

    shake(f);
    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    assert_int_equal(write(f->peer, bad, sizeof bad), sizeof bad);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("answer")), 6);
    assert_int_equal(connection_flush(f->c), 0);
    assert_true(connection_has_more(f->c));
    assert_int_equal(connection_receive(f->c), -E_TLS);
    assert_int_equal(SSL_read(f->client, got, sizeof got), 6);
    assert_true(SSL_read(f->client, got, sizeof got) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
}

static void who_finishes_before_seeing_the_bad_record_says_the_alert_and_not_goodbye(void **state)
{
    static const uint8_t bad[] = { 23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                   9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
    struct fixture *f = *state;
    char got[16];

    shake(f);
    assert_int_equal(SSL_write(f->client, "hello", 5), 5);
    assert_int_equal(write(f->peer, bad, sizeof bad), sizeof bad);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 5);
    connection_finish(f->c);
    assert_int_equal(connection_flush(f->c), 0);
    assert_true(SSL_read(f->client, got, sizeof got) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    assert_int_equal(connection_receive(f->c), -E_TLS);
}

/* After a pause content begins with small records, which take more room; here something waits already, too. */
static void what_was_promised_is_taken_after_a_pause_as_well(void **state)
{
    struct fixture *f = *state;
    static uint8_t data[BUFFER_BULK], into[BUFFER_BULK];
    size_t room, sent = 0, got = 0;
    int n;

    shake(f);
    for (int i = 0; i < 3; i++, sent += 16384) { /* a stream, in full records */
        assert_int_equal(connection_send(f->c, bytes_of(data, 16384)), 16384);
        assert_int_equal(connection_flush(f->c), 0);
    }
    f->c->writable = false;
    assert_int_equal(connection_send(f->c, bytes_of(data, 500)), 500);
    assert_int_equal(connection_flush(f->c), -E_AGAIN);
    loop_timer_set(f->net.loop, &f->timer, loop_now(f->net.loop) + NS_PER_S + NS_PER_S / 50);
    loop_run(f->net.loop);
    room = connection_room(f->c);
    assert_true(room >= 3 * 16384);
    assert_int_equal(connection_send(f->c, bytes_of(data, room)), room);
    sent += 500 + room;
    do {
        f->c->writable = true;
        (void)!connection_flush(f->c);
        while ((n = SSL_read(f->client, into, sizeof into)) > 0)
            got += (size_t)n;
    } while (got < sent);
    assert_true(connection_is_flushed(f->c));
}

/* What is held then is the content alone. */
static void no_read_of_a_stream_ends_within_a_record(void **state)
{
    static const uint8_t data[16384];
    struct fixture *f = *state;

    shake(f);
    connection_settle(f->c); /* the tickets leave */
    for (int i = 0; i < 6; i++)
        assert_int_equal(SSL_write(f->client, data, sizeof data), sizeof data);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 4 * sizeof data);
    assert_int_equal(buffer_pool_lent(f->net.pool), f->c->in.size);
    buffer_consume(&f->c->in, 4 * sizeof data);
    assert_int_equal(connection_receive(f->c), 2 * sizeof data);
    assert_int_equal(buffer_pool_lent(f->net.pool), f->c->in.size);
}

/* The fixture begins anew, with a client of this kind. */
static void begin_anew(struct fixture *f, SSL_CTX *client)
{
    int pair[2];

    connection_close(f->c, false);
    SSL_set_shutdown(f->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(f->client);
    close(f->peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    f->c = connection_new_tls_server(&f->net, pair[0], &hooks);
    f->c->owner = f;
    f->c->on_event = on_event;
    f->peer = pair[1];
    f->established = 0;
    f->client = SSL_new(client);
    SSL_set_fd(f->client, f->peer);
    SSL_set_connect_state(f->client);
}

/* `before` bytes wait when as much is sent as there is said to be room for, at once or in pieces: none of them takes more of it
 * than its size. */
static void expect_room_holds(struct fixture *f, size_t before)
{
    static uint8_t data[BUFFER_BULK], got[2 * BUFFER_BULK];
    size_t room, sent = before, received = 0, pieces = 0;
    int n;

    shake(f);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    f->c->writable = false;
    if (before) {
        assert_int_equal(connection_send(f->c, bytes_of(data, before)), before);
        if (before % 2)
            assert_int_equal(connection_flush(f->c), -E_AGAIN);
    }
    while ((room = connection_room(f->c)) > 0) {
        const size_t sizes[] = { room, 7000, 2, 16384, 1369 + before % 40000 };
        size_t part = sizes[(before + pieces++) % (before % 3 ? 5 : 1)];

        part = part < room ? part : room;
        assert_int_equal(connection_send(f->c, bytes_of(data + sent, part)), part);
        assert_true(connection_room(f->c) >= room - part);
        sent += part;
    }
    do {
        f->c->writable = true;
        n = connection_flush(f->c);
        assert_true(n == 0 || n == -E_AGAIN);
        while ((n = SSL_read(f->client, got + received, (int)(sizeof got - received))) > 0)
            received += (size_t)n;
    } while (received < sent);
    assert_int_equal(received, sent);
    assert_memory_equal(got, data, sent);
}

static void as_much_can_be_sent_as_there_is_room_for_whatever_waits_already(void **state)
{
    struct fixture *f = *state;
    struct tls_context *usual = context;

    for (int variant = 0; variant < 8; variant++) {
        struct tls_policy_options policy = intermediate();
        uint16_t version = variant & 1 ? TLS1_3_VERSION : TLS1_2_VERSION;
        SSL_CTX *client = client_context(version, version);

        policy.records = variant & 2 ? TLS_RECORDS_OPENSSL : TLS_RECORDS_AUTO;
        if (variant & 4)
            SSL_CTX_set_tlsext_max_fragment_length(client, TLSEXT_max_fragment_length_512);
        context = server_context(&policy, &leaf, NULL, (const char *const[]){ NULL });
        for (size_t before = 0; before < 30000; before = before * 5 / 4 + 77) {
            begin_anew(f, client);
            expect_room_holds(f, before);
        }
        tls_context_unref(context);
        SSL_CTX_free(client);
    }
    context = usual;
    begin_anew(f, client_ctx);
}

/* ---- in whatever order ---- */

enum { TALK = 1 << 20 };

struct talk {
    struct fixture *f;
    uint32_t random;
    size_t sent, received;      /* by us */
    size_t said, heard, saying; /* by the client; the last: of a write that the socket did not take */
    bool has_updates;
};

static uint8_t talk_text[TALK + (1 << 17)];

static size_t draw(struct talk *t, size_t below)
{
    t->random = t->random * 1664525 + 1013904223;
    return (t->random >> 8) % below;
}

static void client_writes(struct talk *t)
{
    size_t left = TALK - t->said, n = t->saying ? t->saying : draw(t, draw(t, 3) ? 3000 : 60000);
    int result;

    if (n > left)
        n = left;
    if (n == 0)
        return;
    if (t->has_updates && !t->saying && draw(t, 4) == 0)
        (void)SSL_key_update(t->f->client, draw(t, 2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    result = SSL_write(t->f->client, talk_text + t->said, (int)n);
    t->saying = result > 0 ? 0 : n;
    if (result > 0)
        t->said += (size_t)result;
    else
        assert_int_equal(SSL_get_error(t->f->client, result), SSL_ERROR_WANT_WRITE);
}

static void client_reads(struct talk *t)
{
    static uint8_t got[1 << 16];
    int n = SSL_read(t->f->client, got, (int)draw(t, sizeof got) + 1);

    if (n > 0) {
        assert_memory_equal(got, talk_text + t->heard, (size_t)n);
        t->heard += (size_t)n;
    } else { /* WANT_WRITE: its answer to a KeyUpdate has no room */
        int error = SSL_get_error(t->f->client, n);
        assert_true(error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
    }
    ERR_clear_error();
}

static void we_receive(struct talk *t)
{
    struct connection *c = t->f->c;
    size_t n;
    int result;

    c->readable = true;
    result = connection_receive(c);
    assert_true(result > 0 || result == -E_AGAIN);
    n = draw(t, 4) ? buffer_used(&c->in) : draw(t, buffer_used(&c->in) + 1);
    assert_memory_equal(buffer_content(&c->in).at, talk_text + t->received, n);
    buffer_consume(&c->in, n);
    t->received += n;
}

static void we_send(struct talk *t)
{
    struct connection *c = t->f->c;
    size_t n = draw(t, draw(t, 3) ? 2000 : sizeof talk_text - TALK), room = connection_room(c);
    ssize_t taken;

    if (n > TALK - t->sent)
        n = TALK - t->sent;
    if (n == 0)
        return;
    if (draw(t, 3)) {
        taken = connection_send(c, bytes_of(talk_text + t->sent, n));
        assert_int_equal(taken, n < room ? n : room); /* what was promised */
    } else {
        taken = connection_pass(c, bytes_of(talk_text + t->sent, n));
        assert_true(taken >= 0);
    }
    t->sent += (size_t)taken;
}

static void we_flush(struct talk *t)
{
    int result;

    t->f->c->writable = draw(t, 5) != 0;
    result = connection_flush(t->f->c);
    assert_true(result == 0 || result == -E_AGAIN);
    if (draw(t, 4) == 0)
        connection_settle(t->f->c);
}

static void hold_talk(struct fixture *f, uint32_t seed, bool has_updates)
{
    struct talk t = { .f = f, .random = seed, .has_updates = has_updates };
    size_t turns = 0;

    shake(f);
    SSL_set_mode(f->client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    for (; t.received < TALK || t.heard < TALK; turns++) {
        void (*const acts[])(struct talk *) = { client_writes, client_reads, we_receive, we_send, we_flush };

        acts[draw(&t, COUNT_OF(acts))](&t);
        assert_true(turns < 1000000);
    }
    connection_finish(f->c);
    f->c->writable = true;
    assert_int_equal(connection_flush(f->c), 0);
    for (int i = 0; i < 100 && !(SSL_get_shutdown(f->client) & SSL_RECEIVED_SHUTDOWN); i++)
        assert_true(SSL_read(f->client, talk_text, 1) <= 0);
    assert_true(SSL_get_shutdown(f->client) & SSL_RECEIVED_SHUTDOWN);
    ERR_clear_error();
}

static void both_sides_get_what_was_said_in_whatever_order_things_happen(void **state)
{
    struct fixture *f = *state;
    struct tls_context *usual = context;

    for (size_t i = 0; i < sizeof talk_text; i++)
        talk_text[i] = (uint8_t)(i * 2654435761u >> 13);
    for (uint32_t variant = 0; variant < 8; variant++) {
        struct tls_policy_options policy = intermediate();
        uint16_t version = variant & 1 ? TLS1_3_VERSION : TLS1_2_VERSION;
        SSL_CTX *client = client_context(version, version);

        policy.records = variant & 2 ? TLS_RECORDS_OPENSSL : TLS_RECORDS_AUTO;
        if (variant & 4)
            SSL_CTX_set_tlsext_max_fragment_length(client, TLSEXT_max_fragment_length_2048);
        context = server_context(&policy, &leaf, NULL, (const char *const[]){ NULL });
        for (uint32_t seed = 1; seed <= (variant < 2 ? 6 : 2); seed++) {
            begin_anew(f, client);
            hold_talk(f, seed * 7919, variant & 1);
        }
        tls_context_unref(context);
        SSL_CTX_free(client);
    }
    context = usual;
    begin_anew(f, client_ctx);
}

/* What was collected must not leave between the client's KeyUpdate and ours (RFC 8446 4.6.3). */
static void a_key_update_is_answered_before_what_was_collected(void **state)
{
    struct fixture *f = *state;
    uint8_t sealed[256];
    char got[8];

    shake(f);
    assert_int_equal(connection_send(f->c, BYTES_LITERAL("answer")), 6); /* collected */
    assert_int_equal(SSL_key_update(f->client, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(f->client, "x", 1), 1);
    take_events(f);
    assert_int_equal(connection_receive(f->c), 1);
    assert_int_equal(connection_flush(f->c), 0);
    /* a KeyUpdate's record is five bytes of header, five of message, one of type, and the tag */
    assert_int_equal(recv(f->peer, sealed, sizeof sealed, MSG_PEEK), 27 + 5 + 6 + 1 + 16);
    assert_int_equal(sealed[4], 22);
    assert_int_equal(SSL_read(f->client, got, sizeof got), 6);
    assert_memory_equal(got, "answer", 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_said_arrives_and_close_notify_is_the_end),
        TEST(an_end_without_close_notify_is_a_truncation),
        TEST(who_idles_holds_no_aead_contexts),
        TEST(what_lies_in_the_record_layer_is_known),
        TEST(key_updates_are_forgiven_with_time_and_content_alone_does_not_help),
        TEST(answers_to_key_updates_never_take_the_room_of_what_was_promised),
        TEST(the_end_waits_for_room_and_comes_last),
        TEST(what_is_discarded_is_read_and_not_kept),
        TEST(what_is_passed_leaves_in_whole_records_behind_what_was_sent),
        TEST(tls_begins_on_a_connection_that_was_plain),
        TEST(what_a_plain_connection_had_received_is_tls),
        TEST(a_hello_that_came_in_part_is_completed_by_the_socket),
        TEST(what_waits_in_clear_leaves_before_the_first_record),
        TEST(what_is_somebody_elses_comes_back_whole_from_its_first_byte),
        TEST(a_connection_that_became_plain_again_goes_on),
        TEST(an_end_that_came_with_the_hello_is_still_told),
        TEST(data_in_front_of_a_bad_record_may_still_be_answered_before_the_alert),
        TEST(who_finishes_before_seeing_the_bad_record_says_the_alert_and_not_goodbye),
        TEST(no_read_of_a_stream_ends_within_a_record),
        TEST(what_was_promised_is_taken_after_a_pause_as_well),
        TEST(as_much_can_be_sent_as_there_is_room_for_whatever_waits_already),
        TEST(both_sides_get_what_was_said_in_whatever_order_things_happen),
        TEST(a_key_update_is_answered_before_what_was_collected),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
