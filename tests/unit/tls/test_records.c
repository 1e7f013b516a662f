#include "tls/record_pair.h"

static uint8_t text[200000];

static int set_up_all(void **state)
{
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 2654435761u >> 13);
    return 0;
}

/* ---- Content ---- */

static void content_passes_both_ways_whatever_the_suite(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        static uint8_t got[50000];

        client_says(p, CONTENT_APPLICATION_DATA, text, 1);
        client_says(p, CONTENT_APPLICATION_DATA, text + 1, 16384);
        client_says(p, CONTENT_APPLICATION_DATA, text + 16385, 100);
        expect_server_gets(p, text, 16485); /* of all records in one call */
        assert_int_equal(server_opens(p, 100), -E_AGAIN);
        assert_int_equal(buffer_used(&p->to_server), 0);

        assert_int_equal(records_seal(&p->server, bytes_of(text, 40000), &p->to_client), 0);
        assert_true(buffer_used(&p->to_client) <= records_sealed_size(&p->server, 40000));
        assert_int_equal(records_open(&p->client, &p->to_client, got, sizeof got), 40000);
        assert_memory_equal(got, text, 40000);
        assert_int_equal(records_seal(&p->server, BYTES_NONE, &p->to_client), 0);
        assert_int_equal(buffer_used(&p->to_client), 0); /* of nothing, no record is made */
        record_pair_free(p);
    }
}

static void a_part_of_a_record_waits_and_is_not_touched(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        struct buffer whole;
        static uint8_t copy[400];

        client_says(p, CONTENT_APPLICATION_DATA, text, 200);
        whole = p->to_server;
        memcpy(copy, whole.data, whole.end);
        for (uint32_t n = 0; n < whole.end; n++) {
            p->to_server.end = n;
            assert_int_equal(server_opens(p, 1000), -E_AGAIN);
            assert_int_equal(buffer_used(&p->to_server), n);
            assert_false(records_have_more(&p->server));
        }
        assert_memory_equal(copy, whole.data, whole.end);
        p->to_server = whole;
        expect_server_gets(p, text, 200);
        record_pair_free(p);
    }
}

/* A record for which there is no room is opened where it stands, and given out in pieces. */
static void content_comes_in_pieces_of_any_size(void **state)
{
    static const size_t rooms[] = { 1, 2, 15, 17, 199, 200, 201, 239, 240, 241, 300, 5000 };

    FOR_EACH_KIND(kind)
        for (size_t i = 0; i < COUNT_OF(rooms); i++) {
            struct record_pair *p = record_pair_new(kind);
            size_t got = 0, at = 0, last = 0;

            for (size_t size = 1; size <= 4096; size = size * 2 + 3, last = at) {
                client_says(p, CONTENT_APPLICATION_DATA, text + at, size);
                at += size;
                if (kind->version == 0x0304) { /* with padding */
                    static uint8_t inner[4500];
                    memset(inner, 0, sizeof inner);
                    memcpy(inner, text + at, size);
                    inner[size] = CONTENT_APPLICATION_DATA;
                    client_says_inner(p, inner, size + 300);
                    at += size;
                }
            }
            assert_true(last == at);
            while (got < at) {
                int n = server_opens(p, rooms[i]);
                assert_true(n > 0 && (size_t)n <= rooms[i]);
                assert_memory_equal(p->got, text + got, (size_t)n);
                got += (size_t)n;
                if (p->server.pending)
                    assert_true(records_have_more(&p->server));
                if (got % 3 == 0)
                    buffer_compact(&p->to_server); /* as who receives more does */
            }
            assert_int_equal(got, at);
            assert_int_equal(server_opens(p, rooms[i]), -E_AGAIN);
            assert_int_equal(buffer_used(&p->to_server), 0);
            assert_false(records_have_more(&p->server));
            record_pair_free(p);
        }
}

static void without_room_nothing_happens(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_3);

    client_says(p, CONTENT_APPLICATION_DATA, text, 10);
    assert_int_equal(server_opens(p, 0), -E_AGAIN);
    assert_int_equal(server_opens(p, 3), 3);
    assert_int_equal(server_opens(p, 0), -E_AGAIN);
    assert_true(records_have_more(&p->server));
    assert_int_equal(server_opens(p, 100), 7);
    assert_memory_equal(p->got, text + 3, 7);
    record_pair_free(p);
}

static void empty_records_say_nothing(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);

        client_says(p, CONTENT_APPLICATION_DATA, "", 0);
        assert_int_equal(server_opens(p, 100), -E_AGAIN);
        client_says(p, CONTENT_APPLICATION_DATA, "", 0);
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "text");
        client_says(p, CONTENT_APPLICATION_DATA, "", 0);
        expect_server_gets(p, "text", 4);
        assert_int_equal(server_opens(p, 2), -E_AGAIN);
        assert_int_equal(buffer_used(&p->to_server), 0);
        record_pair_free(p);
    }
}

/* ---- Ends ---- */

static void after_close_notify_nothing_more_is_read_and_writing_goes_on(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        uint8_t out[64];
        enum content_type type;

        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "last");
        CLIENT_SAYS(p, CONTENT_ALERT, "\1\0");
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "ignored");
        CLIENT_SAYS(p, CONTENT_ALERT, "\2\120");
        expect_server_gets(p, "last", 4);
        assert_true(records_have_more(&p->server));
        for (int i = 0; i < 3; i++)
            assert_int_equal(server_opens(p, 100), 0);
        assert_false(records_owes(&p->server));
        assert_int_equal(records_seal(&p->server, BYTES_LITERAL("answer"), &p->to_client), 0);
        assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        assert_int_equal(records_finish(&p->server, &p->to_client), 0); /* once */
        assert_int_equal(client_opens_one(p, out, &type), 6);
        assert_int_equal(client_opens_one(p, out, &type), 2);
        assert_int_equal(type, CONTENT_ALERT);
        assert_memory_equal(out, "\1\0", 2);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
}

static void after_our_close_notify_reading_goes_on(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        uint8_t out[64];

        assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        assert_int_equal(records_open(&p->client, &p->to_client, out, sizeof out), 0);
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "more");
        expect_server_gets(p, "more", 4);
        /* A failure has nothing more to say then. */
        CLIENT_SAYS(p, 99, "what?");
        assert_int_equal(server_opens(p, 100), -E_TLS);
        assert_int_equal(records_answer(&p->server, &p->to_client), 0);
        assert_int_equal(buffer_used(&p->to_client), 0);
        assert_false(records_owes(&p->server));
        record_pair_free(p);
    }
}

static void a_fatal_alert_is_the_end_of_both_directions(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);

        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "last");
        CLIENT_SAYS(p, CONTENT_ALERT, "\2\60"); /* unknown_ca */
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "ignored");
        expect_server_gets(p, "last", 4);
        assert_int_equal(server_opens(p, 100), -E_TLS_ALERT);
        assert_int_equal(server_opens(p, 100), -E_TLS_ALERT);
        assert_true(p->server.alert_received);
        assert_int_equal(p->server.alert, 48);
        assert_false(records_owes(&p->server));
        assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
}

static void warnings_are_heard_in_1_2_and_in_1_3_only_user_canceled_is_one(void **state)
{
    FOR_EACH_KIND(kind)
    {
        bool is_1_3 = kind->version == 0x0304;
        struct record_pair *p = record_pair_new(kind);

        CLIENT_SAYS(p, CONTENT_ALERT, "\1\132");
        assert_int_equal(server_opens(p, 100), -E_AGAIN);
        CLIENT_SAYS(p, CONTENT_ALERT, "\1\100"); /* no_renegotiation */
        assert_int_equal(server_opens(p, 100), is_1_3 ? -E_TLS_ALERT : -E_AGAIN);
        if (is_1_3)
            assert_int_equal(p->server.alert, 64);
        record_pair_free(p);
    }
}

static void an_alert_has_two_bytes(void **state)
{
    static const struct {
        const char *content;
        size_t bytes;
        uint8_t alert;
    } wrong[] = { { "", 0, ALERT_UNEXPECTED_MESSAGE }, { "\1", 1, ALERT_DECODE_ERROR }, { "\1\0\0", 3, ALERT_DECODE_ERROR },
                  { "\1\0\1\0", 4, ALERT_DECODE_ERROR } };

    FOR_EACH_KIND(kind)
        for (size_t i = 0; i < COUNT_OF(wrong); i++) {
            struct record_pair *p = record_pair_new(kind);

            client_says(p, CONTENT_ALERT, wrong[i].content, wrong[i].bytes);
            expect_failure(p, -E_TLS, 2, wrong[i].alert);
            record_pair_free(p);
        }
}

/* What came before an error is given out, and may be answered: only who sees the error owes the alert. */
static void an_error_comes_after_the_data_before_it_and_its_alert_after_the_answer(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        uint8_t out[64];
        enum content_type type;

        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "question");
        CLIENT_SAYS(p, 99, "what?");
        expect_server_gets(p, "question", 8);
        assert_true(records_have_more(&p->server));
        assert_false(records_owes(&p->server));
        assert_int_equal(records_seal(&p->server, BYTES_LITERAL("answer"), &p->to_client), 0);
        assert_int_equal(client_opens_one(p, out, &type), 6);
        expect_failure(p, -E_TLS, 2, ALERT_UNEXPECTED_MESSAGE);
        record_pair_free(p);
    }
}

static void who_finishes_instead_of_reading_on_says_the_alert(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        uint8_t out[64];

        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "question");
        CLIENT_SAYS(p, 99, "what?");
        expect_server_gets(p, "question", 8);
        assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        assert_int_equal(records_open(&p->client, &p->to_client, out, sizeof out), -E_TLS_ALERT);
        assert_int_equal(p->client.alert, ALERT_UNEXPECTED_MESSAGE);
        assert_int_equal(server_opens(p, 100), -E_TLS);
        assert_int_equal(records_answer(&p->server, &p->to_client), 0);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
}

/* ---- Records that are wrong ---- */

static void a_bad_tag_is_bad_record_mac_and_nothing_is_given_out(void **state)
{
    FOR_EACH_KIND(kind)
        for (size_t room = 10; room <= 1000; room *= 100) { /* in place, and not */
            struct record_pair *p = record_pair_new(kind);

            client_says(p, CONTENT_APPLICATION_DATA, text, 300);
            p->to_server.data[p->to_server.end - 1] ^= 1;
            memset(p->got, 0, sizeof p->got);
            assert_int_equal(server_opens(p, room), -E_TLS);
            for (size_t i = 0; i < 1000; i++)
                assert_int_equal(p->got[i], 0);
            expect_failure(p, -E_TLS, 2, ALERT_BAD_RECORD_MAC);
            record_pair_free(p);
        }
}

static void a_record_too_short_to_be_one_is_bad_record_mac(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);

        assert_int_equal(buffer_append(p->pool, &p->to_server, BYTES_LITERAL("\x17\3\3\0\1x")), 0);
        expect_failure(p, -E_TLS, 2, ALERT_BAD_RECORD_MAC);
        record_pair_free(p);
    }
}

static void the_length_is_judged_by_the_header_alone(void **state)
{
    FOR_EACH_KIND(kind)
        for (int more = 0; more < 2; more++) {
            size_t most = kind->version == 0x0304 ? 16384 + 1 + 16 : 16384 + 2048;
            struct record_pair *p = record_pair_new(kind);
            uint8_t header[5] = { 23, 3, 3, (uint8_t)((most + (size_t)more) >> 8), (uint8_t)(most + (size_t)more) };

            assert_int_equal(buffer_append(p->pool, &p->to_server, bytes_of(header, 5)), 0);
            if (more)
                expect_failure(p, -E_TLS, 2, ALERT_RECORD_OVERFLOW);
            else
                assert_int_equal(server_opens(p, 100), -E_AGAIN);
            record_pair_free(p);
        }
}

static void content_over_the_limit_is_record_overflow(void **state)
{
    for (size_t size = 16384; size <= 16385; size++)
        for (size_t room = 100; room <= 100000; room *= 1000) {
            struct record_pair *p = record_pair_new(&record_1_3);
            static uint8_t inner[16700];

            memcpy(inner, text, size);
            memset(inner + size, 0, sizeof inner - size);
            inner[size] = CONTENT_APPLICATION_DATA;
            client_says_inner(p, inner, size + 1);
            if (size == 16384) {
                assert_int_equal(server_opens(p, room), room < size ? room : size);
            } else {
                assert_int_equal(server_opens(p, room), -E_TLS);
                expect_failure(p, -E_TLS, 2, ALERT_RECORD_OVERFLOW);
            }
            record_pair_free(p);
        }
}

/* RFC 8446 5.4: content, type and padding together have 2^14 + 1 bytes at most. */
static void padding_over_the_limit_is_record_overflow(void **state)
{
    static const size_t contents[] = { 0, 1, 100, 16000, 16384 };
    static uint8_t inner[16386];

    for (size_t i = 0; i < COUNT_OF(contents); i++)
        for (size_t more = 0; more < 2; more++) {
            struct record_pair *p = record_pair_new(&record_1_3);
            size_t size = contents[i];

            memset(inner, 0, sizeof inner);
            memcpy(inner, text, size);
            inner[size] = CONTENT_APPLICATION_DATA;
            client_says_inner(p, inner, 16385 + more);
            if (more)
                expect_failure(p, -E_TLS, 2, ALERT_RECORD_OVERFLOW);
            else if (size)
                expect_server_gets(p, text, size);
            else
                assert_int_equal(server_opens(p, 100), -E_AGAIN);
            record_pair_free(p);
        }
}

static void a_smaller_limit_holds_in_both_directions(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        uint8_t out[600];
        enum content_type type;

        p->server.plain_most = p->server.read_most = 512;
        client_says(p, CONTENT_APPLICATION_DATA, text, 512);
        expect_server_gets(p, text, 512);
        for (int pause = 0; pause < 2; pause++) {
            size_t before = buffer_used(&p->to_client);
            assert_int_equal(records_piece(&p->server), 512);
            assert_int_equal(records_seal(&p->server, bytes_of(text, 1025), &p->to_client), 0);
            assert_true(buffer_used(&p->to_client) - before <= records_sealed_size(&p->server, 1025));
            records_paused(&p->server);
        }
        for (int i = 0; i < 6; i++)
            assert_int_equal(client_opens_one(p, out, &type), i % 3 < 2 ? 512 : 1);
        client_says(p, CONTENT_APPLICATION_DATA, text, 513);
        expect_failure(p, -E_TLS, 2, ALERT_RECORD_OVERFLOW);
        record_pair_free(p);
    }
}

static void nothing_but_padding_is_unexpected(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_3);
    static const uint8_t zeros[100];

    client_says_inner(p, zeros, sizeof zeros);
    expect_failure(p, -E_TLS, 2, ALERT_UNEXPECTED_MESSAGE);
    record_pair_free(p);
}

static void records_in_clear_are_refused_once_the_handshake_is_complete(void **state)
{
    static const char *const clear[] = { "\x14\3\3\0\1\1", "\x15\3\3\0\2\1\0", "\x16\3\3\0\4\1\0\0\0" };

    for (size_t i = 0; i < COUNT_OF(clear); i++)
        FOR_EACH_KIND(kind)
        {
            struct record_pair *p = record_pair_new(kind);

            assert_int_equal(buffer_append(p->pool, &p->to_server, bytes_of(clear[i], 5 + (size_t)clear[i][4])), 0);
            expect_failure(p, -E_TLS, 2, kind->version == 0x0304 ? ALERT_UNEXPECTED_MESSAGE : ALERT_BAD_RECORD_MAC);
            record_pair_free(p);
        }
}

static void what_is_no_record_is_refused_by_its_header(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);

        assert_int_equal(buffer_append(p->pool, &p->to_server, BYTES_LITERAL("GET / HTTP/1.1\r\n")), 0);
        expect_failure(p, -E_TLS, 2, kind->version == 0x0304 ? ALERT_UNEXPECTED_MESSAGE : ALERT_PROTOCOL_VERSION);
        record_pair_free(p);
    }
}

/* RFC 8446 5.1 against RFC 5246 6.2.1. */
static void the_version_of_a_record_is_ignored_in_1_3_and_the_negotiated_one_in_1_2(void **state)
{
    static const uint8_t others[][2] = { { 3, 1 }, { 3, 4 }, { 2, 0 }, { 0, 0 }, { 0xff, 0xff } };

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct record_pair *p = record_pair_new(&record_1_3);

        client_says_inner_as(p, others[i], (const uint8_t *)"text\x17", 5);
        expect_server_gets(p, "text", 4);
        client_says(p, CONTENT_APPLICATION_DATA, "x", 1);
        memcpy(p->to_server.data + p->to_server.start + 1, others[i], 2); /* on its way: the tag tells */
        expect_failure(p, -E_TLS, 2, ALERT_BAD_RECORD_MAC);
        record_pair_free(p);

        p = record_pair_new(&record_1_2);
        client_says(p, CONTENT_APPLICATION_DATA, "x", 1);
        memcpy(p->to_server.data + p->to_server.start + 1, others[i], 2);
        expect_failure(p, -E_TLS, 2, ALERT_PROTOCOL_VERSION);
        record_pair_free(p);
    }
}

static void unknown_types_are_refused(void **state)
{
    static const int types[] = { CONTENT_CHANGE_CIPHER_SPEC, 24 /* heartbeat */, 0xff };

    FOR_EACH_KIND(kind)
        for (size_t i = 0; i < COUNT_OF(types); i++) {
            struct record_pair *p = record_pair_new(kind);

            CLIENT_SAYS(p, types[i], "\1");
            expect_failure(p, -E_TLS, 2, ALERT_UNEXPECTED_MESSAGE);
            record_pair_free(p);
        }
}

/* ---- KeyUpdate and other handshake messages ---- */

/* The client's side of the server's KeyUpdate. */
static void client_follows(struct record_pair *p)
{
    struct traffic_keys kind = { .version = 0x0304, .aead = p->client.read.aead, .secret_bytes = p->client.secret_bytes };
    enum content_type type;
    uint8_t out[64];

    assert_int_equal(client_opens_one(p, out, &type), 5);
    assert_int_equal(type, CONTENT_HANDSHAKE);
    assert_memory_equal(out, "\x18\0\0\1\0", 5); /* update_not_requested */
    aead_release(p->cache, &p->client.read.holder);
    assert_int_equal(traffic_key_update(&kind, &p->client.read.key), 0);
}

static void a_key_update_is_followed(void **state)
{
    for (size_t i = 3; i < COUNT_OF(record_kinds); i++) {
        struct record_pair *p = record_pair_new(&record_kinds[i]);

        for (int generation = 0; generation < 5; generation++) {
            CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "before ");
            client_updates(p, 0);
            CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "and after");
            expect_server_gets(p, "before and after", 16);
            assert_false(records_owes(&p->server));
        }
        record_pair_free(p);
    }
}

static void a_requested_key_update_is_answered_once_however_often_it_was_asked_for(void **state)
{
    for (size_t i = 3; i < COUNT_OF(record_kinds); i++) {
        struct record_pair *p = record_pair_new(&record_kinds[i]);
        uint8_t out[64];
        enum content_type type;

        for (int round = 0; round < 3; round++) {
            for (int n = 0; n < 10; n++)
                client_updates(p, 1);
            assert_int_equal(server_opens(p, 100), -E_AGAIN);
            assert_true(records_owes(&p->server));
            assert_int_equal(records_answer(&p->server, &p->to_client), 0);
            assert_false(records_owes(&p->server));
            client_follows(p);
            assert_int_equal(buffer_used(&p->to_client), 0);
            assert_int_equal(records_seal(&p->server, BYTES_LITERAL("new key"), &p->to_client), 0);
            assert_int_equal(client_opens_one(p, out, &type), 7);
            CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
            expect_server_gets(p, "x", 1);
        }
        record_pair_free(p);
    }
}

/* RFC 8446 4.6.3: prior to the next application data. */
static void content_that_is_sealed_first_leaves_behind_the_answer(void **state)
{
    for (int staged = 0; staged < 2; staged++) {
        struct record_pair *p = record_pair_new(&record_1_3);
        uint8_t out[64];
        enum content_type type;

        client_updates(p, 1);
        assert_int_equal(server_opens(p, 100), -E_AGAIN);
        if (staged) {
            memcpy(records_stage(&p->server, &p->to_client), "content", 7);
            assert_int_equal(records_seal_staged(&p->server, 7, &p->to_client), 0);
        } else {
            assert_int_equal(records_seal(&p->server, BYTES_LITERAL("content"), &p->to_client), 0);
        }
        assert_false(records_owes(&p->server));
        client_follows(p);
        assert_int_equal(client_opens_one(p, out, &type), 7);
        assert_memory_equal(out, "content", 7);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
}

static void who_has_finished_answers_no_key_update(void **state)
{
    for (int before = 0; before < 2; before++) {
        struct record_pair *p = record_pair_new(&record_1_3);
        uint8_t out[64];

        if (before)
            assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        client_updates(p, 1);
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
        expect_server_gets(p, "x", 1);
        assert_int_equal(records_owes(&p->server), !before);
        if (!before)
            assert_int_equal(records_finish(&p->server, &p->to_client), 0);
        assert_false(records_owes(&p->server));
        assert_int_equal(records_answer(&p->server, &p->to_client), 0);
        assert_int_equal(records_open(&p->client, &p->to_client, out, sizeof out), 0);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
}

static void who_heard_a_fatal_alert_answers_no_key_update(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_3);

    client_updates(p, 1);
    CLIENT_SAYS(p, CONTENT_ALERT, "\2\60");
    assert_int_equal(server_opens(p, 100), -E_TLS_ALERT);
    assert_false(records_owes(&p->server));
    record_pair_free(p);
}

static void a_key_update_may_be_cut_anywhere(void **state)
{
    static const uint8_t message[] = { 24, 0, 0, 1, 1 };

    for (unsigned cuts = 0; cuts < 16; cuts++) {
        struct record_pair *p = record_pair_new(&record_1_3);
        struct traffic_keys kind = { .version = 0x0304, .aead = AEAD_AES_128_GCM, .secret_bytes = 32 };
        size_t from = 0;

        for (size_t i = 1; i <= sizeof message; i++)
            if (i == sizeof message || cuts & 1u << (i - 1)) {
                client_says(p, CONTENT_HANDSHAKE, message + from, i - from);
                from = i;
            }
        aead_release(p->cache, &p->client.write.holder);
        assert_int_equal(traffic_key_update(&kind, &p->client.write.key), 0);
        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
        expect_server_gets(p, "x", 1);
        assert_true(records_owes(&p->server));
        record_pair_free(p);
    }
}

static void nothing_comes_between_the_parts_of_a_message(void **state)
{
    static const struct {
        int type;
        const char *content;
        size_t bytes;
    } between[] = { { CONTENT_APPLICATION_DATA, "x", 1 }, { CONTENT_APPLICATION_DATA, "", 0 }, { CONTENT_ALERT, "\1\0", 2 },
                    { CONTENT_HANDSHAKE, "", 0 } };

    for (size_t i = 0; i < COUNT_OF(between); i++) {
        struct record_pair *p = record_pair_new(&record_1_3);

        CLIENT_SAYS(p, CONTENT_HANDSHAKE, "\x18\0\0");
        client_says(p, between[i].type, between[i].content, between[i].bytes);
        expect_failure(p, -E_TLS, 2, ALERT_UNEXPECTED_MESSAGE);
        record_pair_free(p);
    }
}

static void messages_that_have_no_place_are_refused(void **state)
{
    static const struct {
        const struct record_kind *kind;
        const char *content;
        size_t bytes;
        uint8_t alert;
    } cases[] = {
        { &record_1_3, "\x18\0\0\1\0\x18\0\0\1\0", 10, ALERT_UNEXPECTED_MESSAGE }, /* not at its record's end */
        { &record_1_3, "\x18\0\0\1\0\x18", 6, ALERT_UNEXPECTED_MESSAGE },
        { &record_1_3, "\x18\0\0\1\2", 5, ALERT_ILLEGAL_PARAMETER },
        { &record_1_3, "\x18\0\0\1\xff", 5, ALERT_ILLEGAL_PARAMETER },
        { &record_1_3, "\x18\0\0\2\0\0", 6, ALERT_DECODE_ERROR },
        { &record_1_3, "\x18\0\0\0", 4, ALERT_DECODE_ERROR },
        { &record_1_3, "\x18\1\0\1\0", 5, ALERT_DECODE_ERROR },
        { &record_1_3, "\4\0\0\1\0", 5, ALERT_UNEXPECTED_MESSAGE }, /* NewSessionTicket, of a client */
        { &record_1_3, "\1\0\0\1\0", 5, ALERT_UNEXPECTED_MESSAGE }, /* ClientHello */
        { &record_1_3, "\xb\0\0\1\0", 5, ALERT_UNEXPECTED_MESSAGE }, /* Certificate, unasked */
        { &record_1_3, "", 0, ALERT_UNEXPECTED_MESSAGE },
        { &record_1_2, "\x18\0\0\1\0", 5, ALERT_UNEXPECTED_MESSAGE }, /* no KeyUpdate there */
        { &record_1_2, "\0\0\0\0", 4, ALERT_UNEXPECTED_MESSAGE },     /* HelloRequest, of a client */
        { &record_1_2, "\24\0\0\14", 4, ALERT_UNEXPECTED_MESSAGE },   /* Finished */
        { &record_1_2, "", 0, ALERT_UNEXPECTED_MESSAGE },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct record_pair *p = record_pair_new(cases[i].kind);

        client_says(p, CONTENT_HANDSHAKE, cases[i].content, cases[i].bytes);
        expect_failure(p, -E_TLS, 2, cases[i].alert);
        record_pair_free(p);
    }
}

/* RFC 5246 7.2.2: always a warning; and then the connection ends in order (7.2.1). */
static void a_renegotiation_is_refused_with_no_renegotiation(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_2);

    CLIENT_SAYS(p, CONTENT_HANDSHAKE, "\1\0\0\x50 whatever it offers");
    expect_failure(p, -E_TLS, 1, ALERT_NO_RENEGOTIATION);
    record_pair_free(p);

    p = record_pair_new(&record_1_2);
    assert_int_equal(record_seal(p->cache, &p->server.write, CONTENT_HANDSHAKE, BYTES_LITERAL("\0\0\0\0"),
                                 p->to_client.data), 33);
    buffer_commit(&p->to_client, 33);
    assert_int_equal(records_open(&p->client, &p->to_client, p->got, 100), -E_TLS); /* HelloRequest, of a server */
    assert_int_equal(p->client.alert, ALERT_NO_RENEGOTIATION);
    record_pair_free(p);
}

static void who_says_nothing_but_tls_is_refused_in_the_end(void **state)
{
    for (int what = 0; what < 4; what++) {
        struct record_pair *p = record_pair_new(what == 3 ? &record_1_2 : &record_1_3);
        int most = what == 0 ? RECORDS_UPDATES_MOST : RECORDS_MESSAGES_MOST;

        for (int round = 0; round < 3; round++) { /* content in between makes it good */
            for (int i = 0; i < most + (round == 2); i++) {
                if (what == 0)
                    client_updates(p, 1);
                else if (what == 1)
                    client_says(p, CONTENT_APPLICATION_DATA, "", 0);
                else
                    CLIENT_SAYS(p, CONTENT_ALERT, "\1\132");
            }
            if (round == 2)
                break;
            assert_int_equal(server_opens(p, 100), -E_AGAIN);
            records_forgive(&p->server, RECORDS_UPDATES_MOST);
            CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
            expect_server_gets(p, "x", 1);
            if (records_owes(&p->server)) {
                assert_int_equal(records_answer(&p->server, &p->to_client), 0);
                client_follows(p);
            }
        }
        expect_failure(p, -E_FLOOD, 2, ALERT_UNEXPECTED_MESSAGE);
        record_pair_free(p);
    }
}

/* Deriving keys costs more than the few bytes that ask for it: content in between does not make up for it, time does. */
static void key_updates_with_content_between_them_are_limited_by_time(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_3);

    for (int round = 0; round < 4; round++) {
        int most = round == 0 ? RECORDS_UPDATES_MOST : RECORDS_UPDATES_A_SECOND;

        for (int i = 0; i < most; i++) {
            client_updates(p, 0);
            CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
            expect_server_gets(p, "x", 1);
        }
        if (round < 3)
            records_forgive(&p->server, RECORDS_UPDATES_A_SECOND);
    }
    client_updates(p, 0);
    expect_failure(p, -E_FLOOD, 2, ALERT_UNEXPECTED_MESSAGE);
    record_pair_free(p);
}

/* ---- Limits of keys ---- */

static void our_key_is_renewed_before_it_has_sealed_as_much_as_it_may(void **state)
{
    for (size_t i = 3; i < COUNT_OF(record_kinds); i++)
        for (int staged = 0; staged < 2; staged++) {
            struct record_pair *p = record_pair_new(&record_kinds[i]);
            uint8_t out[64];
            enum content_type type;

            p->server.write.key.sequence = p->client.read.key.sequence = RECORD_AES_GCM_MOST / 3 * 2 - 1;
            for (int n = 0; n < 3; n++) {
                if (staged) {
                    memcpy(records_stage(&p->server, &p->to_client), "content", 7);
                    assert_int_equal(records_seal_staged(&p->server, 7, &p->to_client), 0);
                } else {
                    assert_int_equal(records_seal(&p->server, BYTES_LITERAL("content"), &p->to_client), 0);
                }
                if (n == 1)
                    client_follows(p);
                assert_int_equal(client_opens_one(p, out, &type), 7);
                assert_memory_equal(out, "content", 7);
                assert_int_equal(buffer_used(&p->to_client), 0);
            }
            assert_int_equal(p->server.write.key.sequence, 2);
            record_pair_free(p);
        }
}

static void where_sequence_numbers_end_nothing_more_is_sealed_or_opened(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        struct record_pair *p = record_pair_new(&record_kinds[i]);

        p->server.write.key.sequence = UINT64_MAX;
        assert_int_equal(records_seal(&p->server, BYTES_LITERAL("x"), &p->to_client), -E_RECORD_LIMIT);
        memcpy(records_stage(&p->server, &p->to_client), "x", 1);
        assert_int_equal(records_seal_staged(&p->server, 1, &p->to_client), -E_RECORD_LIMIT);
        assert_int_equal(records_finish(&p->server, &p->to_client), -E_RECORD_LIMIT);
        assert_int_equal(buffer_used(&p->to_client), 0);
        record_pair_free(p);
    }
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);

        CLIENT_SAYS(p, CONTENT_APPLICATION_DATA, "x");
        p->server.read.key.sequence = UINT64_MAX;
        expect_failure(p, -E_RECORD_LIMIT, 2, ALERT_INTERNAL_ERROR);
        record_pair_free(p);
    }
}

static void explicit_nonces_go_on_and_never_repeat(void **state)
{
    struct record_pair *p = record_pair_new(&record_1_2);
    uint8_t out[64];
    enum content_type type;

    for (uint64_t i = 0; i < 5; i++) {
        uint64_t nonce = 0, wanted = UINT64_MAX - 1 + i; /* beyond the largest: 0 */

        assert_int_equal(records_seal(&p->server, BYTES_LITERAL("x"), &p->to_client), 0);
        for (int j = 0; j < 8; j++)
            nonce = nonce << 8 | p->to_client.data[p->to_client.start + 5 + (uint32_t)j];
        assert_true(nonce == wanted);
        assert_int_equal(client_opens_one(p, out, &type), 1);
    }
    record_pair_free(p);
}

/* ---- Sizes of records ---- */

static void the_first_bytes_after_a_pause_leave_in_small_records_and_a_stream_in_full_ones(void **state)
{
    FOR_EACH_KIND(kind)
    {
        struct record_pair *p = record_pair_new(kind);
        size_t sealed = 0, small = 0, size, extra;
        static uint8_t out[17000];
        enum content_type type;

        extra = records_small_extra(&p->server, true);
        records_paused(&p->server);
        assert_int_equal(records_small_extra(&p->server, false), extra);
        assert_true(RECORDS_SMALL_PLAIN + record_overhead(&p->server.write) + 20 + 20 + 12 <= 1500);
        assert_int_equal(records_seal(&p->server, bytes_of(text, 100000), &p->to_client), 0);
        assert_true(buffer_used(&p->to_client) <= 100000 + extra + 5 * record_overhead(&p->server.write));
        while (sealed < 100000) {
            size = (size_t)client_opens_one(p, out, &type);
            assert_memory_equal(out, text + sealed, size);
            if (sealed < RECORDS_SMALL_BYTES) {
                assert_int_equal(size, RECORDS_SMALL_PLAIN);
                small++;
            } else {
                assert_true(size == RECORD_PLAIN_MOST || sealed + size == 100000);
            }
            sealed += size;
        }
        assert_int_equal(small, 24);
        assert_int_equal(records_small_extra(&p->server, false), 0);
        assert_int_equal(records_piece(&p->server), RECORD_PLAIN_MOST);
        record_pair_free(p);
    }
}

static void sealing_needs_no_more_than_it_said_before(void **state)
{
    FOR_EACH_KIND(kind)
        for (size_t most = 512; most <= 16384; most *= 32)
            for (size_t size = 1; size < 150000; size = size * 3 / 2 + 1)
                for (size_t small = 0; small <= RECORDS_SMALL_BYTES; small = small * 2 + 1) {
                    struct record_pair *p = record_pair_new(kind);
                    size_t said;

                    p->server.plain_most = (uint16_t)most;
                    p->server.small_left = (uint16_t)small;
                    p->server.update_owed = kind->version == 0x0304;
                    said = records_sealed_size(&p->server, size);
                    assert_int_equal(records_seal(&p->server, bytes_of(text, size), &p->to_client), 0);
                    assert_true(buffer_used(&p->to_client) <= said);
                    record_pair_free(p);
                }
}

static void sealing_what_stands_in_place_makes_the_same_records(void **state)
{
    FOR_EACH_KIND(kind)
        for (size_t size = 1; size <= 16384; size = size * 2 + 1) {
            struct record_pair *p = record_pair_new(kind), *q = record_pair_new(kind);

            for (int i = 0; i < 2; i++) {
                assert_int_equal(records_seal(&p->server, bytes_of(text, size), &p->to_client), 0);
                memcpy(records_stage(&q->server, &q->to_client), text, size);
                assert_int_equal(records_seal_staged(&q->server, size, &q->to_client), 0);
            }
            assert_int_equal(buffer_used(&p->to_client), buffer_used(&q->to_client));
            assert_memory_equal(p->to_client.data, q->to_client.data, p->to_client.end);
            record_pair_free(p);
            record_pair_free(q);
        }
}

/* ---- Keys and contexts ---- */

static void keys_change_hands_and_are_wiped(void **state)
{
    struct aead_cache *cache = aead_cache_new(4);
    struct traffic_keys keys = pair_keys(&record_1_3, 10, false), nothing = { 0 };
    struct tls_records records, cleared = { 0 };
    struct record_pair *p = record_pair_new(&record_1_3);

    records_init(&records, &keys, false, cache);
    assert_memory_equal(&keys, &nothing, sizeof keys);
    assert_int_equal(records_seal(&records, BYTES_LITERAL("x"), &p->to_client), 0);
    assert_non_null(records.write.holder.context);
    records_clear(&records);
    assert_memory_equal(&records, &cleared, sizeof records);
    aead_cache_free(cache); /* which sees that no context is held */
    record_pair_free(p);
}

static void five_connections_share_two_contexts(void **state)
{
    struct record_pair *p[5];
    struct aead_cache *own[5], *shared = aead_cache_new(2);

    for (size_t i = 0; i < COUNT_OF(p); i++) {
        p[i] = record_pair_new(&record_kinds[i]);
        own[i] = p[i]->cache;
        p[i]->cache = p[i]->server.cache = p[i]->client.cache = shared;
    }
    for (size_t round = 0; round < 100; round++) {
        size_t i = (round * 3 + round / 7) % COUNT_OF(p);
        uint8_t out[64];
        enum content_type type;

        if (round % 11 == 0 && p[i]->server.write.version == 0x0304)
            client_updates(p[i], 1);
        client_says(p[i], CONTENT_APPLICATION_DATA, text + round, 30);
        expect_server_gets(p[i], text + round, 30);
        if (records_owes(&p[i]->server)) {
            assert_int_equal(records_answer(&p[i]->server, &p[i]->to_client), 0);
            client_follows(p[i]);
        }
        assert_int_equal(records_seal(&p[i]->server, bytes_of(text + round, 20), &p[i]->to_client), 0);
        assert_int_equal(client_opens_one(p[i], out, &type), 20);
        assert_memory_equal(out, text + round, 20);
    }
    for (size_t i = 0; i < COUNT_OF(p); i++) {
        records_clear(&p[i]->server);
        records_clear(&p[i]->client);
        p[i]->cache = p[i]->server.cache = p[i]->client.cache = own[i];
        record_pair_free(p[i]);
    }
    aead_cache_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_passes_both_ways_whatever_the_suite),
        cmocka_unit_test(a_part_of_a_record_waits_and_is_not_touched),
        cmocka_unit_test(content_comes_in_pieces_of_any_size),
        cmocka_unit_test(without_room_nothing_happens),
        cmocka_unit_test(empty_records_say_nothing),
        cmocka_unit_test(after_close_notify_nothing_more_is_read_and_writing_goes_on),
        cmocka_unit_test(after_our_close_notify_reading_goes_on),
        cmocka_unit_test(a_fatal_alert_is_the_end_of_both_directions),
        cmocka_unit_test(warnings_are_heard_in_1_2_and_in_1_3_only_user_canceled_is_one),
        cmocka_unit_test(an_alert_has_two_bytes),
        cmocka_unit_test(an_error_comes_after_the_data_before_it_and_its_alert_after_the_answer),
        cmocka_unit_test(who_finishes_instead_of_reading_on_says_the_alert),
        cmocka_unit_test(a_bad_tag_is_bad_record_mac_and_nothing_is_given_out),
        cmocka_unit_test(a_record_too_short_to_be_one_is_bad_record_mac),
        cmocka_unit_test(the_length_is_judged_by_the_header_alone),
        cmocka_unit_test(content_over_the_limit_is_record_overflow),
        cmocka_unit_test(padding_over_the_limit_is_record_overflow),
        cmocka_unit_test(a_smaller_limit_holds_in_both_directions),
        cmocka_unit_test(nothing_but_padding_is_unexpected),
        cmocka_unit_test(records_in_clear_are_refused_once_the_handshake_is_complete),
        cmocka_unit_test(what_is_no_record_is_refused_by_its_header),
        cmocka_unit_test(the_version_of_a_record_is_ignored_in_1_3_and_the_negotiated_one_in_1_2),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(a_key_update_is_followed),
        cmocka_unit_test(a_requested_key_update_is_answered_once_however_often_it_was_asked_for),
        cmocka_unit_test(content_that_is_sealed_first_leaves_behind_the_answer),
        cmocka_unit_test(who_has_finished_answers_no_key_update),
        cmocka_unit_test(who_heard_a_fatal_alert_answers_no_key_update),
        cmocka_unit_test(a_key_update_may_be_cut_anywhere),
        cmocka_unit_test(nothing_comes_between_the_parts_of_a_message),
        cmocka_unit_test(messages_that_have_no_place_are_refused),
        cmocka_unit_test(a_renegotiation_is_refused_with_no_renegotiation),
        cmocka_unit_test(who_says_nothing_but_tls_is_refused_in_the_end),
        cmocka_unit_test(key_updates_with_content_between_them_are_limited_by_time),
        cmocka_unit_test(our_key_is_renewed_before_it_has_sealed_as_much_as_it_may),
        cmocka_unit_test(where_sequence_numbers_end_nothing_more_is_sealed_or_opened),
        cmocka_unit_test(explicit_nonces_go_on_and_never_repeat),
        cmocka_unit_test(the_first_bytes_after_a_pause_leave_in_small_records_and_a_stream_in_full_ones),
        cmocka_unit_test(sealing_needs_no_more_than_it_said_before),
        cmocka_unit_test(sealing_what_stands_in_place_makes_the_same_records),
        cmocka_unit_test(keys_change_hands_and_are_wiped),
        cmocka_unit_test(five_connections_share_two_contexts),
    };
    return cmocka_run_group_tests(tests, set_up_all, NULL);
}
