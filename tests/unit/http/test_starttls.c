#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "http/starttls.h"

static char said[8192];

/* Talks to a server that gets `text` in pieces of `step` bytes. `said` is all that it answers but its greeting. Returns what
 * it said last: a step, -E_AGAIN or an error. */
static int talk(enum mail_protocol protocol, struct bytes text, size_t step)
{
    struct starttls s;
    struct starttls_answer a;
    size_t used = 0, have = 0, said_size = 0;
    int result = -E_AGAIN;

    starttls_start(&s, protocol, "mail.example.org");
    said[0] = 0;
    while (have < text.size && (result == -E_AGAIN || result == STARTTLS_ANSWERED)) {
        have += step < text.size - have ? step : text.size - have;
        do {
            struct bytes in = bytes_part(text, used, have - used);
            uint8_t *copy = malloc(in.size + !in.size); /* so that a sanitizer sees what is read beyond it */
            size_t n = 0;

            if (in.size)
                memcpy(copy, in.at, in.size);
            result = starttls_take(&s, bytes_of(copy, in.size), &n, &a);
            free(copy);
            used += result >= 0 ? n : 0;
            if (result != -E_AGAIN) {
                assert_true(said_size + a.size < sizeof said);
                memcpy(said + said_size, a.text, a.size);
                said_size += a.size;
                said[said_size] = 0;
            }
        } while (result == STARTTLS_ANSWERED && used < have);
    }
    return result;
}

static int talk_any(enum mail_protocol protocol, const char *text, const char *expected)
{
    struct bytes all = bytes_of_text(text);
    int result = talk(protocol, all, all.size);

    for (size_t step = 1; step <= 3; step++) {
        if (expected)
            assert_string_equal(said, expected);
        assert_int_equal(talk(protocol, all, step), result);
    }
    if (expected)
        assert_string_equal(said, expected);
    return result;
}

static int smtp(const char *text, const char *expected)
{
    return talk_any(MAIL_SMTP, text, expected);
}

static int imap(const char *text, const char *expected)
{
    return talk_any(MAIL_IMAP, text, expected);
}

static int pop3(const char *text, const char *expected)
{
    return talk_any(MAIL_POP3, text, expected);
}

static void each_protocol_greets_in_its_way(void **state)
{
    static const char *const expected[] = {
        [MAIL_SMTP] = "220 mail.example.org ESMTP\r\n",
        [MAIL_IMAP] = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mail.example.org ready\r\n",
        [MAIL_POP3] = "+OK mail.example.org ready\r\n",
    };

    for (int protocol = MAIL_SMTP; protocol <= MAIL_POP3; protocol++) {
        struct starttls s;
        struct starttls_answer a;
        starttls_start(&s, (enum mail_protocol)protocol, "mail.example.org");
        starttls_greeting(&s, &a);
        assert_int_equal(a.size, strlen(expected[protocol]));
        assert_memory_equal(a.text, expected[protocol], a.size);
    }
}

#define EHLO "250-mail.example.org\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
#define GO   "220 2.0.0 Ready to start TLS\r\n"
#define MUST "530 5.7.0 Must issue a STARTTLS command first\r\n"

static void smtp_comes_to_tls(void **state)
{
    assert_int_equal(smtp("EHLO me\r\nSTARTTLS\r\n", EHLO GO), STARTTLS_BEGIN);
    assert_int_equal(smtp("ehlo me\r\nnoop\r\nRset\r\nsTARTtls \r\n", EHLO "250 2.0.0 OK\r\n250 2.0.0 OK\r\n" GO),
                     STARTTLS_BEGIN);
    assert_int_equal(smtp("HELO me\r\nQUIT\r\n", "250 mail.example.org\r\n221 2.0.0 Bye\r\n"), STARTTLS_END);
    assert_int_equal(smtp("EHLO me\r\nSTARTTLS\r", EHLO), -E_AGAIN);
}

static void smtp_commands_of_mail_get_530_before_tls(void **state)
{
    static const char *const refused[] = { "MAIL FROM:<a@b.example>", "RCPT TO:<a@b.example>", "DATA", "AUTH PLAIN AGEAYg==",
                                           "VRFY root", "HELP", "BDAT 5 LAST", "LHLO me", "EXPN x", "STARTTLSX", " STARTTLS",
                                           "", "XCLIENT ADDR=127.0.0.1", "ETRN x", "\xc3\xa4" };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s\r\n", refused[i]);
        assert_int_equal(smtp(line, MUST), STARTTLS_ANSWERED);
    }
}

static void smtp_starttls_takes_no_argument_and_ehlo_needs_one(void **state)
{
    assert_int_equal(smtp("STARTTLS now\r\n", "501 5.5.4 Syntax error (no parameters allowed)\r\n"), STARTTLS_ANSWERED);
    assert_int_equal(smtp("STARTTLS now\r\nSTARTTLS\r\n", "501 5.5.4 Syntax error (no parameters allowed)\r\n" GO),
                     STARTTLS_BEGIN);
    assert_int_equal(smtp("EHLO\r\n", "501 5.5.4 Syntax error (a parameter is missing)\r\n"), STARTTLS_ANSWERED);
    assert_int_equal(smtp("EHLO  \r\n", "501 5.5.4 Syntax error (a parameter is missing)\r\n"), STARTTLS_ANSWERED);
}

static void what_stands_behind_starttls_is_refused(void **state)
{
    static const struct {
        enum mail_protocol protocol;
        const char *text, *answer;
    } cases[] = {
        { MAIL_SMTP, "STARTTLS\r\nMAIL FROM:<x@y.example>\r\n", "421 4.3.2 mail.example.org " },
        { MAIL_SMTP, "STARTTLS\r\nM", "421 4.3.2 mail.example.org " },
        { MAIL_SMTP, "STARTTLS\r\n\r\n", "421 4.3.2 mail.example.org " },
        { MAIL_SMTP, "STARTTLS\r\n\x16\x03\x01", "421 4.3.2 mail.example.org " },
        { MAIL_IMAP, "a STARTTLS\r\nb LOGIN x y\r\n", "* BYE " },
        { MAIL_POP3, "STLS\r\nUSER x\r\n", "-ERR " },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes text = bytes_of_text(cases[i].text);
        assert_int_equal(talk(cases[i].protocol, text, text.size), -E_PIPELINED);
        assert_true(bytes_start_with(bytes_of_text(said), bytes_of_text(cases[i].answer)));
        assert_non_null(strstr(said, "Nothing may follow STARTTLS"));
        assert_null(strstr(said, "220 "));
    }
    assert_int_equal(talk(MAIL_SMTP, BYTES_LITERAL("STARTTLS\r\n\0"), 11), -E_PIPELINED);
}

static void a_line_ends_with_crlf_and_nothing_else(void **state)
{
    assert_int_equal(smtp("NOOP\n", "421 4.3.2 mail.example.org Lines end with CRLF and hold no control characters\r\n"),
                     -E_SYNTAX);
    assert_int_equal(smtp("STARTTLS\nMAIL FROM:<a@b>\r\n", NULL), -E_SYNTAX);
    assert_int_equal(smtp("STARTTLS\r \n", NULL), -E_SYNTAX);
    assert_int_equal(smtp("STARTTLS\r\r\n", NULL), -E_SYNTAX);
    assert_int_equal(smtp("NO\rOP\r\n", NULL), -E_SYNTAX);
    assert_int_equal(imap("a NOOP\n", "* BYE Lines end with CRLF and hold no control characters\r\n"), -E_SYNTAX);
    assert_int_equal(pop3("CAPA\n", "-ERR Lines end with CRLF and hold no control characters\r\n"), -E_SYNTAX);
}

static void control_bytes_are_refused_wherever_they_stand(void **state)
{
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 6; at++) {
            char line[] = "NOOP  \r\n";
            bool control = (c < 0x20 && c != '\t') || c == 0x7f;
            int result;

            line[at] = (char)c;
            result = talk(MAIL_SMTP, bytes_of(line, 8), 8);
            assert_int_equal(result, control ? -E_SYNTAX : STARTTLS_ANSWERED);
        }
}

static void a_long_line_and_many_lines_end_the_connection(void **state)
{
    enum { MOST = MAIL_LINE_MOST };
    static char line[1 << 20];
    char many[(STARTTLS_COMMANDS_MOST + 1) * 6 + 1] = "";

    memset(line, 'x', sizeof line);
    memcpy(line, "NOOP ", 5);
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, MOST - 1), MOST), -E_AGAIN);
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, MOST), 1000), -E_LIMIT);
    assert_string_equal(said, "421 4.3.2 mail.example.org Line too long\r\n");
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, sizeof line), sizeof line), -E_LIMIT);
    memcpy(line + MOST - 2, "\r\n", 2);
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, MOST), 1000), STARTTLS_ANSWERED);
    memcpy(line + MOST - 2, "x\r\n", 3);
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, MOST + 1), MOST + 1), -E_LIMIT);
    assert_int_equal(talk(MAIL_SMTP, bytes_of(line, MOST + 1), 1000), -E_LIMIT);

    for (int i = 0; i < STARTTLS_COMMANDS_MOST; i++)
        strcpy(many + 6 * i, "NOOP\r\n");
    assert_int_equal(talk(MAIL_SMTP, bytes_of_text(many), 1000), STARTTLS_ANSWERED);
    strcpy(many + 6 * STARTTLS_COMMANDS_MOST, "NOOP\r\n");
    assert_int_equal(talk(MAIL_SMTP, bytes_of_text(many), 1000), -E_LIMIT);
    assert_non_null(strstr(said, "421 4.3.2 mail.example.org Too many commands before TLS\r\n"));
}

static void who_speaks_http_does_not_get_far(void **state)
{
    assert_int_equal(smtp("POST / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nE: f\r\n\r\nSTARTTLS\r\n",
                          MUST MUST MUST MUST MUST "421 4.3.2 mail.example.org Too many commands before TLS\r\n"),
                     -E_LIMIT);
}

static void imap_comes_to_tls(void **state)
{
    assert_int_equal(imap("a CAPABILITY\r\nb STARTTLS\r\n", "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n"
                                                            "a OK CAPABILITY completed\r\n"
                                                            "b OK Begin TLS negotiation now\r\n"),
                     STARTTLS_BEGIN);
    assert_int_equal(imap("1 noop\r\n2 ID (\"name\" \"x\")\r\n3 logout\r\n",
                          "1 OK NOOP completed\r\n* ID NIL\r\n2 OK ID completed\r\n"
                          "* BYE Logging out\r\n3 OK LOGOUT completed\r\n"),
                     STARTTLS_END);
    assert_int_equal(imap("a STARTTLS x\r\n", "a BAD Syntax error (no parameters allowed)\r\n"), STARTTLS_ANSWERED);
}

static void imap_logins_and_all_else_are_refused_before_tls(void **state)
{
    assert_int_equal(imap("a LOGIN joe secret\r\nb AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=\r\nc SELECT INBOX\r\nd\r\n",
                          "a NO [PRIVACYREQUIRED] Must issue a STARTTLS command first\r\n"
                          "b NO [PRIVACYREQUIRED] Must issue a STARTTLS command first\r\n"
                          "c BAD Must issue a STARTTLS command first\r\n"
                          "d BAD Must issue a STARTTLS command first\r\n"),
                     STARTTLS_ANSWERED);
}

static void imap_tags_are_repeated_only_where_they_are_tags(void **state)
{
    char line[128];

    for (int c = 1; c < 256; c++) {
        char text[] = "a? NOOP\r\n";
        bool is_tag = c > ' ' && c < 0x7f && !strchr("(){%*\"\\+", c);

        text[1] = (char)c;
        if (c == ' ' || (c < ' ' && c != '\t') || c == 0x7f)
            continue;
        assert_int_equal(talk(MAIL_IMAP, bytes_of_text(text), 99), STARTTLS_ANSWERED);
        snprintf(line, sizeof line, "a%c OK NOOP completed\r\n", c);
        assert_string_equal(said, is_tag ? line : "* BAD Invalid tag\r\n");
    }
    snprintf(line, sizeof line, "%064d NOOP\r\n", 7);
    assert_int_equal(talk(MAIL_IMAP, bytes_of_text(line), 99), STARTTLS_ANSWERED);
    assert_int_equal(strlen(said), 64 + strlen(" OK NOOP completed\r\n"));
    snprintf(line, sizeof line, "%065d NOOP\r\n", 7);
    assert_int_equal(imap(line, "* BAD Invalid tag\r\n"), STARTTLS_ANSWERED);
    assert_int_equal(imap(" NOOP\r\n", "* BAD Invalid tag\r\n"), STARTTLS_ANSWERED);
}

static void imap_literals_are_refused(void **state)
{
    static const char *const lines[] = { "a LOGIN {3}\r\n", "a LOGIN {3+}\r\nb STARTTLS\r\n", "a LOGIN joe {10+}\r\n",
                                         "{3}\r\n", "a ID ({4-}\r\n", "a APPEND x ~{12}\r\n" };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_int_equal(imap(lines[i], "* BYE Literals are not accepted before TLS\r\n"), -E_SYNTAX);
}

static void pop3_comes_to_tls(void **state)
{
    assert_int_equal(pop3("CAPA\r\nSTLS\r\n", "+OK Capability list follows\r\nSTLS\r\n.\r\n+OK Begin TLS negotiation\r\n"),
                     STARTTLS_BEGIN);
    assert_int_equal(pop3("USER joe\r\nPASS x\r\nAUTH PLAIN\r\nSTAT\r\nQUIT\r\n",
                          "-ERR Must issue an STLS command first\r\n-ERR Must issue an STLS command first\r\n"
                          "-ERR Must issue an STLS command first\r\n-ERR Must issue an STLS command first\r\n+OK Bye\r\n"),
                     STARTTLS_END);
    assert_int_equal(pop3("STLS now\r\n", "-ERR Syntax error (no parameters allowed)\r\n"), STARTTLS_ANSWERED);
}

static void the_longest_name_fits(void **state)
{
    static char name[1000], line[128];
    struct starttls s;
    struct starttls_answer a;
    size_t used;

    memset(name, 'n', sizeof name - 1);
    snprintf(line, sizeof line, "%064d CAPABILITY\r\n", 7);
    for (int protocol = MAIL_SMTP; protocol <= MAIL_POP3; protocol++) {
        starttls_start(&s, (enum mail_protocol)protocol, name);
        starttls_greeting(&s, &a);
        assert_in_range(a.size, 255, 400);
        starttls_farewell(&s, "a few words", &a);
        assert_int_equal(starttls_take(&s, bytes_of_text(protocol == MAIL_SMTP ? "EHLO a\r\n" : line), &used, &a), 0);
    }
}

static int greeting(enum mail_protocol protocol, const char *text, const char *refusal)
{
    struct bytes all = bytes_of_text(text), why = BYTES_NONE;
    int result = -E_AGAIN;

    for (size_t have = 0; have <= all.size && result == -E_AGAIN; have++)
        result = starttls_read_greeting(protocol, bytes_part(all, 0, have), &why);
    assert_true(bytes_equal_text(why, refusal ? refusal : ""));
    return result;
}

static void a_servers_greeting_is_read_to_its_end(void **state)
{
    assert_int_equal(greeting(MAIL_SMTP, "220 x ESMTP\r\n", NULL), 13);
    assert_int_equal(greeting(MAIL_SMTP, "220\r\n", NULL), 5);
    assert_int_equal(greeting(MAIL_SMTP, "220-x\r\n220-y\r\n220 z\r\n250", NULL), 21);
    assert_int_equal(greeting(MAIL_SMTP, "220-x\r\n220-y\r\n", NULL), -E_AGAIN);
    assert_int_equal(greeting(MAIL_IMAP, "* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n", NULL), 44);
    assert_int_equal(greeting(MAIL_POP3, "+OK <1.2@x>\r\n", NULL), 13);
    assert_int_equal(greeting(MAIL_POP3, "+OK", NULL), -E_AGAIN);
}

static void a_server_that_refuses_is_quoted(void **state)
{
    assert_int_equal(greeting(MAIL_SMTP, "554-no\r\n554 not you\r\n", "554-no\r\n554 not you\r\n"), -E_REFUSED);
    assert_int_equal(greeting(MAIL_SMTP, "421 busy\r\n", "421 busy\r\n"), -E_REFUSED);
    assert_int_equal(greeting(MAIL_IMAP, "* BYE busy\r\n", "* BYE busy\r\n"), -E_REFUSED);
    assert_int_equal(greeting(MAIL_POP3, "-ERR busy\r\n", "-ERR busy\r\n"), -E_REFUSED);
}

static void what_is_no_greeting_is_not_taken_for_one(void **state)
{
    static char long_one[STARTTLS_GREETING_MOST + 2];

    assert_int_equal(greeting(MAIL_SMTP, "* OK\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_SMTP, "22x hello\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_SMTP, "2200 hello\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_SMTP, "220-a\r\n554 b\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_SMTP, "250 a\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_IMAP, "* PREAUTH hello\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_IMAP, "220 x\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_POP3, "* OK\r\n", NULL), -E_BAD_RESPONSE);
    assert_int_equal(greeting(MAIL_POP3, "\r\n", NULL), -E_BAD_RESPONSE);
    memset(long_one, 'x', sizeof long_one - 1);
    assert_int_equal(greeting(MAIL_POP3, long_one, NULL), -E_BAD_RESPONSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_protocol_greets_in_its_way),
        cmocka_unit_test(smtp_comes_to_tls),
        cmocka_unit_test(smtp_commands_of_mail_get_530_before_tls),
        cmocka_unit_test(smtp_starttls_takes_no_argument_and_ehlo_needs_one),
        cmocka_unit_test(what_stands_behind_starttls_is_refused),
        cmocka_unit_test(a_line_ends_with_crlf_and_nothing_else),
        cmocka_unit_test(control_bytes_are_refused_wherever_they_stand),
        cmocka_unit_test(a_long_line_and_many_lines_end_the_connection),
        cmocka_unit_test(who_speaks_http_does_not_get_far),
        cmocka_unit_test(imap_comes_to_tls),
        cmocka_unit_test(imap_logins_and_all_else_are_refused_before_tls),
        cmocka_unit_test(imap_tags_are_repeated_only_where_they_are_tags),
        cmocka_unit_test(imap_literals_are_refused),
        cmocka_unit_test(pop3_comes_to_tls),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(a_servers_greeting_is_read_to_its_end),
        cmocka_unit_test(a_server_that_refuses_is_quoted),
        cmocka_unit_test(what_is_no_greeting_is_not_taken_for_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
