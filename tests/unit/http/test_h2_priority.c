/* RFC 9218: what a Priority field says, and what it does not say; PRIORITY_UPDATE. What follows from them is in
 * test_h2_out.c. */
#include "h2_peer.h"

static void expect(const char *value, unsigned urgency, bool incremental)
{
    uint8_t u = 3;
    bool i = false;

    h2_priority_parse(bytes_of_text(value), &u, &i);
    assert_int_equal(u, urgency);
    assert_int_equal(i, incremental);
}

static void urgency_and_incremental_are_read(void **state)
{
    expect("u=0", 0, false);
    expect("u=7, i", 7, true);
    expect("i, u=1", 1, true);
    expect("u=5,i=?1", 5, true);
    expect("i, i=?0", 3, false); /* RFC 8941 3.2: the last one counts */
}

static void what_is_unknown_is_passed_over(void **state)
{
    expect("u=2;q=1, x=\"y\", i;z", 2, true);
    expect("", 3, false);
    expect("x", 3, false);
}

static void what_is_malformed_says_nothing(void **state)
{
    expect("u=8", 3, false);
    expect("u=-1", 3, false);
    expect("u=10", 3, false);
    expect("u", 3, false);
    expect("i=1", 3, false);
    expect(",,,", 3, false);
}

/* ---- PRIORITY_UPDATE ---- */

static void expect_priority(const struct user *u, unsigned urgency, bool incremental)
{
    assert_int_equal(u->s.urgency, urgency);
    assert_int_equal(u->s.incremental, incremental);
}

static void a_request_without_one_is_of_the_usual_urgency(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    expect_priority(p->users[0], 3, false);
}

static void an_update_says_all_anew(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("GET"), "priority", "u=1, i"), 0);
    expect_priority(p->users[0], 1, true);
    assert_int_equal(peer_priority(p, 1, "u=5"), 0);
    expect_priority(p->users[0], 5, false); /* what it does not say is as by default (RFC 9218 7) */
    assert_int_equal(peer_priority(p, 1, ""), 0);
    expect_priority(p->users[0], 3, false);
}

static void an_update_that_comes_before_its_stream_counts_more_than_the_field(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_priority(p, 3, "u=7"), 0);
    assert_int_equal(peer_priority(p, 3, "u=0, i"), 0); /* the latest */
    assert_int_equal(peer_priority(p, 5, "u=6"), 0);
    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("GET"), "priority", "u=2"), 0);
    assert_int_equal(peer_head(p, 3, END_STREAM, REQUEST("GET"), "priority", "u=2"), 0);
    expect_priority(p->users[0], 2, false);
    expect_priority(p->users[1], 0, true);
}

static void of_updates_that_come_early_only_some_are_kept(void **state)
{
    struct peer *p = peer_server(state);

    for (int32_t id = 1; id < 1 + 2 * (H2_EARLY_PRIORITIES + 4); id += 2)
        assert_int_equal(peer_priority(p, id, "u=0"), 0);
    assert_int_equal(peer_get(p, 7), 0);
    assert_int_equal(peer_get(p, 9), 0);
    expect_priority(p->users[0], 3, false);
    expect_priority(p->users[1], 0, false);
}

static void an_update_for_a_stream_that_is_gone_is_nothing(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    h2_stream_close(&p->users[0]->s, H2_CANCEL);
    assert_int_equal(peer_priority(p, 1, "u=0"), 0);
    assert_int_equal(p->h2->early_next, 0);
}

static void an_update_that_says_more_than_we_know_says_nothing(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    assert_int_equal(peer_priority(p, 1, "u=0, i, some-other-member=\"of a length that is beyond the storage\""), 0);
    expect_priority(p->users[0], 3, false);
}

static void an_update_without_a_request_to_go_with_ends_the_connection(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_priority(p, 0, "u=0"), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void an_update_for_a_push_ends_the_connection(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_priority(p, 2, "u=0"), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void an_update_on_a_stream_ends_the_connection(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_get(p, 1), 0);
    assert_int_equal(peer_frame(p, PRIORITY_UPDATE, 0, 1, "\0\0\0\1u=0", 7), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void an_update_that_is_too_short_ends_the_connection(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_frame(p, PRIORITY_UPDATE, 0, 0, "\0\0\0", 3), -E_SYNTAX);
    expect_goaway(p, NGHTTP2_FRAME_SIZE_ERROR);
}

static void a_server_sends_none(void **state)
{
    struct peer *p = peer_client(state);

    (void)user_ask(p, "GET");
    assert_int_equal(peer_priority(p, 1, "u=0"), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urgency_and_incremental_are_read),
        cmocka_unit_test(what_is_unknown_is_passed_over),
        cmocka_unit_test(what_is_malformed_says_nothing),
        TEST(a_request_without_one_is_of_the_usual_urgency),
        TEST(an_update_says_all_anew),
        TEST(an_update_that_comes_before_its_stream_counts_more_than_the_field),
        TEST(of_updates_that_come_early_only_some_are_kept),
        TEST(an_update_for_a_stream_that_is_gone_is_nothing),
        TEST(an_update_that_says_more_than_we_know_says_nothing),
        TEST(an_update_without_a_request_to_go_with_ends_the_connection),
        TEST(an_update_for_a_push_ends_the_connection),
        TEST(an_update_on_a_stream_ends_the_connection),
        TEST(an_update_that_is_too_short_ends_the_connection),
        TEST(a_server_sends_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
