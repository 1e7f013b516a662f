#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "http/mail_filter.h"

static struct buffer_pool *pool;

static int set_up(void **state)
{
    pool = buffer_pool_new(4 * BUFFER_LARGE);
    return pool ? 0 : -1;
}

static int tear_down(void **state)
{
    assert_int_equal(buffer_pool_lent(pool), 0);
    buffer_pool_free(pool);
    return 0;
}

/* A dialogue through the filter: what is ready leaves at once. */
struct talk {
    struct mail_filter filter;
    struct buffer from_client, from_server;
    char to_server[70000], to_client[70000];
    size_t to_server_size, to_client_size;
    size_t step; /* bytes that come at once */
};

static struct talk *talk_new(enum mail_protocol protocol, size_t step)
{
    struct talk *t = calloc(1, sizeof *t);

    CHECK(t);
    mail_filter_start(&t->filter, protocol);
    t->step = step;
    return t;
}

static void talk_free(struct talk *t)
{
    buffer_drop(pool, &t->from_client);
    buffer_drop(pool, &t->from_server);
    free(t);
}

static void pass(struct buffer *b, struct mail_flow *flow, size_t ready, char *to, size_t *size)
{
    assert_true(ready <= buffer_used(b));
    memcpy(to + *size, b->data + b->start, ready);
    *size += ready;
    to[*size] = 0;
    buffer_consume(b, ready);
    mail_flow_took(flow, ready);
    buffer_settle(pool, b);
}

static void server_bytes(struct talk *t, struct bytes text)
{
    for (size_t at = 0; at < text.size; at += t->step) {
        assert_int_equal(buffer_append(pool, &t->from_server, bytes_part(text, at, t->step)), 0);
        pass(&t->from_server, &t->filter.server, mail_filter_from_server(&t->filter, &t->from_server, false), t->to_client,
             &t->to_client_size);
    }
}

static void client_bytes(struct talk *t, struct bytes text)
{
    for (size_t at = 0; at < text.size; at += t->step) {
        assert_int_equal(buffer_append(pool, &t->from_client, bytes_part(text, at, t->step)), 0);
        pass(&t->from_client, &t->filter.client, mail_filter_from_client(&t->filter, &t->from_client, false), t->to_server,
             &t->to_server_size);
    }
}

static void client(struct talk *t, const char *text)
{
    client_bytes(t, bytes_of_text(text));
}

static void server(struct talk *t, const char *text)
{
    server_bytes(t, bytes_of_text(text));
}

static const size_t steps[] = { 1, 2, 3, 7, 60000 };

#define WITH_EVERY_STEP(t, protocol) \
    for (size_t step_ = 0; step_ < sizeof steps / sizeof steps[0]; step_++) \
        for (struct talk *t = talk_new(protocol, steps[step_]); t; talk_free(t), t = NULL)

/* What the client gets of a server's words, whatever the pieces. */
static void gets(enum mail_protocol protocol, const char *asked, const char *text, const char *expected)
{
    WITH_EVERY_STEP (t, protocol) {
        client(t, asked);
        server(t, text);
        assert_string_equal(t->to_client, expected);
    }
}

static void smtp_starttls_is_taken_out_of_the_reply_to_ehlo(void **state)
{
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250-SIZE 1\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 SMTPUTF8\r\n",
         "250-x\r\n250-SIZE 1\r\n250-AUTH PLAIN\r\n250 SMTPUTF8\r\n");
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250-starttls \r\n250 HELP\r\n", "250-x\r\n250 HELP\r\n");
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250-STARTTLS\r\n250-STARTTLS\r\n250 HELP\r\n", "250-x\r\n250 HELP\r\n");
}

static void smtp_the_line_before_becomes_the_last_where_starttls_was(void **state)
{
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250-SIZE 1\r\n250 STARTTLS\r\n", "250-x\r\n250 SIZE 1\r\n");
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250 STARTTLS\r\n", "250 x\r\n");
    gets(MAIL_SMTP, "EHLO a\r\n", "250-x\r\n250-STARTTLS\r\n250 STARTTLS\r\n250 Ok\r\n", "250 x\r\n250 Ok\r\n");
}

static void smtp_other_replies_pass_as_they_are(void **state)
{
    static const char *const texts[] = {
        "250 STARTTLS\r\n",                                   /* a first line is a greeting, or some other reply */
        "250-STARTTLS\r\n250 HELP\r\n",                       /* a server of that name */
        "214-STARTTLS\r\n214 STARTTLS\r\n",                   /* HELP */
        "250-x\r\n250-XSTARTTLS\r\n250 STARTTLSX\r\n",
        "250-x\r\n250-STARTTLS please\r\n250 HELP\r\n",
        "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n",
        "250\r\n",
        "250-x\r\n250\r\n",
        "220-x\r\n250 STARTTLS\r\n",
        "421 4.3.2 bye\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        gets(MAIL_SMTP, "", texts[i], texts[i]);
}

static void smtp_a_reply_does_not_wait_for_the_next(void **state)
{
    struct talk *t = talk_new(MAIL_SMTP, 100);

    server(t, "250-x\r\n250-A\r\n");
    assert_string_equal(t->to_client, "250-x\r\n");
    server(t, "250 B\r\n");
    assert_string_equal(t->to_client, "250-x\r\n250-A\r\n250 B\r\n");
    server(t, "250-y\r\n");
    assert_int_equal(mail_filter_from_server(&t->filter, &t->from_server, true), 7); /* the server has ended */
    talk_free(t);
}

static void smtp_starttls_within_tls_reaches_the_server_as_an_unknown_word(void **state)
{
    WITH_EVERY_STEP (t, MAIL_SMTP) {
        client(t, "EHLO a\r\nSTARTTLS\r\n \tstartTLS x\r\nSTARTTLS\nSTARTTLSX\r\nNOOP STARTTLS\r\n");
        assert_string_equal(t->to_server,
                            "EHLO a\r\nXTARTTLS\r\n \tXtartTLS x\r\nXTARTTLS\nSTARTTLSX\r\nNOOP STARTTLS\r\n");
    }
}

static void smtp_the_content_of_a_message_passes_untouched(void **state)
{
    static const char content[] = "Subject: x\r\n\r\nSTARTTLS\r\n..\r\nSTARTTLS\n.\nSTARTTLS\r\n.x\r\n\r.\r\n.\r\n";

    WITH_EVERY_STEP (t, MAIL_SMTP) {
        client(t, "DATA\r\n");
        server(t, "354 go\r\n");
        client(t, content);
        client(t, "STARTTLS\r\n");
        server(t, "250 2.0.0 queued\r\n");
        client(t, "DATA\r\n");
        server(t, "354 go\r\n");
        client(t, ".\r\nSTARTTLS\r\n");
        assert_int_equal(strncmp(t->to_server + 6, content, sizeof content - 1), 0);
        assert_string_equal(t->to_server + 6 + sizeof content - 1, "XTARTTLS\r\nDATA\r\n.\r\nXTARTTLS\r\n");
    }
}

static void smtp_chunks_pass_untouched(void **state)
{
    WITH_EVERY_STEP (t, MAIL_SMTP) {
        client(t, "BDAT 12\r\n\r\nSTARTTLS\r\nbdat 10 LAST\r\nSTARTTLS\r\nBDAT 0 LAST\r\nSTARTTLS\r\nBDAT x\r\nSTARTTLS\r\n");
        assert_string_equal(t->to_server, "BDAT 12\r\n\r\nSTARTTLS\r\nbdat 10 LAST\r\nSTARTTLS\r\nBDAT 0 LAST\r\n"
                                          "XTARTTLS\r\nBDAT x\r\nXTARTTLS\r\n");
    }
}

static void smtp_an_answer_to_a_challenge_passes_untouched(void **state)
{
    WITH_EVERY_STEP (t, MAIL_SMTP) {
        client(t, "AUTH LOGIN\r\n");
        server(t, "334 VXNlcm5hbWU6\r\n");
        client(t, "STARTTLS\r\n"); /* base64 as any other */
        server(t, "334 UGFzc3dvcmQ6\r\n");
        client(t, "STARTTLS\r\n");
        server(t, "535 no\r\n");
        client(t, "STARTTLS\r\n");
        assert_string_equal(t->to_server, "AUTH LOGIN\r\nSTARTTLS\r\nSTARTTLS\r\nXTARTTLS\r\n");
    }
}

static void what_is_no_line_passes_at_once_and_for_good(void **state)
{
    static const uint8_t layer[] = { 0, 0, 0, 9, 'a', '\n', '2', '5', '0', '-' }, hello[] = { 0x16, 3, 1, 2, 0, 1 };

    for (int protocol = MAIL_SMTP; protocol <= MAIL_POP3; protocol++)
        WITH_EVERY_STEP (t, (enum mail_protocol)protocol) {
            client_bytes(t, bytes_of(hello, sizeof hello));
            server_bytes(t, bytes_of(layer, sizeof layer));
            assert_int_equal(t->to_server_size, sizeof hello);
            assert_int_equal(t->to_client_size, sizeof layer);
            assert_memory_equal(t->to_client, layer, sizeof layer);
            assert_true(t->filter.is_over);
        }
}

static void a_line_that_is_too_long_passes(void **state)
{
    static char line[3 * MAIL_FILTER_LINE_MOST];

    memset(line, 'x', sizeof line);
    memcpy(line, "250-", 4);
    for (int protocol = MAIL_SMTP; protocol <= MAIL_POP3; protocol++) {
        struct talk *t = talk_new((enum mail_protocol)protocol, 1000);
        server_bytes(t, bytes_of(line, sizeof line));
        assert_int_equal(t->to_client_size, sizeof line);
        client_bytes(t, bytes_of(line, sizeof line));
        assert_int_equal(t->to_server_size, sizeof line);
        talk_free(t);
    }
}

static void imap_the_words_are_taken_out_of_capabilities_wherever_they_come(void **state)
{
    gets(MAIL_IMAP, "", "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN\r\na OK done\r\n",
         "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na OK done\r\n");
    gets(MAIL_IMAP, "", "* CAPABILITY STARTTLS IMAP4rev1 loginDisabled\r\n", "* CAPABILITY IMAP4rev1\r\n");
    gets(MAIL_IMAP, "", "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED STARTTLS] STARTTLS LOGINDISABLED\r\n",
         "* OK [CAPABILITY IMAP4rev1] STARTTLS LOGINDISABLED\r\n");
    gets(MAIL_IMAP, "", "a1 OK [CAPABILITY IMAP4rev1 STARTTLS IDLE] Logged in\r\n",
         "a1 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n");
    gets(MAIL_IMAP, "", "a1 no [capability IMAP4rev1 STARTTLS] x\r\n", "a1 no [capability IMAP4rev1] x\r\n");
}

static void imap_other_words_stay(void **state)
{
    static const char *const texts[] = {
        "* CAPABILITY IMAP4rev1 XSTARTTLS STARTTLSX LOGINDISABLED=x  IDLE\r\n",
        "* OK STARTTLS [CAPABILITY STARTTLS]\r\n",
        "* OK [CAPABILITY STARTTLS\r\n",
        "* OK [ALERT] STARTTLS now\r\n",
        "* BYE STARTTLS LOGINDISABLED\r\n",
        "+ STARTTLS\r\n",
        "* ID (\"name\" \"STARTTLS STARTTLS\")\r\n",
        "* CAPABILITY\r\n",
        "* OK\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        gets(MAIL_IMAP, "", texts[i], texts[i]);
}

static void imap_a_literal_in_an_id_is_skipped(void **state)
{
    gets(MAIL_IMAP, "", "* ID (\"name\" {26}\r\n* CAPABILITY STARTTLS x\r\nz \"version\" {0}\r\n NIL)\r\n* CAPABILITY STARTTLS x\r\n",
         "* ID (\"name\" {26}\r\n* CAPABILITY STARTTLS x\r\nz \"version\" {0}\r\n NIL)\r\n* CAPABILITY x\r\n");
}

static void imap_nothing_of_a_mailbox_is_looked_at(void **state)
{
    static const char *const firsts[] = { "* 1 FETCH (BODY[] {40}\r\n", "* FLAGS (\\Seen)\r\n", "* LIST () \"/\" x\r\n",
                                          "* 5 EXISTS\r\n", "* NAMESPACE NIL\r\n", "* SEARCH 1\r\n", "* STATUS x ()\r\n" };

    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
        WITH_EVERY_STEP (t, MAIL_IMAP) {
            static const char mail[] = "* CAPABILITY STARTTLS x\r\na OK [CAPABILITY STARTTLS] y\r\n";
            server(t, "a OK [CAPABILITY IMAP4rev1 STARTTLS] in\r\n");
            assert_false(t->filter.is_over);
            server(t, firsts[i]);
            assert_true(t->filter.is_over);
            server(t, mail);
            assert_string_equal(t->to_client + t->to_client_size - strlen(mail), mail);
            client(t, "a STARTTLS\r\n");
            assert_string_equal(t->to_server, "a STARTTLS\r\n");
        }
}

static void imap_starttls_within_tls_reaches_the_server_as_an_unknown_word(void **state)
{
    WITH_EVERY_STEP (t, MAIL_IMAP) {
        client(t, "a starttls\r\nb  STARTTLS x\r\nc LOGIN {12}\r\nd STARTTLS\r\n {12+}\r\nd STARTTLS\r\n\r\ne STARTTLS\r\n"
                  "f AUTHENTICATE PLAIN\r\nSTARTTLS\r\ng LOGIN \"{3}\" STARTTLS\r\nh STARTTLS\r\n");
        assert_string_equal(t->to_server,
                            "a Xtarttls\r\nb  XTARTTLS x\r\nc LOGIN {12}\r\nd STARTTLS\r\n {12+}\r\nd STARTTLS\r\n\r\n"
                            "e XTARTTLS\r\nf AUTHENTICATE PLAIN\r\nSTARTTLS\r\ng LOGIN \"{3}\" STARTTLS\r\nh XTARTTLS\r\n");
    }
}

static void imap_compressed_streams_are_not_held_back(void **state)
{
    struct talk *t = talk_new(MAIL_IMAP, 100);

    client(t, "a LOGIN x y\r\n");
    server(t, "a OK in\r\n");
    client(t, "b COMPRESS DEFLATE\r\n");
    server(t, "b OK on\r\n");
    client(t, "ab CD efg");
    server(t, "xyz OK ab");
    assert_string_equal(t->to_server + t->to_server_size - 9, "ab CD efg");
    assert_string_equal(t->to_client + t->to_client_size - 9, "xyz OK ab");
    talk_free(t);
}

static void pop3_stls_is_taken_out_of_the_list_of_capabilities(void **state)
{
    WITH_EVERY_STEP (t, MAIL_POP3) {
        client(t, "CAPA\r\n");
        server(t, "+OK\r\nUSER\r\nSTLS\r\nSASL PLAIN\r\nstls \r\n.\r\n");
        client(t, "NOOP\r\nCAPA\r\nUSER x\r\nCAPA\r\n");
        server(t, "+OK STLS\r\n+OK\r\nSTLS\r\nUIDL\r\n.\r\n-ERR STLS\r\n-ERR\r\n");
        assert_string_equal(t->to_client, "+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n+OK STLS\r\n+OK\r\nUIDL\r\n.\r\n-ERR STLS\r\n-ERR\r\n");
        assert_false(t->filter.is_over);
    }
}

static void pop3_no_line_of_a_message_is_taken_out(void **state)
{
    static const char *const logins[] = { "USER x\r\nPASS y\r\n", "NOOP\r\nAPOP x y\r\n", "NOOP\r\nAUTH PLAIN AGEAYg==\r\n" };
    static const char message[] = "+OK 22\r\nSTLS\r\n+OK\r\nSTLS\r\n.\r\n";

    for (size_t i = 0; i < sizeof logins / sizeof logins[0]; i++)
        WITH_EVERY_STEP (t, MAIL_POP3) {
            client(t, logins[i]);
            server(t, "+OK\r\n-ERR\r\n"); /* a first attempt */
            assert_false(t->filter.is_over);
            client(t, "PASS z\r\nCAPA\r\nRETR 1\r\n"); /* pipelined with what comes after the login */
            server(t, "+OK in\r\n");
            assert_true(t->filter.is_over);
            server(t, message);
            assert_string_equal(t->to_client + t->to_client_size - sizeof message + 1, message);
        }
}

static void pop3_lists_that_are_no_capabilities_pass(void **state)
{
    gets(MAIL_POP3, "AUTH\r\nLANG\r\nCAPA\r\n", "+OK\r\nSTLS\r\n.\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\nSTLS\r\nX\r\n.\r\n",
         "+OK\r\nSTLS\r\n.\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\nX\r\n.\r\n");
}

static void pop3_stls_within_tls_reaches_the_server_as_an_unknown_word(void **state)
{
    WITH_EVERY_STEP (t, MAIL_POP3) {
        client(t, "STLS\r\n stls x\r\nAUTH LOGIN\r\n");
        server(t, "-ERR\r\n-ERR\r\n+ VXNlcm5hbWU6\r\n");
        client(t, "STLS\r\n");
        server(t, "-ERR no\r\n");
        client(t, "STLS\r\nCAPA\r\n");
        server(t, "-ERR\r\n+OK\r\nSTLS\r\n.\r\n");
        assert_string_equal(t->to_server, "XTLS\r\n Xtls x\r\nAUTH LOGIN\r\nSTLS\r\nXTLS\r\nCAPA\r\n");
        assert_string_equal(t->to_client, "-ERR\r\n-ERR\r\n+ VXNlcm5hbWU6\r\n-ERR no\r\n-ERR\r\n+OK\r\n.\r\n");
    }
}

static void pop3_more_questions_than_are_remembered_end_the_filter_not_the_connection(void **state)
{
    struct talk *t = talk_new(MAIL_POP3, 1000);

    for (int i = 0; i < MAIL_FILTER_COMMANDS_MOST; i++)
        client(t, "NOOP\r\n");
    assert_false(t->filter.is_over);
    client(t, "NOOP\r\nSTLS\r\n");
    assert_true(t->filter.is_over);
    assert_int_equal(t->to_server_size, (MAIL_FILTER_COMMANDS_MOST + 2) * 6);
    talk_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smtp_starttls_is_taken_out_of_the_reply_to_ehlo),
        cmocka_unit_test(smtp_the_line_before_becomes_the_last_where_starttls_was),
        cmocka_unit_test(smtp_other_replies_pass_as_they_are),
        cmocka_unit_test(smtp_a_reply_does_not_wait_for_the_next),
        cmocka_unit_test(smtp_starttls_within_tls_reaches_the_server_as_an_unknown_word),
        cmocka_unit_test(smtp_the_content_of_a_message_passes_untouched),
        cmocka_unit_test(smtp_chunks_pass_untouched),
        cmocka_unit_test(smtp_an_answer_to_a_challenge_passes_untouched),
        cmocka_unit_test(what_is_no_line_passes_at_once_and_for_good),
        cmocka_unit_test(a_line_that_is_too_long_passes),
        cmocka_unit_test(imap_the_words_are_taken_out_of_capabilities_wherever_they_come),
        cmocka_unit_test(imap_other_words_stay),
        cmocka_unit_test(imap_a_literal_in_an_id_is_skipped),
        cmocka_unit_test(imap_nothing_of_a_mailbox_is_looked_at),
        cmocka_unit_test(imap_starttls_within_tls_reaches_the_server_as_an_unknown_word),
        cmocka_unit_test(imap_compressed_streams_are_not_held_back),
        cmocka_unit_test(pop3_stls_is_taken_out_of_the_list_of_capabilities),
        cmocka_unit_test(pop3_no_line_of_a_message_is_taken_out),
        cmocka_unit_test(pop3_lists_that_are_no_capabilities_pass),
        cmocka_unit_test(pop3_stls_within_tls_reaches_the_server_as_an_unknown_word),
        cmocka_unit_test(pop3_more_questions_than_are_remembered_end_the_filter_not_the_connection),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
