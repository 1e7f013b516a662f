/* What an HTTP/2 machine sends: heads and content within the peer's windows and the connection's room (RFC 9113 5.2, 8.1),
 * and who comes first (RFC 9218). */
#include "h2_peer.h"

enum { WINDOW = 65535 }; /* of a peer that says nothing else */

/* A request that is whole, and its stream. */
static struct user *get(struct peer *p, int32_t id)
{
    assert_int_equal(peer_get(p, id), 0);
    return p->users[p->user_count - 1];
}

/* The same, answered with so many bytes: the head has left, and as much as may. */
static struct user *served(struct peer *p, int32_t id, size_t size)
{
    struct user *u = get(p, id);

    assert_int_equal(user_answer(u, 200, size), 0);
    u->to_send = size;
    u->act = user_send;
    user_send(u);
    return u;
}

static struct user *prioritised(struct peer *p, int32_t id, const char *priority)
{
    assert_int_equal(peer_head(p, id, END_STREAM, REQUEST("GET"), "priority", priority), 0);
    return p->users[p->user_count - 1];
}

/* Answered, with nothing sent yet. */
static void begin(struct user *u, size_t size)
{
    assert_int_equal(user_answer(u, 200, size), 0);
    u->to_send = size;
    u->act = user_send;
}

static int give_room(struct peer *p, size_t room)
{
    p->limited = true;
    p->room = room;
    peer_check_counts(p);
    if (h2_wake(p->h2))
        return p->h2->error;
    peer_check_counts(p);
    return 0;
}

/* The peer takes everything, at once. */
static void open_windows(struct peer *p)
{
    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24), 0);
    assert_int_equal(peer_window(p, 0, 1 << 24), 0);
}

/* ---- windows ---- */

static void a_stream_sends_what_its_window_takes_and_goes_on_when_it_opens(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = served(p, 1, 100000);
    unsigned events = u->events;
    bool end;

    assert_int_equal(peer_content(p, 1, &end), WINDOW);
    assert_false(end);
    assert_true(u->s.blocked_by_peer);
    assert_int_equal(u->s.stream.ops->room(&u->s.stream), 0);
    assert_int_equal(peer_window(p, 0, 50000), 0);
    assert_int_equal(u->events, events); /* the connection's window is of no use to it */
    assert_int_equal(peer_window(p, 1, 10), 0);
    assert_int_equal(peer_content(p, 1, &end), 10);
    assert_int_equal(peer_window(p, 1, 50000), 0);
    assert_int_equal(peer_content(p, 1, &end), 100000 - WINDOW - 10);
    assert_true(end);
    assert_true(u->ended);
}

static void all_streams_together_send_what_the_connections_window_takes(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = served(p, 1, 40000), *b = served(p, 3, 40000);
    bool end;

    assert_int_equal(a->sent, 40000);
    assert_int_equal(b->sent, WINDOW - 40000);
    assert_false(b->s.blocked_by_peer); /* not its own affair */
    assert_int_equal(b->s.stream.ops->room(&b->s.stream), 0);
    assert_false(h2_has_waiting(p->h2)); /* for room it does not wait */
    p->read = p->wire_bytes;
    assert_int_equal(peer_window(p, 0, 50000), 0);
    assert_int_equal(peer_content(p, 3, &end), 80000 - WINDOW);
    assert_true(end);
}

static void a_greater_first_window_of_all_streams_wakes_them(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u;

    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0), 0);
    u = served(p, 1, 5000);
    assert_int_equal(u->sent, 0);
    assert_true(u->s.blocked_by_peer);
    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 3000), 0);
    assert_int_equal(u->sent, 3000);
    /* RFC 9113 6.9.2: a smaller one makes it negative; it opens only above zero */
    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000), 0);
    assert_int_equal(peer_window(p, 1, 2000), 0);
    assert_int_equal(u->sent, 3000);
    assert_int_equal(peer_window(p, 1, 2000), 0);
    assert_int_equal(u->sent, 5000);
    assert_true(u->ended);
}

static void a_message_ends_also_where_the_windows_are_closed(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;

    assert_int_equal(user_answer(u, 200, 0), 0);
    u->to_send = WINDOW;
    user_send(u);
    assert_int_equal(u->sent, WINDOW);
    assert_true(u->ended);
    do
        assert_true(peer_find(p, HEADERS, 1, &f));
    while (!(f.flags & END_STREAM));
    assert_string_equal(p->fields, ""); /* an empty trailer section is the same */
}

static void frames_are_no_larger_than_the_peer_takes(void **state)
{
    struct peer *p = peer_server(state);
    struct peer_frame f;
    size_t sum = 0;

    served(p, 1, 50000);
    while (peer_next(p, &f)) {
        assert_true(f.size <= 16384);
        sum += f.type == DATA ? f.size : 0;
    }
    assert_int_equal(sum, 50000);
}

/* ---- room ---- */

static void a_stream_sends_no_more_than_there_is_room_and_is_woken_for_more(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    size_t sent;

    begin(u, 30000);
    p->limited = true;
    p->room = 5000;
    user_send(u);
    assert_true(u->sent > 4900 && u->sent < 5000); /* frames' heads need room too: write() would fail the test */
    assert_false(u->s.blocked_by_peer);
    assert_true(h2_has_waiting(p->h2));
    sent = u->sent;
    assert_int_equal(give_room(p, 500), 0);
    assert_int_equal(u->sent, sent); /* for so little nobody is woken */
    while (!u->ended) {
        sent = u->sent;
        assert_int_equal(give_room(p, 5000), 0);
        assert_true(u->sent > sent);
    }
    assert_int_equal(u->sent, 30000);
    assert_false(h2_has_waiting(p->h2));
}

static void a_head_waits_for_room_and_is_sent_whole(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;

    p->limited = true;
    p->room = 10;
    assert_int_equal(user_answer(u, 200, 5), -E_AGAIN);
    expect_quiet(p);
    assert_true(h2_has_waiting(p->h2));
    assert_int_equal(give_room(p, 2000), 0);
    assert_int_equal(u->events, 2);
    assert_int_equal(user_answer(u, 200, 5), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
}

/* One way through nghttp2 for both. */
static void a_head_leaves_with_its_first_content_or_at_the_turns_end(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = get(p, 1), *b = get(p, 3);
    unsigned dirty = p->dirty;
    struct peer_frame f;

    begin(a, 100);
    expect_quiet(p);
    assert_true(p->dirty > dirty); /* the turn's end is asked for all the same */
    user_send(a);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_true(peer_find(p, DATA, 1, &f));
    assert_int_equal(f.flags, END_STREAM);
    begin(b, 100);
    expect_quiet(p);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, HEADERS, 3, &f));
    expect_quiet(p);
}

static void heads_that_were_taken_have_room_and_all_leave_with_a_flush(void **state)
{
    struct peer *p = peer_server(state);
    struct user *users[20];
    struct peer_frame f;
    unsigned taken = 0;

    for (unsigned i = 0; i < COUNT_OF(users); i++)
        users[i] = get(p, (int32_t)(2 * i + 1));
    p->limited = true;
    p->room = 200;
    while (taken < COUNT_OF(users) && user_answer(users[taken], 200, 5) == 0)
        taken++;
    assert_in_range(taken, 2, COUNT_OF(users) - 1);
    assert_int_equal(h2_flush(p->h2), 0);
    for (unsigned i = 0; i < taken; i++)
        assert_true(peer_find(p, HEADERS, (int32_t)(2 * i + 1), &f));
    expect_quiet(p);
}

static void content_behind_a_head_takes_the_room_that_the_head_leaves(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;

    p->limited = true;
    p->room = 1200;
    begin(u, 2000);
    user_send(u); /* no more than there is room is ever written */
    assert_in_range(u->sent, 1, 1200 - H2_FRAME_HEAD);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_int_equal(give_room(p, 3000), 0);
    assert_int_equal(u->sent, 2000);
    assert_false(h2_has_waiting(p->h2));
}

/* Heads, trailers and ends are not subject to flow control. */
static void a_head_that_waits_for_room_does_not_wait_for_windows(void **state)
{
    struct peer *p = peer_server(state);
    struct user *big = served(p, 1, 100000), *last = get(p, 3), *u = get(p, 5);

    assert_int_equal(big->sent, WINDOW); /* the connection's window is closed */
    assert_int_equal(user_answer(last, 200, 5), 0);
    last->to_send = 5;
    last->act = user_send;
    user_send(last);
    assert_int_equal(last->sent, 0);
    p->limited = true;
    p->room = 0;
    assert_int_equal(user_answer(u, 200, 0), -E_AGAIN);
    assert_true(h2_has_waiting(p->h2));
    assert_int_equal(give_room(p, 2000), 0);
    assert_int_equal(u->events, 2);
    assert_int_equal(user_answer(u, 200, 0), 0);
}

static void an_end_waits_for_room(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    bool end;

    assert_int_equal(user_answer(u, 200, 0), 0);
    p->limited = true;
    p->room = 5;
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), -E_AGAIN);
    assert_false(u->s.out_ended);
    assert_int_equal(give_room(p, 2000), 0);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0);
    assert_int_equal(peer_content(p, 1, &end), 0);
    assert_true(end);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0); /* once is enough */
    expect_quiet(p);
}

static void an_end_that_waits_without_windows_waits_for_room_alone(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);

    assert_int_equal(user_answer(u, 200, 0), 0);
    u->to_send = WINDOW + 1;
    user_send(u);
    assert_int_equal(u->sent, WINDOW);
    p->limited = true;
    p->room = 0;
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), -E_AGAIN);
    assert_int_equal(give_room(p, 1024), 0);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0);
}

static void an_error_of_the_connection_comes_out_of_what_met_it(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);

    assert_int_equal(user_answer(u, 200, 5), 0);
    p->write_error = -E_RESET;
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("abc")), -E_RESET);
    assert_int_equal(u->s.stream.ops->flush(&u->s.stream), -E_RESET);
    assert_int_equal(h2_wake(p->h2), -E_RESET);
    assert_int_equal(peer_get(p, 3), -E_RESET);
}

/* ---- who comes first ---- */

/* The order in which streams had their turns, without repetitions. */
static void expect_order(struct peer *p, const struct user *const *order, unsigned count)
{
    unsigned at = 0;

    for (unsigned i = 0; i < p->order_count; i++) {
        if (at > 0 && p->order[i] == order[at - 1])
            continue;
        assert_true(at < count);
        assert_ptr_equal(p->order[i], order[at]);
        at++;
    }
    assert_int_equal(at, count);
}

static void the_most_urgent_come_first(void **state)
{
    struct peer *p = peer_server(state);
    struct user *late = prioritised(p, 1, "u=6"), *usual = get(p, 3), *urgent = prioritised(p, 5, "u=0");
    const struct user *const order[] = { urgent, usual, late };

    open_windows(p);
    begin(late, 40000), begin(usual, 40000), begin(urgent, 40000);
    p->limited = true;
    p->room = 0;
    user_send(late), user_send(usual), user_send(urgent);
    p->order_count = 0;
    while (!late->ended)
        assert_int_equal(give_room(p, 20000), 0);
    expect_order(p, order, COUNT_OF(order));
}

static void of_one_urgency_those_that_are_not_incremental_come_one_after_the_other(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = get(p, 1), *b = get(p, 3), *c = get(p, 5);
    const struct user *const order[] = { a, b, c };

    open_windows(p);
    begin(c, 40000), begin(a, 40000), begin(b, 40000);
    p->limited = true;
    p->room = 0;
    user_send(c), user_send(b), user_send(a); /* by the order of requests, whoever asked for room first */
    p->order_count = 0;
    while (!c->ended)
        assert_int_equal(give_room(p, 20000), 0);
    expect_order(p, order, COUNT_OF(order));
}

/* Shares are equal, give or take one turn, however the room falls: here it ends in the second's turn each time. */
static void incremental_ones_go_in_turns(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = prioritised(p, 1, "i"), *b = prioritised(p, 3, "i"), *plain = get(p, 5);

    open_windows(p);
    begin(a, 300000), begin(b, 300000), begin(plain, 5000);
    p->limited = true;
    p->room = 0;
    user_send(a), user_send(b), user_send(plain);
    while (!a->ended || !b->ended) {
        assert_int_equal(give_room(p, 20000), 0);
        assert_true(plain->ended); /* before any of them */
        assert_true(a->sent <= b->sent + H2_QUANTUM && b->sent <= a->sent + H2_QUANTUM);
    }
}

static void one_that_came_meanwhile_waits_for_the_end_of_a_turn_that_was_cut_short(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = prioritised(p, 1, "i"), *b = prioritised(p, 3, "i"), *c = prioritised(p, 5, "i");

    open_windows(p);
    begin(a, 300000), begin(b, 300000), begin(c, 300000);
    p->limited = true;
    p->room = 0;
    user_send(a), user_send(b);
    assert_int_equal(give_room(p, 10000), 0);
    assert_true(a->sent > 0 && a->sent < H2_QUANTUM);
    user_send(c);
    assert_int_equal(give_room(p, 20000), 0);
    assert_int_equal(a->sent, H2_QUANTUM);
    assert_true(b->sent > 0);
    assert_int_equal(c->sent, 0);
}

static void who_has_room_just_now_does_not_overtake_who_waits(void **state)
{
    struct peer *p = peer_server(state);
    struct user *first = get(p, 1), *second = get(p, 3), *urgent = prioritised(p, 5, "u=1"), *late = prioritised(p, 7, "u=6");

    open_windows(p);
    begin(first, 5000), begin(second, 5000), begin(urgent, 5000), begin(late, 5000);
    p->limited = true;
    p->room = 0;
    user_send(first);
    p->room = 60000;
    user_send(second);
    user_send(late);
    assert_int_equal(second->sent + late->sent, 0);
    user_send(urgent);
    assert_true(urgent->ended);
    assert_int_equal(h2_flush(p->h2), 0); /* at the end of the turn all have had theirs */
    assert_true(first->ended && second->ended && late->ended);
}

static void a_priority_update_moves_a_stream_that_waits(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = get(p, 1), *b = get(p, 3);
    const struct user *const order[] = { b, a };

    open_windows(p);
    begin(a, 30000), begin(b, 30000);
    p->limited = true;
    p->room = 0;
    user_send(a), user_send(b);
    assert_int_equal(peer_priority(p, 3, "u=1"), 0);
    assert_int_equal(b->s.urgency, 1);
    p->order_count = 0;
    while (!a->ended)
        assert_int_equal(give_room(p, 20000), 0);
    expect_order(p, order, COUNT_OF(order));
}

static void a_closed_window_gives_way_to_the_next(void **state)
{
    struct peer *p = peer_server(state);
    struct user *blocked = prioritised(p, 1, "u=0"), *u = get(p, 3);

    assert_int_equal(peer_window(p, 0, 1 << 20), 0);
    begin(blocked, 100000), begin(u, 5000);
    user_send(blocked);
    assert_int_equal(blocked->sent, WINDOW);
    user_send(u);
    assert_true(u->ended);
}

static void close_all(struct user *u)
{
    struct peer *p = u->peer;

    for (unsigned i = 0; i < p->user_count; i++)
        h2_stream_close(&p->users[i]->s, H2_CANCEL);
}

static void who_is_woken_may_close_all_streams(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = served(p, 1, 70000), *b = served(p, 3, 70000);

    a->act = b->act = close_all;
    assert_int_equal(peer_window(p, 0, 100000), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    expect_reset(p, 1, H2_CANCEL);
    expect_reset(p, 3, H2_CANCEL);
    assert_int_equal(h2_stream_count(p->h2), 0);
}

/* ---- heads ---- */

static void a_response_is_written_from_its_message(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;
    struct message m;

    message_init(&m, &p->arena);
    m.status = 200;
    m.body = BODY_LENGTH;
    m.has_length = true;
    assert_int_equal(message_add(&m, BYTES_LITERAL("x-a"), BYTES_LITERAL("1")), 0);
    assert_int_equal(message_add_known(&m, FIELD_DATE, BYTES_LITERAL("now")), 0);
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, ":status: 200\nx-a: 1\ndate: now\ncontent-length: 0\n");
    assert_true(f.flags & END_STREAM);
    assert_true(u->s.out_ended);
}

static void interim_responses_are_heads_that_end_nothing(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;

    assert_int_equal(user_answer(u, 103, 0), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, ":status: 103\n");
    assert_false(f.flags & END_STREAM);
    assert_int_equal(user_answer(u, 101, 0), -E_INTERNAL); /* RFC 9113 8.6 */
    assert_int_equal(user_answer(u, 200, 3), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, ":status: 200\ncontent-length: 3\n");
}

static void what_has_no_content_ends_with_its_head(void **state)
{
    struct peer *p = peer_server(state);
    struct user *head = NULL, *none;
    struct peer_frame f;
    struct message m;

    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("HEAD")), 0);
    head = p->users[0];
    message_init(&m, &p->arena);
    m.status = 200;
    m.has_length = true;
    m.length = 77;
    assert_int_equal(head->s.stream.ops->send_head(&head->s.stream, &m), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, ":status: 200\ncontent-length: 77\n");
    assert_true(f.flags & END_STREAM);
    none = get(p, 3);
    m.status = 204;
    assert_int_equal(none->s.stream.ops->send_head(&none->s.stream, &m), 0);
    assert_true(peer_find(p, HEADERS, 3, &f));
    assert_string_equal(p->fields, ":status: 204\n"); /* RFC 9110 8.6: it has no length */
    assert_true(f.flags & END_STREAM);
}

static void a_long_head_goes_on_in_continuation(void **state)
{
    static char value[40000];
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;
    struct message m;

    memset(value, '"', sizeof value); /* of no use to Huffman's code */
    message_init(&m, &p->arena);
    m.status = 200;
    assert_int_equal(message_add(&m, BYTES_LITERAL("x"), bytes_of(value, sizeof value)), 0);
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_true(f.continuations > 0);
    assert_int_equal(strlen(p->fields), strlen(":status: 200\nx: \n") + sizeof value);
}

static void a_head_that_no_frames_carry_is_an_error_of_its_own(void **state)
{
    static char value[61000];
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct message m;

    memset(value, 'x', sizeof value);
    message_init(&m, &p->arena);
    m.status = 200;
    assert_int_equal(message_add(&m, BYTES_LITERAL("x"), bytes_of(value, sizeof value)), 0);
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), -E_HEAD_TOO_LARGE);
    message_init(&m, &p->arena);
    m.status = 200;
    for (unsigned i = 0; i < 1090; i++)
        assert_int_equal(message_add(&m, BYTES_LITERAL("x"), BYTES_NONE), 0);
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), -E_HEAD_TOO_LARGE);
    expect_quiet(p);
    assert_int_equal(user_answer(u, 502, 0), 0); /* nothing is lost yet */
}

static void requests_name_their_parts(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET"), *plain = peer_user(p), *extended = peer_user(p);
    struct peer_frame f;
    struct message m;

    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, ":method: GET\n:scheme: https\n:path: /\n:authority: a.test\n");
    assert_true(f.flags & END_STREAM);
    assert_int_equal(u->s.id, 1);

    assert_int_equal(h2_stream_open(p->h2, &plain->s), 0);
    user_request_init(plain, &m, "CONNECT");
    assert_int_equal(plain->s.stream.ops->send_head(&plain->s.stream, &m), 0);
    assert_true(peer_find(p, HEADERS, 3, &f));
    assert_string_equal(p->fields, ":method: CONNECT\n:authority: a.test\n");

    assert_int_equal(h2_stream_open(p->h2, &extended->s), 0);
    user_request_init(extended, &m, "CONNECT");
    m.upgrade = BYTES_LITERAL("websocket");
    m.scheme = BYTES_LITERAL("http");
    m.te_trailers = true;
    assert_int_equal(extended->s.stream.ops->send_head(&extended->s.stream, &m), 0);
    assert_true(peer_find(p, HEADERS, 5, &f));
    assert_string_equal(p->fields, ":method: CONNECT\n:scheme: http\n:path: /\n:authority: a.test\n"
                                   ":protocol: websocket\nte: trailers\n");
    assert_false(f.flags & END_STREAM); /* the tunnel is open */
    assert_int_equal(extended->s.stream.ops->send(&extended->s.stream, BYTES_LITERAL("abc")), 3);
}

/* ---- content ---- */

static void the_last_byte_of_a_length_ends_its_stream(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;

    assert_int_equal(user_answer(u, 200, 3), 0);
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("ab")), 2);
    assert_true(peer_find(p, DATA, 1, &f));
    assert_false(f.flags & END_STREAM);
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("cd")), -E_INTERNAL); /* one too many */
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_NONE), 0);
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("c")), 1);
    assert_true(peer_find(p, DATA, 1, &f));
    assert_true(f.flags & END_STREAM);
    assert_memory_equal(f.payload, "c", 1);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), 0);
    expect_quiet(p);
}

static void trailers_end_a_message(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = get(p, 1);
    struct peer_frame f;
    struct message m, trailers;

    message_init(&m, &p->arena);
    m.status = 200;
    m.body = BODY_LENGTH;
    m.length = 3;
    m.has_length = true;
    assert_int_equal(message_add_known(&m, FIELD_TRAILER, BYTES_LITERAL("x-sum")), 0);
    message_init(&trailers, &p->arena);
    assert_int_equal(message_add(&trailers, BYTES_LITERAL("x-sum"), BYTES_LITERAL("294")), 0);
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), 0);
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("abc")), 3);
    assert_true(peer_find(p, DATA, 1, &f));
    assert_false(f.flags & END_STREAM); /* they were announced: the length does not end it */
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, &trailers.fields), 0);
    assert_true(peer_find(p, HEADERS, 1, &f));
    assert_string_equal(p->fields, "x-sum: 294\n");
    assert_true(f.flags & END_STREAM);
}

static void a_stream_that_was_reset_sends_nothing_more(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = served(p, 1, 100000), *other = get(p, 3);

    p->read = p->wire_bytes;
    assert_int_equal(peer_reset(p, 1, H2_CANCEL), 0);
    assert_int_equal(peer_reset(p, 3, H2_CANCEL), 0);
    assert_int_equal(u->s.stream.ops->send(&u->s.stream, BYTES_LITERAL("abc")), -E_RESET);
    assert_int_equal(u->s.stream.ops->end(&u->s.stream, NULL), -E_RESET);
    assert_int_equal(u->s.stream.ops->room(&u->s.stream), 0);
    assert_int_equal(user_answer(other, 200, 0), -E_RESET);
    assert_int_equal(peer_window(p, 1, 50000), 0); /* of a stream that is gone: on its way meanwhile */
    expect_quiet(p);
}

static void progress_tells_a_streams_own_bytes_from_the_connections(void **state)
{
    struct peer *p = peer_server(state);
    struct user *a = served(p, 1, 100000), *b = get(p, 3);
    struct stream_progress progress;

    a->s.stream.ops->progress(&a->s.stream, &progress);
    assert_int_equal(progress.own, WINDOW);
    assert_int_equal(progress.shared, p->wire_bytes);
    assert_true(progress.alone); /* its window is closed, and not the others' */
    b->s.stream.ops->progress(&b->s.stream, &progress);
    assert_int_equal(progress.own, 0);
    assert_false(progress.alone);
    h2_stream_close(&b->s, H2_CANCEL);
    b->s.stream.ops->progress(&b->s.stream, &progress);
    assert_int_equal(progress.shared, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stream_sends_what_its_window_takes_and_goes_on_when_it_opens),
        TEST(all_streams_together_send_what_the_connections_window_takes),
        TEST(a_greater_first_window_of_all_streams_wakes_them),
        TEST(a_message_ends_also_where_the_windows_are_closed),
        TEST(frames_are_no_larger_than_the_peer_takes),
        TEST(a_stream_sends_no_more_than_there_is_room_and_is_woken_for_more),
        TEST(a_head_waits_for_room_and_is_sent_whole),
        TEST(a_head_leaves_with_its_first_content_or_at_the_turns_end),
        TEST(heads_that_were_taken_have_room_and_all_leave_with_a_flush),
        TEST(content_behind_a_head_takes_the_room_that_the_head_leaves),
        TEST(a_head_that_waits_for_room_does_not_wait_for_windows),
        TEST(an_end_waits_for_room),
        TEST(an_end_that_waits_without_windows_waits_for_room_alone),
        TEST(an_error_of_the_connection_comes_out_of_what_met_it),
        TEST(the_most_urgent_come_first),
        TEST(of_one_urgency_those_that_are_not_incremental_come_one_after_the_other),
        TEST(incremental_ones_go_in_turns),
        TEST(one_that_came_meanwhile_waits_for_the_end_of_a_turn_that_was_cut_short),
        TEST(who_has_room_just_now_does_not_overtake_who_waits),
        TEST(a_priority_update_moves_a_stream_that_waits),
        TEST(a_closed_window_gives_way_to_the_next),
        TEST(who_is_woken_may_close_all_streams),
        TEST(a_response_is_written_from_its_message),
        TEST(interim_responses_are_heads_that_end_nothing),
        TEST(what_has_no_content_ends_with_its_head),
        TEST(a_long_head_goes_on_in_continuation),
        TEST(a_head_that_no_frames_carry_is_an_error_of_its_own),
        TEST(requests_name_their_parts),
        TEST(the_last_byte_of_a_length_ends_its_stream),
        TEST(trailers_end_a_message),
        TEST(a_stream_that_was_reset_sends_nothing_more),
        TEST(progress_tells_a_streams_own_bytes_from_the_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
