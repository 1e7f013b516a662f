/* starttls.c: the clear text before TLS: a server of very few words. One table of commands a protocol; who is not in it is
 * refused. What clients say is never repeated to them, but for an IMAP tag. */
#include "http/starttls.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

enum { NAME_MOST = 255 };

struct starttls_command {
    const char *word;
    int step;      /* enum starttls_step */
    char argument; /* 'n' none, 'y' one at least, '?' either */
    bool refused;  /* counts as one that is not served before TLS */
    void (*answer)(const struct starttls *s, struct bytes tag, struct starttls_answer *a);
    const char *text; /* where there is no function: the answer; IMAP's comes behind the tag */
};

static __attribute__((format(printf, 2, 3))) void say(struct starttls_answer *a, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(a->text + a->size, sizeof a->text - a->size, format, arguments);
    va_end(arguments);
    CHECK(n >= 0 && (size_t)n < sizeof a->text - a->size);
    a->size += (size_t)n;
}

/* SMTP */

static void smtp_ehlo(const struct starttls *s, struct bytes tag, struct starttls_answer *a)
{
    (void)tag;
    say(a, "250-%.*s\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n", NAME_MOST, s->name);
}

static void smtp_helo(const struct starttls *s, struct bytes tag, struct starttls_answer *a)
{
    (void)tag;
    say(a, "250 %.*s\r\n", NAME_MOST, s->name);
}

static const struct starttls_command smtp_commands[] = {
    { "EHLO", STARTTLS_ANSWERED, 'y', false, smtp_ehlo, NULL },
    { "HELO", STARTTLS_ANSWERED, 'y', false, smtp_helo, NULL },
    { "NOOP", STARTTLS_ANSWERED, '?', false, NULL, "250 2.0.0 OK" },
    { "RSET", STARTTLS_ANSWERED, 'n', false, NULL, "250 2.0.0 OK" },
    { "QUIT", STARTTLS_END, 'n', false, NULL, "221 2.0.0 Bye" },
    { "STARTTLS", STARTTLS_BEGIN, 'n', false, NULL, "220 2.0.0 Ready to start TLS" },
    { NULL, STARTTLS_ANSWERED, '?', true, NULL, "530 5.7.0 Must issue a STARTTLS command first" },
};

/* IMAP */

static void imap_capability(const struct starttls *s, struct bytes tag, struct starttls_answer *a)
{
    (void)s;
    say(a, "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n%.*s OK CAPABILITY completed\r\n", BYTES_PRINT(tag));
}

static void imap_id(const struct starttls *s, struct bytes tag, struct starttls_answer *a)
{
    (void)s;
    say(a, "* ID NIL\r\n%.*s OK ID completed\r\n", BYTES_PRINT(tag));
}

static void imap_logout(const struct starttls *s, struct bytes tag, struct starttls_answer *a)
{
    (void)s;
    say(a, "* BYE Logging out\r\n%.*s OK LOGOUT completed\r\n", BYTES_PRINT(tag));
}

static const struct starttls_command imap_commands[] = {
    { "CAPABILITY", STARTTLS_ANSWERED, 'n', false, imap_capability, NULL },
    { "NOOP", STARTTLS_ANSWERED, 'n', false, NULL, "OK NOOP completed" },
    { "ID", STARTTLS_ANSWERED, 'y', false, imap_id, NULL },
    { "LOGOUT", STARTTLS_END, 'n', false, imap_logout, NULL },
    { "STARTTLS", STARTTLS_BEGIN, 'n', false, NULL, "OK Begin TLS negotiation now" },
    { "LOGIN", STARTTLS_ANSWERED, '?', true, NULL, "NO [PRIVACYREQUIRED] Must issue a STARTTLS command first" },
    { "AUTHENTICATE", STARTTLS_ANSWERED, '?', true, NULL, "NO [PRIVACYREQUIRED] Must issue a STARTTLS command first" },
    { NULL, STARTTLS_ANSWERED, '?', true, NULL, "BAD Must issue a STARTTLS command first" },
};

/* POP3 */

static const struct starttls_command pop3_commands[] = {
    { "CAPA", STARTTLS_ANSWERED, 'n', false, NULL, "+OK Capability list follows\r\nSTLS\r\n." },
    { "QUIT", STARTTLS_END, 'n', false, NULL, "+OK Bye" },
    { "STLS", STARTTLS_BEGIN, 'n', false, NULL, "+OK Begin TLS negotiation" },
    { NULL, STARTTLS_ANSWERED, '?', true, NULL, "-ERR Must issue an STLS command first" },
};

static const struct starttls_command *const commands[] = {
    [MAIL_SMTP] = smtp_commands,
    [MAIL_IMAP] = imap_commands,
    [MAIL_POP3] = pop3_commands,
};

void starttls_start(struct starttls *s, enum mail_protocol protocol, const char *name)
{
    *s = (struct starttls){ .protocol = protocol, .name = name };
}

void starttls_greeting(const struct starttls *s, struct starttls_answer *ret)
{
    ret->size = 0;
    if (s->protocol == MAIL_SMTP)
        say(ret, "220 %.*s ESMTP\r\n", NAME_MOST, s->name);
    else if (s->protocol == MAIL_IMAP)
        say(ret, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] %.*s ready\r\n", NAME_MOST, s->name);
    else /* without a <time@stamp>: there is no APOP here */
        say(ret, "+OK %.*s ready\r\n", NAME_MOST, s->name);
}

void starttls_farewell(const struct starttls *s, const char *text, struct starttls_answer *ret)
{
    ret->size = 0;
    if (s->protocol == MAIL_SMTP)
        say(ret, "421 4.3.2 %.*s %s\r\n", NAME_MOST, s->name, text);
    else if (s->protocol == MAIL_IMAP)
        say(ret, "* BYE %s\r\n", text);
    else
        say(ret, "-ERR %s\r\n", text);
}

static int refuse(const struct starttls *s, int error, const char *text, struct starttls_answer *ret)
{
    starttls_farewell(s, text, ret);
    return error;
}

/* Whether all bytes of what came so far may stand in a line: no control byte but a tab. A line that is not whole yet may
 * end with its CR. */
static bool is_clean(struct bytes line)
{
    for (size_t i = 0; i < line.size; i++)
        if ((line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7f)
            return false;
    return true;
}

/* Finds the line that in begins with. Returns its bytes with CRLF, -E_AGAIN, -E_SYNTAX or -E_LIMIT: the same however the
 * bytes come. */
static int find_line(struct bytes in)
{
    struct bytes within = bytes_part(in, 0, MAIL_LINE_MOST);
    size_t cr = bytes_find(within, '\r');

    if (!is_clean(bytes_part(within, 0, cr)))
        return -E_SYNTAX;
    if (cr + 1 >= within.size)
        return in.size >= MAIL_LINE_MOST ? -E_LIMIT : -E_AGAIN;
    return within.at[cr + 1] == '\n' ? (int)cr + 2 : -E_SYNTAX;
}

static const struct starttls_command *find_command(enum mail_protocol protocol, struct bytes word)
{
    const struct starttls_command *c = commands[protocol];

    while (c->word && !mail_is(word, c->word))
        c++;
    return c;
}

/* Answers a command whose argument is missing, or that has one where none may be. */
static void answer_misused(const struct starttls *s, struct bytes tag, const struct starttls_command *c,
                           struct starttls_answer *a)
{
    const char *why = c->argument == 'n' ? "no parameters allowed" : "a parameter is missing";

    if (s->protocol == MAIL_SMTP)
        say(a, "501 5.5.4 Syntax error (%s)\r\n", why);
    else if (s->protocol == MAIL_IMAP)
        say(a, "%.*s BAD Syntax error (%s)\r\n", BYTES_PRINT(tag), why);
    else
        say(a, "-ERR Syntax error (%s)\r\n", why);
}

static int execute(struct starttls *s, struct bytes tag, struct bytes line, struct starttls_answer *a)
{
    struct bytes arguments, word = mail_word(line, &arguments);
    const struct starttls_command *c = find_command(s->protocol, word);
    bool has_argument = bytes_trim(arguments).size > 0;

    s->refused += c->refused;
    if ((c->argument == 'n' && has_argument) || (c->argument == 'y' && !has_argument)) {
        answer_misused(s, tag, c, a);
        return STARTTLS_ANSWERED;
    }
    if (c->answer)
        c->answer(s, tag, a);
    else
        say(a, "%.*s%s%s\r\n", BYTES_PRINT(tag), tag.size ? " " : "", c->text);
    return c->step;
}

/* A line without its CRLF. Returns a step or an error. */
static int take_line(struct starttls *s, struct bytes line, struct starttls_answer *a)
{
    struct bytes tag = BYTES_NONE;
    uint64_t size;

    if (s->protocol != MAIL_IMAP)
        return execute(s, tag, line, a);
    if (mail_ends_in_literal(line, &size))
        return refuse(s, -E_SYNTAX, "Literals are not accepted before TLS", a);
    tag = mail_word(line, &line);
    if (mail_is_tag(tag))
        return execute(s, tag, line, a);
    s->refused++;
    say(a, "* BAD Invalid tag\r\n");
    return STARTTLS_ANSWERED;
}

int starttls_take(struct starttls *s, struct bytes in, size_t *ret_used, struct starttls_answer *ret)
{
    int size = find_line(in), step;

    ret->size = 0;
    if (size == -E_SYNTAX)
        return refuse(s, size, "Lines end with CRLF and hold no control characters", ret);
    if (size == -E_LIMIT)
        return refuse(s, size, "Line too long", ret);
    if (size < 0)
        return size;
    if (s->commands++ == STARTTLS_COMMANDS_MOST)
        return refuse(s, -E_LIMIT, "Too many commands before TLS", ret);
    step = take_line(s, bytes_part(in, 0, (size_t)size - 2), ret);
    if (step < 0)
        return step;
    if (step == STARTTLS_BEGIN && in.size > (size_t)size)
        return refuse(s, -E_PIPELINED, "Nothing may follow STARTTLS before the TLS handshake", ret);
    if (s->refused > STARTTLS_REFUSED_MOST)
        return refuse(s, -E_LIMIT, "Too many commands before TLS", ret);
    *ret_used = (size_t)size;
    return step;
}
