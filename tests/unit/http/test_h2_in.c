/* Content that an HTTP/2 machine receives: it is pulled, costs no more memory than its window, and windows are given back
 * as bytes are taken (RFC 9113 5.2, 6.9). */
#include "h2_peer.h"

enum { SHARE = 1024, BANK = 65536, FIRST_WINDOW = 65535 }; /* of a server */

static struct user *post(struct peer *p, int32_t id)
{
    assert_int_equal(peer_head(p, id, 0, REQUEST("POST")), 0);
    return p->users[p->user_count - 1];
}

static struct user *post_of(struct peer *p, int32_t id, const char *length)
{
    assert_int_equal(peer_head(p, id, 0, REQUEST("POST"), "content-length", length), 0);
    return p->users[p->user_count - 1];
}

/* What look() would say, without taking anything. */
static int look(struct user *u)
{
    struct bytes data;
    return u->s.stream.ops->look(&u->s.stream, &data);
}

static void who_takes_content_as_it_comes_has_none_of_it_stored(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(look(u), -E_AGAIN);
    u->act = user_take_all;
    assert_int_equal(peer_data(p, 1, 0, 900), 0);
    assert_int_equal(h2_stored_bytes(p->h2), 0);
    expect_got(u, 900);
    assert_int_equal(u->s.in_bytes, 900);
    assert_int_equal(look(u), -E_AGAIN);
    assert_int_equal(peer_data(p, 1, END_STREAM, 0), 0);
    assert_int_equal(look(u), STREAM_END);
}

static void what_nobody_takes_waits_in_the_order_it_came(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_data(p, 1, 0, 10000), 0);
    assert_int_equal(h2_stored_bytes(p->h2), 10000);
    assert_int_equal(user_take(u, 3000), STREAM_DATA);
    assert_int_equal(h2_stored_bytes(p->h2), 7000);
    assert_int_equal(peer_data(p, 1, END_STREAM, 0), 0);
    assert_int_equal(user_take(u, SIZE_MAX), STREAM_END); /* the end comes behind it */
    expect_got(u, 10000);
    assert_int_equal(h2_stored_bytes(p->h2), 0);
}

static void what_is_left_of_a_piece_waits_before_the_next(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);
    uint8_t whole[3000];

    assert_int_equal(peer_data(p, 1, 0, 1000), 0);
    assert_int_equal(user_take(u, 999), STREAM_DATA);
    assert_int_equal(peer_data(p, 1, 0, 1000), 0);
    assert_int_equal(user_take(u, 10), STREAM_DATA);
    assert_int_equal(peer_data(p, 1, 0, 1000), 0);
    user_take_all(u);
    for (size_t i = 0; i < sizeof whole; i++)
        whole[i] = (uint8_t)(i % 1000 * 7 + 1);
    assert_int_equal(u->got_bytes, sizeof whole);
    assert_memory_equal(u->got, whole, sizeof whole);
}

/* The window that the peer has for a stream: what its SETTINGS said, and what came since. */
static void the_windows_of_streams_share_a_bank(void **state)
{
    struct peer *p = peer_server(state);
    struct user *first = post(p, 1);
    uint32_t granted = peer_granted(p, 1), sum = granted;

    assert_int_equal(first->s.window, SHARE + granted);
    assert_int_equal(granted, BANK / 2); /* half of what is left, so that others get some too */
    for (int32_t id = 3; id <= 79; id += 2) {
        struct user *u = post(p, id);

        p->read = 0;
        sum += u->s.window - SHARE;
        assert_true(u->s.window >= SHARE);
    }
    assert_true(sum <= BANK);
    assert_int_equal(p->h2->bank, BANK - sum);
}

static void a_stream_that_ends_gives_its_window_back_to_the_bank(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_true(p->h2->bank < BANK);
    assert_int_equal(peer_data(p, 1, END_STREAM, 2000), 0);
    assert_true(p->h2->bank < BANK); /* its bytes are here yet */
    user_take_all(u);
    assert_int_equal(p->h2->bank, BANK);
    u = post(p, 3);
    assert_true(p->h2->bank < BANK);
    h2_stream_close(&u->s, H2_CANCEL);
    assert_int_equal(p->h2->bank, BANK);
    (void)post(p, 5);
    assert_true(p->h2->bank < BANK);
    assert_int_equal(peer_reset(p, 5, H2_CANCEL), 0);
    h2_stream_close(&p->users[2]->s, H2_CANCEL);
    assert_int_equal(p->h2->bank, BANK);
}

static void who_announces_little_gets_no_more_window_than_that(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(post_of(p, 1, "1024")->s.window, SHARE);
    assert_int_equal(post_of(p, 3, "5000")->s.window, 5000);
    assert_int_equal(post_of(p, 5, "1100")->s.window, SHARE); /* so little is not worth a frame */
    assert_int_equal(peer_granted(p, 3), 5000 - SHARE);
}

static void a_window_is_given_back_as_bytes_are_taken_and_not_before(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);
    uint32_t window = u->s.window;

    (void)peer_granted(p, 1);
    for (uint32_t sent = 0; sent < window; sent += 1024)
        assert_int_equal(peer_data(p, 1, 0, 1024), 0);
    assert_int_equal(peer_granted(p, 1), 0);
    user_take_all(u);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_granted(p, 1) >= window / 2);
}

static void who_sends_more_than_its_window_is_reset(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    for (uint32_t sent = 0; sent < u->s.window; sent += 1024)
        assert_int_equal(peer_data(p, 1, 0, 1024), 0);
    assert_int_equal(peer_data(p, 1, 0, 1), 0);
    expect_reset(p, 1, H2_FLOW_CONTROL_ERROR);
    assert_int_equal(u->s.error, -E_RESET);
    assert_true(h2_stored_bytes(p->h2) <= SHARE + BANK);
}

/* The neighbours of a stream that nobody reads: the connection's window is given back at once. */
static void who_takes_nothing_does_not_hold_up_its_neighbours(void **state)
{
    struct peer *p = peer_server(state);
    struct user *stalled = post(p, 1), *flows = post(p, 3);

    flows->act = user_take_all;
    for (uint32_t sent = 0; sent < stalled->s.window; sent += 1024)
        assert_int_equal(peer_data(p, 1, 0, 1024), 0);
    assert_int_equal(nghttp2_session_get_effective_recv_data_length(p->h2->session) < 1 << 19, 1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(peer_data(p, 3, 0, 1024), 0);
    assert_int_equal(flows->got_bytes, 100 * 1024);
}

/* RFC 9113 6.9.2: until it has our SETTINGS the peer may fill the windows that the RFC gives it. */
static void before_the_peer_knows_our_windows_it_has_those_of_the_rfc(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_SERVER));
    struct user *u;

    assert_int_equal(peer_receive(p, BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    u = post(p, 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(peer_data(p, 1, 0, i < 3 ? 16384 : FIRST_WINDOW - 3 * 16384), 0);
    assert_int_equal(peer_granted(p, 0), 0); /* nor gets more than they are for all its streams */
    assert_int_equal(u->s.error, 0);
    user_take_all(u);
    assert_int_equal(u->got_bytes, FIRST_WINDOW);
}

static void content_beyond_the_connections_first_window_ends_it(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_SERVER));
    int error = 0;

    assert_int_equal(peer_receive(p, BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    for (int32_t id = 1; id <= 9 && !error; id += 2) {
        (void)post(p, id);
        error = peer_data(p, id, 0, 16384);
    }
    assert_int_equal(error, -E_SYNTAX);
    expect_goaway(p, H2_FLOW_CONTROL_ERROR);
    assert_true(h2_stored_bytes(p->h2) <= FIRST_WINDOW);
}

static void when_our_windows_are_known_the_connections_is_given_back(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_SERVER));

    assert_int_equal(peer_receive(p, BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    (void)post(p, 1);
    assert_int_equal(peer_data(p, 1, 0, 1024), 0);
    assert_int_equal(peer_granted(p, 0), 0);
    assert_int_equal(p->users[0]->s.window, SHARE); /* the bank waits as well */
    p->read = 0;
    assert_int_equal(peer_frame(p, SETTINGS, ACK, 0, NULL, 0), 0);
    assert_int_equal(peer_granted(p, 0), (1 << 20) - FIRST_WINDOW);
    assert_true(p->users[0]->s.window > SHARE);
    assert_int_equal(p->h2->bank + p->users[0]->s.window, BANK + SHARE);
}

static void content_that_is_not_as_long_as_announced_resets_its_stream(void **state)
{
    struct peer *p = peer_server(state);
    struct user *longer = post_of(p, 1, "5"), *shorter = post_of(p, 3, "5"), *none = post_of(p, 5, "5"),
                *right = post_of(p, 7, "5");

    assert_int_equal(peer_data(p, 1, 0, 5), 0);
    assert_int_equal(longer->s.error, 0);
    assert_int_equal(peer_data(p, 1, 0, 1), 0);
    assert_int_equal(longer->s.error, -E_AMBIGUOUS);
    expect_reset(p, 1, H2_PROTOCOL_ERROR);
    assert_int_equal(look(longer), -E_AMBIGUOUS); /* what came before is of no use any more */
    assert_int_equal(peer_data(p, 3, END_STREAM, 4), 0);
    assert_int_equal(shorter->s.error, -E_AMBIGUOUS);
    expect_reset(p, 3, H2_PROTOCOL_ERROR);
    assert_int_equal(peer_data(p, 5, END_STREAM, 0), 0);
    assert_int_equal(none->s.error, -E_AMBIGUOUS);
    expect_reset(p, 5, H2_PROTOCOL_ERROR);
    assert_int_equal(peer_data(p, 7, 0, 2), 0);
    assert_int_equal(peer_data(p, 7, END_STREAM, 3), 0);
    assert_int_equal(right->s.error, 0);
    user_take_all(right);
    assert_int_equal(right->got_bytes, 5);
    assert_int_equal(h2_stored_bytes(p->h2), 0);
}

static void a_response_has_a_head_before_its_content(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET"), *interim = user_ask(p, "GET");
    struct message m;

    assert_int_equal(peer_head(p, interim->s.id, 0, ":status", "103"), 0);
    assert_int_equal(peer_data(p, interim->s.id, 0, 1), 0);
    expect_reset(p, interim->s.id, H2_PROTOCOL_ERROR);
    assert_int_equal(interim->s.error, -E_SYNTAX);
    assert_int_equal(peer_data(p, u->s.id, 0, 1), -E_SYNTAX); /* without any, nghttp2 takes it for the connection's fault */
    assert_int_equal(user_head(u, &m), -E_AGAIN);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void padding_counts_against_windows_and_is_not_content(void **state)
{
    static const uint8_t padded[] = { 4, 'a', 'b', 'c', 0, 0, 0, 0 };
    struct peer *p = peer_server(state);
    struct user *u = post_of(p, 1, "3");

    assert_int_equal(peer_frame(p, DATA, PADDED | END_STREAM, 1, padded, sizeof padded), 0);
    user_take_all(u);
    assert_int_equal(u->got_bytes, 3);
    assert_memory_equal(u->got, "abc", 3);
    assert_int_equal(u->s.error, 0);
}

/* From within its event, with a chunk at hand: the stream's memory is its user's from there on. */
static void close_and_free(struct user *u)
{
    struct peer *p = u->peer;

    h2_stream_close(&u->s, H2_CANCEL);
    CHECK(u == p->users[p->user_count - 1]);
    p->user_count--;
    free(u);
}

static void a_stream_may_be_closed_while_its_content_comes(void **state)
{
    struct peer *p = peer_server(state);

    post(p, 1)->act = close_and_free;
    assert_int_equal(peer_data(p, 1, 0, 500), 0);
    expect_reset(p, 1, H2_CANCEL);
    assert_int_equal(h2_stored_bytes(p->h2), 0);
    assert_int_equal(peer_data(p, 1, 0, 500), 0); /* on its way meanwhile: it is dropped */
    expect_quiet(p);
}

static void take_ten_bytes(struct user *u)
{
    if (u->got_bytes < 10)
        (void)user_take(u, 10 - u->got_bytes);
}

static void what_a_user_leaves_of_a_chunk_is_stored(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    u->act = take_ten_bytes;
    assert_int_equal(peer_data(p, 1, 0, 3000), 0);
    assert_int_equal(u->got_bytes, 10);
    assert_int_equal(h2_stored_bytes(p->h2), 3000 - 10);
    user_take_all(u);
    expect_got(u, 3000);
}

static void content_that_is_whole_outlives_its_stream_and_its_machine(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_data(p, 1, END_STREAM, 700), 0);
    assert_int_equal(peer_reset(p, 1, H2_CANCEL), 0);
    assert_int_equal(user_take(u, 300), STREAM_DATA);
    assert_int_equal(user_take(u, SIZE_MAX), STREAM_END);
    expect_got(u, 700);
}

static void content_that_is_not_whole_ends_with_the_error(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_data(p, 1, 0, 700), 0);
    assert_int_equal(peer_reset(p, 1, H2_CANCEL), 0);
    assert_int_equal(look(u), -E_RESET);
    assert_int_equal(u->s.reset_code, H2_CANCEL);
}

static void a_machine_that_goes_leaves_nothing_stored(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_data(p, 1, 0, 5000), 0);
    h2_free(p->h2);
    p->h2 = NULL;
    assert_null(u->s.h2);
    assert_int_equal(u->s.stored_bytes, 0);
    assert_int_equal(look(u), -E_TRUNCATED);
}

static void a_server_may_send_what_a_client_takes_in_windows_of_its_own(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET");
    struct message m;

    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "200"), 0);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.body, BODY_STREAMED);
    assert_int_equal(u->s.window, 256 * 1024); /* the most of one stream */
    assert_int_equal(p->h2->bank, (1 << 20) - 224 * 1024);
    u->act = user_take_all;
    assert_int_equal(peer_data(p, u->s.id, 0, 16384), 0);
    assert_int_equal(peer_data(p, u->s.id, END_STREAM, 0), 0);
    expect_got(u, 16384);
    assert_int_equal(p->h2->bank, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_takes_content_as_it_comes_has_none_of_it_stored),
        TEST(what_nobody_takes_waits_in_the_order_it_came),
        TEST(what_is_left_of_a_piece_waits_before_the_next),
        TEST(the_windows_of_streams_share_a_bank),
        TEST(a_stream_that_ends_gives_its_window_back_to_the_bank),
        TEST(who_announces_little_gets_no_more_window_than_that),
        TEST(a_window_is_given_back_as_bytes_are_taken_and_not_before),
        TEST(who_sends_more_than_its_window_is_reset),
        TEST(who_takes_nothing_does_not_hold_up_its_neighbours),
        TEST(before_the_peer_knows_our_windows_it_has_those_of_the_rfc),
        TEST(content_beyond_the_connections_first_window_ends_it),
        TEST(when_our_windows_are_known_the_connections_is_given_back),
        TEST(content_that_is_not_as_long_as_announced_resets_its_stream),
        TEST(a_response_has_a_head_before_its_content),
        TEST(padding_counts_against_windows_and_is_not_content),
        TEST(a_stream_may_be_closed_while_its_content_comes),
        TEST(what_a_user_leaves_of_a_chunk_is_stored),
        TEST(content_that_is_whole_outlives_its_stream_and_its_machine),
        TEST(content_that_is_not_whole_ends_with_the_error),
        TEST(a_machine_that_goes_leaves_nothing_stored),
        TEST(a_server_may_send_what_a_client_takes_in_windows_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
