/* The life of an HTTP/2 connection: what is said first, streams that begin and end, GOAWAY from either side, errors of the
 * connection and what its streams hear of them. */
#include "h2_peer.h"

static struct user *post(struct peer *p, int32_t id)
{
    assert_int_equal(peer_head(p, id, 0, REQUEST("POST")), 0);
    return p->users[p->user_count - 1];
}

static struct user *get(struct peer *p, int32_t id)
{
    assert_int_equal(peer_get(p, id), 0);
    return p->users[p->user_count - 1];
}

/* ---- what is said first ---- */

/* The value of a setting in our first frame; -1: not there. */
static int64_t setting(struct peer *p, unsigned name)
{
    struct peer_frame f;

    p->read = p->h2->options.role == H2_CLIENT ? PEER_PREFACE : 0;
    assert_true(peer_next(p, &f));
    assert_int_equal(f.type, SETTINGS);
    for (size_t i = 0; i + 6 <= f.size; i += 6)
        if (f.payload[i] == 0 && f.payload[i + 1] == name)
            return peer_u32(f.payload + i + 2);
    return -1;
}

static void a_server_says_first_what_it_takes(void **state)
{
    struct h2_options options = peer_options(H2_SERVER);
    struct peer *p;

    options.streams_most = 17;
    options.connect_protocol = true;
    p = peer_begin(*state, options);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE), 1024);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE), 2000 + 20 * 32);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 17);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL), 1);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES), 1);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_ENABLE_PUSH), -1);
    assert_false(h2_is_open(p->h2));
}

static void a_server_offers_extended_connect_only_where_it_is_served(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_SERVER));
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL), -1);
}

static void a_client_wants_nothing_pushed(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_CLIENT));

    assert_int_equal(setting(p, NGHTTP2_SETTINGS_ENABLE_PUSH), 0);
    assert_int_equal(setting(p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), -1);
    assert_false(h2_is_open(p->h2));
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    assert_true(h2_is_open(p->h2));
}

static void a_push_ends_the_connection(void **state)
{
    struct peer *p = peer_client(state);
    const uint8_t promise[] = { 0, 0, 0, 2, 0x82, 0x84, 0x87 };

    (void)user_ask(p, "GET");
    assert_int_equal(peer_frame(p, PUSH_PROMISE, END_HEADERS, 1, promise, sizeof promise), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void what_is_no_preface_ends_the_connection(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_SERVER));

    assert_int_equal(peer_receive(p, BYTES_LITERAL("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")), -E_SYNTAX);
    assert_int_equal(p->user_count, 0);
}

static void settings_are_acknowledged_and_pings_answered(void **state)
{
    struct peer *p = peer_server(state);
    struct peer_frame f;

    p->read = p->wire_bytes;
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    assert_true(peer_next(p, &f));
    assert_int_equal(f.type, SETTINGS);
    assert_int_equal(f.flags, ACK);
    assert_int_equal(peer_ping(p, 0), 0);
    assert_true(peer_next(p, &f));
    assert_int_equal(f.type, PING);
    assert_int_equal(f.flags, ACK);
    assert_memory_equal(f.payload, "\0\0\0\0\0\0\0\1", 8);
}

static void answers_to_our_pings_are_counted(void **state)
{
    struct peer *p = peer_client(state);
    struct peer_frame f;

    assert_int_equal(h2_ping(p->h2), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, PING, 0, &f));
    assert_int_equal(f.flags, 0);
    assert_int_equal(h2_pongs(p->h2), 0);
    assert_int_equal(peer_ping(p, ACK), 0);
    assert_int_equal(h2_pongs(p->h2), 1);
}

/* ---- streams of a server ---- */

static void a_head_in_pieces_is_one_request_when_it_is_complete(void **state)
{
    static const uint8_t one[] = { 0x82, 0x87 }, two[] = { 0x84, 0x01, 6 };
    struct peer *p = peer_server(state);
    struct message m;

    assert_false(h2_in_head(p->h2));
    assert_int_equal(peer_frame(p, HEADERS, END_STREAM, 1, one, sizeof one), 0);
    assert_true(h2_in_head(p->h2));
    assert_int_equal(p->users[0]->events, 0);
    assert_int_equal(peer_frame(p, CONTINUATION, 0, 1, two, sizeof two), 0);
    assert_true(h2_in_head(p->h2));
    assert_int_equal(peer_frame(p, CONTINUATION, END_HEADERS, 1, "a.test", 6), 0);
    assert_false(h2_in_head(p->h2));
    assert_int_equal(p->users[0]->events, 1);
    assert_int_equal(user_head(p->users[0], &m), 0);
    assert_memory_equal(m.authority.at, "a.test", 6);
}

static void who_is_not_accepted_is_refused_and_may_try_again(void **state)
{
    struct peer *p = peer_server(state);

    p->refuses = true;
    assert_int_equal(peer_head(p, 1, 0, REQUEST("POST")), 0);
    expect_reset(p, 1, H2_REFUSED_STREAM);
    assert_int_equal(peer_data(p, 1, END_STREAM, 10), 0); /* on its way meanwhile */
    p->refuses = false;
    (void)get(p, 3);
    expect_quiet(p);
}

static struct peer *for_two_streams(void **state, bool known)
{
    struct h2_options options = peer_options(H2_SERVER);
    struct peer *p;

    options.streams_most = 2;
    p = peer_begin(*state, options);
    assert_int_equal(peer_receive(p, BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), 0);
    assert_int_equal(peer_frame(p, SETTINGS, 0, 0, NULL, 0), 0);
    if (known)
        assert_int_equal(peer_frame(p, SETTINGS, ACK, 0, NULL, 0), 0);
    return p;
}

static void who_does_not_know_how_many_streams_are_allowed_is_refused_those_beyond(void **state)
{
    struct peer *p = for_two_streams(state, false);

    (void)get(p, 1);
    (void)get(p, 3);
    assert_int_equal(peer_get(p, 5), 0);
    expect_reset(p, 5, H2_REFUSED_STREAM);
    assert_int_equal(p->user_count, 2);
}

static void who_knows_it_opens_no_more(void **state)
{
    struct peer *p = for_two_streams(state, true);
    struct user *u = get(p, 1);

    (void)get(p, 3);
    h2_stream_close(&u->s, H2_INTERNAL_ERROR);
    assert_int_equal(h2_flush(p->h2), 0);
    expect_reset(p, 1, H2_INTERNAL_ERROR);
    (void)get(p, 5); /* in its place */
    assert_int_equal(h2_stream_count(p->h2), 2);
    assert_int_equal(peer_get(p, 7), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
    assert_int_equal(p->user_count, 3);
}

/* RFC 9113 8.1: whoever has the whole answer need not send the rest of the request. */
static void an_answer_before_the_requests_end_stops_the_request_without_an_error(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(user_answer(u, 413, 0), 0);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0);
    h2_stream_close(&u->s, H2_NO_ERROR);
    assert_int_equal(h2_flush(p->h2), 0);
    expect_reset(p, 1, H2_NO_ERROR);
}

static void a_stream_that_ended_well_is_closed_without_a_word(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);

    assert_int_equal(user_answer(u, 200, 0), 0);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0);
    assert_int_equal(u->s.error, 0);
    assert_int_equal(h2_stream_count(p->h2), 0); /* also while its user holds it */
    p->read = p->wire_bytes;
    h2_stream_close(&u->s, H2_CANCEL);
    assert_int_equal(h2_flush(p->h2), 0);
    expect_quiet(p);
}

static void a_reset_by_the_peer_is_told_with_its_code(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);
    unsigned events = u->events;

    assert_int_equal(peer_reset(p, 1, 77), 0);
    assert_int_equal(u->events, events + 1);
    assert_int_equal(u->s.error, -E_RESET);
    assert_int_equal(u->s.reset_code, 77);
    assert_false(u->s.unprocessed);
}

static void close_the_others(struct user *u)
{
    struct peer *p = u->peer;

    for (unsigned i = 0; i < p->user_count; i++)
        if (p->users[i] != u)
            h2_stream_close(&p->users[i]->s, H2_CANCEL);
}

static void whoever_hears_something_may_close_who_was_to_hear_next(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = get(p, 1), *b = get(p, 3);
    unsigned heard = b->events;

    a->act = close_the_others;
    h2_stream_poke(&a->s);
    h2_stream_poke(&b->s);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_int_equal(b->events, heard);
    expect_reset(p, 3, H2_CANCEL);
}

static void poke_again(struct user *u)
{
    if (u->events < 3)
        h2_stream_poke(&u->s);
}

static void who_is_poked_hears_it_once_a_turn(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);

    h2_stream_poke(&u->s);
    h2_stream_poke(&u->s);
    u->act = poke_again;
    assert_int_equal(h2_flush(p->h2), 0);
    assert_int_equal(u->events, 2);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_int_equal(u->events, 3);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_int_equal(u->events, 3);
}

/* ---- GOAWAY of a server ---- */

static void draining_serves_what_is_on_its_way_and_then_says_the_true_number(void **state)
{
    struct peer *p = peer_server(state);
    struct peer_frame f;

    (void)get(p, 1);
    h2_drain(p->h2);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, PING, 0, &f));
    assert_true(peer_find(p, GOAWAY, 0, &f));
    assert_int_equal(peer_u32(f.payload), INT32_MAX);
    assert_int_equal(peer_u32(f.payload + 4), H2_NO_ERROR);
    (void)get(p, 3); /* it crossed */
    assert_false(h2_is_final(p->h2));
    assert_int_equal(peer_frame(p, PING, ACK, 0, "\0\0\0\0\0\0\0", 8), 0);
    assert_true(h2_is_final(p->h2));
    assert_true(peer_find(p, GOAWAY, 0, &f));
    assert_int_equal(peer_u32(f.payload), 3);
    assert_int_equal(peer_get(p, 5), 0);
    assert_int_equal(p->user_count, 2); /* it was told */
    assert_int_equal(user_answer(p->users[1], 200, 0), 0);
}

static void who_does_not_answer_is_told_the_true_number_all_the_same(void **state)
{
    struct peer *p = peer_server(state);
    struct peer_frame f;

    (void)get(p, 1);
    h2_drain(p->h2);
    h2_drain(p->h2);
    h2_drain_final(p->h2);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, GOAWAY, 0, &f));
    assert_true(peer_find(p, GOAWAY, 0, &f));
    assert_int_equal(peer_u32(f.payload), 1);
    assert_false(peer_find(p, GOAWAY, 0, &f));
}

static void a_client_does_not_drain(void **state)
{
    struct peer *p = peer_client(state);

    p->read = p->wire_bytes;
    h2_drain(p->h2);
    assert_int_equal(h2_flush(p->h2), 0);
    expect_quiet(p);
}

static void a_connection_that_is_ended_says_why_and_hears_nothing_more(void **state)
{
    struct peer *p = peer_server(state);

    h2_terminate(p->h2, H2_ENHANCE_YOUR_CALM);
    expect_goaway(p, H2_ENHANCE_YOUR_CALM);
    assert_true(h2_is_final(p->h2));
    (void)!peer_get(p, 1);
    assert_int_equal(p->user_count, 0);
}

/* ---- GOAWAY of a server, as its client sees it ---- */

static void after_goaway_streams_below_its_number_go_on_and_others_may_be_repeated(void **state)
{
    struct peer *p = peer_client(state);
    struct user *kept = user_ask(p, "POST"), *lost = user_ask(p, "POST"), *another = peer_user(p);
    struct message m;

    assert_int_equal(h2_goaway_code(p->h2), -1);
    assert_int_equal(peer_goaway(p, 1, H2_NO_ERROR), 0);
    assert_int_equal(h2_goaway_code(p->h2), H2_NO_ERROR);
    assert_true(lost->s.unprocessed);
    assert_int_equal(lost->s.error, -E_RESET);
    assert_false(kept->s.unprocessed);
    assert_int_equal(peer_head(p, 1, END_STREAM, ":status", "200"), 0);
    assert_int_equal(user_head(kept, &m), 0);
    assert_int_equal(h2_streams_free(p->h2), 0);
    assert_int_equal(h2_stream_open(p->h2, &another->s), -E_CLOSED);
    assert_true(h2_is_final(p->h2));
}

static void a_refused_stream_may_be_repeated_and_another_reset_may_not(void **state)
{
    struct peer *p = peer_client(state);
    struct user *refused = user_ask(p, "POST"), *reset = user_ask(p, "POST");

    assert_int_equal(peer_reset(p, refused->s.id, H2_REFUSED_STREAM), 0);
    assert_true(refused->s.unprocessed);
    assert_int_equal(refused->s.reset_code, H2_REFUSED_STREAM);
    assert_int_equal(peer_reset(p, reset->s.id, H2_INTERNAL_ERROR), 0);
    assert_false(reset->s.unprocessed);
}

/* ---- how many streams a client opens ---- */

static void a_client_opens_as_many_streams_as_the_server_allows(void **state)
{
    struct peer *p = peer_begin(*state, peer_options(H2_CLIENT));
    struct user *first, *more = peer_user(p);

    assert_int_equal(h2_streams_free(p->h2), 100); /* until it says */
    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2), 0);
    assert_int_equal(h2_streams_free(p->h2), 2);
    first = user_ask(p, "GET");
    (void)user_ask(p, "GET");
    assert_int_equal(h2_stream_open(p->h2, &more->s), -E_LIMIT);
    assert_int_equal(peer_head(p, first->s.id, END_STREAM, ":status", "200"), 0);
    assert_int_equal(h2_streams_free(p->h2), 1);
    assert_int_equal(h2_stream_open(p->h2, &more->s), 0);
    assert_int_equal(h2_streams_free(p->h2), 0); /* one that has sent nothing yet counts */
    h2_stream_close(&more->s, H2_CANCEL);
    assert_int_equal(h2_streams_free(p->h2), 1);
}

/* ---- errors of the connection ---- */

static void an_error_of_the_connection_is_told_and_lasts(void **state)
{
    struct peer *p = peer_server(state);

    assert_string_equal(h2_reason(p->h2), "");
    assert_int_equal(peer_frame(p, SETTINGS, 0, 1, NULL, 0), -E_SYNTAX); /* of a stream */
    expect_goaway(p, H2_PROTOCOL_ERROR);
    assert_true(strlen(h2_reason(p->h2)) > 0);
    assert_null(h2_flood(p->h2));
    assert_int_equal(peer_get(p, 1), -E_SYNTAX);
    assert_int_equal(h2_ping(p->h2), -E_SYNTAX);
    assert_int_equal(p->user_count, 0);
}

static void each_fault_of_a_connection_has_its_code(void **state)
{
    static const struct {
        uint8_t type;
        int32_t id;
        const char *payload;
        size_t size;
        uint32_t code;
    } faults[] = {
        { PING, 0, "1234567", 7, NGHTTP2_FRAME_SIZE_ERROR },
        { PING, 1, "12345678", 8, H2_PROTOCOL_ERROR },
        { SETTINGS, 0, "12345", 5, NGHTTP2_FRAME_SIZE_ERROR },
        { SETTINGS, 0, "\0\4\x80\0\0\0", 6, H2_FLOW_CONTROL_ERROR },     /* INITIAL_WINDOW_SIZE of 2^31 */
        { SETTINGS, 0, "\0\2\0\0\0\2", 6, H2_PROTOCOL_ERROR },           /* ENABLE_PUSH of 2 */
        { WINDOW_UPDATE, 0, "\0\0\0\0", 4, H2_PROTOCOL_ERROR },
        { WINDOW_UPDATE, 0, "\x7f\xff\xff\xff", 4, H2_FLOW_CONTROL_ERROR }, /* beyond 2^31 - 1 */
        { WINDOW_UPDATE, 0, "\0\0\1", 3, NGHTTP2_FRAME_SIZE_ERROR },
        { WINDOW_UPDATE, 1, "\0\0\0\1", 4, H2_PROTOCOL_ERROR },          /* of a stream that nobody opened */
        { RST_STREAM, 0, "\0\0\0\0", 4, H2_PROTOCOL_ERROR },
        { RST_STREAM, 1, "\0\0\0\0", 4, H2_PROTOCOL_ERROR },             /* the same */
        { DATA, 0, "", 0, H2_PROTOCOL_ERROR },
        { HEADERS, 0, "\x82", 1, H2_PROTOCOL_ERROR },
        { HEADERS, 2, "\x82", 1, H2_PROTOCOL_ERROR },                    /* a client's are odd */
        { HEADERS, 1, "\xff\xff\xff\xff\xff\xff", 6, H2_COMPRESSION_ERROR },
        { CONTINUATION, 1, "\x82", 1, H2_PROTOCOL_ERROR },               /* of nothing */
        { PUSH_PROMISE, 1, "\0\0\0\2\x82", 5, H2_PROTOCOL_ERROR },
        { GOAWAY, 1, "\0\0\0\0\0\0\0\0", 8, H2_PROTOCOL_ERROR },
    };
    bool bytewise = ((struct peer *)*state)->bytewise;

    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct peer *p;
        void *own;

        assert_int_equal(peer_set_up(&own, bytewise), 0);
        p = peer_server(&own);
        assert_int_equal(
            peer_frame(p, faults[i].type, END_HEADERS, faults[i].id, faults[i].payload, faults[i].size), -E_SYNTAX);
        expect_goaway(p, faults[i].code);
        assert_int_equal(peer_tear_down(&own), 0);
    }
}

static void a_frame_larger_than_allowed_ends_the_connection(void **state)
{
    struct peer *p = peer_server(state);

    (void)post(p, 1);
    assert_int_equal(peer_data(p, 1, 0, 16385), -E_SYNTAX);
    expect_goaway(p, NGHTTP2_FRAME_SIZE_ERROR);
}

static void a_header_block_is_not_interrupted(void **state)
{
    struct peer *p = peer_server(state);

    assert_int_equal(peer_frame(p, HEADERS, 0, 1, "\x82", 1), 0);
    assert_int_equal(peer_ping(p, 0), -E_SYNTAX);
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void a_window_update_beyond_the_greatest_resets_its_stream_alone(void **state)
{
    struct peer *p = peer_server(state);

    (void)get(p, 1);
    (void)get(p, 3);
    assert_int_equal(peer_window(p, 1, INT32_MAX), 0);
    expect_reset(p, 1, H2_FLOW_CONTROL_ERROR);
    (void)get(p, 5);
    expect_quiet(p);
    assert_int_equal(peer_window(p, 3, 0), -E_SYNTAX); /* of nothing: RFC 9113 6.9; of the whole connection here (5.4.1) */
    expect_goaway(p, H2_PROTOCOL_ERROR);
}

static void when_the_machine_goes_its_streams_are_truncated(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1), *reset = post(p, 3);

    assert_int_equal(peer_reset(p, 3, H2_CANCEL), 0);
    h2_free(p->h2);
    p->h2 = NULL;
    assert_int_equal(u->s.error, -E_TRUNCATED);
    assert_int_equal(reset->s.error, -E_RESET); /* the first reason stays */
    assert_int_equal(user_answer(u, 200, 0), -E_TRUNCATED);
    assert_int_equal(u->events, 1); /* nobody is called any more */
    h2_stream_close(&u->s, H2_CANCEL);
}

static void an_error_of_the_owner_ends_the_machine(void **state)
{
    struct peer *p = peer_server(state);

    p->write_error = -E_CLOSED;
    assert_int_equal(peer_ping(p, 0), -E_CLOSED);
    assert_int_equal(h2_flush(p->h2), -E_CLOSED);
    assert_int_equal(h2_wake(p->h2), -E_CLOSED);
    p->write_error = 0;
    assert_int_equal(peer_get(p, 1), -E_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_says_first_what_it_takes),
        TEST(a_server_offers_extended_connect_only_where_it_is_served),
        TEST(a_client_wants_nothing_pushed),
        TEST(a_push_ends_the_connection),
        TEST(what_is_no_preface_ends_the_connection),
        TEST(settings_are_acknowledged_and_pings_answered),
        TEST(answers_to_our_pings_are_counted),
        TEST(a_head_in_pieces_is_one_request_when_it_is_complete),
        TEST(who_is_not_accepted_is_refused_and_may_try_again),
        TEST(who_does_not_know_how_many_streams_are_allowed_is_refused_those_beyond),
        TEST(who_knows_it_opens_no_more),
        TEST(an_answer_before_the_requests_end_stops_the_request_without_an_error),
        TEST(a_stream_that_ended_well_is_closed_without_a_word),
        TEST(a_reset_by_the_peer_is_told_with_its_code),
        TEST(whoever_hears_something_may_close_who_was_to_hear_next),
        TEST(who_is_poked_hears_it_once_a_turn),
        TEST(draining_serves_what_is_on_its_way_and_then_says_the_true_number),
        TEST(who_does_not_answer_is_told_the_true_number_all_the_same),
        TEST(a_client_does_not_drain),
        TEST(a_connection_that_is_ended_says_why_and_hears_nothing_more),
        TEST(after_goaway_streams_below_its_number_go_on_and_others_may_be_repeated),
        TEST(a_refused_stream_may_be_repeated_and_another_reset_may_not),
        TEST(a_client_opens_as_many_streams_as_the_server_allows),
        TEST(an_error_of_the_connection_is_told_and_lasts),
        TEST(each_fault_of_a_connection_has_its_code),
        TEST(a_frame_larger_than_allowed_ends_the_connection),
        TEST(a_header_block_is_not_interrupted),
        TEST(a_window_update_beyond_the_greatest_resets_its_stream_alone),
        TEST(when_the_machine_goes_its_streams_are_truncated),
        TEST(an_error_of_the_owner_ends_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
