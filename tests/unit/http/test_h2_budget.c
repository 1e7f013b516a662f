/* Work that a peer makes without use ends its connection, whatever kind it is, and names the kind; ordinary use of the same
 * frames does not. */
#include "h2_peer.h"

enum { BUDGET = 8000, A_SECOND = 1000000000 };

/* So many times at most, at one moment; the machine ends it before and says why. Returns how many it took. */
static unsigned flood(struct peer *p, int (*act)(struct peer *p, int32_t nth), unsigned most, const char *name)
{
    unsigned n = 0;
    int error = 0;

    while (!error && n < most)
        error = act(p, (int32_t)n++);
    assert_int_equal(error, -E_FLOOD);
    assert_string_equal(h2_flood(p->h2), name);
    expect_goaway(p, H2_ENHANCE_YOUR_CALM);
    assert_int_equal(peer_get(p, 1), -E_FLOOD); /* and it stays so */
    return n;
}

static void close_users(struct peer *p)
{
    for (unsigned i = 0; i < p->user_count; i++) {
        h2_stream_close(&p->users[i]->s, H2_NO_ERROR);
        free(p->users[i]);
    }
    p->user_count = 0;
    arena_reset(&p->arena);
}

/* A request, its answer, and their end. */
static int serve(struct peer *p, int32_t nth)
{
    struct user *u;
    int error = peer_get(p, 2 * nth + 1);

    if (error || p->user_count == 0)
        return error;
    u = p->users[p->user_count - 1];
    assert_int_equal(user_answer(u, 200, 0), 0);
    error = u->s.stream.ops->end(&u->s.stream, NULL);
    close_users(p);
    return error;
}

static int ping(struct peer *p, int32_t nth)
{
    p->read = p->wire_bytes;
    return peer_ping(p, 0);
}

static void pings(void **state)
{
    struct peer *p = peer_server(state);
    assert_int_equal(flood(p, ping, BUDGET, "PING"), BUDGET / 10 - 4 + 1); /* SETTINGS had cost 40 */
}

static int settings(struct peer *p, int32_t nth)
{
    p->read = p->wire_bytes;
    return peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
}

static void settings_again_and_again(void **state)
{
    assert_in_range(flood(peer_server(state), settings, BUDGET, "SETTINGS"), 100, 300);
}

static int rapid_reset(struct peer *p, int32_t nth)
{
    int error = peer_get(p, 2 * nth + 1);

    if (!error)
        error = peer_reset(p, 2 * nth + 1, H2_CANCEL);
    close_users(p);
    return error;
}

static void requests_that_are_reset_at_once(void **state)
{
    assert_in_range(flood(peer_server(state), rapid_reset, BUDGET, "rapid reset"), 300, 600);
}

/* The peer's own rules are broken so that we reset, at its wish. */
static int provoked_reset(struct peer *p, int32_t nth)
{
    int error = peer_head(p, 2 * nth + 1, END_STREAM, REQUEST("GET"), "connection", "close");

    close_users(p);
    return error;
}

static void requests_that_we_must_reset(void **state)
{
    assert_in_range(flood(peer_server(state), provoked_reset, BUDGET, "provoked resets"), 200, 500);
}

static int refused(struct peer *p, int32_t nth)
{
    p->refuses = true;
    return peer_get(p, 2 * nth + 1);
}

static void requests_that_are_refused_without_end(void **state)
{
    assert_in_range(flood(peer_server(state), refused, BUDGET, "provoked resets"), 200, 500);
}

static int small_continuation(struct peer *p, int32_t nth)
{
    return nth == 0 ? peer_frame(p, HEADERS, 0, 1, NULL, 0) : peer_frame(p, CONTINUATION, 0, 1, NULL, 0);
}

static void continuation_of_nothing(void **state)
{
    assert_in_range(flood(peer_server(state), small_continuation, BUDGET, "CONTINUATION"), 100, 300);
}

static int large_continuation(struct peer *p, int32_t nth)
{
    static uint8_t block[16000]; /* one field after the other that is not indexed, of no name and no value */
    return nth == 0 ? peer_frame(p, HEADERS, 0, 1, NULL, 0) : peer_frame(p, CONTINUATION, 0, 1, block, sizeof block);
}

static void a_header_block_without_end(void **state)
{
    struct peer *p = peer_server(state);
    unsigned n = flood(p, large_continuation, BUDGET, "CONTINUATION");
    assert_true(n <= 3); /* 16 KB and four times the limit for heads */
}

/* RFC 7541's table makes a field out of each byte. */
static int hpack_bomb(struct peer *p, int32_t nth)
{
    static uint8_t block[16384];
    int error;

    memset(block, 0x90, sizeof block); /* "accept-encoding: gzip, deflate" */
    error = peer_frame(p, HEADERS, END_STREAM | END_HEADERS, 2 * nth + 1, block, sizeof block);
    close_users(p);
    return error;
}

static void heads_that_grow_when_they_are_decoded(void **state)
{
    assert_in_range(flood(peer_server(state), hpack_bomb, 100, "HPACK bomb"), 2, 10);
}

static int empty_data(struct peer *p, int32_t nth)
{
    return nth == 0 ? peer_head(p, 1, 0, REQUEST("POST")) : peer_data(p, 1, 0, 0);
}

static void data_without_content(void **state)
{
    assert_in_range(flood(peer_server(state), empty_data, BUDGET, "empty DATA"), 200, 500);
}

static int all_padding(struct peer *p, int32_t nth)
{
    return nth == 0 ? peer_head(p, 1, 0, REQUEST("POST")) : peer_frame(p, DATA, PADDED, 1, "\4\0\0\0\0", 5);
}

static void data_that_is_padding_alone(void **state)
{
    assert_in_range(flood(peer_server(state), all_padding, BUDGET, "empty DATA"), 200, 500);
}

static int priority(struct peer *p, int32_t nth)
{
    return peer_frame(p, PRIORITY, 0, 1, "\0\0\0\0\20", 5);
}

static void priorities_of_the_old_kind(void **state)
{
    assert_in_range(flood(peer_server(state), priority, BUDGET, "PRIORITY"), 1500, 2100);
}

static int priority_update(struct peer *p, int32_t nth)
{
    return peer_priority(p, 1, "u=1");
}

static void priorities_of_the_new_kind(void **state)
{
    assert_in_range(flood(peer_server(state), priority_update, BUDGET, "PRIORITY"), 1500, 2100);
}

static int unknown(struct peer *p, int32_t nth)
{
    return peer_frame(p, 0x77, 0, 0, "abc", 3);
}

static void frames_that_nobody_knows(void **state)
{
    assert_in_range(flood(peer_server(state), unknown, BUDGET, "unknown frames"), 500, 900);
}

static int goaway_again(struct peer *p, int32_t nth)
{
    return peer_goaway(p, 0, H2_NO_ERROR);
}

static void goodbyes_without_end(void **state)
{
    assert_in_range(flood(peer_server(state), goaway_again, BUDGET, "unknown frames"), 500, 900);
}

static int window_update(struct peer *p, int32_t nth)
{
    return nth == 0 ? peer_get(p, 1) : peer_window(p, 1, 1);
}

static void windows_that_open_by_a_byte_each(void **state)
{
    assert_in_range(flood(peer_server(state), window_update, BUDGET, "WINDOW_UPDATE"), 2000, 3000);
}

static int window_of_the_gone(struct peer *p, int32_t nth)
{
    if (nth == 0)
        return serve(p, 0);
    return peer_window(p, 1, 1000);
}

static void windows_of_streams_that_are_gone(void **state)
{
    assert_in_range(flood(peer_server(state), window_of_the_gone, BUDGET, "WINDOW_UPDATE"), 1000, 2100);
}

static int data_of_the_gone(struct peer *p, int32_t nth)
{
    if (nth > 0)
        return peer_data(p, 1, 0, 1);
    assert_int_equal(peer_head(p, 1, 0, REQUEST("POST")), 0);
    close_users(p);
    return h2_flush(p->h2);
}

static void data_of_streams_that_are_gone(void **state)
{
    assert_in_range(flood(peer_server(state), data_of_the_gone, BUDGET, "DATA of closed streams"), 2000, 4100);
}

static int interim(struct peer *p, int32_t nth)
{
    if (nth == 0)
        (void)user_ask(p, "GET");
    return peer_head(p, 1, 0, ":status", "103");
}

static void interim_responses_without_end(void **state)
{
    assert_in_range(flood(peer_client(state), interim, BUDGET, "HEADERS"), 2000, 4100);
}

/* A mixture fares no better than one kind, and is named by the most of it. */
static int mixture(struct peer *p, int32_t nth)
{
    switch (nth % 4) {
    case 0:
        return ping(p, nth);
    case 1:
        return settings(p, nth);
    case 2:
        return unknown(p, nth);
    default:
        return priority(p, nth);
    }
}

static void a_mixture_of_all(void **state)
{
    assert_in_range(flood(peer_server(state), mixture, BUDGET, "SETTINGS"), 300, 700);
}

/* ---- what is none ---- */

static void requests_that_are_served_pay_for_themselves(void **state)
{
    struct peer *p = peer_server(state);

    for (int32_t i = 0; i < 3000; i++)
        assert_int_equal(serve(p, i), 0);
    assert_int_equal(p->h2->budget.left, BUDGET);
}

static void time_fills_the_budget_again(void **state)
{
    struct peer *p = peer_server(state);

    for (unsigned i = 0; i < 5000; i++) { /* 30 a second */
        p->now_ns += A_SECOND / 30;
        assert_int_equal(ping(p, 0), 0);
    }
    p->now_ns += 100 * (uint64_t)A_SECOND;
    assert_int_equal(ping(p, 0), 0);
    assert_true(p->h2->budget.left >= BUDGET - 10); /* and no more than full */
    assert_true(p->h2->budget.left <= BUDGET);
}

static void a_clock_that_stands_or_goes_back_fills_nothing(void **state)
{
    struct peer *p = peer_server(state);
    int64_t left;

    p->now_ns = A_SECOND;
    assert_int_equal(ping(p, 0), 0);
    left = p->h2->budget.left;
    p->now_ns = 0;
    assert_int_equal(ping(p, 0), 0);
    assert_int_equal(p->h2->budget.left, left - 10);
}

/* gRPC measures its line so. */
static void a_ping_for_each_piece_of_data_is_free(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u;

    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24), 0);
    assert_int_equal(peer_window(p, 0, 1 << 24), 0);
    assert_int_equal(peer_get(p, 1), 0);
    u = p->users[0];
    assert_int_equal(user_answer(u, 200, 0), 0);
    for (unsigned i = 0; i < 3000; i++) {
        assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("x")), 1);
        assert_int_equal(ping(p, 0), 0);
    }
}

static void window_updates_for_data_that_was_sent_are_free(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u;

    assert_int_equal(peer_get(p, 1), 0);
    u = p->users[0];
    assert_int_equal(user_answer(u, 200, 0), 0);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("0123456789abcdef")), 16);
        assert_int_equal(peer_window(p, 1, 16), 0);
        assert_int_equal(peer_window(p, 0, 16), 0);
    }
}

/* But not where the peer cut the data into bytes. */
static int byte_by_byte(struct peer *p, int32_t nth)
{
    struct user *u;

    if (nth == 0) {
        assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0), 0);
        assert_int_equal(peer_get(p, 1), 0);
        u = p->users[0];
        u->to_send = 1 << 20;
        u->act = user_send;
        assert_int_equal(user_answer(u, 200, 1 << 20), 0);
        user_send(u);
    }
    return peer_window(p, 1, 1);
}

static void a_response_that_is_asked_for_byte_by_byte(void **state)
{
    assert_in_range(flood(peer_server(state), byte_by_byte, BUDGET, "WINDOW_UPDATE"), 2000, 7000);
}

static void what_a_browser_does_is_far_from_it(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_window(p, 0, 15 << 20), 0);
    for (int32_t i = 0; i < 90; i++) { /* a page with everything on it, half of which is not wanted after all */
        assert_int_equal(peer_priority(p, 2 * i + 1, "u=1, i"), 0);
        assert_int_equal(peer_get(p, 2 * i + 1), 0);
    }
    for (int32_t i = 0; i < 45; i++)
        assert_int_equal(peer_reset(p, 2 * i + 1, H2_CANCEL), 0);
    assert_true(p->h2->budget.left > BUDGET * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pings),
        TEST(settings_again_and_again),
        TEST(requests_that_are_reset_at_once),
        TEST(requests_that_we_must_reset),
        TEST(requests_that_are_refused_without_end),
        TEST(continuation_of_nothing),
        TEST(a_header_block_without_end),
        TEST(heads_that_grow_when_they_are_decoded),
        TEST(data_without_content),
        TEST(data_that_is_padding_alone),
        TEST(priorities_of_the_old_kind),
        TEST(priorities_of_the_new_kind),
        TEST(frames_that_nobody_knows),
        TEST(goodbyes_without_end),
        TEST(windows_that_open_by_a_byte_each),
        TEST(windows_of_streams_that_are_gone),
        TEST(data_of_streams_that_are_gone),
        TEST(interim_responses_without_end),
        TEST(a_mixture_of_all),
        TEST(requests_that_are_served_pay_for_themselves),
        TEST(time_fills_the_budget_again),
        TEST(a_clock_that_stands_or_goes_back_fills_nothing),
        TEST(a_ping_for_each_piece_of_data_is_free),
        TEST(window_updates_for_data_that_was_sent_are_free),
        TEST(a_response_that_is_asked_for_byte_by_byte),
        TEST(what_a_browser_does_is_far_from_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
