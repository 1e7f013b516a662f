/* What the peer's own frames forbid it, of which nghttp2 says nothing (RFC 9113 5.1, 5.1.1, 5.3.1 of RFC 7540). */
#include "h2_peer.h"

static void expect_fault(struct peer *p, int error, uint32_t code)
{
    assert_int_equal(error, -E_SYNTAX);
    expect_goaway(p, code);
}

static int post(struct peer *p, int32_t id)
{
    return peer_head(p, id, 0, REQUEST("POST"));
}

static void behind_its_end_a_stream_has_no_more_data(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    expect_fault(p, peer_data(p, 1, 0, 3), H2_STREAM_CLOSED);
    assert_int_equal(p->users[0]->s.in_bytes, 0);
}

static void behind_the_end_with_data_there_is_no_more(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(post(p, 1), 0);
    assert_int_equal(peer_data(p, 1, END_STREAM, 3), 0);
    expect_fault(p, peer_data(p, 1, 0, 3), H2_STREAM_CLOSED);
}

static void behind_its_end_a_stream_has_no_more_heads(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    expect_fault(p, peer_get(p, 1), H2_STREAM_CLOSED);
    assert_int_equal(p->user_count, 1);
}

static void behind_its_reset_a_stream_has_nothing_more(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(post(p, 1), 0);
    assert_int_equal(peer_reset(p, 1, H2_CANCEL), 0);
    expect_fault(p, peer_data(p, 1, END_STREAM, 3), H2_STREAM_CLOSED);
}

static void behind_trailers_there_is_nothing_more(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(post(p, 1), 0);
    assert_int_equal(peer_head(p, 1, END_STREAM, "x", "y"), 0);
    expect_fault(p, peer_head(p, 1, END_STREAM, "x", "y"), H2_STREAM_CLOSED);
}

static void a_stream_that_was_passed_over_is_not_opened_later(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    assert_int_equal(peer_get(p, 7), 0);
    expect_fault(p, peer_get(p, 3), H2_PROTOCOL_ERROR);
    assert_int_equal(p->user_count, 2);
}

static void a_stream_that_was_passed_over_has_no_data(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 7), 0);
    expect_fault(p, peer_data(p, 3, 0, 3), H2_STREAM_CLOSED);
}

/* What we did meanwhile the peer could not know. */
static void what_comes_for_a_stream_that_we_reset_is_dropped(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(post(p, 1), 0);
    h2_stream_close(&p->users[0]->s, H2_CANCEL);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_int_equal(peer_data(p, 1, 0, 100), 0);
    assert_int_equal(peer_head(p, 1, END_STREAM, "x", "y"), 0);
    assert_int_equal(peer_get(p, 3), 0);
    expect_reset(p, 1, H2_CANCEL);
    expect_quiet(p);
}

static void what_was_long_ago_is_not_remembered_and_harms_nobody(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    h2_stream_close(&p->users[0]->s, H2_CANCEL);
    assert_int_equal(peer_get(p, 1 + 2 * H2_WATCHED), 0);
    assert_int_equal(peer_data(p, 1, 0, 3), 0);
    assert_int_equal(p->users[0]->s.in_bytes, 0);
    assert_int_equal(peer_get(p, 1 + 8 * H2_WATCHED), 0);
    assert_int_equal(peer_get(p, 3 + 8 * H2_WATCHED), 0);
    assert_int_equal(p->user_count, 4);
    /* what lies between is skipped all the same */
    expect_fault(p, peer_get(p, 1 + 8 * H2_WATCHED - 2 * (H2_WATCHED - 2)), H2_PROTOCOL_ERROR);
}

static void what_came_before_the_fault_counts(void **state)
{
    struct peer *p = peer_server(state);
    uint8_t frames[200];
    static const uint8_t head[] = { 0x82, 0x84, 0x87, 0x01, 1, 'a' };
    size_t n = peer_make(frames, HEADERS, END_HEADERS | END_STREAM, 1, head, sizeof head);

    n += peer_make(frames + n, DATA, 0, 1, "abc", 3);
    n += peer_make(frames + n, HEADERS, END_HEADERS | END_STREAM, 3, head, sizeof head);
    expect_fault(p, peer_receive(p, bytes_of(frames, n)), H2_STREAM_CLOSED);
    assert_int_equal(p->user_count, 1);
}

static void a_stream_does_not_depend_on_itself(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_frame(p, PRIORITY, 0, 3, "\0\0\0\5\20", 5), 0);
    assert_int_equal(peer_frame(p, PRIORITY, 0, 3, "\x80\0\0\1\20", 5), 0);
    expect_fault(p, peer_frame(p, PRIORITY, 0, 3, "\x80\0\0\3\20", 5), H2_PROTOCOL_ERROR);
}

static void the_connection_has_no_priority(void **state)
{
    struct peer *p = peer_server(state);
    expect_fault(p, peer_frame(p, PRIORITY, 0, 0, "\0\0\0\3\20", 5), H2_PROTOCOL_ERROR);
}

static void a_priority_of_another_size_resets_nobody_else(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    expect_fault(p, peer_frame(p, PRIORITY, 0, 1, "\0\0\0\5", 4), NGHTTP2_FRAME_SIZE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(behind_its_end_a_stream_has_no_more_data),
        TEST(behind_the_end_with_data_there_is_no_more),
        TEST(behind_its_end_a_stream_has_no_more_heads),
        TEST(behind_its_reset_a_stream_has_nothing_more),
        TEST(behind_trailers_there_is_nothing_more),
        TEST(a_stream_that_was_passed_over_is_not_opened_later),
        TEST(a_stream_that_was_passed_over_has_no_data),
        TEST(what_comes_for_a_stream_that_we_reset_is_dropped),
        TEST(what_was_long_ago_is_not_remembered_and_harms_nobody),
        TEST(what_came_before_the_fault_counts),
        TEST(a_stream_does_not_depend_on_itself),
        TEST(the_connection_has_no_priority),
        TEST(a_priority_of_another_size_resets_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
