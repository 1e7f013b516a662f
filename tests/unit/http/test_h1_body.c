#include "h1_test.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, NULL, SIZE_MAX);
    return 0;
}

static int teardown(void **state)
{
    arena_reset(&arena);
    return 0;
}

struct outcome {
    int result; /* H1_END, or what came instead */
    char content[256];
    size_t content_bytes;
    size_t used; /* bytes of the text that belong to the message */
    struct message trailers;
};

/* Reads a body as a connection would: `step` bytes more each time nothing is left to do, and at most `bite` bytes of
 * content at once. */
static void read_body(struct bytes text, const struct message *m, const struct h1_limits *limits, size_t step,
                      size_t bite, struct outcome *ret)
{
    struct h1_body body;
    size_t have = 0;

    *ret = (struct outcome){ 0 };
    message_init(&ret->trailers, &arena);
    h1_body_start(&body, m, limits, &ret->trailers);
    while (true) {
        size_t skip, size = have - ret->used;
        struct bytes data;
        uint8_t *copy = test_malloc(size + 1); /* alone, for the sanitizer */

        if (size)
            memcpy(copy, text.at + ret->used, size);
        ret->result = h1_body_look(&body, bytes_of(copy, size), &skip, &data);
        assert_true(skip <= size);
        ret->used += skip;
        if (ret->result == H1_DATA) {
            size_t n = data.size < bite ? data.size : bite;
            assert_ptr_equal(data.at, copy + skip);
            assert_true(n > 0 && ret->content_bytes + n <= sizeof(ret->content));
            memcpy(ret->content + ret->content_bytes, data.at, n);
            ret->content_bytes += n;
            h1_body_took(&body, n);
            ret->used += n;
        }
        test_free(copy);
        if (ret->result == H1_DATA)
            continue;
        if (ret->result != -E_AGAIN || have == text.size)
            return;
        have += step < text.size - have ? step : text.size - have;
    }
}

/* All ways of feeding must agree. */
static void read_body_any(struct bytes text, enum http_body kind, uint64_t length, const struct h1_limits *limits,
                          struct outcome *ret)
{
    static const size_t steps[] = { 1, 2, 3, 7 }, bites[] = { 1, 3, SIZE_MAX };
    struct message m = { .body = kind, .length = length };

    read_body(text, &m, limits, text.size ? text.size : 1, SIZE_MAX, ret);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        for (size_t j = 0; j < COUNT_OF(bites); j++) {
            struct outcome other;

            read_body(text, &m, limits, steps[i], bites[j], &other);
            assert_int_equal(other.result, ret->result);
            assert_int_equal(other.content_bytes, ret->content_bytes);
            assert_memory_equal(other.content, ret->content, ret->content_bytes);
            assert_int_equal(other.trailers.fields.count, ret->trailers.fields.count);
            if (ret->result == H1_END)
                assert_int_equal(other.used, ret->used);
        }
    }
}

struct good {
    const char *text, *content, *rest;
    uint32_t trailers;
};

static const struct good good_chunked[] = {
    { "0\r\n\r\n", "", "", 0 },
    { "0\r\n\r\nGET /", "", "GET /", 0 },
    { "5\r\nhello\r\n0\r\n\r\n", "hello", "", 0 },
    { "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nX", "hello world", "X", 0 },
    { "A\r\n0123456789\r\nb\r\n0123456789a\r\n000\r\n\r\n", "01234567890123456789a", "", 0 },
    { "0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", "", 0 },
    { "5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", "", 0 },
    { "5;a=\"b; c\xff\t\";d\r\nhello\r\n0\r\n\r\n", "hello", "", 0 },
    { "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", 0 },
    { "0\r\nA: b\r\nC:d\r\n\r\nX", "", "X", 2 },
    { "1\r\nx\r\n0\r\nCookie: a\r\nset-cookie: b\r\nAuthorization: c\r\nX_Forwarded-For: d\r\nX: y\r\nTrailer: "
      "x\r\n\r\n",
      "x", "", 1 },
};

static void chunked_content_is_read_however_the_bytes_come(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good_chunked); i++) {
        const struct good *g = &good_chunked[i];
        struct outcome o;

        read_body_any(bytes_of_text(g->text), BODY_STREAMED, 0, &test_limits, &o);
        if (o.result != H1_END)
            fail_msg("%d: %s", o.result, g->text);
        assert_true(bytes_equal_text(bytes_of(o.content, o.content_bytes), g->content));
        assert_string_equal(g->text + o.used, g->rest);
        assert_int_equal(o.trailers.fields.count, g->trailers);
    }
}

static void every_beginning_of_chunked_content_asks_for_more(void **state)
{
    for (size_t i = 0; i < COUNT_OF(good_chunked); i++) {
        struct bytes text = bytes_of_text(good_chunked[i].text);
        struct outcome whole, part;

        read_body_any(text, BODY_STREAMED, 0, &test_limits, &whole);
        for (size_t size = 0; size < whole.used; size++) {
            read_body_any(bytes_part(text, 0, size), BODY_STREAMED, 0, &test_limits, &part);
            assert_int_equal(part.result, -E_AGAIN);
        }
    }
}

static const char *const bad_chunked[] = {
    "\r\n",
    ";a\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "\t5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\t\r\nhello\r\n0\r\n\r\n",
    "5 ;a\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5h\r\nhello\r\n0\r\n\r\n",
    "g\r\n",
    "5_0\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\r\nhello\r\n0\r\n\r\n",
    "5;a\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;a\x01\r\nhello\r\n0\r\n\r\n",
    "5;\x7f\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhellox\r\n0\r\n\r\n",
    "5\r\nhello\r\n\r\n0\r\n\r\n",
    "00000000000000005\r\n",
    "8000000000000000\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "0\r\n\n",
    "0\r\n\rX",
    "0\r\n \r\n\r\n",
    "0\r\nX : a\r\n\r\n",
    "0\r\nX: a\r\n b\r\n\r\n",
    "0\r\n: a\r\n\r\n",
    "0\r\nX\r\n\r\n",
    "0\r\nX: a\n\r\n",
    "0\r\nX: \x01\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\ncontent_length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\nHost: a.example\r\n\r\n",
    "0\r\nConnection: close\r\n\r\n",
    "0\r\nTE: trailers\r\n\r\n",
    "0\r\nUpgrade: x\r\n\r\n",
    "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
};

static void malformed_chunks_and_trailers_are_refused(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bad_chunked); i++) {
        struct outcome o;

        read_body_any(bytes_of_text(bad_chunked[i]), BODY_STREAMED, 0, &test_limits, &o);
        if (o.result != -E_SYNTAX)
            fail_msg("%d: %s", o.result, bad_chunked[i]);
    }
}

static void a_nul_in_framing_is_refused(void **state)
{
    static const char text[] = "1;a\r\nx\r\n0\r\nA: b\r\n\r\n";

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char copy[sizeof(text)];
        struct outcome o;

        memcpy(copy, text, sizeof(text));
        copy[i] = 0;
        read_body_any(bytes_of(copy, sizeof(text) - 1), BODY_STREAMED, 0, &test_limits, &o);
        assert_int_equal(o.result, i == 5 ? H1_END : -E_SYNTAX); /* the content is anything */
    }
}

static void the_largest_chunk_is_asked_for_in_parts(void **state)
{
    struct message m = { .body = BODY_STREAMED };
    struct h1_body body;
    struct bytes data;
    size_t skip;

    h1_body_start(&body, &m, &test_limits, NULL);
    assert_int_equal(h1_body_look(&body, BYTES_LITERAL("7fffffffffffffff\r\nabc"), &skip, &data), H1_DATA);
    assert_int_equal(skip, 18);
    assert_int_equal(data.size, 3);
    h1_body_took(&body, 3);
    assert_int_equal(body.left, INT64_MAX - 3);
    assert_int_equal(h1_body_look(&body, BYTES_NONE, &skip, &data), -E_AGAIN);
}

static void looking_again_without_taking_gives_the_same(void **state)
{
    struct message m = { .body = BODY_STREAMED };
    struct h1_body body;
    struct bytes data;
    size_t skip;

    h1_body_start(&body, &m, &test_limits, NULL);
    assert_int_equal(h1_body_look(&body, BYTES_LITERAL("5\r\nhel"), &skip, &data), H1_DATA);
    assert_int_equal(skip, 3);
    for (int i = 0; i < 3; i++) {
        h1_body_took(&body, 0);
        assert_int_equal(h1_body_look(&body, BYTES_LITERAL("hel"), &skip, &data), H1_DATA);
        assert_int_equal(skip, 0);
        assert_int_equal(data.size, 3);
    }
    h1_body_took(&body, 3);
    assert_int_equal(h1_body_look(&body, BYTES_LITERAL("lo\r\n0\r\n\r\nX"), &skip, &data), H1_DATA);
    assert_int_equal(data.size, 2);
    h1_body_took(&body, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(h1_body_look(&body, i ? BYTES_LITERAL("X") : BYTES_LITERAL("\r\n0\r\n\r\nX"), &skip, &data),
                         H1_END);
        assert_int_equal(skip, i ? 0 : 7);
    }
}

static void content_with_a_length_ends_there(void **state)
{
    struct outcome o;

    read_body_any(BYTES_LITERAL("helloGET"), BODY_LENGTH, 5, &test_limits, &o);
    assert_int_equal(o.result, H1_END);
    assert_int_equal(o.used, 5);
    read_body_any(BYTES_LITERAL("hell"), BODY_LENGTH, 5, &test_limits, &o);
    assert_int_equal(o.result, -E_AGAIN);
    read_body_any(BYTES_LITERAL("GET"), BODY_LENGTH, 0, &test_limits, &o);
    assert_int_equal(o.result, H1_END);
    assert_int_equal(o.used, 0);
}

static void no_content_ends_at_once(void **state)
{
    struct outcome o;

    read_body_any(BYTES_LITERAL("GET"), BODY_NONE, 5, &test_limits, &o);
    assert_int_equal(o.result, H1_END);
    assert_int_equal(o.used, 0);
}

static void content_up_to_the_close_never_ends_by_itself(void **state)
{
    struct outcome o;

    read_body_any(BYTES_LITERAL("0\r\n\r\n"), BODY_TO_CLOSE, 0, &test_limits, &o);
    assert_int_equal(o.result, -E_AGAIN);
    assert_int_equal(o.content_bytes, 5);
}

static void extensions_are_bounded_by_the_content_beside_them(void **state)
{
    static char text[40000];
    struct outcome o;

    /* one huge extension */
    memset(text, 'a', sizeof(text));
    memcpy(text, "1;", 2);
    read_body_any(bytes_of(text, 8194), BODY_STREAMED, 0, &test_limits, &o);
    assert_int_equal(o.result, -E_AGAIN);
    read_body_any(bytes_of(text, 8195), BODY_STREAMED, 0, &test_limits, &o);
    assert_int_equal(o.result, -E_SYNTAX);
    /* many chunks of one byte, each with 100 bytes of extension */
    size_t size = 0;
    for (int i = 0; i < 200; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "1;%0100d\r\nx\r\n", i);
    read_body_any(bytes_of(text, size), BODY_STREAMED, 0, &test_limits, &o);
    assert_int_equal(o.result, -E_SYNTAX);
    assert_in_range(o.content_bytes, 80, 85);
}

static void trailers_are_bounded_in_bytes_and_number(void **state)
{
    static const char text[] = "0\r\nA: b\r\nC: d\r\n\r\n"; /* 14 bytes of trailers */
    struct h1_limits limits = { .head = 14, .fields = 2 };
    struct outcome o;

    read_body_any(BYTES_LITERAL(text), BODY_STREAMED, 0, &limits, &o);
    assert_int_equal(o.result, H1_END);
    for (limits.head = 0; limits.head < 14; limits.head++) {
        read_body_any(BYTES_LITERAL(text), BODY_STREAMED, 0, &limits, &o);
        assert_int_equal(o.result, -E_HEAD_TOO_LARGE);
    }
    limits.fields = 1;
    read_body_any(BYTES_LITERAL(text), BODY_STREAMED, 0, &limits, &o);
    assert_int_equal(o.result, -E_HEAD_TOO_LARGE);
}

static void trailers_are_validated_also_when_nobody_wants_them(void **state)
{
    struct message m = { .body = BODY_STREAMED };
    struct h1_body body;
    struct bytes data;
    size_t skip;

    h1_body_start(&body, &m, &test_limits, NULL);
    assert_int_equal(h1_body_look(&body, BYTES_LITERAL("0\r\nA: b\r\n\r\n"), &skip, &data), H1_END);
    assert_int_equal(skip, 11);
    h1_body_start(&body, &m, &test_limits, NULL);
    assert_int_equal(h1_body_look(&body, BYTES_LITERAL("0\r\nA : b\r\n\r\n"), &skip, &data), -E_SYNTAX);
}

static void trailers_outlive_the_buffer_and_a_full_arena_is_reported(void **state)
{
    char text[] = "0\r\nA: b\r\n\r\n";
    struct message m = { .body = BODY_STREAMED }, trailers;
    struct arena small;
    struct h1_body body;
    struct bytes data;
    size_t skip;
    int result = -E_MEMORY;

    for (size_t limit = 0; result == -E_MEMORY; limit += 16) {
        arena_init(&small, NULL, limit);
        message_init(&trailers, &small);
        h1_body_start(&body, &m, &test_limits, &trailers);
        result = h1_body_look(&body, bytes_of_text(text), &skip, &data);
        if (result == -E_MEMORY)
            arena_reset(&small);
    }
    assert_int_equal(result, H1_END);
    memset(text, 'z', sizeof(text) - 1);
    assert_true(bytes_equal_text(trailers.fields.at[0].name, "A"));
    assert_true(bytes_equal_text(trailers.fields.at[0].value, "b"));
    arena_reset(&small);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(chunked_content_is_read_however_the_bytes_come),
        TEST(every_beginning_of_chunked_content_asks_for_more),
        TEST(malformed_chunks_and_trailers_are_refused),
        TEST(a_nul_in_framing_is_refused),
        TEST(the_largest_chunk_is_asked_for_in_parts),
        TEST(looking_again_without_taking_gives_the_same),
        TEST(content_with_a_length_ends_there),
        TEST(no_content_ends_at_once),
        TEST(content_up_to_the_close_never_ends_by_itself),
        TEST(extensions_are_bounded_by_the_content_beside_them),
        TEST(trailers_are_bounded_in_bytes_and_number),
        TEST(trailers_are_validated_also_when_nobody_wants_them),
        TEST(trailers_outlive_the_buffer_and_a_full_arena_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
