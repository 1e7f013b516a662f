/* Header sections of HTTP/2 (RFC 9113 8.2, 8.3, 8.5; RFC 8441): what becomes a message, and what is refused how. */
#include "h2_peer.h"

enum { FIELDS = 16 };

struct refused {
    const char *fields[FIELDS];
    int error;
};

/* Each on a stream of its own; the connection lives on, which the last one shows. */
static void expect_each_refused(struct peer *p, const struct refused *table, size_t count, unsigned flags)
{
    int32_t id = 1;

    for (size_t i = 0; i < count; i++, id += 2) {
        struct user *u;
        struct message m;

        assert_int_equal(peer_head_of(p, id, END_HEADERS | flags, table[i].fields), 0);
        u = p->users[p->user_count - 1];
        assert_int_equal(u->s.id, id);
        assert_int_equal(user_head(u, &m), table[i].error);
        assert_true(u->events > 0);
        expect_reset(p, id, H2_PROTOCOL_ERROR);
        h2_stream_close(&u->s, H2_NO_ERROR);
    }
    assert_int_equal(peer_get(p, id), 0);
    expect_quiet(p);
    assert_int_equal(h2_stream_count(p->h2), 1);
}

#define EXPECT_EACH_REFUSED(p, table, flags) expect_each_refused(p, table, COUNT_OF(table), flags)

#define GET REQUEST("GET")

static void a_name_that_is_no_lower_case_token_is_refused(void **state)
{
    static const struct refused table[] = {
        { { GET, "", "x" }, -E_SYNTAX },      { { GET, "X-a", "x" }, -E_SYNTAX },  { { GET, "x-A", "x" }, -E_SYNTAX },
        { { GET, "x a", "x" }, -E_SYNTAX },   { { GET, "x:a", "x" }, -E_SYNTAX },  { { GET, "x-a:", "x" }, -E_SYNTAX },
        { { GET, "x\ta", "x" }, -E_SYNTAX },  { { GET, "x\x01", "x" }, -E_SYNTAX }, { { GET, "x\x7f", "x" }, -E_SYNTAX },
        { { GET, "x\xc3\xa4", "x" }, -E_SYNTAX }, { { GET, "x\r\ny", "x" }, -E_SYNTAX },
        /* known ones, and what is like them but for the bit that tells cases apart */
        { { GET, "User-agent", "x" }, -E_SYNTAX }, { { GET, "user-Agent", "x" }, -E_SYNTAX },
        { { GET, "user\ragent", "x" }, -E_SYNTAX }, { { GET, "Te", "trailers" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void a_value_with_control_bytes_or_white_space_around_it_is_refused(void **state)
{
    static const struct refused table[] = {
        { { GET, "a", "x\ry" }, -E_SYNTAX },   { { GET, "a", "x\ny" }, -E_SYNTAX }, { { GET, "a", "\x01" }, -E_SYNTAX },
        { { GET, "a", "x\x7f" }, -E_SYNTAX },  { { GET, "a", " x" }, -E_SYNTAX },   { { GET, "a", "x " }, -E_SYNTAX },
        { { GET, "a", "\tx" }, -E_SYNTAX },    { { GET, "a", "x\t" }, -E_SYNTAX },  { { GET, "a", " " }, -E_SYNTAX },
        { { GET, "a", "0123456789abcdef0123\x1f" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void a_value_with_nul_is_refused(void **state)
{
    static const uint8_t head[] = { 0x82, 0x84, 0x87, 0x01, 1, 'a', 0, 1, 'x', 3, 'a', 0, 'b' };
    struct peer *p = peer_server(state);

    assert_int_equal(peer_frame(p, HEADERS, END_HEADERS | END_STREAM, 1, head, sizeof head), 0);
    expect_reset(p, 1, H2_PROTOCOL_ERROR);
}

static void fields_of_a_connection_are_refused(void **state)
{
    static const struct refused table[] = {
        { { GET, "connection", "close" }, -E_SYNTAX },    { { GET, "connection", "x" }, -E_SYNTAX },
        { { GET, "keep-alive", "5" }, -E_SYNTAX },        { { GET, "proxy-connection", "close" }, -E_SYNTAX },
        { { GET, "upgrade", "websocket" }, -E_SYNTAX },   { { GET, "http2-settings", "AAA" }, -E_SYNTAX },
        { { GET, "te", "gzip" }, -E_SYNTAX },             { { GET, "te", "trailers, gzip" }, -E_SYNTAX },
        { { GET, "transfer-encoding", "chunked" }, -E_SYNTAX }, { { GET, "transfer-encoding", "identity" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void what_a_backend_may_take_for_framing_is_refused(void **state)
{
    static const struct refused table[] = {
        { { GET, "content_length", "0" }, -E_AMBIGUOUS },
        { { GET, "transfer_encoding", "chunked" }, -E_AMBIGUOUS },
        { { GET, "transfer.encoding", "chunked" }, -E_AMBIGUOUS },
        { { GET, "proxy_connection", "close" }, -E_AMBIGUOUS },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void pseudo_headers_are_known_ones_each_once_and_in_front(void **state)
{
    static const struct refused table[] = {
        { { GET, ":x", "1" }, -E_SYNTAX },         { { GET, ":status", "200" }, -E_SYNTAX },
        { { GET, ":Path", "/" }, -E_SYNTAX },      { { GET, ":path", "/" }, -E_SYNTAX },
        { { GET, ":method", "GET" }, -E_SYNTAX },  { { GET, ":authority", "a.test" }, -E_SYNTAX },
        { { GET, ":", "1" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/", "x", "y", ":authority", "a.test" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void a_request_line_has_all_its_parts_and_each_is_well_formed(void **state)
{
    static const struct refused table[] = {
        { { ":scheme", "https", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "", ":scheme", "https", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GE T", ":scheme", "https", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "", ":path", "/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "a", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "*", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/a b", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/a\r\nb", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/#a", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/%zz", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "http://b.test/", ":authority", "a.test" }, -E_SYNTAX },
        { { ":method", "GET", ":scheme", "https", ":path", "/" }, -E_HOST },
        { { ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "" }, -E_HOST },
        { { ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "u@a.test" }, -E_HOST },
        { { ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a test" }, -E_HOST },
        { { ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.test:x" }, -E_HOST },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void a_host_that_says_otherwise_is_refused(void **state)
{
    static const struct refused table[] = {
        { { GET, "host", "b.test" }, -E_HOST },
        { { GET, "host", "a.test:443" }, -E_HOST },
        { { GET, "host", "" }, -E_HOST },
        { { GET, "host", "a.test", "host", "a.test" }, -E_HOST },
        { { ":method", "GET", ":scheme", "https", ":path", "/", "host", "u@a.test" }, -E_HOST },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

static void connect_takes_an_authority_and_nothing_else(void **state)
{
    static const struct refused table[] = {
        { { ":method", "CONNECT" }, -E_SYNTAX },
        { { ":method", "CONNECT", ":authority", "a.test:1", ":path", "/" }, -E_SYNTAX },
        { { ":method", "CONNECT", ":authority", "a.test:1", ":scheme", "https" }, -E_SYNTAX },
        { { ":method", "CONNECT", ":authority", "a.test:1", "content-length", "1" }, -E_AMBIGUOUS },
        /* RFC 8441 3: not where it was not offered */
        { { ":method", "CONNECT", ":authority", "a.test", ":path", "/", ":scheme", "https", ":protocol", "x" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, 0);
}

static void extended_connect_is_whole_and_of_connect_alone(void **state)
{
    static const struct refused table[] = {
        { { GET, ":protocol", "websocket" }, -E_SYNTAX },
        { { ":method", "CONNECT", ":authority", "a.test", ":path", "/", ":protocol", "x" }, -E_SYNTAX },
        { { ":method", "CONNECT", ":authority", "a.test", ":scheme", "https", ":protocol", "x" }, -E_SYNTAX },
        { { REQUEST("CONNECT"), ":protocol", "" }, -E_SYNTAX },
        { { REQUEST("CONNECT"), ":protocol", "a b" }, -E_SYNTAX },
        { { REQUEST("CONNECT"), ":protocol", "x", ":protocol", "x" }, -E_SYNTAX },
    };
    struct h2_options options = peer_options(H2_SERVER);

    options.connect_protocol = true;
    EXPECT_EACH_REFUSED(peer_open(*state, options), table, 0);
}

static void a_length_that_can_be_read_in_two_ways_is_refused(void **state)
{
    static const struct refused table[] = {
        { { REQUEST("POST"), "content-length", "5", "content-length", "5" }, -E_AMBIGUOUS },
        { { REQUEST("POST"), "content-length", "5", "content-length", "6" }, -E_AMBIGUOUS },
        { { REQUEST("POST"), "content-length", "5, 5" }, -E_SYNTAX },
        { { REQUEST("POST"), "content-length", "+5" }, -E_SYNTAX },
        { { REQUEST("POST"), "content-length", "-5" }, -E_SYNTAX },
        { { REQUEST("POST"), "content-length", "" }, -E_SYNTAX },
        { { REQUEST("POST"), "content-length", "0x5" }, -E_SYNTAX },
        { { REQUEST("POST"), "content-length", "9223372036854775808" }, -E_SYNTAX },
    };
    EXPECT_EACH_REFUSED(peer_server(state), table, 0);
}

static void a_length_without_content_is_refused(void **state)
{
    static const struct refused table[] = { { { REQUEST("POST"), "content-length", "5" }, -E_AMBIGUOUS } };
    EXPECT_EACH_REFUSED(peer_server(state), table, END_STREAM);
}

/* ---- what becomes of a good one ---- */

static struct user *expect_request(struct peer *p, struct message *m)
{
    struct user *u = p->users[p->user_count - 1];

    assert_int_equal(user_head(u, m), 0);
    assert_int_equal(m->version, HTTP_2);
    assert_true(m->persistent);
    return u;
}

static void expect_text(struct bytes b, const char *text)
{
    assert_int_equal(b.size, strlen(text));
    assert_memory_equal(b.at, text, b.size);
}

/* That one was valid says nothing of the next. */
static void each_authority_is_checked_whichever_came_before(void **state)
{
#define LONG_NAME "a-label-of-some-length.a-label-of-some-length.a-label-of-some-length.test"
    static const struct {
        const char *authority;
        int error;
    } table[] = {
        { "a.test", 0 },     { "a.test", 0 },        { "a.test:8443", 0 },        { "a.test:", 0 }, { "a.test:0", -E_HOST },
        { "A.test", 0 },     { "a..test", -E_HOST }, { "a.test", 0 },             { "", -E_HOST },  { LONG_NAME, 0 },
        { LONG_NAME, 0 },    { "a.tes", 0 },         { LONG_NAME "@", -E_HOST }, { "a.test", 0 },  { "u@a.test", -E_HOST },
        { "u@a.test", -E_HOST },
    };
    struct peer *p = peer_server(state);
    struct message m;

    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct user *u;

        assert_int_equal(peer_head(p, (int32_t)(2 * i + 1), END_STREAM, ":method", "GET", ":scheme", "https", ":path", "/",
                                   ":authority", table[i].authority),
                         0);
        u = p->users[p->user_count - 1];
        assert_int_equal(user_head(u, &m), table[i].error);
        if (table[i].error == 0)
            expect_text(m.authority, table[i].authority);
    }
}

static void a_request_becomes_a_message(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;
    struct user *u;

    assert_int_equal(peer_head(p, 1, END_STREAM, ":path", "/a?b=%20", ":method", "GET", ":authority", "A.test:8443", ":scheme",
                               "HTTPS", "accept", "*/*", "x-empty", "", "te", "trailers", "host", "a.TEST:8443", "x-b", "1"),
                     0);
    u = expect_request(p, &m);
    assert_int_equal(u->events, 1);
    assert_int_equal(m.method, METHOD_GET);
    expect_text(m.method_name, "GET");
    expect_text(m.path, "/a?b=%20");
    expect_text(m.authority, "A.test:8443");
    expect_text(m.scheme, "https");
    assert_true(m.te_trailers);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(m.fields.count, 3); /* what is of framing lives in members */
    expect_text(m.fields.at[0].name, "accept");
    assert_int_equal(m.fields.at[0].id, FIELD_ACCEPT);
    expect_text(m.fields.at[1].name, "x-empty");
    expect_text(m.fields.at[1].value, "");
    expect_text(m.fields.at[2].value, "1");
    assert_true(u->s.in_ended);
    assert_int_equal(user_head(u, &m), -E_AGAIN);
}

static void host_stands_in_for_an_authority(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;

    assert_int_equal(peer_head(p, 1, END_STREAM, ":method", "GET", ":scheme", "http", ":path", "/", "host", "b.test"), 0);
    expect_request(p, &m);
    expect_text(m.authority, "b.test");
    expect_text(m.scheme, "http");
    assert_int_equal(m.fields.count, 0);
}

static void options_may_ask_for_the_whole_server(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;

    assert_int_equal(
        peer_head(p, 1, END_STREAM, ":method", "OPTIONS", ":scheme", "https", ":path", "*", ":authority", "a.test"), 0);
    expect_request(p, &m);
    expect_text(m.path, "*");
}

static void crumbs_become_one_cookie_in_the_place_of_the_first(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;

    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("GET"), "x-a", "1", "cookie", "a=1", "x-b", "2", "cookie", "", "cookie",
                               "b=2", "x-c", "3", "cookie", "c=3"),
                     0);
    expect_request(p, &m);
    assert_int_equal(m.fields.count, 4);
    expect_text(m.fields.at[1].name, "cookie");
    expect_text(m.fields.at[1].value, "a=1; b=2; c=3");
    expect_text(m.fields.at[2].name, "x-b");
    expect_text(m.fields.at[3].name, "x-c");
}

static void what_is_to_come_is_told_by_length_and_end(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;

    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("POST")), 0);
    expect_request(p, &m);
    assert_int_equal(m.body, BODY_LENGTH); /* RFC 9110 8.6 */
    assert_int_equal(m.length, 0);
    assert_int_equal(peer_head(p, 3, 0, REQUEST("POST")), 0);
    expect_request(p, &m);
    assert_int_equal(m.body, BODY_STREAMED);
    assert_int_equal(peer_head(p, 5, 0, REQUEST("POST"), "content-length", "12"), 0);
    expect_request(p, &m);
    assert_int_equal(m.body, BODY_LENGTH);
    assert_true(m.has_length);
    assert_int_equal(m.length, 12);
    assert_int_equal(peer_head(p, 7, END_STREAM, REQUEST("GET"), "content-length", "0"), 0);
    expect_request(p, &m);
    assert_int_equal(m.body, BODY_LENGTH);
}

static void more_fields_than_usual_are_kept_in_order(void **state)
{
    enum { MANY = 2 * H2_SCRATCH + 5 };
    static char names[MANY][8];
    const char *fields[8 + 2 * MANY + 1] = { REQUEST("GET") };
    struct h2_options options = peer_options(H2_SERVER);
    struct peer *p;
    struct message m;

    options.limits.fields = MANY;
    p = peer_open(*state, options);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "x-%u", i);
        fields[8 + 2 * i] = names[i];
        fields[9 + 2 * i] = names[i] + 2;
    }
    assert_int_equal(peer_head_of(p, 1, END_HEADERS | END_STREAM, fields), 0);
    expect_request(p, &m);
    assert_int_equal(m.fields.count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        expect_text(m.fields.at[i].name, names[i]);
        expect_text(m.fields.at[i].value, names[i] + 2);
    }
}

static void extended_connect_opens_a_tunnel_of_any_length(void **state)
{
    struct h2_options options = peer_options(H2_SERVER);
    struct peer *p;
    struct message m;
    struct user *u;

    options.connect_protocol = true;
    p = peer_open(*state, options);
    assert_int_equal(peer_head(p, 1, 0, REQUEST("CONNECT"), ":protocol", "websocket"), 0);
    u = expect_request(p, &m);
    assert_int_equal(m.method, METHOD_CONNECT);
    expect_text(m.upgrade, "websocket");
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(peer_data(p, 1, 0, 10), 0);
    user_take_all(u);
    expect_got(u, 10);
}

static void plain_connect_names_an_authority(void **state)
{
    struct peer *p = peer_server(state);
    struct message m;

    assert_int_equal(peer_head(p, 1, 0, ":method", "CONNECT", ":authority", "a.test:443"), 0);
    expect_request(p, &m);
    expect_text(m.authority, "a.test:443");
    assert_int_equal(m.path.size + m.scheme.size + m.upgrade.size, 0);
}

/* ---- limits ---- */

/* The stream is told, and its client can be answered. */
static void expect_answerable(struct peer *p, int32_t id, int error)
{
    struct user *u = p->users[p->user_count - 1];
    struct peer_frame f;
    struct message m;

    assert_int_equal(user_head(u, &m), error);
    expect_text(m.authority, "a.test"); /* for the log */
    assert_int_equal(user_answer(u, 431, 0), 0);
    assert_int_equal(h2_flush(p->h2), 0);
    assert_true(peer_find(p, HEADERS, id, &f));
    assert_string_equal(p->fields, ":status: 431\n");
}

static void a_head_beyond_the_limits_can_be_answered(void **state)
{
    struct peer *p = peer_server(state);
    char big[1990], path[203] = "/";
    const char *many[8 + 2 * 21 + 1] = { REQUEST("GET") };

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    memset(path + 1, 'x', sizeof path - 2);
    path[sizeof path - 1] = 0;
    for (unsigned i = 8; i < COUNT_OF(many) - 1; i++)
        many[i] = "x";
    assert_int_equal(peer_head(p, 1, END_STREAM, REQUEST("GET"), "x", big), 0);
    expect_answerable(p, 1, -E_HEAD_TOO_LARGE);
    assert_int_equal(peer_head_of(p, 3, END_HEADERS | END_STREAM, many), 0);
    expect_answerable(p, 3, -E_HEAD_TOO_LARGE);
    assert_int_equal(
        peer_head(p, 5, END_STREAM, ":method", "GET", ":authority", "a.test", ":scheme", "https", ":path", path), 0);
    expect_answerable(p, 5, -E_URI_TOO_LONG);
    assert_int_equal(peer_head(p, 7, 0, REQUEST("POST"), "expect", "miracles"), 0);
    expect_answerable(p, 7, -E_EXPECTATION);
}

static void a_head_at_the_limits_passes(void **state)
{
    struct peer *p = peer_server(state);
    char path[201] = "/";
    const char *many[8 + 2 * 20 + 1] = { REQUEST("GET") };
    struct message m;

    memset(path + 1, 'x', sizeof path - 2);
    path[sizeof path - 1] = 0;
    for (unsigned i = 8; i < COUNT_OF(many) - 1; i++)
        many[i] = "x";
    assert_int_equal(peer_head_of(p, 1, END_HEADERS | END_STREAM, many), 0);
    expect_request(p, &m);
    assert_int_equal(peer_head(p, 3, END_STREAM, ":method", "GET", ":authority", "a.test", ":scheme", "https", ":path", path),
                     0);
    expect_request(p, &m);
}

/* For each size of its memory: the whole message, or that there was no memory for it. */
static void where_memory_is_out_a_head_is_not_half_there(void **state)
{
    struct peer *p = peer_server(state);
    int32_t id = 1;
    unsigned whole = 0, none = 0;

    for (size_t limit = 0; limit < 2000; limit += 16, id += 2) {
        struct message m;
        struct user *u;

        arena_reset(&p->arena);
        arena_init(&p->arena, NULL, limit);
        assert_int_equal(peer_head(p, id, END_STREAM, REQUEST("GET"), "cookie", "a=1", "cookie", "b=2", "x-other", "y"), 0);
        u = p->users[p->user_count - 1];
        if (user_head(u, &m) == 0) {
            assert_int_equal(m.fields.count, 2);
            expect_text(m.fields.at[0].value, "a=1; b=2");
            whole++;
        } else {
            assert_int_equal(whole, 0);
            none++;
        }
        h2_stream_close(&u->s, H2_CANCEL);
    }
    assert_true(whole > 10 && none > 10);
}

/* ---- trailers ---- */

static struct user *post(struct peer *p, int32_t id)
{
    struct message m;

    assert_int_equal(peer_head(p, id, 0, REQUEST("POST")), 0);
    assert_int_equal(peer_data(p, id, 0, 3), 0);
    return expect_request(p, &m);
}

static void trailers_follow_the_end_of_content(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);
    const struct fields *trailers;

    user_take_all(u);
    assert_int_equal(peer_head(p, 1, END_STREAM, "x-sum", "12", "authorization", "believe me"), 0);
    assert_int_equal(user_take(u, 1), STREAM_END);
    trailers = u->s.stream.ops->trailers(&u->s.stream);
    assert_int_equal(trailers->count, 1); /* what must be known before the content is dropped (RFC 9110 6.5.1) */
    expect_text(trailers->at[0].name, "x-sum");
    expect_text(trailers->at[0].value, "12");
    expect_quiet(p);
}

static void who_sends_no_trailers_has_none(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_data(p, 1, END_STREAM, 0), 0);
    user_take_all(u);
    assert_null(u->s.stream.ops->trailers(&u->s.stream));
}

static void malformed_trailers_reset_their_stream(void **state)
{
    static const struct refused table[] = {
        { { ":path", "/" }, -E_SYNTAX },
        { { ":status", "200" }, -E_SYNTAX },
        { { "X", "y" }, -E_SYNTAX },
        { { "content-length", "3" }, -E_AMBIGUOUS },
        { { "host", "a.test" }, -E_AMBIGUOUS },
        { { "transfer-encoding", "chunked" }, -E_AMBIGUOUS },
    };
    struct peer *p = peer_server(state);

    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        int32_t id = (int32_t)(2 * i + 1);
        struct user *u = post(p, id);

        assert_int_equal(peer_head_of(p, id, END_HEADERS | END_STREAM, table[i].fields), 0);
        assert_int_equal(user_take(u, SIZE_MAX), table[i].error);
        expect_reset(p, id, H2_PROTOCOL_ERROR);
    }
}

static void trailers_without_the_end_reset_their_stream(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);

    assert_int_equal(peer_head(p, 1, 0, "x-sum", "12"), 0);
    assert_int_equal(u->s.error, -E_SYNTAX);
    expect_reset(p, 1, H2_PROTOCOL_ERROR);
}

static void trailers_beyond_the_limits_reset_their_stream(void **state)
{
    struct peer *p = peer_server(state);
    struct user *u = post(p, 1);
    char big[2001];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_int_equal(peer_head(p, 1, END_STREAM, "x", big), 0);
    assert_int_equal(u->s.error, -E_HEAD_TOO_LARGE);
    expect_reset(p, 1, H2_INTERNAL_ERROR); /* ours: the request was well-formed */
}

/* ---- responses ---- */

static void a_malformed_response_resets_its_stream(void **state)
{
    static const struct refused table[] = {
        { { "x", "y" }, -E_SYNTAX },
        { { ":status", "" }, -E_SYNTAX },
        { { ":status", "20" }, -E_SYNTAX },
        { { ":status", "2000" }, -E_SYNTAX },
        { { ":status", "2 0" }, -E_SYNTAX },
        { { ":status", "099" }, -E_SYNTAX },
        { { ":status", "600" }, -E_SYNTAX },
        { { ":status", "101" }, -E_SYNTAX },
        { { ":status", "200", ":status", "200" }, -E_SYNTAX },
        { { ":status", "200", ":path", "/" }, -E_SYNTAX },
        { { "x", "y", ":status", "200" }, -E_SYNTAX },
        { { ":status", "200", "host", "a.test" }, -E_SYNTAX },
        { { ":status", "200", "connection", "close" }, -E_SYNTAX },
        { { ":status", "200", "Server", "x" }, -E_SYNTAX },
        { { ":status", "204", "content-length", "5" }, -E_AMBIGUOUS },
        { { ":status", "103", "content-length", "5" }, -E_AMBIGUOUS },
        { { ":status", "200", "content-length", "5", "content-length", "5" }, -E_AMBIGUOUS },
        { { ":status", "200", "content_length", "5" }, -E_AMBIGUOUS },
    };
    struct peer *p = peer_client(state);

    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct user *u = user_ask(p, "GET");
        struct message m;

        assert_int_equal(peer_head_of(p, u->s.id, END_HEADERS, table[i].fields), 0);
        assert_int_equal(user_head(u, &m), table[i].error);
        expect_reset(p, u->s.id, H2_PROTOCOL_ERROR);
        h2_stream_close(&u->s, H2_CANCEL);
    }
}

static void a_response_that_ends_with_its_head_is_whole(void **state)
{
    static const struct refused refused[] = {
        { { ":status", "103" }, -E_SYNTAX },                           /* RFC 9113 8.1: an interim one does not end it */
        { { ":status", "200", "content-length", "5" }, -E_AMBIGUOUS }, /* five bytes that do not come */
    };
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET");
    struct message m;

    assert_int_equal(peer_head(p, u->s.id, END_STREAM, ":status", "404"), 0);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.status, 404);
    assert_int_equal(m.body, BODY_LENGTH);
    assert_int_equal(m.length, 0);
    assert_int_equal(user_take(u, 1), STREAM_END);
    for (unsigned i = 0; i < COUNT_OF(refused); i++) {
        u = user_ask(p, "GET");
        assert_int_equal(peer_head_of(p, u->s.id, END_HEADERS | END_STREAM, refused[i].fields), 0);
        assert_int_equal(user_head(u, &m), refused[i].error);
        expect_reset(p, u->s.id, H2_PROTOCOL_ERROR);
    }
}

static void interim_responses_come_before_the_final_one(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET");
    struct message m;

    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "100"), 0);
    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "103", "x-a", "1"), 0);
    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "200", "content-length", "3"), 0);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.status, 100);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.status, 103);
    assert_int_equal(m.fields.count, 1);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.status, 200);
    assert_int_equal(m.body, BODY_LENGTH);
    assert_int_equal(m.length, 3);
    assert_int_equal(user_head(u, &m), -E_AGAIN);
}

static void what_has_no_content_says_how_long_it_would_be(void **state)
{
    struct peer *p = peer_client(state);
    struct user *head = user_ask(p, "HEAD"), *get = user_ask(p, "GET");
    struct message m;

    assert_int_equal(peer_head(p, head->s.id, END_STREAM, ":status", "200", "content-length", "700"), 0);
    assert_int_equal(user_head(head, &m), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_true(m.has_length);
    assert_int_equal(m.length, 700);
    assert_int_equal(peer_head(p, get->s.id, 0, ":status", "304", "content-length", "700"), 0);
    assert_int_equal(user_head(get, &m), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_int_equal(m.length, 700);
    assert_int_equal(peer_data(p, get->s.id, END_STREAM, 1), 0); /* and must not have any */
    assert_int_equal(get->s.error, -E_AMBIGUOUS);
    expect_reset(p, get->s.id, H2_PROTOCOL_ERROR);
}

static void a_response_to_connect_opens_a_tunnel_whatever_length_it_says(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = peer_user(p);
    struct message m;

    assert_int_equal(peer_setting(p, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1), 0);
    assert_true(h2_can_connect_protocol(p->h2));
    assert_int_equal(h2_stream_open(p->h2, &u->s), 0);
    user_request_init(u, &m, "CONNECT");
    m.upgrade = BYTES_LITERAL("websocket");
    assert_int_equal(u->s.stream.ops->send_head(&u->s.stream, &m), 0);
    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "200", "content-length", "3"), 0);
    assert_int_equal(user_head(u, &m), 0);
    assert_int_equal(m.body, BODY_NONE);
    assert_false(m.has_length);
    assert_int_equal(peer_data(p, u->s.id, 0, 50), 0);
    user_take_all(u);
    expect_got(u, 50);
}

static void a_response_beyond_the_limits_resets_its_stream(void **state)
{
    struct peer *p = peer_client(state);
    struct user *u = user_ask(p, "GET");
    struct message m;
    char big[2001];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_int_equal(peer_head(p, u->s.id, 0, ":status", "200", "x", big), 0);
    assert_int_equal(user_head(u, &m), -E_HEAD_TOO_LARGE);
    expect_reset(p, u->s.id, H2_INTERNAL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_that_is_no_lower_case_token_is_refused),
        TEST(a_value_with_control_bytes_or_white_space_around_it_is_refused),
        TEST(a_value_with_nul_is_refused),
        TEST(fields_of_a_connection_are_refused),
        TEST(what_a_backend_may_take_for_framing_is_refused),
        TEST(pseudo_headers_are_known_ones_each_once_and_in_front),
        TEST(a_request_line_has_all_its_parts_and_each_is_well_formed),
        TEST(a_host_that_says_otherwise_is_refused),
        TEST(connect_takes_an_authority_and_nothing_else),
        TEST(extended_connect_is_whole_and_of_connect_alone),
        TEST(a_length_that_can_be_read_in_two_ways_is_refused),
        TEST(a_length_without_content_is_refused),
        TEST(each_authority_is_checked_whichever_came_before),
        TEST(a_request_becomes_a_message),
        TEST(host_stands_in_for_an_authority),
        TEST(options_may_ask_for_the_whole_server),
        TEST(crumbs_become_one_cookie_in_the_place_of_the_first),
        TEST(what_is_to_come_is_told_by_length_and_end),
        TEST(more_fields_than_usual_are_kept_in_order),
        TEST(extended_connect_opens_a_tunnel_of_any_length),
        TEST(plain_connect_names_an_authority),
        TEST(a_head_beyond_the_limits_can_be_answered),
        TEST(a_head_at_the_limits_passes),
        TEST(where_memory_is_out_a_head_is_not_half_there),
        TEST(trailers_follow_the_end_of_content),
        TEST(who_sends_no_trailers_has_none),
        TEST(malformed_trailers_reset_their_stream),
        TEST(trailers_without_the_end_reset_their_stream),
        TEST(trailers_beyond_the_limits_reset_their_stream),
        TEST(a_malformed_response_resets_its_stream),
        TEST(a_response_that_ends_with_its_head_is_whole),
        TEST(interim_responses_come_before_the_final_one),
        TEST(what_has_no_content_says_how_long_it_would_be),
        TEST(a_response_to_connect_opens_a_tunnel_whatever_length_it_says),
        TEST(a_response_beyond_the_limits_resets_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
